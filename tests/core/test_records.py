"""Outcomes: what one attempt alone says."""

from __future__ import annotations

import pytest

from requests_authretry._core.records import Failure, Outcome, seconds_text


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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0098, "0.0098 s"),
        (1.594, "1.59 s"),
        (30.0, "30 s"),
        (999.6, "1000 s"),
        (86400.0, "86400 s"),
    ],
)
def test_seconds_are_written_for_people(seconds: float, text: str) -> None:
    """A wait of a day reads 86400 s, and not 8.64e+04 s."""
    assert seconds_text(seconds) == text
