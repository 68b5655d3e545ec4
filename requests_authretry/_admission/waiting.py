"""Those who wait: each call by itself, in the line before a limit, and for its session's end."""

from __future__ import annotations

from bisect import bisect_left, insort
from math import inf
from threading import Event, Lock

from .._core import rate_limit

_OVERDUE = 0.05
"""Seconds after its time that one in the line looks for itself: who goes before it wakes it."""


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


class RateLimitQueue:
    """The line before one limit; who uses it holds the lock.

    Attributes:
        flow: What is known of the limit.
        news: Until when listeners and other processes know it to be closed.
    """

    def __init__(self, flow: rate_limit.Flow) -> None:
        """Nobody is before it."""
        self.flow = flow
        self.news = flow.not_before
        self._line: list[tuple[tuple[bool, int], Waiter]] = []
        self._deadlines: dict[Waiter, float] = {}
        self._arrivals = 0

    def ask(self, waiter: Waiter, now: float, deadline: float, *, refused: bool) -> float:
        """Seconds until it should ask again; 0.0: it goes; inf: its deadline comes first."""
        if self.flow.not_before > deadline or now > deadline:
            self.drop(waiter)
            return inf
        if waiter.rank is None:
            self._arrivals += 1
            waiter.rank = rate_limit.rank(self._arrivals, refused=refused)
            insort(self._line, (waiter.rank, waiter), key=lambda each: each[0])
            self._deadlines[waiter] = deadline
        place = bisect_left(self._line, waiter.rank, key=lambda each: each[0])
        wait = max(rate_limit.opens(self.flow, now) - now, 0.0)
        if place:
            wait += place * rate_limit.spacing(self.flow, now) + _OVERDUE
        hurried = rate_limit.hurried(self.flow, now) if now + wait > deadline else None
        if hurried == now:
            self.flow = rate_limit.hurries(self.flow, now)
        elif wait:
            until = now + wait if hurried is None else hurried
            return min(until, deadline + _OVERDUE) - now
        else:
            self.flow = rate_limit.leaves(self.flow, now)
        self.drop(waiter)
        return 0.0

    def drop(self, waiter: Waiter) -> None:
        """It is in the line no more; the next one may be at its head."""
        if waiter.rank is None:
            return
        del self._line[bisect_left(self._line, waiter.rank, key=lambda each: each[0])]
        del self._deadlines[waiter]
        waiter.rank = None
        self.wake()

    def wake(self) -> None:
        """Have the first one look again: it may be its turn earlier."""
        if self._line:
            self._line[0][1].wake.set()

    def tell(self) -> None:
        """Wake those for whom it opens too late."""
        until = self.flow.not_before
        for waiter, deadline in self._deadlines.items():
            if until > deadline:
                waiter.wake.set()

    @property
    def is_empty(self) -> bool:
        """Whether nobody stands before it."""
        return not self._line
