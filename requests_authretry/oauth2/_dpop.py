"""DPoP: prove with each attempt that the sender has the key of a token (RFC 9449)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from .._core.origin import Origin

if TYPE_CHECKING:
    from .._core.token import Token
    from ._keys import Key

_NONCE = re.compile(r"[!#-\[\]-~]{1,1024}")
"""The characters of section 8.1; the bound is ours."""


class Proofs:
    """Makes proofs, and keeps the last nonce of each origin. Safe to use from many threads."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self._nonces: dict[Origin, str] = {}

    def proof(self, method: str, url: str, token: Token | None, now: float) -> str:
        """Return the value of the ``DPoP`` header (section 4.2); token requests have no token."""
        parts = urlsplit(url)
        claims: dict[str, Any] = {
            "jti": uuid4().hex,
            "htm": method,
            "htu": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
            "iat": int(now),
        }
        if token is not None:
            digest = sha256(token.value.encode("ascii")).digest()
            claims["ath"] = urlsafe_b64encode(digest).rstrip(b"=").decode()
        origin = Origin.of(url)
        nonce = self._nonces.get(origin) if origin else None
        if nonce is not None:
            claims["nonce"] = nonce
        return self.key.sign({"typ": "dpop+jwt", "jwk": self.key.public}, claims)

    def learn(self, url: str, nonce: str) -> None:
        """Use this nonce in the next proofs for the origin of the URL (section 8.2)."""
        origin = Origin.of(url)
        if origin is not None and _NONCE.fullmatch(nonce):
            self._nonces[origin] = nonce
