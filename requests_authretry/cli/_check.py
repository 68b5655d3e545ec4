"""The commands ``check`` and ``schema``: what settings from outside say, and what they may say."""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from .. import _config
from .._core.token import Token
from .._core.validation import ConfigurationError
from .._settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator


def add_to(commands: Any) -> None:
    """Add both commands to the parser's."""
    check = commands.add_parser(
        "check",
        help="say what is wrong with a file of settings, or what it would do",
        description=(
            "Reads a file of settings, or the variables of the environment. If something is wrong, "
            "it names every fault with its line or variable on standard error and exits with 1; "
            "else it says what the settings would do. Nothing is sent. The secrets that the "
            "settings refer to must be there, and are not shown."
        ),
    )
    check.add_argument(
        "file", nargs="?", metavar="FILE", help="a TOML file; without it: the environment"
    )
    check.set_defaults(run=_check)
    command = commands.add_parser(
        "schema",
        help="print the JSON schema of a file of settings, for editors",
        description="Prints the JSON schema (draft 2020-12) of a file of settings.",
    )
    command.set_defaults(run=_schema)


def _check(options: Namespace) -> int:
    try:
        settings = Settings.from_env() if options.file is None else Settings.from_file(options.file)
    except ConfigurationError as error:
        sys.stderr.writelines(f"{fault}\n" for fault in error.faults)
        return 1
    sys.stdout.writelines(f"{line}\n" for line in described(settings))
    return 0


def _schema(_: Namespace) -> int:
    schema = files(_config) / "settings.schema.json"
    sys.stdout.write(schema.read_text(encoding="utf-8"))
    return 0


def described(settings: Settings) -> Iterator[str]:
    """Describe what settings do, in lines without secrets: each site, then all else."""
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
    yield f"  token: {_source(settings.token)}; store: {settings.store or 'memory'}"
    if settings.timeout is not None:
        yield f"  timeout: {_timeout(settings.timeout)} where the caller gave none"


def _source(token: object) -> str:
    if token is None:
        return "none"
    return "given, never renewed" if isinstance(token, Token) else repr(token)


def _timeout(timeout: Any) -> str:
    if isinstance(timeout, tuple):
        return f"{timeout[0]:g} s to connect, {timeout[1]:g} s to read"
    return f"{timeout:g} s"
