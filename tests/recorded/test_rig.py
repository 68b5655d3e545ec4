"""The recording rig itself, with requests' own adapter in the place of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from betamax.exceptions import BetamaxError

from tests.cassettes_support import ORIGIN, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from requests_authretry.cli.demo_server import DemoServer


def test_a_token_revoked_halfway(
    recorded: Callable[[str], requests.Session], demo_server: DemoServer
) -> None:
    """The same request twice, with a token before and after its revocation, replays in order."""
    session = recorded("rig_revoked_token")
    demo_server.guarded = True
    old = {"Authorization": f"Bearer {demo_server.issue()}"}
    before = session.get(f"{ORIGIN}/bearer", headers=old)
    demo_server.revoke()
    refused = session.get(f"{ORIGIN}/bearer", headers=old)
    new = {"Authorization": f"Bearer {demo_server.issue()}"}
    after = session.get(f"{ORIGIN}/bearer", headers=new)
    assert [before.status_code, refused.status_code, after.status_code] == [200, 401, 200]
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    assert after.json() == {"authenticated": True, "token": "issued-2-" + "x" * 32}


def test_canned_answers(
    recorded: Callable[[str], requests.Session], demo_server: DemoServer
) -> None:
    """What the server says by itself is on the cassette as well, headers included."""
    session = recorded("rig_canned_answers")
    demo_server.answer(429, [("Retry-After", "7")])
    answers = [session.get(f"{ORIGIN}/get") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [429, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert answers[1].json()["url"] == f"{ORIGIN}/get"


def test_secrets_replay(recorded: Callable[[str], requests.Session]) -> None:
    """A password in a URL, a header, a form and a cookie is not recorded, and still replays."""
    session = recorded("rig_secrets")
    password = SECRETS["<PASSWORD>"]
    basic = session.get(f"{ORIGIN}/basic-auth/ada/{password}", auth=("ada", password))
    echoed = session.post(f"{ORIGIN}/anything", data={"p": password}, auth=("ada", password))
    cookie = session.get(f"{ORIGIN}/cookies/set/flavour/{password}")
    assert [basic.status_code, echoed.status_code, cookie.status_code] == [200, 200, 200]
    assert echoed.json()["form"] == {"p": "x" * len(password)}
    assert "xxxx" in echoed.json()["headers"]["Authorization"]
    assert session.cookies.keys() == ["flavour"]


def test_any_body_replays(recorded: Callable[[str], requests.Session]) -> None:
    """Compressed, binary, chunked and redirected answers come back byte for byte."""
    session = recorded("rig_bodies")
    assert session.get(f"{ORIGIN}/gzip").json()["gzipped"]
    assert session.get(f"{ORIGIN}/deflate").json()["deflated"]
    assert session.get(f"{ORIGIN}/image/png").content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(session.get(f"{ORIGIN}/stream/3").content.splitlines()) == 3
    moved = session.get("https://other.test/redirect-to", params={"url": f"{ORIGIN}/get"})
    assert moved.url == f"{ORIGIN}/get"
    assert [hop.status_code for hop in moved.history] == [302]


def test_another_token_does_not_match(
    recorded: Callable[[str], requests.Session],
    demo_server: DemoServer,
    pytestconfig: pytest.Config,
) -> None:
    """On replay, a request that carries another token than the recorded one finds no answer."""
    session = recorded("rig_another_token")
    right, wrong = demo_server.issue(), demo_server.issue()
    if not pytestconfig.getoption("--record"):
        with pytest.raises(BetamaxError):
            session.get(f"{ORIGIN}/get", headers={"Authorization": f"Bearer {wrong}"})
    session.get(f"{ORIGIN}/get", headers={"Authorization": f"Bearer {right}"})
