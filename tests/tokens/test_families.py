"""Tokens of one source belong together in a process, and no refresh token is sent twice."""

from __future__ import annotations

import gc
import json
import os
from dataclasses import replace
from threading import Barrier, Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
import requests
from requests import RequestException
from requests.adapters import BaseAdapter

from requests_authretry import (
    AuthRetryAdapter,
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
from requests_authretry._tokens import families as module
from requests_authretry._tokens import store_sync
from requests_authretry._tokens.families import Families, families
from requests_authretry.oauth2 import Client, RefreshToken, _grants
from requests_authretry.sources import from_credentials
from requests_authretry.testing import FakeClock, ScriptedAdapter, forget_tokens
from tests.call.test_lifecycle import Child
from tests.support.sessions import ended

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from requests import PreparedRequest

ONE, OTHER, LOGIN = "https://one.example.com", "https://other.example.com", "https://login.test"
ONCE = RetryPolicy(max_attempts=1)
HOUR = 3600.0


class Rotating(BaseAdapter):
    """An authorization server that takes each refresh token once.

    Attributes:
        spent: The refresh tokens that came, in order.
        rotates: Whether it gives another refresh token with each answer.
    """

    def __init__(self, *, rotates: bool = True) -> None:
        super().__init__()
        self.spent: list[str] = []
        self.rotates = rotates
        self.more: dict[str, object] = {}

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """A token for a refresh token that was not spent."""
        given = parse_qs(str(request.body))["refresh_token"][0]
        again, number = given in self.spent, len(self.spent)
        self.spent.append(given)
        fields: dict[str, object] = {"access_token": f"access-{number}", "expires_in": HOUR}
        if self.rotates:
            fields |= {"error": "invalid_grant"} if again else {"refresh_token": f"next-{number}"}
        fields |= self.more
        status = 400 if "error" in fields else 200
        answer = (status, {"Content-Type": "application/json"}, json.dumps(fields).encode())
        return ScriptedAdapter(answer).send(request)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def server() -> Rotating:
    """An authorization server that rotates."""
    return Rotating()


def client(server: Rotating, **options: Any) -> Client:
    """A client of this server."""
    session = requests.Session()
    session.mount("https://", server)
    where = {"token_url": f"{LOGIN}/token", **options}
    return Client("app", session=session, **where)


def source(server: Rotating, first: str = "first", **options: Any) -> RefreshToken:
    """A source with this first refresh token, made anew as a web view makes it."""
    return RefreshToken(client(server), first, **options)


def chosen(token: Any, origin: str = ONE, **others: Any) -> Settings:
    """Settings that try once."""
    return Settings(token=token, origins=[origin], retry=ONCE, **others)


def called(settings: Settings, url: str = ONE) -> str | None:
    """The Authorization header of a call through a new session; None where nothing was sent."""
    session, below = requests.Session(), ScriptedAdapter(200)
    session.mount("https://", below)
    mount(session, settings)
    try:
        session.get(url)
    except RequestException:
        return None
    return str(below.sent[0].headers["Authorization"])


def refused(settings: Settings, url: str = ONE) -> str:
    """What a call through a new session raises, as there is no token."""
    session = requests.Session()
    session.mount("https://", ScriptedAdapter())
    mount(session, settings)
    with pytest.raises(RefreshFailed) as caught:
        session.get(url)
    return str(caught.value)


def one_source(server: Rotating) -> list[Settings]:
    """One source in several settings."""
    one = source(server)
    return [chosen(one), chosen(one, OTHER), chosen(one, timeout=3)]


def replaced(server: Rotating) -> list[Settings]:
    """Settings, and others made from them."""
    one = chosen(source(server))
    return [one, replace(one, timeout=3)]


def equal_sources(server: Rotating) -> list[Settings]:
    """Sources that were made alike."""
    return [chosen(source(server)), chosen(source(server), OTHER)]


def named(server: Rotating) -> list[Settings]:
    """Equal sources, one with a name for stores."""
    return [chosen(source(server)), chosen(source(server, store_key="mine"), OTHER)]


@pytest.mark.parametrize("way", [one_source, replaced, equal_sources, named])
def test_settings_with_equal_sources_use_the_same_tokens(way: Any, server: Rotating) -> None:
    """Without a store, each refresh token is spent once over all settings of the process."""
    clock = FakeClock()
    each = [replace(one, clock=clock) for one in way(server)]
    for number, spent in enumerate((["first"], ["first", "next-0"], ["first", "next-0", "next-1"])):
        carried = {called(settings, settings.origins[0]) for settings in each}
        assert carried == {f"Bearer access-{number}"}
        assert server.spent == spent
        clock.advance(HOUR)


def test_sites_of_one_provider(server: Rotating) -> None:
    """Two sites with one source use the same tokens."""
    one = source(server)
    settings = Settings(sites=[chosen(one), chosen(one, OTHER)])
    assert [called(settings, ONE), called(settings, OTHER)] == ["Bearer access-0"] * 2
    assert server.spent == ["first"]


def test_a_view_for_each_request(server: Rotating) -> None:
    """A web view that makes its user's source anew finds the tokens of the view before it."""
    session, below = requests.Session(), ScriptedAdapter(*[200] * 6)
    session.mount("https://", below)
    mount(session, Settings())
    for _ in range(3):
        for user in ("alice", "bob"):
            with override(token=source(server, user), origins=[ONE]):
                session.get(ONE)
        gc.collect()
    carried = [str(request.headers["Authorization"]) for request in below.sent]
    assert carried == ["Bearer access-0", "Bearer access-1"] * 3
    assert server.spent == ["alice", "bob"]


def test_many_threads_begin_at_once(server: Rotating) -> None:
    """Threads whose settings have equal sources spend the first refresh token once."""
    begin, carried = Barrier(8), []

    def call() -> None:
        settings = chosen(source(server))
        begin.wait(120)
        carried.append(called(settings))

    threads = [Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert carried == ["Bearer access-0"] * 8
    assert server.spent == ["first"]


OTHERS: dict[str, Callable[[Rotating], RefreshToken]] = {
    "refresh token": lambda server: source(server, "second"),
    "client": lambda server: RefreshToken(
        Client("another", token_url=f"{LOGIN}/token", session=client(server).session), "first"
    ),
    "server": lambda server: RefreshToken(client(server, token_url="https://2.test/t"), "first"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_others_have_tokens_of_their_own(what: str, server: Rotating) -> None:
    """Sources with another client, server or first refresh token share nothing."""
    server.rotates = False
    assert called(chosen(source(server))) == "Bearer access-0"
    assert called(chosen(OTHERS[what](server))) == "Bearer access-1"
    assert called(chosen(source(server))) == "Bearer access-0"


STORES: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "none, then a file": lambda folder: [{}, {"store": FileStore(folder / "a.json")}],
    "two files": lambda folder: [{"store": FileStore(folder / f"{n}.json")} for n in "ab"],
    "a file, then none": lambda folder: [{"store": FileStore(folder / "a.json")}, {}],
}


@pytest.mark.parametrize("stores", STORES)
def test_a_spent_first_refresh_token_is_refused(
    stores: str, server: Rotating, tmp_path: Path
) -> None:
    """Where another store has its successor, it is not sent again; the error names the way out."""
    first, second = STORES[stores](tmp_path)
    assert called(chosen(source(server), **first)) == "Bearer access-0"
    assert refused(chosen(source(server), **second)) == (
        "the first refresh token was spent in this process, and the store has none that followed "
        "it: after a sign-out, sign in again and give the new refresh token; otherwise name one "
        "store in all settings that use it"
    )
    assert server.spent == ["first"]


def test_a_first_refresh_token_is_sent_by_one_thread_at_a_time() -> None:
    """A thread whose time is over while another sends the token does not send it as well."""
    again = families.sending("digest", 0.0)
    with families.sending("digest", 0.0), pytest.raises(RefreshFailed) as caught, again:
        pass
    assert str(caught.value) == "the first refresh token is being sent by another thread still"


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Families:
    """A process that has just begun."""
    begun = Families()
    for each in (module, store_sync, _grants):
        monkeypatch.setattr(each, "families", begun, raising=False)
    return begun


@pytest.mark.usefixtures("process")
def test_a_process_begins_without_tokens(
    server: Rotating, caplog: pytest.LogCaptureFixture
) -> None:
    """It knows no source, no owner of a record, and has warned nobody; it warns once."""
    carried = [called(chosen(source(server, name))) for name in "ab"]
    assert carried == ["Bearer access-0", "Bearer access-1"]
    assert called(chosen(Custom(), store=MemoryStore())) == "Bearer access-1"
    assert _losses(caplog) >= 1


def test_a_warning_comes_again_when_tokens_are_forgotten(
    server: Rotating, caplog: pytest.LogCaptureFixture
) -> None:
    """For tests: as in a new process, a server that rotates is warned of once more."""
    for number in (1, 2):
        settings, clock = chosen(source(server, f"first-{number}")), FakeClock()
        settings = replace(settings, clock=clock)
        for _ in range(3):
            assert called(settings) is not None
            clock.advance(HOUR)
        assert _losses(caplog) == number
        forget_tokens()


def test_a_refresh_token_that_may_be_lost_is_warned_of(
    server: Rotating, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a store, the log says what happens to the newest refresh token, and what to do."""
    called(chosen(source(server)))
    [told] = caplog.messages
    assert told == (
        "the server gives a new refresh token each time, and no store keeps those of the token "
        "source RefreshToken: the last one is lost when this process ends, and other processes "
        "send spent ones. Give Settings(store=...), such as FileStore, and the same one in all "
        "processes"
    )


def _losses(caplog: pytest.LogCaptureFixture) -> int:
    """How many warnings say that the newest refresh token may be lost."""
    begin = "the server gives a new refresh token each time"
    return sum(message.startswith(begin) for message in caplog.messages)


@pytest.mark.parametrize("rotates", [True, False])
def test_what_cannot_be_lost_is_not_warned_of(
    rotates: bool,  # noqa: FBT001
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody is warned where a store keeps the refresh token, or where it stays the same."""
    server, store = Rotating(rotates=rotates), MemoryStore() if rotates else None
    for name in "ab":
        assert called(chosen(source(server, name), store=store)) is not None
    assert _losses(caplog) == 0


def test_a_server_named_in_two_ways(server: Rotating) -> None:
    """By its issuer or by its token endpoint: it is one server, and the refresh token is spent."""
    named = client(server, token_url=None, issuer=LOGIN)
    named.metadata = {"issuer": LOGIN, "token_endpoint": f"{LOGIN}/token"}
    assert called(chosen(source(server))) == "Bearer access-0"
    assert called(chosen(RefreshToken(named, "first"))) is None
    assert server.spent == ["first"]


def test_a_key_made_anew(server: Rotating) -> None:
    """A client that makes a key for each of its sources does not spend the token for each key."""
    for carries in ("Bearer access-0", None):
        bound = client(server, dpop=True)
        assert called(chosen(RefreshToken(bound, "first"))) == carries
    assert server.spent == ["first"]


def test_a_server_that_does_not_rotate(tmp_path: Path) -> None:
    """A refresh token that stays good is sent from each store."""
    server = Rotating(rotates=False)
    for name in "ab":
        assert called(chosen(source(server), store=FileStore(tmp_path / name))) is not None
    assert server.spent == ["first", "first"]


def test_a_family_is_not_forgotten_with_its_tokens(
    server: Rotating, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more users than are remembered, the first is told to sign in, and nothing is sent."""
    monkeypatch.setattr(module, "MOST_NAMED_FAMILIES", 2)
    for user in ("alice", "bob", "carol"):
        assert called(chosen(source(server, user))) is not None
    assert called(chosen(source(server, "alice"))) is None
    assert called(chosen(source(server, "carol"))) == "Bearer access-2"
    assert server.spent == ["alice", "bob", "carol"]


def test_a_family_in_use_is_remembered(server: Rotating, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes again and again is not the one who is forgotten."""
    monkeypatch.setattr(module, "MOST_NAMED_FAMILIES", 2)
    for user in ("alice", "bob", "alice", "carol", "alice"):
        assert called(chosen(source(server, user))) is not None
    assert server.spent == ["alice", "bob", "carol"]


SPELLINGS = ["https://login.test:443/token", "https://LOGIN.test/token"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_endpoint_in_two_spellings(spelling: str, server: Rotating) -> None:
    """A default port and capitals name no other server."""
    assert called(chosen(source(server))) == "Bearer access-0"
    again = RefreshToken(client(server, token_url=spelling), "first")
    assert called(chosen(again)) is None
    assert server.spent == ["first"]


@pytest.mark.parametrize(
    "odd", [{"token_type": "mac"}, {"access_token": "a b"}, {"access_token": ""}]
)
def test_an_answer_that_cannot_be_used_has_spent_the_token(
    odd: dict[str, object], server: Rotating
) -> None:
    """Where the server gave another refresh token, the first one is not sent again."""
    server.more, clock = odd, FakeClock()
    settings = chosen(source(server), clock=clock)
    for _ in range(2):
        assert called(settings) is None
        clock.advance(HOUR)
    assert server.spent == ["first"]


class Failing(MemoryStore):
    """A store that fails in one way."""

    mode = ""

    def read(self, key: str) -> str | None:
        """The record, unless it is away, lost or torn."""
        if self.mode == "read":
            raise OSError("away")
        records = {"lost": None, "torn": '{"value": "acc'}
        return records[self.mode] if self.mode in records else super().read(key)

    def write(self, key: str, record: str) -> None:
        """Keep it, unless the disk is full."""
        if self.mode == "write":
            raise OSError("full")
        super().write(key, record)


@pytest.mark.parametrize("mode", ["read", "write", "lost", "torn"])
def test_a_store_that_fails_spends_nothing_twice(mode: str, server: Rotating) -> None:
    """What one settings object could not keep or read, another one of this process knows."""
    store, clock = Failing(), FakeClock()
    one = chosen(source(server), store=store, clock=clock)
    other = replace(one, timeout=3)
    sessions = []
    for settings in (one, other):
        session = requests.Session()
        session.mount("https://", ScriptedAdapter(*[200] * 9))
        mount(session, settings)
        session.get(ONE)
        sessions.append(session)
    for first, second in (sessions, sessions[::-1], sessions):
        clock.advance(HOUR)
        first.get(ONE)
        store.mode = mode
        second.get(ONE)
    assert len(server.spent) == len(set(server.spent)) > 1


def test_a_record_is_known_as_long_as_its_store() -> None:
    """A store that comes into being where another one was has none of its records."""
    mine = Custom(store_key="mine")
    for _ in range(3):
        assert called(chosen(mine, store=MemoryStore())) is not None
        gc.collect()
    assert families.of(mine).newest == {}
    assert mine.spent == ["first"] * 3


# Sources of users


class Custom:
    """A source of a user's, which begins with a refresh token of its own.

    Attributes:
        spent: The refresh tokens it has spent.
        blind: Whether it was told each time that a newer one may be elsewhere.
    """

    life = 1e12

    def __init__(self, **attributes: object) -> None:
        self.spent: list[str] = []
        self.blind: list[bool] = []
        vars(self).update(attributes)

    def fetch(self, context: FetchContext) -> Token:
        """Spend the newest refresh token there is."""
        newest = context.stale.refresh_token if context.stale else None
        self.spent.append(newest or "first")
        self.blind.append(context.blind)
        number = len(self.spent)
        end = context.clock.time() + self.life
        return Token(f"access-{number}", end, refresh_token=f"next-{number}")

    def fetched(self) -> str:
        """The same, as a function."""
        self.spent.append("first")
        return f"access-{len(self.spent)}"


def test_one_object_has_one_token() -> None:
    """A source of the user's that is named in two settings is asked once."""
    mine = Custom()
    assert [called(chosen(mine)), called(chosen(mine, OTHER), OTHER)] == ["Bearer access-1"] * 2
    assert mine.spent == ["first"]


def test_a_source_whose_tokens_are_kept_elsewhere_is_asked_by_each() -> None:
    """What the source says now counts, not what it said to other settings of the process."""
    mine = Custom(is_kept_elsewhere=True)
    assert [called(chosen(mine)) for _ in range(2)] == ["Bearer access-1", "Bearer access-2"]


@pytest.mark.filterwarnings("ignore:.* are two token sources")
def test_sources_of_one_family_own_a_record_together() -> None:
    """Equal names of families are one owner of a store's record; another name is another owner."""
    store = MemoryStore()
    carried = [called(chosen(Custom(family=name), store=store)) for name in ("a", "a", "b")]
    assert carried == ["Bearer access-1", "Bearer access-1", None]


def test_a_record_with_a_name_has_no_owner() -> None:
    """Two sources with one ``store_key`` use one record, and nobody is warned."""
    store, each = MemoryStore(), [Custom(store_key="mine") for _ in range(2)]
    assert [called(chosen(one, store=store)) for one in each] == ["Bearer access-1"] * 2
    assert [one.spent for one in each] == [["first"], []]


def test_a_store_has_a_record_for_each_origin() -> None:
    """Two sources without a ``store_key`` own the records of two origins in one store."""
    store = MemoryStore()
    for origin in (ONE, OTHER):
        assert called(chosen(Custom(), origin, store=store), origin) == "Bearer access-1"
        assert store.read(origin) is not None


def test_a_store_without_owner() -> None:
    """The owner of a record is forgotten with the store, whose address another store may get."""
    for _ in range(20):
        assert called(chosen(Custom(), store=MemoryStore())) == "Bearer access-1"
        gc.collect()


class Late:
    """An object that needs an adapter with a token when it is collected, to say that it ends."""

    def __del__(self) -> None:
        AuthRetryAdapter(chosen(Custom()))


class Dropping(Custom):
    """A source that leaves something to be collected whenever it is asked who it is."""

    @property
    def family(self) -> str:
        """A name."""
        Late()
        return "mine"


@pytest.mark.usefixtures("process")
def test_what_is_collected_meanwhile_may_make_settings() -> None:
    """Python may collect an object of the program in any line, and it may have a token source."""
    assert ended(lambda: called(chosen(Dropping(), store=MemoryStore()))) == "Bearer access-1"


def test_a_method_owns_a_record() -> None:
    """Each look at a method makes another object, and it is one source of a store all the same."""
    mine, store = Custom(), MemoryStore()
    carried = [called(chosen(mine.fetched, store=store)) for _ in range(2)]
    assert carried == ["Bearer access-1"] * 2


def test_one_login_in_two_sources() -> None:
    """A credential object that is wrapped twice is asked once; with other scopes it is asked again.

    An OAuth 2 session that is asked from two threads at once would spend one refresh token twice.
    """
    login = Azure()
    sources = [from_credentials(login, [scope]) for scope in ("a", "a", "b")]
    carried = [called(chosen(each)) for each in sources]
    assert carried == ["Bearer a-1", "Bearer a-1", "Bearer b-2"]
    store = MemoryStore()
    assert [called(chosen(each, store=store)) for each in sources[:2]] == ["Bearer a-3"] * 2


class Azure:
    """A credential object as azure-identity has them, which gives a new token each time."""

    calls = 0

    def get_token(self, scope: str, **_: object) -> Any:
        """A token with the name of the scope."""
        self.calls += 1
        return SimpleNamespace(token=f"{scope}-{self.calls}", expires_on=4_000_000_000)


class Slotted:
    """A source that takes no weak reference."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0

    def fetch(self, _: FetchContext) -> str:
        """Another token each time."""
        self.calls += 1
        return f"access-{self.calls}"


def test_a_source_without_weak_references() -> None:
    """A source of any class is known again."""
    mine = Slotted()
    assert [called(chosen(mine)) for _ in range(2)] == ["Bearer access-1"] * 2


def test_what_nobody_has_is_forgotten() -> None:
    """The tokens of a source go with the source."""
    known = len(families._of_objects)  # noqa: SLF001 (there is no public way to see it)
    for _ in range(3):
        assert called(chosen(Custom(place="here"))) == "Bearer access-1"
    gc.collect()
    assert len(families._of_objects) == known  # noqa: SLF001


def test_a_constant_is_not_remembered() -> None:
    """A token in the settings leaves nothing behind in this process."""
    known = len(families._of_objects)  # noqa: SLF001
    assert called(chosen("constant")) == "Bearer constant"
    assert len(families._of_objects) == known  # noqa: SLF001


@pytest.mark.parametrize("stores", ["one", "none and one"])
def test_a_nameless_source_does_not_begin_twice(stores: str) -> None:
    """Under two names in one store, or in memory and a store, it would spend its first token twice.

    With a ``store_key`` it has one record in the store.
    """
    store, mine = MemoryStore(), Custom()
    first = store if stores == "one" else None
    assert called(chosen(mine, store=first)) == "Bearer access-1"
    assert refused(chosen(mine, OTHER, store=store), OTHER) == (
        "no token from the token source: it gave a refresh token in this process that is kept in "
        "another store or under another name, and would spend its first one again: name one store "
        "in all settings that use it, and give it a store_key"
    )
    assert mine.spent == ["first"]
    named = Custom(store_key="mine")
    for origin in (ONE, OTHER):
        assert called(chosen(named, origin, store=store), origin) == "Bearer access-1"
    assert named.spent == ["first"]


def test_tokens_can_be_forgotten(server: Rotating) -> None:
    """For tests: as in a new process, an equal source begins with its first refresh token."""
    for _ in range(2):
        forget_tokens()
        server.spent.clear()
        assert called(chosen(source(server))) == "Bearer access-0"
        assert server.spent == ["first"]


# Records that cannot be read, and forks


RECORD = {"value": "a", "expires_at": 1.0, "refresh_token": "newest", "generation": 5}


@pytest.mark.parametrize(
    "record",
    [
        "{",
        "[]",
        "12.5",
        '{"value": 7}',
        {**RECORD, "expires_at": "soon"},
        {"value": "a", "expires_at": 1.0},
    ],
    ids=str,
)
def test_a_record_that_cannot_be_read_is_not_none(record: Any, server: Rotating) -> None:
    """Where a record does not tell the newest refresh token, the first one is not sent."""
    store, mine = MemoryStore(), source(server)
    store.write(mine.store_key, record if isinstance(record, str) else json.dumps(record))
    assert called(chosen(mine, store=store, clock=FakeClock())) is None
    assert server.spent == []


def test_unknown_fields_of_a_record_are_kept(server: Rotating) -> None:
    """The newest refresh token is used, and what a later release wrote beside it stays."""
    store, mine = MemoryStore(), source(server)
    store.write(mine.store_key, json.dumps({**RECORD, "issued_at": 0.5, "version": 9}))
    assert called(chosen(mine, store=store, clock=FakeClock())) == "Bearer access-0"
    assert server.spent == ["newest"]
    written = json.loads(str(store.read(mine.store_key)))
    assert (written["refresh_token"], written["issued_at"], written["version"]) == (
        "next-0",
        0.5,
        1,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_leaves_the_refresh_token_to_its_parent(server: Rotating, tmp_path: Path) -> None:
    """After a fork both hold one refresh token: the child spends it with a store for both alone."""
    clock = FakeClock()
    alone = chosen(source(server), clock=clock)
    store = FileStore(tmp_path / "tokens.json")
    together = chosen(source(server, "shared"), store=store, clock=clock)
    assert [called(alone), called(together)] == ["Bearer access-0", "Bearer access-1"]

    def later() -> str:
        first = called(alone)  # it is good still
        clock.advance(HOUR)
        return f"{first}, {called(alone)}, {called(together)}, {server.spent[2:]}"

    assert Child(later).answer() == "Bearer access-0, None, Bearer access-2, ['next-1']"
    clock.advance(HOUR)
    assert called(alone) == "Bearer access-2"
    assert called(together) == "Bearer access-2"
    assert server.spent == ["first", "shared", "next-0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_does_not_send_what_its_parent_is_sending() -> None:
    """A first refresh token that a thread of the parent sends at the fork counts as spent."""
    known = Families()

    def send() -> str:
        with pytest.raises(RefreshFailed) as refused, known.sending("digest", 0.0):
            pass
        return str(refused.value)

    with known.sending("digest", 0.0):
        child = Child(send)
    assert "was spent in this process" in child.answer()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_keeps_what_it_has_got_itself() -> None:
    """A source that signs in again in the child renews with its own refresh token from then on."""
    clock = FakeClock()
    mine = Custom(life=HOUR)
    alone = chosen(mine, clock=clock)
    for _ in range(2):
        assert called(alone) is not None
        clock.advance(HOUR)

    def later() -> str:
        mine.spent.clear()
        mine.blind.clear()
        for _ in range(3):
            called(alone)
            clock.advance(HOUR)
        return f"{', '.join(mine.spent)}; {mine.blind}"

    assert Child(later).answer() == "first, next-1, next-2; [True, False, False]"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_the_first_token_is_sent(server: Rotating) -> None:
    """The parent's thread goes on sending it, so that the child does not."""
    with families.sending("digest", 1.0):
        child = Child(lambda: str(list(families._spent)))  # noqa: SLF001 (no public way shows it)
        assert child.answer() == "['digest']"
    assert server.spent == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_of_a_server_that_does_not_rotate() -> None:
    """A refresh token that stays good serves parent and child."""
    clock, server = FakeClock(), Rotating(rotates=False)
    alone = chosen(source(server), clock=clock)
    assert called(alone) == "Bearer access-0"
    clock.advance(HOUR)
    assert Child(lambda: str(called(alone))).answer() == "Bearer access-1"
