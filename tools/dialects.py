"""Write what is made of the dialects' data files: ``python tools/dialects.py``.

These are the index of hosts, the names in the schema of settings files, and the table in
``docs/dialects.md``. Run it when a data file has changed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import requests_authretry
from requests_authretry import Dialect, Header
from requests_authretry._core.placement import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from requests_authretry._core.dialect import Place, Rule
    from requests_authretry._core.dialect_format import Endpoint

PACKAGE = Path(requests_authretry.__file__).parent
"""Where the package is, which may be installed."""

FOLDER = PACKAGE / "dialects"
INDEX = FOLDER / "_index.py"
SCHEMA = PACKAGE / "_config" / "settings.schema.json"
PAGE = Path(__file__).parent.parent / "docs" / "dialects.md"

_BEGIN, _END = "<!-- table: tools/dialects.py -->\n", "<!-- end of table -->\n"

_HEAD = '''"""Which dialects concern which hosts; `tools/dialects.py` writes it from the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
'''


def read_all() -> list[Dialect]:
    """Return the dialects of the library, by their titles."""
    paths = (path for path in FOLDER.glob("*.json") if path.stem != "dialect.schema")
    return sorted(map(Dialect.from_file, paths), key=lambda each: each.title.lower())


def index(dialects: Iterable[Dialect]) -> str:
    """Return the module that says which dialects concern which hosts."""
    exact: dict[str, list[str]] = defaultdict(list)
    suffixes: dict[str, list[str]] = defaultdict(list)
    for dialect in sorted(dialects, key=lambda each: each.name):
        for origin in dialect.origins:
            host = origin.removeprefix("https://")
            known = suffixes if host.startswith("*.") else exact
            known[host.removeprefix("*.")].append(dialect.name)
    about = {
        "EXACT": (exact, "The names of dialects, by the hosts of their origins."),
        "SUFFIXES": (suffixes, "The names of dialects, by the names below which their hosts are."),
    }
    parts = [_constant(name, table, words) for name, (table, words) in about.items()]
    return "\n".join([_HEAD, *parts])


def _constant(name: str, table: Mapping[str, list[str]], words: str) -> str:
    lines = [f"    {_quoted(host)}: ({_names(table[host])}),\n" for host in sorted(table)]
    value = f"{{\n{''.join(lines)}}}" if lines else "{}"
    return f'{name}: Final[Mapping[str, tuple[str, ...]]] = {value}\n"""{words}"""\n'


def _names(names: list[str]) -> str:
    return ", ".join(map(_quoted, names)) + ("," if len(names) == 1 else "")


def _quoted(text: str) -> str:
    return f'"{text}"'


def schema(text: str, dialects: Iterable[Dialect]) -> str:
    """Return the schema of settings files with the names of all dialects in it."""
    names = ", ".join(sorted(_quoted(each.name) for each in dialects))
    form = re.compile(r'("dialects": \{.*?"items": \{"enum": \[)[^\]]*', re.DOTALL)
    return form.sub(lambda found: found[1] + names, text, count=1)


def page(text: str, dialects: Iterable[Dialect]) -> str:
    """Return the page with the table of all dialects in it."""
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    return f"{before}{_BEGIN}\n{table(dialects)}\n{_END}{after}"


def table(dialects: Iterable[Dialect]) -> str:
    """Return the table: each API, what is understood, and the sources."""
    lines = ["| API | what is understood | sources |", "|---|---|---|"]
    for each in dialects:
        origins = ", ".join(f"`{origin}`" for origin in each.origins)
        name = f"**{each.title}**<br>`{each.name}`<br>{origins}"
        sources = ", ".join(f"[{key}]({url})" for key, url in each.sources.items())
        lines.append(f"| {name} | {'<br>'.join(_understood(each))} | {sources}, {each.checked} |")
    return "\n".join(lines) + "\n"


def _understood(dialect: Dialect) -> Iterable[str]:
    for rule in dialect.rules:
        yield f"{_verdict(rule)}: {rule.what} ({_statuses(rule)})"
    for name, usual in dialect.headers.items():
        yield f"`{name}` is " + ("not read" if usual is None else f"read as `{usual}`")
    for each in dialect.repeat:
        yield f"may be repeated: {each.what}"
    if dialect.placement is not None:
        place = dialect.placement
        text = place.value if isinstance(place, Header) else TOKEN
        yield f"credential: {type(place).__name__.lower()} `{place.name}`, `{text}`"
    if dialect.token_endpoint is not None:
        yield _tokens(dialect.token_endpoint)


def _verdict(rule: Rule) -> str:
    return "as usual" if rule.meaning is None else rule.meaning.value


def _statuses(rule: Rule) -> str:
    told = ", ".join(map(str, sorted(rule.when.status)))
    waits = ", else ".join(dict.fromkeys(map(_wait, rule.retry_after)))
    return f"{told}; waits: {waits}" if waits else told


def _wait(place: Place) -> str:
    if place.seconds is not None:
        return f"{place.seconds:g} s"
    if place.points is not None:
        return "points"
    return f"`{place.header}`" if place.header else "body"


def _tokens(endpoint: Endpoint) -> str:
    told = [f"`{endpoint.url}`"] if endpoint.url else []
    told += [f"`{usual}` is called `{name}`" for usual, name in endpoint.fields]
    told += ["errors in a 200"] * endpoint.error_in_200
    told += ["a refresh token is spent when it is used"] * endpoint.single_use_refresh_token
    told += [endpoint.what] if endpoint.what else []
    return f"tokens: {'; '.join(told)}"


def main() -> None:
    """Write the three files."""
    dialects = read_all()
    INDEX.write_text(index(dialects), encoding="utf-8")
    SCHEMA.write_text(schema(SCHEMA.read_text("utf-8"), dialects), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8"), dialects), encoding="utf-8")


if __name__ == "__main__":
    main()
