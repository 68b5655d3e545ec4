"""What the commands that send requests take from outside, and what of it they may show."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from requests.adapters import HTTPAdapter

from .._config.fields import CONFIG
from .._core.identity import is_key, keys_in
from .._core.origin import Origin
from .._settings import Settings

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from .._events import Listener

HIDDEN = "***"

_SECRET_NAMES = re.compile(
    r"authentication-info|authoriz|cookie|passw|secret|session|signature|token(?!s)", re.IGNORECASE
)
"""What the names of header fields and parameters with secrets have in them."""

_QUERY = re.compile(r"[?#][^\s<>\",;]+")
_USER = re.compile(r"//[^/\s<>\"]*@")

_SHORTEST = 4
"""Characters that a secret has at least: anything shorter would be hidden everywhere."""


def settings_given(config: str | None, **variables: str) -> Settings:
    """Read the settings of a file and of the environment.

    Args:
        config: The file; None: the one that the environment names, if it names one.
        variables: Variables in place of those of the environment.

    Raises:
        ConfigurationError: They cannot work.
    """
    environ = {**os.environ, **variables}
    if config is not None:
        environ[CONFIG] = str(Path(config).absolute())
    return Settings.from_env(environ)


def settings_for(url: str, settings: Settings) -> Settings:
    """Return the settings of the site that a URL belongs to; without one, those above the sites."""
    origin = str(Origin.of(url))
    return next((site for site in settings.sites if origin in site.origins), settings)


def with_listener(settings: Settings, listener: Listener) -> Settings:
    """Return settings that tell one more listener, in their sites too.

    If the settings observe, so do all of their sites.
    """

    def listening(one: Settings, **changes: Any) -> Settings:
        observe = settings.observe or one.observe
        return replace(one, listeners=(*one.listeners, listener), observe=observe, **changes)

    return listening(settings, sites=list(map(listening, settings.sites)))


class WatchedAdapter(HTTPAdapter):
    """Sends requests, and remembers the credentials in them, so that none is shown.

    Attributes:
        sent: The credentials, as they stand in header fields and queries.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sent: set[bytes] = set()

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Send a request."""
        fields: dict[str, str | bytes] = dict(request.headers)
        for name, value in fields.items():
            if _is_secret(name):
                text = value.encode() if isinstance(value, str) else value
                pairs = text.split(b"; ") if name.lower() == "cookie" else []
                self.sent |= {text, text.partition(b" ")[2], *(p.partition(b"=")[2] for p in pairs)}
        self.sent |= {value.encode() for value in _secrets_in(request.url or "")}
        return super().send(request, *args, **options)

    def without_secrets(self, body: bytes) -> bytes:
        """Return a body in which each credential that was sent is hidden."""
        for secret in sorted(self.sent, key=len, reverse=True):
            if len(secret) >= _SHORTEST:
                body = body.replace(secret, HIDDEN.encode())
        return body

    def shown_headers(self, response: Response) -> dict[str, str]:
        """Return the header fields of an answer without secrets, and queries cut off URLs."""
        shown = {name: _shown(name, value) for name, value in response.headers.items()}
        return {
            name: self.without_secrets(value.encode("latin-1", "replace")).decode("latin-1")
            for name, value in shown.items()
        }


def _shown(name: str, value: str) -> str:
    if _is_secret(name):
        return HIDDEN
    return _QUERY.sub("?" + HIDDEN, _USER.sub(f"//{HIDDEN}@", value)) if "/" in value else value


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAMES.search(name)) or is_key(name.lower())


def _secrets_in(url: str) -> list[str]:
    """Return the values of a query that are credentials by their names."""
    try:
        pairs = parse_qsl(urlsplit(url).query)
    except ValueError:  # requests refuses it
        return []
    found = {value for _, value in keys_in(url)} | {v for name, v in pairs if _is_secret(name)}
    return [*found, *map(quote, found), *(quote(value, safe="") for value in found)]
