"""The floor: a rate that a limit has certainly let pass."""

from __future__ import annotations

from functools import reduce
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core import floor as floors
from requests_authretry._core.floor import (
    BELIEVED_SECONDS,
    LEAST_PASSED,
    MOST_PASSED,
    TOLERANCE,
    Floor,
)

NOW = 1000.0
BEGUN = Floor(since=NOW)
"""A request was refused that left at `NOW`."""


def passed(number: int, seconds: float) -> Floor:
    """Return the floor after requests that passed evenly, the last one so many seconds later."""
    times = (NOW + seconds * (each + 1) / number for each in range(number))
    return reduce(floors.on_passed, times, BEGUN)


def test_the_floor_is_known_once_enough_requests_have_passed() -> None:
    """Four requests tell nothing. Five in two seconds: the bucket gained four, two a second."""
    assert passed(LEAST_PASSED - 1, 2.0) == BEGUN._replace(passed=4)
    assert passed(LEAST_PASSED, 2.0) == BEGUN._replace(passed=5, rate=2.0, measured=NOW + 2)


def test_the_floor_is_the_highest_rate_so_far() -> None:
    """Five in one second are four a second; a sixth one after ten seconds lowers nothing."""
    quick = passed(5, 1.0)
    assert quick.rate == 4.0
    slow = floors.on_passed(quick, NOW + 10)
    assert (slow.rate, slow.measured, slow.passed) == (4.0, NOW + 1, 6)
    assert floors.on_passed(quick, NOW + 1.2).rate == pytest.approx(5 / 1.2)


def test_as_many_a_second_are_no_new_measurement() -> None:
    """Five in one second, and the sixth 0.25 s later: still four a second, measured at 1 s."""
    assert floors.on_passed(passed(5, 1.0), NOW + 1.25).measured == NOW + 1


def test_requests_that_pass_at_once_make_a_number() -> None:
    """Five requests that pass in the moment in which one was refused make no infinite rate."""
    assert passed(5, 0.0).rate == pytest.approx(4e6)


def test_a_floor_is_believed_for_a_minute() -> None:
    """A rate that was measured 60 s ago counts; after that the limit may have been lowered."""
    floor = passed(5, 2.0)
    end = floor.measured + BELIEVED_SECONDS
    assert (floor.believed(end), floor.believed(end + 0.001)) == (2.0, 0.0)
    assert Floor().believed(NOW) == 0.0


def test_a_floor_that_is_not_believed_any_more_is_measured_anew() -> None:
    """After two minutes a lower rate takes the place of the one before."""
    late = floors.on_passed(passed(5, 2.0), NOW + 120)
    assert (late.rate, late.measured) == (5 / 120, NOW + 120)


@pytest.mark.parametrize(("pace", "is_allowed"), [(2.0, True), (2.04, True), (2.05, False)])
def test_a_pace_at_the_floor_exceeds_no_limit(pace: float, is_allowed: bool) -> None:  # noqa: FBT001
    """At a floor of two a second, a pace of 2.04 a second may not be the reason for a refusal."""
    assert TOLERANCE == 1.02
    assert passed(5, 2.0).allows(pace, NOW + 2) is is_allowed


def test_no_pace_is_at_a_floor_that_is_not_believed() -> None:
    """Two minutes later nobody knows whether two a second still pass."""
    assert not passed(5, 2.0).allows(1.0, NOW + 120)
    assert not Floor().allows(1.0, NOW)


def test_a_refusal_begins_a_new_measurement_after_many_requests() -> None:
    """A refusal after 48 requests changes nothing; after 49 the next ones are counted from it."""
    at = NOW + 9
    some = passed(MOST_PASSED, 8.0)
    assert floors.on_refused(some, at) is some
    many = passed(MOST_PASSED + 1, 8.0)
    assert floors.on_refused(many, at) == many._replace(since=at, passed=0)


def test_answers_at_the_floor_are_counted() -> None:
    """Of two answers, one is a refusal."""
    floor = floors.on_answer(BEGUN, is_refused=False)
    assert (floor.answers, floor.refused) == (1, 0)
    floor = floors.on_answer(floor, is_refused=True)
    assert (floor.answers, floor.refused) == (2, 1)


@given(
    st.floats(0.05, 1000.0),
    st.integers(1, 300),
    st.floats(0.1, 5.0),
    st.integers(0, 10**6),
)
def test_a_floor_never_exceeds_the_rate_of_a_token_bucket(
    rate: float, burst: int, load: float, seed: int
) -> None:
    """Whatever the rate, the burst and the load, the floor is at most what the bucket gains."""
    random, floor = Random(seed), Floor()  # noqa: S311 (it spreads requests)
    now, level, is_begun = 0.0, float(burst), False
    for _ in range(3 * burst + 100):
        gap = random.expovariate(load * rate)
        now, level = now + gap, min(burst, level + gap * rate)
        if level < 1:
            floor = floors.on_refused(floor, now) if is_begun else Floor(since=now)
            is_begun = True
            continue
        level -= 1
        floor = floors.on_passed(floor, now) if is_begun else floor
        assert floor.rate <= rate * (1 + 1e-9)
