"""A server that answers as an API does."""

from __future__ import annotations

from socket import SHUT_WR, create_connection
from threading import Thread

import pytest
import requests

from requests_authretry import ConfigurationError
from requests_authretry.dialects import named
from requests_authretry.testing import DialectServer


def test_the_script_is_answered_in_order() -> None:
    """A verdict, the words of a sample and a status code; then each answer is a 200."""
    with DialectServer("github", "throttled", "a permission is missing", 503) as server:
        answers = [requests.get(f"{server.url}/x", timeout=60) for _ in range(5)]
    assert [each.status_code for each in answers] == [403, 403, 503, 200, 200]
    assert "secondary rate limit" in answers[0].json()["message"]
    assert answers[0].headers["X-RateLimit-Remaining"] == "4990"
    assert answers[1].json() == {"message": "Must have admin rights to Repository."}
    assert answers[4].json() == {}


def test_more_can_be_played_later() -> None:
    """``play`` adds to the end of the script."""
    with DialectServer("github", 500) as server:
        server.play(501, 502)
        codes = [requests.get(server.url, timeout=60).status_code for _ in range(4)]
    assert codes == [500, 501, 502, 200]


def test_what_was_received_is_kept() -> None:
    """Method, path with its query, headers and body of each request, in order."""
    with DialectServer("slack") as server, requests.Session() as session:
        session.post(f"{server.url}/api/x?a=b", data=b"body", headers={"X-A": "1"}, timeout=60)
        session.head(f"{server.url}/y", timeout=60)
        session.put(f"{server.url}/z", data=iter([b"chunk"]), timeout=60)
        session.get(f"{server.url}/end", timeout=60)
    first = server.received[0]
    assert (first.method, first.path, first.body) == ("POST", "/api/x?a=b", b"body")
    assert first.headers["X-A"] == "1"
    assert [each.method for each in server.received] == ["POST", "HEAD", "PUT", "GET"]
    assert repr(server) == "<DialectServer slack: 4 received>"


def test_a_body_that_is_sent_in_chunks_is_kept() -> None:
    """A generator is received whole, and the connection goes on."""
    with DialectServer("github") as server, requests.Session() as session:
        for _ in range(2):
            session.post(server.url, data=iter([b"ab", b"c" * 20]))
        assert [each.body for each in server.received] == [b"ab" + b"c" * 20] * 2


def test_the_trailer_of_a_chunked_body_is_read() -> None:
    """The next request on the connection begins behind it."""
    chunked = (
        b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-A: b\r\n\r\n"
    )
    with DialectServer("github") as server:
        host, port = server.url.removeprefix("http://").split(":")
        with create_connection((host, int(port))) as client:
            client.sendall(chunked + b"GET /b HTTP/1.1\r\n\r\n")
            client.shutdown(SHUT_WR)
            while client.recv(4096):
                pass
    assert [(each.path, each.body) for each in server.received] == [("/a", b"ab"), ("/b", b"")]


def test_a_client_that_hangs_up_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    """A request that breaks off, or makes no sense, leaves nothing on the terminal."""
    with DialectServer("github") as server:
        host, port = server.url.removeprefix("http://").split(":")
        for start in (b"Content-Length: 9", b"Content-Length: x", b"Transfer-Encoding: chunked"):
            with create_connection((host, int(port))) as client:
                client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + start + b"\r\n\r\nzz\r\n")
        assert requests.get(server.url, timeout=60).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_an_answer_without_a_body_has_none() -> None:
    """A 204 ends with its headers, and the connection serves the next request."""
    with DialectServer("slack", 204, 304) as server, requests.Session() as session:
        answers = [session.get(server.url, timeout=60) for _ in range(3)]
    assert [each.status_code for each in answers] == [204, 304, 200]
    assert [each.content for each in answers] == [b"", b"", b"{}"]


def test_threads_share_a_script() -> None:
    """Each item is answered once, however many threads ask."""
    with DialectServer("github", *[500] * 8, *[501] * 8) as server:
        codes: list[int] = []

        def ask() -> None:
            codes.extend(requests.get(server.url, timeout=60).status_code for _ in range(4))

        threads = [Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(codes) == [500] * 8 + [501] * 8


def test_a_dialect_of_ones_own_is_served() -> None:
    """An object of `Dialect` in place of a name."""
    with DialectServer(named("slack"), "expired") as server:
        answer = requests.get(server.url, timeout=60)
    assert answer.json()["error"] == "token_expired"


@pytest.mark.parametrize(
    ("dialect", "script", "said"),
    [
        ("githb", [], "'githb', which is unknown; did you mean 'github'"),
        (5, [], "dialects takes names and objects of Dialect, not int"),
        ("github", ["throtled"], "'throtled' is no sample of github; did you mean 'throttled'"),
        (
            "github",
            ["xyzzy"],
            "there are 'throttled', 'secondary limit, no time', 'secondary limit with",
        ),
        ("github", [42], "takes samples, verdicts and status codes, not 42"),
        ("github", [True], "takes samples, verdicts and status codes, not True"),
        ("github", [None], "takes samples, verdicts and status codes, not None"),
    ],
)
def test_a_wrong_script_is_refused(dialect: str, script: list[str], said: str) -> None:
    """The error names the nearest sample, or all of them."""
    with pytest.raises(ConfigurationError) as raised:
        DialectServer(dialect, *script)
    assert said in str(raised.value)


def test_a_server_has_an_address_while_it_runs() -> None:
    """Before and after the block there is none, and the error says what to write."""
    server = DialectServer("github")
    with pytest.raises(RuntimeError, match="write with DialectServer"):
        _ = server.url
    with server:
        assert server.url.startswith("http://127.0.0.1:")
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.url
    server.__exit__()  # once more does no harm
