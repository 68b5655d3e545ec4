"""Which tokens belong together in this process: those of one token source are one family.

A server that rotates refresh tokens ends the whole family when one of them is spent twice
(RFC 9700 section 4.14.2). So all settings of this process that use one source with a `fetch`
share its newest token, also where no store is named. A function has no family: each settings
object asks it for itself.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from threading import Lock
from types import CellType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, WeakValueDictionary, ref

from .._core.token import Token
from .._errors import RefreshFailed
from .._locks import ForkSafeLock
from .._warnings import name_of, warn_once
from ..stores._memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .._core.token import TokenRecord
    from .._protocols import Store
    from .._settings import Settings

MOST_NAMED_FAMILIES = 10_000
"""The most families that are remembered of sources that name theirs, as `RefreshToken` does. A web
application may make such a source for each of its users."""

MOST_OBJECTS = 10_000
"""The most source objects that are remembered with their families."""

MOST_SPENT = 100_000
"""The most first refresh tokens that are remembered as spent. They have no age: a server may end
the whole family when one of them comes again, however late."""

MOST_OWNERS = 10_000
"""The most records in stores that are remembered with the source that owns them."""

Place = tuple[object, str]
"""Where a record is: what tells the store from others, and the key."""


@dataclass(eq=False)
class Family:
    """The tokens that one token source has given in this process.

    Attributes:
        name: Tells it from all others, also from those of other processes.
        memory: Keeps the newest token where no store is named.
        newest: The newest record of each place, as a store may lose it or fail to take it; beside
            it what makes the process forget it together with the store.
        rotates: Whether the server was seen to give another refresh token for one.
        kept_in: Where the newest refresh token is, None before there is one.
        is_inherited: Whether a parent process holds the same refresh token: both would spend it.
    """

    name: str = field(default_factory=partial(token_hex, 8))
    memory: MemoryStore = field(default_factory=MemoryStore)
    newest: dict[Place, tuple[object, TokenRecord]] = field(default_factory=dict)
    rotates: bool = False
    kept_in: Place | None = None
    is_inherited: bool = False


class Families:
    """The families of this process. Safe to use from many threads."""

    def __init__(self) -> None:
        self._all: WeakSet[Family] = WeakSet()
        self._named: OrderedDict[str, Family] = OrderedDict()
        self._of_objects: OrderedDict[object, tuple[object, Family]] = OrderedDict()
        self._owners: OrderedDict[Place, tuple[object, object, str]] = OrderedDict()
        self._sending: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._spent: OrderedDict[str, None] = OrderedDict()
        # Reentrant: an object of the user's may be collected while this thread holds it, and make
        # settings then.
        self._lock = ForkSafeLock(self._share_with_parent, reentrant=True)

    def of(self, source: object) -> Family:
        """Return the family of a source: the same for one object, and for equal ``family`` names.

        A constant, and a source whose ``family`` is None, have a new one each time. So has a
        function: it may answer for the user of the moment, and it spends no refresh token, as it is
        not told which token to replace.
        """
        name = getattr(source, "family", "")
        with self._lock:
            if is_constant(source) or not hasattr(source, "fetch") or name is None:
                family = Family()
            else:
                family = self._of_name(name) if name else self._of_object(source)
            self._all.add(family)
        return family

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
            self._of_objects[place] = _life(self._of_objects, place, thing), Family()
            if len(self._of_objects) > MOST_OBJECTS:
                self._of_objects.popitem(last=False)
        self._of_objects.move_to_end(place)
        return self._of_objects[place][1]

    def owner(self, source: object, store: Store, key: str) -> str | None:
        """Return who owns a store's record under its origins; None: this source does.

        The first source without a ``store_key`` that asks owns the record. So do a function with
        the same code and equal captured values, and a source of the same family. Any other source
        may give the tokens of somebody else.

        Returns:
            The name of the source that owns it.
        """
        place = place_of(store, key)
        with self._lock:
            identity = self._identity(source)
            if place not in self._owners:
                life = _life_of_store(self._owners, place, store)
                self._owners[place] = life, identity, name_of(source)
            self._owners.move_to_end(place)
            if len(self._owners) > MOST_OWNERS:
                self._owners.popitem(last=False)
            _, owner, name = self._owners[place]
        return None if owner == identity else name

    def _identity(self, source: object) -> object:
        """Return a value that is equal for the same source alone, and does not keep it alive."""
        if isinstance(source, FunctionType):
            cells = [cell.cell_contents for cell in source.__closure__ or () if _is_full(cell)]
            given = (*(source.__defaults__ or ()), *(source.__kwdefaults__ or {}).values())
            captured = (*cells, *given)
            if all(type(value) in _PLAIN for value in captured):
                values = tuple((type(value), value) for value in captured)
                return source.__code__, _Captured(source.__globals__, values)
        name = getattr(source, "family", None)
        return self._of_name(name) if isinstance(name, str) else self._of_object(source)

    @contextmanager
    def sending(self, digest: str, seconds: float) -> Iterator[None]:
        """Let this thread alone send a first refresh token in this block.

        Args:
            digest: Of the refresh token, its client and its server.
            seconds: How long to wait for another thread that sends it.

        Raises:
            RefreshFailed: The token was spent in this process, or another thread still sends it.
        """
        with self._lock:
            lock = self._sending.setdefault(digest, Lock())  # kept as long as a thread uses it
        if not lock.acquire(timeout=seconds):
            raise RefreshFailed("the first refresh token is being sent by another thread still")
        try:
            if digest in self._spent:
                raise RefreshFailed(
                    "the first refresh token was spent in this process, and the store has none "
                    "that followed it: after a sign-out, sign in again and give the new refresh "
                    "token; otherwise name one store in all settings that use it"
                )
            yield
        finally:
            lock.release()

    def spend(self, digest: str) -> None:
        """Never send a first refresh token again: the server gave another one for it."""
        with self._lock:
            self._spent[digest] = None
            if len(self._spent) > MOST_SPENT:
                self._spent.popitem(last=False)

    def forget(self) -> None:
        """Forget all that a new process would not know."""
        with self._lock:
            self._named.clear()
            self._of_objects.clear()
            self._owners.clear()
            self._spent.clear()

    def _share_with_parent(self) -> None:
        """Spend no refresh token that the parent process holds as well."""
        # The parent's threads go on sending them.
        held = (digest for digest, lock in self._sending.items() if lock.locked())
        self._spent.update(dict.fromkeys(held))
        self._sending = WeakValueDictionary()
        for family in list(self._all):
            family.is_inherited = family.rotates


def _life(known: dict[Any, Any], place: object, thing: object) -> object:
    """Forget a place when the thing in it is collected: another one may get its address.

    Returns:
        The object to keep in memory as long as the place.
    """
    try:
        return ref(thing, lambda _: known.pop(place, None))
    except TypeError:
        return thing  # it takes no weak reference: kept, so that no other one gets its address


def _life_of_store(known: dict[Any, Any], place: object, store: Store) -> object:
    """Forget a store's place as `_life` does; a ``place`` that the store names is kept for ever."""
    return None if getattr(store, "place", None) is not None else _life(known, place, store)


def place_of(store: Store, key: str) -> Place:
    """Return where a record is: two objects for one file, or for one server, are one place."""
    return getattr(store, "place", None) or id(store), key


def is_constant(source: object) -> bool:
    """Whether a source gives a constant or a reference, which no token of a store replaces."""
    return isinstance(source, Token) or getattr(source, "is_kept_elsewhere", False) is True


_PLAIN = {str, bytes, int, float, bool, type(None)}


class _Captured:  # noqa: PLW1641 (it is compared, and is no key)
    """What a function has captured: equal for the very same module and equal values.

    Neither `repr` nor `vars` shows any of it, as users have secrets there.
    """

    def __init__(self, module: dict[str, Any], values: object) -> None:
        self._given: Callable[[], tuple[dict[str, Any], object]] = lambda: (module, values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Captured):
            return False
        (module, values), (others, theirs) = self._given(), other._given()
        return module is others and values == theirs


def _is_full(cell: CellType) -> bool:
    """Whether a captured name is bound already."""
    try:
        return cell.cell_contents is cell.cell_contents
    except ValueError:
        return False


families = Families()


class KeptToken:
    """The newest token of a source: where it is kept, and what this process knows of it.

    Attributes:
        family: The tokens that the source has given in this process.
        store: The store of the settings; the memory of the family where none keeps the tokens.
        key: The name of the record there.
        place: What tells the record from all others.
        holder: What tells whose tokens these are.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        source, store = settings.token, settings.store
        self.family = families.of(source)
        self.store: Store = self.family.memory
        self.key = "token"  # the only record there
        if store is not None and not is_constant(source):
            is_named = bool(getattr(source, "store_key", None))
            owner = None if is_named else families.owner(source, store, name)
            if owner is None:
                self.store, self.key = store, name
            else:
                warn_once(
                    store,
                    f"two sources {name} {name_of(source)}",
                    f"{owner} and {name_of(source)} are two token sources for {name} in one "
                    f"{type(store).__name__}, and have no store_key: tokens of the second are kept "
                    "in memory only. Give them a store_key, the same for one identity, else one "
                    "for each",
                )
        self.place = place_of(self.store, self.key)
        is_named = getattr(source, "store_key", None) is not None
        self.holder = name if is_named or not self.is_in_memory else self.family.name

    @property
    def is_in_memory(self) -> bool:
        """Whether the token is in the memory of this process alone."""
        return self.store is self.family.memory

    @property
    def is_shared(self) -> bool:
        """Whether other processes may have the token, too."""
        return not (isinstance(self.store, MemoryStore) or getattr(self.store, "is_missing", False))

    @property
    def newest(self) -> TokenRecord | None:
        """Return the newest record that this process knows, whatever the store has."""
        known = self.family.newest.get(self.place)
        return known[1] if known else None

    @newest.setter
    def newest(self, record: TokenRecord) -> None:
        newest = self.family.newest
        newest[self.place] = _life_of_store(newest, self.place, self.store), record

    @property
    def generation(self) -> int:
        """Return the generation of the newest record, 0 if there is none."""
        return self.newest.generation if self.newest else 0
