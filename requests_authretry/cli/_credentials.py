"""The commands ``login``, ``logout`` and ``token``: the token of settings, for a person to hold."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._core.validation import ConfigurationError
from .._errors import AuthRetryError
from ._exits import FAILED, USAGE_ERROR
from ._given import settings_given
from ._screen import write

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._credentials import Credentials, CredentialStatus
    from .._settings import Settings

_NO_STORE = (
    "the settings have no store that keeps the token when this command ends: write "
    'store = "file:~/.my-app/tokens.json" into them, or "keyring:my-app" where there is a keyring'
)
_NOT_KEPT = "there is a token, but the store did not take it, and it ended with this command"
_LOST = {"memory", "MemoryStore()"}
"""Where a token is kept that ends with the command."""

_NO_SETTINGS = (
    "the settings have no token: name a file of settings with --config FILE, or give the token in "
    "the environment"
)
_ONLY_FORGET = "with --forget, the token is forgotten here, and the server is not asked"


def login(config: str | None, site: str | None) -> int:
    """Get a token, and say what is known of it.

    Args:
        config: A file of settings, None for those of the environment alone.
        site: A URL of the site, None where there is one.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: The settings cannot work, or name no token for one site.
    """
    credentials = _chosen(config, site)
    if credentials.status().kept_in in _LOST:
        sys.stderr.write(f"{_NO_STORE}\n")
        return USAGE_ERROR

    def sign_in() -> None:
        status = credentials.sign_in()
        if status.kept_in in _LOST:
            raise AuthRetryError(_NOT_KEPT)
        write([str(status)])

    return _told(sign_in)


def logout(config: str | None, site: str | None, *, only_forget: bool) -> int:
    """Revoke the token and forget it.

    Args:
        config: As `login`.
        site: As `login`.
        only_forget: Whether the server is not asked.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: As `login`.
    """
    credentials = _chosen(config, site)

    def end() -> None:
        if only_forget:
            credentials.forget()
        else:
            _revoke(credentials)
        write([str(credentials.status())])

    return _told(end)


def show_token(config: str | None, site: str | None) -> int:
    """Print a token that is good now, and nothing else.

    Args:
        config: As `login`.
        site: As `login`.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: As `login`.
    """
    credentials = _chosen(config, site)
    return _told(lambda: sys.stdout.write(f"{credentials.token().value}\n"))


def statuses(settings: Settings) -> list[CredentialStatus]:
    """Return what is known of the token of each site, and of the settings above them."""
    return [
        each.credentials.at(next(iter(each.origins))).status() for each in _with_token(settings)
    ]


def _chosen(config: str | None, site: str | None) -> Credentials:
    settings = settings_given(config)
    if config is None and all(each.token is None for each in (settings, *settings.sites)):
        raise ConfigurationError("environment", [_NO_SETTINGS])
    if site is not None:
        return settings.credentials.at(site)
    origins = [origin for each in _with_token(settings) for origin in each.origins]
    if len(_with_token(settings)) > 1:
        fault = f"several sites have a token: write --site {origins[0]}, or one of the others"
        raise ConfigurationError("settings", [f"{fault}: {', '.join(origins[1:])}"])
    return settings.credentials


def _with_token(settings: Settings) -> list[Settings]:
    """Return the sites that have a token, and the settings above them if they have one."""
    return [
        each for each in (settings, *settings.sites) if each.token is not None and not each.observe
    ]


def _revoke(credentials: Credentials) -> None:
    """Revoke the token; if that fails, say what else can be done.

    Raises:
        AuthRetryError: It failed.
    """
    try:
        credentials.revoke()
    except AuthRetryError:
        sys.stderr.write(f"{_ONLY_FORGET}\n")
        raise


def _told(work: Callable[[], object]) -> int:
    """Do a work; write why it failed to standard error, if it did."""
    try:
        work()
    except AuthRetryError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return 0
