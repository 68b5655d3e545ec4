"""The store of many machines: records and locks in Redis, or in what speaks its protocol.

Needs the extra: ``pip install 'requests-authretry[redis]'``.
"""

from __future__ import annotations

import json
import math
import os
import re
from contextlib import contextmanager, suppress
from functools import partial
from inspect import iscoroutinefunction
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ._core.arguments import checks_arguments
from ._core.bounds import MAX_COOL_DOWN_SECONDS
from ._core.copying import CopiedAsItself
from ._core.declared import EVEN, PARTS
from ._core.gcra import MAX_LEAD, ask_for
from ._core.reservations import Reserved, held_seconds, window_seconds
from ._core.token import secret
from ._core.validation import instance, refuse, seconds
from ._threads import started
from .stores._cool_downs import FORMAT, bounded
from .stores._lockfile import file_name
from .stores._rates import FORMAT as RATES_FORMAT
from .stores._slots import FORMAT as SLOTS_FORMAT

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.exceptions import LockError
    from redis.retry import Retry
except ImportError:
    raise ImportError(
        "requests_authretry.redis needs redis-py: pip install 'requests-authretry[redis]'"
    ) from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from redis.lock import Lock

    from ._core.reservations import Ask

__all__ = ["RedisStore"]

T = TypeVar("T")

_NETWORK_SECONDS = 2.0
"""Seconds that connecting, and each answer, may take where the URL does not say otherwise."""

_POLL_SECONDS = 0.1
"""Between two looks at a lock that another holds."""

_LEAST_LOCK_TTL = 0.1

_THREADLESS_SECONDS = 60.0
"""How long a lock lasts at least where no thread keeps it alive: longer than a renewal takes."""

_PUSH = """
local there = redis.pcall('GET', KEYS[1])
local asked, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local life, left = 0, 0
if type(there) == 'string' and there:find('^%s*{') then
    local is_json, record = pcall(cjson.decode, there)
    if is_json and (record.kind ~= ARGV[4] or record.version ~= tonumber(ARGV[5])) then
        return asked
    elseif is_json and type(record.seconds) == 'number' then
        life = redis.call('PTTL', KEYS[1])
        left = math.max(math.min(life, math.ceil(record.seconds * 1000), most), 0)
    end
end
if asked > left then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', asked)
elseif left < life then
    redis.call('PEXPIRE', KEYS[1], left)
end
return math.max(asked, left)
"""
"""Extends a cool-down: its life in Redis is what it still lasts, by the server's clock alone.

The record has the seconds too: a server whose clock was set back lengthens the life of its keys.
"""

_TAKE = """
local there = redis.pcall('GET', KEYS[1])
local advance, idle, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local first = -idle
if type(there) == 'string' and there:find('^%s*{') then
    local is_json, record = pcall(cjson.decode, there)
    if is_json and (record.kind ~= ARGV[4] or record.version ~= tonumber(ARGV[5])) then
        return '0'
    elseif is_json and type(record.since) == 'number' and type(record.seconds) == 'number' then
        local lead = record.seconds + math.min(record.since - now, 0)
        if math.abs(record.seconds) <= most and lead > first then
            first = lead
        end
    end
end
local lead = math.min(first + advance, most)
local text = '{"kind": "%s", "version": %d, "since": %.6f, "seconds": %.6f}'
local life = math.max(math.ceil((lead + idle) * 1000), 1)
redis.call('SET', KEYS[1], text:format(ARGV[4], ARGV[5], now, lead), 'PX', life)
return ('%.6f'):format(first)
"""
"""Takes slots, as `gcra.reserve` does. cjson would write 14 digits of the time, which has more.

A key lives until all that it says is that the limit is idle.
"""


_RESERVE = """
local there, ask = redis.pcall('GET', KEYS[1]), cjson.decode(ARGV[1])
local time = redis.call('TIME')
local book = {full = -1e9, spent = {}, held = {}, since = time[1], micros = time[2]}
if type(there) == 'string' and there:find('^%s*{') then
    local is_json, record = pcall(cjson.decode, there)
    if is_json and (record.kind ~= ask.kind or record.version ~= ask.version) then
        return redis.error_reply('OTHER release')
    elseif is_json then
        book = record
    end
end
local passed = math.max(time[1] - book.since + (time[2] - book.micros) / 1e6, 0)
local interval, full, spent = ask.per / ask.limit, book.full - passed, {}
local is_bucket = ask.burst > 0
for _, each in ipairs(book.spent) do
    if each[2] - passed + ask.per > 0 then
        table.insert(spent, {each[1] - passed, each[2] - passed, each[3]})
    end
end
local function count(at, units)
    if is_bucket then
        full = math.max(full, at) + units * interval
        return
    end
    if at + ask.per <= 0 then return end
    local place = #spent
    while place > 0 and spent[place][1] > at do place = place - 1 end
    local before = spent[place]
    if before and at < before[1] + ask.per / ask.parts then
        before[2], before[3] = math.max(before[2], at), before[3] + units
    else
        table.insert(spent, place + 1, {at, at, units})
    end
end
local function free_in()
    if is_bucket then return math.max(full - (ask.burst - ask.least) * interval, 0) end
    local missing, at = ask.least - ask.limit * ask.even, 0
    for _, each in ipairs(spent) do missing = missing + each[3] end
    for _, each in ipairs(spent) do
        if missing <= 0 then break end
        at, missing = math.max(each[2] + ask.per, 0), missing - each[3]
    end
    return at
end
local function room(at)
    if is_bucket then return ask.burst - math.max(full - at, 0) / interval end
    local found = ask.limit
    for _, each in ipairs(spent) do
        if each[2] + ask.per > at then found = found - each[3] end
    end
    return found
end
local function count_all(entries, time_of)
    table.sort(entries, function(one, other) return one[1] < other[1] end)
    for _, each in ipairs(entries) do count(time_of(each[1]), each[2]) end
end
local sent, held, counted = {}, {[ask.holder] = ask.held}, {}
for _, each in ipairs(ask.used) do
    if each[1] > -ask.life then table.insert(sent, each) end
end
for holder, pieces in pairs(book.held) do
    local left = {}
    for _, each in ipairs(holder ~= ask.holder and pieces or {}) do
        local at = each[1] - passed
        table.insert(at > -ask.life and left or sent, {at, each[2]})
    end
    if #left > 0 then held[holder] = left end
end
count_all(sent, function(at) return at end)
local settled = {full, cjson.encode(spent)}
for _, pieces in pairs(held) do
    for _, each in ipairs(pieces) do table.insert(counted, each) end
end
count_all(counted, function(at) return math.min(at + ask.ahead, math.max(at, 0)) end)
local found, wanted = {}, ask.wanted
while wanted >= ask.least do
    local at = free_in()
    if at > ask.ahead then break end
    local steps = math.floor(math.min(room(at), wanted) / ask.least * ask.even)
    local units = math.max(steps, 1) * ask.least
    count(at, units)
    table.insert(ask.held, {at, units})
    table.insert(found, ('%.6f %.17g'):format(at, units))
    wanted = wanted - units
end
local free = free_in()
if #ask.held == 0 then held[ask.holder] = nil end
local record = {kind = ask.kind, version = ask.version, since = time[1], micros = time[2]}
record.full, record.spent, record.held = settled[1], cjson.decode(settled[2]), held
local life = math.min(math.ceil((math.max(full, 0) + ask.life + ask.per) * 1000), 1e14)
redis.call('SET', KEYS[1], cjson.encode(record), 'PX', ('%d'):format(life))
return {('%.6f'):format(free), unpack(found)}
"""
"""Reserves units of a declared rate, as `reservations.reserve` does."""


@checks_arguments()
class RedisStore(CopiedAsItself):
    """Keeps tokens, cool-downs and slots in Redis, for machines that name one server and prefix.

    Safe to use from many threads and processes, after a fork too. A server that is away costs an
    `OSError` each time; when it is back, the store works again.

    Keys that begin with the prefix belong to the store: a value there that is no text cannot be
    read, which is an `OSError`, and the next write replaces it. Whoever can read the server can
    read the tokens. A server that evicts keys (``maxmemory-policy allkeys-...``) or forgets them
    when it is started anew loses refresh tokens, and with them sessions.

    A lock is a key of its own that ends ``lock_ttl`` seconds after its holder's last sign of life,
    which a thread gives as long as it is held. Like every lock in a single Redis it is lost when
    the server forgets it, when a replica takes over that has not heard of it, or when its holder
    stands still for longer than that (a machine that is paused), and then goes on.

    A copy in memory is the same store. A pickle carries the URL; one with a password in it, or a
    client, is refused (`TypeError`): a store without its password would share nothing, and say so
    only when a session is lost already.

    Args:
        client_or_url: A client of redis-py that threads may share (``Redis``, ``RedisCluster``,
            or one of a ``Sentinel``), with the time limits it has; or a URL, ``redis://``,
            ``rediss://`` (TLS) or ``unix://``, connected to at first use with limits of 2 seconds
            unless it has ``?socket_timeout=`` and ``?socket_connect_timeout=``.
        prefix: What the names of all keys in Redis begin with.
        ttl: Seconds after its last write that a record is dropped; it must outlive the refresh
            token. None, the default: never, as a refresh token must not vanish before its time.
        lock_ttl: Seconds that a lock outlives its holder.

    Raises:
        ConfigurationError: An argument cannot work; the URL is not quoted.
    """

    def __init__(
        self,
        client_or_url: Any,
        *,
        prefix: str = "requests_authretry:",
        ttl: float | None = None,
        lock_ttl: float = 10.0,
    ) -> None:
        is_url = isinstance(client_or_url, str)
        self._url = secret(client_or_url) if is_url else None
        self._client = None if is_url else client_or_url
        self._prefix, self._ttl, self._lock_ttl = prefix, ttl, lock_ttl
        refuse("RedisStore", self._faults())

    def read(self, key: str) -> str | None:
        """Return the record under a key, None when there is none.

        Raises:
            OSError: The server is out of reach, or refuses, or the value there is no text.
        """
        record = _asked(lambda: self._redis().get(self._prefix + key))
        if record is None or isinstance(record, str):
            return record
        try:
            return str(record.decode())
        except (UnicodeDecodeError, AttributeError):
            raise OSError(f"what Redis has under {key!r} is no text") from None

    def write(self, key: str, record: str) -> None:
        """Keep a record, and all of its ``ttl`` again.

        Raises:
            OSError: The server is out of reach, or refuses.
        """
        record = secret(record)
        life = None if self._ttl is None else max(int(self._ttl * 1000), 1)
        _asked(lambda: self._redis().set(self._prefix + key, record, px=life))

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """Exclude everyone else who locks this key, on all machines, as `Store.lock` says."""
        name = f"{self._prefix}lock:{file_name(key)}"
        # The thread that keeps it alive shares the lock with the one that holds it.
        options = {"timeout": self._lock_ttl, "sleep": _POLL_SECONDS, "thread_local": False}
        lock: Lock = _asked(lambda: self._redis().lock(name, **options))
        if not _asked(lambda: lock.acquire(blocking_timeout=timeout)):
            raise TimeoutError(f"the lock of {key!r} was held for {timeout:g} s")
        with _held(lock, self._lock_ttl):
            yield

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down, as `Store.push` says; once it is over, Redis drops it by itself.

        The time is the server's, to the millisecond: how far the clocks of machines are apart is no
        matter.

        Raises:
            OSError: The server is out of reach, or refuses.
        """
        asked = math.ceil(bounded(seconds) * 1000)
        most = math.ceil(MAX_COOL_DOWN_SECONDS * 1000)
        record = json.dumps({**FORMAT, "seconds": asked / 1000})
        arguments = (self._prefix + key, record, asked, most, *FORMAT.values())
        return float(_asked(lambda: int(self._redis().eval(_PUSH, 1, *arguments))) / 1000)

    def take(self, key: str, rate: float, burst: float, count: int) -> float:
        """Take slots, as `Store` says; once a limit is idle, Redis drops what it keeps of it.

        The time is the server's, as with `push`. Needs Redis 5 or newer.

        Raises:
            OSError: The server is out of reach, or refuses.
        """
        ask = ask_for(rate, burst, count)
        if ask is None:
            return 0.0
        name = f"{self._prefix}slots:{file_name(key)}"
        arguments = (name, *ask, MAX_LEAD, *SLOTS_FORMAT.values())
        return float(_asked(lambda: self._redis().eval(_TAKE, 1, *arguments)))

    def keep(self, key: str, text: str, seconds: float) -> str | None:
        """Keep a text for a while, as `Store` says; once it is over, Redis drops it by itself.

        Raises:
            OSError: The server is out of reach, or refuses, or what is kept there is no text.
        """
        life, name = math.ceil(bounded(seconds) * 1000), f"kept:{file_name(key)}"
        if not life:
            return self.read(name)
        _asked(lambda: self._redis().set(self._prefix + name, text, px=life))
        return text

    def reserve(self, key: str, ask: Ask) -> Reserved:
        """Reserve units of a declared rate, as `Store` says; Redis drops what is over.

        The time is the server's, as with `push`. Needs Redis 5 or newer.

        Raises:
            OSError: The server is out of reach, or refuses.
        """
        constants = {**RATES_FORMAT, "parts": PARTS, "even": EVEN, "burst": ask.burst or 0.0}
        ahead = held_seconds(ask.rate)
        times = {"ahead": ahead, "life": ahead + window_seconds(ask.rate)}
        text = json.dumps({**ask._asdict(), **constants, **times})
        name = f"{self._prefix}rate:{file_name(key)}"
        answer = _asked(lambda: self._redis().eval(_RESERVE, 1, name, text))
        free_in, *found = (part.decode() if isinstance(part, bytes) else part for part in answer)
        pieces = (map(float, part.split()) for part in found)
        return Reserved(tuple((at, units) for at, units in pieces), float(free_in))

    @property
    def place(self) -> tuple[object, ...]:
        """Name server and prefix: the same for all stores that keep their records there."""
        pool = getattr(self._redis(), "connection_pool", None)  # a cluster has none
        options = getattr(pool, "connection_kwargs", {"host": id(self._client)})
        options = {"host": "localhost", "port": 6379, "db": 0, **options}
        where = (options.get(name) for name in ("host", "port", "db", "path"))
        return "redis", self._prefix, *where

    def __repr__(self) -> str:
        """Show how it is made; of the URL no user and no password, of a client only its kind."""
        where = f"<{type(self._client).__name__}>"
        if self._url:
            parts = urlsplit(self._url)
            where = repr(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
        return f"RedisStore({where}, prefix={self._prefix!r})"

    def __reduce__(self) -> tuple[Callable[[], RedisStore], tuple[()]]:
        """A pickle carries no password, so it carries nothing that needs one."""
        if self._url is None or _has_password(self._redis()):
            raise TypeError(
                "a RedisStore is pickled only when made from a URL without a password: make it "
                "anew in each process"
            )
        fields: dict[str, Any] = {"ttl": self._ttl, "lock_ttl": self._lock_ttl}
        return partial(type(self), str(self._url), prefix=self._prefix, **fields), ()

    def _records(self, most: int) -> dict[str, tuple[str, float | None]]:
        """Return texts by their keys, and for how many seconds each lives; None: for ever.

        Args:
            most: How many keys are read at most.

        Raises:
            OSError: The server is out of reach, or refuses.
        """
        client, begin = self._redis(), self._prefix
        pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", begin) + "*"
        names = _asked(lambda: list(islice(client.scan_iter(match=pattern, count=1000), most)))
        found: dict[str, tuple[str, float | None]] = {}
        for name in names:
            key = (name.decode(errors="replace") if isinstance(name, bytes) else name)[len(begin) :]
            with suppress(OSError):  # no text: another program's
                text, life = self.read(key), _asked(partial(client.pttl, name))
                if text is not None:
                    found[key] = text, None if life < 0 else life / 1000
        return found

    def _redis(self) -> Any:
        if self._client is None:
            self._client = redis.Redis.from_url(
                str(self._url),
                socket_timeout=_NETWORK_SECONDS,
                socket_connect_timeout=_NETWORK_SECONDS,
                # Once more, as a connection that idled may have been dropped on the way.
                retry=Retry(NoBackoff(), 1),
            )
        return self._client

    def _faults(self) -> Iterable[str | None]:
        if self._url is not None:
            yield _url_fault(self._url)
        elif not hasattr(self._client, "lock"):
            kind = type(self._client).__name__
            yield f"client_or_url must be a client of redis-py or a URL, not {kind}"
        elif iscoroutinefunction(getattr(self._client, "execute_command", None)):
            yield "client_or_url is a client for asyncio: give a redis.Redis"
        yield instance("prefix", self._prefix, str)
        if self._ttl is not None:
            yield seconds("ttl", self._ttl, positive=True)
        fault = seconds("lock_ttl", self._lock_ttl)
        if fault is None and self._lock_ttl < _LEAST_LOCK_TTL:
            fault = f"lock_ttl must be at least {_LEAST_LOCK_TTL} s, or no lock lasts"
        yield fault


def _url_fault(url: str) -> str | None:
    """Name the fault of a URL, None where it has none; redis-py may quote a password itself."""
    try:
        redis.Redis.from_url(url).connection_pool.make_connection()
        parts = urlsplit(url)
    except Exception:  # noqa: BLE001 (whatever a bad option leads to)
        return (
            "client_or_url is no URL that redis-py can use: redis://, rediss:// or unix://, with "
            "known options"
        )
    # A password with one of / ? # ends the name of the host too early, and an @ is left over.
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return "client_or_url has special characters: percent-encode them in a password or path"
    return None


def _has_password(client: redis.Redis) -> bool:
    return any("password" in option for option in client.connection_pool.connection_kwargs)


def _asked(call: Callable[[], T]) -> T:
    """Ask the server; whatever goes wrong is an `OSError`."""
    failure: OSError
    try:
        return call()
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        # No TimeoutError: that says that another holds a lock.
        failure = ConnectionError(f"Redis is out of reach: {error}")
    except Exception as error:  # noqa: BLE001 (clients raise more than RedisError)
        # An answer may quote the command, and with it the record: only its first word is shown.
        code = str(error).partition(" ")[0]
        said = f" ({code})" if code.isupper() else ""
        failure = OSError(f"Redis failed with {type(error).__name__}{said}")
    # Not in the blocks: the frames of the exception hold the password and the record.
    raise failure


@contextmanager
def _held(lock: Lock, ttl: float) -> Iterator[None]:
    """Keep a lock alive to the end of the block, then give it back."""
    over, holder = Event(), os.getpid()
    if started(_extend, lock, ttl, over, name="requests_authretry lock") is None:
        with suppress(Exception):
            lock.extend(max(ttl, _THREADLESS_SECONDS), replace_ttl=True)
    try:
        yield
    finally:
        over.set()
        if os.getpid() == holder:  # a child that was forked meanwhile does not hold it
            with suppress(Exception):  # it was lost, or ends by itself
                lock.release()


def _extend(lock: Lock, ttl: float, over: Event) -> None:
    """Give a sign of life three times in a lock's life."""
    # Not by the library's clock, which tests let fly: a lock lives by the server's.
    while not over.wait(ttl / 3):
        try:
            lock.reacquire()
        except LockError:  # noqa: PERF203 (too late, as after a new start of the server)
            return
        except Exception:  # noqa: BLE001, S112 (the server may be back in time)
            continue
