"""The target of an attempt, as far as rate limits and outages distinguish attempts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from .bounds import URL_KEPT
from .origin import Origin

Endpoint = tuple[str, str]
"""The name of an origin and the pattern of a path there. An outage concerns one endpoint."""

_BEGINNING = re.compile(r"[^/?#]*//[^/?#]*")
_IDENTIFIER = re.compile(r".*\d|.{21}")

_PARTS = 6
"""Parts of a path that distinguish endpoints, the empty part before the first slash included."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an attempt is sent, as far as rate limits and outages distinguish attempts.

    Attributes:
        origin: The name of the URL's origin, see `origin_name`.
        credential: A name for the credential that the attempt carries; the name is not secret.
        method: The method of the request.
        path: The pattern of the URL's path, see `path_pattern`.
    """

    origin: str
    credential: str
    method: str
    path: str

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that an outage concerns, whatever the method."""
        return self.origin, self.path


def origin_name(url: str) -> str:
    """Return the origin of a URL as text.

    A Unix socket, an IPv6 address with a zone, and whatever else is no origin to which a token may
    go, is named by the beginning of its URL, without the user. "" if the URL has no host.
    """
    found = _BEGINNING.match(url)
    if found is None:
        return ""
    scheme, _, host = found[0].partition("//")
    # Cut behind the user only: what is left of a long user could end in the name of another host.
    return _origin_name(f"{scheme}//{host.rpartition('@')[2]}"[:URL_KEPT])


@lru_cache(maxsize=1000)
def _origin_name(beginning: str) -> str:
    origin = Origin.of(beginning)
    return beginning.lower() if origin is None else str(origin)


def path_pattern(url: str) -> str:
    """Return the beginning of a URL's path, with "*" for each part that is taken for an identifier.

    A part with a digit or with more than 20 characters is taken for one: ``/users/42/posts`` is
    ``/users/*/posts``. Only five parts count.
    """
    try:
        path = urlsplit(url).path
    except ValueError:  # requests refuses such a URL when it sends
        return ""
    parts = path[:URL_KEPT].split("/")[:_PARTS]
    return "/".join("*" if _IDENTIFIER.match(part) else part for part in parts)
