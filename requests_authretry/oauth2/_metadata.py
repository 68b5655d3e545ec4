"""Where an issuer's endpoints are: its metadata, read once (RFC 8414, OpenID Connect Discovery)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .._core.document import read_object
from .._core.http import OK
from .._core.origin import redacted
from .._errors import RefreshFailed
from ._transport import unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._client import Client
    from ._transport import Transport

_FIELDS = {"token_url": "token_endpoint", "device_url": "device_authorization_endpoint"}


def address(client: Client, transport: Transport, endpoint: str) -> str:
    """Where an endpoint is: as the client was told, else as its issuer says.

    Args:
        client: Whose; its ``metadata`` is filled at the first need.
        transport: How to get there.
        endpoint: ``token_url`` or ``device_url``.

    Raises:
        RefreshFailed: It is not to be found.
    """
    given: str | None = getattr(client, endpoint)
    if given is not None:
        return given
    found = client.metadata or _read(client, transport)
    client.metadata = found
    url = _with_aliases(client, found).get(_FIELDS[endpoint])
    fault = client.url_fault(url)
    if fault:
        raise RefreshFailed(f"the {_FIELDS[endpoint]} in the metadata of {client.issuer} {fault}")
    return str(url)


def _with_aliases(client: Client, found: dict[str, Any]) -> dict[str, Any]:
    """The metadata; with a certificate, the endpoints for mutual TLS (RFC 8705 section 5)."""
    aliases = found.get("mtls_endpoint_aliases")
    has_certificate = client.session is not None and client.session.cert
    return found | aliases if has_certificate and isinstance(aliases, dict) else found


def _read(client: Client, transport: Transport) -> dict[str, Any]:
    issuer = client.issuer or ""
    for url in _places(issuer):
        response = transport.send("GET", url)
        status = response.status_code
        if trouble := unavailable(status):
            raise RefreshFailed(f"{redacted(url)} answered {status}", error=trouble)
        if status != OK:
            continue
        found = read_object(response.content)
        if not found:
            continue
        if found.get("issuer") == issuer:
            return found
        raise RefreshFailed(
            f"{redacted(url)} is of another issuer than {issuer!r}: the name must be the very same"
        )
    raise RefreshFailed(f"{redacted(issuer)} has no metadata: give the client its token_url")


def _places(issuer: str) -> Iterator[str]:
    """RFC 8414 section 3.1, then OpenID Connect Discovery 1.0 section 4.1."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    yield f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}"
    yield f"{issuer.rstrip('/')}/.well-known/openid-configuration"
