"""Scopes: what one rate limit covers, as far as the server's names and its refusals tell.

Where the headers of a server name the policy that refuses a request, that policy is the scope.
Where they name none, the scope is the endpoint of the refused request. If a second endpoint is
refused during the cool-down of the first, the limit seems to cover the origin, and refusals close
all of it. A test attempt that passes during a cool-down shows that the limit covers less: see
`rate_limit.on_passed`.

A name that only verdicts give says which refusals come of one limit. It covers the endpoints that
were refused under it, and widens by the same evidence: refusals under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from .target import Target

LEARNT_SECONDS: Final = 600.0
"""Seconds for which a scope that evidence has made wider or narrower stays so."""

_MOST_REFUSALS, _MOST_WIDE = 5, 5
"""Refused endpoints of an origin that are remembered until their cool-downs end; and limits that
cover all of it."""


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
        name: What a verdict calls the limit; "" if nobody named it.
    """

    endpoint: str
    arrived: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the limits of one origin reach that no header names.

    Attributes:
        refusals: The latest refusals of endpoints that are closed, one for each endpoint and name.
        wide: The latest limits whose refusals close the whole origin: what verdicts call them, ""
            for those without a name, and until when, in monotonic seconds.
    """

    refusals: tuple[Refusal, ...] = ()
    wide: tuple[tuple[str, float], ...] = ()

    def is_wide(self, name: str, now: float) -> bool:
        """Whether a refusal under this name closes the whole origin."""
        return any(now < until for wide, until in self.wide if wide == name)

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
        return self if left == self.refusals else Reach(left, self.wide)

    def on_refused(
        self, target: Target, name: str, began: float, now: float, *, may_widen: bool
    ) -> Reach:
        """Learn from a refusal whose limit no header names.

        Args:
            target: Where the request went.
            name: What a verdict calls the limit; "" if nobody named it.
            began: When the request was sent. One that left before another refusal arrived is no
                evidence that both come of one limit.
            now: When the refusal arrived.
            may_widen: False where a test attempt has shown that a limit does not cover the origin.
        """
        endpoint = Scope.of_endpoint(target).endpoint
        at = endpoint, name
        known = (each for each in self.refusals if (each.endpoint, each.name) == at)
        own = next(known, Refusal(endpoint, now, name))
        others = tuple(each for each in self.refusals if each != own)
        is_second = any(each.arrived <= began for each in others if each.name == name)
        refusals = (*others, own)[-_MOST_REFUSALS:]
        if not (may_widen and (is_second or self.is_wide(name, now))):
            return Reach(refusals, self.wide)
        narrow = (each for each in self.wide if each[0] != name)
        return Reach(refusals, (*narrow, (name, now + LEARNT_SECONDS))[-_MOST_WIDE:])
