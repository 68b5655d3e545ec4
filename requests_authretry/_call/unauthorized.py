"""The response hook: it sees a 401 before any hook of the user does, and answers it once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .._core.challenge import StepUp
from .._core.http import FORBIDDEN, UNAUTHORIZED
from .._core.records import Reason, Stop
from .._core.unauthorized import Decline, Refresh, Refused, Replay, answer, lacks
from .._errors import RefreshFailed
from .._protocols import FetchContext
from .call import call_of
from .response_body import drain, read_body
from .translate import challenges_of

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from .._tokens.manager import TokenManager
    from .call import Call

CREDENTIALS_AT_FAULT = {UNAUTHORIZED, FORBIDDEN}


def put_first(request: PreparedRequest) -> None:
    """Make `on_response` the first response hook of this request, which requests looks up later.

    A hook on the session would vanish when a request brings its own, and one behind a user's
    ``raise_for_status`` would never run. The list is exchanged, not changed: another thread may
    be walking along it.
    """
    given: Any = request.hooks
    if given is None:  # then requests will not look
        return
    listed = given.get("response") or []
    hooks = [listed] if callable(listed) else listed
    if not hooks or hooks[0] is not on_response:
        request.hooks["response"] = [on_response, *(h for h in hooks if h is not on_response)]


def on_response(response: Response, **options: Any) -> Response | None:
    """Set the time the last attempt took, and answer a 401; inert for answers that are not ours."""
    call = call_of(response)
    if call is None:
        return None
    response.elapsed = timedelta(seconds=call.log.elapsed)
    tokens = call.shared.tokens
    if tokens is None:
        return None
    if response.status_code == UNAUTHORIZED:
        return _answered(call, tokens, response, options)
    if response.status_code == FORBIDDEN and call.credentials.sent is not None:
        verdict = lacks(challenges_of(response), call.credentials.sent.scheme)
        if verdict is not None:
            _tell_declined(call, response, verdict)
    return None


def _answered(
    call: Call, tokens: TokenManager, response: Response, options: dict[str, Any]
) -> Response:
    """The answer to the replay, or the 401 itself."""
    if call.credentials.sent is None:
        # As bare requests hands it out: unread, and what it asks for is nothing to us.
        _tell_declined(call, response, Decline(Reason.NO_TOKEN))
        return response
    verdict = answer(
        Refused(
            challenges=challenges_of(response),
            sent=call.credentials.sent,
            current=tokens.token,
            answers=call.credentials.answers,
            fetched=call.credentials.fetched,
            replayable=call.is_rewound(response.request),
            has_nonce=call.credentials.has_nonce,
        )
    )
    if isinstance(verdict, Decline):
        return _declined(call, response, verdict, stream=bool(options.get("stream")))
    if isinstance(verdict, Replay):
        call.credentials.answers += verdict.reason is Reason.REPLAYED
        return _replayed(call, response, verdict.reason, options)
    call.credentials.answers += 1
    reason = _renewed(call, tokens, response, verdict)
    if reason is Reason.REFRESHED:
        return _replayed(call, response, reason, options)
    return _declined(call, response, Decline(reason), stream=bool(options.get("stream")))


def _renewed(call: Call, tokens: TokenManager, response: Response, verdict: Refresh) -> Reason:
    """REFRESHED, or why the request will not be sent again."""
    context = FetchContext(call.credentials.sent, refused=True, challenge=verdict.challenge)
    try:
        result = tokens.renew(context, call.deadline)
    except RefreshFailed as error:
        if verdict.resend:
            _leave(call, response, error)
            raise
        return Reason.NOT_REPLAYABLE
    if isinstance(result, Reason):
        return result
    call.credentials.fetched = tokens.fetched == result.value
    return Reason.REFRESHED if verdict.resend else Reason.NOT_REPLAYABLE


def _leave(call: Call, response: Response, error: RefreshFailed) -> None:
    """Let the error tell of the 401, and let the 401's connection go."""
    call.log.write_down(Stop(Reason.REFRESH_FAILED))
    call.close()
    drain(response, call.shared.clock, call.deadline)
    error.request, error.response = response.request, response
    call.log.leave_on(error)


def _replayed(call: Call, refused: Response, reason: Reason, options: dict[str, Any]) -> Response:
    """Send the request again, under the same call and through the same adapter."""
    request = refused.request
    call.log.write_down(Stop(reason))
    call.take_cookies(request, refused)
    drain(refused, call.shared.clock, call.deadline)
    call.lead_on(request, replay=True)
    call.previous = refused
    response: Response = refused.connection.send(request, **options)
    response.history = [refused, *response.history]
    response.elapsed = timedelta(seconds=call.log.elapsed)
    if response.status_code == UNAUTHORIZED:
        return on_response(response, **options) or response
    return response


def _declined(call: Call, response: Response, verdict: Decline, *, stream: bool) -> Response:
    """Hand out the 401, and say why."""
    call.close()
    if not stream:
        read_body(response, call.shared.clock, call.until)
    _tell_declined(call, response, verdict)
    return response


def _tell_declined(call: Call, response: Response, verdict: Decline) -> None:
    step_up = verdict.challenge if verdict.reason is Reason.STEP_UP else None
    call.log.add_decline(
        call.shared.settings.listeners,
        response.request,
        verdict,
        StepUp.from_challenge(step_up) if step_up else None,
    )
