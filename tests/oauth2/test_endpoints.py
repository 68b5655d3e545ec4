"""Token endpoints as they are: what servers in use answer, and what comes of it."""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import MemoryStore, RefreshFailed, Settings, Token
from requests_authretry.oauth2 import (
    ClientCredentials,
    DeviceCode,
    JWTBearer,
    Key,
    Password,
    RefreshToken,
    TokenExchange,
)
from requests_authretry.testing import FakeClock
from tests.oauth2.support import (
    ACCESS,
    API,
    CLIENT_SECRET,
    ISSUER,
    ONCE,
    PASSWORD,
    REFRESH,
    TOKEN_URL,
    Authority,
    failure,
    gives,
    refuses,
    says,
)
from tests.support.scripted import scripted
from tests.support.sessions import raised

if TYPE_CHECKING:
    from requests_authretry.testing import Line

NOW = FakeClock().time()
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


def jwt(**claims: object) -> str:
    """A token with these claims."""
    payload = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{payload}.c2lnbmF0dXJl"


def sample(name: str, answer: Line, end: float | None, **more: Any) -> Any:
    """An answer, when its token ends (seconds from now), and what is told to the client."""
    return pytest.param(answer, end, more, id=name)


JWT = jwt(exp=NOW + 3600, iat=NOW)
SAMPLES = [
    sample(
        "Salesforce",
        says(
            {
                "access_token": "00Dx0!AQ4.yzz",
                "instance_url": "https://yours.my.salesforce.com",
                "id": "https://login.salesforce.com/id/00Dx0/005x0",
                "token_type": "Bearer",
                "issued_at": "1278448384422",
                "signature": "SSSbLO/gBhmmyNUvN18ODBDFYHzakxOMgqYtu=",
            }
        ),
        None,
        value="00Dx0!AQ4.yzz",
    ),
    sample(
        "Slack, a bot",
        says({"ok": True, "access_token": "xoxe.xoxb-1", "token_type": "bot", "expires_in": 43200}),
        43200,
        value="xoxe.xoxb-1",
    ),
    sample(
        "Slack, the user who signed in",
        says(
            {
                "ok": True,
                "access_token": "xoxb-of-the-bot",
                "token_type": "bot",
                "refresh_token": "xoxe-of-the-bot",
                "authed_user": {
                    "id": "U1234",
                    "access_token": "xoxe.xoxp-1",
                    "token_type": "user",
                    "expires_in": 43200,
                    "refresh_token": "xoxe-1",
                },
            }
        ),
        43200,
        value="xoxe.xoxp-1",
        refresh_token="xoxe-1",
        fields={
            name: f"authed_user.{name}" for name in ("access_token", "expires_in", "refresh_token")
        },
    ),
    sample(
        "Slack, app configuration",
        says({"ok": True, "token": "xoxe.xoxp-2", "refresh_token": "xoxe-2", "exp": NOW + 43200}),
        43200,
        value="xoxe.xoxp-2",
        refresh_token="xoxe-2",
        fields={"access_token": "token", "expires_at": "exp"},
    ),
    sample(
        "eBay",
        says(
            {
                "access_token": "v^1.1#i^1#p^1",
                "expires_in": 7200,
                "token_type": "Application Access Token",
            }
        ),
        7200,
        value="v^1.1#i^1#p^1",
    ),
    sample(
        "Apigee",
        says(
            {
                "access_token": "2l4IQtZXbn5WBJdL6EF7uenOWRsi",
                "token_type": "BearerToken",
                "issued_at": "1429732010000",
                "expires_in": "3599",
                "refresh_token_expires_in": "0",
                "scope": "READ WRITE",
                "status": "approved",
            }
        ),
        3599,
        value="2l4IQtZXbn5WBJdL6EF7uenOWRsi",
        scopes=("READ", "WRITE"),
    ),
    sample(
        "GitHub, not asked for JSON",
        (200, FORM, b"access_token=gho_16C7e4&scope=repo%2Cgist&token_type=bearer"),
        None,
        value="gho_16C7e4",
        scopes=("repo,gist",),
    ),
    sample(
        "GitHub, with an end",
        (
            200,
            FORM,
            b"access_token=ghu_1&expires_in=28800&refresh_token=ghr_1&scope=&token_type=bearer",
        ),
        28800,
        value="ghu_1",
        refresh_token="ghr_1",
    ),
    sample(
        "Meta, long ago",
        (200, {"Content-Type": "text/plain"}, b"access_token=EAAB%7C1&expires=5183999"),
        5183999,
        value="EAAB|1",
        fields={"expires_in": "expires"},
    ),
    sample(
        "Azure AD, version 1",
        says(
            {
                "token_type": "Bearer",
                "expires_in": "3599",
                "ext_expires_in": "3599",
                "expires_on": str(int(NOW) + 3599),
                "not_before": str(int(NOW)),
                "resource": "https://management.azure.com/",
                "access_token": JWT,
            }
        ),
        3599,
        value=JWT,
    ),
    sample(
        "Square",
        says(
            {
                "access_token": "EAAAEOuLQObrVwJ",
                "token_type": "bearer",
                "expires_at": "2001-10-10T01:46:40Z",
                "merchant_id": "MLEFBHHSJGVHD",
            }
        ),
        31 * 86_400,
        value="EAAAEOuLQObrVwJ",
    ),
    sample(
        "Strava",
        says({"access_token": "a9b723", "expires_at": NOW + 20566, "expires_in": 20566}),
        20566,
        value="a9b723",
    ),
    sample(
        "a registry of container images",
        says({"token": JWT, "issued_at": "2024-01-01T00:00:00Z"}),
        3600,
        value=JWT,
        fields={"access_token": "token"},
    ),
    sample(
        "Harvest and CrowdStrike",
        says({"access_token": "x", "token_type": "bearer", "expires_in": 1799}, 201),
        1799,
        value="x",
    ),
    sample(
        "names in camel case",
        says({"tokenType": "bearer", "accessToken": "x", "expiresIn": 1800}),
        1800,
        value="x",
        fields={
            "token_type": "tokenType",
            "access_token": "accessToken",
            "expires_in": "expiresIn",
        },
    ),
    sample(
        "fields in an envelope",
        says({"code": "0", "data": {"accessToken": "x", "expire": 7200}, "msg": "OK"}),
        7200,
        value="x",
        fields={"access_token": "data.accessToken", "expires_in": "data.expire"},
    ),
    sample(
        "milliseconds of an epoch",
        says({"access_token": "x", "expires_at": (NOW + 864) * 1000}),
        864,
        value="x",
    ),
    sample(
        "no end, as -1 says",
        says({"access_token": "x", "token_type": "Bearer", "expires_in": -1}),
        None,
        value="x",
    ),
    sample(
        "a JWT that nothing else says the end of",
        says({"access_token": JWT, "token_type": "Bearer"}),
        3600,
        value=JWT,
    ),
    sample(
        "JSON that says it is a page",
        (200, {"Content-Type": "text/html"}, b'{"access_token": "x"}'),
        None,
        value="x",
    ),
    sample(
        "JSON that says it is a form",
        (200, FORM, b'{"access_token": "x", "expires_in": 60}'),
        60,
        value="x",
    ),
    sample(
        "a form that says it is JSON",
        says(b"access_token=x&expires_in=60"),
        60,
        value="x",
    ),
    sample("a form without a content type", (200, {}, b"access_token=x"), None, value="x"),
]


@pytest.mark.parametrize(("answer", "end", "more"), SAMPLES)
def test_what_servers_answer(answer: Line, end: float | None, more: dict[str, Any]) -> None:
    """Salesforce's answer without ``expires_in`` gives a token, and so do the other samples."""
    authority = Authority(answer)
    source = ClientCredentials(authority.client(fields=more.get("fields")))
    found = source.fetch(authority.context(retry=ONCE))
    expected = {name: value for name, value in more.items() if name != "fields"}
    assert found == Token(expires_at=None if end is None else NOW + end, **expected)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (says({"ok": False, "error": "invalid_refresh_token"}), "invalid_refresh_token"),
        (says({"ok": False}), None),
        ((200, FORM, b"error=bad_refresh_token&error_description=no"), "bad_refresh_token"),
        (says({"error": "bad_verification_code"}), "bad_verification_code"),
        (says({"error": "authorization_pending"}, 202), "authorization_pending"),
    ],
)
def test_an_error_in_a_good_status_is_that_error(answer: Line, code: str | None) -> None:
    """A 200 of Slack with ``ok: false`` brings no token, and names its error."""
    authority = Authority(answer)
    assert failure(ClientCredentials(authority.client()), authority.context()).error == code


def test_an_error_with_a_name_of_its_own() -> None:
    """With ``{"error": "errors.code"}`` the error is found where the server puts it."""
    fields = {"error": "errors.code", "error_description": "errors.text"}
    answer = says({"errors": {"code": "e1", "text": f"no: {CLIENT_SECRET}"}}, 400)
    authority = Authority(answer)
    error = failure(ClientCredentials(authority.client(fields=fields)), authority.context())
    assert error.error == "e1"
    assert str(error) == f"{TOKEN_URL} answered 400 e1: no: ***"


def test_the_token_of_somebody_else_is_not_taken() -> None:
    """If the user's token is not where it was named, the bot's token is not sent in its place."""
    authority = Authority(gives())
    client = authority.client(fields={"access_token": "authed_user.access_token"})
    error = failure(ClientCredentials(client), authority.context())
    assert str(error) == f"{TOKEN_URL} answered 200, but it has no authed_user.access_token"


@pytest.mark.parametrize(
    "answer",
    [
        says({"access_token": ACCESS, "token_type": "Bearer"}, 201),
        (200, FORM, b"access_token=x&token_type=bearer"),
        gives(error=None),
    ],
)
def test_a_strict_client_keeps_to_the_rfc(answer: Line) -> None:
    """With ``strict=True`` a 201 and a form are no token answers."""
    authority = Authority(answer, answer)
    failure(ClientCredentials(authority.client(strict=True)), authority.context())
    assert ClientCredentials(authority.client()).fetch(authority.context()).value


def test_a_strict_client_does_not_read_tokens() -> None:
    """With ``strict=True`` only ``expires_in`` says when a token ends."""
    authority = Authority(says({"access_token": JWT, "expires_at": NOW + 60}))
    source = ClientCredentials(authority.client(strict=True))
    assert source.fetch(authority.context()) == Token(JWT)


def test_a_name_and_a_secret_that_are_not_encoded() -> None:
    """``basic="raw"`` sends ``a+b/c=`` as it is, the default as ``a%2Bb%2Fc%3D``."""
    sent = []
    for options in ({"basic": "raw"}, {}):
        authority = Authority(gives())
        client = authority.client("a+b/c= ü", **options)
        ClientCredentials(client).fetch(authority.context())
        header = str(authority.sent[0].headers["Authorization"])
        sent.append(b64decode(header.removeprefix("Basic ")).decode())
    assert sent == ["my-app:a+b/c= ü", "my-app:a%2Bb%2Fc%3D+%C3%BC"]


def test_a_raw_secret_is_hidden() -> None:
    """A server that repeats a raw secret or its header does not bring it into the message."""
    authority = Authority(gives(), refuses("e"))
    source = ClientCredentials(authority.client(basic="raw"))
    source.fetch(authority.context())
    header = str(authority.sent[0].headers["Authorization"])
    authority = Authority(refuses("e", error_description=f"{CLIENT_SECRET} {header}"))
    source = ClientCredentials(authority.client(basic="raw"))
    assert str(failure(source, authority.context())).endswith(" 400 e: *** ***")


def test_tokens_of_two_identities_in_one_answer_are_kept_apart() -> None:
    """The user's and the bot's token have keys of their own; other names change no key."""
    client = Authority().client
    usual, other, user = (
        ClientCredentials(client(fields=fields)).store_key
        for fields in (
            None,
            {"expires_in": "expiresIn"},
            {"access_token": "authed_user.access_token"},
        )
    )
    assert usual == other != user


def test_a_device_request_is_read_with_the_usual_names() -> None:
    """What the token endpoint calls ``expires_in`` says nothing of the device endpoint."""
    asked: list[Any] = []
    device = {"device_code": "d", "user_code": "W", "verification_uri": ISSUER, "expires_in": 900}
    authority = Authority(says(device), says({"access_token": ACCESS, "expiresIn": 60}))
    client = authority.client(device_url=f"{ISSUER}/device", fields={"expires_in": "expiresIn"})
    found = DeviceCode(client, prompt=asked.append).fetch(authority.context())
    assert asked[0].expires_in == 900
    assert found.expires_at is not None


def test_the_fields_of_a_client_do_not_change() -> None:
    """A client keeps a copy of the names that it was given."""
    names = {"access_token": "token"}
    authority = Authority(says({"token": ACCESS}))
    client = authority.client(fields=names)
    names.clear()
    assert ClientCredentials(client).fetch(authority.context()).value == ACCESS


# --- a refresh token that is no good any more ---------------------------------------------


STALE = Token("old", refresh_token="dead", expires_at=NOW - 1)
KEY = Key.generate()

DEAD = [
    pytest.param(refuses("invalid_grant"), id="400 invalid_grant, RFC 6749"),
    pytest.param(refuses("invalid_grant", 401), id="401 invalid_grant"),
    pytest.param(refuses("invalid_grant", 403), id="403 invalid_grant, Auth0"),
    pytest.param(refuses("invalid_request"), id="400 invalid_request, Authlib"),
    pytest.param(refuses("invalid_token", 401), id="401 invalid_token, Spring"),
    pytest.param((401, {}, b""), id="401 and nothing"),
    pytest.param((403, {}, b"<html>"), id="403 and a page"),
    pytest.param(says({"message": "Unauthenticated."}, 401), id="401, no error"),
    pytest.param(says({"error": {"code": 190}}, 400), id="400, an object"),
    pytest.param((200, FORM, b"error=bad_refresh_token"), id="200 bad_refresh_token, GitHub"),
    pytest.param(says({"ok": False, "error": "invalid_refresh_token"}), id="200, Slack"),
]

NOT_DEAD = [
    pytest.param(refuses("invalid_client", 401), id="401 invalid_client"),
    pytest.param(refuses("invalid_client"), id="400 invalid_client"),
    pytest.param(refuses("unauthorized_client"), id="400 unauthorized_client"),
    pytest.param(says({}, 401, WWW_Authenticate="Basic"), id="401 for the client"),
    pytest.param(refuses("temporarily_unavailable"), id="400 temporarily_unavailable"),
    pytest.param(refuses("server_error"), id="400 server_error"),
    pytest.param(says({}, 403, Retry_After="1000"), id="403 with Retry-After"),
    pytest.param(says({}, 401, Retry_After="1000"), id="401 with Retry-After"),
    pytest.param((429, {}, b""), id="429"),
    pytest.param(refuses("invalid_grant", 500), id="500"),
    pytest.param((503, {}, b""), id="503"),
    pytest.param((404, {}, b""), id="404"),
    pytest.param((200, {}, b"<html>"), id="200 and a page"),
    pytest.param(says({"ok": False, "error": "ratelimited"}), id="200 ratelimited, Slack"),
    pytest.param(gives(access_token="a blank"), id="a token that cannot be sent"),
    pytest.param((302, {"Location": "/login"}, b""), id="302"),
    pytest.param(requests.ConnectionError("lost"), id="lost"),
]


def password(authority: Authority) -> Password:
    """The source of a user who has a password."""
    return Password(authority.client(), "ada", PASSWORD)


@pytest.mark.parametrize("answer", DEAD)
def test_a_password_signs_in_again_whatever_the_words(answer: Line) -> None:
    """A 401 without a body to the refresh token: the password is sent, once."""
    authority = Authority(answer, gives(refresh_token=REFRESH))
    found = password(authority).fetch(authority.context(stale=STALE))
    assert (found.value, found.refresh_token) == (ACCESS, REFRESH)
    assert [form["grant_type"] for form in authority.forms] == ["refresh_token", "password"]


@pytest.mark.parametrize("answer", NOT_DEAD)
def test_other_refusals_do_not_send_the_password(answer: Line) -> None:
    """A 503, a 429 or ``invalid_client`` is no reason to sign in again."""
    authority = Authority(answer)
    failure(password(authority), authority.context(stale=STALE, retry=ONCE))
    assert [form["grant_type"] for form in authority.forms] == ["refresh_token"]


@pytest.mark.parametrize("answer", [*DEAD, *NOT_DEAD])
def test_a_person_is_asked_where_a_password_is_sent(answer: Line) -> None:
    """`DeviceCode` asks the person after the same answers, and after no others."""
    asked: list[object] = []
    device = {
        "device_code": "d",
        "user_code": "WDJB",
        "verification_uri": f"{ISSUER}/device",
        "expires_in": 900,
        "interval": 1,
    }
    authority = Authority(answer, says(device), gives())
    client = authority.client(device_url=f"{ISSUER}/device/auth")
    source = DeviceCode(client, prompt=asked.append)
    try:
        source.fetch(authority.context(stale=STALE, retry=ONCE))
    except RefreshFailed:
        assert asked == []
    is_dead = any(answer is param.values[0] for param in DEAD)
    assert len(asked) == is_dead


def test_a_person_is_not_asked_early() -> None:
    """While the token is good, a dead refresh token waits for the call that needs the person."""
    asked: list[object] = []
    authority = Authority((401, {}, b""))
    client = authority.client(device_url=f"{ISSUER}/device/auth")
    source = DeviceCode(client, prompt=asked.append)
    error = failure(source, authority.context(stale=STALE, early=True))
    assert "before it is needed" in str(error)
    assert asked == []


@pytest.mark.parametrize(
    ("source", "grant"),
    [
        (ClientCredentials, "client_credentials"),
        (lambda client: JWTBearer(client, KEY), "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        (
            lambda client: TokenExchange(client, "subject"),
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
    ],
    ids=["client credentials", "jwt bearer", "token exchange"],
)
def test_who_can_ask_alone_needs_no_refresh_token(source: Any, grant: str) -> None:
    """`ClientCredentials` and `JWTBearer` begin anew each time, so that none can be dead."""
    authority = Authority(gives(refresh_token=REFRESH))
    source(authority.client()).fetch(authority.context(stale=STALE))
    assert [form["grant_type"] for form in authority.forms] == [grant]


@pytest.mark.parametrize("answer", DEAD)
def test_the_token_of_another_comes_before_the_password(answer: Line) -> None:
    """Another process may have spent the refresh token: its token is taken, if there is one."""
    authority, others = Authority(answer), Token("theirs")
    context = authority.context(stale=STALE, sibling=lambda: others)
    assert password(authority).fetch(context) is others


@pytest.mark.parametrize("stale", [STALE, None])
def test_a_refresh_token_that_another_has_spent(stale: Token | None) -> None:
    """After GitHub's ``bad_refresh_token`` the store is read again, as after ``invalid_grant``."""
    authority, others = Authority((200, FORM, b"error=bad_refresh_token")), Token("theirs")
    context = authority.context(stale=stale, sibling=lambda: others)
    assert RefreshToken(authority.client(), REFRESH).fetch(context) is others


def test_invalid_grant_is_left_to_the_library() -> None:
    """After ``invalid_grant`` the library reads the store for all sources: this one does not."""
    authority, looks = Authority(refuses("invalid_grant")), []
    context = authority.context(stale=STALE, sibling=lambda: looks.append(1))
    assert failure(RefreshToken(authority.client(), REFRESH), context).error == "invalid_grant"
    assert looks == []


def test_a_hidden_word_does_not_change_what_is_refused() -> None:
    """A secret that is a word of the error code is blanked in the message, not in the rule."""
    authority = Authority(refuses("bad_client_secret"))
    source = Password(authority.client("client"), "ada", PASSWORD)
    error = failure(source, authority.context(stale=STALE))
    assert error.error == "bad_***_secret"
    assert len(authority.sent) == 1


@pytest.mark.parametrize("stale", [STALE, None])
def test_a_refresh_token_that_nobody_can_replace(stale: Token | None) -> None:
    """`RefreshToken` has no other grant: the caller gets what the server said."""
    authority = Authority((200, FORM, b"error=bad_refresh_token"))
    source = RefreshToken(authority.client(), REFRESH)
    error = failure(source, authority.context(stale=stale))
    assert error.error == "bad_refresh_token"
    assert len(authority.sent) == 1


def test_one_sign_in_for_all_calls() -> None:
    """Ten calls after the refresh token has died cost one refused renewal and one sign-in."""
    first = gives(access_token="first", refresh_token="dead", expires_in=3600)
    authority = Authority(first, (401, {}, b""), gives(expires_in=3600, refresh_token=REFRESH))
    chosen = Settings(
        token=password(authority), origins=[API], clock=authority.clock, store=MemoryStore()
    )
    session, _ = scripted(chosen, 200, 401, *[200] * 10)
    for _ in range(11):
        assert session.get(API).status_code == 200
    grants = [form["grant_type"] for form in authority.forms]
    assert grants == ["password", "refresh_token", "password"]


def test_trouble_keeps_the_refresh_token() -> None:
    """After a 503 the next renewal sends the refresh token again, and no password."""
    first = gives(access_token="first", refresh_token="good", expires_in=3600)
    second = gives(access_token="second", refresh_token="next", expires_in=3600)
    authority = Authority(first, (503, {}, b""), second)
    chosen = Settings(token=password(authority), origins=[API], clock=authority.clock, retry=ONCE)
    session, _ = scripted(chosen, 200, 200)
    assert session.get(API).status_code == 200
    authority.clock.advance(3600)
    assert isinstance(raised(session, API), RefreshFailed)
    authority.clock.advance(60)
    assert session.get(API).status_code == 200
    grants = [form["grant_type"] for form in authority.forms]
    assert grants == ["password", "refresh_token", "refresh_token"]
