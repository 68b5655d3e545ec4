"""Failures of the network: raised as in bare requests, and retried where that helps."""

from __future__ import annotations

import gc
import socket
import ssl
from dataclasses import replace
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.exceptions import (
    ChunkedEncodingError,
    ContentDecodingError,
    InvalidHeader,
    InvalidURL,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import (
    ClosedPoolError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.exceptions import SSLError as WireSSLError

from requests_authretry import Reason, RetryPolicy, attempts
from requests_authretry._call.translate import body_error
from tests.support.sessions import API, AT_ONCE, SECRET, Rig, raised, real
from tests.support.wire import Wire, answer, fin, refusing, rst, says, silence, unanswering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.support.wire import Action

TWICE = RetryPolicy(max_attempts=2, backoff=AT_ONCE)
FORGOTTEN = "ignore::pytest.PytestUnraisableExceptionWarning"
CERTIFICATE = Path(__file__).parents[1] / "support" / "self_signed.pem"


def compared(url: str, **options: Any) -> tuple[Exception, Exception, list[Reason]]:
    """Return the exceptions of bare requests and ours (two attempts at most), and the reasons."""
    with requests.Session() as bare, real(retry=TWICE) as session:
        usual, ours = raised(bare, url, **options), raised(session, url, **options)
    return usual, ours, [attempt.reason for attempt in attempts(ours)]


def alike(usual: Exception, ours: Exception) -> bool:
    """Whether both have one type and text, apart from addresses of objects and ports."""
    causes = [type(cause) for cause in usual.args], [type(cause) for cause in ours.args]
    return type(usual) is type(ours) and causes[0] == causes[1]


BROKEN: dict[str, Action] = {
    "reset": says(end=rst),
    "hung up": says(end=fin),
    "garbled": says(b"SPAM eggs\r\n\r\n", end=fin),
    "torn status line": says(b"HTTP/1.1 2", end=fin),
    "too many headers": says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", end=fin),
    "endless header": says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, end=fin),
}


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer(line: Action) -> None:
    """A connection that brings no answer is tried again, then raised as in bare requests."""
    with Wire(line, line, line) as wire:
        usual, ours, reasons = compared(wire.url)
        assert wire.left == 0
    assert alike(usual, ours)
    assert reasons == [Reason.LOST, Reason.ATTEMPTS_EXHAUSTED]


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_can_be_cured(line: Action) -> None:
    """The second attempt uses a new connection and brings the answer."""
    with Wire(line, answer(200, b"here")) as wire, real() as session:
        assert session.get(wire.url).content == b"here"
        assert wire.connections == 2


@pytest.mark.parametrize(
    ("nobody", "timeout", "kind"),
    [
        (refusing, 5, requests.ConnectionError),
        (unanswering, 0.1, requests.ConnectTimeout),
        (unanswering, (0.1, 5), requests.ConnectTimeout),
    ],
    ids=["refused", "no answer", "no answer to connect"],
)
def test_nobody_there(nobody: Any, timeout: Any, kind: type[Exception]) -> None:
    """A refused connection means that nothing was sent, and the reason says so."""
    there: AbstractContextManager[str] = nobody()
    with there as url:
        usual, ours, reasons = compared(url, timeout=timeout)
    assert type(ours) is kind
    assert alike(usual, ours)
    assert reasons == [Reason.UNREACHABLE, Reason.ATTEMPTS_EXHAUSTED]


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that cannot be resolved is unreachable."""

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    usual, ours, reasons = compared("http://nobody.invalid/")
    assert type(ours) is requests.ConnectionError
    assert alike(usual, ours)
    assert reasons == [Reason.UNREACHABLE, Reason.ATTEMPTS_EXHAUSTED]


def test_a_silent_server() -> None:
    """A GET is tried again after a read timeout, which is then raised unchanged."""
    with Wire(silence(), silence(), silence()) as wire:
        usual, ours, reasons = compared(wire.url, timeout=(60, 0.05))
    assert type(ours) is requests.ReadTimeout
    assert alike(usual, ours)
    assert reasons == [Reason.LOST, Reason.ATTEMPTS_EXHAUSTED]


def test_a_certificate_that_nobody_trusts() -> None:
    """An untrusted certificate is not tried again: one connection, one exception."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with Wire(answer(), tls=context) as wire:
        usual, ours, reasons = compared(wire.url)
        assert wire.connections == 2  # one of them is that of bare requests
    assert type(ours) is SSLError
    assert alike(usual, ours)
    assert reasons == [Reason.FATAL]


def test_a_certificate_that_is_trusted() -> None:
    """TLS works with that certificate as authority, for retries and renewals too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with Wire(says(end=fin), answer(503), answer(200, b"here"), tls=context) as wire:
        with real(token=SECRET, origins=[wire.url]) as session:
            assert session.get(wire.url, verify=str(CERTIFICATE)).content == b"here"
        assert {seen.headers["Authorization"] for seen in wire.arrived} == {f"Bearer {SECRET}"}


def test_a_tls_connection_that_is_cut() -> None:
    """A TLS connection reset after the request is a lost connection, not a bad certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with Wire(says(end=rst), answer(), tls=context) as wire, real() as session:
        response = session.get(wire.url, verify=str(CERTIFICATE))
    assert [attempt.reason for attempt in attempts(response)] == [Reason.LOST, Reason.FINAL]


@pytest.fixture
def tunnels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Allow proxies; urllib3 1.26 forgets the socket of a tunnel that was refused."""
    monkeypatch.delenv("NO_PROXY")
    yield
    gc.collect()


@pytest.mark.usefixtures("tunnels")
@pytest.mark.filterwarnings(FORGOTTEN)
def test_a_proxy_that_wants_a_password() -> None:
    """A 407 to CONNECT is an exception, not an answer, and is not retried."""
    denied = says(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", end=fin)
    with Wire(denied, denied) as wire:
        usual, ours, reasons = compared(API, proxies={"https": wire.url})
        assert {seen.method for seen in wire.arrived} == {"CONNECT"}
    assert type(ours) is ProxyError
    assert alike(usual, ours)
    assert reasons == [Reason.FATAL]


@pytest.mark.usefixtures("tunnels")
@pytest.mark.filterwarnings(FORGOTTEN)
def test_a_proxy_never_sees_the_token_of_a_tunnel() -> None:
    """A CONNECT does not carry our token."""
    denied = says(b"HTTP/1.1 403 Not for you\r\nContent-Length: 0\r\n\r\n", end=fin)
    with Wire(denied) as wire, real(token=SECRET, origins=[API]) as session:
        raised(session, API, proxies={"https": wire.url})
        [seen] = wire.arrived
    assert "Authorization" not in seen.headers


@pytest.mark.usefixtures("tunnels")
@pytest.mark.filterwarnings(FORGOTTEN)
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_proxy_that_cannot_open_the_tunnel_now(status: int) -> None:
    """A CONNECT answered 5xx or 429 brought the server nothing: a POST goes again, too."""
    busy = says(b"HTTP/1.1 %d Busy\r\nContent-Length: 0\r\n\r\n" % status, end=fin)
    with Wire(busy, busy) as wire, requests.Session() as bare, real(retry=TWICE) as session:
        error = raised(session, API, "POST", proxies={"https": wire.url})
        assert [seen.method for seen in wire.arrived] == ["CONNECT"] * 2
        wire.then(busy)
        assert alike(raised(bare, API, "POST", proxies={"https": wire.url}), error)
    reasons = [attempt.reason for attempt in attempts(error)]
    assert reasons == [Reason.UNREACHABLE, Reason.ATTEMPTS_EXHAUSTED]


@pytest.mark.usefixtures("tunnels")
@pytest.mark.filterwarnings(FORGOTTEN)
@pytest.mark.parametrize("status", [400, 403, 404, 407])
def test_a_proxy_that_refuses_the_tunnel_for_good(status: int) -> None:
    """Any other answer to CONNECT stays the same if it is asked for again: it is not."""
    denied = says(b"HTTP/1.1 %d 503 No\r\nContent-Length: 0\r\n\r\n" % status, end=fin)
    with Wire(denied, denied) as wire, real(retry=TWICE) as session:
        error = raised(session, API, proxies={"https": wire.url})
        assert wire.left == 1
    assert [attempt.reason for attempt in attempts(error)] == [Reason.FATAL]


@pytest.mark.usefixtures("tunnels")
@pytest.mark.filterwarnings(FORGOTTEN)
@pytest.mark.parametrize("end", [fin, rst])
@pytest.mark.parametrize("policy", [TWICE, replace(TWICE, deadline=100)], ids=["default", "set"])
def test_a_proxy_that_drops_the_connection_before_it_answers_connect(
    end: Any, policy: RetryPolicy
) -> None:
    """A CONNECT without an answer brought the server nothing: a POST goes again, too."""
    with Wire(says(end=end), says(end=end)) as wire, real(retry=policy) as session:
        error = raised(session, API, "POST", proxies={"https": wire.url})
        assert [seen.method for seen in wire.arrived] == ["CONNECT"] * 2
    reasons = [attempt.reason for attempt in attempts(error)]
    assert reasons == [Reason.UNREACHABLE, Reason.ATTEMPTS_EXHAUSTED]


@pytest.mark.usefixtures("tunnels")
@pytest.mark.parametrize("end", [fin, rst])
def test_a_forward_proxy_that_drops_the_connection(end: Any) -> None:
    """A request that a proxy lost may have been processed: a GET goes again, a POST does not."""
    dropped, url = says(end=end), "http://api.example.com/"
    with Wire(dropped, answer(200, b"here"), dropped, answer()) as wire, real() as session:
        response = session.get(url, proxies={"http": wire.url})
        assert response.content == b"here"
        error = raised(session, url, "POST", proxies={"http": wire.url})
        assert wire.left == 1
    assert attempts(response)[0].reason is Reason.LOST
    assert [attempt.reason for attempt in attempts(error)] == [Reason.NOT_IDEMPOTENT]


class CutsFirst(ssl.SSLContext):
    """Ends the first connection in the middle of its handshake."""

    how = staticmethod(fin)
    has_cut = False

    def wrap_socket(self, sock: Any, *args: Any, **options: Any) -> Any:
        """Read the client's first message, and say nothing."""
        if self.has_cut:
            return super().wrap_socket(sock, *args, **options)
        self.has_cut = True
        sock.recv(65_536)
        self.how(sock)
        sock.close()
        here, there = socket.socketpair()
        there.close()
        return here


@pytest.mark.parametrize("how", [fin, rst])
def test_a_tls_handshake_that_is_cut(how: Any) -> None:
    """A connection that ends before the handshake does has sent nothing: a POST goes again."""
    context = CutsFirst(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    context.how = how
    with Wire(answer(200, b"here"), tls=context) as wire, real() as session:
        response = session.post(wire.url, data=b"order", verify=str(CERTIFICATE))
    assert response.content == b"here"
    assert [attempt.reason for attempt in attempts(response)] == [Reason.UNREACHABLE, Reason.FINAL]


@pytest.mark.usefixtures("tunnels")
def test_a_proxy_that_is_down() -> None:
    """A proxy that refuses the connection received nothing, so the request is tried again."""
    with refusing() as url:
        usual, ours, reasons = compared("http://api.example.com/", proxies={"http": url})
    assert type(ours) is ProxyError
    assert alike(usual, ours)
    assert reasons == [Reason.UNREACHABLE, Reason.ATTEMPTS_EXHAUSTED]


@pytest.mark.parametrize("url", ["http://", "nonsense", "http://.example.com", "ftp://127.0.0.1/"])
def test_a_bad_url(url: str) -> None:
    """A URL that requests refuses before the adapter is refused as in bare requests."""
    with requests.Session() as bare, real() as session:
        usual, ours = raised(bare, url), raised(session, url)
    assert (type(ours), str(ours)) == (type(usual), str(usual))


FAILURES: list[tuple[Exception, Reason]] = [
    (InvalidURL("no host"), Reason.FATAL),
    (InvalidHeader("line break"), Reason.FATAL),
    (requests.RequestException("of an unknown kind"), Reason.FATAL),
    (requests.HTTPError("raised by an adapter"), Reason.FATAL),
    (requests.TooManyRedirects("in an adapter"), Reason.FATAL),
    (SSLError(MaxRetryError(None, "/", WireSSLError("bad"))), Reason.FATAL),  # type: ignore[arg-type]
    (ProxyError(MaxRetryError(None, "/", OSError("407"))), Reason.FATAL),  # type: ignore[arg-type]
    (requests.ConnectionError(ClosedPoolError(None, "closed")), Reason.FATAL),  # type: ignore[arg-type]
    (ContentDecodingError("bad gzip"), Reason.FATAL),
    (requests.ConnectionError(), Reason.LOST),
    (requests.ConnectionError("of a mock, with a str"), Reason.LOST),
    (requests.ConnectionError(ProtocolError("x", ConnectionResetError())), Reason.LOST),
    (requests.Timeout(), Reason.LOST),
    (requests.ReadTimeout(), Reason.LOST),
    (ChunkedEncodingError(), Reason.LOST),
    (SSLError(MaxRetryError(None, "/", ssl.SSLEOFError())), Reason.LOST),  # type: ignore[arg-type]
    (requests.ConnectTimeout(), Reason.UNREACHABLE),
    (requests.ConnectionError(ConnectionRefusedError()), Reason.UNREACHABLE),
    (
        requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "x"))),  # type: ignore[arg-type]
        Reason.UNREACHABLE,
    ),
]


@pytest.mark.parametrize(("error", "reason"), FAILURES, ids=[repr(e)[:40] for e, _ in FAILURES])
def test_what_kind_a_failure_is(error: requests.RequestException, reason: Reason) -> None:
    """Fatal failures are raised at once, others are retried; the exception is not wrapped."""
    rig = Rig(error, error, retry=TWICE)
    with pytest.raises(type(error)) as caught:
        rig.get()
    assert caught.value is error
    assert attempts(error)[0].reason is reason
    assert (len(rig.inner.sent) == 1) == (reason is Reason.FATAL)


def test_an_exception_that_goes_round_in_circles() -> None:
    """A circular chain of causes is searched up to a bound."""
    error = requests.ConnectionError()
    error.args = (error,)
    rig = Rig(error, 200)
    assert rig.get().status_code == 200


@pytest.mark.parametrize(
    "error", [HTTPError("raw"), IncompleteRead(b""), HTTPException("raw"), ProtocolError("raw")]
)
def test_what_is_none_of_requests_becomes_one(error: Exception) -> None:
    """Raw errors of urllib3 and http.client from an adapter become ConnectionErrors."""
    rig = Rig(error, error, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(requests.ConnectionError) as caught:
        rig.get()
    assert type(caught.value) is requests.ConnectionError
    assert caught.value.args == (error,)
    assert caught.value.request is not None


@pytest.mark.parametrize("error", [TypeError("x"), ValueError("x"), OSError("x"), KeyError("x")])
def test_foreign_exceptions_are_left_alone(error: Exception) -> None:
    """An exception that has nothing to do with the network is raised unchanged, after one send."""
    rig = Rig(error, 200)
    with pytest.raises(type(error)) as caught:
        rig.get()
    assert caught.value is error
    assert len(rig.inner.sent) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_who_wants_out_gets_out(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that ends a program is neither delayed nor retried."""
    rig = Rig(200)

    def send(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(rig.inner, "send", send)
    with pytest.raises(type(error)):
        rig.get()


def test_errors_of_a_body_are_those_of_requests() -> None:
    """Each error of urllib3 while reading a body becomes the error that `iter_content` raises."""
    timeout = ReadTimeoutError(None, "/", "slow")  # type: ignore[arg-type]
    assert type(body_error(timeout)) is requests.ConnectionError
    assert type(body_error(WireSSLError("bad record"))) is SSLError
    assert body_error(TypeError()) is None


def test_the_request_of_an_exception_is_the_callers() -> None:
    """`error.request` is the very request that the caller sent, without a token."""
    with refusing() as url, real(token=SECRET, origins=[url], retry=TWICE) as session:
        prepared = session.prepare_request(requests.Request("GET", url))
        with pytest.raises(requests.ConnectionError) as caught:
            session.send(prepared)
    assert caught.value.request is prepared
    assert "Authorization" not in prepared.headers
