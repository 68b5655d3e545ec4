"""Bounds on how much is kept: of policies and URLs that servers invent, and in a store."""

from __future__ import annotations

import gc
import warnings
from itertools import islice, product
from threading import Event

import pytest

from requests_authretry import (
    CoolingDown,
    MemoryStore,
    RefreshFailed,
    RetryPolicy,
    RetryQuota,
)
from requests_authretry._admission import rate_limiter, shared_limits
from requests_authretry._admission.outage_tracker import OutageTracker
from requests_authretry._admission.rate_limiter import RateLimiter
from requests_authretry._admission.retry_quota import RetryQuotas
from requests_authretry._core import outage
from requests_authretry._core.bounds import URL_KEPT
from requests_authretry._core.outage import DOWN
from requests_authretry._core.records import Limit
from requests_authretry._core.scope import Scope
from requests_authretry._shared import SharedState
from requests_authretry._tokens import families as families_module
from requests_authretry._tokens.families import Families
from requests_authretry._warnings import warn_once
from requests_authretry.testing import FakeClock
from tests.core.steps import Counter, lines_counted
from tests.support.limits import ONCE, hint, looks_end, target
from tests.support.sessions import API, AT_ONCE, Rig


class PushedTo(MemoryStore):
    """A store that records the keys that it gets.

    Attributes:
        keys: The keys of all cool-downs.
        asked: The keys that were pushed or looked up.
        opened: Lets waiting pushes go on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()
        self.asked: set[str] = set()
        self.opened = Event()
        self.opened.set()

    def push(self, key: str, seconds: float) -> float:
        """Record the key."""
        self.opened.wait()
        self.asked.add(key)
        if seconds:
            self.keys.add(key)
        return super().push(key, seconds)


def test_names_of_policies_are_forgotten() -> None:
    """A server that names a new policy at each path leaves ten thousand names."""
    limits = RateLimiter(FakeClock(), OutageTracker())
    for number in range(5000):
        path = f"{API}/{'abcde'[number % 5] * (number % 19)}/{'x' * (number // 19 % 20)}/{number}"
        limits.names.learn(target(path), (Limit(0, 9.0, f"policy {number}"),), 0.0)
    assert len(limits.names._names) <= 10_000  # noqa: SLF001 (nothing else shows it)
    assert limits.covering(target(path))[-2].policy == "policy 4999"


def test_many_policies_are_told_apart() -> None:
    """A server that names 500 policies at 500 paths has 500 limits."""
    limits = RateLimiter(FakeClock(), OutageTracker())
    urls = [f"{API}/{'a' * (number % 20)}/{'b' * (number // 20)}" for number in range(300)]
    for number, url in enumerate(urls):
        limits.names.learn(target(url), (Limit(0, 9.0, f"policy {number}"),), 0.0)
    names = [limits.covering(target(url))[-2].policy for url in urls]
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
    assert 1 <= len(store.keys) <= 25  # the store is asked a few times in a second
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
        sharing.start_cool_down({scope: 30.0}, 429, may_test=True)
    assert len(sharing._untold) <= 10 + 1  # noqa: SLF001 (nothing else shows it)
    store.opened.set()
    looks_end()


def test_only_so_many_origins_have_a_quota() -> None:
    """Endless dead origins leave a thousand quotas, and the newest are right."""
    quotas = RetryQuotas(RetryQuota(capacity=100), FakeClock())
    origins = [f"https://h{number}.example.com" for number in range(3000)]
    for origin in origins:
        assert quotas.pay(origin, 14)
    assert len(quotas.levels) == 1000
    assert quotas.level(origins[-1]) == 86
    assert quotas.level(origins[0]) == 100


def test_a_quota_is_full_again_after_an_hour() -> None:
    """What retries have cost at an origin is forgotten an hour later, and so is the origin."""
    clock = FakeClock()
    quotas = RetryQuotas(RetryQuota(capacity=100), clock)
    assert quotas.pay("https://a.example.com", 14)
    clock.advance(3599.0)
    assert quotas.level("https://a.example.com") == 86
    clock.advance(1.0)
    assert quotas.level("https://a.example.com") == 100
    assert not quotas.known()
    quotas.pay_back("https://b.example.com", None)
    assert not quotas.levels


def test_an_outage_outlives_a_thousand_other_failures() -> None:
    """Dead endpoints without end leave the health of the last thousand, in order of attempts."""
    outages = OutageTracker()
    endpoints = [(f"https://h{number}.example.com", "/") for number in range(1500)]
    for number, endpoint in enumerate(endpoints):
        for _ in range(DOWN):
            outages.on_failure(endpoint, float(number))
        outages.on_failure(endpoints[0], float(number))
    assert [outages.is_down(each) for each in endpoints] == [True, *[False] * 500, *[True] * 999]
    assert len(outages.origins) == 1000
    for _ in range(100):  # each of them looks at some
        outages.sweep(1450.0 + outage.FORGOTTEN)
    assert len(outages.origins) == 51


def test_old_scopes_are_not_looked_up() -> None:
    """A store is asked for an hour about the scopes of a request, and no longer."""
    store = PushedTo()
    rig = Rig(*[200] * 3, store=store)

    def looked_up(path: str, later: float) -> set[str]:
        rig.clock.advance(later)
        store.asked.clear()
        rig.get(path)
        looks_end()
        return {key[-2:] for key in store.asked if " endpoint " in key}

    assert looked_up("/a", 2.0) == {"/a"}
    assert looked_up("/b", 3599.0) == {"/a", "/b"}
    assert looked_up("/b", 2.0) == {"/b"}


def test_locks_are_kept_only_while_they_are_used() -> None:
    """A thousand users leave no locks of their records, and none of their refresh tokens."""
    store, families = MemoryStore(), Families()
    for number in range(1000):
        with store.lock(f"user {number}", 0.0), families.sending(f"digest {number}", 0.0):
            pass
    gc.collect()
    assert not store._key_locks  # noqa: SLF001 (nothing else shows it)
    assert not families._sending  # noqa: SLF001 (as above)


def test_only_so_many_spent_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more first refresh tokens than the bound, those that were spent last are refused."""
    monkeypatch.setattr(families_module, "MOST_SPENT", 2)
    families = Families()
    for digest in ("first", "second", "third"):
        families.spend(digest)
    with families.sending("first", 0.0):
        pass
    for digest in ("second", "third"):
        with pytest.raises(RefreshFailed, match="was spent"), families.sending(digest, 0.0):
            pass


def test_only_so_many_source_objects_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources that take no weak reference would be kept for ever."""

    class Slotted:
        __slots__ = ()

        def fetch(self, context: object) -> None:
            """Give no token."""

    monkeypatch.setattr(families_module, "MOST_OBJECTS", 2)
    families, sources = Families(), [Slotted() for _ in range(3)]
    first = [families.of(source) for source in sources]
    assert families.of(sources[2]) is first[2]
    assert families.of(sources[0]) is not first[0]


def test_one_object_is_warned_of_a_hundred_times_at_most() -> None:
    """Topics without end, as names of sources, are not all remembered."""
    store = MemoryStore()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(300):
            warn_once(store, f"topic {number}", f"message {number}")
    assert len(caught) == 100


def test_a_call_costs_the_same_however_many_endpoints_fail() -> None:
    """With 1 500 dead origins each call takes as many steps as with 20, one that sweeps too."""
    few, many = steps_of_calls(20), steps_of_calls(1500)
    assert all(b <= 1.1 * a for a, b in zip(few, many, strict=True)), (few, many)


def steps_of_calls(dead: int) -> list[int]:
    """Return the steps of calls among so many dead origins: the first fails, the last sweeps."""
    retry = RetryPolicy(max_attempts=2, backoff=AT_ONCE)
    rig = Rig(*[503] * (2 * dead + 2), *[200] * 3, retry=retry)
    names = ("".join(letters) for letters in product("abcdefghijkl", repeat=3))
    for name in islice(names, dead):
        rig.get(f"https://{name}.example.com")
    counters = []
    for url, seconds in ((API, 0.0), (API, 0.0), (API, 0.0), (API, 200.0)):
        counters.append(Counter(100_000))
        rig.clock.advance(seconds)
        with lines_counted(counters[-1]):
            rig.get(url)
    return [counter.steps for counter in counters]


def test_the_user_of_a_url_is_not_kept() -> None:
    """A redirect may name an origin with a long user; fields of its answer are remembered."""
    fields = {"X-RateLimit-Limit": "9", "X-RateLimit-Remaining": "8", "X-RateLimit-Reset": "60"}
    location = f"https://{'a' * 9000}@api.example.com/"
    rig = Rig((302, {"Location": location}, b""), (200, fields))
    rig.get()
    told = SharedState.of(rig.adapter.settings).limiter.memory._told  # noqa: SLF001 (as above)
    assert [*told] == [API]


def test_paths_are_kept_in_part() -> None:
    """Only the beginning of a long path is kept with the policies that the server named there."""
    limits = SharedState.of(Rig().adapter.settings).limiter
    limits.names.learn(target(f"{API}/{'s/' * 9000}"), (Limit(0, 9.0, "a"),), 0.0)
    kept = limits.names._names._entries  # noqa: SLF001 (as above)
    assert max(len(path) for _, path in kept) <= URL_KEPT
