"""How a token is renewed where others renew it too: alone, with the newest refresh token, once.

The store's lock is taken, the store is read again, what another put there is adopted; else the
source is asked once, and its token kept before the lock is given back. A server that rotates
refresh tokens takes each one once and may end the whole session at the second use: no grace is
assumed (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeGuard

from .._core.records import Reason
from .._core.token import Token, TokenRecord, UnreadableRecordError
from .._errors import INVALID_GRANT, RefreshFailed
from .._events import StoreFailed, logger, tell
from .._warnings import name_of, warn_of_store, warn_once
from .families import KeptToken, is_constant
from .renewal import NoToken, Renewed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from .._protocols import FetchContext
    from .._settings import Settings

LOCK_SECONDS = 60.0
"""How long a renewal waits for another process that renews the same token."""

RELOCK_SECONDS = 5.0
"""How long a store that cannot be locked is asked again, before the renewal goes on without it."""

OTHERS_TOKEN_SECONDS = 1.0
"""How long a renewal whose refresh token another process has spent waits for that one's token."""

_LASTING: tuple[type[OSError], ...] = (
    *(FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError),
    # On Windows, a file that another process has open gives a PermissionError for a moment.
    *([] if os.name == "nt" else [PermissionError]),
)
"""How a store fails that was given a wrong place: it is not asked again."""

_OURS = {"builtins", __name__.partition(".")[0]}


class _LockedError(NoToken):
    """Another process or thread holds the lock, and does not end."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What is known after the store was read.

    Attributes:
        token: The newest token, None where there is none.
        is_blind: Whether the store may hold a newer one.
        is_shared: Whether the store has a record, which other processes can read too.
    """

    token: Token | None
    is_blind: bool = True
    is_shared: bool = False


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
        source = settings.token
        self.key: str = getattr(source, "store_key", None) or " ".join(sorted(settings.origins))
        self.is_kept = True
        self.first: Token | None = None
        self._settings = settings
        self._kept = KeptToken(settings, self.key)
        self.holder = self._kept.holder
        self._holders: list[int] = []

    def renew(self, context: FetchContext) -> Renewed | Reason:
        """Return the token that replaces ``context.stale``, or why the source gave none.

        Raises:
            Exception: Whatever the source raised; `NoToken` when it is at fault, or the store.
        """
        if self.first is not None and context.stale is None:
            found = self._read_newest(self.first, may_write=False).token
            if found is self.first or self._replaces(found, None):
                return Renewed(found)
        try:
            with self._locked(LOCK_SECONDS, early=context.early) as is_alone:
                return self._renew_locked(context, is_alone=is_alone)
        except _LockedError:
            found = self._read_newest(may_write=False).token
            if not self._replaces(found, context.stale):
                raise
            return Renewed(found)

    def _renew_locked(self, context: FetchContext, *, is_alone: bool) -> Renewed | Reason:
        """Take over a newer token of another process, or ask the source."""
        stale, was_kept = context.stale, self.is_kept
        read = self._read_newest(stale, early=context.early)
        found = read.token
        if self._replaces(found, stale):
            return Renewed(found)
        if context.early and found is not None:
            # While there is time, ask for no token that the store would not keep. Nobody reads why
            # an early renewal brought none.
            if not (self._write() if was_kept and found.refresh_token else self.is_kept):
                raise NoToken
            if not was_kept:
                return Renewed(found)  # now it is: there was nothing else to do
        if read.is_shared and not is_alone and found is not None and found.refresh_token:
            raise NoToken(
                "its store can be read and not locked, and its refresh token is not spent behind "
                "the backs of others: let it be locked, or give a store of its own"
            )
        return self._ask_source(context, found, blind=read.is_blind or not is_alone)

    def _ask_source(
        self, context: FetchContext, found: Token | None, *, blind: bool
    ) -> Renewed | Reason:
        """Ask the source, once, and keep the token that it gives."""
        kept, before = self._kept, self._kept.generation
        look = partial(self._find_others_token, found)
        if kept.is_in_memory and kept.family.is_inherited and found is not None:
            # The parent process has the same refresh token, and spends it too.
            found, blind = replace(found, refresh_token=None), True
        if found is None:
            self._refuse_second_beginning()
        told = replace(context, stale=found, blind=blind, sibling=look)
        try:
            given = _fetch(self._settings.token, told)
        except RefreshFailed as error:
            others = self._find_others_token(found) if error.error == INVALID_GRANT else None
            if others is None:
                raise
            return Renewed(others)
        if given is None:
            return Reason.SOURCE_DECLINED
        is_again = (context.early or context.refused) and _is_one_of(given, context.stale, found)
        if is_again and (given == found or not _is_one_of(given, found)):
            return Reason.UNCHANGED
        if kept.generation != before and kept.newest is not None:
            if kept.newest.token is None:
                raise NoToken("its token was forgotten while it was asked")
            return Renewed(kept.newest.token)  # another renewal was begun meanwhile
        renewed = self._keep(given, found)  # the same token may come with another refresh token
        return Reason.UNCHANGED if is_again and context.refused else renewed

    def _read_newest(
        self, ours: Token | None = None, *, early: bool = False, may_write: bool = True
    ) -> _Read:
        """Read the newest token: the store's, unless the store has lost ours or never got it.

        Args:
            ours: The token to go on with where nothing newer is known.
            early: Whether there is time to wait for a store that is out of reach.
            may_write: Whether a store that has lost the newest token is given it again.
        """
        kept = self._kept
        try:
            stored = TokenRecord.load(kept.store.read(kept.key))
        except UnreadableRecordError as error:
            if kept.newest is None:
                self._go_on_without("read", error)
                return _Read(ours)
            stored = None
        except OSError as error:
            self._go_on_without("read", error, early=early)
            return _Read(kept.newest.token if kept.newest else ours)
        if stored is not None and stored.generation >= kept.generation:
            kept.newest = stored
            self.is_kept = True
        elif kept.newest is not None and may_write:
            self.is_kept = self._write()
        # A record without a refresh token does not tell which refresh token is still good.
        kept_token = stored.token if stored is not None else None
        has_lost_it = kept_token is not None and kept_token.refresh_token is None
        return _Read(
            kept.newest.token if kept.newest else ours,
            is_blind=has_lost_it and isinstance(getattr(self._settings.token, "family", None), str),
            is_shared=stored is not None,
        )

    def _refuse_second_beginning(self) -> None:
        """Do not ask a source without a token if that would spend its first refresh token again.

        Raises:
            NoToken: The source has given a refresh token in this process that is kept in another
                place, or another source that may have the same one has.
        """
        source, kept = self._settings.token, self._kept
        has_store = self._settings.store is not None and not is_constant(source)
        is_kept_out = has_store and kept.is_in_memory and hasattr(source, "fetch")
        if is_kept_out and getattr(source, "has_refresh_tokens", True):
            raise NoToken(
                "another token source without a store_key uses this store for the same origins, "
                "and both may begin with one refresh token: give them a store_key, the same for "
                "one identity, else one for each"
            )
        is_named = bool(getattr(source, "store_key", None))
        if not is_named and kept.family.kept_in not in (None, kept.place):
            raise NoToken(
                "it gave a refresh token in this process that is kept in another store or under "
                "another name, and would spend its first one again: name one store in all settings "
                "that use it, and give it a store_key"
            )

    def _replaces(self, found: Token | None, stale: Token | None) -> TypeGuard[Token]:
        if found is None or _is_one_of(found, stale):
            return False
        return not found.is_expired(self._settings.clock.time())

    def _find_others_token(self, spent: Token | None) -> Token | None:
        """Look for the token of another process that spent the same refresh token.

        Wait for it only where there may be such a process.
        """
        found = self._read_newest().token
        if not self._replaces(found, spent) and self._kept.is_shared:
            self._settings.clock.sleep(OTHERS_TOKEN_SECONDS)
            found = self._read_newest().token
        return found if self._replaces(found, spent) else None

    def _keep(self, fetched: Token, spent: Token | None) -> Renewed:
        """Keep the token that the source gave; warn once if only this process can renew it."""
        kept, family, now = self._kept, self._kept.family, self._settings.clock.time()
        if fetched.refresh_token is not None:
            family.kept_in, family.is_inherited = kept.place, False
            unchanged = {None, fetched.refresh_token}
            family.rotates |= spent is not None and spent.refresh_token not in unchanged
            if family.rotates and kept.is_in_memory:
                self._warn_of_rotation()
            elif family.rotates and getattr(kept.store, "is_locked", True) is False:
                self._warn_of_no_lock()
        if fetched.is_expired(now):
            # By this machine's clock alone: the source has just called the token good.
            fetched = replace(fetched, expires_at=None)
        self.is_kept = self._put_newest(fetched)
        return Renewed(fetched, fetched=True, is_kept=self.is_kept)

    def _put_newest(self, token: Token | None) -> bool:
        """Make the newest record one with this token; return whether the store has it."""
        kept, now = self._kept, self._settings.clock.time()
        # A later sign-in, on whatever machine, has a higher number by its clock; a renewal has one
        # although clocks go back.
        generation = max(kept.generation + 1, int(now * 1000))
        kept.newest = TokenRecord(token, generation, kept.newest.others if kept.newest else {})
        return self._write()

    def _warn_of_rotation(self) -> None:
        source = self._settings.token
        warn_once(
            getattr(source, "made_by", source),  # once for all users
            "rotates",
            "the server gives a new refresh token each time, and no store keeps those of the token "
            f"source {name_of(source)}: the last one is lost when this process ends, and other "
            "processes send spent ones. Give Settings(store=...), such as FileStore, and the same "
            "one in all processes",
            is_logged=True,
        )

    def _warn_of_no_lock(self) -> None:
        warn_once(
            self._kept.store,
            "no lock",
            "the server gives a new refresh token each time, and the FunctionStore has no lock: "
            "two processes that renew at once send one refresh token twice, and the server may end "
            "the session. Give FunctionStore(lock=...)",
            is_logged=True,
        )

    def _write(self) -> bool:
        """Put the newest token into the store; return whether it is there."""
        kept = self._kept
        try:
            if kept.newest is not None:
                kept.store.write(kept.key, kept.newest.dump())
        except OSError as error:
            self._go_on_without("write", error)
            return False
        return True

    @contextmanager
    def _locked(self, seconds: float, *, early: bool = False) -> Iterator[bool]:
        """Hold the store's lock; go on without it where the store cannot be locked.

        Yields:
            Whether no other process can have the lock: this renewal has it, or one that hangs.

        Raises:
            NoToken: Another has it all that time, or this thread, whose source calls us.
        """
        me = get_ident()
        if me in self._holders:
            raise _LockedError("its source is being asked by this very thread")
        lock = self._enter_lock(seconds, early=early)
        is_alone = lock is not None or bool(self._holders)
        if lock is not None:
            self._holders.append(me)
        try:
            yield is_alone
        finally:
            if me in self._holders:
                self._holders.remove(me)
            try:
                if lock is not None:
                    lock.__exit__(None, None, None)
            except OSError as error:
                self._go_on_without("lock", error)

    def _enter_lock(self, seconds: float, *, early: bool) -> AbstractContextManager[object] | None:
        """Return the lock, entered; None: the store is away, or a hanging renewal has the lock."""
        clock, until = self._settings.clock, None
        while True:
            try:
                lock = self._kept.store.lock(self._kept.key, seconds)
                lock.__enter__()
            except TimeoutError as error:
                if self._holders:
                    return None
                raise _LockedError("its store stayed locked by another") from error
            except OSError as error:
                # A store that is away may be back at once, and another process may be using it.
                until = clock.monotonic() + RELOCK_SECONDS if until is None else until
                if early or isinstance(error, _LASTING) or clock.monotonic() >= until:
                    self._go_on_without("lock", error, early=early)
                    return None
            else:
                return lock
            clock.sleep(RELOCK_SECONDS / 5)

    @property
    def is_in_memory(self) -> bool:
        """Whether this process alone has the token, or the store has not taken it."""
        kept = self._kept
        return kept.is_in_memory or not self.is_kept or getattr(kept.store, "is_missing", False)

    @property
    def is_forgotten(self) -> bool:
        """Whether the token was forgotten, and there has been no other one since."""
        newest = self._kept.newest
        return newest is not None and newest.token is None

    def newest(self) -> TokenRecord | None:
        """Return the newest record of the store or of this process, and change nothing."""
        kept = self._kept
        try:
            stored = TokenRecord.load(kept.store.read(kept.key))
        except (UnreadableRecordError, OSError) as error:
            self._go_on_without("read", error)
            stored = None
        known = kept.newest
        is_newer = known is None or (stored is not None and stored.generation >= known.generation)
        return stored if is_newer else known

    def forget(self, seconds: float, revoke: Callable[[Token | None], object]) -> bool:
        """Put a record in place of the token that says that it was forgotten.

        The family may begin again, in whatever place. A first refresh token that was replaced stays
        spent: a server that rotates refresh tokens would not take it.

        Args:
            seconds: How long to wait for another process or thread that renews the token.
            revoke: Is given the newest token before that, while nobody else renews it. If it
                raises, nothing is forgotten.

        Returns:
            Whether the store has the record.

        Raises:
            NoToken: Another process renews the token all that time.
            Exception: Whatever ``revoke`` raised.
        """
        family = self._kept.family
        with self._locked(seconds):
            revoke(self._read_newest(self.first, may_write=False).token)
            self.is_kept = self._put_newest(None)
            self.first = None
            if family.kept_in == self._kept.place:
                family.kept_in = None
        return self.is_kept

    def forget_holders(self) -> None:
        """Forget the threads that hold the lock: they are in the parent process."""
        self._holders = []

    def _go_on_without(self, doing: str, error: Exception, *, early: bool = False) -> None:
        """Report that the store failed, and go on without it.

        Raises:
            NoToken: The renewal is early: there is time to wait until the store is back.
        """
        name = type(error).__name__
        # The text of foreign exceptions may hold secrets.
        said = error if type(error).__module__.split(".")[0] in _OURS else name
        logger.warning("a token is in memory only: the %s of its store failed: %s", doing, said)
        warn_of_store(self._kept.store, doing, error)
        tell(self._settings.listeners, StoreFailed(self.key, doing, name))
        if early:
            raise NoToken from error  # nobody reads why an early renewal brought none


def _is_one_of(token: Token, *others: Token | None) -> bool:
    return any(other is not None and token.value == other.value for other in others)


def _fetch(source: Any, context: FetchContext) -> Token | None:
    """Return the token that a constant, a function or a `TokenSource` gives, None if it gives none.

    Raises:
        Exception: Whatever the source raised; `NoToken` if it gave something else, not quoted.
    """
    given = source
    if source is not None and not isinstance(source, Token):
        fetch = getattr(source, "fetch", None)
        given = source() if fetch is None else fetch(context)
    if isinstance(given, str):
        return Token(given)
    if given is not None and not isinstance(given, Token):
        raise NoToken(f"it must give a str or a Token, not {type(given).__name__}")
    if given is not None and not given.value:
        raise NoToken("a token from a pickle has lost its secret: give a function that fetches it")
    return given
