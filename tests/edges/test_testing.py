"""The public helpers for tests of code that uses the library."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import requests

from requests_authretry import Clock, Settings, SystemClock, attempts, mount
from requests_authretry.testing import FakeClock, ScriptedAdapter, no_waiting
from tests.edges.scripted import Source
from tests.edges.support import API, Rig


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


def test_waits_are_exact() -> None:
    """The delays that are noted are those that were meant, to the last bit that users compare."""
    rig = Rig((429, {"Retry-After": "0.05"}), (429, {"Retry-After": "0.1"}), 200)
    rig.get()
    assert rig.waits == pytest.approx([0.05, 0.1], rel=1e-12)


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
    mount(session, Settings(token=Source("old", "new"), origins=[API]))
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
