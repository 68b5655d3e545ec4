"""python-gitlab with this library under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry.cli.demo_server import Gate
from tests.sdks.support import TOKEN, fake, sent, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.sdk("python-gitlab")

PROJECT = {"id": 1, "name": "one"}
WITHOUT = ", obey_rate_limit=False"


@pytest.fixture
def gate() -> Gate:
    """GitLab, with one project."""
    return Gate(fake({"GET /api/v4/projects/1": PROJECT}))


def test_a_call_gets_through(make: Callable[..., Any], gate: Gate) -> None:
    """A 503 and a 429 cost one request each."""
    expected = weather(gate)
    assert make().projects.get(1).name == "one"
    assert statuses(gate) == expected


def test_one_layer_retries(make: Callable[..., Any], gate: Gate) -> None:
    """Where the limit stays closed, the call ends after four attempts."""
    client = make()
    gate.answer(429, times=6)
    with pytest.raises(Exception, match="429"):
        client.projects.get(1)
    assert statuses(gate) == [429] * 4


def test_two_layers_multiply(make: Callable[..., Any], gate: Gate) -> None:
    """With its own waits for limits, it begins again after ours."""
    client = make(without=WITHOUT)
    gate.answer(429, times=6)
    assert client.projects.get(1).name == "one"
    assert statuses(gate) == [429] * 6 + [200]


def test_a_refused_token_is_renewed(make: Callable[..., Any], gate: Gate, url: str) -> None:
    """Without its token, ours is sent and renewed."""
    gate.guarded = True
    setup = {"token": gate.issue, "origins": [url]}
    client = make(without=", oauth_token=token", setup=setup)
    client.projects.get(1)
    gate.revoke()
    assert client.projects.get(1).name == "one"
    assert statuses(gate) == [200, 401, 200]


def test_its_own_token_stays(make: Callable[..., Any], gate: Gate, url: str) -> None:
    """Its token is the caller's, and so is the 401."""
    gate.guarded = True
    client = make(setup={"token": gate.issue, "origins": [url]})
    with pytest.raises(Exception, match="401"):
        client.projects.get(1)
    assert sent(gate) == [f"Bearer {TOKEN}"]


def test_its_token_is_adopted(make: Callable[..., Any], gate: Gate, url: str) -> None:
    """With `adopt`, its token is the first, and ours takes its place once it is refused."""
    gate.guarded = True
    client = make(setup={"token": gate.issue, "origins": [url], "adopt": True})
    assert client.projects.get(1).name == "one"
    assert client.projects.get(1).name == "one"
    assert sent(gate)[0] == f"Bearer {TOKEN}"
    assert statuses(gate) == [401, 200, 200]
