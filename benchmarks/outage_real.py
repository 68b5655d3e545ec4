"""An outage of a real server, for real processes: what `outage.py --real` runs.

Each thread makes one call after the other, without a pause. The server works on ten requests at a
time, so that it answers 200 a second however many threads there are.

    python benchmarks/outage_real.py server
    python benchmarks/outage_real.py ours http://127.0.0.1:8000 --threads 8
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections import deque
from contextlib import suppress
from itertools import count
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from requests_authretry import FileStore, Settings, mount

BEGINS: Final = 5.0
"""Seconds from the first request to the outage; the healthy rate is counted in the last three."""

LASTS, AFTER = 60.0, 5.0
"""Seconds of the outage, and those after it."""

LATENCY: Final = 0.05
"""Seconds that an answer takes, a 503 as well."""

WORKERS: Final = 10
"""Requests that are worked on at a time. A 503 needs no worker."""

SHAPES: Final = ((4, 100), (8, 8))
CLIENTS: Final = ("ours", "ours, store", "urllib3")
UNAVAILABLE: Final = 503


class Found(NamedTuple):
    """What the server saw.

    Attributes:
        load: Requests during the outage, for each call that a healthy server would have seen.
        each: Requests during the outage, for each call that sent any.
        again: Successes in the second that begins a second after the return; 1 is normal.
    """

    load: float
    each: float
    again: float


async def serve() -> None:
    """Answer 200, and 503 during the outage; print what was sent when a line comes on stdin."""
    log: list[tuple[float, str]] = []
    served: list[float] = []
    first: list[float] = []
    free = deque([0.0] * WORKERS, maxlen=WORKERS)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                now = time.monotonic()
                first.append(now) if not first else None
                came = now - first[0]
                # All take the same time: the next one is served by who became free first.
                ends = max(came, free[0]) + LATENCY
                is_served = ends < BEGINS or came >= BEGINS + LASTS
                if is_served:
                    free.append(ends)
                else:
                    ends = max(came, BEGINS) + LATENCY
                call = head.partition("X-Call: ")[2].partition("\r\n")[0]
                log.append((came, call))
                await asyncio.sleep(ends - came)
                if is_served:
                    served.append(ends)
                status = b"200 OK" if is_served else b"503 Service Unavailable"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps((log, served)))


def call_again_and_again(client: str, url: str, threads: int, store: str) -> None:
    """Be one process: let its threads call until well after the outage."""
    retry = Retry(total=3, backoff_factor=0.5, status_forcelist=[UNAVAILABLE])
    session, numbers = requests.Session(), count()
    session.trust_env = False
    adapter = HTTPAdapter(pool_maxsize=threads, max_retries=retry if client == "urllib3" else 0)
    session.mount("http://", adapter)
    if client != "urllib3":
        mount(session, Settings(store=FileStore(store) if "store" in client else None))

    def work() -> None:
        while True:
            with suppress(requests.RequestException):
                session.get(url, headers={"X-Call": f"{os.getpid()}-{next(numbers)}"})

    for _ in range(threads):
        Thread(target=work, daemon=True).start()
    time.sleep(BEGINS + LASTS + AFTER)
    sys.stdout.flush()
    os._exit(0)  # the threads go on for ever


def observe(client: str, processes: int, threads: int) -> Found:
    """Run a server and its clients, and read what the server saw."""
    script = [sys.executable, __file__]
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(  # noqa: S603 (this script itself)
            [*script, "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        port = server.stdout.readline() if server.stdout else ""
        url = f"http://127.0.0.1:{port.strip()}/"
        options = ["--threads", f"{threads}", "--store", f"{folder}/store.json"]
        running = [
            subprocess.Popen([*script, client, url, *options])  # noqa: S603 (as above)
            for _ in range(processes)
        ]
        for process in running:
            process.wait()
        log, served = json.loads(server.communicate("end\n")[0])
    normal = sum(BEGINS - 3 <= at < BEGINS for at in served) / 3
    during = [call for came, call in log if BEGINS <= came < BEGINS + LASTS]
    again = BEGINS + LASTS + 1
    good = sum(again <= at < again + 1 for at in served)
    return Found(len(during) / (normal * LASTS), len(during) / len(set(during)), good / normal)


def observe_all() -> None:
    """Print what comes of every shape and client."""
    for processes, threads in SHAPES:
        print(f"\n{processes} processes of {threads}, a real server\n{'':17}load  each  again")
        for client in CLIENTS:
            found = observe(client, processes, threads)
            print(
                f"  {client:15}{found.load:4.2f} {found.each:5.2f} {found.again:6.1%}", flush=True
            )


def main() -> None:
    """Be the server, or one process of clients."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("role", choices=("server", *CLIENTS))
    parser.add_argument("url", nargs="?", default="")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--store", default="")
    given = parser.parse_args()
    if given.role == "server":
        asyncio.run(serve())
    else:
        call_again_and_again(given.role, given.url, given.threads, given.store)


if __name__ == "__main__":
    main()
