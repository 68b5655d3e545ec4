"""The real clock and random numbers: no other module reads the time or waits."""

from __future__ import annotations

from random import random
from threading import TIMEOUT_MAX
from time import monotonic, sleep, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event


def random_of(clock: object) -> Callable[[], float]:
    """Return the function that draws numbers for jitter: the clock's ``random`` or Python's."""
    draw: Callable[[], float] = getattr(clock, "random", random)
    return draw


class SystemClock:
    """The machine's own clock. Safe to share between threads and processes.

    ``time()`` is POSIX time in seconds; ``monotonic()`` is seconds that never go back.
    """

    # The functions themselves: each request asks for the time more than once.
    time: staticmethod[[], float] = staticmethod(time)
    monotonic: staticmethod[[], float] = staticmethod(monotonic)

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Wait, and return early as soon as ``wake`` is set."""
        seconds = min(seconds, TIMEOUT_MAX)
        if wake is None:
            sleep(seconds)
        else:
            wake.wait(seconds)

    def __eq__(self, other: object) -> bool:
        """Whether it is a system clock too: there is one time."""
        return type(other) is type(self)

    def __hash__(self) -> int:
        """Return the same hash for all system clocks."""
        return hash(type(self))

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return "SystemClock()"
