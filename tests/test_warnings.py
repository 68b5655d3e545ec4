"""Warnings: what a developer can cure is seen once in any program, and breaks no call."""

from __future__ import annotations

import gc
import inspect
import logging
import os
import subprocess
import sys
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any

import pytest
from keyring.errors import KeyringLocked

from requests_authretry import (
    AuthRetryWarning,
    FileStore,
    MemoryStore,
    RetryScheduled,
    Settings,
    _warnings,
    override,
)
from requests_authretry.keyring import KeyringStore
from requests_authretry.testing import FakeClock
from tests.support.limits import hint, looks_end
from tests.support.renewals import HOUR, Flaky, Issuer
from tests.support.scripted import EXPIRED, URL, Source, scripted, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from requests_authretry._events import Event

SECRET = "s3cret-of-the-store"


@contextmanager
def shown() -> Iterator[list[Any]]:
    """Collect the warnings of this library that a program with Python's own filters shows."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        ours: list[Any] = []
        yield ours
        ours += [each for each in caught if each.category is AuthRetryWarning]


def words(caught: list[Any]) -> list[str]:
    """Return the messages."""
    return [str(each.message) for each in caught]


@pytest.fixture
def clock() -> FakeClock:
    """Return a fake clock."""
    return FakeClock()


# Stores


@pytest.mark.parametrize("what", ["lock", "read", "write"])
def test_a_store_that_fails_is_warned_of_once(what: str, clock: FakeClock) -> None:
    """A store whose read fails: the first call warns, at its own line, and the second does not."""
    store = Flaky()
    store.failing = {what}
    chosen = settings(Source("first", "second"), store=store, clock=clock)
    session, _ = scripted(chosen, 200, EXPIRED, 200)
    with shown() as caught:
        for _ in range(2):
            line = inspect.stack()[0].lineno + 1
            session.get(URL)
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line)]
    assert words(caught)[0] == (
        f"the {what} of the store Flaky failed (OSError): meanwhile tokens and cool-downs stay in "
        "this process, others do not see them, and a new token is lost when the process ends. Give "
        "Settings(store=...) one that this process can lock, read and write"
    )


def test_a_store_that_takes_no_cool_down_is_warned_of(clock: FakeClock) -> None:
    """A push that fails in a thread of its own warns at the line of the call that was refused."""
    store = Flaky()
    store.failing = {"push"}
    session, _ = scripted(Settings(store=store, clock=clock), hint(30), 200)
    with shown() as caught:
        line = inspect.stack()[0].lineno + 1
        session.get(URL)
        looks_end()
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line)]
    assert words(caught)[0].startswith("the push of the store Flaky failed (OSError): ")


def test_the_text_of_a_foreign_store_is_not_quoted(clock: FakeClock) -> None:
    """An OSError of a user's store may hold a password: the warning has the name of its class."""
    store = Flaky(error=OSError(SECRET))
    store.failing = {"read", "push"}
    session, _ = scripted(settings("token", store=store, clock=clock), hint(1), 200)
    with shown() as caught:
        session.get(URL)
        looks_end()
    assert "(OSError)" in words(caught)[0]
    assert SECRET not in words(caught)[0]


def test_a_file_that_cannot_be_made_is_named(clock: FakeClock, tmp_path: Path) -> None:
    """Of a FileStore below a file, the warning has the path, and what the system says of it."""
    (tmp_path / "file").write_text("no folder")
    store = FileStore(tmp_path / "file" / "tokens.json")
    session, _ = scripted(settings(Issuer(clock), store=store, clock=clock), 200)
    with shown() as caught:
        session.get(URL)
    said = f"the lock of the store FileStore('{tmp_path}/file/tokens.json') failed (FileExistsErr"
    assert words(caught)[0].startswith(said)


def test_a_keyring_that_stays_closed_is_warned_of(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning says so in our words; those of the keyring may hold anything."""

    class Closed:
        def get_password(self, *_: str) -> str:
            raise KeyringLocked(SECRET)

        set_password = get_password

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    closed: Any = Closed()
    store = KeyringStore("my-app", backend=closed)
    session, _ = scripted(settings(Issuer(clock), store=store, clock=clock), 200)
    with shown() as caught:
        session.get(URL)
    said = "failed (OSError: get_password of the keyring failed with KeyringLocked): "
    assert len(caught) == 1
    assert said in words(caught)[0]
    assert SECRET not in words(caught)[0]


def test_each_store_is_warned_of(clock: FakeClock, tmp_path: Path) -> None:
    """Two stores that fail are two warnings, although one line of code calls both."""
    (tmp_path / "file").write_text("no folder")
    with shown() as caught:
        for name in ("a", "b"):
            store = FileStore(tmp_path / "file" / name)
            session, _ = scripted(settings(Issuer(clock), store=store, clock=clock), 200)
            session.get(URL)
    assert len(caught) == 2


def test_many_threads_get_one_warning(clock: FakeClock) -> None:
    """Eight threads whose store fails at the same time: one warning."""
    store = Flaky()
    store.failing = {"read"}
    chosen = settings(Source("first"), store=store, clock=clock)
    sessions = [scripted(chosen, 200)[0] for _ in range(8)]
    with shown() as caught, ThreadPoolExecutor(8) as pool:
        warnings.simplefilter("always")
        list(pool.map(lambda session: session.get(URL), sessions))
    assert len(caught) == 1


def test_a_warning_keeps_no_store_alive(clock: FakeClock) -> None:
    """A store that was warned of is collected with its settings."""
    store = Flaky()
    store.failing = {"read"}
    session, _ = scripted(settings("token", store=store, clock=clock), 200)
    with shown() as caught:
        session.get(URL)
        looks_end()
    gone = weakref.ref(store)
    del store, session, caught
    gc.collect()
    assert gone() is None


def test_objects_without_weak_references_are_warned_of_by_kind(clock: FakeClock) -> None:
    """Two stores of a class whose slots take no weak reference cost one warning."""

    class Plain:
        __slots__ = ("lock", "push", "read", "write")

        def __init__(self) -> None:
            inner = Flaky()
            inner.failing = {"lock"}
            for name in self.__slots__:
                setattr(self, name, getattr(inner, name))

    with shown() as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            session, _ = scripted(settings(Source("first"), store=Plain(), clock=clock), 200)
            session.get(URL)
    assert len(caught) == 1


# Sources


def rotated(source: Issuer, **others: Any) -> None:
    """Have a session renew its token twice, each time with another refresh token."""
    chosen = settings(source, clock=source.clock, **others)
    session, _ = scripted(chosen, 200, EXPIRED, 200, EXPIRED, 200)
    for _ in range(3):
        source.clock.advance(HOUR / 2)
        session.get(URL)
    assert source.calls >= 3


def test_a_rotating_refresh_token_without_a_store_is_warned_of(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """At the first rotation, once for the source, and the log has the same words."""
    with shown() as caught:
        warnings.simplefilter("always")
        rotated(Issuer(clock))
    assert len(caught) == 1
    assert words(caught)[0] == (
        "the server gives a new refresh token each time, and no store keeps those of the token "
        "source Issuer: the last one is lost when this process ends, and other processes send "
        "spent ones. Give Settings(store=...), such as FileStore, and the same one in all processes"
    )
    assert caplog.messages == words(caught)
    assert caught[0].filename == __file__


def test_each_source_is_warned_of(clock: FakeClock) -> None:
    """A second source that rotates is a second warning where a filter shows each."""
    with shown() as caught:
        warnings.simplefilter("always")
        rotated(Issuer(clock))
        rotated(Issuer(clock))
    assert len(caught) == 2


def test_a_rotating_refresh_token_in_a_store_is_no_fault(clock: FakeClock) -> None:
    """A store that the program names keeps it, and nothing is said."""
    with shown() as caught:
        rotated(Issuer(clock), store=MemoryStore())
    assert caught == []


# Listeners


def test_a_listener_that_raises_is_warned_of_once() -> None:
    """One that fails on each retry: the warning names it, the fault and its line, but no text."""

    def count(_: Event) -> None:
        raise KeyError(SECRET)

    line = inspect.getsourcelines(count)[1] + 1
    heard: list[Event] = []
    chosen = Settings(listeners=[count, heard.append], clock=FakeClock())
    session, _ = scripted(chosen, 503, 200, 503, 200)
    with shown() as caught:
        warnings.simplefilter("always")
        assert [session.get(URL).status_code for _ in range(2)] == [200, 200]
    assert len(caught) == 1
    assert words(caught)[0] == (
        f"the listener {count.__qualname__} raised KeyError on {type(heard[0]).__name__} "
        f"({__file__}, line {line}): the call goes on without it. Let the listener handle its own "
        "errors; REQUESTS_AUTHRETRY_LOG=error shows each traceback"
    )
    assert {type(event) for event in heard} >= {RetryScheduled}


class Counter:
    """Listeners of several kinds."""

    def fail(self, _: Event) -> None:
        """Raise an error."""
        raise ValueError

    async def hear(self, _: Event) -> None:
        """Do nothing, later."""

    async def __call__(self, _: Event) -> None:
        """Do nothing, later."""


def test_a_method_is_one_listener_however_often_it_is_named() -> None:
    """`counter.fail` is another object at each look, and still warned of once."""
    counter = Counter()
    with shown() as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            chosen = Settings(listeners=[counter.fail], clock=FakeClock())
            scripted(chosen, 503, 200)[0].get(URL)
    assert len(caught) == 1
    assert words(caught)[0].startswith("the listener Counter.fail raised ValueError on ")


def test_a_listener_without_a_name_is_warned_of() -> None:
    """A method that is made of a partial function has none, and that breaks no call."""
    counter = Counter()
    listener = MethodType(partial(Counter.fail), counter)
    with shown() as caught:
        chosen = Settings(listeners=[listener], clock=FakeClock())
        assert scripted(chosen, 503, 200)[0].get(URL).status_code == 200
    assert len(caught) == 1


def test_what_was_warned_of_is_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many objects the oldest is forgotten, and may be warned of again."""
    monkeypatch.setattr(_warnings, "MOST_KNOWN", 2)
    monkeypatch.setattr(_warnings, "_known", {})
    counters = [Counter() for _ in range(3)]
    with shown() as caught:
        warnings.simplefilter("always")
        for counter in (*counters, counters[2], counters[0]):
            chosen = Settings(listeners=[counter.fail], clock=FakeClock())
            scripted(chosen, 503, 200)[0].get(URL)
    assert len(caught) == 4


@pytest.mark.parametrize("kind", ["function", "method", "object"])
def test_an_async_listener_is_warned_of_where_the_settings_are_made(kind: str) -> None:
    """An ``async def`` listener warns at ``Settings(...)``; no call warns of it once more."""

    async def hear(_: Event) -> None:
        """Do nothing, later."""

    counter = Counter()
    listener: Any = {"function": hear, "method": counter.hear, "object": counter}[kind]
    with shown() as caught:
        warnings.simplefilter("always")
        line = inspect.stack()[0].lineno + 1
        chosen = Settings(listeners=[listener], clock=FakeClock())
        session, _ = scripted(chosen, 503, 200)
        session.get(URL)
        gc.collect()
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line)]
    name = "Counter" if kind == "object" else listener.__qualname__
    assert words(caught)[0].startswith(f"the listener {name} is async, and a call awaits no listen")


def test_a_listener_that_returns_a_coroutine_is_warned_of_at_the_call() -> None:
    """A lambda around an ``async def`` is seen when it is called; Python has nothing to add."""
    counter = Counter()
    chosen = Settings(listeners=[lambda event: counter.hear(event)], clock=FakeClock())  # noqa: PLW0108 (a lambda is no async def)
    session, _ = scripted(chosen, 503, 200, 503, 200)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session.get(URL)
        session.get(URL)
        gc.collect()
    assert [each.category for each in caught] == [AuthRetryWarning]
    assert "<lambda> is async" in str(caught[0].message)


def test_an_override_with_an_async_listener_is_warned_of() -> None:
    """The warning points to the line of the ``with``."""

    async def hear(_: Event) -> None:
        """Do nothing, later."""

    session, _ = scripted(Settings(), 200)
    with shown() as caught, override(listeners=[hear]):
        session.get(URL)
    assert [each.filename for each in caught] == [__file__]


def test_a_copy_with_an_async_listener_is_warned_of() -> None:
    """`dataclasses.replace` makes settings too: the warning points to the line that calls it."""

    async def hear(_: Event) -> None:
        """Do nothing, later."""

    with shown() as caught:
        replace(Settings(), listeners=[hear])
    assert [each.filename for each in caught] == [__file__]


# Warnings as errors


def test_warnings_as_errors_are_logged(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Under ``-W error`` no call fails: each message is in the log, at WARNING, once."""

    async def hear(_: Event) -> None:
        """Do nothing, later."""

    def fail(_: Event) -> None:
        raise ValueError

    store = Flaky()
    store.failing = {"lock", "push"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = settings(Issuer(clock), store=store, clock=clock, listeners=[hear, fail])
        session, _ = scripted(chosen, 503, 200, 503, 200)
        assert [session.get(URL).status_code for _ in range(2)] == [200, 200]
        looks_end()
    for part in ("of the store Flaky failed", "fail raised ValueError on", "hear is async"):
        [record] = [each for each in caplog.records if part in each.getMessage()]
        assert record.levelno == logging.WARNING


def test_a_program_that_cannot_show_warnings_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``showwarning`` of the program's own that raises breaks no call."""

    def fail(*_: object) -> None:
        raise RuntimeError("no screen")

    chosen = Settings(listeners=[Counter().fail], clock=FakeClock())
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", fail)
        assert scripted(chosen, 503, 200)[0].get(URL).status_code == 200


# Bare scripts

BEGIN = """
import requests
from requests_authretry import *
from requests_authretry.testing import *
def get():
    return session.get("https://api.example.com/").status_code
def listening(*listeners):
    return Settings(listeners=listeners)
def with_token(**others):
    return Settings(token=source, origins=["https://api.example.com"], clock=clock, **others)
class Issuer:
    number = 0
    def fetch(self, context):
        self.number += 1
        return Token(f"token-{self.number}", refresh_token=f"refresh-{self.number}")
async def hear(event): ...
session, source, clock = requests.Session(), Issuer(), FakeClock()
refused = 401, {"WWW-Authenticate": "Bearer"}
session.mount("https://", ScriptedAdapter(SCRIPT))
mount(session, CHOSEN)
print(get(), get())
"""


@pytest.mark.parametrize(
    ("chosen", "script", "word"),
    [
        ("with_token(store=FileStore(__file__ + '/t'))", "200, refused, 200", "FileStore("),
        ("with_token(store=keyring.KeyringStore())", "200, refused, 200", "there is no keyring"),
        ("with_token()", "200, refused, 200", "new refresh token"),
        ("listening(lambda event: 1 / 0)", "503, 200, 503, 200", "ZeroDivisionError"),
        ("listening(hear)", "503, 200, 503, 200", "hear is async"),
    ],
)
def test_a_bare_script_shows_it_once(chosen: str, script: str, word: str, tmp_path: Path) -> None:
    """Without a line about logging or warnings, standard error has the warning, and no more."""
    code = BEGIN.replace("SCRIPT", script).replace("CHOSEN", chosen)
    (tmp_path / "script.py").write_text(f"from requests_authretry import keyring\n{code}")
    ran = subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            "XDG_CACHE_HOME": str(tmp_path),
        },
    )
    assert (ran.stdout, ran.returncode) == ("200 200\n", 0), ran.stderr
    told, code = ran.stderr.splitlines()
    assert told.startswith(f"{tmp_path / 'script.py'}:")
    assert "AuthRetryWarning: " in told
    assert word in told
    assert code.strip() in BEGIN.replace("CHOSEN", chosen)
