"""Read the answers of an authorization server: fields, metadata, tokens, and faults."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._call.translate import header_line, outcome_of
from .._core.bounds import SCOPES
from .._core.document import read_object
from .._core.headers.names import KNOWN
from .._core.http import (
    FIRST_ERROR,
    FIRST_REDIRECT,
    FIRST_SERVER_ERROR,
    OK,
    REQUEST_TIMEOUT,
    TOO_MANY_REQUESTS,
)
from .._core.origin import redacted
from .._core.token import Token
from .._core.unauthorized import NONCE_WANTED
from .._core.validation import ConfigurationError, is_finite
from .._errors import INVALID_GRANT, RefreshFailed

if TYPE_CHECKING:
    from requests import Response

    from ._form import Fields, Signer

UNAVAILABLE = "temporarily_unavailable"
"""The error code for a server that is in trouble and names no code (RFC 6749 section 4.1.2.1)."""

REDIRECTS = range(FIRST_REDIRECT, FIRST_ERROR)
DPOP = "DPoP"
_LATER = {REQUEST_TIMEOUT, TOO_MANY_REQUESTS}
_CENTURY = 3.2e9
_HINTS = frozenset(KNOWN)
_SCHEMES = {"bearer": "Bearer", "dpop": DPOP}

_CODES = (
    # RFC 6749 sections 4.1.2.1 and 5.2
    "access_denied",
    "invalid_client",
    INVALID_GRANT,
    "invalid_request",
    "invalid_scope",
    "server_error",
    UNAVAILABLE,
    "unauthorized_client",
    "unsupported_grant_type",
    # RFC 8628 section 3.5
    "authorization_pending",
    "expired_token",
    "slow_down",
    "invalid_target",  # RFC 8707 section 2
    "invalid_dpop_proof",  # RFC 9449 section 5
    NONCE_WANTED,
)
"""Error codes that are quoted unchanged, even if a secret is a word in one of them."""

_UNPRINTABLE = re.compile(r"[^ -~]+")
_MOST_SAID = 200


def unavailable(status: int) -> str | None:
    """Return the error code for a status that a later attempt may not get; None for any other."""
    return UNAVAILABLE if status in _LATER or status >= FIRST_SERVER_ERROR else None


def fields_in(url: str, response: Response, signer: Signer) -> Fields:
    """Return the fields of a good answer: a 200 with a JSON object that has no ``error``.

    Raises:
        RefreshFailed: The answer is not good; the message leaves out the secrets that it repeats.
    """
    status, fields = response.status_code, read_object(response.content)
    if status == OK and fields and "error" not in fields:
        return fields
    where = f"{redacted(url)} answered {status}"
    if status in REDIRECTS:
        raise RefreshFailed(f"{where}, a redirect, which is not followed: give the real address")
    given = fields.get("error")
    code = given if given in _CODES else _said(given, signer)
    said = ": ".join(filter(None, [code, _said(fields.get("error_description"), signer)]))
    trouble = unavailable(status)
    if not fields and not trouble:
        kind = _said(header_line(response, "Content-Type"), signer) or "no content type"
        said = f"with {kind}, where a JSON object belongs"
    elif not said:
        said = "and did not say why" if trouble else "with an error that has no name"
    retry_after = outcome_of(response, signer.now, _HINTS).retry_after
    raise RefreshFailed(f"{where} {said}", error=code or trouble, retry_after=retry_after)


def metadata_in(url: str, response: Response) -> Fields:
    """Return the fields of an issuer's metadata, empty where this URL has none.

    Raises:
        RefreshFailed: The server is in trouble.
    """
    status = response.status_code
    if trouble := unavailable(status):
        raise RefreshFailed(f"{redacted(url)} answered {status}", error=trouble)
    return read_object(response.content) if status == OK else {}


def token_in(url: str, answer: Fields, asked: float, refresh_token: str | None) -> Token:
    """Return the token in an answer (RFC 6749 section 5.1).

    Args:
        url: The endpoint that answered.
        answer: The fields of its answer.
        asked: When the answered attempt began, in POSIX seconds.
        refresh_token: The refresh token to keep if the answer brings none.

    Raises:
        RefreshFailed: The answer has no token, or one that cannot be used; nothing is quoted.
    """
    but = f"{redacted(url)} answered 200, but"
    value = answer.get("access_token")
    if value is None:
        raise RefreshFailed(f"{but} it has no access_token")
    kind = answer.get("token_type") or "Bearer"
    scheme = _SCHEMES.get(kind.lower()) if isinstance(kind, str) else None
    if scheme is None:
        raise RefreshFailed(f"{but} its token_type is neither Bearer nor DPoP")
    life = answer.get("expires_in")
    if life is not None:
        life = number(life)
        if life is None or not 0 <= life <= _CENTURY:
            raise RefreshFailed(f"{but} its expires_in is negative or absurd")
    # Some servers write 0 for a lifetime that they do not know.
    expires_at = asked + life if life else None
    scope = answer.get("scope")
    scopes = scope.split(maxsplit=SCOPES)[:SCOPES] if isinstance(scope, str) else ()
    refresh_token = answer.get("refresh_token") or refresh_token
    if isinstance(refresh_token, str) and _UNPRINTABLE.search(refresh_token):
        raise RefreshFailed(f"{but} its refresh_token has characters that no form takes")
    try:
        return Token(value, expires_at, scheme, refresh_token, scopes)
    except ConfigurationError as error:
        faults = ", ".join(error.faults)
        raise RefreshFailed(f"{but} its token cannot be used: {faults}") from None


def number(given: object) -> float | None:
    """Return a number, which some servers write as a string; None for anything that is not one."""
    if isinstance(given, str) and given.isascii() and given.isdigit():
        given = float(given)
    return given if is_finite(given) else None


def _said(text: object, signer: Signer) -> str:
    """Return a server's text for a message: printable, short, and with our secrets blanked."""
    said = text if isinstance(text, str) else ""
    for secret in signer.secrets:
        said = said.replace(secret, "***")
    return _UNPRINTABLE.sub(" ", said).strip()[:_MOST_SAID]
