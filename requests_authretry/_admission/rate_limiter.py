"""The rate limits that a process has met, and the calls that wait for each of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from .._core import rate_limit
from .._core.bounds import POLICY_SETS
from .._core.origin import Origin
from .._core.rate_limit import AskAgain, Slot, TooLate
from .._core.records import Reason
from .._locks import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core.records import Limit, Outcome
    from .._core.target import Target
    from .._protocols import Clock
    from .outage_tracker import OutageTracker
    from .waiting import Waiter

_SUCCESSES_KEPT = 512
"""Successes whose times give the rate when a first refusal comes."""

_MEASURED_SECONDS = 1.0
"""The time before that refusal in which successes are counted."""

_SWEEP_SECONDS = 10.0
_MOST_QUEUES = 1000
_MOST_ORIGINS, _MOST_PREFIXES = 1000, 1000

Policies = tuple[str, ...]
"""Names of policies, sorted."""


@dataclass(frozen=True, slots=True)
class Key:
    """Names one rate limit: what a server counts together.

    Attributes:
        origin: Where requests go.
        credential: What tells their credentials apart; it is no secret.
        policies: The names of the policies that the server applies there.
    """

    origin: Origin | None
    credential: str
    policies: Policies = ()

    def __str__(self) -> str:
        """Return the key of its cool-down in a store."""
        return " ".join(("cool-down", str(self.origin), self.credential, *self.policies)).strip()


@dataclass(frozen=True, slots=True)
class Named:
    """The policies that one origin has named.

    Attributes:
        prefixes: The policies it named for each pattern of a path, and for each beginning of one;
            None where it named others for others that begin so.
        sets: All sets of policies it ever named, up to the first that is too many.
    """

    prefixes: Mapping[str, Policies | None] = field(default_factory=dict)
    sets: frozenset[Policies] = frozenset()

    @property
    def tells_nothing(self) -> bool:
        """Whether it names so many policies that their names mean nothing."""
        return len(self.sets) > POLICY_SETS

    def expected(self, pattern: str) -> Policies:
        """Return the policies to expect for a path: those of the most that is known of it."""
        for prefix in _prefixes(pattern):
            if prefix in self.prefixes:
                return self.prefixes[prefix] or ()
        return ()

    def and_for(self, pattern: str, policies: Policies) -> Named:
        """Return the same with the policies that were named now."""
        prefixes = dict(self.prefixes) if len(self.prefixes) < _MOST_PREFIXES else {}
        for prefix in _prefixes(pattern):
            if prefixes.setdefault(prefix, policies) != policies:
                prefixes[prefix] = None
        return Named({**prefixes, pattern: policies}, self.sets | {policies})


class RateLimitQueue:
    """The calls that wait for one rate limit. Not thread-safe: hold the limiter's lock.

    Attributes:
        state: What is known of the rate limit.
        announced: End of the cool-down that was last announced, in monotonic seconds.
    """

    def __init__(self, state: rate_limit.RateState) -> None:
        self.state = state
        self.announced = state.not_before
        self._line: list[tuple[tuple[bool, int], Waiter]] = []
        self._deadlines: dict[Waiter, float] = {}
        self._arrivals = 0

    def ask(
        self, waiter: Waiter, now: float, deadline: float, *, has_sent: bool
    ) -> Slot | AskAgain | TooLate:
        """Take a slot for this waiter if it may send now.

        A call that has sent an attempt goes before new calls; among equals, the first to come goes
        first.
        """
        rank = waiter.rank
        if rank is None or waiter not in self._deadlines:  # it is new, or comes of a fork
            self._arrivals += 1
            waiter.rank = rank = (not has_sent, self._arrivals)
            insort(self._line, (rank, waiter), key=lambda each: each[0])
            self._deadlines[waiter] = deadline
        place = bisect_left(self._line, rank, key=lambda each: each[0])
        self.state, decision = rate_limit.ask(self.state, place, now, deadline)
        if not isinstance(decision, AskAgain):
            self.drop(waiter)
        return decision

    def drop(self, waiter: Waiter) -> None:
        """Take a waiter out of the queue, and wake the one that is first now."""
        if waiter.rank is None or waiter not in self._deadlines:  # it comes of a fork
            return
        place = bisect_left(self._line, waiter.rank, key=lambda each: each[0])
        del self._line[place], self._deadlines[waiter]
        waiter.rank = None
        if place == 0:
            self.wake_first()

    def wake_first(self) -> None:
        """Have the first waiter ask again: it may be let through earlier than it was told."""
        if self._line:
            self._line[0][1].wake.set()

    def wake_hopeless(self) -> None:
        """Wake the waiters whose deadline comes before the end of the cool-down."""
        until = self.state.not_before
        for waiter, deadline in self._deadlines.items():
            if until > deadline:
                waiter.wake.set()

    @property
    def is_empty(self) -> bool:
        """Whether no call waits in it."""
        return not self._line


class RateLimiter:
    """The rate limits that a process has met. Thread-safe.

    Attributes:
        check_after: Requests that start before this time (monotonic seconds) skip the limiter
            without taking a lock.
        is_troubled: Whether any rate limit or outage is known, so that an answer may be news.
        outages: The health of each endpoint that fails.
        look_at: When to look into the store next, inf where no store is shared.
        recent_successes: URLs of the last answers below 400, and when their requests were sent.
    """

    def __init__(self, clock: Clock, outages: OutageTracker) -> None:
        self._clock = clock
        self._queues: dict[Key, RateLimitQueue] = {}
        self._policies: dict[Origin | None, Named] = {}
        self._sweep_at = clock.monotonic() + _SWEEP_SECONDS
        self._sent = 0  # the highest number of dropped queues: no number is given out twice
        self._lock = ForkSafeLock(self._forget_waiting)
        self.look_at = inf
        self.check_after = inf
        self.outages = outages
        self.is_troubled = False
        self.recent_successes: deque[tuple[str, float]] = deque(maxlen=_SUCCESSES_KEPT)

    def update_check_after(self) -> None:
        """Update which requests skip the limiter."""
        self.is_troubled = bool(self._queues) or self.outages.troubled
        self.check_after = -inf if self.is_troubled else self.look_at

    def key_of(self, target: Target) -> Key:
        """Return the rate limit that a request falls under, as far as the server has named it.

        The policies are expected that the server named for the same path, or for all paths that
        begin like it: GitHub names one for ``/search/...`` and another for the rest.
        """
        known = self._policies.get(target.origin)
        if known is None or known.tells_nothing:
            return Key(target.origin, target.credential)
        return Key(target.origin, target.credential, known.expected(target.endpoint[1]))

    def named(self, target: Target, limits: tuple[Limit, ...]) -> Key:
        """Learn the policies that an answer names; return the rate limit of its request now."""
        key = self.key_of(target)
        policies = tuple(sorted({rate_limit.name_of(limit) for limit in limits} - {""}))
        if not policies or policies == key.policies:
            return key
        with self._lock:
            if len(self._policies) >= _MOST_ORIGINS:
                self._policies.clear()
            known = self._policies.get(key.origin, Named())
            if not known.tells_nothing:
                self._policies[key.origin] = known.and_for(target.endpoint[1], policies)
        return self.key_of(target)

    def sweep(self, now: float) -> None:
        """Forget, every ten seconds, the rate limits and outages that hold back no call."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP_SECONDS
        self.outages.sweep(now)
        with self._lock:
            for key, queue in tuple(self._queues.items()):
                self._drop_if_over(key, queue, now)
            self.update_check_after()

    def wait_for_slot(
        self,
        key: Key,
        waiter: Waiter,
        deadline: float,
        *,
        has_sent: bool,
        own: tuple[float | None, float] | None,
    ) -> Slot | TooLate:
        """Wait until a request may be sent, or until the waiter's session is closed.

        Args:
            key: The rate limit.
            waiter: The call that waits.
            deadline: When the call has to be over, in monotonic seconds.
            has_sent: Whether the call has sent an attempt before.
            own: The call's own ``retry_after`` and its end in monotonic seconds. Until then it
                waits for that, whatever else holds it back. None for a first attempt.
        """
        try:
            while True:
                waiter.wake.clear()  # before the look at what may have woken it
                with self._lock:
                    queue, now = self._queues.get(key), self._clock.monotonic()
                    if waiter.closed or queue is None or self._drop_if_over(key, queue, now):
                        return Slot(-1)
                    decision = queue.ask(waiter, now, deadline, has_sent=has_sent)
                if not isinstance(decision, AskAgain):
                    return decision
                if own is not None and own[0] is not None and now < own[1]:
                    waiter.sleep(decision.seconds, Reason.RETRY_AFTER, own[0])
                else:
                    waiter.sleep(decision.seconds, decision.reason, decision.retry_after)
        finally:
            if waiter.rank is not None:
                with self._lock:
                    queue = self._queues.get(key)
                    if queue is not None:
                        queue.drop(waiter)

    def _drop_if_over(self, key: Key, queue: RateLimitQueue, now: float) -> bool:
        """Forget a queue in which no call has to wait any more; return whether it is gone."""
        is_over = queue.is_empty and rate_limit.is_over(queue.state, now)
        if is_over:
            del self._queues[key]
            self._sent = max(self._sent, queue.state.sent)
            self.update_check_after()
        return is_over

    def start_cool_down(self, key: Key, until: float, retry_after: float) -> bool:
        """Send nothing before that time; return whether that has to be announced.

        Args:
            key: The rate limit.
            until: The end of the cool-down, in monotonic seconds.
            retry_after: Seconds that the server asked for.
        """
        with self._lock:
            now = self._clock.monotonic()
            if until <= now:
                return False
            queue = self._queue(key)
            queue.state = rate_limit.with_cool_down(queue.state, until, retry_after)
            queue.wake_hopeless()
            is_news = queue.state.not_before > queue.announced + rate_limit.SAME_COOL_DOWN_SECONDS
            if is_news:
                queue.announced = queue.state.not_before
            return is_news

    def on_refused(self, key: Key, began: float, outcome: Outcome) -> None:
        """Lower the rate: the server let fewer requests through than were sent."""
        if any(limit.remaining < 1 for limit in outcome.limits_to_keep):
            return  # the window says how many may be sent
        with self._lock:
            queue, now = self._queue(key), self._clock.monotonic()
            passing = 0.0
            if queue.state.rate == inf:  # nobody has counted yet: estimate what passed just now
                successes = self.recent_successes.copy()
                span = _MEASURED_SECONDS
                if len(successes) == _SUCCESSES_KEPT and successes[0][1] > now - span:
                    span = max(now - successes[0][1], 0.001)  # older ones are forgotten already
                recent = (url for url, sent in successes if sent > now - span)
                passing = sum(Origin.of(url) == key.origin for url in recent) / span
            queue.state = rate_limit.on_refused(queue.state, began, now, passing)

    def on_rate_limit_fields(
        self, key: Key, number: int, limits: tuple[Limit, ...], *, succeeded: bool
    ) -> None:
        """Learn what the answer to the request of that number says is left."""
        limits = tuple(limit for limit in limits if limit.quota != 0)  # a quota of 0 is an error
        if key not in self._queues and rate_limit.is_plenty(limits):
            return
        with self._lock:
            queue, now = self._queue(key), self._clock.monotonic()
            queue.state = rate_limit.on_rate_limit_fields(
                queue.state, number, limits, now, succeeded=succeeded
            )
            queue.wake_first()

    def on_success(self, key: Key) -> None:
        """Count an answer that does not refuse the request."""
        with self._lock:
            queue = self._queues.get(key)
            if queue is not None:
                queue.state = rate_limit.on_success(queue.state, self._clock.monotonic())

    def _queue(self, key: Key) -> RateLimitQueue:
        """Return the queue of a rate limit; make room for a new one among too many."""
        if key not in self._queues and len(self._queues) >= _MOST_QUEUES:
            now = self._clock.monotonic()
            opens = {
                each: rate_limit.opens(queue.state, now)
                for each, queue in self._queues.items()
                if queue.is_empty
            }
            if opens:
                dropped = self._queues.pop(min(opens, key=opens.__getitem__))
                self._sent = max(self._sent, dropped.state.sent)
        queue = self._queues.setdefault(
            key, RateLimitQueue(rate_limit.RateState(first=self._sent, sent=self._sent))
        )
        self.update_check_after()
        return queue

    def _forget_waiting(self) -> None:
        """Forget the waiting threads: they are not in the child process."""
        self._queues = {key: RateLimitQueue(queue.state) for key, queue in self._queues.items()}
        self.update_check_after()


def _prefixes(pattern: str) -> list[str]:
    """Return a pattern of a path and all its beginnings, the longest first and "" last."""
    parts = pattern.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts), -1, -1)]
