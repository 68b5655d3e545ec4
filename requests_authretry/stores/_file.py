"""The store of one machine: a file that only its owner can read."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import BaseFileLock

_MARK = "requests_authretry"
_BEGIN = f'{{"{_MARK}"'.encode()
_WRITE_TIMEOUT = 10.0
"""Seconds to wait for another process that is writing; it holds the file for milliseconds."""


class FileStore:
    """Keeps tokens in a file, for later runs and for all processes that name the same path.

    The file is readable by its owner alone from the first byte on, and is replaced as a whole: a
    reader never sees half of it. An empty or torn file counts as empty; a file that something
    else wrote is left alone. Safe to use from many threads and processes.

    Args:
        path: The file; ``~`` is the home directory. Missing folders are made, for the owner only.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file; nothing is opened yet."""
        self.path = Path(path).expanduser()

    def read(self, key: str) -> str | None:
        """The record under a key, None when there is none that can be read."""
        record = self._records().get(key)
        return record if isinstance(record, str) else None

    def write(self, key: str, record: str) -> None:
        """Keep a record, beside those of other keys.

        Raises:
            OSError: The file cannot be written, or something else wrote it.
            TimeoutError: Another process is writing and does not end.
        """
        self._make_folder()
        with self._lock_file("").acquire(timeout=_WRITE_TIMEOUT):
            self._refuse_foreign()
            self._replace({**self._records(), key: record})

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """Exclude every other thread and process that locks this key of this file.

        The operating system gives the lock back when its holder dies.

        Args:
            key: What to lock.
            timeout: Seconds to wait for it.

        Raises:
            TimeoutError: Another held it all that time.
            OSError: The lock file cannot be made.
        """
        self._make_folder()
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        with self._lock_file(f".{name}").acquire(timeout=timeout):
            yield

    def __repr__(self) -> str:
        """As it is made."""
        return f"FileStore({str(self.path)!r})"

    def _records(self) -> dict[str, object]:
        try:
            records = json.loads(self._content())[_MARK]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        return records if isinstance(records, dict) else {}

    def _content(self) -> bytes:
        """What is in the file; a link in its place is not followed, a pipe is not waited for."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(self.path, flags)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileExistsError(f"{self.path} is no file: name another one for tokens")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def _refuse_foreign(self) -> None:
        if self.path.is_symlink() or not self.path.exists():
            return
        # A power cut may leave nothing, half of it, or a file of zeros.
        begin = self._content().strip(b"\0 \n")[: len(_BEGIN)]
        if not _BEGIN.startswith(begin):
            raise FileExistsError(f"{self.path} holds something else: name another file for tokens")

    def _replace(self, records: dict[str, object]) -> None:
        # mkstemp makes the file 0600 and its name cannot be guessed.
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 (from a descriptor)
                json.dump({_MARK: records}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)  # noqa: PTH105 (the name is a str)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108 (the name is a str)
            raise

    def _make_folder(self) -> None:
        missing = [folder for folder in self.path.parents if not folder.exists()]
        for folder in reversed(missing):  # Path.mkdir gives its mode to the last one only
            folder.mkdir(mode=0o700, exist_ok=True)

    def _lock_file(self, suffix: str) -> BaseFileLock:
        """A new object each time: one object would let its thread in twice."""
        from filelock import FileLock

        return FileLock(f"{self.path}{suffix}.lock", mode=0o600)
