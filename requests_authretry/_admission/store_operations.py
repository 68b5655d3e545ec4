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
            is_free = self._is_free(operation, now)
            if is_free:
                self._recent.append((now, operation))
        return is_free

    def opens_at(self, operation: Operation, now: float) -> float:
        """Return when one more operation may be begun."""
        with self._lock:
            recent = list(self._recent)
        recent = [each for each in recent if each[0] > now - _SECONDS]
        alike = [at for at, kind in recent if kind == operation]
        every = [at for at, _ in recent]
        fulls = ((alike, MOST[operation]), (every, max(MOST.values())))
        ends = [times[-most] + _SECONDS for times, most in fulls if len(times) >= most]
        return max([now, *ends])

    def _is_free(self, operation: Operation, now: float) -> bool:
        recent = [kind for at, kind in self._recent if at > now - _SECONDS]
        return len(recent) < max(MOST.values()) and recent.count(operation) < MOST[operation]
