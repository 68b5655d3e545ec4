"""Scenarios: threads run one at a time in virtual time, and a timeline tells what happened."""

from __future__ import annotations

from random import Random
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import RateLimits, RetryPolicy, Token
from tests.support.scenario import Answer, World, closed_until, refused, timeline
from tests.support.sessions import API
from tests.support.virtual_time import Turns

if TYPE_CHECKING:
    from requests_authretry import FetchContext
    from tests.support.scenario import Request


def test_threads_run_one_at_a_time_in_the_order_of_their_sleeps() -> None:
    """The thread whose sleep ends first goes on; of equal ones the one that was added first."""
    turns, seen = Turns(), list[tuple[float, str]]()

    def work(name: str, *sleeps: float) -> None:
        for seconds in sleeps:
            seen.append((turns.now, name))
            turns.sleep(seconds)
        seen.append((turns.now, name))

    turns.add("B", 0, lambda: work("B", 2, 2))
    turns.add("A", 0, lambda: work("A", 1, 1, 0))
    turns.add("C", 1, lambda: work("C", -5))
    turns.run()
    assert seen == [
        (0, "B"),
        (0, "A"),
        (1, "A"),
        (1, "C"),
        (1, "C"),
        (2, "B"),
        (2, "A"),
        (2, "A"),
        (4, "B"),
    ]


def test_a_thread_that_is_woken_goes_on_at_once() -> None:
    """B wakes A after 3 s of a sleep of 10 s, and goes on when A sleeps again."""
    turns, wake, seen = Turns(), Event(), list[tuple[float, str]]()

    def sleeper() -> None:
        turns.sleep(10, wake)
        seen.append((turns.now, "A woken"))
        wake.clear()
        turns.sleep(10, wake)
        seen.append((turns.now, "A"))

    def waker() -> None:
        turns.sleep(3)
        wake.set()
        turns.sleep(0)
        seen.append((turns.now, "B"))

    turns.add("A", 0, sleeper)
    turns.add("B", 0, waker)
    turns.run()
    assert seen == [(3, "A woken"), (3, "B"), (13, "A")]


def test_closing_a_session_wakes_its_calls() -> None:
    """A waits for 10 s when B closes the session after 4 s."""
    world = World({"/orders": [refused(10), 200]})
    session = world.session()
    world.call(0, "A", "GET /orders", session)
    world.caller("B", session.close, at=4)
    assert world.run() == timeline("""
        0  A  GET /orders -> 429
        0  A  waits 4 s: retry_after
        4  A  ends with AuthRetryError: the session was closed
    """)


def test_a_scenario_happens_in_the_same_way_each_time() -> None:
    """Forty threads at a server that takes its time and refuses, at random: two runs are equal."""

    def run() -> list[object]:
        chance = Random(7)  # noqa: S311 (no secret comes of it)

        def server(_: Request) -> Answer:
            takes = chance.uniform(0.02, 0.05)
            return refused(1, takes=takes) if chance.random() < 0.1 else Answer(takes=takes)

        world = World(server, random=chance.random)
        processes = [
            world.session(world.settings(store=world.store, clock=world.process()))
            for _ in range(2)
        ]

        def work(number: int) -> None:
            while world.turns.now < 5:
                processes[number % 2].get(f"{API}/orders/{number}")

        for number in range(40):
            world.caller(f"C{number}", lambda number=number: work(number))  # type: ignore[misc]
        world.run()
        return [*world.sent]

    first = run()
    assert len(first) > 100
    assert first == run()


def test_a_thread_that_waits_for_anything_but_the_clock_fails_the_scenario() -> None:
    """A holds a lock while it sleeps, and B waits for the lock: the message shows B's stack."""
    turns, lock = Turns(patience=0.2), Lock()

    def hold() -> None:
        with lock:
            turns.sleep(1)

    def want() -> None:
        with lock:
            pass

    turns.add("A", 0, hold)
    turns.add("B", 0, want)
    with pytest.raises(
        AssertionError, match=r"B neither sleeps on the clock nor ends(.|\n)*in want"
    ):
        turns.run()
    lock.release()  # B ends


def test_threads_that_all_sleep_for_ever_fail_the_scenario() -> None:
    """Nobody wakes A and B, whose sleeps have no end."""
    turns = Turns()
    turns.add("A", 0, lambda: turns.sleep(float("inf"), Event()))
    turns.add("B", 1, lambda: turns.sleep(float("inf")))
    with pytest.raises(AssertionError, match="after 1 s all threads sleep for ever: A, B"):
        turns.run()


def test_time_that_stands_still_fails_the_scenario() -> None:
    """A's sleep always ends at once, as its event stays set."""
    turns, wake = Turns(), Event()
    wake.set()

    def work() -> None:
        while True:
            turns.sleep(1, wake)

    turns.add("A", 0, work)
    with pytest.raises(AssertionError, match="time stands still after 0 s, and A goes on"):
        turns.run()


def test_a_thread_without_an_end_fails_the_scenario() -> None:
    """A sleeps an hour, again and again."""
    turns = Turns()

    def work() -> None:
        while True:
            turns.sleep(3600)

    turns.add("A", 0, work)
    with pytest.raises(AssertionError, match=r"A has not ended after 1.2096e\+06 s"):
        turns.run()


def test_an_exception_of_a_thread_fails_the_scenario() -> None:
    """A's own assertion fails, while B sleeps."""
    turns = Turns()

    def fail() -> None:
        assert turns.now > 1, "too early"

    turns.add("A", 1, fail)
    turns.add("B", 0, lambda: turns.sleep(5))
    with pytest.raises(AssertionError, match=r"A failed:(.|\n)*too early"):
        turns.run()


def test_only_threads_of_the_scenario_sleep_in_its_time() -> None:
    """A call outside of `World.call` would stop the time of all others."""
    with pytest.raises(AssertionError, match="only the threads of a scenario may sleep"):
        Turns().sleep(1)


def test_a_renewal_takes_virtual_time() -> None:
    """The token source takes 3 s, in a thread of the library's own: A and B wait for it."""
    world = World({})

    class Slow:
        def fetch(self, context: FetchContext) -> Token:
            context.clock.sleep(3)
            return Token("opensesame")

    session = world.session(world.settings(token=Slow(), origins=[API]))
    world.call(0, "A", "GET /orders", session)
    world.call(1, "B", "GET /orders", session)
    world.call(5, "C", "GET /orders", session)
    assert world.run() == timeline("""
        0  A  waits 3 s: renewal of the token
        1  B  waits 2 s: renewal of the token
        3  A  GET /orders -> 200
        3  B  GET /orders -> 200
        5  C  GET /orders -> 200
    """)


def test_a_store_is_read_and_written_before_the_time_moves() -> None:
    """B of another process looks at 1 s: C and E know of the cool-down at the same second."""
    world = World({"/orders": [refused(10), 200, refused(9.5), 200]})
    limits = RateLimits(pacing=False)
    here = world.session(world.settings(store=world.store, limits=limits))
    there = world.session(world.settings(store=world.store, limits=limits, clock=world.process()))
    world.call(0.5, "A", "GET /orders", here)
    world.call(1, "B", "GET /orders", there)
    world.call(1, "C", "GET /orders", there)
    world.call(1, "D", "GET https://other.example.com/", there)
    world.call(1, "E", "GET /orders", there)
    assert world.run() == timeline("""
        0.5   A  GET /orders -> 429
        0.5   A  waits 10 s: retry_after
        1     B  GET /orders -> 200
        1     C  GET /orders -> 429
        1     C  waits 9.5 s: retry_after
        1     D  GET https://other.example.com/ -> 200
        1     E  waits 9.5 s: cool-down
        10.5  A  GET /orders -> 200
        10.5  C  GET /orders -> 200
        10.5  E  GET /orders -> 200
    """)


def test_a_timeline_has_attempts_waits_and_ends() -> None:
    """A is retried and redirected, B and C give up, D is not sent; times are rounded."""
    moved = Answer(302, {"Location": "/there"}, takes=0.1)
    world = World(
        {
            "GET /here": [Answer(503, takes=0.25), moved],
            "POST /closed": closed_until(100, takes=1),
        },
        random=lambda: 0.5,
    )
    policy = RetryPolicy(max_attempts=2, deadline=50)
    session = world.session(world.settings(retry=policy))
    world.call(0, "A", "GET /here", session)
    world.call(1, "B", "POST /closed", session)
    world.call(2.5, "C", "POST /closed", session)
    world.call(3, "D", "POST /closed", session)
    world.call(4, "E", "GET /there", session, allow_redirects=False)
    assert world.run()[:9] == timeline("""
        0      A  GET /here -> 503 after 0.25 s
        0.25   A  waits 0.025 s: backoff
        0.275  A  GET /here -> 302 after 0.1 s
        0.375  A  GET /there -> 200
        1      B  POST /closed -> 429 after 1 s
        2      B  ends with 429: no attempt fits before the deadline
        2.5    C  POST /closed -> 429 after 1 s
        3      D  is not sent
        3.5    C  ends with 429: no attempt fits before the deadline
    """)
    assert [sent.status for sent in world.sent] == [503, 302, 200, 429, 429, 200]


def test_a_record_that_the_server_does_not_know_fails_the_scenario() -> None:
    """A's answer was not the server's, and B's second request is in no record."""

    class Past:
        def request(self, *_: object, **__: object) -> requests.Response:
            answer = requests.Response()
            answer.status_code = 200
            return answer

    class Twice(Past):
        def request(self, *args: Any, **options: Any) -> requests.Response:
            world.session().request(*args, **options)
            return world.session().request(*args, **options)

    for name, session, fault in (
        ("A", Past(), "A has no attempt"),
        ("B", Twice(), "B and the ser"),
    ):
        world = World({})
        world.call(0, name, "GET /orders", session)
        with pytest.raises(AssertionError, match=fault):
            world.run()
