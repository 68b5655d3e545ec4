"""GitLab, Jira, Discord and Telegram on loopback, each with its own words."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import Header, RetryPolicy, Settings, attempts, explain, mount
from requests_authretry.testing import DialectServer, FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES_SENT = 1772452800.0
"""What the `Date` of the samples says."""


@contextmanager
def talking(
    api: str, *script: str | int, **setup: Any
) -> Iterator[tuple[DialectServer, requests.Session, FakeClock]]:
    """Give a server with a script, a session that knows its dialect, and the session's clock."""
    clock = FakeClock(now=SAMPLES_SENT)
    with DialectServer(api, *script) as server, requests.Session() as session:
        setup |= {"origins": [server.url]} if "token" in setup else {}
        mount(session, Settings(dialects=[api], clock=clock, **setup))
        yield server, session, clock


def statuses(response: requests.Response) -> list[int | None]:
    """Return the status of each attempt."""
    return [each.status for each in attempts(response)]


@pytest.mark.parametrize(
    ("api", "sample", "path", "wait"),
    [
        (
            "gitlab",
            "the limit of an endpoint, without a time and with the fields of another limit",
            "/api/v4/projects/1/export",
            60.0,
        ),
        (
            "jira",
            "too many changes of an issue, without Retry-After",
            "/rest/api/3/issue/ONE-1",
            20.0,
        ),
    ],
)
def test_a_refused_post_goes_after_the_time_of_the_api(
    api: str, sample: str, path: str, wait: float
) -> None:
    """GitLab names no time, and says what is left of another limit: the call waits a minute."""
    with talking(api, sample) as (server, session, clock):
        response = session.post(f"{server.url}{path}", json={})
    assert statuses(response) == [429, 200]
    assert clock.sleeps == [pytest.approx(wait)]
    assert f"dialect {api}" in str(explain(response))


def test_a_limit_of_one_gitlab_endpoint_holds_back_no_other_one() -> None:
    """``GET /projects`` waits for ten minutes, although the 429 names the limit of all requests."""
    with talking("gitlab", "the limit of an endpoint, with its time") as (server, session, clock):
        with pytest.raises(requests.HTTPError, match="429"):
            session.get(f"{server.url}/api/v4/projects").raise_for_status()
        assert session.get(f"{server.url}/api/v4/user").ok
    assert clock.sleeps == []


def test_a_resource_that_discord_protects_holds_back_no_other_channel() -> None:
    """Channel 2 goes on while channel 1 is closed, though both have the same bucket."""
    sample = "the limit of a resource, with the fields of another limit"
    with talking("discord", sample) as (server, session, clock):
        refused = session.get(f"{server.url}/api/v10/channels/1/messages")
        assert session.get(f"{server.url}/api/v10/channels/2/messages").ok
    assert refused.status_code == requests.codes.too_many
    assert clock.sleeps == []


def test_the_points_of_jira_hold_back_every_request_once_two_endpoints_were_refused() -> None:
    """The third endpoint is a test; after its refusal the fourth one is not even sent."""
    spent = ["the points of an hour are spent"] * 3
    with talking("jira", *spent) as (server, session, _):
        for path in ("issue/ONE-1", "field", "status"):
            assert session.get(f"{server.url}/rest/api/3/{path}").status_code == 429
        with pytest.raises(requests.RequestException, match="not sent"):
            session.get(f"{server.url}/rest/api/3/priority")
    assert len(server.received) == 3


def test_the_points_of_jira_are_told_under_their_name() -> None:
    """An endpoint that was refused is not asked again, and the error names the limit."""
    with talking("jira", "the points of an hour are spent") as (server, session, _):
        session.get(f"{server.url}/rest/api/3/field")
        with pytest.raises(requests.RequestException, match="'jira-quota-global-based'"):
            session.get(f"{server.url}/rest/api/3/field")
    assert len(server.received) == 1


def test_the_global_limit_of_discord_holds_back_every_request() -> None:
    """After three endpoints were refused with ``global``, a fourth one waits for the 0.35 s too."""
    once = RetryPolicy(max_attempts=1)
    refusals = ["the global limit"] * 3
    with talking("discord", *refusals, retry=once) as (server, session, clock):
        for path in ("guilds/1", "users/1", "invites/1"):
            session.get(f"{server.url}/api/v10/{path}")
        assert clock.sleeps == []
        assert session.get(f"{server.url}/api/v10/channels/2").ok
    assert sum(clock.sleeps) == pytest.approx(0.35)


@pytest.mark.parametrize(
    "sample", ["an expired token", "a token that a renewal in another process has ended"]
)
def test_gitlab_tells_of_an_expired_token_in_its_own_header(sample: str) -> None:
    """The challenge is ``Bearer``; the token in ``PRIVATE-TOKEN`` is renewed all the same."""
    tokens = iter(["old", "new"])
    with talking(
        "gitlab", sample, token=lambda: next(tokens), token_in=Header("PRIVATE-TOKEN")
    ) as (
        server,
        session,
        _,
    ):
        response = session.get(f"{server.url}/api/v4/user")
    assert statuses(response) == [401, 200]
    assert [each.headers["PRIVATE-TOKEN"] for each in server.received] == ["old", "new"]


@pytest.mark.parametrize(
    ("api", "path"),
    [
        ("gitlab", "/api/v4/user"),
        ("jira", "/ex/jira/1/rest/api/3/search/"),
        ("telegram", "/botTOKEN/getMe"),
    ],
)
def test_no_renewal_where_another_token_is_no_cure(api: str, path: str) -> None:
    """Jira's 401 for a missing scope renews nothing."""
    tokens = iter(["one", "two"])
    with talking(api, "final", token=lambda: next(tokens)) as (server, session, _):
        response = session.get(f"{server.url}{path}")
    assert statuses(response) == [401]
    assert next(tokens) == "two"


def test_discord_is_asked_again_until_its_index_is_there() -> None:
    """A search that is answered 202 is asked again after the 2 s that the body names."""
    with talking("discord", "pending", "pending") as (server, session, clock):
        response = session.get(f"{server.url}/api/v10/guilds/1/messages/search?content=a")
    assert response.status_code == requests.codes.ok
    assert clock.sleeps == [2.0, 2.0]


@pytest.mark.parametrize(
    ("api", "path", "expected"),
    [
        ("jira", "/rest/api/3/search/jql", [503, 200]),
        ("jira", "/rest/api/3/issue", [503]),
        ("telegram", "/botTOKEN/getUpdates", [503, 200]),
        ("telegram", "/botTOKEN/sendMessage", [503]),
    ],
)
def test_a_post_that_reads_is_repeated(api: str, path: str, expected: list[int]) -> None:
    """A search by POST is sent again after a 503; a new issue or a message is not."""
    with talking(api, 503) as (server, session, _):
        mount(session, Settings(dialects=[api], origins=[server.url], clock=FakeClock()))
        assert statuses(session.post(f"{server.url}{path}", json={})) == expected


def test_the_token_in_a_path_of_telegram_is_told_to_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Records, events, log lines and explanations show ``/bot123456:...``."""
    told: list[object] = []
    caplog.set_level(logging.DEBUG)
    with talking("telegram", "too many messages", 503, 409, listeners=[told.append]) as (
        server,
        session,
        _,
    ):
        response = session.post(f"{server.url}/bot123456:s3cret-token/sendMessage", json={})
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("requests_auth")]
    shown = f"{attempts(response)} {explain(response)} {told} {ours}"
    assert "/bot123456:.../sendMessage" in shown
    assert "s3cret" not in shown
