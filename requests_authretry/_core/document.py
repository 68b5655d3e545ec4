"""Reading JSON that a server wrote. Never raises on any text."""

from __future__ import annotations

import json
from typing import Any

from .bounds import DIGITS


def read_object(text: bytes) -> dict[str, Any]:
    """The JSON object in a document, empty where there is none.

    Args:
        text: The document; whoever reads it has bounded its length.
    """
    try:
        found = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _whole(digits: str) -> int:
    """A whole number.

    Raises:
        ValueError: It has too many digits.
    """
    if len(digits) > DIGITS:
        raise ValueError
    return int(digits)
