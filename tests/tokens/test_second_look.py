"""What a second pair of eyes found: each broke once, and is held here."""

from __future__ import annotations

import threading
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from requests_authretry import (
    FetchContext,
    GaveUp,
    MemoryStore,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Token,
    TokenRefreshed,
    attempts,
    mount,
)
from requests_authretry._core.token import TokenRecord
from requests_authretry._core.token_schedule import without_windows
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.scripted import Source, carried, scripted, settings
from tests.support.sessions import ended, real
from tests.support.wire import PATIENCE, Wire, answer, drip, head

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

URL = "https://api.example.com/things"
URLLIB3_2 = int(version("urllib3").partition(".")[0]) >= 2
REFUSED = (401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


if URLLIB3_2:  # 1.26 cannot read what has come and look at the clock

    @pytest.mark.parametrize(
        ("status", "header"),
        [
            (302, ("Location", "/next")),
            (401, ("WWW-Authenticate", "Basic")),
            (401, ("X-Other", "1")),
        ],
        ids=["redirect", "other scheme", "refused again"],
    )
    def test_no_answer_drips_past_the_deadline(status: int, header: tuple[str, str]) -> None:
        """Bodies that only requests itself would read are cut at the deadline as all others."""
        clock = FakeClock()
        start = head(status, header, ("Content-Length", "100000"))
        dripping = drip(start, tick=lambda: clock.advance(10))
        with (
            Wire(dripping, answer()) as wire,
            real(
                token=Token("constant"),
                origins=[wire.url],
                timeout=PATIENCE,
                retry=RetryPolicy(deadline=120),
                clock=clock,
            ) as session,
            pytest.raises(requests.Timeout),
        ):
            ended(lambda: session.get(wire.url))


class Watching(HTTPAdapter):
    """An adapter that puts a wrapper around what is read, as a cache does."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = b""

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Send, and watch the body being read."""
        response = super().send(request, *args, **options)
        file, adapter = response.raw._fp, self  # noqa: SLF001 (as such adapters do)

        class Watched:
            def read(self, *sizes: int) -> bytes:
                data: bytes = file.read(*sizes)
                adapter.seen += data
                return data

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

        response.raw._fp = Watched()  # noqa: SLF001
        return response


def test_an_adapter_that_watches_the_body_sees_it() -> None:
    """What an inner adapter has put around the body is read through, not around."""
    below = Watching()
    with Wire(answer(200, b"hello")) as wire, requests.Session() as session:
        session.mount("http://", below)
        mount(session)
        assert session.get(wire.url).content == b"hello"
    assert below.seen == b"hello"


def test_an_adopted_token_that_is_old_too_is_renewed() -> None:
    """A token found in the store is tried once; refused as well, it is renewed."""
    store, source = MemoryStore(), Source("third")
    chosen = settings(source, store=store)
    store.write("https://api.example.com", TokenRecord(Token("second")).dump())
    session, below = scripted(chosen, REFUSED, REFUSED, 200)
    tokens = SharedState.of(chosen).tokens
    assert tokens is not None
    tokens._hold(Token("first"), without_windows(None, 0.0))  # noqa: SLF001 (as if it had been fetched)
    assert session.get(URL).status_code == 200
    assert carried(below) == ["Bearer first", "Bearer second", "Bearer third"]
    assert source.calls == 1


def test_a_source_that_hung_once_is_asked_again() -> None:
    """One lost packet in a source must not end renewal for the life of the process."""
    hang, calls = threading.Event(), list[int]()

    def fetch() -> str:
        calls.append(1)
        if len(calls) == 1:
            hang.wait()
        return "good"

    clock = FakeClock()
    clock.patience = 0.05
    chosen = settings(fetch, clock=clock, retry=RetryPolicy(deadline=30))
    session, _ = scripted(chosen, 200)
    try:
        for _ in range(2):
            with pytest.raises(RefreshFailed):
                session.get(URL)
        clock.patience = 5
        hung = SharedState.of(chosen).tokens
        assert hung is not None
        hung._sync._kept.store = MemoryStore()  # noqa: SLF001 (the hanging one keeps the other's lock)
        assert session.get(URL).status_code == 200
    finally:
        hang.set()
    assert len(calls) == 2


def test_a_source_is_given_time_for_those_who_have_it() -> None:
    """A caller near its deadline does not make the renewal of all others a short one."""
    told: list[float] = []

    class Late:
        def fetch(self, context: FetchContext) -> str:
            told.append(context.timeout)
            return "token"

    late = settings(Late(), clock=FakeClock(), retry=RetryPolicy(deadline=0.5))
    session, _ = scripted(late, 200)
    session.get(URL)
    assert told == [10.0]


@pytest.mark.parametrize("timeout", [(60, None), (None, None)])
def test_who_bounds_no_read_is_not_cut(timeout: tuple[float | None, float | None]) -> None:
    """A limit on connecting alone leaves slow bodies alone."""
    clock = FakeClock()
    slow = ScriptedAdapter((200, {}, b"x" * 100))
    with requests.Session() as session:
        session.mount("https://", slow)
        mount(session, Settings(clock=clock, retry=RetryPolicy(deadline=1)))
        assert session.get(URL, timeout=timeout).content == b"x" * 100
    dripping = drip(head(200, ("Content-Length", "9")), tick=lambda: clock.advance(1000))
    with Wire(dripping) as wire, real(clock=clock) as session:
        assert session.get(wire.url, timeout=timeout).content == b"." * 9


def test_a_401_is_renewed_before_anything_else() -> None:
    """Even if the server asks for a retry, the refused token is not sent again."""
    events: list[object] = []
    source = Source("one", "two")
    refused = (401, {**REFUSED[1], "x-should-retry": "true"})
    session, below = scripted(settings(source, listeners=[events.append]), refused, 200)
    response = session.get(URL)
    assert carried(below) == ["Bearer one", "Bearer two"]
    assert [attempt.status for attempt in attempts(response)] == [401, 200]
    assert not [event for event in events if isinstance(event, GaveUp)]


def test_a_listener_may_use_the_session() -> None:
    """When it is told of a new token, the token is there."""
    inside: list[int] = []

    def listen(event: object) -> None:
        if isinstance(event, TokenRefreshed) and not inside:
            inside.append(session.get(URL).status_code)

    session, _ = scripted(settings(Source("one"), listeners=[listen]), 200, 200)
    assert session.get(URL).status_code == 200
    assert inside == [200]


def test_each_settings_object_answers_its_own_401() -> None:
    """A redirect to another mount's origin meets another token, renewed by itself."""
    first, second = Source("a1", "a2"), Source("b1", "b2")
    below = ScriptedAdapter(
        REFUSED, (302, {"Location": "https://other.example.com/"}), REFUSED, 200
    )
    with requests.Session() as session:
        session.mount("https://", below)
        mount(session, settings(first), prefix="https://api.example.com/")
        other = Settings(token=second, origins=["https://other.example.com"], clock=FakeClock())
        mount(session, other, prefix="https://other.example.com/")
        assert session.get(URL).status_code == 200
    assert carried(below) == ["Bearer a1", "Bearer a2", "Bearer b1", "Bearer b2"]
