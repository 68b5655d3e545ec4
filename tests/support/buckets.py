"""A token bucket, and what a server says about it, for drains in real and in virtual time."""

from __future__ import annotations

from email.utils import formatdate
from math import ceil
from typing import Final, Literal, get_args

Form = Literal["seconds", "date", "none", "fields"]
"""How a server says when to come again: `Retry-After` in seconds or as a date, not at all, or
`RateLimit` fields on every answer."""

FORMS: Final[tuple[Form, ...]] = get_args(Form)
_TOLERANCE: Final = 1e-9


class TokenBucket:
    """Holds up to ``burst`` requests, full at first, and gains ``rate`` of them a second."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self._level, self._filled = float(burst), 0.0

    def take(self, now: float) -> bool:
        """Serve a request that arrives now, or refuse it; return whether it is served."""
        filled = self._level + max(now - self._filled, 0.0) * self.rate
        self._level, self._filled = min(float(self.burst), filled), now
        is_served = self._level >= 1 - _TOLERANCE
        self._level -= is_served
        return is_served

    @property
    def left(self) -> int:
        """How many requests would be served at once."""
        return int(self._level + _TOLERANCE)

    @property
    def next_in(self) -> float:
        """Seconds from the last request until one would be served."""
        return max(1 - self._level, 0.0) / self.rate

    @property
    def full_in(self) -> float:
        """Seconds from the last request until the bucket is full."""
        return (self.burst - self._level) / self.rate

    def says(self, form: Form, posix: float, *, is_served: bool) -> dict[str, str]:
        """Return the header fields of the answer to the last request.

        All times are whole seconds, rounded up. The fields state the rate. They state the burst too
        where that is worth whole seconds; a smaller one they cannot express.
        """
        said = {"Date": formatdate(posix, usegmt=True)}
        if form == "fields":
            window = max(1, round(self.burst / self.rate))
            reset = ceil(self.full_in - _TOLERANCE)
            said["RateLimit-Policy"] = f'"default";q={round(self.rate * window)};w={window}'
            said["RateLimit"] = f'"default";r={self.left};t={reset}'
        elif form == "seconds" and not is_served:
            said["Retry-After"] = str(ceil(self.next_in - _TOLERANCE))
        elif form == "date" and not is_served:
            ready = ceil(posix + self.next_in - _TOLERANCE)
            said["Retry-After"] = formatdate(ready, usegmt=True)
        return said
