"""Waiting calls, and how others wake them: the end of an outage, a free slot, a closed session.

A signal handler may raise an exception between any two steps of Python code, as Ctrl-C does. So
each step here is one operation of C, and the state is right after each of them. The same holds
for `with` on a lock: no handler runs between the lock's own methods and the block.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Lock
from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

    from .._core.records import Reason
    from .._protocols import Clock

UNKNOWN_SECONDS = (1.0, 4.0)
"""A wait of unknown length is told again after so many seconds, each time."""


class Wake(Event):
    """What ends a sleep. One thread sleeps, any thread may wake it.

    An exception from a signal handler in `threading.Event` may leave the event's lock held: then
    every thread that sets the event hangs. Here one lock is the whole state, held until `set`.

    Attributes:
        worker: The thread that the sleeping one waits for, None if there is none.
    """

    worker: Thread | None = None

    def __init__(self) -> None:
        super().__init__()
        self._unset = Lock()
        self._unset.acquire()

    def is_set(self) -> bool:
        """Whether the sleep is to end."""
        return not self._unset.locked()

    def set(self) -> None:
        """End the sleep."""
        with suppress(RuntimeError):  # it is set already
            self._unset.release()

    def clear(self) -> None:
        """Let the thread sleep again."""
        self._unset.acquire(blocking=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until `set`, for ``timeout`` seconds at most; return whether it is set."""
        is_set = self._unset.acquire(timeout=-1 if timeout is None else max(timeout, 0.0))
        if is_set:
            self.set()
        return is_set


class Life:
    """The time in which a call waits: from now to the end of a ``with`` block.

    No signal handler runs between the last step of the block and ``__exit__``, which is the method
    of a lock. So the life is over whenever and however the block has ended.
    """

    # `with` finds these in the slots, as in `ForkSafeLock`.
    __slots__ = ("__enter__", "__exit__", "is_led")

    def __init__(self) -> None:
        lock = Lock()
        lock.acquire()
        self.__enter__, self.__exit__ = lock.locked, lock.__exit__
        self.is_led = lock.locked


class Waiter:
    """One call that waits, in its own thread.

    Args:
        clock: Sleeps.
        deadline: When the call has to be over, in monotonic seconds.
        patient_until: Until when it waits for a time that a server named.
        on_wait: Is told before each sleep what the call waits for, how many seconds (None where
            nobody knows), and the ``retry_after`` that caused the wait, if any did.
        priority: Calls with a higher one go first.

    Attributes:
        wake: Ends its sleep, for whatever reason.
        life: Ends with the ``with`` block in which the call waits.
        closed: Whether its session was closed.
        released: Whether a success has ended the outage and lets its retry go, at no cost.
        deadline: When the call has to be over, in monotonic seconds.
        patient_until: Until when it waits for a time that a server named.
        priority: Calls with a higher one go first.
        rank: Its rank in the queues of rate limits, the lowest goes first: by priority, then calls
            that have sent an attempt before new ones, then by arrival.
    """

    closed = released = False
    rank = (0, True, 0)

    def __init__(
        self,
        clock: Clock,
        deadline: float,
        patient_until: float,
        on_wait: Callable[[Reason, float | None, float | None], None],
        priority: int = 0,
    ) -> None:
        self._clock, self._on_wait, self.priority = clock, on_wait, priority
        self.deadline, self.patient_until = deadline, patient_until
        self.wake = Wake()
        self.life = Life()

    @property
    def is_over(self) -> bool:
        """Whether the call waits no more.

        A call that an exception of a signal handler has ended may have left its waiter in a table:
        there it is passed over, and taken out.
        """
        return not self.life.is_led()

    def work(self, reason: Reason) -> None:
        """Note that its thread itself now does what the call waits for.

        No time is planned for that, so that nothing is drawn over a question to a person.
        """
        self._on_wait(reason, 0.0, None)

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
    """The waiting calls of one session; it does not keep them alive. Thread-safe.

    Attributes:
        is_closed: Whether the session was closed.
    """

    is_closed = False

    def __init__(self) -> None:
        self._waiters: set[ref[Waiter]] = set()

    def add(self, waiter: Waiter) -> None:
        """Add a call that begins to wait; if the session was closed it does not sleep."""
        self._waiters.add(ref(waiter, self._waiters.discard))
        if self.is_closed:  # only now: a `close` that has not seen this waiter is seen here
            waiter.close()

    def close(self) -> None:
        """Wake all of them because the session was closed."""
        self.is_closed = True
        for each in self._waiters.copy():
            waiter = each()
            if waiter is not None:
                waiter.close()


class Waits:
    """The waits of a session, which may be closed and then used again.

    Attributes:
        waiters: The calls that wait now. A call that keeps this object notices the closing.
    """

    def __init__(self) -> None:
        self.waiters = Waiters()

    def end(self) -> None:
        """Wake all calls that wait now. Done again, it wakes those that an interrupted one left."""
        self.waiters.close()
        self.waiters = Waiters()
