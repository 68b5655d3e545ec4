"""Connections that keep the deadline of a call, and know how long they have been idle.

The deadline travels as a value: an attempt gives `Seconds` as its timeout, and requests and urllib3
hand them on, as they are, to the connection. Without `Seconds` everything about it is inert.

What an attempt that cannot be sent again wants of its connection is a `Freshness`. The pool finds
it in the context of the thread, as urllib3 hands nothing on to the choice of a connection.
"""

from __future__ import annotations

import ssl
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from math import inf
from socket import SocketIO
from typing import TYPE_CHECKING, Any

from .._clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import WriteableBuffer

    from .._protocols import Clock

    class _Base(HTTPConnection):
        """What `_Bounded` is mixed into."""

        _authretry_base: Any

        def _new_conn(self) -> Any: ...
        def _tunnel(self) -> None: ...

    class _BasePool:
        """What `_IdlePool` is mixed into."""

        _authretry_base: Any

        def _new_conn(self) -> Any: ...

else:
    _Base = _BasePool = object

LEAST_SECONDS = 0.001
"""The least that a socket accepts as a time limit in a sensible way."""

CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)
"""How a connection tells that the other side has ended it."""

_URLLIB3 = {"http.client", "urllib3.connection"}
"""The modules whose ``getresponse`` is understood here."""

_LIMITS = ("_until", "_clock", "_limit", "_has_read", "ends_with_call")
"""The attributes of a `Reader` that bound its reads."""

_OURS = "_authretry_base"
"""Where a class made here keeps the class that it was made from.

Each request asks it for a method: ``super()`` takes longer.
"""

_UNSENT = "_authretry_unsent"
"""Where an exception says that it ended an attempt before anything of its request was sent."""


class Seconds(float):
    """A time limit that also says when the call has to be over.

    Attributes:
        until: When the call has to be over, in monotonic seconds; inf if no read and no write has
            to end before it.
        clock: What tells that time, and how long the connection idles afterwards.
        given: The caller's own time limit, in seconds; None if the caller gave none.
    """

    until: float
    given: float | None
    clock: Clock

    def __new__(  # noqa: PYI034 (Self needs Python 3.11)
        cls, limit: float, until: float, clock: Clock, given: float | None = None
    ) -> Seconds:
        self = float.__new__(cls, limit)
        self.until, self.clock, self.given = until, clock, given
        return self

    def __sub__(self, passed: float) -> Seconds:
        """Return what is left of the limit: urllib3 takes the time to connect off a total."""
        given = None if self.given is None else self.given - passed
        return Seconds(float(self) - passed, self.until, self.clock, given)

    def __repr__(self) -> str:
        """Return the number as the caller wrote it: it stands in urllib3's messages."""
        return str(self.given) if self.given == self else float.__repr__(self)

    def left(self) -> float:
        """Return the seconds until the call has to be over."""
        return self.until - self.clock.monotonic()

    def answer(self, *args: Any, **options: Any) -> Answer:
        """Make an answer that ends at the deadline."""
        answer = Answer(*args, **options)
        if (reader := Reader.of(answer)) is not None:
            reader.end_at(self.until, self.clock)
        return answer

    def limit_writes(self, sock: Any) -> None:
        """Give a socket the time limit of its next write.

        Raises:
            TimeoutError: The deadline has passed.
        """
        if self.until < inf:
            left = self.left()
            if left <= 0:
                raise TimeoutError("the deadline passed while the request was being sent")
            sock.settimeout(min(float(self), left))
        elif self.given is None:
            # The default deadline ends no write: a large body may take longer.
            sock.settimeout(None)

    def limit_handshakes(self, sock: Any) -> None:
        """Give a socket that was just connected the time limit of its handshakes."""
        sock.settimeout(min(float(self), max(self.left(), LEAST_SECONDS)))


class Reader(SocketIO):
    """What http.client reads an answer from, until the deadline.

    The first read may be late: what it finds may be the whole answer. A read timeout starts anew
    with each byte, so that a server that drips could hold the caller for ever.

    Attributes:
        ended: Whether the connection has come to its end.
        ends_with_call: Whether the last read had the time that was left until the deadline; False
            if it had the socket's own time limit.
    """

    ended = False
    ends_with_call = False
    _sock: Any
    _until = inf
    _clock: Clock
    _limit: float | None
    _has_read: bool

    @classmethod
    def of(cls, answer: object) -> Reader | None:
        """Return the reader of an answer; None if the answer comes from no socket.

        The reader that http.client has made becomes one of these: the buffer above it may hold
        bytes already.
        """
        reader = getattr(getattr(answer, "fp", None), "raw", None)
        if type(reader) is SocketIO:
            reader.__class__ = cls
            return reader  # type: ignore[return-value]  # it is one now
        return reader if isinstance(reader, cls) else None

    def end_at(self, until: float, clock: Clock) -> None:
        """Let no read begin after the deadline, and none last longer."""
        self._until, self._clock, self._has_read = until, clock, False
        self._limit, self.ends_with_call = self.limit, False

    @contextmanager
    def ending_at(self, until: float, clock: Clock) -> Iterator[None]:
        """Let no read go on after that time, as long as the block lasts."""
        own = {name: self.__dict__[name] for name in _LIMITS if name in self.__dict__}
        limit = self.limit
        self.end_at(min(until, self._until), clock)
        try:
            yield
        finally:
            for name in _LIMITS:
                self.__dict__.pop(name, None)
            self.__dict__.update(own)
            self.limit = limit

    @property
    def limit(self) -> float | None:
        """The socket's own time limit for each read, in seconds; None if it has none."""
        # A socket of pyOpenSSL does not tell it: the deadline alone limits its reads.
        timeout: float | None = getattr(self._sock, "gettimeout", lambda: None)()
        return timeout

    @limit.setter
    def limit(self, limit: float | None) -> None:
        self._sock.settimeout(limit)

    def end_late(self, limit: float | None) -> None:
        """Have no deadline any more, and this time limit for each read."""
        self._until, self.limit = inf, limit

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._until < inf:
            self._limit_read()
        # As the method of `SocketIO`, which costs more: sockets of urllib3 always block.
        size: int = self._sock.recv_into(buffer)
        if not size:
            self.ended = True
        return size

    def _limit_read(self) -> None:
        left = self._until - self._clock.monotonic()
        self.ends_with_call = self._limit is None or left < self._limit
        if left <= 0:
            if self._has_read:
                raise TimeoutError("the deadline passed while the answer was being read")
            left = LEAST_SECONDS
        self._has_read = True
        self.limit = left if self._limit is None else min(left, self._limit)


class Answer(HTTPResponse):
    """An answer whose headers have to come to their end."""

    def begin(self) -> None:
        """Read the headers.

        Raises:
            RemoteDisconnected: The connection ended in the middle of them. `http.client` takes the
                headers that came for all of them.
        """
        reader = Reader.of(self)
        HTTPResponse.begin(self)  # as with `_OURS`
        if reader is not None and reader.ended:
            self.close()
            raise RemoteDisconnected("the connection ended in the middle of the headers")


UNDERSTOOD = {HTTPResponse, Answer}
"""The classes of answers whose bodies are read here as `http.client` reads them."""


class Freshness:
    """What one attempt wants of its connection, and what it got. Used by one thread.

    Args:
        most: The longest that the connection may have been idle, in seconds; None: any time.
        may_idle: Says whether it may have been idle for longer all the same. Asked only then.

    Attributes:
        idle: Seconds that the connection had been idle when the attempt took it; None if it was
            new, or is none of the connections made here.
    """

    idle: float | None = None

    def __init__(self, most: float | None, may_idle: Callable[[], bool]) -> None:
        self._most, self._may_idle = most, may_idle

    def accepts(self, connection: Any) -> bool:
        """Whether a connection of a pool is fresh enough; note how long it was idle."""
        self.idle = None
        since = connection.idle_since if isinstance(connection, _Bounded) else None
        if since is None or connection.sock is None:  # it has to connect first
            return True
        idle = connection.clock.monotonic() - since
        if self._most is not None and idle > self._most and not self._may_idle():
            return False
        self.idle = idle
        return True


WANTED: ContextVar[Freshness | None] = ContextVar("requests_authretry freshness", default=None)
"""What the attempt that this thread makes wants of its connection; None for any connection."""


def is_unsent(error: BaseException) -> bool:
    """Whether an exception ended an attempt before anything of its request was sent."""
    return error.__dict__.get(_UNSENT) is True


def prepare(adapter: object) -> None:
    """Have an adapter's pools, present and future, make connections that know the deadline.

    Adapters that do not send through urllib3's pools stay as they are.
    """
    own = getattr(adapter, "__dict__", {})
    _prepare_manager(own.get("poolmanager"))
    managers = own.get("proxy_manager")
    if type(managers) is dict:
        for manager in managers.values():
            _prepare_manager(manager)
        own["proxy_manager"] = _Managers(managers)


class _Managers(dict[str, Any]):
    """The pool managers of an adapter's proxies. requests adds one when it meets a proxy."""

    def __setitem__(self, proxy: str, manager: Any) -> None:
        _prepare_manager(manager)
        super().__setitem__(proxy, manager)


def _prepare_manager(manager: Any) -> None:
    classes = getattr(manager, "pool_classes_by_scheme", None)
    if not isinstance(classes, dict):
        return
    manager.pool_classes_by_scheme = {name: _pool_class(kind) for name, kind in classes.items()}
    pools = manager.pools
    for pool in filter(None, map(pools.get, pools.keys())):
        with suppress(TypeError):  # the class of something else that stands in for a pool
            kind: Any = type(pool)
            pool.__class__ = _pool_class(kind)
            for connection in filter(None, list(pool.pool.queue) if pool.pool else ()):
                connection.__class__ = _connection_class(type(connection))


@cache
def _pool_class(base: Any) -> Any:
    """Return a class of pools like this one, whose connections know the deadline."""
    if hasattr(base, _OURS):
        return base
    return _like(base, _IdlePool, ConnectionCls=_ConnectionClass(base))


class _ConnectionClass:
    """The attribute ``ConnectionCls`` of a class of pools.

    It asks the base class at each use, because vcrpy exchanges the attribute there.
    """

    def __init__(self, base: type[Any]) -> None:
        self._base = base

    def __get__(self, pool: object, owner: type[Any]) -> Any:
        return _connection_class(self._base.ConnectionCls)


@cache
def _bounded(base: Any) -> Any:
    return _like(base, _Bounded)


def _connection_class(base: Any) -> Any:
    """Return a class of connections like this one that know the deadline.

    It is the class itself where something else than urllib3 makes the answers.
    """
    module = getattr(getattr(base, "getresponse", None), "__module__", None)
    is_usual = module in _URLLIB3 and getattr(base, "response_class", None) is HTTPResponse
    return _bounded(base) if is_usual else base


def _like(base: Any, *mixins: type[Any], **attributes: Any) -> Any:
    """Return a subclass with the same name, which stands in messages."""
    same = {name: getattr(base, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(base)(base.__name__, (*mixins, base), {**same, **attributes, _OURS: base})


class _IdlePool(_BasePool):
    """What a pool of urllib3 does otherwise: it knows since when each connection is idle."""

    def _get_conn(self, timeout: Any = None) -> Any:
        connection = self._authretry_base._get_conn(self, timeout)  # noqa: SLF001 (its own)
        wanted = WANTED.get()
        if wanted is None or wanted.accepts(connection):
            return connection
        connection.close()
        return self._new_conn()

    def _put_conn(self, conn: Any) -> None:
        # None stands for a connection that was lost. Those of others are left alone.
        if isinstance(conn, _Bounded):
            conn.idle_since = conn.clock.monotonic()
        self._authretry_base._put_conn(self, conn)  # noqa: SLF001 (its own)


class _Bounded(_Base):
    """What a connection of urllib3 does otherwise, where its timeout is `Seconds`.

    Attributes:
        clock: That of the last attempt that brought a clock.
        idle_since: When it was put back into its pool, on that clock; None if it never was.
    """

    clock: Clock = SystemClock()
    idle_since: float | None = None
    response_class: Any
    timeout: Any
    sock: Any

    def _new_conn(self) -> Any:
        sock, seconds = super()._new_conn(), self.timeout
        if type(seconds) is Seconds:
            seconds.limit_handshakes(sock)
        return sock

    def _tunnel(self) -> None:
        seconds = self.timeout
        if type(seconds) is not Seconds:
            super()._tunnel()
            return
        answers: list[Answer] = []

        def answer(*args: Any, **options: Any) -> Answer:
            answers.append(seconds.answer(*args, **options))
            return answers[-1]

        self.response_class = answer
        try:
            super()._tunnel()
        except BaseException:
            # Before Python 3.11 http.client leaves the answer open, and with it the socket.
            for each in answers:
                each.close()
            raise
        finally:
            del self.response_class
        seconds.limit_handshakes(self.sock)

    def connect(self) -> None:
        """Connect, and mark an exception that ends the attempt before anything was sent."""
        try:
            super().connect()
        except (*CUT, TimeoutError) as error:
            error.__dict__[_UNSENT] = True
            raise

    def send(self, data: Any) -> None:
        """Send some of the request, if there is time left for it."""
        seconds, sock = self.timeout, self.sock
        if sock is not None and type(seconds) is Seconds:
            seconds.limit_writes(sock)
        try:
            self._authretry_base.send(self, data)
        except BaseException:
            del data  # a traceback shows local variables, and these bytes are headers
            raise

    def getresponse(self) -> Any:
        """Receive an answer that is read until the deadline."""
        seconds = self.timeout
        if type(seconds) is not Seconds:
            return super().getresponse()
        self.clock = seconds.clock
        self.response_class = seconds.answer if seconds.until < inf else Answer
        try:
            return self._authretry_base.getresponse(self)
        finally:
            # The next request may come without a time limit.
            self.timeout = float(seconds)
            del self.response_class
