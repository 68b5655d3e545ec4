"""Token sources from the credentials of google-auth, azure-identity and msal.

These objects keep their tokens and get new ones themselves. The sources call them, and read the
tokens that they return.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from base64 import b64decode
from datetime import timezone
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from .._core.token import Token
from .._core.validation import ConfigurationError
from .._errors import RefreshFailed
from ._wrapping import Wrapping, is_spent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core.challenge import Challenge
    from .._protocols import FetchContext

_ERROR_CODE = re.compile(r"[a-z_]{1,64}")
_BASE64URL = str.maketrans("-_", "+/")


class GoogleCredentials(Wrapping):
    """``google.auth.credentials.Credentials``, which keep a token and can refresh it."""

    marks: ClassVar = ("before_request", "refresh", "expiry")

    def __init__(self, wrapped: Any, scopes: tuple[str, ...]) -> None:
        """Give the scopes to credentials that have none yet and take some."""
        if scopes:
            from google.auth.credentials import with_scopes_if_required

            wrapped = with_scopes_if_required(wrapped, list(scopes))  # type: ignore[no-untyped-call]
        super().__init__(wrapped, scopes)

    def fetch(self, context: FetchContext) -> Token | None:
        """Return the token of the credentials, refreshed if it is spent; None if they have none."""
        token = self._token()
        if is_spent(token, context):
            import requests
            from google.auth.transport.requests import Request

            with requests.Session() as session:
                self._wrapped.refresh(partial(Request(session), timeout=context.timeout))
            token = self._token()
        return token

    def _token(self) -> Token | None:
        if not self._wrapped.token:
            return None
        expiry = self._wrapped.expiry  # naive, in UTC
        at = expiry and expiry.replace(tzinfo=expiry.tzinfo or timezone.utc).timestamp()
        return Token(self._wrapped.token, at)


class _WithScopes(Wrapping):
    """An object that gives tokens only for given scopes."""

    def __init__(self, wrapped: Any, scopes: tuple[str, ...]) -> None:
        if not scopes:
            example = "scopes=['https://management.azure.com/.default']"
            fault = f"scopes are missing: say what the token is for, as in {example}"
            raise ConfigurationError("from_credentials", [fault])
        super().__init__(wrapped, scopes)


class AzureCredential(_WithScopes):
    """``azure.core.credentials.TokenCredential``, which keeps and renews its tokens itself."""

    marks: ClassVar = ("get_token",)

    def fetch(self, context: FetchContext) -> Token:
        """Return the token of the credential, with the claims that a challenge asks for."""
        claims = _claims(context.challenge)
        options = {"claims": claims} if claims else {}
        given = self._wrapped.get_token(*self._scopes, enable_cae=True, **options)
        return Token(given.token, given.expires_on)


class MsalApplication(_WithScopes):
    """The base of the applications of msal: a cache of tokens, answers as dictionaries."""

    def fetch(self, context: FetchContext) -> Token:
        """Return a token from the cache, or a new one if the server refused that."""
        claims = _claims(context.challenge)
        token = self._read(self._acquired(claims, renew=False), context)
        if context.refused and is_spent(token, context):
            token = self._read(self._acquired(claims, renew=True), context)
        return token

    @abstractmethod
    def _acquired(self, claims: str | None, *, renew: bool) -> Mapping[str, Any] | None:
        """Return the application's answer; with ``renew`` it asks the server, not the cache."""

    def _read(self, answer: Mapping[str, Any] | None, context: FetchContext) -> Token:
        if not answer:
            raise RefreshFailed("the msal application has no token for its account: sign in anew")
        if "access_token" in answer:
            life = answer.get("expires_in")
            return Token(answer["access_token"], life and context.clock.time() + float(life))
        # The rest of the answer is not quoted: it names tenants, users and requests.
        code = answer.get("error")
        if not isinstance(code, str) or not _ERROR_CODE.fullmatch(code):
            raise RefreshFailed("msal got no token, for no reason that it names")
        raise RefreshFailed(f"msal got no token: {code}", error=code)


class MsalConfidential(MsalApplication):
    """``msal.ConfidentialClientApplication``, whose token is its own, and not a user's."""

    marks: ClassVar = ("acquire_token_for_client", "remove_tokens_for_client")

    def _acquired(self, claims: str | None, *, renew: bool) -> Any:
        if renew:
            self._wrapped.remove_tokens_for_client()
        return self._wrapped.acquire_token_for_client(list(self._scopes), claims_challenge=claims)


class MsalPublic(MsalApplication):
    """``msal.PublicClientApplication``, whose token is that of its one signed-in user."""

    marks: ClassVar = ("acquire_token_silent_with_error", "acquire_token_interactive")

    def _acquired(self, claims: str | None, *, renew: bool) -> Any:
        accounts = self._wrapped.get_accounts()
        if len(accounts) != 1:
            raise RefreshFailed(
                f"the msal application has {len(accounts)} accounts: a token needs one, so sign "
                "in with it, or remove the others"
            )
        return self._wrapped.acquire_token_silent_with_error(
            list(self._scopes), accounts[0], force_refresh=renew, claims_challenge=claims
        )


def _claims(challenge: Challenge | None) -> str | None:
    """Return the claims that a challenge asks for, as JSON; None if it has no readable ones."""
    if challenge is None or challenge.error != "insufficient_claims":
        return None
    encoded = challenge.params.get("claims", "").translate(_BASE64URL).rstrip("=")
    try:
        claims = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
        return claims if isinstance(json.loads(claims), dict) else None
    except (ValueError, RecursionError):
        return None
