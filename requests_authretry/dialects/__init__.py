"""Dialects: how public APIs deviate from the standards, one data file for each API.

The rules are in `_core/dialect`; this package finds and reads the files. `_index` says which files
concern a host, so that a request to another host reads none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .._core.dialect import judge
from .._core.validation import ConfigurationError, nearest, quoted, refuse
from ._index import EXACT, SUFFIXES

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from .._core.classify import Answer, Verdict
    from .._core.dialect import Rule
    from .._core.dialect_format import Endpoint, Repeat, Sample
    from .._core.placement import Placement

__all__ = [
    "NAMES",
    "Dialect",
    "dialects_fault",
    "fixed_origins",
    "named",
    "named_alone",
    "of_origin",
]

NAMES: Final = tuple(sorted({*chain(*EXACT.values(), *SUFFIXES.values())}))
"""The names of all dialects that the library has."""

AUTO: Final = "auto"
"""In the place of names: the dialects of the origin of each request."""

_OFF = frozenset({"", "none", "off"})
"""Texts by which somebody means None: in settings files `none` is right."""

_HTTPS = "https://"
_LONGEST_ORIGIN = len(_HTTPS) + 253
"""Characters of an origin: a host's name has 253 at most (RFC 1035, 3.1, as text)."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dialect:
    """How one API deviates from the standards: what its answers mean, and how it is used.

    Immutable and safe to share between threads. Two objects are equal only if they are the same.

    Attributes:
        name: Its name, as `Settings(dialects=...)` takes it.
        title: The name of the API, for people.
        checked: The day when the facts were compared with their sources, ``2026-01-31``.
        sources: The URL of each source, by a short name.
        origins: The origins of the API; ``https://*.example.com`` stands for each host below it.
        paths: Patterns of the paths where the API is, if the origins have others, too.
        rules: What answers mean, in order: the first rule that holds counts.
        headers: What header fields with a misleading name are read as, by their own names in lower
            case; None: not read at all.
        repeat: Requests that may be repeated although their method is not idempotent.
        placement: Where the credential goes, as `Settings.token_in` has it; None: nothing is known.
        token_endpoint: How the token endpoint departs from the standard; None: nothing is known.
        samples: Answers of the API, with the right verdicts.
    """

    name: str
    title: str
    checked: str
    sources: Mapping[str, str]
    origins: tuple[str, ...]
    paths: tuple[str, ...]
    rules: tuple[Rule, ...]
    headers: Mapping[str, str | None]
    repeat: tuple[Repeat, ...]
    placement: Placement | None
    token_endpoint: Endpoint | None
    samples: tuple[Sample, ...]

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Dialect:
        """Read a dialect of your own from a JSON file.

        Args:
            path: The file; its form is in ``docs/add-a-dialect.md``.

        Raises:
            ConfigurationError: The file cannot be read, or something in it cannot work; all faults
                are named together, each with its key.
        """
        try:
            content = Path(path).expanduser().read_bytes()
        except OSError as error:
            raise ConfigurationError(str(path), [f"cannot be read: {error.strerror}"]) from None
        except (ValueError, RuntimeError):  # a NUL in it, or the home of an unknown user
            raise ConfigurationError(str(path), ["is no path here"]) from None
        return _made(content, str(path))

    @cached_property
    def statuses(self) -> frozenset[int]:
        """The status codes that a rule looks at; no rule holds for an answer with another one."""
        return frozenset[int]().union(*(rule.when.status for rule in self.rules))

    def judge(self, answer: Answer, now: float) -> Verdict | None:
        """Return what an answer means; None if its status says it. Never raises on any answer.

        Args:
            answer: The answer.
            now: The client's time, in POSIX seconds.
        """
        return judge(self.rules, answer, now)

    def check_samples(self) -> tuple[str, ...]:
        """Return what is wrong with the samples; empty if nothing is.

        Each sample must be given the verdict that it expects, and each rule must decide about one.
        """
        from .._core.dialect_format import rules_without_sample, sample_fault

        url = self.origins[0].replace("*", "tenant")
        faults = (sample_fault(self.rules, each, url) for each in self.samples)
        without = rules_without_sample(self.rules, self.samples, url)
        return (
            *(fault for fault in faults if fault),
            *(f"rule {what!r} decides about no sample" for what in without),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


@lru_cache(maxsize=64)
def named(name: str) -> Dialect:
    """Return a dialect of the library.

    Raises:
        ConfigurationError: There is none of this name.
    """
    # Imported when the first file is needed: most programs need none.
    from importlib.resources import files

    refuse("dialects", [_name_fault(name)])
    return _made((files(__name__) / f"{name}.json").read_bytes(), f"{name}.json")


def of_origin(origin: str) -> tuple[Dialect, ...]:
    """Return the dialects of the library for an origin; those of its very host first."""
    return tuple(map(named, dict.fromkeys(_names_of(origin))))


def named_alone(given: object) -> Dialect | None:
    """Return the dialect of settings that name exactly one; None where they name none or several.

    Args:
        given: What the settings were given as dialects; it may have faults.
    """
    if not isinstance(given, tuple) or len(given) != 1:
        return None
    if isinstance(given[0], Dialect):
        return given[0]
    return named(given[0]) if given[0] in NAMES else None


def fixed_origins(dialect: Dialect) -> tuple[str, ...]:
    """Return the origins of an API; empty if it has a host for each customer."""
    return () if any("*" in each for each in dialect.origins) else dialect.origins


def _names_of(origin: str) -> Iterator[str]:
    if not origin.startswith(_HTTPS) or len(origin) > _LONGEST_ORIGIN:
        return
    host = origin.removeprefix(_HTTPS)
    yield from EXACT.get(host, ())
    while "." in host:
        host = host.partition(".")[2]
        yield from SUFFIXES.get(host, ())


def dialects_fault(given: object) -> str | None:
    """Return the fault of what the settings were given as dialects, otherwise None."""
    if given is None or given == AUTO:
        return None
    if not isinstance(given, tuple):
        says = "dialects must be 'auto', a list of names or None"
        way = _instead(given)
        return f"{says}: write dialects={way}" if way else f"{says}, not {type(given).__name__}"
    return next(filter(None, map(_member_fault, given)), None)


def _instead(given: object) -> str | None:
    """Return what to write for a value that is no list; None if nobody knows."""
    if isinstance(given, Dialect):
        return "[dialect]"
    if given is False or (isinstance(given, str) and given.lower() in _OFF):
        return "None"
    if isinstance(given, Mapping):
        known = [name for name in NAMES if name in given]
        return f"{known}" if known else "[Dialect.from_file('my-api.json')]"
    if not isinstance(given, str):
        return None
    if given.endswith(".json"):
        return f"[Dialect.from_file({given!r})]"
    return f"[{nearest(given, NAMES) or NAMES[0]!r}]"


def _member_fault(given: object) -> str | None:
    if isinstance(given, Dialect):
        return None
    if not isinstance(given, str):
        kind = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
        way = "write 'github' or Dialect.from_file('my-api.json')"
        return f"dialects takes names and objects of Dialect, not {kind}: {way}"
    if given == AUTO:
        return "dialects has 'auto' in a list: write dialects='auto' alone, or names alone"
    fault = _name_fault(given)
    return fault and f"dialects has {fault}"


def _name_fault(name: str) -> str | None:
    if name in NAMES:
        return None
    near = nearest(name, NAMES)
    if near:
        return f"{name!r}, which is unknown; did you mean {near!r}?"
    return f"{quoted(name)}, which is unknown; known are {', '.join(NAMES)}"


def _made(content: bytes, source: str) -> Dialect:
    """Make a dialect of the content of a file; ``source`` is what faults call it."""
    from .._core.dialect_format import Reading

    reading = Reading()
    try:
        fields = reading.dialect(json.loads(content.decode("utf-8-sig")))
    except RecursionError:
        raise ConfigurationError(source, ["is nested too deeply"]) from None
    except ValueError as error:
        raise ConfigurationError(source, [f"is no JSON: {error}"]) from None
    refuse(source, reading.faults)
    return Dialect(**fields)
