"""Find the endpoints of an issuer in its metadata (RFC 8414, OpenID Connect Discovery)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .._core.origin import redacted
from .._errors import RefreshFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._client import Client
    from ._form import Fields

_FIELDS = {
    "token_url": "token_endpoint",
    "device_url": "device_authorization_endpoint",
    "revocation_url": "revocation_endpoint",
}


def address(client: Client, get: Callable[[str], Fields], endpoint: str) -> str:
    """Return the URL of an endpoint: from the client's arguments, or from its issuer's metadata.

    Args:
        client: The client; its ``metadata`` is filled when it is first needed.
        get: Fetches the metadata at a URL of the issuer, empty if there is none.
        endpoint: ``token_url``, ``device_url`` or ``revocation_url``.

    Raises:
        RefreshFailed: The metadata cannot be read, or does not name the endpoint.
    """
    given: str | None = getattr(client, endpoint)
    if given is not None:
        return given
    if client.issuer is None:
        raise RefreshFailed(f"the client has no {endpoint}, and no issuer that names one")
    found = client.metadata = client.metadata or _read(client, get)
    aliases = found.get("mtls_endpoint_aliases")
    if client.session is not None and client.session.cert and isinstance(aliases, dict):
        found = found | aliases  # endpoints for mutual TLS (RFC 8705 section 5)
    url = found.get(_FIELDS[endpoint])
    if url is None:
        name = _FIELDS[endpoint]
        raise RefreshFailed(f"the metadata of {client.issuer} names no {name}: give {endpoint}")
    fault = client.url_fault(url)
    if fault:
        raise RefreshFailed(f"the {_FIELDS[endpoint]} in the metadata of {client.issuer} {fault}")
    return str(url)


def _read(client: Client, get: Callable[[str], Fields]) -> Fields:
    issuer = client.issuer or ""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    for url in (
        # RFC 8414 section 3.1
        f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}",
        # OpenID Connect Discovery 1.0 section 4.1
        f"{issuer.rstrip('/')}/.well-known/openid-configuration",
    ):
        found = get(url)
        if found and found.get("issuer") != issuer:
            fault = f"is of another issuer than {issuer!r}: the name must be the very same"
            raise RefreshFailed(f"{redacted(url)} {fault}")
        if found:
            return found
    raise RefreshFailed(f"{redacted(issuer)} has no metadata: give the client its token_url")
