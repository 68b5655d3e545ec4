"""The main job, through `mount`, on recorded answers of the real httpbin."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from requests.auth import HTTPDigestAuth

from requests_authretry import (
    Backoff,
    Jitter,
    Reason,
    RetryPolicy,
    Settings,
    attempts,
    explain,
    mount,
)
from requests_authretry.testing import FakeClock
from tests.cassettes_support import ORIGIN, SECRETS

if TYPE_CHECKING:
    import requests

    from requests_authretry.cli.demo_server import DemoServer
    from tests.recorded.conftest import Played

PASSWORD = SECRETS["<PASSWORD>"]


@pytest.fixture
def clock() -> FakeClock:
    """Time that moves when somebody waits, so that nobody has to."""
    return FakeClock(now=0.0)


def steady(clock: FakeClock, **changes: Any) -> Settings:
    """Settings whose waits can be told beforehand."""
    retry = RetryPolicy(backoff=Backoff(jitter=Jitter.NONE))
    return Settings(retry=retry, clock=clock, **changes)


def reasons(response: requests.Response) -> list[tuple[int | None, Reason]]:
    """What came, attempt for attempt, and what the library made of it."""
    return [(attempt.status, attempt.reason) for attempt in attempts(response)]


def in_half_a_minute() -> datetime:
    """For the demo server alone, and only while it is being recorded."""
    return datetime.now(timezone.utc) + timedelta(seconds=30)


def test_a_stale_token_is_renewed(
    played: Played, demo_server: DemoServer, clock: FakeClock
) -> None:
    """A token that the server refuses is renewed once and the call answered; others see no 401."""
    demo_server.guarded = True
    session = played.session
    mount(session, steady(clock, token=demo_server.issue, origins=[ORIGIN]))
    assert session.get(f"{ORIGIN}/bearer").status_code == 200
    demo_server.revoke()
    renewed, next_one = (session.get(f"{ORIGIN}/bearer") for _ in range(2))
    assert renewed.json() == {"authenticated": True, "token": "issued-2-" + "x" * 32}
    assert reasons(renewed) == [(401, Reason.REFRESHED), (200, Reason.FINAL)]
    assert [answer.status_code for answer in renewed.history] == [401]
    assert reasons(next_one) == [(200, Reason.FINAL)]
    assert demo_server.issued == 2


def test_a_rate_limit_is_waited_out(
    played: Played, demo_server: DemoServer, clock: FakeClock
) -> None:
    """A 429 with Retry-After waits exactly as long as it says, then goes again."""
    demo_server.answer(429, [("Retry-After", "7")])
    mount(played.session, steady(clock))
    response = played.session.get(f"{ORIGIN}/get")
    assert response.json()["url"] == f"{ORIGIN}/get"
    assert clock.sleeps == [7.0]
    assert reasons(response) == [(429, Reason.THROTTLED), (200, Reason.FINAL)]


def test_a_date_to_retry_at(played: Played, demo_server: DemoServer, clock: FakeClock) -> None:
    """A Retry-After that is a date is measured from the server's own, though ours says 1970."""
    demo_server.answer(503, [("Retry-After", format_datetime(in_half_a_minute(), usegmt=True))])
    mount(played.session, steady(clock))
    assert played.session.get(f"{ORIGIN}/get").status_code == 200
    assert clock.sleeps == [pytest.approx(30, abs=1)]


def test_a_rate_limit_that_names_no_time(
    played: Played, demo_server: DemoServer, clock: FakeClock
) -> None:
    """A 429 without Retry-After backs off from a second, doubling; httpbin's own has none."""
    demo_server.answer(429, times=2)
    mount(played.session, steady(clock))
    response = played.session.get(f"{ORIGIN}/get")
    assert clock.sleeps == [1.0, 2.0]
    assert response.status_code == 200
    limited = played.session.get(f"{ORIGIN}/status/429")
    assert reasons(limited)[-1] == (429, Reason.ATTEMPTS_EXHAUSTED)
    assert clock.sleeps[2:] == [1.0, 2.0, 4.0]  # the pace is that of the other endpoint


def test_a_failing_server_is_asked_again(
    played: Played, demo_server: DemoServer, clock: FakeClock
) -> None:
    """A 503 is retried after a short wait and the caller gets the real answer."""
    demo_server.answer(503)
    mount(played.session, steady(clock))
    response = played.session.get(f"{ORIGIN}/json")
    assert response.json()["slideshow"]["title"] == "Sample Slide Show"
    assert reasons(response) == [(503, Reason.SERVER_ERROR), (200, Reason.FINAL)]
    assert clock.sleeps == [0.05]


def test_the_last_answer_is_handed_out(played: Played, clock: FakeClock) -> None:
    """When all attempts are used up the caller gets the last real 503, and no exception."""
    mount(played.session, steady(clock))
    response = played.session.get(f"{ORIGIN}/status/503")
    assert response.status_code == 503
    assert response.headers["Server"].startswith("Werkzeug")
    again = (503, Reason.SERVER_ERROR)
    assert reasons(response) == [again, again, again, (503, Reason.ATTEMPTS_EXHAUSTED)]
    assert clock.sleeps == pytest.approx([0.05, 0.1, 0.2])


def test_a_post_is_resent_after_a_429(
    played: Played, demo_server: DemoServer, clock: FakeClock
) -> None:
    """A POST that was refused unprocessed goes again with its whole body."""
    demo_server.answer(429, [("Retry-After", "1")])
    mount(played.session, steady(clock))
    response = played.session.post(f"{ORIGIN}/post", json={"name": "Ada"})
    assert response.json()["json"] == {"name": "Ada"}
    assert [each.body_length for each in played.passed] == [15, 15]


def test_a_post_is_not_resent_after_a_503(
    played: Played, demo_server: DemoServer, clock: FakeClock
) -> None:
    """A POST that may have been processed is sent once; the caller gets the 503."""
    demo_server.answer(503, [("Retry-After", "1")])
    mount(played.session, steady(clock))
    response = played.session.post(f"{ORIGIN}/post", json={"name": "Ada"})
    assert reasons(response) == [(503, Reason.NOT_IDEMPOTENT)]
    assert played.statuses == [503]
    assert clock.sleeps == []


def test_a_redirect_on_the_same_origin(
    played: Played, demo_server: DemoServer, clock: FakeClock
) -> None:
    """Each hop carries the token; one that fails, or is refused, is retried by itself."""
    demo_server.guarded = True
    mount(played.session, steady(clock, token=demo_server.issue, origins=[ORIGIN]))
    assert played.session.get(f"{ORIGIN}/get").status_code == 200
    demo_server.revoke()
    demo_server.answer(503)
    response = played.session.get(f"{ORIGIN}/redirect/1")
    assert response.url == f"{ORIGIN}/get"
    assert response.json()["headers"]["Authorization"] == "Bearer issued-2-" + "x" * 32
    assert played.statuses == [200, 503, 401, 302, 200]
    assert reasons(response) == [
        (503, Reason.SERVER_ERROR),
        (401, Reason.REFRESHED),
        (302, Reason.REDIRECT),
        (200, Reason.FINAL),
    ]


def test_a_redirect_to_another_origin(
    played: Played, demo_server: DemoServer, clock: FakeClock
) -> None:
    """The token stays behind at a redirect elsewhere, and a 401 from there renews nothing."""
    mount(played.session, steady(clock, token=demo_server.issue, origins=[ORIGIN]))
    target = "https://elsewhere.test/bearer"
    response = played.session.get(f"{ORIGIN}/redirect-to", params={"url": target})
    assert (response.url, response.status_code) == (target, 401)
    assert played.passed[0].authorization == "Bearer issued-1-" + "x" * 32
    assert played.passed[1].authorization is None
    assert demo_server.issued == 1


def test_the_right_password(played: Played, demo_server: DemoServer, clock: FakeClock) -> None:
    """Basic authentication of requests' own works through a mounted session, retries included."""
    demo_server.answer(503)
    mount(played.session, steady(clock))
    url = f"{ORIGIN}/basic-auth/ada/{PASSWORD}"
    response = played.session.get(url, auth=("ada", PASSWORD))
    assert response.json() == {"authenticated": True, "user": "ada"}
    assert [each.authorization for each in played.passed] == ["Basic <HIDDEN>"] * 2


@pytest.mark.parametrize("user", ["ada", "bob"], ids=["password", "user"])
def test_a_wrong(played: Played, clock: FakeClock, user: str) -> None:
    """A wrong password or user is one request and one 401: asking again would change nothing."""
    mount(played.session, steady(clock))
    response = played.session.get(f"{ORIGIN}/basic-auth/ada/{PASSWORD}", auth=(user, "wrong"))
    assert reasons(response) == [(401, Reason.NO_TOKEN)]
    assert response.headers["WWW-Authenticate"] == 'Basic realm="Fake Realm"'
    assert len(played.passed) == 1


def test_digest_authentication(played: Played, demo_server: DemoServer, clock: FakeClock) -> None:
    """The digest authentication of requests answers its 401 through a mounted session."""
    demo_server.answer(503)
    mount(played.session, steady(clock))
    auth = HTTPDigestAuth("ada", PASSWORD)
    response = played.session.get(f"{ORIGIN}/digest-auth/auth/ada/{PASSWORD}", auth=auth)
    assert response.json() == {"authenticated": True, "user": "ada"}
    assert [answer.status_code for answer in response.history] == [401]
    assert played.statuses == [503, 401, 200]


def test_cookies_of_failed_attempts(
    played: Played, demo_server: DemoServer, clock: FakeClock
) -> None:
    """What a failed attempt sets goes with the next one, and stays in the session."""
    demo_server.answer(503, [("Set-Cookie", "crumb=oat; Path=/")])
    mount(played.session, steady(clock))
    response = played.session.get(f"{ORIGIN}/cookies")
    assert list(response.json()["cookies"]) == ["crumb"]
    assert [each.cookie for each in played.passed] == [None, "crumb=<HIDDEN>"]
    assert played.session.cookies.keys() == ["crumb"]


def test_cookies_of_a_refusal(played: Played, demo_server: DemoServer, clock: FakeClock) -> None:
    """What a 401 sets goes with the replay, and stays in the session."""
    demo_server.answer(401, [("Set-Cookie", "crumb=oat; Path=/")])
    mount(played.session, steady(clock, token=demo_server.issue, origins=[ORIGIN]))
    response = played.session.get(f"{ORIGIN}/cookies")
    assert list(response.json()["cookies"]) == ["crumb"]
    assert [each.cookie for each in played.passed] == [None, "crumb=<HIDDEN>"]
    assert played.session.cookies.keys() == ["crumb"]


def test_a_stream(played: Played, demo_server: DemoServer, clock: FakeClock) -> None:
    """A streamed answer is retried until it begins well, and then left for the caller to read."""
    demo_server.answer(503)
    mount(played.session, steady(clock))
    response = played.session.get(f"{ORIGIN}/stream/3", stream=True)
    assert not response._content_consumed  # noqa: SLF001
    assert len(list(response.iter_lines())) == 3
    assert played.statuses == [503, 200]


def test_all_of_it_is_told(played: Played, demo_server: DemoServer, clock: FakeClock) -> None:
    """`attempts` and `explain` tell a whole call as the cassette has it, wait for wait."""
    demo_server.guarded = True
    mount(played.session, steady(clock, token=demo_server.issue, origins=[ORIGIN]))
    played.session.get(f"{ORIGIN}/bearer")
    demo_server.revoke()
    demo_server.answer(429, [("Retry-After", "3")])
    demo_server.answer(503, times=2)
    response = played.session.get(f"{ORIGIN}/bearer")
    url = f"{ORIGIN}/bearer"
    assert [(each.started, each.delay) for each in attempts(response)] == [
        pytest.approx(pair) for pair in [(0, 3), (3, 0.1), (3.1, 0.2), (3.3, 0), (3.3, 0)]
    ]
    assert str(explain(response)).splitlines() == [
        f"GET {url}: 200 after 5 attempts in 3.3 s",
        "  1. 429 in 0 s: throttled (the server asked for 3 s)",
        "     waited 3 s: retry_after, as the server asked",
        "  2. 503 in 0 s: server error",
        "     waited 0.1 s: backoff",
        "  3. 503 in 0 s: server error",
        "     waited 0.2 s: backoff",
        "  4. 401 in 0 s: token renewed",
        "  5. 200 in 0 s: final answer",
        "  waited 3.3 s in all",
    ]
    assert played.statuses[1:] == [attempt.status for attempt in attempts(response)]
