"""The store of one machine: a file that only its owner can read."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from .._clock import SystemClock
from .._core.arguments import checks_arguments
from .._core.copying import CopiedAsItself
from .._core.display import shown
from .._core.token import secret
from .._core.validation import refuse
from .._protocols import clock_fault
from .._warnings import warn_once
from ._cool_downs import as_text, bounded, pushed
from ._lockfile import file_name, import_locks, lock_file
from ._rates import reserved
from ._slots import kept, taken

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .._core.reservations import Ask, Reserved
    from .._protocols import Clock

T = TypeVar("T")

_MARK = "requests_authretry"
_BEGIN = f'{{"{_MARK}"'.encode()
_WRITE_TIMEOUT = 10.0
"""Seconds to wait for another process that is writing; it holds the file for milliseconds."""
_PUSH_TIMEOUT = 1.0
"""The same for a cool-down, which others can do without: nobody waits long to share one."""
_TAKE_TIMEOUT, _TAKE_POLL = 0.05, 0.002
"""The same for slots, which nobody waits for, and the time between two looks at the lock."""
_LARGE = 65_536
"""Bytes of a file with slots that is made smaller when it needs less than half of them."""
_MOST_IN_RECORD, _MOST_IN_FILE = 65_536, 67_108_864
"""Bytes of a record, and of the whole file, which each write reads and replaces."""
_TOO_LARGE = (
    "FileStore replaces its file as a whole, and is for few and small records: use RedisStore, or "
    "FunctionStore with a database"
)


class _ForeignError(FileExistsError):
    """The file is not ours: it is neither read nor replaced."""


class _TornError(OSError):
    """The file was ours and cannot be read: the next record replaces it."""


@checks_arguments()
class FileStore(CopiedAsItself):
    """Keeps tokens, cool-downs and slots in a file, for later runs and processes that name it.

    Only its owner can read the file, from the first byte on. The file is replaced as a whole: no
    reader sees half of it, and a power cut brings no spent refresh token back. A torn file does not
    count as empty: reading it is an error, so that no first refresh token is sent that was spent
    long ago; the next record replaces the file. A file that another program wrote is neither read
    nor replaced, and neither is one of another user, except root: a token planted there would make
    the session somebody else's. A symbolic link in the place of the file is not followed. A file
    that others can read is warned about (`AuthRetryWarning`); the next record replaces it by one
    that only its owner can read. Safe to use from many threads and processes.

    Each record is written with all others, so that the store is for few and small ones: a record
    above 64 KB, and a file above 64 MB, is an `OSError`.

    Args:
        path: The file; ``~`` is the home directory. A relative path starts from the directory that
            is the current one when the store is made. Missing folders are made, for the owner only.
            Lock files beside it stay there, and so do tokens, until you remove the file;
            cool-downs that are over are dropped by the next one. Slots stand in a file beside it.
        clock: Counts the seconds of cool-downs and slots, by its ``time()``, which all processes of
            a machine share; None: the system clock. A clock that is set back makes no cool-down
            longer than it was, and one that is set forward may end it. Give tests their own clock,
            as with `MemoryStore`.

    Raises:
        ConfigurationError: The path is no path, or that of a folder, or it is relative and the
            current directory is gone.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Clock | None = None) -> None:
        faults = (_path_fault(path), None if clock is None else clock_fault(clock))
        refuse(type(self).__name__, faults)
        # Absolute: a daemon changes its directory later. `resolve` would follow links.
        self.path: Path = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100
        self._clock: Clock = SystemClock() if clock is None else clock
        import_locks()

    def read(self, key: str) -> str | None:
        """Return the record under a key, None when there is none.

        Raises:
            OSError: The file is torn or not ours, or the system does not let us read it: a newer
                token may have been there.
        """
        found = as_text(self._records().get(key))
        self._warn_of_readers()
        return found

    def write(self, key: str, record: str) -> None:
        """Keep a record, beside those of other keys.

        Raises:
            OSError: The file cannot be written, or is not ours, or the record or the file would be
                too large.
            TimeoutError: Another process is writing and does not end.
        """
        record = secret(record)
        if len(json.dumps(record)) > _MOST_IN_RECORD:
            raise OSError(f"a record for {self.path} has more than 64 KB. {_TOO_LARGE}")
        with lock_file(f"{self.path}.lock", _WRITE_TIMEOUT):
            self._replace({**self._kept_records(), key: record})

    def lock(self, key: str, timeout: float) -> AbstractContextManager[None]:
        """Exclude every other thread and process that locks this key of this file.

        As `Store.lock` says; the operating system gives the lock back when its holder dies.
        """
        return lock_file(f"{self.path}.{file_name(key)}.lock", timeout)

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down, as `Store.push` says, and drop those that are over.

        Raises:
            OSError: The file cannot be written, or is not ours. Where ``seconds`` is 0.0, it cannot
                be read.
            TimeoutError: Another process is writing and does not end within a second.
        """
        if not bounded(seconds):
            # Processes look often, and the file is whole at any time: no lock, and nothing written.
            records = self._records()
            left, kept = pushed(records, key, 0.0, self._clock.time())
            if kept is records:
                return left
        with lock_file(f"{self.path}.lock", _PUSH_TIMEOUT):
            records = self._kept_records()
            left, kept = pushed(records, key, seconds, self._clock.time())
            if kept is not records:
                self._replace(kept)
        return left

    def take(self, key: str, rate: float, burst: float, count: int) -> float:
        """Take slots, as `Store` says, and drop limits that are idle.

        They stand in a file of their own beside this one, whose name ends with ``.limits``: it is
        written several times a second, and holds nothing that a power cut must spare.

        Raises:
            OSError: That file cannot be read or written, or is not ours.
            TimeoutError: Another process is writing it and does not end within 50 ms.
        """
        return self._change_limits(lambda there, now: taken(there, key, rate, burst, count, now))

    def keep(self, key: str, text: str, seconds: float) -> str | None:
        """Keep a text for a while, as `Store` says, in the file with the slots.

        Raises:
            OSError: That file cannot be read or written, or is not ours.
            TimeoutError: Another process is writing it and does not end within 50 ms.
        """
        if not bounded(seconds):
            limits = FileStore(f"{self.path}.limits")
            # Processes look often, so mostly without the lock. A file that looks torn may be whole
            # under the lock: it is written in place.
            with suppress(_TornError):
                return kept(limits._records(), key, text, 0.0, self._clock.time())[0]
        return self._change_limits(lambda there, now: kept(there, key, text, seconds, now))

    def reserve(self, key: str, ask: Ask) -> Reserved:
        """Reserve units of a declared rate, as `Store` says, in the file with the slots.

        Raises:
            OSError: That file cannot be read or written, or is not ours.
            TimeoutError: Another process is writing it and does not end within 50 ms.
        """
        return self._change_limits(lambda there, now: reserved(there, key, ask, now))

    @property
    def place(self) -> tuple[str, str]:
        """Name the file: the same for all stores that keep their records in it."""
        return "file", str(self.path)

    def __repr__(self) -> str:
        clock = "" if self._clock == SystemClock() else f", clock={shown(self._clock)}"
        return f"{type(self).__name__}({str(self.path)!r}{clock})"

    def _change_limits(
        self, change: Callable[[dict[str, object], float], tuple[T, dict[str, object]]]
    ) -> T:
        """Change the file beside this one under its lock, and return what the change says."""
        limits = FileStore(f"{self.path}.limits")
        with lock_file(f"{limits.path}.lock", _TAKE_TIMEOUT, _TAKE_POLL):
            records = limits._kept_records()
            said, changed = change(records, self._clock.time())
            if changed is not records:
                limits._rewrite(changed)
        return said

    def _kept_records(self) -> dict[str, object]:
        """Read the records that the next one is written with; of a torn file none can be kept."""
        try:
            return self._records()
        except _TornError:
            return {}

    def _records(self) -> dict[str, object]:
        """Read all records.

        Raises:
            OSError: The file is torn or not ours, or cannot be read.
        """
        records = self._parsed()
        if records is None:
            raise _TornError(f"{self.path} is torn: remove it, and sign in again where you have to")
        return {key: secret(record) for key, record in records.items()}

    def _parsed(self) -> dict[str, object] | None:
        """Return what the file holds; None if it is torn.

        It is no error here, so that no traceback shows the file.
        """
        content = self._content()
        if not content.strip():
            return {}
        # A power cut may leave half of it, or a file of zeros.
        begin = content.strip(b"\0 \n")[: len(_BEGIN)]
        if not _BEGIN.startswith(begin):
            raise _ForeignError(f"{self.path} holds something else: name another file for tokens")
        try:
            records = json.loads(content)[_MARK]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return records if isinstance(records, dict) else None

    def _content(self) -> bytes:
        """Read the file; do not follow a link in its place, nor wait for a pipe."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(self.path, flags)
        except FileNotFoundError:
            return b""
        except OSError:
            if self.path.is_symlink():
                return b""
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _ForeignError(f"{self.path} is no file: name another one for tokens")
            if hasattr(os, "geteuid") and status.st_uid not in (os.geteuid(), 0):
                raise _ForeignError(f"{self.path} is another user's: name another file for tokens")
            if status.st_size > _MOST_IN_FILE:
                raise self._too_large()
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def _warn_of_readers(self) -> None:
        """Warn if others than the owner can read the file; Windows has no such modes."""
        try:
            mode = self.path.lstat().st_mode
        except OSError:
            return
        if os.name == "nt" or not stat.S_ISREG(mode) or not mode & (stat.S_IRGRP | stat.S_IROTH):
            return
        warn_once(
            self,
            "read by others",
            f"{self.path} holds tokens, and other users of this machine can read it (mode "
            f"{stat.S_IMODE(mode):04o}): run chmod 600 on it, and sign in again if one of them may "
            "have done so",
        )

    def _too_large(self) -> OSError:
        return OSError(f"{self.path} has more than 64 MB, or would have. {_TOO_LARGE}")

    def _replace(self, records: dict[str, object]) -> None:
        """Replace the file; the caller holds its lock."""
        # A power cut may take cool-downs, but no token that stands beside them.
        is_durable = any(isinstance(record, str) for record in records.values())
        content = json.dumps({_MARK: records}).encode()
        if len(content) > _MOST_IN_FILE:
            raise self._too_large()
        new = self._made_new()
        try:
            with new:
                new.write(content)
                if is_durable:
                    new.flush()
                    os.fsync(new.fileno())
            os.replace(self._new, self.path)  # noqa: PTH105 (two names)
        except BaseException:
            content = b""  # a traceback shows local variables
            with suppress(OSError):
                self._new.unlink()
            raise
        if is_durable:
            _sync(self.path.parent)

    @property
    def _new(self) -> Path:
        """Where the next content is written: one name, so that nothing piles up."""
        return self.path.with_name(f".{self.path.name}.new")

    def _made_new(self) -> BinaryIO:
        """Make the file that replaces this one, in place of what a killed writer has left."""
        self._new.unlink(missing_ok=True)
        # With O_EXCL, what somebody plants there meanwhile is an error and is not followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        return open(os.open(self._new, flags, 0o600), "wb")  # noqa: PTH123 (the caller closes)

    def _rewrite(self, records: dict[str, object]) -> None:
        """Write the file in place: a power cut may tear it, and nobody waits for the disk.

        File systems such as ext4 wait for it where a file is replaced, or cut to nothing.
        """
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        content = json.dumps({_MARK: records}).encode()
        with open(os.open(self.path, flags, 0o600), "r+b") as file:  # noqa: PTH123 (as above)
            size = os.fstat(file.fileno()).st_size
            if size > _LARGE + 2 * len(content):
                size = file.truncate(len(content))
            file.write(content.ljust(size))


def _sync(folder: Path) -> None:
    """Have the new name on the disk too; Windows does not open folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _path_fault(path: Any) -> str | None:
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes):
        return f"path must be a str or a Path, not {type(path).__name__}"
    place = Path(path).expanduser()
    if not place.is_absolute():
        try:
            Path.cwd()
        except OSError:
            return f"path {str(place)!r} is relative, and the current directory is gone"
    if os.path.isdir(place):  # noqa: PTH112 (False, and no error, where nobody may look)
        within = str(place / "tokens.json")
        return f"path is that of the folder {str(place)!r}: name a file in it, as {within!r}"
    return None
