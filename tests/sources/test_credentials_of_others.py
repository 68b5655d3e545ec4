"""`from_credentials`: the real objects of other libraries, against a real authorization server."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from base64 import b64encode, urlsafe_b64encode
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msal  # type: ignore[import-untyped]
import pytest
import requests
from azure.core.credentials import AccessToken
from azure.identity import ClientSecretCredential
from google.auth.credentials import AnonymousCredentials
from google.oauth2 import service_account

from requests_authretry import (
    Challenge,
    ConfigurationError,
    FetchContext,
    Settings,
    Token,
    TokenSource,
)
from requests_authretry.sources import from_credentials
from requests_authretry.testing import FakeClock
from tests.support.authority import ACCOUNT, CERTIFICATE, CLIENT_ID, CLIENT_SECRET, LIFE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests_authretry.cli.demo_server import DemoServer
    from tests.support.authority import Authority, Caller

SCOPE = "https://api.example.com/.default"
CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"~~~????"}}}'


# google-auth


@pytest.fixture
def robot(authority: Authority) -> service_account.Credentials:
    """A service account."""
    info = {
        "client_email": ACCOUNT,
        "private_key": authority.key.as_pem(private=True).decode(),
        "token_uri": f"{authority.url}/token",
    }
    made: service_account.Credentials
    made = service_account.Credentials.from_service_account_info(info)  # type: ignore[no-untyped-call]
    return made


def test_a_service_account(
    robot: service_account.Credentials,
    authority: Authority,
    caller: Callable[..., Caller],
) -> None:
    """It signs for a token with the scopes asked for, and for another when that is refused."""
    assert caller(from_credentials(robot, [SCOPE])).statuses() == [200, 401, 200]
    assert len(authority.asked) == 2
    assert authority.claims["scope"] == SCOPE


def test_credentials_that_have_a_token(robot: service_account.Credentials) -> None:
    """A good token that they have already is used, and nobody is asked for another."""
    robot.token = "held"
    assert from_credentials(robot).fetch(FetchContext(None)) == Token("held")


@pytest.mark.parametrize("name", ["UTC", "Etc/GMT-5", "Etc/GMT+9"])
def test_the_expiry_of_google(
    name: str, robot: service_account.Credentials, zone: Callable[[str], None]
) -> None:
    """Their naive expiry is UTC, wherever this machine is."""
    zone(name)
    robot.token, robot.expiry = "held", datetime(2001, 9, 9, 1, 46, 41)  # noqa: DTZ001 (as google has it)
    found = from_credentials(robot).fetch(FetchContext(None, clock=FakeClock(1e9)))
    assert found == Token("held", 1e9 + 1)


@pytest.mark.parametrize("told", [{}, {"refused": True}, {"early": True}])
def test_a_token_to_be_replaced(
    told: dict[str, Any], robot: service_account.Credentials, authority: Authority
) -> None:
    """A token that is refused, is about to end or has ended is refreshed; a newer one is not."""
    source = from_credentials(robot, [SCOPE])
    first = source.fetch(FetchContext(None, timeout=60))
    assert isinstance(first, Token)
    second = source.fetch(FetchContext(first, timeout=60, **told))
    assert second != first
    assert source.fetch(FetchContext(first, timeout=60, **told)) == second
    ended = FakeClock(time.time() + LIFE + 1)
    third = source.fetch(FetchContext(None, timeout=60, clock=ended))
    assert third not in {first, second}
    assert len(authority.asked) == 3


def test_a_service_account_that_nobody_knows(
    robot: service_account.Credentials, authority: Authority, caller: Callable[..., Caller]
) -> None:
    """What google-auth raises reaches the caller by its name alone."""
    authority.error = "invalid_grant"
    error = caller(from_credentials(robot, [SCOPE])).failure()
    assert "RefreshError" in str(error)


# azure-identity


@pytest.fixture
def principal(authority: Authority) -> Iterator[ClientSecretCredential]:
    """A service principal with a secret."""
    with ClientSecretCredential(
        "tenant",
        CLIENT_ID,
        CLIENT_SECRET,
        authority=authority.url,
        disable_instance_discovery=True,
        connection_verify=str(CERTIFICATE),
    ) as credential:
        yield credential


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Any:
    """The object that a fixture named in the parameters gives."""
    return request.getfixturevalue(request.param)


def challenge(claims: str, error: str = "insufficient_claims") -> list[tuple[str, str]]:
    """The header by which Microsoft's services ask for claims."""
    value = f'Bearer realm="", authorization_uri="https://a.example", error="{error}"'
    return [("WWW-Authenticate", f'{value}, claims="{claims}"')]


@pytest.mark.parametrize(
    "encoded",
    [
        b64encode(CLAIMS.encode()).decode(),
        b64encode(CLAIMS.encode()).decode().rstrip("="),
        urlsafe_b64encode(CLAIMS.encode()).decode(),
        urlsafe_b64encode(CLAIMS.encode()).decode().rstrip("="),
    ],
    ids=["padded", "unpadded", "for URLs", "for URLs, unpadded"],
)
@pytest.mark.parametrize("held", ["principal", "application"], indirect=True)
def test_a_claims_challenge(
    encoded: str,
    held: Any,
    authority: Authority,
    caller: Callable[..., Caller],
    demo_server: DemoServer,
) -> None:
    """Claims that a server asks for are in the next token request; the call goes on with it."""
    user = caller(from_credentials(held, [SCOPE]))
    assert user.get() == 200
    demo_server.answer(401, challenge(encoded))
    assert user.get() == 200
    first, second = authority.asked
    assert "nbf" not in first.get("claims", "")
    asked = json.loads(second["claims"])["access_token"]
    assert asked["nbf"] == {"essential": True, "value": "~~~????"}


def test_the_encodings_differ() -> None:
    """The claims of these tests have what tells alphabets and padding of base64 apart."""
    assert b64encode(CLAIMS.encode()) != urlsafe_b64encode(CLAIMS.encode())
    assert b64encode(CLAIMS.encode()).endswith(b"=")


def test_a_client_that_can_take_challenges(
    principal: ClientSecretCredential, authority: Authority, caller: Callable[..., Caller]
) -> None:
    """From its first token on the server is told that claims challenges are understood."""
    assert caller(from_credentials(principal, [SCOPE])).get() == 200
    (asked,) = authority.asked
    assert json.loads(asked["claims"]) == {"access_token": {"xms_cc": {"values": ["CP1"]}}}
    assert asked["scope"] == SCOPE


class Claims:
    """A credential of one's own, as azure-core has it.

    Attributes:
        given: The claims it was called with.
    """

    def __init__(self) -> None:
        self.given: list[str | None] = []

    def get_token(self, *scopes: str, claims: str | None = None, **_: Any) -> AccessToken:
        """A token that never ends."""
        assert scopes == (SCOPE,)
        self.given.append(claims)
        return AccessToken("abc", 4_000_000_000)


class Awaited:
    """A credential as ``azure.core.credentials_async`` has it."""

    async def get_token(self, *_: str, **__: Any) -> AccessToken:
        """Never awaited."""
        raise NotImplementedError


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ("e30", "invalid_token"),
        ("", "insufficient_claims"),
        ("e3", "insufficient_claims"),
        ("e", "insufficient_claims"),
        ("****e30=", "insufficient_claims"),
        ("\N{SNOWMAN}", "insufficient_claims"),
        (b64encode(b"\xff{}").decode(), "insufficient_claims"),
        (b64encode(b"[]").decode(), "insufficient_claims"),
        (b64encode(b"{" * 50_000).decode(), "insufficient_claims"),
        (b64encode(b"[" * 50_000).decode(), "insufficient_claims"),
    ],
)
def test_claims_that_cannot_be_read(claims: str, error: str) -> None:
    """Malformed claims, or claims of another kind of refusal, count as none."""
    credential = Claims()
    said = Challenge("Bearer", {"error": error, "claims": claims})
    told = FetchContext(Token("x"), refused=True, challenge=said)
    assert from_credentials(credential, [SCOPE]).fetch(told) == Token("abc", 4e9)
    from_credentials(credential, [SCOPE]).fetch(
        FetchContext(None, challenge=Challenge("Bearer", {"error": "insufficient_claims"}))
    )
    assert credential.given == [None, None]


def test_a_credential_that_gives_the_same_again(
    principal: ClientSecretCredential,
    authority: Authority,
    caller: Callable[..., Caller],
    demo_server: DemoServer,
) -> None:
    """A token that it holds to be good is not sent twice: the 401 is handed out."""
    user = caller(from_credentials(principal, [SCOPE]))
    assert user.get() == 200
    demo_server.revoke()
    assert user.get() == 401
    assert user.declined == ["UNCHANGED"]
    assert len(authority.asked) == 1


def test_a_principal_that_is_refused(
    authority: Authority, caller: Callable[..., Caller], principal: ClientSecretCredential
) -> None:
    """What azure-identity raises reaches the caller by its name alone."""
    authority.error = "invalid_client"
    error = caller(from_credentials(principal, [SCOPE])).failure()
    assert "ClientAuthenticationError" in str(error)


# msal


@pytest.fixture
def application(authority: Authority) -> Any:
    """A confidential client."""
    return msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential=CLIENT_SECRET,
        authority=f"{authority.url}/tenant",
        instance_discovery=False,
    )


@pytest.fixture
def public(authority: Authority) -> Any:
    """A public client, where nobody has signed in."""
    return msal.PublicClientApplication(
        CLIENT_ID, authority=f"{authority.url}/tenant", instance_discovery=False
    )


def sign_in(public: Any, authority: Authority, user: str = "ada") -> None:
    """Let a user sign in."""
    authority.user = user
    public.acquire_token_by_refresh_token(authority.refresh_token, [SCOPE])
    authority.asked.clear()


def test_a_confidential_client(
    application: Any, authority: Authority, caller: Callable[..., Caller]
) -> None:
    """A token that was refused is not taken from the cache again."""
    source = from_credentials(application, [SCOPE])
    assert caller(source).statuses() == [200, 401, 200]
    assert [form["scope"] for form in authority.asked] == [SCOPE] * 2


def test_the_cache_of_a_confidential_client(application: Any, authority: Authority) -> None:
    """Unless it was refused, the token in the cache is used; its expiry is its own."""
    source, clock = from_credentials(application, [SCOPE]), FakeClock(1e9)
    first = source.fetch(FetchContext(None, clock=clock))
    assert isinstance(first, Token)
    assert first.expires_at == 1e9 + LIFE
    again = source.fetch(FetchContext(Token("older"), refused=True, clock=clock))
    early = source.fetch(FetchContext(first, early=True, clock=clock))
    assert isinstance(again, Token)
    assert isinstance(early, Token)
    assert first.value == again.value == early.value
    assert len(authority.asked) == 1


@pytest.mark.parametrize("code", ["invalid_client", "invalid_grant", "temporarily_unavailable"])
def test_what_msal_says(
    code: str, application: Any, authority: Authority, caller: Callable[..., Caller]
) -> None:
    """The error code of the server is in message and error, its description is not."""
    authority.error = code
    error = caller(from_credentials(application, [SCOPE]), clock=FakeClock()).failure()
    assert (str(error), error.error) == (f"msal got no token: {code}", code)


def test_what_is_no_code(
    application: Any, authority: Authority, caller: Callable[..., Caller]
) -> None:
    """Text that is no error code is not passed on."""
    authority.error = f"see {CLIENT_SECRET}"
    error = caller(from_credentials(application, [SCOPE])).failure()
    assert (str(error), error.error) == ("msal got no token, for no reason that it names", None)


def test_a_public_client(public: Any, authority: Authority, caller: Callable[..., Caller]) -> None:
    """The one user who has signed in is used; a refused token is renewed by the refresh token."""
    sign_in(public, authority)
    assert caller(from_credentials(public, [SCOPE])).statuses() == [200, 401, 200]
    assert [form["grant_type"] for form in authority.asked] == ["refresh_token"]
    assert authority.reused == 0


def test_nobody_has_signed_in(public: Any, caller: Callable[..., Caller]) -> None:
    """Without an account the caller hears that somebody has to sign in."""
    assert "has 0 accounts" in str(caller(from_credentials(public, [SCOPE])).failure())


def test_two_have_signed_in(
    public: Any, authority: Authority, caller: Callable[..., Caller]
) -> None:
    """No account is chosen among several."""
    sign_in(public, authority)
    sign_in(public, authority, "bob")
    assert "has 2 accounts" in str(caller(from_credentials(public, [SCOPE])).failure())


def test_an_account_without_tokens(
    public: Any, authority: Authority, caller: Callable[..., Caller]
) -> None:
    """An account whose tokens are gone has to sign in anew."""
    sign_in(public, authority)
    cache = public.token_cache
    for entry in list(cache.search(cache.CredentialType.ACCESS_TOKEN)):
        cache.remove_at(entry)
    for entry in list(cache.search(cache.CredentialType.REFRESH_TOKEN)):
        cache.remove_rt(entry)
    assert "sign in anew" in str(caller(from_credentials(public, [SCOPE])).failure())


# All of them


@pytest.mark.parametrize(
    "thing", [object(), None, "a-token", Token("a-token"), requests.Session(), {"access_token": 1}]
)
def test_what_is_not_known(thing: Any) -> None:
    """An object of no known kind is refused, with what is known."""
    with pytest.raises(ConfigurationError, match="it takes credentials of google-auth") as caught:
        from_credentials(thing)
    assert "a-token" not in str(caught.value)


def test_a_class_for_an_object() -> None:
    """The class in place of its object is the usual slip."""
    with pytest.raises(ConfigurationError, match="ClientSecretCredential is a class"):
        from_credentials(ClientSecretCredential, [SCOPE])


def test_what_is_asynchronous() -> None:
    """What has to be awaited is refused when it is given, not when a token is wanted."""
    with pytest.raises(ConfigurationError, match="is asynchronous"):
        from_credentials(Awaited(), [SCOPE])


@pytest.mark.parametrize("held", ["application", "public", "principal"], indirect=True)
def test_scopes_that_are_missing(held: Any) -> None:
    """Microsoft's libraries are not asked for a token for nothing in particular."""
    with pytest.raises(ConfigurationError, match="scopes are missing"):
        from_credentials(held)


@pytest.mark.parametrize("scopes", [SCOPE, [7], [""], 7, None])
def test_scopes_that_are_none(scopes: Any) -> None:
    """One bare string is refused, as is what is no string."""
    with pytest.raises(ConfigurationError, match="scopes takes"):
        from_credentials(Claims(), scopes)


def test_as_an_object(robot: service_account.Credentials) -> None:
    """It shows names of classes alone, and has the store's key that it was given."""
    source = from_credentials(robot, store_key="ada")
    assert isinstance(source, TokenSource)
    assert repr(source) == "from_credentials(Credentials)"
    assert getattr(source, "store_key", None) == "ada"
    assert Settings(token=from_credentials(robot), origins=["https://a.example"]).token


def test_a_pickle() -> None:
    """It goes as far as the object does."""
    made = pickle.dumps(from_credentials(AnonymousCredentials()))  # type: ignore[no-untyped-call]
    assert repr(pickle.loads(made)) == "from_credentials(AnonymousCredentials)"  # noqa: S301 (our own bytes)


def test_nothing_is_imported_before_its_time() -> None:
    """The package by itself imports none of the libraries whose objects it takes."""
    code = (
        "import sys, requests_authretry\nprint(*{name.partition('.')[0] for name in sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 (our own words)
    foreign = {"google", "azure", "msal", "oauthlib", "requests_oauthlib", "authlib", "filelock"}
    assert not foreign & set(found.stdout.split())
