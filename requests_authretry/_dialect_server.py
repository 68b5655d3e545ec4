"""A server on this machine that answers as a public API does."""

from __future__ import annotations

from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING, NamedTuple

from ._core.http import STATUS_CODES
from ._core.validation import nearest, refuse
from .dialects import Dialect, dialects_fault, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from io import BufferedIOBase

    from typing_extensions import Self

    from ._core.dialect_format import Sample

    Item = str | int
    """An item of a script: what a sample is, a verdict, or a status code."""

_NO_BODY = {204, 304}


class Reply(NamedTuple):
    """An answer of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes


_JSON = {"Content-Type": "application/json"}
_DONE = Reply(200, _JSON, b"{}")


class Received(NamedTuple):
    """A request that the server got.

    Attributes:
        method: The method.
        path: The path, and its query.
        headers: The header fields.
        body: The body.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class DialectServer:
    """A server on loopback that answers as an API does, with the samples of its dialect.

    It is a context manager, and safe to use from many threads. Each request takes the next item of
    the script, whatever its path is; when the script is over, the answer is a 200 with ``{}``. Name
    the dialect in the settings of the client, because this server has another address than the
    API::

        with DialectServer("slack", "token_expired") as server:
            mount(session, Settings(dialects=["slack"]))
            session.get(f"{server.url}/api/auth.test")

    Args:
        dialect: The name of a dialect of the library, or a `Dialect`.
        *script: What to answer, in order: ``what`` of a sample says which one; a verdict, such as
            ``throttled``, stands for the first sample that is given it; a status code is answered
            with ``{}``.

    Raises:
        ConfigurationError: The dialect is unknown, or an item of the script.

    Attributes:
        dialect: The dialect.
        received: The requests, in order.
    """

    def __init__(self, dialect: str | Dialect, *script: Item) -> None:
        given: object = dialect  # as yet whatever the caller wrote
        refuse("DialectServer", [dialects_fault((given,))])
        self.dialect: Dialect = named(dialect) if isinstance(dialect, str) else dialect
        self.received: list[Received] = []
        self._script: deque[Reply] = deque()
        self._lock = Lock()
        self._server: ThreadingHTTPServer | None = None
        self.play(*script)

    @property
    def url(self) -> str:
        """The address of the server, without a slash at the end.

        Raises:
            RuntimeError: It was not started.
        """
        if self._server is None:
            raise RuntimeError("the server is not started: write with DialectServer(...) as server")
        return f"http://127.0.0.1:{self._server.server_port}"

    def play(self, *script: Item) -> None:
        """Add items to the end of the script.

        Raises:
            ConfigurationError: An item is unknown; all faults are named together.
        """
        replies = [self._reply(item) for item in script]
        refuse("DialectServer", (each for each in replies if isinstance(each, str)))
        with self._lock:
            self._script += (each for each in replies if isinstance(each, Reply))

    def _answer(self, request: Received) -> Reply:
        """Note a request, and return the next answer."""
        with self._lock:
            self.received.append(request)
            return self._script.popleft() if self._script else _DONE

    def _reply(self, item: object) -> Reply | str:
        """Return the answer that an item stands for, or its fault."""
        if isinstance(item, int) and not isinstance(item, bool) and item in STATUS_CODES:
            return Reply(item, _JSON, b"{}")
        if not isinstance(item, str):
            return f"takes samples, verdicts and status codes, not {item!r}"
        samples = self.dialect.samples
        found = next((each for each in samples if item in names_of(each)), None)
        if found is not None:
            return Reply(found.status, found.headers, found.body)
        known = dict.fromkeys(name for each in samples for name in names_of(each))
        near = nearest(item, known)
        return f"{item!r} is no sample of {self.dialect.name}; " + (
            f"did you mean {near!r}?" if near else f"there are {', '.join(map(repr, known))}"
        )

    def __enter__(self) -> Self:
        """Start the server."""
        self._server = _Server(("127.0.0.1", 0), _handler_for(self._answer))
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.dialect.name}: {len(self.received)} received>"


def names_of(sample: Sample) -> Iterable[str]:
    """Return what a script may call a sample."""
    if sample.expected is not None:
        yield sample.expected.meaning.name.lower()
    yield sample.what


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Write nothing to the terminal where a client hangs up."""


def _chunks_of(reader: BufferedIOBase) -> bytes:
    """Read a chunked body to its end, with its trailer (RFC 9112 section 7.1)."""
    body = b""
    while size := int(reader.readline().partition(b";")[0], 16):
        body += reader.read(size)
        reader.readline()
    while reader.readline().strip():
        pass
    return body


def _handler_for(answer: Callable[[Received], Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if "Transfer-Encoding" in self.headers:
                body = _chunks_of(self.rfile)
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            reply = answer(Received(self.command, self.path, dict(self.headers.items()), body))
            self.send_response_only(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            has_body = reply.status not in _NO_BODY
            if has_body:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if has_body and self.command != "HEAD":
                self.wfile.write(reply.body)

        # The names that the base class calls.
        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Write nothing to the terminal."""

    return Handler
