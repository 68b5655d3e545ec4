"""The one place that holds back: the limits a process has met, and who waits for which."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from math import inf
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .._core import rate_limit
from .._core.bounds import POLICY_SETS, URL_KEPT
from .._core.origin import Origin
from .._locks import survives_fork
from .outage_tracker import Outages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core.records import Limit, Outcome
    from .._protocols import Clock
    from .waiting import Waiter

_REMEMBERED = 512
"""Answers in whose times the rate is measured when a first refusal comes."""

_MEASURED = 1.0
"""Seconds, the last ones, in which they are counted."""

_MARGIN = 0.05
"""Seconds by which the end of a cool-down must be later than the one known, to be told again."""

_OVERDUE = 0.05
"""Seconds after its time that one in the line looks for itself: who goes before it wakes it."""

_SWEEP_SECONDS = 10.0
_MOST_QUEUES = 1000
_MOST_ORIGINS, _MOST_SECTIONS = 1000, 100

Policies = tuple[str, ...]
"""Their names."""


@dataclass(frozen=True, slots=True)
class Key:
    """What one limit holds for.

    Attributes:
        origin: Where requests go.
        credential: What tells their credentials apart; it is no secret.
        policies: The names that the server gives to its policies there.
    """

    origin: Origin | None
    credential: str
    policies: Policies = ()

    def __str__(self) -> str:
        """As a store keeps it."""
        return " ".join(("cool-down", str(self.origin), self.credential, *self.policies)).strip()


@dataclass(frozen=True, slots=True)
class Named:
    """The policies that one origin has named.

    Attributes:
        sections: Those that were named last for a part of it.
        sets: All that ever were, up to the first that is too many.
    """

    sections: Mapping[str, Policies] = field(default_factory=dict)
    sets: frozenset[Policies] = frozenset()

    @property
    def tells_nothing(self) -> bool:
        """Whether there are too many."""
        return len(self.sets) > POLICY_SETS

    def and_for(self, section: str, policies: Policies) -> Named:
        """With those that were named now."""
        sections = self.sections if len(self.sections) < _MOST_SECTIONS else {}
        return Named({**sections, section: policies}, self.sets | {policies})


class RateLimitQueue:
    """The line before one limit; who uses it holds the lock.

    Attributes:
        flow: What is known of the limit.
        news: Until when listeners and other processes know it to be closed.
    """

    def __init__(self, flow: rate_limit.Flow) -> None:
        """Nobody is before it."""
        self.flow = flow
        self.news = flow.not_before
        self._line: list[tuple[tuple[bool, int], Waiter]] = []
        self._deadlines: dict[Waiter, float] = {}
        self._arrivals = 0

    def ask(self, waiter: Waiter, now: float, deadline: float, *, refused: bool) -> float:
        """Seconds until it should ask again; 0.0: it goes; inf: its deadline comes first."""
        if self.flow.not_before > deadline or now > deadline:
            self.drop(waiter)
            return inf
        if waiter.rank is None:
            self._arrivals += 1
            waiter.rank = rate_limit.rank(self._arrivals, refused=refused)
            insort(self._line, (waiter.rank, waiter), key=lambda each: each[0])
            self._deadlines[waiter] = deadline
        place = bisect_left(self._line, waiter.rank, key=lambda each: each[0])
        wait = max(rate_limit.opens(self.flow, now) - now, 0.0)
        if place:
            wait += place * rate_limit.spacing(self.flow, now) + _OVERDUE
        hurried = rate_limit.hurried(self.flow, now) if now + wait > deadline else None
        if hurried == now:
            self.flow = rate_limit.hurries(self.flow, now)
        elif wait:
            until = now + wait if hurried is None else hurried
            return min(until, deadline + _OVERDUE) - now
        else:
            self.flow = rate_limit.leaves(self.flow, now)
        self.drop(waiter)
        return 0.0

    def drop(self, waiter: Waiter) -> None:
        """It is in the line no more; the next one may be at its head."""
        if waiter.rank is None:
            return
        del self._line[bisect_left(self._line, waiter.rank, key=lambda each: each[0])]
        del self._deadlines[waiter]
        waiter.rank = None
        self.wake()

    def wake(self) -> None:
        """Have the first one look again: it may be its turn earlier."""
        if self._line:
            self._line[0][1].wake.set()

    def tell(self) -> None:
        """Wake those for whom it opens too late."""
        until = self.flow.not_before
        for waiter, deadline in self._deadlines.items():
            if until > deadline:
                waiter.wake.set()

    @property
    def is_empty(self) -> bool:
        """Whether nobody stands before it."""
        return not self._line


class Limits:
    """The limits that a process has met. Safe to use from many threads.

    Attributes:
        attention: From when on a request has to look for a queue, in monotonic seconds. Reading it
            takes no lock: while all is well, a request looks at nothing else.
        outages: What is known of each endpoint's health.
        look_at: When to look into the store, inf where none is shared.
        passed: Where the last answers came from, and when their requests left.
    """

    def __init__(self, clock: Clock) -> None:
        """No limit is known."""
        self._clock = clock
        self._queues: dict[Key, RateLimitQueue] = {}
        self._policies: dict[Origin | None, Named] = {}
        self._sweep_at = -inf
        self._sent = 0  # by queues that are gone: numbers of requests under way stay apart
        self._lock = Lock()
        self.look_at = inf
        self.attention = inf
        self.outages = Outages()
        self.passed: deque[tuple[str, float]] = deque(maxlen=_REMEMBERED)
        survives_fork(self)

    @property
    def is_troubled(self) -> bool:
        """Whether an answer may be news to somebody."""
        return bool(self._queues) or self.outages.troubled

    def settle(self) -> None:
        """Say from when on requests have to look."""
        self.attention = -inf if self.is_troubled else self.look_at

    def key(self, origin: Origin | None, credential: str, url: str) -> Key:
        """The limit that a request falls under, as far as the server has named it.

        Where it has named the same policies for all of an origin they are expected anywhere; else
        for those parts of it that they were named for.
        """
        known = self._policies.get(origin)
        if known is None or known.tells_nothing:
            return Key(origin, credential)
        common = set(known.sections.values())
        policies = common.pop() if len(common) == 1 else known.sections.get(_section(url), ())
        return Key(origin, credential, policies)

    def named(self, key: Key, url: str, limits: tuple[Limit, ...]) -> Key:
        """The limit again, after an answer that may have named its policies."""
        policies = tuple(sorted({rate_limit.name_of(limit) for limit in limits} - {""}))
        if not policies or policies == key.policies:
            return key
        with self._lock:
            if len(self._policies) >= _MOST_ORIGINS:
                self._policies.clear()
            known = self._policies.get(key.origin, Named())
            if not known.tells_nothing:
                self._policies[key.origin] = known.and_for(_section(url), policies)
        return self.key(key.origin, key.credential, url)

    def _sweep(self) -> None:
        """Once in a while, forget what holds nobody back any more."""
        now = self._clock.monotonic()
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP_SECONDS
        self.outages.sweep(now)
        with self._lock:
            for key, queue in tuple(self._queues.items()):
                self._dropped(key, queue, now)
            self.settle()

    def enter(self, key: Key, waiter: Waiter, deadline: float, *, refused: bool) -> float | int:
        """Wait for the turn.

        Returns:
            The number of the request by `Flow.sent`, -1 where nothing holds it back; inf where it
            would come too late or has waited in vain.
        """
        self._sweep()
        try:
            return self._entered(key, waiter, deadline, refused=refused)
        finally:
            self._leave(key, waiter)

    def _entered(self, key: Key, waiter: Waiter, deadline: float, *, refused: bool) -> float | int:
        while True:
            waiter.wake.clear()  # before the look at what may have woken it
            with self._lock:
                queue, now = self._queues.get(key), self._clock.monotonic()
                if waiter.closed or queue is None or self._dropped(key, queue, now):
                    return -1
                wait = queue.ask(waiter, now, deadline, refused=refused)
                number = queue.flow.sent
            if not wait or wait == inf:
                return wait or number
            self._clock.sleep(wait, waiter.wake)

    def _leave(self, key: Key, waiter: Waiter) -> None:
        if waiter.rank is None:
            return
        with self._lock:
            queue = self._queues.get(key)
            if queue is not None:
                queue.drop(waiter)

    def _dropped(self, key: Key, queue: RateLimitQueue, now: float) -> bool:
        """Forget a queue that nobody need wait for."""
        is_over = queue.is_empty and rate_limit.is_over(queue.flow, now)
        if is_over:
            del self._queues[key]
            self._sent = max(self._sent, queue.flow.sent)
            self.settle()
        return is_over

    def opens(self, key: Key) -> float:
        """Seconds until the server's own word lets anybody through."""
        with self._lock:
            queue, now = self._queues.get(key), self._clock.monotonic()
            return 0.0 if queue is None else max(rate_limit.told(queue.flow, now) - now, 0.0)

    def cooled(self, key: Key, until: float) -> bool:
        """Nobody goes before that time; whether that was news."""
        with self._lock:
            now = self._clock.monotonic()
            if until <= now:
                return False
            queue = self._queue(key)
            queue.flow = rate_limit.cooled(queue.flow, until)
            queue.tell()
            is_news = queue.flow.not_before > queue.news + _MARGIN
            if is_news:
                queue.news = queue.flow.not_before
            return is_news

    def refused(self, key: Key, began: float, outcome: Outcome) -> None:
        """The server lets fewer pass than were sent."""
        if any(limit.remaining < 1 for limit in outcome.limits):
            return  # it has told how many
        with self._lock:
            queue, now = self._queue(key), self._clock.monotonic()
            estimate = self._measured(key.origin, now) if queue.flow.rate == inf else 0.0
            queue.flow = rate_limit.refused(queue.flow, began, now, estimate)

    def informed(self, key: Key, number: int, limits: tuple[Limit, ...], *, passed: bool) -> None:
        """The answer to the request of that number told what is left."""
        limits = tuple(limit for limit in limits if limit.quota != 0)  # which would be no service
        if key not in self._queues and rate_limit.is_plenty(limits):
            return
        with self._lock:
            queue, now = self._queue(key), self._clock.monotonic()
            queue.flow = rate_limit.informed(queue.flow, number, limits, now, passed=passed)
            queue.wake()

    def succeeded(self, key: Key) -> None:
        """An answer came that is no refusal."""
        with self._lock:
            queue = self._queues.get(key)
            if queue is not None:
                queue.flow = rate_limit.succeeded(queue.flow, self._clock.monotonic())

    def _queue(self, key: Key) -> RateLimitQueue:
        if key not in self._queues and len(self._queues) >= _MOST_QUEUES:
            self._drop_one()
        queue = self._queues.setdefault(
            key, RateLimitQueue(rate_limit.Flow(first=self._sent, sent=self._sent))
        )
        self.settle()
        return queue

    def _drop_one(self) -> None:
        """Forget the queue that would open first, of those that nobody waits before."""
        now = self._clock.monotonic()
        empty = (key for key, queue in self._queues.items() if queue.is_empty)
        key = min(
            empty, key=lambda key: rate_limit.opens(self._queues[key].flow, now), default=None
        )
        if key is not None:
            self._sent = max(self._sent, self._queues.pop(key).flow.sent)

    def _measured(self, origin: Origin | None, now: float) -> float:
        """Requests a second that passed just now; it is an estimate, and may be too high."""
        passed = self.passed.copy()
        full = len(passed) == _REMEMBERED and passed[0][1] > now - _MEASURED
        span = max(now - passed[0][1], 0.001) if full else _MEASURED
        return sum(left > now - span and Origin.of(url) == origin for url, left in passed) / span

    def after_fork(self) -> None:
        """The threads that waited are not in the child."""
        self._lock = Lock()
        self._queues = {key: RateLimitQueue(queue.flow) for key, queue in self._queues.items()}
        self.settle()


def _section(url: str) -> str:
    """The first part of the path: servers name policies for parts of an API."""
    try:
        path = urlsplit(url).path
    except ValueError:  # requests says so itself, when it comes to sending
        return ""
    return path[:URL_KEPT].lstrip("/").partition("/")[0]
