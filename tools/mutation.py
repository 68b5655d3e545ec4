"""Break the package in small ways, one at a time, and list the breaks that no test notices.

    python tools/mutation.py requests_authretry/_tokens
    python tools/mutation.py requests_authretry/_call/loop.py --tests tests/call --fail-under 90

Run it by a Python that has this package with ``.[test,mutation]`` installed. Each break is a
mutant: a function in which mutmut has changed one thing. A mutant is killed if a test fails or
hangs, and survives if all tests that reach the change pass. The score is the share of killed
mutants. What changes nothing that a test could see stands with its reason in
``mutation_equivalents.toml``, and counts neither way.

mutmut makes the mutants, but does not run them: it collects the tests anew for each, which takes
6 s where 400 tests reach a function; it calls every function through a wrapper; and it leaves out
functions with decorators. ``mutation_trial.py`` collects once. Each mutant is then a process forked
from there, in which the function is given the code of the mutant; nothing else about it changes.

Tests that are marked ``slow`` or ``sdk`` are left out, and those that start programs or servers:
programs would not meet the mutant. All of this happens in a copy of the project; nothing is written
to the checkout.
"""

from __future__ import annotations

import ast
import inspect
import os
import signal
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mutation_trial import KILLED, NO_TEST, SURVIVED, TIMEOUT, Function, Mutant, try_all

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import CodeType

ROOT = Path(__file__).parent.parent
PACKAGE = "requests_authretry"
EQUIVALENTS = Path(__file__).with_name("mutation_equivalents.toml")

TESTS = {
    f"{PACKAGE}/_call": (
        "tests/call",
        "tests/admission",
        "tests/install/test_adopt.py",
        "tests/oauth2/test_dpop.py",
        "tests/test_override.py",
        "tests/test_progress.py",
        "tests/tokens/test_manager.py",
    ),
    f"{PACKAGE}/_tokens": ("tests/tokens", "tests/install/test_adopt.py"),
}
"""The tests that are to kill the mutants of a folder. Of others it is the folder of its name."""

EXPLAINED = "explained"
VERDICTS = (KILLED, TIMEOUT, SURVIVED, NO_TEST, EXPLAINED)


class Equivalent(NamedTuple):
    """An explained mutant, as it stands in ``mutation_equivalents.toml``."""

    file: str
    function: str
    was: str
    becomes: str


def functions_in(node: ast.AST, prefix: str = "") -> Iterator[Function]:
    """Find the functions of a module and of its classes, but not those inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            by_name = zip(child.args.kwonlyargs, child.args.kw_defaults, strict=True)
            yield Function(
                prefix + child.name,
                min([child.lineno, *(each.lineno for each in child.decorator_list)]),
                child.end_lineno or child.lineno,
                tuple(ast.unparse(each) for each in child.args.defaults),
                {each.arg: ast.unparse(default) for each, default in by_name if default},
            )
        else:
            inside = f"{prefix}{child.name}." if isinstance(child, ast.ClassDef) else prefix
            yield from functions_in(child, inside)


def code_of(function: Function, module: CodeType) -> CodeType | None:
    """Find the code of a function in that of its module or class."""
    for each in module.co_consts:
        if not inspect.iscode(each):
            continue
        if not each.co_flags & inspect.CO_NEWLOCALS:  # the body of a class
            found = code_of(function, each)
            if found:
                return found
        elif each.co_firstlineno == function.begins and function.name.endswith(each.co_name):
            return each
    return None


def changed_lines(before: str, after: str) -> tuple[int, str, str]:
    """Return the number of the first line that differs, and what differs in each of two texts."""
    old, new = before.splitlines(), after.splitlines()
    most = min(len(old), len(new))
    head = next((n for n in range(most) if old[n] != new[n]), most)
    tail = next((n for n in range(most - head) if old[-1 - n] != new[-1 - n]), most - head)
    was, becomes = old[head : len(old) - tail], new[head : len(new) - tail]
    return head + 1, " ".join(map(str.strip, was)), " ".join(map(str.strip, becomes))


def lines_before(line: int, tree: ast.Module) -> range:
    """Return lines of which one runs whenever a part of that line does: those of its statement."""
    around = [
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.stmt) and each.lineno <= line <= (each.end_lineno or each.lineno)
    ]
    statement = max(around, key=lambda each: each.lineno)
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):  # it is in the defaults
        return range(statement.lineno, (statement.end_lineno or line) + 1)
    return range(statement.lineno, line + 1)


class Module:
    """A module of the package: it compares texts with its own.

    Attributes:
        file: Its path in the project.
        text: What stands in it.
    """

    def __init__(self, file: str, tree: Path) -> None:
        self.file = file
        self._path = tree / file
        self.text = self._path.read_text(encoding="utf-8")
        self._parsed = ast.parse(self.text)
        self._functions = {each.begins: each for each in functions_in(self._parsed)}
        self._code = self._compile(self._parsed)

    def _compile(self, parsed: ast.Module) -> CodeType:
        return compile(parsed, str(self._path), "exec", dont_inherit=True)

    def mutant(self, text: str) -> Mutant | None:
        """Describe another text of the module, or return None if no function of it differs."""
        if text == self.text:
            return None
        line, was, becomes = changed_lines(self.text, text)
        old = next((f for f in self._functions.values() if f.begins <= line <= f.ends), None)
        try:
            parsed = ast.parse(text)
            code = self._compile(parsed)
        except SyntaxError:
            return None
        new = next((f for f in functions_in(parsed) if old and f.begins == old.begins), None)
        changed = code_of(new, code) if new else None
        if old is None or new is None or changed is None:
            return None
        with_defaults = (old.defaults, old.named_defaults) != (new.defaults, new.named_defaults)
        if not with_defaults and changed == code_of(old, self._code):
            return None
        lines = lines_before(line, self._parsed)
        return Mutant(self.file, new, line, lines, was, becomes, changed, with_defaults)


def mutants_of(file: str, tree: Path) -> Iterator[Mutant]:
    """Make all mutants of a file that mutmut knows."""
    import libcst
    from libcst.metadata import MetadataWrapper, PositionProvider
    from mutmut.mutation.file_mutation import MutationVisitor
    from mutmut.mutation.mutators import mutation_operators
    from mutmut.mutation.pragma_handling import IgnoredCode

    class Visitor(MutationVisitor):  # type: ignore[misc] # Any: the package is not always there
        """mutmut's, with two differences."""

        def _skip_node_and_children(self, node: libcst.CSTNode) -> bool:
            if isinstance(node, libcst.FunctionDef):
                return False  # mutmut skips those with decorators, which its wrapper would break
            if isinstance(node, libcst.Call) and getattr(node.func, "value", "") == "cast":
                return True  # the type checker alone reads what it is given
            return bool(super()._skip_node_and_children(node))

    def write(function: libcst.FunctionDef, *, top_level: bool) -> str:
        in_class = libcst.ClassDef(libcst.Name("_"), libcst.IndentedBlock([function]))
        text: str = libcst.Module([function if top_level else in_class]).code
        return text if top_level else text.partition("\n")[2]

    module = Module(file, tree)
    wrapper = MetadataWrapper(libcst.parse_module(module.text))
    visitor = Visitor(mutation_operators, IgnoredCode(set(), set(), set()))
    wrapper.visit(visitor)
    positions = wrapper.resolve(PositionProvider)
    for change in visitor.mutations:
        function = change.contained_by_top_level_function
        if not isinstance(function, libcst.FunctionDef):
            continue
        changed = function.deep_replace(change.original_node, change.mutated_node)
        # to write the function alone is five times as fast as to write the module
        top_level = function in wrapper.module.body
        before, after = (write(each, top_level=top_level) for each in (function, changed))
        mutant = module.mutant(
            replace_at(positions[function].start.line, module.text, before, after)
        )
        if mutant:
            yield mutant


def replace_at(line: int, text: str, before: str, after: str) -> str:
    """Replace the one occurrence of ``before`` that holds a line; methods may be written alike."""
    begins = text.find(before)
    while begins >= 0:
        first = text.count("\n", 0, begins) + 1
        if first <= line <= first + before.count("\n"):
            return text[:begins] + after + text[begins + len(before) :]
        begins = text.find(before, begins + 1)
    sys.exit(f"line {line} does not stand in what libcst writes for its function:\n{before}")


def files_in(tree: Path, paths: Iterable[str]) -> list[str]:
    """Name the Python files that files and folders stand for."""
    found: list[str] = []
    for each in paths:
        path = tree / each
        if not path.exists():
            sys.exit(f"there is no {each}")
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        found += [str(file.relative_to(tree)) for file in files]
    return found


def tests_for(tree: Path, files: Iterable[str]) -> list[str]:
    """Name the tests that are to kill the mutants of some files."""
    chosen: list[str] = []
    for file in files:
        folder = Path(file).parent
        own = f"tests/{folder.name.lstrip('_')}"
        chosen += TESTS.get(str(folder), (own,) if (tree / own).is_dir() else ("tests",))
    return list(dict.fromkeys(chosen))


def read_equivalents(text: str) -> list[Equivalent]:
    """Read the explained mutants; each must have a reason."""
    entries = tomllib.loads(text).get("mutant", [])
    for each in entries:
        if not each.get("reason"):
            sys.exit(f"{EQUIVALENTS.name}: no reason is given for {each}")
    return [Equivalent(*(each[key] for key in Equivalent._fields)) for each in entries]


def score(count: Counter[str]) -> float:
    """Return the share of mutants that were killed, in per cent; those explained do not count."""
    counted = count.total() - count[EXPLAINED]
    return 100.0 * (count[KILLED] + count[TIMEOUT]) / counted if counted else 100.0


def compare(
    results: Iterable[tuple[Mutant, str]], explained: Iterable[Equivalent]
) -> tuple[list[tuple[Mutant, str]], list[str]]:
    """Set apart what is explained; return the results, and what is wrong with the explanations."""
    results, unused = list(results), set(explained)
    compared: list[tuple[Mutant, str]] = []
    wrong: list[str] = []
    known = frozenset(unused)
    for mutant, verdict in results:
        entry = Equivalent(mutant.file, mutant.function.name, mutant.was, mutant.becomes)
        unused.discard(entry)
        if entry in known and verdict in {KILLED, TIMEOUT}:
            wrong.append(f"explained, but a test kills it: {mutant}")
        is_explained = entry in known and verdict in {SURVIVED, NO_TEST}
        compared.append((mutant, EXPLAINED if is_explained else verdict))
    files = {mutant.file for mutant, _ in results}
    for each in sorted(unused):
        if each.file in files:
            place = f"{each.file} in {each.function}"
            wrong.append(f"matches no mutant: {place}\n    - {each.was}\n    + {each.becomes}")
    return compared, wrong


def table(results: Sequence[tuple[Mutant, str]]) -> Iterator[str]:
    """Write the figures, a line for each file and one for all."""
    counts = {file: Counter[str]() for file in dict.fromkeys(each.file for each, _ in results)}
    for mutant, verdict in results:
        counts[mutant.file][verdict] += 1
    counts["all"] = sum(counts.values(), Counter())
    width = max(map(len, counts))
    yield " ".join(["".ljust(width), "mutants", *(each.rjust(9) for each in VERDICTS), "   score"])
    for file, count in counts.items():
        figures = [str(count[each]).rjust(9) for each in VERDICTS]
        yield " ".join(
            [file.ljust(width), f"{count.total():7}", *figures, f"{score(count):6.1f} %"]
        )


def main() -> int:
    """Run what is asked for; 1 if too many mutants survive, or an explanation is wrong."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files or folders of the package")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="the tests that are run")
    parser.add_argument("--workers", type=int, default=2, help="how many mutants at a time")
    parser.add_argument("--fail-under", type=float, default=0.0, metavar="PERCENT")
    options = parser.parse_args()
    from matrix import copy_tree

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends what was started, too
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        tree = Path(folder).resolve() / "tree"
        copy_tree(tree)
        os.chdir(tree)
        files = files_in(tree, options.paths)
        tests = options.tests or tests_for(tree, files)
        mutants = [mutant for file in files for mutant in mutants_of(file, tree)]
        print(f"{len(mutants)} mutants for {' '.join(tests)}", flush=True)
        verdicts = try_all(mutants, tree, tests, options.workers)
        os.chdir(ROOT)
    explained = read_equivalents(EQUIVALENTS.read_text(encoding="utf-8"))
    results, wrong = compare(zip(mutants, verdicts, strict=True), explained)
    print("\n".join(table(results)))
    for mutant, verdict in results:
        if verdict in {SURVIVED, NO_TEST}:
            print(f"{verdict}: {mutant}")
    print("\n".join(wrong))
    return (
        1 if wrong or score(Counter(verdict for _, verdict in results)) < options.fail_under else 0
    )


if __name__ == "__main__":
    sys.exit(main())
