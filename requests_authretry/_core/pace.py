"""The pace: how many requests a second a rate limit lets pass, as far as answers tell.

The limit is taken for a token bucket, which is empty when it refuses a request. From then on each
answer to a request that left later is counted:

- Until the first refusal requests are unlimited. Requests that had left when it arrived are one
  refusal with it, and measure nothing.
- The search begins at `FIRST_RATE` and grows with each success, as slow start does (RFC 5681
  section 3.1), until a good part of the last eight answers are refusals.
- Then the rate is measured: the requests that passed, divided by the time in which so many were
  due. Each further refusal measures again, with all answers since. The pace stays a little below
  the rate, and rises the faster the fewer answers the rate rests on.

Not every refusal comes of our rate: servers refuse to shed load, too. Two facts tell them apart:

- The floor: `passed` requests in the seconds after a refusal show that the bucket is filled with at
  least ``(passed - 1) / seconds`` a second. A pace above the measured floor may be too high, and
  a pace at the floor cannot be: refusals are unrelated to our rate there. So the pace never falls
  below the floor, and such refusals do not stop its rise.
- If a share of the answers are refusals even at the floor, the search begins again, and expects
  this share. If a faster pace has no larger share refused, the pace is not the cause. If it has,
  the floor was wrong (the limit has been lowered since), and the rate is measured anew.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

FIRST_RATE: Final = 25.0
"""Requests a second after the first refusal."""

GROWTH: Final = 0.25
"""Share by which each success raises the pace in a search, at most."""

IN_FLIGHT: Final = 0.25
"""Requests that each success adds to those under way in a search, at most. So the pace grows by a
quarter in a round trip at most."""

HEAVY: Final = 0.2
"""Share of the last eight answers that are refusals, above the expected share, that ends a search.
One refusal never does."""

CARRIED: Final = 4.0
"""Requests that the end of a search counts as passed at its rate, so that the next refusal alone
does not set the rate."""

REMEMBERED: Final = 64.0
"""Requests that passed and count for the measured rate. Beyond that, older ones count half."""

BELOW: Final = 0.94
"""Share of the measured rate that the pace has after a refusal."""

RISE: Final = 0.02
"""Share of the rate by which the pace has risen when as many requests have passed as the rate rests
on. Twice as many let it rise four times as much."""

LEAST_BASIS: Final = 12.0
"""Requests that the rate rests on, at least."""

RARER: Final = 8.0
"""A cool-down stops as many requests as pass in its time. The rate is tested the less often: it
rests on this many times those requests, at least."""

RAREST_SECONDS: Final = 60.0
"""And on as many requests as pass in this time, at most."""

STEEPEST: Final = 0.3
"""Share of the pace that remains after one refusal, at least."""

STEEPEST_IN_VAIN: Final = 0.4
"""The same while nothing has passed at all."""

LEAST_RATE: Final = 0.05
"""Requests a second that are always allowed, however often the server refuses."""

MOST_RATE: Final = 1e6
"""Requests a second that hold back no call."""

PROVING: Final = 12
"""Requests that have to pass before the floor is measured."""

PROVED: Final = 48
"""Requests after which the next refusal begins a new measurement of the floor."""

FLOOR_SECONDS: Final = 60.0
"""Seconds for which a floor is believed: the limit may be lowered."""

AT_FLOOR: Final = 1.02
"""A pace up to this many times the floor is at the floor."""

UNRELATED: Final = 3
"""Refusals at the floor before the search begins again."""

FIRST_PATIENCE, MOST_PATIENCE = 16, 4096
"""Answers at the floor before the search begins again, at first and at most. Each time takes twice
as many, as a search is paid for with refusals."""

SECONDS_KEPT: Final = 600.0
"""Seconds after the last refusal for which the pace is remembered."""

_LAST_EIGHT = 0xFF


class Floor(NamedTuple):
    """The rate that a limit has certainly let pass.

    Attributes:
        rate: Requests a second; 0.0 before enough have passed.
        measured: When it was measured, in monotonic seconds.
        since: When the refused request left that the next measurement begins with.
        passed: Requests that have passed since.
        answers: Answers to requests that were sent at the floor.
        refused: How many of them are refusals.
        patience: Answers at the floor before the next search.
    """

    rate: float = 0.0
    measured: float = -inf
    since: float = -inf
    passed: int = 0
    answers: int = 0
    refused: int = 0
    patience: int = FIRST_PATIENCE


class Pace(NamedTuple):
    """How fast one rate limit lets requests pass. Times are monotonic seconds.

    Attributes:
        rate: Requests a second that the limit lets pass; inf before the first refusal.
        is_searching: Whether the rate is only searched, and not measured.
        since: When the measurement began. Requests that left earlier count for nothing.
        changed: When the pace was last lowered, or a search began.
        before: The pace until then.
        refused_at: When the last refusal arrived.
        passed: Requests that have passed, those of a search before the measurement included.
        spent: Seconds in which so many requests were due, refused ones included.
        basis: Requests that had passed when the rate was measured.
        rises: Successes since then.
        recent: The last eight answers, a bit for each, 1 for a refusal.
        expected: The share of answers that are refusals whatever our rate.
        floor: The rate that has certainly passed.
    """

    rate: float = inf
    is_searching: bool = True
    since: float = -inf
    changed: float = -inf
    before: float = inf
    refused_at: float = -inf
    passed: float = 0.0
    spent: float = 0.0
    basis: float = 0.0
    rises: float = 0
    recent: int = 0
    expected: float = 0.0
    floor: Floor = Floor()

    @property
    def allowed(self) -> float:
        """Requests a second that may be sent now."""
        if self.is_searching:
            return self.rate
        risen = self.rises / max(self.basis, LEAST_BASIS)
        return min(self.rate * (BELOW + RISE * risen * risen), MOST_RATE)


NO_PACE: Final = Pace()
"""Requests are unlimited: nothing was refused."""


def is_over(pace: Pace, now: float) -> bool:
    """Whether the last refusal was so long ago that the pace is forgotten."""
    return now >= ends(pace)


def ends(pace: Pace) -> float:
    """Return when the pace is forgotten, if nothing is refused until then."""
    return pace.refused_at + SECONDS_KEPT


def on_passed(pace: Pace, began: float, now: float) -> Pace:
    """Count a request that left at ``began`` and has passed."""
    if pace.rate == inf or began < pace.since:
        return pace
    pace = _counted(pace, began, now, is_refused=False)
    if not pace.is_searching:
        return pace._replace(rises=pace.rises + 1)
    more = min(GROWTH * pace.rate, IN_FLIGHT / max(now - began, 1e-6))
    return pace._replace(rate=min(pace.rate + more, MOST_RATE))


def on_refused(pace: Pace, began: float, now: float, cool_down: float = 0.0) -> Pace:
    """Count a refused request that left at ``began``, and measure the rate.

    Args:
        pace: The pace before.
        began: When the request left.
        now: When the refusal arrived.
        cool_down: Seconds for which the refusal has closed the scope.
    """
    if pace.rate == inf:
        floor = pace.floor._replace(since=began)
        return Pace(FIRST_RATE, since=now, changed=now, before=FIRST_RATE, floor=floor)._replace(
            refused_at=now
        )
    if began < pace.since:
        return pace
    pace = _counted(pace._replace(refused_at=now), began, now, is_refused=True)
    if pace.is_searching:
        refusals = pace.recent.bit_count()
        is_heavy = refusals > 1 and refusals / 8 > pace.expected + HEAVY
        return _end_of_search(pace, began, now) if is_heavy else pace
    floor = pace.floor
    if floor.refused >= UNRELATED and floor.answers >= floor.patience:
        return _search_again(pace, now)
    return _measured(pace, began, now, cool_down)


def _counted(pace: Pace, began: float, now: float, *, is_refused: bool) -> Pace:
    """Count an answer."""
    sent_at = pace.allowed if began >= pace.changed else pace.before
    passed, spent = pace.passed + (not is_refused), pace.spent + 1 / sent_at
    if passed > REMEMBERED:
        passed, spent = passed / 2, spent / 2
    floor = pace.floor if is_refused else _proved(pace.floor, now)
    if not pace.is_searching and sent_at <= AT_FLOOR * floor.rate:
        floor = floor._replace(answers=floor.answers + 1, refused=floor.refused + is_refused)
    if is_refused and floor.passed > PROVED:
        floor = floor._replace(since=began, passed=0)
    recent = (pace.recent << 1 | is_refused) & _LAST_EIGHT
    return pace._replace(passed=passed, spent=spent, recent=recent, floor=floor)


def _proved(floor: Floor, now: float) -> Floor:
    """Return the floor after one more request has passed."""
    floor = floor._replace(passed=floor.passed + 1)
    if floor.passed < PROVING:
        return floor
    rate = (floor.passed - 1) / max(now - floor.since, 1e-6)
    if rate > floor.rate or now > floor.measured + FLOOR_SECONDS:
        return floor._replace(rate=rate, measured=now)
    return floor


def _end_of_search(pace: Pace, began: float, now: float) -> Pace:
    """Measure the rate at the end of a search.

    A floor that has led to this search was wrong: a faster pace had more refused.
    """
    rate = max(pace.passed / pace.spent, pace.rate * STEEPEST, LEAST_RATE)
    passed = min(pace.passed, CARRIED)
    floor = Floor(since=began, patience=pace.floor.patience)
    if not pace.expected:
        floor = floor._replace(rate=pace.floor.rate, measured=pace.floor.measured)
    return pace._replace(
        rate=rate,
        is_searching=False,
        since=now,
        changed=now,
        before=pace.rate,
        passed=passed,
        spent=passed / rate,
        basis=passed,
        rises=0,
        recent=0,
        expected=0.0,
        floor=floor,
    )


def _search_again(pace: Pace, now: float) -> Pace:
    """Begin a search that expects the share of refusals that were seen at the floor."""
    floor = pace.floor
    return pace._replace(
        is_searching=True,
        since=now,
        changed=now,
        before=pace.allowed,
        passed=0.0,
        spent=0.0,
        rises=0,
        recent=0,
        expected=floor.refused / floor.answers,
        floor=floor._replace(patience=min(2 * floor.patience, MOST_PATIENCE)),
    )


def _measured(pace: Pace, began: float, now: float, cool_down: float) -> Pace:
    """Measure the rate after a refusal."""
    allowed, floor = pace.allowed, pace.floor
    least = allowed * (STEEPEST if pace.passed else STEEPEST_IN_VAIN)
    is_believed = now <= floor.measured + FLOOR_SECONDS
    rate = max(pace.passed / pace.spent, least, floor.rate if is_believed else 0.0, LEAST_RATE)
    if began >= pace.changed:
        pace = pace._replace(changed=now, before=allowed)
    if allowed > AT_FLOOR * floor.rate:
        rarest = min(RARER * cool_down, RAREST_SECONDS) * rate
        pace = pace._replace(rises=0, basis=max(pace.passed, rarest))
    return pace._replace(rate=rate)
