"""The retry quota: what retries may cost, so that they cannot turn a fault into an outage.

Each origin has a bucket that starts full. A retry takes its cost out. A call that succeeds pays
back what its last retry took, or one unit if it needed no retry (the AWS retry rules "2.1"). With
the defaults, all failed calls are retried while up to about 20 % fail. In a full outage a bucket
pays for 500 / 14 = 35 retries, however many threads there are, until something succeeds.
"""

from __future__ import annotations

from dataclasses import dataclass

from .arguments import checks_arguments
from .display import ShownByDifference
from .validation import refuse, whole

FIRST_TRY_PAYS = 1
"""Units that a call puts into the bucket if its first attempt succeeds."""


@checks_arguments()
@dataclass(frozen=True, kw_only=True, repr=False)
class RetryQuota(ShownByDifference):
    """What retries may cost at one origin.

    Attributes:
        capacity: Units in a full bucket.
        transient_cost: Units for a retry after a server error or a lost connection; 0: no limit.
        throttled_cost: Units for a retry after a 429; 0 sets no limit.

    Raises:
        ConfigurationError: A value is negative or not a whole number.
    """

    capacity: int = 500
    transient_cost: int = 14
    throttled_cost: int = 5

    def __post_init__(self) -> None:
        """Refuse values that cannot work, and name all faults together."""
        names = ("capacity", "transient_cost", "throttled_cost")
        refuse("RetryQuota", [whole(name, getattr(self, name), 0) for name in names])

    def cost(self, *, throttled: bool) -> int:
        """Return the units that one retry takes."""
        return self.throttled_cost if throttled else self.transient_cost

    def paid_back(self, level: int, last_cost: int | None) -> int:
        """Return the level after a call that succeeded; ``last_cost`` is None without a retry."""
        return min(self.capacity, level + (FIRST_TRY_PAYS if last_cost is None else last_cost))
