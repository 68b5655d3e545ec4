"""Outages: the retries to one endpoint share what they learn.

While nothing succeeds, one attempt counts for all calls. A retry may find that another call's
attempt has begun and failed since its own failure. Then it counts that failure as its own next
attempt, and sends nothing. So waiting costs no retry quota.

The first success tells the waiting retries that the outage is over. Then successes release them,
one retry for every two successes. So the load doubles at most if all retries succeed, and grows
less if some fail, like the slow start of TCP (RFC 5681 section 3.1), which grows by acknowledged
data. If no attempt is sent at all, one waiting retry is sent without a release. A retry whose
backoff ends after the return is sent without a release too.

An endpoint is an origin and a path in which numbers and identifiers are left out: the failures of
one endpoint say nothing about other endpoints.

First attempts are never held back. Below `DOWN` failures in a row no retry is held back either:
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

RELEASED: Final = 0.5
"""Waiting retries that each success releases after an outage. With more of them, the retries would
overload a server that has first attempts to serve as well."""

FORGOTTEN: Final = 60.0
"""Seconds without an attempt after which an endpoint's failures are forgotten."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the calls of one process know about one endpoint. Times are monotonic seconds.

    Attributes:
        failures: Failed attempts in a row, of all calls.
        failed: When the newest failed attempt began.
        probed: When the last known attempt began; during an outage it is the probe.
        returned: When the last outage ended.
        due: Waiting retries that may be sent.
    """

    failures: int = 0
    failed: float = -inf
    probed: float = -inf
    returned: float = -inf
    due: float = 0.0

    @property
    def is_down(self) -> bool:
        """Whether the endpoint has an outage: at least `DOWN` attempts in a row have failed."""
        return self.failures >= DOWN


def on_probe_sent(health: Health, now: float) -> Health:
    """Record that an attempt begins now."""
    return replace(health, probed=now)


def on_failure(health: Health, began: float) -> Health:
    """Count an attempt that began at `began` and brought a 5xx or no answer.

    An attempt that began before the last outage ended says nothing about the time after it.
    """
    if began < health.returned:
        return health
    return replace(
        health,
        failures=health.failures + 1,
        failed=max(began, health.failed),
        probed=max(began, health.probed),
    )


def on_success(health: Health, began: float, now: float) -> Health:
    """Count an attempt that began at `began` and brought no server error."""
    returned, due = (now, 1.0) if health.is_down else (health.returned, health.due + RELEASED)
    return Health(probed=max(began, health.probed), returned=returned, due=due)


def release(health: Health, waiting: int) -> tuple[int, Health]:
    """Return how many waiting retries may be sent after an outage, and the health after that."""
    number = min(int(health.due), waiting)
    return number, replace(health, due=min(health.due - number, 1.0))


def probe_delay(health: Health, since: float, now: float, *, has_waited: bool) -> float | None:
    """Return the seconds that a retry whose backoff is over must still wait.

    Args:
        health: The state of the endpoint.
        since: When the call's last attempt failed.
        now: The monotonic clock.
        has_waited: Whether the retry has waited for a probe before.

    Returns:
        0.0: send the retry now. Above 0.0: ask again after this many seconds. None: send nothing;
        an attempt of another call, begun after ``since``, has failed and counts as this call's.
    """
    if not (health.is_down or (has_waited and is_waiting(health, since))):
        return 0.0
    wait = health.probed + SPACING - now
    if wait <= 0:
        return 0.0
    return None if health.is_down and health.failed > since else wait


def is_waiting(health: Health, since: float) -> bool:
    """Whether a call that failed at `since` waits for its release: the outage ended after that."""
    return since <= health.returned
