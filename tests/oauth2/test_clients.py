"""Who asks: what cannot work is refused at once, and what is sent proves the client's name."""

from __future__ import annotations

import copy
import pickle
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import pytest
import requests

from requests_authretry import ConfigurationError, FetchContext, Token
from requests_authretry.oauth2 import (
    Client,
    ClientCredentials,
    DeviceCode,
    JWTBearer,
    Key,
    Password,
    RefreshToken,
    TokenExchange,
)
from tests.oauth2.support import (
    ACCESS,
    CLIENT_SECRET,
    ISSUER,
    PASSWORD,
    REFRESH,
    TOKEN_URL,
    Authority,
    claims_of,
    failure,
    gives,
    leaks,
    refuses,
    shown_by,
    told_by,
)
from tests.servers.oidc import ec_key, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.oidc import OidcServer

KEY = Key.generate()
PRIVATE = ec_key().as_dict(private=True)


def client(**options: Any) -> Client:
    """A client that could work."""
    usual = {"client_id": "my-app", "secret": CLIENT_SECRET, "token_url": TOKEN_URL}
    return Client(**{**usual, **options})


# --- what cannot work ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"secret": ""}, "secret must be a non-empty str or None"),
        ({"secret": b"bytes"}, "secret must be a non-empty str or None"),
        ({"token_url": None}, "give the issuer, or the token_url"),
        ({"token_url": b"https://login.example.com"}, "token_url is no URL"),
        ({"token_url": "login.example.com/token"}, "token_url is no URL"),
        ({"token_url": "ftp://login.example.com/token"}, "token_url is no URL"),
        ({"token_url": "https://login.example.com\\@evil.example/"}, "token_url is no URL"),
        ({"token_url": "http://login.example.com/token"}, "unencrypted: use https, or say allow"),
        ({"token_url": f"https://ada:{PASSWORD.split()[0]}@login.example.com/"}, "no user and no"),
        ({"token_url": "https://login.example.com/#fragment"}, "no user and no fragment"),
        ({"issuer": "http://login.example.com"}, "issuer 'http://login.example.com' would send"),
        ({"issuer": "https://login.example.com?tenant=1"}, "issuer has a query"),
        ({"device_url": "http://login.example.com/device"}, "device_url"),
        ({"auth": "basic"}, "auth must be one of client_secret_basic, client_secret_post"),
        ({"auth": ["none"]}, "auth must be one of"),
        ({"auth": "client_secret_basic", "secret": None}, "needs a secret"),
        ({"auth": "client_secret_post", "secret": None}, "needs a secret"),
        ({"auth": "private_key_jwt"}, "needs a key"),
        ({"session": "session"}, "session must be a Session, not str"),
        ({"session": requests.Session}, "session must be a Session, not type"),
        ({"allow_http": "yes"}, "allow_http must be True or False"),
        ({"strict": "yes"}, "strict must be True or False"),
        ({"basic": "plain"}, "basic must be 'encoded' or 'raw', not 'plain'"),
        ({"basic": "raw", "client_id": "a:b"}, "basic='raw' cannot send a client_id with a colon"),
        ({"fields": ["token"]}, "fields must be a mapping of names to names"),
        ({"fields": {"access_token": ""}}, "fields must be a mapping of names to names"),
        ({"fields": {"access_token": 5}}, "fields must be a mapping of names to names"),
        ({"fields": {"acces_token": "token"}}, "'acces_token'; did you mean access_token?"),
        ({"fields": {5: "token"}}, "fields has the unknown name 5; there are access_token, "),
        ({"key": "no key"}, "Key: private must be a private key"),
        ({"key": ""}, "Key: private must be a private key"),
        ({"dpop": ""}, "Key: private must be a private key"),
        ({"dpop": 1}, "Key: private must be a private key"),
    ],
)
def test_a_client_that_cannot_work(options: dict[str, Any], words: str) -> None:
    """A fault is told when the client is made, with the way out, and without secrets."""
    with pytest.raises(ConfigurationError) as caught:
        client(**options)
    assert words in str(caught.value)
    assert not leaks(told_by(caught.value) + shown_by(caught.value))
    assert PASSWORD.split()[0] not in told_by(caught.value)


def test_all_faults_together() -> None:
    """Every fault of a client is in one message."""
    with pytest.raises(ConfigurationError) as caught:
        Client("", "", issuer="x", auth="y", allow_http=2)  # type: ignore[arg-type]
    assert len(caught.value.faults) == 5


@pytest.mark.parametrize(
    "url", ["http://localhost/token", "http://127.0.0.1:8080/token", "http://[::1]/token"]
)
def test_http_on_this_machine(url: str) -> None:
    """What does not leave the machine may be unencrypted; elsewhere it takes plain words."""
    client(token_url=url)
    client(token_url="http://login.example.com/token", allow_http=True)


FAULTY: dict[str, tuple[Callable[[], object], str]] = {
    "client": (lambda: ClientCredentials("my-app"), "client must be a Client, not str"),  # type: ignore[arg-type]
    "id and secret": (
        lambda: ClientCredentials("my-app", CLIENT_SECRET),  # type: ignore[arg-type]
        "client must be a Client, not str: write ClientCredentials(Client('my-app', ",
    ),
    "scopes": (
        lambda: ClientCredentials(client(), CLIENT_SECRET),
        "scopes takes a collection: write ['read'], not a str",
    ),
    "a scope": (lambda: ClientCredentials(client(), [1]), "scopes takes str, not 1"),  # type: ignore[list-item]
    "extra": (lambda: ClientCredentials(client(), extra={"a": 1}), "extra must be a mapping of"),  # type: ignore[dict-item]
    "extra pairs": (lambda: ClientCredentials(client(), extra=[("a", "b")]), "extra must be a"),  # type: ignore[arg-type]
    "store_key": (lambda: ClientCredentials(client(), store_key=""), "store_key must be a non-"),
    "refresh token": (lambda: RefreshToken(client(), ""), "refresh_token must be a non-empty str"),
    "no refresh token": (lambda: RefreshToken(client(), None), "refresh_token must be a non-em"),  # type: ignore[arg-type]
    "username": (lambda: Password(client(), "", PASSWORD), "username must be a non-empty str"),
    "password": (lambda: Password(client(), "ada", ""), "password must be a non-empty str"),
    "key": (lambda: JWTBearer(client(), "key"), "Key: private must be a private key"),
    "subject": (lambda: JWTBearer(client(), KEY, subject=""), "subject must be a non-empty str"),
    "claims": (
        lambda: JWTBearer(client(), KEY, claims=["a"]),  # type: ignore[arg-type]
        "claims must be a mapping, not list",
    ),
    "subject token": (lambda: TokenExchange(client(), ""), "subject_token must be a non-empty str"),
    "actor token": (lambda: TokenExchange(client(), ACCESS, actor_token=""), "actor_token must be"),
    "no device url": (lambda: DeviceCode(client()), "needs a device_url, or an issuer"),
    "prompt": (lambda: DeviceCode(client(issuer=ISSUER), prompt="p"), "prompt must be a function"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_grant_that_cannot_work(name: str) -> None:
    """The same for each grant; neither message nor frame shows a secret."""
    make, words = FAULTY[name]
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert words in str(caught.value)
    assert not leaks(told_by(caught.value) + shown_by(caught.value))


# --- what is sent -------------------------------------------------------------------------

GRANT = "urn:ietf:params:oauth:grant-type:"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
FORMS: dict[str, tuple[Callable[[Client], Any], dict[str, str]]] = {
    "client credentials": (
        lambda who: ClientCredentials(who, ["read", "write"], extra={"audience": "urn:api"}),
        {"grant_type": "client_credentials", "scope": "read write", "audience": "urn:api"},
    ),
    "no scope": (ClientCredentials, {"grant_type": "client_credentials"}),
    "refresh token": (
        lambda who: RefreshToken(who, REFRESH),
        {"grant_type": "refresh_token", "refresh_token": REFRESH},
    ),
    "password": (
        lambda who: Password(who, "ada", PASSWORD, ["read"]),
        {"grant_type": "password", "username": "ada", "password": PASSWORD, "scope": "read"},
    ),
    "exchange": (
        lambda who: TokenExchange(who, Token("subject"), ["read"], extra={"resource": "urn:api"}),
        {
            "grant_type": f"{GRANT}token-exchange",
            "subject_token": "subject",
            "subject_token_type": ACCESS_TOKEN,
            "scope": "read",
            "resource": "urn:api",
        },
    ),
    "delegation": (
        lambda who: TokenExchange(
            who,
            "subject",
            subject_token_type="urn:ietf:params:oauth:token-type:jwt",
            actor_token=lambda: "actor",
        ),
        {
            "grant_type": f"{GRANT}token-exchange",
            "subject_token": "subject",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "actor_token": "actor",
            "actor_token_type": ACCESS_TOKEN,
        },
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_form_of_a_grant(name: str) -> None:
    """Each grant sends the fields its RFC names, and those alone; the client stands beside."""
    make, fields = FORMS[name]
    authority = Authority(gives())
    make(authority.client(None)).fetch(authority.context())
    assert authority.forms == [{"client_id": "my-app", **fields}]
    (request,) = authority.sent
    assert request.url == TOKEN_URL
    assert request.headers["Accept"] == "application/json"
    assert "Authorization" not in request.headers


def test_what_is_asked_for_besides_goes_with_each_refresh() -> None:
    """A token for another audience stays one, whichever refresh token it comes from."""
    authority = Authority(gives(refresh_token="second"), gives())
    source = RefreshToken(authority.client(None), REFRESH, extra={"resource": "urn:api"})
    source.fetch(authority.context(stale=source.fetch(authority.context())))
    assert [form["refresh_token"] for form in authority.forms] == [REFRESH, "second"]
    assert [form["resource"] for form in authority.forms] == ["urn:api"] * 2


def test_the_assertion_of_a_grant() -> None:
    """RFC 7523 section 3: who says it, for whom, to whom, and how long it holds."""
    authority = Authority(gives(), gives())
    JWTBearer(authority.client(None), KEY, ["read"]).fetch(authority.context())
    others = {"sub": "ada", "aud": "https://other.example", "tenant": 7}
    source = JWTBearer(authority.client(None), KEY, subject="bob", claims=others)
    source.fetch(authority.context())
    first, second = authority.forms
    assert first["grant_type"] == f"{GRANT}jwt-bearer"
    claims = claims_of(first["assertion"])
    assert claims["iss"] == claims["sub"] == "my-app"
    assert claims["aud"] == TOKEN_URL
    assert claims["exp"] - claims["iat"] == 300
    assert claims_of(second["assertion"]).items() >= others.items()


@pytest.mark.parametrize("secret", ["plain", CLIENT_SECRET, "a:b c%d", "schlüssel-\u20ac", "+"])
def test_a_secret_of_any_characters(secret: str) -> None:
    """RFC 6749 section 2.3.1: name and secret are encoded as in a form before they are joined."""
    authority = Authority(gives(), gives())
    for name in ("my-app", "app:1"):
        who = Client(name, secret, token_url=TOKEN_URL, session=authority.session)
        ClientCredentials(who).fetch(authority.context())
        header = str(authority.sent[-1].headers["Authorization"])
        assert header.startswith("Basic ")
        given = b64decode(header[6:]).decode("ascii").split(":")
        assert [unquote_plus(part) for part in given] == [name, secret]
    assert authority.forms == [{"grant_type": "client_credentials"}] * 2


def test_a_secret_in_the_form() -> None:
    """With `client_secret_post` name and secret stand in the form, and no header has them."""
    authority = Authority(gives())
    ClientCredentials(authority.client(auth="client_secret_post")).fetch(authority.context())
    (form,) = authority.forms
    assert (form["client_id"], form["client_secret"]) == ("my-app", CLIENT_SECRET)
    assert "Authorization" not in authority.sent[0].headers


def test_a_key_instead_of_a_secret() -> None:
    """RFC 7523 section 2.2: an assertion by the client of itself, for the issuer if it is known."""
    authority = Authority(gives(), gives())
    for options in ({}, {"issuer": ISSUER, "token_url": TOKEN_URL}):
        who = authority.client(None, key=KEY, **options)
        ClientCredentials(who).fetch(authority.context())
    for form, audience in zip(authority.forms, (TOKEN_URL, ISSUER), strict=True):
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["client_assertion_type"] == kind
        claims = claims_of(form["client_assertion"])
        assert (claims["iss"], claims["sub"], claims["aud"]) == ("my-app", "my-app", audience)
        assert form["client_id"] == "my-app"


def test_a_public_client_with_a_secret_it_keeps_to_itself() -> None:
    """`auth="none"` sends the name alone."""
    authority = Authority(gives())
    ClientCredentials(authority.client(auth="none")).fetch(authority.context())
    assert authority.forms == [{"grant_type": "client_credentials", "client_id": "my-app"}]


def clients(oidc: OidcServer) -> dict[str, Client]:
    """A client of each kind that the real server knows, over plain http."""
    issuer = oidc.issuer
    post = "client_secret_post"
    pem = rsa_key().as_pem(private=True)
    return {
        "basic": Client(*oidc.cc, issuer=issuer),
        "post": Client(*oidc.cc_post, issuer=issuer, auth=post),
        "rsa": Client(oidc.cc_jwt.id, issuer=issuer, key=pem),
        "rsa, text": Client(oidc.cc_jwt.id, token_url=oidc.token_url, key=pem.decode()),
        "ec": Client(oidc.cc_jwt.id, issuer=issuer, key=PRIVATE),
        "no issuer": Client(*oidc.cc, token_url=oidc.token_url),
        "dpop": Client(*oidc.cc, issuer=issuer, dpop=True),
    }


@pytest.mark.parametrize("kind", ["basic", "post", "rsa", "rsa, text", "ec", "no issuer", "dpop"])
def test_the_real_server_knows_the_client(oidc: OidcServer, kind: str) -> None:
    """Each way to prove a name is taken at the first attempt."""
    source = ClientCredentials(clients(oidc)[kind], ["api:read"])
    found = source.fetch(FetchContext(None, timeout=60))
    assert found.scopes == ("api:read",)
    assert found.scheme == ("DPoP" if kind == "dpop" else "Bearer")
    assert [entry["status"] for entry in oidc.log()] == [200]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"secret": "wrong"}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": "cc-post"}, "invalid_client"),
        ({"extra": {"resource": "urn:nothing"}}, "invalid_target"),
        ({"client_id": "app", "secret": "app-secret"}, "invalid_request"),
    ],
)
def test_what_the_real_server_refuses(
    oidc: OidcServer, options: dict[str, Any], error: str
) -> None:
    """Its error code comes through, it is asked once, and the secret is not in the message."""
    given = {
        "client_id": "cc",
        "secret": "cc-secret",
        "scopes": ["api:read"],
        "extra": {},
    } | options
    who = Client(given["client_id"], given["secret"], issuer=oidc.issuer)
    source = ClientCredentials(who, given["scopes"], extra=given["extra"])
    raised = failure(source, FetchContext(None, timeout=60))
    assert raised.error == error
    assert given["secret"] not in str(raised)
    assert len(oidc.log()) == 1


# --- what is kept to itself ---------------------------------------------------------------


def of_each_kind(who: Client) -> list[Any]:
    """A source of each kind."""
    return [
        ClientCredentials(who),
        RefreshToken(who, REFRESH),
        Password(who, "ada", PASSWORD),
        JWTBearer(who, PRIVATE),
        TokenExchange(who, ACCESS, actor_token=Token(ACCESS)),
        DeviceCode(who),
    ]


SHOWN = [*(CLIENT_SECRET, REFRESH, PASSWORD, ACCESS), str(PRIVATE["d"])]


def whole(**options: Any) -> Client:
    """A client that has all secrets there are."""
    return client(issuer=ISSUER, key=PRIVATE, dpop=PRIVATE, **options)


@pytest.mark.parametrize("number", range(6))
def test_neither_repr_nor_pickle_nor_vars_show_a_secret(number: int) -> None:
    """What is printed, logged or sent to another process holds no secret."""
    source = of_each_kind(whole())[number]
    pickled = pickle.dumps(source)
    shown = [
        repr(source),
        str(source),
        repr(vars(source)),
        repr(vars(source.client)),
        source.store_key,
    ]
    for text in (*shown, pickled.decode("latin-1"), repr(pickle.loads(pickled))):  # noqa: S301 (ours)
        assert [secret for secret in SHOWN if secret in text] == []


def test_a_key_shows_nothing() -> None:
    """Nor does a key, whatever it was made of."""
    for given in (PRIVATE, ec_key().as_pem(private=True)):
        key = Key(given)
        pickled = pickle.dumps(key).decode("latin-1")
        for text in (repr(key), str(key), repr(vars(key)), pickled):
            assert str(PRIVATE["d"]) not in text
            assert "PRIVATE" not in text


@pytest.mark.parametrize("number", range(6))
def test_a_copy_in_memory_is_as_good(number: int) -> None:
    """A deep copy of a session's settings shares its client, and has all secrets."""
    authority = Authority(*[gives()] * 2, refuses("invalid_request"), refuses("invalid_request"))
    who = authority.client(device_url=f"{ISSUER}/device")
    source = of_each_kind(who)[number]
    for copied in (copy.copy(source), copy.deepcopy(source)):
        assert copied.client is who
        if number != 5:
            assert copied.fetch(authority.context()).value == ACCESS


@pytest.mark.parametrize(
    ("options", "number", "words"),
    [
        ({}, 0, "the client's secret was lost in a pickle: make the client anew"),
        ({"auth": "client_secret_post"}, 0, "the client's secret was lost in a pickle"),
        ({"secret": None, "key": PRIVATE}, 0, "the private key was lost in a pickle"),
        ({"secret": None, "dpop": PRIVATE}, 0, "the private key was lost in a pickle"),
        ({"secret": None}, 1, "the refresh token was lost in a pickle: make the source anew"),
        ({"secret": None}, 2, "the password was lost in a pickle: make the source anew"),
        ({"secret": None}, 3, "the private key was lost in a pickle"),
        ({"secret": None}, 4, "pickle"),
        ({}, 5, "the client's secret was lost in a pickle"),
    ],
)
def test_what_was_pickled_says_so(options: dict[str, Any], number: int, words: str) -> None:
    """A source that lost its secrets fails with a line that says so, and asks nobody."""
    who = client(device_url=f"{ISSUER}/device", **options)
    source = pickle.loads(pickle.dumps(of_each_kind(who)[number]))  # noqa: S301 (ours)
    authority = Authority()
    source.client.session = authority.session
    assert words in str(failure(source, authority.context()))
    assert authority.sent == []


def test_a_pickled_client_takes_new_sources() -> None:
    """A source made with what is left of a client has the name that it would have had."""
    who = whole()
    left = pickle.loads(pickle.dumps(who))  # noqa: S301 (ours)
    assert ClientCredentials(left).store_key == ClientCredentials(who).store_key
    assert repr(left) == repr(who)


def test_a_pickled_public_client_works_on() -> None:
    """What had no secret has lost none."""
    authority = Authority(gives())
    source = pickle.loads(pickle.dumps(ClientCredentials(client(secret=None))))  # noqa: S301 (ours)
    source.client.session = authority.session
    assert source.fetch(authority.context()).value == ACCESS


def names(**options: Any) -> set[str]:
    """The store keys of a source of each kind."""
    return {source.store_key for source in of_each_kind(whole(**options))}


def test_identities_do_not_mix_in_a_store() -> None:
    """Each server, client, bound key, grant, scope and user has a place of its own in a store."""
    who = whole()
    keys = [
        *names(),
        ClientCredentials(who, ["read"]).store_key,
        ClientCredentials(who, extra={"audience": "urn:api"}).store_key,
        RefreshToken(who, "another").store_key,
        Password(who, "bob", PASSWORD).store_key,
        JWTBearer(who, KEY, subject="bob").store_key,
        JWTBearer(who, KEY, claims={"a": 1}).store_key,
        TokenExchange(who, "another").store_key,
        ClientCredentials(client(issuer=ISSUER)).store_key,
        ClientCredentials(client(issuer=ISSUER, dpop=True)).store_key,
        ClientCredentials(client(issuer=ISSUER, dpop=True)).store_key,
        ClientCredentials(client(issuer=f"{ISSUER}/tenant")).store_key,
        ClientCredentials(Client("other-app", issuer=ISSUER)).store_key,
    ]
    assert len(set(keys)) == len(keys)


def test_the_same_identity_is_found_again() -> None:
    """Another process that makes the same source finds the token that the first one kept."""
    assert names() == names()
    named = ClientCredentials(client(), store_key="mine")
    assert named.store_key == "mine"
