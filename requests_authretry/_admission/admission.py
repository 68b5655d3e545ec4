"""Decides whether and when an attempt may be sent, and learns from what came back.

`Admission.acquire` waits for the end of an outage at the endpoint, for the call's own backoff or
``retry_after``, and for the rate limits, declared ones included. Then it takes the cost of a retry
out of the retry quota.
`Admission.settle` tells the rate limiter, the outage tracker and the store what an attempt brought.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from .._core.bounds import LEAST_ATTEMPT
from .._core.http import ABOUT_THE_RESOURCE, FIRST_ERROR, OK
from .._core.rate_limit import AskAgain, TooLate
from .._core.records import Outcome, Reason, Stop
from .._core.target import Target
from .rate_limiter import OwnWait

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core.records import Retry
    from .._core.scope import Scope
    from .._settings import Settings
    from .declared_limits import Demand
    from .rate_limiter import RateLimiter
    from .retry_quota import RetryQuotas
    from .shared_limits import SharedLimits
    from .waiting import Waiter


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to send one attempt.

    Attributes:
        target: Where the attempt goes, None where nothing had to be asked.
        numbers: The attempt's number at each rate limit that knows of it.
        cost: What the retry took out of the retry quota, None if it took nothing.
    """

    target: Target | None = None
    numbers: Mapping[Scope, int] = field(default_factory=dict)
    cost: int | None = None


FREE = Permit()
"""The permit of an attempt that nothing could hold back."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The failed attempt that a retry follows.

    Attributes:
        target: Where it went.
        at: When it was judged, in monotonic seconds.
        outcome: What it brought.
    """

    target: Target
    at: float
    outcome: Outcome


_NO_OUTAGE = {Reason.THROTTLED, Reason.PENDING}
"""The reasons of retries that follow an answer of a server in order."""

NO_FAILURE = Failed(Target("", "", "", ""), 0.0, Outcome())
"""The failure of a call in which nothing has failed."""


def _why(retry: Retry) -> Reason:
    """Return what a retry waits for that waits for no outage."""
    if retry.reason is Reason.PENDING:
        return Reason.POLL
    return Reason.RETRY_AFTER if retry.is_as_asked else Reason.BACKOFF


class Admission:
    """Admits the attempts of all calls that share one settings object. Thread-safe.

    Attributes:
        limiter: The rate limits.
        quotas: What retries may still cost.
    """

    def __init__(
        self, settings: Settings, quotas: RetryQuotas, shared_limits: SharedLimits
    ) -> None:
        self.limiter: RateLimiter = shared_limits.limiter
        self.quotas = quotas
        self._shared_limits = shared_limits
        self._outages = self.limiter.outages
        self._clock, self._limits = settings.clock, settings.limits

    def acquire(  # noqa: PLR0913 (what a retry waits for)
        self,
        target: Target,
        waiter: Waiter,
        *,
        has_sent: bool,
        failed: Failed,
        retry: Retry | None,
        number: int,
        demand: Demand | None = None,
    ) -> Permit | Stop:
        """Wait until an attempt may be sent.

        A first attempt has no backoff, is never held back by an outage, and costs nothing. If the
        session is closed while this waits, it returns at once: see `Waiter.closed`.

        Args:
            target: Where the attempt goes.
            waiter: The calling thread, as others wake it.
            has_sent: Whether the call has sent an attempt before; it goes before new calls then.
            failed: The failed attempt that this one retries.
            retry: The decision to retry, None for an attempt that is no retry.
            number: Which retry of its call it is, from 1.
            demand: What the attempt asks of the declared limits; None without any. When it has
                ended or was not admitted, `RateLimiter.end_attempt` has to be told.

        Returns:
            The permit, or why nothing may be sent.
        """
        now, limits, own = self._clock.monotonic(), self._limits, None
        if limits.cool_down and now >= self.limiter.look_at:
            self._shared_limits.look(self.limiter.covering(target))
        if retry is not None and (retry.retry_after is not None or retry.reason in _NO_OUTAGE):
            asked = retry.retry_after if retry.is_as_asked else None
            own = OwnWait(failed.at + retry.delay, _why(retry), asked, failed.outcome.is_reset)
        elif retry is not None:
            stop = self._wait_for_outage(failed, retry, number, waiter)
            if stop is not None:
                return stop
        numbers = self.limiter.wait_for_slot(
            target if limits.cool_down or limits.pacing else None,
            waiter,
            has_sent=has_sent,
            own=own,
            demand=demand,
            on_order=self._shared_limits.serve_fleet,
        )
        if isinstance(numbers, TooLate):
            return Stop(Reason.WAIT_TOO_LONG, numbers.opens_in, numbers.scope)
        if retry is None:  # only now: a call that a limit has stopped finds out nothing
            self._outages.on_probe_sent(target.endpoint, self._clock.monotonic())
        # A success has paid for the retry that it releases. All others cost, a probe as well.
        if retry is None or retry.reason is Reason.PENDING or waiter.closed or waiter.released:
            return Permit(target, numbers)
        if self.quotas.pay(target.origin, retry.cost):
            return Permit(target, numbers, retry.cost)
        return Stop(Reason.QUOTA_EXHAUSTED, retry.retry_after)

    def foresee(
        self, target: Target, waiter: Waiter, demand: Demand | None
    ) -> Permit | AskAgain | TooLate:
        """Say what the first attempt of a call would have to wait for, and let it not wait.

        It counts at the rate limits if it may be sent now.

        Args:
            target: Where the attempt goes.
            waiter: The calling thread.
            demand: As for `acquire`.
        """
        limits = self._limits
        self.limiter.sweep(self._clock.monotonic())
        keeps_limits = limits.cool_down or limits.pacing
        answer = self.limiter.ask_once(target if keeps_limits else None, waiter, demand)
        if isinstance(answer, (AskAgain, TooLate)):
            return answer
        return Permit(target, answer)

    def is_down(self, target: Target) -> bool:
        """Whether the endpoint has an outage, so that retries are held."""
        return self._outages.is_down(target.endpoint)

    def _wait_for_outage(
        self, failed: Failed, retry: Retry, number: int, waiter: Waiter
    ) -> Stop | None:
        """Wait for the backoff, and as long as an outage lasts.

        Returns:
            None if the retry may go on, or why not.
        """
        endpoint, latest = failed.target.endpoint, waiter.deadline - LEAST_ATTEMPT
        until, reason = failed.at + retry.delay, Reason.BACKOFF
        with self._outages.waiting(endpoint, waiter, failed.at):
            while True:
                waiter.wake.clear()  # before the look at what may have woken it
                left = until - self._clock.monotonic()
                if left > 0 and not (waiter.released or waiter.closed):
                    waiter.sleep(left, reason)
                if waiter.released or waiter.closed:
                    return None
                now, reason = self._clock.monotonic(), Reason.OUTAGE
                wait = self._outages.probe_delay(endpoint, failed.at, number, latest, now)
                if wait == 0.0:
                    return None
                if now >= latest:
                    return Stop(Reason.OUTAGE) if self._outages.is_down(endpoint) else None
                until = min(now + wait, latest)

    def settle(self, permit: Permit, target: Target, began: float, outcome: Outcome) -> Failed:
        """Learn from an attempt.

        While no rate limit and no outage is known, an answer below 400 that names no limit need not
        be settled.

        Args:
            permit: The permit it was sent with.
            target: Where it went.
            began: When it began, in monotonic seconds.
            outcome: What it brought.

        Returns:
            What a retry has to know of it.
        """
        now, limiter = self._clock.monotonic(), self.limiter
        limits, told = outcome.refused_limits, outcome.told_name
        refuses, speaks_of_outage = outcome.refuses, outcome.speaks_of_outage
        succeeded = outcome.status is not None and outcome.status < FIRST_ERROR
        limiter.learn_names(target, outcome, now)
        kept = outcome.limits_to_keep
        if kept and self._limits.pacing:
            limiter.on_rate_limit_fields(target, permit.numbers, kept, began, succeeded=succeeded)
        seconds = outcome.retry_after if self._limits.cool_down else None
        if outcome.is_reset and limiter.refills(target, limits):
            seconds = None  # requests come back one after another, long before the window's end
        if seconds and (refuses or outcome.status == OK):
            if refuses:
                limiter.learn_reach(target, limits, told, began)
            closed = limiter.closed_for(target, limits, told, seconds)
            status = outcome.answered or outcome.status
            self._shared_limits.start_cool_down(closed, status, may_test=refuses)
        # Where the server says that nothing is left, its window says how many may be sent.
        if refuses and self._limits.pacing and not outcome.says_nothing_is_left:
            limiter.on_refused(limiter.scopes_of(target, limits, told)[0], began)
            if limiter.fleet.has_news:
                self._shared_limits.serve_fleet()
        if speaks_of_outage:
            self._outages.on_failure(target.endpoint, began)
            self._shared_limits.report_failure(target.endpoint)
            if outcome.status is not None and not refuses:
                limiter.on_error(target, began)
            limiter.update_check_after()
        elif speaks_of_outage is False and limiter.is_troubled and not refuses:
            has_passed = succeeded or outcome.status in ABOUT_THE_RESOURCE
            limiter.on_passed(target, began if has_passed else -inf)
            self._outages.on_success(target.endpoint, began, now)
            limiter.update_check_after()
        return Failed(target, now, outcome)
