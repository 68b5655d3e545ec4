"""Which policies a server names at which paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._core.records import Limit
    from .._core.target import Target

_MOST_NAMES, _NAMED_SECONDS = 10_000, 3600.0

Names = tuple[str, ...]
"""Names of policies, sorted."""


class PolicyNames:
    """The policies that servers have named, by origin and path. Thread-safe.

    A path that no answer came from is expected to have the policies of the longest beginning whose
    paths all have the same: GitHub names one for ``/search/...`` and another for the rest.
    """

    def __init__(self) -> None:
        self._names: Table[tuple[str, str], Names | None] = Table(_MOST_NAMES, _NAMED_SECONDS)

    def expected(self, origin: str, path: str, now: float) -> Names:
        """Return the policies to expect at a path."""
        for beginning in _beginnings(path):
            names = self._names.get((origin, beginning), now, None)
            if names is not None:
                return names
        return ()

    def learn(self, target: Target, limits: Iterable[Limit], now: float) -> None:
        """Expect the policies that an answer names at its path, and at paths that begin like it."""
        names = tuple(sorted({limit.name for limit in limits} - {""}))
        origin, (path, *beginnings) = target.origin, _beginnings(target.path)
        if not names or self._names.get((origin, path), now, None) == names:
            return
        for beginning in beginnings:
            known = self._names.get((origin, beginning), now, None)
            # Where paths that begin alike have different policies, the beginning has none.
            self._names.put((origin, beginning), names if known in {None, names} else (), now)
        self._names.put((origin, path), names, now)


def _beginnings(path: str) -> list[str]:
    """Return the pattern of a path and its beginnings, the longest first and "" last."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts), -1, -1)]
