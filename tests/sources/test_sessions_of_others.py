"""`from_credentials`: the real sessions of requests-oauthlib and Authlib, and a real server."""

from __future__ import annotations

import pickle
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import requests_oauthlib  # type: ignore[import-untyped]
from authlib.integrations import requests_client  # type: ignore[import-untyped]

from requests_authretry import ConfigurationError, FetchContext, MemoryStore, Token
from requests_authretry.sources import from_credentials
from requests_authretry.testing import FakeClock
from tests.support.authority import CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_authretry.cli.demo_server import DemoServer
    from tests.support.authority import Authority, Caller


def oauthlib_session(authority: Authority, **options: Any) -> Any:
    """A session of requests-oauthlib that knows how to renew."""
    options.setdefault("auto_refresh_url", authority.token_endpoint)
    options.setdefault("token", authority.first_token())
    return requests_oauthlib.OAuth2Session(CLIENT_ID, **options)


def authlib_session(authority: Authority, **options: Any) -> Any:
    """A session of Authlib that knows how to renew."""
    options.setdefault("token_endpoint", authority.token_endpoint)
    options.setdefault("token", authority.first_token())
    return requests_client.OAuth2Session(CLIENT_ID, CLIENT_SECRET, **options)


SESSIONS = pytest.mark.parametrize("session", [oauthlib_session, authlib_session])


@SESSIONS
def test_a_session_renews(
    session: Callable[..., Any], authority: Authority, caller: Callable[..., Caller]
) -> None:
    """Its token is used, and renewed as often as it is refused, with the newest refresh token."""
    held = session(authority)
    user = caller(from_credentials(held))
    assert user.statuses() == [200, 401, 200]
    assert user.statuses() == [200, 401, 200]
    assert [form["refresh_token"] for form in authority.asked] == ["refresh-0", "refresh-1"]
    assert held.token["refresh_token"] == authority.refresh_token == "refresh-2"


@SESSIONS
def test_a_refresh_token_that_stays(
    session: Callable[..., Any], authority: Authority, caller: Callable[..., Caller]
) -> None:
    """Where the server does not rotate it, the session keeps it as the plain text it was."""
    authority.rotates = False
    held = session(authority)
    assert caller(from_credentials(held)).statuses() == [200, 401, 200]
    assert pickle.loads(pickle.dumps(dict(held.token)))["refresh_token"] == "refresh-0"  # noqa: S301 (our own bytes)


def test_who_keeps_the_token_of_requests_oauthlib(authority: Authority) -> None:
    """Its token_updater gets each new token, and auto_refresh_kwargs go along."""
    kept: list[Any] = []
    held = oauthlib_session(
        authority, token_updater=kept.append, auto_refresh_kwargs={"client_secret": CLIENT_SECRET}
    )
    before = held.token["access_token"]
    source = from_credentials(held)
    found = source.fetch(FetchContext(Token(before), refused=True, timeout=60))
    assert isinstance(found, Token)
    assert [token["access_token"] for token in kept] == [found.value]
    assert found.value != before
    assert authority.asked[0]["client_secret"] == CLIENT_SECRET


@pytest.mark.parametrize("grant", ["refresh_token", "client_credentials"])
def test_who_keeps_the_token_of_authlib(grant: str, authority: Authority) -> None:
    """Its update_token gets each new token, with what it replaces."""
    kept: list[Any] = []
    held = authlib_session(
        authority,
        grant_type=grant,
        update_token=lambda token, **old: kept.append((token["access_token"], old)),
    )
    before = held.token["access_token"]
    if grant == "client_credentials":
        del held.token["refresh_token"]
    source = from_credentials(held)
    found = source.fetch(FetchContext(Token(before), refused=True, timeout=60))
    assert isinstance(found, Token)
    old = {"refresh_token": "refresh-0"} if grant == "refresh_token" else {"access_token": before}
    assert kept == [(found.value, old)]


def test_a_session_of_authlib_for_itself(
    authority: Authority, caller: Callable[..., Caller]
) -> None:
    """With the grant client_credentials it gets its first token, and the next, by itself."""
    held = authlib_session(authority, token=None, grant_type="client_credentials", scope="all")
    assert caller(from_credentials(held)).statuses() == [200, 401, 200]
    assert [form["scope"] for form in authority.asked] == ["all", "all"]


@pytest.mark.parametrize(
    ("session", "options"),
    [
        (oauthlib_session, {"auto_refresh_url": None}),
        (oauthlib_session, {"token": {"access_token": "none"}}),
        (authlib_session, {"token_endpoint": None}),
        (authlib_session, {"token": {"access_token": "none"}}),
        (authlib_session, {"token": {"access_token": "none"}, "grant_type": "password"}),
    ],
)
def test_a_session_that_cannot_renew(
    session: Callable[..., Any],
    options: dict[str, Any],
    authority: Authority,
    caller: Callable[..., Caller],
    demo_server: DemoServer,
) -> None:
    """Its token is used while it is good; the 401 is handed out, and it is left as it is."""
    held = session(authority, **options)
    before = dict(held.token)
    user = caller(from_credentials(held))
    demo_server.revoke()
    assert user.get() == 401
    assert user.declined == ["SOURCE_DECLINED"]
    assert held.token == before
    assert not authority.asked


@pytest.mark.parametrize("told", [{}, {"early": True}])
def test_a_good_token_that_cannot_be_renewed(told: dict[str, Any], authority: Authority) -> None:
    """Before its end the same token is given again, after it none."""
    token = {"access_token": "held", "expires_at": 1_000_000_010}
    source = from_credentials(authlib_session(authority, token=token))
    clock = FakeClock(1e9)
    first = source.fetch(FetchContext(None, clock=clock))
    assert isinstance(first, Token)
    assert source.fetch(FetchContext(first, clock=clock, **told)) == first
    clock.advance(10)
    assert source.fetch(FetchContext(first, clock=clock)) is None


@SESSIONS
def test_a_session_without_a_token(session: Callable[..., Any], authority: Authority) -> None:
    """Where nobody has signed in there is no token."""
    assert from_credentials(session(authority, token={})).fetch(FetchContext(None)) is None


@SESSIONS
def test_the_token_of_a_session(session: Callable[..., Any], authority: Authority) -> None:
    """Expiry and refresh token are taken along, where there are any."""
    fields = {"access_token": "a", "token_type": "bearer", "refresh_token": "r"}
    for given, expires_at in (({"expires_at": 4_000_000_000}, 4e9), ({}, None)):
        source = from_credentials(session(authority, token={**fields, **given}))
        found = source.fetch(FetchContext(None))
        assert found == Token("a", expires_at, refresh_token="r")


def test_an_expiry_that_is_none(authority: Authority) -> None:
    """Text in the place of a time counts as unknown."""
    source = from_credentials(
        oauthlib_session(authority, token={"access_token": "a", "expires_at": "soon"})
    )
    assert source.fetch(FetchContext(None)) == Token("a")


@SESSIONS
def test_a_token_of_another_type(
    session: Callable[..., Any], authority: Authority, caller: Callable[..., Caller]
) -> None:
    """A token that has to be proved or signed for is not sent as if it were a bearer token."""
    held = session(authority, token={"access_token": "held", "token_type": "mac"})
    assert "no bearer token" in str(caller(from_credentials(held)).failure())


@SESSIONS
def test_two_processes_with_one_login(
    session: Callable[..., Any],
    authority: Authority,
    caller: Callable[..., Caller],
    demo_server: DemoServer,
) -> None:
    """Where one has renewed, the other goes on with that token, and with its refresh token.

    The old refresh token is never sent again: that could end the login of both.
    """
    store, login = MemoryStore(), authority.first_token() | {"expires_at": int(time.time()) + 60}
    one, other = (
        caller(
            from_credentials(session(authority, token=dict(login)), store_key="login"), store=store
        )
        for _ in range(2)
    )
    assert one.statuses() == [200, 401, 200]
    assert other.get() == 200
    demo_server.revoke()
    assert other.get() == 200
    assert one.get() == 200
    assert [form["refresh_token"] for form in authority.asked] == ["refresh-0", "refresh-1"]
    assert authority.reused == 0


@SESSIONS
def test_a_later_login(session: Callable[..., Any], authority: Authority) -> None:
    """A session where the user has signed in anew is ahead of what the store has."""
    held = session(authority, token={"access_token": "new", "expires_at": 4_000_000_000})
    old = Token("old", 3e9, refresh_token="spent")
    found = from_credentials(held).fetch(FetchContext(old, refused=True))
    assert found == Token("new", 4e9)
    assert not authority.asked


@SESSIONS
def test_a_later_token_that_renews_nothing(
    session: Callable[..., Any], authority: Authority
) -> None:
    """Where the store's token came without a refresh token, the session's own is used."""
    held = session(authority, token={**authority.first_token(), "expires_at": 1})
    found = from_credentials(held).fetch(
        FetchContext(Token("later", 4e9), refused=True, timeout=60)
    )
    assert found is not None
    assert [form["refresh_token"] for form in authority.asked] == ["refresh-0"]


@SESSIONS
def test_a_refresh_token_that_is_spent(
    session: Callable[..., Any],
    authority: Authority,
    caller: Callable[..., Caller],
    demo_server: DemoServer,
) -> None:
    """What the session raises reaches the caller by its name alone."""
    authority.error = "invalid_grant"
    user = caller(from_credentials(session(authority)))
    demo_server.revoke()
    error = user.failure()
    name = str(error).rpartition(" ")[2]
    assert f".{name}\n" in str(error.__cause__)
    assert CLIENT_SECRET not in "".join(traceback.format_exception_only(error))


@SESSIONS
def test_scopes_that_are_not_wanted(session: Callable[..., Any], authority: Authority) -> None:
    """A session that has its own scopes is not given others in silence."""
    with pytest.raises(ConfigurationError, match="scopes belong to the session"):
        from_credentials(session(authority), ["all"])
