"""requests-cache and CacheControl: a hit is no attempt, a miss is retried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cachecontrol
import requests
import requests_cache

from requests_authretry import AuthRetryAdapter, attempts, mount

if TYPE_CHECKING:
    from requests_authretry.cli.demo_server import DemoServer
    from tests.neighbours.conftest import Way


def statuses(demo_server: DemoServer) -> list[int | None]:
    """What the server answered."""
    return [request.status for request in demo_server.seen]


def test_requests_cache(way: Way, demo_server: DemoServer, httpbin_url: str) -> None:
    """Its session looks first; what it does not have goes through the loop, and is kept."""
    demo_server.answer(503)
    demo_server.answer(503)
    hooked: list[int] = []
    with requests_cache.CachedSession(backend="memory") as session:
        session.hooks["response"].append(lambda response, **_: hooked.append(response.status_code))
        way(session)
        first = session.get(f"{httpbin_url}/get")
        again = session.get(f"{httpbin_url}/get")
    assert (first.status_code, again.status_code, again.from_cache) == (200, 200, True)
    assert statuses(demo_server) == [503, 503, 200]
    assert len(attempts(first)) == 3
    assert hooked.count(503) == 0


def test_requests_cache_with_a_token(way: Way, demo_server: DemoServer, httpbin_url: str) -> None:
    """A revoked token is renewed, and the cache keeps the answer and not the 401."""
    demo_server.guarded = True
    first = demo_server.issue()
    demo_server.revoke()
    tokens = iter([first, demo_server.issue()])
    with requests_cache.CachedSession(backend="memory") as session:
        way(session, token=lambda: next(tokens), origins=[httpbin_url])
        assert session.get(f"{httpbin_url}/bearer").status_code == 200
        assert session.get(f"{httpbin_url}/bearer").from_cache
    assert statuses(demo_server) == [401, 200]


def test_cachecontrol(way: Way, demo_server: DemoServer, httpbin_url: str) -> None:
    """Its adapters look first, below ours: a hit reaches no server."""
    demo_server.answer(503)
    with cachecontrol.CacheControl(requests.Session()) as session:
        way(session)
        for _ in range(2):
            assert session.get(f"{httpbin_url}/cache/60").status_code == 200
    assert statuses(demo_server) == [503, 200]


def test_cachecontrol_comes_first() -> None:
    """It puts adapters of its own in the place of ours, so `mount` comes after it."""
    with requests.Session() as session:
        mount(session)
        cachecontrol.CacheControl(session)
        assert not isinstance(session.get_adapter("https://"), AuthRetryAdapter)
