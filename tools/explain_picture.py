"""Draw the picture of `explain` in README: ``python tools/explain_picture.py`` writes it anew.

It makes a real call to the demo server: the server limits the rate for a second, then refuses the
token. rich draws what `explain` says of the call. Needs the extra ``test``. README has the same
text in a block, which is to be replaced by what this program prints.
"""

from __future__ import annotations

import re
import time
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import requests
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.text import Text

from requests_authretry import Settings, explain, mount
from requests_authretry.cli.demo_server import DemoServer, httpbin, serve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from urllib3 import HTTPConnectionPool

    from requests_authretry import Explanation

PICTURE = Path(__file__).parent.parent / "docs" / "explain.svg"

_SVG = "{http://www.w3.org/2000/svg}"

_AWAY = 0.02
"""Seconds that an answer of a server on the network needs."""

_MARGIN = 2
"""Columns beside the longest line."""


class ToThisMachine(HTTPAdapter):
    """Sends every request to one server, whatever host its URL names."""

    def __init__(self, server: str) -> None:
        self.server = server
        super().__init__()

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        """Requests 2.32 and later ask here for a connection pool."""
        return self.poolmanager.connection_from_url(self.server)

    get_connection = get_connection_with_tls_context  # older ones ask here


def make_call() -> Explanation:
    """Make a call that meets a rate limit and then a refused token."""
    demo_server = DemoServer(httpbin())
    demo_server.guarded = True

    def far_away(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        time.sleep(_AWAY)
        return demo_server(environ, start_response)

    def fetch_token() -> str:
        time.sleep(_AWAY)
        return demo_server.issue()

    settings = Settings(token=fetch_token, origins=["https://api.example.com"])
    with serve(far_away) as url, requests.Session() as session:
        session.mount("https://", ToThisMachine(url))
        mount(session, settings)
        session.get("https://api.example.com/get")
        demo_server.revoke()
        demo_server.answer(429, [("Retry-After", "1")])
        return explain(session.get("https://api.example.com/get"))


def draw(explanation: Explanation) -> str:
    """Return what `explain` says as an SVG, which looks like a terminal."""
    lines = str(explanation).splitlines()
    width = max(map(len, lines)) + _MARGIN
    console = Console(record=True, width=width, file=StringIO(), highlight=False)
    for number, line in enumerate(lines):
        text = Text(line, style="bold" if number == 0 else "")
        text.highlight_regex(r"^ +\d\. [45]\d\d", "yellow")
        text.highlight_regex(r"^ +\d\. 2\d\d", "green")
        text.highlight_regex(r"^ +waited .*", "cyan")
        console.print(text)
    svg = console.export_svg(title="print(explain(response))", unique_id="explain")
    # A page loads no fonts from elsewhere for the sake of a picture.
    svg = re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def text_in(svg: str) -> str:
    """Return the lines that a picture shows."""
    rows: dict[str, str] = {}
    for group in ET.fromstring(svg).iter(f"{_SVG}g"):  # noqa: S314 (a file of this project)
        if str(group.get("class")).endswith("-matrix"):
            for text in group.iter(f"{_SVG}text"):
                row = str(text.get("y"))
                rows[row] = rows.get(row, "") + (text.text or "").replace("\xa0", " ")
    return "\n".join(row.rstrip() for row in rows.values()).strip("\n")


if __name__ == "__main__":
    told = make_call()
    PICTURE.write_text(draw(told), encoding="utf-8")
    print(told)
