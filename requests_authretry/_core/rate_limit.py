"""Cool-down and pacing: when the next request may be sent.

A `RateState` holds the knowledge about one rate limit: what is known of one scope. `ask` decides
whether a waiting call may send now.

A refusal that names a time begins a cool-down. During the cool-down one other call may send a test
attempt, unless the server named the policy that refused. If the test attempt passes, the limit
covers less than its scope: the cool-down ends, and for ten minutes refusals begin no other one
here. The pace stays.

If the server says how many requests are left in a window, these are spread evenly over the rest of
the window. The first half of a window is free, so that a short job is not slowed down. If the
server says nothing, requests are unlimited until the first refusal. Then the rate follows the
requests that the server lets pass:

- The rate is lowered at most once in a round trip: a request that was sent before the rate was last
  lowered says nothing new.
- An exponentially weighted mean counts what passes in the seconds before a refusal. After a
  cool-down a full bucket may pass at once, so that this mean is too high. With the pause counted
  in, it may be too low. The rate is the geometric mean of both.
- The rate grows by a cubic function of time: slowly near the rate that was found, and faster with
  the distance from it, as in CUBIC (RFC 9438 section 4.2). After that it doubles, so that a limit
  that has moved is found again. A first refusal says little about the rate: until the second
  refusal, the rate doubles each second.
- A refusal that costs a cool-down is risked less often, in proportion to the cool-down.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log2, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from .bounds import LEAST_ATTEMPT, MAX_COOL_DOWN_SECONDS, POLICIES
from .records import REQUESTS, Reason
from .scope import LEARNT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .records import Limit

SAME_COOL_DOWN_SECONDS: Final = 0.5
"""A cool-down that ends so little later is still the same one. A process hears of its own cool-down
again from the store, and each way took time."""

LEAST_RATE: Final = 0.05
"""Requests a second that are always allowed, however often the server refuses."""

FIRST_RATE: Final = 10.0
"""Requests a second after the first refusal, at least."""

LATE: Final = 0.03
"""Seconds that a thread may come late for its slot without lowering the rate."""

ASKING: Final = 0.5
"""Seconds between probes: requests that are sent early because their slot would come too late."""

OVERDUE: Final = 0.05
"""Seconds after its expected time at which a waiting call asks again if no other call woke it."""

BURST: Final = 3
"""Requests that may be sent at once while the rate is only estimated, so that a single caller that
was refused once is not slowed down."""

LASTING: Final = 2
"""A job is expected to send this many times the requests that it has sent in the window. If fewer
requests are left, they are spread evenly."""

AT_ONCE: Final = 32
"""Requests that may be under way before the server says that few are left. Windows with more left
are not counted request by request, as long as none is spread."""

START: Final = 0.9
"""Share of the found rate that pacing starts with after a refusal without a cool-down."""

PLATEAU: Final = 4.0
"""Seconds until the found rate is reached again."""

RARER: Final = 8.0
"""Seconds added to `PLATEAU` for each second of cool-down."""

LONGEST_PLATEAU: Final = 60.0
"""Seconds until the found rate is reached again, at most, however long the cool-down."""

GROWTH: Final = 0.05
"""Share by which the rate has grown after twice the plateau."""

STEEP: Final = 4.0
"""How often the rate doubles from then on, in a time as long as the plateau."""

DOUBLING: Final = 1.0
"""Seconds in which a rate that was only estimated doubles."""

STEEPEST: Final = 0.25
"""Share of the rate that remains after a single refusal, at least."""

FORGOTTEN: Final = 8.0
"""A pace that has grown to this many times the found rate holds no call back any more."""

_SPAN, _LONGEST_SPAN, _COUNT = 0.5, 30.0, 20.0
"""The mean covers half a second or about twenty requests, whichever takes longer, but at most half
a minute."""

_INSTANT = 0.001


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
        """Whether the server said that no request is left before the window's end."""
        return self.left < 1 and now < self.until and self.holds and not self.guessed

    def is_over(self, now: float) -> bool:
        """Whether the window says nothing about the present any more."""
        known = self.quota and not self.guessed
        return now >= (self.until + self.length if known else self.until)

    def spent(self, now: float) -> Window:
        """Return the window after one more request."""
        if now < self.until:
            return self._replace(left=self.left - 1, used=self.used + 1)
        # The server has not described the next window yet: assume as many as in the last one.
        next_one = self._replace(left=self.quota - 1, until=now + self.length, used=1)
        return next_one._replace(guessed=True)

    def interval(self, now: float) -> float:
        """Return the seconds that the window asks for between requests; 0.0 if it asks for none."""
        if not self.holds:
            return 0.0
        is_short = self.left <= self.quota / 2 or not self.quota
        if self.guessed or (is_short and self.left <= LASTING * self.used):
            return max(self.until - now, 0.0) / max(self.left + 1, 1.0)
        return 0.0


class RateState(NamedTuple):
    """The state of one rate limit. Times are monotonic seconds.

    Attributes:
        not_before: The end of the cool-down.
        asked: The ``retry_after`` that began it, None before there was one.
        closed: When it began, inf if no test attempt may be sent.
        is_tested: Whether its test attempt was sent, or none may be.
        narrowed_until: Until when a refusal begins no cool-down, as a test attempt passed.
        rate: Requests a second that passed when the rate was last lowered; inf before the first
            refusal.
        found: Whether the rate was counted under this limit, and not only estimated.
        cut: When the rate was last lowered.
        opened: When requests were sent again after that.
        passing: The mean of the requests that passed, per second.
        counted: When ``passing`` was last brought up to date.
        counting: When ``passing`` began at zero.
        slot: When the rate and the windows allow the next request.
        first: How many requests had been sent, by earlier states, when this state began.
        sent: How many requests have been sent.
        probed: When the last request was sent before its slot, as a probe.
        windows: What the server said about its policies.
    """

    not_before: float = -inf
    asked: float | None = None
    closed: float = inf
    is_tested: bool = True
    narrowed_until: float = -inf
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
        number: The number that the rate limit counts this request by; -1 if it counts no requests.
    """

    number: int


@dataclass(frozen=True, slots=True)
class TooLate:
    """No request may be sent before the caller's deadline.

    Attributes:
        opens_in: Seconds until the server lets a request through; 0.0 if it named no time.
        scope: What the limit covers, for people; "" if nobody asked.
    """

    opens_in: float
    scope: str = ""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """No request may be sent yet.

    Attributes:
        seconds: Seconds until the call asks again.
        reason: What it waits for until then: ``COOL_DOWN`` or ``PACING``.
        retry_after: Seconds that the server asked for, and so began the cool-down; None if it
            waits for none.
        is_known: Whether that is when the wait ends, as far as is known; False: nobody knows when.
    """

    seconds: float
    reason: Reason
    retry_after: float | None = None
    is_known: bool = True


def ask(  # noqa: PLR0913 (what a call may wait for)
    state: RateState,
    place: int,
    now: float,
    deadline: float,
    *,
    may_test: bool,
    patient_until: float = inf,
) -> tuple[RateState, Slot | AskAgain | TooLate]:
    """Decide whether a waiting call may send a request now.

    Args:
        state: The state of the rate limit.
        place: How many calls wait before this one.
        now: The monotonic clock.
        deadline: When the call has to be over.
        may_test: Whether the call may be the test attempt of a cool-down.
        patient_until: Until when the call waits for a time that a server named.

    Returns:
        The decision, and the state after it: a `Slot` counts as sent.
    """
    latest = deadline - LEAST_ATTEMPT
    if may_test and not state.is_tested and now < min(state.not_before, deadline):
        state = on_sent(state, now)._replace(is_tested=True)
        return state, Slot(state.sent)
    blocked, probe_at = blocked_until(state, now), probe_time(state, now)
    is_hopeless = probe_at is None and now < blocked and min(latest, patient_until) < blocked
    if now >= deadline or is_hopeless:
        return state, TooLate(max(blocked - now, 0.0))
    wait = max(opens(state, now) - now, 0.0)
    if place:
        wait += place * spacing(state, now) + OVERDUE
    if wait == 0:
        state = on_sent(state, now)
        return state, Slot(state.sent)
    until = now + wait
    if until > latest and probe_at is not None:
        if probe_at == now:
            state = on_sent(state, now)._replace(probed=now)
            return state, Slot(state.sent)
        until = probe_at
    seconds = min(until, deadline) - now
    if now < state.not_before:
        return state, AskAgain(seconds, Reason.COOL_DOWN, state.asked)
    return state, AskAgain(seconds, Reason.PACING)


def opens(state: RateState, now: float) -> float:
    """Return when the next request may be sent."""
    return max(blocked_until(state, now), state.slot)


def blocked_until(state: RateState, now: float) -> float:
    """Return the time before which the server itself allows nothing."""
    ends = (window.until for window in state.windows if window.is_spent(now))
    return max((state.not_before, *ends))


def probe_time(state: RateState, now: float) -> float | None:
    """Return when a request that would miss its deadline may be sent early, as a probe.

    None: not at all. A probe is sent only while the server has refused nothing, since the limit
    that it announces may not be enforced. One request finds out, and the others wait for its
    answer.
    """
    if state.rate < inf or now < state.not_before:
        return None
    return max(now, state.probed + ASKING)


def on_sent(state: RateState, now: float) -> RateState:
    """Count a request that is sent."""
    windows = tuple(window.spent(now) for window in state.windows if not window.is_over(now))
    state = state._replace(sent=state.sent + 1, windows=windows)
    if state.rate == inf and not any(window.interval(now) for window in windows):
        return state
    late = LATE if state.found else max(LATE, (BURST - 1) / pace(state, now))
    return state._replace(slot=max(state.slot, now - late) + spacing(state, now))


def spacing(state: RateState, now: float) -> float:
    """Return the seconds from one request to the next."""
    return max((1 / pace(state, now), *(window.interval(now) for window in state.windows)))


def pace(state: RateState, now: float) -> float:
    """Return how many requests a second the rate allows; windows may allow fewer."""
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


def pace_ends(state: RateState) -> float:
    """Return when the rate has grown so far that it holds no call back any more."""
    if not state.found:
        return state.opened + DOUBLING * log2(FORGOTTEN)
    plateau = min(PLATEAU + RARER * (state.opened - state.cut), LONGEST_PLATEAU)
    return state.opened + plateau * (2 + log2(FORGOTTEN / (1 + GROWTH)) / STEEP)


def lifted(state: RateState, kind: str, now: float) -> RateState:
    """Return the state without its cool-down, its pace or its windows."""
    if kind == "cool-down":
        return state._replace(not_before=min(state.not_before, now), closed=inf, is_tested=True)
    if kind == "pace":
        return state._replace(rate=inf, found=False, passing=0.0, slot=min(state.slot, now))
    return state._replace(windows=(), slot=min(state.slot, now))


def with_cool_down(
    state: RateState, until: float, now: float, retry_after: float | None, *, may_test: bool
) -> RateState:
    """Return the state with a cool-down that ends at ``until`` or later.

    Args:
        state: The state before.
        until: When the cool-down ends that a server asked for.
        now: The monotonic clock.
        retry_after: Seconds that the server asked for.
        may_test: Whether one test attempt may be sent meanwhile.
    """
    if until <= state.not_before or (may_test and now < state.narrowed_until):
        return state
    if now >= state.not_before:
        state = state._replace(closed=now if may_test else inf, is_tested=not may_test)
    return state._replace(not_before=until, asked=retry_after)


def on_passed(state: RateState, began: float, now: float) -> RateState:
    """End the cool-down if a request passed that was sent at ``began``, after the refusal came."""
    if not state.closed <= began or now >= state.not_before:
        return state
    return state._replace(
        not_before=now,
        narrowed_until=now + LEARNT_SECONDS,
        opened=min(state.opened, now),
        counted=min(state.counted, now),
        counting=min(state.counting, now),
    )


def on_refused(state: RateState, began: float, now: float, estimate: float) -> RateState:
    """Lower the rate after a request that was sent at ``began`` was refused.

    Args:
        state: The state, with the cool-down that this refusal brought.
        began: When the request was sent.
        now: When the refusal arrived.
        estimate: Requests a second that passed before counting began, used at the first refusal.
    """
    if began < state.cut:
        return state
    found = state.rate < inf
    if found and state.opened > state.cut and not state.passing:
        rate = state.rate  # nothing passes at all, as in an outage: that is not a rate
    elif found:
        current = pace(state, now)
        # A caller that sends a request, waits and sends the next one is as fast without a pace.
        alone = 1 / max(state.not_before - now, 1.0) if state.not_before > now else 0.0
        least = max(alone, LEAST_RATE)
        rate = min(max(_measured_rate(state, now), current * STEEPEST, least), max(current, least))
    else:
        rate = max(estimate, FIRST_RATE)
        state = state._replace(passing=rate, counted=now)
    lowered = state._replace(rate=rate, found=found, cut=now, opened=max(now, state.not_before))
    if lowered.opened == now:
        return lowered
    return lowered._replace(passing=0.0, counted=lowered.opened, counting=lowered.opened)


def on_rate_limit_fields(  # noqa: PLR0913 (what an answer says, and of which request)
    state: RateState,
    number: int,
    limits: Iterable[Limit],
    now: float,
    *,
    succeeded: bool,
    used: int = 0,
) -> RateState:
    """Learn what the answer to the request with this number says is left; -1: it has no number.

    Requests that were sent after that one are subtracted. If the request has no number, other such
    requests may be under way, so its answer is believed only if it says that less is left. The
    policies named last are remembered, `POLICIES` of them.

    Args:
        state: The state before.
        number: The number of the request.
        limits: What its answer says.
        now: The monotonic clock.
        succeeded: Whether the server let it pass.
        used: Requests sent in a window that is new here, as far as they were counted.
    """
    known = {window.name: window for window in state.windows}
    for limit in limits:
        name = name_of(limit)
        before = known.pop(name, None)
        window = _window(before, limit, number, state.sent - max(number, state.first), now)
        if before is None:
            window = window._replace(used=used)
        if succeeded and before is not None:
            holds = before.holds and (limit.remaining >= 1 or before.left >= 0)
            window = window._replace(holds=holds)
        is_news = before is None or before.number < number or window.left < before.left
        known[name] = window if before is None or is_news else before
    state = state._replace(windows=tuple(known.values())[-POLICIES:])
    # The next request may have been put off by what was guessed of a window that has begun.
    return state._replace(slot=min(state.slot, now + spacing(state, now)))


def name_of(limit: Limit) -> str:
    """Return the name of a limit's policy, or its quota if it has no name; "" if it has neither."""
    if limit.name or not limit.quota:
        return limit.name
    return f"{limit.quota:g}" if limit.unit == REQUESTS else f"{limit.quota:g} {limit.unit}"


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
    window = window._replace(number=max(number, before.number))
    if now < before.until and not before.guessed and window.left < before.left + 1:
        # Still the same window. Servers round its end up to whole seconds: the earlier end counts.
        return window._replace(
            until=min(window.until, before.until),
            length=max(window.length, before.length),
            used=before.used,
        )
    return window._replace(used=before.used if before.guessed else 0)


def is_plenty(limits: Iterable[Limit]) -> bool:
    """Whether more than half of each limit is left."""
    return all(limit.quota and limit.remaining > limit.quota / 2 for limit in limits)


def free_requests(limits: Iterable[Limit], used: int) -> int:
    """Return how many requests may be sent before any of these limits has to be kept.

    Args:
        limits: What the server says is left.
        used: Requests sent since less than half was left.
    """
    left = min(limit.remaining for limit in limits)
    return int(left / LASTING) - used if left > AT_ONCE else 0


def on_success(state: RateState, now: float) -> RateState:
    """Count an answer that is not a refusal."""
    if state.rate == inf:
        return state
    return state._replace(passing=_decayed_mean(state, now) + 1 / _mean_seconds(state), counted=now)


def is_over(state: RateState, now: float) -> bool:
    """Whether no call needs to wait for this rate limit any more."""
    is_fast = state.rate == inf or now > pace_ends(state)
    closed_until = max(state.not_before, state.narrowed_until)
    return is_fast and now >= closed_until and all(window.is_over(now) for window in state.windows)


def _measured_rate(state: RateState, now: float) -> float:
    """Return the rate that the server lets through, in requests a second."""
    ago = max(now - state.counting, _INSTANT)
    passing = _decayed_mean(state, now) / (
        1 - exp(-ago / _mean_seconds(state))
    )  # the mean began at zero
    open_share = max(now - state.opened, _INSTANT) / max(now - state.cut, _INSTANT)
    return passing * sqrt(open_share)


def _decayed_mean(state: RateState, now: float) -> float:
    return state.passing * exp(-max(now - state.counted, 0.0) / _mean_seconds(state))


def _mean_seconds(state: RateState) -> float:
    return min(max(_SPAN, _COUNT / state.rate), _LONGEST_SPAN)
