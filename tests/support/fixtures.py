"""Fixtures of the tests of token sources."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.authority import CERTIFICATE, Caller, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests_authretry.cli.demo_server import DemoServer
    from tests.support.authority import Authority


@pytest.fixture
def zone() -> Iterator[Callable[[str], None]]:
    """A function that moves this machine into another time zone."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system has no tzset")
    with pytest.MonkeyPatch.context() as patch:

        def move(name: str) -> None:
            patch.setenv("TZ", name)
            time.tzset()

        yield move
    time.tzset()


@pytest.fixture
def authority(demo_server: DemoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authorization server whose tokens the demo server asks for, and which everybody trusts."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    demo_server.guarded = True
    with serving(demo_server) as authority:
        yield authority


@pytest.fixture
def caller(demo_server: DemoServer, httpbin_url: str) -> Iterator[Callable[..., Caller]]:
    """A function from a token source, and other settings, to somebody who uses it."""
    with ExitStack() as opened:

        def make(source: Any, **others: Any) -> Caller:
            return opened.enter_context(Caller(demo_server, httpbin_url, source, **others))

        yield make
