"""Checks for settings: every fault of an object is collected, then reported together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

_LONGEST_QUOTED = 12
"""Characters of a text in the place of a number: '2 minutes' is short, a token is not."""

_MOST_BITS = 128
"""Bits of a whole number that is quoted. Python refuses to write one of more than 4300 digits."""


class ConfigurationError(ValueError):
    """Settings that cannot work.

    The message names every fault of the object and how to correct it.

    Attributes:
        faults: One line for each fault found.
    """

    def __init__(self, where: str, faults: Iterable[str]) -> None:
        """Join the faults of ``where`` into one message."""
        self.where = where
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__(f"{where}: " + "; ".join(self.faults))

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[str, tuple[str, ...]]]:
        """Pickle the arguments of the constructor, not the finished message."""
        return type(self), (self.where, self.faults)


def refuse(where: str, faults: Iterable[str | None]) -> None:
    """Raise `ConfigurationError` if any of the faults is not None."""
    found = [fault for fault in faults if fault]
    if found:
        raise ConfigurationError(where, found)


def is_finite(value: object) -> TypeGuard[float]:
    """Whether a value is a plain number that fits a float and is neither NaN nor infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def quoted(value: object) -> str:
    """Return a value for a fault; of a long text, which may be a token, the type alone.

    The same holds for a very long whole number.
    """
    is_long = isinstance(value, (str, bytes)) and len(value) > _LONGEST_QUOTED
    is_long = is_long or (isinstance(value, int) and value.bit_length() > _MOST_BITS)
    return f"this {type(value).__name__}" if is_long else repr(value)


def seconds(name: str, value: object, *, positive: bool = False) -> str | None:
    """Return the fault of a time: not finite, negative, or zero if it must be ``positive``."""
    if not is_finite(value):
        return f"{name} must be a finite number of seconds, not {quoted(value)}"
    if value < 0 or (positive and value == 0):
        return f"{name} must be {'above zero' if positive else 'zero or more'}, not {value!r}"
    return None


def whole(name: str, value: object, least: int) -> str | None:
    """Return the fault of a value that is not a whole number of at least ``least``, or None."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        return f"{name} must be a whole number of at least {least}, not {quoted(value)}"
    return None


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value is a non-empty str."""
    return isinstance(value, str) and bool(value)


def text(name: str, value: object) -> str | None:
    """Return the fault of a value that is not a non-empty str, otherwise None."""
    return None if is_text(value) else f"{name} must be a non-empty str"


def flag(name: str, value: object) -> str | None:
    """Return the fault of a value that is not True or False, otherwise None."""
    return None if isinstance(value, bool) else f"{name} must be True or False, not {quoted(value)}"


def instance(name: str, value: object, kind: type, way: str = "") -> str | None:
    """Return the fault of a value that is not an instance of ``kind``, otherwise None.

    Args:
        name: What the value is called.
        value: The value.
        kind: What it must be an instance of.
        way: What to write in its place; empty if the kind says enough.
    """
    if isinstance(value, kind):
        return None
    fault = f"{name} must be a {kind.__name__}, not {type(value).__name__}"
    return f"{fault}: {way}" if way else fault


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like this one; None if none is like it."""
    # Imported when a name is wrong: most programs never need it.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name[:80], list(known), n=1)), None)


def gathered(value: Any) -> Any:
    """Return an iterable as a tuple; any other value as it is, for `collection` to refuse.

    A mapping stays as it is, too: its keys alone are not what its author meant.
    """
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        return value
    return tuple(value)


def members(
    name: str, value: Iterable[object], fits: Callable[[object], bool], kind: str
) -> str | None:
    """Return the fault that names the members that do not fit; None if all of them fit."""
    odd = sorted(repr(item) for item in value if not fits(item))
    return f"{name} takes {kind}, not {', '.join(odd)}" if odd else None


def collection(name: str, value: object) -> str | None:
    """Return the fault of a value that is not a collection, otherwise None.

    A single string counts as a fault: the brackets around it were forgotten. So does a mapping.
    """
    if isinstance(value, (str, bytes)):
        # Do not quote a text that may hold a password.
        shown = "..." if "@" in str(value) else repr(value)
        return f"{name} takes a collection: write [{shown}], not {shown}"
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        return f"{name} takes a collection, not {type(value).__name__}: write {name}=[...]"
    return None
