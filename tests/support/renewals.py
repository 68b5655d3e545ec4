"""What tests of the renewal need: sources, stores that fail, clocks, and a strict server."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import (
    FetchContext,
    MemoryStore,
    Reason,
    RefreshFailed,
    Store,
    Token,
)
from requests_authretry._admission.waiting import Waiter
from requests_authretry._core.token import TokenRecord
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock
from tests.support.scripted import ORIGIN, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from requests_authretry._tokens.renewal import Renewal

HOUR = 3600.0
DOWN = RefreshFailed("the token endpoint is down")
SPENT = RefreshFailed("the refresh token is not good", error="invalid_grant")
PATIENCE = 120.0
"""Real seconds that a thread is waited for that must come to its end."""


def alone(clock: FakeClock) -> Callable[[], AbstractContextManager[Waiter]]:
    """What lets a thread wait that belongs to no call."""
    return lambda: nullcontext(Waiter(clock, 1e9, 1e9, lambda *_: None))


class Drawn:
    """Draws one number, where jitter would make times unknown."""

    def __init__(self, fraction: float = 0.0) -> None:
        self.fraction = fraction

    def __call__(self) -> float:
        """The same number each time."""
        return self.fraction


class Issuer:
    """A token source: access-1 with refresh-1, access-2 with refresh-2, and so on.

    Attributes:
        clock: The clock of its tokens.
        life: Seconds each token is good for, None for tokens that do not say so.
        contexts: What it was told, one for each call.
        asked: When, in monotonic seconds.
        workers: The threads that asked.
        given: What it gives, where it is not the next token; an exception is raised.
        go_on: What calls that begin now wait for before they end.
    """

    def __init__(self, clock: FakeClock, life: float | None = HOUR) -> None:
        self.life = life
        self.contexts: list[FetchContext] = []
        self.asked: list[float] = []
        self.workers: list[threading.Thread] = []
        self.given: Any = ()
        self.clock = clock
        self._began = threading.Semaphore(0)
        self.go_on: threading.Event | None = None

    def fetch(self, context: FetchContext) -> Any:
        """The next token, or what it was told to give."""
        self.contexts.append(context)
        self.asked.append(self.clock.monotonic())
        self.workers.append(threading.current_thread())
        number, given, go_on = self.calls, self.given, self.go_on
        self._began.release()
        if go_on is not None:
            assert go_on.wait(PATIENCE)
        if isinstance(given, BaseException):
            raise given
        return self.token(number) if given == () else given

    def token(self, number: int) -> Token:
        """The token with this number, as if it were given now."""
        end = None if self.life is None else self.clock.time() + self.life
        return Token(f"access-{number}", end, refresh_token=f"refresh-{number}")

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.contexts)

    @property
    def spent(self) -> list[str | None]:
        """The refresh tokens it was told to use."""
        return [str(told.stale.refresh_token) if told.stale else None for told in self.contexts]

    def has_begun(self) -> bool:
        """Wait until it has been asked once more than when this was called last."""
        return self._began.acquire(timeout=PATIENCE)

    def hang(self) -> threading.Event:
        """Have calls that begin from now on wait for this; who waits for them has no patience."""
        self.go_on, self.clock.patience = threading.Event(), 0.0
        return self.go_on

    def answer(self) -> None:
        """Have calls that begin from now on end at once."""
        self.go_on, self.clock.patience = None, PATIENCE

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Calls that begin in the block end with it."""
        go_on = self.hang()
        try:
            yield
        finally:
            self.answer()
            go_on.set()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Calls that begin in the block, inside of `hanging`, end at once."""
        go_on = self.go_on
        self.answer()
        yield
        self.go_on, self.clock.patience = go_on, 0.0


class Flaky:
    """A store that fails where it is told to, and writes down what was done with it.

    Attributes:
        inner: The store that does the work.
        failing: What fails: lock, read, write, push, release.
        done: What was done, in order.
    """

    def __init__(self, inner: Store | None = None, error: OSError | None = None) -> None:
        self.inner: Store = MemoryStore() if inner is None else inner
        self.failing: set[str] = set()
        self.done: list[str] = []
        self._error = OSError("out of reach") if error is None else error

    def read(self, key: str) -> str | None:
        """As the inner one."""
        self._does("read")
        return self.inner.read(key)

    def write(self, key: str, record: str) -> None:
        """As the inner one."""
        self._does("write")
        self.inner.write(key, record)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """As the inner one, which is given back even where that fails."""
        self._does("lock")
        with self.inner.lock(key, timeout):
            yield
        self._does("release")

    def push(self, key: str, seconds: float) -> float:
        """As the inner one."""
        self._does("push")
        return self.inner.push(key, seconds)

    def _does(self, what: str) -> None:
        self.done.append(what)
        if what in self.failing:
            raise self._error

    def kept(self) -> tuple[str, int] | None:
        """Value and generation of the token in it, None where there is none."""
        stored = TokenRecord.load(self.inner.read(ORIGIN))
        if stored is None or stored.token is None:
            return None
        return str(stored.token.value), stored.generation

    def put(self, token: Token, generation: int) -> None:
        """What a process elsewhere would have written."""
        self.inner.write(ORIGIN, TokenRecord(token, generation).dump())


class Desk:
    """One process: settings, a source, and what keeps its token.

    Attributes:
        clock: Its clock.
        settings: The settings.
        events: What its listeners were told.
        manager: What renews its token.
    """

    def __init__(self, source: Any, clock: FakeClock, **others: Any) -> None:
        self.events: list[Any] = []
        self.settings = settings(source, clock=clock, listeners=[self.events.append], **others)
        manager = SharedState.of(self.settings).tokens
        assert manager is not None
        self.manager = manager
        self.clock = clock

    def token(self, patience: float = 120.0) -> Token:
        """The token that a call with so much time would send now."""
        return self.manager.usable(self.clock.monotonic() + patience, alone(self.clock))

    def value(self, patience: float = 120.0) -> str:
        """Its text."""
        return str(self.token(patience).value)

    def renewed(self, refused: Token, patience: float = 120.0) -> Token | Reason:
        """What a call gets whose token was refused."""
        context = FetchContext(refused, refused=True)
        return self.manager.renew(context, self.clock.monotonic() + patience, alone(self.clock))

    def waited(self, patience: float = 120.0) -> float:
        """How long a call with so much time waits for its token."""
        start = self.clock.monotonic()
        self.token(patience)
        return self.clock.monotonic() - start

    @property
    def renewal(self) -> Renewal | None:
        """The renewal under way."""
        return self.manager._renewal  # noqa: SLF001 (nobody is told of a renewal in the background)

    def settle(self) -> None:
        """Wait for the renewal under way."""
        renewal = self.renewal
        if renewal is not None:
            ends(renewal.worker)

    def told(self, kind: type) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def in_vain(desk: Desk, issuer: Issuer, patience: float = 70.0) -> threading.Thread:
    """Have a call wait for a source that hangs; the thread in which it does."""
    with pytest.raises(RefreshFailed, match="no token within"):
        desk.token(patience)
    assert issuer.has_begun()
    return issuer.workers[-1]


def ends(*threads: threading.Thread | None) -> None:
    """Wait for threads that have to come to an end."""
    for thread in threads:
        assert thread is not None
        thread.join(PATIENCE)
        assert not thread.is_alive()


def no_thread(_: threading.Thread) -> None:
    """As the system says it."""
    raise RuntimeError("can't start new thread")


def all_end() -> None:
    """Wait for all renewals, also for those that nobody waits for."""
    ends(*(t for t in threading.enumerate() if t.name == "requests_authretry renewal"))


class Stepped(FakeClock):
    """A clock that nobody's waiting moves: those who wait go on when the test has advanced it."""

    def __init__(self) -> None:
        super().__init__(random=Drawn())
        self._waiting = threading.Semaphore(0)

    def somebody_waits(self) -> bool:
        """Wait until one more has begun to wait."""
        return self._waiting.acquire(timeout=PATIENCE)

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Until then, or until ``wake`` is set."""
        until, wake = self.monotonic() + seconds, wake or threading.Event()
        self._waiting.release()
        while self.monotonic() < until and not wake.wait(0.002):
            pass


class Fleet(FakeClock):
    """A clock on which a wait for a renewal ends with it, or at once where the server hangs."""

    def __init__(self, server: StrictServer) -> None:
        super().__init__(random=Drawn())
        self._server = server
        self.patience = 0.0

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """As ever, but for how long the worker is waited for."""
        worker = getattr(wake, "worker", None)
        while worker is not None and worker.is_alive() and not self._server.hangs:
            worker.join(0.002)
        super().sleep(seconds, wake)


class StrictServer:
    """An authorization server that takes a refresh token once and ends the session at the second.

    No grace (RFC 9700 section 4.14.2). Used from many threads.

    Attributes:
        reused: The refresh tokens that came a second time.
        issued: How many tokens were given.
        hangs: Whether an answer is held back now.
    """

    def __init__(self, life: float = HOUR) -> None:
        self.clock = Fleet(self)
        self.reused: list[str] = []
        self.issued = 0
        self._life = life
        self._valid: set[str] = set()
        self._lock = threading.Lock()
        self._answers = threading.Event()
        self._answers.set()

    def fetch(self, context: FetchContext) -> Token:
        """Spend a refresh token; the first one is known to all."""
        spent = str(context.stale.refresh_token) if context.stale else "refresh-0"
        with self._lock:
            token = self._given(spent)
        assert self._answers.wait(PATIENCE)
        if token is None:
            raise SPENT
        return token

    def _given(self, spent: str) -> Token | None:
        if spent != f"refresh-{self.issued}" or self.reused:
            self.reused.append(spent)
            self._valid.clear()
            return None
        self.issued += 1
        self._valid = {f"access-{self.issued}"}
        return Token(
            f"access-{self.issued}",
            self.clock.time() + self._life,
            refresh_token=f"refresh-{self.issued}",
        )

    def takes(self, token: Token) -> bool:
        """Whether the API takes it now: the newest one alone, until its end."""
        return token.value in self._valid and not token.is_expired(self.clock.time())

    def revoke(self) -> None:
        """All access tokens are refused from now on; the refresh token is good still."""
        self._valid.clear()

    def hang(self) -> None:
        """Answer nobody until `go_on`; requests are processed."""
        self._answers.clear()

    def go_on(self) -> None:
        """Answer."""
        self._answers.set()

    @property
    def hangs(self) -> bool:
        """Whether an answer would be held back."""
        return not self._answers.is_set()
