"""Reading what a server asks of a client that may retry: when, and whether at all."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST: Final = 100 * 365.25 * 86_400.0
"""A hundred years in seconds: beyond it a number is nonsense and not a wish."""

_OWS = " \t"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LAST_SECOND, _LEAP_SECOND = 59, 60

_DELAY = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_DAY_NAME = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY_NAME = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_IMF_FIXDATE = re.compile(
    rf"{_DAY_NAME}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"
)
_RFC850 = re.compile(
    rf"{_LONG_DAY_NAME}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"
)
_ASCTIME = re.compile(
    rf"{_DAY_NAME} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"
)
_FORMS = (_IMF_FIXDATE, _RFC850, _ASCTIME)


def parse_retry_after(lines: Iterable[str], date: str | None, now: float) -> float | None:
    """Read `Retry-After` (RFC 9110, 10.2.3); never raises on any text.

    A fraction of a second is accepted although the RFC knows none. Anything malformed counts as
    absent, and so does a wish above `LONGEST`.

    Args:
        lines: The field lines; several values may have been joined by commas into one line.
        date: The `Date` header of the same response. A date to retry at is measured from it, so
            that a wrong clock at either end does no harm; from `now` if missing or malformed.
        now: The client's time, in POSIX seconds.

    Returns:
        Seconds to wait from now, the longest of all valid values and at most `LONGEST`; 0.0 for a
        date that has passed; None when there is no valid value.
    """
    sent = None if date is None else parse_http_date(date, now)
    origin = now if sent is None else sent
    delays = (_delay(text, origin, now) for line in lines for text in _candidates(line))
    return max((delay for delay in delays if delay is not None), default=None)


def parse_http_date(text: str, now: float) -> float | None:
    """Read an HTTP-date in any of its three forms (RFC 9110, 5.6.7); never raises on any text.

    The name of the weekday need not fit the date, and second 60 is a leap second.

    Args:
        text: The date; spaces and tabs around it are ignored.
        now: The client's time, in POSIX seconds. It tells the century of a two-digit year: the
            date is the latest one that lies no more than 50 years ahead of it.

    Returns:
        POSIX seconds, or None when the text is no valid date.
    """
    text = text.strip(_OWS)
    found = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if found is None:
        return None
    month = _MONTHS.index(found["month"]) + 1
    day, hour, minute, second = (int(found[name]) for name in ("day", "hour", "minute", "second"))
    year = int(found["year"])
    if found.re is _RFC850:
        year = _full_year(year, (month, day, hour, minute, second), now)
    leap = second == _LEAP_SECOND
    second = _LAST_SECOND if leap else second
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    return moment.timestamp() + leap


def parse_should_retry(value: str | None) -> bool | None:
    """Read `x-should-retry`: "true" or "false" in whatever case; None for anything else."""
    return {"true": True, "false": False}.get((value or "").strip(_OWS).lower())


def _candidates(line: str) -> Iterator[str]:
    """Give every text of a line that may be one value: dates hold one comma or none."""
    members = line.split(",")
    yield from members
    for left, right in pairwise(members):
        yield f"{left},{right}"


def _delay(text: str, origin: float, now: float) -> float | None:
    """Seconds from `origin` that one value asks for, None when it is malformed or out of range."""
    text = text.strip(_OWS)
    if _DELAY.fullmatch(text):
        delay = float(text)
    else:
        moment = parse_http_date(text, now)
        if moment is None:
            return None
        delay = max(0.0, moment - origin)
    return delay if delay <= LONGEST else None


def _full_year(digits: int, rest: tuple[int, ...], now: float) -> int:
    """Put a two-digit year into the latest century that is at most 50 years ahead of `now`."""
    today = _EPOCH + timedelta(seconds=now)
    limit = today.year + 50
    year = limit - (limit - digits) % 100
    beyond = (year, *rest) > (limit, *today.timetuple()[1:6])
    return year - 100 if beyond else year


def is_abuse(problem: bytes) -> bool:
    """Whether a problem document (RFC 9457) says ``abnormal-usage-detected``.

    The RateLimit header fields draft (section on problem types) has it for clients that should
    not push on.
    """
    try:
        document = json.loads(problem)
    except (ValueError, RecursionError):
        return False
    kind = document.get("type") if isinstance(document, dict) else None
    return isinstance(kind, str) and kind.rpartition("#")[2] == "abnormal-usage-detected"
