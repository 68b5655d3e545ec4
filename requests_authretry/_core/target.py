"""Where an attempt goes, as far as rate limits and outages tell one attempt from another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .bounds import URL_KEPT

if TYPE_CHECKING:
    from .origin import Origin

    Endpoint = tuple[Origin | None, str]
    """An origin and the pattern of a path there: this is what can be down."""

_DIGIT = re.compile(r"\d")
_PARTS = 6
"""Parts of a path that tell endpoints apart, the empty one before the first slash included."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an attempt is sent, as far as rate limits and outages tell it apart.

    Attributes:
        url: The whole URL.
        origin: Its origin, None if it has none.
        credential: A name for the credential that the attempt carries; it is no secret.
        endpoint: What can be down there.
    """

    url: str
    origin: Origin | None
    credential: str
    endpoint: Endpoint


def path_pattern(url: str) -> str:
    """Return the beginning of a URL's path, with "*" for each part that has a digit.

    A part with a digit is taken for an identifier: ``/users/42/posts`` is ``/users/*/posts``.
    """
    try:
        path = urlsplit(url).path
    except ValueError:  # requests itself refuses the URL when it sends
        return ""
    parts = path[:URL_KEPT].split("/")[:_PARTS]
    return "/".join("*" if _DIGIT.search(part) else part for part in parts)
