"""What `attempts` and `explain` say about answers and exceptions, our own and foreign ones."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from threading import Event
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
import requests

from requests_authretry import Reason, Settings, Verdict, Waiting, attempts, explain
from requests_authretry._call.attempt_log import AttemptLog
from tests.support.limits import UNPACED
from tests.support.scripted import Source
from tests.support.sessions import API, Rig, raised, real
from tests.support.wire import PATIENCE, Wire

if TYPE_CHECKING:
    import socket


def test_one_attempt_that_went_well() -> None:
    """A successful call has one attempt, with the reason that its answer is final."""
    response = Rig(200).get()
    [attempt] = attempts(response)
    assert (attempt.number, attempt.status, attempt.reason) == (1, 200, Reason.FINAL)
    assert attempt.detail == ""
    assert str(explain(response)).splitlines() == [
        f"GET {API}/: 200 after 1 attempt in 0 s",
        "  1. 200 in 0 s: final answer",
    ]


def test_what_is_said_of_one_attempt_is_not_said_of_the_next() -> None:
    """A hop or a replay begins without the verdict on the last answer, and without its cure."""
    log = AttemptLog(Settings())
    log.verdict, log.cure = Verdict.throttled(), "write this"
    log.go_on(Settings())
    assert [log.verdict, log.cure] == [None, ""]


def test_the_story_of_a_call() -> None:
    """The record has retries, a renewal and a redirect in order, with the reason of each wait."""
    slow, moved = (429, {"Retry-After": "3"}), (302, {"Location": "/there"})
    renewed: Any = {"token": Source("old", "new"), "origins": [API]}
    rig = Rig(slow, 401, moved, 200, limits=UNPACED, **renewed)
    response = rig.get()
    told = [(attempt.status, attempt.reason, attempt.delay) for attempt in attempts(response)]
    assert told == [
        (429, Reason.THROTTLED, 3.0),
        (401, Reason.REFRESHED, 0.0),
        (302, Reason.REDIRECT, 0.0),
        (200, Reason.FINAL, 0.0),
    ]
    assert [attempt.number for attempt in attempts(response)] == [1, 2, 3, 4]
    assert [attempt.started for attempt in attempts(response)] == [0.0, 3.0, 3.0, 3.0]
    assert str(explain(response)).splitlines() == [
        f"GET {API}/there: 200 after 4 attempts in 3 s",
        f"  1. GET {API}/ 429 in 0 s: throttled (the server asked for 3 s)",
        "     waited 3 s: retry_after, as the server asked",
        f"  2. GET {API}/ 401 in 0 s: token renewed",
        f"  3. GET {API}/ 302 in 0 s: redirect",
        f"  4. GET {API}/there 200 in 0 s: final answer",
        "  waited 3 s in all",
    ]
    assert attempts(response) == attempts(response)


@pytest.mark.parametrize("listeners", [[], [print]])
def test_times_count_from_the_start_of_the_call(listeners: list[object]) -> None:
    """A call that begins at 100 s on the clock, and waits for 3 s, has waits and attempts at 0."""
    rig = Rig((429, {"Retry-After": "3"}), 200, listeners=listeners)
    rig.clock.advance(100.0)
    response = rig.get()
    rig.clock.advance(50.0)  # what the caller does with the answer is no part of the call
    told = explain(response)
    assert told.seconds == 3.0
    assert [step.started for step in told.steps] == [0.0, 0.0, 3.0]
    assert [attempt.elapsed for attempt in told.attempts] == [0.0, 0.0]


def test_a_renewal_is_waited_for_after_the_401() -> None:
    """A 401 that comes at once, and a renewal of 2 s: the wait is not in the time of the 401."""
    is_waiting = Event()

    def fetch() -> str:
        assert is_waiting.wait(PATIENCE)
        is_waiting.clear()
        rig.clock.advance(2.0)
        return f"token-{rig.clock.monotonic()}"

    def listen(event: object) -> None:
        if isinstance(event, Waiting):
            is_waiting.set()

    rig = Rig(200, 401, 200, token=fetch, origins=[API], listeners=[listen])
    rig.get()
    told = explain(rig.get())
    assert [(step.reason, step.started) for step in told.steps] == [
        (Reason.REFRESHED, 0.0),
        (Reason.RENEWAL, 0.0),
        (Reason.FINAL, 2.0),
    ]
    first, second = told.attempts
    assert (first.elapsed, first.delay, first.waits) == (0.0, 2.0, ())
    assert [wait.seconds for wait in second.waits] == [2.0]


def test_seconds_are_floats() -> None:
    """A call that has not waited has waited for 0.0 s, also in JSON."""
    told = explain(Rig(200).get())
    assert json.dumps([told.waited, told.attempts[0].delay]) == "[0.0, 0.0]"


def test_a_request_without_a_method_has_an_empty_one() -> None:
    """Some adapters send requests that no method was given to; the record names none."""
    told = explain(Rig(200).session.send(requests.Request(None, API).prepare()))
    assert (told.method, told.attempts[0].method) == ("", "")


def test_an_exception_knows_its_attempts() -> None:
    """An exception has all attempts, and keeps them in a pickle."""
    rig = Rig(503, requests.ConnectTimeout(), requests.exceptions.SSLError("bad certificate"))
    with pytest.raises(requests.exceptions.SSLError) as caught:
        rig.get()
    told = [(attempt.status, attempt.error) for attempt in attempts(caught.value)]
    assert told == [(503, None), (None, "ConnectTimeout"), (None, "SSLError")]
    lines = str(explain(caught.value)).splitlines()
    assert lines[0].startswith(f"GET {API}/: SSLError after 3 attempts")
    assert lines[1] == "  bad certificate"
    again = explain(pickle.loads(pickle.dumps(caught.value)))  # noqa: S301 (our own)
    assert again.steps == explain(caught.value).steps
    if sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["attempts: 3; sending again cannot help"]


def test_the_exception_of_a_bad_status_knows_its_attempts() -> None:
    """Exceptions from `raise_for_status` and too many redirects have the attempts of the answer."""
    with pytest.raises(requests.HTTPError) as caught:
        Rig(503, 404).get().raise_for_status()
    assert [attempt.status for attempt in attempts(caught.value)] == [503, 404]
    rig = Rig(*[(302, {"Location": "/"})] * 3)
    rig.session.max_redirects = 2
    with pytest.raises(requests.TooManyRedirects) as lost:
        rig.get()
    assert [attempt.status for attempt in attempts(lost.value)] == [302, 302, 302]


def test_foreign_answers_and_exceptions() -> None:
    """An answer of another adapter counts as one attempt, a foreign exception as none."""
    response = requests.Response()
    response.status_code, response.url = 204, "https://user:pw@other.example.com/x?key=1"
    [attempt] = attempts(response)
    assert (attempt.status, attempt.url) == (204, "https://other.example.com/x")
    error = requests.ConnectionError("elsewhere")
    assert attempts(error) == ()
    foreign = "  this call did not go through requests_authretry"
    assert str(explain(error)).splitlines() == ["ConnectionError", "  elsewhere", foreign]
    assert str(explain(response)).splitlines() == [
        "https://other.example.com/x: 204",
        "  1. 204 in 0 s: final answer",
        foreign,
    ]
    assert str(explain(None)).splitlines() == ["no response and no exception", foreign]
    assert str(explain(ValueError("secret"))).splitlines() == ["ValueError", foreign]


def test_an_unmounted_session_leaves_no_trace() -> None:
    """A prepared request that was sent by a mounted session is foreign again on a bare session."""
    rig = Rig(503, 200)
    prepared = requests.Request("GET", API).prepare()
    assert len(attempts(rig.session.send(prepared))) == 2
    bare = requests.Session()
    bare.mount("https://", Rig(200).inner)
    assert len(attempts(bare.send(prepared))) == 1


@pytest.mark.parametrize("go_round", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])  # noqa: S301 (our own)
def test_answers_and_requests_pickle_as_ever(go_round: object) -> None:
    """An answer and its request survive pickle and deep copy, during the call and after it."""
    assert callable(go_round)
    response = Rig((302, {"Location": "/there"}), 200).get(allow_redirects=False)
    for thing in (response, response.request, response.next):
        assert type(go_round(thing)) is type(thing)
    again = go_round(response.next)
    assert Rig(200).session.send(again).status_code == 200


def test_records_hold_no_secrets_of_the_url() -> None:
    """No record and no explanation shows user, query and fragment."""
    rig = Rig(503, requests.exceptions.SSLError())
    with pytest.raises(requests.exceptions.SSLError) as caught:
        rig.get("https://ada:lovelace@api.example.com/x?key=sesame#here")
    assert {attempt.url for attempt in attempts(caught.value)} == {f"{API}/x"}
    assert str(explain(caught.value)).startswith(f"GET {API}/x: SSLError after 2 attempts")


class OddError(Exception):
    """An exception as other libraries raise them: its request may be asked for only sometimes."""

    @property
    def request(self) -> object:
        """Fail, as in httpx where no request was set."""
        raise RuntimeError("no request was set")

    response = request


class Mute(requests.RequestException):
    """An exception that cannot say what it is about."""

    def __str__(self) -> str:
        """Fail."""
        raise KeyError("text")


class Bare(requests.Response):
    """An answer that somebody made without `Response.__init__`."""

    def __init__(self) -> None:
        """Set nothing."""


def with_request(request: object) -> Exception:
    """An exception of others, whose ``request`` is something else."""
    error = ValueError()
    error.request = request  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    "result",
    [
        OddError(),
        Mute(),
        Bare(),
        with_request("GET /"),
        with_request(Mock(spec=requests.Request)),
        requests.Timeout(request=requests.Request(b"GET", b"https://ada:pw@api.example.com/")),  # type: ignore[arg-type]
        requests.HTTPError(response=Bare()),
        requests.HTTPError(response=Mock()),
        Mock(spec=requests.Response),
        "no answer at all",
    ],
)
def test_explain_takes_anything(result: Any) -> None:
    """Whatever the attributes of an answer or exception are, there is an explanation."""
    told = explain(result)
    assert "did not go through requests_authretry" in str(told)
    assert "did not go through requests_authretry" in told._repr_html_()
    assert json.loads(json.dumps(told.to_dict()))["seconds"] == 0.0


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/x?q=it's-sesame",
        "https://api.example.com/x?filter=(name=ada)&key=sesame",
        "https://ada:it's-sesame@api.example.com/x",
        "https://ada:a@sesame@api.example.com/x",
    ],
)
def test_messages_hold_no_secrets_of_the_url(url: str) -> None:
    """A quote or bracket, which requests leaves in a URL, ends neither its user nor its query."""
    with pytest.raises(requests.HTTPError) as caught:
        Rig(404).get(url).raise_for_status()
    told = explain(caught.value)
    assert told.message == "404 Client Error: None for url: https://api.example.com/x"
    assert "sesame" not in f"{told} {told._repr_html_()} {told.to_dict()}"


@pytest.mark.parametrize(
    "url",
    ["ada:sesame@api.example.com", "api/x?key=a sesame", "htp://x/?'sesame"],
)
def test_what_is_no_url_is_not_quoted(url: str) -> None:
    """Nobody knows which part of it is a secret."""
    with pytest.raises(requests.RequestException) as caught:
        Rig().session.get(url)
    assert "sesame" not in str(explain(caught.value))


@pytest.mark.parametrize(
    "sent",
    [b"sesame\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsesame\r\n"],
)
def test_what_is_no_answer_is_not_quoted(sent: bytes) -> None:
    """A server that answers nonsense may send a part of a body in place of a line."""

    def nonsense(connection: socket.socket, _: object) -> bool:
        connection.sendall(sent)
        return False

    with Wire(*[nonsense] * 4) as wire, real() as session:
        told = explain(raised(session, wire.url))
    assert told.message in {"BadStatusLine", "InvalidChunkLength"}
    assert "sesame" not in str(told)
