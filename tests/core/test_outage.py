"""Outages: when a retry is sent, when it is held, and what releases it."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core import outage
from requests_authretry._core.outage import DOWN, SPACING, Health
from requests_authretry._core.records import Failure, Outcome

NOW = 1000.0
DOWN_NOW = Health(failures=DOWN, probed=NOW - 1)
BACK = Health(probed=NOW - 1, returned=NOW - 3, due=0.5)

TELLS = {
    "no connection": (Outcome(failure=Failure.UNREACHABLE), True),
    "a lost answer": (Outcome(failure=Failure.LOST), True),
    "our own mistake": (Outcome(failure=Failure.FATAL), None),
    **{f"{status}": (Outcome(status), True) for status in (500, 502, 503, 504)},
    **{f"{status}": (Outcome(status), True) for status in (520, 521, 522, 523, 524, 529, 530)},
    **{f"{status}": (Outcome(status), None) for status in (408, 425)},
    **{
        f"{status}": (Outcome(status), False) for status in (200, 401, 404, 429, 501, 505, 525, 526)
    },
    "a 503 with retry_after": (Outcome(503, retry_after=3.0), True),
}


@pytest.mark.parametrize(("outcome", "expected"), TELLS.values(), ids=TELLS)
def test_what_tells_of_an_outage(outcome: Outcome, expected: bool | None) -> None:  # noqa: FBT001
    """A server error and a missing answer are signs of an outage; a 408 or our mistake is not."""
    assert outcome.speaks_of_outage is expected


def test_failures_in_a_row_make_an_outage() -> None:
    """Sixteen failures in a row are an outage, fifteen are not, and a success ends the row."""
    health = Health()
    for number in range(DOWN):
        assert not health.is_down
        health = outage.on_failure(health, NOW + number)
    assert health.is_down
    assert health.failures == DOWN
    assert outage.on_success(health, NOW, NOW + 9).failures == 0


def test_half_of_all_failing_is_hardly_ever_taken_for_an_outage() -> None:
    """Attempts that fail by even chance give one run in 65 000 that is long enough."""
    assert 65_000 < 2**DOWN < 66_000


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_newest_attempt_counts(times: list[float]) -> None:
    """The attempt that began last is kept, in whatever order attempts fail."""
    health = Health()
    for began in times:
        health = outage.on_failure(health, began)
    assert (health.failures, health.probed) == (len(times), max(times))


def test_a_failure_from_before_the_return_says_nothing() -> None:
    """An attempt that began before the outage ended says nothing about the time after it."""
    back = replace(BACK, failures=2)
    assert outage.on_failure(back, NOW - 3.1) is back
    assert outage.on_failure(back, NOW - 3).failures == 3


def test_an_outage_that_others_saw_counts_with_a_failure_of_ones_own() -> None:
    """Told of an outage, a process counts it after a failure of its own; a success ends it."""
    assert outage.on_told(Health()) == Health()
    told = outage.on_told(outage.on_failure(Health(), NOW))
    assert (told.is_down, told.is_seen_down) == (True, False)
    back = outage.on_success(told, NOW, NOW + 1)
    assert (back.is_down, back.returned) == (False, NOW + 1)
    seen = replace(told, failures=DOWN)
    assert (seen.is_down, seen.is_seen_down) == (True, True)


@pytest.mark.parametrize(("number", "seconds"), [(1, 0.5), (2, 1), (3, 2), (5, 8), (10**6, 8)])
def test_the_probes_of_one_call_come_at_growing_intervals(number: int, seconds: float) -> None:
    """A call probes after 0.5 s, then 1 s, 2 s, 4 s, and from then on each 8 s."""
    assert outage.gap(number) == seconds


PROBED = replace(DOWN_NOW, probed=NOW - 0.1)
FAR = NOW + 100
PROBE_DELAYS = {
    "nothing known": (Health(), NOW, 1, FAR, 0.0),
    "down, nobody asked for long": (DOWN_NOW, NOW - 3, 1, FAR, 0.0),
    "down, and its own attempt failed now": (DOWN_NOW, NOW, 1, FAR, 0.5),
    "and its next retry is the third": (DOWN_NOW, NOW, 3, FAR, 2.0),
    "down, another call asked just now": (PROBED, NOW - 3, 1, FAR, SPACING - 0.1),
    "down, exactly that long ago": (replace(DOWN_NOW, probed=NOW - SPACING), NOW - 1, 1, FAR, 0.0),
    "its own gap ends later": (PROBED, NOW - 0.1, 2, FAR, 0.9),
    "a gap ends before the deadline": (DOWN_NOW, NOW, 3, NOW + 0.7, 0.7),
    "and at the deadline": (DOWN_NOW, NOW - 0.1, 3, NOW, 0.0),
    "but another call asked just now": (PROBED, NOW - 0.1, 3, NOW, SPACING - 0.1),
    "some failures are no outage": (replace(PROBED, failures=DOWN - 1), NOW - 3, 1, FAR, 0.0),
    "back, it failed before": (BACK_PROBED := replace(BACK, probed=NOW), NOW - 4, 3, FAR, SPACING),
    "back, it failed just then": (BACK_PROBED, NOW - 3, 3, FAR, SPACING),
    "back, it failed after that": (BACK_PROBED, NOW - 2, 3, FAR, 0.0),
    "back, nobody asks any more": (BACK, NOW - 4, 3, FAR, 0.0),
}


@pytest.mark.parametrize(
    ("health", "since", "number", "latest", "wait"), PROBE_DELAYS.values(), ids=PROBE_DELAYS
)
def test_probe_delay(health: Health, since: float, number: int, latest: float, wait: float) -> None:
    """A held retry probes if its own gap is over and there was no attempt for a while."""
    assert outage.probe_delay(health, since, number, latest, NOW) == pytest.approx(wait)


def test_held_retries_go_one_at_a_time() -> None:
    """The other retries wait for as long as the spacing when one retry probes."""
    health, now, went = DOWN_NOW, NOW, []
    for _ in range(5):
        now += outage.probe_delay(health, NOW - 1, 1, FAR, now)
        health = outage.on_probe_sent(health, now)
        went.append(now)
    assert went == pytest.approx([NOW + SPACING * number for number in range(5)])


def test_the_first_success_ends_an_outage_and_lets_one_go() -> None:
    """Calls that failed before the first success wait for release; it releases one at once."""
    back = outage.on_success(DOWN_NOW, NOW - 0.2, NOW)
    assert back == Health(probed=NOW - 0.2, returned=NOW, due=1.0)
    assert outage.is_waiting(back, NOW)
    assert not outage.is_waiting(back, NOW + 0.001)
    assert outage.release(back, 5) == (1, replace(back, due=0.0))


def test_a_success_without_an_outage_ends_nothing() -> None:
    """No retry waits for a return below the number of failures that make an outage."""
    health = outage.on_success(replace(DOWN_NOW, failures=DOWN - 1), NOW - 9, NOW)
    assert health == Health(probed=DOWN_NOW.probed, returned=-inf, due=1.0)
    assert not outage.is_waiting(health, NOW - 9)


def test_each_success_lets_one_go() -> None:
    """Each success after an outage releases one retry, so that the load doubles at most."""
    health, went = outage.on_success(DOWN_NOW, NOW, NOW), []
    for number in range(4):
        released, health = outage.release(health, 100)
        went.append(released)
        health = outage.on_success(health, NOW + number, NOW + number)
    assert went == [1, 1, 1, 1]
    assert health.returned == NOW


def test_a_failure_halves_what_a_success_lets_go() -> None:
    """After a failure two successes release one retry, after more of them four successes do."""
    health = outage.on_success(DOWN_NOW, NOW, NOW)
    shares = []
    for _ in range(3):
        health = outage.on_failure(health, NOW)
        shares.append(health.released)
    assert shares == [0.5, 0.25, 0.25]
    again = outage.on_success(health, NOW, NOW)
    assert (again.failures, again.due - health.due) == (0, 0.25)
    for _ in range(48):
        again = outage.on_success(again, NOW, NOW)
    assert again.released == 1.0


@given(st.integers(0, 40), st.integers(0, 40))
def test_releases_are_not_saved_up(successes: int, waiting: int) -> None:
    """While no retry waits, successes add up to one release and no more."""
    health = outage.on_success(DOWN_NOW, NOW, NOW)
    for _ in range(successes):
        none, health = outage.release(outage.on_success(health, NOW, NOW), 0)
        assert none == 0
    number, after = outage.release(health, waiting)
    assert number == min(1, waiting)
    assert 0 <= after.due <= 1


def test_a_success_is_an_attempt_as_well() -> None:
    """A held retry waits half a second after it, as after any attempt."""
    assert outage.on_success(Health(), 5.0, 6.0).probed == 5.0


def test_a_retry_that_waits_for_its_release_waits_for_no_gap() -> None:
    """Its call failed when the outage ended; half a second after the last attempt it is sent."""
    health = Health(returned=100.0, probed=99.75)
    assert outage.probe_delay(health, 100.0, 3, inf, 100.125) == 0.125
    assert outage.probe_delay(health, 100.0, 3, inf, 100.5) == 0.0
