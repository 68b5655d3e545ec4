"""The pace: how many requests a second a rate limit lets pass, as far as answers tell.

The limit is taken for a token bucket, which is empty when it refuses a request. From then on each
answer to a request that left later is counted:

- Until the first refusal requests are unlimited. Requests that had left when it arrived are one
  refusal with it, and measure nothing.
- The search begins at `FIRST_RATE` and grows with each success, as slow start does (RFC 5681
  section 3.1), until a good part of the last answers are refusals.
- Then the rate is measured: the requests that passed, divided by the time in which so many were
  due. Each further refusal measures it again, with all answers since the last one and a few older
  ones. The pace stays a little below the rate, and rises the faster the fewer answers the rate
  rests on.
- While all requests are refused, there is nothing to measure: a window of the server may be spent,
  or it sheds all load. Each refusal halves the pace. The first success begins a slow start.

Not every refusal comes of our rate: servers refuse to shed load, too. So a refusal lowers the pace
only as far as the rate is the cause:

- The rate does not fall below the floor, which has certainly passed (see `floor`). Refusals
  at the floor do not stop its rise.
- If a share of the answers are refusals at the floor, or a large share at a pace that did not
  change, the search begins again and expects this share. If a faster pace has a larger share
  refused, our rate is the cause, and is measured anew. If it has not, the search goes on until the
  pace holds back no call.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from . import floor as floors
from .floor import Floor

FIRST_RATE: Final = 25.0
"""Requests a second after the first refusal."""

GROWTH: Final = 0.25
"""Share by which each success raises the pace in a search, at most."""

IN_FLIGHT: Final = 0.17
"""Requests that each success adds to those under way in a search, at most. So the pace grows by a
sixth in a round trip at most."""

CAUTION: Final = 0.27
"""Share of this growth where refusals cost a cool-down."""

CAREFUL_UP_TO: Final = 50.0
"""Requests a second up to which this share holds. It is twice as large at twice the pace: the
faster the limit, the more requests a slow search holds back."""

HEAVY: Final = 0.2
"""Share of refusals, above the expected share, that ends a search. One of the last eight never
does."""

CARRIED: Final = 4.0
"""Requests that the end of a search counts as passed at its rate, so that the next refusal alone
does not set the rate."""

REMEMBERED: Final = 400.0
"""Requests that passed since the last refusal and count for the measured rate. Beyond that, older
ones count half."""

KEPT: Final = 32.0
"""Requests that count on after a refusal, at most. The bucket is empty at each refusal, so what
passes until the next one measures the limit. A few older ones are kept, as the next refusal may
come soon, where requests overtake one another."""

BELOW: Final = 0.96
"""Share of the measured rate that the pace has after a refusal."""

RISE: Final = 0.015
"""Share of the rate by which the pace has risen when as many requests have passed as the rate rests
on. Twice as many let it rise four times as much."""

CATCHING_UP: Final = 0.1
"""Requests a second by which each success raises a pace near zero. A faster pace rises by less, and
one of `FIRST_RATE` by nothing. So a process whose first requests were all refused gets its part of
a limit from others that share it, as with additive increase in TCP (RFC 5681 section 3.1)."""

LEAST_BASIS: Final = 18.0
"""Requests that the rate rests on, at least."""

MOST_BASIS: Final = 112.0
"""Requests that the rate rests on, at most, so that a limit that was raised is found."""

RARER: Final = 8.0
"""A cool-down stops as many requests as pass in its time. The rate is tested the less often: it
rests on this many times those requests, at least."""

RAREST_SECONDS: Final = 60.0
"""And on as many requests as pass in this time, at most."""

OUTGROWN: Final = 3.0
"""Times its measured rate to which a pace below `FIRST_RATE` may rise without a refusal. Then the
limit is another one than was measured, and is searched."""

STEEPEST: Final = 0.3
"""Share of the pace that remains after one refusal, at least."""

STEEPEST_IN_VAIN, LEAST_IN_VAIN = 0.5, 0.2
"""Share of the pace that remains after a refusal while nothing passes, and the lowest pace then. So
the time to the next request is about as long as nothing has passed, or five seconds: a server that
is back is soon found."""

IN_VAIN, IN_VAIN_AT_FIRST = 8, 2
"""Refusals in a row after which nothing seems to pass; in a search that nothing has passed yet."""

SAME: Final = 0.75
"""A pace that has fallen to less than this share is another one, whose answers are counted anew."""

UNRELATED, UNRELATED_ANSWERS = 3, 8
"""Refusals at the floor, among so many answers, before the search begins again."""

CONFIRMED: Final = 32
"""First answers of a search which confirm the share that it expects, as far as they have it too: it
was suspected since many were refused in a short time, and so it may be estimated too high."""

MANY: Final = 3
"""Refusals among the last 16 answers at a steady pace, before the search begins again."""

STEADY: Final = 1.25
"""Times the usual patience: answers at a pace after which it counts as one that did not change."""

LARGEST_SHARE: Final = 1 / 3
"""The largest share that begins a search. A larger one comes of a limit that is lower than the
pace, or of other processes that send too fast."""

MOST_PATIENCE: Final = 4096
"""Answers before the search begins again, at most. Each time takes twice as many as the last one,
as a search is paid for with refusals."""

LEAST_RATE: Final = 0.05
"""Requests a second that are always allowed, however often the server refuses."""

MOST_RATE: Final = 1e6
"""Requests a second that hold back no call."""

SECONDS_KEPT: Final = 600.0
"""Seconds after the last refusal for which the pace is remembered."""

_INSTANT = 1e-6
_LAST_EIGHT, _LAST_16, _LAST_32 = 0xFF, 0xFFFF, 0xFFFF_FFFF


class Pace(NamedTuple):
    """How fast one rate limit lets requests pass. Times are monotonic seconds.

    Attributes:
        rate: Requests a second that the limit lets pass; inf before the first refusal.
        is_searching: Whether the rate is only searched, and not measured.
        since: When the measurement began. Requests that left earlier count for nothing.
        changed: When the pace was last lowered, or a search began.
        before: The pace until then.
        refused_at: When the last refusal arrived.
        passed: Requests that have passed, some of the search before the measurement included.
        spent: Seconds in which so many requests were due, refused ones included.
        basis: Requests that had passed when the rate was measured.
        rises: Successes since then.
        answers: Answers at this pace, or in this search.
        recent: The last 32 of them, a bit for each, 1 for a refusal.
        in_vain: Refusals in a row.
        expected: The share of answers that are refusals whatever our rate.
        caution: Share of the usual growth in a search.
        patience: Answers before the search begins again.
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
    answers: int = 0
    recent: int = 0
    in_vain: int = 0
    expected: float = 0.0
    caution: float = 1.0
    patience: int = UNRELATED_ANSWERS
    floor: Floor = Floor()

    @property
    def allowed(self) -> float:
        """Requests a second that may be sent now."""
        if self.is_searching:
            return self.rate
        risen = self.rises / max(self.basis, LEAST_BASIS)
        caught_up = CATCHING_UP * max(1 - self.rate / FIRST_RATE, 0.0) * self.rises
        pace = self.rate * (BELOW + RISE * risen * risen) + caught_up
        return min(max(pace, LEAST_RATE), MOST_RATE)

    @property
    def passes_nothing(self) -> bool:
        """Whether the answers say that the server refuses all requests, however slow they come."""
        is_first = self.is_searching and not self.passed and not self.expected
        return self.in_vain >= (IN_VAIN_AT_FIRST if is_first else IN_VAIN)

    @property
    def is_slow_start(self) -> bool:
        """Whether requests pass again after a time in which none did."""
        return self.is_searching and not self.expected and self.rate < FIRST_RATE

    @property
    def ends(self) -> float:
        """When the pace is forgotten, if nothing is refused until then."""
        return self.refused_at + SECONDS_KEPT


NO_PACE: Final = Pace()
"""Requests are unlimited: nothing was refused."""


def on_passed(pace: Pace, began: float, now: float, *, is_used: bool) -> Pace:
    """Count a request that left at ``began`` and has passed.

    Args:
        pace: The pace before.
        began: When the request left.
        now: When the answer arrived.
        is_used: Whether requests are sent as fast as the pace allows. If they are not, it does not
            rise, as nothing shows that a faster one passes (RFC 7661).
    """
    if pace.rate == inf or began <= pace.since:
        return pace
    was_in_vain = pace.passes_nothing
    pace = _counted(pace, began, now, is_refused=False)
    if was_in_vain:
        pace = pace._replace(recent=0)
    if not is_used:
        return pace
    if not pace.is_searching:
        pace = pace._replace(rises=pace.rises + 1)
        is_outgrown = OUTGROWN * pace.rate < pace.allowed < FIRST_RATE
        return _search(pace, now) if is_outgrown else pace
    return pace._replace(rate=min(pace.rate + _growth(pace, now - began), MOST_RATE))


def _growth(pace: Pace, took: float) -> float:
    """Return the requests a second that a success adds to the pace of a search.

    Below `FIRST_RATE` it is a slow start, which adds one request to those under way.

    Args:
        pace: The pace.
        took: Seconds from the request to its answer.
    """
    under_way = 1 / max(took, _INSTANT)
    caution = min(pace.caution * max(pace.rate / CAREFUL_UP_TO, 1.0), 1.0)
    growth = caution * min(GROWTH * pace.rate, IN_FLIGHT * under_way)
    if not pace.is_slow_start:
        return growth
    return max(min(pace.rate, under_way, FIRST_RATE - pace.rate), growth)


def on_refused(pace: Pace, began: float, now: float, cool_down: float) -> Pace:
    """Count a refused request that left at ``began``, and measure the rate.

    Args:
        pace: The pace before.
        began: When the request left.
        now: When the refusal arrived.
        cool_down: Seconds for which the refusal has closed the scope.
    """
    if pace.rate == inf:
        first = Pace(FIRST_RATE, since=now, changed=now, before=FIRST_RATE, refused_at=now)
        caution = CAUTION if cool_down else 1.0
        return first._replace(caution=caution, floor=Floor(since=began))
    if began <= pace.since:
        return pace
    pace = _counted(pace, began, now, is_refused=True)._replace(refused_at=now)
    if pace.passes_nothing:
        return _in_vain(pace, began, now)
    if pace.is_searching:
        return _end_of_search(pace, began, now) if _is_too_fast(pace) else pace
    share = _unrelated_share(pace)
    if share:
        return _search_again(pace, share, began, now)
    return _measured(pace, began, now, cool_down)


def _counted(pace: Pace, began: float, now: float, *, is_refused: bool) -> Pace:
    """Count an answer."""
    sent_at = pace.allowed if began >= pace.changed else pace.before
    passed, spent = pace.passed + (not is_refused), pace.spent + 1 / sent_at
    if passed > REMEMBERED:
        passed, spent = passed / 2, spent / 2
    floor = (
        floors.on_refused(pace.floor, began) if is_refused else floors.on_passed(pace.floor, now)
    )
    if not pace.is_searching and floor.allows(sent_at, now):
        floor = floors.on_answer(floor, is_refused=is_refused)
    pace = pace._replace(
        passed=passed,
        spent=spent,
        answers=pace.answers + 1,
        recent=(pace.recent << 1 | is_refused) & _LAST_32,
        in_vain=pace.in_vain + 1 if is_refused else 0,
        floor=floor,
    )
    return _confirmed(pace) if pace.expected and pace.answers == CONFIRMED else pace


def _confirmed(pace: Pace) -> Pace:
    """Expect no larger share than the first answers have; one of them may always be a refusal."""
    share = max(pace.recent.bit_count(), 1) / CONFIRMED
    return pace._replace(expected=min(pace.expected, share))


def _in_vain(pace: Pace, began: float, now: float) -> Pace:
    """Halve the pace as nothing passes, and search the rate anew from there.

    Requests under way left at the pace from before: their refusals do not halve it again.
    """
    rate = max(STEEPEST_IN_VAIN * pace.allowed, min(pace.allowed, LEAST_IN_VAIN))
    return _search(pace, now)._replace(rate=rate, floor=Floor(since=began))


def _search(pace: Pace, now: float) -> Pace:
    """Begin another search at the pace."""
    return pace._replace(
        is_searching=True,
        rate=pace.allowed,
        since=now,
        changed=now,
        before=pace.allowed,
        passed=0.0,
        spent=0.0,
        answers=0,
        recent=0,
        expected=0.0,
        caution=1.0,
    )


def _is_too_fast(pace: Pace) -> bool:
    """Whether a search has gone too far: more is refused than is expected at any pace.

    Sixteen answers are compared where some refusals are expected, since chance makes them more or
    fewer; else eight.
    """
    last, number = (_LAST_16, 16) if pace.expected else (_LAST_EIGHT, 8)
    return (pace.recent & last).bit_count() / number > pace.expected + HEAVY


def _unrelated_share(pace: Pace) -> float:
    """Return the share of answers that are refusals though the pace may not be the cause.

    0.0: too few answers tell, or the share is small, or too large.
    """
    floor, refused, share = pace.floor, (pace.recent & _LAST_16).bit_count(), 0.0
    if floor.refused >= UNRELATED and floor.answers >= pace.patience:
        share = floor.refused / floor.answers
    elif refused >= MANY and pace.answers >= STEADY * pace.patience:
        share = refused / 16
    return share if share <= LARGEST_SHARE else 0.0


def _search_again(pace: Pace, share: float, began: float, now: float) -> Pace:
    """Begin a search that expects a share of refusals.

    The floor is measured anew: if the limit has been lowered since, it was wrong.
    """
    return _search(pace, now)._replace(
        expected=share,
        patience=min(2 * pace.patience, MOST_PATIENCE),
        floor=Floor(since=began),
    )


def _end_of_search(pace: Pace, began: float, now: float) -> Pace:
    """Measure the rate at the end of a search.

    A floor that was measured in a search which expected refusals is not believed: they do not show
    that the bucket was empty.
    """
    rate = max(pace.passed / pace.spent, STEEPEST * pace.rate, LEAST_RATE)
    passed = min(pace.passed, CARRIED)
    return pace._replace(
        is_searching=False,
        rate=rate,
        since=now,
        changed=now,
        before=pace.rate,
        passed=passed,
        spent=passed / rate,
        basis=passed,
        rises=0,
        answers=0,
        recent=0,
        expected=0.0,
        floor=Floor(since=began) if pace.expected else pace.floor,
    )


def _measured(pace: Pace, began: float, now: float, cool_down: float) -> Pace:
    """Measure the rate after a refusal."""
    allowed, floor = pace.allowed, pace.floor
    least = max(STEEPEST * allowed, floor.believed(now), LEAST_RATE)
    rate = max(pace.passed / pace.spent, least)
    if began >= pace.changed:
        pace = pace._replace(changed=now, before=allowed)
    if not floor.allows(allowed, now):
        tested_after = min(RARER * cool_down, RAREST_SECONDS) * rate
        pace = pace._replace(rises=0, basis=max(min(pace.passed, MOST_BASIS), tested_after))
    kept = min(pace.passed, KEPT)
    pace = pace._replace(rate=rate, passed=kept, spent=kept / rate)
    return pace._replace(answers=0, recent=0) if pace.allowed < SAME * allowed else pace
