"""`override`: other settings for the calls made inside it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ._core.validation import ConfigurationError, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._settings import Settings

_ANY = {"origins": ("https://api.example.com",), "token": "any", "allow_http": True}
"""Stand-ins for the check alone: whether these are missing, the overridden settings tell."""


class Override:
    """Changes to the settings of any call.

    Attributes:
        changes: Fields of `Settings`.
        known: The settings they were applied to, with the results.
    """

    def __init__(self, changes: dict[str, Any]) -> None:
        self.changes = changes
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


current: ContextVar[Override | None] = ContextVar("requests_authretry override", default=None)


@contextmanager
def override(**changes: Any) -> Iterator[None]:
    """Change settings for the calls made in this block, in this thread or task only.

    The changes hold for every session that is mounted or installed. One override inside another
    adds to it. Tokens, limits and quotas that no change concerns stay those of the session. The
    tokens of a source that is given here stay out of every store, unless the source has a
    ``store_key``. Where the settings have sites, a token needs its ``origins``::

        with override(timeout=5, retry=RetryPolicy(max_attempts=1)):
            session.get("https://api.example.com/health")

    Threads that are started in the block do not inherit it, unless they are given its context.

    Args:
        **changes: Fields of `Settings`, but for ``sites``.

    Raises:
        ConfigurationError: A field is unknown or cannot work; all faults are named together.
    """
    refuse("override", _faults(changes))
    if changes.get("token", ...) is None:
        changes.setdefault("adopt", False)  # there is nothing to put in its place
    outer = current.get()
    reset = current.set(Override({**(outer.changes if outer else {}), **changes}))
    try:
        yield
    finally:
        current.reset(reset)


def _faults(changes: dict[str, Any]) -> Iterable[str]:
    # Imported here: token renewals need `current`, and nothing of the settings.
    from ._settings import Settings

    names = {item.name for item in fields(Settings)} - {"sites"}
    unknown = [name for name in changes if name not in names]
    for name in unknown:
        near = get_close_matches(name, names, 1)
        yield f"{name} is unknown" + (f"; did you mean {near[0]}?" if near else "")
    known = {name: value for name, value in changes.items() if name in names}
    try:
        Settings(**{**_ANY, **known})
    except ConfigurationError as error:
        yield from error.faults
