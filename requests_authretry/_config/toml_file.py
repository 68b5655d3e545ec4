"""Reading a file: its text, its tables, and the line of each setting in it."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .factories import Maker
from .fields import NOT_SETTABLE, SETTINGS, SITE, TABLES
from .findings import Place, Site, Taker, full_name
from .toml_lines import line_of, lines_of
from .value_types import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fields import Names
    from .findings import Findings

_PARSER = "tomllib" if sys.version_info >= (3, 11) else "tomli"
_WHERE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def read_file(source: str, findings: Findings, environ: Mapping[str, str] | None = None) -> None:
    """Read a file into the findings.

    Args:
        source: Its path.
        findings: Where everything goes, faults too.
        environ: Where the variables are that it refers to, None for those of the process.
    """
    text = _text(source, findings)
    document = None if text is None else _parsed(text, source, findings)
    if text is None or document is None:
        return
    maker = Maker(Path(source).expanduser().parent, environ)
    _Reader(source, text, findings, maker).read(document)


def _text(source: str, findings: Findings) -> str | None:
    fault = "is no path here"
    try:
        return Path(source).expanduser().read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        fault = "is not UTF-8, as TOML is"
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    except (ValueError, RuntimeError):
        pass
    findings.say(Place(source), fault)
    return None


def _parsed(text: str, source: str, findings: Findings) -> dict[str, Any] | None:
    """The tables of a document; an error of the parser holds the text, and goes no further."""
    place, fault = Place(source), "is no TOML"
    try:
        parser = import_module(_PARSER)
    except ImportError:
        findings.say(place, "needs tomli to be read: pip install 'requests-authretry[toml]'")
        return None
    try:
        document: dict[str, Any] = parser.loads(text)
    except parser.TOMLDecodeError as error:
        where = _WHERE.search(str(error))
        last = text.count("\n") + 1
        place = Place(source, int((where and where[1]) or last))
        fault = f"is no TOML: {_WHERE.sub('', str(error))}"
    except (ValueError, RecursionError):
        pass
    else:
        return document
    findings.say(place, fault)
    return None


class _Reader:
    """Walks through the tables of one file."""

    def __init__(self, source: str, text: str, findings: Findings, maker: Maker) -> None:
        self._source, self._findings, self._maker = source, findings, maker
        self._lines = lines_of(text)

    def read(self, document: dict[str, Any]) -> None:
        """Take everything that is in it."""
        sites = document.pop(SITE, [])
        self._table(document, (), self._taker(self._findings.top), ())
        if not isinstance(sites, list) or not all(isinstance(site, dict) for site in sites):
            self._findings.say(self._place((SITE,)), f"{SITE} must be tables: write [[{SITE}]]")
            return
        for index, table in enumerate(sites):
            site = Site({}, self._place((SITE, index)))
            self._findings.sites.append(site)
            self._table(table, (), self._taker(site.found, SITE), (SITE, index))

    def _taker(self, into: Any, *prefix: str) -> Taker:
        return Taker(into, self._maker, self._findings.say, prefix)

    def _table(
        self, table: Mapping[str, Any], path: Names, taker: Taker, base: tuple[str | int, ...]
    ) -> None:
        for key, value in table.items():
            here = (*path, key)
            place = self._place((*base, *here))
            name = full_name((*taker.prefix, *here))
            if here in TABLES and isinstance(value, dict):
                self._table(value, here, taker, base)
            elif here in TABLES:
                taker.say(place, f"{name} must be a table")
            elif here not in SETTINGS:
                taker.say(place, f"{name} {_unknown(here)}")
            elif not SETTINGS[here].kind.fits(value):
                taker.refuse(SETTINGS[here], place, SETTINGS[here].kind.says)
            else:

                def within(sub: str, here: Names = here) -> Place:
                    return self._place((*base, *here, sub))

                taker.take(SETTINGS[here], value, place, within)

    def _place(self, path: tuple[str | int, ...]) -> Place:
        return Place(self._source, line_of(self._lines, path) or 0)


def _unknown(path: Names) -> str:
    if path[0] in NOT_SETTABLE and len(path) == 1:
        return f"cannot be set here, it takes {NOT_SETTABLE[path[0]]}"
    depth = len(path)
    tables = (known for known in (*SETTINGS, (SITE,)) if known[: depth - 1] == path[:-1])
    beside = {known[depth - 1] for known in tables}
    return unknown(path[-1], beside, map(".".join, SETTINGS))
