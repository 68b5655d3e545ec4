"""Fixtures that all tests share: httpbin behind the demo server, live and recorded."""

from __future__ import annotations

import gc
import os
import sys
import threading
import warnings
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from requests_authretry._tokens.families import families
from requests_authretry.cli.demo_server import DemoServer, httpbin, serve
from tests.cassettes_support import on_cassette
from tests.servers.api import Api
from tests.servers.nginx import serve_nginx
from tests.servers.oidc import ServerMissingError, serve_oidc
from tests.servers.postgres import serve_postgres
from tests.servers.redis import serve_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import requests

    from tests.servers.nginx import NginxServer
    from tests.servers.oidc import OidcServer
    from tests.servers.postgres import PostgresServer
    from tests.servers.redis import RedisServer

S = TypeVar("S")

# How fast examples are made, and how large they happen to be, says nothing about the code. Where
# CI is set Hypothesis has a profile of its own, on which these are built, and there are more.
for profile, examples in (("quick", 25), ("thorough", 100)):
    settings.register_profile(
        profile,
        parent=settings.default,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
settings.load_profile("thorough" if os.environ.get("CI") == "true" else "quick")

# Else each process that a test starts would compile the package anew, on a machine that sets it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_finished = count()

pytest_plugins = ("pytester", "tests.no_skips", "tests.support.fixtures")


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Let coverage not watch a test that is marked ``uncovered``.

    The mark ``no_cover`` of pytest-cov has no effect in the workers of pytest-xdist: there, a
    second measurement is under way.
    """
    if item.get_closest_marker("uncovered") is None:
        return (yield)
    trace, trace_of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(trace)
        threading.settrace(trace_of_threads)


def pytest_runtest_logfinish() -> None:
    """Every fifty tests, keep all that is left out of later garbage collections.

    Tests collect garbage to see what is gone. Each collection would look at all that libraries
    loaded and at the reports of all tests before.
    """
    if next(_finished) % 50 == 0:
        # What an earlier test left open would be held against the next one.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither proxies nor stored passwords of the person who runs the tests get into them."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.fixture(autouse=True)
def _no_tokens_of_other_tests() -> None:
    """No token that another test has fetched with an equal source is found."""
    families.forget()


@pytest.fixture
def demo_server() -> DemoServer:
    """The demo server in front of httpbin, which asks for no token and has issued none."""
    return DemoServer(httpbin())


@pytest.fixture
def httpbin_url(demo_server: DemoServer) -> Iterator[str]:
    """The base URL of ``demo_server``, which serves this test alone."""
    with serve(demo_server) as url:
        yield url


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> Iterator[Callable[[str], requests.Session]]:
    """A function from the name of a cassette to the session that plays it.

    Its adapters are betamax's: mount on top of them, and every attempt is on the cassette. Requests
    go to ``ORIGIN``, which is httpbin behind ``demo_server``. On replay nothing is sent: then
    ``demo_server`` issues tokens and sees no request.
    """
    recording = request.config.getoption("--record")
    target = request.getfixturevalue("httpbin_url") if recording else None
    with ExitStack() as tapes:
        yield lambda name: tapes.enter_context(on_cassette(name, target))


def _enter(servers: ExitStack, server: AbstractContextManager[S]) -> S:
    """Start a server, or skip the test where it cannot run."""
    if os.name == "nt":
        pytest.skip("the servers are started on POSIX systems alone")
    try:
        return servers.enter_context(server)
    except ServerMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def _shared_oidc() -> Iterator[OidcServer]:
    with ExitStack() as servers:
        yield _enter(servers, serve_oidc())


@pytest.fixture
def oidc(_shared_oidc: OidcServer) -> OidcServer:
    """The authorization server that the tests share, with no fault set and nothing in its log."""
    _shared_oidc.reset()
    return _shared_oidc


@pytest.fixture
def oidc_server() -> Iterator[Callable[..., OidcServer]]:
    """A function that starts an authorization server with options, for this test alone."""
    with ExitStack() as servers:
        yield lambda **options: _enter(servers, serve_oidc(**options))


@pytest.fixture
def api(oidc: OidcServer) -> Iterator[str]:
    """The base URL of httpbin behind the access tokens of ``oidc``."""
    with serve(Api(oidc)) as url:
        yield url


@pytest.fixture(scope="session")
def _shared_redis() -> Iterator[RedisServer]:
    with ExitStack() as servers:
        yield _enter(servers, serve_redis())


@pytest.fixture
def redis_server(_shared_redis: RedisServer) -> RedisServer:
    """The Redis server that the tests share, empty. Not to be killed."""
    _shared_redis.flush()
    return _shared_redis


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """A Redis server for this test alone, which may kill it."""
    with ExitStack() as servers:
        yield _enter(servers, serve_redis())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL server that the tests share; each of them makes a table of its own."""
    with ExitStack() as servers:
        yield _enter(servers, serve_postgres())


@pytest.fixture
def nginx(httpbin_url: str) -> Iterator[NginxServer]:
    """An nginx for this test alone, with limits, before httpbin behind ``demo_server``."""
    with ExitStack() as servers:
        yield _enter(servers, serve_nginx(httpbin_url))
