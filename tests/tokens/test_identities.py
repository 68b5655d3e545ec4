"""A credential is only ever replaced by one of the same identity."""

from __future__ import annotations

import gc
import json
import re
import sys
import warnings
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from weakref import ref

import pytest
import redis
import requests
from keyrings.alt.file import PlaintextKeyring  # type: ignore[import-untyped]
from requests.adapters import BaseAdapter

from requests_authretry import (
    FetchContext,
    FileStore,
    MemoryStore,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Token,
    mount,
    override,
)
from requests_authretry._config.secret_references import Reference
from requests_authretry._tokens import families as module
from requests_authretry._tokens.families import families, place_of
from requests_authretry.keyring import KeyringStore
from requests_authretry.oauth2 import (
    Client,
    ClientCredentials,
    Password,
    RefreshToken,
    TokenExchange,
)
from requests_authretry.redis import RedisStore
from requests_authretry.sources import Command, from_credentials
from requests_authretry.testing import ScriptedAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from requests import PreparedRequest

ORIGIN, OTHER = "https://api.example.com", "https://other.example.com"
ALICE, BOB = "alice", "bob"
WHO = (ALICE, BOB)


class Login(BaseAdapter):
    """An authorization server that gives each client or user tokens of their own."""

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """A token that begins with the name of whoever it is for."""
        form = parse_qs(str(request.body))
        who = next(
            form[name][0]
            for name in ("username", "refresh_token", "subject_token", "client_id")
            if name in form
        )
        fields = {"access_token": f"{who}-token", "refresh_token": f"{who}-next"}
        return ScriptedAdapter((200, {}, json.dumps(fields).encode())).send(request)

    def close(self) -> None:
        """Nothing to close."""


def client(name: str = "app") -> Client:
    """A client of that server."""
    session = requests.Session()
    session.mount("https://", Login())
    return Client(name, token_url="https://login.test/token", session=session)


class Person:
    """A source of a user's, as an object, as a function and as a method."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fetch(self, _: FetchContext) -> str:
        """Their token."""
        return self.token()

    def token(self) -> str:
        """Their token."""
        return f"{self.name}-token"


class Azure:
    """A credential object as azure-identity has them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_token(self, *_: str, **__: Any) -> Any:
        """Their token."""
        return type("AccessToken", (), {"token": f"{self.name}-token", "expires_on": 4_000_000_000})


def alices() -> str:
    """The token of alice."""
    return "alice-token"


def bobs() -> str:
    """The token of bob."""
    return "bob-token"


def reference(name: str) -> Reference:
    """A secret that stands in a variable."""
    return Reference("env:TOKEN", environ={"TOKEN": f"{name}-token"})


KINDS: dict[str, Callable[[str], Any]] = {
    "str": lambda name: f"{name}-token",
    "Token": lambda name: Token(f"{name}-token", 4e9, refresh_token=f"{name}-refresh"),
    "reference": reference,
    "functions": lambda name: alices if name == ALICE else bobs,
    "closure": lambda name: lambda: f"{name}-token",
    "partial": lambda name: partial(str, f"{name}-token"),
    "method": lambda name: Person(name).token,
    "object": Person,
    "credentials": lambda name: from_credentials(Azure(name), ["scope"]),
    "command": lambda name: Command([sys.executable, "-S", "-c", f"print('{name}-token')"]),
    "refresh token": lambda name: RefreshToken(client(), name),
    "client credentials": lambda name: ClientCredentials(client(name)),
    "password": lambda name: Password(client(), name, "secret"),
}

STORES = ("none", "memory", "file", "redis", "keyring")


@pytest.fixture
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A function that gives a store of the kind that the test asks for, anew where that is one."""
    kind, memory, backend = request.param, MemoryStore(), PlaintextKeyring()
    backend.file_path = str(tmp_path / "keyring")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if kind == "redis":
        with redis.Redis.from_url(request.getfixturevalue("redis_server").url) as server:
            yield lambda: RedisStore(server, prefix=str(tmp_path))
        return
    yield {
        "none": lambda: None,
        "memory": lambda: memory,
        "file": lambda: FileStore(tmp_path / "tokens"),
        "keyring": lambda: KeyringStore(backend=backend),
    }[kind]


def chosen(token: Any, store: Any, origin: str = ORIGIN, **others: Any) -> Settings:
    """Settings of one person."""
    retry = RetryPolicy(max_attempts=1)
    return Settings(token=token, origins=[origin], store=store, retry=retry, **others)


class Below(BaseAdapter):
    """Refuses the first request of each path, and keeps what came."""

    def __init__(self) -> None:
        super().__init__()
        self.carried: dict[str, list[str]] = {ALICE: [], BOB: []}

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """401, then 200."""
        carried = self.carried[str(request.url).rpartition("/")[2]]
        carried.append(str(request.headers.get("Authorization")))
        return ScriptedAdapter(401 if len(carried) == 1 else 200).send(request)

    def close(self) -> None:
        """Nothing to close."""


def two_sessions(kind: str, store: Any, below: Below) -> None:
    """Each has a session of their own; the first is gone before the second begins."""

    def use(who: str) -> None:
        session = requests.Session()
        session.mount("https://", below)
        mount(session, chosen(KINDS[kind](who), store()))
        call(session, who)

    use(ALICE)
    gc.collect()
    use(BOB)


def sites(kind: str, store: Any, below: Below) -> None:
    """Each has a site of one settings object."""
    session = requests.Session()
    session.mount("https://", below)
    origins = {ALICE: ORIGIN, BOB: OTHER}
    each = [chosen(KINDS[kind](who), store(), origin) for who, origin in origins.items()]
    mount(session, Settings(sites=each))
    for who, origin in origins.items():
        call(session, who, origin)


def overrides(kind: str, store: Any, below: Below) -> None:
    """One has the session, and the other an override of it, with and without the store."""
    session = requests.Session()
    session.mount("https://", below)
    mount(session, chosen(KINDS[kind](ALICE), store()))
    call(session, ALICE)
    for again in ({}, {"store": store()}):
        with override(token=KINDS[kind](BOB), **again):
            call(session, BOB)
    call(session, ALICE)


def adoption(kind: str, store: Any, below: Below) -> None:
    """Each has a header of legacy code, which their source replaces."""
    for who in WHO:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {who}-header"
        session.mount("https://", below)
        mount(session, chosen(KINDS[kind](who), store(), adopt=["authorization"]))
        call(session, who)


def call(session: requests.Session, who: str, origin: str = ORIGIN) -> None:
    """Two calls; some end in an error, and none as somebody else."""
    for _ in range(2):
        with suppress(requests.RequestException):
            session.get(f"{origin}/{who}")


@pytest.mark.parametrize("store", STORES, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [two_sessions, sites, overrides, adoption])
def test_nobody_becomes_somebody_else(way: Any, kind: str, store: Any) -> None:
    """Whatever the source and the store: each request carries a token of whoever it is for."""
    below = Below()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* are two token sources")
        way(kind, store, below)
    for who in WHO:
        assert {name.startswith(f"Bearer {who}") for name in below.carried[who]} <= {True}
    assert below.carried[ALICE]


@pytest.mark.parametrize("store", ["memory", "file"], indirect=True)
@pytest.mark.parametrize("kind", ["str", "Token", "reference"])
def test_a_constant_stays_out_of_stores(kind: str, store: Any) -> None:
    """What another left under the same origins is neither used nor replaced by a constant token."""
    record = json.dumps({"value": "alice-token", "generation": 10**15})
    store().write(ORIGIN, record)
    below = Below()
    session = requests.Session()
    session.mount("https://", below)
    mount(session, chosen(KINDS[kind](BOB), store()))
    call(session, BOB)
    assert set(below.carried[BOB]) == {"Bearer bob-token"}
    assert store().read(ORIGIN) == record


def test_a_function_in_an_override_stays_out_of_any_store() -> None:
    """A view's function has no name in a store, also where the view names another store."""
    others, below, session = MemoryStore(), Below(), requests.Session()
    others.write(ORIGIN, json.dumps({"value": "alice-token"}))
    session.mount("https://", below)
    mount(session, chosen(alices, MemoryStore()))
    with override(token=bobs, store=others):
        call(session, BOB)
    assert set(below.carried[BOB]) == {"Bearer bob-token"}


def test_a_store_in_an_override_serves_the_token() -> None:
    """Where an override names another store alone, the session's token is kept there."""
    other, session = MemoryStore(), requests.Session()
    session.mount("https://", ScriptedAdapter(200))
    mount(session, chosen(alices, MemoryStore()))
    with override(store=other):
        session.get(ORIGIN)
    assert "alice-token" in str(other.read(ORIGIN))


@pytest.mark.parametrize(("second", "name"), [(bobs, "bobs"), (Person(BOB), "Person")])
def test_a_second_source_is_told_of(second: Any, name: str) -> None:
    """Two sources with one store and one origin: a warning says what to do."""
    store = MemoryStore()
    mount(requests.Session(), chosen(alices, store))
    mount(requests.Session(), chosen(alices, store, timeout=3))
    text = (
        f"alices and {name} are two token sources for {ORIGIN} in one MemoryStore, and have no "
        "store_key: tokens of the second are kept in memory only. Give them a store_key, the same "
        "for one identity, else one for each"
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(text)}$"):
        mount(requests.Session(), chosen(second, store))


def test_a_second_object_is_refused() -> None:
    """Two objects of one class may begin with one refresh token: the second has to have a name."""
    store = MemoryStore()
    session = requests.Session()
    session.mount("https://", ScriptedAdapter())
    mount(requests.Session(), chosen(Person(ALICE), store))
    with pytest.warns(UserWarning, match="Give them a store_key"):
        mount(session, chosen(Person(ALICE), store))
    with pytest.raises(RefreshFailed) as refused:
        session.get(ORIGIN)
    assert str(refused.value) == (
        "no token from the token source: another token source without a store_key uses this store "
        "for the same origins, and both may begin with one refresh token: give them a store_key, "
        "the same for one identity, else one for each"
    )


def test_a_second_object_without_refresh_tokens_is_asked() -> None:
    """It cannot spend a refresh token of the first: its tokens are in memory, and it is warned of.

    So with two credential objects of an SDK, which keep their refresh tokens themselves.
    """
    store, session, below = MemoryStore(), requests.Session(), ScriptedAdapter(200)
    session.mount("https://", below)
    mount(requests.Session(), chosen(KINDS["credentials"](ALICE), store))
    with pytest.warns(UserWarning, match="are two token sources"):
        mount(session, chosen(KINDS["credentials"](BOB), store))
    session.get(ORIGIN)
    assert below.sent[0].headers["Authorization"] == "Bearer bob-token"


def test_one_function_made_twice_is_one_source() -> None:
    """A function that a factory makes anew, with equal captured values, uses the same record."""
    store, below = MemoryStore(), Below()
    for _ in range(2):
        session = requests.Session()
        session.mount("https://", below)
        mount(session, chosen(KINDS["closure"](BOB), store))
        call(session, BOB)
    assert store.read(ORIGIN) is not None


def test_a_function_may_need_what_is_not_there_yet() -> None:
    """A function that captures a name without a value, as in a factory, is a source as any."""
    session, store = requests.Session(), MemoryStore()
    session.mount("https://", ScriptedAdapter(200))

    def token() -> str:
        return value

    mount(session, chosen(token, store))
    value = f"{BOB}-token"
    session.get(ORIGIN)
    assert value in str(store.read(ORIGIN))


def of_module(name: str) -> Any:
    """A function whose code is the same in each module, and whose module holds the token."""
    made = ModuleType(name)
    vars(made)["TOKEN"] = f"{name}-token"
    exec(compile("def token():\n    return TOKEN\n", "one.py", "exec"), vars(made))  # noqa: S102
    return made.token


def of_list(name: str) -> Any:
    """A function that captures what is equal for all."""
    held = [Equal(name)]

    def token() -> str:
        return held[0]()

    return token


@dataclass
class Equal:
    """An object that is equal to others of another user."""

    name: str = field(compare=False)

    def __call__(self) -> str:
        """Their token."""
        return f"{self.name}-token"


def of_index(index: int) -> Any:
    """A function that captures a number, or a truth that is equal to it."""
    return lambda: f"{ALICE if type(index) is int else BOB}-token"


LOOKALIKES: dict[str, Callable[[str], Any]] = {
    "modules": of_module,
    "lists": of_list,
    "equal objects": Equal,
    "a number and a truth": lambda name: of_index(0 if name == ALICE else False),
}


@dataclass
class Unhashable:
    """A store that cannot be a key: a dataclass that is compared by its fields."""

    memory: MemoryStore = field(default_factory=MemoryStore)

    def read(self, key: str) -> str | None:
        """As the memory."""
        return self.memory.read(key)

    def write(self, key: str, record: str) -> None:
        """As the memory."""
        self.memory.write(key, record)

    def lock(self, key: str, timeout: float) -> Any:
        """As the memory."""
        return self.memory.lock(key, timeout)

    def push(self, key: str, seconds: float) -> float:
        """As the memory."""
        return self.memory.push(key, seconds)


@pytest.mark.parametrize("kind", [MemoryStore, Unhashable])
@pytest.mark.parametrize("lookalike", LOOKALIKES)
@pytest.mark.filterwarnings("ignore:.* are two token sources")
def test_lookalikes_are_told_apart(lookalike: str, kind: type[Any]) -> None:
    """Sources of two users that look the same do not share a record."""
    store, below = kind(), Below()
    for who in WHO:
        session = requests.Session()
        session.mount("https://", below)
        mount(session, chosen(LOOKALIKES[lookalike](who), store))
        call(session, who)
        del session
        gc.collect()
    assert set(below.carried[ALICE]) == {"Bearer alice-token"}
    assert set(below.carried[BOB]) == {"Bearer bob-token"}


def test_a_function_answers_for_the_user_of_the_moment() -> None:
    """Without a store, each settings object and each override asks a function for itself."""
    user = ContextVar("user", default="")

    def token() -> str:
        return f"{user.get()}-token"

    below, session = Below(), requests.Session()
    session.mount("https://", below)
    mount(session, Settings(retry=RetryPolicy(max_attempts=1)))
    exchanged = TokenExchange(client(), user.get)
    for source in (token, exchanged):
        for who in WHO:
            user.set(who)
            with override(token=source, origins=[ORIGIN]):
                call(session, who)
    for who in WHO:
        assert {each[: 7 + len(who)] for each in below.carried[who]} == {f"Bearer {who}"}


def test_what_a_store_belongs_to_ends_with_it() -> None:
    """An object whose method gives tokens, and which holds the store and the session, is freed."""

    class Application:
        def __init__(self) -> None:
            self.store, self.session = MemoryStore(), requests.Session()
            self.session.mount("https://", ScriptedAdapter(200))
            mount(self.session, chosen(self.token, self.store))
            self.session.get(ORIGIN)

        def token(self) -> str:
            return "token"

    made = [ref(Application()) for _ in range(3)]
    gc.collect()
    assert [each() for each in made] == [None] * 3


def test_equal_commands_share_a_record() -> None:
    """A command that is made anew, as in each request of an application, is the same source."""
    store, below = MemoryStore(), Below()
    for _ in range(2):
        session = requests.Session()
        session.mount("https://", below)
        mount(session, chosen(KINDS["command"](BOB), store))
        call(session, BOB)
    assert store.read(ORIGIN) is not None


PLACES = {
    "files": lambda folder: [FileStore(folder / "a"), FileStore(f"{folder}/b/../a")],
    "redis by URL": lambda _: [RedisStore("redis://localhost"), RedisStore("redis://localhost/0")],
    "redis": lambda _: [RedisStore(redis.Redis(db=2)), RedisStore("redis://localhost:6379/2")],
    "keyrings": lambda _: [KeyringStore("mine"), KeyringStore("mine")],
}


@pytest.mark.parametrize("stores", PLACES.values(), ids=PLACES)
def test_two_stores_of_one_place(stores: Any, tmp_path: Path) -> None:
    """Two objects that hold the same records are one place, which has one owner."""
    one, other = stores(tmp_path)
    assert place_of(one, "key") == place_of(other, "key")
    assert families.owner(alices, one, "key") is None
    assert families.owner(bobs, other, "key") == "alices"


OTHERS = {
    "files": lambda folder: [FileStore(folder / "a"), FileStore(folder / "b")],
    "prefixes": lambda _: [RedisStore("redis://localhost", prefix=name) for name in "ab"],
    "servers": lambda _: [RedisStore(f"redis://localhost:{port}") for port in (1, 2)],
    "services": lambda _: [KeyringStore(name) for name in "ab"],
    "memories": lambda _: [MemoryStore(), MemoryStore()],
}


@pytest.mark.parametrize("stores", OTHERS.values(), ids=OTHERS)
def test_two_places(stores: Any, tmp_path: Path) -> None:
    """Each place has an owner of its own."""
    for source, store in zip((alices, bobs), stores(tmp_path), strict=True):
        assert families.owner(source, store, "key") is None


def test_owners_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more records than are remembered the one that was not asked for longest is forgotten."""
    monkeypatch.setattr(module, "MOST_OWNERS", 2)
    store = MemoryStore()
    for key in ("first", "second", "first", "third"):
        families.owner(alices, store, key)
    assert families.owner(bobs, store, "first") == "alices"
    assert families.owner(bobs, store, "second") is None
