"""The public helpers for tests of code that uses the library."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import pytest
import requests

from requests_authretry import Clock, RateLimits, Settings, attempts, mount
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock, ScriptedAdapter, SystemClock, no_waiting
from tests.support.scripted import Source
from tests.support.sessions import API, Rig

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_fake_clock_moves_when_somebody_waits() -> None:
    """Time passes by waits and by `advance` alone, on both of its faces."""
    clock = FakeClock(now=100.0)
    assert isinstance(clock, Clock)
    before = clock.monotonic()
    clock.sleep(2.5)
    clock.advance(10)
    assert (clock.time(), clock.monotonic() - before, clock.sleeps) == (112.5, 12.5, [2.5])


def test_a_wait_that_was_ended_takes_no_time() -> None:
    """With its event set a wait is over before it begins, and is not among the waits."""
    clock, wake = FakeClock(), Event()
    clock.sleep(1, wake)
    wake.set()
    clock.sleep(1, wake)
    assert clock.sleeps == [1]


def test_a_clock_may_draw_the_jitter() -> None:
    """A clock's own ``random`` is used where it has one, Python's where it has none."""
    draws = SharedState.of(Settings(clock=FakeClock(random=lambda: 0.25))).random
    assert draws() == 0.25
    assert SharedState.of(Settings(clock=SystemClock())).random is random.random


def test_waits_are_exact() -> None:
    """The delays that are noted are those that were meant, to the last bit that users compare."""
    rig = Rig((429, {"Retry-After": "1.05"}), (429, {"Retry-After": "1.1"}), 200)
    rig.get()
    assert rig.waits == pytest.approx([1.05, 1.1], rel=1e-12)


def test_threads_may_wait_at_once() -> None:
    """No wait of any thread is lost."""
    clock = FakeClock()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(clock.sleep, [0.5] * 200))
    assert (len(clock.sleeps), clock.monotonic()) == (200, 100.0)


def test_a_renewal_needs_no_time_of_a_fake_clock() -> None:
    """The thread that renews is waited for in earnest, and the deadline does not move."""
    rig = Rig(401, 200, token=Source("old", "new"), origins=[API])
    assert rig.get().status_code == 200
    assert rig.waits == []


def test_a_scripted_adapter_answers_in_order() -> None:
    """Codes, headers, bodies and exceptions come as they were written, for any session."""
    session, script = requests.Session(), ScriptedAdapter(204, (404, {"X": "y"}), (200, {}, b"z"))
    session.mount(API, script)
    first, second, third = (session.get(API) for _ in range(3))
    assert (first.status_code, first.content, first.url) == (204, b"", f"{API}/")
    assert (second.status_code, second.headers["x"]) == (404, "y")
    assert (third.status_code, third.content) == (200, b"z")
    assert [request.method for request in script.sent] == ["GET"] * 3


def test_a_script_that_is_over() -> None:
    """A request too many fails the test in plain words, and is not taken for a lost connection."""
    rig = Rig(503)
    with pytest.raises(AssertionError, match=r"GET https://api\.example\.com/: the script is over"):
        rig.get()


def test_a_scripted_exception_is_raised() -> None:
    """What is an exception in the script is raised, the very object."""
    error = requests.ReadTimeout()
    session = requests.Session()
    session.mount(API, ScriptedAdapter(error))
    with pytest.raises(requests.ReadTimeout) as caught:
        session.get(API)
    assert caught.value is error


def test_a_scripted_adapter_notes_that_it_was_closed() -> None:
    """A session that is closed closes it, through a mounted adapter too."""
    session, script = requests.Session(), ScriptedAdapter()
    session.mount(API, script)
    mount(session)
    assert not script.closed
    session.close()
    assert script.closed


def test_no_waiting_at_all() -> None:
    """Within the context the real clock's waits end at once and are noted; then it is as before."""
    session, script = requests.Session(), ScriptedAdapter((429, {"Retry-After": "60"}), 401, 200)
    session.mount(API, script)
    unpaced = RateLimits(pacing=False)
    mount(session, Settings(token=Source("old", "new"), origins=[API], limits=unpaced))
    real = SystemClock.sleep
    with no_waiting() as waits:
        response = session.get(API)
    assert waits == pytest.approx([60.0], abs=5)
    assert len(attempts(response)) == 3
    assert SystemClock.sleep is real


def test_no_waiting_ends_with_an_exception_too() -> None:
    """However the context ends, the real clock waits again."""
    real = SystemClock.sleep
    with pytest.raises(KeyError), no_waiting():
        raise KeyError
    assert SystemClock.sleep is real


def python_calls(function: Callable[[], object]) -> int:
    """How many functions written in Python run for one call of ``function``."""
    calls = []
    sys.setprofile(lambda _frame, event, _argument: calls.append(event))
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls.count("call")


def test_no_waiting_wraps_the_clock_once_however_often_it_is_used() -> None:
    """After more blocks than Python allows stack frames, `monotonic` is one Python function."""
    clock, real = SystemClock(), SystemClock.sleep
    start = clock.monotonic()
    for _ in range(sys.getrecursionlimit() + 100):
        with no_waiting():
            clock.sleep(1)
    assert python_calls(SystemClock.monotonic) == 1
    assert clock.monotonic() - start >= sys.getrecursionlimit() + 100
    assert SystemClock.sleep is real


def test_no_waiting_that_skipped_nothing_leaves_the_clock_as_it_was() -> None:
    """In a process in which nobody waited, `monotonic` is the builtin again after the block."""
    code = (
        "from requests_authretry.testing import SystemClock, no_waiting\n"
        "before = vars(SystemClock).copy()\n"
        "with no_waiting(): assert SystemClock.monotonic is not before['monotonic'].__func__\n"
        "import time; assert SystemClock.monotonic is time.monotonic\n"
        "assert SystemClock.sleep is before['sleep']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 (this test's own code)


def test_no_waiting_within_no_waiting() -> None:
    """Each block gets the waits while it was active, and the clock waits again after the outer."""
    clock, real = SystemClock(), SystemClock.sleep
    start = clock.monotonic()
    with no_waiting() as outer:
        clock.sleep(10)
        with no_waiting() as inner:
            clock.sleep(20)
        assert SystemClock.sleep is not real
        clock.sleep(40)
    assert (outer, inner) == ([10, 20, 40], [20])
    assert SystemClock.sleep is real
    assert clock.monotonic() - start >= 70


def test_no_waiting_in_blocks_that_end_in_the_order_they_began() -> None:
    """When the first block ends, the second goes on; `monotonic` never goes back."""
    clock, real = SystemClock(), SystemClock.sleep
    first, second = no_waiting(), no_waiting()
    start = clock.monotonic()
    before = first.__enter__()  # as two threads would
    beside = second.__enter__()
    assert (before, beside) == ([], [])
    clock.sleep(10)
    first.__exit__(None, None, None)
    assert SystemClock.sleep is not real
    clock.sleep(20)
    assert (before, beside) == ([10], [10, 20])
    second.__exit__(None, None, None)
    assert SystemClock.sleep is real
    assert clock.monotonic() - start >= 30


def test_no_waiting_in_many_threads() -> None:
    """Blocks of threads that begin and end at any moment lose no wait and leave no wrapper."""
    clock, real = SystemClock(), SystemClock.sleep
    start = clock.monotonic()

    def block(_: int) -> bool:
        with no_waiting() as waits:
            last = clock.monotonic()
            clock.sleep(1)
            return 1 in waits and clock.monotonic() >= last + 1

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(block, range(400)))
    assert SystemClock.sleep is real
    assert python_calls(SystemClock.monotonic) == 1
    assert clock.monotonic() - start >= 400
