"""Slots that calls need and a store has: what a process has still to ask for."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from .._core import rate_limit, shared_slots
from .store_operations import StoreOperations

if TYPE_CHECKING:
    from .._core.rate_limit import RateState
    from .._core.scope import Scope
    from .rate_limit_queue import RateLimitQueue
    from .waiting import Waiter


class Order(NamedTuple):
    """A batch of slots to be taken from the store.

    Attributes:
        scope: The scope of the rate limit.
        rate: Requests a second that this process takes for the pace of the fleet.
        number: How many slots.
    """

    scope: Scope
    rate: float
    number: int

    @property
    def burst(self) -> float:
        """Slots that may be used at once where nobody has used any for long."""
        return 1 + shared_slots.LATE * self.rate


class SlotOrders:
    """The batches that are to be asked for. Not thread-safe: hold the limiter's lock.

    Attributes:
        is_on: Whether there is a store that gives slots.
        operations: Counts what the store is asked.
        has_news: Whether a batch was ordered that nobody asks for yet.
    """

    def __init__(self, *, is_on: bool) -> None:
        self.is_on = is_on
        self.operations = StoreOperations()
        self.has_news = False
        self._orders: list[Order] = []
        self._away_until = -inf

    def order(self, scope: Scope, queue: RateLimitQueue, waiter: Waiter, now: float) -> None:
        """Order the next batch of a scope if a call needs it and the store may be asked."""
        pace = self._pace(queue.state, now)
        if pace == inf or now < self._away_until:
            return
        queue.supply = shared_slots.without_lost(queue.supply, now)
        if now < rate_limit.blocked_until(queue.state, now):
            return
        count = shared_slots.wanted(queue.supply, now, queue.waiting_with(waiter), pace)
        if count and self.operations.begin("take", now):
            queue.supply = shared_slots.on_asked(queue.supply, now)
            self._orders.append(Order(scope, pace, count))
            self.has_news = True

    def paced(self, queue: RateLimitQueue, now: float) -> RateState:
        """Return the state of a rate limit with the slot that the fleet has for this process."""
        if self._pace(queue.state, now) == inf:
            return queue.state
        may_wait = now >= self._away_until
        due = shared_slots.next_due(queue.supply, now, may_wait=may_wait)
        return queue.state._replace(slot=due)

    def on_sent(self, queue: RateLimitQueue, now: float) -> None:
        """Count a request that is sent."""
        if self._pace(queue.state, now) < inf:
            spacing = rate_limit.spacing(queue.state, now)
            queue.supply = shared_slots.on_used(queue.supply, now, spacing)

    def pop(self) -> Order | None:
        """Return the batch to ask for now, None for none."""
        self.has_news = False
        return self._orders.pop(0) if self._orders else None

    def on_away(self, now: float) -> None:
        """Leave the store alone for a while."""
        self._away_until = now + shared_slots.AWAY_SECONDS

    def clear(self) -> None:
        """Forget what a thread of a parent process was to ask for."""
        self._orders, self.has_news = [], False

    def _pace(self, state: RateState, now: float) -> float:
        """Return the pace that the fleet has to share, inf for none."""
        return state.pace.allowed if self.is_on and state.pace.rate < inf else inf
