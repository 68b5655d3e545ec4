"""A real authorization server: oidc-provider on node, with what a test needs beside it."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypedDict

import trustme
import urllib3
from joserfc.jwk import ECKey, RSAKey

from tests.servers import npm
from tests.servers.starting import started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

HERE = Path(__file__).parent
_CLIENT_NAME = "client.test"


class ServerMissingError(Exception):
    """A server that a test needs cannot run here; the text says why, in one line."""


class Client(NamedTuple):
    """A client that the server knows."""

    id: str
    secret: str = ""


class Options(TypedDict, total=False):
    """What one server can be told.

    Attributes:
        ttl: The life of its access tokens, in whole seconds.
        jwt: Access tokens are JWTs, which it does not introspect, instead of opaque.
        dpop_nonce: A DPoP proof without a nonce of the server's is refused (RFC 9449 section 8).
        interval: The seconds that a device must let pass between two polls; 0 for no such rule.
        device_ttl: The life of its device codes, in seconds.
    """

    ttl: int
    jwt: bool
    dpop_nonce: bool
    interval: int
    device_ttl: int


@dataclass(frozen=True)
class Certificates:
    """The paths of PEM files for mutual TLS.

    Attributes:
        ca: Who signed the others: a client verifies the server by it.
        server: Key and certificate of the server.
        client: Key and certificate of the client ``cc_mtls``.
        stranger: Key and certificate of nobody, signed by nobody known.
    """

    ca: str
    server: str
    client: str
    stranger: str


@dataclass(frozen=True)
class OidcServer:
    """A running authorization server. Can be pickled and used in any thread or process.

    Attributes:
        issuer: Its issuer, the base of all its URLs.
        certificates: What a client needs, if it speaks mutual TLS.
    """

    issuer: str
    certificates: Certificates | None = None

    cc: ClassVar = Client("cc", "cc-secret")
    cc_post: ClassVar = Client("cc-post", "cc-post-secret")
    cc_jwt: ClassVar = Client("cc-jwt")
    cc_mtls: ClassVar = Client("cc-mtls")
    app: ClassVar = Client("app", "app-secret")
    app_public: ClassVar = Client("app-public")
    legacy: ClassVar = Client("legacy", "legacy-secret")
    svc: ClassVar = Client("svc")
    token_exchange: ClassVar = Client("exchange", "exchange-secret")
    rs: ClassVar = Client("rs", "rs-secret")
    username: ClassVar = "alice"
    password: ClassVar = "wonderland"

    @property
    def token_url(self) -> str:
        """Where tokens are issued."""
        return f"{self.issuer}/token"

    @property
    def device_url(self) -> str:
        """Where a device asks for its codes (RFC 8628)."""
        return f"{self.issuer}/device/auth"

    @property
    def introspection_url(self) -> str:
        """Where a resource server looks a token up (RFC 7662)."""
        return f"{self.issuer}/token/introspection"

    @property
    def revocation_url(self) -> str:
        """Where a client gives a token back (RFC 7009)."""
        return f"{self.issuer}/token/revocation"

    def seed(self, client: Client = app, jkt: str | None = None) -> str:
        """Return a refresh token as a person's consent would have given it.

        Args:
            client: Whose it is: ``app`` or ``app_public``.
            jkt: The thumbprint of the DPoP key that it is bound to, if it is (RFC 9449 section 5).
        """
        token: str = self._control("seed", client_id=client.id, jkt=jkt)["refresh_token"]
        return token

    def approve(self, user_code: str) -> None:
        """Let the person agree at the device page."""
        self._control("approve", user_code=user_code)

    def deny(self, user_code: str) -> None:
        """Let the person refuse at the device page."""
        self._control("approve", user_code=user_code, deny=1)

    def log(self) -> list[dict[str, Any]]:
        """Return the token requests since the last ``reset``, in order of arrival.

        Each has ``at`` (ms), ``client``, ``grant``, ``refresh`` (a short hash), ``status`` (None
        while it is under way or if it was never worked on), ``error`` and ``fault``.
        """
        entries: list[dict[str, Any]] = self._control("log")
        return entries

    def fault(self, kind: str = "status", count: int = 1, **more: str | int) -> None:
        """Let the next ``count`` requests to an endpoint fail; a new fault replaces the last.

        Args:
            kind: ``status`` answers with ``status`` (503), ``error`` (temporarily_unavailable) or
                a whole ``body``, and ``retry_after`` if given; ``hang`` never answers; ``drop``
                closes the connection; ``drop_after`` does so once the request has had its effect.
            count: How many requests.
            more: The above, and ``path``, the endpoint (/token).
        """
        self._control("fault", kind=kind, count=count, **more)

    def expire_all(self) -> None:
        """Make all access tokens issued so far invalid."""
        self._control("expire_all")

    def reset(self) -> None:
        """Forget faults and log."""
        self._control("reset")

    def _control(self, name: str, **fields: str | int | None) -> Any:
        given = {field: str(value) for field, value in fields.items() if value is not None}
        response = pool(self).request("GET", f"{self.issuer}/test/{name}", fields=given)
        if response.status != 200:
            raise RuntimeError(f"the authorization server failed at {name}")
        return json.loads(response.data)


def pool(server: OidcServer) -> urllib3.PoolManager:
    """Return connections to a server that no session and no adapter has a part in."""
    certificates = server.certificates
    return _pool(certificates.ca if certificates else None, os.getpid())


@cache
def _pool(ca: str | None, _process: int) -> urllib3.PoolManager:  # no connections across a fork
    return urllib3.PoolManager(maxsize=8, ca_certs=ca, retries=False)


@cache
def rsa_key() -> RSAKey:
    """The RSA key (kid ``rsa``) of the clients ``cc_jwt`` and ``svc``."""
    key: RSAKey = RSAKey.generate_key(2048, {"kid": "rsa"})
    return key


@cache
def ec_key() -> ECKey:
    """The P-256 key (kid ``ec``) of the clients ``cc_jwt`` and ``svc``."""
    key: ECKey = ECKey.generate_key("P-256", {"kid": "ec"})
    return key


@contextmanager
def serve_oidc(*, mtls: bool = False, **options: Unpack[Options]) -> Iterator[OidcServer]:
    """Run an authorization server on a free port of 127.0.0.1.

    Args:
        mtls: It speaks https, asks clients for a certificate and knows the client ``cc_mtls``.
        options: See `Options`.

    Raises:
        ServerMissingError: There is no node or npm here, or the packages cannot be installed.
    """
    if missing := npm.missing(HERE):
        raise ServerMissingError(missing)
    with tempfile.TemporaryDirectory(prefix="oidc-") as directory:
        certificates = _certificates(Path(directory)) if mtls else None
        setup = {
            **options,
            "keys": [key.as_dict(private=False) for key in (rsa_key(), ec_key())],
            "tls": certificates and {**vars(certificates), "name": _CLIENT_NAME},
        }
        with _node(json.dumps(setup)) as issuer:
            yield OidcServer(issuer, certificates)


@contextmanager
def _node(setup: str) -> Iterator[str]:
    """Run the server; it ends with its standard input, so that none outlives a killed test run."""

    def launch() -> Popen[str]:
        command = ["node", str(HERE / "op.mjs"), setup]  # looked for on PATH before
        return Popen(command, stdin=PIPE, stdout=PIPE, text=True)  # noqa: S603 (our own words)

    process, said = started("the authorization server", launch, _first_line)
    with process:
        try:
            yield json.loads(said)["issuer"]
        finally:
            process.kill()


def _first_line(process: Popen[str]) -> str | None:
    assert process.stdout is not None
    return process.stdout.readline() or None


def _certificates(directory: Path) -> Certificates:
    ca, nobody = trustme.CA(), trustme.CA()
    paths = {name: str(directory / f"{name}.pem") for name in Certificates.__annotations__}
    ca.cert_pem.write_to_path(paths["ca"])
    leaves = {
        "server": ca.issue_cert("127.0.0.1"),
        "client": ca.issue_cert(_CLIENT_NAME),
        "stranger": nobody.issue_cert(_CLIENT_NAME),
    }
    for name, leaf in leaves.items():
        leaf.private_key_and_cert_chain_pem.write_to_path(paths[name])
    return Certificates(**paths)
