"""`decide`: a row for each guard, the order of the guards, and properties of every decision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import (
    Backoff,
    Jitter,
    Reason,
    RetryPolicy,
    RetryQuota,
    Verdict,
)
from requests_authretry._core.bounds import LEAST_ATTEMPT
from requests_authretry._core.classify import Meaning, status_of
from requests_authretry._core.http import IDEMPOTENT_METHODS
from requests_authretry._core.records import Failure, Outcome, Progress, Retry, Stop
from requests_authretry._core.retry import (
    LEAST_RETRY_AFTER,
    RETRIED,
    CallFacts,
    decide,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

STEADY = Backoff(jitter=Jitter.NONE)
POLICY = RetryPolicy(backoff=STEADY)
QUOTA = RetryQuota()
SHORT_RETRY_AFTERS = replace(POLICY, max_retry_after=9.0)
UNTOUCHED_429 = replace(POLICY, any_method_on_429=False)
KEYS = replace(POLICY, idempotency_key=True)
EVERY_4XX = replace(KEYS, statuses=set(range(400, 500)))
POST_BY_NAME = replace(POLICY, methods={"POST"})
REFUSES_BY_503 = replace(POLICY, not_processed={503, 529})


@dataclass(frozen=True, kw_only=True)
class Case:
    """A GET that got a 503 on the first of four attempts, at second 0 of 120; change any field.

    The fields are those of `CallFacts`, `Progress` and `Outcome`, and the clock.
    """

    method: str = "GET"
    deadline: float = 120.0
    policy: RetryPolicy = POLICY
    quota: RetryQuota = QUOTA
    has_key: bool = False
    made_key: bool = False
    attempt: int = 1
    replayable: bool = True
    level: int = 500
    status: int | None = 503
    failure: Failure | None = None
    retry_after: float | None = None
    should_retry: bool | None = None
    throttled: bool = False
    verdict: Verdict | None = None
    polls: int = 0
    now: float = 0.0
    fraction: float = 0.5

    def decided(self) -> Retry | Stop:
        """Return the decision of `decide`."""
        return decide(
            CallFacts(
                self.method, self.deadline, self.policy, self.quota, self.has_key, self.made_key
            ),
            Progress(self.attempt, self.replayable, self.level, self.polls),
            Outcome(
                self.status,
                self.failure,
                self.retry_after,
                self.should_retry,
                throttled=self.throttled or self.status == 429,
                verdict=self.verdict,
                answered=None if self.verdict is None else 200,
            ),
            self.now,
            self.fraction,
        )


def judged(verdict: Verdict, method: str = "GET", **fields: Any) -> Case:
    """Return a case whose status a verdict has replaced."""
    status = status_of(verdict)
    retry_after = verdict.retry_after
    return Case(method=method, status=status, verdict=verdict, retry_after=retry_after, **fields)


def failed(failure: Failure, method: str = "GET", *, replayable: bool = True) -> Case:
    """Return a case without an answer."""
    return Case(status=None, failure=failure, method=method, replayable=replayable)


def conflict(*, made: bool, attempt: int, status: int = 409) -> Case:
    """Return a POST whose key gets a 409; the caller or the library has set the key."""
    return Case(
        method="POST", status=status, policy=KEYS, has_key=True, made_key=made, attempt=attempt
    )


STOPS: dict[str, tuple[Case, Reason]] = {
    # a verdict takes the place of the status
    "ok, whatever the server asks": (judged(Verdict.ok(), should_retry=True), Reason.FINAL),
    "final, whatever the server asks": (judged(Verdict.final(), should_retry=True), Reason.FINAL),
    "final, though the policy names the status": (
        judged(Verdict.final(), policy=EVERY_4XX),
        Reason.FINAL,
    ),
    "token expired": (judged(Verdict.token_expired()), Reason.FINAL),
    "POST and transient": (judged(Verdict.transient(), "POST"), Reason.NOT_IDEMPOTENT),
    "POST and transient, though a 503 is not processed": (
        judged(Verdict.transient(), "POST", policy=REFUSES_BY_503),
        Reason.NOT_IDEMPOTENT,
    ),
    "POST and throttled, where 429 counts as processed": (
        judged(Verdict.throttled(), "POST", policy=UNTOUCHED_429),
        Reason.NOT_IDEMPOTENT,
    ),
    "POST and throttled, which may have been processed": (
        judged(Verdict(Meaning.THROTTLED), "POST"),
        Reason.NOT_IDEMPOTENT,
    ),
    "transient, vetoed": (judged(Verdict.transient(), should_retry=False), Reason.VETOED),
    "throttled for too long": (judged(Verdict.throttled(121)), Reason.WAIT_TOO_LONG),
    "throttled at the last attempt": (
        judged(Verdict.throttled(), attempt=4),
        Reason.ATTEMPTS_EXHAUSTED,
    ),
    "POST and pending": (judged(Verdict.pending(), "POST"), Reason.FINAL),
    "PUT and pending": (judged(Verdict.pending(), "PUT"), Reason.FINAL),
    "pending, and the body cannot be sent again": (
        judged(Verdict.pending(), replayable=False),
        Reason.NOT_REPLAYABLE,
    ),
    "pending beyond the deadline": (judged(Verdict.pending(120)), Reason.WAIT_TOO_LONG),
    "pending without a time, and the deadline is near": (
        judged(Verdict.pending(), polls=5, now=100.0),
        Reason.WAIT_TOO_LONG,
    ),
    "pending beyond max_retry_after": (
        judged(Verdict.pending(9.1), policy=SHORT_RETRY_AFTERS),
        Reason.WAIT_TOO_LONG,
    ),
    # status not in retry.statuses, and the server does not ask for a retry
    "200 is final": (Case(status=200), Reason.FINAL),
    "304 is final": (Case(status=304), Reason.FINAL),
    "404 is final": (Case(status=404), Reason.FINAL),
    "401 is not retried but answered": (Case(status=401), Reason.FINAL),
    "525 reports a certificate": (Case(status=525), Reason.FINAL),
    "a status that tells of no processing, and is not retried": (
        Case(status=425, policy=replace(POLICY, statuses={429})),
        Reason.FINAL,
    ),
    "a 202 that nobody has judged": (
        Case(status=202, policy=replace(POLICY, statuses={202})),
        Reason.FINAL,
    ),
    "501 says that it never works": (Case(status=501), Reason.FINAL),
    "a status that the policy leaves out": (
        Case(policy=replace(POLICY, statuses={429})),
        Reason.FINAL,
    ),
    "a throttled 403 where 429 is left out": (
        Case(status=403, throttled=True, policy=replace(POLICY, statuses={503})),
        Reason.FINAL,
    ),
    "a 403 with retry_after that is not throttled": (
        Case(status=403, retry_after=3.0),
        Reason.FINAL,
    ),
    "a success is never retried": (Case(status=200, should_retry=True), Reason.FINAL),
    "399 is the last that is no error": (Case(status=399, should_retry=True), Reason.FINAL),
    "409 without a key": (Case(method="POST", status=409, policy=KEYS), Reason.FINAL),
    "409 with a key, and no opt-in": (
        replace(conflict(made=False, attempt=2), policy=POLICY),
        Reason.FINAL,
    ),
    "409 at the first attempt with a key that was made for it": (
        conflict(made=True, attempt=1),
        Reason.FINAL,
    ),
    "400 with a key": (conflict(made=True, attempt=2, status=400), Reason.FINAL),
    "422 with a key": (conflict(made=True, attempt=2, status=422), Reason.FINAL),
    "422 with a key, though the policy names it": (
        replace(conflict(made=False, attempt=1, status=422), policy=EVERY_4XX),
        Reason.FINAL,
    ),
    "422 with a key, though the server asks for a retry": (
        replace(conflict(made=True, attempt=1, status=422), should_retry=True),
        Reason.FINAL,
    ),
    # the server says do not retry
    "409 with a key, vetoed": (
        replace(conflict(made=True, attempt=2), should_retry=False),
        Reason.VETOED,
    ),
    "503 vetoed": (Case(should_retry=False), Reason.VETOED),
    "429 vetoed": (Case(status=429, should_retry=False), Reason.VETOED),
    # failure is fatal
    "fatal failure": (failed(Failure.FATAL), Reason.FATAL),
    "fatal, with a status": (Case(failure=Failure.FATAL), Reason.FATAL),
    # body cannot be sent again
    "one-shot body and 503": (Case(replayable=False), Reason.NOT_REPLAYABLE),
    "one-shot body and 429": (Case(status=429, replayable=False), Reason.NOT_REPLAYABLE),
    "one-shot body, lost": (failed(Failure.LOST, replayable=False), Reason.NOT_REPLAYABLE),
    "one-shot body, not sent": (
        failed(Failure.UNREACHABLE, replayable=False),
        Reason.NOT_REPLAYABLE,
    ),
    # the attempt is the last of max_attempts
    "the fourth attempt is the last": (Case(attempt=4), Reason.ATTEMPTS_EXHAUSTED),
    "409 with a key at the last attempt": (
        conflict(made=True, attempt=4),
        Reason.ATTEMPTS_EXHAUSTED,
    ),
    "past the last": (Case(attempt=5), Reason.ATTEMPTS_EXHAUSTED),
    "one attempt means no retry": (
        Case(policy=replace(POLICY, max_attempts=1)),
        Reason.ATTEMPTS_EXHAUSTED,
    ),
    # may have been processed, and may not be repeated
    "POST and 503": (Case(method="POST"), Reason.NOT_IDEMPOTENT),
    "POST and 408": (Case(method="POST", status=408), Reason.NOT_IDEMPOTENT),
    "POST and 529": (Case(method="POST", status=529), Reason.NOT_IDEMPOTENT),
    "POST and 502 where 503 was not processed": (
        Case(method="POST", status=502, policy=REFUSES_BY_503),
        Reason.NOT_IDEMPOTENT,
    ),
    "POST, lost, where 503 was not processed": (
        replace(failed(Failure.LOST, "POST"), policy=REFUSES_BY_503),
        Reason.NOT_IDEMPOTENT,
    ),
    "POST and a torn 503 that was not processed": (
        Case(method="POST", failure=Failure.LOST, policy=REFUSES_BY_503),
        Reason.NOT_IDEMPOTENT,
    ),
    "PATCH and 500": (Case(method="PATCH", status=500), Reason.NOT_IDEMPOTENT),
    "POST and 503 with retry_after": (
        Case(method="POST", retry_after=1.0),
        Reason.NOT_IDEMPOTENT,
    ),
    "POST, lost": (failed(Failure.LOST, "POST"), Reason.NOT_IDEMPOTENT),
    "POST and 409 that asks for a retry": (
        Case(method="POST", status=409, should_retry=True),
        Reason.NOT_IDEMPOTENT,
    ),
    "POST and 429 that counts as processed": (
        Case(method="POST", status=429, policy=UNTOUCHED_429),
        Reason.NOT_IDEMPOTENT,
    ),
    "GET that is not allowed by name": (Case(policy=POST_BY_NAME), Reason.NOT_IDEMPOTENT),
    "POST and a throttled 403 that counts as processed": (
        Case(method="POST", status=403, throttled=True, policy=UNTOUCHED_429),
        Reason.NOT_IDEMPOTENT,
    ),
    "4 do not pay a retry of a throttled 403": (
        Case(status=403, throttled=True, level=4),
        Reason.QUOTA_EXHAUSTED,
    ),
    "POST and a 429 torn off, as a 429": (
        Case(method="POST", status=429, failure=Failure.LOST, policy=UNTOUCHED_429),
        Reason.NOT_IDEMPOTENT,
    ),
    # the quota cannot pay
    "13 do not pay a transient retry": (Case(level=13), Reason.QUOTA_EXHAUSTED),
    "4 do not pay a throttled retry": (Case(status=429, level=4), Reason.QUOTA_EXHAUSTED),
    "a lost connection is transient": (
        replace(failed(Failure.LOST), level=13),
        Reason.QUOTA_EXHAUSTED,
    ),
    # the wait would end after the deadline, or retry_after is above max_retry_after
    "retry_after ends too near to the deadline": (Case(retry_after=119.901), Reason.WAIT_TOO_LONG),
    "retry_after ends after the deadline": (Case(retry_after=120.001), Reason.WAIT_TOO_LONG),
    "the backoff ends after the deadline": (Case(now=119.96), Reason.WAIT_TOO_LONG),
    "the time is over": (Case(now=120.5, retry_after=0.0), Reason.WAIT_TOO_LONG),
    "retry_after is above max_retry_after": (
        Case(policy=SHORT_RETRY_AFTERS, retry_after=9.001),
        Reason.WAIT_TOO_LONG,
    ),
}

RETRIES: dict[str, tuple[Case, Retry]] = {
    "transient": (judged(Verdict.transient()), Retry(0.05, Reason.SERVER_ERROR, 14)),
    "transient, though no status is retried": (
        judged(Verdict.transient(), policy=replace(POLICY, statuses=())),
        Retry(0.05, Reason.SERVER_ERROR, 14),
    ),
    "POST and transient, with a key": (
        judged(Verdict.transient(), "POST", has_key=True),
        Retry(0.05, Reason.SERVER_ERROR, 14),
    ),
    "POST and transient that was not processed": (
        judged(Verdict(Meaning.TRANSIENT, not_processed=True), "POST"),
        Retry(0.05, Reason.SERVER_ERROR, 14),
    ),
    "POST and throttled": (
        judged(Verdict.throttled(8), "POST"),
        Retry(8.0, Reason.THROTTLED, 5, 8.0),
    ),
    "throttled without a time": (judged(Verdict.throttled()), Retry(1.0, Reason.THROTTLED, 5)),
    "throttled for 0 s": (judged(Verdict.throttled(0)), Retry(1.0, Reason.THROTTLED, 5, 0)),
    "pending": (judged(Verdict.pending()), Retry(1.0, Reason.PENDING, 0)),
    "HEAD and pending": (judged(Verdict.pending(), "HEAD"), Retry(1.0, Reason.PENDING, 0)),
    "pending for the third time": (
        judged(Verdict.pending(), polls=2),
        Retry(4.0, Reason.PENDING, 0),
    ),
    "pending for the tenth time": (
        judged(Verdict.pending(), polls=9),
        Retry(20.0, Reason.PENDING, 0),
    ),
    "pending after all attempts, without quota, vetoed, and of a method that is not repeated": (
        judged(
            Verdict.pending(7),
            attempt=4,
            level=0,
            should_retry=False,
            policy=replace(POLICY, methods=()),
        ),
        Retry(7.0, Reason.PENDING, 0, 7.0),
    ),
    "pending for 0 s": (judged(Verdict.pending(0), polls=1), Retry(2.0, Reason.PENDING, 0, 0)),
    "pending for less than a second": (
        judged(Verdict.pending(0.25), polls=3),
        Retry(1.0, Reason.PENDING, 0, 0.25),
    ),
    "pending with a backoff of 0": (
        judged(Verdict.pending(), policy=RetryPolicy(backoff=Backoff(max_delay=0.0)), polls=3),
        Retry(1.0, Reason.PENDING, 0),
    ),
    "500": (Case(status=500), Retry(0.05, Reason.SERVER_ERROR, 14)),
    "502": (Case(status=502), Retry(0.05, Reason.SERVER_ERROR, 14)),
    "503": (Case(status=503), Retry(0.05, Reason.SERVER_ERROR, 14)),
    "504": (Case(status=504), Retry(0.05, Reason.SERVER_ERROR, 14)),
    "408": (Case(status=408), Retry(0.05, Reason.RETRYABLE, 14)),
    "425": (Case(status=425), Retry(0.05, Reason.RETRYABLE, 14)),
    "524": (Case(status=524), Retry(0.05, Reason.SERVER_ERROR, 14)),
    "529": (Case(status=529), Retry(0.05, Reason.SERVER_ERROR, 14)),
    "POST and 425": (Case(method="POST", status=425), Retry(0.05, Reason.RETRYABLE, 14)),
    "POST and 503 that was not processed": (
        Case(method="POST", policy=REFUSES_BY_503),
        Retry(0.05, Reason.SERVER_ERROR, 14),
    ),
    "GET and a status that is named as not processed alone": (
        Case(status=418, policy=replace(POLICY, statuses=(), not_processed={418})),
        Retry(0.05, Reason.RETRYABLE, 14),
    ),
    "POST and a status that is named as not processed alone": (
        Case(method="POST", status=418, policy=replace(POLICY, statuses=(), not_processed={418})),
        Retry(0.05, Reason.RETRYABLE, 14),
    ),
    "POST and 503 with retry_after that was not processed": (
        Case(method="POST", retry_after=7.0, policy=REFUSES_BY_503),
        Retry(7.0, Reason.SERVER_ERROR, 14, 7.0),
    ),
    "POST and 429 that is named as not processed, although 429 counts as processed": (
        Case(method="POST", status=429, policy=replace(UNTOUCHED_429, not_processed={429})),
        Retry(1.0, Reason.THROTTLED, 5),
    ),
    "408 to a POST with a key": (
        Case(method="POST", status=408, has_key=True),
        Retry(0.05, Reason.RETRYABLE, 14),
    ),
    "the third attempt that finds nobody": (
        replace(failed(Failure.UNREACHABLE), attempt=3),
        Retry(1.2, Reason.UNREACHABLE, 14),
    ),
    "429 without retry_after": (Case(status=429), Retry(1.0, Reason.THROTTLED, 5)),
    "429 with retry_after": (
        Case(status=429, retry_after=7.0),
        Retry(7.0, Reason.THROTTLED, 5, 7.0),
    ),
    "a throttled 403": (
        Case(status=403, throttled=True),
        Retry(1.0, Reason.THROTTLED, 5),
    ),
    "a throttled 403 with retry_after": (
        Case(status=403, throttled=True, retry_after=7.0),
        Retry(7.0, Reason.THROTTLED, 5, 7.0),
    ),
    "POST and a throttled 403": (
        Case(method="POST", status=403, throttled=True, level=5),
        Retry(1.0, Reason.THROTTLED, 5),
    ),
    "a throttled 403 that the policy names": (
        Case(status=403, throttled=True, policy=replace(POLICY, statuses={403})),
        Retry(1.0, Reason.THROTTLED, 5),
    ),
    "503 with retry_after": (Case(retry_after=7.0), Retry(7.0, Reason.SERVER_ERROR, 14, 7.0)),
    "503 with retry_after 0": (
        Case(retry_after=0.0),
        Retry(0.05, Reason.SERVER_ERROR, 14, 0.0),
    ),
    "unreachable": (failed(Failure.UNREACHABLE), Retry(0.3, Reason.UNREACHABLE, 14)),
    "lost": (failed(Failure.LOST), Retry(0.05, Reason.LOST, 14)),
    "lost within the body of a 200": (
        Case(status=200, failure=Failure.LOST),
        Retry(0.05, Reason.LOST, 14),
    ),
    "the second retry waits twice as long": (
        Case(attempt=2),
        Retry(0.1, Reason.SERVER_ERROR, 14),
    ),
    "the third attempt may go again": (Case(attempt=3), Retry(0.2, Reason.SERVER_ERROR, 14)),
    "the fraction spreads the delay": (
        Case(policy=RetryPolicy(), fraction=0.25),
        Retry(0.0125, Reason.SERVER_ERROR, 14),
    ),
    "any status that asks for it": (
        Case(status=409, should_retry=True),
        Retry(0.05, Reason.RETRYABLE, 14),
    ),
    "400 is the first error": (
        Case(status=400, should_retry=True),
        Retry(0.05, Reason.RETRYABLE, 14),
    ),
    "a status that the policy adds": (
        Case(status=418, policy=replace(POLICY, statuses={418})),
        Retry(0.05, Reason.RETRYABLE, 14),
    ),
    "POST and 429": (Case(method="POST", status=429), Retry(1.0, Reason.THROTTLED, 5)),
    "POST, not sent": (failed(Failure.UNREACHABLE, "POST"), Retry(0.3, Reason.UNREACHABLE, 14)),
    "POST, not sent, where 429 counts as processed": (
        replace(failed(Failure.UNREACHABLE, "POST"), policy=UNTOUCHED_429),
        Retry(0.3, Reason.UNREACHABLE, 14),
    ),
    "POST with an Idempotency-Key": (
        Case(method="POST", has_key=True),
        Retry(0.05, Reason.SERVER_ERROR, 14),
    ),
    "POST with an Idempotency-Key, lost": (
        replace(failed(Failure.LOST, "POST"), has_key=True, made_key=True),
        Retry(0.05, Reason.LOST, 14),
    ),
    "409 while the first with our key may be running": (
        conflict(made=True, attempt=2),
        Retry(0.1, Reason.STILL_RUNNING, 14),
    ),
    "409 with the caller's key, from the first attempt on": (
        conflict(made=False, attempt=1),
        Retry(0.05, Reason.STILL_RUNNING, 14),
    ),
    "409 with a key and retry_after": (
        replace(conflict(made=False, attempt=1), retry_after=7.0),
        Retry(7.0, Reason.STILL_RUNNING, 14, 7.0),
    ),
    "409 of a first attempt, where the policy names it": (
        replace(conflict(made=True, attempt=1), policy=EVERY_4XX),
        Retry(0.05, Reason.RETRYABLE, 14),
    ),
    "409 to a GET that carries the caller's key": (
        replace(conflict(made=False, attempt=1), method="GET"),
        Retry(0.05, Reason.STILL_RUNNING, 14),
    ),
    "422 without a key, as the policy names it": (
        Case(status=422, policy=EVERY_4XX),
        Retry(0.05, Reason.RETRYABLE, 14),
    ),
    "422 with a key and no opt-in, as the policy names it": (
        Case(status=422, has_key=True, policy=replace(EVERY_4XX, idempotency_key=False)),
        Retry(0.05, Reason.RETRYABLE, 14),
    ),
    "400 with a key, as the policy names it": (
        replace(conflict(made=True, attempt=1, status=400), policy=EVERY_4XX),
        Retry(0.05, Reason.RETRYABLE, 14),
    ),
    "POST allowed by name": (
        Case(method="POST", policy=POST_BY_NAME),
        Retry(0.05, Reason.SERVER_ERROR, 14),
    ),
    "GET and 429 that counts as processed": (
        Case(status=429, policy=UNTOUCHED_429),
        Retry(1.0, Reason.THROTTLED, 5),
    ),
    "14 pay a transient retry": (Case(level=14), Retry(0.05, Reason.SERVER_ERROR, 14)),
    "5 pay a throttled retry": (Case(status=429, level=5), Retry(1.0, Reason.THROTTLED, 5)),
    "retry_after ends a moment before the deadline": (
        Case(retry_after=119.9),
        Retry(119.9, Reason.SERVER_ERROR, 14, 119.9),
    ),
    "retry_after of a second": (Case(retry_after=1.0), Retry(1.0, Reason.SERVER_ERROR, 14, 1.0)),
    "retry_after above the backoff": (
        Case(retry_after=0.9),
        Retry(0.9, Reason.SERVER_ERROR, 14, 0.9),
    ),
    "retry_after below the backoff": (
        Case(status=429, retry_after=0.9),
        Retry(1.0, Reason.THROTTLED, 5, 0.9),
    ),
    "retry_after is max_retry_after": (
        Case(policy=SHORT_RETRY_AFTERS, retry_after=9.0),
        Retry(9.0, Reason.SERVER_ERROR, 14, 9.0),
    ),
    "max_retry_after bounds no backoff": (
        Case(status=429, attempt=2, policy=replace(POLICY, max_retry_after=0.0)),
        Retry(2.0, Reason.THROTTLED, 5),
    ),
}

# Each with a retry_after that no deadline can grant, so that the last guard applies to all of them.
ORDER: dict[str, tuple[Case, Reason]] = {
    "final before vetoed": (Case(status=404, should_retry=False), Reason.FINAL),
    "vetoed before fatal": (replace(failed(Failure.FATAL), should_retry=False), Reason.VETOED),
    "fatal before not replayable": (failed(Failure.FATAL, replayable=False), Reason.FATAL),
    "not replayable before attempts": (Case(replayable=False, attempt=4), Reason.NOT_REPLAYABLE),
    "attempts before not idempotent": (
        Case(attempt=4, method="POST"),
        Reason.ATTEMPTS_EXHAUSTED,
    ),
    "not idempotent before quota": (Case(method="POST", level=0), Reason.NOT_IDEMPOTENT),
    "quota before the wait": (Case(level=0), Reason.QUOTA_EXHAUSTED),
    "the wait before going again": (Case(), Reason.WAIT_TOO_LONG),
}


@pytest.mark.parametrize(("case", "reason"), STOPS.values(), ids=STOPS)
def test_stops(case: Case, reason: Reason) -> None:
    """Each guard stops the call, gives its reason, and keeps the server's `retry_after`."""
    assert case.decided() == Stop(reason, case.retry_after)


@pytest.mark.parametrize(("case", "retry"), RETRIES.values(), ids=RETRIES)
def test_retries(case: Case, retry: Retry) -> None:
    """A call that no guard stops is retried after retry_after, or after the backoff without it."""
    assert case.decided() == retry


@pytest.mark.parametrize(("case", "reason"), ORDER.values(), ids=ORDER)
def test_the_first_guard_wins(case: Case, reason: Reason) -> None:
    """The upper one of two neighbouring guards decides, and `retry_after` is kept."""
    assert replace(case, retry_after=1000.0).decided() == Stop(reason, 1000.0)


def test_every_reason_has_a_row() -> None:
    """The tables show each reason that `decide` can give."""
    shown = {reason for _, reason in STOPS.values()} | {
        retry.reason for _, retry in RETRIES.values()
    }
    assert shown == {
        Reason.FINAL,
        Reason.VETOED,
        Reason.FATAL,
        Reason.NOT_REPLAYABLE,
        Reason.ATTEMPTS_EXHAUSTED,
        Reason.NOT_IDEMPOTENT,
        Reason.QUOTA_EXHAUSTED,
        Reason.WAIT_TOO_LONG,
        Reason.THROTTLED,
        Reason.SERVER_ERROR,
        Reason.RETRYABLE,
        Reason.UNREACHABLE,
        Reason.LOST,
        Reason.STILL_RUNNING,
        Reason.PENDING,
    }


def test_reasons_differ() -> None:
    """No two reasons have the same text, so that none is an alias of another."""
    assert len({reason.value for reason in Reason}) == len(Reason.__members__)


@pytest.mark.parametrize("method", ["DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"])
def test_idempotent_methods(method: str) -> None:
    """The idempotent methods of RFC 9110 section 9.2.2 are sent again by default, and no other."""
    assert isinstance(Case(method=method).decided(), Retry)
    assert method in IDEMPOTENT_METHODS
    assert len(IDEMPOTENT_METHODS) == 6


seconds = st.floats(min_value=0.0, max_value=1e6)
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 20),
    statuses=st.sets(st.integers(400, 599), max_size=3) | st.just(RETRIED),
    methods=st.sets(st.sampled_from(["GET", "POST", "PUT", "PATCH"])),
    backoff=st.builds(
        Backoff,
        initial=seconds,
        throttled_initial=seconds,
        multiplier=st.floats(min_value=1.0, max_value=10.0),
        max_delay=seconds,
        jitter=st.sampled_from(Jitter),
    ),
    max_retry_after=st.none() | seconds,
    any_method_on_429=st.booleans(),
    idempotency_key=st.booleans(),
)
fractions = st.floats(min_value=0.0, max_value=1.0, exclude_max=True)
costs = st.integers(0, 50)
quotas = st.builds(RetryQuota, capacity=costs, transient_cost=costs, throttled_cost=costs)
anything = st.builds(
    Case,
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH"]),
    deadline=seconds,
    policy=policies,
    quota=quotas,
    has_key=st.booleans(),
    made_key=st.booleans(),
    attempt=st.integers(1, 20),
    replayable=st.booleans(),
    level=st.integers(0, 500),
    status=st.none() | st.sampled_from([200, 401, 409, 422, 429, 500, 503]) | st.integers(100, 599),
    failure=st.none() | st.sampled_from(Failure),
    retry_after=st.none() | seconds,
    should_retry=st.none() | st.booleans(),
    throttled=st.booleans(),
    now=seconds,
    fraction=fractions,
)
# Of cases that are thrown together, one in seventy is retried; of these, nearly half.
hopeful = st.builds(
    Case,
    method=st.sampled_from(["GET", "GET", "POST"]),
    deadline=st.floats(min_value=60.0, max_value=1e4),
    policy=policies.map(lambda policy: replace(policy, statuses=RETRIED, methods={"GET"})),
    quota=quotas,
    attempt=st.integers(1, 5),
    level=st.integers(20, 500),
    status=st.sampled_from(sorted(RETRIED)),
    failure=st.none() | st.sampled_from([Failure.LOST, Failure.UNREACHABLE]),
    retry_after=st.none() | st.floats(min_value=0.0, max_value=120.0),
    now=st.floats(min_value=0.0, max_value=60.0),
    fraction=fractions,
)
cases = hopeful | anything


@given(case=cases)
def test_a_retry_keeps_every_limit(case: Case) -> None:
    """A retry has an attempt, time and quota left, and comes no earlier than `retry_after`."""
    decision = case.decided()
    if isinstance(decision, Retry):
        assert case.attempt < case.policy.max_attempts
        assert decision.cost <= case.level
        assert case.now + decision.delay <= case.deadline - LEAST_ATTEMPT
        asked = case.retry_after or 0.0
        if asked < LEAST_RETRY_AFTER:
            assert asked <= decision.delay <= max(asked, case.policy.backoff.max_delay)
        else:
            assert decision.delay == asked


@given(case=cases)
def test_a_retry_after_is_kept_whatever_is_decided(case: Case) -> None:
    """Every decision has the server's `retry_after`, so that it can be reported."""
    assert case.decided().retry_after == case.retry_after


@given(case=cases, doomed=st.sampled_from(["fatal", "one-shot", "vetoed"]))
def test_the_hopeless_always_stops(case: Case, doomed: str) -> None:
    """A fatal failure, a body that is gone and the server's veto end every call."""
    changes: dict[str, Case] = {
        "fatal": replace(case, failure=Failure.FATAL),
        "one-shot": replace(case, replayable=False),
        "vetoed": replace(case, should_retry=False),
    }
    assert isinstance(changes[doomed].decided(), Stop)


@given(case=cases, failure=st.sampled_from([None, Failure.LOST]))
def test_nothing_unsafe_is_repeated(case: Case, failure: Failure | None) -> None:
    """A request that may have been processed is repeated only by an allowed method or a key."""
    allowed = case.policy.methods
    unsafe = replace(case, failure=failure, has_key=False, status=503, throttled=False)
    assert unsafe.method in allowed or isinstance(unsafe.decided(), Stop)


@given(case=cases, takes=st.lists(st.floats(0.0, 20.0), min_size=20, max_size=20))
def test_a_call_ends_in_time(case: Case, takes: Sequence[float]) -> None:
    """A whole call has at most `max_attempts` attempts, and none after the deadline."""
    case = replace(case, attempt=1, now=0.0)
    sends = [0.0]
    for took in takes:
        case = replace(case, now=case.now + took)
        decision = case.decided()
        if isinstance(decision, Stop):
            break
        case = replace(case, now=case.now + decision.delay, attempt=case.attempt + 1)
        sends.append(case.now)
    assert len(sends) <= case.policy.max_attempts
    assert max(sends) <= case.deadline


def test_defaults() -> None:
    """The defaults are those of the contract."""
    policy = RetryPolicy()
    assert (policy.max_attempts, policy.deadline, policy.max_retry_after) == (4, 120.0, None)
    assert policy.statuses == {
        *(408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530)
    }
    assert policy.not_processed == set()
    assert policy.methods == {"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"}
    assert policy.backoff == Backoff()
    assert policy.any_method_on_429 is True
    assert policy.idempotency_key is False
    assert policy.buffer_bodies == 0


def test_collections_are_frozen() -> None:
    """Any iterable is accepted; methods become upper case; a policy is hashable."""
    policy = RetryPolicy(
        statuses=(status for status in (500, 503)),  # type: ignore[arg-type]
        methods=(name for name in ("get", "Post")),  # type: ignore[arg-type]
    )
    assert policy.statuses == frozenset({500, 503})
    assert policy.methods == frozenset({"GET", "POST"})
    assert hash(policy) == hash(RetryPolicy(statuses=[503, 500], methods=["POST", "GET"]))
