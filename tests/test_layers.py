"""The shape of the package: its ladder of modules, the size of its functions, its public names."""

from __future__ import annotations

import ast
import importlib
import inspect
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib.util import find_spec, resolve_name
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = "requests_authretry"

# A module imports its own rung and lower ones. A folder stands for all modules in it.
LADDER: Final = {
    name: rung
    for rung, names in enumerate(
        [
            ["_core"],
            [
                *("_protocols", "_errors", "_events", "_clock", "_locks", "_warnings", "_log"),
                *("_terminal", "_threads", "_judge", "_per_identity", "dialects"),
            ],
            ["_settings", "_override", "_misplaced", "_signers", "_credentials"],
            ["sources", "stores"],
            ["_tokens", "_admission"],
            ["_shared", "_holding"],
            ["_call"],
            [
                *("_install", "_config", "oauth2", "redis", "keyring", "progress", "testing"),
                "_dialect_server",
            ],
            ["__init__", "cli", "_switch", "__main__"],
        ]
    )
    for name in names
}

IMPURE: Final = {"requests", "urllib3", "threading", "logging", "random", "time", "os", "socket"}


@dataclass(frozen=True)
class Module:
    """One module of the package, read and not run.

    Attributes:
        name: Its full dotted name.
        tree: Its syntax tree.
        imports: The full dotted names of all that it imports, those for the type checker included.
        by_string: Where it imports a module of the package by a string, or may do so.
    """

    name: str
    tree: ast.Module
    imports: frozenset[str]
    by_string: tuple[str, ...]

    def __str__(self) -> str:
        """The name inside the package."""
        return self.name.removeprefix(f"{ROOT}.") if self.name != ROOT else "__init__"

    @property
    def rung(self) -> int:
        """The rung of the module; above all others for one that has none."""
        return LADDER.get(str(self).partition(".")[0], len(LADDER))

    @property
    def outside(self) -> set[str]:
        """The top-level names of what it imports from elsewhere."""
        return {name.partition(".")[0] for name in self.imports} - {ROOT}


@cache
def modules() -> dict[str, Module]:
    """Every module of the package, by its full dotted name."""
    spec = find_spec(ROOT)
    assert spec is not None
    (home,) = map(Path, spec.submodule_search_locations or ())
    found = (read(path, path.relative_to(home.parent)) for path in home.rglob("*.py"))
    return {module.name: module for module in sorted(found, key=lambda module: module.name)}


def read(path: Path, relative: Path) -> Module:
    """Read one module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ".".join(relative.parent.parts)
    return Module(
        name=package if path.stem == "__init__" else f"{package}.{path.stem}",
        tree=tree,
        imports=frozenset(imported(tree, package)),
        by_string=tuple(imported_by_string(tree)),
    )


def imported(node: ast.AST, package: str) -> Iterator[str]:
    """The full dotted names that the code below ``node`` imports, wherever it does so."""
    match node:
        case ast.Import(names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module, names, level):
            base = resolve_name("." * level + (module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in names)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from imported(child, package)


IMPORTERS: Final = {"import_module", "__import__", "find_spec", "run_module", "resolve_name"}


def imported_by_string(tree: ast.Module) -> Iterator[str]:
    """The uses of an importing function, but for calls with the plain name of a foreign module.

    The function may have been imported under another name, and be handed on. What is no literal
    may be any module.
    """
    nodes = list(ast.walk(tree))
    aliases = [one for node in nodes if isinstance(node, ast.ImportFrom) for one in node.names]
    importers = IMPORTERS | {one.asname for one in aliases if one.name in IMPORTERS}
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    innocent = {id(call.func) for call in calls if names_a_foreign_module(call)}
    for node in nodes:
        match node:
            case ast.Name(name) | ast.Attribute(attr=name):
                if name in importers and id(node) not in innocent:
                    yield f"line {node.lineno}: {name}"


def names_a_foreign_module(call: ast.Call) -> bool:
    """Whether a call has one argument, and that is the plain name of another package's module."""
    match call:
        case ast.Call(args=[ast.Constant(str(name))], keywords=[]):
            return name.partition(".")[0] not in {"", ROOT}
        case _:
            return False


def own(names: frozenset[str]) -> set[Module]:
    """The modules of the package among imported names, each of which may go on into a module."""
    known = modules()
    parts = (name.split(".") for name in names if name.partition(".")[0] == ROOT)
    prefixes = ([".".join(part[:end]) for end in range(len(part), 0, -1)] for part in parts)
    return {known[next(prefix for prefix in each if prefix in known)] for each in prefixes}


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function's body, without its docstring."""
    body = function.body[ast.get_docstring(function) is not None :]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def bodies() -> dict[str, int]:
    """The length of every function body in the package."""
    return {
        f"{module}:{node.lineno} {node.name}": body_length(node)
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_module_has_a_rung() -> None:
    """A module that the ladder does not name is refused: it has to be given a rung first."""
    strangers = [str(m) for m in modules().values() if m.rung == len(LADDER)]
    assert not strangers, f"give them a rung in LADDER: {strangers}"


def test_no_module_imports_a_higher_rung() -> None:
    """A module imports only its own rung and lower ones, lazily or for types included."""
    told = [
        f"{module} (rung {module.rung}) imports {other} ({other.rung})"
        for module in modules().values()
        for other in own(module.imports)
        if other.rung > module.rung
    ]
    assert not told, "\n".join(sorted(told))


def test_no_module_is_imported_by_a_string() -> None:
    """Modules of the package are imported by statements, which the other tests can read."""
    finder = "_switch.sitecustomize"  # it asks the finders behind it
    others = [module for module in modules().values() if str(module) != finder]
    told = [f"{module}, {call}" for module in others for call in module.by_string]
    assert not told, "\n".join(told)


@pytest.mark.parametrize(
    ("code", "is_reported"),
    [
        ('import_module("._config", __package__)', True),
        ('importlib.import_module("requests_authretry._config")', True),
        ("import_module(_NAME)", True),
        ('import_module(f"requests_authretry.{name}")', True),
        ('import_module(name="._config", package="requests_authretry")', True),
        ('import_module(*["._config", __package__])', True),
        ("from importlib import import_module as load; load(name)", True),
        ('load = importlib.import_module; load("json")', True),
        ("map(import_module, names)", True),
        ('__import__("requests_authretry._config")', True),
        ('importlib.util.find_spec("requests_authretry.redis")', True),
        ('import_module("json")', False),
        ('find_spec("requests")', False),
        ('load("requests_authretry")', False),
    ],
)
def test_an_import_by_a_string_is_found(code: str, *, is_reported: bool) -> None:
    """Relative, absolute, computed or renamed; the names of foreign modules are no matter."""
    assert bool(list(imported_by_string(ast.parse(code)))) is is_reported


def test_no_modules_import_one_another() -> None:
    """The imports of a module never lead back to it, lazily or for types included."""
    graph = {str(m): {str(other) for other in own(m.imports) - {m}} for m in modules().values()}
    TopologicalSorter(graph).prepare()


def test_the_core_is_pure() -> None:
    """The rules import nothing that does I/O, waits, logs, locks or draws at random."""
    impure = [
        f"{module} imports {name}"
        for module in modules().values()
        if module.rung == 0
        for name in module.outside & IMPURE
    ]
    assert not impure, "\n".join(impure)


@pytest.mark.parametrize(("library", "home"), [("urllib3", "_call.translate"), ("time", "_clock")])
def test_a_library_has_one_home(library: str, home: str) -> None:
    """urllib3 is known to one module, and one module reads clocks and waits."""
    guests = [str(m) for m in modules().values() if library in m.outside and str(m) != home]
    assert not guests, f"only {home} may import {library}: {guests}"


def test_no_function_is_long() -> None:
    """No function body has more than 40 lines, docstring aside."""
    long = {name: length for name, length in bodies().items() if length > 40}
    assert not long


def test_most_functions_are_short() -> None:
    """Nine in ten function bodies have at most 24 lines, docstring aside."""
    assert quantiles(bodies().values(), n=10, method="inclusive")[-1] <= 24


def test_all_names_what_the_root_exposes() -> None:
    """``__all__`` has each public name of the package root once, and nothing else."""
    package = importlib.import_module(ROOT)
    exposed = {
        name
        for name, value in inspect.getmembers(package)
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert sorted(exposed | {"__version__"} & set(package.__all__)) == sorted(package.__all__)
