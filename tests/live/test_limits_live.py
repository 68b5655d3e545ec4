"""The limits of a real nginx: who is refused waits, and who shares the store waits with it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import requests

from requests_authretry import MemoryStore, RetryPolicy, Settings, attempts, mount
from tests.live.callers import Callers, Orders, wait_for
from tests.servers.nginx import RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from requests_authretry import Store
    from tests.servers.nginx import Knock, NginxServer

TOLD, OTHER = "127.0.0.1", "127.0.0.2"
REFUSED = {429, 503}

AT_ONCE = [0.0] * (RATE + 5)
NEWCOMERS = [0.6 + number / 20 for number in range(5)]
"""When calls begin, in seconds from the first: more than may, and others while these wait."""

UNDER_WAY = 0.5
"""Seconds in which requests that were sent before a refusal was heard of still come in."""

LOOK = 1.7
"""Seconds until others have heard of it: they look once a second, between two calls."""

TURN = 0.2
"""Seconds by which those who are let in one after another may arrive in another order."""

TICK = 0.01
"""Seconds that nginx's clock may be behind."""


@contextmanager
def mounted(settings: Settings | None = None) -> Iterator[requests.Session]:
    """A session for many threads."""
    with requests.Session() as session:
        mount(session, settings or Settings())
        yield session


def calls(session: requests.Session, url: str, begins: Iterable[float]) -> list[requests.Response]:
    """Make a call for each of these seconds from now, with its number in the query."""
    begins, now = list(begins), time.monotonic()

    def call(number: int) -> requests.Response:
        time.sleep(max(0.0, now + begins[number] - time.monotonic()))
        return session.get(f"{url}?call={number}")

    with ThreadPoolExecutor(len(begins)) as pool:
        return list(pool.map(call, range(len(begins))))


def refusal(log: list[Knock]) -> Knock:
    """The first refusal."""
    return next(knock for knock in log if knock.status in REFUSED)


def between(log: list[Knock], begin: float, end: float) -> list[Knock]:
    """Who knocked in that time, but for who came just in time."""
    return [knock for knock in log if begin < knock.at < end - TICK]


def overtaken(log: list[Knock]) -> list[Knock]:
    """The first knock of each call that came while another, refused before, still waited."""
    knocks_of: dict[str, list[Knock]] = {}
    for knock in log:
        knocks_of.setdefault(knock.path, []).append(knock)
    waits = [pair for knocks in knocks_of.values() for pair in pairwise(knocks)]
    return [
        first
        for first, *_ in knocks_of.values()
        if any(told.at + UNDER_WAY < first.at < back.at - TURN for told, back in waits)
    ]


@pytest.mark.parametrize(
    ("limit", "hint", "seconds"),
    [("rate", 2, 2), ("rate-503", "date", 1), ("rate", "fields", 1)],
)
def test_more_threads_than_the_limit_allows(
    nginx: NginxServer, limit: str, hint: str | int, seconds: int
) -> None:
    """Nobody fails or needs more than three attempts, and the refused go before newcomers."""
    url = f"{nginx.api(limit, hint)}/status/204"
    with mounted() as session:
        answers = calls(session, url, AT_ONCE + NEWCOMERS)
    assert {answer.status_code for answer in answers} == {204}
    assert max(len(attempts(answer)) for answer in answers) <= 3
    log = nginx.log()
    told = refusal(log).at
    assert between(log, told + UNDER_WAY, told + seconds) == []
    assert overtaken(log) == []


def test_a_limit_of_which_nothing_is_said(nginx: NginxServer) -> None:
    """Without any hint nobody fails either, or needs more than three attempts."""
    url = f"{nginx.api('rate', 'none')}/status/204"
    with mounted() as session:
        answers = calls(session, url, AT_ONCE + NEWCOMERS)
    assert {answer.status_code for answer in answers} == {204}
    assert max(len(attempts(answer)) for answer in answers) <= 3
    assert refusal(nginx.log())


@pytest.fixture(params=["memory", "file", "redis"])
def callers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callers]:
    """Callers that share a store: processes, or threads where it is in memory."""
    store: Store | str = MemoryStore()
    if request.param == "file":
        store = str(tmp_path / "store.json")
    elif request.param == "redis":
        store = request.getfixturevalue("redis_server").url
    with Callers(store, tmp_path / "stop") as begun:
        yield begun


def test_who_shares_the_store_stops_with_who_is_told(nginx: NginxServer, callers: Callers) -> None:
    """One is told to wait; the other, whom nginx has nothing against, stops within a second."""
    url, seconds = f"{nginx.api('rate', 3)}/status/204", 3

    def came(address: str, after: float = 0.0) -> list[Knock]:
        return [knock for knock in nginx.log() if knock.address == address and knock.at > after]

    callers.begin(Orders(url, OTHER, pause=3 / RATE))
    wait_for(lambda: bool(came(OTHER)))
    callers.begin(Orders(url, TOLD, threads=RATE + 5))
    wait_for(lambda: any(knock.status == 429 for knock in came(TOLD)))
    told = refusal(came(TOLD)).at
    wait_for(lambda: time.time() > told + LOOK)
    other, teller = callers.end()
    assert between(came(TOLD), told + UNDER_WAY, told + seconds) == []
    assert between(came(OTHER), told + LOOK, told + seconds) == []
    assert came(OTHER, told + seconds - TICK)
    assert {knock.status for knock in came(OTHER)} == {204}
    assert [set(report.answers) for report in (other, teller)] == [{"204"}] * 2
    assert teller.most <= 3


def test_a_deadline_before_the_gate_opens(nginx: NginxServer) -> None:
    """Who cannot wait that long is told at once, whether it was refused itself or not."""
    nginx.close()
    url, began = f"{nginx.api('free', 60)}/get", time.monotonic()
    with mounted(Settings(retry=RetryPolicy(deadline=20))) as session:
        refused = session.get(url)
        assert (refused.status_code, len(attempts(refused))) == (503, 1)
        with suppress(requests.RequestException):
            assert session.get(url).status_code == 503
    assert time.monotonic() - began < 10
    assert len(nginx.log()) == 1


def test_more_requests_under_way_than_allowed(nginx: NginxServer) -> None:
    """Nobody fails, and nobody needs more than three attempts."""
    with mounted() as session:
        answers = calls(session, f"{nginx.api('connections', 1)}/delay/0.2", [0.0] * 10)
    assert [answer.status_code for answer in answers] == [200] * 10
    assert max(len(attempts(answer)) for answer in answers) <= 3
    log = nginx.log()
    told = refusal(log).at
    assert between(log, told + UNDER_WAY, told + 1) == []


def test_another_credential_has_a_limit_of_its_own(nginx: NginxServer) -> None:
    """Who is told to wait a minute holds back nobody with another credential."""
    url = f"{nginx.api('rate', 60)}/status/204"
    settings = Settings(store=MemoryStore(), retry=RetryPolicy(deadline=20))
    with mounted(settings) as one, mounted(settings) as another:
        one.headers["Authorization"], another.headers["Authorization"] = "Bearer 1", "Bearer 2"
        while one.get(url).status_code == 204:
            pass
        with pytest.raises(requests.RequestException):
            one.get(url)
        assert another.get(url).status_code == 204


def after_maintenance(nginx: NginxServer, hint: str | int) -> list[Knock]:
    """What nginx was asked, where the first call was refused and the others came one by one."""
    nginx.close()
    settings = Settings(retry=RetryPolicy(max_attempts=10))
    with mounted(settings) as session, ThreadPoolExecutor(1) as pool:
        begins = [number / 6 for number in range(12)]
        answers = pool.submit(calls, session, f"{nginx.api('free', hint)}/get", begins)
        wait_for(lambda: bool(nginx.log()) and time.time() > refusal(nginx.log()).at + 2.2)
        nginx.reopen()
        assert {answer.status_code for answer in answers.result()} == {200}
    return nginx.log()


def served_for(log: list[Knock]) -> float:
    """Seconds from the first call that was served to the last."""
    served = [knock.at for knock in log if knock.status == 200]
    return served[-1] - served[0]


def test_a_maintenance_that_says_when_to_come_back(nginx: NginxServer) -> None:
    """Newcomers wait behind those who were told, and as it is no limit, all are back soon."""
    log = after_maintenance(nginx, 1)
    told = refusal(log).at
    assert between(log, told + UNDER_WAY, told + 1) == []
    assert overtaken(log) == []
    assert served_for(log) < 5


def test_a_maintenance_that_says_nothing(nginx: NginxServer) -> None:
    """When it is over, all are back soon."""
    assert served_for(after_maintenance(nginx, "none")) < 5
