"""The command line in real processes: pipes that are closed, full disks, narrow terminals."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = [sys.executable, "-m", "requests_authretry"]


def piped(command: Sequence[str], reader: str) -> tuple[int, str, str]:
    """Run a command into a program that reads a little: its status, what came out, its errors."""
    with subprocess.Popen(  # noqa: S603 (ours)
        [*OURS, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        read = process.stdout.readline() if reader == "a line" else ""
        process.stdout.close()
        errors = process.stderr.read()
        return process.wait(120), read, errors


@pytest.mark.parametrize("reader", ["a line", pytest.param("nothing", marks=pytest.mark.slow)])
def test_a_closed_pipe_is_no_error(reader: str) -> None:
    """``authretry demo | head -1`` ends quietly, with the status that SIGPIPE would have given."""
    status, read, errors = piped(["demo"], reader)
    assert (status, errors) == (141, "")
    assert bool(read) is (reader == "a line")


@pytest.mark.slow
@pytest.mark.parametrize("command", [["--help"], ["--version"], ["schema"], ["check"], ["where"]])
def test_what_is_written_at_the_end_may_find_a_closed_pipe(command: list[str]) -> None:
    """Python itself has nothing left to complain of when it ends."""
    status, _, errors = piped(command, "nothing")
    assert status in {0, 141}  # it may have written before the pipe was closed
    assert errors == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
def test_a_full_disk_is_one_line() -> None:
    """It fails, and says what the system said."""
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 (a device)
        ran = subprocess.run(  # noqa: S603 (ours)
            [*OURS, "check"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    said = "python -m requests_authretry: No space left on device\n"
    assert (ran.returncode, ran.stderr) == (1, said)


@pytest.mark.skipif(os.name != "posix", reason="there is no shell to close a descriptor")
def test_no_standard_output_is_no_error() -> None:
    """``authretry check >&-`` has nowhere to write, and works."""
    script = f"{OURS[0]} -m requests_authretry check >&-"
    ran = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)  # noqa: S603 (ours)
    assert (ran.returncode, ran.stderr) == (0, "")


def on_terminal(columns: int, command: Sequence[str], **variables: str) -> tuple[int, str]:
    """Run a command on a terminal of its own: its status, and what the terminal was sent."""
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, bytes([24, 0, columns, 0, 0, 0, 0, 0]))
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    environ |= {"TERM": "xterm-256color", **variables}
    with subprocess.Popen(  # noqa: S603 (ours)
        [*OURS, *command], stdin=terminal, stdout=terminal, stderr=terminal, env=environ
    ) as process:
        os.close(terminal)
        sent = b""
        while chunk := _read(master):
            sent += chunk
        os.close(master)
        return process.wait(120), sent.decode().replace("\r\n", "\n")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # how Linux says that the other end is closed
        return b""


@pytest.mark.slow
@pytest.mark.skipif(sys.byteorder != "little", reason="the size of the window is written so")
def test_a_narrow_terminal_gets_narrow_lines() -> None:
    """At 40 columns no line of ``demo`` is wider, and statuses have colours."""
    status, sent = on_terminal(40, ["demo"])
    assert status == 0
    plain = re.sub(r"\x1b\[\d+m", "", sent)
    assert plain != sent
    assert max(map(len, plain.splitlines())) <= 40
    assert plain.endswith("\nEverything worked.\n")


def test_no_color_is_heeded() -> None:
    """With ``NO_COLOR=1`` not one colour is sent; what redraws a line is none."""
    status, sent = on_terminal(80, ["get", "http://127.0.0.1:9/"], NO_COLOR="1")
    assert status == 1
    assert "ConnectionError after 4 attempts" in sent
    assert not re.search(r"\x1b\[[\d;]*m", sent)
