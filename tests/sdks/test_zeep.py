"""zeep with this library under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import RetryPolicy
from requests_authretry.cli.demo_server import DemoServer
from tests.sdks.support import fake, statuses

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.sdk("zeep")

WSDL = """<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:t="urn:hello"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xsd="http://www.w3.org/2001/XMLSchema"
    targetNamespace="urn:hello">
  <message name="Ask"><part name="name" type="xsd:string"/></message>
  <message name="Answer"><part name="text" type="xsd:string"/></message>
  <portType name="Port"><operation name="hello">
    <input message="t:Ask"/><output message="t:Answer"/>
  </operation></portType>
  <binding name="Binding" type="t:Port">
    <soap:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="hello"><soap:operation soapAction="hello"/>
      <input><soap:body use="literal" namespace="urn:hello"/></input>
      <output><soap:body use="literal" namespace="urn:hello"/></output>
    </operation>
  </binding>
  <service name="Hello"><port name="Port" binding="t:Binding">
    <soap:address location="URLhello"/>
  </port></service>
</definitions>"""
ANSWER = """<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>
  <h:helloResponse xmlns:h="urn:hello"><text>Hello, Ada</text></h:helloResponse>
</e:Body></e:Envelope>"""


@pytest.fixture
def demo_server() -> DemoServer:
    """A service with one operation."""
    return DemoServer(fake({"GET /hello": WSDL, "POST /hello": ANSWER}))


def test_a_call_gets_through(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 for its WSDL and a 429 for an operation cost one request each."""
    demo_server.answer(503)
    client = make()
    demo_server.answer(429, [("Retry-After", "1")])
    assert client.service.hello("Ada") == "Hello, Ada"
    assert statuses(demo_server) == [503, 200, 429, 200]


def test_an_operation_is_not_repeated(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """What the service may have done already is not asked for again."""
    client = make()
    demo_server.answer(503)
    with pytest.raises(Exception, match="503"):
        client.service.hello("Ada")
    assert statuses(demo_server) == [200, 503]


def test_one_layer_retries(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """It has no retries of its own: where POST may be repeated, that is four attempts."""
    client = make(setup={"retry": RetryPolicy(methods=["GET", "POST"])})
    demo_server.answer(503, times=6)
    with pytest.raises(Exception, match="503"):
        client.service.hello("Ada")
    assert statuses(demo_server) == [200] + [503] * 4


def test_a_refused_token_is_renewed(
    make: Callable[..., Any], demo_server: DemoServer, url: str
) -> None:
    """It has no token of its own: ours is sent and renewed, and the operation repeated."""
    demo_server.guarded = True
    client = make(setup={"token": demo_server.issue, "origins": [url]})
    demo_server.revoke()
    assert client.service.hello("Ada") == "Hello, Ada"
    assert statuses(demo_server) == [200, 401, 200]
