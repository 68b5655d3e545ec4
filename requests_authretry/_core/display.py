"""How objects show themselves: what differs from the defaults, short, and without a secret."""

from __future__ import annotations

from dataclasses import MISSING, fields
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OURS: Final = __name__.partition(".")[0]
_MOST: Final = 8
"""The members of a collection that are shown; of more the first ones, and how many there are."""
_LONGEST: Final = 80
"""The most characters of a text."""
_FUNCTIONS: Final = (FunctionType, BuiltinFunctionType, MethodType, type)


class ShownByDifference:
    """A base class of frozen dataclasses: the repr has the fields that differ from the defaults.

    It reads as the object was made. Of a foreign object it has the name of the class alone, as
    its own repr may hold secrets.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(differences(self))})"


def differences(record: Any) -> Iterator[str]:
    """Yield each field of a dataclass that differs from its default, as it would be written."""
    for place, item in enumerate(fields(record)):
        if not hasattr(record, item.name):
            continue  # it is being made: a reporter of exceptions shows it too
        value = getattr(record, item.name)
        made: Any = item.default_factory
        default = item.default if made is MISSING else made()
        if place == 0 and default is MISSING:
            yield shown(value)
        elif not _is_default(value, default):
            yield f"{item.name}={shown(value)}"


def shown(value: Any) -> str:
    """Return a value for a repr: plain values and objects of this library as they are written."""
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}...")
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, (frozenset, set)):
        return _members(sorted(value, key=str))
    if isinstance(value, (tuple, list)):
        return _members(value)
    if not isinstance(value, type) and type(value).__module__.partition(".")[0] == _OURS:
        return repr(value)
    name = value.__name__ if isinstance(value, _FUNCTIONS) else type(value).__name__
    return f"<{name.strip('<>')}>"


def _members(values: Sequence[Any]) -> str:
    first = [shown(value) for value in values[:_MOST]]
    more = [] if len(values) <= _MOST else [f"... {len(values)} in all"]
    return f"[{', '.join([*first, *more])}]"


def _is_default(value: Any, default: Any) -> bool:
    """Whether a field has its default; a deadline that the user set is another one if equal."""
    kinds = {type(value), type(default)}
    return value is default or ((len(kinds) == 1 or kinds == {int, float}) and value == default)
