"""What a wrong guess about the scope of a rate limit costs, in each direction.

    python benchmarks/scope.py [--short] [--check] [--seed N] [WORDS OF A WORLD ...]
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import sys
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from string import ascii_lowercase
from typing import TYPE_CHECKING, Final

from requests_authretry import MemoryStore, Reason, RetryPolicy

from scope_policies import POLICIES, Ideal, Ours  # isort: skip
from scope_world import (  # isort: skip
    LATENCY,
    Bucket,
    Caller,
    Clock,
    Exhausted,
    Habits,
    Limit,
    Server,
    Tally,
    Window,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MINUTE, HOUR = 60.0, 3600.0
BUSIEST: Final = 32.0
"""Calls a second that all callers together make at most: more callers call less often each."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A server, and what is asked of it.

    Attributes:
        limits: Makes its limits, for so many calls a second.
        endpoints: How many there are, named by letters.
        busy: How often each of the first endpoints is asked for, in place of once.
        keys: Things at each endpoint.
        hot: Share of the requests for thing 0, besides its own.
        unlucky: Share of the requests that are refused at random.
        thinks: Mean seconds between the calls of a caller, at least.
        lasts: Seconds that are simulated.
    """

    limits: Callable[[float], Sequence[Limit]]
    endpoints: int = 5
    busy: tuple[float, ...] = ()
    keys: int = 20
    hot: float = 0.0
    unlucky: float = 0.0
    thinks: float = 1.0
    lasts: float = HOUR / 2

    @property
    def weights(self) -> dict[str, float]:
        """The endpoints, and how often each is asked for."""
        names = ascii_lowercase[: self.endpoints]
        return {name: 1.0 for name in names} | dict(zip(names, self.busy, strict=False))


def window(seconds: float) -> Callable[[float], Sequence[Limit]]:
    """One fixed window for all, of half the requests that callers would make."""
    return lambda rate: [Window(rate * seconds / 2, seconds)]


def bucket(rate: float) -> Sequence[Limit]:
    """One token bucket for all, of half the requests that callers would make."""
    return [Bucket(rate / 2, rate)]


def one_exhausted(_rate: float) -> Sequence[Limit]:
    """The first endpoint is exhausted for an hour, from the first minute on."""
    return [Exhausted("a", MINUTE, MINUTE + HOUR)]


def two_windows(rate: float) -> Sequence[Limit]:
    """Each endpoint may have a fifth of the requests in a minute: too few for the first two."""
    return [Window(rate * MINUTE / 5, MINUTE, name) for name in ascii_lowercase[:5]]


def hot_key(rate: float) -> Sequence[Limit]:
    """One thing at one endpoint may be asked for a little less often than it is."""
    return [Window(rate / 64 * MINUTE, MINUTE, "a", key=0)]


def none(_rate: float) -> Sequence[Limit]:
    """No limit that lasts."""
    return []


def mixed(rate: float) -> Sequence[Limit]:
    """A window of a minute for all, and one of an hour for the first endpoint."""
    return [Window(rate * MINUTE / 2, MINUTE), Window(rate * HOUR / 40, HOUR, "a")]


SETTINGS: Final[dict[str, Setting]] = {
    **{
        f"origin, window of 60 s, {number} endpoints": Setting(
            limits=window(MINUTE), endpoints=number
        )
        for number in (2, 5, 20)
    },
    **{
        f"origin, window of 3600 s, {number} endpoints": Setting(
            limits=window(HOUR), endpoints=number, thinks=10.0, lasts=2 * HOUR
        )
        for number in (2, 5, 20)
    },
    **{
        f"origin, bucket, {number} endpoints": Setting(limits=bucket, endpoints=number)
        for number in (2, 5, 20)
    },
    "one of 5 endpoints exhausted for an hour": Setting(limits=one_exhausted, lasts=HOUR + 120),
    "one of 20 endpoints exhausted for an hour": Setting(
        limits=one_exhausted, endpoints=20, lasts=HOUR + 120
    ),
    "own windows, two of 5 endpoints too busy": Setting(
        limits=two_windows, busy=(3.0, 3.0)
    ),
    "a hot key": Setting(limits=hot_key, hot=0.05),
    "3 % at random": Setting(limits=none, unlucky=0.03),
    "mixed": Setting(limits=mixed, lasts=2 * HOUR),
}
SHAPES: Final = ((1, 1), (1, 8), (1, 32), (8, 1), (8, 8), (8, 32))
"""Processes, and threads in each."""


def simulated(title: str, shape: tuple[int, int], policy: str, seed: int = 0) -> Tally:
    """Run one policy through one world."""
    setting, (processes, threads) = SETTINGS[title], shape
    callers = processes * threads
    thinks = max(setting.thinks, callers / BUSIEST)
    world, tally = World(), Tally()
    limits = setting.limits(callers / (thinks + LATENCY))
    server = Server(limits, setting.unlucky, tally)
    habits = Habits(weights=setting.weights, keys=setting.keys, hot=setting.hot, thinks=thinks)
    store, chosen = MemoryStore(Clock(world)), POLICIES[policy]
    for process in range(processes):
        client: Ideal | Ours
        if chosen.limiter is None:
            client = Ideal(RetryPolicy().deadline)
        else:
            client = Ours(world, store, chosen.limiter, chosen.limits)
        for thread in range(threads):
            Caller(world, server, client, tally, habits, f"{seed} {process} {thread}")
    world.run(setting.lasts)
    return tally


HEADER: Final = "refused  early  denied    held  worst   paced  failed  goodput"


def row(policy: str, it: Tally, ideal: Tally) -> str:
    """Return a line of the table."""
    return (
        f"  {policy:16}{it.refused / max(it.passed, 1):7.2%}{it.early:7}{it.denied / it.calls:8.2%}"
        f"{it.held / it.calls:8.3f}{it.worst:7.1f}"
        f"{it.paced / it.calls:8.3f}{1-it.passed / it.calls:8.2%}{it.passed / ideal.passed:9.1%}"
        f"  {it.calls:6}"
    )


def main() -> int:
    """Simulate, and print."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shapes", default="")
    parser.add_argument("words", nargs="*")
    given = parser.parse_args()
    titles = [t for t in SETTINGS if all(w in t for w in given.words)]
    shapes = [tuple(map(int, s.split("x"))) for s in given.shapes.split(",")] if given.shapes else SHAPES
    with ProcessPoolExecutor(2) as pool:
        jobs = {
            (title, shape): {name: pool.submit(simulated, title, shape, name, given.seed) for name in POLICIES}
            for title in titles
            for shape in shapes
        }
        for (title, shape), running in jobs.items():
            found = {policy: job.result() for policy, job in running.items()}
            print(f"\n{title}; {shape[0]} processes of {shape[1]}\n{'':18}{HEADER}")
            for policy, it in found.items():
                print(row(policy, it, found["ideal"]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
