"""The limits of a real nginx: who is refused waits, and who shares the store waits with it.

No verdict depends on how fast the machine is: a request may always come later, never sooner.
`tests/admission/test_rate_limiter.py` tests the order of waiting calls, on a fake clock.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    AuthRetryError,
    CoolingDown,
    MemoryStore,
    RetryPolicy,
    RetryScheduled,
    Settings,
    attempts,
    mount,
)
from requests_authretry.testing import no_waiting
from tests.live.callers import FREE, PATIENCE, PATIENT, Callers, Orders, wait_for
from tests.servers.nginx import RATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.nginx import Arrival, NginxServer

TOLD, OTHER = "127.0.0.1", "127.0.0.2"
REFUSED = {429, 503}

AT_ONCE = RATE + 5
"""How many call at once: more than may."""

NEWCOMERS = 5
"""How many call as soon as one of those has been refused."""

PAUSE = 3 / RATE
"""Seconds between the calls of who is never refused."""

TICK = 0.01
"""Seconds that nginx's clock may be behind."""


class Heard(Event):
    """A listener that is set as soon as a refusal was heard of."""

    def __call__(self, event: object) -> None:
        """Calls that begin from now on know of the refusal."""
        if isinstance(event, (CoolingDown, RetryScheduled)):
            self.set()


@contextmanager
def mounted(**settings: Any) -> Iterator[requests.Session]:
    """A session for many threads, which goes on until it is let in."""
    with requests.Session() as session:
        mount(session, Settings(**{"retry": PATIENT, "quota": FREE, **settings}))
        yield session


def crowd(url: str, newcomers: int = 0, at_once: int = AT_ONCE) -> list[requests.Response]:
    """Make calls at once, and others when a refusal was heard of, each with its number."""
    heard = Heard()
    with mounted(listeners=[heard]) as session, ThreadPoolExecutor(at_once + newcomers) as pool:

        def call(number: int) -> requests.Response:
            if number >= at_once:
                assert heard.wait(PATIENCE)
            return session.get(f"{url}?call={number}")

        return list(pool.map(call, range(at_once + newcomers)))


def refusal(log: list[Arrival]) -> Arrival:
    """The first refusal."""
    return next(arrival for arrival in log if arrival.status in REFUSED)


def between(log: list[Arrival], begin: float, end: float) -> list[Arrival]:
    """Return the requests that came in that time, except those that came just before its end."""
    return [arrival for arrival in log if begin < arrival.at < end - TICK]


def arrivals_of(log: list[Arrival]) -> list[list[Arrival]]:
    """Return the requests of each call, in the order of its number."""
    found: dict[int, list[Arrival]] = {}
    for arrival in log:
        found.setdefault(int(arrival.path.partition("call=")[2]), []).append(arrival)
    return [found[number] for number in sorted(found)]


def too_early(log: list[Arrival], seconds: float) -> list[Arrival]:
    """Those who came again before the time that they were told."""
    pairs = [pair for arrivals in arrivals_of(log) for pair in pairwise(arrivals)]
    return [back for told, back in pairs if back.at < told.at + seconds - TICK]


def pushing_in(log: list[Arrival], seconds: float) -> list[Arrival]:
    """The newcomers who came before the time that others had been told when they began."""
    opens = refusal(log).at + seconds
    return [first for first, *_ in arrivals_of(log)[AT_ONCE:] if first.at < opens - TICK]


@pytest.mark.parametrize(
    ("limit", "hint", "seconds"),
    [
        pytest.param("rate", 2, 2, marks=pytest.mark.slow),
        ("rate-503", "date", 1),
        ("rate", "fields", 1),
    ],
)
def test_more_threads_than_the_limit_allows(
    nginx: NginxServer, limit: str, hint: str | int, seconds: int
) -> None:
    """Nobody fails, nobody comes sooner than it was told, and few are refused more than once."""
    answers = crowd(f"{nginx.api(limit, hint)}/status/204", NEWCOMERS)
    assert {answer.status_code for answer in answers} == {204}
    log = nginx.log()
    assert too_early(log, seconds) == []
    assert len(log) <= 3 * len(answers)


def test_a_limit_of_which_nothing_is_said(nginx: NginxServer) -> None:
    """Without any hint nobody fails either, and few are refused more than once."""
    answers = crowd(f"{nginx.api('rate', 'none')}/status/204", NEWCOMERS)
    assert {answer.status_code for answer in answers} == {204}
    log = nginx.log()
    assert refusal(log)
    assert len(log) <= 3 * len(answers)


@pytest.fixture(params=["file", "redis"])
def callers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callers]:
    """Return callers in processes of their own, which share a store."""
    is_file = request.param == "file"
    store = str(tmp_path / "store.json") if is_file else request.getfixturevalue("redis_server").url
    with Callers(store, tmp_path / "stop") as begun:
        yield begun


@pytest.mark.slow
def test_who_shares_the_store_hears_of_a_cool_down_and_tests_it(
    nginx: NginxServer, callers: Callers
) -> None:
    """One is told to wait; nginx has nothing against the other, which hears of it and goes on."""
    url, seconds = f"{nginx.api('rate', 3)}/status/204", 3

    def came(address: str, after: float = 0.0) -> list[Arrival]:
        return [
            arrival for arrival in nginx.log() if arrival.address == address and arrival.at > after
        ]

    callers.begin(Orders(url, OTHER, pause=PAUSE))
    wait_for(lambda: bool(came(OTHER)))
    callers.begin(Orders(url, TOLD, threads=AT_ONCE))
    wait_for(callers.all_heard)
    heard, opens = max(callers.heard()), refusal(came(TOLD)).at + seconds
    wait_for(lambda: bool(came(OTHER, max(heard, opens - TICK))))
    other, teller = callers.end()
    assert between(came(OTHER), heard, opens)
    assert {arrival.status for arrival in came(OTHER)} == {204}
    assert [set(report.answers) for report in (other, teller)] == [{"204"}] * 2


def test_a_deadline_before_the_cool_down_ends(nginx: NginxServer) -> None:
    """Who cannot wait that long is told at once, whether it was refused itself or not.

    The second call is the test attempt, and the third one is not sent.
    """
    nginx.close()
    url = f"{nginx.api('free', 60)}/get"
    with mounted(retry=RetryPolicy(deadline=50)) as session, no_waiting() as waits:
        refused = session.get(url)
        assert (refused.status_code, len(attempts(refused))) == (503, 1)
        assert session.get(url).status_code == 503
        with pytest.raises(AuthRetryError, match="not sent"):
            session.get(url)
    assert waits == []
    assert len(nginx.log()) == 2


@pytest.mark.slow
def test_more_requests_under_way_than_allowed(nginx: NginxServer) -> None:
    """Nobody fails, and nobody comes sooner than it was told."""
    answers = crowd(f"{nginx.api('connections', 1)}/delay/0.2", at_once=10)
    assert [answer.status_code for answer in answers] == [200] * 10
    log = nginx.log()
    assert refusal(log)
    assert too_early(log, 1) == []


def test_another_credential_has_a_limit_of_its_own(nginx: NginxServer) -> None:
    """Who is told to wait an hour holds back nobody with another credential."""
    url = f"{nginx.api('rate', 3600)}/status/204"
    settings = {"store": MemoryStore(), "retry": RetryPolicy(deadline=PATIENCE)}
    with mounted(**settings) as one, mounted(**settings) as another:
        one.headers["Authorization"], another.headers["Authorization"] = "Bearer 1", "Bearer 2"

        def is_refused(_: int) -> bool:
            try:
                return one.get(url).status_code == 429
            except requests.RequestException:
                return True

        with ThreadPoolExecutor(AT_ONCE) as pool:
            wait_for(lambda: any(pool.map(is_refused, range(AT_ONCE))))
        assert another.get(url).status_code == 204


def after_maintenance(nginx: NginxServer, hint: str | int) -> list[Arrival]:
    """What nginx was asked, where all were refused that came before it was reopened."""
    nginx.close()
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(crowd, f"{nginx.api('free', hint)}/get", NEWCOMERS, AT_ONCE)
        wait_for(lambda: bool(nginx.log()) and time.time() > refusal(nginx.log()).at + 2.2)
        nginx.reopen()
        assert {answer.status_code for answer in answers.result()} == {200}
    log = nginx.log()
    # it is no limit: when it is over each call comes once
    assert (
        sum(arrival.status == 200 for arrival in log)
        == len(arrivals_of(log))
        == AT_ONCE + NEWCOMERS
    )
    return log


@pytest.mark.slow
def test_a_maintenance_that_says_when_to_come_back(nginx: NginxServer) -> None:
    """Nobody comes sooner than it was told; newcomers wait, but for the test; all are let in."""
    log = after_maintenance(nginx, 1)
    assert too_early(log, 1) == []
    assert len(pushing_in(log, 1)) <= 1


@pytest.mark.slow
def test_a_maintenance_that_says_nothing(nginx: NginxServer) -> None:
    """When it is over, all are let in."""
    after_maintenance(nginx, "none")
