"""Identity: what tells apart the callers whose requests a server counts apart.

Two callers with different credentials have rate limits of their own. A caller is recognized by the
`Authorization` header, else by headers that carry an API key, else by the cookies that the caller
set and by API keys in the query and tokens in the path; and in any case by the client certificate.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from .http import HANDSHAKES, signs_each_request
from .origin import token_in_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_KEY: Final = re.compile(
    r"(?:.*-)?(?:api-?keys?|api-?token|api-?secret"
    r"|(?:access|auth|account|app|application|project|server|service|session|subscription|user)"
    r"-?(?:key|token))"
)
"""The form of most names under which public APIs expect a key of the caller."""

_OTHER_KEYS: Final = frozenset(
    {
        "private-token",  # GitLab
        "job-token",
        "deploy-token",
        "circle-token",
        "token",
        "x-consul-token",
        "x-emby-token",
        "x-figma-token",
        "x-finnhub-token",
        "x-functions-key",  # Azure Functions
        "x-honeycomb-team",
        "x-ibm-client-id",
        "x-jfrog-art-api",
        "x-nomad-token",
        "x-plex-token",
        "x-rapidapi-key",
        "x-riot-token",
        "x-token",
        "x-trackertoken",  # Pivotal Tracker
        "x-vault-token",
    }
)
"""Header fields with a key of the caller whose names do not show it, or not reliably."""

_KEY_PARAMETERS: Final = frozenset({"appid", "awsaccesskeyid"})
"""The same of query parameters; OpenWeather has the first."""

_GOOGLE_KEY: Final = "key"
_LOOKS_LIKE_A_KEY: Final = re.compile(r"[A-Za-z0-9_-]{20,}")
"""Google and others call their parameter ``key``, as databases call what is looked up."""

_DOMAIN: Final = b"requests_authretry identity"
"""Keeps these hashes apart from all other hashes of the same values."""

_SIGNATURES: Final = ("signature-input", "signature")
"""Header fields that sign a request without `Authorization` (RFC 9421 and the draft before it)."""

_PARAMETER: Final = re.compile(
    rb"(?:^|[\s,;&])([\w-]+)\*?\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s\",;&]*))"
)
_PAIR: Final = re.compile(rb"([^\s:=,]+):\S+")
"""A key and a signature, as ``AWS key:signature`` has them."""

_WITH_TOKENS: Final = frozenset({"dpop", "oauth"})
"""Schemes that come with a token, which tells callers apart as it is."""

_CREDENTIAL: Final = b"credential"
_KEY_IDS: Final = (
    b"keyid",
    b"username",
    b"oauth_token",
    b"oauth_consumer_key",
    b"client_token",
    b"id",
)
"""Where credentials that sign each request name their key, which stays the same."""


def name_of(*parts: str | bytes) -> str:
    """Return a name for a secret: a keyed hash of 64 bits, in hexadecimal digits.

    The same secret has the same name in all processes, which share cool-downs under it.
    """
    hashed = blake2b(digest_size=8, key=_DOMAIN)
    for part in parts:
        data = _bytes(part)
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()


def identity_of(
    fields: Mapping[str, str | bytes], cookies: Iterable[tuple[str, str]], url: str
) -> str:
    """Return the name of the caller whose request carries these credentials; "" for nobody.

    Args:
        fields: The header fields, by their names in lower case.
        cookies: Names and values of the cookies that the caller set.
        url: Where the request goes.
    """
    if "authorization" in fields:
        authorization = fields["authorization"]
        first, _, rest = _bytes(authorization).partition(b" ")
        scheme = first.lower().decode("latin-1")
        if scheme not in HANDSHAKES:
            key = _key_id(scheme, rest) if signs_each_request(scheme) else None
            return name_of(authorization) if key is None else name_of(scheme, key)
    for field in _SIGNATURES:
        key = _parameters(fields[field]).get(b"keyid") if field in fields else None
        if key is not None:
            return name_of("signature", key)
    found = sorted((name, _bytes(value)) for name, value in fields.items() if is_key(name))
    if not found:
        pairs = {*cookies, *keys_in(url)}
        found = sorted((name, _bytes(value)) for name, value in pairs)
    return name_of(*(part for pair in found for part in pair)) if found else ""


def with_certificate(identity: str, certificate: str | bytes) -> str:
    """Return the name of a caller who shows a client certificate, too.

    Args:
        identity: The name of the caller by all else.
        certificate: Where the certificate is. What is in it may be renewed.
    """
    return name_of(certificate, identity)


def _parameters(text: str | bytes) -> dict[bytes, bytes]:
    """Return the first value of each parameter that has one, by its name in lower case."""
    found: dict[bytes, bytes] = {}
    for name, quoted, bare in _PARAMETER.findall(_bytes(text)):
        if quoted or bare:
            found.setdefault(name.lower(), quoted or bare)
    return found


def _key_id(scheme: str, signed: bytes) -> bytes | None:
    """Return what names the key of credentials that sign a request; None if nothing does."""
    found = _parameters(signed)
    if _CREDENTIAL in found:  # behind the key of AWS and its like stand the date and the service
        return found[_CREDENTIAL].partition(b"/")[0]
    key = next((found[name] for name in _KEY_IDS if name in found), None)
    pair = None if key or scheme in _WITH_TOKENS else _PAIR.fullmatch(signed.strip())
    return pair[1] if pair else key


@lru_cache(maxsize=256)
def is_key(name: str) -> bool:
    """Whether a header field of this name, in lower case, carries a key of the caller."""
    name = name.replace("_", "-")
    return name in _OTHER_KEYS or _KEY.fullmatch(name) is not None


def keys_in(url: str) -> Iterable[tuple[str, str]]:
    """Return the parameters of a query that carry a key of the caller, and the token in a path."""
    try:
        parts = urlsplit(url)
    except ValueError:  # requests refuses such a URL when it sends
        return ()
    token = token_in_path(parts.path)
    found = [
        (f"?{name}", value)
        for name, value in parse_qsl(parts.query)
        if name.lower() in _KEY_PARAMETERS
        or _KEY.fullmatch(name.lower().replace("_", "-"))
        or (name.lower() == _GOOGLE_KEY and _LOOKS_LIKE_A_KEY.fullmatch(value))
    ]
    return [*found, ("/", token)] if token else found


def _bytes(text: str | bytes) -> bytes:
    return text.encode(errors="surrogatepass") if isinstance(text, str) else text
