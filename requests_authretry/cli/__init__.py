"""The command line."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING

from . import _check, _run

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

USAGE_ERROR = 2
"""What argparse exits with as well."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What was typed behind the program's name; None: what was typed indeed.

    Returns:
        The exit status: 0 when all is well, 1 when the command failed, 2 when none was named.

    Raises:
        SystemExit: ``--help``, or arguments that no command takes.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    program: list[str] = []
    if given[:1] == ["run"]:
        given, program = _run.divided(given)
    parser = _parser()
    options = parser.parse_args(given)
    options.program = program
    if options.run is None:
        parser.print_help(sys.stderr)
        return USAGE_ERROR
    status: int = options.run(options)
    return status


def _parser() -> ArgumentParser:
    """Each command brings its function as ``run``."""
    parser = ArgumentParser(
        prog="python -m requests_authretry",
        description="Token renewal, rate limits and retries for any requests.Session.",
        epilog="COMMAND --help tells more about a command.",
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="watch it at work on the real httpbin application",
        description=(
            "Serves the real httpbin application on a free port of this machine, lets it refuse a "
            "stale token, limit the rate and fail, and shows what a session gets with the one "
            "line and without. It checks what it shows: the exit status is 0 if all of it was "
            "true, else 1. It takes about three seconds. It needs the extra "
            '"requests-authretry[demo]", and no network.'
        ),
    )
    demo.set_defaults(run=_run_demo)
    _check.add_to(commands)
    _run.add_to(commands)
    return parser


def _run_demo(_: Namespace) -> int:
    """Faults go to stderr, in one line."""
    from ._demo import Fault, run

    try:
        run(sys.stdout)
    except (Fault, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
