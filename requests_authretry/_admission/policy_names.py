"""Which policies a server names at which paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.bounds import MAX_COOL_DOWN_SECONDS
from .table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._core.records import Limit
    from .._core.target import Target

MOST_NAMES, NAMED_SECONDS = 10_000, 2 * MAX_COOL_DOWN_SECONDS

Names = tuple[str, ...]
"""Names of policies, sorted."""


class PolicyNames:
    """The policies that servers have named, by endpoint and caller. Thread-safe.

    An endpoint that no answer came from is expected to have the policies of the longest beginning
    of its path whose endpoints all have the same: GitHub names one for ``/search/...`` and another
    for the rest. Another method, or another caller, may have other policies at the same path.
    """

    def __init__(self) -> None:
        self._names: Table[tuple[str, str], Names | None] = Table(MOST_NAMES, NAMED_SECONDS)

    def expected(self, target: Target, now: float) -> Names:
        """Return the policies to expect of a request."""
        for beginning in _beginnings(target):
            names = self._names.get((target.origin, beginning), now, None)
            if names is not None:
                return names
        return ()

    def learn(self, target: Target, limits: Iterable[Limit], now: float) -> None:
        """Expect the policies that an answer names of such requests, and of those like them."""
        names = tuple(sorted({limit.name for limit in limits} - {""}))
        origin, (whole, *beginnings) = target.origin, _beginnings(target)
        # A cool-down that begins now may last so long: its policy has to be expected until then.
        if (
            not names
            or self._names.get((origin, whole), now + MAX_COOL_DOWN_SECONDS, None) == names
        ):
            return
        for beginning in beginnings:
            known = self._names.get((origin, beginning), now, None)
            # Where requests that begin alike have different policies, the beginning has none.
            self._names.put((origin, beginning), names if known in {None, names} else (), now)
        self._names.put((origin, whole), names, now)


def _beginnings(target: Target) -> list[str]:
    """Return path, method and caller as one text, and its beginnings, the longest first."""
    parts = [*target.path.split("/"), target.method, target.credential]
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
