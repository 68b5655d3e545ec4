"""The pages of the project, their blocks and headings, and the servers that their programs name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from requests_authretry.cli.demo_server import DemoServer, httpbin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TOP: Final = Path(__file__).parents[2]
README: Final = TOP / "README.md"
DOCS: Final = sorted((TOP / "docs").glob("*.md"))
PAGES: Final = [
    *sorted(TOP.glob("*.md")),
    *sorted((TOP / "docs").rglob("*.md")),
    *sorted((TOP / "benchmarks").glob("*.md")),
]

OUTPUT: Final = "output"
"""The marker of a block that shows what the program before it prints."""

_BLOCK: Final = re.compile(
    r"^(?:<!-- ([^\n]*) -->\n+)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Attributes:
        marker: The comment before it, "" if there is none.
        language: The word behind the fence, "" if there is none.
        text: What is in it.
        line: The line of the page before its first one, counted from 0.
    """

    marker: str
    language: str
    text: str
    line: int

    @property
    def program(self) -> str:
        """The text, as far down as it is on the page, so that tracebacks name the right line."""
        return "\n" * self.line + self.text


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1] or "", found[2], found[3], text.count("\n", 0, found.start(3)))
        for found in _BLOCK.finditer(text)
    ]


def anchors(page: Path) -> set[str]:
    """Return what a link to a heading of a page has behind the ``#``, as GitHub makes it."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = (_LINK.sub(r"\1", heading).lower() for heading in _HEADING.findall(text))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


class Servers:
    """All servers that the programs of a page name, in one.

    ``/token`` gives a token, ``/bearer`` wants one that is good, ``/digest-auth/`` asks for Digest,
    and any path that httpbin does not know is answered as its ``/anything``.

    Attributes:
        guarded: The server behind ``/bearer``, which issues the tokens.
        open: The server behind all other paths.
        failures: How many requests to ``/token`` get a 503 first.
    """

    def __init__(self) -> None:
        self.guarded, self.open = DemoServer(httpbin()), DemoServer(httpbin())
        self.guarded.guarded = True
        self.failures = 0
        self._lock = Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        path = environ["PATH_INFO"]
        if path == "/token":
            return self._login(start_response)
        if path == "/bearer":
            return self.guarded(environ, start_response)
        if path not in {"/get", "/post"} and not path.startswith("/digest-auth/"):
            environ["PATH_INFO"] = f"/anything{path}"
        return self.open(environ, start_response)

    def _login(self, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            fails = self.failures > 0
            self.failures -= fails
        answer = {} if fails else {"access_token": self.guarded.issue(), "token_type": "Bearer"}
        body = json.dumps(answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("503 Service Unavailable" if fails else "200 OK", headers)
        return [body]
