"""A real authorization server behind a proxy, which lets it answer as other servers do."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from urllib3.util import make_headers

from requests_authretry import FetchContext, MemoryStore
from requests_authretry.oauth2 import Client, ClientCredentials, Password, RefreshToken
from tests.oauth2.support import mounted
from tests.servers.oidc import pool
from tests.support.wire import Wire, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.oidc import OidcServer
    from tests.support.wire import Action, Arrived

    Fields = dict[str, Any]
    Rewrite = Callable[[Fields], tuple[int, str, bytes]]

READ = ["api:read"]


def written(
    fields: Fields,
    *,
    status: int = 200,
    form: bool = False,
    without: tuple[str, ...] = (),
    **others: object,
) -> tuple[int, str, bytes]:
    """An answer with this status and other fields, in JSON or as a form."""
    left = {name: value for name, value in {**fields, **others}.items() if name not in without}
    if form:
        return status, "application/x-www-form-urlencoded", urlencode(left).encode()
    return status, "application/json", json.dumps(left).encode()


def in_envelope(fields: Fields) -> tuple[int, str, bytes]:
    """The same with names of its own."""
    tokens = {"token": fields["access_token"], "refresh": fields.get("refresh_token")}
    return written({"data": {"tokens": tokens, "ttl": str(fields["expires_in"])}})


NAMES = {
    "access_token": "data.tokens.token",
    "refresh_token": "data.tokens.refresh",
    "expires_in": "data.ttl",
}
REWRITES: dict[str, tuple[Rewrite, Fields]] = {
    "as it is": (written, {}),
    "as it is, strictly": (written, {"strict": True}),
    "201": (partial(written, status=201), {}),
    "a form": (partial(written, form=True), {}),
    "a form, 201": (partial(written, form=True, status=201), {}),
    "no expires_in": (partial(written, without=("expires_in",)), {}),
    "an absurd expires_in": (partial(written, expires_in=-1), {}),
    "expires_in as a text": (partial(written, expires_in="60.0"), {}),
    "no token_type": (partial(written, without=("token_type",)), {}),
    "token_type bot": (partial(written, token_type="bot"), {}),
    "token_type BearerToken": (partial(written, token_type="BearerToken"), {}),
    "all of it": (
        partial(written, form=True, status=201, without=("expires_in", "scope"), token_type="user"),
        {},
    ),
    "other names": (in_envelope, {"fields": NAMES}),
}


@contextmanager
def rewriting(
    oidc: OidcServer, rewrite: Rewrite, *, refusal: Action | None = None
) -> Iterator[str]:
    """The token endpoint of a proxy that changes good answers, and gives one for all refusals."""

    def forward(arrived: Arrived) -> Action:
        kept = ("Authorization", "Content-Type")
        headers = {name: arrived.headers[name] for name in kept if name in arrived.headers}
        given = pool(oidc).request("POST", oidc.token_url, body=arrived.body, headers=headers)
        if given.status != 200:
            kind = given.headers["Content-Type"]
            return refusal or answer(given.status, given.data, ("Content-Type", kind))
        status, kind, body = rewrite(json.loads(given.data))
        return answer(status, body, ("Content-Type", kind))

    with Wire(otherwise=forward) as wire:
        yield f"{wire.url}token"


def source_of(grant: str, oidc: OidcServer, url: str, options: Fields) -> Any:
    """A source of a grant that needs no person, with this token endpoint."""
    if grant == "client credentials":
        return ClientCredentials(Client(*oidc.cc, token_url=url, **options), READ)
    if grant == "refresh token":
        return RefreshToken(Client(*oidc.app, token_url=url, **options), oidc.seed())
    client = Client(*oidc.legacy, token_url=url, **options)
    return Password(client, oidc.username, oidc.password, READ)


@pytest.mark.parametrize("name", REWRITES)
@pytest.mark.parametrize("grant", ["client credentials", "refresh token", "password"])
def test_renewals_whatever_the_answers_look_like(
    oidc: OidcServer, api: str, name: str, grant: str
) -> None:
    """Three tokens with rotation: each refresh token is spent once, and no call fails."""
    rewrite, options = REWRITES[name]
    with rewriting(oidc, rewrite) as url:
        source = source_of(grant, oidc, url, options)
        with mounted(source, api, store=MemoryStore()) as session:
            for _ in range(3):
                assert session.get(f"{api}/get").status_code == 200
                oidc.expire_all()
    log = oidc.log()
    assert [entry["status"] for entry in log] == [200] * 3
    spent = [entry["refresh"] for entry in log if entry["refresh"]]
    assert len(set(spent)) == len(spent) == {"refresh token": 3, "password": 2}.get(grant, 0)


def test_threads_spend_a_rotating_refresh_token_once(oidc: OidcServer, api: str) -> None:
    """Eight threads meet an expired token at once: one renewal, and eight times 200."""
    rewrite, options = REWRITES["all of it"]
    with rewriting(oidc, rewrite) as url, ThreadPoolExecutor(8) as threads:
        source = RefreshToken(Client(*oidc.app, token_url=url, **options), oidc.seed())
        with mounted(source, api, store=MemoryStore()) as session:
            for _ in range(3):
                calls = [threads.submit(session.get, f"{api}/get") for _ in range(8)]
                assert [call.result().status_code for call in calls] == [200] * 8
                oidc.expire_all()
    assert [entry["status"] for entry in oidc.log()] == [200] * 3


@pytest.mark.parametrize(
    "refusal",
    [
        answer(401),
        answer(403, b"<html>", ("Content-Type", "text/html")),
        answer(400, b'{"error": "invalid_request"}', ("Content-Type", "application/json")),
        answer(200, b"error=bad_refresh_token", ("Content-Type", "text/plain")),
        None,
    ],
)
def test_a_revoked_refresh_token_costs_a_sign_in(
    oidc: OidcServer, api: str, refusal: Action | None
) -> None:
    """The user's refresh token is revoked: the next renewal signs in again with the password."""
    kept: Fields = {}

    def keep(fields: Fields) -> tuple[int, str, bytes]:
        kept.update(fields)
        return written(fields)

    with rewriting(oidc, keep, refusal=refusal) as url:
        client = Client(*oidc.legacy, token_url=url)
        source = Password(client, oidc.username, oidc.password, READ)
        with mounted(source, api, store=MemoryStore()) as session:
            assert session.get(f"{api}/get").status_code == 200
            revoke(oidc, kept["refresh_token"])
            oidc.expire_all()
            assert session.get(f"{api}/get").status_code == 200
    grants = [(entry["grant"], entry["error"]) for entry in oidc.log()]
    assert grants == [("password", None), ("refresh_token", "invalid_grant"), ("password", None)]


def revoke(oidc: OidcServer, refresh_token: str) -> None:
    """Give a refresh token of the client ``legacy`` back (RFC 7009)."""
    client = make_headers(basic_auth=f"{oidc.legacy.id}:{oidc.legacy.secret}")
    given = pool(oidc).request(
        "POST",
        oidc.revocation_url,
        body=urlencode({"token": refresh_token}),
        headers={"Content-Type": "application/x-www-form-urlencoded", **client},
    )
    assert given.status == 200


def test_the_end_of_a_real_jwt(oidc_server: Callable[..., OidcServer]) -> None:
    """An answer without ``expires_in`` whose token is a JWT: its ``exp`` is the token's end."""
    server = oidc_server(jwt=True, ttl=600)
    rewrite, _ = REWRITES["no expires_in"]
    with rewriting(server, rewrite) as url:
        source = ClientCredentials(Client(*server.cc, token_url=url), READ)
        before = time.time()
        found = source.fetch(FetchContext(None, timeout=60))
        after = time.time()
    assert found.value.count(".") == 2
    assert found.expires_at is not None
    assert before + 598 <= found.expires_at <= after + 600
