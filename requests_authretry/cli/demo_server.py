"""The demo server: it stands in front of httpbin, and answers what httpbin alone cannot.

httpbin takes any bearer token and never asks a client to slow down. This server issues tokens
that can be revoked, and gives canned answers to the next requests; other answers are httpbin's.
The demonstration and the tests share it. Nothing here waits or reads a clock.
"""

from __future__ import annotations

import io
import logging
import secrets
import socket
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import responses
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from email.message import Message

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from werkzeug.serving import WSGIRequestHandler

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived.

    Attributes:
        method: The request method.
        path: The decoded path, with the query if there was one.
        authorization: The Authorization header as sent, or None.
        cookie: The Cookie header as sent, or None.
        body_length: The bytes of the body, framing taken off.
        status: The status of the answer, or None while there is none.
    """

    method: str
    path: str
    authorization: str | None = field(repr=False)
    cookie: str | None = field(repr=False)
    body_length: int
    status: int | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """An application that always gives the same answer."""

    status: int
    headers: Headers
    body: bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        bodiless = environ["REQUEST_METHOD"] == "HEAD" or self.status in {204, 304}
        body = b"" if bodiless else self.body
        sized = [*self.headers] if bodiless else [*self.headers, ("Content-Length", str(len(body)))]
        start_response(f"{self.status} {responses.get(self.status, 'Unknown')}", sized)
        return [body]


class DemoServer:
    """Tokens that can be revoked and canned answers, before any WSGI application.

    Safe to use from any thread while it serves.

    Attributes:
        guarded: While true, a request without a valid bearer token gets a 401 (RFC 6750 section 3).
    """

    def __init__(self, app: WSGIApplication) -> None:
        self.guarded = False
        self._app = app
        self._lock = Lock()
        self._valid: set[str] = set()
        self._issued = 0
        self._answers: deque[_Answer] = deque()
        self._seen: list[Seen] = []

    @property
    def issued(self) -> int:
        """The number of tokens that were issued so far."""
        return self._issued

    @property
    def seen(self) -> tuple[Seen, ...]:
        """The requests that arrived so far, in order of arrival."""
        with self._lock:
            return tuple(self._seen)

    def issue(self) -> str:
        """Return a new valid token, ``issued-1-`` and 32 hexadecimal digits the first time."""
        with self._lock:
            self._issued += 1
            token = f"issued-{self._issued}-{secrets.token_hex(16)}"
            self._valid.add(token)
            return token

    def revoke(self) -> None:
        """Make every token issued so far invalid."""
        with self._lock:
            self._valid.clear()

    def answer(
        self,
        status: int,
        headers: Iterable[tuple[str, str]] = (),
        times: int = 1,
        body: bytes = b"from the server\n",
    ) -> None:
        """Queue an answer for the next ``times`` requests, whatever they ask.

        Args:
            status: The status code.
            headers: Names and values; Content-Length is added.
            times: How many requests get it. Calls queue up behind one another.
            body: What a response that may have a body brings.
        """
        with self._lock:
            self._answers.extend([_Answer(status, tuple(headers), body)] * times)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, as WSGI has it (PEP 3333)."""
        number, app = self._admit(environ)

        def answered(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            with self._lock:
                self._seen[number] = replace(self._seen[number], status=int(status[:3]))
            return start_response(status, headers, *rest)

        return app(environ, answered)

    def _admit(self, environ: WSGIEnvironment) -> tuple[int, WSGIApplication]:
        """Note that the request came in; choose who answers it."""
        with self._lock:
            self._seen.append(_seen(environ))
            number = len(self._seen) - 1
            if self._answers:
                return number, self._answers.popleft()
            scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
            bearer = scheme.lower() == "bearer"
            if not self.guarded or (bearer and value in self._valid):
                return number, self._app
        # RFC 6750 section 3.1: no error code for a request that brought no bearer token at all
        challenge = 'Bearer realm="demo"' + (', error="invalid_token"' if bearer else "")
        return number, _Answer(401, (("WWW-Authenticate", challenge),), b"no valid token\n")


def _seen(environ: WSGIEnvironment) -> Seen:
    query = environ.get("QUERY_STRING")
    return Seen(
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"] + (f"?{query}" if query else ""),
        authorization=environ.get("HTTP_AUTHORIZATION"),
        cookie=environ.get("HTTP_COOKIE"),
        body_length=int(environ.get("CONTENT_LENGTH") or 0),
    )


def httpbin() -> WSGIApplication:
    """Return the real httpbin application.

    Raises:
        ImportError: The ``demo`` extra is not installed; the message has the command that does it.
    """
    # on import it warns of a page of its own that nobody asks for here
    logging.getLogger("httpbin.core").setLevel(logging.ERROR)
    with _from_the_extra():
        from httpbin import app
    served: WSGIApplication = app
    return served


@contextmanager
def serve(app: WSGIApplication) -> Iterator[str]:
    """Serve an application on a free port of 127.0.0.1, in threads, and give its base URL.

    Connections are kept alive (HTTP/1.1). On leaving, the port and all connections are closed;
    requests still under way are cut off.

    Raises:
        ImportError: The ``demo`` extra is not installed; the message has the command that does it.
    """
    with _from_the_extra():
        from werkzeug.serving import make_server
    connections: set[socket.socket] = set()
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_handler(connections))
    # a short interval, since shutdown() waits for one
    accepting = Thread(target=server.serve_forever, args=(0.01,), name="demo_server", daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        accepting.join()
        for connection in list(connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler(connections: set[socket.socket]) -> type[WSGIRequestHandler]:
    """Derive a handler from Werkzeug's, so that connections are kept alive."""
    from werkzeug.serving import DechunkedInput, WSGIRequestHandler

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            connections.add(self.connection)

        def finish(self) -> None:
            connections.discard(self.connection)
            super().finish()

        def run_wsgi(self) -> None:
            # Werkzeug drains its input after each answer, which would swallow the next request:
            # it gets no more than this request's body, read to the end whoever answers.
            stream = self.rfile
            try:
                self.rfile = io.BytesIO(_sized_body(self.headers, stream, DechunkedInput))
                super().run_wsgi()
            except OSError:  # the client left in the middle of its body
                self.close_connection = True
            finally:
                self.rfile = stream

        def send_header(self, keyword: str, value: str) -> None:
            # Werkzeug closes every connection for fear of an undrained body; there is none here
            if (keyword, value) != ("Connection", "close") or self.close_connection:
                super().send_header(keyword, value)

        def log(self, *_: object) -> None:
            pass

    return Handler


def _sized_body(
    headers: Message, stream: io.BufferedIOBase, dechunked: Callable[..., io.RawIOBase]
) -> bytes:
    """Read the body of one request; a chunked one gets the Content-Length that httpbin needs."""
    if "Transfer-Encoding" in headers:
        body = dechunked(stream).read()
        del headers["Transfer-Encoding"]
        headers["Content-Length"] = str(len(body))
        return body
    length = int(headers.get("Content-Length", 0))
    body = stream.read(length)
    if len(body) < length:
        raise ConnectionResetError
    return body


@contextmanager
def _from_the_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        fix = 'pip install "requests-authretry[demo]"'
        raise ImportError(f"{error.name} is not installed: {fix}", name=error.name) from None
