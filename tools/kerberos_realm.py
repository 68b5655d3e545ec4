"""A real Kerberos realm on loopback, with a web server over TLS that asks for its tickets.

    python tools/kerberos_realm.py

Run as a process of its own: it prints one line of JSON, the environment variables that the
functional test of requests-kerberos reads, and serves until its standard input ends. It needs MIT's
krb5kdc, kadmin.local and kinit, and the packages k5test and gssapi. The server accepts
a ticket only with the hash of its certificate (RFC 5929, section 4).
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import sys
import threading
from base64 import b64decode, b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import gssapi
import k5test
import trustme

HOST = "localhost"
KDC_PORTS = 10
"""Ports in a row that a realm may use."""

UNAUTHORIZED = 401


class Server(ThreadingHTTPServer):
    """Answers 401 until a request brings a ticket."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        certificate = trustme.CA().issue_cert(HOST)
        pem = certificate.cert_chain_pems[0].bytes().decode()
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
        binding = b"tls-server-end-point:" + digest
        self.bindings = gssapi.raw.ChannelBindings(application_data=binding)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        status, challenge = self._accepted(self.headers.get("Authorization"))
        self.send_response(status)
        self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _accepted(self, ticket: str | None) -> tuple[int, str]:
        """The status, and the challenge or the server's own proof."""
        if ticket is None:
            return UNAUTHORIZED, "Negotiate"
        context = gssapi.SecurityContext(usage="accept", channel_bindings=self.server.bindings)
        try:
            proof = context.step(b64decode(ticket.removeprefix("Negotiate "))) or b""
        except gssapi.exceptions.GSSError as error:
            print(error, file=sys.stderr, flush=True)
            return UNAUTHORIZED, "Negotiate"
        # MIT accepts a client that binds to nothing, and does not set this flag then.
        if gssapi.RequirementFlag.channel_bound not in context.actual_flags:
            print("the ticket is bound to no certificate", file=sys.stderr, flush=True)
            return UNAUTHORIZED, "Negotiate"
        return 200, f"Negotiate {b64encode(proof).decode()}"

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


def free_ports() -> int:
    """The first of some free ports in a row, as far as can be known beforehand."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return min(port, 65535 - KDC_PORTS)


def main() -> None:
    """Start both, tell where they are, and wait."""
    realm = k5test.K5Realm(
        portbase=free_ports(),
        get_creds=False,
        krb5_conf={"libdefaults": {"dns_canonicalize_hostname": "false"}},
    )
    try:
        service = f"HTTP/{HOST}@{realm.realm}"
        realm.addprinc(service)
        realm.extract_keytab(service, realm.keytab)
        realm.kinit(realm.user_princ, realm.password("user"))
        os.environ.update(realm.env)
        server = Server()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        told = {name: realm.env[name] for name in ("KRB5_CONFIG", "KRB5CCNAME")}
        told["KERBEROS_PRINCIPAL"] = realm.user_princ
        told["KERBEROS_URL"] = f"https://{HOST}:{server.server_port}/"
        print(json.dumps(told), flush=True)
        sys.stdin.read()
    finally:
        realm.stop()


if __name__ == "__main__":
    main()
