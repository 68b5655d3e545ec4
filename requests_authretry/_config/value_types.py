"""What a setting from outside may be: in a file, in a variable, and for an editor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from .._core.backoff import Jitter
from .._core.validation import is_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_FLAGS = {"true": True, "1": True, "yes": True, "on": True} | {
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}
_BARE = re.compile(r"[A-Za-z0-9_-]{1,80}")


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """What the values of some settings have in common.

    Attributes:
        says: What it must be in a document, in words that follow "must be".
        schema: The same as JSON Schema.
        fits: Whether a value of a TOML document is of this kind.
        read: What the text of a variable says; a ValueError where it is of another kind.
        made: What becomes of a value that fits.
        in_text: What it must be in a variable, "" for the same.
    """

    says: str
    schema: Mapping[str, object]
    fits: Callable[[Any], bool]
    read: Callable[[str], Any] = _same
    made: Callable[[Any], Any] = _same
    in_text: str = ""

    @property
    def says_of_text(self) -> str:
        """What it must be in a variable."""
        return self.in_text or self.says


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


def _pair(text: str) -> Any:
    numbers = [float(part) for part in text.split(",")]
    return numbers[0] if len(numbers) == 1 else numbers


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _all(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _is_timeout(value: object) -> bool:
    return is_finite(value) or (
        isinstance(value, list) and len(value) == 2 and all(map(is_finite, value))  # noqa: PLR2004 (connect, read)
    )


def _is_jitter(value: object) -> bool:
    return isinstance(value, str) and value in {jitter.value for jitter in Jitter}


_ORDINAL = {"type": "number", "exclusiveMinimum": 0}

TEXT = Kind(
    says="a string with something in it",
    schema={"type": "string", "minLength": 1},
    fits=_is_text,
)
FLAG = Kind(
    says="true or false",
    schema={"type": "boolean"},
    fits=lambda value: isinstance(value, bool),
    read=_flag,
)
WHOLE = Kind(says="a whole number", schema={"type": "integer"}, fits=_is_whole, read=int)
NUMBER = Kind(says="a finite number", schema={"type": "number"}, fits=is_finite, read=float)
TEXTS = Kind(
    says="an array of strings",
    schema={"type": "array", "items": {"type": "string", "minLength": 1}},
    fits=_all(_is_text),
    read=_words,
    made=tuple,
    in_text="words with commas between them",
)
STATUSES = Kind(
    says="an array of whole numbers",
    schema={"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}},
    fits=_all(_is_whole),
    read=lambda text: [int(word) for word in _words(text)],
    made=tuple,
    in_text="whole numbers with commas between them",
)
WORDS_BY_NAME = Kind(
    says="a table of strings",
    schema={"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
    fits=lambda value: isinstance(value, dict) and all(map(_is_text, [*value, *value.values()])),
)
JITTER = Kind(
    says=" or ".join(f'"{jitter.value}"' for jitter in Jitter),
    schema={"enum": [jitter.value for jitter in Jitter]},
    fits=_is_jitter,
    made=Jitter,
)
TIMEOUT = Kind(
    says="a number of seconds or an array of two, [connect, read]",
    schema={
        "oneOf": [_ORDINAL, {"type": "array", "items": _ORDINAL, "minItems": 2, "maxItems": 2}]
    },
    fits=_is_timeout,
    read=_pair,
    made=lambda value: tuple(value) if isinstance(value, list) else value,
    in_text="a number of seconds, or two with a comma between them: connect,read",
)
ADOPT = Kind(
    says="true, false or an array of strings",
    schema={"oneOf": [FLAG.schema, TEXTS.schema]},
    fits=lambda value: FLAG.fits(value) or TEXTS.fits(value),
    read=_flag_or_words,
    made=lambda value: tuple(value) if isinstance(value, list) else value,
    in_text="true, false or words with commas between them",
)

BY_ANNOTATION: Mapping[str, Kind] = {
    "bool": FLAG,
    "int": WHOLE,
    "float": NUMBER,
    "float | None": NUMBER,
    "Collection[int]": STATUSES,
    "Collection[str]": TEXTS,
    "Jitter": JITTER,
    "Timeout | None": TIMEOUT,
}
"""The kinds of the fields of our records, which are annotated in one way each."""


def shown(name: str) -> str:
    """A name for a message: one that is odd may be anything, and is not quoted in full."""
    return name if _BARE.fullmatch(name) else repr(name[:80])


def unknown(name: str, table: Iterable[str], paths: Iterable[str]) -> str:
    """The line on a name that nobody knows, with the nearest one that is known.

    Args:
        name: The last name of its path.
        table: The names that could stand in its place.
        paths: The full paths of all settings; one that ends in this name stood in a wrong table.
    """
    elsewhere = [path for path in paths if path.rpartition(".")[2] == name]
    near = elsewhere[:1] or get_close_matches(name[:80], list(table), n=1)
    return f"is unknown; did you mean {near[0]}?" if near else "is unknown"
