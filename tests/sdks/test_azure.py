"""azure-storage-blob on Azurite with this library under it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from requests_authretry.cli.demo_server import DemoServer
from tests.sdks.support import passing_on, statuses, weather
from tests.servers.oidc import ServerMissingError
from tests.servers.storage import serve_azurite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.sdk("azure-storage-blob")

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that Azurite always has, and its published key."""


@pytest.fixture(scope="module")
def azurite() -> Iterator[str]:
    """Azurite, for all tests here."""
    with ExitStack() as servers:
        try:
            yield servers.enter_context(serve_azurite())
        except ServerMissingError as error:
            pytest.skip(str(error))


@pytest.fixture
def demo_server(azurite: str) -> DemoServer:
    """Azurite behind a demo server."""
    return DemoServer(passing_on(azurite))


@pytest.fixture
def container(make: Callable[..., Any], url: str) -> Callable[..., Any]:
    """A function that makes an empty container."""

    def made(**options: Any) -> Any:
        client = make(url=f"{url}/{ACCOUNT}", token=KEY, **options)
        return client.create_container(f"c{uuid4().hex}")

    return made


def codes(demo_server: DemoServer) -> list[int | None]:
    """What was answered since the container was made, 200 for all that went well."""
    return [200 if status in {201, 206} else status for status in statuses(demo_server)[1:]]


def test_a_call_gets_through(container: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 and a 429 cost one request each, for an upload and for a download."""
    here = container()
    expected = weather(demo_server)
    here.upload_blob("one", b"some bytes")
    expected += weather(demo_server)
    assert here.download_blob("one").readall() == b"some bytes"
    assert codes(demo_server) == expected


def test_blocks_get_through(container: Callable[..., Any], demo_server: DemoServer) -> None:
    """What comes from a generator is sent in blocks, and each of them may be sent again."""
    here = container()
    pieces = [bytes([number]) * 1_000_000 for number in range(5)]
    expected = weather(demo_server)
    here.upload_blob("one", iter(pieces))
    assert codes(demo_server) == [*expected, 200, 200]
    assert here.download_blob("one").readall() == b"".join(pieces)


def test_one_layer_retries(container: Callable[..., Any], demo_server: DemoServer) -> None:
    """With its retries off, a call ends after four attempts."""
    here = container()
    demo_server.answer(503, times=6)
    with pytest.raises(Exception, match="from the server"):
        here.get_container_properties()
    assert statuses(demo_server)[1:] == [503] * 4


def test_two_layers_multiply(container: Callable[..., Any], demo_server: DemoServer) -> None:
    """With its own retries, it begins again after ours."""
    here = container(without=", retry_total=0")
    demo_server.answer(503, times=6)
    here.get_container_properties()
    assert statuses(demo_server)[1:] == [503] * 6 + [200]


def test_its_own_signature_stays(
    container: Callable[..., Any], demo_server: DemoServer, url: str
) -> None:
    """It signs: what it signed with is not replaced, and the 401 is its own."""
    here = container(setup={"token": demo_server.issue, "origins": [url]})
    demo_server.answer(401, [("WWW-Authenticate", "Bearer")])
    with pytest.raises(Exception, match="from the server"):
        here.get_container_properties()
    assert (statuses(demo_server)[1:], demo_server.issued) == ([401], 0)
