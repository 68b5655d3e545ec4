"""Outage and return: the retries of one endpoint know of each other.

While nothing succeeds, one attempt speaks for all: a retry that finds that somebody else has failed
since its own failure counts that as its own next attempt, and sends nothing. So to wait costs no
quota. The first success tells those that wait, and successes let them go, one for every two, so
that the load doubles at the most where all of them succeed, and less where not (as the slow start
of TCP, RFC 5681 section 3.1, which grows by what is acknowledged). Where nothing is sent at all,
one of them goes by itself, and so does each whose own backoff ends after the return.

An endpoint is an origin and a path without what looks like a number or an identifier in it: an
endpoint that fails says nothing of others.

First attempts are never held back, and below `DOWN` failures in a row none of this happens: where
only some requests fail, each goes by its own backoff.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Final

DOWN: Final = 16
"""Failures in a row, over all calls, that make an outage; at 50 % failures one run in 65 000."""

SPACING: Final = 0.5
"""Seconds without any attempt at an origin that is down, or just back, before a retry adds one."""

RELEASED: Final = 0.5
"""Waiting retries that each success lets go after an outage. With more of them, the retries would
overload a server that has first attempts to serve as well."""

FORGOTTEN: Final = 60.0
"""Seconds without an attempt after which an endpoint's failures are forgotten."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the calls of one process know of one endpoint. Times are monotonic seconds.

    Attributes:
        failures: Attempts in a row that failed, of all calls.
        failed: When the newest of them began.
        probed: When the last attempt began, as far as is known; in an outage it is the probe.
        returned: When the last outage ended.
        due: Waiting retries that may go.
    """

    failures: int = 0
    failed: float = -inf
    probed: float = -inf
    returned: float = -inf
    due: float = 0.0

    @property
    def is_down(self) -> bool:
        """Whether nothing succeeds there any more."""
        return self.failures >= DOWN


def on_probe_sent(health: Health, now: float) -> Health:
    """Note that an attempt begins now."""
    return replace(health, probed=now)


def on_failure(health: Health, began: float) -> Health:
    """Count an attempt that began then and brought a 5xx or no answer.

    One that began before the last outage ended says nothing of the time after it.
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
    """Count an attempt that began then and brought no server error."""
    returned, due = (now, 1.0) if health.is_down else (health.returned, health.due + RELEASED)
    return Health(probed=max(began, health.probed), returned=returned, due=due)


def release(health: Health, waiting: int) -> tuple[int, Health]:
    """Return how many waiting retries may be sent after an outage, and the health after that."""
    number = min(int(health.due), waiting)
    return number, replace(health, due=min(health.due - number, 1.0))


def probe_delay(health: Health, since: float, now: float, *, has_waited: bool) -> float | None:
    """Seconds that a retry whose backoff is over waits before it may be sent.

    Args:
        health: What is known of the endpoint.
        since: When the call's last attempt failed.
        now: The monotonic clock.
        has_waited: Whether the retry has waited for a probe before.

    Returns:
        0.0: send it now. Above: ask again after so many seconds. None: do not send it;
        another call's attempt that began after ``since`` has failed, and counts as its own.
    """
    if not (health.is_down or (has_waited and is_waiting(health, since))):
        return 0.0
    wait = health.probed + SPACING - now
    if wait <= 0:
        return 0.0
    return None if health.is_down and health.failed > since else wait


def is_waiting(health: Health, since: float) -> bool:
    """Whether it waits for its release: its failure is older than the return."""
    return since <= health.returned
