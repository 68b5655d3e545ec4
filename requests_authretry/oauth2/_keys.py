"""Private keys, which sign assertions and proofs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from .._core.arguments import checks_arguments
from .._core.copying import CopiedAsItself
from .._core.token import Secret
from .._core.validation import ConfigurationError
from .._errors import RefreshFailed

_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_PUBLIC = ("kty", "crv", "x", "y", "n", "e")
_KINDS: dict[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_UNREADABLE = (ValueError, TypeError, KeyError, RecursionError, JoseError)


@checks_arguments()
class Key(CopiedAsItself):
    """A private key that signs for a client (RFC 7523) or proves possession (RFC 9449).

    Immutable and safe to share between threads. Neither repr nor a pickle holds the key: a `Key`
    from a pickle cannot sign.

    Args:
        private: PEM (str or bytes, unencrypted), or a JWK (a mapping, or its JSON).
        algorithm: A JWS algorithm; None: the JWK's own, else RS256, or ES256, ES384, ES512 by the
            curve. Name it for an Ed25519 key, as servers do not agree on its name.
        key_id: The ``kid`` of the header; None: the JWK's own, if it has one.

    Raises:
        ConfigurationError: ``private`` is no private key, or cannot sign with that algorithm.
    """

    def __init__(
        self,
        private: str | bytes | Mapping[str, Any],
        *,
        algorithm: str | None = None,
        key_id: str | None = None,
    ) -> None:
        """Read the key, and sign once to see that it can."""
        private = self._given = _text(private)
        jwk = _jwk(private)
        if jwk is None or not jwk.is_private:
            raise ConfigurationError(
                "Key", ["private must be a private key: the text of a PEM file, or a JWK"]
            )
        self.key_id: str | None = key_id or jwk.kid
        by_kind = _ALGORITHMS.get(jwk.curve_name, "") if isinstance(jwk, ECKey) else "RS256"
        self.algorithm: str = algorithm or jwk.alg or by_kind
        members = jwk.as_dict(private=False)
        self.public: dict[str, str] = {name: members[name] for name in _PUBLIC if name in members}
        self.thumbprint: str = str(jwk.thumbprint())
        self._jwk = jwk
        try:
            self.sign(self._header, {})
        except (ValueError, TypeError, KeyError, JoseError):
            fault = "algorithm and key_id must be such as go with this key"
            raise ConfigurationError("Key", [fault]) from None

    @classmethod
    def of(cls, given: object) -> Key:
        """Return the given `Key`, or make one from PEM or a JWK."""
        return given if isinstance(given, Key) else cls(given)  # type: ignore[arg-type]

    @classmethod
    def generate(cls) -> Key:
        """Make a key for proofs, on the curve that every server takes."""
        return cls(ECKey.generate_key("P-256").as_dict(private=True))

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """Return a signed JWT.

        Raises:
            RefreshFailed: The key was lost in a pickle.
        """
        if not self._given:
            raise RefreshFailed("the private key was lost in a pickle: make the client anew")
        algorithm: object = self.algorithm  # a JWK may name anything
        if not isinstance(algorithm, str) or algorithm.lower() == "none":
            raise ValueError("a signature that is none")
        full = {"alg": algorithm, **header}
        return jwt.encode(full, dict(claims), self._jwk, algorithms=[algorithm])

    def assertion(self, claims: Mapping[str, Any], now: float, life: float) -> str:
        """Return a JWT for one use (RFC 7523 section 3).

        Args:
            claims: The claims besides ``iat``, ``exp`` and ``jti``, which they may replace.
            now: POSIX time in seconds.
            life: Seconds until the JWT expires.
        """
        times = {"iat": int(now), "exp": int(now + life), "jti": uuid4().hex}
        return self.sign({"typ": "JWT", **self._header}, {**times, **claims})

    @property
    def _header(self) -> dict[str, str]:
        return {"kid": self.key_id} if self.key_id else {}

    def __repr__(self) -> str:
        """Show nothing of the key."""
        return f"Key('***', algorithm={self.algorithm!r}, key_id={self.key_id!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave the private half out."""
        return {**vars(self), "_given": Secret(""), "_jwk": None}


def hidden(given: Any) -> Any:
    """Hide the text of a key, so that no traceback shows it; return any other value unchanged."""
    return _text(given) if isinstance(given, (str, bytes, Mapping)) else given


def _text(private: object) -> Secret:
    if isinstance(private, bytes):
        return Secret(private.decode("ascii", "replace"))
    if isinstance(private, Mapping):
        return Secret(json.dumps(dict(private), default=str))
    return Secret(private if isinstance(private, str) else "")


def _jwk(private: str) -> Any:
    """Return the key in a JWK or in PEM, None if the text is neither."""
    if private.lstrip().startswith("{"):
        with suppress(*_UNREADABLE):
            given = json.loads(private)
            return _KINDS[given["kty"]].import_key(given)
        return None
    for kind in _KINDS.values():
        with suppress(*_UNREADABLE):
            return kind.import_key(private)
    return None
