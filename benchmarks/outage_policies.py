"""How the clients of `outage.py` retry: the peers by their documented parameters, and ours.

The peers are models, a function each. Ours is `requests_authretry._core` and nothing else; what is
written here is what holds its state and waits.
"""

# ruff: noqa: INP001 (a part of a script)

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from requests_authretry import Backoff, Reason, RetryPolicy, RetryQuota
from requests_authretry._core import outage
from requests_authretry._core.bounds import LEAST_ATTEMPT
from requests_authretry._core.records import Progress, Retry, Stop
from requests_authretry._core.retry import CallFacts as Rules
from requests_authretry._core.retry import decide

from outage_world import ANSWERED  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from outage_world import CallFacts, Client, Process, World


def none(_attempt: int, _elapsed: float, _fraction: float) -> float | None:
    """No retries."""
    return None


def urllib3(attempt: int, _elapsed: float, _fraction: float) -> float | None:
    """``Retry(total=3, backoff_factor=0.5, status_forcelist=[503])``: the first retry at once."""
    delays = (0.0, 1.0, 2.0)
    return delays[attempt - 1] if attempt <= len(delays) else None


def loop(attempt: int, _elapsed: float, _fraction: float) -> float | None:
    """``for _ in range(5): ...; sleep(1)``."""
    return 1.0 if attempt < 5 else None  # noqa: PLR2004 (range)


def stamina(attempt: int, elapsed: float, fraction: float) -> float | None:
    """``retry(on=...)``: attempts=10, timeout=45, wait_initial=0.1, wait_max=5, wait_jitter=1."""
    if attempt >= 10 or elapsed >= 45:  # noqa: PLR2004 (attempts, timeout)
        return None
    return min(0.1 * 2.0 ** (attempt - 1) + fraction, 5.0)


def tenacity(attempt: int, _elapsed: float, fraction: float) -> float | None:
    """``wait_random_exponential(multiplier=1, max=60)``, ``stop_after_attempt(10)``."""
    return None if attempt >= 10 else min(2.0 ** (attempt - 1), 60.0) * fraction  # noqa: PLR2004


def google(attempt: int, elapsed: float, fraction: float) -> float | None:
    """``google.api_core.retry.Retry()``: initial=1, maximum=60, multiplier=2, timeout=120."""
    delay = min(2.0 ** (attempt - 1), 60.0) * fraction
    return None if elapsed + delay > 120 else delay  # noqa: PLR2004 (timeout)


def aws(attempt: int, _elapsed: float, fraction: float) -> float | None:
    """The standard mode of botocore: 3 attempts, full jitter from 1 s to 20 s."""
    return None if attempt >= 3 else min(2.0 ** (attempt - 1), 20.0) * fraction  # noqa: PLR2004


class Peer:
    """A peer that shares nothing between calls."""

    def __init__(self, world: World, plan: Callable[[int, float, float], float | None]) -> None:
        """Nothing is kept."""
        self._world, self._plan = world, plan

    def begins(self, call: CallFacts) -> None:
        """Nothing is kept."""

    def ended(self, call: CallFacts) -> None:
        """Nothing is kept."""

    def again(self, call: CallFacts) -> Generator[float, None, bool]:
        """Wait as planned."""
        elapsed = self._world.now - call.began
        delay = self._plan(call.attempt, elapsed, self._world.random())
        if delay is None:
            return False
        yield delay
        return True


class AWS(Peer):
    """The same for all that share botocore's quota: 500, a retry costs 5."""

    CAPACITY: Final = 500
    COST: Final = 5

    def __init__(self, world: World) -> None:
        """Begin with a full quota."""
        super().__init__(world, aws)
        self._left = self.CAPACITY

    def ended(self, call: CallFacts) -> None:
        """A success pays back what its last retry took, or 1."""
        if call.outcome is ANSWERED:
            self._left = min(self.CAPACITY, self._left + (1 if call.attempt == 1 else self.COST))

    def again(self, call: CallFacts) -> Generator[float, None, bool]:
        """Pay for the retry when it is decided."""
        if self._left < self.COST:
            return False
        self._left -= self.COST
        return (yield from super().again(call))


PATIENT: Final = RetryPolicy(max_attempts=10, backoff=Backoff(initial=0.5))
"""As many attempts as stamina and tenacity, over a similar time."""


class Ours:
    """What `requests_authretry` keeps for one endpoint in one process, and how a retry waits.

    Args:
        world: Where time comes from.
        retry: The policy of all calls.
        together: Whether the retries know of each other.
        store: Whether the processes tell each other of the outage.
    """

    def __init__(
        self,
        world: World,
        retry: RetryPolicy | None = None,
        *,
        together: bool = True,
        store: bool = False,
    ) -> None:
        """Begin with a full quota and in good health."""
        self._world, self._together, self._store = world, together, store
        self._retry, self._quota = retry or RetryPolicy(), RetryQuota()
        self._left = self._quota.capacity
        self._health = outage.Health()
        self._waiting: dict[Client, float] = {}
        self._asks_at = 0.0

    def begins(self, call: CallFacts) -> None:
        """An attempt is sent."""
        if self._health.is_down:
            self._health = outage.on_probe_sent(self._health, call.started)

    def ended(self, call: CallFacts) -> None:
        """Learn from an attempt; a success pays back and lets others go."""
        if call.outcome is ANSWERED:
            self._left = self._quota.paid_back(self._left, call.cost)
        if self._together and call.outcome.speaks_of_outage:
            self._health = outage.on_failure(self._health, call.started)
            self._ask_store()
        elif self._together:
            self._release(outage.on_success(self._health, call.started, self._world.now))

    def _ask_store(self) -> None:
        """Tell the others that the endpoint is down, or ask them; once a second at most."""
        now = self._world.now
        if not self._store or now < self._asks_at:
            return
        self._asks_at = now + 1.0
        if self._health.is_seen_down:
            self._world.told_until = now + outage.TOLD_SECONDS
        elif now < self._world.told_until:
            self._health = outage.on_told(self._health)

    def _release(self, health: outage.Health) -> None:
        told = (one for one, since in self._waiting.items() if outage.is_waiting(health, since))
        going = list(islice(told, int(health.due)))
        _, health = outage.release(health, len(going))
        for client in going:
            del self._waiting[client]
            self._world.wake(client)
        self._health = health if self._waiting else outage.Health()

    def again(self, call: CallFacts) -> Generator[float, None, bool]:
        """Wait by the rules, until the retry may be sent and is paid for."""
        self._waiting[call.client] = call.failed
        decision = yield from self._turn(call)
        is_released = self._waiting.pop(call.client, None) is None
        if isinstance(decision, Stop):
            return False
        if is_released:
            return True  # a success has paid for it
        if decision.cost > self._left:
            return False
        self._left -= decision.cost
        call.cost = decision.cost
        return True

    def _turn(self, call: CallFacts) -> Generator[float, None, Retry | Stop]:
        """Wait for the backoff, and while nothing succeeds for what the others find."""
        decision, latest = self._decided(call), call.began + self._retry.deadline - LEAST_ATTEMPT
        delay = decision.delay if isinstance(decision, Retry) else 0.0
        while isinstance(decision, Retry):
            yield delay
            now = self._world.now
            if not self._together or call.client not in self._waiting:
                break
            delay = outage.probe_delay(self._health, call.failed, call.attempt, latest, now)
            if delay == 0.0:
                self._health = outage.on_probe_sent(self._health, now)
                break
            if now >= latest:
                return Stop(Reason.OUTAGE)
            delay = min(delay, latest - now)
        return decision

    def _decided(self, call: CallFacts) -> Retry | Stop:
        """Ask the rules."""
        return decide(
            Rules("GET", call.began + self._retry.deadline, self._retry, self._quota),
            Progress(attempt=call.attempt, replayable=True, quota=self._left),
            call.outcome,
            self._world.now,
            self._world.random(),
        )


POLICIES: Final[dict[str, Callable[[World], Process]]] = {
    "no retries": lambda world: Peer(world, none),
    "urllib3": lambda world: Peer(world, urllib3),
    "loop": lambda world: Peer(world, loop),
    "stamina": lambda world: Peer(world, stamina),
    "tenacity": lambda world: Peer(world, tenacity),
    "google": lambda world: Peer(world, google),
    "AWS": AWS,
    "ours, alone": lambda world: Ours(world, together=False),
    "ours": Ours,
    "ours, store": lambda world: Ours(world, store=True),
    "ours, patient": lambda world: Ours(world, PATIENT),
}

SHARING: Final = ("AWS", "ours, alone", "ours", "ours, patient")
"""Those that share something in a process."""
