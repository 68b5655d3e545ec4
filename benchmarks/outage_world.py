"""The world of `outage.py`: virtual time, a server that fails and comes back, and its clients.

Nothing here waits or reads a clock. A client is a generator that yields how many seconds it
sleeps; the world wakes it when that time has come, or earlier when somebody else says so.
"""

# ruff: noqa: INP001 (a part of a script)

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf, log
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from requests_authretry._core.records import Failure, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

SERVICE: Final = 0.05
"""Seconds that an answer takes."""

REFUSAL: Final = 0.005
"""Seconds that a 503 or a refused connection takes."""

PATIENCE: Final = 1.0
"""Seconds after which a client gives up an attempt that gets no answer."""

HEADROOM: Final = 1.3
"""What the server can serve, normal load being 1."""

QUEUED: Final = 0.05
"""Seconds that a request may wait for its turn at the server; who would wait longer gets a 503."""

BIN: Final = 0.1
"""Seconds of one bin of the measurements."""

ANSWERED: Final = Outcome(status=200)
BUSY: Final = Outcome(status=503)
REFUSED: Final = Outcome(failure=Failure.UNREACHABLE)
UNANSWERED: Final = Outcome(failure=Failure.LOST)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with the server, and when.

    Attributes:
        begins: Seconds from the start.
        lasts: Seconds.
        share: How many fail, 1 being all.
        outcome: What those bring.
        endpoint: Whether one endpoint fails, always: a share of the calls and all their attempts.
            Otherwise any attempt may.
    """

    begins: float = 5.0
    lasts: float = 30.0
    share: float = 1.0
    outcome: Outcome = BUSY
    endpoint: bool = False

    @property
    def ends(self) -> float:
        """When all is well again."""
        return self.begins + self.lasts


@dataclass(slots=True)
class Call:
    """One call of a client.

    Attributes:
        client: Who makes it.
        began: When.
        unlucky: Whether it goes to the endpoint that fails.
        attempt: Attempts that count so far, those that another made for it included.
        sent: Attempts that were sent.
        started: When the last of them began.
        failed: When the last of those that count failed.
        stumbled: When the first failed.
        outcome: What the last one brought.
        cost: What the last retry took from the quota, None when there was none.
        ended: When it was over.
    """

    client: Client
    began: float
    unlucky: bool
    attempt: int = 0
    sent: int = 0
    started: float = 0.0
    failed: float = 0.0
    stumbled: float = inf
    outcome: Outcome = ANSWERED
    cost: int | None = None
    ended: float = inf


class Process(Protocol):
    """What the clients of one process share: their way to retry."""

    def begins(self, call: Call) -> None:
        """An attempt is sent."""

    def ended(self, call: Call) -> None:
        """An attempt has brought its outcome."""

    def again(self, call: Call) -> Generator[float, None, bool]:
        """Wait after a failure; whether to send again."""


@dataclass
class World:
    """Virtual time, and all that happens in it.

    Attributes:
        now: Seconds from the start.
        random: Random numbers in [0, 1), the same in each run.
        told_until: Until when the store says that the endpoint is down.
    """

    seed: int = 0
    now: float = 0.0
    random: Callable[[], float] = field(init=False)
    told_until: float = 0.0
    _events: list[tuple[float, int, Client]] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        """Begin."""
        self.random = Random(self.seed).random  # noqa: S311 (a simulation repeats itself)

    def wake(self, client: Client, delay: float = 0.0) -> None:
        """Let a client go on then, and not when it was to go on before."""
        self._number += 1
        client.due = self._number
        heappush(self._events, (self.now + delay, self._number, client))

    def run(self, until: float) -> None:
        """Let time pass."""
        events = self._events
        while events[0][0] < until:
            self.now, number, client = heappop(events)
            if client.due == number:
                self.wake(client, next(client.life))


class Server:
    """Serves so many at once, lets few wait, refuses the others, and has its fault.

    Args:
        world: Where it stands.
        capacity: Requests a second.
        fault: What is wrong with it, and when.
    """

    def __init__(self, world: World, capacity: float, fault: Fault) -> None:
        """Begin idle."""
        self._world, self.fault = world, fault
        workers = max(round(capacity * SERVICE), 1)
        self._free: deque[float] = deque([0.0] * workers, maxlen=workers)

    def take(self, call: Call) -> tuple[float, Outcome]:
        """Take an attempt: seconds until it ends, and what it brings."""
        now, fault = self._world.now, self.fault
        if fault.begins <= now < fault.ends and self._fails(call):
            return (PATIENCE if fault.outcome is UNANSWERED else REFUSAL), fault.outcome
        # All take the same time: who comes is served by the worker that became free first.
        starts = max(now, self._free[0])
        if starts > now + QUEUED:
            return REFUSAL, BUSY
        self._free.append(starts + SERVICE)
        return starts + SERVICE - now, ANSWERED

    def _fails(self, call: Call) -> bool:
        if self.fault.endpoint:
            return call.unlucky
        return self.fault.share == 1 or self._world.random() < self.fault.share


@dataclass
class Log:
    """What happened.

    Attributes:
        sent: Attempts in each bin.
        good: Calls that ended well in each bin.
        calls: Each call, the last ones not over.
    """

    sent: list[int]
    good: list[int]
    calls: list[Call] = field(default_factory=list)


class Client:
    """One thread: it makes a call, thinks, and makes the next.

    Args:
        world: Where it lives.
        server: What it calls.
        process: Where it runs.
        log: Where it is written down.
        thinks: Mean seconds between its calls, exponentially distributed.
    """

    def __init__(
        self, world: World, server: Server, process: Process, log: Log, thinks: float
    ) -> None:
        """Begin thinking."""
        self._world, self._server, self._process, self._log = world, server, process, log
        self._thinks = thinks
        self.due = 0
        self.life = self._live()
        world.wake(self)

    def _live(self) -> Generator[float, None, None]:
        world, fault = self._world, self._server.fault
        yield world.random() * SERVICE
        while True:
            yield -log(1.0 - world.random()) * self._thinks
            call = Call(self, world.now, fault.endpoint and world.random() < fault.share)
            self._log.calls.append(call)
            yield from self._make(call)
            call.ended = world.now

    def _make(self, call: Call) -> Generator[float, None, None]:
        world, process, log = self._world, self._process, self._log
        while True:
            call.started = world.now
            call.attempt += 1
            call.sent += 1
            log.sent[int(world.now / BIN)] += 1
            process.begins(call)
            seconds, call.outcome = self._server.take(call)
            yield seconds
            if call.outcome is ANSWERED:
                log.good[int(world.now / BIN)] += 1
                process.ended(call)
                return
            call.failed = world.now
            call.stumbled = min(call.stumbled, world.now)
            process.ended(call)
            if not (yield from process.again(call)):
                return
