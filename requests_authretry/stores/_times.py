"""Records that are times before which nothing may happen: floats, beside the text of tokens."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_text(record: object) -> str | None:
    """Write a record as the reader gets it, also one that no store has put there."""
    if record is None or isinstance(record, str):
        return record
    return repr(record) if isinstance(record, float) else json.dumps(record)


def pushed(
    records: Mapping[str, object], key: str, until: float, now: float
) -> tuple[float, dict[str, object]]:
    """The later of two times, and the records with it, without the times that have passed."""
    later = max(_time(records.get(key)), float(until))
    all_records = {**records, key: later}
    kept = {
        name: record
        for name, record in all_records.items()
        if not isinstance(record, float) or now < record < math.inf
    }
    return later, kept


def _time(record: object) -> float:
    """The time in a record; before all others where there is none."""
    try:
        time = float(record) if isinstance(record, str | float) else -math.inf
    except ValueError:
        return -math.inf
    return time if math.isfinite(time) else -math.inf
