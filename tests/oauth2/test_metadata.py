"""Where endpoints are: what an issuer says of itself, when it is asked, what is believed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import ConfigurationError, FetchContext
from requests_authretry.oauth2 import Client, ClientCredentials, DeviceCode, Key
from tests.oauth2.support import (
    ACCESS,
    AT_ONCE,
    CLIENT_SECRET,
    ISSUER,
    Authority,
    claims_of,
    failure,
    gives,
    says,
)
from tests.support.wire import Wire, answer

if TYPE_CHECKING:
    from requests_authretry.testing import Line
    from tests.servers.oidc import OidcServer
    from tests.support.wire import Action, Arrived

OAUTH = f"{ISSUER}/.well-known/oauth-authorization-server"
OPENID = f"{ISSUER}/.well-known/openid-configuration"
NOTHING: Line = (404, {}, b"")


def metadata(issuer: str = ISSUER, **fields: object) -> Line:
    """What an issuer says of itself."""
    return says({"issuer": issuer, "token_endpoint": f"{issuer}/oauth/token"} | fields)


def asked(authority: Authority) -> list[tuple[str | None, str | None]]:
    """What was asked, and how."""
    return [(request.method, request.url) for request in authority.sent]


def test_the_real_server_is_found(oidc: OidcServer) -> None:
    """By its issuer alone, and by either of the two documents."""
    for missing in ("", "/.well-known/oauth-authorization-server"):
        oidc.reset()
        if missing:
            oidc.fault("status", status=404, path=missing)
        source = ClientCredentials(Client(*oidc.cc, issuer=oidc.issuer), ["api:read"])
        assert source.fetch(FetchContext(None, timeout=60)).value
        assert [entry["status"] for entry in oidc.log()] == [200]


def test_the_places() -> None:
    """RFC 8414 section 3.1 first, then OpenID Connect Discovery 1.0 section 4.1."""
    authority = Authority(NOTHING, metadata(), gives())
    ClientCredentials(authority.client(issuer=ISSUER)).fetch(authority.context())
    assert asked(authority) == [
        ("GET", OAUTH),
        ("GET", OPENID),
        ("POST", f"{ISSUER}/oauth/token"),
    ]


@pytest.mark.parametrize(
    ("issuer", "places"),
    [
        (
            f"{ISSUER}/tenant/a",
            [f"{OAUTH}/tenant/a", f"{ISSUER}/tenant/a/.well-known/openid-configuration"],
        ),
        (f"{ISSUER}/", [OAUTH, OPENID]),
        (f"{ISSUER}/a/", [f"{OAUTH}/a", f"{ISSUER}/a/.well-known/openid-configuration"]),
        (
            f"{ISSUER}:8443/a",
            [
                f"{ISSUER}:8443/.well-known/oauth-authorization-server/a",
                f"{ISSUER}:8443/a/.well-known/openid-configuration",
            ],
        ),
    ],
)
def test_an_issuer_with_a_path(issuer: str, places: list[str]) -> None:
    """One document inserts its name before the path, the other appends it; a last slash is none."""
    authority = Authority(NOTHING, metadata(issuer), gives())
    ClientCredentials(authority.client(issuer=issuer)).fetch(authority.context())
    assert [url for method, url in asked(authority) if method == "GET"] == places


@pytest.mark.parametrize(
    "line",
    [
        NOTHING,
        (403, {}, b""),
        (200, {}, b"<html>"),
        (301, {"Location": OPENID}, b""),
        (200, {}, b"\xff"),
    ],
)
def test_what_is_no_metadata_is_looked_for_elsewhere(line: Line) -> None:
    """A page that says it does not exist, with whatever status, counts as missing."""
    authority = Authority(line, metadata(), gives())
    ClientCredentials(authority.client(issuer=ISSUER)).fetch(authority.context())
    authority = Authority(line, line)
    error = failure(ClientCredentials(authority.client(issuer=ISSUER)), authority.context())
    assert f"{ISSUER} has no metadata: give the client its token_url" in str(error)


@pytest.mark.parametrize("issuer", [f"{ISSUER}/", "https://evil.example", ISSUER.upper(), None, 5])
def test_metadata_of_another_issuer(issuer: Any) -> None:
    """RFC 8414 section 3.3: the name must be the very same, or nothing in it is believed."""
    fields = {"issuer": issuer, "token_endpoint": "https://evil.example/token"}
    authority = Authority(says(fields), gives())
    error = failure(ClientCredentials(authority.client(issuer=ISSUER)), authority.context())
    assert f"is of another issuer than '{ISSUER}'" in str(error)
    assert len(authority.sent) == 1


def test_an_endpoint_that_is_missing() -> None:
    """The error names the argument that takes its place."""
    authority = Authority(metadata(token_endpoint=None), gives())
    error = failure(ClientCredentials(authority.client(issuer=ISSUER)), authority.context())
    said = f"the metadata of {ISSUER} names no token_endpoint: give token_url"
    assert str(error) == said
    assert authority.forms == []


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (5, "is no URL"),
        ("/token", "is no URL"),
        ("ftp://login.example.com/token", "is no URL"),
        ("http://login.example.com/token", "would send credentials unencrypted"),
        ("https://ada:pw@login.example.com/token", "must have no user"),
        ("https://login.example.com/token#x", "no fragment"),
    ],
)
def test_an_endpoint_that_cannot_be_asked(endpoint: object, words: str) -> None:
    """An address that a client would refuse is refused from metadata, too; nothing is sent."""
    authority = Authority(metadata(token_endpoint=endpoint), gives())
    error = failure(ClientCredentials(authority.client(issuer=ISSUER)), authority.context())
    assert f"the token_endpoint in the metadata of {ISSUER} " in str(error)
    assert words in str(error)
    assert "pw" not in str(error)
    assert len(authority.sent) == 1


def test_an_endpoint_at_another_host() -> None:
    """An issuer may have its endpoint elsewhere, as Google has."""
    authority = Authority(metadata(token_endpoint="https://tokens.example/token"), gives())
    ClientCredentials(authority.client(issuer=ISSUER)).fetch(authority.context())
    assert authority.sent[-1].url == "https://tokens.example/token"


def test_metadata_without_the_device_endpoint() -> None:
    """A server that does not know the device grant is told as such."""
    authority = Authority(metadata())
    error = failure(DeviceCode(authority.client(issuer=ISSUER)), authority.context())
    assert "device_authorization_endpoint" in str(error)


def test_what_is_given_wins() -> None:
    """A client that knows its endpoint does not ask for it."""
    authority = Authority(gives())
    who = authority.client(issuer=ISSUER, token_url="https://tokens.example/token")
    ClientCredentials(who).fetch(authority.context())
    assert asked(authority) == [("POST", "https://tokens.example/token")]


def test_metadata_is_read_once() -> None:
    """For all renewals and all sources of a client."""
    authority = Authority(metadata(), *[gives()] * 6)
    who = authority.client(issuer=ISSUER)
    for source in (ClientCredentials(who), ClientCredentials(who, ["read"])):
        for _ in range(3):
            source.fetch(authority.context())
    assert [method for method, _ in asked(authority)] == ["GET", *["POST"] * 6]


@pytest.mark.parametrize("status", [301, 404, 405, 410])
def test_an_endpoint_that_has_moved(status: int) -> None:
    """Where the endpoint is not any more what it was, the next renewal looks for it anew."""
    moved = metadata(token_endpoint=f"{ISSUER}/new/token")
    authority = Authority(metadata(), gives(), (status, {}, b""), moved, gives())
    source = ClientCredentials(authority.client(issuer=ISSUER))
    source.fetch(authority.context())
    failure(source, authority.context())
    assert source.fetch(authority.context()).value == ACCESS
    assert authority.sent[-1].url == f"{ISSUER}/new/token"


def test_many_sources_read_metadata_at_once() -> None:
    """Sources of one client that begin at the same time find the endpoint, each of them."""

    def page(arrived: Arrived) -> Action:
        if arrived.method == "POST":
            return answer(200, json.dumps({"access_token": ACCESS}).encode())
        issuer = f"http://{arrived.headers['Host']}"
        return answer(
            200, json.dumps({"issuer": issuer, "token_endpoint": f"{issuer}/token"}).encode()
        )

    with Wire(otherwise=page) as wire, ThreadPoolExecutor(8) as pool:
        client = Client("my-app", CLIENT_SECRET, issuer=wire.url.rstrip("/"))
        sources = [ClientCredentials(client, [str(number)]) for number in range(8)]
        now = FetchContext(None, timeout=60)
        found = list(pool.map(lambda source: source.fetch(now).value, sources))
    assert found == [ACCESS] * 8


def test_an_outage_is_sat_out() -> None:
    """An issuer in trouble is asked again, as the policy has it."""
    lost = requests.ConnectionError("lost")
    authority = Authority((503, {}, b""), lost, metadata(), gives())
    source = ClientCredentials(authority.client(issuer=ISSUER))
    assert source.fetch(authority.context(retry=AT_ONCE)).value == ACCESS
    assert [url for _, url in asked(authority)[:3]] == [OAUTH] * 3


@pytest.mark.parametrize(
    ("status", "headers"), [(503, {}), (429, {"Retry-After": "9999"}), (500, {})]
)
def test_an_outage_is_no_lack_of_metadata(status: int, headers: dict[str, str]) -> None:
    """An issuer that stays in trouble is told as that, and found again when it is back."""
    authority = Authority(*[(status, headers, b"")] * 8)
    source = ClientCredentials(authority.client(issuer=ISSUER))
    error = failure(source, authority.context(retry=AT_ONCE))
    assert "has no metadata" not in str(error)
    assert f"answered {status}" in str(error)
    assert error.error == "temporarily_unavailable"


def test_a_lost_connection_is_no_lack_of_metadata() -> None:
    """The same for an issuer that cannot be reached; the next renewal asks again."""
    lost = requests.ConnectionError("lost")
    authority = Authority(*[lost] * 4, metadata(), gives())
    source = ClientCredentials(authority.client(issuer=ISSUER))
    error = failure(source, authority.context(retry=AT_ONCE))
    assert f"{OAUTH} gave no answer that can be used: ConnectionError" in str(error)
    assert source.fetch(authority.context()).value == ACCESS


@pytest.mark.parametrize(
    ("supported", "is_post"),
    [
        (["client_secret_post"], True),
        (["private_key_jwt", "client_secret_post"], True),
        (["client_secret_basic", "client_secret_post"], False),
        (["none"], False),
        ([], False),
        ("client_secret_post", False),
        (None, False),
    ],
)
def test_how_to_prove_a_name(supported: object, *, is_post: bool) -> None:
    """The secret goes into the form where the metadata names nothing better."""
    authority = Authority(metadata(token_endpoint_auth_methods_supported=supported), gives())
    ClientCredentials(authority.client(issuer=ISSUER)).fetch(authority.context())
    (form,) = authority.forms
    assert ("client_secret" in form) == is_post
    assert ("Authorization" in authority.sent[-1].headers) != is_post


def test_the_issuer_is_the_audience() -> None:
    """What is signed is for the issuer, wherever its endpoint is."""
    authority = Authority(metadata(token_endpoint="https://tokens.example/token"), gives())
    who = authority.client(None, issuer=ISSUER, key=Key.generate())
    ClientCredentials(who).fetch(authority.context())
    assert claims_of(authority.forms[0]["client_assertion"])["aud"] == ISSUER


ALIASES = {"token_endpoint": "https://mtls.example/token"}


@pytest.mark.parametrize("has_certificate", [True, False])
def test_endpoints_for_mutual_tls(*, has_certificate: bool) -> None:
    """RFC 8705 section 5: with a certificate the aliases count, without it they do not."""
    authority = Authority(metadata(mtls_endpoint_aliases=ALIASES), gives(), gives())
    authority.session.cert = "client.pem" if has_certificate else None
    ClientCredentials(authority.client(None, issuer=ISSUER)).fetch(authority.context())
    expected = ALIASES["token_endpoint"] if has_certificate else f"{ISSUER}/oauth/token"
    assert authority.sent[-1].url == expected


@pytest.mark.parametrize(
    ("aliases", "url"),
    [
        ({}, f"{ISSUER}/oauth/token"),
        ("https://mtls.example", f"{ISSUER}/oauth/token"),
        ({"token_endpoint": "http://mtls.example/token"}, None),
    ],
)
def test_odd_aliases(aliases: object, url: str | None) -> None:
    """Aliases that name no token endpoint leave it as it is; a bad one is refused."""
    authority = Authority(metadata(mtls_endpoint_aliases=aliases), gives())
    authority.session.cert = "client.pem"
    source = ClientCredentials(authority.client(None, issuer=ISSUER))
    if url is None:
        assert "unencrypted" in str(failure(source, authority.context()))
    else:
        source.fetch(authority.context())
        assert authority.sent[-1].url == url


def test_too_much_metadata() -> None:
    """Of metadata no more is read than of any answer."""
    with Wire(answer(200, json.dumps({"issuer": "x" * 300_000}).encode())) as wire:
        source = ClientCredentials(Client("my-app", CLIENT_SECRET, issuer=wire.url.rstrip("/")))
        error = failure(source, FetchContext(None, timeout=60))
    assert "it is larger than 262144 bytes" in str(error)


def test_the_client_id_and_secret_are_not_in_the_discovery() -> None:
    """Nothing of the client is told before it is known whom to tell."""
    authority = Authority(metadata(), gives())
    ClientCredentials(authority.client(issuer=ISSUER, dpop=True)).fetch(authority.context())
    request = authority.sent[0]
    assert request.body is None
    assert not {"Authorization", "DPoP", "Cookie"} & set(request.headers)


def test_an_issuer_that_is_no_url() -> None:
    """An issuer is a URL, and the fault is told when the client is made."""
    with pytest.raises(ConfigurationError, match="issuer is no URL"):
        Client("my-app", CLIENT_SECRET, issuer="login.example.com")
