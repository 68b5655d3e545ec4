"""Checks for settings: every fault of an object is collected, then reported together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeGuard


class ConfigurationError(ValueError):
    """A setting that cannot work.

    The message names every fault of the object and the way out of each.

    Attributes:
        faults: One line for each fault found.
    """

    def __init__(self, where: str, faults: Iterable[str]) -> None:
        """Join the faults of ``where`` into one message."""
        self.where = where
        self.faults = tuple(faults)
        super().__init__(f"{where}: " + "; ".join(self.faults))

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[str, tuple[str, ...]]]:
        """Pickle by what the constructor takes, not by the finished message."""
        return type(self), (self.where, self.faults)


def refuse(where: str, faults: Iterable[str | None]) -> None:
    """Raise `ConfigurationError` when any of the faults is real."""
    found = [fault for fault in faults if fault]
    if found:
        raise ConfigurationError(where, found)


def is_finite(value: object) -> TypeGuard[float]:
    """A plain number that fits a float and is neither NaN nor infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def seconds(name: str, value: object, *, positive: bool = False) -> str | None:
    """A time: finite, not negative, and above zero where nothing else makes sense."""
    if not is_finite(value):
        return f"{name} must be a finite number of seconds, not {value!r}"
    if value < 0 or (positive and value == 0):
        return f"{name} must be {'above zero' if positive else 'zero or more'}, not {value!r}"
    return None


def whole(name: str, value: object, least: int) -> str | None:
    """A whole number that is at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        return f"{name} must be a whole number of at least {least}, not {value!r}"
    return None


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value is a non-empty str."""
    return isinstance(value, str) and bool(value)


def text(name: str, value: object) -> str | None:
    """A non-empty str."""
    return None if is_text(value) else f"{name} must be a non-empty str"


def flag(name: str, value: object) -> str | None:
    """A plain True or False."""
    return None if isinstance(value, bool) else f"{name} must be True or False, not {value!r}"


def instance(name: str, value: object, kind: type) -> str | None:
    """An object of the package's own kind."""
    if isinstance(value, kind):
        return None
    return f"{name} must be a {kind.__name__}, not {type(value).__name__}"


def gathered(value: Any) -> Any:
    """A tuple of any iterable; what is none is left for `collection` to refuse."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return value
    return tuple(value)


def members(
    name: str, value: Iterable[object], fits: Callable[[object], bool], kind: str
) -> str | None:
    """Each member fits; the line names those that do not."""
    odd = sorted(repr(item) for item in value if not fits(item))
    return f"{name} takes {kind}, not {', '.join(odd)}" if odd else None


def collection(name: str, value: object) -> str | None:
    """Several values; one bare string is the classic slip of leaving the brackets out."""
    if isinstance(value, (str, bytes)):
        return f"{name} takes a collection: write [{value!r}], not {value!r}"
    if not isinstance(value, Iterable):
        return f"{name} takes a collection, not {type(value).__name__}"
    return None
