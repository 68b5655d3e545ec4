"""What `close` ends: calls that wait, and calls that would make another attempt."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    AttemptEnded,
    AuthRetryError,
    FetchContext,
    GaveUp,
    Reason,
    Settings,
    Token,
    Waiting,
    attempts,
    explain,
    mount,
)
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.scripted import Source
from tests.support.sessions import API, Rig, raised, real
from tests.support.wire import PATIENCE, Wire, answer

if TYPE_CHECKING:
    from requests_authretry._events import Event


class Closing(ScriptedAdapter):
    """An inner adapter whose session is closed while it sends for the first time."""

    session: requests.Session

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Close the session, and answer all the same."""
        if not self.sent:
            self.session.close()
        return super().send(request)


def closing(*script: Any, **settings: Any) -> tuple[requests.Session, Closing]:
    """A mounted session that is closed during its first attempt."""
    session, below = requests.Session(), Closing(*script)
    below.session = session
    session.mount("https://", below)
    mount(session, Settings(**settings))
    return session, below


@pytest.mark.parametrize("status", [429, 503])
def test_a_call_in_an_attempt_gets_its_answer_and_makes_no_other(status: int) -> None:
    """A session that is closed meanwhile hands out the failed answer, whole, and sends no more."""
    session, below = closing((status, {"Retry-After": "1"}, b"x" * 100_000), 200)
    response = session.get(API)
    assert (response.status_code, len(response.content), len(below.sent)) == (status, 100_000, 1)
    assert [attempt.reason for attempt in attempts(response)] == [Reason.CLOSED]


def test_a_failure_is_raised_as_it_is() -> None:
    """A lost connection is not tried again after the session was closed."""
    session, below = closing(requests.ReadTimeout("silent"), 200)
    error = raised(session, API)
    assert (type(error), len(below.sent)) == (requests.ReadTimeout, 1)
    assert [attempt.reason for attempt in attempts(error)] == [Reason.CLOSED]


def test_a_refused_token_is_not_renewed_after_that() -> None:
    """The 401 is handed out: its renewal and replay would outlive the session."""
    source = Source("old", "new")
    session, below = closing(401, 200, token=source, origins=[API])
    response = session.get(API)
    assert (response.status_code, source.calls, len(below.sent)) == (401, 1, 1)
    assert [attempt.reason for attempt in attempts(response)] == [Reason.CLOSED]


def test_a_redirect_is_not_followed_after_that() -> None:
    """The hop of a closed session is not sent, and the error says so."""
    session, below = closing((302, {"Location": "/there"}), 200)
    with pytest.raises(AuthRetryError, match="not sent: the session was closed") as caught:
        session.get(API)
    assert len(below.sent) == 1
    assert [attempt.reason for attempt in attempts(caught.value)] == [Reason.REDIRECT]


def test_a_redirect_that_was_handed_out_is_followed_by_hand() -> None:
    """A session that was closed afterwards can be used again, as under bare requests."""
    rig = Rig((302, {"Location": "/there"}), 200)
    response = rig.get(allow_redirects=False)
    rig.session.close()
    assert response.next is not None
    assert rig.session.send(response.next).status_code == 200


@pytest.mark.parametrize("before", [[], [401]], ids=["first token", "refused token"])
def test_a_call_that_waits_for_its_token_ends_at_once(before: list[int]) -> None:
    """`close` ends a wait for a renewal that takes long, by another thread and on a real clock."""
    asked, go_on = threading.Event(), threading.Event()

    class Hangs(Source):
        def fetch(self, context: FetchContext) -> Any:
            if self.calls == len(before):
                asked.set()
                assert go_on.wait(PATIENCE)
            return super().fetch(context)

    session, below = requests.Session(), ScriptedAdapter(*before)
    session.mount("https://", below)
    mount(session, Settings(token=Hangs("old", "new"), origins=[API]))
    raised_there: list[requests.RequestException] = []
    call = threading.Thread(target=lambda: raised_there.append(raised(session, API)))
    call.start()
    assert asked.wait(PATIENCE)
    session.close()
    call.join(PATIENCE)
    go_on.set()
    [error] = raised_there
    assert type(error) is AuthRetryError
    assert "the session was closed" in str(error)
    assert len(below.sent) == len(before)
    assert explain(error).steps[-1].reason is Reason.RENEWAL
    assert [attempt.reason for attempt in attempts(error)] == [Reason.CLOSED] * len(before)


def test_a_call_with_a_token_that_is_still_good_ends_too() -> None:
    """It waits for the renewal before the token's end, and is not sent when its session closes."""
    asked, go_on, clock = threading.Event(), threading.Event(), FakeClock()

    def fetch() -> Token:
        if not below.sent:
            return Token("old", expires_at=clock.time() + 100.0)
        asked.set()
        assert go_on.wait(PATIENCE)
        return Token("new")

    def close(event: Event) -> None:
        if isinstance(event, Waiting) and below.sent:
            session.close()

    session, below = requests.Session(), ScriptedAdapter(200, 200)
    session.mount("https://", below)
    mount(session, Settings(token=fetch, origins=[API], clock=clock, listeners=[close]))
    session.get(API)
    clock.advance(98.0)
    clock.patience = 0.0
    error = raised(session, API)
    go_on.set()
    assert "the session was closed" in str(error)
    assert len(below.sent) == 1


def test_a_listener_that_closes_the_session_ends_the_call() -> None:
    """A 401 is not replayed if its session is closed when listeners hear of it."""

    def close(event: Event) -> None:
        if isinstance(event, AttemptEnded):
            rig.session.close()

    rig = Rig(401, 200, token=Source("old", "new"), origins=[API], listeners=[close])
    error = raised(rig.session, API)
    assert str(error) == "not sent: the session was closed"
    assert (len(rig.inner.sent), attempts(error)[0].status) == (1, 401)


@pytest.mark.parametrize("answer", [503, (429, {"Retry-After": "9"}), requests.ReadTimeout()])
def test_the_record_says_that_the_session_was_closed(answer: Any) -> None:
    """The attempt before a wait that `close` ends was the last; listeners and log are told so."""

    def close(event: Event) -> None:
        rig.events.append(event)
        if isinstance(event, Waiting):
            rig.session.close()

    rig = Rig(answer, listeners=[close])
    error = raised(rig.session, API)
    assert type(error) is AuthRetryError
    assert [attempt.reason for attempt in attempts(error)] == [Reason.CLOSED]
    assert [each.reason for each in rig.told(GaveUp)] == [Reason.CLOSED]


def test_a_call_that_waits_while_its_session_is_mounted_again_ends() -> None:
    """`close` ends calls that began under settings that were replaced since then."""

    def change(event: Event) -> None:
        if isinstance(event, Waiting):
            mount(session)
            session.close()

    session, below = requests.Session(), ScriptedAdapter((429, {"Retry-After": "9"}), 200)
    session.mount("https://", below)
    mount(session, Settings(clock=FakeClock(), listeners=[change]))
    assert type(raised(session, API)) is AuthRetryError
    assert len(below.sent) == 1


def test_what_was_handed_out_stays_readable() -> None:
    """`requests.get(stream=True)` closes its session before the body is read."""
    with Wire(answer(200, b"body")) as wire:
        with real() as session:
            response = session.get(wire.url, stream=True)
        assert response.content == b"body"


def test_a_closed_session_is_open_for_new_calls() -> None:
    """As under bare requests, the next call of a closed session opens a connection again."""
    rig = Rig(503, 200)
    rig.session.close()
    assert rig.get().status_code == 200
