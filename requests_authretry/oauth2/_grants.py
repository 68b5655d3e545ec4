"""The grants: a token source for each way to ask for a token."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from .._core.arguments import checks_arguments
from .._core.origin import Origin
from .._core.token import Token, secret
from .._core.validation import text
from .._errors import INVALID_GRANT, RefreshFailed
from .._tokens.families import families
from ..sources import Prompt
from ._answers import GrantRefused
from ._endpoint import Endpoint
from ._grant import Grant
from ._keys import Key, hidden

if TYPE_CHECKING:
    from .._protocols import FetchContext
    from ._client import Client, KeyLike
    from ._form import Fields, Moment

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 (a name)
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a name)
ASSERTION_SECONDS = 300.0
"""How long the assertion of `JWTBearer` is good; each attempt makes its own."""

Text = str | Token | Callable[[], str | Token]


class ClientCredentials(Grant):
    """The client's own token (RFC 6749 section 4.4)."""

    def fetch(self, context: FetchContext) -> Token:
        """Ask for a token, as `Grant.fetch`."""
        form = self._form("client_credentials")
        return Endpoint(self.client, context).token(lambda _: form)


@checks_arguments()
class RefreshToken(Grant):
    """A user's token, by a refresh token from an earlier sign-in (RFC 6749 section 6).

    If the server gives a new refresh token with each answer, the next `fetch` uses the newest. It
    is stored with the access token, so give the settings a store that lasts. The refresh token
    given here is only the first of its family. After ``invalid_grant`` the family has ended, and
    the user must sign in again.

    Within a process, sources with the same client, endpoint, first refresh token and ``extra`` use
    the same tokens, even without a store. A first refresh token that was replaced is never sent
    again: if the store does not have the newest one, `fetch` raises `RefreshFailed`.

    Args:
        client: The client that the refresh token was issued to.
        refresh_token: The first refresh token.
        store_key: As `Grant`; by default another refresh token begins a family of its own. With a
            name of your own, change it at each sign-in.
        extra: As `Grant`.

    Attributes:
        family: A text that equal sources share; it holds no secret.
    """

    def __init__(
        self,
        client: Client,
        refresh_token: str,
        *,
        extra: Mapping[str, str] | None = None,
        store_key: str | None = None,
    ) -> None:
        refresh_token = self._first = secret(refresh_token)
        super().__init__(client, extra=extra, store_key=store_key)
        self.family: str = client.digest("family", str(self._first), self.extra)

    def _faults(self) -> Iterable[str | None]:
        yield text("refresh_token", self._first)

    def _digest(self, name: str) -> str:
        # Workers that name one server in two ways must not begin two families with one token.
        return self.client.digest(name, str(self._first), anywhere=True)

    def fetch(self, context: FetchContext) -> Token:
        """Spend the newest refresh token, at first the given one, as `Grant.fetch`."""
        try:
            return self._spend(context)
        except GrantRefused as error:
            # After invalid_grant the library itself reads the store again.
            others = None if error.error == INVALID_GRANT else context.sibling()
            if others is None:
                raise
            return others

    def _spend(self, context: FetchContext) -> Token:
        endpoint = Endpoint(self.client, context)
        newest = endpoint.refreshed(self.extra)
        if newest is not None:
            return newest
        if context.blind:  # another process may have spent it long ago
            raise RefreshFailed(
                "the first refresh token may be spent, and is not sent: the store with the newest "
                "one cannot be read (the log says why), or a parent process has it; name a store "
                "in Settings that all processes can read, or sign in again"
            )
        if not self._first:
            raise RefreshFailed("the refresh token was lost in a pickle: make the source anew")
        url = endpoint.address()
        # The origin is the same for each spelling of the server's name.
        where = [str(Origin.of(url)), urlsplit(url).path, urlsplit(url).query]
        sent = [*where, self.client.client_id, str(self._first)]
        digest = sha256(json.dumps(sent).encode()).hexdigest()
        form = self._form("refresh_token", refresh_token=self._first)
        # One thread of the process spends the first refresh token, and only once.
        with families.sending(digest, context.timeout):
            try:
                return endpoint.token(lambda _: form, self._first)
            finally:
                # An answer whose token cannot be used may bring a new refresh token, too.
                if endpoint.refresh_token not in {None, self._first}:
                    families.spend(digest)
                    families.of(self).rotates = True

    def revoke(self, context: FetchContext) -> None:
        """End the newest refresh token, at first the given one, as `Grant.revoke`."""
        if context.stale is None and self._first:
            Endpoint(self.client, context).revoke(self._first, "refresh_token")
        super().revoke(context)


@checks_arguments()
class Password(Grant):
    """A user's token by name and password (RFC 6749 section 4.3), for legacy servers only.

    OAuth 2.1 has dropped it: the client sees the password. A refresh token is used while it lasts.

    Args:
        client: The client that asks for tokens.
        username: The user's name; or a `Prompt`, which asks a person for name and password when
            there is no refresh token, or the server refuses it. Its tokens are kept without the
            user's name: give a ``store_key`` if several users share a store.
        password: The user's password; None with a `Prompt`.
        scopes: As `Grant`.
        extra: As `Grant`.
        store_key: As `Grant`.
    """

    def __init__(  # noqa: PLR0913 (those of `Grant`, and two)
        self,
        client: Client,
        username: str | Prompt,
        password: str | None = None,
        scopes: Iterable[str] = (),
        *,
        extra: Mapping[str, str] | None = None,
        store_key: str | None = None,
    ) -> None:
        self._prompt = username if isinstance(username, Prompt) else None
        if isinstance(username, Prompt):
            self.may_prompt: bool = True
            self.patience: float = username.patience
            username = username.username or ""
        self.username: str = username
        password = self._password = secret(password)
        super().__init__(client, scopes, extra=extra, store_key=store_key)

    def _faults(self) -> Iterable[str | None]:
        if self._prompt is None:
            yield text("username", self.username)
            fault = text("password", self._password)
            yield fault and f"{fault}; to ask for it write Password(client, Prompt('name'))"
        elif self._password is not None:
            yield "password and a Prompt exclude each other: leave one out"

    def _identity(self) -> tuple[object, ...]:
        return (self.username,)

    def fetch(self, context: FetchContext) -> Token:
        """Refresh, or sign in again, as `Grant.fetch`."""
        refreshed = Endpoint(self.client, context).refreshed_if_possible(self.extra)
        if refreshed is not None:
            return refreshed
        if self._prompt is None and not self._password:
            raise RefreshFailed("the password was lost in a pickle: make the source anew")
        if self._prompt is not None and context.early:
            raise RefreshFailed("nobody is asked for a password before it is needed")
        username, password = self._prompt.ask() if self._prompt else (self.username, self._password)
        form = self._form("password", username=username, password=password)
        return Endpoint(self.client, context).token(lambda _: form)


@checks_arguments()
class JWTBearer(Grant):
    """A token for an assertion (RFC 7523 section 2.1), which the source signs for each attempt.

    Args:
        client: The client that asks for tokens.
        key: The private key that signs: a `Key`, PEM or a JWK.
        subject: The ``sub`` claim: the user that the token is for; None: the client itself.
        claims: Further claims. They replace the claims that the source makes: ``iss`` (the
            client), ``sub``, ``aud`` (the issuer, or the token endpoint without one), ``iat``,
            ``exp`` and ``jti``.
        scopes: As `Grant`.
        extra: As `Grant`.
        store_key: As `Grant`.
    """

    def __init__(  # noqa: PLR0913 (those of `Grant`, and three)
        self,
        client: Client,
        key: KeyLike,
        scopes: Iterable[str] = (),
        *,
        subject: str | None = None,
        claims: Mapping[str, Any] | None = None,
        extra: Mapping[str, str] | None = None,
        store_key: str | None = None,
    ) -> None:
        key = hidden(key)
        self._key = Key.of(key)
        self.subject: str | None = subject
        self.claims: Mapping[str, Any] = {} if claims is None else claims
        super().__init__(client, scopes, extra=extra, store_key=store_key)

    def _faults(self) -> Iterable[str | None]:
        if self.subject is not None:
            yield text("subject", self.subject)
        claims: Any = self.claims
        if not isinstance(claims, Mapping):
            yield f"claims must be a mapping, not {type(claims).__name__}"

    def _identity(self) -> tuple[object, ...]:
        return (self.subject, dict(self.claims))

    def fetch(self, context: FetchContext) -> Token:
        """Sign an assertion and ask for a token, as `Grant.fetch`."""

        def form(moment: Moment) -> Fields:
            who = self.client.client_id
            claims = {"iss": who, "sub": self.subject or who, "aud": moment.audience, **self.claims}
            assertion = self._key.assertion(claims, moment.now, ASSERTION_SECONDS)
            return self._form(_JWT_BEARER, assertion=assertion)

        return Endpoint(self.client, context).token(form)


@checks_arguments()
class TokenExchange(Grant):
    """A token in exchange for another (RFC 8693): delegation, impersonation, narrower scopes.

    Args:
        client: The client that asks for tokens.
        subject_token: The token of the party the new one is for: a str, a `Token`, or a function
            that returns one; a function is called for each attempt, as the token may have changed.
        subject_token_type: The type of the subject token (section 3).
        actor_token: The token of the party that acts, given likewise; None: the client acts.
        actor_token_type: The type of the actor token.
        scopes: As `Grant`.
        extra: As `Grant`: ``audience``, ``resource``, ``requested_token_type``.
        store_key: As `Grant`. A source with a function has a key of its own by default, as the
            function may return any user's token: to share tokens, name a key for each subject.
    """

    def __init__(  # noqa: PLR0913 (those of `Grant`, and four)
        self,
        client: Client,
        subject_token: Text,
        scopes: Iterable[str] = (),
        *,
        subject_token_type: str = _ACCESS_TOKEN,
        actor_token: Text | None = None,
        actor_token_type: str = _ACCESS_TOKEN,
        extra: Mapping[str, str] | None = None,
        store_key: str | None = None,
    ) -> None:
        self._unknown = uuid4().hex
        if callable(subject_token) or callable(actor_token):
            self.family: str | None = None  # a function may return the token of any user
        subject_token = self._subject = secret(subject_token)
        actor_token = self._actor = secret(actor_token)
        self.subject_token_type: str = subject_token_type
        self.actor_token_type: str = actor_token_type
        super().__init__(client, scopes, extra=extra, store_key=store_key)

    def _faults(self) -> Iterable[str | None]:
        for name, given in (("subject_token", self._subject), ("actor_token", self._actor)):
            if name == "actor_token" and given is None:
                continue
            if not (callable(given) or isinstance(given, Token)):
                yield text(name, given)

    def _identity(self) -> tuple[object, ...]:
        given = (self._subject, self._actor)
        # A function may return any user's token, so that this source shares none.
        whose = [self._unknown if callable(one) else one and _value(one) for one in given]
        return (*whose, self.subject_token_type, self.actor_token_type)

    def fetch(self, context: FetchContext) -> Token:
        """Exchange the present subject token, as `Grant.fetch`."""

        def form(_: Moment) -> Fields:
            fields = {
                "subject_token": _value(self._subject),
                "subject_token_type": self.subject_token_type,
            }
            if self._actor is not None:
                fields["actor_token"] = _value(self._actor)
                fields["actor_token_type"] = self.actor_token_type
            return self._form(_TOKEN_EXCHANGE, **fields)

        return Endpoint(self.client, context).token(form)


def _value(given: Any) -> str:
    """Return the text of a token, which is given as a str, a `Token` or a function."""
    token = given() if callable(given) else given
    value = token.value if isinstance(token, Token) else token
    if not isinstance(value, str) or not value:
        raise RefreshFailed("there is no token to exchange, or it was lost in a pickle")
    return value
