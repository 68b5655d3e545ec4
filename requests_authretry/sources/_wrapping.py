"""The base of the token sources around an object of another library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from .._core.token import Token
    from .._protocols import FetchContext


class Wrapping(ABC):
    """A token source around an object of another library.

    Attributes:
        marks: The attributes by which an object of this kind is known.
        store_key: The name under which a store keeps the tokens; empty: the origins they are for.
    """

    marks: ClassVar[tuple[str, ...]] = ()
    has_refresh_tokens = False
    may_prompt = False
    store_key = ""

    def __init__(self, wrapped: Any, scopes: tuple[str, ...]) -> None:
        self._wrapped = wrapped
        self._scopes = scopes

    @property
    def family_anchor(self) -> tuple[object, object]:
        """Return the object and the scopes: sources with the same ones have the same tokens."""
        return self._wrapped, self._scopes

    @abstractmethod
    def fetch(self, context: FetchContext) -> Token | None:
        """Return the token of the object, a renewed one where `is_spent`; None if it has none."""

    def __repr__(self) -> str:
        """Show the names of classes: the repr of the object may hold secrets."""
        return f"from_credentials({type(self._wrapped).__name__})"


def is_spent(token: Token | None, context: FetchContext) -> bool:
    """Whether a token has to be replaced: it is missing, expired, or the stale one."""
    if token is None or token.is_expired(context.clock.time()):
        return True
    return context.stale is not None and token.value == context.stale.value
