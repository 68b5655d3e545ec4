"""How well many threads drain a queue of calls through a server's rate limit, on a real server.

Each run has a server and clients of its own, processes all of them. What counts is what the server
saw, by the best that its limit allows; so a slow machine shows less than seconds would. The same
table in virtual time: ``python -m tests.support.drains``.

    python benchmarks/drain.py [--short] [--check] [--clients ...] [--forms ...] [--shapes ...]
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from threading import Timer
from typing import TYPE_CHECKING, Final, NamedTuple

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.support.drains import (  # noqa: E402
    FORMS,
    HEAD,
    LATENCY,
    TABLE,
    Drain,
    Figures,
    Shape,
    counted,
    line,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

CLIENTS: Final = ("ours", "urllib3", "stamina")
STORES: Final = ("file", "redis")

FLOOD: Final = 1.5 * LATENCY
"""Seconds from the arrival of the first refused request, in which what arrives belongs to the first
flood: the refusal was on its way for half a latency, and what left before it came for another half.
The last half is for the machine."""

PLAIN: Final = {"NO_PROXY": "*", "NETRC": os.devnull}
PATIENCE: Final = 60.0


class Run(NamedTuple):
    """One drain, and who does it."""

    client: str
    drain: Drain


def script(name: str, **options: object) -> list[str]:
    """Return the command line of a sibling."""
    given = (f"--{key}={value}" for key, value in options.items() if value is not None)
    return [sys.executable, str(HERE / name), *given]


def drained(run: Run) -> Figures:
    """Do one run.

    Raises:
        RuntimeError: A client broke.
    """
    drain = run.drain
    limit = {"form": drain.form, "rate": drain.shape.rate, "burst": drain.shape.burst}
    command = script("bucket.py", **limit, latency=LATENCY)
    with subprocess.Popen(  # noqa: S603 (ours)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None  # noqa: S101 (for the type checker)
        call(run, f"http://127.0.0.1:{int(server.stdout.readline())}")
        told = json.loads(server.communicate()[0])
    return counted(
        told["arrivals"],
        calls=drain.calls,
        seconds=drain.seconds,
        flood_seconds=FLOOD,
        worst=told["worst"],
    )


def call(run: Run, url: str) -> None:
    """Run the processes of the client; what takes far too long is ended, and its calls failed.

    Raises:
        RuntimeError: One of them broke.
    """
    drain = run.drain
    with ExitStack() as stack:
        options = {"threads": drain.threads, "store": store_of(run, stack)}
        clients = [
            stack.enter_context(
                subprocess.Popen(  # noqa: S603 (ours)
                    [
                        *script("clients.py", **options),
                        *(
                            run.client,
                            f"{url}/{number}",
                            "--calls",
                            str(part.start),
                            str(part.stop),
                        ),
                    ],
                    env={**os.environ, **PLAIN},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for number, part in enumerate(drain.parts)
        ]
        stop = Timer(5 * drain.seconds + PATIENCE, end, [clients])
        stop.start()
        for client in clients:
            client.stdout.readline()  # type: ignore[union-attr]
        for client in clients:
            client.stdin.close()  # type: ignore[union-attr]
        broken = [code for client in clients if (code := client.wait()) > 0]
        stop.cancel()
    if broken:
        raise RuntimeError(f"{run.client} ended with {broken[0]}")


def store_of(run: Run, stack: ExitStack) -> str | None:
    """Make the store that the processes share, and return its path or URL; None for none."""
    if run.drain.processes == 1 or run.client != "ours":
        return None
    if run.drain.store == "redis":
        from tests.servers.redis import serve_redis

        return stack.enter_context(serve_redis()).url
    return f"{stack.enter_context(tempfile.TemporaryDirectory())}/store"


def end(clients: Iterable[subprocess.Popen[bytes]]) -> None:
    """Kill them all."""
    for client in clients:
        client.kill()


def runs(given: Namespace) -> list[Run]:
    """Return what is asked for: peers in single processes, and in the short form with one word."""
    found = []
    for drain in TABLE:
        is_fleet = drain.processes > 1
        is_asked = (
            drain.form in given.forms
            and drain.seconds in given.seconds
            and drain.shape in (given.shapes or [drain.shape])
            and given.fleets in {None, is_fleet}
        )
        if not is_asked:
            continue
        if is_fleet:
            stores = given.stores if "ours" in given.clients else ()
            found += [Run("ours", replace(drain, store=store)) for store in stores]
        elif given.short and drain.form != "seconds":
            found.append(Run("ours", drain))
        else:
            found += [Run(client, drain) for client in given.clients]
    return found


def summary(repeats: list[Figures]) -> Figures:
    """Return the median of the ratios, and the worst of the counts."""
    time, refused, *counts = zip(*repeats, strict=True)
    return Figures(median(time), median(refused), *map(max, counts))


def asked() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--short", action="store_true", help="drains of 4 s: about a minute")
    parser.add_argument("--check", action="store_true", help="fail where ours misses the aims")
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=CLIENTS)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--shapes", nargs="+", type=Shape.read, metavar="RATE/BURST")
    parser.add_argument("--seconds", nargs="+", type=int)
    parser.add_argument("--fleets", action="store_const", const=True, help="those alone")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    parser.add_argument("--repeats", type=int, default=1, help="show the median of so many")
    parser.add_argument("--jobs", type=int, default=6, help="runs side by side")
    given = parser.parse_args()
    given.seconds = given.seconds or ([4] if given.short else [4, 60])
    if find_spec("stamina") is None:
        print("stamina is not installed, and left out")
        given.clients = [client for client in given.clients if client != "stamina"]
    return given


def main() -> int:
    """Run, print, and with ``--check`` hold the aims."""
    given, missed = asked(), False
    print(f"{'client':8} {HEAD}", flush=True)
    with ThreadPoolExecutor(given.jobs) as pool:
        jobs = {
            run: [pool.submit(drained, run) for _ in range(given.repeats)] for run in runs(given)
        }
        for run, repeats in jobs.items():
            found = summary([job.result() for job in repeats])
            aim = run.drain.aim if run.client == "ours" else None
            missed = missed or (aim is not None and bool(found.misses(aim)))
            print(f"{run.client:8} {line(run.drain, found, aim)}", flush=True)
    return int(given.check and missed)


if __name__ == "__main__":
    sys.exit(main())
