"""The end of a sign-in at the server (RFC 7009): what is sent, and what its answers mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import AuthRetryError, MemoryStore, RefreshFailed, Settings, Token, mount
from requests_authretry.oauth2 import Client, ClientCredentials, DeviceCode, RefreshToken
from requests_authretry.testing import FakeClock
from tests.oauth2.support import (
    ACCESS,
    API,
    AT_ONCE,
    ISSUER,
    REFRESH,
    SECRETS,
    Authority,
    gives,
    refuses,
    says,
)

if TYPE_CHECKING:
    from requests_authretry.testing import Line
    from tests.servers.oidc import OidcServer

URL = f"{ISSUER}/revoke"
DONE: Line = (200, {}, b"")
STALE = Token(ACCESS, refresh_token=REFRESH)


def source(authority: Authority, **options: Any) -> ClientCredentials:
    """A source whose server can revoke tokens."""
    return ClientCredentials(authority.client(**{"revocation_url": URL, **options}))


@pytest.mark.parametrize("status", [200, 204])
def test_the_refresh_token_is_revoked(status: int) -> None:
    """One POST with the client's proof; the answer is empty (section 2.2)."""
    authority = Authority((status, {}, b""))
    source(authority).revoke(authority.context(stale=STALE))
    assert authority.sent[0].url == URL
    assert authority.forms == [{"token": REFRESH, "token_type_hint": "refresh_token"}]
    assert "Authorization" in authority.sent[0].headers


def test_without_a_refresh_token_the_access_token_is_revoked() -> None:
    """As with client credentials, which bring none."""
    authority = Authority(DONE)
    source(authority).revoke(authority.context(stale=Token(ACCESS)))
    assert authority.forms == [{"token": ACCESS, "token_type_hint": "access_token"}]


def test_where_there_is_no_token_nothing_is_sent() -> None:
    """Nobody has signed in yet."""
    authority = Authority()
    source(authority).revoke(authority.context())
    assert authority.sent == []


def test_a_first_refresh_token_is_revoked_too() -> None:
    """A `RefreshToken` that was never used holds one that the server still takes."""
    authority = Authority(DONE)
    given = RefreshToken(authority.client(revocation_url=URL), REFRESH)
    given.revoke(authority.context())
    assert authority.forms == [{"token": REFRESH, "token_type_hint": "refresh_token"}]


def test_the_endpoint_stands_in_the_metadata() -> None:
    """RFC 8414 calls it ``revocation_endpoint``."""
    metadata = says({"issuer": ISSUER, "revocation_endpoint": URL})
    authority = Authority(metadata, DONE)
    source(authority, issuer=ISSUER, revocation_url=None).revoke(authority.context(stale=STALE))
    assert authority.sent[-1].url == URL


@pytest.mark.parametrize(
    ("script", "options", "said"),
    [
        ([], {}, "the client has no revocation_url, and no issuer that names one"),
        (
            [says({"issuer": ISSUER})],
            {"issuer": ISSUER},
            "names no revocation_endpoint: give revocation_url",
        ),
        (
            [says({"issuer": ISSUER, "revocation_endpoint": "http://login.example.com/r"})],
            {"issuer": ISSUER},
            "unencrypted",
        ),
    ],
)
def test_a_server_without_the_endpoint(
    script: list[Line], options: dict[str, Any], said: str
) -> None:
    """The error says what is missing, and no token was sent anywhere."""
    authority = Authority(*script)
    with pytest.raises(RefreshFailed, match=said):
        source(authority, revocation_url=None, **options).revoke(authority.context(stale=STALE))
    assert authority.forms == []


def test_a_server_in_trouble_is_asked_again() -> None:
    """A 503 with Retry-After (section 2.2.1) is retried as token requests are."""
    authority = Authority((503, {"Retry-After": "2"}, b""), DONE)
    source(authority).revoke(authority.context(stale=STALE, retry=AT_ONCE))
    assert len(authority.forms) == 2


@pytest.mark.parametrize(
    "line",
    [
        refuses("unsupported_token_type"),
        refuses("unsupported_token_type", 200),
        refuses("invalid_client", 401, error_description=f"not {REFRESH}"),
        (302, {"Location": "https://evil.example.com/"}, b""),
        (404, {"Content-Type": "text/html"}, REFRESH.encode()),
    ],
)
def test_a_refusal_is_told_without_secrets(line: Line) -> None:
    """Whatever the server repeats of the token, the error does not."""
    authority = Authority(line)
    with pytest.raises(RefreshFailed) as caught:
        source(authority).revoke(authority.context(stale=STALE))
    assert not any(secret in str(caught.value) for secret in SECRETS)
    assert len(authority.sent) == 1


def test_a_program_revokes_and_then_signs_in_anew() -> None:
    """After `revoke()` the next call asks for a token; after a refusal the old one is used."""
    authority = Authority(gives(refresh_token=REFRESH), refuses("invalid_client", 401), DONE)
    chosen = Settings(token=source(authority), origins=[API], clock=authority.clock, retry=AT_ONCE)
    held = chosen.credentials
    held.sign_in()
    with pytest.raises(AuthRetryError, match=r"invalid_client.*forget\(\)") as caught:
        held.revoke()
    assert caught.value.__context__ is None
    assert held.status().is_renewable
    held.revoke()
    assert not held.status().has_token


def test_the_url_is_checked_with_the_others() -> None:
    """A revocation endpoint gets secrets, and so is https."""
    with pytest.raises(ValueError, match=r"revocation_url .*unencrypted"):
        Client("my-app", token_url=f"{ISSUER}/token", revocation_url="http://login.example.com/r")


def test_with_the_real_server(oidc: OidcServer, api: str) -> None:
    """The server takes neither the refresh token nor its access token any more."""
    store = MemoryStore()
    client = Client(*oidc.app, issuer=oidc.issuer)
    chosen = Settings(token=RefreshToken(client, oidc.seed()), origins=[api], store=store)
    with requests.Session() as session:
        mounted = mount(session, chosen)
        assert session.get(f"{api}/bearer").status_code == 200
        record = json.loads(store.read(mounted.credentials.status().key) or "")
        mounted.credentials.revoke()
        assert not mounted.credentials.status().has_token
    again = RefreshToken(client, record["refresh_token"])
    with pytest.raises(RefreshFailed, match="invalid_grant"):
        Settings(token=again, origins=[api]).credentials.token()


def test_sign_in_prompts_with_the_real_server(oidc: OidcServer, api: str) -> None:
    """A `DeviceCode` prompts at `sign_in()`, and the first call asks nobody."""
    asked: list[str] = []

    def prompt(sign_in: Any) -> None:
        asked.append(sign_in.url)
        oidc.approve(sign_in.code)

    given = DeviceCode(
        Client(*oidc.app, issuer=oidc.issuer), ["openid", "offline_access"], prompt=prompt
    )
    with requests.Session() as session:
        mounted = mount(session, Settings(token=given, origins=[api], clock=FakeClock()))
        status = mounted.credentials.sign_in()
        assert session.get(f"{api}/bearer").status_code == 200
        mounted.credentials.forget()
        assert mounted.credentials.sign_in().has_token
    assert status.is_renewable
    assert len(asked) == 2
