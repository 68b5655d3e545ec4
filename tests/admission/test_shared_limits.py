"""Cool-downs in a store: one process pushes them, other processes read them, no call waits."""

from __future__ import annotations

import threading
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import redis

from requests_authretry import (
    CoolingDown,
    FileStore,
    MemoryStore,
    RetryPolicy,
    Settings,
    StoreFailed,
    Waiting,
)
from requests_authretry._core.outage import DOWN
from requests_authretry._core.scope import Scope
from requests_authretry.redis import RedisStore
from requests_authretry.testing import FakeClock
from tests.support.limits import ONCE, POLICY, UNPACED, hint, looks_end, refused_for
from tests.support.scenario import World
from tests.support.sessions import API, Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from requests_authretry import Store

KEY = f"cool-down policy {API} all"
"""The key of the cool-down that `hint` begins."""

SCOPE = Scope(API, "", "all")
NAMED = (200, POLICY)
"""An answer that names the same policy, so that others ask for its cool-down."""


class Elsewhere:
    """The store as another process has it: the same records behind a separate object.

    Attributes:
        asked: The pushes, each with its key, its seconds and its thread.
        fault: The exception that it raises.
        answer: What it answers in place of the store; None: what the store says.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: list[tuple[str, float, str]] = []
        self.fault: Exception | None = None
        self.answer: object = None

    def read(self, key: str) -> str | None:
        """Return a record."""
        return self._store.read(key)

    def write(self, key: str, record: str) -> None:
        """Keep a record."""
        self._store.write(key, record)

    def lock(self, key: str, timeout: float) -> AbstractContextManager[object]:
        """Exclude others."""
        return self._store.lock(key, timeout)

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down."""
        self.asked.append((key, seconds, threading.current_thread().name))
        if self.fault is not None:
            raise self.fault
        answer: Any = self.answer
        return self._store.push(key, seconds) if answer is None else answer


def process(clock: FakeClock, store: object, *script: Any, retry: RetryPolicy = ONCE) -> Rig:
    """Make a session as another process has it."""
    return Rig(*script, clock=clock, store=store, retry=retry, limits=UNPACED)


@pytest.fixture
def clock() -> FakeClock:
    """Return the clock of all processes."""
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    """Return the content of the store."""
    return MemoryStore(clock)


@pytest.fixture
def there(store: MemoryStore) -> Elsewhere:
    """Return the store of another process."""
    return Elsewhere(store)


def test_the_refused_tells_all_others(clock: FakeClock, store: MemoryStore) -> None:
    """The seconds are put into the store once, and not in the thread of a call."""
    rig = process(clock, seen := Elsewhere(store), hint(30), hint(30))
    refused_for(rig)
    looks_end()
    assert store.push(KEY, 0.0) == 30.0
    assert seen.asked == [(KEY, 30.0, "requests_authretry look")]


def test_a_store_that_is_slow_is_told_what_is_left(clock: FakeClock, store: MemoryStore) -> None:
    """Of 30 s that begin while the store takes 20 s for another push, it is told of ten."""
    went_on, began = Event(), Event()

    class Slow(Elsewhere):
        def push(self, key: str, seconds: float) -> float:
            left = super().push(key, seconds)
            began.set()
            assert went_on.wait(120)
            return left

    rig = process(clock, seen := Slow(store), hint(600), hint(30))
    refused_for(rig, path="https://other.example.com")
    assert began.wait(120)
    refused_for(rig)
    clock.advance(20)
    went_on.set()
    looks_end()
    assert [(key, seconds) for key, seconds, _ in seen.asked][1:] == [(KEY, 10.0)]


@pytest.fixture(params=["memory", "file", "redis"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Every store in turn as two machines have it, each with an object of its own."""
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").url
        with redis.Redis.from_url(url) as one, redis.Redis.from_url(url) as other:
            yield RedisStore(one), RedisStore(other)
    elif request.param == "file":
        yield FileStore(tmp_path / "store.json"), FileStore(tmp_path / "store.json")
    else:
        memory = MemoryStore()
        yield memory, Elsewhere(memory)


@pytest.mark.parametrize("fast", [-300.0, 0.0, 300.0, 1e8])
def test_clocks_that_differ_change_no_cool_down(fast: float, both: tuple[Store, Store]) -> None:
    """A machine whose clock is 300 s fast and is told 1000 s makes that no 1300 s for others.

    The stores count real seconds: at most 250 of them pass before the other machine looks.
    """
    right = FakeClock(1e9)
    refused_for(process(FakeClock(1e9 + fast), both[0], hint(1000)))
    looks_end()
    rig = process(right, both[1], NAMED, NAMED, retry=RetryPolicy(deadline=3600))
    rig.get()
    right.advance(1)
    assert rig.get().status_code == 200
    looks_end()
    [event] = rig.told(CoolingDown)
    assert event.seconds == pytest.approx(875.0, abs=125.001)


def test_others_hold_back_too(clock: FakeClock, store: MemoryStore, there: Elsewhere) -> None:
    """Another process knows a second later, tells its listeners once, and waits for the rest."""
    refused_for(process(clock, store, hint(30)))
    looks_end()
    rig = process(clock, there, *[NAMED] * 4)
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
    assert (event.origin, event.policy, event.status) == (API, "all", None)
    assert event.seconds == pytest.approx(29.0)


@pytest.mark.parametrize("each_way", [0.001, 0.2])
def test_the_refused_does_not_hear_of_another_cool_down(
    clock: FakeClock, store: MemoryStore, each_way: float
) -> None:
    """A store that takes 0.2 s each way makes the end a bit later, and no other cool-down of it."""

    class Far(Elsewhere):
        def push(self, key: str, seconds: float) -> float:
            clock.advance(each_way)
            left = super().push(key, seconds)
            clock.advance(each_way)
            return left

    rig = process(clock, Far(store), hint(30), 200)
    assert rig.get().status_code == 429
    looks_end()
    clock.advance(1)
    rig.adapter._shared.sharing.look([SCOPE])  # noqa: SLF001 (as a request does)
    looks_end()
    rig.get()
    assert [event.seconds for event in rig.told(CoolingDown)] == [30.0]
    assert [event.retry_after for event in rig.told(Waiting)] == [30.0]


def test_a_look_is_taken_once_a_second_while_requests_are_sent(
    clock: FakeClock, there: Elsewhere
) -> None:
    """The store is read only when requests are sent, once a second, in a separate thread."""
    rig = process(clock, there, *[NAMED] * 40)
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
    asked = [each for each in there.asked if each[0] == KEY]
    assert asked == [(KEY, 0.0, "requests_authretry look")] * 3


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


def is_ignored(clock: FakeClock, there: Elsewhere) -> bool:
    """Whether a process goes on as if it heard of no cool-down, and says nothing."""
    rig = process(clock, there, *[NAMED] * 3)
    for _ in range(3):
        clock.advance(2)
        assert rig.get().status_code == 200
        looks_end()
    assert rig.adapter._shared.limiter.check_after > clock.monotonic()  # noqa: SLF001 (no queue)
    return (clock.sleeps, rig.told(Waiting), rig.told(CoolingDown)) == ([], [], [])


@pytest.mark.parametrize(
    "record",
    ["soon", "", "nan", "inf", "-5", "1e300", "1000000001.5", "{}", '{"version": 9, "until": 7}'],
)
def test_a_record_that_means_nothing_is_ignored(
    clock: FakeClock, store: MemoryStore, there: Elsewhere, record: str
) -> None:
    """Text that is no cool-down, or one of another release, is ignored silently, and stays."""
    store.write(KEY, record)
    assert is_ignored(clock, there)
    assert store.read(KEY) == record


@pytest.mark.parametrize(
    "answer",
    [0.0, -5.0, float("nan"), float("inf"), 3600.5, 1e308, 10**400, "30", b"30", True, [30.0]],
    ids=lambda answer: f"{answer!r:.9}",
)
def test_a_store_that_answers_nonsense_is_ignored(
    clock: FakeClock, there: Elsewhere, answer: object
) -> None:
    """A user's store may answer no number, or days: nobody waits for that."""
    there.answer = answer
    assert is_ignored(clock, there)


def test_a_hint_of_hours_is_shared_as_one_hour(
    clock: FakeClock, store: MemoryStore, there: Elsewhere
) -> None:
    """A cool-down takes one hour, in the refused process and in others, and is announced once."""
    here = process(clock, store, hint(7200), 200)
    refused_for(here)
    looks_end()
    other = process(clock, there, *[NAMED] * 3)
    other.get()
    for _ in range(3):
        clock.advance(1)
        here.adapter._shared.sharing.look([SCOPE])  # noqa: SLF001 (as a request does)
        other.adapter._shared.sharing.look([SCOPE])  # noqa: SLF001
        looks_end()
    clock.advance(3597)
    assert here.get().status_code == 200
    assert other.get().status_code == 200
    assert clock.sleeps == []
    assert (len(here.told(CoolingDown)), len(other.told(CoolingDown))) == (0, 1)


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


OUTAGE_KEY = f"outage {API} /"


def of_two(world: World, *, policy: RetryPolicy = ONCE) -> tuple[Any, Any]:
    """Make a session of each of two processes that share a store; the first one never retries."""
    first, second = world.process(), world.process()
    return (
        world.session(Settings(clock=first, store=world.store, retry=ONCE)),
        world.session(Settings(clock=second, store=world.store, retry=policy)),
    )


def failing(world: World, session: Any, *, times: int, every: float = 0.1) -> None:
    """Let a process make first attempts."""

    def call() -> None:
        for _ in range(times):
            session.get(f"{API}/")
            world.clock.sleep(every)

    world.caller("first", call)


@pytest.mark.parametrize(("seen", "gap"), [(DOWN + 5, 0.5), (DOWN - 1, 0.025)])
def test_an_outage_that_another_process_saw_holds_a_retry(seen: int, gap: float) -> None:
    """Another process saw 16 failures: here the retry after the first failure is a probe."""
    world = World(lambda request: 200 if request.caller == "B" and request.number > seen else 503)
    one, other = of_two(world, policy=RetryPolicy())
    failing(world, one, times=seen)
    world.call(seen * 0.1 + 1.0, "B", "GET /", other)
    world.run()
    first, second = (sent.time for sent in world.sent if sent.caller == "B")
    assert second - first == pytest.approx(gap)


def test_an_outage_of_others_alone_holds_nothing() -> None:
    """Where no attempt of this process has failed, nobody asks for the outage of others."""
    world = World(lambda request: 200 if request.caller == "B" else 503)
    one, other = of_two(world, policy=RetryPolicy())
    failing(world, one, times=DOWN + 5)
    world.call(3.0, "B", "GET /", other)
    assert world.run() == ["3 B GET / -> 200"]


def test_an_outage_is_told_for_five_seconds() -> None:
    """The failure that begins an outage tells of it; nobody tells of it later."""
    world = World({"/": (503,)})
    one, _ = of_two(world)
    failing(world, one, times=DOWN)
    left: list[float] = []
    world.caller("look", lambda: left.append(world.store.push(OUTAGE_KEY, 0.0)), at=2.5)
    world.caller("look later", lambda: left.append(world.store.push(OUTAGE_KEY, 0.0)), at=7.0)
    world.run()
    assert left == [pytest.approx(4.0), 0.0]


def test_a_process_tells_only_of_an_outage_that_it_has_seen() -> None:
    """What was heard is not told again, so that no outage lives on in the store alone."""
    world = World({"/": (503,)})
    world.store.push(OUTAGE_KEY, 5.0)
    _, other = of_two(world)
    failing(world, other, times=DOWN - 1, every=0.5)
    left: list[float] = []
    world.caller("look", lambda: left.append(world.store.push(OUTAGE_KEY, 0.0)), at=6.0)
    world.run()
    assert left == [0.0]


def test_a_call_never_waits_for_what_the_store_says_of_an_outage(
    clock: FakeClock, there: Elsewhere
) -> None:
    """A thread of its own asks and tells, and passes on four things a second at most."""
    rig = process(clock, there, *[503] * 40)
    for path in "/", "/a", *["/"] * 20, *[f"/{letter}" for letter in "bcdefgh"]:
        rig.get(path)
    looks_end()
    assert {thread for _, _, thread in there.asked} == {"requests_authretry look"}
    assert [(key, seconds) for key, seconds, _ in there.asked] == [
        (OUTAGE_KEY, 0.0),
        (f"{OUTAGE_KEY}a", 0.0),
        (OUTAGE_KEY, 0.0),
        (OUTAGE_KEY, 5.0),
        (f"{OUTAGE_KEY}b", 0.0),
    ]


@pytest.mark.parametrize("answer", ["1", None, -1.0, float("nan"), object()])
def test_a_store_that_answers_nonsense_tells_of_no_outage(
    clock: FakeClock, there: Elsewhere, answer: object
) -> None:
    """Only a number of seconds above zero is an outage."""
    there.answer = answer
    rig = process(clock, there, 503)
    rig.get()
    looks_end()
    assert not rig.adapter._shared.limiter.outages.is_down((API, "/"))  # noqa: SLF001


@pytest.mark.parametrize(("failures", "doing"), [(1, "read"), (DOWN, "push")])
def test_a_store_that_fails_leaves_an_outage_in_this_process(
    clock: FakeClock, there: Elsewhere, failures: int, doing: str
) -> None:
    """Calls go on, and listeners get the failure."""
    there.fault = OSError("no route to secret")
    rig = process(clock, there, *[503] * failures)
    for _ in range(failures):
        clock.advance(1.0)
        assert rig.get().status_code == 503
        looks_end()
    assert StoreFailed("outage", doing, "OSError") in rig.told(StoreFailed)


def test_an_outage_that_others_have_told_of_is_not_told_again(
    clock: FakeClock, store: MemoryStore, there: Elsewhere
) -> None:
    """Of all processes that see an outage, one writes it into the store, and the others read."""
    store.push(OUTAGE_KEY, 5.0)
    rig = process(clock, there, *[503] * DOWN)
    for _ in range(DOWN):
        rig.get()
    looks_end()
    assert {seconds for _, seconds, _ in there.asked} == {0.0}
