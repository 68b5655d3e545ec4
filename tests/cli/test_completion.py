"""The command ``completion``, and what completes a command line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from requests_authretry.cli import main

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "import sys; from requests_authretry.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", 'eval "$(authretry completion bash)"'),
        ("zsh", 'eval "$(authretry completion zsh)"'),
        ("fish", "authretry completion fish | source"),
    ],
)
def test_a_person_is_told_the_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str, line: str
) -> None:
    """On a terminal it prints what to add to which file."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["completion", shell]) == 0
    first, empty, last = capsys.readouterr().out.splitlines()
    assert first.startswith("Add this line to ~/.")
    assert (empty, last) == ("", line)


@pytest.mark.parametrize(("shell", "has"), [("bash", "complete "), ("fish", "complete ")])
def test_a_shell_gets_the_script(capsys: pytest.CaptureFixture[str], shell: str, has: str) -> None:
    """What the line runs prints the script."""
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert has in out
    assert "authretry" in out


def test_a_missing_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what to install, and fails; a shell that asks for completions gets none."""
    for name in ("argcomplete", "argcomplete.shell_integration"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["completion", "bash"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "completion needs argcomplete: pip install 'requests-authretry[cli]'\n"
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert main([]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("authretry pro", ["probe"]),
        ("authretry check --", ["--help", "--config", "--json"]),
        ("authretry completion ", ["bash", "zsh", "fish"]),
        ("authretry run sett", ["settings.toml"]),
    ],
)
def test_bash_completes(tmp_path: Path, line: str, words: list[str]) -> None:
    """Commands, options, choices and files, asked for as the script of bash does."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    tool = tmp_path / "bin" / "authretry"
    tool.parent.mkdir()
    tool.write_text(f"#!{sys.executable}\n{PROGRAM}\n")
    tool.chmod(0o755)
    (tmp_path / "settings.toml").touch()
    script = f"""
        PATH={tool.parent}:$PATH
        eval "$(authretry completion bash)"
        COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9
        read -ra COMP_WORDS <<< "$COMP_LINE"
        [[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _python_argcomplete authretry "${{COMP_WORDS[COMP_CWORD]}}" ""
        printf '%s\\n' "${{COMPREPLY[@]}}"
        """
    ran = subprocess.run(  # noqa: S603 (ours)
        [bash, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert {word.strip() for word in ran.stdout.split()} == set(words)
