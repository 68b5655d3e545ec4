"""The store of one user: the keyring that the desktop or the operating system keeps for them.

Needs the extra: ``pip install 'requests-authretry[keyring]'``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._core.arguments import checks_arguments
from ._core.copying import CopiedAsItself
from ._core.validation import refuse, text
from .stores._lockfile import file_name, lock_file
from .stores._memory import MemoryStore

try:
    import keyring
    from keyring.errors import NoKeyringError
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

_NO_KEYRING = (
    "there is no keyring: start one (on Linux one with the Secret Service, such as GNOME Keyring "
    "or KWallet), install another backend, or use FileStore"
)

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

    def read(self, key: str) -> str | None:
        """Return the record under a key, None when there is none.

        Raises:
            OSError: There is no keyring, or it stays closed.
            TimeoutError: Another process is using it and does not end.
        """
        record = self._asked("get_password", _user(key))
        return record if isinstance(record, str) else None

    def write(self, key: str, record: str) -> None:
        """Keep a record.

        Raises:
            OSError: There is no keyring, it stays closed, or the record is too long for it.
            TimeoutError: Another process is using it and does not end.
        """
        self._asked("set_password", _user(key), record)

    def lock(self, key: str, timeout: float) -> AbstractContextManager[None]:
        """Exclude every other thread and process of this user that locks this key.

        As `Store.lock` says; the operating system gives the lock back when its holder dies.
        """
        return lock_file(_lock_path(f"{self._service}\0{key}"), timeout)

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down, as `Store.push` says, in memory; the keyring is not asked."""
        return self._cool_downs.push(key, seconds)

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
        with lock_file(_lock_path(self._service), _ACCESS_TIMEOUT):
            try:
                backend = self._backend or keyring.get_keyring()
                return getattr(backend, method)(self._service, *arguments)
            except NoKeyringError:
                raise OSError(_NO_KEYRING) from None
            except Exception as error:  # noqa: BLE001 (backends raise what they like)
                failure = f"{method} of the keyring failed with {type(error).__name__}"
                raise OSError(failure) from None


def _faults(service: object, backend: Any) -> Iterable[str | None]:
    yield text("service", service)
    if backend is not None and not hasattr(backend, "get_password"):
        yield f"backend must be a keyring backend, not {type(backend).__name__}"
    elif isinstance(backend, type):
        yield f"backend is the class {backend.__name__}: give an object of it"


def _lock_path(name: str) -> str:
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(base).expanduser() / "requests_authretry"
    except RuntimeError as error:
        raise OSError("there is no home directory for a lock file: set HOME") from error
    return str(folder / f"{file_name(name)}.lock")


def _user(key: str) -> str:
    """Return a user name that stays apart where a keyring takes A and a as the same."""
    return key if _PLAIN.fullmatch(key) else f"{_ODD.sub('?', key)} {file_name(key)}"
