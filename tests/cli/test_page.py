"""``docs/command-line.md``: it names every command and option, and shows what is really printed."""

from __future__ import annotations

import atexit
import re
import shlex
import sys
import weakref
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests

from requests_authretry import FileStore, Settings, Token, mount
from requests_authretry._core.token import TokenRecord
from requests_authretry.cli import _parser, divided, main
from requests_authretry.cli._commands import COMMANDS
from requests_authretry.cli._status import Row, described, rows_of
from requests_authretry.cli._story import told
from requests_authretry.cli.demo_server import DemoServer, httpbin, serve
from requests_authretry.testing import FakeClock, no_waiting
from tests.cassettes_support import Loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE: Final = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
OUTPUTS: Final = dict(
    re.findall(r"^<!-- output of: (.*?) -->\n```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)
LINES: Final = [
    line
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
ITEMS: Final = "https://api.example.com/items"


def section(name: str) -> str:
    """What the page says of a command."""
    _, _, rest = PAGE.partition(f"\n## `{name}`\n")
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_on_the_page(name: str) -> None:
    """It has a row in the table, and a section that names its options."""
    assert f"| [`{name}`](#{name}) |" in PAGE
    options = [words[0] for words, _ in COMMANDS[name].arguments if words[0].startswith("--")]
    missing = [option for option in options if option not in section(name)]
    assert missing == []


@pytest.mark.parametrize("line", LINES)
def test_each_line_for_the_shell_is_understood(line: str) -> None:
    """The arguments of each line are those of its command."""
    command = re.sub(r".*\$\(|\).*| [<>] \S+", "", line) if "$(" in line else line
    words = shlex.split(re.sub(r" [<>] \S+", "", command))
    assert words[0] == "authretry"
    given, program = divided(words[1:])
    options = _parser("authretry").parse_args(given)
    assert options.command in COMMANDS
    assert bool(program) is (options.command == "run")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoServer]:
    """The server that the page names: every path of it works, and waits pass at once."""
    demo_server = DemoServer(httpbin())

    def app(environ: Any, start_response: Any) -> Any:
        environ["PATH_INFO"] = "/anything"
        return demo_server(environ, start_response)

    with serve(app) as url, no_waiting():
        monkeypatch.setattr(requests.sessions, "HTTPAdapter", lambda: Loopback(url))
        yield demo_server


def alike(text: str) -> str:
    """A text with all times alike, and without the waits that only some machines see."""
    text = re.sub(r"^ +waited .*: pacing.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"(; |^  )in this library.*\n", "\n", text, flags=re.MULTILINE)
    return re.sub(r"\b[\d.]+(e-\d+)? s\b", "N s", text).replace("\n\n", "\n")


@pytest.mark.parametrize("option", ["--verbose", "--observe"])
def test_a_program_tells_what_the_page_shows(
    option: str,
    server: DemoServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two calls, of which the first is refused."""
    # Its first object registers an end of its own, which would end all finalizers of this process.
    weakref.finalize(server, bool)
    endings: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", endings.append)
    server.answer(429, [("Retry-After", "60")])
    with requests.Session() as session:
        mount(session, told(Settings(observe=option == "--observe")))
        for _ in range(2):
            session.get(ITEMS)
    for end in endings:
        end()
    shown = OUTPUTS[f"authretry run {option} script.py"]
    assert alike(capsys.readouterr().err) == alike(shown)


def test_a_probe_tells_what_the_page_shows(
    server: DemoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit is exhausted."""
    fields = {"Retry-After": "7", "RateLimit": '"burst";r=0;t=30'}
    server.answer(429, [*fields.items(), ("RateLimit-Policy", '"burst";q=10;w=30')])
    assert main(["probe", ITEMS]) == 0
    assert capsys.readouterr().out == OUTPUTS[f"authretry probe {ITEMS}"]


def test_a_store_is_told_as_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token, a cool-down, and a lock that another process holds."""
    monkeypatch.chdir(tmp_path)
    store, origin = FileStore("tokens.json", FakeClock(1_700_000_000.0)), "https://api.example.com"
    token = Token("s3cret", 1_700_000_090.0, refresh_token="refresh")
    store.write(origin, TokenRecord(token, generation=3).dump())
    store.push(f"cool-down endpoint {origin} 9af3 GET /items", 30)
    rows = rows_of(store, 1_700_000_000.0)
    rows.insert(1, Row("lock", origin, {"process": 4711, "program": "python"}))
    told = "\n".join([*described(FileStore(store.path), rows), ""])
    assert told.replace(str(tmp_path), "/home/ada") == OUTPUTS["authretry status tokens.json"]


def test_a_check_tells_what_the_page_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A timeout alone."""
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"timeout = 10\n")))
    assert main(["check", "-"]) == 0
    assert capsys.readouterr().out == OUTPUTS["authretry check -"]
