"""How a function is asked for a token: again while its trouble passes, and in which thread."""

from __future__ import annotations

import io
import logging
import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

import requests_authretry
from requests_authretry import (
    AuthRetryError,
    MemoryStore,
    Reason,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Token,
    Wait,
    Waiting,
    explain,
    mount,
    override,
)
from requests_authretry._tokens import manager as manager_module
from requests_authretry._tokens import renewal as renewal_module
from requests_authretry._tokens.renewal import asks_here
from requests_authretry.sources import Command
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.interrupts import Interrupt, Interrupted
from tests.support.renewals import HOUR, PATIENCE, Desk, Drawn, Issuer, ends
from tests.support.scripted import URL, Source, carried, scripted, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests_authretry.testing import Line

OURS = str(Path(requests_authretry.__file__).parent)
SECRET = "s3cret-of-the-user"
LOGIN = f"https://login.example.com/token?api_key={SECRET}"


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when it is told to, and draws the longest waits."""
    return FakeClock(random=Drawn(1.0))


class Login:
    """A token function over a session of its own, as users write one.

    Attributes:
        below: What answers it, from a script.
        calls: How often it was called.
        threads: In which threads.
    """

    def __init__(self, *script: Any, chosen: Settings | None = None) -> None:
        self.session, self.below = requests.Session(), ScriptedAdapter(*script)
        self.session.mount("https://", self.below)
        if chosen is not None:
            mount(self.session, chosen)
        self.calls = 0
        self.threads: list[threading.Thread] = []

    def __call__(self) -> str:
        """Ask the server, as README shows it."""
        self.calls += 1
        self.threads.append(threading.current_thread())
        answer = self.session.get(LOGIN)
        answer.raise_for_status()
        return answer.text


GIVEN: Line = (200, {}, b"given")


# Trouble that passes


@pytest.mark.parametrize(
    ("trouble", "waited"),
    [
        (503, 0.05),
        (429, 1.0),
        (requests.ConnectionError(), 0.05),
        (requests.ReadTimeout(), 0.05),
        ((503, {"Retry-After": "7"}), 7.0),
        ((429, {"Retry-After": "7"}), 7.0),
    ],
    ids=repr,
)
def test_a_function_in_trouble_that_passes_is_asked_again(
    clock: FakeClock, trouble: Any, waited: float
) -> None:
    """One 503 of the login server fails no call, with its ``Retry-After`` or with our backoff."""
    login = Login(trouble, GIVEN)
    session, below = scripted(settings(login, clock=clock), 200)
    start = clock.monotonic()
    assert session.get(URL).status_code == 200
    assert (login.calls, carried(below)) == (2, ["Bearer given"])
    assert clock.monotonic() - start == pytest.approx(waited)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_function_that_is_refused_is_not_asked_again(clock: FakeClock, status: int) -> None:
    """A 4xx says that the request is wrong."""
    login = Login(status)
    session, _ = scripted(settings(login, clock=clock))
    with pytest.raises(RefreshFailed) as caught:
        session.get(URL)
    assert str(caught.value) == "the token source failed with HTTPError"
    told = str(caught.value.__cause__).splitlines()[0]
    assert told == f"requests.exceptions.HTTPError: {status} from https://login.example.com/token"
    assert login.calls == 1


def test_a_source_with_a_fetch_is_asked_again_too(clock: FakeClock) -> None:
    """A class of the user's is in the same trouble as a function."""
    source = Source(requests.ConnectionError(), "given")
    session, below = scripted(settings(source, clock=clock), 200)
    session.get(URL)
    assert carried(below) == ["Bearer given"]


def test_a_source_that_gives_up_is_not_asked_again(clock: FakeClock) -> None:
    """``RefreshFailed`` is the word of a source that has tried, whatever it was raised from."""
    error = RefreshFailed("the vault is closed")
    error.__cause__ = requests.ConnectionError()
    source = Source(error, "given")
    session, _ = scripted(settings(source, clock=clock))
    with pytest.raises(RefreshFailed, match="the vault is closed") as caught:
        session.get(URL)
    assert caught.value.__cause__ is None
    assert source.calls == 1


def test_the_retries_of_a_function_end(clock: FakeClock) -> None:
    """After ``max_attempts``, and before the deadline."""
    login = Login(*[503] * 9)
    session, _ = scripted(settings(login, clock=clock, retry=RetryPolicy(max_attempts=3)))
    with pytest.raises(RefreshFailed):
        session.get(URL)
    assert login.calls == 3
    login = Login((503, {"Retry-After": "31"}))
    session, _ = scripted(settings(login, clock=clock, retry=RetryPolicy(deadline=30)))
    start = clock.monotonic()
    with pytest.raises(RefreshFailed) as caught:
        session.get(URL)
    assert (login.calls, clock.monotonic()) == (1, start)
    assert caught.value.retry_after == 31.0


def test_what_a_failed_function_was_told_to_wait_is_waited(clock: FakeClock) -> None:
    """After a ``Retry-After`` beyond the deadline the source is not asked before its time."""
    login = Login((503, {"Retry-After": "300"}), GIVEN)
    session, _ = scripted(settings(login, clock=clock), 200)
    for seconds, calls in ((0, 1), (299, 1), (1, 2)):
        clock.advance(seconds)
        with suppress(RefreshFailed):
            session.get(URL)
        assert login.calls == calls


def test_an_early_renewal_makes_one_attempt(clock: FakeClock) -> None:
    """While the old token is good, the next early renewal is the retry."""
    source = Source(Token("old", clock.time() + HOUR), requests.ConnectionError())
    desk = Desk(source, clock)
    desk.token()
    clock.advance(HOUR - 400)
    assert desk.value() == "old"
    desk.settle()
    assert source.calls == 2


def test_retries_inside_of_retries_do_not_multiply(clock: FakeClock) -> None:
    """A session of ours in the function has made four attempts: the function is not asked again."""
    login = Login(*[503] * 9, chosen=Settings(clock=clock))
    session, _ = scripted(settings(login, clock=clock))
    with pytest.raises(RefreshFailed):
        session.get(URL)
    assert (login.calls, len(login.below.sent)) == (1, 4)
    login = Login(*[503] * 9, chosen=Settings(clock=clock, retry=RetryPolicy(max_attempts=2)))
    session, _ = scripted(settings(login, clock=clock))
    with pytest.raises(RefreshFailed):
        session.get(URL)
    assert (login.calls, len(login.below.sent)) == (2, 4)


class Watched(MemoryStore):
    """A store that notes whether it is locked while the clock runs.

    Attributes:
        held: Whether the lock is held now.
    """

    held = False

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """As ever."""
        with super().lock(key, timeout):
            self.held = True
            try:
                yield
            finally:
                self.held = False


class Looking(FakeClock):
    """A clock that notes at each wait whether a store is locked."""

    def __init__(self, store: Watched) -> None:
        super().__init__(random=Drawn(1.0))
        self.held: list[bool] = []
        self._store = store

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """As ever."""
        if wake is None:
            self.held.append(self._store.held)
        super().sleep(seconds, wake)


def test_the_store_is_free_between_two_attempts() -> None:
    """Another process may renew while this one waits to ask its source again."""
    store = Watched()
    clock = Looking(store)
    session, _ = scripted(settings(Login(503, 503, GIVEN), clock=clock, store=store), 200)
    session.get(URL)
    assert clock.held == [False, False]


def test_a_retry_of_a_source_is_a_line_in_the_log(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It names the class of the error and the wait, and no word of the error."""
    caplog.set_level(logging.INFO)
    scripted(settings(Login(503, GIVEN), clock=clock), 200)[0].get(URL)
    assert "a token source failed with HTTPError: it is asked again in 0.05 s" in caplog.text
    assert SECRET not in caplog.text


# What is shown of its errors


@pytest.mark.parametrize(
    "trouble", [403, requests.ConnectionError(f"no way to {LOGIN}")], ids=["answer", "lost"]
)
@pytest.mark.parametrize("interactive", [True, False])
def test_no_traceback_shows_the_words_of_a_function(
    clock: FakeClock, trouble: Any, *, interactive: bool
) -> None:
    """Neither `logging.exception` nor a reporter that shows the locals of all frames does."""
    login = Login(*[trouble] * 4)
    session, _ = scripted(settings(login, clock=clock, interactive=interactive))
    with pytest.raises(RefreshFailed) as caught:
        session.get(URL)
    stream = io.StringIO()
    traceback.print_exception(caught.value, file=stream)  # as `logging` does
    assert SECRET not in stream.getvalue()
    assert "in __call__" in stream.getvalue()
    whole = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [each for each in whole.stack if OURS in each.filename]
    assert ours
    assert SECRET not in repr([each.locals for each in ours])
    assert whole.__cause__ is not None
    assert not whole.__cause__.stack


def test_an_object_of_another_thread_is_named_with_the_way_out() -> None:
    """A connection of sqlite works in the thread alone that opened it; a function has another."""
    database = sqlite3.connect(":memory:")
    database.execute("create table tokens (value text)")
    database.execute("insert into tokens values ('given')")

    def fetch() -> str:
        return str(database.execute("select value from tokens").fetchone()[0])

    with pytest.raises(RefreshFailed) as caught:
        scripted(settings(fetch))[0].get(URL)
    assert str(caught.value) == (
        "the token source failed with ProgrammingError, in the thread 'requests_authretry "
        "renewal': an object that it uses may belong to another thread. Make the object (a "
        "database connection, say) in the function itself, or write Settings(interactive=True): "
        "then the function runs in the thread of the call"
    )
    session, below = scripted(settings(fetch, interactive=True), 200)
    session.get(URL)
    assert carried(below) == ["Bearer given"]
    database.close()


def test_a_question_without_a_terminal_is_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`input` and `getpass` raise an EOFError in a job; at a terminal it is Ctrl-D, and no hint."""
    source = Source(EOFError("EOF when reading a line"))
    for is_there, hint in ((False, ": if it asks a person, nobody can answer"), (True, "")):
        monkeypatch.setattr(manager_module, "is_at_terminal", lambda is_there=is_there: is_there)
        with pytest.raises(RefreshFailed) as caught:
            scripted(settings(source))[0].get(URL)
        told, name, said = str(caught.value).partition("EOFError")
        assert told + name == "the token source failed with EOFError"
        assert said.startswith(hint)
        assert bool(said) == bool(hint)


def test_an_error_about_threads_in_the_thread_of_the_call() -> None:
    """There is no other thread to speak of there."""
    source = Source(RuntimeError("created in another thread"))
    with pytest.raises(RefreshFailed) as caught:
        scripted(settings(source, interactive=True))[0].get(URL)
    assert str(caught.value) == "the token source failed with RuntimeError"


# In which thread


class Prompting(Source):
    """A source that says that it asks a person."""

    may_prompt = True


class Mute(Source):
    """A source that says that it asks nobody."""

    may_prompt = False


def fetch_token() -> str:
    """A token."""
    return "given"


class Terminal(io.StringIO):
    """Standard input, at a terminal or not."""

    def __init__(self, *, answer: object) -> None:
        super().__init__()
        self._answer = answer

    def isatty(self) -> bool:
        """As it is told."""
        if isinstance(self._answer, Exception):
            raise self._answer
        return bool(self._answer)


ASKED: list[tuple[Any, str, str]] = [
    # the source; where it runs at a terminal: with None, True and False; the same without one
    (fetch_token, "call call own", "own call own"),
    (Prompting(), "call call own", "own call own"),
    (Source(), "own call own", "own call own"),
    (Mute(), "own own own", "own own own"),
    (Command(["true"]), "own own own", "own own own"),
    (Token("constant"), "own own own", "own own own"),
]


@pytest.mark.parametrize(("source", "at_terminal", "elsewhere"), ASKED)
def test_who_asks_a_source(
    monkeypatch: pytest.MonkeyPatch, source: Any, at_terminal: str, elsewhere: str
) -> None:
    """A function may ask a person at a terminal; ``interactive`` says otherwise."""
    for has_terminal, expected in ((True, at_terminal), (False, elsewhere)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer=has_terminal))
        here = [asks_here(source, interactive=value) for value in (None, True, False)]
        assert ["call" if each else "own" for each in here] == expected.split()


def test_another_thread_than_the_main_one_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python tells the main thread of Ctrl-C; elsewhere ``interactive=True`` is needed."""
    monkeypatch.setattr(sys, "stdin", Terminal(answer=True))
    found: list[bool] = []
    thread = threading.Thread(
        target=lambda: found.extend(
            asks_here(fetch_token, interactive=value) for value in (None, True)
        )
    )
    thread.start()
    ends(thread)
    assert found == [False, True]


@pytest.mark.parametrize(
    "stdin", [None, Terminal(answer=ValueError("I/O operation on closed file"))]
)
def test_without_standard_input_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch, stdin: object
) -> None:
    """A window program has none, and a daemon has closed it."""
    monkeypatch.setattr(sys, "stdin", stdin)
    assert asks_here(fetch_token, interactive=None) is False


def test_a_notebook_asks_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a cell runs, ipykernel has a method of its own in place of ``getpass.getpass``."""
    monkeypatch.setattr(sys, "stdin", Terminal(answer=False))
    monkeypatch.setattr("getpass.getpass", lambda _: "answer")
    assert asks_here(fetch_token, interactive=None) is True


def test_a_function_in_the_thread_of_the_call(clock: FakeClock) -> None:
    """It has the call's context, and no other thread is started."""
    tenant: ContextVar[str] = ContextVar("tenant")
    tenant.set("ada")
    before = threading.active_count()
    seen: list[Any] = []

    def fetch() -> str:
        seen.extend([tenant.get(), threading.current_thread(), threading.active_count()])
        return "given"

    scripted(settings(fetch, clock=clock, interactive=True), 200)[0].get(URL)
    assert seen == ["ada", threading.current_thread(), before]


def test_an_override_says_who_asks(clock: FakeClock) -> None:
    """``override(interactive=True)`` holds for the calls of its block, and keeps the token."""
    login = Login(GIVEN, GIVEN)
    session, below = scripted(settings(login, clock=clock), 200, 200)
    with override(interactive=True):
        session.get(URL)
    session.get(URL)
    assert login.threads == [threading.current_thread()]
    assert carried(below) == ["Bearer given"] * 2


def test_the_time_that_a_function_takes_is_a_wait_of_the_call(clock: FakeClock) -> None:
    """The record has it in any thread: the renewal, and the waits between its attempts."""
    told: list[Any] = []

    def fetch() -> str:
        clock.advance(2)
        return login()

    login = Login((503, {"Retry-After": "7"}), GIVEN)
    chosen = settings(fetch, clock=clock, interactive=True, listeners=[told.append])
    session, _ = scripted(chosen, 200)
    waits = [each for each in explain(session.get(URL)).steps if isinstance(each, Wait)]
    assert [(each.reason, each.seconds) for each in waits] == [
        (Reason.RENEWAL, 2.0),
        (Reason.BACKOFF, 7.0),
        (Reason.RENEWAL, 2.0),
    ]
    planned = [each.seconds for each in told if isinstance(each, Waiting)]
    assert planned == [0.0, 7.0, 0.0]


def test_a_function_that_asks_keeps_retries_within_the_deadline(clock: FakeClock) -> None:
    """In the thread of the call nobody waits ten seconds for a call that has five."""
    login = Login((503, {"Retry-After": "6"}))
    chosen = settings(login, clock=clock, interactive=True, retry=RetryPolicy(deadline=5))
    with pytest.raises(RefreshFailed):
        scripted(chosen)[0].get(URL)
    assert clock.sleeps == []


def test_a_function_that_may_ask_is_not_asked_early(clock: FakeClock) -> None:
    """Nobody is asked in the background for a token that is good still; later the call asks."""
    given = iter([Token("first", clock.time() + HOUR), Token("second", clock.time() + 9 * HOUR)])
    desk = Desk(lambda: next(given), clock, interactive=True)
    desk.token()
    clock.advance(HOUR - 400)
    assert (desk.value(), desk.renewal) == ("first", None)
    clock.advance(390)
    assert desk.value() == "second"


def test_a_source_that_is_told_so_is_asked_early(clock: FakeClock) -> None:
    """A source with a ``fetch`` knows that it must ask nobody now."""
    issuer = Issuer(clock)
    desk = Desk(issuer, clock, interactive=True)
    desk.token()
    clock.advance(HOUR - 400)
    desk.token()
    desk.settle()
    assert issuer.contexts[1].early
    assert issuer.workers[0] is threading.current_thread()
    assert issuer.workers[1] is not threading.current_thread()


class Person:
    """A token function that asks a person, who answers when the test says so.

    Attributes:
        asked: Is set when the person is asked.
        answer: What the person answers; an exception is raised.
        may_answer: Is set when the person may answer.
        calls: How often the person was asked.
    """

    def __init__(self, answer: object = "answer") -> None:
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.answer, self.calls = answer, 0

    def __call__(self) -> Any:
        """Ask."""
        self.calls += 1
        self.asked.set()
        assert self.may_answer.wait(PATIENCE)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Joined(FakeClock):
    """A clock on which a wait for another thread's renewal begins, and then is over with it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Semaphore(0)

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Wait in real time."""
        self.waits.release()
        assert (wake or threading.Event()).wait(PATIENCE) or seconds < HOUR


def outcomes(work: Callable[[], object], into: list[object]) -> threading.Thread:
    """Do some work in a thread, and note what comes of it."""

    def note() -> None:
        try:
            into.append(work())
        except BaseException as error:  # noqa: BLE001 (the test looks at it)
            into.append(error)

    thread = threading.Thread(target=note)
    thread.start()
    return thread


def test_others_wait_for_the_call_that_asks() -> None:
    """One question for all calls: the others get the token that the person's answer brings."""
    clock, person = Joined(), Person()
    session, _ = scripted(settings(person, clock=clock, interactive=True), *[200] * 3)
    found: list[Any] = []
    first = outcomes(lambda: session.get(URL).status_code, found)
    assert person.asked.wait(PATIENCE)
    others = [outcomes(lambda: session.get(URL).status_code, found) for _ in range(2)]
    assert all(clock.waits.acquire(timeout=PATIENCE) for _ in others)
    person.may_answer.set()
    ends(first, *others)
    assert (found, person.calls) == ([200] * 3, 1)


def test_others_keep_their_deadlines(clock: FakeClock) -> None:
    """A call that waits for another one's question gives up in time, and asks no second one.

    A person may take longer than a source that hangs.
    """
    clock.patience = 0.0
    person = Person()
    desk = Desk(person, clock, interactive=True)
    found: list[Any] = []
    first = outcomes(desk.value, found)
    assert person.asked.wait(PATIENCE)
    for _ in range(3):
        start = clock.monotonic()
        with pytest.raises(RefreshFailed, match="no token within the 60 s"):
            desk.token(60.0)
        assert clock.monotonic() - start == 60.0
    person.may_answer.set()
    ends(first)
    assert (found, person.calls) == (["answer"], 1)
    assert desk.value() == "answer"


def test_who_cannot_wait_for_the_next_attempt_is_told_why_there_is_one(clock: FakeClock) -> None:
    """A call whose time is over while a function is retried learns that it failed, and with what.

    The class is named, and no more.
    """
    clock.patience = 0.0
    asked, may_answer = threading.Event(), threading.Event()
    troubles = [requests.ConnectionError("the words of a stranger")]

    def fetch() -> str:
        if troubles:
            raise troubles.pop()
        asked.set()
        may_answer.wait(PATIENCE)
        return "given"

    desk = Desk(fetch, clock, interactive=True)
    found: list[Any] = []
    first = outcomes(desk.value, found)
    assert asked.wait(PATIENCE)
    with pytest.raises(RefreshFailed) as caught:
        desk.token(60.0)
    assert str(caught.value) == (
        "no token within the 60 s that were left: the token source failed with ConnectionError, "
        "and is asked again"
    )
    may_answer.set()
    ends(first)
    assert found == ["given"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, Interrupted])
def test_ctrl_c_ends_the_question_and_the_call(kind: type[BaseException]) -> None:
    """What ends the thread of the call is raised; others get a clear error; the next call asks."""
    clock, person = Joined(), Person(kind())
    session, below = scripted(settings(person, clock=clock, interactive=True), 200)
    found: list[Any] = []
    other: list[Any] = []
    first = outcomes(lambda: session.get(URL), found)
    assert person.asked.wait(PATIENCE)
    waiting = outcomes(lambda: session.get(URL), other)
    assert clock.waits.acquire(timeout=PATIENCE)
    person.may_answer.set()
    ends(first, waiting)
    assert [type(each) for each in found] == [kind]
    assert str(other[0]) == (
        f"no token from the token source: {kind.__name__} ended the call that asked it"
    )
    person.answer = "answer"
    assert session.get(URL).status_code == 200
    assert carried(below) == ["Bearer answer"]


def test_a_session_that_is_closed_during_the_question(clock: FakeClock) -> None:
    """The question cannot be taken back; the call ends with its answer, and sends nothing."""
    session, below = requests.Session(), ScriptedAdapter(200, 200)
    session.mount("https://", below)

    def fetch() -> str:
        session.close()
        return "given"

    mount(session, settings(fetch, clock=clock, interactive=True))
    with pytest.raises(AuthRetryError, match="closed while the call waited for a token"):
        session.get(URL)
    assert not below.sent
    assert session.get(URL).status_code == 200


def test_a_session_that_is_closed_before_the_next_question(clock: FakeClock) -> None:
    """A source in trouble is not asked again for a call whose session is closed."""
    session, below = requests.Session(), ScriptedAdapter(200)
    session.mount("https://", below)
    login = Login(503, GIVEN)

    def close(event: object) -> None:
        if isinstance(event, Waiting) and event.reason is Reason.BACKOFF:
            session.close()

    mount(session, settings(login, clock=clock, interactive=True, listeners=[close]))
    with pytest.raises(AuthRetryError, match="closed while the call waited for a token"):
        session.get(URL)
    assert login.calls == 1
    assert session.get(URL).status_code == 200


def test_a_function_that_uses_its_own_session_is_told_so(clock: FakeClock) -> None:
    """In the thread of the call, too, a circle is an error and no deadlock."""

    def fetch() -> str:
        return session.get(URL).text

    session, _ = scripted(settings(fetch, clock=clock, interactive=True))
    with pytest.raises(RefreshFailed, match="give it one of its own"):
        session.get(URL)


FILES = {str(renewal_module.__file__), str(manager_module.__file__)}


def test_an_interrupt_at_any_line_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever line of a renewal a Ctrl-C meets, the next call has its token, without a warning."""
    for number in range(1000):
        desk = Desk(lambda: "given", FakeClock(), interactive=True)
        interrupt = Interrupt(FILES, number, by_instruction=False)
        before = sys.gettrace()
        try:
            interrupt.watch()
            desk.token()
        except Interrupted:
            sys.settrace(before)
            assert desk.value() == "given"
            assert desk.renewal is None
        else:
            break
        finally:
            sys.settrace(before)
    assert 30 < number < 999
    assert "has not answered for long" not in caplog.text


# Real terminals, and the end of a program


HEAD = """
import sys, requests
from requests_authretry import Settings, mount
from requests_authretry.testing import ScriptedAdapter
session, below = requests.Session(), ScriptedAdapter(200)
session.mount("https://", below)
def go(token):
    mount(session, Settings(token=token, origins=["https://api.example.com"]))
    session.get("https://api.example.com/")
    print("sent", str.__str__(below.sent[0].headers["Authorization"]), flush=True)
"""


def test_a_token_is_fetched_at_the_end_of_the_program() -> None:
    """A function of `atexit` may make a call, also where no thread can be started then."""
    code = f"{HEAD}\nimport atexit\natexit.register(go, lambda: 'given')"
    ran = subprocess.run(  # noqa: S603 (ours)
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "sent Bearer given\n", "")


if sys.platform != "win32":
    import fcntl
    import pty
    import termios

    class AtTerminal:
        """A program at a terminal of its own.

        Attributes:
            seen: What it has written.
        """

        def __init__(self, code: str) -> None:
            self._ours, self._theirs = pty.openpty()
            self.seen = b""
            terminal = self._theirs

            def take_terminal() -> None:
                # A program that a shell runs in the background is started to ignore Ctrl-C.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.setsid()
                fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

            self.process = subprocess.Popen(  # noqa: S603 (ours)
                [sys.executable, "-c", HEAD + code],
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                preexec_fn=take_terminal,  # noqa: PLW1509 (one thread)
                cwd=Path(__file__).parents[2],
            )

        def shows(self, text: bytes) -> None:
            """Wait until it has written this."""
            while text not in self.seen:
                assert select.select([self._ours], [], [], PATIENCE)[0], self.seen
                self.seen += os.read(self._ours, 1000)

        def types(self, text: bytes) -> None:
            """Type, while the echo is off."""
            assert not self.has_echo
            os.write(self._ours, text)

        @property
        def has_echo(self) -> bool:
            """Whether the terminal shows what is typed."""
            return bool(termios.tcgetattr(self._theirs)[3] & termios.ECHO)

        def ends(self) -> int:
            """Wait for its end."""
            return self.process.wait(PATIENCE)

        def close(self) -> None:
            """End it in any case."""
            self.process.kill()
            self.process.wait()
            os.close(self._ours)
            os.close(self._theirs)

    @pytest.fixture
    def at_terminal() -> Iterator[Callable[[str], AtTerminal]]:
        """Programs at terminals."""
        programs: list[AtTerminal] = []

        def begin(code: str) -> AtTerminal:
            programs.append(AtTerminal(code))
            return programs[-1]

        yield begin
        for program in programs:
            program.close()

    def test_ctrl_c_at_a_password_ends_the_program(
        at_terminal: Callable[[str], AtTerminal],
    ) -> None:
        """As without the library: at once, with a KeyboardInterrupt, and with the echo on."""
        program = at_terminal("import getpass\ngo(lambda: getpass.getpass('Password: '))")
        program.shows(b"Password: ")
        program.types(b"\x03")
        program.shows(b"KeyboardInterrupt")
        assert program.ends() != 0
        assert program.has_echo

    def test_a_prompt_asks_without_an_echo(at_terminal: Callable[[str], AtTerminal]) -> None:
        """The user name is shown while it is typed, the password is not."""
        program = at_terminal(
            "from requests_authretry.sources import Prompt\ngo(Prompt('ada', title='Jira'))"
        )
        program.shows(b"Password of ada for Jira: ")
        program.types(f"{SECRET}\n".encode())
        program.shows(b"sent Basic YWRhOnMzY3JldC1vZi10aGUtdXNlcg==")
        assert program.ends() == 0
        assert SECRET.encode() not in program.seen
