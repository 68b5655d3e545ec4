"""Reading what a server asks of a client that may retry: how long to wait, and whether to retry."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..bounds import PROBLEM
from ..classify import status_of
from ..document import read_object
from ..http import FIRST_ERROR, FORBIDDEN, OK, SERVICE_UNAVAILABLE, TOO_MANY_REQUESTS
from ..records import Limit, Outcome
from .names import date_of, sort_by_meaning
from .time_formats import OWS, delay_of, parse_delay, parse_number, read_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..classify import Verdict
    from .names import Fields

_VERDICTS = {"false": False, "true": True}
"""If two fields disagree, the one that forbids a retry counts."""


def read_outcome(
    status: int, fields: Fields, now: float, limits: tuple[Limit, ...] = ()
) -> Outcome:
    """Read what an answer with an error says to a client; never raises on any text.

    The time to wait is the first one found: in `Retry-After` (RFC 9110, 10.2.3); then in the fields
    of vendors with seconds; then in those with milliseconds; then, if the answer refuses a request
    for exhausted limits, their latest reset. If a field has several values, the longest counts. A
    date to retry at is measured from the answer's own `Date`, so that a wrong clock at either end
    does no harm. A date that has passed gives 0.0. A limit that has been reset already names no
    time. Malformed values count as absent.

    Args:
        status: The status code.
        fields: The header fields of the answer.
        now: The client's time, in POSIX seconds.
        limits: What the answer says is left of the server's rate limits.
    """
    retry_after = _asked_wait(fields, now)
    exhausted = [limit.reset for limit in limits if limit.remaining < 1]
    # GitHub sends a 403 where other servers send a 429.
    is_refusal = status == FORBIDDEN and (retry_after is not None or bool(exhausted))
    throttled = status == TOO_MANY_REQUESTS or is_refusal
    reset = max(exhausted, default=0.0)
    is_refusal = throttled or status == SERVICE_UNAVAILABLE
    is_reset = retry_after is None and is_refusal and reset > 0
    if is_reset:
        retry_after = reset
    verdicts = sort_by_meaning(frozenset(fields)).verdicts
    words = {line.strip(OWS).lower() for line in _lines(fields, verdicts)}
    should_retry = next((_VERDICTS[word] for word in _VERDICTS if word in words), None)
    return Outcome(status, None, retry_after, should_retry, throttled, limits, is_reset)


def read_judged(
    verdict: Verdict, answered: int, fields: Fields, now: float, limits: tuple[Limit, ...] = ()
) -> Outcome:
    """Read what an answer says whose status a verdict has replaced; never raises on any text.

    Of a success `read_success` says what its fields ask for: an answer below 400 that is called a
    success asks for no more than without the verdict.

    Args:
        verdict: The verdict. A time that it names counts before those of the fields.
        answered: The status of the answer itself.
        fields: As for `read_outcome`, like the others.
        now: As there.
        limits: As there.
    """
    status = status_of(verdict)
    if status == OK:
        status = answered if answered < FIRST_ERROR else OK
        outcome = read_success(status, fields, now, limits) or Outcome(status)
    else:
        outcome = read_outcome(status, fields, now, limits)
    outcome = replace(outcome, verdict=verdict, answered=answered)
    if verdict.retry_after is None:
        return outcome
    return replace(outcome, retry_after=float(verdict.retry_after), is_reset=False)


def read_success(
    status: int, fields: Fields, now: float, limits: tuple[Limit, ...] = ()
) -> Outcome | None:
    """Read what an answer below 400 asks of the next request; never raises on any text.

    A `Retry-After` above zero on a 200 asks for a pause. On a 201 or 202 it says when to ask for
    the result, and on a redirect when to follow it (RFC 9110, 10.2.3): none of our business.

    Returns:
        None if it asks for nothing.
    """
    is_fresh = not any(parse_number(line) for line in fields.get("age", ()))
    asks = status == OK and is_fresh  # a cache may repeat an answer for long
    retry_after = _asked_wait(fields, now) if asks else None
    if not limits and not retry_after:
        return None
    return Outcome(status, retry_after=retry_after or None, limits=limits)


def _asked_wait(fields: Fields, now: float) -> float | None:
    """Return the time that fields other than limits ask for; None if they name none."""
    date = date_of(fields)
    for group, per_second in sort_by_meaning(frozenset(fields)).waits:
        parse = partial(parse_delay, date=date, now=now, per_second=per_second)
        waits = read_values(_lines(fields, group), parse)
        if waits:
            return max(waits)
    return None


def read_body_wait(body: bytes, date: str, now: float) -> float | None:
    """Return the time that a body asks for; None if it names none. Never raises on any bytes.

    It is a number ``retry_after`` in a JSON object, at the top or one level below, as in
    ``{"parameters": {"retry_after": 8}}``. Of several the longest counts. Negative numbers and
    other values count as absent.

    Args:
        body: The body, decoded; the caller has bounded its length.
        date: The `Date` of the same answer.
        now: The client's time, in POSIX seconds.
    """
    # A float, because it holds a number however large: a call is then not retried early.
    found = read_object(body, whole=float)
    levels = [found, *(value for value in found.values() if isinstance(value, dict))]
    numbers = [level.get("retry_after") for level in levels]
    asked = [each for each in numbers if isinstance(each, float) and each >= 0]
    return delay_of(max(asked), date, now) if asked else None


def _lines(fields: Fields, names: Iterable[str]) -> list[str]:
    return [line for name in names for line in fields[name]]


def is_abuse(problem: bytes) -> bool:
    """Whether a problem document (RFC 9457) says ``abnormal-usage-detected``.

    The RateLimit header fields draft (section on problem types) defines it for clients that should
    not push on. A document of more than `PROBLEM` bytes is ignored.
    """
    if len(problem) > PROBLEM:
        return False
    kind = read_object(problem).get("type")
    return isinstance(kind, str) and kind.rpartition("#")[2] == "abnormal-usage-detected"
