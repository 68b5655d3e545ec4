"""The queues in which calls wait for declared limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._core import declared
from .._core.declared import RateUse
from .._core.rate_supply import RateSupply
from .rate_limit_queue import Queue

if TYPE_CHECKING:
    from .._core.declared import Rate
    from .waiting import Life, Waiter


class DeclaredScope(NamedTuple):
    """What one declared limit covers.

    Attributes:
        origin: The name of an origin, see `target.origin_name`.
        credential: What tells callers apart; it is no secret.
        rate: The rate, None for the attempts under way.
    """

    origin: str
    credential: str
    rate: Rate | None

    @property
    def key(self) -> str:
        """The key in a store of what processes share of the rate."""
        rate, cost = self.rate, ""
        if rate is None:
            return ""
        if rate.cost is not None:
            named = rate.cost if hasattr(rate.cost, "__qualname__") else type(rate.cost)
            cost = f"{named.__module__}.{named.__qualname__}"
        numbers = (rate.limit, rate.per, rate.burst or 0.0)
        parts = ("rate", self.origin, self.credential, *map(repr, map(float, numbers)))
        return " ".join(filter(None, (*parts, cost, rate.path or "")))


class DeclaredQueue(Queue):
    """The calls that wait for one declared limit. Not thread-safe, as `Queue`.

    Attributes:
        scope: What it covers.
        use: What was sent under its rate.
        supply: What this process holds of its rate, where a store has units of it.
        under_way: The lives of the attempts under way; some may be over.
        most: How many attempts were last allowed at a time.
        head: What the call costs that was first when it asked; nothing behind it is sent earlier.
    """

    def __init__(self, scope: DeclaredScope) -> None:
        super().__init__()
        self.scope = scope
        self.use = RateUse()
        self.supply = RateSupply()
        self.under_way: set[Life] = set()
        self.most = 0
        self.head = 0.0

    def units_before(self, waiter: Waiter, units: float) -> float:
        """Return what the calls before one cost, as if all but the first cost as much as it does.

        Args:
            waiter: A call that asks now.
            units: What it costs.
        """
        place = self.place(waiter)
        if not place:
            self.head = units
            return 0.0
        return self.head + (place - 1) * units

    def drop_those_ended(self) -> None:
        """Forget the attempts that an exception of a signal handler has ended."""
        self.under_way = {life for life in self.under_way if life.is_led()}

    def clear(self) -> None:
        """Forget the calls that wait, and the units that they were to have."""
        super().clear()
        self.under_way = set()
        self.supply = RateSupply()

    def is_idle(self, now: float) -> bool:
        """Whether it holds back no call, and would not if it were made anew."""
        self.drop_those_ended()
        rate = self.scope.rate
        is_unused = rate is None or (
            declared.is_unused(self.use, now, rate) and self.supply.is_over(rate, now)
        )
        return is_unused and not self.under_way and self.is_empty
