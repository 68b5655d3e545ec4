"""The variable ``REQUESTS_AUTHRETRY_LOG`` shows the log of a program that has set up none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from requests_authretry._log import LEVELS

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "REQUESTS_AUTHRETRY_LOG"
PROGRAM = """
import logging, sys
BEFORE
import requests_authretry
AFTER
log = logging.getLogger("requests_authretry")
log.debug("one %s", 1); log.info("two"); log.warning("three"); log.error("four")
"""
SHOWN = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) requests_authretry: (.*)"
)


def said(
    folder: Path,
    level: str | None,
    *,
    before: str = "",
    after: str = "",
    options: tuple[str, ...] = (),
) -> tuple[str, str]:
    """Run a program that logs four records; return its output and what stands on its stderr."""
    program = folder / "program.py"
    program.write_text(PROGRAM.replace("BEFORE", before).replace("AFTER", after))
    variables = {name: value for name, value in os.environ.items() if name != VARIABLE}
    variables |= {} if level is None else {VARIABLE: level}
    ran = subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, *options, str(program)],
        capture_output=True,
        text=True,
        check=True,
        env={**variables, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return ran.stdout, ran.stderr


def shown(stderr: str) -> list[str]:
    """Return the messages of the lines, each of which has a time and a level."""
    found = [SHOWN.fullmatch(line) for line in stderr.splitlines()]
    return [match[2] if match else f"another line in {stderr!r}" for match in found]


@pytest.mark.parametrize(
    ("level", "messages"),
    [
        ("debug", ["one 1", "two", "three", "four"]),
        ("Info", ["two", "three", "four"]),
        (" WARNING ", ["three", "four"]),
        ("error", ["four"]),
        ("", []),
        (None, []),
    ],
)
def test_the_variable_names_a_level(level: str | None, messages: list[str], tmp_path: Path) -> None:
    """``REQUESTS_AUTHRETRY_LOG=info`` shows INFO and above on stderr, each with its time."""
    stdout, stderr = said(tmp_path, level)
    assert stdout == ""
    assert shown(stderr) == messages


@pytest.mark.parametrize("options", [(), ("-W", "error")])
def test_a_misspelled_level_is_warned_of(options: tuple[str, ...], tmp_path: Path) -> None:
    """``REQUESTS_AUTHRETRY_LOG=inof``: a warning names the choices, and the program runs."""
    _, stderr = said(tmp_path, "inof", options=options)
    if options:
        assert stderr == ""
        return
    first, line = stderr.splitlines()
    assert first == (
        f"{tmp_path / 'program.py'}:4: AuthRetryWarning: {VARIABLE} names no level, so no log is "
        f"shown: give one of {', '.join(LEVELS)}"
    )
    assert line == "  import requests_authretry"


BASIC = "logging.basicConfig(level='INFO', stream=sys.stdout, format='%(message)s')"


@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_is_shown_twice(when: str, tmp_path: Path) -> None:
    """A program with `basicConfig`, before the import or after it, shows each record as it does."""
    options = {when: BASIC}
    stdout, stderr = said(tmp_path, "info", **options)  # type: ignore[arg-type]
    assert (stdout.splitlines(), stderr) == (["two", "three", "four"], "")


def test_a_record_that_the_programs_handler_leaves_out_is_shown(tmp_path: Path) -> None:
    """Where the program shows only errors, the variable shows what is asked for besides."""
    stdout, stderr = said(tmp_path, "info", after=BASIC + "; logging.root.handlers[0].setLevel(40)")
    assert (stdout.splitlines(), shown(stderr)) == (["four"], ["two", "three"])


def test_a_log_in_a_file_does_not_hide_the_records(tmp_path: Path) -> None:
    """A record that goes into a file is in the file and on the screen."""
    file = tmp_path / "program.log"
    _, stderr = said(tmp_path, "warning", after=f"logging.basicConfig(filename={str(file)!r})")
    assert shown(stderr) == ["three", "four"]
    assert len(file.read_text().splitlines()) == 2


def test_a_handler_of_the_logger_itself_shows_it_once(tmp_path: Path) -> None:
    """A program that has set up the logger, and lets nothing rise to the root, has its form."""
    after = (
        "own = logging.getLogger('requests_authretry'); own.propagate = False; "
        "own.addHandler(logging.StreamHandler(sys.stdout))"
    )
    stdout, stderr = said(tmp_path, "info", before=BASIC, after=after)
    assert (stdout.splitlines(), stderr) == (["two", "three", "four"], "")


def test_a_handler_that_gets_no_record_hides_none(tmp_path: Path) -> None:
    """Where records do not rise to the root's handlers, the variable shows them."""
    after = "logging.getLogger('requests_authretry').propagate = False"
    stdout, stderr = said(tmp_path, "info", before=BASIC, after=after)
    assert (stdout, shown(stderr)) == ("", ["two", "three", "four"])


def test_a_finer_level_of_the_program_shows_no_more(tmp_path: Path) -> None:
    """``REQUESTS_AUTHRETRY_LOG=error`` shows errors alone, whatever the logger lets through."""
    after = "logging.getLogger('requests_authretry').setLevel('DEBUG')"
    assert shown(said(tmp_path, "error", after=after)[1]) == ["four"]


def test_a_finer_level_of_the_program_stays(tmp_path: Path) -> None:
    """``setLevel("DEBUG")`` is not made coarser for the program's own handlers."""
    before = (
        "logging.getLogger('requests_authretry').setLevel('DEBUG'); "
        "logging.basicConfig(level='DEBUG', stream=sys.stdout, format='%(message)s')"
    )
    stdout, stderr = said(tmp_path, "error", before=before)
    assert (stdout.splitlines(), stderr) == (["one 1", "two", "three", "four"], "")


def test_a_program_without_standard_error_runs(tmp_path: Path) -> None:
    """Under ``pythonw`` there is no standard error, and nothing is written."""
    assert said(tmp_path, "debug", after="sys.stderr = None") == ("", "")
