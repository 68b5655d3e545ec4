"""Bounds on how much is kept: of policies and URLs that servers invent, and in a store."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from requests_authretry import CoolingDown, MemoryStore, RetryQuota
from requests_authretry._admission import rate_limiter, shared_limits
from requests_authretry._admission.outage_tracker import OutageTracker
from requests_authretry._admission.rate_limiter import RateLimiter
from requests_authretry._admission.retry_quota import RetryQuotas
from requests_authretry._core.bounds import URL_KEPT
from requests_authretry._core.records import Limit
from requests_authretry._core.scope import Scope
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock
from tests.support.limits import ONCE, hint, looks_end, target
from tests.support.sessions import API, Rig

if TYPE_CHECKING:
    import pytest


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
        if seconds:
            self.keys.add(key)
        return super().push(key, seconds)


def test_names_of_policies_are_forgotten() -> None:
    """A server that names a new policy at each path leaves ten thousand names."""
    limits = RateLimiter(FakeClock(), OutageTracker())
    for number in range(5000):
        path = f"{API}/{'abcde'[number % 5] * (number % 19)}/{'x' * (number // 19 % 20)}/{number}"
        limits.learn_names(target(path), (Limit(0, 9.0, f"policy {number}"),))
    assert len(limits._names) <= 10_000  # noqa: SLF001 (nothing else shows it)
    assert limits.covering(target(path))[-1].policy == "policy 4999"


def test_many_policies_are_told_apart() -> None:
    """A server that names 500 policies at 500 paths has 500 limits."""
    limits = RateLimiter(FakeClock(), OutageTracker())
    urls = [f"{API}/{'a' * (number % 20)}/{'b' * (number // 20)}" for number in range(300)]
    for number, url in enumerate(urls):
        limits.learn_names(target(url), (Limit(0, 9.0, f"policy {number}"),))
    names = [limits.covering(target(url))[-1].policy for url in urls]
    assert names == [f"policy {number}" for number in range(300)]


def test_a_store_gets_only_so_many_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """An origin gets so many and short keys at a time, however the server names its policies."""
    monkeypatch.setattr(rate_limiter, "_MOST_ANNOUNCED", 20)
    store = PushedTo()
    script = [
        hint(30, X_RateLimit_Remaining="0", X_RateLimit_Reset="30", X_RateLimit_Resource=name)
        for name in (f"{number}-".ljust(900, "r") for number in range(60))
    ]
    rig = Rig(*script, retry=ONCE, store=store)
    for number in range(len(script)):
        rig.get(f"/{'abcdefgh'[number % 8]}{'abcdefgh'[number // 8]}")
    looks_end()
    assert 15 <= len(store.keys) <= 25  # some are over when others come
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
        scope = Scope(f"https://h{number}.example.com", "")
        sharing.start_cool_down([scope], 30.0, 429, may_test=True)
    assert len(sharing._untold) <= 10 + 1  # noqa: SLF001 (nothing else shows it)
    store.opened.set()
    looks_end()


def test_only_so_many_origins_have_a_quota() -> None:
    """Endless dead origins leave a thousand quotas, and the newest are right."""
    quotas = RetryQuotas(RetryQuota(capacity=100))
    origins = [f"https://h{number}.example.com" for number in range(3000)]
    for origin in origins:
        assert quotas.pay(origin, 14)
    assert len(quotas.levels) == 1000
    assert quotas.level(origins[-1]) == 86
    assert quotas.level(origins[0]) == 100


def test_urls_are_kept_in_part() -> None:
    """Only the beginning of a long URL from a redirect is kept when the call is over."""
    rig = Rig((302, {"Location": "/".ljust(9000, "a")}, b""), 200, 429)
    rig.get()
    limits = SharedState.of(rig.adapter.settings).limiter
    assert max(len(url) for _, url, _ in limits.recent_successes) == URL_KEPT
    limits.learn_names(target(f"{API}/{'s/' * 9000}"), (Limit(0, 9.0, "a"),))
    kept = limits._names._entries  # noqa: SLF001 (as above)
    assert max(len(path) for _, path in kept) <= URL_KEPT
