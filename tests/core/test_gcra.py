"""Slots: when the next ones are due, for whoever asks in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.gcra import IDLE, MAX_LEAD, Ask, ask_for, reserve

HUGE = 10**400
"""A whole number that fits no float."""


def test_an_ask_says_how_far_time_advances() -> None:
    """Five slots of ten a second take half a second; a burst of four forgives three slots."""
    assert ask_for(10.0, 4, 5) == Ask(advance=0.5, idle=0.3)


def test_a_burst_below_one_is_one() -> None:
    """One slot may be used at once, whatever the burst."""
    assert ask_for(10.0, 0.0, 1) == ask_for(10.0, 1, 1) == Ask(0.1, 0.0)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), HUGE, None, "1"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_number_asks_for_nothing(place: int, odd: Any) -> None:
    """A rate of NaN, an endless burst, a count that is no number: nothing is reserved."""
    asked: list[Any] = [10.0, 1, 1]
    asked[place] = odd
    assert ask_for(*asked) is None


@pytest.mark.parametrize(("rate", "count"), [(0.0, 1), (-1.0, 1), (10.0, 0), (10.0, -3)])
def test_nothing_is_asked_for(rate: float, count: int) -> None:
    """A rate of zero has no slots, and no slots are none."""
    assert ask_for(rate, 1, count) is None


def test_an_ask_is_for_an_hour_at_most() -> None:
    """The smallest rate, and a count or burst of any size, advance the time by an hour."""
    assert ask_for(5e-324, 9, 1) == Ask(MAX_LEAD, MAX_LEAD)
    assert ask_for(1.0, 10**300, 10**300) == Ask(MAX_LEAD, MAX_LEAD)


def test_a_burst_of_more_than_an_hour_is_one_of_an_hour() -> None:
    """The first slot is one of the burst: at one a second, 3601 slots lie within an hour."""
    assert ask_for(1.0, 3600.5, 1) == Ask(1.0, 3599.5)
    assert ask_for(1.0, 3601.5, 1) == Ask(1.0, MAX_LEAD)


def test_an_idle_limit_gives_a_burst() -> None:
    """Nobody has used it: the first slots were due 0.3 s ago, so four may be used at once."""
    ask = Ask(0.5, 0.3)
    assert reserve(IDLE, ask) == (-0.3, 0.2)


def test_slots_follow_one_another() -> None:
    """A second take begins where the first one ends, a later one where time is by then."""
    ask = Ask(0.5, 0.0)
    assert reserve(0.2, ask) == (0.2, 0.7)
    assert reserve(-7.0, ask) == (0.0, 0.5)


def test_no_slot_lies_more_than_an_hour_ahead() -> None:
    """Takes without end move the time no further, and the next slot is an hour from now."""
    assert reserve(MAX_LEAD, Ask(10.0, 0.0)) == (MAX_LEAD, MAX_LEAD)


def test_the_first_slot_of_all_is_due_at_zero() -> None:
    """People see 0.0 and not -0.0."""
    assert repr(reserve(IDLE, Ask(1.0, 0.0))[0]) == "0.0"


@given(
    asks=st.lists(st.tuples(st.floats(0.1, 1e3), st.integers(1, 50)), min_size=1, max_size=20),
    burst=st.floats(1.0, 20.0),
)
def test_all_asks_together_keep_the_rate(asks: list[tuple[float, int]], burst: float) -> None:
    """Whatever rate each asks with, none gets a slot before those of all others before it."""
    lead, due = IDLE, None
    for rate, count in asks:
        ask = ask_for(rate, burst, count)
        assert ask is not None
        first, lead = reserve(lead, ask)
        assert due is None or first >= due
        due = min(first + count / rate, MAX_LEAD)
        assert lead == pytest.approx(due)
