"""When a token is renewed: windows before its end, pauses after failures, a limit after refusals.

The two windows follow botocore's credentials, their jitter follows the AWS SDK for Java's
`CachedSupplier`, the limit follows Alamofire's `RefreshWindow`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from .backoff import Backoff, Jitter
from .quota import RetryQuota
from .records import Progress, Retry
from .retry import CallFacts, decide
from .validation import is_finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .records import Outcome
    from .retry import RetryPolicy

ADVISORY_SECONDS = 900.0
"""Seconds before its end from which a token is renewed in the background, at most."""

MANDATORY_SECONDS = 60.0
"""Seconds before a token's end from which all callers wait for the renewal, at most."""

REFUSED_RENEWALS = 5
REFUSED_SECONDS = 30.0
"""After so many renewals of young tokens in so many seconds, the server seems to refuse every
token, and another renewal would not help."""

MAX_RETRY_AFTER_SECONDS = 3600.0
"""Seconds that a token endpoint may ask for; a longer wait, sent by mistake, would end the
session."""

PAUSE = Backoff(initial=1.0, max_delay=30.0, jitter=Jitter.EQUAL)
"""The pause between failed renewals of one token version."""

PAUSE_WHILE_GOOD = Backoff(initial=20.0, max_delay=120.0, jitter=Jitter.EQUAL)
"""The same pause while the token is still valid: at least 10 s."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times at which something happens to one token, in POSIX seconds.

    Attributes:
        begin: When the token was received.
        early: From this time on it is renewed in the background, and still used.
        late: From this time on all callers wait for its renewal.
        end: From this time on it is not sent any more.
    """

    begin: float = 0.0
    early: float = inf
    late: float = inf
    end: float = inf

    @property
    def is_endless(self) -> bool:
        """Whether the token never has to be renewed for its age."""
        return self.early == inf

    def postponed(self, until: float) -> Schedule:
        """Postpone the renewal to ``until``, as one has failed, but not beyond the token's end."""
        early, late = min(until, self.end), min(max(self.late, until), self.end)
        return replace(self, early=early, late=late)

    def is_young(self, now: float) -> bool:
        """Whether the token is in the first quarter of its life, so that it has hardly expired."""
        return now < self.begin + (self.end - self.begin) / 4


def schedule(expires_at: float | None, now: float, fraction: float) -> Schedule:
    """Return the windows of a token received now: jittered parts of its life.

    Args:
        expires_at: POSIX time in seconds, None when unknown.
        now: POSIX time in seconds.
        fraction: A random number in [0, 1), so that a fleet does not renew in step.
    """
    if expires_at is None:
        return Schedule(now)
    life, share = max(expires_at - now, 0.0), 1 - fraction / 2
    return Schedule(
        begin=now,
        early=expires_at - share * min(ADVISORY_SECONDS, life / 4),
        late=expires_at - share * min(MANDATORY_SECONDS, life / 20),
        end=expires_at,
    )


def without_windows(expires_at: float | None, now: float) -> Schedule:
    """Return a schedule that renews only at the end, for a token that its source gave again."""
    end = inf if expires_at is None else expires_at
    return Schedule(now, end, end, end)


def granted(retry_after: object) -> float:
    """Bound the seconds that a token endpoint asks to wait; 0.0 if they are not a number."""
    return min(max(retry_after, 0.0), MAX_RETRY_AFTER_SECONDS) if is_finite(retry_after) else 0.0


def delay_after(
    outcome: Outcome, policy: RetryPolicy, attempts: int, left: float, fraction: float
) -> float | None:
    """Return the seconds after which a token source that failed is asked again; None: it is not.

    The rules are those of a token request, which is sent again whether or not it was processed: its
    answer is lost anyway, and otherwise the retry saves the session.

    Args:
        outcome: How it failed.
        policy: When a request is sent again.
        attempts: How many were made so far.
        left: Seconds until the token is to be there.
        fraction: A random number in [0, 1), for the jitter.
    """
    policy = replace(policy, methods={"POST"}, idempotency_key=False)
    quota = RetryQuota()
    facts = CallFacts("POST", left, policy, quota)
    progress = Progress(attempts, replayable=True, quota=quota.capacity)
    decision = decide(facts, progress, outcome, 0.0, fraction)
    return decision.delay if isinstance(decision, Retry) else None


def are_refused_at_once(renewals: Sequence[float], now: float) -> bool:
    """Whether too many young tokens were refused and renewed within a short time.

    Args:
        renewals: The times of these renewals in seconds, the oldest first.
        now: The time on the same clock.
    """
    many = len(renewals) >= REFUSED_RENEWALS
    return many and now - renewals[-REFUSED_RENEWALS] < REFUSED_SECONDS
