"""The command line. Of the commands only the one that was asked for is imported."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, Action, ArgumentParser
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._core.validation import nearest
from .._errors import ConfigurationError
from ._commands import COMMANDS, CONFIG, versions
from ._exits import CLOSED_PIPE, FAILED, INTERRUPTED, USAGE_ERROR

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence


_OPTIONS = {"-h", "--help", "--version", "--config"}
"""What may stand before a command."""


def main(arguments: Sequence[str] | None = None, *, program: str = "authretry") -> int:
    """Run a command.

    Args:
        arguments: The arguments behind the program's name; None: those of `sys.argv`.
        program: What the help calls the program.

    Returns:
        The exit status: 0 when all is well, 1 when the command failed, 2 when there was nothing
        that it could do: a wrong argument or wrong settings; 141 when the reader of its output has
        gone, and 130 after Ctrl-C.

    Raises:
        SystemExit: ``--help``, ``--version``, or arguments that no command takes.
    """
    _make_streams_usable()
    try:
        try:
            return _execute(list(sys.argv[1:] if arguments is None else arguments), program)
        finally:
            sys.stdout.flush()
    except ConfigurationError as error:
        sys.stderr.writelines(f"{fault}\n" for fault in error.faults)
        return USAGE_ERROR
    except BrokenPipeError:
        _drop_output()
        return CLOSED_PIPE
    except OSError as error:
        if error.errno is None:
            raise
        sys.stderr.write(f"{program}: {error.strerror}\n")  # as of a disk that is full
        _drop_output()
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide the arguments of ``run``: our own, and those of Python that run the program.

    The arguments of other commands are all our own.
    """
    place = _behind_options(arguments, 0)
    if list(arguments[place : place + 1]) != ["run"]:
        return list(arguments), []
    place = _behind_options(arguments, place + 1)
    own, program = list(arguments[:place]), list(arguments[place:])
    return own, program[1:] if program[:1] == ["--"] else program


def _execute(given: list[str], name: str) -> int:
    given, program = divided(given)
    parser = _parser(name)
    if "_ARGCOMPLETE" in os.environ:
        from ._completion import complete

        complete(parser)
    _refuse_unknown_command(given, parser)
    options, strange = parser.parse_known_args(given)
    if strange:
        _refuse_arguments(strange, options, parser)
    if options.command is None:
        parser.print_help(sys.stderr)
        return USAGE_ERROR
    command = COMMANDS[options.command]
    if options.config is not None and CONFIG not in command.arguments:
        parser.error(f"{options.command} takes no --config")
    if options.command == "run":
        options.program = program
    return command.execute(options)


class _ShowVersions(Action):
    """Prints the versions; argparse's own action would look them up for each command."""

    def __call__(self, *_: object, **__: object) -> None:
        sys.stdout.write(f"{versions()}\n")
        sys.exit(0)


def _behind_options(arguments: Sequence[str], place: int) -> int:
    """Return the place behind the options from a place on: of a command, or of a program."""
    while place < len(arguments):
        word = arguments[place]
        if not word.startswith("-") or word in {"-", "--"} or word[:2] in {"-m", "-c"}:
            return place
        place += 2 if word == "--config" else 1
    return place


def _parser(program: str) -> ArgumentParser:
    parser = ArgumentParser(
        prog=program,
        usage="%(prog)s [--config FILE] COMMAND ...",
        description="Token renewal, rate limits and retries for any requests.Session.",
        epilog="COMMAND --help tells more about a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_ShowVersions, nargs=0, help="show the versions")
    parser.add_argument("--config", metavar="FILE", help="a TOML file of settings")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", prog=program
    )
    for name, command in COMMANDS.items():
        own = commands.add_parser(
            name, help=command.brief, description=command.full, allow_abbrev=False
        )
        if command.usage:
            own.usage = f"{program} {name} {command.usage}"
        for words, options in command.arguments:
            # Without a default, so that what stands before the command is not overwritten.
            more: dict[str, Any] = {"default": SUPPRESS} if words == ("--config",) else {}
            own.add_argument(*words, **options, **more)
    return parser


def _refuse_unknown_command(given: Sequence[str], parser: ArgumentParser) -> None:
    """Refuse a command that does not exist, naming the nearest one, or an option before it."""
    place = _behind_options(given, 0)
    options = [word.partition("=")[0] for word in given[:place] if word.startswith("-")]
    strange = [option for option in options if option not in _OPTIONS]
    if strange:
        is_misplaced = any(strange[0] in _options_of(command) for command in COMMANDS)
        near = None if is_misplaced else nearest(strange[0], _OPTIONS)
        elsewhere = ": the options of a command stand behind it"
        way_out = f"; did you mean {near}?" if near else elsewhere
        parser.error(f"{strange[0]} is unknown here{way_out}")
    word = given[place] if place < len(given) else None
    if word is None or word in COMMANDS:
        return
    from .._config.value_types import unknown

    said = unknown(word, COMMANDS)
    if os.path.isfile(word):  # noqa: PTH113 (it may be no path at all)
        said = f"is unknown; did you mean {parser.prog} run {word}?"
    elif "?" not in said:
        said += f"; there are {', '.join(COMMANDS)}"
    parser.error(f"the command {word!r} {said}")


def _options_of(command: str) -> list[str]:
    words = [word for words, _ in COMMANDS[command].arguments for word in words]
    return [word for word in words if word.startswith("-")]


def _refuse_arguments(strange: Sequence[str], options: Namespace, parser: ArgumentParser) -> None:
    """Refuse arguments that the command does not take, naming the nearest of its options."""
    near = nearest(strange[0].partition("=")[0], _options_of(options.command))
    way_out = f"did you mean {near}?" if near else f"see {parser.prog} {options.command} --help"
    if strange[0].endswith(".toml") and "--config" in _options_of(options.command):
        way_out = f"did you mean --config {strange[0]}?"
    parser.error(f"unrecognized arguments: {' '.join(strange)}; {way_out}")


def _make_streams_usable() -> None:
    """Give the process a standard output if it has none, and let no character stop it."""
    if sys.stdout is None:  # closed by the shell: >&-
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 (it stays)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 (it stays)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _drop_output() -> None:
    """Send what is still buffered nowhere: Python would complain of it at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
