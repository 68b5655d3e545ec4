"""python-gitlab with this library under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry.cli.demo_server import DemoServer
from tests.sdks.support import TOKEN, fake, sent, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_authretry.testing import FakeClock

pytestmark = pytest.mark.sdk("python-gitlab")

PROJECT = {"id": 1, "name": "one"}
WITHOUT = ", obey_rate_limit=False"


@pytest.fixture
def demo_server() -> DemoServer:
    """GitLab, with one project."""
    return DemoServer(fake({"GET /api/v4/projects/1": PROJECT}))


def test_a_call_gets_through(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 and a 429 cost one request each."""
    expected = weather(demo_server)
    assert make().projects.get(1).name == "one"
    assert statuses(demo_server) == expected


def test_one_layer_retries(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """Where the limit stays closed, the call ends after four attempts."""
    client = make()
    demo_server.answer(429, times=6)
    with pytest.raises(Exception, match="429"):
        client.projects.get(1)
    assert statuses(demo_server) == [429] * 4


def test_two_layers_multiply(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """With its own waits for limits, it begins again after ours."""
    client = make(without=WITHOUT)
    demo_server.answer(429, times=6)
    assert client.projects.get(1).name == "one"
    assert statuses(demo_server) == [429] * 6 + [200]


def test_the_limit_of_an_endpoint_is_heard(
    make: Callable[..., Any], demo_server: DemoServer, clock: FakeClock
) -> None:
    """Its 429 without a time describes another limit: with the dialect it waits for a minute."""
    other = [("RateLimit-Remaining", "595"), ("RateLimit-Reset", "5")]
    body = b'{"message": {"error": "This endpoint has been requested too many times."}}'
    demo_server.answer(429, [("Content-Type", "application/json"), *other], body=body)
    client = make(setup={"dialects": ["gitlab"]})
    assert client.projects.get(1).name == "one"
    assert statuses(demo_server) == [429, 200]
    assert clock.sleeps == [pytest.approx(60)]


def test_a_refused_token_is_renewed(
    make: Callable[..., Any], demo_server: DemoServer, url: str
) -> None:
    """Without its token, ours is sent and renewed."""
    demo_server.guarded = True
    setup = {"token": demo_server.issue, "origins": [url]}
    client = make(without=", oauth_token=token", setup=setup)
    client.projects.get(1)
    demo_server.revoke()
    assert client.projects.get(1).name == "one"
    assert statuses(demo_server) == [200, 401, 200]


def test_its_own_token_stays(make: Callable[..., Any], demo_server: DemoServer, url: str) -> None:
    """Its token is the caller's, and so is the 401."""
    demo_server.guarded = True
    client = make(setup={"token": demo_server.issue, "origins": [url]})
    with pytest.raises(Exception, match="401"):
        client.projects.get(1)
    assert sent(demo_server) == [f"Bearer {TOKEN}"]


def test_its_token_is_adopted(make: Callable[..., Any], demo_server: DemoServer, url: str) -> None:
    """With `adopt`, its token is the first, and ours takes its place once it is refused."""
    demo_server.guarded = True
    client = make(setup={"token": demo_server.issue, "origins": [url], "adopt": True})
    assert client.projects.get(1).name == "one"
    assert client.projects.get(1).name == "one"
    assert sent(demo_server)[0] == f"Bearer {TOKEN}"
    assert statuses(demo_server) == [401, 200, 200]
