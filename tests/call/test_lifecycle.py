"""Sessions that are pickled, copied and forked, and the errors and events of their calls."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import select
import signal
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from requests_authretry import (
    AttemptEnded,
    AuthRetryAdapter,
    AuthRetryError,
    CallEnded,
    ConfigurationError,
    FetchContext,
    FileStore,
    MemoryStore,
    Reason,
    RefreshDeclined,
    RefreshFailed,
    RetryScheduled,
    Settings,
    Token,
    TokenRefreshed,
    Waiting,
    attempts,
    mount,
)
from requests_authretry._core.token import TokenRecord
from requests_authretry._events import tell
from requests_authretry._locks import survives_fork
from requests_authretry.cli.demo_server import serve
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.scripted import (
    EXPIRED,
    ORIGIN,
    URL,
    Source,
    carried,
    port_of_the_client,
    scripted,
    settings,
)
from tests.support.systems import forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from requests import PreparedRequest, Response

SECRET = "s3cret-of-the-user"


def from_module() -> str:
    """Return a token; a pickle can name this function."""
    return SECRET


def look(response: Response, **_: object) -> None:
    """Pickle an answer, as a hook of the user."""
    again(response)
    again(response.request)


def again(thing: Any) -> Any:
    """Pickle and unpickle, and check that the pickle shows no secret."""
    data = pickle.dumps(thing)
    assert SECRET.encode() not in data
    return pickle.loads(data)  # noqa: S301 (our own bytes)


def below_of(session: requests.Session) -> ScriptedAdapter:
    """Return the scripted adapter under the wrapper."""
    wrapper = session.get_adapter(URL)
    assert isinstance(wrapper, AuthRetryAdapter)
    assert isinstance(wrapper.inner, ScriptedAdapter)
    return wrapper.inner


# Pickles and copies


def test_a_pickled_session_works() -> None:
    """A mounted session that went through a pickle fetches its token again and works."""
    session, _ = scripted(settings(from_module, store=MemoryStore()), 200, 200)
    session.get(URL)
    other = again(session)
    assert other.get(URL).status_code == 200
    assert carried(below_of(other))[-1] == f"Bearer {SECRET}"


def test_a_pickled_session_has_lost_a_static_token() -> None:
    """A constant token does not go into a pickle: RefreshFailed says so, and nothing is sent."""
    session, _ = scripted(settings(SECRET), 200)
    other = again(session)
    with pytest.raises(RefreshFailed, match="pickle"):
        other.get(URL)
    assert not below_of(other).sent


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copied_session_works(copied: Callable[[requests.Session], requests.Session]) -> None:
    """A session copied in memory keeps its static token."""
    session, _ = scripted(settings(SECRET), 200)
    other = copied(session)
    assert other.get(URL).status_code == 200
    assert carried(below_of(other)) == [f"Bearer {SECRET}"]


def test_a_deep_copy_shares_the_token() -> None:
    """Original and deep copy fetch one token, and send through separate adapters."""
    fetched: list[str] = []

    def fetch() -> str:
        fetched.append("shared")
        return fetched[-1]

    session, below = scripted(settings(fetch), 200)
    other = copy.deepcopy(session)
    for one in (session, other):
        assert one.get(URL).status_code == 200
    assert len(fetched) == 1
    assert carried(below) == carried(below_of(other)) == ["Bearer shared"]


def test_one_wrapper_stays_one_wrapper() -> None:
    """An adapter at two prefixes is still one adapter after a pickle and after a deep copy."""
    session, shared = requests.Session(), ScriptedAdapter()
    session.mount("https://", shared)
    session.mount("http://", shared)
    mount(session)
    for other in (again(session), copy.deepcopy(session)):
        assert len({id(adapter) for adapter in other.adapters.values()}) == 1


def test_an_adapter_by_itself_goes_through_a_pickle() -> None:
    """An adapter alone keeps settings and pool options in a pickle, and gets a new pool."""
    adapter = AuthRetryAdapter(Settings(timeout=7.0), pool_maxsize=3)
    other = again(adapter)
    assert (other.settings.timeout, other.inner, other._pool_maxsize) == (7.0, None, 3)  # noqa: SLF001
    assert other.poolmanager is not adapter.poolmanager


def test_an_adapter_around_another_goes_through_a_pickle() -> None:
    """It has no pool of its own afterwards either: it uses the inner adapter's."""
    other = again(AuthRetryAdapter(Settings(timeout=7.0), inner=HTTPAdapter(pool_maxsize=3)))
    assert (other.settings.timeout, other.inner._pool_maxsize) == (7.0, 3)  # noqa: SLF001
    assert other.poolmanager is other.inner.poolmanager


class Pickling(ScriptedAdapter):
    """An inner adapter that pickles its requests."""

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Pickle the request, then send it."""
        assert again(request).url == request.url
        return super().send(request, *args, **options)


def test_requests_and_responses_on_their_way() -> None:
    """A pickle never shows the token, during refusal, redirect and replay."""
    below = Pickling(EXPIRED, (302, {"Location": "/there"}), EXPIRED, 503, 200)
    session = requests.Session()
    session.hooks["response"].append(look)
    session.mount("https://", below)
    mount(session, settings(Source(SECRET, f"{SECRET}-2")))
    response = session.get(URL)
    assert response.status_code == 401
    assert len(below.sent) == 3
    assert [one.status_code for one in again(response).history] == [302]
    assert len(attempts(again(response))) == 1


def test_the_parts_go_through_a_pickle() -> None:
    """Token, context, settings and a filled store survive a pickle, without their secrets."""
    token = Token(SECRET, 4e9, "Custom", SECRET, ("a",))
    hollow = again(token)
    assert (hollow.value, hollow.refresh_token, hollow.authorization) == ("", None, "")
    assert (hollow.expires_at, hollow.scheme, hollow.scopes) == (4e9, "Custom", ("a",))
    assert hollow.is_expired(0.0)
    assert again(FetchContext(token, refused=True)).refused
    assert again(settings(token, timeout=3.0)).timeout == 3.0
    store = MemoryStore()
    store.write("key", TokenRecord(token).dump())
    assert again(store).read("key") is None
    assert copy.copy(store) is copy.deepcopy(store) is store
    assert copy.copy(token) is copy.deepcopy(token) is token


# Errors and events


@pytest.mark.parametrize(
    "error",
    [
        RefreshFailed("no token"),
        AuthRetryError("closed"),
        ConfigurationError("Settings", ["one", "two"]),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("way", [again, copy.copy, copy.deepcopy])
def test_errors_survive(error: Exception, way: Callable[[Exception], Exception]) -> None:
    """An error that went through a pickle or a copy says the same."""
    other = way(error)
    assert (type(other), str(other)) == (type(error), str(error))
    assert getattr(other, "faults", None) == getattr(error, "faults", None)


def test_the_errors_of_a_call_show_no_secret() -> None:
    """RefreshFailed with its request and its 401, and a lost connection, pickle without a token."""
    lost = [requests.ConnectionError("lost")] * 4
    session, _ = scripted(settings(Source(SECRET, KeyError(SECRET))), *lost, EXPIRED)
    with pytest.raises(requests.ConnectionError) as caught:
        session.get(URL)
    assert type(again(caught.value)) is requests.ConnectionError
    with pytest.raises(RefreshFailed) as failed:
        session.get(URL)
    assert failed.value.response is not None
    assert again(failed.value).response is None


def test_who_catches_what() -> None:
    """Configuration errors are ValueErrors; all others are RequestExceptions."""
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(RefreshFailed, AuthRetryError)
    assert issubclass(AuthRetryError, requests.RequestException)


def test_a_listener_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A listener that fails is logged, the next ones are called, and the event is unchanged."""
    caplog.set_level(logging.DEBUG)
    heard: list[Any] = []
    event = TokenRefreshed(key=ORIGIN, adopted=False, expires_at=None)
    tell([lambda _: 1 / 0, heard.append], event)
    assert heard == [event]
    assert "a listener failed on TokenRefreshed" in caplog.text
    with pytest.raises(FrozenInstanceError):
        event.key = "other"  # type: ignore[misc]


def test_events_of_a_call_show_no_secret() -> None:
    """No event of a call has the token or the secret parts of the URL."""
    told: list[Any] = []
    clock = FakeClock(random=lambda: 0.5)
    chosen = settings(Source(SECRET, None), listeners=[told.append], clock=clock)
    session, _ = scripted(chosen, 503, EXPIRED)
    session.get(f"https://api.example.com/get?key={SECRET}#{SECRET}")
    kinds = [type(event) for event in told]
    assert kinds == [
        Waiting,  # for the first token
        TokenRefreshed,
        AttemptEnded,
        RetryScheduled,
        Waiting,  # for the backoff
        Waiting,  # for a renewal, in vain
        AttemptEnded,
        RefreshDeclined,
        CallEnded,
    ]
    assert told[-2].reason is Reason.SOURCE_DECLINED
    assert SECRET not in repr(told)
    assert again(told) == told


# Forks

if hasattr(os, "fork"):  # pragma: no branch
    pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


class Child:
    """A forked process that does some work; a hanging one is ended."""

    def __init__(self, work: Callable[[], str]) -> None:
        reading, writing = os.pipe()
        self._pid, self._answer = os.fork(), reading
        if self._pid == 0:
            try:
                answer = work()
            except BaseException as error:  # noqa: BLE001 (it has no way but this one)
                answer = repr(error)
            os.write(writing, answer.encode())
            os._exit(0)
        os.close(writing)

    def answer(self) -> str:
        """Return the result of the work."""
        if not select.select([self._answer], [], [], 120)[0]:
            os.kill(self._pid, signal.SIGKILL)
        with open(self._answer, encoding="utf-8") as pipe:  # noqa: PTH123 (from a descriptor)
            text = pipe.read()
        os.waitpid(self._pid, 0)
        return text


class Stuck:
    """A source that hangs in the process that made it, and gives another token in a child."""

    def __init__(self) -> None:
        self.home, self.asked, self.go_on = os.getpid(), threading.Event(), threading.Event()

    def __call__(self) -> str:
        """Return the token of this process."""
        if os.getpid() != self.home:
            return "child"
        self.asked.set()
        self.go_on.wait(120)
        return "parent"


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    """Make a source that hangs until the test ends."""
    source = Stuck()
    yield source
    source.go_on.set()


@forks
def test_a_child_of_a_renewing_parent_renews(stuck: Stuck) -> None:
    """A child forked while a renewal holds all the locks fetches its own token and sends."""
    session, below = scripted(settings(stuck, store=MemoryStore()), 200, EXPIRED, 200)

    def send() -> str:
        statuses = [session.get(URL).status_code for _ in range(2)]
        return f"{statuses} {carried(below)}"

    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(session.get, URL)
        assert stuck.asked.wait(120)
        sent = Child(send).answer()
        stuck.go_on.set()
        assert waiting.result().status_code == 200
    assert sent == "[200, 401] ['Bearer child', 'Bearer child']"
    assert carried(below) == ["Bearer parent"]


class Broken:
    """An object that does not survive a fork."""

    def after_fork(self) -> None:
        """Fail."""
        raise KeyError


@forks
def test_what_breaks_in_a_child_breaks_alone() -> None:
    """An object that fails to renew itself in a child does not prevent the others."""
    broken, stores = [Broken() for _ in range(9)], [MemoryStore() for _ in range(9)]
    for thing in broken:
        survives_fork(thing)

    def lock_all() -> str:
        for store in stores:
            store.lock("key", 0.0).__enter__()
        return "locked"

    with ExitStack() as held:
        for store in stores:
            held.enter_context(store.lock("key", 0.0))
        child = Child(lock_all)
    assert child.answer() == "locked"


@forks
def test_a_child_waits_for_the_parents_file(stuck: Stuck, tmp_path: Path) -> None:
    """A child forked while its parent renews under a file lock waits and uses that token."""
    store = FileStore(tmp_path / "tokens.json")
    session, below = scripted(settings(stuck, store=store), 200)

    def send() -> str:
        session.get(URL)
        return str(carried(below))

    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(session.get, URL)
        assert stuck.asked.wait(120)
        child = Child(send)
        stuck.go_on.set()
        waiting.result()
    assert child.answer() == "['Bearer parent']"


@forks
def test_a_child_does_not_hold_the_parents_file_lock(tmp_path: Path) -> None:
    """A lock that was held at a fork is free as soon as the parent releases it."""
    store = FileStore(tmp_path / "tokens.json")
    reading, writing = os.pipe()
    with store.lock("key", 0.0):
        child = Child(lambda: os.read(reading, 1).decode())
    with store.lock("key", 0.0):
        os.write(writing, b"!")
    assert child.answer() == "!"
    for end in (reading, writing):
        os.close(end)


@forks
@pytest.mark.parametrize("way", ["mounted", "by itself"])
def test_parent_and_child_never_share_a_connection(way: str) -> None:
    """A child has its own connections, on which no answer to the parent can arrive."""
    session = requests.Session()
    if way == "mounted":
        mount(session)
    else:
        session.mount("http://", AuthRetryAdapter())
    with session, serve(port_of_the_client) as url:
        ports = [session.get(url).text for _ in range(2)]
        childs = Child(lambda: f"{session.get(url).text} {session.get(url).text}").answer().split()
        ports.append(session.get(url).text)
    assert len(set(ports)) == 1
    assert len(set(childs)) == 1
    assert set(ports).isdisjoint(childs)


@forks
def test_a_child_keeps_the_tls_context() -> None:
    """New connections in a child have the same TLS context and proxies as before."""
    context = ssl.create_default_context()
    carrier = HTTPAdapter()
    carrier.init_poolmanager(3, 5, ssl_context=context)
    carrier.proxy_manager_for("http://proxy.example.com:3128", ssl_context=context)
    session = requests.Session()
    session.mount("https://", carrier)
    mount(session)

    def kept() -> str:
        managers = [carrier.poolmanager, *carrier.proxy_manager.values()]
        contexts = [manager.connection_pool_kw["ssl_context"] is context for manager in managers]
        return f"{contexts} {carrier.poolmanager.connection_pool_kw['maxsize']}"

    assert Child(kept).answer() == kept() == "[True, True] 5"


@forks
def test_a_child_of_a_mounting_parent_mounts() -> None:
    """A child forked while the lock of `mount` is held can mount and unmount."""
    from requests_authretry._install.inner_retries import inner_retries

    def mounts() -> str:
        with mount(requests.Session(), Settings()):
            return "mounted"

    with inner_retries.lock:
        child = Child(mounts)
    assert child.answer() == "mounted"
