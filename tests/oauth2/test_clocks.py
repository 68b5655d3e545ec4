"""Assertions and proofs when the clock of this machine is off: they follow the server's clock."""

from __future__ import annotations

from collections import deque
from email.utils import formatdate
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import BaseAdapter

from requests_authretry import FetchContext, Reason, Settings, attempts, explain, mount
from requests_authretry._tokens.server_clocks import ServerClocks
from requests_authretry.cli.demo_server import DemoServer, serve
from requests_authretry.oauth2 import (
    Client,
    ClientCredentials,
    DeviceCode,
    JWTBearer,
    Key,
    RefreshToken,
)
from requests_authretry.testing import FakeClock, ScriptedAdapter, SystemClock
from tests.oauth2.support import (
    ACCESS,
    API,
    AT_ONCE,
    REFRESH,
    TOKEN_URL,
    claims_of,
    failure,
    form,
    mounted,
    refuses,
    says,
)
from tests.servers.api import Api
from tests.servers.oidc import ec_key, rsa_key
from tests.support.sessions import ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

    from requests_authretry.testing import Line
    from tests.servers.oidc import OidcServer

HOUR = 3600.0
KEY = Key.generate()


class Checking(BaseAdapter):
    """A server that checks the times it is sent, by a clock that is ahead of ours.

    Args:
        clock: Our clock.
        ahead: Seconds.
        lines: What it answers first, whatever it is sent.

    Attributes:
        sent: What it was sent.
        fields: Header fields in place of the `Date` of its clock.
        leeway: How far in the past a time may be, in seconds; in the future, two.
        good: What it answers to a good request.
    """

    def __init__(self, clock: FakeClock, ahead: float, *lines: Line) -> None:
        super().__init__()
        self.clock, self.ahead, self.lines = clock, ahead, deque(lines)
        self.sent: list[PreparedRequest] = []
        self.fields: dict[str, str] | None = None
        self.leeway = 60.0
        self.good: dict[str, object] = {"expires_in": 60}

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer with the date of the server's clock."""
        self.sent.append(request)
        now = self.clock.time() + self.ahead
        fits = all(-self.leeway <= claims["iat"] - now <= 2.0 for claims in dated(request))
        if self.lines:
            line: Any = self.lines.popleft()
        elif fits:
            line = says({"access_token": f"{ACCESS}-{len(self.sent)}", **self.good})
        elif "DPoP" in request.headers and request.method == "GET":
            line = (401, {"WWW-Authenticate": 'DPoP error="invalid_dpop_proof"'}, b"")
        else:
            line = refuses("invalid_grant")
        status, headers, body = line
        dates = {"Date": formatdate(now, usegmt=True)} if self.fields is None else self.fields
        return ScriptedAdapter((status, {**dates, **headers}, body)).send(request)

    def close(self) -> None:
        """Nothing is open."""


def dated(request: PreparedRequest) -> list[dict[str, Any]]:
    """The claims of all that was signed for a request."""
    fields = form(request) if request.method == "POST" else {}
    signed = [value for name, value in fields.items() if name.endswith("assertion")]
    if "DPoP" in request.headers:
        signed.append(str(request.headers["DPoP"]))
    return [claims_of(jwt) for jwt in signed]


def to(server: BaseAdapter) -> requests.Session:
    """A session that leads to a server."""
    session = requests.Session()
    session.mount("https://", server)
    return session


SOURCES: dict[str, Callable[[requests.Session], Any]] = {
    "an assertion": lambda session: JWTBearer(
        Client("my-app", token_url=TOKEN_URL, session=session), KEY
    ),
    "a client assertion": lambda session: ClientCredentials(
        Client("my-app", token_url=TOKEN_URL, session=session, key=KEY)
    ),
    "a proof": lambda session: ClientCredentials(
        Client("my-app", token_url=TOKEN_URL, session=session, dpop=True)
    ),
    "a refresh token and a client assertion": lambda session: RefreshToken(
        Client("my-app", token_url=TOKEN_URL, session=session, key=KEY), REFRESH
    ),
}


class Rig:
    """A source whose server has another clock.

    Attributes:
        clock: Our clock.
        server: The authorization server.
        source: The source.
    """

    def __init__(self, ahead: float, *lines: Line, kind: str = "an assertion") -> None:
        self.clock = FakeClock()
        self.server = Checking(self.clock, ahead, *lines)
        self.source = SOURCES[kind](to(self.server))

    def context(self, **changes: Any) -> FetchContext:
        """What the source is told."""
        return FetchContext(None, timeout=60.0, clock=self.clock, retry=AT_ONCE, **changes)

    def fetch(self) -> Any:
        """Ask the source."""
        return self.source.fetch(self.context())

    @property
    def times(self) -> list[float]:
        """How far each ``iat`` was ahead of our clock."""
        claims = [dated(request)[0] for request in self.server.sent]
        return [each["iat"] - self.clock.time() for each in claims]


# --- the token endpoint -------------------------------------------------------------------


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("ahead", [-20.0, -300.0, 300.0, 50_000.0])
def test_a_refused_time_is_corrected(ahead: float, kind: str) -> None:
    """Our clock is minutes off: the second request and later ones carry the server's time."""
    rig = Rig(ahead, kind=kind)
    assert rig.fetch()
    assert rig.times == [0.0, ahead]
    rig.clock.advance(100.0)
    assert rig.fetch()
    assert len(rig.server.sent) == 3


def test_all_times_of_an_assertion_follow() -> None:
    """``exp`` is as long after ``iat`` as ever."""
    rig = Rig(-300.0)
    rig.fetch()
    lives = {each["exp"] - each["iat"] for sent in rig.server.sent for each in dated(sent)}
    assert lives == {300}


def test_the_tokens_life_is_counted_by_our_clock() -> None:
    """A token for 60 s that a server gives whose clock is 300 s behind ends 60 s from now."""
    rig = Rig(-300.0)
    assert rig.fetch().expires_at == rig.clock.time() + 60.0


def test_a_right_clock_is_not_corrected() -> None:
    """A 400 whose `Date` is ours is refused for another reason: one request."""
    rig = Rig(0.0, refuses("invalid_grant"))
    assert failure(rig.source, rig.context()).error == "invalid_grant"
    assert len(rig.server.sent) == 1


ABSURD: dict[str, dict[str, str]] = {
    "none": {},
    "no date": {"Date": "yesterday"},
    "1970": {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"},
    "9999": {"Date": "Fri, 31 Dec 9999 23:59:59 GMT"},
    "long": {"Date": "9" * 100_000},
    "an age that is no number": {"Date": formatdate(1e9 - 300, usegmt=True), "Age": "x"},
}


@pytest.mark.parametrize("fields", ABSURD.values(), ids=ABSURD)
def test_an_absurd_date_corrects_nothing(fields: dict[str, str]) -> None:
    """A date from 1970 or of the year 9999 is not followed: one request, with our time."""
    rig = Rig(-300.0)
    rig.server.fields = fields
    assert failure(rig.source, rig.context()).error == "invalid_grant"
    assert rig.times == [0.0]


def test_a_refusal_with_both_clocks_is_final_for_an_hour() -> None:
    """The key is not known to the server: two requests, then one for each `fetch`, then two."""
    rig = Rig(-300.0, *[refuses("invalid_client", 401)] * 9)
    counts = []
    for wait in (0.0, 60.0, HOUR):
        rig.clock.advance(wait)
        before = len(rig.server.sent)
        assert failure(rig.source, rig.context()).error == "invalid_client"
        counts.append(len(rig.server.sent) - before)
    assert counts == [2, 1, 2]
    rig.server.lines.clear()
    assert rig.fetch()


def test_a_good_answers_date_is_followed() -> None:
    """A server that takes old assertions: the next assertion has its time all the same."""
    rig = Rig(300.0)
    rig.server.leeway = 1000.0
    for _ in range(2):
        rig.fetch()
    assert rig.times == [0.0, 300.0]


def test_a_proxy_with_a_wrong_date_costs_one_request() -> None:
    """The server refuses the time of its proxy's `Date`: our own clock serves for an hour then."""
    rig = Rig(0.0)
    rig.server.fields = {"Date": formatdate(rig.clock.time() - 300, usegmt=True)}
    rig.server.leeway = 5.0
    for _ in range(3):
        assert rig.fetch()
    assert rig.times == [0.0, -300.0, 0.0, 0.0]


def test_an_answer_that_was_kept_says_how_old_it_is() -> None:
    """`Age` is added to `Date`: a proxy that kept an answer for 300 s does not set our clock."""
    rig = Rig(0.0)
    rig.server.fields = {"Date": formatdate(rig.clock.time() - 300, usegmt=True), "Age": "300"}
    for _ in range(2):
        rig.fetch()
    assert rig.times == [0.0, 0.0]


def test_a_request_without_a_time_is_not_repeated() -> None:
    """A client with a secret signs nothing: its 401 is final, whatever the `Date`."""
    clock = FakeClock()
    server = Checking(clock, -300.0, refuses("invalid_client", 401))
    source = ClientCredentials(Client("a", "secret", token_url=TOKEN_URL, session=to(server)))
    failure(source, FetchContext(None, timeout=60.0, clock=clock, retry=AT_ONCE))
    assert len(server.sent) == 1


def test_a_user_who_has_not_signed_in_yet_is_no_fault_of_the_clock() -> None:
    """``authorization_pending`` is a 400 too: the next request comes after the interval."""
    clock = FakeClock()
    begun = says({"device_code": "d", "user_code": "u", "verification_uri": API, "expires_in": 60})
    pending = refuses("authorization_pending")
    server = Checking(clock, -300.0, begun, pending, pending)
    server.leeway = 1000.0
    client = Client("a", token_url=TOKEN_URL, device_url=TOKEN_URL, session=to(server), key=KEY)
    source = DeviceCode(client, prompt=lambda _: None)
    source.fetch(FetchContext(None, clock=clock, timeout=60.0, retry=AT_ONCE))
    assert clock.sleeps == [5.0, 5.0, 5.0]
    assert len(server.sent) == 4


def test_a_nonce_and_a_time_in_one_request() -> None:
    """The server asks for a nonce, then refuses the time: the third request has both."""
    wants = says({"error": "use_dpop_nonce"}, 400, DPoP_Nonce="n1")
    rig = Rig(-300.0, wants, kind="a proof")
    rig.server.fields = {}
    times = [{}, {"Date": formatdate(rig.clock.time() - 300, usegmt=True)}]

    class Turning(Checking):
        def send(self, request: PreparedRequest, *_: Any, **__: Any) -> requests.Response:
            self.fields = times.pop(0) if times else None
            return super().send(request)

    rig.server.__class__ = Turning
    assert rig.fetch()
    claims = [dated(request)[0] for request in rig.server.sent]
    assert [each.get("nonce") for each in claims] == [None, "n1", "n1"]
    assert rig.times == [0.0, 0.0, -300.0]


# --- the resource server ------------------------------------------------------------------


class Bound:
    """A session whose tokens are bound to a key, and two servers with clocks of their own.

    Attributes:
        clock: Our clock.
        login: The authorization server.
        api: The resource server.
        session: The session.
    """

    def __init__(self, ahead: float, *lines: Line, login: float = 0.0) -> None:
        self.clock = FakeClock()
        self.login, self.api = Checking(self.clock, login), Checking(self.clock, ahead, *lines)
        self.login.good |= {"token_type": "DPoP", "expires_in": 2 * HOUR}
        client = Client("a", token_url=TOKEN_URL, session=to(self.login), dpop=True)
        self.session = to(self.api)
        source = ClientCredentials(client)
        mount(self.session, Settings(token=source, origins=[API], clock=self.clock, retry=AT_ONCE))

    @property
    def times(self) -> list[float]:
        """How far each proof was ahead of our clock."""
        claims = [dated(request)[0] for request in self.api.sent]
        return [each["iat"] - self.clock.time() for each in claims]


@pytest.mark.parametrize("error", ["invalid_dpop_proof", "invalid_token"])
def test_a_refused_proof_is_made_again_by_the_apis_clock(error: str) -> None:
    """A 401 whose `Date` is 300 s off: the proof is made again, and no token is asked for."""
    refused = (401, {"WWW-Authenticate": f'DPoP error="{error}"'}, b"")
    rig = Bound(-300.0, refused)
    response = rig.session.get(API)
    assert response.status_code == 200
    assert rig.times == [0.0, -300.0]
    assert [each.reason for each in attempts(response)] == [Reason.CLOCK, Reason.FINAL]
    assert "made again by the server's clock" in str(explain(response))
    assert rig.session.get(API).status_code == 200
    assert (len(rig.api.sent), len(rig.login.sent)) == (3, 1)


def test_a_good_answer_of_an_api_is_followed() -> None:
    """An API that takes old proofs: the next proof has its time all the same."""
    rig = Bound(300.0)
    rig.api.leeway = 1000.0
    for _ in range(2):
        rig.session.get(API)
    assert rig.times == [0.0, 300.0]


def test_a_clock_that_jumps_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose every refusal looks like another correction gets three requests of a call."""
    monkeypatch.setattr(ServerClocks, "correct", lambda *_: True)
    refused = (401, {"WWW-Authenticate": 'DPoP error="invalid_dpop_proof"'}, b"")
    rig = Bound(0.0, *[refused] * 9)
    reasons = [each.reason for each in attempts(rig.session.get(API))]
    assert reasons == [Reason.CLOCK, Reason.CLOCK, Reason.ANSWERED]


def test_each_server_has_a_clock_of_its_own() -> None:
    """The API's clock is right, that of the token endpoint 300 s ahead: both are satisfied."""
    rig = Bound(0.0, login=300.0)
    assert rig.session.get(API).status_code == 200
    assert rig.times == [0.0]
    assert len(rig.login.sent) == 2


def test_an_expired_token_is_renewed_after_the_clock_was_corrected() -> None:
    """The time was wrong and the token has expired: both are cured in one call."""
    expired = (401, {"WWW-Authenticate": 'DPoP error="invalid_token"'}, b"")
    rig = Bound(-300.0, expired, expired)
    assert rig.session.get(API).status_code == 200
    assert (len(rig.api.sent), len(rig.login.sent)) == (3, 2)


def test_a_proof_that_both_clocks_cannot_cure() -> None:
    """The server refuses every proof: two requests, then one each within the hour."""
    refused = (401, {"WWW-Authenticate": 'DPoP error="invalid_dpop_proof"'}, b"")
    rig = Bound(-300.0, *[refused] * 9)
    counts = []
    for wait in (0.0, 60.0, HOUR):
        rig.clock.advance(wait)
        before = len(rig.api.sent)
        assert rig.session.get(API).status_code == 401
        counts.append(len(rig.api.sent) - before)
    assert counts == [2, 1, 2]


def test_a_401_about_something_else_is_no_fault_of_the_clock() -> None:
    """A server that wants another scope gets no second proof."""
    narrow = (401, {"WWW-Authenticate": 'DPoP error="insufficient_scope"'}, b"")
    rig = Bound(-300.0, narrow)
    assert rig.session.get(API).status_code == 401
    assert len(rig.api.sent) == 1


def test_a_body_that_is_gone_is_not_sent_again_for_the_clock() -> None:
    """The 401 to a generator is handed out; the next call carries the server's time."""
    refused = (401, {"WWW-Authenticate": 'DPoP error="invalid_dpop_proof"'}, b"")
    rig = Bound(-300.0, refused)
    assert rig.session.request("GET", API, data=iter([b"once"])).status_code == 401
    assert rig.session.get(API).status_code == 200
    assert rig.times == [0.0, -300.0]


def test_what_a_cache_on_this_machine_kept_says_nothing() -> None:
    """requests-cache hands out an answer of an hour ago with its date: no proof follows it."""
    rig = Bound(0.0)

    class Caching(Checking):
        def send(self, request: PreparedRequest, *_: Any, **__: Any) -> requests.Response:
            response = super().send(request)
            response.headers["Date"] = formatdate(self.clock.time() - HOUR, usegmt=True)
            response.__dict__["from_cache"] = True
            return response

    rig.api.__class__ = Caching
    for _ in range(2):
        rig.session.get(API)
    assert rig.times == [0.0, 0.0]


def test_threads_that_begin_together_are_all_served() -> None:
    """16 threads send proofs with the wrong time at once: each is refused once, then served."""
    rig = Bound(-300.0)
    start, statuses = Barrier(16), list[int]()

    def call() -> None:
        start.wait(60)
        statuses.append(rig.session.get(API).status_code)

    threads = [Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        ended(thread.join)
    assert statuses == [200] * 16
    assert len(rig.api.sent) <= 32
    assert len(rig.login.sent) == 1


# --- real servers -------------------------------------------------------------------------


class Off(SystemClock):
    """The clock of a machine that is wrong."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def time(self) -> float:
        """The wrong time."""
        return SystemClock.time() + self.seconds


@pytest.mark.parametrize("off", [-1000.0, 1000.0])
@pytest.mark.parametrize("kind", ["an assertion", "a client assertion", "a proof"])
def test_a_wrong_clock_at_real_servers(oidc: OidcServer, kind: str, off: float) -> None:
    """oidc-provider and an API that check times serve a machine whose clock is 1000 s off."""
    service = rsa_key().as_pem(private=True)
    sources: dict[str, Callable[[], Any]] = {
        "an assertion": lambda: JWTBearer(
            Client(oidc.svc.id, issuer=oidc.issuer), service, ["api:read"], subject="ada"
        ),
        "a client assertion": lambda: ClientCredentials(
            Client(oidc.cc_jwt.id, issuer=oidc.issuer, key=service), ["api:read"]
        ),
        "a proof": lambda: ClientCredentials(
            Client(*oidc.cc, issuer=oidc.issuer, dpop=ec_key().as_pem(private=True)), ["api:read"]
        ),
    }
    demo_server = DemoServer(Api(oidc))
    with serve(demo_server) as url, mounted(sources[kind](), url, clock=Off(off)) as session:
        assert session.get(f"{url}/get").status_code == 200
        assert session.get(f"{url}/get").status_code == 200
