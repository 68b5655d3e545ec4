"""Origins: where a token may go (RFC 6454 section 4: scheme, host and port)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from .bounds import URL, WORDS

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Narrower than any URL parser: where two parsers could read two hosts, there is no origin at all.
_VISIBLE = re.compile(r"[!-~]*")
_HOST_AND_PORT = re.compile(
    r"([a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?|\[[0-9a-f:.]*:[0-9a-f:.]*\])(:[0-9]*)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, a host and a port.

    Attributes:
        scheme: ``http`` or ``https``.
        host: In lower case, IPv6 without brackets.
        port: Always a number, the scheme's default where the URL names none.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin | None:
        """The origin a URL is sent to; None when it has none or could be read in two ways.

        None too for a URL of more than `URL` characters.
        """
        if len(url) > URL:
            return None
        try:
            parts = urlsplit(url, "", True)  # noqa: FBT003 (the very call requests makes: one cache entry)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError:
            return None
        default = _DEFAULT_PORTS.get(scheme)
        if default is None or not host or port == 0:
            return None
        # No blank, backslash or escape at which another parser might end the host, or skip it.
        host_and_port = parts.netloc.rpartition("@")[2]
        if not _VISIBLE.fullmatch(url) or not _HOST_AND_PORT.fullmatch(host_and_port):
            return None
        if "\\" in parts.netloc:
            return None
        return cls(scheme, host, default if port is None else port)

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def is_safe(self, *, allow_http: bool) -> bool:
        """Whether secrets may go there: encrypted, to this machine, or http was allowed."""
        return self.scheme == "https" or self.is_loopback or allow_http

    def __str__(self) -> str:
        """Write it as a URL without path, the default port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def parse_origin(text: object, *, allow_http: bool) -> Origin | str:
    """An origin as written in the settings, or the line that says what is wrong with it."""
    if not isinstance(text, str):
        return f"takes strings like 'https://api.example.com', not {type(text).__name__}"
    origin = Origin.of(text)
    if origin is None:
        # What may hold a password is not quoted.
        shown = "this text" if any(mark in text for mark in "@?#") else repr(text)
        return f"{shown} is no origin: write it like 'https://api.example.com'"
    parts = urlsplit(text)
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
        return f"did you mean {str(origin)!r}? An origin has no path, query or user"
    if not origin.is_safe(allow_http=allow_http):
        return (
            f"{str(origin)!r} would send the token unencrypted: use https, or say allow_http=True"
        )
    return origin


def redacted(url: str | None) -> str:
    """A URL fit for logs and events: no user, query or fragment, which may hold secrets.

    Of a long one, `WORDS` characters; a redirect may have named it.
    """
    try:
        parts = urlsplit(url or "")
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(unreadable URL)"
    shown = f"{parts.scheme}://{host}{parts.path}" if host else "(unreadable URL)"
    return shown[:WORDS]
