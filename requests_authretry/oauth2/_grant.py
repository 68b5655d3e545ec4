"""What all grants have in common: a client, what is asked for, and the refresh token."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .._core.token import Token
from .._core.validation import collection, gathered, instance, is_text, members, refuse
from ._client import Client

if TYPE_CHECKING:
    from .._core.token import Token
    from .._protocols import FetchContext
    from ._dpop import Proofs
    from ._form import Fields


class Grant(ABC):
    """What all sources of this module share. Safe to use from many threads.

    Args:
        client: Who asks, and whom.
        scopes: What the token is to be good for; none: what the server gives by default.
        extra: Further fields of each form, such as ``audience`` or ``resource`` (RFC 8707).
        store_key: The name under which a store keeps the tokens; None: one made of the client and
            of what is asked for, so that identities do not mix.

    Attributes:
        store_key: That name; it gives nothing away.
        prover: What proves the possession of the key that tokens are bound to, None without DPoP.

    Raises:
        ConfigurationError: An argument cannot work; all faults are named together.
    """

    def __init__(
        self,
        client: Client,
        scopes: Iterable[str] = (),
        *,
        extra: Mapping[str, str] | None = None,
        store_key: str | None = None,
    ) -> None:
        self.client = client
        self.scopes = gathered(scopes)
        self.extra = {} if extra is None else extra
        refuse(type(self).__name__, [*self._shared_faults(store_key), *self._faults()])
        self.extra = dict(self.extra)
        name = type(self).__name__
        self.store_key = store_key or f"{name} {client.client_id} {self._digest(name)}"

    @property
    def prover(self) -> Proofs | None:
        """The client's."""
        return self.client.prover

    @abstractmethod
    def fetch(self, context: FetchContext) -> Token:
        """Ask the authorization server for a token.

        Raises:
            RefreshFailed: There was none, in words that name the fault and hold no secret.
        """

    def _digest(self, name: str) -> str:
        return self.client.digest(name, self.scopes, self.extra, *self._identity())

    def _identity(self) -> tuple[object, ...]:
        """List what tells this identity from others of the same client."""
        return ()

    def _faults(self) -> Iterable[str | None]:
        return ()

    def _shared_faults(self, store_key: object) -> Iterable[str | None]:
        yield instance("client", self.client, Client)
        yield collection("scopes", self.scopes) or members("scopes", self.scopes, is_text, "str")
        extra: Any = self.extra
        if not isinstance(extra, Mapping) or not all(map(is_text, [*extra, *extra.values()])):
            yield "extra must be a mapping of strings"
        if store_key is not None and not is_text(store_key):
            yield "store_key must be a non-empty str or None"

    def _form(self, grant_type: str, **fields: Any) -> Fields:
        """The fields of a token request; a scope that nobody named is left to the server."""
        return {"grant_type": grant_type, "scope": " ".join(self.scopes), **fields, **self.extra}

    def __repr__(self) -> str:
        """Show who asks, where and for what, without secrets."""
        return f"{type(self).__name__}({self.client!r}, {self.scopes!r})"
