"""Units of a declared rate that a process holds: when it asks for more, and what it tells."""

from __future__ import annotations

from math import inf

import pytest

from requests_authretry import Rate, Reason
from requests_authretry._core.declared import NUMBERLESS
from requests_authretry._core.rate_limit import OVERDUE, AskAgain, TooLate
from requests_authretry._core.rate_supply import (
    GROWTH,
    POLL_SECONDS,
    SPARE,
    Piece,
    RateSupply,
    ask,
    on_asked,
    on_away,
    on_reserved,
    on_sent,
    opens_at,
    telling,
    wanted,
    without_lost,
)
from requests_authretry._core.reservations import HELD_SECONDS, Ask, Reserved, Units
from requests_authretry._core.shared_slots import LATEST_SECONDS

TEN = Rate(10, per=1.0)
HUNDRED = Rate(100, per=1.0)
HOUR = Rate(1000, per=3600.0)
BUCKET = Rate(10, per=1.0, burst=4)
COSTLY = Rate(10, per=1.0, cost=lambda _: 2.0)


def reserved(  # noqa: PLR0913 (what an answer depends on)
    *units: tuple[float, float],
    rate: Rate = TEN,
    wants: float = 0.0,
    free_in: float = 0.0,
    at: float = 100.0,
    fraction: float = 0.5,
    supply: RateSupply | None = None,
) -> RateSupply:
    """Return what a process has that asked for units, and got these at once."""
    supply = on_asked(supply or RateSupply(), wants or sum(each for _, each in units), at)
    supply, _ = telling(supply, rate, 1.0, "A", at)
    return on_reserved(supply, rate, Reserved(units, free_in), at, fraction)


def used(supply: RateSupply, *times: float, rate: Rate = TEN) -> RateSupply:
    """Return what is left after requests at these times."""
    for time in times:
        supply = on_sent(supply, rate, 1.0, time)
    return supply


def told(supply: RateSupply, rate: Rate, at: float) -> Ask:
    """Return what the store is asked."""
    return telling(supply, rate, 1.0, "A", at)[1]


def seconds(answer: object) -> float:
    """Return when a call is to ask again; below zero, when it would have been sent too late."""
    return -answer.opens_in if isinstance(answer, TooLate) else answer.seconds  # type: ignore[attr-defined]


# When a call may send


def test_a_call_sends_when_its_unit_is_due() -> None:
    """Of two units, one is due now and one in 0.2 s; the second call waits for that."""
    supply = reserved((0.0, 1.0), (0.2, 1.0))
    assert ask(supply, TEN, 1.0, 0, 100.0, inf) == NUMBERLESS
    after = used(supply, 100.0)
    assert seconds(ask(after, TEN, 1.0, 0, 100.0, inf)) == pytest.approx(0.2)
    assert ask(after, TEN, 1.0, 0, 100.2, inf) == NUMBERLESS


def test_a_call_further_back_asks_a_little_later() -> None:
    """The calls before it go first and wake it: two take 0.2 s, of ten in a second."""
    answer = ask(reserved((0.0, 3.0)), TEN, 1.0, 2, 100.0, inf)
    assert seconds(answer) == pytest.approx(OVERDUE + 0.2, abs=0.01)


def test_a_call_waits_for_units_beyond_those_of_the_calls_before_it() -> None:
    """Three units are due, and the fourth in half a second; two of them are for another call."""
    supply = reserved((0.0, 3.0), (0.5, 1.0))
    answer = ask(supply, TEN, 2.0, 2.0, 100.0, inf)
    assert answer == AskAgain(seconds(answer), Reason.PACING)
    assert seconds(answer) == pytest.approx(0.5 + OVERDUE + 0.2)
    slow = Rate(10, per=2.0)
    assert seconds(ask(supply, slow, 2.0, 2.0, 100.0, inf)) == pytest.approx(0.5 + OVERDUE + 0.4)


def test_a_unit_that_is_due_too_late_for_a_call_stops_it() -> None:
    """It is due in five seconds, and less than 0.1 s before the deadline is too late."""
    supply = reserved((5.0, 1.0))
    assert ask(supply, TEN, 1.0, 0.0, 100.0, 102.0) == TooLate(5.0)
    assert ask(supply, TEN, 1.0, 0.0, 100.0, 105.05) == TooLate(5.0)
    assert ask(supply, TEN, 1.0, 0.0, 100.0, 105.2) == AskAgain(5.0, Reason.PACING)


def test_a_call_waits_for_an_answer_50_ms() -> None:
    """While the store is asked, a call that finds nothing waits until then; then it is late."""
    supply = on_asked(RateSupply(), 1.0, 100.0)
    answer = ask(supply, TEN, 1.0, 0, 100.02, inf)
    assert seconds(answer) == pytest.approx(LATEST_SECONDS - 0.02)
    assert not supply.is_late(100.02)
    assert supply.is_late(100.05)
    assert not RateSupply().is_late(100.05)


def test_a_call_never_asks_again_without_a_wait() -> None:
    """Where the time to ask has passed, it waits a moment."""
    answer = ask(reserved(), TEN, 1.0, 0, 200.0, inf)
    assert seconds(answer) > 0


def test_a_wait_ends_with_the_deadline() -> None:
    """The store is to be asked again in 0.6 s, and the call has 0.3 s."""
    supply = reserved(wants=1.0, free_in=0.2)._replace(ask_at=100.6)
    answer = ask(supply, TEN, 1.0, 0, 100.0, 100.3)
    assert seconds(answer) == pytest.approx(0.3)


def test_a_call_whose_deadline_has_passed_is_too_late() -> None:
    """Whatever the process holds."""
    assert ask(reserved((0.0, 9.0)), TEN, 1.0, 0, 100.0, 100.0) == TooLate(0.0)


def test_a_call_stops_where_the_store_named_a_later_time() -> None:
    """Nothing is free for 3000 s, and the call has 20 s."""
    supply = reserved(wants=1.0, free_in=3000.0)
    assert seconds(ask(supply, HOUR, 1.0, 0, 100.0, 120.0)) == pytest.approx(-3000.0)


def test_a_call_stops_where_those_before_it_need_all_of_a_window() -> None:
    """Eleven calls wait before it: it is sent in the second window from then on."""
    supply = reserved(wants=1.0, free_in=0.5)
    assert seconds(ask(supply, TEN, 1.0, 11, 100.0, 101.0)) == pytest.approx(-1.5)
    assert isinstance(ask(supply, TEN, 1.0, 9, 100.0, 101.0), AskAgain)
    assert seconds(ask(supply, Rate(10, per=2.0), 1.0, 11, 100.0, 101.0)) == pytest.approx(-2.5)
    holding = reserved((0.0, 5.0), wants=9.0, free_in=0.5)
    assert isinstance(ask(holding, TEN, 1.0, 9, 100.0, 101.0), AskAgain)


def test_what_others_cost_is_unknown_where_a_function_says_it() -> None:
    """Eleven calls before it may cost nothing."""
    supply = reserved(wants=1.0, free_in=0.5)
    assert isinstance(ask(supply, COSTLY, 2.0, 22.0, 100.0, 101.0), AskAgain)


def test_sums_of_floats_count_as_what_they_mean() -> None:
    """Three units of 0.1 are as much as one of 0.3."""
    supply = reserved((0.0, 0.1), (0.0, 0.1), (0.0, 0.1))
    assert ask(supply, COSTLY, 0.1 + 0.2, 0, 100.0, inf) == NUMBERLESS


def test_it_opens_when_the_first_unit_is_due_or_the_store_said() -> None:
    """With a unit in 0.2 s: then; without: when more are free."""
    assert opens_at(reserved((0.2, 1.0), free_in=7.0)) == pytest.approx(100.2)
    assert opens_at(reserved(free_in=7.0)) == pytest.approx(107.0)


# How many are asked for


def test_as_many_are_asked_for_as_calls_wait() -> None:
    """At first eight for eight; nothing where as many are there, or the store is asked already."""
    assert wanted(RateSupply(), HUNDRED, 1.0, 8, 100.0) == 8.0
    assert wanted(reserved((0.0, 8.0)), HUNDRED, 1.0, 8, 100.0) == 0.0
    assert wanted(on_asked(RateSupply(), 8.0, 100.0), HUNDRED, 1.0, 8, 100.0) == 0.0


def test_a_process_that_sends_fast_asks_for_more() -> None:
    """Four of four were sent in 50 ms: four times as many, as 20 would be sent in 0.25 s."""
    supply = used(reserved((0.0, 4.0)), *[100.05] * 4)
    assert wanted(supply, HUNDRED, 1.0, 1, 100.05) == 4 * GROWTH
    assert wanted(supply, HUNDRED, 1.0, 1, 100.1) == 4 * HELD_SECONDS / 0.1
    assert wanted(supply, HUNDRED, 1.0, 1, 110.0) == 1.0


def test_a_batch_is_a_small_part_of_a_long_window() -> None:
    """Of 1000 in an hour at most 25 more than calls wait."""
    supply = used(reserved((0.0, 100.0)), *[100.01] * 100)
    assert wanted(supply, HOUR, 1.0, 1, 100.1) == SPARE * 1000
    assert wanted(supply, HOUR, 1.0, 200, 100.1) == 200.0


def test_a_batch_is_a_fair_part_where_others_need_units() -> None:
    """Less came than was wanted: at most what the rate allows in a quarter of a second."""
    supply = reserved((0.0, 2.0), wants=8.0, free_in=0.9)
    assert wanted(used(supply, 100.0, 100.0), TEN, 1.0, 8, 101.0) == 2.0
    assert wanted(used(supply, 100.0, 100.0), HOUR, 1.0, 8, 101.0) == 1.0


def test_no_more_is_asked_for_than_may_ever_be_sent_at_once() -> None:
    """Twenty calls wait for a bucket of four."""
    assert wanted(RateSupply(), BUCKET, 1.0, 20, 100.0) == 4.0


def test_whole_requests_are_asked_for() -> None:
    """Each costs three of ten: nine units, or three if that is more than a fair part."""
    scarce = reserved((0.0, 3.0), wants=9.0, free_in=0.9)
    assert wanted(RateSupply(), COSTLY, 3.0, 5, 100.0) == 9.0
    assert wanted(used(scarce, 100.0, 100.0, 100.0), COSTLY, 3.0, 5, 101.0) == 3.0


def test_nothing_is_asked_for_before_it_is_time() -> None:
    """Nothing is free for 0.5 s: the process asks up to a quarter of a second before."""
    supply = reserved(wants=8.0, free_in=0.5, fraction=0.0)
    assert wanted(supply, TEN, 1.0, 8, 100.37) == 0.0
    assert wanted(supply, TEN, 1.0, 8, 100.38) > 0
    assert reserved(wants=8.0, free_in=0.5, fraction=1.0).ask_at == pytest.approx(100.25)


def test_others_may_have_given_units_back_meanwhile() -> None:
    """Nothing is free for an hour: the process asks again in one to two seconds."""
    asks = [reserved(wants=1.0, free_in=3600.0, fraction=each).ask_at for each in (0.0, 1.0)]
    assert asks == [100.0 + POLL_SECONDS, 100.0 + 2 * POLL_SECONDS]


def test_who_got_units_lets_others_ask_until_they_are_due() -> None:
    """Two units in 0.2 s: the process asks again then."""
    assert reserved((0.2, 2.0)).ask_at == pytest.approx(100.2)


# What is told


def test_the_store_hears_what_was_sent_and_what_is_held() -> None:
    """Two of four were sent, 0.2 and 0.1 s ago; the other two are held."""
    supply = used(reserved((0.0, 3.0), (0.15, 1.0)), 100.0, 100.1)
    heard = told(on_asked(supply, 5.0, 100.2), TEN, 100.2)
    assert heard[:4] == ("A", 10, 1.0, None)
    assert flat(heard.used) == pytest.approx([-0.2, 1.0, -0.1, 1.0])
    assert flat(heard.held) == pytest.approx([-0.2, 1.0, -0.05, 1.0])
    assert heard[6:] == (5.0, 1.0)


def test_units_of_a_bucket_come_in_parts_of_whole_requests() -> None:
    """Of 400 units for requests of two units, a fiftieth comes at a time: four requests."""
    rate = Rate(10, per=1.0, burst=400)
    heard = telling(on_asked(RateSupply(), 400.0, 100.0), rate, 2.0, "A", 100.0)[1]
    assert (heard.burst, heard.wanted, heard.least) == (400, 400.0, 8.0)


def test_an_answer_begins_the_count_anew() -> None:
    """Four of four were sent; the next one is due in 0.2 s, as others need units, too."""
    supply = reserved((0.2, 1.0), supply=used(reserved((0.0, 4.0)), *[100.0] * 4))
    assert (supply.sent, supply.size, supply.is_scarce) == (0.0, 1.0, True)


def test_what_is_sent_before_the_store_is_asked_is_told() -> None:
    """A call used one of two units after another call had ordered more."""
    ordered = on_asked(reserved((0.0, 2.0)), 3.0, 100.1)
    heard = told(used(ordered, 100.11), TEN, 100.12)
    assert flat(heard.used) == pytest.approx([-0.01, 1.0])
    assert flat(heard.held) == pytest.approx([-0.12, 1.0])


def flat(units: Units) -> list[float]:
    """Return times and units as one list."""
    return [each for pair in units for each in pair]


def test_what_was_told_is_told_once() -> None:
    """After an answer only later requests are told."""
    supply = reserved((0.0, 1.0), supply=used(reserved((0.0, 2.0)), 100.0))
    assert supply.used == supply.told == ()


def test_what_was_told_in_vain_is_told_again() -> None:
    """The store did not answer: the process holds nothing, and tells the next time."""
    supply, _ = telling(used(reserved((0.0, 3.0)), 100.0), TEN, 1.0, "A", 100.1)
    supply = on_away(used(supply, 100.1))
    assert supply.pieces == ()
    assert flat(told(supply, TEN, 100.2).used) == pytest.approx([-0.2, 1.0, -0.1, 1.0])


def test_what_left_the_window_is_not_told() -> None:
    """Without a store the process sends for hours: it keeps what any second may have held."""
    supply = used(RateSupply(), *[100.0 + number / 10 for number in range(1000)])
    assert len(supply.used) <= 10


def test_a_bucket_is_told_no_more_than_it_holds() -> None:
    """Nine requests of a bucket of four: four, at the time of the last one."""
    supply = used(RateSupply(), *[100.0 + number / 10 for number in range(9)], rate=BUCKET)
    assert list(supply.used[0]) == pytest.approx([100.8, 100.8, 4.0])
    assert len(supply.used) == 1


def test_a_bucket_gives_a_large_batch_in_parts() -> None:
    """Of 500 units at least ten at once; a window gives what leaves it."""
    many = Rate(5000, per=1.0, burst=500)
    assert told(on_asked(RateSupply(), 500.0, 100.0), many, 100.0).least == 10.0
    assert told(on_asked(RateSupply(), 500.0, 100.0), Rate(5000, 1.0), 100.0).least == 1.0


def test_units_are_lost_that_were_held_too_long() -> None:
    """Those due a quarter of a second ago are there, and not a moment later."""
    supply = reserved((0.0, 1.0), (0.1, 1.0))
    assert without_lost(supply, TEN, 100.25).pieces == supply.pieces
    assert [each.due for each in without_lost(supply, TEN, 100.3).pieces] == [100.1]
    assert without_lost(RateSupply(), TEN, 100.3) == RateSupply()


def test_a_request_uses_the_earliest_units() -> None:
    """It costs two: one of a batch of one, and one of the next batch."""
    supply = on_sent(reserved((0.0, 1.0), (0.1, 3.0)), COSTLY, 2.0, 100.1)
    assert supply.pieces == (Piece(100.1, 2.0),)
    assert supply.left == 2.0


def test_a_moment_of_rounding_is_no_wait() -> None:
    """A unit that is due in a millionth of a millionth of a second is due."""
    assert reserved((1e-12, 1.0)).pieces == (Piece(100.0, 1.0),)


def test_a_supply_is_over_when_nothing_of_it_counts() -> None:
    """A window and a quarter of a second after the last ask or request; a new one always is."""
    supply = used(reserved((0.0, 2.0)), 100.2)
    assert RateSupply().is_over(TEN, 0.0)
    assert not supply.is_over(TEN, 101.45)
    assert supply.is_over(TEN, 101.46)
    assert not on_asked(supply, 1.0, 100.3).is_over(TEN, 999.0)
