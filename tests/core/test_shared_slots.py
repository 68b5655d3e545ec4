"""Slots of a fleet: which of them a process has, when it asks for more, and how many."""

from __future__ import annotations

from math import inf

import pytest

from requests_authretry._core.shared_slots import (
    LATEST_SECONDS,
    LOST_SECONDS,
    Batch,
    Supply,
    next_due,
    on_asked,
    on_away,
    on_taken,
    on_used,
    wanted,
    without_lost,
)

PACE = 20.0
"""Requests a second of the fleet: a slot each 50 ms."""

FAST = 40.0
"""The pace when the next batch is asked for: ten slots at most."""


def taken(
    number: int, *, at: float = 0.0, first: float = 0.0, supply: Supply | None = None
) -> Supply:
    """Return the slots of a process that asked for so many, and got them at once."""
    return on_taken(on_asked(supply or Supply(), at), first, number, PACE, at)


def used(supply: Supply, *times: float) -> Supply:
    """Return the slots after requests at these times."""
    for time in times:
        supply = on_used(supply, time, 1 / PACE)
    return supply


# When the next request may be sent


def test_slots_are_due_one_after_another() -> None:
    """Of three slots from 0.2 s on, the first is due then, the second 50 ms later, and so on."""
    supply, dues = taken(3, first=0.2), []
    while supply.left:
        dues.append(next_due(supply, 0.0, may_wait=True))
        supply = used(supply, dues[-1])
    assert dues == pytest.approx([0.2, 0.25, 0.3])


def test_a_second_batch_follows_the_first() -> None:
    """Its slots are due when the store said, and not right after those of the first batch."""
    supply = taken(1, at=0.1, first=0.7, supply=taken(2, first=0.2))
    dues = [next_due(each, 0.0, may_wait=True) for each in (supply, used(supply, 0.2))]
    assert dues == pytest.approx([0.2, 0.25])
    assert next_due(used(supply, 0.2, 0.25), 0.3, may_wait=True) == pytest.approx(0.8)


def test_a_call_waits_for_the_store_50_ms() -> None:
    """While a batch is on its way, a call waits until 50 ms after it was asked for."""
    supply = on_asked(Supply(), 7.0)
    assert next_due(supply, 7.02, may_wait=True) == 7.0 + LATEST_SECONDS
    assert next_due(supply, 7.05, may_wait=True) == -inf


def test_without_a_store_nobody_waits_for_it() -> None:
    """Where the store is away or may not be asked, the process keeps a pace of its own."""
    assert next_due(on_asked(Supply(), 7.0), 7.0, may_wait=False) == -inf
    assert next_due(Supply(), 7.0, may_wait=True) == -inf


def test_the_own_pace_begins_with_the_last_request() -> None:
    """After a request without a slot the next may be sent an interval later."""
    supply = used(Supply(), 7.0)
    assert next_due(supply, 7.0, may_wait=True) == pytest.approx(7.0 - 0.03 + 0.05)
    assert next_due(used(supply, 7.02), 7.02, may_wait=True) == pytest.approx(7.07)


def test_the_own_pace_is_the_part_that_the_process_had() -> None:
    """A process that has got a quarter of all slots goes on with a quarter of the pace."""
    supply = Supply(own=1.0, every=4.0)
    assert next_due(used(supply, 7.0), 7.0, may_wait=True) == pytest.approx(7.0 - 0.03 + 0.2)


# Slots that are lost


def test_a_slot_that_was_not_used_in_time_is_lost() -> None:
    """Of four slots, the first two are lost 0.06 s after the first one became too old."""
    supply = taken(4)
    assert without_lost(supply, LOST_SECONDS) is supply
    [batch] = without_lost(supply, LOST_SECONDS + 0.06).batches
    assert batch.due == pytest.approx(0.1)
    assert batch.left == 2


def test_slots_of_a_later_batch_are_not_lost_with_the_first() -> None:
    """Of three slots from 0 s on one is lost at 0.26 s; the two from 0.3 s on stay."""
    supply = taken(2, first=0.3, supply=taken(3))
    assert [each.left for each in without_lost(supply, 0.26).batches] == [2, 2]


def test_all_slots_are_lost() -> None:
    """A minute later none is left, of both batches."""
    supply = taken(3, at=0.2, first=0.3, supply=taken(3))
    assert without_lost(supply, 60.0).batches == ()
    assert without_lost(Supply(), 60.0) == Supply()


def test_a_batch_that_is_still_due_stays() -> None:
    """Where the first batch is lost, the second one is whole."""
    supply = taken(3, at=0.2, first=5.0, supply=taken(3))
    assert without_lost(supply, 3.0).batches == (Batch(5.2, 0.05, 3),)


# When a batch is asked for, and how many slots it has


def test_the_first_batch_has_a_slot_for_each_waiting_call() -> None:
    """Eight calls wait: eight slots; a hundred wait: what the pace gives in 0.25 s."""
    assert [wanted(Supply(), 0.0, waiting, FAST) for waiting in (1, 8, 100)] == [1, 8, 10]


def test_a_slow_limit_gives_one_slot_at_a_time() -> None:
    """One request in ten seconds: one slot."""
    assert wanted(Supply(), 0.0, 100, 0.1) == 1


def test_nothing_is_asked_for_while_a_batch_is_on_its_way() -> None:
    """One at a time."""
    assert wanted(on_asked(Supply(), 0.0), 0.01, 8, FAST) == 0


def test_nothing_is_asked_for_that_nobody_waits_for() -> None:
    """Three slots are there for three calls, even if all are due now."""
    assert wanted(taken(3), 1.0, 3, FAST) == 0
    assert wanted(Supply(), 1.0, 0, FAST) == 0


def test_the_next_batch_is_asked_for_before_the_last_slot_is_due() -> None:
    """The last of eight slots is due at 0.35 s: from 0.25 s on, a ninth call asks for more."""
    supply = used(taken(8), 0.0, 0.05, 0.1)
    assert wanted(supply, 0.24, 9, FAST) == 0
    assert wanted(supply, 0.26, 9, FAST) == 8


@pytest.mark.parametrize(
    ("took", "size"),
    [(0.12, 8), (0.2, 5), (0.26, 4), (0.49, 4), (0.51, 2)],
)
def test_the_size_follows_the_time_that_a_batch_lasts(took: float, size: int) -> None:
    """Four slots used up in 0.12 s are doubled, in 0.2 s get one more, in 0.51 s are halved."""
    assert wanted(used(taken(4), *[0.1] * 4), took, 8, FAST) == size


def test_the_time_of_a_batch_begins_when_it_is_asked_for() -> None:
    """Five slots that were asked for at 100 s lasted 0.6 s: two come next, not two and a half."""
    supply = used(taken(5, at=100.0, first=100.0), *[100.0] * 5)
    assert repr(wanted(supply, 100.6, 9, FAST)) == "2"
    assert supply.used == 5
    assert taken(2, at=100.6, supply=supply).used == 0


def test_requests_without_a_slot_double_the_size() -> None:
    """Four slots, and five requests before the store could be asked again: eight slots next."""
    assert wanted(used(taken(4), *[0.1] * 5), 0.5, 8, FAST) == 8


def test_no_batch_takes_more_than_a_quarter_of_a_second() -> None:
    """Eight slots that were used up at once are not doubled to sixteen: ten take 0.25 s."""
    assert wanted(used(taken(8), *[0.1] * 8), 0.1, 50, FAST) == 10


def test_slots_that_were_lost_make_the_next_batch_smaller() -> None:
    """Of eight slots three were used: three next; none was used: one."""
    for times in ([0.0, 0.05, 0.1], []):
        supply = without_lost(used(taken(8), *times), 9.0)
        assert wanted(supply, 9.0, 8, FAST) == max(len(times), 1)


def test_a_batch_that_does_not_come_is_asked_for_again() -> None:
    """After the store was away, calls ask for slots as at first."""
    assert wanted(on_away(on_asked(Supply(), 0.0)), 5.0, 3, FAST) == 3


# The part of the fleet's slots that a process has


def test_a_process_has_all_slots_at_first() -> None:
    """As long as nothing is known of others."""
    assert Supply().share == taken(4).share == 1.0


def test_the_share_is_what_others_leave() -> None:
    """Each batch of 0.2 s begins 0.8 s after the one before: the share becomes a quarter."""
    supply = taken(4, first=0.0)
    for number in range(1, 40):
        at = number * 0.8
        supply = taken(4, at=at - 0.5, first=0.5, supply=used(supply, *[at - 0.5] * 4))
    assert supply.share == pytest.approx(0.25, rel=0.01)


def test_the_share_is_that_of_the_last_batches() -> None:
    """Ten slots of 50 ms were taken, and the next is due after 1 s: half of that, and a bit more.

    What was known before counts 0.8 times.
    """
    supply = taken(10, at=0.1, first=1.0, supply=taken(10, first=0.1))
    assert (supply.own, supply.every) == pytest.approx((0.8 + 0.5, 0.8 + 1.0))
    assert supply.share == pytest.approx(1.3 / 1.8)
    assert Supply(own=3.0, every=1.0).share == 1.0


def test_a_limit_that_was_idle_says_nothing_of_others() -> None:
    """A slot each ten seconds, which is there at once, is no sign that others take all the rest."""
    supply = Supply()
    for number in range(12):
        supply = taken(1, at=10.0 * number, supply=used(supply, 10.0 * number))
    assert supply.share == 1.0


def test_a_share_is_never_nothing() -> None:
    """A thousandth at least, so that a process that waited for an hour goes on."""
    supply = taken(1, at=1.0, first=3600.0, supply=taken(1))
    supply = taken(1, at=2.0, first=3600.0, supply=supply)
    assert supply.share >= 0.001
    assert Supply(own=1e-9, every=3600.0).share == 0.001


def test_a_store_that_repeats_itself_says_nothing_of_others() -> None:
    """A batch that begins no later than the one before leaves the share as it is."""
    assert taken(1, at=1.0, first=0.5, supply=taken(1, at=0.0, first=1.5)).share == 1.0
