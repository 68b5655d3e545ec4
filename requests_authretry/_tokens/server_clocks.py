"""The clocks of the servers that check signed times: assertions and proofs follow them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.origin import Origin
from .._core.records import seconds_text
from .._core.server_clock import TOLERANCE, UNKNOWN, ServerClock, on_answer, on_refusal
from .._events import logger
from .._locks import ForkSafeLock

if TYPE_CHECKING:
    from .._protocols import Clock

_MOST = 100
"""How many servers are remembered. A client knows two or three."""


class ServerClocks:
    """What is known of the clocks of servers, by origin. Safe to use from many threads.

    A pickle holds none of it: another machine has another clock.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._known: dict[Origin | None, tuple[ServerClock, float]] = {}

    def ahead(self, url: str, clock: Clock) -> float:
        """Return the seconds by which the server of a URL is ahead of our clock; 0.0 if unknown."""
        return self._of(Origin.of(url), clock).ahead if self._known else 0.0

    def follow(self, url: str, ahead: float | None, clock: Clock) -> None:
        """Follow the date of an answer that refuses nothing.

        Args:
            url: What was asked.
            ahead: By how many seconds the server is ahead; None if the answer does not say.
            clock: Our clock.
        """
        if not ahead and not self._known:
            return
        origin = Origin.of(url)
        with self._lock:
            before = self._of(origin, clock)
            after = on_answer(before, ahead, clock.monotonic())
            self._keep(origin, after, clock)
        _tell(origin, before, after)

    def correct(self, url: str, ahead: float | None, used: float, clock: Clock) -> bool:
        """Return whether to try a refused request once more, with the time that is known now.

        Args:
            url: What was asked.
            ahead: By how many seconds the server is ahead; None if the answer does not say.
            used: How far ahead of our clock the time in the request was.
            clock: Our clock.
        """
        origin = Origin.of(url)
        with self._lock:
            before = self._of(origin, clock)
            after, is_corrected = on_refusal(before, ahead, used, clock.monotonic())
            self._keep(origin, after, clock)
        _tell(origin, before, after)
        return is_corrected

    def _of(self, origin: Origin | None, clock: Clock) -> ServerClock:
        """Return what is known of a server.

        That is nothing if our clock was set since then, or the machine has slept: the difference to
        the server may be another one.
        """
        known, base = self._known.get(origin, (UNKNOWN, 0.0))
        is_set = known is not UNKNOWN and abs(_base(clock) - base) > TOLERANCE
        return UNKNOWN if is_set else known

    def _keep(self, origin: Origin | None, known: ServerClock, clock: Clock) -> None:
        if known == UNKNOWN:
            self._known.pop(origin, None)
            return
        self._known[origin] = known, _base(clock)
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    def __reduce__(self) -> tuple[type[ServerClocks], tuple[()]]:
        """Become one that knows nothing."""
        return ServerClocks, ()


def _base(clock: Clock) -> float:
    """Return what stays the same until somebody sets the clock, or the machine sleeps."""
    return clock.time() - clock.monotonic()


def _tell(origin: Origin | None, before: ServerClock, after: ServerClock) -> None:
    """Log that the times for a server are no longer those of our clock."""
    ahead = after.ahead
    if ahead and abs(ahead - before.ahead) > TOLERANCE:
        logger.warning(
            "this machine's clock is %s %s that of %s: what is signed for it follows its clock",
            seconds_text(abs(ahead)),
            "behind" if ahead > 0 else "ahead of",
            origin,
        )
