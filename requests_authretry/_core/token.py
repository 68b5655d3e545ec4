"""Tokens, and the records in which stores keep them. A token never shows its secrets."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from .arguments import checks_arguments
from .copying import CopiedAsItself
from .validation import gathered, is_finite, is_text, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import SupportsIndex

_VISIBLE = re.compile(r"[!-~]([ -~]*[!-~])?")
_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Secret(CopiedAsItself, str):
    """Text whose repr is hidden, so that dumps of headers and of local variables do not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show nothing of the text, not even its length."""
        return "'***'"

    def __getitem__(self, place: SupportsIndex | slice) -> Secret:
        """Hide a part as well: reporters such as rich show the first characters of long texts."""
        return Secret(super().__getitem__(place))

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        """Pickle an empty text in place of the secret."""
        return Secret, ("",)


@checks_arguments()
@dataclass(frozen=True, slots=True, init=False)
class Token(CopiedAsItself):
    """An access token, and the refresh token that renews it.

    Immutable and safe to share between threads. Neither repr nor str nor a pickle shows the
    secrets: a token that went through a pickle is empty and has to be fetched again.

    Attributes:
        value: The access token (RFC 6750), or the credentials of another scheme.
        expires_at: POSIX time in seconds after which the token is renewed before use; None if
            unknown.
        scheme: The word before the value in the ``Authorization`` header.
        refresh_token: The refresh token that the token endpoint takes for the next token (RFC 6749
            section 6).
        scopes: The scopes that the token is good for.

    Raises:
        ConfigurationError: The value cannot be sent in a header, or a field is of the wrong kind.
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
        """Refuse values that cannot work; neither the message nor a stack frame shows a secret."""
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
        """Whether the token is empty, or has expired at ``now`` (POSIX seconds)."""
        return not self.value or (self.expires_at is not None and now >= self.expires_at)

    def __repr__(self) -> str:
        """Show everything but the secrets."""
        renewable = ", refresh_token='***'" if self.refresh_token else ""
        scopes = f", scopes={self.scopes!r}" if self.scopes else ""
        return (
            f"Token('***', expires_at={self.expires_at!r}, scheme={self.scheme!r}"
            f"{renewable}{scopes})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle everything but the secrets."""
        return _emptied, (self.expires_at, self.scheme, self.scopes)


def secret(text: Any) -> Any:
    """Hide a text; return any other value as it is, for a check that follows."""
    return Secret(text) if isinstance(text, str) else text


def _emptied(expires_at: float | None, scheme: str, scopes: tuple[str, ...]) -> Token:
    """Make the token that a pickle yields: without a secret, and counted as expired."""
    token = Token("-", expires_at, scheme, None, scopes)
    object.__setattr__(token, "value", Secret(""))
    object.__setattr__(token, "authorization", Secret(""))
    return token


RECORD_VERSION = 1
"""The format of the records that this release writes. A later release may add fields; it must not
change the meaning of a field."""

_TOKEN_FIELDS = ("value", "expires_at", "scheme", "refresh_token", "scopes")
_FORGOTTEN = "forgotten"
_EMPTY_RECORDS = ("", "null")

_UNREADABLE = (
    "the record is torn, or something else wrote it: remove it from the store, and sign in again "
    "where you have to"
)


class UnreadableRecordError(ValueError):
    """A store holds a record that gives no token. The message quotes nothing from the record."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """The record that a store keeps under the key of a token source. Immutable.

    Attributes:
        token: The newest token; None: it was forgotten, and other processes shall see that.
        generation: A number that orders the records under one key: the highest is the newest.
        others: Fields that this release does not know; they are written back as they were read.
    """

    token: Token | None
    generation: int = 0
    others: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    def dump(self) -> str:
        """Return the record as text: JSON, with the secrets in the clear."""
        fields: dict[str, Any] = {_FORGOTTEN: True}
        if self.token is not None:
            fields = {name: getattr(self.token, name) for name in _TOKEN_FIELDS}
        own = {"generation": self.generation, "version": RECORD_VERSION}
        return json.dumps({**self.others, **fields, **own})

    @classmethod
    def load(cls, text: str | None) -> TokenRecord | None:
        """Read a record; None if the store has none.

        Unknown fields are kept in ``others``. A record is read whatever version it has; records
        that were written before there were versions have none.

        Raises:
            UnreadableRecordError: The record gives no token: it is torn, something else wrote it,
                or a field has an impossible value.
        """
        if text is None or text in _EMPTY_RECORDS:
            return None
        try:
            fields = json.loads(text)
            token = None
            if fields.get(_FORGOTTEN) is not True:
                token = Token(**{name: fields[name] for name in _TOKEN_FIELDS if name in fields})
            generation = fields.get("generation", 0)
        except (ValueError, TypeError, AttributeError, RecursionError):
            # Without the cause, whose message may quote the record.
            raise UnreadableRecordError(_UNREADABLE) from None
        if not isinstance(generation, int):
            raise UnreadableRecordError(_UNREADABLE)
        known = {*_TOKEN_FIELDS, _FORGOTTEN, "generation", "version"}
        others = {name: value for name, value in fields.items() if name not in known}
        return cls(token, generation, others)


def _faults(given: Any) -> Iterable[str | None]:
    if not isinstance(given.value, str):
        yield f"value must be a str, not {type(given.value).__name__}"
    elif not _VISIBLE.fullmatch(given.value):
        yield (
            "value must be visible ASCII: it is empty, or has a line break or a blank end; "
            "strip what was read from a file"
        )
    elif given.value.lower().startswith(f"{given.scheme} ".lower()):
        word = given.scheme
        yield f"value begins with the scheme {word!r}, which is put before it: leave the word out"
    if not isinstance(given.scheme, str) or not _SCHEME.fullmatch(given.scheme):
        yield "scheme must be a name like 'Bearer', without blanks"
    if given.expires_at is not None and not is_finite(given.expires_at):
        kind = type(given.expires_at).__name__
        yield f"expires_at must be a finite POSIX time in seconds or None, not this {kind}"
    if given.refresh_token is not None and not is_text(given.refresh_token):
        yield "refresh_token must be a non-empty str or None"
    if not isinstance(given.scopes, tuple) or not all(isinstance(s, str) for s in given.scopes):
        yield "scopes must be a collection of strings: write scopes=['read']"
