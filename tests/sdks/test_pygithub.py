"""PyGithub with this library under it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry.cli.demo_server import Gate
from tests.sdks.support import fake, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests_authretry.testing import FakeClock

pytestmark = pytest.mark.sdk("PyGithub")

WITHOUT = ", auth=Auth.Token(token)"


@pytest.fixture
def gate() -> Gate:
    """GitHub, with one user."""
    return Gate(fake({"GET /users/ada": {"login": "ada", "name": "Ada"}}))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Its connection classes are the process's."""
    yield
    import_module("github.Requester").Requester.resetConnectionClasses()


def test_a_call_gets_through(make: Callable[..., Any], gate: Gate) -> None:
    """A 503 and a 429 cost one request each."""
    expected = weather(gate)
    assert make().get_user("ada").name == "Ada"
    assert statuses(gate) == expected


def test_one_layer_retries(make: Callable[..., Any], gate: Gate) -> None:
    """Its ten retries are its adapter's, and off under ours: a call ends after four attempts."""
    client = make()
    gate.answer(503, times=6)
    with pytest.raises(Exception, match="503"):
        client.get_user("ada")
    assert statuses(gate) == [503] * 4


def test_the_secondary_limit_is_heard(
    make: Callable[..., Any], gate: Gate, clock: FakeClock
) -> None:
    """The 403 with which GitHub asks for a pause is waited out by ours."""
    client = make()
    gate.answer(403, [("Retry-After", "60")])
    assert client.get_user("ada").name == "Ada"
    assert statuses(gate) == [403, 200]
    assert clock.sleeps[0] == pytest.approx(60)


def test_a_refused_token_is_renewed(make: Callable[..., Any], gate: Gate, url: str) -> None:
    """Without its token, ours is sent and renewed."""
    gate.guarded = True
    client = make(without=WITHOUT, setup={"token": gate.issue, "origins": [url]})
    client.get_user("ada")
    gate.revoke()
    assert client.get_user("ada").name == "Ada"
    assert statuses(gate) == [200, 401, 200]
