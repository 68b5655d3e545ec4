"""The simulation of `benchmarks/scope.py` does what calls through `mount` do."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import RetryQuota
from tests.support.scenario import Reply, Request, World, refused

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
THREADS = 4

Figures = tuple[int, int, int]
"""Calls, refused requests, and those of them that were sent after others had been told."""


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, with worlds of four minutes."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import scope  # type: ignore[import-not-found]  # its folder is no package

    for title, setting in scope.SETTINGS.items():
        monkeypatch.setitem(scope.SETTINGS, title, replace(setting, lasts=240.0))
    return scope


class Mounted(World):
    """The same server and the same callers, in threads that call through `mount`."""

    def __init__(self, simulation: Any, title: str) -> None:
        """Make the server."""
        super().__init__(self._reply, takes=simulation.LATENCY)
        setting = self.setting = simulation.SETTINGS[title]
        self.tally = simulation.Tally()
        limits = setting.limits(THREADS / (setting.thinks + simulation.LATENCY))
        self.server = simulation.Server(limits, setting.unlucky, self.tally)
        self.asked: dict[str, Any] = {}
        self.random = {f"0 0 {number}": Random(f"0 0 {number}") for number in range(THREADS)}  # noqa: S311

    def figures(self, simulation: Any, **settings: Any) -> Figures:
        """Let all callers live."""
        session = self.session(self.settings(**settings))
        habits = simulation.Habits(
            weights=self.setting.weights, hot=self.setting.hot, thinks=self.setting.thinks
        )
        for name in self.random:
            self.caller(name, partial(self._live, name, session, habits.request))
        self.turns.run()
        return self.tally.calls, self.tally.refused, self.tally.early

    def _live(self, name: str, session: requests.Session, ask: Callable[[Random], Any]) -> None:
        random = self.random[name]
        while True:
            self.turns.sleep(random.expovariate(1 / self.setting.thinks))
            if self.turns.now >= self.setting.lasts:
                return
            self.asked[name] = ask(random)
            self.tally.calls += 1
            try:
                session.get(self.asked[name].url)
            except requests.RequestException:
                continue

    def _reply(self, request: Request) -> Reply:
        outcome = self.server.answer(self.asked[request.caller], request.time)
        return 200 if outcome.status == 200 else refused(outcome.retry_after)

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer, and draw the numbers that the simulation draws after an answer."""
        response = super().send(request)
        name = threading.current_thread().name
        random = self.random[name]
        self.asked[name] = replace(self.asked[name], luck=random.random())
        if response.status_code != 200:
            random.random()
        return response


@pytest.mark.parametrize("policy", ["learned", "single call"])
@pytest.mark.parametrize(
    "title",
    ["origin, window of 60 s, 5 endpoints", "origin, bucket with Retry-After 1, 5 endpoints"],
)
def test_the_simulation_does_what_mount_does(simulation: Any, title: str, policy: str) -> None:
    """Four threads make the same calls, and are refused as often, with the learned rule too."""
    simulated = simulation.simulated(title, (1, THREADS), policy)
    limits = simulation.POLICIES[policy].limits
    # The simulation leaves the retry quota out.
    quota = RetryQuota(capacity=100_000)
    happened = Mounted(simulation, title).figures(simulation, limits=limits, quota=quota)
    assert happened == (simulated.calls, simulated.refused, simulated.early)
    assert simulated.refused > 5
