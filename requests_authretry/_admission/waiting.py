"""Waiting calls, and how others wake them: the end of an outage, a free slot, a closed session."""

from __future__ import annotations

from threading import Event, Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

    from .._core.records import Reason
    from .._protocols import Clock

UNKNOWN_SECONDS = (1.0, 4.0)
"""A wait of unknown length is told again after so many seconds, each time."""


class Wake(Event):
    """What ends a sleep.

    Attributes:
        worker: The thread that the sleeping one waits for, None if there is none.
    """

    worker: Thread | None = None


class Waiter:
    """One call that waits, in its own thread.

    Args:
        clock: Sleeps.
        deadline: When the call has to be over, in monotonic seconds.
        on_wait: Is told before each sleep what the call waits for, how many seconds (None where
            nobody knows), and the ``retry_after`` that caused the wait, if any did.

    Attributes:
        wake: Ends its sleep, for whatever reason.
        closed: Whether its session was closed.
        released: Whether its retry may be sent, as the probe of an outage or after its end. Such a
            retry costs no quota.
        deadline: When the call has to be over, in monotonic seconds.
        rank: Its rank in the queues of rate limits.
        is_over: Whether the call waits no more, so that no queue should hold it.
    """

    closed = released = is_over = False
    rank = (True, 0)

    def __init__(
        self,
        clock: Clock,
        deadline: float,
        on_wait: Callable[[Reason, float | None, float | None], None],
    ) -> None:
        self._clock, self.deadline, self._on_wait = clock, deadline, on_wait
        self.wake = Wake()

    def sleep(self, seconds: float, reason: Reason, retry_after: float | None = None) -> None:
        """Wait so many seconds, or until another thread wakes this one."""
        self._on_wait(reason, seconds, retry_after)
        self._clock.sleep(seconds, self.wake)

    def sleep_at_most(self, seconds: float, reason: Reason) -> None:
        """Wait until another thread wakes this one, nobody knows when, but no longer than that."""
        until = self._clock.monotonic() + seconds
        for part in (*UNKNOWN_SECONDS, seconds):
            left = until - self._clock.monotonic()
            if left > 0:
                self._on_wait(reason, None, None)
                self._clock.sleep(min(part, left), self.wake)

    def close(self) -> None:
        """Wake it because its session was closed."""
        self.closed = True
        self.wake.set()

    def release(self) -> None:
        """Wake it because the outage has ended."""
        self.released = True
        self.wake.set()


class Waiters:
    """The waiting calls of one session. Thread-safe.

    Attributes:
        is_closed: Whether the session was closed.
    """

    is_closed = False

    def __init__(self) -> None:
        self._waiters: set[Waiter] = set()
        self._lock = Lock()

    def add(self, waiter: Waiter) -> None:
        """Add a call that begins to wait; if the session was closed it does not sleep."""
        with self._lock:
            self._waiters.add(waiter)
            if self.is_closed:
                waiter.close()

    def discard(self, waiter: Waiter) -> None:
        """Take out a call that waits no more."""
        with self._lock:
            self._waiters.discard(waiter)

    def close(self) -> None:
        """Wake all of them because the session was closed."""
        with self._lock:
            self.is_closed = True
            for waiter in self._waiters:
                waiter.close()


class Waits:
    """The waits of a session, which may be closed and then used again.

    Attributes:
        waiters: The calls that wait now. A call that keeps this object notices the closing.
    """

    def __init__(self) -> None:
        self.waiters = Waiters()

    def end(self) -> None:
        """Wake all calls that wait now."""
        ended, self.waiters = self.waiters, Waiters()
        ended.close()
