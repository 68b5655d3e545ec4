"""`install`: add the library to every session of a process, and remove it.

A call begins in `Session.send`: the adapter that its session picks then, with its own
``get_adapter``, is wrapped as `mount` wraps it. Code that sends by an adapter of its own, past
`Session.send`, is met at `HTTPAdapter.send`. The wrappers are kept with the session, whose
``close`` ends its waits.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from requests import Session
from requests.adapters import HTTPAdapter

from .._admission.waiting import Waits
from .._call.adapter import AuthRetryAdapter
from .._core.arguments import checks_call
from .._core.validation import refuse
from .._locks import ForkSafeLock
from .._misplaced import settings_fault
from .._override import note_use
from .._settings import Settings
from .._tokens.renewal import is_renewing
from .inner_retries import inner_retries, settings_for
from .limits import Limits
from .patches import Patches, is_met

if TYPE_CHECKING:
    from requests import PreparedRequest
    from requests.adapters import BaseAdapter

    from .._credentials import Credentials
    from .patches import Method, Patch

_PLACE = "_authretry_installed"


@checks_call(settings=Settings)
def install(settings: Settings | None = None) -> Installed:
    """Add token renewal, waiting and retries to every session of this process.

    It covers the sessions that exist and those to come, ``requests.get`` included, whatever
    adapters they have. A session that is mounted keeps its own settings. Requests that a token
    source sends while it renews a token are left alone. Requests under way go on as they began.
    Installing again replaces the settings and never stacks. Safe to call from any thread.

    Args:
        settings: What to do; the defaults retry and know no token.

    Returns:
        A context manager with ``uninstall()``, ``credentials`` and ``limits``.

    Raises:
        ConfigurationError: ``settings`` is no `Settings`.
    """
    settings = Settings() if settings is None else settings
    refuse("install", [settings_fault(settings)])
    return Installed(settings)


class Installed(AbstractContextManager["Installed"]):
    """One `install`, and how to undo it.

    Used as a context manager it uninstalls at the end. Several can be undone in any order: the
    newest of the others is in force then. Safe to use from many threads.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        note_use()
        _process.begin(self)

    @property
    def credentials(self) -> Credentials:
        """The token that calls send, for a program to hold, see `Credentials`."""
        return self.settings.credentials

    @property
    def limits(self) -> Limits:
        """What holds back calls now: cool-downs, paces, windows and the retry quota."""
        return Limits(self.settings)

    def uninstall(self) -> None:
        """Undo this `install`, and with the last one restore all classes and sessions.

        Uninstalling twice does nothing.
        """
        _process.end(self)

    def __repr__(self) -> str:
        state = "" if _process.settings is self.settings else " (not in force)"
        return f"<Installed{state}: {self.settings!r}>"

    def __exit__(self, *_: object) -> None:
        self.uninstall()


class _Calls:
    """The wrappers that the calls of one session go through.

    Attributes:
        settings: The settings in force when the first call began.
        waits: The waits of these calls.
        wrappers: The wrappers, by the identity of the adapters they wrap.
    """

    def __init__(self, settings: Settings, waits: Waits) -> None:
        self.settings = settings
        self.waits = waits
        self.wrappers: dict[int, _Wrapper] = {}

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        """Become False in the copy or pickle of a session that carries all its attributes."""
        return bool, ()

    def take(self, wrapper: _Wrapper, session: Session) -> None:
        """Add a wrapper, and drop those whose adapters the session no longer has."""
        standing = {id(adapter) for adapter in tuple(getattr(session, "adapters", {}).values())}
        kept = {key: one for key, one in self.wrappers.items() if key in standing}
        self.wrappers = {**kept, id(wrapper.inner): wrapper}


class _Wrapper(AuthRetryAdapter):
    """Wraps an adapter that stays where it is, and waits as its session's calls do."""

    def __init__(self, settings: Settings, inner: BaseAdapter, waits: Waits) -> None:
        super().__init__(settings_for(inner, settings), inner=inner)
        self._waits = waits


class _Process:
    """The state of `install` in this process.

    Attributes:
        settings: The settings in force, None while nothing is installed.
    """

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self._installed: list[Installed] = []
        self._patches = Patches()
        self._sessions: WeakValueDictionary[int, Session] = WeakValueDictionary()
        self._quieted: WeakValueDictionary[int, HTTPAdapter] = WeakValueDictionary()
        self._lock = ForkSafeLock()

    def begin(self, installed: Installed) -> None:
        """Put the settings of an `install` in force."""
        with self._lock:
            for place, name, patch in _PATCHES:
                self._patches.apply(place, name, patch)
            self._installed.append(installed)
            self.settings = installed.settings

    def end(self, installed: Installed) -> None:
        """Undo an `install`; the last one takes all patches and wrappers away."""
        with self._lock:
            if installed not in self._installed:
                return
            self._installed.remove(installed)
            self.settings = self._installed[-1].settings if self._installed else None
            if self.settings is not None:
                return
            self._patches.restore()
            for session in list(self._sessions.values()):
                session.__dict__.pop(_PLACE, None)
            with inner_retries.lock:
                for adapter in list(self._quieted.values()):
                    inner_retries.give_back(adapter)
            self._quieted.clear()

    def watch(self, kind: type[Session]) -> None:
        """Patch a class of sessions, so that they hand out wrapped adapters and end their waits."""
        with self._lock:
            if self.settings is not None:
                self._patches.apply(kind, "get_adapter", _get_adapter)
                self._patches.apply(kind, "close", _close)

    def wrapped(self, adapter: Any, session: Session, settings: Settings) -> Any:
        """Wrap an adapter for a session's call; a mounted one keeps its own settings."""
        if isinstance(adapter, AuthRetryAdapter):
            return adapter
        calls: _Calls | None = session.__dict__.get(_PLACE)
        if not calls or calls.settings is not settings:
            with self._lock:
                known: _Calls | None = session.__dict__.get(_PLACE)
                calls = _Calls(settings, known.waits if known else Waits())
                if self.settings is not None:
                    session.__dict__[_PLACE] = calls
                    self._sessions[id(session)] = session
        wrapper = calls.wrappers.get(id(adapter))
        if wrapper is None:
            wrapper = self.wrapped_alone(adapter, settings, calls.waits)
            with self._lock:
                calls.take(wrapper, session)
        return wrapper

    def wrapped_alone(self, adapter: Any, settings: Settings, waits: Waits) -> _Wrapper:
        """Wrap an adapter, and switch off its own retries until nothing is installed."""
        wrapper = _Wrapper(settings, adapter, waits)
        with self._lock:
            is_known = self.settings is None or id(adapter) in self._quieted
            if isinstance(adapter, HTTPAdapter) and not is_known:
                with inner_retries.lock:
                    if inner_retries.switch_off(adapter, settings):
                        self._quieted[id(adapter)] = adapter
        return wrapper


_process = _Process()
_beginning: ContextVar[Session | None] = ContextVar("the session that picks an adapter")
_is_sending: ContextVar[bool] = ContextVar("within the loop of attempts of any adapter of ours")
# Not of the thread: greenlets share one.


def _session_send(found: Method) -> Method:
    def send(session: Session, request: PreparedRequest, **options: Any) -> Any:
        if _process.settings is None or is_renewing():
            return found(session, request, **options)
        kind = type(session)
        if not (is_met(kind.get_adapter) and is_met(kind.close)):
            _process.watch(kind)
        reset = _beginning.set(session)
        try:
            return found(session, request, **options)
        finally:
            _beginning.reset(reset)

    return send


def _get_adapter(found: Method) -> Method:
    def get_adapter(session: Session, *args: Any, **options: Any) -> Any:
        settings = _process.settings
        if settings is None or _beginning.get(None) is not session:
            return found(session, *args, **options)
        _beginning.set(None)  # what it gets from super() is not its choice yet
        return _process.wrapped(found(session, *args, **options), session, settings)

    return get_adapter


def _close(found: Method) -> Method:
    def close(session: Session) -> None:
        calls: _Calls | None = session.__dict__.pop(_PLACE, None)
        if calls:
            calls.waits.end()
        found(session)

    return close


def _adapter_send(found: Method) -> Method:
    def send(adapter: HTTPAdapter, request: PreparedRequest, *args: Any, **options: Any) -> Any:
        settings = _process.settings
        is_ours = _is_sending.get(False) or isinstance(adapter, AuthRetryAdapter)
        if is_ours or settings is None:
            return found(adapter, request, *args, **options)
        wrapper = _process.wrapped_alone(adapter, settings, Waits())
        return wrapper.send(request, *args, **options)

    return send


def _own_send(found: Method) -> Method:
    def send(adapter: AuthRetryAdapter, *args: Any, **options: Any) -> Any:
        reset = _is_sending.set(True)
        try:
            return found(adapter, *args, **options)
        finally:
            _is_sending.reset(reset)

    return send


_PATCHES: list[tuple[type, str, Patch]] = [
    (AuthRetryAdapter, "send", _own_send),
    (HTTPAdapter, "send", _adapter_send),
    (Session, "send", _session_send),
]
