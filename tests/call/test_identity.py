"""Whom a refusal holds back: callers with other credentials go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from email.message import Message
from threading import Event
from typing import Any

import pytest
import requests
from requests.cookies import MockRequest, MockResponse

from requests_authretry import (
    ConfigurationError,
    FetchContext,
    MemoryStore,
    RateLimits,
    RetryPolicy,
    Settings,
    Token,
    mount,
    override,
)
from requests_authretry._core.identity import identity_of, name_of
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.limits import hint
from tests.support.sessions import API
from tests.support.wire import PATIENCE

REFUSED = hint(30)
ONCE = RetryPolicy(max_attempts=1)
AWS = "Credential={0}/2026010{1}/eu/s3/aws4_request, Signature={1}"
KEY_ID = 'Signature version="1",keyId="{}",signature="{}"'


class Pair:
    """Two sessions with one settings object above one server, which refuses the first call."""

    def __init__(self, **settings: Any) -> None:
        self.clock: FakeClock = settings.pop("clock", FakeClock())
        self.below = ScriptedAdapter(REFUSED, *[200] * 5)
        self.settings = Settings(clock=self.clock, retry=ONCE, **settings)
        self.sessions = [self.mounted(), self.mounted()]

    def mounted(self) -> requests.Session:
        """One more session."""
        session = requests.Session()
        session.mount("https://", self.below)
        mount(session, self.settings)
        return session

    def waits(self, url: str = API, **options: Any) -> bool:
        """Whether a call of the second session waits for the refusal of the first one."""
        before = self.clock.monotonic()
        assert self.sessions[1].get(url, **options).status_code == 200
        return self.clock.monotonic() > before


Way = Callable[[str, str], dict[str, Any]]
"""Gives the options of a call by somebody; the second argument is another one each time."""


def by_header(name: str, form: str = "{}") -> Way:
    """Return the way to show in a header who calls."""
    return lambda who, other: {"headers": {name: form.format(who, other)}}


def by_parameter(name: str) -> Way:
    """Return the way to show in the query who calls."""
    return lambda who, other: {"params": {"page": other, name: who}}


WAYS: dict[str, Way] = {
    "Authorization": by_header("Authorization", "Bearer {}"),
    "Authorization as bytes": lambda who, _: {"headers": {"Authorization": who.encode()}},
    "Authorization with a colon": by_header("Authorization", "Bearer all:{}"),
    "Basic": lambda who, _: {"auth": (who, "password")},
    "DPoP": lambda who, other: {"headers": {"Authorization": f"DPoP {who}", "DPoP": other}},
    "DPoP with an odd token": lambda who, _: {"headers": {"Authorization": f"DPoP all:{who}"}},
    "OAuth with a token": by_header("Authorization", "OAuth {}"),
    "OAuth with an odd token": by_header("Authorization", "OAuth all:{}"),
    "a scheme of one's own": by_header("Authorization", "SSWS {}"),
    "AWS": by_header("authorization", f"AWS4-HMAC-SHA256 {AWS}"),
    "AWS, two regions": by_header("authorization", f"AWS4-ECDSA-P256-SHA256 {AWS}"),
    "AWS, version 2": by_header("authorization", "AWS {}:{}"),
    "Google": by_header("authorization", f"GOOG4-RSA-SHA256 {AWS}"),
    "Tencent": by_header("authorization", f"TC3-HMAC-SHA256 {AWS}"),
    "Azure storage": by_header("authorization", "SharedKey {}:{}"),
    "Azure configuration": by_header(
        "authorization", "HMAC-SHA256 Credential={}&SignedHeaders=date;host&Signature={}"
    ),
    "Akamai": by_header("authorization", "EG1-HMAC-SHA256 client_token={};nonce={};signature=x"),
    "Alibaba": by_header("authorization", "OSS {}:{}"),
    "HTTP signature": by_header("Authorization", KEY_ID),
    "HTTP signature by a path": by_header("Authorization", KEY_ID.replace("{}", "a/b/{}", 1)),
    "HTTP signature by a name": by_header("Authorization", KEY_ID.replace("{}", "cn=a, {}", 1)),
    "HTTP message signature": by_header(
        "Signature-Input", 'one=("@method" "date");created=1;keyid="{}";nonce="{}"'
    ),
    "HTTP signature in its own field": by_header("Signature", 'keyId="{}",signature="{}"'),
    "Digest": by_header("Authorization", 'Digest realm="a, id=b", username="{}", response="{}"'),
    "Digest with other letters": by_header(
        "Authorization", "Digest username*=UTF-8''{}, response=\"{}\""
    ),
    "OAuth 1": by_header(
        "Authorization", 'OAuth oauth_consumer_key="a", oauth_token="{}", oauth_signature="{}"'
    ),
    "OAuth 1 without a token": by_header(
        "Authorization", 'OAuth oauth_token="", oauth_consumer_key="{}", oauth_signature="{}"'
    ),
    "Hawk": by_header("Authorization", 'Hawk id="{}", mac="{}"'),
    "X-API-Key": by_header("X-API-Key"),
    "a key as bytes": lambda who, _: {"headers": {"X-API-Key": who.encode()}},
    "PRIVATE-TOKEN": by_header("PRIVATE-TOKEN"),
    "Ocp-Apim-Subscription-Key": by_header("ocp-apim-subscription-key"),
    "a key of some vendor": by_header("X-CMC_PRO_API_KEY"),
    "a token of some vendor": by_header("Crossref-Plus-API-Token"),
    "a key beside one that all have": lambda who, _: {
        "headers": {"X-API-Key": "gateway", "X-Access-Token": who}
    },
    "a cookie of the call": lambda who, _: {"cookies": {"sid": who}},
    "a Cookie header": by_header("Cookie", "sid={}"),
    "a Cookie header as bytes": lambda who, _: {"headers": {"Cookie": f"sid={who}".encode()}},
    "api_key": by_parameter("api_key"),
    "access_token": by_parameter("access_token"),
    "Subscription-Key": by_parameter("Subscription-Key"),
    "appid": by_parameter("appid"),
    "key": lambda who, _: {"params": {"key": f"{who}-0123456789abcdef"}},
    "a parameter beside a cookie that all have": lambda who, _: {
        "params": {"api_key": who},
        "cookies": {"language": "en"},
    },
    "a client certificate": lambda who, _: {"cert": f"{who}.pem"},
    "a client certificate and its key": lambda who, other: {"cert": (f"{who}.pem", f"{other}.key")},
    "a client certificate beside a token": lambda who, _: {
        "cert": f"{who}.pem",
        "headers": {"Authorization": "Bearer of all"},
    },
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_a_refusal_holds_back_the_same_caller_alone(
    options: Way,
) -> None:
    """Bob goes on while Alice waits, and Alice waits in her other session too."""
    pair = Pair()
    assert pair.sessions[0].get(API, **options("alice", "1")).status_code == 429
    assert not pair.waits(**options("bobby", "2"))
    assert pair.waits(**options("alice", "3"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"headers": {"X-CSRF-Token": "1"}}, {"headers": {"X-CSRF-Token": "2"}}),
        ({"headers": {"Idempotency-Key": "1"}}, {"headers": {"Idempotency-Key": "2"}}),
        ({"headers": {"Traceparent": "1"}}, {"headers": {"Traceparent": "2"}}),
        ({"params": {"key": "PROJ-1"}}, {"params": {"key": "PROJ-2"}}),
        ({"params": {"page_token": "1"}}, {"params": {"page_token": "2"}}),
        ({"headers": {"Signature-Input": "a=();nonce=1"}}, {"headers": {"Signature": "a=:Zg==:"}}),
        ({"headers": {"Signature": "1:abc"}}, {"headers": {"Signature": "2:def"}}),
    ],
)
def test_what_changes_with_each_request_names_nobody(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Two requests with other traces, idempotency keys or things to look up are of one caller."""
    pair = Pair()
    pair.sessions[0].get(API, **one)
    assert pair.waits(**other)


PATHS = {
    "a bot of Telegram": "/bot{0}:{1}/sendMessage",
    "a bot of Telegram, quoted": "/bot{0}%3A{1}/sendMessage",
    "a webhook of Discord": "/api/webhooks/{0}/{1}",
    "a webhook of Slack": "/services/T{0}/B{0}/{1}",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_token_in_the_path_tells_who_calls(path: str) -> None:
    """Two bots of Telegram in one process, ``/bot11:one/...`` and ``/bot22:two/...``."""
    pair, one, two = Pair(), API + path.format(11, "one"), API + path.format(22, "two")
    assert pair.sessions[0].get(one).status_code == 429
    assert not pair.waits(two)
    assert pair.waits(one)
    assert identity_of({}, [], two) == name_of("/", "two")


def test_a_credential_counts_before_a_token_in_the_path() -> None:
    """As before a key in the query: a request with ``Authorization`` is that caller's."""
    fields = {"authorization": "Bearer one"}
    assert identity_of(fields, [], f"{API}/bot11:two/getMe") == name_of("Bearer one")


def test_a_token_in_the_path_is_the_same_however_it_is_written() -> None:
    """``/bot11:a%2Db`` and ``/bot11:a-b`` are one caller."""
    names = {identity_of({}, [], f"{API}/bot11:{token}/getMe") for token in ("a%2Db", "a-b")}
    assert names == {name_of("/", "a-b")}


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", "Kerberos"])
def test_a_handshake_names_nobody(scheme: str) -> None:
    """What changes with each connection cannot tell callers apart: they wait together."""
    pair = Pair()
    pair.sessions[0].get(API, headers={"Authorization": f"{scheme} one"})
    assert pair.waits(headers={"Authorization": f"{scheme} two"})


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", "Kerberos"])
def test_beside_a_handshake_a_key_tells_who_calls(scheme: str) -> None:
    """Alice is told by her key in the request that begins a connection, and in those after it."""
    pair = Pair()
    begins = {"X-API-Key": "alice", "Authorization": f"{scheme} one"}
    pair.sessions[0].get(API, headers=begins)
    assert not pair.waits(headers={"X-API-Key": "bob", "Authorization": f"{scheme} two"})
    assert pair.waits(headers={"X-API-Key": "alice"})


def test_a_key_means_the_same_wherever_it_is_named() -> None:
    """A signature in its own field is of the caller whose key `Authorization` names elsewhere."""
    pair = Pair()
    pair.sessions[0].get(API, headers={"Authorization": KEY_ID.format("alice", 1)})
    assert not pair.waits(headers={"Authorization": "AWS alice:2"})
    assert pair.waits(headers={"Signature-Input": 'one=("date");keyid="alice"'})


def test_a_signature_that_names_no_key_is_nobody_elses() -> None:
    """Callers whose signatures tell nothing do not hold one another back."""
    pair = Pair()
    pair.sessions[0].get(API, headers={"Authorization": "HMAC one"})
    assert not pair.waits(headers={"Authorization": "HMAC two"})


def test_the_certificate_of_a_session_is_the_callers() -> None:
    """`session.cert` tells callers apart, also those whose token the settings have."""
    for settings in ({}, {"token": "base", "origins": [API]}):
        pair = Pair(**settings)
        for session, who in zip(pair.sessions, ["alice", "bob"], strict=True):
            session.cert = f"{who}.pem"
        pair.sessions[0].get(API)
        assert not pair.waits()
        pair.sessions[1].cert = "alice.pem", "alice.key"
        assert pair.waits()


def test_two_callers_may_show_one_certificate() -> None:
    """A service shows its certificate, and each of its tenants a token."""
    pair = Pair()
    pair.sessions[0].get(API, cert="service.pem", headers={"X-API-Key": "alice"})
    assert not pair.waits(cert="service.pem", headers={"X-API-Key": "bob"})
    assert pair.waits(cert="service.pem", headers={"X-API-Key": "alice"})


def test_an_adopted_header_is_the_credential_of_the_settings() -> None:
    """Who sends the adopted header, and who sends none, are one caller; others are not."""
    pair = Pair(token=lambda: "new", origins=[API], adopt=["authorization"])
    pair.sessions[0].get(API, headers={"Authorization": "Bearer old"})
    assert not pair.waits(headers={"Authorization": "Bearer other"})
    assert pair.waits()
    assert pair.below.sent[-1].headers["Authorization"] == "Bearer old"


def test_a_credential_for_other_origins_tells_nothing() -> None:
    """Where the tokens of two settings do not go, both are nobody, and wait together."""
    store, there = MemoryStore(), ["https://there.example.com"]
    pair = Pair(origins=there, store=store, token="alice")
    pair.sessions[0].get(API)
    pair.settings = replace(pair.settings, token="bob")
    pair.sessions[1] = pair.mounted()
    assert pair.waits()


def test_a_hop_shows_the_certificate_too() -> None:
    """The refusal of a redirected request holds back those who show the same certificate."""
    pair = Pair()
    pair.below = ScriptedAdapter((307, {"Location": f"{API}/other"}), REFUSED, *[200] * 5)
    pair.sessions = [pair.mounted(), pair.mounted()]
    pair.sessions[0].get(API, cert="alice.pem")
    assert not pair.waits(cert="bob.pem")


def test_cookies_of_the_session_are_the_callers() -> None:
    """A cookie that the caller put into the session's jar tells callers apart."""
    pair = Pair()
    for session, who in zip(pair.sessions, ["alice", "bob"], strict=True):
        session.cookies.set("sid", who)
    pair.sessions[0].get(API)
    assert not pair.waits()


def test_a_cookie_for_one_host_is_the_callers_too() -> None:
    """The caller may say which host a cookie of the session is for."""
    pair = Pair()
    for session, who in zip(pair.sessions, ["alice", "bob"], strict=True):
        session.cookies.set("sid", who, domain="api.example.com")
    pair.sessions[0].get(API)
    assert not pair.waits()


def answered(session: requests.Session, line: str) -> None:
    """Let an answer of the API set a cookie."""
    headers = Message()
    headers["Set-Cookie"] = line
    request = requests.Request("GET", API).prepare()
    answer: Any = MockResponse(headers)
    asked: Any = MockRequest(request)
    session.cookies.extract_cookies(answer, asked)


@pytest.mark.parametrize(
    "form",
    [
        "balancer={}",
        "balancer={}; Path=/; HttpOnly; Secure",
        "balancer={}; Domain=api.example.com",
        "balancer={}; Domain=.example.com; Version=1",
        "balancer=={}=",
        "{}",
    ],
)
def test_cookies_of_the_server_name_nobody(form: str) -> None:
    """A load balancer's cookie makes no new caller: all sessions wait together."""
    pair = Pair()
    for session, value in zip(pair.sessions, "ab", strict=True):
        answered(session, form.format(value))
    pair.sessions[0].get(API)
    assert pair.waits()
    assert form.partition(";")[0].format("b") in str(pair.below.sent[-1].headers["Cookie"])


@pytest.mark.parametrize("options", [WAYS["a cookie of the call"], WAYS["a Cookie header"]])
def test_cookies_of_the_server_hide_no_caller(options: Way) -> None:
    """Beside a load balancer's cookie, Alice's own one still tells her from Bob."""
    pair = Pair()
    for session, value in zip(pair.sessions, "ab", strict=True):
        answered(session, f"balancer={value}")
    pair.sessions[0].get(API, **options("alice", ""))
    assert not pair.waits(**options("bob", ""))
    assert pair.waits(**options("alice", ""))


def test_a_cookie_that_the_server_repeats_is_the_callers() -> None:
    """The answer sets the cookie that Alice came with: she stays who she is."""
    pair = Pair()
    for session in pair.sessions:
        session.cookies.set("sid", "alice")
    answered(pair.sessions[0], "sid=alice")
    pair.sessions[0].get(API)
    assert pair.waits()
    assert not pair.waits(cookies={"sid": "bob"})


class Key(requests.auth.AuthBase):
    """Signs with a key in a header."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header."""
        request.headers["X-Signed-By"] = self.name
        return request


@pytest.mark.parametrize(
    "changes",
    [
        lambda who: {"token": who},
        lambda who: {"auth": Key(who), "token": None},
    ],
    ids=["token", "auth"],
)
@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["alone", "store"])
def test_the_credential_of_an_override_is_another_callers(
    changes: Callable[[str], dict[str, Any]], store: MemoryStore | None
) -> None:
    """Each user of a web application has a limit of their own, also beside the base's token."""
    pair = Pair(token="base", origins=[API], store=store)
    with override(**changes("alice")):
        assert pair.sessions[0].get(API).status_code == 429
    with override(**changes("bob")):
        assert not pair.waits()
    assert not pair.waits()


class Remade(requests.auth.HTTPDigestAuth):
    """Is made anew for each call of the same user."""


class Opaque(Key):
    """Has something inside that cannot be compared."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.inside = object()


class Source:
    """A token source that is no function."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fetch(self, _: FetchContext) -> str:
        """Return the name."""
        return self.name


class Named(Source):
    """A token source that says under which name its tokens are in a store."""

    @property
    def store_key(self) -> str:
        """The name."""
        return self.name


class Unhashable(Opaque):
    """Compares itself, and is no key of a dictionary."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Whether another one is of the same class."""
        return isinstance(other, Unhashable)


class OtherKey(Key):
    """Signs in another way."""


ALICE, BOB = Source("alice"), Source("bob")
SIGNER, OTHER_SIGNER = Opaque("eu"), Opaque("eu")


@pytest.mark.parametrize(
    ("alice", "bob"),
    [
        (lambda: {"token": "alice"}, lambda: {"token": "bob"}),
        (lambda: {"token": ALICE}, lambda: {"token": BOB}),
        (lambda: {"token": Named("alice")}, lambda: {"token": Named("bob")}),
        (lambda: {"auth": Key("alice")}, lambda: {"auth": Key("bob")}),
        (lambda: {"auth": Remade("alice", "")}, lambda: {"auth": Remade("bob", "")}),
        (lambda: {"auth": SIGNER}, lambda: {"auth": OTHER_SIGNER}),
        (lambda: {"token": ALICE, "auth": SIGNER}, lambda: {"token": ALICE, "auth": OTHER_SIGNER}),
        (lambda: {"token": ALICE, "auth": SIGNER}, lambda: {"token": BOB, "auth": SIGNER}),
    ],
)
@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["alone", "store"])
def test_the_same_credential_in_another_override_is_the_same_caller(
    alice: Callable[[], dict[str, Any]],
    bob: Callable[[], dict[str, Any]],
    store: MemoryStore | None,
) -> None:
    """A web application overrides the credential on each request: Alice waits on her next one."""
    pair = Pair(token="base", origins=[API], store=store)
    with override(**alice()):
        assert pair.sessions[0].get(API).status_code == 429
    with override(**bob()):
        assert not pair.waits()
    with override(**alice()):
        assert pair.waits()


@pytest.mark.parametrize(
    ("alice", "bob"),
    [
        ({"token": "alice"}, {"token": "bob"}),
        ({"token": Named("alice")}, {"token": Named("bob")}),
        ({"token": lambda: "alice"}, {"token": lambda: "bob"}),
        ({"auth": Key("alice")}, {"auth": Key("bob")}),
        ({"auth": Key("alice")}, {"auth": OtherKey("alice")}),
        ({"auth": SIGNER}, {"auth": OTHER_SIGNER}),
        ({"auth": lambda request: request}, {"auth": lambda request: request}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*two token sources")
def test_two_settings_with_one_store_are_two_callers(
    alice: dict[str, Any], bob: dict[str, Any]
) -> None:
    """Two tenants of one program, or two programs, share a store and not their limits."""
    pair = Pair(origins=[API], store=MemoryStore(), **alice)
    pair.sessions[0].get(API)
    mine, pair.settings = pair.settings, replace(pair.settings, **bob)
    pair.sessions[1] = pair.mounted()
    assert not pair.waits()
    pair.settings = replace(mine)
    pair.sessions[1] = pair.mounted()
    assert pair.waits()


def test_signers_that_cannot_be_told_apart_are_two_callers() -> None:
    """A signer that is no key of a dictionary is another caller in each settings object."""
    pair = Pair(origins=[API], store=MemoryStore(), auth=Unhashable("alice"))
    pair.sessions[0].get(API)
    pair.settings = replace(pair.settings, auth=Unhashable("bob"))
    pair.sessions[1] = pair.mounted()
    assert not pair.waits()


def test_an_override_of_other_settings_is_the_same_caller() -> None:
    """A call with another retry policy waits for the refusal of its own token."""
    pair = Pair(token="base", origins=[API])
    assert pair.sessions[0].get(API).status_code == 429
    with override(retry=RetryPolicy(max_attempts=2)):
        assert pair.waits()


def test_a_renewed_token_is_the_same_caller() -> None:
    """A cool-down outlives the token that was refused: the server counts the account."""
    tokens, clock = iter(["one", "two"]), FakeClock()

    def fetch() -> Token:
        return Token(next(tokens), expires_at=clock.time() + 10)

    pair = Pair(token=fetch, origins=[API], clock=clock)
    assert pair.sessions[0].get(API).status_code == 429
    pair.clock.advance(15)
    assert pair.waits()


def test_a_function_may_tell_callers_apart() -> None:
    """`RateLimits(identity=...)` comes first: here it is a header that no list knows."""

    def tenant(request: requests.PreparedRequest) -> str | None:
        name = request.headers.get("X-Tenant")
        return None if name is None else str(name)

    pair = Pair(limits=RateLimits(identity=tenant))
    pair.sessions[0].get(API, headers={"X-Tenant": "alice", "X-API-Key": "shared"})
    assert not pair.waits(headers={"X-Tenant": "bob", "X-API-Key": "shared"})
    assert not pair.waits(headers={"X-API-Key": "shared"})
    assert pair.waits(headers={"X-Tenant": "alice"})


def test_an_exception_of_the_function_ends_the_call() -> None:
    """It is the caller's own fault, and is raised as it is."""

    def broken(request: requests.PreparedRequest) -> str | None:
        raise LookupError(request.method)

    pair = Pair(limits=RateLimits(identity=broken))
    with pytest.raises(LookupError, match="GET"):
        pair.sessions[0].get(API)
    assert len(pair.below.sent) == 1


def test_the_function_may_give_bytes() -> None:
    """A tenant may have a name that is no text."""
    pair = Pair(limits=RateLimits(identity=lambda request: request.headers["X-Tenant"]))
    pair.sessions[0].get(API, headers={"X-Tenant": b"alice"})
    assert not pair.waits(headers={"X-Tenant": b"bob"})
    assert pair.waits(headers={"X-Tenant": b"alice"})


def test_the_function_may_give_any_text() -> None:
    """The name of a file, for instance, may have bytes that are no text."""
    pair = Pair(limits=RateLimits(identity=lambda request: f"{request.headers['X-Tenant']}\udcff"))
    pair.sessions[0].get(API, headers={"X-Tenant": "alice"})
    assert not pair.waits(headers={"X-Tenant": "bob"})
    assert pair.waits(headers={"X-Tenant": "alice"})


def test_an_identity_that_is_no_text_is_refused() -> None:
    """A number may be the user's, or the address of something: the error says what is needed."""
    pair = Pair(limits=RateLimits(identity=id))  # type: ignore[arg-type]
    fault = "^RateLimits: identity must return text or None, and returned int$"
    with pytest.raises(ConfigurationError, match=fault):
        pair.sessions[0].get(API)


def test_an_identity_that_is_no_function_is_refused() -> None:
    """The error names what is needed."""
    with pytest.raises(ConfigurationError, match="identity must be a function of a request"):
        RateLimits(identity="tenant")  # type: ignore[arg-type]


def test_no_credential_is_in_a_shared_record() -> None:
    """Stores see a hash of 64 bits, which is the same in every process."""
    pushed, is_there = list[str](), Event()

    class Seen(MemoryStore):
        def push(self, key: str, seconds: float) -> float:
            pushed.append(key)
            is_there.set()
            return super().push(key, seconds)

    pair = Pair(store=Seen())
    pair.sessions[0].get(API, headers={"X-API-Key": "sesame-4711"})
    assert is_there.wait(PATIENCE)
    assert pushed == [f"cool-down policy {API} {name_of('x-api-key', 'sesame-4711')} all"]
    assert "sesame" not in pushed[0]
    assert len(name_of("x-api-key", "sesame-4711")) == 16


def test_the_name_of_a_credential_is_the_same_in_all_releases() -> None:
    """Two programs that share a store may have different releases of this library."""
    assert name_of("x-api-key", "sesame-4711") == "57bd513189abca63"
    assert name_of(b"x", "api-key") == "9c6a03037a7e5aed"


@pytest.mark.parametrize("query", ["?api_key=%ff", "?" + "&" * 2000 + "api_key=sesame"])
def test_an_odd_query_ends_no_call(query: str) -> None:
    """A query is read as far as it can be."""
    pair = Pair()
    pair.sessions[0].get(API + query)
    assert not pair.waits(params={"api_key": "other"})


def test_a_url_that_nobody_can_read_names_nobody() -> None:
    """Requests refuses such a URL when it sends: telling callers apart does not fail before."""
    assert identity_of({}, [], "https://[not-an-address/?api_key=sesame") == ""
