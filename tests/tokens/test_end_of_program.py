"""Renewals at the end of a program, where Python 3.12 starts no thread any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import Reason, RefreshFailed, Wait, explain
from requests_authretry.oauth2 import Client, RefreshToken
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.renewals import DOWN, HOUR, Desk, Drawn, Issuer, no_thread
from tests.support.scripted import EXPIRED, URL, Source, carried, scripted, settings

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import atexit, json, sys
import requests
from requests_authretry import FileStore, Settings, mount
from requests_authretry.oauth2 import Client, RefreshToken
from requests_authretry.testing import ScriptedAdapter

ORIGIN = "https://api.example.com"

def answer(token):
    return 200, {}, json.dumps({"access_token": token, "token_type": "Bearer"}).encode()

login, session = requests.Session(), requests.Session()
login.mount("https://", ScriptedAdapter(answer("a-1"), answer("a-2")))
given = iter(["a-1", "a-2"])
refused = 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
below = ScriptedAdapter(200, refused, 200)
session.mount("https://", below)
client = Client("me", token_url="https://login.example.com/token", session=login)
source = {"function": lambda: next(given), "refresh token": RefreshToken(client, "r-0")}
mount(session, Settings(token=source[sys.argv[1]], origins=[ORIGIN], store=FileStore(sys.argv[2])))

@atexit.register
def report():
    words = [session.get(ORIGIN + "/done").status_code for _ in range(2)]
    print(*words, below.sent[-1].headers["Authorization"])
"""


@pytest.mark.parametrize("kind", ["function", "refresh token"])
def test_a_token_is_renewed_while_the_program_ends(kind: str, tmp_path: Path) -> None:
    """A report that a program sends in `atexit` gets its first token there, and another."""
    ended = subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, "-W", "error", "-c", PROGRAM, kind, str(tmp_path / "token.json")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("200 200 Bearer a-2\n", "")


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program ends: its main thread is over, and no other one can be started."""
    over = threading.Thread()
    monkeypatch.setattr(threading, "main_thread", lambda: over)
    monkeypatch.setattr(threading.Thread, "start", no_thread)


@pytest.mark.usefixtures("ending")
def test_the_caller_asks_the_source_where_no_thread_can() -> None:
    """The call that needs a token fetches it in its own thread, once, and sends the request."""
    source = Source("first", "second")
    session, below = scripted(settings(source), 200, EXPIRED, 200)
    assert [session.get(URL).status_code for _ in range(2)] == [200, 200]
    assert (source.calls, carried(below)[-1]) == (2, "Bearer second")


@pytest.mark.usefixtures("ending")
def test_a_grant_asks_its_server_where_no_thread_can() -> None:
    """The token request, which has a thread of its own otherwise, is sent by the caller."""
    login = requests.Session()
    answer: Any = 200, {}, json.dumps({"access_token": "given", "token_type": "Bearer"}).encode()
    login.mount("https://", ScriptedAdapter(answer))
    client = Client("me", token_url="https://login.example.com/token", session=login)
    session, below = scripted(settings(RefreshToken(client, "first")), 200)
    assert session.get(URL).status_code == 200
    assert carried(below) == ["Bearer given"]


@pytest.mark.usefixtures("ending")
def test_what_the_caller_did_itself_is_in_the_record_as_a_wait() -> None:
    """A source that takes 7 s in the caller's thread is 7 s of waiting for a renewal."""
    clock = FakeClock()

    def slow() -> str:
        clock.advance(7.0)
        return "given"

    session, _ = scripted(settings(slow, clock=clock), 200)
    response = session.get(URL)
    [wait] = [step for step in explain(response).steps if isinstance(step, Wait)]
    assert (wait.reason, wait.seconds) == (Reason.RENEWAL, 7.0)


@pytest.mark.usefixtures("ending")
def test_no_token_is_renewed_early_while_the_program_ends() -> None:
    """A token that is still good is used: nobody would wait for its renewal."""
    clock = FakeClock(random=Drawn())
    issuer = Issuer(clock)
    desk = Desk(issuer, clock)
    assert desk.value() == "access-1"
    clock.advance(HOUR - 100)
    assert desk.value() == "access-1"
    assert (issuer.calls, desk.renewal) == (1, None)


@pytest.mark.usefixtures("ending")
def test_a_failure_at_the_end_of_a_program_is_a_failure_as_any() -> None:
    """The caller gets the error of its source, and the next call asks nobody for a while."""
    clock = FakeClock(random=Drawn())
    issuer = Issuer(clock)
    issuer.given = DOWN
    desk = Desk(issuer, clock)
    for _ in range(2):
        with pytest.raises(RefreshFailed, match="endpoint is down"):
            desk.token()
    assert issuer.calls == 1


@pytest.mark.usefixtures("ending")
def test_a_source_that_uses_its_own_session_at_the_end() -> None:
    """A source that waits for itself is told so, also where it runs in the caller's thread."""

    def fetch() -> str:
        session.get(URL)
        return "never"

    session, _ = scripted(settings(fetch), 200)
    with pytest.raises(RefreshFailed):
        session.get(URL)
