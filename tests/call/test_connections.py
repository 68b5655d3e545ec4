"""The connections that know the deadline: whose pools make them, and what stays as it was."""

from __future__ import annotations

import gc
import pickle
from http.client import HTTPResponse
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from requests_authretry import AuthRetryAdapter, RetryPolicy, Settings, mount
from requests_authretry.testing import FakeClock
from tests.support.sessions import AT_ONCE, ended, raised, with_adapter
from tests.support.wire import PATIENCE, Wire, answer, drip, fin, head, says

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.wire import Action

CUT = says(b"HTTP/1.1 200 OK\r\nX: y\r\n", end=fin)
"""Headers that are cut: only our connections mind."""


def minds(session: requests.Session, url: str, **options: Any) -> bool:
    """Whether the session minds that headers are cut; it is to have one attempt."""
    try:
        return session.get(url, **options).status_code != 200
    except requests.ConnectionError:
        return True


ONCE = Settings(retry=RetryPolicy(max_attempts=1))


def test_a_pool_that_was_there_before_keeps_its_connections() -> None:
    """A session that has sent requests goes on over its connection, which knows the deadline."""
    with Wire(answer(), answer(), CUT, CUT) as wire, requests.Session() as session:
        session.get(wire.url)
        mount(session, ONCE)
        session.get(wire.url)
        assert wire.connections == 1
        assert minds(session, wire.url)
        assert minds(session, wire.url)
        assert wire.connections == 2


def test_a_pickled_adapter_has_such_connections_again() -> None:
    """An adapter that went through a pickle makes connections that know the deadline."""
    adapter = pickle.loads(pickle.dumps(AuthRetryAdapter(ONCE)))  # noqa: S301 (ours)
    with Wire(CUT) as wire, with_adapter(adapter) as session:
        assert minds(session, wire.url)


@pytest.fixture
def _proxies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Allow proxies."""
    monkeypatch.delenv("NO_PROXY")
    yield
    gc.collect()


@pytest.mark.usefixtures("_proxies")
@pytest.mark.parametrize("before", [False, True], ids=["new", "known"])
def test_connections_to_a_proxy_know_the_deadline(*, before: bool) -> None:
    """The connections of a proxy know the deadline, whether the adapter knew the proxy or not."""
    url = "http://api.example.com/"
    with Wire(*[answer()] * before, CUT) as wire, requests.Session() as session:
        if before:
            session.get(url, proxies={"http": wire.url})
        mount(session, ONCE)
        assert minds(session, url, proxies={"http": wire.url})
        assert wire.connections == 1


def test_names_in_messages_stay() -> None:
    """Pools and connections are called as those of urllib3 are."""
    with Wire(answer()) as wire, with_adapter(AuthRetryAdapter()) as session:
        response = session.get(wire.url, stream=True)
        pool, connection = response.raw._pool, response.raw.connection  # noqa: SLF001
        response.close()
    for ours, theirs in ((pool, HTTPConnectionPool), (connection, HTTPConnection)):
        assert type(ours) is not theirs
        assert isinstance(ours, theirs)
        for name in ("__name__", "__qualname__", "__module__"):
            assert getattr(type(ours), name) == getattr(theirs, name)


class OwnAnswer(HTTPResponse):
    """An answer of somebody else's making."""


class OwnConnection(HTTPConnection):
    """A connection that makes answers of its own."""

    response_class = OwnAnswer


class OtherConnection(HTTPConnection):
    """A connection that takes answers from elsewhere."""

    def getresponse(self, *args: Any, **options: Any) -> Any:
        """Return an answer."""
        return super().getresponse(*args, **options)


@pytest.mark.parametrize("kind", [OwnConnection, OtherConnection])
def test_a_connection_that_answers_in_its_own_way_is_left_alone(
    kind: type[HTTPConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class put into urllib3 later is used as it is; then only the body has a deadline."""
    clock, left = FakeClock(), Event()

    def dripping(connection: Any, over: Event) -> bool:
        try:
            return slow(connection, over)
        except OSError:
            left.set()
            raise

    slow = drip(head(200, ("Content-Length", "1000")), every=0.001, tick=lambda: clock.advance(9))
    settings = Settings(clock=clock, retry=RetryPolicy(deadline=120, backoff=AT_ONCE))
    with Wire(CUT, dripping) as wire, with_adapter(AuthRetryAdapter(settings)) as session:
        monkeypatch.setattr(HTTPConnectionPool, "ConnectionCls", kind)
        assert not minds(session, wire.url)
        error = ended(lambda: raised(session, wire.url))
        assert left.wait(PATIENCE)
    assert type(error) is requests.ReadTimeout


def test_a_class_of_connections_on_a_pool_itself_is_used() -> None:
    """A pool whose own `ConnectionCls` was set makes its connections of that class."""
    with Wire(CUT) as wire, with_adapter(AuthRetryAdapter(ONCE)) as session:
        adapter: Any = session.get_adapter(wire.url)
        usual = adapter.poolmanager.connection_from_host

        def changed(*args: Any, **options: Any) -> Any:
            pool = usual(*args, **options)
            pool.ConnectionCls = HTTPConnection
            return pool

        adapter.poolmanager.connection_from_host = changed
        assert not minds(session, wire.url)


class WithLimit(HTTPAdapter):
    """The usual recipe: an adapter that puts a time limit where the caller gave none."""

    def __init__(self) -> None:
        super().__init__()
        self.used: list[Any] = []

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        """Send with a limit."""
        if options["timeout"] is None:
            options["timeout"] = 7
        self.used.append(options["timeout"])
        return super().send(request, *args, **options)


def test_an_adapter_that_sets_a_time_limit_of_its_own_goes_on_setting_it() -> None:
    """By default, an adapter with a `send` of its own is told that the caller gave no timeout."""
    inner = WithLimit()
    with Wire(answer(), answer()) as wire, with_adapter(inner) as session:
        mount(session)
        session.get(wire.url)
        session.get(wire.url, timeout=3)
    assert inner.used == [7, 3]


@pytest.mark.parametrize("last", [answer(), CUT])
def test_an_adapter_that_is_not_mounted_any_more_works_as_before(last: Action) -> None:
    """Without a call of ours the connections are urllib3's in all they do."""
    with Wire(last) as wire, requests.Session() as session:
        mount(session, ONCE).unmount()
        assert session.get(wire.url).status_code == 200
