"""Fixtures that make an SDK as ``docs/sdks.md`` says, in both ways."""

from __future__ import annotations

import gc
import time
from contextlib import ExitStack
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import Settings, install, mount
from requests_authretry.cli.demo_server import serve
from requests_authretry.testing import FakeClock
from tests.sdks.support import PAGE, PROGRAMS, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests_authretry.cli.demo_server import DemoServer


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of packages that are not there, unless ``-m`` asks for them."""
    if "sdk" not in config.option.markexpr:
        absent = [item for item in items if _absent(item)]
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]


def _absent(item: pytest.Item) -> str | None:
    """The package that a test needs, if it is not installed."""
    marker = item.get_closest_marker("sdk")
    if marker is not None:
        try:
            metadata.distribution(marker.args[0])
        except metadata.PackageNotFoundError as error:
            return str(error.name)
    return None


@pytest.fixture(autouse=True)
def _package(request: pytest.FixtureRequest) -> None:
    if absent := _absent(request.node):
        pytest.skip(f"{absent} is not installed: pip install '.[sdks]'")


@pytest.fixture
def clock() -> FakeClock:
    """The time that passes for this library."""
    return FakeClock(now=time.time())


@pytest.fixture(autouse=True)
def _no_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of an SDK itself end at once."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.fixture
def url(demo_server: DemoServer) -> Iterator[str]:
    """The base URL of ``demo_server``."""
    with serve(demo_server) as base:
        yield base


@pytest.fixture(params=["mounted", "installed"])
def make(
    request: pytest.FixtureRequest, url: str, clock: FakeClock
) -> Iterator[Callable[..., Any]]:
    """A function that runs the page's program and returns its ``client``.

    It takes a part to be left out of the program, as ``without``; fields of `Settings`, as
    ``setup``; and names for the program, besides ``url``, ``token`` and ``settings``.
    """
    package = request.node.get_closest_marker("sdk").args[0]
    code = PROGRAMS[package, request.param]

    with ExitStack() as installed:

        def made(without: str = "", setup: dict[str, Any] | None = None, **names: Any) -> Any:
            settings = Settings(clock=clock, **(setup or {}))
            if request.param == "installed":
                installed.enter_context(install(settings))
            assert without in code
            names = {"url": url, "token": TOKEN, "settings": settings} | names
            names |= {"requests": requests, "mount": mount}
            exec(compile(code.replace(without, ""), str(PAGE), "exec"), names)  # noqa: S102 (ours)
            return names["client"]

        yield made
    gc.collect()  # an SDK's connections end with it, before those of the server
