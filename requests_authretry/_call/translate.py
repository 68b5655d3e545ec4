"""Translation between requests, urllib3 and the words of the core."""

from __future__ import annotations

import ssl
from http.client import HTTPException
from io import BytesIO
from typing import TYPE_CHECKING, Any

import requests
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse
from urllib3 import exceptions as wire
from urllib3.util import Retry as WireRetry
from urllib3.util import Timeout as WireTimeout

from .._core.bounds import FIELD
from .._core.challenge import Challenge, parse_challenges
from .._core.headers.rate_limit_fields import read_limits
from .._core.headers.retry_after import read_outcome
from .._core.records import Failure, Limit, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest, Response

_CHAIN_LIMIT = 20
_LEAST_TIMEOUT = 0.001
"""Seconds; the least that a socket accepts as a time limit in a sensible way."""

_BESIDE = frozenset({"age", "date"})
"""Read in any case: the times that other fields give are measured from them."""

_NOT_SENT = (wire.NewConnectionError, wire.ConnectTimeoutError, ConnectionRefusedError)
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, BrokenPipeError)
_CLOSED = (wire.ClosedPoolError,)


def outcome_of(response: Response, now: float, names: frozenset[str]) -> Outcome:
    """Return what an answer with an error says, with its ``retry_after`` and rate limits.

    Args:
        response: The answer; its body is not touched.
        now: POSIX time in seconds.
        names: Names of the header fields to read, in lower case.
    """
    fields = _fields(response, names)
    return read_outcome(response.status_code, fields, now, read_limits(fields, now))


def limits_of(
    response: Response, clock: Callable[[], float], names: frozenset[str]
) -> tuple[Limit, ...]:
    """Return what an answer says is left of the server's limits; nearly free if it says nothing.

    Args:
        response: The answer; its body is not touched.
        clock: Gives POSIX time in seconds.
        names: Names of the header fields to read, in lower case.
    """
    headers: Any = response.headers
    # The public ways to the names cost the healthy path more.
    is_usual = type(headers) is CaseInsensitiveDict
    there = headers._store if is_usual else [name.lower() for name in headers]  # noqa: SLF001
    if names.isdisjoint(there):
        return ()
    return read_limits(_fields(response, names), clock())


def _fields(response: Response, names: frozenset[str]) -> dict[str, list[str]]:
    """Return the lines of the fields to read, by name, without fields longer than `FIELD`."""
    there = (names | _BESIDE).intersection(name.lower() for name in response.headers)
    fields = {name: header_lines(response, name) for name in there}
    return {name: lines for name, lines in fields.items() if sum(map(len, lines)) <= FIELD}


def challenges_of(response: Response) -> tuple[Challenge, ...]:
    """Return the challenges of a 401."""
    return parse_challenges(header_lines(response, "WWW-Authenticate"))


def header_lines(response: Response, name: str) -> list[str]:
    """Return the lines of a header, joined to one line if urllib3 does not have them apart."""
    headers = getattr(response.raw, "headers", None)
    getlist = getattr(headers, "getlist", None)
    lines = list(getlist(name)) if getlist is not None else []
    if not lines and name in response.headers:
        lines = [response.headers[name]]
    return [line for line in lines if isinstance(line, str)]


def header_line(response: Response, name: str) -> str:
    """Return the value of a field, "" if it is missing or longer than `FIELD` characters."""
    value: Any = response.headers.get(name)
    return value if isinstance(value, str) and len(value) <= FIELD else ""


def failure_of(error: requests.RequestException) -> Outcome:
    """Return how an attempt failed that ended in an exception."""
    if isinstance(error, requests.exceptions.SSLError):
        # A certificate or an alert stays what it is; a TLS connection that was cut does not.
        failure = Failure.LOST if _has_cause(error, _CUT) else Failure.FATAL
    elif isinstance(error, requests.ConnectTimeout) or _has_cause(error, _NOT_SENT):
        failure = Failure.UNREACHABLE
    elif isinstance(error, requests.exceptions.ProxyError) or _has_cause(error, _CLOSED):
        failure = Failure.FATAL
    elif isinstance(error, (requests.ConnectionError, requests.Timeout, ChunkedEncodingError)):
        failure = Failure.LOST
    else:
        failure = Failure.FATAL
    return Outcome(failure=failure)


def _has_cause(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether an exception, or one that it wraps, is of one of these kinds."""
    pending: list[object] = [error]
    for _ in range(_CHAIN_LIMIT):
        if not pending:
            break
        cause = pending.pop(0)
        if isinstance(cause, kinds):
            return True
        if isinstance(cause, BaseException):
            # requests and urllib3 wrap exceptions in `args` and in `reason`.
            pending += [*cause.args, getattr(cause, "reason", None), cause.__cause__]
    return False


def innermost(error: BaseException) -> BaseException:
    """Return the exception of requests, urllib3 or the network that the others wrap."""
    for _ in range(_CHAIN_LIMIT):
        wrapped = (getattr(error, "reason", None), *error.args)
        for cause in wrapped:
            if isinstance(cause, (OSError, wire.HTTPError, HTTPException)):
                error = cause
                break
        else:
            break
    return error


def as_requests_error(
    error: Exception, request: PreparedRequest
) -> requests.RequestException | None:
    """Return the exception as one of requests, None if it has nothing to do with the network."""
    if isinstance(error, requests.RequestException):
        # The request that was sent carried the token; the caller's own did not.
        error.request = request
        return error
    if isinstance(error, (wire.HTTPError, HTTPException)):
        # Some of urllib3's errors pass through requests as they are.
        return requests.ConnectionError(error, request=request)
    return None


def body_error(error: Exception) -> requests.RequestException | None:
    """Return the exception of a body that cannot be read, as `Response.iter_content` maps it."""
    if isinstance(error, wire.ProtocolError):
        return ChunkedEncodingError(error)
    if isinstance(error, wire.DecodeError):
        return ContentDecodingError(error)
    if isinstance(error, wire.ReadTimeoutError):
        return requests.ConnectionError(error)
    if isinstance(error, wire.SSLError):
        return requests.exceptions.SSLError(error)
    return None


def reread(raw: Any, body: bytes) -> HTTPResponse:
    """Return urllib3's answer anew, with the body that was read from the wire, undecoded."""
    return HTTPResponse(
        BytesIO(body),
        raw.headers,
        raw.status,
        reason=raw.reason,
        version=raw.version,
        preload_content=False,
        original_response=raw._original_response,  # noqa: SLF001 (requests finds the cookies there)
        enforce_content_length=False,
    )


def clipped(timeout: object, left: float) -> tuple[object, bool]:
    """Return a time limit of requests with no part longer than ``left``; None stays None.

    Returns:
        The limit, and whether it bounds a single read.
    """
    left = max(left, _LEAST_TIMEOUT)
    if isinstance(timeout, (int, float)):
        return min(timeout, left), True
    if isinstance(timeout, tuple):
        # What is no pair of numbers is for the inner adapter to refuse.
        parts = tuple(
            min(part, left) if isinstance(part, (int, float)) else part for part in timeout
        )
        return parts, parts[-1:] != (None,)
    if isinstance(timeout, WireTimeout):
        # The public attributes need a running clock.
        given = (timeout.total, timeout._connect, timeout._read)  # noqa: SLF001
        total, connect, read = (
            min(part, left) if isinstance(part, (int, float)) else part for part in given
        )
        bounds_reads = isinstance(read, (int, float)) or total is not None
        return WireTimeout(total=total, connect=connect, read=read), bounds_reads
    return timeout, timeout is not None


def would_retry(retries: object) -> bool:
    """Whether an adapter's ``max_retries`` sends anything twice."""
    if not isinstance(retries, WireRetry):
        return bool(retries)
    if retries.total is not None:
        return bool(retries.total)
    counts = (retries.connect, retries.read, retries.status, retries.other)
    return any(count is None or count for count in counts)  # without a total, None has no end


def no_retries() -> WireRetry:
    """Return what requests gives an adapter that was asked for no retries."""
    return WireRetry(0, read=False)


_inherited: list[object] = []
"""Pools of a parent process. They are never used, and never end: their end would take locks that
a thread of the parent may have held."""


def leave_connections(adapter: object) -> None:
    """Have an adapter open connections of its own; its pools' options stay as they are."""
    own = getattr(adapter, "__dict__", {})
    for manager in (own.get("poolmanager"), *own.get("proxy_manager", {}).values()):
        pools = getattr(manager, "pools", None)
        if pools is not None:
            _inherited.append(pools)
            manager.pools = type(pools)(pools._maxsize)  # noqa: SLF001 (urllib3 has no other word)
