"""`deadline`: one deadline over all calls of a block."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from functools import partial
from math import inf, nan
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    AuthRetryError,
    Backoff,
    ConfigurationError,
    GaveUp,
    Jitter,
    RateLimits,
    Reason,
    RetryPolicy,
    RetryQuota,
    Settings,
    attempts,
    deadline,
    explain,
    install,
    mount,
    override,
)
from requests_authretry._override import current
from requests_authretry.testing import FakeClock, ScriptedAdapter, no_waiting
from tests.support.scenario import Answer, World, refused
from tests.support.scripted import EXPIRED, URL, Source
from tests.support.sessions import API, SECRET, Rig, ended, raised
from tests.support.wire import PATIENCE, Wire, drip, head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

TEN = Backoff(initial=10.0, throttled_initial=10.0, multiplier=1.0, jitter=Jitter.NONE)
PATIENT = RetryPolicy(backoff=TEN, deadline=1000, max_attempts=100)


def refused_by(work: Callable[[], object]) -> AuthRetryError:
    """The error of a call that is not sent."""
    with pytest.raises(AuthRetryError) as caught:
        work()
    return caught.value


def test_all_calls_of_a_block_end_by_the_same_moment() -> None:
    """Of 25 s the first call takes 20 s: the second has no time for its retry after 10 s."""
    rig = Rig(503, 503, 200, 503, retry=PATIENT)
    with deadline(25):
        assert rig.get().status_code == 200
        last = rig.get()
    assert (last.status_code, rig.waits) == (503, [10.0, 10.0])
    assert attempts(last)[-1].reason is Reason.WAIT_TOO_LONG


def test_each_thread_has_the_block_that_it_began() -> None:
    """Each thread has 15 s for two calls that wait 10 s each: the second call ends at once."""
    answers: list[int | Answer] = [refused(10), 200, refused(10)]
    world = World({"/a": answers, "/b": answers})
    session = world.session(world.settings(limits=RateLimits(cool_down=False, pacing=False)))
    statuses: list[int] = []

    def export(path: str) -> None:
        with deadline(15):
            statuses.extend(session.get(API + path).status_code for _ in range(2))

    world.caller("A", lambda: export("/a"), at=0)
    world.caller("B", lambda: export("/b"), at=5)
    world.run()
    assert [sent.time for sent in world.sent] == [0, 5, 10, 10, 15, 15]
    assert statuses == [200, 429, 200, 429]


def test_a_call_after_the_end_is_not_sent() -> None:
    """The error says which deadline it was, and when it passed."""
    rig = Rig(200)
    with deadline(30):
        rig.get()
        rig.clock.advance(32)
        error = refused_by(rig.get)
    assert str(error) == (
        "not sent: the deadline of the block, 30 s, passed 2 s ago. Begin a new block for calls "
        "that may take longer"
    )
    assert len(rig.inner.sent) == 1
    (gave_up,) = rig.told(GaveUp)
    assert (gave_up.attempts, gave_up.reason) == (0, Reason.BLOCK_OVER)
    assert "the deadline of the block" in str(explain(error))


def test_a_block_of_no_time_sends_nothing() -> None:
    """`deadline(0)`: what is left of somebody else's deadline may be nothing."""
    rig = Rig(200)
    with deadline(0), pytest.raises(AuthRetryError, match="not sent: the deadline of the block"):
        rig.get()
    assert not rig.inner.sent


@pytest.mark.parametrize("outer", [5, 50])
def test_the_earlier_end_of_two_blocks_counts(outer: float) -> None:
    """5 s around 10 s, and 10 s in 50 s: after that the outer block goes on."""
    rig = Rig(200, 200)
    with deadline(outer):
        with deadline(10):
            rig.get()
            rig.clock.advance(min(outer, 10))
            error = refused_by(rig.get)
        assert f"the deadline of the block, {min(outer, 10)} s, passed 0 s ago" in str(error)
        if outer > 10:
            assert rig.get().ok


@pytest.mark.parametrize("own", [5.0, 500.0])
def test_the_earlier_one_of_block_and_policy_counts(own: float) -> None:
    """A policy's 5 s or the block's 15 s: only the second is named as that of the block."""
    rig = Rig(503, 503, 503, retry=PATIENT)
    changed = RetryPolicy(backoff=TEN, deadline=own, max_attempts=100)
    with deadline(15), override(retry=changed):
        last = attempts(rig.get())[-1]
    assert last.reason is Reason.WAIT_TOO_LONG
    assert ("the deadline of the block" in last.why) is (own > 15)
    assert last.number == (1 if own < 15 else 2)


def test_a_longer_block_leaves_the_default_deadline_of_waits() -> None:
    """A call's own 120 s end its waits in a block of 1000 s."""
    rig = Rig(*[503] * 20, retry=RetryPolicy(backoff=TEN, max_attempts=100))
    with deadline(1000):
        last = attempts(rig.get())[-1]
    assert sum(rig.waits) == 110
    assert "block" not in last.why


def test_a_wait_of_too_many_seconds_is_not_the_fault_of_the_block() -> None:
    """`max_retry_after` ends this call."""
    rig = Rig((429, {"Retry-After": "9"}), retry=RetryPolicy(max_retry_after=5))
    with deadline(60):
        last = attempts(rig.get())[-1]
    assert (last.reason, last.detail) == (Reason.WAIT_TOO_LONG, "")


def test_a_failure_long_before_the_end_is_not_the_fault_of_the_block() -> None:
    """A POST that was lost is not sent again, whatever time is left."""
    rig = Rig(requests.ConnectionError("lost"))
    with deadline(60):
        last = attempts(raised(rig.session, API, "POST"))[-1]
    assert (last.reason, last.detail) == (Reason.NOT_IDEMPOTENT, "")


def test_a_closed_rate_limit_names_the_block() -> None:
    """A cool-down of 60 s is too long for a block of 30 s, though not for the call's own 120 s."""
    refusal = (429, {"Retry-After": "60"})
    rig = Rig(refusal, refusal, retry=RetryPolicy(max_attempts=1))
    rig.get()
    rig.get()  # the test attempt
    with deadline(30):
        error = refused_by(rig.get)
    assert (
        "is closed for 60 s, and this call has 30 s left of the deadline of the block, 30 s; "
        "a longer deadline(...) lets it take longer"
    ) in str(error)


def test_a_replay_after_the_end_is_not_sent() -> None:
    """The block ends while the token is renewed: the error tells of the 401."""
    clock, tokens = FakeClock(), ["second", SECRET]

    def fetch() -> str:
        if len(tokens) == 1:
            clock.advance(20)
        return tokens.pop()

    rig = Rig(EXPIRED, 200, origins=[API], token=fetch, clock=clock)
    with deadline(20):
        error = refused_by(rig.get)
    assert len(rig.inner.sent) == 1
    assert "deadline of the block" in str(error)
    assert error.response is not None
    assert error.response.status_code == 401
    assert [attempt.status for attempt in attempts(error)] == [401]


def test_a_token_source_is_told_what_is_left_of_the_block() -> None:
    """Of a block of 20 s, 15 s are left when the source is asked."""
    source = Source(SECRET)
    rig = Rig(200, 200, token=source, origins=[API])
    with deadline(20):
        rig.get("https://other.example.com")
        rig.clock.advance(5)
        rig.get()
    assert [context.timeout for context in source.contexts] == [15]


def test_what_is_installed_is_bounded_as_well() -> None:
    """It holds for sessions that nobody mounted."""
    clock = FakeClock()
    session, below = requests.Session(), ScriptedAdapter(503, 503)
    session.mount("https://", below)
    with install(Settings(retry=PATIENT, clock=clock)), deadline(5):
        session.get(URL)
    assert len(below.sent) == 1


def test_a_session_without_us_is_left_alone() -> None:
    """The block is over, and a bare session sends all the same."""
    session, below = requests.Session(), ScriptedAdapter(200)
    session.mount("https://", below)
    with deadline(0):
        assert session.get(URL).ok


def test_what_an_override_shares_is_the_same_in_all_blocks_inside_it() -> None:
    """The quota of an override pays for one retry, whatever the blocks that its calls are in."""
    rig = Rig(*[503] * 3, retry=PATIENT)
    with override(quota=RetryQuota(capacity=14, transient_cost=14)):
        for _ in range(2):
            with deadline(500):
                rig.get()
    assert len(rig.inner.sent) == 3


def test_an_override_inside_keeps_the_block() -> None:
    """The block around it bounds its calls."""
    rig = Rig(503)
    with deadline(5), override(retry=PATIENT, priority=1):
        rig.get()
    assert len(rig.inner.sent) == 1


def test_other_threads_are_left_alone_unless_they_get_the_context() -> None:
    """A thread has no deadline of a block, one with the block's context has it."""
    rig = Rig(200)
    seen: list[object] = []

    def call() -> None:
        try:
            seen.append(rig.get().status_code)
        except AuthRetryError as error:
            seen.append(type(error))

    with deadline(0):
        context = copy_context()
        for target in (call, partial(context.run, call)):
            thread = Thread(target=target)
            thread.start()
            thread.join(120)
        asyncio.run(_in_a_thread(call))
    assert seen == [200, AuthRetryError, AuthRetryError]


async def _in_a_thread(call: Callable[[], None]) -> None:
    await asyncio.to_thread(call)


def test_each_call_of_a_decorated_function_has_a_block_of_its_own() -> None:
    """Two calls of 20 s each, with 25 s for each of them."""
    rig = Rig(503, 503, 200, 503, 503, 200, retry=PATIENT)

    @deadline(25)
    def export() -> int:
        return rig.get().status_code

    assert [export(), export()] == [200, 200]
    assert current.get() is None


def test_a_decorated_coroutine_function_runs_in_its_block() -> None:
    """``@deadline(0)`` or ``@override(...)`` on an ``async def`` holds while it is awaited."""
    rig = Rig(200)

    @deadline(0)
    async def late() -> requests.Response:
        await asyncio.sleep(0)
        return rig.get()

    @override(priority=3)
    async def priority() -> int:
        await asyncio.sleep(0)
        found = current.get()
        return 0 if found is None else found.priority

    async def both() -> list[Any]:
        return list(await asyncio.gather(late(), priority(), priority(), return_exceptions=True))

    refused, *priorities = asyncio.run(both())
    assert isinstance(refused, AuthRetryError)
    assert (priorities, current.get()) == ([3, 3], None)


@pytest.mark.parametrize("begin", [partial(deadline, 30), partial(override, priority=1)])
def test_a_generator_function_is_not_decorated(begin: Callable[[], Any]) -> None:
    """Its code runs after the block, and would silently not be bounded."""

    def pages() -> Iterator[int]:
        yield 1

    async def later_pages() -> AsyncIterator[int]:
        yield 1

    for function in (pages, later_pages):
        with pytest.raises(ConfigurationError, match="pages has a yield in it, so that it runs"):
            begin()(function)


def test_a_decorated_function_may_call_itself() -> None:
    """Each call has its own block inside that of the call before."""

    @override(priority=1)
    def count_down(calls: int) -> None:
        if calls:
            count_down(calls - 1)

    count_down(5)
    assert current.get() is None


def test_waits_that_are_skipped_count() -> None:
    """`no_waiting` moves the system's clock on, that of a block as well."""
    session, below = requests.Session(), ScriptedAdapter(503, 503, 200, 503)
    session.mount("https://", below)
    mount(session, Settings(retry=PATIENT))
    with no_waiting() as waits, deadline(25):
        assert session.get(URL).ok
        last = session.get(URL)
    assert (last.status_code, len(waits)) == (503, 2)
    assert "the deadline of the block" in attempts(last)[-1].why


def test_a_block_bounds_the_reads_of_a_socket() -> None:
    """A body that drips for ever ends with the block, though the call has no deadline for reads."""
    with Wire(drip(head(200, ("Content-Length", "100000")), b".")) as wire:
        session = requests.Session()
        mount(session)

        def call() -> requests.RequestException:
            with deadline(0.5):
                return raised(session, wire.url, timeout=PATIENCE)

        error = ended(call)
    assert isinstance(error, requests.Timeout)
    assert attempts(error)[-1].detail == "the deadline of the block"


@pytest.mark.parametrize("seconds", [-1, nan, inf, None, "30", True, 10**400])
def test_seconds_that_cannot_work_are_refused(seconds: Any) -> None:
    """The message names the way out, and nothing holds afterwards."""
    with pytest.raises(ConfigurationError, match=r"deadline: seconds must .*deadline\(30\)"):  # noqa: SIM117
        with deadline(seconds):
            pass
    assert current.get() is None
