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
from .translate import header_line, outcome_of

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from .._core.classify import Verdict
    from .._core.records import Outcome
    from .._judge import Judge
    from .call import Call

_BODY_NAMES_TIME = {TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE}
"""Statuses of answers that may say in the body alone how long to wait."""


def verdict_on(
    call: Call, judge: Judge, request: PreparedRequest, response: Response, *, stream: bool
) -> Verdict | None:
    """Return what an answer means where its status does not say it; None: as its status says.

    Args:
        call: The call.
        judge: Who is asked.
        request: The caller's request, which has no credential of the settings.
        response: The answer. Whoever reads its body afterwards reads it whole.
        stream: Whether the body is the caller's to read.

    Raises:
        requests.RequestException: The body of an answer below 400 cannot be read.
        BaseException: What a classifier raises that is no `Exception`.
    """
    url, status = request.url or "", response.status_code
    asked = judge.asked(url, status)
    if not asked:
        return None
    is_unread = stream or (status in UNREAD and call.credentials.is_foreign)
    body = None if is_unread else _body(call, response)
    method = (request.method or "").upper()
    headers = MappingProxyType(response.headers)
    return verdict_of(asked, Answer(method, url, status, headers, body))


def outcome_on(call: Call, response: Response, *, stream: bool) -> Outcome:
    """Return what an answer that has an error or a verdict says, in its headers or in its body.

    The body counts where no header names a time. That of a stream is the caller's to read.

    Args:
        call: The call.
        response: The answer. Whoever reads its body afterwards reads it whole.
        stream: Whether the body is the caller's to read.
    """
    clock, verdict = call.shared.clock, call.log.verdict
    outcome = outcome_of(response, clock.time(), call.shared.limit_headers, verdict)
    if stream or outcome.retry_after is not None or outcome.status not in _BODY_NAMES_TIME:
        return outcome
    body = body_start(response, clock, drain_end(clock, call.deadline))
    if body is None and clock.monotonic() >= call.deadline:
        drain(response, clock, call.deadline)  # nobody has the time to read it
    asked = read_body_wait(body or b"", header_line(response, "Date"), clock.time())
    return outcome if asked is None else replace(outcome, retry_after=asked)


def _body(call: Call, response: Response) -> bytes | None:
    """Return the start of the body, decoded; None where it cannot be had.

    The caller gets an answer below 400 in any case, so that its body is read first.

    Raises:
        requests.RequestException: The body of an answer below 400 cannot be read.
    """
    clock = call.shared.clock
    if call.shared.observes:
        return body_start(response, clock, inf)
    if response.status_code >= FIRST_ERROR:
        return body_start(response, clock, call.deadline)
    read_body(response, clock, call.until)
    content = response._content  # noqa: SLF001 (`content` raises where a redirect was broken)
    return content[:MOST_BODY_BYTES] if isinstance(content, bytes) else None
