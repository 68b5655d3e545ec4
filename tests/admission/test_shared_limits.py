"""Cool-downs in a store: one process pushes them, other processes read them, no call waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import CoolingDown, MemoryStore, StoreFailed, Waiting
from requests_authretry.testing import FakeClock
from tests.support.limits import ONCE, UNPACED, hint, looks_end, refused_for, target
from tests.support.sessions import API, Rig

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

KEY = f"cool-down {API}"
"""What a limit without names and credentials is kept under."""


class Elsewhere:
    """The store as another process has it: the same records behind a separate object.

    Attributes:
        asked: The operations that were called, each with its thread.
        fault: The exception that it raises.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.asked: list[tuple[str, str]] = []
        self.fault: Exception | None = None

    def _note(self, what: str) -> None:
        self.asked.append((what, threading.current_thread().name))
        if self.fault is not None:
            raise self.fault

    def read(self, key: str) -> str | None:
        """Return a record."""
        self._note("read")
        return self._store.read(key)

    def write(self, key: str, record: str) -> None:
        """Keep a record."""
        self._store.write(key, record)

    def lock(self, key: str, timeout: float) -> AbstractContextManager[None]:
        """Exclude others."""
        return self._store.lock(key, timeout)

    def push(self, key: str, seconds: float) -> float:
        """Move a time forward."""
        self._note("push")
        return self._store.push(key, seconds)


def process(clock: FakeClock, store: object, *script: Any) -> Rig:
    """Make a session as another process has it."""
    return Rig(*script, clock=clock, store=store, retry=ONCE, limits=UNPACED)


@pytest.fixture
def clock() -> FakeClock:
    """Return the clock of all processes."""
    return FakeClock()


@pytest.fixture
def store() -> MemoryStore:
    """Return the content of the store."""
    return MemoryStore()


@pytest.fixture
def there(store: MemoryStore) -> Elsewhere:
    """Return the store of another process."""
    return Elsewhere(store)


def test_the_refused_tells_all_others(clock: FakeClock, store: MemoryStore) -> None:
    """The time is put into the store once, as POSIX time, and not in the thread of a call."""
    rig = process(clock, seen := Elsewhere(store), hint(30), hint(30))
    refused_for(rig)
    looks_end()
    assert store.read(KEY) == repr(clock.time() + 30)
    assert seen.asked == [("push", "requests_authretry look")]


def test_others_hold_back_too(clock: FakeClock, store: MemoryStore, there: Elsewhere) -> None:
    """Another process knows a second later, tells its listeners once, and waits for the rest."""
    refused_for(process(clock, store, hint(30)))
    rig = process(clock, there, 200, 200, 200, 200)
    rig.get()
    clock.advance(1)
    rig.get()
    looks_end()
    assert rig.get().status_code == 200
    assert clock.sleeps == [pytest.approx(29.0)]
    looks_end()
    rig.get()
    looks_end()
    [event] = rig.told(CoolingDown)
    assert (event.origin, event.policy, event.status) == (API, "", None)
    assert event.seconds == pytest.approx(29.0)


def test_a_look_is_taken_once_a_second_while_requests_are_sent(
    clock: FakeClock, there: Elsewhere
) -> None:
    """The store is read only when requests are sent, once a second, in a separate thread."""
    rig = process(clock, there, *[200] * 40)
    for _ in range(9):
        rig.get()
        clock.advance(0.1)
    looks_end()
    assert there.asked == []
    clock.advance(60)
    assert there.asked == []
    for _ in range(30):
        rig.get()
        looks_end()
        clock.advance(0.1)
    assert there.asked == [("read", "requests_authretry look")] * 3


@pytest.mark.parametrize("fault", [OSError("no route to secret"), TimeoutError(), KeyError("x")])
@pytest.mark.parametrize("doing", ["read", "push"])
def test_a_store_that_fails_costs_an_event(
    clock: FakeClock,
    there: Elsewhere,
    doing: str,
    fault: Exception,
) -> None:
    """Calls go on, the process keeps its own cool-down, and listeners get the failure."""
    there.fault = fault
    rig = process(clock, there, *([200, 200] if doing == "read" else [hint(30), 200]))
    rig.get()
    clock.advance(2)
    assert rig.get().status_code == 200
    looks_end()
    assert set(rig.told(StoreFailed)) >= {StoreFailed("cool-down", doing, type(fault).__name__)}
    assert clock.sleeps == ([] if doing == "read" else [28.0])


@pytest.mark.parametrize(
    "record",
    ["soon", "", "nan", "inf", "-inf", "-5", "1e300", "999999999", "1000003700", "1000000001.5"],
)
def test_a_record_that_means_nothing_is_ignored(
    clock: FakeClock, store: MemoryStore, there: Elsewhere, record: str
) -> None:
    """A record that is not a time, is past, or more than an hour ahead is ignored silently."""
    store.write(KEY, record)
    rig = process(clock, there, *[200] * 3)
    for _ in range(3):
        clock.advance(2)
        assert rig.get().status_code == 200
        looks_end()
    assert (clock.sleeps, rig.told(Waiting), rig.told(CoolingDown)) == ([], [], [])
    assert rig.adapter._shared.limiter.check_after > clock.monotonic()  # noqa: SLF001 (no queue)


def test_a_hint_of_hours_is_shared_as_one_hour(
    clock: FakeClock, store: MemoryStore, there: Elsewhere
) -> None:
    """A cool-down takes one hour, in the refused process and in others, and is announced once."""
    here = process(clock, store, hint(7200), 200)
    refused_for(here)
    other = process(clock, there, *[200] * 3)
    for _ in range(3):
        clock.advance(1)
        here.adapter._shared.sharing.look(_key(here))  # noqa: SLF001 (as a request does)
        other.adapter._shared.sharing.look(_key(other))  # noqa: SLF001
        looks_end()
    clock.advance(3597)
    assert here.get().status_code == 200
    assert other.get().status_code == 200
    assert clock.sleeps == []
    assert (len(here.told(CoolingDown)), len(other.told(CoolingDown))) == (0, 1)


def _key(rig: Rig) -> Any:
    runtime = rig.adapter._shared  # noqa: SLF001 (its limits)
    return runtime.limiter.key_of(target(API))


def test_without_threads_nobody_looks(
    clock: FakeClock, there: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call goes on if no thread can be started, as at the end of a program."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    rig = process(clock, there, 200)
    clock.advance(1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert rig.get().status_code == 200
    assert there.asked == []
