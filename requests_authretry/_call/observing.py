"""A call that is only observed: it goes out as without this library.

What would have been done is decided as for other calls, and told. Nothing of it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from requests import RequestException

from .._admission.admission import Permit
from .._core import observed
from .._core.adopt import AUTHORIZATION, adopts, static_token
from .._core.http import FIRST_ERROR, FIRST_REDIRECT
from .._core.origin import Origin
from .._core.records import CALL, Reason, Stop
from .placing import text_in
from .request_body import is_rewindable
from .translate import as_requests_error, challenges_of, failure_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest, Response

    from .._admission.declared_limits import Demand
    from .._core.observed import Would
    from .._core.records import Outcome
    from .call import Call


def send_observed(
    call: Call,
    request: PreparedRequest,
    transmit: Callable[..., Response],
    options: dict[str, Any],
) -> Response:
    """Send a request once, as it is, and tell what would have been done.

    Args:
        call: The call.
        request: The caller's request; no copy of it is sent.
        transmit: Sends it.
        options: What the caller gave to the adapter.

    Raises:
        BaseException: What the inner adapter raises, as it is.
    """
    log = call.log
    try:
        demand = call.demand(request)
    except Exception as error:  # noqa: BLE001 (a function of the user's; this call does not need it)
        log.observe(request, observed.refused(Reason.FATAL, type(error).__name__))
        response = _sent(call, request, transmit, options)
    else:
        response = _attempt(call, request, transmit, options, demand)
    response.__dict__[CALL] = call
    if response.status_code >= FIRST_REDIRECT and response.is_redirect:
        log.ended = call.shared.clock.monotonic()
        log.write_down(Stop(Reason.REDIRECT), log.ended)
        call.lead_on(response)
        call.is_cut = False  # a closed session ends no call that is only observed
    else:
        call.close()
        log.end(request, response)
    return response


def _sent(
    call: Call,
    request: PreparedRequest,
    transmit: Callable[..., Response],
    options: dict[str, Any],
) -> Response:
    """Send once, and note what came."""
    # A hop from real settings, which have let requests follow the redirect, needs the body again.
    outgoing = request if call.repeatable is None else call.repeatable.continued(request)
    try:
        response = transmit(outgoing, **options)
    except BaseException as error:
        call.log.failed(request, error)
        raise
    call.log.headers_received(request, response.status_code)
    if outgoing is not request:
        response.request = request
    return response


def _attempt(
    call: Call,
    request: PreparedRequest,
    transmit: Callable[..., Response],
    options: dict[str, Any],
    demand: Demand,
) -> Response:
    """Send once; learn from the answer, and tell what would have been done before and after it."""
    shared = call.shared
    permit = _foresee(call, request, demand)
    with demand.life:
        try:
            response = _sent(call, request, transmit, options)
        except BaseException as error:
            _tell_of_failure(call, request, permit, error)
            raise
        finally:
            shared.limiter.end_attempt(demand)
    _weigh(call, request, response, permit, stream=options["stream"])
    return response


def _weigh(
    call: Call, request: PreparedRequest, response: Response, permit: Permit, *, stream: bool
) -> None:
    """Ask what the answer means, learn from it, and tell what would have followed."""
    status, verdict = response.status_code, call.ask(request, response, stream=stream)
    if status < FIRST_ERROR and verdict is None:
        call.learn(request, response, permit)
        return
    outcome = call.outcome_of(response, stream=stream)
    is_told = _tell_what_follows(call, request, permit, outcome)
    if call.refuses_credential(status) and not is_told:
        call.log.observe(request, _about_401(call, request, response))


def _foresee(call: Call, request: PreparedRequest, demand: Demand) -> Permit:
    """Tell what the request would have waited for, and count it at the rate limits."""
    shared = call.shared
    if call.is_too_late:
        call.log.observe(request, observed.refused(Reason.BLOCK_OVER))
        return Permit(demand.target)
    with call.waiting(request) as waiter, waiter.life:
        answer = shared.admission.foresee(demand.target, waiter, demand)
    if isinstance(answer, Permit):
        return answer
    call.log.observe(request, observed.before(answer))
    return Permit(demand.target)


def _tell_of_failure(
    call: Call, request: PreparedRequest, permit: Permit, error: BaseException
) -> None:
    """Tell what would have followed an attempt that ended in an exception."""
    failure = error if isinstance(error, RequestException) else as_requests_error(error, request)
    if failure is None:
        call.log.observe(request, observed.ended(Reason.FATAL))
    else:
        _tell_what_follows(call, request, permit, failure_of(failure))


def _tell_what_follows(
    call: Call, request: PreparedRequest, permit: Permit, outcome: Outcome
) -> bool:
    """Learn from a failed attempt, and tell what would have followed; return whether anything."""
    shared = call.shared
    is_replayable = is_rewindable(request, shared.settings.retry)
    failed, decision = call.judge(request, permit, outcome, is_replayable=is_replayable)
    is_down = shared.admission.is_down(failed.target)
    would = observed.after(decision, is_down=is_down, verdict=outcome.verdict)
    if would is not None:
        call.log.observe(request, would)
    return would is not None


def _about_401(call: Call, request: PreparedRequest, response: Response) -> Would:
    """Return what would have been done about a 401: no credential of the settings was sent."""
    settings, sent, not_sent = call.shared.settings, None, None
    if settings.token is None and settings.auth is None:
        not_sent = Reason.NO_TOKEN
    elif Origin.of(request.url or "") not in call.shared.origins:
        not_sent = Reason.OTHER_ORIGIN
    elif (given := text_in(settings.token_in, request)) is not None:
        if settings.token is not None and adopts(settings.adopt, AUTHORIZATION):
            place = settings.token_in
            sent = static_token(given) if place is None else place.token_of(given)
        not_sent = Reason.OWN_CREDENTIAL if sent is None else None
    return observed.after_401(
        challenges_of(response),
        sent,
        not_sent,
        any_challenge=call.shared.any_challenge,
        is_told=call.log.verdict is not None,
    )
