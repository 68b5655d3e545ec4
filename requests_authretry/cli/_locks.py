"""Who holds a lock file: what the operating system says, asked without taking the lock."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

_LOCKS = Path("/proc/locks")
"""What Linux says of all locks: a line each, with the process and the file's device and inode."""


def holder_of(path: Path) -> dict[str, Any] | None:
    """Return who holds a lock file.

    Args:
        path: The lock file, which is not opened for writing.

    Returns:
        The number of the process and the name of its program, each None if the system does not say;
        None if nobody holds the lock.
    """
    if _LOCKS.exists():
        process = process_in(_LOCKS.read_text(encoding="ascii", errors="replace"), path)
        return None if process is None else {"process": process, "program": _program(process)}
    return {"process": None, "program": None} if _is_held(path) else None


def process_in(locks: str, path: Path) -> int | None:
    """Find the process that holds a lock on a file, in the text of ``/proc/locks``."""
    try:
        status = path.stat()
    except OSError:
        return None
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in locks.splitlines():
        fields = line.split()
        # A line with an arrow is one that waits.
        if device in fields and "->" not in fields:
            place = fields.index(device) - 1
            return int(fields[place]) if fields[place].lstrip("-").isdigit() else None
    return None


def _program(process: int) -> str | None:
    """Return the name of a program; never its arguments, which may hold secrets."""
    with suppress(OSError):
        return Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return None


def _is_held(path: Path) -> bool:
    """Whether a lock file is held, on systems that do not say by whom."""
    try:
        import fcntl
    except ImportError:  # Windows: the holder of a lock lets nobody read its byte
        return not _is_readable(path)
    with suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _is_readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except PermissionError:
        return False
    except OSError:
        return True
    return True
