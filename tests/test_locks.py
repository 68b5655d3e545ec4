"""Locks that are free in a child process."""

from __future__ import annotations

import ast
import gc
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import ref

import pytest

import requests_authretry
from requests_authretry._locks import ForkSafeLock
from tests.call.test_lifecycle import Child

if TYPE_CHECKING:
    from collections.abc import Iterator

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

TOP = Path(requests_authretry.__file__).parent
ON_THE_WAY = [
    *TOP.glob("_*.py"),
    *(
        path
        for folder in ("_admission", "_call", "_tokens", "stores")
        for path in (TOP / folder).glob("*.py")
    ),
]
"""The files that a call runs through."""

LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp)


class Owner:
    """An object whose lock guards what the threads of one process wait for."""

    def __init__(self, other: Owner | None = None, *, reentrant: bool = False) -> None:
        self.lock = ForkSafeLock(self.forget, reentrant=reentrant)
        self.other = other
        self.waiting = 1

    def forget(self) -> None:
        """Forget who waits; the other owner's lock is needed for that."""
        if self.other is not None:
            with self.other.lock:
                self.waiting = 0


@contextmanager
def held_by_a_thread(*locks: ForkSafeLock) -> Iterator[None]:
    """Have another thread hold these locks during the block."""
    holds, ends = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.__enter__()
        holds.set()
        ends.wait()
        for lock in locks:
            lock.__exit__(None, None, None)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    holds.wait()
    yield
    ends.set()
    thread.join()


@forking
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_held_lock_is_free_in_a_child(reentrant: bool) -> None:  # noqa: FBT001
    """A thread of the parent holds a lock at the fork: the child takes it, and gives it back."""
    lock = ForkSafeLock(reentrant=reentrant)

    def take() -> str:
        with lock:
            pass
        with lock:
            return "taken twice"

    with held_by_a_thread(lock):
        assert Child(take).answer() == "taken twice"


@forking
def test_a_thread_that_forks_inside_frees_its_own_lock() -> None:
    """Parent and child each leave the block, and each can enter it again."""
    lock = ForkSafeLock()

    def take() -> str:
        with lock:
            return "taken"

    with lock:
        child = Child(take)
    assert (child.answer(), take()) == ("taken", "taken")


@forking
def test_owners_forget_after_all_locks_are_new() -> None:
    """An owner may use another's lock while it forgets, whoever held that one in the parent."""
    last = Owner()
    owners = [Owner(last) for _ in range(9)]
    last.other = owners[0]
    with held_by_a_thread(last.lock, *(owner.lock for owner in owners)):
        child = Child(lambda: str([owner.waiting for owner in (*owners, last)]))
        assert child.answer() == str([0] * 10)
    assert [owner.waiting for owner in owners] == [1] * 9


def test_only_a_reentrant_lock_lets_its_thread_in_twice() -> None:
    """What a collected object runs in the thread that holds the lock may need the lock."""
    lock = ForkSafeLock(reentrant=True)
    with lock, lock:
        pass


@forking
def test_a_lock_does_not_keep_its_owner() -> None:
    """Once the owner is gone, a child has nothing of it to forget."""
    owner = Owner()
    lock, gone = owner.lock, ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    assert Child(lambda: repr(lock.reset)).answer() == "None"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=pytest.mark.xfail(reason="some blocks have loops")
            if path.stem == "rate_limiter"
            else (),
        )
        for path in ON_THE_WAY
    ],
)
def test_no_loop_stands_in_a_block_that_holds_a_lock(path: Path) -> None:
    """Ctrl-C at the end of ``with lock: for x in y: if x: ...`` leaves it held on Python 3.13.

    There the jump back, at which signal handlers run, is not part of the block. The loop belongs in
    a function of its own, which the block calls.
    """
    blocks = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.With)
        and any("lock" in ast.unparse(item.context_expr) for item in node.items)
    ]
    loops = [node for block in blocks for node in ast.walk(block) if isinstance(node, LOOPS)]
    assert not loops, f"line {loops[0].lineno}"
