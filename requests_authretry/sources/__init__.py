"""Where tokens come from: a program that prints them, a credential object that is there already."""

from __future__ import annotations

from ._command import Command
from ._credentials import from_credentials

__all__ = ["Command", "from_credentials"]
