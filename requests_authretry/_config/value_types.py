"""What a value of a settings file, or the text of a variable, may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._core.backoff import Jitter
from .._core.placement import Cookie, Header, Query
from .._core.unauthorized import ANY, SCHEME
from .._core.validation import is_finite, is_text, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .._core.placement import Placement

_FLAGS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_PLACEMENTS: Mapping[str, Callable[..., Placement]] = {
    "header": Header,
    "query": Query,
    "cookie": Cookie,
}
_JITTERS = [jitter.value for jitter in Jitter]
_BARE = re.compile(r"[A-Za-z0-9_-]{1,80}")


def _without_lists(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, eq=False)
class Kind:
    """What the values of some settings have in common.

    Attributes:
        says: What a value must be in a file, in words that follow "must be".
        fits: Whether a value from a file is of this kind.
        read: Turns the text of a variable into a value, or raises ValueError.
        made: Turns a value that fits into the one that the field takes.
        in_text: What the text of a variable must be, if it is written otherwise than in a file.
    """

    says: str
    fits: Callable[[Any], bool]
    read: Callable[[str], Any] = str
    made: Callable[[Any], Any] = _without_lists
    in_text: str = ""


def _flag(text: str) -> bool:
    try:
        return _FLAGS[text.strip().lower()]
    except KeyError:
        raise ValueError from None


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _flag_or_words(text: str) -> bool | list[str]:
    try:
        return _flag(text)
    except ValueError:
        return _words(text)


def _one_or_two_numbers(text: str) -> Any:
    numbers = [float(part) for part in text.split(",")]
    return numbers[0] if len(numbers) == 1 else numbers


def _placement(table: Any) -> Placement | None:
    """Return the placement that a table describes; None if it describes none."""
    if not isinstance(table, dict):
        return None
    names = {**table}
    value = {"value": names.pop("value")} if "header" in names and "value" in names else {}
    try:
        [(kind, name)] = names.items()
        return _PLACEMENTS[kind](name, **value)
    except (KeyError, ValueError):  # `ConfigurationError` is a ValueError
        return None


def _placement_in_text(text: str) -> dict[str, str]:
    kind, _, rest = text.partition(":")
    name, mark, value = rest.partition(":")
    return {kind: name, **({"value": value} if mark else {})}


def _rates(text: str) -> list[dict[str, float]]:
    pairs = (word.split("/") for word in _words(text))
    return [{"limit": float(limit), "per": float(per)} for limit, per in pairs]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_array(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and all(map(fits, value))


TEXT = Kind("a string with something in it", is_text)
FLAG = Kind("true or false", lambda value: isinstance(value, bool), read=_flag)
WHOLE = Kind("a whole number", _is_whole, read=int)
NUMBER = Kind("a finite number", is_finite, read=float)
TEXTS = Kind(
    "an array of strings",
    lambda value: _is_array(value, is_text),
    read=_words,
    in_text="words with commas between them",
)
STATUSES = Kind(
    "an array of whole numbers",
    lambda value: _is_array(value, _is_whole),
    read=lambda text: [int(word) for word in _words(text)],
    in_text="whole numbers with commas between them",
)
WORDS_BY_NAME = Kind(
    "a table of strings",
    lambda value: isinstance(value, dict) and all(map(is_text, [*value, *value.values()])),
)
JITTER = Kind(
    " or ".join(f'"{jitter}"' for jitter in _JITTERS), lambda value: value in _JITTERS, made=Jitter
)
PLACEMENT = Kind(
    'a table: {header = "X-Auth-Token"}, {header = "Authorization", value = "Token {token}"}, '
    '{query = "api_key"} or {cookie = "session"}',
    lambda value: _placement(value) is not None,
    read=_placement_in_text,
    made=_placement,
    in_text="header:X-Auth-Token, header:Authorization:Token {token}, query:api_key or "
    "cookie:session",
)
CHALLENGE = Kind(
    " or ".join(f'"{word}"' for word in (SCHEME, ANY)), lambda value: value in [SCHEME, ANY]
)
TIMEOUT = Kind(
    "a number of seconds or an array of two, [connect, read]",
    lambda value: is_finite(value) or (_is_array(value, is_finite) and len(value) == 2),  # noqa: PLR2004 (connect, read)
    read=_one_or_two_numbers,
    in_text="a number of seconds, or two with a comma between them: connect,read",
)
ADOPT = Kind(
    "true, false or an array of strings",
    lambda value: FLAG.fits(value) or TEXTS.fits(value),
    read=_flag_or_words,
    in_text="true, false or words with commas between them",
)
DIALECTS = Kind(
    '"auto", "none" or an array of names',
    lambda value: value in ("auto", "none") or TEXTS.fits(value),
    read=lambda text: text.strip() if text.strip() in {"auto", "none"} else _words(text),
    made=lambda value: () if value == "none" else _without_lists(value),
    in_text="auto, none or names with commas between them",
)
RATES = Kind(
    "an array of tables: [{limit = 10, per = 1.0}]",
    lambda value: _is_array(value, lambda each: isinstance(each, dict)),
    read=_rates,
    in_text="LIMIT/SECONDS with commas between them: 10/1,1000/3600",
)

BY_ANNOTATION: Mapping[str, Kind] = {
    "bool": FLAG,
    "bool | None": FLAG,
    "int": WHOLE,
    "int | None": WHOLE,
    "float": NUMBER,
    "float | None": NUMBER,
    "Collection[Rate]": RATES,
    "Collection[int]": STATUSES,
    "Collection[str]": TEXTS,
    "Jitter": JITTER,
    "Placement | None": PLACEMENT,
    "Literal['scheme', 'any']": CHALLENGE,
    "Timeout | None": TIMEOUT,
}
"""The kind of a field, by its annotation: our records write each type in one way."""


def shown(name: str) -> str:
    """Return a name for a message: an odd one is quoted, and not in full, as it may be anything."""
    return name if _BARE.fullmatch(name) else repr(name[:80])


def unknown(name: str, table: Iterable[str], paths: Iterable[str] = ()) -> str:
    """Say that a name is unknown, and name the nearest known one.

    Args:
        name: The last name of its path.
        table: The names that could stand in its place.
        paths: The full paths of all settings; one that ends in this name stood in a wrong table.
    """
    elsewhere = [path for path in paths if path.rpartition(".")[2] == name]
    near = elsewhere[0] if elsewhere else nearest(name, table)
    return f"is unknown; did you mean {near}?" if near else "is unknown"
