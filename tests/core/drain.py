"""A simulation in virtual time: many callers drain a queue through a server's rate limit."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from requests_authretry._core import rate_limit
from requests_authretry._core.rate_limit import RateState
from requests_authretry._core.records import Limit, Outcome

MEASURED = 1.0


class Server(Protocol):
    """A server that serves or refuses each request; times are those of arrival."""

    def asked(self, now: float) -> Outcome:
        """Serve a request or refuse it."""


@dataclass
class Bucket:
    """A token bucket, full at first; a refusal says to come again in a second, or nothing."""

    rate: float
    burst: float
    tells: bool
    level: float = field(init=False)
    filled: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Fill the bucket."""
        self.level = self.burst

    def asked(self, now: float) -> Outcome:
        """Serve a request or refuse it."""
        self.level = min(self.burst, self.level + (now - self.filled) * self.rate)
        self.filled = now
        if self.level >= 1:
            self.level -= 1
            return Outcome(200)
        return Outcome(429, retry_after=1.0 if self.tells else None, throttled=True)


@dataclass
class FixedWindow:
    """A number of requests per window; each answer says how many are left, and when it ends."""

    quota: int
    length: float
    begun: float = 0.0
    used: int = 0

    def asked(self, now: float) -> Outcome:
        """Serve a request or refuse it."""
        if now >= self.begun + self.length:
            self.begun, self.used = now - (now - self.begun) % self.length, 0
        is_full = self.used >= self.quota
        self.used += not is_full
        reset = -((now - self.begun - self.length) // 1)
        limit = Limit(float(self.quota - self.used), reset, "", float(self.quota), self.length)
        retry_after = reset if is_full else None
        return Outcome(
            429 if is_full else 200, retry_after=retry_after, throttled=is_full, limits=(limit,)
        )


@dataclass
class Drain:
    """Callers that drain a queue, and the record of their requests.

    Attributes:
        server: The server that the callers send to.
        calls: The number of calls.
        threads: How many calls may be under way at once.
        latency: Seconds from a request to its answer; it arrives in the middle of that time.
        served: When each answer arrived that is not a refusal.
        refused: When each refusal arrived.
        left: When each request was sent.
        passed: When each served request was sent.
        state: The state of the rate limit.
    """

    server: Server
    calls: int
    threads: int = 32
    latency: float = 0.05
    state: RateState = field(default_factory=RateState)
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    passed: list[float] = field(default_factory=list)

    def run(self) -> Drain:
        """Drain the queue to its end."""
        now, waiting, order = 0.0, self.calls, count()
        flying: list[tuple[float, int, float, int, Outcome]] = []
        while waiting or flying:
            free = waiting and len(flying) < self.threads
            opens = max(rate_limit.opens(self.state, now), now) if free else float("inf")
            if flying and flying[0][0] <= opens:
                now, _, began, number, outcome = heapq.heappop(flying)
                waiting += outcome.throttled
                self.answered(outcome, began, number, now)
            else:
                now = opens
                number = self.leave(now)
                outcome = self.server.asked(now + self.latency / 2)
                heapq.heappush(flying, (now + self.latency, next(order), now, number, outcome))
                waiting -= 1
        return self

    def leave(self, now: float) -> int:
        """Send one request; count it only if there is a limit to count by."""
        self.left.append(now)
        if self.state == RateState():
            return -1
        self.state = rate_limit.on_sent(self.state, now)
        return self.state.sent

    def answered(self, outcome: Outcome, began: float, number: int, now: float) -> None:
        """Learn from an answer as the library does."""
        (self.refused if outcome.throttled else self.served).append(now)
        if outcome.limits and (
            self.state != RateState() or not rate_limit.is_plenty(outcome.limits)
        ):
            passed = not outcome.throttled
            self.state = rate_limit.on_rate_limit_fields(
                self.state, number, outcome.limits, now, succeeded=passed
            )
        if not outcome.throttled:
            self.passed.append(began)
            self.state = rate_limit.on_success(self.state, now)
            return
        if outcome.retry_after is not None:
            self.state = rate_limit.with_cool_down(
                self.state, now + outcome.retry_after, now, outcome.retry_after, may_test=False
            )
        if not outcome.limits:
            recent = sum(left > now - MEASURED for left in self.passed) / MEASURED
            self.state = rate_limit.on_refused(self.state, began, now, recent)
