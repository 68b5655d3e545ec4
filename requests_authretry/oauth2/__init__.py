"""Tokens from OAuth 2 authorization servers: one source for each grant.

Needs the extra: ``pip install 'requests-authretry[oauth2]'``. The wire format is oauthlib's, the
signatures are joserfc's.

    client = Client("my-app", "secret", issuer="https://login.example.com")
    mount(session, Settings(token=ClientCredentials(client, scopes=["read"]), origins=[...]))
"""

from __future__ import annotations

try:
    import joserfc as _joserfc  # noqa: F401 (one line says which package is missing)
    import oauthlib as _oauthlib  # noqa: F401
except ImportError:
    raise ImportError(
        "requests_authretry.oauth2 needs oauthlib and joserfc: "
        "pip install 'requests-authretry[oauth2]'"
    ) from None

from .._protocols import Prover
from ._client import Client
from ._device import DeviceCode, SignIn
from ._grants import ClientCredentials, JWTBearer, Password, RefreshToken, TokenExchange
from ._keys import Key

__all__ = [
    "Client",
    "ClientCredentials",
    "DeviceCode",
    "JWTBearer",
    "Key",
    "Password",
    "Prover",
    "RefreshToken",
    "SignIn",
    "TokenExchange",
]
