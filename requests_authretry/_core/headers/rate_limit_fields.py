"""Reading the rate limits that a server announces, and the settings for rate limits."""

from __future__ import annotations

from collections import UserString
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..arguments import checks_arguments
from ..bounds import POLICIES, POLICY_NAME
from ..declared import Rate
from ..display import ShownByDifference
from ..identity import name_of
from ..records import REQUESTS, Limit
from ..validation import collection, flag, gathered, members, refuse, whole
from .names import KNOWN, MEANINGFUL, POLICY, RATELIMIT, date_of, is_meaningful, sort_by_meaning
from .time_formats import drop_absurd, parse_number, parse_reset, read_values

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from .names import Fields

_MOST = 1e15
"""A bound that no structured Integer reaches (RFC 9651, 3.3.1); a greater count is nonsense."""

_UNITS = {"request": REQUESTS, "concurrent-requests": "", "concurrency": ""}
"""Other words for a unit: the draft uses one for requests in its text and the other in its
registry. What counts requests under way says nothing of the time when others may be sent."""


@checks_arguments(rates=[Rate])
@dataclass(frozen=True, kw_only=True, repr=False)
class RateLimits(ShownByDifference):
    """Settings for a server's rate limits.

    Immutable and safe to share between threads.

    Attributes:
        cool_down: Whether a refusal that names a time holds back the other calls that its limit
            covers. These are the calls of the policy that the server names. If it names none, they
            are those of the endpoint: the same method and path. If a second endpoint is refused
            meanwhile, they are those of the origin, for ten minutes. One new call of each process
            is sent as a test, unless the server named the policy. If the test passes, the others go
            on, and for ten minutes a refusal holds back less: the endpoint in place of the origin,
            or only the refused call in place of the endpoint. False: only the refused call waits.
        pacing: Whether requests are spread over the window of a rate limit, and kept to the rate
            that refusals show. It does not depend on ``cool_down``.
        headers: Names of the header fields to read, in upper or lower case. The form of a name
            tells its meaning: it ends in ``retry-after`` (seconds or a date) or ``should-retry``;
            it is ``RateLimit`` or ``RateLimit-Policy``; or it has the form of
            ``X-RateLimit-Remaining``, whatever the vendor. A time may have its unit behind it:
            ``-seconds``, ``-milliseconds`` or ``-ms``. The name of a limit may have its unit,
            ``-requests`` or ``-tokens``: how many requests some tokens are good for is unknown,
            but without any left no request is sent. With an empty collection no field is read.
        identity: A function that is given a prepared request, and returns a text that tells apart
            callers whom the server counts apart, or None for the usual way: by the credential of
            the settings, else by ``Authorization``, else by headers with an API key, else by the
            cookies that the caller set and keys in the query, and in any case by the client
            certificate. The text is kept as a hash alone. An exception of the function ends the
            call. None: the usual way.
        rates: The rate limits that you know, see `Rate`. They hold from the first request on, for
            each origin and caller, whatever ``cool_down`` and ``pacing`` are. A request waits until
            all that cover it let it pass. A call whose wait would end after its deadline stops at
            once. Processes that share a `FileStore` or a `requests_authretry.redis.RedisStore`
            keep each rate together: declare all of it in each of them.
        concurrency: How many attempts may be under way at a time, for each origin and caller. An
            attempt begins when it may be sent; fetching its token is a part of it. It ends when its
            body is read or dropped, when it has failed, or with ``stream=True`` when its headers
            are there: the body that the caller reads does not count. A call that is made in the
            midst of an attempt, as by a signer with the same session, is part of it. Each process
            counts its own attempts, with a store too. None: any number.

    Raises:
        ConfigurationError: A field cannot work; the error names all faults together.
    """

    cool_down: bool = True
    pacing: bool = True
    headers: Collection[str] = frozenset(KNOWN)
    identity: Callable[[Any], str | None] | None = None
    rates: Collection[Rate] = ()
    concurrency: int | None = None

    def __post_init__(self) -> None:
        """Freeze the names, refuse values that cannot work, and name all faults together."""
        names = gathered(self.headers)
        if isinstance(names, tuple):
            names = tuple(name.lower() if isinstance(name, str) else name for name in names)
        object.__setattr__(self, "headers", names)
        object.__setattr__(self, "rates", gathered(self.rates))
        refuse("RateLimits", self._faults())
        object.__setattr__(self, "headers", frozenset(names))
        object.__setattr__(self, "rates", tuple(dict.fromkeys(self.rates)))

    def _faults(self) -> Iterable[str | None]:
        yield flag("cool_down", self.cool_down)
        yield flag("pacing", self.pacing)
        ask: object = self.identity
        if ask is not None and not callable(ask):
            yield f"identity must be a function of a request, not {type(ask).__name__}"
        yield collection("headers", self.headers) or members(
            "headers", self.headers, is_meaningful, MEANINGFUL
        )
        yield collection("rates", self.rates) or members(
            "rates",
            self.rates,
            lambda each: isinstance(each, Rate),
            "objects like Rate(10, per=1.0)",
        )
        if self.concurrency is not None:
            yield whole("concurrency", self.concurrency, 1)


def read_limits(fields: Fields, now: float) -> tuple[Limit, ...]:
    """Read how much of each limit is left; never raises on any text.

    A limit counts requests, or something else in a unit of its own. For each unit the newest form
    that can be read wins: the List of the RateLimit header fields draft (-08 to -11, sections 3 and
    4), the Dictionary of -07, the fields of -00 to -06, and then the fields of vendors. Malformed
    and absurd values count as absent; of more than `POLICIES` limits the first ones count. A limit
    without a reset is ignored, and so is one on concurrent requests. All limits are ignored on an
    answer from a cache (section 7.3).

    Args:
        fields: The header fields of the answer.
        now: The client's time, in POSIX seconds.
    """
    if any((parse_number(line) or 0.0) > 0.0 for line in fields.get("age", ())):
        return ()
    policies = _read_policies(fields.get(POLICY, ()))
    limits = _read_structured(fields.get(RATELIMIT, ()), policies)
    date = date_of(fields)
    for unit, parts in sort_by_meaning(frozenset(fields)).families:
        if "remaining" in parts and all(limit.unit != unit for limit in limits):
            lines = {part: fields[name] for part, name in parts.items()}
            limit = _read_plain(unit, lines, policies, date, now)
            limits += [] if limit is None else [limit]
    return tuple(limits[:POLICIES])


class _Policy(NamedTuple):
    """What a server says about a policy, whatever is left of it."""

    quota: float | None = None
    window: float | None = None
    unit: str = REQUESTS
    name: str = ""


def _read_structured(lines: Iterable[str], policies: Mapping[object, _Policy]) -> list[Limit]:
    """Read the limits of a `RateLimit` field: a List, or a Dictionary as draft -07 had it."""
    items = _parse(lines, "list")
    if items is None:
        found = {key: value for key, (value, _) in (_parse(lines, "dictionary") or {}).items()}
        quota = _count(found.get("limit"))
        policy = policies.get(quota, _Policy(quota))
        limits = [_limit(_count(found.get("remaining")), _span(found.get("reset")), policy)]
    else:
        limits = [
            _limit(_count(params.get("r")), _span(params.get("t")), _policy(name, params, policies))
            for name, params in items
            if isinstance(name, (str, UserString))
        ]
    return [limit for limit in limits if limit is not None]


def _policy(
    name: object, params: Mapping[str, object], policies: Mapping[object, _Policy]
) -> _Policy:
    """Return the policy of a limit: that of its partition, else the first one of its name."""
    full = _full_name(name, params)
    policy = policies.get(full) or policies.get(str(name), _Policy())
    return policy._replace(name=full if "pk" in params else policy.name or full)


def _full_name(name: object, params: Mapping[str, object]) -> str:
    """Return the name of a policy with that of its partition, which has a quota of its own.

    The key of a partition may tell who the caller is: its hash has the same use.
    """
    key = params.get("pk")
    partition = f";pk={name_of(key)}" if isinstance(key, (str, bytes)) else ""
    return str(name)[:POLICY_NAME] + partition


def _read_plain(
    unit: str,
    lines: Mapping[str, Sequence[str]],
    policies: Mapping[object, _Policy],
    date: str,
    now: float,
) -> Limit | None:
    """Read the limit that a family of fields describes; of several values the worst counts."""
    remaining = min(read_values(lines["remaining"], parse_number), default=None)
    parse = partial(parse_reset, date=date, now=now)
    readers: dict[str, Callable[[str], float | None]] = {
        "reset-ms": partial(parse, per_second=1000.0),
        "reset-seconds": parse,
        "reset-after": parse,
        "reset": parse,
    }
    found = (read_values(lines[part], readers[part]) for part in readers if part in lines)
    reset = max(next(filter(None, found), []), default=None)
    own = _read_policies(lines.get("limit", ()))
    quota = next(iter(own.values()), _Policy()).quota
    policy = {**own, **policies}.get(quota, _Policy())
    if unit != REQUESTS:  # the policies are those of requests
        policy = own.get(quota, _Policy())._replace(unit=unit)
    names = [line for part in ("name", "resource", "bucket") for line in lines.get(part, ())]
    name = names[0].strip()[:POLICY_NAME] if names else ""
    return _limit(_count(remaining), reset, policy._replace(name=name))


def _limit(remaining: float | None, reset: float | None, policy: _Policy) -> Limit | None:
    """Return the limit; None if it does not say when requests may be sent."""
    if remaining is None or reset is None or not policy.unit:
        return None
    return Limit(remaining, reset, policy.name, policy.quota, policy.window, policy.unit)


def _read_policies(lines: Iterable[str]) -> dict[object, _Policy]:
    """Read the policies of a List by their names, or by their quotas as in older drafts."""
    found: dict[object, _Policy] = {}
    for name, params in _parse(lines, "list") or ():
        quota = _count(name)
        unit = params.get("qu", REQUESTS)
        unit = _UNITS.get(unit, unit[:POLICY_NAME]) if isinstance(unit, str) else ""
        window = _span(params.get("w")) or None
        if quota is None:
            full = _full_name(name, params)
            policy = _Policy(_count(params.get("q")), window, unit, full)
            found[full] = policy
            found.setdefault(str(name), policy)
        else:
            found[quota] = _Policy(quota, window, unit)
    return found


def _parse(lines: Iterable[str], kind: str) -> Any:
    """Read a structured field (RFC 9651); None if it is absent or malformed."""
    text = ", ".join(lines)
    if not text:
        return None
    # Imported at first use: few servers write structured fields.
    from http_sf import parse

    try:
        return parse(text.encode(), tltype=kind)
    except ValueError:
        return None


def _count(value: object) -> float | None:
    """Return a number that is neither negative nor absurd; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < _MOST else None


def _span(value: object) -> float | None:
    """Return a number of seconds that a server can mean; None for any other value."""
    count = _count(value)
    return None if count is None else drop_absurd(count)
