"""A rule that `scope.py` compares with the library's: the same one with five changes.

Each class is one change. `Proposal` has all of them.
"""
# ruff: noqa: INP001 (a part of a script)

from __future__ import annotations

from typing import TYPE_CHECKING

from requests_authretry._core.rate_limit import SAME_COOL_DOWN_SECONDS
from requests_authretry._core.scope import Reach, Scope

from scope_policies import Learned  # isort: skip

if TYPE_CHECKING:
    from requests_authretry._core.target import Target

WHOLE = 1.0
"""Seconds by which a `Retry-After` may be too long, as it counts whole seconds."""


class TestTellsNoPace(Learned):
    """A refused test attempt says nothing new about the pace."""

    def on_refused(self, scope: Scope, began: float) -> None:
        """Lower the rate, unless the request was sent during the cool-down."""
        state = self._queue(scope).state
        if not state.cut <= began < state.opened:
            super().on_refused(scope, began)
        elif state.opened < state.not_before:
            later = {"opened": state.not_before, "counted": state.not_before}
            self._queue(scope).state = state._replace(**later, counting=state.not_before)


class EarliestEnd(Learned):
    """The origin is closed until the earliest end that refusals at it have named.

    The refused endpoints stay closed until the ends that they were told.
    """

    _earliest = float("inf")

    def learn_reach(self, target: Target, began: float, seconds: float) -> None:
        """Remember the earliest end of the refusals that made the scope wider."""
        super().learn_reach(target, began, seconds)
        now = self._clock.monotonic()
        reach = self._reaches.get((target.origin, target.credential), now, Reach())
        self._earliest = min(refusal.until for refusal in reach.refusals)

    def start_cool_down(
        self, scope: Scope, until: float, retry_after: float, *, may_test: bool
    ) -> bool:
        """Close the origin for less, if another refusal has named an earlier end."""
        queue, now = self._queues.get(scope), self._clock.monotonic()
        if scope.endpoint or not may_test:
            return super().start_cool_down(scope, until, retry_after, may_test=may_test)
        until = min(until, self._earliest)
        state = queue.state if queue is not None else None
        if queue is None or state is None or not now < state.not_before:
            return super().start_cool_down(scope, until, retry_after, may_test=may_test)
        if until < state.not_before - SAME_COOL_DOWN_SECONDS:
            earlier = {"not_before": until, "opened": min(state.opened, until)}
            counts = {"counted": min(state.counted, until), "counting": min(state.counting, until)}
            queue.state, queue.announced = state._replace(**earlier, **counts), until
            queue.wake_first()
        return False


class TestElsewhere(Learned):
    """The test of an origin goes to an endpoint that is not closed itself."""

    def may_test(self, target: Target, now: float) -> bool:
        """Whether a first attempt may be the test of the scopes that cover it."""
        queues = self._queues_of(target, now)
        closed = [scope for scope in queues if now < queues[scope].state.not_before]
        return len(closed) < 2 and super().may_test(target, now)  # noqa: PLR2004 (both)


class NoLateTest(Learned):
    """No test is sent in the last second, which may have been added by rounding up."""

    def may_test(self, target: Target, now: float) -> bool:
        """Whether a first attempt may be the test of the scopes that cover it."""
        states = [queue.state for queue in self._queues_of(target, now).values()]
        closed = [state for state in states if now < state.not_before]
        is_late = any(
            state.not_before - now <= min(WHOLE, (state.not_before - state.closed) / 2)
            for state in closed
        )
        return not is_late and super().may_test(target, now)


class PaceStays(Learned):
    """If an origin's test passes, the cool-down gets narrower, and the pace does not."""

    def _count_passed(self, target: Target, began: float, now: float) -> None:
        at = target.origin, target.credential
        reach = self._reaches.get(at, now, Reach())
        super()._count_passed(target, began, now)
        if self._reaches.get(at, now, Reach()) is not reach:
            self._reaches.put(at, reach, now)


class Proposal(TestTellsNoPace, EarliestEnd, TestElsewhere, NoLateTest, PaceStays):
    """All of these changes."""
