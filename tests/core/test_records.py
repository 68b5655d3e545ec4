"""Outcomes: what one attempt alone says."""

from __future__ import annotations

import pytest

from requests_authretry._core.records import Failure, Outcome


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(429, throttled=True), True),
        (Outcome(403, retry_after=1.0, throttled=True), True),
        (Outcome(503, retry_after=1.0), True),
        (Outcome(503, retry_after=0.0), True),
        (Outcome(503), False),
        (Outcome(500, retry_after=1.0), False),
        (Outcome(failure=Failure.LOST), False),
    ],
)
def test_refuses(outcome: Outcome, expected: bool) -> None:  # noqa: FBT001
    """A throttled attempt is a refusal, and so is a 503 that says when to come back."""
    assert outcome.refuses is expected
