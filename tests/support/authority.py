"""An authorization server on loopback, over TLS, as the libraries of others want to meet one."""

from __future__ import annotations

import json
import ssl
from base64 import b64decode, urlsafe_b64encode
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final
from urllib.parse import parse_qsl

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import RSAKey

from requests_authretry import RefreshDeclined, RefreshFailed, Settings, mount
from tests.support.wire import Wire, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests_authretry.cli.demo_server import DemoServer
    from tests.support.wire import Action, Arrived

CERTIFICATE = Path(__file__).with_name("self_signed.pem")
"""The key and the certificate of 127.0.0.1, who signed it himself."""

CLIENT_ID, CLIENT_SECRET = "a-client", "the-secret-of-a-client"
ACCOUNT = "robot@project.example"
LIFE = 3600

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Authority:
    """Gives access tokens that the demo server accepts, and refresh tokens for one use each.

    Attributes:
        url: Where it is, without a slash at the end.
        user: Who signs in to public clients.
        key: The key of the service account `ACCOUNT`.
        asked: The form of each token request, in order.
        claims: The claims of the last assertion (RFC 7523) whose signature was right.
        refresh_token: The one that is good now.
        rotates: Whether each use of a refresh token brings another one.
        reused: How often another one came.
        error: Where it is set, the code that every token request is refused with.
    """

    def __init__(self, demo_server: DemoServer) -> None:
        """Nobody has asked yet."""
        self.url = ""
        self.user = "ada"
        self.key = _key()
        self.asked: list[dict[str, str]] = []
        self.claims: dict[str, Any] = {}
        self.refresh_token = "refresh-0"
        self.rotates = True
        self.reused = 0
        self.error: str | None = None
        self._demo_server = demo_server

    @property
    def token_endpoint(self) -> str:
        """Where tokens are asked for."""
        return f"{self.url}/tenant/oauth2/v2.0/token"

    def first_token(self) -> dict[str, Any]:
        """What somebody has who signed in before."""
        return {
            "access_token": self._demo_server.issue(),
            "token_type": "Bearer",
            "refresh_token": self.refresh_token,
        }

    def __call__(self, arrived: Arrived) -> Action:
        """Answer one request."""
        if arrived.method == "GET":
            return _said(200, self._configuration())
        form = dict(parse_qsl(arrived.body.decode()))
        self.asked.append(form)
        error = self.error or self._refusal(form, arrived.headers.get("Authorization", ""))
        if error is not None:
            return _said(400, {"error": error, "error_description": f"no: {CLIENT_SECRET}"})
        return _said(200, self._tokens(form))

    def _configuration(self) -> dict[str, Any]:
        """What msal wants to know first (OpenID Connect Discovery)."""
        return {
            "issuer": f"{self.url}/tenant/v2.0",
            "authorization_endpoint": f"{self.url}/tenant/oauth2/v2.0/authorize",
            "token_endpoint": self.token_endpoint,
        }

    def _refusal(self, form: dict[str, str], authorization: str) -> str | None:
        match form["grant_type"]:
            case "client_credentials":
                basic = b64decode(authorization.removeprefix("Basic ")).decode()
                secret = form.get("client_secret") or basic.partition(":")[2]
                return None if secret == CLIENT_SECRET else "invalid_client"
            case "refresh_token":
                if form["refresh_token"] == self.refresh_token:
                    return None
                self.reused += 1
                return "invalid_grant"
            case grant:
                assert grant == _JWT_BEARER
                decoded = jwt.decode(form["assertion"], self.key, algorithms=["RS256"])
                self.claims = decoded.claims
                return None if self.claims["iss"] == ACCOUNT else "invalid_grant"

    def _tokens(self, form: dict[str, str]) -> dict[str, Any]:
        given: dict[str, Any] = {
            "access_token": self._demo_server.issue(),
            "token_type": "Bearer",
            "expires_in": LIFE,
        }
        if form["grant_type"] == "refresh_token":
            if self.rotates:
                given["refresh_token"] = self.refresh_token = f"refresh-{len(self.asked)}"
            # what msal knows an account by
            given["client_info"] = _base64({"uid": self.user, "utid": "tenant"})
            claims = {"iss": "any", "sub": self.user, "aud": CLIENT_ID, "exp": 4e9, "iat": 1}
            given["id_token"] = f"{_base64({'alg': 'none'})}.{_base64(claims)}."
        return given


@final
class Caller:
    """Somebody who calls an API behind the demo server, and closes the session afterwards.

    Attributes:
        events: What the listeners were told.
    """

    def __init__(self, demo_server: DemoServer, url: str, source: Any, **others: Any) -> None:
        """Mount a session with this token source."""
        self.events: list[Any] = []
        self._demo_server, self._url, self._session = demo_server, url, requests.Session()
        listeners = [self.events.append]
        mount(self._session, Settings(token=source, origins=[url], listeners=listeners, **others))

    def __enter__(self) -> Caller:
        """The session is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._session.close()

    def get(self) -> int:
        """The status of one request."""
        return self._session.get(f"{self._url}/get").status_code

    def statuses(self) -> list[int | None]:
        """What is answered before and after all tokens are revoked, if all goes well in the end."""
        before = len(self._demo_server.seen)
        assert self.get() == 200
        self._demo_server.revoke()
        assert self.get() == 200
        return [seen.status for seen in self._demo_server.seen[before:]]

    def failure(self) -> RefreshFailed:
        """What a request raises; nothing of it is what the server said."""
        with pytest.raises(RefreshFailed) as caught:
            self.get()
        assert CLIENT_SECRET not in str(caught.value)
        return caught.value

    @property
    def declined(self) -> list[str]:
        """Why tokens were not renewed."""
        return [event.reason.name for event in self.events if isinstance(event, RefreshDeclined)]


@contextmanager
def serving(demo_server: DemoServer) -> Iterator[Authority]:
    """An authority that listens."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    authority = Authority(demo_server)
    with Wire(tls=context, otherwise=authority) as wire:
        authority.url = wire.url.rstrip("/")
        yield authority


def _said(status: int, fields: dict[str, Any]) -> Action:
    return answer(status, json.dumps(fields).encode(), ("Content-Type", "application/json"))


@cache
def _key() -> RSAKey:
    key: RSAKey = RSAKey.generate_key(2048)
    return key


def _base64(fields: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
