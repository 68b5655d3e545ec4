"""A server on loopback that answers from a script of bytes, for what only the wire shows."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPMessage, parse_headers, responses
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, BinaryIO, Protocol, final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from types import TracebackType

Action = Callable[[socket.socket, Event], bool]
"""Answers one request; says whether the connection goes on. The event ends any waiting."""

PATIENCE = 300.0
"""Seconds after which a test that waits has failed: many more than a slow machine needs."""

Headers = tuple[tuple[str, str], ...]


class End(Protocol):
    """How an answer leaves the connection."""

    def __call__(self, connection: socket.socket) -> bool:
        """Say whether it goes on."""


@dataclass(frozen=True)
class Arrived:
    """One request as it came over the wire.

    Attributes:
        connection: The number of its connection, counted from 1.
        method: The request method.
        target: The request target, as it was written.
        headers: All header lines.
        body: The body, a chunked one put together; cut short if the client hung up.
        framed: The body as it was framed on the wire.
    """

    connection: int
    method: str
    target: str
    headers: HTTPMessage
    body: bytes
    framed: bytes


@final
class Wire:
    """A server that gives the next line of its script to each request, whatever it asks.

    Args:
        *script: The lines.
        tls: Where it is given the server speaks TLS.
        otherwise: What to do when the script is over; 418 without it, which nobody sends again.

    Attributes:
        connections: How many were accepted so far.
        arrived: The requests that came so far, in order of arrival.
    """

    def __init__(
        self,
        *script: Action,
        tls: ssl.SSLContext | None = None,
        otherwise: Callable[[Arrived], Action] | None = None,
    ) -> None:
        """Nothing is opened yet."""
        self.connections = 0
        self.arrived: list[Arrived] = []
        self._script = deque(script)
        self._tls = tls
        self._otherwise = otherwise or (lambda _: answer(418))
        self._news = Condition()
        self._over = Event()
        self._open: list[socket.socket] = []
        self._threads: list[Thread] = []

    def then(self, *script: Action) -> None:
        """Go on with these lines, where they need the URL of a server that listens already."""
        self._script.extend(script)

    def wait_for_arrival(self, number: int = 1) -> None:
        """Wait until so many requests have come: a client may give up before its own has."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.arrived) >= number, PATIENCE)

    @property
    def left(self) -> int:
        """How many lines of the script are left."""
        return len(self._script)

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._listening.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Its base URL, with a slash at the end."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/"

    def __enter__(self) -> Wire:
        """Listen."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close everything, and end every thread."""
        self._over.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listening.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[[], None]) -> None:
        thread = Thread(target=work, name="wire", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:  # the handshake comes with the first read
                connection = self._tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            self._open.append(connection)
            self._start(partial(self._serve, connection, self.connections))

    def _serve(self, connection: socket.socket, number: int) -> None:
        with ExitStack() as opened, suppress(OSError):
            opened.enter_context(connection)
            reader = opened.enter_context(connection.makefile("rb"))
            while (arrived := _read(reader, number)) is not None:
                with self._news:
                    self.arrived.append(arrived)
                    self._news.notify_all()
                    action = self._script.popleft() if self._script else None
                action = action or self._otherwise(arrived)
                if not action(connection, self._over):
                    return


def _read(reader: BinaryIO, number: int) -> Arrived | None:
    """The next request; None at the end of the connection."""
    line = reader.readline()
    if not line:
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = parse_headers(reader)
    if "Transfer-Encoding" in headers:
        framed, body = _read_chunks(reader)
    else:
        framed = body = reader.read(int(headers.get("Content-Length", 0)))
    return Arrived(number, method, target, headers, body, framed)


def _read_chunks(reader: BinaryIO) -> tuple[bytes, bytes]:
    framed = body = b""
    size = -1
    while size != 0:
        line = reader.readline()
        if not line:
            break
        size = int(line, 16)
        chunk = reader.read(size + 2)
        framed, body = framed + line + chunk, body + chunk[:size]
    return framed, body


def keep(connection: socket.socket) -> bool:  # noqa: ARG001 (the signature of every end)
    """Keep the connection alive."""
    return True


def fin(connection: socket.socket) -> bool:
    """Close the connection in good order."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    return False


def rst(connection: socket.socket) -> bool:
    """Reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The reader has a claim on the descriptor; detached, it closes at once, and that is the reset.
    socket.close(connection.detach())
    return False


def says(*pieces: bytes, end: End = keep) -> Action:
    """Send these bytes, then end so."""

    def act(connection: socket.socket, over: Event) -> bool:  # noqa: ARG001 (of every action)
        for piece in pieces:
            connection.sendall(piece)
        return end(connection)

    return act


def answer(status: int = 200, body: bytes = b"", *headers: tuple[str, str]) -> Action:
    """A whole answer with a Content-Length; the connection stays."""
    return says(head(status, *headers, ("Content-Length", str(len(body)))) + body)


def chunked(status: int, *chunks: bytes, headers: Headers = (), end: End = keep) -> Action:
    """A chunked answer; with another end than `keep`, without its last chunk."""
    last = b"0\r\n\r\n" if end is keep else b""
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    whole = head(status, *headers, ("Transfer-Encoding", "chunked")) + framed + last
    return says(whole, end=end)


def cut(status: int, length: int, body: bytes, *headers: tuple[str, str], end: End) -> Action:
    """An answer whose body ends before its Content-Length."""
    return says(head(status, *headers, ("Content-Length", str(length))) + body, end=end)


def drip(
    start: bytes,
    piece: bytes = b".",
    every: float = 0.02,
    tick: Callable[[], None] = lambda: None,
) -> Action:
    """Send the start, then a piece every so many seconds until somebody has enough of it.

    Before each piece call ``tick``.
    """

    def act(connection: socket.socket, over: Event) -> bool:
        connection.sendall(start)
        while not over.wait(every):
            tick()
            connection.sendall(piece)
        return False

    return act


def flood(start: bytes, size: int, taken: list[int]) -> Action:
    """Send the start and ``size`` bytes; what was taken off our hands is counted in ``taken``."""

    def act(connection: socket.socket, over: Event) -> bool:
        connection.sendall(start)
        piece, sent = bytes(65_536), 0
        try:
            while sent < size and not over.is_set():
                sent += connection.send(piece)
        finally:
            taken.append(sent)
        return False

    return act


def silence() -> Action:
    """Say nothing, and keep the connection open."""

    def act(connection: socket.socket, over: Event) -> bool:  # noqa: ARG001 (of every action)
        over.wait()
        return False

    return act


def head(status: int, *headers: tuple[str, str]) -> bytes:
    """A status line and header lines, up to the body."""
    lines = [f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@contextmanager
def refusing() -> Iterator[str]:
    """Give the URL of a port of our own that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"


@contextmanager
def unanswering() -> Iterator[str]:
    """Give the URL of a port that neither accepts nor refuses: its queue is full."""
    with ExitStack() as opened:
        listening = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        while True:
            waiting = opened.enter_context(socket.socket())
            waiting.settimeout(0.1)
            try:
                waiting.connect(listening.getsockname())
            except TimeoutError:
                break
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
