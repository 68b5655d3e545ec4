"""What really happened to a call: its records, the events about them, `attempts` and `explain`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from requests import Response

from .._core.challenge import StepUp
from .._core.origin import redacted
from .._core.records import FINAL, Attempt, Reason, Retry, seconds_text
from .._events import GaveUp, RefreshDeclined, RetryScheduled, tell

if TYPE_CHECKING:
    from collections.abc import Collection

    from requests import PreparedRequest, RequestException

    from .._core.records import Stop
    from .._core.unauthorized import Decline
    from .._events import Listener

CALL = "_authretry_call"
"""Where an answer carries its call, which has its `AttemptLog` as ``log``."""

_ATTEMPTS = "_authretry_attempts"


class AttemptLog:
    """The attempts of one call. Used by one thread. Times are monotonic seconds.

    Attributes:
        began: When the call began.
        started: When the last attempt began.
        elapsed: Seconds from then until its headers came, or until it failed.
        url: Where it went.
        status: The status that came, None if none did or the attempt is in the record already.
        error: The name of the exception's class, None as for ``status``.
        retries: Retries so far; replays and redirects do not count, another call's failed probe
            that stands for a retry does.
        record: The attempts so far.
    """

    # Defaults on the class, as most calls never set them.
    elapsed = 0.0
    url: str | None = None
    status: int | None = None
    error: str | None = None
    retries = 0
    record: tuple[Attempt, ...] = ()
    _judged_at = 0.0

    def __init__(self, began: float) -> None:
        self.began = self.started = began

    def leave_on(self, error: RequestException) -> None:
        """Let `attempts` find what happened. An exception may be pickled: it gets the records."""
        error.__dict__[_ATTEMPTS] = self.record

    def begin_attempt(self, now: float) -> None:
        """Note that the next attempt begins only now, after a wait."""
        self.started = now

    def count_shared_failure(self) -> None:
        """Count another call's failed probe as a retry of this call."""
        self.retries += 1

    @property
    def is_open(self) -> bool:
        """Whether the last attempt is not in the record yet."""
        return self.status is not None or self.error is not None

    def headers_received(self, url: str | None, status: int, now: float) -> None:
        """Note that the headers of an answer are there."""
        self.elapsed = now - self.started
        self.url, self.status = url, status

    def failed(self, url: str | None, error: Exception, now: float) -> None:
        """Note that the attempt ended in an exception; its time ended with the headers, if any."""
        if self.status is None:
            self.elapsed = now - self.started
        self.url, self.status, self.error = url, None, type(error).__name__

    def write_down(self, decision: Retry | Stop) -> Attempt:
        """Add the last attempt to the record."""
        attempt = Attempt(
            number=len(self.record) + 1,
            url=redacted(self.url),
            status=self.status,
            error=self.error,
            started=self.started - self.began,
            elapsed=self.elapsed,
            delay=decision.delay if isinstance(decision, Retry) else 0.0,
            reason=decision.reason,
            retry_after=decision.retry_after,
        )
        self.record = (*self.record, attempt)
        self.status = self.error = None
        return attempt

    def add_retry(
        self, listeners: Collection[Listener], request: PreparedRequest, retry: Retry, at: float
    ) -> None:
        """Write the last attempt down, and tell the listeners of the retry decided on at ``at``."""
        attempt = self.write_down(retry)
        self._judged_at = at
        said = _said(request, attempt)
        tell(listeners, RetryScheduled(attempt=attempt.number, delay=retry.delay, **said))
        self.retries += 1

    def add_stop(
        self, listeners: Collection[Listener], request: PreparedRequest, stop: Stop, now: float
    ) -> None:
        """Write down why the call ends, and tell the listeners.

        A call that was to retry waited in vain: its last attempt gets the reason and the real wait.
        """
        if self.is_open or not self.record:
            attempt = self.write_down(stop)
        else:
            *before, last = self.record
            waited = max(now - self._judged_at, 0.0)
            attempt = replace(last, delay=waited, reason=stop.reason, retry_after=stop.retry_after)
            self.record = (*before, attempt)
        tell(listeners, GaveUp(attempts=attempt.number, **_said(request, attempt)))

    def add_refusal(
        self, listeners: Collection[Listener], request: PreparedRequest, stop: Stop
    ) -> None:
        """Tell the listeners that the call ends before its next attempt was sent."""
        event = GaveUp(
            method=request.method or "",
            url=redacted(request.url),
            attempts=len(self.record),
            reason=stop.reason,
            retry_after=stop.retry_after,
            status=None,
            error=None,
        )
        tell(listeners, event)

    @staticmethod
    def add_decline(
        listeners: Collection[Listener], request: PreparedRequest, verdict: Decline
    ) -> None:
        """Tell the listeners why no token is renewed."""
        challenge = verdict.challenge
        step_up = None
        if challenge is not None and verdict.reason is Reason.STEP_UP:
            step_up = StepUp.from_challenge(challenge)
        event = RefreshDeclined(
            method=request.method or "",
            url=redacted(request.url),
            reason=verdict.reason,
            error=challenge.error if challenge else None,
            step_up=step_up,
        )
        tell(listeners, event)


def _said(request: PreparedRequest, attempt: Attempt) -> dict[str, Any]:
    return {
        "method": request.method or "",
        "url": attempt.url,
        "reason": attempt.reason,
        "retry_after": attempt.retry_after,
        "status": attempt.status,
        "error": attempt.error,
    }


def attempts(result: Response | RequestException) -> tuple[Attempt, ...]:
    """Each attempt of the call that ended in this answer or exception.

    Args:
        result: What the call returned or raised.

    Returns:
        The attempts in order, redirects and replays included. An answer that did not come through
        this library was one attempt; of an exception nothing is known but its ``response``.
    """
    if not isinstance(result, Response):
        made: tuple[Attempt, ...] = result.__dict__.get(_ATTEMPTS, ())
        # Session.send and raise_for_status raise about an answer that came through us.
        return made or (() if result.response is None else attempts(result.response))
    call = result.__dict__.get(CALL)
    if call is not None:
        log: AttemptLog = call.log
        if log.is_open:
            log.write_down(FINAL)
        return log.record
    elapsed = result.elapsed.total_seconds()
    url = redacted(result.url)
    return (Attempt(1, url, result.status_code, None, 0.0, elapsed, 0.0, Reason.FINAL),)


def explain(result: Response | RequestException) -> str:
    """Tell people what happened to a call: one line for the whole, one for each attempt.

    Args:
        result: What the call returned or raised.
    """
    made = attempts(result)
    if not made:
        return f"{type(result).__name__}: no attempt was made"
    last = made[-1]
    count = "1 attempt" if len(made) == 1 else f"{len(made)} attempts"
    total = last.started + last.elapsed
    lines = [f"{last.url}: {last.status or last.error} after {count} in {total:.2f} s"]
    for attempt in made:
        waited = f", waited {seconds_text(attempt.delay)}" if attempt.reason in _RETRIES else ""
        asked = attempt.retry_after
        said = "" if asked is None else f" (the server asked for {seconds_text(asked)})"
        came = f"{attempt.number}. {attempt.status or attempt.error}"
        lines.append(f"  {came}: {attempt.reason.value}{waited}{said}")
    return "\n".join(lines)


_RETRIES = {
    Reason.THROTTLED,
    Reason.SERVER_ERROR,
    Reason.UNREACHABLE,
    Reason.LOST,
    Reason.STILL_RUNNING,
}
