"""The queues in which calls wait for rate limits."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from .._core.bounds import LEAST_ATTEMPT
from .._core.shared_slots import Supply

if TYPE_CHECKING:
    from .._core.rate_limit import RateState
    from .waiting import Waiter


class Queue:
    """The calls that wait for one limit, by rank. Not thread-safe: hold the limiter's lock."""

    def __init__(self) -> None:
        self._line: list[tuple[int, bool, int, Waiter]] = []

    def place(self, waiter: Waiter) -> int:
        """Return how many calls wait before this one."""
        self._drop_those_over()
        return bisect_left(self._line, waiter.rank)

    def waiting_with(self, waiter: Waiter) -> int:
        """Return how many calls wait, this one included."""
        return len(self._line) + (not self._holds(waiter))

    def enter(self, waiter: Waiter) -> None:
        """Let a call wait in the queue."""
        if not self._holds(waiter):
            insort(self._line, (*waiter.rank, waiter))

    def leave(self, waiter: Waiter) -> None:
        """Take a call out of the queue, and wake the one that is first now."""
        if self._holds(waiter):
            place = bisect_left(self._line, waiter.rank)
            del self._line[place]
            if place == 0:
                self.wake_first()

    def wake_first(self) -> None:
        """Have the first call ask again: it may be let through earlier than it was told."""
        self._drop_those_over()
        if self._line:
            self._line[0][-1].wake.set()

    def _holds(self, waiter: Waiter) -> bool:
        place = bisect_left(self._line, waiter.rank)
        return place < len(self._line) and self._line[place][-1] is waiter

    def _drop_those_over(self) -> None:
        """Take out the first calls that an exception of a signal handler has ended."""
        while self._line and self._line[0][-1].is_over:
            del self._line[0]

    def clear(self) -> None:
        """Forget the calls that wait."""
        self._line = []

    @property
    def is_empty(self) -> bool:
        """Whether no call waits in it."""
        self._drop_those_over()
        return not self._line


class RateLimitQueue(Queue):
    """The calls that wait for a rate limit of the server. Not thread-safe, as `Queue`.

    Attributes:
        state: What is known of the rate limit.
        announced: End of the cool-down that was last announced, in monotonic seconds.
        lifted_until: When the cool-down would have ended that a user lifted; the store may still
            keep it.
        supply: The slots that were taken from a store.
        heard: The pace that processes told each other last, as the store has it.
        is_alone: Whether this process tests the server by itself, as nothing passes, see `Fleet`.
    """

    def __init__(self, state: RateState) -> None:
        super().__init__()
        self.state = state
        self.announced = self.lifted_until = state.not_before
        self.supply = Supply()
        self.heard = ""
        self.is_alone = False

    def clear(self) -> None:
        """Forget the calls that wait, and the slots that they were to have."""
        super().clear()
        self.supply = Supply()

    def wake_hopeless(self) -> None:
        """Wake the calls that will not wait until the end of the cool-down."""
        for *_, waiter in self._line:
            latest = min(waiter.deadline - LEAST_ATTEMPT, waiter.patient_until)
            if self.state.not_before > latest:
                waiter.wake.set()
