"""`override`: other settings for the calls made inside it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypedDict
from weakref import WeakKeyDictionary

from ._core.arguments import checks_call, unknown_faults
from ._core.validation import ConfigurationError, refuse
from ._warnings import warn_once

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from requests.auth import AuthBase
    from typing_extensions import Unpack

    from ._core.headers.rate_limit_fields import RateLimits
    from ._core.quota import RetryQuota
    from ._core.retry import RetryPolicy
    from ._events import Listener
    from ._protocols import Clock, Store
    from ._settings import Settings, Timeout, TokenLike

_ANY = {"origins": ("https://api.example.com",), "token": "any", "allow_http": True}
"""Stand-ins for the check alone: whether these are missing, the overridden settings tell."""


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
    """Changes to the settings of any call.

    Attributes:
        changes: Fields of `Settings`.
        priority: The priority of the calls.
        known: The settings they were applied to, with the results.
    """

    def __init__(self, changes: dict[str, Any], priority: int = 0) -> None:
        self.changes, self.priority = changes, priority
        self.known: WeakKeyDictionary[Settings, Settings] = WeakKeyDictionary()

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
    outer = current.get()
    if priority is None:
        priority = outer.priority if outer else 0
    reset = current.set(Override({**(outer.changes if outer else {}), **changes}, priority))
    try:
        yield
    finally:
        current.reset(reset)
        if not _Process.obeys:
            warn_once(override, "without effect", _WITHOUT_EFFECT)


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
