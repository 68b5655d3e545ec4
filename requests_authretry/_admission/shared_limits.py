"""Cool-downs, outages and slots in a store, so that processes and machines share them."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from math import inf
from operator import methodcaller
from threading import Thread
from types import MappingProxyType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from .._core.bounds import MAX_COOL_DOWN_SECONDS
from .._core.outage import TOLD_SECONDS as OUTAGE_TOLD_SECONDS
from .._core.reservations import Reserved
from .._core.shared_pace import TOLD_SECONDS
from .._core.shared_slots import AWAY_SECONDS, FARTHEST_SECONDS, LATEST_SECONDS
from .._core.validation import is_finite
from .._events import CoolingDown, StoreFailed, logger, tell
from .._locks import ForkSafeLock
from .._warnings import pointing_here, warn_of_store
from .outage_tracker import OutageTracker
from .rate_limiter import RateLimiter
from .table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from .._core.reservations import Ask
    from .._core.scope import Scope
    from .._core.target import Endpoint
    from .._events import Listener
    from .._protocols import Clock, Store
    from .fleet import Order
    from .shared_rates import Reservation

LOOK_SECONDS = 1.0
"""The time between two looks into the store, while requests are sent."""

_MOST_WATCHED, _WATCHED_SECONDS = 100, 3600.0
"""Scopes whose cool-downs are looked up: those of the last requests."""

_MOST_UNTOLD = 1000
"""Cool-downs that wait for a store which does not answer; older ones stay in this process. As many
failing endpoints."""

_MOST_FAILING = 4
"""Failing endpoints that are looked up in a second."""
_ALONE = {
    "cool-down": "a cool-down is in this process only",
    "outage": "an outage is in this process only",
    "slots": "this process keeps a pace of its own",
    "declared rate": "this process keeps its declared rates alone",
    "pace": "this process finds the pace by itself",
}
"""What it means for a process that the store failed."""


class SharedLimits:
    """The cool-downs and outages of a process, and those in a store. Thread-safe.

    A thread of its own pushes the cool-downs of this process and reads those of others, once a
    second at most and only while requests are sent. It does the same with outages, only for
    endpoints at which an attempt of this process has just failed. It takes slots for calls that
    wait for them, in batches. So no request waits for the store. There is one such thread at a
    time, and none without a store. It asks the store ten times a second at most, see
    `StoreOperations`.

    Attributes:
        limiter: The rate limits of this process.
    """

    def __init__(self, store: Store | None, clock: Clock, listeners: Collection[Listener]) -> None:
        self._store, self._clock, self._listeners = store, clock, listeners
        self.limiter = _limiter_of(store, clock)
        self._watched: Table[Scope, None] = Table(_MOST_WATCHED, _WATCHED_SECONDS)
        self._untold: dict[Scope, float] = {}
        # Failing endpoints, and whether this process has seen the outage; and the same of late.
        self._failing: dict[tuple[Endpoint, bool], None] = {}
        self._shared: Table[tuple[Endpoint, bool], None] = Table(_MOST_FAILING, LOOK_SECONDS)
        self._lock = ForkSafeLock(self._forget_thread)
        self._worker: Thread | None = None
        self._is_due = False
        self._mute_until = -inf  # the store keeps no pace until then
        self._to_look_up: dict[Scope, None] = {}
        if store is not None:
            self._plan_next_look()

    def start_cool_down(
        self, closed: Mapping[Scope, float], status: int | None, *, may_test: bool
    ) -> None:
        """Close scopes; tell listeners, of the first one, and all who share the store.

        Args:
            closed: What a server has closed, the widest first, and for how many seconds. A
                cool-down takes an hour at most.
            status: The status of its answer.
            may_test: Whether a test attempt may be sent meanwhile.
        """
        news: dict[Scope, float] = {}
        now = self._clock.monotonic()
        for scope, seconds in closed.items():
            until = now + min(seconds, MAX_COOL_DOWN_SECONDS)
            if self.limiter.start_cool_down(scope, until, seconds, may_test=may_test):
                news[scope] = until
        for scope, until in news.items():
            self._announce(scope, until - now, status)
            break
        if news and self._store is not None:
            self._work(news, news)

    def look(self, scopes: Iterable[Scope]) -> None:
        """Read other processes' cool-downs in the background; the next look is a second later."""
        self._plan_next_look()
        self._is_due = True
        self._work({}, scopes)

    def serve_fleet(self) -> None:
        """Take the slots that calls wait for, and tell others of the pace, in the background."""
        self._work({}, ())

    def report_failure(self, endpoint: Endpoint) -> None:
        """Tell others that an endpoint is down, or ask whether they say so, in the background.

        This is done after a failed attempt: once a second at most for an endpoint, and once more
        when its outage begins.
        """
        if self._store is None:
            return
        now = self._clock.monotonic()
        state = endpoint, self.limiter.outages.is_seen_down(endpoint)
        recent = self._shared.keys(now)
        if state not in recent and len(recent) < _MOST_FAILING:
            self._shared.put(state, None, now)
            self._work({}, (), {state: None})

    def _work(
        self,
        untold: dict[Scope, float],
        watched: Iterable[Scope],
        failing: Mapping[tuple[Endpoint, bool], None] = MappingProxyType({}),
    ) -> None:
        with self._lock:
            if len(self._failing) < _MOST_UNTOLD:
                self._failing |= failing
            self._note(untold, watched)
            # One that was never started, as a signal handler's exception came first, is not alive.
            if self._worker is None or not self._worker.is_alive():
                self._worker = self._thread()
                with suppress(RuntimeError):  # no more threads, as at the end of the program
                    self._worker.start()

    def _note(self, untold: dict[Scope, float], watched: Iterable[Scope]) -> None:
        self._untold |= untold
        while len(self._untold) > _MOST_UNTOLD:
            del self._untold[next(iter(self._untold))]
        now = self._clock.monotonic()
        for scope in watched:
            self._watched.put(scope, None, now)

    def _thread(self) -> Thread:
        work = pointing_here(self._run)
        return Thread(target=work, name="requests_authretry look", daemon=True)

    def _run(self) -> None:
        """Ask the store until there is nothing more to ask for now."""
        while (work := self._next_work()) is not None:
            work()

    def _next_work(self) -> Callable[[], None] | None:
        """Return what to do next: calls wait for slots, other processes for cool-downs."""
        with self._lock:
            # Inside: who orders meanwhile finds this thread alive, and leaves the order to it.
            served = self._next_for_fleet()
            if served is not None:
                return served
            now, begin = self._clock.monotonic(), self.limiter.fleet.operations.begin
            if self._is_due:
                self._is_due = False
                self._to_look_up |= dict.fromkeys(self._watched.keys(now))
            if self._untold and begin("push", now):
                scope = next(iter(self._untold))
                return partial(self._push, scope, self._untold.pop(scope))
            if self._to_look_up and begin("read", now):
                scope = next(iter(self._to_look_up))
                del self._to_look_up[scope]
                return partial(self._look_up, scope)
            if self._failing and begin("read", now):
                endpoint, is_seen = next(iter(self._failing))
                del self._failing[endpoint, is_seen]
                return partial(self._share_outage, endpoint, is_seen=is_seen)
            self._worker = None
            return None

    def _next_for_fleet(self) -> Callable[[], None] | None:
        """Return what to do next for calls that wait for slots or units, and for the pace."""
        order = self.limiter.next_order()
        if order is not None:
            return partial(self._take, order)
        reservation = self.limiter.next_reservation()
        if reservation is not None:
            return partial(self._reserve, *reservation)
        untold = self.limiter.next_untold()
        return None if untold is None else partial(self._tell_pace, *untold)

    def _take(self, order: Order) -> None:
        """Take slots; a store that answers late counts as away, as one that fails."""
        began, arguments = self._clock.monotonic(), (order.rate, order.burst, order.number)
        take = methodcaller("take", order.scope.key_of("slots"), *arguments)
        seconds = self._ask_store("slots", "take", take)
        took = self._clock.monotonic() - began
        if is_finite(seconds) and abs(seconds) <= MAX_COOL_DOWN_SECONDS and took <= LATEST_SECONDS:
            self.limiter.on_slots(order, min(seconds, FARTHEST_SECONDS))
            self._hear_pace(order.scope)
            return
        self.limiter.on_store_away(order)
        if seconds is not None:
            self._tell_failure("slots", "take", TimeoutError.__name__)

    def _reserve(self, order: Reservation, ask: Ask) -> None:
        """Reserve units of a declared rate, and tell what was sent; as with `_take`."""
        began = self._clock.monotonic()
        reserve = methodcaller("reserve", order.queue.scope.key, ask)
        reserved = self._ask_store("declared rate", "reserve", reserve)
        took = self._clock.monotonic() - began
        if isinstance(reserved, Reserved) and took <= LATEST_SECONDS:
            self.limiter.on_reserved(order, reserved)
            return
        self.limiter.on_rates_away(order)
        if reserved is not None:
            self._tell_failure("declared rate", "reserve", TimeoutError.__name__)

    def _hear_pace(self, scope: Scope) -> None:
        """Adopt the pace that another process has found."""
        now = self._clock.monotonic()
        if now >= self._mute_until and self.limiter.fleet.may_hear(now):
            hear = methodcaller("keep", scope.key_of("pace"), "", 0.0)
            self.limiter.on_heard(scope, self._ask_store("pace", "keep", hear))

    def _tell_pace(self, scope: Scope, text: str) -> None:
        """Let other processes adopt the pace that this one has found."""
        keep = methodcaller("keep", scope.key_of("pace"), text, TOLD_SECONDS)
        self._ask_store("pace", "keep", keep)

    def _push(self, scope: Scope, until: float) -> None:
        seconds = until - self._clock.monotonic()
        self._ask_store("cool-down", "push", methodcaller("push", str(scope), seconds))

    def _look_up(self, scope: Scope) -> None:
        left = self._ask_store("cool-down", "read", methodcaller("push", str(scope), 0.0))
        self._adopt(scope, left)

    def _share_outage(self, endpoint: Endpoint, *, is_seen: bool) -> None:
        """Ask what others told of an outage; tell them if only this process has seen it."""
        key = " ".join(("outage", *endpoint))
        left = self._ask_store("outage", "read", methodcaller("push", key, 0.0))
        if is_seen and not (is_finite(left) and left > OUTAGE_TOLD_SECONDS / 2):
            self._ask_store("outage", "push", methodcaller("push", key, OUTAGE_TOLD_SECONDS))
        elif is_finite(left) and left > 0:
            self.limiter.outages.on_told(endpoint)

    def _adopt(self, scope: Scope, seconds: object) -> None:
        """Start the cool-down that another process has put into the store."""
        # Users bring stores; one that says more than an hour never comes to an end.
        if not is_finite(seconds) or seconds > MAX_COOL_DOWN_SECONDS:
            return
        until = self._clock.monotonic() + seconds
        if self.limiter.adopt_cool_down(scope, until, seconds):
            self._announce(scope, seconds, None)

    def _plan_next_look(self) -> None:
        self.limiter.look_at = self._clock.monotonic() + LOOK_SECONDS
        self.limiter.update_check_after()

    def _ask_store(self, what: str, doing: str, ask: Callable[[Store], object]) -> object:
        """Return what the store says, None if it fails: then this process is on its own."""
        if self._store is None:
            return None
        try:
            return ask(self._store)
        except BaseException as error:  # noqa: BLE001 (users bring stores, and the thread is ours)
            # That a store is slow for once is nothing that a developer can cure.
            if doing not in {"take", "keep", "reserve"} or not isinstance(error, TimeoutError):
                warn_of_store(self._store, doing, error)
            self._tell_failure(what, doing, type(error).__name__)
            if doing == "keep":  # it is asked as often as for slots, and each time is a warning
                self._mute_until = self._clock.monotonic() + AWAY_SECONDS
            return None

    def _tell_failure(self, what: str, doing: str, name: str) -> None:
        logger.warning("%s: the %s failed: %s", _ALONE[what], doing, name)
        tell(self._listeners, StoreFailed(what, doing, name))

    def _announce(self, scope: Scope, seconds: float, status: int | None) -> None:
        event = CoolingDown(scope.origin, scope.policy, seconds, status, scope.endpoint)
        tell(self._listeners, event)

    def _forget_thread(self) -> None:
        """Forget the thread that asks the store: it is not in the child process."""
        self._worker = None


_known: WeakKeyDictionary[object, dict[object, RateLimiter]] = WeakKeyDictionary()


def _limiter_of(store: Store | None, clock: Clock) -> RateLimiter:
    """Return the one limiter of a store object in this process."""
    new = RateLimiter(clock, OutageTracker(), store=store)
    try:
        return _known.setdefault(store, {}).setdefault(clock, new)
    except TypeError:  # no store, or one that takes no weak reference
        return new
