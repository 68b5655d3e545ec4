"""What a third look at the renewal found: sessions that need not have been lost, and deadlocks."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
import requests

from requests_authretry import (
    FetchContext,
    MemoryStore,
    Reason,
    RefreshFailed,
    RetryPolicy,
    Token,
    TokenRefreshed,
    mount,
)
from requests_authretry._tokens import store_sync as rotation
from requests_authretry.oauth2 import Client, Password
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.renewals import HOUR, Desk, Flaky, Issuer
from tests.support.scripted import EXPIRED, ORIGIN, URL, scripted, settings


@pytest.mark.parametrize("early", [True, False])
def test_a_new_refresh_token_beside_the_old_access_token(early: bool) -> None:  # noqa: FBT001 (a case)
    """Some servers give the live access token again, and rotate all the same."""
    clock = FakeClock()
    issuer, store = Issuer(clock), Flaky()
    desk = Desk(issuer, clock, store=store)
    first = desk.token()
    issuer.given = Token("access-1", first.expires_at, refresh_token="another")
    if early:
        clock.advance(HOUR - 100)
        desk.token()
        desk.settle()
    else:
        assert desk.renewed(first) is Reason.UNCHANGED
    issuer.given = ()
    clock.advance(HOUR)
    desk.token()
    assert issuer.spent == [None, "refresh-1", "another"]


def test_who_waits_for_a_lock_does_not_break_it() -> None:
    """A renewal that was given up on while it waited for another process holds nothing itself."""
    clock, store = FakeClock(), MemoryStore()
    issuer = Issuer(clock)
    desk = Desk(issuer, clock, store=store)
    with store.lock(ORIGIN, 0), pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotation, "LOCK_SECONDS", 0.3)
        clock.patience = 0.0
        for _ in range(2):  # the second call gives up on what the first began
            with pytest.raises(RefreshFailed):
                desk.token(130.0)
        clock.patience = 10.0
        with pytest.raises(RefreshFailed, match="locked by another"):
            desk.token(1.0)
    assert issuer.calls == 0


class Shipping(logging.Handler):
    """A handler that sends what is logged through the very session."""

    def __init__(self, session: requests.Session) -> None:
        super().__init__(logging.WARNING)
        self._session = session
        self.failed: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Send it."""
        try:
            self._session.post(URL, data=record.getMessage())
        except requests.RequestException as error:
            self.failed.append(type(error).__name__)


def test_a_log_that_is_shipped_over_the_session() -> None:
    """A warning about a renewal that hangs is no deadlock, whoever listens to it."""
    clock, go_on = FakeClock(), threading.Event()
    calls: list[int] = []

    def fetch() -> str:
        calls.append(1)
        if len(calls) == 1:
            go_on.wait(120)
        return "token"

    chosen = settings(fetch, clock=clock, store=Unlocked(), retry=RetryPolicy(deadline=61))
    session, _ = scripted(chosen, *[200] * 5)
    handler = Shipping(session)
    logger = logging.getLogger("requests_authretry")
    logger.addHandler(handler)
    try:
        clock.patience = 0.0
        with pytest.raises(RefreshFailed):
            session.get(URL)
        clock.patience = 10.0
        assert session.get(URL).status_code == 200
    finally:
        go_on.set()
        logger.removeHandler(handler)
    assert handler.failed == ["RefreshFailed"]


class Unlocked(Flaky):
    """A store whose lock nobody has to wait for."""

    def lock(self, key: str, timeout: float) -> Any:
        """Let everybody in."""
        return MemoryStore().lock(key, timeout)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_listener_that_ends_the_thread() -> None:
    """Callers get the token that is there, whatever a listener does to the renewal's thread."""

    def listen(event: object) -> None:
        if isinstance(event, TokenRefreshed):
            raise SystemExit

    workers: list[threading.Thread] = []

    def fetch() -> str:
        workers.append(threading.current_thread())
        return "token"

    session, _ = scripted(settings(fetch, listeners=[listen], retry=RetryPolicy(deadline=5)), 200)
    assert session.get(URL).status_code == 200
    workers[0].join()


def test_the_token_of_another_process_comes_before_another_sign_in() -> None:
    """A refresh token that another has just spent is no reason to send the password again."""
    below = ScriptedAdapter((400, {}, b'{"error": "invalid_grant"}'))
    login = requests.Session()
    login.mount("https://", below)
    client = Client("app", "secret", token_url="https://login.example.com/token", session=login)
    theirs, stale = Token("theirs"), Token("old", refresh_token="spent")
    context = FetchContext(stale, timeout=10, sibling=lambda: theirs)
    assert Password(client, "ada", "pw").fetch(context) is theirs
    assert len(below.sent) == 1


def test_an_old_401_is_answered_by_the_token_of_the_store() -> None:
    """A process whose token is refused takes what another got, and asks nobody."""
    store = MemoryStore()
    clock = FakeClock()
    issuer = Issuer(clock)
    Desk(issuer, clock, store=store).token()
    session = requests.Session()
    session.mount("https://", ScriptedAdapter(200, EXPIRED, 200))
    mount(session, settings(issuer, clock=clock, store=store))
    session.get(URL)
    Desk(issuer, clock, store=store).renewed(issuer.token(1))
    assert session.get(URL).status_code == 200
    assert issuer.calls == 2
