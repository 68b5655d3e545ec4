"""Where tokens and cool-downs are kept and locked: in memory, or in a file that processes share."""

from __future__ import annotations

from ._file import FileStore
from ._memory import MemoryStore

__all__ = ["FileStore", "MemoryStore"]
