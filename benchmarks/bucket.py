"""The server of `drain.py`: a limit, an artificial latency, and hints as one asks for them.

It says its port, serves until its standard input ends, and then prints what it counted, as JSON.
What a client is refused, and when the last of its requests succeeds, only the server knows.

    python benchmarks/bucket.py --hints fields --rate 100 --burst 100 --latency 0.05
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import asyncio
import json
import math
import sys
from argparse import ArgumentParser
from collections import Counter
from email.utils import formatdate
from threading import Thread
from time import monotonic, time
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from argparse import Namespace

HINTS: Final = ("seconds", "date", "fields", "none")
END: Final = b"\r\n\r\n"
BACKLOG: Final = 1024
TENTHS: Final = 10


class Limit(Protocol):
    """What decides whether a request is served."""

    quota: int
    window: int

    def take(self, now: float) -> bool:
        """Whether a request that arrives now is served."""

    def left(self) -> int:
        """How many would be served at once."""

    def next_in(self, now: float) -> float:
        """Seconds until another one would be served."""

    def reset_in(self, now: float) -> float:
        """Seconds until as many as possible would be served at once."""


class TokenBucket:
    """Holds up to ``burst`` requests' worth and gains ``rate`` of them a second."""

    def __init__(self, rate: float, burst: int) -> None:
        """Full at first."""
        self.rate, self.burst = rate, burst
        self.window = max(1, round(burst / rate))
        self.quota = round(rate * self.window)
        self._level, self._at = float(burst), -math.inf

    def take(self, now: float) -> bool:
        """Fill for the time since the last request; serve this one if it is worth one."""
        if now > self._at:
            self._level = min(self.burst, self._level + (now - self._at) * self.rate)
            self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def left(self) -> int:
        """Whole requests."""
        return int(self._level)

    def next_in(self, now: float) -> float:  # noqa: ARG002 (`take` has just set the time)
        """Until the level is one."""
        return max(0.0, 1 - self._level) / self.rate

    def reset_in(self, now: float) -> float:  # noqa: ARG002 (as above)
        """Until it is full."""
        return (self.burst - self._level) / self.rate


class FixedWindow:
    """Serves ``quota`` requests in each window; the first begins with the first request."""

    def __init__(self, rate: float, window: int) -> None:
        """No window has begun."""
        self.quota, self.window = round(rate * window), window
        self._left, self._ends = 0, -math.inf

    def take(self, now: float) -> bool:
        """Begin another window if this one is over; serve what it still has."""
        if self._ends == -math.inf:
            self._left, self._ends = self.quota, now + self.window
        while now >= self._ends:
            self._left, self._ends = self.quota, self._ends + self.window
        served = self._left > 0
        self._left -= served
        return served

    def left(self) -> int:
        """What this window still has."""
        return self._left

    def next_in(self, now: float) -> float:
        """Until the next window, if this one has nothing left."""
        return 0.0 if self._left else self.reset_in(now)

    def reset_in(self, now: float) -> float:
        """Until the next window."""
        return self._ends - now


def hint(kind: str, limit: Limit, *, served: bool) -> str:
    """The header lines of an answer; all times are whole seconds, rounded up, as in the field."""
    now, today = monotonic(), time()
    said = [f"Date: {formatdate(today, usegmt=True)}"]
    wait = math.ceil(limit.next_in(now))
    if kind == "fields":
        said += [
            f'RateLimit-Policy: "default";q={limit.quota};w={limit.window}',
            f'RateLimit: "default";r={limit.left()};t={math.ceil(limit.reset_in(now))}',
        ]
    elif kind == "seconds" and not served:
        said.append(f"Retry-After: {wait}")
    elif kind == "date" and not served:
        ready = math.ceil(today + limit.next_in(now))
        said.append(f"Retry-After: {formatdate(ready, usegmt=True)}")
    return "\r\n".join(said)


class Counts:
    """What the server saw."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.attempts: Counter[bytes] = Counter()
        self.served: set[bytes] = set()
        self.refused: list[float] = []
        self.successes: list[float] = []
        self.first = math.nan

    def add(self, target: bytes, now: float, *, served: bool) -> None:
        """Note one request; each call of a client has a target of its own."""
        if not self.attempts:
            self.first = now
        self.attempts[target] += 1
        if served:
            self.served.add(target)
        (self.successes if served else self.refused).append(now - self.first)

    def told(self, window: float, latency: float) -> dict[str, object]:
        """For `drain.py`."""
        tenths = [Counter(int(at * TENTHS) for at in ats) for ats in (self.successes, self.refused)]
        last = max((tenth for counter in tenths for tenth in counter), default=-1)
        return {
            "requests": self.attempts.total(),
            "served": len(self.served),
            "refused": len(self.refused),
            "late": sum(at > window for at in self.refused),
            "worst": max(self.attempts.values(), default=0),
            "seconds": max(self.successes, default=math.nan) + latency,
            "timeline": [[counter[tenth] for counter in tenths] for tenth in range(last + 1)],
        }


class Connection(asyncio.Protocol):
    """As much of HTTP/1.1 as a request without a body needs."""

    def __init__(self, options: Namespace, limit: Limit, counts: Counts) -> None:
        """One for each connection."""
        self.options, self.limit, self.counts = options, limit, counts
        self.unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (for the type checker)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        *requests, self.unread = (self.unread + data).split(END)
        for request in requests:
            self.answer(request.split(b" ", 2)[1])

    def answer(self, target: bytes) -> None:
        """Decide when the request comes, and say so after the latency."""
        now = monotonic()
        served = self.limit.take(now)
        self.counts.add(target, now, served=served)
        status, body = ("200 OK", "served") if served else ("429 Too Many Requests", "refused")
        lines = hint(self.options.hints, self.limit, served=served)
        said = f"HTTP/1.1 {status}\r\n{lines}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        loop = asyncio.get_running_loop()
        loop.call_later(self.options.latency, self.transport.write, said.encode())


async def serve(options: Namespace) -> None:
    """Until standard input ends."""
    limit: Limit = TokenBucket(options.rate, options.burst)
    if options.window:
        limit = FixedWindow(options.rate, options.window)
    counts, over = Counts(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(over.set)

    Thread(target=wait, daemon=True).start()
    server = await loop.create_server(
        lambda: Connection(options, limit, counts), "127.0.0.1", 0, backlog=BACKLOG
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()
    print(json.dumps(counts.told(limit.window, options.latency)))


def main() -> None:
    """Read the options and serve."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--hints", choices=HINTS, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--burst", type=int, required=True, help="what the bucket holds")
    parser.add_argument("--window", type=int, default=0, help="seconds: fixed windows, no bucket")
    parser.add_argument("--latency", type=float, required=True, help="seconds")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
