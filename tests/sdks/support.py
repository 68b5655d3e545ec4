"""The programs of ``docs/sdks.md``, and servers that are quickly made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import urllib3
from werkzeug import Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from requests_authretry.cli.demo_server import DemoServer

PAGE: Final = Path(__file__).parents[2] / "docs" / "sdks.md"
_BLOCK: Final = r"^<!-- sdk: (\S+) (\w+) -->\n```python\n(.*?)^```$"
PROGRAMS: Final = {
    (name, way): code
    for name, way, code in re.findall(_BLOCK, PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
}
"""The code for each package and way."""

TOKEN: Final = "sdk-7d1c40"
"""What an SDK is given as its own secret."""


def weather(demo_server: DemoServer) -> list[int]:
    """Let a 503 and a 429 come first; return the statuses of a call that gets through."""
    demo_server.answer(503)
    demo_server.answer(429, [("Retry-After", "1")])
    return [503, 429, 200]


def statuses(demo_server: DemoServer) -> list[int | None]:
    """What was answered so far."""
    return [request.status for request in demo_server.seen]


def sent(demo_server: DemoServer) -> list[str | None]:
    """The Authorization of each request so far."""
    return [request.authorization for request in demo_server.seen]


def fake(answers: Mapping[str, object]) -> WSGIApplication:
    """Return an API that has these answers: JSON, or text which is sent as XML.

    Args:
        answers: By method and path, such as ``GET /v1/things``.
    """

    @Request.application
    def app(request: Request) -> Response:
        answer = answers.get(f"{request.method} {request.path}")
        if isinstance(answer, str):
            return Response(answer.replace("URL", request.host_url), mimetype="text/xml")
        status = 404 if answer is None else 200
        return Response(json.dumps(answer), status, mimetype="application/json")

    return app


def passing_on(target: str) -> WSGIApplication:
    """Return an application that passes each request on to the server at ``target``."""
    pool = urllib3.PoolManager(retries=False)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        answer = pool.request(
            request.method,
            target + environ["REQUEST_URI"],
            headers=dict(request.headers),
            body=request.get_data(),
            decode_content=False,
            redirect=False,
        )
        hop_by_hop = {"connection", "keep-alive", "transfer-encoding", "content-length"}
        headers = [item for item in answer.headers.items() if item[0].lower() not in hop_by_hop]
        if request.method != "HEAD":
            headers.append(("Content-Length", str(len(answer.data))))
        start_response(f"{answer.status} {answer.reason}", headers)
        return [answer.data]

    return app
