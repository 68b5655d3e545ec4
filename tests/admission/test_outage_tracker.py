"""Outages and the retry quota: when retries probe, wait for the return, and what they cost."""

from __future__ import annotations

from concurrent.futures import wait
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
from tests.support.sessions import API, Rig

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_authretry.testing import Line

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
    """Fifteen failures in a row are not an outage, so that no failure counts for another call."""
    down = Down(503, 503, 200, failures=DOWN - 5, retry=tries(3))
    down.while_waiting(down.fail, down.fail)
    assert down.rig.get().status_code == 200
    assert down.clock.sleeps == [1.0, 1.0]


@pytest.mark.parametrize("covered", [1, 2])
def test_anothers_failure_stands_for_an_attempt(covered: int) -> None:
    """A retry in an outage counts another call's newer failure as its own, and sends nothing."""
    down = Down(503, 200, retry=tries(4))
    down.while_waiting(*[down.fail] * covered)
    assert down.rig.get().status_code == 200
    assert len(down.rig.inner.sent) == 2
    assert sum(down.clock.sleeps) == pytest.approx(1.0 + covered, abs=SPACING)


@pytest.mark.parametrize("line", [(503, {}, b"down"), LOST])
def test_a_call_whose_attempts_are_all_covered_ends_with_outage(line: Any) -> None:
    """A call ends with its own answer, sent once, after as many failures of others as attempts."""
    down = Down(line, retry=tries(3))
    down.while_waiting(down.fail, down.fail, down.fail)
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
    assert attempt.delay == pytest.approx(2.0, abs=0.1)
    assert Reason.OUTAGE.value in str(explain(result))


@pytest.mark.parametrize("left", [14, 0])
def test_a_covered_retry_costs_nothing(left: int) -> None:
    """A call that waits in an outage needs nothing in the quota, and takes nothing from it."""
    down = Down(503, retry=tries(3), quota=RetryQuota(capacity=14))
    down.rig.adapter._shared.quotas.pay(API, 14 - left)  # noqa: SLF001 (by others)
    down.while_waiting(down.fail, down.fail)
    down.rig.get()
    assert level(down.rig) == left
    assert [event.reason for event in down.rig.told(GaveUp)] == [Reason.OUTAGE]


def test_a_retry_that_the_end_of_an_outage_releases_costs_nothing() -> None:
    """A call that waits when another one succeeds goes on, although the quota is empty."""
    down = Down(503, 200, 200, retry=tries(2), quota=RetryQuota(capacity=14))
    down.rig.adapter._shared.quotas.pay(API, 14)  # noqa: SLF001 (by others)
    down.while_waiting(down.rig.get)
    assert down.rig.get().status_code == 200
    assert len(down.rig.inner.sent) == 3


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
    """A 404 comes from a server that works, so that a later failure counts for no other call."""
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
