"""Outages: what the calls of one process know together of each endpoint's health."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from .._core import outage
from .._core.origin import Origin
from .._core.outage import Health
from .._locks import survives_fork

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .waiting import Waiter

Place = tuple[Origin | None, str]
"""An origin, and an endpoint there."""

_MOST_PLACES = 1000


def place_of(url: str) -> Place:
    """What is down or not."""
    return Origin.of(url), outage.endpoint(url)


class Outages:
    """The health of each endpoint that fails, and the retries that wait for it.

    Safe to use from many threads.

    Attributes:
        troubled: Whether any endpoint failed since it last succeeded. Reading it takes no lock.
    """

    def __init__(self) -> None:
        """All is well."""
        self._health: dict[Place, Health] = {}
        self._waiting: dict[Place, dict[Waiter, float]] = {}
        self._lock = Lock()
        self.troubled = False
        survives_fork(self)

    def on_probe_sent(self, place: Place, now: float) -> None:
        """A first attempt begins."""
        with self._lock:
            health = self._health.get(place)
            if health is not None and health.is_down:
                self._health[place] = outage.probing(health, now)

    def failed(self, place: Place, began: float) -> None:
        """An attempt that began then failed, and it was the server's fault."""
        with self._lock:
            if len(self._health) < _MOST_PLACES or place in self._health:
                self._health[place] = outage.failed(self._health.get(place, Health()), began)
                self.troubled = True

    def succeeded(self, place: Place, began: float, now: float) -> None:
        """An answer came: let some of those go that wait since before the outage ended."""
        with self._lock:
            health = self._health.get(place)
            if health is None:
                return
            health = outage.succeeded(health, began, now)
            waiting = self._waiting.get(place, {})
            told = [each for each, since in waiting.items() if outage.is_waiting(health, since)]
            number, self._health[place] = outage.released(health, len(told))
            for waiter in told[:number]:
                del waiting[waiter]
                waiter.release()
            if not told and not waiting:
                del self._health[place]
                self.troubled = bool(self._health)

    def is_down(self, place: Place) -> bool:
        """Whether nothing succeeds there any more."""
        return self.troubled and self._health.get(place, Health()).is_down

    def probe_delay(
        self, place: Place, waiter: Waiter, now: float, *, queued: bool
    ) -> float | None:
        """Seconds until a retry may go, which takes its turn with 0.0; None: it is covered."""
        with self._lock:
            health = self._health.get(place, Health())
            since = self._waiting.get(place, {}).get(waiter, now)
            wait = outage.probe_delay(health, since, now, queued=queued)
            if wait == 0 and (health.is_down or outage.is_waiting(health, since)):
                self._health[place] = outage.probing(health, now)
                waiter.released = True
            return wait

    def again(self, place: Place, waiter: Waiter, since: float) -> None:
        """It was covered, so that its failure is as new as that."""
        with self._lock:
            self._waiting.setdefault(place, {})[waiter] = since

    def sweep(self, now: float) -> None:
        """Forget what nobody has asked for a while."""
        with self._lock:
            old = now - outage.FORGOTTEN
            stale = [each for each, health in self._health.items() if health.probed < old]
            for place in stale:
                if place not in self._waiting:
                    del self._health[place]
            self.troubled = bool(self._health)

    @contextmanager
    def waiting(self, place: Place, waiter: Waiter, since: float) -> Iterator[None]:
        """In this block it may be told that the server is back."""
        with self._lock:
            self._waiting.setdefault(place, {})[waiter] = since
        try:
            yield
        finally:
            with self._lock:
                waiting = self._waiting.get(place, {})
                waiting.pop(waiter, None)
                if not waiting:
                    self._waiting.pop(place, None)

    def after_fork(self) -> None:
        """The threads that waited are not in the child."""
        self._lock = Lock()
        self._waiting = {}
