"""The command line. Of the commands only the one that was asked for is imported."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_ERROR = 2
"""What argparse exits with as well."""

_COMMANDS = {
    "demo": (
        "watch it at work on the real httpbin application",
        (
            "Serves the real httpbin application on a free port of this machine, lets it refuse a "
            "stale token, limit the rate and fail, and shows what a session gets with the one line "
            "and without. It checks what it shows: the exit status is 0 if all of it was true, "
            "else 1. It takes about three seconds. It needs the extra "
            '"requests-authretry[demo]", and no network.'
        ),
    ),
    "check": (
        "say what is wrong with a file of settings, or what it would do",
        (
            "Reads a file of settings, or the variables of the environment. If something is wrong, "
            "it names every fault with its line or variable on standard error and exits with 1; "
            "else it says what the settings would do. Nothing is sent. The secrets that the "
            "settings refer to must be there, and are not shown."
        ),
    ),
    "schema": (
        "print the JSON schema of a file of settings, for editors",
        "Prints the JSON schema (draft 2020-12) of a file of settings.",
    ),
    "run": (
        "run a program with install(...) in force",
        (
            "Runs a script or a module as Python would, with requests_authretry.install(...) in "
            "every process of it that imports requests. The settings are those of the file, with "
            "the variables REQUESTS_AUTHRETRY_... laid over it. With --verbose, standard error "
            "says what calls wait for and why they give up."
        ),
    ),
    "where": (
        "print the folder that PYTHONPATH needs for REQUESTS_AUTHRETRY=1",
        (
            "Prints a folder. With this folder on PYTHONPATH, and REQUESTS_AUTHRETRY=1, each "
            "Python program runs as the command run would run it: for services whose command "
            "cannot be changed."
        ),
    ),
}
"""For each command what the overview says of it, and its own help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The arguments behind the program's name; None: those of `sys.argv`.

    Returns:
        The exit status: 0 when all is well, 1 when the command failed, 2 when none was named.

    Raises:
        SystemExit: ``--help``, or arguments that no command takes.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    program: list[str] = []
    if given[:1] == ["run"]:
        given, program = divided(given)
    parser = _parser()
    options = parser.parse_args(given)
    if options.command == "demo":
        from ._demo import demonstrate

        return demonstrate()
    if options.command == "check":
        from ._check import check

        return check(options.file)
    if options.command == "run":
        from ._run import run

        return run(program, options.config, is_verbose=options.verbose)
    if options.command is None:
        parser.print_help(sys.stderr)
        return USAGE_ERROR
    if options.command == "where":
        from ._run import SWITCH

        sys.stdout.write(f"{SWITCH}\n")
    else:
        from .. import _config

        schema = files(_config) / "settings.schema.json"
        sys.stdout.write(schema.read_text(encoding="utf-8"))
    return 0


def divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide what follows ``run``: our own arguments, and those of Python that run the program."""
    place = 1
    while place < len(arguments) and arguments[place].startswith("-") and arguments[place] != "-m":
        place += 2 if arguments[place] == "--config" else 1
    return list(arguments[:place]), list(arguments[place:])


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m requests_authretry",
        description="Token renewal, rate limits and retries for any requests.Session.",
        epilog="COMMAND --help tells more about a command.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    parsers = {
        name: commands.add_parser(name, help=brief, description=full)
        for name, (brief, full) in _COMMANDS.items()
    }
    parsers["check"].add_argument(
        "file", nargs="?", metavar="FILE", help="a TOML file; without it: the environment"
    )
    run = parsers["run"]
    run.usage = "%(prog)s [--config FILE] [--verbose] (SCRIPT | -m MODULE) [ARGUMENTS ...]"
    run.add_argument("--config", metavar="FILE", help="a TOML file; see the command check")
    run.add_argument(
        "--verbose", action="store_true", help="show the log: waits, and why calls give up"
    )
    return parser
