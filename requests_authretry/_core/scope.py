"""Scopes: what one rate limit covers, as far as the server's names and its refusals tell.

Where a server names the policy that refuses a request, that policy is the scope. Where it names
none, the scope is the endpoint of the refused request. If a second endpoint is refused during the
cool-down of the first, the limit seems to cover the origin, and refusals close all of it. A test
attempt that passes during a cool-down shows that the limit covers less: see
`rate_limit.on_passed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from .target import Target

LEARNT_SECONDS: Final = 600.0
"""Seconds for which a scope that evidence has made wider or narrower stays so."""

_MOST_REFUSALS = 5
"""Refused endpoints of an origin that are remembered until their cool-downs end."""


class Scope(NamedTuple):
    """What one rate limit covers, always for one credential.

    Attributes:
        origin: The name of an origin, see `target.origin_name`.
        credential: What tells callers apart; it is no secret.
        policy: The server's name for the limit; "" if it gave none.
        endpoint: The method and path pattern; "" where the limit covers a policy or an origin.
    """

    origin: str
    credential: str
    policy: str = ""
    endpoint: str = ""

    @classmethod
    def of_endpoint(cls, target: Target) -> Scope:
        """Return the scope that is the endpoint of a request."""
        return cls(target.origin, target.credential, "", f"{target.method} {target.path}")

    @property
    def shown(self) -> str:
        """What it covers, for people."""
        if self.policy:
            return f"the limit {self.policy!r} of {self.origin}"
        return f"{self.endpoint} at {self.origin}" if self.endpoint else self.origin

    def __str__(self) -> str:
        """Return the key of its cool-down in a store."""
        return self.key_of("cool-down")

    def key_of(self, what: str) -> str:
        """Return the key in a store of what processes share of the scope."""
        kind = "policy" if self.policy else "endpoint" if self.endpoint else "origin"
        parts = (what, kind, self.origin, self.credential, self.policy or self.endpoint)
        return " ".join(filter(None, parts))


class Refusal(NamedTuple):
    """A refusal that began a cool-down.

    Attributes:
        endpoint: Its method and path.
        arrived: When it arrived, the first one of this cool-down, in monotonic seconds.
    """

    endpoint: str
    arrived: float


@dataclass(frozen=True, slots=True)
class Reach:
    """How far refusals without a name reach at one origin.

    Attributes:
        refusals: The latest refusals of endpoints that are closed, one for each endpoint.
        wide_until: Until when a refusal closes the whole origin, in monotonic seconds.
    """

    refusals: tuple[Refusal, ...] = ()
    wide_until: float = -inf

    def is_wide(self, now: float) -> bool:
        """Whether a refusal closes the whole origin."""
        return now < self.wide_until

    def on_passed(self, target: Target, began: float) -> Reach:
        """Learn from a request that the server let pass, and was sent at ``began``.

        If other endpoints are closed meanwhile, their limits do not cover the origin: what they
        refuse is no evidence of a limit that does.
        """
        endpoint = Scope.of_endpoint(target).endpoint
        left = tuple(
            refusal
            for refusal in self.refusals
            if refusal.endpoint == endpoint or began < refusal.arrived
        )
        return self if left == self.refusals else Reach(left, self.wide_until)

    def on_refused(self, target: Target, began: float, now: float, *, may_widen: bool) -> Reach:
        """Learn from a refusal without a name.

        Args:
            target: Where the request went.
            began: When the request was sent. One that left before another refusal arrived is no
                evidence that both come of one limit.
            now: When the refusal arrived.
            may_widen: False where a test attempt has shown that a limit does not cover the origin.
        """
        endpoint = Scope.of_endpoint(target).endpoint
        known = (refusal for refusal in self.refusals if refusal.endpoint == endpoint)
        own = next(known, Refusal(endpoint, now))
        others = [refusal for refusal in self.refusals if refusal.endpoint != endpoint]
        is_second = any(refusal.arrived <= began for refusal in others)
        is_wide = may_widen and (is_second or self.is_wide(now))
        refusals = (*others, own)[-_MOST_REFUSALS:]
        return Reach(refusals, now + LEARNT_SECONDS if is_wide else self.wide_until)
