"""Credentials on a request: the caller's stay, and ours leave no trace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

from requests_authretry import (
    AuthRetryError,
    ConfigurationError,
    Header,
    Reason,
    RefreshDeclined,
    Settings,
    Token,
    attempts,
    explain,
)
from requests_authretry._call.credentials import Credentials, refuse_proxy
from requests_authretry._call.placing import text_in
from tests.support.scripted import EXPIRED, Source
from tests.support.sessions import API, SECRET, Rig, authorization, raised, real
from tests.support.wire import Wire, answer, fin, says

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.wire import Action, Arrived

TOKEN = f"Bearer {SECRET}"
BASIC = requests.auth._basic_auth_str("ada", "lovelace")  # noqa: SLF001
BUSY = answer(503, b"busy")


def rig(*script: Any, **settings: Any) -> Rig:
    """Make a session with a token for the API."""
    return Rig(*script, **({"token": SECRET, "origins": [API]} | settings))


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a file of stored passwords, for the API and for another host."""
    path = tmp_path / "netrc"
    lines = "machine {} login ada password lovelace\n"
    path.write_text(lines.format("api.example.com") + lines.format("other.example.com"))
    monkeypatch.setenv("NETRC", str(path))
    return path


OWN: dict[str, dict[str, Any]] = {
    "header": {"headers": {"Authorization": "Bearer my-own"}},
    "header in lower case": {"headers": {"authorization": "Bearer my-own"}},
    "empty header": {"headers": {"Authorization": ""}},
    "tuple": {"auth": ("ada", "lovelace")},
    "class": {"auth": HTTPBasicAuth("ada", "lovelace")},
    "URL": {"url": "https://ada:lovelace@api.example.com/"},
}


@pytest.mark.parametrize("options", OWN.values(), ids=OWN)
def test_an_authorization_that_the_caller_set_is_left_alone(options: dict[str, Any]) -> None:
    """A caller's header is sent as in bare requests, and a 401 to it renews nothing."""
    source = Source(SECRET)
    own = rig(503, EXPIRED, token=source)
    options = {"url": API} | options
    usual = requests.Session().prepare_request(requests.Request("GET", **options))
    assert own.session.get(**options).status_code == 401
    assert own.carried == [authorization(usual)] * 2
    assert source.calls == 0
    assert [event.reason for event in own.told(RefreshDeclined)] == [Reason.OWN_CREDENTIAL]


@pytest.mark.parametrize("where", ["auth", "headers"])
def test_an_authorization_that_the_session_has_is_left_alone(where: str) -> None:
    """The session's own auth and headers count as the caller's too."""
    own = rig(200)
    if where == "auth":
        own.session.auth = ("ada", "lovelace")
    else:
        own.session.headers["Authorization"] = BASIC
    own.get()
    assert own.carried == [BASIC]


def test_digest_auth_still_works() -> None:
    """A 401 that the caller's digest auth answers stays with the caller, through retries too."""
    challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5')
    script = [answer(401, b"", challenge), BUSY, answer(200, b"in")]
    with Wire(*script) as wire, real(token=SECRET, origins=[wire.url]) as session:
        response = session.get(wire.url, auth=HTTPDigestAuth("ada", "lovelace"))
        schemes = [seen.headers["Authorization"].split()[0] for seen in wire.arrived]
    assert (response.content, schemes) == (b"in", ["Bearer", "Digest", "Digest"])


@pytest.mark.usefixtures("netrc")
def test_a_stored_password_does_not_displace_the_token() -> None:
    """A password that requests takes from netrc does not count as set by the caller."""
    ours = rig(EXPIRED, 200, token=Source("old", "new"))
    assert ours.get().status_code == 200
    assert ours.carried == ["Bearer old", "Bearer new"]
    ours = rig(200, token_in=Header("Authorization", "Token {token}"))
    ours.get()
    assert ours.carried == [f"Token {SECRET}"]


@pytest.mark.usefixtures("netrc")
def test_a_stored_password_still_serves_its_own_host() -> None:
    """A password in netrc works on other hosts, on a first request and after a redirect."""
    other = "https://other.example.com/"
    ours = rig((302, {"Location": other}), 200, 200)
    ours.get()
    ours.get(other)
    assert ours.carried == [TOKEN, BASIC, BASIC]


@pytest.mark.usefixtures("netrc")
def test_a_session_that_does_not_trust_its_surroundings_reads_no_netrc() -> None:
    """The token is the only credential with trust_env=False."""
    ours = rig(200, 200)
    ours.session.trust_env = False
    ours.get()
    ours.get("https://other.example.com/")
    assert ours.carried == [TOKEN, None]


def test_the_callers_request_never_carries_the_token() -> None:
    """The token is in no request afterwards: the caller's, the answer's, or in the history."""
    ours = rig(503, EXPIRED, (302, {"Location": "/there"}), 200, token=Source("old", "new"))
    prepared = ours.session.prepare_request(requests.Request("GET", API))
    headers = dict(prepared.headers)
    response = ours.session.send(prepared)
    assert dict(prepared.headers) == headers
    assert ours.carried == ["Bearer old", "Bearer old", "Bearer new", "Bearer new"]
    seen = [response.request, *(past.request for past in response.history), prepared]
    assert [authorization(request) for request in seen] == [None] * len(seen)
    assert response.history[0].request is prepared


def test_headers_may_be_a_plain_dictionary() -> None:
    """A caller who replaced the headers by another mapping gets the token added."""
    ours = rig(200, 200)
    prepared = ours.session.prepare_request(requests.Request("GET", API))
    for headers in ({"X-Own": "1"}, {"authorization": "mine"}):
        prepared.headers = headers  # type: ignore[assignment]
        ours.session.send(prepared)
    first, second = ours.inner.sent
    assert (first.headers["X-Own"], first.headers["Authorization"]) == ("1", TOKEN)
    assert dict(second.headers) == {"authorization": "mine"}


def test_the_history_of_an_answered_401() -> None:
    """The history has the refused answer, as with digest auth, with the caller's own request."""
    ours = rig((401, {}, b"no"), (200, {}, b"yes"), token=Source("old", "new"))
    prepared = ours.session.prepare_request(requests.Request("GET", API))
    response = ours.session.send(prepared)
    assert [(past.status_code, past.content) for past in response.history] == [(401, b"")]
    assert (response.content, response.request, response.url) == (b"yes", prepared, prepared.url)
    assert response.connection is ours.adapter


def test_a_failed_attempt_is_no_history() -> None:
    """The history has no failed attempts, since many callers take it for redirects."""
    response = rig(503, 429, 200).get()
    assert (response.history, len(attempts(response))) == ([], 3)


def test_a_prepared_request_can_be_sent_again() -> None:
    """A request that is sent again is another call, with the token that is current then."""
    ours = rig(200, EXPIRED, 200, 503, 200, token=Source("old", "new"))
    prepared = ours.session.prepare_request(requests.Request("GET", API))
    answers = [ours.session.send(prepared) for _ in range(3)]
    assert ours.carried == ["Bearer old", "Bearer old", *["Bearer new"] * 3]
    assert [len(attempts(response)) for response in answers] == [1, 2, 2]


def test_threads_may_share_a_prepared_request() -> None:
    """Sixteen threads that send one object, refused and redirected, have separate records."""
    crowd = 16
    together = Barrier(crowd)

    def otherwise(seen: Arrived) -> Action:
        if seen.headers["Authorization"] == "Bearer old":
            together.wait(120)
            return answer(401)
        return answer(200) if seen.target == "/there" else moved

    def send(_: int) -> list[tuple[int | None, Reason]]:
        return [(each.status, each.reason) for each in attempts(session.send(prepared))]

    source, moved = Source("old", "new", "newer"), answer(307, b"", ("Location", "/there"))
    with (
        Wire(otherwise=otherwise) as wire,
        real(token=source, origins=[wire.url], pool={"pool_maxsize": crowd}) as session,
        ThreadPoolExecutor(crowd) as pool,
    ):
        prepared = session.prepare_request(requests.Request("PUT", wire.url, data=b"order"))
        stories = list(pool.map(send, range(crowd)))
        assert {seen.body for seen in wire.arrived} == {b"order"}
    ends = [(307, Reason.REDIRECT), (200, Reason.FINAL)]
    assert {tuple(story[1:]) for story in stories} == {tuple(ends)}
    assert {story[0] for story in stories} <= {(401, Reason.REFRESHED), (401, Reason.REPLAYED)}
    assert (source.calls, set(prepared.hooks)) == (2, {"response"})


class Signature(requests.auth.AuthBase):
    """An auth that signs with a number that grows, like a timestamp."""

    def __init__(self) -> None:
        """Start without a signature."""
        self.made = 0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign, and add a hook as an auth of requests may."""
        self.made += 1
        request.headers["X-Signature"] = f"{self.made} {request.method}"
        request.register_hook("response", lambda response, **_: response)
        return request


def test_each_attempt_is_signed_anew() -> None:
    """A retry, a replay and a redirect get a new signature; the caller's request has none."""
    moved, signature = (302, {"Location": "/there"}), Signature()
    ours = rig(503, EXPIRED, moved, 200, token=Source("old", "new"), auth=signature)
    response = ours.get()
    signed = [request.headers["X-Signature"] for request in ours.inner.sent]
    assert signed == [f"{number} GET" for number in (1, 2, 3, 4)]
    assert ours.carried == ["Bearer old", "Bearer old", "Bearer new", "Bearer new"]
    assert "X-Signature" not in response.request.headers
    assert len(response.request.hooks["response"]) == 1


@pytest.mark.parametrize("hooks", [None, {}, {"response": None}])
def test_signing_needs_no_hooks(hooks: Any) -> None:
    """A request whose hooks were removed is signed like any other."""
    ours = Rig(200, auth=Signature(), origins=[API])
    prepared = ours.session.prepare_request(requests.Request("GET", API))
    prepared.hooks = hooks
    assert ours.session.send(prepared).status_code == 200
    assert ours.inner.sent[0].headers["X-Signature"] == "1 GET"


def test_a_signature_goes_to_its_origins_alone() -> None:
    """A signing auth follows the same rule of origins as a token."""
    signature = Signature()
    ours = Rig((302, {"Location": "https://evil.test/"}), 200, auth=signature, origins=[API])
    ours.get()
    assert ["X-Signature" in request.headers for request in ours.inner.sent] == [True, False]
    assert signature.made == 1


FROM_SETTINGS: dict[str, dict[str, Any]] = {
    "signature": {"auth": Signature()},
    "token": {"token": SECRET},
    "neither": {},
}


@pytest.mark.parametrize("options", FROM_SETTINGS.values(), ids=FROM_SETTINGS)
def test_a_401_to_a_credential_from_the_settings_is_read(options: dict[str, Any]) -> None:
    """Hooks get a 401 to a token or signature read, and unread one to a request without either."""
    read: list[bool] = []

    def look(response: requests.Response, **_: Any) -> None:
        read.append(response._content_consumed)  # noqa: SLF001

    ours = Rig((401, {"WWW-Authenticate": "Basic"}, b"no"), origins=[API], **options)
    assert ours.get(hooks={"response": look}).status_code == 401
    assert read == [bool(options)]


@pytest.mark.parametrize("url", [f"{API}:443/a", "HTTPS://API.EXAMPLE.COM/a"])
def test_an_origin_may_be_spelled_in_another_way(url: str) -> None:
    """The token goes to its origin with the default port written out, and in upper case."""
    ours = rig(200)
    prepared = requests.Request("GET", API).prepare()
    prepared.url = url  # requests itself writes the host in lower case
    ours.session.send(prepared)
    assert ours.carried == [TOKEN]


def test_another_scheme_stands_before_the_token() -> None:
    """A token names its scheme, and only challenges for that scheme are answered."""
    token = Token("abc", scheme="token")
    ours = rig((401, {"WWW-Authenticate": "Bearer"}), token=token)
    assert ours.get().status_code == 401
    assert ours.carried == ["token abc"]
    assert [event.reason for event in ours.told(RefreshDeclined)] == [Reason.OTHER_SCHEME]


FOREIGN = ['BASIC realm="Service-now"', "Token", "Negotiate", 'Basic realm="a", NTLM', "?"]


@pytest.mark.parametrize("challenge", FOREIGN)
def test_any_challenge_may_refuse_the_token(challenge: str) -> None:
    """With the setting, a 401 that names other schemes renews the token, once."""
    script = [(401, {"WWW-Authenticate": challenge})] * 3
    ours = rig(*script, token=Source("old", "new"), challenge="any")
    assert ours.get().status_code == 401
    assert ours.carried == ["Bearer old", "Bearer new"]
    assert [event.reason for event in ours.told(RefreshDeclined)] == [Reason.ANSWERED]


def test_explain_names_the_setting_for_other_schemes() -> None:
    """The reason why a 401 is handed out comes with the setting that renews all the same."""
    response = rig((401, {"WWW-Authenticate": "Token"})).get()
    assert 'other schemes: Settings(challenge="any") renews' in str(explain(response))


@pytest.mark.parametrize("wrong", ["all", "", None, True, ["any"]])
def test_the_setting_takes_two_words(wrong: Any) -> None:
    """Anything else is refused when the settings are made, with both words."""
    with pytest.raises(ConfigurationError, match="challenge must be 'scheme' or 'any'"):
        Settings(challenge=wrong)


def test_a_replay_survives_what_a_first_send_does() -> None:
    """The request that follows a 401 is retried like any other, with the same attempts."""
    script = [answer(401), BUSY, says(end=fin), answer(200, b"in")]
    with Wire(*script) as wire, real(token=Source("old", "new"), origins=[wire.url]) as session:
        response = session.get(wire.url)
    assert response.content == b"in"
    told = [attempt.reason for attempt in attempts(response)]
    assert told == [Reason.REFRESHED, Reason.SERVER_ERROR, Reason.LOST, Reason.FINAL]


def test_a_replay_that_fails_raises_as_ever() -> None:
    """An exception after a renewal is that of the connection, with the caller's request."""
    script = [answer(401), *[says(end=fin)] * 4]
    with Wire(*script) as wire, real(token=Source("old", "new"), origins=[wire.url]) as session:
        error = raised(session, wire.url)
    assert type(error) is requests.ConnectionError
    assert error.request is not None
    assert error.request.headers.get("Authorization") is None
    assert len(attempts(error)) == 5


# What a call notes about its credential


class Proofs(Source):
    """A source with a prover, which remembers what it proved and learned."""

    def __init__(self, *lines: Any) -> None:
        super().__init__(*lines)
        self.prover = self
        self.proved: list[tuple[str, str, str, float]] = []
        self.learned: list[tuple[str, str]] = []

    def proof(self, method: str, url: str, token: Token, now: float) -> str:
        """Remember it."""
        self.proved.append((method, url, token.value, now))
        return f"proof {len(self.proved)}"

    def learn(self, url: str, nonce: str) -> None:
        """Remember it."""
        self.learned.append((url, nonce))


def test_a_proof_is_made_for_each_attempt() -> None:
    """A bound token goes with a proof for method, URL, token and time, and nonces are learned."""
    source = Proofs(Token("bound", scheme="DPoP"))
    ours = rig(503, (200, {"DPoP-Nonce": "n1"}), token=source)
    ours.session.put(f"{API}/a?b=1", data=b"")
    now = ours.clock.time()
    url = f"{API}/a?b=1"
    assert source.proved == [
        ("PUT", url, "bound", now - sum(ours.waits)),
        ("PUT", url, "bound", now),
    ]
    assert source.learned == [(url, "n1")]
    sent = [dict(request.headers) for request in ours.inner.sent]
    assert [(each["Authorization"], each["DPoP"]) for each in sent] == [
        ("DPoP bound", "proof 1"),
        ("DPoP bound", "proof 2"),
    ]


def test_a_proof_needs_a_prover_and_a_bound_token() -> None:
    """A bearer token goes without a proof, and so does a bound token of a source without a key."""
    for source in (Proofs(SECRET), Token("bound", scheme="DPoP")):
        ours = rig((200, {"DPoP-Nonce": "n1"}), token=source)
        ours.get()
        assert "DPoP" not in ours.inner.sent[0].headers
        assert getattr(source, "learned", []) == []


def test_a_call_forgets_what_its_last_attempt_carried() -> None:
    """What an attempt carried is not taken for what the next one carries."""
    ours = rig(200)
    shared: Any = ours.adapter._shared  # noqa: SLF001
    credentials = Credentials()

    def noted() -> tuple[object, ...]:
        return credentials.sent, credentials.on_answer, credentials.is_signed

    elsewhere = requests.Request("GET", "https://other.example.com/").prepare()
    for forget in (
        credentials.detach,
        lambda: credentials.attach(shared, elsewhere, elsewhere, {}, 10.0, None),  # type: ignore[arg-type]
    ):
        credentials.sent, credentials.on_answer = Token(SECRET), lambda *_: None
        credentials.is_signed = True
        forget()
        assert noted() == (None, None, False)


REPLAYS: list[tuple[list[bool], bool]] = [
    ([], True),
    ([False], True),
    ([False, False], False),
    ([True], False),
    ([True, False], False),
]


@pytest.mark.parametrize(("replays", "may_replay"), REPLAYS, ids=str)
def test_how_often_a_call_is_replayed(replays: list[bool], *, may_replay: bool) -> None:
    """One replay with a fetched token, or two with tokens of others, and a nonce allows more."""
    credentials = Credentials()
    for fetched in replays:
        if fetched:
            credentials.count_replay(fetched=True)
        else:
            credentials.count_replay()
    assert credentials.replays == len(replays)
    assert credentials.may_replay is False  # nothing of ours was sent
    credentials.sent = Token(SECRET)
    assert credentials.may_replay is may_replay
    credentials.has_nonce = True
    assert credentials.may_replay is True


def brings(status: int, nonce: str | None) -> requests.Response:
    """Return an answer with a nonce, or without one."""
    response = requests.Response()
    response.status_code = status
    if nonce is not None:
        response.headers["DPoP-Nonce"] = nonce
    return response


def test_three_nonces_in_a_row_are_answered() -> None:
    """A fourth 401 in a row with a nonce is handed out; another status begins a new row."""
    credentials, prover = Credentials(), Proofs()
    told: list[bool] = []
    for status in (401, 401, 401, 401, 200, 401, 401, 401, 401):
        credentials.learn_nonce(prover, API, brings(status, "n"))
        told.append(credentials.has_nonce)
    assert told == [True, True, True, False, True, True, True, True, False]
    assert prover.learned == [(API, "n")] * 9


@pytest.mark.parametrize("nonce", [None, ""])
def test_an_answer_without_a_nonce_teaches_none(nonce: str | None) -> None:
    """Without a nonce, or with an empty one, the last one stays and no replay is due to it."""
    credentials, prover = Credentials(), Proofs()
    credentials.learn_nonce(prover, API, brings(401, nonce))
    assert (credentials.has_nonce, prover.learned) == (False, [])


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize(("header", "is_own"), [(None, False), (BASIC, False), (TOKEN, True)])
def test_a_header_from_netrc_is_not_the_callers(header: str | None, *, is_own: bool) -> None:
    """Only a header that differs from the stored password was set by the caller."""
    request = requests.Request("GET", API).prepare()
    if header is not None:
        request.headers["Authorization"] = header
    assert (text_in(None, request) is not None) is is_own


def test_a_proxy_that_sees_a_credential_is_refused() -> None:
    """The message says what would happen and how to go on; secrets in the URL are left out."""
    proxies = {"http": "http://proxy.test:3128", "https": "http://proxy.test:3128"}
    with pytest.raises(AuthRetryError) as caught:
        refuse_proxy("http://localhost/a?secret=1", proxies, "Client")
    assert str(caught.value) == (
        "not sent: http://localhost/a is plain http, and a proxy that serves it would see the "
        "credential in the clear: name the host in the variable NO_PROXY, or take the proxy out "
        "of session.proxies; Client(allow_http=True) allows it"
    )
    with pytest.raises(AuthRetryError, match=r"; Settings\(allow_http=True\) allows it$"):
        refuse_proxy("http://localhost/", proxies)
    for url in ("https://localhost/", "HTTPS://localhost/"):
        refuse_proxy(url, proxies)
    refuse_proxy("http://localhost/", {"https": "http://proxy.test:3128"})
