"""What a person is told whose request was lost on an idle connection."""

from __future__ import annotations

import pytest

from requests_authretry._core.idle import MAX_IDLE, cure


@pytest.mark.parametrize(
    ("idle", "shorter"),
    [
        (0.1, "0.05"),
        (0.26, "0.2"),
        (0.7, "0.5"),
        (1.0, "0.5"),
        (1.25, "1"),
        (2.0, "1"),
        (75.0, "1"),
    ],
)
def test_the_cure_is_a_round_number_below_the_idle_time(idle: float, shorter: str) -> None:
    """After 0.7 s it is 0.5 s, and never more than the default."""
    assert float(shorter) <= min(idle * 0.8, MAX_IDLE)
    assert f"Settings(max_idle={shorter}) " in cure(idle)


def test_the_cure_names_the_idle_time() -> None:
    """It is the measured one."""
    assert cure(7.2) == (
        "the connection had been idle for 7.2 s: Settings(max_idle=1) sends on a new one instead"
    )


def test_a_connection_that_was_in_use_just_now_is_not_the_cause() -> None:
    """No server ends connections after less than a tenth of a second."""
    assert not cure(0.0999)
