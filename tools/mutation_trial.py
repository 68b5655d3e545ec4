"""The pytest plugin of ``mutation.py``: it runs the tests on mutants, each in a forked process."""

from __future__ import annotations

import gc
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    TraceFunction = Callable[[FrameType, str, object], Any]

KILLED, TIMEOUT, SURVIVED, NO_TEST = "killed", "timeout", "survived", "no test"

SERVERS = {"_shared_oidc", "oidc_server", "_shared_redis", "own_redis_server", "nginx"}
"""The fixtures that start servers."""

STARTS = {"subprocess.Popen", "os.posix_spawn", "os.system"}
"""What Python's audit calls the start of a program. (A process that is forked has the mutant.)"""

OPTIONS = (
    *("-qq", "--no-header", "--no-summary", "-m", "not slow and not sdk", "--hypothesis-seed=0"),
    *("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"),
    "--capture=sys",  # the default writes into files, which forked processes would share
)

MAX_BYTES = 3 << 30
"""The memory that a process may take: a mutant may add to a list for ever."""

Place = tuple[str, int]
"""A line: its file, and its number."""


class Function(NamedTuple):
    """A function of a module or of a class.

    Attributes:
        name: Its name, after that of its class.
        begins: Its first line, decorators included.
        ends: Its last line.
        defaults: The defaults of its parameters, as expressions.
        named_defaults: The same of those that are given by name only.
    """

    name: str
    begins: int
    ends: int
    defaults: tuple[str, ...]
    named_defaults: dict[str, str]


class Mutant(NamedTuple):
    """A function with one change.

    Attributes:
        file: The path of its module in the project.
        function: The function as it is in the mutant.
        line: The first line that was changed.
        lines: Lines of which a test runs at least one, if it runs what was changed.
        was: The changed lines as they were.
        becomes: The same lines in the mutant; empty where they were removed.
        code: The function's code in the mutant.
        with_defaults: Whether the change is in the defaults.
    """

    file: str
    function: Function
    line: int
    lines: range
    was: str
    becomes: str
    code: CodeType
    with_defaults: bool

    def __str__(self) -> str:
        """Show the place, and the change as a diff of one line."""
        place = f"{self.file}:{self.line} in {self.function.name}"
        return f"{place}\n    - {self.was}\n    + {self.becomes}"


class Reach(NamedTuple):
    """What is known of a test from its run on the unchanged package.

    Attributes:
        seconds: How long it took.
        usable: Whether it passed, and started no program.
        places: The lines of the mutated files that it ran.
        failure: What pytest said, if it failed.
    """

    seconds: float
    usable: bool
    places: frozenset[Place]
    failure: str


Test = tuple[pytest.Item, Reach]


class Trial:
    """Runs each collected test once, then on each mutant those that reach the changed lines.

    Attributes:
        verdicts: What became of the mutants, by their number.
        failures: What the tests said that fail without a mutant; then there are no verdicts.
    """

    def __init__(self, mutants: Sequence[Mutant], tree: Path, workers: int) -> None:
        self.verdicts: dict[int, str] = {}
        self.failures: list[str] = []
        self._mutants = mutants
        self._tree = tree
        self._workers = workers
        self._on_report: Callable[[pytest.TestReport], object] = lambda _report: None

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Leave out the tests that need a server, which skips them when it should start."""
        if fixturedef.argname in SERVERS:
            vars(fixturedef)["func"] = _skip

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hand the report to whoever reads it in this process."""
        self._on_report(report)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's own loop."""
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        kept = self._tree.parent / "reached"
        status = self._wait_for(lambda: self._measure(session.items, kept))
        if status:
            raise session.Failed(f"without a mutant the tests ended with the status {status}")
        reached: list[Reach] = pickle.loads(kept.read_bytes())  # noqa: S301 (our own)
        self.failures = [each.failure for each in reached if each.failure]
        pairs = zip(session.items, reached, strict=True)
        usable = [(item, reach) for item, reach in pairs if reach.usable]
        usable.sort(key=lambda pair: pair[1].seconds)
        seconds = sum(reach.seconds for reach in reached)
        self._say(f"{len(usable)} of {len(reached)} tests are used, {seconds:.0f} s")
        if not self.failures:
            self._check(usable)
        if not self.failures:
            self._try_all(usable)
        return True

    def _measure(self, items: Sequence[pytest.Item], kept: Path) -> None:
        """Run each test on the unchanged package, and keep what each one reaches.

        What a process runs that a test has forked counts as well.
        """
        files = {str(self._tree / mutant.file): mutant.file for mutant in self._mutants}
        places: set[Place] = set()
        started: list[str] = []
        reports: list[pytest.TestReport] = []
        reached: list[Reach] = []
        process, in_children = os.getpid(), kept.with_name("reached in children")
        in_children.touch()
        log = os.open(in_children, os.O_WRONLY | os.O_APPEND)

        def trace(frame: FrameType, _event: str, _argument: object) -> TraceFunction | None:
            file = files.get(frame.f_code.co_filename)
            if not file:
                return None
            place = file, frame.f_lineno
            if place not in places:
                places.add(place)
                if os.getpid() != process:  # a test has forked
                    os.write(log, f"{file}:{frame.f_lineno}\n".encode())
            return trace

        sys.addaudithook(lambda event, _: started.append(event) if event in STARTS else None)
        threading.settrace(trace)
        self._on_report = reports.append
        for item, following in zip(items, [*items[1:], None], strict=True):
            for each in (places, started, reports):
                each.clear()
            os.truncate(log, 0)
            sys.settrace(trace)  # again for each test: some of them set their own
            began = time.perf_counter()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            seconds = time.perf_counter() - began
            usable = all(report.passed for report in reports) and not started
            failure = next((f"{r.nodeid}\n{r.longreprtext}" for r in reports if r.failed), "")
            for line in in_children.read_text(encoding="utf-8").splitlines():
                file, _, number = line.rpartition(":")
                places.add((file, int(number)))
            reached.append(Reach(seconds, usable, frozenset(places), failure))
        sys.settrace(None)
        kept.write_bytes(pickle.dumps(reached))

    def _check(self, tests: Sequence[Test]) -> None:
        """Make sure that the tests pass in this order, and in their time, without a mutant."""
        kept = self._tree.parent / "failure"
        kept.write_text("one took ten times as long as before", encoding="utf-8")

        def keep(report: pytest.TestReport) -> None:
            if report.failed:
                kept.write_text(f"{report.nodeid}\n{report.longreprtext}", encoding="utf-8")
                os._exit(1)

        if self._wait_for(lambda: self._run(tests, keep)):
            self.failures.append(kept.read_text(encoding="utf-8"))

    def _try_all(self, tests: Sequence[Test]) -> None:
        """Give each mutant its verdict."""
        functions = _functions()
        waiting = list(enumerate(self._mutants))[::-1]
        running: dict[int, tuple[int, Path]] = {}
        began = time.monotonic()
        try:
            while waiting or running:
                if waiting and len(running) < self._workers:
                    number, mutant = waiting.pop()
                    changed = functions[str(self._tree / mutant.file), mutant.function.begins]
                    places = {(mutant.file, line) for line in mutant.lines}
                    chosen = [each for each in tests if not places.isdisjoint(each[1].places)]
                    if changed and chosen:
                        child, folder = self._fork(partial(self._try, mutant, changed, chosen))
                        running[child] = number, folder
                    else:
                        self.verdicts[number] = NO_TEST
                    continue
                child, status = os.wait()
                number, folder = running.pop(child)
                _end(child, folder)
                by_code = {0: SURVIVED, -signal.SIGALRM: TIMEOUT}
                self.verdicts[number] = by_code.get(os.waitstatus_to_exitcode(status), KILLED)
                if len(self.verdicts) % 100 == 0:
                    seconds = time.monotonic() - began
                    self._say(f"{len(self.verdicts)} of {len(self._mutants)}: {seconds:.0f} s")
        finally:
            for child, (_, folder) in running.items():
                _end(child, folder)

    def _try(
        self, mutant: Mutant, functions: Sequence[FunctionType], tests: Sequence[Test]
    ) -> None:
        """Change the function, and run the tests; the first that fails ends this process."""
        for each in functions:
            # A change that takes super() away takes the variable of the class away, too.
            each.__code__ = mutant.code.replace(co_freevars=each.__code__.co_freevars)
            if mutant.with_defaults:
                new, known = mutant.function, each.__globals__
                each.__defaults__ = tuple(eval(text, known) for text in new.defaults)  # noqa: S307 (our own code)
                named = new.named_defaults.items()
                each.__kwdefaults__ = {name: eval(text, known) for name, text in named}  # noqa: S307 (our own code)
        self._run(tests, lambda report: os._exit(1) if report.failed else None)

    def _run(self, tests: Sequence[Test], on_report: Callable[[pytest.TestReport], object]) -> None:
        """Run tests; one that hangs ends this process."""
        self._on_report = on_report
        following = [*(item for item, _ in tests[1:]), None]
        for (item, reach), after in zip(tests, following, strict=True):
            # Nobody handles the signal: it ends the process even while that waits for a lock.
            signal.setitimer(signal.ITIMER_REAL, 5.0 + 10.0 * reach.seconds)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)

    def _wait_for(self, work: Callable[[], None]) -> int:
        """Do the work in a process, and return its status."""
        child, folder = self._fork(work)
        _, status = os.waitpid(child, 0)
        _end(child, folder)
        return os.waitstatus_to_exitcode(status)

    def _fork(self, work: Callable[[], None]) -> tuple[int, Path]:
        """Start a process that does the work and ends with 0; give it a folder of its own."""
        folder = Path(tempfile.mkdtemp(dir=self._tree.parent))
        child = os.fork()
        if child:
            return child, folder
        code = 1
        try:
            os.setpgid(0, 0)
            silence = os.open(os.devnull, os.O_RDWR)
            for each in range(3):
                os.dup2(silence, each)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, MAX_BYTES))
            tempfile.tempdir = str(folder)
            os.environ.update(TMPDIR=str(folder), PYTEST_DEBUG_TEMPROOT=str(folder))
            work()
            code = 0
        finally:
            os._exit(code)

    @staticmethod
    def _say(line: str) -> None:
        print(line, file=sys.__stdout__, flush=True)


def _skip(**_: object) -> None:
    pytest.skip("needs a server")


def _functions() -> defaultdict[Place, list[FunctionType]]:
    """Find all functions that there are."""
    found: defaultdict[Place, list[FunctionType]] = defaultdict(list)
    gc.unfreeze()  # tests/conftest.py has frozen them, which hides them
    for each in gc.get_objects():
        if isinstance(each, FunctionType):
            found[each.__code__.co_filename, each.__code__.co_firstlineno].append(each)
    gc.freeze()
    return found


def _end(child: int, folder: Path) -> None:
    """End a process with all that it started, and remove its folder."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def try_all(mutants: Sequence[Mutant], tree: Path, tests: Sequence[str], workers: int) -> list[str]:
    """Return the verdict on each mutant; exit if tests fail without any."""
    os.environ.pop("CI", None)  # tests that are left out are no fault here
    os.environ["PYTHONPATH"] = str(tree)
    sys.path.insert(0, str(tree))
    trial = Trial(mutants, tree, workers)
    status = pytest.main([*OPTIONS, "--rootdir", str(tree), *tests], plugins=[trial])
    if trial.failures:
        sys.exit("\n\n".join(["without a mutant these tests fail:", *trial.failures[:3]]))
    if len(trial.verdicts) < len(mutants):
        sys.exit(f"pytest ended with {status}")
    return [trial.verdicts[number] for number in range(len(mutants))]
