"""The tokens of many identities in one process: a manager for each, made when it is needed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary

from .._core.display import shown
from .._core.token import Token
from .._core.validation import ConfigurationError
from .._errors import AuthRetryError, RefreshFailed
from .._locks import ForkSafeLock
from .._override import current
from .._per_identity import PerIdentity
from .._settings import token_fault
from .._warnings import name_of, warn_once
from .families import families
from .manager import HeldToken, TokenManager
from .renewal import Failure, NoToken, SourceError, is_renewing, raise_failure

if TYPE_CHECKING:
    from .._protocols import Store
    from .._settings import Settings
    from .manager import Waiting

_NOBODY = (
    "not sent: these settings have a token for each identity, and this call has none. Put the call "
    'into a block, with acting_as("alice"): session.get(...). A thread that is started in a block '
    "does not inherit it, unless it runs in contextvars.copy_context()"
)
_ITSELF = (
    "not sent: a token source, or make_source, uses the session that waits for its token: give it "
    "one of its own"
)


class Identities:
    """The managers of a `PerIdentity`. Safe to use from many threads.

    An identity never has two managers at a time, so that its token is never renewed twice at once.
    The identities used last are kept. One that is dropped is found again for as long as a call or a
    renewal uses its manager.

    Args:
        settings: Settings whose token is a `PerIdentity`.
        is_apart: Whether an override gave them: tokens of sources without a ``store_key`` stay out
            of the store then, as its name for them belongs to the tokens of the session.
    """

    def __init__(self, settings: Settings, *, is_apart: bool) -> None:
        per_identity: Any = settings.token
        self._settings, self._given = settings, per_identity
        self._recent: OrderedDict[str, TokenManager] = OrderedDict()
        self._alive: WeakValueDictionary[str, TokenManager] = WeakValueDictionary()
        self._lock = ForkSafeLock()
        self._origins = " ".join(sorted(settings.origins))
        self._unnamed_store = None if is_apart else self._store_of_origins()

    def manager(self, identity: str | None, *, may_make: bool = True) -> TokenManager | None:
        """Return what keeps and renews the token of an identity.

        Args:
            identity: The identity; None where the call has none.
            may_make: Whether its source may be made; else None is returned for an unknown identity.

        Returns:
            A manager; one that refuses each request where there is no identity or no source.
        """
        if identity is None:
            return NoManager(None)
        manager = self._find(identity)
        if not may_make or (manager is not None and not manager.is_to_begin_anew):
            return manager
        try:
            settings = self._settings_of(identity)
            if manager is not None:
                manager.begin_anew(settings)
                return manager
            return self._keep(identity, TokenManager(settings))
        except Exception as error:  # noqa: BLE001 (the call that needs the token is told)
            return NoManager(_as_failure(error))

    def _find(self, identity: str) -> TokenManager | None:
        """Return the manager that is there, and note that it was used."""
        with self._lock:
            manager = self._alive.get(identity)
            dropped = self._note_use(identity, manager)
        del dropped
        return manager

    def _keep(self, identity: str, made: TokenManager) -> TokenManager:
        """Keep a manager that was made; of several threads all get the first one."""
        with self._lock:
            manager = self._alive.setdefault(identity, made)
            dropped = self._note_use(identity, manager)
        del dropped
        return manager

    def _note_use(self, identity: str, manager: TokenManager | None) -> TokenManager | None:
        """Keep a manager as the one used last; the lock is held.

        Returns:
            The manager that is dropped for it. It goes when the lock is free: code of the user's
            may run then, as its source goes too.
        """
        if manager is None:
            return None
        self._recent[identity] = manager
        self._recent.move_to_end(identity)
        if len(self._recent) <= self._given.max_identities:
            return None
        return self._recent.popitem(last=False)[1]

    def _settings_of(self, identity: str) -> Settings:
        """Return the settings of one identity, whose source has a name of its own in stores.

        Raises:
            NoToken: There is no source.
            Exception: Whatever `make_source` raises.
        """
        source, settings = self._make_source(identity), self._settings
        if isinstance(source, (str, Token)):
            return replace(settings, token=source)
        fault = token_fault(source)
        if source is None or isinstance(source, (type, PerIdentity)):
            fault = "it must return a str, a Token, a function or a TokenSource"
        if fault is not None:
            raise NoToken(f"make_source returned {type(source).__name__}: {fault}")
        key = getattr(source, "store_key", None)
        name = f"{key or self._origins} {hash_of(identity)}"
        named = NamedSource(source, name, self._given.make_source)
        store = settings.store if key else self._unnamed_store
        return replace(settings, token=named, store=store)

    def _make_source(self, identity: str) -> Any:
        """Ask the user's function, outside of all blocks, so that it cannot ask for itself."""
        outside = current.set(None)
        try:
            return self._given.make_source(identity)
        finally:
            current.reset(outside)

    def _store_of_origins(self) -> Store | None:
        """Return where tokens of sources without a ``store_key`` are kept.

        None where another `PerIdentity` of this process keeps tokens for these origins there: its
        users may be others, and its tokens for another purpose.
        """
        make_source, store = self._given.make_source, self._settings.store
        if store is None:
            return None
        owner = families.owner(make_source, store, f"{self._origins} per identity")
        if owner is None:
            return store
        mine = name_of(make_source)
        warn_once(
            store,
            f"two identities {self._origins} {mine}",
            f"{owner} and {mine} make token sources for {self._origins} in one "
            f"{type(store).__name__}: tokens of the second are kept in memory only, unless its "
            "sources have a store_key. Give them one",
        )
        return None


class NamedSource:
    """The source of one identity, with a name in stores that no other identity has.

    Args:
        source: What `make_source` returned: a function or a `TokenSource`.
        store_key: The name.
        made_by: `make_source`, which a warning is about.
    """

    def __init__(self, source: Any, store_key: str, made_by: object) -> None:
        self._source, self.store_key, self.made_by = source, store_key, made_by
        self.__qualname__ = name_of(source)

    @property
    def family_anchor(self) -> tuple[object, object]:
        """Keep the identities of one object apart, whose `fetch` may look who is asking."""
        thing, what = getattr(self._source, "family_anchor", (self._source, None))
        return thing, (what, self.store_key)

    def __call__(self) -> Any:
        """Ask a function."""
        return self._source()

    def __repr__(self) -> str:
        """Show the source, and not whose it is."""
        return shown(self._source)

    def __getattr__(self, name: str) -> Any:
        """Return what the source says of itself, its ``fetch`` included."""
        if name.startswith("_"):  # with those of a method, this would be taken for its function
            raise AttributeError(name)
        return getattr(self._source, name)


class NoManager(TokenManager):
    """Stands where an identity has no token: each request that needs one is refused.

    Args:
        failure: Why there is no source; None where the call has no identity.
    """

    def __init__(self, failure: Failure | None) -> None:
        self.current = self.fetched = self.prover = None
        self.held, self.key, self._failure = HeldToken(), "", failure

    @property
    def holder(self) -> str:
        """Return a name that no manager has."""
        return ""

    def is_ours(self, given: str) -> bool:  # noqa: ARG002 (as that of a manager)
        """Return False: the credential of a request is its own."""
        return False

    def usable(self, deadline: float, waiting: Waiting) -> Token:  # noqa: ARG002 (as above)
        """Refuse the request, as `refuse`."""
        self.refuse()

    def refuse(self) -> NoReturn:
        """Raise why there is no token.

        Raises:
            RefreshFailed: There is no source.
            AuthRetryError: There is no identity.
        """
        if self._failure is None:
            raise AuthRetryError(_ITSELF if is_renewing() else _NOBODY)
        raise_failure(self._failure)


def hash_of(identity: str) -> str:
    """Return the name of an identity in stores: 40 hexadecimal digits.

    They are 160 bits of a hash, so that nobody finds two identities with one name.
    """
    data = identity.encode(errors="surrogatepass")
    return blake2b(data, digest_size=20, person=b"identity").hexdigest()


def _as_failure(error: Exception) -> Failure:
    """Return what callers may see of an exception of `make_source`."""
    if isinstance(error, (NoToken, RefreshFailed)):
        return error
    if isinstance(error, ConfigurationError):
        return NoToken(f"what make_source returned cannot work: {', '.join(error.faults)}")
    return SourceError.of(error, f"make_source failed with {type(error).__name__}")
