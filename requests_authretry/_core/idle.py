"""How long a connection may have been idle, and what to say where a request was lost on one."""

from __future__ import annotations

from math import floor, log10
from typing import Final

from .records import seconds_text

MAX_IDLE: Final = 1.0
"""Seconds; the default of ``Settings.max_idle``. Common servers keep idle connections for 2 s
(gunicorn), 5 s (uvicorn, node, Apache) or more. ADR 0044 has the measurement."""

_LEAST_IDLE: Final = 0.1
"""Seconds; no server ends connections that are idle for less, so that another cause is likelier."""

_MARGIN: Final = 0.8
"""How much of the idle time is short enough: the server's limit was about that idle time."""

_STEPS: Final = (5.0, 2.0, 1.0)


def cure(idle: float) -> str:
    """Return what would have saved a request whose connection the server ended, for people.

    Args:
        idle: Seconds that the connection had been idle when the request was sent.

    Returns:
        The cure, "" where the idle time hardly was the cause.
    """
    if idle < _LEAST_IDLE:
        return ""
    most = min(idle * _MARGIN, MAX_IDLE)
    unit = 10.0 ** floor(log10(most))
    shorter = next(step * unit for step in _STEPS if step * unit <= most)
    return (
        f"the connection had been idle for {seconds_text(idle)}: "
        f"Settings(max_idle={shorter:g}) sends on a new one instead"
    )
