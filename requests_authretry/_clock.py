"""The real clock: the one place that reads the time and waits for it to pass."""

from __future__ import annotations

from threading import TIMEOUT_MAX
from time import monotonic, sleep, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import Event


class SystemClock:
    """The machine's own clock. Safe to share between threads and processes.

    ``time()`` is POSIX time in seconds; ``monotonic()`` is seconds that never go back.
    """

    # The functions themselves: each request asks for the time more than once.
    time = staticmethod(time)
    monotonic = staticmethod(monotonic)

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Wait, and return early as soon as ``wake`` is set."""
        seconds = min(seconds, TIMEOUT_MAX)
        if wake is None:
            sleep(seconds)
        else:
            wake.wait(seconds)

    def __eq__(self, other: object) -> bool:
        """There is one time."""
        return type(other) is type(self)

    def __hash__(self) -> int:
        """As all of them."""
        return hash(type(self))

    def __repr__(self) -> str:
        """As it is made."""
        return "SystemClock()"
