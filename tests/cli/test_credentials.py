"""The commands ``login``, ``logout`` and ``token``, and the tokens in ``status``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from requests_authretry.cli import main

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cret-9f2c41d7aa"
ORIGIN = "https://api.example.com"
OTHER = "https://other.example.com"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of settings whose source is a program, with a store beside it."""
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "settings.toml")


def write(path: Path, program: str = f"print('{SECRET}')", more: str = "") -> Path:
    """Write a file of settings."""
    command = json.dumps([sys.executable, "-c", program])
    text = f'origins = ["{ORIGIN}"]\nstore = "file:tokens.json"\ntoken.command = {command}\n'
    path.write_text(text + more, encoding="utf-8")
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit status of a command, and what it wrote."""
    status = main(arguments)
    return (status, *capsys.readouterr())


def test_login_token_and_logout(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A token is kept by the first command, printed by the second and gone after the third."""
    status, out, _ = said(capsys, "login", "--config", str(file))
    assert status == 0
    assert out.startswith(f"{ORIGIN}: Bearer token, ")
    assert SECRET not in out
    assert SECRET in (file.parent / "tokens.json").read_text()
    assert said(capsys, "token", "--config", str(file)) == (0, f"{SECRET}\n", "")
    status, out, err = said(capsys, "logout", "--forget", "--config", str(file))
    assert (status, err) == (0, "")
    assert out.startswith(f"{ORIGIN}: no token; ")
    assert SECRET not in (file.parent / "tokens.json").read_text()


def test_logout_says_when_it_cannot_revoke(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program cannot revoke its token: the exit status is 1, and the token stays."""
    said(capsys, "login", "--config", str(file))
    status, out, err = said(capsys, "logout", "--config", str(file))
    assert (status, out) == (1, "")
    assert "cannot revoke" in err
    assert "with --forget, the token is forgotten here" in err
    assert SECRET in (file.parent / "tokens.json").read_text()


def test_login_without_a_lasting_store(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In memory the token would end with the command: exit status 2, and nobody is asked."""
    program = "import pathlib; pathlib.Path('ran').touch(); print('x')"
    text = write(file, program).read_text()
    for store in ("memory:", None):
        line = "" if store is None else f'store = "{store}"\n'
        file.write_text(text.replace('store = "file:tokens.json"\n', line))
        status, _, err = said(capsys, "login", "--config", str(file))
        assert status == 2
        assert 'store = "file:' in err
    assert not (file.parent / "ran").exists()


@pytest.mark.filterwarnings("ignore:the read of the store")
def test_login_where_the_store_does_not_take_the_token(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is another program's: the exit status is 1, as the token ends with the command."""
    (file.parent / "tokens.json").write_text("precious")
    status, out, err = said(capsys, "login", "--config", str(file))
    assert (status, out) == (1, "")
    assert "the store did not take it" in err
    assert (file.parent / "tokens.json").read_text() == "precious"


@pytest.mark.parametrize("command", ["login", "token"])
def test_a_source_that_fails(file: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """The reason goes to standard error, and the exit status is 1."""
    write(file, "raise SystemExit(3)")
    status, out, err = said(capsys, command, "--config", str(file))
    assert (status, out) == (1, "")
    assert "the program" in err


@pytest.mark.parametrize("command", ["login", "logout", "token"])
def test_one_of_several_sites(file: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Without ``--site`` the error names it and the sites; it takes any URL of one."""
    write(file, more=f'[[site]]\norigins = ["{OTHER}"]\n')
    status, _, err = said(capsys, command, "--config", str(file))
    assert status == 2
    assert f"--site {ORIGIN}, or one of the others: {OTHER}\n" in err
    status, out, _ = said(capsys, "token", "--config", str(file), "--site", f"{OTHER}/x")
    assert (status, out) == (0, f"{SECRET}\n")


def test_settings_without_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    """The environment names none: exit status 2, and the error names the option."""
    status, _, err = said(capsys, "token")
    assert status == 2
    assert "the settings have no token: name a file of settings with --config FILE" in err


def test_status_tells_of_the_settings(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the login there is no token; then it stands in the settings' line and in the store."""
    status, out, err = said(capsys, "status", str(file))
    assert (status, err) == (0, "")
    assert out.startswith(f"{ORIGIN}: no token; from Command(")
    said(capsys, "login", "--config", str(file))
    _, out, _ = said(capsys, "status", "--config", str(file))
    assert out.startswith(f"{ORIGIN}: Bearer token, ")
    assert f"  token {ORIGIN}: Bearer, " in out
    assert SECRET not in out
    said(capsys, "logout", "--forget", "--config", str(file))
    assert f"  forgotten {ORIGIN}: signed out" in said(capsys, "status", str(file))[1]


def test_status_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each credential has its facts, beside what the store holds."""
    said(capsys, "login", "--config", str(file))
    told = json.loads(said(capsys, "status", str(file), "--json")[1])
    [known] = told["credentials"]
    assert (known["has_token"], known["origins"]) == (True, [ORIGIN])
    assert [row["kind"] for row in told["holds"]] == ["token"]
    assert SECRET not in json.dumps(told)


def test_status_of_settings_without_a_store(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is known of the token is an answer, although there is no store to list."""
    file.write_text(file.read_text().replace('store = "file:tokens.json"\n', ""))
    status, out, _ = said(capsys, "status", str(file))
    assert status == 0
    assert "kept in memory" in out


@pytest.mark.filterwarnings("ignore:the read of the store")
def test_status_of_settings_whose_store_cannot_be_read(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is another program's: the error names it, and the exit status is 1."""
    (file.parent / "tokens.json").write_text("precious")
    status, out, err = said(capsys, "status", str(file))
    assert status == 1
    assert "no token; from Command(" in out
    assert "tokens.json holds something else" in err
    assert "precious" not in out + err
