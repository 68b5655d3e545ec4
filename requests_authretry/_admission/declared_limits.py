"""The declared limits: what was sent under each of them, and the calls that wait for it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from .._core import declared, rate_supply
from .._core.rate_limit import AskAgain, TooLate
from .._core.records import seconds_text
from .declared_queue import DeclaredQueue, DeclaredScope
from .shared_rates import Reservation
from .waiting import Life

if TYPE_CHECKING:
    from .._core.declared import Rate
    from .._core.rate_limit import Slot
    from .._core.target import Target
    from .rate_limit_queue import Queue
    from .shared_rates import SharedRates
    from .waiting import Waiter

_MOST_QUEUES = 10_000
"""Declared limits of all origins and callers. Redirects may name origins without end."""

_LOOKED_AT = 2
"""Each attempt looks at so many old queues more than it may add, whether they are idle."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the attempts of one request ask of the declared limits.

    Attributes:
        target: Where it goes.
        units: What it costs under each rate that covers it.
        concurrency: How many attempts may be under way at a time, None for any number.
        life: Lasts until the call has sent this request for the last time. An attempt that was
            ended by an exception, wherever that came, is not under way, as its life is over.
    """

    target: Target
    units: tuple[tuple[Rate, float], ...]
    concurrency: int | None
    life: Life = field(default_factory=Life)


class RateClaim(NamedTuple):
    """What an attempt asks of one rate."""

    queue: DeclaredQueue
    rate: Rate
    units: float
    shared: SharedRates

    def ask(self, waiter: Waiter, now: float) -> Slot | AskAgain | TooLate:
        """Decide whether the call may send now."""
        queue = self.queue
        rate, units = self.rate, self.units
        ahead = queue.units_before(waiter, units)
        if units and self.shared.order(Reservation(queue, rate, units), waiter, now):
            return rate_supply.ask(queue.supply, rate, units, ahead, now, waiter.deadline)
        return declared.ask(queue.use, rate, units, ahead, now, waiter.deadline)

    def take(self, now: float) -> None:
        """Count the attempt as sent."""
        queue = self.queue
        queue.use = declared.with_sent(queue.use, self.rate, self.units, now)
        if self.shared.is_shared and self.units:
            queue.supply = rate_supply.on_sent(queue.supply, self.rate, self.units, now)

    @property
    def shown(self) -> str:
        """What the limit covers, for people."""
        return f"the declared limit of {self.rate} at {self.queue.scope.origin}"


class ConcurrencyClaim(NamedTuple):
    """What an attempt asks of the attempts under way."""

    queue: DeclaredQueue
    most: int
    life: Life

    def ask(self, waiter: Waiter, now: float) -> Slot | AskAgain | TooLate:
        """Decide whether the call may send now."""
        queue = self.queue
        queue.most = self.most
        if len(queue.under_way) >= self.most:
            queue.drop_those_ended()
        under_way, place = len(queue.under_way), queue.place(waiter)
        return declared.ask_concurrency(under_way, self.most, place, now, waiter.deadline)

    def take(self, _: float) -> None:
        """Count the attempt as under way."""
        self.queue.under_way.add(self.life)

    @property
    def shown(self) -> str:
        """What the limit covers, for people."""
        attempts = "1 attempt" if self.most == 1 else f"{self.most} attempts"
        return f"the declared limit of {attempts} at a time at {self.queue.scope.origin}"


Claim = RateClaim | ConcurrencyClaim


class DeclaredLimits:
    """The declared limits of all origins and callers. Not thread-safe: hold the limiter's lock.

    Attributes:
        shared: What this process shares of declared rates with others.
    """

    def __init__(self, shared: SharedRates) -> None:
        self.shared = shared
        self._queues: OrderedDict[DeclaredScope, DeclaredQueue] = OrderedDict()

    def claims(self, demand: Demand, now: float) -> list[Claim]:
        """Return what an attempt asks of each declared limit."""
        # Before any queue is looked up: the new ones are idle, too.
        self._forget_old(now, len(demand.units) + _LOOKED_AT)
        found: list[Claim] = [
            RateClaim(self._queue(demand, rate), rate, units, self.shared)
            for rate, units in demand.units
        ]
        if demand.concurrency is not None:
            queue = self._queue(demand, None)
            found.append(ConcurrencyClaim(queue, demand.concurrency, demand.life))
        return found

    def end(self, demand: Demand) -> None:
        """Count an attempt as ended, and wake the first call that waits for that."""
        target = demand.target
        queue = self._queues.get(DeclaredScope(target.origin, target.credential, None))
        if queue is not None:
            queue.under_way.discard(demand.life)
            queue.wake_first()

    def forget(self, scope: DeclaredScope) -> None:
        """Forget what the store said of a rate, and have waiting calls ask it again."""
        queue = self._queues.get(scope)
        if queue is not None:
            queue.supply = queue.supply._replace(free_at=-inf, ask_at=-inf)
            self.shared.forget_away()
            queue.wake_first()

    def queues(self) -> list[DeclaredQueue]:
        """Return all of them."""
        return list(self._queues.values())

    def clear_waiting(self) -> None:
        """Forget the calls that wait, and the attempts under way."""
        for queue in self._queues.values():
            queue.clear()
        self.shared.clear()

    def _queue(self, demand: Demand, rate: Rate | None) -> DeclaredQueue:
        """Return the queue of a declared limit, which becomes the newest."""
        scope = DeclaredScope(demand.target.origin, demand.target.credential, rate)
        queue = self._queues.get(scope)
        if queue is None:
            queue = self._queues[scope] = DeclaredQueue(scope)
        self._queues.move_to_end(scope)
        return queue

    def _forget_old(self, now: float, number: int) -> None:
        """Look at the oldest queues: forget idle ones, and of too many those without a call."""
        for _ in range(min(number, len(self._queues))):
            scope, oldest = next(iter(self._queues.items()))
            is_too_many = len(self._queues) >= _MOST_QUEUES and oldest.is_empty
            if oldest.is_idle(now) or is_too_many:
                del self._queues[scope]
            else:
                self._queues.move_to_end(scope)


def ask_all(
    claims: list[Claim], waiter: Waiter, now: float
) -> tuple[Queue | None, AskAgain | TooLate | None]:
    """Ask whether all declared limits let a call send now; `Claim.take` then counts it.

    Returns:
        The queue to wait in, None for none; and when to ask again or why it is too late, None if
        the call may send.
    """
    slowest: tuple[Queue | None, AskAgain | None] = (None, None)
    for claim in claims:
        answer = claim.ask(waiter, now)
        if isinstance(answer, TooLate):
            # No server named this time: it is only for people.
            free = f" (free in {seconds_text(answer.opens_in)})" if answer.opens_in else ""
            return None, TooLate(0.0, claim.shown + free)
        longest = slowest[1]
        if isinstance(answer, AskAgain) and (longest is None or answer.seconds > longest.seconds):
            slowest = claim.queue, answer
    return slowest
