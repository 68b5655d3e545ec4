"""The pages name tests that exist, and lead to files and headings that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

import requests_authretry
from tests.support.pages import DOCS, PAGES, README, TOP, anchors, blocks

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))

LANGUAGES: Final = {"python", "text", "console", "sh", "toml"}
"""Programs, output, commands and settings files."""


def exists(path: Path) -> bool:
    """Whether a path of the tree is there; the package may be installed from a wheel instead."""
    path, package = path.resolve(), TOP / "requests_authretry"
    if path.is_relative_to(package):
        path = Path(requests_authretry.__file__).parent / path.relative_to(package)
    return path.exists()


def test_the_traps_name_real_tests() -> None:
    """Each test that the page of traps names is defined; the traps are numbered in order."""
    page = (TOP / "docs" / "traps.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    code = "\n".join(path.read_text("utf-8") for path in (TOP / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", code))
    assert named - defined == set()
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)]
    assert numbers == list(range(1, 44))


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file or a folder of the project, and a heading that it has."""
    for target, anchor in re.findall(
        r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text("utf-8")
    ):
        to = page.parent / target if target else page
        assert exists(to), target
        assert not anchor or anchor in anchors(to), f"{target}#{anchor}"


@each_page
def test_named_files_exist(page: Path) -> None:
    """A file of ours that a page names by its path, such as `_core/retry.py`, is there."""
    named = set(re.findall(r"`(\w+(?:/\w+)+\.(?:py|md|toml|cfg|json))`", page.read_text("utf-8")))
    folders = (TOP, TOP / "requests_authretry")
    assert {path for path in named if not any(exists(each / path) for each in folders)} == set()


@pytest.mark.parametrize("page", [README, *DOCS], ids=lambda page: page.name)
def test_no_phrase_hides_who_acts(page: Path) -> None:
    """Phrases such as "those that" and "by itself" do not say which thing is meant."""
    hiding = r"\b(?:those (?:that|who)|by (?:itself|themselves))\b"
    assert re.findall(hiding, page.read_text("utf-8"), re.IGNORECASE) == []


@each_page
def test_each_block_says_what_it_is(page: Path) -> None:
    """A block is a program, which tests run, or output, commands or a settings file."""
    assert {block.language for block in blocks(page)} - LANGUAGES == set()
    assert page.read_text("utf-8").count("\n```") == 2 * len(blocks(page))


def test_the_contents_name_every_page_once() -> None:
    """docs/README.md has one line for each page, numbered in the order in which to read them."""
    contents = (TOP / "docs" / "README.md").read_text("utf-8")
    pages = re.findall(r"^\d+\. \[[^\]]+\]\((\w[\w-]*\.md)\)", contents, re.MULTILINE)
    assert sorted(pages) == [page.name for page in DOCS if page.name != "README.md"]
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", contents, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
