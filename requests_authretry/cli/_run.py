"""The commands ``run`` and ``where``: a program with `install`, without a line in it.

The program is run by Python itself, in place of this process and with the environment switch on
(``_switch/sitecustomize.py``): arguments, tracebacks, signals and exit statuses are Python's own,
and so are its child processes, which have the switch as well.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import ConfigurationError
from .._settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

SWITCH = Path(__file__).parents[1] / "_switch"
"""The folder that makes the switch work when it is on ``PYTHONPATH``."""

_FAULT = 2


def add_to(commands: Any) -> None:
    """Add both commands to the parser's."""
    run = commands.add_parser(
        "run",
        usage="%(prog)s [--config FILE] (SCRIPT | -m MODULE) [ARGUMENTS ...]",
        help="run a program with install(...) in force",
        description=(
            "Runs a script or a module as Python would, with requests_authretry.install(...) in "
            "every process of it that imports requests. The settings are those of the file, with "
            "the variables REQUESTS_AUTHRETRY_... laid over it."
        ),
    )
    run.add_argument("--config", metavar="FILE", help="a TOML file; see the command check")
    run.set_defaults(run=_run, program=())
    where = commands.add_parser(
        "where",
        help="print the folder that PYTHONPATH needs for REQUESTS_AUTHRETRY=1",
        description=(
            "Prints a folder. With this folder on PYTHONPATH, and REQUESTS_AUTHRETRY=1, each "
            "Python program runs as the command run would run it: for services whose command "
            "cannot be changed."
        ),
    )
    where.set_defaults(run=_where)


def divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own arguments, and those of Python that run the program."""
    place = 1
    while place < len(arguments) and arguments[place].startswith("-") and arguments[place] != "-m":
        place += 2 if arguments[place] == "--config" else 1
    return list(arguments[:place]), list(arguments[place:])


def _where(_: Namespace) -> int:
    sys.stdout.write(f"{SWITCH}\n")
    return 0


def _run(options: Namespace) -> int:
    """Never returns where a process can become another one."""
    program = list(options.program)
    if not program or program == ["-m"]:
        sys.stderr.write("nothing to run: name a script, or -m and a module\n")
        return _FAULT
    if sys.flags.ignore_environment or sys.flags.no_site:
        sys.stderr.write("python -E, -I and -S leave out what run needs: run without them\n")
        return _FAULT
    environ = environment(os.environ, options.config)
    try:
        Settings.from_env(environ)
    except ConfigurationError as error:
        sys.stderr.writelines(f"{fault}\n" for fault in error.faults)
        return _FAULT
    command = [sys.executable, *interpreter_options(sys.orig_argv), *program]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(sys.executable, command, environ)  # noqa: S606 (what the user asked for)
    return subprocess.run(command, env=environ, check=False).returncode  # noqa: S603 (as above)


def environment(before: Mapping[str, str], config: str | None) -> dict[str, str]:
    """The variables of a process with the switch on."""
    paths = [str(SWITCH), *filter(None, [before.get("PYTHONPATH")])]
    after = {**before, "PYTHONPATH": os.pathsep.join(paths), "REQUESTS_AUTHRETRY": "1"}
    if config is not None:
        after["REQUESTS_AUTHRETRY_CONFIG"] = str(Path(config).absolute())
    return after


def interpreter_options(arguments: Sequence[str]) -> list[str]:
    """What stands between Python and ``-m requests_authretry``."""
    for place in range(1, len(arguments) - 1):
        letters, name = arguments[place : place + 2]
        if name == "requests_authretry" and re.fullmatch("-[A-Za-z]*m", letters):
            others = letters.removesuffix("m")  # as in -um
            return [*arguments[1:place], *([others] if others != "-" else [])]
    return []
