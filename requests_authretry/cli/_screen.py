"""Writing for people: folded to the width of a terminal, in colour where rich is installed.

Into a file or a pipe, lines go as they are.
"""

from __future__ import annotations

import json
import re
import sys
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_INDENT = re.compile(r" *(?:\d+\. )?")
"""What the lines of a folded line begin under."""

_STYLES = {
    r"(?<![\w.])[23]\d\d(?= in | after )": "green",
    r"(?<![\w.])[45]\d\d(?= in | after )": "red",
    r"\b[A-Z]\w*(?:Error|Timeout|Failed)\b": "red",
    r"^ +waited .*": "yellow",
    r"https?://[^\s,:\"]+(?::\d+)?[^\s,:\"]*": "cyan",
}
"""The styles of rich for what stands in a story."""


_USUAL_WIDTH = 80


def write(lines: Iterable[str], out: TextIO | None = None) -> None:
    """Write lines one by one, each as soon as it is there.

    Args:
        lines: The lines; a character that could steer a terminal becomes a question mark.
        out: Where they go; None: standard output.
    """
    out = sys.stdout if out is None else out
    is_terminal = out.isatty()
    print_line = _in_colour(out) if is_terminal else _plainly(out)
    for line in lines:
        shown = printable(line)
        for part in folded(shown, columns(out)) if is_terminal else [shown]:
            print_line(part)
        out.flush()


def columns(out: TextIO) -> int:
    """Return the width of a terminal, and 80 for a file or a pipe."""
    return get_terminal_size().columns if out.isatty() else _USUAL_WIDTH


def write_json(value: Any) -> None:
    """Write a value as JSON on standard output."""
    sys.stdout.write(f"{json.dumps(value, indent=2)}\n")


def folded(line: str, width: int) -> list[str]:
    """Fold a line at its blanks; what follows is indented two columns more than its beginning."""
    found = _INDENT.match(line)
    indent = " " * (found.end() if found else 0)
    if not indent or indent == line[: len(indent)]:
        indent += "  "
    parts = wrap(
        line,
        max(width, len(indent) + 1),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return parts or [""]


def printable(text: str) -> str:
    """Return a text, which a server may have sent, with a mark for what could steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _plainly(out: TextIO) -> Callable[[str], object]:
    return lambda line: out.write(f"{line}\n")


def _in_colour(out: TextIO) -> Callable[[str], object]:
    """Return what prints a line with rich; without it, what prints it plainly."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        return _plainly(out)
    console = Console(file=out, soft_wrap=True)  # rich knows NO_COLOR and terminals without colours

    def print_line(line: str) -> None:
        text = Text(line)
        for pattern, style in _STYLES.items():
            text.highlight_regex(pattern, style)
        console.print(text)

    return print_line
