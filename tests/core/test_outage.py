"""Outages: when a retry is sent, when it waits, and when another call's failure counts for it."""

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
DOWN_NOW = Health(failures=DOWN, failed=NOW - 2, probed=NOW - 1)
BACK = Health(probed=NOW - 1, returned=NOW - 3, due=0.5)

TELLS = {
    "no connection": (Outcome(failure=Failure.UNREACHABLE), True),
    "a lost answer": (Outcome(failure=Failure.LOST), True),
    "our own mistake": (Outcome(failure=Failure.FATAL), None),
    **{f"{status}": (Outcome(status), True) for status in (500, 502, 503, 504)},
    **{f"{status}": (Outcome(status), False) for status in (200, 401, 404, 429, 501, 505)},
    "a 503 with retry_after": (Outcome(503, retry_after=3.0), True),
}


@pytest.mark.parametrize(("outcome", "expected"), TELLS.values(), ids=TELLS)
def test_what_tells_of_an_outage(outcome: Outcome, expected: bool | None) -> None:  # noqa: FBT001
    """A server error and a missing answer are signs of an outage; our own mistake is not."""
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
def test_the_newest_failure_counts(times: list[float]) -> None:
    """The failure of the attempt that began last is kept, in whatever order failures end."""
    health = Health()
    for began in times:
        health = outage.on_failure(health, began)
    assert (health.failures, health.failed, health.probed) == (len(times), *[max(times)] * 2)


def test_a_failure_from_before_the_return_says_nothing() -> None:
    """An attempt that began before the outage ended says nothing about the time after it."""
    back = replace(BACK, failures=2, failed=NOW - 2)
    assert outage.on_failure(back, NOW - 3.1) is back
    assert outage.on_failure(back, NOW - 3) == replace(back, failures=3)


PROBED = replace(DOWN_NOW, probed=NOW - 0.1)
BACK_PROBED = replace(BACK, probed=NOW)
PROBE_DELAYS = {
    "nothing known": (Health(), NOW, True, 0.0),
    "down, nobody asked for long": (DOWN_NOW, NOW, False, 0.0),
    "even if another failed since": (DOWN_NOW, NOW - 3, True, 0.0),
    "down, somebody just asked": (PROBED, NOW, False, SPACING - 0.1),
    "down, it was the last itself": (PROBED, NOW - 2, False, SPACING - 0.1),
    "down, another failed since": (PROBED, NOW - 2.1, False, None),
    "and it has waited": (PROBED, NOW - 2.1, True, None),
    "down, exactly that long ago": (replace(DOWN_NOW, probed=NOW - SPACING), NOW, True, 0.0),
    "some failures are no outage": (replace(PROBED, failures=DOWN - 1), NOW - 3, True, 0.0),
    "back, it waited and failed before": (BACK_PROBED, NOW - 4, True, SPACING),
    "back, it failed just then": (BACK_PROBED, NOW - 3, True, SPACING),
    "back, it failed after that": (BACK_PROBED, NOW - 2, True, 0.0),
    "back, it failed before and comes late": (BACK_PROBED, NOW - 4, False, 0.0),
    "back, another failed since": (
        replace(BACK_PROBED, failures=3, failed=NOW - 1),
        NOW - 4,
        True,
        SPACING,
    ),
    "back, nobody asks any more": (BACK, NOW - 4, True, 0.0),
}


@pytest.mark.parametrize(
    ("health", "since", "has_waited", "wait"), PROBE_DELAYS.values(), ids=PROBE_DELAYS
)
def test_probe_delay(
    health: Health,
    since: float,
    has_waited: bool,  # noqa: FBT001 (a column of the table)
    wait: float | None,
) -> None:
    """A retry probes if there was no attempt for a while; a newer failure counts for the others."""
    delay = outage.probe_delay(health, since, NOW, has_waited=has_waited)
    assert delay == (wait if wait is None else pytest.approx(wait))


def test_those_that_wait_go_one_at_a_time() -> None:
    """The other retries wait for as long as the spacing when one retry probes."""
    health, now, went = DOWN_NOW, NOW, []
    for _ in range(5):
        wait = outage.probe_delay(health, NOW - 1, now, has_waited=True)
        assert wait is not None
        now += wait
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
    assert health == Health(probed=DOWN_NOW.probed, returned=-inf, due=0.5)
    assert not outage.is_waiting(health, NOW - 9)


def test_two_successes_let_one_go() -> None:
    """Two successes after an outage release one retry, so that the load doubles at most."""
    health, went = outage.on_success(DOWN_NOW, NOW, NOW), []
    for number in range(8):
        released, health = outage.release(health, 100)
        went.append(released)
        health = outage.on_success(health, NOW + number, NOW + number)
    assert went == [1, 0, 1, 0, 1, 0, 1, 0]
    assert health.returned == NOW


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
