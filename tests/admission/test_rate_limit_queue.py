"""The order of calls that wait for one rate limit, and which of them are woken."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from math import inf
from typing import TYPE_CHECKING

from requests_authretry._admission.rate_limit_queue import RateLimitQueue
from requests_authretry._admission.waiting import Waiter
from requests_authretry._core.rate_limit import RateState
from requests_authretry.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def waiting(
    *, has_sent: bool = False, arrival: int, deadline: float = inf, priority: int = 0
) -> Iterator[Waiter]:
    """Make a call that waits."""
    waiter = Waiter(FakeClock(), deadline, inf, lambda *_: None, priority)
    waiter.rank = -priority, not has_sent, arrival
    with waiter.life:
        yield waiter


@contextmanager
def queued(*arrivals: int, queue: RateLimitQueue | None = None) -> Iterator[list[Waiter]]:
    """Make new calls that came in these places, and let them into a queue in this order."""
    with ExitStack() as stack:
        waiters = [stack.enter_context(waiting(arrival=arrival)) for arrival in arrivals]
        for waiter in waiters:
            if queue is not None:
                queue.enter(waiter)
        yield waiters


def woken(*waiters: Waiter) -> list[bool]:
    """Return which calls are woken, and let them sleep again."""
    found = [waiter.wake.is_set() for waiter in waiters]
    for waiter in waiters:
        waiter.wake.clear()
    return found


def places(queue: RateLimitQueue, *waiters: Waiter) -> list[int]:
    """Return how many calls wait before each of these."""
    return [queue.place(waiter) for waiter in waiters]


def test_a_queue_begins_with_the_cool_down_that_is_known() -> None:
    """The cool-down of the state counts as announced, and as the one that a user may lift."""
    queue = RateLimitQueue(RateState(not_before=5.0))
    assert (queue.announced, queue.lifted_until, queue.is_empty) == (5.0, 5.0, True)


def test_first_come_first_served_whatever_order_they_enter_in() -> None:
    """Calls that came second, first and third wait in the order in which they came."""
    queue = RateLimitQueue(RateState())
    with queued(2, 1, 3, queue=queue) as (second, first, third):
        assert places(queue, first, second, third) == [0, 1, 2]


def test_a_call_that_has_sent_goes_before_new_ones() -> None:
    """A refused call that came last waits before those that have sent nothing."""
    queue = RateLimitQueue(RateState())
    with queued(1, 2, queue=queue) as (first, second), waiting(has_sent=True, arrival=3) as refused:
        assert queue.place(refused) == 0
        queue.enter(refused)
        assert places(queue, refused, first, second) == [0, 1, 2]


def test_a_higher_priority_goes_before_calls_that_have_sent() -> None:
    """A new call of priority 1 goes before a refused one of priority 0, and that one before new."""
    queue = RateLimitQueue(RateState())
    with (
        queued(1, queue=queue) as (new,),
        waiting(has_sent=True, arrival=2) as refused,
        waiting(arrival=3, priority=1) as urgent,
        waiting(arrival=0, priority=-1) as patient,
    ):
        for waiter in (patient, refused, urgent):
            queue.enter(waiter)
        assert places(queue, urgent, refused, new, patient) == [0, 1, 2, 3]


def test_a_call_that_enters_twice_waits_once() -> None:
    """The second entry changes nothing, so that nobody waits after the one exit."""
    queue = RateLimitQueue(RateState())
    with queued(1, 2, queue=queue) as (first, second):
        queue.enter(first)
        assert queue.place(second) == 1
        queue.leave(first)
        queue.leave(second)
        assert queue.is_empty


def test_the_first_call_that_leaves_wakes_the_next_one() -> None:
    """The second of three calls is woken, and not the third."""
    queue = RateLimitQueue(RateState())
    with queued(1, 2, 3, queue=queue) as (first, second, third):
        queue.leave(first)
        assert woken(first, second, third) == [False, True, False]
        assert places(queue, second, third) == [0, 1]


def test_a_later_call_that_leaves_wakes_nobody() -> None:
    """Calls that leave from the middle or the end change nothing for the first one."""
    queue = RateLimitQueue(RateState())
    with queued(1, 2, 3, queue=queue) as (first, second, third):
        queue.leave(second)
        queue.leave(third)
        assert woken(first, second, third) == [False] * 3
        assert not queue.is_empty


def test_a_call_that_does_not_wait_here_leaves_nothing() -> None:
    """Calls that came before, between or after those of the queue take nobody out of it."""
    queue = RateLimitQueue(RateState())
    with queued(2, 4, queue=queue) as inside, queued(1, 3, 5) as outside:
        for waiter in outside:
            queue.leave(waiter)
        assert woken(*inside) == [False] * 2
        assert places(queue, *inside) == [0, 1]


def test_the_first_call_alone_is_woken() -> None:
    """`wake_first` wakes the first of two calls, and nobody in an empty queue."""
    queue = RateLimitQueue(RateState())
    queue.wake_first()
    with queued(1, 2, queue=queue) as (first, second):
        queue.wake_first()
        assert woken(first, second) == [True, False]


def test_calls_that_wait_in_vain_are_woken() -> None:
    """Of three calls, the one whose deadline is less than 0.1 s after the cool-down is woken."""
    queue = RateLimitQueue(RateState(not_before=10.0))
    with ExitStack() as stack:
        in_vain, just, patient = (
            stack.enter_context(waiting(arrival=arrival, deadline=deadline))
            for arrival, deadline in enumerate((10.05, 10.1, 20.0))
        )
        for waiter in (in_vain, just, patient):
            queue.enter(waiter)
        queue.wake_hopeless()
        assert woken(in_vain, just, patient) == [True, False, False]


def test_calls_that_were_interrupted_hold_nobody_back() -> None:
    """The first two of three calls have ended without leaving: the third one is first now."""
    queue = RateLimitQueue(RateState())
    with waiting(arrival=3) as third:
        with queued(1, 2, queue=queue):
            queue.enter(third)
            assert queue.place(third) == 2
        assert queue.place(third) == 0
        assert not queue.is_empty
    assert queue.is_empty


def test_after_clear_nobody_waits() -> None:
    """In the child of a fork, the threads that waited are gone."""
    queue = RateLimitQueue(RateState())
    with queued(1, 2, queue=queue) as (first, _), waiting(arrival=3) as third:
        queue.clear()
        assert queue.is_empty
        assert queue.place(third) == 0
        queue.enter(first)
        assert not queue.is_empty
