"""Slots of a limit that many processes share: the generic cell rate algorithm (GCRA).

One time says all about a limit: when its next slot would be due if every slot were used, which is
called the theoretical arrival time (ITU-T I.371, annex A). Here it is a `lead`, in seconds from
now, so that it means the same by any clock.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from .bounds import MAX_COOL_DOWN_SECONDS
from .validation import is_finite

MAX_LEAD: Final = MAX_COOL_DOWN_SECONDS
"""Seconds from now in which slots lie, at most."""

IDLE: Final = -inf
"""The lead of a limit of which nothing is known: nobody has used it for long."""


class Ask(NamedTuple):
    """What a take asks for.

    Attributes:
        advance: Seconds by which it advances the time of the next slot.
        idle: Seconds for which slots of the past may still be used.
    """

    advance: float
    idle: float


def ask_for(rate: object, burst: object, count: object) -> Ask | None:
    """Return what a take asks for.

    Args:
        rate: Slots a second.
        burst: Slots that may be used at once where the limit was idle; 1 at least.
        count: How many slots.

    Returns:
        None unless all three are finite, ``rate`` is above zero, and ``count`` is 1 or more: then
        there is nothing to reserve.
    """
    if not (is_finite(rate) and is_finite(burst) and is_finite(count)) or rate <= 0 or count < 1:
        return None
    # Capped before the division: a whole number may be too large for the quotient.
    most = float(rate) * MAX_LEAD
    return Ask(
        MAX_LEAD if count >= most else count / rate,
        MAX_LEAD if burst - 1 >= most else max(burst - 1, 0) / rate,
    )


def reserve(lead: float, ask: Ask) -> tuple[float, float]:
    """Reserve slots.

    Args:
        lead: When the next slot is due, in seconds from now, `MAX_LEAD` at most; `IDLE` where
            nothing is known.
        ask: What a take asks for.

    Returns:
        When the first slot is due, below zero if that long ago, and the lead after it. A slot is
        due `MAX_LEAD` from now at most: what is asked for beyond that is not counted.
    """
    # Not -0.0, which people would see.
    first = max(lead, -ask.idle) + 0.0
    return first, min(first + ask.advance, MAX_LEAD)
