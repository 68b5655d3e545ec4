"""`RedisStore` on a real server: its locks' life, a server that goes and comes, and passwords."""

from __future__ import annotations

import copy
import json
import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import redis
from redis.exceptions import (
    ChildDeadlockedError,
    LockError,
    RedisClusterException,
    ResponseError,
)

from requests_authretry import ConfigurationError
from requests_authretry import redis as module
from requests_authretry.redis import RedisStore, _extend
from requests_authretry.stores._lockfile import file_name
from requests_authretry.testing import SystemClock
from tests.support.stores import is_free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.redis import RedisServer

SECRET = "s3cret-of-the-user"
PASSWORD = "p4ssword"
NAME = "requests_authretry:key"
"""Of the record under "key" in Redis."""


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of the tests' own."""
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


def beats() -> list[threading.Thread]:
    """The threads that keep locks alive."""
    return [each for each in threading.enumerate() if each.name == "requests_authretry lock"]


def calls(store: RedisStore) -> tuple[Callable[[], object], ...]:
    """All that can be asked of a store."""
    return (
        lambda: store.read("key"),
        lambda: store.write("key", SECRET),
        lambda: store.push("key", 60.0),
        lambda: store.push("key", 0.0),
        lambda: store.take("key", 1.0, 1, 1),
        lambda: store.keep("key", "text", 60.0),
        lambda: store.keep("key", "", 0.0),
        store.lock("key", 0.0).__enter__,
    )


# What is kept


@pytest.mark.parametrize("decode", [True, False])
def test_a_client_of_the_users(redis_server: RedisServer, decode: bool) -> None:  # noqa: FBT001 (a case)
    """A client serves as it is, whatever its answers look like, and shares with a URL."""
    with redis.Redis.from_url(redis_server.url, decode_responses=decode) as client:
        store, other = RedisStore(client), RedisStore(redis_server.url)
        store.write("key", SECRET)
        assert store.read("key") == other.read("key") == SECRET
        with store.lock("key", 1.0):
            assert not is_free(other)


def test_prefixes_are_apart(redis_server: RedisServer, client: redis.Redis) -> None:
    """Stores with another prefix share nothing; all that a store keeps begins with its own."""
    store, other = (RedisStore(redis_server.url, prefix=each) for each in ("one:", "two:"))
    store.write("key", SECRET)
    with store.lock("key", 1.0):
        assert (other.read("key"), is_free(other)) == (None, True)
        assert client.keys("one:*") == client.keys("*")
        assert client.dbsize() == 2


def test_records_stay(redis_server: RedisServer, client: redis.Redis) -> None:
    """A record has no end of its own, unless it is given one, which every write renews."""
    RedisStore(redis_server.url).write("key", SECRET)
    assert client.pttl(NAME) == -1
    for _ in range(2):
        RedisStore(redis_server.url, ttl=1000).write("key", SECRET)
        assert 5000 < int(client.pttl(NAME)) <= 1_000_000
        client.pexpire(NAME, 5000)


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("command", [("LPUSH", NAME, "x"), ("SET", NAME, b"\xff\xfe")])
def test_what_is_no_text(redis_server: RedisServer, command: Any, decode: bool) -> None:  # noqa: FBT001 (a case)
    """A list, or bytes that are no text, are not taken for nothing, and are replaced."""
    with redis.Redis.from_url(redis_server.url, decode_responses=decode) as client:
        client.execute_command(*command)
        store = RedisStore(client)
        with pytest.raises(OSError, match=r"no text|ResponseError|UnicodeDecodeError"):
            store.read("key")
        store.write("key", SECRET)
        assert store.read("key") == SECRET


# Cool-downs

HOUR = 3_600_000
"""Milliseconds."""


@pytest.mark.parametrize("decode", [True, False])
def test_the_life_of_a_cool_down(
    redis_server: RedisServer,
    client: redis.Redis,
    decode: bool,  # noqa: FBT001 (a case)
) -> None:
    """A cool-down is a key that lives as long; its life is what is left, by the server's clock."""
    with redis.Redis.from_url(redis_server.url, decode_responses=decode) as chosen:
        store = RedisStore(chosen, ttl=5.0)
        assert store.push("key", 1000.5) == 1000.5
        assert 900_000 < int(client.pttl(NAME)) <= 1_000_500
        client.pexpire(NAME, 500_000)
        for seconds in (0.0, 300.0):
            assert 400.0 < store.push("key", seconds) <= 500.0
        assert 400_000 < int(client.pttl(NAME)) <= 500_000
        assert store.push("key", 2000.0) == 2000.0
        assert 1_900_000 < int(client.pttl(NAME)) <= 2_000_000
        assert client.keys("*") == [NAME.encode()]


def test_a_look_keeps_nothing_in_redis(redis_server: RedisServer, client: redis.Redis) -> None:
    """A push of zero makes no key, whether there is one under another name or not."""
    store = RedisStore(redis_server.url)
    assert store.push("key", 0.0) == 0.0
    store.push("another", 60.0)
    assert store.push("key", 0.0) == 0.0
    assert client.keys("*") == [b"requests_authretry:another"]


def test_a_cool_down_that_is_over(redis_server: RedisServer, client: redis.Redis) -> None:
    """A cool-down of a millisecond leaves nothing in Redis, and can be begun again."""
    store = RedisStore(redis_server.url)
    assert store.push("key", 0.0001) == 0.001
    while client.exists(NAME):
        SystemClock().sleep(0.001)
    assert [store.push("key", seconds) for seconds in (0.0, 60.0)] == [0.0, 60.0]


@pytest.mark.parametrize("command", [("LPUSH", NAME, "x"), ("SET", NAME, b"\xff\xfe")])
def test_no_cool_down(redis_server: RedisServer, client: Any, command: Any) -> None:
    """A list, or bytes that are no text, count for nothing and are replaced by a cool-down."""
    client.execute_command(*command)
    store = RedisStore(redis_server.url)
    assert store.push("key", 0.0) == 0.0
    assert client.type(NAME) == (b"list" if "LPUSH" in command else b"string")
    assert store.push("key", 60.0) == 60.0
    assert 50.0 < store.push("key", 0.0) <= 60.0


@pytest.mark.parametrize("life", [HOUR, 10 * HOUR, None])
def test_a_life_that_something_lengthened(
    redis_server: RedisServer, client: redis.Redis, life: int | None
) -> None:
    """A server whose clock was set back keeps a key for long: the cool-down ends all the same."""
    store = RedisStore(redis_server.url)
    store.push("key", 60.0)
    client.pexpire(NAME, life) if life else client.persist(NAME)
    assert store.push("key", 0.0) == (60.0 if life else 0.0)
    assert int(client.pttl(NAME)) <= 60_000
    assert store.push("key", 90.0) == 90.0
    assert 80_000 < int(client.pttl(NAME)) <= 90_000


def record_of(**fields: object) -> str:
    """Return a cool-down as Redis has it, with other fields."""
    return json.dumps({"kind": "cool-down", "version": 1, **fields})


@pytest.mark.parametrize("seconds", [1e9, float("inf"), 7200])
def test_a_foreign_record_lasts_an_hour_at_most(
    redis_server: RedisServer, client: redis.Redis, seconds: float
) -> None:
    """A record of a million hours is cut to one hour from now."""
    client.set(NAME, record_of(seconds=seconds), px=10 * HOUR)
    assert RedisStore(redis_server.url).push("key", 0.0) == 3600.0
    assert 3_500_000 < int(client.pttl(NAME)) <= HOUR


@pytest.mark.parametrize("odd", ["60", None, True, [60], {}, -1, float("-inf"), 0])
def test_a_record_without_seconds(
    redis_server: RedisServer, client: redis.Redis, odd: object
) -> None:
    """A record of our format that says no seconds counts for nothing, and is replaced."""
    client.set(NAME, record_of(seconds=odd), px=HOUR)
    store = RedisStore(redis_server.url)
    assert store.push("key", 0.0) == 0.0
    assert store.push("key", 60.0) == 60.0
    assert 50.0 < store.push("key", 0.0) <= 60.0


def test_a_record_of_another_release_keeps_its_life(
    redis_server: RedisServer, client: redis.Redis
) -> None:
    """Neither value nor life of a cool-down in another format are touched."""
    newer = record_of(version=2, seconds=9)
    client.set(NAME, newer, px=HOUR)
    store = RedisStore(redis_server.url)
    assert [store.push("key", seconds) for seconds in (0.0, 3600.0, 0.0)] == [0.0, 3600.0, 0.0]
    assert client.get(NAME) == newer.encode()
    assert 3_500_000 < int(client.pttl(NAME)) <= HOUR
    client.set(NAME, newer)
    store.push("key", 60.0)
    assert int(client.pttl(NAME)) == -1


# Slots

SLOTS = f"requests_authretry:slots:{file_name('key')}"
"""The key of the slots under "key" in Redis."""


@pytest.mark.parametrize("decode", [True, False])
def test_the_life_of_slots(redis_server: RedisServer, client: redis.Redis, decode: bool) -> None:  # noqa: FBT001 (a case)
    """A record lives until the next slot is due, and as long as slots of the past may be used."""
    with redis.Redis.from_url(redis_server.url, decode_responses=decode) as chosen:
        store = RedisStore(chosen, ttl=5.0)
        assert store.take("key", 0.001, 1, 2) == 0.0
        assert 1_900_000 < int(client.pttl(SLOTS)) <= 2_000_000
        assert 1900.0 < store.take("key", 0.001, 2, 1) <= 2000.0
        assert 3_900_000 < int(client.pttl(SLOTS)) <= 4_000_000
        assert client.keys("*") == [SLOTS.encode()]


def test_slots_say_their_format(redis_server: RedisServer, client: redis.Redis) -> None:
    """The record is JSON with kind and version, and times to the microsecond."""
    RedisStore(redis_server.url).take("key", 0.001, 1, 1)
    record = json.loads(client.get(SLOTS) or "")
    assert (record["kind"], record["version"], record["seconds"]) == ("slots", 1, 1000.0)
    server = client.time()
    assert server[0] - 300.0 < record["since"] <= server[0] + server[1] / 1e6


def test_takes_without_a_pause_lose_no_time(redis_server: RedisServer) -> None:
    """Each slot follows the one before to the microsecond, whatever time the server takes."""
    store = RedisStore(redis_server.url)
    taken = [store.take("key", 0.1, 1, 1) for _ in range(300)]
    assert taken[-1] == pytest.approx(2990.0 - 150.0, abs=150.0)


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf"), 1e9, -1e9, "7", {}])
@pytest.mark.parametrize("name", ["since", "seconds"])
def test_odd_slots_are_idle(
    redis_server: RedisServer, client: redis.Redis, name: str, odd: object
) -> None:
    """A record of our format that says nothing useful counts for nothing, and is replaced."""
    record = {"kind": "slots", "version": 1, "since": client.time()[0], "seconds": 0.0, name: odd}
    client.set(SLOTS, json.dumps(record))
    store = RedisStore(redis_server.url)
    assert store.take("key", 0.001, 1, 1) == 0.0
    assert 700.0 < store.take("key", 0.001, 1, 1) <= 1000.0


@pytest.mark.parametrize("text", [b"7", b"[7]", b"{", b"\xff", b"[" * 9999])
def test_what_are_no_slots(redis_server: RedisServer, client: redis.Redis, text: bytes) -> None:
    """Text that is no record is replaced."""
    client.set(SLOTS, text)
    store = RedisStore(redis_server.url)
    assert store.take("key", 0.001, 1, 1) == 0.0
    assert 700.0 < store.take("key", 0.001, 1, 1) <= 1000.0


def test_slots_after_the_clock_of_the_server_was_set_back(
    redis_server: RedisServer, client: redis.Redis
) -> None:
    """A record of next year: the next slot is as far ahead as it was then."""
    since = client.time()[0] + 30_000_000
    record = {"kind": "slots", "version": 1, "since": since, "seconds": 60.0}
    client.set(SLOTS, json.dumps(record))
    assert RedisStore(redis_server.url).take("key", 0.001, 1, 1) == 60.0
    assert int(client.pttl(SLOTS)) <= 1_060_000


@pytest.mark.parametrize("record", [{"kind": "slots", "version": 2}, {"version": 1}, {}])
def test_slots_of_another_release_stay(
    redis_server: RedisServer, client: redis.Redis, record: dict[str, object]
) -> None:
    """What this release cannot read it leaves there, and takes nothing."""
    client.set(SLOTS, json.dumps(record))
    store = RedisStore(redis_server.url)
    assert [store.take("key", 1.0, 1, 1) for _ in range(2)] == [0.0, 0.0]
    assert client.get(SLOTS) == json.dumps(record).encode()


def test_the_life_of_a_kept_text(redis_server: RedisServer, client: redis.Redis) -> None:
    """A text that is kept for a while is a key that lives as long, whatever the store's ``ttl``."""
    RedisStore(redis_server.url, ttl=5.0).keep("key", "text", 1000.0)
    name = f"requests_authretry:kept:{file_name('key')}"
    assert 900_000 < int(client.pttl(name)) <= 1_000_000


# The life of a lock


@pytest.mark.slow
def test_a_lock_outlives_its_ttl(redis_server: RedisServer, client: redis.Redis) -> None:
    """As long as its holder lives, a lock's life is made longer again and again."""
    store = RedisStore(redis_server.url, lock_ttl=6.0)
    with store.lock("key", 1.0):
        (name,) = client.keys("*")
        for _ in range(2):
            client.pexpire(name, 5000)
            while int(client.pttl(name)) not in (-2, *range(5001, 6001)):
                SystemClock().sleep(0.01)
            assert not is_free(store)
    assert is_free(store)


def test_a_lock_without_a_thread(
    redis_server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be started, as at the end of a program, a lock outlives a renewal."""

    def start(_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    for ttl, longest in ((1.0, 60_000), (600.0, 600_000)):
        with RedisStore(redis_server.url, lock_ttl=ttl).lock("key", 1.0):
            (name,) = client.keys("*")
            assert longest / 2 < int(client.pttl(name)) <= longest
        assert client.dbsize() == 0


def test_a_lock_leaves_nothing(redis_server: RedisServer, client: redis.Redis) -> None:
    """A lock that is given back ends its thread, and is gone from the server."""
    with RedisStore(redis_server.url, lock_ttl=60.0).lock("key", 1.0):
        (beat,) = beats()
    beat.join(120)
    assert not beat.is_alive()
    assert client.dbsize() == 0


def test_a_lost_lock(own_redis_server: RedisServer) -> None:
    """A lock that the server forgot is given back without an error, and another's is left alone."""
    store, other = RedisStore(own_redis_server.url), RedisStore(own_redis_server.url)
    with store.lock("key", 1.0):
        own_redis_server.kill()
        own_redis_server.start()
        taken = other.lock("key", 1.0)
        taken.__enter__()
    assert not is_free(store)
    taken.__exit__(None, None, None)
    assert is_free(store)


def test_a_lost_lock_is_not_kept_alive(redis_server: RedisServer, client: redis.Redis) -> None:
    """The sign of life of who lost a lock does not lengthen that of who has it now."""
    with RedisStore(redis_server.url, lock_ttl=3.0).lock("key", 1.0):
        (beat,) = beats()
        (name,) = client.keys("*")
        client.set(name, "another's", px=50_000)
        beat.join(120)
        assert not beat.is_alive()
        assert int(client.pttl(name)) > 5000


# A server that goes and comes


def test_the_server_goes_and_comes(own_redis_server: RedisServer) -> None:
    """While the server is away everything is an `OSError`; then the same store works again."""
    store = RedisStore(own_redis_server.url)
    store.write("key", SECRET)
    own_redis_server.kill()
    for call in calls(store):
        with pytest.raises(ConnectionError, match="out of reach"):
            call()
    own_redis_server.start()
    store.write("key", "news")
    assert (store.read("key"), is_free(store)) == ("news", True)


def test_a_server_away_at_the_end(own_redis_server: RedisServer) -> None:
    """A lock whose server is away cannot be given back, which is no error: it ends by itself."""
    with RedisStore(own_redis_server.url).lock("key", 1.0):
        own_redis_server.kill()


class Lost:
    """A lock whose server is away, is there again, and has forgotten it."""

    def __init__(self) -> None:
        self.answers = [redis.ConnectionError(), None, OSError(), LockError("lost")]

    def reacquire(self) -> None:
        """The next answer."""
        answer = self.answers.pop(0)
        if answer:
            raise answer


def test_a_sign_of_life_is_given_again() -> None:
    """A sign of life that fails is followed by another, until the lock is known to be lost."""
    lock: Any = Lost()
    _extend(lock, 0.01, threading.Event())
    assert lock.answers == []


@pytest.mark.parametrize("option", ["", "?socket_timeout=1"])
def test_a_server_that_hangs(
    own_redis_server: RedisServer, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for an answer has an end, by our limit or the URL's; it is no lock that is held."""
    if not option:
        monkeypatch.setattr(module, "_NETWORK_SECONDS", 1.0)
    store = RedisStore(own_redis_server.url + option)
    store.write("key", SECRET)
    os.kill(own_redis_server.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        failure = pool.submit(store.lock("key", 0.0).__enter__).exception(120)
        os.kill(own_redis_server.pid, signal.SIGCONT)
    assert isinstance(failure, ConnectionError)
    assert not isinstance(failure, TimeoutError)


class Odd(redis.Redis):
    """A client that answers everything with one exception."""

    answer: Exception

    def execute_command(self, *_: Any, **__: Any) -> NoReturn:
        """The exception."""
        raise self.answer


@pytest.mark.parametrize(
    "answer",
    [
        ResponseError(f"unknown command 'SET', with args beginning with: 'key' '{SECRET}'"),
        ResponseError(f"MISCONF {SECRET}"),
        RedisClusterException(SECRET),
        ChildDeadlockedError(SECRET),
        TypeError(SECRET),
    ],
    ids=repr,
)
def test_what_else_goes_wrong(answer: Exception) -> None:
    """Whatever a client raises is an `OSError`, which quotes nothing that may hold the record."""
    client = Odd()
    client.answer = answer
    store = RedisStore(client)
    for call in calls(store):
        with pytest.raises(OSError, match=type(answer).__name__) as caught:
            call()
        assert SECRET not in str(caught.value)
        assert ("MISCONF" in str(caught.value)) == ("MISCONF" in str(answer))


@pytest.mark.parametrize("answer", [TimeoutError("late"), OSError("no route")])
def test_an_error_of_the_socket(answer: Exception) -> None:
    """What a client lets through from below is never taken for a lock that another holds."""
    client = Odd()
    client.answer = answer
    for call in calls(RedisStore(client)):
        with pytest.raises(ConnectionError, match=f"out of reach: {answer}"):
            call()


def test_a_server_that_refuses(own_redis_server: RedisServer) -> None:
    """A user who may not do it is told by the code of the server's answer."""
    with redis.Redis.from_url(own_redis_server.url) as client:
        client.acl_setuser("reader", enabled=True, nopass=True, commands=["+get"], keys=["*"])
    store = RedisStore(own_redis_server.url.replace("://", "://reader:x@"))
    assert store.read("key") is None
    with pytest.raises(OSError, match="NoPermissionError"):
        store.write("key", SECRET)


# Passwords


def test_a_password(own_redis_server: RedisServer) -> None:
    """A password in the URL lets us in, a wrong one is an `OSError`; neither is shown."""
    with redis.Redis.from_url(own_redis_server.url) as client:
        client.config_set("requirepass", PASSWORD)
    own = own_redis_server.url
    store = RedisStore(own.replace("://", f"://:{PASSWORD}@"))
    store.write("key", SECRET)
    assert copy.deepcopy(store).read("key") == SECRET
    wrong = RedisStore(f"{own}?password=wrong-{PASSWORD}")
    with pytest.raises(OSError, match="out of reach") as caught:
        wrong.read("key")
    for each in (store, wrong):
        assert PASSWORD not in f"{each!r} {caught.value}"
        with pytest.raises(TypeError, match="password"):
            pickle.dumps(each)


def test_a_client_is_not_pickled(client: redis.Redis) -> None:
    """A client cannot go into a pickle, and says so."""
    with pytest.raises(TypeError, match="anew in each process"):
        pickle.dumps(RedisStore(client))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "redis://host"),
        (f"rediss://ada:{PASSWORD}@host:7000/2", "rediss://host:7000/2"),
        (f"redis://:{PASSWORD}@[::1]:1/?password={PASSWORD}#", "redis://[::1]:1/"),
        ("unix:///run/redis/s?db=3", "unix:///run/redis/s"),
    ],
)
def test_a_repr(url: str, shown: str) -> None:
    """It shows where the records are, and in which prefix, but no password."""
    store = RedisStore(url, prefix="p:")
    assert repr(store) == f"RedisStore('{shown}', prefix='p:')"
    assert PASSWORD not in repr(vars(store))


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{PASSWORD}@host",
        f"redis://:{PASSWORD}@host:port",
        f"redis://:{PASSWORD}@host/?no_such_option={PASSWORD}",
        f"redis://:{PASSWORD}@host/?db={PASSWORD}",
        f"redis://:12/{PASSWORD}@host",
        f"redis://:12#{PASSWORD}@host",
        f"redis://:12?{PASSWORD}@host",
        "",
    ],
)
def test_a_bad_url(url: str) -> None:
    """A URL that cannot be used is refused when the store is made, and not quoted."""
    with pytest.raises(ConfigurationError, match="client_or_url") as caught:
        RedisStore(url)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_client_for_asyncio() -> None:
    """Its locks would be entered without being locked: it is refused."""
    with pytest.raises(ConfigurationError, match="asyncio"):
        RedisStore(redis.asyncio.Redis())


def test_all_faults_together() -> None:
    """What else cannot work is refused with it, all faults in one message."""
    with pytest.raises(ConfigurationError) as caught:
        RedisStore(7, prefix=b"", ttl=0, lock_ttl=0.01)  # type: ignore[arg-type]
    named = [fault.split(" ")[0] for fault in caught.value.faults]
    assert named == ["client_or_url", "prefix", "ttl", "lock_ttl"]
