"""The loop of one call: wait, send, decide, until the rules say stop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from requests import RequestException, Response

from .._admission.admission import FREE, NO_FAILURE, Permit
from .._admission.waiting import Waiter
from .._core.http import FIRST_REDIRECT, FIRST_SERVER_ERROR
from .._core.origin import Origin, redacted
from .._core.records import FINAL, Reason, Retry, Stop, seconds_text
from .._errors import AuthRetryError
from .attempt_log import CALL
from .credentials import target_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

    from .._admission.admission import Failed
    from .._admission.waiting import Waiters, Waits
    from .call import Call, Result


def send_until_done(
    call: Call,
    request: PreparedRequest,
    transmit: Callable[..., Response],
    waits: Waits,
    options: dict[str, Any],
) -> Response:
    """Send until the rules say stop: return the last response, or raise the last failure."""
    shared, log, timeout = call.shared, call.log, options["timeout"]
    retry: Retry | None = None
    failed, result = NO_FAILURE, None
    waiters = waits.waiters
    while True:
        permit = FREE
        # On the healthy path admission is this comparison.
        if retry is not None or log.started >= shared.limiter.check_after:
            admitted = _wait_for_admission(call, request, waiters, failed, retry, result)
            if isinstance(admitted, Stop):
                return _not_sent(call, request, result, admitted)
            permit = admitted
        options["timeout"] = call.limited(timeout)
        result, decision, failed = call.attempt(request, transmit, permit, options)
        waiters = waits.waiters  # before the listeners, who may close the session
        if isinstance(decision, Stop):
            return _finish(call, request, result, decision)
        retry = decision
        log.add_retry(shared.settings.listeners, request, retry, failed.at)
        if isinstance(result, Response):
            call.take_cookies(request, result)


def _wait_for_admission(  # noqa: PLR0913, PLR0917 (the variables of the loop)
    call: Call,
    request: PreparedRequest,
    waiters: Waiters,
    failed: Failed,
    retry: Retry | None,
    result: Result | None,
) -> Permit | Stop:
    """Wait until an attempt may be sent.

    Raises:
        AuthRetryError: The session was closed during the wait.
    """
    shared, waiter = call.shared, Waiter()
    waiters.add(waiter)
    try:
        admitted = shared.admission.acquire(
            target_of(shared, request) if retry is None else failed.target,
            waiter,
            call.deadline,
            has_sent=bool(call.log.record),
            failed=failed,
            retry=retry,
            decide_again=partial(call.decide_again, request, failed),
        )
    finally:
        waiters.discard(waiter)
    if waiter.closed:
        error = AuthRetryError("the session was closed during the wait", request=request)
        call.log.leave_on(error)
        raise error from (result if isinstance(result, RequestException) else None)
    call.log.begin_attempt(shared.clock.monotonic())
    if isinstance(admitted, Permit) and admitted.cost is not None:
        call.paid = admitted.cost
    return admitted


def _not_sent(call: Call, request: PreparedRequest, result: Result | None, stop: Stop) -> Response:
    """Hand out the last answer if there is one, or raise why nothing was sent."""
    if result is not None:
        return _finish(call, request, result, stop)
    call.log.add_refusal(call.shared.settings.listeners, request, stop)
    why = (
        f"wants no request for {seconds_text(stop.retry_after)}, and this call's deadline ends "
        "before that"
        if stop.retry_after
        else "lets too few requests pass before this call's deadline"
    )
    error = AuthRetryError(
        f"not sent: the server of {redacted(request.url)} {why}",
        request=request,
        response=call.previous,
    )
    call.log.leave_on(error)
    raise error


def _finish(call: Call, request: PreparedRequest, result: Result, stop: Stop) -> Response:
    """Hand out the last answer, or raise the last failure."""
    shared, log = call.shared, call.log
    if stop is not FINAL and stop.reason is not Reason.FINAL:
        log.add_stop(shared.settings.listeners, request, stop, shared.clock.monotonic())
    elif shared.quotas.dented and log.status is not None and log.status < FIRST_SERVER_ERROR:
        shared.quotas.pay_back(Origin.of(request.url or ""), call.paid)
    if not isinstance(result, Response):
        log.leave_on(result)
        if hasattr(result, "add_note"):  # Python 3.11
            result.add_note(f"attempts: {len(log.record)}; {stop.reason.value}")
        raise result
    result.__dict__[CALL] = call
    if call.cookies is not None:
        call.cookies.hand_on(result)
    if result.status_code >= FIRST_REDIRECT and result.is_redirect:
        log.write_down(stop)
        call.lead_on(result)
    elif call.repeatable is not None and not call.may_replay:
        call.close()
    return result
