"""Hvac with this library under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry.cli.demo_server import DemoServer
from tests.sdks.support import fake, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.sdk("hvac")

SECRET = {"data": {"data": {"password": "swordfish"}, "metadata": {}}}
PATH = "/v1/secret/data/app"


@pytest.fixture
def demo_server() -> DemoServer:
    """A vault with one secret."""
    return DemoServer(fake({f"GET {PATH}": SECRET}))


def read(client: Any) -> Any:
    """Read the secret."""
    return client.secrets.kv.v2.read_secret_version("app", raise_on_deleted_version=True)


def test_a_call_gets_through(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 and a 429 cost one request each."""
    expected = weather(demo_server)
    assert read(make()) == SECRET
    assert statuses(demo_server) == expected


def test_one_layer_retries(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """It has no retries of its own: a call ends after four attempts."""
    client = make()
    demo_server.answer(503, times=6)
    with pytest.raises(Exception, match="from the server"):
        read(client)
    assert statuses(demo_server) == [503] * 4


def test_a_refusal_is_its_own(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """Vault refuses a token with 403, which is no challenge: the caller sees it at once."""
    client = make()
    demo_server.answer(403)
    with pytest.raises(Exception, match="from the server"):
        read(client)
    assert statuses(demo_server) == [403]
