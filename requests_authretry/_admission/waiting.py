"""Those who wait: each call by itself, in the line before a limit, and for its session's end."""

from __future__ import annotations

from threading import Event, Lock


class Waiter:
    """One call that waits.

    Attributes:
        wake: Ends its wait, for whatever reason.
        closed: Whether that is the end of its session.
        released: Whether an outage that it waited for is over.
        rank: Its place in a line, None before it has one.
    """

    def __init__(self) -> None:
        """It waits for nothing yet."""
        self.wake = Event()
        self.closed = False
        self.released = False
        self.rank: tuple[bool, int] | None = None

    def close(self) -> None:
        """Its session was closed."""
        self.closed = True
        self.wake.set()

    def release(self) -> None:
        """The server is back."""
        self.released = True
        self.wake.set()


class Waiters:
    """Those who wait in one session."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._waiters: set[Waiter] = set()
        self._closed = False
        self._lock = Lock()

    def add(self, waiter: Waiter) -> None:
        """It begins to wait."""
        with self._lock:
            self._waiters.add(waiter)
            if self._closed:
                waiter.close()

    def discard(self, waiter: Waiter) -> None:
        """It waits no more."""
        with self._lock:
            self._waiters.discard(waiter)

    def close(self) -> None:
        """End all of their waits."""
        with self._lock:
            self._closed = True
            for waiter in self._waiters:
                waiter.close()


class Waits:
    """The waits of one session's calls, until it ends, and anew from then on.

    Attributes:
        waiters: Those who wait now; who holds on to them notes the end.
    """

    def __init__(self) -> None:
        """Nobody waits yet."""
        self.waiters = Waiters()

    def end(self) -> None:
        """End those that go on."""
        ended, self.waiters = self.waiters, Waiters()
        ended.close()
