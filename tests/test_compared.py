"""The page that compares this library with others, and the program that makes its table."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parents[1]
PROGRAM = TOP / "benchmarks" / "compared.py"
PAGE = (TOP / "docs" / "compared.md").read_text(encoding="utf-8")


def program() -> Any:
    """The program as a module: the folder of benchmarks is no package."""
    spec = spec_from_file_location("compared", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["compared"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


COMPARED = program()
ALL = (*COMPARED.SITUATIONS, *COMPARED.IN_TURN)


def test_the_page_has_each_situation_and_each_library() -> None:
    """Ten situations and two questions about the log, with an answer of each library."""
    table = PAGE.partition(COMPARED.BEGIN)[2].partition(COMPARED.END)[0]
    head, _, *rows = [line for line in table.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    assert [cell.strip() for cell in head.strip("|").split(" | ")] == [
        "situation",
        *COMPARED.PEERS,
    ]
    assert [row[0] for row in cells] == [each.__doc__ for each in ALL]
    assert {len(row) for row in cells} == {1 + len(COMPARED.PEERS)}
    assert {cell.partition(":")[0] for row in cells for cell in row[1:]} == {"yes", "no"}


def test_the_page_tells_the_versions() -> None:
    """The table is dated, and names the version of each library."""
    line = next(line for line in PAGE.splitlines() if line.startswith("Run on 20"))
    assert all(f"{name} " in line for name in COMPARED.PEERS)


def test_the_page_has_the_libraries_that_were_not_run() -> None:
    """Both are there, from their documentation only."""
    assert "| situation | headgate | clientwright, with requests |" in PAGE


# Not all libraries: httpx-retries is in the group "compared" alone, and CI allows no skipped test.
@pytest.mark.parametrize("name", COMPARED.installed())
def test_the_program_runs_each_library_that_is_installed(name: str) -> None:
    """A GET that is answered by 200 succeeds: each is set up in a way that works."""
    call, seen = COMPARED.one(COMPARED.PEERS[name], COMPARED.after(0, 200))
    assert (call.what, len(seen)) == ("200", 1)


@pytest.mark.slow
@pytest.mark.parametrize("situation", ALL)
def test_the_program_runs_ours_in_each_situation(situation: Any) -> None:
    """It ends with an answer; which one may depend on the machine."""
    assert str(situation(COMPARED.ours)).partition(":")[0] in {"yes", "no"}
