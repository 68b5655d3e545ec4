"""Units of a declared rate that processes reserve: what a store gives them, and what it keeps."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import Rate
from requests_authretry._core.declared import RateUse, Spent
from requests_authretry._core.rate_limit import Slot
from requests_authretry._core.rate_supply import (
    RateSupply,
    ask,
    on_asked,
    on_reserved,
    on_sent,
    telling,
    wanted,
    without_lost,
)
from requests_authretry._core.reservations import (
    HELD_SECONDS,
    Ask,
    Book,
    Units,
    counted,
    held_seconds,
    life,
    reserve,
    window_seconds,
)

if TYPE_CHECKING:
    from requests_authretry._core.reservations import Reserved

TEN = Rate(10, per=1.0)
BUCKET = Rate(10, per=1.0, burst=4)


def asked(  # noqa: PLR0913 (what a process says)
    wanted: float = 0.0,
    *,
    rate: Rate = TEN,
    holder: str = "A",
    used: Units = (),
    held: Units = (),
    least: float = 1.0,
) -> Ask:
    """Return an ask of a process."""
    return Ask(holder, rate.limit, rate.per, rate.burst, used, held, wanted, least)


def later(book: Book, seconds: float) -> Book:
    """Return a book as it is so many seconds later."""
    spent = tuple(Spent(a - seconds, b - seconds, units) for a, b, units in book.use.spent)
    held = {
        holder: tuple((at - seconds, units) for at, units in pieces)
        for holder, pieces in book.held.items()
    }
    return Book(RateUse(spent, book.use.full_at - seconds), held)


class Process:
    """One process of a fleet, as `rate_supply` has it."""

    def __init__(self, name: str, rate: Rate) -> None:
        self.name, self.rate, self.supply = name, rate, RateSupply()

    def send(self, book: Book, now: float, calls: int) -> tuple[Book, int]:
        """Send as many calls as it may at once; return what the store keeps, and how many."""
        number = 0
        for left in range(calls, 0, -1):
            self.supply = without_lost(self.supply, self.rate, now)
            size = wanted(self.supply, self.rate, 1.0, left, now)
            if size:
                self.supply = on_asked(self.supply, size, now)
                self.supply, said = telling(self.supply, self.rate, 1.0, self.name, now)
                answer, book = reserve(book, said)
                self.supply = on_reserved(self.supply, self.rate, answer, now, 0.5)
            if not isinstance(ask(self.supply, self.rate, 1.0, 0, now, inf), Slot):
                break
            self.supply = on_sent(self.supply, self.rate, 1.0, now)
            number += 1
        return book, number


STEPS = st.lists(
    st.tuples(st.floats(0, 0.6), st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=60
)
"""Pauses, the process that has calls then, and how many."""


def sent_by_fleet(rate: Rate, steps: list[tuple[float, int, int]]) -> list[float]:
    """Let three processes send, and return when they did."""
    fleet = [Process(name, rate) for name in "ABC"]
    book, now, times = Book(), 0.0, []
    for pause, number, calls in steps:
        book, now = later(book, pause * rate.per), now + pause * rate.per
        book, sent = fleet[number].send(book, now, calls)
        times += [now] * sent
    return times


@given(STEPS, st.sampled_from([(1, 1.0), (3, 0.1), (10, 1.0), (10, 3600.0), (500, 60.0)]))
def test_no_window_of_a_fleet_sees_more_than_the_limit(
    steps: list[tuple[float, int, int]], numbers: tuple[int, float]
) -> None:
    """Of ``Rate(10, per=1.0)`` three processes send 10 in any second, however they take turns."""
    limit, per = numbers
    times = sent_by_fleet(Rate(limit, per), steps)
    for first, beyond in zip(times, times[limit:], strict=False):
        assert beyond - first >= per * (1 - 1e-6)


@given(STEPS, st.sampled_from([1, 4, 25]))
def test_a_bucket_lets_a_fleet_send_its_burst_and_its_refill(
    steps: list[tuple[float, int, int]], burst: int
) -> None:
    """With a burst of 4 and 10 a second three processes send 4 + 10 * (w + 0.25) in w seconds."""
    times = sent_by_fleet(Rate(10, per=1.0, burst=burst), steps)
    full_at = -inf
    for time in times:
        full_at = max(full_at, time) + 0.1
        assert full_at - time <= burst / 10 + HELD_SECONDS + 1e-6


def given_to(answer: Reserved) -> float:
    """Return how many units were reserved."""
    return sum(units for _, units in answer.units)


def test_what_is_free_is_given_at_once() -> None:
    """Of 10 in a second one process gets 7, another one the 3 that are left."""
    first, book = reserve(Book(), asked(7.0))
    second, _ = reserve(book, asked(5.0, holder="B"))
    assert first.units == ((0.0, 7.0),)
    assert second.units == ((0.0, 3.0),)


def test_what_will_be_free_soon_is_given_ahead() -> None:
    """Seven sent 0.9 s ago and three just now: seven more from 0.1 s on, the others later."""
    used = ((-0.9, 7.0), (0.0, 3.0))
    answer, _ = reserve(Book(), asked(9.0, used=used))
    assert [each for pair in answer.units for each in pair] == pytest.approx([0.1, 7.0])
    assert answer.free_in == pytest.approx(1.0)


def test_units_that_are_held_no_more_come_back() -> None:
    """A process that got 10 units, has sent 2 and holds none leaves 8 to others."""
    _, book = reserve(Book(), asked(10.0))
    nothing, _ = reserve(book, asked(3.0, holder="B"))
    _, book = reserve(later(book, 0.3), asked(used=((-0.2, 2.0),)))
    answer, _ = reserve(book, asked(9.0, holder="B"))
    assert nothing.units == ()
    assert given_to(answer) == 8.0


def test_units_that_nobody_told_of_count_as_sent_when_they_were_lost() -> None:
    """A process got all and ended: they are free a second and a quarter later, and not before."""
    _, book = reserve(Book(), asked(10.0))
    answer, _ = reserve(later(book, 0.95), asked(1.0, holder="B"))
    assert answer.units == ()
    assert answer.free_in == pytest.approx(0.3)
    answer, _ = reserve(later(book, 1.25), asked(1.0, holder="B"))
    assert answer.units == ((0.0, 1.0),)


def test_what_was_sent_long_ago_is_told_in_vain() -> None:
    """A process that comes back after an hour tells what counts no more."""
    _, book = reserve(Book(), asked(used=((-3600.0, 10.0),)))
    assert book == Book()


def test_a_bucket_counts_what_a_process_held_that_has_ended() -> None:
    """One process sends all that is gained: two units that another held are missing ever after."""
    _, book = reserve(Book(), asked(2.0, rate=BUCKET))
    for _ in range(9):
        _, book = reserve(later(book, 0.1), asked(holder="B", rate=BUCKET, used=((0.0, 1.0),)))
    assert book.held == {}
    assert book.use.full_at == pytest.approx(0.3)


def test_a_process_that_ended_long_ago_is_told_of_once() -> None:
    """The bucket has counted what it held; what it tells after that is not counted again."""
    _, book = reserve(Book(), asked(2.0, rate=BUCKET))
    _, book = reserve(later(book, 1.0), asked(holder="B", rate=BUCKET))
    _, again = reserve(book, asked(rate=BUCKET, used=((-1.0, 2.0),)))
    assert again == book


def test_a_bucket_is_refilled_evenly() -> None:
    """Four at once, then one in a tenth of a second, a quarter of a second ahead."""
    answer, _ = reserve(Book(), asked(9.0, rate=BUCKET))
    times = [time for time, _ in answer.units]
    assert answer.units[0] == (0.0, 4.0)
    assert times == pytest.approx([0.0, 0.1, 0.2])
    assert answer.free_in == pytest.approx(0.3)


def test_a_bucket_counts_in_its_own_time() -> None:
    """Ten in two seconds, with a burst of five: a unit takes 0.2 s, and all of them one second."""
    rate = Rate(10, per=2.0, burst=5)
    assert counted(RateUse(), rate, 5.0, 1.0).full_at == pytest.approx(5.2)
    assert window_seconds(rate) == pytest.approx(1.0)
    said, _ = reserve(Book(RateUse(full_at=0.4)), asked(9.0, rate=rate))
    assert said.units[0] == (0.0, 3.0)


def test_units_that_another_process_holds_count_as_sent_now() -> None:
    """They have been due for 0.1 s: if they are sent now, their room is free in a second."""
    book = Book(held={"B": ((-0.1, 10.0),)})
    said, _ = reserve(book, asked(1.0))
    assert said == ((), 1.0)


def test_units_come_in_parts_of_the_least_that_is_of_use() -> None:
    """A request costs 3 of 10: 9 units are given, and not the tenth."""
    answer, _ = reserve(Book(), asked(10.0, least=3.0))
    assert answer.units == ((0.0, 9.0),)


def test_units_are_counted_in_order_of_time() -> None:
    """Told late: a unit of 0.5 s ago stands before one of now, close ones stand together."""
    use = RateUse()
    for at in (0.0, -0.5, -0.499, 0.001, -0.7):
        use = counted(use, TEN, at, 1.0)
    assert use.spent == (
        Spent(-0.7, -0.7, 1.0),
        Spent(-0.5, -0.499, 2.0),
        Spent(0.0, 0.001, 2.0),
    )
    assert all(a.last <= b.first for a, b in pairwise(use.spent))


def test_units_are_held_for_a_quarter_of_a_short_window() -> None:
    """A window of 0.4 s: for 0.1 s; of an hour, or a bucket: for a quarter of a second."""
    assert held_seconds(Rate(10, per=0.4)) == 0.1
    assert held_seconds(Rate(10, per=3600)) == HELD_SECONDS
    assert held_seconds(Rate(10, per=0.4, burst=1)) == HELD_SECONDS


def test_a_book_lasts_as_long_as_it_says_something() -> None:
    """A window for its length; a bucket until it is full, and what it may hold."""
    assert life(Book(), TEN) == 1.0 + 1.0 + 0.5
    assert life(Book(RateUse(full_at=7.0)), BUCKET) == pytest.approx(7.0 + 0.4 + 1.0 + 0.5)
    assert window_seconds(BUCKET) == pytest.approx(0.4)
