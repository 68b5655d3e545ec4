"""Outages: what the calls of one process know together of each endpoint's health."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from .._core import outage
from .._core.outage import Health
from .._locks import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core.target import Endpoint
    from .waiting import Waiter

_MOST_ENDPOINTS = 1000
_MOST_SWEPT = 20
"""Endpoints that one sweep looks at, so that no call waits long for it."""


class OutageTracker:
    """The health of each endpoint that fails, and the retries that wait for it. Thread-safe.

    Each change is one operation on a dictionary, so that an exception from a signal handler leaves
    nothing half done. A waiter whose call such an exception has ended is passed over.

    A function that takes the lock has no loop: Python 3.13 runs signal handlers at the end of some
    loops where an exception leaves a ``with`` block of the same function without its end.

    Attributes:
        origins: The endpoints at each origin that has any; now and then one that has failed no
            more. Reading it takes no lock.
    """

    def __init__(self) -> None:
        self._health: OrderedDict[Endpoint, Health] = OrderedDict()  # the newest attempt last
        self._waiting: dict[Endpoint, dict[Waiter, float]] = {}
        self._lock = ForkSafeLock(self._forget_waiting)
        self.origins: dict[str, dict[Endpoint, None]] = {}

    @property
    def troubled(self) -> bool:
        """Whether any endpoint failed since it last succeeded. Reading it takes no lock."""
        return bool(self._health)

    def on_probe_sent(self, endpoint: Endpoint, now: float) -> None:
        """Let a first attempt be the probe if the endpoint is down."""
        with self._lock:
            health = self._health.get(endpoint)
            if health is not None and health.is_down:
                self._keep(endpoint, outage.on_probe_sent(health, now))

    def on_failure(self, endpoint: Endpoint, began: float) -> None:
        """Count an attempt that failed by the server's fault and began at ``began``."""
        with self._lock:
            health = self._health.get(endpoint, Health())
            self._keep(endpoint, outage.on_failure(health, began))

    def on_success(self, endpoint: Endpoint, began: float, now: float) -> None:
        """Count an answer, and release some retries that have waited since the outage."""
        with self._lock:
            health = self._health.get(endpoint)
            if health is None:
                return
            if self._has_waiting(endpoint):
                self._release(endpoint, outage.on_success(health, began, now))
            else:
                self._forget(endpoint)

    def on_told(self, endpoint: Endpoint) -> None:
        """Count an outage that another process has seen, if an attempt failed here too."""
        with self._lock:
            health = self._health.get(endpoint)
            if health is not None:
                self._keep(endpoint, outage.on_told(health))

    def is_down(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint has an outage."""
        return self._health.get(endpoint, Health()).is_down

    def is_seen_down(self, endpoint: Endpoint) -> bool:
        """Whether this process has seen the outage, not only heard of it."""
        return self._health.get(endpoint, Health()).is_seen_down

    def probe_delay(
        self, endpoint: Endpoint, since: float, number: int, latest: float, now: float
    ) -> float:
        """Return the seconds that a retry must still wait, see `outage.probe_delay`.

        0.0: it is to be sent now, as the probe if the endpoint is down.
        """
        with self._lock:
            health = self._health.get(endpoint)
            if health is None:
                return 0.0
            wait = outage.probe_delay(health, since, number, latest, now)
            if wait == 0.0:
                self._keep(endpoint, outage.on_probe_sent(health, now))
            return wait

    def sweep(self, now: float) -> None:
        """Forget endpoints without an attempt for a while and without a waiting retry."""
        with self._lock:
            self._forget_old(now - outage.FORGOTTEN)

    @contextmanager
    def waiting(self, endpoint: Endpoint, waiter: Waiter, since: float) -> Iterator[None]:
        """Let the end of the outage release this waiter, as long as the block lasts."""
        try:
            with self._lock:
                self._waiting.setdefault(endpoint, {})[waiter] = since
            yield
        finally:
            with self._lock:
                waiting = self._waiting.get(endpoint, {})
                waiting.pop(waiter, None)
                if not waiting:
                    self._waiting.pop(endpoint, None)

    def _keep(self, endpoint: Endpoint, health: Health) -> None:
        """Remember the health after an attempt, and forget the oldest of too many."""
        self.origins.setdefault(endpoint[0], {})[endpoint] = None
        self._health[endpoint] = health
        self._health.move_to_end(endpoint)
        if len(self._health) > _MOST_ENDPOINTS:
            self._forget(next(iter(self._health)))

    def _release(self, endpoint: Endpoint, health: Health) -> None:
        """Release as many waiting retries as the health allows."""
        waiting = self._waiting[endpoint]
        ready = [each for each, since in waiting.items() if outage.is_waiting(health, since)]
        ready.sort(key=lambda waiter: -waiter.priority)  # a stable sort: then first come, first
        number, health = outage.release(health, len(ready))
        for waiter in ready[:number]:
            waiter.release()
            waiting.pop(waiter, None)
        self._keep(endpoint, health)

    def _has_waiting(self, endpoint: Endpoint) -> bool:
        """Whether a retry waits there; take out those whose call has ended in an exception."""
        waiting = self._waiting.get(endpoint, {})
        for waiter in [each for each in waiting if each.is_over]:
            waiting.pop(waiter, None)
        return bool(waiting)

    def _forget(self, endpoint: Endpoint) -> None:
        self._health.pop(endpoint, None)
        others = self.origins.get(endpoint[0], {})
        others.pop(endpoint, None)
        if not others:
            self.origins.pop(endpoint[0], None)
        if not self._has_waiting(endpoint):
            self._waiting.pop(endpoint, None)

    def _forget_old(self, old: float) -> None:
        """Forget endpoints whose last attempt began before that time, the oldest ones first."""
        if not self._health:
            self.origins.clear()  # an exception may have left one there
        for endpoint in list(islice(self._health, _MOST_SWEPT)):
            if self._health[endpoint].probed >= old:
                return
            if self._has_waiting(endpoint):
                self._health.move_to_end(endpoint)  # the next sweep looks at others first
            else:
                self._forget(endpoint)

    def _forget_waiting(self) -> None:
        """Forget the waiting threads: they are not in the child process."""
        self._waiting = {}
