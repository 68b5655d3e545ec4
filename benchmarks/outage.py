"""What retries do to a server that fails and comes back: 10 000 clients in virtual time.

A discrete-event simulation. The clients are threads of processes; those of one process share what
a settings object shares. Our rules are those of the library, taken from `requests_authretry._core`;
the peers are models by their documented parameters.

    python benchmarks/outage.py [--short] [--check] [--seed N]
    python benchmarks/outage.py --real
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import sys
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Final

from outage_policies import POLICIES, SHARING
from outage_real import observe_all
from outage_world import (
    ANSWERED,
    BIN,
    HEADROOM,
    REFUSED,
    SERVICE,
    UNANSWERED,
    Client,
    Fault,
    Log,
    Server,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from outage_world import Call, Process

AFTER: Final = 30.0
"""Seconds that are watched after the return."""

HERD: Final = 3.0
"""Seconds after the return in which a herd of retries would do harm."""

LOAD, BACK, SUCCESS = 1.05, 1.0, 0.99
"""The aims: load in a full outage, seconds until 90 % of the goodput, success at 20 % failures."""

SENT: Final = {"ours": 1.3, "ours, store": 1.1}
"""The aims for callers that start a call a second: the load of a fleet without a store and with."""

AGAIN: Final = 0.9
"""The aim for them: the goodput in the second that begins a second after the return."""

HELD: Final = 0.9
STEADY: Final = 2
"""What "held" means: 90 % of the normal goodput, in the mean of so many seconds. It may come out
too early by a tenth of this; in less than this the calls of normal times vary by more than 10 %."""
HEADER: Final = "load  each success  back again  peak   hurt   lost  late 50 %  95 %   max    sent"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What happens to whom.

    Attributes:
        fault: What is wrong with the server.
        processes: How many there are.
        threads: In each.
        thinks: Mean seconds between the calls of a thread; 0 is a batch job that never pauses.
    """

    fault: Fault
    processes: int = 100
    threads: int = 100
    thinks: float = 10.0

    @property
    def rate(self) -> float:
        """Calls a second in normal times."""
        return self.processes * self.threads / (self.thinks + SERVICE)


@dataclass(frozen=True)
class Measured:
    """What came of it.

    Attributes:
        load: Attempts a second during the fault, the calls of normal times being 1.
        each: Attempts sent per call begun during the fault.
        success: Share of the calls begun during the fault that ended well while it was watched.
        back: Seconds from the return until 90 % of the normal goodput are held.
        again: Goodput in the second that begins a second after the return, normal being 1.
        peak: Attempts in the worst second after the return, normal being 1.
        hurt: Share of the calls begun in the `HERD` seconds after the return that failed.
        lost: Share of the calls in trouble at the return that failed in the end.
        late: Seconds from the return to the success of the others: median, 95 %, worst.
        most: Attempts sent for one call: median and worst of those that met a failure.
    """

    load: float
    each: float
    success: float
    back: float
    again: float
    peak: float
    hurt: float
    lost: float
    late: tuple[float, float, float]
    most: tuple[int, int]


ALL: Final = Scenario(fault=Fault())
PART: Final = Scenario(fault=Fault(share=0.2))
A_CALL_A_SECOND: Final = 1.0 - SERVICE

SCENARIOS: Final[dict[str, Scenario]] = {
    "outage 30 s": ALL,
    "outage 10 s": replace(ALL, fault=Fault(lasts=10.0)),
    "outage 60 s": replace(ALL, fault=Fault(lasts=60.0)),
    "outage 30 s, connections refused": replace(ALL, fault=Fault(outcome=REFUSED)),
    "outage 30 s, no answers": replace(ALL, fault=Fault(outcome=UNANSWERED)),
    "outage 30 s, 10 processes of 1000": replace(ALL, processes=10, threads=1000),
    "outage 30 s, 1 process of 10000": replace(ALL, processes=1, threads=10_000),
    "outage 30 s, 10000 processes of 1 (without aims)": replace(ALL, processes=10_000, threads=1),
    "outage 10 s, 10 batch jobs of 20": Scenario(
        fault=Fault(lasts=10.0), processes=10, threads=20, thinks=0.0
    ),
    **{
        f"outage 60 s, {processes} x {threads}, a call a second": Scenario(
            fault=Fault(lasts=60.0),
            processes=processes,
            threads=threads,
            thinks=A_CALL_A_SECOND,
        )
        for processes, threads in ((400, 1), (100, 4), (20, 20), (4, 100))
    },
    "20 % fail": PART,
    "20 % fail, 1 process of 10000": replace(PART, processes=1, threads=10_000),
    "50 % fail": replace(PART, fault=Fault(share=0.5)),
    "one endpoint of 10 % fails": replace(PART, fault=Fault(share=0.1, endpoint=True)),
    "one endpoint of 50 % fails": replace(PART, fault=Fault(share=0.5, endpoint=True)),
}
SHORT: Final = (
    "outage 30 s",
    "outage 60 s, 400 x 1, a call a second",
    "outage 60 s, 4 x 100, a call a second",
    "20 % fail",
    "one endpoint of 50 % fails",
)


def meant(title: str) -> tuple[str, ...]:
    """The policies to be shown: what shares nothing does not depend on the processes."""
    if SCENARIOS[title].thinks == A_CALL_A_SECOND:
        return ("urllib3", "stamina", *SENT)
    shape = (SCENARIOS[title].processes, SCENARIOS[title].threads)
    return tuple(POLICIES) if shape == (ALL.processes, ALL.threads) else SHARING


def simulated(scenario: str, policy: str, seed: int = 0) -> Measured:
    """Run one policy through one scenario."""
    return run(SCENARIOS[scenario], POLICIES[policy], seed)


def run(scenario: Scenario, policy: Callable[[World], Process], seed: int) -> Measured:
    """Let the clients live until well after the return."""
    world, fault, end = World(seed), scenario.fault, scenario.fault.ends + AFTER
    bins = round(end / BIN) + 1
    log = Log([0] * bins, [0] * bins)
    server = Server(world, scenario.rate * HEADROOM, fault)
    for _ in range(scenario.processes):
        process = policy(world)
        for _ in range(scenario.threads):
            Client(world, server, process, log, scenario.thinks)
    world.run(end)
    return measured(log, scenario)


def measured(log: Log, scenario: Scenario) -> Measured:
    """Read the log."""
    begins, ends = scenario.fault.begins, scenario.fault.ends
    first, last = round(begins / BIN), round(ends / BIN)
    meant = [call for call in log.calls if begins <= call.began < ends]
    new = [call for call in log.calls if ends <= call.began < ends + HERD]
    met = sorted(call.sent for call in meant if call.stumbled < ends)
    waiting = [call for call in log.calls if call.stumbled < ends <= call.ended]
    late = sorted(call.ended - ends for call in waiting if is_good(call) or call.ended == inf)
    normal = scenario.rate * BIN
    return Measured(
        load=sum(log.sent[first:last]) / (normal * (last - first)),
        each=sum(call.sent for call in meant) / max(len(meant), 1),
        success=sum(map(is_good, meant)) / max(len(meant), 1),
        back=held_after(log.good[last:-1], normal * HELD),
        again=sum(log.good[last + round(1 / BIN) : last + round(2 / BIN)]) / scenario.rate,
        peak=max(windows(log.sent[last:-1], 1)) / scenario.rate,
        hurt=1 - sum(map(is_good, new)) / max(len(new), 1),
        lost=1 - len(late) / max(len(waiting), 1),
        late=(at(late, 0.5), at(late, 0.95), at(late, 1.0)),
        most=(int(at(met, 0.5)), int(at(met, 1.0))),
    )


def is_good(call: Call) -> bool:
    """Whether it ended well."""
    return call.ended < inf and call.outcome is ANSWERED


def windows(bins: list[int], seconds: int) -> list[int]:
    """The sums over so many seconds, a new one from each bin."""
    width = round(seconds / BIN)
    return [sum(bins[start : start + width]) for start in range(len(bins) - width + 1)]


def held_after(good: list[int], enough: float) -> float:
    """Seconds after which there is always enough in a bin, in the mean of `STEADY` seconds."""
    width = STEADY / BIN
    below = [start for start, sum_ in enumerate(windows(good, STEADY)) if sum_ < enough * width]
    return (below[-1] + 1) * BIN if below else 0.0


def at(values: list[float] | list[int], share: float) -> float:
    """The value at a share of a sorted list, 0 when it is empty."""
    return values[min(int(share * len(values)), len(values) - 1)] if values else 0.0


def show(title: str, found: dict[str, Measured]) -> None:
    """Print one scenario."""
    print(f"\n{title}\n{'':17}{HEADER}")
    for policy, it in found.items():
        late = " ".join(f"{t:5.1f}" if t < inf else f" > {AFTER:.0f}" for t in it.late)
        print(
            f"  {policy:15}{it.load:4.2f} {it.each:5.2f} {it.success:7.2%} {it.back:5.1f} "
            f"{it.again:5.2f} {it.peak:5.2f} {it.hurt:6.1%} {it.lost:6.1%}      {late}    "
            f"{it.most[0]} to {it.most[1]}"
        )


def missed(title: str, found: dict[str, Measured]) -> list[str]:
    """The aims that are not held; a process that makes a call each ten seconds alone has none."""
    fault, it = SCENARIOS[title].fault, found["ours"]
    aims = []
    if SCENARIOS[title].thinks == A_CALL_A_SECOND:
        for policy, most in SENT.items():
            load, again = found[policy].load, found[policy].again
            aims += [
                (f"{policy}: load", load, load <= most),
                (f"{policy}: again", again, again >= AGAIN),
            ]
    elif fault.share == 1 and SCENARIOS[title].threads > 1:
        aims += [("load", it.load, it.load <= LOAD), ("back after", it.back, it.back <= BACK)]
    elif fault.share <= PART.fault.share and not fault.endpoint:
        aims.append(("success", it.success, it.success >= SUCCESS))
    return [f"{title}: {aim} {value:.3f}" for aim, value, is_held in aims if not is_held]


def main() -> int:
    """Simulate, print, and with ``--check`` hold the aims."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="fail when ours misses an aim")
    parser.add_argument("--short", action="store_true", help="a minute")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", action="store_true", help="a real server for eight minutes")
    given = parser.parse_args()
    if given.real:
        observe_all()
        return 0
    titles = SHORT if given.short else tuple(SCENARIOS)
    faults = []
    with ProcessPoolExecutor() as pool:
        jobs = {
            title: {name: pool.submit(simulated, title, name, given.seed) for name in meant(title)}
            for title in titles
        }
        for title, running in jobs.items():
            found = {policy: job.result() for policy, job in running.items()}
            show(title, found)
            faults += missed(title, found)
    if given.check and faults:
        print("\nMissed: " + "; ".join(faults), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
