"""A mounted session with scripted answers, a source that remembers, and a telling server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

from requests_authretry import FetchContext, Settings, mount
from requests_authretry.testing import ScriptedAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from requests_authretry.testing import Line

ORIGIN = "https://api.example.com"
URL = f"{ORIGIN}/get"
EXPIRED = (401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


class Source:
    """A token source that gives its lines in turn, the last one for ever.

    Attributes:
        contexts: What it was told, one for each call.
    """

    def __init__(self, *lines: Any) -> None:
        self._lines = lines
        self.contexts: list[FetchContext] = []

    def fetch(self, context: FetchContext) -> Any:
        """The next line; an exception is raised."""
        line = self._lines[min(len(self.contexts), len(self._lines) - 1)]
        self.contexts.append(context)
        if isinstance(line, BaseException):
            raise line
        return line

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.contexts)


def settings(token: Any, **others: Any) -> Settings:
    """Settings for a token that belongs to `ORIGIN`."""
    return Settings(token=token, origins=[ORIGIN], **others)


def scripted(chosen: Settings, *script: Line) -> tuple[requests.Session, ScriptedAdapter]:
    """A session mounted with these settings, and the adapter below that plays the script."""
    session, below = requests.Session(), ScriptedAdapter(*script)
    session.mount("https://", below)
    mount(session, chosen)
    return session, below


def carried(below: ScriptedAdapter) -> list[str | None]:
    """The Authorization header of each request as it was sent."""
    headers = (request.headers.get("Authorization") for request in below.sent)
    return [None if header is None else str(header) for header in headers]


def port_of_the_client(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application that answers with the port of the connection."""
    body = str(environ["REMOTE_PORT"]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
