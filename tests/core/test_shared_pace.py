"""The pace of a fleet: what processes tell each other, and what they make of it."""

from __future__ import annotations

import json
from math import inf
from typing import Any

import pytest

from requests_authretry._core.pace import FIRST_RATE, LEAST_RATE, NO_PACE, Pace
from requests_authretry._core.shared_pace import (
    Told,
    adopted,
    alone,
    end_of_search,
    is_first_of_search,
    is_measured,
    joined,
    settling,
    still_refused,
    text_of,
    told,
    with_others,
)

SEARCHING = Pace(rate=25.0, since=0.0, changed=0.0, refused_at=0.0)
MEASURED = SEARCHING._replace(is_searching=False, passed=10.0, spent=0.5, rate=20.0, basis=30.0)


def test_a_pace_is_told_and_understood() -> None:
    """The rate and what it rests on; two texts of one pace differ by their mark."""
    assert told(text_of(MEASURED, "x")) == Told(20.0, 30.0)
    assert text_of(MEASURED, "x") != text_of(MEASURED, "y")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"kind": "slots"},
        {"rate": None},
        {"rate": 0.0},
        {"rate": -1.0},
        {"rate": 1e9},
        {"rate": float("nan")},
        {"rate": "20"},
        {"basis": float("inf")},
        {"basis": None},
    ],
    ids=repr,
)
def test_what_another_release_or_program_tells_is_ignored(change: dict[str, Any]) -> None:
    """A rate of zero or NaN, another format, or no number tells nothing."""
    record = json.loads(text_of(MEASURED, "x"))
    assert told(json.dumps({**record, **change})) is None


@pytest.mark.parametrize("text", [None, 7, "", "text", "[]", "7", "[" * 9999, b"{}"])
def test_what_is_no_text_of_a_pace(text: object) -> None:
    """Whatever a store returns does no harm."""
    assert told(text) is None


def test_a_basis_is_never_below_zero() -> None:
    """Another program may have written it."""
    text = json.dumps({**json.loads(text_of(MEASURED, "x")), "basis": -7.0})
    assert told(text) == Told(20.0, 0.0)


def test_a_pace_that_was_told_is_adopted() -> None:
    """A search ends, and the pace is a bit below the rate that another process has measured."""
    pace = adopted(SEARCHING, Told(50.0, 40.0), 7.0)
    assert (pace.is_searching, pace.rate, pace.basis, pace.rises) == (False, 50.0, 40.0, 0)
    assert (pace.before, pace.changed, pace.since) == (25.0, 7.0, 8.0)
    assert pace.allowed < 50.0
    assert adopted(NO_PACE, Told(50.0, 40.0), 7.0).before == 50.0


def test_of_two_paces_that_were_measured_at_once_the_lower_one_stays() -> None:
    """20 and 50 within a second: 20. Later, 50 is adopted."""
    pace = settling(MEASURED, 7.0)
    assert adopted(pace, Told(50.0, 40.0), 7.9).rate == 20.0
    assert adopted(pace, Told(15.0, 40.0), 7.9).rate == 15.0
    assert adopted(pace, Told(50.0, 40.0), 8.0).rate == 50.0


def test_what_is_measured_has_to_be_told() -> None:
    """A refusal that a measured pace counts; not the first of all, or one that counts nothing."""
    later = MEASURED._replace(refused_at=7.0)
    assert is_measured(MEASURED, later)
    assert is_measured(SEARCHING, later)
    assert not is_measured(MEASURED, MEASURED)
    assert not is_measured(SEARCHING, SEARCHING._replace(refused_at=7.0))
    assert not is_measured(NO_PACE, later)


def test_the_first_refusal_of_a_search() -> None:
    """It counts, and the search goes on otherwise."""
    later = SEARCHING._replace(refused_at=7.0)
    assert is_first_of_search(SEARCHING, later)
    assert not is_first_of_search(SEARCHING, SEARCHING)
    assert not is_first_of_search(NO_PACE, SEARCHING)
    assert not is_first_of_search(SEARCHING, MEASURED)
    assert not is_first_of_search(MEASURED, SEARCHING)


def test_a_search_ends_with_its_first_refusal() -> None:
    """Of 18 requests that took the time of 20 at 25 a second, and two more: 22.7 a second."""
    pace = end_of_search(SEARCHING._replace(passed=18.0, spent=0.8), 7.0)
    assert pace.rate == pytest.approx(20 / 0.88)
    assert not pace.is_searching


def test_a_search_ends_near_the_pace_that_it_had() -> None:
    """A search that began slowly has not found 9 a second: 20 is four fifths of its pace."""
    assert end_of_search(SEARCHING._replace(passed=9.0, spent=1.0), 7.0).rate == pytest.approx(20.0)


def test_refusals_lower_a_pace_that_others_are_to_hear_of() -> None:
    """Of ten requests in a second, one refusal lowers it by 3 %."""
    pace = settling(MEASURED._replace(changed=7.0), 7.0)
    sent = pace.allowed * 0.5
    lower = still_refused(pace, 6.9, 0.5)
    assert lower.rate == pytest.approx(20.0 * (1 - 0.3 / sent))
    assert still_refused(pace, 6.9, 0.01).rate == pytest.approx(20.0 * 0.85)


def test_refusals_of_requests_that_left_at_the_new_pace_are_counted() -> None:
    """Many in a row say that nothing passes; those that left earlier do not."""
    pace = settling(MEASURED._replace(changed=7.0), 7.0)
    assert [still_refused(pace, began, 0.5).in_vain for began in (6.9, 7.1)] == [0, 1]


def test_a_process_takes_its_part_of_the_pace_along_and_brings_it_back() -> None:
    """A quarter of 40 a second is 10, and four times that is 40 again."""
    left = alone(MEASURED._replace(rate=40.0), 0.25)
    back = joined(left, 0.25)
    assert left.rate == 10.0
    assert back is not None
    assert back.rate == 40.0
    assert joined(SEARCHING._replace(rate=6.0), 0.25) is None
    assert joined(SEARCHING._replace(in_vain=2), 0.25) is None


def test_a_pace_has_a_least_rate() -> None:
    """However often requests are refused."""
    pace = MEASURED._replace(rate=LEAST_RATE)
    assert still_refused(pace, 0.0, 0.01).rate == LEAST_RATE


def test_old_refusals_lower_no_pace() -> None:
    """One that left two seconds before the pace was lowered, and one in a search."""
    pace = MEASURED._replace(changed=7.0)
    assert still_refused(pace, 5.9, 0.5) is pace
    assert still_refused(SEARCHING, 0.0, 0.5) is SEARCHING


def test_a_success_counts_for_those_of_other_processes() -> None:
    """A quarter of all requests is this process's: three more have passed, and count a fifth."""
    after = MEASURED._replace(rises=1, passed=11.0)
    pace = with_others(MEASURED, after, 0.25)
    assert pace.passed == 14.0
    assert pace.rises == pytest.approx(1.6)
    assert pace.spent == pytest.approx(0.5 + 3 / after.allowed)


def test_in_a_slow_start_a_success_counts_for_all_processes() -> None:
    """From 1 to 2 a second alone: of four processes each has a success, so it is 5 a second."""
    before = SEARCHING._replace(rate=1.0)
    assert with_others(before, before._replace(rate=2.0), 0.25).rate == 5.0
    assert with_others(before, before._replace(rate=2.0), 0.01).rate == FIRST_RATE
    assert with_others(before, before._replace(rate=26.0), 0.25).rate == 26.0


def test_a_search_that_begins_with_a_success_begins_at_its_pace() -> None:
    """The pace has outgrown what was measured."""
    after = SEARCHING._replace(rate=6.0)
    assert with_others(MEASURED._replace(rate=2.0), after, 0.25) is after


def test_a_success_that_raises_nothing_counts_for_no_others() -> None:
    """As where requests are sent more slowly than the pace allows, or left too early."""
    after = MEASURED._replace(passed=11.0)
    assert with_others(MEASURED, after, 0.25).passed == 11.0
    row = MEASURED._replace(in_vain=3)
    assert with_others(row, row, 0.25) == MEASURED


@pytest.mark.parametrize(("caution", "rate"), [(1.0, 26.6), (0.5, 28.2), (0.1, 29.0)])
def test_a_fleet_searches_slowly(caution: float, rate: float) -> None:
    """Eight processes grow at once: each by two fifths, unless it is cautious already."""
    after = SEARCHING._replace(rate=29.0, caution=caution)
    assert with_others(SEARCHING, after, 0.125).rate == pytest.approx(rate)


def test_there_is_no_pace_to_share_before_the_first_refusal() -> None:
    """Its rate is infinite."""
    assert NO_PACE.rate == inf
