"""twilio with this library under it."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry.cli.demo_server import DemoServer
from tests.sdks.support import TOKEN, fake, sent, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.sdk("twilio")

ACCOUNT = "AC" + "0" * 32
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages"
MESSAGE = {"sid": "SM1", "body": "hello"}
API = {f"GET {MESSAGES}/SM1.json": MESSAGE, f"POST {MESSAGES}.json": MESSAGE}


@pytest.fixture
def demo_server() -> DemoServer:
    """Twilio, with one message."""
    return DemoServer(fake(API))


@pytest.fixture
def twilio(make: Callable[..., Any], url: str) -> Callable[..., Any]:
    """The same as ``make``, for a client that asks here."""

    def made(**options: Any) -> Any:
        client = make(account=ACCOUNT, **options)
        client.api.base_url = url
        return client

    return made


def test_a_call_gets_through(twilio: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 and a 429 cost one request each."""
    expected = weather(demo_server)
    assert twilio().messages("SM1").fetch().body == "hello"
    assert statuses(demo_server) == expected


def test_one_layer_retries(twilio: Callable[..., Any], demo_server: DemoServer) -> None:
    """It has no retries of its own: a call ends after four attempts."""
    client = twilio()
    demo_server.answer(503, times=6, body=b"{}")
    with pytest.raises(Exception, match="503"):
        client.messages("SM1").fetch()
    assert statuses(demo_server) == [503] * 4


def test_a_message_is_sent_once(twilio: Callable[..., Any], demo_server: DemoServer) -> None:
    """A POST goes again after a 429, and not after a 503."""
    client = twilio()
    message = {"to": "+491", "from_": "+492", "body": "hello"}
    demo_server.answer(429)
    assert client.messages.create(**message).sid == "SM1"
    demo_server.answer(503, body=b"{}")
    with pytest.raises(Exception, match="503"):
        client.messages.create(**message)
    assert statuses(demo_server) == [429, 200, 503]


def test_its_own_password_stays(
    twilio: Callable[..., Any], demo_server: DemoServer, url: str
) -> None:
    """Its Basic credentials are the caller's, and so is the 401."""
    client = twilio(setup={"token": demo_server.issue, "origins": [url]})
    demo_server.answer(401, [("WWW-Authenticate", 'Basic realm="Twilio API"')], body=b"{}")
    with pytest.raises(Exception, match="401"):
        client.messages("SM1").fetch()
    basic = b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    assert sent(demo_server) == [f"Basic {basic}"]
