"""The rate-limit fields that servers told last, so that the same fields are not read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.bounds import FIELD
from .._core.rate_limit import MAX_COOL_DOWN_SECONDS, free_requests, is_plenty
from .table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._core.records import Limit
    from .._core.scope import Scope

_MOST_ORIGINS, _MOST_SCOPES = 1000, 10_000
_MOST_SAME = 1000
"""Answers with the same fields that are passed over before one is read again."""


class Told:
    """The rate-limit fields of an origin's last answer, which need not be read again for a while.

    Attributes:
        fields: Their names and values.
        scopes: The limits of which less than half is left, so that requests are counted.
        most: Answers with the same fields that may be passed over.
        same: Answers that were passed over.
    """

    __slots__ = ("fields", "most", "same", "scopes")

    def __init__(self, fields: Mapping[str, object], scopes: tuple[Scope, ...], most: int) -> None:
        self.fields, self.scopes, self.most, self.same = fields, scopes, most, 0


class FieldMemory:
    """What servers told last, and how many requests were sent meanwhile. Thread-safe.

    A count may lack some of the requests that threads have sent at once.
    """

    def __init__(self) -> None:
        self._told: dict[str, Told] = {}
        self._used: Table[Scope, int] = Table(_MOST_SCOPES, MAX_COOL_DOWN_SECONDS)

    def used(self, scope: Scope, now: float) -> int:
        """Return the requests that were sent since less than half of a limit was left."""
        return self._used.get(scope, now, 0)

    def count(self, scope: Scope, number: int, now: float) -> None:
        """Count requests that were sent while less than half of a limit was left."""
        self._used.put(scope, self.used(scope, now) + number, now)

    def is_old(self, url: str, fields: Mapping[str, str], now: float) -> bool:
        """Whether an answer tells what the origin's last one told, and need not be read."""
        beginning = url[: url.find("/", 8)]
        told = self._told.get(beginning)
        if told is None:
            return False
        if told.same < told.most and told.fields == fields:
            told.same += 1
            return True
        if self._told.pop(beginning, None) is told:
            for scope in told.scopes:
                self.count(scope, told.same, now)
        return False

    def remember(
        self,
        url: str,
        fields: Mapping[str, str],
        limits: Mapping[Scope, Sequence[Limit]],
        now: float,
    ) -> None:
        """Remember what an answer told, until so many have told the same that limits are near."""
        if sum(map(len, fields.values())) > FIELD:
            return
        counted = {scope: told for scope, told in limits.items() if not is_plenty(told)}
        free = (free_requests(told, self.used(scope, now)) for scope, told in counted.items())
        if len(self._told) >= _MOST_ORIGINS:
            self._told.clear()
        most = min(free, default=_MOST_SAME)
        self._told[url[: url.find("/", 8)]] = Told(fields, tuple(counted), most)

    def clear(self) -> None:
        """Have every answer read again."""
        self._told.clear()
