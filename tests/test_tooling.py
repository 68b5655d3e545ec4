"""The tools around the package: the README's commands, and skips on CI."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Callable

TOOL = runpy.run_path(str(Path(__file__).parent.parent / "tools" / "readme_command.py"))

BLOCK = "<!-- command: demo -->\n```console\nmake demo &&\n  run\n```\n"

SKIPS = """
import pytest
def test_passes(): pass
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_fails_as_expected(): assert False
"""


@pytest.fixture
def command() -> Callable[[str, str], str]:
    """The function of the tool."""
    found: Callable[[str, str], str] = TOOL["command"]
    return found


def test_no_example_of_hypothesis_may_fail_for_being_slow() -> None:
    """The profile in use has no deadline, and no health check that measures time."""
    in_use = settings()
    assert in_use.deadline is None
    assert HealthCheck.too_slow in in_use.suppress_health_check


@pytest.mark.parametrize("name", ["demo", "test"])
def test_the_readme_has_the_command(command: Callable[[str, str], str], name: str) -> None:
    """Each of the two commands is in the README and makes its own environment."""
    text = Path(TOOL["README"]).read_text(encoding="utf-8")
    assert command(text, name).startswith("python3 -m venv .venv && ")


def test_a_command_is_taken_as_written(command: Callable[[str, str], str]) -> None:
    """What the block holds is the command, nothing added or lost."""
    assert command(f"# Title\n\n{BLOCK}\nmore\n", "demo") == "make demo &&\n  run"


@pytest.mark.parametrize("text", ["", BLOCK + BLOCK, BLOCK.replace("demo", "test")])
def test_a_command_stands_exactly_once(command: Callable[[str, str], str], text: str) -> None:
    """A README without the command, or with two of them, is refused by name."""
    with pytest.raises(SystemExit, match="demo"):
        command(text, "demo")


@pytest.fixture
def on_its_own(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An inner run of pytest, without the plugins that this one found installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)], ids=["CI", "at home"])
def test_a_skip_fails_on_ci(
    on_its_own: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, status: int
) -> None:
    """On CI a skipped test turns a green run red and is named; elsewhere it does not."""
    monkeypatch.setenv("CI", ci)
    on_its_own.makepyfile(test_it=SKIPS)
    run = on_its_own.runpytest("-p", "tests.no_skips")
    run.assert_outcomes(passed=1, skipped=1, xfailed=1)
    assert run.ret == status
    named = [line for line in run.outlines if line.startswith("test_it.py::")]
    assert named == ["test_it.py::test_skipped"] * status


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param((), id="one"),
        pytest.param(("-p", "xdist.plugin", "-n", "2"), id="two", marks=pytest.mark.slow),
    ],
)
def test_a_skipped_module_fails_on_ci(
    on_its_own: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    """A module that skips itself while it is collected counts as well, and is named once."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # for the workers
    on_its_own.makepyfile(test_it="import pytest; pytest.importorskip('no_such_module')")
    on_its_own.makepyfile(test_other="def test_passes(): pass")
    run = on_its_own.runpytest_subprocess("-p", "tests.no_skips", *workers)
    assert run.ret == 1
    assert run.outlines.count("test_it.py") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)], ids=["CI", "at home"])
def test_a_skip_in_a_worker_fails_on_ci(
    on_its_own: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, status: int
) -> None:
    """Also where pytest-xdist runs the tests in processes of their own."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    on_its_own.makepyfile(test_it=SKIPS)
    run = on_its_own.runpytest_subprocess("-p", "tests.no_skips", "-p", "xdist.plugin", "-n", "2")
    assert run.ret == status
    assert run.outlines.count("test_it.py::test_skipped") == status
