"""The retry quota: what a retry costs, what a success pays back, and the load on a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import RetryQuota


def test_defaults() -> None:
    """The defaults are 500 units; 14 for a transient retry, 5 for a throttled one."""
    quota = RetryQuota()
    assert quota.capacity == 500
    assert quota.cost(throttled=False) == 14
    assert quota.cost(throttled=True) == 5


@pytest.mark.parametrize(
    ("level", "last_cost", "after"),
    [
        (30, 14, 44),
        (16, 5, 21),
        (0, None, 1),
        (499, None, 500),
        (500, None, 500),
        (490, 14, 500),
        (486, 14, 500),
        (0, 0, 0),
    ],
)
def test_paid_back(level: int, last_cost: int | None, after: int) -> None:
    """A success pays back its last retry, or one unit without a retry, up to a full bucket."""
    assert RetryQuota().paid_back(level, last_cost) == after


@given(
    capacity=st.integers(0, 1000),
    fill=st.integers(0, 1000),
    last_cost=st.none() | st.integers(0, 1000),
)
def test_the_bucket_never_overflows(capacity: int, fill: int, last_cost: int | None) -> None:
    """A success never takes from the bucket, and never fills it beyond its capacity."""
    level = min(fill, capacity)
    assert level <= RetryQuota(capacity=capacity).paid_back(level, last_cost) <= capacity


def test_a_full_outage_is_left_alone() -> None:
    """A full bucket pays for 35 retries and no more if nothing succeeds."""
    quota = RetryQuota()
    level, retries = quota.capacity, 0
    while quota.cost(throttled=False) <= level:
        level -= quota.cost(throttled=False)
        retries += 1
    assert retries == 35


@pytest.mark.parametrize(("failing", "lasts"), [(0.20, True), (0.25, False)])
def test_the_bucket_lasts_up_to_a_fifth_of_failures(failing: float, *, lasts: bool) -> None:
    """Calls of four attempts pay back as much as they take while up to a fifth of them fails."""
    quota = RetryQuota(capacity=10**6)
    level = 1000
    gain = (1 - failing) * (quota.paid_back(level, None) - level)
    for count in (1, 2, 3):
        spent = level - count * quota.cost(throttled=False)
        odds = failing**count * (1 - failing)
        gain += odds * (quota.paid_back(spent, quota.cost(throttled=False)) - level)
    gain -= failing**4 * 3 * quota.cost(throttled=False)
    assert (gain > 0) is lasts
