"""Reading times as servers write them: numbers, dates, durations. Never raises on any text."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from itertools import chain, islice, pairwise
from math import inf
from typing import TYPE_CHECKING, Final

from ..bounds import VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LONGEST: Final = 100 * 365.25 * 86_400.0
"""A hundred years in seconds: a longer ``retry_after`` counts as this, a longer reset as absent."""

_YEAR = 365.25 * 86_400.0

OWS: Final = " \t"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LAST_SECOND, _LEAP_SECOND = 59, 60
_FIRST_MOMENT = 1e9
"""Smaller numbers are durations, other ones moments: 31 years, or September 2001."""

FIRST_IN_MILLISECONDS: Final = 1e12
"""Moments from here on are in milliseconds: September 2001 again."""

_DIGITS = r"[0-9]+(?:\.[0-9]*)?"
_NUMBER = re.compile(_DIGITS)
_DAY_NAME = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY_NAME = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_OFFSET = r"(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3]):?(?P<minutes>[0-5][0-9])"
_ZONE = rf"(?:GMT|UTC|UT|Z|{_OFFSET})"
_IMF_FIXDATE = re.compile(
    rf"{_DAY_NAME}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} {_ZONE}"
)
_RFC850 = re.compile(
    rf"{_LONG_DAY_NAME}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} {_ZONE}"
)
_ASCTIME = re.compile(
    rf"{_DAY_NAME} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"
)
_FORMS = (_IMF_FIXDATE, _RFC850, _ASCTIME)
_ISO_DATE = re.compile(
    r"(?P<year>[0-9]{4})-?(?P<month>[0-9]{2})-?(?P<day>[0-9]{2})[Tt ]"
    r"(?P<hour>[0-9]{2}):?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2})(?P<fraction>\.[0-9]+)?)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3])(?::?(?P<minutes>[0-5][0-9]))?)?"
)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_DURATION = re.compile(
    rf"(?:(?P<h>{_DIGITS})h)?(?:(?P<m>{_DIGITS})m)?(?:(?P<s>{_DIGITS})s)?"
    # The micro sign, or its UTF-8 bytes read as latin-1.
    rf"(?:(?P<ms>{_DIGITS})ms)?(?:(?P<us>{_DIGITS})(?:u|\xc2?\xb5)s)?(?:(?P<ns>{_DIGITS})ns)?"
)


def read_values(lines: Iterable[str], parse: Callable[[str], float | None]) -> list[float]:
    """Read every text of the lines that may be one value; leave out unreadable texts.

    A value may hold one comma, as dates do. At most `VALUES` texts are read.
    """
    split = (line.split(",") for line in lines)
    texts = (text for parts in split for text in chain(parts, map(",".join, pairwise(parts))))
    return [number for number in map(parse, islice(texts, VALUES)) if number is not None]


def parse_number(text: str) -> float | None:
    """Read digits, perhaps with a fraction; None for any other text, and beyond a float's range."""
    text = text.strip(OWS)
    number = float(text) if _NUMBER.fullmatch(text) else inf
    return number if number < inf else None


def parse_delay(text: str, date: str, now: float, per_second: float) -> float | None:
    """Read one value of `Retry-After`: seconds or an HTTP-date (RFC 9110, 10.2.3).

    Servers also write other times there. These are accepted:

    - a fraction of a second;
    - a number that lies within a year of now in POSIX seconds or POSIX milliseconds: a moment;
    - a duration as Go writes it, ``1m30s``, and a moment in ISO 8601.

    Args:
        text: The value.
        date: The `Date` header of the same answer, see `measure_until`.
        now: The client's time, in POSIX seconds.
        per_second: How many units of a number are a second: 1000 if they are milliseconds.

    Returns:
        Seconds from now, `LONGEST` at most, as a time that is far away is no reason to retry
        early. 0.0 for a moment that has passed. None when the value is malformed.
    """
    text = text.strip(OWS)
    if _NUMBER.fullmatch(text):
        return delay_of(float(text) / per_second, date, now)
    delay = parse_duration(text)
    if delay is None:
        found = _parse_moment(text, now)
        if found is None:
            return None
        delay = max(found - _sent(date, now), 0.0)
    return min(delay, LONGEST)


def delay_of(number: float, date: str, now: float) -> float:
    """Return the seconds that a number asks for: so many, or until a moment within a year of now.

    The moment may be in POSIX seconds or milliseconds. `LONGEST` is returned at most.
    """
    sent = _sent(date, now)
    for moment in (number, number / 1000):
        # A year or less is a delay, also where a clock was never set and shows 1970.
        if moment > _YEAR and abs(moment - sent) <= _YEAR:
            return max(moment - sent, 0.0)
    return min(number, LONGEST)


def parse_reset(text: str, date: str, now: float, per_second: float = 1.0) -> float | None:
    """Read when a limit resets, in any of the forms that vendors use.

    The rule that tells them apart:

    - a number below 10^9: seconds from now, perhaps with a fraction;
    - a number from 10^9 to 10^12: a moment in POSIX seconds;
    - a greater one: a moment in POSIX milliseconds;
    - units after numbers, ``6m0s`` or ``12ms``: a duration as Go writes it;
    - ``2025-06-15T15:08:40Z``: a moment by ISO 8601, in UTC where no offset is named;
    - otherwise an HTTP-date.

    Args:
        text: The value.
        date: The `Date` header of the same answer, see `measure_until`.
        now: The client's time, in POSIX seconds.
        per_second: How many units of a number are a second: 1000 if they are milliseconds.

    Returns:
        Seconds from now, None when it is malformed or above `LONGEST`.
    """
    number = parse_number(text)
    if number is not None:
        number /= per_second
        if number >= _FIRST_MOMENT:
            moment = number if number < FIRST_IN_MILLISECONDS else number / 1000
            return measure_until(moment, date, now)
    delay = parse_duration(text) if number is None else number
    if delay is not None:
        return drop_absurd(delay)
    return measure_until(_parse_moment(text, now), date, now)


NUMBERS: Final = {"s": 1.0, "ms": 1000.0, "epoch": 1.0, "epoch_ms": 1000.0}
"""The units of a time that is a number; with each, how many of them are a second."""

UNITS: Final = (*NUMBERS, "iso", "date", "duration")
"""The names of all units in which `read_time` reads."""


def read_time(value: object, unit: str | None, date: str, now: float) -> float | None:
    """Read a time whose unit is known, from a header field or from JSON.

    Args:
        value: A text, or a number of a JSON document.
        unit: One of `UNITS`: seconds, milliseconds, POSIX seconds or milliseconds, ISO 8601,
            HTTP-date, or a duration as Go writes it. None: a text as `parse_delay` reads it, a
            number as seconds.
        date: The `Date` header of the same answer, see `measure_until`.
        now: The client's time, in POSIX seconds.

    Returns:
        Seconds from now, `LONGEST` at most; 0.0 for a moment that has passed. None for a value that
        is malformed or negative, or no time in this unit.
    """
    number = _plain_number(value)
    if number is None and isinstance(value, str):
        return _read_time_in_words(value, unit, date, now)
    if number is None or unit not in {None, *NUMBERS}:
        return None
    number /= NUMBERS[unit or "s"]
    if unit in {"epoch", "epoch_ms"}:
        number = max(number - _sent(date, now), 0.0)
    return min(number, LONGEST)


def _plain_number(value: object) -> float | None:
    """Return a number, or what a text of digits stands for; None if it is negative or no number."""
    if isinstance(value, str):
        text = value.strip(OWS)
        return float(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        return None
    try:
        return float(value)
    except OverflowError:
        return inf


def _read_time_in_words(text: str, unit: str | None, date: str, now: float) -> float | None:
    if unit is None:
        return parse_delay(text, date, now, 1.0)
    if unit == "duration":
        delay = parse_duration(text)
    elif unit in {"iso", "date"}:
        moment = parse_iso_date(text) if unit == "iso" else parse_http_date(text, now)
        delay = None if moment is None else max(moment - _sent(date, now), 0.0)
    else:
        return None
    return None if delay is None else min(delay, LONGEST)


def measure_until(moment: float | None, date: str, now: float) -> float | None:
    """Return the seconds from the sending of an answer to a moment in POSIX seconds.

    The time is measured from the answer's `Date`, so that a wrong clock at either end does no harm,
    or from `now` if `Date` is missing or malformed.

    Returns:
        0.0 for a moment that has passed; None for None, and for a moment beyond `LONGEST`.
    """
    return None if moment is None else drop_absurd(max(0.0, moment - _sent(date, now)))


def _sent(date: str, now: float) -> float:
    """Return when an answer of this `Date` was sent, by the clock of its server."""
    sent = parse_http_date(date, now)
    return now if sent is None else sent


def _parse_moment(text: str, now: float) -> float | None:
    moment = parse_iso_date(text)
    return parse_http_date(text, now) if moment is None else moment


def drop_absurd(delay: float) -> float | None:
    """Return the delay; None if it is above `LONGEST`, as no server can mean that."""
    return delay if delay <= LONGEST else None


def parse_duration(text: str) -> float | None:
    """Read a duration as Go writes it, such as ``1h2m3.5s``, in seconds; None for other texts."""
    found = _DURATION.fullmatch(text.strip(OWS))
    parts = found.groupdict().items() if found else ()
    seconds = [float(part) * _UNITS[unit] for unit, part in parts if part]
    return sum(seconds) if seconds else None


def parse_iso_date(text: str) -> float | None:
    """Read a moment in ISO 8601 (RFC 3339, section 5.6), in POSIX seconds; None for any other text.

    Seconds and offset may be missing, as some vendors leave them out; so may hyphens and colons.
    """
    found = _ISO_DATE.fullmatch(text.strip(OWS))
    moment = None if found is None else _posix(found, int(found["year"]), int(found["month"]))
    if found is None or moment is None:
        return None
    return moment + float(found["fraction"] or 0) - _offset(found)


def parse_http_date(text: str, now: float) -> float | None:
    """Read an HTTP-date in any of its three forms (RFC 9110, 5.6.7); never raises on any text.

    The name of the weekday need not fit the date, and second 60 is a leap second. In place of GMT
    an offset may stand as in mail, ``+0200`` (RFC 5322, 3.3), or another name of the same zone.

    Args:
        text: The date; spaces and tabs around it are ignored.
        now: The client's time, in POSIX seconds. It decides the century of a two-digit year: the
            date is the latest one that lies no more than 50 years ahead of this time.

    Returns:
        POSIX seconds, or None when the text is not a valid date.
    """
    text = text.strip(OWS)
    found = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if found is None:
        return None
    month = _MONTHS.index(found["month"]) + 1
    year = int(found["year"])
    if found.re is _RFC850:
        today = _EPOCH + timedelta(seconds=now)
        latest = today.year + 50
        year = latest - (latest - year) % 100
        rest = (int(found[name]) for name in ("day", "hour", "minute", "second"))
        if (year, month, *rest) > (latest, *today.timetuple()[1:6]):
            year -= 100
    moment = _posix(found, year, month)
    return moment if moment is None or found.re is _ASCTIME else moment - _offset(found)


def _offset(found: re.Match[str]) -> float:
    """Return the seconds by which the zone of a match is ahead of UTC."""
    offset = int(found["hours"] or 0) * 3600.0 + int(found["minutes"] or 0) * 60.0
    return -offset if found["sign"] == "-" else offset


def _posix(found: re.Match[str], year: int, month: int) -> float | None:
    """Return the moment of a match in POSIX seconds; None if its day or hour does not exist."""
    day, hour, minute = (int(found[name]) for name in ("day", "hour", "minute"))
    second = int(found["second"] or 0)
    leap = second == _LEAP_SECOND
    second = _LAST_SECOND if leap else second
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    return moment.timestamp() + leap
