"""`PerIdentity` and `acting_as`: each user of a process has a token, and nobody another's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import pickle
import re
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from weakref import ref

import pytest
import requests
from requests.adapters import BaseAdapter

from requests_authretry import (
    AuthRetryError,
    ConfigurationError,
    FetchContext,
    FileStore,
    MemoryStore,
    PerIdentity,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Token,
    acting_as,
    attempts,
    deadline,
    explain,
    install,
    mount,
    override,
)
from requests_authretry._shared import SharedState
from requests_authretry._tokens.identities import Identities, hash_of
from requests_authretry._tokens.renewal import NoToken
from requests_authretry.oauth2 import Client, ClientCredentials, RefreshToken
from requests_authretry.sources import Command, from_credentials
from requests_authretry.testing import FakeClock, ScriptedAdapter, forget_tokens
from tests.support.sessions import AT_ONCE, authorization
from tests.support.wire import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from requests import PreparedRequest

    from requests_authretry._events import Event

API, OTHER = "https://api.example.com", "https://other.example.com"
ALICE = "alice@example.com"


class Login:
    """Issues tokens, and counts them; `source` is what `make_source` returns.

    Attributes:
        issued: For each user the number of tokens.
        made: The users whose sources were made, in order.
        revoked: The tokens that the API refuses.
    """

    def __init__(self, clock: FakeClock | None = None, life: float | None = None) -> None:
        self.issued: dict[str, int] = {}
        self.made: list[str] = []
        self.revoked: set[str] = set()
        self.clock, self.life = clock, life
        self._lock = threading.Lock()

    def source(self, identity: str) -> Source:
        """The source of a user."""
        self.made.append(identity)
        return Source(self, identity)

    def issue(self, who: str) -> Token:
        """The next token of a user."""
        with self._lock:
            self.issued[who] = self.issued.get(who, 0) + 1
        end = None if self.clock is None or self.life is None else self.clock.time() + self.life
        return Token(f"{who.replace('@', '.')}-{self.issued[who]}", end)


class Source:
    """A user's source, without a name in stores."""

    has_refresh_tokens = False

    def __init__(self, login: Login, who: str) -> None:
        self.login, self.who = login, who

    def fetch(self, _: FetchContext) -> Token:
        """The next token."""
        return self.login.issue(self.who)


class Api(BaseAdapter):
    """Answers each request with the user whose token it carries; 401 to a token that is revoked."""

    def __init__(self, login: Login, *script: Any) -> None:
        super().__init__()
        self.login, self.script = login, list(script)
        self.sent: list[PreparedRequest] = []

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """As scripted; else 200, with the name of the user."""
        self.sent.append(request)
        token = str(request.headers.get("Authorization", "")).partition(" ")[2]
        line: Any = (200, {}, token.rpartition("-")[0].encode())
        if self.script:
            line = self.script.pop(0)
        elif token in self.login.revoked:
            line = 401
        return ScriptedAdapter(line).send(request)

    def close(self) -> None:
        """Nothing to close."""

    @property
    def carried(self) -> list[str | None]:
        """The credential of each request."""
        return [authorization(request) for request in self.sent]


@contextlib.contextmanager
def told() -> Iterator[list[str]]:
    """The texts of the warnings of a block, once it is over."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts += [str(each.message) for each in caught]


class World:
    """A session that is mounted with a `PerIdentity`."""

    def __init__(self, *script: Any, most: int = 1000, **settings: Any) -> None:
        self.clock = FakeClock()
        self.login = Login(self.clock, settings.pop("life", None))
        self.api = Api(self.login, *script)
        self.session = requests.Session()
        self.session.mount("https://", self.api)
        settings.setdefault("token", PerIdentity(self.login.source, max_identities=most))
        settings.setdefault("retry", RetryPolicy(backoff=AT_ONCE))
        self.settings = Settings(**{"origins": [API], "clock": self.clock, **settings})
        self.mounted = mount(self.session, self.settings)

    def get(self, who: str | None = None, url: str = API, **options: Any) -> str:
        """Whom the API takes the caller for."""
        if who is None:
            return self.session.get(url, **options).text
        with acting_as(who):
            return self.session.get(url, **options).text

    @property
    def identities(self) -> Identities:
        """What keeps the tokens."""
        found = SharedState.of(self.settings).identities
        assert found is not None
        return found


def test_each_sends_a_token_of_their_own() -> None:
    """Alice, bob and alice again: each gets their own data, and is asked for one token."""
    world = World()
    assert [world.get(who) for who in ("alice", "bob", "alice")] == ["alice", "bob", "alice"]
    assert world.login.issued == {"alice": 1, "bob": 1}
    assert world.login.made == ["alice", "bob"]


class Azure:
    """A credential object of another library."""

    def __init__(self, who: str) -> None:
        self.who = who

    def get_token(self, *_: str, **__: Any) -> Any:
        """Their token."""
        return type("AccessToken", (), {"token": f"{self.who}-1", "expires_on": 4_000_000_000})


class Person:
    """A user with a method that fetches their token."""

    def __init__(self, who: str) -> None:
        self.who = who

    def token(self) -> str:
        """Their token."""
        return f"{self.who}-1"


@pytest.mark.parametrize("store", [None, MemoryStore()])
@pytest.mark.parametrize(
    "make",
    [
        lambda who: f"{who}-1",
        lambda who: Token(f"{who}-1"),
        lambda who: lambda: f"{who}-1",
        lambda who: partial(str, f"{who}-1"),
        lambda who: Person(who).token,
        lambda who: from_credentials(Azure(who), ["scope"]),
        lambda who: Command([sys.executable, "-S", "-c", f"print('{who}-1')"]),
    ],
    ids=["str", "Token", "function", "partial", "method", "credentials", "command"],
)
def test_each_kind_of_source(make: Any, store: Any) -> None:
    """Whatever settings take as a token, an identity may have."""
    world = World(token=PerIdentity(make), store=store)
    assert [world.get(who) for who in ("alice", "bob", "alice")] == ["alice", "bob", "alice"]


def test_a_call_without_an_identity_is_refused() -> None:
    """Nothing is sent, and the error has the line to add."""
    world = World()
    with pytest.raises(AuthRetryError, match=re.escape('with acting_as("alice"):')) as caught:
        world.get()
    assert not isinstance(caught.value, RefreshFailed)
    assert not world.api.sent
    assert not world.login.made


def test_a_credential_of_the_callers_own_needs_no_identity() -> None:
    """A header that the caller set goes out as it is."""
    world = World()
    world.get(headers={"Authorization": "Bearer own-1"})
    assert world.api.carried == ["Bearer own-1"]


@pytest.mark.parametrize("who", [None, "alice"])
def test_another_origin_needs_no_identity(who: str | None) -> None:
    """No token goes there, and no source is made."""
    world = World()
    world.get(who, OTHER)
    assert world.api.carried == [None]
    assert not world.login.made


def test_requests_of_others_are_left_alone_where_it_is_installed() -> None:
    """`install` covers the whole process, and only the origins ask for an identity."""
    login = Login()
    api, session = Api(login), requests.Session()
    session.mount("https://", api)
    with install(Settings(token=PerIdentity(login.source), origins=[API])):
        session.get(OTHER)
        with acting_as("alice"):
            assert session.get(API).text == "alice"
        with pytest.raises(AuthRetryError, match="acting_as"):
            session.get(API)


def test_blocks_inside_one_another() -> None:
    """The inner one counts; after it the outer one holds again, also after an exception."""
    world = World()
    with acting_as("alice"):
        assert world.get("bob") == "bob"
        with contextlib.suppress(ZeroDivisionError), acting_as("carol"), deadline(5):
            assert world.get() == "carol"
            raise ZeroDivisionError
        assert world.get() == "alice"
    with pytest.raises(AuthRetryError):
        world.get()


def test_the_identity_outlasts_an_override_and_a_deadline_inside() -> None:
    """`override` and `deadline` change other things."""
    world = World()
    with acting_as("alice"), override(timeout=3), deadline(60), override(priority=1):
        assert world.get() == "alice"
    with override(timeout=3), deadline(60), acting_as("alice"):
        assert world.get() == "alice"
    assert world.login.issued == {"alice": 1}
    with deadline(0), acting_as("alice"), pytest.raises(AuthRetryError, match="of the block"):
        world.get()


def test_a_function_can_be_decorated() -> None:
    """A plain and an ``async`` one; a generator function is refused."""
    world = World()

    @acting_as("alice")
    def plain() -> str:
        return world.get()

    @acting_as("bob")
    async def later() -> str:
        return world.get()

    def generator() -> Iterator[str]:
        yield world.get()

    assert (plain(), asyncio.run(later())) == ("alice", "bob")
    with pytest.raises(ConfigurationError, match="yield"):
        acting_as("alice")(generator)


def test_tasks_have_their_own() -> None:
    """Each task acts as its user, also across an await and in `asyncio.to_thread`."""
    world = World()

    async def view(who: str) -> tuple[str, str]:
        with acting_as(who):
            first = world.get()
            await asyncio.sleep(0)
            return first, await asyncio.to_thread(world.get)

    async def all_of(names: list[str]) -> list[tuple[str, str]]:
        return await asyncio.gather(*map(view, names))

    names = [f"user{number}" for number in range(8)]
    assert asyncio.run(all_of(names)) == [(name, name) for name in names]
    assert set(world.login.issued.values()) == {1}


def test_a_thread_inherits_no_identity() -> None:
    """It is refused, and not served as somebody; with the context of the block it is alice's."""
    world = World()
    with acting_as("alice"), ThreadPoolExecutor(1) as pool:
        with pytest.raises(AuthRetryError, match="copy_context"):
            pool.submit(world.get).result(PATIENCE)
        assert pool.submit(copy_context().run, world.get).result(PATIENCE) == "alice"


@pytest.mark.parametrize("late", [0, 3600])
@pytest.mark.parametrize("other", [None, "bob"])
def test_a_call_keeps_its_identity_in_redirects(late: float, other: str | None) -> None:
    """Redirects that are followed after the block, or in bob's block, are still alice's."""
    world = World((302, {"Location": "/1"}), (302, {"Location": "/2"}))
    with acting_as("alice"):
        response = world.session.get(API, allow_redirects=False)
    with contextlib.nullcontext() if other is None else acting_as(other):
        for _ in range(2):
            world.clock.advance(late)
            assert response.next is not None
            response = world.session.send(response.next, allow_redirects=False)
    assert response.text == "alice"


def test_a_call_keeps_its_identity_over_other_origins() -> None:
    """There and back, alice is alice; the other origin sees no token."""
    world = World((302, {"Location": OTHER}), (302, {"Location": API}))
    assert world.get("alice") == "alice"
    assert world.api.carried == ["Bearer alice-1", None, "Bearer alice-1"]


def test_a_request_that_is_sent_again_begins_a_new_call() -> None:
    """A prepared request that alice has sent, and that was redirected, is bob's in his block.

    So is the redirect that follows.
    """
    world = World((302, {"Location": "/there"}), (302, {"Location": "/there"}))
    request = world.session.prepare_request(requests.Request("GET", API))
    with acting_as("alice"):
        world.session.send(request, allow_redirects=False)
    with acting_as("bob"):
        assert world.session.send(request).text == "bob"
    assert world.api.carried[1:] == ["Bearer bob-1", "Bearer bob-1"]


def test_a_call_is_not_touched_by_another_under_way() -> None:
    """Bob calls while alice's request is on its way, and is refused: her replay is hers."""
    world = World()
    world.get("alice")
    world.login.revoked = {"alice-1"}
    send, inside = world.api.send, iter(["bob"])

    def send_slowly(request: PreparedRequest, **options: Any) -> requests.Response:
        for who in inside:
            assert world.get(who) == who
        return send(request, **options)

    world.api.send = send_slowly  # type: ignore[method-assign]
    assert world.get("alice") == "alice"
    assert world.api.carried[1:] == ["Bearer bob-1", "Bearer alice-1", "Bearer alice-2"]


def test_retries_after_the_block_are_those_of_the_identity() -> None:
    """A listener that leaves the block in the middle of a call changes nothing for the call."""
    opened = contextlib.ExitStack()

    def leave(_: Event) -> None:
        opened.close()

    world = World(503, listeners=[leave])
    opened.enter_context(acting_as("alice"))
    assert world.session.get(API).text == "alice"


def test_a_401_renews_the_token_of_its_identity_alone() -> None:
    """Alice's token is refused: hers is renewed, and bob's is sent on."""
    world = World()
    assert (world.get("alice"), world.get("bob")) == ("alice", "bob")
    world.login.revoked = {"alice-1"}
    assert (world.get("alice"), world.get("bob")) == ("alice", "bob")
    assert world.api.carried[2:] == ["Bearer alice-1", "Bearer alice-2", "Bearer bob-1"]


def test_threads_of_one_identity_share_a_renewal() -> None:
    """Eight threads for each of four users, all at once: four token requests."""
    world = World()
    ready, names = threading.Barrier(32), [f"user{number}" for number in range(4)]

    def view(who: str) -> str:
        ready.wait(PATIENCE)
        return world.get(who)

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(view, names * 8)) == names * 8
    assert world.login.issued == dict.fromkeys(names, 1)


def test_the_least_recently_used_is_dropped_from_memory_and_not_from_the_store() -> None:
    """With room for two: carol's call drops bob, whose token is read from the store later."""
    world = World(most=2, store=MemoryStore())
    for who in ("alice", "bob", "alice", "carol"):
        world.get(who)
    assert world.login.made == ["alice", "bob", "carol"]
    assert world.get("bob") == "bob"
    assert world.login.made[3:] == ["bob"]
    assert world.login.issued == {"alice": 1, "bob": 1, "carol": 1}


def test_without_a_store_a_dropped_identity_gets_a_new_token() -> None:
    """Nothing else keeps it."""
    world = World(most=1)
    for who in ("alice", "bob", "alice"):
        world.get(who)
    assert world.login.issued == {"alice": 2, "bob": 1}


def test_memory_is_bounded() -> None:
    """Of a thousand users with room for ten, ten managers are left."""
    world = World(most=10)
    managers = []
    for number in range(1000):
        world.get(f"user{number}")
        managers.append(ref(world.identities.manager(f"user{number}")))
    gc.collect()
    assert sum(each() is not None for each in managers) == 10


def test_a_renewal_under_way_is_never_dropped() -> None:
    """While alice's source is asked, bob drops her; her next call waits for the same renewal."""
    asked, go_on = threading.Semaphore(0), threading.Event()

    made: list[str] = []

    class Slow(Source):
        def __init__(self, who: str) -> None:
            super().__init__(login, who)
            made.append(who)

        def fetch(self, context: FetchContext) -> Token:
            if self.who == "alice":
                asked.release()
                assert go_on.wait(PATIENCE)
            return super().fetch(context)

    login = Login()
    api, session = Api(login), requests.Session()
    session.mount("https://", api)
    mount(session, Settings(token=PerIdentity(Slow, max_identities=1), origins=[API]))

    def view(who: str) -> str:
        with acting_as(who):
            return session.get(API).text

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(view, "alice")
        assert asked.acquire(timeout=PATIENCE)
        assert pool.submit(view, "bob").result(PATIENCE) == "bob"
        second = pool.submit(view, "alice")
        assert not asked.acquire(timeout=0.05)
        go_on.set()
        assert (first.result(PATIENCE), second.result(PATIENCE)) == ("alice", "alice")
    assert (made, login.issued) == (["alice", "bob"], {"alice": 1, "bob": 1})


def test_of_two_sources_made_at_once_one_is_used() -> None:
    """Two threads make alice's source at the same time: both calls use the first one."""
    both = threading.Barrier(2)
    login = Login()
    session = requests.Session()
    session.mount("https://", Api(login))

    def make(who: str) -> Source:
        both.wait(PATIENCE)
        return login.source(who)

    mount(session, Settings(token=PerIdentity(make), origins=[API]))

    def view() -> str:
        with acting_as("alice"):
            return session.get(API).text

    with ThreadPoolExecutor(2) as pool:
        assert [each.result(PATIENCE) for each in [pool.submit(view) for _ in range(2)]] == [
            "alice",
            "alice",
        ]
    assert (login.made, login.issued) == (["alice", "alice"], {"alice": 1})


NAMES = [
    *("a", "A", "a/b", "a%2Fb", "..", ".", "../a", "a b", " a", "a ", "a\n", "a\0b", "\\", "*"),
    *(
        "\u00e9",
        "e\u0301",
        "\u0430",
        "\ud800",
        "\ud801",
        "?",
        "\U0001f600",
        "a" * 100_000,
        "a" * 100_001,
    ),
    *("https://api.example.com", "a https://api.example.com", hash_of("a"), f"a {hash_of('a')}"),
]


def test_no_identity_gives_the_key_of_another(tmp_path: Path) -> None:
    """Whatever the text: a record of its own under a short key, which does not show the text."""
    store = FileStore(tmp_path / "tokens.json")
    world = World(store=store)
    keys = set()
    for number, who in enumerate(NAMES):
        with acting_as(who), override(token=PerIdentity(lambda who: f"t{who!r}".encode().hex())):
            world.session.get(API)  # a token of its own, in no store
        manager = world.identities.manager(who)
        assert manager is not None
        keys.add(manager.key)
        store.write(manager.key, json.dumps({"value": f"token-{number}"}))
    assert len(keys) == len(NAMES)
    assert all(re.fullmatch(rf"{API} [0-9a-f]{{40}}", key) for key in keys)
    for number, who in enumerate(NAMES):
        world.get(who)
        assert world.api.carried[-1] == f"Bearer token-{number}"


def test_a_subclass_of_str_is_its_text() -> None:
    """A class of the user's that compares equal to everything is no other user."""

    class Loose(str):
        __slots__ = ()

        def __eq__(self, _: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

    world = World()
    assert [world.get(Loose(who)) for who in ("alice", "bob")] == ["alice", "bob"]


@pytest.mark.parametrize("store", [None, MemoryStore()])
def test_one_object_as_the_source_of_all(store: Any) -> None:
    """A source that finds out itself who is asking: each identity keeps a token of its own."""
    login = Login()

    class Shared(Source):
        def fetch(self, _: FetchContext) -> Token:
            return login.issue(made[-1])

    made: list[str] = []
    source = Shared(login, "")

    def make(who: str) -> Source:
        made.append(who)
        return source

    session = requests.Session()
    session.mount("https://", Api(login))
    mount(session, Settings(token=PerIdentity(make), origins=[API], store=store))
    for who in ("alice", "bob"):
        with acting_as(who):
            assert session.get(API).text == who


class Endpoint(BaseAdapter):
    """A token endpoint with rotation: a refresh token is good once.

    Attributes:
        good: The refresh tokens that are good, with their users.
        asked: How often each user's token was asked for.
    """

    def __init__(self, **good: str) -> None:
        super().__init__()
        self.good = good
        self.asked: dict[str, int] = {}

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """A token and the next refresh token; ``invalid_grant`` for one that is spent."""
        form = parse_qs(str(request.body))
        who = self.good.pop(form.get("refresh_token", ["app"])[0], None)
        if form["grant_type"] == ["client_credentials"]:
            who = "app"
        if who is None:
            return ScriptedAdapter((400, {}, b'{"error": "invalid_grant"}')).send(request)
        number = self.asked[who] = self.asked.get(who, 0) + 1
        fields = {"access_token": f"{who}-{number}", "token_type": "Bearer"}
        if who != "app":
            fields["refresh_token"] = f"{who}-refresh-{number}"
            self.good[f"{who}-refresh-{number}"] = who
        return ScriptedAdapter((200, {}, json.dumps(fields).encode())).send(request)

    def close(self) -> None:
        """Nothing to close."""

    @property
    def client(self) -> Client:
        """A client of it."""
        session = requests.Session()
        session.mount("https://", self)
        return Client("app", token_url="https://login.test/token", session=session)


def test_a_source_with_a_name_of_its_own_is_told_apart_all_the_same() -> None:
    """`ClientCredentials` has one name for all: each identity has a record of its own."""
    endpoint, store = Endpoint(), MemoryStore()
    world = World(token=PerIdentity(lambda _: ClientCredentials(endpoint.client)), store=store)
    world.get("alice")
    world.get("bob")
    assert endpoint.asked == {"app": 2}


@pytest.mark.parametrize("store", [None, MemoryStore()])
def test_a_refresh_token_that_was_rotated_outlives_its_manager(store: Any) -> None:
    """Alice is dropped and comes back: her newest refresh token is sent, and not her first."""
    forget_tokens()
    first = {"alice-first": "alice", "bob-first": "bob"}
    endpoint = Endpoint(**first)
    token = PerIdentity(lambda who: RefreshToken(endpoint.client, f"{who}-first"), max_identities=1)
    world = World(token=token, store=store)
    with told() as warned:
        for number in (1, 2, 3):
            for who in ("alice", "bob"):
                assert world.get(who) == who
                assert world.api.carried[-1] == f"Bearer {who}-{number}"
                world.login.revoked.add(f"{who}-{number}")
                world.get(who)
    assert all("no store keeps those of the token source RefreshToken:" in each for each in warned)
    assert len(warned) == (store is None)  # one for all users


def test_somebody_who_signed_in_again_gets_their_new_source() -> None:
    """Alice's refresh token is dead, she signs in: after the pause her new one is sent."""
    refresh_tokens = {"alice": "dead", "bob": "bob-first"}
    endpoint = Endpoint(**{"bob-first": "bob", "alice-second": "alice"})
    made: list[str] = []

    def make(who: str) -> RefreshToken:
        made.append(who)
        return RefreshToken(endpoint.client, refresh_tokens[who])

    world = World(token=PerIdentity(make), store=MemoryStore())
    for _ in range(3):
        with pytest.raises(RefreshFailed, match="invalid_grant"):
            world.get("alice")
    assert made == ["alice"]
    assert world.get("bob") == "bob"
    refresh_tokens["alice"] = "alice-second"
    world.clock.advance(60)
    assert world.get("alice") == "alice"
    assert endpoint.asked == {"alice": 1, "bob": 1}


def test_a_key_that_was_replaced_is_read_again() -> None:
    """A constant that the API refuses: after the pause `make_source` gives the new one."""
    keys = {"alice": "alice-1"}
    world = World(token=PerIdentity(keys.__getitem__))
    assert world.get("alice") == "alice"
    world.login.revoked = {"alice-1"}
    assert world.get("alice") == ""
    keys["alice"] = "alice-2"
    world.clock.advance(60)
    assert world.get("alice") == "alice"


def test_a_source_is_not_exchanged_during_a_renewal() -> None:
    """The renewal ends with the source that it began with."""
    world = World()
    manager: Any = world.identities.manager("alice")
    before = manager._settings  # noqa: SLF001
    manager._failed.result = NoToken()  # noqa: SLF001
    assert manager.is_to_begin_anew
    manager._renewal = object()  # noqa: SLF001
    assert not manager.is_to_begin_anew
    manager.begin_anew(Settings(token="other", origins=[API]))
    assert manager._settings is before  # noqa: SLF001


def test_an_override_inside_shares_the_tokens() -> None:
    """Other settings change nothing about whose token is sent, and fetch none."""
    world = World()
    with acting_as("alice"):
        world.get()
        with override(retry=RetryPolicy(max_attempts=1)):
            assert world.get() == "alice"
    assert world.login.issued == {"alice": 1}


def test_a_token_in_an_override_needs_no_identity() -> None:
    """It takes the place of the tokens of all, inside and outside of blocks."""
    world = World()
    with override(token="app-1"):
        assert (world.get(), world.get("alice")) == ("app", "app")
    assert not world.login.made


def test_identities_of_an_override_stay_out_of_the_store() -> None:
    """Nothing says whether its alice has the same token; a source with a name is kept there."""
    world, others = World(store=MemoryStore()), Login()
    with told() as warned:
        for _ in range(2):
            with override(token=PerIdentity(others.source)):
                world.get("alice")
            world.get("alice")
    assert (others.issued, world.login.issued) == ({"alice": 2}, {"alice": 1})
    endpoint = Endpoint(**{"alice-first": "alice"})
    for _ in range(2):
        forget_tokens()
        source = PerIdentity(lambda _: RefreshToken(endpoint.client, "alice-first"))
        with override(token=source):
            world.get("alice")
    assert endpoint.asked == {"alice": 1}
    assert not warned


def test_two_factories_for_one_store_are_told_of() -> None:
    """Their identities may be others: tokens of the second stay in memory, with a warning."""
    store = MemoryStore()
    first = World(store=store)
    first.get("alice")
    with pytest.warns(
        UserWarning, match="Login.source and Login.source make token sources"
    ) as told:
        second = World(store=store)
    assert len(told) == 1
    second.get("alice")
    assert second.login.issued == {"alice": 1}


def test_one_factory_in_two_settings_shares_the_store() -> None:
    """As in two sessions of a program: the second reads what the first has fetched."""
    login, store = Login(), MemoryStore()
    for _ in range(2):
        session = requests.Session()
        session.mount("https://", Api(login))
        mount(session, Settings(token=PerIdentity(login.source), origins=[API], store=store))
        with acting_as("alice"):
            assert session.get(API).text == "alice"
    assert login.issued == {"alice": 1}


def test_an_exception_of_make_source_is_told_by_its_class() -> None:
    """Its text may hold a secret; the error names its class and its line, and nothing is sent."""

    def make(_: str) -> str:
        raise KeyError("s3cret")

    world = World(token=PerIdentity(make))
    with pytest.raises(RefreshFailed, match="make_source failed with KeyError") as caught:
        world.get("alice")
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__}"
    assert "test_per_identity.py" in str(caught.value.__cause__)
    assert not world.api.sent


def test_a_refresh_failed_of_make_source_reaches_the_caller() -> None:
    """Its words are for them: sign in first."""

    def make(_: str) -> str:
        raise RefreshFailed("sign in first")

    with pytest.raises(RefreshFailed, match=r"^sign in first$"):
        World(token=PerIdentity(make)).get("alice")


async def later() -> str:
    """A token, later."""
    return "t"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "make_source returned NoneType: it must return a str"),
        (3, "make_source returned int: token must be"),
        (Source, "make_source returned type: it must return a str"),
        (PerIdentity(str), "make_source returned PerIdentity: it must return a str"),
        (later, "make_source returned function: token is an async function"),
        ("a b\n", "what make_source returned cannot work: token"),
    ],
)
def test_what_is_no_source_is_refused(given: Any, said: str) -> None:
    """The call that needs the token is told what is wrong with what `make_source` returned."""
    world = World(token=PerIdentity(lambda _: given))
    with pytest.raises(RefreshFailed, match=said):
        world.get("alice")
    assert not world.api.sent


def test_make_source_cannot_ask_for_itself() -> None:
    """If it uses the session that waits for it, its request is refused, and nothing hangs."""
    world = World(token=PerIdentity(lambda _: world.get()))
    with pytest.raises(RefreshFailed, match="make_source failed with AuthRetryError"):
        world.get("alice")


def test_a_source_cannot_ask_for_itself() -> None:
    """A source that uses the session is told so, and not that it should name an identity."""
    causes: list[str] = []

    class Circular(Source):
        def fetch(self, _: FetchContext) -> Token:
            try:
                return Token(world.get())
            except AuthRetryError as error:
                causes.append(str(error))
                raise

    world = World(token=PerIdentity(lambda who: Circular(Login(), who)))
    with pytest.raises(RefreshFailed):
        world.get("alice")
    assert "give it one of its own" in causes[0]


def test_limits_are_those_of_an_identity() -> None:
    """Alice's 429 holds back alice, and not bob."""
    world = World((429, {"Retry-After": "30"}), retry=RetryPolicy(max_attempts=1))
    world.get("alice")
    [limit] = [each for each in world.mounted.limits if each.kind == "cool-down"]
    state = SharedState.of(world.settings)
    alice, bob = (state.acting_as(who, API).identity for who in ("alice", "bob"))
    assert limit.caller == alice != bob
    assert world.get("bob") == "bob"
    assert not world.clock.sleeps


def test_observing_refuses_nothing() -> None:
    """Calls go out as they would without the library."""
    world = World(observe=True)
    world.get()
    world.get("alice")
    assert world.api.carried == [None, None]


def test_each_site_may_have_its_own() -> None:
    """The identity goes with the call from site to site; each site has its own token of alice."""
    here, there = Login(), Login()
    sites = [
        Settings(token=PerIdentity(here.source), origins=[API]),
        Settings(token=PerIdentity(lambda who: f"{who}.there-1"), origins=[OTHER]),
    ]
    api, session = Api(here, (302, {"Location": OTHER})), requests.Session()
    session.mount("https://", api)
    mount(session, Settings(sites=sites))
    with acting_as("alice"):
        response = session.get(API, allow_redirects=False)
    assert response.next is not None
    assert session.send(response.next).text == "alice.there"
    assert (here.issued, there.issued) == ({"alice": 1}, {})


def test_other_settings_know_nothing_of_it() -> None:
    """A block around calls with a token of the program's own changes nothing."""
    session = requests.Session()
    api = Api(Login())
    session.mount("https://", api)
    mount(session, Settings(token="app-1", origins=[API]))
    with acting_as("alice"):
        assert session.get(API).text == "app"


def test_an_identity_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """It may be an e-mail address: no log, event, error, story or repr has it."""
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    world = World(listeners=[events.append], store=MemoryStore())
    seen: list[object] = [events, world.mounted, world.settings, world.identities]
    with acting_as(ALICE):
        response = world.session.get(API)
        world.login.revoked = {str(world.api.carried[0]).partition(" ")[2]}
        response = world.session.get(API)
        seen += [explain(response), attempts(response), list(world.mounted.limits)]
    broken = World(token=PerIdentity(lambda _: None), listeners=[events.append])  # type: ignore[arg-type, return-value]
    with pytest.raises(RefreshFailed) as caught:
        broken.get(ALICE)
    seen += [caught.value, explain(caught.value)]
    assert len(events) > 3
    assert ALICE not in caplog.text + "".join(f"{each} {each!r}" for each in seen)


def test_the_token_of_the_moment() -> None:
    """Inside of the block it is alice's, outside it is refused; other settings have one for all."""
    store = MemoryStore()
    world = World(store=store)
    state = SharedState.of(world.settings)
    with acting_as("alice"):
        now = state.acting_now()
    assert now.tokens is world.identities.manager("alice")
    assert (now.active.store, repr(now.active.token)) == (store, "<Source>")
    with pytest.raises(AuthRetryError, match="acting_as"):
        state.acting_now()
    nobody: Any = world.identities.manager(None)
    assert (nobody.holder, nobody.is_ours("Bearer t")) == ("", False)
    plain = SharedState.of(Settings(token="t", origins=[API]))
    assert plain.acting_now() is plain is plain.acting_as("alice", API)


def test_a_source_is_made_anew_where_there_is_no_token() -> None:
    """After a token was forgotten, its user may have signed in again."""
    world = World()
    world.get("alice")
    manager: Any = world.identities.manager("alice")
    manager._hold(None, manager.held.schedule)  # noqa: SLF001
    assert world.get("alice") == "alice"
    assert world.login.made == ["alice", "alice"]


def test_a_cookie_that_an_answer_set_is_told_of() -> None:
    """The session sends alice's cookie with bob's request, too: a warning says how to end that."""
    world = World()
    world.session.cookies.set("session", "alices", domain="api.example.com", path="/")
    world.session.cookies.set("own", "x")
    for cookie in world.session.cookies:
        cookie.domain_specified = False
    with told() as warned:
        world.get("bob")
        world.get("bob")
    assert [each.partition(",")[0] for each in warned] == [
        "a request of one identity carries a cookie that an answer has set"
    ]


def test_cookies_of_the_callers_own_are_not_told_of() -> None:
    """Those of the call, and of a session that keeps none of the answers."""
    world = World((302, {"Location": "/there"}))
    world.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    world.session.cookies.set("theme", "dark")
    with told() as warned, acting_as("alice"):
        response = world.session.get(API, cookies={"lang": "en"}, allow_redirects=False)
        hop: Any = response.next
        hop._cookies.set("session", "1", domain="api.example.com")  # noqa: SLF001
        for cookie in hop._cookies:  # noqa: SLF001
            cookie.domain_specified = False
        world.session.send(hop)
    assert "lang=en" in world.api.sent[-1].headers["Cookie"]
    assert not warned


def make_source(identity: str) -> str:
    """A function of a module, as it can be pickled."""
    return f"{identity}-pickled-1"


def test_settings_can_be_pickled() -> None:
    """As far as the function can; a copy is the object itself."""
    one = PerIdentity(make_source, max_identities=7)
    other = pickle.loads(pickle.dumps(Settings(token=one, origins=[API])))  # noqa: S301 (our own)
    assert (other.token.make_source, other.token.max_identities) == (make_source, 7)
    world = World(token=other.token)
    assert world.get("alice") == "alice-pickled"
    assert repr(one) == "PerIdentity(<make_source>, max_identities=7)"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_process_goes_on() -> None:
    """Forked inside of a block, with the lock held: alice is alice, and a new user is served."""
    world = World()
    with acting_as("alice"):
        world.get()
        with world.identities._lock:  # noqa: SLF001
            child = os.fork()
            if not child:
                ok = (world.get(), world.get("bob")) == ("alice", "bob")
                os._exit(0 if ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# For uses that type checkers refuse.
wrong_acting_as: Any = acting_as
WrongPerIdentity: Any = PerIdentity
WrongSettings: Any = Settings


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: acting_as(""), "identity is empty"),
        (lambda: wrong_acting_as(7), r"must be a str, not int: write acting_as\(str\(...\)\)"),
        (lambda: wrong_acting_as(None), "must be a str, not NoneType"),
        (lambda: WrongPerIdentity("t"), "make_source must be a function, not str"),
        (lambda: WrongPerIdentity(lambda: "t"), "make_source must take one argument, the identity"),
        (lambda: WrongPerIdentity(later_for), "make_source is an async function"),
        (lambda: PerIdentity(str, max_identities=0), "max_identities must be a whole number"),
        (lambda: PerIdentity(str, max_identities=True), "max_identities must be a whole number"),
        (lambda: Settings(token=PerIdentity(str)), "origins are missing"),
        (lambda: WrongSettings(token=PerIdentity, origins=[API]), "token is the class PerIdentity"),
        (lambda: WrongSettings(token=make_source, origins=[API]), r"PerIdentity\(function\)"),
        (
            lambda: Settings(token=PerIdentity(str), origins=[API], adopt=True),
            r"one for all identities.*adopt=\['retries'\]",
        ),
    ],
)
def test_what_cannot_work_is_refused(build: Callable[[], object], said: str) -> None:
    """When the object is made, with the way out."""
    with pytest.raises(ConfigurationError, match=said):
        build()


async def later_for(_: str) -> str:
    """A source, later."""
    return "t"


def test_retries_may_be_adopted() -> None:
    """They belong to nobody."""
    assert Settings(token=PerIdentity(str), origins=[API], adopt=["retries"]).adopt
