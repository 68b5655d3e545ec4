"""What npm installs, beside the lock file that names it."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from pathlib import Path

_ENVIRONMENT = dict(os.environ)  # npm may need the proxies that tests are kept from
_INSTALL = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]


@cache
def missing(folder: Path) -> str | None:
    """Install the packages of a folder, unless they are there; say what is missing after that."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "this server needs node and npm"
    wanted = (folder / "package-lock.json").read_text("utf-8")
    installed = folder / "node_modules" / ".installed"
    with FileLock(folder / ".npm.lock"):  # other test runs of this tree do the same
        if not installed.exists() or installed.read_text("utf-8") != wanted:
            try:
                subprocess.run(  # noqa: S603 (our own words)
                    _INSTALL, cwd=folder, env=_ENVIRONMENT, check=True, timeout=300
                )
            except subprocess.SubprocessError as error:
                return f"npm could not install this server: {error}"
            installed.write_text(wanted, "utf-8")
    return None
