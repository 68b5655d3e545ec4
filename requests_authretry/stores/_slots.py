"""Records of slots, for stores that count the time themselves.

A record says when the next slot was due, in seconds from the time of the last take. So no slot
lies further ahead than it did then: not by a clock that was set back, nor by the clock of another
machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeGuard

from .._core.gcra import IDLE, MAX_LEAD, ask_for, reserve
from .._core.validation import is_finite

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = {"kind": "slots", "version": 1}
"""The fields that tell this record from one of a release with another format."""


def taken(  # noqa: PLR0913, PLR0917 (what `Store` says of `take`, and where and when)
    records: dict[str, object], key: str, rate: float, burst: float, count: int, now: float
) -> tuple[float, dict[str, object]]:
    """Take slots.

    Returns:
        The seconds until the first of them, as `Store` says, and the records afterwards, without
        those that are over; ``records`` itself where nothing is taken.
    """
    there, ask = records.get(key), ask_for(rate, burst, count)
    if ask is None or not (there is None or _is_slots(there)):
        return 0.0, records
    first, lead = reserve(_lead(there, now), ask)
    current = ((name, _as_of(record, now)) for name, record in records.items())
    kept = {name: record for name, record in current if record is not None}
    kept[key] = {**FORMAT, "since": now, "seconds": lead, "idle": ask.idle}
    return first, kept


def _is_slots(record: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(record, dict) and all(record.get(name) == FORMAT[name] for name in FORMAT)


def _lead(record: object, now: float) -> float:
    """Return when the next slot is due, in seconds from now; `IDLE` where nobody knows."""
    if not _is_slots(record):
        return IDLE
    since, seconds = record.get("since"), record.get("seconds")
    if not is_finite(since) or not is_finite(seconds) or abs(seconds) > MAX_LEAD:
        return IDLE
    return seconds + min(since - now, 0.0)  # it seems to lie ahead if the clock was set back


def _as_of(record: object, now: float) -> object:
    """Return a record as it is kept at ``now``: None if it says no more than that all is idle."""
    if not _is_slots(record):
        return record
    lead, idle = _lead(record, now), record.get("idle")
    if not is_finite(idle) or lead <= -min(idle, MAX_LEAD):
        return None
    return {**record, "since": now, "seconds": lead} if record["since"] > now else record
