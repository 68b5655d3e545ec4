"""Windows: what is left of a policy, and whether its requests come back one after another."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.bounds import MAX_COOL_DOWN_SECONDS
from requests_authretry._core.records import Limit
from requests_authretry._core.scope import LEARNT_SECONDS
from requests_authretry._core.window import (
    CORRECTED,
    DISPROVED,
    LASTING,
    LONGEST_TESTED,
    REGAINED,
    REGAINED_WHEN_EMPTY,
    ROUNDED,
    SHARED,
    TESTED_AFTER,
    TESTED_AGAIN,
    Window,
    described,
    first_described,
)

NOW = 1000.0


def told(remaining: float, reset: float = 30.0, window: float | None = 30.0) -> Limit:
    """Return what an answer says of a policy of ten requests in 30 s."""
    return Limit(remaining, reset, "all", 10.0, window)


SPENT = first_described(told(0), 0, 0, NOW, 0)
"""Nothing is left for 30 s."""

REFILLS = SPENT._replace(refills=True, left=2.0, most=10.0)
"""Of ten requests two are left; three seconds bring another one."""


def after(  # noqa: PLR0913 (what an answer says, and of which request)
    before: Window,
    limit: Limit,
    *,
    number: int = 1,
    since: int = 0,
    began: float = NOW + 6,
    now: float = NOW + 6,
    succeeded: bool = True,
) -> Window:
    """Return a window as an answer describes it."""
    return described(before, limit, number, since, began, now, succeeded=succeeded)


# What a first answer says.


def test_a_first_answer_describes_a_window() -> None:
    """Ten requests in 30 s, three of them left for 5 s; two were sent after the answered one."""
    assert first_described(told(3, 5), 7, 2, NOW, 4) == Window(
        "all",
        left=1.0,
        until=NOW + 5,
        quota=10.0,
        length=30.0,
        number=7,
        used=4,
        counted=NOW,
        most=4.0,
        may_test=True,
    )


def test_a_window_ends_after_an_hour_at_the_latest() -> None:
    """A server that names a day as the reset holds back no call for longer than an hour."""
    assert first_described(told(0, 1e6), 0, 0, NOW, 0).until == NOW + MAX_COOL_DOWN_SECONDS


TESTABLE = {
    "30 s": (told(0), True),
    "half a second": (told(0, window=0.5), True),
    "a minute": (told(0, window=LONGEST_TESTED), True),
    "more than a minute": (told(0, window=LONGEST_TESTED + 1), False),
    "no length, only a reset": (told(0, window=None), False),
    "no length at all": (told(0, reset=0.0, window=0.0), False),
    "no quota": (Limit(0, 30.0, "all", None, 30.0), False),
    "a quota of tokens": (Limit(0, 30.0, "all", 10.0, 30.0, unit="tokens"), False),
}


@pytest.mark.parametrize(("limit", "may_test"), TESTABLE.values(), ids=TESTABLE)
def test_a_short_window_of_so_many_requests_may_be_tested(limit: Limit, may_test: bool) -> None:  # noqa: FBT001
    """The server has to say how many requests it allows, and in at most a minute."""
    assert first_described(limit, 0, 0, NOW, 0).may_test is may_test


# A spent window.


def test_a_spent_window_is_tested_when_a_bucket_has_gained_two() -> None:
    """Ten requests in 30 s: a bucket has gained two after 6 s."""
    assert TESTED_AFTER == 2.0
    assert SPENT.test_time() == NOW + 6


NO_TEST = {
    "the server states no length": SPENT._replace(may_test=False),
    "it was tested less than ten windows ago": SPENT._replace(tested=NOW - 270),
    "it ends then": SPENT._replace(until=NOW + 6),
}


@pytest.mark.parametrize("window", NO_TEST.values(), ids=NO_TEST)
def test_a_window_is_not_tested(window: Window) -> None:
    """It is tested once in ten windows, and only before its end."""
    assert window.test_time() == inf


def test_the_first_request_may_be_the_test() -> None:
    """The numbers of requests begin at 0, and -1 says that none was sent."""
    assert SPENT._replace(test=-1, until=NOW + 6.1).test_time() == NOW + 6


SPENT_OR_NOT = {
    "nothing is left": (SPENT, True),
    "a part of one": (SPENT._replace(left=0.9), True),
    "one is left": (SPENT._replace(left=1.0), False),
    "it is over": (SPENT._replace(until=NOW), False),
    "it is guessed": (SPENT._replace(guessed=True), False),
    "the server serves more": (SPENT._replace(holds=False), False),
    "it refills": (SPENT._replace(refills=True), False),
}


@pytest.mark.parametrize(("window", "is_spent"), SPENT_OR_NOT.values(), ids=SPENT_OR_NOT)
def test_a_window_is_spent_if_the_server_says_that_nothing_is_left(
    window: Window,
    is_spent: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """Only what the server says stops all requests, and only until the end."""
    assert window.is_spent(NOW) is is_spent


# Whether it refills.


def test_a_test_that_passes_shows_that_the_window_refills() -> None:
    """Request 4 is the test and passes at 6 s: the window refills, whatever its answer says."""
    window = after(SPENT._replace(test=4), told(0), number=4)
    assert (window.refills, window.left, window.counted) == (True, 0.0, NOW + 6)


def test_a_window_is_tested_again_after_ten_windows() -> None:
    """The last test was 300 s ago: another process may have taken what came back then."""
    assert TESTED_AGAIN == 10.0
    assert SPENT._replace(tested=NOW - 292).test_time() == NOW + 8
    assert SPENT._replace(tested=NOW - 300).test_time() == NOW + 6


def test_a_length_next_to_nothing_is_no_fault() -> None:
    """A server may state any length: a window that takes no time to refill is full at once."""
    window = REFILLS._replace(length=5e-324, left=0.0)
    assert window.level(NOW + 1) == window.most
    assert window.refilled(window.counted) > window.counted


def test_a_window_that_refills_is_known_for_ten_minutes() -> None:
    """A fixed window is known until its end; one that refills, for ten minutes after an answer."""
    assert SPENT.ends == SPENT.until
    assert REFILLS.ends == REFILLS.counted + 600
    assert not REFILLS.is_over(REFILLS.ends - 1)
    assert REFILLS.is_over(REFILLS.ends)


def test_a_window_that_others_use_refills_more_slowly() -> None:
    """A refusal leaves seven tenths of its speed; each success gives back some.

    It gives back the eighth part where nothing is left. Never less than one request in the length
    of the window is left of the speed.
    """
    slower = after(REFILLS, told(0), succeeded=False)
    assert slower.speed == pytest.approx(SHARED)
    assert slower.spacing == pytest.approx(3 / SHARED)
    assert REGAINED_WHEN_EMPTY == REGAINED / 8
    empty = after(slower, told(0), succeeded=True)
    assert empty.speed == pytest.approx(SHARED + REGAINED_WHEN_EMPTY)
    assert after(slower, told(2), succeeded=True).speed == pytest.approx(SHARED + REGAINED)
    assert after(REFILLS, told(2), succeeded=True).speed == 1.0
    assert after(REFILLS._replace(speed=0.11), told(0), succeeded=False).speed == 0.1


def test_a_test_that_is_refused_shows_nothing() -> None:
    """A fixed window refuses the test: nothing is sent before its end."""
    tested = SPENT._replace(test=4, tested=NOW)
    window = after(tested, told(0, 24), number=4, succeeded=False)
    assert not window.refills
    assert window.is_spent(NOW + 29)
    assert window.test_time() == inf


def test_the_request_with_the_number_0_may_be_the_test() -> None:
    """Only -1 is no number."""
    assert after(SPENT._replace(test=0), told(0), number=0).refills


def test_another_request_is_no_test() -> None:
    """Request 5 passes while request 4 is the test; it left earlier, with something left."""
    assert not after(SPENT._replace(test=4), told(0, 24), number=5).refills


def test_a_request_without_a_number_is_no_test() -> None:
    """Before a test was sent, its number is -1, and so is that of requests nobody counted."""
    assert not after(SPENT, told(0, 24), number=-1).refills


GAINS = {
    "one more, long before the end": (1.0, 6.0, True, True),
    "less than one more": (0.9, 6.0, True, False),
    "just before the end, which is rounded": (1.0, 30.0 - ROUNDED, True, False),
    "a refusal says so": (1.0, 6.0, False, False),
}


@pytest.mark.parametrize(("left", "at", "succeeded", "refills"), GAINS.values(), ids=GAINS)
def test_a_window_that_gains_a_request_before_its_end_refills(
    left: float,
    at: float,
    succeeded: bool,  # noqa: FBT001 (a column of the table)
    refills: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """Nothing was left, and more than a second before the end one is: a bucket gained it."""
    window = after(SPENT, told(left, 24), now=NOW + at, succeeded=succeeded)
    assert window.refills is refills


def test_a_window_without_a_length_never_refills() -> None:
    """If the server states no length, nobody knows how fast requests would come back."""
    short = first_described(told(0, window=None), 0, 0, NOW, 0)
    assert not after(short, told(5, 24, None)).refills


# A window that refills.


def test_a_window_that_refills_gains_requests_up_to_the_most() -> None:
    """Two are left, and one comes each three seconds, up to the ten that answers have shown."""
    assert [REFILLS.level(NOW + each) for each in (0.0, 3.0, 24.0, 99.0)] == [2.0, 3.0, 10.0, 10.0]


def test_a_fixed_window_gains_nothing_before_its_end() -> None:
    """Three are left, however long nothing is sent."""
    assert SPENT._replace(left=3.0).level(NOW + 29) == 3.0


def test_a_request_takes_one_of_what_is_left_now() -> None:
    """Four are left after six seconds, and three after a request."""
    window = REFILLS.spent(NOW + 6)
    assert (window.left, window.counted, window.used) == (3.0, NOW + 6, REFILLS.used + 1)


def test_with_less_than_one_left_requests_go_as_they_come_back() -> None:
    """With half a request left the next one goes after 1.5 s, and then one each three seconds."""
    assert (REFILLS.refilled(NOW), REFILLS.interval(NOW)) == (-inf, 0.0)
    low = REFILLS._replace(left=0.5)
    assert (low.refilled(NOW), low.interval(NOW)) == (NOW + 1.5, 3.0)
    one = REFILLS._replace(left=1.0)
    assert (one.refilled(NOW), one.interval(NOW)) == (-inf, 0.0)
    assert low._replace(refills=False).refilled(NOW) == -inf


def test_what_refills_is_remembered_for_ten_minutes() -> None:
    """The end that the server named is no end: it says when a bucket is full."""
    assert not REFILLS.is_over(NOW + LEARNT_SECONDS - 1)
    assert REFILLS.is_over(NOW + LEARNT_SECONDS)


def test_answers_correct_what_is_left() -> None:
    """The server rounds down: between what it says and one more, what was counted holds.

    4.1 were left at 6.3 s as far as was counted. It took 0.6 s until the answer came: in half of
    that time the bucket has gained 0.1 requests since the server counted. What is left rises by a
    quarter of a request at most, and falls by any number.
    """
    at: Any = {"began": NOW + 5.7, "now": NOW + 6.3}
    assert after(REFILLS, told(4), **at).left == pytest.approx(4.1)
    assert after(REFILLS, told(4.1), **at).left == pytest.approx(4.2)
    assert after(REFILLS, told(6), **at).left == pytest.approx(4.1 + CORRECTED)
    assert after(REFILLS, told(1), **at).left == pytest.approx(2.1)
    assert after(REFILLS, told(4), since=3, **at).left == pytest.approx(2.1)
    assert after(REFILLS, told(4), **at).counted == NOW + 6.3


def test_only_the_newest_answer_corrects_what_is_left() -> None:
    """Request 7 was answered: the answer to request 6, which 7 overtook, tells nothing new.

    A refusal of request 6 tells that nothing was left.
    """
    newest = REFILLS._replace(number=7)
    assert after(newest, told(0), number=6).left == pytest.approx(4.0)
    assert after(newest, told(9), number=7).left == pytest.approx(4.0)
    assert after(newest, told(0), number=8).left == pytest.approx(1.0)
    assert after(newest, told(9), number=6, succeeded=False).left == 0.0
    below = newest._replace(left=-3.0)
    refused = after(below, told(9), number=6, succeeded=False)
    assert refused.left == pytest.approx(-3 + 2 * SHARED)


def test_refusals_of_one_flood_slow_a_window_that_refills_once() -> None:
    """Two requests had left when the first refusal arrived at 6 s, and are refused at 6.1 s.

    One that left later, and is refused, slows it again.
    """
    first = after(REFILLS, told(0), succeeded=False)
    assert (first.refused, first.refused_at) == (1, NOW + 6)
    flood = after(first, told(0), began=NOW + 6, now=NOW + 6.1, succeeded=False)
    assert (flood.refused, flood.refused_at, flood.speed) == (1, NOW + 6, first.speed)
    later = after(flood, told(0), began=NOW + 6.05, now=NOW + 6.2, succeeded=False)
    assert (later.refused, later.refused_at) == (2, NOW + 6.2)
    assert later.speed == pytest.approx(SHARED * SHARED)


def test_an_answer_may_change_how_fast_a_window_refills() -> None:
    """The quota and the length of the last answer count, and the most that was ever left."""
    window = after(REFILLS, Limit(4, 30.0, "all", 20.0, 40.0), number=9)
    assert (window.quota, window.length, window.number) == (20.0, 40.0, 9)
    assert window.most == 10.0
    assert after(REFILLS, told(15)).most == 16.0


@pytest.mark.parametrize(
    "limit",
    [Limit(4, 20.0, "all"), Limit(4, 0.0, "all"), told(4, window=None), told(4, 0.0, 0.0)],
    ids=["no quota", "nothing", "no length", "a length of 0"],
)
def test_an_answer_that_states_no_length_leaves_the_speed(limit: Limit) -> None:
    """An answer with `RateLimit` and no `RateLimit-Policy` says only what is left."""
    window = after(REFILLS, limit)
    assert (window.quota, window.length, window.left) == (10.0, 30.0, 4.0)


def test_six_refusals_in_a_row_disprove_that_a_window_refills() -> None:
    """After the sixth one the window is as its answer describes it."""
    window = REFILLS._replace(test=4, tested=NOW)
    for refused in range(1, DISPROVED):
        at = NOW + refused
        window = after(window, told(0), began=at, now=at, succeeded=False)
        assert (window.refills, window.refused) == (True, refused)
    window = after(window, told(0), succeeded=False)
    assert not window.refills
    assert window.is_spent(NOW + 7)
    assert window.test_time() == inf


def test_a_success_between_refusals_begins_the_count_again() -> None:
    """Two refusals, a success and two refusals disprove nothing."""
    window = REFILLS
    for number, succeeded in enumerate((False, False, True, False, False)):
        at = NOW + 6 + number
        window = after(window, told(0), began=at, now=at, succeeded=succeeded)
    assert (window.refills, window.refused) == (True, 2)


@pytest.mark.parametrize(
    ("left", "succeeded", "holds"), [(-3.1, True, False), (-3.1, False, True), (-3.0, True, True)]
)
def test_a_bucket_that_serves_more_than_it_has_is_no_limit(
    left: float,
    succeeded: bool,  # noqa: FBT001 (a column of the table)
    holds: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """At 6 s more than one request too many was sent, and one passes all the same."""
    window = after(REFILLS._replace(left=left), told(0), succeeded=succeeded)
    assert window.holds is holds


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 1e6), st.booleans(), st.booleans())
def test_whatever_an_answer_says_of_a_bucket_it_is_known_when_to_send(
    remaining: float,
    reset: float,
    length: float,
    has_quota: bool,  # noqa: FBT001
    has_length: bool,  # noqa: FBT001
) -> None:
    """No answer makes the next request wait for ever, or makes an error."""
    limit = Limit(
        remaining, reset, "all", 10.0 if has_quota else None, length if has_length else None
    )
    window = after(REFILLS, limit).spent(NOW + 6)
    assert window.refilled(NOW + 6) < inf
    assert 0 <= window.interval(NOW + 6) < inf


# A fixed window.


def test_what_is_sent_is_subtracted() -> None:
    """Of three requests two are left after one was sent."""
    window = SPENT._replace(left=3.0).spent(NOW + 1)
    assert (window.left, window.used, window.until) == (2.0, 1, NOW + 30)


def test_the_next_window_is_guessed_to_be_as_the_last_one() -> None:
    """At its end a window of ten begins again, with nine left after this request."""
    window = SPENT.spent(NOW + 30)
    assert (window.left, window.until, window.used) == (9.0, NOW + 60, 1)
    assert window.guessed


OVER = {
    "before its end": (SPENT, NOW + 29, False),
    "at its end: the next one is as this one": (SPENT, NOW + 30, False),
    "at the end of the next one": (SPENT, NOW + 60, True),
    "without a quota": (SPENT._replace(quota=0.0), NOW + 30, True),
    "a guess": (SPENT._replace(guessed=True), NOW + 30, True),
}


@pytest.mark.parametrize(("window", "now", "is_over"), OVER.values(), ids=OVER)
def test_a_window_says_something_of_the_next_one(window: Window, now: float, is_over: bool) -> None:  # noqa: FBT001
    """What is known of a window is used for the next one, and no longer."""
    assert window.is_over(now) is is_over


HALF = SPENT._replace(left=5.0, used=5)
SPREAD = {
    "half of it, which does not last": (HALF, 5.0),
    "more than half": (HALF._replace(left=5.1), 0.0),
    "it lasts": (HALF._replace(used=2), 0.0),
    "it hardly lasts": (HALF._replace(left=4.0, used=2), 6.0),
    "more than half of an unknown quota": (HALF._replace(left=6.0, quota=0.0), 30 / 7),
    "guessed": (HALF._replace(left=9.0, used=1, guessed=True), 3.0),
    "nothing": (HALF._replace(left=0.0), 30.0),
    "less than nothing": (HALF._replace(left=-3.0), 30.0),
    "it is over": (HALF._replace(until=NOW - 1), 0.0),
    "the server serves more": (HALF._replace(holds=False), 0.0),
}


@pytest.mark.parametrize(("window", "interval"), SPREAD.values(), ids=SPREAD)
def test_the_second_half_of_a_window_is_spread(window: Window, interval: float) -> None:
    """Five of ten are left for 30 s: one goes each five seconds, if they would not last else."""
    assert LASTING == 2
    assert window.interval(NOW) == pytest.approx(interval)


LONG = first_described(told(0, window=600.0), 0, 0, NOW, 0)
"""A window of ten minutes, which is not tested."""


def test_a_server_serves_more_than_it_said() -> None:
    """One request too many left after the count, and passes: the policy is not enforced."""
    none, one = told(0, 24, 600.0), told(1, 24, 600.0)
    below = LONG._replace(left=-1.0)
    assert not after(below, none, began=NOW + 1).holds
    assert after(below, none, began=NOW).holds  # it was under way when that was counted
    assert after(below, one, began=NOW + 1).holds
    assert after(LONG._replace(left=0.0), none, began=NOW + 1).holds
    assert not after(below._replace(holds=False), none, began=NOW).holds
    assert after(below._replace(holds=False), none, succeeded=False).holds


def test_a_short_window_that_serves_more_than_it_said_refills() -> None:
    """Of a window of 30 s nothing was left, and a request passes at 6 s: a bucket gained it."""
    window = after(SPENT._replace(left=-1.0), told(0, 24), began=NOW + 1)
    assert (window.refills, window.holds) == (True, True)


SAME = {
    "the earlier end counts": (told(0, 25), (NOW + 30, 30.0, 7)),
    "the end is a second later": (told(0, 24 + ROUNDED), (NOW + 30, 30.0, 7)),
    "the end is moved by more than that": (told(0, 25.5), (NOW + 31.5, 30.0, 7)),
    "the end comes nearer": (told(0, 20), (NOW + 26, 30.0, 7)),
    "the longer length counts": (told(0, 25, 40.0), (NOW + 30, 40.0, 7)),
    "one more is another window": (told(1, 30, 500.0), (NOW + 36, 500.0, 0)),
}


@pytest.mark.parametrize(("limit", "expected"), SAME.values(), ids=SAME)
def test_a_window_is_the_same_until_more_is_left(
    limit: Limit, expected: tuple[float, float, int]
) -> None:
    """Servers round the end of a window up to whole seconds; a bucket's end moves by more."""
    window = after(SPENT._replace(used=7), limit)
    assert (window.until, window.length, window.used) == expected


def test_an_answer_after_the_end_describes_another_window() -> None:
    """At 30 s another window begins, in which nothing was sent; a guess has counted what was."""
    window = after(SPENT._replace(used=7), told(0, 30), now=NOW + 30)
    assert (window.until, window.used) == (NOW + 60, 0)
    guess = SPENT._replace(used=7, guessed=True)
    assert after(guess, told(0, 40)).used == 7
    assert after(guess, told(0, 40)).until == NOW + 46


def test_the_latest_number_and_the_most_that_was_left_are_kept() -> None:
    """An answer to an earlier request does not hide how far answers have come."""
    before = SPENT._replace(number=5, most=11.0, test=3)
    window = after(before, told(0, 24), number=2)
    assert (window.number, window.most, window.test) == (5, 11.0, 3)
    assert after(before, told(0, 24), number=8).number == 8
