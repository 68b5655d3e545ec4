"""Waiting calls, and how others wake them: the end of an outage, a free slot, a closed session."""

from __future__ import annotations

from threading import Event, Lock


class Waiter:
    """One call that waits.

    Attributes:
        wake: Ends its sleep, for whatever reason.
        closed: Whether its session was closed.
        released: Whether its retry may be sent, as the probe of an outage or after its end. Such a
            retry costs no quota.
        rank: Its rank in the queue of a rate limit, None before it has one.
    """

    def __init__(self) -> None:
        self.wake = Event()
        self.closed = False
        self.released = False
        self.rank: tuple[bool, int] | None = None

    def close(self) -> None:
        """Wake it because its session was closed."""
        self.closed = True
        self.wake.set()

    def release(self) -> None:
        """Wake it because the outage has ended."""
        self.released = True
        self.wake.set()


class Waiters:
    """The waiting calls of one session. Thread-safe."""

    def __init__(self) -> None:
        self._waiters: set[Waiter] = set()
        self._closed = False
        self._lock = Lock()

    def add(self, waiter: Waiter) -> None:
        """Add a call that begins to wait; if the session was closed it does not sleep."""
        with self._lock:
            self._waiters.add(waiter)
            if self._closed:
                waiter.close()

    def discard(self, waiter: Waiter) -> None:
        """Take out a call that waits no more."""
        with self._lock:
            self._waiters.discard(waiter)

    def close(self) -> None:
        """Wake all of them because the session was closed."""
        with self._lock:
            self._closed = True
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
