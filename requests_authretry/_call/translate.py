"""Translation between requests, urllib3 and the words of the core."""

from __future__ import annotations

import re
from http.client import BadStatusLine, HTTPException
from io import BytesIO
from itertools import islice
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import requests
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse
from urllib3 import exceptions as wire
from urllib3 import response as wire_response
from urllib3.util import Retry as WireRetry
from urllib3.util import Timeout as WireTimeout

from .._clock import SystemClock
from .._core.bounds import FIELD
from .._core.challenge import Challenge, parse_challenges
from .._core.headers.rate_limit_fields import read_limits
from .._core.headers.retry_after import read_judged, read_outcome, read_success
from .._core.records import Failure, Outcome
from .._core.server_clock import seconds_ahead
from .connections import CUT, LEAST_SECONDS, Seconds, is_unsent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import PreparedRequest, Response

    from .._core.classify import Verdict
    from .._protocols import Clock

_CHAIN_LIMIT = 20
_SILENCE = 120.0
"""Seconds without a byte that end an attempt where neither the caller nor the deadline ends it."""


_NOT_RENAMED: Mapping[str, str | None] = MappingProxyType({})

_BESIDE = frozenset({"age", "date"})
"""Read in any case: the times that other fields give are measured from them."""

_NOT_SENT = (wire.NewConnectionError, wire.ConnectTimeoutError, ConnectionRefusedError)
_CLOSED = (wire.ClosedPoolError,)

_QUOTING = (BadStatusLine, wire.InvalidChunkLength)
"""The exceptions that quote what the server sent; that of a closed connection is an OSError too."""

_SWALLOWS = 2
"""The state of urllib3's decoder of gzip in which it ignores the rest: bytes after the end."""

_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (429|5\d\d)\b")
"""What `http.client` says where a proxy cannot open the tunnel just now."""


def outcome_of(
    response: Response,
    now: float,
    names: frozenset[str],
    verdict: Verdict | None = None,
    renamed: Mapping[str, str | None] = _NOT_RENAMED,
) -> Outcome:
    """Return what an answer says that has an error or a verdict: its time to wait and rate limits.

    Args:
        response: The answer; its body is not touched.
        now: POSIX time in seconds.
        names: Names of the header fields to read, in lower case.
        verdict: What the answer means where its status does not say it.
        renamed: What fields with a misleading name are read as, by their own names; None: not read.
    """
    fields, status = _fields(response, names.union(renamed)), response.status_code
    if renamed:
        usual = {renamed.get(name, name): lines for name, lines in fields.items()}
        fields = {name: lines for name, lines in usual.items() if name in names or name in _BESIDE}
    limits = read_limits(fields, now)
    if verdict is None:
        return read_outcome(status, fields, now, limits)
    return read_judged(verdict, status, fields, now, limits)


def told_fields(response: Response, names: frozenset[str]) -> dict[str, str]:
    """Return the fields to read that an answer has, by name; nearly free if it has none."""
    headers: Any = response.headers
    # The public ways to the names cost the healthy path more.
    is_usual = type(headers) is CaseInsensitiveDict
    there = headers._store if is_usual else [name.lower() for name in headers]  # noqa: SLF001
    if names.isdisjoint(there):
        return {}
    return {name: str(headers[name]) for name in there if name in names}


def success_of(response: Response, now: float, names: frozenset[str]) -> Outcome | None:
    """Return what an answer below 400 says of rate limits, None if it says nothing of them.

    Args:
        response: The answer; its body is not touched.
        now: POSIX time in seconds.
        names: Names of the header fields to read, in lower case.
    """
    fields = _fields(response, names)
    return read_success(response.status_code, fields, now, read_limits(fields, now))


def _fields(response: Response, names: frozenset[str]) -> dict[str, list[str]]:
    """Return the lines of the fields to read, by name, without fields longer than `FIELD`."""
    there = {name for name in map(str.lower, response.headers) if name in names or name in _BESIDE}
    fields = {name: list(map(_shortened, header_lines(response, name))) for name in there}
    return {name: lines for name, lines in fields.items() if sum(map(len, lines)) <= FIELD}


def _shortened(line: str) -> str:
    """Return a line, of a number that is too long only `FIELD` digits: they are many enough.

    If it counted as absent, a call that the server wants to wait for ever would be sent at once.
    """
    whole, _, fraction = line.partition(".")
    if len(line) <= FIELD or not line.isascii() or not (whole + fraction).isdigit():
        return line
    return whole.lstrip("0")[:FIELD] or "0"


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


def seconds_ahead_of(response: Response, sent: float, received: float) -> float | None:
    """Return by how many seconds the clock of a server is ahead of ours, see `seconds_ahead`.

    None also for an answer that a cache on this machine has kept, with the date of its first time.
    """
    if getattr(response, "from_cache", False):
        return None
    date, age = header_line(response, "Date"), header_line(response, "Age")
    return seconds_ahead(date, age, sent, received)


def failure_of(error: requests.RequestException) -> Outcome:
    """Return how an attempt failed that ended in an exception."""
    causes = _causes(error)

    def has_cause(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    nothing_sent = any(is_unsent(cause) or _is_refused_tunnel(cause) for cause in causes)
    if nothing_sent or isinstance(error, requests.ConnectTimeout) or has_cause(*_NOT_SENT):
        failure = Failure.UNREACHABLE
    elif isinstance(error, (requests.exceptions.SSLError, requests.exceptions.ProxyError)):
        # A certificate, an alert and a 407 stay what they are; a connection that was lost does not.
        failure = Failure.LOST if has_cause(*CUT, TimeoutError) else Failure.FATAL
    elif has_cause(*_CLOSED):
        failure = Failure.FATAL
    elif isinstance(error, (requests.ConnectionError, requests.Timeout, ChunkedEncodingError)):
        failure = Failure.LOST
    else:
        failure = Failure.FATAL
    return Outcome(failure=failure)


def _is_refused_tunnel(cause: BaseException) -> bool:
    """Whether a proxy answered CONNECT with an error that may pass."""
    return type(cause) is OSError and _REFUSED_TUNNEL.match(str(cause)) is not None


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception and the ones that it wraps, up to a bound."""
    pending: list[object] = [error]
    for cause in islice(pending, _CHAIN_LIMIT):
        # requests and urllib3 wrap exceptions in `args` and in `reason`.
        if isinstance(cause, BaseException):
            pending += [*cause.args, getattr(cause, "reason", None), cause.__cause__]
    return [cause for cause in pending if isinstance(cause, BaseException)]


def said_by(error: BaseException) -> str:
    """Return what the exception of the network says that the others wrap.

    Of one that quotes what the server sent it is the name, as that may be a part of a body.
    """
    try:
        cause = _innermost(error)
        quotes = isinstance(cause, _QUOTING) and not isinstance(cause, OSError)
        return type(cause).__name__ if quotes else str(cause)
    except Exception:  # noqa: BLE001 (an exception of others)
        return ""


def _innermost(error: BaseException) -> BaseException:
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
    error: BaseException, request: PreparedRequest
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


def was_cut(error: BaseException) -> bool:
    """Whether an attempt ended in an exception because the other side ended its connection."""
    return any(isinstance(cause, CUT) for cause in _causes(error))


def is_cut_encoded(raw: Any, *, is_empty: bool) -> bool:
    """Whether a body that was read to its end stopped in the middle of its content encoding.

    urllib3 takes what it could decode for the whole body, except with zstd.

    Args:
        raw: The answer of urllib3.
        is_empty: Whether nothing was decoded; most often nothing was sent then. urllib3 does not
            count the bytes of chunks.
    """
    decoder = getattr(raw, "_decoder", None)
    if decoder is None or (is_empty and not raw.tell()):
        return False
    return any(map(_is_unfinished, getattr(decoder, "_decoders", [decoder])))


def _is_unfinished(decoder: Any) -> bool:
    if getattr(decoder, "_state", None) == _SWALLOWS:
        return False
    inner: Any = getattr(decoder, "_obj", None)
    if hasattr(inner, "is_finished"):  # Brotli
        return not inner.is_finished()
    return not getattr(inner, "eof", True)


_packages: Any = wire_response
"""Where urllib3 keeps the packages that it has found, under names of its own."""


def _without_brotli(body: bytes, most: int) -> bytes:
    decoder = _packages.brotli.Decompressor()
    # The packages that share this name call it differently. One that knows no bound raises.
    decode = getattr(decoder, "decompress", None) or decoder.process
    found: bytes = decode(body, output_buffer_limit=most)
    return found


def _without_zstd(body: bytes, most: int) -> bytes:
    found: bytes = _packages.zstd.ZstdDecompressor().decompress(body, max_length=most)
    return found


MORE_CODINGS = {"br": _without_brotli, "zstd": _without_zstd}
"""What takes off the codings that urllib3 may know besides those of the standard library, within a
bound. It raises where the package is missing, or knows no bound."""


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


class Unlimited(WireTimeout):
    """What `limited` makes of no timeout, where there is no deadline.

    Requests may share it, as it has no total; it costs them less than None.
    """

    # Values in place of urllib3's properties, as each request asks for them.
    connect_timeout: Any = None
    read_timeout: Any = None

    def __init__(self, clock: Clock) -> None:
        silence = Seconds(_SILENCE, inf, clock)
        super().__init__(connect=silence, read=silence)
        self.connect_timeout = self.read_timeout = silence

    def clone(self) -> WireTimeout:
        return self

    def start_connect(self) -> float:
        return 0.0


UNLIMITED = Unlimited(SystemClock())
"""That of all requests on the system's clock."""


def limited(timeout: Any, until: float, clock: Clock) -> Any:
    """Return a time limit of requests as `Seconds`, no part of it longer than the deadline allows.

    Args:
        timeout: What the caller gave; without a deadline, no limit becomes `_SILENCE`.
        until: When each read and write has to be over, in monotonic seconds; inf if never.
        clock: What tells that time.
    """
    has_end = until < inf
    left = max(until - clock.monotonic(), LEAST_SECONDS)

    def part(given: Any) -> Any:
        if given is None or given is WireTimeout.DEFAULT_TIMEOUT:
            return Seconds(left if has_end else _SILENCE, until, clock)
        if isinstance(given, bool) or not isinstance(given, (int, float)):
            return given  # for the inner adapter to refuse
        return Seconds(min(given, left), until, clock, given)

    if isinstance(timeout, tuple):
        return tuple(map(part, timeout))
    if not isinstance(timeout, WireTimeout):
        return part(timeout)
    # The public attributes need a running clock.
    given = {"connect": timeout._connect, "read": timeout._read}  # noqa: SLF001
    if timeout.total is not None:
        # A part without a limit has that of the total.
        given = {name: one for name, one in given.items() if isinstance(one, (int, float))}
        given["total"] = timeout.total
    return WireTimeout(**{name: part(one) for name, one in given.items()})


def read_limit(timeout: Any) -> float | None:
    """Return the caller's own limit for each read, from what `limited` returned; None without."""
    if isinstance(timeout, WireTimeout):
        read = timeout._read  # noqa: SLF001 (as above)
        timeout = read if isinstance(read, Seconds) else timeout.total
    last = timeout[1] if isinstance(timeout, tuple) else timeout
    return last.given if isinstance(last, Seconds) else None


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
