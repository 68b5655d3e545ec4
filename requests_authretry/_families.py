"""Which tokens belong together in this process: those of one token source are one family.

A server that rotates refresh tokens ends the whole family when one of them is spent twice
(RFC 9700 section 4.14.2). So all settings of this process that use one source share its newest
token, also where no store is named, and also after the settings that fetched it are gone.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, RLock
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import ref

from ._core.token import Token
from ._errors import RefreshFailed
from ._fork import survives_fork
from .stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._protocols import Store

MOST_NAMED_FAMILIES = 10_000
"""So many families of sources that name their family, as `RefreshToken` does, are remembered. A web
application may make such a source for each of its users."""

MOST_OWNERS = 10_000
"""So many records in stores are remembered with the source that owns them."""

Place = tuple[object, str]
"""Where a record is: what tells the store from others, and the key."""


@dataclass(eq=False)
class Family:
    """The tokens that one token source has given in this process.

    Attributes:
        memory: Keeps the newest token where no store is named.
        rotates: Whether the server was seen to give another refresh token for one.
        kept_in: Where the newest refresh token is, None before there is one.
        is_inherited: Whether a parent process holds the same refresh token: both would spend it.
    """

    memory: MemoryStore = field(default_factory=MemoryStore)
    rotates: bool = False
    kept_in: Place | None = None
    is_inherited: bool = False


class Families:
    """The families of this process. Safe to use from many threads.

    Attributes:
        is_warned: Whether users were told that a newest refresh token is in memory alone.
    """

    def __init__(self) -> None:
        self.is_warned = False
        self._named: OrderedDict[str, Family] = OrderedDict()
        self._of_objects: dict[object, tuple[object, Family]] = {}
        self._owners: OrderedDict[Place, tuple[Store, object]] = OrderedDict()
        self._sending: dict[str, Lock] = {}
        self._spent: set[str] = set()
        # Reentrant: a source may be collected, and its family dropped, while this thread holds it.
        self._lock = RLock()
        survives_fork(self)

    def of(self, source: object) -> Family:
        """The family of a token source: the same for one object, and for equal ``family`` names."""
        if is_constant(source):
            return Family()
        name = getattr(source, "family", None)
        with self._lock:
            return self._of_name(name) if isinstance(name, str) else self._of_object(source)

    def _of_name(self, name: str) -> Family:
        family = self._named.setdefault(name, Family())
        self._named.move_to_end(name)
        if len(self._named) > MOST_NAMED_FAMILIES:
            self._named.popitem(last=False)
        return family

    def _of_object(self, source: Any) -> Family:
        thing, what = getattr(source, "family_anchor", (source, None))
        if isinstance(source, MethodType):
            # Each look at `thing.method` makes another bound method: it is the same source.
            thing, what = source.__self__, source.__func__
        place = id(thing), what
        if place not in self._of_objects:
            try:
                life: object = ref(thing, lambda _: self._of_objects.pop(place, None))
            except TypeError:
                life = thing  # it takes no weak reference: it stays, so that nobody gets its id
            self._of_objects[place] = life, Family()
        return self._of_objects[place][1]

    def owner(self, source: object, store: Store, key: str) -> object:
        """The source whose tokens a store's record under its origins may hold.

        It is the first source without a ``store_key`` that asked, unless this one is of its family
        or equal to it, as a function with the same code and the same captured values is: then it is
        this one. Any other may give the tokens of somebody else.
        """
        with self._lock:
            place = place_of(store, key)
            # The store too: nobody gets its id while it is remembered.
            _, owner = self._owners.setdefault(place, (store, source))
            self._owners.move_to_end(place)
            if len(self._owners) > MOST_OWNERS:
                self._owners.popitem(last=False)
            is_same = self.of(owner) is self.of(source) or _is_same(owner, source)
        return source if is_same else owner

    @contextmanager
    def sending(self, digest: str, seconds: float) -> Iterator[None]:
        """Send a first refresh token in this block, and nobody else meanwhile.

        Args:
            digest: Of the refresh token, its client and its server.
            seconds: How long to wait for another thread that sends it.

        Raises:
            RefreshFailed: It was spent in this process, or another thread is sending it still.
        """
        lock = self._sending.setdefault(digest, Lock())
        if not lock.acquire(timeout=seconds):
            raise RefreshFailed("the first refresh token is being sent by another thread still")
        try:
            if digest in self._spent:
                raise RefreshFailed(
                    "the first refresh token was spent in this process, and the store has none "
                    "that followed it: name one store in all settings that use it, or sign in "
                    "again and give the new refresh token"
                )
            yield
        finally:
            lock.release()

    def spend(self, digest: str) -> None:
        """Never send a first refresh token again: the server gave another one for it.

        A digest is remembered for each that the program brings.
        """
        self._spent.add(digest)
        self._sending.pop(digest, None)  # who waits for it has it

    def forget(self) -> None:
        """Begin anew, as another process would."""
        with self._lock:
            self._named.clear()
            self._of_objects.clear()
            self._owners.clear()
            self._spent.clear()
            self.is_warned = False

    def after_fork(self) -> None:
        """Parent and child hold the same refresh tokens now."""
        self._lock, self._sending = RLock(), {}
        for family in self._all():
            family.is_inherited = family.rotates

    def _all(self) -> Iterable[Family]:
        yield from self._named.values()
        yield from (family for _, family in self._of_objects.values())


def place_of(store: Store, key: str) -> Place:
    """Where a record is: two objects for one file, or for one server, are one place."""
    return getattr(store, "place", None) or id(store), key


def is_constant(source: object) -> bool:
    """Whether nothing from a store may replace what a source says: a constant, or a reference."""
    return isinstance(source, Token) or getattr(source, "is_kept_elsewhere", False) is True


_PARTS = ("__code__", "__defaults__", "__kwdefaults__", "__closure__")


def _is_same(one: object, other: object) -> bool:
    """Whether two sources are equal, or functions of one code that captured equal values."""
    try:
        if isinstance(one, FunctionType) and isinstance(other, FunctionType):
            return all(getattr(one, part) == getattr(other, part) for part in _PARTS)
        return bool(one == other)
    except Exception:  # noqa: BLE001 (a captured value may refuse to be compared)
        return False


families = Families()
