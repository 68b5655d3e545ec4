"""What a server says about the window of a policy: how many requests are left, and until when.

There are two kinds. In a fixed window all requests come back at its end. A token bucket is refilled
one request after another, though its fields look the same: `RateLimit` states when it is full
again. So a window that is spent is tested with one request after a while, if the server states its
length. If the request passes, the window refills, and requests are sent as fast as it does.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from .bounds import MAX_COOL_DOWN_SECONDS
from .records import REQUESTS
from .scope import LEARNT_SECONDS

if TYPE_CHECKING:
    from .records import Limit

LASTING: Final = 2
"""A job is expected to send this many times the requests that it has sent in the window. If fewer
requests are left, they are spread evenly."""

TESTED_AFTER: Final = 2.0
"""Requests that a bucket gains before a spent window is tested."""

TESTED_AGAIN: Final = 10.0
"""Lengths of a window after which one that was spent again is tested again: another process may
have taken what came back during the last test."""

LONGEST_TESTED: Final = 60.0
"""Seconds of the longest window that is tested."""

ROUNDED: Final = 1.0
"""Seconds by which servers round the end of a window up."""

DISPROVED: Final = 6
"""Refusals in a row after which a window does not refill."""

SHARED: Final = 0.7
"""Share of its speed that a refusal leaves of a window that refills: others use a part of it."""

REGAINED: Final = 0.02
"""Share of the full speed that comes back with each success after which something is left."""

REGAINED_WHEN_EMPTY: Final = REGAINED / 8
"""The same with each success after which nothing is left: a small bucket is nearly always empty."""

CORRECTED: Final = 0.25
"""Requests by which one answer raises what is left of a window that refills, at most. Requests
overtake one another: the server may not have counted all that left before the answered one."""

_INSTANT = 1e-9


class Window(NamedTuple):
    """What the server has said about the window of one policy.

    Attributes:
        name: The name of the policy.
        left: Requests that may be sent before ``until``.
        until: When the next window begins, in monotonic seconds.
        quota: Requests that a new window allows; 0.0 if the server did not say.
        length: Seconds from the start of one window to the next.
        number: The request whose answer described the window, counted by `RateState.sent`.
        used: Requests sent in the window, as far as they were counted.
        guessed: Whether the window has begun and no answer has described it yet.
        holds: Whether the server enforces the policy; False once it serves more than it announced.
        counted: When ``left`` was counted, in monotonic seconds.
        most: The most requests that were left, as far as answers said.
        may_test: Whether one request may be sent when the window is spent, to see if it refills.
        test: The number of that request; -1 before it is sent.
        tested: When it was sent, in monotonic seconds.
        refills: Whether requests come back one after another.
        refused: Refusals in a row since it is known to refill.
        refused_at: When the last one of them arrived, in monotonic seconds.
        speed: How fast it refills for this process, the quota in the length of a window being 1.
    """

    name: str
    left: float
    until: float
    quota: float
    length: float
    number: int
    used: int = 0
    guessed: bool = False
    holds: bool = True
    counted: float = -inf
    most: float = 0.0
    may_test: bool = False
    test: int = -1
    tested: float = -inf
    refills: bool = False
    refused: int = 0
    refused_at: float = -inf
    speed: float = 1.0

    @property
    def spacing(self) -> float:
        """Seconds in which a window that refills gains a request."""
        return max(self.length / self.quota / self.speed, _INSTANT)

    def is_spent(self, now: float) -> bool:
        """Whether the server said that no request is left before the window's end."""
        is_announced = self.left < 1 and now < self.until and not self.guessed
        return is_announced and self.holds and not self.refills

    def is_over(self, now: float) -> bool:
        """Whether the window says nothing about the present any more."""
        if self.refills:
            return now >= self.ends
        known = self.quota and not self.guessed
        return now >= (self.until + self.length if known else self.until)

    @property
    def ends(self) -> float:
        """When what is known of the window ends, in monotonic seconds."""
        return self.counted + LEARNT_SECONDS if self.refills else self.until

    def level(self, now: float) -> float:
        """Return the requests that are left."""
        if not self.refills:
            return self.left
        return min(self.left + (now - self.counted) / self.spacing, self.most)

    def refilled(self, now: float) -> float:
        """Return when a window that refills has one request left; -inf for other windows."""
        missing = 1 - self.level(now) if self.refills else 0.0
        return now + missing * self.spacing if missing > 0 else -inf

    def test_time(self) -> float:
        """Return when a request may test whether a spent window refills; inf if none may."""
        if not self.may_test:
            return inf
        gained = self.counted + TESTED_AFTER * self.length / self.quota
        at = max(gained, self.tested + TESTED_AGAIN * self.length)
        return at if at < self.until else inf

    def spent(self, now: float) -> Window:
        """Return the window after one more request."""
        if self.refills:
            return self._replace(left=self.level(now) - 1, counted=now, used=self.used + 1)
        if now < self.until:
            return self._replace(left=self.left - 1, used=self.used + 1)
        # The server has not described the next window yet: assume as many as in the last one.
        next_one = self._replace(left=self.quota - 1, until=now + self.length, used=1)
        return next_one._replace(guessed=True)

    def interval(self, now: float) -> float:
        """Return the seconds that the window asks for between requests; 0.0 if it asks for none."""
        if not self.holds:
            return 0.0
        if self.refills:
            return self.spacing if self.level(now) < 1 else 0.0
        is_short = self.left <= self.quota / 2 or not self.quota
        if self.guessed or (is_short and self.left <= LASTING * self.used):
            return max(self.until - now, 0.0) / max(self.left + 1, 1.0)
        return 0.0


def name_of(limit: Limit) -> str:
    """Return the name of a limit's policy, or its quota if it has no name; "" if it has neither."""
    if limit.name or not limit.quota:
        return limit.name
    return f"{limit.quota:g}" if limit.unit == REQUESTS else f"{limit.quota:g} {limit.unit}"


def first_described(limit: Limit, number: int, since: int, now: float, used: int) -> Window:
    """Return a window as its first answer describes it; see `described`."""
    length = limit.window or limit.reset
    is_short = limit.window is not None and 0 < length <= LONGEST_TESTED
    return Window(
        name=name_of(limit),
        left=limit.remaining - since,
        until=now + min(limit.reset, MAX_COOL_DOWN_SECONDS),
        quota=limit.quota or 0.0,
        length=length,
        number=number,
        used=used,
        counted=now,
        most=limit.remaining + 1,
        may_test=bool(is_short and limit.quota and limit.unit == REQUESTS),
    )


def described(  # noqa: PLR0913, PLR0917 (what an answer says, and of which request)
    before: Window,
    limit: Limit,
    number: int,
    since: int,
    began: float,
    now: float,
    *,
    succeeded: bool,
) -> Window:
    """Return a window as an answer describes it.

    Args:
        before: What was known.
        limit: What the answer says.
        number: The number of the answered request.
        since: Requests that were sent after that one.
        began: When the request was sent.
        now: When the answer arrived.
        succeeded: Whether the request passed.
    """
    window = first_described(limit, number, since, now, 0)
    window = window._replace(
        number=max(number, before.number),
        most=max(window.most, before.most),
        test=before.test,
        tested=before.tested,
    )
    if before.refills:
        return _refilling(before, window, began, now, succeeded=succeeded)
    has_gained = before.left + 1 <= window.left and now < before.until - ROUNDED
    if window.may_test and succeeded and (0 <= number == before.test or has_gained):
        return window._replace(refills=True)
    has_served_more = (
        succeeded and before.left < 0 and limit.remaining < 1 and began > before.counted
    )
    window = window._replace(holds=before.holds and not has_served_more if succeeded else True)
    if now < before.until and not before.guessed and window.left < before.left + 1:
        # Still the same window. Servers round its end up to whole seconds: the earlier end counts.
        # Where it moves by more, it is when a token bucket is full again: later with each request.
        is_moved = window.until > before.until + ROUNDED
        return window._replace(
            until=window.until if is_moved else min(window.until, before.until),
            length=max(window.length, before.length),
            used=before.used,
        )
    return window._replace(used=before.used if before.guessed else 0)


def _refilling(
    before: Window, window: Window, began: float, now: float, *, succeeded: bool
) -> Window:
    """Return a window that refills, as an answer describes it.

    What is left is corrected only by the newest answer: that of the latest request so far.
    """
    # Requests that had left when a refusal arrived are one refusal with it.
    is_new_refusal = not succeeded and began > before.refused_at
    refused = 0 if succeeded else before.refused + is_new_refusal
    if refused >= DISPROVED:
        return window
    # An answer may say what is left, and not of how many or in which time.
    stated = window if window.may_test else before
    speed = before.speed
    if is_new_refusal:
        speed = max(speed * SHARED, 1 / stated.quota)
    elif succeeded:
        speed = min(speed + (REGAINED if window.left >= 1 else REGAINED_WHEN_EMPTY), 1.0)
    before = before._replace(quota=stated.quota, length=stated.length, speed=speed)
    level = before.level(now)
    left = level if succeeded else min(level, 0.0)
    if window.number > before.number:
        # The server counted when the request arrived, half way, and rounded down.
        least = window.left + (now - began) / 2 / before.spacing
        raised = min(max(level, least), level + CORRECTED)
        left = min(raised, least + 1)
    has_served_more = succeeded and level < -1
    return before._replace(
        left=left,
        counted=now,
        number=window.number,
        most=window.most,
        holds=before.holds and not has_served_more,
        refused=refused,
        refused_at=now if is_new_refusal else before.refused_at,
    )
