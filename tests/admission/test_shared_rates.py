"""Processes that share a store keep to a declared rate together, in virtual time."""

from __future__ import annotations

from bisect import bisect_left
from functools import partial
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import (
    MemoryStore,
    Rate,
    RateLimits,
    RetryPolicy,
    Settings,
    StoreFailed,
    explain,
    mount,
)
from requests_authretry._admission.declared_queue import DeclaredQueue, DeclaredScope
from requests_authretry._admission.shared_rates import Reservation, SharedRates
from requests_authretry._admission.store_operations import MOST, StoreOperations
from requests_authretry._admission.waiting import Waiter
from requests_authretry._core.rate_supply import RateSupply
from tests.support.drains import Aim, Drain, Figures, Shape, draining
from tests.support.scenario import World
from tests.support.sessions import API
from tests.support.virtual_time import VirtualStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from requests import Session

    from requests_authretry._events import Event

TEN = Rate(10, per=1.0)
PATIENT = RetryPolicy(deadline=100_000.0)


class Watched(VirtualStore):
    """A store that notes when it is asked for units, and may be slow or fail.

    Attributes:
        delay: Seconds that an answer takes.
        fault: What it raises.
        asked: When it was asked, by the process that asked.
    """

    delay = 0.0
    fault: BaseException | None = None

    def __init__(self, world: World) -> None:
        super().__init__(world.turns, world.clock)
        self.asked: dict[str, list[float]] = {}

    def reserve(self, key: str, ask: Any) -> Any:
        """Reserve units after a while."""
        self._turns.await_turn()
        self.asked.setdefault(ask.holder, []).append(self._turns.now)
        if self.delay:
            self._turns.sleep(self.delay)
        if self.fault is not None:
            raise self.fault
        return super().reserve(key, ask)


def most_within(times: Sequence[float], seconds: float) -> int:
    """Return the most times that lie in any so many seconds."""
    ordered = sorted(times)
    ends = (bisect_left(ordered, at + seconds - 1e-6) for at in ordered)
    return max(end - number for number, end in enumerate(ends))


class Fleet:
    """Processes that make calls until all are made, each with some threads.

    Attributes:
        world: The server, which serves all.
        store: What all share.
        events: What the processes tell.
        sessions: One of each process.
    """

    def __init__(self, *rates: Rate, processes: int, **fields: Any) -> None:
        self.world = World({}, patience=60.0)
        self.store = Watched(self.world)
        self.events: list[Event] = []
        limits = RateLimits(rates=rates, **fields)
        self.sessions = [self.session(limits) for _ in range(processes)]

    def settings(self, limits: RateLimits, retry: RetryPolicy = PATIENT) -> Settings:
        """Return the settings of one more process."""
        return self.world.settings(
            clock=self.world.process(),
            store=self.store,
            limits=limits,
            listeners=[self.events.append],
            retry=retry,
        )

    def session(self, limits: RateLimits, retry: RetryPolicy = PATIENT) -> Session:
        """Return the session of one more process."""
        return self.world.session(self.settings(limits, retry))

    def let_call(self, calls: int, *, threads: int = 1, at: float = 0.0, path: str = "/") -> Fleet:
        """Let each process make so many calls from so many threads."""
        for process, session in enumerate(self.sessions):
            left = iter(range(calls))
            for thread in range(threads):
                name = f"{process}.{thread} at {at:g} {path}"
                self.world.caller(name, partial(self._call, session, path, left), at)
        return self

    def _call(self, session: Session, path: str, left: Any) -> None:
        for _ in left:
            assert session.get(API + path).status_code == 200

    def run(self) -> list[float]:
        """Let everything happen, and return when requests were sent."""
        self.world.run()
        return [sent.time for sent in self.world.sent]

    @property
    def failures(self) -> list[StoreFailed]:
        """What was told of the store."""
        return [event for event in self.events if isinstance(event, StoreFailed)]


# Drains at a server whose limit is the declared one

FLEETS: list[tuple[Shape, Rate]] = [
    (Shape(10.0, 10), TEN),
    (Shape(100.0, 100), Rate(100, per=1.0)),
    (Shape(10.0, 10), Rate(10, per=1.0, burst=10)),
    (Shape(100.0, 20), Rate(100, per=1.0, burst=20)),
    (Shape(25.0, 2), Rate(25, per=1.0, burst=2)),
]
STORES = {"file": (0.01, 1.15), "redis": (0.002, 1.10)}
"""Seconds that a store takes for an answer, and the time over the ideal that a drain may take."""


def drained(shape: Shape, rate: Rate, delay: float, *, seconds: int, processes: int = 8) -> Figures:
    """Drain a server with a declared rate and a shared store."""
    drain = Drain(shape=shape, form="none", seconds=seconds, processes=processes, threads=8)

    def store(world: World) -> Watched:
        made = Watched(world)
        made.delay = delay
        return made

    world = draining(drain, make_store=store, limits=RateLimits(rates=[rate]), retry=PATIENT)
    world.turns.run()
    return world.figures()


@pytest.mark.slow
@pytest.mark.uncovered
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(("shape", "rate"), FLEETS, ids=str)
def test_a_fleet_drains_at_the_declared_rate(shape: Shape, rate: Rate, store: str) -> None:
    """Eight processes of eight threads need hardly longer than the ideal; nothing is refused."""
    delay, time = STORES[store]
    assert drained(shape, rate, delay, seconds=60).misses(Aim(time, 0.0)) == []


@pytest.mark.parametrize(("shape", "rate"), FLEETS[::2], ids=str)
def test_two_processes_drain_at_the_declared_rate(shape: Shape, rate: Rate) -> None:
    """The same with two processes, in 6 s."""
    found = drained(shape, rate, 0.002, seconds=6, processes=2)
    assert found.misses(Aim(1.10, 0.0)) == []


@pytest.mark.parametrize(("shape", "rate"), FLEETS[:2], ids=str)
def test_a_single_process_is_as_fast_with_a_store(shape: Shape, rate: Rate) -> None:
    """A drain of 10 s takes at most a twentieth longer than without a store."""
    drain = Drain(shape=shape, form="none", seconds=10, threads=8)
    alone = draining(drain, limits=RateLimits(rates=[rate]))
    alone.turns.run()
    shared = drained(shape, rate, 0.002, seconds=10, processes=1)
    assert shared.time <= alone.figures().time * 1.05
    assert shared.refused == 0


# What holds for all processes together


def test_no_window_sees_more_than_the_limit_of_all_processes() -> None:
    """Four processes of four threads send ten in any second, and ten in the first one."""
    times = Fleet(TEN, processes=4).let_call(15, threads=4).run()
    assert len(times) == 60
    assert most_within(times, 1.0) == 10
    assert max(times) <= 6.0


def test_a_process_asks_the_store_ten_times_a_second_at_most() -> None:
    """However many rates and calls it has."""
    fleet = Fleet(Rate(500, per=1.0), Rate(400, per=2.0), processes=2)
    fleet.let_call(300, threads=5).run()
    assert max(most_within(times, 1.0) for times in fleet.store.asked.values()) <= 10


def test_a_rate_with_a_burst_is_one_bucket_for_all() -> None:
    """Of a bucket of 4 that gains 10 a second, two processes get 4 at once, then 10 a second."""
    times = Fleet(Rate(10, per=1.0, burst=4), processes=2).let_call(12, threads=6).run()
    assert sum(time < 0.09 for time in times) == 4
    assert most_within(times, 1.0) <= 14
    assert max(times) == pytest.approx(2.0, abs=0.1)


def test_costs_count_for_all_processes() -> None:
    """Each request costs 4 of 10 units: two pass in a second, whoever sends them."""
    rate = Rate(10, per=1.0, cost=lambda _: 4)
    times = Fleet(rate, processes=2).let_call(4, threads=2).run()
    assert most_within(times, 1.0) == 2
    assert max(times) <= 3.5


def test_a_request_that_costs_nothing_waits_for_no_store() -> None:
    """It is sent at once, and the store is not asked."""
    fleet = Fleet(Rate(1, per=1.0, cost=lambda _: 0), processes=1).let_call(5)
    assert fleet.run() == [0.0] * 5
    assert fleet.store.asked == {}


def test_paths_and_callers_have_units_of_their_own() -> None:
    """A rate for /search leaves /users alone; another API key has another ten."""
    fleet = Fleet(Rate(2, per=100.0, path="/search"), processes=2)
    fleet.sessions[1].headers["X-API-Key"] = "other"
    times = fleet.let_call(2, path="/search").let_call(3, path="/users").run()
    assert times == [0.0] * 10


def test_equal_rates_with_other_costs_are_kept_apart() -> None:
    """The same numbers for points and for bytes are two limits, of which one has nothing left."""
    fleet = Fleet(processes=0)
    for rate in (Rate(2, 100.0, cost=points), Rate(2, 100.0, cost=partial(points))):
        fleet.sessions.append(fleet.session(RateLimits(rates=[rate])))
    assert fleet.let_call(2).run() == [0.0] * 4


def points(_: object) -> float:
    """Return the cost of any request."""
    return 1.0


def test_attempts_under_way_are_counted_by_each_process() -> None:
    """``concurrency=1`` in two processes: two attempts at a time."""
    assert Fleet(processes=2, concurrency=1).let_call(1).run() == [0.0, 0.0]


# Long windows


def test_a_process_that_pauses_holds_little_of_a_long_window() -> None:
    """It has sent 100 of 1000 in an hour: others get all but 3 % of the rest at once."""
    fleet = Fleet(Rate(1000, per=3600.0), processes=2)
    first, second = fleet.sessions
    fleet.sessions = [first]
    fleet.let_call(100)
    fleet.sessions = [second]
    times = fleet.let_call(870, threads=8, at=60.0).run()
    assert len(times) == 970
    assert max(times) < 3600.0


def test_a_call_fails_at_once_where_others_have_used_all() -> None:
    """The one request of an hour was sent by the other process; this call has 5 s."""
    limits = RateLimits(rates=[Rate(1, per=3600.0)])
    fleet = Fleet(processes=0)
    fleet.world.call(0, "A", "GET /", fleet.session(limits))
    fleet.world.call(1, "B", "GET /", fleet.session(limits, RetryPolicy(deadline=5.0)))
    fleet.run()
    error = fleet.world.results["B"]
    assert "the declared limit of 1 in 3600 s" in str(error)
    assert explain(error).waited <= 0.05
    assert len(fleet.world.sent) == 1


# A store that is away


def test_a_store_that_is_slow_leaves_each_process_its_own_rate() -> None:
    """Answers take 60 ms: the process waits 50 ms, says so, and asks again after 5 s."""
    fleet = Fleet(TEN, processes=1).let_call(120, threads=4)
    fleet.store.delay = 0.06
    times = fleet.run()
    asked = next(iter(fleet.store.asked.values()))
    assert min(times) == pytest.approx(0.05)
    assert most_within(times, 1.0) == 10
    assert max(times) < 12.5
    assert fleet.failures == [StoreFailed("declared rate", "reserve", "TimeoutError")] * len(asked)
    assert 2 <= len(asked) <= 3
    assert all(later - earlier >= 5.0 for earlier, later in pairwise(asked))


def test_a_store_that_fails_is_told_of_once_for_all_rates() -> None:
    """Two rates, and a store that is out of reach: one event in 5 s."""
    fleet = Fleet(TEN, Rate(100, per=60.0), processes=1).let_call(20, threads=4)
    fleet.store.fault = ConnectionError("gone")
    times = fleet.run()
    assert most_within(times, 1.0) == 10
    assert fleet.failures == [StoreFailed("declared rate", "reserve", "ConnectionError")]


@pytest.mark.parametrize("fault", [ConnectionError("gone"), SystemExit(1)], ids=repr)
def test_a_store_that_is_back_hears_what_was_sent_without_it(fault: BaseException) -> None:
    """After 5 s the process tells its last ten requests, and no window sees more than ten."""
    fleet = Fleet(TEN, processes=1).let_call(150, threads=4)
    fleet.store.fault = fault

    def come_back() -> None:
        fleet.store.fault = None

    fleet.world.turns.add("repair", 3.0, come_back)
    times = fleet.run()
    assert most_within(times, 1.0) == 10
    assert len(fleet.failures) == 1
    assert len(next(iter(fleet.store.asked.values()))) > 10
    assert max(times) <= 16.0


def test_a_store_without_reserve_is_not_asked() -> None:
    """A store of a user's own has slots and no units: each process keeps its own rate."""
    assert not SharedRates(object(), StoreOperations(), World({}).clock).is_shared


def test_an_order_is_news_until_a_thread_asks_for_it() -> None:
    """A call orders units, and no thread asks for them yet."""
    clock = World({}).clock
    shared = SharedRates(World({}).store, StoreOperations(), clock)
    order = Reservation(DeclaredQueue(DeclaredScope(API, "", TEN)), TEN, 1.0)
    news = [shared.has_news]
    shared.order(order, Waiter(clock, inf, inf, lambda *_: None), 0.0)
    news.append(shared.has_news)
    shared.pop_order(0.0)
    news.append(shared.has_news)
    assert news == [False, True, False]


def test_a_child_process_is_another_holder() -> None:
    """After a fork it holds no unit of its parent's, and asks for none that its parent ordered."""
    clock = World({}).clock
    shared = SharedRates(MemoryStore(), StoreOperations(), clock)
    shared.is_shared = True
    queue = DeclaredQueue(DeclaredScope(API, "", TEN))
    order, waiter = Reservation(queue, TEN, 1.0), Waiter(clock, inf, inf, lambda *_: None)
    assert shared.order(order, waiter, 0.0)
    _, before = shared.pop_order(0.0) or pytest.fail("nothing was ordered")
    queue.clear()
    shared.order(order, waiter, 0.0)
    shared.clear()
    queue.clear()
    assert not shared.has_news
    assert shared.pop_order(0.0) is None
    assert queue.supply == RateSupply()
    shared.order(order, waiter, 0.0)
    _, after = shared.pop_order(0.0) or pytest.fail("nothing was ordered")
    assert after.holder != before.holder


# What people see


def test_limits_show_a_rate_that_others_have_used_up() -> None:
    """The list names it with the time that the store said; to forget it asks the store again."""
    limits = RateLimits(rates=[Rate(1, per=100.0)])
    fleet = Fleet(processes=0)
    world, session = fleet.world, fleet.world.session()
    mounted = mount(session, fleet.settings(limits))
    seen: list[str] = []

    def look() -> None:
        seen.append(str(mounted.limits))
        asked = sum(map(len, fleet.store.asked.values()))
        mounted.limits.forget()
        world.clock.sleep(0.0)
        seen.append(str(sum(map(len, fleet.store.asked.values())) - asked))

    world.call(0, "A", "GET /", fleet.session(limits))
    world.call(1, "B", "GET /", session)
    world.turns.add("look", 50.5, look)
    world.run()
    line, asked = seen
    assert line.startswith(f"{API}: the declared limit of 1 in 100 s is used up for 49")
    assert asked == "1"


# How often


def test_operations_begin_again_a_second_later() -> None:
    """Seven asks for units from 1.0 s on: the eighth may begin a second after the first one."""
    operations = StoreOperations()
    for number in range(MOST["reserve"]):
        assert operations.opens_at("reserve", 1.0 + number / 10) == 1.0 + number / 10
        assert operations.begin("reserve", 1.0 + number / 10)
    assert operations.opens_at("reserve", 1.7) == 2.0
    assert not operations.begin("reserve", 1.9)
    assert operations.begin("reserve", 2.0)


def test_operations_of_all_kinds_count_together() -> None:
    """Nine pushes leave nothing for units until the first of them is a second ago."""
    operations = StoreOperations()
    for number in range(9):
        assert operations.begin("push", number / 10)
    assert operations.opens_at("reserve", 0.9) == 1.0
