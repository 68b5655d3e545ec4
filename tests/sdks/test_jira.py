"""jira with this library under it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry.cli.demo_server import DemoServer
from tests.sdks.support import fake, statuses, weather

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_authretry.testing import FakeClock

pytestmark = pytest.mark.sdk("jira")

ISSUE = {"id": "1", "key": "ONE-1", "self": "", "fields": {"summary": "one"}}
API = {
    "GET /rest/api/2/serverInfo": {"version": "9.0.0", "versionNumbers": [9, 0, 0]},
    "GET /rest/api/2/field": [],
    "GET /rest/api/2/issue/ONE-1": ISSUE,
}


@pytest.fixture
def demo_server() -> DemoServer:
    """A server with one issue."""
    return DemoServer(fake(API))


def summary(client: Any) -> Any:
    """Ask for the issue."""
    return client.issue("ONE-1").fields.summary


def test_a_call_gets_through(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """A 503 and a 429 cost one request each."""
    client = make()
    before = len(demo_server.seen)
    expected = weather(demo_server)
    assert summary(client) == "one"
    assert statuses(demo_server)[before:] == expected


def test_one_layer_retries(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """With its retries off, a call ends after four attempts."""
    client = make()
    before = len(demo_server.seen)
    demo_server.answer(429, times=6)
    with pytest.raises(Exception, match="429"):
        summary(client)
    assert statuses(demo_server)[before:] == [429] * 4


def test_two_layers_multiply(make: Callable[..., Any], demo_server: DemoServer) -> None:
    """With its own retries, it begins again after ours."""
    client = make(without=", max_retries=0")
    before = len(demo_server.seen)
    demo_server.answer(429, times=6)
    assert summary(client) == "one"
    assert statuses(demo_server)[before:] == [429] * 6 + [200]


def test_the_end_of_a_window_is_heard(
    make: Callable[..., Any], demo_server: DemoServer, clock: FakeClock
) -> None:
    """Its 429 names the end of the window alone: with the dialect the call waits until then."""
    client = make(setup={"dialects": ["jira"]})
    before = len(demo_server.seen)
    end = datetime.fromtimestamp(clock.time() + 100, timezone.utc)
    window = ("X-RateLimit-Reset", f"{end:%Y-%m-%dT%H:%MZ}")  # to the minute, as Jira writes it
    reason = ("RateLimit-Reason", "jira-per-issue-on-write")
    demo_server.answer(429, [reason, ("X-RateLimit-Remaining", "49"), window])
    assert summary(client) == "one"
    assert statuses(demo_server)[before:] == [429, 200]
    assert clock.sleeps[0] > 5  # the backoff would be 1 s at most


def test_a_scope_that_is_missing_renews_no_token(
    make: Callable[..., Any], demo_server: DemoServer, url: str
) -> None:
    """Its 401 for a scope is no matter of the token: the dialect hands it out."""
    setup = {"token": demo_server.issue, "origins": [url], "dialects": ["jira"]}
    client = make(without=", token_auth=token", setup=setup)
    before = len(demo_server.seen)
    body = b'{"code": 401, "message": "Unauthorized; scope does not match"}'
    demo_server.answer(401, [("Content-Type", "application/json")], body=body)
    with pytest.raises(Exception, match="scope does not match"):
        summary(client)
    assert statuses(demo_server)[before:] == [401]


def test_a_refused_token_is_renewed(
    make: Callable[..., Any], demo_server: DemoServer, url: str
) -> None:
    """Without its token, ours is sent and renewed."""
    demo_server.guarded = True
    client = make(
        without=", token_auth=token", setup={"token": demo_server.issue, "origins": [url]}
    )
    summary(client)
    demo_server.revoke()
    assert summary(client) == "one"
    assert statuses(demo_server)[-3:] == [200, 401, 200]
