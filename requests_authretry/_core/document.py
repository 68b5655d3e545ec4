"""Reading JSON that a server wrote. The functions never raise on any text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .bounds import DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable


def read_object(text: bytes, whole: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """Return the JSON object in a document; an empty one if there is none.

    Args:
        text: The document; the caller has bounded its length.
        whole: Converts the digits of a whole number. None: to an int, and a document with a number
            of more than `DIGITS` digits counts as none.
    """
    found = read_json(text, whole)
    return found if isinstance(found, dict) else {}


def read_json(text: bytes, whole: Callable[[str], Any] | None = None) -> Any:
    """Return what a document of JSON holds; None if it is no JSON.

    Args:
        text: The document; the caller has bounded its length.
        whole: As for `read_object`.
    """
    try:
        return json.loads(text, parse_int=whole or _whole)
    except (ValueError, RecursionError):
        return None


def _whole(digits: str) -> int:
    """Convert the digits of a whole number.

    Raises:
        ValueError: There are too many digits.
    """
    if len(digits) > DIGITS:
        raise ValueError
    return int(digits)
