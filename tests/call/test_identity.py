"""Whom a refusal holds back: callers with other credentials go on."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    ConfigurationError,
    MemoryStore,
    RateLimits,
    RetryPolicy,
    Settings,
    Token,
    mount,
    override,
)
from requests_authretry._core.identity import name_of
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.limits import hint
from tests.support.sessions import API
from tests.support.wire import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSED = hint(30)
ONCE = RetryPolicy(max_attempts=1)
AWS = "AWS4-HMAC-SHA256 Credential={}/20260101/eu/s3/aws4_request, Signature={}"


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

    def waits(self, **options: Any) -> bool:
        """Whether a call of the second session waits for the refusal of the first one."""
        before = self.clock.monotonic()
        assert self.sessions[1].get(API, **options).status_code == 200
        return self.clock.monotonic() > before


def by_header(name: str, form: str = "{}") -> Callable[[str, str], dict[str, Any]]:
    """Options of a call by somebody, the second part of the header being another each time."""
    return lambda who, other: {"headers": {name: form.format(who, other)}}


WAYS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "Authorization": by_header("Authorization", "Bearer {}"),
    "Authorization as bytes": lambda who, _: {"headers": {"Authorization": who.encode()}},
    "Basic": lambda who, _: {"auth": (who, "password")},
    "AWS": by_header("authorization", AWS),
    "HTTP signature": by_header("Authorization", 'Signature keyId="{}",signature="{}"'),
    "Digest": by_header("Authorization", 'Digest username="{}", response="{}"'),
    "OAuth 1": by_header("Authorization", 'OAuth oauth_token="{}", oauth_signature="{}"'),
    "Hawk": by_header("Authorization", 'Hawk id="{}", mac="{}"'),
    "X-API-Key": by_header("X-API-Key"),
    "PRIVATE-TOKEN": by_header("PRIVATE-TOKEN"),
    "Ocp-Apim-Subscription-Key": by_header("ocp-apim-subscription-key"),
    "a cookie of the call": lambda who, _: {"cookies": {"sid": who}},
    "a Cookie header": by_header("Cookie", "sid={}"),
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_a_refusal_holds_back_the_same_caller_alone(
    options: Callable[[str, str], dict[str, Any]],
) -> None:
    """Bob goes on while Alice waits, and Alice waits in her other session too."""
    pair = Pair()
    assert pair.sessions[0].get(API, **options("alice", "1")).status_code == 429
    assert not pair.waits(**options("bob", "2"))
    assert pair.waits(**options("alice", "3"))


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
def test_a_handshake_names_nobody(scheme: str) -> None:
    """What changes with each connection cannot tell callers apart: they wait together."""
    pair = Pair()
    pair.sessions[0].get(API, headers={"Authorization": f"{scheme} one"})
    assert pair.waits(headers={"Authorization": f"{scheme} two"})


def test_cookies_of_the_session_are_the_callers() -> None:
    """A cookie that the caller put into the session's jar tells callers apart."""
    pair = Pair()
    for session, who in zip(pair.sessions, ["alice", "bob"], strict=True):
        session.cookies.set("sid", who)
    pair.sessions[0].get(API)
    assert not pair.waits()


def test_cookies_of_the_server_name_nobody() -> None:
    """A load balancer's cookie makes no new caller: all sessions wait together."""
    pair = Pair()
    for session, value in zip(pair.sessions, "ab", strict=True):
        session.cookies.set("balancer", value, domain="api.example.com")
    pair.sessions[0].get(API)
    assert pair.waits()


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
