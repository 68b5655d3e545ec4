"""What an endpoint's answer says: its fields, the token in them, or the fault in safe words."""

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
"""What the error is called where a server is in trouble and does not say how (RFC 6749 4.1.2.1)."""

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
"""Error codes that stay as they are, though a secret may be one of their words."""

_UNPRINTABLE = re.compile(r"[^ -~]+")
_MOST_SAID = 200


def unavailable(status: int) -> str | None:
    """The error code of an answer without one, where it may be another one later."""
    return UNAVAILABLE if status in _LATER or status >= FIRST_SERVER_ERROR else None


def fields_in(url: str, response: Response, signer: Signer) -> Fields:
    """Read the fields of a good answer.

    Raises:
        RefreshFailed: It is not one.
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


class UnusableError(Exception):
    """What is wrong with an answer; it quotes nothing of it."""


def token_in(answer: Fields, asked: float, refresh_token: str | None) -> Token:
    """Read the token in an answer (RFC 6749 section 5.1).

    Args:
        answer: Its fields.
        asked: When the attempt began that brought it, in POSIX seconds.
        refresh_token: What to keep where the answer brings no other.

    Raises:
        UnusableError: It cannot be used, or there is none.
    """
    value = answer.get("access_token")
    if value is None:
        raise UnusableError("it has no access_token")
    kind = answer.get("token_type") or "Bearer"
    scheme = _SCHEMES.get(kind.lower()) if isinstance(kind, str) else None
    if scheme is None:
        raise UnusableError("its token_type is neither Bearer nor DPoP")
    life = _life(answer.get("expires_in"))
    scope = answer.get("scope")
    scopes = scope.split(maxsplit=SCOPES)[:SCOPES] if isinstance(scope, str) else ()
    refresh_token = answer.get("refresh_token") or refresh_token
    if isinstance(refresh_token, str) and _UNPRINTABLE.search(refresh_token):
        raise UnusableError("its refresh_token has characters that no form takes")
    try:
        return Token(value, life and asked + life, scheme, refresh_token, scopes)
    except ConfigurationError as error:
        raise UnusableError(f"its token cannot be used: {', '.join(error.faults)}") from None


def _life(given: object) -> float | None:
    """Read how long a token lives; None where that is not known, as which some servers write 0."""
    if given is None:
        return None
    life = number(given)
    if life is None or not 0 <= life <= _CENTURY:
        raise UnusableError("its expires_in is negative or absurd")
    return life or None


def number(given: object) -> float | None:
    """Read a number, which some servers write as a string; None where it is none."""
    if isinstance(given, str) and given.isascii() and given.isdigit():
        given = float(given)
    return given if is_finite(given) else None


def _said(text: object, signer: Signer) -> str:
    """Make a server's words fit for a message: without secrets it repeats, printable, and short."""
    said = text if isinstance(text, str) else ""
    for secret in signer.secrets:
        said = said.replace(secret, "***")
    return _UNPRINTABLE.sub(" ", said).strip()[:_MOST_SAID]
