"""Units of a declared rate that a process holds, out of the store that it shares with others.

The store knows what all processes have sent, see `reservations`. A process reserves the units that
its calls wait for, and as many as it will send in a quarter of a second.
"""

from __future__ import annotations

from math import floor, inf
from typing import TYPE_CHECKING, Final, NamedTuple

from .bounds import LEAST_ATTEMPT
from .declared import NUMBERLESS, RateUse, Spent, in_window
from .rate_limit import OVERDUE, AskAgain, Slot, TooLate
from .records import Reason
from .reservations import HELD_SECONDS, Ask, counted, held_seconds, window_seconds
from .shared_slots import LATEST_SECONDS

if TYPE_CHECKING:
    from .declared import Rate
    from .reservations import Reserved, Units

SPARE: Final = 0.025
"""Part of the limit that a process may hold beyond what its calls wait for. If no more calls come,
nobody has these units until it asks again, or until ``per`` seconds have passed."""

GROWTH: Final = 4.0
"""How many times as large as the last one a batch is, at most."""

POLL_SECONDS: Final = 1.0
"""Where nothing is free, calls ask again after so many seconds, up to twice as many: meanwhile
another process may have given units back."""

_STEPS: Final = 50
"""A batch of a fast token bucket comes in so many parts, at most."""


_SOON: Final = 1e-6
"""Seconds, or units, that are due to rounding."""

_LEAST_WAIT: Final = 0.001
"""Seconds until a call asks again, at least."""


class Piece(NamedTuple):
    """Units that may be sent from a time on, in monotonic seconds."""

    due: float
    units: float


class RateSupply(NamedTuple):
    """What a process holds of a rate, and what it has not yet told. Times are monotonic seconds.

    Attributes:
        pieces: The units that it holds, the earliest first.
        used: What was sent and is not told, the oldest first.
        told: What the ask under way tells; it is told again if no answer comes.
        asked: When the store was asked last.
        is_asked: Whether the answer is still to come.
        wanted: How many units it was asked for.
        size: How many came.
        sent: How many were sent since.
        free_at: When more are free at the earliest, as the store said.
        ask_at: When the store may be asked again.
        is_scarce: Whether others need the units, too.
    """

    pieces: tuple[Piece, ...] = ()
    used: tuple[Spent, ...] = ()
    told: tuple[Spent, ...] = ()
    asked: float = -inf
    is_asked: bool = False
    wanted: float = 0.0
    size: float = 0.0
    sent: float = 0.0
    free_at: float = -inf
    ask_at: float = -inf
    is_scarce: bool = False

    @property
    def left(self) -> float:
        """Units that it holds."""
        return sum(piece.units for piece in self.pieces)

    def is_late(self, now: float) -> bool:
        """Whether the store takes longer for its answer than calls wait for it."""
        return self.is_asked and now >= self.asked + LATEST_SECONDS

    def is_over(self, rate: Rate, now: float) -> bool:
        """Whether it is the same as none."""
        times = [each.last for each in (*self.told, *self.used)]
        seconds = max(rate.per, window_seconds(rate)) + HELD_SECONDS
        return not self.is_asked and max([*times, self.asked]) + seconds < now


def without_lost(supply: RateSupply, rate: Rate, now: float) -> RateSupply:
    """Return the supply without units that were held for too long; the next ask gives them back."""
    since = now - held_seconds(rate)
    if not supply.pieces or supply.pieces[0].due >= since:
        return supply
    return supply._replace(pieces=tuple(each for each in supply.pieces if each.due >= since))


def wanted(supply: RateSupply, rate: Rate, units: float, waiting: int, now: float) -> float:
    """Return how many more units the process can use; 0.0 if it need not ask yet.

    Args:
        supply: What it holds.
        rate: The declared rate.
        units: What a request costs.
        waiting: Calls that wait.
        now: The monotonic clock.
    """
    missing = waiting * units - supply.left
    if supply.is_asked or missing <= 0 or now < supply.ask_at:
        return 0.0
    # What it sends in a while, as far as the last batch tells.
    took = max(now - supply.asked, HELD_SECONDS / GROWTH)
    sends = min(supply.sent * HELD_SECONDS / took, max(supply.size, 1.0) * GROWTH)
    fair = rate.limit * HELD_SECONDS / rate.per
    if supply.is_scarce:
        most = min(max(missing, sends), fair)
    else:
        most = max(missing, min(sends, max(fair, SPARE * rate.most)))
    return max(floor(min(most, max(rate.most, fair)) / units), 1) * units


def on_asked(supply: RateSupply, wanted: float, now: float) -> RateSupply:
    """Note that the store is asked."""
    return supply._replace(is_asked=True, asked=now, wanted=wanted)


def telling(
    supply: RateSupply, rate: Rate, units: float, holder: str, now: float
) -> tuple[RateSupply, Ask]:
    """Return what the store is asked and told now, and the supply that has told it."""
    supply = supply._replace(told=(*supply.told, *supply.used), used=())
    steps = supply.wanted / _STEPS if rate.burst is not None else 0.0
    return supply, Ask(
        holder,
        rate.limit,
        rate.per,
        rate.burst,
        tuple((each.last - now, each.units) for each in supply.told),
        tuple((piece.due - now, piece.units) for piece in supply.pieces),
        supply.wanted,
        max(floor(steps / units), 1) * units,
    )


def on_reserved(
    supply: RateSupply, rate: Rate, reserved: Reserved, now: float, fraction: float
) -> RateSupply:
    """Add the units that the store has reserved.

    Args:
        supply: What the process holds.
        rate: The declared rate.
        reserved: What the store says.
        now: The monotonic clock.
        fraction: A random number from 0 to 1, so that the processes of a fleet do not all ask at
            the same time, and no one is always the first.
    """
    size = sum(units for _, units in reserved.units)
    free_at, ahead = now + reserved.free_in, held_seconds(rate)
    due = max((seconds for seconds, _ in reserved.units), default=0.0)
    # Whoever got all lets others ask before it does so again.
    ask_at = now + due
    if size < supply.wanted:
        ask_at = max(ask_at, free_at - ahead * (1 + fraction) / 2)
    return supply._replace(
        pieces=_sorted(supply.pieces, reserved.units, now),
        told=(),
        is_asked=False,
        size=size,
        sent=0.0,
        free_at=free_at,
        ask_at=min(ask_at, now + POLL_SECONDS * (1 + fraction)),
        is_scarce=size < supply.wanted or due > 0,
    )


def _sorted(pieces: tuple[Piece, ...], units: Units, now: float) -> tuple[Piece, ...]:
    found = (Piece(now + (seconds if seconds > _SOON else 0.0), each) for seconds, each in units)
    return tuple(sorted((*pieces, *found)))


def on_away(supply: RateSupply) -> RateSupply:
    """Give up all units, as the store does not answer: what was sent is told later."""
    return RateSupply(used=(*supply.told, *supply.used))


def on_sent(supply: RateSupply, rate: Rate, units: float, now: float) -> RateSupply:
    """Count a request that is sent."""
    pieces, left = list(supply.pieces), units
    while left > 0 and pieces and pieces[0].due <= now:
        first = pieces.pop(0)
        if first.units > left:
            pieces.insert(0, Piece(first.due, first.units - left))
        left -= first.units
    return supply._replace(
        pieces=tuple(pieces), used=_noted(supply.used, rate, units, now), sent=supply.sent + units
    )


def _noted(used: tuple[Spent, ...], rate: Rate, units: float, now: float) -> tuple[Spent, ...]:
    """Note what was sent; a bucket holds no more than its burst, whenever that was sent."""
    if rate.burst is None:
        return in_window(counted(RateUse(used), rate, now, units), rate, now)
    before = sum(each.units for each in used)
    return (Spent(now, now, min(before + units, rate.burst)),)


def ask(  # noqa: PLR0913, PLR0917 (whose request, and what it costs)
    supply: RateSupply, rate: Rate, units: float, ahead: float, now: float, deadline: float
) -> Slot | AskAgain | TooLate:
    """Decide whether a waiting call may send a request now; `on_sent` counts it.

    Args:
        supply: What the process holds.
        rate: The declared rate.
        units: What the request costs.
        ahead: What the calls before this one cost, as far as that is known; 0.0 if there are none.
        now: The monotonic clock.
        deadline: When the call has to be over.
    """
    due = _due(supply, ahead + units)
    surely = due if due < inf else supply.free_at
    if rate.cost is None and due == inf:
        refills = max(ahead - supply.left, 0.0) // rate.most
        surely += refills * rate.most * rate.per / rate.limit
    if now >= deadline or surely > max(now, deadline - LEAST_ATTEMPT):
        return TooLate(max(surely - now, 0.0))
    if due <= now and not ahead:
        return NUMBERLESS
    at = due
    if due == inf:
        at = supply.asked + LATEST_SECONDS if supply.is_asked else supply.ask_at
    wait = max(at - now, _LEAST_WAIT)
    if ahead:  # the call before it wakes it earlier
        wait += OVERDUE + ahead * rate.per / rate.limit
    return AskAgain(min(wait, deadline - now), Reason.PACING)


def opens_at(supply: RateSupply) -> float:
    """Return when the process may send again at the earliest, as far as the store said."""
    return supply.pieces[0].due if supply.pieces else supply.free_at


def _due(supply: RateSupply, units: float) -> float:
    """Return when so many of the units that the process holds are due, inf if it holds fewer."""
    for piece in supply.pieces:
        units -= piece.units
        if units <= _SOON:  # sums of floats may come out a little too small
            return piece.due
    return inf
