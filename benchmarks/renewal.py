"""What a renewal and a replay cost, beside google-auth's, in instructions counted by callgrind.

Each call is answered 401; the token is renewed with a refresh token, and the call is sent again.
The server has a process of its own, which is not counted. As in `healthy_path.py`, a run with more
calls less a run with fewer leaves out the start of the program.

    python benchmarks/renewal.py [--check]
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import json
import os
import platform
import shutil
import socketserver
import sys
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import requests
from callgrind import counted, serve, serving

from requests_authretry import Settings, Token, mount
from requests_authretry.oauth2 import Client, RefreshToken
from requests_authretry.testing import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT: Final = 1.5
"""The most that a call with a renewal may cost, google-auth's being 1."""

FEW, MANY, REPEATS = 10, 40, 3
LIFE: Final = 36_000
"""Seconds that each token is said to live, so that none is renewed for its age."""

PAUSE: Final = 10_000.0
"""Seconds between two calls by the clock of the settings: a token that is refused while it is young
is renewed only a few times in a row."""

CLIENT, SECRET, REFRESH = "a-client", "the-secret-of-a-client", "a-refresh-token"


class Handler(socketserver.StreamRequestHandler):
    """Gives tokens, and accepts each token at its first call only."""

    known: set[str] = set()  # noqa: RUF012 (of all connections)

    def handle(self) -> None:
        """Answer each request on a connection."""
        while line := self.rfile.readline():
            length, token = 0, ""
            for header in iter(self.rfile.readline, b"\r\n"):
                name, _, value = header.decode().partition(":")
                if name.lower() == "content-length":
                    length = int(value)
                elif name.lower() == "authorization":
                    token = value.strip()
            self.rfile.read(length)
            self.wfile.write(_renewed() if line.startswith(b"POST") else _called(token))


def _renewed() -> bytes:
    return _answer("200 OK", access_token=uuid4().hex, expires_in=LIFE)


def _called(token: str) -> bytes:
    if token in Handler.known:
        return _answer("401 Unauthorized", error="invalid_token")
    Handler.known.add(token)
    return _answer("200 OK", hello=True)


def _answer(status: str, **fields: object) -> bytes:
    body = json.dumps(fields)
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


class Later(SystemClock):
    """The machine's clock, set ahead between two calls."""

    ahead = 0.0

    def time(self) -> float:
        """Return POSIX time in seconds, and what it is set ahead."""
        return SystemClock.time() + self.ahead

    def monotonic(self) -> float:
        """Return monotonic seconds, and what it is set ahead."""
        return SystemClock.monotonic() + self.ahead


def ours(url: str, count: int) -> None:
    """A session on which the library is mounted."""
    clock = Later()
    client = Client(CLIENT, SECRET, token_url=f"{url}/token", auth="client_secret_post")
    with requests.Session() as session:
        source = RefreshToken(client, REFRESH)
        mount(session, Settings(token=source, origins=[url], clock=clock))
        call(session, url, count, clock)


def ours_asking_nobody(url: str, count: int) -> None:
    """The same with a function that makes up the token, so that nothing but the library is left."""
    clock = Later()

    def fetch() -> Token:
        return Token(uuid4().hex, expires_at=clock.time() + LIFE)

    with requests.Session() as session:
        mount(session, Settings(token=fetch, origins=[url], clock=clock))
        call(session, url, count, clock)


def google(url: str, count: int) -> None:
    """google-auth's session."""
    from google.oauth2.credentials import Credentials

    with_google(
        url,
        count,
        Credentials(  # type: ignore[no-untyped-call]
            "refused",
            refresh_token=REFRESH,
            token_uri=f"{url}/token",
            client_id=CLIENT,
            client_secret=SECRET,
        ),
    )


def google_asking_nobody(url: str, count: int) -> None:
    """The same with credentials that make up the token."""
    from google.auth.credentials import Credentials

    class MadeUp(Credentials):
        def refresh(self, _: object) -> None:
            self.token = uuid4().hex

    credentials = MadeUp()  # type: ignore[no-untyped-call]
    with_google(url, count, credentials)


def with_google(url: str, count: int, credentials: object) -> None:
    """Make the calls with google-auth's session."""
    from google.auth.transport.requests import AuthorizedSession

    with AuthorizedSession(credentials) as session:  # type: ignore[no-untyped-call]
        call(session, url, count, Later())


def call(session: requests.Session, url: str, count: int, clock: Later) -> None:
    """Make the calls; each URL is another, so that no cache makes it cheap."""
    for number in range(count):
        session.get(f"{url}/get?number={1000 + number}").raise_for_status()
        clock.ahead += PAUSE


MODES: Final[dict[str, tuple[Callable[[str, int], None], Callable[[str, int], None]]]] = {
    "refresh token": (ours, google),
    "made up": (ours_asking_nobody, google_asking_nobody),
}
"""Ours, and google-auth's."""


def measured(valgrind: str) -> dict[tuple[str, int], float]:
    """Return the instructions of a call in each mode; the least of several repeats counts."""
    kinds = [(mode, side) for mode in MODES for side in (0, 1)]
    runs = [(mode, side, count) for mode, side in kinds for count in (FEW, MANY)]
    with serving(__file__) as url, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            (run, pool.submit(counted, valgrind, __file__, *run, url)) for run in runs * REPEATS
        ]
        least = {run: min(job.result() for which, job in jobs if which == run) for run in runs}
    return {
        (mode, side): (least[mode, side, MANY] - least[mode, side, FEW]) / (MANY - FEW)
        for mode, side in kinds
    }


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
        least = measured(valgrind)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"instructions per call with a renewal, best of {REPEATS}, on Python ", end="")
    print(f"{platform.python_version()} and google-auth {version('google-auth')}")
    ratios = {mode: least[mode, 0] / least[mode, 1] for mode in MODES}
    for mode, ratio in ratios.items():
        print(f"  {mode:13} {least[mode, 0]:>12,.0f} {least[mode, 1]:>12,.0f}  {ratio:.3f}")
    if check and max(ratios.values()) > LIMIT:
        print(f"A call with a renewal costs more than {LIMIT}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["server"]:
            serve(Handler)
        case ["client", mode, side, count, url]:
            MODES[mode][int(side)](url, int(count))
        case _:
            sys.exit(main())
