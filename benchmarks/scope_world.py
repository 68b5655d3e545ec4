"""The world of `scope.py`: virtual time, servers with rate limits, and the callers.

Nothing here waits or reads a clock. A caller is a generator that yields how many seconds it sleeps;
the world wakes it when that time has come, or earlier when somebody else says so.
"""
# ruff: noqa: INP001 (a part of a script)

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from heapq import heappop, heappush
from math import ceil, inf
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from requests_authretry._core.records import Outcome, Reason
from requests_authretry._core.target import Target, path_pattern

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from requests_authretry._core.rate_limit import AskAgain

API: Final = "https://api.example.com"
LATENCY: Final = 0.05
"""Seconds from a request to its answer; the server decides when the request arrives, at once."""

KEYS: Final = 20
"""Things at each endpoint."""

PASSED: Final = Outcome(status=200)
TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Request:
    """What a call asks for.

    Attributes:
        endpoint: The name of the endpoint, a letter.
        key: The number of the thing there.
        luck: A number in [0, 1) for servers that refuse at random.
    """

    endpoint: str
    key: int
    luck: float

    @property
    def url(self) -> str:
        """The URL."""
        return f"{API}/{self.endpoint}/{self.key}"

    @property
    def target(self) -> Target:
        """Where it goes, as the library tells requests apart."""
        return _target(self.url)


@lru_cache(maxsize=10_000)
def _target(url: str) -> Target:
    return Target(API, "", "GET", path_pattern(url))


class Limit:
    """A rate limit of the server.

    Args:
        endpoint: The only endpoint that it covers; "" for all.
        key: The only key that it covers; None for all.

    Attributes:
        told: When the server has first told somebody that nothing passes now; inf if it has not.
    """

    def __init__(self, endpoint: str = "", key: int | None = None) -> None:
        """Begin with nothing spent."""
        self._endpoint, self._key = endpoint, key
        self._begins: list[float] = []
        self._ends: list[float] = []
        self.told = inf

    def covers(self, request: Request) -> bool:
        """Whether a request counts."""
        return self._endpoint in {"", request.endpoint} and self._key in {None, request.key}

    def opens(self, now: float) -> float:
        """Return when the next request would pass."""
        return max(self._ends[-1], now) if self._ends else now

    def take(self, now: float) -> None:
        """Count a request that passes."""

    def retry_after(self, now: float) -> float:
        """Return what a refusal says: whole seconds, rounded up."""
        return max(ceil(self.opens(now) - now - TOLERANCE), 1)

    def shut(self, begins: float, ends: float) -> None:
        """Note that nothing passes in this time."""
        if self._ends and begins <= self._ends[-1] + TOLERANCE:
            self._ends[-1] = max(self._ends[-1], ends)
        else:
            self._begins.append(begins)
            self._ends.append(ends)
            self.told = inf

    def shut_between(self, begins: float, ends: float) -> Iterator[tuple[float, float]]:
        """Give the parts of a time in which nothing passes."""
        first = bisect_right(self._ends, begins)
        for number in range(first, len(self._ends)):
            if self._begins[number] >= ends:
                return
            yield max(self._begins[number], begins), min(self._ends[number], ends)


class Window(Limit):
    """A fixed window: so many requests in so many seconds, then nothing until it ends."""

    def __init__(
        self, allowed: float, seconds: float, endpoint: str = "", key: int | None = None
    ) -> None:
        """Begin with the first window."""
        super().__init__(endpoint, key)
        self._allowed, self._seconds = max(round(allowed), 1), seconds
        self._window, self._taken = 0, 0

    def take(self, now: float) -> None:
        """Count a request."""
        window = int((now + TOLERANCE) // self._seconds)
        if window != self._window:
            self._window, self._taken = window, 0
        self._taken += 1
        if self._taken >= self._allowed:
            self.shut(now, (window + 1) * self._seconds)


class Bucket(Limit):
    """A token bucket, full at first; ``Retry-After`` is 1, or more if the next token takes longer.

    Args:
        rate: Tokens a second.
        burst: Tokens in a full bucket.
    """

    def __init__(self, rate: float, burst: float) -> None:
        """Fill it."""
        super().__init__()
        self._rate, self._burst = rate, max(burst, 1.0)
        self._tokens, self._filled = self._burst, 0.0

    def take(self, now: float) -> None:
        """Take a token."""
        filled = self._tokens + (now - self._filled) * self._rate
        self._tokens, self._filled = min(filled, self._burst) - 1, now
        if self._tokens < 1 - TOLERANCE:
            self.shut(now, now + (1 - self._tokens) / self._rate)


class Exhausted(Limit):
    """A limit that another program has used up, for some time."""

    def __init__(self, endpoint: str, begins: float, ends: float) -> None:
        """Plan it."""
        super().__init__(endpoint)
        self._plan = begins, ends
        self.shut(begins, ends)

    def opens(self, now: float) -> float:
        """Return when the next request would pass."""
        begins, ends = self._plan
        return ends if begins <= now < ends else now


@dataclass(slots=True)
class Tally:
    """What happened.

    Attributes:
        calls: Calls that were begun.
        passed: Calls that ended with a 200.
        failed: Calls that ended otherwise.
        refused: Requests that the server refused.
        early: Those of them that were sent after the server had told somebody of this cool-down.
        denied: Calls that ended because a rate limit seemed closed for too long, though the server
            would have let them pass.
        held: Seconds in which calls waited for the end of a cool-down, though the server would have
            let them pass.
        worst: The longest of these waits.
        paced: The same seconds, of calls that waited for the pace.
    """

    calls: int = 0
    passed: int = 0
    failed: int = 0
    refused: int = 0
    early: int = 0
    denied: int = 0
    held: float = 0.0
    worst: float = 0.0
    paced: float = 0.0


class Server:
    """Answers requests.

    Args:
        limits: Its rate limits.
        unlucky: Share of the requests that it refuses at random, with ``Retry-After: 1``.
    """

    def __init__(self, limits: Sequence[Limit], unlucky: float, tally: Tally) -> None:
        """Begin."""
        self._limits, self._unlucky, self._tally = limits, unlucky, tally

    def opens(self, request: Request, now: float) -> float:
        """Return when a request would pass, as far as it is known."""
        counting = (limit for limit in self._limits if limit.covers(request))
        return max((limit.opens(now) for limit in counting), default=now)

    def answer(self, request: Request, now: float) -> Outcome:
        """Return the answer to a request that arrives now."""
        counting = [limit for limit in self._limits if limit.covers(request)]
        closed = [limit for limit in counting if limit.opens(now) > now + TOLERANCE]
        if not closed and request.luck >= self._unlucky:
            for limit in counting:
                limit.take(now)
            return PASSED
        self._tally.refused += 1
        self._tally.early += any(limit.told < now for limit in closed)
        for limit in closed:
            limit.told = min(limit.told, now + LATENCY)
        retry_after = max((limit.retry_after(now) for limit in closed), default=1)
        return Outcome(status=429, retry_after=float(retry_after), throttled=True)

    def open_seconds(self, request: Request, begins: float, ends: float) -> float:
        """Return for how many seconds in this time the server would have let a request pass."""
        shut = sorted(
            part
            for limit in self._limits
            if limit.covers(request)
            for part in limit.shut_between(begins, ends)
        )
        left, until = 0.0, begins
        for start, end in shut:
            left += max(start - until, 0.0)
            until = max(until, end)
        return left + max(ends - until, 0.0)


class End(Enum):
    """How a call ended."""

    PASSED = "with a 200"
    REFUSED = "with a 429"
    TOO_LATE = "because a rate limit seemed closed for too long"


class Client(Protocol):
    """How the callers of one process send."""

    def send(self, caller: Caller, request: Request) -> Generator[float, None, End]:
        """Send until the rules say stop; return how the call ended."""


@dataclass(order=True, slots=True)
class _Event:
    time: float
    place: int
    number: int
    caller: Caller = field(compare=False)


class World:
    """Virtual time, and all that happens in it. Of several callers at one time, the first goes on.

    Attributes:
        now: Seconds from the start.
        callers: How many callers there are.
    """

    def __init__(self) -> None:
        """Begin at zero."""
        self.now, self.callers = 0.0, 0
        self._events: list[_Event] = []
        self._number = 0

    def wake(self, caller: Caller, delay: float = 0.0) -> None:
        """Let a caller go on then, and not when it was to go on before."""
        self._number += 1
        caller.due = self._number
        heappush(self._events, _Event(self.now + delay, caller.place, self._number, caller))

    def run(self, until: float) -> None:
        """Let time pass."""
        events = self._events
        while events[0].time < until:
            event = heappop(events)
            if event.caller.due == event.number:
                self.now = event.time
                self.wake(event.caller, next(event.caller.life))


class Clock:
    """The clock of one process: `Settings(clock=...)`."""

    def __init__(self, world: World) -> None:
        """Show the time of the world."""
        self._world = world

    def time(self) -> float:
        """Return the POSIX time in seconds."""
        return self._world.now

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return self._world.now

    def sleep(self, seconds: float, wake: object = None) -> None:
        """Refuse: callers sleep by a yield."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What callers ask for.

    Attributes:
        weights: The endpoints, and how often each is asked for.
        hot: Share of the requests for key 0, besides its own.
        thinks: Mean seconds from the end of a call to the next one.
    """

    weights: dict[str, float]
    hot: float
    thinks: float

    def request(self, random: Random) -> Request:
        """Draw what the next call asks for."""
        endpoint = random.choices([*self.weights], [*self.weights.values()])[0]
        key = random.randrange(KEYS)
        is_hot = random.random() < self.hot
        return Request(endpoint, 0 if is_hot else key, random.random())


class Caller:
    """One thread: it makes a call, thinks, and makes the next.

    Each caller has random numbers of its own, so that a policy does not change what callers ask.
    """

    def __init__(  # noqa: PLR0913, PLR0917 (all that a caller deals with)
        self, world: World, server: Server, client: Client, tally: Tally, habits: Habits, seed: str
    ) -> None:
        """Begin thinking."""
        self.world, self.server, self.tally = world, server, tally
        self._client, self._habits = client, habits
        self.random = Random(seed)  # noqa: S311 (a simulation repeats itself)
        self.due, self.place = 0, world.callers
        world.callers += 1
        self.life = self._live()
        world.wake(self)

    def _live(self) -> Generator[float, None, None]:
        while True:
            yield self.random.expovariate(1 / self._habits.thinks)
            request, tally = self._habits.request(self.random), self.tally
            tally.calls += 1
            end = yield from self._client.send(self, request)
            tally.passed += end is End.PASSED
            tally.failed += end is not End.PASSED
            now = self.world.now
            tally.denied += end is End.TOO_LATE and self.server.opens(request, now) <= now

    def waits(
        self, request: Request, told: AskAgain, own_until: float
    ) -> Generator[float, None, None]:
        """Sleep, and count for how long the server would have let the request pass.

        Args:
            request: What waits.
            told: What it waits for, and how long unless somebody wakes it.
            own_until: When its own ``retry_after`` ends; until then the wait costs nothing.
        """
        began = self.world.now
        yield told.seconds
        begins, ends = max(began, own_until), self.world.now
        if begins < ends:
            lost = self.server.open_seconds(request, begins, ends)
            if told.reason is Reason.PACING:
                self.tally.paced += lost
            else:
                self.tally.held += lost
                self.tally.worst = max(self.tally.worst, lost)
