"""Units of a declared rate that the processes of a fleet reserve: what a store keeps of them.

The processes tell the store when they have sent what, and reserve the units that they will send
next. So the store knows as much as a single process does, and counts by the same rule: that of
`declared`. What is reserved and not sent comes back with the next ask of the process that holds it.

All times are seconds from now, below zero for the past: so they mean the same by any clock.
"""

from __future__ import annotations

from math import floor, inf
from typing import TYPE_CHECKING, Final, NamedTuple

from .declared import EVEN, PARTS, Rate, RateUse, Spent, free_at, in_window

if TYPE_CHECKING:
    from collections.abc import Mapping

HELD_SECONDS: Final = 0.25
"""Seconds for which units are held, at most, and so long before they are due at most they can be
reserved. In a window both are a quarter of it at most: then all has been told of a unit by the time
at which the same room is reserved once more."""

Units = tuple[tuple[float, float], ...]
"""Times, and how many units each of them concerns."""


class Ask(NamedTuple):
    """What a process tells the store of a rate, and what it asks for.

    Attributes:
        holder: The name of the process.
        limit: Units that ``per`` seconds allow.
        per: Seconds.
        burst: What the bucket holds, None for a sliding window.
        used: What was sent since the last ask: when, and how many units. The oldest first.
        held: The units that the process still holds: when they are due. All others come back.
        wanted: How many more units it can use.
        least: How many units are of use at once, at least.
    """

    holder: str
    limit: float
    per: float
    burst: float | None
    used: Units
    held: Units
    wanted: float
    least: float

    @property
    def rate(self) -> Rate:
        """The rate without its path and its cost: the key of the record stands for them."""
        return Rate(self.limit, self.per, self.burst)


class Reserved(NamedTuple):
    """What a store answers.

    Attributes:
        units: The units that are reserved, and when they may be sent.
        free_in: When the least number of units is free, besides these.
    """

    units: Units
    free_in: float


class Book(NamedTuple):
    """What a store keeps of a rate.

    Attributes:
        use: What was sent.
        held: The units that each process holds.
    """

    use: RateUse = RateUse()
    held: Mapping[str, Units] = {}


def held_seconds(rate: Rate) -> float:
    """Return for how long units of a rate are held, and how far ahead they can be reserved."""
    return HELD_SECONDS if rate.burst is not None else min(HELD_SECONDS, rate.per / 4)


def reserve(book: Book, ask: Ask) -> tuple[Reserved, Book]:
    """Count what a process has sent, and reserve what it wants, as far as the rate has room."""
    rate = ask.rate
    ahead, oldest = held_seconds(rate), -window_seconds(rate) - held_seconds(rate)
    others = {holder: units for holder, units in book.held.items() if holder != ask.holder}
    # What is held for so long was sent by a process that has not asked since. If it asks once more,
    # it tells what is counted already.
    over = [each for units in others.values() for each in units if each[0] <= oldest]
    use = book.use
    for at, units in sorted([*over, *(each for each in ask.used if each[0] > oldest)]):
        use = counted(use, rate, at, units)
    held = {holder: _since(oldest, units) for holder, units in others.items()}
    held[ask.holder] = ask.held
    whole = use
    for at, units in sorted(each for every in held.values() for each in every):
        # It may be sent until it is lost, and counts as sent now as long as nobody knows.
        whole = counted(whole, rate, min(at + ahead, max(at, 0.0)), units)
    found, left = [], ask.wanted
    while left >= ask.least:
        at = max(free_at(whole, rate, ask.least, 0.0), 0.0)
        if at > ahead:
            break
        steps = floor(min(_room(whole, rate, at), left) / ask.least * EVEN)
        units = max(steps, 1) * ask.least
        found.append((at, units))
        whole, left = counted(whole, rate, at, units), left - units
    free_in = max(free_at(whole, rate, ask.least, 0.0), 0.0)
    held[ask.holder] = (*ask.held, *found)
    use = use._replace(spent=in_window(use, rate, 0.0))
    kept = {holder: units for holder, units in held.items() if units}
    return Reserved(tuple(found), free_in), Book(use, kept)


def counted(use: RateUse, rate: Rate, at: float, units: float) -> RateUse:
    """Count units that were or will be sent at a time, in whatever order they are told."""
    if rate.burst is not None:
        return RateUse(full_at=max(use.full_at, at) + units * rate.per / rate.limit)
    spent = list(use.spent)
    place = sum(each.first <= at for each in spent)
    before = spent[place - 1] if place else Spent(-inf, -inf, 0.0)
    if at < before.first + rate.per / PARTS:
        last = max(before.last, at)
        spent[place - 1] = before._replace(last=last, units=before.units + units)
    else:
        spent.insert(place, Spent(at, at, units))
    return RateUse(tuple(spent))


def window_seconds(rate: Rate) -> float:
    """Return the length of a window, or how long an empty bucket takes until it is full."""
    return rate.per if rate.burst is None else rate.burst * rate.per / rate.limit


def life(book: Book, rate: Rate) -> float:
    """Return for how many seconds a book says anything, at most."""
    return max(book.use.full_at, 0.0) + window_seconds(rate) + rate.per + 2 * HELD_SECONDS


def _since(oldest: float, units: Units) -> Units:
    return tuple(each for each in units if each[0] > oldest)


def _room(use: RateUse, rate: Rate, at: float) -> float:
    """Return how many units may be sent at a time at which some may be sent."""
    if rate.burst is not None:
        return rate.burst - max(use.full_at - at, 0.0) * rate.limit / rate.per
    return rate.limit - sum(each.units for each in in_window(use, rate, at))
