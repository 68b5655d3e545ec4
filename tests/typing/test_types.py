"""What type checkers make of the public API: `api.py` has no error, `mistakes.py` all of its own.

mypy checks `api.py` with the rest of the project, and pyright does in `.ci/run`, which also asks
pyright whether the type of each public name is complete.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import requests_authretry
from requests_authretry import Settings, keyring, oauth2, progress, redis, sources, testing
from requests_authretry._override import Changes

if TYPE_CHECKING:
    from types import ModuleType

HERE: Final = Path(__file__).parent
TOP: Final = HERE.parent.parent
PUBLIC: Final = [requests_authretry, keyring, oauth2, progress, redis, sources, testing]


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_the_program_of_a_user_names_all_of_the_api(module: ModuleType) -> None:
    """A public name that `api.py` does not import is not checked as a user meets it."""
    tree = ast.parse((HERE / "api.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named = {each.name for node in imports if node.module == module.__name__ for each in node.names}
    assert named == set(module.__all__)


def test_what_override_takes_are_the_settings() -> None:
    """The names and types that a checker knows are those of the fields, except ``sites``."""
    known = {name: kind.__forward_arg__ for name, kind in Changes.__annotations__.items()}
    taken = {item.name: item.type for item in fields(Settings) if item.name != "sites"}
    assert known == taken


@pytest.mark.slow
def test_mypy_finds_each_mistake() -> None:
    """Such as ``override(timout=3)``; lines without a mistake are passed."""
    path = HERE / "mistakes.py"
    # Old versions of requests have no types.
    ran = subprocess.run(  # noqa: S603 (our own type checker)
        [
            sys.executable,
            "-m",
            "mypy",
            "--no-error-summary",
            "--follow-untyped-imports",
            "--implicit-reexport",
            "--allow-untyped-calls",
            str(path),
        ],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    told = {int(line) for line in re.findall(r"mistakes\.py:(\d+): error", ran.stdout)}
    text = path.read_text(encoding="utf-8")
    wrong = {n for n, line in enumerate(text.splitlines(), 1) if line.endswith("# wrong")}
    assert told == wrong, ran.stdout + ran.stderr
