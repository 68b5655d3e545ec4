"""The command ``get``: an answer with its story, and no secret in either."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest
import requests

from requests_authretry import Mounted, Settings, mount
from requests_authretry.cli import _get, main
from requests_authretry.cli._given import WatchedAdapter
from requests_authretry.testing import no_waiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from requests_authretry.cli.demo_server import DemoServer

SECRET = "s3cret-9f2c41d7aa"


@pytest.fixture(autouse=True)
def _time_flies() -> Iterator[None]:
    """Waits pass at once."""
    with no_waiting():
        yield


@pytest.fixture
def token(
    demo_server: DemoServer, httpbin_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """A token that the server takes; a file of settings says where it is."""
    issued = demo_server.issue()
    demo_server.guarded = True
    monkeypatch.setenv("API_TOKEN", issued)
    path = tmp_path / "settings.toml"
    path.write_text(f'[[site]]\norigins = ["{httpbin_url}"]\ntoken = "env:API_TOKEN"\n')
    monkeypatch.setenv("REQUESTS_AUTHRETRY_CONFIG", str(path))
    return issued


def test_the_body_and_the_story_go_apart(
    demo_server: DemoServer, httpbin_url: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The body, byte for byte, is standard output, so that a pipe gets it alone."""
    demo_server.answer(503)
    assert main(["get", f"{httpbin_url}/encoding/utf8"]) == 0
    out, err = capfdbinary.readouterr()
    assert "∮ E⋅da = Q".encode() in out
    told = rb"GET \S+/encoding/utf8: 200 after 2 attempts .*\n  1\. 503 .*: server error\n"
    assert re.match(told, err)


@pytest.mark.parametrize(("path", "status"), [("status/204", 0), ("status/404", 1)])
def test_the_exit_status_tells_success(
    httpbin_url: str, capsys: pytest.CaptureFixture[str], path: str, status: int
) -> None:
    """0 for an answer below 400, else 1."""
    assert main(["get", f"{httpbin_url}/{path}"]) == status
    assert capsys.readouterr().out == ""


def test_a_call_without_an_answer_has_a_story(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status is 1, and standard error says how often it was sent, and why in vain."""
    assert main(["get", "http://127.0.0.1:9/x?api_key=" + SECRET]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("GET http://127.0.0.1:9/x: ConnectionError after 4 attempts")
    assert SECRET not in err


@pytest.mark.parametrize("url", ["nonsense", "http://", f"api.example.com/x?token={SECRET}"])
def test_what_is_no_url_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a mistake of the caller, exit status 2, and not quoted."""
    for command in ("get", "probe"):
        assert main([command, url]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("this is no URL that requests can use")
        assert SECRET not in err


def test_faulty_settings_are_told(monkeypatch: pytest.MonkeyPatch, httpbin_url: str) -> None:
    """Nothing is sent, and the exit status is 2."""
    monkeypatch.setenv("REQUESTS_AUTHRETRY_TIMEOT", "3")
    for command in ("get", "probe"):
        assert main([command, httpbin_url]) == 2
    assert main(["status"]) == 2


@pytest.mark.parametrize("rich", [True, False])
def test_a_wait_is_seen_on_a_terminal(  # noqa: PLR0913, PLR0917 (fixtures)
    demo_server: DemoServer,
    httpbin_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    rich: bool,  # noqa: FBT001 (a row)
) -> None:
    """Without rich it is a line; with it the listener of ``requests_authretry.progress`` draws."""
    if not rich:
        monkeypatch.setitem(sys.modules, "requests_authretry.progress", None)
    path = tmp_path / "settings.toml"
    path.write_text(f'[[site]]\norigins = ["{httpbin_url}"]\n')
    made: list[Settings] = []

    def mounted(session: requests.Session, settings: Settings) -> Mounted:
        made.append(settings)
        return mount(session, settings)

    monkeypatch.setattr(_get, "mount", mounted)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    demo_server.answer(429, [("Retry-After", "7")])
    assert main(["get", f"{httpbin_url}/get", "--config", str(path)]) == 0
    err = capsys.readouterr().err
    is_told = re.search(r"^waits \S+ s: retry_after, as the server asked$", err, re.MULTILINE)
    assert bool(is_told) is not rich
    (settings,) = made
    kinds = {type(each).__name__ for one in (settings, *settings.sites) for each in one.listeners}
    assert kinds == {"Progress" if rich else "function"}


def test_the_token_that_was_sent_is_hidden(
    token: str, httpbin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that sends back what it got shows ``***`` in place of the token."""
    for path, options in (("headers", []), ("headers", ["--json"]), ("bearer", [])):
        assert main(["get", f"{httpbin_url}/{path}", *options]) == 0
        out, err = capsys.readouterr()
        assert "***" in out
        assert token not in out + err


def test_the_token_is_hidden_in_header_fields(
    token: str, demo_server: DemoServer, httpbin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A field of any name may repeat it: ``X-Debug: Bearer ...``."""
    demo_server.answer(200, [("X-Debug", f"got Bearer {token}")])
    assert main(["get", f"{httpbin_url}/get", "--json"]) == 0
    out, _ = capsys.readouterr()
    assert token not in out
    assert json.loads(out)["headers"]["X-Debug"] == "got ***"


def test_each_cookie_that_was_sent_is_hidden(
    httpbin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server may send back the value of one alone."""
    assert main(["get", f"{httpbin_url}/cookies/set?a=first-9f2c&b=second-9f2c"]) == 0
    out, _ = capsys.readouterr()
    assert json.loads(out)["cookies"] == {"a": "***", "b": "***"}


def test_a_key_in_the_query_is_hidden(httpbin_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also percent-encoded; other values stay what they are."""
    assert main(["get", f"{httpbin_url}/get?api_key=s3cr%2Ft-9f2c&page=seventeen"]) == 0
    out, err = capsys.readouterr()
    assert "9f2c" not in out + err
    assert json.loads(out)["args"] == {"api_key": "***", "page": "seventeen"}


def test_each_form_of_a_secret_is_hidden(httpbin_url: str) -> None:
    """A key as it stands in the URL, and decoded; of two secrets that begin alike the longer."""
    watched = WatchedAdapter()
    with requests.Session() as session:
        session.mount("http://", watched)
        url = f"{httpbin_url}/get?token=s3cr%2Ft-1&api_key=s3cr%2Ft-1-longer&a=b"
        session.get(url, headers={"X-Auth-Token": "abc"})
    assert watched.without_secrets(b"s3cr%2Ft-1 s3cr/t-1 b abc") == b"*** *** b abc"
    assert watched.without_secrets(b"s3cr/t-1-longer") == b"***"


def test_facts_as_json(httpbin_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The story, the header fields and the body; cookies and queries are hidden."""
    place = f"{httpbin_url}/response-headers?Set-Cookie=session%3D{SECRET}"
    place += f"&Link=%3Chttps://u:{SECRET}@x.example.com/p%3Fcursor%3D{SECRET}%3E&X-Kind=plain"
    assert main(["get", place, "--json"]) == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert err == ""
    assert (facts["method"], facts["status"], facts["error"]) == ("GET", 200, None)
    assert facts["url"] == f"{httpbin_url}/response-headers"
    assert [step["reason"] for step in facts["steps"]] == ["FINAL"]
    assert facts["headers"]["Set-Cookie"] == "***"
    assert facts["headers"]["Link"] == "<https://***@x.example.com/p?***>"
    assert facts["headers"]["X-Kind"] == "plain"
    assert json.loads(facts["body"])["X-Kind"] == "plain"


def test_a_body_cannot_steer_a_terminal(
    httpbin_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal a control character is a question mark."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert main(["get", f"{httpbin_url}/base64/GxtbMzFtcmVkCmVuZA=="]) == 0
    assert capsys.readouterr().out == "??[31mred\nend\n"
