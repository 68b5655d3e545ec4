"""Where in a TOML file each setting stands, as parsers of TOML do not say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Path = tuple[str | int, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_PARTS = re.compile(_PART)
_STATEMENT = re.compile(
    rf"[ \t]*(?:\[\[[ \t]*(?P<item>{_KEY})|\[[ \t]*(?P<table>{_KEY})|(?P<key>{_KEY})[ \t]*=)"
)
_VALUE = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}'''  # strings first, as they may hold all that follows
    r"""|'{3}.*?'{3,5}"""
    r'''|"(?:\\.|[^"\\\n])*"'''
    r"""|'[^'\n]*'"""
    r"|\#[^\n]*|(?P<opens>[\[{])|(?P<closes>[\]}])|(?P<ends>\n)|.",
    re.DOTALL,
)


def lines_of(text: str) -> Mapping[Path, int]:
    """The line of each table and key, counted from 1.

    Args:
        text: A document that a parser of TOML takes; of any other it says what it can.

    Returns:
        Lines by what leads there: names, and an index behind the name of an array of tables, whose
        name alone leads to the first of them.
        What stands inside a value, such as an inline table, is not among them.
    """
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for start, statement in _statements(text):
        line = text.count("\n", 0, start) + 1
        if statement["key"]:
            lines.setdefault(_path(table, statement["key"], counts), line)
            continue
        table = _path((), statement["item"] or statement["table"], counts)
        if statement["item"]:
            lines.setdefault(table, line)  # of all of them
            table = _next_of(table, counts)
        lines.setdefault(table, line)
    return lines


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """The line of a setting, or of the nearest thing around it that has one."""
    ends = range(len(path), 0, -1)
    return next((lines[path[:end]] for end in ends if path[:end] in lines), None)


def _statements(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Each header and each key, and where it begins; the rest of its line is skipped."""
    at = 0
    while at < len(text):
        statement = _STATEMENT.match(text, at)
        if statement:
            yield at, statement
            at = statement.end()
        at = _end_of_line(text, at)


def _end_of_line(text: str, at: int) -> int:
    """Behind the line break that ends a statement: the first outside of strings and brackets."""
    depth = 0
    for piece in _VALUE.finditer(text, at):
        depth += (piece["opens"] is not None) - (piece["closes"] is not None)
        if piece["ends"] and depth <= 0:
            return piece.end()
    return len(text)


def _path(base: Path, key: str, counts: Mapping[Path, int]) -> Path:
    """A path goes into the newest table of an array."""
    path = base
    for part in _PARTS.findall(key):
        path = (*path, part[1:-1] if part[0] in "\"'" else part)
        if path in counts:
            path = (*path, counts[path])
    return path


def _next_of(path: Path, counts: dict[Path, int]) -> Path:
    """The next table of an array, counted from 0."""
    name = path[:-1] if isinstance(path[-1], int) else path
    counts[name] = counts.get(name, -1) + 1
    return (*name, counts[name])
