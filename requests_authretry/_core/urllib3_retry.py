"""Translating an urllib3 ``Retry`` of any version to our settings; only its attributes are read.

The rules are those of ``urllib3.util.retry`` and of its callers, from 1.26.16 to 2.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from .backoff import Backoff, Jitter
from .http import FIRST_ERROR, IDEMPOTENT_METHODS, STATUS_CODES
from .validation import ConfigurationError, is_finite

_RETRY_AFTER = frozenset({413, 429, 503})
"""``Retry.RETRY_AFTER_STATUS_CODES``."""

_ANY_METHOD = IDEMPOTENT_METHODS | {
    *("CONNECT", "PATCH", "POST", "QUERY"),  # RFC 9110, RFC 5789, and the draft on QUERY
    *("COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH", "UNLOCK"),  # RFC 4918
    *("ACL", "LINK", "MKCALENDAR", "PURGE", "REPORT", "SEARCH", "UNLINK"),
}
"""The methods that "any method" is translated to, since a policy names each method."""

_RULES = (
    *("_is_connection_error", "_is_method_retryable", "_is_read_error", "_sleep_backoff"),
    *("get_backoff_time", "get_retry_after", "increment", "is_exhausted", "is_retry"),
    *("parse_retry_after", "sleep", "sleep_for_retry"),
)

_BY_DEFAULT = 3
"""Retries of ``Retry.DEFAULT``, which urllib3 uses for None."""

_MOST = 1_000_000
"""Attempts if no counter of the `Retry` ends them."""

_BACKOFF_MAX = 120.0
_RETRY_AFTER_MAX = 21_600.0
"""Six hours, the bound in those versions of urllib3 that have one."""

_ATTEMPT_SECONDS = 3_600.0
_LONGEST = 604_800.0
"""A week in seconds, so that no time limit becomes too large for the system."""


@dataclass(frozen=True, kw_only=True, repr=False)
class InheritedBackoff(Backoff):
    """The waits of a `Retry`: none before the first retry, then doubling, plus a random time.

    Attributes:
        spread: Seconds that are added to a delay at most, before ``max_delay`` cuts it.
    """

    spread: float = 0.0

    def delay(
        self,
        retry: int,
        *,
        throttled: bool,  # noqa: ARG002 (the signature of every backoff)
        fraction: float,
        unreachable: bool = False,  # noqa: ARG002 (as above)
    ) -> float:
        """Return the delay before a retry, as ``Retry.get_backoff_time`` computes it."""
        if retry <= 1:
            return 0.0
        full = self.initial * 2.0 ** min(retry - 1, 1_000)
        return min(self.max_delay, full + self.spread * fraction)


def inherited(retry: object) -> dict[str, Any]:
    """Return the fields of the `RetryPolicy` nearest to an adapter's ``max_retries``.

    Raises:
        ConfigurationError: No adapter accepts this value.
    """
    given = _read(retry)
    known = [count for count in given.counts if count is not None]
    # None where no counter ends the retries; the total may still end them.
    highest = max(known) if any(known) or len(known) == len(given.counts) else None
    retries = _least(given.total, highest)
    attempts = _MOST if retries is None else min(retries + 1, _MOST)
    backoff = _backoff(given)
    max_retry_after: float | None = backoff.max_delay
    if given.respect_retry_after_header:
        bound = given.retry_after_max
        max_retry_after = _seconds(bound) if is_finite(bound) else None
    longest = max(
        _RETRY_AFTER_MAX if max_retry_after is None else max_retry_after, backoff.max_delay
    )
    return {
        "max_attempts": attempts,
        # urllib3 has no deadline: leave room for every wait, and for slow answers between them.
        "deadline": min(attempts * (longest + _ATTEMPT_SECONDS), _LONGEST),
        "statuses": frozenset(each for each in given.statuses if each >= FIRST_ERROR),
        "methods": _methods(given),
        "backoff": backoff,
        "max_retry_after": max_retry_after,
        "any_method_on_429": False,
    }


def unheeded(retry: object) -> tuple[str, ...]:
    """Name what a policy cannot express, and would otherwise change without a word."""
    given = _read(retry)
    family = given.kind.__mro__
    base = next((one for one in family if one.__module__.split(".")[0] == "urllib3"), object)
    own = [n for n in _RULES if getattr(given.kind, n, None) is not getattr(base, n, None)]
    counts = {_least(given.total, count) for count in given.counts}
    found = {
        f"methods of its own ({', '.join(own)})": bool(own),
        "a count for each kind of failure": len(counts) > 1,
        "RetryError after the last status": bool(given.statuses) and given.raise_on_status,
        "statuses below 400": any(status < FIRST_ERROR for status in given.statuses),
        "deafness to Retry-After": not given.respect_retry_after_header,
    }
    return tuple(what for what, is_so in found.items() if is_so)


_FIELDS = {
    "total": 0,
    "connect": None,
    "read": None,
    "status": None,
    "status_forcelist": (),
    "allowed_methods": IDEMPOTENT_METHODS,
    "backoff_factor": 0.0,
    "backoff_max": None,
    "DEFAULT_BACKOFF_MAX": _BACKOFF_MAX,  # 1.26 has it on the class
    "backoff_jitter": 0.0,
    "raise_on_status": False,
    "respect_retry_after_header": True,
    "retry_after_max": None,
    "RETRY_AFTER_STATUS_CODES": _RETRY_AFTER,
}


def _read(retry: object) -> Any:
    """Read the attributes, the statuses that are retried, and a count for each kind of failure."""
    if retry is None or isinstance(retry, int):
        retry = SimpleNamespace(total=_BY_DEFAULT if retry is None else retry)
    elif not (hasattr(retry, "total") and hasattr(retry, "status_forcelist")):
        kind = type(retry).__name__
        fault = f"retry must be an urllib3 Retry, a number, a bool or None, not {kind}"
        raise ConfigurationError("RetryPolicy.from_urllib3", [fault])
    fields = {name: getattr(retry, name, default) for name, default in _FIELDS.items()}
    given = SimpleNamespace(kind=type(retry), **fields)
    # The old name of `allowed_methods` counts if it is set on the object.
    given.allowed_methods = vars(retry).get("method_whitelist", given.allowed_methods)
    given.statuses = _statuses(given)
    given.counts = [_count(given.connect), _count(given.read)]
    if given.statuses:
        given.counts.append(_count(given.status))
    return given


def _count(value: Any) -> int | None:
    return None if value is None else max(int(value), 0)


def _least(total: Any, count: int | None) -> int | None:
    known = [one for one in (_count(total), count) if one is not None]
    return min(known, default=None)


def _statuses(given: Any) -> frozenset[int]:
    """Return the listed statuses, and the ones that are retried with a Retry-After."""
    if _count(given.status) == 0:
        return frozenset()
    statuses = set(given.status_forcelist or ())
    if given.total and given.respect_retry_after_header:
        statuses |= set(given.RETRY_AFTER_STATUS_CODES)
    return frozenset(int(one) for one in statuses if isinstance(one, int) and one in STATUS_CODES)


def _methods(given: Any) -> frozenset[str]:
    """Return the methods that may be sent again although the server may have processed them."""
    if _count(given.read) == 0 and not given.statuses:
        return frozenset()
    allowed = given.allowed_methods
    if isinstance(allowed, str):  # a mistake: urllib3 looks for the name in the text
        return frozenset(method for method in _ANY_METHOD if method in allowed)
    # urllib3 compares in upper case, so that other spellings never match.
    return frozenset(one for one in allowed if one == one.upper()) if allowed else _ANY_METHOD


def _backoff(given: Any) -> InheritedBackoff:
    most = given.DEFAULT_BACKOFF_MAX if given.backoff_max is None else given.backoff_max
    base = _seconds(given.backoff_factor)
    return InheritedBackoff(
        initial=base,
        throttled_initial=base,
        max_delay=_seconds(most),
        jitter=Jitter.NONE,
        spread=_seconds(given.backoff_jitter),
    )


def _seconds(value: float) -> float:
    return max(0.0, min(float(value), _LONGEST))
