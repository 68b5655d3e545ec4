"""What retries may still cost, for each origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._locks import ForkSafeLock

if TYPE_CHECKING:
    from .._core.quota import RetryQuota

_MOST_ORIGINS = 1000


class RetryQuotas:
    """The retry quota of each origin. Thread-safe.

    Attributes:
        levels: The units that are left at each origin whose quota is not full. Reading takes no
            lock: a call that went well looks here first, and mostly has nothing to pay back.
    """

    def __init__(self, quota: RetryQuota) -> None:
        self._quota = quota
        self.levels: dict[str, int] = {}
        self._lock = ForkSafeLock()

    @property
    def capacity(self) -> int:
        """Return the units of a full quota."""
        return self._quota.capacity

    def level(self, origin: str) -> int:
        """Return the units left for retries at an origin."""
        return self.levels.get(origin, self._quota.capacity)

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
        """Remember a level that is less than full, and forget the oldest of too many."""
        if level < self._quota.capacity:
            self.levels[origin] = level
            if len(self.levels) > _MOST_ORIGINS:  # redirects may name dead origins without end
                del self.levels[next(iter(self.levels))]
        else:
            self.levels.pop(origin, None)
