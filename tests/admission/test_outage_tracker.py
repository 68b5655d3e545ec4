"""Outages and the retry quota: when retries probe, wait for the return, and what they cost."""

from __future__ import annotations

from concurrent.futures import wait
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    Backoff,
    GaveUp,
    Jitter,
    MemoryStore,
    Reason,
    RetryPolicy,
    RetryQuota,
    RetryScheduled,
    attempts,
    explain,
)
from requests_authretry._core.outage import DOWN, SPACING
from requests_authretry.testing import FakeClock
from tests.support.limits import ONCE, crowd, hint, target
from tests.support.scenario import Answer, World, timeline
from tests.support.sessions import API, Rig

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_authretry._events import Event
    from requests_authretry.testing import Line
    from tests.support.scenario import Request

OTHER = "https://other.example.com"
LOST = requests.ReadTimeout()
EVEN = Backoff(initial=1.0, multiplier=1.0, jitter=Jitter.NONE)


def tries(number: int, **others: Any) -> RetryPolicy:
    """Make a policy that waits a second between attempts."""
    return RetryPolicy(max_attempts=number, backoff=EVEN, **others)


class Down:
    """Two sessions that share the state of an origin; the other one fails there, without retries.

    Attributes:
        rig: The session whose retries are observed.
        other: A session that never retries.
    """

    def __init__(self, *script: Line, failures: int = DOWN, **settings: Any) -> None:
        clock: Any = FakeClock()
        shared: dict[str, Any] = {"clock": clock, "store": MemoryStore(clock)}
        self.rig = Rig(*script, **{**shared, **settings})
        self.other = Rig(*[503] * 200, retry=ONCE, **shared)
        self.clock = clock
        self.fail(failures)

    def fail(self, times: int = 1) -> None:
        """Make first attempts fail."""
        for _ in range(times):
            self.other.get()

    def while_waiting(self, *acts: Callable[[], object]) -> None:
        """Run one of these functions in each wait, a moment before its end."""
        pending, sleep = list(acts), self.clock.sleep

        def act(seconds: float, wake: Any = None) -> None:
            sleep(seconds, wake)
            if pending:
                self.clock.advance(-0.01)
                pending.pop(0)()
                self.clock.advance(0.01)

        self.clock.sleep = act


def test_below_sixteen_failures_each_goes_by_its_own_backoff() -> None:
    """Fifteen failures in a row are not an outage, so that no retry is held."""
    down = Down(503, 503, 200, failures=DOWN - 5, retry=tries(3))
    down.while_waiting(down.fail, down.fail)
    assert down.rig.get().status_code == 200
    assert down.clock.sleeps == [1.0, 1.0]


@pytest.mark.parametrize("probes", [1, 9])
def test_a_held_retry_uses_up_no_attempt(probes: int) -> None:
    """While the first attempts of other calls fail, a call of two attempts keeps its second one."""
    down = Down(503, 200, retry=tries(2))
    down.while_waiting(*[down.fail] * probes)
    assert down.rig.get().status_code == 200
    assert len(down.rig.inner.sent) == 2
    # It asks again half a second after each of them, and then nobody has sent anything.
    assert sum(down.clock.sleeps) == pytest.approx(1.0 + probes * SPACING, abs=0.1)


@pytest.mark.parametrize("line", [(503, {}, b"down"), LOST])
def test_a_call_that_is_held_until_its_deadline_ends_with_outage(line: Any) -> None:
    """A call that is held for all its time ends with its own answer, which it got once."""
    down = Down(line, retry=tries(3, deadline=5.0))
    down.while_waiting(*[down.fail] * 20)
    if line is LOST:
        with pytest.raises(requests.ReadTimeout) as caught:
            down.rig.get()
        result: Any = caught.value
    else:
        result = down.rig.get()
        assert result.status_code == 503
    assert len(down.rig.inner.sent) == 1
    [end] = down.rig.told(GaveUp)
    assert (end.reason, end.attempts) == (Reason.OUTAGE, 1)
    [attempt] = attempts(result)
    assert attempt.reason is Reason.OUTAGE
    assert attempt.delay == pytest.approx(4.9)
    assert Reason.OUTAGE.value in str(explain(result))


def test_a_held_retry_costs_nothing_and_a_probe_costs_what_a_retry_does() -> None:
    """A call pays 14 units when it probes, and nothing while it is held."""
    down = Down(503, 503, retry=tries(2), quota=RetryQuota(capacity=20))
    levels: list[int] = []

    def fail_and_look() -> None:
        down.fail()
        levels.append(level(down.rig))

    down.while_waiting(*[fail_and_look] * 3)
    down.rig.get()
    assert (levels, level(down.rig)) == ([20, 20, 20], 6)


def test_a_held_retry_whose_probe_cannot_be_paid_ends() -> None:
    """If other calls have used up the quota, the retry that is to probe is not sent."""
    down = Down(503, retry=tries(2), quota=RetryQuota(capacity=14))
    down.while_waiting(lambda: down.rig.adapter._shared.quotas.pay(API, 14))  # noqa: SLF001
    assert down.rig.get().status_code == 503
    assert [event.reason for event in down.rig.told(GaveUp)] == [Reason.QUOTA_EXHAUSTED]


def test_a_call_without_quota_is_not_held() -> None:
    """In an outage, a call whose retry the quota cannot pay fails at once."""
    down = Down(503, quota=RetryQuota(capacity=13))
    assert down.rig.get().status_code == 503
    assert [event.reason for event in down.rig.told(GaveUp)] == [Reason.QUOTA_EXHAUSTED]
    assert down.clock.sleeps == []


def test_a_retry_that_the_end_of_an_outage_releases_costs_nothing() -> None:
    """A call that waits when another one succeeds goes on, although the quota is used up."""
    down = Down(503, 200, 200, retry=tries(2), quota=RetryQuota(capacity=14))

    def spend_and_succeed() -> None:
        down.rig.get()
        down.rig.adapter._shared.quotas.pay(API, 14)  # noqa: SLF001 (by others)

    down.while_waiting(spend_and_succeed)
    assert down.rig.get().status_code == 200
    assert len(down.rig.inner.sent) == 3


def fails_until(end: float) -> Callable[[Request], int]:
    """Return a server that answers 503 until a time."""
    return lambda request: 503 if request.time < end else 200


def fail_before(world: World) -> None:
    """Let an outage begin; calls with the same store and clock share what is known of it."""
    failing = world.session(world.settings(retry=ONCE, store=world.store))
    world.caller("before", lambda: [failing.get(API) for _ in range(DOWN)])


def test_a_call_alone_probes_at_growing_intervals() -> None:
    """The probes of a call in a process with one thread come 0.5, 1, 2, 4, 8 and 8 s apart."""
    world = World(fails_until(inf))
    fail_before(world)
    retry = RetryPolicy(max_attempts=7)
    world.call(0.0, "A", "GET /", world.session(world.settings(retry=retry, store=world.store)))
    world.run()
    times = [sent.time for sent in world.sent if sent.caller == "A"]
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == pytest.approx([0.5, 1, 2, 4, 8, 8])


def test_the_last_probe_comes_before_the_deadline() -> None:
    """A call of 10 s whose next probe is due after 15.5 s probes 0.1 s before its deadline."""
    world = World(fails_until(9.5))
    fail_before(world)
    retry = RetryPolicy(max_attempts=9, deadline=10.0)
    world.call(0.0, "A", "GET /", world.session(world.settings(retry=retry, store=world.store)))
    world.run()
    times = [sent.time for sent in world.sent if sent.caller == "A"]
    assert times == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 9.9])
    assert world.sent[-1].status == 200


@pytest.mark.parametrize("returns", [20.0, 55.0])
@pytest.mark.parametrize("threads", [4, 40])
def test_a_call_that_outlasts_the_outage_succeeds(threads: int, returns: float) -> None:
    """A call fails only if it has used up its attempts or the quota, when the server is back."""
    world = World(fails_until(returns), takes=0.01)
    seen: list[Event] = []
    session = world.session(world.settings(listeners=[seen.append]))

    def work() -> None:
        while world.clock.monotonic() < returns + 20:
            session.get(API)
            world.clock.sleep(1.0)

    for number in range(threads):
        world.caller(f"{number}", work, at=number / threads)
    world.run()
    ends = {event.reason for event in seen if isinstance(event, GaveUp)}
    assert ends <= {Reason.QUOTA_EXHAUSTED, Reason.ATTEMPTS_EXHAUSTED}
    assert all(sent.status == 200 for sent in world.sent if sent.time >= returns)


@pytest.mark.parametrize("threads", [1, 4, 100])
def test_a_process_sends_at_most_35_retries_until_something_succeeds(threads: int) -> None:
    """However many threads call for however long, an origin gets 500 / 14 retries in an outage."""
    world = World(fails_until(inf), takes=0.01)
    session = world.session()
    made: list[int] = []

    def work() -> None:
        while world.clock.monotonic() < 60:
            made.append(1)
            session.get(f"{API}/{'ab'[len(made) % 2]}")
            world.clock.sleep(1.0)

    for number in range(threads):
        world.caller(f"{number}", work, at=number / threads)
    world.run()
    assert len(world.sent) - len(made) == 35


def test_a_first_attempt_is_a_probe_as_soon_as_it_begins() -> None:
    """No retry is sent while a first attempt begins each 0.4 s, although its answer takes 0.3 s."""
    world = World(fails_until(inf), takes=0.3)
    others = world.session(world.settings(retry=ONCE, store=world.store))

    def call_often() -> None:
        for _ in range(50):
            others.get(API)
            world.clock.sleep(0.1)

    world.caller("others", call_often)
    retry = RetryPolicy(deadline=5.0)
    world.call(10.0, "A", "GET /", world.session(world.settings(store=world.store, retry=retry)))
    world.run()
    assert [sent.time for sent in world.sent if sent.caller == "A"] == [10.0]


def test_after_the_return_a_held_call_is_sent_before_its_deadline() -> None:
    """If the deadline of a held call comes before its release, its retry is sent all the same."""

    def answer(request: Request) -> Answer:
        takes = 5.0 if request.caller == "older" else 0.0
        return Answer(200, takes=takes) if request.time > 9.7 else Answer(503)

    world = World(answer)
    others = world.session(world.settings(retry=ONCE, store=world.store))

    def call_often() -> None:
        for _ in range(50):  # the last of these calls succeeds, and releases one retry
            others.get(API)
            world.clock.sleep(0.2)

    world.caller("others", call_often)
    retry = RetryPolicy(deadline=5.0)
    world.call(4.5, "older", "GET /", world.session(world.settings(store=world.store)))
    world.call(4.9, "A", "GET /", world.session(world.settings(store=world.store, retry=retry)))
    assert world.run()[-2:] == timeline("""
        9.8  older  GET / -> 200 after 5 s
        9.8  A      GET / -> 200
    """)


def test_while_others_send_first_attempts_no_retry_is_sent() -> None:
    """Of a call that is held while others call 5 times a second, one attempt is sent until then."""
    world = World(fails_until(30.1))
    others = world.session(world.settings(retry=ONCE, store=world.store))

    def call_often() -> None:
        for _ in range(200):
            others.get(API)
            world.clock.sleep(0.2)

    world.caller("others", call_often)
    world.call(10.1, "A", "GET /", world.session(world.settings(store=world.store)))
    assert world.run() == timeline("""
        10.1    A  GET / -> 503
        10.1    A  waits 0.025 s: backoff
        10.125  A  waits 20.075 s: outage
        30.2    A  GET / -> 200
    """)


def test_first_attempts_are_never_held_back() -> None:
    """The first attempt of a call is sent at once, however long nothing has succeeded."""
    down = Down(200, failures=99)
    assert down.rig.get().status_code == 200
    assert down.clock.sleeps == []


@pytest.mark.parametrize("seconds", [3, 30])
def test_retry_after_is_kept_in_an_outage(seconds: float) -> None:
    """A retry with a `retry_after` is sent at that time, whatever failures other calls have."""
    down = Down((500, {"Retry-After": str(seconds)}), 200)
    down.while_waiting(down.fail)
    assert down.rig.get().status_code == 200
    assert down.clock.sleeps == [float(seconds)]


def test_an_outage_is_of_one_origin() -> None:
    """While one origin is down, retries to another origin wait for their own backoff alone."""
    down = Down(503, 503, 200, failures=99, retry=tries(3))
    down.while_waiting(down.fail, down.fail)
    assert down.rig.get(OTHER).status_code == 200
    assert down.clock.sleeps == [1.0, 1.0]


def test_an_answer_that_is_no_fault_ends_an_outage() -> None:
    """A 404 comes from a server that works, so that a later failure holds no retry."""
    down = Down(404, 503, 200, retry=tries(2))
    assert down.rig.get().status_code == 404
    down.while_waiting(down.fail)
    assert down.rig.get().status_code == 200


def test_one_retry_at_a_time_probes() -> None:
    """A single one of ten waiting calls probes; while it has no answer, another probes later."""
    with crowd(*[503] * 40, retry=tries(2)) as rig:
        for _ in range(DOWN):
            rig.session.post(f"{API}/99")
        calls = [rig.begin_asleep(f"/{number}") for number in range(10)]
        for number in range(10):
            rig.flight.hold(f"/{number}")
        for expected in (1, 2):
            rig.clock.advance(1.0)
            for _ in range(10 - expected):
                rig.fell_asleep()
            assert rig.flight.hung.acquire(timeout=120)
            assert rig.flight.hanging == expected
        for number in range(10):
            rig.flight.let_go(f"/{number}")
        while wait(calls, 0.02).not_done:
            rig.clock.advance(SPACING)
        assert [call.result().status_code for call in calls] == [503] * 10


def test_the_first_success_lets_go_of_those_that_wait() -> None:
    """A call that finds the server back releases one waiting retry early; others follow."""
    with crowd(*[503] * (DOWN + 3), *[200] * 10, retry=tries(2)) as rig:
        for _ in range(DOWN):
            rig.session.post(f"{API}/99")
        calls = [rig.begin_asleep(f"/{number}") for number in range(3)]
        for finished in (1, 1, 2, 2, 3):
            rig.clock._passed += 0.001  # noqa: SLF001 (nobody's wait ends by that)
            assert rig.get("/77").status_code == 200
            for call in calls[:finished]:
                assert call.result(120).status_code == 200
        assert rig.clock.monotonic() < SPACING


def level(rig: Rig) -> int:
    """Return the units left in the retry quota of the API."""
    return rig.adapter._shared.quotas.level(API)  # noqa: SLF001 (told nowhere)


def test_a_retry_is_paid_when_it_leaves() -> None:
    """A retry costs nothing while it waits, and is paid when it is sent."""
    levels: list[int] = []
    rig = Rig(503, 503, retry=tries(2), quota=RetryQuota(capacity=20))
    sleep = rig.clock.sleep

    def look(seconds: float, wake: Any = None) -> None:
        levels.append(level(rig))
        sleep(seconds, wake)

    rig.clock.sleep = look  # type: ignore[method-assign]
    rig.get()
    assert (levels, level(rig)) == ([20], 6)


def test_a_retry_that_the_quota_cannot_pay_is_not_announced() -> None:
    """A 503 with an exhausted quota ends the call at once, with the reason."""
    rig = Rig(503, quota=RetryQuota(capacity=0), retry=RetryPolicy(backoff=EVEN))
    [attempt] = attempts(rig.get())
    assert attempt.reason is Reason.QUOTA_EXHAUSTED
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.QUOTA_EXHAUSTED]
    assert (rig.told(RetryScheduled), rig.waits) == ([], [])


def test_a_429_is_no_outage() -> None:
    """A 429 is the answer of a server that works, however often it comes."""
    rig = Rig(*[429] * 20, 503, 200, retry=ONCE)
    for _ in range(20):
        rig.get()
    assert not rig.adapter._shared.limiter.outages.is_down(target(API).endpoint)  # noqa: SLF001
    assert rig.adapter._shared.limiter.outages.troubled is False  # noqa: SLF001


def test_the_wait_of_a_cool_down_is_in_the_record() -> None:
    """The record says how long an attempt waited, and the wait that the server asked for."""
    rig = Rig(hint(7), 200)
    response = rig.get()
    first, second = attempts(response)
    assert (first.delay, first.retry_after, second.started) == (7.0, 7.0, 7.0)
    assert [(wait.reason, wait.seconds, wait.retry_after) for wait in second.waits] == [
        (Reason.RETRY_AFTER, 7.0, 7.0)
    ]
    assert "waited 7 s: retry_after, as the server asked" in str(explain(response))
