"""The response hook: it sees a 401 before any hook of the user does, and answers it once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from requests import RequestException

from .._core.http import FORBIDDEN, UNAUTHORIZED
from .._core.records import Reason, Stop
from .._core.unauthorized import Decline, Refresh, Refused, Replay, decide_on_401, lacks
from .._errors import AuthRetryError, RefreshFailed
from .._protocols import FetchContext
from .attempt_log import CALL
from .response_body import drain, read_body
from .translate import challenges_of

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from .._core.token import Token
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
    """Set the time the last attempt took, and answer a 401. Answers of others stay as they are.

    Raises:
        requests.RequestException: The token cannot be renewed, the replay failed, or the body of
            the 401 cannot be read.
    """
    call: Call | None = response.__dict__.get(CALL)
    if call is None:
        return None
    response.elapsed = timedelta(seconds=call.log.elapsed)
    if response.status_code not in CREDENTIALS_AT_FAULT:
        return None
    credentials, tokens, sent = call.credentials, call.shared.tokens, call.credentials.sent
    if response.status_code == UNAUTHORIZED and tokens is not None and sent is not None:
        try:
            return _answer(call, tokens, sent, response, options)
        except BaseException as error:
            call.log.end(response.request, error)
            raise
    if response.status_code == FORBIDDEN:
        verdict = None if sent is None else lacks(challenges_of(response), sent.scheme)
        if verdict is not None:
            call.log.add_decline(verdict)
    elif not credentials.is_signed:
        # As bare requests hands it out: unread. Its challenges are not for us.
        call.log.add_decline(Decline(credentials.not_sent))
    call.log.end(response.request, response)
    return None


def _answer(
    call: Call, tokens: TokenManager, sent: Token, response: Response, options: dict[str, Any]
) -> Response:
    """Replay the request with another token; or hand out the 401, and say why.

    Raises:
        requests.RequestException: The body of the 401 cannot be read.
    """
    credentials = call.credentials
    verdict = decide_on_401(
        Refused(
            challenges=challenges_of(response),
            sent=sent,
            current=tokens.held.token,
            replays=credentials.replays,
            fetched=credentials.fetched,
            replayable=call.is_rewound(response.request),
            has_nonce=credentials.has_nonce,
            any_challenge=call.shared.any_challenge,
        )
    )
    if call.waiters.is_closed and not isinstance(verdict, Decline):
        verdict = Decline(Reason.CLOSED)
    if isinstance(verdict, Replay):
        if verdict.reason is Reason.REPLAYED:
            credentials.count_replay()
        return _replay(call, response, verdict.reason, options)
    if isinstance(verdict, Refresh):
        reason = _renew(call, tokens, sent, response, verdict)
        if reason is Reason.REFRESHED:
            return _replay(call, response, reason, options)
        verdict = Decline(reason)
    call.close()
    if not options.get("stream"):
        try:
            read_body(response, call.shared.clock, call.until)
        except RequestException as error:
            error.request = response.request
            call.log.failed(response.request, error)
            call.log.write_down(Stop(verdict.reason))
            raise
    call.log.add_decline(verdict)
    call.log.end(response.request, response)
    return response


def _renew(
    call: Call, tokens: TokenManager, sent: Token, response: Response, verdict: Refresh
) -> Reason:
    """Renew the token; return REFRESHED, or why the request is not sent again.

    Raises:
        AuthRetryError: The renewal failed, or the session was closed meanwhile, and the request
            could be sent again. It tells of the 401.
    """
    context = FetchContext(sent, refused=True, challenge=verdict.challenge)
    try:
        result = tokens.renew(context, call.deadline, partial(call.waiting, response.request))
    except AuthRetryError as error:
        if not verdict.resend:
            return Reason.NOT_REPLAYABLE
        call.close()
        drain(response, call.shared.clock, call.deadline)
        has_failed = isinstance(error, RefreshFailed)
        call.log.write_down(Stop(Reason.REFRESH_FAILED if has_failed else Reason.CLOSED))
        error.request, error.response = response.request, response
        raise
    if isinstance(result, Reason):
        return result
    call.credentials.count_replay(fetched=tokens.fetched == result.value)
    return Reason.REFRESHED if verdict.resend else Reason.NOT_REPLAYABLE


def _replay(call: Call, refused: Response, reason: Reason, options: dict[str, Any]) -> Response:
    """Send the request again, under the same call and through the same adapter."""
    request = refused.request
    call.take_cookies(request, refused)
    drain(refused, call.shared.clock, call.deadline)
    call.log.write_down(Stop(reason))
    call.lead_on(refused, replay=True)
    response: Response = refused.connection.send(request, **options)
    response.history = [*refused.history, refused, *response.history]
    return on_response(response, **options) or response
