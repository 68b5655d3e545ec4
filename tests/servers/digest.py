"""A web server that asks for Digest (RFC 7616), and takes each nonce count once and in order."""

from __future__ import annotations

import hashlib
import secrets
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import parse_http_list, parse_keqv_list

from tests.servers.starting import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

USER, PASSWORD, REALM = "ada", "correct horse", "the realm"

_HASHES: dict[str, Any] = {
    "MD5": hashlib.md5,
    "MD5-sess": hashlib.md5,
    "SHA-256": hashlib.sha256,
    "SHA-512": hashlib.sha512,
}


class Seen(NamedTuple):
    """A request that the server got.

    Attributes:
        path: Its target.
        nonce: The nonce that it was signed for; None without a signature.
        number: Its nonce count; None where it has none.
        status: What it was answered; 0 where the connection was cut instead.
        body: What it carried.
    """

    path: str
    nonce: str | None
    number: int | None
    status: int
    body: bytes


class DigestServer(ThreadingHTTPServer):
    """Asks for Digest, as Apache does with ``AuthDigestNcCheck``.

    Attributes:
        url: Where it answers, without a slash at the end.
        seen: The requests so far.
        answers: What the next requests get that are signed well: a status, 0 to cut the connection,
            or a place to redirect to. Then 200.
        uses: How often a nonce may be used before it is stale.
        qop: What it offers; "" for none, as in RFC 2069.
        algorithm: Which one it asks for; "" for none.
        tells_stale: Whether it says that only the nonce was wrong.
        before: Challenges that come before that of Digest.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.seen: list[Seen] = []
        self.answers: list[int | str] = []
        self.uses, self.qop, self.algorithm, self.before = 1000, "auth", "MD5", ""
        self.tells_stale = True
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def statuses(self) -> list[int]:
        """What the requests so far were answered."""
        return [each.status for each in self.seen]

    @property
    def counts(self) -> list[int | None]:
        """The nonce counts of the requests so far."""
        return [each.number for each in self.seen]

    def challenge(self, *, stale: bool) -> str:
        """The challenge of a 401, with a nonce of its own."""
        nonce = secrets.token_hex(8)
        with self._lock:
            self._counts[nonce] = 0
        parts = [f'realm="{REALM}"', f'nonce="{nonce}"', 'opaque="as is"']
        parts += [f'qop="{self.qop}"'] * bool(self.qop) + ["stale=true"] * stale
        parts += [f"algorithm={self.algorithm}"] * bool(self.algorithm)
        return f"{self.before}Digest {', '.join(parts)}"

    def check(self, given: dict[str, str], method: str, path: str) -> tuple[bool, bool]:
        """Whether a signature is good, and whether only its nonce is stale."""
        if given.get("username") != USER or given.get("uri") != path:
            return False, False
        if given.get("response") != self._response(given, method, path):
            return False, False
        with self._lock:
            last = self._counts.get(given["nonce"])
            count = int(given["nc"], 16) if "nc" in given else (last or 0) + 1
            is_next = last is not None and count == last + 1 <= self.uses
            if is_next:
                self._counts[given["nonce"]] = count
        return is_next, not is_next

    def _response(self, given: dict[str, str], method: str, path: str) -> str:
        def digest(*parts: str) -> str:
            made = _HASHES[self.algorithm or "MD5"](":".join(parts).encode())
            return str(made.hexdigest())

        first, second = digest(USER, REALM, PASSWORD), digest(method, path)
        if self.algorithm.endswith("-sess"):
            first = digest(first, given["nonce"], given["cnonce"])
        if "qop" not in given:
            return digest(first, given["nonce"], second)
        parts = given["nonce"], given["nc"], given["cnonce"], given["qop"]
        return digest(first, *parts, second)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DigestServer

    def _take(self) -> None:
        body = self._body()
        scheme, _, parameters = (self.headers.get("Authorization") or "").partition(" ")
        given = parse_keqv_list(parse_http_list(parameters)) if scheme == "Digest" else {}
        is_good, is_stale = self.server.check(given, self.command, self.path)
        answer: int | str = 401
        if is_good:
            answer = self.server.answers.pop(0) if self.server.answers else 200
        status = 302 if isinstance(answer, str) else answer
        count = int(given["nc"], 16) if "nc" in given else None
        self.server.seen.append(Seen(self.path, given.get("nonce"), count, status, body))
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        if status == 401:
            self.send_header(
                "WWW-Authenticate",
                self.server.challenge(stale=is_stale and self.server.tells_stale),
            )
        if isinstance(answer, str):
            self.send_header("Location", answer)
        content = b"" if status == 401 else b"in"
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = _take  # noqa: N815 (so http.server names them)
    do_POST = _take  # noqa: N815 (as above)

    def _body(self) -> bytes:
        """Read the body, put together from its chunks if it has no length."""
        if "Transfer-Encoding" not in self.headers:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def serve_digest() -> Iterator[DigestServer]:
    """Start a server on loopback."""
    server = DigestServer()
    with serving(server):
        yield server
