"""Answer bodies: read to the end as part of the attempt, or left to a caller that streams."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from importlib.metadata import version
from io import BytesIO
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from requests_authretry import AuthRetryAdapter, Reason, RetryPolicy, Settings, attempts
from requests_authretry._call.response_body import TooLarge, read_body
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.sessions import API, AT_ONCE, raised, real, with_adapter
from tests.support.wire import Wire, answer, chunked, cut, drip, fin, head, rst, says

if TYPE_CHECKING:
    import socket
    from threading import Event

    from tests.support.wire import Action

URLLIB3_2 = int(version("urllib3").partition(".")[0]) >= 2
SHORT = RetryPolicy(deadline=120, backoff=AT_ONCE)
HALF_A_CHUNK = says(head(200, ("Transfer-Encoding", "chunked")), b"5\r\nab", end=fin)

CUT: dict[str, Action] = {
    "FIN in chunked": chunked(200, b"abc", end=fin),
    "FIN in a chunk": HALF_A_CHUNK,
    "RST in chunked": chunked(200, b"abc", end=rst),
    "RST in sized": cut(200, 10, b"abc", end=rst),
    "bad chunk size": says(head(200, ("Transfer-Encoding", "chunked")), b"zz\r\nabc\r\n", end=fin),
}
PLAIN = Random(1).randbytes(999)  # noqa: S311 (no secret)
PACKED = gzip.compress(PLAIN)
ENCODED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", PACKED[:-20]),
    "trailer of gzip": ("gzip", PACKED[:-1]),
    "second part of gzip": ("gzip", PACKED + PACKED[:20]),
    "deflate": ("deflate", zlib.compress(PLAIN)[:-9]),
    "raw deflate": ("deflate", zlib.compress(PLAIN)[2:-9]),
    "gzip in deflate": ("gzip, deflate", zlib.compress(PACKED[:-20])),
    "deflate over gzip": ("gzip, deflate", zlib.compress(PACKED)[:-9]),
}
CUT_CODES: dict[str, Action] = {
    name: chunked(200, packed, headers=(("Content-Encoding", coding),))
    for name, (coding, packed) in ENCODED.items()
}
CUT_CODES["first bytes of gzip"] = answer(200, PACKED[:4], ("Content-Encoding", "gzip"))
if URLLIB3_2:  # 1.26 does not know this name
    CUT_CODES["x-gzip"] = chunked(200, PACKED[:-20], headers=(("Content-Encoding", "x-gzip"),))

if URLLIB3_2:  # 1.26 takes a body that ends early for a whole one, and so do bare requests with it
    CUT["FIN in sized"] = cut(200, 10, b"abc", end=fin)
    CUT["FIN in gzip"] = cut(200, 99, b"", ("Content-Encoding", "gzip"), end=fin)


@pytest.mark.parametrize("first", CUT.values(), ids=CUT)
def test_a_cut_body_is_another_attempt(first: Action) -> None:
    """A cut body is retried without streaming: the caller gets the whole body."""
    with Wire(first, answer(200, b"whole")) as wire, real() as session:
        response = session.get(wire.url)
    assert response.content == b"whole"
    reasons = [attempt.reason for attempt in attempts(response)]
    assert reasons == [Reason.LOST, Reason.FINAL]


@pytest.mark.parametrize("first", CUT_CODES.values(), ids=CUT_CODES)
def test_a_body_that_ends_in_the_middle_of_its_encoding_is_another_attempt(first: Action) -> None:
    """A cut gzip or deflate body is no 200 with half a body, although it came to its own end."""
    with Wire(first, answer(200, b"whole"), first) as wire, real() as session:
        response = session.get(wire.url)
        error = raised(session, wire.url, "POST")
    assert response.content == b"whole"
    assert [attempt.reason for attempt in attempts(response)] == [Reason.LOST, Reason.FINAL]
    assert type(error) is ChunkedEncodingError
    assert str(error) == "the body ends in the middle of its content encoding"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, deflate", "rot13"])
def test_a_body_that_is_missing_is_not_cut(coding: str) -> None:
    """HEAD, 204, 304 and empty bodies have an encoding without a body that could be cut."""
    field = ("Content-Encoding", coding)
    bodiless: list[Action] = [
        says(head(204, field)),
        says(head(304, field, ("Content-Length", "99"))),
        answer(200, b"", field),
        chunked(200, headers=(field,)),
    ]
    with Wire(*bodiless, answer(200, b"", field)) as wire, real() as session:
        for _ in bodiless:
            assert session.get(wire.url).content == b""
        assert session.head(wire.url).status_code == 200
        assert wire.left == 0


def test_bytes_after_the_end_of_gzip_are_ignored_as_in_bare_requests() -> None:
    """A body that goes on with zeros after its gzip data is whole."""
    padded = answer(200, gzip.compress(b"whole") + bytes(9), ("Content-Encoding", "gzip"))
    with Wire(padded) as wire, real() as session:
        assert session.get(wire.url).content == b"whole"


@pytest.mark.parametrize("first", CUT.values(), ids=CUT)
def test_a_cut_body_that_streams_is_the_callers(first: Action) -> None:
    """A streamed body is not touched: the caller gets the beginning, then the exception."""
    with Wire(first, answer(200, b"whole")) as wire, real() as session:
        response = session.get(wire.url, stream=True)
        assert response.status_code == 200
        with pytest.raises(ChunkedEncodingError):
            _ = response.content
        assert wire.left == 1


@pytest.mark.parametrize("first", CUT.values(), ids=CUT)
def test_a_cut_body_of_a_post_is_raised_as_ever(first: Action) -> None:
    """An answered POST was processed: it is sent once, and bare requests' exception is raised."""
    with Wire(first, first) as wire, requests.Session() as bare, real() as session:
        usual = raised(bare, wire.url, "POST")
        error = raised(session, wire.url, "POST")
        assert len(wire.arrived) == 2
    assert type(error) is type(usual)


def test_a_cut_body_after_all_attempts_is_raised() -> None:
    """The fourth cut body raises bare requests' exception, and the quota is not paid back."""
    with Wire(*[HALF_A_CHUNK] * 4) as wire, real() as session:
        error = raised(session, wire.url)
    assert type(error) is ChunkedEncodingError
    assert [attempt.reason for attempt in attempts(error)][-1] is Reason.ATTEMPTS_EXHAUSTED


def test_a_body_read_timeout_is_another_attempt() -> None:
    """A server that stops in the middle of its body is left for another attempt."""
    stuck = drip(head(200, ("Content-Length", "10")) + b"abc", b"", every=60)
    # a slow machine may need more attempts for an answer in time
    many = RetryPolicy(max_attempts=30, backoff=AT_ONCE)
    whole = answer(200, b"whole")
    with Wire(stuck, otherwise=lambda _: whole) as wire, real(retry=many) as session:
        response = session.get(wire.url, timeout=0.2)
    assert response.content == b"whole"
    assert attempts(response)[0].reason is Reason.LOST


def test_a_stream_is_never_read() -> None:
    """A streamed answer is there before its body is, for any final status."""
    for status in (200, 404, 503):
        start = head(status, ("Content-Length", "10"), ("x-should-retry", "false"))
        with Wire(says(start)) as wire, real() as session:
            response = session.get(wire.url, stream=True, timeout=60)
            assert (response.status_code, response.raw.tell()) == (status, 0)
            response.close()


def test_an_undecodable_body_is_raised_as_ever() -> None:
    """A body that is not gzip is not retried: it raises bare requests' exception."""
    bad = answer(200, b"not gzip", ("Content-Encoding", "gzip"))
    with Wire(bad, answer()) as wire, real() as session:
        assert type(raised(session, wire.url)) is ContentDecodingError
        assert wire.left == 1


BODIES: dict[str, Action] = {
    "sized": answer(200, b"abc" * 50_000),
    "empty": answer(200),
    "chunked": chunked(200, b"abc", b"def" * 9000, b"g"),
    "gzip": answer(200, gzip.compress(b"abc" * 50_000), ("Content-Encoding", "gzip")),
    "gzip in two": answer(
        200, gzip.compress(b"abc") + gzip.compress(b"def"), ("Content-Encoding", "gzip")
    ),
    "deflate": answer(200, zlib.compress(b"abc" * 999), ("Content-Encoding", "deflate")),
    "raw deflate": answer(200, zlib.compress(b"abc" * 999)[2:-4], ("Content-Encoding", "deflate")),
    "chunked gzip": chunked(
        200, *(bytes([b]) for b in gzip.compress(b"abc")), headers=(("Content-Encoding", "gzip"),)
    ),
    "until the end": says(head(200, ("Content-Type", "text/plain")), b"abc", b"def", end=fin),
    "204": says(head(204)),
    "304": says(head(304, ("Content-Length", "99"))),
    "text": answer(200, "Zürich".encode(), ("Content-Type", "text/plain; charset=utf-8")),
    "unknown encoding": answer(200, b"abc", ("Content-Encoding", "rot13")),
}


@pytest.mark.parametrize("line", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("stream", [False, True], ids=["read", "stream"])
@pytest.mark.parametrize("status", [None, 503])
def test_a_body_is_what_bare_requests_give(line: Action, stream: bool, status: int | None) -> None:  # noqa: FBT001
    """Bytes, text, lines and headers are the same, after a failed attempt too."""
    failed = [] if status is None else [answer(status, b"no")]
    with Wire(line, *failed, line) as wire, requests.Session() as bare, real() as session:
        usual = bare.get(wire.url, stream=stream)
        ours = session.get(wire.url, stream=stream)
        assert list(ours.iter_lines()) == list(usual.iter_lines())
        if not stream:
            assert (ours.content, ours.text) == (usual.content, usual.text)
        assert (ours.headers, ours.encoding) == (usual.headers, usual.encoding)
        assert (ours.status_code, ours.reason) == (usual.status_code, usual.reason)


@pytest.mark.parametrize("line", BODIES.values(), ids=BODIES)
def test_a_body_that_was_read_frees_its_connection(line: Action) -> None:
    """The next request uses the same connection if possible, as with bare requests."""
    with Wire(line, answer(), line, answer()) as wire:
        counts = []
        for session in (requests.Session(), real()):
            with session:
                before = wire.connections
                session.get(wire.url)
                session.get(wire.url)
                counts.append(wire.connections - before)
    assert counts[0] == counts[1]


AT_ONCE_READ: dict[str, tuple[Action, bool]] = {
    "as large as a chunk": (answer(200, bytes(65_536)), True),
    "a byte larger": (answer(200, bytes(65_537)), False),
    "empty": (answer(200), True),
    "encoded": (BODIES["gzip in two"], False),
    "redirect": (answer(302, b"abc"), False),
    "chunked": (BODIES["chunked"], False),
    "until the end": (BODIES["until the end"], False),
}


@pytest.mark.parametrize(("line", "at_once"), AT_ONCE_READ.values(), ids=AT_ONCE_READ)
def test_a_small_plain_body_is_read_at_once(
    line: Action,
    at_once: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only what one read gives whole, up to a chunk of 64 KB, is not read in pieces."""
    in_pieces = list[int]()
    usual = requests.Response.iter_content

    def counted(response: requests.Response, *args: Any) -> Any:
        in_pieces.append(response.status_code)
        return usual(response, *args)

    monkeypatch.setattr(requests.Response, "iter_content", counted)
    with Wire(line) as wire, real() as session:
        response = session.get(wire.url, allow_redirects=False)
    # urllib3 1.26 does not mind a body that is cut: there all bodies are read in pieces.
    assert bool(in_pieces) is not (at_once and response.raw.enforce_content_length)


def in_memory(size: int) -> requests.Response:
    """Return an unread answer with a body of so many bytes."""
    response = requests.Response()
    response.status_code, response.raw = 200, BytesIO(bytes(size))
    return response


def test_a_body_of_as_many_bytes_as_wanted_is_read_whole() -> None:
    """A body that is exactly as large as its bound is read in pieces, and kept whole."""
    response = in_memory(200_000)
    read_body(response, FakeClock(), inf, most=200_000)
    assert response.content == bytes(200_000)


@pytest.mark.parametrize("size", [200_001, 10_000_000])
def test_a_body_of_more_bytes_than_wanted_is_given_up(size: int) -> None:
    """A body is read no further than one piece beyond its bound; the error names the bound."""
    response = in_memory(size)
    wire, read = response.raw, list[int]()
    wire.close = lambda: read.append(wire.tell())
    with pytest.raises(TooLarge) as raised:
        read_body(response, FakeClock(), inf, most=200_000)
    assert str(raised.value) == "it is larger than 200000 bytes"
    assert read == [min(size, 4 * 65_536)]


@pytest.mark.parametrize("status", [200, 404, 503, 429])
def test_head_has_no_body(status: int) -> None:
    """The Content-Length of a HEAD answer belongs to a body that never comes."""
    line = says(head(status, ("Content-Length", "999"), ("Retry-After", "0")))
    with Wire(line, answer()) as wire, real() as session:
        response = session.head(wire.url)
        session.get(wire.url)
        assert (response.content, wire.connections) == (b"", 1)


@pytest.mark.parametrize("timeout", [None, 5])
@pytest.mark.parametrize("whole", ["text", "gzip in two"])
def test_an_answer_that_comes_late_is_still_an_answer(whole: str, timeout: float | None) -> None:
    """An answer that is whole after the deadline is handed out: nothing is left to wait for."""
    clock = FakeClock()

    def late(connection: socket.socket, over: Event) -> bool:
        clock.advance(1000)
        return BODIES[whole](connection, over)

    with Wire(BODIES[whole], late) as wire, real(clock=clock) as session:
        soon = session.get(wire.url).content
        assert session.get(wire.url, timeout=timeout).content == soon


class Scripted(ScriptedAdapter):
    """An inner adapter whose first answer is made by hand."""

    def __init__(self, first: requests.Response) -> None:
        super().__init__(200)
        self.first: requests.Response | None = first

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer."""
        first, self.first = self.first, None
        if first is None:
            return super().send(request)
        first.url = request.url or ""
        return first


def by_hand(first: requests.Response, clock: FakeClock) -> requests.Session:
    """Return a session whose first answer is this one, and the next one a 200."""
    settings = Settings(clock=clock, retry=replace(SHORT, max_attempts=2))
    return with_adapter(AuthRetryAdapter(settings, inner=Scripted(first)))


class Failing(BytesIO):
    """A body that fails after a while."""

    def __init__(self, error: Exception, clock: FakeClock, seconds: float) -> None:
        super().__init__()
        self.failure, self.clock, self.seconds = error, clock, seconds

    def stream(self, *_: Any, **__: Any) -> Any:
        """Fail."""
        self.clock.advance(self.seconds)
        raise self.failure


SLOW = ReadTimeoutError(None, "/", "slow")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "seconds", "kind"),
    [
        (ProtocolError("cut"), 119.9, None),
        (ProtocolError("cut"), 200.0, ChunkedEncodingError),
        (SLOW, 119.9, None),
        (SLOW, 119.999, requests.ConnectionError),
        (SLOW, 119.9999, requests.ReadTimeout),
        (SLOW, 200.0, requests.ReadTimeout),
    ],
)
def test_only_a_read_that_ends_with_the_deadline_has_ended_by_it(
    error: Exception, seconds: float, kind: type[Exception] | None
) -> None:
    """A lost body stays a lost one after the deadline; a read timeout before it is another's."""
    clock = FakeClock()
    first = requests.Response()
    first.status_code, first.raw = 200, Failing(error, clock, seconds)
    with by_hand(first, clock) as session:
        if kind is None:
            assert session.get(API).status_code == 200
        else:
            assert type(raised(session, API)) is kind


def test_a_failed_answer_without_a_body_is_retried() -> None:
    """An inner adapter may answer 503 and leave `Response.raw` as it is."""
    first = requests.Response()
    first.status_code = 503
    with by_hand(first, FakeClock()) as session:
        assert session.get(API).status_code == 200


def test_a_failed_answer_that_was_read_before_keeps_its_body() -> None:
    """A body that the inner adapter has read vetoes a retry, and is handed out."""
    body = b'{"type": "https://example.com/types#abnormal-usage-detected"}'
    first = requests.Response()
    first.status_code, first.raw = 429, BytesIO(body)
    first.headers["Content-Type"] = "application/problem+json"
    assert first.content == body
    with by_hand(first, FakeClock()) as session:
        response = session.get(API)
    assert (response.status_code, response.content) == (429, body)
