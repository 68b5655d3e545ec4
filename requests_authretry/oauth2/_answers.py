"""Read the answers of an authorization server: fields, metadata, tokens, and faults."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .._call.translate import header_line, outcome_of
from .._core.bounds import SCOPES
from .._core.document import read_object
from .._core.headers.names import KNOWN
from .._core.http import FIRST_ERROR, FIRST_REDIRECT, FIRST_SERVER_ERROR, OK
from .._core.origin import redacted
from .._core.token import Token
from .._core.token_answer import (
    BUSY,
    GRANT_ENDED,
    end_of,
    is_good,
    read_fields,
    refuses_grant,
    scheme_of,
)
from .._core.unauthorized import NONCE_WANTED
from .._core.validation import ConfigurationError, is_finite
from .._errors import RefreshFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import Response

    from ._client import Client
    from ._form import Fields, Signer

UNAVAILABLE = "temporarily_unavailable"
"""The error code for a server that is in trouble and names no code (RFC 6749 section 4.1.2.1)."""

REDIRECTS = range(FIRST_REDIRECT, FIRST_ERROR)
_CENTURY = 3.2e9
_HINTS = frozenset(KNOWN)

_CODES = GRANT_ENDED | {
    # RFC 6749 sections 4.1.2.1 and 5.2
    "invalid_client",
    "invalid_request",
    "invalid_scope",
    "server_error",
    UNAVAILABLE,
    "unauthorized_client",
    "unsupported_grant_type",
    # RFC 8628 section 3.5
    "authorization_pending",
    "slow_down",
    "invalid_target",  # RFC 8707 section 2
    "invalid_dpop_proof",  # RFC 9449 section 5
    NONCE_WANTED,
}
"""Error codes that are quoted unchanged, even if a secret is a word in one of them."""

_UNPRINTABLE = re.compile(r"[^ -~]+")
_MOST_SAID = 200


class GrantRefused(RefreshFailed):
    """The answer to a refresh token that is no good any more, whatever the server calls it."""


class Answer(NamedTuple):
    """A good answer of an endpoint.

    Attributes:
        where: The endpoint and the status, for messages.
        fields: What it says.
        asked: When the answered attempt began, in POSIX seconds.
    """

    where: str
    fields: Fields
    asked: float


def unavailable(status: int) -> str | None:
    """Return the error code for a status that a later attempt may not get; None for any other."""
    return UNAVAILABLE if status in BUSY or status >= FIRST_SERVER_ERROR else None


def read_answer(
    url: str, response: Response, signer: Signer, paths: Mapping[str, str], *, strict: bool
) -> Answer:
    """Return a good answer, see `is_good`.

    Args:
        url: The endpoint that answered.
        response: The answer.
        signer: What was sent.
        paths: As those of `read_fields`.
        strict: As that of `read_fields`.

    Raises:
        GrantRefused: If a refresh token was sent, it is no good any more.
        RefreshFailed: The answer is not good; the message leaves out the secrets that it repeats.
    """
    status = response.status_code
    fields = read_fields(response.content, paths, strict=strict)
    where = f"{redacted(url)} answered {status}"
    if is_good(status, fields, strict=strict):
        return Answer(where, fields, signer.now)
    if status in REDIRECTS:
        raise RefreshFailed(f"{where}, a redirect, which is not followed: give the real address")
    given = fields.get("error")
    code = given if isinstance(given, str) and given in _CODES else _said(given, signer)
    said = ": ".join(filter(None, [code, _said(fields.get("error_description"), signer)]))
    trouble = unavailable(status)
    if not fields and not trouble:
        kind = _said(header_line(response, "Content-Type"), signer) or "no content type"
        said = f"with {kind}, where a JSON object belongs"
    elif not said:
        said = "and did not say why" if trouble else "with an error that has no name"
    outcome = outcome_of(response, signer.now, _HINTS)
    is_refusal = refuses_grant(
        status,
        given,
        asks_to_wait=outcome.throttled or outcome.retry_after is not None,
        challenge=header_line(response, "WWW-Authenticate"),
    )
    kind_of_error = GrantRefused if is_refusal else RefreshFailed
    raise kind_of_error(f"{where} {said}", error=code or trouble, retry_after=outcome.retry_after)


def metadata_in(url: str, response: Response) -> Fields:
    """Return the fields of an issuer's metadata, empty where this URL has none.

    Raises:
        RefreshFailed: The server is in trouble.
    """
    status = response.status_code
    if trouble := unavailable(status):
        raise RefreshFailed(f"{redacted(url)} answered {status}", error=trouble)
    return read_object(response.content) if status == OK else {}


def token_in(answer: Answer, client: Client, refresh_token: str | None) -> Token:
    """Return the token in an answer (RFC 6749 section 5.1).

    Args:
        answer: The answer.
        client: Who asked; it may be strict, or ask for tokens that are bound to its key.
        refresh_token: The refresh token to keep if the answer brings none.

    Raises:
        RefreshFailed: The answer has no token, or one that cannot be used; nothing is quoted.
    """
    fields, but = answer.fields, f"{answer.where}, but"
    value = fields.get("access_token")
    if value is None:
        name = client.fields.get("access_token")
        way_out = "; if another field has it, name it: Client(fields={'access_token': '...'})"
        raise RefreshFailed(f"{but} it has no {name or 'access_token' + way_out}")
    if isinstance(value, str) and " " in value:
        raise RefreshFailed(f"{but} its token cannot be used: value has a blank")
    # A token that should be bound to a key is not sent in a way that nobody has agreed to.
    scheme = scheme_of(fields.get("token_type"), strict=client.strict or client.prover is not None)
    if scheme is None:
        raise RefreshFailed(f"{but} its token_type is neither Bearer nor DPoP")
    if client.strict:
        expires_at = _strict_end(but, fields.get("expires_in"), answer.asked)
    else:
        expires_at = end_of(fields, answer.asked)
    scope = fields.get("scope")
    scopes = scope.split(maxsplit=SCOPES)[:SCOPES] if isinstance(scope, str) else ()
    refresh_token = fields.get("refresh_token") or refresh_token
    if isinstance(refresh_token, str) and _UNPRINTABLE.search(refresh_token):
        raise RefreshFailed(f"{but} its refresh_token has characters that no form takes")
    try:
        return Token(value, expires_at, scheme, refresh_token, scopes)
    except ConfigurationError as error:
        faults = ", ".join(error.faults)
        raise RefreshFailed(f"{but} its token cannot be used: {faults}") from None


def _strict_end(but: str, given: object, asked: float) -> float | None:
    """Return when a token with this ``expires_in`` ends, in POSIX seconds; None if unknown.

    Raises:
        RefreshFailed: The number is not one of seconds.
    """
    life = number(given)
    if given is not None and (life is None or not 0 <= life <= _CENTURY):
        raise RefreshFailed(f"{but} its expires_in is negative or absurd")
    # Some servers write 0 for a lifetime that they do not know.
    return asked + life if life else None


def number(given: object) -> float | None:
    """Return a number, which some servers write as a text of digits; None for anything else.

    It is stricter than `number_of`: no text has a fraction.
    """
    if isinstance(given, str) and given.isascii() and given.isdigit():
        given = float(given)
    return given if is_finite(given) else None


def _said(text: object, signer: Signer) -> str:
    """Return a server's text for a message: printable, short, and with our secrets blanked."""
    said = text if isinstance(text, str) else ""
    for secret in signer.secrets:
        said = said.replace(secret, "***")
    return _UNPRINTABLE.sub(" ", said).strip()[:_MOST_SAID]
