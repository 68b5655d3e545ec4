"""The command ``check``: what settings from outside say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._core.token import Token
from .._core.validation import ConfigurationError
from .._settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(file: str | None) -> int:
    """Write what settings would do, or on standard error every fault they have.

    Args:
        file: The TOML file; None: the environment.

    Returns:
        The exit status.
    """
    try:
        settings = Settings.from_env() if file is None else Settings.from_file(file)
    except ConfigurationError as error:
        sys.stderr.writelines(f"{fault}\n" for fault in error.faults)
        return 1
    sys.stdout.writelines(f"{line}\n" for line in described(settings))
    return 0


def described(settings: Settings) -> Iterator[str]:
    """Describe what settings do, in lines without secrets: each site, then the settings above."""
    for site in settings.sites:
        yield f"{', '.join(site.origins)}:"
        yield from _policy(site)
    own = ", ".join(settings.origins)
    if own:
        yield f"{own} (and all other origins, without credentials):"
    else:
        yield "all other origins:" if settings.sites else "all origins:"
    yield from _policy(settings)


def _policy(settings: Settings) -> Iterator[str]:
    retry = settings.retry
    statuses = ", ".join(map(str, sorted(retry.statuses)))
    most = "1 attempt" if retry.max_attempts == 1 else f"at most {retry.max_attempts} attempts"
    yield f"  {most} within {retry.deadline:g} s; retried statuses: {statuses or 'none'}"
    yield f"  retried even if processed: {', '.join(sorted(retry.methods)) or 'no method'}"
    declared = [str(rate) for rate in settings.limits.rates]
    if settings.limits.concurrency is not None:
        declared.append(f"{settings.limits.concurrency} at a time")
    if declared:
        yield f"  declared limits: {'; '.join(declared)}"
    yield f"  token: {_source(settings.token)}; store: {settings.store or 'memory'}"
    if isinstance(settings.timeout, tuple):
        connect, read = settings.timeout
        yield f"  timeout: {connect:g} s to connect, {read:g} s to read where the caller gave none"
    elif settings.timeout is not None:
        yield f"  timeout: {settings.timeout:g} s where the caller gave none"


def _source(token: object) -> str:
    if token is None:
        return "none"
    return "given, never renewed" if isinstance(token, Token) else repr(token)
