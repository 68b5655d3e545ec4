"""`FunctionStore`: what its functions are asked, and what becomes of what they raise."""

from __future__ import annotations

import pickle
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import AuthRetryWarning, ConfigurationError, FunctionStore, Settings, Token
from requests_authretry._core.token import Secret
from requests_authretry.testing import FakeClock
from tests.support.renewals import HOUR, Desk, Issuer
from tests.support.stores import is_free

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "s3cret-of-the-user"


def load(key: str) -> str | None:
    """Nothing is kept."""
    return f"loaded {key}"


def save(key: str, record: str) -> None:
    """Forget it."""


class Fails:
    """Functions that fail as a driver does."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *_: object) -> Any:
        """Raise."""
        raise self.error


def test_functions_get_a_plain_text() -> None:
    """A driver may look for `str` itself: no subclass of ours reaches it."""
    kinds: list[type] = []
    store = FunctionStore(load=load, save=lambda _, record: kinds.append(type(record)))
    store.write("key", Secret(SECRET))
    assert (kinds, store.read("key")) == ([str], "loaded key")


def test_what_is_no_text_is_refused() -> None:
    """A row in place of its column is named, and not quoted."""
    store = FunctionStore(load=lambda _: (SECRET,), save=save)  # type: ignore[arg-type, return-value]
    with pytest.raises(OSError, match="load returned tuple: return the saved str") as caught:
        store.read("key")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("error", [ValueError(SECRET), OSError(SECRET), TimeoutError(SECRET)])
def test_what_a_function_raises_is_an_oserror(error: Exception) -> None:
    """The class is named; text, cause and context are left out, as they may hold the record."""
    store = FunctionStore(
        load=Fails(error), save=Fails(error), push=Fails(error), take=Fails(error)
    )
    for ask in (
        lambda: store.read("key"),
        lambda: store.write("key", SECRET),
        lambda: store.push("key", 1.0),
        lambda: store.take("key", 1.0, 1.0, 1),
    ):
        with pytest.raises(OSError, match=type(error).__name__) as caught:
            ask()
        assert not isinstance(caught.value, TimeoutError)
        assert (SECRET in str(caught.value), caught.value.__context__) == (False, None)


def test_a_lock_that_is_held_is_a_timeout() -> None:
    """`TimeoutError` of a lock stays one; anything else says that the store is away."""
    with pytest.raises(TimeoutError, match="held all that time"):
        FunctionStore(load=load, save=save, lock=Fails(TimeoutError())).lock("k", 0).__enter__()
    with pytest.raises(OSError, match="lock of the FunctionStore failed with KeyError") as caught:
        FunctionStore(load=load, save=save, lock=Fails(KeyError())).lock("k", 0).__enter__()
    assert not isinstance(caught.value, TimeoutError)


def test_a_lock_that_is_no_context_manager_is_refused() -> None:
    """A lock that was taken in place of returned gives True: the error says what to return."""
    store = FunctionStore(load=load, save=save, lock=lambda *_: True)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="lock returned bool: return a context manager"):
        store.lock("key", 1.0).__enter__()


def test_a_lock_is_given_back() -> None:
    """Whatever happens in the block, the lock function goes on behind its ``yield``."""
    done: list[object] = []

    @contextmanager
    def lock(key: str, timeout: float) -> Iterator[None]:
        done.append((key, timeout))
        yield
        done.append("released")

    store = FunctionStore(load=load, save=save, lock=lock)
    with pytest.raises(KeyError), store.lock("key", -1.0):
        raise KeyError
    assert done == [("key", 0.0), "released"]


def test_without_a_lock_threads_take_turns() -> None:
    """The lock is one of this process alone, and the store says so."""
    store = FunctionStore(load=load, save=save)
    with store.lock("key", 1.0):
        assert not is_free(store)
    assert not store.is_locked


def test_limits_stay_in_this_process_unless_functions_are_given() -> None:
    """Without ``take`` the store has none, so that each process keeps its own pace."""
    alone = FunctionStore(load=load, save=save)
    assert not hasattr(alone, "take")
    assert (alone.push("key", 5), alone.push("another", 0.0)) == (5.0, 0.0)
    shared = FunctionStore(load=load, save=save, push=lambda *_: 7, take=lambda *_: 3)
    assert (shared.push("key", 5.0), shared.take("key", 1.0, 1.0, 1)) == (7.0, 3.0)


def test_how_it_is_shown_and_pickled() -> None:
    """It shows the names of its functions, and is pickled where they can be."""
    store = FunctionStore(load=load, save=save)
    assert repr(store) == "FunctionStore(load=<load>, save=<save>)"
    assert pickle.loads(pickle.dumps(store)).read("key") == "loaded key"  # noqa: S301 (our own)


def test_what_is_no_function() -> None:
    """All faults are named at once."""
    with pytest.raises(ConfigurationError) as caught:
        FunctionStore(load=SECRET, save=None, lock=nullcontext())  # type: ignore[arg-type]
    for fault in ("load must be a function, not str", "save must be", "lock must be a function"):
        assert fault in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("is_locked", [True, False])
def test_rotation_without_a_lock_is_warned_about(is_locked: bool) -> None:  # noqa: FBT001 (a case)
    """The server gave another refresh token: two processes could spend the old one."""
    kept: dict[str, str] = {}
    clock = FakeClock()
    lock: Any = (lambda *_: nullcontext()) if is_locked else None
    store = FunctionStore(load=kept.get, save=kept.__setitem__, lock=lock)
    desk = Desk(Issuer(clock), clock, store=store)
    desk.token()
    clock.advance(HOUR)
    if is_locked:
        desk.token()
    else:
        with pytest.warns(AuthRetryWarning, match=r"FunctionStore\(lock="):
            desk.token()


def test_it_is_a_store_of_settings() -> None:
    """Settings take it as any other store."""
    store = FunctionStore(load=load, save=save)
    chosen = Settings(token=Token("t"), origins=["https://api.example.com"], store=store)
    assert chosen.store is store
