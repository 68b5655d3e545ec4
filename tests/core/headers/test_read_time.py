"""Times whose unit is known."""

from __future__ import annotations

from math import inf, nan

import pytest

from requests_authretry._core.headers.time_formats import LONGEST, UNITS, read_time

NOW = 1_772_452_800.0
DATE = "Mon, 02 Mar 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "unit", "seconds"),
    [
        ("8", "s", 8.0),
        (8, "s", 8.0),
        ("0.5", "s", 0.5),
        (226.6, "s", 226.6),
        ("1500", "ms", 1.5),
        (1500, "ms", 1.5),
        (1_772_452_860, "epoch", 60.0),
        ("1772452860", "epoch", 60.0),
        (1_772_452_860_000, "epoch_ms", 60.0),
        ("1772452000", "epoch", 0.0),
        ("2026-03-02T12:01Z", "iso", 60.0),
        ("Mon, 02 Mar 2026 12:01:00 GMT", "date", 60.0),
        ("6m0s", "duration", 360.0),
        ("58.93s", "duration", 58.93),
        ("45.837906927s", "duration", 45.837906927),
        ("45", None, 45.0),
        (45, None, 45.0),
        ("2026-03-02T12:01Z", None, 60.0),
    ],
)
def test_a_time_is_read_in_its_unit(value: object, unit: str | None, seconds: float) -> None:
    """1500 in milliseconds is 1.5 s; moments are measured from the `Date` of the answer."""
    assert read_time(value, unit, DATE, NOW + 777) == pytest.approx(seconds)


@pytest.mark.parametrize("unit", [*UNITS, None])
@pytest.mark.parametrize(
    "value", [True, False, None, nan, -inf, -1, -0.5, "-1", "", "soon", [], {}, ["8"], "nan", "1e3"]
)
def test_what_is_no_time_counts_as_absent(value: object, unit: str | None) -> None:
    """A bool, NaN, a negative number and words name no time."""
    assert read_time(value, unit, DATE, NOW) is None


@pytest.mark.parametrize("unit", ["iso", "date", "duration"])
def test_a_number_is_no_text_of_another_unit(unit: str) -> None:
    """A plain 5 where ISO 8601 should stand names no time."""
    assert read_time(5, unit, DATE, NOW) is None
    assert read_time("5", unit, DATE, NOW) is None


@pytest.mark.parametrize("unit", ["s", "ms", "epoch", "epoch_ms"])
@pytest.mark.parametrize("value", [inf, 10**400, "9" * 400, 1e300])
def test_an_absurd_number_is_the_longest_time(value: object, unit: str) -> None:
    """However large a number is, nothing is sent early for it."""
    assert read_time(value, unit, DATE, NOW) == LONGEST


def test_words_in_the_place_of_a_number_name_no_time() -> None:
    """A duration where seconds should stand is not guessed at."""
    assert read_time("6m0s", "s", DATE, NOW) is None
    assert read_time("999999h", "duration", DATE, NOW) == LONGEST
