"""The tables of declared rates: ``rates = [{limit = 10, per = 1.0}]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.declared import Rate
from .._core.validation import ConfigurationError
from .value_types import NUMBER, TEXT, Kind, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RATES = ("limits", "rates")
"""The names that lead to the setting."""

_REQUIRED = ("limit", "per")
_KEYS: Mapping[str, Kind] = {**dict.fromkeys((*_REQUIRED, "burst"), NUMBER), "path": TEXT}

Fault = tuple[int, str, str]
"""The number of a table, the key in it ("" for all of it), and the text behind its name."""


def rates_of(tables: Iterable[Mapping[str, Any]]) -> tuple[tuple[Rate, ...], list[Fault]]:
    """Make the rates that tables describe, and name all faults of the others."""
    rates: list[Rate] = []
    faults: list[Fault] = []
    for number, table in enumerate(tables):
        found = [(number, key, text) for key, text in _faults(table)]
        if not found:
            try:
                rates.append(Rate(**table))
            except ConfigurationError as error:
                said = (fault.partition(" ") for fault in error.faults)
                found = [(number, key, f" {text}") for key, _, text in said]
        faults += found
    return tuple(rates), faults


def _faults(table: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the keys that a table should have or not, and those of another kind."""
    for key, value in table.items():
        kind = _KEYS.get(key)
        if key == "cost":
            yield key, " cannot be set here, it takes a function"
        elif kind is None:
            yield key, f" {unknown(key, _KEYS)}"
        elif not kind.fits(value):
            yield key, f" must be {kind.says}"
    for key in _REQUIRED:
        if key not in table:
            yield "", f" needs {key}"
