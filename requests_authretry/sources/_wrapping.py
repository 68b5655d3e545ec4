"""What all token sources around an object of another library have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from .._core.token import Token
    from .._protocols import FetchContext


class Wrapping(ABC):
    """A token source around an object of another library.

    Attributes:
        marks: What an object of this kind has, and no other.
        store_key: The name a store keeps its tokens under; empty: the origins they belong to.
    """

    marks: ClassVar[tuple[str, ...]] = ()
    has_refresh_tokens = False
    store_key = ""

    def __init__(self, wrapped: Any, scopes: tuple[str, ...]) -> None:
        self._wrapped = wrapped
        self._scopes = scopes

    @property
    def family_anchor(self) -> tuple[object, object]:
        """Tell sources with the same tokens from others: by the object and the scopes."""
        return self._wrapped, self._scopes

    @abstractmethod
    def fetch(self, context: FetchContext) -> Token | None:
        """Ask the object for its token."""

    def __repr__(self) -> str:
        """Show the names of classes: what the object itself shows may be secret."""
        return f"from_credentials({type(self._wrapped).__name__})"


def is_spent(token: Token | None, context: FetchContext) -> bool:
    """Whether another one is wanted: there is none, its time is over, or it is to be replaced."""
    if token is None or token.is_expired(context.clock.time()):
        return True
    return context.stale is not None and token.value == context.stale.value
