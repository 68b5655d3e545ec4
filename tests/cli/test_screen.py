"""What is written for people: folded, in colour where that is welcome, and harmless."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from requests_authretry.cli._screen import columns, folded, printable, write, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

STORY = [
    "GET https://api.example.com/items: 200 after 2 attempts in 1.01 s",
    "  1. 429 in 0.024 s: throttled (the server asked for 1 s)",
    "     waited 1 s: retry_after, as the server asked",
    "  2. 200 in 0.031 s: final answer",
]


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It does."""
        return True


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 40 columns that knows colours."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_lines_are_folded_under_what_they_say() -> None:
    """What follows stands below the text behind the number, or two columns further in."""
    assert [part for line in STORY for part in folded(line, 40)] == [
        "GET https://api.example.com/items: 200",
        "  after 2 attempts in 1.01 s",
        "  1. 429 in 0.024 s: throttled (the",
        "     server asked for 1 s)",
        "     waited 1 s: retry_after, as the",
        "       server asked",
        "  2. 200 in 0.031 s: final answer",
    ]


@pytest.mark.parametrize("width", [0, 1, 5])
def test_no_width_is_too_small(width: int) -> None:
    """A word that is longer than the line stays whole, so that it can be copied."""
    assert " ".join(folded(STORY[0], width)).split() == STORY[0].split()


def test_an_empty_line_stays() -> None:
    """It divides what stands around it."""
    assert folded("", 40) == [""]


def test_a_pipe_gets_the_lines_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither folded nor coloured, whatever the terminal and the variables of colours say."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    wide = [*STORY, "wide " * 50 + "line"]
    write(wide, out)
    assert out.getvalue().splitlines() == wide
    assert columns(out) == 80


def test_a_terminal_gets_colours(narrow: Terminal) -> None:
    """A status of success is green, an error red, a wait yellow."""
    write(STORY, narrow)
    shown = narrow.getvalue()
    assert "\x1b[32m200\x1b[0m in" in shown
    assert "\x1b[31m429\x1b[0m in" in shown
    assert "\x1b[33m     waited 1 s: retry_after, as the\x1b[0m" in shown


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(
    narrow: Terminal, monkeypatch: pytest.MonkeyPatch, variable: dict[str, str]
) -> None:
    """``NO_COLOR``, and terminals that know none."""
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    write(STORY, narrow)
    assert narrow.getvalue().splitlines() == [part for line in STORY for part in folded(line, 40)]


def test_without_rich_a_terminal_gets_plain_text(
    narrow: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base install has no colours, and folds all the same."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    write(STORY, narrow)
    assert narrow.getvalue().splitlines() == [part for line in STORY for part in folded(line, 40)]


def test_nothing_steers_a_terminal() -> None:
    """Controls of both kinds, and marks that turn text round, become question marks."""
    assert printable("a\x1b[0m\x9b\u202eé\tb") == "a?[0m??é?b"


def test_markup_of_rich_is_text(narrow: Terminal) -> None:
    """``[red]`` and ``:smile:`` in a path stay what they are."""
    write(["[red] :smile:"], narrow)
    assert narrow.getvalue() == "[red] :smile:\n"


def test_each_line_is_written_as_soon_as_it_is_there() -> None:
    """A demonstration is watched while it runs."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, newline="\n")
    seen = []

    def lines() -> Iterator[str]:
        for number in "12":
            yield number
            seen.append(raw.getvalue())

    write(lines(), out)
    assert seen == [b"1\n", b"1\n2\n"]


def test_json_is_plain_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """Any terminal, pipe and locale takes it."""
    write_json({"é": "\x1b"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out) == {"é": "\x1b"}
