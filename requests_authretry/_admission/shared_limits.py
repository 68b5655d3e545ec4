"""Cool-downs in a store, so that processes and machines hold back together."""

from __future__ import annotations

from functools import partial
from threading import Lock, Thread
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from .._core.rate_limit import LONGEST
from .._events import CoolingDown, StoreFailed, logger, tell
from .._locks import survives_fork
from .rate_limiter import Key, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .._events import Listener
    from .._protocols import Clock, Store

LOOK_SECONDS = 1.0
"""Between two looks into the store, while requests are sent."""

_MOST_KEYS = 100
_MOST_UNTOLD = 1000
"""Cool-downs that wait while a store does not answer; what is beyond stays in this process."""


class Sharing:
    """The cool-downs of a process, and those in a store. Safe to use from many threads.

    A thread pushes what we were told and reads what others were, once a second at most and only
    while requests are sent; so no request waits for the store. There is one at a time, and none
    without a store.

    Attributes:
        limits: What this process knows.
    """

    def __init__(self, store: Store | None, clock: Clock, listeners: Collection[Listener]) -> None:
        """Begin to look a second from now."""
        self._store, self._clock, self._listeners = store, clock, listeners
        self.limits = _limits_of(store, clock)
        self._watched: dict[Key, None] = {}
        self._untold: dict[Key, float] = {}
        self._lock = Lock()
        self._is_working = self._is_due = False
        if store is not None:
            self._next_look()
        survives_fork(self)

    def cooled(self, key: Key, seconds: float, status: int | None) -> None:
        """The server wants nothing from us for so long: tell all who share the store."""
        seconds = min(seconds, LONGEST)
        if not self.limits.cooled(key, self._clock.monotonic() + seconds):
            return
        self._tell(key, seconds, status)
        if self._store is not None:
            until = self._clock.time() + seconds
            # Others may not have been told its name yet.
            self._work({key: until, Key(key.origin, key.credential): until}, key)

    def look(self, key: Key) -> None:
        """Requests are sent there: have a look at what others were told, if it is time."""
        if self._store is not None and self._clock.monotonic() >= self.limits.look_at:
            self._next_look()
            self._is_due = True
            self._work({}, key)

    def _work(self, untold: dict[Key, float], watched: Key) -> None:
        with self._lock:
            if len(self._untold) < _MOST_UNTOLD:
                self._untold |= untold
            self._watched.pop(watched, None)
            self._watched[watched] = None
            if len(self._watched) > _MOST_KEYS:
                del self._watched[next(iter(self._watched))]
            if self._is_working:
                return
            self._is_working = True
        try:
            Thread(target=self._run, name="requests_authretry look", daemon=True).start()
        except RuntimeError:  # no more threads, as at the end of the program
            self._is_working = False

    def _run(self) -> None:
        """Push what is untold, and look if it is time, until there is nothing more to do."""
        while True:
            with self._lock:
                untold, self._untold = self._untold, {}
                watched = tuple(self._watched) if self._is_due else ()
                self._is_due = False
                if not untold and not watched:
                    self._is_working = False
                    return
            for key, until in untold.items():
                self._asked("push", partial(_push, str(key), until, self._clock.time()))
            for key in watched:
                self._adopt(key, self._asked("read", partial(_read, str(key))))

    def _adopt(self, key: Key, record: object) -> None:
        try:
            seconds = float(str(record)) - self._clock.time()
        except ValueError:
            return
        # A later one is of nobody who cools down as we do, and would never come nearer.
        if seconds <= LONGEST and self.limits.cooled(key, self._clock.monotonic() + seconds):
            self._tell(key, seconds, None)

    def _next_look(self) -> None:
        self.limits.look_at = self._clock.monotonic() + LOOK_SECONDS
        self.limits.settle()

    def _asked(self, doing: str, call: Callable[[Store], object]) -> object:
        """What the store says; one that fails leaves us with what we know ourselves."""
        if self._store is None:
            return None
        try:
            return call(self._store)
        except Exception as error:  # noqa: BLE001 (users bring stores)
            name = type(error).__name__
            logger.warning("a cool-down is in this process only: the %s failed: %s", doing, name)
            tell(self._listeners, StoreFailed("cool-down", doing, name))
            return None

    def after_fork(self) -> None:
        """The thread is not in the child."""
        self._lock = Lock()
        self._is_working = False

    def _tell(self, key: Key, seconds: float, status: int | None) -> None:
        event = CoolingDown(str(key.origin), " ".join(key.policies), seconds, status)
        tell(self._listeners, event)


def _push(key: str, until: float, now: float, store: Store) -> object:
    return store.push(key, until, now)


def _read(key: str, store: Store) -> object:
    return store.read(key)


_known: WeakKeyDictionary[object, dict[object, Limits]] = WeakKeyDictionary()


def _limits_of(store: Store | None, clock: Clock) -> Limits:
    """All who name one store object in one process share what they know."""
    try:
        return _known.setdefault(store, {}).setdefault(clock, Limits(clock))
    except TypeError:  # none, or it takes no weak reference
        return Limits(clock)
