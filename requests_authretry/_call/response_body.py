"""Bodies of answers: what is read for the caller, and what is only drained."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import requests
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from requests.models import REDIRECT_STATI

from .._core.headers.retry_after import is_abuse
from .connections import LEAST_SECONDS, UNDERSTOOD, Reader
from .translate import body_error, header_line, is_cut_encoded, reread

if TYPE_CHECKING:
    from requests import Response

    from .._protocols import Clock

DRAIN_BYTES = 65_536
"""What is read at most of an answer that nobody will see."""

DRAIN_SECONDS = 1.0
PROBLEM = "application/problem+json"
"""RFC 9457."""
_ENCODING, _TYPE = "Content-Encoding", "Content-Type"
_CHUNK = 65_536


class TooLarge(requests.RequestException):
    """A body of more bytes than anybody wants."""


_FORGIVEN = (ChunkedEncodingError, ContentDecodingError, RuntimeError)
"""What `Session.resolve_redirects` forgives the body of a redirect."""


def read_body(response: Response, clock: Clock, until: float, most: float = inf) -> None:
    """Read the whole body as requests does, but not beyond the deadline.

    Raises:
        requests.RequestException: As `Response.content`; `ReadTimeout` at the deadline, and
            `TooLarge` where it has more bytes than ``most``.
    """
    if response._content_consumed:  # noqa: SLF001 (requests has no other word for it)
        return
    answer = _on_the_wire(response)
    if until < inf:
        reader = Reader.of(answer)
        if reader is not None:
            reader.end_at(until, clock)
    try:
        _read(response, answer, most)
    except Exception as error:
        response.close()
        # This is how requests tells a read timeout of a body.
        if type(error) is requests.ConnectionError and clock.monotonic() > until - LEAST_SECONDS:
            said = "the deadline passed while the body was being read"
            raise requests.ReadTimeout(said) from None
        raise


def _read(response: Response, answer: Any, most: float) -> None:
    """Read the whole body; of a redirect a broken one is forgiven, as by `Session` itself."""
    if most < inf:
        pieces, size = [], 0
        for piece in response.iter_content(_CHUNK):
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise TooLarge(f"it is larger than {most:g} bytes")
        _keep(response, b"".join(pieces))
        return
    if _is_small_and_plain(response, answer):
        # A single read takes far fewer instructions than the loop of `content`.
        try:
            _keep(response, response.raw.read())
        except Exception as error:
            translated = body_error(error)
            if translated is None:
                raise
            raise translated from error
        return
    try:
        is_empty = not response.content
        if _ENCODING in response.headers and is_cut_encoded(response.raw, is_empty=is_empty):
            raise ChunkedEncodingError("the body ends in the middle of its content encoding")
    except _FORGIVEN:
        if not response.is_redirect:
            raise
        response.raw.read(decode_content=False)


def _is_small_and_plain(response: Response, answer: Any) -> bool:
    """Whether one read gives the body, or raises, just as reading it in pieces would."""
    raw = response.raw
    return (
        type(answer) in UNDERSTOOD
        and response.status_code not in REDIRECT_STATI  # `Session` reads on where it was broken
        and answer.length is not None
        and answer.length <= _CHUNK
        # http.client and urllib3 understand some headers differently.
        and raw.length_remaining == answer.length
        and not raw.chunked
        # urllib3 1.26 does not mind a body that is cut, in pieces.
        and raw.enforce_content_length
        and _ENCODING not in raw.headers
    )


def forbids_retry(response: Response) -> bool:
    """Whether the body, drained already, is a problem document that forbids a retry."""
    kind = header_line(response, _TYPE).partition(";")[0].strip().lower()
    body = response._content  # noqa: SLF001 (`content` would read what nobody has read)
    return kind == PROBLEM and isinstance(body, bytes) and is_abuse(body)


def drain(response: Response, clock: Clock, deadline: float) -> None:
    """Read the rest of a failed answer, so that its connection can be used again.

    If it has more than `DRAIN_BYTES`, or takes more than `DRAIN_SECONDS`, close the connection. The
    body is not decoded here, as most callers never read it: ``content`` decodes it when it is read.
    """
    if response.raw is None or response._content_consumed:  # noqa: SLF001 (see `read_body`)
        return
    try:
        body = _drained(response, clock, drain_end(clock, deadline))
    except Exception:  # noqa: BLE001 (whatever is wrong with it, nobody wants it)
        body = None
    if body is None:
        response.close()
        _keep(response, b"")
        return
    response.raw.release_conn()
    if _ENCODING in response.headers:
        response.raw = reread(response.raw, body)
    else:
        _keep(response, body)


def drain_end(clock: Clock, deadline: float) -> float:
    """Return until when a failed answer is read that begins to be read now."""
    return min(deadline, clock.monotonic() + DRAIN_SECONDS)


def _drained(response: Response, clock: Clock, until: float) -> bytes | None:
    """Return the rest of the body; None if it is too much, or takes too long."""
    answer = _on_the_wire(response)
    connection = response.raw.connection
    reader = Reader.of(answer)
    if type(answer) not in UNDERSTOOD or connection is None or until <= clock.monotonic():
        return None  # a stand-in may lack something
    if reader is None or answer.chunked != response.raw.chunked:
        return None  # http.client and urllib3 understand some headers differently
    socket, limit = connection.sock, reader.limit
    reader.end_at(until, clock)
    body = b""
    while not answer.isclosed():
        chunk = answer.read1(DRAIN_BYTES - len(body))
        body += chunk
        if answer.length == 0:
            answer.close()  # before Python 3.13 it does not notice by itself
        elif not chunk and not answer.isclosed():
            return None  # there is more than `DRAIN_BYTES`: the last read was one of no bytes
    socket.settimeout(limit)
    return body


def hand_out(response: Response, limit: float | None) -> None:
    """Leave the body to the caller: with the caller's own limit for each read, and no deadline."""
    reader = Reader.of(_on_the_wire(response))
    if reader is not None:
        reader.end_late(limit)


def _on_the_wire(response: Response) -> Any:
    """Return the answer of `http.client`, where requests itself finds the cookies."""
    return getattr(response.raw, "_original_response", None)


def _keep(response: Response, body: bytes) -> None:
    response._content = body  # noqa: SLF001 (as its own reader leaves it)
    response._content_consumed = True  # noqa: SLF001
