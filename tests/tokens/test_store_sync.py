"""One refresh token, many who share it: each is spent once, and the newest is never lost."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as checked
from hypothesis import strategies as st

from requests_authretry import (
    FetchContext,
    FileStore,
    FirstOf,
    MemoryStore,
    Reason,
    RefreshFailed,
    Settings,
    Store,
    StoreFailed,
    Token,
    TokenRefreshed,
)
from requests_authretry._tokens import store_sync
from requests_authretry._tokens.store_sync import RELOCK_SECONDS
from requests_authretry.testing import FakeClock, forget_tokens
from tests.call.test_lifecycle import Child
from tests.support.renewals import (
    DOWN,
    HOUR,
    PATIENCE,
    SPENT,
    Desk,
    Drawn,
    Flaky,
    Issuer,
    Stepped,
    StrictServer,
    all_end,
    ends,
    in_vain,
    no_thread,
)
from tests.support.scripted import ORIGIN, URL, Source, scripted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EARLY, LATE = HOUR - 900.0, HOUR - 60.0


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when it is told to."""
    return FakeClock(random=Drawn())


@pytest.fixture
def issuer(clock: FakeClock) -> Issuer:
    """A source whose tokens are good for an hour."""
    return Issuer(clock)


@pytest.fixture
def store() -> Flaky:
    """A store that several share, and that can fail."""
    return Flaky()


@pytest.fixture
def desk(issuer: Issuer, clock: FakeClock, store: Flaky) -> Desk:
    """A process that has its first token, and has kept it."""
    begun = Desk(issuer, clock, store=store)
    begun.token()
    assert issuer.has_begun()
    return begun


@pytest.fixture
def other(issuer: Issuer, clock: FakeClock, store: Flaky) -> Desk:
    """Another process on the same store, which has no token yet."""
    return Desk(issuer, clock, store=store)


def elsewhere(clock: FakeClock, name: str = "theirs", life: float = HOUR) -> Token:
    """A token that a process on another machine was given now."""
    return Token(name, clock.time() + life, refresh_token=f"refresh-{name}")


def generation(store: Flaky) -> int:
    """That of the token in the store."""
    kept = store.kept()
    assert kept is not None
    return kept[1]


# The recipe


def test_the_store_is_read_inside_its_lock(desk: Desk, store: Flaky, issuer: Issuer) -> None:
    """Lock, read, ask, write, give the lock back: in this order."""
    old = desk.token()
    store.done.clear()
    with issuer.hanging():
        with suppress(RefreshFailed):
            desk.renewed(old, 0.0)
        assert issuer.has_begun()
        assert store.done == ["lock", "read"]
    desk.settle()
    assert store.done == ["lock", "read", "write", "release"]


def test_a_record_is_named_by_its_origins(issuer: Issuer, clock: FakeClock, store: Flaky) -> None:
    """Without a ``store_key`` the name is the sorted origins, whatever order they are given in."""
    origins = ["https://b.example.com", "https://a.example.com"]
    session, _ = scripted(Settings(token=issuer, origins=origins, clock=clock, store=store), 200)
    session.get(origins[0])
    assert store.inner.read("https://a.example.com https://b.example.com") is not None


@pytest.mark.parametrize("moment", [EARLY, LATE, HOUR])
def test_what_another_has_fetched_is_adopted(
    desk: Desk, other: Desk, issuer: Issuer, clock: FakeClock, moment: float
) -> None:
    """Early, late or over: the second to renew finds what the first has fetched."""
    assert other.value() == "access-1"
    clock.advance(moment)
    for each in (desk, other):
        each.token()
        each.settle()
        assert each.value() == "access-2"
    assert issuer.calls == 2
    assert [event.adopted for event in desk.told(TokenRefreshed)] == [False, False]
    assert [event.adopted for event in other.told(TokenRefreshed)] == [True, True]


def test_what_another_has_fetched_answers_a_401(desk: Desk, other: Desk, issuer: Issuer) -> None:
    """A token that was refused is replaced by what is in the store, if that is another one."""
    old = other.token()
    new = desk.renewed(old)
    assert other.renewed(old) == new
    assert issuer.calls == 2


def test_the_newest_refresh_token_is_spent(
    desk: Desk, store: Flaky, issuer: Issuer, clock: FakeClock
) -> None:
    """Where the store has a newer token that is over as well, its refresh token is the good one."""
    clock.advance(HOUR)
    store.put(elsewhere(clock, life=-1), generation(store) + 1)
    assert desk.value() == "access-2"
    assert issuer.spent == [None, "refresh-theirs"]


@pytest.mark.parametrize("why", ["early", "late", "refused"])
def test_the_same_token_with_another_refresh_token(
    desk: Desk, store: Flaky, issuer: Issuer, why: str
) -> None:
    """What counts is kept even where the access token is the old one."""
    old, clock = desk.token(), desk.clock
    issuer.given = Token(old.value, old.expires_at, refresh_token="refresh-2")
    if why == "refused":
        assert desk.renewed(old) is Reason.UNCHANGED
    else:
        clock.advance(EARLY if why == "early" else LATE)
        assert desk.value() == "access-1"
        desk.settle()
    kept = store.inner.read(ORIGIN)
    assert kept is not None
    assert "refresh-2" in kept
    issuer.given = ()
    clock.advance(HOUR)
    assert desk.value() == "access-3"
    assert issuer.spent[-1] == "refresh-2"


def test_a_refused_token_does_not_come_back(
    desk: Desk, store: Flaky, issuer: Issuer, clock: FakeClock
) -> None:
    """Where the store has a newer one that is over, a source that gives the old one is no help."""
    old = desk.token()
    store.put(elsewhere(clock, life=-1), generation(store) + 1)
    issuer.given = Token(old.value, old.expires_at, refresh_token="refresh-2")
    assert desk.renewed(old) is Reason.UNCHANGED
    kept = store.kept()
    assert kept is not None
    assert kept[0] == "theirs"


def test_a_token_that_is_over_does_not_come_back(
    desk: Desk, store: Flaky, issuer: Issuer, clock: FakeClock
) -> None:
    """Where the store has a newer one that is over, a source that gives that one is no help."""
    old, over = desk.token(), elsewhere(clock, life=-1)
    store.put(over, generation(store) + 1)
    issuer.given = over
    assert desk.renewed(old) is Reason.UNCHANGED
    assert store.kept() == ("theirs", generation(store))


def test_generations_grow(desk: Desk, store: Flaky, clock: FakeClock) -> None:
    """The later token has the higher number; two in one millisecond, or after a jump back, too."""
    seen = [generation(store)]
    assert seen[0] == int(clock.time() * 1000)
    for jump in (0.0, 10.0, -3000.0, 10.0):
        clock.advance(jump)
        desk.renewed(desk.token())
        seen.append(generation(store))
    assert seen == sorted(set(seen))
    assert seen[1] == seen[0] + 1


@pytest.mark.parametrize("lost", ["rolled back", "emptied", "torn"])
@pytest.mark.parametrize("moment", [0.0, EARLY, LATE, HOUR])
def test_a_store_that_lost_our_token_gets_it_again(
    desk: Desk, store: Flaky, issuer: Issuer, lost: str, moment: float
) -> None:
    """An older token in the store, or none, is never believed: ours is put back and goes on."""
    before = elsewhere(desk.clock, "before")
    if lost == "rolled back":
        store.put(before, generation(store) - 1)
    else:
        store.inner.write(ORIGIN, '{"value": "torn' if lost == "torn" else "")
    old = desk.token()
    desk.clock.advance(moment)
    issuer.given = DOWN
    with suppress(RefreshFailed):
        desk.token() if moment else desk.renewed(old)
    desk.settle()
    assert issuer.spent == [None, "refresh-1"]
    kept = store.kept()
    assert kept is not None
    assert kept[0] == "access-1"


def test_a_new_sign_in_wins(desk: Desk, store: Flaky, issuer: Issuer, clock: FakeClock) -> None:
    """Where the store was emptied and somebody signed in anew, the dead token does not win."""
    desk.renewed(desk.token())
    clock.advance(HOUR)
    issuer.given = SPENT
    with pytest.raises(RefreshFailed):
        desk.token()
    store.inner.write(ORIGIN, "")
    clock.advance(5)
    issuer.given = ()
    forget_tokens()  # it is another process
    new = Desk(issuer, clock, store=store)
    assert new.value() == "access-4"
    assert issuer.spent[-1] is None
    clock.advance(60)
    assert desk.value() == "access-4"
    assert store.kept() == ("access-4", generation(store))
    clock.advance(HOUR)
    assert [new.value(), desk.value()] == ["access-5"] * 2
    assert issuer.spent[-1] == "refresh-4"


def test_a_file_is_as_good(tmp_path: Path, issuer: Issuer, clock: FakeClock) -> None:
    """Two processes on one file spend one refresh token; a torn file is written again."""
    path = tmp_path / "tokens.json"
    desks = [Desk(issuer, clock, store=FileStore(path)) for _ in range(2)]
    assert [each.value() for each in desks] == ["access-1"] * 2
    clock.advance(HOUR)
    assert [each.value() for each in reversed(desks)] == ["access-2"] * 2
    path.write_bytes(path.read_bytes()[:40])
    clock.advance(LATE)
    assert [each.value() for each in desks] == ["access-3"] * 2
    assert issuer.spent == [None, "refresh-1", "refresh-2"]


# A refresh token that was spent in spite of the lock


class Overtaken(Issuer):
    """A source whose refresh token was spent by another, whose token comes into the store then."""

    store: Flaky
    after: float

    def fetch(self, context: FetchContext) -> Any:
        """The first token as ever."""
        if self.calls == 0:
            return super().fetch(context)
        self.contexts.append(context)
        if self.after == 0.0:
            self.arrives()
        raise SPENT

    def arrives(self) -> None:
        """The other one's token."""
        kept = self.store.kept()
        assert kept is not None
        self.store.put(elsewhere(self.clock), kept[1] + 1)


class Waiting(FakeClock):
    """A clock that calls back when somebody waits for time to pass."""

    def __init__(self) -> None:
        super().__init__(random=Drawn())
        self.calls: list[Callable[[], None]] = []

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """As ever."""
        super().sleep(seconds, wake)
        if wake is None and self.calls:
            self.calls.pop()()


@pytest.mark.parametrize(
    ("after", "waits"), [(0.0, []), (1.0, [1.0])], ids=["at once", "within a second"]
)
@pytest.mark.parametrize("moment", [0.0, LATE, HOUR])
def test_the_token_of_another_process_is_adopted(
    store: Flaky, after: float, waits: list[float], moment: float
) -> None:
    """After ``invalid_grant`` the store is read again, at once and after a second."""
    clock = Waiting()
    source = Overtaken(clock)
    source.store, source.after = store, after
    desk = Desk(source, clock, store=store)
    old = desk.token()
    clock.advance(moment)
    clock.calls = [source.arrives] if after else []
    result = desk.token() if moment else desk.renewed(old)
    assert isinstance(result, Token)
    assert result.value == "theirs"
    assert clock.sleeps == waits
    assert source.calls == 2
    assert [event.adopted for event in desk.told(TokenRefreshed)] == [False, True]


class Missing(MemoryStore):
    """A store that is not there, as a keyring on a server: memory stands in for it."""

    is_missing = True


@pytest.mark.parametrize(
    ("store", "waits"),
    [
        (None, []),
        (MemoryStore(), []),
        (FirstOf(Missing(), Missing()), []),
        (FirstOf(Missing(), MemoryStore()), [1.0]),
        (Flaky(), [1.0]),
    ],
    ids=["none", "memory", "missing", "first of", "shared"],
)
def test_a_sibling_is_waited_for_only_where_a_store_is_shared(
    store: Store | None, waits: list[float]
) -> None:
    """After ``invalid_grant``, no process can have another token where no store is named."""
    clock = FakeClock(random=Drawn())
    issuer = Issuer(clock)
    desk = Desk(issuer, clock, store=store)
    old = desk.token()
    issuer.given = SPENT
    with pytest.raises(RefreshFailed, match="not good"):
        desk.renewed(old)
    assert clock.sleeps == waits


class Looking(Issuer):
    """A source that looks for the token of another, twice, before it renews a refused one."""

    def __init__(self, clock: FakeClock, store: Flaky) -> None:
        super().__init__(clock)
        self._store = store
        self.found: list[Token | None] = []

    def fetch(self, context: FetchContext) -> Any:
        """Look before and after the other one's token arrives."""
        if context.refused:
            self.found.append(context.sibling())
            self._store.put(elsewhere(self.clock), generation(self._store) + 1)
            self.found.append(context.sibling())
        return super().fetch(context)


def test_a_source_may_look_for_the_token_of_another(clock: FakeClock, store: Flaky) -> None:
    """`FetchContext.sibling` gives no token that the source was told of, only another's."""
    source = Looking(clock, store)
    desk = Desk(source, clock, store=store)
    desk.renewed(desk.token())
    assert [None if each is None else each.value for each in source.found] == [None, "theirs"]
    assert clock.sleeps == [1.0]


def test_a_refused_token_whose_refresh_token_was_spent(desk: Desk, issuer: Issuer) -> None:
    """After ``invalid_grant`` the refused token in the store is no other process's token."""
    old = desk.token()
    issuer.given = SPENT
    with pytest.raises(RefreshFailed, match="not good"):
        desk.renewed(old)


def test_a_session_that_is_over(desk: Desk, store: Flaky, issuer: Issuer, clock: FakeClock) -> None:
    """Where nobody else has a token, the caller is told what the server said; nothing is lost."""
    clock.advance(HOUR)
    issuer.given = SPENT
    kept = store.kept()
    with pytest.raises(RefreshFailed, match="not good") as caught:
        desk.token()
    assert caught.value.error == "invalid_grant"
    assert clock.sleeps == [1.0]
    assert (issuer.calls, store.kept()) == (2, kept)


@pytest.mark.parametrize("code", [None, "invalid_client", "temporarily_unavailable"])
def test_other_failures_do_not_read_the_store_again(
    desk: Desk, store: Flaky, issuer: Issuer, clock: FakeClock, code: str | None
) -> None:
    """Only ``invalid_grant`` says that the refresh token may have been spent."""
    clock.advance(HOUR)
    issuer.given = RefreshFailed("no", error=code)
    store.done.clear()
    with pytest.raises(RefreshFailed):
        desk.token()
    assert (store.done, clock.sleeps) == (["lock", "read", "release"], [])


# Stores that fail


def test_a_token_that_is_not_kept_is_kept_soon(
    issuer: Issuer, clock: FakeClock, store: Flaky
) -> None:
    """A write that fails costs no call; it is made up for in the background, without the source."""
    store.failing = {"write"}
    desk = Desk(issuer, clock, store=store)
    assert desk.value() == "access-1"
    assert desk.told(StoreFailed) == [StoreFailed(ORIGIN, "write", "OSError")]
    store.failing = set()
    clock.advance(0.4)
    assert desk.value() == "access-1"
    assert desk.renewal is None
    clock.advance(0.1)
    assert desk.value() == "access-1"
    desk.settle()
    kept = store.kept()
    assert kept is not None
    assert kept[0] == "access-1"
    store.done.clear()
    clock.advance(EARLY - 1)
    assert desk.value() == "access-1"
    assert (issuer.calls, store.done) == (1, [])
    assert len(desk.told(TokenRefreshed)) == 1
    clock.advance(1)
    desk.token()
    desk.settle()
    assert desk.value() == "access-2"


@pytest.mark.parametrize("life", [HOUR, None], ids=["an hour", "no end"])
def test_a_session_makes_up_for_a_write(clock: FakeClock, store: Flaky, life: float | None) -> None:
    """Calls of a session, too, see to it, whether the token has an end or not."""
    store.failing = {"write"}
    issuer = Issuer(clock, life)
    desk = Desk(issuer, clock, store=store)
    session, _ = scripted(desk.settings, *[200] * 4)
    session.get(URL)
    store.failing = set()
    clock.advance(10)
    session.get(URL)
    desk.settle()
    assert store.kept() is not None
    clock.advance(100)
    session.get(URL)
    assert (desk.renewal, issuer.calls) == (None, 1)


def test_a_token_that_is_not_kept_gives_way(issuer: Issuer, clock: FakeClock, store: Flaky) -> None:
    """Where another has a newer token nothing is to be made up for; that one is renewed early."""
    store.failing = {"write"}
    desk = Desk(issuer, clock, store=store)
    desk.token()
    store.failing = set()
    clock.advance(1)
    newer = elsewhere(clock)
    store.put(newer, int(clock.time() * 1000))
    desk.token()
    desk.settle()
    assert desk.token() == newer
    clock.advance(EARLY)
    desk.token()
    desk.settle()
    assert desk.value() == "access-2"
    assert issuer.spent == [None, "refresh-theirs"]


@pytest.mark.parametrize("what", ["write", "read", "lock"])
def test_a_store_that_stays_broken(
    issuer: Issuer, clock: FakeClock, store: Flaky, what: str
) -> None:
    """For half an hour nothing can be kept: one token request, and few looks at the store."""
    store.failing = {what, "write"}
    desk = Desk(issuer, clock, store=store)
    for _ in range(1800):
        assert desk.value() == "access-1"
        desk.settle()
        clock.advance(1)
    assert issuer.calls == 1
    assert 100 < store.done.count("lock") < 140


class ForeignError(OSError):
    """An error of the library of a store."""


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError("out of reach"), "out of reach"), (ForeignError("secret"), "ForeignError")],
)
def test_a_store_that_fails_is_logged(
    issuer: Issuer, clock: FakeClock, error: OSError, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning says what failed: Python's words, of other errors only their kind."""
    store = Flaky(error=error)
    store.failing = {"write"}
    Desk(issuer, clock, store=store).token()
    told = f"a token is in memory only: the write of its store failed: {said}"
    assert told in caplog.messages
    assert "secret" not in caplog.text


def test_a_torn_record_is_told_of(
    issuer: Issuer, clock: FakeClock, store: Flaky, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has no newer token says so: the log has the way out, and listeners the kind of error."""
    store.inner.write(ORIGIN, "{")
    desk = Desk(issuer, clock, store=store)
    desk.token()
    assert desk.told(StoreFailed) == [StoreFailed(ORIGIN, "read", "UnreadableRecordError")]
    told = (
        "a token is in memory only: the read of its store failed: the record is torn, or something "
        "else wrote it: remove it from the store, and sign in again where you have to"
    )
    assert told in caplog.messages


def test_nothing_early_without_the_lock(clock: FakeClock, store: Flaky) -> None:
    """A source without refresh tokens is not asked early either, by each that waits for a lock."""
    source = Source(*(Token(f"access-{n}", clock.time() + n * HOUR) for n in (1, 2)))
    desk = Desk(source, clock, store=store)
    desk.token()
    store.failing = {"lock"}
    clock.advance(EARLY)
    desk.token()
    desk.settle()
    assert (desk.value(), source.calls, clock.sleeps) == ("access-1", 1, [])


@pytest.mark.parametrize("what", ["lock", "read", "write"])
def test_nothing_early_without_the_store(
    desk: Desk, other: Desk, store: Flaky, issuer: Issuer, what: str
) -> None:
    """Where others cannot be asked or told, a token that is good still is kept.

    The store is tried again, as a source would be; when it is back, one fetches, one adopts.
    """
    other.token()
    store.failing = {what}
    desk.clock.advance(EARLY)
    for _ in range(100):
        for each in (desk, other):
            assert each.value() == "access-1"
            each.settle()
        desk.clock.advance(1)
    assert issuer.calls == 1
    assert [event.doing for event in desk.told(StoreFailed)] == [what] * 4
    store.failing = set()
    desk.clock.advance(60)
    for each in (desk, other):
        each.token()
        each.settle()
        assert each.value() == "access-2"
    assert issuer.calls == 2


@pytest.mark.parametrize("broken", [["read"], ["lock", "read"]], ids=" ".join)
@pytest.mark.parametrize("moment", [0.0, LATE, HOUR])
def test_in_need_it_goes_without_the_store(
    desk: Desk, store: Flaky, issuer: Issuer, moment: float, broken: list[str]
) -> None:
    """Who needs a token gets one, with what this process has in memory; an event says so."""
    desk.renewed(desk.token())
    old = desk.token()
    desk.clock.advance(moment)
    store.failing = {*broken, "write"}
    result = desk.token() if moment else desk.renewed(old)
    assert isinstance(result, Token)
    assert result.value == "access-3"
    assert [event.doing for event in desk.told(StoreFailed)] == [*broken, "write"]
    assert issuer.spent == [None, "refresh-1", "refresh-2"]


@pytest.mark.parametrize(("what", "moment"), [("lock", HOUR), ("lock", 0.0), ("write", EARLY)])
def test_what_is_not_spent_needs_no_store(
    clock: FakeClock, store: Flaky, what: str, moment: float
) -> None:
    """A source without refresh tokens may be asked twice: a store that fails keeps nobody."""
    source = Source(*(Token(f"access-{n}", clock.time() + n * HOUR) for n in (1, 2)))
    desk = Desk(source, clock, store=store)
    old = desk.token()
    store.failing = {what}
    clock.advance(moment)
    if moment:
        desk.token()
        desk.settle()
    else:
        desk.renewed(old)
    assert desk.value() == "access-2"
    assert {event.doing for event in desk.told(StoreFailed)} == {what}


@pytest.mark.parametrize("moment", [0.0, LATE, HOUR])
def test_a_shared_refresh_token_is_not_spent_without_the_lock(
    desk: Desk, store: Flaky, issuer: Issuer, moment: float
) -> None:
    """Who can read what others read, and cannot lock it, would spend it behind their backs."""
    old = desk.token()
    desk.clock.advance(moment)
    store.failing = {"lock"}
    if moment == LATE:
        assert desk.value() == "access-1"
    else:
        with pytest.raises(RefreshFailed, match="behind the backs"):
            desk.token() if moment else desk.renewed(old)
    assert issuer.spent == [None]
    store.failing = set()
    desk.clock.advance(200)
    assert desk.renewed(old).value == "access-2"


def test_a_blip_of_the_lock_is_waited_out(
    desk: Desk, store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that cannot be locked for a moment is asked again before anything is sent."""
    old = desk.token()
    store.failing = {"lock"}
    real, waits = desk.clock.sleep, list[float]()

    def sleep(seconds: float, wake: threading.Event | None = None) -> None:
        if wake is None and seconds == RELOCK_SECONDS / 5:  # the caller of the renewal has one
            waits.append(seconds)
            store.failing = set()
        real(seconds, wake)

    monkeypatch.setattr(desk.clock, "sleep", sleep)
    assert desk.renewed(old).value == "access-2"
    assert len(waits) == 1
    assert desk.told(StoreFailed) == []


def test_a_lock_is_asked_for_during_five_seconds(desk: Desk, store: Flaky) -> None:
    """A store that cannot be locked is asked once a second, then the renewal goes on without it."""
    store.failing = {"lock"}
    store.done.clear()
    with pytest.raises(RefreshFailed, match="behind the backs"):
        desk.renewed(desk.token())
    assert desk.clock.sleeps == [1.0] * 5
    assert store.done == ["lock"] * 6 + ["read"]


def test_a_source_is_told_that_it_is_blind(issuer: Issuer, clock: FakeClock, store: Flaky) -> None:
    """Where the store cannot be read, a newer token may be there: the source knows that."""
    desk = Desk(issuer, clock, store=store)
    store.failing = {"lock", "write"}
    first = desk.token()
    store.failing = {"read"}
    desk.renewed(first)
    store.failing = {"write"}
    desk.renewed(desk.token())
    assert [context.blind for context in issuer.contexts] == [True, True, False]


def test_the_newest_in_memory_is_spent(desk: Desk, store: Flaky, issuer: Issuer) -> None:
    """A late refusal of an older token, the store out of reach: no refresh token comes twice."""
    old = desk.token()
    desk.renewed(old)
    desk.clock.advance(HOUR)
    store.failing = {"read"}
    desk.renewed(old)
    assert issuer.spent == [None, "refresh-1", "refresh-2"]


def test_a_lock_that_is_not_given_back(issuer: Issuer, clock: FakeClock, store: Flaky) -> None:
    """What goes wrong when all is done takes nothing away."""
    store.failing = {"release"}
    desk = Desk(issuer, clock, store=store)
    assert desk.value() == "access-1"
    assert store.kept() == ("access-1", generation(store))
    assert desk.told(StoreFailed) == [StoreFailed(ORIGIN, "lock", "OSError")]
    issuer.given = DOWN
    with pytest.raises(RefreshFailed, match="down"):
        desk.renewed(desk.token())


# Locks that others hold


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a lock gives up soon, so that these tests need no minute."""
    monkeypatch.setattr(store_sync, "LOCK_SECONDS", 0.05)


@pytest.mark.usefixtures("hasty")
def test_another_that_renews_for_long(
    desk: Desk, store: Flaky, issuer: Issuer, clock: FakeClock
) -> None:
    """Who waits in vain for another's renewal asks nobody and writes nothing.

    A token that is good still is used.
    """
    with store.inner.lock(ORIGIN, 0.0):
        clock.advance(EARLY)
        assert desk.value() == "access-1"
        desk.settle()
        clock.advance(LATE - EARLY)
        assert desk.value() == "access-1"
        clock.advance(60)
        store.inner.write(ORIGIN, "")
        with pytest.raises(RefreshFailed, match="locked by another"):
            desk.token()
        assert store.kept() is None
    assert issuer.calls == 1
    clock.advance(10)
    assert desk.value() == "access-2"


@pytest.mark.usefixtures("hasty")
def test_a_lock_of_another_that_has_renewed(desk: Desk, store: Flaky) -> None:
    """While it stays locked the store is read: a refused token in it is no help, another one is."""
    old = desk.token()
    with store.inner.lock(ORIGIN, 0.0):
        with pytest.raises(RefreshFailed) as failed:
            desk.renewed(old)
        assert str(failed.value) == (
            "no token from the token source: its store stayed locked by another"
        )
        theirs = elsewhere(desk.clock)
        store.put(theirs, generation(store) + 1)
        desk.clock.advance(HOUR / 2)
        assert desk.renewed(old) == theirs
    assert [event.adopted for event in desk.told(TokenRefreshed)] == [False, True]


@pytest.mark.usefixtures("hasty")
def test_who_waits_for_what_hung_gets_the_newest_token(store: Flaky) -> None:
    """A renewal that ends after the one that was begun beside it gives its callers that token."""
    clock = Stepped()
    issuer = Issuer(clock)
    desk = Desk(issuer, clock, store=store)
    with ThreadPoolExecutor(2) as callers:
        with issuer.hanging():
            hasty = callers.submit(desk.token, 10.0)
            assert clock.somebody_waits()
            patient = callers.submit(desk.token, 200.0)
            assert clock.somebody_waits()
            assert issuer.has_begun()
            clock.advance(61)
            assert hasty.exception(PATIENCE) is not None
            with issuer.answering():
                assert desk.value() == "access-2"
        assert patient.result(PATIENCE).value == "access-2"


@pytest.mark.usefixtures("hasty")
def test_our_own_lock_is_passed_by(
    desk: Desk, store: Flaky, issuer: Issuer, clock: FakeClock
) -> None:
    """A renewal that hangs holds the lock: the next one goes on; when it is over locks count."""
    clock.advance(HOUR)
    with issuer.hanging():
        hung = in_vain(desk, issuer)
        with issuer.answering():
            assert desk.value() == "access-3"
    ends(hung)
    clock.advance(HOUR)
    with store.inner.lock(ORIGIN, 0.0), pytest.raises(RefreshFailed, match="locked by another"):
        desk.token()
    assert issuer.calls == 3


@pytest.mark.usefixtures("hasty")
def test_our_own_lock_counts_once(
    desk: Desk, store: Flaky, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many successors were begun beside it: when what hung is over, locks count again."""
    desk.clock.advance(HOUR)
    with issuer.hanging():
        hung = in_vain(desk, issuer)
        with monkeypatch.context() as limits, issuer.answering():
            limits.setattr(threading.Thread, "start", no_thread)
            issuer.given = DOWN
            for _ in range(3):
                with pytest.raises(RefreshFailed, match="endpoint is down"):
                    desk.token()
                desk.clock.advance(60)
    ends(hung)
    desk.clock.advance(HOUR)
    with store.inner.lock(ORIGIN, 0.0), pytest.raises(RefreshFailed, match="locked by another"):
        desk.token()


if hasattr(os, "fork"):  # pragma: no branch

    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    @pytest.mark.usefixtures("hasty")
    def test_a_child_does_not_hold_its_parents_lock(
        desk: Desk, store: Flaky, issuer: Issuer, clock: FakeClock
    ) -> None:
        """A child of a process that renews has no lock to pass by: it waits for others."""

        def refused() -> str:
            issuer.answer()
            with store.inner.lock(ORIGIN, 0.0), pytest.raises(RefreshFailed) as caught:
                desk.token()
            return str(caught.value)

        clock.advance(HOUR)
        with issuer.hanging():
            hung = in_vain(desk, issuer)
            assert "locked by another" in Child(refused).answer()
        ends(hung)


@pytest.mark.usefixtures("hasty")
def test_a_lock_that_is_never_given_back_starves_nobody(
    desk: Desk, other: Desk, issuer: Issuer, clock: FakeClock
) -> None:
    """What a process puts into the store whose first renewal hangs is there for all others."""
    other.token()
    clock.advance(HOUR)
    with issuer.hanging():
        hung = in_vain(desk, issuer)
        with issuer.answering():
            assert desk.value() == "access-3"
            assert other.value() == "access-3"
    ends(hung)
    assert issuer.calls == 3


# Early, and one who cannot wait


@pytest.mark.parametrize("why", ["refused", "late", "over"])
def test_a_token_that_was_only_kept_is_not_a_new_one(store: Flaky, why: str) -> None:
    """Who needs a new token and has joined the making up for a write gets one in earnest."""
    clock = Stepped()
    issuer = Issuer(clock, 20.0)
    desk = Desk(issuer, clock, store=store)
    store.failing = {"write"}
    old = desk.token()
    assert clock.somebody_waits()
    store.failing = set()
    clock.advance(18)
    with ThreadPoolExecutor(1) as caller:
        with store.inner.lock(ORIGIN, 0.0):
            assert desk.token() == old
            assert desk.renewal is not None
            clock.advance({"refused": 0.0, "late": 1.5, "over": 2.0}[why])
            in_need: Callable[[], Any] = partial(desk.renewed, old)
            result = caller.submit(in_need if why == "refused" else desk.token)
            assert clock.somebody_waits()
        assert result.result(PATIENCE).value == "access-2"
    assert [context.early for context in issuer.contexts] == [False, False]


# Whatever happens, in whatever order


class Team:
    """Processes that share a session at a strict server over one store.

    Attributes:
        server: The server.
        store: The store.
        desks: The processes.
        tokens: The tokens they have used.
    """

    def __init__(self, count: int) -> None:
        self.server = StrictServer()
        self.store = Flaky()
        clock = self.server.clock
        self.desks = [Desk(self.server, clock, store=self.store) for _ in range(count)]
        self.tokens: list[Token] = []

    def call(self, number: int) -> bool:
        """One request to the API: whether it came through, with an answered 401 or two."""
        desk = self.desks[number % len(self.desks)]
        try:
            given: Token | Reason = desk.token()
            for _ in range(2):
                if isinstance(given, Token) and not self.server.takes(given):
                    given = desk.renewed(given)
        except RefreshFailed:
            return False
        if isinstance(given, Reason):
            return False
        self.tokens.append(given)
        return self.server.takes(given)

    def crowd(self, _: int) -> None:
        """All at once."""
        with ThreadPoolExecutor(len(self.desks)) as callers:
            list(callers.map(self.call, range(len(self.desks))))

    def wait(self, number: int) -> None:
        """Nobody does anything for a while."""
        self.server.clock.advance((1.0, 30.0, 300.0, 900.0, EARLY, LATE, HOUR)[number])

    def revoke(self, _: int) -> None:
        """The API refuses all tokens that were given."""
        self.server.revoke()

    def hang(self, _: int) -> None:
        """The server processes what it gets, and does not answer."""
        if not self.store.failing:
            self.server.hang()

    def go_on(self, _: int) -> None:
        """It answers."""
        self.server.go_on()

    def flicker(self, number: int) -> None:
        """The store is out of reach while one that need not renew makes a call."""
        desk = self.desks[number % len(self.desks)]
        if self.server.hangs:
            return
        all_end()
        schedule = desk.manager.held.schedule
        token = desk.manager.held.token
        if token and self.server.takes(token) and self.server.clock.time() < schedule.late:
            failing = self.store.failing
            self.store.failing = {("lock", "read", "write")[number // 3], *failing}
            desk.token()
            desk.settle()
            self.store.failing = failing

    def unlock(self, number: int) -> None:
        """From now on the store cannot be locked, or can be again; there is a token in it."""
        if not self.server.hangs and self.store.kept():
            all_end()
            self.store.failing = {"lock"} if number % 2 else set()

    def fail(self, number: int) -> None:
        """From now on the store fails at this, or at nothing."""
        self.store.failing = {
            what
            for bit, what in enumerate(("lock", "read", "write", "release"))
            if number >> bit & 1
        }

    def lose(self, number: int) -> None:
        """The store loses what it has, or goes back to an older token."""
        older = self.tokens[: number // 2]
        if not older or number % 2:
            self.store.inner.write(ORIGIN, "")
        else:
            self.store.put(older[-1], number)

    def refuse_late(self, number: int) -> None:
        """A refusal arrives of a token that was used some time ago."""
        for token in self.tokens[-1 - number :][:1]:
            with suppress(RefreshFailed):
                self.desks[0].renewed(token)

    def ends_well(self) -> None:
        """When all is over, everybody gets through, and no refresh token came twice."""
        self.server.go_on()
        self.store.failing = set()
        all_end()
        self.server.clock.advance(121)
        for number in range(2 * len(self.desks)):
            assert self.call(number)
        all_end()
        assert self.server.reused == []


def steps(*kinds: Callable[[Team, int], object]) -> st.SearchStrategy[list[Any]]:
    """What happens to a team, in order."""
    numbers: dict[object, st.SearchStrategy[int]] = {
        Team.wait: st.integers(0, 6),
        Team.flicker: st.integers(0, 8),
    }
    each = [st.tuples(st.just(kind), numbers.get(kind, st.integers(0, 15))) for kind in kinds]
    return st.lists(st.one_of(each), max_size=20)


@checked(max_examples=100)
@given(
    count=st.integers(2, 3),
    happens=steps(
        Team.wait,
        Team.call,
        Team.crowd,
        Team.revoke,
        Team.hang,
        Team.go_on,
        Team.flicker,
        Team.unlock,
    ),
)
def test_a_session_that_many_share_survives(
    count: int, happens: list[tuple[Callable[[Team, int], object], int]]
) -> None:
    """No refresh token is ever spent twice, though the server hangs and the store flickers.

    Not even in need where it cannot be locked; where it cannot be read no client can know.
    """
    team = Team(count)
    for happen, number in happens:
        happen(team, number)
        assert team.server.reused == []
    team.ends_well()


@checked(max_examples=100)
@given(happens=steps(Team.wait, Team.call, Team.revoke, Team.fail, Team.lose, Team.refuse_late))
def test_a_session_of_one_survives_any_store(
    happens: list[tuple[Callable[[Team, int], object], int]],
) -> None:
    """Whatever its store fails at, loses or brings back, a process alone keeps its session."""
    team = Team(1)
    for happen, number in happens:
        happen(team, number)
        assert team.server.reused == []
    team.ends_well()


def test_the_server_is_strict() -> None:
    """What the tests above hold is not held by the server: a spent token ends the session."""
    server = StrictServer()
    first = server.fetch(FetchContext(None))
    assert server.takes(first)
    second = server.fetch(FetchContext(first))
    assert (server.takes(first), server.takes(second)) == (False, True)
    for stale in (first, second):
        with pytest.raises(RefreshFailed):
            server.fetch(FetchContext(stale))
    assert not server.takes(second)
    assert server.reused == ["refresh-1", "refresh-2"]
