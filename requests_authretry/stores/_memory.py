"""The store of one process."""

from __future__ import annotations

from contextlib import contextmanager
from threading import TIMEOUT_MAX, Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from .._clock import SystemClock
from .._core.arguments import checks_arguments
from .._core.copying import CopiedAsItself
from .._core.display import shown
from .._core.token import secret
from .._core.validation import refuse
from .._locks import ForkSafeLock
from .._protocols import clock_fault
from ._cool_downs import as_text, pushed
from ._slots import kept, taken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._protocols import Clock


@checks_arguments()
class MemoryStore(CopiedAsItself):
    """Keeps tokens, cool-downs and slots while the process lives, for all settings that name it.

    Safe to use from many threads. A copy in memory is the same store, so that a deep-copied
    session goes on sharing its token; a pickle carries no record and makes an empty store.

    Args:
        clock: Counts the seconds of cool-downs and slots, by its ``monotonic()``; None: the system
            clock. Where ``Settings(clock=...)`` has a clock of its own, as in tests with
            `requests_authretry.testing.FakeClock`, give the store the same one: else a cool-down
            goes on here when it is over there.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        refuse(type(self).__name__, [None if clock is None else clock_fault(clock)])
        self._clock: Clock = SystemClock() if clock is None else clock
        self._records: dict[str, object] = {}
        self._slots: dict[str, object] = {}
        self._lock = ForkSafeLock(self._free_keys)
        self._key_locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    def read(self, key: str) -> str | None:
        """Return the record under a key, None when there is none."""
        return as_text(self._records.get(key))

    def write(self, key: str, record: str) -> None:
        """Keep a record."""
        with self._lock:
            self._records[key] = secret(record)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """Exclude other threads that lock this key, as `Store.lock` says."""
        with self._lock:
            lock = self._key_locks.setdefault(key, Lock())  # kept as long as a thread uses it
        # Below zero it would wait for ever, and above that maximum it refuses to wait.
        if not lock.acquire(timeout=min(max(timeout, 0.0), TIMEOUT_MAX)):
            raise TimeoutError(f"the lock of {key!r} was held for {timeout:g} s")
        try:
            yield
        finally:
            lock.release()

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down, as `Store.push` says, and forget those that are over."""
        with self._lock:
            left, self._records = pushed(self._records, key, seconds, self._clock.monotonic())
        return left

    def take(self, key: str, rate: float, burst: float, count: int) -> float:
        """Take slots, as `Store` says, and forget limits that are idle."""
        with self._lock:
            now = self._clock.monotonic()
            first, self._slots = taken(self._slots, key, rate, burst, count, now)
        return first

    def keep(self, key: str, text: str, seconds: float) -> str | None:
        """Keep a text for a while, as `Store` says."""
        with self._lock:
            now = self._clock.monotonic()
            there, self._slots = kept(self._slots, key, text, seconds, now)
        return there

    def __repr__(self) -> str:
        clock = "" if self._clock == SystemClock() else f"clock={shown(self._clock)}"
        return f"{type(self).__name__}({clock})"

    def _free_keys(self) -> None:
        """Forget the locks that threads of a parent process hold."""
        self._key_locks = WeakValueDictionary()

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[Clock, ...]]:
        """A pickle carries no secret: only the clock, where one was given."""
        return type(self), () if self._clock == SystemClock() else (self._clock,)
