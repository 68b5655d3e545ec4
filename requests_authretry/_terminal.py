"""Whether a person can be asked: at a terminal, or in a notebook."""

from __future__ import annotations

import sys
from contextlib import suppress


def is_at_terminal() -> bool:
    """Whether standard input is a terminal, or a notebook asks for input in its own way."""
    stdin = sys.stdin
    with suppress(Exception):  # it is closed, or an object of somebody else's
        if stdin is not None and stdin.isatty():
            return True
    return is_in_notebook()


def is_in_notebook() -> bool:
    """Whether a cell of a notebook runs: ipykernel and marimo replace `getpass.getpass` then."""
    module = sys.modules.get("getpass")
    ask = getattr(module, "getpass", None)
    return getattr(ask, "__module__", "getpass") != "getpass"
