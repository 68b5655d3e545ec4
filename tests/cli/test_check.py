"""The commands ``check`` and ``schema``."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from requests_authretry.cli import main

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cret-9f2c41d7aa"

GOOD = """
timeout = 5
store = "file:tokens.json"
[[site]]
origins = ["https://a.example.com", "https://b.example.com"]
token = "env:API_TOKEN"
timeout = [3.05, 27]
[[site]]
origins = ["https://c.example.com"]
retry = { max_attempts = 1, statuses = [], methods = [], deadline = 30 }
"""
TOLD = """\
https://a.example.com, https://b.example.com:
  at most 4 attempts within 120 s
  retried statuses: 408, 425, 429, 500, 502, 503, 504, 520 to 524, 529, 530
  retried even if processed: DELETE, GET, HEAD, OPTIONS, PUT, TRACE
  token: Reference('env:API_TOKEN'); store: FileStore('FOLDER/tokens.json')
  timeout: 3.05 s to connect, 27 s to read where the caller gave none
https://c.example.com:
  1 attempt within 30 s
  retried statuses: none
  retried even if processed: no method
  token: none; store: FileStore('FOLDER/tokens.json')
  timeout: 5 s where the caller gave none
all other origins:
  at most 4 attempts within 120 s
  retried statuses: 408, 425, 429, 500, 502, 503, 504, 520 to 524, 529, 530
  retried even if processed: DELETE, GET, HEAD, OPTIONS, PUT, TRACE
  token: none; store: FileStore('FOLDER/tokens.json')
  timeout: 5 s where the caller gave none
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of settings, and the secret it refers to."""
    monkeypatch.setenv("API_TOKEN", SECRET)
    path = tmp_path / "settings.toml"
    path.write_text(GOOD)
    return path


def test_a_good_file_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each site and all else, in lines without secrets; the exit status is 0."""
    assert main(["check", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out == TOLD.replace("FOLDER", str(file.parent))
    assert err == ""


def test_statuses_after_which_any_method_is_retried_are_told(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``retry.not_processed = [529, 503]`` is a line of its own, in order."""
    file.write_text("retry = { statuses = [429], not_processed = [529, 503] }\n")
    assert main(["check", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  retried statuses: 429, 503, 529" in lines
    assert "  retried with any method, as not processed: 503, 529" in lines


def test_declared_limits_are_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each rate and the number of attempts stand in one line."""
    file.write_text("limits.rates = [{limit = 10, per = 1.0}, {limit = 9, per = 60}]\n")
    assert main(["check", str(file)]) == 0
    assert "  declared limits: 10 in 1 s; 9 in 60 s\n" in capsys.readouterr().out
    file.write_text("limits.concurrency = 8\n")
    assert main(["check", str(file)]) == 0
    assert "  declared limits: 8 at a time\n" in capsys.readouterr().out


def test_what_a_dialect_supplies_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A reader sees where the token goes, and who says so; elsewhere the file says it."""
    file.write_text('token = "env:API_TOKEN"\ndialects = ["discord"]\n')
    assert main(["check", str(file)]) == 0
    line = "  token goes to: header Authorization at https://discord.com, as dialect discord says\n"
    assert line in capsys.readouterr().out
    file.write_text(
        'token = "env:API_TOKEN"\ndialects = ["slack"]\norigins = ["https://a.example.com"]\n'
    )
    assert main(["check", str(file)]) == 0
    assert "token goes to" not in capsys.readouterr().out


def test_each_fault_is_a_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Faults go to standard error with their places; the exit status is 1."""
    file.write_text(f'timeout = 0\nretry.x = 1\ntoken = "{SECRET}"\n')
    assert main(["check", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(" ")[0] for line in err.splitlines()] == [
        f"{file}:1:",
        f"{file}:2:",
        f"{file}:3:",
    ]
    assert SECRET not in err


def test_without_a_file_the_environment_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A token in a variable is told to be there, and not shown."""
    monkeypatch.setenv("REQUESTS_AUTHRETRY_TOKEN", SECRET)
    monkeypatch.setenv("REQUESTS_AUTHRETRY_ORIGINS", "https://a.example.com")
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("https://a.example.com (and all other origins, without credentials):\n")
    assert "  token: given, never renewed; store: memory\n" in out
    assert SECRET not in out
    monkeypatch.setenv("REQUESTS_AUTHRETRY_TOKN", SECRET)
    assert main(["check"]) == 1
    assert capsys.readouterr().err == (
        "REQUESTS_AUTHRETRY_TOKN: this variable is unknown; "
        "did you mean REQUESTS_AUTHRETRY_TOKEN?\n"
    )


def test_nothing_set_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any settings there is one policy for everything."""
    assert main(["check"]) == 0
    assert capsys.readouterr().out.startswith("all origins:\n  at most 4 attempts")


def given(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Standard input with this content."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_standard_input_is_checked(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``-`` reads settings from a pipe; relative paths start from the working directory."""
    monkeypatch.chdir(file.parent)
    given(monkeypatch, GOOD.encode())
    assert main(["check", "-"]) == 0
    assert capsys.readouterr().out == TOLD.replace("FOLDER", str(file.parent))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\ntimeot = 3\n", "<stdin>:2: timeot is unknown; did you mean timeout?\n"),
        (b"timeout = \n", "<stdin>:1: is no TOML: Invalid value\n"),
        (b"\xff", "<stdin>: is not UTF-8, as TOML is\n"),
    ],
)
def test_faults_of_standard_input_have_lines(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    fault: str,
) -> None:
    """The input is called ``<stdin>``."""
    given(monkeypatch, content)
    assert main(["check", "-"]) == 1
    assert capsys.readouterr() == ("", fault)


def test_a_closed_standard_input_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``authretry check - <&-`` has nothing to read, and says so."""
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["check", "-"]) == 1
    assert capsys.readouterr() == ("", "<stdin>: is closed\n")


def test_facts_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` prints each policy, the one above the sites last, without secrets."""
    assert main(["check", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    facts = json.loads(out)
    assert facts["faults"] == []
    assert [policy["origins"] for policy in facts["policies"]] == [
        ["https://a.example.com", "https://b.example.com"],
        ["https://c.example.com"],
        [],
    ]
    assert facts["policies"][0] == {
        "origins": ["https://a.example.com", "https://b.example.com"],
        "max_attempts": 4,
        "deadline": 120.0,
        "statuses": [408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530],
        "methods": ["DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"],
        "not_processed": [],
        "declared_limits": [],
        "token": "Reference('env:API_TOKEN')",
        "token_in": "Authorization",
        "dialect": None,
        "store": f"FileStore('{file.parent}/tokens.json')",
        "timeout": [3.05, 27],
        "observe": False,
    }
    assert SECRET not in out


def test_faults_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--json`` faults are facts on standard output; the exit status stays 1."""
    file.write_text("timeout = 0\n")
    assert main(["check", "--json", str(file)]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {"faults": [f"{file}:1: timeout must be above zero, not 0"]}
    assert err == ""


def test_settings_that_observe_say_so(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with ``observe = true`` changes nothing, and the check says it first."""
    file.write_text("observe = true\n")
    assert main(["check", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "  nothing is changed, only told (observe); without that:"


def test_one_file_is_checked(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--config FILE`` is the same as ``FILE``; both at once are refused."""
    assert main(["--config", str(file), "check"]) == 0
    assert capsys.readouterr().out == TOLD.replace("FOLDER", str(file.parent))
    assert main(["--config", str(file), "check", "other.toml"]) == 2
    assert capsys.readouterr().err == "check takes one file: leave out --config or FILE\n"


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The committed schema goes to standard output."""
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["title"] == "Settings of requests_authretry"
    assert {"token", "origins", "retry", "site"} <= set(schema["properties"])
