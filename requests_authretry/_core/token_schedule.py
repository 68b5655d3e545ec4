"""When a token is renewed: windows before its end, pauses after failures, a limit for refused ones.

The two windows follow botocore's credentials, their jitter the AWS SDK for Java's `CachedSupplier`,
the limit Alamofire's `RefreshWindow`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from .backoff import Backoff, Jitter
from .validation import is_finite

if TYPE_CHECKING:
    from collections.abc import Sequence

ADVISORY_SECONDS = 900.0
"""How long before its end a token is renewed in the background, at the most."""

MANDATORY_SECONDS = 60.0
"""How long before its end everybody waits for the renewal, at the most."""

REFUSED_RENEWALS = 5
REFUSED_SECONDS = 30.0
"""So many renewals of young tokens in so many seconds do not help: the server refuses them all."""

MAX_RETRY_AFTER_SECONDS = 3600.0
"""Seconds; what a token endpoint asks for beyond an hour would end the session by a slip."""

PAUSE = Backoff(initial=1.0, max_delay=30.0, jitter=Jitter.EQUAL)
"""Between renewals of one token version that failed."""

PAUSE_WHILE_GOOD = Backoff(initial=20.0, max_delay=120.0, jitter=Jitter.EQUAL)
"""The same while the token is good still: 10 s at the least."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happens when to one token; all in POSIX seconds.

    Attributes:
        begin: When it was received.
        early: From then on it is renewed in the background, and used meanwhile.
        late: From then on everybody waits for its renewal.
        end: From then on it is not sent any more.
    """

    begin: float = 0.0
    early: float = inf
    late: float = inf
    end: float = inf

    @property
    def is_endless(self) -> bool:
        """Whether there is nothing to do, ever."""
        return self.early == inf

    def postponed(self, until: float) -> Schedule:
        """Let nobody renew before ``until``, as a renewal failed, or before the token's end."""
        early, late = min(until, self.end), min(max(self.late, until), self.end)
        return replace(self, early=early, late=late)

    def is_young(self, now: float) -> bool:
        """Whether a server that refuses it now has hardly ever taken it."""
        return now < self.begin + (self.end - self.begin) / 4


def schedule(expires_at: float | None, now: float, fraction: float) -> Schedule:
    """The windows of a token received now: parts of its life, and jittered.

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
    """Renew a token at its end only, as its source gave the same one again."""
    end = inf if expires_at is None else expires_at
    return Schedule(now, end, end, end)


def granted(retry_after: object) -> float:
    """Bound the seconds that a token endpoint asks to wait; 0.0 for what is no number."""
    return min(max(retry_after, 0.0), MAX_RETRY_AFTER_SECONDS) if is_finite(retry_after) else 0.0


def are_refused_at_once(renewals: Sequence[float], now: float) -> bool:
    """Whether tokens that were refused while young were renewed too often.

    Args:
        renewals: When, in seconds, the oldest first.
        now: The time in the same seconds.
    """
    many = len(renewals) >= REFUSED_RENEWALS
    return many and now - renewals[-REFUSED_RENEWALS] < REFUSED_SECONDS
