"""What an API says of a token, answered with the sources of OAuth 2 against real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import (
    AttemptEnded,
    CallEnded,
    FetchContext,
    FileStore,
    MemoryStore,
    Reason,
    RefreshDeclined,
    RefreshFailed,
    TokenRefreshed,
    Waiting,
)
from requests_authretry.cli.demo_server import DemoServer, serve
from requests_authretry.oauth2 import (
    Client,
    ClientCredentials,
    JWTBearer,
    Password,
    RefreshToken,
    TokenExchange,
)
from requests_authretry.testing import FakeClock, forget_tokens
from tests.oauth2.support import mounted
from tests.servers.api import Api
from tests.servers.oidc import rsa_key
from tests.support.sessions import raised

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.oidc import OidcServer

READ = ["api:read"]


@pytest.fixture
def demo_server(oidc: OidcServer) -> DemoServer:
    """The API behind a demo server that can answer in its place."""
    return DemoServer(Api(oidc))


@pytest.fixture
def url(demo_server: DemoServer) -> Iterator[str]:
    """Where it is."""
    with serve(demo_server) as url:
        yield url


def sources(oidc: OidcServer) -> dict[str, Any]:
    """A source of each grant that needs no human."""
    issuer = oidc.issuer
    key = rsa_key().as_pem(private=True)
    own = ClientCredentials(Client(*oidc.cc, issuer=issuer), READ)
    return {
        "client credentials": own,
        "refresh token": RefreshToken(Client(*oidc.app, issuer=issuer), oidc.seed()),
        "password": Password(
            Client(*oidc.legacy, issuer=issuer), oidc.username, oidc.password, READ
        ),
        "jwt bearer": JWTBearer(Client(oidc.svc.id, issuer=issuer), key, READ, subject="ada"),
    }


GRANTS = ["client credentials", "refresh token", "password", "jwt bearer"]


@pytest.mark.parametrize("grant", GRANTS)
def test_a_token_that_has_expired(oidc: OidcServer, url: str, grant: str) -> None:
    """A 401 costs one token request, and the caller sees a 200."""
    with mounted(sources(oidc)[grant], url) as session:
        for number in range(1, 4):
            response = session.get(f"{url}/get")
            assert response.status_code == 200
            assert len(oidc.log()) == number
            oidc.expire_all()
    assert {entry["status"] for entry in oidc.log()} == {200}


@pytest.mark.parametrize("grant", GRANTS)
@pytest.mark.parametrize(
    ("status", "challenge", "reason"),
    [
        (403, 'Bearer error="insufficient_scope", scope="api:admin"', Reason.INSUFFICIENT_SCOPE),
        (401, 'Bearer error="insufficient_scope"', Reason.INSUFFICIENT_SCOPE),
        (401, 'Bearer error="insufficient_user_authentication", max_age=5', Reason.STEP_UP),
        (401, 'Bearer error="invalid_request"', Reason.INVALID_REQUEST),
    ],
)
def test_what_no_renewal_cures(  # noqa: PLR0913, PLR0917 (what pytest hands in)
    oidc: OidcServer,
    demo_server: DemoServer,
    url: str,
    grant: str,
    status: int,
    challenge: str,
    reason: Reason,
) -> None:
    """It is told and handed out, and neither renewed nor sent again."""
    events: list[Any] = []
    with mounted(sources(oidc)[grant], url, listeners=[events.append]) as session:
        session.get(f"{url}/get")
        demo_server.answer(status, [("WWW-Authenticate", challenge)])
        assert session.get(f"{url}/get").status_code == status
        assert session.get(f"{url}/get").status_code == 200
    (declined,) = [event for event in events if isinstance(event, RefreshDeclined)]
    assert declined.reason is reason
    assert (declined.step_up is not None) == (reason is Reason.STEP_UP)
    assert len(oidc.log()) == 1
    assert len(demo_server.seen) == 3


def test_a_plain_403_is_no_event(oidc: OidcServer, demo_server: DemoServer, url: str) -> None:
    """A 403 that says nothing of the token is the caller's alone."""
    events: list[Any] = []
    with mounted(sources(oidc)["refresh token"], url, listeners=[events.append]) as session:
        demo_server.answer(403)
        assert session.get(f"{url}/get").status_code == 403
    told = [type(event) for event in events]
    assert told == [Waiting, TokenRefreshed, AttemptEnded, CallEnded]


def test_a_chain_of_tokens(oidc: OidcServer, url: str) -> None:
    """A token that is exchanged for another: both are renewed when they have to be."""
    issuer = oidc.issuer
    own = ClientCredentials(Client(*oidc.cc, issuer=issuer), READ)

    def subject() -> Any:
        return own.fetch(FetchContext(None, timeout=60))

    source = TokenExchange(Client(*oidc.token_exchange, issuer=issuer), subject, READ)
    with mounted(source, url) as session:
        for _ in range(2):
            assert session.get(f"{url}/get").status_code == 200
            oidc.expire_all()
    assert len(oidc.log()) == 4


def test_a_dead_subject(oidc: OidcServer, url: str) -> None:
    """RFC 8693 section 2.2.2: a subject token that is not good is an invalid request."""
    source = TokenExchange(Client(*oidc.token_exchange, issuer=oidc.issuer), "no token", READ)
    with mounted(source, url) as session:
        error = raised(session, f"{url}/get")
    assert isinstance(error, RefreshFailed)
    assert error.error == "invalid_request"
    assert "no token" not in str(error)


def test_a_password_that_was_changed(oidc: OidcServer, url: str) -> None:
    """The refresh token serves while it lasts; then the password has to be right."""
    client = Client(*oidc.legacy, issuer=oidc.issuer)
    good = Password(client, oidc.username, oidc.password, READ, store_key="it")
    bad = Password(client, oidc.username, "changed", READ, store_key="it")
    store, clock = MemoryStore(), FakeClock()
    with mounted(good, url, store=store, clock=clock) as session:
        session.get(f"{url}/get")
    oidc.expire_all()
    with mounted(bad, url, store=store, clock=clock) as session:
        assert session.get(f"{url}/get").status_code == 200
    grants = [entry["grant"] for entry in oidc.log()]
    assert grants == ["password", "refresh_token"]


def test_the_next_run_goes_on_where_this_one_ended(
    oidc: OidcServer, url: str, tmp_path: Path
) -> None:
    """With a store that lasts, the line of refresh tokens goes on after the first is spent."""
    seed, path = oidc.seed(), tmp_path / "tokens.json"
    for _ in range(3):
        source = RefreshToken(Client(*oidc.app, issuer=oidc.issuer), seed)
        with mounted(source, url, store=FileStore(path)) as session:
            assert session.get(f"{url}/get").status_code == 200
        oidc.expire_all()
    spent = [entry["refresh"] for entry in oidc.log()]
    assert len(set(spent)) == len(spent) == 3
    text = path.read_text()
    assert seed not in text


def test_without_a_store_the_next_run_needs_a_new_sign_in(oidc: OidcServer, url: str) -> None:
    """The first refresh token is spent by the first run: the error says what it is."""
    seed, clock = oidc.seed(), FakeClock()
    errors: list[Any] = []
    for _ in range(2):
        forget_tokens()
        source = RefreshToken(Client(*oidc.app, issuer=oidc.issuer), seed)
        with mounted(source, url, clock=clock) as session:
            try:
                session.get(f"{url}/get")
            except RefreshFailed as error:
                errors.append(error.error)
    assert errors == ["invalid_grant"]
