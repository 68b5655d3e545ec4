"""The target of an attempt, as far as rate limits and outages distinguish attempts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .bounds import URL_KEPT

if TYPE_CHECKING:
    from .origin import Origin

    Endpoint = tuple[Origin | None, str]
    """An origin and the pattern of a path there. An outage concerns one endpoint."""

_DIGIT = re.compile(r"\d")
_PARTS = 6
"""Parts of a path that distinguish endpoints, the empty part before the first slash included."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an attempt is sent, as far as rate limits and outages distinguish attempts.

    Attributes:
        url: The whole URL.
        origin: The origin of the URL, None if it has none.
        credential: A name for the credential that the attempt carries; the name is not secret.
        endpoint: The endpoint that an outage concerns.
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
    except ValueError:  # requests refuses such a URL when it sends
        return ""
    parts = path[:URL_KEPT].split("/")[:_PARTS]
    return "/".join("*" if _DIGIT.search(part) else part for part in parts)
