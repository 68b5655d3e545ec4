"""`override`, `deadline` and `acting_as`: what holds for the calls made inside a block."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import fields
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar
from weakref import WeakKeyDictionary

from ._clock import SystemClock
from ._core.arguments import checks_call, unknown_faults
from ._core.validation import ConfigurationError, quoted, refuse
from ._core.validation import seconds as fault_of_seconds
from ._warnings import warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from requests.auth import AuthBase
    from typing_extensions import Unpack

    from ._core.classify import Answer, Verdict
    from ._core.headers.rate_limit_fields import RateLimits
    from ._core.placement import Placement
    from ._core.quota import RetryQuota
    from ._core.retry import RetryPolicy
    from ._events import Listener
    from ._protocols import Clock, Store
    from ._settings import Settings, Timeout, TokenLike
    from .dialects import Dialect

Function = TypeVar("Function", bound="Callable[..., Any]")

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
    token_in: Placement | None
    retry: RetryPolicy
    limits: RateLimits
    quota: RetryQuota
    store: Store | None
    auth: AuthBase | None
    timeout: Timeout | None
    max_idle: float | None
    listeners: Collection[Listener]
    classify: Callable[[Answer], Verdict | None] | None
    dialects: Literal["auto"] | Collection[str | Dialect] | None
    allow_http: bool
    adopt: bool | Collection[str]
    challenge: Literal["scheme", "any"]
    observe: bool
    interactive: bool | None
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
        identity: Whose token the calls send, None where nobody is named.
        known: The settings that the changes were applied to, with the results.
        scope: What began the block.
        around: The override of the block around this one, None without one.
    """

    def __init__(
        self,
        changes: dict[str, Any],
        priority: int = 0,
        block: Block | None = None,
        identity: str | None = None,
    ) -> None:
        self.changes, self.priority, self.block = changes, priority, block
        self.identity = identity
        self.known: WeakKeyDictionary[Settings, Settings] = WeakKeyDictionary()
        self.scope: Scope | None = None
        self.around: Override | None = None

    def within(self, block: Block | None = None, identity: str | None = None) -> Override:
        """Return the same with the deadline or the identity of a block inside.

        The changed settings are shared.
        """
        other = Override(
            self.changes, self.priority, block or self.block, identity or self.identity
        )
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
    "{} changed no call: no session of this process is mounted, and nothing is installed. "
    "Call mount(session) before, or install()"
)

current: ContextVar[Override | None] = ContextVar("requests_authretry override", default=None)

_NOTHING = Override({})
"""What holds outside of all blocks."""


class Scope:
    """The block of an `override`, a `deadline` or an `acting_as`: for ``with``, or as a decorator.

    One object may serve many blocks, also in several threads and tasks at a time.

    Args:
        name: The function that made it.
        within: Returns what holds in the block, given what holds around it.
    """

    def __init__(self, name: str, within: Callable[[Override], Override]) -> None:
        self._name, self._within = name, within

    def __enter__(self) -> None:
        around = current.get()
        inner = self._within(around or _NOTHING)
        inner.scope, inner.around = self, around
        current.set(inner)

    def __exit__(self, *_: object) -> None:
        # A block that began in this one may be open still: a generator can end later than its user.
        inner = current.get()
        while inner is not None and inner.scope is not self:
            inner = inner.around
        if inner is not None:
            current.set(inner.around)
        if not _Process.obeys:
            warn_once(Scope, f"{self._name} without effect", _WITHOUT_EFFECT.format(self._name))

    def __call__(self, function: Function) -> Function:
        """Begin a block with each call of a function, a coroutine function included.

        Raises:
            ConfigurationError: It is a generator function, whose code runs after the call.
        """
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            told = f"{function.__name__} has a yield in it, so that it runs after the block"
            refuse(self._name, [f"{told}: put the block around the code that uses it"])

        @wraps(function)
        def inside(*args: Any, **named: Any) -> Any:
            with self:
                return function(*args, **named)

        @wraps(function)
        async def awaited_inside(*args: Any, **named: Any) -> Any:
            with self:
                return await function(*args, **named)

        is_awaited = iscoroutinefunction(function)
        return awaited_inside if is_awaited else inside  # type: ignore[return-value]


@checks_call()
def override(*, priority: int | None = None, **changes: Unpack[Changes]) -> Scope:
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

    def within(outer: Override) -> Override:
        own = outer.priority if priority is None else priority
        return Override({**outer.changes, **changes}, own, outer.block, outer.identity)

    return Scope("override", within)


@checks_call()
def deadline(seconds: float) -> Scope:
    """Let all calls made in this block, in this thread or task only, end by the same moment.

    This holds for every session that is mounted or installed, and bounds all that a deadline of a
    `RetryPolicy` bounds: each call ends at its own deadline or at that of the block, whichever is
    earlier. Of several blocks around a call the earliest end counts. A call that begins after the
    end raises an `AuthRetryError` at once, and sends nothing::

        with deadline(30):
            while url:
                page = session.get(url).json()
                url = page["next"]

    As a decorator of a function, also of an ``async`` one, it begins a new block with each call of
    the function. A generator function is refused.

    Threads that are started in the block do not inherit it, unless they are given its context, as
    ``asyncio.to_thread`` does. Put no ``yield`` into the block: it would hold for the code that
    uses the generator, too.

    Args:
        seconds: Seconds from the beginning of the block; 0: no call may begin. It is measured with
            the system's clock. With settings that have another clock, as in tests, it is measured
            with that one, from the first call of the block.

    Raises:
        ConfigurationError: ``seconds`` is negative or no finite number.

    Warns:
        AuthRetryWarning: No session was mounted and nothing installed, so that no call was bounded.
    """
    fault = fault_of_seconds("seconds", seconds)
    way_out = "write deadline(30), or leave the block out where there is no deadline"
    refuse("deadline", [fault and f"{fault}: {way_out}"])
    return Scope("deadline", lambda outer: outer.within(Block(seconds, outer.block)))


@checks_call()
def acting_as(identity: str) -> Scope:
    """Send the token of one identity with the calls made in this block, in this thread or task.

    This holds for each session whose settings have a `PerIdentity`; other tokens stay as they are.
    A call keeps the identity with which it began: for its retries, its replay after a 401, and the
    redirects that it follows. A block inside another one has its own identity::

        with acting_as("alice"):
            session.get("https://api.example.com/orders")

    As a decorator of a function, also of an ``async`` one, it begins a block with each call.

    Threads that are started in the block do not inherit it, unless they are given its context, as
    ``asyncio.to_thread`` does. Tasks inherit it. Put no ``yield`` into the block: it would hold for
    the code that uses the generator, too.

    Args:
        identity: What tells the user from all others, as the key of a database does. It is kept in
            memory, and shown nowhere.

    Raises:
        ConfigurationError: ``identity`` is no str, or is empty.

    Warns:
        AuthRetryWarning: No session was mounted and nothing installed, so that it held for no call.
    """
    given: object = identity  # as yet whatever the caller wrote
    fault = None
    if not isinstance(given, str):
        way = "write acting_as(str(...)) for a number or another key, no block where there is none"
        fault = f"identity must be a str, not {type(given).__name__}: {way}"
    elif not given:
        fault = "identity is empty: write what tells the user from all others"
    refuse("acting_as", [fault])
    name = str.__str__(identity)  # no subclass, which may compare in its own way
    return Scope("acting_as", lambda outer: outer.within(identity=name))


def _faults(changes: Mapping[str, Any], priority: object) -> Iterable[str]:
    # Imported here: token renewals need `current`, and nothing of the settings.
    from ._settings import PARTS, Settings

    if priority is not None and (isinstance(priority, bool) or not isinstance(priority, int)):
        yield f"priority must be a whole number, not {quoted(priority)}"
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
