"""Bodies: what can be sent again, what is read, and what is only drained."""

from __future__ import annotations

from http.client import HTTPException, HTTPResponse
from math import inf
from typing import TYPE_CHECKING

import requests
from requests.exceptions import (
    ChunkedEncodingError,
    ContentDecodingError,
    UnrewindableBodyError,
)
from requests.utils import rewind_body

from ._core.hints import is_abuse
from ._translate import body_error, reread

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from ._protocols import Clock

DRAIN_BYTES = 65_536
"""What is read at most of an answer that nobody will see."""

DRAIN_SECONDS = 1.0
PLAIN = (bytes, str, bytearray, memoryview)
"""Bodies that nothing is taken from when they are sent."""

PROBLEM = "application/problem+json"
"""RFC 9457."""
_CHUNK = 65_536


class TooLarge(requests.RequestException):
    """A body of more bytes than anybody wants."""


_FORGIVEN = (ChunkedEncodingError, ContentDecodingError)


def rewound(request: PreparedRequest) -> bool:
    """Whether the body can be sent again, a file wound back to where it stood.

    What cannot be wound back would go out empty or cut, and without an error.
    """
    body = request.body
    if body is None or isinstance(body, PLAIN):
        return True
    if not isinstance(request._body_position, int):  # noqa: SLF001 (requests has no other word for it)
        return False
    try:
        rewind_body(request)
    except (UnrewindableBodyError, OSError, ValueError):
        return False
    return True


def read_body(response: Response, clock: Clock, deadline: float, most: float = inf) -> None:
    """Read the whole body, as `Response.content` does, but not beyond the deadline.

    A read timeout starts anew with each byte, so that a server that drips could hold us for ever.

    Raises:
        requests.RequestException: As `Response.content`; `ReadTimeout` at the deadline, and
            `TooLarge` where it has more bytes than ``most``.
    """
    raw = response.raw
    if response._content_consumed:  # noqa: SLF001 (requests has no other word for it)
        return
    answer, chunks, in_time = _on_the_wire(response), [], True
    watched = getattr(raw, "_fp", None) is not answer
    if watched or not isinstance(answer, HTTPResponse) or not hasattr(raw, "read1"):
        # From no socket, through a wrapper that watches the reading, or urllib3 1.26.
        _read_on(response, most)
        return
    size = 0
    try:
        while in_time and (chunk := raw.read1(_CHUNK, decode_content=True)):
            chunks.append(chunk)
            size += len(chunk)
            if size > most:
                break
            if answer.isclosed() and raw._decoder is None:  # noqa: SLF001 (nothing is held back)
                break
            in_time = answer.isclosed() or clock.monotonic() <= deadline
    except Exception as error:  # noqa: BLE001 (it goes on from there)
        _not_read(response, error)
        return
    if not in_time:
        response.close()
        raise requests.ReadTimeout("the deadline passed while the body was being read")
    _refuse_more(response, size, most)
    _keep(response, b"".join(chunks))


def _read_on(response: Response, most: float) -> None:
    """Read the whole body as requests does, but not more than ``most`` bytes."""
    if most == inf:
        _ = response.content
        return
    body = b""
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        _refuse_more(response, len(body), most)
    _keep(response, body)


def _refuse_more(response: Response, size: int, most: float) -> None:
    if size > most:
        response.close()
        raise TooLarge(f"it is larger than {most:g} bytes")


def _not_read(response: Response, error: Exception) -> None:
    """Raise what it means; of a redirect it is forgiven, as by requests itself."""
    response.close()
    translated = body_error(error)
    if isinstance(translated, _FORGIVEN) and response.is_redirect:
        _keep(response, b"")
        return
    if translated is None:
        raise error
    raise translated from error


def forbids_retry(response: Response) -> bool:
    """Whether the body, drained already, is a problem document that forbids a retry."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body = response._content  # noqa: SLF001 (`content` would read what nobody has read)
    return kind == PROBLEM and isinstance(body, bytes) and is_abuse(body)


def drain(response: Response, clock: Clock, deadline: float) -> None:
    """Make a failed answer's connection free for the next request, within a bound; else close it.

    Nothing is decoded: what nobody reads must not be unpacked. Who does read it finds it there.
    """
    if response.raw is None or response._content_consumed:  # noqa: SLF001 (see `read_body`)
        return
    try:
        body = _drained(response, clock, min(deadline, clock.monotonic() + DRAIN_SECONDS))
    except (OSError, ValueError, HTTPException):
        body = None
    if body is None:
        response.close()
        _keep(response, b"")
        return
    response.raw.release_conn()
    if "Content-Encoding" in response.headers:
        response.raw = reread(response.raw, body)
    else:
        _keep(response, body)


def _drained(response: Response, clock: Clock, until: float) -> bytes | None:
    """All that was left of the body; None where it would take too long to know."""
    answer = _on_the_wire(response)
    socket = getattr(getattr(response.raw, "connection", None), "sock", None)
    if type(answer) is not HTTPResponse or socket is None:  # a stand-in may lack something
        return None
    body = b""
    while not answer.isclosed():
        left = until - clock.monotonic()
        if left <= 0 or len(body) >= DRAIN_BYTES:
            return None
        # No limit on one read bounds the line of a chunk's size, which may drip: of a chunked
        # body only what has arrived is taken.
        socket.settimeout(0 if answer.chunked else left)
        chunk = answer.read1(DRAIN_BYTES - len(body))
        body += chunk
        if answer.length == 0:
            answer.close()  # before Python 3.13 it does not notice by itself
        elif not chunk and not answer.isclosed():
            return None
    return body


def _on_the_wire(response: Response) -> object:
    """The answer below urllib3's, where requests itself finds the cookies."""
    return getattr(response.raw, "_original_response", None)


def _keep(response: Response, body: bytes) -> None:
    response._content = body  # noqa: SLF001 (as its own reader leaves it)
    response._content_consumed = True  # noqa: SLF001
