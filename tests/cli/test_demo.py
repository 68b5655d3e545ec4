"""The command line and its demonstration, with time that passes at once."""

from __future__ import annotations

import re
import runpy
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import requests

import requests_authretry
from requests_authretry import Mounted, RetryPolicy, Settings, mount
from requests_authretry.cli import _demo, main
from requests_authretry.testing import FakeClock, SystemClock, no_waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_authretry.cli.demo_server import DemoServer

ROWS = r"""
  a stale token        401                     200, token renewed
  a rate limit of 1 s  429                     200, waited 1\.00 s
  a failing server     503 503                 200, waited 0\.\d\d s
  all of it at once    429 503 503 401         200, waited 1\.\d\d s, token renewed
"""
EXPLAINED = r"""
  GET http://127\.0\.0\.1:\d+/bearer: 200 after 5 attempts in 1\.\d+ s
(       waited .*: pacing, .*
)*    1\. 429 in \S+ s: throttled \(the server asked for 1 s\)
       waited 1 s: retry_after, as the server asked
    2\. 503 in \S+ s: server error
       waited 0\.\S+ s: backoff
(       waited .*: pacing, .*
)*    3\. 503 in \S+ s: server error
       waited 0\.\S+ s: backoff
(       waited .*
)*    4\. 401 in \S+ s: token renewed
(       waited .*
)*    5\. 200 in \S+ s: final answer
    waited 1\.\S+ s in all.*
"""


@pytest.fixture
def _time_flies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's clock moves on by itself when somebody waits, and draws the same jitter."""
    clock = FakeClock(random=lambda: 0.5)
    monkeypatch.setattr(SystemClock, "random", staticmethod(clock.random), raising=False)
    for name in ("time", "monotonic", "sleep"):
        monkeypatch.setattr(SystemClock, name, getattr(clock, name))


def altered(change: Callable[[Settings], Settings]) -> Callable[..., Mounted]:
    """A `mount` that makes something else of the settings."""
    return lambda session, settings: mount(session, change(settings))


def hasty(settings: Settings) -> Settings:
    """Settings that never retry."""
    return replace(settings, retry=RetryPolicy(max_attempts=1))


def constant(settings: Settings) -> Settings:
    """Settings with one token, for ever."""
    issue: Callable[[], str] = settings.token  # type: ignore[assignment]
    return replace(settings, token=issue())


def wasteful(settings: Settings) -> Settings:
    """Settings whose source takes two tokens to give one."""
    issue: Callable[[], str] = settings.token  # type: ignore[assignment]
    return replace(settings, token=lambda: max(issue(), issue()))


def bare(settings: Settings) -> Settings:
    """Settings that know no token."""
    return replace(settings, token=None)


@pytest.mark.usefixtures("_time_flies")
def test_it_shows_what_one_line_does(capsys: pytest.CaptureFixture[str]) -> None:
    """Each trouble is shown with and without the line, the last call explained, on one screen."""
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert re.search(ROWS, out)
    assert re.search(EXPLAINED, out)
    lines = out.splitlines()
    assert lines[-1] == "Everything worked."
    assert len(lines) <= 32
    assert max(map(len, lines)) <= 80
    assert err == ""


@pytest.mark.usefixtures("_time_flies")
def test_it_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """No token that was in use is printed, not even its beginning."""
    main(["demo"])
    assert "issued-" not in "".join(capsys.readouterr())


@pytest.mark.usefixtures("_time_flies")
def test_the_line_it_shows_is_the_line(
    capsys: pytest.CaptureFixture[str], demo_server: DemoServer, httpbin_url: str
) -> None:
    """The code on the screen, run as it stands there, does the job."""
    main(["demo"])
    shown = re.findall(r"^  (session = .*|mount\(.*)$", capsys.readouterr().out, re.MULTILINE)
    names = {**vars(requests_authretry), "requests": requests}
    names |= {"url": httpbin_url, "fetch_token": demo_server.issue}
    exec("\n".join(shown), names)  # noqa: S102 (code of this project)
    demo_server.guarded = True
    demo_server.answer(429)
    assert names["session"].get(f"{httpbin_url}/bearer").status_code == 200
    assert [seen.status for seen in demo_server.seen] == [429, 200]


@pytest.mark.usefixtures("_time_flies")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (bare, "with a fresh token: the status should be 200, but is 401."),
        (
            constant,
            "a stale token: what the server said should be [401, 200], but is [401].",
        ),
        (wasteful, "a stale token: the number of renewals should be 1, but is 2."),
        (
            hasty,
            "a rate limit of 1 s: what the server said should be [429, 200], but is [429].",
        ),
    ],
)
def test_it_fails_with_the_library(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Settings], Settings],
    fault: str,
) -> None:
    """It fails and says why where the library does not renew, renews twice or does not retry."""
    monkeypatch.setattr(_demo, "mount", altered(change))
    assert main(["demo"]) == 1
    out, err = capsys.readouterr()
    assert err == f"This did not work: {fault}\n"
    assert "Everything worked." not in out


def test_it_fails_where_nobody_waits(capsys: pytest.CaptureFixture[str]) -> None:
    """A wait that is only claimed is found out: the demonstration looks at the clock itself."""
    with no_waiting():
        assert main(["demo"]) == 1
    found = r"This did not work: a rate limit of 1 s: the least wait in seconds should be 1, but is"
    assert re.match(found, capsys.readouterr().err)


def test_it_fails_without_a_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that raises is a fault as well, in one line and without a traceback."""
    monkeypatch.setattr(_demo, "serve", lambda _: nullcontext("http://127.0.0.1:9"))
    with no_waiting():
        assert main(["demo"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("A call failed: ConnectionError(")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("missing", ["httpbin", "werkzeug.serving"])
def test_a_missing_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    """Without the extra the demonstration says what to install, in one line, and fails."""
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["demo"]) == 1
    fix = r'\S+ is not installed: pip install "requests-authretry\[demo\]"\n'
    assert re.fullmatch(fix, capsys.readouterr().err)


def test_no_command_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python -m requests_authretry`` alone shows the commands, as an error."""
    monkeypatch.setattr(sys, "argv", ["requests_authretry"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("requests_authretry", run_name="__main__")
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: python -m requests_authretry [--config FILE] COMMAND ...\n")
    assert re.search(r"^ +demo ", err, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--help"], 0, "watch it at work"),
        (["demo", "--help"], 0, "the exit status is 0"),
        (["--version"], 0, "requests-authretry 0."),
        (["dmeo"], 2, "the command 'dmeo' is unknown; did you mean demo?"),
        (["runn", "x.py"], 2, "the command 'runn' is unknown; did you mean run?"),
        (["xyzzy"], 2, "the command 'xyzzy' is unknown; there are demo, run, get"),
        ([__file__], 2, f"is unknown; did you mean authretry run {__file__}?"),
        (["--config", "f", "demo"], 2, "demo takes no --config"),
        (["--conf", "f", "check"], 2, "--conf is unknown here; did you mean --config?"),
        (["-x", "check"], 2, "-x is unknown here: the options of a command stand behind it"),
        (["--verbose", "run", "x"], 2, "the options of a command stand behind it"),
        (["check", "--js"], 2, "unrecognized arguments: --js; did you mean --json?"),
        (["login", "a.toml"], 2, "unrecognized arguments: a.toml; did you mean --config a.toml?"),
        (["demo", "twice"], 2, "unrecognized arguments: twice; see authretry demo --help"),
        (["get"], 2, "authretry get: error: the following arguments are required: URL"),
    ],
)
def test_help_and_mistakes(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, says: str
) -> None:
    """Help is no error and tells what a command does; what no command takes is named."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == status
    assert says in " ".join("".join(capsys.readouterr()).split())


def test_ctrl_c_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is that of a program that SIGINT ended, and nothing is said."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "run", interrupted)
    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "")
