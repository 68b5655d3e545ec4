"""Reading JSON that a server wrote. The functions never raise on any text."""

from __future__ import annotations

import json
from typing import Any

from .bounds import DIGITS


def read_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object in a document; an empty one if there is none.

    Args:
        text: The document; the caller has bounded its length.
    """
    found = read_json(text)
    return found if isinstance(found, dict) else {}


def read_json(text: bytes) -> Any:
    """Return what a document of JSON holds; None if it is no JSON.

    Args:
        text: The document; the caller has bounded its length.
    """
    try:
        return json.loads(text, parse_int=_whole)
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
