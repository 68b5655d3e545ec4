"""Declared limits: rates that the user knows, and when they let the next request pass.

A rate without a burst counts as a sliding window does: no ``per`` seconds ever see more than
``limit`` units. As many may be sent at once as the window has room for, and others as soon as the
oldest are ``per`` seconds old.

A rate with a burst is a token bucket that holds ``burst`` units and is refilled evenly, ``limit``
units in ``per`` seconds. It is kept by the generic cell rate algorithm (ITU-T I.371, Annex A): one
number, the time at which the bucket is full again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .arguments import checks_arguments
from .bounds import LEAST_ATTEMPT
from .display import ShownByDifference
from .rate_limit import OVERDUE, AskAgain, Slot, TooLate
from .records import Reason, seconds_text
from .validation import is_finite, quoted, refuse, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST_UNITS: Final = 1e9
"""Units of a limit or a burst, at most: more hold back nothing, and floats count single units up to
1e15 or so."""

MOST_SECONDS: Final = 366 * 86_400.0
"""Seconds of ``per``, at most: a year."""

PARTS: Final = 100
"""Units that are sent within a hundredth of the window leave it together, when the last one does:
so a window has few entries, and no more than its limit."""

EVEN: Final = 1 + 1e-9
"""Sums of floats may come out a little too large."""

_LOOK_SECONDS: Final = 1.0
"""A call that waits for another attempt to end looks again after so many seconds, times its place
in the queue. An attempt that ends wakes it, unless the exception of a signal handler came first."""

NUMBERLESS: Final = Slot(-1)


@checks_arguments()
@dataclass(frozen=True, slots=True, repr=False)
class Rate(ShownByDifference):
    """A rate limit that you know, for `RateLimits(rates=[...])`. Immutable.

    A server counts it for each origin and each credential, and so does the library. With a path,
    only requests count whose path begins with it. A request counts when it is sent, whatever
    becomes of it; retries count as other requests do. Processes that share a `FileStore` or a
    `requests_authretry.redis.RedisStore` keep the rate together.

    ``Rate(10, per=1.0)`` allows 10 requests in any second, 10 at once included. That fits a server
    that counts in windows, fixed or sliding. If its window is long, as in ``Rate(1000, per=3600)``,
    a program that has sent all of it waits until the first ones are an hour old, or fails if its
    deadline is earlier. ``Rate(10, per=1.0, burst=1)`` sends the same number evenly, one request in
    0.1 s. ``Rate(10, per=1.0, burst=20)`` is the token bucket of a server that holds 20: the first
    20 requests go at once, all others at 10 a second.

    Attributes:
        limit: How many requests, or units of ``cost``, ``per`` seconds allow: 1 to 1e9.
        per: Seconds, above zero and a year at most.
        burst: How many units may be sent at once after a pause: 1 to 1e9. The rest follows evenly,
            so that any ``w`` seconds see at most ``burst + w * limit / per`` units. None: as many
            as are left of ``limit``, and any ``per`` seconds see at most ``limit`` units.
        path: The beginning of the URL's path, in whole segments and as it stands in the URL,
            percent-encoded: ``"/search"`` covers ``/search`` and ``/search/x``, and not
            ``/searches``. None: all paths.
        cost: A function that is given a prepared request, and returns how many units the request
            costs: a finite number, zero or more. It is called once for each request, and for each
            redirect, in the thread of the call. Its exceptions end that call. None: each request
            costs one unit.

    Raises:
        ConfigurationError: A field cannot work; the error names all faults together.
    """

    limit: float
    per: float
    burst: float | None = None
    path: str | None = None
    cost: Callable[[Any], float] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        """Refuse values that cannot work, and name all faults together."""
        refuse("Rate", _faults(self))

    @property
    def most(self) -> float:
        """The units that may be sent at once, at most."""
        return self.limit if self.burst is None else self.burst

    def covers(self, path: str) -> bool:
        """Whether requests to this path of a URL count."""
        if self.path is None:
            return True
        beginning = self.path.rstrip("/")
        return path == beginning or path.startswith(f"{beginning}/")

    def __str__(self) -> str:
        """Return it for people: ``10 in 1 s under /search``."""
        burst = "" if self.burst is None else f", {self.burst:g} at once,"
        under = "" if self.path is None else f" under {self.path}"
        return f"{self.limit:g} in {seconds_text(self.per)}{burst}{under}"


def _faults(rate: Any) -> Iterable[str | None]:
    limit, per, burst = rate.limit, rate.per, rate.burst
    if not _is_number_of_units(limit):
        is_small = is_finite(limit) and limit < 1
        way = "; for one request in 2 s write Rate(1, per=2.0)" if is_small else ""
        yield f"limit must be a number from 1 to 1e9, not {quoted(limit)}{way}"
    if burst is not None and not _is_number_of_units(burst):
        yield f"burst must be a number from 1 to 1e9, not {quoted(burst)}"
    yield seconds("per", per, positive=True)
    if is_finite(per) and per > MOST_SECONDS:
        yield f"per must be a year at most, {MOST_SECONDS:.0f} seconds, not {quoted(per)}"
    path = rate.path
    if path is not None and not (
        isinstance(path, str) and path.startswith("/") and path.isascii() and not {*path} & {*"?#"}
    ):
        says = "begin with a slash, percent-encoded as in the URL and without a query"
        yield f"path must {says}, not {path!r}"
    if rate.cost is not None and not callable(rate.cost):
        yield f"cost must be a function of a request, not {type(rate.cost).__name__}"


def _is_number_of_units(value: object) -> bool:
    """Whether a rate can keep this number as its limit or burst."""
    return is_finite(value) and 1 <= value <= MOST_UNITS


class Spent(NamedTuple):
    """Units that were sent within a short time.

    Attributes:
        first: When the first of them was sent, in monotonic seconds.
        last: When the last of them was sent.
        units: How many they are.
    """

    first: float
    last: float
    units: float


class RateUse(NamedTuple):
    """What was sent under one declared rate.

    Attributes:
        spent: What the window holds, the oldest first; unused where the rate has a burst.
        full_at: When the bucket is full again, in monotonic seconds: the theoretical arrival time
            of the cell rate algorithm. Unused where the rate has no burst.
    """

    spent: tuple[Spent, ...] = ()
    full_at: float = -inf


def free_at(use: RateUse, rate: Rate, units: float, now: float) -> float:
    """Return when so many units may be sent; a time that has passed means now.

    More units than may be sent at once stand for those of several requests, one after another.
    """
    if rate.burst is not None:
        return use.full_at - (rate.burst - units) * rate.per / rate.limit
    windows = max(-(-units // (rate.limit * EVEN)) - 1, 0.0)  # rounded up
    missing = units - windows * rate.limit - rate.limit * EVEN
    live, at = in_window(use, rate, now), now
    missing += sum(each.units for each in live)
    for each in live:
        if missing <= 0:
            break
        at, missing = each.last + rate.per, missing - each.units
    return at + windows * rate.per


def with_sent(use: RateUse, rate: Rate, units: float, now: float) -> RateUse:
    """Return the state after so many units were sent."""
    if rate.burst is not None:
        return RateUse(full_at=max(use.full_at, now) + units * rate.per / rate.limit)
    live = in_window(use, rate, now)
    if live and now < live[-1].first + rate.per / PARTS:
        newest = live[-1]._replace(last=now, units=live[-1].units + units)
        return RateUse((*live[:-1], newest))
    return RateUse((*live, Spent(now, now, units)))


def is_unused(use: RateUse, now: float, rate: Rate) -> bool:
    """Whether the state allows as much as one under which nothing was sent."""
    return now >= use.full_at and not in_window(use, rate, now)


def in_window(use: RateUse, rate: Rate, now: float) -> tuple[Spent, ...]:
    """Return what the window holds now."""
    return tuple(each for each in use.spent if now < each.last + rate.per)


def ask(  # noqa: PLR0913, PLR0917 (whose request, and what it costs)
    use: RateUse, rate: Rate, units: float, ahead: float, now: float, deadline: float
) -> Slot | AskAgain | TooLate:
    """Decide whether a waiting call may send a request now; `with_sent` counts it.

    Args:
        use: What was sent before.
        rate: The declared rate.
        units: What the request costs.
        ahead: What the calls before this one cost, as far as that is known; 0.0 if there are none.
        now: The monotonic clock.
        deadline: When the call has to be over.
    """
    at = free_at(use, rate, ahead + units, now)
    # What the calls before this one cost is certain if each request costs the same.
    surely = at if rate.cost is None else free_at(use, rate, units, now)
    if now >= deadline or surely > max(now, deadline - LEAST_ATTEMPT):
        return TooLate(max(surely - now, 0.0))
    if ahead:  # the call before it wakes it earlier
        at = max(at, now) + OVERDUE
    return NUMBERLESS if at <= now else AskAgain(min(at, deadline) - now, Reason.PACING)


def ask_concurrency(
    under_way: int, most: int, place: int, now: float, deadline: float
) -> Slot | AskAgain | TooLate:
    """Decide whether a waiting call may send while so many attempts are under way.

    Args:
        under_way: How many attempts of the scope have not ended.
        most: How many there may be.
        place: How many calls wait before this one.
        now: The monotonic clock.
        deadline: When the call has to be over.
    """
    latest = deadline - LEAST_ATTEMPT
    if now < deadline and under_way + place < most:
        return NUMBERLESS
    if now >= latest:
        return TooLate(0.0)
    wait = min(_LOOK_SECONDS * (place + 1), latest - now)
    return AskAgain(wait, Reason.PACING, is_known=False)
