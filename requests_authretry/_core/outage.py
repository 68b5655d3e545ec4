"""Outages: the retries to one endpoint share what they learn.

An endpoint is down after `DOWN` failures in a row. First attempts are never held back. While other
calls send first attempts to it, these are the probes, and every retry is held. If no attempt has
begun for `SPACING` seconds, one held retry is sent as the probe. The probes of one call come at
growing intervals, see `gap`. A held retry is not sent, so it uses up no attempt of its call.

The first success ends the outage. Then each success releases one held retry, the oldest first. So
the load grows as in the slow start of TCP (RFC 5681 section 3.1), which grows by acknowledged data,
and a failure releases nothing. If no attempt is sent at all, one held retry is sent without a
release.

An endpoint is an origin and a path in which numbers and identifiers are left out: the failures of
one endpoint say nothing about other endpoints. Below `DOWN` failures in a row no retry is held:
while only some requests fail, each retry waits for its own backoff alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Final

DOWN: Final = 16
"""Failures in a row, over all calls, that make an outage. If half of all attempts fail at random,
one run of 16 attempts in 65 000 looks like an outage."""

SPACING: Final = 0.5
"""Seconds without any attempt at an endpoint that is down, or just back, before a retry is sent."""

LONGEST_GAP: Final = 8.0
"""Seconds between two probes of one call, at most."""

MOST_RELEASED: Final = 1.0
LEAST_RELEASED: Final = 0.25
"""Held retries that each success releases after an outage, at most and at least."""

REGAINED: Final = 1 / 64
"""What each success adds to that number; each failure halves it."""

FORGOTTEN: Final = 60.0
"""Seconds without an attempt after which an endpoint's failures are forgotten."""

TOLD_SECONDS: Final = 5.0
"""Seconds for which a process that shares a store tells the others of an outage, after each failed
attempt."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the calls of one process know about one endpoint. Times are monotonic seconds.

    Attributes:
        failures: Failed attempts in a row, of all calls.
        probed: When the last known attempt began; during an outage it is the probe.
        returned: When the last outage ended.
        due: Held retries that may be sent.
        released: Held retries that each success releases.
        is_told: Whether another process has seen the outage, and an attempt of this one failed too.
    """

    failures: int = 0
    probed: float = -inf
    returned: float = -inf
    due: float = 0.0
    released: float = MOST_RELEASED
    is_told: bool = False

    @property
    def is_seen_down(self) -> bool:
        """Whether this process has seen an outage: `DOWN` of its own attempts in a row failed."""
        return self.failures >= DOWN

    @property
    def is_down(self) -> bool:
        """Whether the endpoint has an outage, seen by this process or by another one."""
        return self.is_told or self.is_seen_down


def on_probe_sent(health: Health, now: float) -> Health:
    """Record that an attempt begins now."""
    return replace(health, probed=now)


def on_failure(health: Health, began: float) -> Health:
    """Count an attempt that began at `began` and brought a server error or no answer.

    An attempt that began before the last outage ended says nothing about the time after it.
    """
    if began < health.returned:
        return health
    return replace(
        health,
        failures=health.failures + 1,
        probed=max(began, health.probed),
        released=max(health.released / 2, LEAST_RELEASED),
    )


def on_told(health: Health) -> Health:
    """Count an outage that another process has seen, if an attempt of this one has just failed."""
    return replace(health, is_told=True) if health.failures else health


def on_success(health: Health, began: float, now: float) -> Health:
    """Count an attempt that began at `began` and brought no server error."""
    probed = max(began, health.probed)
    if health.is_down:
        return Health(probed=probed, returned=now, due=1.0)
    return replace(
        health,
        failures=0,
        probed=probed,
        due=health.due + health.released,
        released=min(health.released + REGAINED, MOST_RELEASED),
    )


def release(health: Health, waiting: int) -> tuple[int, Health]:
    """Return how many held retries may be sent after an outage, and the health after that."""
    number = min(int(health.due), waiting)
    return number, replace(health, due=min(health.due - number, 1.0))


def gap(number: int) -> float:
    """Return the seconds between a call's last attempt and its probe, its ``number``-th retry."""
    return min(SPACING * 2.0 ** min(number - 1, 10), LONGEST_GAP)


def probe_delay(health: Health, since: float, number: int, latest: float, now: float) -> float:
    """Return the seconds that a retry whose backoff is over must still wait; 0.0: send it now.

    Args:
        health: The state of the endpoint.
        since: When the call's last attempt failed.
        number: Which retry of its call it is, from 1.
        latest: When the call may send its last attempt: no gap lasts longer than that.
        now: The monotonic clock.
    """
    if not (health.is_down or is_waiting(health, since)):
        return 0.0
    own = min(since + gap(number), latest) if health.is_down else now
    return max(own, health.probed + SPACING, now) - now


def is_waiting(health: Health, since: float) -> bool:
    """Whether a call that failed at `since` waits for its release: the outage ended after that."""
    return since <= health.returned
