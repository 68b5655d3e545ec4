"""Drains in virtual time: many threads make calls, through `mount`, to a server with a rate limit.

A drain is as long as its work: the burst of a token bucket, and what the bucket gains in some
seconds. So a client that knows the limit is done after these seconds, and time is told over them.
Threads begin at once. What they send before the first refusal arrives at their process is the first
flood: nobody can know better, and its refusals are counted apart.

    python -m tests.support.drains                           # the whole table, under a minute
    python -m tests.support.drains --seeds 3                 # the worst of three
    python -m tests.support.drains --seconds 4 --forms none
    python -m tests.support.drains --seconds 4 --overtaking 0.3    # as over a real network
    python -m tests.support.drains --processes 8 --threads 8 --shapes 25/10
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import requests

from requests_authretry import RateLimits
from tests.support.buckets import FORMS, Form, TokenBucket
from tests.support.scenario import Answer, Request, World
from tests.support.sessions import API
from tests.support.virtual_time import BEGAN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LATENCY: Final = 0.05
"""Seconds from a request to its answer; it arrives in the middle of that time."""


class Shape(NamedTuple):
    """A token bucket: what it gains in a second, and what it holds."""

    rate: float
    burst: int

    @classmethod
    def read(cls, text: str) -> Shape:
        """Read the form that it is printed in."""
        rate, _, burst = text.partition("/")
        return cls(float(rate), int(burst))

    def __str__(self) -> str:
        return f"{self.rate:g}/{self.burst}"


SHAPES: Final = (*(Shape(25.0, burst) for burst in (2, 10, 25, 250)), Shape(100.0, 20))


class Aim(NamedTuple):
    """The most that a drain may take, over the ideal, and refusals for each success."""

    time: float
    refused: float


AIMS: Final[dict[tuple[Form, int], Aim]] = {
    ("seconds", 4): Aim(1.40, 0.05),
    ("seconds", 60): Aim(1.08, 0.02),
    ("date", 4): Aim(1.40, 0.05),
    ("date", 60): Aim(1.08, 0.02),
    ("none", 4): Aim(1.15, 0.05),
    ("none", 60): Aim(1.05, 0.02),
    ("fields", 4): Aim(1.10, 0.02),
    ("fields", 60): Aim(1.02, 0.01),
}
"""Those of one process, by the form and the seconds of the drain."""

FLEET_AIMS: Final = {"memory": Aim(1.10, 0.02), "redis": Aim(1.10, 0.02), "file": Aim(1.15, 0.02)}
"""Those of 8 processes with 8 threads each, by their store, for drains of 60 s without fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """The work, who does it, and what the server says.

    Attributes:
        shape: The limit of the server.
        form: How the server says when to come again.
        seconds: How long a client needs that knows the limit.
        processes: Processes that share a store, and the calls in equal parts.
        threads: Threads of each process.
        store: The kind of their store: ``memory`` in virtual time, ``file`` or ``redis``.
        seed: The source of random numbers, for waits and for the begin in a second of POSIX time.
        is_paced: Whether rate limits are kept by pacing.
        overtaking: Extra time that a request takes to the server, on average, as a share of the
            usual one; each request draws its own. So requests overtake one another. 0.0: none does.
    """

    shape: Shape
    form: Form
    seconds: int
    processes: int = 1
    threads: int = 32
    store: str = "memory"
    seed: int = 0
    is_paced: bool = True
    overtaking: float = 0.0

    @property
    def calls(self) -> int:
        """How many calls there are."""
        return self.shape.burst + round(self.shape.rate * self.seconds)

    @property
    def parts(self) -> list[range]:
        """The numbers of the calls of each process."""
        ends = [self.calls * number // self.processes for number in range(self.processes + 1)]
        return [range(first, end) for first, end in pairwise(ends)]

    @property
    def aim(self) -> Aim | None:
        """What it is to reach, None if nothing is demanded."""
        if self.processes > 1:
            is_asked = self.form != "fields" and self.seconds == 60
            return FLEET_AIMS[self.store] if is_asked else None
        return AIMS.get((self.form, self.seconds))


class Figures(NamedTuple):
    """What the server of a drain saw.

    Attributes:
        time: From the first request to the last one that was served, over the ideal time.
        refused: Refusals for each success, both after the first flood.
        flood: Refusals of the first flood.
        worst: The most attempts of a call.
        failed: Calls that were never served.
    """

    time: float
    refused: float
    flood: int
    worst: int
    failed: int

    def misses(self, aim: Aim | None) -> list[str]:
        """Return what is above the aim; a failed call misses every aim."""
        found = [f"{self.failed} calls failed"] if self.failed else []
        if aim is not None and self.time > aim.time:
            found.append(f"time {self.time:.3f} and not {aim.time:.2f}")
        if aim is not None and self.refused > aim.refused:
            found.append(f"refused {self.refused:.3f} and not {aim.refused:.2f}")
        return found


def figures(drain: Drain, **settings: Any) -> Figures:
    """Do a drain.

    Args:
        drain: What to do.
        **settings: More settings of all processes.
    """
    world = draining(drain, **settings)
    world.turns.run()
    return world.figures()


def draining(
    drain: Drain, make_store: Callable[[World], Any] | None = None, **settings: Any
) -> Draining:
    """Return a drain that is about to begin.

    Args:
        drain: What to do.
        make_store: Makes the store that all processes share, a single one too; None: only several
            processes share one.
        **settings: More settings of all processes.
    """
    world = Draining(drain)
    if make_store is not None:
        world.store = make_store(world)
    is_shared = drain.processes > 1 or make_store is not None
    limits = RateLimits() if drain.is_paced else RateLimits(pacing=False)
    for process, part in enumerate(drain.parts):
        shared = {"store": world.store} if is_shared else {}
        chosen = {"clock": world.process(ahead=world.ahead), "limits": limits, **shared, **settings}
        session = world.session(world.settings(**chosen))
        numbers = iter(part)
        for thread in range(drain.threads):
            name = f"{process} {thread}"
            world.caller(name, partial(world.work, name, session, numbers))
    return world


def worst_of(drain: Drain, seeds: int) -> Figures:
    """Do a drain with several seeds; return the highest of each figure."""
    return Figures(*map(max, zip(*_each(drain, seeds), strict=True)))


def median_of(drain: Drain, seeds: int) -> Figures:
    """Do a drain with several seeds; return the median of each figure.

    Args:
        drain: What to do.
        seeds: How many; an odd number.
    """
    return Figures(*map(median, zip(*_each(drain, seeds), strict=True)))


def _each(drain: Drain, seeds: int) -> list[Figures]:
    return [figures(replace(drain, seed=drain.seed + number)) for number in range(seeds)]


class Draining(World):
    """The server and the callers of one drain."""

    def __init__(self, drain: Drain) -> None:
        random = Random(drain.seed)  # noqa: S311 (it spreads waits)
        # Dates are whole seconds: it matters when in a second of POSIX time a drain begins.
        self.ahead = random.random()
        super().__init__(self._reply, takes=LATENCY / 2, random=random.random)
        self._drain, self._bucket = drain, TokenBucket(*drain.shape)
        self._delays = Random(drain.seed + 1000)  # noqa: S311 (it delays requests)
        self._current: dict[str, int] = {}
        self._attempts: Counter[int] = Counter()

    def work(self, name: str, session: requests.Session, numbers: Iterator[int]) -> None:
        """Make calls until none is left, as one thread of many."""
        prepared = requests.Request("GET", f"{API}/orders").prepare()
        for number in numbers:
            self._current[name] = number
            try:
                session.send(prepared.copy())
            except requests.RequestException:
                continue

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Let a request arrive, and answer it then."""
        usual = LATENCY / 2
        # Exponential, as on a real machine: most requests are late by little, a few by much.
        extra = self._drain.overtaking * usual * self._delays.expovariate(1.0)
        self.turns.sleep(usual + extra)
        return super().send(request)

    def _reply(self, request: Request) -> Answer:
        self._attempts[self._current[request.caller]] += 1
        is_served = self._bucket.take(request.time)
        posix = BEGAN + self.ahead + request.time
        said = self._bucket.says(self._drain.form, posix, is_served=is_served)
        return Answer(200 if is_served else 429, said)

    def figures(self) -> Figures:
        """Return what came of it."""
        # What left before the first refusal arrived is part of the first flood, however late it is.
        flood_seconds = 1.5 * LATENCY if self._drain.overtaking else LATENCY
        return counted(
            [(sent.time, sent.caller.split()[0], sent.status == 200) for sent in self.sent],
            calls=self._drain.calls,
            seconds=self._drain.seconds,
            flood_seconds=flood_seconds,
            worst=max(self._attempts.values()),
        )


def counted(
    arrivals: list[tuple[float, str, bool]],
    *,
    calls: int,
    seconds: float,
    flood_seconds: float,
    worst: int,
) -> Figures:
    """Count what a server saw.

    Args:
        arrivals: When each request came, from which process, and whether it was served.
        calls: How many calls there were.
        seconds: The ideal time.
        flood_seconds: What came so soon after the first refused request of its process had left
            before that refusal arrived.
        worst: The most attempts of a call.
    """
    ends: dict[str, float] = {}
    served, refused, flood = 0, 0, 0
    for time, process, is_served in arrivals:
        if not is_served:
            ends.setdefault(process, time + flood_seconds + 1e-9)
        is_late = time >= ends.get(process, time + 1)
        served += is_served and is_late
        refused += not is_served and is_late
        flood += not is_served and not is_late
    successes = [time for time, _, is_served in arrivals if is_served]
    return Figures(
        time=(max(successes) - arrivals[0][0]) / seconds,
        refused=refused / max(served, 1),
        flood=flood,
        worst=worst,
        failed=calls - len(successes),
    )


TABLE: Final = [
    *(
        Drain(shape=shape, form=form, seconds=seconds)
        for seconds in (4, 60)
        for form in FORMS
        for shape in SHAPES
    ),
    *(
        Drain(shape=shape, form=form, seconds=60, processes=8, threads=8)
        for form in ("seconds", "none")
        for shape in SHAPES
    ),
]
"""The drains of which something is demanded; fleets hear a date as they hear seconds."""

HEAD: Final = f"{'form':8} {'shape':>7} {'s':>3} {'who':10} time (aim)    refused (aim) flood worst"


def line(drain: Drain, found: Figures, aim: Aim | None) -> str:
    """Return a line of the table."""
    time, refused = (f"({each:.2f})" for each in aim) if aim else ("", "")
    who = f"{drain.processes}x{drain.threads}"
    if drain.processes > 1:
        who += f" {drain.store}"
    return (
        f"{drain.form:8} {drain.shape!s:>7} {drain.seconds:3} {who:10}{found.time:6.3f} {time:6} "
        f"{found.refused:6.3f} {refused:6}  {found.flood:5} {found.worst:5}  "
        f"{'; '.join(found.misses(aim))}"
    ).rstrip()


def main() -> None:
    """Print the table, or a part of it."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, nargs="+")
    parser.add_argument("--forms", nargs="+", choices=FORMS)
    parser.add_argument("--shapes", nargs="+", type=Shape.read, metavar="RATE/BURST")
    parser.add_argument("--processes", type=int, help="with --threads: others than in the table")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1, help="show the worst of so many")
    parser.add_argument("--medians", action="store_true", help="show the median of them instead")
    parser.add_argument("--overtaking", type=float, default=0.0, metavar="SHARE", help="extra time")
    parser.add_argument("--unpaced", action="store_true", help="with RateLimits(pacing=False)")
    parser.add_argument("--jobs", type=int, default=1, help="drains side by side")
    given = parser.parse_args()
    names = ("processes", "threads")
    who = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    changes = {
        **who,
        "seed": given.seed,
        "is_paced": not given.unpaced,
        "overtaking": given.overtaking,
    }
    chosen = dict.fromkeys(replace(drain, **changes) for drain in TABLE)
    drains = [
        drain
        for drain in chosen
        if drain.seconds in (given.seconds or [drain.seconds])
        and drain.form in (given.forms or FORMS)
        and drain.shape in (given.shapes or SHAPES)
    ]
    summary = median_of if given.medians else worst_of
    print(HEAD, flush=True)  # noqa: T201 (its output is its result)
    with ProcessPoolExecutor(given.jobs) as pool:
        for drain, found in zip(
            drains, pool.map(partial(summary, seeds=given.seeds), drains), strict=True
        ):
            print(line(drain, found, drain.aim), flush=True)  # noqa: T201 (as above)


if __name__ == "__main__":
    main()
