"""Records of slots, and records that are kept for a while, for stores that count time themselves.

A record of slots says when the next slot was due, in seconds from the time of the last take; a kept
record says for how many seconds it is kept, and since when. So nothing lies further ahead than it
did then: not by a clock that was set back, nor by the clock of another machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeGuard

from .._core.gcra import IDLE, MAX_LEAD, ask_for, reserve
from .._core.validation import is_finite
from ._cool_downs import bounded

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = {"kind": "slots", "version": 1}
"""The fields that tell this record from one of a release with another format."""

_KEPT: Final = {"kind": "kept", "version": 1}
_KEPT_KEY: Final = "kept "
"""What the names of kept records begin with."""

_SLOTS_KEY: Final = "slots "
"""What the names of slots begin with, as both have room under one key."""


def taken(  # noqa: PLR0913, PLR0917 (what `Store` says of `take`, and where and when)
    records: dict[str, object], key: str, rate: float, burst: float, count: int, now: float
) -> tuple[float, dict[str, object]]:
    """Take slots.

    Returns:
        The seconds until the first of them, as `Store` says, and the records afterwards, without
        those that are over; ``records`` itself where nothing is taken.
    """
    name = _SLOTS_KEY + key
    there, ask = records.get(name), ask_for(rate, burst, count)
    if ask is None or not (there is None or _is(there, FORMAT)):
        return 0.0, records
    first, lead = reserve(lead_of(there, now), ask)
    slots = {**FORMAT, "since": now, "seconds": lead, "idle": ask.idle}
    return first, {**_not_over(records, now), name: slots}


def kept(
    records: dict[str, object], key: str, text: str, seconds: float, now: float
) -> tuple[str | None, dict[str, object]]:
    """Keep a text for a while.

    Returns:
        The text that is kept then, as `Store` says, and the records afterwards, without those that
        are over; ``records`` itself where nothing is changed.
    """
    name, life = _KEPT_KEY + key, bounded(seconds)
    there = records.get(name)
    if not life or not (there is None or _is(there, _KEPT)):
        return text_of(there, now), records
    record = {**_KEPT, "since": now, "seconds": life, "text": text}
    return text, {**_not_over(records, now), name: record}


def _is(record: object, form: Mapping[str, object]) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(record, dict) and all(record.get(name) == form[name] for name in form)


def text_of(record: object, now: float) -> str | None:
    """Return the text of a kept record, None if it is over or another record."""
    if not _is(record, _KEPT) or lead_of(record, now) <= 0:
        return None
    text = record.get("text")
    return text if isinstance(text, str) else None


def _not_over(records: Mapping[str, object], now: float) -> dict[str, object]:
    current = ((name, _as_of(record, now)) for name, record in records.items())
    return {name: record for name, record in current if record is not None}


def lead_of(record: object, now: float) -> float:
    """Return when the next slot is due, or a record is over, in seconds from now.

    It is `IDLE` where nobody knows.
    """
    if not _is(record, FORMAT) and not _is(record, _KEPT):
        return IDLE
    since, seconds = record.get("since"), record.get("seconds")
    if not is_finite(since) or not is_finite(seconds) or abs(seconds) > MAX_LEAD:
        return IDLE
    return seconds + min(since - now, 0.0)  # it seems to lie ahead if the clock was set back


def _as_of(record: object, now: float) -> object:
    """Return a record as it is kept at ``now``: None if it says nothing any more."""
    if not _is(record, FORMAT) and not _is(record, _KEPT):
        return record
    lead, idle = lead_of(record, now), record.get("idle", 0.0)
    if not is_finite(idle) or lead <= -min(idle, MAX_LEAD):
        return None
    return {**record, "since": now, "seconds": lead} if record["since"] > now else record
