"""The public API: every signature and field, as `public_api.txt` has them.

A change of that file is a change for users: it needs a line in `CHANGELOG.md`. Write it anew with::

    python -m tests.test_public_api
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final

import requests_authretry
from requests_authretry import _events, keyring, oauth2, progress, redis, sources, testing
from requests_authretry._core.display import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

SNAPSHOT: Final = Path(__file__).parent / "public_api.txt"
MODULES: Final = [requests_authretry, keyring, oauth2, progress, redis, sources, testing]
ROOT: Final = "requests_authretry"


def test_the_public_api_is_the_one_of_the_snapshot() -> None:
    """A parameter, a default, a field or a method that is added, renamed or gone is seen."""
    assert "\n".join(described()) + "\n" == SNAPSHOT.read_text(encoding="utf-8")


def described() -> Iterator[str]:
    """Describe each public name of each public module, in the order of the alphabet."""
    for module in MODULES:
        yield f"# {module.__name__}"
        yield ""
        for name in sorted(module.__all__):
            yield from describe(name, getattr(module, name), module)
            yield ""


def describe(name: str, thing: Any, module: ModuleType) -> Iterator[str]:
    """Describe a class, a function or an alias."""
    if inspect.isfunction(thing):
        yield f"def {name}{written(thing)}"
    elif hasattr(thing, "__args__"):
        yield f"{name} = {alias(name)}"
    elif module is requests_authretry or thing.__module__.startswith(ROOT):
        yield f"class {name}({', '.join(base.__name__ for base in public_bases(thing))})"
        yield from (f"    {line}" for line in members(thing))


def public_bases(kind: type) -> list[type]:
    """Return the bases that a user can name: those of Python and requests, and public ones."""
    mine = {getattr(module, name) for module in MODULES for name in module.__all__}
    bases = [base for base in kind.__mro__[1:] if base.__module__ not in {"builtins", "typing"}]
    known = [base for base in bases if base in mine or not base.__module__.startswith(ROOT)]
    exceptions = [base for base in kind.__mro__[1:] if issubclass(base, Exception)]
    return [base for base in dict.fromkeys([*known, *exceptions]) if base.__name__ != "ABC"][:2]


def members(kind: type) -> Iterator[str]:
    """Describe the fields, the constructor and the methods of a class, those of its bases too."""
    if issubclass(kind, Enum):
        yield from kind.__members__
        return
    if is_dataclass(kind):
        by_name = [item for item in fields(kind) if item.kw_only]
        yield from (field_line(item) for item in fields(kind) if not item.kw_only)
        yield from ("*", *map(field_line, by_name)) if by_name else ()
    own = [base for base in kind.__mro__ if base.__module__.startswith(ROOT)]
    found: dict[str, str] = {}
    for base in own:
        for name, value in vars(base).items():
            line = member_line(name, value)
            is_constructor = name == "__init__" and not is_protocol(kind)
            if line and (is_constructor or not name.startswith("_")):
                found.setdefault(name, line)
        for name, line in attributes(base):
            found.setdefault(name, line)
    if is_dataclass(kind):
        for item in fields(kind):
            found.pop(item.name, None)
        if kind is not requests_authretry.Token:
            found.pop("__init__", None)  # its fields say the same
    yield from (found[name] for name in sorted(found))


def is_protocol(kind: Any) -> bool:
    """Whether a class says what others must have."""
    return bool(getattr(kind, "_is_protocol", False))


def field_line(item: Any) -> str:
    """Describe a field, with its default."""
    default = f" = {item.default_factory.__name__}()" if item.default_factory is not MISSING else ""
    if item.default is not MISSING:
        default = f" = {shown(item.default)}"
    return f"{item.name}: {item.type}{default}"


def member_line(name: str, value: Any) -> str:
    """Describe a method, a property or a value; empty for what is none of these."""
    if isinstance(value, classmethod):
        return f"classmethod {name}{written(value.__func__)}"
    if isinstance(value, staticmethod):
        return f"staticmethod {name}"
    if isinstance(value, property):
        return f"property {name} -> {getattr(value.fget, '__annotations__', {}).get('return')}"
    if inspect.isfunction(value):
        return f"def {name}{written(value)}"
    return f"{name} = {shown(value)}" if isinstance(value, (bool, int, float, str)) else ""


def written(function: Any) -> str:
    """Return a signature, with defaults that read the same in every run and Python."""
    signature = inspect.signature(function)
    parameters = [
        one if one.default is one.empty else one.replace(default=Plain(one.default))
        for one in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters)).replace("'", "")


class Plain:
    """A default value with a stable text."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return shown(self.value).replace("'", '"')


def attributes(kind: type) -> Iterator[tuple[str, str]]:
    """Give the public attributes that a constructor annotates."""
    constructor = vars(kind).get("__init__")
    if constructor is None or is_dataclass(kind) or not inspect.isfunction(constructor):
        return
    tree = ast.parse(dedent(inspect.getsource(inspect.unwrap(constructor))))
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=ast.Attribute(attr=name), annotation=annotation):
                if not name.startswith("_"):
                    yield name, f"{name}: {ast.unparse(annotation)}"


def alias(name: str) -> str:
    """Return what a name of `_events` stands for."""
    for node in ast.parse(inspect.getsource(_events)).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                return ast.unparse(value)
    raise AssertionError(f"{name} is no alias of the events")


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(described()) + "\n", encoding="utf-8")
