"""Token requests under trouble: what is asked again, when, for how long, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    Backoff,
    FetchContext,
    Jitter,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Token,
    mount,
)
from requests_authretry.oauth2 import (
    Client,
    ClientCredentials,
    JWTBearer,
    Key,
    RefreshToken,
    TokenExchange,
)
from requests_authretry.testing import FakeClock
from tests.oauth2.support import (
    ACCESS,
    API,
    AT_ONCE,
    ISSUER,
    ONCE,
    TOKEN_URL,
    Authority,
    claims_of,
    ended_renewals,
    failure,
    gives,
    held,
    mounted,
    outcome_of,
    refuses,
    says,
)
from tests.support.sessions import raised
from tests.support.wire import Wire, silence

if TYPE_CHECKING:
    from requests_authretry.testing import Line
    from tests.servers.oidc import OidcServer

LOST = requests.ConnectionError("lost")
EVEN = RetryPolicy(backoff=Backoff(initial=1.0, throttled_initial=2.0, jitter=Jitter.NONE))
KEY = Key.generate()


@pytest.mark.parametrize(
    ("trouble", "wait"),
    [
        pytest.param((429, {"Retry-After": "7"}, b""), 7.0, id="429 with a time"),
        pytest.param((429, {}, b""), 2.0, id="429"),
        pytest.param((503, {"Retry-After": "3"}, b""), 3.0, id="503 with a time"),
        pytest.param(refuses("temporarily_unavailable", 503), 1.0, id="503"),
        pytest.param((500, {}, b""), 1.0, id="500"),
        pytest.param(LOST, 1.0, id="lost"),
        pytest.param(requests.ReadTimeout("silent"), 1.0, id="silent"),
        pytest.param(requests.ConnectTimeout("away"), 1.0, id="away"),
    ],
)
def test_trouble_that_passes(trouble: Line, wait: float) -> None:
    """A token request goes again as the policy of the settings has it, and waits as it says."""
    authority = Authority(trouble, gives())
    source = ClientCredentials(authority.client())
    assert source.fetch(authority.context(retry=EVEN)).value == ACCESS
    assert authority.clock.sleeps == [wait]


@pytest.mark.parametrize("attempts", [1, 2, 6])
def test_trouble_that_lasts(attempts: int) -> None:
    """No more attempts are made than the policy has."""
    authority = Authority(*[(503, {}, b"")] * 10)
    policy = RetryPolicy(max_attempts=attempts)
    error = failure(ClientCredentials(authority.client()), authority.context(retry=policy))
    assert "answered 503" in str(error)
    assert len(authority.sent) == attempts


def test_other_statuses_of_the_policy() -> None:
    """What the policy calls worth another attempt is, and nothing else."""
    policy = RetryPolicy(statuses={418}, backoff=AT_ONCE.backoff)
    authority = Authority((418, {}, b""), (503, {}, b""), gives())
    failure(ClientCredentials(authority.client()), authority.context(retry=policy))
    assert len(authority.sent) == 2


def test_no_idempotency_key() -> None:
    """Attempts of a token request differ by assertion and proof, which a key does not forgive."""
    policy = RetryPolicy(idempotency_key=True, backoff=AT_ONCE.backoff)
    authority = Authority((503, {}, b""), gives())
    ClientCredentials(authority.client()).fetch(authority.context(retry=policy))
    assert ["Idempotency-Key" in request.headers for request in authority.sent] == [False, False]


def test_an_early_renewal_is_one_attempt() -> None:
    """Where nobody waits yet, one attempt is enough, as another renewal follows."""
    authority = Authority((503, {"Retry-After": "1"}, b""), gives())
    source = ClientCredentials(authority.client())
    failure(source, authority.context(early=True, stale=Token("good still")))
    assert len(authority.sent) == 1
    assert authority.clock.sleeps == []


@pytest.mark.parametrize(("retry_after", "waits"), [("19.9", [19.9]), ("20", [])])
def test_a_wait_that_is_longer_than_what_is_left(retry_after: str, waits: list[float]) -> None:
    """A retry_after as long as the time that the caller has left ends the renewal at once."""
    authority = Authority((429, {"Retry-After": retry_after}, b""), gives())
    source = ClientCredentials(authority.client())
    outcome = outcome_of(source, authority.context(timeout=20.0))
    assert isinstance(outcome, Token) == bool(waits)
    assert authority.clock.sleeps == waits


def test_the_caller_is_back_in_time() -> None:
    """A server that asks for an hour costs its caller no second."""
    authority = Authority((503, {"Retry-After": "3600"}, b""))
    with mounted(ClientCredentials(authority.client()), API, clock=authority.clock) as session:
        error = raised(session, API)
    assert isinstance(error, RefreshFailed)
    assert "answered 503" in str(error)
    assert authority.clock.sleeps == []


def test_attempts_share_one_deadline() -> None:
    """Discovery, retries and waits together take no longer than the caller has."""
    trouble: Line = (503, {"Retry-After": "8"}, b"")
    found = says({"issuer": ISSUER, "token_endpoint": TOKEN_URL})
    authority = Authority(trouble, found, trouble, trouble)
    source = ClientCredentials(authority.client(issuer=ISSUER))
    failure(source, authority.context(timeout=20.0))
    assert authority.clock.sleeps == [8, 8]


def signed(kind: str) -> tuple[Authority, Any, str]:
    """An authority in trouble, a source that signs, and the field that it signs."""
    authority = Authority((503, {}, b""), LOST, gives())
    if kind == "private_key_jwt":
        client = authority.client(None, key=KEY)
        return authority, ClientCredentials(client), "client_assertion"
    return authority, JWTBearer(authority.client(None), KEY), "assertion"


@pytest.mark.parametrize("kind", ["private_key_jwt", "jwt_bearer"])
def test_an_assertion_is_good_for_one_attempt(kind: str) -> None:
    """Each attempt signs anew: another jti, and a time that is the attempt's own."""
    authority, source, field = signed(kind)
    source.fetch(authority.context(retry=EVEN))
    claims = [claims_of(form[field]) for form in authority.forms]
    assert len({claim["jti"] for claim in claims}) == 3
    began = int(FakeClock().time())
    assert [claim["iat"] - began for claim in claims] == [0, 1, 3]
    assert all(claim["exp"] - claim["iat"] in {60, 300} for claim in claims)


def test_a_subject_is_asked_for_at_each_attempt() -> None:
    """The token to exchange may have changed between two attempts."""
    subjects = iter(["first", "second"])
    authority = Authority((503, {}, b""), gives())
    source = TokenExchange(authority.client(), subjects.__next__)
    source.fetch(authority.context(retry=AT_ONCE))
    assert [form["subject_token"] for form in authority.forms] == ["first", "second"]


def test_the_end_counts_from_the_attempt_that_brought_it() -> None:
    """A token that came after a wait is good as long as the answer says, from its request on."""
    authority = Authority((503, {"Retry-After": "30"}, b""), gives(expires_in=60))
    found = ClientCredentials(authority.client()).fetch(authority.context())
    assert found.expires_at == FakeClock().time() + 30 + 60


def test_against_the_real_server_an_assertion_is_renewed(oidc: OidcServer) -> None:
    """Where each assertion works once, a token comes though the first answer was lost."""
    from tests.servers.oidc import rsa_key

    key = rsa_key().as_pem(private=True)
    for source in (
        ClientCredentials(Client(oidc.cc_jwt.id, issuer=oidc.issuer, key=key), ["api:read"]),
        JWTBearer(Client(oidc.svc.id, issuer=oidc.issuer), key, ["api:read"], subject="ada"),
    ):
        oidc.reset()
        oidc.fault("drop_after")
        assert source.fetch(FetchContext(None, timeout=10, retry=AT_ONCE)).value
        assert [entry["status"] for entry in oidc.log()] == [200, 200]


@pytest.mark.parametrize("kind", ["status", "drop"])
def test_a_refresh_token_survives_an_attempt_that_was_not_processed(
    oidc: OidcServer, api: str, kind: str
) -> None:
    """A 503 or a lost connection costs the session nothing."""
    source = RefreshToken(Client(*oidc.app, issuer=oidc.issuer), oidc.seed())
    oidc.fault(kind, count=2)
    with mounted(source, api) as session:
        assert session.get(f"{api}/get").status_code == 200
        oidc.expire_all()
        assert session.get(f"{api}/get").status_code == 200
    spent = [entry["refresh"] for entry in oidc.log()]
    assert len(spent) == 4
    assert len(set(spent)) == 2


def test_an_answer_that_is_lost_ends_the_session(oidc: OidcServer, api: str) -> None:
    """The one case that no client can heal is told as invalid_grant, and asked no more."""
    source = RefreshToken(Client(*oidc.app, issuer=oidc.issuer), oidc.seed())
    clock = FakeClock()
    with mounted(source, api, clock=clock) as session:
        assert session.get(f"{api}/get").status_code == 200
        oidc.expire_all()
        oidc.fault("drop_after")
        errors = [raised(session, f"{api}/get") for _ in range(3)]
    assert [getattr(error, "error", None) for error in errors] == ["invalid_grant"] * 3
    assert all(isinstance(error, RefreshFailed) for error in errors)
    assert errors[0].response is not None
    assert errors[0].response.status_code == 401
    assert [entry["status"] for entry in oidc.log()] == [200, 200, 400]


def test_an_answer_that_is_late_is_not_lost(oidc: OidcServer, api: str) -> None:
    """Who waits for a slow server is back at its deadline; the token it brings serves the next."""
    theirs = requests.Session()
    client = Client(*oidc.app, issuer=oidc.issuer, session=theirs)
    clock = FakeClock()
    clock.patience = 0.05
    settings = Settings(
        token=RefreshToken(client, oidc.seed()),
        origins=[api],
        clock=clock,
        retry=RetryPolicy(deadline=5.0),
    )
    with requests.Session() as session:
        mount(session, settings)
        with held(theirs):
            assert isinstance(raised(session, f"{api}/get"), RefreshFailed)
        ended_renewals()
        assert session.get(f"{api}/get").status_code == 200
    assert [entry["status"] for entry in oidc.log()] == [200]


def test_a_server_that_never_answers() -> None:
    """A caller is back at its deadline, whatever the server does."""
    clock = FakeClock()
    clock.patience = 0.05
    policy = RetryPolicy(deadline=5.0, max_attempts=1)
    with Wire(silence()) as wire:
        source = ClientCredentials(Client("my-app", "secret", token_url=f"{wire.url}token"))
        with mounted(source, API, clock=clock, retry=policy) as session:
            error = raised(session, API)
    assert "no token within the 5 s that were left" in str(error)
    assert clock.monotonic() == 5.0


def test_errors_that_last_are_not_asked_again() -> None:
    """A server that refuses is asked once, and the next calls know it for a while."""
    authority = Authority(refuses("invalid_client", 401))
    with mounted(ClientCredentials(authority.client()), API, clock=authority.clock) as session:
        errors = [raised(session, API) for _ in range(5)]
    assert {getattr(error, "error", None) for error in errors} == {"invalid_client"}
    assert len({id(error) for error in errors}) == 5
    assert len(authority.sent) == 1


def test_a_policy_of_one_attempt() -> None:
    """`max_attempts=1` holds for token requests, too."""
    authority = Authority(says(b"", 503), gives())
    failure(ClientCredentials(authority.client()), authority.context(retry=ONCE))
    assert len(authority.sent) == 1
