"""The way to the authorization server: whose certificates and proxies, and what stays out."""

from __future__ import annotations

import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from requests_authretry import (
    AuthRetryAdapter,
    FetchContext,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Token,
    attempts,
    mount,
)
from requests_authretry.cli.demo_server import serve
from requests_authretry.oauth2 import Client, ClientCredentials, RefreshToken, _transport
from tests.oauth2.support import (
    ACCESS,
    API,
    AT_ONCE,
    CLIENT_SECRET,
    ISSUER,
    TOKEN_URL,
    Authority,
    failure,
    gives,
    mounted,
    refuses,
)
from tests.servers.api import Api
from tests.support import wire as wires
from tests.support.sessions import Recorder, raised
from tests.support.wire import Wire, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import Response

    from tests.servers.oidc import OidcServer

GOOD = json.dumps({"access_token": ACCESS, "token_type": "Bearer", "expires_in": 60}).encode()
HTTP_URL = "http://login.example.com/token"
PEM = Path(wires.__file__).with_name("self_signed.pem")
READ = ["api:read"]


def now(**changes: Any) -> FetchContext:
    """What a source is told: there is little time."""
    return FetchContext(**{"stale": None, "timeout": 5.0, "retry": AT_ONCE, **changes})


def fetched(**options: Any) -> str:
    """The token that a public client gets."""
    return str(ClientCredentials(Client("my-app", **options)).fetch(now()).value)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A session of the user's."""
    with requests.Session() as made:
        yield made


# --- what of a session is used, and what is not -------------------------------------------


def test_headers_of_the_session_are_sent() -> None:
    """A gateway may want headers of its own, from the session; form and JSON stay ours."""
    authority = Authority(gives())
    theirs = {"User-Agent": "my-app/1", "X-Tenant": "7", "Content-Type": "a/b", "Accept": "c/d"}
    authority.session.headers.update(theirs)
    ClientCredentials(authority.client()).fetch(authority.context())
    (request,) = authority.sent
    assert request.headers["User-Agent"] == "my-app/1"
    assert request.headers["X-Tenant"] == "7"
    assert request.headers["Accept"] == "application/json"
    assert authority.forms == [{"grant_type": "client_credentials"}]


@pytest.mark.parametrize("secret", [CLIENT_SECRET, None])
def test_credentials_for_others_stay_out(
    secret: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither the session's credentials nor its cookies nor stored passwords reach the server."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine login.example.com login ada password stored-5d1f\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    authority = Authority(gives())
    authority.session.headers["Authorization"] = "Bearer of-another"
    authority.session.headers["cookie"] = "id=of-another"
    authority.session.auth = ("ada", "of-another")
    authority.session.cookies.set("id", "of-another", domain="login.example.com")
    authority.session.params = {"key": "of-another"}
    ClientCredentials(authority.client(secret)).fetch(authority.context())
    (request,) = authority.sent
    assert request.url == TOKEN_URL
    assert "Cookie" not in request.headers
    given = str(request.headers.get("Authorization", ""))
    assert given.startswith("Basic ") == (secret is not None)
    assert "of-another" not in str(request.headers)


def test_cookies_of_one_renewal_do_not_reach_the_next() -> None:
    """What the server sets as cookies is forgotten, as its answers depend on the form alone."""
    with Wire(*[answer(200, GOOD, ("Set-Cookie", "id=1; Path=/"))] * 2) as wire:
        for _ in range(2):
            fetched(token_url=f"{wire.url}token")
    assert [seen.headers["Cookie"] for seen in wire.arrived] == [None, None]


def test_time_limits_are_ours() -> None:
    """An answer is listened for long, whoever waits: it may hold the next refresh token."""
    recorder = Recorder(gives())
    with requests.Session() as session:
        session.mount("https://", recorder)
        source = ClientCredentials(Client("my-app", token_url=TOKEN_URL, session=session))
        source.fetch(now(timeout=1.0))
    (options,) = recorder.options
    assert options["timeout"] == (10.0, 45.0)
    assert options["stream"] is True


def test_a_revocation_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer holds no token: neither a read nor headers that drip take longer than it may."""
    monkeypatch.setattr(_transport, "CONNECT_SECONDS", 600.0)
    go_on, timeouts = Event(), []

    class Dripping(HTTPAdapter):
        def send(self, *_: Any, **options: Any) -> Response:
            timeouts.append(options["timeout"])
            go_on.wait(120)
            raise AssertionError

    session = requests.Session()
    session.mount("https://", Dripping())
    client = Client("my-app", token_url=TOKEN_URL, revocation_url=TOKEN_URL, session=session)
    context = now(stale=Token("access"), timeout=0.1, retry=RetryPolicy(max_attempts=1))
    try:
        with pytest.raises(RefreshFailed, match="gave no answer that can be used: ReadTimeout"):
            ClientCredentials(client).revoke(context)
    finally:
        go_on.set()
    assert all(0 < seconds <= 0.1 for timeout in timeouts for seconds in timeout)
    assert len(timeouts) == 1


def test_the_adapter_for_the_url_is_used(session: requests.Session) -> None:
    """The longest prefix wins, as in requests; the session and its adapters stay open."""
    used, other = Authority(gives(), gives()), Authority()
    session.mount("https://", other.session.get_adapter(API))
    session.mount(ISSUER, used.session.get_adapter(API))
    for _ in range(2):
        assert fetched(token_url=TOKEN_URL, session=session) == ACCESS
    assert len(used.sent) == 2
    below: Any = used.session.get_adapter(API)
    assert not below.closed


def test_connections_of_our_own_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a session each token request has a connection, and none stays behind."""
    closed: list[HTTPAdapter] = []

    def close(adapter: HTTPAdapter) -> None:
        closed.append(adapter)

    monkeypatch.setattr(HTTPAdapter, "close", close)
    with Wire(*[answer(200, GOOD)] * 3) as wire:
        for _ in range(3):
            fetched(token_url=f"{wire.url}token")
    assert wire.connections == len(set(map(id, closed))) == 3


def test_connections_of_the_session_are_kept(session: requests.Session) -> None:
    """Through a session of the user's, its pool is used."""
    with Wire(*[answer(200, GOOD)] * 3) as wire:
        for _ in range(3):
            fetched(token_url=f"{wire.url}token", session=session)
    assert wire.connections == 1


def test_many_threads_share_a_client(session: requests.Session) -> None:
    """Sources and clients are used from many threads."""
    with Wire(otherwise=lambda _: answer(200, GOOD)) as wire:
        client = Client("my-app", CLIENT_SECRET, token_url=f"{wire.url}token", session=session)
        source = ClientCredentials(client)
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda _: source.fetch(now()).value, range(64)))
    assert found == [ACCESS] * 64
    assert len(wire.arrived) == 64


# --- the mounted session itself -----------------------------------------------------------


@pytest.mark.parametrize("origins", ["the API's", "both"])
def test_a_session_that_the_library_is_mounted_on(
    oidc: OidcServer, api: str, session: requests.Session, origins: str
) -> None:
    """A client may go through the very session that waits for its token: none waits for both."""
    source = RefreshToken(Client(*oidc.app, issuer=oidc.issuer, session=session), oidc.seed())
    named = [api] if origins == "the API's" else [api, oidc.issuer]
    mount(session, Settings(token=source, origins=named, retry=AT_ONCE))
    assert session.get(f"{api}/get").status_code == 200
    oidc.expire_all()
    oidc.fault("status", count=1)
    assert session.get(f"{api}/get").status_code == 200
    assert [entry["status"] for entry in oidc.log()] == [200, 503, 200]


def test_an_adapter_of_ours_without_an_inner_one(
    oidc: OidcServer, api: str, session: requests.Session
) -> None:
    """The same where the session has our adapter with a pool of its own."""
    source = ClientCredentials(Client(*oidc.cc, issuer=oidc.issuer, session=session), READ)
    settings = Settings(token=source, origins=[api, oidc.issuer])
    session.mount("http://", AuthRetryAdapter(settings))
    assert session.get(f"{api}/get").status_code == 200
    assert len(oidc.log()) == 1


def test_the_retries_of_the_session_do_not_multiply(session: requests.Session) -> None:
    """The session's own retries of the token endpoint do not come on top of ours."""
    mount(session, Settings(retry=AT_ONCE))
    with Wire(otherwise=lambda _: answer(503)) as wire:
        client = Client("my-app", token_url=f"{wire.url}token", session=session)
        failure(ClientCredentials(client), now())
    assert len(wire.arrived) == AT_ONCE.max_attempts


def test_the_retries_of_an_adapter_do_not_multiply(session: requests.Session) -> None:
    """Nor do those of an adapter with ``max_retries``: they would send an assertion twice."""
    retries = _retries_of_urllib3()
    adapter = HTTPAdapter(max_retries=retries)
    session.mount("http://", adapter)
    with Wire(otherwise=lambda _: answer(503)) as wire:
        client = Client("my-app", token_url=f"{wire.url}token", session=session)
        failure(ClientCredentials(client), now())
    assert len(wire.arrived) == AT_ONCE.max_attempts
    assert adapter.max_retries is retries


def _retries_of_urllib3() -> Any:
    from urllib3.util import Retry

    return Retry(2, status_forcelist=[503], allowed_methods=None, raise_on_status=False)


# --- proxies ------------------------------------------------------------------------------


def test_a_proxy_of_the_session(session: requests.Session) -> None:
    """The session's proxies are asked, in place of the server."""
    with Wire(answer(200, GOOD)) as proxy:
        session.proxies = {"http": proxy.url}
        assert fetched(token_url=HTTP_URL, allow_http=True, session=session) == ACCESS
    assert proxy.arrived[0].target == HTTP_URL


def test_a_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, session: requests.Session
) -> None:
    """The environment's proxies count as they do in requests, unless the session trusts it not."""
    with Wire(answer(200, GOOD)) as proxy, Wire(answer(200, GOOD)) as server:
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert fetched(token_url=HTTP_URL, allow_http=True) == ACCESS
        session.trust_env = False
        assert fetched(token_url=f"{server.url}token", session=session) == ACCESS
    assert (len(proxy.arrived), len(server.arrived)) == (1, 1)


def test_a_proxy_that_is_down(session: requests.Session) -> None:
    """Its address may hold a password: the line has nothing of it."""
    with wires.refusing() as nobody:
        session.proxies = {"http": nobody.replace("http://", "http://ada:proxy-pw-1@")}
        source = ClientCredentials(
            Client("my-app", token_url=HTTP_URL, allow_http=True, session=session)
        )
        error = failure(source, now())
    assert "gave no answer that can be used: ProxyError" in str(error)
    assert "proxy-pw-1" not in str(error)


def test_plain_http_takes_plain_words() -> None:
    """With `allow_http` another machine is asked in the open."""
    authority = Authority(gives())
    source = ClientCredentials(authority.client(token_url=HTTP_URL, allow_http=True))
    source.fetch(authority.context())
    assert authority.sent[0].url == HTTP_URL


# --- certificates -------------------------------------------------------------------------


def tls() -> ssl.SSLContext:
    """What a server of this machine's own shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


def test_a_certificate_that_nobody_trusts() -> None:
    """It is told as what it is, at once: it does not get better."""
    with Wire(answer(200, GOOD), tls=tls()) as wire:
        source = ClientCredentials(Client("my-app", CLIENT_SECRET, token_url=f"{wire.url}token"))
        error = failure(source, now())
    assert "gave no answer that can be used: SSLError" in str(error)
    assert wire.connections == 1
    assert wire.arrived == []


def test_a_private_ca(session: requests.Session) -> None:
    """The session's CA is believed."""
    session.verify = str(PEM)
    with Wire(answer(200, GOOD), tls=tls()) as wire:
        assert fetched(token_url=f"{wire.url}token", session=session) == ACCESS


def test_mutual_tls(oidc_server: Callable[..., OidcServer]) -> None:
    """With its certificate the real server knows the client; with no other, nor without."""
    oidc = oidc_server(mtls=True)
    certificates = oidc.certificates
    assert certificates is not None

    def source(cert: str | None, who: str = "cc-mtls") -> ClientCredentials:
        theirs = requests.Session()
        theirs.verify, theirs.cert = certificates.ca, cert
        return ClientCredentials(Client(who, issuer=oidc.issuer, session=theirs), READ)

    with serve(Api(oidc)) as url, mounted(source(certificates.client), url) as calls:
        for _ in range(2):
            assert calls.get(f"{url}/get").status_code == 200
            oidc.expire_all()
    assert [entry["status"] for entry in oidc.log()] == [200, 200]
    for cert in (certificates.stranger, None):
        assert failure(source(cert), now()).error == "invalid_client"
    assert failure(source(certificates.client, "cc"), now()).error == "invalid_client"
    other = ClientCredentials(Client(*oidc.cc, issuer=oidc.issuer))
    assert "SSLError" in str(failure(other, now()))


# --- what the API says of a token ---------------------------------------------------------


def test_an_error_carries_its_401_and_its_attempts() -> None:
    """Who handles a failed renewal finds the 401, and what was tried."""
    authority = Authority(gives(), refuses("invalid_grant"))
    resource = Authority((401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}, b""))
    session = resource.session
    settings = Settings(
        token=RefreshToken(authority.client(), "seed"), origins=[API], clock=authority.clock
    )
    mount(session, settings)
    error = raised(session, API)
    assert getattr(error, "error", None) == "invalid_grant"
    assert error.response is not None
    assert [attempt.status for attempt in attempts(error)] == [401]


def test_headers_that_drip(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no time limit of its own is given one, and a thread is left behind with it."""
    monkeypatch.setattr(_transport, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(_transport, "ANSWER_SECONDS", 0.2)
    go_on = Event()

    class Dripping(HTTPAdapter):
        def send(self, *_: Any, **__: Any) -> Response:
            go_on.wait(120)
            raise AssertionError

    session = requests.Session()
    session.mount("https://", Dripping())
    client = Client("my-app", token_url="https://login.example.com/token", session=session)
    context = FetchContext(None, timeout=0.1, retry=RetryPolicy(max_attempts=1))
    try:
        with pytest.raises(RefreshFailed, match="gave no answer that can be used: ReadTimeout"):
            ClientCredentials(client).fetch(context)
    finally:
        go_on.set()
