"""The backoff: how long to wait before a retry when the server named no time.

Full jitter, two bases and the cap before the jitter follow the AWS retry rules "2.1" and the
AWS Architecture Blog's "Exponential Backoff And Jitter" (2015).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from .arguments import checks_arguments
from .display import ShownByDifference
from .validation import instance, refuse, seconds

LEAST_PACE: Final = 1.0
"""Seconds from one look at a result that is not there yet to the next, at least: such looks have no
end but the deadline."""


class Jitter(enum.Enum):
    """How delays are spread, so that clients do not retry in step."""

    FULL = "full"
    """Any delay between zero and the computed one: least work for the server."""

    EQUAL = "equal"
    """Any delay between half of the computed one and all of it."""

    NONE = "none"
    """Always the computed delay."""

    def __repr__(self) -> str:
        return f"Jitter.{self.name}"


@checks_arguments()
@dataclass(frozen=True, kw_only=True, repr=False)
class Backoff(ShownByDifference):
    """How the delay between attempts grows.

    The delay before retry *n* (the first retry is 1) is
    ``min(max_delay, base * multiplier ** (n - 1))``, then spread by the jitter.

    Where the server could not be reached, the base is the larger one of ``initial`` and
    ``unreachable_initial``, and any jitter adds up to as much again, within ``max_delay``: by
    default 0.3, 0.6 and 1.2 s, and up to twice that. So a call survives a server or a name service
    that is away for two seconds.

    Attributes:
        initial: Base after a transient failure, in seconds.
        throttled_initial: Base after a 429 that named no time, in seconds.
        unreachable_initial: Least base after an attempt that sent nothing, because the server could
            not be reached, in seconds.
        multiplier: Growth from one retry to the next; 1 keeps the delay constant.
        max_delay: Upper bound of one delay before the jitter, in seconds.
        jitter: How the delay is spread.

    Raises:
        ConfigurationError: A time is negative or not finite, or the multiplier is below 1.
    """

    initial: float = 0.05
    throttled_initial: float = 1.0
    unreachable_initial: float = 0.3
    multiplier: float = 2.0
    max_delay: float = 20.0
    jitter: Jitter = Jitter.FULL

    def __post_init__(self) -> None:
        """Refuse values that cannot work, and name all faults together."""
        growth = seconds("multiplier", self.multiplier)
        if growth is None and self.multiplier < 1:
            growth = f"multiplier must be at least 1, not {self.multiplier!r}"
        refuse(
            "Backoff",
            [
                seconds("initial", self.initial),
                seconds("throttled_initial", self.throttled_initial),
                seconds("unreachable_initial", self.unreachable_initial),
                growth and growth.replace(" of seconds", ""),
                seconds("max_delay", self.max_delay),
                instance("jitter", self.jitter, Jitter, "write Jitter.FULL, EQUAL or NONE"),
            ],
        )

    def delay(
        self, retry: int, *, throttled: bool, fraction: float, unreachable: bool = False
    ) -> float:
        """Return the delay before a retry.

        Args:
            retry: Which retry, counted from 1.
            throttled: Whether the server said that requests come too fast.
            fraction: A random number in [0, 1).
            unreachable: Whether nothing was sent, because the server could not be reached.

        Returns:
            Seconds, never above ``max_delay``.
        """
        base = self.throttled_initial if throttled else self.initial
        jitter = self.jitter
        if unreachable:
            base = max(self.initial, self.unreachable_initial)
            if jitter is not Jitter.NONE:  # half of twice as much, and a part of the other half
                base, jitter = 2 * base, Jitter.EQUAL
        full = self._full(base, retry)
        if jitter is Jitter.FULL:
            return full * fraction
        if jitter is Jitter.EQUAL:
            return full / 2 + full / 2 * fraction
        return full

    def pace(self, poll: int) -> float:
        """Return the seconds before a result is asked for again that was not there yet.

        They begin at 1 s, grow as other delays do, and have no jitter: clients that wait for
        results have not begun together, as those have that one failure hit.

        Args:
            poll: Which time, counted from 1.
        """
        return max(self._full(LEAST_PACE, poll), LEAST_PACE)

    def _full(self, base: float, number: int) -> float:
        """Return the delay before its jitter."""
        try:
            return min(self.max_delay, base * float(self.multiplier) ** (number - 1))
        except OverflowError:
            return self.max_delay if base else 0.0
