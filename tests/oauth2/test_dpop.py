"""DPoP: a proof with each attempt, nonces by origin, nothing of it for others (RFC 9449)."""

from __future__ import annotations

import base64
import hashlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey

from requests_authretry import (
    FetchContext,
    FileStore,
    MemoryStore,
    Reason,
    RefreshDeclined,
    RetryPolicy,
    Settings,
    Token,
    attempts,
    mount,
)
from requests_authretry.cli.demo_server import DemoServer, serve
from requests_authretry.oauth2 import Client, ClientCredentials, JWTBearer, Key, RefreshToken
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.oauth2.support import (
    ACCESS,
    API,
    AT_ONCE,
    ONCE,
    TOKEN_URL,
    Authority,
    claims_of,
    failure,
    gives,
    header_of,
    mounted,
    refuses,
    says,
)
from tests.servers.api import Api
from tests.servers.oidc import ec_key
from tests.support.sessions import raised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from requests import PreparedRequest

    from requests_authretry.testing import Line
    from tests.servers.oidc import OidcServer

BOUND = gives(token_type="DPoP")
READ = ["api:read"]


def wants(nonce: str, status: int = 401) -> Line:
    """A resource server asks for a proof with this nonce."""
    headers = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": nonce}
    return status, headers, b""


def refused(error: str = "invalid_token") -> Line:
    """A resource server refuses a bound token."""
    return 401, {"WWW-Authenticate": f'DPoP error="{error}"'}, b""


class Rig:
    """A session whose token is bound to a key; authority, resource server and clock are scripted.

    Attributes:
        authority: The authorization server.
        below: What the resource server was sent.
        events: What listeners were told.
        session: The session.
    """

    def __init__(self, lines: list[Line], *script: Line, **options: Any) -> None:
        """The lines of the authority, then those of the resource server."""
        self.authority = Authority(*lines)
        self.below = ScriptedAdapter(*script)
        self.events: list[Any] = []
        self.session = requests.Session()
        self.session.mount("https://", self.below)
        client = self.authority.client(None, dpop=True)
        settings = Settings(
            token=ClientCredentials(client),
            origins=[API],
            clock=self.authority.clock,
            listeners=[self.events.append],
            **{"retry": AT_ONCE, **options},
        )
        mount(self.session, settings)

    @property
    def proofs(self) -> list[dict[str, Any]]:
        """The claims of the proofs that the resource server was sent."""
        return [claims_of(proof(request)) for request in self.below.sent]

    @property
    def declined(self) -> list[Reason]:
        """Why 401s were handed out."""
        return [event.reason for event in self.events if isinstance(event, RefreshDeclined)]


def proof(request: PreparedRequest) -> str:
    """The proof that a request carries."""
    return str(request.headers["DPoP"])


# --- what a proof says --------------------------------------------------------------------


def test_a_proof() -> None:
    """Section 4.2: method, URL without query, time, the token's hash, and the public key."""
    rig = Rig([BOUND], 200)
    rig.session.put(f"{API}/a%20b;c/?query=1#part", data=b"body")
    (request,) = rig.below.sent
    header = header_of(proof(request))
    assert header["typ"] == "dpop+jwt"
    assert header["alg"] == "ES256"
    assert set(header["jwk"]) == {"kty", "crv", "x", "y"}
    claims = jwt.decode(proof(request), ECKey.import_key(header["jwk"])).claims
    digest = hashlib.sha256(ACCESS.encode()).digest()
    assert claims.pop("jti")
    assert claims == {
        "htm": "PUT",
        "htu": f"{API}/a%20b;c/",
        "iat": int(rig.authority.clock.time()),
        "ath": base64.urlsafe_b64encode(digest).decode().rstrip("="),
    }
    assert request.headers["Authorization"] == f"DPoP {ACCESS}"


def test_a_proof_for_a_token_request() -> None:
    """It is of the same key, for the token endpoint, and has no token's hash."""
    rig = Rig([BOUND], 200)
    rig.session.get(API)
    (asked,) = rig.authority.sent
    claims = claims_of(proof(asked))
    assert (claims["htm"], claims["htu"]) == ("POST", TOKEN_URL)
    assert "ath" not in claims
    assert header_of(proof(asked))["jwk"] == header_of(proof(rig.below.sent[0]))["jwk"]


def test_each_attempt_has_a_proof_of_its_own() -> None:
    """A 503 is answered with another proof, at the resource server as at the token endpoint."""
    rig = Rig([(503, {}, b""), BOUND], 503, (503, {"Retry-After": "7"}), 200)
    assert rig.session.get(API).status_code == 200
    for sent in (rig.authority.sent, rig.below.sent):
        claims = [claims_of(proof(request)) for request in sent]
        assert len({claim["jti"] for claim in claims}) == len(sent) > 1
    assert rig.proofs[2]["iat"] == rig.proofs[1]["iat"] + 7


def test_the_callers_request_carries_no_proof() -> None:
    """The request that the caller gets to see has neither token nor proof."""
    rig = Rig([BOUND], 200)
    response = rig.session.get(API)
    assert not {"DPoP", "Authorization"} & set(response.request.headers)


def test_a_redirect_to_another_origin_carries_neither() -> None:
    """Neither token nor proof go where they do not belong; there and back they do again."""
    there = "https://elsewhere.example/"
    rig = Rig([BOUND], (302, {"Location": there}), (302, {"Location": f"{API}/back"}), 200)
    assert rig.session.get(API).status_code == 200
    first, second, third = rig.below.sent
    assert not {"DPoP", "Authorization"} & set(second.headers)
    assert claims_of(proof(first))["htu"] == f"{API}/"
    assert claims_of(proof(third))["htu"] == f"{API}/back"


def test_a_bearer_token_is_sent_as_one() -> None:
    """A server that knows no DPoP gives a Bearer token: it is sent as that, without a proof."""
    rig = Rig([gives()], 200, refused("x"))
    rig.session.get(API)
    (request,) = rig.below.sent
    assert request.headers["Authorization"] == f"Bearer {ACCESS}"
    assert "DPoP" not in request.headers


# --- nonces -------------------------------------------------------------------------------


def test_a_nonce_at_the_token_endpoint_costs_no_attempt() -> None:
    """Section 8: asked for a nonce, one attempt is enough; the next renewal brings it at once."""
    nonce = says({"error": "use_dpop_nonce"}, 400, DPoP_Nonce="n1")
    authority = Authority(nonce, BOUND, BOUND)
    source = ClientCredentials(authority.client(dpop=True))
    for _ in range(2):
        source.fetch(authority.context(retry=ONCE))
    nonces = [claims_of(proof(request)).get("nonce") for request in authority.sent]
    assert nonces == [None, "n1", "n1"]


def test_a_token_endpoint_that_always_wants_another_nonce() -> None:
    """It is told as that, after no more than three questions."""
    lines = [says({"error": "use_dpop_nonce"}, 400, DPoP_Nonce=f"n{number}") for number in range(9)]
    authority = Authority(*lines)
    error = failure(ClientCredentials(authority.client(dpop=True)), authority.context())
    assert error.error == "use_dpop_nonce"
    nonces = [claims_of(proof(request)).get("nonce") for request in authority.sent]
    assert nonces == [None, "n0", "n1"]


def test_the_next_renewal_begins_with_the_newest_nonce() -> None:
    """Section 8.2: even an answer that demands a nonce one time too many says the next one."""
    lines = [says({"error": "use_dpop_nonce"}, 400, DPoP_Nonce=f"n{number}") for number in range(3)]
    authority = Authority(*lines, BOUND)
    source = ClientCredentials(authority.client(dpop=True))
    assert failure(source, authority.context()).error == "use_dpop_nonce"
    source.fetch(authority.context())
    assert claims_of(proof(authority.sent[-1]))["nonce"] == "n2"


def test_a_token_endpoint_that_wants_a_nonce_and_gives_none() -> None:
    """Without a nonce in the answer there is nothing to try again with."""
    authority = Authority(refuses("use_dpop_nonce"))
    error = failure(ClientCredentials(authority.client(dpop=True)), authority.context())
    assert error.error == "use_dpop_nonce"
    assert len(authority.sent) == 1


def test_a_nonce_in_a_good_answer_is_used_from_then_on() -> None:
    """Section 8.2: any answer may bring the next nonce, at either server."""
    first = says({"access_token": ACCESS, "token_type": "DPoP"}, DPoP_Nonce="as")
    second = gives(token_type="DPoP", access_token="second")
    rig = Rig([first, second], (200, {"DPoP-Nonce": "rs"}), refused(), 200)
    for _ in range(2):
        rig.session.get(API)
    assert [claims.get("nonce") for claims in rig.proofs] == [None, "rs", "rs"]
    assert claims_of(proof(rig.authority.sent[1]))["nonce"] == "as"


def test_a_nonce_at_the_resource_server_costs_no_attempt() -> None:
    """Section 9: a call with one attempt survives it, and its history shows it."""
    rig = Rig([BOUND], wants("n1"), 200, retry=ONCE)
    response = rig.session.get(API)
    assert response.status_code == 200
    assert [claims.get("nonce") for claims in rig.proofs] == [None, "n1"]
    reasons = [attempt.reason for attempt in attempts(response)]
    assert reasons == [Reason.NONCE, Reason.FINAL]
    assert len(rig.authority.sent) == 1


@pytest.mark.parametrize(
    "script",
    [
        [refused(), wants("n1"), 200],
        [wants("n1"), refused(), 200],
        [wants("n1"), refused(), wants("n2"), 200],
        [wants("n1"), wants("n2"), 200],
        [wants("n1"), wants("n2"), refused(), 200],
    ],
)
def test_a_nonce_does_not_use_up_the_answer_to_a_401(script: list[Line]) -> None:
    """A token that has expired and a nonce in one call: both are answered."""
    rig = Rig([BOUND, gives(token_type="DPoP", access_token="second")], *script, retry=ONCE)
    assert rig.session.get(API).status_code == 200
    assert len(rig.authority.sent) == 1 + (refused() in script)


def test_a_server_that_asks_for_nonces_for_ever() -> None:
    """The 401 is handed out in the end, with its reason, and no token is asked for."""
    rig = Rig([BOUND], *[wants(f"n{number}") for number in range(9)])
    response = rig.session.get(API)
    assert response.status_code == 401
    assert rig.declined == [Reason.PROOF_REFUSED]
    assert len(rig.below.sent) <= 5
    assert len(rig.authority.sent) == 1


@pytest.mark.parametrize("nonce", [None, "", "two words", "n\u00e4", 'quo"te', "x" * 2000])
def test_a_challenge_without_a_nonce_that_can_be_used(nonce: str | None) -> None:
    """A server that asks for a nonce and gives none that is one is not asked for ever."""
    headers = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"'}
    headers |= {} if nonce is None else {"DPoP-Nonce": nonce}
    line: Line = (401, headers, b"")
    rig = Rig([BOUND], *[line] * 9)
    assert rig.session.get(API).status_code == 401
    assert rig.declined == [Reason.PROOF_REFUSED]
    assert all("nonce" not in claims for claims in rig.proofs)


def test_a_body_that_cannot_be_sent_again() -> None:
    """A nonce for a generator: the 401 is handed out, and the next call has the nonce."""
    rig = Rig([BOUND], wants("n1"), 200)
    response = rig.session.post(API, data=iter([b"once"]))
    assert response.status_code == 401
    assert rig.declined == [Reason.NOT_REPLAYABLE]
    assert rig.session.post(API, data=iter([b"once"])).status_code == 200
    assert rig.proofs[1]["nonce"] == "n1"


def test_a_body_that_can_be_sent_again() -> None:
    """A nonce for a POST with a body: the very same body goes again."""
    rig = Rig([BOUND], wants("n1"), 200)
    assert rig.session.post(API, data=b"twice").status_code == 200
    assert [request.body for request in rig.below.sent] == [b"twice"] * 2


def test_a_proof_that_is_refused() -> None:
    """A 401 over the proof itself is no matter of the token: it is handed out, and told."""
    rig = Rig([BOUND], refused("invalid_dpop_proof"))
    assert rig.session.get(API).status_code == 401
    assert rig.declined == [Reason.PROOF_REFUSED]
    assert len(rig.authority.sent) == 1


def test_nonces_belong_to_their_origin() -> None:
    """What one server gave is not shown to another."""
    client = Authority().client(None, dpop=True)
    assert client.prover is not None
    for origin in ("https://a.example", "https://b.example:8443"):
        client.prover.learn(f"{origin}/path", f"nonce of {origin[8]}".replace(" ", "-"))
    token = Token(ACCESS, scheme="DPoP")
    found = {
        url: claims_of(client.prover.proof("GET", url, token, 0.0)).get("nonce")
        for url in (
            "https://a.example/other?x",
            "https://A.example:443/",
            "https://b.example:8443/",
            "https://b.example/",
            "http://a.example/",
        )
    }
    assert list(found.values()) == ["nonce-of-a", "nonce-of-a", "nonce-of-b", None, None]


# --- against the real servers -------------------------------------------------------------


@pytest.fixture
def strict(oidc_server: Callable[..., OidcServer]) -> OidcServer:
    """An authorization server that wants nonces."""
    return oidc_server(dpop_nonce=True)


@pytest.fixture
def guard(strict: OidcServer) -> Iterator[Callable[[int], tuple[DemoServer, str]]]:
    """A function from how long a nonce is good to a resource server, and its URL."""
    with ExitStack() as servers:

        def start(nonce_every: int) -> tuple[DemoServer, str]:
            demo_server = DemoServer(Api(strict, nonce_every=nonce_every))
            return demo_server, servers.enter_context(serve(demo_server))

        yield start


def test_nonces_of_real_servers(
    strict: OidcServer, guard: Callable[[int], tuple[DemoServer, str]]
) -> None:
    """With one attempt a call, every call gets in, though both servers change their nonces."""
    demo_server, url = guard(2)
    source = ClientCredentials(Client(*strict.cc, issuer=strict.issuer, dpop=True), READ)
    with mounted(source, url, retry=ONCE) as session:
        for number in range(6):
            if number == 3:
                strict.expire_all()
            response = session.post(f"{url}/post?n={number}", data=b"body")
            assert response.status_code == 200
            assert response.json()["data"] == "body"
    assert [entry["error"] for entry in strict.log()] == ["use_dpop_nonce", None, None]
    refusals = [seen.status for seen in demo_server.seen if seen.status != 200]
    assert refusals == [401] * len(refusals)
    assert 3 <= len(refusals) <= 4


@pytest.mark.parametrize("shared", ["memory", "file"])
def test_processes_that_share_a_key_share_tokens(
    oidc: OidcServer, api: str, tmp_path: Path, shared: str
) -> None:
    """With one key and one store, two clients need one token request."""
    store = MemoryStore() if shared == "memory" else FileStore(tmp_path / "tokens.json")
    key = ec_key().as_pem(private=True)
    for _ in range(2):
        source = ClientCredentials(Client(*oidc.cc, issuer=oidc.issuer, dpop=key), READ)
        with mounted(source, api, store=store) as session:
            assert session.get(f"{api}/get").status_code == 200
    assert len(oidc.log()) == 1


def test_a_key_of_its_own_is_a_token_of_its_own(oidc: OidcServer, api: str) -> None:
    """With `dpop=True` each client has a key, and a token, of its own in a shared store."""
    store = MemoryStore()
    for _ in range(2):
        source = ClientCredentials(Client(*oidc.cc, issuer=oidc.issuer, dpop=True), READ)
        with mounted(source, api, store=store) as session:
            for _ in range(2):
                assert session.get(f"{api}/get").status_code == 200
    assert len(oidc.log()) == 2


def test_a_refresh_token_that_is_bound_to_a_key(oidc: OidcServer, api: str) -> None:
    """Section 5: its own key renews it; another key does not, and the error says so."""
    mine = Key(ec_key().as_dict(private=True))
    seed = oidc.seed(oidc.app_public, jkt=mine.thumbprint)
    stolen = RefreshToken(Client("app-public", issuer=oidc.issuer, dpop=True), seed)
    assert failure(stolen, FetchContext(None, timeout=60)).error == "invalid_grant"
    source = RefreshToken(Client("app-public", issuer=oidc.issuer, dpop=mine), seed)
    with mounted(source, api) as session:
        for _ in range(2):
            assert session.get(f"{api}/get").status_code == 200
            oidc.expire_all()
    assert [entry["status"] for entry in oidc.log()] == [400, 200, 200]


def test_a_bound_token_is_of_no_use_elsewhere(oidc: OidcServer, api: str) -> None:
    """Who takes the token without its key is refused, with or without a proof of another key."""
    source = ClientCredentials(Client(*oidc.cc, issuer=oidc.issuer, dpop=True), READ)
    token = source.fetch(FetchContext(None, timeout=60))
    thief = Authority().client(None, dpop=True).prover
    assert thief is not None
    proofs = {"DPoP": thief.proof("GET", f"{api}/get", token, 0.0)}
    for headers in ({}, proofs):
        given = {"Authorization": f"DPoP {token.value}", **headers}
        assert requests.get(f"{api}/get", headers=given, timeout=60).status_code == 401


def test_a_bound_assertion_grant(oidc: OidcServer, api: str) -> None:
    """A grant of the server's own making is bound as well."""
    key = ec_key().as_dict(private=True)
    who = Client(oidc.svc.id, issuer=oidc.issuer, dpop=True)
    with mounted(JWTBearer(who, key, READ, subject="ada"), api) as session:
        assert session.get(f"{api}/get").status_code == 200


def test_a_clock_that_is_wrong_is_told(oidc: OidcServer, api: str) -> None:
    """A proof from another day is refused by the real server; it is told, not tried for ever."""
    clock = FakeClock(now=1_000_000_000.0)
    source = ClientCredentials(Client(*oidc.cc, issuer=oidc.issuer, dpop=True), READ)
    with mounted(source, api, clock=clock, retry=RetryPolicy()) as session:
        error = raised(session, f"{api}/get")
    assert getattr(error, "error", None) == "invalid_dpop_proof"
    assert len(oidc.log()) == 1
