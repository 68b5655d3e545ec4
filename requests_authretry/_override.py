"""`override` and `deadline`: what holds for the calls made inside a block."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict, TypeVar
from weakref import WeakKeyDictionary

from ._clock import SystemClock
from ._core.arguments import checks_call, unknown_faults
from ._core.validation import ConfigurationError, refuse
from ._core.validation import seconds as fault_of_seconds
from ._warnings import warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from types import TracebackType

    from requests.auth import AuthBase
    from typing_extensions import Unpack

    from ._core.headers.rate_limit_fields import RateLimits
    from ._core.quota import RetryQuota
    from ._core.retry import RetryPolicy
    from ._events import Listener
    from ._protocols import Clock, Store
    from ._settings import Settings, Timeout, TokenLike

P = ParamSpec("P")
T = TypeVar("T")

_RUNS_LATER = (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)
"""Tell functions whose code runs after their call."""

_ANY = {"origins": ("https://api.example.com",), "token": "any", "allow_http": True}
"""Stand-ins for the check alone: whether these are missing, the overridden settings tell."""


class Block:
    """The time in which all calls of a `deadline` block have to end.

    Settings bring their own clocks, which a block does not know when it begins. On the system's
    clock the block ends so many seconds after its beginning. A clock of another kind was at an
    unknown time then: on it the block begins with the first call that uses it.

    Args:
        seconds: How long the block lasts.
        outer: The block around it, None if there is none.
    """

    def __init__(self, seconds: float, outer: Block | None) -> None:
        self._seconds, self._outer = seconds, outer
        self._end = SystemClock.monotonic() + seconds
        # The clock is kept with its end: no other object gets its identity meanwhile.
        self._ends: dict[int, tuple[Clock, float]] = {}

    def end(self, clock: Clock) -> tuple[float, float]:
        """Return when the calls with a clock have to end, and how long that block lasts.

        Args:
            clock: The clock of the settings of a call.

        Returns:
            The earlier end of this block and of those around it, in monotonic seconds of the
            clock; and the seconds that the block with this end was given.
        """
        if type(clock) is SystemClock:
            end = self._end
        else:
            begun = clock, clock.monotonic() + self._seconds
            _, end = self._ends.setdefault(id(clock), begun)
        own = end, self._seconds
        return own if self._outer is None else min(own, self._outer.end(clock))


class Changes(TypedDict, total=False):
    """The settings that `override` can change: the fields of `Settings`, except ``sites``."""

    token: TokenLike | None
    origins: Collection[str]
    retry: RetryPolicy
    limits: RateLimits
    quota: RetryQuota
    store: Store | None
    auth: AuthBase | None
    timeout: Timeout | None
    listeners: Collection[Listener]
    allow_http: bool
    adopt: bool | Collection[str]
    observe: bool
    clock: Clock


class _Process:
    """What this process has done.

    Attributes:
        obeys: Whether there was ever an adapter of ours, or an `install`: calls that an override
            can change.
    """

    obeys = False


def note_use() -> None:
    """Note that calls of this process can be changed by an override."""
    _Process.obeys = True


class Override:
    """What holds for the calls of a block besides the settings.

    Attributes:
        changes: Fields of `Settings`.
        priority: The priority of the calls.
        block: The deadline of the block around the calls, None without one.
        known: The settings that the changes were applied to, with the results.
    """

    def __init__(
        self, changes: dict[str, Any], priority: int = 0, block: Block | None = None
    ) -> None:
        self.changes, self.priority, self.block = changes, priority, block
        self.known: WeakKeyDictionary[Settings, Settings] = WeakKeyDictionary()

    def within(self, block: Block) -> Override:
        """Return the same with the deadline of a block; the changed settings are shared."""
        other = Override(self.changes, self.priority, block)
        other.known = self.known
        return other

    def refuse_for_sites(self) -> None:
        """Refuse a credential without origins: it would follow redirects from site to site.

        Raises:
            ConfigurationError: There is one.
        """
        if "origins" in self.changes:
            return
        needs = "needs origins where there are sites: origins=[...], those it is for"
        given = (name for name in ("token", "auth") if self.changes.get(name) is not None)
        refuse("override", [f"{name} {needs}" for name in given][:1])


_WITHOUT_EFFECT = (
    "override changed no call: no session of this process is mounted, and nothing is installed. "
    "Call mount(session) before, or install()"
)

current: ContextVar[Override | None] = ContextVar("requests_authretry override", default=None)

_NOTHING = Override({})
"""What holds outside of all blocks."""


@checks_call()
@contextmanager
def override(*, priority: int | None = None, **changes: Unpack[Changes]) -> Iterator[None]:
    """Change settings for the calls made in this block, in this thread or task only.

    The changes hold for every session that is mounted or installed. One override inside another
    adds to it. A part, such as ``retry``, is replaced as a whole: the fields that it does not name
    have their defaults. To change one field, write
    ``retry=dataclasses.replace(settings.retry, max_attempts=2)``.

    Tokens, limits and quotas that no change concerns stay those of the session. The tokens of a
    source that is given here stay out of every store, unless the source has a ``store_key``. Where
    the settings have sites, a token needs its ``origins``::

        with override(timeout=5, retry=RetryPolicy(max_attempts=1)):
            session.get("https://api.example.com/health")

    Threads that are started in the block do not inherit it, unless they are given its context.

    Where calls wait for the same rate limit, those of a higher priority are sent first: put calls
    that a person waits for before those of a batch. Within a priority, retries go before new
    calls. Calls of a low priority may wait as long as others of a higher one keep coming::

        with override(priority=1):
            session.get("https://api.example.com/search")

    Args:
        priority: A whole number, 0 by default and negative for calls that can wait; None: that of
            the block around this one.
        **changes: Fields of `Settings`, but for ``sites``.

    Raises:
        ConfigurationError: A field is unknown or cannot work; all faults are named together.

    Warns:
        AuthRetryWarning: No session was mounted and nothing installed, so that the changes held
            for no call.
    """
    refuse("override", _faults(changes, priority))
    if changes.get("token", ...) is None:
        changes.setdefault("adopt", False)  # there is nothing to put in its place
    outer = current.get() or _NOTHING
    if priority is None:
        priority = outer.priority
    reset = current.set(Override({**outer.changes, **changes}, priority, outer.block))
    try:
        yield
    finally:
        current.reset(reset)
        if not _Process.obeys:
            warn_once(override, "without effect", _WITHOUT_EFFECT)


class DeadlineBlock:
    """A block in which all calls end by the same moment, or what gives a function such blocks.

    Args:
        seconds: Seconds from the beginning of the block.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._bounded = _bounded(seconds)

    def __enter__(self) -> None:
        """Begin the block."""
        self._bounded.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the block."""
        self._bounded.__exit__(kind, error, trace)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Give each call of a function a block of its own.

        Raises:
            ConfigurationError: It is an ``async def`` or a generator, whose code would run when the
                block is over.
        """
        if any(runs_later(function) for runs_later in _RUNS_LATER):
            name = getattr(function, "__name__", "the function")
            way_out = f"write with deadline({self._seconds:g}) around the code that uses it"
            raise ConfigurationError("deadline", [f"{name} runs when its block is over: {way_out}"])

        @wraps(function)
        def bounded(*args: P.args, **named: P.kwargs) -> T:
            with _bounded(self._seconds):
                return function(*args, **named)

        return bounded


@checks_call()
def deadline(seconds: float) -> DeadlineBlock:
    """Let all calls made in this block, in this thread or task only, end by the same moment.

    This holds for every session that is mounted or installed, and bounds all that a deadline of a
    `RetryPolicy` bounds: each call ends at its own deadline or at that of the block, whichever is
    earlier. Of several blocks around a call the earliest end counts. A call that begins after the
    end raises an `AuthRetryError` at once, and sends nothing::

        with deadline(30):
            while url:
                page = session.get(url).json()
                url = page["next"]

    As a decorator of a function it begins a new block with each call of the function.

    Threads that are started in the block do not inherit it, unless they are given its context, as
    ``asyncio.to_thread`` does. Put no ``yield`` into the block: it would hold for the code that
    uses the generator, too.

    Args:
        seconds: Seconds from the beginning of the block; 0: no call may begin. It is measured with
            the system's clock. With settings that have another clock, as in tests, it is measured
            with that one, from the first call of the block.

    Raises:
        ConfigurationError: ``seconds`` is negative or no finite number, or what is decorated is an
            ``async def`` or a generator.

    Warns:
        AuthRetryWarning: No session was mounted and nothing installed, so that no call was bounded.
    """
    fault = fault_of_seconds("seconds", seconds)
    way_out = "write deadline(30), or leave the block out where there is no deadline"
    refuse("deadline", [fault and f"{fault}: {way_out}"])
    return DeadlineBlock(seconds)


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    outer = current.get() or _NOTHING
    reset = current.set(outer.within(Block(seconds, outer.block)))
    try:
        yield
    finally:
        current.reset(reset)
        if not _Process.obeys:
            warn_once(deadline, "without effect", _WITHOUT_EFFECT.replace("override", "deadline"))


def _faults(changes: Mapping[str, Any], priority: object) -> Iterable[str]:
    # Imported here: token renewals need `current`, and nothing of the settings.
    from ._settings import PARTS, Settings

    if priority is not None and (isinstance(priority, bool) or not isinstance(priority, int)):
        yield f"priority must be a whole number, not {priority!r}"
    names = [item.name for item in fields(Settings) if item.name != "sites"]
    if "sites" in changes:
        yield "sites cannot be changed for some calls: override the fields of the sites themselves"
    unknown = [name for name in changes if name not in {*names, "sites"}]
    yield from unknown_faults(unknown, [*names, "priority"], PARTS)
    known = {name: value for name, value in changes.items() if name in names}
    try:
        Settings(**{**_ANY, **known})
    except ConfigurationError as error:
        yield from error.faults
