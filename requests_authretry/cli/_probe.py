"""The command ``probe``: what a server says when asked once, and what the library would do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin

import requests

from .._call.explanation import explain
from .._call.translate import challenges_of, failure_of, outcome_of, success_of
from .._clock import SystemClock
from .._core.http import FIRST_ERROR, FIRST_REDIRECT, UNAUTHORIZED
from .._core.origin import Origin, redacted
from .._core.records import REQUESTS, Outcome, Progress, Reason, Retry, Stop, seconds_text
from .._core.retry import CallFacts, decide
from .._core.token import Token
from .._core.unauthorized import Decline, Refused, decide_on_401
from ._check import source_name
from ._exits import FAILED, USAGE_ERROR
from ._get import NO_URL, NO_URLS
from ._given import settings_for, settings_given
from ._screen import write, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core.challenge import Challenge
    from .._core.records import Limit
    from .._protocols import Clock
    from .._settings import Settings

_TIMEOUT = 30.0
"""Seconds without a byte, where the settings have no timeout."""

_CHALLENGE_PARAMS = ("realm", "scope", "error", "error_description", "resource_metadata")
"""The parameters of a challenge that are shown: others, as a nonce, tell people nothing."""

_STAND_IN = Token("-")


class Probed(NamedTuple):
    """What a server said.

    Attributes:
        url: The URL, without user, query and fragment.
        status: The status code; None if no answer came.
        error: The name of the exception's class; None if an answer came.
        message: What the exception says; "" if an answer came.
        location: Where a redirect leads to, without query; "" if there is none.
        challenges: How the server wants requests to be authenticated.
        outcome: What the answer says of limits, and of when to send again.
    """

    url: str
    status: int | None
    error: str | None
    message: str
    location: str
    challenges: tuple[Challenge, ...]
    outcome: Outcome


def probe(
    url: str, config: str | None, *, as_json: bool = False, clock: Clock | None = None
) -> int:
    """Ask a URL once, and write what the server says and what the library would do.

    Args:
        url: What to ask.
        config: A file of settings, None for those of the environment alone.
        as_json: Whether to write facts as JSON.
        clock: Tells the time that dates in the answer are compared with; None: the system's.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: The settings cannot work.
    """
    settings = settings_for(url, settings_given(config))
    try:
        probed = probed_at(url, settings, clock or SystemClock())
    except NO_URLS:
        sys.stderr.write(f"{NO_URL}\n")
        return USAGE_ERROR
    would = list(deeds(probed, settings))
    if as_json:
        write_json(as_dict(probed, would))
    else:
        write(described(probed, would))
    return FAILED if probed.status is None else 0


def probed_at(url: str, settings: Settings, clock: Clock) -> Probed:
    """Send one GET without a credential.

    Raises:
        requests.RequestException: It is no URL; one of `NO_URLS`.
    """
    names = frozenset(settings.limits.headers)
    timeout = _TIMEOUT if settings.timeout is None else settings.timeout
    with requests.Session() as session:
        try:
            # An `auth` that does nothing keeps a password of ~/.netrc out.
            response = session.get(
                url, auth=lambda bare: bare, timeout=timeout, stream=True, allow_redirects=False
            )
        except NO_URLS:
            raise
        except requests.RequestException as error:
            told = explain(error)
            failed = failure_of(error)
            return Probed(redacted(url), None, told.error, told.message, "", (), failed)
        with response:
            status, now = response.status_code, clock.time()
            read = outcome_of if status >= FIRST_ERROR else success_of
            outcome = read(response, now, names) or Outcome(status)
            location = response.headers.get("Location", "") if status >= FIRST_REDIRECT else ""
            shown = redacted(urljoin(url, location)) if location else ""
            challenges = challenges_of(response)
    return Probed(redacted(url), status, None, "", shown, challenges, outcome)


def deeds(probed: Probed, settings: Settings) -> Iterator[str]:
    """Say what the library would do about an answer, in lines."""
    if probed.location:
        yield f"follow the redirect to {probed.location}"
    elif probed.status == UNAUTHORIZED:
        yield from _about_401(probed, settings)
    else:
        yield _about_retries(probed.outcome, settings)
    for limit in probed.outcome.limits_to_keep:
        if limit.remaining < 1:
            name = limit.name or "its limit"
            yield f"hold back calls of {name} for {seconds_text(limit.reset)}"
    retry_after = probed.outcome.retry_after
    if probed.outcome.refuses and retry_after is not None and settings.limits.cool_down:
        asked = seconds_text(retry_after)
        yield f"hold back other calls of the endpoint, or of the limit it names, for {asked}"


def described(probed: Probed, would: list[str]) -> Iterator[str]:
    """Describe what a server said, in lines."""
    came = f"{probed.error}: {probed.message}" if probed.status is None else str(probed.status)
    yield f"GET {probed.url}: {came}"
    for challenge in probed.challenges:
        params = ", ".join(f'{name}="{value}"' for name, value in _params(challenge).items())
        yield f"  challenge: {challenge.scheme}{' ' if params else ''}{params}"
    for limit in probed.outcome.limits:
        yield f"  limit{' ' if limit.name else ''}{limit.name}: {_limit_text(limit)}"
    if probed.status is not None and not probed.outcome.limits:
        yield "  limit: the answer names none"
    if probed.outcome.retry_after is not None:
        yield f"  retry_after: {seconds_text(probed.outcome.retry_after)}"
    yield "  the library would:"
    for deed in would:
        yield f"    {deed}"


def as_dict(probed: Probed, would: list[str]) -> dict[str, Any]:
    """Return all of it as a dictionary that can be written as JSON."""
    outcome = probed.outcome
    return {
        "url": probed.url,
        "status": probed.status,
        "error": probed.error,
        "message": probed.message,
        "location": probed.location,
        "challenges": [{"scheme": each.scheme, **_params(each)} for each in probed.challenges],
        "limits": [
            {name: getattr(limit, name) for name in ("name", "remaining", "quota", "reset", "unit")}
            for limit in outcome.limits
        ],
        "retry_after": outcome.retry_after,
        "would": would,
    }


def _about_401(probed: Probed, settings: Settings) -> Iterator[str]:
    origin = str(Origin.of(probed.url))
    if settings.token is None or origin not in settings.origins:
        have = "have no token" if settings.token is None else "send their token elsewhere"
        yield f"hand out the 401: the settings {have}"
        yield f'send a token with Settings(token=..., origins=["{origin}"])'
        return
    token = settings.token if isinstance(settings.token, Token) else _STAND_IN
    refused = Refused(probed.challenges, token, token, replays=0, fetched=False, replayable=True)
    decision = decide_on_401(refused)
    yield f"send the token: {source_name(settings.token)}"
    if isinstance(decision, Decline) or token is not _STAND_IN:
        reason = decision.reason if isinstance(decision, Decline) else Reason.UNCHANGED
        yield f"hand out the 401 if the token is refused: {reason.value}"
    else:
        yield "renew the token if it is refused, and send the request once more"


def _about_retries(outcome: Outcome, settings: Settings) -> str:
    """Say what the rules for retries decide about a first attempt."""
    call = CallFacts("GET", settings.retry.deadline, settings.retry, settings.quota)
    progress = Progress(attempt=1, quota=settings.quota.capacity, replayable=True)
    decision: Retry | Stop = decide(call, progress, outcome, 0.0, 0.5)
    if isinstance(decision, Stop):
        what = "raise the exception" if outcome.status is None else "hand out the answer"
        return f"{what}: {decision.reason.value}"
    most = settings.retry.max_attempts - 1
    again = "once more" if most == 1 else f"up to {most} times more"
    return f"send again after {seconds_text(decision.delay)}, {again}: {decision.reason.value}"


def _limit_text(limit: Limit) -> str:
    unit = "requests" if limit.unit == REQUESTS else limit.unit
    of = "" if limit.quota is None else f" of {limit.quota:g}"
    return f"{limit.remaining:g}{of} {unit} left, for {seconds_text(limit.reset)}"


def _params(challenge: Challenge) -> dict[str, str]:
    return {name: challenge.params[name] for name in _CHALLENGE_PARAMS if name in challenge.params}
