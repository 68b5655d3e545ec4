"""Lock files, which the operating system gives back when their holder dies."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .._locks import survives_fork

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import BaseFileLock


class _Held:
    """The lock files that threads of this process hold, or wait for."""

    def __init__(self) -> None:
        self.locks: set[BaseFileLock] = set()
        survives_fork(self)

    def after_fork(self) -> None:
        """Close the descriptors: with them the child would keep the locks when its parent dies."""
        for lock in self.locks:
            context = lock._context  # noqa: SLF001 (filelock 4 does the same by itself)
            descriptor, context.lock_file_fd = context.lock_file_fd, None
            if descriptor is not None:
                with suppress(OSError):
                    os.close(descriptor)
        self.locks = set()


_held = _Held()


def import_locks() -> None:
    """Import filelock now, for a store that will lock.

    At the end of a program it is too late: filelock imports asyncio, whose executors cannot be
    imported then (Python 3.10: "can't register atexit after shutdown").
    """
    import filelock  # noqa: F401


@contextmanager
def lock_file(path: str, timeout: float, poll: float = 0.05) -> Iterator[None]:
    """Exclude every other thread and process that locks this path.

    Args:
        path: The lock file; it and folders that are missing are made for the owner only, and stay.
            A link is not followed.
        timeout: Seconds to wait for it.
        poll: Seconds between two looks whether it is free.

    Raises:
        TimeoutError: Another held it all that time.
        OSError: It cannot be made, or its file system has no locks.
    """
    from filelock import FileLock

    make_folder(Path(path).parent)
    # A new object each time: one object would let its thread in twice.
    lock = FileLock(path, mode=0o600, thread_local=False)
    _held.locks.add(lock)
    try:
        try:
            # Below zero it would wait for ever.
            lock.acquire(timeout=max(timeout, 0.0), poll_interval=poll)
        except NotImplementedError as error:
            raise OSError(f"{path} cannot be locked: its file system has no locks") from error
        try:
            yield
        finally:
            lock.release()
    finally:
        _held.locks.discard(lock)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for the owner only."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):  # Path.mkdir gives its mode to the last one only
        each.mkdir(mode=0o700, exist_ok=True)


def file_name(key: str) -> str:
    """Return a short name without odd characters, another one for each key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
