"""When an attempt may leave: its own wait, its origin's outage, its limit's queue, its quota."""

from __future__ import annotations

import random
from math import inf
from typing import TYPE_CHECKING

from .._core.rate_limit import LONGEST
from .._core.records import Reason, Retry, Stop
from .notes import key_of
from .outage_tracker import place_of

if TYPE_CHECKING:
    from requests import PreparedRequest

    from .._call.call import Call
    from .outage_tracker import Place
    from .rate_limiter import Key
    from .waiting import Waiter


def acquire(call: Call, request: PreparedRequest, waiter: Waiter) -> Stop | None:
    """Wait until an attempt may leave; the reason why not, where it may not.

    A first attempt has no wait of its own, does not ask whether its endpoint is down, and costs
    nothing. Who is woken because the session was closed returns at once.
    """
    runtime, retry = call.runtime, call.retry
    limits, holds = runtime.limits, runtime.settings.limits
    key = key_of(runtime, request) if retry is None or call.limit is None else call.limit
    if holds.cool_down:
        runtime.sharing.look(key)
    if retry is None:
        limits.outages.on_probe_sent(place_of(request.url or ""), runtime.clock.monotonic())
    else:
        stop = _rested(call, request, waiter, key)
        if stop is not None:
            return stop
    call.entered, call.number = key, -1
    if holds.cool_down or holds.pacing:
        was_sent = retry is not None or bool(call.record)
        entered = limits.enter(key, waiter, call.deadline, refused=was_sent)
        if entered == inf:
            return Stop(Reason.WAIT_TOO_LONG, limits.opens(key))
        call.number = int(entered)
    return None if retry is None or waiter.closed else _paid(call, request, retry, waiter)


def _paid(call: Call, request: PreparedRequest, retry: Retry, waiter: Waiter) -> Stop | None:
    """Go, where the quota can pay."""
    if retry.retry_after is not None:
        _sleep(call, call.judged + retry.delay, waiter)  # the queue may be another's by now
    if waiter.released:  # it is one at a time, or one for two successes: an outage has paid for it
        return None
    return (
        None if call.pay(request, retry.cost) else Stop(Reason.QUOTA_EXHAUSTED, retry.retry_after)
    )


def _rested(call: Call, request: PreparedRequest, waiter: Waiter, key: Key) -> Stop | None:
    """Wait as long as the retry has to by itself."""
    retry = call.retry
    if retry is None or (call.held == key and (retry.retry_after or 0.0) <= LONGEST):
        return None  # the queue is closed for as long
    if retry.retry_after is not None or retry.reason is Reason.THROTTLED:
        _sleep(call, call.judged + retry.delay, waiter)
        return None
    place = place_of(request.url or "")
    with call.runtime.limits.outages.waiting(place, waiter, call.judged):
        return _backed_off(call, request, waiter, place)


def _backed_off(call: Call, request: PreparedRequest, waiter: Waiter, place: Place) -> Stop | None:
    """Wait for the backoff, and while the endpoint is down for what others find there."""
    clock, outages = call.runtime.clock, call.runtime.limits.outages
    until, queued = call.judged + (call.retry.delay if call.retry else 0.0), False
    while True:
        _sleep(call, until, waiter)
        if waiter.released or waiter.closed:
            return None
        now = clock.monotonic()
        wait = outages.probe_delay(place, waiter, now, queued=queued)
        if wait == 0:
            return None
        if wait is not None:
            until, queued = now + wait, True
            if until <= call.deadline:
                continue
            return Stop(Reason.WAIT_TOO_LONG) if outages.is_down(place) else None
        # Another has failed in our place.
        decision = call.decide(request)
        call.retries += 1
        if isinstance(decision, Stop):
            is_over = decision.reason is Reason.ATTEMPTS_EXHAUSTED
            return Stop(Reason.OUTAGE) if is_over else decision
        outages.again(place, waiter, now)
        until, queued = now + decision.delay, False


def rest_before_failing(call: Call, request: PreparedRequest, waiter: Waiter) -> None:
    """Keep a caller that asks again and again, although the quota is exhausted, from spinning.

    The AWS retry rules "2.1" have the same for operations that poll; here a call polls when the
    same request has failed for want of quota before, with nothing better in between.
    """
    runtime = call.runtime
    key = key_of(runtime, request)
    before = runtime.quotas.failed_again(key.origin, f"{request.method} {request.url}")
    if not before:
        return
    fraction = random.random()  # noqa: S311 (jitter)
    throttled = call.outcome.throttled
    delay = runtime.settings.retry.backoff.delay(before, throttled=throttled, fraction=fraction)
    now = runtime.clock.monotonic()
    with runtime.limits.outages.waiting(place_of(request.url or ""), waiter, now):
        _sleep(call, min(now + delay, call.deadline), waiter)


def _sleep(call: Call, until: float, waiter: Waiter) -> None:
    clock = call.runtime.clock
    left = until - clock.monotonic()
    if left > 0:
        clock.sleep(left, waiter.wake)
