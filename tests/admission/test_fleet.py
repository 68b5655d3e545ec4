"""Processes that share a store share the slots of a rate limit, in virtual time."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import MemoryStore, StoreFailed
from requests_authretry._admission.fleet import Fleet as FleetOfOne
from requests_authretry._admission.rate_limit_queue import RateLimitQueue
from requests_authretry._admission.waiting import Waiter
from requests_authretry._core import shared_pace
from requests_authretry._core.pace import Pace
from requests_authretry._core.rate_limit import RateState
from requests_authretry._core.scope import Scope
from requests_authretry._core.shared_slots import Batch, Supply
from requests_authretry.testing import FakeClock
from tests.support.scenario import Answer, World
from tests.support.sessions import API
from tests.support.virtual_time import VirtualStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests_authretry._events import Event
    from tests.support.scenario import Request

ORDERS = Scope("https://api.example.com", "")
LATENCY = 0.05
"""Seconds from a request to its answer."""


class Seen(VirtualStore):
    """A store that notes when it is asked what, and may be slow or fail.

    Attributes:
        asked: The time and the name of each operation, by the process that asks.
        delay: Seconds that a take lasts.
        fault: What a take raises.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world.turns, world.clock)
        self._world = world
        self.asked: dict[int, list[tuple[float, str]]] = {}
        self.delay = 0.0
        self.fault: BaseException | None = None

    def of(self, process: int) -> OfProcess:
        """Return the store as a process has it."""
        self.asked[process] = []
        return OfProcess(self, process)

    def note(self, process: int, operation: str) -> None:
        """Note an operation."""
        self._turns.await_turn()
        self.asked[process].append((self._world.turns.now, operation))

    def pause(self) -> None:
        """Let a take last."""
        if self.delay:
            self._world.turns.sleep(self.delay)
        if self.fault is not None:
            raise self.fault

    @property
    def most_in_a_second(self) -> int:
        """The most operations of any process in any second."""
        most = 0
        for asked in self.asked.values():
            times = [at for at, _ in asked]
            most = max([most, *(bisect_left(times, at + 1.0) - n for n, at in enumerate(times))])
        return most


class OfProcess:
    """The store of one process: the same records, its own notes."""

    def __init__(self, store: Seen, process: int) -> None:
        self._store, self._process = store, process
        self.read, self.write, self.lock = store.read, store.write, store.lock

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down."""
        self._store.note(self._process, "push" if seconds else "read")
        return float(self._store.push(key, seconds))

    def take(self, *args: Any) -> float:
        """Take slots."""
        self._store.note(self._process, "take")
        self._store.pause()
        return float(self._store.take(*args))

    def keep(self, key: str, text: str, seconds: float) -> str | None:
        """Keep a text for a while."""
        self._store.note(self._process, "keep" if seconds else "hear")
        kept: str | None = self._store.keep(key, text, seconds)
        return kept


@dataclass
class Bucket:
    """A server with a token bucket, full at first; it says `Retry-After` in whole seconds or not.

    Attributes:
        passed: When requests passed.
        refused: When requests were refused that left after the first refusal had arrived.
        flood: How many were refused that had left earlier.
    """

    rate: float
    burst: float
    tells: bool
    passed: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    flood: int = 0
    _first: float | None = None
    _filled: float = 0.0

    def __post_init__(self) -> None:
        """Fill the bucket."""
        self._level = self.burst

    def __call__(self, request: Request) -> Answer:
        """Serve a request or refuse it."""
        now = request.time
        self._level = min(self.burst, self._level + (now - self._filled) * self.rate)
        self._filled = now
        if self._level >= 1:
            self._level -= 1
            self.passed.append(now)
            return Answer(takes=LATENCY)
        if self._first is None:
            self._first = now
        if now <= self._first + LATENCY:
            self.flood += 1
        else:
            self.refused.append(now)
        wait = ceil((1 - self._level) / self.rate)
        return Answer(429, {"Retry-After": str(wait)} if self.tells else {}, LATENCY)


@dataclass
class Fleet:
    """Processes whose threads make calls until all are made.

    Attributes:
        bucket: The server.
        store: What all processes share; None: each has its own.
        failed: Calls that came to no good end.
        events: What the processes tell.
    """

    bucket: Bucket
    processes: int = 8
    threads: int = 8
    seconds: float = 60.0
    is_shared: bool = True
    prepare: Callable[[Seen], object] = bool
    failed: int = 0
    events: list[Event] = field(default_factory=list)

    def run(self) -> Fleet:
        """Make all calls: the burst, and what the limit allows in the seconds after it."""
        world = World(self.bucket, patience=60.0)
        self.store = Seen(world)
        self.prepare(self.store)
        calls = int(self.bucket.burst + self.bucket.rate * self.seconds)
        ends = [calls * number // self.processes for number in range(self.processes + 1)]
        for number in range(self.processes):
            store = self.store.of(number) if self.is_shared else None
            clock = world.process()
            session = world.session(
                world.settings(clock=clock, store=store, listeners=[self.events.append])
            )
            left = iter(range(ends[number], ends[number + 1]))
            for thread in range(self.threads):
                world.caller(f"{number}.{thread}", self._work(session, left))
        world.run()
        return self

    def _work(self, session: requests.Session, left: Iterator[int]) -> Callable[[], None]:
        def make(call: int) -> None:
            try:
                self.failed += not session.get(f"{API}/calls/{call}").ok
            except requests.RequestException:
                self.failed += 1

        def work() -> None:
            for call in left:
                make(call)

        return work

    @property
    def over_ideal(self) -> float:
        """The time of the drain, the ideal being 1."""
        return (max(self.bucket.passed) + LATENCY) / (self.seconds + LATENCY)

    @property
    def refusals(self) -> float:
        """Refusals for each success, after the first flood."""
        return len(self.bucket.refused) / len(self.bucket.passed)


SHAPES = [(25, 2), (25, 10), (25, 25), (25, 250), (100, 20)]

OVER_IDEAL, REFUSALS = 1.25, 0.1
"""What no drain may exceed, in time and in refusals for each success. The aim is 1.10 and 0.02."""


@pytest.mark.slow
@pytest.mark.parametrize("tells", [True, False], ids=["retry_after", "nothing"])
@pytest.mark.parametrize(("rate", "burst"), SHAPES, ids=repr)
def test_a_fleet_drains_as_fast_as_the_limit_allows(rate: int, burst: int, tells: bool) -> None:  # noqa: FBT001 (a case)
    """Eight processes of eight threads need hardly longer than the ideal, and few are refused."""
    fleet = Fleet(Bucket(rate, burst, tells)).run()
    assert fleet.over_ideal <= OVER_IDEAL
    assert fleet.refusals <= REFUSALS
    assert fleet.failed == 0


def test_a_process_asks_the_store_ten_times_a_second() -> None:
    """However many slots it needs: pushes, looks and takes together."""
    fleet = Fleet(Bucket(100, 20, tells=True), processes=2, threads=16, seconds=4.0).run()
    assert {"push", "read", "take"} <= {
        kind for asked in fleet.store.asked.values() for _, kind in asked
    }
    assert fleet.store.most_in_a_second <= 10


def test_a_store_that_is_slow_counts_as_away() -> None:
    """A take that lasts 60 ms: the process says so, keeps its own pace for 5 s, and tries again."""

    def be_slow(store: Seen) -> None:
        store.delay = 0.06

    fleet = Fleet(Bucket(25, 10, tells=False), processes=1, seconds=20.0, prepare=be_slow).run()
    takes = [at for at, kind in fleet.store.asked[0] if kind == "take"]
    told = [event for event in fleet.events if isinstance(event, StoreFailed)]
    assert set(told) == {StoreFailed("slots", "take", "TimeoutError")}
    assert len(told) == len(takes)
    assert all(later - earlier >= 5.0 for earlier, later in pairwise(takes))
    assert 2 <= len(takes) <= 5
    assert fleet.failed == 0


@pytest.mark.parametrize("fault", [OSError("gone"), SystemExit(1), KeyboardInterrupt()], ids=repr)
def test_a_store_that_fails_leaves_a_process_its_own_pace(fault: BaseException) -> None:
    """Where every take raises, calls end as without a store; it is asked again after 5 s.

    An exception that would end the program ends no more than others do: it is in a thread of the
    library's own.
    """

    def fail(store: Seen) -> None:
        store.fault = fault

    fleet = Fleet(Bucket(25, 10, tells=False), processes=1, seconds=10.0, prepare=fail).run()
    alone = Fleet(Bucket(25, 10, tells=False), processes=1, seconds=10.0, is_shared=False).run()
    assert {event for event in fleet.events if isinstance(event, StoreFailed)} == {
        StoreFailed("slots", "take", type(fault).__name__)
    }
    assert len([at for at, kind in fleet.store.asked[0] if kind == "take"]) >= 2
    assert fleet.over_ideal <= alone.over_ideal * 1.1


class WithoutKeep:
    """A store of a user's own, which has slots and keeps no pace for a fleet."""

    def __init__(self, store: OfProcess) -> None:
        self.read, self.write, self.lock = store.read, store.write, store.lock
        self.push, self.take = store.push, store.take


@pytest.mark.parametrize("keeps", [True, False])
def test_a_fleet_is_back_soon_after_a_server_that_refused_everything(*, keeps: bool) -> None:
    """Eight processes are refused for 15 s. Ten seconds later the fleet sends 10 a second.

    While nothing passes they take no slots, and each tests the server every five seconds.
    """
    world = World(lambda request: 429 if request.time < 15.0 else 200, takes=LATENCY)
    store = Seen(world)

    def work(session: requests.Session) -> None:
        while world.turns.now < 35.0:
            session.get(f"{API}/orders")

    for number in range(8):
        own: Any = store.of(number)
        own = own if keeps else WithoutKeep(own)
        session = world.session(world.settings(clock=world.process(), store=own))
        for thread in range(2):
            world.caller(f"{number}.{thread}", partial(work, session))
    world.run()
    asked = [at for of_one in store.asked.values() for at, kind in of_one if kind == "take"]
    assert not [at for at in asked if 10.0 < at < 15.0]
    sent = [each.time for each in world.sent]
    assert 6 <= sum(10.0 < at < 15.0 for at in sent) <= 16
    assert sum(25.0 < at < 35.0 for at in sent) >= 100


# What a process does while nothing passes

QUARTER = Supply(own=0.25, every=1.0)
"""Slots of a process that has a quarter of the pace."""

IN_VAIN = Pace(
    8.0, is_searching=False, since=4.0, changed=4.0, basis=30.0, in_vain=7, refused_at=4.0
)
"""A pace at which seven requests in a row were refused, and one more says that nothing passes."""


def queue_at(pace: Pace, *, is_alone: bool = False) -> RateLimitQueue:
    """Return the calls of a process that has a quarter of this pace."""
    queue = RateLimitQueue(RateState(pace=pace))
    queue.supply, queue.is_alone = QUARTER, is_alone
    return queue


def refused_again(queue: RateLimitQueue, began: float) -> Pace:
    """Let a request be refused that measures nothing, as others are to hear of the pace."""
    FleetOfOne(MemoryStore()).on_refused(ORDERS, queue, queue.state.pace, began, began + LATENCY)
    return queue.state.pace


def passed(queue: RateLimitQueue, pace: Pace) -> Pace:
    """Let a success change the pace to this one."""
    before, queue.state = queue.state.pace, queue.state._replace(pace=pace)
    FleetOfOne(MemoryStore()).on_success(queue, before)
    return queue.state.pace


def test_a_process_leaves_the_fleet_with_its_part_of_the_pace() -> None:
    """After eight refusals in a row it tests the server alone, and forgets the slots it has."""
    queue = queue_at(IN_VAIN)
    queue.supply = queue.supply._replace(batches=(Batch(9.0, 0.1, 3),))
    pace = refused_again(queue, 4.5)
    assert queue.is_alone
    assert queue.supply == QUARTER
    assert pace.in_vain == 8
    assert pace.rate == pytest.approx(8.0 * (1 - 0.3 / 2) / 4, rel=0.01)


@pytest.mark.parametrize(
    ("pace", "began"),
    [
        (IN_VAIN, 4.0),
        (IN_VAIN._replace(in_vain=6), 4.5),
        (IN_VAIN._replace(is_searching=True, passed=1.0), 4.5),
    ],
    ids=["left earlier", "seventh", "search"],
)
def test_fewer_refusals_do_not_say_that_nothing_passes(pace: Pace, began: float) -> None:
    """Not those that left at an earlier pace, or in a search that all are to hear of."""
    queue = queue_at(pace)
    refused_again(queue, began)
    assert not queue.is_alone


def test_a_success_ends_a_row_of_refusals() -> None:
    """Even one that left while others were to hear of the pace, and measures nothing."""
    queue = queue_at(IN_VAIN)
    assert passed(queue, IN_VAIN) == IN_VAIN._replace(in_vain=0)
    assert not queue.is_alone


def test_a_process_joins_the_fleet_when_it_has_its_part_of_the_first_pace() -> None:
    """A quarter of 25 a second: then the fleet sends 25 a second."""
    slow = Pace(6.0, since=4.0, changed=4.0, refused_at=4.0)
    found = []
    for rate in (6.0, 6.25):
        queue = queue_at(slow, is_alone=True)
        pace = passed(queue, slow._replace(rate=rate, passed=2.0, spent=0.4))
        found.append((queue.is_alone, pace.rate, pace.spent))
    assert found == [(True, 6.0, 0.4), (False, 25.0, 0.1)]


def test_a_search_at_a_faster_pace_is_not_slowed_down() -> None:
    """A process that joins late, at 30 a second, goes on with that."""
    fast = Pace(30.0, since=4.0, changed=4.0, refused_at=4.0)
    queue = queue_at(fast, is_alone=True)
    assert passed(queue, fast).rate == 30.0
    assert not queue.is_alone


def test_a_process_joins_the_fleet_when_it_has_measured_its_part() -> None:
    """At 10 a second requests are refused again: 40 for all. It tells nobody.

    Others may have joined earlier, and what they send may be the cause.
    """
    slow = Pace(3.0, since=4.0, changed=4.0, refused_at=4.0, passed=4.0)
    measured = slow._replace(rate=10.0, is_searching=False, refused_at=9.0, spent=0.4)
    queue, fleet = queue_at(measured, is_alone=True), FleetOfOne(MemoryStore())
    fleet.on_refused(ORDERS, queue, slow, 8.9, 9.0)
    assert not queue.is_alone
    assert queue.state.pace.rate == 40.0
    assert fleet.pop_untold(9.0) is None


def ordered(fleet: FleetOfOne) -> bool:
    """Let a call order slots, and return whether that is news."""
    queue = queue_at(Pace(20.0))
    fleet.order(ORDERS, queue, Waiter(FakeClock(), 99.0, 99.0, lambda *_: None), 9.0)
    return fleet.has_news


def test_an_order_is_news_until_a_thread_asks_for_it() -> None:
    """Slots that would miss their time by 30 ms may be used at once: 1.6, at 20 a second."""
    fleet = FleetOfOne(MemoryStore())
    news = [fleet.has_news, ordered(fleet)]
    order = fleet.pop_order()
    news.append(fleet.has_news)
    assert news == [False, True, False]
    assert order is not None
    assert order.burst == pytest.approx(1.6)


def test_a_child_process_has_none_of_its_parents_orders() -> None:
    """They are a matter of the parent's own thread, as is what it was to tell."""
    fleet = FleetOfOne(MemoryStore())
    ordered(fleet)
    fleet.on_refused(ORDERS, queue_at(IN_VAIN._replace(refused_at=9.0)), IN_VAIN, 8.9, 9.0)
    fleet.clear()
    assert not fleet.has_news
    assert fleet.pop_order() is None
    assert fleet.pop_untold(9.0) is None


def test_a_store_without_slots_changes_no_pace() -> None:
    """It keeps texts and no more: each process has a pace of its own."""

    class Keeps:
        keep = None

    queue = queue_at(IN_VAIN)
    FleetOfOne(Keeps()).on_success(queue, IN_VAIN)
    assert queue.state.pace is IN_VAIN


def test_a_process_that_tests_alone_hears_of_no_pace() -> None:
    """That of the fleet is faster than its part."""
    text, fleet = shared_pace.text_of(Pace(20.0), "mark"), FleetOfOne(MemoryStore())
    for is_alone, rate in ((True, 2.0), (False, 20.0)):
        queue = queue_at(Pace(2.0), is_alone=is_alone)
        fleet.on_heard(queue, text, 9.0)
        assert queue.state.pace.rate == rate


def test_no_request_waits_for_a_store_that_hangs() -> None:
    """A take that lasts a minute holds back the calls for 50 ms, once."""

    def hang(store: Seen) -> None:
        store.delay = 60.0

    fleet = Fleet(Bucket(25, 10, tells=False), processes=1, seconds=10.0, prepare=hang).run()
    alone = Fleet(Bucket(25, 10, tells=False), processes=1, seconds=10.0, is_shared=False).run()
    assert fleet.over_ideal <= alone.over_ideal * 1.1


class Odd(VirtualStore):
    """A store that answers what it likes.

    Attributes:
        answer: What each take answers; an exception is raised by each keep instead.
        heard: When a pace was asked for, or told.
    """

    def __init__(self, world: World, answer: Any) -> None:
        super().__init__(world.turns, world.clock)
        self.answer = answer
        self.heard: list[float] = []

    def take(self, *args: Any) -> Any:
        """Answer whatever is asked."""
        found = super().take(*args)
        return found if isinstance(self.answer, Exception) else self.answer

    def keep(self, *args: Any) -> str | None:
        """Keep a text, or fail."""
        kept: str | None = super().keep(*args)
        self.heard.append(self._turns.now)
        if isinstance(self.answer, Exception):
            raise self.answer
        return kept


def ask(answer: Any, calls: int) -> tuple[World, Odd, list[Event]]:
    """Make calls one after another, of which the first one is refused once."""
    world = World({"/orders": [429, 200]}, takes=LATENCY)
    store, events = Odd(world, answer), list[Any]()
    session = world.session(world.settings(store=store, listeners=[events.append]))

    def work() -> None:
        for _ in range(calls):
            assert session.get(f"{API}/orders").ok

    world.caller("A", work)
    world.turns.run()
    return world, store, events


@pytest.mark.parametrize(
    "answer", [-1e308, -3600.5, 3600.5, float("nan"), 10**400, "1", None, True], ids=repr
)
def test_a_store_that_gives_no_slot_counts_as_away(answer: Any) -> None:
    """A slot is due an hour from now at most, and an hour ago; and it is a number."""
    world, _, events = ask(answer, 20)
    assert len(world.sent) == 21
    assert StoreFailed("slots", "take", "TimeoutError") in events or answer is None


def test_no_slot_is_waited_for_longer_than_a_minute() -> None:
    """An hour, as where a record is broken, would be too late for all calls."""
    world, _, _ = ask(3600.0, 3)
    assert world.turns.now <= 3 * 60.0 + 1.0


def test_a_store_that_keeps_no_pace_is_left_alone_for_five_seconds() -> None:
    """It would be asked with each take: four warnings a second."""
    _, store, events = ask(OSError("gone"), 400)
    assert StoreFailed("pace", "keep", "OSError") in events
    assert len(store.heard) >= 2
    assert all(later - earlier >= 5.0 for earlier, later in pairwise(store.heard))
