"""Identity: what tells apart the callers whose requests a server counts apart.

Two callers with different credentials have rate limits of their own. A caller is recognized by the
`Authorization` header, else by a header that carries an API key, else by the cookies that the
caller set.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from .http import signs_each_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEY_FIELDS: Final = (
    "x-api-key",
    "api-key",
    "apikey",
    "x-apikey",
    "x-api-token",
    "x-auth-token",
    "x-access-token",
    "x-auth-key",
    "private-token",  # GitLab
    "job-token",
    "deploy-token",
    "ocp-apim-subscription-key",  # Azure API Management
    "x-rapidapi-key",
    "x-goog-api-key",
    "x-shopify-access-token",
    "x-vault-token",
    "x-figma-token",
    "dd-api-key",  # Datadog
    "x-functions-key",  # Azure Functions
    "x-riot-token",
    "circle-token",
)
"""Header fields, in lower case, in which public APIs expect a key of the caller."""

_DOMAIN: Final = b"requests_authretry identity"
"""Keeps these hashes apart from all other hashes of the same values."""

_KEY_IDS: Final = tuple(
    re.compile(rf"(?:^|[\s,]){name}\s*=\s*\"?([^\",/\s]+)".encode(), re.IGNORECASE)
    for name in ("credential", "keyid", "username", "oauth_token", "oauth_consumer_key", "id")
)
"""Where credentials that sign each request name their key, which stays the same."""


def name_of(*parts: str | bytes) -> str:
    """Return a name for a secret: a keyed hash of 64 bits, in hexadecimal digits.

    The same secret has the same name in all processes, which share cool-downs under it.
    """
    hashed = blake2b(digest_size=8, key=_DOMAIN)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()


def identity_of(
    authorization: str | bytes | None,
    fields: Mapping[str, str | bytes],
    cookies: Iterable[tuple[str, str]],
) -> str:
    """Return the name of the caller whose request carries these credentials; "" for nobody.

    Args:
        authorization: The `Authorization` header; None if there is none.
        fields: The other header fields.
        cookies: Names and values of the cookies that the caller set.
    """
    if authorization is not None:
        if isinstance(authorization, str):
            authorization = authorization.encode("utf-8", "surrogatepass")
        scheme = authorization.partition(b" ")[0].lower().decode("latin-1")
        if not signs_each_request(scheme):
            return name_of(authorization)
        found = next(filter(None, (form.search(authorization) for form in _KEY_IDS)), None)
        return scheme if found is None else name_of(scheme, found[1])
    for field in KEY_FIELDS:
        if field in fields:
            return name_of(field, fields[field])
    crumbs = sorted(cookies)
    return name_of(*(part for crumb in crumbs for part in crumb)) if crumbs else ""
