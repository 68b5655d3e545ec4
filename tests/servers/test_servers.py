"""The servers that other tests rely on are strict: what a real one refuses, they refuse."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING, Any

import pytest
import redis
import requests
from joserfc import jws, jwt
from joserfc.jwk import ECKey

from requests_authretry.cli.demo_server import serve
from tests.servers import nginx as proxy
from tests.servers import npm, starting
from tests.servers.api import Api
from tests.servers.nginx import CONNECTIONS, RATE, From, serve_nginx
from tests.servers.oidc import HERE, ServerMissingError, ec_key, rsa_key, serve_oidc
from tests.servers.starting import started
from tests.support.systems import servers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from joserfc.jwk import RSAKey

    from tests.servers.nginx import NginxServer
    from tests.servers.oidc import Client, OidcServer
    from tests.servers.redis import RedisServer

pytestmark = servers

GRANT = "urn:ietf:params:oauth:grant-type:"
CLIENT_CREDENTIALS = {"grant_type": "client_credentials", "scope": "api:read"}
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def ask(
    server: OidcServer,
    form: dict[str, str],
    client: Client | None = None,
    proof: str | None = None,
) -> requests.Response:
    """Ask the token endpoint; a client given authenticates itself by Basic."""
    return requests.post(
        server.token_url,
        form,
        auth=client,
        headers={"DPoP": proof} if proof else {},
        timeout=60,
        verify=server.certificates.ca if server.certificates else None,
    )


def renewal(refresh_token: str, **more: str) -> dict[str, str]:
    """The form that renews."""
    return {"grant_type": "refresh_token", "refresh_token": refresh_token} | more


def renewed(server: OidcServer, refresh_token: str) -> requests.Response:
    """Renew as the client ``app``."""
    return ask(server, renewal(refresh_token), server.app)


def issued(server: OidcServer, proof: str | None = None) -> str:
    """Return an access token of the client ``cc``."""
    token: str = ask(server, CLIENT_CREDENTIALS, server.cc, proof).json()["access_token"]
    return token


def outcome(response: requests.Response) -> tuple[int, str | None]:
    """The status and the OAuth error, if there is one."""
    return response.status_code, response.json().get("error")


def challenge(url: str, *, scheme: str = "", token: str = "", proof: str | None = None) -> str:
    """The status of a GET and, on a 401, the scheme and the error of the challenge."""
    headers = {"Authorization": f"{scheme} {token}"} if scheme else {}
    response = requests.get(url, headers=headers | ({"DPoP": proof} if proof else {}), timeout=60)
    asked, _, parameters = response.headers.get("WWW-Authenticate", "").partition(" ")
    error = parameters.partition('error="')[2].partition('"')[0]
    return " ".join(filter(None, (str(response.status_code), asked, error)))


def assertion(issuer: str, audience: str, key: RSAKey | ECKey, **claims: Any) -> str:
    """Sign a client's assertion, good for a minute; a claim that is None is left out."""
    payload = {"iss": issuer, "sub": issuer, "aud": audience, "exp": int(time.time()) + 60}
    payload |= {"jti": uuid.uuid4().hex, **claims}
    given = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode({"alg": "RS256" if key is rsa_key() else "ES256"}, given, key)


def dpop(key: ECKey, method: str, url: str, token: str | None = None, **claims: Any) -> str:
    """Make a DPoP proof (RFC 9449 section 4.2)."""
    payload: dict[str, Any] = {"htm": method, "htu": url, "iat": int(time.time())}
    payload["jti"] = uuid.uuid4().hex
    if token:
        digest = hashlib.sha256(token.encode()).digest()
        payload["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": key.as_dict(private=False)}
    return jws.serialize_compact(header, json.dumps(payload | claims), key)


def test_a_used_refresh_token_kills_its_family(oidc: OidcServer, api: str) -> None:
    """Who renews with a used refresh token ends the session, the newest tokens included."""
    seed = oidc.seed()
    newest = renewed(oidc, seed).json()
    assert challenge(api, scheme="Bearer", token=newest["access_token"]) == "200"

    assert outcome(renewed(oidc, seed)) == (400, "invalid_grant")

    assert outcome(renewed(oidc, newest["refresh_token"])) == (400, "invalid_grant")
    assert challenge(api, scheme="Bearer", token=newest["access_token"]).startswith("401")


def test_a_refresh_token_is_its_clients_own(oidc: OidcServer) -> None:
    """Another client can do nothing with a refresh token, and leaves it as it was."""
    seed = oidc.seed()
    stolen = ask(oidc, renewal(seed, client_id="app-public"))
    assert outcome(stolen) == (400, "invalid_grant")
    assert renewed(oidc, seed).ok


@pytest.mark.parametrize(
    ("basic", "form"),
    [
        pytest.param(("cc", "wrong"), {}, id="wrong secret"),
        pytest.param(("nobody", "cc-secret"), {}, id="unknown client"),
        pytest.param(None, {"client_id": "cc-post", "client_secret": "x"}, id="wrong secret, post"),
        pytest.param(None, {"client_id": "cc"}, id="no secret"),
        pytest.param(None, {"client_id": "cc-mtls"}, id="no certificate, nor TLS"),
    ],
)
def test_a_client_must_show_who_it_is(
    oidc: OidcServer, basic: tuple[str, str] | None, form: dict[str, str]
) -> None:
    """Without its own secret a client gets no token."""
    data = CLIENT_CREDENTIALS | form
    response = requests.post(oidc.token_url, data, auth=basic, timeout=60)
    assert outcome(response) == (401, "invalid_client")


@pytest.mark.parametrize("key", [rsa_key, ec_key])
def test_a_clients_assertion_is_good_once(
    oidc: OidcServer, key: Callable[[], RSAKey | ECKey]
) -> None:
    """A client that signs is known by its key, and no assertion works twice."""

    def authenticated(client_assertion: str) -> tuple[int, str | None]:
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        form = {"client_assertion": client_assertion, "client_assertion_type": kind}
        return outcome(ask(oidc, CLIENT_CREDENTIALS | form))

    good = assertion("cc-jwt", oidc.token_url, key())
    assert authenticated(good) == (200, None)
    assert authenticated(good) == (401, "invalid_client")
    assert authenticated(assertion("cc-jwt", "https://other.example", key()))[0] == 401
    assert authenticated(assertion("cc-jwt", oidc.issuer, ECKey.generate_key()))[0] == 401


@pytest.mark.parametrize("key", [rsa_key, ec_key])
def test_a_bearer_assertion_is_good_once(
    oidc: OidcServer, key: Callable[[], RSAKey | ECKey]
) -> None:
    """An assertion buys one token, even if nothing but the assertion is sent."""

    def exchanged(signed: str) -> tuple[int, str | None]:
        return outcome(ask(oidc, {"grant_type": f"{GRANT}jwt-bearer", "assertion": signed}))

    good = assertion("svc", oidc.token_url, key(), sub="somebody")
    assert exchanged(good) == (200, None)
    assert exchanged(good) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"aud": "https://other.example"}, id="for another server"),
        pytest.param({"exp": 1}, id="expired"),
        pytest.param({"exp": 2**40}, id="for ages"),
        pytest.param({"exp": None}, id="for ever"),
        pytest.param({"iss": "cc-jwt"}, id="of another client"),
        pytest.param({"sub": None}, id="for nobody"),
    ],
)
def test_a_bad_bearer_assertion_is_refused(oidc: OidcServer, claims: dict[str, Any]) -> None:
    """A signature is not enough: an assertion must say who, where and how long."""
    signed = assertion("svc", oidc.token_url, ec_key(), **claims)
    form = {"grant_type": f"{GRANT}jwt-bearer", "assertion": signed, "client_id": "svc"}
    assert outcome(ask(oidc, form)) == (400, "invalid_grant")


def test_a_bearer_assertion_of_a_stranger_is_refused(oidc: OidcServer) -> None:
    """An assertion counts only with the signature of the client that it names."""
    signed = assertion("svc", oidc.token_url, ECKey.generate_key())
    form = {"grant_type": f"{GRANT}jwt-bearer", "assertion": signed}
    assert outcome(ask(oidc, form)) == (400, "invalid_grant")


def test_a_password_must_be_right(oidc: OidcServer) -> None:
    """A wrong password gets nothing, the right one a pair that can be renewed."""

    def login(password: str) -> requests.Response:
        user = {"username": oidc.username, "password": password}
        return ask(oidc, {"grant_type": "password"} | user, oidc.legacy)

    assert outcome(login("wrong")) == (400, "invalid_grant")
    refresh_token = login(oidc.password).json()["refresh_token"]
    assert ask(oidc, renewal(refresh_token), oidc.legacy).ok


def test_only_a_live_token_is_exchanged(oidc: OidcServer) -> None:
    """A token is exchanged as long as it lives, for an audience that exists."""

    def exchanged(audience: str = "urn:other") -> requests.Response:
        subject = {"subject_token": token, "subject_token_type": ACCESS_TOKEN}
        form = {"grant_type": f"{GRANT}token-exchange", "audience": audience}
        return ask(oidc, form | subject, oidc.token_exchange)

    token = issued(oidc)
    assert exchanged().json()["issued_token_type"] == ACCESS_TOKEN
    assert outcome(exchanged("urn:unknown")) == (400, "invalid_target")
    oidc.expire_all()
    assert outcome(exchanged()) == (400, "invalid_request")


def test_a_device_that_polls_too_fast_is_slowed_down(
    oidc_server: Callable[..., OidcServer],
) -> None:
    """A poll before the interval is over is told so, even after the person agreed."""
    server = oidc_server(interval=60)
    scope = {"scope": "openid offline_access api:read"}
    device = requests.post(server.device_url, scope, auth=server.app, timeout=60).json()
    assert device["interval"] == 60
    server.approve(device["user_code"])
    poll = {"grant_type": f"{GRANT}device_code", "device_code": device["device_code"]}
    assert outcome(ask(server, poll, server.app)) == (400, "slow_down")


def test_a_device_gets_what_the_person_said(oidc: OidcServer) -> None:
    """A device waits, and then gets a pair that can be renewed, or a refusal."""

    def start() -> tuple[str, dict[str, str]]:
        form = {"scope": "openid offline_access api:read", "client_id": oidc.app_public.id}
        device = requests.post(oidc.device_url, form, timeout=60).json()
        poll = {"grant_type": f"{GRANT}device_code", "client_id": oidc.app_public.id}
        return device["user_code"], {**poll, "device_code": device["device_code"]}

    user_code, poll = start()
    assert outcome(ask(oidc, poll)) == (400, "authorization_pending")
    oidc.approve(user_code)
    assert "refresh_token" in ask(oidc, poll).json()

    user_code, poll = start()
    oidc.deny(user_code)
    assert outcome(ask(oidc, poll)) == (400, "access_denied")


def test_a_bound_refresh_token_needs_its_key(oidc: OidcServer) -> None:
    """A refresh token that is bound to a key is renewed with a proof of that key alone."""
    key = ECKey.generate_key()
    seed = oidc.seed(oidc.app_public, jkt=key.thumbprint())
    form = renewal(seed, client_id=oidc.app_public.id)
    stranger = dpop(ECKey.generate_key(), "POST", oidc.token_url)
    assert outcome(ask(oidc, form)) == (400, "invalid_grant")
    assert outcome(ask(oidc, form, proof=stranger)) == (400, "invalid_grant")
    own = dpop(key, "POST", oidc.token_url)
    assert ask(oidc, form, proof=own).json()["token_type"] == "DPoP"


def test_a_nonce_is_asked_for(oidc_server: Callable[..., OidcServer]) -> None:
    """A server that wants its nonce in a proof gives one, and takes it."""
    server, key = oidc_server(dpop_nonce=True), ECKey.generate_key()
    proof = dpop(key, "POST", server.token_url)
    first = ask(server, CLIENT_CREDENTIALS, server.cc, proof)
    assert outcome(first) == (400, "use_dpop_nonce")
    proof = dpop(key, "POST", server.token_url, nonce=first.headers["DPoP-Nonce"])
    assert ask(server, CLIENT_CREDENTIALS, server.cc, proof).ok


def test_mutual_tls_tells_clients_apart(oidc_server: Callable[..., OidcServer]) -> None:
    """Over mutual TLS a client is known by its certificate, and nobody else is."""
    server = oidc_server(mtls=True)
    files = server.certificates
    assert files is not None
    form = CLIENT_CREDENTIALS | {"client_id": server.cc_mtls.id}

    def status(certificate: str | None) -> int:
        answer = requests.post(
            server.token_url, form, verify=files.ca, cert=certificate, timeout=60
        )
        return answer.status_code

    assert [status(each) for each in (None, files.stranger, files.client)] == [401, 401, 200]


def test_a_fault_is_a_fault_as_often_as_said(oidc: OidcServer) -> None:
    """Faults come as often as asked, then the server works again, and the log has it all."""
    oidc.fault("status", count=2, status=429, retry_after=7)
    answers = [renewed(oidc, "unknown") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 400]
    assert answers[0].headers["Retry-After"] == "7"
    logged = [(each["client"], each["status"], each["error"]) for each in oidc.log()]
    busy = ("app", 429, "temporarily_unavailable")
    assert logged == [busy, busy, ("app", 400, "invalid_grant")]


@pytest.mark.parametrize(
    ("kind", "then"), [("drop", (200, None)), ("drop_after", (400, "invalid_grant"))]
)
def test_a_dropped_renewal_counts_or_does_not(
    oidc: OidcServer, kind: str, then: tuple[int, str | None]
) -> None:
    """A connection is dropped before the refresh token is used up, or after it."""
    seed = oidc.seed()
    oidc.fault(kind)
    with pytest.raises(requests.ConnectionError):
        renewed(oidc, seed)
    assert outcome(renewed(oidc, seed)) == then
    first, second = oidc.log()
    assert first["refresh"] == second["refresh"]
    assert first["status"] == (None if kind == "drop" else 200)


def test_a_hanging_server_never_answers(oidc: OidcServer) -> None:
    """A client that hangs has only its timeout, and its refresh token is not used up."""
    seed = oidc.seed()
    oidc.fault("hang")
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            oidc.token_url,
            renewal(seed),
            auth=oidc.app,
            timeout=(60, 2),
        )
    assert renewed(oidc, seed).ok


def test_the_api_lets_in_live_tokens_alone(oidc: OidcServer, api: str) -> None:
    """No token, an unknown one and one that expired get the challenges of RFC 6750."""
    token = issued(oidc)
    assert challenge(api) == "401 Bearer"
    assert challenge(api, scheme="Basic", token="Y2M6Y2M=") == "401 Bearer"
    assert challenge(api, scheme="Bearer", token="unknown") == "401 Bearer invalid_token"
    assert challenge(api, scheme="Bearer", token=token) == "200"
    assert challenge(api, scheme="DPoP", token=token) == "401 DPoP invalid_token"
    assert challenge(api, scheme="Bearer", token=oidc.seed()) == "401 Bearer invalid_token"
    oidc.expire_all()
    assert challenge(api, scheme="Bearer", token=token) == "401 Bearer invalid_token"


def test_the_api_wants_a_proof_made_for_the_request(oidc: OidcServer, api: str) -> None:
    """A bound token needs a proof of its key, for this request, now, and once."""
    key, url = ECKey.generate_key(), f"{api}/anything/a%20b"
    token = issued(oidc, dpop(key, "POST", oidc.token_url))

    def get(proof: str | None, scheme: str = "DPoP") -> str:
        return challenge(f"{url}?query=1", scheme=scheme, token=token, proof=proof)

    good = dpop(key, "GET", url, token)
    bad = {
        "none": None,
        "garbage": "a.b.c",
        "another key's": dpop(ECKey.generate_key(), "GET", url, token),
        "another method's": dpop(key, "POST", url, token),
        "another URL's": dpop(key, "GET", f"{api}/get", token),
        "another token's": dpop(key, "GET", url, "other"),
        "no token's": dpop(key, "GET", url),
        "old": dpop(key, "GET", url, token, iat=int(time.time()) - 3600),
        "timeless": dpop(key, "GET", url, token, iat="now"),
    }
    assert get(good, "Bearer") == "401 DPoP invalid_token"
    for name, proof in bad.items():
        assert (name, get(proof)) == (name, "401 DPoP invalid_dpop_proof")
    assert get(good) == "200"
    assert get(good) == "401 DPoP invalid_dpop_proof"


def test_the_api_rotates_its_nonce(oidc: OidcServer) -> None:
    """A nonce is good for as many proofs as was said, then another one is asked for."""
    key = ECKey.generate_key()
    token = issued(oidc, dpop(key, "POST", oidc.token_url))
    with serve(Api(oidc, nonce_every=2)) as url:

        def get(nonce: str) -> requests.Response:
            proof = dpop(key, "GET", f"{url}/get", token, nonce=nonce)
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
            return requests.get(f"{url}/get", headers=headers, timeout=60)

        nonce = get("mine").headers["DPoP-Nonce"]
        assert [get(nonce).status_code for _ in range(3)] == [200, 200, 401]
        refused = get(nonce)
        assert 'error="use_dpop_nonce"' in refused.headers["WWW-Authenticate"]
        assert get(refused.headers["DPoP-Nonce"]).ok


def test_redis_comes_back_empty(own_redis_server: RedisServer) -> None:
    """A killed Redis loses its clients and its data, and is found again where it was."""
    with redis.Redis.from_url(own_redis_server.url) as client:
        client.set("key", "value")
        own_redis_server.kill()
        with pytest.raises(redis.ConnectionError):
            client.get("key")
        own_redis_server.start()
        assert client.get("key") is None


def test_redis_is_flushed(redis_server: RedisServer) -> None:
    """A flushed Redis has forgotten everything."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("key", "value")
        redis_server.flush()
        assert client.get("key") is None


def launched(*programs: str) -> Callable[[], Popen[str]]:
    """Return what starts these Python programs, one each time it is called."""
    left = list(programs)
    python = [sys.executable, "-c"]
    return lambda: Popen([*python, left.pop(0)], stdout=PIPE, text=True)  # noqa: S603 (our own words)


def first_line(process: Popen[str]) -> str | None:
    """Return the first line that a program writes, None if it ends before."""
    assert process.stdout is not None
    return process.stdout.readline().strip() or None


def test_a_server_that_does_not_come_up_is_started_once_more() -> None:
    """A program that ends before it has said anything is started again, and then serves."""
    process, said = started("it", launched("", "print('here')"), first_line)
    with process:
        assert said == "here"


def test_a_server_that_ends_twice_is_told_with_its_exit_codes() -> None:
    """The message says that each process ended by itself, after how long, and its exit code."""
    told = (
        r"it did not start; see stderr: it ended by itself after [0-9.]+ s \(exit code 3\), "
        r"then it ended by itself after [0-9.]+ s \(exit code 4\)"
    )
    with pytest.raises(RuntimeError, match=told):
        started("it", launched("raise SystemExit(3)", "raise SystemExit(4)"), first_line)


def test_a_server_that_says_nothing_is_killed_and_the_message_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that hangs is killed, and the message does not say that it ended by itself."""
    monkeypatch.setattr(starting, "PATIENCE", 0.2)
    hangs = "import time; time.sleep(600)"
    with pytest.raises(RuntimeError, match=r"we killed it after [0-9.]+ s \(exit code -9\)"):
        started("it", launched(hangs, hangs), first_line)


def test_without_node_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no node, the server says so in one line instead of a traceback."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(npm, "missing", npm.missing.__wrapped__)  # an earlier test's find is kept
    with pytest.raises(ServerMissingError, match="needs node and npm"), serve_oidc():
        pass


@pytest.mark.parametrize("folder", [HERE, HERE / "azurite"], ids=lambda folder: folder.name)
def test_the_lock_file_names_no_registry(folder: Path) -> None:
    """Packages come from wherever npm is set to look, and must have the hashes of the lock file."""
    packages = json.loads((folder / "package-lock.json").read_text("utf-8"))["packages"]
    assert packages.pop("")
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert package["integrity"].startswith("sha512-"), name


def visit(base: str, user: str = "", path: str = "/status/204") -> requests.Response:
    """Ask for something that is behind a limit."""
    headers = {"Authorization": f"Bearer {user}"} if user else {}
    return requests.get(f"{base}{path}", headers=headers, timeout=60)


@pytest.mark.parametrize(("limit", "refusal"), [("slow", 429), ("slow-503", 503)])
def test_nginx_limits_the_rate(nginx: NginxServer, limit: str, refusal: int) -> None:
    """A burst goes through, what exceeds it does not, and another credential has its own."""
    api = nginx.api(limit)
    statuses = [visit(api).status_code for _ in range(RATE + 5)]
    assert statuses[:RATE] == [204] * RATE
    assert refusal in statuses[RATE:]
    assert set(statuses[RATE:]) <= {204, refusal}
    assert visit(api, user="another").status_code == 204


@pytest.mark.parametrize(("limit", "refusal"), [("connections", 429), ("connections-503", 503)])
def test_nginx_limits_what_is_under_way(nginx: NginxServer, limit: str, refusal: int) -> None:
    """So many requests at a time are served; the others are refused at once, until one ends."""
    api, threads = nginx.api(limit), CONNECTIONS + 5
    with ThreadPoolExecutor(threads) as pool:
        slow = [pool.submit(visit, api, path="/delay/1") for _ in range(threads)]
        statuses = sorted(answer.result().status_code for answer in slow)
    assert statuses == [200] * CONNECTIONS + [refusal] * 5
    assert visit(api).status_code == 204


@pytest.mark.parametrize("hint", ["none", 7, "date", "fields"])
def test_nginx_says_when_to_come_back(nginx: NginxServer, hint: str | int) -> None:
    """A refusal has the hint that the URL names, in maintenance as well, and no other answer."""
    api = nginx.api("free", hint)
    assert "Retry-After" not in visit(api).headers
    nginx.close()
    refusal = visit(api)
    nginx.reopen()
    assert [refusal.status_code, visit(api).status_code] == [503, 204]
    retry_after = refusal.headers.get("Retry-After")
    if hint == "date":
        assert retry_after is not None
        date = parsedate_to_datetime(refusal.headers["Date"])
        assert (parsedate_to_datetime(retry_after) - date).total_seconds() in {1, 2, 3}
    else:
        assert retry_after == ("7" if hint == 7 else None)
    fields = {name: value for name, value in refusal.headers.items() if "RateLimit" in name}
    policy = {"RateLimit-Policy": f'"default";q={RATE};w=1'}
    assert fields == (policy | {"RateLimit": '"default";r=0;t=1'} if hint == "fields" else {})
    passed = visit(api).headers
    assert {name: passed[name] for name in passed if "RateLimit" in name} == (
        policy if hint == "fields" else {}
    )


def test_nginx_tells_what_it_was_asked(nginx: NginxServer) -> None:
    """The log has each request that is answered, when it came, and from where."""
    api, before = nginx.api("free"), time.time()
    visit(api, path="/delay/0.5?call=1")
    nginx.close()
    visit(api, path="/get?call=2")
    slow, refused = nginx.log()
    assert (slow.path, slow.status) == ("/free/none/delay/0.5?call=1", 200)
    assert (refused.path, refused.status) == ("/free/none/get?call=2", 503)
    assert {slow.address, refused.address} == {"127.0.0.1"}
    # its clock has milliseconds, and looks at them when something happens
    assert before - 0.1 < slow.at < refused.at - 0.4
    assert refused.at < time.time() + 0.1


def test_nginx_counts_addresses_apart(nginx: NginxServer) -> None:
    """Who comes from another address has a limit of its own."""
    api = nginx.api("slow")
    while visit(api).status_code == 204:
        pass
    with requests.Session() as session:
        session.mount("http://", From("127.0.0.2"))
        assert session.get(f"{api}/status/204").status_code == 204
    assert [e.status for e in nginx.log() if e.address == "127.0.0.2"] == [204]


def test_without_nginx_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, httpbin_url: str
) -> None:
    """Where there is no nginx, one line says so."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setattr(proxy, "find_spec", lambda _: None)
    with pytest.raises(ServerMissingError, match="neither nginx"), serve_nginx(httpbin_url):
        pass
