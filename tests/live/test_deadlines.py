"""The programs of ``docs/deadlines.md`` and ``docs/observe.md``, on a server with two resources."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import pytest
import requests

import requests_authretry
from requests_authretry import AuthRetryError, deadline, explain
from requests_authretry.cli.demo_server import serve
from requests_authretry.testing import no_waiting
from tests.cassettes_support import Loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "deadlines.md"
PROGRAMS: Final = dict(
    re.findall(
        r"^<!-- deadlines: (\S+) -->\n```python\n(.*?)^```$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)
BUSY, LATER = 503, -503
"""A 503, and one with a ``Retry-After``."""

ROOMY: Final = 100.0
"""So many times as long last the blocks of the page: no verdict depends on how long a test took."""


class Server:
    """Three pages of orders, and a user.

    Attributes:
        first: The statuses of the first answers.
    """

    def __init__(self) -> None:
        self.first: Iterator[int] = iter(())

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        page = int(parse_qs(environ["QUERY_STRING"]).get("page", ["1"])[0])
        next_url = f"https://api.example.com/orders?page={page + 1}" if page < 3 else None
        orders = {"orders": [page * 10, page * 10 + 1], "next": next_url}
        told = orders if environ["PATH_INFO"] == "/orders" else {"name": "Ada"}
        body = json.dumps(told).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        status = next(self.first, 200)
        if status == LATER:
            status = BUSY
            headers.append(("Retry-After", "60"))
        start_response(f"{status} Said", headers)
        return [body]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The host of the pages, on this machine; waits take no time."""
    app = Server()
    with serve(app) as url, no_waiting():
        monkeypatch.setattr(requests.sessions, "HTTPAdapter", lambda: Loopback(url))
        monkeypatch.setattr(requests_authretry, "deadline", lambda sec: deadline(sec * ROOMY))
        yield app


@contextmanager
def program(*names: str) -> Iterator[dict[str, Any]]:
    """Run programs of the page after its first one; give the names that they leave behind."""
    found: dict[str, Any] = {}
    for name in ("export", *names):
        exec(compile(PROGRAMS[name], str(PAGE), "exec"), found)  # noqa: S102 (of this project)
    try:
        yield found
    finally:
        found["session"].close()


def test_the_export_gets_all_pages(server: Server) -> None:
    """Two orders on each of three pages, one of which is retried."""
    server.first = iter([200, BUSY])
    with program() as names:
        assert names["orders"] == [10, 11, 20, 21, 30, 31]


def test_the_visitor_gets_an_answer(server: Server) -> None:
    """The page, or a 503 where the server stays busy."""
    seen: list[str] = []
    with program("served") as names:
        for first, begin in (((), b'{"user"'), (repeat(BUSY), b"Please")):
            server.first = iter(first)
            (body,) = names["application"]({}, lambda status, _: seen.append(status))
            assert body.startswith(begin)
    assert seen == ["200 OK", "503 Service Unavailable"]


@pytest.mark.usefixtures("server")
def test_the_others_get_what_they_ask_for() -> None:
    """The decorated function, both kinds of threads, and the generator."""
    with program("decorated") as names:
        assert names["order"] == 10
    for name in ("asyncio", "threads"):
        with program(name) as names:
            assert [answer.status_code for answer in names["answers"]] == [200, 200]
    with program("generator") as names:
        assert names["count"] == 6
    assert set(PROGRAMS) == {
        *("export", "served", "decorated", "asyncio", "threads", "generator"),
    }


def test_the_page_shows_what_explain_prints(server: Server) -> None:
    """But for the times, which are other ones."""
    page = PAGE.read_text(encoding="utf-8")
    with program() as names:
        server.first = iter([LATER])
        with deadline(50):
            response = names["session"].get("https://api.example.com/orders")
        with deadline(0), pytest.raises(AuthRetryError) as caught:
            names["session"].get("https://api.example.com/orders")
    for line in f"{explain(response)}\n{explain(caught.value)}".splitlines()[:4]:
        without = re.sub(r"[\d.e-]+ s\b", "* s", line)
        assert without in re.sub(r"[\d.e-]+ s\b", "* s", page)


def test_the_lines_of_the_other_page_are_real(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """What the log says of an observed call."""
    page = (DOCS / "observe.md").read_text(encoding="utf-8")
    found = re.findall(r"`(GET .*?)`", page)
    assert len(found) == 1
    server.first = iter([BUSY])
    names: dict[str, Any] = {}
    first = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0]
    caplog.set_level("INFO", "requests_authretry")
    exec(compile(first, "observe.md", "exec"), names)  # noqa: S102 (of this project)
    with names["installed"]:
        requests.get("https://api.example.com/a", timeout=60)
    (record,) = caplog.records
    assert re.sub(r"[\d.e-]+ s\b", "* s", record.getMessage()) == re.sub(
        r"[\d.e-]+ s\b", "* s", found[0]
    )
