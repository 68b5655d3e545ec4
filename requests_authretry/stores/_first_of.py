"""Several stores as one: a desktop has a keyring, a server has none."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .._clock import SystemClock
from .._core.arguments import checks_arguments
from .._core.copying import CopiedAsItself
from .._core.token import TokenRecord, UnreadableRecordError
from .._core.validation import refuse
from .._protocols import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

_NOTE: Final = {"kind": "elsewhere", "version": 1}
"""The fields of a record that says that the token is in another store; it has no secret."""

_SHARED: Final = ("take", "keep", "reserve")
"""What a store has that processes share limits through."""

_LOST = (
    "the newest token was kept in another of the stores, which has lost it or is not there: bring "
    "that store back, or remove the record from all of them and sign in again"
)


@checks_arguments()
class FirstOf(CopiedAsItself):
    """Keeps tokens in the first of several stores that takes them.

    So one program serves desktops and servers:
    ``FirstOf(KeyringStore("my-app"), FileStore("~/.cache/my-app/token.json"))``.

    A store is passed over where it *is missing*, as `KeyringStore` is on a machine that has no
    keyring and never had one. All others count:

    * **Lock**: all of them are locked, in the order in which they are given. So two processes that
      do not see the same stores exclude each other as long as they see one in common.
    * **Read**: all of them are read, and the newest token counts, whichever store has it. One that
      cannot be read makes the read fail: it may hold a newer token, and its refresh token must not
      be sent twice. It is passed over if nothing was ever kept in it (`KeyringStore` knows).
    * **Write**: the first one that takes the record keeps it. Then a note without a secret replaces
      what others have that were used. A note that is newer than every token that is found makes a
      read fail: the store with the token is gone.

    Name the same stores, in the same order, in all processes. Limits are shared through the first
    store that can share them, and through no other one.

    Safe to use from many threads and processes, if the stores are. A copy in memory is the same
    store; it can be pickled if all its stores can.

    Args:
        *stores: Two stores or more; the first one is preferred.

    Raises:
        ConfigurationError: There are fewer than two, or one is no store.
    """

    def __init__(self, *stores: Store) -> None:
        self._stores = stores
        refuse(type(self).__name__, _faults(stores))
        able = (store for store in stores if hasattr(store, "take"))
        self._limits: Store = next(able, stores[-1])

    @property
    def is_missing(self) -> bool:
        """Whether every one of the stores is."""
        return all(map(_is_missing, self._stores))

    @property
    def is_unused(self) -> bool:
        """Whether nothing was ever kept in any of the stores, as far as they know."""
        return all(map(_is_unused, self._stores))

    def read(self, key: str) -> str | None:
        """Return the newest record under a key, None when there is none.

        Raises:
            OSError: A store that may hold a newer one cannot be read, or has lost it.
        """
        found = [record for record in self._records(key) if record is not None]
        newest = max(found, key=lambda each: (_generation(each), not _is_note(each)), default=None)
        if newest is not None and _is_note(newest):
            raise OSError(_LOST)
        return newest

    def write(self, key: str, record: str) -> None:
        """Keep a record in the first store that takes it, and a note in the others.

        An empty record empties all of them. What is no token leaves no note.

        Raises:
            OSError: No store takes it, or one of them keeps what was to be removed.
        """
        there = self._there()
        keeper, note = _first_to_take(there, key, record), _note_of(record)
        for store in there:
            if store is not keeper and not _is_unused(store):
                _put(note, store, key, is_needed=not record)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """Exclude everyone else who locks this key in one of the stores, as `Store.lock` says."""
        clock = SystemClock()
        until = clock.monotonic() + timeout
        with ExitStack() as locks:
            for store in self._there():
                left = until - clock.monotonic()
                _asked(store, partial(_enter, locks, store, key, left))
            yield

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down in the store that shares limits, as `Store.push` says."""
        return self._limits.push(key, seconds)

    @property
    def place(self) -> tuple[object, ...] | None:
        """Name the places of all stores; None where one of them has no name for its own."""
        places = [getattr(store, "place", None) for store in self._stores]
        return None if None in places else ("first of", *places)

    def __getattr__(self, name: str) -> Any:
        limits = self.__dict__.get("_limits")
        if name not in _SHARED or limits is None:
            raise AttributeError(name)
        return getattr(limits, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._stores))})"

    def __reduce__(self) -> tuple[type[FirstOf], tuple[Store, ...]]:
        return type(self), self._stores

    def _there(self) -> list[Store]:
        """Return the stores that are not missing; the last one stands in where all are."""
        return [store for store in self._stores if not _is_missing(store)] or [self._stores[-1]]

    def _records(self, key: str) -> list[str | None]:
        """Read all stores, in order.

        Raises:
            OSError: One that was used cannot be read.
        """
        return [_asked(store, partial(store.read, key)) for store in self._there()]


def _first_to_take(stores: Iterable[Store], key: str, record: str) -> Store:
    """Write a record to the first store that takes it, and return that store.

    Raises:
        OSError: None does; the error is the one of the first.
    """
    failures: list[OSError] = []
    for store in stores:
        if _takes(store, key, record, failures):
            return store
    raise failures[0]


def _takes(store: Store, key: str, record: str, failures: list[OSError]) -> bool:
    try:
        store.write(key, record)
    except OSError as error:
        failures.append(error)
        return False
    return True


def _asked(store: Store, call: Callable[[], T]) -> T | None:
    """Ask a store; None where it fails and nothing was ever kept in it.

    Raises:
        OSError: It may have a newer record.
        TimeoutError: Another process holds it.
    """
    try:
        return call()
    except OSError as error:
        if isinstance(error, TimeoutError) or not _is_unused(store):
            raise
    return None


def _put(note: str, store: Store, key: str, *, is_needed: bool) -> None:
    """Put a note in place of a store's record; where it is not needed, a failure is no matter.

    Without it the store has an older token, which counts less than the newest one.
    """
    try:
        if (store.read(key) or "") != note:
            store.write(key, note)
    except OSError:
        if is_needed:
            raise


def _enter(locks: ExitStack, store: Store, key: str, seconds: float) -> None:
    locks.enter_context(store.lock(key, seconds))


def _is_missing(store: Any) -> bool:
    return getattr(store, "is_missing", False) is True


def _is_unused(store: Any) -> bool:
    return getattr(store, "is_unused", False) is True


def _generation(record: str) -> float:
    """Return how new a record is; one that gives no token may be newer than all others."""
    try:
        if _is_note(record):
            return float(json.loads(record)["generation"])
        found = TokenRecord.load(record)
    except (UnreadableRecordError, ValueError, KeyError, TypeError, OverflowError):
        return inf
    return found.generation if found else -1


def _note_of(record: str) -> str:
    """Return what other stores get in place of their record: nothing where this is no token."""
    generation = _generation(record)
    is_token = 0 <= generation < inf
    return json.dumps({**_NOTE, "generation": generation}) if is_token else ""


def _is_note(record: str) -> bool:
    try:
        fields = json.loads(record)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and fields.get("kind") == _NOTE["kind"]


def _faults(stores: tuple[Any, ...]) -> Iterable[str | None]:
    if len(stores) < 2:  # noqa: PLR2004 (of one there is no first)
        yield "give two stores or more: FirstOf(KeyringStore(...), FileStore(...))"
    for place, store in enumerate(stores, 1):
        if isinstance(store, type):
            yield f"store {place} is the class {store.__name__}: give an object of it"
        elif not isinstance(store, Store):
            yield f"store {place} must be a store, not {type(store).__name__}"
