"""Patch methods of other libraries' classes, and restore them."""

from __future__ import annotations

from functools import wraps
from inspect import isfunction
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    Method = Callable[..., Any]
    Patch = Callable[[Method], Method]

_MARK = "_authretry_patch"


class Patches:
    """The patches in force. To be used by one thread at a time."""

    def __init__(self) -> None:
        self._places: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()

    def apply(self, kind: type, name: str, patch: Patch) -> None:
        """Patch a method in the class that defines it, unless the patch is there already."""
        place = next(each for each in kind.__mro__ if name in each.__dict__)
        found = place.__dict__[name]
        self._places.setdefault(place, set()).add(name)
        if is_met(found):
            return
        ours = wraps(found)(patch(found)) if isfunction(found) else patch(_bound(found, place))
        # What others wrap around ours takes all of its attributes over, but is not itself.
        vars(ours).update({"__wrapped__": found, _MARK: ours})
        setattr(place, name, ours)

    def restore(self) -> None:
        """Restore all methods. A patch that others have wrapped since stays, and does nothing."""
        for place, names in self._places.items():
            for name in names:
                stands = place.__dict__.get(name)
                if isfunction(stands) and vars(stands).get(_MARK) is stands:
                    setattr(place, name, vars(stands)["__wrapped__"])


def is_met(method: Any) -> bool:
    """Whether a method is a patch, or wraps one as `functools.wraps` does."""
    return _MARK in getattr(method, "__dict__", ())


def _bound(found: Any, place: type) -> Method:
    """Make a function of an attribute that is none, such as a mock; it binds in the same way."""

    def method(thing: object, *args: Any, **options: Any) -> Any:
        bind = getattr(found, "__get__", None)
        return (found if bind is None else bind(thing, place))(*args, **options)

    return method
