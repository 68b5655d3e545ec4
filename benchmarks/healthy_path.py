"""What a request costs that meets no trouble, in instructions, counted with valgrind's callgrind.

Instructions do not depend on what else the machine does, as seconds would. A run with more
requests less a run with fewer, divided by the difference, leaves out the start of the program. The
server has a process of its own, which is not counted.

    python benchmarks/healthy_path.py [--check]
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import os
import platform
import shutil
import socketserver
import sys
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import requests
from callgrind import counted, serve, serving
from requests.adapters import HTTPAdapter

from requests_authretry import Settings, Token, install, mount

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT: Final = 1.01
"""The most that a mounted session may cost, bare requests being 1."""

FEW, MANY, REPEATS = 50, 200, 3
TOKEN: Final = "a-token-of-the-usual-length-or-so"  # noqa: S105 (it opens nothing)
ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nServer: benchmark\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    b'{"hello": true}'
)


class Handler(socketserver.StreamRequestHandler):
    """Answers each request on a connection with the same few bytes, in one piece."""

    def handle(self) -> None:
        """Requests have no bodies here: each ends with an empty line."""
        for line in self.rfile:
            if line == b"\r\n":
                self.wfile.write(ANSWER)


class Copying(HTTPAdapter):
    """What it would cost to copy each request before it is sent."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        """Send a copy."""
        return super().send(request.copy(), *args, **options)


def bare(session: requests.Session, _: str) -> None:
    """Bare requests, with the header that the library would send."""
    session.headers["Authorization"] = f"Bearer {TOKEN}"


def mounted(session: requests.Session, url: str) -> None:
    """The one line."""
    mount(session, Settings(token=TOKEN, origins=[url]))


def installed(_: requests.Session, url: str) -> None:
    """The one line for all sessions."""
    install(Settings(token=TOKEN, origins=[url]))


def expiring(session: requests.Session, url: str) -> None:
    """The same with a token from a source that says when it ends: the clock is looked at."""
    token = Token(TOKEN, expires_at=4e9)
    mount(session, Settings(token=lambda: token, origins=[url]))


def copying(session: requests.Session, url: str) -> None:
    """Bare requests, and a copy."""
    bare(session, url)
    session.mount("http://", Copying())


MODES: Final[dict[str, Callable[[requests.Session, str], None]]] = {
    "bare": bare,
    "mounted": mounted,
    "installed": installed,
    "expiring": expiring,
    "copying": copying,
}


def client(mode: str, count: int, url: str) -> None:
    """Make the requests; each URL is another, so that no cache makes it cheap."""
    with requests.Session() as session:
        MODES[mode](session, url)
        for number in range(count):
            session.get(f"{url}/get?number={1000 + number}").raise_for_status()


def measured(valgrind: str) -> dict[str, float]:
    """Instructions per request in each mode; the least of several repeats has the least noise."""
    runs = [(mode, count) for mode in MODES for count in (FEW, MANY)]
    with serving(__file__) as url, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            (run, pool.submit(counted, valgrind, __file__, *run, url)) for run in runs * REPEATS
        ]
        least = {run: min(job.result() for which, job in jobs if which == run) for run in runs}
    return {mode: (least[mode, MANY] - least[mode, FEW]) / (MANY - FEW) for mode in MODES}


def main() -> int:
    """Count, print, and with ``--check`` hold the limit."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help=f"fail above {LIMIT}")
    check = parser.parse_args().check
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("valgrind is not installed: nothing was counted, and nothing is claimed.")
        return 0
    try:
        best = measured(valgrind)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"instructions per request, best of {REPEATS}, ", end="")
    print(f"on Python {platform.python_version()} and requests {version('requests')}")
    for mode, cost in best.items():
        print(f"  {mode:9} {cost:>12,.0f}  {cost / best['bare']:.4f}")
    if check and max(best["mounted"], best["expiring"]) / best["bare"] > LIMIT:
        print(f"A mounted session costs more than {LIMIT}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["server"]:
            serve(Handler)
        case ["client", mode, count, url]:
            client(mode, int(count), url)
        case _:
            sys.exit(main())
