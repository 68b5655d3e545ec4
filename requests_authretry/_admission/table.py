"""A dictionary that is bounded by number and by age."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from .._locks import ForkSafeLock

K = TypeVar("K")
V = TypeVar("V")


class Table(Generic[K, V]):
    """Keeps the entries that were put in last. Thread-safe; reading takes no lock.

    Each operation takes the same time however many entries there are.

    Args:
        most: Entries that are kept at most.
        seconds: How long an entry is kept after it was last put in.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._lock = ForkSafeLock()

    def get(self, key: K, now: float, default: V) -> V:
        """Return the value of a key, or the default if there is none that is young enough."""
        entry = self._entries.get(key)
        return default if entry is None or entry[1] <= now else entry[0]

    def put(self, key: K, value: V, now: float) -> None:
        """Keep a value; forget the oldest entry of too many, and two that are too old."""
        with self._lock:
            self._entries[key] = value, now + self._seconds
            self._entries.move_to_end(key)
            self._forget_oldest(now)
            self._forget_oldest(now)

    def _forget_oldest(self, now: float) -> None:
        oldest = next(iter(self._entries))
        if len(self._entries) > self._most or self._entries[oldest][1] <= now:
            del self._entries[oldest]

    def keys(self, now: float) -> list[K]:
        """Return the keys of the entries that are young enough, the oldest first."""
        return [key for key, (_, until) in self._entries.items() if now < until]

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)
