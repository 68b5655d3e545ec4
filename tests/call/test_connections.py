"""The connections that know the deadline: whose pools make them, and what stays as it was."""

from __future__ import annotations

import gc
import pickle
import socket
from http.client import HTTPResponse, RemoteDisconnected
from io import BufferedReader, BytesIO
from math import inf
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from requests_authretry import AuthRetryAdapter, RetryPolicy, Settings, mount
from requests_authretry._call.connections import Seconds
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
    with Wire(*[answer()] * (1 + before), CUT) as wire, requests.Session() as session:
        if before:
            session.get(url, proxies={"http": wire.url})
        mount(session, ONCE)
        session.get(url, proxies={"http": wire.url})
        assert minds(session, url, proxies={"http": wire.url})
        assert wire.connections == 1


def test_a_pool_that_was_closed_does_not_mind() -> None:
    """A session whose pool somebody has closed is mounted as any other."""
    with Wire(answer()) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True)
        response.raw._pool.close()  # noqa: SLF001 (a pool has no other name)
        mount(session)
        assert response.content == b""


def test_pools_are_prepared_once() -> None:
    """A session that is mounted again has the same classes of pools as before."""
    with requests.Session() as session:
        adapter: Any = session.get_adapter("http://")
        mount(session).unmount()
        before = adapter.poolmanager.pool_classes_by_scheme
        mount(session).unmount()
        assert adapter.poolmanager.pool_classes_by_scheme == before


class StandIn:
    """What somebody has put in the place of a pool."""

    __slots__ = ("pool",)

    def close(self) -> None:
        """Nothing to close."""


def test_what_stands_in_for_a_pool_is_left_alone() -> None:
    """An object whose class cannot be exchanged stays as it is, and its session is mounted."""
    with requests.Session() as session:
        adapter: Any = session.get_adapter("http://")
        adapter.poolmanager.pools["mine"] = StandIn()
        mount(session)
        assert type(adapter.poolmanager.pools["mine"]) is StandIn


class Slotted:
    """An adapter without a dictionary of its own."""

    __slots__ = ()

    def send(self, request: Any, **_: Any) -> requests.Response:
        """Answer 204."""
        response = requests.Response()
        response.status_code, response.url, response.request = 204, request.url, request
        return response

    def close(self) -> None:
        """Nothing to close."""


def test_an_adapter_with_slots_is_wrapped() -> None:
    """An inner adapter needs neither pools nor attributes."""
    inner: Any = Slotted()
    assert with_adapter(AuthRetryAdapter(inner=inner)).get("http://api.test/").status_code == 204


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


class Unlike:
    """A connection that is like none of urllib3's."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise OSError("it was made")


class Borrowing(Unlike):
    """Another one, which has one method of urllib3's."""

    getresponse = HTTPConnection.getresponse


@pytest.mark.parametrize("kind", [Unlike, Borrowing])
def test_a_connection_that_is_like_none_is_made(
    kind: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class put into urllib3 need not derive from its connections."""
    monkeypatch.setattr(HTTPConnectionPool, "ConnectionCls", kind)
    with with_adapter(AuthRetryAdapter(ONCE)) as session:
        assert "it was made" in str(raised(session, "http://127.0.0.1:9/"))


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


def test_a_connection_keeps_no_deadline_of_a_call_that_is_over() -> None:
    """Its timeout is a plain number after the answer: others may send over it, too."""
    with Wire(answer()) as wire, with_adapter(AuthRetryAdapter()) as session:
        response = session.get(wire.url, timeout=(5, 30), stream=True)
        timeout = response.raw.connection.timeout
        response.close()
    assert (type(timeout), timeout > 0) == (float, True)


@pytest.mark.parametrize(("given", "rest"), [(None, None), (6.0, 4.0)])
def test_the_time_to_connect_is_taken_off_a_total(given: float | None, rest: float | None) -> None:
    """urllib3 subtracts the seconds that it took to connect; the deadline stays where it is."""
    clock = FakeClock()
    left = Seconds(5.0, 9.0, clock, given) - 2.0
    assert (left, left.until, left.clock, left.given) == (3.0, 9.0, clock, rest)


def test_a_time_limit_reads_as_the_caller_wrote_it() -> None:
    """A message says ``read timeout=1`` where the caller gave 1, and what was left if less was."""
    assert repr(Seconds(1.0, inf, FakeClock(), 1)) == "1"
    assert repr(Seconds(0.5, inf, FakeClock(), 1)) == "0.5"
    assert repr(Seconds(0.5, inf, FakeClock())) == "0.5"


def test_nothing_is_written_after_the_deadline() -> None:
    """At the very deadline it is too late to send."""
    clock = FakeClock()
    clock.advance(5.0)
    with pytest.raises(TimeoutError) as caught:
        Seconds(30.0, 5.0, clock).limit_writes(None)
    assert str(caught.value) == "the deadline passed while the request was being sent"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected: the client's and the server's."""
    here, there = socket.socketpair()
    with here, there:
        yield here, there


BEGUN = head(200, ("Content-Length", "1000"))


@pytest.mark.parametrize(
    ("own", "until", "limit"), [(30.0, 15.0, 10.0), (30.0, 105.0, 30.0), (None, 105.0, 100.0)]
)
def test_a_read_ends_with_the_deadline_or_the_limit_of_its_socket(
    pair: tuple[socket.socket, socket.socket], own: float | None, until: float, limit: float
) -> None:
    """Of 10 s that are left and a socket's own 30 s the shorter one limits the next read."""
    clock = FakeClock()
    clock.advance(5.0)
    pair[0].settimeout(own)
    pair[1].sendall(BEGUN)
    answered = Seconds(1.0, until, clock).answer(pair[0])
    answered.begin()
    assert pair[0].gettimeout() == limit
    answered.close()


def test_the_first_read_may_come_after_the_deadline(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """What has arrived by then may be the whole answer; the next read raises."""
    clock = FakeClock()
    clock.advance(5.0)
    pair[1].sendall(BEGUN)
    answered = Seconds(1.0, 5.0, clock).answer(pair[0])
    answered.begin()
    assert (answered.status, pair[0].gettimeout()) == (200, 0.001)
    with pytest.raises(TimeoutError) as caught:
        answered.read()
    assert str(caught.value) == "the deadline passed while the answer was being read"
    answered.close()


def test_headers_that_are_cut_are_no_headers(pair: tuple[socket.socket, socket.socket]) -> None:
    """The exception says so, with a deadline and without."""
    pair[1].sendall(BEGUN[:-2])
    pair[1].shutdown(socket.SHUT_WR)
    with pytest.raises(RemoteDisconnected) as caught:
        Seconds(1.0, inf, FakeClock()).answer(pair[0]).begin()
    assert str(caught.value) == "the connection ended in the middle of the headers"


class Silent:
    """A socket that does not tell its time limit, as one of pyOpenSSL."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.limits: list[float | None] = []

    def makefile(self, *_: Any) -> BufferedReader:
        """Return a reader."""
        own: Any = self
        return BufferedReader(socket.SocketIO(own, "r"))

    def recv_into(self, buffer: Any) -> int:
        """Read."""
        return self._sock.recv_into(buffer)

    def settimeout(self, limit: float | None) -> None:
        """Note the limit."""
        self.limits.append(limit)

    def _decref_socketios(self) -> None:
        """Do as a socket does when its reader is closed."""


def test_a_socket_that_does_not_tell_its_limit_has_the_deadline(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """The deadline alone limits its reads."""
    sock = Silent(pair[0])
    pair[1].sendall(BEGUN)
    answered = Seconds(1.0, 100.0, FakeClock()).answer(sock)
    answered.begin()
    assert sock.limits == [100.0]
    answered.close()


class Elsewhere:
    """A stand-in for a socket whose bytes come from nowhere."""

    def makefile(self, *_: Any) -> BufferedReader:
        """Return a reader."""
        return BufferedReader(BytesIO(BEGUN))


def test_an_answer_from_no_socket_has_no_deadline() -> None:
    """A stand-in for a socket cannot be given a time limit, and is read as it is."""
    answered = Seconds(1.0, 5.0, FakeClock()).answer(Elsewhere())
    answered.begin()
    assert answered.status == 200
    answered.close()
