"""Moments as servers write them, for the tests of the core."""

from __future__ import annotations

from datetime import datetime, timezone

from hypothesis import strategies as st

NOW = 1_750_000_000.0  # Sun, 15 Jun 2025 15:06:40 GMT
IN_TWO_MINUTES = "Sun, 15 Jun 2025 15:08:40 GMT"
SHORT_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LONG_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001
NOWS = st.floats(-1e9, 1e11)
HOSTILE = (
    st.text()
    | st.text('0123456789.,-+:;=" SunJaGMTZhmsrqtw\t\n\0e\u0663\ud800\xb5\xff')
    | st.just("9" * 5000)
    | st.binary().map(lambda data: data.decode("latin-1"))
)


def posix(*fields: int) -> float:
    """Return the POSIX seconds of a UTC date: year, month, day, hour, minute, second."""
    year, month, day, *clock = fields
    return (datetime(year, month, day, tzinfo=timezone.utc).timestamp()) + sum(
        value * weight for value, weight in zip(clock, (3600, 60, 1), strict=False)
    )


def written(moment: datetime) -> tuple[str, str, str]:
    """Write a moment in the three forms of an HTTP-date, independent of the locale."""
    short, long = SHORT_NAMES[moment.weekday()], LONG_NAMES[moment.weekday()]
    month, clock = MONTHS[moment.month - 1], f"{moment:%H:%M:%S}"
    return (
        f"{short}, {moment.day:02} {month} {moment.year:04} {clock} GMT",
        f"{long}, {moment.day:02}-{month}-{moment.year % 100:02} {clock} GMT",
        f"{short} {month} {moment.day:2} {clock} {moment.year:04}",
    )
