"""The clock of a server: how far it is from ours, and which of the two a signature follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Final

from .headers.time_formats import parse_http_date, parse_number

TOLERANCE: Final = 5.0
"""Seconds by which two clocks may differ and still count as equal."""

INTERVAL: Final = 3600.0
"""Seconds from one correction after a refusal to the next."""

_MOST = 86_400.0
"""A server whose date is further from our time has no clock to follow."""


@dataclass(frozen=True, slots=True)
class ServerClock:
    """What is known of the clock of one server.

    Attributes:
        ahead: Seconds by which it is ahead of our clock; 0.0 if it agrees, or is not known.
        corrected: When a refused request was last tried with another time, in monotonic seconds.
        is_ours: Whether that time was our own, as the server's date may be wrong.
    """

    ahead: float = 0.0
    corrected: float = -inf
    is_ours: bool = False


UNKNOWN: Final = ServerClock()


def seconds_ahead(date: str, age: str, sent: float, received: float) -> float | None:
    """Return by how many seconds the clock of a server is ahead of ours.

    Args:
        date: The `Date` of its answer, a whole second.
        age: The `Age` of the answer, "" if it has none: a cache may have kept it for so long.
        sent: When the request was sent, in POSIX seconds of our clock.
        received: When the answer was there, likewise.

    Returns:
        0.0 if the clocks agree, up to `TOLERANCE`.
        None if the date is missing, malformed or absurd.
    """
    written, kept = parse_http_date(date, received), parse_number(age) if age else 0.0
    if written is None or kept is None:
        return None
    now = written + kept
    # The server wrote the date at any time between request and answer.
    if sent - TOLERANCE <= now <= received + TOLERANCE:
        return 0.0
    # The lower bound: a signature that is a little old is taken, one from the future is not.
    ahead = now - received
    return ahead if abs(ahead) <= _MOST else None


def on_answer(known: ServerClock, ahead: float | None, now: float) -> ServerClock:
    """Follow the date of an answer that refuses nothing.

    Args:
        known: What was known before.
        ahead: The result of `seconds_ahead` for this answer.
        now: Monotonic seconds.
    """
    if ahead is None or (known.is_ours and now - known.corrected < INTERVAL):
        return known
    return replace(known, ahead=ahead, is_ours=False)


def on_refusal(
    known: ServerClock, ahead: float | None, used: float, now: float
) -> tuple[ServerClock, bool]:
    """Decide whether the time of a refused request was at fault.

    Args:
        known: What was known before.
        ahead: The result of `seconds_ahead` for this refusal.
        used: How far ahead of our clock the time was that the request carried, in seconds.
        now: Monotonic seconds.

    Returns:
        What is known now, and whether to try once more with that.
    """
    if abs(known.ahead - used) > TOLERANCE:  # another request has found out meanwhile
        return known, True
    if now - known.corrected < INTERVAL:
        # Neither clock has helped, so that it was not the clock: believe the date again.
        if known.is_ours and ahead is not None:
            return replace(known, ahead=ahead, is_ours=False), False
        return known, False
    if ahead is not None and abs(ahead - used) > TOLERANCE:
        return ServerClock(ahead, now), True
    if used:  # the date was followed, and may be that of a proxy with a wrong clock
        return ServerClock(0.0, now, is_ours=True), True
    return known, False
