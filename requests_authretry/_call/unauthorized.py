"""The response hook: it sees a 401 before any hook of the user does, and answers it once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from requests import RequestException

from .._core.http import FORBIDDEN, UNAUTHORIZED
from .._core.placement import is_usual, written
from .._core.records import CALL, Reason, Stop
from .._core.unauthorized import (
    Decline,
    Refresh,
    Refused,
    Replay,
    decide_on_401,
    decide_on_challenge,
    lacks,
)
from .._errors import AuthRetryError, RefreshFailed
from .._protocols import FetchContext
from .._warnings import name_of, warn_once
from .digest import take_challenge
from .response_body import drain, read_body
from .translate import challenges_of

if TYPE_CHECKING:
    from requests import PreparedRequest, Response
    from requests.auth import HTTPDigestAuth

    from .._core.token import Token
    from .._tokens.manager import TokenManager
    from .call import Call

CREDENTIALS_AT_FAULT = {UNAUTHORIZED, FORBIDDEN}

_PUZZLING = {
    Reason.ANSWERED,
    Reason.OTHER_SCHEME,
    Reason.SOURCE_DECLINED,
    Reason.STORM,
    Reason.UNCHANGED,
}
"""Why a 401 is handed out that may not have seen the token, as it stood in the wrong place."""

_COUNTED = {Reason.REPLAYED, Reason.CLOCK}
"""Replays for these reasons count as answers of a 401; a nonce says nothing about the token."""


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
    is_refused = call.refuses_credential(response.status_code)
    if not is_refused and response.status_code not in CREDENTIALS_AT_FAULT:
        return None
    credentials, sent = call.credentials, call.credentials.sent
    is_ours = sent is not None or credentials.digest is not None
    if is_refused and is_ours:
        try:
            return _answer(call, response, options)
        except BaseException as error:
            call.log.end(response.request, error)
            raise
    if is_refused and credentials.is_signed:
        _warn_of_hooks(call)
    elif is_refused:
        # As bare requests hands it out: unread. Its challenges are not for us.
        call.log.add_decline(Decline(credentials.not_sent))
    elif response.status_code == FORBIDDEN and sent is not None and call.log.verdict is None:
        verdict = lacks(challenges_of(response), sent.scheme)
        if verdict is not None:
            call.log.add_decline(verdict)
    _end(call, response)
    return None


def _answer(call: Call, response: Response, options: dict[str, Any]) -> Response:
    """Replay the request with another credential; or hand out the 401, and say why.

    Raises:
        requests.RequestException: The renewal or the replay failed, or the body of the 401 cannot
            be read.
    """
    credentials, tokens = call.credentials, call.shared.tokens
    verdict: Replay | Decline = Decline(credentials.not_sent)
    if credentials.digest is not None:
        verdict = _sign_again(call, credentials.digest, response)
    if tokens is not None and credentials.sent is not None and isinstance(verdict, Decline):
        verdict = _decide_on_token(call, tokens, credentials.sent, response)
    if isinstance(verdict, Replay):
        return _replay(call, response, verdict.reason, options)
    return _hand_out(call, response, verdict, options)


def _sign_again(call: Call, digest: HTTPDigestAuth, response: Response) -> Replay | Decline:
    """Take the challenge of a 401 for the settings' Digest; return what to do about it."""
    credentials = call.credentials
    verdict = decide_on_challenge(
        take_challenge(digest, challenges_of(response)),
        answered=credentials.answered,
        replayable=call.is_rewound(response.request),
    )
    credentials.answered += 1
    is_cut = call.waiters.is_closed and isinstance(verdict, Replay)
    return Decline(Reason.CLOSED) if is_cut else verdict


def _decide_on_token(
    call: Call, tokens: TokenManager, sent: Token, response: Response
) -> Replay | Decline:
    """Decide what to do about a 401 to a token of ours, and renew the token if that is worth it.

    Raises:
        AuthRetryError: As `_renew`.
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
            is_told=call.log.verdict is not None,
            any_challenge=call.shared.any_challenge,
            has_clock=credentials.has_clock,
        )
    )
    if isinstance(verdict, Decline):
        return verdict
    if call.waiters.is_closed:
        return Decline(Reason.CLOSED)
    if isinstance(verdict, Refresh):
        reason = _renew(call, tokens, sent, response, verdict)
        return Replay(reason) if reason is Reason.REFRESHED else Decline(reason)
    if verdict.reason in _COUNTED:
        credentials.count_replay()
    return verdict


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


def _hand_out(
    call: Call, response: Response, verdict: Decline, options: dict[str, Any]
) -> Response:
    """Hand out a 401, and say why.

    Raises:
        requests.RequestException: The body of the 401 cannot be read.
    """
    if not response.is_redirect:
        call.close()
    if not options.get("stream"):
        try:
            read_body(response, call.shared.clock, call.until)
        except RequestException as error:
            error.request = response.request
            call.log.failed(response.request, error)
            call.log.write_down(Stop(verdict.reason))
            raise
    if verdict.reason in _PUZZLING:
        call.log.cure = _cure(call, response)
    call.log.add_decline(verdict)
    _end(call, response)
    return response


def _end(call: Call, response: Response) -> None:
    """Note that a call is over, unless its answer is a redirect, which leads on."""
    if not response.is_redirect:
        call.log.end(response.request, response)


def _cure(call: Call, response: Response) -> str:
    """Return where a dialect says that the refused token belongs; "" if it was there already."""
    choice, sent = call.shared.choice, call.credentials.sent
    if choice is None or sent is None or call.shared.token_in is not None:
        return ""
    for each in choice.dialects(response.url or ""):
        place = each.placement
        if place is not None and not is_usual(place, sent.scheme):
            way = f"Settings(token_in={written(place)})"
            return f"{way} sends a key where this API takes it, as dialect {each.name} says"
    return ""


def _warn_of_hooks(call: Call) -> None:
    """Warn of a signer whose response hooks would perhaps have answered this 401."""
    if call.credentials.hooks:
        name = name_of(call.shared.auth)
        warn_once(
            call.shared.auth,
            "hooks",
            f"a 401 is handed out, and Settings(auth=...) runs no response hooks, which {name} has "
            "set: if it answers a 401 in one, make it session.auth, and leave it out of Settings",
        )


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
