"""Python warnings of what a developer can cure: once for each store, source or listener.

A log is read where somebody has set one up. A warning is seen in every script and notebook.
"""

from __future__ import annotations

import inspect
import logging
import sys
import traceback
import warnings
from contextlib import suppress
from contextvars import ContextVar
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from ._locks import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_KNOWN = 10_000
"""The most objects that are remembered as warned of; of the oldest one may be warned again."""

MOST_TOPICS = 100
"""The most different warnings of one object."""

_OURS = __name__.partition(".")[0]

_PASSED_OVER = {
    *(_OURS, "requests", "urllib3", "http", "contextlib", "dataclasses", "functools", "importlib"),
    *("runpy", "sitecustomize", "threading", "concurrent", "gevent", "eventlet"),
}
"""The packages that no warning points into: they stand between us and the user's code."""

_logger = logging.getLogger(_OURS)
_lock = ForkSafeLock(reentrant=True)  # a destructor that runs meanwhile may warn as well
_known: dict[int, tuple[object, set[str]]] = {}


class AuthRetryWarning(UserWarning):
    """The category of all warnings of this library: what a developer can cure.

    Each comes once for a store, a source or a listener. Where warnings are errors (``-W error``)
    the message is logged instead: no call fails because of a warning.
    """


class _Place(NamedTuple):
    """The line of code that a warning points to."""

    file: str
    line: int
    module: str


_NOWHERE = _Place("sys", 1, "sys")
"""Where Python itself places a warning that no code has caused."""

_begun_at: ContextVar[_Place] = ContextVar("where the work of a thread was begun")


def warn_once(subject: object, topic: str, message: str, *, is_logged: bool = False) -> None:
    """Warn a developer of a fault that they can cure; never raise.

    Where warnings are errors (``-W error``) the message is logged at WARNING instead, as no call
    may fail because of it.

    Args:
        subject: The store, source or listener that is at fault. It is not kept alive.
        topic: What is wrong; of one subject and topic there is one warning.
        message: The fault, the object and the way out. It must hold no secret.
        is_logged: Whether the message is logged in any case.
    """
    if not _is_first(subject, topic):
        return
    file, line, name = _place_of_caller()
    module = sys.modules.get(name)
    try:
        # Python's own note of what it has shown: two stores at one line may have one message.
        shown = None if module is None else vars(module).setdefault("__warningregistry__", {})
        warnings.warn_explicit(message, AuthRetryWarning, file, line, name, shown)
    except Exception:  # noqa: BLE001 (the warning itself, or what shows warnings in this program)
        is_logged = True
    if is_logged:
        with suppress(Exception):  # a handler of the program's
            _logger.warning("%s", message)


def warn_of_store(store: object, doing: str, error: BaseException) -> None:
    """Warn that a store failed.

    Args:
        store: The store.
        doing: The operation that failed.
        error: Its exception. The text is quoted if store and error are ours or Python's own:
            others may put secrets into it.
    """
    name = type(error).__name__
    is_quoted = _is_ours(store) and (_is_ours(error) or type(error).__module__ == "builtins")
    said = f"{name}: {error}" if is_quoted and str(error) else name
    warn_once(
        store,
        "fails",
        f"the {doing} of the store {repr(store) if _is_ours(store) else name_of(store)} failed "
        f"({said}): meanwhile tokens and cool-downs stay in this process, others do not see them, "
        "and a new token is lost when the process ends. Give Settings(store=...) one that this "
        "process can lock, read and write",
    )


def warn_of_raising(listener: object, error: Exception, event: str) -> None:
    """Warn that a listener raised an exception, whose text may be anything and is not quoted."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    file = frame.f_code.co_filename
    warn_once(
        listener,
        "raises",
        f"the listener {name_of(listener)} raised {type(error).__name__} on {event} ({file}, line "
        f"{line}): the call goes on without it. Let the listener handle its own errors; "
        "REQUESTS_AUTHRETRY_LOG=error shows each traceback",
    )


def warn_of_async(listener: object) -> None:
    """Warn that a listener is an async function, or returns a coroutine."""
    warn_once(
        listener,
        "async",
        f"the listener {name_of(listener)} is async, and a call awaits no listener: its code never "
        "runs. Give a plain function, which may hand events to a loop with "
        "loop.call_soon_threadsafe(queue.put_nowait, event)",
    )


def is_async(function: object) -> bool:
    """Whether a function, or an object that is called, is an ``async def``."""
    own = getattr(function, "__call__", None)  # noqa: B004 (an object's own)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(own)


def name_of(thing: Any) -> str:
    """Return the name of a function, or of an object's class, for messages; it holds no secret."""
    try:
        return str(thing.__qualname__)
    except Exception:  # noqa: BLE001 (it has none, or asks others for it)
        return type(thing).__qualname__


def pointing_here(work: Callable[..., object]) -> Callable[..., None]:
    """Return ``work`` for another thread, whose warnings shall point to this thread's caller."""
    place = _place_of_caller()

    def run(*arguments: object) -> None:
        _begun_at.set(place)
        work(*arguments)

    return run


def _is_first(subject: object, topic: str) -> bool:
    """Note a warning; return whether it is the first one of its subject and topic."""
    if isinstance(subject, MethodType):
        # Each look at `thing.method` makes another bound method.
        topic = f"{name_of(subject.__func__)} {topic}"
        subject = subject.__self__
    place = id(subject)
    with _lock:
        if place not in _known:
            try:
                life = ref(subject, lambda _: _known.pop(place, None))
            except TypeError:  # it takes no weak reference: one for all of its kind
                return _is_first(type(subject), topic)
            _known[place] = life, set()
            if len(_known) > MOST_KNOWN:
                del _known[next(iter(_known))]
        topics = _known[place][1]
        is_first = topic not in topics and len(topics) < MOST_TOPICS
        if is_first:
            topics.add(topic)
    return is_first


def _place_of_caller() -> _Place:
    """Find the line of the user's code that called us, in this thread or where it was begun."""
    frame = inspect.currentframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _PASSED_OVER:
            return _Place(frame.f_code.co_filename, frame.f_lineno, module)
        frame = frame.f_back
    return _begun_at.get(_NOWHERE)


def _is_ours(thing: object) -> bool:
    """Whether the class of an object is one of this library."""
    return type(thing).__module__.partition(".")[0] == _OURS
