"""After a fork: locks held by threads that the child does not have are made anew."""

from __future__ import annotations

import logging
import os
from threading import Lock, RLock
from typing import TYPE_CHECKING, Protocol
from weakref import WeakMethod, WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable


class ForkSafeLock:
    """A lock that is free in a child process, whichever thread held it when the process forked.

    It is used in ``with`` statements only, and costs there what a `threading.Lock` costs.

    Args:
        reset: A method of the object that owns the lock. It runs in each child, after all locks
            were made anew, and forgets what only threads of the parent would have ended. The lock
            does not keep the owner alive.
        reentrant: Whether a thread that holds it may take it once more.
    """

    # `with` finds these in the slots: the real lock's own methods, with no Python code before them.
    __slots__ = ("__enter__", "__exit__", "__weakref__", "_make", "_reset")

    def __init__(self, reset: Callable[[], None] | None = None, *, reentrant: bool = False) -> None:
        self._make = RLock if reentrant else Lock
        self._reset = None if reset is None else WeakMethod(reset)
        self.renew()
        _locks.add(self)

    def renew(self) -> None:
        """Make the lock free: its holder is a thread of the parent process."""
        lock = self._make()
        self.__enter__, self.__exit__ = lock.__enter__, lock.__exit__

    @property
    def reset(self) -> Callable[[], None] | None:
        """Return the owner's method, None if it gave none or is gone."""
        return None if self._reset is None else self._reset()


class Forked(Protocol):
    """An object without a lock of its own, with state that a fork would leave stuck."""

    def after_fork(self) -> None:
        """Adapt to the child process. Called there once, before other code runs."""


_logger = logging.getLogger("requests_authretry")
_locks: WeakSet[ForkSafeLock] = WeakSet()
_others: WeakSet[Forked] = WeakSet()


def survives_fork(thing: Forked) -> None:
    """Have ``thing.after_fork()`` called in every child process."""
    _others.add(thing)


def _in_child() -> None:
    locks = list(_locks)
    for lock in locks:
        lock.renew()
    resets = [*filter(None, (lock.reset for lock in locks)), *(one.after_fork for one in _others)]
    for reset in resets:
        try:
            reset()
        except Exception:  # noqa: PERF203 (the others must have their turn)
            _logger.exception("%s failed after a fork", reset.__qualname__)


if hasattr(os, "register_at_fork"):  # absent on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_child)
