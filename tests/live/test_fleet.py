"""Processes that share one rotating refresh token, at a server that forgives no second use."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import RefreshFailed, RetryPolicy, Settings, mount
from requests_authretry.cli.demo_server import serve
from requests_authretry.oauth2 import Client, RefreshToken
from requests_authretry.testing import FakeClock
from tests.live.callers import PATIENCE, wait_for
from tests.live.fleet import Orders, start
from tests.servers.api import Api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.oidc import OidcServer
    from tests.servers.redis import RedisServer

PROCESSES = 4
EXPIRIES = 20
TTL = 2


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.slow)])
def shared_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a fleet keeps its token: the path of a file, or the URL of a Redis."""
    if request.param == "file":
        return str(tmp_path / "tokens.json")
    url: str = request.getfixturevalue("redis_server").url
    return url


@contextmanager
def orders(server: OidcServer, store: str, folder: Path) -> Iterator[Orders]:
    """What each worker of a fleet is told, while the API is up."""
    with serve(Api(server)) as api:
        client = (server.app.id, server.app.secret)
        stop = str(folder / "stop")
        yield Orders(api, server.issuer, client, server.seed(), store, stop)


@contextmanager
def fleet(server: OidcServer, store: str, folder: Path) -> Iterator[list[Any]]:
    """A fleet at work; the reports of its workers are there when the block has ended."""
    reports: list[Any] = []
    with orders(server, store, folder) as told:
        workers = [start(told) for _ in range(PROCESSES)]
        try:
            yield reports
        finally:
            Path(told.stop).touch()
            reports += [json.loads(worker.communicate(timeout=PATIENCE)[0]) for worker in workers]


def all_have(number: int, folder: Path) -> bool:
    """Whether each process of the fleet has fetched, or adopted, as many tokens."""
    counts = [int(file.read_text() or 0) for file in folder.glob("renewals-*")]
    return len(counts) == PROCESSES and min(counts) >= number


@pytest.mark.slow
def test_a_fleet_goes_through_expiries(
    oidc_server: Callable[..., OidcServer], shared_store: str, tmp_path: Path
) -> None:
    """One token request an expiry, no refresh token twice, no call that fails."""
    server = oidc_server(ttl=TTL)
    with fleet(server, shared_store, tmp_path) as reports:
        wait_for(lambda: len(server.log()) > EXPIRIES)
    asked = server.log()
    assert [report["faults"] for report in reports] == [[]] * PROCESSES
    assert {entry["status"] for entry in asked} == {200}
    assert len({entry["refresh"] for entry in asked}) == len(asked) > EXPIRIES
    assert sum(report["renewals"].get("fetched", 0) for report in reports) == len(asked)
    # The server counts whole seconds: a token lives between one second and two.
    times = [entry["at"] for entry in asked]
    assert min(later - earlier for earlier, later in pairwise(times)) > 900


@pytest.mark.slow
def test_a_fleet_whose_token_is_refused(
    oidc: OidcServer, shared_store: str, tmp_path: Path
) -> None:
    """A token that the server takes back before its time is replaced once, for all."""
    with fleet(oidc, shared_store, tmp_path) as reports:
        for number in (1, 2, 3):
            wait_for(lambda number=number: all_have(number, tmp_path))  # type: ignore[misc]
            time.sleep(2)  # all of their threads use it
            oidc.expire_all()
        wait_for(lambda: all_have(4, tmp_path))
    assert [report["faults"] for report in reports] == [[]] * PROCESSES
    assert [entry["status"] for entry in oidc.log()] == [200] * 4


def test_the_holder_of_the_lock_is_killed(
    oidc: OidcServer, shared_store: str, tmp_path: Path
) -> None:
    """Where a process dies with the lock before it has asked, the next one renews, once."""
    with orders(oidc, shared_store, tmp_path) as told:
        holder = start(told, "stall")
        wait_for(Path(told.stop).exists)
        holder.kill()
        holder.communicate()
        with requests.Session() as session, mount(session, told.settings()):
            assert session.get(f"{told.api}/get").status_code == 200
    assert [entry["status"] for entry in oidc.log()] == [200]


@pytest.mark.slow
def test_a_killed_holder_held_the_lock(oidc: OidcServer, shared_store: str, tmp_path: Path) -> None:
    """As long as it lives nobody else asks: the test above would prove nothing without."""
    with orders(oidc, shared_store, tmp_path) as told:
        holder = start(told, "stall")
        wait_for(Path(told.stop).exists)
        settings = told.settings(retry=RetryPolicy(deadline=1.5))
        with (
            requests.Session() as session,
            mount(session, settings),
            pytest.raises(RefreshFailed),
        ):
            session.get(f"{told.api}/get")
        assert oidc.log() == []
        holder.kill()
        holder.communicate()
        with requests.Session() as session, mount(session, told.settings()):
            assert session.get(f"{told.api}/get").status_code == 200


@pytest.mark.slow
def test_the_token_endpoint_is_down_before_the_end(oidc_server: Callable[..., OidcServer]) -> None:
    """Through the whole advisory window no call fails, and one process asks once in 10 s at most.

    The client's clock runs ahead, a second a call; the server's own does not.
    """
    server, clock, asked = oidc_server(ttl=3600), FakeClock(time.time()), []
    client = Client(*server.app, issuer=server.issuer)
    token = RefreshToken(client, server.seed())
    with serve(Api(server)) as api, requests.Session() as session:
        mount(session, Settings(token=token, origins=[api], clock=clock))
        assert session.get(f"{api}/get").status_code == 200
        server.fault("status", count=10_000, status=503)
        clock.advance(2690)  # the window begins at 2700 s at the earliest
        known = len(server.log())
        for _ in range(845):
            assert session.get(f"{api}/get").status_code == 200
            settle()
            total = len(server.log())
            asked += [clock.time()] * (total - known)
            known = total
            clock.advance(1)
    assert len(asked) > 5
    assert min(later - earlier for earlier, later in pairwise(asked)) >= 10


def settle() -> None:
    """Let the renewals that are under way come to their end."""
    for thread in threading.enumerate():
        if thread.name == "requests_authretry renewal":
            thread.join(120)


@pytest.mark.slow
def test_a_redis_that_forgets(
    oidc_server: Callable[..., OidcServer], own_redis_server: RedisServer, tmp_path: Path
) -> None:
    """A server that dies, and comes back empty, costs the fleet neither a call nor the session."""
    server = oidc_server(ttl=8)
    with fleet(server, own_redis_server.url, tmp_path) as reports:
        for number in (1, 2):
            wait_for(lambda number=number: all_have(number, tmp_path))  # type: ignore[misc]
            own_redis_server.kill()
            time.sleep(1)
            own_redis_server.start()
        wait_for(lambda: all_have(3, tmp_path))
    asked = server.log()
    assert [report["faults"] for report in reports] == [[]] * PROCESSES
    assert {entry["status"] for entry in asked} == {200}
    assert len({entry["refresh"] for entry in asked}) == len(asked) >= 3
