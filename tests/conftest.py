"""Fixtures that all tests share: httpbin behind the gate, live and recorded."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from requests_authretry.cli._gate import Gate, httpbin, serve
from tests.cassettes_support import on_cassette

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

pytest_plugins = ("pytester", "tests.no_skips")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--record``."""
    parser.addoption(
        "--record",
        action="store_true",
        help="run the recorded tests alone, on the real httpbin, and record their cassettes anew",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--record``, leave only the tests that have a cassette."""
    if config.getoption("--record"):
        others = [item for item in items if "recorded" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither proxies nor stored passwords of the person who runs the tests get into them."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.fixture
def gate() -> Gate:
    """The gate before httpbin, open, with no token issued yet."""
    return Gate(httpbin())


@pytest.fixture
def httpbin_url(gate: Gate) -> Iterator[str]:
    """The base URL of a server of its own for this test: httpbin behind ``gate``."""
    with serve(gate) as url:
        yield url


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> Iterator[Callable[[str], requests.Session]]:
    """A function from the name of a cassette to the session that plays it.

    Its adapters are betamax's: mount on top of them, and every attempt is on the cassette. Requests
    go to ``ORIGIN``, which is httpbin behind ``gate``. On replay no server is asked: the gate then
    issues tokens as ever, and sees nothing.
    """
    recording = request.config.getoption("--record")
    target = request.getfixturevalue("httpbin_url") if recording else None
    with ExitStack() as tapes:
        yield lambda name: tapes.enter_context(on_cassette(name, target))
