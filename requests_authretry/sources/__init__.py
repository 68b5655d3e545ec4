"""Sources of tokens: a program that prints them, or a credential object of another library."""

from __future__ import annotations

from ._command import Command
from ._credentials import from_credentials

__all__ = ["Command", "from_credentials"]
