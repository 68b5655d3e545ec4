"""Records of declared rates that processes share, for stores that count time themselves.

A record has the times of what was sent and of what is held, in seconds from the time of the last
ask. So a clock that is set back moves nothing further ahead.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from .._core.declared import RateUse, Spent
from .._core.reservations import Book, life, reserve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core.reservations import Ask, Reserved

FORMAT: Final = {"kind": "rate", "version": 1}
"""The fields that tell this record from one of a release with another format."""

_KEY: Final = "rate "
"""What the names of these records begin with, as slots have room under the same key."""


def reserved(
    records: dict[str, object], key: str, ask: Ask, now: float
) -> tuple[Reserved, dict[str, object]]:
    """Reserve units of a declared rate.

    Returns:
        What `Store.reserve` says, and the records afterwards.

    Raises:
        OSError: A release with another format keeps a record under the key.
    """
    name = _KEY + key
    answer, book = reserve(_book(records.get(name), now), ask)
    record = {
        **FORMAT,
        "since": now,
        "ends": now + life(book, ask.rate),
        "full": book.use.full_at if book.use.full_at > -inf else None,
        "spent": book.use.spent,
        "held": book.held,
    }
    current = {each: there for each, there in records.items() if not _is_over(there, now)}
    return answer, {**current, name: record}


def _is_over(record: object, now: float) -> bool:
    """Whether a record is one of a declared rate, and says nothing any more."""
    if not isinstance(record, dict) or record.get("kind") != FORMAT["kind"]:
        return False
    return bool(now > record.get("ends", now))


def _book(record: Any, now: float) -> Book:
    if not isinstance(record, dict):
        return Book()
    if any(record.get(name) != value for name, value in FORMAT.items()):
        raise OSError("another release keeps its record of this rate here")
    try:
        return _read(record, now)
    except (KeyError, TypeError, ValueError, AttributeError):  # somebody has changed it
        return Book()


def _read(record: Mapping[str, Any], now: float) -> Book:
    passed = max(now - record["since"], 0.0)
    spent = tuple(Spent(a - passed, b - passed, units) for a, b, units in record["spent"])
    full_at = -inf if record["full"] is None else record["full"] - passed
    held = {
        holder: tuple((at - passed, units) for at, units in pieces)
        for holder, pieces in record["held"].items()
    }
    return Book(RateUse(spent, full_at), held)
