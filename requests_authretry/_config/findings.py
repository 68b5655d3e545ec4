"""What was found outside, where it stands, and all that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from .value_types import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from .factories import Maker
    from .fields import Names, Setting


class Place(NamedTuple):
    """Where a setting comes from: a file and its line, or a variable."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        """As compilers write it."""
        return f"{self.source}:{self.line}" if self.line else self.source


class Found(NamedTuple):
    """A value and its place; None stands for one that was refused."""

    value: Any
    place: Place

    def __repr__(self) -> str:
        """The place alone: the value may be a secret."""
        return f"Found({self.place})"


class Site(NamedTuple):
    """A ``[[site]]`` table and its place."""

    found: dict[Names, Found]
    place: Place


@dataclass(repr=False)
class Findings:
    """All that was found so far.

    Attributes:
        top: The settings of all, by the names that lead to them.
        sites: Those of the ``[[site]]`` tables.
        faults: What is wrong, and where.
    """

    top: dict[Names, Found] = field(default_factory=dict)
    sites: list[Site] = field(default_factory=list)
    faults: list[tuple[Place, str]] = field(default_factory=list)

    def say(self, place: Place, text: str) -> None:
        """Note a fault."""
        self.faults.append((place, text))

    def lines(self) -> list[str]:
        """The faults in the order of their places, each once."""
        told = sorted(dict.fromkeys(self.faults), key=itemgetter(0))
        return [f"{place}: {text}" for place, text in told]


@dataclass(frozen=True)
class Taker:
    """Takes values that came from one source into the findings.

    Attributes:
        into: Where the good ones go.
        maker: What makes objects of those that stand for one.
        say: Notes a fault at a place.
        prefix: The table that all names stand in, for messages.
    """

    into: dict[Names, Found] = field(repr=False)
    maker: Maker
    say: Callable[[Place, str], None]
    prefix: Names = ()

    def take(
        self, setting: Setting, value: Any, place: Place, within: Callable[[str], Place]
    ) -> None:
        """Take a value of the right kind, or refuse it.

        Args:
            setting: What it is for.
            value: What was given.
            place: Where.
            within: The place of a key in it, where it is a table.
        """
        name = full_name((*self.prefix, *setting.path))
        faults: list[str] = []

        def say(key: str, text: str) -> None:
            faults.append(text)
            about = name + (f".{shown(key)}" if key else "")
            self.say(within(key) if key else place, about + text)

        made = setting.kind.made(value)
        if setting.path == ("token",):
            made = self.maker.token(made, say)
        elif setting.path == ("store",):
            made = self.maker.store(made, say)
        elif fault := setting.fault(made):
            faults.append(fault)
            self.say(place, full_name((*self.prefix, *setting.path[:-1], "")) + fault)
        self.into[setting.path] = Found(None if faults else made, place)

    def refuse(self, setting: Setting, place: Place, what: str) -> None:
        """Refuse a value of another kind."""
        self.say(place, f"{full_name((*self.prefix, *setting.path))} must be {what}")
        self.into[setting.path] = Found(None, place)


def full_name(path: Names) -> str:
    """A setting in a message."""
    return ".".join(shown(name) if name else "" for name in path)
