"""How a token is renewed where others renew it too: alone, with the newest refresh token, once.

The store's lock is taken, the store is read again, what another put there is adopted; else the
source is asked once, and its token kept before the lock is given back. A server that rotates
refresh tokens takes each one once and may end the whole session at the second use: no grace is
assumed (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeGuard
from warnings import warn

from .._core.records import Reason
from .._core.token import Token, TokenRecord, UnreadableRecordError
from .._errors import INVALID_GRANT, RefreshFailed
from .._events import StoreFailed, logger, tell
from .families import families, is_constant, name_of, place_of
from .renewal import NoToken, Renewed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from .._protocols import FetchContext, Store
    from .._settings import Settings
    from .families import Family

LOCK_SECONDS = 60.0
"""How long a renewal waits for another process that renews the same token."""

RELOCK_SECONDS = 5.0
"""How long a store that cannot be locked is asked again, before the renewal goes on without it."""

SIBLING_SECONDS = 1.0
"""How long a renewal whose refresh token was spent waits for the token of the process that did."""

_OURS = {"builtins", __name__.partition(".")[0]}

_ALONE = "token"
"""The name of the one record in a store that serves one token source alone."""


class _LockedError(NoToken):
    """Another process or thread holds the lock, and does not end."""


class StoreSync:
    """The renewal of one token in step with its store.

    Used by one thread at a time, apart from renewals that hang and were given up.

    Attributes:
        key: The name the store keeps the token under.
        is_kept: Whether the store has the newest token that is known here.
        first: The token adopted from the caller's header, used until the server refuses it, unless
            the store has one.
    """

    def __init__(self, settings: Settings) -> None:
        source = self._source = settings.token
        self.key: str = getattr(source, "store_key", None) or " ".join(sorted(settings.origins))
        self._family = families.of(source)
        self._store, self._record_key = _place(settings, self._family, self.key)
        self._is_in_memory = self._store is self._family.memory
        self._record_place = place_of(self._store, self._record_key)
        has_store = settings.store is not None and not is_constant(source)
        self._is_kept_out = has_store and self._is_in_memory and hasattr(source, "fetch")
        self._fetch = _fetcher(source)
        self._clock, self._listeners = settings.clock, settings.listeners
        self._holders = 0
        self._is_alone = True
        self._is_shared = False
        self.is_kept = True
        self._is_blind = False
        self.first: Token | None = None

    def renew(self, context: FetchContext) -> Renewed | Reason:
        """Return the token that replaces ``context.stale``, or why the source gave none.

        Raises:
            Exception: Whatever the source raised; `NoToken` when it is at fault, or the store.
        """
        if self.first is not None and context.stale is None:
            found = self._read_newest(self.first, alone=False)
            if found is self.first or self._replaces(found, None):
                return Renewed(found, fetched=False)
        try:
            with self._locked(early=context.early):
                return self._renew_alone(context)
        except _LockedError:
            found = self._read_newest(context.stale, alone=False)
            if not self._replaces(found, context.stale):
                raise
            return Renewed(found, fetched=False)

    def _renew_alone(self, context: FetchContext) -> Renewed | Reason:
        stale, was_kept = context.stale, self.is_kept
        found = self._read_newest(stale, early=context.early)
        if self._replaces(found, stale):
            return Renewed(found, fetched=False)
        if context.early and found is not None:
            # While there is time, ask for no token that the store would not keep.
            if not (self._write() if was_kept and found.refresh_token else self.is_kept):
                raise NoToken("its store does not keep it")
            if not was_kept:
                return Renewed(found, fetched=False)  # now it is: there was nothing else to do
        if self._is_shared and not self._is_alone and found is not None and found.refresh_token:
            raise NoToken(
                "its store can be read and not locked, and its refresh token is not spent behind "
                "the backs of others: let it be locked, or give a store of its own"
            )
        return self._ask_source(context, found)

    def _ask_source(self, context: FetchContext, found: Token | None) -> Renewed | Reason:
        """Ask the source, once, and keep the token that it gives."""
        before = self._generation
        look = partial(self._find_sibling, found)
        blind = self._is_blind or not self._is_alone
        if self._is_in_memory and self._family.is_inherited and found is not None:
            # The parent process has the same refresh token, and spends it too.
            found, blind = replace(found, refresh_token=None), True
        if found is None:
            self._refuse_second_beginning()
        told = replace(context, stale=found, blind=blind, sibling=look)
        try:
            given = _token(self._fetch(told))
        except RefreshFailed as error:
            sibling = self._find_sibling(found) if error.error == INVALID_GRANT else None
            if sibling is None:
                raise
            return Renewed(sibling, fetched=False)
        if given is None:
            return Reason.SOURCE_DECLINED
        is_again = (context.early or context.refused) and _is_one_of(given, context.stale, found)
        if is_again and (given == found or not _is_one_of(given, found)):
            return Reason.UNCHANGED
        if self._generation != before and self._newest is not None:
            return Renewed(self._newest.token, fetched=False)  # another renewal was begun meanwhile
        self._note_rotation(given, found)
        kept = self._keep(given)  # the same token may come with another refresh token
        return Reason.UNCHANGED if is_again and context.refused else kept

    def _read_newest(
        self, ours: Token | None, *, early: bool = False, alone: bool = True
    ) -> Token | None:
        """Return the newest token: the store's, unless the store has lost ours or never got it."""
        self._is_blind, self._is_shared = True, False
        try:
            stored = TokenRecord.load(self._store.read(self._record_key))
        except UnreadableRecordError as error:
            if self._newest is None:
                self._report("read", error)
                return ours
            stored = None
        except OSError as error:
            self._go_on_without("read", error, early=early)
            return self._newest.token if self._newest else ours
        # A record without a refresh token does not tell which refresh token is still good.
        has_lost_it = stored is not None and stored.token.refresh_token is None
        self._is_blind = has_lost_it and isinstance(getattr(self._source, "family", None), str)
        self._is_shared = stored is not None
        if stored is not None and stored.generation >= self._generation:
            self._newest = stored
            self.is_kept = True
        elif self._newest is not None and alone:
            self.is_kept = self._write()
        return self._newest.token if self._newest else ours

    @property
    def _newest(self) -> TokenRecord | None:
        """The newest record that this process knows, whatever the store has."""
        return self._family.recall(self._record_place)

    @_newest.setter
    def _newest(self, record: TokenRecord) -> None:
        self._family.remember(self._store, self._record_place, record)

    @property
    def _generation(self) -> int:
        return self._newest.generation if self._newest else 0

    def _refuse_second_beginning(self) -> None:
        """Do not ask a source without a token if that would spend its first refresh token again.

        Raises:
            NoToken: The source has given a refresh token in this process that is kept in another
                place, or another source that may have the same one has.
        """
        if self._is_kept_out and getattr(self._source, "has_refresh_tokens", True):
            raise NoToken(
                "another token source without a store_key uses this store for the same origins, "
                "and both may begin with one refresh token: give them a store_key, the same for "
                "one identity, else one for each"
            )
        is_named = bool(getattr(self._source, "store_key", None))
        if not is_named and self._family.kept_in not in (None, self._record_place):
            raise NoToken(
                "it gave a refresh token in this process that is kept in another store or under "
                "another name, and would spend its first one again: name one store in all settings "
                "that use it, and give it a store_key"
            )

    def _replaces(self, found: Token | None, stale: Token | None) -> TypeGuard[Token]:
        if found is None or _is_one_of(found, stale):
            return False
        return not found.is_expired(self._clock.time())

    def _find_sibling(self, spent: Token | None) -> Token | None:
        """Look for the token of another process that spent the same refresh token."""
        found = self._read_newest(spent)
        if not self._replaces(found, spent):
            self._clock.sleep(SIBLING_SECONDS)
            found = self._read_newest(spent)
        return found if self._replaces(found, spent) else None

    def _note_rotation(self, fetched: Token, spent: Token | None) -> None:
        """Remember where the newest refresh token is; warn once if it is in memory alone."""
        if fetched.refresh_token is None:
            return
        family = self._family
        family.kept_in, family.is_inherited = self._record_place, False
        family.rotates |= spent is not None and spent.refresh_token not in {
            None,
            fetched.refresh_token,
        }
        if family.rotates and self._is_in_memory and not families.is_warned:
            families.is_warned = True
            logger.warning(
                "the server gives a new refresh token each time: without Settings(store=...) the "
                "last one is lost when this process ends, and other processes send spent ones"
            )

    def _keep(self, fetched: Token) -> Renewed:
        if fetched.is_expired(self._clock.time()):
            # By this machine's clock alone: the source has just called the token good.
            fetched = replace(fetched, expires_at=None)
        # A later sign-in, on whatever machine, has a higher number by its clock; a renewal has one
        # although clocks go back.
        generation = max(self._generation + 1, int(self._clock.time() * 1000))
        others = self._newest.others if self._newest else {}
        self._newest = TokenRecord(fetched, generation, others)
        self.is_kept = self._write()
        return Renewed(fetched, fetched=True, is_kept=self.is_kept)

    def _write(self) -> bool:
        """Put the newest token into the store; return whether it is there."""
        try:
            if self._newest is not None:
                self._store.write(self._record_key, self._newest.dump())
        except OSError as error:
            self._go_on_without("write", error)
            return False
        return True

    @contextmanager
    def _locked(self, *, early: bool) -> Iterator[None]:
        """Hold the store's lock; where it cannot be had, only threads of this process wait."""
        lock = self._enter_lock(early=early)
        self._is_alone = lock is not None or self._holders > 0
        self._holders += lock is not None
        try:
            yield
        finally:
            self._holders -= lock is not None
            try:
                if lock is not None:
                    lock.__exit__(None, None, None)
            except OSError as error:
                self._go_on_without("lock", error)

    def _enter_lock(self, *, early: bool) -> AbstractContextManager[object] | None:
        """Return the lock, entered; None: the store is away, or a hanging renewal has the lock."""
        lock = self._try_lock()
        until = self._clock.monotonic() + RELOCK_SECONDS
        while isinstance(lock, OSError):
            # A store that is away may be back at once, and another process may be using it.
            if early or self._clock.monotonic() >= until:
                self._go_on_without("lock", lock, early=early)
                return None
            self._clock.sleep(RELOCK_SECONDS / 5)
            lock = self._try_lock()
        return lock

    def _try_lock(self) -> AbstractContextManager[object] | OSError | None:
        try:
            lock = self._store.lock(self._record_key, LOCK_SECONDS)
            lock.__enter__()
        except TimeoutError as error:
            if self._holders:
                return None
            raise _LockedError("its store stayed locked by another") from error
        except OSError as error:
            return error
        return lock

    def forget_holders(self) -> None:
        """Forget the threads that hold the lock: they are in the parent process."""
        self._holders = 0

    def _go_on_without(self, doing: str, error: OSError, *, early: bool = False) -> None:
        """Go on without the store, unless there is time to wait until it is back."""
        self._report(doing, error)
        if early:
            raise NoToken("its store is out of reach") from error

    def _report(self, doing: str, error: Exception) -> None:
        name = type(error).__name__
        # The text of foreign exceptions may hold secrets.
        said = error if type(error).__module__.split(".")[0] in _OURS else name
        logger.warning("a token is in memory only: the %s of its store failed: %s", doing, said)
        tell(self._listeners, StoreFailed(self.key, doing, name))


def _place(settings: Settings, family: Family, key: str) -> tuple[Store, str]:
    """Return the store that keeps a source's tokens, and the name of its record there."""
    source, store = settings.token, settings.store
    if store is None or is_constant(source):
        return family.memory, _ALONE
    if getattr(source, "store_key", None):
        return store, key
    owner, name = families.owner(source, store, key), name_of(source)
    if owner is None:
        return store, key
    warn(
        f"{owner} and {name} are two token sources for {key} in one {type(store).__name__}, and "
        f"have no store_key: tokens of the second are kept in memory only. Give them a store_key, "
        "the same for one identity, else one for each",
        stacklevel=2,
    )
    return family.memory, _ALONE


def _fetcher(source: object) -> Callable[[FetchContext], object]:
    """Return one way to call a constant, a function and a `TokenSource`."""
    if isinstance(source, Token) or source is None:
        return lambda _: source
    fetch = getattr(source, "fetch", None)
    if fetch is not None:
        return fetch  # type: ignore[no-any-return]
    return lambda _: source()  # type: ignore[operator]


def _is_one_of(token: Token, *others: Token | None) -> bool:
    return any(other is not None and token.value == other.value for other in others)


def _token(given: object) -> Token | None:
    """Return what the source gave, if it is a token; no message quotes it."""
    if isinstance(given, str):
        return Token(given)
    if given is not None and not isinstance(given, Token):
        raise NoToken(f"it must give a str or a Token, not {type(given).__name__}")
    if given is not None and not given.value:
        raise NoToken("a token from a pickle has lost its secret: give a function that fetches it")
    return given
