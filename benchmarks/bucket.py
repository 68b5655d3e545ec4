"""The server of `drain.py`: a token bucket, an artificial latency, and a word as one asks for it.

It says its port and serves until its standard input ends. Then it prints, as JSON, which requests
it decided on, in order: when, from which process, and whether it served them; and the most attempts
of one call. The target of a request is ``/PROCESS/CALL``.

    python benchmarks/bucket.py --form fields --rate 25 --burst 10 --latency 0.05
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser
from collections import Counter
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic, time
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.buckets import FORMS, TokenBucket

if TYPE_CHECKING:
    from argparse import Namespace

END: Final = b"\r\n\r\n"
BACKLOG: Final = 1024


class Server:
    """The limit, and what the server saw.

    Args:
        given: The command line.
    """

    def __init__(self, given: Namespace) -> None:
        """See no request yet."""
        self.form, self.half = given.form, given.latency / 2
        self._bucket = TokenBucket(given.rate, given.burst)
        self._attempts: Counter[str] = Counter()
        self._arrivals: list[tuple[float, str, bool]] = []

    def answer(self, target: str) -> bytes:
        """Decide on a request that arrives now."""
        now = monotonic()
        is_served = self._bucket.take(now)
        self._attempts[target] += 1
        self._arrivals.append((now, target.split("/")[1], is_served))
        status, body = ("200 OK", "served") if is_served else ("429 Too Many Requests", "refused")
        fields = self._bucket.says(self.form, time(), is_served=is_served)
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def told(self) -> dict[str, object]:
        """Return what it saw."""
        return {"arrivals": self._arrivals, "worst": max(self._attempts.values(), default=0)}


class Connection(asyncio.Protocol):
    """As much of HTTP/1.1 as a request without a body needs."""

    def __init__(self, server: Server) -> None:
        """Begin one for each connection."""
        self.server, self.unread = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (for the type checker)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Let each request that is whole arrive after half of the latency."""
        *requests, self.unread = (self.unread + data).split(END)
        loop = asyncio.get_running_loop()
        for request in requests:
            target = request.split(b" ", 2)[1].decode()
            loop.call_later(self.server.half, partial(self.arrived, target))

    def arrived(self, target: str) -> None:
        """Decide, and let the answer arrive after the other half."""
        answer = partial(self.transport.write, self.server.answer(target))
        asyncio.get_running_loop().call_later(self.server.half, answer)


async def serve(given: Namespace) -> None:
    """Serve until standard input ends."""
    server, over = Server(given), asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(over.set)

    Thread(target=wait, daemon=True).start()
    listening = await loop.create_server(
        lambda: Connection(server), "127.0.0.1", 0, backlog=BACKLOG
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    await over.wait()
    print(json.dumps(server.told()))


def main() -> None:
    """Read the options and serve."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--form", choices=FORMS, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--burst", type=int, required=True, help="what the bucket holds")
    parser.add_argument("--latency", type=float, required=True, help="seconds, both ways together")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
