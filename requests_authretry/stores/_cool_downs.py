"""Records of cool-downs, for stores that count the time themselves.

A record says since when a cool-down lasts, and how many seconds it took then. So it never lasts
longer than these seconds: not by a clock that was set back, nor by the clock of another machine.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from .._core.bounds import MAX_COOL_DOWN_SECONDS
from .._core.validation import is_finite

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = {"kind": "cool-down", "version": 1}
"""The fields that tell a cool-down of this release from any other record. A release that gives a
field another meaning has another version."""


def bounded(seconds: float) -> float:
    """Return the seconds that a push asks for: an hour at most, and 0.0 for NaN or below zero."""
    # In this order, as `max` returns its first argument where the second one is NaN.
    return float(min(max(0.0, seconds), MAX_COOL_DOWN_SECONDS))


def as_text(record: object) -> str | None:
    """Return a record as a reader gets it: what no store has put there is shown too."""
    return record if record is None or isinstance(record, str) else json.dumps(record)


def pushed(
    records: dict[str, object], key: str, seconds: float, now: float
) -> tuple[float, dict[str, object]]:
    """Extend a cool-down among records.

    Returns:
        The seconds that it lasts, as `Store.push` says, and the records with it, without
        cool-downs that are over; ``records`` itself where there is nothing to be kept.
    """
    there, asked = records.get(key), bounded(seconds)
    left = seconds_left(there, now)
    if _has_to_stay(there) or (asked <= left and not _is_ahead(there, now)):
        return max(asked, left), records
    current = ((name, _as_of(record, now)) for name, record in records.items())
    kept = {name: record for name, record in current if record is not None}
    kept[key] = _cool_down(now, max(asked, left))
    return max(asked, left), kept


def seconds_left(record: object, now: float) -> float:
    """Return the seconds that a cool-down still lasts; 0.0 for all other records."""
    if not _is_cool_down(record):
        return 0.0
    since, seconds = record.get("since"), record.get("seconds")
    if not is_finite(since) or not is_finite(seconds):
        return 0.0
    return min(max(since + bounded(seconds) - now, 0.0), bounded(seconds))


def _cool_down(now: float, seconds: float) -> dict[str, object]:
    return {**FORMAT, "since": now, "seconds": seconds}


def _is_cool_down(record: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(record, dict) and all(record.get(name) == FORMAT[name] for name in FORMAT)


def _has_to_stay(record: object) -> bool:
    """Whether a record is another's: a token, or a cool-down of a release with another format."""
    if isinstance(record, str):
        try:
            return isinstance(json.loads(record), dict)
        except (ValueError, RecursionError):
            return False
    return isinstance(record, dict) and not _is_cool_down(record)


def _is_ahead(record: object, now: float) -> bool:
    """Whether a cool-down seems to begin later, as the clock was set back since."""
    return seconds_left(record, now) > 0.0 and _is_cool_down(record) and record["since"] > now


def _as_of(record: object, now: float) -> object:
    """Return a record as it is kept at ``now``: None if it is a cool-down that is over."""
    if isinstance(record, float):  # the end of a cool-down, which the release before this one keeps
        return record if now < record <= now + MAX_COOL_DOWN_SECONDS else None
    if not _is_cool_down(record):
        return record
    left = seconds_left(record, now)
    if _is_ahead(record, now):
        return _cool_down(now, left)
    return record if left else None
