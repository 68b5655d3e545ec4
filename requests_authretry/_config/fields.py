"""One table of all that can be set from outside, made of the records themselves."""

from __future__ import annotations

from dataclasses import Field, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from .._core.validation import ConfigurationError
from .._log import VARIABLE as LOG
from .._settings import Settings
from .rate_tables import RATES, rates_of
from .token_tables import STORE, TOKEN
from .value_types import ADOPT, BY_ANNOTATION, DIALECTS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Names = tuple[str, ...]
"""The names that lead to a setting, those of the tables it stands in first."""

PREFIX = "REQUESTS_AUTHRETRY_"
CONFIG = f"{PREFIX}CONFIG"
"""The variable that names a file."""

STORY = f"{PREFIX}STORY"
"""The variable with which the environment switch tells the story of each call in trouble."""

NO_SETTINGS = {CONFIG, LOG, STORY}
"""The variables that set no field of `Settings`."""

ORIGINS: Names = ("origins",)

SITE = "site"
"""The name of the tables that become `Settings.sites`."""

NOT_SETTABLE = {
    "auth": "an object with code of its own",
    "listeners": "functions",
    "classify": "a function",
    "clock": "an object with code of its own",
    "identity": "a function",
    "sites": "the [[site]] tables",
}
"""The fields that only code can give, or that have another name, and why."""

_TOGETHER = {"token", "store", "adopt", "origins"}
"""The fields of `Settings` about which other fields decide."""

_BY_NAME = {"token": TOKEN, "store": STORE, "adopt": ADOPT, "dialects": DIALECTS}


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

    def fault(self, value: Any) -> str | None:
        """Return why a value of the right kind cannot work whatever the others are, or None."""
        name = self.path[-1]
        if self.owner is Settings and name in _TOGETHER:
            return None
        if self.path == RATES:
            _, faults = rates_of(value)
            return ", ".join(f"{key}{text}" for _, key, text in faults) or None
        try:
            self.owner(**{name: value})
        except ConfigurationError as error:
            return ", ".join(error.faults)
        return None


def part_of(item: Field[Any]) -> type[Any] | None:
    """Return the record that a field holds, None for a plain value."""
    made: object = item.default_factory
    return made if isinstance(made, type) and is_dataclass(made) else None


def _settings(owner: type[Any], path: Names = ()) -> Iterator[Setting]:
    for item in fields(owner):
        here, part = (*path, item.name), part_of(item)
        if part is not None:
            yield from _settings(part, here)
        elif item.name not in NOT_SETTABLE:
            kind = _BY_NAME.get(item.name) or BY_ANNOTATION[str(item.type)]
            yield Setting(here, kind, owner)


SETTINGS: Mapping[Names, Setting] = {setting.path: setting for setting in _settings(Settings)}
"""Everything that can be set from outside."""

TABLES = {path[:end] for path in SETTINGS for end in range(len(path))}
"""The tables that settings stand in."""

VARIABLES: Mapping[str, Setting] = {setting.variable: setting for setting in SETTINGS.values()}
