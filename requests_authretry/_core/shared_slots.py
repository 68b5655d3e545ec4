"""Slots that a process takes from a store, in batches, so that a fleet keeps one pace.

A `Supply` holds what one process has taken of one rate limit. All processes of the fleet take from
the same record, and each take moves the time of the next slot on by ``count / rate``, with the pace
that this process has found. So the fleet keeps the mean of what its processes have found, and no
slot is given out twice.

The next batch is asked for before the last slot of this one is due. Its size follows what the
process sends: it is doubled where batches are used up too fast, so that a few operations a second
are enough, and it is made smaller where slots are lost or others need them.

Where the store does not answer in time, the process keeps a pace of its own: the part of the pace
that it had.
"""

from __future__ import annotations

from math import ceil, inf
from typing import Final, NamedTuple

LATEST_SECONDS: Final = 0.05
"""Seconds in which a store has to answer. One that takes longer counts as away."""

AWAY_SECONDS: Final = 5.0
"""Seconds for which a store that is away is not asked for slots."""

FARTHEST_SECONDS: Final = 60.0
"""Seconds from now in which a slot is used at the latest. One that lies further ahead was taken
while the pace of the fleet was low, or a record is broken: calls would miss their deadlines."""

LATE: Final = 0.03
"""Seconds for which slots of the past may be taken: those that an ask on its way would miss."""

LOST_SECONDS: Final = 0.25
"""Seconds after which a slot that was not used is lost: many at once would be a burst."""

LEAD_SECONDS: Final = 0.1
"""Seconds before the last slot is due in which the next batch is asked for."""

MOST_SECONDS: Final = 0.25
"""Seconds of the pace that a batch takes at most."""

SHORT_SECONDS, LONG_SECONDS = 0.25, 0.5
"""The next batch has one slot more than one that was used up in less time, and twice as many if it
took half of that; and half as many as one that took longer. So all processes come to equal parts
(Chiu and Jain, 1989)."""

_KEPT: Final = 0.8
"""Weight of the batches before the last one in the share of the process."""

_LEAST_SHARE: Final = 0.001


class Batch(NamedTuple):
    """Slots that were taken together and not yet used.

    Attributes:
        due: When the first of them is due, in monotonic seconds.
        interval: Seconds from one to the next.
        left: How many there are; 1 at least.
    """

    due: float
    interval: float
    left: int

    def without(self, number: int) -> tuple[Batch, ...]:
        """Return what is left without the first ones, as a tuple that may be empty."""
        if number >= self.left:
            return ()
        return (Batch(self.due + number * self.interval, self.interval, self.left - number),)

    @property
    def last(self) -> float:
        """When the last one is due."""
        return self.due + (self.left - 1) * self.interval


class Supply(NamedTuple):
    """Slots that a process has taken of one rate limit. Times are monotonic seconds.

    Attributes:
        batches: Those that were not used yet, the earliest first.
        asked: When the last batch was asked for.
        is_asked: Whether the answer is still to come.
        size: Slots of the last batch that came.
        used: Requests that were sent since.
        began: When the first slot of that batch was due.
        span: Seconds by which it moved the time of the limit on.
        own: Seconds by which the batches of this process moved it on.
        every: Seconds by which it has moved on meanwhile.
        own_due: When the process may send a request at a pace of its own.
    """

    batches: tuple[Batch, ...] = ()
    asked: float = -inf
    is_asked: bool = False
    size: int = 0
    used: int = 0
    began: float = inf
    span: float = 0.0
    own: float = 1.0
    every: float = 1.0
    own_due: float = -inf

    @property
    def left(self) -> int:
        """Slots that were not used yet."""
        return sum(batch.left for batch in self.batches)

    @property
    def share(self) -> float:
        """The part of the slots of the fleet that come to this process: 1.0 for all of them."""
        return max(min(self.own / self.every, 1.0), _LEAST_SHARE)


def next_due(supply: Supply, now: float, *, may_wait: bool) -> float:
    """Return when the next request may be sent.

    Args:
        supply: The slots of the process.
        now: The monotonic clock.
        may_wait: Whether the store may be waited for.

    Returns:
        When the next slot is due; when the process stops waiting for the store; or when its own
        pace allows a request.
    """
    if supply.batches:
        return supply.batches[0].due
    if may_wait and supply.is_asked and now < supply.asked + LATEST_SECONDS:
        return supply.asked + LATEST_SECONDS
    return supply.own_due


def without_lost(supply: Supply, now: float) -> Supply:
    """Return the slots without those that were not used in time."""
    if not supply.batches or supply.batches[0].due >= now - LOST_SECONDS:
        return supply
    kept: list[Batch] = []
    for batch in supply.batches:
        late = max(now - LOST_SECONDS - batch.due, 0.0)
        kept += batch.without(ceil(late / batch.interval))
    return supply._replace(batches=tuple(kept))


def on_used(supply: Supply, now: float, spacing: float) -> Supply:
    """Count a request that is sent.

    Args:
        supply: The slots of the process.
        now: The monotonic clock.
        spacing: Seconds between requests of the whole fleet.
    """
    batches = supply.batches
    if batches:
        batches = (*batches[0].without(1), *batches[1:])
    own_due = max(supply.own_due, now - LATE) + spacing / supply.share
    return supply._replace(batches=batches, used=supply.used + 1, own_due=own_due)


def wanted(supply: Supply, now: float, waiting: int, pace: float) -> int:
    """Return how many slots the next batch has; 0 if it need not be asked for yet.

    Args:
        supply: The slots of the process.
        now: The monotonic clock.
        waiting: Calls that wait for slots.
        pace: Requests a second of the whole fleet.
    """
    left = supply.left
    if supply.is_asked or waiting <= left:
        return 0
    if left and supply.batches[-1].last > now + LEAD_SECONDS:
        return 0
    most = max(int(pace * MOST_SECONDS), 1)
    return min(max(_next_size(supply, now, waiting), 1), most)


def _next_size(supply: Supply, now: float, waiting: int) -> int:
    """Return how many slots the process will send in a while, as far as the last batch tells."""
    if not supply.size:
        return waiting
    took, is_used_up = now - supply.asked, supply.used + supply.left >= supply.size
    if not is_used_up:
        return supply.used
    if took < SHORT_SECONDS / 2 or supply.used > supply.size:
        return 2 * supply.size
    if took < SHORT_SECONDS:
        return supply.size + 1
    return supply.size // 2 if took > LONG_SECONDS else supply.size


def on_asked(supply: Supply, now: float) -> Supply:
    """Count a batch that is asked for."""
    return supply._replace(asked=now, is_asked=True)


def on_taken(supply: Supply, seconds: float, count: int, rate: float, now: float) -> Supply:
    """Add a batch.

    Args:
        supply: The slots of the process.
        seconds: When the first slot is due, in seconds from now.
        count: How many slots were taken.
        rate: Slots a second.
        now: The monotonic clock.
    """
    began, own, every = now + seconds, supply.own, supply.every
    # Where the limit was idle, nobody knows how long: that says nothing of others.
    if seconds > 0 and began > supply.began:
        own = own * _KEPT + supply.span
        every = every * _KEPT + began - supply.began
    return supply._replace(
        batches=(*supply.batches, Batch(began, 1 / rate, count)),
        is_asked=False,
        size=count,
        used=0,
        began=began,
        span=count / rate,
        own=own,
        every=every,
    )


def on_away(supply: Supply) -> Supply:
    """Forget a batch that does not come."""
    return supply._replace(is_asked=False)
