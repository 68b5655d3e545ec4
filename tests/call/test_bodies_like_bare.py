"""Random answers, well-formed and not, played to bare requests and to a mounted session."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from threading import Semaphore
from typing import TYPE_CHECKING

import requests
from hypothesis import HealthCheck, example, given
from hypothesis import settings as checked
from hypothesis import strategies as st
from requests.exceptions import ChunkedEncodingError
from urllib3.exceptions import HTTPError

from requests_authretry import RetryPolicy
from tests.support.scripted import Source
from tests.support.sessions import AT_ONCE, real
from tests.support.wire import Wire, answer, fin, keep, says

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from threading import Event

    from tests.support.wire import Action, Arrived, End

NEXT = "/next"
METHODS = ["GET", "HEAD", "DELETE", "PUT", "POST"]
STATUSES = [200, 201, 204, 205, 304, 101, 103, 401, 404, 500]
REDIRECTS = [301, 302, 307]
FAILED = [401, 429, 503]
TIMEOUT = 30
"""Seconds; no answer here is waited for, so that it only ends a test that hangs."""

IN_ONE_PIECE = 8192
"""Bytes that http.client takes off the socket at a time."""

Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Body:
    """A body with its framing.

    Attributes:
        lines: The header lines that describe the framing.
        framed: The bytes after the headers.
        is_whole: Whether no client waits for more bytes.
    """

    lines: Lines
    framed: bytes
    is_whole: bool = False


@dataclass(frozen=True)
class Call:
    """A request, and the bytes of its answer."""

    method: str
    status: int
    body: Body
    is_kept: bool = False
    allow_redirects: bool = True
    start: bytes = b""
    lines: Lines = ()
    version: str = "1.1"

    def answer(self, location: str = NEXT) -> bytes:
        """Return the bytes of the answer; a redirect leads to this location."""
        moved = (("Location", location),) if self.status in REDIRECTS else ()
        lines = [f"HTTP/{self.version} {self.status} Random"]
        lines += [f"{name}: {value}" for name, value in (*self.lines, *moved, *self.body.lines)]
        return self.start + "\r\n".join([*lines, "", ""]).encode() + self.body.framed

    @property
    def end(self) -> End:
        """Return how the answer leaves the connection: closed, unless no client waits for more."""
        return keep if self.is_kept and self.body.is_whole else fin


Outcome = tuple[int, bytes, tuple[int, ...]] | type[Exception]
"""Status, content and the statuses before it; or the class of the exception."""


@dataclass(frozen=True)
class Came:
    """The results of a call and of the next one, over the same session.

    Attributes:
        first: The result of the call.
        requests: How many requests it took.
        after: The result of the next call.
        connections: How many connections both took.
    """

    first: Outcome
    requests: int
    after: Outcome
    connections: int


def _deflated(content: bytes) -> bytes:
    return zlib.compress(content)[2:-4]


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "deflate ": _deflated,
    "deflate, gzip": lambda content: gzip.compress(zlib.compress(content)),
    "br": lambda content: b"\x0b\x02\x80" + content[:5].ljust(5) + b"\x03",
    "zstd": lambda content: b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00" + content[:5].ljust(5),
    "identity": bytes,
    "rot13": bytes,
    "gzip, rot13": gzip.compress,
}
LENGTHS = ["abc", "-5", "-0", "+5", "0x5", "", "1_0", "5;", "5, 5", "99999999999999999999"]
SIZES = ["", "zz", "-1", "-5", "5 5", "fffffffffffffffffff", "0x3", "+3", "1_0", ";"]
CHUNKED = ["chunked", "Chunked", "chunked ", "gzip, chunked", "chunked, identity", "identity", "x"]


@st.composite
def coded(draw: st.DrawFn) -> tuple[Lines, bytes]:
    """Make the content of a body, with or without a coding, which may be damaged."""
    short = st.binary(max_size=20)
    content = draw(st.one_of(short, st.builds(bytes.__mul__, short, st.integers(0, 2000))))
    if draw(st.booleans()):
        return (), content
    name = draw(st.sampled_from(sorted(CODINGS)))
    packed = CODINGS[name](content)
    match draw(st.sampled_from(["whole", "cut", "behind", "twice", "torn", "other"])):
        case "cut":
            packed = packed[: draw(st.integers(0, len(packed)))]
        case "behind":
            packed += draw(short)
        case "twice":
            packed += CODINGS[name](content[:9])
        case "torn":
            place = draw(st.integers(0, len(packed)))
            packed = packed[:place] + b"\xff" + packed[place + 1 :]
        case "other":
            packed = content
    return (("Content-Encoding", name.strip()),), packed


@st.composite
def sized(draw: st.DrawFn) -> Body:
    """Make a body with a true, false or senseless Content-Length, or without one."""
    lines, body = draw(coded())
    true = str(len(body))
    match draw(st.sampled_from(["true", "true", "small", "large", "absent", "double", "odd"])):
        case "true":
            return Body((*lines, ("Content-Length", true)), body, is_whole=True)
        case "small":
            length = str(draw(st.integers(0, len(body))))
            return Body((*lines, ("Content-Length", length)), body, is_whole=True)
        case "large":
            length = str(len(body) + draw(st.integers(1, 20_000)))
            return Body((*lines, ("Content-Length", length)), body)
        case "double":
            # Not another number: urllib3 refuses such headers, and leaves the socket open.
            second = draw(st.sampled_from([true, "x"]))
            return Body((*lines, ("Content-Length", true), ("Content-Length", second)), body)
        case "odd":
            return Body((*lines, ("Content-Length", draw(st.sampled_from(LENGTHS)))), body)
    return Body(lines, body)


@st.composite
def in_chunks(draw: st.DrawFn) -> Body:
    """Make a body in chunks, with or without true sizes and an end."""
    lines, body = draw(coded())
    places = sorted(draw(st.lists(st.integers(1, max(1, len(body))), max_size=4, unique=True)))
    parts = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True) if a < b]
    style = draw(st.sampled_from(["%x", "%X", "00%x", "%x;name=value", "%x ", "%x;"]))
    pieces = [(style % len(part)).encode() + b"\r\n" + part + b"\r\n" for part in parts]
    pieces.append(b"0" + draw(st.sampled_from([b"", b"", b"000", b";end"])) + b"\r\n")
    pieces.append(draw(st.sampled_from([b"", b"", b"X-Trailer: yes\r\n"])) + b"\r\n")
    name = "chunked"
    is_whole = draw(st.booleans())
    if not is_whole:
        name = draw(st.sampled_from(CHUNKED))
        place = draw(st.integers(0, len(pieces) - 1))
        match draw(st.sampled_from(["drop", "stop", "size", "feed", "cut", "none"])):
            case "drop":
                del pieces[place]
            case "stop":
                del pieces[place:]
            case "size":
                bad = draw(st.sampled_from(SIZES)).encode()
                pieces[place] = bad + b"\r\n" + pieces[place].partition(b"\r\n")[2]
            case "feed":
                pieces[place] = pieces[place].replace(b"\r\n", b"\n")
            case "cut":
                pieces[place:] = [pieces[place][: draw(st.integers(0, len(pieces[place])))]]
    if draw(st.integers(0, 4)) == 0:
        lines += (("Content-Length", draw(st.sampled_from(["0", "5", str(len(body))]))),)
    return Body((*lines, ("Transfer-Encoding", name)), b"".join(pieces), is_whole=is_whole)


def calls(statuses: list[int]) -> st.SearchStrategy[Call]:
    """Make a request with its answer."""
    starts = [b"", b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n"]
    connection: list[Lines] = [(), (), (("Connection", "close"),), (("Connection", "keep-alive"),)]
    return st.builds(
        Call,
        method=st.sampled_from(METHODS),
        status=st.sampled_from(statuses),
        body=st.one_of(sized(), in_chunks()),
        is_kept=st.booleans(),
        allow_redirects=st.booleans(),
        start=st.sampled_from(starts),
        lines=st.sampled_from(connection),
        version=st.sampled_from(["1.1", "1.1", "1.1", "1.0"]),
    )


def called(session: requests.Session, one: Call, url: str) -> Outcome:
    """Make a call and return its result."""
    try:
        got = session.request(one.method, url, timeout=TIMEOUT, allow_redirects=one.allow_redirects)
        return got.status_code, got.content, tuple(each.status_code for each in got.history)
    except Exception as error:  # noqa: BLE001 (requests lets some of others pass)
        return type(error)


def came(session: requests.Session, one: Call) -> Came:
    """Play the answer to a session, then another answer that is whole."""
    ended = Semaphore(0)

    def otherwise(arrived: Arrived) -> Action:
        if arrived.target == NEXT:
            return answer(200, b"next")

        def act(connection: socket.socket, over: Event) -> bool:
            try:
                return says(one.answer(other.url), end=one.end)(connection, over)
            finally:
                ended.release()

        return act

    # A redirect leads to another server: over a connection that is about to be closed, what comes
    # of the hop is a matter of luck.
    with (
        Wire(otherwise=lambda _: answer(200, b"other")) as other,
        Wire(otherwise=otherwise) as wire,
        session,
    ):
        first = called(session, one, wire.url)
        count = len(wire.arrived)
        for _ in range(count):
            ended.acquire()
        after = called(session, one, wire.url + NEXT[1:])
        return Came(first, count + len(other.arrived), after, wire.connections)


def like_bare(one: Call) -> str:
    """Return how a mounted session wrongly differs from bare requests; empty if it does not."""
    attempts = 1 if one.status >= 500 else 4
    retry = RetryPolicy(backoff=AT_ONCE, max_attempts=attempts)
    bare, ours = came(requests.Session(), one), came(real(timeout=TIMEOUT, retry=retry), one)
    if isinstance(bare.first, type):
        # An error of urllib3 that requests forgets to translate is translated by us.
        kinds: set[Outcome] = {bare.first}
        if not issubclass(bare.first, requests.RequestException):
            kinds = {requests.ConnectionError} if issubclass(bare.first, HTTPError) else kinds
        return "" if ours.first in kinds else "another exception"
    if (ours.first, ours.requests) != (bare.first, bare.requests):
        # Bare requests take what they could decode for the whole body. The last of our attempts may
        # go over a connection that is about to be closed.
        cut = {ChunkedEncodingError, requests.ConnectionError}
        is_cut = ours.first in cut and is_encoded(one)
        return "" if is_cut else "another outcome"
    if isinstance(bare.after, type):
        return ""
    if ours.after != bare.after:
        return "another outcome of the next call"
    # Bytes behind a long answer may have come before the next request, or not.
    if len(one.answer()) < IN_ONE_PIECE and ours.connections != bare.connections:
        return "other connections"
    return ""


def is_encoded(one: Call) -> bool:
    """Whether the body has a content encoding."""
    return any(name.lower() == "content-encoding" for name, _ in one.body.lines)


def drained(one: Call) -> str:
    """Return the fault of a call whose first answer this is, and whose second answer is whole."""
    first = says(one.answer(), end=one.end)
    with Wire(first) as wire, requests.Session() as session:
        usual = called(session, one, wire.url)
    with Wire(first) as wire, requests.Session() as session:
        try:
            session.request(one.method, wire.url, stream=True, timeout=TIMEOUT).close()
        except requests.RequestException:
            return ""  # its headers are senseless
    here = b"" if one.method == "HEAD" else b"here"
    with Wire(first, otherwise=lambda _: answer(200, b"here")) as wire:
        token = Source("old", "new")
        with real(timeout=TIMEOUT, token=token, origins=[wire.url]) as session:
            try:
                got = session.request(one.method, wire.url, timeout=TIMEOUT)
                refused = [each.content for each in got.history]
            except Exception as error:  # noqa: BLE001 (whatever it is, it is wrong, or as ever)
                return "" if type(error) is usual else repr(error)
    if (got.status_code, got.content, len(wire.arrived)) != (200, here, 2):
        return f"{got.status_code} {got.content!r} after {len(wire.arrived)} requests"
    if refused and isinstance(usual, tuple) and refused[0] not in {usual[1], b""}:
        return f"{refused[0]!r} in the refused answer instead of {usual[1]!r}"
    return ""


def sent(
    status: int,
    framed: bytes,
    *lines: tuple[str, str],
    method: str = "GET",
    allow_redirects: bool = True,
) -> Call:
    """Return one answer with these header lines."""
    return Call(method, status, Body(lines, framed), allow_redirects=allow_redirects)


CHUNKS = ("Transfer-Encoding", "chunked")
CHUNKS_OF_URLLIB3 = (
    ("Content-Encoding", "gzip"),
    ("Content-Length", "5"),
    ("Transfer-Encoding", "chunked "),
)
CUT_ZSTD = CODINGS["zstd"](b"12345")[:-2]


@example(sent(204, b"2\r\nok\r\n0\r\n\r\n", CHUNKS, method="DELETE"))
@example(sent(304, b"2\r\nok\r\n0\r\n\r\n", ("Transfer-Encoding", "gzip, chunked")))
@example(sent(200, b"abc", ("Content-Length", "5")))
@example(sent(200, b"abc", ("Content-Length", "5"), ("Content-Length", "x")))
@example(sent(200, b"abcdefg", ("Content-Length", "5, 5")))
@example(sent(200, b"abc", ("Content-Length", "9" * 20)))
@example(sent(200, CUT_ZSTD, ("Content-Encoding", "zstd"), ("Content-Length", str(len(CUT_ZSTD)))))
@example(sent(200, b"\x1f\x8b\x08", ("Content-Encoding", "gzip"), ("Content-Length", "3")))
@example(sent(302, b"abc", ("Content-Length", "5"), allow_redirects=False))
@example(sent(302, b"5\r\nab", CHUNKS))
@example(sent(302, b"abc", ("Content-Length", "3"), ("Content-Encoding", "gzip")))
@example(sent(302, b"abc" * 9000, ("Content-Length", "30000"), ("Content-Encoding", "gzip")))
@given(calls([*STATUSES, *REDIRECTS]))
@checked(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_bare_requests_make_of_an_answer_is_what_a_mounted_session_makes(
    one: Call,
) -> None:
    """A mounted session gives bare requests' status, content, exception, requests and next call."""
    assert not like_bare(one)


@example(sent(503, b"-1\r\nabc", CHUNKS))
@example(sent(429, b"-1\r\nabc", CHUNKS, method="POST"))
@example(sent(503, b"abc", ("Content-Length", "9" * 20)))
@example(sent(401, b"abc", ("Content-Length", "3"), ("Content-Encoding", "gzip")))
@example(sent(401, b"0\r\n\r\n", *CHUNKS_OF_URLLIB3))
@given(calls(FAILED).filter(lambda one: one.method != "POST"))
@checked(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_failed_answer_that_cannot_be_read_changes_no_outcome(one: Call) -> None:
    """A call ends with the second answer, however the body of the failed answer is broken."""
    assert not drained(one)
