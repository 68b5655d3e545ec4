"""twilio with this library under it."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry.cli.demo_server import Gate
from tests.sdks.support import TOKEN, fake, sent, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.sdk("twilio")

ACCOUNT = "AC" + "0" * 32
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages"
MESSAGE = {"sid": "SM1", "body": "hello"}
API = {f"GET {MESSAGES}/SM1.json": MESSAGE, f"POST {MESSAGES}.json": MESSAGE}


@pytest.fixture
def gate() -> Gate:
    """Twilio, with one message."""
    return Gate(fake(API))


@pytest.fixture
def twilio(make: Callable[..., Any], url: str) -> Callable[..., Any]:
    """The same as ``make``, for a client that asks here."""

    def made(**options: Any) -> Any:
        client = make(account=ACCOUNT, **options)
        client.api.base_url = url
        return client

    return made


def test_a_call_gets_through(twilio: Callable[..., Any], gate: Gate) -> None:
    """A 503 and a 429 cost one request each."""
    expected = weather(gate)
    assert twilio().messages("SM1").fetch().body == "hello"
    assert statuses(gate) == expected


def test_one_layer_retries(twilio: Callable[..., Any], gate: Gate) -> None:
    """It has no retries of its own: a call ends after four attempts."""
    client = twilio()
    gate.answer(503, times=6, body=b"{}")
    with pytest.raises(Exception, match="503"):
        client.messages("SM1").fetch()
    assert statuses(gate) == [503] * 4


def test_a_message_is_sent_once(twilio: Callable[..., Any], gate: Gate) -> None:
    """A POST goes again after a 429, and not after a 503."""
    client = twilio()
    message = {"to": "+491", "from_": "+492", "body": "hello"}
    gate.answer(429)
    assert client.messages.create(**message).sid == "SM1"
    gate.answer(503, body=b"{}")
    with pytest.raises(Exception, match="503"):
        client.messages.create(**message)
    assert statuses(gate) == [429, 200, 503]


def test_its_own_password_stays(twilio: Callable[..., Any], gate: Gate, url: str) -> None:
    """Its Basic credentials are the caller's, and so is the 401."""
    client = twilio(setup={"token": gate.issue, "origins": [url]})
    gate.answer(401, [("WWW-Authenticate", 'Basic realm="Twilio API"')], body=b"{}")
    with pytest.raises(Exception, match="401"):
        client.messages("SM1").fetch()
    basic = b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    assert sent(gate) == [f"Basic {basic}"]
