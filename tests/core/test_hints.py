"""Reading `Retry-After`, HTTP-dates and `x-should-retry`: strictly, and without ever raising."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.hints import (
    LONGEST,
    parse_http_date,
    parse_retry_after,
    parse_should_retry,
)

NOW = 1_750_000_000.0  # Sun, 15 Jun 2025 15:06:40 GMT
IN_TWO_MINUTES = "Sun, 15 Jun 2025 15:08:40 GMT"
IN_TWO_MINUTES_RFC850 = "Sunday, 15-Jun-25 15:08:40 GMT"
IN_TWO_MINUTES_ASCTIME = "Sun Jun 15 15:08:40 2025"
SHORT_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LONG_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def posix(*fields: int) -> float:
    """POSIX seconds of a UTC date given as year, month, day, hour, minute, second."""
    year, month, day, *clock = fields
    return (datetime(year, month, day, tzinfo=timezone.utc).timestamp()) + sum(
        value * weight for value, weight in zip(clock, (3600, 60, 1), strict=False)
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("120", 120.0),
        ("0120", 120.0),
        ("1.5", 1.5),
        ("1.", 1.0),
        ("0.001", 0.001),
        (" \t7\t ", 7.0),
        ("3155760000", LONGEST),
        ("3155760000.0", LONGEST),
        (IN_TWO_MINUTES, 120.0),
        (IN_TWO_MINUTES_RFC850, 120.0),
        (IN_TWO_MINUTES_ASCTIME, 120.0),
        (f"\t{IN_TWO_MINUTES} ", 120.0),
        ("Sun, 15 Jun 2025 15:06:40 GMT", 0.0),
        ("Sun, 15 Jun 2025 15:06:39 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0.0),
    ],
)
def test_valid_values(value: str, seconds: float) -> None:
    """A delay is taken as it is, a date as the time until then, the past as no time."""
    assert parse_retry_after([value], None, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        "-0",
        "+1",
        "1e3",
        "1E3",
        "1m0s",
        "5s",
        "0x10",
        "1_000",
        "1 000",
        ".5",
        "1..5",
        "1.5.2",
        "1.-5",
        ".",
        "inf",
        "Infinity",
        "nan",
        "soon",
        "null",
        "None",
        '"5"',
        "5;q=1",
        "5\n",
        "5\0",
        "\xa05",
        "\u20075",
        "\xb2",
        "\u0663",
        "1.\u0663",
        "\uff15",
        "\U0001d7d9",
        "\ud800",
        "3155760000.01",
        "3155760001",
        "9" * 11,
        "9" * 400,
        "9" * 5000,
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Fri, 31 Dec 12345678901 23:59:59 GMT",
        "Fri Dec 31 23:59:59 12345678901",
        "1750000120 GMT",
        "2025-06-15T15:08:40Z",
    ],
)
def test_malformed_values_count_as_absent(value: str) -> None:
    """What the grammar does not know, or nobody can mean, is no wish at all."""
    assert parse_retry_after([value], None, NOW) is None


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([], None),
        (["5", "10"], 10.0),
        (["10", "5"], 10.0),
        (["5, 10"], 10.0),
        (["10,5"], 10.0),
        (["5 ,\t10\t,7"], 10.0),
        (["5", "soon"], 5.0),
        (["soon, 5"], 5.0),
        (["-1, 5, 1e3, inf"], 5.0),
        ([f"5, {'9' * 5000}"], 5.0),
        ([",, 5,,"], 5.0),
        ([",,", "", " "], None),
        (["-1, nan", "soon"], None),
        ([f"{IN_TWO_MINUTES}, 5"], 120.0),
        ([f"5, {IN_TWO_MINUTES}"], 120.0),
        ([f"{IN_TWO_MINUTES}, 600"], 600.0),
        ([f"600,{IN_TWO_MINUTES}"], 600.0),
        ([f"5, {IN_TWO_MINUTES_RFC850}, 6"], 120.0),
        ([f"5, {IN_TWO_MINUTES_ASCTIME}, 6"], 120.0),
        ([f"Sun, 15 Jun 2025 15:07:40 GMT, {IN_TWO_MINUTES}"], 120.0),
        ([f"{IN_TWO_MINUTES}, Sun, 15 Jun 2025 15:07:40 GMT"], 120.0),
        ([IN_TWO_MINUTES, "600"], 600.0),
        (["Sun, 15 Jun 2020 15:08:40 GMT, 5"], 5.0),
        (["Sun, 15 Jun 2020 15:08:40 GMT", "soon"], 0.0),
        (["Sun, 32 Jun 2025 15:08:40 GMT, 5"], 5.0),
        (["Fri, 31 Dec 9999 23:59:59 GMT, 5"], 5.0),
        (["Sun, 5"], 5.0),
        (["Sun", "15 Jun 2025 15:08:40 GMT"], None),
    ],
)
def test_the_longest_valid_value_wins(lines: list[str], seconds: float | None) -> None:
    """Lines and joined values count alike, commas of dates join none, malformed ones do nothing."""
    assert parse_retry_after(lines, None, NOW) == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Sun, 15 Jun 2025 15:08:10 GMT", 30.0),
        ("Sunday, 15-Jun-25 15:08:10 GMT", 30.0),
        ("Sun Jun 15 15:08:10 2025", 30.0),
        (" Sun, 15 Jun 2025 15:08:10 GMT ", 30.0),
        ("Sun, 15 Jun 2025 14:08:40 GMT", 3600.0),
        ("Sun, 15 Jun 2025 16:08:40 GMT", 0.0),
        (None, 120.0),
        ("", 120.0),
        ("today", 120.0),
        ("Sun, 15 Jun 2025 25:08:10 GMT", 120.0),
        ("Sun, 15 Jun 2025 15:08:10 GMT, Sun, 15 Jun 2025 15:08:10 GMT", 120.0),
    ],
)
def test_clock_skew_is_cancelled(date: str | None, seconds: float) -> None:
    """A date is measured on the clock that wrote it, on ours only if that one is not known."""
    assert parse_retry_after([IN_TWO_MINUTES], date, NOW) == seconds


def test_delay_seconds_need_no_clock() -> None:
    """A number of seconds means the same whatever either clock says."""
    assert parse_retry_after(["120"], "Thu, 01 Jan 1970 00:00:00 GMT", NOW) == 120.0


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
    ],
)
def test_dates(text: str, moment: float) -> None:
    """All three forms are read, leap seconds and wrong weekdays included."""
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
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
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
    """Only the three forms are dates, letter for letter, and only if such a day and hour exist."""
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
    """A two-digit year lies at most 50 years ahead, to the second, else in the past century."""
    assert parse_http_date(text, now) == moment


@pytest.mark.parametrize(
    ("value", "wish"),
    [
        ("true", True),
        ("True", True),
        ("TRUE", True),
        (" \ttrue ", True),
        ("false", False),
        ("FALSE", False),
        ("\tfalse", False),
        (None, None),
        ("", None),
        ("1", None),
        ("yes", None),
        ("truthy", None),
        ("true, false", None),
        ("true\n", None),
        ("\xa0true", None),
        ("\uff34rue", None),
        ("fal\u017fe", None),
    ],
)
def test_should_retry(value: str | None, wish: bool | None) -> None:  # noqa: FBT001
    """Only the two words are a wish, in any case."""
    assert parse_should_retry(value) is wish


hostile = st.text() | st.text("0123456789.,-+: SunJaGMT\t\n\0e\u0663\ud800") | st.just("9" * 5000)
nows = st.floats(-1e9, 1e11)
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001


def written(moment: datetime) -> tuple[str, str, str]:
    """Write a moment in the three forms, without any help of the locale."""
    short, long = SHORT_NAMES[moment.weekday()], LONG_NAMES[moment.weekday()]
    month, clock = MONTHS[moment.month - 1], f"{moment:%H:%M:%S}"
    return (
        f"{short}, {moment.day:02} {month} {moment.year:04} {clock} GMT",
        f"{long}, {moment.day:02}-{month}-{moment.year % 100:02} {clock} GMT",
        f"{short} {month} {moment.day:2} {clock} {moment.year:04}",
    )


@given(MOMENTS, nows)
def test_dates_with_full_years_come_back(moment: datetime, now: float) -> None:
    """A date in either four-digit form is read back to the second, at any time."""
    expected = moment.replace(microsecond=0, tzinfo=timezone.utc).timestamp()
    imf_fixdate, _, asctime = written(moment)
    assert parse_http_date(imf_fixdate, now) == expected
    assert parse_http_date(asctime, now) == expected


@given(nows, st.integers(-49 * 365, 49 * 365), st.integers(0, 86_399))
def test_rfc850_dates_come_back(now: float, days: int, seconds: int) -> None:
    """A date with a two-digit year is read back to the second within 49 years of now."""
    today = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=now // 86_400 * 86_400)
    moment = today + timedelta(days=days, seconds=seconds)
    assert parse_http_date(written(moment)[1], now) == moment.timestamp()


@given(st.lists(hostile), st.none() | hostile, nows)
def test_never_raises(lines: list[str], date: str | None, now: float) -> None:
    """Any text at all can be read, and a wait is never negative nor beyond a hundred years."""
    delay = parse_retry_after(lines, date, now)
    assert delay is None or 0.0 <= delay <= LONGEST
    for line in lines:
        parse_http_date(line, now)
        parse_should_retry(line)


@given(MOMENTS, st.none() | MOMENTS.map(lambda moment: written(moment)[0]), nows)
def test_a_wait_is_in_range(moment: datetime, date: str | None, now: float) -> None:
    """Whatever the two dates are, a wait is never negative nor beyond a hundred years."""
    delay = parse_retry_after(written(moment), date, now)
    assert delay is None or 0.0 <= delay <= LONGEST


@given(st.lists(st.integers(0, 10_000), min_size=1), st.data())
def test_joined_values_count_like_lines(seconds: list[int], data: st.DataObject) -> None:
    """However values are spread over lines, and written, the longest one is found."""
    dates = [datetime.fromtimestamp(NOW + wait, tz=timezone.utc) for wait in seconds]
    values = [
        data.draw(st.sampled_from([str(wait), *written(date)]))
        for wait, date in zip(seconds, dates, strict=True)
    ]
    cut = data.draw(st.integers(0, len(values)))
    lines = [", ".join(values[:cut]), ",".join(values[cut:])]
    assert parse_retry_after(lines, None, NOW) == max(seconds)


def cost(line: str) -> float:
    """Processor seconds of one reading."""
    start = time.process_time()
    parse_retry_after([line], line, NOW)
    return time.process_time() - start


@pytest.mark.parametrize("unit", [",", " ", "9", "1.", "1,", ".9", "Sun, ", "Sun, 15 Jun 2025 "])
def test_cost_is_linear(unit: str) -> None:
    """Eight times the text costs about eight times the work (64 times if it were quadratic)."""
    small, large = (unit * (size // len(unit)) + "\0" for size in (8_192, 65_536))
    assert any(cost(large) < 24 * cost(small) + 0.05 for _ in range(3))
