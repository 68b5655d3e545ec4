"""The tool that breaks the package on purpose, to see whether a test notices."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.systems import forks

pytestmark = forks  # the tool works on Linux and macOS

TOOLS = Path(__file__).parent.parent / "tools"

LIBRARY = '''
"""Doubles."""

def unused(value):
    return value + 1

class Doubler:
    """One that can say what it has done."""

    def double(self, value, times=2):
        self.done = "doubled"
        return value * times

    @property
    def shown(self):
        return self.done.upper()

def in_child():
    return 0
'''

TEST = """
import os

from library import Doubler, in_child

def test_it():
    doubler = Doubler()
    assert doubler.double(2) == 4
    assert doubler.shown

def test_in_child():
    child = os.fork()
    if child == 0:
        os._exit(in_child())
    assert os.waitpid(child, 0)[1] == 0
"""

TRY = """
import sys
from pathlib import Path

from mutation import Module
from mutation_trial import try_all

module = Module("library.py", Path.cwd())
changes = [each.split(" -> ") for each in sys.argv[1:]]
mutants = [module.mutant(module.text.replace(*each)) for each in changes]
print("verdicts:", *try_all(mutants, Path.cwd(), ["test_it.py"], 2), sep="\\n")
"""


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the tool defines."""
    monkeypatch.syspath_prepend(str(TOOLS))
    return runpy.run_path(str(TOOLS / "mutation.py"))


@pytest.fixture
def library(tool: dict[str, Any], tmp_path: Path) -> Any:
    """The module ``library.py``, as the tool sees it."""
    (tmp_path / "library.py").write_text(LIBRARY, encoding="utf-8")
    return tool["Module"]("library.py", tmp_path)


@pytest.mark.parametrize(
    ("was", "becomes", "function", "shown"),
    [
        ("value + 1", "value - 1", "unused", "return value - 1"),
        ("times=2", "times=3", "Doubler.double", "def double(self, value, times=3):"),
        ('        self.done = "doubled"\n', "", "Doubler.double", ""),
        (".upper()", ".lower()", "Doubler.shown", "return self.done.lower()"),
    ],
    ids=["function", "default", "removed line", "property"],
)
def test_a_mutant_is_named_by_its_function_and_line(
    library: Any, was: str, becomes: str, function: str, shown: str
) -> None:
    """A survivor is found by the number of its line, and explained by its function and text."""
    mutant = library.mutant(LIBRARY.replace(was, becomes))
    line = LIBRARY[: LIBRARY.index(was)].count("\n") + 1
    assert (mutant.function.name, mutant.line, mutant.becomes) == (function, line, shown)


@pytest.mark.parametrize("was", ["no such text", "One that can", "Doubles"])
def test_what_changes_no_function_is_no_mutant(library: Any, was: str) -> None:
    """Neither a docstring of a class nor one of a module is code that a test could reach."""
    assert library.mutant(LIBRARY.replace(was, "other")) is None


def test_an_explained_survivor_counts_neither_way(tool: dict[str, Any], library: Any) -> None:
    """With one killed and one explained mutant the score is 100 %, without the explanation 50 %."""
    killed = library.mutant(LIBRARY.replace("value * times", "value / times"))
    survivor = library.mutant(LIBRARY.replace(".upper()", ".lower()"))
    results = [(killed, "killed"), (survivor, "survived")]
    entry = tool["Equivalent"]("library.py", "Doubler.shown", survivor.was, survivor.becomes)
    assert [line.split()[-2] for line in tool["table"](results)][1:] == ["50.0", "50.0"]
    compared, wrong = tool["compare"](results, [entry])
    assert [line.split()[-2] for line in tool["table"](compared)][1:] == ["100.0", "100.0"]
    assert wrong == []


@pytest.mark.parametrize(("verdict", "said"), [("killed", "explained, but"), (None, "matches no")])
def test_an_explanation_that_is_wrong_is_named(
    tool: dict[str, Any], library: Any, verdict: str | None, said: str
) -> None:
    """An entry whose mutant a test kills, or that is not made any more, has to go."""
    other = library.mutant(LIBRARY.replace("value * times", "value / times"))
    mutant = library.mutant(LIBRARY.replace(".upper()", ".lower()"))
    entry = tool["Equivalent"]("library.py", "Doubler.shown", mutant.was, mutant.becomes)
    results = [(other, "killed"), *([(mutant, verdict)] if verdict else [])]
    _, wrong = tool["compare"](results, [entry])
    assert len(wrong) == 1
    assert said in wrong[0]
    # a run over other files says nothing of the entry
    assert tool["compare"]([(other._replace(file="other.py"), "killed")], [entry])[1] == []


def test_an_explanation_gives_its_reason(tool: dict[str, Any]) -> None:
    """An entry without a reason is refused; those of the project all have one."""
    text = "[[mutant]]\nfile = 'a'\nfunction = 'f'\nwas = 'x'\nbecomes = 'y'\n"
    with pytest.raises(SystemExit, match="no reason"):
        tool["read_equivalents"](text)
    assert tool["read_equivalents"](text + "reason = 'z'") == [("a", "f", "x", "y")]
    tool["read_equivalents"](Path(tool["EQUIVALENTS"]).read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_mutant_that_no_test_notices_survives(library: Any, tmp_path: Path) -> None:
    """Each verdict is that of the tests: on properties, defaults, forks, and without any test."""
    del library
    (tmp_path / "test_it.py").write_text(TEST, encoding="utf-8")
    expected = {
        "value * times -> value + times + 1": "killed",
        "times=2 -> times=3": "killed",
        "return value * times -> while True: pass": "timeout",
        ".upper() -> .lower()": "survived",
        "self.done.upper() -> ''": "killed",
        "value + 1 -> value - 1": "no test",
        "return 0 -> return 1": "killed",
    }
    done = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-c", TRY, *expected],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TOOLS), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.partition("verdicts:\n")[2].splitlines() == list(expected.values())


def test_the_same_method_of_two_classes_is_changed_where_it_stands(tool: dict[str, Any]) -> None:
    """Of two methods with one text, the change goes to the one that holds the line."""
    before, after = "    def f(self):\n        return 1\n", "    def f(self):\n        return 2\n"
    text = f"class A:\n{before}class B:\n{before}"
    changed = tool["replace_at"](5, text, before, after)
    assert changed == text[: text.index("class B")] + "class B:\n" + after
    with pytest.raises(SystemExit, match="line 9"):
        tool["replace_at"](9, text, before, after)
