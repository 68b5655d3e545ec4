"""Reading times: HTTP-dates, ISO 8601, durations, and resets in any of these forms."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.headers.time_formats import (
    LONGEST,
    parse_duration,
    parse_http_date,
    parse_iso_date,
    parse_number,
    parse_reset,
)
from tests.core.moments import HOSTILE, MOMENTS, NOW, NOWS, posix, written
from tests.core.steps import assert_linear


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", posix(1994, 11, 6, 8, 49, 37)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", posix(1994, 11, 6, 8, 49, 37)),
        ("Sun Nov  6 08:49:37 1994", posix(1994, 11, 6, 8, 49, 37)),
        ("Sun Nov 06 08:49:37 1994", posix(1994, 11, 6, 8, 49, 37)),
        ("Wed Nov 16 08:49:37 1994", posix(1994, 11, 16, 8, 49, 37)),
        ("Tue, 06 Nov 1994 08:49:37 GMT", posix(1994, 11, 6, 8, 49, 37)),
        ("Thu, 29 Feb 2024 00:00:00 GMT", posix(2024, 2, 29)),
        ("Sat, 31 Dec 2016 23:59:60 GMT", posix(2017, 1, 1)),
        ("Saturday, 31-Dec-16 23:59:60 GMT", posix(2017, 1, 1)),
        ("Sat Dec 31 23:59:60 2016", posix(2017, 1, 1)),
        ("Fri, 31 Dec 9999 23:59:60 GMT", posix(9999, 12, 31, 23, 59, 60)),
        ("Mon, 01 Jan 0001 00:00:00 GMT", posix(1, 1, 1)),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1.0),
        ("\tSun, 06 Nov 1994 08:49:37 GMT ", posix(1994, 11, 6, 8, 49, 37)),
        ("Sun, 06 Nov 1994 08:49:37 UTC", posix(1994, 11, 6, 8, 49, 37)),
        ("Sun, 06 Nov 1994 08:49:37 UT", posix(1994, 11, 6, 8, 49, 37)),
        ("Sun, 06 Nov 1994 08:49:37 Z", posix(1994, 11, 6, 8, 49, 37)),
        ("Sun, 06 Nov 1994 08:49:37 -0000", posix(1994, 11, 6, 8, 49, 37)),
        ("Sun, 06 Nov 1994 08:49:37 +0230", posix(1994, 11, 6, 6, 19, 37)),
        ("Sunday, 06-Nov-94 08:49:37 -08:00", posix(1994, 11, 6, 16, 49, 37)),
    ],
)
def test_dates(text: str, moment: float) -> None:
    """Dates in all three forms are read, in other zones, on leap seconds and wrong weekdays."""
    assert parse_http_date(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 32 Jan 1994 08:49:37 GMT",
        "Sun, 31 Apr 1994 08:49:37 GMT",
        "Sun, 29 Feb 2023 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Wednesday, 29-Feb-23 08:49:37 GMT",
        "Sun Feb 29 08:49:37 2023",
        "Sun Nov  0 08:49:37 1994",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:61:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:99 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun, Nov  6 08:49:37 1994",
        "06 Nov 1994 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994  08:49:37 GMT",
        "Sun, 06\tNov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:37.5 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 PST",
        "Sun, 06 Nov 1994 08:49:37 0000",
        "Sun, 06 Nov 1994 08:49:37 +2400",
        "Sun, 06 Nov 1994 08:49:37 +0060",
        "Sun, 06 Nov 1994 08:49:37 +02",
        "Sun Nov  6 08:49:37 1994 +0000",
        "Sun, 06 Nov 1994 08:49:37 GMT+1",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "SUN, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 NOV 1994 08:49:37 GMT",
        "sunday, 06-Nov-94 08:49:37 GMT",
        "Foo, 06 Nov 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nev 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, 06 Nov 1994 08:49:37 GMT\0",
        "Sun, 06 Nov 1994 08:49:37 GMT;",
        "\xa0Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov +994 08:49:37 GMT",
        "784111777",
    ],
)
def test_other_dates_are_malformed(text: str) -> None:
    """Only the three exact forms are dates, and only if the day and hour exist."""
    assert parse_http_date(text, NOW) is None


@pytest.mark.parametrize(
    ("now", "text", "moment"),
    [
        (NOW, "Sunday, 15-Jun-75 15:06:39 GMT", posix(2075, 6, 15, 15, 6, 39)),
        (NOW, "Sunday, 15-Jun-75 15:06:40 GMT", posix(2075, 6, 15, 15, 6, 40)),
        (NOW, "Sunday, 15-Jun-75 15:06:41 GMT", posix(1975, 6, 15, 15, 6, 41)),
        (NOW, "Tuesday, 01-Jan-75 00:00:00 GMT", posix(2075, 1, 1)),
        (NOW, "Tuesday, 31-Dec-75 00:00:00 GMT", posix(1975, 12, 31)),
        (NOW, "Thursday, 01-Jan-76 00:00:00 GMT", posix(1976, 1, 1)),
        (NOW, "Friday, 31-Dec-99 23:59:59 GMT", posix(1999, 12, 31, 23, 59, 59)),
        (NOW, "Saturday, 01-Jan-00 00:00:00 GMT", posix(2000, 1, 1)),
        (posix(1999, 12, 31), "Saturday, 01-Jan-00 00:00:00 GMT", posix(2000, 1, 1)),
        (posix(1999, 12, 31), "Friday, 31-Dec-49 00:00:00 GMT", posix(2049, 12, 31)),
        (posix(2099, 1, 1), "Friday, 01-Jan-01 00:00:00 GMT", posix(2101, 1, 1)),
        (0.0, "Thursday, 01-Jan-70 00:00:10 GMT", 10.0),
        (-1.5, "Thursday, 01-Jan-70 00:00:10 GMT", 10.0),
    ],
)
def test_two_digit_years(now: float, text: str, moment: float) -> None:
    """A two-digit year is at most 50 years ahead, to the second, or in the past century."""
    assert parse_http_date(text, now) == moment


@given(MOMENTS, NOWS)
def test_dates_with_full_years_come_back(moment: datetime, now: float) -> None:
    """A date in either four-digit form is read back to the second, at any time."""
    expected = moment.replace(microsecond=0, tzinfo=timezone.utc).timestamp()
    imf_fixdate, _, asctime = written(moment)
    assert parse_http_date(imf_fixdate, now) == expected
    assert parse_http_date(asctime, now) == expected


@given(NOWS, st.integers(-49 * 365, 49 * 365), st.integers(0, 86_399))
def test_rfc850_dates_come_back(now: float, days: int, seconds: int) -> None:
    """A date with a two-digit year is read back to the second within 49 years of now."""
    today = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=now // 86_400 * 86_400)
    moment = today + timedelta(days=days, seconds=seconds)
    assert parse_http_date(written(moment)[1], now) == moment.timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # spans
        ("0", 0.0),
        ("30", 30.0),
        ("1.5", 1.5),
        (" 30\t", 30.0),
        ("999999999", 999_999_999.0),
        # moments in seconds
        ("1000000000", 0.0),
        ("1749999999", 0.0),
        ("1750000030", 30.0),
        ("1750000030.25", 30.25),
        ("4905760000", LONGEST),
        ("4905760001", None),
        ("999999999999", None),
        # moments in milliseconds
        ("1000000000000", 0.0),
        ("1750000030250", 30.25),
        ("4905760000000", LONGEST),
        ("4905760000001", None),
        ("1750000030250000", None),
        # durations
        ("30s", 30.0),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("12ms", 0.012),
        ("1.5ms", 0.0015),
        ("3000000000s", 3e9),
        ("3155760001s", None),
        # dates
        ("2025-06-15T15:07:10Z", 30.0),
        ("2025-06-15T15:06:10Z", 0.0),
        ("Sun, 15 Jun 2025 15:07:10 GMT", 30.0),
        ("Sunday, 15-Jun-25 15:07:10 GMT", 30.0),
        ("9999-12-31T23:59:59Z", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        # nothing at all
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("9" * 400, None),
        ("9" * 5000 + "s", None),
        ("Tue Feb 16 2021 09:02:42 GMT+0100 (Central European Standard Time)", None),
    ],
)
def test_resets(text: str, seconds: float | None) -> None:
    """Each form of a reset is distinguished, and any other text is malformed."""
    assert parse_reset(text, "", NOW) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "1750003630",
        "1750003630000",
        "2025-06-15T16:07:10Z",
        "2025-06-15T18:07:10+02:00",
        "Sun, 15 Jun 2025 16:07:10 GMT",
        "30",
        "30s",
    ],
)
def test_a_reset_needs_no_right_clock(text: str) -> None:
    """A moment is measured by the clock that wrote it; a duration means the same on any clock."""
    assert parse_reset(text, "Sun, 15 Jun 2025 16:06:40 GMT", NOW) == 30.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("1h", 3600.0),
        ("1h0m0s", 3600.0),
        ("90m", 5400.0),
        ("1.5h", 5400.0),
        ("7m12s", 432.0),
        ("1m30.951s", 90.951),
        ("250us", 0.00025),
        ("250\xb5s", 0.00025),
        ("250\xc2\xb5s", 0.00025),
        ("500000000ns", 0.5),
        ("1s500ms", 1.5),
        ("", None),
        ("s", None),
        ("1", None),
        ("1d", None),
        ("1 s", None),
        ("1S", None),
        ("-1s", None),
        (".5s", None),
        ("1s1h", None),
        ("1s1s", None),
        ("1m s", None),
        ("1s\n", None),
        ("1\u0663s", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    """Durations are read as Go writes them, and in no other form."""
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-06-15T15:06:40Z", NOW),
        ("2025-06-15t15:06:40z", NOW),
        ("2025-06-15 15:06:40Z", NOW),
        ("2025-06-15T15:06:40", NOW),
        ("2025-06-15T15:06Z", NOW - 40),
        ("2025-06-15T15:06:40.5Z", NOW + 0.5),
        ("2025-06-15T15:06:40.123456789+00:00", NOW + 0.123456789),
        ("2025-06-15T17:06:40+02:00", NOW),
        ("2025-06-15T17:06:40+0200", NOW),
        ("2025-06-15T09:36:40-05:30", NOW),
        ("2025-06-15T17:06:40+02", NOW),
        ("2025-06-15 10:06:40.5-05", NOW + 0.5),
        ("20250615T150640Z", NOW),
        ("20250615T1706+0200", NOW - 40),
        ("2016-12-31T23:59:60Z", posix(2017, 1, 1)),
        ("0001-01-01T00:00:00Z", posix(1, 1, 1)),
        ("", None),
        ("2025-06-15", None),
        ("20250615150640Z", None),
        ("20250615", None),
        ("2025-06-15T15Z", None),
        ("2025-06-15T24:00:00Z", None),
        ("2025-06-31T15:06:40Z", None),
        ("2025-13-15T15:06:40Z", None),
        ("0000-06-15T15:06:40Z", None),
        ("2025-06-15T15:06:61Z", None),
        ("2025-06-15T15:06:40.Z", None),
        ("2025-06-15T15:06.5Z", None),
        ("2025-06-15T15:06:40+24:00", None),
        ("2025-06-15T15:06:40+2", None),
        ("2025-06-15T15:06:40+02:", None),
        ("2025-06-15T15:06:40+02:60", None),
        ("2025-06-15T15:06:40 UTC", None),
        ("2025-06-15T15:06:40Z\n", None),
        ("2025-06-15T15:06:4\u0663Z", None),
        ("12025-06-15T15:06:40Z", None),
    ],
)
def test_iso_dates(text: str, moment: float | None) -> None:
    """Moments in ISO 8601 are read to the fraction of a second, with their offset."""
    assert parse_iso_date(text) == moment


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5.0),
        (" 5.\t", 5.0),
        ("0.5", 0.5),
        (".5", None),
        ("5\n", None),
        ("9" * 400, None),
        ("\u0663", None),
    ],
)
def test_numbers(text: str, number: float | None) -> None:
    """Digits with a point are a number, if a float can hold it."""
    assert parse_number(text) == number


@given(MOMENTS, st.integers(-23 * 60, 23 * 60))
def test_iso_dates_come_back(moment: datetime, offset: int) -> None:
    """A moment is read back to the microsecond, with whatever offset it is written."""
    expected = moment.replace(tzinfo=timezone.utc).timestamp() - offset * 60
    sign, (hours, minutes) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
    text = f"{moment.isoformat()}{sign}{hours:02}:{minutes:02}"
    assert parse_iso_date(text) == pytest.approx(expected, abs=1e-4)


@given(HOSTILE, HOSTILE | MOMENTS.map(lambda moment: written(moment)[0]), NOWS)
def test_never_raises(text: str, date: str, now: float) -> None:
    """Any text can be read, and a wait is never negative nor beyond a hundred years."""
    reset = parse_reset(text, date, now)
    assert reset is None or 0.0 <= reset <= LONGEST
    parse_http_date(text, now)


@pytest.mark.parametrize(
    "unit", [" ", "9", "1.", "9h", "9.9m", "1ms", "2025-06-15T15:06:40.", "Sun, "]
)
@pytest.mark.parametrize("start", ["", "2025-06-15T15:06:40."], ids=repr)
def test_cost_is_linear(start: str, unit: str) -> None:
    """A text eight times as long takes about eight times the work (64 times if quadratic)."""
    short, long = (start + unit * (size // len(unit)) + "\0" for size in (128, 1024))
    assert_linear(lambda text: parse_reset(text, text, NOW), short, long)
