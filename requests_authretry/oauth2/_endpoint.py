"""Asking for a token: what is sent, and what is made of the answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._call.translate import header_line, outcome_of
from .._core.bounds import SCOPES
from .._core.document import read_object
from .._core.headers.names import KNOWN
from .._core.http import FIRST_ERROR, FIRST_REDIRECT, OK
from .._core.origin import redacted
from .._core.token import Token
from .._core.unauthorized import NONCE_WANTED
from .._core.validation import ConfigurationError, is_finite
from .._errors import INVALID_GRANT, RefreshFailed
from ._metadata import address
from ._transport import UNAVAILABLE, Fields, Moment, Signer, Transport, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import Response

    from .._protocols import FetchContext
    from ._client import Client

__all__ = ["UNAVAILABLE", "Endpoint", "Fields", "Moment", "number"]

_REDIRECTS = range(FIRST_REDIRECT, FIRST_ERROR)
_MOVED = {*_REDIRECTS, 404, 405, 410}
_CENTURY = 3.2e9
_HINTS = frozenset(KNOWN)
_SCHEMES = {"bearer": "Bearer", "dpop": "DPoP"}

_NONCES = 2
"""So often a server may change its nonce under us (RFC 9449 section 8)."""

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


class Endpoint:
    """A client's authorization server, for the time of one renewal.

    Attributes:
        refresh_token: The one in the last good answer, None where it brought none.
    """

    def __init__(self, client: Client, context: FetchContext) -> None:
        """Nothing is asked yet."""
        self.refresh_token: object = None
        self._client, self._context = client, context
        self._transport = Transport(client, context)

    def address(self, endpoint: str = "token_url") -> str:
        """Where an endpoint is: as the client was told, else as its issuer says.

        Raises:
            RefreshFailed: It is not to be found.
        """
        return address(self._client, self._transport, endpoint)

    def token(self, form: Callable[[Moment], Fields], refresh_token: str | None = None) -> Token:
        """Ask for a token.

        Args:
            form: Makes the fields of one attempt: what is signed is good for one use.
            refresh_token: What to keep where the answer brings no other (RFC 6749 section 6).

        Raises:
            RefreshFailed: There was none, in words that name the fault and hold no secret.
        """
        url, answer, asked = self._ask("token_url", form)
        given = answer.get("refresh_token")
        self.refresh_token = given if isinstance(given, str) and given else None
        try:
            token = _token(answer, asked, refresh_token)
        except _UnusableError as error:
            raise RefreshFailed(f"{redacted(url)} answered 200, but {error}") from None
        if token.scheme == _SCHEMES["dpop"] and self._client.prover is None:
            fault = "its token is bound to a key, and the client has none: see dpop"
            raise RefreshFailed(f"{redacted(url)} answered 200, but {fault}")
        return token

    def device(self, fields: Fields) -> Fields:
        """Ask for a device code (RFC 8628 section 3.1).

        Raises:
            RefreshFailed: There was none.
        """
        return self._ask("device_url", lambda _: fields)[1]

    def _ask(self, endpoint: str, form: Callable[[Moment], Fields]) -> tuple[str, Fields, float]:
        """Where was asked, what came, and when the attempt began that brought it."""
        url = self.address(endpoint)
        signer = Signer(self._client, url, form, self._context.clock)
        response = self._transport.send("POST", url, signer)
        for _ in range(_NONCES):
            if not self._wants_other_nonce(url, response):
                break
            response = self._transport.send("POST", url, signer)
        if response.status_code in _MOVED:
            self._client.metadata = {}  # the next renewal reads it again
        return url, _checked(url, response, signer), signer.now

    def _wants_other_nonce(self, url: str, response: Response) -> bool:
        """Whether the answer demands a proof with the nonce that it brings (RFC 9449 section 8)."""
        nonce = response.headers.get("DPoP-Nonce")
        if not nonce or self._client.prover is None:
            return False
        self._client.prover.learn(url, nonce)
        return bool(read_object(response.content).get("error") == NONCE_WANTED)


def _checked(url: str, response: Response, signer: Signer) -> Fields:
    """The fields of a good answer.

    Raises:
        RefreshFailed: It is not one.
    """
    status, fields = response.status_code, read_object(response.content)
    if status == OK and fields and "error" not in fields:
        return fields
    where = f"{redacted(url)} answered {status}"
    if status in _REDIRECTS:
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


class _UnusableError(Exception):
    """What is wrong with an answer; it quotes nothing of it."""


def _token(answer: Fields, asked: float, refresh_token: str | None) -> Token:
    """The token in an answer (RFC 6749 section 5.1).

    Raises:
        _UnusableError: It cannot be used, or there is none.
    """
    value = answer.get("access_token")
    if value is None:
        raise _UnusableError("it has no access_token")
    kind = answer.get("token_type") or "Bearer"
    scheme = _SCHEMES.get(kind.lower()) if isinstance(kind, str) else None
    if scheme is None:
        raise _UnusableError("its token_type is neither Bearer nor DPoP")
    life = _life(answer.get("expires_in"))
    scope = answer.get("scope")
    scopes = scope.split(maxsplit=SCOPES)[:SCOPES] if isinstance(scope, str) else ()
    refresh_token = answer.get("refresh_token") or refresh_token
    if isinstance(refresh_token, str) and _UNPRINTABLE.search(refresh_token):
        raise _UnusableError("its refresh_token has characters that no form takes")
    try:
        return Token(value, life and asked + life, scheme, refresh_token, scopes)
    except ConfigurationError as error:
        raise _UnusableError(f"its token cannot be used: {', '.join(error.faults)}") from None


def _life(given: object) -> float | None:
    """How long a token lives; None where that is not known, which a zero stands for at times."""
    if given is None:
        return None
    life = number(given)
    if life is None or not 0 <= life <= _CENTURY:
        raise _UnusableError("its expires_in is negative or absurd")
    return life or None


def number(given: object) -> float | None:
    """A number in an answer, which some servers write as a string; None where it is none."""
    if isinstance(given, str) and given.isascii() and given.isdigit():
        given = float(given)
    return given if is_finite(given) else None


def _said(text: object, signer: Signer) -> str:
    """What a server says, fit for a message: without secrets it repeats, printable, and short."""
    said = text if isinstance(text, str) else ""
    for secret in signer.secrets:
        said = said.replace(secret, "***")
    return _UNPRINTABLE.sub(" ", said).strip()[:_MOST_SAID]
