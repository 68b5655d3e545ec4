"""Where an issuer's endpoints are: its metadata, read once (RFC 8414, OpenID Connect Discovery)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .._core.document import read_object
from .._core.http import OK
from .._core.origin import redacted
from .._errors import RefreshFailed
from ._answers import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import Response

    from ._client import Client

    Get = Callable[[str], Response]

_FIELDS = {"token_url": "token_endpoint", "device_url": "device_authorization_endpoint"}


def address(client: Client, get: Get, endpoint: str) -> str:
    """Find an endpoint: where the client was told, else where its issuer says.

    Args:
        client: Whose; its ``metadata`` is filled at the first need.
        get: Fetches a URL of the issuer.
        endpoint: ``token_url`` or ``device_url``.

    Raises:
        RefreshFailed: It is not to be found.
    """
    given: str | None = getattr(client, endpoint)
    if given is not None:
        return given
    found = client.metadata = client.metadata or _read(client, get)
    aliases = found.get("mtls_endpoint_aliases")
    if client.session is not None and client.session.cert and isinstance(aliases, dict):
        found = found | aliases  # the endpoints for mutual TLS (RFC 8705 section 5)
    url = found.get(_FIELDS[endpoint])
    fault = client.url_fault(url)
    if fault:
        raise RefreshFailed(f"the {_FIELDS[endpoint]} in the metadata of {client.issuer} {fault}")
    return str(url)


def _read(client: Client, get: Get) -> dict[str, Any]:
    issuer = client.issuer or ""
    for url in _places(issuer):
        response = get(url)
        status = response.status_code
        if trouble := unavailable(status):
            raise RefreshFailed(f"{redacted(url)} answered {status}", error=trouble)
        found = read_object(response.content) if status == OK else {}
        if found and found.get("issuer") != issuer:
            fault = f"is of another issuer than {issuer!r}: the name must be the very same"
            raise RefreshFailed(f"{redacted(url)} {fault}")
        if found:
            return found
    raise RefreshFailed(f"{redacted(issuer)} has no metadata: give the client its token_url")


def _places(issuer: str) -> Iterator[str]:
    """RFC 8414 section 3.1, then OpenID Connect Discovery 1.0 section 4.1."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    yield f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}"
    yield f"{issuer.rstrip('/')}/.well-known/openid-configuration"
