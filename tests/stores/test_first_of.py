"""`FirstOf`: which store keeps a token, which token counts, and what is never sent twice."""

from __future__ import annotations

import json
import pickle
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import ConfigurationError, FileStore, FirstOf, MemoryStore, Token
from requests_authretry._core.token import TokenRecord
from requests_authretry.testing import FakeClock, SystemClock
from tests.support.renewals import HOUR, Desk, StrictServer
from tests.support.scripted import ORIGIN
from tests.support.stores import is_free

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


def record(number: int) -> str:
    """A token that is newer than those with lower numbers."""
    return TokenRecord(Token(f"access-{number}", refresh_token=f"refresh-{number}"), number).dump()


class Place(MemoryStore):
    """A store that may be missing, or fail.

    Attributes:
        failing: What fails: read, write, lock.
        is_missing: Whether it is not there, and never was.
        is_unused: Whether nothing was ever kept in it.
        locked: How often it was locked.
        name: What its errors begin with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()
        self.is_missing = self.is_unused = False
        self.locked = 0
        self.name = ""

    def read(self, key: str) -> str | None:
        """As in memory."""
        self._does("read")
        return super().read(key)

    def write(self, key: str, record: str) -> None:
        """As in memory."""
        self._does("write")
        super().write(key, record)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """As in memory."""
        self._does("lock")
        with super().lock(key, timeout):
            self.locked += 1
            yield

    def _does(self, what: str) -> None:
        if what in self.failing:
            raise OSError(f"{self.name} {what} failed".strip())

    def close(self) -> None:
        """Let everything fail from now on."""
        self.failing = {"read", "write", "lock"}

    def open(self) -> None:
        """Let it work again."""
        self.failing = set()

    @property
    def kept(self) -> str:
        """What is in it: the token, or that it is elsewhere."""
        text = MemoryStore.read(self, "key")
        if not text:
            return "nothing"
        return str(json.loads(text).get("value") or json.loads(text)["kind"])


@pytest.fixture
def first() -> Place:
    """The store that is preferred."""
    return Place()


@pytest.fixture
def second() -> Place:
    """The other one."""
    return Place()


@pytest.fixture
def store(first: Place, second: Place) -> FirstOf:
    """Both of them."""
    return FirstOf(first, second)


def test_the_first_store_keeps_the_token(store: FirstOf, first: Place, second: Place) -> None:
    """The second one gets a note without a secret, which says how new the token is."""
    store.write("key", record(1))
    assert (first.kept, second.kept) == ("access-1", "elsewhere")
    note = MemoryStore.read(second, "key")
    assert json.loads(str(note)) == {"kind": "elsewhere", "version": 1, "generation": 1}
    assert store.read("key") == record(1)


def test_a_missing_store_is_passed_over(store: FirstOf, first: Place, second: Place) -> None:
    """On a server without a keyring, all goes to the file, and nothing asks the keyring."""
    first.is_missing = True
    first.close()
    store.write("key", record(1))
    with store.lock("key", 1.0):
        assert store.read("key") == record(1)
    assert (second.kept, first.locked, second.locked) == ("access-1", 0, 1)


def test_a_store_that_appears_later_has_the_older_token(
    store: FirstOf, first: Place, second: Place
) -> None:
    """What was written to the file is found; the next token goes to the keyring."""
    first.is_missing = True
    store.write("key", record(1))
    first.is_missing = False
    assert store.read("key") == record(1)
    store.write("key", record(2))
    assert (first.kept, second.kept, store.read("key")) == ("access-2", "elsewhere", record(2))


def test_a_store_that_is_gone_makes_the_read_fail(store: FirstOf, first: Place) -> None:
    """The note is newer than all that is found: an old refresh token would be sent again."""
    store.write("key", record(1))
    first.is_missing = True
    with pytest.raises(OSError, match="kept in another of the stores"):
        store.read("key")


def test_a_store_that_lost_its_token_makes_the_read_fail(store: FirstOf, first: Place) -> None:
    """As when its folder was on a disk that is not mounted now: a note, and no token."""
    store.write("key", record(1))
    MemoryStore.write(first, "key", "")
    with pytest.raises(OSError, match="has lost it"):
        store.read("key")


def test_a_store_that_cannot_be_read_makes_the_read_fail(
    store: FirstOf, first: Place, second: Place
) -> None:
    """It may hold a newer token than the one in the second store."""
    MemoryStore.write(second, "key", record(1))
    first.close()
    with pytest.raises(OSError, match="read failed"):
        store.read("key")


def test_a_store_in_which_nothing_was_ever_kept_may_stay_closed(
    store: FirstOf, first: Place
) -> None:
    """A keyring that nobody ever opened: the file has all there is, and no note opens it."""
    first.is_unused = True
    first.close()
    store.write("key", record(1))
    with store.lock("key", 1.0):
        assert store.read("key") == record(1)


def test_a_store_that_is_unused_gets_no_note(store: FirstOf, first: Place, second: Place) -> None:
    """It would be used then, and may not stay closed any more."""
    second.is_unused = True
    store.write("key", record(1))
    assert (first.kept, second.kept) == ("access-1", "nothing")


def test_a_lock_that_another_holds_counts_in_an_unused_store(store: FirstOf, first: Place) -> None:
    """Another process is about to use it: this one waits, and goes on with no other lock."""
    first.is_unused = True
    with first.lock("key", 1.0):
        assert not is_free(store)


def test_the_locks_share_one_time_limit(
    store: FirstOf, second: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second that the first lock took is not there for the other one."""
    seconds = iter([100.0, 100.0, 101.0])
    monkeypatch.setattr(SystemClock, "monotonic", lambda _: next(seconds))
    given: list[float] = []
    lock = second.lock

    def watched(key: str, timeout: float) -> AbstractContextManager[None]:
        given.append(timeout)
        return lock(key, timeout)

    monkeypatch.setattr(second, "lock", watched)
    with store.lock("key", 60.0):
        assert given == [59.0]


def test_a_token_that_the_first_store_does_not_take(
    store: FirstOf, first: Place, second: Place
) -> None:
    """Too long for a keyring: the newest token is in the file, the old one is no longer used."""
    store.write("key", record(1))
    first.failing = {"write"}
    store.write("key", record(2))
    assert (first.kept, second.kept, store.read("key")) == ("access-1", "access-2", record(2))
    first.open()
    store.write("key", record(3))
    assert (first.kept, second.kept, store.read("key")) == ("access-3", "elsewhere", record(3))


def test_a_token_that_no_store_takes(store: FirstOf, first: Place, second: Place) -> None:
    """The error is the one of the first store, and what was there is there."""
    store.write("key", record(1))
    first.failing = second.failing = {"write"}
    second.name = "the second one's"
    with pytest.raises(OSError, match=r"^write failed"):
        store.write("key", record(2))
    assert store.read("key") == record(1)


def test_a_note_that_cannot_be_written_is_no_matter(
    store: FirstOf, first: Place, second: Place
) -> None:
    """The token is kept; the older one in the second store counts less."""
    MemoryStore.write(second, "key", record(1))
    second.failing = {"write"}
    store.write("key", record(2))
    assert (first.kept, store.read("key")) == ("access-2", record(2))


def test_an_empty_record_empties_all(store: FirstOf, first: Place, second: Place) -> None:
    """After a sign-out neither token nor note is left; a store that keeps one is an error."""
    store.write("key", record(1))
    store.write("key", "")
    assert (first.kept, second.kept, store.read("key") or None) == ("nothing", "nothing", None)
    store.write("key", record(2))
    second.failing = {"write"}
    with pytest.raises(OSError, match="write failed"):
        store.write("key", "")


@pytest.mark.parametrize("odd", ["{", "[]", '{"value": 3}', '["elsewhere"]'])
def test_a_record_that_cannot_be_read_counts_as_the_newest(
    store: FirstOf, second: Place, odd: str
) -> None:
    """It may be one of a later release: the older token beside it is not used."""
    store.write("key", record(1))
    MemoryStore.write(second, "key", odd)
    assert store.read("key") == odd


@pytest.mark.parametrize(
    "odd",
    [
        '{"kind": "elsewhere"}',
        '{"kind": "elsewhere", "generation": []}',
        f'{{"kind": "elsewhere", "generation": 1{"0" * 400}}}',
    ],
)
def test_a_note_of_a_later_release_counts_as_the_newest(
    store: FirstOf, second: Place, odd: str
) -> None:
    """Whatever it says, the token is in another store."""
    store.write("key", record(1))
    MemoryStore.write(second, "key", odd)
    with pytest.raises(OSError, match="kept in another of the stores"):
        store.read("key")


def test_the_lock_is_one_lock(store: FirstOf, first: Place, second: Place) -> None:
    """Who sees one of the stores alone is excluded, whichever it is."""
    with store.lock("key", 1.0):
        assert not is_free(first)
        assert not is_free(second)
        assert not is_free(store)
    for place in (first, second):
        with place.lock("key", 1.0):
            assert not is_free(store)
    assert is_free(store)


def test_a_store_that_cannot_be_locked_makes_the_lock_fail(
    store: FirstOf, first: Place, second: Place
) -> None:
    """Another process may hold the lock of that very store; the other one is given back."""
    second.failing = {"lock"}
    with pytest.raises(OSError, match="lock failed"):
        store.lock("key", 1.0).__enter__()
    assert is_free(first)


def test_where_all_are_missing_the_last_one_stands_in(
    store: FirstOf, first: Place, second: Place
) -> None:
    """It says what it does then, as `KeyringStore` warns."""
    first.is_missing = second.is_missing = True
    store.write("key", record(1))
    assert (second.kept, store.is_missing, store.is_unused) == ("access-1", True, False)


def test_limits_are_shared_through_the_first_store_that_can(tmp_path: Path) -> None:
    """A keyring cannot; where none can, each process keeps its own pace."""
    clock = FakeClock()
    file = FileStore(tmp_path / "token.json", clock)

    class Keyring(Place):
        take = keep = property()  # it has none

    store = FirstOf(Keyring(), file)
    assert store.push("key", 60.0) == file.push("key", 0.0) == 60.0
    assert [store.take("key", 1.0, 1.0, 1), file.take("key", 1.0, 1.0, 1)] == [0.0, 1.0]
    assert hasattr(store, "reserve")
    assert not hasattr(FirstOf(Keyring(), Keyring()), "take")
    assert not hasattr(store, "another")


def test_how_it_is_shown_pickled_and_told_from_others(tmp_path: Path) -> None:
    """It shows its stores, and has a place if all of them have one."""
    one, two = FileStore(tmp_path / "1"), FileStore(tmp_path / "2")
    store = FirstOf(one, two)
    assert repr(store) == f"FirstOf({one!r}, {two!r})"
    assert store.place == ("first of", one.place, two.place)
    assert FirstOf(one, MemoryStore()).place is None
    assert pickle.loads(pickle.dumps(store)).place == store.place  # noqa: S301 (our own)


@pytest.mark.parametrize(
    ("stores", "fault"),
    [
        ((), "two stores or more"),
        ((MemoryStore(),), "two stores or more"),
        ((MemoryStore(), MemoryStore), "store 2 is the class MemoryStore"),
        (("token.json", MemoryStore()), "store 1 must be a store, not str"),
    ],
)
def test_what_is_no_list_of_stores(stores: Any, fault: str) -> None:
    """The fault is named with its place."""
    with pytest.raises(ConfigurationError, match=fault):
        FirstOf(*stores)


@pytest.mark.parametrize("gone", ["missing", "closed"])
def test_no_refresh_token_is_sent_twice(gone: str) -> None:
    """A desktop renews with the keyring; then cron, without it, asks nobody with the old token."""
    server = StrictServer()
    keyring, file = Place(), Place()
    keyring.is_missing = True
    desktop = Desk(server, server.clock, store=FirstOf(keyring, file))
    assert desktop.value() == "access-1"
    keyring.is_missing = False
    server.clock.advance(HOUR)
    assert desktop.value() == "access-2"
    if gone == "missing":
        keyring.is_missing = True
    else:
        keyring.close()
    cron = FirstOf(keyring, file)
    with pytest.raises(OSError, match=r"read failed|kept in another"):
        cron.read(ORIGIN)
    server.clock.advance(HOUR)
    keyring.open()
    keyring.is_missing = False
    assert desktop.value() == "access-3"
    assert server.reused == []
