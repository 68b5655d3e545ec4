"""Reading a file: its text, its tables, and the line of each setting in it."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .factories import Maker
from .fields import NOT_SETTABLE, ORIGINS, SETTINGS, SITE, TABLES
from .findings import Found, Place, Taker
from .toml_lines import line_of, lines_of
from .value_types import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fields import Names
    from .findings import Findings

_WHERE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def read_file(source: str, findings: Findings, environ: Mapping[str, str] | None = None) -> None:
    """Read a file into the findings.

    Args:
        source: Its path.
        findings: Where everything goes, faults too.
        environ: Where the variables are that it refers to, None for those of the process.
    """
    content = _content(source, findings)
    if content is not None:
        read_content(content, source, Path(source).expanduser().parent, findings, environ)


def read_content(
    content: bytes,
    source: str,
    folder: Path,
    findings: Findings,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Read the content of a file into the findings.

    Args:
        content: The bytes of the file.
        source: What faults call the file.
        folder: What relative paths in it start from.
        findings: Where everything goes, faults too.
        environ: Where the variables are that it refers to, None for those of the process.
    """
    text = _decoded(content, source, findings)
    document = None if text is None else _parsed(text, source, findings)
    if text is None or document is None:
        return
    lines, maker = lines_of(text), Maker(folder, environ)

    def place_of(*path: str | int) -> Place:
        return Place(source, line_of(lines, path) or 0)

    sites = document.pop(SITE, [])
    _take(document, (), Taker(findings.top, maker, findings, place_of))
    if not isinstance(sites, list) or not all(isinstance(site, dict) for site in sites):
        findings.say(place_of(SITE), f"{SITE} must be tables: write [[{SITE}]]")
        return
    for index, table in enumerate(sites):
        # A site does not inherit origins; a fault about missing ones has the line of its table.
        site: dict[Names, Found] = {ORIGINS: Found((), place_of(SITE, index))}
        findings.sites.append(site)
        place_in_site = partial(place_of, SITE, index)
        _take(table, (), Taker(site, maker, findings, place_in_site, (SITE,)))


def _content(source: str, findings: Findings) -> bytes | None:
    try:
        return Path(source).expanduser().read_bytes()
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    except (ValueError, RuntimeError):
        fault = "is no path here"
    findings.say(Place(source), fault)
    return None


def _decoded(content: bytes, source: str, findings: Findings) -> str | None:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        findings.say(Place(source), "is not UTF-8, as TOML is")
    return None


def _parsed(text: str, source: str, findings: Findings) -> dict[str, Any] | None:
    """Parse a document; return None, and note why, if it is none.

    An error of the parser goes no further: it holds the text.
    """
    try:
        if sys.version_info >= (3, 11):
            import tomllib as parser
        else:
            import tomli as parser
    except ImportError:
        needs = "needs tomli to be read: pip install 'requests-authretry[toml]'"
        findings.say(Place(source), needs)
        return None
    try:
        document: dict[str, Any] = parser.loads(text)
    except parser.TOMLDecodeError as error:
        where = _WHERE.search(str(error))
        line = (where and where[1]) or text.count("\n") + 1
        findings.say(Place(source, int(line)), f"is no TOML: {_WHERE.sub('', str(error))}")
    except (ValueError, RecursionError):
        findings.say(Place(source), "is no TOML")
    else:
        return document
    return None


def _take(table: Mapping[str, Any], path: Names, taker: Taker) -> None:
    """Take all settings in a table, and in the tables within it."""
    for key, value in table.items():
        here = (*path, key)
        setting = SETTINGS.get(here)
        if here in TABLES and isinstance(value, dict):
            _take(value, here, taker)
        elif here in TABLES:
            taker.say(here, " must be a table")
        elif setting is None:
            taker.say(here, f" {_unknown(here)}")
        elif not setting.kind.fits(value):
            taker.refuse(setting, setting.kind.says)
        else:
            taker.take(setting, value)


def _unknown(path: Names) -> str:
    if path[-1] in NOT_SETTABLE:
        return f"cannot be set here, it takes {NOT_SETTABLE[path[-1]]}"
    last = len(path) - 1
    beside = {known[last] for known in (*SETTINGS, (SITE,)) if known[:last] == path[:last]}
    return unknown(path[-1], beside, map(".".join, SETTINGS))
