"""`AuthRetryAdapter` as an adapter: options, inner adapters, time limits, closing."""

from __future__ import annotations

import copy
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.util import Timeout

from requests_authretry import (
    AuthRetryAdapter,
    AuthRetryError,
    ConfigurationError,
    Reason,
    RetryPolicy,
    Settings,
    attempts,
)
from requests_authretry._call.translate import limited
from requests_authretry.testing import FakeClock, ScriptedAdapter, SystemClock
from tests.support.scripted import Source
from tests.support.sessions import API, Recorder, Rig, real, with_adapter
from tests.support.wire import PATIENCE, Wire, answer, drip, head

if TYPE_CHECKING:
    from requests import PreparedRequest

GIVEN: dict[str, Any] = {
    "stream": True,
    "verify": False,
    "cert": ("a", "b"),
    "proxies": {"https": "http://proxy"},
}


def over(inner: BaseAdapter, **settings: Any) -> requests.Session:
    """Make a session over an inner adapter, with a fake clock."""
    settings.setdefault("clock", FakeClock())
    return with_adapter(AuthRetryAdapter(Settings(**settings), inner=inner))


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"max_retries": 3}, "max_retries would multiply"),
        ({"inner": "https://"}, "inner must be an adapter, not str"),
        ({"inner": HTTPAdapter(), "pool_maxsize": 1}, "pool_maxsize: the pool is the inner"),
        ({"settings": HTTPAdapter()}, "settings must be a Settings, not HTTPAdapter"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], fault: str) -> None:
    """An argument that cannot work is refused when the adapter is made, and the error says why."""
    with pytest.raises(ConfigurationError, match=fault):
        AuthRetryAdapter(**arguments)


def test_all_faults_are_named_together() -> None:
    """Two faults make one exception, which has the arguments and the way out."""
    with pytest.raises(ConfigurationError) as caught:
        AuthRetryAdapter(inner=HTTPAdapter(), max_retries=3, pool_maxsize=1)
    assert len(caught.value.faults) == 2
    assert str(caught.value) == (
        "AuthRetryAdapter: max_retries, pool_maxsize: the pool is the inner adapter's; "
        "max_retries would multiply: say RetryPolicy(max_attempts=...) instead"
    )


def test_pool_options_reach_the_pool() -> None:
    """An adapter without an inner one is an `HTTPAdapter` with the requested pool."""
    adapter = AuthRetryAdapter(pool_connections=3, pool_maxsize=7, pool_block=True)
    assert isinstance(adapter, HTTPAdapter)
    pool: Any = adapter.poolmanager.connection_from_url(API)
    assert (pool.pool.maxsize, pool.block) == (7, True)
    assert adapter.max_retries.total == 0


def test_an_inner_adapter_gets_all_that_was_given() -> None:
    """Stream, TLS and proxy options are passed on unchanged, with each attempt."""
    inner = Recorder(503, 200)
    adapter = AuthRetryAdapter(Settings(clock=FakeClock()), inner=inner)
    adapter.send(requests.Request("GET", API).prepare(), timeout=(3, 4), **GIVEN)
    assert inner.options == [GIVEN | {"timeout": (3, 4)}] * 2


def test_an_inner_adapter_gets_the_defaults_of_every_adapter() -> None:
    """Without options certificates are verified, and nothing streams, as in bare requests."""
    inner = Recorder(200)
    AuthRetryAdapter(inner=inner).send(requests.Request("GET", API).prepare())
    unset = dict.fromkeys(("timeout", "cert", "proxies"))
    assert inner.options == [{"stream": False, "verify": True, **unset}]


def test_options_go_through_one_around_another() -> None:
    """The adapter at the bottom gets all options, however many of ours are around it."""
    inner = Recorder(200)
    adapter = AuthRetryAdapter(inner=AuthRetryAdapter(inner=inner))
    adapter.send(requests.Request("GET", API).prepare(), timeout=3, **GIVEN)
    assert inner.options == [GIVEN | {"timeout": 3}]


class Slow(Recorder):
    """An inner adapter that takes its time.

    Args:
        clock: The clock.
        seconds: How long it takes.
    """

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        super().__init__(200)
        self._clock, self._seconds = clock, seconds

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Answer after that time."""
        self._clock.advance(self._seconds)
        return super().send(request, *args, **options)


@pytest.mark.parametrize(
    ("begins", "elsewhere", "seconds", "hooks"),
    [(10.0, 0.0, 1.0, 0), (0.0, 0.001, 0.0, 0), (0.0, 0.002, 0.0, 1)],
    ids=["slow server", "a millisecond", "two milliseconds"],
)
def test_a_request_that_goes_well_gets_no_hook(
    begins: float, elsewhere: float, seconds: float, hooks: int
) -> None:
    """Our hook is needed where the call took over a millisecond longer than its last attempt."""
    clock = FakeClock()
    clock.advance(begins)

    def fetch() -> str:
        clock.advance(elsewhere)
        return "token"

    session = over(Slow(clock, seconds), clock=clock, token=fetch, origins=[API])
    assert len(session.get(API).request.hooks["response"]) == hooks


def test_arguments_may_come_by_position() -> None:
    """Positional arguments of `send` work, in the order that every adapter has."""
    inner = Recorder(200)
    adapter = AuthRetryAdapter(inner=inner)
    request = requests.Request("GET", API).prepare()
    adapter.send(request, True, 3, False, ("a", "b"), {"https": "http://proxy"})  # noqa: FBT003
    assert inner.options == [GIVEN | {"timeout": 3}]


class Narrow(BaseAdapter):
    """An adapter that names its arguments."""

    def send(  # noqa: PLR0913, PLR0917
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002, ARG002
        timeout: Any = None,  # noqa: ARG002
        verify: Any = True,  # noqa: FBT002, ARG002
        cert: Any = None,  # noqa: ARG002
        proxies: Any = None,  # noqa: ARG002
    ) -> requests.Response:
        """Answer 200."""
        return ScriptedAdapter(200).send(request)

    def close(self) -> None:
        """Close nothing."""


class Bare(BaseAdapter):
    """An adapter whose answers have as few attributes as possible."""

    def __init__(self, *statuses: int) -> None:
        """Take the answers."""
        super().__init__()
        self._statuses = list(statuses)

    def send(self, *args: Any, **options: Any) -> requests.Response:  # noqa: ARG002
        """Return an answer with hardly any attributes."""
        response = requests.Response()
        response.status_code = self._statuses.pop(0)
        response._content = b"faked"  # noqa: SLF001
        return response

    def close(self) -> None:
        """Close nothing."""


def test_custom_inner_adapters() -> None:
    """Adapters that name their arguments, take any, or give minimal answers all work."""
    assert over(Narrow()).get(API).status_code == 200
    response = over(Bare(503, 401, 200), token=Source("old", "new"), origins=[API]).get(API)
    assert (response.status_code, response.content) == (200, b"faked")
    assert [attempt.status for attempt in attempts(response)] == [503, 401, 200]


def test_a_subclass_keeps_what_it_overrides() -> None:
    """A subclass changes headers and answers on each attempt."""

    class Marked(AuthRetryAdapter):
        def add_headers(self, request: PreparedRequest, **_: Any) -> None:
            request.headers["X-Marked"] = str(len(wire.arrived))

    with Wire(answer(503), answer()) as wire, with_adapter(Marked()) as session:
        session.get(wire.url)
        assert [seen.headers["X-Marked"] for seen in wire.arrived] == ["0", "1"]


def test_what_stands_in_for_the_send_of_requests_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt goes through a replacement of `HTTPAdapter.send`, as test tools make."""
    double = ScriptedAdapter(503, 200)

    def send(self: object, request: PreparedRequest, **options: Any) -> requests.Response:  # noqa: ARG001
        return double.send(request, **options)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    assert real().get(API).status_code == 200
    assert len(double.sent) == 2


class Own(HTTPAdapter):
    """An adapter with a ``send`` of its own."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        """Send as requests does."""
        return super().send(*args, **options)


@pytest.mark.parametrize("kind", [HTTPAdapter, Own])
def test_only_an_adapter_with_a_send_of_its_own_gets_no_limit(
    kind: type[HTTPAdapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind two of ours, requests' adapter ends a silence of 120 s; another has its own limit."""
    double, seen = ScriptedAdapter(200), list[Any]()

    def send(_: object, request: PreparedRequest, **options: Any) -> requests.Response:
        seen.append(options["timeout"])
        return double.send(request, **options)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    session = requests.Session()
    session.mount(API, AuthRetryAdapter(inner=AuthRetryAdapter(inner=kind())))
    session.get(API)
    assert [each is None for each in seen] == [kind is Own]


def test_one_around_another_does_not_stack() -> None:
    """The outer of two adapters replaces the inner one, so that attempts do not multiply."""
    script = ScriptedAdapter(*[503] * 9)
    policy = RetryPolicy(max_attempts=2)
    within = AuthRetryAdapter(Settings(clock=FakeClock()), inner=script)
    session = over(within, retry=policy)
    assert session.get(API).status_code == 503
    assert len(script.sent) == 2


def test_one_around_another_uses_its_pool() -> None:
    """Attempts go through the pool of the inner adapter if it owns one."""
    with Wire(answer(503), answer()) as wire, over(AuthRetryAdapter()) as session:
        response = session.get(wire.url)
        assert response.connection is session.get_adapter(wire.url)
        assert (wire.connections, len(wire.arrived)) == (1, 2)


def test_what_others_read_is_the_inner_ones() -> None:
    """The inner adapter's attributes, such as pools and retries, are found on ours."""
    inner = HTTPAdapter(pool_maxsize=3, max_retries=2)
    inner.mark = "mine"  # type: ignore[attr-defined]
    adapter = AuthRetryAdapter(inner=inner)
    for name in ("poolmanager", "proxy_manager", "max_retries", "config", "mark", "_pool_maxsize"):
        assert getattr(adapter, name) is getattr(inner, name)
    for one, name in ((adapter, "HTTPAdapter"), (AuthRetryAdapter(), "AuthRetryAdapter")):
        with pytest.raises(AttributeError, match=f"^'{name}' object has no attribute 'nothing'$"):
            _ = one.nothing


class CopiedInItsWay(HTTPAdapter):
    """An inner adapter that says how it is copied."""

    def __deepcopy__(self, _: dict[int, object]) -> CopiedInItsWay:
        return CopiedInItsWay()


def test_what_python_reads_is_ours() -> None:
    """A copy is a copy of our adapter, also where the inner one has a method for copies."""
    other = copy.deepcopy(AuthRetryAdapter(Settings(timeout=7), inner=CopiedInItsWay()))
    assert (type(other), type(other.inner)) == (AuthRetryAdapter, CopiedInItsWay)
    assert other.settings.timeout == 7


def test_an_attribute_is_looked_for_on_a_raw_object() -> None:
    """An attribute lookup without an inner adapter, as in unpickling, raises AttributeError."""
    with pytest.raises(AttributeError):
        _ = object.__new__(AuthRetryAdapter).poolmanager


TIMEOUTS: dict[str, tuple[Any, Any]] = {
    "none": (None, 3),
    "short": (2, 2),
    "long": (50, 3),
    "pair": ((1, 50), (1, 3)),
    "half a pair": ((None, 50), (3, 3)),
    "other half": ((50, None), (3, 3)),
    "nothing": (0, 0),
}


@pytest.mark.parametrize(("timeout", "cut"), TIMEOUTS.values(), ids=TIMEOUTS)
def test_time_limits_are_cut_to_what_is_left(timeout: Any, cut: Any) -> None:
    """No part of a timeout is longer than the rest of the deadline, and none is missing."""
    inner = Recorder((429, {"Retry-After": "7"}), 200)
    session = over(inner, retry=RetryPolicy(deadline=10))
    session.get(API, timeout=timeout)
    assert inner.options[1]["timeout"] == cut


@pytest.mark.parametrize("timeout", [None, 2, 500, (1, None)], ids=str)
def test_the_default_deadline_cuts_no_time_limit(timeout: Any) -> None:
    """An adapter with a `send` of its own gets the caller's timeout, and none if there is none."""
    inner = Recorder((429, {"Retry-After": "100"}), 200)
    over(inner).get(API, timeout=timeout)
    idle = (1, 120) if isinstance(timeout, tuple) else timeout
    assert inner.options[1]["timeout"] == idle


def parts(timeout: Timeout) -> tuple[Any, ...]:
    """Return the parts that a limit of urllib3 was made of."""
    return timeout.total, timeout._connect, timeout._read  # noqa: SLF001 (the public ones need a clock)


@pytest.mark.parametrize(
    ("timeout", "cut"),
    [
        (Timeout(), Timeout(connect=3, read=3)),
        (Timeout(50), Timeout(3)),
        (Timeout(2), Timeout(2)),
        (Timeout(connect=50, read=1), Timeout(connect=3, read=1)),
        (Timeout(connect=1, read=None), Timeout(connect=1, read=3)),
        (Timeout(total=50, connect=1, read=50), Timeout(total=3, connect=1, read=3)),
    ],
    ids=["none", "long", "short", "parts", "half", "total and parts"],  # 1.26 shows addresses
)
def test_a_limit_of_urllib3_is_cut_too(timeout: Timeout, cut: Timeout) -> None:
    """Each part of a `urllib3.Timeout` is cut separately, and the caller's object is unchanged."""
    before = repr(timeout)
    assert parts(limited(timeout, 3.0, FakeClock())) == parts(cut)
    assert repr(timeout) == before


def test_a_limit_of_another_kind_is_passed_on() -> None:
    """A timeout of an unknown kind is passed on for the inner adapter to judge."""
    for unknown in ("soon", True):
        assert limited(unknown, 3.0, FakeClock()) is unknown
    three: Any = (1, 2, 3)
    with pytest.raises(ValueError, match="timeout"), real() as session:
        session.get("http://127.0.0.1:9/", timeout=three)


def test_without_a_limit_of_reads_a_body_that_makes_progress_outlives_the_call() -> None:
    """Who limits the connecting alone gets a body whole that takes longer than the deadline."""
    clock = FakeClock()
    slow = drip(head(200, ("Content-Length", "9")), tick=lambda: clock.advance(100))
    with Wire(slow) as wire, real(clock=clock) as session:
        assert session.get(wire.url, timeout=(PATIENCE, None)).content == b"." * 9


def test_a_limit_never_becomes_nothing() -> None:
    """A timeout beyond the deadline is short, but long enough that a socket accepts it."""
    assert limited(5, -7.0, FakeClock()) == 0.001


def test_a_limit_stands_in_messages_as_the_caller_wrote_it() -> None:
    """The 5 of a caller is not 5.0 in the exception; a limit that was cut is its own number."""
    assert str(limited(5, 100.0, FakeClock())) == "5"
    assert str(limited(5, 3.0, FakeClock())) == "3.0"


@pytest.mark.parametrize(("given", "used"), [(None, 9), (2, 2)])
def test_the_limit_of_the_settings(given: float | None, used: float) -> None:
    """The timeout of the settings is used if the caller gave none, on redirects and replays too."""
    inner = Recorder((302, {"Location": "/there"}), 401, 200)
    over(inner, timeout=9, token=Source("old", "new"), origins=[API]).get(API, timeout=given)
    assert [options["timeout"] for options in inner.options] == [used] * 3


class Signal(SystemClock):
    """The real clock, which signals when a call begins to wait."""

    def __init__(self) -> None:
        """Start without a waiting call."""
        self.waiting = Event()

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Signal the wait, and wait."""
        self.waiting.set()
        super().sleep(seconds, wake)


def test_closing_ends_a_wait() -> None:
    """A waiting call ends at once with an `AuthRetryError` when another thread closes it."""
    clock, raised = Signal(), list[Exception]()
    inner = ScriptedAdapter((503, {"Retry-After": "60"}), 200)
    session = over(inner, clock=clock)

    def call() -> None:
        try:
            session.get(API)
        except requests.RequestException as error:
            raised.append(error)

    thread = Thread(target=call)
    thread.start()
    assert clock.waiting.wait(120)
    session.close()
    thread.join(120)
    assert not thread.is_alive()
    [error] = raised
    assert type(error) is AuthRetryError
    assert error.request is not None
    assert [attempt.reason for attempt in attempts(error)] == [Reason.CLOSED]
    assert (inner.closed, len(inner.sent)) == (True, 1)


def test_closing_during_a_wait_after_a_failure_keeps_the_failure() -> None:
    """The failure before the wait is the cause of the error."""
    lost = requests.ConnectionError()
    rig = Rig(lost, 200)

    def sleep(seconds: float, wake: Event | None = None) -> None:  # noqa: ARG001
        rig.session.close()

    rig.clock.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(AuthRetryError, match="closed") as caught:
        rig.get()
    assert caught.value.__cause__ is lost


def test_a_closed_session_can_be_used_again() -> None:
    """A closed session drops its connections, and the next request opens new ones."""
    with Wire(answer(503), answer(), answer(503), answer()) as wire, real() as session:
        assert session.get(wire.url).status_code == 200
        session.close()
        assert session.get(wire.url).status_code == 200
        assert wire.connections == 2
