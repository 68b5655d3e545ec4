"""The words of the project: names and texts say what the field says."""

from __future__ import annotations

import ast
import re
import tokenize
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import requests_authretry

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP: Final = Path(__file__).parent.parent
FOLDERS: Final = ("requests_authretry", "tests", "tools", "benchmarks")
FILES: Final = [
    path
    for folder in FOLDERS
    for path in sorted((TOP / folder).rglob("*.py"))
    if "node_modules" not in path.parts
]
PAGES: Final = [
    *TOP.glob("*.md"),
    *(TOP / "docs").rglob("*.md"),
    *(TOP / "benchmarks").glob("*.md"),
]

ENDINGS: Final = r"(?:s|es|ed|ing)?"
IN_TEXTS: Final = re.compile(rf"(?<!\w)(?:wish|knock|seam|twin){ENDINGS}(?!\w)", re.IGNORECASE)
# The exchange of one token for another (RFC 8693) is the field's word; a call is no exchange.
IN_NAMES: Final = re.compile(
    rf"(?<![a-z])(?:(?:wish|knock|gate|seam|twin){ENDINGS}|take_turn|(?<!token_)exchanges?)(?![a-z])"
)
CAPITALIZED: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

VAGUE: Final = re.compile(
    "it|they|what|who|nobody|one|those|that|nothing|none|all|so|there|with|as|of|by|in|on|its|"
    "whatever|some|anything|everybody|when|where|how|once|until|after|before|not|nowhere|if|to|for|"
    "through|below|beside"
)

WRITTEN: Final = (*FOLDERS, "docs", ".github", ".ci")
OTHERS: Final = {"node_modules", "__pycache__"}
"""Folders whose files are not ours."""

MARKER: Final = re.compile(rb"^(?:<{7}|\|{7}|>{7})(?= |$)", re.MULTILINE)
"""What git writes into a file that it could not merge."""


@cache
def parsed(path: Path) -> ast.Module:
    """Read a file of code."""
    return ast.parse(path.read_text(encoding="utf-8"))


def names(tree: ast.AST) -> Iterator[str]:
    """Give every identifier below a node: whatever a node holds as text, except constants."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant):
            for _, value in ast.iter_fields(node):
                yield from (
                    each
                    for each in (value if isinstance(value, list) else [value])
                    if isinstance(each, str)
                )


def banned(identifier: str) -> bool:
    """Whether a word inside an identifier is not one of the field."""
    return bool(IN_NAMES.search(CAPITALIZED.sub("_", identifier).lower()))


def texts(path: Path) -> Iterator[str]:
    """Give what a file says to its readers: a page whole, of code the docstrings and comments."""
    written = path.read_text(encoding="utf-8")
    if path.suffix == ".md" or not IN_TEXTS.search(written):  # code is seldom worth a closer look
        yield written
        return
    for node in ast.walk(parsed(path)):
        match node:  # a docstring, of an attribute or a constant too
            case ast.Expr(ast.Constant(str(text))):
                yield text
    yield from (
        token.string
        for token in tokenize.generate_tokens(StringIO(written).readline)
        if token.type == tokenize.COMMENT
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_are_the_words_of_the_field(folder: str) -> None:
    """A server's `Retry-After` is a ``retry_after``, and a call is a ``Call``, in all code."""
    found = {
        f"{path.relative_to(TOP)}: {name}"
        for path in FILES
        if path.is_relative_to(TOP / folder)
        for name in {path.stem, *names(parsed(path))}
        if banned(name)
    }
    assert not found


def test_texts_have_the_words_of_the_field() -> None:
    """Docstrings, comments and pages have no word that a reader has to be told first."""
    found = {
        f"{path.relative_to(TOP)}: {word[0]}"
        for path in (*FILES, *PAGES)
        for text in texts(path)
        for word in IN_TEXTS.finditer(text)
    }
    assert not found


def test_docstrings_of_functions_name_something_first() -> None:
    """At most three in a hundred begin with a word that names neither an action nor a thing."""
    firsts = [
        re.findall(r"[A-Za-z]+", ast.get_docstring(node) or "")[:1]
        for path in Path(requests_authretry.__file__).parent.rglob("*.py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    words = [first[0].lower() for first in firsts if first]
    assert len(words) > 500
    assert sum(bool(VAGUE.fullmatch(word)) for word in words) <= 0.03 * len(words)


def test_no_file_has_markers_of_a_merge() -> None:
    """Lines like `<<<<<<< HEAD` once stood in the list of decisions for days."""
    files = [path for path in TOP.iterdir() if path.is_file()]
    files += [path for folder in WRITTEN for path in (TOP / folder).rglob("*") if path.is_file()]
    ours = [path for path in files if not OTHERS.intersection(path.parts)]
    assert TOP / "docs" / "adr" / "README.md" in ours
    found = [str(path.relative_to(TOP)) for path in ours if MARKER.search(path.read_bytes())]
    assert found == []
