"""google-cloud-storage on its emulator with this library under it."""

from __future__ import annotations

from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import RetryPolicy
from requests_authretry.cli.demo_server import DemoServer
from tests.sdks.support import passing_on, statuses, weather
from tests.servers.storage import serve_gcs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.sdk("google-cloud-storage")

CREDENTIALS = "google.auth.credentials"


@pytest.fixture
def demo_server() -> Iterator[DemoServer]:
    """The emulator behind a demo server."""
    with serve_gcs() as emulator:
        yield DemoServer(passing_on(emulator))


@pytest.fixture
def blob(make: Callable[..., Any]) -> Callable[..., Any]:
    """A function that uploads an object."""

    def made(**options: Any) -> Any:
        credentials = import_module(CREDENTIALS).AnonymousCredentials()
        client = make(credentials=credentials, **options)
        one = client.create_bucket("bucket", retry=None).blob("one")
        one.upload_from_string(b"some bytes", retry=None)
        return one

    return made


def test_a_call_gets_through(blob: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 and a 429 cost one request each."""
    one = blob()
    before = len(demo_server.seen)
    expected = weather(demo_server)
    assert one.download_as_bytes(retry=None) == b"some bytes"
    assert statuses(demo_server)[before:] == expected


def test_an_upload_gets_through(blob: Callable[..., Any], demo_server: DemoServer) -> None:
    """An upload goes again after a 429, and after a 503 where POST is allowed by name."""
    one = blob(setup={"retry": RetryPolicy(methods=["GET", "POST"])})
    before = len(demo_server.seen)
    expected = weather(demo_server)
    one.upload_from_string(b"others", retry=None)
    assert statuses(demo_server)[before:] == expected
    assert one.download_as_bytes(retry=None) == b"others"


def test_pieces_get_through(blob: Callable[..., Any], demo_server: DemoServer) -> None:
    """Of an upload in pieces, one that was refused is sent again, and the whole arrives."""
    one = blob()
    one.chunk_size = 2**18
    before = len(demo_server.seen)
    content = bytes(range(256)) * 2500

    class InBadWeather(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() == one.chunk_size:
                weather(demo_server)
            return super().read(size)

    one.upload_from_file(InBadWeather(content), retry=None)
    assert statuses(demo_server)[before:] == [200, 308, 503, 429, 308, 200]
    assert one.download_as_bytes(retry=None) == content


def test_one_layer_retries(blob: Callable[..., Any], demo_server: DemoServer) -> None:
    """With its retries off, a call ends after four attempts."""
    one = blob()
    before = len(demo_server.seen)
    demo_server.answer(503, times=6)
    with pytest.raises(Exception, match="503"):
        one.download_as_bytes(retry=None)
    assert statuses(demo_server)[before:] == [503] * 4


# a download that it begins again leaves the refused answer unread, with or without ours
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)
def test_two_layers_multiply(blob: Callable[..., Any], demo_server: DemoServer) -> None:
    """With its own retries, it begins again after ours."""
    one = blob()
    before = len(demo_server.seen)
    demo_server.answer(503, times=6)
    assert one.download_as_bytes() == b"some bytes"
    assert statuses(demo_server)[before:] == [503] * 6 + [200]


def test_a_refused_token_is_renewed(
    blob: Callable[..., Any], demo_server: DemoServer, url: str
) -> None:
    """Without credentials of its own, ours is sent and renewed."""
    demo_server.guarded = True
    one = blob(setup={"token": demo_server.issue, "origins": [url]})
    demo_server.revoke()
    assert one.download_as_bytes(retry=None) == b"some bytes"
    assert statuses(demo_server) == [200, 200, 401, 200]
