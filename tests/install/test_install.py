"""`install` and the way back: every session, once each, and exactly undone."""

from __future__ import annotations

import copy
import gc
import pickle
from collections import OrderedDict
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import wraps
from threading import Barrier, Event, Lock, Semaphore, Thread
from typing import TYPE_CHECKING, Any
from unittest import mock
from weakref import ref

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.util import Retry

from requests_authretry import (
    AuthRetryAdapter,
    AuthRetryError,
    ConfigurationError,
    Installed,
    RetryPolicy,
    Settings,
    attempts,
    install,
    mount,
)
from requests_authretry._install.install import _process
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.scripted import EXPIRED, ORIGIN, URL, settings
from tests.support.sessions import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest, Response

    from requests_authretry.cli.demo_server import DemoServer

FOUR = Settings(retry=RetryPolicy(backoff=AT_ONCE))
TWO = Settings(retry=RetryPolicy(backoff=AT_ONCE, max_attempts=2))

PLACES = (requests.Session, HTTPAdapter, AuthRetryAdapter)


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    """Nothing that a test installs is left, even where it fails."""
    before = [dict(vars(place)) for place in PLACES]
    yield
    assert [dict(vars(place)) for place in PLACES] == before


def failing(demo_server: DemoServer, times: int = 3) -> None:
    """The next answers are 503."""
    for _ in range(times):
        demo_server.answer(503)


def seen(demo_server: DemoServer) -> list[int | None]:
    """What was answered so far."""
    return [request.status for request in demo_server.seen]


class Own(requests.Session):
    """A session of somebody else's, with a transport at its heart."""

    transport: Any = None


class PicksItself(Own):
    """Its adapter stands in no mapping."""

    def get_adapter(self, url: str) -> BaseAdapter:
        """The one there is."""
        adapter: BaseAdapter = self.transport or super().get_adapter(url)
        return adapter


class Around(BaseAdapter):
    """It sends through another."""

    def __init__(self, inner: BaseAdapter) -> None:
        super().__init__()
        self.inner = inner

    def send(self, *args: Any, **options: Any) -> Response:
        """Nothing more."""
        return self.inner.send(*args, **options)

    def close(self) -> None:
        """The inner one is not its own."""


class PicksAround(Own):
    """It puts something around what its parent picks."""

    def get_adapter(self, url: str) -> BaseAdapter:
        """The parent's, with something around it."""
        return Around(super().get_adapter(url))


class SendsWithMore(Own):
    """It adds something to each send."""

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        """With a header."""
        request.headers["X-Mine"] = "yes"
        return super().send(request, **options)


class SendsByItself(Own):
    """It never asks requests' own session to send."""

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        """Through an adapter, straight."""
        options.pop("allow_redirects", None)
        adapter: BaseAdapter = self.get_adapter(request.url or "")
        return adapter.send(request, **options)


class AsksWithMore(Own):
    """It changes each request."""

    def request(self, method: str, url: Any, *args: Any, **options: Any) -> Response:
        """With a parameter."""
        options["params"] = {"mine": "yes"}
        return super().request(method, url, *args, **options)


class Logging(HTTPAdapter):
    """An adapter that counts, and sends as its parent does."""

    sends = 0

    def send(self, *args: Any, **options: Any) -> Response:
        """One more."""
        self.sends += 1
        return super().send(*args, **options)


KINDS = (requests.Session, PicksItself, PicksAround, SendsWithMore, SendsByItself, AsksWithMore)


def test_requests_get_is_covered(demo_server: DemoServer, httpbin_url: str) -> None:
    """The functions of requests, which make a session for each call, get the loop."""
    failing(demo_server)
    with install(FOUR):
        assert requests.get(f"{httpbin_url}/get", timeout=60).status_code == 200
    assert seen(demo_server) == [503, 503, 503, 200]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_every_session_is_covered(
    kind: type[requests.Session], when: str, demo_server: DemoServer, httpbin_url: str
) -> None:
    """Sessions that lived before and sessions made later, whatever they override."""
    failing(demo_server)
    with requests.Session() if when == "after" else kind() as early, install(FOUR):
        session = early if when == "before" else kind()
        with session:
            assert session.get(f"{httpbin_url}/get").status_code == 200
    assert seen(demo_server) == [503, 503, 503, 200]


@pytest.mark.parametrize("kind", KINDS[:4])
def test_any_adapter_is_covered(kind: type[requests.Session]) -> None:
    """An adapter that is none of HTTP is wrapped where the session picks it."""
    session, below = kind(), ScriptedAdapter(503, 503, 200)
    session.mount("https://", below)
    if isinstance(session, PicksItself):
        session.transport = below
    with install(FOUR):
        response = session.get(URL)
    assert (response.status_code, len(attempts(response)), len(below.sent)) == (200, 3, 3)


def test_what_a_session_picks_is_wrapped_once() -> None:
    """An adapter that stands around what the parent class picks: one loop, around both."""
    below = ScriptedAdapter(*[503] * 20)
    with install(FOUR):
        for kind in (requests.Session, PicksAround):
            session = kind()
            session.mount("https://", below)
            assert len(attempts(session.get(URL))) == 4
    assert len(below.sent) == 4 + 4


def test_an_adapters_own_send_is_within_the_loop(demo_server: DemoServer, httpbin_url: str) -> None:
    """A subclass that overrides `send` sees each attempt, once."""
    failing(demo_server, 2)
    adapter = Logging()
    with requests.Session() as session, install(FOUR):
        session.mount("http://", adapter)
        session.get(f"{httpbin_url}/get")
    assert (adapter.sends, seen(demo_server)) == (3, [503, 503, 200])


def test_an_adapter_used_without_a_session(demo_server: DemoServer, httpbin_url: str) -> None:
    """What is sent through an adapter alone gets the loop as well, in place of its retries."""
    failing(demo_server, 9)
    request = requests.Request("GET", f"{httpbin_url}/get").prepare()
    adapter = HTTPAdapter(max_retries=Retry(total=3, status_forcelist=[503]))
    with install(TWO):
        assert adapter.send(request).status_code == 503
    assert adapter.max_retries.total == 3
    assert seen(demo_server) == [503, 503]


@pytest.mark.parametrize("first", ["mount", "install"])
def test_a_mounted_session_keeps_its_own_settings(
    first: str, demo_server: DemoServer, httpbin_url: str
) -> None:
    """What is said of one session counts before what is said of all, and never multiplies."""
    failing(demo_server, 9)
    with requests.Session() as session:
        if first == "mount":
            mount(session, TWO)
        with install(FOUR):
            if first == "install":
                session.get(f"{httpbin_url}/get")
                assert len(seen(demo_server)) == 4
                mount(session, TWO)
            session.get(f"{httpbin_url}/get")
    assert len(seen(demo_server)) == (2 if first == "mount" else 4 + 2)


def test_an_adapter_of_ours_stays_as_it_is(demo_server: DemoServer, httpbin_url: str) -> None:
    """`AuthRetryAdapter` in a session by itself is one loop, not two."""
    failing(demo_server, 9)
    with requests.Session() as session, install(FOUR):
        session.mount("http://", AuthRetryAdapter(TWO))
        session.get(f"{httpbin_url}/get")
    assert seen(demo_server) == [503, 503]


def test_twice_is_once(demo_server: DemoServer, httpbin_url: str) -> None:
    """A second installation replaces the settings; the first comes back when it is undone."""
    failing(demo_server, 20)
    with requests.Session() as session, install(FOUR):
        session.get(f"{httpbin_url}/get")
        with install(TWO):
            session.get(f"{httpbin_url}/get")
        session.get(f"{httpbin_url}/get")
    assert len(seen(demo_server)) == 4 + 2 + 4


def test_each_undoes_its_own_in_any_order(demo_server: DemoServer, httpbin_url: str) -> None:
    """The newest that is not undone is in force, and undoing twice does nothing."""
    failing(demo_server, 20)
    first, second = install(FOUR), install(TWO)
    first.uninstall()
    first.uninstall()
    with requests.Session() as session:
        session.get(f"{httpbin_url}/get")
        second.uninstall()
        session.get(f"{httpbin_url}/get")
    assert len(seen(demo_server)) == 2 + 1


def test_nothing_is_left() -> None:
    """Classes, sessions and adapters are what they were, retries of adapters included."""
    retries = Retry(total=3, backoff_factor=0)
    sessions = [kind() for kind in (requests.Session, PicksItself)]
    scripted, pooled = ScriptedAdapter(200, 200), HTTPAdapter(max_retries=retries)
    for session in sessions:
        session.mount("https://", scripted)
        session.mount("http://", pooled)
    places: list[Any] = [PicksItself, *sessions, pooled]
    before = [dict(vars(place)) for place in places]
    own = set(vars(scripted))
    with install(FOUR):
        for session in sessions:
            session.get(URL)
            with pytest.raises(requests.ConnectionError):
                session.get("http://127.0.0.1:9/")
        assert pooled.max_retries != retries
        assert [dict(vars(place)) for place in places] != before
    assert [dict(vars(place)) for place in places] == before
    assert set(vars(scripted)) == own
    assert pooled.max_retries is retries


def test_retries_of_adapters_do_not_multiply(demo_server: DemoServer, httpbin_url: str) -> None:
    """An adapter's own retries are off while it is installed."""
    failing(demo_server, 30)
    adapter = HTTPAdapter(max_retries=Retry(total=3, status_forcelist=[503]))
    with requests.Session() as session, install(TWO):
        session.mount("http://", adapter)
        assert session.get(f"{httpbin_url}/get").status_code == 503
    assert seen(demo_server) == [503, 503]
    assert adapter.max_retries.total == 3


def test_adopted_retries_of_an_adapter_are_its_policy(
    demo_server: DemoServer, httpbin_url: str
) -> None:
    """With `adopt`, each adapter keeps its own number; others have that of the settings."""
    failing(demo_server, 20)
    chosen = Settings(retry=RetryPolicy(max_attempts=3, backoff=AT_ONCE), adopt=["retries"])
    own = HTTPAdapter(max_retries=Retry(total=1, status_forcelist=[503]))
    with requests.Session() as session, install(chosen):
        session.mount(f"{httpbin_url}/get", own)
        for _ in range(2):
            session.get(f"{httpbin_url}/get")
        session.get(f"{httpbin_url}/anything")
    assert len(seen(demo_server)) == 2 + 2 + 3


@pytest.mark.parametrize("says_so", [False, True])
def test_what_others_put_around_stays(says_so: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """A patch of somebody else's above ours is left in place, and goes on working."""
    session, below = requests.Session(), ScriptedAdapter(503, 503, 200, 503)
    session.mount("https://", below)
    calls = []
    plain, installed = requests.Session.send, install(FOUR)
    ours = requests.Session.send

    def theirs(session: requests.Session, request: PreparedRequest, **options: Any) -> Response:
        calls.append(request.url)
        return ours(session, request, **options)

    theirs = wraps(ours)(theirs) if says_so else theirs
    with monkeypatch.context() as patch:
        patch.setattr(requests.Session, "send", theirs)
        assert session.get(URL).status_code == 200
        installed.uninstall()
        assert vars(requests.Session)["send"] is theirs
        assert session.get(URL).status_code == 503
    assert len(calls) == 2
    assert requests.Session.send is ours  # as they took out what was theirs
    setattr(requests.Session, "send", plain)  # noqa: B010 (mypy takes no assignment)


def test_calls_under_way_go_on_as_they_began() -> None:
    """A call that waits between two attempts while all is undone makes its next one."""
    came, go = Event(), Event()

    class Slow(ScriptedAdapter):
        def send(self, *args: Any, **options: Any) -> Response:
            came.set()
            assert go.wait(120)
            return super().send(*args, **options)

    session, below, results = requests.Session(), Slow(503, 200), []
    session.mount("https://", below)
    installed = install(FOUR)
    thread = Thread(target=lambda: results.append(session.get(URL).status_code))
    thread.start()
    assert came.wait(120)
    installed.uninstall()
    go.set()
    thread.join(120)
    assert (results, len(below.sent)) == ([200], 2)


class Until(FakeClock):
    """Sleeps until it is woken.

    Attributes:
        waiting: Released by each one who sleeps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting = Semaphore(0)

    def sleep(self, seconds: float, wake: Any = None) -> None:  # noqa: ARG002 (until woken)
        """Without end, all but."""
        self.waiting.release()
        assert wake.wait(120)


class ClosesByItself(requests.Session):
    """It never asks requests' own session to close."""

    def close(self) -> None:
        """Its adapters, straight."""
        for adapter in self.adapters.values():
            adapter.close()


class Bare:
    """An adapter with no attributes at all."""

    __slots__ = ()

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        """Always busy."""
        below = ScriptedAdapter((503, {"Retry-After": "30"}))
        return below.send(request, **options)

    def close(self) -> None:
        """Nothing is open."""


def waits(clock: Until, failures: list[str], *sessions: requests.Session) -> list[Thread]:
    """Threads that wait in a call each."""

    def call(session: requests.Session) -> None:
        with pytest.raises(AuthRetryError) as failure:
            session.get(URL)
        failures.append(str(failure.value))

    threads = [Thread(target=call, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert clock.waiting.acquire(timeout=120)
    return threads


@pytest.mark.parametrize("kind", [requests.Session, ClosesByItself, PicksItself])
@pytest.mark.parametrize("meanwhile", [None, Settings()])
def test_a_closed_session_ends_its_waits(
    kind: type[requests.Session], meanwhile: Settings | None
) -> None:
    """A call that waits is told at once, whatever its session is and was installed since."""
    clock, session, below = Until(), kind(), Bare()
    failures: list[str] = []
    session.mount("https://", below)  # type: ignore[arg-type]  # all that requests asks for
    if isinstance(session, PicksItself):
        session.adapters, session.transport = OrderedDict(), below
    with install(Settings(clock=clock)) as first:
        with requests.Session() as plain:
            plain.mount("https://", ScriptedAdapter(200))
            plain.get(URL)
        (thread,) = waits(clock, failures, session)
        with first if meanwhile is None else install(meanwhile):
            if meanwhile is not None:
                session.mount(URL, ScriptedAdapter(200))
                if isinstance(session, PicksItself):
                    session.transport = None
                session.get(URL)
            session.close()
            thread.join(120)
    assert failures == ["the session was closed during the wait"]


def test_a_closed_session_leaves_the_waits_of_others() -> None:
    """Two sessions with one adapter: a call waits until its own session is closed."""
    clock, below = Until(), Bare()
    failures: list[str] = []
    sessions = [requests.Session() for _ in range(2)]
    for session in sessions:
        session.mount("https://", below)  # type: ignore[arg-type]  # all that requests asks for
    with install(Settings(clock=clock)):
        threads = waits(clock, failures, *sessions)
        sessions[1].close()
        threads[1].join(120)
        assert (threads[0].is_alive(), len(failures)) == (True, 1)
        sessions[0].close()
        threads[0].join(120)
    assert len(failures) == 2


def test_what_is_dropped_goes_at_once() -> None:
    """A session that nobody closes is freed with its last reference; a class of sessions is."""

    class Mine(requests.Session):
        def get_adapter(self, url: str) -> BaseAdapter:
            return super().get_adapter(url)

    session: Any = Mine()
    session.mount("https://", ScriptedAdapter(200))
    kind: Any = Mine
    left, left_kind = ref(session), ref(kind)
    with install(FOUR):
        session.get(URL)
        gc.disable()
        del session
        assert left() is None
        gc.enable()
        del kind, Mine
        gc.collect()
        assert left_kind() is None


def test_what_stands_on_an_adapter_stays() -> None:
    """The adapters of a session are wrapped once each, however its calls alternate."""
    session = requests.Session()
    session.mount("https://", ScriptedAdapter(200, 200))
    session.mount(URL, ScriptedAdapter(200, 200))
    with install(FOUR):
        used: list[Any] = [session.get(url) for url in (URL, ORIGIN, URL, ORIGIN)]
        used = [response.connection for response in used]
    assert (used[0], used[1]) == (used[2], used[3])
    assert used[0] is not used[1]


def test_two_first_calls_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that use a session first, together: its end ends the waits of both."""

    class Meeting:
        def __init__(self) -> None:
            self.barrier, self.lock = Barrier(2, timeout=120), Lock()

        def __enter__(self) -> None:
            self.barrier.wait()
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    failures: list[str] = []
    clock, session, other = Until(), requests.Session(), requests.Session()
    session.mount("https://", Bare())  # type: ignore[arg-type]  # all that requests asks for
    other.mount("https://", ScriptedAdapter(200))
    with install(Settings(clock=clock)):
        other.get(URL)
        with monkeypatch.context() as patch:
            patch.setattr(_process, "_lock", Meeting())
            threads = waits(clock, failures, session, session)
        session.close()
        for thread in threads:
            thread.join(120)
    assert len(failures) == 2


def test_an_adapter_for_each_call() -> None:
    """A session that picks a new adapter each time keeps none of them."""

    class New(requests.Session):
        def get_adapter(self, url: str) -> BaseAdapter:
            del url
            adapter = ScriptedAdapter(503, 200)
            made.append(ref(adapter))
            return adapter

    made: list[Any] = []
    with install(FOUR), New() as session:
        for _ in range(3):
            assert session.get(URL).status_code == 200
        gc.collect()
        assert sum(each() is not None for each in made) == 1


@pytest.mark.parametrize("name", ["send", "get_adapter", "close"])
def test_a_patch_that_ends_takes_nothing_along(name: str) -> None:
    """What a foreign patch put back over ours is mended by the next `install`."""
    original = getattr(requests.Session, name)
    patch = mock.patch.object(requests.Session, name, autospec=True, side_effect=original)
    patch.start()
    with install(FOUR):
        patch.stop()
        with install(FOUR), requests.Session() as session:
            session.mount("https://", ScriptedAdapter(503, 200))
            assert session.get(URL).status_code == 200
        assert getattr(requests.Session, name) is not original


def test_undone_while_a_call_begins() -> None:
    """Nothing is left where `uninstall` comes between the patches."""

    class Undoes(requests.Session):
        def get_adapter(self, url: str) -> BaseAdapter:
            installed.uninstall()
            return super().get_adapter(url)

    adapter, session = HTTPAdapter(max_retries=3), Undoes()
    session.mount("http://", adapter)
    places: list[Any] = [session, adapter, Undoes]
    before = [dict(vars(place)) for place in places]
    installed = install(TWO)
    with pytest.raises(requests.ConnectionError):
        session.get("http://127.0.0.1:9/")
    assert [dict(vars(place)) for place in places] == before


def test_undone_before_a_call_begins() -> None:
    """Nothing is put anywhere where `uninstall` comes before the class was watched."""

    class Undoes:
        def __get__(self, session: requests.Session | None, kind: type) -> Any:
            if session is None:
                installed.uninstall()
            return requests.Session.get_adapter.__get__(session, kind)

    kind = type("Late", (requests.Session,), {"get_adapter": Undoes()})
    session = kind()
    session.mount("https://", ScriptedAdapter(503, 200))
    before = dict(vars(kind))
    installed = install(TWO)
    assert session.get(URL).status_code == 503
    assert dict(vars(kind)) == before


def test_an_adapter_of_ours_that_sends_by_itself(demo_server: DemoServer, httpbin_url: str) -> None:
    """A subclass of `AuthRetryAdapter` that goes past our loop is not caught in another."""

    class Past(AuthRetryAdapter):
        def send(self, *args: Any, **options: Any) -> Response:
            return HTTPAdapter.send(self, *args, **options)

    failing(demo_server, 1)
    with requests.Session() as session, install(FOUR):
        session.mount("http://", Past())
        assert session.get(f"{httpbin_url}/get").status_code == 503


def test_tasks_of_one_thread_are_told_apart(demo_server: DemoServer, httpbin_url: str) -> None:
    """What another greenlet or task sends while one of the same thread is in its loop is met."""

    class Switching(ScriptedAdapter):
        def send(self, *args: Any, **options: Any) -> Response:
            answer = Context().run(HTTPAdapter().send, request)
            statuses.append(answer.status_code)
            return super().send(*args, **options)

    request = requests.Request("GET", f"{httpbin_url}/get").prepare()
    statuses: list[int] = []
    failing(demo_server, 1)
    with requests.Session() as session, install(FOUR):
        session.mount("https://", Switching(200))
        session.get(URL)
    assert statuses == [200]


def test_a_token_for_every_session() -> None:
    """A refused token is renewed once, for sessions that know nothing of one another."""
    tokens = iter(["first", "second"])
    sessions = [requests.Session() for _ in range(2)]
    belows = [ScriptedAdapter(EXPIRED, 200), ScriptedAdapter(200)]
    for session, below in zip(sessions, belows, strict=True):
        session.mount("https://", below)
    with install(settings(lambda: next(tokens))):
        assert [session.get(URL).status_code for session in sessions] == [200, 200]
    sent = [request.headers["Authorization"] for below in belows for request in below.sent]
    assert sent == ["Bearer first", "Bearer second", "Bearer second"]


@pytest.mark.parametrize("by", [requests.Session, HTTPAdapter])
def test_a_source_may_use_requests_itself(
    by: Any, demo_server: DemoServer, httpbin_url: str
) -> None:
    """What a token source asks goes as bare as ever, to the origin its tokens are for as well."""
    demo_server.guarded = True
    failing(demo_server, 2)
    elsewhere = httpbin_url.replace("127.0.0.1", "localhost")

    def fetch() -> str:
        for origin in (httpbin_url, elsewhere):
            answer = by().send(requests.Request("GET", f"{origin}/bearer").prepare())
            assert answer.status_code == 503
        return demo_server.issue()

    with install(Settings(token=fetch, origins=[httpbin_url])):
        assert requests.get(f"{httpbin_url}/bearer", timeout=60).status_code == 200
    assert seen(demo_server) == [503, 503, 200]


def test_what_a_source_leaves_behind_is_no_source() -> None:
    """A context that was kept from a renewal, as by a task begun there, is covered after it."""
    kept: list[Context] = []

    def fetch() -> str:
        kept.append(copy_context())
        return "tok"

    session, below = requests.Session(), ScriptedAdapter(200, 503, 200)
    session.mount("https://", below)
    with install(settings(fetch)):
        session.get(URL)
        assert kept[0].run(session.get, URL).status_code == 200
    assert [one.headers.get("Authorization") for one in below.sent] == ["Bearer tok"] * 3


class TakesAll(requests.Session):
    """It is copied with all it has."""

    def __getstate__(self) -> dict[str, Any]:
        return vars(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


@pytest.mark.parametrize("remade", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])  # noqa: S301
@pytest.mark.parametrize("kind", [requests.Session, TakesAll])
def test_what_is_copied_takes_nothing_along(kind: type[requests.Session], remade: Any) -> None:
    """Sessions and adapters that were used can be copied and pickled, and work as before."""
    session, below = kind(), ScriptedAdapter(200)
    session.mount("https://", below)
    with install(settings(lambda: "tok")):
        session.get(URL)
        assert set(vars(remade(below))) == set(vars(below))
        assert not vars(remade(session)).get("_authretry_installed")
        remade(session.get_adapter("http://"))


def test_get_adapter_gives_the_sessions_own() -> None:
    """Whoever asks a session for its adapter gets the one that was mounted."""
    session, below = requests.Session(), ScriptedAdapter(200)
    session.mount("https://", below)
    with install(FOUR):
        with pytest.raises(ValueError, match="PreparedRequests"):
            session.send(requests.Request("GET", URL))  # type: ignore[arg-type]  # a mistake
        assert session.get_adapter(URL) is below
        session.get(URL)
        assert session.get_adapter(URL) is below


class Static(requests.Session):
    """Its way to an adapter is no method."""

    below: Any = None

    @staticmethod
    def get_adapter(url: str) -> BaseAdapter:
        """The one of the class."""
        del url
        adapter: BaseAdapter = Static.below
        return adapter


def test_a_get_adapter_that_is_no_method() -> None:
    """It is called as it was made to be, and wrapped like any other."""
    Static.below = ScriptedAdapter(503, 200)
    with install(FOUR):
        assert Static().get(URL).status_code == 200


def test_a_mock_in_place_of_send() -> None:
    """A mock that stands there already is called without the session, as before."""
    with mock.patch.object(requests.Session, "send", side_effect=lambda request, **_: request.url):
        with install(FOUR):
            inside: Any = requests.Session().get(URL)
        after: Any = requests.Session().get(URL)
    assert (inside, after) == (URL, URL)


@dataclass
class Valued(HTTPAdapter):
    """An adapter that is equal to others, and has no hash."""

    def __post_init__(self) -> None:
        HTTPAdapter.__init__(self, max_retries=2)


@pytest.mark.parametrize("way", ["mount", "install"])
def test_equal_adapters_are_told_apart(way: str, demo_server: DemoServer, httpbin_url: str) -> None:
    """Each gets its own retries back."""
    failing(demo_server, 20)
    first, second = Valued(), Valued()
    second.max_retries = Retry(5)
    with requests.Session() as session:
        session.mount(httpbin_url, first)
        session.mount(f"{httpbin_url}/get", second)
        undo: Any = mount(session, TWO) if way == "mount" else install(TWO)
        with undo:
            session.get(f"{httpbin_url}/get")
            session.get(f"{httpbin_url}/anything")
    assert len(seen(demo_server)) == 4
    assert (first.max_retries.total, second.max_retries.total) == (2, 5)


def test_a_copied_adapter_is_wrapped_itself() -> None:
    """A copy does not send through the one it was copied from."""
    session, below = requests.Session(), ScriptedAdapter(200)
    session.mount("https://", below)
    with install(FOUR):
        session.get(URL)
        other = copy.copy(below)
        other.sent, other._script = [], ScriptedAdapter(200)._script  # noqa: SLF001 (its own)
        session.mount("https://", other)
        session.get(URL)
    assert (len(below.sent), len(other.sent)) == (1, 1)


def test_hooks_run_once_on_the_final_answer() -> None:
    """A session's hook sees what its caller gets, once."""
    session = requests.Session()
    session.mount("https://", ScriptedAdapter(503, 200))
    statuses: list[int] = []
    session.hooks["response"].append(lambda response, **_: statuses.append(response.status_code))
    with install(FOUR):
        session.get(URL)
    assert statuses == [200]


def test_redirects_pass_through_the_loop(demo_server: DemoServer, httpbin_url: str) -> None:
    """Each hop of a redirect is covered."""
    with requests.Session() as session, install(FOUR):
        demo_server.answer(503)
        demo_server.answer(302, [("Location", "/get")])
        demo_server.answer(503)
        response = session.get(f"{httpbin_url}/anything")
    assert response.status_code == 200
    assert seen(demo_server) == [503, 302, 503, 200]


def test_wrong_settings_are_refused() -> None:
    """What is no settings object is refused before anything is touched."""
    wrong: Any = {"timeout": 3}
    with pytest.raises(ConfigurationError, match="settings must be a Settings, not dict"):
        install(wrong)


def test_it_is_a_context_manager() -> None:
    """`install` gives what undoes it."""
    with install() as installed:
        assert isinstance(installed, Installed)
        assert isinstance(installed.settings, Settings)
