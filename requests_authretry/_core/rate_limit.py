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
requests that the server lets pass: see `pace`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from . import pace as pacing
from .bounds import LEAST_ATTEMPT, POLICIES
from .pace import NO_PACE, Pace
from .records import Reason
from .scope import LEARNT_SECONDS
from .window import LASTING, Window, described, first_described, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .records import Limit

SAME_COOL_DOWN_SECONDS: Final = 0.5
"""A cool-down that ends so little later is still the same one. A process hears of its own cool-down
again from the store, and each way took time."""

LATE: Final = 0.05
"""Seconds that a thread may come late for its slot without lowering the rate."""

ASKING: Final = 0.5
"""Seconds between probes: requests that are sent early because their slot would come too late."""

OVERDUE: Final = 0.05
"""Seconds after its expected time at which a waiting call asks again if no other call woke it."""

AT_ONCE: Final = 32
"""Requests that may be under way before the server says that few are left. Windows with more left
are not counted request by request, as long as none is spread."""


class RateState(NamedTuple):
    """The state of one rate limit. Times are monotonic seconds.

    Attributes:
        not_before: The end of the cool-down.
        asked: The ``retry_after`` that began it, None before there was one.
        closed: When it began, inf if no test attempt may be sent.
        is_tested: Whether its test attempt was sent, or none may be.
        narrowed_until: Until when a refusal begins no cool-down, as a test attempt passed.
        pace: How fast the limit lets requests pass.
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
    pace: Pace = NO_PACE
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
    is_first: bool = False,
    patient_until: float = inf,
) -> tuple[RateState, Slot | AskAgain | TooLate]:
    """Decide whether a waiting call may send a request now.

    Args:
        state: The state of the rate limit.
        place: How many calls wait before this one.
        now: The monotonic clock.
        deadline: When the call has to be over.
        may_test: Whether the call may be the test attempt of a cool-down.
        is_first: Whether it is the first attempt of its call. It may test whether a spent window
            refills.
        patient_until: Until when the call waits for a time that a server named.

    Returns:
        The decision, and the state after it: a `Slot` counts as sent.
    """
    latest = deadline - LEAST_ATTEMPT
    test_at = window_test_time(state, now) if is_first else inf
    tested = _tested(state, test_at, now, deadline, may_test=may_test)
    if tested is not None:
        return tested, Slot(tested.sent)
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
    seconds = min(until, deadline, test_at) - now
    if now < state.not_before:
        return state, AskAgain(seconds, Reason.COOL_DOWN, state.asked)
    return state, AskAgain(seconds, Reason.PACING)


def _tested(
    state: RateState, test_at: float, now: float, deadline: float, *, may_test: bool
) -> RateState | None:
    """Return the state after a test of the cool-down, or of spent windows; None for neither."""
    if may_test and not state.is_tested and now < min(state.not_before, deadline):
        return on_sent(state, now)._replace(is_tested=True)
    if test_at <= now < deadline:
        state = on_sent(state, now)
        windows = tuple(window._replace(test=state.sent, tested=now) for window in state.windows)
        return state._replace(windows=windows)
    return None


def opens(state: RateState, now: float) -> float:
    """Return when the next request may be sent."""
    refilled = (window.refilled(now) for window in state.windows)
    return max((blocked_until(state, now), state.slot, *refilled))


def blocked_until(state: RateState, now: float) -> float:
    """Return the time before which the server itself allows nothing."""
    ends = (window.until for window in state.windows if window.is_spent(now))
    return max((state.not_before, *ends))


def has_refilling_window(state: RateState) -> bool:
    """Whether requests come back one after another in any window."""
    return any(window.refills for window in state.windows)


def window_test_time(state: RateState, now: float) -> float:
    """Return when a request may test whether the spent windows refill; inf if none may.

    It may in the cool-down that their end was the reason for, and in no longer one.
    """
    spent = [window for window in state.windows if window.is_spent(now)]
    ends = max((window.until for window in spent), default=-inf)
    if not spent or max(now, ends + SAME_COOL_DOWN_SECONDS) < state.not_before:
        return inf
    slot = state.slot if state.pace.rate < inf else -inf  # else the windows have set it
    return max((slot, *(window.test_time() for window in spent)))


def probe_time(state: RateState, now: float) -> float | None:
    """Return when a request that would miss its deadline may be sent early, as a probe.

    None: not at all. A probe is sent only while the server has refused nothing, since the limit
    that it announces may not be enforced. One request finds out, and the others wait for its
    answer.
    """
    if state.pace.rate < inf or now < state.not_before:
        return None
    return max(now, state.probed + ASKING)


def on_sent(state: RateState, now: float) -> RateState:
    """Count a request that is sent."""
    windows = tuple(window.spent(now) for window in state.windows if not window.is_over(now))
    state = state._replace(sent=state.sent + 1, windows=windows)
    if state.pace.rate == inf and not any(window.interval(now) for window in windows):
        return state
    return state._replace(slot=max(state.slot, now - LATE) + spacing(state, now))


def spacing(state: RateState, now: float) -> float:
    """Return the seconds from one request to the next."""
    return max((1 / state.pace.allowed, *(window.interval(now) for window in state.windows)))


def lifted(state: RateState, kind: str, now: float) -> RateState:
    """Return the state without its cool-down, its pace or its windows."""
    if kind == "cool-down":
        return state._replace(not_before=min(state.not_before, now), closed=inf, is_tested=True)
    if kind == "pace":
        return state._replace(pace=NO_PACE, slot=min(state.slot, now))
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
    return state._replace(not_before=now, narrowed_until=now + LEARNT_SECONDS)


def on_refused(state: RateState, began: float, now: float) -> RateState:
    """Lower the pace after a request that was sent at ``began`` was refused.

    Args:
        state: The state, with the cool-down that this refusal brought.
        began: When the request was sent.
        now: When the refusal arrived.
    """
    closed_for = max(state.not_before - now, 0.0)
    lowered = pacing.on_refused(state.pace, began, now, closed_for)
    if state.pace.rate < inf:
        # The next slot was set at the pace before: put it off by the difference.
        later = max(1 / lowered.allowed - 1 / state.pace.allowed, 0.0)
        return state._replace(pace=lowered, slot=max(state.slot, now - LATE) + later)
    return state._replace(pace=lowered, slot=max(state.slot, now + 1 / lowered.allowed))


def on_rate_limit_fields(  # noqa: PLR0913 (what an answer says, and of which request)
    state: RateState,
    number: int,
    limits: Iterable[Limit],
    began: float,
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
        began: When the request was sent.
        now: When the answer arrived.
        succeeded: Whether the server let it pass.
        used: Requests sent in a window that is new here, as far as they were counted.
    """
    known = {window.name: window for window in state.windows}
    since = state.sent - max(number, state.first)
    for limit in limits:
        name = name_of(limit)
        before = known.pop(name, None)
        if before is None:
            known[name] = first_described(limit, number, since, now, used)
            continue
        window = described(before, limit, number, since, began, now, succeeded=succeeded)
        # A window that refills decides itself what an answer to an earlier request changes.
        is_news = before.refills or before.number < number or window.left < before.left
        known[name] = window if is_news else before
    state = state._replace(windows=tuple(known.values())[-POLICIES:])
    if any(window.refills and 0 <= number == window.test for window in state.windows):
        state = state._replace(not_before=min(state.not_before, now))
    # The next request may have been put off by what was guessed of a window that has begun.
    return state._replace(slot=min(state.slot, now + spacing(state, now)))


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


def on_success(state: RateState, began: float, now: float) -> RateState:
    """Count an answer that is not a refusal."""
    if state.pace.rate == inf:
        return state
    is_used = state.slot > now - LATE
    return state._replace(pace=pacing.on_passed(state.pace, began, now, is_used=is_used))


def on_error(state: RateState, began: float, now: float) -> RateState:
    """Count a request that has passed the limit, and brought an error of the server."""
    if state.pace.rate == inf:
        return state
    return state._replace(pace=pacing.on_passed(state.pace, began, now, is_used=False))


def is_over(state: RateState, now: float) -> bool:
    """Whether no call needs to wait for this rate limit any more."""
    closed_until = max(state.not_before, state.narrowed_until, state.pace.ends)
    return now >= closed_until and all(window.is_over(now) for window in state.windows)
