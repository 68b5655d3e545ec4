"""The store of one user: the keyring that the desktop or the operating system keeps for them.

Needs the extra: ``pip install 'requests-authretry[keyring]'``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ._core.arguments import checks_arguments
from ._core.copying import CopiedAsItself
from ._core.token import secret as hide
from ._core.validation import refuse, text
from ._warnings import warn_once
from .stores._lockfile import file_name, import_locks, lock_file, make_folder
from .stores._memory import MemoryStore

try:
    import keyring
    from keyring.backends import fail, null
except ImportError:
    raise ImportError(
        "requests_authretry.keyring needs keyring: pip install 'requests-authretry[keyring]'"
    ) from None

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from keyring.backend import KeyringBackend

__all__ = ["KeyringStore"]

_ACCESS_TIMEOUT = 60.0
"""Seconds to wait for another process, whose user may be asked for a password just now."""

_WAY_OUT = (
    "start one (on Linux one with the Secret Service, such as GNOME Keyring or KWallet), install "
    "another backend, or use FileStore"
)
_NO_KEYRING = f"there is no keyring here, and tokens were kept in one before: {_WAY_OUT}"

_memories: WeakValueDictionary[object, MemoryStore] = WeakValueDictionary()
"""Where the stores of each place keep their records while there is no keyring."""

_PLAIN = re.compile(r"[ -@\[-~]+")
_ODD = re.compile(r"[^ -~]")


@checks_arguments()
class KeyringStore(CopiedAsItself):
    """Keeps tokens in the user's keyring, for all processes of one user that name one service.

    A keyring cannot be locked: a lock file in the user's cache directory is, which is the same
    one in each of their sessions and in none (``XDG_RUNTIME_DIR`` is not set for cron). Stores ask
    the keyring in turn, as some are mere files. Safe to use from many threads and processes.

    Windows takes no more than 2560 bytes in UTF-16, 1280 characters with the names of the fields
    (``CRED_MAX_CREDENTIAL_BLOB_SIZE``): a longer token, as JWTs often are, cannot be kept there
    and is an `OSError`; use `FileStore`.

    Where there is no keyring at all, as on a server, nothing can be kept there: the store warns
    (`AuthRetryWarning`), and keeps tokens in the memory of this process. If it has kept a token in
    a keyring of this user before, or if the keyring is there and stays closed, this is an
    `OSError`, as the keyring may hold a newer token. `requests_authretry.FirstOf` names another
    store for such machines.

    Cool-downs are kept in memory, for those who share this object: a keyring would ask the user
    for each, and keep an entry for each. For cool-downs that processes share use `FileStore`.

    A copy in memory is the same store. A pickle names the service; a store with a ``backend`` of
    its own is not pickled, as backends hold passwords.

    Args:
        service: What the keyring shows as the owner of the tokens; the key stands as the user,
            with a hash behind it where it has capitals or odd characters.
        backend: The keyring to use; None: the one that `keyring.get_keyring` finds.

    Raises:
        ConfigurationError: The service has no name, or the backend is none.
    """

    def __init__(
        self, service: str = "requests_authretry", *, backend: KeyringBackend | None = None
    ) -> None:
        refuse("KeyringStore", _faults(service, backend))
        self._service = service
        self._backend = backend
        self._cool_downs = MemoryStore()
        self._memory = _memories.setdefault(self.place, MemoryStore())
        import_locks()

    def read(self, key: str) -> str | None:
        """Return the record under a key, None when there is none.

        Raises:
            OSError: The keyring is gone, or stays closed.
            TimeoutError: Another process is using it and does not end.
        """
        if self._is_replaced():
            return self._memory.read(key)
        with self._in_turn():
            record = self._asked("get_password", _user(key))
            if not isinstance(record, str):
                return None
            self._mark_used()
        return record

    def write(self, key: str, record: str) -> None:
        """Keep a record.

        Raises:
            OSError: The keyring is gone, it stays closed, or the record is too long for it.
            TimeoutError: Another process is using it and does not end.
        """
        record = hide(record)
        if self._is_replaced():
            self._memory.write(key, record)
            return
        with self._in_turn():
            is_first = self.is_unused
            # Before the record: a process that is killed in between leaves no record without it.
            self._mark_used()
            try:
                self._asked("set_password", _user(key), record)
            except OSError:
                if is_first:
                    self._mark().unlink(missing_ok=True)
                raise

    def lock(self, key: str, timeout: float) -> AbstractContextManager[None]:
        """Exclude every other thread and process of this user that locks this key.

        As `Store.lock` says; the operating system gives the lock back when its holder dies.
        """
        if self.is_missing:
            return self._memory.lock(key, timeout)
        return lock_file(_lock_path(f"{self._service}\0{key}"), timeout)

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down, as `Store.push` says, in memory; the keyring is not asked."""
        return self._cool_downs.push(key, seconds)

    @property
    def is_missing(self) -> bool:
        """Whether there is no keyring, and was none before: records are kept in memory."""
        try:
            return self.is_unused and _keeps_nothing(self._found())
        except OSError:
            return False

    @property
    def is_unused(self) -> bool:
        """Whether this user has never kept a record in the keyring under this service."""
        try:
            return not self._mark().exists()
        except OSError:  # nobody can have kept a mark there
            return True

    @property
    def place(self) -> tuple[object, ...]:
        """Name service and keyring: the same for all stores that keep their records there."""
        return "keyring", self._service, None if self._backend is None else id(self._backend)

    def __repr__(self) -> str:
        """Show how it is made; of the backend only its kind."""
        backend = f", backend=<{type(self._backend).__name__}>" if self._backend else ""
        return f"KeyringStore({self._service!r}{backend})"

    def __reduce__(self) -> tuple[type[KeyringStore], tuple[str]]:
        """A pickle names the service."""
        if self._backend is not None:
            raise TypeError(
                "a KeyringStore with a backend is not pickled, as backends hold passwords: make "
                "it in each process, or choose the backend with keyring.set_keyring"
            )
        return type(self), (self._service,)

    def _asked(self, method: str, *arguments: str) -> Any:
        """Return what the keyring answers; its errors are not quoted, as they may say anything."""
        backend = self._found()
        if _keeps_nothing(backend):
            raise OSError(_NO_KEYRING)
        try:
            # Plain texts: backends hand them to other languages.
            return getattr(backend, method)(self._service, *map(str, arguments))
        except Exception as error:  # noqa: BLE001 (backends raise what they like)
            kind = type(error).__name__
        # Not in the block: the frames of the exception hold the record.
        raise OSError(f"{method} of the keyring failed with {kind}")

    def _in_turn(self) -> AbstractContextManager[None]:
        """Exclude all others who ask the keyring for this service, as some are mere files."""
        return lock_file(_lock_path(self._service), _ACCESS_TIMEOUT)

    def _found(self) -> object:
        """Return the keyring.

        Raises:
            OSError: The one that was chosen cannot be loaded.
        """
        try:
            return self._backend or keyring.get_keyring()
        except Exception as error:  # noqa: BLE001 (it imports what the environment names)
            failure = f"the keyring that was chosen cannot be loaded ({type(error).__name__})"
            raise OSError(failure) from None

    def _is_replaced(self) -> bool:
        """Whether memory stands in for a keyring that is missing; warn once if it does."""
        if self.is_missing:
            warn_once(
                self,
                "no keyring",
                f"there is no keyring, so {self!r} keeps tokens in memory: others do not see them, "
                "and they are lost when the process ends. Give "
                "FirstOf(KeyringStore(...), FileStore(...)) as the store, or a keyring: "
                f"{_WAY_OUT}",
                is_logged=True,
            )
            return True
        return False

    def _mark(self) -> Path:
        """Return the file that tells that the keyring was used: beside its locks."""
        return Path(_lock_path(self._service)).with_suffix(".used")

    def _mark_used(self) -> None:
        mark = self._mark()
        if not mark.exists():
            make_folder(mark.parent)
            mark.touch(mode=0o600)


def _keeps_nothing(backend: object) -> bool:
    """Whether a backend is one of the two of keyring that keep nothing."""
    return isinstance(backend, (fail.Keyring, null.Keyring))


def _faults(service: object, backend: Any) -> Iterable[str | None]:
    yield text("service", service)
    if backend is not None and not hasattr(backend, "get_password"):
        yield f"backend must be a keyring backend, not {type(backend).__name__}"
    elif isinstance(backend, type):
        yield f"backend is the class {backend.__name__}: give an object of it"


def _lock_path(name: str) -> str:
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or ""
    if not base.startswith("~") and not Path(base).is_absolute():
        base = "~/.cache"  # the XDG specification has relative paths ignored
    try:
        folder = Path(base).expanduser() / "requests_authretry"
    except RuntimeError as error:
        raise OSError("there is no home directory for a lock file: set HOME") from error
    return str(folder / f"{file_name(name)}.lock")


def _user(key: str) -> str:
    """Return a user name that stays apart where a keyring takes A and a as the same."""
    return key if _PLAIN.fullmatch(key) else f"{_ODD.sub('?', key)} {file_name(key)}"
