"""A 429 or 503 may say in its body alone how long to wait."""

from __future__ import annotations

import gzip

import pytest

from requests_authretry import GaveUp, Reason, RetryPolicy, attempts, explain
from requests_authretry.testing import FakeClock
from tests.support.sessions import AT_ONCE, Rig, real
from tests.support.wire import Wire, answer, chunked, cut, drip, fin, head

EIGHT = b'{"ok": false, "parameters": {"retry_after": 8}}'
GZIP = ("Content-Encoding", "gzip")
AGAIN = RetryPolicy(backoff=AT_ONCE)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_number_in_the_body_is_waited_for(status: int, method: str) -> None:
    """``{"parameters": {"retry_after": 8}}`` is waited for, exactly; a POST only after a 429."""
    rig = Rig((status, {}, EIGHT), 200)
    response = rig.session.request(method, "https://api.example.com/", data=b"x")
    is_sent_again = status == 429 or method == "GET"
    assert rig.waits == ([8.0] if is_sent_again else [])
    assert attempts(response)[0].retry_after == 8.0


@pytest.mark.parametrize("status", [500, 502, 504, 403, 529])
def test_other_statuses_say_nothing_in_their_bodies(status: int) -> None:
    """The same body of a 500 is not waited for."""
    rig = Rig((status, {}, EIGHT), 200, retry=RetryPolicy(backoff=AT_ONCE, statuses={status}))
    rig.get()
    assert rig.waits in ([], [0.0])


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "soon"}, 8.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "5"}, 5.0),
        ({"X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "5"}, 8.0),
    ],
    ids=["seconds", "malformed", "reset", "not exhausted"],
)
def test_a_header_that_names_a_time_counts_first(headers: dict[str, str], seconds: float) -> None:
    """With ``Retry-After: 3`` the body is not asked; with a malformed one it is."""
    rig = Rig((429, headers, EIGHT), 200)
    response = rig.get()
    assert attempts(response)[0].retry_after == seconds


def test_a_moment_in_the_body_is_measured_from_the_servers_own_clock() -> None:
    """A moment in POSIX seconds counts from the Date of the answer, whatever the local time."""
    asked = {"Date": "Sun, 15 Jun 2025 15:06:40 GMT"}
    rig = Rig((429, asked, b'{"retry_after": 1750000030}'), 200)
    assert rig.get().status_code == 200
    assert rig.waits == [30.0]


def test_a_time_in_the_body_that_does_not_fit_ends_the_call_at_once() -> None:
    """A number however large is never retried early: the caller gets the 429, with its body."""
    body = b'{"retry_after": ' + b"9" * 5000 + b"}"
    rig = Rig((429, {}, body), 200)
    response = rig.get()
    assert (response.status_code, response.content, rig.waits) == (429, body, [])
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.WAIT_TOO_LONG]


def test_a_time_in_the_body_holds_back_other_calls() -> None:
    """The second call to the same limit is the test; the third one waits for the rest of 8 s."""
    rig = Rig((429, {}, EIGHT), (429, {}, EIGHT), 200, retry=RetryPolicy(max_attempts=1))
    first, second, third = (rig.get("/a") for _ in range(3))
    assert [each.status_code for each in (first, second, third)] == [429, 429, 200]
    assert rig.waits == [8.0]
    assert "cool-down" in str(explain(third))


@pytest.mark.parametrize(
    "wait",
    [
        answer(429, EIGHT),
        answer(429, gzip.compress(EIGHT), GZIP),
        chunked(429, EIGHT[:9], EIGHT[9:]),
        cut(429, len(EIGHT), EIGHT, end=fin),
    ],
    ids=["sized", "gzip", "chunked", "closed"],
)
def test_a_body_on_the_wire_is_read_before_the_decision(wait: object) -> None:
    """The wait is known whatever the framing, and the connection is used again."""
    clock = FakeClock()
    with Wire(wait, answer(200, b"here")) as wire, real(clock=clock) as session:  # type: ignore[arg-type]
        assert session.get(wire.url).content == b"here"
    assert clock.sleeps == [8.0]


def test_a_body_that_is_handed_out_is_whole() -> None:
    """A body of 300 KB, whose start was looked at, comes to the caller unchanged."""
    body = EIGHT + bytes(300_000)
    policy = RetryPolicy(max_attempts=1)
    for action in (answer(429, body), answer(429, gzip.compress(body), GZIP)):
        with Wire(action) as wire, real(retry=policy) as session:
            assert session.get(wire.url).content == body


def test_the_body_of_a_stream_is_not_read() -> None:
    """With ``stream=True`` the body is the caller's: the wait is our own backoff."""
    clock = FakeClock()
    with Wire(answer(429, EIGHT), answer()) as wire, real(clock=clock) as session:
        response = session.get(wire.url, stream=True)
    assert attempts(response)[0].retry_after is None


def test_a_body_that_drips_is_not_waited_for() -> None:
    """The look ends after a second, as a drain does, and the wait is our own backoff."""
    clock = FakeClock()
    dripping = drip(head(429, ("Content-Length", "100000")), tick=lambda: clock.advance(0.1))
    with Wire(dripping, answer(200, b"here")) as wire, real(clock=clock) as session:
        response = session.get(wire.url)
    assert response.content == b"here"
    assert attempts(response)[0].retry_after is None


def test_an_observed_call_tells_of_the_time_in_the_body() -> None:
    """A call that is only observed says what it would have waited, and hands out the body."""
    rig = Rig((429, {}, EIGHT), observe=True)
    response = rig.get()
    assert response.content == EIGHT
    assert "would retry after 8 s: throttled" in str(explain(response))
