"""Records that are times before which nothing may happen: floats, beside the text of tokens."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_text(record: object) -> str | None:
    """Return a record as a reader gets it: text that no store has put there is shown too."""
    if record is None or isinstance(record, str):
        return record
    return repr(record) if isinstance(record, float) else json.dumps(record)


def pushed(
    records: Mapping[str, object], key: str, until: float, now: float
) -> tuple[float, dict[str, object]]:
    """Return the later of two times, and the records with it, without times that have passed."""
    later = max(_time(records.get(key)), float(until))
    all_records = {**records, key: later}
    kept = {
        name: record
        for name, record in all_records.items()
        if not isinstance(record, float) or now < record < math.inf
    }
    return later, kept


def _time(record: object) -> float:
    """Return the time in a record; where there is none, one before all others."""
    try:
        time = float(record) if isinstance(record, str | float) else -math.inf
    except ValueError:
        return -math.inf
    return time if math.isfinite(time) else -math.inf
