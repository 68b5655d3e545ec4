"""The forms of a secret, of a store and of a ``[token]`` table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .value_types import FLAG, TEXT, TEXTS, WORDS_BY_NAME, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE = re.compile(r"^(env:|file:|keyring:.+/).+$", re.DOTALL)
_STORE = re.compile(r"^(memory:|(env|file|keyring):.+|(rediss?|unix)://.+)$", re.DOTALL)

REFERENCE = Kind(
    '"env:NAME", "file:PATH" or "keyring:SERVICE/NAME": no secret stands in a file',
    lambda value: isinstance(value, str) and _REFERENCE.match(value) is not None,
)
STORE = Kind(
    '"file:PATH", "redis://...", "rediss://...", "unix://...", "keyring:SERVICE", "memory:" '
    'or, where one of these is in a variable, "env:NAME"',
    lambda value: isinstance(value, str) and _STORE.match(value) is not None,
)
TOKEN = Kind(
    f"a table or a reference: {REFERENCE.says}",
    lambda value: isinstance(value, dict) or REFERENCE.fits(value),
)
DPOP = Kind(
    'true, false or the key: "env:NAME", "file:PATH" or "keyring:SERVICE/NAME"',
    lambda value: FLAG.fits(value) or REFERENCE.fits(value),
)

CLIENT: Mapping[str, Kind] = {
    "client_id": TEXT,
    "client_secret": REFERENCE,
    "client_key": REFERENCE,
    "issuer": TEXT,
    "token_url": TEXT,
    "device_url": TEXT,
    "revocation_url": TEXT,
    "auth": TEXT,
    "basic": TEXT,
    "dpop": DPOP,
    "allow_http": FLAG,
    "fields": WORDS_BY_NAME,
    "strict": FLAG,
}
"""The keys that describe the `Client`."""

_ASKED: Mapping[str, Kind] = {"scopes": TEXTS, "extra": WORDS_BY_NAME, "store_key": TEXT}


@dataclass(frozen=True)
class Form:
    """One form of a ``[token]`` table.

    Attributes:
        source: The name of the class that the table becomes.
        required: The keys that it must have, and what their values may be.
        optional: The keys that it may have besides.
    """

    source: str
    required: Mapping[str, Kind]
    optional: Mapping[str, Kind]

    @property
    def keys(self) -> Mapping[str, Kind]:
        """Return all keys, and what their values may be."""
        return {**self.required, **self.optional}


def _grant(
    source: str, required: Mapping[str, Kind], optional: Mapping[str, Kind] = _ASKED
) -> Form:
    needs = {"grant": TEXT, "client_id": TEXT, **required}
    return Form(source, needs, {**CLIENT, **optional})


COMMAND = Form("Command", {"command": TEXTS}, {"store_key": TEXT})
GRANTS: Mapping[str, Form] = {
    "client_credentials": _grant("ClientCredentials", {}),
    "refresh_token": _grant(
        "RefreshToken",
        {"refresh_token": REFERENCE},
        {"extra": WORDS_BY_NAME, "store_key": TEXT},
    ),
    "password": _grant("Password", {"username": TEXT, "password": REFERENCE}),
    "jwt_bearer": _grant(
        "JWTBearer", {"key": REFERENCE}, {"subject": TEXT, "claims": WORDS_BY_NAME, **_ASKED}
    ),
    "token_exchange": _grant(
        "TokenExchange",
        {"subject_token": REFERENCE},
        {"actor_token": REFERENCE, "subject_token_type": TEXT, "actor_token_type": TEXT, **_ASKED},
    ),
    "device_code": _grant("DeviceCode", {}),
}
"""What each grant of `requests_authretry.oauth2` takes, by its name in RFC 6749 and its kin."""
