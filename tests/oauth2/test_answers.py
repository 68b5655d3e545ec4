"""Whatever a token endpoint answers, a source gives a token, or a line that names the fault."""

from __future__ import annotations

import json
import logging
import math
from typing import Any
from urllib.parse import quote_plus

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from requests_authretry import Token
from requests_authretry._core.bounds import SCOPES
from requests_authretry.oauth2 import ClientCredentials, Password, RefreshToken
from requests_authretry.testing import FakeClock
from tests.oauth2.support import (
    ACCESS,
    API,
    CLIENT_SECRET,
    ONCE,
    PASSWORD,
    REFRESH,
    SECRETS,
    Authority,
    failure,
    gives,
    leaks,
    logged,
    mounted,
    outcome_of,
    refuses,
    says,
    shown_by,
    told_by,
)
from tests.support.sessions import raised

GOOD = {"access_token": ACCESS, "token_type": "Bearer", "expires_in": 60}
HTML = b"<html><body>Bad gateway</body></html>"


def token(*script: Any, **options: Any) -> Token:
    """What comes of an answer."""
    authority = Authority(*script)
    return ClientCredentials(authority.client(**options)).fetch(authority.context(retry=ONCE))


def fault(*script: Any, **options: Any) -> str:
    """The line of an answer that cannot be used; it tells no secret."""
    authority = Authority(*script)
    source = ClientCredentials(authority.client(**options))
    error = failure(source, authority.context(retry=ONCE))
    assert not leaks(told_by(error))
    line = str(error)
    assert line.startswith("https://login.example.com/token ")
    assert line.isprintable()
    return line


def test_a_good_answer() -> None:
    """Value, end, scheme, refresh token and scopes are those of the answer."""
    found = token(gives(scope="write read", refresh_token=REFRESH))
    began = FakeClock().time()
    assert found == Token(ACCESS, began + 60, "Bearer", REFRESH, ("write", "read"))


@pytest.mark.parametrize("absent", ["token_type", "expires_in", "scope", "refresh_token"])
@pytest.mark.parametrize("null", [True, False])
def test_what_an_answer_may_leave_out(absent: str, *, null: bool) -> None:
    """All but the token itself may be missing, or null as some servers write it."""
    fields = {**GOOD, "scope": "read", "refresh_token": REFRESH}
    del fields[absent]
    found = token(says(fields | ({absent: None} if null else {})))
    assert found.value == ACCESS
    assert found.scheme == "Bearer"
    assert (found.expires_at is None) == (absent == "expires_in")
    assert found.scopes == (() if absent == "scope" else ("read",))


@pytest.mark.parametrize("kind", ["bearer", "BEARER", "Bearer"])
def test_the_type_in_any_case(kind: str) -> None:
    """RFC 6749 section 5.1: the type is read without regard to case."""
    assert token(gives(token_type=kind)).authorization == f"Bearer {ACCESS}"


@pytest.mark.parametrize("scope", [5, True, {}, [], ["read"], ""])
def test_a_scope_that_is_none_is_none(scope: object) -> None:
    """What the scope is told as harms nobody: the token is good."""
    found = token(gives(scope=scope))
    assert found.value == ACCESS
    assert all(found.scopes)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("life", "end"), [(60, 60), (60.5, 60.5), ("3600", 3600), (0, None)])
def test_lives_that_are_understood(life: object, end: float | None, *, strict: bool) -> None:
    """Seconds, also as a text of digits (Azure AD v1); a zero stands for an end not known."""
    found = token(gives(expires_in=life), strict=strict)
    assert found.expires_at == (None if end is None else FakeClock().time() + end)


ABSURD = [
    *(-1, -0.5, 1e18, 1e30, 10**400, math.inf, math.nan, True),
    *("", "1e3", "-1", "soon", [], {}, "9" * 2000),
]


@pytest.mark.parametrize("life", ABSURD)
def test_an_absurd_life_is_unknown(life: object) -> None:
    """A token whose ``expires_in`` is -1 is good: the API's 401 will say when it has ended."""
    assert token(gives(expires_in=life)) == Token(ACCESS)


@pytest.mark.parametrize("life", [*ABSURD, "60.5"])
def test_a_strict_client_refuses_an_absurd_life(life: object) -> None:
    """With ``strict=True`` a life of -1 is a fault of the server, and is named."""
    assert "its expires_in is negative or absurd" in fault(gives(expires_in=life), strict=True)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        *(5, True, "", [], {}, "two\nlines", "nächst", " blank", "blank ", "Bearer twice"),
        *("a blank", "a\tb", "a\x00b", "a\x7fb", "a\r\nX-Header: b"),
    ],
)
def test_tokens_that_cannot_be_sent(value: object, *, strict: bool) -> None:
    """An access token with a blank or a line break is refused where it comes in."""
    line = fault(gives(access_token=value), strict=strict)
    assert "answered 200, but its token cannot be used: value" in line


@pytest.mark.parametrize(
    "fields", [{"token_type": "Bearer"}, {"id_token": ACCESS}, {"access_token": None}]
)
def test_no_token_at_all(fields: dict[str, object]) -> None:
    """An answer without access token is named as such."""
    assert "access_token" in fault(says(fields))


ODD = [5, ["Bearer"], "Bearer\r\n", f"{ACCESS}", "bot", "Application Access Token"]


@pytest.mark.parametrize("kind", ODD)
def test_a_type_that_nobody_registered_is_sent_as_bearer(kind: object) -> None:
    """Slack's ``bot`` and eBay's ``Application Access Token`` go into the header as Bearer."""
    assert token(gives(token_type=kind)).authorization == f"Bearer {ACCESS}"


@pytest.mark.parametrize("kind", ["mac", "MAC", "N_A", "PoP"])
def test_a_token_that_needs_a_signature_is_not_sent(kind: str) -> None:
    """A MAC token without its signature is refused at the API: it is not sent as Bearer."""
    assert "its token_type is neither Bearer nor DPoP" in fault(gives(token_type=kind))


@pytest.mark.parametrize("options", [{"strict": True}, {"dpop": True}], ids=str)
@pytest.mark.parametrize("kind", [*ODD, "mac", "N_A"])
def test_a_strict_client_knows_two_types(kind: object, options: dict[str, Any]) -> None:
    """A client that is strict, or has asked for DPoP, takes no ``bot`` token."""
    assert "is neither Bearer nor DPoP" in fault(gives(token_type=kind), **options)


@pytest.mark.parametrize("value", [5, True, ["a"], {"a": ACCESS}])
def test_an_odd_refresh_token(value: object) -> None:
    """A refresh token that is no text is a fault, not kept."""
    assert "refresh_token" in fault(gives(refresh_token=value))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ((200, {"Content-Type": "text/html"}, HTML), "answered 200 with text/html, where a JSON"),
        ((401, {"Content-Type": "text/html"}, HTML), "answered 401 with text/html, where a JSON"),
        ((200, {}, b""), "answered 200 with no content type, where a JSON"),
        ((204, {}, b""), "answered 204"),
        (says([GOOD]), "where a JSON object belongs"),
        (says(ACCESS), "where a JSON object belongs"),
        (says(None), "where a JSON object belongs"),
        (says({}), "where a JSON object belongs"),
        (says(b"<a href=access_token=" + ACCESS.encode()), "where a JSON object belongs"),
        (says(ACCESS.encode()), "where a JSON object belongs"),
        (says(b"a=1&" * 200 + b"access_token=5"), "where a JSON object belongs"),
        (says(b"a=b"), "it has no access_token; if another field has it, name it: Client(fields="),
        (says(b"[" * 100_000), "where a JSON object belongs"),
        (says(b'{"a":' * 40_000), "where a JSON object belongs"),
        (says(b"\xff\xfe\xfd{"), "where a JSON object belongs"),
        (says(b'{"expires_in":' + b"9" * 9_999 + b"}"), "where a JSON object belongs"),
        ((200, {"Content-Type": "text/\x1b[31m"}, b""), "with text/ [31m"),
        ((200, {"Content-Type": CLIENT_SECRET}, b""), "with ***"),
        (says(GOOD, 400), "answered 400"),
        (says(GOOD, 302, Location="https://elsewhere.example/"), "answered 302, a redirect"),
        (says(GOOD, 307, Location="/token2"), "answered 307, a redirect"),
        (refuses("invalid_scope", 200), "answered 200 invalid_scope"),
        (
            refuses("invalid_client", 401, error_description="no such"),
            "401 invalid_client: no such",
        ),
        (says(GOOD | {"error": "e"}), "answered 200 e"),
        (says({"error": {"code": 5}}, 400), "answered 400 with an error that has no name"),
        (refuses("", 400), "with an error that has no name"),
        (refuses("", 200), "answered 200, but it has no access_token"),
        (says(GOOD | {"ok": False}), "answered 200 with an error that has no name"),
        (says(b"error=e&error_description=so+it+is"), "answered 200 e: so it is"),
        (refuses("a\x00b\x1b[31m\r\nSet-Cookie: x"), "answered 400 a b [31m Set-Cookie: x"),
        (refuses("e", error_description="x" * 10_000), "x" * 150),
        ((503, {}, b""), "answered 503"),
    ],
)
def test_other_answers(script: Any, words: str) -> None:
    """What is no token response is told in one line that is fit for a log, and short."""
    line = fault(script)
    assert words in line
    assert len(line) < 600


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_json_in_other_encodings(encoding: str) -> None:
    """A byte order mark is no fault."""
    assert token(says(json.dumps(GOOD).encode(encoding))).value == ACCESS


@pytest.mark.parametrize("code", ["invalid_client", "invalid_grant", "unauthorized_client", "x_y"])
@pytest.mark.parametrize("status", [400, 401, 403, 200])
def test_the_code_is_on_the_error(code: str, status: int) -> None:
    """What the server calls the fault is there for programs, too."""
    authority = Authority(refuses(code, status))
    error = failure(ClientCredentials(authority.client()), authority.context())
    assert error.error == code
    assert len(authority.sent) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_a_server_in_trouble(status: int) -> None:
    """A server that fails without words is called what RFC 6749 calls it."""
    authority = Authority((status, {}, HTML))
    error = failure(ClientCredentials(authority.client()), authority.context(retry=ONCE))
    assert error.error == "temporarily_unavailable"


ECHOES = [
    pytest.param(lambda secret: secret, id="as it is"),
    pytest.param(lambda secret: f"bad '{secret}', {secret}!", id="quoted, twice"),
    pytest.param(lambda secret: f"a=b&c={quote_plus(secret)}&d", id="as in the form"),
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("member", ["error", "error_description"])
@pytest.mark.parametrize("auth", ["client_secret_basic", "client_secret_post"])
def test_an_echoed_secret_is_hidden(
    echo: Any, member: str, auth: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that repeats what it was sent does not bring it into messages or logs."""
    caplog.set_level(logging.DEBUG)
    for secret in (CLIENT_SECRET, REFRESH, PASSWORD):
        authority = Authority(says({"error": "invalid_grant"} | {member: echo(secret)}, 400))
        client = authority.client(auth=auth)
        source: Any = {
            CLIENT_SECRET: ClientCredentials(client),
            REFRESH: RefreshToken(client, REFRESH),
            PASSWORD: Password(client, "ada", PASSWORD),
        }[secret]
        error = failure(source, authority.context())
        for text in (told_by(error), str(error.error), caplog.text):
            assert secret not in text
            assert quote_plus(secret) not in text
        assert "***" in str(error)


@pytest.mark.parametrize(
    "script",
    [
        gives(expires_in=-1, refresh_token=REFRESH),
        gives(token_type="mac"),
        gives(refresh_token=5),
        refuses("invalid_grant", error_description=f"{PASSWORD} {CLIENT_SECRET}"),
        (503, {}, b""),
        requests.ConnectionError("lost"),
    ],
)
def test_no_frame_of_ours_shows_a_secret(script: Any) -> None:
    """A reporter that adds the locals of our frames to a traceback shows no secret either."""
    authority = Authority(script)
    source = Password(authority.client(auth="client_secret_post"), "ada", PASSWORD)
    with mounted(source, API, retry=ONCE, clock=authority.clock) as session:
        error = raised(session, API)
    assert not leaks(shown_by(error))


def test_an_echoed_header_is_hidden() -> None:
    """The same for the credentials as the Authorization header has them."""
    authority = Authority(gives(), (400, {}, b""))
    source = ClientCredentials(authority.client())
    source.fetch(authority.context())
    header = str(authority.sent[0].headers["Authorization"])
    for echoed in (header, header.partition(" ")[2]):
        authority = Authority(refuses("invalid_client", error_description=f"no: {echoed}"))
        source = ClientCredentials(authority.client())
        line = str(failure(source, authority.context()))
        assert header.partition(" ")[2] not in line


@pytest.mark.parametrize(
    ("secret", "password", "code"),
    [
        ("client", "x-71c0", "invalid_client"),
        ("x-71c0", "my name is a", "invalid_grant"),
        ("grant", "x-71c0", "invalid_grant"),
    ],
)
def test_a_secret_that_is_a_common_word(secret: str, password: str, code: str) -> None:
    """Hiding a secret does not change what the server calls the fault."""
    authority = Authority(refuses(code))
    source = Password(authority.client(secret), "ada", password)
    assert failure(source, authority.context()).error == code


WORDS = st.sampled_from(
    [*SECRETS, *map(quote_plus, SECRETS), "invalid_grant", "Bearer", "", "x\x00"]
)
TEXTS = st.lists(WORDS | st.text(max_size=8), max_size=4).map("".join)
SCALARS = TEXTS | st.none() | st.booleans() | st.integers() | st.floats()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2), max_leaves=3)
NAMES = st.sampled_from(
    [
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
        "scope",
        "error",
        "error_description",
    ]
)
OBJECTS = st.dictionaries(NAMES | TEXTS, VALUES, max_size=7).map(
    lambda found: json.dumps(found).encode()
)
BODIES = OBJECTS | VALUES.map(lambda found: json.dumps(found).encode()) | st.binary(max_size=64)
STATUSES = st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 429, 500, 503])


@given(status=STATUSES, kind=TEXTS, body=BODIES)
@settings(max_examples=3 * settings().max_examples)
def test_any_answer_is_a_token_or_a_line(status: int, kind: str, body: bytes) -> None:
    """Whatever comes is a `Token` or a `RefreshFailed`, and shows nothing of what was sent."""
    authority = Authority((status, {"Content-Type": kind}, body))
    source = Password(authority.client(auth="client_secret_post"), "ada", PASSWORD)
    with logged() as log:
        outcome = outcome_of(source, authority.context(retry=ONCE))
    if isinstance(outcome, Token):
        assert ACCESS not in repr(outcome) + log.getvalue()
        return
    assert str(outcome).isprintable()
    assert str(outcome).isascii()
    text = told_by(outcome) + str(outcome.error) + log.getvalue()
    assert not [secret for secret in (CLIENT_SECRET, PASSWORD) if secret in text]


def test_only_so_many_scopes_are_kept() -> None:
    """Of a hundred thousand scopes the first thousand are told."""
    assert token(gives(scope="a b c")).scopes == ("a", "b", "c")
    names = [f"{number}" for number in range(30_000)]
    assert token(gives(scope=" ".join(names))).scopes == tuple(names[:SCOPES])
    assert token(gives(scope=" ".join(names[:SCOPES]))).scopes == tuple(names[:SCOPES])


def test_a_long_content_type_is_not_told() -> None:
    """A content type of more than a thousand characters is none: it may be megabytes."""
    assert "with no content type" in fault((200, {"Content-Type": "a" * 1001}, b""))
    assert f"with {'a' * 200}," in fault((200, {"Content-Type": "a" * 1000}, b""))
