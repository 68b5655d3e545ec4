"""A real resource server: any WSGI application, behind tokens that are looked up one by one."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import urllib3
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from requests_authretry.cli.demo_server import httpbin
from tests.servers.oidc import pool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from tests.servers.oidc import OidcServer

_WINDOW = 60  # seconds that the iat of a proof may be off


class _Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """A 401 with this scheme and error code."""

    def __init__(self, scheme: str, code: str | None = None) -> None:
        super().__init__(code)
        self.scheme = scheme
        self.code = code


class _Claims(NamedTuple):
    """A proof whose signature holds."""

    thumbprint: str
    payload: dict[str, Any]


class Api:
    """A WSGI application that lets in who has a live access token (RFC 6750, RFC 9449 section 7).

    A token that is bound to a key needs a proof that was made for this request and not seen before.
    Safe to use from any thread while it serves.

    Args:
        oidc: Who knows the tokens; it is asked on each request (RFC 7662).
        app: What is behind: httpbin, if nothing is given.
        nonce_every: The number of proofs for which a nonce is good; 0 asks for no nonces.
    """

    def __init__(
        self, oidc: OidcServer, app: WSGIApplication | None = None, nonce_every: int = 0
    ) -> None:
        self._oidc = oidc
        self._app = app or httpbin()
        self._nonce_every = nonce_every
        self._lock = Lock()
        self._nonce, self._nonce_uses = secrets.token_hex(8), 0
        self._proofs: set[tuple[str, str]] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, as WSGI has it (PEP 3333)."""
        try:
            self._admit(environ)
        except _Refused as refusal:
            error = f', error="{refusal.code}"' if refusal.code else ""
            algs = ', algs="ES256"' if refusal.scheme == "DPoP" else ""
            headers = [("WWW-Authenticate", f'{refusal.scheme} realm="api"{error}{algs}')]
            if refusal.code == "use_dpop_nonce":
                headers.append(("DPoP-Nonce", self._nonce))
            start_response("401 UNAUTHORIZED", [*headers, ("Content-Length", "0")])
            return [b""]
        return self._app(environ, start_response)

    def _admit(self, environ: WSGIEnvironment) -> None:
        scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        scheme = {"bearer": "Bearer", "dpop": "DPoP"}.get(scheme.lower(), "")
        if not scheme:
            raise _Refused("Bearer")  # RFC 6750 section 3.1: no error code where no token was sent
        token = self._introspect(value)
        bound_to = token.get("cnf", {}).get("jkt")
        # a refresh token has no type, and a bound token is no bearer token (RFC 9449 section 7.2)
        if not token["active"] or token.get("token_type") != scheme:
            raise _Refused("DPoP" if bound_to else scheme, "invalid_token")
        if bound_to:
            self._check_proof(environ, value, bound_to)

    def _introspect(self, value: str) -> dict[str, Any]:
        response = pool(self._oidc).request_encode_body(
            "POST",
            self._oidc.introspection_url,
            fields={"token": value},
            encode_multipart=False,
            headers=urllib3.util.make_headers(basic_auth=":".join(self._oidc.rs)),
        )
        if response.status != 200:
            raise RuntimeError(f"introspection answered {response.status}")
        found: dict[str, Any] = json.loads(response.data)
        return found

    def _check_proof(self, environ: WSGIEnvironment, token: str, bound_to: str) -> None:
        thumbprint, payload = _verified(environ.get("HTTP_DPOP", ""))
        digest = hashlib.sha256(token.encode()).digest()
        holds = (
            thumbprint == bound_to
            and payload.get("htm") == environ["REQUEST_METHOD"]
            and payload.get("htu") == _url(environ)
            and payload.get("ath") == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            and isinstance(payload.get("jti"), str)
            and isinstance(payload.get("iat"), int)
            and abs(payload["iat"] - time.time()) <= _WINDOW
        )
        if not holds:
            raise _Refused("DPoP", "invalid_dpop_proof")
        with self._lock:
            self._use_up(thumbprint, payload)

    def _use_up(self, thumbprint: str, payload: dict[str, Any]) -> None:
        """Take a proof and its nonce for used, once both are known to be good."""
        proof = (thumbprint, payload["jti"])
        if proof in self._proofs:
            raise _Refused("DPoP", "invalid_dpop_proof")
        self._proofs.add(proof)
        if not self._nonce_every:
            return
        if payload.get("nonce") != self._nonce:
            raise _Refused("DPoP", "use_dpop_nonce")
        self._nonce_uses += 1
        if self._nonce_uses == self._nonce_every:
            self._nonce, self._nonce_uses = secrets.token_hex(8), 0


def _url(environ: WSGIEnvironment) -> str:
    """The URL as the client wrote it, without its query."""
    path: str = environ["RAW_URI"].partition("?")[0]
    return f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{path}"


def _verified(proof: str) -> _Claims:
    """Check the signature of a proof against the public key that it brings (RFC 9449 4.3)."""
    try:
        header = jws.extract_compact(proof.encode()).headers()
        if header.get("typ") != "dpop+jwt" or "d" in header["jwk"]:
            raise _Refused("DPoP", "invalid_dpop_proof")
        key = ECKey.import_key(header["jwk"])
        signed = jws.deserialize_compact(proof, key, algorithms=["ES256"])
        return _Claims(key.thumbprint(), json.loads(signed.payload))
    except (JoseError, ValueError, KeyError, TypeError):
        raise _Refused("DPoP", "invalid_dpop_proof") from None
