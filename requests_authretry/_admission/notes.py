"""What an attempt tells for all others: of limits, and of an origin's health."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from .._call.outgoing import authorization_of, has_own_authorization
from .._call.translate import limits_of
from .._core.bounds import URL_KEPT
from .._core.origin import Origin
from .._core.outage import tells
from .outage_tracker import place_of

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from .._call.call import Call
    from .._core.records import Outcome
    from .._shared import SharedState
    from .rate_limiter import Key


_SIGNED = {b"digest", b"oauth", b"hmac", b"signature", b"dpop", b"hawk", b"negotiate", b"ntlm"}
"""Schemes whose credentials are other ones with each request."""


def key_of(runtime: SharedState, request: PreparedRequest) -> Key:
    """The limit that a request falls under."""
    url = request.url or ""
    origin = Origin.of(url)
    return runtime.limits.key(origin, _credential(runtime, request, origin), url)


def _credential(runtime: SharedState, request: PreparedRequest, origin: Origin | None) -> str:
    """What tells the request's credentials apart, without giving them away."""
    tokens = runtime.tokens if origin in runtime.origins else None
    if tokens is not None and (
        not has_own_authorization(request) or tokens.has_adopted(authorization_of(request))
    ):
        return tokens.key
    given = request.headers.get("Authorization")
    if given is None:
        return ""
    if isinstance(given, str):
        given = given.encode("utf-8", "surrogatepass")
    scheme = given.partition(b" ")[0].lower()
    if scheme in _SIGNED or scheme.startswith(b"aws4-"):
        return scheme.decode("latin-1")
    # Sixteen bits: enough to tell a few apart, too few to confirm a guess.
    return hashlib.sha256(given).hexdigest()[:4]


def passed(call: Call, request: PreparedRequest, response: Response) -> None:
    """An answer came that is no error. On the healthy path: next to nothing."""
    runtime, limits = call.runtime, call.runtime.limits
    limits.passed.append(((request.url or "")[:URL_KEPT], call.started))
    told = limits_of(response, runtime.clock.time, runtime.limit_headers)
    if told and runtime.settings.limits.pacing:
        key = limits.named(key_of(runtime, request), request.url or "", told)
        limits.informed(key, call.number if key == call.entered else -1, told, passed=True)
    if limits.is_troubled:
        _succeeded(call, request)


def _succeeded(call: Call, request: PreparedRequest) -> None:
    runtime = call.runtime
    key = key_of(runtime, request)
    runtime.limits.succeeded(key)
    now = runtime.clock.monotonic()
    place = place_of(request.url or "")
    runtime.limits.outages.succeeded(place, call.started, now)
    runtime.limits.settle()


def note(call: Call, request: PreparedRequest, outcome: Outcome) -> None:
    """An attempt ended in an error."""
    runtime, limits, settings = call.runtime, call.runtime.limits, call.runtime.settings
    key = limits.named(key_of(runtime, request), request.url or "", outcome.limits)
    call.limit, call.held = key, None
    if outcome.limits and settings.limits.pacing:
        number = call.number if key == call.entered else -1
        limits.informed(key, number, outcome.limits, passed=False)
    if outcome.refuses:
        if outcome.retry_after is not None and settings.limits.cool_down:
            call.held = key
            runtime.sharing.cooled(key, outcome.retry_after, outcome.status)
        if settings.limits.pacing:
            limits.refused(key, call.started, outcome)
    fault = tells(outcome)
    if fault:
        limits.outages.failed(place_of(request.url or ""), call.started)
        limits.settle()
    elif fault is False and limits.is_troubled and not outcome.refuses:
        _succeeded(call, request)
