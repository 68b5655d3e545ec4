"""What retries may still cost, for each origin."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING

from .._locks import ForkSafeLock

if TYPE_CHECKING:
    from .._core.quota import RetryQuota
    from .._protocols import Clock

_MOST_ORIGINS, _REMEMBERED_SECONDS = 1000, 3600.0


class RetryQuotas:
    """The retry quota of each origin. Thread-safe.

    An origin has its full quota again when its level has not changed for an hour.

    Args:
        quota: The quota of each origin.
        clock: Tells the age of a level.

    Attributes:
        levels: The units that are left at each origin whose quota is not full, and until when that
            is remembered. Reading takes no lock: a call that went well looks here first, and mostly
            has nothing to pay back.
    """

    def __init__(self, quota: RetryQuota, clock: Clock) -> None:
        self._quota, self._clock = quota, clock
        self.levels: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = ForkSafeLock()

    def level(self, origin: str) -> int:
        """Return the units left for retries at an origin."""
        full = self._quota.capacity
        level, until = self.levels.get(origin, (full, inf))
        return level if self._clock.monotonic() < until else full

    def known(self) -> dict[str, int]:
        """Return the units left at each origin whose quota is not full."""
        now = self._clock.monotonic()
        return {
            origin: level for origin, (level, until) in self.levels.copy().items() if now < until
        }

    def refill(self, origin: str) -> None:
        """Fill the quota of an origin."""
        with self._lock:
            self._keep(origin, self._quota.capacity)

    def pay(self, origin: str, cost: int) -> bool:
        """Take a retry's cost out; return whether there was enough left."""
        with self._lock:
            left = self.level(origin) - cost
            if left < 0:
                return False
            self._keep(origin, left)
            return True

    def pay_back(self, origin: str, last_cost: int | None) -> None:
        """Put back what a call earned that ended well."""
        with self._lock:
            self._keep(origin, self._quota.paid_back(self.level(origin), last_cost))

    def _keep(self, origin: str, level: int) -> None:
        """Remember a level that is less than full; forget the oldest of too many, and old ones."""
        now = self._clock.monotonic()
        if level < self._quota.capacity:
            self.levels[origin] = level, now + _REMEMBERED_SECONDS
            self.levels.move_to_end(origin)
        else:
            self.levels.pop(origin, None)
        for _ in range(min(2, len(self.levels))):
            oldest = next(iter(self.levels))
            # Redirects may name dead origins without end.
            if len(self.levels) > _MOST_ORIGINS or now >= self.levels[oldest][1]:
                del self.levels[oldest]
