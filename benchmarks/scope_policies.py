"""What the callers of `scope.py` do about a refusal: the library's rule, and other ones.

The rate limiter, the admission and the decision to retry are the library's. Only what makes one
call and sleeps is written here, in place of threads. Each policy is a rate limiter that differs in
a method or two.
"""
# ruff: noqa: INP001 (a part of a script)

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from requests_authretry import MemoryStore, RateLimits, Reason, Settings
from requests_authretry._admission.admission import FREE, NO_FAILURE, Admission, Permit
from requests_authretry._admission.outage_tracker import OutageTracker
from requests_authretry._admission.rate_limiter import OwnWait, RateLimiter
from requests_authretry._admission.retry_quota import RetryQuotas
from requests_authretry._admission.shared_limits import SharedLimits
from requests_authretry._core.rate_limit import AskAgain, TooLate
from requests_authretry._core.records import Progress, Retry, Stop
from requests_authretry._core.retry import CallFacts, decide
from requests_authretry._core.scope import Scope

from scope_world import LATENCY, PASSED, Clock, End  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from scope_world import Caller, Request, World

    from requests_authretry._core.target import Target


class Sleeper:
    """One call that waits, in place of `requests_authretry._admission.waiting.Waiter`.

    Args:
        caller: Who waits.
        deadline: When the call has to be over.
    """

    closed = released = is_over = False
    rank = (True, 0)
    patient_until = float("inf")

    def __init__(self, caller: Caller, deadline: float) -> None:
        """Sleep not yet."""
        self._caller, self.deadline = caller, deadline
        self.wake = self

    def set(self) -> None:
        """End its sleep."""
        self._caller.world.wake(self._caller)


class Learned(RateLimiter):
    """The library's rule."""

    def slots(
        self, caller: Caller, request: Request, sleeper: Any, *, has_sent: bool, own: OwnWait | None
    ) -> Generator[float, None, Mapping[Scope, int] | TooLate]:
        """Do what `RateLimiter.wait_for_slot` does, in a world without threads."""
        self._arrivals += 1
        sleeper.rank = not has_sent, self._arrivals
        standing = None
        try:
            while True:
                now = self._clock.monotonic()
                may_test = not has_sent and self.may_test(request.target, now)
                slowest, answer = self._ask(request.target, sleeper, now, own, may_test=may_test)
                if standing is not None and standing is not slowest:
                    standing.leave(sleeper)
                if slowest is not None:
                    slowest.enter(sleeper)
                standing = slowest
                if not isinstance(answer, AskAgain):
                    return answer
                own_until = own.until if own is not None else now
                yield from caller.waits(request, answer, own_until)
        finally:
            if standing is not None:
                standing.leave(sleeper)

    def may_test(self, _target: Target, _now: float) -> bool:
        """Whether a first attempt may be the test of the scopes that cover it."""
        return True


class Origin(Learned):
    """The rule before this one: a refusal closes the origin at once, and nothing tests it."""

    def scopes_of(
        self, target: Target, _limits: Iterable[object], _told: str = ""
    ) -> tuple[Scope, ...]:
        """Close the origin."""
        return (Scope(target.origin, target.credential),)

    def learn_reach(
        self, target: Target, limits: Iterable[object], told: str, began: float
    ) -> None:
        """Learn nothing."""

    def may_test(self, _target: Target, _now: float) -> bool:
        """Whether a first attempt may be a test: none may."""
        return False


class Endpoint(Origin):
    """A refusal closes its endpoint, never more, and nothing tests it."""

    def scopes_of(
        self, target: Target, _limits: Iterable[object], _told: str = ""
    ) -> tuple[Scope, ...]:
        """Close the endpoint."""
        return (Scope.of_endpoint(target),)


class Shared(SharedLimits):
    """The cool-downs in a store, which is asked at once and not in a thread."""

    def __init__(self, store: MemoryStore, clock: Clock, limiter: RateLimiter) -> None:
        """Take the limiter of a policy."""
        super().__init__(store, clock, ())
        self.limiter = limiter
        self._plan_next_look()

    def _work(self, untold: dict[Scope, float], watched: Iterable[Scope]) -> None:
        self._note(untold, watched)
        self._run()


class Ours:
    """The callers of one process, with the library's default settings.

    Args:
        world: Where it runs.
        store: What it shares with other processes.
        policy: Its rate limiter.
        limits: Its settings for rate limits.
    """

    def __init__(
        self, world: World, store: MemoryStore, policy: type[Learned], limits: RateLimits
    ) -> None:
        """Know of no rate limit."""
        self._settings = Settings(clock=Clock(world), limits=limits, store=store)
        self._limiter = policy(self._settings.clock, OutageTracker())
        self._shared = Shared(store, self._settings.clock, self._limiter)
        quotas = RetryQuotas(self._settings.quota, self._settings.clock)
        self._admission = Admission(self._settings, quotas, self._shared)

    def send(self, caller: Caller, request: Request) -> Generator[float, None, End]:
        """Do what `requests_authretry._call.loop.send_until_done` does."""
        world, limiter, settings = caller.world, self._limiter, self._settings
        sleeper = Sleeper(caller, world.now + settings.retry.deadline)
        attempt, failed, retry = 1, NO_FAILURE, None
        while True:
            began, permit = world.now, FREE
            is_asked = began >= limiter.check_after and limiter.concerns(request.url, began)
            if is_asked or retry is not None:
                admitted = yield from self._acquire(caller, request, sleeper, failed.at, retry)
                if admitted is None:
                    return End.TOO_LATE
                permit, began = admitted, world.now
            outcome = caller.server.answer(request, began)
            yield LATENCY
            request = replace(request, luck=caller.random.random())
            if outcome is PASSED:
                if limiter.is_troubled and limiter.concerns(request.url, began):
                    self._admission.settle(permit, request.target, began, outcome)
                return End.PASSED
            failed = self._admission.settle(permit, request.target, began, outcome)
            decision = decide(
                CallFacts("GET", sleeper.deadline, settings.retry, settings.quota),
                Progress(attempt, replayable=True, quota=settings.quota.capacity),
                outcome,
                world.now,
                caller.random.random(),
            )
            if isinstance(decision, Stop):
                return End.REFUSED
            attempt, retry = attempt + 1, decision

    def _acquire(
        self,
        caller: Caller,
        request: Request,
        sleeper: Sleeper,
        failed_at: float,
        retry: Retry | None,
    ) -> Generator[float, None, Permit | None]:
        """Do what `Admission.acquire` does after a refusal; None if it comes too late.

        The retry quota is left out: refusals alone never use it up here.
        """
        limiter, target, own = self._limiter, request.target, None
        if self._settings.limits.cool_down and caller.world.now >= limiter.look_at:
            self._shared.look(limiter.covering(target))
        if retry is not None:
            reason = Reason.RETRY_AFTER if retry.is_as_asked else Reason.BACKOFF
            own = OwnWait(failed_at + retry.delay, reason, retry.retry_after)
        has_sent = retry is not None
        numbers = yield from limiter.slots(caller, request, sleeper, has_sent=has_sent, own=own)
        return None if isinstance(numbers, TooLate) else Permit(target, numbers)


class Ideal:
    """Callers who know what the server knows, so that only chance refuses them."""

    def __init__(self, deadline: float) -> None:
        """Know everything."""
        self._deadline = deadline

    def send(self, caller: Caller, request: Request) -> Generator[float, None, End]:
        """Send as soon as the server lets it pass, if that is before the deadline."""
        world, server = caller.world, caller.server
        deadline, outcome = world.now + self._deadline, None
        while outcome is not PASSED:
            while (opens := server.opens(request, world.now)) > world.now:
                if opens > deadline:
                    return End.REFUSED
                yield opens - world.now
            outcome = server.answer(request, world.now)
            yield LATENCY
            request = replace(request, luck=caller.random.random())
            if outcome is not PASSED:
                yield outcome.retry_after or 0.0
        return End.PASSED


@dataclass(frozen=True)
class Policy:
    """One way to treat refusals.

    Attributes:
        limiter: The rate limiter of each process; None for callers who know everything.
        limits: The settings for rate limits.
    """

    limiter: type[Learned] | None
    limits: RateLimits = field(default_factory=RateLimits)


POLICIES: Final[dict[str, Policy]] = {
    "ideal": Policy(None),
    "origin at once": Policy(Origin),
    "endpoint": Policy(Endpoint),
    "single call": Policy(Learned, RateLimits(cool_down=False)),
    "learned": Policy(Learned),
}
