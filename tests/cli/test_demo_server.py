"""The demo server in front of httpbin, asked through requests' own adapter."""

from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
import requests
from werkzeug.test import create_environ, run_wsgi_app

from requests_authretry.cli.demo_server import DemoServer, Seen, httpbin, serve
from tests.live.callers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A session as requests makes it."""
    with requests.Session() as plain:
        yield plain


def bearer(token: str) -> dict[str, str]:
    """The header that presents a token."""
    return {"Authorization": f"Bearer {token}"}


def test_an_open_demo_server_is_httpbin(httpbin_url: str, session: requests.Session) -> None:
    """With nothing set, the answers are those of the real httpbin."""
    assert session.get(f"{httpbin_url}/get", params={"a": "1"}).json()["args"] == {"a": "1"}
    assert session.get(f"{httpbin_url}/status/418").status_code == 418
    assert "Retry-After" not in session.get(f"{httpbin_url}/status/429").headers


def test_a_token_is_good_until_revoked(
    demo_server: DemoServer, httpbin_url: str, session: requests.Session
) -> None:
    """An issued token is accepted; once revoked it is challenged, and the next is accepted."""
    demo_server.guarded = True
    old = demo_server.issue()
    assert session.get(f"{httpbin_url}/bearer", headers=bearer(old)).json()["token"] == old
    demo_server.revoke()
    refused = session.get(f"{httpbin_url}/bearer", headers=bearer(old))
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="demo", error="invalid_token"'
    new = demo_server.issue()
    assert session.get(f"{httpbin_url}/bearer", headers=bearer(new)).status_code == 200
    assert [demo_server.issued, old[:9], new[:9]] == [2, "issued-1-", "issued-2-"]


@pytest.mark.parametrize("auth", [None, ("ada", "lovelace")], ids=["none", "basic"])
def test_no_error_code_without_a_bearer_token(
    demo_server: DemoServer,
    httpbin_url: str,
    session: requests.Session,
    auth: tuple[str, str] | None,
) -> None:
    """A request with no token, or another scheme, is challenged without an error (RFC 6750 3.1)."""
    demo_server.guarded = True
    refused = session.get(f"{httpbin_url}/get", auth=auth)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="demo"'


def test_canned_answers_queue_up(
    demo_server: DemoServer, httpbin_url: str, session: requests.Session
) -> None:
    """Canned answers come in the order they were given, as often as was said, then httpbin's."""
    demo_server.guarded = True
    demo_server.answer(429, [("Retry-After", "2")], times=2, body=b"slow down")
    demo_server.answer(503)
    demo_server.answer(529)
    answers = [session.get(f"{httpbin_url}/get") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [429, 429, 503, 529, 401]
    assert [answer.headers.get("Retry-After") for answer in answers[:3]] == ["2", "2", None]
    assert answers[0].content == b"slow down"
    assert answers[2].reason == "Service Unavailable"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 503), ("GET", 204), ("GET", 304)])
def test_some_answers_have_no_body(demo_server: DemoServer, method: str, status: int) -> None:
    """A canned answer to HEAD, or with a status that allows none, has no body (RFC 9110 6.4.1)."""
    demo_server.answer(status, [("Retry-After", "1")])
    body, _, headers = run_wsgi_app(demo_server, create_environ(method=method))
    assert b"".join(body) == b""
    assert dict(headers) == {"Retry-After": "1"}


def test_every_request_is_seen(
    demo_server: DemoServer, httpbin_url: str, session: requests.Session
) -> None:
    """What arrived is on record with what it got, without its credentials in the repr."""
    demo_server.answer(500)
    session.post(f"{httpbin_url}/post", data=b"12345", headers=bearer("t0ken"))
    session.get(f"{httpbin_url}/get?a=1", cookies={"flavour": "oat"})
    assert demo_server.seen == (
        Seen("POST", "/post", "Bearer t0ken", None, 5, 500),
        Seen("GET", "/get?a=1", None, "flavour=oat", 0, 200),
    )
    assert "t0ken" not in repr(demo_server.seen)
    assert "oat" not in repr(demo_server.seen)


def test_a_request_is_seen_before_its_answer(httpbin_url: str, demo_server: DemoServer) -> None:
    """A client that gave up waiting is on record, without a status."""
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{httpbin_url}/delay/10", timeout=0.2)
    wait_for(lambda: bool(demo_server.seen))  # on a slow machine it may still be on its way
    assert [seen.status for seen in demo_server.seen] == [None]


def test_connections_are_kept_alive(demo_server: DemoServer, session: requests.Session) -> None:
    """One connection serves bodies that nobody read, canned answers, HEAD, 204 and chunks alike."""
    ports = set()

    def noting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        ports.add(environ["REMOTE_PORT"])
        return demo_server(environ, start_response)

    with serve(noting) as url:
        for _ in range(10):
            demo_server.answer(503)
            assert session.post(f"{url}/post", data=b"x" * 100_000).status_code == 503
            demo_server.answer(429)
            assert session.head(f"{url}/get").content == b""
            demo_server.answer(204)
            assert session.get(f"{url}/get").content == b""
            assert session.put(f"{url}/status/200", data=b"x" * 100_000).content == b""
            chunked = session.post(f"{url}/post", data=iter([b"in ", b"parts"]))
            assert chunked.json()["data"] == "in parts"
            assert len(session.get(f"{url}/stream/2").content.splitlines()) == 2
    assert len(demo_server.seen) == 60
    assert len(ports) == 1


def test_requests_are_served_side_by_side() -> None:
    """Eight requests are inside the application at the same time."""
    together = Barrier(8)

    def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        together.wait(timeout=120)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    with serve(app) as url, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(requests.get, [url] * 8))
    assert [answer.status_code for answer in answers] == [200] * 8


def test_threads_share_a_demo_server(demo_server: DemoServer, httpbin_url: str) -> None:
    """Tokens, canned answers and the record lose nothing among 16 threads."""
    demo_server.answer(503, times=20)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(requests.get, [f"{httpbin_url}/get"] * 64))
        tokens = set(pool.map(lambda _: demo_server.issue(), range(64)))
    assert sorted(answer.status_code for answer in answers) == [200] * 44 + [503] * 20
    assert sorted(seen.status or 0 for seen in demo_server.seen) == [200] * 44 + [503] * 20
    assert len(tokens) == demo_server.issued == 64


def test_half_a_body_reaches_nobody(
    demo_server: DemoServer, httpbin_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A client that leaves in the middle of its body is not answered and not on record."""
    port = int(httpbin_url.rpartition(":")[2])
    for head in (b"Content-Length: 10\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nha"):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /post HTTP/1.1\r\nHost: x\r\n" + head)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
    assert demo_server.seen == ()
    assert capfd.readouterr().err == ""


def test_a_closed_server_is_closed(session: requests.Session) -> None:
    """After serving, new connections are refused and kept ones are gone."""
    with serve(DemoServer(httpbin())) as url:
        session.get(f"{url}/get")
    with pytest.raises(requests.ConnectionError):
        session.get(f"{url}/get")
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=60)


@pytest.mark.parametrize("missing", ["httpbin", "werkzeug.serving"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Without the extra, one line says what to install."""
    monkeypatch.setitem(sys.modules, missing, None)
    fix = r'^\S+ is not installed: pip install "requests-authretry\[demo\]"$'
    with pytest.raises(ImportError, match=fix), serve(httpbin()):
        pass
