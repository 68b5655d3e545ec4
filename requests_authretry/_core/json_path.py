"""Paths into a JSON document, such as ``error.errors[].reason``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    Path = tuple[str | int | None, ...]
    """The steps of a path: the name of a member, the index of an element, or None for each one."""

# A name has a dot before it, except at the beginning.
_STEP = re.compile(
    r"(?:^|(?<!^)\.)(?P<name>[A-Za-z0-9_@$-]+)"
    r"|\[(?:(?P<index>[0-9]{1,4})|\"(?P<quoted>[^\"\\]+)\")?\]"
)

WRITTEN: Final = (
    'a path such as error.code, errors[].reason, [0].errorCode or error[".tag"]: '
    "[] stands for each element"
)
"""How a path is written, for faults."""


def parse_path(text: str) -> Path | None:
    """Return the steps of a path; None if the text is none."""
    steps: list[str | int | None] = []
    end = 0
    for found in _STEP.finditer(text):
        if found.start() != end:
            return None
        end = found.end()
        index, name = found["index"], found["name"] or found["quoted"]
        steps.append(name if index is None else int(index))
    return tuple(steps) if steps and end == len(text) else None


def values_at(document: Any, path: Path) -> Iterator[Any]:
    """Give each value that a path leads to, null left out.

    Each part of the document is visited once at most, whatever the path is.
    """
    if not path:
        if document is not None:
            yield document
        return
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        if isinstance(document, dict):
            yield from values_at(document.get(step), rest)
    elif isinstance(document, list):
        for element in document if step is None else document[step : step + 1]:
            yield from values_at(element, rest)
