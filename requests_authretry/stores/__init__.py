"""Where tokens and cool-downs are kept and locked: in memory, a file, or what functions reach."""

from __future__ import annotations

from ._file import FileStore
from ._first_of import FirstOf
from ._functions import FunctionStore
from ._memory import MemoryStore

__all__ = ["FileStore", "FirstOf", "FunctionStore", "MemoryStore"]
