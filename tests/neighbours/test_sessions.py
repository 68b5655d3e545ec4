"""requests-toolbelt, requests-oauthlib, requests-futures and requests-ratelimiter."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

import requests
from requests_futures.sessions import FuturesSession
from requests_oauthlib import OAuth2Session  # type: ignore[import-untyped]
from requests_ratelimiter import LimiterAdapter, LimiterSession
from requests_toolbelt import MultipartEncoder, MultipartEncoderMonitor
from requests_toolbelt.adapters.source import SourceAddressAdapter
from requests_toolbelt.sessions import BaseUrlSession
from requests_toolbelt.threaded import pool

if TYPE_CHECKING:
    import pytest

    from requests_authretry.cli.demo_server import DemoServer
    from tests.neighbours.conftest import Way


def statuses(demo_server: DemoServer) -> list[int | None]:
    """What the server answered."""
    return [request.status for request in demo_server.seen]


def test_toolbelt_sessions_and_adapters(
    way: Way, demo_server: DemoServer, httpbin_url: str
) -> None:
    """A session with a base URL and an adapter with a source address go on as they were."""
    demo_server.answer(503)
    with BaseUrlSession(base_url=httpbin_url) as session:
        session.mount("http://", SourceAddressAdapter("127.0.0.1"))
        way(session)
        assert session.get("/get").status_code == 200
    assert statuses(demo_server) == [503, 200]


def test_toolbelt_bodies_go_again_with_a_buffer(
    way: Way, demo_server: DemoServer, httpbin_url: str
) -> None:
    """Its multipart bodies cannot be wound back: with `buffer_bodies` they are sent whole again."""
    from requests_authretry import Backoff, RetryPolicy

    demo_server.answer(429)
    parts: dict[str, Any] = {"file": ("a.txt", io.BytesIO(b"x" * 100_000), "text/plain")}
    body = MultipartEncoder({"name": "Ada", **parts})
    retry = RetryPolicy(
        backoff=Backoff(initial=0.0, throttled_initial=0.0, unreachable_initial=0.0),
        buffer_bodies=10**6,
    )
    with requests.Session() as session:
        way(session, retry=retry)
        headers = {"Content-Type": body.content_type}
        response = session.post(f"{httpbin_url}/post", data=body, headers=headers)
    assert statuses(demo_server) == [429, 200]
    assert response.json()["form"] == {"name": "Ada"}
    assert response.json()["files"] == {"file": "x" * 100_000}


def test_toolbelt_bodies_are_not_sent_by_half(
    way: Way, demo_server: DemoServer, httpbin_url: str
) -> None:
    """Without it the first answer stands, and nothing empty is sent."""
    demo_server.answer(429)
    encoder = MultipartEncoder({"name": "Ada"})
    body = MultipartEncoderMonitor(encoder, lambda _: None)
    with requests.Session() as session:
        way(session)
        headers = {"Content-Type": body.content_type}
        answer = session.post(f"{httpbin_url}/post", data=body, headers=headers)
    assert (answer.status_code, statuses(demo_server)) == (429, [429])


def test_toolbelt_threads(way: Way, demo_server: DemoServer, httpbin_url: str) -> None:
    """Its pool of threads sends through sessions that it is given."""
    for _ in range(3):  # one of them may meet them all
        demo_server.answer(503)
    is_built = threading.Event()

    def wait(_: requests.Response, **__: object) -> None:
        """Its threads start before they have the queue they answer to."""
        assert is_built.wait(120)

    def initializer(session: requests.Session) -> requests.Session:
        way(session)
        session.hooks["response"].append(wait)
        return session

    threads = pool.Pool.from_urls(
        [f"{httpbin_url}/get"] * 10, num_processes=2, initializer=initializer
    )
    is_built.set()
    threads.join_all()
    assert [answer.status_code for answer in threads.responses()] == [200] * 10
    assert statuses(demo_server).count(503) == 3


def test_oauthlib_keeps_its_own_token(
    way: Way, demo_server: DemoServer, httpbin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session signs by itself: ours retries, and leaves its header and its 401 alone."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    demo_server.guarded = True
    demo_server.answer(503)
    token = demo_server.issue()
    with OAuth2Session(token={"access_token": token, "token_type": "Bearer"}) as session:
        way(session, token="other", origins=[httpbin_url])
        url = f"{httpbin_url}/bearer"
        assert session.get(url).status_code == 200
        demo_server.revoke()
        assert session.get(url).status_code == 401
    assert statuses(demo_server) == [503, 200, 401]


def test_futures(way: Way, demo_server: DemoServer, httpbin_url: str) -> None:
    """Each of its threads has the loop."""
    for _ in range(3):  # one of them may meet them all
        demo_server.answer(503)
    with FuturesSession(max_workers=4) as session:
        way(session)
        futures = [session.get(f"{httpbin_url}/get") for _ in range(12)]
        assert {future.result().status_code for future in futures} == {200}
    assert statuses(demo_server).count(503) == 3


def test_ratelimiter_counts_every_attempt(
    way: Way, demo_server: DemoServer, httpbin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its adapter is below ours, so that retries are limited too; its session is above."""
    demo_server.answer(503)
    demo_server.answer(503)
    counted: list[str] = []
    real = LimiterAdapter.send

    def send(adapter: Any, request: requests.PreparedRequest, **options: Any) -> Any:
        counted.append(request.url or "")
        return real(adapter, request, **options)

    monkeypatch.setattr(LimiterAdapter, "send", send)
    with requests.Session() as session:
        session.mount("http://", LimiterAdapter(per_second=1000))
        way(session)
        assert session.get(f"{httpbin_url}/get").status_code == 200
    assert len(counted) == 3
    demo_server.answer(503)
    with LimiterSession(per_second=1000) as session:
        way(session)
        assert session.get(f"{httpbin_url}/get").status_code == 200
    assert statuses(demo_server)[3:] == [503, 200]
