"""A request that cannot be sent again once it is lost goes on no connection that was idle long."""

from __future__ import annotations

import pickle
import socket
import ssl
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from requests_authretry import (
    AuthRetryAdapter,
    Reason,
    RetryPolicy,
    Settings,
    explain,
    install,
    mount,
    override,
)
from requests_authretry.testing import FakeClock
from tests.dialects.test_format import changed, read
from tests.support import wire as wires
from tests.support.sessions import AT_ONCE, raised, real, with_adapter
from tests.support.wire import Wire, answer, chunked, fin, rst, says

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from requests_authretry import Dialect
    from tests.support.wire import Action

PEM = Path(wires.__file__).with_name("self_signed.pem")
RETRY = RetryPolicy(backoff=AT_ONCE)
LOST = [says(end=fin), says(end=rst)]
"""How a server ends a connection on which a request is on its way."""


class Rig:
    """A server, a session and a clock."""

    def __init__(self, wire: Wire, **settings: Any) -> None:
        self.wire, self.clock = wire, FakeClock()
        self.session = real(clock=self.clock, retry=settings.pop("retry", RETRY), **settings)

    def after(self, idle: float, method: str = "POST", **options: Any) -> int:
        """Send a GET, and so much later another request; return how many connections that made."""
        self.session.get(self.wire.url)
        before = self.wire.connections
        self.clock.advance(idle)
        self.session.request(method, self.wire.url, **options)
        return self.wire.connections - before


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A server that answers all requests and ends no connection."""
    with Wire(otherwise=lambda _: answer()) as serving:
        yield serving


@pytest.mark.parametrize("method", ["POST", "PATCH", "post", "LOCK"])
@pytest.mark.parametrize(("idle", "new"), [(0.0, 0), (5.0, 0), (5.001, 1), (400.0, 1)])
def test_a_post_goes_on_no_connection_that_was_idle_longer(
    wire: Wire, method: str, idle: float, new: int
) -> None:
    """With ``max_idle=5`` a POST after 5 s takes the connection that is there, later a new one."""
    assert Rig(wire, max_idle=5).after(idle, method) == new


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "put"])
def test_what_can_be_sent_again_goes_on_any_connection(wire: Wire, method: str) -> None:
    """A GET that is lost is retried: it needs no new connection."""
    assert Rig(wire, max_idle=5).after(400.0, method) == 0


def test_a_method_in_lower_case_is_the_same_method(wire: Wire) -> None:
    """A prepared request has the method that its maker wrote."""
    rig = Rig(wire, max_idle=5)
    request = requests.Request("PUT", wire.url).prepare()
    request.method, rig.session.trust_env = "put", False
    rig.session.get(wire.url)
    rig.clock.advance(400)
    rig.session.send(request)
    assert wire.connections == 1


@pytest.mark.parametrize(
    ("policy", "headers"),
    [
        (RetryPolicy(methods={"GET", "POST"}), {}),
        (RetryPolicy(idempotency_key=True), {}),
        (RETRY, {"Idempotency-Key": '"mine"'}),
    ],
)
def test_a_post_that_can_be_sent_again_goes_on_any_connection(
    wire: Wire, policy: RetryPolicy, headers: dict[str, str]
) -> None:
    """One whose method the policy names, or with an Idempotency-Key, the caller's or ours."""
    assert Rig(wire, retry=policy, max_idle=5).after(400.0, headers=headers) == 0


def test_a_method_that_the_policy_does_not_name_needs_a_fresh_connection(wire: Wire) -> None:
    """Where only GET may be sent again, a PUT is like a POST."""
    assert Rig(wire, retry=RetryPolicy(methods={"GET"}), max_idle=5).after(6.0, "PUT") == 1


def test_none_turns_it_off(wire: Wire) -> None:
    """A POST then goes on a connection of any age."""
    assert Rig(wire, max_idle=None).after(86400.0) == 0


def test_the_default_is_a_second(wire: Wire) -> None:
    """It is less than the limit of any common server."""
    assert (Settings().max_idle, Rig(wire).after(1.0), Rig(wire).after(1.01)) == (1.0, 0, 1)


def test_idle_time_begins_when_the_connection_is_put_back(wire: Wire) -> None:
    """Ten minutes in which the caller reads a stream are no idle time."""
    rig = Rig(wire, max_idle=5)
    wire.then(answer(200, b"12345"))
    response = rig.session.get(wire.url, stream=True)
    rig.clock.advance(600)
    assert response.content == b"12345"
    rig.clock.advance(5)
    rig.session.post(wire.url)
    assert wire.connections == 1


def test_each_attempt_looks_at_its_connection() -> None:
    """After the ten seconds that a 429 asks for, the POST goes again on a new connection."""
    with Wire(answer(429, b"", ("Retry-After", "10")), answer(), answer()) as wire:
        rig = Rig(wire, max_idle=5)
        assert rig.session.post(wire.url).status_code == 200
        assert [seen.connection for seen in wire.arrived] == [1, 2]


def test_a_hop_looks_at_its_connection(wire: Wire) -> None:
    """A 307 repeats the POST elsewhere, where the session has a connection that was idle long."""
    with Wire(answer(200)) as other:
        rig = Rig(wire, max_idle=5)
        rig.session.get(other.url)
        rig.clock.advance(6)
        other.then(answer(200))
        wire.then(answer(307, b"", ("Location", other.url)))
        assert rig.session.post(wire.url, data=b"x").status_code == 200
        assert other.connections == 2


@pytest.mark.parametrize("idle", [4.0, 6.0])
def test_a_pool_that_blocks_does_not_run_empty(wire: Wire, idle: float) -> None:
    """With one connection in all, the new one takes the place of the old one."""
    pool = {"pool_maxsize": 1, "pool_block": True}
    clock = FakeClock()
    with real(pool=pool, clock=clock, max_idle=5) as session:
        for _ in range(5):
            session.post(wire.url)
            clock.advance(idle)
    assert wire.connections == (1 if idle < 5 else 5)


def test_sessions_that_were_used_before_they_are_mounted(wire: Wire) -> None:
    """Nobody knows how long a connection was idle that was put back before: it is used."""
    with requests.Session() as session:
        session.get(wire.url)
        mount(session, Settings(max_idle=0))
        session.post(wire.url)
        session.post(wire.url)
    assert wire.connections == 2


def test_zero_gives_each_post_a_connection_of_its_own(wire: Wire) -> None:
    """As soon as any time has passed at all."""
    assert Rig(wire, max_idle=0).after(1e-9) == 1


class WithLimit(HTTPAdapter):
    """An adapter with a ``send`` of its own, as many code bases have one."""

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        """Send with a time limit."""
        options["timeout"] = options["timeout"] or 30
        return super().send(request, *args, **options)


@pytest.mark.parametrize("timeout", [None, 3])
def test_an_inner_adapter_with_a_time_limit_of_its_own(
    wire: Wire, timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes our timeout away: its connections know the time by the system's clock."""
    clock = FakeClock()
    monkeypatch.setattr("requests_authretry._clock.SystemClock.monotonic", clock.monotonic)
    with with_adapter(WithLimit()) as session:
        mount(session, Settings(max_idle=5))
        session.get(wire.url, timeout=timeout)
        clock.advance(6)
        session.post(wire.url, timeout=timeout)
    assert wire.connections == 2


def test_an_override_holds_for_its_calls(wire: Wire) -> None:
    """One block may take any connection, another only one that was idle less than a second."""
    rig = Rig(wire, max_idle=5)
    with override(max_idle=None):
        assert rig.after(60.0) == 0
    with override(max_idle=1):
        assert rig.after(2.0) == 1


def test_a_site_has_its_own(wire: Wire) -> None:
    """A site without it has the default, whatever the settings around it say."""
    site = Settings(origins=[wire.url.rstrip("/")], max_idle=30, clock=FakeClock())
    rig = Rig(wire, max_idle=5, sites=[site])
    rig.clock = site.clock  # type: ignore[assignment]
    assert (rig.after(20.0), rig.after(31.0)) == (0, 1)


def test_an_observed_call_goes_on_the_connection_that_bare_requests_take(wire: Wire) -> None:
    """Nothing is changed for it."""
    assert Rig(wire, observe=True, max_idle=5).after(60.0) == 0


def test_every_session_of_a_program(wire: Wire) -> None:
    """`install` covers their connections, too."""
    clock = FakeClock()
    with install(Settings(max_idle=5, clock=clock)), requests.Session() as session:
        session.get(wire.url)
        clock.advance(6)
        session.post(wire.url)
    assert wire.connections == 2


def test_over_tls() -> None:
    """The old connection is closed, and a new one shakes hands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    with Wire(tls=context, otherwise=lambda _: answer()) as wire:
        rig = Rig(wire, max_idle=5)
        rig.session.verify, rig.session.trust_env = str(PEM), False
        assert (rig.after(4.0), rig.after(6.0)) == (0, 1)


def test_through_a_proxy(wire: Wire) -> None:
    """The connection is that to the proxy."""
    rig = Rig(wire, max_idle=5)
    rig.session.proxies = {"http": wire.url}
    rig.session.trust_env = False
    url = "http://api.example.com/"
    rig.session.get(url)
    rig.clock.advance(6)
    rig.session.post(url)
    assert [(seen.connection, seen.target) for seen in wire.arrived] == [(1, url), (2, url)]


def tunnel(port: int) -> Action:
    """Answer a CONNECT as a proxy does, and hand on what comes until both sides have ended."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def act(connection: socket.socket, _: Event) -> bool:
        with socket.create_connection(("127.0.0.1", port)) as far:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = Thread(target=pump, args=(far, connection))
            back.start()
            pump(connection, far)
            back.join()
        return False

    return act


def test_through_a_tunnel() -> None:
    """A new connection through a proxy has a new tunnel, and shakes hands in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    with (
        Wire(tls=context, otherwise=lambda _: answer()) as wire,
        Wire(otherwise=lambda _: tunnel(wire.port)) as proxy,
    ):
        rig = Rig(wire, max_idle=5)
        with rig.session as session:
            session.verify, session.trust_env = str(PEM), False
            session.proxies = {"https": proxy.url}
            assert (rig.after(4.0), rig.after(6.0)) == (0, 1)
        assert [seen.method for seen in proxy.arrived] == ["CONNECT"] * 2


def lost(after: Callable[[Rig], None], end: Action, **settings: Any) -> tuple[Any, Rig]:
    """Return the exception of a POST whose connection the server ends, and the rig."""
    with Wire(answer(), end) as wire:
        rig = Rig(wire, **settings)
        rig.session.get(wire.url)
        after(rig)
        error = raised(rig.session, wire.url, "POST")
    return error, rig


def idle_for(seconds: float) -> Callable[[Rig], None]:
    """Let so much time pass."""
    return lambda rig: rig.clock.advance(seconds)


CURE = "the connection had been idle for 7.2 s: Settings(max_idle=1) sends on a new one instead"


@pytest.mark.parametrize("end", LOST)
@pytest.mark.parametrize("most", [10.0, None])
def test_explain_names_the_cure_where_a_post_was_lost_on_an_old_connection(
    end: Action, most: float | None
) -> None:
    """It says how long the connection had been idle, and which setting takes a new one."""
    error, _ = lost(idle_for(7.2), end, max_idle=most)
    (attempt,) = explain(error).attempts
    assert (attempt.reason, attempt.detail) == (Reason.NOT_IDEMPOTENT, CURE)
    assert CURE in str(explain(error))


def test_a_post_whose_retries_are_off_or_whose_body_is_gone_has_the_cure_too() -> None:
    """It would not have been lost on a new connection either."""
    policy = RetryPolicy(max_attempts=1)
    error, _ = lost(idle_for(7.2), LOST[0], max_idle=None, retry=policy)
    assert explain(error).attempts[0].detail == CURE
    with Wire(answer(), LOST[0]) as wire:
        rig = Rig(wire, max_idle=None)
        rig.session.get(wire.url)
        rig.clock.advance(7.2)
        error = raised(rig.session, wire.url, "POST", data=iter([b"x"]))
    (attempt,) = explain(error).attempts
    assert (attempt.reason, attempt.detail) == (Reason.NOT_REPLAYABLE, CURE)


def test_a_connection_that_was_in_use_just_now_has_no_cure() -> None:
    """The server ended it for another reason."""
    error, _ = lost(idle_for(0.01), LOST[0])
    assert not explain(error).attempts[0].detail


def test_a_new_connection_has_no_cure() -> None:
    """The connection that was idle too long was not used."""
    error, _ = lost(idle_for(7.2), LOST[0], max_idle=5)
    assert not explain(error).attempts[0].detail


def test_a_connection_that_was_closed_meanwhile_has_no_cure() -> None:
    """urllib3 has connected anew then: the connection of the POST was never idle."""
    with Wire(answer(200, b"", ("Connection", "close")), LOST[0]) as wire:
        rig = Rig(wire, max_idle=None)
        rig.session.get(wire.url)
        rig.clock.advance(7.2)
        error = raised(rig.session, wire.url, "POST")
    assert [attempt.detail for attempt in explain(error).attempts] == [""]


@pytest.mark.parametrize(
    "end",
    [
        chunked(200, b"12345", end=fin),
        says(b"not HTTP at all\r\n\r\n", end=fin),
    ],
)
def test_a_server_that_has_answered_had_the_connection_open(end: Action) -> None:
    """An answer that is cut, or is none, tells of another fault than an idle connection."""
    error, _ = lost(idle_for(7.2), end, max_idle=None)
    assert not explain(error).attempts[0].detail


def test_the_cure_belongs_to_the_attempt_that_was_lost() -> None:
    """An attempt that follows on a new connection, and is lost as well, has none."""
    with Wire(answer(), answer(429), LOST[0]) as wire:
        rig = Rig(wire, max_idle=None)
        rig.session.get(wire.url)
        rig.clock.advance(7.2)
        first, last = explain(raised(rig.session, wire.url, "POST")).attempts
    assert (first.reason, first.detail) == (Reason.THROTTLED, "")
    assert (last.reason, last.detail) == (Reason.NOT_IDEMPOTENT, "")


def test_a_get_that_was_lost_on_an_old_connection_is_sent_again() -> None:
    """It needs no cure."""
    with Wire(answer(), LOST[0], answer()) as wire:
        rig = Rig(wire)
        rig.session.get(wire.url)
        rig.clock.advance(60)
        response = rig.session.get(wire.url)
    assert [each.reason for each in explain(response).attempts] == [Reason.LOST, Reason.FINAL]


def test_a_post_with_a_key_that_was_lost_on_an_old_connection_is_sent_again() -> None:
    """It needs no cure either: ``Idempotency-Key`` lets it be sent again."""
    with Wire(answer(), LOST[0], answer()) as wire:
        rig = Rig(wire)
        rig.session.get(wire.url)
        rig.clock.advance(60)
        response = rig.session.post(wire.url, headers={"Idempotency-Key": '"mine"'})
    told = [(each.reason, each.detail) for each in explain(response).attempts]
    assert told == [(Reason.LOST, ""), (Reason.FINAL, "")]


def dialect(folder: Path) -> Dialect:
    """The dialect of an API at which a POST with the header X-Once may be repeated."""
    return read(changed("paths", ...), folder)


def test_a_post_that_its_api_lets_repeat_goes_on_any_connection(wire: Wire, tmp_path: Path) -> None:
    """It is sent again once it is lost, as a GET is: a dialect says that it may be."""
    rig = Rig(wire, dialects=[dialect(tmp_path)], origins=[wire.url.rstrip("/")], max_idle=5)
    assert (rig.after(400.0, headers={"X-Once": "a"}), rig.after(400.0)) == (0, 1)


def test_a_post_that_its_api_lets_repeat_needs_no_cure(tmp_path: Path) -> None:
    """It was lost on an old connection and sent again: the last answer has another reason."""
    with Wire(answer(), LOST[0], answer(400)) as wire:
        rig = Rig(wire, dialects=[dialect(tmp_path)], origins=[wire.url.rstrip("/")])
        rig.session.get(wire.url)
        rig.clock.advance(0.9)
        response = rig.session.post(wire.url, headers={"X-Once": "a"})
    told = [(each.reason, each.detail) for each in explain(response).attempts]
    assert told == [(Reason.LOST, ""), (Reason.FINAL, "")]


def test_a_pickled_adapter_keeps_it(wire: Wire) -> None:
    """The settings travel with it."""
    adapter = pickle.loads(pickle.dumps(AuthRetryAdapter(Settings(max_idle=0))))  # noqa: S301
    with with_adapter(adapter) as session:
        session.post(wire.url)
        session.post(wire.url)
    assert wire.connections == 2


@pytest.mark.parametrize("wrong", [-1, float("inf"), float("nan"), "5", True])
def test_a_value_that_cannot_work_is_refused(wrong: Any) -> None:
    """Seconds from zero on, or None."""
    with pytest.raises(ValueError, match="max_idle"):
        Settings(max_idle=wrong)
