"""What is asked about an answer whose status may not say what it means."""

from __future__ import annotations

from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING

from .._core.classify import MOST_BODY_BYTES, Answer
from .._core.http import FIRST_ERROR, UNREAD
from .._judge import verdict_of
from .body_start import body_start
from .response_body import read_body

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from .._core.classify import Verdict
    from .._judge import Judge
    from .call import Call


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
