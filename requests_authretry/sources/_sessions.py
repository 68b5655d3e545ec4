"""Token sources from the OAuth 2 sessions of requests-oauthlib and Authlib.

The sessions keep one token and its refresh token. If another process that shares the store spent
that refresh token, the store has a later token, with the next refresh token.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from .._core.token import Token
from .._core.validation import ConfigurationError, is_finite
from ._wrapping import Wrapping, is_spent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._protocols import FetchContext


class OAuth2Session(Wrapping):
    """A session that keeps a token response (RFC 6749 section 5.1) and renews it."""

    has_refresh_tokens = True

    def __init__(self, wrapped: Any, scopes: tuple[str, ...]) -> None:
        """Refuse scopes: the session has its own."""
        if scopes:
            fault = "scopes belong to the session itself: give them as its own scope"
            raise ConfigurationError("from_credentials", [fault])
        super().__init__(wrapped, scopes)

    def fetch(self, context: FetchContext) -> Token | None:
        """Return the session's token, or the store's if that is later, renewed if it is spent."""
        held = _later(_token(self._wrapped.token), context.stale)
        if not is_spent(held, context):
            return held
        # A plain str: the session keeps it, and a pickle of the session has to hold it.
        refresh_token = str(held.refresh_token) if held and held.refresh_token else None
        renewed = _token(self._renewed(refresh_token, context.timeout))
        if renewed or context.refused or held is None or held.is_expired(context.clock.time()):
            return renewed
        return held

    @abstractmethod
    def _renewed(self, refresh_token: str | None, timeout: float) -> Mapping[str, Any] | None:
        """Renew the session's token; None if the session does not know how."""


class OAuthlibSession(OAuth2Session):
    """``requests_oauthlib.OAuth2Session``."""

    marks: ClassVar = ("auto_refresh_url", "token_updater", "refresh_token")

    def _renewed(self, refresh_token: str | None, timeout: float) -> Any:
        session = self._wrapped
        if not session.auto_refresh_url or not refresh_token:
            return None
        renewed = session.refresh_token(
            session.auto_refresh_url, refresh_token=refresh_token, timeout=timeout
        )
        if session.token_updater:
            session.token_updater(renewed)
        return renewed


class AuthlibSession(OAuth2Session):
    """``authlib.integrations.requests_client.OAuth2Session``."""

    marks: ClassVar = ("ensure_active_token", "fetch_token", "metadata")

    def _renewed(self, refresh_token: str | None, timeout: float) -> Any:
        session = self._wrapped
        endpoint, grant = map(session.metadata.get, ("token_endpoint", "grant_type"))
        if not endpoint:
            return None
        if refresh_token:
            return session.refresh_token(endpoint, refresh_token=refresh_token, timeout=timeout)
        if grant != "client_credentials":
            return None
        before = (session.token or {}).get("access_token")
        renewed = session.fetch_token(endpoint, grant_type=grant, timeout=timeout)
        if session.update_token:
            session.update_token(renewed, access_token=before)
        return renewed


def _token(fields: Mapping[str, Any] | None) -> Token | None:
    if not fields or not fields.get("access_token"):
        return None
    if str(fields.get("token_type") or "Bearer").lower() != "bearer":
        raise ConfigurationError("OAuth2Session", ["its token is no bearer token"])
    expires_at = fields.get("expires_at")
    return Token(
        fields["access_token"],
        expires_at if is_finite(expires_at) else None,
        refresh_token=fields.get("refresh_token") or None,
    )


def _later(held: Token | None, stale: Token | None) -> Token | None:
    """Return the later token: its refresh token is not spent."""
    if held is None or stale is None or not stale.refresh_token:
        return held or stale
    if held.expires_at is None or stale.expires_at is None:
        return held
    return stale if stale.expires_at > held.expires_at else held
