"""The pages name tests that exist, and lead to files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import requests_authretry

TOP = Path(__file__).parent.parent
PAGES = [*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md"), *(TOP / "benchmarks").glob("*.md")]


def exists(path: Path) -> bool:
    """Whether a path of the tree is there; the package may be installed from a wheel instead."""
    path, package = path.resolve(), TOP / "requests_authretry"
    if path.is_relative_to(package):
        path = Path(requests_authretry.__file__).parent / path.relative_to(package)
    return path.exists()


def test_the_traps_name_real_tests() -> None:
    """Each test that the page of traps names is defined, and all traps are there."""
    page = (TOP / "docs" / "traps.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    code = "\n".join(path.read_text() for path in (TOP / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", code))
    assert named - defined == set()
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)]
    assert sorted(numbers) == list(range(1, 44))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file or a folder of the project."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", page.read_text())
    assert [target for target in targets if not exists(page.parent / target)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_named_files_exist(page: Path) -> None:
    """A file of ours that a page names by its path, such as `_core/retry.py`, is there."""
    named = set(re.findall(r"`(\w+(?:/\w+)+\.(?:py|md|toml|cfg|json))`", page.read_text()))
    folders = (TOP, TOP / "requests_authretry")
    assert {path for path in named if not any(exists(each / path) for each in folders)} == set()
