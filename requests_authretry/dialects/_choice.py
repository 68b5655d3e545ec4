"""Which dialects are asked about an answer, by the origin of the request and the status."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from .._core.dialect import fits_pattern, path_of
from .._core.target import origin_name
from .._judge import Asked
from . import Dialect, named, of_origin

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .._core.classify import Answer, Verdict
    from .._protocols import Clock

    Given = str | Collection[str | Dialect]
    """What the settings say: ``auto``, or names and dialects."""

_MOST_ORIGINS = 1000
"""Origins that a choice remembers; then it begins anew."""

_BEHIND_SCHEME = len("https://")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,300}")


class Choice:
    """Chooses the dialects for each answer. Safe to use from many threads.

    With ``auto`` these are the dialects of the library for the origin of the request. Named ones
    hold at their own origins and at those of the settings, or at all where the settings have none.
    Where the origin of a request is a dialect's own, that dialect holds there, and no other one.

    Args:
        given: What the settings say.
        origins: The origins of the settings.
        clock: The clock of the settings.
    """

    def __init__(self, given: Given, origins: Collection[str], clock: Clock) -> None:
        self._given, self._origins, self._clock = given, origins, clock
        self._known: dict[str, tuple[_Candidate, ...]] = {}  # by the beginning of a URL

    def asked(self, url: str, status: int) -> tuple[Asked, ...]:
        """Return who is asked about an answer of this status; see `Choose` in `_judge`."""
        # This is all that a request costs to a host that no dialect is about.
        candidates = self._known.get(url[: url.find("/", _BEHIND_SCHEME) + 1])
        if candidates is None:
            candidates = self._learn(url)
        if not candidates:
            return ()
        return tuple(each.asked for each in candidates if each.may_judge(url, status))

    def dialects(self, url: str) -> tuple[Dialect, ...]:
        """Return the dialects that hold for a URL."""
        return tuple(each.dialect for each in self._learn(url) if each.is_there(url))

    def covers(self, url: str) -> bool:
        """Whether a dialect is about the origin of a URL."""
        return bool(self._learn(url))

    def lets_repeat(self, method: str, url: str, headers: Mapping[str, Any]) -> bool:
        """Whether an API says that a request may be repeated although its method is not idempotent.

        A dialect says nothing of hosts that are neither its own nor named in the settings: a POST
        there may be another API's.

        Args:
            method: The method of the request, in upper case.
            url: The URL of the request.
            headers: The header fields of the request; names are looked up in any case.
        """
        path = path_of(url)
        found = (each for each in self._learn(url) if each.is_there(url))
        known = (each.dialect for each in found if self._origins or not each.is_private)
        repeats = chain.from_iterable(each.repeat for each in known)
        return any(each.covers(method, path, headers) for each in repeats)

    def renamed(self, url: str) -> Mapping[str, str | None]:
        """Return what header fields are read as, by their own names; None: not read at all."""
        return {key: name for each in self.dialects(url) for key, name in each.headers.items()}

    def _learn(self, url: str) -> tuple[_Candidate, ...]:
        """Return the dialects that may hold at the origin of a URL; remember them."""
        beginning, slash, _ = url[_BEHIND_SCHEME:].partition("/")
        found = self._find(origin_name(url))
        # What may hold a secret, or be no host, is not kept.
        if slash and _HOST.fullmatch(beginning):
            if len(self._known) >= _MOST_ORIGINS:
                self._known.clear()
            self._known[f"{url[:_BEHIND_SCHEME]}{beginning}/"] = found
        return found

    def _find(self, origin: str) -> tuple[_Candidate, ...]:
        """Return the dialects that may hold at an origin; reads their files, if there are any."""
        if isinstance(self._given, str):
            return tuple(_Candidate(each, self._clock) for each in of_origin(origin))
        mine = [named(each) if isinstance(each, str) else each for each in self._given]
        own = [each for each in mine if is_own(each, origin)]
        if own:
            return tuple(_Candidate(each, self._clock) for each in own)
        if self._origins and origin not in self._origins:
            return ()
        return tuple(_Candidate(each, self._clock, is_private=True) for each in mine)


def is_own(dialect: Dialect, origin: str) -> bool:
    """Whether an origin is one of an API's own."""
    if origin in dialect.origins:
        return True
    above = (each.partition("*")[2] for each in dialect.origins if "*" in each)
    return origin.startswith("https://") and any(map(origin.endswith, above))


class _Candidate:
    """A dialect that may hold at an origin.

    Args:
        dialect: The dialect.
        clock: The clock of the settings.
        is_private: Whether the origin is none of the API's own. There the API may be at any path.
    """

    def __init__(self, dialect: Dialect, clock: Clock, *, is_private: bool = False) -> None:
        self.dialect, self._clock, self.is_private = dialect, clock, is_private
        self.asked = Asked(f"dialect {dialect.name}", self._classify)

    def may_judge(self, url: str, status: int) -> bool:
        """Whether a rule may hold for an answer of this status, so that its body is looked at."""
        if status not in self.dialect.statuses or not self.is_there(url):
            return False
        path = path_of(url)
        whens = (rule.when for rule in self.dialect.rules)
        return any(status in when.status and when.fits_path(path) for when in whens)

    def is_there(self, url: str) -> bool:
        """Whether the API is at the path of a URL."""
        paths = () if self.is_private else self.dialect.paths
        return not paths or any(fits_pattern(path_of(url), each) for each in paths)

    def _classify(self, answer: Answer) -> Verdict | None:
        return self.dialect.judge(answer, self._clock.time())


def choice_of(given: Given | None, origins: Collection[str], clock: Clock) -> Choice | None:
    """Return what chooses the dialects; None where the settings turn them off."""
    return Choice(given, origins, clock) if given else None
