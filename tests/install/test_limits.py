"""`Mounted.limits` and `Installed.limits`: what holds back calls, and how to lift it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    KnownLimit,
    MemoryStore,
    Rate,
    RateLimits,
    RetryPolicy,
    Settings,
    install,
    mount,
)
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.limits import ONCE, UNPACED, crowd, hint, looks_end
from tests.support.sessions import API

if TYPE_CHECKING:
    from requests_authretry import Mounted
    from requests_authretry.testing import Line

NAMELESS: Line = (429, {"Retry-After": "30"})
IMPATIENT = RetryPolicy(max_attempts=2, deadline=9)
CORE: Line = (200, {"RateLimit": '"core";r=2;t=100', "RateLimit-Policy": '"core";q=100;w=100'})


def mounted(*script: Line, **settings: Any) -> tuple[Mounted, requests.Session]:
    """Make a session that is answered from a script."""
    session = requests.Session()
    session.mount("https://", ScriptedAdapter(*script))
    settings = {"clock": FakeClock(), "retry": ONCE, **settings}
    return mount(session, Settings(**settings)), session


def test_each_limit_is_listed_with_its_scope_and_its_end() -> None:
    """The refusal of an endpoint, the window of a policy, and the quota of an origin."""
    put, session = mounted(503, 503, NAMELESS, retry=IMPATIENT, limits=UNPACED)
    session.get(API)
    session.get(f"{API}/users/17", headers={"X-API-Key": "opensesame"})
    [cool_down, quota] = put.limits
    assert quota == KnownLimit(kind="retry quota", origin=API, ends_in=None, value=486)
    assert (cool_down.kind, cool_down.endpoint) == ("cool-down", "GET /users/*")
    assert cool_down.ends_in == pytest.approx(30.0)
    assert "opensesame" not in f"{cool_down!r} {put.limits!r} {vars(put)}"
    put, session = mounted(CORE)
    session.get(API)
    [window] = put.limits
    assert window == KnownLimit(kind="window", origin=API, policy="core", ends_in=100.0, value=2.0)


def test_a_pace_is_listed() -> None:
    """A refusal without a time makes a pace, which ends ten minutes after the last refusal."""
    put, session = mounted(429)
    session.get(API)
    [pace] = put.limits
    assert (pace.kind, pace.value, pace.ends_in) == ("pace", 25.0, 600.0)


def test_the_text_is_for_people() -> None:
    """Each line names what is covered, what it is, and how long it lasts."""
    put, session = mounted(503, 503, NAMELESS, CORE, retry=IMPATIENT)
    assert str(put.limits) == "nothing holds back calls"
    session.get(API)
    session.get(f"{API}/users/17")
    session.get(f"{API}/items")
    assert str(put.limits).splitlines() == [
        f"GET /users/* at {API}: 25 requests a second for 600 s",
        f"GET /users/* at {API}: cool-down for 30 s",
        f"{API}: 487 units of the retry quota left",
        f"the limit 'core' of {API}: 2 requests left for 100 s",
    ]


LINES = {
    "a cool-down of an endpoint": (
        KnownLimit(
            kind="cool-down", origin=API, endpoint="GET /users/*", ends_in=29.96, value=None
        ),
        f"GET /users/* at {API}: cool-down for 30 s",
    ),
    "a pace of one caller at an origin": (
        KnownLimit(kind="pace", origin=API, caller="5f0a", ends_in=3.0, value=2.3456),
        f"{API} (caller 5f0a): 2.35 requests a second for 3 s",
    ),
    "a window of a policy of one caller": (
        KnownLimit(
            kind="window", origin=API, caller="5f0a", policy="core", ends_in=1800.0, value=0.0
        ),
        f"the limit 'core' of {API} (caller 5f0a): 0 requests left for 1800 s",
    ),
    "a declared rate": (
        KnownLimit(
            kind="rate",
            origin=API,
            caller="5f0a",
            endpoint="/search",
            ends_in=1.5,
            value=None,
            rate=Rate(10, per=2.0, path="/search"),
        ),
        f"/search at {API} (caller 5f0a): the declared limit of 10 in 2 s is used up for 1.5 s",
    ),
    "attempts under way": (
        KnownLimit(kind="concurrency", origin=API, ends_in=None, value=8.0),
        f"{API}: 8 attempts under way, as many as declared",
    ),
    "a retry quota": (
        KnownLimit(kind="retry quota", origin=API, ends_in=None, value=486.0),
        f"{API}: 486 units of the retry quota left",
    ),
}


@pytest.mark.parametrize(("limit", "line"), LINES.values(), ids=LINES)
def test_each_kind_has_a_line_of_its_own(limit: KnownLimit, line: str) -> None:
    """A line says where, for whom, what, and for how long, where there is an end."""
    assert str(limit) == line


def test_limits_are_in_the_order_of_their_origins_and_lines() -> None:
    """What was met last stands first, if its origin comes first in the alphabet."""
    put, session = mounted(NAMELESS, NAMELESS)
    for url in ("https://b.test/a", "https://a.test/b"):
        session.get(url)
    assert [(limit.origin, limit.kind) for limit in put.limits] == [
        ("https://a.test", "pace"),
        ("https://a.test", "cool-down"),
        ("https://b.test", "pace"),
        ("https://b.test", "cool-down"),
    ]
    assert repr(put.limits) == "<Limits: 4 known>"


def test_a_limit_is_listed_until_its_end() -> None:
    """A cool-down of 30 s is listed after 29 s, and at 30 s nothing is."""
    clock = FakeClock()
    put, session = mounted(NAMELESS, limits=UNPACED, clock=clock)
    session.get(API)
    clock.advance(29)
    assert [limit.ends_in for limit in put.limits] == [pytest.approx(1.0)]
    clock.advance(1)
    assert list(put.limits) == []
    assert str(put.limits) == "nothing holds back calls"


def test_a_window_never_has_less_than_nothing_left() -> None:
    """One request more than the server announced was sent as a probe: none is left."""
    spent: Line = (200, {"RateLimit": '"core";r=0;t=100', "RateLimit-Policy": '"core";q=100;w=100'})
    put, session = mounted(spent, 200, retry=RetryPolicy(max_attempts=1, deadline=9))
    session.get(API)
    session.get(API)
    [window] = put.limits
    assert (window.kind, window.value) == ("window", 0.0)


def test_each_callers_limit_is_lifted_alone() -> None:
    """Two callers are refused, and one cool-down is lifted: the other one is waited for."""
    clock = FakeClock()
    put, session = mounted(hint(30), hint(30), 200, 200, limits=UNPACED, clock=clock)
    for key in ("one", "two"):
        session.get(API, headers={"X-API-Key": key})
    first, second = put.limits
    assert first.caller
    assert first.caller != second.caller
    put.limits.forget(first)
    assert [limit.caller for limit in put.limits] == [second.caller]
    before = clock.monotonic()
    for key in ("one", "two"):
        assert session.get(API, headers={"X-API-Key": key}).status_code == 200
    assert clock.monotonic() == before + 30


def test_all_limits_are_lifted_at_once() -> None:
    """After `forget`, nothing is known and the next call is sent at once."""
    clock = FakeClock()
    put, session = mounted(503, 503, 429, NAMELESS, hint(600), 200, clock=clock, retry=IMPATIENT)
    for path in ("/a", "/b", "/c"):
        session.get(API + path)
    before = clock.monotonic()
    assert len(list(put.limits)) > 4
    put.limits.forget()
    assert list(put.limits) == []
    session.get(f"{API}/c")
    assert clock.monotonic() == before


@pytest.mark.parametrize("kind", ["cool-down", "pace", "window", "retry quota"])
def test_one_limit_is_lifted_alone(kind: str) -> None:
    """`forget` with a limit leaves all others."""
    put, session = mounted(503, 503, NAMELESS, CORE, retry=IMPATIENT)
    session.get(API)
    session.get(f"{API}/users/17")
    session.get(f"{API}/items")
    [chosen] = [limit for limit in put.limits if limit.kind == kind]
    put.limits.forget(chosen)
    left = {limit.kind for limit in put.limits}
    assert left == {"cool-down", "pace", "window", "retry quota"} - {kind}


def test_calls_that_wait_go_on() -> None:
    """A call that waits for a cool-down is sent as soon as somebody lifts it."""
    with crowd(hint(30), 200, retry=ONCE, limits=UNPACED) as rig:
        rig.begin("/").result()
        waiting = rig.begin_asleep("/")
        mount(rig.session, rig.adapter.settings).limits.forget()
        assert waiting.result(120).status_code == 200


def test_a_store_does_not_bring_a_lifted_cool_down_back() -> None:
    """The store keeps it for other processes; a new refusal begins another one here."""
    clock = FakeClock()
    store = MemoryStore(clock)
    put, session = mounted(hint(30), 200, 200, 200, hint(90), clock=clock, store=store)
    session.get(API)
    put.limits.forget()
    for _ in range(3):
        looks_end()
        clock.advance(2)
        session.get(API)
    looks_end()
    assert {limit.kind for limit in put.limits} <= {"pace"}
    assert clock.monotonic() == 6.0
    assert store.push(f"cool-down policy {API} all", 0.0) == 24.0
    session.get(API)
    assert [limit.ends_in for limit in put.limits if limit.kind == "cool-down"] == [90.0]


def test_a_lifted_cool_down_stays_lifted_when_more_is_lifted() -> None:
    """A user lifts the cool-down, then the pace: the store does not bring the cool-down back."""
    clock = FakeClock()
    put, session = mounted(hint(30), 200, 200, clock=clock, store=MemoryStore(clock))
    session.get(API)
    for limit in sorted(put.limits, key=lambda limit: limit.kind):
        put.limits.forget(limit)
    for _ in range(2):  # the first one lets the store be looked into
        looks_end()
        clock.advance(2.0)
        before = clock.monotonic()
        session.get(API)
        assert clock.monotonic() == before


def test_declared_limits_are_listed_while_they_hold_back_calls() -> None:
    """One of two rates is used up; `forget` leaves it, as it is a setting."""
    clock = FakeClock()
    used_up, other = Rate(1, per=60.0, path="/search"), Rate(9, per=60.0)
    limits = RateLimits(rates=[used_up, other])
    put, session = mounted(200, 200, limits=limits, clock=clock)
    session.get(f"{API}/search/x")
    clock.advance(10.0)
    put.limits.forget()
    [rate] = put.limits
    put.limits.forget(rate)
    assert list(put.limits) == [rate]
    assert rate == KnownLimit(
        kind="rate", origin=API, endpoint="/search", ends_in=50.0, value=None, rate=used_up
    )
    clock.advance(50.0)
    assert list(put.limits) == []


def test_attempts_under_way_are_listed_while_they_are_as_many_as_declared() -> None:
    """One of at most two attempts holds back nobody; the second does."""
    with crowd(200, 200, limits=RateLimits(concurrency=2)) as rig:
        known = mount(rig.session, rig.adapter.settings).limits
        first = rig.begin_held("/a")
        assert list(known) == []
        second = rig.begin_held("/b")
        [limit] = known
        assert (limit.kind, limit.value, limit.ends_in) == ("concurrency", 2.0, None)
        rig.flight.let_go("/a")
        first.result()
        assert list(known) == []
        rig.flight.let_go("/b")
        second.result()


def test_limits_of_sites_are_listed_too() -> None:
    """A site with settings of its own has limits of its own."""
    clock = FakeClock()
    site = Settings(token="t", origins=[API], clock=clock, retry=ONCE)
    put, session = mounted(NAMELESS, clock=clock, sites=[site])
    session.get(API)
    assert "cool-down" in {limit.kind for limit in put.limits}
    put.limits.forget()
    assert list(put.limits) == []


def test_forget_takes_a_limit_or_nothing() -> None:
    """Who gives the text of a limit reads what to give."""
    put, _ = mounted()
    with pytest.raises(TypeError, match="takes a KnownLimit"):
        put.limits.forget("GET /users")  # type: ignore[arg-type]


def test_install_has_limits() -> None:
    """What `requests.get` meets is listed."""
    clock = FakeClock()
    with install(Settings(clock=clock, retry=ONCE)) as installed, requests.Session() as session:
        session.mount("https://", ScriptedAdapter(NAMELESS))
        session.get(API)
        assert {limit.kind for limit in installed.limits} == {"cool-down", "pace"}
