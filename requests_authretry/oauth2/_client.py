"""`Client`: a client of an authorization server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlsplit

import requests
from requests.auth import _basic_auth_str

from .._core.arguments import checks_arguments
from .._core.copying import CopiedAsItself
from .._core.origin import Origin, redacted
from .._core.token import secret as hide
from .._core.token_answer import TOKEN_FIELDS
from .._core.validation import flag, instance, is_text, nearest, quoted, refuse, text
from .._errors import RefreshFailed
from .._tokens.server_clocks import ServerClocks
from ._dpop import Proofs
from ._keys import Key, hidden

if TYPE_CHECKING:
    from collections.abc import Iterable

BASIC = "client_secret_basic"
POST = "client_secret_post"
SIGNED = "private_key_jwt"
NONE = "none"
ENCODED, RAW = "encoded", "raw"
_METHODS = (BASIC, POST, SIGNED, NONE)
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 60.0
"""How long the client's assertion is good; each attempt makes its own."""

KeyLike = Key | str | bytes | dict[str, Any]


@checks_arguments()
class Client(CopiedAsItself):
    """A client of an authorization server: its name, its proof, and the server's endpoints.

    Immutable and safe to share between threads and sources. Neither repr nor a pickle holds its
    secrets: a client from a pickle raises `RefreshFailed` when a token is wanted.

    The token endpoint is https, or http on this machine. Requests to it go through a session of
    their own: never through one that the library is mounted on.

    Args:
        client_id: The name the authorization server knows (RFC 6749 section 2.2).
        secret: The client's secret, None for a public client and for other proofs.
        issuer: The authorization server's name, a URL from which its metadata is read once
            (RFC 8414, or OpenID Connect Discovery). The arguments below win over the metadata.
        token_url: The token endpoint; needed without an issuer.
        device_url: The device authorization endpoint (RFC 8628).
        revocation_url: The revocation endpoint (RFC 7009), for `Credentials.revoke`.
        auth: How the client proves its name: ``client_secret_basic`` (the default with a
            secret, unless the metadata names ``client_secret_post`` alone), ``client_secret_post``,
            ``private_key_jwt`` (the default with a key) or ``none``: a public client, or mutual TLS
            (RFC 8705) with the certificate in ``session.cert``.
        basic: How ``client_secret_basic`` writes name and secret: ``encoded`` as in a form (RFC
            6749 section 2.3.1), or ``raw``, for a server that does not decode them. They differ
            for secrets with characters such as ``+``, ``/`` and ``=``.
        key: The private key of ``private_key_jwt`` (RFC 7523): a `Key`, PEM or a JWK.
        dpop: Binds the tokens to a key (RFC 9449): a `Key`, PEM or a JWK; True makes a key for
            the life of this object, so that no other process can use its tokens.
        session: A session whose ``cert``, ``verify``, ``proxies``, headers and adapters are used,
            for mutual TLS, a private CA or a proxy. The library may be mounted on it.
        allow_http: Whether the token endpoint may be plain http on another machine.
        fields: What the token endpoint calls ``access_token``, ``token_type``, ``expires_in``,
            ``expires_at``, ``refresh_token``, ``scope``, ``error`` or ``error_description``, where
            it has a name of its own: ``{"access_token": "data.token"}`` is the member ``token`` of
            the object ``data``. The usual name is not looked at then.
        strict: Whether an answer must be as RFC 6749 section 5.1 has it: a 200, in JSON, with a
            ``token_type`` that is Bearer or DPoP, and an ``expires_in`` that is a number of
            seconds. Otherwise endpoints may depart from it in ways that do no harm.

    Raises:
        ConfigurationError: An argument cannot work; all faults are named together.
    """

    def __init__(  # noqa: PLR0913 (the properties of a client)
        self,
        client_id: str,
        secret: str | None = None,
        *,
        issuer: str | None = None,
        token_url: str | None = None,
        device_url: str | None = None,
        revocation_url: str | None = None,
        auth: str | None = None,
        basic: str = ENCODED,
        key: KeyLike | None = None,
        dpop: KeyLike | bool = False,
        session: requests.Session | None = None,
        allow_http: bool = False,
        fields: Mapping[str, str] | None = None,
        strict: bool = False,
    ) -> None:
        self.client_id: str = client_id
        secret = hide(secret)
        self.secret: str | None = secret
        key, dpop = hidden(key), hidden(dpop)
        self.issuer: str | None = issuer
        self.token_url: str | None = token_url
        self.device_url: str | None = device_url
        self.revocation_url: str | None = revocation_url
        self.auth: str | None = auth
        self.basic: str = basic
        self.session: requests.Session | None = session
        self.allow_http: bool = allow_http
        self.fields: Mapping[str, str] = {} if fields is None else fields
        self.strict: bool = strict
        refuse("Client", _faults(self, has_key=key is not None))
        self.fields = dict(self.fields)
        self.key: Key | None = None if key is None else Key.of(key)
        self.prover: Proofs | None = None
        if dpop not in (False, None):
            self.prover = Proofs(Key.generate() if dpop is True else Key.of(dpop))
        self.metadata: dict[str, Any] = {}
        self.clocks: ServerClocks = ServerClocks()

    def proof(self, url: str, audience: str, now: float) -> tuple[dict[str, str], dict[str, str]]:
        """Return the fields and the headers that prove the client's name in one token request.

        Args:
            url: The token endpoint.
            audience: The audience of a signed proof.
            now: POSIX time in seconds, by the clock of the server where it is known.

        Raises:
            RefreshFailed: The secret was lost in a pickle.
        """
        form, headers = {"client_id": self.client_id}, {}
        method = self._method()
        if method == SIGNED and self.key is not None:
            claims = {"iss": self.client_id, "sub": self.client_id, "aud": audience}
            form["client_assertion_type"] = _ASSERTION_TYPE
            form["client_assertion"] = self.key.assertion(claims, now, ASSERTION_SECONDS)
        elif method == POST:
            form["client_secret"] = self._secret()
        elif method == BASIC:
            # Both are form-encoded first (RFC 6749 section 2.3.1), unless the server cannot decode.
            write = str.encode if self.basic == RAW else quote_plus
            basic = _basic_auth_str(write(self.client_id), write(self._secret()))
            form, headers = {}, {"Authorization": basic}
        if self.prover is not None:
            headers["DPoP"] = self.prover.proof("POST", url, None, now)
        return form, headers

    def _method(self) -> str:
        """Return the proof that the arguments name or imply; for a secret, ask the metadata."""
        if self.auth is not None:
            return self.auth
        if self.key is not None:
            return SIGNED
        if self.secret is None:
            return NONE
        supported = self.metadata.get("token_endpoint_auth_methods_supported")
        named = supported if isinstance(supported, list) else [BASIC]
        return POST if POST in named and BASIC not in named else BASIC

    def _secret(self) -> str:
        if not self.secret:
            raise RefreshFailed("the client's secret was lost in a pickle: make the client anew")
        return self.secret

    def digest(self, *parts: object, anywhere: bool = False) -> str:
        """Return a short name for an identity, from which its parts cannot be read.

        Args:
            *parts: The values that tell it from other identities of this client.
            anywhere: Whether to leave out the server, which may be named in two ways.
        """
        bound = self.prover.key.thumbprint if self.prover else None
        where = None if anywhere else self.issuer or self.token_url
        # An answer may hold the tokens of several identities.
        whose = [self.fields["access_token"]] if "access_token" in self.fields else []
        whole = [where, self.client_id, bound, *parts, *whose]
        text = json.dumps(whole, sort_keys=True, default=str)
        return sha256(text.encode()).hexdigest()[:16]

    def url_fault(self, url: object) -> str | None:
        """Return the fault of an endpoint's URL; None if it may be used."""
        origin = Origin.of(url) if isinstance(url, str) else None
        if origin is None:
            return "is no URL like 'https://login.example.com/token'"
        parts = urlsplit(str(url))
        if parts.fragment or "@" in parts.netloc:
            return f"{redacted(str(url))!r} must have no user and no fragment"
        if not origin.is_safe(allow_http=self.allow_http):
            return (
                f"{redacted(str(url))!r} would send credentials unencrypted: use https, or say "
                "allow_http=True"
            )
        return None

    def __repr__(self) -> str:
        """Show the name and the server, without secrets."""
        where = self.issuer or redacted(self.token_url)
        return f"Client({self.client_id!r}, {where!r})"


def _faults(given: Any, *, has_key: bool) -> Iterable[str | None]:
    yield text("client_id", given.client_id)
    if given.secret is not None and not is_text(given.secret):
        yield "secret must be a non-empty str or None"
    if given.issuer is None and given.token_url is None:
        yield "give the issuer, or the token_url"
    for name in ("issuer", "token_url", "device_url", "revocation_url"):
        value = getattr(given, name)
        fault = None if value is None else given.url_fault(value)
        yield fault and f"{name} {fault}"
    if isinstance(given.issuer, str) and "?" in given.issuer:
        yield "issuer has a query, which no issuer has (RFC 8414 section 2)"
    if given.session is not None:
        yield instance("session", given.session, requests.Session)
    yield flag("allow_http", given.allow_http)
    yield from _faults_of_proof(given, has_key=has_key)
    yield from _faults_of_answers(given)


def _faults_of_proof(given: Any, *, has_key: bool) -> Iterable[str]:
    if given.auth is not None and given.auth not in _METHODS:
        yield f"auth must be one of {', '.join(_METHODS)}, not {given.auth!r}"
    if given.auth in (BASIC, POST) and not given.secret:
        yield f"auth={given.auth!r} needs a secret"
    if given.auth == SIGNED and not has_key:
        yield f"auth={SIGNED!r} needs a key"
    if given.basic not in (ENCODED, RAW):
        yield f"basic must be {ENCODED!r} or {RAW!r}, not {quoted(given.basic)}"
    elif given.basic == RAW and ":" in str(given.client_id):
        yield f"basic={RAW!r} cannot send a client_id with a colon (RFC 7617 section 2)"


def _faults_of_answers(given: Any) -> Iterable[str | None]:
    yield flag("strict", given.strict)
    if not isinstance(given.fields, Mapping) or not all(map(is_text, given.fields.values())):
        yield "fields must be a mapping of names to names, such as {'access_token': 'token'}"
        return
    for name in given.fields:
        if name not in TOKEN_FIELDS:
            near = nearest(str(name), TOKEN_FIELDS)
            ways = f"did you mean {near}?" if near else f"there are {', '.join(TOKEN_FIELDS)}"
            yield f"fields has the unknown name {quoted(name)}; {ways}"
