"""Many threads at once: on one session, on one settings object, on one prepared request."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from requests_authretry import (
    MemoryStore,
    RefreshFailed,
    RetryQuota,
    Settings,
    TokenRefreshed,
    attempts,
    mount,
)
from requests_authretry._admission.retry_quota import RetryQuotas
from requests_authretry.testing import FakeClock
from tests.support.scripted import URL, Source, scripted, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import PreparedRequest, Response

    from requests_authretry.cli.demo_server import DemoServer

CROWD = 32
T = TypeVar("T")


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Make threads switch far more often than usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def at_once(work: Callable[[int], T], crowd: int = CROWD) -> list[T]:
    """Return the results of threads that all begin together."""
    start = Barrier(crowd)

    def run(number: int) -> T:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(crowd) as pool:
        return list(pool.map(run, range(crowd)))


def test_a_request_that_another_thread_has_sent_is_a_new_call() -> None:
    """A redirect continues the call of the thread that got it, not that of another thread."""
    session, _ = scripted(settings("token"), (302, {"Location": "/there"}), 200)
    request = session.prepare_request(requests.Request("GET", URL))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(session.send, request, allow_redirects=False).result()
    assert [one.status for one in attempts(first)] == [302]
    assert [one.status for one in attempts(session.send(request))] == [200]


def roomy_session(chosen: Settings) -> requests.Session:
    """Make a mounted session with a connection for each thread, on which any 401 raises."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=CROWD))
    session.hooks["response"].append(lambda response, **_: response.raise_for_status())
    mount(session, chosen)
    return session


def renewed_once(demo_server: DemoServer, send: Callable[[int], Response]) -> None:
    """Fetch a token and revoke it: the crowd goes through, on one renewal."""
    assert send(0).status_code == 200
    assert demo_server.issued == 1
    demo_server.revoke()
    statuses = at_once(lambda number: send(number).status_code)
    assert statuses == [200] * CROWD
    assert demo_server.issued == 2
    arrived = Counter(seen.status for seen in demo_server.seen[1:])
    assert arrived[200] == CROWD
    assert 1 <= arrived[401] <= CROWD


@pytest.fixture
def guarded(demo_server: DemoServer, httpbin_url: str) -> Settings:
    """Make settings for the demo server, which now asks for a token."""
    demo_server.guarded = True
    return Settings(token=demo_server.issue, origins=[httpbin_url])


def test_a_crowd_on_one_session(
    demo_server: DemoServer, httpbin_url: str, guarded: Settings
) -> None:
    """32 threads with a revoked token on one session make one renewal, and none gets a 401."""
    with roomy_session(guarded) as session:
        renewed_once(demo_server, lambda n: session.get(f"{httpbin_url}/bearer?n={n}"))


def test_a_crowd_of_sessions(demo_server: DemoServer, httpbin_url: str, guarded: Settings) -> None:
    """32 sessions with one settings object and a revoked token make one renewal."""
    sessions = [roomy_session(guarded) for _ in range(CROWD)]
    renewed_once(demo_server, lambda n: sessions[n].get(f"{httpbin_url}/bearer?n={n}"))
    for session in sessions:
        session.close()


def test_a_crowd_on_one_prepared_request(
    demo_server: DemoServer, httpbin_url: str, guarded: Settings
) -> None:
    """32 threads with one prepared request and a revoked token get answers after one renewal."""
    with roomy_session(guarded) as session:
        request = session.prepare_request(requests.Request("GET", f"{httpbin_url}/bearer"))
        renewed_once(demo_server, lambda _: session.send(request))
        assert "Authorization" not in request.headers


def test_a_crowd_before_the_first_token(
    demo_server: DemoServer, httpbin_url: str, guarded: Settings
) -> None:
    """32 threads without a token fetch it once, and none is sent without it."""
    with roomy_session(guarded) as session:
        statuses = at_once(lambda _: session.get(f"{httpbin_url}/bearer").status_code)
    assert statuses == [200] * CROWD
    assert demo_server.issued == 1
    assert {seen.status for seen in demo_server.seen} == {200}


def test_two_settings_on_one_store(demo_server: DemoServer, httpbin_url: str) -> None:
    """Settings that name one store share its token: one fetches it, the other uses it."""
    demo_server.guarded = True
    store, told = MemoryStore(), list[object]()
    sessions = [
        roomy_session(
            Settings(
                token=demo_server.issue, origins=[httpbin_url], store=store, listeners=[told.append]
            )
        )
        for _ in range(2)
    ]
    for _ in range(2):
        at_once(lambda n: sessions[n % 2].get(f"{httpbin_url}/bearer"), 8)
        demo_server.revoke()
    assert demo_server.issued == 2
    adopted = [event.adopted for event in told if isinstance(event, TokenRefreshed)]
    assert [sorted(adopted[:2]), sorted(adopted[2:])] == [[False, True]] * 2
    for session in sessions:
        session.close()


def test_a_crowd_whose_renewal_fails() -> None:
    """Each of 32 callers gets a separate RefreshFailed, and the source is asked once."""
    source = Source(KeyError())
    session, below = scripted(settings(source))

    def send(_: int) -> RefreshFailed:
        with pytest.raises(RefreshFailed) as caught:
            session.get(URL)
        return caught.value

    errors = at_once(send)
    assert len({id(error) for error in errors}) == len({id(e.request) for e in errors}) == CROWD
    assert len({id(error.__cause__) for error in errors}) == 1
    assert (source.calls, below.sent) == (1, [])


class Numbered(AuthBase):
    """A signature with another number each time."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign."""
        self._count += 1
        request.headers["X-Signature"] = str(self._count)
        return request


@pytest.mark.usefixtures("eager_switching")
def test_a_prepared_request_is_shared_on_its_way(httpbin_url: str) -> None:
    """Threads that share a signed request do not see one another's redirects in it."""
    with roomy_session(Settings(auth=Numbered(), origins=[httpbin_url])) as session:
        request = session.prepare_request(requests.Request("GET", f"{httpbin_url}/redirect/2"))
        hops = at_once(lambda _: len(session.send(request).history), 16)
    assert hops == [2] * 16


@pytest.mark.usefixtures("eager_switching")
def test_the_quota_is_paid_exactly() -> None:
    """Payments of many threads are neither lost nor overdrawn, and all are paid back."""
    quotas, origin = RetryQuotas(RetryQuota(capacity=100), FakeClock()), "https://api.example.com"

    def pay(_: int) -> int:
        return sum(quotas.pay(origin, 1) for _ in range(10))

    def pay_back(_: int) -> None:
        for _ in range(10):
            quotas.pay_back(origin, 1)

    assert sum(at_once(pay, 16)) == 100
    assert quotas.level(origin) == 0
    at_once(pay_back, 16)
    assert quotas.level(origin) == 100
    assert not quotas.levels
