"""stripe with this library under it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from requests import Session

from requests_authretry import Settings, mount
from requests_authretry.cli.demo_server import DemoServer
from tests.sdks.support import TOKEN, fake, sent, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests_authretry.testing import FakeClock

pytestmark = pytest.mark.sdk("stripe")

CUSTOMER = {"id": "cus_1", "object": "customer", "name": "Ada"}


@pytest.fixture
def demo_server() -> DemoServer:
    """Stripe, with one customer."""
    return DemoServer(
        fake(dict.fromkeys(["GET /v1/customers/cus_1", "POST /v1/customers"], CUSTOMER))
    )


def test_a_call_gets_through(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 and a 429 cost one request each."""
    expected = weather(demo_server)
    assert make().v1.customers.retrieve("cus_1").name == "Ada"
    assert statuses(demo_server) == expected


def test_a_post_gets_through(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """It gives a POST an Idempotency-Key, so that it may be repeated."""
    expected = weather(demo_server)
    assert make().v1.customers.create({"name": "Ada"}).id == "cus_1"
    assert statuses(demo_server) == expected


def test_one_layer_retries(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """Its client has none unless asked: a call ends after four attempts."""
    client = make()
    demo_server.answer(503, times=6)
    with pytest.raises(Exception, match="503"):
        client.v1.customers.retrieve("cus_1")
    assert statuses(demo_server) == [503] * 4


def test_two_layers_multiply(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """Asked to retry by itself, it begins again after ours."""
    client = make()
    demo_server.answer(503, times=6)
    found = client.v1.customers.retrieve("cus_1", options={"max_network_retries": 2})
    assert found.name == "Ada"
    assert statuses(demo_server) == [503] * 6 + [200]


@pytest.fixture
def module(url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The package itself, whose functions ask here."""
    stripe = import_module("stripe")
    with Session() as session:
        mount(session, Settings(clock=clock))
        monkeypatch.setattr(stripe, "default_http_client", stripe.RequestsClient(session=session))
        monkeypatch.setattr(stripe, "api_key", TOKEN)
        monkeypatch.setattr(stripe, "api_base", url)
        yield stripe


def test_the_functions_of_the_module_multiply(module: Any, demo_server: DemoServer) -> None:
    """They retry by themselves."""
    demo_server.answer(503, times=6)
    assert module.Customer.retrieve("cus_1").name == "Ada"
    assert statuses(demo_server) == [503] * 6 + [200]


def test_the_functions_of_the_module_need_not(
    module: Any, demo_server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not where they are told not to."""
    monkeypatch.setattr(module, "max_network_retries", 0)
    demo_server.answer(503, times=6)
    with pytest.raises(Exception, match="503"):
        module.Customer.retrieve("cus_1")
    assert statuses(demo_server) == [503] * 4


def test_its_own_key_stays(make: Callable[..., Any], demo_server: DemoServer, url: str) -> None:
    """Its key is the caller's, and so is the 401."""
    demo_server.guarded = True
    client = make(setup={"token": demo_server.issue, "origins": [url]})
    with pytest.raises(Exception, match="401"):
        client.v1.customers.retrieve("cus_1")
    assert sent(demo_server) == [f"Bearer {TOKEN}"]
