"""Declared rates that processes share: what they ask the store, and what it says."""

from __future__ import annotations

from collections import deque
from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

from .._clock import random_of
from .._core import rate_supply, shared_slots

if TYPE_CHECKING:
    from .._core.declared import Rate
    from .._core.reservations import Ask, Reserved
    from .._protocols import Clock
    from .declared_queue import DeclaredQueue
    from .store_operations import StoreOperations
    from .waiting import Waiter


class Reservation(NamedTuple):
    """Units of a rate that a call needs.

    Attributes:
        queue: The calls that wait for them.
        rate: The rate.
        units: What the call costs.
    """

    queue: DeclaredQueue
    rate: Rate
    units: float


class SharedRates:
    """What one process shares of declared rates. Not thread-safe: hold the limiter's lock.

    Args:
        store: What the processes share; None for nothing.
        operations: Counts what the store is asked.
        clock: Draws random numbers.

    Attributes:
        is_shared: Whether the store has units of declared rates.
        has_news: Whether there is something that no thread asks the store yet.
    """

    def __init__(self, store: object, operations: StoreOperations, clock: Clock) -> None:
        self.is_shared = hasattr(store, "reserve")
        self.has_news = False
        self._operations, self._random = operations, random_of(clock)
        self._orders: deque[Reservation] = deque()
        self._holder = token_hex(8)
        self._away_until = -inf

    def order(self, order: Reservation, waiter: Waiter, now: float) -> bool:
        """Order units if a call needs them; return whether calls wait for the store at all."""
        if not self.is_shared or now < self._away_until:
            return False
        queue, rate, units = order
        if queue.supply.is_late(now):
            return False
        supply = rate_supply.without_lost(queue.supply, rate, now)
        number = rate_supply.wanted(supply, rate, units, queue.waiting_with(waiter), now)
        if number and self._operations.begin("reserve", now):
            supply = rate_supply.on_asked(supply, number, now)
            self._orders.append(order)
            self.has_news = True
        elif number:
            supply = supply._replace(ask_at=self._operations.opens_at("reserve", now))
        queue.supply = supply
        return True

    def pop_order(self, now: float) -> tuple[Reservation, Ask] | None:
        """Return the units to reserve now, and what the store is to be asked; None for none."""
        self.has_news = False
        if not self._orders:
            return None
        order = self._orders.popleft()
        queue, rate, units = order
        # Only now: since it was ordered, calls may have sent what the process held.
        queue.supply, ask = rate_supply.telling(queue.supply, rate, units, self._holder, now)
        return order, ask

    def on_reserved(self, order: Reservation, reserved: Reserved, now: float) -> None:
        """Give units to the calls that wait for them."""
        queue = order.queue
        queue.supply = rate_supply.on_reserved(
            queue.supply, order.rate, reserved, now, self._random()
        )
        queue.wake_first()

    def on_away(self, order: Reservation, now: float) -> None:
        """Leave the store alone for a while: it did not answer in time."""
        self._away_until = now + shared_slots.AWAY_SECONDS
        for queue in {order.queue, *(each.queue for each in self._orders)}:
            queue.supply = rate_supply.on_away(queue.supply)
            queue.wake_first()
        self._orders.clear()

    def forget_away(self) -> None:
        """Ask a store again that was away."""
        self._away_until = -inf

    def clear(self) -> None:
        """Forget what a thread of a parent process was to ask for, and be another holder."""
        self._orders.clear()
        self.has_news, self._holder = False, token_hex(8)
