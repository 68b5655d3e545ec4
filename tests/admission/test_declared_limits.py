"""Declared limits: they hold from the first request on, for each origin, caller and path."""

from __future__ import annotations

import os
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.auth import AuthBase

from requests_authretry import (
    AttemptEnded,
    AuthRetryError,
    ConfigurationError,
    MemoryStore,
    Rate,
    RateLimits,
    Reason,
    RetryPolicy,
    Settings,
    explain,
    mount,
    override,
)
from requests_authretry._admission import declared_limits
from requests_authretry._admission.declared_limits import DeclaredLimits, Demand
from requests_authretry._admission.outage_tracker import OutageTracker
from requests_authretry._admission.shared_rates import SharedRates
from requests_authretry._admission.store_operations import StoreOperations
from requests_authretry._admission.waiting import Waiter
from requests_authretry._core.outage import DOWN
from requests_authretry._core.target import Target
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.call.test_lifecycle import Child
from tests.support.limits import ONCE, crowd
from tests.support.scenario import Answer, World, refused, timeline
from tests.support.sessions import API, AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest, Session

OTHER = "https://other.example.com"
ALONE = SharedRates(None, StoreOperations(), FakeClock())
HASTY = RetryPolicy(deadline=5.0)
PATIENT = RetryPolicy(deadline=300.0)


class Prioritized:
    """Makes the calls of a session with a priority."""

    def __init__(self, session: Session, priority: int) -> None:
        self.session, self.priority = session, priority

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Make one call."""
        with override(priority=self.priority):
            return self.session.request(*args, **options)


def limited(world: World, *rates: Rate, concurrency: int | None = None, **fields: Any) -> Settings:
    """Return settings with declared limits."""
    limits = RateLimits(rates=rates, concurrency=concurrency)
    return world.settings(limits=limits, **fields)


def times(world: World) -> list[float]:
    """Return when requests were sent."""
    return [round(sent.time, 3) for sent in world.sent]


def order(world: World) -> list[str]:
    """Return which calls sent, in order."""
    return [sent.caller for sent in world.sent]


def test_a_rate_holds_from_the_first_request_on() -> None:
    """Of five calls at once, two are sent in each second, and the server refuses none."""
    world = World({})
    session = world.session(limited(world, Rate(2, per=1.0)))
    for name in "ABCDE":
        world.call(0, name, "GET /", session)
    assert world.run() == timeline("""
        0 A GET / -> 200
        0 B GET / -> 200
        0 C waits 1 s: pacing
        0 D waits 1 s: pacing
        0 E waits 2 s: pacing
        1 C GET / -> 200
        1 D GET / -> 200
        2 E GET / -> 200
    """)


def test_a_rate_with_a_burst_is_spread_evenly() -> None:
    """With a burst of 2, the third and fourth call are sent half a second after one another."""
    world = World({})
    session = world.session(limited(world, Rate(2, per=1.0, burst=2)))
    for name in "ABCD":
        world.call(0, name, "GET /", session)
    world.run()
    assert times(world) == [0.0, 0.0, 0.5, 1.0]


def test_two_rates_hold_together() -> None:
    """Two in a second and three in ten: the fourth call waits for the second rate."""
    world = World({})
    session = world.session(limited(world, Rate(2, per=1.0), Rate(3, per=10.0)))
    for name in "ABCDEF":
        world.call(0, name, "GET /", session)
    world.run()
    assert times(world) == [0.0, 0.0, 1.0, 10.0, 10.0, 11.0]


def test_a_call_that_waits_for_one_rate_uses_up_no_other() -> None:
    """The calls that wait for the rate of /search leave all of the other rate to /users."""
    world = World({})
    session = world.session(limited(world, Rate(3, per=10.0), Rate(1, per=4.0, path="/search")))
    for at, name in enumerate("ABC"):
        world.call(at / 10, name, "GET /search", session)
    for name in "DE":
        world.call(1, name, "GET /users", session)
    world.run()
    sent = [(round(each.time, 3), each.name) for each in world.sent]
    assert sent == [
        (0.0, "GET /search"),
        (1.0, "GET /users"),
        (1.0, "GET /users"),
        (10.0, "GET /search"),
        (14.0, "GET /search"),
    ]


def test_a_path_covers_what_is_below_it() -> None:
    """A rate for /search covers /search/7?q=1 with any method, and not /searches."""
    world = World({})
    session = world.session(limited(world, Rate(1, per=1.0, path="/search")))
    paths = ("GET /search", "POST /search/7?q=1", "GET /searches", "GET /users")
    for name, path in zip("ABCD", paths, strict=True):
        method, _, rest = path.partition(" ")
        world.caller(name, partial(session.request, method, API + rest))
    world.run()
    assert [(each.caller, each.time) for each in world.sent] == [
        *((name, 0.0) for name in "ACD"),
        ("B", 1.0),
    ]


def units_of(request: PreparedRequest) -> float:
    """Return the header field with the cost of a request."""
    return float(request.headers["X-Units"])


@pytest.mark.parametrize("burst", [None, 10])
def test_a_request_costs_what_the_function_says(burst: int | None) -> None:
    """Of 10 units in a second, requests of 6 and 4 units go at once, one of 5 later, 0 at once."""
    world = World({})
    session = world.session(limited(world, Rate(10, per=1.0, burst=burst, cost=units_of)))
    for name, units in (("A", "6"), ("B", "4"), ("C", "5"), ("D", "0")):
        world.call(0, name, "GET /", session, headers={"X-Units": units})
    world.run()
    later = 1.0 if burst is None else 0.5
    assert [(each.caller, round(each.time, 3)) for each in world.sent] == [
        *((name, 0.0) for name in "ABD"),
        ("C", later),
    ]


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("burst", [None, 100])
def test_cheap_calls_behind_an_expensive_one_sleep_until_it_is_sent(
    burst: int | None, *, is_shared: bool
) -> None:
    """One unit is sent, then one call of 100 units and 20 of one unit wait for a minute.

    They sleep until then, and do not look again every 50 ms.
    """
    world = World({})
    rate = Rate(100, per=60.0, burst=burst, cost=units_of)
    store = world.store if is_shared else None
    session = world.session(limited(world, rate, retry=PATIENT, store=store))
    for number, units in enumerate(["1", "100", *["1"] * 20]):
        world.call(number / 100, f"{number}", "GET /", session, headers={"X-Units": units})
    world.run()
    assert order(world) == [f"{number}" for number in range(22)]
    assert world.turns.steps < 500


def test_a_cost_is_asked_once_for_each_request_and_hop() -> None:
    """Three attempts and a redirect are two requests."""
    asked: list[str | None] = []

    def cost(request: PreparedRequest) -> float:
        asked.append(request.url)
        return 1.0

    rates = [Rate(10, per=1.0, cost=cost)]
    session = requests.Session()
    moved = (302, {"Location": f"{API}/b"})
    session.mount("https://", ScriptedAdapter(503, 503, moved, 200))
    mount(session, Settings(clock=FakeClock(), limits=RateLimits(rates=rates)))
    assert session.get(f"{API}/a").status_code == 200
    assert asked == [f"{API}/a", f"{API}/b"]


def single(*script: Any, **limits: Any) -> tuple[Session, ScriptedAdapter]:
    """Return a session with declared limits, for one thread, and what answers it."""
    session, inner = requests.Session(), ScriptedAdapter(*script)
    session.mount("https://", inner)
    mount(session, Settings(clock=FakeClock(), retry=ONCE, limits=RateLimits(**limits)))
    return session, inner


def cost_of(value: object) -> Callable[[Any], Any]:
    """Return a cost function that returns a value, or raises it."""

    def cost(request: PreparedRequest) -> object:
        if request.url != f"{API}/odd":
            return 1
        if isinstance(value, Exception):
            raise value
        return value

    return cost


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (-1, "Rate: cost must return a finite number of zero or more, and returned -1"),
        (float("nan"), "returned nan"),
        (True, "returned True"),
        ("secret", "returned str"),
        (None, "returned NoneType"),
    ],
)
def test_what_is_no_cost_ends_the_call(value: object, told: str) -> None:
    """The error says what the function returned, and other calls go on."""
    session, inner = single(200, rates=[Rate(1, per=1.0, cost=cost_of(value))])
    with pytest.raises(ConfigurationError, match=told):
        session.get(f"{API}/odd")
    assert session.get(f"{API}/").status_code == 200
    assert len(inner.sent) == 1


def test_an_exception_of_a_cost_function_ends_its_call_alone() -> None:
    """The caller gets it as it is, and the next call is sent."""
    rate = Rate(1, per=1.0, cost=cost_of(ZeroDivisionError("mine")))
    session, inner = single(200, rates=[rate], concurrency=1)
    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        session.get(f"{API}/odd")
    notes = ["raised by the cost function of the declared limit of 1 in 1 s"]
    assert getattr(caught.value, "__notes__", notes) == notes
    assert session.get(f"{API}/").status_code == 200
    assert len(inner.sent) == 1


@pytest.mark.parametrize(
    ("rate", "way"),
    [
        (Rate(10, per=60.0, cost=cost_of(11)), "10 in 60 s never .* 10 .*: .* a higher limit"),
        (Rate(10, 60.0, burst=5, cost=cost_of(6)), "never lets more than 5 .* a higher burst"),
    ],
)
def test_a_request_that_no_rate_lets_through_fails_at_once(rate: Rate, way: str) -> None:
    """It costs more than may ever be sent at once: the error says what to do about it."""
    session, inner = single(200, rates=[rate])
    with pytest.raises(AuthRetryError, match=way) as caught:
        session.get(f"{API}/odd")
    assert explain(caught.value).waited == 0
    assert caught.value.request is not None
    assert f"not sent: GET {API}/odd costs " in str(caught.value)
    assert not inner.sent


def test_a_wait_beyond_the_deadline_ends_the_call_at_once() -> None:
    """An hour's worth is used up, and a call has five seconds: it is not sent, and says why."""
    session, inner = single(200, rates=[Rate(1, per=3600.0)])
    session.get(API)
    with override(retry=HASTY), pytest.raises(AuthRetryError) as caught:
        session.get(API)
    assert str(caught.value) == (
        f"not sent: the declared limit of 1 in 3600 s at {API} (free in 3600 s) lets too few "
        "requests pass, and this call has 5 s left of its deadline of 5 s; "
        "RetryPolicy(deadline=...) lets it take longer. The `limits` of what `mount` returned show "
        "what is closed"
    )
    assert len(inner.sent) == 1


def test_a_retry_beyond_the_deadline_hands_out_its_answer() -> None:
    """The one request of an hour was answered with 503: the caller gets this answer."""
    world = World({"/": [503]})
    session = world.session(limited(world, Rate(1, per=3600.0)))
    world.call(0, "A", "GET /", session)
    assert world.run()[-1].endswith("A ends with 503: no attempt fits before the deadline")


def test_retries_count_like_other_requests() -> None:
    """A refused call waits for its `Retry-After`, and then for the rate."""
    world = World({"/": [refused(1), 200]})
    session = world.session(limited(world, Rate(1, per=3.0)))
    world.call(0, "A", "GET /", session)
    assert world.run() == timeline("""
        0 A GET / -> 429
        0 A waits 1 s: retry_after
        1 A waits 2 s: pacing
        3 A GET / -> 200
    """)


def test_a_learned_limit_holds_in_addition() -> None:
    """A cool-down of 5 s is longer than the wait for the rate: others wait for it."""
    named = Answer(429, {"Retry-After": "5", "RateLimit": '"all";r=0;t=5'})
    world = World({"/": [named, 200]})
    session = world.session(limited(world, Rate(1, per=1.0), retry=ONCE))
    world.call(0, "A", "GET /", session)
    world.call(1, "B", "GET /", session)
    world.call(1, "C", "GET /", session)
    world.run()
    first, second, third = times(world)
    assert (first, second) == (0.0, 5.0)
    assert third >= 6.0


def test_callers_with_other_credentials_have_limits_of_their_own() -> None:
    """One tenant's two calls leave the other tenant's call alone."""
    world = World({})
    session = world.session(limited(world, Rate(1, per=1.0)))
    for name, key in (("A", "one"), ("B", "one"), ("C", "two")):
        world.call(0, name, "GET /", session, headers={"X-API-Key": key})
    world.run()
    assert order(world) == ["A", "C", "B"]
    assert times(world) == [0.0, 0.0, 1.0]


def test_each_site_has_its_own_limits() -> None:
    """The site allows one request in four seconds, all other origins two in one."""
    world = World({})
    site = limited(world, Rate(1, per=4.0), origins=[OTHER])
    session = world.session(limited(world, Rate(2, per=1.0), sites=[site]))
    for name in "ABC":
        world.call(0, name, "GET /", session)
        world.call(0, f"{name}'", f"GET {OTHER}/", session)
    world.run()
    sent = [(each.time, each.caller) for each in world.sent]
    assert [time for time, caller in sent if len(caller) == 1] == [0.0, 0.0, 1.0]
    assert [time for time, caller in sent if len(caller) == 2] == [0.0, 4.0, 8.0]


def test_an_override_of_something_else_keeps_what_was_used() -> None:
    """Another timeout makes no new rate."""
    clock, session = FakeClock(), requests.Session()
    session.mount("https://", ScriptedAdapter(200, 200))
    mount(session, Settings(clock=clock, limits=RateLimits(rates=[Rate(1, per=1.0)])))
    session.get(API)
    with override(timeout=3):
        session.get(API)
    assert clock.sleeps == [1.0]


def test_an_override_may_lift_them_or_declare_others() -> None:
    """Without rates nothing is held back, and a rate of the block has counted nothing yet."""
    clock, session = FakeClock(), requests.Session()
    session.mount("https://", ScriptedAdapter(*[200] * 4))
    mount(session, Settings(clock=clock, limits=RateLimits(rates=[Rate(1, per=9.0)])))
    session.get(API)
    with override(limits=RateLimits()):
        session.get(API)
    with override(limits=RateLimits(rates=[Rate(1, per=4.0)])):
        session.get(API)
        assert clock.sleeps == []
        session.get(API)
    assert clock.sleeps == [4.0]


def test_settings_with_one_store_share_a_rate() -> None:
    """Two settings objects of a process declare the same rate at the same store."""
    world = World({})
    settings = limited(world, Rate(1, per=1.0), store=MemoryStore())
    for name, each in (("A", settings), ("B", replace(settings, timeout=3))):
        world.call(0, name, "GET /", world.session(each))
    world.run()
    assert times(world) == [0.0, 1.0]


def test_no_more_attempts_are_under_way_than_declared() -> None:
    """Of five calls that take a second each, two are under way at a time."""
    world = World({}, takes=1.0)
    session = world.session(limited(world, concurrency=2))
    for name in "ABCDE":
        world.call(0, name, "GET /", session)
    assert world.run() == timeline("""
        0 A GET / -> 200 after 1 s
        0 B GET / -> 200 after 1 s
        0 C waits 1 s: pacing
        0 D waits 1 s: pacing
        0 E waits 2 s: pacing
        1 C GET / -> 200 after 1 s
        1 D GET / -> 200 after 1 s
        2 E GET / -> 200 after 1 s
    """)


def test_a_call_that_waits_is_sent_when_an_attempt_ends() -> None:
    """The attempt ends after 0.3 s, and not when the waiting call would look again."""
    world = World({"/slow": [Answer(takes=0.3)]})
    session = world.session(limited(world, concurrency=1))
    world.call(0, "A", "GET /slow", session)
    world.call(0.1, "B", "GET /", session)
    world.run()
    assert times(world) == [0.0, 0.3]


def test_a_backoff_is_no_attempt_under_way() -> None:
    """While a refused call waits for its `Retry-After`, another one is sent."""
    world = World({"/a": [refused(5), 200]}, takes=0.5)
    session = world.session(limited(world, concurrency=1))
    world.call(0, "A", "GET /a", session)
    world.call(0, "B", "GET /b", session)
    world.run()
    assert [(each.caller, each.time) for each in world.sent] == [
        ("A", 0.0),
        ("B", 0.5),
        ("A", 5.5),
    ]


def test_a_call_waits_for_others_until_its_deadline() -> None:
    """The attempt under way takes longer than the call has: it ends 0.1 s before its deadline."""
    world = World({"/slow": [Answer(takes=60.0)]})
    session = world.session(limited(world, concurrency=1, retry=HASTY))
    world.call(0, "A", "GET /slow", session)
    world.call(1, "B", "GET /", session)
    assert world.run()[:3] == timeline("""
        0 A GET /slow -> 200 after 60 s
        1 B waits 4.9 s: pacing
        5.9 B is not sent
    """)
    assert "the declared limit of 1 attempt at a time" in str(world.results["B"])


class Failing(ScriptedAdapter):
    """Raises what the script says, in place of an answer."""

    def __init__(self, *script: BaseException | int) -> None:
        super().__init__()
        self.lines = iter(script)

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Answer, or raise."""
        line = next(self.lines)
        if isinstance(line, BaseException):
            raise line
        self._script.append(line)
        return super().send(request, *args, **options)


@pytest.mark.parametrize(
    "error", [requests.ReadTimeout(), ValueError(), KeyboardInterrupt(), SystemExit()], ids=repr
)
def test_an_attempt_that_ends_in_an_exception_is_over(error: BaseException) -> None:
    """Whatever the inner adapter raises, the next call is sent without a wait."""
    clock, session = FakeClock(), requests.Session()
    session.mount("https://", Failing(error, 200))
    settings = Settings(clock=clock, retry=ONCE, limits=RateLimits(concurrency=1))
    mount(session, settings)
    with pytest.raises(type(error)):
        session.get(API)
    assert session.get(API).status_code == 200
    assert clock.sleeps == []


def test_a_listener_may_make_calls_of_its_own() -> None:
    """When a listener hears of a failed attempt, this attempt is no longer under way."""
    clock, session, statuses = FakeClock(), requests.Session(), list[int]()
    session.mount("https://", ScriptedAdapter(503, 503, 200, 200))

    def call(event: object) -> None:
        if isinstance(event, AttemptEnded) and not statuses:
            statuses.append(0)
            statuses.append(session.get(API).status_code)

    retry = RetryPolicy(max_attempts=2, backoff=AT_ONCE)
    limits = RateLimits(concurrency=1)
    mount(session, Settings(clock=clock, limits=limits, retry=retry, listeners=[call]))
    session.get(API)
    assert statuses == [0, 200]
    assert sum(clock.sleeps) < 0.01


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_has_none_of_its_parents_attempts_under_way() -> None:
    """One attempt is under way at the fork, and a call waits: the child's call is sent."""
    with crowd(200, 200, limits=RateLimits(concurrency=1)) as rig:
        first = rig.begin_held("/slow")
        second = rig.begin_asleep("/second")
        child = Child(lambda: f"{rig.get().status_code} {rig.clock.sleeps}")
        slept = list(rig.clock.sleeps)
        assert child.answer() == f"200 {slept}"
        rig.flight.let_go("/slow")
        assert [call.result(120).status_code for call in (first, second)] == [200, 200]


def test_a_stream_that_the_caller_reads_is_no_attempt_under_way() -> None:
    """With ``stream=True`` the attempt ends when the headers are there."""
    session, _ = single((200, {}, b"x" * 9), 200, concurrency=1)
    with session.get(API, stream=True) as response:
        assert session.get(API).status_code == 200
        assert response.content == b"x" * 9


def test_the_attempts_of_callers_and_origins_are_counted_apart() -> None:
    """One attempt at a time: another credential and another origin have one of their own."""
    world = World({}, takes=1.0)
    session = world.session(limited(world, concurrency=1))
    world.call(0, "A", "GET /", session)
    world.call(0, "B", "GET /", session, headers={"X-API-Key": "two"})
    world.call(0, "C", f"GET {OTHER}/", session)
    world.call(0, "D", "GET /", session)
    world.run()
    assert times(world) == [0.0, 0.0, 0.0, 1.0]


def test_a_rate_and_a_number_of_attempts_hold_together() -> None:
    """Three in a second, one at a time and 0.4 s each: the third begins at 0.8 s."""
    world = World({}, takes=0.4)
    session = world.session(limited(world, Rate(3, per=2.0), concurrency=1))
    for name in "ABCDE":
        world.call(0, name, "GET /", session)
    world.run()
    assert times(world) == [0.0, 0.4, 0.8, 2.0, 2.4]


def test_calls_of_a_higher_priority_go_first() -> None:
    """Calls of priority 1 that come last are sent before those of 0, and those before -1."""
    world = World({})
    session = world.session(limited(world, Rate(1, per=1.0)))
    world.call(0, "first", "GET /", session)
    for at, name, priority in ((0.1, "low", -1), (0.2, "batch", 0), (0.3, "one", 1)):
        world.call(at, name, "GET /", Prioritized(session, priority))
    world.call(0.4, "two", "GET /", Prioritized(session, 1))
    world.run()
    assert order(world) == ["first", "one", "two", "batch", "low"]


def test_within_a_priority_retries_go_before_new_calls() -> None:
    """A refused batch call goes before new batch calls, and after new calls of priority 1."""
    world = World({"/refused": [refused(1), 200]})
    limits = RateLimits(rates=[Rate(1, per=2.0)], cool_down=False, pacing=False)
    session = world.session(world.settings(limits=limits))
    world.call(0, "retry", "GET /refused", session)
    world.call(0.1, "batch", "GET /", session)
    world.call(0.2, "batch'", "GET /", session)
    world.call(1.5, "interactive", "GET /", Prioritized(session, 1))
    world.run()
    assert order(world) == ["retry", "interactive", "retry", "batch", "batch'"]


def test_a_priority_counts_where_attempts_are_limited() -> None:
    """The call of priority 1 comes last, and is sent when the first attempt ends."""
    world = World({}, takes=1.0)
    session = world.session(limited(world, concurrency=1))
    world.call(0, "A", "GET /", session)
    world.call(0.1, "B", "GET /", session)
    world.call(0.2, "C", "GET /", Prioritized(session, 1))
    world.run()
    assert order(world) == ["A", "C", "B"]


def test_a_priority_counts_after_a_cool_down() -> None:
    """At a learned limit, too, the call of priority 1 goes before the refused one."""
    named = Answer(429, {"Retry-After": "5", "RateLimit": '"all";r=0;t=5'})
    world = World({"/": [named, 200]})
    session = world.session()
    world.call(0, "A", "GET /", session)
    world.call(1, "B", "GET /", session)
    world.call(2, "C", "GET /", Prioritized(session, 1))
    world.run()
    assert order(world) == ["A", "C", "A", "B"]


def test_closing_a_session_ends_its_waits_for_declared_limits() -> None:
    """Two calls that wait for an attempt to end raise an error, and use up nothing."""
    world = World({}, takes=3.0)
    session = world.session(limited(world, Rate(2, per=60.0), concurrency=1))
    for name in "ABC":
        world.call(0, name, "GET /", session)
    world.caller("closer", session.close, 1.0)
    world.call(4, "D", "GET /", session)
    world.run()
    assert [(each.caller, each.time) for each in world.sent] == [("A", 0.0), ("D", 4.0)]
    assert all("closed" in str(world.results[name]) for name in "BC")


def test_without_declared_limits_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first attempt to a healthy origin does not reach the limiter."""
    session, _ = single(200)
    monkeypatch.setattr(
        "requests_authretry._admission.admission.Admission.acquire", lambda *_, **__: 1 / 0
    )
    assert session.get(API).status_code == 200


def test_the_wait_is_told_as_pacing() -> None:
    """Each wait for a declared limit has the reason ``PACING`` in the record."""
    session, _ = single(200, 200, rates=[Rate(1, per=2.0)])
    session.get(API)
    [wait] = [step for step in explain(session.get(API)).steps if hasattr(step, "seconds")]
    assert (wait.reason, wait.seconds) == (Reason.PACING, 2.0)


class Signer(AuthBase):
    """Asks for a key with the session that it signs for.

    Attributes:
        session: That session.
        url: Where the key is.
    """

    session: Session
    url = f"{API}/key"

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign a request, and the request for the key as it is."""
        if request.url != self.url:
            self.session.get(self.url)
        return request


def test_a_call_in_the_midst_of_an_attempt_is_a_part_of_it() -> None:
    """A signer that fetches a key with its own session does not wait for its own request."""
    world, signer = World({}, takes=1.0), Signer()
    settings = limited(world, Rate(9, per=60.0), concurrency=1, auth=signer, origins=[API])
    session = signer.session = world.session(settings)
    world.call(0, "A", "GET /orders", session)
    world.caller("B", lambda: session.get(f"{API}/other"), at=0.5)
    world.turns.run()
    assert [(sent.time, sent.name) for sent in world.sent] == [
        (0.0, "GET /key"),
        (1.0, "GET /orders"),
        (2.0, "GET /key"),
        (3.0, "GET /other"),
    ]
    (queue,) = [each for each in SharedState.of(settings).limiter.declared() if each.scope.rate]
    assert sum(spent.units for spent in queue.use.spent) == 4, "a rate counts all requests"


def test_a_call_to_another_origin_in_the_midst_of_an_attempt_is_no_part_of_it() -> None:
    """The signer's request waits for the end of the other one there."""
    world, signer = World({}, takes=1.0), Signer()
    signer.url = f"{OTHER}/key"
    settings = limited(world, concurrency=1, auth=signer, origins=[API])
    session = signer.session = world.session(settings)
    world.caller("A", lambda: session.get(f"{OTHER}/orders"))
    world.caller("B", lambda: session.get(f"{API}/orders"), at=0.25)
    world.turns.run()
    assert [(sent.time, sent.name) for sent in world.sent] == [
        (0.0, f"GET {OTHER}/orders"),
        (1.0, f"GET {OTHER}/key"),
        (2.0, "GET /orders"),
    ]


def test_a_renewal_that_outlasts_its_call_is_no_part_of_it() -> None:
    """The attempt that began it has ended, so its requests count as all others do."""
    context: list[Context] = []
    world = World({}, takes=1.0)

    def remember(request: PreparedRequest) -> PreparedRequest:
        context.append(copy_context())
        return request

    session = world.session(limited(world, concurrency=1, auth=remember, origins=[API]))
    world.call(0, "A", "GET /a", session)
    world.call(2, "B", "GET /b", session)
    world.caller("late", lambda: context[0].run(session.get, f"{API}/late"), at=2.5)
    world.turns.run()
    assert times(world) == [0.0, 2.0, 3.0]


def demand(number: int, *rates: Rate, concurrency: int | None = None) -> Demand:
    """Return what a request to an origin of its own asks."""
    target = Target(f"https://{number}.example.com", "", "GET", "/")
    return Demand(target, tuple((rate, 1.0) for rate in rates), concurrency)


def take(limits: DeclaredLimits, each: Demand, now: float) -> None:
    """Count an attempt."""
    with each.life:
        for claim in limits.claims(each, now):
            claim.take(now)


def test_idle_limits_are_forgotten() -> None:
    """Two seconds later, calls to 50 other origins have all limits of the first 50 forgotten."""
    limits, rates = DeclaredLimits(ALONE), (Rate(1, per=1.0), Rate(2, per=1.0))
    for number in range(50):
        take(limits, demand(number, *rates, concurrency=3), 0.0)
    first = {queue.scope for queue in limits.queues()}
    assert len(first) >= 100
    for number in range(50, 100):
        take(limits, demand(number, *rates), 2.0)
    assert not first & {queue.scope for queue in limits.queues()}


def test_no_more_limits_are_kept_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirects may name origins without end; the oldest limits are forgotten."""
    monkeypatch.setattr(declared_limits, "_MOST_QUEUES", 20)
    limits, rates = DeclaredLimits(ALONE), [Rate(number, per=60.0) for number in range(1, 6)]
    for number in range(50):
        take(limits, demand(number, *rates), 0.0)
    assert len(limits.queues()) <= 25
    assert {queue.scope.origin for queue in limits.queues()} >= {"https://49.example.com"}


def test_a_priority_counts_after_an_outage() -> None:
    """Two retries wait for an endpoint that is down; a success releases that of priority 1."""
    tracker, endpoint = OutageTracker(), (API, "/")
    for _ in range(DOWN):
        tracker.on_failure(endpoint, 0.0)
    batch, urgent = (
        Waiter(FakeClock(), 99.0, 99.0, lambda *_: None, priority) for priority in (0, 1)
    )
    with (
        batch.life,
        urgent.life,
        tracker.waiting(endpoint, batch, 0.0),
        tracker.waiting(endpoint, urgent, 0.0),
    ):
        released = []
        for began in range(1, 9):
            tracker.on_success(endpoint, float(began), float(began))
            released.append((urgent.released, batch.released))
    assert (True, False) in released
    assert released[-1] == (True, True)


def test_a_call_that_a_limit_stops_is_no_probe_of_an_outage() -> None:
    """Such calls come all the time, and nothing is sent for them: retries probe meanwhile."""
    world = World(lambda request: 503 if request.time < 3 else 200)
    session = world.session(limited(world, Rate(1, per=1000.0, path="/a/2")))

    def come_all_the_time() -> None:
        for _ in range(50):
            with suppress(AuthRetryError), override(retry=ONCE):
                session.get(f"{API}/a/2")
            world.turns.sleep(0.4)

    for number in range(DOWN + 1):
        world.call(0, str(number), "GET /a/1", session)
    world.caller("others", come_all_the_time, at=0.1)
    world.turns.run()
    names = [sent.name for sent in world.sent]
    assert names.count("GET /a/2") == 1
    assert max(sent.time for sent in world.sent) < 5
    assert [sent.status for sent in world.sent].count(200) == DOWN + 1
