"""What a token endpoint answered: its fields, how its token is sent, when it ends, what it refused.

RFC 6749 section 5 has the rules. Endpoints in use depart from them in ways that do no harm, and
those are accepted unless the client is strict. No function raises on anything that a server wrote.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from .bounds import FIELD, JWT
from .document import read_object
from .headers.time_formats import (
    FIRST_IN_MILLISECONDS,
    LONGEST,
    delay_of,
    parse_http_date,
    parse_iso_date,
    parse_number,
)
from .http import (
    BAD_REQUEST,
    FIRST_REDIRECT,
    FIRST_SERVER_ERROR,
    FORBIDDEN,
    OK,
    REQUEST_TIMEOUT,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
)
from .validation import is_finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    Fields = dict[str, Any]

TOKEN_FIELDS: Final = (
    "access_token",
    "token_type",
    "expires_in",
    "expires_at",
    "refresh_token",
    "scope",
    "error",
    "error_description",
)
"""The fields that an endpoint may call otherwise."""

BEARER: Final = "Bearer"
DPOP: Final = "DPoP"
GRANT_ENDED: Final = frozenset(
    {
        "access_denied",
        "bad_refresh_token",  # GitHub
        "expired_token",
        "invalid_grant",  # RFC 6749 section 5.2
        "invalid_refresh_token",  # Slack
        "invalid_token",  # Spring Security OAuth
        "token_expired",  # Slack
        "token_revoked",  # Slack
    }
)
"""Error codes for a refresh token that is no good any more."""

BUSY: Final = frozenset({REQUEST_TIMEOUT, TOO_MANY_REQUESTS})
"""Statuses below 500 that a later attempt may not get."""

_GOOD = range(OK, FIRST_REDIRECT)
_REFUSING = {BAD_REQUEST, UNAUTHORIZED, FORBIDDEN}
_NOT_THE_GRANT = re.compile(
    # The client, its key, or what it asked for is at fault: another sign-in fails likewise.
    "client|scope|target|dpop"
    # The server is busy: the same refresh token is good a little later.
    "|rate_?limit|too_?many|throttl|quota|slow_?down|try_?again|pending|busy|overload"
    "|server_?error|internal|unavailable|timeout"
)
_ASKS_CLIENT = re.compile(r"(?:^|,)\s*basic(?=[\s,]|$)", re.IGNORECASE)
_SCHEMES = {"bearer": BEARER, "dpop": DPOP}
_NEVER_SENT_AS_BEARER = {"mac", "n_a", "pop"}
"""Types whose tokens are useless without a signature, or are no access tokens (RFC 8693)."""

_NAME_AND_VALUE = r'[\w.~-]+=[^\s<>"&]*'
_FORM = re.compile(rf"{_NAME_AND_VALUE}(?:&{_NAME_AND_VALUE})*", re.ASCII)
_MOST_FIELDS = 100
_JWT = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]*", re.ASCII)


def read_fields(body: bytes, paths: Mapping[str, str], *, strict: bool) -> Fields:
    """Return the fields of an answer: of a JSON object, else of a form; none of anything else.

    The content type is not looked at, as it is often missing or wrong. No form is a JSON object,
    and no page in HTML is a form.

    Args:
        body: The answer; the caller has bounded its length.
        paths: Where the endpoint puts a field that it calls otherwise, by the field's usual name.
            ``user.token`` is the member ``token`` of the object ``user``. A field that is named
            here and is not there is missing: its usual name may hold the token of somebody else.
        strict: Whether only a JSON object counts.
    """
    fields = read_object(body)
    if not fields and not strict:
        # A token is ASCII whatever the charset, and its answer may hold the only refresh token.
        fields = _read_form(body) or read_object(body.decode("latin-1").encode())
    if not paths or not fields:
        return fields
    named = {name: _at(fields, path) for name, path in paths.items()}
    others = {name: value for name, value in fields.items() if name not in paths}
    return others | {name: value for name, value in named.items() if value is not None}


def _read_form(body: bytes) -> Fields:
    text = body.decode("latin-1").strip()
    if not _FORM.fullmatch(text):
        return {}
    try:
        return dict(parse_qsl(text, max_num_fields=_MOST_FIELDS))
    except ValueError:
        return {}


def _at(fields: Fields, path: str) -> object:
    """Return the value at a path; None where there is none."""
    if path in fields:  # a name may have a dot in it
        return fields[path]
    found: object = fields
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def is_good(status: int, fields: Fields, *, strict: bool) -> bool:
    """Whether an answer gives what was asked for, so that it reports no error.

    Some servers report errors with a 200: with an ``error``, as GitHub does, or with ``ok`` false,
    as Slack does. An empty ``error`` is none.
    """
    if strict:
        return status == OK and bool(fields) and "error" not in fields
    has_error = bool(fields.get("error")) or fields.get("ok") is False
    return status in _GOOD and bool(fields) and not has_error


def refuses_grant(
    status: int, code: object, *, asks_to_wait: bool = False, challenge: str = ""
) -> bool:
    """Whether an answer to a refresh token says that it is no good any more, in whatever words.

    Another sign-in helps then. It does not help if the client is refused, and is not needed if the
    server is only busy.

    Args:
        status: The status of the answer.
        code: Its error code; anything but a text is none.
        asks_to_wait: Whether the answer says when to ask again, or that requests come too fast.
        challenge: Its ``WWW-Authenticate``, empty without one.
    """
    if status in BUSY or status >= FIRST_SERVER_ERROR:
        return False
    if isinstance(code, str) and code:
        if code in GRANT_ENDED:
            return True
        is_of_grant = not _NOT_THE_GRANT.search(code.lower())
    else:
        # RFC 6749 section 5.2: a client that is refused is asked for its credentials again.
        is_of_grant = status != UNAUTHORIZED or not _ASKS_CLIENT.search(challenge)
    return status in _REFUSING and is_of_grant and not asks_to_wait


def scheme_of(token_type: object, *, strict: bool) -> str | None:
    """Return the scheme that a token of this type is sent with; None if it cannot be sent.

    RFC 6749 section 7.1 names types in any case. A missing type, and a type that nobody has
    registered, such as Slack's ``bot`` or eBay's ``Application Access Token``, means Bearer.

    Args:
        token_type: The type as the endpoint wrote it.
        strict: Whether a type that nobody has registered cannot be sent.
    """
    if strict:
        given = token_type or BEARER
        return _SCHEMES.get(given.lower()) if isinstance(given, str) else None
    kind = token_type.strip().lower() if isinstance(token_type, str) else ""
    return None if kind in _NEVER_SENT_AS_BEARER else _SCHEMES.get(kind, BEARER)


def end_of(fields: Fields, asked: float) -> float | None:
    """Return when a token ends, in POSIX seconds; None if nothing says so.

    The first of these that makes sense counts: ``expires_in``; ``expires_at``; the claim ``exp`` of
    a token that is a JWT. The JWT is not verified: its end says when to renew, and nothing else.

    Args:
        fields: The fields of the answer.
        asked: When the answered attempt began, in POSIX seconds.
    """
    for end in (
        _end_after(number_of(fields.get("expires_in")), asked),
        _moment_of(fields.get("expires_at"), asked),
        _end_of_jwt(fields.get("access_token"), asked),
    ):
        if end is not None and asked < end <= asked + LONGEST:
            return end
    return None


def _end_after(life: float | None, asked: float) -> float | None:
    """Return the end of a life in seconds; some servers write the end itself in its place.

    0 and -1, which stand for a life that is not known or has no end, give none that is to come.
    """
    delay = LONGEST if life is None else delay_of(life, "", asked)
    return None if delay >= LONGEST else asked + delay


def _moment_of(given: object, asked: float) -> float | None:
    """Read a moment: POSIX seconds or milliseconds, ISO 8601, or an HTTP-date."""
    moment = number_of(given)
    if moment is not None:
        return moment if moment < FIRST_IN_MILLISECONDS else moment / 1000
    if not isinstance(given, str) or len(given) > FIELD:
        return None
    moment = parse_iso_date(given)
    return parse_http_date(given, asked) if moment is None else moment


def _end_of_jwt(token: object, asked: float) -> float | None:
    """Return the end that a JWT claims (RFC 7519 section 4.1.4), None if it claims none."""
    is_short = isinstance(token, str) and len(token) <= JWT
    found = _JWT.fullmatch(str(token)) if is_short else None
    if found is None:
        return None
    try:
        claims = read_object(urlsafe_b64decode(f"{found[1]}=="))
    except ValueError:
        return None
    end, begin = claims.get("exp"), claims.get("iat")
    if not is_finite(end):
        return None
    # The server's clock wrote both: their difference is right where our clock is slow.
    return min(end, asked + (end - begin)) if is_finite(begin) and begin < end else end


def number_of(given: object) -> float | None:
    """Return a finite number, which some servers write as a text; None for anything else."""
    if isinstance(given, str) and len(given) <= FIELD:
        return parse_number(given)
    return float(given) if is_finite(given) else None
