"""The pace of a fleet: what its processes tell each other, so that they find one pace together.

Each process measures the pace by the answers to its own requests. That alone is not enough: eight
processes would be refused eight times as often until each has found the same rate. So a process
that has measured the rate after a refusal tells the others, and they adopt it.

Until all have heard, requests are sent at the pace from before: their refusals are no evidence of
the new one, and count for nothing.
"""

from __future__ import annotations

import json
from math import inf
from typing import Final, NamedTuple

from .pace import CARRIED, FIRST_RATE, LEAST_RATE, MOST_RATE, SECONDS_KEPT, Pace
from .validation import is_finite

TOLD_SECONDS: Final = SECONDS_KEPT
"""Seconds for which the store keeps a pace."""

SETTLING_SECONDS: Final = 1.0
"""Seconds after which all processes have heard of a pace."""

SLOWER: Final = 0.4
"""Share of its growth that a search has in a fleet, as all processes search at once."""

CAREFUL: Final = 0.2
"""How much a success of another process counts for the rise of the pace. Each rise above the limit
is paid for with the refusals of all processes, until all have heard of the first one."""

CAUTIOUS: Final = 0.8
"""Share of the pace at the end of a search that the measured rate is, at least."""

PRIOR: Final = 2.0
"""Successes that are added where a first refusal measures the rate."""

STEEPNESS: Final = 0.3
"""Part of the share that is refused while all are to hear of a pace by which each process lowers
its own pace further."""

_FORMAT: Final = {"kind": "pace", "version": 1}


class Told(NamedTuple):
    """A rate that a process has measured.

    Attributes:
        rate: Requests a second that the limit lets pass.
        basis: Requests that had passed when it was measured.
    """

    rate: float
    basis: float


def text_of(pace: Pace, mark: str) -> str:
    """Return a measured pace as text, with a mark that tells it from equal ones."""
    return json.dumps({**_FORMAT, "rate": pace.rate, "basis": pace.basis, "mark": mark})


def told(text: object) -> Told | None:
    """Return the rate that a text tells, None if it is no text of this format."""
    try:
        record = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or any(record.get(key) != _FORMAT[key] for key in _FORMAT):
        return None
    rate, basis = record.get("rate"), record.get("basis")
    if not is_finite(rate) or not is_finite(basis) or not LEAST_RATE <= rate <= MOST_RATE:
        return None
    return Told(rate, max(basis, 0.0))


def adopted(pace: Pace, news: Told, now: float) -> Pace:
    """Return the pace of a process that has heard what another one has measured."""
    is_settling = now < pace.since and not pace.is_searching
    rate = min(pace.rate, news.rate) if is_settling else news.rate
    before = pace.allowed if pace.rate < inf else news.rate
    return pace._replace(
        rate=rate,
        is_searching=False,
        since=now + SETTLING_SECONDS,
        changed=now,
        before=before,
        refused_at=now,
        passed=CARRIED,
        spent=CARRIED / rate,
        basis=news.basis,
        rises=0,
        recent=0,
        expected=0.0,
    )


def is_first_of_search(before: Pace, after: Pace) -> bool:
    """Whether a refusal is the first one that counts in a search."""
    return before.rate < inf and before.is_searching and after.is_searching and after is not before


def is_measured(before: Pace, after: Pace) -> bool:
    """Whether a refusal has measured the rate, which others have to hear."""
    return before.rate < inf and not after.is_searching and after.refused_at > before.refused_at


def settling(pace: Pace, now: float) -> Pace:
    """Return a pace that counts no answers to requests that leave before all have heard of it."""
    return pace._replace(since=now + SETTLING_SECONDS)


def end_of_search(pace: Pace, now: float) -> Pace:
    """Measure the rate at the first refusal of a search: others search on until they hear of it."""
    rate = (pace.passed + PRIOR) / (pace.spent + PRIOR / pace.allowed)
    rate = max(rate, pace.allowed * CAUTIOUS)
    return adopted(pace, Told(rate, pace.passed), now)


def still_refused(pace: Pace, began: float, share: float) -> Pace:
    """Lower a pace that others are still to hear of, as one more request was refused.

    Such a refusal measures nothing, but many of them say that the pace was far too high.

    Args:
        pace: The pace.
        began: When the refused request left.
        share: The part of all requests that this process sends.
    """
    if pace.is_searching or began < pace.changed - SETTLING_SECONDS:
        return pace
    sent = pace.allowed * share * SETTLING_SECONDS
    return pace._replace(
        rate=max(pace.rate * (1 - STEEPNESS / max(sent, 2.0)), LEAST_RATE),
        in_vain=pace.in_vain + (began > pace.changed),
    )


def with_others(before: Pace, after: Pace, share: float) -> Pace:
    """Count the successes of other processes, as one of this process is a part of them all.

    Args:
        before: The pace before the success.
        after: The pace after it.
        share: The part of all requests that this process sends.
    """
    if after is before:
        # A success ends a row of refusals, even if others are still to hear of the pace.
        return after._replace(in_vain=0)
    if after.is_searching and not before.is_searching:
        return after
    if before.is_slow_start:  # the other processes have as many successes, and do not hear of them
        rate = before.rate + (after.rate - before.rate) / share
        return after._replace(rate=max(min(rate, FIRST_RATE), after.rate))
    if after.is_searching:
        slower = min(SLOWER / after.caution, 1.0)
        return after._replace(rate=before.rate + slower * (after.rate - before.rate))
    others = 1 / share - 1 if after.rises > before.rises else 0.0
    return after._replace(
        rises=after.rises + CAREFUL * others,
        passed=after.passed + others,
        spent=after.spent + others / after.allowed,
    )


def alone(pace: Pace, share: float) -> Pace:
    """Return the part of a pace that a process keeps which shares no slots any more."""
    return pace._replace(rate=pace.rate * share)


def joined(pace: Pace, share: float) -> Pace | None:
    """Return the pace of which a process has its part, if enough passes to share slots again.

    Args:
        pace: The pace of the process by itself.
        share: The part of all requests that it sends.

    Returns:
        None if too little passes yet: less than its part of the first pace.
    """
    if pace.passes_nothing or (pace.is_slow_start and pace.rate < FIRST_RATE * share):
        return None
    most = max(FIRST_RATE, pace.rate) if pace.is_searching else inf
    return pace._replace(rate=min(pace.rate / share, most), spent=pace.spent * share)
