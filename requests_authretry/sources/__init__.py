"""Sources of tokens: a program, a credential object of another library, a person."""

from __future__ import annotations

from ._command import Command
from ._credentials import from_credentials
from ._prompt import Prompt

__all__ = ["Command", "Prompt", "from_credentials"]
