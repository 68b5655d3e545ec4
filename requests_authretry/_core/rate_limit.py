"""Cool-down and pacing: when the next request may leave.

A `RateState` is what is known of one limit: of an origin, a credential and, where the server names
them, its policies. `ask` decides whether a call that waits for it may send now.

Where the server tells what is left of a window, that is spent evenly over the rest of it; the
first half of it is free, so that a short job is not slowed down. Where it tells nothing, requests
are unlimited until the first refusal. Then the rate is what the server lets pass:

- It is lowered once in a round trip at most: a request that left before the rate was last lowered
  tells nothing new.
- What passes is counted in the seconds before a refusal, by an exponentially weighted mean. After a
  cool-down a full bucket may pass at once, so that it says too much; with the pause counted in, it
  may say too little: the geometric mean of both is taken.
- It grows by a cubic function of time, slowly about the rate that was found and faster with the
  distance, as CUBIC does (RFC 9438 section 4.2), and then by doubling, so that a limit that has
  moved is found again. A first refusal tells little of the rate: until the second one it doubles
  each second.
- A refusal that cost a cool-down is risked more rarely, in proportion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, inf, sqrt
from typing import TYPE_CHECKING, Final

from .bounds import POLICIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .records import Limit

MAX_COOL_DOWN_SECONDS: Final = 3600.0
"""Seconds that a cool-down lasts at most for all others; then one of them asks again."""

LEAST_RATE: Final = 0.05
"""Requests a second, however often the server refuses."""

FIRST_RATE: Final = 10.0
"""Requests a second to go on with at least after the first refusal."""

LATE: Final = 0.03
"""Seconds by which a thread may come late for its slot without loss to the rate."""

ASKING: Final = 0.5
"""Seconds between requests that leave before their slot, as that would come too late."""

OVERDUE: Final = 0.05
"""Seconds after its expected time at which a call that nobody woke asks again."""

BURST: Final = 3
"""Requests that may leave at once as long as the rate is only estimated: a single caller that was
refused once is not slowed down."""

LASTING: Final = 2
"""A job is expected to send this many times what it has sent. What is left is spent evenly where it
would not last for that."""

START: Final = 0.9
"""Share of the rate that was found to begin with, where a refusal cost no cool-down."""

PLATEAU: Final = 4.0
"""Seconds until the rate that was found is reached again."""

RARER: Final = 8.0
"""Seconds more for each second of cool-down."""

LONGEST_PLATEAU: Final = 60.0
"""Seconds until then, whatever the cool-down."""

GROWTH: Final = 0.05
"""Share by which the rate has grown after twice that time."""

STEEP: Final = 4.0
"""How often it doubles in that time from then on."""

DOUBLING: Final = 1.0
"""Seconds in which the rate doubles that was estimated and not found."""

STEEPEST: Final = 0.25
"""What a single refusal leaves of the rate at least."""

FORGOTTEN: Final = 8.0
"""A pace that has grown to so many times what was found holds nobody back any more."""

_SPAN, _LONGEST_SPAN, _COUNT = 0.5, 30.0, 20.0
"""The mean covers half a second, or some twenty requests, but no more than half a minute."""

_INSTANT = 0.001


@dataclass(frozen=True, slots=True)
class Window:
    """What the server has told of one of its policies.

    Attributes:
        name: The policy.
        left: Requests that may leave before ``until``.
        until: When there will be more, in monotonic seconds.
        quota: What a window begins with, 0.0 where it was not told.
        length: Seconds from one to the next.
        number: The request that it was told to, counted by `RateState.sent`.
        used: Requests that have left in it, as far as they were counted.
        guessed: Whether it has begun since, and nothing was told of it yet.
        holds: Whether the server keeps to it; one that serves what it says is not left does not.
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

    def is_spent(self, now: float) -> bool:
        """Whether the server has said that there is nothing before its end."""
        return self.left < 1 and now < self.until and self.holds and not self.guessed

    def is_over(self, now: float) -> bool:
        """Whether it says nothing of the present any more."""
        known = self.quota and not self.guessed
        return now >= (self.until + self.length if known else self.until)

    def spent(self, now: float) -> Window:
        """Return the window after one more request."""
        if now < self.until:
            return replace(self, left=self.left - 1, used=self.used + 1)
        # Nobody has said yet what the next one has: as much as the last.
        next_one = replace(self, left=self.quota - 1, until=now + self.length, used=1)
        return replace(next_one, guessed=True)

    def interval(self, now: float) -> float:
        """Seconds to the next request."""
        if not self.holds:
            return 0.0
        is_short = self.left <= self.quota / 2 or not self.quota
        if self.guessed or (is_short and self.left <= LASTING * self.used):
            return max(self.until - now, 0.0) / max(self.left + 1, 1.0)
        return 0.0


@dataclass(frozen=True, slots=True)
class RateState:
    """What is known of one limit. Times are monotonic seconds.

    Attributes:
        not_before: The end of the cool-down.
        rate: Requests a second that passed when it was last lowered; inf before the first refusal.
        found: Whether it was counted under that limit, and not only estimated.
        cut: When it was last lowered.
        opened: When requests went on after that.
        passing: The mean of what passed, in requests a second.
        counted: When it was last brought up to date.
        counting: When it began from nothing.
        slot: When the next request may leave by rate and windows.
        first: How many had left when it began, counted by earlier states.
        sent: How many have left.
        probed: When the last one left before its slot.
        windows: What the server told.
    """

    not_before: float = -inf
    rate: float = inf
    found: bool = False
    cut: float = -inf
    opened: float = -inf
    passing: float = 0.0
    counted: float = -inf
    counting: float = -inf
    slot: float = -inf
    first: int = 0
    sent: int = 0
    probed: float = -inf
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to send one request now.

    Attributes:
        number: Which request it is of those that the rate limit counts, -1 if it counts none.
    """

    number: int


@dataclass(frozen=True, slots=True)
class TooLate:
    """No request may be sent before the caller's deadline.

    Attributes:
        opens_in: Seconds until the server lets a request through; 0.0 if it named no time.
    """

    opens_in: float


@dataclass(frozen=True, slots=True)
class AskAgain:
    """No request may be sent yet.

    Attributes:
        seconds: When to ask again.
    """

    seconds: float


def ask(
    state: RateState, place: int, now: float, deadline: float
) -> tuple[RateState, Slot | AskAgain | TooLate]:
    """Decide whether a waiting call may send a request now.

    Args:
        state: What is known of the limit.
        place: How many calls wait before this one.
        now: The monotonic clock.
        deadline: When the call has to be over.

    Returns:
        The decision, and the state after it: a `Slot` counts as sent.
    """
    if state.not_before > deadline or now > deadline:
        return state, TooLate(max(blocked_until(state, now) - now, 0.0))
    wait = max(opens(state, now) - now, 0.0)
    if place:
        wait += place * spacing(state, now) + OVERDUE
    if wait == 0:
        state = on_sent(state, now)
        return state, Slot(state.sent)
    until, probe_at = now + wait, probe_time(state, now)
    if until > deadline and probe_at is not None:
        if probe_at == now:
            state = replace(on_sent(state, now), probed=now)
            return state, Slot(state.sent)
        until = probe_at
    return state, AskAgain(min(until, deadline + OVERDUE) - now)


def opens(state: RateState, now: float) -> float:
    """Return when the next request may be sent."""
    return max(blocked_until(state, now), state.slot)


def blocked_until(state: RateState, now: float) -> float:
    """Return the time before which the server itself allows nothing."""
    ends = (window.until for window in state.windows if window.is_spent(now))
    return max((state.not_before, *ends))


def probe_time(state: RateState, now: float) -> float | None:
    """Return when a request that would miss its deadline may be sent early, as a probe.

    None: not at all. Only while the server has refused nothing: the limit that it announces may
    not be enforced. So one request finds out, and the others wait for its answer.
    """
    if state.rate < inf or now < state.not_before:
        return None
    return max(now, state.probed + ASKING)


def on_sent(state: RateState, now: float) -> RateState:
    """Count a request that is sent."""
    windows = tuple(window.spent(now) for window in state.windows if not window.is_over(now))
    state = replace(state, sent=state.sent + 1, windows=windows)
    late = LATE if state.found else max(LATE, (BURST - 1) / pace(state, now))
    return replace(state, slot=max(state.slot, now - late) + spacing(state, now))


def spacing(state: RateState, now: float) -> float:
    """Return the seconds from one request to the next."""
    return max((1 / pace(state, now), *(window.interval(now) for window in state.windows)))


def pace(state: RateState, now: float) -> float:
    """Return the requests a second that may be sent, windows apart."""
    since = max(now - state.opened, 0.0)
    if state.rate == inf:
        return inf
    if not state.found:
        return state.rate * 2 ** min(since / DOUBLING, 30)
    pause = state.opened - state.cut
    past = since / min(PLATEAU + RARER * pause, LONGEST_PLATEAU) - 1
    if past > 1:
        return state.rate * (1 + GROWTH) * 2 ** min((past - 1) * STEEP, 30)
    slope = GROWTH if past > 0 or pause else 1 - START
    return max(state.rate * (1 + slope * past**3), LEAST_RATE)


def with_cool_down(state: RateState, until: float) -> RateState:
    """Send nothing before that time; a later end of the cool-down stays."""
    return replace(state, not_before=max(state.not_before, until))


def on_refused(state: RateState, began: float, now: float, estimate: float) -> RateState:
    """Lower the rate after a request that was sent at ``began`` was refused.

    Args:
        state: With the cool-down that the refusal brought.
        began: When the request left.
        now: When the refusal came.
        estimate: Requests a second that passed before anybody counted, for the first refusal.
    """
    if began < state.cut:
        return state
    found = state.rate < inf
    if found and state.opened > state.cut and not state.passing:
        rate = state.rate  # it lets nothing pass at all, as in an outage: that is no rate
    elif found:
        current = pace(state, now)
        # Whoever sends one, waits and sends the next has as much without a pace.
        alone = 1 / max(state.not_before - now, 1.0) if state.not_before > now else 0.0
        least = max(alone, LEAST_RATE)
        rate = min(max(_measured_rate(state, now), current * STEEPEST, least), max(current, least))
    else:
        rate = max(estimate, FIRST_RATE)
        state = replace(state, passing=rate, counted=now)
    lowered = replace(state, rate=rate, found=found, cut=now, opened=max(now, state.not_before))
    if lowered.opened == now:
        return lowered
    return replace(lowered, passing=0.0, counted=lowered.opened, counting=lowered.opened)


def on_rate_limit_fields(
    state: RateState, number: int, limits: Iterable[Limit], now: float, *, succeeded: bool
) -> RateState:
    """Learn what the answer to the request of that number says is left; -1: it has no number.

    What is left is less by the requests that have left since. Of those that nobody counted, others
    may be under way, so they are believed only where they say that less is left.
    The policies told last are kept in mind, `POLICIES` of them.
    """
    known = {window.name: window for window in state.windows}
    for limit in limits:
        name = name_of(limit)
        before = known.pop(name, None)
        window = _window(before, limit, number, state.sent - max(number, state.first), now)
        if succeeded and before is not None:
            holds = before.holds and (limit.remaining >= 1 or before.left >= 0)
            window = replace(window, holds=holds)
        is_news = before is None or before.number < number or window.left < before.left
        known[name] = window if before is None or is_news else before
    return replace(state, windows=tuple(known.values())[-POLICIES:])


def name_of(limit: Limit) -> str:
    """Name the policy of a limit; without a name its quota names it, if there is one."""
    return limit.name or (f"{limit.quota:g}" if limit.quota else "")


def _window(before: Window | None, limit: Limit, number: int, since: int, now: float) -> Window:
    window = Window(
        name=name_of(limit),
        left=limit.remaining - since,
        until=now + min(limit.reset, MAX_COOL_DOWN_SECONDS),
        quota=limit.quota or 0.0,
        length=limit.window or limit.reset,
        number=number,
    )
    if before is None:
        return window
    window = replace(window, number=max(number, before.number))
    if now < before.until and not before.guessed and window.left < before.left + 1:
        # The same one still; whole seconds, rounded up, tell its end too late.
        return replace(
            window,
            until=min(window.until, before.until),
            length=max(window.length, before.length),
            used=before.used,
        )
    return replace(window, used=before.used if before.guessed else 0)


def is_plenty(limits: Iterable[Limit]) -> bool:
    """Whether none of these need be kept in mind yet."""
    return all(limit.quota and limit.remaining > limit.quota / 2 for limit in limits)


def on_success(state: RateState, now: float) -> RateState:
    """Count an answer that is no refusal."""
    if state.rate == inf:
        return state
    return replace(state, passing=_decayed_mean(state, now) + 1 / _mean_seconds(state), counted=now)


def is_over(state: RateState, now: float) -> bool:
    """Whether no call needs to wait for it any more."""
    is_fast = state.rate == inf or pace(state, now) > FORGOTTEN * state.rate
    return (
        is_fast and now >= state.not_before and all(window.is_over(now) for window in state.windows)
    )


def _measured_rate(state: RateState, now: float) -> float:
    """Return the rate that the server lets through, in requests a second."""
    ago = max(now - state.counting, _INSTANT)
    passing = _decayed_mean(state, now) / (
        1 - exp(-ago / _mean_seconds(state))
    )  # it began from nothing
    open_share = max(now - state.opened, _INSTANT) / max(now - state.cut, _INSTANT)
    return passing * sqrt(open_share)


def _decayed_mean(state: RateState, now: float) -> float:
    return state.passing * exp(-max(now - state.counted, 0.0) / _mean_seconds(state))


def _mean_seconds(state: RateState) -> float:
    return min(max(_SPAN, _COUNT / state.rate), _LONGEST_SPAN)
