"""The command ``run``: a program with `install`, without a line in it.

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
from typing import TYPE_CHECKING

from .._errors import ConfigurationError
from .._log import VARIABLE as LOG
from .._log import level_of
from .._settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SWITCH = Path(__file__).parents[1] / "_switch"
"""The folder that makes the environment switch work when it is on ``PYTHONPATH``."""

_FAULT = 2


def run(program: list[str], config: str | None, *, is_verbose: bool = False) -> int:
    """Run a program; never return where a process can become another one.

    Args:
        program: What Python is to run: a script or ``-m`` and a module, and their arguments.
        config: A file of settings, None for those of the environment alone.
        is_verbose: Whether to show the log of the program at INFO; a level in its variable wins.

    Returns:
        The exit status.
    """
    if not program or program == ["-m"]:
        sys.stderr.write("nothing to run: name a script, or -m and a module\n")
        return _FAULT
    if sys.flags.ignore_environment or sys.flags.no_site:
        sys.stderr.write("python -E, -I and -S leave out what run needs: run without them\n")
        return _FAULT
    environ = environment(os.environ, config, is_verbose=is_verbose)
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


def environment(
    before: Mapping[str, str], config: str | None, *, is_verbose: bool = False
) -> dict[str, str]:
    """Return the variables of a process with the switch on."""
    paths = [str(SWITCH), *filter(None, [before.get("PYTHONPATH")])]
    after = {**before, "PYTHONPATH": os.pathsep.join(paths), "REQUESTS_AUTHRETRY": "1"}
    if config is not None:
        after["REQUESTS_AUTHRETRY_CONFIG"] = str(Path(config).absolute())
    if level_of(before.get(LOG, "")) is None:
        after.pop(LOG, None)  # what it says instead was warned of when this process began
        after |= {LOG: "info"} if is_verbose else {}
    return after


def interpreter_options(arguments: Sequence[str]) -> list[str]:
    """Find the options of Python's own before ``-m requests_authretry``."""
    for place in range(1, len(arguments) - 1):
        letters, name = arguments[place : place + 2]
        if name == "requests_authretry" and re.fullmatch("-[A-Za-z]*m", letters):
            others = letters.removesuffix("m")  # as in -um
            return [*arguments[1:place], *([others] if others != "-" else [])]
    return []
