"""The pace: how fast a limit lets requests pass, as far as answers tell."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core import pace as pacing
from requests_authretry._core.floor import Floor
from requests_authretry._core.pace import (
    BELOW,
    CARRIED,
    CAUTION,
    CONFIRMED,
    FIRST_RATE,
    IN_VAIN,
    KEPT,
    LEAST_BASIS,
    LEAST_IN_VAIN,
    LEAST_RATE,
    MANY,
    MOST_BASIS,
    MOST_PATIENCE,
    MOST_RATE,
    NO_PACE,
    OUTGROWN,
    RAREST_SECONDS,
    REMEMBERED,
    SECONDS_KEPT,
    STEADY,
    STEEPEST,
    STEEPEST_IN_VAIN,
    UNRELATED,
    UNRELATED_ANSWERS,
    Pace,
)

NOW = 1000.0
TRIP = 0.05
"""Seconds from a request to its answer."""

SEARCH = pacing.on_refused(NO_PACE, NOW - TRIP, NOW, 0.0)
"""After the first refusal, without a cool-down."""

MEASURED = Pace(
    rate=10.0,
    is_searching=False,
    since=NOW,
    changed=NOW,
    before=20.0,
    refused_at=NOW,
    passed=4.0,
    spent=0.4,
    basis=4.0,
)
"""A limit that lets ten requests a second pass."""


def near(value: float) -> Any:
    """Return what equals this number, but for rounding."""
    return pytest.approx(value)


def passes(pace: Pace, number: int = 1, *, trip: float = TRIP, is_used: bool = True) -> Pace:
    """Return the pace after requests that left after `NOW` and have passed."""
    for _ in range(number):
        pace = pacing.on_passed(pace, NOW + 1, NOW + 1 + trip, is_used=is_used)
    return pace


def refused(pace: Pace, number: int = 1, cool_down: float = 0.0) -> Pace:
    """Return the pace after requests that left after `NOW` and were refused."""
    for _ in range(number):
        pace = pacing.on_refused(pace, NOW + 1, NOW + 1 + TRIP, cool_down)
    return pace


# Before the first refusal, and at it.


def test_before_the_first_refusal_requests_are_unlimited() -> None:
    """Answers that are no refusals change nothing."""
    assert NO_PACE.allowed == inf
    assert passes(NO_PACE) is NO_PACE


@pytest.mark.parametrize(("cool_down", "caution"), [(0.0, 1.0), (0.1, CAUTION)])
def test_the_search_begins_at_the_first_refusal(cool_down: float, caution: float) -> None:
    """From 25 requests a second on; the request that was refused had found the bucket empty."""
    search = pacing.on_refused(NO_PACE, NOW - TRIP, NOW, cool_down)
    assert search == Pace(
        rate=25.0,
        is_searching=True,
        since=NOW,
        changed=NOW,
        before=25.0,
        refused_at=NOW,
        caution=caution,
        floor=Floor(since=NOW - TRIP),
    )
    assert search.allowed == FIRST_RATE


def test_a_pace_is_forgotten_ten_minutes_after_the_last_refusal() -> None:
    """A refusal at 1001 s keeps the pace until 1601 s; a success does not."""
    assert SEARCH.ends == NOW + SECONDS_KEPT == NOW + 600
    assert passes(SEARCH).ends == SEARCH.ends
    assert refused(SEARCH).ends == NOW + 1 + TRIP + 600


@pytest.mark.parametrize("pace", [SEARCH, MEASURED], ids=["searched", "measured"])
def test_requests_that_left_before_the_measurement_count_for_nothing(pace: Pace) -> None:
    """Requests under way when the first refusal arrived are one refusal with it."""
    for began in (NOW - 1, NOW):
        assert pacing.on_passed(pace, began, NOW + 1, is_used=True) is pace
        assert pacing.on_refused(pace, began, NOW + 1, 5.0) is pace
    assert pacing.on_passed(pace, NOW + 0.001, NOW + 1, is_used=True) is not pace


# The search.

GROWS = {
    "by requests under way": (SEARCH, 0.05, FIRST_RATE + 0.17 / 0.05),
    "by a quarter at most": (SEARCH, 0.01, 1.25 * FIRST_RATE),
    "by a quarter if answers take no time": (SEARCH, 0.0, 1.25 * FIRST_RATE),
    "less where refusals cost a cool-down": (
        pacing.on_refused(NO_PACE, NOW - TRIP, NOW, 3.0),
        0.05,
        FIRST_RATE + CAUTION * 3.4,
    ),
    "at twice the careful pace twice as much": (
        pacing.on_refused(NO_PACE, NOW - TRIP, NOW, 3.0)._replace(rate=100.0),
        0.05,
        100 + 2 * CAUTION * 3.4,
    ),
    "never more than without a cool-down": (
        pacing.on_refused(NO_PACE, NOW - TRIP, NOW, 3.0)._replace(rate=1000.0),
        0.05,
        1000 + 3.4,
    ),
    "until it holds back no call": (SEARCH._replace(rate=0.9 * MOST_RATE), 0.0, MOST_RATE),
    "in a slow start it doubles": (SEARCH._replace(rate=4.0), 0.05, 8.0),
    "in a slow start by one under way": (SEARCH._replace(rate=4.0), 0.5, 6.0),
    "in a slow start to the first rate": (SEARCH._replace(rate=20.0), 0.05, FIRST_RATE),
    "in no slow start where refusals are expected": (
        SEARCH._replace(rate=4.0, expected=0.2),
        0.05,
        5.0,
    ),
}


@pytest.mark.parametrize(("pace", "trip", "rate"), GROWS.values(), ids=GROWS)
def test_a_search_grows_with_each_success(pace: Pace, trip: float, rate: float) -> None:
    """At 25 a second, with answers after 50 ms, a success raises the pace to 28.4 a second."""
    assert passes(pace, trip=trip).allowed == near(rate)


def test_a_search_grows_only_while_the_pace_is_used() -> None:
    """A success of a caller that sends less than it may counts, and raises nothing."""
    after = passes(SEARCH, is_used=False)
    assert after.allowed == FIRST_RATE
    assert (after.passed, after.spent, after.answers) == (1.0, 1 / FIRST_RATE, 1)


def test_a_single_refusal_ends_no_search() -> None:
    """One of eight answers may be a refusal for any reason."""
    after = refused(SEARCH)
    assert after.is_searching
    assert (after.rate, after.recent, after.passed, after.refused_at) == (
        FIRST_RATE,
        1,
        0.0,
        NOW + 1 + TRIP,
    )
    assert refused(passes(after, 7)).is_searching


def test_two_refusals_among_eight_answers_end_a_search() -> None:
    """The second refusal comes six successes after the first one: more than a fifth is refused."""
    after = refused(passes(refused(SEARCH), 6))
    assert not after.is_searching


@pytest.mark.parametrize(("refusals", "is_over"), [(8, False), (9, True)])
def test_a_search_that_expects_refusals_compares_sixteen_answers(
    refusals: int,
    is_over: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """With 0.35 expected, nine of sixteen are too many, and eight are not.

    So many refusals among the last eight answers do not end it.
    """
    search = SEARCH._replace(expected=0.35)
    after = refused(passes(refused(passes(search, 15 - refusals), 4)), refusals - 4)
    assert after.is_searching is not is_over


def test_the_end_of_a_search_measures_the_rate() -> None:
    """Ten passed and two were refused at 20 a second: 12 were due in 0.6 s, so 16.7 a second."""
    search = SEARCH._replace(rate=20.0, passed=10.0, spent=0.55, recent=1, answers=11, rises=5)
    end = NOW + 1 + TRIP
    after = refused(search)
    rate = 10 / 0.6
    assert after == search._replace(
        is_searching=False,
        rate=near(rate),
        since=end,
        changed=end,
        before=20.0,
        refused_at=end,
        passed=CARRIED,
        spent=near(CARRIED / rate),
        basis=CARRIED,
        rises=0,
        answers=0,
        recent=0,
        in_vain=1,
    )
    assert after.allowed == near(0.96 * rate)


def test_the_end_of_a_search_carries_no_more_than_passed() -> None:
    """Three passed in 0.3 s: these three count for the next measurement."""
    after = refused(SEARCH._replace(rate=10.0, passed=3.0, spent=0.2, recent=1))
    assert (after.passed, after.basis, after.spent) == (3.0, 3.0, near(0.3))


def test_a_refusal_leaves_a_part_of_the_pace() -> None:
    """Of a hundred a second thirty are left, at least."""
    search = SEARCH._replace(rate=100.0, passed=1.0, spent=1.0, recent=1)
    assert refused(search).rate == near(STEEPEST * 100)
    measured = MEASURED._replace(rate=100 / BELOW, passed=1.0, spent=1.0)
    assert refused(measured).rate == near(STEEPEST * 100)


def test_the_floor_of_a_search_counts_unless_refusals_were_expected() -> None:
    """Where a share is refused at any pace, a refusal does not show that the bucket was empty."""
    floor = Floor(rate=7.0, measured=NOW, since=NOW - TRIP, passed=9)
    search = SEARCH._replace(recent=0xFFFF, floor=floor)
    assert refused(search).floor == floor
    assert refused(search._replace(expected=0.25)).floor == Floor(since=NOW + 1)
    assert refused(search._replace(expected=0.25)).expected == 0.0


# What is measured.


def test_the_pace_is_a_little_below_the_rate() -> None:
    """Of ten a second, 9.6 are sent after a refusal."""
    assert MEASURED.allowed == near(9.6)


CAUGHT_UP = 0.1 * (1 - 10 / 25)
"""Requests a second by which each success raises a rate of ten a second, whatever it rests on."""

RISES = {
    "so many as the least basis": (4.0, int(LEAST_BASIS), 9.75 + 18 * CAUGHT_UP),
    "twice as many": (4.0, 2 * int(LEAST_BASIS), 10.2 + 36 * CAUGHT_UP),
    "as many as the rate rests on": (24.0, 24, 9.75 + 24 * CAUGHT_UP),
    "half of them": (24.0, 12, 9.6375 + 12 * CAUGHT_UP),
    "very many": (4.0, 10**6, MOST_RATE),
}


@pytest.mark.parametrize(("basis", "rises", "allowed"), RISES.values(), ids=RISES)
def test_the_pace_rises_the_faster_the_less_is_known(
    basis: float, rises: int, allowed: float
) -> None:
    """If a rate of ten a second rests on 24 requests, 24 more raise the pace to 11.2 a second."""
    assert MEASURED._replace(basis=basis, rises=rises).allowed == near(allowed)


def test_the_least_rate_is_always_allowed() -> None:
    """One request in twenty seconds, however often the server refuses."""
    pace = MEASURED._replace(rate=LEAST_RATE)
    assert pace.allowed == LEAST_RATE
    assert refused(pace, 10).rate == LEAST_RATE
    assert refused(pace._replace(passed=0.0)).rate == LEAST_RATE
    assert refused(SEARCH._replace(rate=LEAST_RATE, recent=1)).rate == LEAST_RATE


def test_a_success_is_counted_and_raises_the_pace_where_it_is_used() -> None:
    """A success at 9.6 a second was due in 1/9.6 s."""
    after = passes(MEASURED)
    assert after == MEASURED._replace(
        passed=5.0,
        spent=near(0.4 + 1 / 9.6),
        rises=1,
        answers=1,
        floor=Floor(passed=1),
    )
    assert passes(MEASURED, is_used=False) == after._replace(rises=0)


def test_a_request_that_left_before_the_pace_changed_was_sent_at_the_one_before() -> None:
    """The pace changed at 1000 s from 20 a second: what left before that was due in 0.05 s."""
    pace = MEASURED._replace(since=NOW - 9)
    early = pacing.on_passed(pace, NOW - 0.001, NOW + 1, is_used=True)
    assert early.spent == near(0.4 + 1 / 20)
    late = pacing.on_passed(pace, NOW, NOW + 1, is_used=True)
    assert late.spent == near(0.4 + 1 / 9.6)


def test_old_requests_count_half() -> None:
    """The 401st request that passes halves what is remembered; the rate stays."""
    pace = MEASURED._replace(passed=REMEMBERED - 1, spent=6.3)
    full = passes(pace)
    assert (full.passed, full.spent) == (REMEMBERED, near(6.3 + 1 / pace.allowed))
    more = passes(full)
    assert more.passed == (REMEMBERED + 1) / 2
    assert more.spent == near((full.spent + 1 / full.allowed) / 2)


def test_a_refusal_measures_the_rate_with_all_answers_since() -> None:
    """Eight passed in 0.8 s, and a refused request was due in another 0.1 s: 8.9 a second."""
    pace = MEASURED._replace(rate=10 / BELOW, passed=8.0, spent=0.8, rises=0)
    after = refused(pace)
    assert after == pace._replace(
        rate=near(8 / 0.9),
        spent=near(0.9),
        changed=NOW + 1 + TRIP,
        before=10.0,
        refused_at=NOW + 1 + TRIP,
        basis=8.0,
        answers=1,
        recent=1,
        in_vain=1,
    )


def test_a_refusal_begins_the_rise_anew() -> None:
    """The pace rose with 30 successes; it does so again from the measured rate on."""
    after = refused(MEASURED._replace(rises=30, passed=40.0, spent=4.0))
    assert (after.rises, after.basis) == (0, 40.0)


@pytest.mark.parametrize(("passed", "kept"), [(20.0, 20.0), (32.0, KEPT), (200.0, KEPT)])
def test_a_refusal_leaves_the_last_requests_that_passed(passed: float, kept: float) -> None:
    """200 passed in 20 s before the refusal: 32 of them count on, as 32 of 10 a second."""
    pace = MEASURED._replace(passed=passed, spent=passed / 10 - 1 / MEASURED.allowed)
    after = refused(pace)
    assert after.rate == near(10.0)
    assert (after.passed, after.spent) == (kept, near(kept / 10))


def test_a_rate_rests_on_112_requests_at_most() -> None:
    """Of 300 that passed 112 are what it rests on: a limit that was raised is found soon."""
    after = refused(MEASURED._replace(passed=300.0, spent=30.0))
    assert after.basis == MOST_BASIS == 112
    assert refused(MEASURED._replace(passed=112.0, spent=12.0)).basis == MOST_BASIS
    assert refused(MEASURED._replace(passed=111.0, spent=12.0)).basis == 111.0


def test_requests_under_way_do_not_change_what_came_before_the_pace() -> None:
    """A refused request that left before the pace changed was sent at the pace before that."""
    pace = MEASURED._replace(since=NOW - 9)
    after = pacing.on_refused(pace, NOW - 0.001, NOW + 1, 0.0)
    assert (after.changed, after.before) == (NOW, 20.0)
    assert after.rate == near(4 / (0.4 + 1 / 20))
    at_change = pacing.on_refused(pace, NOW, NOW + 1, 0.0)
    assert (at_change.changed, at_change.before) == (NOW + 1, near(9.6))


BASES = {
    "no cool-down": (0.0, 40.0),
    "a short one, of as few requests": (0.1, 40.0),
    "one of 5 s: eight times its requests": (5.0, 40 * 10 / BELOW),
    "one of 7.5 s is the longest that counts": (7.5, RAREST_SECONDS * 10 / BELOW),
    "one of a minute": (60.0, RAREST_SECONDS * 10 / BELOW),
}


@pytest.mark.parametrize(("cool_down", "basis"), BASES.values(), ids=BASES)
def test_a_rate_is_tested_the_less_often_the_more_a_refusal_costs(
    cool_down: float, basis: float
) -> None:
    """After a cool-down of 5 s, the pace rises as if the rate rested on the requests of 40 s."""
    # Ten a second after this refusal, but for the least part of the pace.
    rate = 10 / BELOW
    pace = MEASURED._replace(rate=rate / BELOW, passed=40.0, spent=40 / rate - 1 / rate)
    after = refused(pace, cool_down=cool_down)
    assert after.rate == near(rate)
    assert after.basis == near(basis)


def test_answers_at_another_pace_are_counted_anew() -> None:
    """A pace that falls to less than 0.7 of itself is another one."""
    low = refused(MEASURED._replace(passed=1.0, spent=0.4, answers=9, recent=0b10))
    assert low.allowed < 0.7 * MEASURED.allowed
    assert (low.answers, low.recent) == (0, 0)
    same = refused(MEASURED._replace(passed=10.0, spent=1.0, answers=9, recent=0b10))
    assert same.allowed > 0.7 * MEASURED.allowed
    assert (same.answers, same.recent) == (10, 0b101)


# The floor.

FLOOR = Floor(rate=9.5, measured=NOW, since=NOW - 5, passed=9)
"""9.5 requests a second have certainly passed: a pace of 9.6 is at this floor."""

AT_FLOOR = MEASURED._replace(floor=FLOOR)


def test_the_rate_does_not_fall_below_the_floor() -> None:
    """Refusals in a row leave 9.5 a second, since so many have passed."""
    assert refused(AT_FLOOR, 2).rate == 9.5
    late = AT_FLOOR._replace(floor=FLOOR._replace(measured=NOW - 60))
    assert refused(late).rate < 9.5


def test_refusals_at_the_floor_do_not_stop_the_rise() -> None:
    """At the floor the rate is not the cause of a refusal: the pace goes on as it rises."""
    pace = AT_FLOOR._replace(rises=1, basis=50.0)
    after = refused(pace, cool_down=9.0)
    assert (after.rises, after.basis) == (1, 50.0)
    above = refused(pace._replace(floor=FLOOR._replace(rate=8.0)), cool_down=9.0)
    assert (above.rises, above.basis) == (0, near(60 * above.rate))


def test_answers_at_the_floor_are_counted() -> None:
    """Answers to requests at the floor tell how many are refused whatever our rate."""
    after = refused(passes(AT_FLOOR))
    assert (after.floor.answers, after.floor.refused) == (2, 1)
    above = refused(passes(AT_FLOOR._replace(floor=FLOOR._replace(rate=9.0))))
    assert (above.floor.answers, above.floor.refused) == (0, 0)
    searched = passes(AT_FLOOR._replace(is_searching=True))
    assert searched.floor.answers == 0


def test_what_passes_after_a_refusal_measures_the_floor() -> None:
    """The first of five requests passes at 1001.05 s, after a refused one that left at 999.95 s."""
    after = passes(SEARCH, 5)
    assert after.floor.passed == 5
    assert after.floor.rate == near(4 / (1 + 2 * TRIP))
    many = SEARCH._replace(floor=Floor(since=NOW, passed=49))
    assert refused(many).floor == Floor(since=NOW + 1)


# Refusals that do not come of our rate.


@pytest.mark.parametrize(
    ("counted", "recent", "answers", "expected"),
    [
        pytest.param((8, 2), 0, 0, 3 / 9, id="three at the floor among nine"),
        pytest.param((7, 2), 0, 0, 0.0, id="a larger share at the floor"),
        pytest.param((6, 2), 0, 0, 0.0, id="too few answers at the floor"),
        pytest.param((7, 1), 0, 0, 0.0, id="two refusals at the floor"),
        pytest.param((0, 0), 0b11, 9, 3 / 16, id="three of the last sixteen"),
        pytest.param((0, 0), 0b1, 9, 0.0, id="two of the last sixteen"),
        pytest.param((0, 0), 0b11, 8, 0.0, id="too few answers at this pace"),
    ],
)
def test_a_share_that_is_refused_begins_another_search(
    counted: tuple[int, int], recent: int, answers: int, expected: float
) -> None:
    """The search expects that share. The next refusal is counted at the floor, and among all."""
    floor = FLOOR._replace(answers=counted[0], refused=counted[1])
    if not counted[0]:
        floor = Floor()
    pace = MEASURED._replace(floor=floor, recent=recent, answers=answers, passed=30.0, spent=3.0)
    after = refused(pace)
    assert (after.is_searching, after.expected) == (bool(expected), expected)
    assert (UNRELATED, UNRELATED_ANSWERS, MANY, STEADY) == (3, 8, 3, 1.25)


def test_another_search_begins_at_the_pace_and_measures_all_anew() -> None:
    """The floor, too: if the limit has been lowered it was wrong. The next search comes later."""
    pace = MEASURED._replace(recent=0b11, answers=11, rises=12)
    after = refused(pace)
    at = NOW + 1 + TRIP
    assert after == pace._replace(
        is_searching=True,
        rate=near(pace.allowed),
        since=at,
        changed=at,
        before=near(pace.allowed),
        refused_at=at,
        passed=0.0,
        spent=0.0,
        answers=0,
        recent=0,
        in_vain=1,
        expected=3 / 16,
        patience=16,
        floor=Floor(since=NOW + 1),
    )


def test_each_search_takes_twice_as_many_answers_as_the_last_one() -> None:
    """Another search may begin after 4096 answers at the floor, or after 5120 at one pace."""
    pace = MEASURED._replace(recent=0b111, answers=5119, patience=MOST_PATIENCE)
    assert refused(pace).patience == MOST_PATIENCE
    assert not refused(pace._replace(answers=5118)).is_searching


def test_a_refusal_in_a_search_begins_no_other_one() -> None:
    """A search is at its pace for less than one answer: there is no share of it."""
    search = SEARCH._replace(expected=0.9, recent=0b1111, answers=99)
    assert refused(search) == search._replace(
        recent=0b11111,
        answers=100,
        in_vain=1,
        spent=1 / FIRST_RATE,
        refused_at=NOW + 1 + TRIP,
    )


@pytest.mark.parametrize(
    ("refusals", "expected"), [(0, 1 / 32), (1, 1 / 32), (4, 4 / 32), (8, 0.19)]
)
def test_the_first_answers_of_a_search_confirm_the_share_that_it_expects(
    refusals: int, expected: float
) -> None:
    """Three of sixteen were refused, but only four of the next 32: an eighth is expected then."""
    early = SEARCH._replace(expected=0.19)
    for _ in range(refusals):
        early = passes(refused(early), 2)
    early = passes(early, CONFIRMED - 1 - 3 * refusals)
    assert early.expected == 0.19
    assert passes(early).expected == expected
    assert passes(passes(early), 99).expected == expected


# While nothing passes.


def fails(pace: Pace, began: float) -> Pace:
    """Return the pace after a refusal without a cool-down."""
    return pacing.on_refused(pace, began, began + TRIP, 0.0)


def test_eight_refusals_in_a_row_begin_a_search_at_half_the_pace() -> None:
    """Whatever has passed before, as at 50 a second: the server serves nothing now."""
    pace = MEASURED._replace(floor=FLOOR._replace(rate=10.0), passed=40.0, spent=4.0)
    seventh = refused(pace, IN_VAIN - 1)
    eighth = refused(seventh)
    assert not seventh.passes_nothing
    assert eighth.passes_nothing
    assert (eighth.is_searching, eighth.passed, eighth.spent) == (True, 0.0, 0.0)
    assert eighth.rate == near(STEEPEST_IN_VAIN * seventh.allowed)
    assert eighth.floor == Floor(since=NOW + 1)
    assert not passes(seventh).in_vain


def test_two_refusals_in_a_row_are_enough_where_a_search_has_seen_nothing_pass() -> None:
    """25 a second, then 12.5, and 6.25 with the next one; where some passed, the rate is known."""
    pace = fails(fails(SEARCH, NOW + 1), NOW + 2)
    assert (pace.rate, pace.is_searching, pace.passes_nothing) == (12.5, True, True)
    assert fails(pace, NOW + 3).rate == 6.25
    assert not refused(passes(SEARCH), 2).is_searching


def test_refusals_of_requests_under_way_do_not_halve_the_pace_again() -> None:
    """Only a request that left after the pace was halved says that it is too fast."""
    pace = fails(fails(SEARCH, NOW + 1), NOW + 2)
    assert fails(pace, pace.since) is pace


def test_while_nothing_passes_a_request_is_sent_every_five_seconds() -> None:
    """However often it is refused; a pace that was slower before stays."""
    pace = SEARCH
    for number in range(30):
        pace = fails(pace, NOW + number + 1)
    assert pace.allowed == LEAST_IN_VAIN == 1 / 5
    slow = pace._replace(rate=0.07)
    assert fails(slow, NOW + 99).allowed == 0.07


def test_the_first_success_after_them_begins_a_slow_start() -> None:
    """From 0.2 a second on it doubles; the refusals before it count no more, the next ones do."""
    pace = SEARCH._replace(rate=0.2, in_vain=9, recent=0xFFFF)
    again = passes(pace)
    assert (again.rate, again.in_vain, again.recent) == (0.4, 0, 0)
    assert passes(again, 6).rate == FIRST_RATE
    assert refused(again).is_searching
    assert not refused(again, 2).is_searching


def test_a_pace_that_has_risen_threefold_is_searched() -> None:
    """Two a second were measured, and 6.1 pass: the limit is another one than it was."""
    pace = MEASURED._replace(rate=2.0, rises=0)
    while pace.allowed <= OUTGROWN * 2.0 - 0.1:
        pace = passes(pace)
        assert not pace.is_searching
    risen = passes(pace, 2)
    assert (risen.is_searching, risen.passed, risen.recent) == (True, 0.0, 0)
    assert risen.rate > 6.0
    fast = MEASURED._replace(rate=20.0, rises=200)
    assert passes(fast).allowed > 60
    assert not passes(fast).is_searching


# All of it.

steps = st.lists(
    st.tuples(st.booleans(), st.floats(0, 30), st.floats(0, 10), st.floats(0, 60), st.booleans()),
    max_size=80,
)
"""Whether an answer is a refusal, seconds since the last answer and since its request, the
cool-down, and whether the pace is used."""


@given(steps)
def test_the_pace_is_a_number_whatever_happens(
    answers: list[tuple[bool, float, float, float, bool]],
) -> None:
    """It is never 0, infinite or no number, never below the least rate, and falls by refusals only.

    What is measured does not fall below the floor, while that is believed.
    """
    pace, now = SEARCH, NOW
    for is_refusal, gap, trip, cool_down, is_used in answers:
        now += gap
        before = pace
        if is_refusal:
            pace = pacing.on_refused(pace, now - trip, now, cool_down)
            if not before.is_searching and not pace.is_searching and pace is not before:
                assert pace.rate >= pace.floor.believed(now)
        else:
            pace = pacing.on_passed(pace, now - trip, now, is_used=is_used)
            assert pace.allowed >= before.allowed
        assert LEAST_RATE <= pace.allowed <= MOST_RATE
        assert all(isfinite(each) for each in (*pace[:-1], *pace.floor) if each != -inf)
        assert min(pace.passed, pace.spent, pace.floor.rate) >= 0


@given(steps)
def test_requests_of_the_first_flood_change_nothing(
    answers: list[tuple[bool, float, float, float, bool]],
) -> None:
    """Whatever becomes of requests that had left when the first refusal arrived."""
    pace, now = SEARCH, NOW
    for is_refusal, gap, trip, cool_down, is_used in answers:
        now += gap
        if is_refusal:
            pace = pacing.on_refused(pace, NOW - trip, now, cool_down)
        else:
            pace = pacing.on_passed(pace, NOW - trip, now, is_used=is_used)
    assert pace is SEARCH
