"""What the processes of a fleet share of a pace: what they ask the store, and what they tell it."""

from __future__ import annotations

from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

from .._core import rate_limit, shared_pace, shared_slots
from .store_operations import StoreOperations

if TYPE_CHECKING:
    from .._core.pace import Pace
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


class Fleet:
    """The part of one process in its fleet. Not thread-safe: hold the limiter's lock.

    While the server refuses everything, no slots are shared: those of so slow a pace lie far ahead,
    and each that one process takes would hold back another which passes again. Each process tests
    the server by itself, with its part of the pace, and slots are shared again once that part is
    as much as after the first refusal.

    Args:
        store: What the processes share; None for nothing.

    Attributes:
        operations: Counts what the store is asked.
        has_news: Whether there is something that no thread asks or tells the store yet.
    """

    def __init__(self, store: object) -> None:
        self.operations = StoreOperations()
        self.has_news = False
        self._has_slots, self._has_texts = hasattr(store, "take"), hasattr(store, "keep")
        self._orders: list[Order] = []
        self._untold: dict[Scope, str] = {}
        self._away_until = -inf

    def is_shared(self, queue: RateLimitQueue) -> bool:
        """Whether slots of a rate limit come from the store: it has slots, the limit a pace."""
        return self._has_slots and queue.state.pace.rate < inf and not queue.is_alone

    def order(self, scope: Scope, queue: RateLimitQueue, waiter: Waiter, now: float) -> None:
        """Order the next batch of a scope if a call needs it and the store may be asked."""
        if not self.is_shared(queue) or now < self._away_until:
            return
        queue.supply = shared_slots.without_lost(queue.supply, now)
        if now < rate_limit.blocked_until(queue.state, now):
            return
        pace = queue.state.pace.allowed
        number = shared_slots.wanted(queue.supply, now, queue.waiting_with(waiter), pace)
        if number and self.operations.begin("take", now):
            queue.supply = shared_slots.on_asked(queue.supply, now)
            self._orders.append(Order(scope, pace, number))
            self.has_news = True

    def paced(self, queue: RateLimitQueue, now: float) -> RateState:
        """Return the state of a rate limit with the slot that the fleet has for this process."""
        if not self.is_shared(queue):
            return queue.state
        may_wait = now >= self._away_until
        due = shared_slots.next_due(queue.supply, now, may_wait=may_wait)
        return queue.state._replace(slot=due)

    def on_sent(self, queue: RateLimitQueue, now: float) -> None:
        """Count a request that is sent."""
        if self.is_shared(queue):
            spacing = rate_limit.spacing(queue.state, now)
            queue.supply = shared_slots.on_used(queue.supply, now, spacing)

    def on_success(self, queue: RateLimitQueue, before: Pace) -> None:
        """Count the successes of other processes with one of this process."""
        if queue.is_alone:
            self._join_if_passing(queue)
        elif self._has_texts and self.is_shared(queue):
            pace = shared_pace.with_others(before, queue.state.pace, queue.supply.share)
            queue.state = queue.state._replace(pace=pace)

    def on_refused(
        self, scope: Scope, queue: RateLimitQueue, before: Pace, began: float, now: float
    ) -> None:
        """Tell others what a refusal has measured, and wait until all of them have heard it.

        Args:
            scope: The scope of the rate limit.
            queue: Its queue, with the pace after the refusal.
            before: The pace before it.
            began: When the refused request left.
            now: When the refusal arrived.
        """
        if queue.is_alone:
            # What it has measured is not told: others that joined earlier may be the cause.
            self._join_if_passing(queue)
        elif self._has_texts and self.is_shared(queue):
            self._share(scope, queue, before, began, now)
        if self.is_shared(queue) and queue.state.pace.passes_nothing:
            self._leave(queue)

    def _share(
        self, scope: Scope, queue: RateLimitQueue, before: Pace, began: float, now: float
    ) -> None:
        pace = queue.state.pace
        if pace is before:
            pace = shared_pace.still_refused(pace, began, queue.supply.share)
        elif before.rate == inf:
            pace = shared_pace.settling(pace, now)
        elif shared_pace.is_first_of_search(before, pace):
            pace = self._told(scope, queue, shared_pace.end_of_search(pace, now), now)
        elif shared_pace.is_measured(before, pace):
            pace = self._told(scope, queue, pace, now)
        queue.state = queue.state._replace(pace=pace)

    @staticmethod
    def _leave(queue: RateLimitQueue) -> None:
        """Share no slots, and keep the part of the pace that this process had."""
        queue.is_alone = True
        queue.supply = queue.supply._replace(batches=())
        pace = shared_pace.alone(queue.state.pace, queue.supply.share)
        queue.state = queue.state._replace(pace=pace)

    @staticmethod
    def _join_if_passing(queue: RateLimitQueue) -> None:
        """Share slots again if enough passes, at the pace of which this process has its part."""
        pace = shared_pace.joined(queue.state.pace, queue.supply.share)
        if pace is not None:
            queue.is_alone = False
            queue.state = queue.state._replace(pace=pace)

    def _told(self, scope: Scope, queue: RateLimitQueue, pace: Pace, now: float) -> Pace:
        queue.heard = self._untold[scope] = shared_pace.text_of(pace, token_hex(4))
        self.has_news = True
        return shared_pace.settling(pace, now)

    def on_heard(self, queue: RateLimitQueue, text: object, now: float) -> None:
        """Adopt the pace that another process has measured."""
        news = shared_pace.told(text)
        if news is not None and text != queue.heard and self.is_shared(queue):
            queue.heard = str(text)
            pace = shared_pace.adopted(queue.state.pace, news, now)
            queue.state = queue.state._replace(pace=pace)

    def may_hear(self, now: float) -> bool:
        """Whether the store may be asked for the pace of others."""
        return self._has_texts and self.operations.begin("read", now)

    def pop_untold(self, now: float) -> tuple[Scope, str] | None:
        """Return a pace that is to be told now, and its scope; None for none."""
        if not self._untold or not self.operations.begin("push", now):
            return None
        return self._untold.popitem()

    def pop_order(self) -> Order | None:
        """Return the batch to ask for now, None for none."""
        self.has_news = False
        return self._orders.pop(0) if self._orders else None

    def on_away(self, now: float) -> None:
        """Leave the store alone for a while."""
        self._away_until = now + shared_slots.AWAY_SECONDS

    def clear(self) -> None:
        """Forget what a thread of a parent process was to ask for."""
        self._orders, self._untold, self.has_news = [], {}, False
