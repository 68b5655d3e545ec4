"""How well many threads drain a queue of calls through a server's rate limit.

Each run has a server and clients of its own, processes all of them. What counts is what the server
saw, by the best that its limit allows; so a slow machine shows less than seconds would.

    python benchmarks/drain.py [--short] [--check] [--timeline FILE]
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import Timer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

HERE: Final = Path(__file__).parent
CLIENTS: Final = ("ours", "urllib3", "naive")
HINTS: Final = ("fields", "seconds", "date", "none")
CROWD: Final = "crowd"

AIMS: Final = {"fields": 1.02, "seconds": 1.05, "date": 1.05, "none": 1.07}
"""The most that the drain may take, the ideal being 1."""
WASTE, ATTEMPTS = 0.02, 3
"""The most 429s per success, and attempts of one call."""
TOLERANCE: Final = 0.01
"""How far the drain may miss its aim before ``--check`` fails; a quarter of it for the 429s."""

PLAIN: Final = {"NO_PROXY": "*", "NETRC": os.devnull}
PATIENCE: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """One server, and one client with its processes.

    Attributes:
        name: The row of the table.
        hints: How the server says when to come again.
        rate: Requests a second that it serves in the long run.
        burst: What its bucket holds, full at first.
        window: Seconds of a fixed window; 0: a token bucket.
        latency: Seconds from a request to its answer.
    """

    name: str
    hints: str
    client: str = "ours"
    calls: int = 6000
    threads: int = 64
    processes: int = 1
    rate: float = 100.0
    burst: int = 100
    window: int = 0
    latency: float = 0.05

    def ideal(self, calls: int) -> float:
        """Seconds until the last answer of so many calls, for a client that knows the limit.

        Without windows: the bucket is full at first and is never full again, so that nothing it
        gains is lost; then one latency.
        """
        if self.window:
            begun = math.ceil(calls / round(self.rate * self.window)) - 1
            return max(0, begun) * self.window + self.latency
        return max(0, calls - self.burst) / self.rate + self.latency


@dataclass(frozen=True)
class Result:
    """What the server of a run saw."""

    run: Run
    drain: float
    refused: float
    late: int
    worst: int
    failed: int
    timeline: list[list[int]] = field(repr=False)


def script(name: str, **options: object) -> list[str]:
    """The command line of a sibling."""
    given = (f"--{key}={value}" for key, value in options.items() if value is not None)
    return [sys.executable, str(HERE / name), *given]


def drained(run: Run) -> Result:
    """Do one run.

    Raises:
        RuntimeError: A client broke.
    """
    limit = {name: getattr(run, name) for name in ("hints", "rate", "burst", "window", "latency")}
    with subprocess.Popen(  # noqa: S603 (ours)
        script("bucket.py", **limit), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None  # noqa: S101 (for the type checker)
        call(run, f"http://127.0.0.1:{int(server.stdout.readline())}")
        told, _ = server.communicate()
    return result(run, json.loads(told))


def call(run: Run, url: str) -> None:
    """Run the processes of the client; what takes far too long is ended, and its calls failed.

    Raises:
        RuntimeError: One of them broke.
    """
    ends = [run.calls * number // run.processes for number in range(run.processes + 1)]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        store = f"{folder}/store" if run.processes > 1 else None
        command = script("clients.py", threads=run.threads, store=store)
        command += [run.client, url, "--calls"]
        clients = [
            stack.enter_context(
                subprocess.Popen([*command, str(first), str(end)], env={**os.environ, **PLAIN})  # noqa: S603 (ours)
            )
            for first, end in pairwise(ends)
        ]
        stop = Timer(3 * run.ideal(run.calls) + PATIENCE, end, [clients])
        stop.start()
        broken = [code for client in clients if (code := client.wait()) > 0]
        stop.cancel()
    if broken:
        raise RuntimeError(f"{run.client} ended with {broken[0]}")


def end(clients: Iterable[subprocess.Popen[bytes]]) -> None:
    """Kill them all."""
    for client in clients:
        client.kill()


def result(run: Run, told: dict[str, Any]) -> Result:
    """As ratios."""
    return Result(
        run,
        drain=told["seconds"] / run.ideal(told["served"]),
        refused=told["refused"] / max(1, told["served"]),
        late=told["late"],
        worst=told["worst"],
        failed=run.calls - told["served"],
        timeline=told["timeline"],
    )


def runs(options: Namespace) -> list[Run]:
    """What is asked for; in the short form the peers show one kind of hint only."""
    names = ("calls", "threads", "processes", "rate", "burst", "window", "latency")
    usual: dict[str, Any] = {name: getattr(options, name) for name in names}
    crowd = {**usual, "hints": "seconds", "calls": 512, "threads": 256, "rate": 25.0, "burst": 25}
    return [
        Run(name=name, client=client, **(crowd if name == CROWD else {**usual, "hints": name}))
        for name in options.hints
        for client in options.clients
        if not options.short or client == "ours" or name == "seconds"
    ]


HEAD: Final = (
    f"{'hints':8} {'client':8} {'drain':>7} {'429s':>7} {'late':>6} {'worst':>6} {'failed':>7}"
)


def summary(results: list[Result]) -> Result:
    """Of the repeats of one run: the median of the ratios, the worst of the counts."""
    return Result(
        results[0].run,
        drain=median(one.drain for one in results),
        refused=median(one.refused for one in results),
        late=max(one.late for one in results),
        worst=max(one.worst for one in results),
        failed=max(one.failed for one in results),
        timeline=[],
    )


def row(one: Result) -> str:
    """A line of the table."""
    return (
        f"{one.run.name:8} {one.run.client:8} {one.drain:7.3f} {one.refused:7.3f} "
        f"{one.late:6} {one.worst:6} {one.failed:7}"
    )


def misses(one: Result) -> Iterable[str]:
    """Where it misses the aims by more than the tolerance."""
    if one.failed:
        yield f"{one.failed} calls failed"
    if one.run.name == CROWD or one.run.window:
        return
    if one.drain > AIMS[one.run.name] + TOLERANCE:
        yield f"drain above {AIMS[one.run.name]}"
    if one.refused > WASTE + TOLERANCE / 4:
        yield f"more than {WASTE} 429s per success"
    if one.late and one.run.name == "fields":
        yield f"{one.late} 429s after the first window"
    if one.worst > ATTEMPTS:
        yield f"a call with {one.worst} attempts"


def write_timeline(path: str, results: list[Result]) -> None:
    """Each tenth of a second: served and refused, tab-separated."""
    with Path(path).open("w", encoding="utf-8") as file:
        print("run", "hints", "client", "tenth", "served", "refused", sep="\t", file=file)
        for number, one in enumerate(results):
            for tenth, counts in enumerate(one.timeline):
                print(number, one.run.name, one.run.client, tenth, *counts, sep="\t", file=file)


def asked() -> Namespace:
    """The command line."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--short", action="store_true", help="about a minute; ours, and a peer row")
    parser.add_argument("--check", action="store_true", help="fail where ours misses the aims")
    parser.add_argument("--timeline", metavar="FILE", help="200s and 429s, by tenths of a second")
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=CLIENTS)
    parser.add_argument("--hints", nargs="+", choices=(*HINTS, CROWD), default=(*HINTS, CROWD))
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--jobs", type=int, help="runs side by side", default=3)
    parser.add_argument("--calls", type=int)
    parser.add_argument("--threads", type=int, help="of each process")
    parser.add_argument("--processes", type=int, default=1, help="sharing a FileStore")
    parser.add_argument("--rate", type=float, default=Run.rate, help="requests a second")
    parser.add_argument("--burst", type=int, default=Run.burst)
    parser.add_argument("--window", type=int, default=0, help="seconds: fixed windows, no bucket")
    parser.add_argument("--latency", type=float, default=Run.latency, help="seconds")
    options = parser.parse_args()
    usual = (1, 2400, 32) if options.short else (3, Run.calls, Run.threads)
    for name, value in zip(("repeats", "calls", "threads"), usual, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def main() -> int:
    """Run, print, and with ``--check`` hold the aims."""
    options = asked()
    each, missed = runs(options), False
    print(
        f"{options.calls} calls, {options.processes} x {options.threads} threads, "
        f"{options.rate:g} requests a second, median of {options.repeats}\n{HEAD}",
        flush=True,
    )
    done: list[Result] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = [[pool.submit(drained, run) for _ in range(options.repeats)] for run in each]
        for repeats in jobs:
            results = [job.result() for job in repeats]
            done += results
            one = summary(results)
            missing = "; ".join(misses(one)) if one.run.client == "ours" else ""
            print(row(one), f" {missing}".rstrip(), flush=True)
            missed = missed or bool(missing)
    if options.timeline:
        write_timeline(options.timeline, done)
    return int(options.check and missed)


if __name__ == "__main__":
    sys.exit(main())
