"""spotipy with this library under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry.cli.demo_server import DemoServer
from tests.sdks.support import fake, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.sdk("spotipy")

TRACK = {"id": "t1", "name": "one"}


@pytest.fixture
def demo_server() -> DemoServer:
    """Spotify, with one track."""
    return DemoServer(fake({"GET /v1/tracks/t1": TRACK}))


@pytest.fixture
def spotify(make: Callable[..., Any], url: str) -> Callable[..., Any]:
    """The same as ``make``, for a client that asks here."""

    def made(**options: Any) -> Any:
        client = make(**options)
        client.prefix = f"{url}/v1/"
        return client

    return made


def test_a_call_gets_through(spotify: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 and a 429 cost one request each."""
    expected = weather(demo_server)
    assert spotify().track("t1") == TRACK
    assert statuses(demo_server) == expected


def test_one_layer_retries(spotify: Callable[..., Any], demo_server: DemoServer) -> None:
    """Its own retries are its adapter's, and off under ours: a call ends after four attempts."""
    client = spotify()
    demo_server.answer(503, times=6)
    with pytest.raises(Exception, match=r"^http status: 503"):
        client.track("t1")
    assert statuses(demo_server) == [503] * 4


def test_a_refused_token_is_renewed(
    spotify: Callable[..., Any], demo_server: DemoServer, url: str
) -> None:
    """Without its token, ours is sent and renewed."""
    demo_server.guarded = True
    client = spotify(token=None, setup={"token": demo_server.issue, "origins": [url]})
    client.track("t1")
    demo_server.revoke()
    assert client.track("t1") == TRACK
    assert statuses(demo_server) == [200, 401, 200]
