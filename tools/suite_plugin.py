"""A pytest plugin for the published suites: no traffic leaves the machine, outcomes go to a file.

Names and addresses are answered here: httpbin.org is the real httpbin application on loopback, the
address that requests' suite expects no answer from is a full queue there, and no other name is
known. With ``--answer localhost:5000=8080`` a server that was started for the suite answers where
its tests expect it, and with ``--installed`` every session of the run is under
``install(Settings())``.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import ssl
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
from httpbin import app
from werkzeug.serving import make_server

if TYPE_CHECKING:
    import pytest

Address = tuple[str, int]

LOOPBACK = "127.0.0.1"
NO_ANSWER = "10.255.255.1"
SERVED = "httpbin.org"


class Outcomes:
    """What became of each test: the worst of its phases."""

    def __init__(self, path: Path) -> None:
        """Write to ``path`` at the end."""
        self._path = path
        self._seen: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a phase, if it tells more than those before it."""
        outcome = "xfailed" if report.skipped and hasattr(report, "wasxfail") else report.outcome
        if outcome != "passed" or report.when == "call":
            self._seen[report.nodeid] = outcome

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected counts as a test that failed."""
        if not report.passed:
            self._seen[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        self._path.write_text(json.dumps(self._seen), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--outcomes``, ``--installed``, ``--trust-httpbin`` and ``--answer``."""
    parser.addoption("--outcomes", type=Path, required=True, help="write the outcomes to this file")
    parser.addoption(
        "--answer",
        action="append",
        default=[],
        help="NAME:PORT=P: it is served on loopback, port P",
    )
    parser.addoption("--installed", action="store_true", help="run under install(Settings())")
    parser.addoption(
        "--trust-httpbin", action="store_true", help="let sessions trust the local httpbin.org"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set everything up, before the first test file is imported."""
    trusting = config.getoption("--trust-httpbin")
    _answer_names(
        {
            (SERVED, 80): _serve(None),
            (SERVED, 443): _serve(_certificate(config, trusting=trusting)),
            (NO_ANSWER, 80): _full_queue(config),
            **dict(_served_elsewhere(each) for each in config.getoption("--answer")),
        }
    )
    config.pluginmanager.register(Outcomes(config.getoption("--outcomes")))
    if config.getoption("--installed"):
        _install(config)


def _served_elsewhere(option: str) -> tuple[Address, Address]:
    """Read ``NAME:PORT=P``."""
    asked, _, port = option.partition("=")
    name, _, asked_port = asked.rpartition(":")
    return (name, int(asked_port)), (LOOPBACK, int(port))


def _answer_names(table: dict[Address, Address]) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if (name, port) in table:
            return real(*table[name, port], *args, **options)
        if name not in {None, "localhost"} and not _is_loopback(name):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, port, *args, **options)

    socket.getaddrinfo = getaddrinfo


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _serve(context: ssl.SSLContext | None) -> Address:
    server = make_server(LOOPBACK, 0, app, threaded=True, ssl_context=context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return LOOPBACK, server.server_port


def _certificate(config: pytest.Config, *, trusting: bool) -> ssl.SSLContext:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(SERVED).configure_cert(context)
    if trusting:
        bundle = config.getoption("--outcomes").with_suffix(".pem")
        authority.cert_pem.write_to_path(str(bundle))
        os.environ["REQUESTS_CA_BUNDLE"] = str(bundle)
    return context


def _full_queue(config: pytest.Config) -> Address:
    """A listener that accepts nobody: the system drops what comes when its queue is full."""
    listener = socket.create_server((LOOPBACK, 0), backlog=0)
    address: Address = listener.getsockname()
    held = [listener]
    for _ in range(3):
        waiting = socket.socket()
        waiting.settimeout(0)
        waiting.connect_ex(address)
        held.append(waiting)
    for each in held:
        config.add_cleanup(each.close)
    return address


def _install(config: pytest.Config) -> None:
    from requests_authretry import Settings, install
    from requests_authretry.testing import no_waiting

    stack = ExitStack()
    stack.enter_context(no_waiting())  # retries are made; their waits take no time
    stack.enter_context(install(Settings()))
    config.add_cleanup(stack.close)
