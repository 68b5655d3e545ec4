"""When the adapter waits and sends again, and when it hands out the answer."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING
from weakref import ref

import pytest
import requests
from requests.exceptions import ChunkedEncodingError
from urllib3.exceptions import NewConnectionError, ProtocolError

from requests_authretry import (
    AttemptEnded,
    AuthRetryError,
    Backoff,
    CallEnded,
    GaveUp,
    Jitter,
    Reason,
    RetryPolicy,
    RetryQuota,
    RetryScheduled,
    Settings,
    Waiting,
    attempts,
    mount,
)
from requests_authretry._admission.retry_quota import RetryQuotas
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.sessions import API, AT_ONCE, Rig, raised, real
from tests.support.wire import PATIENCE, Wire, answer, cut, fin, refusing, rst, says, silence

if TYPE_CHECKING:
    from threading import Event

    from tests.support.wire import End

TWICE = RetryPolicy(max_attempts=2, backoff=AT_ONCE)
REFUSED = requests.ConnectionError(NewConnectionError(None, "refused"))  # type: ignore[arg-type]
LOST = requests.ConnectionError(ProtocolError("reset"))


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_a_throttled_request_waits_as_long_as_it_was_asked_to(method: str) -> None:
    """A request with any method is sent again after a 429, exactly when the server asked."""
    rig = Rig((429, {"Retry-After": "7"}), 200)
    assert rig.session.request(method, API).status_code == 200
    assert rig.waits == [7.0]


def test_a_date_to_retry_at_is_measured_from_the_servers_own_clock() -> None:
    """A Retry-After date counts from the Date of the same answer, whatever the local time."""
    asked = {
        "Date": "Wed, 21 Oct 2026 07:28:00 GMT",
        "Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT",
    }
    rig = Rig((503, asked), 200)
    assert rig.get().status_code == 200
    assert rig.waits == [30.0]


def test_of_two_retry_after_values_the_longer_one_counts() -> None:
    """Two Retry-After lines on the wire are read one by one, and the longest is kept."""
    lines = (("Retry-After", "1"), ("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"))
    with Wire(answer(503, b"", *lines), answer()) as wire, real(clock=FakeClock()) as session:
        response = session.get(wire.url)
    assert [attempt.retry_after for attempt in attempts(response)] == [1.0, None]


@pytest.mark.parametrize(
    ("policy", "asked"),
    [
        (RetryPolicy(), "121"),
        (RetryPolicy(max_retry_after=10), "11"),
        (RetryPolicy(deadline=5), "5.5"),
    ],
    ids=["deadline", "max_retry_after", "short deadline"],
)
def test_a_wait_that_does_not_fit_ends_the_call_at_once(policy: RetryPolicy, asked: str) -> None:
    """The caller gets the real 429 without a wait, and the event has the server's `retry_after`."""
    rig = Rig((429, {"Retry-After": asked}, b"slow down"), 200, retry=policy)
    response = rig.get()
    assert (response.status_code, response.content, rig.waits) == (429, b"slow down", [])
    assert response.headers["Retry-After"] == asked
    [end] = rig.told(GaveUp)
    assert (end.reason, end.retry_after, end.attempts) == (Reason.WAIT_TOO_LONG, float(asked), 1)
    assert attempts(response)[-1].retry_after == float(asked)


@pytest.mark.parametrize(
    ("policy", "asked"), [(RetryPolicy(), "119.9"), (RetryPolicy(max_retry_after=10), "10")]
)
def test_a_wait_that_just_fits_is_kept(policy: RetryPolicy, asked: str) -> None:
    """A wait is kept that ends just before the deadline, or is as long as `max_retry_after`."""
    rig = Rig((429, {"Retry-After": asked}), 200, retry=policy)
    assert rig.get().status_code == 200
    assert rig.waits == [float(asked)]


@pytest.mark.parametrize("asked", ["-1", "soon", "1e3", "٣", "inf", "", "1m 0s"])
def test_a_malformed_retry_after_counts_as_absent(asked: str) -> None:
    """A malformed Retry-After raises nothing: the wait is our own backoff."""
    own = Backoff(throttled_initial=3.0, jitter=Jitter.NONE)
    rig = Rig((429, {"Retry-After": asked}), 200, retry=RetryPolicy(backoff=own))
    assert rig.get().status_code == 200
    assert rig.waits == [3.0]


def test_waits_grow_and_end_with_the_attempts() -> None:
    """The delay doubles without `retry_after`, and after four attempts the last answer comes."""
    rig = Rig(503, 503, 503, 503, 200, retry=RetryPolicy(backoff=Backoff(jitter=Jitter.NONE)))
    assert rig.get().status_code == 503
    assert rig.waits == pytest.approx([0.05, 0.1, 0.2])
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.ATTEMPTS_EXHAUSTED]


def test_the_first_retry_waits_too() -> None:
    """The first retry waits too: with jitter the delay is random, not zero."""
    waits = set()
    for _ in range(5):
        rig = Rig(429, 200)
        rig.get()
        waits.add(rig.waits[0])
    assert len(waits) == 5
    assert all(0 <= wait < 1 for wait in waits)


@pytest.mark.parametrize("word", ["false", "False", " FALSE "])
def test_the_server_may_forbid_a_retry(word: str) -> None:
    """A 503 with x-should-retry: false is handed out at once."""
    rig = Rig((503, {"x-should-retry": word}), 200)
    assert rig.get().status_code == 503
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.VETOED]


@pytest.mark.parametrize(("status", "sent"), [(409, 2), (404, 2), (400, 2), (200, 1), (304, 1)])
def test_the_server_may_ask_for_a_retry(status: int, sent: int) -> None:
    """An error with x-should-retry: true is retried whatever its status; a success never is."""
    rig = Rig((status, {"x-should-retry": "true"}), 204)
    rig.get()
    assert len(rig.inner.sent) == sent


@pytest.mark.parametrize("line", [429, REFUSED, requests.ConnectTimeout()])
def test_a_post_that_was_not_processed_goes_again(line: int | Exception) -> None:
    """A throttled or undelivered POST is as safe to repeat as a GET."""
    rig = Rig(line, 201)
    assert rig.session.post(API, data=b"order").status_code == 201
    assert [request.body for request in rig.inner.sent] == [b"order", b"order"]


@pytest.mark.parametrize("line", [LOST, requests.ReadTimeout(), ChunkedEncodingError()])
def test_a_post_that_may_have_been_processed_stays_sent_once(line: Exception) -> None:
    """The original exception is raised after one send, and the event has the reason."""
    rig = Rig(line, 201)
    with pytest.raises(requests.RequestException) as raised:
        rig.session.post(API, data=b"order")
    assert raised.value is line
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.NOT_IDEMPOTENT]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_post_does_not_go_again_after_a_server_error(status: int) -> None:
    """A POST that failed with a 5xx may have been processed: the caller gets the real answer."""
    rig = Rig((status, {"Retry-After": "1"}, b"oops"), 201)
    response = rig.session.post(API, data=b"order")
    assert (response.status_code, response.content) == (status, b"oops")
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.NOT_IDEMPOTENT]


@pytest.mark.parametrize("line", [503, LOST, requests.ReadTimeout()])
def test_an_idempotency_key_lets_a_post_go_again(line: int | Exception) -> None:
    """A POST with an Idempotency-Key is sent again after any failure, with the same key."""
    rig = Rig(line, 200)
    response = rig.session.post(API, data=b"order", headers={"idempotency-key": "k-1"})
    assert response.status_code == 200
    assert [request.headers["Idempotency-Key"] for request in rig.inner.sent] == ["k-1", "k-1"]


def test_a_throttled_post_stays_put_where_the_settings_say_so() -> None:
    """A 429 to a POST is handed out with any_method_on_429=False."""
    rig = Rig(429, 200, retry=RetryPolicy(any_method_on_429=False))
    assert rig.session.post(API).status_code == 429
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.NOT_IDEMPOTENT]


def test_a_post_is_on_the_wire_once_after_a_read_timeout() -> None:
    """A server that accepts a POST and does not answer gets it once."""
    with Wire(silence(), answer()) as wire, real() as session:
        with pytest.raises(requests.ReadTimeout):
            session.post(wire.url, data=b"order", timeout=(PATIENCE, 0.05))
        wire.wait_for_arrival()
        assert [request.body for request in wire.arrived] == [b"order"]


def test_a_get_is_on_the_wire_twice_after_a_read_timeout() -> None:
    """A server that accepts a GET and does not answer gets it twice."""
    # a slow machine may need more attempts for an answer in time
    many = RetryPolicy(max_attempts=30, backoff=AT_ONCE)
    here = answer(200, b"here")
    with Wire(silence(), otherwise=lambda _: here) as wire, real(retry=many) as session:
        assert session.get(wire.url, timeout=(PATIENCE, 0.2)).content == b"here"
        assert len(wire.arrived) >= 2


@pytest.mark.parametrize("end", [fin, rst], ids=["FIN", "RST"])
def test_a_lost_post_with_a_key_is_on_the_wire_twice(end: End) -> None:
    """A POST with a key survives a connection that was cut before the answer."""
    with Wire(says(end=end), answer(201)) as wire, real() as session:
        key = {"Idempotency-Key": "k-1"}
        assert session.post(wire.url, data=b"order", headers=key).status_code == 201
        assert [request.body for request in wire.arrived] == [b"order", b"order"]


def test_a_refused_post_goes_again() -> None:
    """A POST is tried as often as a GET if the connection was refused, as nothing was sent."""
    with refusing() as url, real(retry=TWICE) as session:
        error = raised(session, url, method="POST", data=b"order")
    reasons = [attempt.reason for attempt in attempts(error)]
    assert reasons == [Reason.UNREACHABLE, Reason.ATTEMPTS_EXHAUSTED]


@pytest.mark.parametrize(
    "headers", [(("Retry-After", "3600"),), (("x-should-retry", "false"),)], ids=["later", "never"]
)
def test_a_cut_body_is_no_excuse_to_probe_early(headers: tuple[tuple[str, str], ...]) -> None:
    """A broken body does not restart a call that the server's headers ended."""
    refused = cut(503, 10, b"abc", *headers, end=rst)
    with Wire(refused, answer()) as wire, real() as session:
        with pytest.raises(ChunkedEncodingError):
            session.get(wire.url)
        assert len(wire.arrived) == 1


def test_a_call_that_a_retry_saved_pays_it_back() -> None:
    """A quota for one retry is enough for any number of calls that succeed after one retry."""
    rig = Rig(*[503, 200] * 3, quota=RetryQuota(capacity=14))
    assert [rig.get().status_code for _ in range(3)] == [200, 200, 200]


def test_calls_that_need_no_retry_fill_the_quota() -> None:
    """Each call that succeeds at once pays one unit back, until a retry can be paid again."""
    rig = Rig(503, 503, *[200] * 14, 503, 200, quota=RetryQuota(capacity=14))
    assert [rig.get().status_code for _ in range(16)] == [503, *[200] * 15]


def test_an_empty_quota_ends_the_call() -> None:
    """A retry that the quota cannot pay is not sent, and the event has the reason."""
    rig = Rig(503, 503, 503, 200, quota=RetryQuota(capacity=28))
    assert rig.get().status_code == 503
    assert len(rig.inner.sent) == 3
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.QUOTA_EXHAUSTED]


def test_a_call_that_failed_pays_nothing_back() -> None:
    """The quota stays empty in an outage: each further call is sent once."""
    rig = Rig(*[503] * 5, quota=RetryQuota(capacity=28))
    assert [rig.get().status_code for _ in range(3)] == [503, 503, 503]
    assert len(rig.inner.sent) == 5


def test_a_call_that_ends_with_a_server_error_pays_nothing_back() -> None:
    """A 500 that the settings do not retry is no success, although it is final."""
    policy = RetryPolicy(statuses=[503], backoff=AT_ONCE)
    rig = Rig(503, 500, 503, 200, quota=RetryQuota(capacity=14), retry=policy)
    assert [rig.get().status_code for _ in range(2)] == [500, 503]


def test_who_comes_too_late_to_pay_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry is not sent if other threads emptied the quota between check and payment."""
    monkeypatch.setattr(RetryQuotas, "pay", lambda *_: False)
    rig = Rig((503, {"Retry-After": "3"}), 200)
    assert rig.get().status_code == 503
    [end] = rig.told(GaveUp)
    assert (end.reason, end.retry_after) == (Reason.QUOTA_EXHAUSTED, 3.0)


def test_throttled_retries_cost_less() -> None:
    """A 429 costs 5 units and a 503 costs 14, so that a quota pays for more 429s."""
    sent = {}
    for status in (429, 503):
        policy = RetryPolicy(max_attempts=9, backoff=AT_ONCE)
        rig = Rig(*[status] * 9, quota=RetryQuota(capacity=15), retry=policy)
        rig.get()
        sent[status] = len(rig.inner.sent)
    assert sent == {429: 4, 503: 2}


def test_each_origin_has_a_quota_of_its_own() -> None:
    """An outage at one host takes no retries from another."""
    rig = Rig(503, 503, 503, 200, quota=RetryQuota(capacity=14))
    assert rig.get("https://down.example.com/").status_code == 503
    assert rig.get("https://well.example.com/").status_code == 200


def test_listeners_hear_each_retry_and_the_end() -> None:
    """A retry is announced before its wait, with all its facts, and so is the end of the call."""
    rig = Rig((429, {"Retry-After": "2"}), LOST, 503, retry=RetryPolicy(max_attempts=3))
    rig.get("/items?key=private")
    first, second = rig.told(RetryScheduled)
    assert (
        first.attempt,
        first.reason,
        first.delay,
        first.retry_after,
        first.status,
        first.error,
    ) == ((1, Reason.THROTTLED, 2.0, 2.0, 429, None))
    assert (second.attempt, second.reason, second.status, second.error) == (
        (2, Reason.LOST, None, "ConnectionError")
    )
    [end] = rig.told(GaveUp)
    assert (end.attempts, end.status, end.method, end.url) == (3, 503, "GET", f"{API}/items")


def test_a_listener_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The request goes on, the other listeners are called, and the log names the failure."""
    heard: list[object] = []

    def broken(event: object) -> None:
        raise TypeError(f"cannot count {event!r}")

    rig = Rig(503, 200, listeners=[broken, heard.append])
    assert rig.get().status_code == 200
    assert [type(event) for event in heard] == [
        AttemptEnded,
        RetryScheduled,
        Waiting,
        AttemptEnded,
        CallEnded,
    ]
    assert "a listener failed on RetryScheduled" in caplog.text


class Watching(FakeClock):
    """A clock that sees what waiting calls can be woken with.

    Attributes:
        wakes: Weak references to that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.wakes: list[ref[Event]] = []

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Look, and go on."""
        assert wake is not None
        self.wakes.append(ref(wake))
        super().sleep(seconds, wake)


def test_a_wait_that_is_over_leaves_nothing_behind() -> None:
    """A session that makes many calls does not keep what their waits could be ended with."""
    clock = Watching()
    rig = Rig(503, 200, clock=clock)
    rig.get()
    gc.collect()
    assert [wake() for wake in clock.wakes] == [None]


def test_a_listener_closes_the_session() -> None:
    """A session that is closed between the decision and the wait sends nothing more."""
    session, script = requests.Session(), ScriptedAdapter(503, 200)
    session.mount(API, script)
    settings = Settings(clock=FakeClock(), listeners=[lambda _: session.close()])
    mount(session, settings)
    with pytest.raises(AuthRetryError, match=r"^the session was closed during the wait$"):
        session.get(API)
    assert len(script.sent) == 1
