"""One table of all that can be set from outside, made of the records themselves, and its schema."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from .._core.validation import ConfigurationError
from .._settings import Settings
from .token_tables import STORE, TOKEN, token_schema
from .value_types import ADOPT, BY_ANNOTATION, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Names = tuple[str, ...]
"""The names that lead to a setting, those of the tables it stands in first."""

PREFIX = "REQUESTS_AUTHRETRY_"
CONFIG = f"{PREFIX}CONFIG"
"""The variable that names a file."""

SITE = "site"
"""The name of the tables that become `Settings.sites`."""

NOT_SETTABLE = {
    "auth": "an object with code of its own",
    "listeners": "functions",
    "clock": "an object with code of its own",
    "sites": "the [[site]] tables",
}
"""The fields of `Settings` that only code can give, or that have another name, and why."""

_BY_NAME = {"token": TOKEN, "store": STORE, "adopt": ADOPT}
_OF_OTHERS = {"origins", *_BY_NAME}
"""What other settings have a say in, or what stands for an object."""


@dataclass(frozen=True)
class Setting:
    """One thing that can be set from outside.

    Attributes:
        path: Its name, behind those of the tables it stands in.
        kind: What it may be.
        owner: The record that it is a field of.
    """

    path: Names
    kind: Kind
    owner: type[Any]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + "_".join(self.path).upper()

    def fault(self, value: object) -> str | None:
        """What its record says of a value that fits, if it cannot work by itself."""
        if self.owner is Settings and self.path[-1] in _OF_OTHERS:
            return None
        try:
            self.owner(**{self.path[-1]: value})
        except ConfigurationError as error:
            return ", ".join(error.faults)
        return None


def part_of(item: Field[Any]) -> type[Any] | None:
    """The record that a field holds, None for a plain value."""
    made: object = item.default_factory
    return made if isinstance(made, type) and is_dataclass(made) else None


def _settings(owner: type[Any], path: Names = ()) -> Iterator[Setting]:
    for item in fields(owner):
        if owner is Settings and item.name in NOT_SETTABLE:
            continue
        within = part_of(item)
        if within is not None:
            yield from _settings(within, (*path, item.name))
            continue
        kind = _BY_NAME.get(item.name) or BY_ANNOTATION[str(item.type)]
        yield Setting((*path, item.name), kind, owner)


SETTINGS: Mapping[Names, Setting] = {setting.path: setting for setting in _settings(Settings)}
"""Everything that can be set from outside."""

TABLES = {path[:end] for path in SETTINGS for end in range(len(path))}
"""The tables that settings stand in."""

VARIABLES: Mapping[str, Setting] = {setting.variable: setting for setting in SETTINGS.values()}


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a file."""
    top = _table_schema(Settings, ())
    site = _table_schema(Settings, ())
    site["required"] = ["origins"]
    site["description"] = "What requests to these origins follow; what is not said is as above."
    top["properties"][SITE] = {"type": "array", "items": site}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of requests_authretry",
        **top,
        "$defs": {"token": token_schema()},
    }


def _table_schema(owner: type[Any], path: Names) -> dict[str, Any]:
    told = _descriptions(owner)
    properties: dict[str, Any] = {}
    for item in fields(owner):
        within, setting = part_of(item), SETTINGS.get((*path, item.name))
        if setting is not None:
            found = {**setting.kind.schema, **_least(setting), **_default(item)}
        elif within is not None and item.name not in NOT_SETTABLE:
            found = _table_schema(within, (*path, item.name))
        else:
            continue
        properties[item.name] = {"description": told.get(item.name, ""), **found}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _least(setting: Setting) -> dict[str, object]:
    """The least number that the record takes, found by asking it."""
    if setting.kind.schema.get("type") not in {"integer", "number"}:
        return {}
    if setting.fault(0) is None:
        return {"minimum": 0}
    return {"minimum": 1} if setting.fault(0.5) else {"exclusiveMinimum": 0}


def _default(item: Field[Any]) -> dict[str, object]:
    if item.default is MISSING or item.default in (None, ()):
        return {}
    value = getattr(item.default, "value", item.default)
    plain = isinstance(value, (bool, int, float, str))
    return {"default": value if plain else sorted(value)}


def _descriptions(owner: type[Any]) -> dict[str, str]:
    """The lines of a docstring on its attributes; none where Python runs without docstrings."""
    _, _, told = (inspect.getdoc(owner) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", told.partition("\n\n")[0], re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).replace("``", "`") for name, text in found}
