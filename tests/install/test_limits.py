"""`Mounted.limits` and `Installed.limits`: what holds back calls, and how to lift it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import KnownLimit, MemoryStore, RetryPolicy, Settings, install, mount
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
    """A refusal without a time makes a pace, which ends by itself."""
    put, session = mounted(429)
    session.get(API)
    [pace] = put.limits
    assert (pace.kind, pace.value, pace.ends_in) == ("pace", 10.0, 3.0)


def test_the_text_is_for_people() -> None:
    """Each line names what is covered, what it is, and how long it lasts."""
    put, session = mounted(503, 503, NAMELESS, CORE, retry=IMPATIENT)
    assert str(put.limits) == "nothing holds back calls"
    session.get(API)
    session.get(f"{API}/users/17")
    session.get(f"{API}/items")
    assert str(put.limits).splitlines() == [
        f"GET /users/* at {API}: 10 requests a second for 33 s",
        f"GET /users/* at {API}: cool-down for 30 s",
        f"{API}: 487 units of the retry quota left",
        f"the limit 'core' of {API}: 2 requests left for 100 s",
    ]


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
