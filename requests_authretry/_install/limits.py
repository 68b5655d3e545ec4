"""What is known of rate limits, for people and programs to see and to lift."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Literal

from .._admission.declared_queue import DeclaredScope
from .._core import declared, rate_supply
from .._core.records import seconds_text
from .._core.scope import Scope
from .._shared import SharedState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._admission.declared_queue import DeclaredQueue
    from .._core.declared import Rate
    from .._core.rate_limit import RateState
    from .._settings import Settings

Kind = Literal["cool-down", "pace", "window", "rate", "concurrency", "retry quota"]


@dataclass(frozen=True, kw_only=True)
class KnownLimit:
    """One thing that holds back calls, from `Limits`. Its text is for people.

    Attributes:
        kind: ``"cool-down"``: nothing but a test attempt is sent before its end.
            ``"pace"``: requests are spread, because the server refused some.
            ``"window"``: the server said how many requests are left until its end.
            ``"rate"``: the settings declare it, and no other request may be sent before its end.
            ``"concurrency"``: as many attempts are under way as the settings allow.
            ``"retry quota"``: what retries may still cost at the origin.
        origin: The origin that it concerns.
        caller: A hash that tells callers with different credentials apart; "" for no credential,
            and for a retry quota.
        policy: The server's name for the limit; "" if it gave none.
        endpoint: The method and path that it covers, as ``GET /users/*``, or the path of a rate; ""
            if it covers a policy or the whole origin.
        ends_in: Seconds until it ends by itself, as far as is known now; None for a retry quota,
            which successes fill, and for attempts under way.
        value: Requests a second of a pace, requests that are left of a window, units that are left
            of a retry quota, attempts under way; None for a cool-down or a rate.
        rate: The declared rate; None for all else.
    """

    kind: Kind
    origin: str
    caller: str = ""
    policy: str = ""
    endpoint: str = ""
    ends_in: float | None
    value: float | None
    rate: Rate | None = None

    def __str__(self) -> str:
        """Return a line for people."""
        where = Scope(self.origin, self.caller, self.policy, self.endpoint).shown
        whose = f" (caller {self.caller})" if self.caller else ""
        value = "" if self.value is None else f"{self.value:.3g}"
        what = {
            "cool-down": "cool-down",
            "pace": f"{value} requests a second",
            "window": f"{value} requests left",
            "rate": f"the declared limit of {_without_path(self.rate)} is used up",
            "concurrency": f"{value} attempts under way, as many as declared",
            "retry quota": f"{value} units of the retry quota left",
        }
        end = "" if self.ends_in is None else f" for {seconds_text(self.ends_in)}"
        return f"{where}{whose}: {what[self.kind]}{end}"


class Limits:
    """What holds back the calls of one settings object in this process now.

    From `Mounted.limits` and `Installed.limits`. Iterate over it, or print it. Sessions that were
    mounted with the same settings object, or share a store in this process, share their limits.
    Safe to use from many threads.
    """

    def __init__(self, settings: Settings) -> None:
        state = SharedState.of(settings)
        self._states = [state, *state.sites.values()]

    def __iter__(self) -> Iterator[KnownLimit]:
        """Return the limits as they are known now."""
        found: list[KnownLimit] = []
        now = self._states[0].clock.monotonic()
        for limiter in {state.limiter for state in self._states}:
            for scope, state in limiter.states():
                found += _known(scope, state, now)
            for queue in limiter.declared():
                found += _declared(queue, now)
        for quotas in {state.quotas for state in self._states}:
            found += (
                KnownLimit(kind="retry quota", origin=origin, ends_in=None, value=level)
                for origin, level in quotas.known().items()
            )
        return iter(sorted(found, key=lambda limit: (limit.origin, str(limit))))

    def __str__(self) -> str:
        """Return one line for each limit."""
        return "\n".join(map(str, self)) or "nothing holds back calls"

    def forget(self, limit: KnownLimit | None = None) -> None:
        """Lift one limit, or all of them, in this process; waiting calls go on.

        A refused call still waits for its own ``retry_after``. If the server refuses again, the
        limit is back. Cool-downs stay in a store, so that other processes still keep them. Declared
        limits stay: they are settings. Where processes share one in a store, this process forgets
        what the store said of it, and asks again.

        Args:
            limit: The limit, from this object; None for all.

        Raises:
            TypeError: ``limit`` is no `KnownLimit`.
        """
        if not isinstance(limit, KnownLimit | None):
            raise TypeError("forget takes a KnownLimit from these limits, or nothing for all")
        for each in list(self) if limit is None else [limit]:
            if each.kind == "retry quota":
                for state in self._states:
                    state.quotas.refill(each.origin)
                continue
            if each.kind == "concurrency":
                continue
            if each.rate is not None:
                for limiter in {state.limiter for state in self._states}:
                    limiter.forget_rate(DeclaredScope(each.origin, each.caller, each.rate))
                continue
            scope = Scope(each.origin, each.caller, each.policy, each.endpoint)
            for limiter in {state.limiter for state in self._states}:
                limiter.lift(scope, each.kind)

    def __repr__(self) -> str:
        """Return how many limits there are."""
        return f"<{type(self).__name__}: {len(list(self))} known>"


def _known(scope: Scope, state: RateState, now: float) -> Iterator[KnownLimit]:
    """Yield what holds back calls in one scope."""
    ends: list[tuple[Kind, float, float | None]] = [("cool-down", state.not_before, None)]
    if state.pace.rate < inf:
        ends.append(("pace", state.pace.ends, state.pace.allowed))
    ends += [("window", window.ends, max(window.level(now), 0.0)) for window in state.windows]
    for kind, end, value in ends:
        if end > now:
            yield KnownLimit(
                kind=kind,
                origin=scope.origin,
                caller=scope.credential,
                policy=scope.policy,
                endpoint=scope.endpoint,
                ends_in=end - now,
                value=value,
            )


def _without_path(rate: Rate | None) -> Rate | None:
    """Return a rate without its path, which the line names already."""
    return None if rate is None else replace(rate, path=None)


def _declared(queue: DeclaredQueue, now: float) -> Iterator[KnownLimit]:
    """Yield the declared limit if it holds back calls."""
    origin, caller, rate = queue.scope
    if rate is None:
        under_way = len(queue.under_way)
        if 0 < queue.most <= under_way:
            yield KnownLimit(
                kind="concurrency",
                origin=origin,
                caller=caller,
                ends_in=None,
                value=float(under_way),
            )
        return
    # Where a store has units of the rate, other processes may have used them up.
    opens = max(declared.free_at(queue.use, rate, 1.0, now), rate_supply.opens_at(queue.supply))
    if opens > now:
        yield KnownLimit(
            kind="rate",
            origin=origin,
            caller=caller,
            endpoint=rate.path or "",
            ends_in=opens - now,
            value=None,
            rate=rate,
        )
