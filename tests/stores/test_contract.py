"""The contract of `Store`, held against every store there is, on real files and servers."""

from __future__ import annotations

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from functools import partial
from itertools import accumulate, count
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from requests_authretry import FileStore, FirstOf, FunctionStore, MemoryStore, Store, Token
from requests_authretry._core.token import TokenRecord
from requests_authretry.keyring import KeyringStore
from requests_authretry.redis import RedisStore
from requests_authretry.testing import FakeClock, SystemClock
from tests.support.stores import Other, is_free
from tests.support.systems import forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers.redis import RedisServer

SECRET = "s3cret-of-the-user"
LOCK_TTL = 5.0
"""Seconds after which Redis ends the lock of a holder that was killed, or given no time so long."""

NUMBERS = count()
"""For keys of which each is used once, where one store serves all examples."""

SLACK = 300.0
"""Real seconds that a test may take before it takes a cool-down for a shorter one."""

SHARED = ["file", "redis", "keyring", "first of", "functions"]
until_its_ttl = pytest.mark.parametrize(
    "shared",
    ["file", pytest.param("redis", marks=pytest.mark.slow), "keyring", "first of", "functions"],
    indirect=True,
)
"""For tests that wait until Redis ends a lock."""

ALL = ["memory", *SHARED]
AWKWARD = ["", "key", "Key", "KEY", "key ", "lock:key", "../key", "a/b\\c", "a:b@c", "k\0", "k\0y"]
AWKWARD += ["ключ", "\N{SNOWMAN}", "%s", "[key]", "#", "=", "\n", "long" * 5000]
NO_RECORDS = ["4000000000.5", "4000000000", "", SECRET, "nan", "-inf", "1e999", "9e9 s", "\0"]
NO_RECORDS += ["null", "[]", '[{"version": 2}]', '"{}"', "{", '{"kind": "cool-do', "[" * 9999]

some = settings(
    max_examples=20,
    # one store serves all examples
    suppress_health_check=[
        *settings.get_profile("quick").suppress_health_check,
        HealthCheck.function_scoped_fixture,
    ],
)


@pytest.fixture
def plain_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyring of this process and of those it starts is a plain file."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyrings.alt.file.PlaintextKeyring")
    monkeypatch.setattr("keyring.core._keyring_backend", None)
    for place in ("HOME", "LOCALAPPDATA", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(place, str(tmp_path))


def made(kind: str, request: pytest.FixtureRequest, path: Path) -> Store:
    """A store of this kind, empty."""
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return RedisStore(server.url, lock_ttl=LOCK_TTL)
    if kind == "keyring":
        request.getfixturevalue("plain_keyring")
        return KeyringStore()
    if kind == "first of":
        request.getfixturevalue("plain_keyring")
        return FirstOf(KeyringStore(), FileStore(path / "tokens.json"))
    if kind == "functions":
        file = FileStore(path / "tokens.json")
        given: dict[str, Any] = {
            "load": file.read,
            "save": file.write,
            "push": file.push,
            "take": file.take,
        }
        return FunctionStore(lock=file.lock, **given)
    return FileStore(path / "tokens.json") if kind == "file" else MemoryStore()


@pytest.fixture(params=ALL)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Every store in turn."""
    return made(request.param, request, tmp_path)


@pytest.fixture(params=SHARED)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Every store in turn that processes share."""
    return made(request.param, request, tmp_path)


@pytest.fixture
def others(shared: Store) -> Iterator[Callable[[str], Other]]:
    """Start processes with the shared store; none outlives its test."""
    with ExitStack() as ends:

        def start(code: str) -> Other:
            other = Other(shared, code)
            ends.callback(other.kill)
            return other

        yield start


# Records


def test_it_is_a_store(store: Store) -> None:
    """It has all that the protocol asks for."""
    assert isinstance(store, Store)


def test_nothing_is_none(store: Store) -> None:
    """A key that was never written has no record, before and after others have one."""
    assert store.read("key") is None
    store.write("another", SECRET)
    assert store.read("key") is None


@some
@given(key=st.text(max_size=50), record=st.text(max_size=500))
@example(key="", record="")
@example(key="key", record="\r\n\0\t '\"\\ \N{SNOWMAN} \U0001f511")
@example(key="key", record="x" * 60_000)
def test_a_record_comes_back(store: Store, key: str, record: str) -> None:
    """Any text is read as it was written, under any key, in place of what was there."""
    store.write(key, "older")
    store.write(key, record)
    assert store.read(key) == record


@pytest.mark.parametrize("kind", ALL)
def test_keys_are_apart(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Keys that look alike, or like something else, have a record and a lock each."""
    store = made(kind, request, tmp_path)
    with ExitStack() as locks:
        for number, key in enumerate(AWKWARD):
            locks.enter_context(store.lock(key, 1.0))
            store.write(key, str(number))
        assert [store.read(key) for key in AWKWARD] == list(map(str, range(len(AWKWARD))))
    assert all(is_free(store, key) for key in AWKWARD)


def test_threads_lose_nothing(store: Store) -> None:
    """Threads that write different keys at once lose none of them."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.write(f"key {n}", str(n)), range(12)))
    assert [store.read(f"key {n}") for n in range(12)] == [str(n) for n in range(12)]


# Cool-downs


def about(seconds: float) -> Any:
    """Return what a store may say of a cool-down that took so long a moment ago, in real time."""
    return pytest.approx(seconds - SLACK / 2, abs=SLACK / 2 + 0.002)


@some
@given(asked=st.lists(st.floats(600.0, 3600.0), min_size=1, max_size=5), key=st.text(max_size=50))
def test_the_longest_cool_down_stays(store: Store, asked: list[float], key: str) -> None:
    """Whatever the order, each push returns the longest so far, and never less than it asks for."""
    key += f" {next(NUMBERS)}"
    store.write(key, "no cool-down")
    for seconds, longest in zip(asked, accumulate(asked, max), strict=True):
        left = store.push(key, seconds)
        assert left >= seconds
        assert left == about(longest)
    assert store.push(key, 0.0) == about(max(asked))


def test_seconds_may_be_a_whole_number(store: Store) -> None:
    """An int is as good as a float, and what is returned is a float: 60 for 60.0."""
    assert repr(store.push("key", 60)) == "60.0"


def test_a_push_of_zero_reads_what_is_left(store: Store) -> None:
    """Nothing is kept under a key that has no cool-down, and a cool-down is not extended."""
    assert store.push("key", 0.0) == 0.0
    assert store.read("key") is None
    store.push("key", 1800.0)
    assert [store.push("key", 0.0) for _ in range(2)] == [about(1800.0)] * 2


@pytest.mark.parametrize(
    "seconds",
    [float("nan"), -1.0, -0.0, float("-inf"), -1e308, -(10**400)],
    ids=lambda seconds: f"{seconds!r:.9}",
)
def test_seconds_that_extend_nothing(store: Store, seconds: float) -> None:
    """NaN and seconds below zero read what is left, as 0.0 does."""
    assert repr(store.push("key", seconds)) == "0.0"
    assert store.read("key") is None
    store.push("key", 1800.0)
    assert store.push("key", seconds) == about(1800.0)


@pytest.mark.parametrize(
    "seconds",
    [3600.1, 7200, 1e308, float("inf"), 10**400],
    ids=lambda seconds: f"{seconds!r:.9}",
)
def test_no_cool_down_is_longer_than_an_hour(store: Store, seconds: float) -> None:
    """A server may name any number of seconds: all above an hour are kept as an hour."""
    assert store.push("key", seconds) == 3600.0
    assert store.push("key", 0.0) == about(3600.0)


def test_the_shortest_cool_down(store: Store) -> None:
    """The smallest float above zero breaks no store."""
    assert 0.0 < store.push("key", 5e-324) <= 0.001


@pytest.mark.parametrize("kind", ["memory", "file", "redis"])
def test_a_cool_down_says_its_format(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The record is JSON with kind, version and seconds, and says nothing of the time of day."""
    store = made(kind, request, tmp_path)
    store.push("key", 60.0)
    record = json.loads(store.read("key") or "")
    assert (record["kind"], record["version"], record["seconds"]) == ("cool-down", 1, 60.0)


ANOTHERS = {
    "a later release": '{"kind": "cool-down", "version": 2, "until": "noon", "seconds": 9}',
    "another version": '{"version": "1b", "kind": "cool-down", "since": 0, "seconds": 9}',
    "no version": '{"kind": "cool-down", "seconds": 9}',
    "a token": TokenRecord(Token(SECRET, 4e9), 7).dump(),
    "a token of the first release": f' {{"value": "{SECRET}"}}',
    "an empty object": "{}",
}


@pytest.mark.parametrize("record", ANOTHERS.values(), ids=ANOTHERS)
def test_a_record_of_another_release_stays(store: Store, record: str) -> None:
    """A record that this release cannot read counts as no cool-down, and no push replaces it."""
    store.write("key", record)
    assert store.push("key", 0.0) == 0.0
    assert store.push("key", 60.0) == 60.0
    assert store.read("key") == record
    # The keyring's cool-downs are in memory, where no record stands in their way.
    if not isinstance(store, FirstOf):  # the keyring has the record, and the file cool-downs
        assert store.push("key", 0.0) == (about(60.0) if isinstance(store, KeyringStore) else 0.0)


@pytest.mark.parametrize("text", NO_RECORDS, ids=lambda text: repr(text[:20]))
def test_text_that_is_no_record_is_replaced(store: Store, text: str) -> None:
    """A number, as the first release kept it, or any text counts for nothing and gives way."""
    store.write("key", text)
    assert store.push("key", 0.0) == 0.0
    assert store.read("key") == text
    assert store.push("key", 60.0) == 60.0
    assert store.push("key", 0.0) == about(60.0)
    # Beside a keyring, cool-downs have a place of their own.
    is_apart = isinstance(store, FirstOf) and text not in {"", "null"}
    assert (store.read("key") == text) is (isinstance(store, KeyringStore) or is_apart)


def test_a_record_in_place_of_a_cool_down(store: Store) -> None:
    """A record that is written where a cool-down was is read, and is there after pushes."""
    record = ANOTHERS["a token"]
    store.push("key", 60.0)
    store.write("key", record)
    assert store.read("key") == record
    for key in ("another", "key"):
        store.push(key, 60.0)
    assert store.read("key") == record


def test_threads_push_at_once(store: Store) -> None:
    """Threads that push end with the longest cool-down, and harm no record written meanwhile."""

    def work(number: int) -> None:
        store.write(f"key {number}", str(number))
        store.push("cool-down", 1800.0 + 300.0 * (number % 7))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(16)))
    assert store.push("cool-down", 0.0) == about(3600.0)
    assert [store.read(f"key {n}") for n in range(16)] == [str(n) for n in range(16)]


def test_a_record_written_during_a_push() -> None:
    """What a thread writes while another has half pushed into memory is there afterwards."""
    copied, over = Event(), Event()

    class Slow(str):
        """A key that is hashed once to be looked up, and then to be put among the others."""

        __slots__ = ("looked_up",)

        def __hash__(self) -> int:
            if hasattr(self, "looked_up"):
                copied.set()
                over.wait(120)
            self.looked_up = True
            return super().__hash__()

    store = MemoryStore()
    with ThreadPoolExecutor(2) as pool:
        pushing = pool.submit(store.push, Slow("cool-down"), 60.0)
        assert copied.wait(120)
        writing = pool.submit(store.write, "key", SECRET)
        wait([writing], 0.1)
        over.set()
        assert (pushing.result(120), writing.result(120)) == (60.0, None)
    assert (store.push("cool-down", 0.0), store.read("key")) == (about(60.0), SECRET)


# The clock of a store


@pytest.fixture(params=["memory", "file"])
def clock_and_store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FakeClock, Store]:
    """Every store in turn that counts the seconds itself, with a clock that stands still."""
    clock = FakeClock()
    kind: Callable[[FakeClock], Store] = MemoryStore
    if request.param == "file":
        kind = partial(FileStore, tmp_path / "tokens.json")
    return clock, kind(clock)


def test_a_cool_down_passes(clock_and_store: tuple[FakeClock, Store]) -> None:
    """Of three seconds one is left after two, and none after three or more."""
    clock, store = clock_and_store
    assert store.push("key", 3.0) == 3.0
    left = []
    for seconds in (0.5, 1.5, 1.0, 60.0):
        clock.advance(seconds)
        left.append(store.push("key", 0.0))
    assert left == [2.5, 1.0, 0.0, 0.0]
    assert store.push("key", 2.0) == 2.0


def test_a_cool_down_is_extended_from_now(clock_and_store: tuple[FakeClock, Store]) -> None:
    """After two of three seconds, a push of half a second changes nothing, and one of two does."""
    clock, store = clock_and_store
    store.push("key", 3.0)
    clock.advance(2.0)
    assert [store.push("key", seconds) for seconds in (0.5, 1.0, 2.0, 0.0)] == [1.0, 1.0, 2.0, 2.0]
    clock.advance(1.5)
    assert store.push("key", 0.0) == 0.5


def test_cool_downs_that_are_over_are_forgotten(clock_and_store: tuple[FakeClock, Store]) -> None:
    """Each push that keeps a cool-down drops those that are over; Redis does by itself."""
    clock, store = clock_and_store
    keys = [f"after {seconds}" for seconds in (1, 2, 3)]
    for number, key in enumerate(keys, 1):
        store.push(key, float(number))
    store.write("token", SECRET)
    clock.advance(2.0)
    store.push("key", 1.0)
    there = [store.read(key) is not None for key in (*keys, "key", "token")]
    assert there == [False, False, True, True, True]


def test_an_hour_is_an_hour_at_any_time_of_day(clock_and_store: tuple[FakeClock, Store]) -> None:
    """No rounding of the time makes a cool-down longer than it was pushed."""
    clock, store = clock_and_store
    for _ in range(50):
        clock.advance(0.1)
        assert store.push("key", 3600.0) == 3600.0
        assert store.push("key", 0.0) <= 3600.0


@pytest.mark.parametrize("seconds", [0.5, 3.0])
@pytest.mark.parametrize("back", [0.25, 600.0, 1e8])
def test_a_clock_that_is_set_back(
    clock_and_store: tuple[FakeClock, Store], back: float, seconds: float
) -> None:
    """A cool-down of three seconds then lasts three seconds more and not 600, looked at or not."""
    clock, store = clock_and_store
    for key in ("looked at", "not looked at"):
        store.push(key, seconds)
    clock.advance(-back)
    assert store.push("looked at", 0.0) == seconds
    store.push("another", 60.0)
    clock.advance(seconds / 2)
    left = [store.push(key, 0.0) for key in ("looked at", "not looked at")]
    assert left == [pytest.approx(seconds / 2)] * 2
    clock.advance(seconds / 2)
    left = [store.push(key, 0.0) for key in ("looked at", "not looked at")]
    assert left == [pytest.approx(0.0, abs=1e-6)] * 2


# Slots

TAKING = ["memory", "file", "redis"]


@pytest.fixture(params=TAKING)
def taking(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Every store in turn that has slots."""
    return made(request.param, request, tmp_path)


SLOW = 0.001
"""Slots a second of a limit whose next slot lies far beyond the seconds that a test takes."""


def test_slots_follow_each_other(taking: Any) -> None:
    """Of a limit of one in 1000 s, the first slot is now, and the third 2000 s later."""
    assert [taking.take("key", SLOW, 1, 1) for _ in range(3)] == [0.0, about(1e3), about(2e3)]


def test_slots_are_taken_together(taking: Any) -> None:
    """After a take of two slots, the next slot is the third; other keys have slots of their own."""
    assert taking.take("key", SLOW, 1, 2) == 0.0
    assert taking.take("key", SLOW, 1, 1) == about(2e3)
    assert taking.take("Key", SLOW, 1, 1) == 0.0


def test_each_take_has_its_own_rate(taking: Any) -> None:
    """One slot of one in 500 s, then one of one in 1000 s: the next one is due after 1500 s."""
    assert taking.take("key", SLOW * 2, 1, 1) == 0.0
    assert taking.take("key", SLOW, 1, 1) == about(500.0)
    assert taking.take("key", SLOW, 1, 1) == about(1.5e3)


def test_an_idle_limit_has_slots_of_the_past(taking: Any) -> None:
    """With a burst of three the first slot was due two intervals ago, and the fourth is ahead."""
    assert taking.take("key", SLOW, 3, 3) == pytest.approx(-2e3)
    assert taking.take("key", SLOW, 3, 1) == about(1e3)


def test_no_slot_is_more_than_an_hour_ahead(taking: Any) -> None:
    """A million slots of a slow limit, or one of the slowest, put the next one an hour ahead."""
    for rate, slots in ((SLOW, 10**6), (5e-324, 1), (SLOW, 1)):
        taking.take("key", rate, 1, slots)
        assert taking.take("key", 1000.0, 1, 1) == about(3600.0)


@pytest.mark.parametrize(
    ("rate", "burst", "count"),
    [
        (0.0, 1, 1),
        (-1.0, 1, 1),
        (float("nan"), 1, 1),
        (float("inf"), 1, 1),
        (SLOW, float("nan"), 1),
        (SLOW, float("inf"), 1),
        (SLOW, 1, 0),
        (SLOW, 1, -7),
        (SLOW, 1, float("nan")),
        (10**400, 1, 1),
    ],
    ids=lambda value: f"{value!r:.9}",
)
def test_what_takes_nothing(taking: Any, rate: float, burst: float, count: Any) -> None:
    """A rate of zero or NaN reserves nothing and harms no record: the result is 0.0."""
    assert repr(taking.take("key", rate, burst, count)) == "0.0"
    assert taking.take("key", SLOW, 1, 1) == 0.0
    assert repr(taking.take("key", rate, burst, count)) == "0.0"
    assert taking.take("key", SLOW, 1, 1) == about(1e3)


def test_slots_are_apart_from_records(taking: Any) -> None:
    """A record, a cool-down and slots have room under one key."""
    taking.write("key", SECRET)
    assert taking.take("key", SLOW, 1, 1) == 0.0
    assert taking.read("key") == SECRET
    taking.push("other", 1800.0)
    assert taking.take("other", SLOW, 1, 1) == 0.0
    assert taking.push("other", 0.0) == about(1800.0)
    assert taking.take("key", SLOW, 1, 1) == about(1e3)


def test_any_key_has_slots(taking: Any) -> None:
    """Awkward keys too, each its own."""
    for first in (0.0, about(1e3)):
        assert [taking.take(key, SLOW, 1, 1) for key in AWKWARD] == [first] * len(AWKWARD)


def test_copies_share_slots(taking: Any) -> None:
    """A copy in memory takes from the same slots."""
    assert taking.take("key", SLOW, 1, 1) == 0.0
    assert copy.deepcopy(taking).take("key", SLOW, 1, 1) == about(1e3)


def test_threads_take_at_once(taking: Any) -> None:
    """Four threads that take four slots each, 400 s apart, from 3600 s ago on: none is lost."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: taken_sometime(taking), range(16)))
    assert taken_sometime(taking) == about(16 * 400.0 - 3600.0)


def taken_sometime(store: Any) -> float:
    """Take a slot, again where others held the lock all the time that a take may last."""
    while True:
        with suppress(TimeoutError):
            first: float = store.take("key", 1 / 400, 10, 1)
            return first


TAKES = """
taken = 0
while taken < 4:
    try:
        store.take("key", 1 / 400, 10, 1)
        taken += 1
    except TimeoutError:
        pass
say("over")
"""


@pytest.mark.parametrize("shared", ["file", "redis"], indirect=True)
def test_processes_take_at_once(shared: Any, others: Callable[[str], Other]) -> None:
    """Four processes that take four slots each: none is lost."""
    assert [other.says() for other in [others(TAKES) for _ in range(4)]] == ["over"] * 4
    assert taken_sometime(shared) == about(16 * 400.0 - 3600.0)


def test_a_text_is_kept(taking: Any) -> None:
    """The last text is kept, in place of the one before, and stands apart from all else."""
    assert taking.keep("key", "", 0.0) is None
    for text in ("one", "two"):
        assert taking.keep("key", text, 1800.0) == text
    taking.write("key", SECRET)
    taking.push("other", 60.0)
    taking.take("key", SLOW, 1, 1)
    assert taking.keep("key", "", 0.0) == "two"
    assert taking.keep("other", "", 0.0) is None
    assert copy.deepcopy(taking).keep("key", "", 0.0) == "two"


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("-inf")])
def test_what_keeps_nothing(taking: Any, seconds: float) -> None:
    """Zero seconds, less, and NaN change nothing, and return what is kept."""
    assert taking.keep("key", "text", seconds) is None
    taking.keep("key", "there", 1800.0)
    assert taking.keep("key", "text", seconds) == "there"


@pytest.mark.parametrize("seconds", [1e300, float("inf"), 10**400])
def test_a_text_is_kept_for_an_hour_at_most(taking: Any, seconds: float) -> None:
    """More than an hour counts as an hour."""
    assert taking.keep("key", "text", seconds) == "text"
    assert taking.keep("key", "", 0.0) == "text"


@pytest.mark.parametrize("back", [0.0, 0.25, 1e8])
def test_a_text_is_over(clock_and_store: tuple[FakeClock, Any], back: float) -> None:
    """What is kept for three seconds is gone three seconds later, if the clock was set back too."""
    clock, store = clock_and_store
    store.keep("key", "text", 3.0)
    clock.advance(-back)
    store.take("key", 1.0, 1, 1)
    clock.advance(2.9)
    assert store.keep("key", "", 0.0) == "text"
    clock.advance(0.1)
    assert store.keep("key", "", 0.0) is None


def test_slots_pass(clock_and_store: tuple[FakeClock, Any]) -> None:
    """Five slots of ten a second, taken 0.3 s ago, end in 0.2 s: then the next one is due."""
    clock, store = clock_and_store
    assert store.take("key", 10.0, 1, 5) == 0.0
    clock.advance(0.3)
    assert store.take("key", 10.0, 1, 1) == pytest.approx(0.2)
    clock.advance(7.0)
    assert store.take("key", 10.0, 1, 1) == 0.0


def test_an_idle_time_is_remembered(clock_and_store: tuple[FakeClock, Any]) -> None:
    """After 0.1 s without a take only one slot of the past is left, not a burst of five."""
    clock, store = clock_and_store
    assert store.take("key", 10.0, 5, 5) == pytest.approx(-0.4)
    clock.advance(0.2)
    assert store.take("key", 10.0, 5, 1) == pytest.approx(-0.1)


@pytest.mark.parametrize("back", [0.25, 600.0, 1e8])
def test_slots_after_a_clock_was_set_back(
    clock_and_store: tuple[FakeClock, Any], back: float
) -> None:
    """The next slot was three seconds ahead, and is no further ahead then, looked at or not."""
    clock, store = clock_and_store
    for key in ("taken", "not taken"):
        store.take(key, 1.0, 1, 3)
    clock.advance(-back)
    assert store.take("taken", 1.0, 1, 1) == 3.0
    clock.advance(2.0)
    assert [store.take(key, 1.0, 1, 1) for key in ("taken", "not taken")] == [2.0, 1.0]


# Locks


def test_a_lock_excludes(store: Store) -> None:
    """A key that is locked cannot be locked by another thread, another key can."""
    with store.lock("key", 1.0):
        assert not is_free(store)
        assert is_free(store, "another")
        store.write("key", SECRET)
    assert is_free(store)


def test_a_time_that_is_over(store: Store) -> None:
    """A timeout below zero is as good as none: it does not wait for ever."""
    with store.lock("key", -1.0):
        assert not is_free(store, timeout=-1.0)


@pytest.mark.parametrize("timeout", [0.0, 0.15])
def test_a_lock_is_not_entered_twice(store: Store, timeout: float) -> None:
    """Who holds a lock and asks again gets a timeout, at once or later."""
    with store.lock("key", 1.0), pytest.raises(TimeoutError):
        store.lock("key", timeout).__enter__()
    assert is_free(store)


def test_a_lock_is_waited_for(store: Store) -> None:
    """Who waits long enough gets the lock as soon as it is given back."""
    held, over = Event(), Event()

    def hold() -> None:
        with store.lock("key", 1.0):
            held.set()
            over.wait(120)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(hold)
        assert held.wait(120)
        waiting = pool.submit(is_free, store, "key", 30.0)
        over.set()
        assert waiting.result(120)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_a_lock_ends_with_an_error(store: Store, error: type[BaseException]) -> None:
    """Whatever is raised in the block comes out of it, and the lock is free."""
    with pytest.raises(error), store.lock("key", 1.0):
        raise error
    assert is_free(store)


def test_threads_take_turns(store: Store) -> None:
    """Threads that count in a record under the lock miss no count."""

    def count(_: int) -> None:
        with store.lock("key", 30.0):
            store.write("key", str(int(store.read("key") or 0) + 1))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(count, range(9)))
    assert store.read("key") == "9"


# Copies


def test_a_copy_is_the_same_store(store: Store) -> None:
    """A copy in memory shares records and locks, so that a copied session shares its token."""
    copies = copy.copy(store), copy.deepcopy(store)
    store.write("key", SECRET)
    with store.lock("key", 1.0):
        assert [(each.read("key"), is_free(each)) for each in copies] == [(SECRET, False)] * 2


def test_a_pickle_holds_no_record(store: Store) -> None:
    """What a store keeps is not in a pickle of it."""
    store.write("key", SECRET)
    assert SECRET.encode() not in pickle.dumps(store)
    assert pickle.loads(pickle.dumps(MemoryStore())).read("key") is None  # noqa: S301 (our own)


def test_a_repr_holds_no_record(store: Store) -> None:
    """What a store keeps is not in its repr, which names its kind."""
    store.write("key", SECRET)
    assert SECRET not in repr(store)
    assert type(store).__name__ in repr(store)


def test_copies_share_cool_downs(store: Store) -> None:
    """A copy in memory has the cool-downs; a pickle those that are not kept in memory."""
    store.push("key", 60.0)
    assert copy.deepcopy(store).push("key", 1.0) == about(60.0)
    is_kept = not isinstance(store, MemoryStore | KeyringStore)
    unpickled: Store = pickle.loads(pickle.dumps(store))  # noqa: S301 (our own)
    assert unpickled.push("key", 0.0) == (about(60.0) if is_kept else 0.0)


class Stopped(SystemClock):
    """A clock of the user's that can be pickled: it stands at noon."""

    def monotonic(self) -> float:
        """Return the same seconds always."""
        return 43_200.0

    time = monotonic


class Plain(MemoryStore):
    """A store of the user's that is made without arguments."""

    def __init__(self) -> None:
        super().__init__()


def test_a_subclass_without_a_clock_is_pickled() -> None:
    """A pickle gives a clock only to a store that was made with one."""
    assert type(pickle.loads(pickle.dumps(Plain()))) is Plain  # noqa: S301 (our own)


def test_copies_have_the_clock(tmp_path: Path) -> None:
    """A deep copy goes on with a clock that cannot be copied; a pickle takes one that can."""
    clock = FakeClock()
    for kind in (MemoryStore, partial(FileStore, tmp_path / "tokens.json")):
        store = copy.deepcopy(kind(clock))
        store.push("key", 3.0)
        clock.advance(2.0)
        assert store.push("key", 0.0) == 1.0
        unpickled = pickle.loads(pickle.dumps(kind(Stopped())))  # noqa: S301 (our own)
        assert unpickled.push("noon", 3.0) == unpickled.push("noon", 0.0) == 3.0


# A store that is out of reach


class Shut:
    """A keyring that its user does not open, and a database that is away."""

    def fail(self, *_: object) -> Any:
        """Fail as drivers do, with the record in the text."""
        raise ValueError(SECRET)

    get_password = set_password = fail


@pytest.fixture(params=SHARED)
def broken(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any) -> Store:
    """Every store in turn that can be out of reach, and is."""
    (tmp_path / "file").write_text("a file, so no folder")
    for place in ("LOCALAPPDATA", "XDG_CACHE_HOME"):
        monkeypatch.setenv(place, str(tmp_path / "file"))
    if request.param == "redis":
        return RedisStore(f"unix://{tmp_path}/nothing")
    shut: Any = Shut()
    file, keyring = FileStore(tmp_path / "file" / "x.json"), KeyringStore(backend=shut)
    if request.param == "functions":
        return FunctionStore(load=shut.fail, save=shut.fail, lock=shut.fail, push=shut.fail)
    kinds: dict[str, Store] = {"file": file, "keyring": keyring, "first of": FirstOf(keyring, file)}
    return kinds[request.param]


def test_what_fails_is_an_oserror(broken: Store) -> None:
    """A store that is out of reach raises `OSError`; `TimeoutError` is for a lock that is held."""
    with suppress(OSError):
        assert broken.read("key") is None
    with pytest.raises(OSError, match=r"\w") as written:
        broken.write("key", SECRET)
    with pytest.raises(OSError, match=r"\w") as locked:
        broken.lock("key", 0.1).__enter__()
    for caught in (written, locked):
        assert not isinstance(caught.value, TimeoutError)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("broken", ["file", "redis"], indirect=True)
def test_slots_that_cannot_be_taken(broken: Any) -> None:
    """A take from a store that is out of reach is an `OSError`, and so is a text to be kept."""
    for operation, arguments in (("take", (1.0, 1, 1)), ("keep", ("text", 60.0))):
        with pytest.raises(OSError, match=r"\w"):
            getattr(broken, operation)("key", *arguments)


def test_a_cool_down_that_cannot_be_kept(broken: Store) -> None:
    """A push into a store that is out of reach is an `OSError`; a keyring is not asked for it."""
    if isinstance(broken, KeyringStore):
        assert broken.push("key", 60.0) == 60.0
        assert broken.push("key", 0.0) == about(60.0)
        return
    with pytest.raises(OSError, match=r"\w") as pushed:
        broken.push("key", 60.0)
    assert not isinstance(pushed.value, TimeoutError)


@pytest.mark.parametrize("name", ["redis", "keyring"])
def test_a_missing_extra(name: str) -> None:
    """Without what the extra brings, the import fails with one line that names the extra."""
    code = f"import sys; sys.modules[{name!r}] = None; import requests_authretry.{name}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 (our own)
    assert run.stderr.count("Traceback") == 1
    assert run.stderr.splitlines()[-1].startswith("ImportError: ")
    assert f"pip install 'requests-authretry[{name}]'" in run.stderr


# Across processes

HOLD = """
with store.lock("key", 10.0):
    say(store.read("key"))
    store.write("key", "news")
    sys.stdin.read()
"""

COUNT = """
for number in range(5):
    with store.lock("key", 30.0):
        store.write("key", str(int(store.read("key") or 0) + 1))
    for part in "abc":
        store.write(f"{os.getpid()} {number}{part}", part)
say(os.getpid())
"""

FORK = """
def hold():
    with store.lock("key", 10.0):
        held.set()
        time.sleep(60)

held = threading.Event()
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    time.sleep(60)
say(child)
sys.stdin.read()
"""

LEAVE = """
def look(who):
    try:
        with store.lock("key", 0.0):
            say(who, "entered")
    except TimeoutError:
        say(who, "excluded")

with store.lock("key", 10.0):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        look("parent")
if child == 0:
    look("child")
    os._exit(0)
look("parent")
"""

BOTH = """
store.write("key", "shared")
child = os.fork()
mine = str(os.getpid())
for _ in range(50):
    with store.lock(mine, 10.0):
        store.write(mine, mine)
        assert (store.read(mine), store.read("key")) == (mine, "shared")
if child:
    assert os.waitpid(child, 0)[1] == 0
    say("both done")
"""

PUSH = """
say("ready")
sys.stdin.readline()
pid, longest = os.getpid(), 0.0
for number in range(10):
    seconds = 1800.0 + number * 97 % 10 * 100 + pid % 100
    while True:
        try:
            assert store.push("cool-down", seconds) >= seconds
            store.push(f"cool-down {pid} {number}", seconds)
            assert 0.0 < store.push("cool-down", 0.0) <= 3600.0
            store.push("short", 0.001)
            break
        except TimeoutError:
            pass  # the others had the file all the time
    longest = max(seconds, longest)
say(pid, longest)
"""

WRITE = """
say("ready")
sys.stdin.readline()
for number in range(20):
    store.write(f"token {number}", "s3cret" * 500 + str(number))
    store.write("token", str(number))
say("written")
"""

FORKED = """
import signal
held, over = threading.Event(), threading.Event()

class Slow(str):
    def __hash__(self):
        held.set()
        over.wait()
        return super().__hash__()

pushing = threading.Thread(target=store.push, args=(Slow("slow"), 60.0))
if slow:
    pushing.start()
    held.wait()
child = os.fork()
if child == 0:
    signal.alarm(120)
    say("child", store.push("key", 3600.0))
    os._exit(0)
over.set()
assert os.waitpid(child, 0)[1] == 0
say("parent", "hears" if store.push("key", 60.0) > 60.0 else "does not")
"""


def test_processes_share_it(shared: Store, others: Callable[[str], Other]) -> None:
    """What one process writes, another reads; what it has locked, another cannot lock."""
    shared.write("key", SECRET)
    holder = others(HOLD)
    assert holder.says() == SECRET
    assert not is_free(shared)
    assert is_free(shared, "another")
    holder.rest()
    assert is_free(shared)
    assert shared.read("key") == "news"


@pytest.mark.slow
def test_processes_take_turns(shared: Store, others: Callable[[str], Other]) -> None:
    """Processes that count under the lock miss nothing, nor do their writes under other keys."""
    for each in [others(COUNT) for _ in range(2)]:
        (pid,) = each.rest()
        written = [f"{pid} {number}{part}" for number in range(5) for part in "abc"]
        assert [shared.read(key) for key in written] == list("abc") * 5
    assert shared.read("key") == "10"


@until_its_ttl
def test_a_lock_ends_with_its_holder(shared: Store, others: Callable[[str], Other]) -> None:
    """A process that is killed while it holds a lock lets the others go on."""
    holder = others(HOLD)
    holder.says()
    holder.kill()
    assert is_free(shared, timeout=60.0)


@forks
@until_its_ttl
def test_a_child_does_not_keep_the_lock(shared: Store, others: Callable[[str], Other]) -> None:
    """A process that forked while a thread held the lock is killed: the child lets others go on."""
    holder = others(FORK)
    child = int(holder.says())
    try:
        assert not is_free(shared)
        holder.kill()
        assert is_free(shared, timeout=60.0)
    finally:
        os.kill(child, signal.SIGKILL)


@forks
@pytest.mark.slow
def test_a_fork_inside(others: Callable[[str], Other]) -> None:
    """A child that leaves its parent's block frees nothing; each has its own connection."""
    said = ["child excluded", "parent excluded", "parent entered", "both done"]
    assert others(LEAVE + BOTH).rest() == said


@pytest.mark.slow
@pytest.mark.parametrize("shared", ["file", "redis"], indirect=True)
def test_processes_push_at_once(shared: Store, others: Callable[[str], Other]) -> None:
    """Eight that push while another writes: the longest cool-down and every record are there."""
    writer, *pushers = (others(code) for code in (WRITE, *[PUSH] * 8))
    assert [each.says() for each in (writer, *pushers)] == ["ready"] * 9
    with ThreadPoolExecutor(9) as pool:
        wrote, *said = pool.map(Other.rest, (writer, *pushers))
    assert wrote == ["written"]
    longest = dict(line.split() for (line,) in said)
    assert len(longest) == 8
    assert shared.push("cool-down", 0.0) == about(max(map(float, longest.values())))
    assert all(shared.push(f"cool-down {pid} {n}", 0.0) for pid in longest for n in range(10))
    assert shared.read("token") == "19"
    assert [shared.read(f"token {n}") for n in range(20)] == [
        "s3cret" * 500 + str(n) for n in range(20)
    ]


@forks
@pytest.mark.parametrize("shared", ["file", "redis"], indirect=True)
def test_a_fork_shares_cool_downs(others: Callable[[str], Other]) -> None:
    """What a child pushes, its parent finds."""
    assert others("slow = False" + FORKED).rest() == ["child 3600.0", "parent hears"]


@forks
def test_a_fork_while_a_thread_pushes() -> None:
    """A child can push into a store in memory that a thread of its parent was just pushing into."""
    other = Other(MemoryStore(), "slow = True" + FORKED)
    assert other.rest() == ["child 3600.0", "parent does not"]
