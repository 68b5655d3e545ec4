"""Which statuses are retried, and what a 202 and a refusal before processing lead to."""

from __future__ import annotations

import pytest
import requests
from urllib3 import Retry
from urllib3.exceptions import NewConnectionError, ProtocolError

from requests_authretry import (
    Backoff,
    ConfigurationError,
    GaveUp,
    Jitter,
    Reason,
    RetryPolicy,
    RetryQuota,
    Verdict,
    attempts,
    explain,
    override,
)
from requests_authretry.testing import FakeClock
from tests.support.sessions import API, AT_ONCE, Rig, raised, real
from tests.support.wire import Wire, answer

DEFAULT = [408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530]
POLLED = RetryPolicy(statuses=[202, 503], backoff=Backoff(jitter=Jitter.NONE))
REFUSED = requests.ConnectionError(NewConnectionError(None, "refused"))  # type: ignore[arg-type]
LOST = requests.ConnectionError(ProtocolError("reset"))


@pytest.mark.parametrize("status", range(400, 600))
def test_a_get_is_sent_again_after_the_statuses_of_the_default(status: int) -> None:
    """After a 524 a GET is sent again, after a 525 it is handed out."""
    rig = Rig(status, 200)
    assert rig.get().status_code == (200 if status in DEFAULT else status)


@pytest.mark.parametrize("status", DEFAULT)
def test_a_post_is_sent_again_where_nothing_was_processed(status: int) -> None:
    """Of the default statuses a 425 and a 429 say so; after a 408 a POST is handed out."""
    rig = Rig(status, 200)
    response = rig.session.post(API, data=b"order")
    assert response.status_code == (200 if status in {425, 429} else status)


@pytest.mark.parametrize(
    ("status", "said"),
    [(408, Reason.RETRYABLE), (425, Reason.RETRYABLE), (529, Reason.SERVER_ERROR)],
)
def test_only_a_status_from_500_on_is_called_a_server_error(status: int, said: Reason) -> None:
    """The record says ``408: retryable status``, since the client was too slow."""
    assert attempts(Rig(status, 200).get())[0].reason is said


def test_a_status_that_refuses_before_processing_lets_a_post_go_again() -> None:
    """With ``not_processed={503, 529}`` a POST is sent again after these, with the same body."""
    rig = Rig(503, 529, 201, retry=RetryPolicy(not_processed={503, 529}))
    assert rig.session.post(API, data=b"order").status_code == 201
    assert [request.body for request in rig.inner.sent] == [b"order"] * 3


@pytest.mark.parametrize("line", [502, LOST, requests.ReadTimeout()])
def test_other_failures_of_such_a_post_are_handed_out(line: int | Exception) -> None:
    """With ``not_processed={503}`` a POST stays as it is after a 502 or a lost connection."""
    rig = Rig(line, 201, retry=RetryPolicy(not_processed={503}))
    if isinstance(line, Exception):
        assert raised(rig.session, API, "POST") is line
    else:
        assert rig.session.post(API).status_code == line
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.NOT_IDEMPOTENT]


def test_a_policy_taken_over_from_urllib3_names_no_such_status() -> None:
    """``not_processed`` is empty, and can be given; statuses below 400 are left out."""
    retry = Retry(3, status_forcelist=[202, 302, 503])
    policy = RetryPolicy.from_urllib3(retry)
    assert (policy.not_processed, policy.statuses) == (set(), {413, 429, 503})
    assert RetryPolicy.from_urllib3(retry, not_processed={503}).not_processed == {503}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_202_in_the_statuses_is_asked_for_again(method: str) -> None:
    """A report that is made meanwhile is asked for after 1, 2, 4 s and so on, without an end."""
    rig = Rig(*[202] * 7, 200, retry=POLLED)
    assert rig.session.request(method, API).status_code == 200
    assert rig.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_not_sent_again_after_a_202(method: str) -> None:
    """A POST that was accepted is done, also where the policy names POST or it has a key."""
    policy = RetryPolicy(statuses=[202], methods={method, "GET"}, idempotency_key=True)
    rig = Rig(202, retry=policy)
    response = rig.session.request(method, API)
    assert (response.status_code, attempts(response)[0].why) == (202, "final answer")
    assert (rig.told(GaveUp), len(rig.inner.sent)) == ([], 1)


def test_a_202_is_asked_for_at_the_pace_of_the_server() -> None:
    """``Retry-After: 5`` on a 202 is waited for, exactly."""
    rig = Rig((202, {"Retry-After": "5"}), 200, retry=POLLED)
    rig.get()
    assert rig.waits == [5.0]


def test_a_202_costs_no_quota_and_no_attempt() -> None:
    """Ten polls leave the quota and the attempts for the two failures in between."""
    policy = RetryPolicy(statuses=[202, 503], max_attempts=3, deadline=999, backoff=AT_ONCE)
    script = [202] * 5 + [503] + [202] * 5 + [503, 200]
    rig = Rig(*script, retry=policy, quota=RetryQuota(capacity=28))
    assert rig.get().status_code == 200


def test_a_202_that_does_not_end_is_handed_out_before_the_deadline() -> None:
    """With a deadline of 10 s the polls are at 0, 1, 3 and 7 s, and the answer is the 202."""
    policy = RetryPolicy(statuses=[202], deadline=10)
    rig = Rig(*[202] * 4, retry=policy)
    response = rig.get()
    assert (response.status_code, rig.waits) == (202, [1.0, 2.0, 4.0])
    assert attempts(response)[-1].reason is Reason.WAIT_TOO_LONG


def test_the_record_says_that_the_statuses_have_a_202_asked_for_again() -> None:
    """``explain`` names who said so: the statuses of the settings."""
    told = str(explain(Rig(202, 200, retry=POLLED).get()))
    assert "1. 202 in 0 s: pending: your statuses" in told


def test_a_verdict_is_told_of_its_own_answer_only() -> None:
    """Nobody is asked about the 200 after a 202, so that its line names nobody."""
    told = attempts(Rig(202, 200, retry=POLLED).get())
    assert [each.detail for each in told] == ["your statuses", ""]


def test_a_classifier_comes_before_the_statuses() -> None:
    """A function that calls some 202 a success ends the polls."""
    rig = Rig((202, {}, b"done"), retry=POLLED, classify=lambda _: Verdict.ok())
    assert rig.get().content == b"done"


def test_a_classifier_that_says_nothing_leaves_a_202_to_the_statuses() -> None:
    """A function that returns None counts as none."""
    rig = Rig(202, 200, retry=POLLED, classify=lambda _: None)
    assert rig.get().status_code == 200


def test_statuses_of_a_block_count_in_it() -> None:
    """``override(retry=...)`` has a 202 asked for again for the calls of its block alone."""
    rig = Rig(202, 202, 200)
    assert rig.get().status_code == 202
    with override(retry=POLLED):
        assert rig.get().status_code == 200


def test_the_body_of_a_202_frees_its_connection() -> None:
    """The answers of polls come over one connection, and the last one is whole."""
    polls = [answer(202, b"wait")] * 2
    with (
        Wire(*polls, answer(200, b"here")) as wire,
        real(retry=POLLED, clock=FakeClock()) as session,
    ):
        assert session.get(wire.url).content == b"here"
        assert wire.connections == 1


@pytest.mark.parametrize("status", [200, 201, 204, 301, 302, 303, 304])
def test_other_statuses_below_400_are_refused(status: int) -> None:
    """``statuses=[204]`` fails when the settings are made, and names the way out."""
    said = f"not {status}; Settings(classify=...) says what other answers mean"
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(statuses=[status, 503])
    assert str(caught.value).endswith(said)


def test_a_server_that_is_away_for_two_seconds_is_there_for_the_last_attempt() -> None:
    """Refused connections are retried after 0.3, 0.6 and 1.2 s, each and up to as much again."""
    rig = Rig(REFUSED, REFUSED, REFUSED, 200)
    assert rig.session.post(API, data=b"order").status_code == 200
    bounds = zip((0.3, 0.6, 1.2), rig.waits, strict=True)
    assert all(least <= wait <= 2 * least for least, wait in bounds)
    assert 2.1 <= sum(rig.waits) <= 4.2


def test_a_lost_connection_is_retried_as_soon_as_ever() -> None:
    """The longer pauses are for servers that could not be reached: nothing was sent."""
    rig = Rig(LOST, 200, retry=RetryPolicy(backoff=Backoff(jitter=Jitter.NONE)))
    rig.get()
    assert rig.waits == [0.05]


def test_an_answer_that_nobody_judges_has_no_verdict_of_the_attempt_before() -> None:
    """A 202 asked for again, then a 200 that no one is asked about: plainly the final answer."""
    told = str(explain(Rig(202, 200, retry=POLLED).get()))
    assert "2. 200 in 0 s: final answer\n" in told
