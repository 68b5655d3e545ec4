"""The floor: a rate that a limit has certainly let pass.

A token bucket is empty when it refuses a request. If ``passed`` requests pass in the seconds after
that, the bucket is filled with at least ``(passed - 1) / seconds`` requests a second. A pace that
is not above this rate cannot be the reason for a refusal.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

LEAST_PASSED: Final = 5
"""Requests that have to pass before the rate is known."""

MOST_PASSED: Final = 48
"""Requests after which the next refusal begins a new measurement."""

BELIEVED_SECONDS: Final = 60.0
"""Seconds after its measurement for which a rate is believed: the limit may be lowered."""

TOLERANCE: Final = 1.02
"""A pace up to this many times the floor counts as at the floor."""

_INSTANT = 1e-6


class Floor(NamedTuple):
    """What is known of the floor. Times are monotonic seconds.

    Attributes:
        rate: Requests a second; 0.0 before enough have passed.
        measured: When the rate was measured.
        since: When the refused request left that the measurement under way begins with.
        passed: Requests that have passed since.
        answers: Answers to requests that were sent at the floor.
        refused: How many of them are refusals.
    """

    rate: float = 0.0
    measured: float = -inf
    since: float = -inf
    passed: int = 0
    answers: int = 0
    refused: int = 0

    def believed(self, now: float) -> float:
        """Return the rate; 0.0 if it was measured too long ago."""
        return self.rate if now <= self.measured + BELIEVED_SECONDS else 0.0

    def allows(self, pace: float, now: float) -> bool:
        """Whether requests at this pace, in requests a second, exceed no limit."""
        return pace <= TOLERANCE * self.believed(now)


def on_passed(floor: Floor, now: float) -> Floor:
    """Measure the rate after one more request has passed."""
    floor = floor._replace(passed=floor.passed + 1)
    if floor.passed < LEAST_PASSED:
        return floor
    rate = (floor.passed - 1) / max(now - floor.since, _INSTANT)
    return floor._replace(rate=rate, measured=now) if rate > floor.believed(now) else floor


def on_refused(floor: Floor, began: float) -> Floor:
    """Begin another measurement with a refused request that left at ``began``, if it is time."""
    return floor._replace(since=began, passed=0) if floor.passed > MOST_PASSED else floor


def on_answer(floor: Floor, *, is_refused: bool) -> Floor:
    """Count an answer to a request that was sent at the floor."""
    return floor._replace(answers=floor.answers + 1, refused=floor.refused + is_refused)
