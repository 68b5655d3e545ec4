"""Which header fields are read for a ``retry_after`` or a rate limit, and what each name means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Fields = Mapping[str, Sequence[str]]
    """The lines of an answer's header fields, by name in lower case: the fields that are read, and
    `Age` and `Date`."""

RATELIMIT: Final = "ratelimit"
POLICY: Final = "ratelimit-policy"

KNOWN: Final = (
    "retry-after",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "x-amz-retry-after",
    "x-should-retry",
    "stripe-should-retry",
    RATELIMIT,
    POLICY,
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "ratelimit-name",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-ratelimit-resource",
    "x-ratelimit-bucket",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-rate-limit-limit",
    "x-rate-limit-remaining",
    "x-rate-limit-reset",
)
"""The header fields that are read unless the settings name others."""

MEANINGFUL: Final = (
    "header names whose meaning shows: they end in retry-after or should-retry, "
    "where a time may have its unit behind it, -seconds, -milliseconds or -ms, "
    "or are RateLimit, RateLimit-Policy, or are formed as X-RateLimit-Remaining with Limit, "
    "Remaining, Reset, Reset-After, Resource, Bucket or Name"
)

_IN_MILLISECONDS = "x-amz-retry-after"  # although its name does not say so
_NEWEST_FIRST = (RATELIMIT, "x-ratelimit", "x-rate-limit")
_PREFIX = r"(?:[a-z0-9]+-)*"
_TIME = r"(?:-(?P<time>seconds|milliseconds|ms))?"
_ANSWER = re.compile(rf"{_PREFIX}(?:(?P<kind>should-retry)|retry-after{_TIME})")
_LIMIT = re.compile(
    rf"(?P<family>{_PREFIX}rate-?limit(?:-requests)?)"
    rf"-(?:(?P<part>limit|remaining|resource|bucket|name)|(?P<reset>reset-after|reset){_TIME})"
    r"(?P<unit>(?:-requests)?)"
)


@dataclass(frozen=True, slots=True)
class Names:
    """Names of header fields, grouped by what they mean.

    Attributes:
        seconds: Names of fields that are read as `Retry-After`.
        milliseconds: Names of fields that are read as milliseconds to wait.
        verdicts: Names of fields that say whether to retry.
        families: Groups of names that together describe one limit, the newest form first; each
            maps a part, such as ``remaining``, to its name. A reset whose name tells the unit is
            the part ``reset-seconds`` or ``reset-ms``.
    """

    seconds: tuple[str, ...]
    milliseconds: tuple[str, ...]
    verdicts: tuple[str, ...]
    families: tuple[Mapping[str, str], ...]


@lru_cache(maxsize=32)
def sort_by_meaning(names: frozenset[str]) -> Names:
    """Sort names, in lower case, by what they mean; those without a meaning are left out."""
    kinds: dict[str, list[str]] = {}
    families: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        if found := _LIMIT.fullmatch(name):
            part = found["part"] or _with_unit(found["reset"], found["time"])
            families.setdefault(found["family"] + found["unit"], {})[part] = name
        else:
            kinds.setdefault(_kind(name), []).append(name)
    # The newest form first, then the families that the settings added, by name.
    order = [*_NEWEST_FIRST, *sorted(families.keys() - {*_NEWEST_FIRST})]
    return Names(
        seconds=tuple(kinds.get("retry-after", ())),
        milliseconds=tuple(kinds.get("retry-after-ms", ())),
        verdicts=tuple(kinds.get("should-retry", ())),
        families=tuple(families[family] for family in order if family in families),
    )


def is_meaningful(name: object) -> bool:
    """Whether the form of a name, in lower case, tells what the field means."""
    return isinstance(name, str) and bool(_LIMIT.fullmatch(name) or _kind(name))


def _kind(name: str) -> str:
    if name == _IN_MILLISECONDS:
        return "retry-after-ms"
    if name in {RATELIMIT, POLICY}:
        return name
    found = _ANSWER.fullmatch(name)
    if found is None:
        return ""
    # Whatever a time in seconds is called, `Retry-After` is read as seconds as well.
    time = None if found["time"] == "seconds" else found["time"]
    return found["kind"] or _with_unit("retry-after", time)


def _with_unit(name: str, time: str | None) -> str:
    """Return what a field is, with the unit of its time if the name tells one."""
    if time is None:
        return name
    is_reset = name.startswith("reset")
    unit = "seconds" if time == "seconds" else "ms"
    return f"reset-{unit}" if is_reset else f"{name}-{unit}"
