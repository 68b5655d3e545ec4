"""How often a process asks a store that it shares with others."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from .._locks import ForkSafeLock

Operation = Literal["push", "take", "read", "reserve"]

MOST: Final[dict[Operation, int]] = {"push": 9, "take": 4, "read": 4, "reserve": 7}
"""Operations of each kind in a second, at most, and so many of all kinds together. Slots and looks
leave some for cool-downs, which others wait for."""

_SECONDS: Final = 1.0


class StoreOperations:
    """Counts what a process asks a store. Thread-safe."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, Operation]] = deque(maxlen=max(MOST.values()))
        self._lock = ForkSafeLock()

    def begin(self, operation: Operation, now: float) -> bool:
        """Count one more operation; False if it is too many and has to be left for later."""
        with self._lock:
            is_free = not self._waits(operation, now)
            if is_free:
                self._recent.append((now, operation))
        return is_free

    def opens_at(self, operation: Operation, now: float) -> float:
        """Return when one more operation may be begun."""
        with self._lock:
            return max([now, *self._waits(operation, now)])

    def _waits(self, operation: Operation, now: float) -> list[float]:
        """Return when fewer operations of the kind, and of all kinds, count; [] if few do."""
        recent = [(at, kind) for at, kind in self._recent if at > now - _SECONDS]
        alike = [at for at, kind in recent if kind == operation]
        every = [at for at, _ in recent]
        counted = ((alike, MOST[operation]), (every, max(MOST.values())))
        return [times[-most] + _SECONDS for times, most in counted if len(times) >= most]
