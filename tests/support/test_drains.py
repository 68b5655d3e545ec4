"""Drains measure what they say: the time over the ideal, and refusals after the first flood."""

from __future__ import annotations

import pytest

from tests.support.buckets import TokenBucket
from tests.support.drains import Aim, Figures, counted


def test_a_client_that_knows_the_limit_takes_the_ideal_time() -> None:
    """25 a second with a burst of 10: after 10 at once, 100 more pass in 4 s, and no sooner."""
    bucket = TokenBucket(25.0, 10)
    assert all(bucket.take(7.0) for _ in range(10))
    assert all(bucket.take(7.0 + number / 25) for number in range(1, 101))
    assert not bucket.take(11.0)


def test_a_bucket_holds_no_more_than_its_burst() -> None:
    """After a long pause as many pass as at first."""
    bucket = TokenBucket(25.0, 2)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("burst", "policy"), [(2, "q=25;w=1"), (25, "q=25;w=1"), (250, "q=250;w=10")]
)
def test_fields_state_the_rate_and_a_burst_of_whole_seconds(burst: int, policy: str) -> None:
    """A burst of 250 at 25 a second is 250 in 10 s; one of 2 is less than a second's worth."""
    bucket = TokenBucket(25.0, burst)
    bucket.take(0.0)
    said = bucket.says("fields", 0.0, is_served=True)
    assert said["RateLimit-Policy"] == f'"default";{policy}'
    assert said["RateLimit"] == f'"default";r={burst - 1};t=1'


@pytest.mark.parametrize(
    ("form", "retry_after"),
    [("seconds", "1"), ("date", "Thu, 01 Jan 1970 00:00:01 GMT"), ("none", None)],
)
def test_a_refusal_says_when_the_next_request_passes(form: str, retry_after: str | None) -> None:
    """In 40 ms, said in whole seconds: 1, or the next one."""
    bucket = TokenBucket(25.0, 1)
    assert [bucket.take(0.0), bucket.take(0.0)] == [True, False]
    said = bucket.says(form, 0.4, is_served=False)  # type: ignore[arg-type]
    assert said.get("Retry-After") == retry_after


def test_what_left_before_the_first_refusal_arrived_is_the_first_flood() -> None:
    """The first refused request came at 1.0 s: what comes within 50 ms could not know of that.

    A second process hears of its own refusal alone.
    """
    arrivals = [
        (0.0, "a", True),
        (1.0, "a", False),
        (1.04, "a", False),
        (1.05, "a", False),
        (1.06, "a", False),
        (1.1, "a", True),
        (1.2, "b", False),
        (4.0, "a", True),
    ]
    found = counted(arrivals, calls=4, seconds=4, flood_seconds=0.05, worst=2)
    assert found == Figures(time=1.0, refused=1 / 2, flood=4, worst=2, failed=1)


def test_a_miss_names_the_figure_and_its_aim() -> None:
    """A drain that took 1.2 times the ideal in place of 1.1, and lost a call."""
    found = Figures(time=1.2, refused=0.01, flood=9, worst=4, failed=1)
    assert found.misses(Aim(1.1, 0.02)) == ["1 calls failed", "time 1.200 and not 1.10"]
    assert found.misses(None) == ["1 calls failed"]
