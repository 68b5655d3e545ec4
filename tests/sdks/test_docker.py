"""Docker's `APIClient` with this library under it."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.serving import make_server

from requests_authretry.cli.demo_server import DemoServer
from tests.sdks.support import fake, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.sdk("docker")

CONTAINERS = [{"Id": "c1", "Names": ["/web"]}]
API = {"GET /v1.43/containers/json": CONTAINERS, "POST /v1.43/containers/c1/start": {}}


@pytest.fixture
def demo_server() -> DemoServer:
    """A daemon with one container."""
    return DemoServer(fake(API))


def test_a_call_gets_through(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 and a 429 cost one request each."""
    expected = weather(demo_server)
    assert make().api.containers() == CONTAINERS
    assert statuses(demo_server) == expected


def test_one_layer_retries(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """It has no retries of its own: a call ends after four attempts."""
    client = make()
    demo_server.answer(503, times=6)
    with pytest.raises(Exception, match="503"):
        client.api.containers()
    assert statuses(demo_server) == [503] * 4


def test_a_post_is_not_repeated(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """What the daemon may have done already is not asked for again."""
    client = make()
    demo_server.answer(503)
    with pytest.raises(Exception, match="503"):
        client.api.start("c1")
    assert statuses(demo_server) == [503]


def test_a_refused_token_is_renewed(
    make: Callable[..., Any], demo_server: DemoServer, url: str
) -> None:
    """It has no token of its own for the API: ours is sent and renewed."""
    demo_server.guarded = True
    client = make(setup={"token": demo_server.issue, "origins": [url]})
    client.api.containers()
    demo_server.revoke()
    assert client.api.containers() == CONTAINERS
    assert statuses(demo_server) == [200, 401, 200]


def test_a_unix_socket(make: Callable[..., Any], demo_server: DemoServer, tmp_path: Path) -> None:
    """The adapter with which it reaches a daemon on this machine is wrapped as well."""
    socket = f"unix://{tmp_path}/docker.sock"
    server = make_server(socket, 0, demo_server, threaded=True)
    serving = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    expected = weather(demo_server)
    try:
        assert make(url=socket).api.containers() == CONTAINERS
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert statuses(demo_server) == expected
