"""Digest: on the session, in a call and in settings, with a nonce count of its own per attempt."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth

from requests_authretry import (
    AuthRetryWarning,
    Reason,
    RefreshDeclined,
    RetryPolicy,
    Settings,
    attempts,
    mount,
    override,
)
from requests_authretry._call.digest import take_challenge
from requests_authretry._core.challenge import parse_challenges
from requests_authretry.cli.demo_server import serve
from tests.servers.digest import PASSWORD, USER, serve_digest
from tests.support.sessions import API, AT_ONCE, Rig, ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest

    from requests_authretry.cli.demo_server import DemoServer
    from tests.servers.digest import DigestServer

RETRY = RetryPolicy(backoff=AT_ONCE)


@pytest.fixture
def server() -> Iterator[DigestServer]:
    """A server that asks for Digest."""
    with serve_digest() as server:
        yield server


def in_settings(session: requests.Session, server: DigestServer, **options: Any) -> None:
    """Give the signature to the settings."""
    auth = HTTPDigestAuth(USER, PASSWORD)
    mount(session, Settings(**{"auth": auth, "origins": [server.url], "retry": RETRY, **options}))


def on_session(session: requests.Session, *_: DigestServer) -> None:
    """Give the signature to the session."""
    session.auth = HTTPDigestAuth(USER, PASSWORD)
    mount(session, Settings(retry=RETRY))


WAYS: dict[str, Any] = {"settings": in_settings, "session": on_session}


@pytest.fixture(params=WAYS)
def session(request: pytest.FixtureRequest, server: DigestServer) -> Iterator[requests.Session]:
    """A session that signs, by its settings or by itself."""
    with requests.Session() as session:
        WAYS[request.param](session, server)
        yield session


@pytest.fixture
def ours(server: DigestServer) -> Iterator[requests.Session]:
    """A session whose settings sign."""
    with requests.Session() as session:
        in_settings(session, server)
        yield session


# --- each way -----------------------------------------------------------------------------


def test_the_first_call_is_challenged_and_later_ones_are_not(
    session: requests.Session, server: DigestServer
) -> None:
    """The first call has a 401 in its history; the second is signed at once, with count 2."""
    first, second = session.get(f"{server.url}/a?b=c"), session.get(f"{server.url}/d")
    assert (first.text, second.text) == ("in", "in")
    assert [each.status_code for each in first.history] == [401]
    assert second.history == []
    assert (server.statuses, server.counts) == ([401, 200, 200], [None, 1, 2])


@pytest.mark.parametrize("trouble", [503, 0], ids=["503", "lost connection"])
def test_each_retry_has_a_count_of_its_own(
    session: requests.Session, server: DigestServer, trouble: int
) -> None:
    """The server counts an attempt that failed, and refuses its count: a retry has the next one."""
    session.get(server.url)
    server.answers += [trouble, trouble]
    assert session.get(server.url).text == "in"
    assert server.statuses == [401, 200, trouble, trouble, 200]
    assert server.counts == [None, 1, 2, 3, 4]


def test_a_retry_after_the_challenge(session: requests.Session, server: DigestServer) -> None:
    """The attempt that answers the challenge fails: its retry needs no other challenge."""
    server.answers += [503, 503]
    assert session.get(server.url).text == "in"
    assert (server.statuses, server.counts) == ([401, 503, 503, 200], [None, 1, 2, 3])


def test_a_body_is_sent_whole(session: requests.Session, server: DigestServer) -> None:
    """A POST is challenged, then answered with the same body."""
    assert session.post(server.url, data=b"letter").text == "in"
    assert [each.body for each in server.seen] == [b"letter"] * 2


def test_a_stale_nonce_is_replaced(session: requests.Session, server: DigestServer) -> None:
    """A server whose nonces are good for one request: each call is challenged, and gets in."""
    server.uses = 1
    for _ in range(3):
        assert session.get(server.url).text == "in"
    assert server.statuses == [401, 200, 401, 200, 401, 200]


def test_a_streamed_answer(session: requests.Session, server: DigestServer) -> None:
    """With `stream=True` the 401 is answered too, and the caller reads the last body."""
    with session.get(server.url, stream=True) as response:
        assert (response.status_code, response.raw.read()) == (200, b"in")


def test_threads_sign_for_nonces_of_their_own(
    session: requests.Session, server: DigestServer
) -> None:
    """Eight threads with one session: one challenge each, and no nonce count comes twice."""
    start, texts = Barrier(8), list[str]()

    def calls() -> None:
        start.wait(60)
        texts.extend(session.get(server.url).text for _ in range(5))

    threads = [Thread(target=calls) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        ended(thread.join)
    assert texts == ["in"] * 40
    assert server.statuses.count(401) == 8
    signed = [(each.nonce, each.number) for each in server.seen if each.nonce]
    assert len(set(signed)) == len(signed) == 40


def test_a_redirect_is_signed_for_its_own_path(
    session: requests.Session, server: DigestServer
) -> None:
    """The hop has another path, so another signature, and a POST ends as a GET."""
    server.answers += [f"{server.url}/there"]
    assert session.post(f"{server.url}/here", data=b"x").text == "in"
    assert [(each.path, each.status) for each in server.seen][-1] == ("/there", 200)


ALGORITHMS = ["MD5", "MD5-sess", "SHA-256", "SHA-512", ""]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("qop", ["auth", "auth,auth-int"])
def test_algorithms(
    session: requests.Session, server: DigestServer, algorithm: str, qop: str
) -> None:
    """Each algorithm that requests knows serves retries as well."""
    server.algorithm, server.qop, server.answers = algorithm, qop, [503]
    assert session.get(server.url).text == "in"
    assert server.statuses == [401, 503, 200]


def test_a_server_of_1999(session: requests.Session, server: DigestServer) -> None:
    """Without ``qop`` there is no nonce count (RFC 2069)."""
    server.qop, server.answers = "", [503]
    assert session.get(server.url).text == "in"
    assert server.counts == [None, None, None]


def test_a_wrong_password(session: requests.Session, server: DigestServer) -> None:
    """A wrong password costs two requests, and its 401 is handed out."""
    adapter: Any = session.adapters["http://"]
    auth: Any = session.auth or adapter.settings.auth
    auth.password = "wrong"
    assert session.get(server.url).status_code == 401
    assert server.statuses == [401, 401]


# --- in settings --------------------------------------------------------------------------


def test_nothing_shows_the_signature(ours: requests.Session, server: DigestServer) -> None:
    """The caller's request, and those of the history, carry no Authorization."""
    response = ours.get(server.url)
    requests_ = [response.request, *(each.request for each in response.history)]
    assert ["Authorization" in each.headers for each in requests_] == [False, False]
    assert [each.reason for each in attempts(response)] == [Reason.CHALLENGED, Reason.FINAL]


def test_the_signature_goes_to_its_origins_alone(server: DigestServer) -> None:
    """A challenge of another server is not answered, after a redirect either."""
    with serve_digest() as other, requests.Session() as session:
        in_settings(session, server)
        server.answers += [f"{other.url}/x"]
        assert session.get(server.url).status_code == 401
        assert session.get(other.url).status_code == 401
        assert [each.nonce for each in other.seen] == [None, None]


def test_a_hop_has_a_challenge_of_its_own(server: DigestServer) -> None:
    """Two origins of the settings, and a redirect from one to the other: both are answered."""
    with serve_digest() as other, requests.Session() as session:
        in_settings(session, server, origins=[server.url, other.url])
        server.answers, other.tells_stale = [f"{other.url}/x"], False
        assert session.get(server.url).text == "in"
        assert (server.statuses, other.statuses) == ([401, 302], [401, 200])


def test_a_site_without_a_signature_answers_no_challenge(server: DigestServer) -> None:
    """A redirect from a site that signs to a server that no settings sign for: one request."""
    with serve_digest() as other, requests.Session() as session:
        site = Settings(auth=HTTPDigestAuth(USER, PASSWORD), origins=[server.url], retry=RETRY)
        mount(session, Settings(sites=[site], retry=RETRY))
        server.answers += [f"{other.url}/x"]
        assert session.get(server.url).status_code == 401
        assert other.statuses == [401]


def test_a_refused_signature_says_why(server: DigestServer) -> None:
    """A wrong password: the record and listeners say that the answer to the challenge failed."""
    told: list[Any] = []
    with requests.Session() as session:
        auth = HTTPDigestAuth(USER, "wrong")
        in_settings(session, server, auth=auth, listeners=[told.append])
        response = session.get(server.url)
    reasons = [each.reason for each in attempts(response)]
    assert reasons == [Reason.CHALLENGED, Reason.SIGNATURE_REFUSED]
    declined = [each.reason for each in told if isinstance(each, RefreshDeclined)]
    assert declined == [Reason.SIGNATURE_REFUSED]


def test_a_nonce_that_is_stale_for_ever(ours: requests.Session, server: DigestServer) -> None:
    """A server that calls each nonce stale gets four requests, and the last 401 is handed out."""
    server.uses = 0
    assert ours.get(server.url).status_code == 401
    assert server.statuses == [401] * 4


@pytest.mark.parametrize("first", ['Basic realm="x", ', "Digest realm=a, algorithm=SHA-512-256, "])
def test_the_first_challenge_that_can_be_answered_is(
    ours: requests.Session, server: DigestServer, first: str
) -> None:
    """Another scheme, or an algorithm that requests does not know, is passed over."""
    server.before = first.replace("realm=a", 'realm="a", nonce="b", qop="auth"')
    assert ours.get(server.url).text == "in"
    assert server.statuses == [401, 200]


def test_blanks_in_the_list_of_qop(ours: requests.Session, server: DigestServer) -> None:
    """``auth-int, auth`` offers ``auth``."""
    server.qop = "auth-int, auth"
    assert ours.get(server.url).text == "in"


HOPELESS = [
    "",
    'Basic realm="x"',
    "Digest",
    'Digest realm="x"',
    'Digest nonce="x", qop="auth"',
    'Digest realm="x", nonce="y", algorithm=SHA-512-256, qop="auth"',
    'Digest realm="x", nonce="y", qop="auth-int"',
    'Digest realm="x, nonce="',
    'Other realm="x", nonce="y", qop="auth"',
]


@pytest.mark.parametrize("challenge", HOPELESS)
def test_a_challenge_that_cannot_be_answered(challenge: str) -> None:
    """The 401 is handed out at once, with its reason."""
    rig = Rig((401, {"WWW-Authenticate": challenge}), auth=HTTPDigestAuth("a", "b"), origins=[API])
    response = rig.get()
    assert [each.reason for each in attempts(response)] == [Reason.OTHER_SCHEME]
    assert rig.carried == [None]


def test_a_challenge_that_cannot_be_answered_spoils_no_other() -> None:
    """The next call is signed for the challenge before, with the next nonce count."""
    good = (401, {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
    odd = (401, {"WWW-Authenticate": 'Digest realm="r", nonce="m", qop="auth-int"'})
    rig = Rig(good, 200, odd, 200, auth=HTTPDigestAuth("a", "b"), origins=[API])
    statuses = [rig.get().status_code for _ in range(3)]
    assert statuses == [200, 401, 200]
    nonces = [str(each).partition('nonce="')[2][:1] for each in rig.carried]
    counts = [str(each).partition("nc=")[2][:8] for each in rig.carried]
    assert list(zip(nonces, counts, strict=True)) == [
        ("", ""),
        ("n", "00000001"),
        ("n", "00000002"),
        ("n", "00000003"),
    ]


def test_the_count_of_a_nonce_goes_on() -> None:
    """A server that gives one nonce to everybody sees no count twice."""
    auth = HTTPDigestAuth("a", "b")
    (challenge,) = parse_challenges(['Digest realm="r", nonce="n", qop="auth"'])
    counts = []
    for _ in range(2):
        assert take_challenge(auth, [challenge]) == challenge
        header = auth.build_digest_header("GET", API)
        counts.append(str(header).partition("nc=")[2][:8])
    assert counts == ["00000001", "00000002"]


def test_a_body_that_cannot_be_sent_again(ours: requests.Session, server: DigestServer) -> None:
    """The 401 to a generator is handed out; the next call is signed at once."""
    response = ours.post(server.url, data=iter([b"once"]))
    assert [each.reason for each in attempts(response)] == [Reason.NOT_REPLAYABLE]
    assert ours.get(server.url).history == []


def test_a_body_that_is_kept(server: DigestServer) -> None:
    """With `buffer_bodies` a generator is sent again after the challenge."""
    with requests.Session() as session:
        in_settings(session, server, retry=RetryPolicy(backoff=AT_ONCE, buffer_bodies=100))
        assert session.post(server.url, data=iter([b"once"])).text == "in"


def test_a_closed_session_answers_no_challenge() -> None:
    """The 401 of an attempt during which the session was closed is handed out."""
    challenge = (401, {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
    rig = Rig(challenge, auth=HTTPDigestAuth("a", "b"), origins=[API])
    send = rig.inner.send

    def closing(*args: Any, **options: Any) -> requests.Response:
        response = send(*args, **options)
        rig.adapter.close()
        return response

    rig.inner.send = closing  # type: ignore[method-assign]
    assert [each.reason for each in attempts(rig.get())] == [Reason.CLOSED]


def test_an_override_signs_too(server: DigestServer) -> None:
    """The calls inside a block are signed for the user of the block."""
    with requests.Session() as session:
        mount(session, Settings(origins=[server.url], retry=RETRY))
        with override(auth=HTTPDigestAuth(USER, PASSWORD)):
            assert session.get(server.url).text == "in"
        assert session.get(server.url).status_code == 401


class Wrapped(AuthBase):
    """Signs by Digest under one path, and by Basic elsewhere."""

    def __init__(self) -> None:
        self.digest = HTTPDigestAuth(USER, PASSWORD)
        self.basic = HTTPBasicAuth(USER, PASSWORD)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Leave it to one of them."""
        is_digest = (request.path_url or "").startswith("/digest")
        return self.digest(request) if is_digest else self.basic(request)


def test_a_signer_that_calls_digest(server: DigestServer) -> None:
    """A signer of the user's may leave some requests to Digest."""
    with requests.Session() as session:
        in_settings(session, server, auth=Wrapped())
        assert session.get(f"{server.url}/digest").text == "in"
        assert session.get(f"{server.url}/other").status_code == 401
    assert server.statuses == [401, 200, 401]


class Renewing(AuthBase):
    """Answers a 401 in a response hook of its own."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Register the hook."""
        request.register_hook("response", self.answer)
        return request

    def answer(self, response: requests.Response, **_: Any) -> requests.Response:
        """Would send the request again."""
        return response


def test_a_signer_that_waits_for_the_answer_is_warned_of() -> None:
    """Settings run no hooks of a signer: its first 401 costs a warning with the way out."""
    rig = Rig(200, 401, 401, auth=Renewing(), origins=[API])
    rig.get()
    with pytest.warns(AuthRetryWarning, match="Renewing has set.*session.auth") as caught:
        statuses = [rig.get().status_code for _ in range(2)]
    assert statuses == [401, 401]
    assert len(caught) == 1


def test_a_signer_without_hooks_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password of Basic is a 401, and no matter of hooks."""
    rig = Rig(401, auth=HTTPBasicAuth("a", "b"), origins=[API])
    assert rig.get().status_code == 401
    assert not [each for each in caplog.messages if "hooks" in each]


# --- on a session -------------------------------------------------------------------------


def test_a_request_that_another_thread_prepared() -> None:
    """Digest keeps its challenge by thread: the retry of such a request goes out as it was."""
    auth, rig = HTTPDigestAuth("a", "b"), Rig(503, 200, retry=RETRY)
    assert take_challenge(auth, parse_challenges(['Digest realm="r", nonce="n", qop="auth"']))
    prepared = rig.session.prepare_request(requests.Request("GET", API, auth=auth))
    thread = Thread(target=rig.session.send, args=[prepared])
    thread.start()
    ended(thread.join)
    assert rig.carried == [prepared.headers["Authorization"]] * 2


def test_a_retry_with_another_credential_stays_as_it_is(server: DigestServer) -> None:
    """A request whose header somebody replaced after Digest had signed it keeps that header."""
    with requests.Session() as session:
        on_session(session, server)
        session.get(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url))
        prepared.headers["Authorization"] = "Bearer mine"
        rig = Rig(503, 200, retry=RETRY)
        rig.session.send(prepared)
    assert rig.carried == ["Bearer mine"] * 2


# --- httpbin ------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512"])
def test_httpbin_with_settings(demo_server: DemoServer, algorithm: str) -> None:
    """The real httpbin, with a 503 before each first answer, and nonces that are good for once."""
    with serve(demo_server) as url, requests.Session() as session:
        mount(session, Settings(auth=HTTPDigestAuth(USER, "pw"), origins=[url], retry=RETRY))
        for _ in range(4):
            demo_server.answer(503)
            response = session.get(f"{url}/digest-auth/auth/{USER}/pw/{algorithm}/1")
            assert response.json() == {"authenticated": True, "user": USER}


def test_httpbin_on_a_session(demo_server: DemoServer) -> None:
    """The same with `session.auth`, whose retries have other nonce counts."""
    with serve(demo_server) as url, requests.Session() as session:
        session.auth = HTTPDigestAuth(USER, "pw")
        mount(session, Settings(retry=RETRY))
        for _ in range(4):
            demo_server.answer(503)
            response = session.get(f"{url}/digest-auth/auth/{USER}/pw")
            assert response.json() == {"authenticated": True, "user": USER}
