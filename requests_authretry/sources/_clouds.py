"""Token sources from the credentials of google-auth, azure-identity and msal.

They keep their tokens themselves and know how to get new ones; here they are asked in their own
words, and what they give is read.
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
    """``google.auth.credentials.Credentials``, with their token and their way to refresh it."""

    marks: ClassVar = ("before_request", "refresh", "expiry")

    def __init__(self, wrapped: Any, scopes: tuple[str, ...]) -> None:
        """Ask for scopes, where the credentials have none yet and take some."""
        if scopes:
            from google.auth.credentials import with_scopes_if_required

            wrapped = with_scopes_if_required(wrapped, list(scopes))  # type: ignore[no-untyped-call]
        super().__init__(wrapped, scopes)

    def fetch(self, context: FetchContext) -> Token | None:
        """Their token; refreshed when it is the one to replace, or its time is over."""
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
    """What gives tokens for the scopes that it is asked for, and none without."""

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
        """Ask for its token; for one with other claims when the server challenges it for them."""
        claims = _claims(context.challenge)
        options = {"claims": claims} if claims else {}
        given = self._wrapped.get_token(*self._scopes, enable_cae=True, **options)
        return Token(given.token, given.expires_on)


class MsalApplication(_WithScopes):
    """What the applications of msal have in common: a cache of tokens, answers as dictionaries."""

    def fetch(self, context: FetchContext) -> Token:
        """A token from its cache, unless that is the one that was refused."""
        claims = _claims(context.challenge)
        token = self._read(self._acquired(claims, anew=False), context)
        if context.refused and is_spent(token, context):
            token = self._read(self._acquired(claims, anew=True), context)
        return token

    @abstractmethod
    def _acquired(self, claims: str | None, *, anew: bool) -> Mapping[str, Any] | None:
        """Ask it for an answer; for one from the authorization server when it is wanted anew."""

    def _read(self, answer: Mapping[str, Any] | None, context: FetchContext) -> Token:
        if not answer:
            raise RefreshFailed("the msal application has no token for its account: sign in anew")
        if "access_token" in answer:
            life = answer.get("expires_in")
            return Token(answer["access_token"], life and context.clock.time() + float(life))
        # Its other words are not quoted: they name tenants, users and requests.
        code = answer.get("error")
        if not isinstance(code, str) or not _ERROR_CODE.fullmatch(code):
            raise RefreshFailed("msal got no token, for no reason that it names")
        raise RefreshFailed(f"msal got no token: {code}", error=code)


class MsalConfidential(MsalApplication):
    """``msal.ConfidentialClientApplication``, for itself, not for a user."""

    marks: ClassVar = ("acquire_token_for_client", "remove_tokens_for_client")

    def _acquired(self, claims: str | None, *, anew: bool) -> Any:
        if anew:
            self._wrapped.remove_tokens_for_client()
        return self._wrapped.acquire_token_for_client(list(self._scopes), claims_challenge=claims)


class MsalPublic(MsalApplication):
    """``msal.PublicClientApplication``, for the one user who has signed in."""

    marks: ClassVar = ("acquire_token_silent_with_error", "acquire_token_interactive")

    def _acquired(self, claims: str | None, *, anew: bool) -> Any:
        accounts = self._wrapped.get_accounts()
        if len(accounts) != 1:
            raise RefreshFailed(
                f"the msal application has {len(accounts)} accounts: a token needs one, so sign "
                "in with it, or remove the others"
            )
        return self._wrapped.acquire_token_silent_with_error(
            list(self._scopes), accounts[0], force_refresh=anew, claims_challenge=claims
        )


def _claims(challenge: Challenge | None) -> str | None:
    """The claims that a server asks for, as JSON; None when it asks for none that can be read."""
    if challenge is None or challenge.error != "insufficient_claims":
        return None
    encoded = challenge.params.get("claims", "").translate(_BASE64URL).rstrip("=")
    try:
        claims = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
        return claims if isinstance(json.loads(claims), dict) else None
    except (ValueError, RecursionError):
        return None
