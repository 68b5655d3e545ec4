"""A session on a cassette, with a tap that compares what goes out with what was recorded."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from requests.adapters import BaseAdapter

from tests.cassettes_support import HOME, SECRETS, hide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests

    from requests_authretry.cli.demo_server import DemoServer, Seen


@dataclass(frozen=True)
class OnTheWire:
    """One request as it went out, its secrets hidden, and the status that came back."""

    method: str | None
    path: str
    authorization: str | None
    cookie: str | None
    body_length: int
    status: int | None

    @classmethod
    def of(
        cls, line: tuple[str | None, str], headers: Mapping[str, Any], size: int, status: int | None
    ) -> OnTheWire:
        """From method and path, headers, the length of the body, and the status."""
        given = [(name, headers.get(name)) for name in ("Authorization", "Cookie")]
        authorization, cookie = (value and hide(name, value) for name, value in given)
        return cls(*line, authorization, cookie, size, status)


class Tap(BaseAdapter):
    """Between ours and the one below: notes what each attempt really sends."""

    def __init__(self, inner: BaseAdapter, passed: list[OnTheWire]) -> None:
        super().__init__()
        self.inner, self.passed = inner, passed

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        """Send it, and note it."""
        response = self.inner.send(request, *args, **options)
        size = int(request.headers.get("Content-Length", 0))
        line = (request.method, request.path_url)
        self.passed.append(OnTheWire.of(line, request.headers, size, response.status_code))
        return response

    def close(self) -> None:
        """Close the one below."""
        self.inner.close()


def by_the_server(seen: Seen) -> OnTheWire:
    """What went out, as the server has it."""
    headers = {"Authorization": seen.authorization, "Cookie": seen.cookie}
    return OnTheWire.of((seen.method, seen.path), headers, seen.body_length, seen.status)


def on_the_tape(interaction: dict[str, Any]) -> OnTheWire:
    """What went out, as the cassette has it."""
    request, status = interaction["request"], interaction["response"]["status"]["code"]
    uri = urlsplit(request["uri"])
    path = uri.path + (f"?{uri.query}" if uri.query else "")
    for placeholder, secret in SECRETS.items():
        path = path.replace(placeholder, secret)
    headers = {name: values[0] for name, values in request["headers"].items()}
    size = len(base64.b64decode(request["body"]["base64_string"]))
    return OnTheWire.of((request["method"], path), headers, size, status)


@dataclass
class Played:
    """A cassette being played.

    Attributes:
        session: To be mounted; every attempt passes the tap on its way to the cassette.
        passed: What went out so far.
    """

    session: requests.Session
    passed: list[OnTheWire] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Put the tap in."""
        for prefix, adapter in self.session.adapters.items():
            self.session.adapters[prefix] = Tap(adapter, self.passed)

    @property
    def statuses(self) -> list[int | None]:
        """What came back so far."""
        return [each.status for each in self.passed]


@pytest.fixture
def played(
    request: pytest.FixtureRequest,
    demo_server: DemoServer,
    recorded: Callable[[str], requests.Session],
) -> Iterator[Played]:
    """The cassette that is named like the test.

    In the end, attempt for attempt, what went out must be what the cassette has; while it is being
    recorded, what the server saw.
    """
    name = re.sub(r"\W+", "_", request.node.name).removeprefix("test_").strip("_")
    tape = Played(recorded(name))
    yield tape
    if request.config.getoption("--record"):
        known = [by_the_server(seen) for seen in demo_server.seen]
    else:
        cassette = json.loads((HOME / f"{name}.json").read_text(encoding="utf-8"))
        known = [on_the_tape(each) for each in cassette["http_interactions"]]
    assert tape.passed == known
