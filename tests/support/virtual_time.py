"""Threads that run one at a time in virtual time, so that all happens in the same way each time.

A thread goes on until it sleeps on the clock, or ends. Then the thread goes on that was woken, or
else the one whose sleep ends first, and the time moves to that end. Of several, the one that was
added first goes on.
"""

from __future__ import annotations

import sys
import threading
import traceback
from contextlib import suppress
from math import inf
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from requests_authretry import MemoryStore
from requests_authretry.stores._rates import reserved

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from requests_authretry import Clock

PATIENCE = 60.0
"""Real seconds for which a running thread may stand at one place, before it counts as stuck."""

_LOOKS = 5
"""How often a thread is found at that place in that time."""

BEGAN = 1_000_000_000.0
"""POSIX time at which virtual time begins."""

_STEPS_AT_ONCE = 20_000
"""Steps at one and the same time after which it counts as standing still."""

_LONGEST = 14 * 86_400.0
"""Virtual seconds after which a thread counts as endless."""

_LIBRARY = "requests_authretry"
"""Names of the library's own threads begin so."""


class _Over(BaseException):
    """Ends a thread when the test has failed."""


class _Runner:
    """A thread in virtual time.

    Attributes:
        thread: The thread.
        turn: A lock that can be had when the thread may go on.
        due: When its sleep ends.
        wake: Ends its sleep earlier, None if nothing does.
        is_asleep: Whether it sleeps on the clock.
        has_begun: Whether a thread of the library's own has had its first turn.
    """

    __slots__ = ("due", "has_begun", "is_asleep", "thread", "turn", "wake")
    thread: Thread

    def __init__(self, due: float = inf) -> None:
        self.due = due
        self.turn = Lock()
        self.turn.acquire()
        self.wake: Event | None = None
        self.is_asleep = self.has_begun = False


class Turns:
    """Virtual time, and the threads that run in it.

    Threads of the library's own, which look into a store or renew a token, work while all threads
    of the test sleep, before the time moves. They may sleep on the clock as well. A thread that
    waits for anything else, such as a lock that a sleeping thread holds, makes the test fail.

    Args:
        patience: Real seconds for which a running thread may stand at one place.

    Attributes:
        now: Seconds since the beginning.
        steps: How often a thread has gone on. All that one thread does in a step is of one time.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self.now = 0.0
        self._patience = patience
        # Those that have not ended: the threads of the test in their order, then sleeping threads
        # of the library's own.
        self._runners: list[_Runner] = []
        self._by_number: dict[int, _Runner] = {}
        self._of_library: dict[Thread, _Runner] = {}
        self._known: set[Thread] = set()
        self._running = threading.current_thread()
        self.steps = self._steps_at_once = 0
        self._over = Event()
        self._fault: str | None = None

    def add(self, name: str, at: float, work: Callable[[], object]) -> None:
        """Let a thread of its own begin this work at a time."""
        runner = _Runner(at)
        runner.thread = Thread(target=self._run, args=(runner, work), name=name, daemon=True)
        self._runners.append(runner)

    def run(self) -> None:
        """Let all threads run to their end.

        Raises:
            AssertionError: One of them failed or is stuck, time stands still, or it never ends.
        """
        self._known = {*threading.enumerate()}
        for runner in self._runners:
            runner.thread.start()
            self._known.add(runner.thread)
            self._by_number[runner.thread.ident or 0] = runner
        with suppress(_Over):
            self._go_on(None)
        place: object = None
        in_vain = 0
        while in_vain < _LOOKS and not self._over.wait(self._patience / _LOOKS):
            before, place = place, self._place()
            in_vain = in_vain + 1 if place == before else 0
        if in_vain == _LOOKS:
            self._fault = self._stuck()
        if self._fault is not None:
            for runner in self._runners:
                if runner.turn.locked():
                    runner.turn.release()
            raise AssertionError(self._fault)

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Let others run until so many seconds have passed, or ``wake`` is set."""
        runner = self._by_number.get(threading.get_ident()) or self.await_turn()
        assert runner is not None, "only the threads of a scenario may sleep in its time"
        runner.due, runner.wake = self.now + max(seconds, 0.0), wake
        if runner.thread in self._of_library:
            self._runners.append(runner)
            runner.is_asleep = True
            runner.turn.acquire()
        else:
            self._go_on(runner)
        if self._fault is not None:
            raise _Over

    def await_turn(self) -> _Runner | None:
        """Let a thread of the library's own begin when all others sleep; None for another one."""
        thread = threading.current_thread()
        if not thread.name.startswith(_LIBRARY):
            return None
        runner = self._runner_of(thread)
        if not runner.has_begun:
            runner.turn.acquire()
            runner.has_begun = True
        return runner

    def _run(self, runner: _Runner, work: Callable[[], object]) -> None:
        """Do the work of a thread, when its time has come."""
        runner.turn.acquire()
        with suppress(_Over):
            try:
                if self._fault is None:
                    work()
            except Exception:  # noqa: BLE001 (the test fails with it)
                self._fail(f"{runner.thread.name} failed:\n{traceback.format_exc()}")
            if self._fault is not None:
                return
            self._runners.remove(runner)
            # The number of a thread that has ended is given to another one.
            del self._by_number[threading.get_ident()]
            self._go_on(None)

    def _go_on(self, runner: _Runner | None) -> None:
        """Let the next thread run, and return when it is the turn of this one again.

        Args:
            runner: This thread, which sleeps now; None if it has ended.

        Raises:
            _Over: The test has failed.
        """
        while True:
            self._let_library_work()
            following = self._choose()
            if following is None:
                self._over.set()
                return
            if following.thread not in self._of_library:
                break
            self._runners.remove(following)
            following.is_asleep = False
            self._let_work(following)
        if following is not runner:
            self._running = following.thread
            following.turn.release()
            if runner is not None:
                runner.turn.acquire()

    def _choose(self) -> _Runner | None:
        """Return the thread that goes on, and move the time to the end of its sleep.

        Returns:
            None if all threads have ended.

        Raises:
            _Over: No thread can go on, or one goes on and on.
        """
        now, first, earliest = self.now, None, inf
        for each in self._runners:
            due = now if each.wake is not None and each.wake.is_set() else each.due
            if due < earliest:
                first, earliest = each, due
        if first is None:
            if self._runners:
                names = ", ".join(each.thread.name for each in self._runners)
                self._fail(f"after {now:g} s all threads sleep for ever: {names}")
            return None
        self.steps += 1
        self._steps_at_once += 1
        if earliest > now:
            self.now, self._steps_at_once = earliest, 0
        if self.now > _LONGEST:
            self._fail(f"{first.thread.name} has not ended after {now:g} s")
        if self._steps_at_once > _STEPS_AT_ONCE:
            self._fail(f"time stands still after {now:g} s, and {first.thread.name} goes on")
        return first

    def _let_library_work(self) -> None:
        """Let the library's own threads that have begun work until they end or sleep."""
        while not self._known.issuperset(threads := threading.enumerate()):
            for thread in threads:  # in the order in which they were started
                if thread in self._known:
                    continue
                self._known.add(thread)
                # One that is no daemon keeps the program from ending before another one does.
                if thread.daemon and thread.name.startswith(_LIBRARY):
                    self._let_work(self._runner_of(thread))

    def _runner_of(self, thread: Thread) -> _Runner:
        """Return what is known of a thread of the library's own."""
        runner = _Runner()
        runner.thread = thread
        return self._of_library.setdefault(thread, runner)

    def _let_work(self, runner: _Runner) -> None:
        """Let a thread of the library's own work until it ends or sleeps."""
        self._running = thread = runner.thread
        runner.turn.release()
        while thread.is_alive() and not runner.is_asleep and self._fault is None:
            thread.join(0.001)
        if not runner.is_asleep:
            del self._of_library[thread]

    def _place(self) -> object:
        """Return where the running thread stands: a thread that is only slow moves on."""
        frame = self._frame()
        return self.steps, id(frame), frame and frame.f_lasti

    def _frame(self) -> FrameType | None:
        return sys._current_frames().get(self._running.ident or 0)  # noqa: SLF001 (its only name)

    def _stuck(self) -> str:
        """Return what to say of a thread that waits for anything but the clock."""
        where, name = "".join(traceback.format_stack(self._frame())), self._running.name
        return f"after {self.now:g} s {name} neither sleeps on the clock nor ends:\n{where}"

    def _fail(self, fault: str) -> None:
        """End the test.

        Raises:
            _Over: Always.
        """
        self._fault = self._fault or fault
        self._over.set()
        raise _Over


class VirtualClock:
    """The clock of one process in virtual time: `Settings(clock=...)`.

    Args:
        turns: The virtual time.
        ahead: Seconds by which the POSIX time of its machine is fast.
        random: Draws the numbers in [0, 1) that spread waits.
        on_sleep: Is called before each sleep, in the thread that sleeps.
    """

    def __init__(
        self,
        turns: Turns,
        ahead: float,
        random: Callable[[], float],
        on_sleep: Callable[[], object],
    ) -> None:
        self._turns, self._began = turns, BEGAN + ahead
        self.random, self._on_sleep = random, on_sleep

    def time(self) -> float:
        """Return the POSIX time in seconds."""
        return self._began + self._turns.now

    def monotonic(self) -> float:
        """Return the seconds since the beginning."""
        return self._turns.now

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Let others run until so many seconds have passed, or ``wake`` is set."""
        self._on_sleep()
        self._turns.sleep(seconds, wake)


class VirtualStore(MemoryStore):
    """A store that several processes share: the library's own threads use it one after another."""

    def __init__(self, turns: Turns, clock: Clock) -> None:
        super().__init__(clock)
        self._turns = turns

    def read(self, *args: Any) -> Any:
        """Return a record, while all calls sleep."""
        self._turns.await_turn()
        return super().read(*args)

    def push(self, *args: Any) -> Any:
        """Extend a cool-down, while all calls sleep."""
        self._turns.await_turn()
        return super().push(*args)

    def take(self, *args: Any) -> Any:
        """Take slots, while all calls sleep."""
        self._turns.await_turn()
        return super().take(*args)

    def reserve(self, key: str, ask: Any) -> Any:
        """Reserve units of a declared rate, while all calls sleep."""
        self._turns.await_turn()
        answer, self._slots = reserved(self._slots, key, ask, self._clock.monotonic())
        return answer

    def keep(self, *args: Any) -> Any:
        """Keep a text for a while, while all calls sleep."""
        self._turns.await_turn()
        return super().keep(*args)
