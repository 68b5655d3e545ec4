"""Reading what a server asks of a client that may retry: when, and whether at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..bounds import PROBLEM, readable
from ..document import read_object
from ..http import FORBIDDEN, SERVICE_UNAVAILABLE, TOO_MANY_REQUESTS
from ..records import Outcome
from .names import told_apart
from .rate_limit_fields import read_limits
from .time_formats import OWS, parse_delay, parse_number, sane, values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..bounds import Fields


def read_hints(status: int, fields: Fields, now: float, names: frozenset[str]) -> Outcome:
    """Read all that an answer with an error says to a client; never raises on any text.

    The time to wait is the first that is there: `Retry-After`, then the fields in milliseconds,
    then, where the answer refuses a request for a limit that is exhausted, the latest reset of
    those. A limit that has been reset already names no time. Malformed and absurd values count as
    absent, and so do fields of more than a thousand characters.

    Args:
        status: The status code.
        fields: The lines of each header field, by its name in lower case; `Date` and `Age` count
            whether or not they are among the names.
        now: The client's time, in POSIX seconds.
        names: Names of the fields to read, in lower case.
    """
    known = told_apart(names)
    fields = readable(fields)
    date = ", ".join(fields.get("date", ()))
    retry_after = parse_retry_after(_lines(fields, known.seconds), date, now)
    if retry_after is None:
        retry_after = _milliseconds(_lines(fields, known.milliseconds))
    limits = read_limits(fields, now, names)
    exhausted = [limit.reset for limit in limits if limit.remaining < 1]
    # GitHub refuses with a 403 what others refuse with a 429.
    is_refusal = status == FORBIDDEN and (retry_after is not None or bool(exhausted))
    throttled = status == TOO_MANY_REQUESTS or is_refusal
    if retry_after is None and (throttled or status == SERVICE_UNAVAILABLE):
        retry_after = max(exhausted, default=0.0) or None
    verdicts = {parse_should_retry(line) for line in _lines(fields, known.verdicts)}
    should_retry = next((word for word in (False, True) if word in verdicts), None)
    return Outcome(status, None, retry_after, should_retry, throttled, limits)


def parse_retry_after(lines: Iterable[str], date: str, now: float) -> float | None:
    """Read `Retry-After` (RFC 9110, 10.2.3); never raises on any text.

    Anything malformed counts as absent, and so does a time above `LONGEST`.

    Args:
        lines: The field lines; several values may have been joined by commas into one line.
        date: The `Date` header of the same response. A date to retry at is measured from it, so
            that a wrong clock at either end does no harm; from `now` if missing or malformed.
        now: The client's time, in POSIX seconds.

    Returns:
        Seconds to wait from now, the longest of all valid values and at most `LONGEST`; 0.0 for a
        date that has passed; None when there is no valid value.
    """
    delays = (parse_delay(text, date, now) for text in values(lines))
    return max((delay for delay in delays if delay is not None), default=None)


def parse_should_retry(value: str) -> bool | None:
    """Read `x-should-retry`: "true" or "false" in whatever case; None for anything else."""
    return {"true": True, "false": False}.get(value.strip(OWS).lower())


def _milliseconds(lines: Iterable[str]) -> float | None:
    """Seconds to wait, the longest of all valid values."""
    counts = (count for count in map(parse_number, values(lines)) if count is not None)
    delays = (sane(count / 1000) for count in counts)
    return max((delay for delay in delays if delay is not None), default=None)


def _lines(fields: Fields, names: Iterable[str]) -> Iterable[str]:
    return (line for name in names for line in fields.get(name, ()))


def is_abuse(problem: bytes) -> bool:
    """Whether a problem document (RFC 9457) says ``abnormal-usage-detected``.

    The RateLimit header fields draft (section on problem types) has it for clients that should
    not push on. A document of more than `PROBLEM` bytes says nothing.
    """
    if len(problem) > PROBLEM:
        return False
    kind = read_object(problem).get("type")
    return isinstance(kind, str) and kind.rpartition("#")[2] == "abnormal-usage-detected"
