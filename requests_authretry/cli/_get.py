"""The command ``get``: an answer, and what happened on the way to it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

from .._call.explanation import Explanation, explain
from .._core.http import FIRST_ERROR
from .._core.records import seconds_text
from .._events import Waiting
from .._install.mount import mount
from ._exits import FAILED, USAGE_ERROR
from ._given import WatchedAdapter, settings_given, with_listener
from ._screen import printable, write, write_json

if TYPE_CHECKING:
    from .._events import Event
    from .._settings import Settings

NO_URLS = (InvalidSchema, InvalidURL, MissingSchema)
"""What requests raises of a text that is no URL it can use."""

NO_URL = "this is no URL that requests can use: write it like https://api.example.com/items"


_LONG_SECONDS = 1.0
"""Waits from this length on are told."""


class Got(NamedTuple):
    """What a call came to.

    Attributes:
        story: What happened.
        headers: The header fields of the answer, without secrets; empty if none came.
        body: The body, without the credential that was sent.
        encoding: How text is written in it; None if it is no text.
    """

    story: Explanation
    headers: dict[str, str]
    body: bytes = b""
    encoding: str | None = None

    @property
    def text(self) -> str:
        """The body as text, with marks in place of what cannot be read."""
        try:
            return self.body.decode(self.encoding or "utf-8", "replace")
        except LookupError:  # the server names an encoding that does not exist
            return self.body.decode("utf-8", "replace")

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as a dictionary that can be written as JSON."""
        return {**self.story.to_dict(), "headers": self.headers, "body": self.text}


def get(url: str, config: str | None, *, as_json: bool = False) -> int:
    """Get a URL with the settings in force, and write the answer with its story.

    Args:
        url: What to get.
        config: A file of settings, None for those of the environment alone.
        as_json: Whether to write facts as JSON.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: The settings cannot work.
    """
    try:
        got = got_from(url, _showing_waits(settings_given(config)))
    except NO_URLS:
        sys.stderr.write(f"{NO_URL}\n")
        return USAGE_ERROR
    if as_json:
        write_json(got.to_dict())
    else:
        _write_body(got)
        write(str(got.story).splitlines(), sys.stderr)
    status = got.story.status
    return 0 if status is not None and status < FIRST_ERROR else FAILED


def got_from(url: str, settings: Settings) -> Got:
    """Get a URL.

    Raises:
        requests.RequestException: It is no URL; one of `NO_URLS`.
    """
    watched = WatchedAdapter()
    with requests.Session() as session:
        for prefix in ("https://", "http://"):
            session.mount(prefix, watched)
        mount(session, settings)
        try:
            response = session.get(url)
        except NO_URLS:
            raise
        except requests.RequestException as error:
            return Got(explain(error), {})
        body = watched.without_secrets(response.content)
        return Got(explain(response), watched.shown_headers(response), body, response.encoding)


def _showing_waits(settings: Settings) -> Settings:
    """Return settings whose waits are seen on a terminal, drawn by rich or as plain lines."""
    if not sys.stderr.isatty():
        return settings
    try:
        from ..progress import Progress
    except ImportError:
        return with_listener(settings, _tell_wait)
    return with_listener(settings, Progress())


def _tell_wait(event: Event) -> None:
    if isinstance(event, Waiting) and (event.seconds is None or event.seconds >= _LONG_SECONDS):
        length = "" if event.seconds is None else f" {seconds_text(event.seconds)}"
        write([f"waits{length}: {event.reason.value}"], sys.stderr)


def _write_body(got: Got) -> None:
    """Write a body as it is; on a terminal as text, without what could steer it."""
    if sys.stdout.isatty():
        write(printable(line) for line in got.text.splitlines())
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(got.body)
    sys.stdout.flush()
