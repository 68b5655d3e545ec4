"""The variable ``REQUESTS_AUTHRETRY_LOG``: it shows the log without a line in the program."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from ._core.placement import without_values
from ._warnings import warn_once

if TYPE_CHECKING:
    from collections.abc import Mapping

    Handler = logging.StreamHandler[Any]
else:
    Handler = logging.StreamHandler  # which takes no type before Python 3.11

VARIABLE = "REQUESTS_AUTHRETRY_LOG"

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_WRITE_NO_SCREEN = (logging.NullHandler, logging.FileHandler)

_logger = logging.getLogger("requests_authretry")


class ShownOnStderr(Handler):
    """Writes records to `sys.stderr`, whatever that is at the time.

    A record that another handler shows is left to that one: programs set up their logging before
    this library is imported, or after.
    """

    def __init__(self, level: int) -> None:
        logging.Handler.__init__(self, level)  # that of StreamHandler keeps today's stream
        self.setFormatter(logging.Formatter(_FORMAT))

    @property
    def stream(self) -> Any:
        """Return the standard error of the moment."""
        return sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless another handler shows it."""
        if not _is_shown(record):
            super().emit(record)


class _WithoutParameters(logging.Filter):
    """Hides the values of some parameters in the URLs that urllib3 writes into its log.

    Attributes:
        names: The names of these parameters.
    """

    names: frozenset[str] = frozenset()

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide them in a record, and let the record pass."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                without_values(part, self.names) if isinstance(part, str) else part
                for part in record.args
            )
        return True


_hiding = _WithoutParameters()

_WRITE_URLS = ("connectionpool", "connection", "poolmanager", "util.retry")
"""The modules of urllib3 that log URLs. A filter holds for its own logger only."""


def hide_parameter(name: str) -> None:
    """Have urllib3 log no value of a parameter that carries a token."""
    _hiding.names |= {name}
    for module in _WRITE_URLS:
        logging.getLogger(f"urllib3.{module}").addFilter(_hiding)


def level_of(word: str) -> int | None:
    """Return the level that the variable names, None if it names none of them."""
    return LEVELS.get(word.strip().lower())


def show_log(environ: Mapping[str, str]) -> None:
    """Show the log on standard error if the variable asks for it.

    A value that names no level costs a warning, as no program fails because of its log.

    Args:
        environ: The variables of the process.
    """
    word = environ.get(VARIABLE, "")
    if not word.strip():
        return
    level = level_of(word)
    if level is None:
        # The value is not quoted: it may be a secret that was put into the wrong variable.
        choices = ", ".join(LEVELS)
        message = f"{VARIABLE} names no level, so no log is shown: give one of {choices}"
        warn_once(show_log, "level", message)
        return
    if _logger.level == logging.NOTSET or _logger.level > level:
        _logger.setLevel(level)
    _logger.addHandler(ShownOnStderr(level))


def _is_shown(record: logging.LogRecord) -> bool:
    """Whether a handler of the program writes a record, other than into a file."""
    logger: logging.Logger | None = _logger
    while logger is not None:
        for handler in logger.handlers:
            is_other = not isinstance(handler, (ShownOnStderr, *_WRITE_NO_SCREEN))
            if is_other and record.levelno >= handler.level:
                return True
        logger = logger.parent if logger.propagate else None
    return False
