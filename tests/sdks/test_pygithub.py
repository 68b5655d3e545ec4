"""PyGithub with this library under it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry.cli.demo_server import DemoServer
from requests_authretry.dialects import named
from tests.sdks.support import fake, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests_authretry.testing import FakeClock

pytestmark = pytest.mark.sdk("PyGithub")

WITHOUT = ", auth=Auth.Token(token)"


@pytest.fixture
def demo_server() -> DemoServer:
    """GitHub, with one user."""
    return DemoServer(fake({"GET /users/ada": {"login": "ada", "name": "Ada"}}))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Its connection classes are the process's."""
    yield
    import_module("github.Requester").Requester.resetConnectionClasses()


def test_a_call_gets_through(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 and a 429 cost one request each."""
    expected = weather(demo_server)
    assert make().get_user("ada").name == "Ada"
    assert statuses(demo_server) == expected


def test_one_layer_retries(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """Its ten retries are its adapter's, and off under ours: a call ends after four attempts."""
    client = make()
    demo_server.answer(503, times=6)
    with pytest.raises(Exception, match="503"):
        client.get_user("ada")
    assert statuses(demo_server) == [503] * 4


def test_the_secondary_limit_is_heard(
    make: Callable[..., Any], demo_server: DemoServer, clock: FakeClock
) -> None:
    """The 403 with which GitHub asks for a pause is waited out by ours."""
    client = make()
    demo_server.answer(403, [("Retry-After", "60")])
    assert client.get_user("ada").name == "Ada"
    assert statuses(demo_server) == [403, 200]
    assert clock.sleeps[0] == pytest.approx(60)


def test_the_secondary_limit_without_a_time_is_heard(
    make: Callable[..., Any], demo_server: DemoServer, clock: FakeClock
) -> None:
    """The dialect alone tells this 403 from a missing permission: it is waited for a minute."""
    client = make(setup={"dialects": ["github"]})
    sample = named("github").samples[0]
    demo_server.answer(sample.status, sample.headers.items(), body=sample.body)
    assert client.get_user("ada").name == "Ada"
    assert statuses(demo_server) == [403, 200]
    assert clock.sleeps[0] == pytest.approx(60)


def test_a_missing_permission_stays_one(
    make: Callable[..., Any], demo_server: DemoServer, clock: FakeClock
) -> None:
    """A 403 for another reason ends the call, as PyGithub's own exception."""
    client = make(setup={"dialects": ["github"]})
    json = [("Content-Type", "application/json")]
    demo_server.answer(403, json, body=b'{"message": "Must have admin rights to Repository."}')
    with pytest.raises(Exception, match="Must have admin rights"):
        client.get_user("ada")
    assert statuses(demo_server) == [403]
    assert clock.sleeps == []


def test_a_refused_token_is_renewed(
    make: Callable[..., Any], demo_server: DemoServer, url: str
) -> None:
    """Without its token, ours is sent and renewed."""
    demo_server.guarded = True
    client = make(without=WITHOUT, setup={"token": demo_server.issue, "origins": [url]})
    client.get_user("ada")
    demo_server.revoke()
    assert client.get_user("ada").name == "Ada"
    assert statuses(demo_server) == [200, 401, 200]
