"""A verdict takes the place of a status: for retries, polls, tokens, limits and outages."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import BaseAdapter

from requests_authretry import (
    Answer,
    AuthRetryWarning,
    CallEnded,
    CoolingDown,
    GaveUp,
    Observed,
    Query,
    Reason,
    RefreshDeclined,
    RefreshFailed,
    RetryPolicy,
    RetryQuota,
    RetryScheduled,
    Settings,
    Verdict,
    attempts,
    explain,
    mount,
    override,
)
from requests_authretry._shared import SharedState
from requests_authretry.testing import ScriptedAdapter
from tests.support.scenario import Answer as Reply
from tests.support.scenario import World
from tests.support.scripted import Source
from tests.support.sessions import API, SECRET, Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import PreparedRequest, Response

    from requests_authretry.testing import Line

Body = tuple[int, dict[str, str], bytes]

OK: Body = (200, {}, b"{}")
SLOW: Body = (200, {}, b'{"error": "slow"}')
EXPIRED: Body = (200, {}, b'{"error": "expired"}')
RUNNING: Body = (200, {}, b'{"error": "running"}')
BROKEN: Body = (200, {}, b'{"error": "broken"}')

SAID: dict[str, Verdict] = {
    "slow": Verdict.throttled(8),
    "expired": Verdict.token_expired(),
    "running": Verdict.pending(),
    "broken": Verdict.transient(),
    "no": Verdict.final(),
    "fine": Verdict.ok(),
}


def by_error(answer: Answer) -> Verdict | None:
    """Say what the ``error`` of a body means."""
    found = answer.json()
    return SAID.get(str(found.get("error"))) if isinstance(found, dict) else None


def by_header(answer: Answer) -> Verdict | None:
    """Say what the header ``X-Error`` means."""
    return SAID.get(answer.headers.get("x-error", ""))


def rig_of(*script: Line, classify: Any = by_error, **settings: Any) -> Rig:
    """Return a rig whose settings have a classifier."""
    return Rig(*script, classify=classify, **settings)


def reasons(result: object) -> list[Reason]:
    """Return the reason of each attempt of a call."""
    assert isinstance(result, (requests.Response, BaseException))
    return [attempt.reason for attempt in attempts(result)]


# What is asked


def test_a_classifier_sees_the_answer_and_no_credential() -> None:
    """The method in upper case, the caller's URL, the headers in any case, and the body."""
    seen: list[Answer] = []
    rig = rig_of(
        (404, {"X-Kind": "job"}, b"none"),
        classify=seen.append,
        token=SECRET,
        origins=[API],
        token_in=Query("key"),
    )
    response = rig.session.request("get", f"{API}/jobs?page=2")
    (answer,) = seen
    assert (answer.method, answer.status, answer.text) == ("GET", 404, "none")
    assert answer.url == f"{API}/jobs?page=2"
    assert SECRET in str(rig.inner.sent[0].url)
    assert answer.headers["x-kind"] == answer.headers.get("X-KIND") == "job"
    assert response.content == b"none"


def test_the_headers_of_an_answer_cannot_be_changed() -> None:
    """An answer is immutable, so that what hooks and callers see stays as it came."""
    seen: list[Any] = []
    rig_of(OK, classify=seen.append).get()
    with pytest.raises(TypeError):
        seen[0].headers["X"] = "1"


def test_none_leaves_everything_as_it_is() -> None:
    """A classifier that knows nothing of an answer changes nothing."""
    rig = rig_of(503, (429, {"Retry-After": "3"}), 200, classify=lambda _: None)
    assert reasons(rig.get()) == [Reason.SERVER_ERROR, Reason.THROTTLED, Reason.FINAL]


def test_a_stream_has_no_body_for_a_classifier() -> None:
    """With ``stream=True`` status and headers are seen, and their verdict holds."""
    seen: list[Answer] = []

    def classify(answer: Answer) -> Verdict | None:
        seen.append(answer)
        return by_header(answer)

    rig = rig_of((200, {"X-Error": "broken"}, b"one"), (200, {}, b"two"), classify=classify)
    response = rig.get(stream=True)
    assert [answer.body for answer in seen] == [None, None]
    assert [answer.json() for answer in seen] == [None, None]
    assert response.raw.read() == b"two"


@pytest.mark.parametrize("status", [401, 407])
def test_a_handshake_of_others_is_not_read(status: int) -> None:
    """A 401 or 407 to a request without a credential of ours stays unread: NTLM goes on there."""
    seen: list[Answer] = []
    rig = rig_of((status, {}, b"body"), classify=seen.append)
    rig.get(stream=True)
    rig.inner._script.append((status, {}, b"body"))  # noqa: SLF001 (of our own double)
    rig.get()
    assert [answer.body for answer in seen] == [None, None]


def test_a_classifier_that_raises_costs_a_warning() -> None:
    """The call goes on as without it."""

    def classify(_: Answer) -> Verdict | None:
        raise KeyError

    rig = rig_of(503, 200, classify=classify)
    with pytest.warns(AuthRetryWarning, match=r"classify raised KeyError"):
        response = rig.get()
    assert reasons(response) == [Reason.SERVER_ERROR, Reason.FINAL]


def test_ctrl_c_in_a_classifier_ends_the_call() -> None:
    """What is no `Exception` passes, and nothing more is sent."""

    def classify(_: Answer) -> Verdict | None:
        raise KeyboardInterrupt

    rig = rig_of(503, 200, classify=classify)
    with pytest.raises(KeyboardInterrupt):
        rig.get()
    assert len(rig.inner.sent) == 1


def test_an_override_may_bring_a_classifier() -> None:
    """It holds for the calls of its block."""
    rig = Rig(SLOW, SLOW, OK)
    assert reasons(rig.get()) == [Reason.FINAL]
    with override(classify=by_error):
        assert reasons(rig.get()) == [Reason.THROTTLED, Reason.FINAL]


# Retries


def test_a_throttled_200_waits_as_a_429() -> None:
    """The time of the verdict counts; the record and the events name who gave it."""
    rig = rig_of(SLOW, OK)
    response = rig.get()
    assert response.json() == {}
    assert rig.waits == [8.0]
    (first, _) = attempts(response)
    assert (first.status, first.why) == (200, "throttled: your classifier")
    (event,) = rig.told(RetryScheduled)
    assert (event.status, event.delay, event.detail) == (200, 8.0, "your classifier")


def test_a_verdict_over_the_deadline_ends_the_call_at_once() -> None:
    """``throttled(8)`` with 5 s left: the answer is handed out, with the reason."""
    rig = rig_of(SLOW, retry=RetryPolicy(deadline=5))
    response = rig.get()
    assert response.json() == {"error": "slow"}
    (only,) = attempts(response)
    assert only.reason is Reason.WAIT_TOO_LONG
    assert only.detail == "throttled, your classifier"
    assert not rig.waits


def test_giving_up_names_the_verdict(caplog: pytest.LogCaptureFixture) -> None:
    """The line in the log and the event say whose word ended the call."""
    rig = rig_of(BROKEN, retry=RetryPolicy(max_attempts=1))
    with caplog.at_level(logging.INFO, "requests_authretry"):
        rig.get()
    (event,) = rig.told(GaveUp)
    assert event.detail == "transient, your classifier"
    assert caplog.messages == [
        f"GET {API}/ 200 after 1 attempt: all attempts are used up: transient, your classifier"
    ]


@pytest.mark.parametrize(
    ("error", "sent"), [("broken", 1), ("slow", 2), ("running", 1), ("no", 1), ("fine", 1)]
)
def test_a_post_is_repeated_where_it_was_not_processed(error: str, sent: int) -> None:
    """After `throttled`; not after `transient`, and no POST asks for a result again."""
    rig = rig_of((200, {}, f'{{"error": "{error}"}}'.encode()), OK)
    rig.session.post(f"{API}/orders", json={"id": 1})
    assert len(rig.inner.sent) == sent


def test_a_post_with_a_key_is_repeated_after_transient() -> None:
    """An Idempotency-Key makes it safe, as after a 503."""
    rig = rig_of(BROKEN, OK, retry=RetryPolicy(idempotency_key=True))
    rig.session.post(f"{API}/orders", json={"id": 1})
    assert len(rig.inner.sent) == 2


def parts() -> Iterator[bytes]:
    """Return a body that can be sent once."""
    yield b"one"


def test_a_body_that_is_gone_is_not_sent_again() -> None:
    """The verdict `throttled` does not change that."""
    rig = rig_of(SLOW)
    response = rig.session.put(f"{API}/orders", data=parts())
    assert reasons(response) == [Reason.NOT_REPLAYABLE]


# Polls


def test_polls_use_up_no_attempt_and_no_quota() -> None:
    """Six looks with ``max_attempts=1`` and an empty quota; each is in the record with its wait."""
    quota = RetryQuota(capacity=0)
    script = [RUNNING] * 6
    rig = rig_of(*script, OK, retry=RetryPolicy(max_attempts=1), quota=quota)
    response = rig.get()
    assert response.json() == {}
    assert rig.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0]
    assert reasons(response) == [Reason.PENDING] * 6 + [Reason.FINAL]
    waits = [wait.reason for attempt in attempts(response) for wait in attempt.waits]
    assert waits == [Reason.POLL] * 6
    assert not rig.told(GaveUp)


def test_polls_keep_to_the_pace_of_the_server() -> None:
    """``Retry-After: 5`` is the pace; a verdict that names a time counts more."""
    named = (202, {"Retry-After": "5"}, b"")

    def classify(answer: Answer) -> Verdict | None:
        return Verdict.pending(3 if rig.waits else None) if answer.status == 202 else None

    rig = rig_of(named, named, 200, classify=classify)
    waits = [wait for attempt in attempts(rig.get()) for wait in attempt.waits]
    assert [(wait.reason, wait.seconds, wait.retry_after) for wait in waits] == [
        (Reason.POLL, 5.0, 5.0),
        (Reason.POLL, 3.0, 3.0),
    ]


def test_a_failure_between_polls_counts_as_always() -> None:
    """Two 503s use up the two attempts of the policy, whatever polls there were."""
    rig = rig_of(RUNNING, 503, RUNNING, 503, retry=RetryPolicy(max_attempts=2))
    assert reasons(rig.get()) == [
        Reason.PENDING,
        Reason.SERVER_ERROR,
        Reason.PENDING,
        Reason.ATTEMPTS_EXHAUSTED,
    ]


def test_a_poll_beyond_the_deadline_ends_the_call() -> None:
    """The last answer is handed out at once, with 4 s left and 4 s to wait."""
    rig = rig_of(RUNNING, RUNNING, RUNNING, retry=RetryPolicy(deadline=7))
    response = rig.get()
    assert reasons(response) == [Reason.PENDING, Reason.PENDING, Reason.WAIT_TOO_LONG]
    assert response.json() == {"error": "running"}
    assert rig.waits == [1.0, 2.0]


def test_polls_close_nothing_for_others() -> None:
    """Another call to the endpoint is sent at once while one waits for its result."""
    world = World({"/job": [Reply(202, {"Retry-After": "9"}), Reply(200), Reply(200)]})
    session = world.session(world.settings(classify=pending_202))
    world.call(0, "A", "GET /job", session)
    world.call(1, "B", "GET /job", session)
    world.run()
    assert [(sent.time, sent.caller) for sent in world.sent] == [(0, "A"), (1, "B"), (9, "A")]


def pending_202(answer: Answer) -> Verdict | None:
    """Say that a 202 is no result yet."""
    return Verdict.pending() if answer.status == 202 else None


# Tokens


@pytest.mark.parametrize("status", [200, 302, 400, 403, 500])
def test_token_expired_renews_and_replays_whatever_the_status(status: int) -> None:
    """As after a 401, without a challenge; the caller gets the answer to the new token."""
    source = Source("old", "new")
    login = (status, {"X-Error": "expired", "Location": "/login"}, b"x")
    rig = rig_of(login, OK, classify=by_header, token=source, origins=[API])
    response = rig.get()
    assert rig.carried == ["Bearer old", "Bearer new"]
    assert (source.calls, source.contexts[-1].refused) == (2, True)
    assert response.json() == {}
    assert [answer.status_code for answer in response.history] == [status]
    first, _ = attempts(response)
    assert first.why == "token renewed: token expired, your classifier"


def test_a_token_is_renewed_once_for_a_call() -> None:
    """The second such answer is handed out, and the record says why."""
    source = Source("old", "new", "newer")
    rig = rig_of(EXPIRED, EXPIRED, token=source, origins=[API])
    response = rig.get()
    assert (source.calls, len(rig.inner.sent)) == (2, 2)
    assert response.json() == {"error": "expired"}
    assert reasons(response) == [Reason.REFRESHED, Reason.ANSWERED]
    (declined,) = rig.told(RefreshDeclined)
    assert declined.detail == "token expired, your classifier"


def test_a_body_that_is_gone_is_not_replayed() -> None:
    """The token is renewed for the next call, and this answer is handed out."""
    source = Source("old", "new")
    rig = rig_of(EXPIRED, OK, token=source, origins=[API])
    response = rig.session.post(f"{API}/orders", data=parts())
    assert reasons(response) == [Reason.NOT_REPLAYABLE]
    assert response.json() == {"error": "expired"}
    rig.get()
    assert rig.carried[-1] == "Bearer new"


def test_nothing_is_renewed_where_no_token_was_sent() -> None:
    """An answer of another origin says nothing about our token."""
    source = Source("old", "new")
    rig = rig_of(EXPIRED, token=source, origins=[API])
    response = rig.get("https://other.example.com/")
    assert source.calls == 0
    assert reasons(response) == [Reason.OTHER_ORIGIN]


def test_a_renewal_that_fails_tells_of_the_answer() -> None:
    """The exception has the answer that a verdict has refused, whole."""
    source = Source("old", requests.ConnectionError())
    rig = rig_of(EXPIRED, token=source, origins=[API])
    with pytest.raises(RefreshFailed) as caught:
        rig.get()
    assert caught.value.response is not None
    assert caught.value.response.json() == {"error": "expired"}


def test_a_401_that_is_final_is_not_renewed() -> None:
    """Its body is read, and the token stays."""
    source = Source("old", "new")
    rig = rig_of((401, {}, b'{"error": "no"}'), token=source, origins=[API])
    response = rig.get()
    assert source.calls == 1
    assert response.json() == {"error": "no"}
    assert reasons(response) == [Reason.FINAL]
    assert not rig.told(RefreshDeclined)


def test_a_401_that_is_throttled_is_sent_again_with_its_token() -> None:
    """A verdict takes the place of a 401, too."""
    source = Source("old", "new")
    rig = rig_of((401, {}, b'{"error": "slow"}'), OK, token=source, origins=[API])
    assert rig.get().status_code == 200
    assert rig.carried == ["Bearer old", "Bearer old"]
    assert rig.waits == [8.0]


def test_hooks_of_the_user_see_the_answer_to_the_new_token() -> None:
    """A ``raise_for_status`` hook does not see the 403 that is replayed."""
    seen: list[int] = []
    rig = rig_of((403, {}, b'{"error": "expired"}'), OK, token=Source("old", "new"), origins=[API])
    rig.get(hooks={"response": lambda response, **_: seen.append(response.status_code)})
    assert seen == [200]


class Expiring(BaseAdapter):
    """A server whose first token has expired: all first attempts meet before it answers."""

    def __init__(self, callers: int) -> None:
        super().__init__()
        self._meet = Barrier(callers)

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Answer 200 in any case, and say in the body whether the token was good."""
        is_old = request.headers["Authorization"] == "Bearer old"
        if is_old:
            self._meet.wait(60)
        return ScriptedAdapter(EXPIRED if is_old else OK).send(request)

    def close(self) -> None:
        """Have nothing to close."""


def test_one_renewal_serves_all_callers() -> None:
    """16 calls whose token has expired renew it once."""
    source, session, callers = Source("old", "new"), requests.Session(), 16
    session.mount("https://", Expiring(callers))
    mount(session, Settings(classify=by_error, token=source, origins=[API]))
    with ThreadPoolExecutor(callers) as threads:
        answers = list(threads.map(session.get, [f"{API}/get"] * callers))
    assert [answer.json() for answer in answers] == [{}] * callers
    assert source.calls == 2


# Limits, outages and the retry quota


def refused_until(end: float, error: str) -> Callable[[Any], Reply]:
    """Return a server that says 200 and means an error, before a time."""
    return lambda request: Reply(200, {"X-Error": error} if request.time < end else {})


def test_throttled_closes_its_endpoint_for_others() -> None:
    """The second call is a test, whose refusal ends at 9 s; the third waits until then."""
    world = World({"/orders": refused_until(8, "slow")})
    session = world.session(world.settings(classify=by_header))
    for at, name in enumerate("ABC"):
        world.call(at, name, "GET /orders", session)
    world.call(1, "D", "GET /other", session)
    world.run()
    times = {name: [sent.time for sent in world.sent if sent.caller == name] for name in "ABCD"}
    assert times["A"] == [0, 9]
    assert times["C"][0] >= 9
    assert times["D"] == [1]


def uploads(answer: Answer) -> Verdict | None:
    """Say that a refusal is one of the limit ``uploads``."""
    return Verdict.throttled(8, scope="uploads") if "X-Error" in answer.headers else None


def test_throttled_closes_the_scope_that_it_names() -> None:
    """Endpoints that the limit ``uploads`` has refused wait together, and no test is sent."""
    world = World(
        {
            "/photos": refused_until(1, "slow"),
            "/videos": lambda request: Reply(
                200, {"X-Error": "slow"} if 10 <= request.time < 18 else {}
            ),
        }
    )
    session = world.session(world.settings(classify=uploads))
    world.call(0, "A", "GET /photos", session)
    world.call(10, "B", "GET /videos", session)
    world.call(11, "C", "GET /photos", session)
    world.call(12, "D", "GET /videos", session)
    world.run()
    times = {name: [sent.time for sent in world.sent if sent.caller == name] for name in "ABCD"}
    assert times["A"] == [0, 8]
    assert times["B"] == [10, 18]
    assert min(times["C"][0], times["D"][0]) >= 18


def test_a_scope_outlives_answers_that_name_limits_of_their_own() -> None:
    """An answer in between with rate-limit fields does not make the scope forgotten."""
    named = {
        "X-RateLimit-Resource": "core",
        "X-RateLimit-Remaining": "50",
        "X-RateLimit-Reset": "9",
    }

    def server(request: Any) -> Reply:
        if request.caller == "A" and request.time < 9:
            return Reply(200, {"X-Error": "slow"})
        return Reply(200, named, takes=1)

    world = World({"/photos": server})
    session = world.session(world.settings(classify=uploads))
    world.call(0.5, "B", "GET /photos", session)  # is on its way when A is refused
    world.call(1, "A", "GET /photos", session)
    world.call(3, "C", "GET /photos", session)
    world.run()
    assert next(sent.time for sent in world.sent if sent.caller == "C") >= 9


def busy(*closed: str, end: float) -> Callable[[Any], Reply]:
    """Return a server at which a limit that no header names covers some paths, before a time."""

    def answer(request: Any) -> Reply:
        is_closed = request.name.partition(" ")[2] in closed and request.time < end
        return Reply(200, {"X-Error": f"{end - request.time:g}"} if is_closed else {})

    return answer


def named(answer: Answer) -> Verdict | None:
    """Say that a refusal is one of the limit ``g``, and how long it lasts."""
    error = answer.headers.get("X-Error")
    return Verdict.throttled(float(error), "g") if error else None


def sent_by(*calls: tuple[float, str], server: Callable[[Any], Reply]) -> list[str]:
    """Return which of these calls a server gets, whose cool-downs are longer than deadlines."""
    world = World(server)
    session = world.session(world.settings(classify=named))
    for number, (at, request) in enumerate(calls):
        world.call(at, "ABCDEFGH"[number], request, session)
    world.run()
    return [f"{sent.caller} {sent.name}" for sent in world.sent]


def test_a_scope_that_a_verdict_names_covers_the_endpoint_that_it_refused() -> None:
    """GET /a passed, POST /g is refused for 300 s under ``g``: GET /a and GET /new are sent."""
    sent = sent_by(
        (0, "GET /a"),
        (1, "POST /g"),
        (2, "GET /a"),
        (3, "GET /new"),
        (4, "POST /g"),
        server=busy("/g", end=301),
    )
    assert sent == ["A GET /a", "B POST /g", "C GET /a", "D GET /new"]


def test_a_second_endpoint_under_the_same_name_closes_the_origin() -> None:
    """GET /b is refused under ``g`` as well: GET /c is a test, and after it nothing is sent."""
    calls = enumerate(("GET /a", "GET /b", "GET /c", "GET /d", "GET /a"), start=1)
    sent = sent_by(*calls, server=busy("/a", "/b", "/c", "/d", end=301))
    assert sent == ["A GET /a", "B GET /b", "C GET /c"]


def test_a_success_narrows_a_scope_that_a_verdict_names() -> None:
    """GET /c passes as a test: GET /d is sent, and the two endpoints under ``g`` stay closed."""
    calls = enumerate(("GET /a", "GET /b", "GET /c", "GET /d", "GET /a", "GET /b"), start=1)
    sent = sent_by(*calls, server=busy("/a", "/b", end=301))
    assert sent == ["A GET /a", "B GET /b", "C GET /c", "D GET /d"]


@pytest.mark.parametrize(("at", "is_evidence"), [(0.5, False), (1.5, True)])
def test_a_success_that_left_after_the_refusal_takes_the_evidence_away(
    at: float, *, is_evidence: bool
) -> None:
    """GET /a is refused at 1 s, and GET /c passes, which left at 1.5 s: GET /b closes no origin.

    If GET /c left at 0.5 s, GET /b closes the origin, GET /e is the test, and GET /d is not sent.
    """

    def server(request: Any) -> Reply:
        passes = request.name == "GET /c"
        return Reply(200, {} if passes else {"X-Error": "300"}, 1 if passes else 0)

    sent = sent_by(
        (at, "GET /c"),
        (1, "GET /a"),
        (3, "GET /b"),
        (4, "GET /e"),
        (5, "GET /d"),
        server=server,
    )
    assert ("E GET /d" in sent) is is_evidence


def test_refusals_of_requests_under_way_together_are_no_evidence() -> None:
    """Six threads send at 0 s and are refused at 1 s under ``g``: the other endpoints go on.

    GET /d fails, so that it is no test of the origin that passes.
    """

    def server(request: Any) -> Reply:
        closed = request.name in {"GET /b", "GET /c"}
        status = 500 if request.name == "GET /d" else 200
        return Reply(status, {"X-Error": "300"} if closed else {}, 1)

    crowd = [(0.0, f"GET /{path}") for path in "bc" * 3]
    sent = sent_by(*crowd, (2, "GET /d"), (20, "GET /e"), server=server)
    assert sent[-1] == "H GET /e"


def test_refusals_under_other_names_close_no_origin() -> None:
    """GET /a is refused under ``a``, GET /b under ``b``, and so on: each waits alone."""
    world = World(lambda request: Reply(200, {"X-Error": request.name[-1]}))
    session = world.session(
        world.settings(classify=lambda it: Verdict.throttled(300, it.headers["X-Error"]))
    )
    for at, name in enumerate("abcd"):
        world.call(at, name, f"GET /{name}", session)
    world.run()
    assert [sent.name for sent in world.sent] == ["GET /a", "GET /b", "GET /c", "GET /d"]


def test_an_origin_is_closed_as_long_as_its_own_limit_says() -> None:
    """GET /x is closed for a minute under ``x``, two others for 300 s under ``g``, and so is /d."""

    def by_path(answer: Answer) -> Verdict:
        return (
            Verdict.throttled(60, "x") if answer.url.endswith("x") else Verdict.throttled(300, "g")
        )

    world = World(lambda _: 200)
    session = world.session(world.settings(classify=by_path))
    for at, path in enumerate("xabcd"):
        world.call(at, path, f"GET /{path}", session)
    world.call(70, "late", "GET /late", session)
    world.run()
    assert [sent.caller for sent in world.sent] == ["x", "a", "b", "c"]


def test_four_limits_that_have_refused_an_endpoint_hold_it_back() -> None:
    """GET /a was refused under 0 to 4; GET /b is refused under 1: GET /a waits, under 0 not."""
    for name, is_held in (("0", False), ("1", True), ("4", True)):

        def server(request: Any) -> Reply:
            return Reply(200, {"X-Error": request.caller[0]} if request.caller[1:] else {})

        def classify(answer: Answer) -> Verdict | None:
            error = answer.headers.get("X-Error")
            seconds = 300 if answer.url.endswith("b") else 1
            return Verdict.throttled(seconds, error) if error else None

        world = World(server)
        settings = world.settings(classify=classify, retry=RetryPolicy(max_attempts=1))
        session = world.session(settings)
        for at in range(5):
            world.call(10.0 * at, f"{at}.", "GET /a", session)
        world.call(700, f"{name}. b", "GET /b", session)
        world.call(701, "A", "GET /a", session)
        world.run()
        assert (world.sent[-1].caller != "A") is is_held


def test_a_name_that_headers_give_too_is_a_policy() -> None:
    """GET /a passed as one of ``core``; verdicts under ``core`` stop it, and never ``search``."""

    def server(request: Any) -> Reply:
        resource = "search" if "search" in request.name else "core"
        fields = {
            "X-RateLimit-Resource": resource,
            "X-RateLimit-Remaining": "9",
            "X-RateLimit-Reset": "9",
        }
        refuses = request.name.startswith("POST")
        return Reply(200, fields | {"X-Error": "300"} if refuses else fields)

    def by_resource(answer: Answer) -> Verdict | None:
        resource = answer.headers["X-RateLimit-Resource"]
        return Verdict.throttled(300, resource) if "X-Error" in answer.headers else None

    world = World(server)
    session = world.session(world.settings(classify=by_resource))
    calls = ["GET /a", "GET /search", "POST /g", "POST /h", "POST /i", "GET /a", "GET /search"]
    for at, request in enumerate(calls):
        world.call(20.0 * at, "ABCDEFG"[at], request, session)
    world.run()
    assert [sent.caller for sent in world.sent] == ["A", "B", "C", "D", "E", "G"]


def test_processes_with_one_store_learn_what_a_verdict_has_closed() -> None:
    """Two endpoints were refused elsewhere: here GET /c is the test, and GET /d is not sent."""
    world = World(busy("/a", "/b", "/c", "/d", end=301))
    clocks = world.clock, world.process()
    here, there = (
        world.session(world.settings(classify=named, store=world.store, clock=clock))
        for clock in clocks
    )
    world.call(1, "A", "GET /a", there)
    world.call(2, "B", "GET /b", there)
    world.call(3, "look", "GET /other", here)
    for at, (name, path) in enumerate([("C", "/c"), ("D", "/d"), ("E", "/d")]):
        world.call(10 + at, name, f"GET {path}", here)
    world.run()
    assert [sent.caller for sent in world.sent] == ["A", "B", "look", "C"]


def test_an_endpoint_that_a_verdict_has_closed_is_closed_in_other_processes() -> None:
    """GET /a was refused elsewhere: here one GET /a is a test, and GET /c is free."""
    world = World(busy("/a", end=301))
    clocks = world.clock, world.process()
    here, there = (
        world.session(world.settings(classify=named, store=world.store, clock=clock))
        for clock in clocks
    )
    world.call(1, "A", "GET /a", there)
    for at, request in enumerate(["GET /other", "GET /a", "GET /a", "GET /c"]):
        world.call(3 + 5 * at, "BCDE"[at], request, here)
    world.run()
    assert [sent.caller for sent in world.sent] == ["A", "B", "C", "E"]


@pytest.mark.parametrize(("left", "is_sent"), [("0", False), ("7", True)])
def test_throttled_without_a_scope_is_about_a_policy_of_which_nothing_is_left(
    left: str, *, is_sent: bool
) -> None:
    """A secondary limit with 7 requests of ``core`` left closes its endpoint, and not ``core``."""
    fields = {
        "X-RateLimit-Resource": "core",
        "X-RateLimit-Remaining": left,
        "X-RateLimit-Reset": "300",
    }
    world = World({"POST /g": [Reply(403, fields)]})
    session = world.session(
        world.settings(classify=lambda it: Verdict.throttled(300) if it.status == 403 else None)
    )
    world.call(0, "A", "POST /g", session)
    world.call(1, "B", "GET /other", session)
    world.run()
    assert [sent.caller for sent in world.sent] == (["A", "B"] if is_sent else ["A"])


def level(rig: Rig) -> int:
    """Return the units that the retry quota of the API has left."""
    return SharedState.of(rig.adapter.settings).quotas.level(API)


def test_transient_costs_quota_and_ok_pays_back() -> None:
    """A 500 that is ok pays what a success pays; one that is final what a 404 pays."""
    rig = rig_of(BROKEN, (500, {}, b'{"error": "fine"}'))
    rig.get()
    assert level(rig) == 500
    rig = rig_of(BROKEN, BROKEN, (500, {}, b"{}"), retry=RetryPolicy(max_attempts=3))
    rig.get()
    assert level(rig) == 500 - 2 * 14


@pytest.mark.parametrize(
    ("line", "is_known"),
    [
        (BROKEN, True),
        ((503, {}, b'{"error": "fine"}'), False),
        ((503, {}, b'{"error": "no"}'), False),
        ((503, {}, b'{"error": "running"}'), False),
    ],
    ids=["transient 200", "ok 503", "final 503", "pending 503"],
)
def test_the_verdict_says_whether_a_server_is_out_of_order(line: Line, *, is_known: bool) -> None:
    """A 200 that is transient counts for an outage; a 503 that is ok does not."""
    rig = rig_of(line, retry=RetryPolicy(max_attempts=1, deadline=0.5))
    rig.get()
    outages = SharedState.of(rig.adapter.settings).limiter.outages
    assert outages.troubled is is_known


def test_polls_leave_the_quota_to_others() -> None:
    """A call that has polled pays back what a success pays that was never retried."""
    rig = rig_of(BROKEN, (503, {}, b"{}"), RUNNING, OK, retry=RetryPolicy(max_attempts=2))
    rig.get()
    before = level(rig)
    rig.get()
    assert level(rig) == before + 1


def test_a_cool_down_is_told_with_the_status_that_came() -> None:
    """A 200 that is throttled is told as a 200."""
    rig = rig_of(SLOW, OK)
    rig.get()
    assert [(event.status, event.seconds) for event in rig.told(CoolingDown)] == [(200, 8.0)]


# The record


def test_a_verdict_is_that_of_its_own_attempt() -> None:
    """An attempt that brings no answer after one with a verdict has no verdict."""
    rig = rig_of(BROKEN, requests.ConnectionError("lost"), OK)
    assert [attempt.detail for attempt in attempts(rig.get())] == [
        "transient, your classifier",
        "",
        "",
    ]


def test_a_hop_to_other_settings_has_no_verdict_of_the_first() -> None:
    """The site of the redirect has a classifier, that of the hop has none."""
    other = "https://other.example.com/"
    site = Settings(origins=[API], classify=by_header)
    rig = Rig((302, {"X-Error": "fine", "Location": other}), 200, sites=[site])
    response = rig.get()
    assert response.url == other
    assert [attempt.detail for attempt in attempts(response)] == ["ok, your classifier", ""]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("broken", [Reason.ATTEMPTS_EXHAUSTED, Reason.FINAL]),
        ("expired", [Reason.NO_TOKEN, Reason.FINAL]),
        ("no", [Reason.REDIRECT, Reason.FINAL]),
    ],
)
def test_a_redirect_with_a_verdict_leads_on_within_its_call(error: str, told: list[Reason]) -> None:
    """After a verdict the redirect is one attempt of the record, and its hop ends the call."""
    moved = (302, {"X-Error": error, "Location": "/there"})
    rig = rig_of(moved, OK, classify=by_header, retry=RetryPolicy(max_attempts=1))
    response = rig.get()
    assert (response.status_code, reasons(response)) == (200, told)
    assert [(event.status, event.attempts) for event in rig.told(CallEnded)] == [(200, 2)]


@pytest.mark.parametrize("challenge", ["Basic", 'Bearer error="insufficient_scope"'])
def test_a_verdict_needs_no_challenge(challenge: str) -> None:
    """The token is renewed whatever the challenge of a 401 says."""
    refused = (401, {"X-Error": "expired", "WWW-Authenticate": challenge}, b"")
    source = Source("old", "new")
    rig = rig_of(refused, OK, classify=by_header, token=source, origins=[API])
    assert rig.get().status_code == 200
    assert source.calls == 2


def test_a_403_with_a_verdict_says_nothing_of_the_token() -> None:
    """`final` takes the place of what its challenge says."""
    narrow = {"X-Error": "no", "WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    rig = rig_of((403, narrow), classify=by_header, token="tok", origins=[API])
    assert reasons(rig.get()) == [Reason.FINAL]
    assert not rig.told(RefreshDeclined)


# Only observed


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (SLOW, "would retry after 8 s: throttled: your classifier"),
        (RUNNING, "would retry after 1 s: pending: your classifier"),
        ((503, {}, b'{"error": "no"}'), "would end the call: final answer: your classifier"),
        ((503, {}, b'{"error": "fine"}'), "would end the call: final answer: ok, your classifier"),
        (EXPIRED, "would have sent no credential: the settings have none"),
    ],
)
def test_an_observed_call_tells_what_a_verdict_would_have_done(line: Body, text: str) -> None:
    """It is sent once, and its body is whole."""
    rig = rig_of(line, observe=True)
    response = rig.get()
    assert [event.text for event in rig.told(Observed)] == [text]
    assert response.content == line[2]
    assert len(rig.inner.sent) == 1
    assert text in str(explain(response))
