"""The line of each setting in a TOML file, as parsers of TOML do not say it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """Find the line of each table and key, counted from 1.

    Args:
        text: A document. If it is not TOML, only some lines are found.

    Returns:
        Lines by path: names, and an index behind the name of an array of tables, whose name alone
        leads to the first table. Keys inside a value, such as an inline table, are left out.
    """
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    at = 0
    while at < len(text):
        statement = _STATEMENT.match(text, at)
        if statement is None:
            at = _end_of_line(text, at)
            continue
        line = text.count("\n", 0, at) + 1
        at = _end_of_line(text, statement.end())
        if statement["key"]:
            lines.setdefault(_path(table, statement["key"], counts), line)
            continue
        table = _path((), statement["item"] or statement["table"], counts)
        if statement["item"]:
            # `_path` leads to the newest table of an array that is known; this is the next one.
            array = table[:-1] if isinstance(table[-1], int) else table
            counts[array] = counts.get(array, -1) + 1
            lines.setdefault(array, line)
            table = (*array, counts[array])
        lines.setdefault(table, line)
    return lines


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """Return the line of a setting or of the nearest table around it; None if neither has one."""
    ends = range(len(path), 0, -1)
    return next((lines[path[:end]] for end in ends if path[:end] in lines), None)


def _end_of_line(text: str, at: int) -> int:
    """Find the end of a statement, behind the first line break outside strings and brackets."""
    depth = 0
    for piece in _VALUE.finditer(text, at):
        depth += (piece["opens"] is not None) - (piece["closes"] is not None)
        if piece["ends"] and depth <= 0:
            return piece.end()
    return len(text)


def _path(base: Path, key: str, counts: Mapping[Path, int]) -> Path:
    """Add the parts of a key to a path; it goes into the newest table of each array."""
    path = base
    for part in _PARTS.findall(key):
        path = (*path, part[1:-1] if part[0] in "\"'" else part)
        if path in counts:
            path = (*path, counts[path])
    return path
