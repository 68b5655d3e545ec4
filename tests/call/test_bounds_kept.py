"""Bounds on how much is kept: of policies and URLs that servers invent, and in a store."""

from __future__ import annotations

from threading import Event

import pytest

from requests_authretry import CoolingDown, MemoryStore, RetryQuota
from requests_authretry._admission import shared_limits
from requests_authretry._admission.outage_tracker import OutageTracker
from requests_authretry._admission.rate_limiter import Key, RateLimiter
from requests_authretry._admission.retry_quota import RetryQuotas
from requests_authretry._core.bounds import POLICY_SETS, URL_KEPT
from requests_authretry._core.origin import Origin
from requests_authretry._core.records import Limit
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock
from tests.support.limits import ONCE, hint, looks_end, target
from tests.support.sessions import API, Rig

ORIGIN = Origin("https", "api.example.com", 443)


class PushedTo(MemoryStore):
    """A store that records the keys that it gets.

    Attributes:
        keys: The keys of all cool-downs.
        opened: Lets waiting pushes go on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()
        self.opened = Event()
        self.opened.set()

    def push(self, key: str, seconds: float) -> float:
        """Record the key."""
        self.opened.wait()
        self.keys.add(key)
        return super().push(key, seconds)


@pytest.mark.parametrize("sections", [1, 3, 200])
def test_only_so_many_sets_of_policies_are_told_apart(sections: int) -> None:
    """A server that names a new policy with each answer has one limit, as if it named none."""
    limits = RateLimiter(FakeClock(), OutageTracker())
    seen = set()
    for number in range(500):
        url, told = f"{API}/s{number % sections}", (Limit(0, 9.0, f"policy {number}"),)
        seen.add(limits.named(target(url), told).policies)
    assert len(seen) <= POLICY_SETS + 1
    assert limits.key_of(target(f"{API}/s0")).policies == ()


def test_a_few_sets_of_policies_are_told_apart_for_ever() -> None:
    """A server that names its twenty sets again and again keeps twenty limits."""
    limits = RateLimiter(FakeClock(), OutageTracker())
    for number in range(500):
        name = f"policy {number % POLICY_SETS}"
        url = f"{API}/s{number % POLICY_SETS}"
        limits.named(target(url), (Limit(0, 9.0, name),))
        assert limits.key_of(target(url)).policies == (name,)


def test_a_store_gets_only_so_many_keys() -> None:
    """An origin gets few and short keys, however the server names its policies."""
    store = PushedTo()
    script = [
        hint(30, X_RateLimit_Remaining="0", X_RateLimit_Reset="30", X_RateLimit_Resource=name)
        for name in (f"{number}-".ljust(900, "r") for number in range(60))
    ]
    rig = Rig(*script, retry=ONCE, store=store)
    for _ in script:
        rig.get()
        rig.clock.sleep(60)
    looks_end()
    assert 2 < len(store.keys) <= POLICY_SETS + 2
    assert max(map(len, store.keys)) < 200
    assert max(len(event.policy) for event in rig.told(CoolingDown)) <= 100


def test_only_so_many_cool_downs_wait_for_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more cool-downs than the bound wait for a store that does not answer."""
    monkeypatch.setattr(shared_limits, "_MOST_UNTOLD", 10)
    store = PushedTo()
    store.opened.clear()
    rig = Rig(retry=ONCE, store=store)
    sharing = SharedState.of(rig.adapter.settings).sharing
    for number in range(50):
        key = Key(Origin("https", f"h{number}.example.com", 443), "")
        sharing.start_cool_down(key, 30.0, 429)
    assert len(sharing._untold) <= 10 + 1  # noqa: SLF001 (nothing else shows it)
    store.opened.set()
    looks_end()


def test_only_so_many_origins_have_a_quota() -> None:
    """Endless dead origins leave a thousand quotas, and the newest are right."""
    quotas = RetryQuotas(RetryQuota(capacity=100))
    origins = [Origin("https", f"h{number}.example.com", 443) for number in range(3000)]
    for origin in origins:
        assert quotas.pay(origin, 14)
    assert len(quotas._levels) == 1000  # noqa: SLF001 (as above)
    assert quotas.level(origins[-1]) == 86
    assert quotas.level(origins[0]) == 100


def test_urls_are_kept_in_part() -> None:
    """Only the beginning of a long URL from a redirect is kept when the call is over."""
    rig = Rig((302, {"Location": "/".ljust(9000, "a")}, b""), 200, 429)
    rig.get()
    limits = SharedState.of(rig.adapter.settings).limiter
    assert max(len(url) for url, _ in limits.recent_successes) == URL_KEPT
    url = f"{API}/{'s' * 9000}"
    limits.named(target(url), (Limit(0, 9.0, "a"),))
    limits.named(target(API), (Limit(0, 9.0, "b"),))
    prefixes = limits._policies[ORIGIN].prefixes  # noqa: SLF001 (as above)
    assert max(map(len, prefixes)) <= URL_KEPT
    for number in range(500):
        limits.named(target(f"{API}/{'abc'[number % 3]}/{'x' * number}"), (Limit(0, 9.0, "c"),))
    assert len(limits._policies[ORIGIN].prefixes) <= 1000 + 6  # noqa: SLF001 (as above)
