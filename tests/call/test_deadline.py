"""The deadline on the wire: one that the user set ends each read and write."""

from __future__ import annotations

import gc
import pickle
import socket
import ssl
from dataclasses import replace
from http.client import HTTPConnection
from math import inf
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.exceptions import ProxyError
from urllib3.util import Timeout, connection

from requests_authretry import Reason, RetryPolicy, Settings, attempts, mount, override
from requests_authretry._call import translate
from requests_authretry._call.connections import Seconds
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock, SystemClock
from tests.support.authority import CERTIFICATE
from tests.support.sessions import API, AT_ONCE, ended, raised, real
from tests.support.wire import PATIENCE, Wire, answer, drip, fin, head, says, silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.wire import Action

CHUNKED = ("Transfer-Encoding", "chunked")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

BEFORE_THE_BODY: dict[str, tuple[bytes, bytes]] = {
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "header": (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: a\r\n"),
    "100s": (b"", CONTINUE),
    "headers of a 100": (b"HTTP/1.1 100 Continue\r\n", b"X: a\r\n"),
}
BODIES: dict[str, tuple[bytes, bytes]] = {
    "sized": (head(200, ("Content-Length", "100000")), b"."),
    "until the end": (head(200), b"."),
    "size of a chunk": (head(200, CHUNKED), b"0"),
    "extension of a chunk": (head(200, CHUNKED) + b"5;", b"."),
    "chunk": (head(200, CHUNKED) + b"ffff\r\n", b"."),
    "chunks": (head(200, CHUNKED), b"1\r\n.\r\n"),
    "trailer": (head(200, CHUNKED) + b"0\r\nX: ", b"."),
    "trailers": (head(200, CHUNKED) + b"0\r\n", b"X: .\r\n"),
    "unknown encoding": (head(200, ("Content-Encoding", "rot13")), b"."),
    "204": (head(204, CHUNKED) + b"ffff\r\n", b"."),
    "404": (head(404, ("Content-Length", "100000")), b"."),
    "302": (head(302, ("Content-Length", "100000"), ("Location", "/")), b"."),
}
LIMITS: list[Any] = [
    None,
    PATIENCE,
    (PATIENCE, None),
    Timeout(PATIENCE),
    Timeout(total=PATIENCE),
    Timeout(total=PATIENCE, read=PATIENCE),
]
NAMES = ["no timeout", "timeout", "connect only", "of urllib3", "total", "total and read"]


def until_left(action: Action, left: Event) -> Action:
    """Do the same, and tell when the client has closed the connection."""

    def act(connection: socket.socket, over: Event) -> bool:
        try:
            return action(connection, over)
        except OSError:
            left.set()
            raise

    return act


def dripping(start: bytes, piece: bytes, clock: FakeClock, left: Event) -> Action:
    """Drip without end; each piece takes nine seconds."""
    return until_left(drip(start, piece, every=0.001, tick=lambda: clock.advance(9)), left)


def user_set(clock: FakeClock, **policy: Any) -> requests.Session:
    """Make a session with a deadline that equals the default, and is not the default."""
    return real(clock=clock, retry=RetryPolicy(deadline=120, backoff=AT_ONCE, **policy))


@pytest.mark.parametrize("timeout", LIMITS, ids=NAMES)
@pytest.mark.parametrize("place", BEFORE_THE_BODY)
@pytest.mark.parametrize("stream", [False, True], ids=["read", "stream"])
def test_an_answer_that_drips_before_its_body_ends_with_the_deadline(
    place: str, timeout: Any, *, stream: bool
) -> None:
    """A server that drips its headers for ever is left at the deadline, with any timeout."""
    clock, left = FakeClock(), Event()
    with (
        Wire(dripping(*BEFORE_THE_BODY[place], clock, left), answer()) as wire,
        user_set(clock) as session,
    ):
        error = ended(lambda: raised(session, wire.url, timeout=timeout, stream=stream))
        assert left.wait(PATIENCE)
        assert wire.left == 1
    assert type(error) is requests.ReadTimeout
    assert [attempt.reason for attempt in attempts(error)] == [Reason.WAIT_TOO_LONG]


@pytest.mark.parametrize("timeout", LIMITS, ids=NAMES)
@pytest.mark.parametrize("place", BODIES)
def test_a_body_that_drips_ends_with_the_deadline(place: str, timeout: Any) -> None:
    """A server that drips any part of a body for ever is left at the deadline."""
    clock, left = FakeClock(), Event()
    with (
        Wire(dripping(*BODIES[place], clock, left), answer()) as wire,
        user_set(clock) as session,
    ):
        error = ended(lambda: raised(session, wire.url, timeout=timeout))
        assert left.wait(PATIENCE)
        assert wire.left == 1
    assert type(error) is requests.ReadTimeout
    assert str(error) == "the deadline passed while the body was being read"
    assert [attempt.reason for attempt in attempts(error)] == [Reason.WAIT_TOO_LONG]


def test_a_second_attempt_has_the_rest_of_the_deadline() -> None:
    """After a lost connection the next answer drips only as long as the call has left."""
    clock, left = FakeClock(), Event()
    with (
        Wire(says(end=fin), dripping(*BEFORE_THE_BODY["header"], clock, left)) as wire,
        user_set(clock) as session,
    ):
        error = ended(lambda: raised(session, wire.url))
        assert left.wait(PATIENCE)
    assert [attempt.reason for attempt in attempts(error)] == [Reason.LOST, Reason.WAIT_TOO_LONG]
    assert clock.monotonic() >= 120


@pytest.mark.parametrize("timeout", [None, 0.5, (60, None)], ids=str)
def test_a_silent_server_is_left_at_the_deadline(timeout: Any) -> None:
    """A server that says nothing is left when the deadline ends, without any timeout too."""
    with Wire(silence()) as wire, real(retry=RetryPolicy(deadline=0.2)) as session:
        error = ended(lambda: raised(session, wire.url, timeout=timeout))
    assert type(error) is requests.ReadTimeout


def test_a_deadline_is_kept_on_a_connection_that_is_used_again() -> None:
    """Each call over one connection has its own deadline."""
    clock, left = FakeClock(), Event()
    with (
        Wire(answer(), dripping(*BODIES["sized"], clock, left)) as wire,
        user_set(clock) as session,
    ):
        session.get(wire.url)
        clock.advance(1000)
        error = ended(lambda: raised(session, wire.url))
        assert left.wait(PATIENCE)
        assert wire.connections == 1
    assert clock.monotonic() >= 1120
    assert type(error) is requests.ReadTimeout


@pytest.mark.parametrize("place", [BEFORE_THE_BODY["header"], BODIES["trailer"]])
def test_a_drip_over_tls_ends_with_the_deadline(place: tuple[bytes, bytes]) -> None:
    """A deadline holds over TLS as it does over plain connections."""
    clock, left = FakeClock(), Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with Wire(dripping(*place, clock, left), tls=context) as wire, user_set(clock) as session:
        error = ended(lambda: raised(session, wire.url, verify=str(CERTIFICATE)))
        assert left.wait(PATIENCE)
    assert type(error) is requests.ReadTimeout


def test_a_handshake_that_does_not_go_on_ends_with_the_deadline() -> None:
    """A server that accepts a TLS connection and says nothing is left at the deadline."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        real(retry=RetryPolicy(deadline=0.2)) as session,
    ):
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        error = ended(lambda: raised(session, url))
    assert isinstance(error, requests.Timeout)


@pytest.fixture
def _tunnels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Allow proxies; urllib3 1.26 forgets the socket of a tunnel that was refused."""
    monkeypatch.delenv("NO_PROXY")
    yield
    gc.collect()


@pytest.mark.usefixtures("_tunnels")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("place", ["status line", "header", "headers"])
def test_an_answer_to_connect_that_drips_ends_with_the_deadline(place: str) -> None:
    """A proxy that drips its answer to CONNECT is left at the deadline."""
    clock, left = FakeClock(), Event()
    with (
        Wire(dripping(*BEFORE_THE_BODY[place], clock, left)) as wire,
        user_set(clock) as session,
    ):
        error = ended(lambda: raised(session, API, "POST", proxies={"https": wire.url}))
        assert left.wait(PATIENCE)
        assert [seen.method for seen in wire.arrived] == ["CONNECT"]
    assert isinstance(error, (requests.Timeout, ProxyError))
    assert [attempt.reason for attempt in attempts(error)][-1] is not Reason.LOST


@pytest.mark.usefixtures("_tunnels")
def test_a_handshake_through_a_tunnel_ends_with_the_deadline() -> None:
    """A server behind a proxy that says nothing after CONNECT is left at the deadline."""

    def opens(connection: socket.socket, over: Event) -> bool:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return silence()(connection, over)

    with Wire(opens) as wire, real(retry=RetryPolicy(deadline=0.2)) as session:
        error = ended(lambda: raised(session, API, proxies={"https": wire.url}))
    assert isinstance(error, (requests.Timeout, ProxyError))


class SlowFile:
    """A large file on a slow disk: each read takes nine seconds."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def __len__(self) -> int:
        return 1_000_000_000

    def read(self, size: int) -> bytes:
        """Read a part."""
        self._clock.advance(9)
        return bytes(min(size, 9))


def test_an_upload_ends_with_the_deadline() -> None:
    """A body that is sent slowly, piece by piece, is sent no further at the deadline."""
    clock = FakeClock()
    with Wire() as wire, user_set(clock) as session:
        error = ended(lambda: raised(session, wire.url, "PUT", data=SlowFile(clock)))
    assert type(error) is requests.ConnectionError
    assert "the deadline passed while the request was being sent" in str(error)
    assert clock.monotonic() >= 120


def test_a_server_that_takes_no_upload_is_left_at_the_deadline() -> None:
    """A server that reads nothing of a large body holds the call no longer than the deadline."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        real(retry=RetryPolicy(deadline=0.2)) as session,
    ):
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        error = ended(lambda: raised(session, url, "PUT", data=bytes(50_000_000)))
    assert isinstance(error, requests.ConnectionError)


@pytest.mark.parametrize("timeout", LIMITS, ids=NAMES)
def test_the_default_deadline_ends_no_body(timeout: Any) -> None:
    """A body that makes progress is read to its end, however long after 120 s that is."""
    clock = FakeClock()
    slow = drip(head(200, ("Content-Length", "9")), tick=lambda: clock.advance(1000))
    with Wire(slow) as wire, real(clock=clock) as session:
        assert ended(lambda: session.get(wire.url, timeout=timeout)).content == b"." * 9
    assert clock.monotonic() >= 9000


def test_the_default_deadline_ends_no_headers() -> None:
    """Headers that make progress are read to their end."""
    clock = FakeClock()

    def slow(connection: socket.socket, over: Event) -> bool:
        for byte in head(200, ("Content-Length", "0")):
            clock.advance(1000)
            connection.sendall(bytes([byte]))
        return not over.is_set()

    with Wire(slow) as wire, real(clock=clock) as session:
        assert ended(lambda: session.get(wire.url)).status_code == 200


def test_without_a_timeout_a_server_may_be_silent_for_two_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By default, a read that brings nothing for 120 s has failed, and is retried."""
    unlimited = translate.UNLIMITED
    assert {unlimited.connect_timeout, unlimited.read_timeout} == {120.0}
    monkeypatch.setattr(unlimited, "read_timeout", Seconds(0.05, inf, SystemClock()))
    with Wire(silence(), silence()) as wire, real(retry=TWICE) as session:
        error = ended(lambda: raised(session, wire.url))
    assert type(error) is requests.ReadTimeout
    assert attempts(error)[0].reason is Reason.LOST


TWICE = RetryPolicy(max_attempts=2, backoff=AT_ONCE)
OWN = [(None, None), (30, 30), ((5, 30), 30), ((5, None), None), (Timeout(read=30), 30)]


@pytest.mark.parametrize(("timeout", "own"), OWN, ids=range(len(OWN)))
@pytest.mark.parametrize("deadline", [None, 100], ids=["default", "set"])
def test_a_stream_has_the_callers_own_time_limit(
    timeout: Any, own: float | None, deadline: float | None
) -> None:
    """A response that is handed out is read without the deadline, with the caller's timeout."""
    retry = RetryPolicy() if deadline is None else RetryPolicy(deadline=deadline)
    clock = FakeClock()
    slow = drip(head(200, ("Content-Length", "9")), tick=lambda: clock.advance(1000))
    with Wire(slow) as wire, real(retry=retry, clock=clock) as session:
        response = session.get(wire.url, stream=True, timeout=timeout)
        assert response.raw.connection.sock.gettimeout() == own
        assert ended(lambda: response.content) == b"." * 9


@pytest.mark.parametrize(("timeout", "limit"), [(None, None), (30, 30), ((20, 30), 20)], ids=str)
def test_the_default_deadline_ends_no_upload(
    timeout: Any, limit: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a timeout a write may take as long as it likes; a timeout counts as ever."""
    limits, usual = set[float | None](), HTTPConnection.send

    def send(connection: HTTPConnection, data: Any) -> None:
        if connection.sock is not None:
            limits.add(connection.sock.gettimeout())
        usual(connection, data)

    monkeypatch.setattr(HTTPConnection, "send", send)
    with Wire(answer(), answer()) as wire, real() as session:
        for _ in range(2):
            session.put(wire.url, data=b"body", timeout=timeout)
        assert wire.connections == 1
    assert limits == {limit}


def test_the_next_request_over_a_connection_has_no_deadline() -> None:
    """A connection forgets the deadline with its answer: others may use the adapter, too."""
    clock = FakeClock()
    with Wire(answer(), answer()) as wire, requests.Session() as session:
        mounted = mount(session, Settings(clock=clock, retry=RetryPolicy(deadline=120)))
        session.get(wire.url)
        mounted.unmount()
        clock.advance(1000)
        manager: Any = session.get_adapter(wire.url).poolmanager  # type: ignore[attr-defined]
        [pool] = map(manager.pools.get, manager.pools.keys())
        connection = pool._get_conn()  # noqa: SLF001 (as requests 2.28 sends generators)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        assert wire.connections == 1


CUT_HEADERS: dict[str, Action] = {
    "after the status line": says(b"HTTP/1.1 200 OK\r\n", end=fin),
    "in a header": says(b"HTTP/1.1 200 OK\r\nContent-Len", end=fin),
    "after a header": says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", end=fin),
    "in the last line": says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r", end=fin),
}


@pytest.mark.parametrize("cut", CUT_HEADERS.values(), ids=CUT_HEADERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("stream", [False, True], ids=["read", "stream"])
@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_cut_headers_are_another_attempt(
    cut: Action, method: str, timeout: float | None, *, stream: bool
) -> None:
    """An answer whose headers end with the connection is no 200 with half its headers."""
    with Wire(cut, answer(200, b"", ("X-Whole", "yes"))) as wire, real() as session:
        response = session.request(method, wire.url, stream=stream, timeout=timeout)
        response.close()
        assert response.headers["X-Whole"] == "yes"
    assert [attempt.reason for attempt in attempts(response)] == [Reason.LOST, Reason.FINAL]


def test_cut_headers_of_a_post_are_a_lost_connection() -> None:
    """A POST whose answer is cut in its headers may have been processed: it is not sent again."""
    with Wire(CUT_HEADERS["in a header"], answer()) as wire, real() as session:
        error = raised(session, wire.url, "POST")
        assert wire.left == 1
    assert type(error) is requests.ConnectionError
    assert "the connection ended in the middle of the headers" in str(error)


def test_a_session_that_is_unmounted_reads_as_before() -> None:
    """After `unmount`, cut headers are taken for all headers, as with bare requests."""
    with Wire(answer(), CUT_HEADERS["in a header"]) as wire, requests.Session() as session:
        with mount(session):
            session.get(wire.url)
        assert session.get(wire.url).status_code == 200


SAME: dict[str, RetryPolicy] = {
    "set": RetryPolicy(deadline=120),
    "in a float": RetryPolicy(deadline=120.0),
    "changed": replace(RetryPolicy(), deadline=120),
    "pickled": pickle.loads(pickle.dumps(RetryPolicy(deadline=120))),  # noqa: S301 (ours)
    "from the environment": Settings.from_env({"REQUESTS_AUTHRETRY_RETRY_DEADLINE": "120"}).retry,
    "of urllib3": RetryPolicy.from_urllib3(3),
}
DEFAULT: dict[str, RetryPolicy] = {
    "default": RetryPolicy(),
    "another field changed": replace(RetryPolicy(), max_attempts=2),
    "pickled": pickle.loads(pickle.dumps(RetryPolicy())),  # noqa: S301 (ours)
    "from the environment": Settings.from_env({"REQUESTS_AUTHRETRY_RETRY_MAX_ATTEMPTS": "2"}).retry,
}


@pytest.mark.parametrize("policy", SAME.values(), ids=SAME)
def test_a_deadline_that_was_set_ends_reads(policy: RetryPolicy) -> None:
    """A user's `deadline=120` is another value than the default, wherever it was set."""
    assert SharedState.of(Settings(retry=policy)).ends_reads


@pytest.mark.parametrize("policy", DEFAULT.values(), ids=DEFAULT)
def test_a_deadline_that_was_not_set_ends_no_reads(policy: RetryPolicy) -> None:
    """The default stays the default in copies, pickles and settings from outside."""
    assert policy.deadline == 120
    assert not SharedState.of(Settings(retry=policy)).ends_reads


def test_an_override_may_set_the_deadline() -> None:
    """A deadline that an `override` sets ends the reads of its calls."""
    clock, left = FakeClock(), Event()
    action = dripping(*BODIES["sized"], clock, left)
    with (
        Wire(action) as wire,
        real(clock=clock) as session,
        override(retry=RetryPolicy(deadline=120)),
    ):
        assert type(raised(session, wire.url)) is requests.ReadTimeout
        assert left.wait(PATIENCE)


def test_a_handshake_has_what_connecting_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 119 s of a deadline of 120 s went into connecting, the handshake gets one second."""
    clock, limits, usual = FakeClock(), list[float | None](), ssl.SSLContext.wrap_socket
    connect = connection.create_connection

    def slow(*args: Any, **options: Any) -> socket.socket:
        clock.advance(119)
        return connect(*args, **options)

    def wrap(context: ssl.SSLContext, sock: socket.socket, *args: Any, **options: Any) -> Any:
        if not options.get("server_side"):
            limits.append(sock.gettimeout())
        return usual(context, sock, *args, **options)

    monkeypatch.setattr(connection, "create_connection", slow)
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    with Wire(answer(), tls=server) as wire, user_set(clock) as session:
        assert session.get(wire.url, verify=str(CERTIFICATE)).status_code == 200
    assert limits == [1.0]
