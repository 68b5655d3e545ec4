"""`mount`: add the library to one session, and remove it."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from requests.adapters import HTTPAdapter

from .._call.adapter import AuthRetryAdapter
from .._core.arguments import checks_call
from .._core.origin import redacted_prefix
from .._core.validation import instance, refuse
from .._errors import ConfigurationError
from .._misplaced import session_fault, settings_fault
from .._settings import Settings
from .inner_retries import inner_retries, settings_for
from .limits import Limits

if TYPE_CHECKING:
    import requests
    from requests.adapters import BaseAdapter

    from .._credentials import Credentials


@checks_call(settings=Settings)
def mount(
    session: requests.Session, settings: Settings | None = None, prefix: str | None = None
) -> Mounted:
    """Add token renewal, waiting and retries to a session, in place.

    Each adapter the session has goes on sending, wrapped: pools, TLS contexts and proxies stay.
    The session may be in use by other threads. Mounting again replaces the settings.

    Args:
        session: The session, or one of a subclass.
        settings: What to do; the defaults retry and know no token.
        prefix: Only for URLs that begin so, as in `requests.Session.mount`; None: for all.

    Returns:
        A context manager with ``unmount()``, ``credentials`` and ``limits``.

    Raises:
        ConfigurationError: The session is none, or has no adapter for the prefix.
    """
    settings = Settings() if settings is None else settings
    faults = [
        session_fault(session),
        settings_fault(settings),
        None if prefix is None else instance("prefix", prefix, str, "write prefix='https://'"),
    ]
    refuse("mount", faults)
    return Mounted(session, settings, prefix)


class Mounted(AbstractContextManager["Mounted"]):
    """The adapters that one `mount` has put in place, and how to undo it.

    Used as a context manager it unmounts at the end. Several mounts on one session can be undone in
    any order. Safe to use from many threads.
    """

    def __init__(
        self, session: requests.Session, settings: Settings, prefix: str | None = None
    ) -> None:
        self._session, self._settings = session, settings
        self._put: dict[str, AuthRetryAdapter] = {}
        self._found: dict[str, BaseAdapter | None] = {}
        self._quieted: list[HTTPAdapter] = []
        with inner_retries.lock:
            for place, adapter in _places(session, prefix):
                inner, replaced = adapter, None
                if isinstance(adapter, AuthRetryAdapter) and adapter.inner is not None:
                    inner, replaced = adapter.inner, adapter
                # One wrapper for an adapter that stands at several prefixes, as it was before.
                wrapper = next((one for one in self._put.values() if one.inner is inner), None)
                if wrapper is None:
                    wrapper = AuthRetryAdapter(settings_for(inner, settings), inner=inner)
                    if isinstance(inner, HTTPAdapter) and inner_retries.switch_off(inner, settings):
                        self._quieted.append(inner)
                    if replaced is not None:
                        wrapper.share_waits(replaced)
                self._put[place] = wrapper
                self._found[place] = session.adapters.get(place)
            for place, wrapper in self._put.items():
                _put(session, place, wrapper)

    @property
    def credentials(self) -> Credentials:
        """The token that calls send, for a program to hold, see `Credentials`."""
        return self._settings.credentials

    @property
    def limits(self) -> Limits:
        """What holds back calls now: cool-downs, paces, windows and the retry quota."""
        return Limits(self._settings)

    def unmount(self) -> None:
        """Put back the adapters that `mount` found, except where another was mounted since.

        Requests under way end as they began. Unmounting twice does nothing.
        """
        with inner_retries.lock:
            for prefix, wrapper in self._put.items():
                found = self._found[prefix]
                # What was unmounted since then has given way to what it had found.
                while isinstance(found, AuthRetryAdapter) and _RETIRED_FOR in found.__dict__:
                    found = found.__dict__[_RETIRED_FOR]
                wrapper.__dict__[_RETIRED_FOR] = found
                if self._session.adapters.get(prefix) is wrapper:
                    _put(self._session, prefix, found)
            for inner in self._quieted:
                inner_retries.give_back(inner)
            self._put, self._quieted = {}, []

    def __repr__(self) -> str:
        places = ", ".join(map(redacted_prefix, self._put))
        where = f"on {type(self._session).__name__} for {places}" if places else "(unmounted)"
        return f"<Mounted {where}: {self._settings!r}>"

    def __exit__(self, *_: object) -> None:
        self.unmount()


_RETIRED_FOR = "_authretry_retired_for"


def _places(session: requests.Session, prefix: str | None) -> list[tuple[str, BaseAdapter]]:
    """List the prefixes to mount at, each with the adapter that serves there now."""
    items = list(session.adapters.items())
    if prefix is None:
        return items
    # As Session.get_adapter: the first match is the longest.
    serving = (one for key, one in items if prefix.lower().startswith(key.lower()))
    adapter = next(serving, None)
    if adapter is None:
        fault = f"the session has no adapter for {redacted_prefix(prefix)!r}"
        raise ConfigurationError("mount", [f"{fault}: write prefix='https://api.example.com/'"])
    return [(prefix, adapter)]


def _put(session: requests.Session, prefix: str, adapter: BaseAdapter | None) -> None:
    """Set a key that is there, or replace the mapping: other threads may be walking along it.

    `Session.mount` re-orders in place, which breaks the requests of other threads.
    """
    if adapter is not None and prefix in session.adapters:
        session.adapters[prefix] = adapter
        return
    others = [(key, one) for key, one in session.adapters.items() if key != prefix]
    if adapter is not None:
        longer = sum(len(key) >= len(prefix) for key, _ in others)
        others.insert(longer, (prefix, adapter))
    session.adapters = OrderedDict(others)
