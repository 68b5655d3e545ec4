"""Failed answers are drained within a bound, undecoded, and their connections released."""

from __future__ import annotations

import gzip
import tracemalloc
from contextlib import suppress
from http.client import HTTPResponse
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import GaveUp, Reason, RefreshFailed, RetryPolicy, attempts
from requests_authretry._call import response_body
from requests_authretry._call.response_body import DRAIN_BYTES, DRAIN_SECONDS, drain
from requests_authretry.testing import FakeClock, SystemClock
from tests.support.scripted import Source
from tests.support.sessions import AT_ONCE, ended, raised, real
from tests.support.wire import (
    PATIENCE,
    Wire,
    answer,
    chunked,
    cut,
    drip,
    fin,
    flood,
    head,
    keep,
    rst,
    says,
)

if TYPE_CHECKING:
    import socket
    from threading import Event

    from tests.support.wire import Action

PROBLEM = ("Content-Type", "application/problem+json")


def in_two(start: bytes, rest: bytes) -> Action:
    """Send the rest a moment after the start."""

    def act(connection: socket.socket, over: Event) -> bool:
        connection.sendall(start)
        over.wait(0.05)
        connection.sendall(rest)
        return True

    return act


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drain for as long as a slow machine needs, unless the test sets a time."""
    monkeypatch.setattr(response_body, "DRAIN_SECONDS", PATIENCE)


DRAINED: dict[str, tuple[Action, int]] = {
    "small": (answer(503, b"busy"), 1),
    "empty": (answer(503), 1),
    "as much as is drained": (answer(503, bytes(DRAIN_BYTES)), 1),
    "a byte more": (answer(503, bytes(DRAIN_BYTES + 1)), 2),
    "a byte more in two": (
        in_two(
            head(503, ("Content-Length", str(DRAIN_BYTES + 1))) + bytes(9), bytes(DRAIN_BYTES - 8)
        ),
        2,
    ),
    "gzip": (answer(503, b"not gzip", ("Content-Encoding", "gzip")), 1),
    "chunked": (chunked(503, b"abc", b"def"), 1),
    "size of a chunk in two": (
        in_two(
            head(503, ("Transfer-Encoding", "chunked")) + b"1",
            b"0\r\n" + bytes(16) + b"\r\n0\r\n\r\n",
        ),
        1,
    ),
    "as many in chunks": (chunked(503, bytes(DRAIN_BYTES - 9), bytes(9)), 1),
    "chunked and long": (chunked(503, bytes(DRAIN_BYTES), b"more"), 2),
    "cut": (cut(503, 10, b"abc", end=fin), 2),
    "cut in chunked": (chunked(503, b"abc", end=rst), 2),
    "bad chunk size": (
        says(head(503, ("Transfer-Encoding", "chunked")) + b"zz\r\nabc\r\n", end=keep),
        2,
    ),
    "until the end": (says(head(503), b"abc", end=fin), 2),
}


@pytest.mark.parametrize(("failed", "connections"), DRAINED.values(), ids=DRAINED)
@pytest.mark.parametrize("stream", [False, True], ids=["read", "stream"])
def test_a_failed_answer_frees_its_connection(
    failed: Action,
    connections: int,
    stream: bool,  # noqa: FBT001
) -> None:
    """A small body is drained and its connection reused; otherwise the connection is closed."""
    with Wire(failed, answer(200, b"here")) as wire, real() as session:
        assert session.get(wire.url, stream=stream).content == b"here"
        assert wire.connections == connections


@pytest.mark.parametrize("stream", [False, True], ids=["read", "stream"])
def test_a_chunk_that_does_not_come_costs_the_connection(
    stream: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A body that stalls is waited for as long as a drain may take; then the connection closes."""
    monkeypatch.setattr(response_body, "DRAIN_SECONDS", 0.05)
    stops = says(head(503, ("Transfer-Encoding", "chunked")))
    with Wire(stops, answer(200, b"here")) as wire, real() as session:
        assert session.get(wire.url, stream=stream).content == b"here"
        assert wire.connections == 2


def test_no_attempt_follows_a_drain_that_used_up_the_deadline() -> None:
    """A 503 whose body drips until the deadline is handed out: there is no time for a retry."""
    clock = FakeClock()
    slow = drip(head(503, ("Content-Length", "3")), tick=lambda: clock.advance(10))
    policy = RetryPolicy(deadline=5, backoff=AT_ONCE)
    with Wire(slow, answer(200)) as wire, real(clock=clock, retry=policy) as session:
        response = session.get(wire.url)
        assert (response.status_code, len(wire.arrived)) == (503, 1)
    assert [attempt.reason for attempt in attempts(response)] == [Reason.WAIT_TOO_LONG]


def test_a_drain_leaves_the_sockets_time_limit_as_it_was() -> None:
    """The next request over the connection does not have the time limit of the drain."""
    with Wire(chunked(503, b"abc")) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=30)
        socket = response.raw.connection.sock
        drain(response, SystemClock(), inf)
        assert (response.content, socket.gettimeout()) == (b"abc", 30)


def test_at_its_end_a_drain_reads_nothing() -> None:
    """A body that is there already is not drained if no time is left."""
    clock = FakeClock()
    with Wire(answer(503, b"busy")) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=30)
        drain(response, clock, clock.monotonic())
    assert response.content == b""


def test_an_answer_of_another_kind_is_not_drained() -> None:
    """The answer of a stand-in for `http.client` is closed, not drained."""

    class Other(HTTPResponse):
        """An answer that may be read in ways of its own."""

    with Wire(answer(503, b"busy")) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=30)
        response.raw._original_response.__class__ = Other  # noqa: SLF001 (where requests looks)
        drain(response, SystemClock(), inf)
    assert response.content == b""


def test_a_401_frees_its_connection_too() -> None:
    """The refused answer is drained before the replay, and its body stays readable."""
    refused = answer(401, b"who are you?")
    with Wire(refused, answer(200, b"here")) as wire, _renewing(wire) as session:
        response = session.get(wire.url)
        assert wire.connections == 1
    assert response.history[0].content == b"who are you?"


def test_what_was_not_kept_of_a_401_is_empty() -> None:
    """A refused answer whose body was thrown away reads as empty, without an error."""
    refused = answer(401, bytes(DRAIN_BYTES + 1))
    with Wire(refused, answer()) as wire, _renewing(wire) as session:
        assert session.get(wire.url).history[0].text == ""


PACKED, GZIP = gzip.compress(b"who are you?"), ("Content-Encoding", "gzip")


@pytest.mark.parametrize(
    "refused", [answer(401, PACKED, GZIP), chunked(401, PACKED, headers=(GZIP,))]
)
def test_an_encoded_body_that_was_drained_is_decoded_when_it_is_read(refused: Action) -> None:
    """The drained body of a refused answer is decoded when it is read."""
    with Wire(refused, answer()) as wire, _renewing(wire) as session:
        assert session.get(wire.url).history[0].text == "who are you?"


def test_the_bound_of_a_drain_is_what_the_design_says() -> None:
    """A drain is bounded by 64 KB and one second."""
    assert (DRAIN_BYTES, DRAIN_SECONDS) == (64 * 1024, 1.0)


def test_a_flood_is_not_drained() -> None:
    """A failed answer of 210 MB is read little further than the sockets' buffers."""
    taken: list[int] = []
    size = 210 * 1024 * 1024
    failed = flood(head(503, ("Content-Length", str(size))), size, taken)
    with Wire(failed, answer(200, b"here")) as wire, real() as session:
        assert session.get(wire.url).content == b"here"
    assert taken[0] < size / 4


def test_a_bomb_is_not_unpacked() -> None:
    """A small failed body that would unpack to 60 MB is drained without decoding."""
    bomb = gzip.compress(bytes(60_000_000))
    assert len(bomb) < DRAIN_BYTES
    failed = answer(503, bomb, ("Content-Encoding", "gzip"))
    with Wire(failed, answer()) as wire, real() as session:
        tracemalloc.start()
        try:
            assert session.get(wire.url).status_code == 200
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert wire.connections == 1
    assert peak < 5_000_000


DRIPS: dict[str, bytes] = {
    "sized": head(503, ("Content-Length", "100000")),
    "until the end": head(503),
    "chunk size": head(503, ("Transfer-Encoding", "chunked")) + b"5;",
    "chunk": head(503, ("Transfer-Encoding", "chunked")) + b"ffff\r\n",
    "problem": head(503, ("Content-Length", "100000"), PROBLEM),
}


@pytest.mark.parametrize("start", DRIPS.values(), ids=DRIPS)
def test_a_failed_answer_that_drips_is_left_soon(
    start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain ends at its time limit, although bytes keep coming without end."""
    monkeypatch.setattr(response_body, "DRAIN_SECONDS", 1.0)
    clock = FakeClock()
    dripping = drip(start, tick=lambda: clock.advance(0.1))
    with Wire(dripping, answer(200, b"here")) as wire, real(clock=clock) as session:
        assert ended(lambda: session.get(wire.url)).content == b"here"


def test_a_drain_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain ends at the deadline if that comes before its own bound."""
    monkeypatch.setattr(response_body, "DRAIN_SECONDS", 1e9)
    clock, policy = FakeClock(), RetryPolicy(deadline=120, backoff=AT_ONCE)
    dripping = drip(DRIPS["sized"], tick=lambda: clock.advance(10))
    with (
        Wire(dripping, answer()) as wire,
        real(retry=policy, clock=clock) as session,
        suppress(requests.RequestException),  # what is left for the second attempt is no time
    ):
        ended(lambda: session.get(wire.url))
    assert clock.monotonic() >= 120


@pytest.mark.parametrize("kind", [PROBLEM[1], "Application/Problem+JSON ; charset=utf-8"])
@pytest.mark.parametrize("stream", [False, True], ids=["read", "stream"])
def test_a_problem_document_may_veto_a_retry(stream: bool, kind: str) -> None:  # noqa: FBT001
    """Abnormal usage ends the call; the caller gets the body, unread with `stream`."""
    body, events = b'{"type": "https://example.com/types#abnormal-usage-detected"}', list[Any]()
    headers = ("Content-Type", kind), ("Retry-After", "7")
    with Wire(answer(429, body, *headers), answer()) as wire:
        with real(listeners=[events.append], clock=FakeClock()) as session:
            response = session.get(wire.url, stream=stream)
        assert len(wire.arrived) == 1 + stream
    if not stream:
        assert (response.status_code, response.content) == (429, body)
        told = [(each.reason, each.retry_after) for each in events if isinstance(each, GaveUp)]
        assert told == [(Reason.VETOED, 7.0)]


@pytest.mark.parametrize("body", [b"{}", b'{"type": "about:blank"}', b"[1]", b"not JSON", b""])
def test_any_other_problem_is_retried(body: bytes) -> None:
    """A problem document of another type, or an unreadable one, vetoes nothing."""
    with Wire(answer(503, body, PROBLEM), answer(200, b"here")) as wire, real() as session:
        assert session.get(wire.url).content == b"here"
        assert wire.connections == 1


def test_a_torn_problem_document_vetoes_nothing() -> None:
    """A POST whose 429 breaks off in its document was throttled all the same, and is retried."""
    torn = cut(429, 99, b'{"type": "', PROBLEM, end=rst)
    with Wire(torn, answer(201)) as wire, real() as session:
        assert session.post(wire.url, data=b"order").status_code == 201


ONE_PLACE = {"pool_connections": 1, "pool_maxsize": 1, "pool_block": True}

CROWDED: dict[str, list[Action]] = {
    "503": [answer(503, b"busy"), answer(503, bytes(99_999)), answer()],
    "cut": [chunked(200, b"abc", end=fin), cut(200, 9, b"abc", end=rst), answer()],
    "401": [answer(401, b"no"), answer()],
    "401 handed out": [answer(401, b"no", ("WWW-Authenticate", "Basic"))],
    "redirect": [answer(302, b"x", ("Location", "/")), answer(503), answer()],
    "reset": [says(end=rst), answer()],
    "404": [answer(404, b"none")],
}


@pytest.mark.parametrize("script", CROWDED.values(), ids=CROWDED)
def test_a_pool_of_one_never_waits_for_itself(script: list[Action]) -> None:
    """Each answer that is given up returns its connection before the next one is requested."""
    with Wire(*script, answer(200, b"after")) as wire, _renewing(wire, ONE_PLACE) as session:
        after = ended(lambda: (session.get(wire.url), session.get(wire.url))[1])
    assert after.content == b"after"


def test_a_pool_of_one_survives_a_failing_renewal() -> None:
    """An exception in place of a streamed 401 leaks no connection, which no caller could close."""

    def broken() -> str:
        if wire.arrived:
            raise OSError("no token today")
        return "old"

    wire = Wire(answer(401, b"no"), answer(200, b"after"))
    with wire, real(pool=ONE_PLACE, token=broken, origins=[wire.url]) as session:
        assert type(raised(session, wire.url, stream=True)) is RefreshFailed
        after = ended(lambda: session.get(wire.url))
    assert after.content == b"after"


def _renewing(wire: Wire, pool: dict[str, Any] | None = None) -> requests.Session:
    """Make a session with a token for this server, and another token for after a refusal."""
    return real(pool=pool, token=Source("old", "new"), origins=[wire.url])
