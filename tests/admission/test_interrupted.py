"""An exception from a signal handler, at any moment of a call, costs that call and no other one.

Python runs signal handlers between two steps of a program, so an exception of theirs, as of Ctrl-C,
may come anywhere. Each test plays one scene again and again, with an exception at another moment of
one call each time. Then all others must fare as if that call had never begun, or had gone on.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit
from weakref import ref

import pytest
import requests

from requests_authretry import (
    AuthRetryError,
    MemoryStore,
    Rate,
    RateLimits,
    RetryPolicy,
    RetryQuota,
    Settings,
    mount,
    override,
)
from requests_authretry._admission import shared_limits, waiting
from requests_authretry._admission.waiting import Wake
from requests_authretry._call import call as call_module
from requests_authretry._call import loop as loop_module
from requests_authretry._core.outage import DOWN
from requests_authretry.testing import ScriptedAdapter
from tests.admission.test_shared_limits import Elsewhere
from tests.support.interrupts import (
    Interrupt,
    Interrupted,
    Player,
    Stage,
    instructions_watched,
    may_be_left_out,
)
from tests.support.limits import ONCE, PATIENCE, hint
from tests.support.sessions import API

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from requests import PreparedRequest, Response

    from requests_authretry.testing import Line
    from tests.support.interrupts import Moment

ADMISSION = frozenset(
    str(module.__file__)
    for name, module in sys.modules.items()
    if name.startswith("requests_authretry._admission.")
)
CALLERS = frozenset(str(module.__file__) for module in (call_module, loop_module, contextlib))

IT = "it"
"""The name of the call that is interrupted."""

WINDOW = 5.0
"""Seconds for which a refusal closes a rate limit, and in which it then lets one request pass."""


PLAIN = requests.Request("GET", API).prepare()


class Scene:
    """What happens around the call that is interrupted.

    Attributes:
        policies: The policies of single calls that have another one.
        is_ordered: Whether others are served in one order.
        late: Seconds by which others may be late: they may ask again, but wait for no slot in vain.
        files: Where the call is interrupted.
    """

    is_ordered = True
    late = 0.5
    files = ADMISSION
    policies: ClassVar[dict[str, RetryPolicy]] = {"once": ONCE}

    def settings(self, _: Stage, /) -> dict[str, Any]:
        """Return those of the session."""
        return {"retry": RetryPolicy(max_attempts=50, deadline=1000.0)}

    def answer(self, name: str, now: float, /) -> Line:
        """Answer the call of that name, as the server."""
        raise NotImplementedError

    def play(self, run: Run) -> None:
        """Begin the calls."""
        raise NotImplementedError

    def faults_later(self, _: Run, /) -> Iterator[str]:
        """Name what is wrong, long after the scene, that other scenes do not show."""
        yield from ()


class Server(ScriptedAdapter):
    """Answers as the scene says, or all calls alike.

    Attributes:
        line: The answer to all calls; None: as the scene says.
        answers: The names of the calls, times and statuses, in order.
    """

    def __init__(self, scene: Scene, stage: Stage) -> None:
        super().__init__()
        self._scene, self._stage = scene, stage
        self.line: Line | None = None
        self.answers: list[tuple[str, float, int]] = []

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Answer the call that the query names."""
        name = urlsplit(str(request.url)).query
        if name == "slow":
            self._stage.sleep(1.0)
        now = self._stage.monotonic()
        self._script.append(self.line or self._scene.answer(name, now))
        response = super().send(request, *args, **options)
        self.sent.clear()  # no request is kept
        self.answers.append((name, now, response.status_code))
        return response


class Run:
    """One session, in which a scene is played once.

    Attributes:
        stage: The clock and the threads.
        server: Whom the session talks to.
        session: The session.
        it: The thread of the call that is interrupted, None if it takes no part.
        request: Returns what that call sends, as long as anything keeps it.
    """

    it: Player | None = None
    request: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, scene: Scene, stage: Stage, interrupt: Interrupt | None = None) -> None:
        """Mount the session; without an interrupt that call takes no part."""
        self.stage, self._scene, self._interrupt = stage, scene, interrupt
        self.server = Server(scene, stage)
        self.session = requests.Session()
        self.session.mount("https://", self.server)
        mount(self.session, Settings(clock=stage, **scene.settings(stage)))
        self._others: dict[str, Player] = {}

    def begin(self, *names: str) -> None:
        """Begin calls of others, one after the other."""
        for name in names:
            self._others[name] = self.stage.begin(self._sending(name))

    def begin_it(self) -> None:
        """Begin the call that is interrupted."""
        if self._interrupt is not None:
            self.it = self.stage.begin(self._sending(IT), self._interrupt)

    def begin_beside(self, name: str, line: Line | None = None) -> Player:
        """Begin a call that need not succeed; from now on the server answers this to all."""
        self.server.line = line
        return self.stage.begin(self._sending(name))

    def _sending(self, name: str) -> Callable[[], int]:
        request = PLAIN.copy()
        request.url, request.hooks = f"{API}/?{name}", {"response": []}
        if name == IT:
            self.request = ref(request)
        requests_left, adapter = [request], self.session.get_adapter(API)
        policy = self._scene.policies.get(name)

        def send() -> int:
            request = requests_left.pop()  # from now on only the call has it
            with nullcontext() if policy is None else override(retry=policy):
                return adapter.send(request).status_code

        return send

    @property
    def served(self) -> dict[str, float]:
        """When each of the others was served, in order."""
        answers = self.server.answers
        return {name: now for name, now, status in answers if status == 200 and name != IT}

    @property
    def results(self) -> set[object]:
        """What others have got."""
        return {player.result for player in self._others.values()}

    def waits_of_new_call(self) -> float:
        """Return how long a call waits that begins after the last cool-down."""
        self.stage.advance(WINDOW + 1.0)
        began = self.stage.monotonic()
        self.begin_beside("new", 200)
        self.stage.run()
        return self.stage.monotonic() - began

    def faults_of_close(self) -> Iterator[str]:
        """Name what is wrong when the session is closed while calls wait."""
        waiting = [self.begin_beside("refused", hint(50)), self.begin_beside("held", 200)]
        if self.stage.waiting != 2:
            yield "a refusal holds back nobody"
        began = self.stage.monotonic()
        self.stage.begin(self.session.close)
        self.stage.run()
        if not all(isinstance(player.result, AuthRetryError) for player in waiting):
            yield f"close() does not end waits: {[player.result for player in waiting]}"
        if self.stage.monotonic() > began:
            yield "close() does not end waits at once"


@dataclass(frozen=True)
class Reference:
    """How others fare if nothing is interrupted.

    Attributes:
        orders: In which orders they are served; empty if any order will do.
        times: When each of them is served at the latest.
        waits: Seconds that a new call waits afterwards, at most.
    """

    orders: Sequence[list[str]]
    times: dict[str, float]
    waits: float

    @classmethod
    def of(cls, scene: type[Scene], runs: Sequence[Run]) -> Reference:
        """Take what others have met in these runs of a scene."""
        served = [run.served for run in runs]
        assert all(run.results == {200} for run in runs)
        return cls(
            orders=[list(each) for each in served if scene.is_ordered],
            times={name: max(each[name] for each in served) + scene.late for name in served[0]},
            waits=max(run.waits_of_new_call() for run in runs),
        )

    def faults(self, run: Run) -> Iterator[str]:
        """Name what an interrupted call has changed for others."""
        if run.it is None or not isinstance(run.it.result, Interrupted):
            yield f"the call ends in {run.it and run.it.result!r}"
        late = [name for name, now in run.served.items() if now > self.times[name]]
        if run.results != {200}:
            yield f"others get {run.results}"
        elif self.orders and list(run.served) not in self.orders:
            yield f"others are served in the order {list(run.served)}"
        if late:
            yield f"{late} are served late: {run.served} and not {self.times}"
        if run.waits_of_new_call() > self.waits:
            yield "a new call waits although the cool-down is over"
        if run.request() is not None:
            gc.collect()
            if run.request() is not None:
                yield "what it sends is kept"
        yield from run.faults_of_close()


class Paced(Scene):
    """A server that lets one request pass in each window, and refuses the first one."""

    refused: frozenset[str] = frozenset()

    def answer(self, name: str, _: float, /) -> Line:
        """Refuse once whoever comes first, and once whom the scene names."""
        fields = {"RateLimit-Policy": f'"p";q=1;w={WINDOW:g}', "RateLimit": f'"p";r=0;t={WINDOW:g}'}
        if self.refused and (name in self.refused or not self.refuses(name)):
            return 200, fields
        self.refused |= {name}
        return 429, {**fields, "Retry-After": f"{WINDOW:g}"}

    def refuses(self, _: str, /) -> bool:
        """Whether a call is refused once, though it is not the first one."""
        return False


class NewCall(Paced):
    """A new call waits for its slot, behind others and before others."""

    def play(self, run: Run) -> None:
        """Begin it between others."""
        run.begin("refused", "before")
        run.begin_it()
        run.begin("after", "last")


class FirstRefusal(Paced):
    """The first call is refused, and others wait for the end of the cool-down that this begins."""

    def play(self, run: Run) -> None:
        """Begin it before all others."""
        run.begin_it()
        run.begin("first", "second", "third")


class AnotherRefusal(Paced):
    """A call that has waited is refused, and goes before new calls then."""

    files = ADMISSION | CALLERS

    def refuses(self, name: str, /) -> bool:
        """Whether it is that call."""
        return name == IT

    def play(self, run: Run) -> None:
        """Begin it between others, shortly before the end of a cool-down."""
        run.begin("refused")
        run.stage.run(until=4.0)
        run.begin("before")
        run.begin_it()
        run.begin("after")


class CoolDown(Scene):
    """A server names the end of a cool-down, and neither a policy nor a window."""

    def answer(self, _: str, now: float, /) -> Line:
        """Refuse until then."""
        return 200 if now >= WINDOW else (429, {"Retry-After": f"{WINDOW - now:g}"})

    def play(self, run: Run) -> None:
        """Begin it between others."""
        run.begin("refused", "before")
        run.begin_it()
        run.begin("after")
        run.stage.run(until=1.0)
        run.begin("later")


class Testing(CoolDown):
    """A first attempt during a cool-down finds out that the limit covers another call alone."""

    is_ordered = False
    late = WINDOW  # there is no other test attempt in this cool-down

    def answer(self, name: str, now: float, /) -> Line:
        """Refuse one call alone."""
        return super().answer(name, now) if name == "refused" else 200

    def play(self, run: Run) -> None:
        """Begin it after the refusal."""
        run.begin("refused")
        run.begin_it()
        run.begin("after")


class TooLate(CoolDown):
    """A longer cool-down begins than the deadline of a waiting call allows."""

    policies: ClassVar = {"slow": ONCE, IT: RetryPolicy(deadline=WINDOW + 1.0)}

    def answer(self, name: str, now: float, /) -> Line:
        """Refuse one call for longer."""
        return hint(2 * WINDOW) if name == "slow" else super().answer(name, now)

    def play(self, run: Run) -> None:
        """Let the answer come that begins the longer one while it waits."""
        run.begin_beside("slow")
        run.begin("refused")
        run.begin_it()
        run.begin("after")


class Outage(Scene):
    """An endpoint is down: one retry probes, and others wait for what it finds."""

    is_ordered = False
    returns_at = 3.0

    def answer(self, _: str, now: float, /) -> Line:
        """Fail until then."""
        return 200 if now >= self.returns_at else 503

    def play(self, run: Run) -> None:
        """Begin it between others, after the failures that make an outage."""
        self.bring_down(run)
        run.begin("before")
        run.begin_it()
        run.begin("after")

    def bring_down(self, run: Run) -> None:
        """Let first attempts fail."""
        adapter = run.session.get_adapter(API)
        with override(retry=ONCE):
            for _ in range(DOWN):
                adapter.send(PLAIN)


class Return(Outage):
    """A first attempt finds that an outage is over, while retries wait for that."""

    returns_at = 2.2

    def play(self, run: Run) -> None:
        """Begin it when the server is back, before the next probe."""
        self.bring_down(run)
        run.begin("before", "after", "last")
        run.stage.run(until=self.returns_at)
        run.begin_it()


class Quota(Scene):
    """Retries cost quota; a call that succeeds after them pays back."""

    sent = 0

    def settings(self, stage: Stage, /) -> dict[str, Any]:
        """Add a quota for ten retries."""
        return {**super().settings(stage), "quota": RetryQuota(capacity=100, transient_cost=10)}

    def answer(self, name: str, _: float, /) -> Line:
        """Let it fail twice."""
        self.sent += name == IT
        return 503 if name == IT and self.sent <= 2 else 200

    def play(self, run: Run) -> None:
        """Begin it, and another one while it waits."""
        run.begin_it()
        run.begin("other")

    def faults_later(self, run: Run, /) -> Iterator[str]:
        """Count the retries that the quota still pays for."""
        before = len(run.server.answers) + 1
        run.begin_beside("fails", 503)
        run.stage.run()
        paid = len(run.server.answers) - before
        if not 10 - self.sent <= paid <= 10:
            yield f"the quota pays for {paid} of 10 retries, after {self.sent} attempts"


class Unhurried(MemoryStore):
    """A store that answers while no call runs, so that each run goes the same way."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._stage = stage

    def push(self, key: str, seconds: float) -> float:
        """Push in the next pause."""
        assert self._stage.pause.wait(PATIENCE)
        return super().push(key, seconds)


class Shared(CoolDown):
    """Cool-downs go into a store, and those of other processes come from there."""

    files = frozenset({str(shared_limits.__file__)})

    def __init__(self, store: Any = None) -> None:
        """Begin with an empty store, or as another process with that one."""
        self._store = store

    def settings(self, stage: Stage, /) -> dict[str, Any]:
        """Add the store."""
        self._store = self._store or Unhurried(stage)
        return {**super().settings(stage), "store": self._store}

    def play(self, run: Run) -> None:
        """Begin it when it is time to look into the store again, and let it be refused."""
        run.stage.has_looks = True
        run.stage.advance(2.0)
        run.begin_it()
        run.begin("after")

    def faults_later(self, run: Run, /) -> Iterator[str]:
        """Let each of two processes be refused, and see whether the other one hears of it."""
        other = Run(Shared(Elsewhere(self._store)), run.stage)
        for refused, held in ((run, other), (other, run)):
            run.stage.advance(3600.0)
            refused.begin_beside("once", (429, {"Retry-After": "50"}))
            held.begin_beside("looks", 200)
            held.begin_beside("once", 503)  # may be sent as the test attempt, and shows nothing
            held.begin_beside("held", 200)
            if not run.stage.waiting:
                hears = "the other process does not hear" if held is other else "it does not hear"
                yield f"{hears} of a cool-down"
            run.stage.run()


class Declared(Scene):
    """The settings allow one request in two seconds, and one attempt at a time."""

    files = ADMISSION | CALLERS
    late = 1.5  # who waits for an attempt looks again after a second if nobody woke it

    def settings(self, stage: Stage, /) -> dict[str, Any]:
        """Add the limits."""
        limits = RateLimits(rates=[Rate(1, per=2.0)], concurrency=1)
        return {**super().settings(stage), "limits": limits}

    def answer(self, _: str, __: float, /) -> Line:
        """Answer all."""
        return 200

    def play(self, run: Run) -> None:
        """Begin it between others, while an attempt is under way."""
        run.begin("slow", "before")
        run.begin_it()
        run.begin("after", "last")


class Crowded(Declared):
    """The settings allow one attempt at a time."""

    def settings(self, stage: Stage, /) -> dict[str, Any]:
        """Add the limit."""
        return {**super().settings(stage), "limits": RateLimits(concurrency=1)}


SCENES = [AnotherRefusal, Testing, TooLate, Outage, Return, Quota, Shared, Declared, Crowded]
MORE_SCENES = [NewCall, FirstRefusal, CoolDown]
"""Scenes whose lines are in the others as well."""


@pytest.fixture(scope="module")
def idle() -> Iterator[list[Player]]:
    """Return threads for all tests of this module."""
    players: list[Player] = []
    yield players
    for player in players:
        player.end()


@pytest.mark.parametrize("scene", SCENES)
def test_an_exception_at_any_line_costs_no_other_call(
    scene: type[Scene], idle: list[Player]
) -> None:
    """Ctrl-C in a call that waits for a cool-down: others are served in order and in time."""
    assert_only_it_is_lost(scene, idle, by_instruction=False)


@pytest.mark.slow
@pytest.mark.uncovered
@pytest.mark.parametrize("scene", SCENES + MORE_SCENES)
def test_an_exception_at_any_instruction_costs_no_other_call(
    scene: type[Scene], idle: list[Player]
) -> None:
    """Ctrl-C between the two steps of ``del line[place], deadlines[waiter]``: as above."""
    with instructions_watched(scene.files):
        assert_only_it_is_lost(scene, idle, by_instruction=True)


def test_an_exception_in_a_wake_leaves_it_usable(idle: list[Player]) -> None:
    """Ctrl-C while a call is woken, falls asleep or wakes up: others wake it, and do not hang."""
    files = {waiting.__file__, threading.__file__, contextlib.__file__}
    counting = Interrupt(files, by_instruction=True)
    with instructions_watched(files):
        Stage(idle).begin(partial(use, Wake()), counting)
        assert counting.moments
        for number, moment in enumerate(counting.moments):
            stage, wake = Stage(idle), Wake()
            it = stage.begin(partial(use, wake), Interrupt(files, number, by_instruction=True))
            assert isinstance(it.result, Interrupted)
            assert stage.begin(partial(use, wake)).result == (True, False, True), moment
            stage.end()


def use(wake: Wake) -> tuple[bool, bool, bool]:
    """Set, clear and set an event; return what a wait says each time."""
    wake.set()
    is_set = wake.wait(0.0)
    wake.clear()
    is_set_again = wake.wait(0.0)
    wake.set()
    return is_set, is_set_again, wake.wait() and wake.is_set()


def assert_only_it_is_lost(scene: type[Scene], idle: list[Player], *, by_instruction: bool) -> None:
    """Interrupt a call at each moment in turn, and assert that others do not notice."""
    counting = Interrupt(scene.files, by_instruction=by_instruction)
    alone, together = played(scene(), idle, None), played(scene(), idle, counting)
    assert counting.moments
    reference = Reference.of(scene, [alone, together])
    faults: list[str] = []
    for number in to_interrupt(counting.moments, by_instruction=by_instruction):
        code, line, offset = counting.moments[number]
        where = f"{Path(code.co_filename).name}, line {line}, instruction {offset}"
        playing = scene()
        run = played(playing, idle, Interrupt(scene.files, number, by_instruction=by_instruction))
        try:
            found = [*reference.faults(run)]
            run.stage.advance(3600.0)
            found += playing.faults_later(run)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
        faults += [f"{where}: {fault}" for fault in found]
        run.stage.end()
    assert not faults, "\n".join(faults[:20])


def played(scene: Scene, idle: list[Player], interrupt: Interrupt | None) -> Run:
    """Play a scene to its end."""
    run = Run(scene, Stage(idle), interrupt)
    scene.play(run)
    run.stage.run()
    return run


def to_interrupt(moments: Sequence[Moment], *, by_instruction: bool) -> list[int]:
    """Return the numbers of the moments: each line or instruction the first and the last time.

    An instruction is left out where an exception at the next one has the same effects.
    """
    places = [(code, offset if by_instruction else line) for code, line, offset in moments]
    last = {place: number for number, place in enumerate(places)}
    first = {place: number for number, place in reversed([*enumerate(places)])}
    chosen = {*first.values(), *last.values()}
    left_out = {
        number
        for number in chosen
        if by_instruction
        and number + 1 in chosen
        and may_be_left_out(moments[number], moments[number + 1])
    }
    return sorted(chosen - left_out)
