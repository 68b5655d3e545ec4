"""Scenarios: who sends what when, what the server answers, and what happens, in virtual time.

The calls are those of many threads, sessions and processes, all through `mount`. What happens is a
timeline: each request with its time and its answer, each wait with its length and its reason, and
how a call ended that did not end with the last answer. No scenario waits for real time to pass::

    world = World({"/orders": [refused(10), 200]})
    session = world.session()
    world.call(0, "A", "GET /orders", session)
    world.call(10, "B", "GET /orders", session)
    assert world.run() == timeline('''
        0   A  GET /orders -> 429
        0   A  waits 10 s: retry_after
        10  A  GET /orders -> 200
        10  B  GET /orders -> 200
    ''')
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from math import isclose
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from requests_authretry import Attempt, Reason, Settings, explain, mount
from tests.support.sessions import API
from tests.support.virtual_time import PATIENCE, Turns, VirtualClock, VirtualStore


@dataclass(frozen=True)
class Answer:
    """An answer of the server.

    Attributes:
        status: The status code.
        fields: The header fields.
        takes: Seconds from the request to the answer; None: as long as all answers of the world.
    """

    status: int = 200
    fields: Mapping[str, str] = field(default_factory=dict)
    takes: float | None = None


@dataclass(frozen=True)
class Request:
    """A request as the server sees it.

    Attributes:
        time: When it was sent, in seconds since the beginning.
        caller: The name of the call.
        name: Its method and path, or its method and URL at another origin than `API`.
        headers: Its header fields.
        number: How many requests came before that have the same row of the table.
    """

    time: float
    caller: str
    name: str
    headers: Mapping[str, Any]
    number: int


@dataclass(frozen=True)
class Sent:
    """A request that was sent: when, by which call, its method and path, and its status."""

    time: float
    caller: str
    name: str
    status: int


Reply = int | Answer
"""An answer, or the status of one without any fields."""

Server = Callable[[Request], Reply]
Replies = Sequence[Reply] | Server
"""Answers in turn, the last one again and again; or a function that answers."""


def refused(seconds: object, status: int = 429, *, takes: float | None = None) -> Answer:
    """Return an answer with a `Retry-After`."""
    return Answer(status, {"Retry-After": str(seconds)}, takes)


def closed_until(end: float, *, takes: float | None = None) -> Server:
    """Return a server that refuses all requests before a time, and says how long that is."""

    def answer(request: Request) -> Reply:
        if request.time < end:
            return refused(f"{end - request.time:g}", takes=takes)
        return Answer(takes=takes)

    return answer


class Sends(Protocol):
    """A session, or what makes the calls of one."""

    @property
    def request(self) -> Callable[..., requests.Response]:
        """The method of `requests.Session`."""


class World(BaseAdapter):
    """A server, the calls that are sent to it, and what happens.

    Args:
        answers: What the server answers: a function of the request, or a table. The table has the
            answers to each path, or method and path; to all others the server answers 200.
        takes: Seconds from a request to its answer.
        random: Draws the numbers in [0, 1) that spread waits.
        patience: Real seconds for which a running thread may stand at one place.

    Attributes:
        turns: The virtual time.
        clock: The clock of the first process. Each other process has a clock of its own.
        store: A store that processes may share.
        sent: All requests, in the order in which they were sent.
        results: What each call returned or raised, by the name of the call.
    """

    def __init__(
        self,
        answers: Mapping[str, Replies] | Server,
        *,
        takes: float = 0.0,
        random: Callable[[], float] = lambda: 0.5,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__()
        self._answers, self._takes, self._random = answers, takes, random
        self.turns = Turns(patience)
        self.clock = self.process()
        self.store = VirtualStore(self.turns, self.clock)
        self.sent: list[Sent] = []
        self.results: dict[str, requests.Response | requests.RequestException] = {}
        # When each call began to do something, and in which step of all threads.
        self._moments: dict[str, list[_Moment]] = {}
        self._numbers: dict[str, int] = {}

    def process(self, *, ahead: float = 0.0) -> VirtualClock:
        """Return the clock of a process, on a machine whose POSIX time is so many seconds fast.

        Two settings objects with different clocks share only what they share through a store.
        """
        return VirtualClock(self.turns, ahead, self._random, lambda: self._note("wait"))

    def settings(self, **fields: Any) -> Settings:
        """Return settings of the first process, unless another clock is given."""
        return Settings(**{"clock": self.clock, **fields})

    def session(
        self, settings: Settings | None = None, headers: Mapping[str, str] | None = None
    ) -> requests.Session:
        """Return a mounted session, whose requests have these header fields."""
        session = requests.Session()
        session.trust_env = False
        session.headers.update(headers or {})
        for scheme in ("https://", "http://"):
            session.mount(scheme, self)
        mount(session, settings or self.settings())
        return session

    def call(self, at: float, name: str, request: str, session: Sends, **options: Any) -> None:
        """Add a call.

        Args:
            at: When it begins, in seconds since the beginning.
            name: Its name in the timeline; no other call has it.
            request: Its method, and its path at `API` or its URL.
            session: The session that makes it.
            **options: More arguments of `requests.Session.request`.
        """
        method, _, path = request.partition(" ")
        url = path if "://" in path else API + path

        def made() -> None:
            self._moments[name] = []
            self._note("begin")
            try:
                self.results[name] = session.request(method, url, **options)
            except requests.RequestException as error:
                self.results[name] = error
            self._note("end")

        self.turns.add(name, at, made)

    def caller(self, name: str, work: Callable[[], object], at: float = 0.0) -> None:
        """Add a thread that makes calls as it likes; only `sent` shows them.

        Thousands of calls are made fastest by `Session.send`, with a request that is prepared once.
        """
        self.turns.add(name, at, work)

    def run(self) -> list[str]:
        """Let everything happen, and return the timeline of all calls.

        Raises:
            AssertionError: The scenario is stuck, or the record of a call and the server disagree.
        """
        self.turns.run()
        lines = [line for name in self._moments for line in self._lines(name)]
        return [text for _, text in sorted(lines, key=lambda line: line[0])]

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer a request, as the inner adapter of all sessions."""
        caller, url = threading.current_thread().name, request.url or ""
        name = f"{request.method} {url.removeprefix(API)}"
        self._note("attempt")
        answer = self._answer(caller, name, request.headers)
        self.sent.append(Sent(self.turns.now, caller, name, answer.status))
        takes = self._takes if answer.takes is None else answer.takes
        if takes:
            self.turns.sleep(takes)
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.fields)
        response.raw, response.url, response.request = BytesIO(b""), url, request
        return response

    def close(self) -> None:
        """Do nothing: the server goes on when a session is closed."""

    def _answer(self, caller: str, name: str, headers: Mapping[str, Any]) -> Answer:
        """Return the answer to a request of this method and path."""
        row, replies = "", self._answers
        if isinstance(replies, Mapping):
            path = urlsplit(name.partition(" ")[2]).path
            row = name if name in replies else path
        number = self._numbers[row] = self._numbers.get(row, -1) + 1
        found = replies.get(row, (200,)) if isinstance(replies, Mapping) else replies
        if callable(found):
            reply = found(Request(self.turns.now, caller, name, headers, number))
        else:
            reply = found[min(number, len(found) - 1)]
        return Answer(reply) if isinstance(reply, int) else reply

    def _note(self, kind: str) -> None:
        """Keep when this thread's call does something; other threads have no timeline."""
        moments = self._moments.get(threading.current_thread().name)
        if moments is not None:
            moments.append(_Moment(kind, self.turns.now, self.turns.steps))

    def _lines(self, name: str) -> list[tuple[int, str]]:
        """Return the lines of one call, each with its place among those of all calls.

        Raises:
            AssertionError: The record of the call does not say what happened.
        """
        told = explain(self.results[name])
        began, *moments, end = self._moments[name]
        lines: list[tuple[int, str]] = []
        attempts: list[Sent] = []
        following = iter(moments)
        for step in told.steps:
            kind = "attempt" if isinstance(step, Attempt) else "wait"
            # A wait may have several sleeps: the line stands where the first one begins.
            at = began.time + step.started
            moment = next((each for each in following if each.is_of(kind, at)), None)
            assert moment is not None, f"{name} has no {kind} at {at:g} s, as its record says"
            if isinstance(step, Attempt):
                request = f"{step.method} {step.url.removeprefix(API)}"
                attempts.append(Sent(moment.time, name, request, step.status or 0))
                took = f" after {_number(step.elapsed)} s" if step.elapsed else ""
                text = f"{request} -> {step.status}{took}"
            else:
                text = f"waits {_number(step.seconds)} s: {_short(step.reason)}"
            lines.append((moment.step, f"{moment.at} {name} {text}"))
        if not attempts:
            lines.append((end.step, f"{end.at} {name} is not sent"))
        elif (reason := told.attempts[-1].reason) is not Reason.FINAL:
            what = told.status or told.error
            lines.append((end.step, f"{end.at} {name} ends with {what}: {_short(reason)}"))
        seen = [sent for sent in self.sent if sent.caller == name]
        assert attempts == seen, f"the record of {name} and the server disagree"
        return lines


@dataclass(frozen=True)
class _Moment:
    """When a call did something.

    Attributes:
        kind: What it did: "begin", "attempt", "wait" or "end".
        time: Seconds since the beginning.
        step: The step of all threads in which it did so.
    """

    kind: str
    time: float
    step: int

    @property
    def at(self) -> str:
        """The time as a timeline has it."""
        return _number(self.time)

    def is_of(self, kind: str, time: float) -> bool:
        """Whether it is of this kind and at this time."""
        return self.kind == kind and isclose(self.time, time, abs_tol=1e-6)


def timeline(text: str) -> list[str]:
    """Return the lines of a timeline, as `World.run` does. Spaces between words do not count."""
    return [" ".join(line.split()) for line in text.strip().splitlines()]


def _number(seconds: float) -> str:
    """Return seconds as text, rounded to milliseconds."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _short(reason: Reason) -> str:
    """Return a reason in its first words."""
    return reason.value.partition(",")[0].partition(":")[0]
