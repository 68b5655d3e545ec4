"""The rate limits that a process has met, and the calls that wait for each of them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from .._core import rate_limit
from .._core.bounds import MAX_COOL_DOWN_SECONDS
from .._core.rate_limit import AskAgain, RateState, Slot, TooLate
from .._core.scope import Reach, Scope
from .._core.shared_slots import on_away, on_taken
from .._core.target import origin_name
from .._locks import ForkSafeLock
from .declared_limits import DeclaredLimits, ask_all
from .field_memory import FieldMemory
from .fleet import Fleet
from .policy_names import MOST_NAMES, NAMED_SECONDS, PolicyNames
from .rate_limit_queue import RateLimitQueue
from .shared_rates import SharedRates
from .table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .._core.records import Limit, Outcome, Reason
    from .._core.reservations import Ask, Reserved
    from .._core.target import Target
    from .._protocols import Clock
    from .declared_limits import Claim, Demand
    from .declared_queue import DeclaredQueue, DeclaredScope
    from .fleet import Order
    from .outage_tracker import OutageTracker
    from .rate_limit_queue import Queue
    from .shared_rates import Reservation
    from .waiting import Waiter

_SWEEP_SECONDS, _SWEPT = 1.0, 100
"""Each second so many rate limits are looked at, whether they still hold back any call."""
_MOST_QUEUES = 10_000
_MOST_ANNOUNCED = 1000
"""Rate limits of one origin whose cool-downs are announced and shared. A server may name limits
without end."""

_MOST_TOLD = 4
"""Limits that verdicts name which are remembered of an endpoint. An answer may bring new names
without end."""

_MOST_REACHES = 1000
_NO_REACH = Reach()


class OwnWait(NamedTuple):
    """What a retry waits for, whatever holds back other calls.

    Attributes:
        until: When it may be sent, in monotonic seconds.
        reason: ``RETRY_AFTER``, ``BACKOFF`` or ``POLL``.
        retry_after: Seconds that the server asked for, None for a backoff.
        is_reset: Whether ``until`` is when a window ends, as no `Retry-After` named a time. Once
            the window is found to refill, the call waits for the window alone.
    """

    until: float
    reason: Reason
    retry_after: float | None
    is_reset: bool = False


class RateLimiter:
    """The rate limits that a process has met. Thread-safe.

    A method that takes the lock has no loop: see `OutageTracker`.

    Attributes:
        check_after: Requests that start before this time (monotonic seconds) skip the limiter
            without taking a lock.
        is_troubled: Whether any rate limit or outage is known, so that an answer may be news.
        outages: The health of each endpoint that fails.
        look_at: When to look into the store next, inf where no store is shared.
        names: The policies that servers name in headers.
        memory: The rate-limit fields of the last answers.
        fleet: What this process shares of a pace with others; hold the lock.
        shared_rates: What it shares of declared rates; hold the lock.
    """

    def __init__(self, clock: Clock, outages: OutageTracker, *, store: object = None) -> None:
        self._clock = clock
        self._queues: OrderedDict[Scope, RateLimitQueue] = OrderedDict()
        self._origins: dict[str, dict[Scope, None]] = {}  # the queues of each origin
        self.names = PolicyNames()
        # What verdicts call the limits that have refused an endpoint: see `Reach`.
        self._told: Table[Scope, tuple[str, ...]] = Table(MOST_NAMES, NAMED_SECONDS)
        self._reaches: Table[tuple[str, str], Reach] = Table(_MOST_REACHES, MAX_COOL_DOWN_SECONDS)
        self.memory = FieldMemory()
        self._sweep_at = clock.monotonic() + _SWEEP_SECONDS
        self._sent = 0  # the highest number of dropped queues: no number is given out twice
        self._arrivals = 0
        self._lock = ForkSafeLock(self._forget_waiting)
        self.look_at = inf
        self.fleet = Fleet(store)
        self.shared_rates = SharedRates(store, self.fleet.operations, clock)
        self._declared = DeclaredLimits(self.shared_rates)
        self.check_after = inf
        self.outages = outages
        self.is_troubled = False

    def update_check_after(self) -> None:
        """Update which requests skip the limiter."""
        self.is_troubled = bool(self._queues) or self.outages.troubled
        self.check_after = -inf if self.is_troubled else self.look_at

    def concerns(self, url: str, now: float) -> bool:
        """Whether a rate limit or an outage is known at the origin of a URL, or a look is due."""
        self.sweep(now)
        origin = origin_name(url)
        is_known = origin in self._origins or origin in self.outages.origins
        return is_known or now >= self.look_at

    def covering(self, target: Target) -> tuple[Scope, ...]:
        """Return the scopes that may cover a request, the origin first.

        The policies are expected that the server named for such requests, see `PolicyNames`, and
        those under which verdicts have refused this endpoint.
        """
        origin, who, now = target.origin, target.credential, self._clock.monotonic()
        endpoint = Scope.of_endpoint(target)
        names = (*self.names.expected(target, now), *self._told.get(endpoint, now, ()))
        policies = (Scope(origin, who, name) for name in dict.fromkeys(names))
        return (Scope(origin, who), *policies, endpoint)

    def learn_names(self, target: Target, outcome: Outcome, now: float) -> None:
        """Expect the policies that an answer names, and the one that its verdict names."""
        self.names.learn(target, outcome.limits, now)
        told = outcome.told_name
        if told:
            endpoint = Scope.of_endpoint(target)
            known = self._told.get(endpoint, now, ())
            names = (told, *(name for name in known if name != told))
            self._told.put(endpoint, names[:_MOST_TOLD], now)

    def sweep(self, now: float) -> None:
        """Forget rate limits and outages that hold back no call; look at some each second."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP_SECONDS
        self.outages.sweep(now)
        with self._lock:
            self._forget_over(now)
            self.update_check_after()

    def _forget_over(self, now: float) -> None:
        for _ in range(min(_SWEPT, len(self._queues))):
            oldest = next(iter(self._queues))
            self._queues.move_to_end(oldest)
            self._drop_if_over(oldest, now)

    def wait_for_slot(  # noqa: PLR0913 (whatever may hold back a call)
        self,
        target: Target | None,
        waiter: Waiter,
        *,
        has_sent: bool,
        own: OwnWait | None,
        demand: Demand | None = None,
        on_order: Callable[[], object] = bool,
    ) -> Mapping[Scope, int] | TooLate:
        """Wait until a request may be sent, or until the waiter's session is closed.

        A request needs a slot of each rate limit that may cover it, declared ones included. While
        it waits, it stands in the queue of the one that takes longest. Calls of a higher priority
        go first; then a call that has sent an attempt goes before new calls; among equals, the
        first to come goes first.

        Args:
            target: Where the request goes, None where the settings keep no rate limits.
            waiter: The call that waits.
            has_sent: Whether the call has sent an attempt before.
            own: What the call waits for whatever the rate limits say, None for nothing.
            demand: What it asks of the declared limits, None where there are none. `end_attempt`
                has to follow.
            on_order: Is called where slots are to be taken from the store, see `next_order`.

        Returns:
            The number of the request at each rate limit that knows of it, or why it is too late.
        """
        with self._lock:
            self._arrivals += 1
            waiter.rank = -waiter.priority, not has_sent, self._arrivals
        standing: Queue | None = None
        try:
            while True:
                waiter.wake.clear()  # before the look at what may have woken it
                if waiter.closed:
                    return {}
                with self._lock:
                    now = self._clock.monotonic()
                    slowest, answer = self._ask(
                        target, waiter, now, own, may_test=not has_sent, demand=demand
                    )
                    if standing is not None and standing is not slowest:
                        standing.leave(waiter)
                    if slowest is not None:
                        slowest.enter(waiter)
                    standing = slowest
                if self.fleet.has_news or self.shared_rates.has_news:
                    on_order()
                if not isinstance(answer, AskAgain):
                    return answer
                if answer.is_known:
                    waiter.sleep(answer.seconds, answer.reason, answer.retry_after)
                else:
                    waiter.sleep_at_most(answer.seconds, answer.reason)
        finally:
            if standing is not None:
                self._leave(standing, waiter)

    def ask_once(
        self, target: Target | None, waiter: Waiter, demand: Demand | None
    ) -> dict[Scope, int] | AskAgain | TooLate:
        """Take the slots of a first attempt if it may be sent now; else say how long it waits.

        The arguments are those of `wait_for_slot`.
        """
        with self._lock:
            self._arrivals += 1
            waiter.rank = -waiter.priority, True, self._arrivals
            now = self._clock.monotonic()
            _, answer = self._ask(target, waiter, now, None, may_test=True, demand=demand)
        return answer

    def _leave(self, queue: Queue, waiter: Waiter) -> None:
        with self._lock:
            queue.leave(waiter)

    def end_attempt(self, demand: Demand) -> None:
        """Count an attempt as ended, or as one that will not begin."""
        with self._lock:
            self._declared.end(demand)

    def declared(self) -> list[DeclaredQueue]:
        """Return what is known of each declared limit."""
        with self._lock:
            return self._declared.queues()

    def _ask(  # noqa: PLR0913 (whatever may hold back a call)
        self,
        target: Target | None,
        waiter: Waiter,
        now: float,
        own: OwnWait | None,
        *,
        may_test: bool,
        demand: Demand | None = None,
    ) -> tuple[Queue | None, AskAgain | TooLate | dict[Scope, int]]:
        """Take a slot of each rate limit, if all of them have one for this call.

        Returns:
            The queue to wait in, None for none; and when to ask again, or the number of the request
            at each rate limit.
        """
        queues = {} if target is None else self._queues_of(target, now)
        if own is not None and own.is_reset and _refills(queues.values()):
            own = None  # the end of the window is no time to wait for
        if own is None or own.until <= now:
            claims = [] if demand is None else self._declared.claims(demand, now)
            return _ask(queues, self.fleet, waiter, now, claims, may_test=may_test)
        ends = (queue.state.not_before for queue in queues.values())
        if max(ends, default=-inf) < own.until:
            return None, AskAgain(own.until - now, own.reason, own.retry_after)
        # The cool-down holds it back, so that it takes no slot of any limit.
        slowest, answer = _ask(queues, self.fleet, waiter, now, [], may_test=may_test)
        if isinstance(answer, AskAgain):
            left = own.until - now
            # What follows its own wait is a wait of another reason, unless it is hardly longer.
            is_same = answer.seconds <= left + rate_limit.SAME_COOL_DOWN_SECONDS
            seconds = answer.seconds if is_same else left
            answer = AskAgain(seconds, own.reason, own.retry_after)
        return slowest, answer

    def _policies(self, target: Target, limits: Iterable[Limit], told: str) -> set[str]:
        """Return the policies that a refusal closes; none if no header names the limit.

        These are the policies that its answer names, or only those of them that are used up. A
        verdict counts before them, if answers at such endpoints name what it names.
        """
        if told:
            return {told}.intersection(self.names.expected(target, self._clock.monotonic()))
        spent = {limit.name for limit in limits if limit.remaining < 1} - {""}
        return spent or {limit.name for limit in limits} - {""}

    def scopes_of(
        self, target: Target, limits: Iterable[Limit], told: str = ""
    ) -> tuple[Scope, ...]:
        """Return the scopes that a refusal closes, the widest first.

        These are the policies that headers name. If they name none, it is the endpoint, and the
        origin while refusals close all of it; and between them what a verdict names.

        Args:
            target: Where the request went.
            limits: The limits that the headers of the answer are about.
            told: What the verdict calls the limit, "" if there is none that names one.
        """
        origin, who = target.origin, target.credential
        policies = self._policies(target, limits, told)
        if policies:
            return tuple(Scope(origin, who, name) for name in sorted(policies))
        now, endpoint = self._clock.monotonic(), Scope.of_endpoint(target)
        is_wide = self._reaches.get((origin, who), now, _NO_REACH).is_wide(told, now)
        whole = (Scope(origin, who),) if is_wide else ()
        return (*whole, Scope(origin, who, told), endpoint) if told else (*whole, endpoint)

    def refills(self, target: Target, limits: Iterable[Limit]) -> bool:
        """Whether requests come back one after another in a window of these scopes."""
        queues = map(self._queues.get, self.scopes_of(target, limits))
        return _refills(queue for queue in queues if queue is not None)

    def closed_for(
        self, target: Target, limits: Iterable[Limit], told: str, seconds: float
    ) -> dict[Scope, float]:
        """Return the scopes that a refusal closes, the widest first, and for how long.

        An origin is closed until the earliest end that its closed endpoints were told: a later one
        is that of a limit of the endpoint's own.
        """
        closed = dict.fromkeys(self.scopes_of(target, limits, told), seconds)
        origin = Scope(target.origin, target.credential)
        if origin in closed:
            now = self._clock.monotonic()
            refusals = self._reach((target.origin, target.credential), now).refusals
            same = (refusal for refusal in refusals if refusal.name == told)
            scopes = (origin._replace(endpoint=refusal.endpoint) for refusal in same)
            queues = (self._queues.get(scope) for scope in scopes)
            ends = (queue.state.not_before - now for queue in queues if queue is not None)
            closed[origin] = min((seconds, *ends))
        return closed

    def learn_reach(self, target: Target, limits: Iterable[Limit], told: str, began: float) -> None:
        """Learn from a refusal whose limit no header names whether it covers more endpoints."""
        if self._policies(target, limits, told):
            return
        at, now = (target.origin, target.credential), self._clock.monotonic()
        with self._lock:
            whole = self._queues.get(Scope(*at))
            may_widen = whole is None or now >= whole.state.narrowed_until
            known = self._reach(at, now)
            reach = known.on_refused(target, told, began, now, may_widen=may_widen)
            self._reaches.put(at, reach, now)

    def _reach(self, at: tuple[str, str], now: float) -> Reach:
        """Return how far refusals reach, with those alone whose endpoints are still closed.

        A test attempt that passed, or a user, may have ended a cool-down early.
        """
        reach = self._reaches.get(at, now, _NO_REACH)
        queues = (
            (each, self._queues.get(Scope(*at, "", each.endpoint))) for each in reach.refusals
        )
        closed = (each for each, queue in queues if queue and now < queue.state.not_before)
        return replace(reach, refusals=tuple(closed))

    def start_cool_down(
        self, scope: Scope, until: float, retry_after: float, *, may_test: bool
    ) -> bool:
        """Send nothing before that time; return whether that has to be announced.

        Args:
            scope: What is closed.
            until: The end of the cool-down, in monotonic seconds.
            retry_after: Seconds that the server asked for.
            may_test: Whether a test attempt may be sent meanwhile. It never may where the server
                named the policy.
        """
        with self._lock:
            now = self._clock.monotonic()
            if until <= now:
                return False
            queue = self._queue(scope)
            queue.state = rate_limit.with_cool_down(
                queue.state, until, now, retry_after, may_test=may_test and not scope.policy
            )
            queue.wake_hopeless()
            is_news = queue.state.not_before > queue.announced + rate_limit.SAME_COOL_DOWN_SECONDS
            if is_news:
                queue.announced = queue.state.not_before
            return is_news and len(self._origins[scope.origin]) <= _MOST_ANNOUNCED

    def adopt_cool_down(self, scope: Scope, until: float, seconds: float) -> bool:
        """Start the cool-down of another process; see `start_cool_down`.

        One that ends when the last one here ended is the same one, which came back from the store.
        """
        queue = self._queues.get(scope)
        if queue is not None:
            known = max(queue.lifted_until, queue.state.not_before)
            if until <= known + rate_limit.SAME_COOL_DOWN_SECONDS:
                return False
        return self.start_cool_down(scope, until, seconds, may_test=True)

    def on_refused(self, scope: Scope, began: float) -> None:
        """Lower the pace: the server let fewer requests through than were sent."""
        with self._lock:
            queue, now = self._queue(scope), self._clock.monotonic()
            before = queue.state.pace
            queue.state = rate_limit.on_refused(queue.state, began, now)
            self.fleet.on_refused(scope, queue, before, began, now)

    def on_rate_limit_fields(
        self,
        target: Target,
        numbers: Mapping[Scope, int],
        limits: Iterable[Limit],
        began: float,
        *,
        succeeded: bool,
    ) -> None:
        """Learn what an answer says is left.

        Args:
            target: Where the request went.
            numbers: Its numbers, see `wait_for_slot`.
            limits: What the answer says; a limit without a name is one of the endpoint, or of the
                origin while refusals close all of it.
            began: When the request was sent.
            succeeded: Whether the server let the request pass.
        """
        for scope, told in self._by_scope(target, limits).items():
            now, used = self._clock.monotonic(), 0
            if scope not in self._queues:
                if rate_limit.is_plenty(told):
                    continue
                used = self.memory.used(scope, now)
                if rate_limit.free_requests(told, used) > 0:
                    self.memory.count(scope, 1, now, max(limit.reset for limit in told))
                    continue
            told_at = partial(rate_limit.on_rate_limit_fields, began=began, used=used)
            learn = partial(told_at, succeeded=succeeded)
            self._learn_windows(scope, partial(learn, number=numbers.get(scope, -1), limits=told))

    def _learn_windows(self, scope: Scope, learn: Callable[..., RateState]) -> None:
        with self._lock:
            queue = self._queue(scope)
            queue.state = learn(queue.state, now=self._clock.monotonic())
            queue.wake_first()

    def remember(
        self, url: str, fields: Mapping[str, str], target: Target, limits: Iterable[Limit]
    ) -> None:
        """Remember what an answer told, until so many have told the same that limits are near.

        Args:
            url: Where the request went.
            fields: The rate-limit fields of the answer.
            target: The same as ``url``, for rate limits.
            limits: The limits in these fields, which were learned.
        """
        by_scope = self._by_scope(target, limits)
        if self._queues.keys().isdisjoint(by_scope):
            self.memory.remember(url, fields, by_scope, self._clock.monotonic())

    def _by_scope(self, target: Target, limits: Iterable[Limit]) -> dict[Scope, list[Limit]]:
        """Return the limits by scope; without a name they are the endpoint's, or the origin's."""
        unnamed = self.scopes_of(target, ())[0]
        found: dict[Scope, list[Limit]] = {}
        for limit in limits:
            if limit.quota != 0:  # a quota of 0 is an error
                named = Scope(target.origin, target.credential, limit.name)
                found.setdefault(named if limit.name else unnamed, []).append(limit)
        return found

    def on_passed(self, target: Target, began: float) -> None:
        """Count a request that the server let pass, and was sent at ``began``.

        If it was sent during a cool-down, the limit covers less than the scope that is closed.
        """
        with self._lock:
            self._count_passed(target, began, self._clock.monotonic())

    def _count_passed(self, target: Target, began: float, now: float) -> None:
        at = target.origin, target.credential
        known = self._reaches.get(at, now, _NO_REACH)
        reach = known.on_passed(target, began)
        for queue in self._queues_of(target, now).values():
            before = queue.state.pace
            queue.state = rate_limit.on_success(self.fleet.paced(queue, now), began, now)
            self.fleet.on_success(queue, before)
            state = rate_limit.on_passed(queue.state, began, now)
            if state is not queue.state:
                queue.state = state
                queue.wake_first()
        if reach is not known:
            self._reaches.put(at, reach, now)

    def next_order(self) -> Order | None:
        """Return the next slots to be taken from the store, None for none."""
        with self._lock:
            return self.fleet.pop_order()

    def next_reservation(self) -> tuple[Reservation, Ask] | None:
        """Return the next units to reserve in the store, and what it is to be asked, or None."""
        with self._lock:
            return self.shared_rates.pop_order(self._clock.monotonic())

    def on_reserved(self, order: Reservation, reserved: Reserved) -> None:
        """Give units of a declared rate to the calls that wait for them."""
        with self._lock:
            self.shared_rates.on_reserved(order, reserved, self._clock.monotonic())

    def on_rates_away(self, order: Reservation) -> None:
        """Keep declared rates in this process for a while: the store did not answer in time."""
        with self._lock:
            self.shared_rates.on_away(order, self._clock.monotonic())

    def forget_rate(self, scope: DeclaredScope) -> None:
        """Forget what the store said of a declared rate, and have waiting calls ask it again."""
        with self._lock:
            self._declared.forget(scope)

    def next_untold(self) -> tuple[Scope, str] | None:
        """Return the next pace to be told to other processes, and its scope; None for none."""
        with self._lock:
            return self.fleet.pop_untold(self._clock.monotonic())

    def on_heard(self, scope: Scope, text: object) -> None:
        """Adopt the pace that the store keeps, where another process has put it there."""
        with self._lock:
            queue = self._queues.get(scope)
            if queue is not None:
                self.fleet.on_heard(queue, text, self._clock.monotonic())

    def on_slots(self, order: Order, seconds: float) -> None:
        """Give slots that were taken to the calls that wait for them.

        Args:
            order: What was taken.
            seconds: When the first one is due, in seconds from now.
        """
        with self._lock:
            queue = self._queues.get(order.scope)
            if queue is not None:
                now = self._clock.monotonic()
                queue.supply = on_taken(queue.supply, seconds, order.number, order.rate, now)
                queue.wake_first()

    def on_store_away(self, order: Order) -> None:
        """Keep a pace of this process for a while: the store did not give these slots in time."""
        with self._lock:
            self.fleet.on_away(self._clock.monotonic())
            queue = self._queues.get(order.scope)
            if queue is not None:
                queue.supply = on_away(queue.supply)
                queue.wake_first()

    def on_error(self, target: Target, began: float) -> None:
        """Count an answer with a 5xx: the request has passed the limits, and raises no pace."""
        with self._lock:
            self._count_error(target, began, self._clock.monotonic())

    def _count_error(self, target: Target, began: float, now: float) -> None:
        for queue in self._queues_of(target, now).values():
            queue.state = rate_limit.on_error(queue.state, began, now)

    def states(self) -> list[tuple[Scope, RateState]]:
        """Return what is known of each rate limit."""
        with self._lock:
            queues = list(self._queues.items())
        return [(scope, queue.state) for scope, queue in queues]

    def lift(self, scope: Scope, kind: str) -> None:
        """Forget the cool-down, the pace or the windows of a scope, and have waiting calls ask."""
        with self._lock:
            queue, now = self._queues.get(scope), self._clock.monotonic()
            if queue is not None:
                queue.lifted_until = max(queue.lifted_until, queue.state.not_before)
                queue.state = rate_limit.lifted(queue.state, kind, now)
                queue.wake_first()

    def _queues_of(self, target: Target, now: float) -> dict[Scope, RateLimitQueue]:
        """Return the queues that may hold back a request; forget those that hold back none."""
        found = {}
        for scope in self.covering(target):
            if scope in self._queues and not self._drop_if_over(scope, now):
                found[scope] = self._queues[scope]
        return found

    def _drop_if_over(self, scope: Scope, now: float) -> bool:
        """Forget a queue in which no call has to wait any more; return whether it is gone."""
        queue = self._queues[scope]
        is_over = queue.is_empty and rate_limit.is_over(queue.state, now)
        is_over = is_over and now >= queue.lifted_until
        if is_over:
            self._drop(scope)
            self.update_check_after()
        return is_over

    def _drop(self, scope: Scope) -> None:
        # Each step may be the last one, if a signal handler raises: then nothing is lost or stuck.
        self._sent = max(self._sent, self._queues[scope].state.sent)
        del self._queues[scope]
        others = self._origins.get(scope.origin, {})
        others.pop(scope, None)
        if not others:
            self._origins.pop(scope.origin, None)

    def _queue(self, scope: Scope) -> RateLimitQueue:
        """Return the queue of a scope; forget an old one if a new one is too many."""
        queue = self._queues.get(scope)
        if queue is not None:
            return queue
        if len(self._queues) >= _MOST_QUEUES:
            oldest = next(iter(self._queues))
            if self._queues[oldest].is_empty:
                self._drop(oldest)
            else:
                self._queues.move_to_end(oldest)
        self.memory.clear()  # what is told now has to be learned
        # Have requests ask first, then make what they ask: an exception between them does no harm.
        self.is_troubled, self.check_after = True, -inf
        self._origins.setdefault(scope.origin, {})[scope] = None
        queue = self._queues[scope] = RateLimitQueue(RateState(first=self._sent, sent=self._sent))
        return queue

    def _forget_waiting(self) -> None:
        """Forget the waiting threads: they are not in the child process."""
        for queue in self._queues.values():
            queue.clear()
        self._declared.clear_waiting()
        self.fleet.clear()
        self.update_check_after()


def _refills(queues: Iterable[RateLimitQueue]) -> bool:
    """Whether requests come back one after another in a window of these limits."""
    return any(rate_limit.has_refilling_window(queue.state) for queue in queues)


def _ask(  # noqa: PLR0913 (whatever may hold back a call)
    queues: Mapping[Scope, RateLimitQueue],
    fleet: Fleet,
    waiter: Waiter,
    now: float,
    claims: list[Claim],
    *,
    may_test: bool,
) -> tuple[Queue | None, AskAgain | TooLate | dict[Scope, int]]:
    """Take a slot of each rate limit, if all of them have one for this call.

    Returns:
        The queue to wait in, None for none; and when to ask again, or the number of the request at
        each rate limit.
    """
    is_first = may_test
    slowest: Queue | None
    slowest, longest = ask_all(claims, waiter, now)
    if isinstance(longest, TooLate):
        return None, longest
    # Where the origin is closed, its test goes to an endpoint that is not closed itself.
    closed = sum(now < queue.state.not_before for queue in queues.values())
    may_test = may_test and closed == 1
    states: list[tuple[RateLimitQueue, RateState]] = []
    numbers: dict[Scope, int] = {}
    for scope, queue in queues.items():
        fleet.order(scope, queue, waiter, now)
        state, answer = rate_limit.ask(
            fleet.paced(queue, now),
            queue.place(waiter),
            now,
            waiter.deadline,
            may_test=may_test and not scope.policy,
            is_first=is_first,
            patient_until=waiter.patient_until,
        )
        if isinstance(answer, TooLate):
            return None, TooLate(answer.opens_in, scope.shown)
        if isinstance(answer, Slot):
            states.append((queue, state))
            numbers[scope] = answer.number
        elif longest is None or answer.seconds > longest.seconds:
            slowest, longest = queue, answer
    if longest is not None:
        return slowest, longest
    for queue, state in states:
        queue.state = state
        fleet.on_sent(queue, now)
    for claim in claims:
        claim.take(now)
    return None, numbers
