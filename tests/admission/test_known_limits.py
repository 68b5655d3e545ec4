"""Which rate limits a process knows of, how many, and how long."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest

from requests_authretry import CoolingDown
from requests_authretry._admission import rate_limiter
from requests_authretry._admission.outage_tracker import OutageTracker
from requests_authretry._admission.rate_limiter import RateLimiter
from requests_authretry._core.records import Limit
from requests_authretry._core.scope import Scope
from requests_authretry.testing import FakeClock
from tests.support.limits import ONCE, UNPACED, target
from tests.support.sessions import API, Rig

if TYPE_CHECKING:
    from requests_authretry.testing import Line

NAMELESS: Line = (429, {"Retry-After": "30"})


class Known:
    """A limiter on a fake clock that began at zero.

    Attributes:
        limiter: The limiter.
    """

    def __init__(self) -> None:
        self._clock = FakeClock()
        self._began = self._clock.monotonic()
        self.limiter = RateLimiter(self._clock, OutageTracker())

    def close(self, *names: str, seconds: float = 0.5) -> None:
        """Begin cool-downs of these endpoints."""
        for name in names:
            until = self._clock.monotonic() + seconds
            self.limiter.start_cool_down(Scope(API, "", "", name), until, seconds, may_test=True)

    def sweep(self, at: float) -> int:
        """Look for limits that are over; return how many are left."""
        self._clock.advance(self._began + at - self._clock.monotonic())
        self.limiter.sweep(self._clock.monotonic())
        return len(self.limiter.states())


def test_limits_that_are_over_are_forgotten_each_second() -> None:
    """A cool-down of 0.5 s is forgotten at 1 s, and one that began then at 2 s."""
    known = Known()
    known.close("a")
    assert (known.limiter.is_troubled, known.limiter.check_after) == (True, -inf)
    assert [known.sweep(0.9), known.sweep(1.0)] == [1, 0]
    assert (known.limiter.is_troubled, known.limiter.check_after) == (False, inf)
    known.close("b")
    assert [known.sweep(1.9), known.sweep(2.0)] == [1, 0]


def test_limits_that_still_hold_are_kept() -> None:
    """Of two cool-downs of one origin the shorter one is forgotten; the origin is still known."""
    known = Known()
    known.close("a", seconds=5.0)
    known.close("b")
    assert known.sweep(1.0) == 1
    assert known.limiter.concerns(f"{API}/x", 0.0)
    assert not known.limiter.concerns("https://other.test/", 0.0)
    assert known.sweep(5.0) == 0
    assert not known.limiter.concerns(f"{API}/x", 0.0)


def test_a_hundred_limits_are_looked_at_each_second() -> None:
    """Of 150 limits that are over, fifty are left after a second; those looked at go to the end."""
    known = Known()
    known.close(*"xyz", seconds=2.5)
    known.close(*map(str, range(150)))
    assert [known.sweep(1.0), known.sweep(2.0), known.sweep(3.0)] == [56, 3, 0]


def test_the_scopes_of_a_request_are_origin_endpoint_and_policies() -> None:
    """A request may be covered by its origin, its endpoint, and the policies named at its path."""
    known = Known()
    at = target(f"{API}/orders/17")
    origin, endpoint = Scope(API, ""), Scope(API, "", "", "GET /orders/*")
    assert known.limiter.covering(at) == (origin, endpoint)
    known.limiter.names.learn(at, [Limit(1.0, 1.0, "day"), Limit(1.0, 1.0, "core")], 0.0)
    policies = (Scope(API, "", "core"), Scope(API, "", "day"))
    assert known.limiter.covering(at) == (origin, *policies, endpoint)


CLOSES = {
    "no name": ([Limit(0.0, 1.0)], ["GET /orders"]),
    "one that is used up": ([Limit(0.0, 1.0, "a"), Limit(1.0, 1.0, "b")], ["a"]),
    "several that are used up": ([Limit(0.0, 1.0, "b"), Limit(0.5, 1.0, "a")], ["a", "b"]),
    "none that is used up": ([Limit(2.0, 1.0, "b"), Limit(1.0, 1.0, "a")], ["a", "b"]),
    "one without a name too": ([Limit(0.0, 1.0), Limit(1.0, 1.0, "a")], ["a"]),
}


@pytest.mark.parametrize(("limits", "closed"), CLOSES.values(), ids=CLOSES)
def test_a_refusal_closes_the_policies_that_are_used_up(
    limits: list[Limit], closed: list[str]
) -> None:
    """Where the answer names policies, those with nothing left are closed, or all of them."""
    scopes = Known().limiter.scopes_of(target(f"{API}/orders"), limits)
    assert [scope.policy or scope.endpoint for scope in scopes] == closed


def test_the_oldest_limit_of_too_many_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may know of two limits forgets the first of three."""
    monkeypatch.setattr(rate_limiter, "_MOST_QUEUES", 2)
    known = Known()
    known.close("a", "b", "c", seconds=9.0)
    assert [scope.endpoint for scope, _ in known.limiter.states()] == ["b", "c"]


@pytest.mark.parametrize(("most", "told"), [(2, 2), (3, 3)])
def test_cool_downs_of_too_many_limits_are_not_told(
    most: int, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An origin names a third policy where two are announced: its cool-down is kept, not told."""
    monkeypatch.setattr(rate_limiter, "_MOST_ANNOUNCED", most)
    lines: list[Line] = [
        (429, {"Retry-After": "30", "RateLimit": f'"{name}";r=0;t=30'}) for name in "abc"
    ]
    rig = Rig(*lines, retry=ONCE, limits=UNPACED)
    for name in "abc":
        rig.get(f"/{name}", headers={"X-API-Key": name})
    assert len(rig.told(CoolingDown)) == told
