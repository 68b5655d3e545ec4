"""`KeyringStore`: what the keyring sees, what it says when it fails, and where its locks are."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from keyring.backends import fail, null
from keyring.errors import KeyringLocked, PasswordSetError
from keyrings.alt.file import PlaintextKeyring  # type: ignore[import-untyped]  # (it ships no types)

from requests_authretry import AuthRetryWarning, Settings
from requests_authretry.keyring import KeyringStore
from tests.support.scripted import ORIGIN
from tests.support.stores import is_free
from tests.support.systems import permissions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyring.backend import KeyringBackend

SECRET = "s3cret-of-the-user"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's cache directory, in a world where files are everybody's by default."""
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    usual = os.umask(0)
    yield tmp_path / "cache"
    os.umask(usual)


@pytest.fixture
def backend(tmp_path: Path) -> KeyringBackend:
    """A keyring in a file."""
    backend = PlaintextKeyring()
    backend.file_path = str(tmp_path / "keyring.cfg")
    found: KeyringBackend = backend
    return found


class Failing:
    """A keyring that raises one exception, whatever it is asked."""

    def __init__(self, error: Exception) -> None:
        """Keep the exception."""
        self.error = error

    def get_password(self, *_: str) -> str | None:
        """The exception."""
        raise self.error

    set_password = get_password


def failing(error: Exception) -> KeyringBackend:
    """The same, not a subclass, as keyring would take that for one to choose from."""
    backend: Any = Failing(error)
    found: KeyringBackend = backend
    return found


def test_where_a_record_is(backend: KeyringBackend) -> None:
    """The user finds it in the keyring under the service, with the key as user name."""
    KeyringStore(backend=backend).write("https://api.example.com", SECRET)
    assert backend.get_password("requests_authretry", "https://api.example.com") == SECRET


def test_services_are_apart(backend: KeyringBackend) -> None:
    """Another service has other records and other locks."""
    store, other = KeyringStore(backend=backend), KeyringStore("another", backend=backend)
    store.write("key", SECRET)
    with store.lock("key", 1.0):
        assert (other.read("key"), is_free(other)) == (None, True)


@permissions
def test_where_the_locks_are(backend: KeyringBackend, cache: Path) -> None:
    """Lock files are in the user's cache directory, for nobody else."""
    store = KeyringStore(backend=backend)
    store.write("key", SECRET)
    with store.lock("key", 1.0):
        found = sorted(cache.rglob("*"))
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (cache, *found)]
    assert modes == [0o700, 0o700, 0o600, 0o600, 0o600]


@pytest.mark.parametrize("set_", ["XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"])
def test_a_cache_directory(
    backend: KeyringBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_: str
) -> None:
    """It is the one that is set, else the one below the home directory."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv(set_, str(tmp_path))
    with KeyringStore(backend=backend).lock("key", 1.0):
        home = Path(".cache") if set_ == "HOME" else Path()
        assert len(list((tmp_path / home / "requests_authretry").iterdir())) == 1


def test_no_home(backend: KeyringBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home directory cannot lock, which is an `OSError`."""
    monkeypatch.setenv("XDG_CACHE_HOME", "~no-such-user")
    with pytest.raises(OSError, match="set HOME"):
        KeyringStore(backend=backend).lock("key", 1.0).__enter__()


NOWHERE: list[KeyringBackend] = [fail.Keyring(), null.Keyring()]  # type: ignore[no-untyped-call]
"""What keyring has for systems without a keyring, and for those who want none."""


@pytest.mark.parametrize("nobody", NOWHERE, ids=["none", "disabled"])
def test_no_keyring_is_memory_and_a_warning(nobody: KeyringBackend, cache: Path) -> None:
    """On a server without a keyring, stores of one service share memory and warn once each."""
    store, other = KeyringStore("mine", backend=nobody), KeyringStore("mine", backend=nobody)
    with pytest.warns(AuthRetryWarning, match=r"FirstOf\(KeyringStore"):
        store.write("key", SECRET)
    assert store.read("key") == SECRET
    with pytest.warns(AuthRetryWarning):
        assert other.read("key") == SECRET
    with store.lock("key", 1.0):
        assert not is_free(other)
    assert (store.is_missing, store.is_unused, cache.exists()) == (True, True, False)
    assert SECRET not in repr(vars(store))


def test_the_status_tells_that_there_is_no_keyring() -> None:
    """A sign-in would end with the process: `authretry login` refuses it for that reason."""
    chosen = Settings(token=lambda: "x", origins=[ORIGIN], store=KeyringStore(backend=NOWHERE[0]))
    with pytest.warns(AuthRetryWarning, match="there is no keyring"):
        assert chosen.credentials.status().kept_in == "memory"


def test_a_machine_without_home_and_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without a home directory has no place for locks, and needs none."""
    monkeypatch.setenv("XDG_CACHE_HOME", "~no-such-user")
    store = KeyringStore(backend=NOWHERE[0])
    with pytest.warns(AuthRetryWarning), store.lock("key", 1.0):
        assert store.read("key") is None


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_keyring_that_is_gone_is_not_replaced(backend: KeyringBackend, how: str) -> None:
    """A token was kept on the desktop: cron, which sees no keyring, may not begin anew."""
    if how == "write":
        KeyringStore(backend=backend).write("key", SECRET)
    else:  # an earlier release has kept it, and left no mark
        backend.set_password("requests_authretry", "key", SECRET)
        assert KeyringStore(backend=backend).read("key") == SECRET
    gone = KeyringStore(backend=NOWHERE[0])
    assert not gone.is_missing
    with pytest.raises(OSError, match="kept in one before"):
        gone.read("key")
    with pytest.raises(OSError, match="use FileStore"):
        gone.write("key", SECRET)
    assert is_free(gone)


def test_a_keyring_that_was_never_opened_is_unused() -> None:
    """A first write that fails leaves no trace: nothing is in the keyring."""
    store = KeyringStore(backend=failing(KeyringLocked()))
    with pytest.raises(OSError, match="KeyringLocked"):
        store.write("key", SECRET)
    assert (store.is_unused, store.is_missing) == (True, False)


def test_a_keyring_that_stays_closed_once_was_used(backend: KeyringBackend) -> None:
    """A write that fails later does not make the store forget that it was used."""
    KeyringStore(backend=backend).write("key", SECRET)
    store = KeyringStore(backend=failing(KeyringLocked()))
    with pytest.raises(OSError, match="KeyringLocked"):
        store.write("key", SECRET)
    assert not store.is_unused


def test_a_wrong_name_for_a_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyring that was chosen and cannot be loaded is an `OSError`, and is not replaced."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "no.such.Keyring")
    monkeypatch.setattr("keyring.core._keyring_backend", None)
    store = KeyringStore()
    with pytest.raises(OSError, match="ModuleNotFoundError"):
        store.read("key")
    with pytest.raises(OSError, match="ModuleNotFoundError"):
        store.write("key", SECRET)
    assert (store.is_missing, is_free(store)) == (False, True)


def test_a_relative_cache_directory_is_ignored(
    backend: KeyringBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the XDG specification says; else locks would move with the current directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    store = KeyringStore(backend=backend)
    with store.lock("key", 1.0):
        monkeypatch.chdir(tmp_path)
        assert not is_free(store)


@pytest.mark.parametrize("kind", [KeyringLocked, PasswordSetError, ValueError])
def test_what_goes_wrong(kind: type[Exception]) -> None:
    """Whatever a keyring raises is an `OSError` that names its kind and quotes nothing."""
    store = KeyringStore(backend=failing(kind(f"cannot keep {SECRET}")))
    with pytest.raises(OSError, match=kind.__name__) as read:
        store.read("key")
    with pytest.raises(OSError, match=kind.__name__) as written:
        store.write("key", SECRET)
    assert SECRET not in f"{read.value} {written.value}"
    assert is_free(store)


def test_a_backend_is_not_pickled() -> None:
    """A keyring of one's own goes into no pickle and no repr: it may hold a password."""
    store = KeyringStore("mine", backend=failing(ValueError(SECRET)))
    with pytest.raises(TypeError, match="set_keyring"):
        pickle.dumps(store)
    assert repr(store) == "KeyringStore('mine', backend=<Failing>)"
    assert repr(KeyringStore()) == "KeyringStore('requests_authretry')"
