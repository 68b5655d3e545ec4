"""How many POSTs are lost on connections that the server is about to end.

Each server runs with its own time limit for idle connections, nginx with 5 s. Many bare sessions
have a connection each: they send a GET on it, and a POST after it was idle for the limit, and a
little less or more. urllib3 uses no connection that it sees closed. A relay between them makes a
network that takes time: it hands on each byte, and each end of a connection, so much later.

uvicorn and gunicorn must be installed, nginx and node be on the PATH; those that are missing are
left out. gunicorn runs with threads, as its other workers keep no connection. It takes real time,
about 10 s a row.

    python benchmarks/idle.py [uvicorn|gunicorn|node|nginx ...]
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

OFFSETS: Final = (-1.0, -0.5, -0.2, -0.1, -0.06, -0.04, -0.02, -0.01, 0.0, 0.01, 0.02, 0.04, 0.06)
"""Seconds between the end of the server's limit and the POST."""

EACH: Final = 24
"""Connections for each offset."""

SPACING: Final = 0.008
"""Seconds between two connections."""

DELAYS: Final = (0.0, 0.025, 0.1)
"""Seconds that the relay takes for each direction."""

PYTHON: Final = """
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        head = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"ok"})

def wsgi(environ, start_response):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

GUNICORN: Final = """
bind, loglevel = "127.0.0.1:PORT", "error"
worker_class, threads, worker_connections = "gthread", 4, 2000
"""

NODE: Final = """
const server = require('http').createServer((request, response) => {
  request.resume(); request.on('end', () => response.end('ok'));
});
server.listen(PORT, '127.0.0.1');
"""

NGINX: Final = """
daemon off; pid FOLDER/pid; error_log FOLDER/log crit;
events { worker_connections 2048; }
http {
  access_log off; keepalive_timeout 5s;
  server { listen 127.0.0.1:PORT; location / { return 200 "ok"; } }
}
"""


def command_of(name: str, folder: Path, port: int) -> tuple[list[str], float] | None:
    """Return how a server is started, and its limit in seconds; None if it is not there."""
    module = [sys.executable, "-m", name]
    if name in {"uvicorn", "gunicorn"} and importlib.util.find_spec(name) is None:
        return None
    if name in {"node", "nginx"} and shutil.which(name) is None:
        return None
    (folder / "served.py").write_text(PYTHON)
    (folder / "served.conf.py").write_text(GUNICORN.replace("PORT", str(port)))
    (folder / "served.js").write_text(NODE.replace("PORT", str(port)))
    conf = NGINX.replace("PORT", str(port)).replace("FOLDER", str(folder))
    (folder / "nginx.conf").write_text(conf)
    commands = {
        "uvicorn": ([*module, "served:asgi", "--port", str(port), "--log-level", "error"], 5.0),
        "gunicorn": (
            [*module, "served:wsgi", "--config", "served.conf.py"],
            2.0,
        ),
        # Its limit is 5 s, and it adds a second for the network (`keepAliveTimeoutBuffer`).
        "node": (["node", "served.js"], 6.0),
        "nginx": (["nginx", "-p", str(folder), "-c", "nginx.conf"], 5.0),
    }
    return commands[name]


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    """A process that listens on a port."""
    with subprocess.Popen(command, cwd=folder) as process:  # noqa: S603 (ours)
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Hand on bytes, and the end of the connection, after the delay."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            loop.call_later(delay, writer.write, data)
    loop.call_later(delay, writer.close)


async def relay(port: int, target: int, delay: float) -> None:
    """Serve as a network with a delay."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(hand_on(reader, far_writer, delay), hand_on(far_reader, writer, delay))

    async with await asyncio.start_server(connected, "127.0.0.1", port, backlog=1000) as server:
        await server.serve_forever()


def measured(url: str, limit: float) -> dict[float, int]:
    """Return for each offset how many POSTs were lost."""
    began = time.monotonic() + 0.5
    lost: list[float] = []

    def connection(number: int) -> None:
        offset = OFFSETS[number % len(OFFSETS)]
        with requests.Session() as session:
            session.trust_env = False
            sleep_until(began + number * SPACING)
            session.get(url)
            sleep_until(time.monotonic() + limit + offset)
            try:
                session.post(url, data=b"x" * 100)
            except requests.ConnectionError:
                lost.append(offset)

    with ThreadPoolExecutor(EACH * len(OFFSETS)) as pool:
        list(pool.map(connection, range(EACH * len(OFFSETS))))
    return {offset: lost.count(offset) for offset in OFFSETS}


def sleep_until(moment: float) -> None:
    """Wait until the monotonic clock shows a time."""
    time.sleep(max(0.0, moment - time.monotonic()))


def cost(url: str) -> tuple[float, float]:
    """Return the milliseconds of a request on a connection that is there, and on a new one."""
    with requests.Session() as session:
        session.trust_env = False
        session.get(url)
        kept, new = [], []
        for _ in range(30):
            began = time.perf_counter()
            session.post(url, data=b"x" * 100)
            kept.append(time.perf_counter() - began)
            session.get_adapter(url).poolmanager.clear()  # type: ignore[attr-defined]
            began = time.perf_counter()
            session.post(url, data=b"x" * 100)
            new.append(time.perf_counter() - began)
    return sorted(kept)[15] * 1000, sorted(new)[15] * 1000


def main(names: list[str]) -> None:
    """Measure each server with each delay, and print."""
    print("lost of", EACH, "POSTs, by the seconds from the server's limit to the POST")
    print(f"{'server':10}{'RTT':>7}", *(f"{offset:>6}" for offset in OFFSETS), "  kept ms  new ms")
    for name in names:
        for delay in DELAYS:
            port, near = free_port(), free_port()
            with tempfile.TemporaryDirectory() as text:
                folder = Path(text)
                found = command_of(name, folder, port)
                if found is None:
                    print(f"{name:10} is not installed")
                    break
                with running(found[0], folder, port):
                    serve = [sys.executable, __file__, "relay", str(near), str(port), str(delay)]
                    with running(serve, folder, near) if delay else contextlib.nullcontext():
                        url = f"http://127.0.0.1:{near if delay else port}/"
                        results, costs = measured(url, found[1]), cost(url)
            cells = (f"{lost:>6}" for lost in results.values())
            print(f"{name:10}{delay * 2000:>4.0f} ms", *cells, "".join(f"{c:9.1f}" for c in costs))
            sys.stdout.flush()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["relay", port, target, delay]:
            asyncio.run(relay(int(port), int(target), float(delay)))
        case names:
            main(names or ["uvicorn", "gunicorn", "node", "nginx"])
