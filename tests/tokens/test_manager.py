"""What a token source may do, and what its callers get."""

from __future__ import annotations

import logging
import pickle
import threading
import traceback
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    AuthRetryError,
    FetchContext,
    MemoryStore,
    Reason,
    RefreshDeclined,
    RefreshFailed,
    RetryPolicy,
    Token,
    TokenRefreshed,
    Waiting,
    attempts,
    mount,
)
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.renewals import alone
from tests.support.scripted import EXPIRED, ORIGIN, URL, Source, carried, scripted, settings

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

SECRET = "s3cret-of-the-user"
FOREIGN = "what a foreign library says"


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when it is told to."""
    return FakeClock()


def hollow() -> Token:
    """What is left of a token after a pickle."""
    emptied = pickle.loads(pickle.dumps(Token(SECRET)))  # noqa: S301 (our own bytes)
    assert isinstance(emptied, Token)
    return emptied


def test_an_expired_token_is_renewed_before_sending(clock: FakeClock) -> None:
    """A token whose time is over is not sent once more to be told so; one second before, it is."""
    source = Source(Token("old", clock.time() + 10), "new")
    session, below = scripted(settings(source, clock=clock), 200, 200, 200)
    session.get(URL)
    clock.advance(9)
    session.get(URL)
    clock.advance(1)
    session.get(URL)
    assert carried(below) == ["Bearer old", "Bearer old", "Bearer new"]
    assert source.calls == 2


def test_a_token_expired_at_receipt_is_used(clock: FakeClock) -> None:
    """A token that this clock calls expired on arrival costs one renewal, not one a request."""
    source = Source(Token("fresh", clock.time() - 60))
    session, below = scripted(settings(source, clock=clock), *[200] * 5)
    for _ in range(5):
        assert session.get(URL).status_code == 200
    assert carried(below) == ["Bearer fresh"] * 5
    assert source.calls == 1


def test_a_source_is_told_why_it_is_asked(clock: FakeClock) -> None:
    """The context has the stale token, whether it was refused, what was said and the time left."""
    first, second = Token("first", clock.time() + 10), Token("second", clock.time() + 90)
    source = Source(first, second, "third")
    policy = RetryPolicy(deadline=30.0)
    session, _ = scripted(settings(source, clock=clock, retry=policy), 200, EXPIRED, 200)
    session.get(URL)
    clock.advance(10)
    session.get(URL)
    start, expired, refused = source.contexts
    asked = partial(FetchContext, timeout=30.0, retry=policy, clock=clock)
    assert start == asked(None)
    assert expired == asked(first)
    assert (refused.stale, refused.refused, refused.timeout) == (second, True, 30.0)
    assert refused.challenge is not None
    assert refused.challenge.error == "invalid_token"


def test_a_context_without_a_policy_has_the_default_one() -> None:
    """A user's test of a source that reads ``context.retry.max_attempts`` needs no settings."""
    assert FetchContext(None).retry == RetryPolicy()
    assert FetchContext(None).retry is FetchContext(Token("old")).retry


def test_the_time_left_shrinks_with_the_call(clock: FakeClock) -> None:
    """What a source is told that its caller can wait is the rest of the deadline, not all of it."""
    source = Source("first", "second")
    policy = RetryPolicy(deadline=30.0)
    throttled = (429, {"Retry-After": "12"})
    session, _ = scripted(settings(source, clock=clock, retry=policy), throttled, EXPIRED, 200)
    session.get(URL)
    assert source.contexts[1].timeout == 18.0


def test_a_source_sees_the_callers_context() -> None:
    """Context variables of the caller (a tenant, a trace) are those of the source."""
    tenant: ContextVar[str] = ContextVar("tenant")
    tenant.set("ada")
    session, below = scripted(settings(lambda: f"of-{tenant.get()}"), 200)
    session.get(URL)
    assert carried(below) == ["Bearer of-ada"]


@pytest.mark.parametrize(
    ("nonsense", "named"),
    [
        (7, "int"),
        (b"bytes", "bytes"),
        ({"access_token": SECRET}, "dict"),
        ("", "empty"),
        (f"{SECRET}\r\nX-Evil: 1", "line break"),
        (f"Bearer {SECRET}", "scheme"),
        (hollow(), ": a token from a pickle has lost its secret: give a function that fetches it$"),
    ],
    ids=["int", "bytes", "dict", "empty", "line break", "scheme twice", "hollow"],
)
def test_nonsense_is_never_sent(nonsense: Any, named: str) -> None:
    """What is no token is refused in words that name the fault, quote nothing, and send nothing."""
    session, below = scripted(settings(Source(nonsense)))
    with pytest.raises(RefreshFailed, match=named) as caught:
        session.get(URL)
    assert not below.sent
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("fault", [KeyError(FOREIGN), SystemExit(FOREIGN), KeyboardInterrupt()])
def test_a_source_that_raises(fault: BaseException) -> None:
    """Its error becomes RefreshFailed, without its words, and the request is not sent bare.

    What would end the thread, as SystemExit, is no cause of the caller's exception.
    """
    session, below = scripted(settings(Source(fault)))
    with pytest.raises(RefreshFailed) as caught:
        session.get(URL)
    is_error, name = isinstance(fault, Exception), type(fault).__name__
    said = "the token source failed with" if is_error else "no token from the token source:"
    assert str(caught.value) == f"{said} {name}"
    told = str(caught.value.__cause__)
    assert (told.splitlines()[0] == name) if is_error else told == "None"
    assert FOREIGN not in "".join(traceback.format_exception(caught.value))
    assert not below.sent


def test_a_renewal_that_fails_on_a_401_brings_the_401_along() -> None:
    """RefreshFailed after a 401 has its request and its response; nothing is sent again."""
    session, below = scripted(settings(Source("first", KeyError(FOREIGN))), EXPIRED)
    with pytest.raises(RefreshFailed) as caught:
        session.get(URL)
    assert str(caught.value.__cause__).startswith("KeyError\n")
    assert caught.value.response is not None
    assert caught.value.response.status_code == 401
    assert caught.value.request is caught.value.response.request
    assert carried(below) == ["Bearer first"]


def test_an_expired_token_is_not_sent_when_its_renewal_fails(clock: FakeClock) -> None:
    """Neither the token whose time is over nor a bare request goes out."""
    source = Source(Token("old", clock.time() + 10), KeyError())
    session, below = scripted(settings(source, clock=clock), 200)
    session.get(URL)
    clock.advance(11)
    with pytest.raises(RefreshFailed):
        session.get(URL)
    assert carried(below) == ["Bearer old"]


def test_a_source_that_gives_none_before_the_first_request() -> None:
    """No token at all is RefreshFailed, and nothing is sent bare."""
    session, below = scripted(settings(lambda: None))
    with pytest.raises(RefreshFailed, match="nothing was sent"):
        session.get(URL)
    assert not below.sent


def test_a_source_that_gives_none_on_a_401() -> None:
    """None declines: the caller gets the 401 as it came, and an event says why."""
    told: list[Any] = []
    session, below = scripted(settings(Source("first", None), listeners=[told.append]), EXPIRED)
    assert session.get(URL).status_code == 401
    assert [event.reason for event in _declined(told)] == [Reason.SOURCE_DECLINED]
    assert carried(below) == ["Bearer first"]


def test_the_refused_token_again(clock: FakeClock) -> None:
    """A source that repeats the refused token: the 401 as it came, and no second question soon."""
    told: list[Any] = []
    source = Source("only")
    chosen = settings(source, clock=clock, listeners=[told.append])
    session, below = scripted(chosen, *[EXPIRED] * 4)
    assert [session.get(URL).status_code for _ in range(3)] == [401] * 3
    assert [event.reason for event in _declined(told)] == [Reason.UNCHANGED] * 3
    assert source.calls == 2
    clock.advance(1)
    assert session.get(URL).status_code == 401
    assert source.calls == 3
    assert len(below.sent) == 4


@pytest.mark.parametrize("token", ["static", Token("static")], ids=["str", "Token"])
def test_a_static_token_that_is_refused(token: str | Token) -> None:
    """A constant cannot be renewed: one request, the 401 as it came, and the reason."""
    told: list[Any] = []
    session, below = scripted(settings(token, listeners=[told.append]), (401, {}, b"go away"))
    response = session.get(URL)
    assert (response.status_code, response.content, response.history) == (401, b"go away", [])
    assert [event.reason for event in _declined(told)] == [Reason.UNCHANGED]
    assert carried(below) == ["Bearer static"]


def test_a_static_token_is_used_beyond_its_end(clock: FakeClock) -> None:
    """A constant that is over by this clock goes on without an end: there is no other token."""
    tokens = SharedState.of(settings(Token("static", clock.time() + 10), clock=clock)).tokens
    assert tokens is not None
    assert tokens.usable(1.0, alone(clock)) == Token("static", clock.time() + 10)
    clock.advance(10)
    assert tokens.usable(11.0, alone(clock)) == Token("static")


def test_a_static_token_waits_for_the_adopted_header_to_be_refused() -> None:
    """With ``adopt=["authorization"]`` the caller's header goes first, and the constant after."""
    session, below = scripted(settings("static", adopt=["authorization"]), EXPIRED, 200)
    assert session.get(URL, headers={"Authorization": "Bearer legacy"}).status_code == 200
    assert carried(below) == ["Bearer legacy", "Bearer static"]


class Prover:
    """Proves what it is asked to, in the clear."""

    def proof(self, method: str, url: str, token: Token, now: float) -> str:
        """Name all of it."""
        return f"{method} {url} {token.value} {now}"

    def learn(self, url: str, nonce: str) -> None:
        """No nonce comes."""


@pytest.mark.parametrize("has_prover", [True, False])
def test_the_prover_of_a_source_proves_its_tokens(clock: FakeClock, *, has_prover: bool) -> None:
    """A DPoP token goes with a proof of the source's ``prover``; without a prover it goes alone."""
    source = Source(Token("bound", scheme="DPoP"))
    if has_prover:
        vars(source)["prover"] = Prover()
    session, below = scripted(settings(source, clock=clock), 200)
    session.get(URL)
    proof = f"GET {URL} bound {clock.time()}" if has_prover else None
    assert carried(below) == ["DPoP bound"]
    assert below.sent[0].headers.get("DPoP") == proof


def test_a_new_token_that_is_refused_too() -> None:
    """One renewal a call: the second 401 is handed out, with the first in its history."""
    source = Source("first", "second", "third")
    session, below = scripted(settings(source), EXPIRED, EXPIRED)
    response = session.get(URL)
    assert [r.status_code for r in (*response.history, response)] == [401, 401]
    assert carried(below) == ["Bearer first", "Bearer second"]
    assert source.calls == 2


def test_a_failed_renewal_is_remembered(clock: FakeClock) -> None:
    """Until its pause is over a failed renewal is not repeated; the pause doubles.

    The pauses are 1 s and 2 s, of which the jitter leaves at least half.
    """
    source = Source(KeyError(), KeyError(), "good")
    session, below = scripted(settings(source, clock=clock), 200)
    calls = []
    for pause in (0.0, 0.49, 0.51, 0.99):
        clock.advance(pause)
        with pytest.raises(RefreshFailed):
            session.get(URL)
        calls.append(source.calls)
    assert calls == [1, 1, 2, 2]
    clock.advance(1.01)
    assert session.get(URL).status_code == 200
    assert (source.calls, carried(below)) == (3, ["Bearer good"])


def test_each_caller_gets_an_exception_of_its_own() -> None:
    """Callers share the cause, not the exception: its request and traceback are each one's own."""
    session, _ = scripted(settings(Source(KeyError(FOREIGN))))
    caught = []
    for _ in range(2):
        with pytest.raises(RefreshFailed) as one:
            session.get(URL)
        caught.append(one.value)
    assert caught[0] is not caught[1]
    assert caught[0].__cause__ is caught[1].__cause__ is not None


def test_a_source_that_hangs(clock: FakeClock) -> None:
    """The caller is back at its deadline; the renewal goes on, and its token is used later."""
    clock.patience = 0.0
    go_on, workers = threading.Event(), []

    def fetch() -> str:
        workers.append(threading.current_thread())
        go_on.wait(120)
        return "late"

    policy = RetryPolicy(deadline=7.0)
    session, below = scripted(settings(fetch, clock=clock, retry=policy), 200)
    start = clock.monotonic()
    with pytest.raises(RefreshFailed) as caught:
        session.get(URL)
    assert str(caught.value) == (
        "no token within the 7 s that were left: the token source takes longer, or waits for the "
        "very session that waits for it"
    )
    assert clock.monotonic() - start == 7.0
    assert not below.sent
    go_on.set()
    workers[0].join()
    session.get(URL)
    assert carried(below) == ["Bearer late"]
    assert len(workers) == 1


def test_a_session_that_is_closed_during_a_renewal(clock: FakeClock) -> None:
    """The call that waits for the token ends at once, and says why; nothing is sent."""
    clock.patience = 0.0
    is_over = threading.Event()
    session = requests.Session()
    below = ScriptedAdapter(200)
    session.mount("https://", below)
    asked, listeners = (lambda: is_over.wait(120)), [lambda _: session.close()]
    mount(session, settings(asked, clock=clock, listeners=listeners))
    with pytest.raises(AuthRetryError) as caught:
        session.get(URL)
    is_over.set()
    assert str(caught.value) == "the session was closed while the call waited for a token"
    assert not below.sent


class Patient(Source):
    """A source that may ask a person."""

    patience = 600.0


@pytest.mark.parametrize(
    ("kind", "refresh_token", "reasons"),
    [
        (Source, None, (Reason.RENEWAL, Reason.RENEWAL)),
        (Source, "spent", (Reason.RENEWAL, Reason.RENEWAL)),
        (Patient, None, (Reason.SIGN_IN, Reason.SIGN_IN)),
        (Patient, "spent", (Reason.SIGN_IN, Reason.RENEWAL)),
    ],
)
def test_what_a_call_waits_for_that_waits_for_a_token(
    clock: FakeClock, kind: type[Source], refresh_token: str | None, reasons: tuple[Reason, ...]
) -> None:
    """A source with ``patience`` asks a person, unless there is a refresh token."""
    told: list[Any] = []
    source = kind(Token("old", refresh_token=refresh_token), "new")
    session, _ = scripted(settings(source, clock=clock, listeners=[told.append]), EXPIRED, 200)
    session.get(URL)
    assert tuple(each.reason for each in told if isinstance(each, Waiting)) == reasons


def test_a_source_on_the_very_session() -> None:
    """A source that waits for itself is told so, instead of a deadlock; nothing is sent."""

    def fetch() -> str:
        return session.get(f"{ORIGIN}/token").text

    session, below = scripted(settings(fetch, retry=RetryPolicy(deadline=5.0)))
    with pytest.raises(RefreshFailed) as caught:
        session.get(URL)
    assert str(caught.value) == (
        "no token from the token source: it uses the session that waits for its token: give it "
        "one of its own"
    )
    assert not below.sent


def test_a_source_on_the_session_for_another_origin() -> None:
    """The token endpoint of another origin may be asked over the same session, without a token."""

    def fetch() -> str:
        return session.get("https://login.example.com/token").text

    session, below = scripted(settings(fetch), (200, {}, b"issued"), 200)
    assert session.get(URL).status_code == 200
    assert carried(below) == [None, "Bearer issued"]


class Overtaken(ScriptedAdapter):
    """An adapter below on which something happens while its first answer is under way."""

    def __init__(self, meanwhile: Any, *script: Any) -> None:
        super().__init__(*script)
        self._meanwhile = meanwhile

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """As ever, after what happened meanwhile."""
        response = super().send(request, *args, **options)
        if len(self.sent) == 1:
            self._meanwhile()
        return response


def test_a_late_401_replays_without_renewing() -> None:
    """A 401 to a token that somebody renewed meanwhile is answered with the new one."""
    source = Source("first", "second", "third")
    shared = settings(source)
    faster, _ = scripted(shared, EXPIRED, 200)
    slower = requests.Session()
    below = Overtaken(lambda: faster.get(URL), EXPIRED, 200)
    slower.mount("https://", below)
    mount(slower, shared)
    response = slower.get(URL)
    assert [each.reason for each in attempts(response)] == [Reason.REPLAYED, Reason.FINAL]
    assert carried(below) == ["Bearer first", "Bearer second"]
    assert source.calls == 2


def test_renewals_are_told() -> None:
    """Who fetched a token says so, and who found it in the store they share says that."""
    told: list[Any] = []
    store, expires = MemoryStore(), 4_000_000_000.0
    source = Source(Token(SECRET, expires))
    for _ in range(2):
        scripted(settings(source, store=store, listeners=[told.append]), 200)[0].get(URL)
    fetched = TokenRefreshed(key=ORIGIN, adopted=False, expires_at=expires)
    found = TokenRefreshed(key=ORIGIN, adopted=True, expires_at=expires)
    assert [event for event in told if isinstance(event, TokenRefreshed)] == [fetched, found]


def test_step_up_is_told() -> None:
    """A server that wants a stronger authentication gets no renewal; the event says what it wants.

    RFC 9470 section 3.
    """
    told: list[Any] = []
    challenge = (
        'Bearer error="insufficient_user_authentication", acr_values="gold mfa", max_age="300"'
    )
    source = Source("weak", "never")
    chosen = settings(source, listeners=[told.append])
    session, _ = scripted(chosen, (401, {"WWW-Authenticate": challenge}))
    assert session.get(f"{URL}?key={SECRET}").status_code == 401
    event = _declined(told)[0]
    assert (event.reason, event.url, event.method) == (Reason.STEP_UP, URL, "GET")
    assert event.step_up is not None
    assert (event.step_up.acr_values, event.step_up.max_age) == ("gold mfa", 300)
    assert source.calls == 1


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Through fetch, refusal, renewal and failure no log line holds a token or the query."""
    caplog.set_level(logging.DEBUG)
    source = Source(SECRET, f"new-{SECRET}", KeyError(SECRET))
    session, _ = scripted(settings(source), EXPIRED, 503, 200, EXPIRED)
    session.get(URL, params={"key": SECRET})
    with pytest.raises(RefreshFailed):
        session.get(URL)
    assert "TokenRefreshed" in caplog.text
    assert "RetryScheduled" in caplog.text
    assert SECRET not in caplog.text


def test_a_deadline_beyond_what_a_thread_can_wait() -> None:
    """A deadline of thousands of years is no error when it comes to waiting for a token."""
    chosen = settings(lambda: "given", retry=RetryPolicy(deadline=1e11))
    assert scripted(chosen, 200)[0].get(URL).status_code == 200


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal that gets no thread (limits, the end of the program) runs in the caller's."""
    session, below = scripted(settings(lambda: threading.current_thread().name), 200)
    monkeypatch.setattr(threading.Thread, "start", _no_thread)
    session.get(URL)
    assert carried(below) == [f"Bearer {threading.current_thread().name}"]


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def _declined(told: list[Any]) -> list[RefreshDeclined]:
    return [event for event in told if isinstance(event, RefreshDeclined)]
