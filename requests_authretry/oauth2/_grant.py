"""The base of all grants: client, scopes, further fields, and the key in a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .._core.arguments import checks_arguments
from .._core.validation import collection, gathered, instance, is_text, members, refuse
from ._client import Client
from ._endpoint import Endpoint

if TYPE_CHECKING:
    from .._core.token import Token
    from .._protocols import FetchContext
    from ._dpop import Proofs
    from ._form import Fields

_A_CLIENT = "Client('my-app', 'my-secret', token_url='https://login.example.com/token')"


@checks_arguments()
class Grant(ABC):
    """The base of the sources of this module. Safe to use from many threads.

    Args:
        client: The client that asks for tokens.
        scopes: The scopes to ask for; without any, the server chooses.
        extra: Further fields of each form, such as ``audience`` or ``resource`` (RFC 8707).
        store_key: The name under which a store keeps the tokens; None: a name made from the
            client and the other arguments, so that identities do not mix.

    Attributes:
        may_prompt: Whether the source asks a person in the thread of the call, see `TokenSource`.
        store_key: That name; it holds no secret.
        prover: Proves that the client has the key that tokens are bound to; None without DPoP.

    Raises:
        ConfigurationError: An argument cannot work; all faults are named together.
    """

    may_prompt: bool = False

    def __init__(
        self,
        client: Client,
        scopes: Iterable[str] = (),
        *,
        extra: Mapping[str, str] | None = None,
        store_key: str | None = None,
    ) -> None:
        self.client: Client = client
        self.scopes: tuple[str, ...] = gathered(scopes)
        given: Any = {} if extra is None else extra
        name = type(self).__name__
        fault = instance("client", client, Client)
        # Alone: a client's id and secret may stand in the places of all other arguments.
        refuse(name, [fault and f"{fault}: write {name}({_A_CLIENT}, ...)"])
        faults = [_fault_of_scopes(self.scopes)]
        if not isinstance(given, Mapping) or not all(map(is_text, [*given, *given.values()])):
            faults += ["extra must be a mapping of strings"]
        if store_key is not None and not is_text(store_key):
            faults += ["store_key must be a non-empty str or None"]
        refuse(name, [*faults, *self._faults()])
        self.extra: dict[str, str] = dict(given)
        self.store_key: str = store_key or f"{name} {client.client_id} {self._digest(name)}"

    @property
    def prover(self) -> Proofs | None:
        """Return the prover of the client's key, None without DPoP."""
        return self.client.prover

    @abstractmethod
    def fetch(self, context: FetchContext) -> Token:
        """Ask the authorization server for a token.

        Raises:
            RefreshFailed: The server gave no token that can be used. The message names the fault
                and holds no secret.
        """

    def revoke(self, context: FetchContext) -> None:
        """Have the authorization server end ``context.stale`` (RFC 7009), see `TokenSource`.

        The refresh token is revoked, and with it the access tokens of the same sign-in (section
        2.1); where there is none, the access token.

        Raises:
            RefreshFailed: The server did not do it, or has no revocation endpoint.
        """
        stale = context.stale
        if stale is not None and stale.refresh_token:
            Endpoint(self.client, context).revoke(stale.refresh_token, "refresh_token")
        elif stale is not None:
            Endpoint(self.client, context).revoke(stale.value, "access_token")

    def _digest(self, name: str) -> str:
        return self.client.digest(name, self.scopes, self.extra, *self._identity())

    def _identity(self) -> tuple[object, ...]:
        """Return the values that tell this identity from others of the same client."""
        return ()

    def _faults(self) -> Iterable[str | None]:
        return ()

    def _form(self, grant_type: str, **fields: Any) -> Fields:
        """Return the fields of a token request; an empty scope is left out of what is sent."""
        return {"grant_type": grant_type, "scope": " ".join(self.scopes), **fields, **self.extra}

    def __repr__(self) -> str:
        """Show the client and the scopes, without secrets."""
        return f"{type(self).__name__}({self.client!r}, {self.scopes!r})"


def _fault_of_scopes(scopes: Any) -> str | None:
    if isinstance(scopes, (str, bytes)):  # not quoted: it may be a secret in the wrong place
        return f"scopes takes a collection: write ['read'], not a {type(scopes).__name__}"
    return collection("scopes", scopes) or members("scopes", scopes, is_text, "str")
