"""The command ``probe``: one plain request, and what the library would do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from requests_authretry.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from requests_authretry.cli.demo_server import DemoServer

SECRET = "s3cret-9f2c41d7aa"
LIMITED = [
    ("Retry-After", "7"),
    ("RateLimit", '"burst";r=0;t=30, "day";r=57;t=600'),
    ("RateLimit-Policy", '"burst";q=10;w=30, "day";q=1000;w=86400'),
]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines of a probe that got an answer."""
    assert main(["probe", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def test_a_challenge_is_told(
    demo_server: DemoServer, httpbin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a token the library would hand out the 401; the line says what to add."""
    demo_server.guarded = True
    assert told(capsys, f"{httpbin_url}/get?api_key={SECRET}") == [
        f"GET {httpbin_url}/get: 401",
        '  challenge: Bearer realm="demo"',
        "  limit: the answer names none",
        "  the library would:",
        "    hand out the 401: the settings have no token",
        f'    send a token with Settings(token=..., origins=["{httpbin_url}"])',
    ]


@pytest.mark.parametrize("token", ['{ command = ["no-such-program"] }', '"env:API_TOKEN"'])
def test_no_credential_is_sent_or_fetched(  # noqa: PLR0913, PLR0917 (fixtures)
    demo_server: DemoServer,
    httpbin_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    token: str,
) -> None:
    """The settings have a token: the probe says so, and goes without it."""
    demo_server.guarded = True
    monkeypatch.setenv("API_TOKEN", SECRET)
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login ada password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    path = tmp_path / "settings.toml"
    path.write_text(f'[[site]]\norigins = ["{httpbin_url}"]\ntoken = {token}\n')
    lines = told(capsys, "--config", str(path), f"{httpbin_url}/get")
    assert lines[4].startswith("    send the token: ")
    renews = "    renew the token if it is refused, and send the request once more"
    assert lines[5:] == [renews]
    assert SECRET not in "\n".join(lines)
    (request,) = demo_server.seen
    assert (request.status, request.authorization) == (401, None)


def test_a_token_of_another_origin_is_no_help(
    demo_server: DemoServer,
    httpbin_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The settings send theirs elsewhere."""
    demo_server.guarded = True
    monkeypatch.setenv("REQUESTS_AUTHRETRY_TOKEN", SECRET)
    monkeypatch.setenv("REQUESTS_AUTHRETRY_ORIGINS", "https://api.example.com")
    lines = told(capsys, f"{httpbin_url}/get")
    assert "    hand out the 401: the settings send their token elsewhere" in lines
    monkeypatch.setenv("REQUESTS_AUTHRETRY_ORIGINS", httpbin_url)
    lines = told(capsys, f"{httpbin_url}/get")
    assert lines[4] == "    send the token: given, never renewed"
    assert lines[5].startswith("    hand out the 401 if the token is refused: there is no other")


def test_limits_are_told(
    demo_server: DemoServer, httpbin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left of each, what the server asks for, and for how long other calls would wait."""
    demo_server.answer(429, LIMITED)
    assert told(capsys, f"{httpbin_url}/get") == [
        f"GET {httpbin_url}/get: 429",
        "  limit burst: 0 of 10 requests left, for 30 s",
        "  limit day: 57 of 1000 requests left, for 600 s",
        "  retry_after: 7 s",
        "  the library would:",
        "    send again after 7 s, up to 3 times more: throttled",
        "    hold back other calls of the endpoint, or of the limit it names, for 7 s",
    ]
    assert len(demo_server.seen) == 1


def test_what_the_settings_switch_off_is_not_done(
    demo_server: DemoServer,
    httpbin_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With ``cool_down=False`` no other call waits, and with one attempt none is sent again."""
    monkeypatch.setenv("REQUESTS_AUTHRETRY_LIMITS_COOL_DOWN", "false")
    monkeypatch.setenv("REQUESTS_AUTHRETRY_RETRY_MAX_ATTEMPTS", "1")
    demo_server.answer(429, LIMITED)
    lines = told(capsys, f"{httpbin_url}/get")
    assert lines[5:] == ["    hand out the answer: all attempts are used up"]


def test_a_limit_with_something_left_holds_nothing_back(
    demo_server: DemoServer, httpbin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told, and that is all."""
    demo_server.answer(200, [("X-RateLimit-Remaining", "57"), ("X-RateLimit-Reset", "9")])
    assert told(capsys, f"{httpbin_url}/get")[1:] == [
        "  limit: 57 requests left, for 9 s",
        "  the library would:",
        "    hand out the answer: final answer",
    ]


def test_facts_as_json(
    demo_server: DemoServer, httpbin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same, for programs."""
    demo_server.answer(429, LIMITED)
    facts = json.loads("\n".join(told(capsys, "--json", f"{httpbin_url}/get")))
    assert facts["status"] == 429
    assert facts["retry_after"] == 7.0
    limit = {"name": "burst", "remaining": 0.0, "quota": 10.0, "reset": 30.0, "unit": "requests"}
    assert facts["limits"][0] == limit
    assert facts["would"][0] == "send again after 7 s, up to 3 times more: throttled"


@pytest.mark.parametrize(
    ("status", "headers", "deed"),
    [
        (200, [], "hand out the answer: final answer"),
        (404, [], "hand out the answer: final answer"),
        (503, [("Retry-After", "600")], "hand out the answer: no attempt fits before the deadline"),
        (500, [("x-should-retry", "false")], "hand out the answer: the server said not to retry"),
        (500, [], "send again after 0.025 s, up to 3 times more: server error"),
        (200, [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "9")], "for 9 s"),
    ],
)
def test_the_rules_decide(  # noqa: PLR0913, PLR0917 (fixtures)
    demo_server: DemoServer,
    httpbin_url: str,
    capsys: pytest.CaptureFixture[str],
    status: int,
    headers: list[tuple[str, str]],
    deed: str,
) -> None:
    """What would be done is what the rules of real calls say."""
    demo_server.answer(status, headers)
    assert deed in "\n".join(told(capsys, f"{httpbin_url}/get"))


def test_a_redirect_is_told_and_not_followed(
    demo_server: DemoServer, httpbin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it leads is shown without its query."""
    lines = told(capsys, f"{httpbin_url}/redirect-to?url=/get%3Fcode%3D{SECRET}")
    assert lines[-1] == f"    follow the redirect to {httpbin_url}/get"
    assert len(demo_server.seen) == 1


def test_no_answer_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status is 1, and the error is told with what a call would do next."""
    assert main(["probe", "http://127.0.0.1:9/"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("GET http://127.0.0.1:9/: ConnectionError: ")
    assert lines[-1] == "    send again after 0.45 s, up to 3 times more: unreachable"
