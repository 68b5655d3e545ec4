"""`install`: the one line for a whole process, and the way back.

`Session.send` is where a call begins: the adapter that its session picks then, by whatever
``get_adapter`` it has, is wrapped as `mount` wraps it. What sends by an adapter of its own, past
`Session.send`, is met at `HTTPAdapter.send`. `Session.close` ends the waits, as the wrappers stand
in no session.
"""

from __future__ import annotations

from functools import wraps
from inspect import isfunction
from threading import Lock, local
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from requests import Session
from requests.adapters import HTTPAdapter

from ._adapter import AuthRetryAdapter
from ._core.faults import instance, refuse
from ._fork import survives_fork
from ._mounting import inner_retries, settings_for
from ._renewal import is_renewing
from ._settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from requests import PreparedRequest, Response
    from requests.adapters import BaseAdapter
    from typing_extensions import Self

    Method = Callable[..., Any]

_PLACE = "_authretry_installed"


def install(settings: Settings | None = None) -> Installed:
    """Add token renewal, waiting and retries to every session of this process.

    Those that exist and those to come, ``requests.get`` included, with whatever adapters they
    have; a session that is mounted by itself keeps its own settings, and so do the sessions that a
    token source uses while it renews, which stay as they are. Requests under way go on as they
    began. Installing again replaces the settings and never stacks. Safe to call from any thread.

    Args:
        settings: What to do; the defaults retry and know no token.

    Returns:
        A context manager with ``uninstall()``.

    Raises:
        ConfigurationError: The settings are none.
    """
    refuse("install", [None if settings is None else instance("settings", settings, Settings)])
    return Installed(Settings() if settings is None else settings)


class Installed:
    """What `install` has put in place, and how to undo it.

    Used as a context manager it uninstalls at the end. Of several, the newest that is not undone
    is in force; each undoes its own, in any order. Safe to use from many threads.
    """

    def __init__(self, settings: Settings) -> None:
        """Put it in force."""
        self.settings = settings
        _process.begin(self)

    def uninstall(self) -> None:
        """Put back exactly what was there; twice does nothing."""
        _process.end(self)

    def __enter__(self) -> Self:
        """Nothing more to do: it is installed already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Uninstall."""
        self.uninstall()


class _Wrapper(AuthRetryAdapter):
    """Stands on the adapter it wraps, in no session.

    Attributes:
        installed: The settings it was made for.
    """

    installed: Settings

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        """An adapter that is copied or pickled leaves it behind."""
        return bool, ()


class _Process:
    """What is installed in this process.

    Attributes:
        settings: Those in force, None where nothing is.
        watched: The classes of sessions that hand out wrapped adapters.
    """

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.watched: set[type[Session]] = set()
        self._installed: list[Installed] = []
        self._seams: dict[tuple[type, str], tuple[Method, Method]] = {}
        self._wrapped: WeakValueDictionary[int, BaseAdapter] = WeakValueDictionary()
        self._quieted: WeakValueDictionary[int, HTTPAdapter] = WeakValueDictionary()
        self._lock = Lock()
        survives_fork(self)

    def begin(self, installed: Installed) -> None:
        """Put it in force."""
        with self._lock:
            for place, name, seam in _SEAMS:
                self._put(place, name, seam)
            self._installed.append(installed)
            self.settings = installed.settings

    def end(self, installed: Installed) -> None:
        """Take it out; with the last one goes all that was put anywhere."""
        with self._lock:
            if installed not in self._installed:
                return
            self._installed.remove(installed)
            self.settings = self._installed[-1].settings if self._installed else None
            if self.settings is None:
                self._put_back()

    def watch(self, kind: type[Session]) -> None:
        """Have sessions of this class hand out wrapped adapters when a call begins."""
        place = next(each for each in kind.__mro__ if "get_adapter" in each.__dict__)
        with self._lock:
            if self.settings is not None:
                self._put(place, "get_adapter", _get_adapter)
                self.watched.add(kind)

    def wrapper(self, adapter: Any, settings: Settings) -> Any:
        """The adapter, wrapped; what is mounted by itself keeps its own settings."""
        if isinstance(adapter, AuthRetryAdapter):
            return adapter
        own = getattr(adapter, "__dict__", None)
        if own is None:
            return _Wrapper(settings, inner=adapter)
        known: _Wrapper | None = own.get(_PLACE)
        if known and known.installed is settings and known.inner is adapter:
            return known  # and none that was copied with another's attributes
        wrapper = _Wrapper(settings_for(adapter, settings), inner=adapter)
        wrapper.installed = settings
        with self._lock:
            own[_PLACE] = wrapper
            if self.settings is not None:
                self._wrapped[id(adapter)] = adapter
                self._quiet(adapter)
        return wrapper

    def _quiet(self, adapter: BaseAdapter) -> None:
        if isinstance(adapter, HTTPAdapter) and id(adapter) not in self._quieted:
            with inner_retries.lock:
                if inner_retries.switch_off(adapter):
                    self._quieted[id(adapter)] = adapter

    def _put(self, place: type, name: str, seam: Callable[[Method], Method]) -> None:
        if (place, name) not in self._seams:
            found = place.__dict__[name]
            ours = wraps(found)(seam(found)) if isfunction(found) else seam(_bound(found, place))
            self._seams[place, name] = found, ours
            setattr(place, name, ours)

    def _put_back(self) -> None:
        for (place, name), (found, ours) in self._seams.items():
            if place.__dict__.get(name) is ours:  # else ours lets all pass, below another's
                setattr(place, name, found)
        self._seams = {}
        for adapter in list(self._wrapped.values()):
            adapter.__dict__.pop(_PLACE, None)
        with inner_retries.lock:
            for quieted in list(self._quieted.values()):
                inner_retries.give_back(quieted)
        self._wrapped.clear()
        self._quieted.clear()
        self.watched.clear()

    def after_fork(self) -> None:
        """The thread that held the lock is not in the child."""
        self._lock = Lock()


def _bound(found: Any, place: type) -> Method:
    """To be called as a function of the class, where something else stands there: a mock, say."""

    def method(thing: object, *args: Any, **options: Any) -> Any:
        bind = getattr(found, "__get__", None)
        return (found if bind is None else bind(thing, place))(*args, **options)

    return method


class _ThisThread(local):
    """Where a thread is.

    Attributes:
        session: The session whose call begins, until it has picked an adapter.
        is_sending: Whether it is in the loop of attempts of any adapter of ours.
    """

    session: Session | None = None
    is_sending = False


_process = _Process()
_this_thread = _ThisThread()


def _session_send(found: Method) -> Method:
    def send(session: Session, request: PreparedRequest, **options: Any) -> Response:
        if _process.settings is None or is_renewing():
            response: Response = found(session, request, **options)
            return response
        if type(session) not in _process.watched:
            _process.watch(type(session))
        before, _this_thread.session = _this_thread.session, session
        try:
            response = found(session, request, **options)
        finally:
            _this_thread.session = before
        return response

    return send


def _get_adapter(found: Method) -> Method:
    def get_adapter(session: Session, *args: Any, **options: Any) -> Any:
        settings = _process.settings
        if settings is None or _this_thread.session is not session:
            return found(session, *args, **options)
        _this_thread.session = None  # what it gets from super() is not its choice yet
        return _process.wrapper(found(session, *args, **options), settings)

    return get_adapter


def _close(found: Method) -> Method:
    def close(session: Session) -> None:
        for adapter in tuple(session.adapters.values()):
            wrapper = getattr(adapter, "__dict__", {}).pop(_PLACE, None)
            if wrapper:
                wrapper.end_waits()
        found(session)

    return close


def _adapter_send(found: Method) -> Method:
    def send(adapter: HTTPAdapter, request: PreparedRequest, *args: Any, **options: Any) -> Any:
        settings = _process.settings
        if _this_thread.is_sending or settings is None or is_renewing():
            return found(adapter, request, *args, **options)
        return _process.wrapper(adapter, settings).send(request, *args, **options)

    return send


def _own_send(found: Method) -> Method:
    def send(adapter: AuthRetryAdapter, *args: Any, **options: Any) -> Response:
        before, _this_thread.is_sending = _this_thread.is_sending, True
        try:
            response: Response = found(adapter, *args, **options)
        finally:
            _this_thread.is_sending = before
        return response

    return send


_SEAMS: list[tuple[type, str, Callable[[Method], Method]]] = [
    (AuthRetryAdapter, "send", _own_send),
    (HTTPAdapter, "send", _adapter_send),
    (Session, "close", _close),
    (Session, "send", _session_send),
]
