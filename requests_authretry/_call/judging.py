"""What is asked about an answer whose status may not say what it means."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING

from .._core.classify import MOST_BODY_BYTES, Answer
from .._core.headers.retry_after import read_body_wait
from .._core.http import FIRST_ERROR, SERVICE_UNAVAILABLE, TOO_MANY_REQUESTS, UNREAD
from .._judge import verdict_of
from .body_start import body_start
from .response_body import drain, drain_end, read_body
from .translate import header_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest, Response

    from .._core.classify import Verdict
    from .._core.records import Outcome
    from .._judge import Judge
    from .._protocols import Clock

_BODY_NAMES_TIME = {TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE}
"""Statuses of answers that may say in the body alone how long to wait."""


def verdict_on(
    judge: Judge,
    request: PreparedRequest,
    response: Response,
    body_of: Callable[[Response], bytes | None],
) -> Verdict | None:
    """Return what an answer means where its status does not say it; None: as its status says.

    Args:
        judge: Who is asked.
        request: The caller's request, which has no credential of the settings.
        response: The answer. Whoever reads its body afterwards reads it whole.
        body_of: Returns the start of its body; is called if anybody is asked.

    Raises:
        BaseException: What ``body_of`` raises, or a classifier that is no `Exception`.
    """
    url, status = request.url or "", response.status_code
    asked = judge.asked(url, status)
    if not asked:
        return None
    method, headers = (request.method or "").upper(), MappingProxyType(response.headers)
    return verdict_of(asked, Answer(method, url, status, headers, body_of(response)))


def body_seen(
    response: Response, clock: Clock, deadline: float, until: float, *, is_foreign: bool
) -> bytes | None:
    """Return the start of a body, decoded; None where it cannot be had.

    The caller gets an answer below 400 in any case, so that its body is read first.

    Args:
        response: The answer.
        clock: What tells the time.
        deadline: When the call has to be over, in monotonic seconds.
        until: When its reads end: the deadline, or inf if the user set none.
        is_foreign: Whether the request carried no credential from the settings.

    Raises:
        requests.RequestException: The body of an answer below 400 cannot be read.
    """
    status = response.status_code
    if status in UNREAD and is_foreign:
        return None
    if status >= FIRST_ERROR:
        return body_start(response, clock, deadline)
    read_body(response, clock, until)
    content = response._content  # noqa: SLF001 (`content` raises where a redirect was broken)
    return content[:MOST_BODY_BYTES] if isinstance(content, bytes) else None


def body_observed(response: Response, clock: Clock) -> bytes | None:
    """Return the start of a body that the caller reads next anyway, whenever it comes."""
    return None if response.status_code in UNREAD else body_start(response, clock, inf)


def with_body_wait(outcome: Outcome, response: Response, clock: Clock, deadline: float) -> Outcome:
    """Return what an answer says, with the time that its body names where no header names one.

    Args:
        outcome: What its headers say.
        response: The answer. Whoever reads its body afterwards reads it whole.
        clock: What tells the time.
        deadline: When the call has to be over, in monotonic seconds.
    """
    if outcome.retry_after is not None or outcome.status not in _BODY_NAMES_TIME:
        return outcome
    body = body_start(response, clock, drain_end(clock, deadline))
    if body is None and clock.monotonic() >= deadline:
        drain(response, clock, deadline)  # nobody has the time to read it
    asked = read_body_wait(body or b"", header_line(response, "Date"), clock.time())
    return outcome if asked is None else replace(outcome, retry_after=asked)
