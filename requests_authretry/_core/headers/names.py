"""Which header fields are read for a ``retry_after`` or a rate limit, and what each name means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from ..records import REQUESTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Fields = Mapping[str, Sequence[str]]
    """The lines of an answer's header fields, by name in lower case: the fields that are read, and
    `Age` and `Date`."""

RATELIMIT: Final = "ratelimit"
POLICY: Final = "ratelimit-policy"
RETRY_AFTER: Final = "retry-after"

KNOWN: Final = (
    "retry-after",
    "retry-after-seconds",
    "retry-after-milliseconds",
    "retry-after-ms",
    "x-ratelimit-retry-after",
    "x-rate-limit-retry-after-seconds",
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
    "x-ratelimit-reset-seconds",
    "x-ratelimit-reset-milliseconds",
    "x-ratelimit-reset-ms",
    "x-ratelimit-resource",
    "x-ratelimit-bucket",
    *(
        f"x-ratelimit-{part}-{unit}"
        for unit in ("requests", "tokens", "project-tokens")
        for part in ("limit", "remaining", "reset")
    ),
    *(
        f"anthropic-ratelimit-{unit}-{part}"
        for unit in ("requests", "tokens", "input-tokens", "output-tokens")
        for part in ("limit", "remaining", "reset")
    ),
    "x-rate-limit-limit",
    "x-rate-limit-remaining",
    "x-rate-limit-reset",
)
"""The header fields that are read unless the settings name others."""

MEANINGFUL: Final = (
    "header names whose meaning shows: they end in retry-after or should-retry, "
    "where a time may have its unit behind it, -seconds, -milliseconds or -ms, "
    "or are RateLimit, RateLimit-Policy, or are formed as X-RateLimit-Remaining with Limit, "
    "Remaining, Reset, Reset-After, Resource, Bucket or Name, "
    "perhaps with the unit of the limit, -requests or -tokens"
)

_IN_MILLISECONDS = "x-amz-retry-after"  # although its name does not say so
_WAITS = {RETRY_AFTER: 1.0, f"*-{RETRY_AFTER}": 1.0, f"{RETRY_AFTER}-ms": 1000.0}
"""What fields with a time to wait are, in the order in which they count, and the units of a number
that are a second."""

_NEWEST_FIRST = (RATELIMIT, "x-ratelimit", "x-rate-limit")
_PREFIX = r"(?:[a-z0-9]+-)*"
_TIME = r"(?:-(?P<time>seconds|milliseconds|ms))?"
_ANSWER = re.compile(rf"{_PREFIX}(?:(?P<kind>should-retry)|retry-after{_TIME})")
_UNIT = r"requests|(?:[a-z]+-)*tokens"
_LIMIT = re.compile(
    rf"(?P<family>{_PREFIX}rate-?limit)(?:-(?P<before>{_UNIT}))?"
    rf"-(?:(?P<part>limit|remaining|resource|bucket|name)|(?P<reset>reset-after|reset){_TIME})"
    rf"(?:-(?P<behind>{_UNIT}))?"
)


class Family(NamedTuple):
    """Names of fields that together describe one limit.

    Attributes:
        unit: What the limit counts: ``requests``, or for instance ``tokens`` or ``input-tokens``.
        parts: The name of each part, such as ``remaining``. A reset whose name tells the unit of
            its time is the part ``reset-seconds`` or ``reset-ms``.
    """

    unit: str
    parts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Names:
    """Names of header fields, grouped by what they mean.

    Attributes:
        waits: Groups of names of fields that say how long to wait, in the order in which they
            count; with each group, how many units of a number are a second.
        verdicts: Names of fields that say whether to retry.
        families: Groups of names that together describe one limit, the newest form first.
    """

    waits: tuple[tuple[tuple[str, ...], float], ...]
    verdicts: tuple[str, ...]
    families: tuple[Family, ...]


@lru_cache(maxsize=32)
def sort_by_meaning(names: frozenset[str]) -> Names:
    """Sort names, in lower case, by what they mean; those without a meaning are left out."""
    kinds: dict[str, list[str]] = {}
    families: dict[tuple[str, str], dict[str, str]] = {}
    for name in sorted(names):
        if found := _LIMIT.fullmatch(name):
            part = found["part"] or _with_unit(found["reset"], found["time"])
            unit = found["before"] or found["behind"] or ""
            families.setdefault((found["family"], unit), {})[part] = name
        else:
            kinds.setdefault(_kind(name), []).append(name)
    # The newest form first, then the other families by name.
    newest = [(family, "") for family in _NEWEST_FIRST]
    order = [*newest, *sorted(families.keys() - {*newest})]
    return Names(
        waits=tuple((tuple(kinds[kind]), unit) for kind, unit in _WAITS.items() if kind in kinds),
        verdicts=tuple(kinds.get("should-retry", ())),
        families=tuple(
            Family(key[1] or REQUESTS, families[key]) for key in order if key in families
        ),
    )


def date_of(fields: Fields) -> str:
    """Return the `Date` of an answer, the first one of several; "" if it has none."""
    return next(iter(fields.get("date", ())), "")


def is_meaningful(name: object) -> bool:
    """Whether the form of a name, in lower case, tells what the field means."""
    return isinstance(name, str) and bool(_LIMIT.fullmatch(name) or _kind(name))


def _kind(name: str) -> str:
    """Return what a field is that describes no limit; "" for a name without a meaning."""
    if name in {RATELIMIT, POLICY, RETRY_AFTER}:
        return name
    if name == _IN_MILLISECONDS:
        return f"{RETRY_AFTER}-ms"
    found = _ANSWER.fullmatch(name)
    if found is None:
        return ""
    is_in_seconds = found["time"] in {None, "seconds"}
    return found["kind"] or (f"*-{RETRY_AFTER}" if is_in_seconds else f"{RETRY_AFTER}-ms")


def _with_unit(reset: str, time: str | None) -> str:
    """Return which part of a limit a reset is, with the unit of its time if the name tells one."""
    if time is None:
        return reset
    return "reset-seconds" if time == "seconds" else "reset-ms"
