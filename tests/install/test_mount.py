"""`mount` and the way back: in place, race-free, never stacked, exactly undone."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.util import Retry

from requests_authretry import (
    AuthRetryAdapter,
    Backoff,
    ConfigurationError,
    RetryPolicy,
    Settings,
    mount,
)
from requests_authretry.cli.demo_server import serve
from requests_authretry.testing import ScriptedAdapter
from tests.support.scripted import ORIGIN, URL, port_of_the_client, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest, Response

    from requests_authretry.cli.demo_server import DemoServer

TWICE = Settings(
    retry=RetryPolicy(max_attempts=2, backoff=Backoff(initial=0.0, unreachable_initial=0.0))
)


def standing(session: requests.Session) -> list[tuple[str, BaseAdapter]]:
    """The prefixes in their order, each with the very adapter that serves there."""
    return list(session.adapters.items())


def wrapper_at(session: requests.Session, url: str = URL) -> AuthRetryAdapter:
    """Our adapter for a URL."""
    adapter = session.get_adapter(url)
    assert isinstance(adapter, AuthRetryAdapter)
    return adapter


def varied_session() -> requests.Session:
    """A session with adapters of several kinds at several prefixes."""
    session = requests.Session()
    session.mount("https://api.example.com/v2", ScriptedAdapter())
    session.mount("https://api.example.com", HTTPAdapter(max_retries=3))
    session.mount("mock://", ScriptedAdapter())
    return session


# In place


def test_adapters_are_wrapped_in_place() -> None:
    """Each adapter goes on serving at its prefix, in the order and the mapping that were there."""
    session = varied_session()
    before, mapping = standing(session), session.adapters
    mount(session)
    assert session.adapters is mapping
    assert [prefix for prefix, _ in standing(session)] == [prefix for prefix, _ in before]
    for (_, wrapper), (_, adapter) in zip(standing(session), before, strict=True):
        assert isinstance(wrapper, AuthRetryAdapter)
        assert wrapper.inner is adapter


def test_what_others_read_is_the_inner_ones() -> None:
    """Pool manager, proxies, options and attributes of the user's own are found as before."""

    class Mine(HTTPAdapter):
        colour = "green"

    inner = Mine(pool_maxsize=7)
    proxied = inner.proxy_manager_for("http://proxy.example.com:3128")
    session = requests.Session()
    session.mount("https://", inner)
    mount(session)
    wrapper: Any = session.get_adapter(URL)
    for name in ("poolmanager", "proxy_manager", "max_retries", "config", "colour"):
        assert getattr(wrapper, name) is getattr(inner, name)
    assert wrapper.proxy_manager["http://proxy.example.com:3128"] is proxied
    assert "poolmanager" not in vars(wrapper)
    assert not hasattr(wrapper, "taste")


def test_open_connections_are_kept() -> None:
    """A connection that was open before goes on being used while mounted and after."""
    with requests.Session() as session, serve(port_of_the_client) as url:
        before = session.get(url).text
        with mount(session):
            while_mounted = session.get(url).text
        assert before == while_mounted == session.get(url).text


def test_a_new_prefix_comes_with_a_new_mapping() -> None:
    """A prefix that was not there stands before all shorter ones; the old mapping is untouched."""
    session = varied_session()
    before, mapping = standing(session), session.adapters
    mounted = mount(session, prefix="https://api.example.com/")
    assert list(mapping.items()) == before
    first, *others = [prefix for prefix, _ in before]
    assert list(session.adapters) == [first, "https://api.example.com/", *others]
    assert wrapper_at(session, f"{ORIGIN}/").inner is dict(before)["https://api.example.com"]
    assert isinstance(session.get_adapter("https://other.example.com"), HTTPAdapter)
    mounted.unmount()
    assert standing(session) == before


@pytest.mark.parametrize("prefix", ["https://", "HTTPS://API.example.com/v2"])
def test_a_prefix_leaves_the_others_alone(prefix: str) -> None:
    """Only what begins with the prefix is wrapped."""
    session = requests.Session()
    plain = session.get_adapter("http://x")
    mount(session, prefix=prefix)
    assert wrapper_at(session, f"{ORIGIN}/v2/x").inner is not None
    assert session.get_adapter("http://x") is plain


def test_one_adapter_keeps_one_wrapper() -> None:
    """An adapter at two prefixes is one before, while mounted and after."""
    session, shared = requests.Session(), HTTPAdapter()
    session.mount("https://", shared)
    session.mount("http://", shared)
    with mount(session):
        assert len({id(adapter) for adapter in session.adapters.values()}) == 1
    assert set(session.adapters.values()) == {shared}


def test_a_subclass_is_a_session() -> None:
    """A session of another class is mounted like any other."""

    class Mine(requests.Session):
        """A session of an SDK."""

    session = Mine()
    mount(session)
    assert wrapper_at(session).inner is not None


@pytest.mark.parametrize("wrong", [None, requests, "session", requests.Session, HTTPAdapter()])
def test_what_is_no_session(wrong: Any) -> None:
    """Anything but a session is refused by name."""
    with pytest.raises(ConfigurationError, match="must be a Session"):
        mount(wrong)


@pytest.mark.parametrize("prefix", ["ftp://", "", 5])
def test_a_prefix_that_nobody_serves(prefix: Any) -> None:
    """A prefix without an adapter, or that is no text, is refused; nothing is changed."""
    session = requests.Session()
    before = standing(session)
    with pytest.raises(ConfigurationError, match=r"prefix|no adapter"):
        mount(session, prefix=prefix)
    assert standing(session) == before


# The way back


def test_unmount_restores_exactly() -> None:
    """The same adapters at the same prefixes in the same order; a second time changes nothing."""
    session = varied_session()
    before = standing(session)
    mounted = mount(session)
    for _ in range(2):
        mounted.unmount()
        assert standing(session) == before


def test_a_context_manager() -> None:
    """At the end of the block, an error's too, the session is as it was."""
    session = requests.Session()
    before = standing(session)
    with mount(session) as mounted:
        assert wrapper_at(session).inner is before[0][1]
    with pytest.raises(ZeroDivisionError), mount(session):
        _ = 1 / 0
    assert standing(session) == before
    mounted.unmount()
    assert standing(session) == before


MOUNTS: list[Callable[[requests.Session], Any]] = [
    lambda session: mount(session, TWICE),
    lambda session: mount(session, prefix=ORIGIN),
    lambda session: mount(session, prefix="https://"),
    lambda session: mount(session, prefix=f"{ORIGIN}/v2"),
]


@pytest.mark.parametrize("order", list(permutations(range(len(MOUNTS)))))
def test_unmount_in_any_order(order: tuple[int, ...]) -> None:
    """Of several mounts each undoes its own; when the last is gone, so is every trace."""
    session = varied_session()
    before = standing(session)
    retries = [getattr(adapter, "max_retries", None) for _, adapter in before]
    mounted = [make(session) for make in MOUNTS]
    for number in order:
        assert any(isinstance(adapter, AuthRetryAdapter) for adapter in session.adapters.values())
        mounted[number].unmount()
    assert standing(session) == before
    assert [getattr(adapter, "max_retries", None) for _, adapter in before] == retries


def test_an_inner_mount_gives_way_to_the_outer() -> None:
    """Leaving the inner of two nested blocks brings the outer one's settings back."""
    session, outer = requests.Session(), Settings(timeout=1.0)
    with mount(session, outer):
        with mount(session, TWICE):
            assert wrapper_at(session).settings is TWICE
        assert wrapper_at(session).settings is outer


def test_another_adapter_stays() -> None:
    """What the user put in place since is not taken away by unmounting; the rest is restored."""
    session, mine = requests.Session(), ScriptedAdapter()
    plain = session.get_adapter("http://x")
    mounted = mount(session)
    session.mount("https://", mine)
    mounted.unmount()
    assert session.get_adapter(URL) is mine
    assert session.get_adapter("http://x") is plain


def test_a_prefix_taken_away_stays_away() -> None:
    """A prefix that the user has deleted does not come back by unmounting."""
    session = requests.Session()
    mounted = mount(session)
    del session.adapters["http://"]
    mounted.unmount()
    assert list(session.adapters) == ["https://"]


# Again


def test_mounting_again_replaces() -> None:
    """After a thousand mounts the last settings hold, around the adapter that was there first."""
    session, below = requests.Session(), ScriptedAdapter(*[503] * 9)
    session.mount("https://", below)
    for _ in range(1000):
        mount(session, Settings())
    mount(session, TWICE)
    assert wrapper_at(session).inner is below
    assert session.get(URL).status_code == 503
    assert len(below.sent) == 2


def test_around_an_adapter_that_stands_by_itself() -> None:
    """An `AuthRetryAdapter` mounted by hand gives way while mounted, and does not multiply."""
    session, mine = requests.Session(), AuthRetryAdapter(Settings(timeout=1.0))
    session.mount("https://", mine)
    with mount(session, TWICE):
        assert wrapper_at(session) is not mine
        assert wrapper_at(session).poolmanager is mine.poolmanager
    assert session.get_adapter(URL) is mine


def test_attempts_do_not_multiply_around_one_of_ours(
    demo_server: DemoServer, httpbin_url: str
) -> None:
    """Around an `AuthRetryAdapter` with attempts of its own only the mounted ones are made."""
    demo_server.answer(503, times=20)
    with requests.Session() as session:
        session.mount("http://", AuthRetryAdapter())
        mount(session, TWICE)
        assert session.get(f"{httpbin_url}/get").status_code == 503
    assert len(demo_server.seen) == 2


def test_settings_of_each_prefix() -> None:
    """Each prefix may have settings of its own, and the longest decides."""
    session = requests.Session()
    special = settings("t")
    mount(session, TWICE)
    mount(session, special, prefix=ORIGIN)
    assert wrapper_at(session).settings is special
    assert wrapper_at(session, "https://other.example.com").settings is TWICE


# In use


class Healthy(BaseAdapter):
    """An adapter that is used by many threads and always answers 200."""

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Answer."""
        return ScriptedAdapter(200).send(request)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("prefix", [None, "http://", f"{ORIGIN}/"])
def test_a_walk_along_the_mapping_goes_on(prefix: str | None) -> None:
    """Who is looking for an adapter while another thread mounts and unmounts looks on unharmed."""
    session = varied_session()
    prefixes = list(session.adapters)
    walking = iter(session.adapters.items())
    seen = [next(walking)[0]]
    mounted = mount(session, prefix=prefix)
    seen.append(next(walking)[0])
    mounted.unmount()
    seen += [key for key, _ in walking]
    assert seen == prefixes


@pytest.mark.parametrize("prefix", [None, "http://api.example.com"])
def test_mounting_disturbs_nobody(prefix: str | None) -> None:
    """While one thread mounts and unmounts 300 times, 16 others send without a single error."""
    session, over = varied_session(), Event()
    session.mount("http://", Healthy())  # the last one: to find it is the longest walk
    before, usual = standing(session), sys.getswitchinterval()

    def send(_: int) -> set[int]:
        statuses = set()
        while not over.is_set():
            statuses.add(session.get("http://api.example.com/get").status_code)
        return statuses

    sys.setswitchinterval(1e-4)
    try:
        with ThreadPoolExecutor(16) as pool:
            sending = [pool.submit(send, number) for number in range(16)]
            for _ in range(300):
                with mount(session, TWICE, prefix):
                    pass
            over.set()
            assert set().union(*(one.result() for one in sending)) == {200}
    finally:
        over.set()
        sys.setswitchinterval(usual)
    assert standing(session) == before


def test_a_request_under_way_ends_as_it_began() -> None:
    """A call that is between two attempts when its session is unmounted makes the second."""
    session, below = requests.Session(), ScriptedAdapter(503, 200)
    session.mount("https://", below)
    leaving = Settings(retry=TWICE.retry, listeners=[lambda _: mounted.unmount()])
    mounted = mount(session, leaving)
    assert session.get(URL).status_code == 200
    assert session.get_adapter(URL) is below


# Retries of the inner adapter


def retrying() -> HTTPAdapter:
    """An adapter with retries of its own, as legacy code has them."""
    return HTTPAdapter(max_retries=Retry(3, status_forcelist=[503], raise_on_status=False))


def test_inner_retries_do_not_multiply(demo_server: DemoServer, httpbin_url: str) -> None:
    """While mounted the wire sees our attempts alone; after, what the adapter made before."""
    demo_server.answer(503, times=20)
    with requests.Session() as session:
        session.mount("http://", retrying())
        with mount(session, TWICE):
            session.get(f"{httpbin_url}/get")
        assert len(demo_server.seen) == 2
        session.get(f"{httpbin_url}/get")
        assert len(demo_server.seen) == 2 + 4


def test_inner_retries_are_given_back(caplog: pytest.LogCaptureFixture) -> None:
    """The very object comes back when the last mount is gone; one line says each."""
    caplog.set_level(logging.INFO)
    adapter = retrying()
    retries = adapter.max_retries
    sessions = [requests.Session() for _ in range(2)]
    for session in sessions:
        session.mount("https://", adapter)
    mounted = [mount(session) for session in sessions for _ in range(2)]
    assert adapter.max_retries is not retries
    for one in mounted:
        assert adapter.max_retries.total == 0
        one.unmount()
    assert adapter.max_retries is retries
    assert [record.getMessage() for record in caplog.records] == [
        "max_retries of HTTPAdapter is switched off while mounted",
        "max_retries of HTTPAdapter is given back",
    ]


def test_an_adapter_without_retries_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to switch off and nothing to say."""
    caplog.set_level(logging.INFO)
    session = requests.Session()
    adapter: Any = session.get_adapter(URL)
    retries = adapter.max_retries
    with mount(session):
        assert adapter.max_retries is retries
    assert not caplog.records


def test_an_adapter_without_its_base() -> None:
    """A subclass that never called the base's constructor is mounted, as requests sends with it."""

    class Odd(HTTPAdapter):
        def __init__(self) -> None:
            pass

        def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
            return ScriptedAdapter(200).send(request)

    session = requests.Session()
    session.mount("https://", Odd())
    with mount(session):
        assert session.get(URL).status_code == 200


def test_an_adapter_without_attributes() -> None:
    """What has nowhere to keep anything is put back as any other."""

    class Bare:
        __slots__ = ()

        def send(self, request: PreparedRequest, **_: Any) -> Response:
            return ScriptedAdapter(200).send(request)

    session = requests.Session()
    bare: Any = Bare()
    session.mount("https://", bare)
    with mount(session):
        assert session.get(URL).status_code == 200
    assert session.adapters["https://"] is bare
