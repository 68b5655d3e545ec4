"""A web server that asks for NTLM: pyspnego checks passwords, and over TLS the channel binding."""

from __future__ import annotations

import hashlib
import ssl
from base64 import b64decode, b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import spnego
import trustme
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from tests.servers.starting import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER = "DOMAIN\\ada"
PASSWORD = "correct horse"

LOGIN_PAGE = b"<html>" + b"Please sign in. " * 500
"""The body of a 401: more than one read of a socket gives."""


class Seen(NamedTuple):
    """A request that the server got.

    Attributes:
        step: ``anonymous``, ``negotiate``, ``authenticate`` or ``signed in``: what the request was
            for the handshake of its connection.
        status: What it was answered.
        body: What it carried.
    """

    step: str
    status: int
    body: bytes


class NtlmServer(ThreadingHTTPServer):
    """Signs in connections, as NTLM does, and not requests.

    Attributes:
        url: Where it answers, without a slash at the end.
        seen: The requests so far.
        trust: The certificate that it has to be trusted by; None without TLS.
        answers: Statuses of the next requests of connections that are signed in; then 200.
    """

    daemon_threads = True

    def __init__(self, folder: Path, *, tls: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []
        self.answers: list[int] = []
        self.bindings: GssChannelBindings | None = None
        self.trust: str | None = None
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}"
        if tls:
            self._use_tls(folder)

    def _use_tls(self, folder: Path) -> None:
        """Take a certificate, whose hash every sign-in has to name (RFC 5929, section 4)."""
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(str(folder / "ntlm-ca.pem"))
        self.trust = str(folder / "ntlm-ca.pem")
        digest = hashlib.sha256(
            ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
        ).digest()
        self.bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + digest)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: NtlmServer

    def setup(self) -> None:
        """Begin without a user."""
        super().setup()
        self._acceptor: Any = None
        self._is_signed_in = False

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        step, status, challenge = self._step()
        content = LOGIN_PAGE if status == 401 else b"authenticated"
        self.server.seen.append(Seen(step, status, body))
        self.send_response(status)
        if challenge is not None:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = _take  # noqa: N815 (so http.server names them)
    do_POST = _take  # noqa: N815 (as above)

    def _step(self) -> tuple[str, int, str | None]:
        """What a request was, the status it gets, and the challenge."""
        message = self.headers.get("Authorization")
        if message is None:
            if not self._is_signed_in:
                return "anonymous", 401, "NTLM"
            return "signed in", self.server.answers.pop(0) if self.server.answers else 200, None
        token = b64decode(message.removeprefix("NTLM "))
        is_first = token[8] == 1
        if is_first:
            self._acceptor = spnego.server(
                protocol="ntlm",
                options=spnego.NegotiateOptions.use_ntlm,
                channel_bindings=self.server.bindings,
            )
            challenge = b64encode(self._acceptor.step(token)).decode()
            return "negotiate", 401, f"NTLM {challenge}"
        if self._acceptor is None:  # another connection than that of the challenge
            return "authenticate", 401, "NTLM"
        try:
            self._acceptor.step(token)
        except SpnegoError:
            return "authenticate", 401, "NTLM"
        self._is_signed_in = True
        return "authenticate", 200, None

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def serve_ntlm(folder: Path, *, tls: bool) -> Iterator[NtlmServer]:
    """Start a server on loopback; `passwords` has to be in the environment's ``NTLM_USER_FILE``."""
    server = NtlmServer(folder, tls=tls)
    with serving(server):
        yield server


def passwords() -> str:
    """The line that the server's file of passwords needs."""
    domain, name = USER.split("\\")
    return f"{domain}:{name}:{PASSWORD}\n"
