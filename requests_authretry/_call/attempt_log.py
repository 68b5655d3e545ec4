"""The record of one call: its attempts and waits, and what listeners, log and people are told."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from itertools import count, zip_longest
from math import fsum, inf
from typing import TYPE_CHECKING, Any

from .._core.challenge import StepUp
from .._core.classify import detail_of
from .._core.http import FIRST_ERROR
from .._core.idle import cure
from .._core.origin import Origin, redacted
from .._core.records import FINAL, STORY, Attempt, Reason, Retry, Stop, Wait, seconds_text
from .._events import (
    AttemptEnded,
    CallEnded,
    GaveUp,
    Observed,
    RefreshDeclined,
    RetryScheduled,
    Waiting,
    say,
    tell,
)
from ..dialects import AUTO
from ..dialects._choice import Choice
from .connections import LEAST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from requests import PreparedRequest, Response

    from .._core.classify import Verdict
    from .._core.observed import Would
    from .._core.unauthorized import Decline
    from .._settings import Settings

Story = tuple[tuple["Attempt | Wait", ...], float]
"""The attempts and waits of a call, in order, and the seconds that the call took."""

LOGGED_SECONDS = 0.9
"""A wait of at least this length is an INFO line in the log: a second of which some has passed."""

NOTICED_SECONDS = 4.9
"""A call that waits this long in all says so on stderr, in a REPL or a notebook."""

_TOO_LATE = {Reason.WAIT_TOO_LONG, Reason.OUTAGE}
"""The reasons of calls that would go on if their deadline were later."""

_numbers = count(1)


class _OpenWait:
    """A wait that is not over.

    Args:
        reason: What the call waits for.
        started: When the wait began, in monotonic seconds.
        retry_after: Seconds that a server asked for, and so caused the wait; None if none did.
    """

    is_logged = is_noticed = False

    def __init__(self, reason: Reason, started: float, retry_after: float | None) -> None:
        self.reason, self.started, self.retry_after = reason, started, retry_after


class AttemptLog:
    """The attempts and waits of one call. Used by one thread. Times are monotonic seconds.

    Attributes:
        settings: Those of the last attempt.
        listeners: Those of the settings, and of the settings that the call had before.
        began: When the call began.
        started: When the last attempt began.
        elapsed: Seconds that the last headers took to come.
        ended: When its answer was handed out.
        request: The request of the last attempt.
        status: The status that came, None if none did or the attempt is in the record already.
        error: The name of the exception's class, None as for ``status``.
        retries: Retries so far; polls, replays and redirects do not count.
        polls: How often a result was asked for again that was not there yet.
        verdict: What the last answer means where its status does not say it, None elsewhere.
        idle: Seconds that the connection had been idle on which the last attempt was lost, if the
            server ended it and the request cannot be sent again; None otherwise.
        cure: What to do about a 401 that is handed out; "" if nothing is known.
        block_end: When the `deadline` block ends whose end is the deadline of the call; inf if the
            deadline is that of the settings.
    """

    # Defaults on the class, as most calls never set them.
    elapsed = ended = 0.0
    request: PreparedRequest
    status: int | None = None
    error: str | None = None
    retries = polls = 0
    verdict: Verdict | None = None
    idle: float | None = None
    cure = ""
    block_end = inf
    _number = 0
    _made: Sequence[Attempt] = ()
    _waits: tuple[Wait, ...] = ()  # since the last attempt that was written down
    _wait: _OpenWait | None = None
    _observed: tuple[Would, ...] = ()  # of the attempt that is not written down yet
    _is_over = False

    def __init__(self, settings: Settings) -> None:
        self.settings, self.listeners = settings, settings.listeners
        self.began = self.started = settings.clock.monotonic()

    def go_on(self, settings: Settings) -> None:
        """Note that the next attempt of the call has these settings: a hop, or a replay.

        Listeners that have heard of the call hear of it until it ends.
        """
        if settings is not self.settings:
            new = (each for each in settings.listeners if each not in self.listeners)
            self.settings, self.listeners = settings, (*self.listeners, *new)
        self.verdict, self.cure = None, ""
        self.stop_waiting()

    def waiting(
        self,
        request: PreparedRequest,
        reason: Reason,
        seconds: float | None,
        retry_after: float | None,
    ) -> None:
        """Note that the call begins to wait, or goes on waiting for the same reason.

        Args:
            request: What it wants to send.
            reason: What it waits for.
            seconds: How long from now, as far as is known; None where nobody knows.
            retry_after: Seconds that a server asked for, and so caused the wait; None if none did.
        """
        now, wait = self.settings.clock.monotonic(), self._wait
        event = Waiting(self.number, *_names(request), reason, seconds, retry_after)
        if wait is None or wait.reason is not reason:
            self.stop_waiting()
            self._wait = wait = _OpenWait(reason, now, retry_after)
            tell(self.listeners, event)
        length = now - wait.started + (seconds or 0.0)
        if length < LOGGED_SECONDS:
            return
        planned = "" if seconds is None else f" {seconds_text(seconds)}"
        line = f"{event.method} {event.url} waits{planned}: {reason.value}"
        if not wait.is_logged:
            wait.is_logged = True
            say(line, event)
        # A REPL and a notebook have a prompt. A script prints what its author wants printed.
        if not hasattr(sys, "ps1") or wait.is_noticed:
            return
        if self._waited + length >= NOTICED_SECONDS:
            wait.is_noticed = True
            _print(f"requests_authretry: {line}", self.listeners)

    def stop_waiting(self) -> None:
        """Note that the wait is over, if there is one. An attempt that was to begin begins now."""
        now = self.settings.clock.monotonic()
        wait, self._wait = self._wait, None
        if wait is not None and now > wait.started:
            started, seconds = wait.started - self.began, now - wait.started
            self._waits = (*self._waits, Wait(wait.reason, started, seconds, wait.retry_after))
        if not self.is_open:
            self.started = now

    @property
    def number(self) -> int:
        """The number of the call in this process, the same in all its events."""
        self._number = self._number or next(_numbers)
        return self._number

    @property
    def attempts(self) -> int:
        """How many attempts are in the record."""
        return len(self._made)

    @property
    def _waited(self) -> float:
        waits = [wait for attempt in self._made for wait in attempt.waits]
        return fsum(wait.seconds for wait in (*waits, *self._waits))

    @property
    def is_open(self) -> bool:
        """Whether the last attempt is not in the record yet."""
        return self.status is not None or self.error is not None

    def headers_received(self, request: PreparedRequest, status: int) -> None:
        """Note that the headers of an answer are there."""
        self.elapsed = self.settings.clock.monotonic() - self.started
        self.request, self.status = request, status

    def failed(self, request: PreparedRequest, error: BaseException) -> None:
        """Note that the attempt ended in an exception."""
        self.request, self.status, self.error = request, None, type(error).__name__
        self.verdict = None

    def write_down(self, decision: Retry | Stop, now: float | None = None) -> Attempt:
        """Add the last attempt to the record.

        Args:
            decision: What it leads to.
            now: When it was over; None: now.
        """
        now = self.settings.clock.monotonic() if now is None else now
        if self._observed and decision.reason is Reason.FINAL:
            decision = Stop(Reason.OBSERVED, self._observed[-1].retry_after)
        started = self.started - self.began
        before = tuple(wait for wait in self._waits if wait.started < started)
        after = self._waits[len(before) :]
        method, url = _names(self.request)
        attempt = Attempt(
            number=self.attempts + 1,
            url=url,
            status=self.status,
            error=self.error,
            started=started,
            elapsed=now - self.started - sum(wait.seconds for wait in after),
            delay=0.0,  # `story` knows it
            reason=decision.reason,
            retry_after=decision.retry_after,
            method=method,
            waits=before,
            detail=self._detail(decision, url, self.error, now),
        )
        # A list from the first one on: a call may poll for a day.
        made = self._made if isinstance(self._made, list) else []
        made.append(attempt)
        self._made, self._waits = made, after
        self.status = self.error = None
        self._observed = ()
        if self.listeners:
            tell(self.listeners, AttemptEnded(self.number, attempt))
        return attempt

    def add_retry(self, retry: Retry) -> None:
        """Write the last attempt down, and tell of the retry."""
        attempt = self.write_down(retry)
        if retry.reason is Reason.PENDING:
            self.polls += 1
        else:
            self.retries += 1
        event = RetryScheduled(attempt=attempt.number, delay=retry.delay, **_facts(attempt))
        tell(self.listeners, event)

    def add_stop(self, stop: Stop) -> None:
        """Write down why the call ends after its last attempt, and tell of it."""
        attempt = self._conclude(stop)
        event = GaveUp(attempts=attempt.number, **_facts(attempt))
        count = "1 attempt" if event.attempts == 1 else f"{event.attempts} attempts"
        came = event.status or event.error
        tell(self.listeners, event)
        say(f"{event.method} {event.url} {came} after {count}: {attempt.why}", event)

    def add_refusal(self, request: PreparedRequest, stop: Stop) -> None:
        """Tell that the call ends before its next attempt was sent."""
        method, url = _names(request)
        event = GaveUp(method, url, self.attempts, stop.reason, stop.retry_after, None, None)
        tell(self.listeners, event)
        say(f"{method} {url} was not sent: {stop.reason.value}", event)

    def add_decline(self, verdict: Decline) -> None:
        """Write down why a 401 or 403 is handed out, and tell why no token is renewed."""
        attempt = self._conclude(Stop(verdict.reason))
        challenge = verdict.challenge
        is_step_up = verdict.reason is Reason.STEP_UP
        event = RefreshDeclined(
            method=attempt.method,
            url=attempt.url,
            reason=verdict.reason,
            error=challenge.error if challenge else None,
            step_up=StepUp.from_challenge(challenge) if challenge and is_step_up else None,
            detail=attempt.detail,
        )
        tell(self.listeners, event)
        came = attempt.status or attempt.error
        say(f"{event.method} {event.url} {came} is handed out: {attempt.why}", event)

    def observe(self, request: PreparedRequest, would: Would) -> None:
        """Tell what would have been done, and write it down with the next attempt."""
        self._observed = (*self._observed, would)
        method, url = _names(request)
        event = Observed(
            call=self.number,
            method=method,
            url=url,
            action=would.action,
            text=would.text,
            reason=would.reason,
            seconds=would.seconds,
            retry_after=would.retry_after,
            status=self.status,
            error=self.error,
        )
        tell(self.listeners, event)
        if would.action != "wait" or would.seconds is None or would.seconds >= LOGGED_SECONDS:
            came = f" {self.status or self.error}" if self.is_open else ""
            say(f"{method} {url}{came}, only observed: {would.text}", event)

    def end(self, request: PreparedRequest, result: Response | BaseException) -> None:
        """Note that the call is over: leave its story on an exception, and tell the listeners.

        Args:
            request: The last request, whether it was sent or not.
            result: What the call returns or raises.
        """
        if self._is_over:  # its replay has ended before
            return
        self._is_over = True
        self.ended = self.settings.clock.monotonic()
        self.stop_waiting()
        status, error = None, None
        if isinstance(result, BaseException):
            result.__dict__[STORY] = self.story()
            error = type(result).__name__
        else:
            status = result.status_code
        if self.listeners:
            steps, seconds = self.story()
            event = CallEnded(
                self.number,
                *_names(request),
                self.attempts,
                status,
                error,
                seconds,
                self._waited,
                steps,
            )
            tell(self.listeners, event)

    def story(self) -> Story:
        """Return what happened so far."""
        if self.is_open:
            self.write_down(FINAL, self.ended)
        steps: list[Attempt | Wait] = []
        for attempt, following in zip_longest(self._made, self._made[1:]):
            waits = self._waits if following is None else following.waits
            delay = fsum(wait.seconds for wait in waits)
            steps += [*attempt.waits, replace(attempt, delay=delay)]
        return (*steps, *self._waits), self.ended - self.began

    def _detail(self, decision: Retry | Stop, url: str, error: str | None, now: float) -> str:
        """Return more about the reason of an attempt, for people; "" if there is no more."""
        if self._observed:
            return "; ".join(would.text for would in self._observed)
        if decision.reason is Reason.OTHER_ORIGIN:
            origins = ", ".join(self.settings.origins)
            return f"{Origin.of(url)} is none of the origins {origins}"
        if self.cure or decision.reason is Reason.OTHER_SCHEME:
            return self.cure or 'Settings(challenge="any") renews the token all the same'
        if self.idle is not None:
            return cure(self.idle)
        said = "" if self.verdict is None else detail_of(self.verdict, decision.reason.value)
        if not said and (self.status or 0) >= FIRST_ERROR and isinstance(decision, Stop):
            said = self._uncovered(url)
        if self.block_end == inf:
            return said
        patience = self.settings.retry.max_retry_after
        is_impatient = patience is not None and (decision.retry_after or 0.0) > patience
        is_too_late = decision.reason in _TOO_LATE and not is_impatient
        is_cut = error is not None and now > self.block_end - LEAST_SECONDS
        ended = "the deadline of the block" if is_too_late or is_cut else ""
        return "; ".join(filter(None, (said, ended)))

    def _uncovered(self, url: str) -> str:
        """Return that no named dialect is about the origin of a URL; "" if one is."""
        given = self.settings.dialects
        if not given or given == AUTO:
            return ""
        choice = Choice(given, self.settings.origins, self.settings.clock)
        return "" if choice.covers(url) else f"the named dialects do not cover {Origin.of(url)}"

    def _conclude(self, stop: Stop) -> Attempt:
        """Return the last attempt, in the record with the reason why it is the last one."""
        if self.is_open or not self.attempts:
            return self.write_down(stop)
        # It was to be retried or replayed; the waits in between were in vain.
        last = self._made[-1]
        now = self.settings.clock.monotonic()
        detail = self._detail(stop, last.url, last.error, now)
        concluded = replace(last, reason=stop.reason, retry_after=stop.retry_after, detail=detail)
        self._made = [*self._made[:-1], concluded]
        return concluded


def _names(request: PreparedRequest) -> tuple[str, str]:
    """Return the method of a request, and its URL without user, query and fragment."""
    return request.method or "", redacted(request.url)


def _print(line: str, listeners: Collection[object]) -> None:
    """Print a line on standard error, unless a listener shows waits; never raise."""
    with suppress(Exception):  # the terminal may be gone
        is_shown = any(getattr(each, "shows_waits", None) for each in listeners)
        if not is_shown and sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)  # noqa: T201


def _facts(attempt: Attempt) -> dict[str, Any]:
    return {
        "method": attempt.method,
        "url": attempt.url,
        "reason": attempt.reason,
        "retry_after": attempt.retry_after,
        "status": attempt.status,
        "error": attempt.error,
        "detail": attempt.detail,
    }
