"""`Settings(observe=True)`: calls go out as without us, and what would have been done is told."""

from __future__ import annotations

import logging
from io import BytesIO
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth, HTTPDigestAuth
from urllib3.util import Retry

from requests_authretry import (
    AttemptEnded,
    CallEnded,
    CoolingDown,
    FetchContext,
    Jitter,
    MemoryStore,
    Observed,
    Rate,
    RateLimits,
    Reason,
    RefreshDeclined,
    RetryPolicy,
    RetryQuota,
    Settings,
    Wait,
    attempts,
    deadline,
    explain,
    install,
    mount,
    override,
)
from requests_authretry import Backoff as Waits
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.scripted import EXPIRED, URL, Source
from tests.support.sessions import API, SECRET, Rig, raised
from tests.support.wire import Wire, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

HALF = RetryPolicy(backoff=Waits(initial=0.5, jitter=Jitter.NONE))
SLOW = (429, {"Retry-After": "30"})


class Untouched(MemoryStore):
    """A store that nobody may use."""

    def __getattribute__(self, name: str) -> Any:
        """Fail where a verb of the store is used, not where one is only looked for."""
        found = super().__getattribute__(name)
        if name in {"read", "write", "lock", "push", "take", "keep"}:
            return self._refuse
        return found

    def _refuse(self, *_: object, **__: object) -> None:
        raise AssertionError("the store was used")


class Keeps(ScriptedAdapter):
    """Keeps the options of each request.

    Attributes:
        options: The keyword arguments of each ``send``.
    """

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self.options: list[dict[str, Any]] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        """Keep the options, and answer."""
        self.options.append(options)
        return super().send(request, *args, **options)


def observing(*script: Any, **fields: Any) -> Rig:
    """A session that only observes."""
    return Rig(*script, observe=True, **{"retry": HALF, **fields})


def texts(rig: Rig) -> list[str]:
    """What would have been done."""
    return [event.text for event in rig.told(Observed)]


def test_a_503_goes_out_once_and_is_told() -> None:
    """It would be sent again after 0.5 s, and the caller gets the 503 at once."""
    rig = observing(503)
    response = rig.get("/a")
    assert (response.status_code, len(rig.inner.sent), rig.waits) == (503, 1, [])
    assert rig.events == [
        Observed(
            call=rig.told(Observed)[0].call,
            method="GET",
            url=f"{API}/a",
            action="retry",
            text="would retry after 0.5 s: server error",
            reason=Reason.SERVER_ERROR,
            seconds=0.5,
            retry_after=None,
            status=503,
            error=None,
        ),
        AttemptEnded(rig.told(Observed)[0].call, attempts(response)[0]),
        *rig.told(CallEnded),
    ]
    assert len(rig.told(CallEnded)) == 1


def test_explain_says_what_would_have_been_done() -> None:
    """In the line of the attempt, and in the JSON."""
    told = explain(observing((429, {"Retry-After": "2"})).get("/a"))
    why = "only observed: would retry after 2 s: throttled"
    assert str(told) == (
        f"GET {API}/a: 429 after 1 attempt in 0 s\n"
        f"  1. 429 in 0 s: {why} (the server asked for 2 s)"
    )
    (step,) = told.to_dict()["steps"]
    assert (step["reason"], step["why"], step["retry_after"]) == ("OBSERVED", why, 2.0)


def test_people_read_it_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One INFO line for what would have been done, with its fields; none for a short wait."""
    limits = RateLimits(rates=[Rate(1, per=0.5)])
    rig = observing(503, 200, limits=limits)
    with caplog.at_level(logging.INFO, "requests_authretry"):
        rig.get("/a")
        rig.get("/a")
    (record,) = caplog.records
    assert record.getMessage() == (
        f"GET {API}/a 503, only observed: would retry after 0.5 s: server error"
    )
    assert record.__dict__["authretry_action"] == "retry"
    assert texts(rig)[-1] == "would have waited 0.5 s: pacing, to keep to the rate limit"


def test_a_final_answer_is_no_news() -> None:
    """A 200 and a 404 are as in any call."""
    rig = observing(200, 404)
    assert [attempts(rig.get())[0].reason for _ in range(2)] == [Reason.FINAL] * 2
    assert not texts(rig)


@pytest.mark.parametrize("timeout", [None, 5, (3, None)])
def test_request_and_timeout_are_the_callers(timeout: Any) -> None:
    """Neither the timeout of the settings nor a deadline, key, body or credential is added."""
    inner, session = Keeps(200), requests.Session()
    session.mount("https://", inner)
    policy = RetryPolicy(idempotency_key=True, buffer_bodies=100, deadline=5)
    settings = Settings(
        observe=True,
        timeout=9,
        retry=policy,
        token=SECRET,
        origins=[API],
        auth=HTTPBasicAuth("a", "b"),
    )
    mount(session, settings)
    request = session.prepare_request(requests.Request("POST", API, data=iter([b"x"])))
    session.send(request, timeout=timeout, stream=True)
    (options,) = inner.options
    assert (options["timeout"], options["stream"]) == (timeout, True)
    assert inner.sent[0] is request
    assert {"Authorization", "Idempotency-Key"}.isdisjoint(request.headers)
    assert list(request.body or ()) == [b"x"]  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [None, "text", {"a": "b"}, [b"x", b"y"]])
def test_the_server_sees_what_it_would_see_without_us(body: Any) -> None:
    """The same bytes, and the same number of connections."""
    policy = RetryPolicy(idempotency_key=True, buffer_bodies=100)
    settings = Settings(observe=True, token=SECRET, origins=["http://127.0.0.1"], retry=policy)
    with Wire(*[answer(503)] * 4) as wire:
        for mounts in (False, True):
            session = requests.Session()
            if mounts:
                mount(session, settings)
            for _ in range(2):
                session.post(wire.url, data=iter(body) if isinstance(body, list) else body)
            session.close()
    seen = [(each.headers.items(), each.body, each.framed) for each in wire.arrived]
    assert seen[:2] == seen[2:]
    assert [each.connection for each in wire.arrived] == [1, 1, 2, 2]


def test_a_body_that_real_settings_kept_goes_on_to_an_observed_hop() -> None:
    """The redirect of an upload from a generator, which is spent when the hop begins."""
    with Wire(answer(200)) as there:
        moved = ("Location", f"{there.url}b")
        with Wire(answer(307, b"", moved)) as here:
            site = Settings(observe=True, origins=[there.url])
            session = requests.Session()
            mount(session, Settings(sites=[site], retry=RetryPolicy(buffer_bodies=1000)))
            response = session.post(here.url, data=iter([b"abc", b"def"]))
    assert [each.body for each in (*here.arrived, *there.arrived)] == [b"abcdef"] * 2
    assert [attempt.reason for attempt in attempts(response)] == [Reason.REDIRECT, Reason.FINAL]


def test_the_body_reaches_hooks_unread() -> None:
    """As in bare requests, which reads a body after the hooks: of a 503 as well."""
    seen: list[bool] = []

    def hook(response: requests.Response, **_: Any) -> None:
        seen.append(response._content_consumed)  # noqa: SLF001 (requests has no other word)

    rig = observing((503, {}, b"later"), (401, {}, b"who"), (200, {}, b"yes"))
    bodies = [rig.get(hooks={"response": hook}).content for _ in range(3)]
    assert (seen, bodies) == ([False] * 3, [b"later", b"who", b"yes"])


def test_a_file_stays_where_it_was_read_to() -> None:
    """A failed upload is not wound back, though it would have been sent again."""
    file = BytesIO(b"data")

    class Reads(ScriptedAdapter):
        """Reads the body, as a real adapter does."""

        def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
            """Read it."""
            file.read()
            return super().send(request, *args, **options)

    session = requests.Session()
    session.mount("https://", Reads(503, 503, 503))
    mount(session, Settings(observe=True, retry=HALF))
    assert "would retry after 0.5 s" in attempts(session.put(API, data=file))[0].why
    assert file.tell() == 4
    generator = session.put(API, data=iter([b"x"]))
    assert "the body cannot be sent again" in attempts(generator)[0].why
    with override(retry=RetryPolicy(buffer_bodies=9)):
        generator = session.put(API, data=iter([b"x"]))
    assert "would retry" in attempts(generator)[0].why


def test_an_exception_is_the_inner_adapters_own() -> None:
    """The same object, with its story and without a note."""
    error = requests.ConnectionError("gone")
    rig = observing(error, error)
    assert raised(rig.session, API) is error
    assert explain(error).attempts[0].why == (
        "only observed: would retry after 0.5 s: no whole answer came"
    )
    assert not hasattr(error, "__notes__")
    assert raised(rig.session, API, "POST") is error
    assert explain(error).attempts[0].why == (
        "only observed: would end the call: it may have been processed, and the method is not "
        "idempotent"
    )


def test_an_exception_of_others_would_end_the_call() -> None:
    """A fault in an adapter reaches the caller as it is."""
    rig = observing(KeyError("x"))
    with pytest.raises(KeyError) as caught:
        rig.get()
    assert texts(rig) == ["would end the call: sending again cannot help"]
    assert explain(caught.value).attempts[0].reason is Reason.OBSERVED


# Credentials.


def test_no_token_is_attached_fetched_or_renewed() -> None:
    """A 401 says that the token would have been sent; the source is not asked."""
    source = Source(SECRET)
    rig = observing(EXPIRED, 200, token=source, origins=[API])
    assert (rig.get().status_code, rig.get().status_code) == (401, 200)
    assert (rig.carried, source.calls) == ([None, None], 0)
    (event,) = rig.told(Observed)
    assert (event.action, event.status) == ("attach", 401)
    assert event.text == "would have sent it with the credential of the settings"


@pytest.mark.parametrize(
    ("fields", "path", "header", "action"),
    [
        ({}, "/", None, "end"),
        ({"token": SECRET, "origins": [API]}, "https://b.example.com", None, "end"),
        ({"token": SECRET, "origins": [API]}, "/", "Bearer own", "end"),
        ({"token": SECRET, "origins": [API], "adopt": True}, "/", "Bearer own", "renew"),
        ({"token": SECRET, "origins": [API], "adopt": True}, "/", 'Digest a="b"', "end"),
        ({"auth": HTTPBasicAuth("a", "b"), "origins": [API]}, "/", None, "attach"),
        ({"auth": HTTPBasicAuth("a", "b"), "origins": [API], "adopt": True}, "/", "T x", "end"),
    ],
)
def test_what_a_401_is_told(
    fields: dict[str, Any], path: str, header: str | None, action: str
) -> None:
    """Attached at its origin, renewed where it is adopted, and left alone elsewhere."""
    rig = observing(401, **fields)
    headers = {"Authorization": header} if header else {}
    assert rig.get(path, headers=headers).status_code == 401
    (event,) = rig.told(Observed)
    assert event.action == action
    assert rig.carried == [header]
    assert not rig.told(RefreshDeclined)


def test_a_header_is_not_adopted() -> None:
    """A real session with the same source fetches a token of its own."""
    source = Source("fetched")
    observing(401, token=source, origins=[API], adopt=True).get(
        headers={"Authorization": "Bearer legacy"}
    )
    rig = Rig(200, token=source, origins=[API])
    rig.get()
    assert rig.carried == ["Bearer fetched"]


def test_a_401_that_the_server_wants_again_is_told_as_a_retry() -> None:
    """`x-should-retry: true` is a rule before that of the credential."""
    rig = observing((401, {"x-should-retry": "true"}))
    rig.get()
    assert texts(rig) == ["would retry after 0.5 s: retryable status"]


def test_digest_goes_on_as_without_us() -> None:
    """Its second request is a call of its own, which is observed too."""
    challenge = {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}
    rig = observing((401, challenge), 200)
    response = rig.get(auth=HTTPDigestAuth("a", "b"))
    assert response.status_code == 200
    assert [str(each).partition(" ")[0] for each in rig.carried] == ["None", "Digest"]
    assert explain(response).is_known


# Limits, outages and stores.


def test_a_cool_down_is_told_and_not_kept() -> None:
    """After the refusal one call is the test; the next one would have waited."""
    rig = observing(SLOW, SLOW, 200)
    for _ in range(3):
        rig.get("/a")
    assert rig.waits == []
    assert texts(rig) == [
        "would retry after 30 s: throttled",
        "would retry after 30 s: throttled",
        "would have waited 30 s: cool-down, as the server refused another call",
    ]
    wait = rig.told(Observed)[-1]
    assert (wait.action, wait.seconds, wait.retry_after) == ("wait", 30.0, 30.0)
    assert (wait.status, wait.reason) == (None, Reason.COOL_DOWN)


def test_a_wait_and_what_follows_stand_in_one_attempt() -> None:
    """It would have waited for the limit, and then been sent again."""
    rig = observing(SLOW, SLOW, 503)
    last = [rig.get("/a") for _ in range(3)][-1]
    (attempt,) = attempts(last)
    assert attempt.why == (
        "only observed: would have waited 30 s: cool-down, as the server refused another call; "
        "would retry after 0.5 s: server error"
    )
    assert not [step for step in explain(last).steps if isinstance(step, Wait)]


def test_a_cool_down_that_is_too_long_is_told() -> None:
    """Beyond the deadline nothing would have been sent."""
    limit = (429, {"Retry-After": "900"})
    rig = observing(limit, limit, 200)
    assert [rig.get("/a").status_code for _ in range(3)] == [429, 429, 200]
    assert texts(rig)[-1] == f"would not have been sent: GET /a at {API} is closed for 900 s"


def test_declared_limits_count_what_is_sent_and_hold_nothing() -> None:
    """The third request within 10 s would have waited for the first one's place."""
    rig = observing(200, 200, 200, limits=RateLimits(rates=[Rate(2, per=10.0)]))
    for _ in range(3):
        rig.get()
        rig.clock.advance(1)
    assert texts(rig) == ["would have waited 8 s: pacing, to keep to the rate limit"]


def test_what_answers_say_of_a_limit_is_learned() -> None:
    """Nothing is left for 20 s: after 4 s one request would have tested whether that is so."""
    spent = {"RateLimit": '"default";r=0;t=20', "RateLimit-Policy": '"default";q=10;w=20'}
    rig = observing((200, spent), 200)
    rig.get("/a")
    rig.get("/a")
    assert texts(rig) == ["would have waited 4 s: pacing, to keep to the rate limit"]


def test_callers_are_told_apart_by_what_they_send() -> None:
    """No credential of the settings is sent: two sessions of a server are two callers."""
    fields = {"token": SECRET, "auth": HTTPBasicAuth("a", "b"), "origins": [API]}
    rig = observing(SLOW, SLOW, 200, **fields)
    for sid in ("1", "1", "2"):
        rig.get("/a", cookies={"sid": sid})
        rig.session.cookies.clear()
    assert len(texts(rig)) == 2


def test_what_is_over_is_forgotten() -> None:
    """A cool-down at an endpoint that no call asks for again."""
    rig = observing(SLOW, 404, limits=RateLimits(pacing=False))
    rig.get("/a")
    rig.clock.advance(3600)
    rig.get("https://b.example.com")
    assert SharedState.of(rig.adapter.settings).limiter.states() == []


def test_what_was_learned_holds_under_an_override() -> None:
    """Other settings for a call are still those of the session."""
    rig = observing(SLOW, SLOW, 200, store=Untouched())
    rig.get("/a")
    rig.get("/a")
    with override(timeout=5):
        rig.get("/a")
    assert "would have waited" in texts(rig)[-1]


def test_attempts_under_way_are_counted() -> None:
    """A second request while one is under way; after that there is room again."""
    session = requests.Session()
    calls: list[requests.Response] = []

    class Nested(ScriptedAdapter):
        """Makes a call during the first one."""

        def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
            """Call first."""
            if not self.sent:
                self.sent.append(request)
                calls.append(session.get(API))
            return super().send(request, *args, **options)

    session.mount("https://", Nested(200, 200, 200))
    mounted = mount(session, Settings(observe=True, limits=RateLimits(concurrency=1)))
    calls += [session.get(API), session.get(API)]
    assert ["would have waited" in attempts(each)[0].why for each in calls] == [True, False, False]
    assert not list(mounted.limits)


@pytest.mark.parametrize(
    "limits",
    [
        RateLimits(identity=lambda _: 1 / 0),  # type: ignore[arg-type, return-value]
        RateLimits(rates=[Rate(1, per=1, cost=lambda _: -1)]),
    ],
)
def test_a_function_that_fails_stops_no_call(limits: RateLimits) -> None:
    """The function of an identity, or of a cost, would have ended the call."""
    rig = observing(503, limits=limits)
    response = rig.get()
    assert response.status_code == 503
    (event,) = rig.told(Observed)
    assert event.action == "refuse"
    assert event.text.startswith("would not have been sent: ")
    assert attempts(response)[0].why == f"only observed: {event.text}"


def test_an_outage_is_told() -> None:
    """After 16 failures in a row a retry would have been held."""
    rig = observing(*[500] * 16)
    for _ in range(16):
        rig.get("/a")
    assert set(texts(rig)[:15]) == {"would retry after 0.5 s: server error"}
    assert texts(rig)[15] == "would retry when the outage is over"


def test_no_quota_is_spent() -> None:
    """The quota of the settings pays for one retry, and would for each call that is observed."""
    quota = RetryQuota(capacity=14, transient_cost=14)
    rig = observing(*[503] * 3, quota=quota)
    for _ in range(3):
        rig.get()
    assert len(texts(rig)) == 3
    assert "would end" not in "".join(texts(rig))


def test_no_store_is_touched() -> None:
    """Neither for tokens nor for cool-downs, outages and paces."""
    fields = {"token": lambda: SECRET, "origins": [API], "store": Untouched()}
    rig = observing(*[SLOW] * 5, *[503] * 17, EXPIRED, **fields)
    for _ in range(23):
        rig.get("/a")
        rig.clock.advance(2)
    state = SharedState.of(rig.adapter.settings)
    assert state.sharing.limiter.look_at == inf
    assert state.tokens is None


# Beside real settings.


@pytest.mark.parametrize("store", [None, MemoryStore()])
def test_an_observed_call_leaves_real_ones_alone(store: MemoryStore | None) -> None:
    """A refusal under `override(observe=True)` closes nothing for the session's other calls."""
    rig = Rig(SLOW, SLOW, SLOW, 200, retry=HALF, store=store)
    with override(observe=True):
        for _ in range(3):
            rig.get("/a")
    assert rig.get("/a").ok
    assert rig.waits == []
    assert len(rig.told(CoolingDown)) == 0
    assert "would have waited" in texts(rig)[2]


def test_a_real_call_among_observed_ones() -> None:
    """`override(observe=False)` has the call sent again, with the token."""
    rig = observing(503, 503, 200, token=SECRET, origins=[API])
    rig.get()
    with override(observe=False):
        assert rig.get().ok
    assert rig.waits == [0.5]
    assert rig.carried == [None, f"Bearer {SECRET}", f"Bearer {SECRET}"]


def test_a_site_may_be_observed() -> None:
    """The calls to its origins go out once, the others as the settings say."""
    other = "https://b.example.com"
    clock = FakeClock()
    site = Settings(observe=True, origins=[API], token=SECRET, retry=HALF, clock=clock)
    rig = Rig(503, 503, 200, sites=[site], retry=HALF, clock=clock)
    assert rig.get().status_code == 503
    assert rig.get(other).status_code == 200
    assert rig.carried == [None] * 3


def test_a_redirect_is_one_call_across_kinds_of_settings() -> None:
    """From an observed site to real settings: one story, and the hop is retried."""
    clock = FakeClock()
    there = {"Location": "https://b.example.com/x"}
    site = Settings(observe=True, origins=[API], retry=HALF, clock=clock)
    rig = Rig((302, there), 503, 200, sites=[site], retry=HALF, clock=clock)
    made = attempts(rig.get())
    assert [attempt.status for attempt in made] == [302, 503, 200]
    assert [attempt.reason for attempt in made] == [
        Reason.REDIRECT,
        Reason.SERVER_ERROR,
        Reason.FINAL,
    ]


def test_the_hops_of_an_observed_call_are_one_story() -> None:
    """Each with what would have been done; a redirect that is not followed has its own."""
    there = {"Location": f"{API}/b"}
    rig = observing((302, there), 503, (302, there))
    told = explain(rig.get("/a"))
    assert [(step.reason, step.url) for step in told.attempts] == [
        (Reason.REDIRECT, f"{API}/a"),
        (Reason.OBSERVED, f"{API}/b"),
    ]
    alone = explain(rig.get("/a", allow_redirects=False))
    assert (len(alone.attempts), alone.seconds) == (1, 0.0)


def test_a_redirect_tells_what_would_have_been_done_before_it() -> None:
    """Its hop has nothing to tell."""
    there = (302, {"Location": f"{API}/b"})
    limits = RateLimits(rates=[Rate(1, per=10.0, path="/a")])
    rig = observing(200, there, 200, limits=limits)
    rig.get("/a")
    assert [attempt.why for attempt in attempts(rig.get("/a"))] == [
        "redirect: would have waited 10 s: pacing, to keep to the rate limit",
        "final answer",
    ]


def test_a_closed_session_follows_redirects_on() -> None:
    """As bare requests does, where another thread closes the session meanwhile."""
    rig = observing()

    class Closing(ScriptedAdapter):
        """Closes the session while a request is under way."""

        def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
            """Close, then answer."""
            rig.adapter.close()
            return super().send(request, *args, **options)

    rig.adapter.inner = Closing((302, {"Location": f"{API}/b"}), 200)
    assert rig.get("/a").status_code == 200


@pytest.fixture
def retrying() -> Iterator[tuple[requests.Session, HTTPAdapter]]:
    """A session whose adapter retries by itself."""
    session, adapter = requests.Session(), HTTPAdapter(max_retries=Retry(3))
    session.mount("https://", adapter)
    yield session, adapter
    session.close()


def test_the_retries_of_the_inner_adapter_stay(
    retrying: tuple[requests.Session, HTTPAdapter],
) -> None:
    """Mounted or installed; real settings switch them off, and so does one real site."""
    session, adapter = retrying
    assert adapter.max_retries.total == 3
    with mount(session, Settings(observe=True)):
        assert adapter.max_retries.total == 3
    real_site = Settings(origins=[API])
    observed_site = Settings(observe=True, origins=["https://b.example.com"])
    with mount(session, Settings(observe=True, sites=[observed_site])):
        assert adapter.max_retries.total == 3
    with mount(session, Settings(observe=True, sites=[observed_site, real_site])):
        assert adapter.max_retries.total == 0
    assert adapter.max_retries.total == 3


def test_what_is_installed_may_observe() -> None:
    """The sessions of an old code base are not changed."""
    session, below = requests.Session(), ScriptedAdapter(503)
    session.mount("https://", below)
    with install(Settings(observe=True)):
        response = session.get(URL)
    assert len(below.sent) == 1
    assert "would retry" in attempts(response)[0].why


def test_a_block_does_not_bound_what_is_observed() -> None:
    """A call after its end is sent, and would not have been; a wait would have been too long."""
    rig = observing(503, 200)
    with deadline(0.4):
        rig.get()
        rig.clock.advance(1)
        rig.get()
    assert texts(rig) == [
        "would end the call: no attempt fits before the deadline, or within max_retry_after",
        "would not have been sent: the deadline of the block has passed",
    ]


def test_a_source_is_never_told_of_an_observed_call() -> None:
    """Not even by `usable`, early renewal or the end of a token's time."""
    contexts: list[FetchContext] = []

    class Told:
        """A source."""

        def fetch(self, context: FetchContext) -> str:
            """Remember the context."""
            contexts.append(context)
            return SECRET

    rig = observing(200, 401, token=Told(), origins=[API])
    rig.get()
    rig.get()
    assert not contexts
