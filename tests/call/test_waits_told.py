"""What listeners, the log and a person at a prompt are told of a call while it waits."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    AttemptEnded,
    Backoff,
    CallEnded,
    FetchContext,
    GaveUp,
    Jitter,
    Reason,
    RefreshDeclined,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Waiting,
    attempts,
    explain,
)
from requests_authretry.testing import FakeClock
from tests.support.limits import hint
from tests.support.scripted import EXPIRED, Source
from tests.support.sessions import API, AT_ONCE, Rig, raised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUSY = (429, {"Retry-After": "30"})
BRIEF = (429, {"Retry-After": "0.8"})


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines at INFO."""
    return [each.getMessage() for each in caplog.records if each.levelno == logging.INFO]


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log from INFO on."""
    caplog.set_level(logging.INFO, "requests_authretry")
    return caplog


def test_the_events_of_a_call_have_its_number() -> None:
    """A call that waits tells when the wait begins, when each attempt is over, and when it ends."""
    rig = Rig(BUSY, 200, 200)
    rig.get("/a?key=private")
    rig.get("/b")
    [wait] = rig.told(Waiting)
    assert (wait.method, wait.url) == ("GET", f"{API}/a")
    assert (wait.reason, wait.seconds, wait.retry_after) == (Reason.RETRY_AFTER, 30.0, 30.0)
    first, second = rig.told(CallEnded)
    assert (first.call, first.attempts, first.status, first.error) == (wait.call, 2, 200, None)
    assert (first.method, first.url, first.seconds, first.waited) == ("GET", f"{API}/a", 30.0, 30.0)
    assert (second.attempts, second.seconds, second.waited) == (1, 0.0, 0.0)
    assert second.call > first.call
    told = [
        (each.call, each.attempt.status, each.attempt.reason) for each in rig.told(AttemptEnded)
    ]
    assert told == [
        (first.call, 429, Reason.THROTTLED),
        (first.call, 200, Reason.FINAL),
        (second.call, 200, Reason.FINAL),
    ]
    # What is waited after an attempt is not known when it ends.
    assert [each.attempt.delay for each in rig.told(AttemptEnded)] == [0.0, 0.0, 0.0]


def test_a_call_ends_once_however_it_ends() -> None:
    """Redirects, refused tokens and failures are parts of one call, and its end is told once."""
    moved = (302, {"Location": "/there"})
    rig = Rig(moved, EXPIRED, 200, token=Source("old", "new"), origins=[API])
    rig.get()
    [ended] = rig.told(CallEnded)
    assert (ended.url, ended.attempts, ended.status) == (f"{API}/there", 3, 200)
    rig = Rig(EXPIRED, token=Source("old", RefreshFailed("no")), origins=[API])
    assert type(raised(rig.session, API)) is RefreshFailed
    [ended] = rig.told(CallEnded)
    assert (ended.attempts, ended.status, ended.error) == (1, None, "RefreshFailed")
    rig = Rig(token=Source(RefreshFailed("no")), origins=[API])
    assert type(raised(rig.session, API)) is RefreshFailed
    [ended] = rig.told(CallEnded)
    assert (ended.attempts, ended.status, ended.error) == (0, None, "RefreshFailed")
    lost = requests.ReadTimeout("silent")
    policy = RetryPolicy(max_attempts=1)
    rig = Rig(EXPIRED, lost, token=Source("old", "new"), origins=[API], retry=policy)
    assert raised(rig.session, API) is lost
    [ended] = rig.told(CallEnded)
    assert (ended.attempts, ended.status, ended.error) == (2, None, "ReadTimeout")
    for status in (401, 403):
        rig = Rig(status, token=Source("same"), origins=[API])
        rig.get()
        assert [(each.attempts, each.status) for each in rig.told(CallEnded)] == [(1, status)]


def test_a_403_to_the_replay_ends_the_call() -> None:
    """The new token does not suffice: the call ends once, and listeners hear what is missing."""
    missing = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    rig = Rig(EXPIRED, (403, missing), token=Source("old", "new"), origins=[API])
    assert rig.get().status_code == 403
    assert [(each.attempts, each.status) for each in rig.told(CallEnded)] == [(2, 403)]
    assert [each.reason for each in rig.told(RefreshDeclined)] == [Reason.INSUFFICIENT_SCOPE]


@pytest.mark.parametrize("there", [[], ["site"]])
def test_listeners_hear_of_a_call_until_it_ends(there: list[str]) -> None:
    """A redirect may lead to a site with other listeners or none: those of before hear the end."""
    clock, heard = FakeClock(), list[Any]()
    listeners = [heard.append for _ in there]
    site = Settings(origins=["https://site.example.com"], clock=clock, listeners=listeners)
    rig = Rig((302, {"Location": "https://site.example.com/"}), 503, 200, sites=[site], clock=clock)
    rig.get()
    [ended] = rig.told(CallEnded)
    assert (ended.url, ended.attempts) == ("https://site.example.com/", 3)
    assert [each for each in heard if isinstance(each, CallEnded)] == [ended for _ in there]


def test_calls_that_raise_one_exception_end_each() -> None:
    """An inner adapter may raise the same object again: it tells of the call that ended last."""
    lost = requests.exceptions.SSLError("bad certificate")
    rig = Rig(lost, 503, lost)
    assert raised(rig.session, f"{API}/a") is raised(rig.session, f"{API}/b")
    assert [each.attempts for each in rig.told(CallEnded)] == [1, 2]
    assert [attempt.url for attempt in attempts(lost)] == [f"{API}/b"] * 2


def test_a_call_that_sends_nothing_tells_what_it_wanted_to_send() -> None:
    """`CallEnded` names the request that was not sent."""
    rig = Rig(hint(30), retry=RetryPolicy(deadline=20))
    rig.get()
    raised(rig.session, API)
    assert [(each.method, each.url) for each in rig.told(CallEnded)] == [("GET", f"{API}/")] * 2


def test_a_wait_of_a_second_is_a_line_for_people(caplog: pytest.LogCaptureFixture) -> None:
    """The line names the request, the seconds and the reason; machines find these in the record."""
    Rig(BUSY, 200).get("/a?key=private")
    assert lines(caplog) == [f"GET {API}/a waits 30 s: retry_after, as the server asked"]
    fields = vars(caplog.records[0])
    assert fields["authretry_reason"] == "RETRY_AFTER"
    assert (fields["authretry_url"], fields["authretry_seconds"]) == (f"{API}/a", 30.0)
    caplog.clear()
    at_once = RetryPolicy(backoff=AT_ONCE)
    rig = Rig(BRIEF, 200, retry=at_once)
    rig.clock.advance(1000)
    rig.get()
    assert lines(caplog) == []
    Rig((429, {"Retry-After": "0.9"}), 200, retry=at_once).get()
    assert lines(caplog) == [f"GET {API}/ waits 0.9 s: retry_after, as the server asked"]


def test_giving_up_is_a_line_for_people(caplog: pytest.LogCaptureFixture) -> None:
    """It says what came of how many attempts, and why there is no other."""
    exact = Backoff(initial=0.1, jitter=Jitter.NONE)
    rig = Rig(*[503] * 2, retry=RetryPolicy(max_attempts=2, backoff=exact))
    rig.get()
    assert lines(caplog) == [f"GET {API}/ 503 after 2 attempts: all attempts are used up"]
    assert vars(caplog.records[0])["authretry_reason"] == "ATTEMPTS_EXHAUSTED"
    caplog.clear()
    rig = Rig(hint(30), retry=RetryPolicy(deadline=20))
    rig.get()
    assert lines(caplog) == [f"GET {API}/ 429 after 1 attempt: {Reason.WAIT_TOO_LONG.value}"]
    caplog.clear()
    raised(rig.session, API)
    assert lines(caplog) == [f"GET {API}/ was not sent: {Reason.WAIT_TOO_LONG.value}"]
    expected = GaveUp("GET", f"{API}/", 1, Reason.WAIT_TOO_LONG, 30.0, 429, None)
    assert rig.told(GaveUp) == [expected, replace(expected, attempts=0, status=None)]


def test_a_401_that_is_handed_out_is_a_line_for_people(caplog: pytest.LogCaptureFixture) -> None:
    """It says why the token was not renewed."""
    Rig(401, token=Source("same"), origins=[API]).get()
    assert lines(caplog) == [f"GET {API}/ 401 is handed out: {Reason.UNCHANGED.value}"]


def test_a_token_whose_scope_does_not_suffice_is_told_as_the_server_says_it() -> None:
    """The event has the error code of the challenge; a wrong scope asks for no other sign-in."""
    lacking = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="mail"'}
    rig = Rig((401, lacking), token=Source("mine"), origins=[API])
    rig.get()
    [declined] = rig.told(RefreshDeclined)
    assert declined == RefreshDeclined(
        "GET", f"{API}/", Reason.INSUFFICIENT_SCOPE, "insufficient_scope", None
    )


class Slow(FakeClock):
    """A clock that does not wait for a renewal's thread: the source takes as long as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.patience = 0.0


@pytest.fixture
def stuck() -> Iterator[Source]:
    """A token source that gives nothing before the test is over."""
    go_on = threading.Event()

    class Stuck(Source):
        def fetch(self, context: FetchContext) -> Any:
            go_on.wait(60)
            return super().fetch(context)

    yield Stuck("late")
    go_on.set()


def test_a_wait_for_a_renewal_is_told(stuck: Source, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows how long a renewal takes: its line comes when it has taken a second."""
    rig = Rig(200, token=stuck, origins=[API], clock=Slow(), retry=RetryPolicy(deadline=20))
    error = raised(rig.session, API)
    [wait] = rig.told(Waiting)
    assert (wait.reason, wait.seconds) == (Reason.RENEWAL, None)
    assert lines(caplog) == [f"GET {API}/ waits: renewal of the token"]
    [step] = explain(error).steps
    assert (step.reason, step.seconds) == (Reason.RENEWAL, 20.0)  # type: ignore[union-attr]


def test_a_source_that_asks_a_person_is_a_sign_in(stuck: Source) -> None:
    """A source with ``patience`` and without a refresh token waits for somebody to sign in."""
    stuck.patience = 600.0  # type: ignore[attr-defined]
    rig = Rig(200, token=stuck, origins=[API], clock=Slow(), retry=RetryPolicy(deadline=20))
    raised(rig.session, API)
    assert [wait.reason for wait in rig.told(Waiting)] == [Reason.SIGN_IN]


SAID = f"requests_authretry: GET {API}/ waits 30 s: retry_after, as the server asked\n"


@pytest.mark.parametrize("at_a_prompt", [True, False])
def test_a_person_at_a_prompt_sees_a_long_wait(
    at_a_prompt: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A REPL and a notebook have `sys.ps1`. There a long wait is printed, and in a script not."""
    monkeypatch.delattr(sys, "ps1", raising=False)
    if at_a_prompt:
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    Rig(BUSY, 200).get()
    assert capsys.readouterr() == ("", SAID if at_a_prompt else "")
    Rig((429, {"Retry-After": "3"}), 200).get()
    assert capsys.readouterr() == ("", "")


def test_short_waits_that_take_long_together_are_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that has waited for 3 s and now waits for 3 s more says so."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    Rig((429, {"Retry-After": "3"}), (429, {"Retry-After": "3"}), 200).get()
    told = f"requests_authretry: GET {API}/ waits 3 s: retry_after, as the server asked\n"
    assert capsys.readouterr().err == told


def test_the_notice_of_a_long_wait_is_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait of 4.9 s is long; a notebook's stream may keep what is not flushed for later."""
    arrived = BytesIO()
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    monkeypatch.setattr(sys, "stderr", TextIOWrapper(arrived))
    Rig((429, {"Retry-After": "4.9"}), 200).get()
    assert arrived.getvalue() == SAID.replace("30 s", "4.9 s").encode()


class Restless(FakeClock):
    """A clock whose sleeps end after ten seconds, as if somebody had woken the call."""

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Sleep ten seconds at most."""
        super().sleep(min(seconds, 10.0), wake)


def test_a_wait_that_goes_on_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A call that is woken during its 30 s, and waits on, has one event and one line."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    rig = Rig(BUSY, 200, clock=Restless())
    [_, step, _] = explain(rig.get()).steps
    assert (step.reason, step.seconds) == (Reason.RETRY_AFTER, 30.0)  # type: ignore[union-attr]
    assert [wait.seconds for wait in rig.told(Waiting)] == [30.0]
    assert len(lines(caplog)) == 1
    assert capsys.readouterr().err == SAID


@pytest.mark.parametrize(("deadline", "sleeps"), [(5, [1.0, 4.0]), (20, [1.0, 4.0, 15.0])])
def test_a_renewal_that_takes_long_is_seen(
    stuck: Source,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    deadline: float,
    sleeps: list[float],
) -> None:
    """A person at a prompt sees after five seconds that a call waits on for its token."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    clock = Slow()
    rig = Rig(200, token=stuck, origins=[API], clock=clock, retry=RetryPolicy(deadline=deadline))
    raised(rig.session, API)
    told = f"requests_authretry: GET {API}/ waits: renewal of the token\n" * (deadline > 5)
    assert (capsys.readouterr().err, clock.sleeps) == (told, sleeps)


class Gone(StringIO):
    """The standard error of a terminal that is gone."""

    def write(self, _: str) -> int:
        """Fail."""
        raise BrokenPipeError


@pytest.mark.parametrize("stderr", [Gone(), None])
def test_a_terminal_that_is_gone_breaks_no_call(
    stderr: StringIO | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At a prompt whose standard error fails, or is None, a long wait goes on; nothing is shown."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    monkeypatch.setattr(sys, "stderr", stderr)
    rig = Rig(BUSY, 200)
    assert rig.get().status_code == 200
    assert capsys.readouterr().out == ""


class Fails(logging.Handler):
    """A handler that sends records to a service that is down."""

    def emit(self, record: logging.LogRecord) -> None:
        """Fail."""
        raise ConnectionError(record)


class Sends(logging.Handler):
    """A handler that posts records with the session that they are about."""

    rig: Rig
    posted = 0

    def __init__(self) -> None:
        """Post the lines of this thread: renewals of other tests may end meanwhile."""
        super().__init__()
        self.thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Post the record."""
        self.posted += record.thread == self.thread
        if record.thread == self.thread and self.posted < 20:
            self.rig.session.post(API, data=record.getMessage())


@pytest.fixture
def handler(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[logging.Handler], None]]:
    """A function that gives the log a handler, as long as the test lasts."""
    caplog.set_level(logging.DEBUG, "requests_authretry")
    with ExitStack() as handlers:
        log = logging.getLogger("requests_authretry")

        def add(one: logging.Handler) -> None:
            log.addHandler(one)
            handlers.callback(log.removeHandler, one)

        yield add


def test_a_handler_that_raises_breaks_no_call(
    handler: Callable[[logging.Handler], None],
) -> None:
    """A program's handler may fail on a line of ours, and the call goes on."""
    handler(Fails())
    rig = Rig(BUSY, 503, EXPIRED, 200, token=Source("old", "new"), origins=[API])
    assert rig.get().status_code == 200


def test_what_a_handler_sends_is_not_logged(
    handler: Callable[[logging.Handler], None],
) -> None:
    """A handler that posts each line would else have new lines to post for ever."""
    sends = Sends()
    sends.rig = rig = Rig(503, *[200] * 20)
    handler(sends)
    rig.get()
    # In the first call a wait, a retry, two attempts and the end; in each other an attempt, an end.
    assert sends.posted == 5


def test_a_listener_is_not_told_of_the_calls_that_it_makes() -> None:
    """Each of its calls would else be news for it, for ever; other listeners hear of them."""
    told: list[Any] = []

    def reports(event: Any) -> None:
        told.append(event)
        if isinstance(event, CallEnded) and len(told) < 20:
            rig.session.post(f"{API}/metrics")

    heard: list[Any] = []
    rig = Rig(*[200] * 4, listeners=[reports, heard.append])
    rig.get()
    rig.get()
    assert [event.method for event in told if isinstance(event, CallEnded)] == ["GET"] * 2
    methods = [event.method for event in heard if isinstance(event, CallEnded)]
    assert methods == ["POST", "GET"] * 2
