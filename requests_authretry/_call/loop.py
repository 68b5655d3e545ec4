"""The loop of one call: wait, send, decide, until the rules say stop."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from requests import RequestException, Response

from .._admission.admission import FREE, NO_FAILURE
from .._admission.waiting import Waiter
from .._core.http import FIRST_ERROR, FIRST_REDIRECT
from .._core.origin import Origin, redacted
from .._core.records import Reason, Retry, Stop
from .._errors import AuthRetryError
from .attempt_log import CALL
from .credentials import target_of
from .response_body import drain, forbids_retry, read_body
from .translate import as_requests_error, failure_of, outcome_of
from .unauthorized import CREDENTIALS_AT_FAULT, put_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import PreparedRequest

    from .._admission.admission import Failed, Permit
    from .._admission.waiting import Waiters, Waits
    from .call import Call

    Result = Response | RequestException
    """What an attempt brought."""

_FINAL = Stop(Reason.FINAL)
_UNNOTICED = 0.001
"""Seconds by which `Response.elapsed` may be off before the hook has to set it right."""


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
            with _waiting(call, request, result, waiters) as waiter:
                admitted = shared.admission.acquire(
                    target_of(shared, request) if retry is None else failed.target,
                    waiter,
                    call.deadline,
                    is_first=not log.record,
                    failed=failed,
                    retry=retry,
                    decide_again=partial(call.decide_again, request, failed),
                )
            log.started = shared.clock.monotonic()
            if isinstance(admitted, Stop):
                return _not_sent(call, request, result, admitted)
            permit = admitted
            call.paid = call.paid if permit.cost is None else permit.cost
        options["timeout"] = None if timeout is None else call.limited(timeout)
        result, decision, failed = _attempt(call, request, transmit, permit, options)
        waiters = waits.waiters  # before the listeners, who may close the session
        if isinstance(decision, Stop):
            if decision.reason is Reason.QUOTA_EXHAUSTED:
                _rest(call, request, result, waiters, failed)
            return _finish(call, request, result, decision)
        retry = decision
        log.add_retry(shared.settings.listeners, request, retry, failed.at)
        if isinstance(result, Response):
            call.take_cookies(request, result)


def _attempt(
    call: Call,
    request: PreparedRequest,
    transmit: Callable[..., Response],
    permit: Permit,
    options: dict[str, Any],
) -> tuple[Result, Retry | Stop, Failed]:
    """Send once, settle the permit, and decide."""
    decision: Retry | Stop = _FINAL
    failed = NO_FAILURE
    try:
        response = transmit(call.outgoing(request, options["proxies"]), **options)
        call.headers_received(request, response, permit)
        response.request = request
        if response.status_code >= FIRST_ERROR and not call.may_answer:
            clock = call.shared.clock
            outcome = outcome_of(response, clock.time(), call.shared.limit_headers)
            failed, decision = call.judge(request, permit, outcome)
            if isinstance(decision, Retry):
                drain(response, clock, call.deadline)
                # The body of a stream is the caller's to read.
                if not options["stream"] and forbids_retry(response):
                    decision = Stop(Reason.VETOED, decision.retry_after)
        if options["stream"] or isinstance(decision, Retry):
            return response, decision, failed
        if response.status_code < FIRST_ERROR or not call.is_for_hooks:
            read_body(response, call.shared.clock, call.until)
    except AuthRetryError as error:  # nothing was sent
        error.request = request
        call.log.leave_on(error)
        raise
    except Exception as error:
        failure = as_requests_error(error, request)
        if failure is None:
            raise
        call.log.failed(request.url, failure, call.shared.clock.monotonic())
        if decision.reason is Reason.FINAL:  # a stop by the status stands, though the body is torn
            failed, decision = call.judge(request, permit, failure_of(failure))
        return failure, decision, failed
    return response, decision, failed


@contextmanager
def _waiting(
    call: Call, request: PreparedRequest, result: Result | None, waiters: Waiters
) -> Iterator[Waiter]:
    """Let the closing of the session end the wait in this block, and raise then."""
    waiter = Waiter()
    waiters.add(waiter)
    try:
        yield waiter
    finally:
        waiters.discard(waiter)
    if waiter.closed:
        error = AuthRetryError("the session was closed during the wait", request=request)
        call.log.leave_on(error)
        raise error from (result if isinstance(result, RequestException) else None)


def _rest(
    call: Call, request: PreparedRequest, result: Result, waiters: Waiters, failed: Failed
) -> None:
    """Let a caller wait that polls with an exhausted quota, see `Admission.rest_before_failing`."""
    with _waiting(call, request, result, waiters) as waiter:
        call.shared.admission.rest_before_failing(
            failed.target,
            waiter,
            call.deadline,
            request.method or "",
            throttled=failed.outcome.throttled,
        )


def _not_sent(call: Call, request: PreparedRequest, result: Result | None, stop: Stop) -> Response:
    """Hand out the last answer if there is one; else raise why nothing was sent."""
    if result is not None:
        return _finish(call, request, result, stop)
    call.log.add_refusal(call.shared.settings.listeners, request, stop)
    why = (
        f"wants no request for {stop.retry_after:.3g} s, and this call's deadline ends before that"
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
    if stop is not _FINAL and stop.reason is not Reason.FINAL:
        log.add_stop(shared.settings.listeners, request, stop, shared.clock.monotonic())
    elif shared.quotas.dented and call.is_healthy:
        shared.quotas.pay_back(Origin.of(request.url or ""), call.paid)
    if not isinstance(result, Response):
        log.leave_on(result)
        if hasattr(result, "add_note"):  # Python 3.11
            result.add_note(f"attempts: {len(log.record)}; {stop.reason.value}")
        raise result
    result.__dict__[CALL] = call
    not_its_own = shared.clock.monotonic() - log.began - log.elapsed  # a listener's time too
    if not_its_own > _UNNOTICED or result.status_code in CREDENTIALS_AT_FAULT:
        put_first(request)
    if call.cookies is not None:
        call.cookies.hand_on(result)
    if result.status_code >= FIRST_REDIRECT and result.is_redirect:
        log.write_down(stop)
        call.lead_on(request)
        call.previous = result
    elif call.repeatable is not None and not call.may_answer:
        call.close()
    return result
