"""Outages: what the calls of one process know together of each endpoint's health."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from .._core import outage
from .._core.outage import Health
from .._locks import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core.target import Endpoint
    from .waiting import Waiter

_MOST_ENDPOINTS = 1000


class OutageTracker:
    """The health of each endpoint that fails, and the retries that wait for it. Thread-safe.

    Attributes:
        troubled: Whether any endpoint failed since it last succeeded. Reading it takes no lock.
        origins: How many such endpoints each origin has.
    """

    def __init__(self) -> None:
        self._health: dict[Endpoint, Health] = {}
        self._waiting: dict[Endpoint, dict[Waiter, float]] = {}
        self._lock = ForkSafeLock(self._forget_waiting)
        self.troubled = False
        self.origins: dict[str, int] = {}

    def on_probe_sent(self, endpoint: Endpoint, now: float) -> None:
        """Let a first attempt be the probe if the endpoint is down."""
        with self._lock:
            health = self._health.get(endpoint)
            if health is not None and health.is_down:
                self._health[endpoint] = outage.on_probe_sent(health, now)

    def on_failure(self, endpoint: Endpoint, began: float) -> None:
        """Count an attempt that failed by the server's fault and began at ``began``."""
        with self._lock:
            if len(self._health) < _MOST_ENDPOINTS or endpoint in self._health:
                self.troubled = True
                if endpoint not in self._health:
                    self.origins[endpoint[0]] = self.origins.get(endpoint[0], 0) + 1
                health = self._health.get(endpoint, Health())
                self._health[endpoint] = outage.on_failure(health, began)

    def on_success(self, endpoint: Endpoint, began: float, now: float) -> None:
        """Count an answer, and release some retries that have waited since the outage."""
        with self._lock:
            health = self._health.get(endpoint)
            if health is None:
                return
            health = outage.on_success(health, began, now)
            waiting = self._waiting.get(endpoint, {})
            ready = [each for each, since in waiting.items() if outage.is_waiting(health, since)]
            number, self._health[endpoint] = outage.release(health, len(ready))
            for waiter in ready[:number]:
                del waiting[waiter]
                waiter.release()
            if not ready and not waiting:
                self._forget(endpoint)

    def _forget(self, endpoint: Endpoint) -> None:
        del self._health[endpoint]
        self.origins[endpoint[0]] -= 1
        if not self.origins[endpoint[0]]:
            del self.origins[endpoint[0]]
        self.troubled = bool(self._health)

    def is_down(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint only fails."""
        return self.troubled and self._health.get(endpoint, Health()).is_down

    def probe_delay(
        self, endpoint: Endpoint, waiter: Waiter, now: float, *, has_waited: bool
    ) -> float | None:
        """Return the seconds that a retry must still wait.

        Returns:
            0.0: send now, as the probe if the endpoint is down. None: send nothing; another call's
            probe has just failed, and counts as this call's own failure.
        """
        with self._lock:
            health = self._health.get(endpoint, Health())
            since = self._waiting.get(endpoint, {}).get(waiter, now)
            wait = outage.probe_delay(health, since, now, has_waited=has_waited)
            if wait == 0 and (health.is_down or outage.is_waiting(health, since)):
                self._health[endpoint] = outage.on_probe_sent(health, now)
                waiter.released = True
            return wait

    def count_shared_failure(self, endpoint: Endpoint, waiter: Waiter, since: float) -> None:
        """Count another call's failed probe, begun at ``since``, as this call's latest failure."""
        with self._lock:
            self._waiting.setdefault(endpoint, {})[waiter] = since

    def sweep(self, now: float) -> None:
        """Forget endpoints without an attempt for a while and without a waiting retry."""
        with self._lock:
            old = now - outage.FORGOTTEN
            stale = [each for each, health in self._health.items() if health.probed < old]
            for endpoint in stale:
                if endpoint not in self._waiting:
                    self._forget(endpoint)

    @contextmanager
    def waiting(self, endpoint: Endpoint, waiter: Waiter, since: float) -> Iterator[None]:
        """Let the end of the outage release this waiter, as long as the block lasts."""
        with self._lock:
            self._waiting.setdefault(endpoint, {})[waiter] = since
        try:
            yield
        finally:
            with self._lock:
                waiting = self._waiting.get(endpoint, {})
                waiting.pop(waiter, None)
                if not waiting:
                    self._waiting.pop(endpoint, None)

    def _forget_waiting(self) -> None:
        """Forget the waiting threads: they are not in the child process."""
        self._waiting = {}
