"""Print the command that README.md has under a name: ``python3 tools/readme_command.py test``.

A command stands in a ``console`` block of its own, after a comment ``<!-- command: NAME -->``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def command(text: str, name: str) -> str:
    """Return the one command of that name; exit with a line that says so if there is not one."""
    block = rf"^<!-- command: {re.escape(name)} -->\n+```console\n(.+?)\n```$"
    found: list[str] = re.findall(block, text, re.MULTILINE | re.DOTALL)
    if len(found) != 1:
        sys.exit(f"README.md has {len(found)} console blocks after <!-- command: {name} -->, not 1")
    return found[0]


if __name__ == "__main__":
    print(command(README.read_text(encoding="utf-8"), sys.argv[1]))
