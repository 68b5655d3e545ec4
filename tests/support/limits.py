"""A clock that stands still, calls in flight that are let go one by one, and what they bring."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Semaphore
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests_authretry import RateLimits, RetryPolicy
from requests_authretry._core.target import Target, origin_name, path_pattern
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.sessions import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from requests import PreparedRequest, Response

    from requests_authretry.testing import Line

PATIENCE = 120.0
"""Real seconds after which a test fails that waits for a thread."""

ONCE = RetryPolicy(max_attempts=1)
UNPACED = RateLimits(pacing=False)
POLICY = {"RateLimit": '"all";r=1;t=60'}


def target(url: str) -> Target:
    """Return where a request without a credential goes."""
    return Target(origin_name(url), "", "GET", path_pattern(url))


class StandingClock(FakeClock):
    """A clock that moves only when the test says so; who waits sleeps until then, or is woken.

    Attributes:
        turns: Where it is not None, one woken thread at a time goes on, until it sends or sleeps.
    """

    turns: Semaphore | None = None

    def __init__(self) -> None:
        """Nobody sleeps."""
        super().__init__()
        self._asleep = Semaphore(0)
        self._due: list[tuple[float, Event]] = []

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Wait for the test."""
        wake = wake or Event()
        self.sleeps.append(seconds)
        self._due.append((self.monotonic() + seconds, wake))
        self._asleep.release()
        assert wake.wait(PATIENCE), "nobody woke it"
        if self.turns is not None:
            assert self.turns.acquire(timeout=PATIENCE), "the thread before it did not send"

    def advance(self, seconds: float) -> None:
        """Move on, and wake those whose wait is over."""
        super().advance(seconds)
        due = [entry for entry in self._due if entry[0] <= self.monotonic() + 1e-9]
        for entry in due:
            self._due.remove(entry)
            entry[1].set()

    def fell_asleep(self) -> None:
        """Wait until one more has begun to wait."""
        assert self._asleep.acquire(timeout=PATIENCE), "nobody waits"


class Flight(ScriptedAdapter):
    """Answers from a list, to some paths only when they are let go."""

    def __init__(self, *script: Line) -> None:
        """Hold nobody."""
        super().__init__(*script)
        self._held: dict[str, tuple[Event, Event]] = {}
        self.hung = Semaphore(0)
        self.turns: Semaphore | None = None

    def hold(self, path: str) -> None:
        """Let the next requests for a path hang."""
        self._held[path] = Event(), Event()

    def left(self, path: str) -> None:
        """Wait until a held request is on its way."""
        assert self._held[path][0].wait(PATIENCE), "it was not sent"

    def let_go(self, path: str) -> None:
        """Answer those that hang there."""
        self._held.pop(path)[1].set()

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """The next line of the script, when the request is let go."""
        sent, go_on = self._held.get(urlsplit(request.url or "").path, (None, None))
        if sent is not None and go_on is not None:
            sent.set()
            self.hung.release()
            assert go_on.wait(PATIENCE), "nobody let it go"
        response = super().send(request, *args, **options)
        if self.turns is not None:
            self.turns.release()
        return response

    @property
    def hanging(self) -> int:
        """How many paths have a held request on its way."""
        return sum(sent.is_set() for sent, _ in self._held.values())

    @property
    def paths(self) -> list[str]:
        """Where answered requests went, in order."""
        return [str(urlsplit(request.url or "").path) for request in self.sent]


class Crowd(Rig):
    """A session for many threads, on a clock that stands still unless another is given."""

    def __init__(self, *script: Line, **settings: Any) -> None:
        """No call is under way."""
        clock = settings.setdefault("clock", StandingClock())
        super().__init__(*script, **settings)
        self.clock = clock
        self.inner = self.adapter.inner = self.flight = Flight(*script)
        self._pool = ThreadPoolExecutor(20)

    def begin(self, path: str = "/", **options: Any) -> Future[Response]:
        """Send from a thread of its own."""
        return self._pool.submit(self.get, path, **options)

    def begin_asleep(self, path: str = "/", **options: Any) -> Future[Response]:
        """Send, and wait until it waits."""
        future = self.begin(path, **options)
        self.fell_asleep()
        return future

    def fell_asleep(self) -> None:
        """Wait until one more waits."""
        assert isinstance(self.clock, StandingClock)
        self.clock.fell_asleep()

    def begin_held(self, path: str, **options: Any) -> Future[Response]:
        """Send, and wait until it is on its way; it hangs there."""
        self.flight.hold(path)
        future = self.begin(path, **options)
        self.flight.left(path)
        return future

    def advance_in_turns(self, seconds: float) -> None:
        """Move the clock on; no woken thread goes on before the one before it has sent."""
        assert isinstance(self.clock, StandingClock)
        self.flight.turns = self.clock.turns = Semaphore(1)
        self.clock.advance(seconds)

    def end(self) -> None:
        """End all waits and threads."""
        self.session.close()
        self._pool.shutdown()


@contextmanager
def crowd(*script: Line, **settings: Any) -> Iterator[Crowd]:
    """A crowd that leaves no thread behind."""
    made = Crowd(*script, **settings)
    try:
        yield made
    finally:
        made.end()


def hint(seconds: float, status: int = 429, **headers: str) -> Line:
    """An answer that refuses, and says for how long.

    Unless other headers are given it names the policy that covers all of the origin, so that no
    test attempt is sent.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()} or POLICY
    return status, {"Retry-After": f"{seconds:g}", **named}


def looks_end() -> None:
    """Wait for the threads that look into a store."""
    for thread in threading.enumerate():
        if thread.name == "requests_authretry look":
            thread.join(PATIENCE)


def refused_for(rig: Rig, **options: Any) -> None:
    """Have a call refused that does not wait for another attempt."""
    assert rig.get(**options).status_code >= 400
    rig.waits.clear()
    rig.events.clear()
