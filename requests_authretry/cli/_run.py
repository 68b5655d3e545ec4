"""The command ``run``: a program with `install`, without a line in it.

The program takes the place of this process, with the environment switch on
(``_switch/sitecustomize.py``): arguments, tracebacks, signals and exit statuses are its own, and so
are its child processes, which have the switch as well.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from sysconfig import get_path
from typing import TYPE_CHECKING

from .._config.fields import CONFIG, SETTINGS, STORY
from .._log import VARIABLE as LOG
from .._log import level_of
from .._settings import Settings
from ._exits import USAGE_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SWITCH = Path(__file__).parents[1] / "_switch"
"""The folder that makes the environment switch work when it is on ``PYTHONPATH``."""

_OBSERVE = SETTINGS["observe",].variable
_SCRIPTS = (".py", ".pyw", ".pyc", ".pyz", ".zip")
_PYTHON_SCRIPT = re.compile(rb"#!.*python")

_TAKES_ARGUMENT = re.compile("-[A-Za-z]*[WX]|--check-hash-based-pycs")
"""The options of Python whose argument is a word of its own."""

_IGNORED = ("SIGPIPE", "SIGXFSZ")
"""The signals that Python ignores. A process hands on what it ignores to the program after it."""


def run(
    program: list[str], config: str | None, *, is_verbose: bool = False, is_observing: bool = False
) -> int:
    """Run a program; never return where a process can become another one.

    Args:
        program: A script, ``-m`` and a module, ``-c`` and code, or the name of a command; behind it
            its arguments.
        config: A file of settings, None for those of the environment alone.
        is_verbose: Whether the program tells what its calls wait for, and the story of each call in
            trouble.
        is_observing: Whether nothing is changed, and only told.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: The settings cannot work; nothing was started.
    """
    if not program or program in (["-m"], ["-c"]):
        return _refuse("nothing to run: name a script, a command, -m and a module, or -c and code")
    if sys.flags.ignore_environment or sys.flags.no_site:
        return _refuse("python -E, -I and -S leave out what run needs: run without them")
    environ = environment(os.environ, config, is_verbose=is_verbose, is_observing=is_observing)
    Settings.from_env(environ)
    command = command_of(program)
    if command is None:
        return _refuse(f"{program[0]} is no file here, and no command of this environment or PATH")
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if os.name == "posix":
            with _usual_signals():
                os.execve(command[0], command, environ)  # noqa: S606 (what the user asked for)
        return subprocess.run(command, env=environ, check=False).returncode  # noqa: S603 (as above)
    except OSError as error:
        return _refuse(f"{command[0]} cannot be run: {error.strerror}")


def environment(
    before: Mapping[str, str],
    config: str | None,
    *,
    is_verbose: bool = False,
    is_observing: bool = False,
) -> dict[str, str]:
    """Return the variables of a process with the switch on."""
    paths = [str(SWITCH), *filter(None, [before.get("PYTHONPATH")])]
    after = {**before, "PYTHONPATH": os.pathsep.join(paths), "REQUESTS_AUTHRETRY": "1"}
    if config is not None:
        after[CONFIG] = str(Path(config).absolute())
    if is_verbose:
        after[STORY] = "1"
    if is_observing:
        after[_OBSERVE] = "true"
    if level_of(before.get(LOG, "")) is None:
        after.pop(LOG, None)  # what it says instead was warned of when this process began
        after |= {LOG: "info"} if is_verbose else {}
    return after


def command_of(program: Sequence[str]) -> list[str] | None:
    """Return what runs a program: Python, or the command that has the program's name.

    A script in the working directory goes before a command of the same name, as Python would run
    it. A console script of this environment is run by this Python, with its options.

    Returns:
        The command and its arguments; None if there is neither a script nor a command.
    """
    name, python = program[0], [sys.executable, *interpreter_options(sys.orig_argv)]
    if name.startswith("-") or _is_script(name):
        return [*python, *program]
    own = [get_path("scripts"), str(Path(sys.executable).parent)]
    found = shutil.which(name, path=os.pathsep.join(own))
    if found is not None and _is_python_script(found):
        return [*python, found, *program[1:]]
    found = found or shutil.which(name)
    return None if found is None else [found, *program[1:]]


def interpreter_options(arguments: Sequence[str]) -> list[str]:
    """Find the options of Python's own before ``-m requests_authretry``."""
    for place in range(1, len(arguments) - 1):
        before, letters, name = arguments[place - 1 : place + 2]
        if not letters.startswith("-") and not _TAKES_ARGUMENT.fullmatch(before):
            break  # a script, as the command authretry is one: the rest belongs to the program
        if name == "requests_authretry" and re.fullmatch("-[A-Za-z]*m", letters):
            others = letters.removesuffix("m")  # as in -um
            return [*arguments[1:place], *([others] if others != "-" else [])]
    return []


@contextmanager
def _usual_signals() -> Iterator[None]:
    """Let a program that takes this process meet the signals that Python ignores."""
    numbers = [getattr(signal, name) for name in _IGNORED if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:  # no program took it
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_script(name: str) -> bool:
    """Whether Python runs what has this name, or says why it cannot."""
    path = Path(name)
    is_path = len(path.parts) != 1 or name.endswith(_SCRIPTS)
    return is_path or path.is_file() or (path / "__main__.py").is_file()


def _is_python_script(path: str) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123 (as shutil.which names it)
        return _PYTHON_SCRIPT.match(file.readline(1000)) is not None


def _refuse(line: str) -> int:
    sys.stderr.write(f"{line}\n")
    return USAGE_ERROR
