"""The loop of one call: wait, send, decide, until the rules say stop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from requests import RequestException, Response

from .._admission.admission import FREE, NO_FAILURE, Permit
from .._core.http import FIRST_REDIRECT, FIRST_SERVER_ERROR
from .._core.origin import redacted
from .._core.records import CALL, FINAL, Reason, Retry, Stop, seconds_text
from .._core.target import origin_name
from .._errors import AuthRetryError
from .call import FOR_HOOK
from .declared import inside
from .digest import counting_retries
from .observing import send_observed

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

    from .._admission.admission import Failed
    from .._admission.declared_limits import Demand
    from .._override import Override
    from .call import Call, Result

    Send = Callable[[Call, PreparedRequest, Callable[..., Response], dict[str, Any]], Response]


def sender_of(call: Call, override: Override | None) -> Send:
    """Return the function that sends a call as its settings, and the block around it, say."""
    if override is not None:
        call.identity = call.identity or override.identity
        if override.block is not None:
            call.end_with(override.block)
    if call.shared.observes:
        return send_observed
    if call.is_too_late:
        return _refuse_late
    return send_within_limits if call.shared.declares_limits else send_until_done


def _refuse_late(
    call: Call, request: PreparedRequest, _: Callable[..., Response], __: dict[str, Any]
) -> Response:
    """Send nothing: the time of the block is over.

    Raises:
        AuthRetryError: In any case.
    """
    call.log.add_refusal(request, Stop(Reason.BLOCK_OVER))
    ago = call.shared.clock.monotonic() - call.deadline
    raise AuthRetryError(
        f"not sent: {_deadline_of(call)}, passed {seconds_text(ago)} ago. Begin a new block for "
        "calls that may take longer",
        request=request,
        response=call.previous,
    )


def send_within_limits(
    call: Call,
    request: PreparedRequest,
    transmit: Callable[..., Response],
    options: dict[str, Any],
) -> Response:
    """Send as `send_until_done` does, within the limits that the settings declare."""
    demand = call.demand(request)
    with demand.life:
        try:
            return send_until_done(call, request, transmit, options, demand)
        finally:
            call.shared.limiter.end_attempt(demand)


def send_until_done(
    call: Call,
    request: PreparedRequest,
    transmit: Callable[..., Response],
    options: dict[str, Any],
    demand: Demand | None = None,
) -> Response:
    """Send until the rules say stop: return the last response, or raise the last failure."""
    shared, log, timeout = call.shared, call.log, options["timeout"]
    limiter = shared.limiter
    if request.method not in shared.settings.retry.methods:
        transmit = partial(call.send_fresh, transmit)
    retry: Retry | None = None
    failed, result = NO_FAILURE, None
    while True:
        permit = FREE
        # On the healthy path admission is this comparison.
        is_concerned = log.started >= limiter.check_after and limiter.concerns(
            request.url or "", log.started
        )
        if retry is not None or is_concerned or demand is not None:
            admitted = _wait_for_admission(call, request, failed, retry, result, demand)
            if isinstance(admitted, Stop):
                return _not_sent(call, request, result, admitted, failed)
            permit = admitted
            log.verdict = None  # of the last attempt: the next answer may be one that nobody judges
        options["timeout"] = call.limited(timeout)
        attempt = call.attempt if demand is None else partial(inside, limiter, demand, call.attempt)
        result, decision, failed = attempt(request, transmit, permit, options)
        if demand is not None:  # before listeners hear of it, which may make calls of their own
            limiter.end_attempt(demand)
        if isinstance(decision, Stop):
            return _finish(call, request, result, decision, failed)
        if retry is None:
            transmit = counting_retries(request, transmit)
        retry = decision
        log.add_retry(retry)
        if isinstance(result, Response):
            call.take_cookies(request, result)


def _wait_for_admission(  # noqa: PLR0913, PLR0917 (what happened before, and what is to come)
    call: Call,
    request: PreparedRequest,
    failed: Failed,
    retry: Retry | None,
    result: Result | None,
    demand: Demand | None,
) -> Permit | Stop:
    """Wait until an attempt may be sent.

    Raises:
        AuthRetryError: The session was closed during the wait.
    """
    shared = call.shared
    with call.waiting(request) as waiter, waiter.life:
        admitted = shared.admission.acquire(
            call.target(request) if retry is None else failed.target,
            waiter,
            has_sent=call.log.attempts > 0,
            failed=failed,
            retry=retry,
            number=call.log.retries,
            demand=demand,
        )
    if waiter.closed:
        stop = Stop(Reason.CLOSED)
        if result is None:
            call.log.add_refusal(request, stop)
        else:
            call.log.add_stop(stop)
        error = AuthRetryError("the session was closed during the wait", request=request)
        raise error from (result if isinstance(result, RequestException) else None)
    if isinstance(admitted, Permit) and admitted.cost is not None:
        call.paid = admitted.cost
    return admitted


def _not_sent(
    call: Call, request: PreparedRequest, result: Result | None, stop: Stop, failed: Failed
) -> Response:
    """Hand out the last answer if there is one, or raise why nothing was sent."""
    if result is not None:
        return _finish(call, request, result, stop, failed)
    call.log.add_refusal(request, stop)
    shared = call.shared
    closed, patience = stop.retry_after, shared.settings.retry.max_retry_after
    why = f"is closed for {seconds_text(closed)}" if closed else "lets too few requests pass"
    left = max(call.deadline - shared.clock.monotonic(), 0.0)
    longer = "RetryPolicy(deadline=...)"
    if call.block_seconds is not None:
        longer = "a longer deadline(...)"
    bound = (
        f"this call has {seconds_text(left)} left of {_deadline_of(call)}; {longer} lets it take "
        "longer"
    )
    if closed and patience is not None and patience < closed:
        bound = f"max_retry_after is {seconds_text(patience)}"
    raise AuthRetryError(
        f"not sent: {stop.scope or redacted(request.url)} {why}, and {bound}. "
        "The `limits` of what `mount` returned show what is closed",
        request=request,
        response=call.previous,
    )


def _deadline_of(call: Call) -> str:
    """Return the deadline of a call, for people."""
    if call.block_seconds is None:
        return f"its deadline of {seconds_text(call.shared.deadline_seconds)}"
    return f"the deadline of the block, {seconds_text(call.block_seconds)}"


def _finish(
    call: Call, request: PreparedRequest, result: Result, stop: Stop, failed: Failed
) -> Response:
    """Hand out the last answer, or raise the last failure."""
    quotas = call.shared.quotas
    if stop is not FINAL and stop.reason is not Reason.FINAL:
        call.log.add_stop(stop)
    elif quotas.levels and (failed.outcome.status or 0) < FIRST_SERVER_ERROR:
        quotas.pay_back(origin_name(request.url or ""), call.paid)
    if not isinstance(result, Response):
        if hasattr(result, "add_note"):  # Python 3.11
            result.add_note(f"attempts: {call.log.attempts}; {stop.reason.value}")
        raise result
    result.__dict__[CALL] = call
    if call.cookies is not None:
        call.cookies.hand_on(result)
    if stop is FOR_HOOK:
        return result
    if result.status_code >= FIRST_REDIRECT and result.is_redirect:
        if call.log.is_open:  # a verdict may have ended its retries
            call.log.write_down(Stop(Reason.REDIRECT))
        call.lead_on(result)
    elif call.repeatable is not None:
        call.close()
    return result
