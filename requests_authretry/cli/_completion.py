"""The command ``completion``, and what completes a command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ._exits import FAILED

if TYPE_CHECKING:
    from argparse import ArgumentParser

_PROGRAM = "authretry"

_LINES = {
    "bash": ("~/.bashrc", f'eval "$({_PROGRAM} completion bash)"'),
    "zsh": ("~/.zshrc", f'eval "$({_PROGRAM} completion zsh)"'),
    "fish": ("~/.config/fish/config.fish", f"{_PROGRAM} completion fish | source"),
}
"""For each shell its start file, and the line to add to it."""

_NEEDS = "completion needs argcomplete: pip install 'requests-authretry[cli]'"


def print_completion(shell: str) -> int:
    """Print the line for a shell's start file, or, where no person reads it, the script.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.

    Returns:
        The exit status.
    """
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError:
        sys.stderr.write(f"{_NEEDS}\n")
        return FAILED
    if sys.stdout.isatty():
        file, line = _LINES[shell]
        sys.stdout.write(f"Add this line to {file}:\n\n{line}\n")
    else:
        # zsh takes the script of bash: it finds out itself which one runs it.
        made = shellcode([_PROGRAM], shell="fish" if shell == "fish" else "bash")
        sys.stdout.write(f"{made}\n")
    return 0


def complete(parser: ArgumentParser) -> None:
    """Complete what a shell asks for, and end the process; without argcomplete, do nothing."""
    try:
        from argcomplete import autocomplete
    except ImportError:
        return
    autocomplete(parser, always_complete_options=False)
