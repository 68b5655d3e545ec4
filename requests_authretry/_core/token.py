"""Tokens: a credential that does not show itself."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from .copying import CopiedAsItself
from .validation import gathered, is_finite, is_text, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_VISIBLE = re.compile(r"[!-~]([ -~]*[!-~])?")
_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Secret(CopiedAsItself, str):
    """Text whose repr is hidden, so that dumps of headers and of local variables are clean."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show nothing of the text, not even its length."""
        return "'***'"

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        """A pickle never carries the text."""
        return Secret, ("",)


@dataclass(frozen=True, slots=True, init=False)
class Token(CopiedAsItself):
    """An access token and what renews it.

    Immutable and safe to share between threads. Neither repr nor str nor a pickle shows the
    secrets: a token that went through a pickle is empty and has to be fetched again.

    Attributes:
        value: The access token (RFC 6750), or the credentials of another scheme.
        expires_at: POSIX time in seconds after which it is renewed before use; None: unknown.
        scheme: What stands before the value in the ``Authorization`` header.
        refresh_token: What the token endpoint takes for the next one (RFC 6749 section 6).
        scopes: What the token is good for.

    Raises:
        ConfigurationError: The value cannot stand in a header, or a field is of the wrong kind.
    """

    value: str
    expires_at: float | None
    scheme: str
    refresh_token: str | None
    scopes: tuple[str, ...]
    authorization: str = field(init=False, compare=False)
    """The value of the ``Authorization`` header, its repr hidden."""

    def __init__(
        self,
        value: str,
        expires_at: float | None = None,
        scheme: str = "Bearer",
        refresh_token: str | None = None,
        scopes: Iterable[str] = (),
    ) -> None:
        """Refuse what cannot work; neither message nor frame shows a secret."""
        value, refresh_token = secret(value), secret(refresh_token)
        keep = partial(object.__setattr__, self)
        keep("value", value)
        keep("expires_at", expires_at)
        keep("scheme", scheme)
        keep("refresh_token", refresh_token)
        keep("scopes", gathered(scopes))
        keep("authorization", Secret(f"{scheme} {value}"))
        refuse("Token", _faults(self))

    def is_expired(self, now: float) -> bool:
        """Whether its time is over at ``now`` (POSIX seconds)."""
        return not self.value or (self.expires_at is not None and now >= self.expires_at)

    def __repr__(self) -> str:
        """Everything but the secrets."""
        renewable = ", refresh_token='***'" if self.refresh_token else ""
        scopes = f", scopes={self.scopes!r}" if self.scopes else ""
        return (
            f"Token('***', expires_at={self.expires_at!r}, scheme={self.scheme!r}"
            f"{renewable}{scopes})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle carries everything but the secrets."""
        return _emptied, (self.expires_at, self.scheme, self.scopes)


def secret(text: Any) -> Any:
    """Hide a text; leave all else as it is, for the check that follows."""
    return Secret(text) if isinstance(text, str) else text


def _emptied(expires_at: float | None, scheme: str, scopes: tuple[str, ...]) -> Token:
    """Make what comes out of a pickle: a token without secret, which counts as expired."""
    token = Token("-", expires_at, scheme, None, scopes)
    object.__setattr__(token, "value", Secret(""))
    object.__setattr__(token, "authorization", Secret(""))
    return token


RECORD_VERSION = 1
"""The format of the records that this release writes. A later one may add fields; it must not give
a field of this one another meaning."""

_TOKEN_FIELDS = ("value", "expires_at", "scheme", "refresh_token", "scopes")
_EMPTY_RECORDS = ("", "null")

_UNREADABLE = (
    "the record is torn, or something else wrote it: remove it from the store, and sign in again "
    "where you have to"
)


class UnreadableRecordError(ValueError):
    """A store holds a record that gives no token; it quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What a store keeps under the key of a token source. Immutable.

    Attributes:
        token: The newest token.
        generation: Tells which of two records under one key is the newer: the one with more.
        others: Fields that this release does not know, as they were read; they are written back.
    """

    token: Token
    generation: int = 0
    others: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    def dump(self) -> str:
        """The record as text: JSON, the secrets in the clear."""
        fields = {name: getattr(self.token, name) for name in _TOKEN_FIELDS}
        own = {"generation": self.generation, "version": RECORD_VERSION}
        return json.dumps({**self.others, **fields, **own})

    @classmethod
    def load(cls, text: str | None) -> TokenRecord | None:
        """Read a record; None where there is none.

        Fields that are not known are kept in ``others``. A record is read whatever version it has:
        records that were written before there were versions have none.

        Raises:
            UnreadableRecordError: There is a record, and it gives no token: it is torn, something
                else wrote it, or a field has a value that cannot be.
        """
        if text is None or text in _EMPTY_RECORDS:
            return None
        try:
            fields = json.loads(text)
            token = Token(**{name: fields[name] for name in _TOKEN_FIELDS if name in fields})
            generation = fields.get("generation", 0)
        except (ValueError, TypeError, AttributeError, RecursionError):
            # Not from it: what it says may quote the record.
            raise UnreadableRecordError(_UNREADABLE) from None
        if not isinstance(generation, int):
            raise UnreadableRecordError(_UNREADABLE)
        known = {*_TOKEN_FIELDS, "generation", "version"}
        others = {name: value for name, value in fields.items() if name not in known}
        return cls(token, generation, others)


def _faults(given: Any) -> Iterable[str | None]:
    if not isinstance(given.value, str):
        yield f"value must be a str, not {type(given.value).__name__}"
    elif not _VISIBLE.fullmatch(given.value):
        yield "value must be visible ASCII: it is empty, or has a line break or a blank end"
    elif given.value.lower().startswith(f"{given.scheme} ".lower()):
        yield "value begins with the scheme already: give the scheme apart"
    if not isinstance(given.scheme, str) or not _SCHEME.fullmatch(given.scheme):
        yield "scheme must be a name like 'Bearer', without blanks"
    if given.expires_at is not None and not is_finite(given.expires_at):
        kind = type(given.expires_at).__name__
        yield f"expires_at must be a finite POSIX time in seconds or None, not this {kind}"
    if given.refresh_token is not None and not is_text(given.refresh_token):
        yield "refresh_token must be a non-empty str or None"
    if not isinstance(given.scopes, tuple) or not all(isinstance(s, str) for s in given.scopes):
        yield "scopes must be a collection of strings"
