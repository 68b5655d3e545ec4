"""When the next request may be sent: cool-downs, windows, and the pace."""

from __future__ import annotations

from functools import reduce
from itertools import permutations
from math import inf
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core import pace as pacing
from requests_authretry._core import rate_limit
from requests_authretry._core.bounds import MAX_COOL_DOWN_SECONDS
from requests_authretry._core.pace import FIRST_RATE, NO_PACE, SECONDS_KEPT, Pace
from requests_authretry._core.rate_limit import (
    ASKING,
    LATE,
    OVERDUE,
    AskAgain,
    RateState,
    Slot,
    TooLate,
)
from requests_authretry._core.records import Limit, Reason
from requests_authretry._core.window import Window, name_of

State = TypeVar("State", RateState, Window)


def replace(value: State, **changes: Any) -> State:
    """Return a state or a window with other values."""
    changed: State = value._replace(**changes)
    return changed


NOW = 1000.0
TIMES = st.floats(0, 1e6)
WINDOW = Window("10", left=4.0, until=NOW + 10, quota=10.0, length=20.0, number=0, used=6)
SPENT = replace(WINDOW, left=0.0, used=10)
TEN = Pace(rate=10.0, since=NOW, changed=NOW, refused_at=NOW)
PACED = RateState(pace=TEN)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Make any window; one that refills has a quota and a length."""
    window = Window(
        draw(st.sampled_from("ab")),
        left=float(draw(st.integers(-5, 50))),
        until=draw(TIMES),
        quota=float(draw(st.integers(0, 50))),
        length=draw(TIMES),
        number=draw(st.integers(-1, 50)),
        used=draw(st.integers(0, 50)),
        guessed=draw(st.booleans()),
        holds=draw(st.booleans()),
        counted=draw(TIMES),
        most=float(draw(st.integers(0, 50))),
    )
    return window._replace(refills=window.quota > 0 and window.length > 0 and draw(st.booleans()))


@st.composite
def flows(draw: st.DrawFn) -> RateState:
    """Make any state that refusals, answers and cool-downs can lead to."""
    now, state = draw(TIMES), RateState()
    steps = st.tuples(st.sampled_from("rslc"), st.floats(0, 60), st.floats(0, 100))
    for step, after, number in draw(st.lists(steps, max_size=12)):
        now += after
        if step == "r":
            state = rate_limit.on_refused(state, now - number / 1000, now)
        elif step == "s":
            state = rate_limit.on_success(state, now - number / 1000, now)
        elif step == "l":
            state = rate_limit.on_sent(state, now)
        else:
            state = cooling(state, now + number, now)
    return replace(state, windows=tuple(draw(st.lists(windows(), max_size=2))))


def cooling(state: RateState, until: float, now: float = NOW) -> RateState:
    """Return a state with a cool-down without a test attempt."""
    return rate_limit.with_cool_down(state, until, now, until - now, may_test=False)


def burst(state: RateState, now: float) -> int:
    """Return how many requests may be sent at once."""
    number = 0
    while rate_limit.opens(state, now) <= now and number < 1000:
        state, number = rate_limit.on_sent(state, now), number + 1
    return number


def gaps(state: RateState, now: float, number: int) -> list[float]:
    """Return the seconds before each of the next requests, each sent as early as allowed."""
    found = []
    for _ in range(number):
        opens = max(rate_limit.opens(state, now), now)
        state, gap, now = rate_limit.on_sent(state, opens), opens - now, opens
        found.append(gap)
    return found


# Cool-downs.


@given(st.lists(TIMES, min_size=1, max_size=4))
def test_cool_downs_merge_in_any_order(untils: list[float]) -> None:
    """A cool-down never becomes shorter, and the latest end counts in whatever order."""
    for order in permutations(untils):
        assert reduce(cooling, order, RateState()).not_before == max(untils)


@given(flows(), TIMES)
def test_nobody_leaves_before_the_server_said(state: RateState, now: float) -> None:
    """A request may be sent only after the cool-down, the spent window and the slot allow it."""
    assert rate_limit.opens(state, now) >= max(rate_limit.blocked_until(state, now), state.slot)
    assert rate_limit.blocked_until(state, now) >= state.not_before
    for window in state.windows:
        is_believed = window.holds and not window.guessed and not window.refills
        if is_believed and window.left < 1 and now < window.until:
            assert rate_limit.blocked_until(state, now) >= window.until


TOLD = {
    "nothing is known": (RateState(), -inf),
    "a cool-down": (RateState(not_before=NOW + 3), NOW + 3),
    "a window with something left": (RateState(windows=(WINDOW,)), -inf),
    "a window with one left": (RateState(windows=(replace(WINDOW, left=1.0),)), -inf),
    "a spent window": (RateState(windows=(SPENT,)), NOW + 10),
    "a spent window that has passed": (RateState(windows=(replace(SPENT, until=NOW),)), -inf),
    "one that was only guessed": (RateState(windows=(replace(SPENT, guessed=True),)), -inf),
    "one that the server does not keep to": (
        RateState(windows=(replace(SPENT, holds=False),)),
        -inf,
    ),
    "the later of two": (RateState(NOW + 30, windows=(SPENT, WINDOW)), NOW + 30),
    "the pace is not the server's word": (RateState(slot=NOW + 5), -inf),
}


@pytest.mark.parametrize(("state", "until"), TOLD.values(), ids=TOLD)
def test_told(state: RateState, until: float) -> None:
    """The time that the server itself sets comes from cool-downs and spent windows only."""
    assert rate_limit.blocked_until(state, NOW) == until


def test_a_short_cool_down_after_the_end_of_another_one_is_a_new_one() -> None:
    """A cool-down ends at 10 s, and a refusal begins one of 0.3 s at 10.1 s.

    A request that left at 10.05 s and passes is no evidence, as that refusal had not arrived.
    """
    ended = rate_limit.with_cool_down(RateState(), NOW + 10, NOW, 10.0, may_test=True)
    at = NOW + 10.1
    state = rate_limit.with_cool_down(ended, at + 0.3, at, 0.3, may_test=True)
    assert state.not_before == at + 0.3
    assert rate_limit.on_passed(state, NOW + 10.05, NOW + 10.2) == state
    assert (state.closed, state.asked, state.is_tested) == (at, 0.3, False)


# Test attempts.

CLOSED = rate_limit.with_cool_down(RateState(), NOW + 10, NOW, 10.0, may_test=True)
"""The state after a refusal that asked for 10 s and did not name the policy."""

CLOSED_ALONE = {"not_before": NOW + 10, "asked": 10.0, "closed": NOW, "is_tested": False}
TESTED = replace(CLOSED, sent=1, is_tested=True)


def test_a_cool_down_may_have_one_test_attempt() -> None:
    """A cool-down without a named policy has one; the first refusal of it counts, not the second.

    Where the server named the policy there is none.
    """
    first = rate_limit.with_cool_down(RateState(), NOW + 10, NOW, 10.0, may_test=True)
    assert first == RateState(not_before=NOW + 10, asked=10.0, closed=NOW, is_tested=False)
    longer = rate_limit.with_cool_down(TESTED, NOW + 20, NOW + 9, 11.0, may_test=True)
    assert longer == replace(TESTED, not_before=NOW + 20, asked=11.0)
    again = rate_limit.with_cool_down(TESTED, NOW + 20, NOW + 10, 10.0, may_test=True)
    assert again == replace(TESTED, not_before=NOW + 20, closed=NOW + 10, is_tested=False)
    named = rate_limit.with_cool_down(CLOSED, NOW + 20, NOW + 10, 10.0, may_test=False)
    assert named == RateState(not_before=NOW + 20, asked=10.0, closed=inf, is_tested=True)


ENDS = {"a shorter one": NOW + 9, "one that ends with it": NOW + 10}


@pytest.mark.parametrize("until", ENDS.values(), ids=ENDS)
def test_a_cool_down_never_becomes_shorter(until: float) -> None:
    """A refusal during a cool-down that asks for no later end changes nothing."""
    assert rate_limit.with_cool_down(CLOSED, until, NOW + 1, 1.0, may_test=True) is CLOSED


@pytest.mark.parametrize(
    ("place", "deadline"), [(0, NOW + 99), (3, NOW + 99), (0, NOW + 5), (0, NOW + 0.01)]
)
def test_one_other_call_is_sent_as_a_test_attempt(place: int, deadline: float) -> None:
    """A new call is sent at once, wherever it stands in the queue; the next one waits 10 s."""
    tested, decision = rate_limit.ask(CLOSED, place, NOW, deadline, may_test=True)
    assert (tested, decision) == (TESTED, Slot(1))
    again = AskAgain(10.0, Reason.COOL_DOWN, 10.0)
    assert rate_limit.ask(tested, 0, NOW, NOW + 99, may_test=True) == (tested, again)


def test_a_test_attempt_takes_a_slot_of_the_pace() -> None:
    """The pace counts a test attempt as it counts any request that is sent."""
    state = replace(PACED, **CLOSED_ALONE)
    after, _ = rate_limit.ask(state, 0, NOW, NOW + 99, may_test=True)
    assert after == replace(rate_limit.on_sent(state, NOW), is_tested=True)


def test_a_retry_is_no_test_attempt() -> None:
    """A call that may not be the test attempt waits for 10 s and leaves the test to another one."""
    again = AskAgain(10.0, Reason.COOL_DOWN, 10.0)
    assert rate_limit.ask(CLOSED, 0, NOW, NOW + 99, may_test=False) == (CLOSED, again)


def test_after_a_cool_down_or_a_deadline_nothing_is_a_test_attempt() -> None:
    """At the end of the cool-down a call is sent as any other; at its deadline no call is sent."""
    after, decision = rate_limit.ask(CLOSED, 0, NOW + 10, NOW + 99, may_test=True)
    assert (after, decision) == (rate_limit.on_sent(CLOSED, NOW + 10), Slot(1))
    late = rate_limit.ask(CLOSED, 0, NOW + 1, NOW + 1, may_test=True)
    assert late == (CLOSED, TooLate(9.0))


@pytest.mark.parametrize(
    ("before_deadline", "is_late"), [(0.0, True), (0.05, True), (0.125, False), (1.0, False)]
)
def test_a_cool_down_that_ends_a_tenth_before_the_deadline_is_too_long(
    before_deadline: float,
    is_late: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """A call learns at once that the cool-down leaves it less than 0.1 s for an attempt."""
    deadline = NOW + 10 + before_deadline
    _, decision = rate_limit.ask(TESTED, 0, NOW, deadline, may_test=True)
    assert decision == (TooLate(10.0) if is_late else AskAgain(10.0, Reason.COOL_DOWN, 10.0))


EDGES = {
    "a cool-down that has just ended, and hardly any time": (
        RateState(not_before=1.0, pace=TEN),
        1.05,
        Slot(1),
    ),
    "a deadline that has just come": (RateState(), 1.0, TooLate(0.0)),
    "a cool-down that ends 0.1 s before the deadline": (
        RateState(not_before=1.4),
        1.5,
        AskAgain(pytest.approx(0.4), Reason.COOL_DOWN),  # type: ignore[arg-type]
    ),
    "a slot that comes 0.1 s before the deadline": (
        RateState(slot=1.4),
        1.5,
        AskAgain(pytest.approx(0.4), Reason.PACING),  # type: ignore[arg-type]
    ),
    "a slot after a cool-down that has just ended": (
        RateState(not_before=1.0, slot=2.0),
        9.0,
        AskAgain(1.0, Reason.PACING),
    ),
}


@pytest.mark.parametrize(("state", "deadline", "expected"), EDGES.values(), ids=EDGES)
def test_ask_at_the_edges(state: RateState, deadline: float, expected: object) -> None:
    """At 1 s, a cool-down until 1 s holds nobody, and a wait until 0.1 s before the deadline is on.

    So a cool-down that ends at 1.4 s is waited for if the deadline is 1.5 s.
    """
    assert rate_limit.ask(state, 0, 1.0, deadline, may_test=False)[1] == expected


def test_a_slot_counts_as_sent() -> None:
    """A call that is sent at a pace of ten a second takes the next slot from others."""
    after, decision = rate_limit.ask(PACED, 0, NOW, NOW + 9, may_test=False)
    assert (after, decision) == (rate_limit.on_sent(PACED, NOW), Slot(1))
    assert after.slot == pytest.approx(NOW - LATE + 1 / 10)


PASSES = {
    "left as the refusal arrived": (NOW, NOW + 1, True),
    "left later": (NOW + 5, NOW + 9, True),
    "left before the refusal arrived": (NOW - 0.1, NOW + 1, False),
    "is answered at the end": (NOW, NOW + 10, False),
    "is answered after the end": (NOW, NOW + 11, False),
}


@pytest.mark.parametrize(("began", "now", "ends"), PASSES.values(), ids=PASSES)
def test_a_test_attempt_that_passes_ends_the_cool_down(
    began: float,
    now: float,
    ends: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """A request that left after the refusal had arrived, and passes before the end, ends it."""
    state = rate_limit.on_passed(TESTED, began, now)
    if not ends:
        assert state is TESTED
        return
    narrowed = replace(TESTED, not_before=now, narrowed_until=now + 600.0)
    assert state == narrowed
    assert rate_limit.with_cool_down(state, NOW + 99, now + 599.9, 9.0, may_test=True) == narrowed
    closed = rate_limit.with_cool_down(state, NOW + 999, now + 600.0, 9.0, may_test=True)
    assert closed.not_before == NOW + 999
    named = rate_limit.with_cool_down(state, NOW + 999, now + 1, 9.0, may_test=False)
    assert named.not_before == NOW + 999


def test_without_a_test_attempt_no_success_ends_a_cool_down() -> None:
    """Where the server named the policy, whatever passes meanwhile changes nothing."""
    state = cooling(RateState(), NOW + 10)
    assert rate_limit.on_passed(state, NOW + 5, NOW + 6) is state


# The pace.


def test_nothing_is_limited_before_the_first_refusal() -> None:
    """Without refusals and windows all requests may be sent at once, and answers change nothing."""
    assert rate_limit.spacing(RateState(), NOW) == 0.0
    assert burst(RateState(), NOW) == 1000
    assert rate_limit.on_success(RateState(), NOW - 1, NOW) == RateState()
    assert rate_limit.on_error(RateState(), NOW - 1, NOW) == RateState()


def test_the_request_after_the_first_refusal_waits_for_its_slot() -> None:
    """A refusal begins a pace of 25 a second: the next request goes 40 ms later, or at its slot."""
    state = rate_limit.on_refused(RateState(), NOW - 1, NOW)
    assert state.pace == pacing.on_refused(NO_PACE, NOW - 1, NOW, 0.0)
    assert state.slot == NOW + 1 / FIRST_RATE
    assert rate_limit.on_refused(RateState(slot=NOW + 3), NOW - 1, NOW).slot == NOW + 3


def test_a_later_refusal_that_lowers_no_pace_moves_no_slot() -> None:
    """The first refusal of a search at ten a second: the slot of the next request stays."""
    state = rate_limit.on_refused(replace(PACED, slot=NOW + 5), NOW + 1, NOW + 2)
    assert state.slot == NOW + 5
    assert state.pace == pacing.on_refused(TEN, NOW + 1, NOW + 2, 0.0)


@pytest.mark.parametrize("slot", [NOW + 5, NOW - 5], ids=["taken", "idle"])
def test_a_lowered_pace_puts_off_the_next_slot(slot: float) -> None:
    """Ten a second become five: the next slot was due in 0.1 s, and is due in 0.2 s now."""
    pace = TEN._replace(passed=5.0, spent=0.9, recent=1)
    state = rate_limit.on_refused(replace(PACED, pace=pace, slot=slot), NOW + 1, NOW + 2)
    assert state.pace == pacing.on_refused(pace, NOW + 1, NOW + 2, 0.0)
    later = 1 / state.pace.allowed - 1 / 10
    assert later == pytest.approx(0.1, abs=0.01)
    assert state.slot == pytest.approx(max(slot, NOW + 2 - LATE) + later)


def test_a_refilling_window_is_known_by_its_state() -> None:
    """One of two windows refills; a spent one that does not is waited for."""
    refilling = replace(SPENT, name="b", refills=True)
    assert rate_limit.has_refilling_window(RateState(windows=(SPENT, refilling)))
    assert not rate_limit.has_refilling_window(RateState(windows=(SPENT,)))


def test_the_pace_hears_how_long_a_refusal_closes_the_scope() -> None:
    """A refusal that costs a cool-down of 3 s makes a search more cautious."""
    state = rate_limit.on_refused(RateState(not_before=NOW + 3), NOW - 1, NOW)
    assert state.pace == pacing.on_refused(NO_PACE, NOW - 1, NOW, 3.0)
    over = rate_limit.on_refused(RateState(not_before=NOW - 3), NOW - 1, NOW)
    assert over.pace == pacing.on_refused(NO_PACE, NOW - 1, NOW, 0.0)


@pytest.mark.parametrize(
    ("slot", "is_used"), [(NOW - LATE, False), (NOW - LATE / 2, True), (NOW + 9, True)]
)
def test_a_pace_rises_only_while_it_is_used(slot: float, is_used: bool) -> None:  # noqa: FBT001
    """A success raises the pace if a request was sent in the last moment, as fast as it allows."""
    after = rate_limit.on_success(replace(PACED, slot=slot), NOW + 0.5, NOW).pace
    expected = pacing.on_passed(TEN, NOW + 0.5, NOW, is_used=is_used)
    assert after == expected
    assert (after.rate > TEN.rate) is is_used


def test_an_error_of_the_server_counts_as_passed_and_raises_no_pace() -> None:
    """A 503 without `Retry-After` has passed the limit, and says nothing of a faster pace."""
    after = rate_limit.on_error(replace(PACED, slot=NOW + 9), NOW + 0.5, NOW)
    assert (after.pace.passed, after.pace.rate) == (1.0, TEN.rate)


@given(st.floats(0.05, 1e6), st.floats(0, 1000))
def test_a_pace_allows_for_late_threads_only(rate: float, idle: float) -> None:
    """A pace allows at once only as many requests as fit the time a thread may be late."""
    state = replace(PACED, pace=TEN._replace(rate=rate))
    assert burst(state, NOW + idle) <= 1.001 + LATE * rate


@pytest.mark.parametrize("is_searching", [True, False], ids=["searched", "measured"])
def test_requests_leave_at_the_pace(is_searching: bool) -> None:  # noqa: FBT001
    """Each request after the first waits for as long as the pace says."""
    state = replace(PACED, pace=TEN._replace(is_searching=is_searching), slot=NOW)
    spaced = gaps(state, NOW, 12)
    assert spaced[0] == 0.0
    assert spaced[1:] == pytest.approx([1 / state.pace.allowed] * 11)


# Windows.

LEFT = {
    "more than half": (replace(WINDOW, left=7.0, used=3), [0.0, 0.0, 1.67]),
    "half: evenly over the rest": (replace(WINDOW, left=5.0), [0.0, 2.0, 2.0, 2.0, 2.0]),
    "two left": (replace(WINDOW, left=2.0), [0.0, 5.0, 5.0]),
    "one left: the next goes at its end": (replace(WINDOW, left=1.0), [0.0, 10.0]),
    "none left": (SPENT, [10.0]),
    "half, but it lasts for what was used": (
        replace(WINDOW, left=5.0, used=0),
        [0.0, 0.0, 2.5, 2.5],
    ),
    "no quota, and it lasts": (replace(WINDOW, quota=0.0, left=9.0, used=2), [0.0, 0.0, 1.25]),
    "no quota, and it does not": (replace(WINDOW, quota=0.0, left=9.0, used=3), [0.0, 1.11]),
    "guessed: evenly from the beginning": (
        replace(WINDOW, left=9.0, used=1, guessed=True),
        [0.0, 1.11, 1.11],
    ),
    "guessed, and nothing left": (replace(SPENT, guessed=True), [0.0, 10.0]),
    "the server does not keep to it": (replace(SPENT, holds=False), [0.0, 0.0, 0.0]),
}


@pytest.mark.parametrize(("window", "expected"), LEFT.values(), ids=LEFT)
def test_a_window_is_spent_evenly(window: Window, expected: list[float]) -> None:
    """A short rest of a window that would not last for the job is spent evenly to its end."""
    state = RateState(windows=(window,), slot=NOW)
    assert gaps(state, NOW, len(expected)) == pytest.approx(expected, abs=2 * LATE)


def test_the_slowest_window_counts() -> None:
    """The latest time counts of several windows and a rate."""
    slow = replace(WINDOW, name="slow", left=2.0)
    state = replace(PACED, windows=(WINDOW, slow))
    assert rate_limit.on_sent(state, NOW).slot == pytest.approx(NOW + 5, abs=2 * LATE)
    assert rate_limit.spacing(state, NOW) == pytest.approx(10 / 3)
    assert [(w.left, w.used) for w in rate_limit.on_sent(state, NOW).windows] == [
        (3.0, 7),
        (1.0, 7),
    ]
    slower = replace(state, pace=TEN._replace(rate=0.1))
    assert rate_limit.spacing(slower, NOW) == pytest.approx(10.0)


def test_the_next_window_is_expected_to_be_as_the_last() -> None:
    """The next window is assumed to be as large as the last one, until an answer says more."""
    after = WINDOW.spent(NOW + 10)
    assert after == replace(WINDOW, left=9.0, until=NOW + 30, used=1, guessed=True)
    assert after.interval(NOW + 10) == 2.0
    assert after.interval(NOW + 31) == 0.0


def test_no_window_is_guessed_from_a_guess() -> None:
    """A guessed window that passes without an answer about it leaves nothing to assume."""
    state = rate_limit.on_sent(RateState(windows=(WINDOW,)), NOW + 10)
    assert [w.guessed for w in state.windows] == [True]
    assert [w.left for w in rate_limit.on_sent(state, NOW + 29.9).windows] == [8.0]
    assert rate_limit.on_sent(state, NOW + 30).windows == ()


def test_a_window_that_has_passed_holds_nobody_without_a_quota() -> None:
    """A window without a known quota does not limit requests after its end."""
    limit = Limit(remaining=0.0, reset=10.0)
    state = rate_limit.on_rate_limit_fields(RateState(), -1, [limit], NOW - 1, NOW, succeeded=False)
    assert rate_limit.opens(state, NOW) == NOW + 10
    assert burst(state, NOW + 10) == 1000
    assert rate_limit.on_sent(state, NOW + 10).windows == ()


HURRIED = {
    "a spent window": (RateState(windows=(SPENT,)), NOW),
    "one that has to last": (RateState(windows=(WINDOW,), slot=NOW + 2), NOW),
    "another just did": (RateState(probed=NOW - 0.1, windows=(SPENT,)), NOW - 0.1 + ASKING),
    "another did long ago": (RateState(probed=NOW - 9, windows=(SPENT,)), NOW),
    "somebody was refused": (replace(PACED, windows=(SPENT,)), None),
    "a cool-down": (RateState(not_before=NOW + 0.1), None),
    "a cool-down that has passed": (RateState(not_before=NOW, windows=(SPENT,)), NOW),
}


@pytest.mark.parametrize(("state", "at"), HURRIED.values(), ids=HURRIED)
def test_who_would_come_too_late_asks(state: RateState, at: float | None) -> None:
    """A call that a window would make too late is sent as a probe, unless there was a refusal."""
    assert rate_limit.probe_time(state, NOW) == at


def test_a_probe_counts_as_sent() -> None:
    """A call that would wait beyond its deadline is sent early, and the next one asks later."""
    state = RateState(windows=(SPENT,))
    sent, decision = rate_limit.ask(state, 0, NOW, NOW + 5, may_test=False)
    assert sent == replace(rate_limit.on_sent(state, NOW), probed=NOW)
    assert decision == Slot(1)
    assert sent.windows[0].left == -1.0
    assert rate_limit.ask(sent, 0, NOW, NOW + 5, may_test=False) == (
        sent,
        AskAgain(ASKING, Reason.PACING),
    )


# Tests of spent windows.

TESTABLE = replace(SPENT, counted=NOW, may_test=True)
"""Nothing of ten requests in 20 s is left for 10 s: a test may be sent after 4 s."""

DRY = RateState(windows=(TESTABLE,), slot=NOW + 9)
TEST_TIMES = {
    "when a bucket has gained two": (DRY, NOW + 4),
    "no window is spent": (replace(DRY, windows=(WINDOW,)), inf),
    "the latest of two": (
        replace(DRY, windows=(TESTABLE, replace(TESTABLE, name="b", counted=NOW + 1))),
        NOW + 5,
    ),
    "one of two may not be tested": (replace(DRY, windows=(TESTABLE, SPENT)), inf),
    "the slot of a pace": (replace(DRY, pace=TEN), NOW + 9),
    "in the cool-down for its end": (replace(DRY, not_before=NOW + 10.5), NOW + 4),
    "in a longer cool-down": (replace(DRY, not_before=NOW + 10.6), inf),
}


@pytest.mark.parametrize(("state", "at"), TEST_TIMES.values(), ids=TEST_TIMES)
def test_when_spent_windows_are_tested(state: RateState, at: float) -> None:
    """After a while one request finds out whether they refill, if nothing else closes the limit."""
    assert rate_limit.window_test_time(state, NOW) == at


def test_a_first_attempt_tests_a_spent_window() -> None:
    """At 4 s the first attempt of a call is sent, and noted as the test; a retry waits for 6 s."""
    at = NOW + 4
    state, decision = rate_limit.ask(DRY, 3, at, NOW + 99, may_test=False, is_first=True)
    assert decision == Slot(1)
    assert state == rate_limit.on_sent(DRY, at)._replace(windows=state.windows)
    assert [window.test for window in state.windows] == [1]
    again = AskAgain(6.0, Reason.PACING)
    assert rate_limit.ask(DRY, 0, at, NOW + 99, may_test=False) == (DRY, again)
    late = rate_limit.ask(DRY, 0, at, at, may_test=False, is_first=True)
    assert late == (DRY, TooLate(6.0))


def test_a_first_attempt_asks_again_when_it_may_test_a_window() -> None:
    """At 1 s a new call sleeps for 3 s, and a call that is not its first attempt for 9 s."""
    for is_first, seconds in ((True, 3.0), (False, 9.0)):
        _, decision = rate_limit.ask(DRY, 0, NOW + 1, NOW + 99, may_test=False, is_first=is_first)
        assert decision == AskAgain(seconds, Reason.PACING)


def test_a_window_that_proves_to_refill_ends_the_cool_down() -> None:
    """The test passes at 5 s: nobody waits for the end at 10 s any more."""
    tested = replace(DRY, windows=(replace(TESTABLE, test=1),), sent=1, not_before=NOW + 10)
    limit = Limit(1.0, 8.0, "10", 10.0, 20.0)
    state = rate_limit.on_rate_limit_fields(tested, 1, [limit], NOW + 4, NOW + 5, succeeded=True)
    assert (state.windows[0].refills, state.not_before) == (True, NOW + 5)
    assert rate_limit.opens(state, NOW + 5) == NOW + 5
    refused = rate_limit.on_rate_limit_fields(tested, 1, [limit], NOW + 4, NOW + 5, succeeded=False)
    assert refused.not_before == NOW + 10


def test_an_uncounted_answer_ends_no_cool_down() -> None:
    """A window that refills was never tested: no answer is that of a test. The cool-down stays."""
    window = SPENT._replace(name="10", refills=True, counted=NOW)
    state = cooling(RateState(windows=(window,)), NOW + 30)
    limit = Limit(3, 5, "", 10.0, 20.0)
    after = rate_limit.on_rate_limit_fields(state, -1, [limit], NOW, NOW + 1, succeeded=True)
    assert after.windows[0].refills
    assert after.not_before == NOW + 30


def test_a_window_that_refills_holds_back_until_one_request_is_left() -> None:
    """Half a request is left of ten in 20 s: the next one goes after one second."""
    refills = replace(TESTABLE, refills=True, left=0.5, most=10.0)
    assert rate_limit.opens(RateState(windows=(refills,)), NOW) == NOW + 1


def test_a_window_that_refills_hears_of_each_refusal() -> None:
    """Request 2 is refused after request 5 was answered: others use the bucket, too."""
    refills = replace(TESTABLE, refills=True, number=5, left=0.0, most=10.0)
    state = RateState(windows=(refills,), sent=5)
    limit = Limit(0.0, 9.0, refills.name, 10.0, 20.0)
    after = rate_limit.on_rate_limit_fields(state, 2, [limit], NOW, NOW + 1, succeeded=False)
    assert after.windows[0].refused == 1


SLOW = RateState(pace=Pace(rate=1.0, since=0.0), slot=1.0)
ASKED = {
    "nothing holds it back": (RateState(), 0, Slot(1)),
    "a cool-down beyond the deadline": (RateState(not_before=6.0), 0, TooLate(6.0)),
    "a cool-down": (RateState(not_before=3.0), 0, AskAgain(3.0, Reason.COOL_DOWN)),
    "a cool-down, and one before it": (
        RateState(not_before=3.0),
        1,
        AskAgain(3.0 + OVERDUE, Reason.COOL_DOWN),
    ),
    "a pace": (SLOW, 0, AskAgain(1.0, Reason.PACING)),
    "a pace, and two before it": (SLOW, 2, AskAgain(3.0 + OVERDUE, Reason.PACING)),
    "a slot beyond the deadline": (
        replace(SLOW, slot=8.0),
        0,
        AskAgain(5.0, Reason.PACING),
    ),
}


@pytest.mark.parametrize(("state", "place", "expected"), ASKED.values(), ids=ASKED)
def test_ask(state: RateState, place: int, expected: object) -> None:
    """A call with 5 s left sends now, asks again, or learns that it would be too late."""
    after, decision = rate_limit.ask(state, place, 0.0, 5.0, may_test=False)
    assert decision == expected
    assert after == (rate_limit.on_sent(state, 0.0) if isinstance(decision, Slot) else state)


def test_after_its_deadline_a_call_takes_no_slot() -> None:
    """A call that wakes too late gets `TooLate`, even if no limit holds it back."""
    assert rate_limit.ask(RateState(), 0, NOW, NOW - 1, may_test=False) == (
        RateState(),
        TooLate(0.0),
    )


def left(remaining: float, reset: float, window: float | None = None) -> Limit:
    """Return what an answer says about a limit of ten requests."""
    return Limit(remaining, reset, "", 10.0, window)


def on_rate_limit_fields(
    state: RateState, number: int, limit: Limit, *, passed: bool = True
) -> Window:
    """Return the only window after an answer."""
    (window,) = rate_limit.on_rate_limit_fields(
        state, number, [limit], NOW - 0.1, NOW, succeeded=passed
    ).windows
    return window


KNOWN = RateState(first=10, sent=20, windows=(replace(WINDOW, number=15),))
GUESSED = replace(KNOWN, windows=(replace(WINDOW, number=15, guessed=True),))
PASSED = replace(KNOWN, windows=(replace(WINDOW, number=15, until=NOW),))
TELLS = {
    "a first word, with a quota": (RateState(), 0, left(3, 5, 7), (3, 5, 7, 0, 0)),
    "a first word, without a length": (RateState(), 0, left(3, 5), (3, 5, 5, 0, 0)),
    "less by those that left since": (KNOWN, 18, left(5, 8), (3, 8, 20, 18, 6)),
    "rounding never moves the end of a window later": (KNOWN, 18, left(5, 11), (3, 10, 20, 18, 6)),
    "just below one more is the same window": (KNOWN, 20, left(4.9, 11), (4.9, 10, 20, 20, 6)),
    "one more is another window": (KNOWN, 20, left(5, 11), (5, 11, 11, 20, 0)),
    "an older word that says more is not believed": (KNOWN, 14, left(11, 9), None),
    "nor as much": (KNOWN, 14, left(10, 9), None),
    "an older word that says less is": (KNOWN, 14, left(9, 9), (3, 9, 20, 15, 6)),
    "the same request says no more": (KNOWN, 15, left(20, 9), None),
    "nobody counted it: less by all that were": (KNOWN, -1, left(12, 9), (2, 9, 20, 15, 6)),
    "nobody counted it, and it says more": (KNOWN, -1, left(50, 9), None),
    "a greater length shows": (KNOWN, 20, left(3, 9, 25), (3, 9, 25, 20, 6)),
    "a lesser one does not": (KNOWN, 20, left(3, 9, 15), (3, 9, 20, 20, 6)),
    "after its end it is another window": (PASSED, 20, left(3, 9), (3, 9, 9, 20, 0)),
    "what was guessed gives way": (GUESSED, 20, left(3, 11, 20), (3, 11, 20, 20, 6)),
    "a reset beyond the longest": (
        RateState(),
        0,
        left(0, 1e6, 7),
        (0, MAX_COOL_DOWN_SECONDS, 7, 0, 0),
    ),
}


@pytest.mark.parametrize(("state", "number", "limit", "expected"), TELLS.values(), ids=TELLS)
def test_what_the_server_tells(
    state: RateState, number: int, limit: Limit, expected: tuple[float, ...] | None
) -> None:
    """The requests left are counted from the answered one, and only newer answers are believed."""
    window = on_rate_limit_fields(state, number, limit)
    if expected is None:
        assert (window,) == state.windows
        return
    remaining, until, length, told_to, used = expected
    assert window[:7] == ("10", remaining, NOW + until, 10.0, length, told_to, used)


def test_a_quota_that_was_not_told_is_none() -> None:
    """An answer that says only how many requests are left gives no quota."""
    window = on_rate_limit_fields(RateState(), 0, Limit(3, 5))
    assert window[:7] == ("", 3, NOW + 5, 0.0, 5, 0, 0)


BELOW = replace(KNOWN, windows=(replace(SPENT, left=-1.0),))
AT_ALL = replace(BELOW, windows=(replace(BELOW.windows[0], holds=False),))
HOLDS = {
    "it served what it said was not left": (BELOW, 0, True, False),
    "it refused that": (BELOW, 0, False, True),
    "it served the last one": (replace(KNOWN, windows=(SPENT,)), 0, True, True),
    "it served one and has more": (BELOW, 1, True, True),
    "once is enough": (AT_ALL, 5, True, False),
    "until it refuses": (AT_ALL, 0, False, True),
    "a first word": (RateState(sent=20), 0, True, True),
}


@pytest.mark.parametrize(("state", "remaining", "passed", "holds"), HOLDS.values(), ids=HOLDS)
def test_whether_a_server_keeps_to_its_word(
    state: RateState,
    remaining: float,
    passed: bool,  # noqa: FBT001 (a column of the table)
    holds: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """A policy is ignored once the server serves more than it announced, until it refuses."""
    assert on_rate_limit_fields(state, 20, left(remaining, 9), passed=passed).holds is holds


def test_windows_are_kept_apart_by_name() -> None:
    """An answer about one policy changes no other; without a name the quota names the policy."""
    limits = [Limit(3, 5, "other"), Limit(3, 5, "", 100.0)]
    state = rate_limit.on_rate_limit_fields(KNOWN, 20, limits, NOW - 0.1, NOW, succeeded=True)
    assert [w.name for w in state.windows] == ["10", "other", "100"]
    assert state.windows[:1] == KNOWN.windows


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([], True),
        ([Limit(6, 1, "", 10)], True),
        ([Limit(5, 1, "", 10)], False),
        ([Limit(6, 1)], False),
        ([Limit(6, 1, "", 10), Limit(1, 1, "", 10)], False),
    ],
)
def test_plenty(limits: list[Limit], expected: bool) -> None:  # noqa: FBT001
    """A limit with more than half of its quota left need not be remembered."""
    assert rate_limit.is_plenty(limits) is expected


FREE = {
    "half of what is left": ([Limit(60, 9)], 0, 30),
    "whole requests": ([Limit(63, 9)], 0, 31),
    "less by those that were sent": ([Limit(60, 9)], 12, 18),
    "less than none": ([Limit(60, 9)], 32, -2),
    "of the limit that is nearest": ([Limit(60, 9), Limit(40, 9), Limit(90, 9)], 0, 20),
    "just more than may be under way": ([Limit(33, 9)], 0, 16),
    "as many as may be under way": ([Limit(32, 9)], 0, 0),
    "few, and some were sent": ([Limit(32, 9)], 5, 0),
}


@pytest.mark.parametrize(("limits", "used", "expected"), FREE.values(), ids=FREE)
def test_half_of_what_is_left_is_free(limits: list[Limit], used: int, expected: int) -> None:
    """With 60 requests left and none sent, thirty need not be counted; with 32 left, all are."""
    assert rate_limit.free_requests(limits, used) == expected


NAMED = {
    "a name": (Limit(1, 9, "core", 60.0), "core"),
    "a quota of requests": (Limit(1, 9, "", 60.0), "60"),
    "a quota of something else": (Limit(1, 9, "", 60.0, unit="tokens"), "60 tokens"),
    "neither": (Limit(1, 9), ""),
    "a quota of nothing": (Limit(1, 9, "", 0.0), ""),
}


@pytest.mark.parametrize(("limit", "name"), NAMED.values(), ids=NAMED)
def test_a_limit_without_a_name_is_named_by_its_quota(limit: Limit, name: str) -> None:
    """Two limits of one answer, of 60 requests and of 60 tokens, are told apart."""
    assert name_of(limit) == name


LIFTED = replace(PACED, **CLOSED_ALONE, slot=NOW + 7, windows=(WINDOW,))


def test_a_cool_down_is_lifted_and_nothing_else() -> None:
    """A cool-down ends now, without a test attempt; one that has ended stays as it was."""
    now = NOW + 3
    expected = replace(LIFTED, not_before=now, closed=inf, is_tested=True)
    assert rate_limit.lifted(LIFTED, "cool-down", now) == expected
    assert rate_limit.lifted(LIFTED, "cool-down", NOW + 12).not_before == NOW + 10


def test_a_pace_is_lifted_and_nothing_else() -> None:
    """As before the first refusal, requests are unlimited, and the next one need not wait."""
    now = NOW + 3
    expected = replace(LIFTED, pace=NO_PACE, slot=now)
    assert rate_limit.lifted(LIFTED, "pace", now) == expected
    assert rate_limit.lifted(LIFTED, "pace", NOW + 8).slot == NOW + 7


def test_windows_are_lifted_and_nothing_else() -> None:
    """What the server said of its windows is forgotten, and the next request need not wait."""
    now = NOW + 3
    expected = replace(LIFTED, windows=(), slot=now)
    assert rate_limit.lifted(LIFTED, "window", now) == expected
    assert rate_limit.lifted(LIFTED, "window", NOW + 8).slot == NOW + 7


OVER = {
    "nothing is known": (RateState(), True),
    "a cool-down": (RateState(not_before=NOW + 1), False),
    "a cool-down that has passed": (RateState(not_before=NOW), True),
    "a narrowed scope": (RateState(narrowed_until=NOW + 1), False),
    "a pace": (PACED, False),
    "one of just less than ten minutes ago": (
        RateState(pace=TEN._replace(refused_at=NOW - SECONDS_KEPT + 1)),
        False,
    ),
    "one of ten minutes ago": (RateState(pace=TEN._replace(refused_at=NOW - SECONDS_KEPT)), True),
    "a window": (RateState(windows=(WINDOW,)), False),
    "a window that has passed just now": (RateState(windows=(replace(WINDOW, until=NOW),)), False),
    "one that has passed by its length": (
        RateState(windows=(replace(WINDOW, until=NOW - 20),)),
        True,
    ),
    "a guess that has passed just now": (
        RateState(windows=(replace(WINDOW, until=NOW, guessed=True),)),
        True,
    ),
    "a guess": (RateState(windows=(replace(WINDOW, guessed=True),)), False),
    "one without a quota": (RateState(windows=(replace(WINDOW, until=NOW, quota=0.0),)), True),
    "two, and one has passed": (
        RateState(windows=(replace(WINDOW, until=NOW - 20), replace(WINDOW, name="b"))),
        False,
    ),
}


@pytest.mark.parametrize(("state", "expected"), OVER.values(), ids=OVER)
def test_is_over(state: RateState, expected: bool) -> None:  # noqa: FBT001
    """A state is over when its cool-down, its pace and its windows hold no call back any more."""
    assert rate_limit.is_over(state, NOW) is expected
