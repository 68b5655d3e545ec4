"""Origins: where a token may go (RFC 6454 section 4: scheme, host and port)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from .bounds import URL, WORDS

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNREADABLE = "(unreadable URL)"
# Stricter than any URL parser: a URL in which two parsers could read two hosts has no origin.
_VISIBLE = re.compile(r"[!-~]*")
_HOST_AND_PORT = re.compile(
    r"([a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?|\[[0-9a-f:.]*:[0-9a-f:.]*\])(:[0-9]*)?", re.IGNORECASE
)

# Some APIs have the token in the path: bots of Telegram; webhooks of Discord and of Slack.
_SECRET_IN_PATH = re.compile(
    r"(/bot[0-9]+(?::|%3[Aa])|/webhooks/[0-9]+/|/services/T[A-Z0-9]+/B[A-Z0-9]+/)([^/]+)"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, a host and a port.

    Attributes:
        scheme: ``http`` or ``https``.
        host: The host in lower case, IPv6 without brackets.
        port: The port, which is the scheme's default if the URL names none.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin | None:
        """Return the origin that a URL is sent to.

        None if the URL has no origin, can be read in two ways, or has more than `URL` characters.
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
        # Refuse a blank, backslash or escape at which another parser might end or skip the host.
        host_and_port = parts.netloc.rpartition("@")[2]
        if not _VISIBLE.fullmatch(url) or not _HOST_AND_PORT.fullmatch(host_and_port):
            return None
        if "\\" in parts.netloc:
            return None
        return cls(scheme, host, default if port is None else port)

    @property
    def is_loopback(self) -> bool:
        """Whether requests to this origin stay on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def is_safe(self, *, allow_http: bool) -> bool:
        """Whether secrets may be sent there: by https, to this machine, or if http is allowed."""
        return self.scheme == "https" or self.is_loopback or allow_http

    def __str__(self) -> str:
        """Return the origin as a URL without a path; the default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def parse_origin(text: object, *, allow_http: bool) -> Origin | str:
    """Return an origin written in the settings, or a line that names its fault."""
    if not isinstance(text, str):
        return f"takes strings like 'https://api.example.com', not {type(text).__name__}"
    origin = Origin.of(text)
    if origin is None:
        # Do not quote a text that may hold a password.
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
    """Return a URL for logs and events, without user, query and fragment, which may hold secrets.

    A part of the path that is known as a token is shown as ``...``. The text is cut at `WORDS`
    characters, because a redirect may name a long URL.
    """
    try:
        scheme, host, path, _, _ = urlsplit(url or "")
    except ValueError:
        return _UNREADABLE
    # Written out, as it runs on each attempt: the expression costs as much as all the rest.
    if "/bot" in path or "/webhooks/" in path or "/services/" in path:
        path = _SECRET_IN_PATH.sub(r"\1...", path)
    if "@" in host:
        host = host.rpartition("@")[2]
    if not host:
        return _UNREADABLE
    shown = f"{scheme}://{host}{path}"
    return shown if len(shown) <= WORDS else shown[:WORDS]


def redacted_prefix(prefix: str) -> str:
    """Return the beginning of a URL in the same way; it may end before the host."""
    try:
        parts = urlsplit(prefix)
    except ValueError:
        return _UNREADABLE
    path = _SECRET_IN_PATH.sub(r"\1...", parts.path)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{path}" if parts.scheme else path


def token_in_path(path: str) -> str:
    """Return the token that stands in the path of a URL; "" if none is known to do so."""
    found = _SECRET_IN_PATH.search(path)
    return unquote(found[2]) if found else ""
