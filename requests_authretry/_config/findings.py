"""The settings found in a file or the environment, their places, and their faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from .rate_tables import RATES, rates_of
from .value_types import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from .factories import Faults, Maker
    from .fields import Names, Setting


class Place(NamedTuple):
    """Where a setting comes from: a file and its line, or a variable."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        """Return file and line as compilers write them."""
        return f"{self.source}:{self.line}" if self.line else self.source


class Found(NamedTuple):
    """A value and its place; None stands for a value that was refused."""

    value: Any
    place: Place

    def __repr__(self) -> str:
        """Show the place alone: the value may be a secret."""
        return f"Found({self.place})"


@dataclass(repr=False)
class Findings:
    """All settings found so far.

    Attributes:
        top: The settings above the sites, by the names that lead to them.
        sites: The settings of each ``[[site]]`` table.
        faults: The places of faults, and the words on each.
    """

    top: dict[Names, Found] = field(default_factory=dict)
    sites: list[dict[Names, Found]] = field(default_factory=list)
    faults: list[tuple[Place, str]] = field(default_factory=list)

    def say(self, place: Place, text: str) -> None:
        """Note a fault."""
        self.faults.append((place, text))

    def lines(self) -> list[str]:
        """Return the faults in the order of their places, each once."""
        told = sorted(dict.fromkeys(self.faults), key=itemgetter(0))
        return [f"{place}: {text}" for place, text in told]


@dataclass(frozen=True, repr=False)
class Taker:
    """Takes the values of one table, or of the environment, into the findings.

    Attributes:
        into: Where the values go.
        maker: Makes the objects that some of them stand for.
        findings: Where the faults go.
        place_of: Returns the place of a setting, or of a key in it, by the names that lead there.
        prefix: The table that all names stand in, for messages.
    """

    into: dict[Names, Found]
    maker: Maker
    findings: Findings
    place_of: Callable[..., Place]
    prefix: Names = ()

    def take(self, setting: Setting, value: Any) -> None:
        """Take a value of the right kind, or note why it cannot work."""
        path, made = setting.path, setting.kind.made(value)
        place = self.place_of(*path)
        faults: Faults = []
        if path == ("token",):
            made = self.maker.token(made, faults)
        elif path == ("store",):
            made = self.maker.store(made, faults)
        elif path == RATES:
            made = self._rates(made)
        elif fault := setting.fault(made):  # it begins with the name of the field
            self.findings.say(place, _full_name((*self.prefix, *path[:-1], "")) + fault)
            made = None
        for key, text in faults:
            self.say((*path, key) if key else path, text)
        self.into[path] = Found(made, place)

    def _rates(self, tables: Any) -> object:
        """Make the declared rates; None where one of them cannot work."""
        rates, faults = rates_of(tables)
        for number, key, text in faults:
            place = self.place_of(*RATES, number, *filter(None, [key]))
            self.findings.say(
                place, _full_name((*self.prefix, *RATES, *filter(None, [key]))) + text
            )
        return None if faults else rates

    def refuse(self, setting: Setting, what: str) -> None:
        """Refuse a value of another kind."""
        self.say(setting.path, f" must be {what}")
        self.into[setting.path] = Found(None, self.place_of(*setting.path))

    def say(self, path: Names, text: str) -> None:
        """Note a fault of a name; the text goes on behind the name."""
        self.findings.say(self.place_of(*path), _full_name((*self.prefix, *path)) + text)


def _full_name(path: Names) -> str:
    return ".".join(shown(name) if name else "" for name in path)
