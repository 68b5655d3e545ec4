"""What a renewal may bring: a token, a reason why the source gave none, or an exception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._core.records import Reason
from .._errors import ConfigurationError, RefreshFailed

if TYPE_CHECKING:
    from .._core.token import Token


class NoToken(Exception):  # noqa: N818 (not an error of its own: a reason within one)
    """What a token source or a store did wrong, in our words."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a renewal brought.

    Attributes:
        token: The token to use from now on.
        fetched: Whether the source gave it; else it was found in the store.
        is_kept: Whether the store has it.
    """

    token: Token
    fetched: bool
    is_kept: bool = True


Result = Renewed | Reason | Exception
"""A token, why the source declined, or how it failed."""


def hand_out(result: Result) -> Token | Reason:
    """Return what a caller gets.

    Raises:
        RefreshFailed: The renewal failed. Each caller gets an exception of its own, as its request
            and its traceback are its own.
    """
    if isinstance(result, Renewed):
        return result.token
    if isinstance(result, Reason):
        return result
    if isinstance(result, RefreshFailed):
        # Without `from`: the frames that the exception went through hold what was sent.
        raise RefreshFailed(*result.args, error=result.error, retry_after=result.retry_after)
    if isinstance(result, (NoToken, ConfigurationError)):
        # Without `from`: their frames hold what the source gave.
        raise RefreshFailed(f"no token from the token source: {result}")
    # The text of foreign exceptions may hold secrets.
    raise RefreshFailed(f"the token source failed with {type(result).__name__}") from result
