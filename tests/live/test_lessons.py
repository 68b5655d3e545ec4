"""The programs of ``docs/lessons.md``, run on httpbin behind the demo server."""

from __future__ import annotations

import json
import os
import re
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest

from requests_authretry import RefreshFailed
from requests_authretry.cli.demo_server import DemoServer, httpbin, serve
from requests_authretry.testing import FakeClock, SystemClock, forget_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PAGE: Final = Path(__file__).parents[2] / "docs" / "lessons.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
BLOCK: Final = r"^<!-- lesson: (\S+) (setup|before|after) -->\n```python\n(.*?)^```$"
PROGRAMS: Final = {
    (found[1], found[2]): "\n" * TEXT.count("\n", 0, found.start(3)) + found[3]
    for found in re.finditer(BLOCK, TEXT, re.MULTILINE | re.DOTALL)
}
"""The code under each name, as far down as it stands on the page, so that tracebacks are right."""

STALE: Final = "stale"
"""A token that the server has forgotten when it is first used."""

USER: Final = {"user": "ada", "password": "open-sesame-51c7e0"}


@dataclass(frozen=True)
class Lesson:
    """What the server does, and what both programs must come to.

    Attributes:
        guarded: Whether it wants bearer tokens.
        canned: What it answers first, whatever it is asked: status and headers.
        logins: What its token endpoint answers: a status, or ``STALE`` for a token of no use.
        side_by_side: How many requests it collects before it answers the first of them.
        seen: The statuses it gives in the end, token endpoint aside.
        status: The status of each answer that the program gets.
        body: What is in the JSON of each answer.
        waits: The least and the most seconds of each wait.
        paced: How many short waits more there may be, for the pace that is kept after a 429: one
            for each later request that its own wait, a random one, does not delay for longer.
        also: What the program says besides, by the names it says it under.
    """

    seen: list[int]
    guarded: bool = True
    canned: Sequence[tuple[int, dict[str, str]]] = ()
    logins: Sequence[int | str] = ()
    side_by_side: int = 0
    status: int = 200
    body: dict[str, Any] = field(default_factory=dict)
    waits: Sequence[tuple[float, float]] = ()
    paced: int = 0
    also: dict[str, Any] = field(default_factory=dict)


SCOPE: Final = {"WWW-Authenticate": 'Bearer realm="demo", error="insufficient_scope"'}
KNOWN: Final = {"authenticated": True}
BASIC: Final = {**KNOWN, "user": USER["user"]}
PAUSES: Final = [(0, 0.05), (0, 0.1)]

LESSONS: Final = {
    "challenge": Lesson(
        canned=[(401, SCOPE)],
        logins=[200],
        seen=[401],
        status=401,
        also={"why": "insufficient_scope", "statuses": [401]},
    ),
    "basic-tuple": Lesson(
        guarded=False, canned=[(503, {})], seen=[503, 200], body=BASIC, waits=PAUSES[:1]
    ),
    "basic-class": Lesson(
        guarded=False, canned=[(503, {})], seen=[503, 200], body=BASIC, waits=PAUSES[:1]
    ),
    "wrong-password": Lesson(guarded=False, seen=[401], status=401),
    "wrong-user": Lesson(guarded=False, seen=[401], status=401),
    "fallback": Lesson(seen=[401, 200, 200], body=KNOWN),
    "failing-login": Lesson(
        logins=[STALE, 503, 503, 200], seen=[401, 200], body=KNOWN, waits=PAUSES
    ),
    "login-down": Lesson(
        logins=[STALE, 503, 200],
        seen=[401, 401, 401, 401, 401, 200],
        body=KNOWN,
        waits=[(0.1, 0.1), (0.1, 0.1), (0.1, 0.1), (1.0, 1.0), (0.0, 0.0)],
        also={"failed": 4},
    ),
    "many-calls": Lesson(
        logins=[STALE, 200], side_by_side=32, seen=[*[401] * 32, *[200] * 32], body=KNOWN
    ),
    "signing": Lesson(guarded=False, canned=[(503, {})], seen=[503, 200], waits=PAUSES[:1]),
    "retry-after": Lesson(
        guarded=False,
        canned=[(429, {"Retry-After": "7"})],
        seen=[429, 200],
        body={"json": {"name": "Ada"}},
        waits=[(7, 7)],
    ),
    "no-retry-after": Lesson(
        paced=2,
        guarded=False,
        canned=[(429, {}), (429, {})],
        seen=[429, 429, 200],
        waits=[(0, 1), (0, 2)],
    ),
    "together": Lesson(
        logins=[STALE, 200],
        canned=[(429, {"Retry-After": "3"}), (503, {}), (503, {})],
        seen=[429, 503, 503, 401, 200],
        body=KNOWN,
        waits=[(3, 3), (0, 0.1), (0, 0.2)],
        paced=3,
    ),
}


class Server:
    """The demo server, with a token endpoint of its own."""

    def __init__(self, lesson: Lesson) -> None:
        self.demo_server = DemoServer(httpbin())
        self.demo_server.guarded = lesson.guarded
        for status, headers in lesson.canned:
            self.demo_server.answer(status, headers.items())
        self.logins: list[int] = []
        self._script = deque(lesson.logins)
        self._arrivals = count(1)
        self._expected = lesson.side_by_side
        self._all_here = Barrier(max(self._expected, 1))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer for the token endpoint, else let the demo server answer."""
        if environ["PATH_INFO"] == "/token":
            return self._login(start_response)
        if next(self._arrivals) <= self._expected:
            self._all_here.wait(timeout=120)
        return self.demo_server(environ, start_response)

    def _login(self, start_response: StartResponse) -> Iterable[bytes]:
        planned = self._script.popleft() if self._script else 200
        answer = {"access_token": self.demo_server.issue(), "expires_in": 3600}
        if planned == STALE:
            self.demo_server.revoke()
        status = 200 if planned == STALE else int(planned)
        self.logins.append(status)
        body = json.dumps(answer if status == 200 else {"error": "server_error"}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{status} as planned", headers)
        return [body]

    @property
    def seen(self) -> list[int]:
        """What was answered so far."""
        return [request.status or 0 for request in self.demo_server.seen]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The machine's clock, which moves on by itself when somebody waits, and only then."""
    fake = FakeClock(now=time.time())
    for name in ("time", "monotonic", "sleep"):
        monkeypatch.setattr(SystemClock, name, getattr(fake, name))
    return fake


@contextmanager
def program(
    name: str, part: str, url: str, clock: FakeClock, **names: Any
) -> Iterator[dict[str, Any]]:
    """Run a program of the page; give the names that it leaves behind."""
    names |= {**USER, "base_url": url}
    run("all", "setup", names)
    names["time"] = SimpleNamespace(
        time=clock.time, monotonic=clock.monotonic, sleep=clock.sleep, time_ns=time.time_ns
    )
    try:
        if (name, "setup") in PROGRAMS:
            run(name, "setup", names)
        run(name, part, names)
        yield names
    finally:
        for session in filter(None, map(names.get, ("session", "http"))):
            session.close()


def run(name: str, part: str, names: dict[str, Any]) -> None:
    """Run one block."""
    exec(compile(PROGRAMS[name, part], str(PAGE), "exec"), names)  # noqa: S102 (of this project)


both = pytest.mark.parametrize("part", ["before", "after"])


@both
@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson(name: str, part: str, clock: FakeClock) -> None:
    """By hand or by the line: the same answers, the same requests, the same logins and waits."""
    lesson = LESSONS[name]
    server = Server(lesson)
    tokens = _tokens(server.demo_server)
    with serve(server) as url, program(name, part, url, clock, tokens=tokens) as came:
        for response in came.get("responses") or [came["response"]]:
            assert response.status_code == lesson.status
            assert lesson.body.items() <= (response.json() if lesson.body else {}).items()
        assert {key: came[key] for key in lesson.also} == lesson.also
    order: Callable[[list[int]], list[int]] = sorted if lesson.side_by_side else list
    assert order(server.seen) == order(lesson.seen)
    assert server.logins == [200 if login == STALE else login for login in lesson.logins]
    # The shortest of too many are those of the pace that is kept after a 429.
    waits = list(clock.sleeps)
    more = sorted(waits)[: max(len(waits) - len(lesson.waits), 0)]
    assert len(more) <= (lesson.paced if part == "after" else 0)
    for waited in more:
        assert waited <= 0.1
        waits.remove(waited)
    for waited, (least, most) in zip(waits, lesson.waits, strict=True):
        assert least - 1e-6 <= waited <= most + 1e-6


def _tokens(demo_server: DemoServer) -> list[str]:
    """One that is revoked, and one that is good."""
    revoked = demo_server.issue()
    demo_server.revoke()
    return [revoked, demo_server.issue()]


@both
def test_a_token_in_a_file(part: str, clock: FakeClock, tmp_path: Path) -> None:
    """Runs log in where there is no token yet, where it is refused, and where it has expired."""
    path = tmp_path / "token.json"
    server = Server(Lesson(seen=[]))

    def next_run(url: str) -> None:
        forget_tokens()  # it is another process
        with program("token-file", part, url, clock, path=path) as came:
            assert came["response"].json()["authenticated"]

    with serve(server) as url:
        next_run(url)
        next_run(url)
        server.demo_server.revoke()
        next_run(url)
        clock.advance(7200)
        next_run(url)
    assert server.seen == [200, 200, 401, 200, 200]
    assert server.logins == [200, 200, 200]
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o600


@both
def test_a_signature_each_time(part: str, clock: FakeClock) -> None:
    """A request that goes again carries a signature of its own."""
    server = Server(LESSONS["signing"])
    with serve(server) as url, program("signing", part, url, clock):
        signatures = [request.authorization or "" for request in server.demo_server.seen]
    assert [signature[:5] for signature in signatures] == ["HMAC "] * 2
    assert len(set(signatures)) == 2


def test_no_more_keys(clock: FakeClock) -> None:
    """As the page says: when the source has no more to give, the call raises `RefreshFailed`."""
    server = Server(LESSONS["fallback"])
    tokens = _tokens(server.demo_server)
    with serve(server) as url, program("fallback", "after", url, clock, tokens=tokens) as came:
        server.demo_server.revoke()
        with pytest.raises(RefreshFailed):
            came["session"].get(f"{url}/bearer")


def test_every_program_is_run() -> None:
    """Each program on the page has a name that is run, and each lesson has both sides."""
    assert len(PROGRAMS) == TEXT.count("```python")
    for part in ("before", "after"):
        named = {name for name, side in PROGRAMS if side == part}
        assert named == {*LESSONS, "token-file"}


@pytest.mark.parametrize("name", [*LESSONS, "token-file"])
def test_the_line_is_shorter(name: str) -> None:
    """What the line replaces is longer than what it needs, and no more than a screen."""
    before, after = (PROGRAMS[name, part].strip().splitlines() for part in ("before", "after"))
    assert len(after) < len(before) <= 28
    assert any(line.startswith("mount(session") for line in after)
