"""Waits and attempts are the whole of a call, whatever happens to it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from requests_authretry import (
    Backoff,
    CallEnded,
    Reason,
    RetryPolicy,
    Settings,
    Token,
    Wait,
    explain,
    mount,
)
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.scripted import Source
from tests.support.sessions import API, Rig

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

SCENARIOS = 10_000
CALLS = 3
RENEWAL_SECONDS = 0.5
ERRORS: list[type[BaseException] | None] = [requests.ConnectTimeout, requests.ReadTimeout] * 2 + [
    ValueError,
    KeyboardInterrupt,
]


class OwnTime(FakeClock):
    """A fake clock on which each thread has a time of its own: no other thread moves it."""

    def __init__(self, chance: Random) -> None:
        super().__init__(random=chance.random)
        self._own = threading.local()
        self.on_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        """Return the seconds that have passed for this thread."""
        return 1000.0 + getattr(self._own, "passed", 0.0)

    def time(self) -> float:
        """Return its POSIX time in seconds."""
        return 1_000_000_000.0 + self.monotonic()

    def advance(self, seconds: float) -> None:
        """Move the time of this thread on."""
        self._own.passed = getattr(self._own, "passed", 0.0) + seconds

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Move it on, unless ``wake`` is set: by others before, or by what happens meanwhile."""
        worker = getattr(wake, "worker", None)
        if worker is not None:
            worker.join(self.patience)
            self.advance(min(seconds, RENEWAL_SECONDS))
        self.on_sleep()
        if wake is None or not wake.is_set():
            self.advance(seconds)


class Fate(BaseAdapter):
    """An inner adapter that answers at random, and takes its time."""

    def __init__(self, chance: Random, clock: OwnTime, session: requests.Session) -> None:
        super().__init__()
        self.chance, self.clock, self.session = chance, clock, session

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer with anything that a server, a network or a user may do."""
        self.clock.advance(self.chance.choice([0.0, 0.0, 0.25, 3.0]))
        if self.chance.random() < 0.02:
            self.session.close()
        error = self.chance.choice([*[None] * 12, *ERRORS])
        if error is not None:
            raise error("of the test")
        status = self.chance.choice([200, 200, 401, 403, 429, 429, 500, 503, 302, 307, 404])
        fields: dict[str, str] = {}
        if status in {302, 307}:
            fields["Location"] = self.chance.choice(["/there", "https://other.example.com/"])
        if status in {429, 503} and self.chance.random() < 0.6:
            fields["Retry-After"] = self.chance.choice(["0", "1", "2", "30", "500"])
        if self.chance.random() < 0.2:
            fields["RateLimit"] = f'"a";r={self.chance.randrange(3)};t={self.chance.randrange(9)}'
        answer = requests.Response()
        answer.status_code, answer.headers = status, CaseInsensitiveDict(fields)
        answer.raw, answer.request, answer.url = BytesIO(b"body"), request, request.url or ""
        return answer

    def close(self) -> None:
        """Do nothing."""


def source(chance: Random, clock: OwnTime) -> Callable[[], Token | str | None]:
    """A token source that is slow, fails, or repeats itself."""

    def fetch() -> Token | str | None:
        if chance.random() < 0.2:
            raise requests.ConnectionError("of the token endpoint")
        if chance.random() < 0.1:
            return None
        expires = clock.time() + chance.choice([1.0, 60.0, 3600.0])
        return Token(f"token-{chance.randrange(3)}", expires_at=expires)

    return fetch


def mounted(chance: Random, events: list[Any]) -> tuple[requests.Session, OwnTime]:
    """A session with random settings above a random server."""
    clock, session = OwnTime(chance), requests.Session()
    session.mount("https://", Fate(chance, clock, session))
    policy = RetryPolicy(
        max_attempts=chance.randrange(1, 6),
        deadline=chance.choice([1.0, 5.0, 60.0, 120.0]),
        backoff=Backoff(initial=chance.choice([0.05, 0.5, 4.0])),
    )
    token: Any = source(chance, clock) if chance.random() < 0.6 else None
    origins = [API] if token is not None else []
    heard = [events.append] if chance.random() < 0.5 else []
    mount(
        session, Settings(clock=clock, retry=policy, token=token, origins=origins, listeners=heard)
    )
    if chance.random() < 0.1:
        clock.on_sleep = session.close
    return session, clock


def adds_up(session: requests.Session, clock: OwnTime, method: str) -> tuple[Any, ...]:
    """Make a call, hold its record against the clock, and return the steps of the record."""
    began = clock.monotonic()
    try:
        result: Any = session.request(method, f"{API}/items/{id(clock) % 3}")
    except (requests.RequestException, ValueError, KeyboardInterrupt) as error:
        result = error
    took = clock.monotonic() - began
    told = explain(result)
    assert told.seconds == pytest.approx(took, abs=1e-6), told
    assert told.waited + sum(each.elapsed for each in told.attempts) == pytest.approx(
        took, abs=1e-6
    ), told
    ends = 0.0
    for step in told.steps:
        assert step.started == pytest.approx(ends, abs=1e-6), told
        ends += step.seconds if isinstance(step, Wait) else step.elapsed
    before = [sum(wait.seconds for wait in attempt.waits) for attempt in told.attempts]
    delays = [attempt.delay for attempt in told.attempts]
    assert delays[:-1] == pytest.approx(before[1:], abs=1e-6), told
    return told.steps


MORE = [pytest.mark.slow, pytest.mark.uncovered]


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=MORE) for part in range(1, 10))])
def test_waits_and_attempts_are_the_whole_call(part: int) -> None:
    """In 10 000 random scenarios they follow one another without a gap, and sum up to the call.

    A scenario has several calls in a row, with failures, ``Retry-After``, rate limits, renewals,
    redirects and sessions that are closed during an attempt or a wait.
    """
    reasons = set()
    for seed in range(part * SCENARIOS // 10, (part + 1) * SCENARIOS // 10):
        chance, events, led_on = Random(seed), list[Any](), 0  # noqa: S311 (as below)
        session, clock = mounted(chance, events)
        for _ in range(CALLS):
            steps = adds_up(session, clock, chance.choice(["GET", "POST", "PUT"]))
            reasons |= {step.reason for step in steps}
            led_on += steps[-1:] != () and steps[-1].reason is Reason.REDIRECT
        ended = [event for event in events if isinstance(event, CallEnded)]
        assert len({event.call for event in ended}) == len(ended)
        # A redirect that nobody follows ends no call.
        assert not events or len(ended) >= CALLS - led_on
    expected = {Reason.BACKOFF, Reason.RETRY_AFTER, Reason.COOL_DOWN, Reason.PACING}
    expected |= {Reason.RENEWAL, Reason.REFRESHED, Reason.REDIRECT, Reason.CLOSED}
    assert reasons >= expected


@pytest.mark.parametrize("error", [ValueError("of a body"), KeyboardInterrupt()])
def test_an_attempt_that_is_cut_off_is_in_the_record(error: BaseException) -> None:
    """A Ctrl-C, or what a generator as the body raises, ends an attempt that took its time."""

    class Slow(ScriptedAdapter):
        def send(self, *_: Any, **__: Any) -> requests.Response:
            rig.clock.advance(3.0)
            raise error

    rig = Rig()
    rig.adapter.inner = Slow()
    with pytest.raises(type(error)) as caught:
        rig.get("/items")
    told = explain(caught.value)
    [attempt] = told.attempts
    assert (attempt.url, attempt.error) == (f"{API}/items", type(error).__name__)
    assert (attempt.elapsed, told.seconds, attempt.reason) == (3.0, 3.0, Reason.FATAL)
    assert [each.attempts for each in rig.told(CallEnded)] == [1]


def test_a_wait_that_is_cut_off_sends_nothing() -> None:
    """After a Ctrl-C while a call waits for its token, the wait is all of its record."""

    class Cut(FakeClock):
        def sleep(self, seconds: float, _: Event | None = None) -> None:
            self.advance(min(seconds, 0.5))
            raise KeyboardInterrupt

    rig = Rig(clock=Cut(), token=Source("new"), origins=[API])
    with pytest.raises(KeyboardInterrupt) as caught:
        rig.get()
    [step] = explain(caught.value).steps
    assert (step.reason, rig.inner.sent) == (Reason.RENEWAL, [])


@pytest.mark.parametrize("seed", range(20))
def test_they_add_up_in_each_of_many_threads(seed: int) -> None:
    """Threads that share a session, its rate limits and its token have records of their own."""
    chance = Random(seed)  # noqa: S311 (no secret comes of it)
    session, clock = mounted(chance, [])
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(adds_up, session, clock, "GET") for _ in range(40)]
    steps = [step for each in made for step in each.result()]
    assert steps
