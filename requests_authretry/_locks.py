"""After a fork: locks held by threads that the child does not have are made anew."""

from __future__ import annotations

import logging
import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """An object with state that a fork would leave stuck."""

    def after_fork(self) -> None:
        """Called once in the child, before anything else runs there."""


_logger = logging.getLogger("requests_authretry")
_known: WeakSet[Forked] = WeakSet()


def survives_fork(thing: Forked) -> None:
    """Have ``thing.after_fork()`` called in every child process."""
    _known.add(thing)


def _in_child() -> None:
    for thing in list(_known):
        try:
            thing.after_fork()
        except Exception:  # noqa: PERF203 (the others must have their turn)
            _logger.exception("%s is not ready for use after a fork", type(thing).__name__)


if hasattr(os, "register_at_fork"):  # absent on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_child)
