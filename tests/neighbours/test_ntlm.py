"""requests-ntlm, which signs in on the connection of the 401, with that socket's certificate."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import requests
from requests_ntlm import HttpNtlmAuth

from requests_authretry import Settings, Token, install, mount
from requests_authretry.testing import FakeClock
from tests.servers.ntlm import LOGIN_PAGE, PASSWORD, USER, passwords, serve_ntlm
from tests.support.systems import servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.ntlm import NtlmServer

pytestmark = servers

HANDSHAKE = [("anonymous", 401), ("negotiate", 401), ("authenticate", 200)]


@pytest.fixture(params=["http", "https"])
def ntlm(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NtlmServer]:
    """A server that asks for NTLM; over TLS also for the hash of its certificate."""
    users = tmp_path / "users"
    users.write_text(passwords(), encoding="ascii")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    with serve_ntlm(tmp_path, tls=request.param == "https") as server:
        if server.trust is not None:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", server.trust)  # it precedes Session.verify
        yield server


@pytest.fixture(params=["bare", "mounted", "installed", "mounted with a token for others"])
def session(request: pytest.FixtureRequest) -> Iterator[requests.Session]:
    """A session that signs in, as it is and under the library."""
    clock = FakeClock()
    with ExitStack() as stack:
        session = stack.enter_context(requests.Session())
        session.auth = HttpNtlmAuth(USER, PASSWORD)
        if request.param == "mounted":
            stack.enter_context(mount(session, Settings(clock=clock)))
        elif request.param == "installed":
            stack.enter_context(install(Settings(clock=clock)))
        elif request.param != "bare":
            token, origins = Token("secret"), ["https://api.example.com"]
            stack.enter_context(mount(session, Settings(clock=clock, token=token, origins=origins)))
        yield session


def steps(ntlm: NtlmServer) -> list[tuple[str, int]]:
    """What the requests so far were for the handshake, and what they were answered."""
    return [(seen.step, seen.status) for seen in ntlm.seen]


def test_ntlm_signs_in(session: requests.Session, ntlm: NtlmServer) -> None:
    """The 401 reaches requests-ntlm on its live connection, where the handshake then succeeds."""
    response = session.get(f"{ntlm.url}/mail")
    assert (response.status_code, response.text) == (200, "authenticated")
    assert steps(ntlm) == HANDSHAKE
    assert [answer.status_code for answer in response.history] == [401, 401]


def test_ntlm_signs_in_with_a_streamed_answer(session: requests.Session, ntlm: NtlmServer) -> None:
    """With `stream=True` the handshake is the same, and the caller reads the last body."""
    with session.get(f"{ntlm.url}/mail", stream=True) as response:
        assert (response.status_code, response.raw.read()) == (200, b"authenticated")
    assert steps(ntlm) == HANDSHAKE


def test_ntlm_sends_a_body_with_each_step(session: requests.Session, ntlm: NtlmServer) -> None:
    """A POST signs in too, and its body is whole when it is accepted."""
    assert session.post(f"{ntlm.url}/mail", data=b"letter").status_code == 200
    assert steps(ntlm) == HANDSHAKE
    assert ntlm.seen[-1].body == b"letter"


def test_ntlm_connection_stays_signed_in(session: requests.Session, ntlm: NtlmServer) -> None:
    """NTLM signs in a connection: the next call uses it again, without a handshake."""
    assert session.get(f"{ntlm.url}/mail").status_code == 200
    assert session.get(f"{ntlm.url}/mail").status_code == 200
    assert steps(ntlm) == [*HANDSHAKE, ("signed in", 200)]


def test_wrong_password_stays_401(session: requests.Session, ntlm: NtlmServer) -> None:
    """A refused sign-in is handed out after one handshake, with its body."""
    session.auth = HttpNtlmAuth(USER, "wrong")
    response = session.get(f"{ntlm.url}/mail")
    assert (response.status_code, response.content) == (401, LOGIN_PAGE)
    assert steps(ntlm) == [*HANDSHAKE[:2], ("authenticate", 401)]


def test_ntlm_server_wants_its_certificate_named(ntlm: NtlmServer) -> None:
    """Over TLS the server refuses a sign-in that is not bound to its certificate."""
    auth = HttpNtlmAuth(USER, PASSWORD, send_cbt=False)
    status = requests.get(f"{ntlm.url}/mail", auth=auth, timeout=60).status_code
    assert status == (200 if ntlm.trust is None else 401)
