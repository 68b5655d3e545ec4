"""Threads that run one at a time, and an exception at any moment of one of them, as of Ctrl-C."""

from __future__ import annotations

import dis
import sys
import traceback
from contextlib import contextmanager
from functools import cache
from inspect import unwrap
from itertools import pairwise
from math import inf
from threading import Event, Lock, Thread, get_ident, local
from types import CodeType
from typing import TYPE_CHECKING, Any

from requests_authretry.testing import FakeClock
from tests.support.limits import PATIENCE, looks_end

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from types import FrameType

    Moment = tuple[CodeType, int, int]
    """A function, a line, and the offset of an instruction."""

_CALLS_OF_EXIT = {("CALL", 2), ("CALL_FUNCTION", 3)}
_NONES = (["LOAD_CONST"] * 3, ["LOAD_CONST", "DUP_TOP", "DUP_TOP"])
_NOTE_EXCEPTIONS = {"PUSH_EXC_INFO", "POP_EXCEPT"}
_BEFORE_NONES = {"NOP", "SWAP", "ROT_TWO"}
_READS = (
    *("LOAD_", "COPY", "SWAP", "DUP_TOP", "ROT_", "PUSH_NULL", "PRECALL", "KW_NAMES", "NOP"),
    *("RESUME", "EXTENDED_ARG", "BUILD_TUPLE", "COMPARE_OP", "CONTAINS_OP", "IS_OP", "UNARY_NOT"),
    *("TO_BOOL", "POP_JUMP_", "JUMP_IF_", "JUMP_FORWARD"),
)
"""How the names of instructions begin that change nothing but the function's own stack."""


class Interrupted(BaseException):
    """What a signal handler raises, as Python's own raises `KeyboardInterrupt`."""


class Interrupt:
    """Raises `Interrupted` at one moment of a thread, or only counts the moments.

    A moment is the start of a line, or of an instruction, in one of some files, unless CPython runs
    no signal handler there: see `never_interrupted`.

    Args:
        files: Names of the files.
        at: The number of the moment, from 0; None: never.
        by_instruction: Whether each instruction is a moment, and not each line. This works inside
            `instructions_watched` alone.

    Attributes:
        moments: The moments that were passed.
    """

    def __init__(
        self, files: Collection[str], at: int | None = None, *, by_instruction: bool
    ) -> None:
        self._files, self._at, self._by_instruction = files, at, by_instruction
        self._event = "opcode" if by_instruction else "line"
        self.moments: list[Moment] = []

    def watch(self) -> None:
        """Watch this thread from now on."""
        if self._by_instruction and _monitoring is not None:
            _watched[get_ident()] = self
        else:
            sys.settrace(self._trace)

    def _trace(self, frame: FrameType, _: str, __: object) -> Any:
        """Trace a function if it stands in one of the files."""
        code, event = frame.f_code, self._event
        if code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes = self._by_instruction

        def trace(frame: FrameType, kind: str, _: object) -> Any:
            if kind == event:
                self.pass_moment(code, frame.f_lasti, frame.f_lineno)
            return trace

        return trace

    def pass_moment(self, code: CodeType, offset: int, line: int | None) -> None:
        """Come to an instruction; one that belongs to no line ends a generator.

        Raises:
            Interrupted: This is the moment.
        """
        if line is not None and offset not in never_interrupted(code):
            number = len(self.moments)
            self.moments.append((code, line, offset))
            if number == self._at:
                raise Interrupted


_monitoring: Any = getattr(sys, "monitoring", None)
"""What is used in place of a trace function from Python 3.12 on, which loses instructions there."""

_TOOL = 4
_watched: dict[int, Interrupt] = {}
"""The threads whose instructions are watched."""


@contextmanager
def instructions_watched(files: Collection[str]) -> Iterator[None]:
    """Let each `Interrupt` see the instructions of these files during the block."""
    if _monitoring is None:
        yield
        return
    codes = [code for module in list(sys.modules.values()) for code in _codes(module, files)]
    event = _monitoring.events.INSTRUCTION
    _monitoring.use_tool_id(_TOOL, "interrupts")
    _monitoring.register_callback(_TOOL, event, _on_instruction)
    for code in codes:
        _monitoring.set_local_events(_TOOL, code, event)
    try:
        yield
    finally:
        for code in codes:
            _monitoring.set_local_events(_TOOL, code, 0)
        _monitoring.register_callback(_TOOL, event, None)
        _monitoring.free_tool_id(_TOOL)


def _on_instruction(code: CodeType, offset: int) -> None:
    interrupt = _watched.get(get_ident())
    if interrupt is not None:
        interrupt.pass_moment(code, offset, _lines(code).get(offset))


@cache
def _lines(code: CodeType) -> dict[int, int]:
    """Return the line of each instruction."""
    lines = ((range(start, end, 2), line) for start, end, line in code.co_lines() if line)
    return {offset: line for offsets, line in lines for offset in offsets}


def _codes(module: Any, files: Collection[str]) -> Iterator[CodeType]:
    """Give the code of all functions of a module, if it stands in one of the files."""
    if getattr(module, "__file__", None) not in files:
        return
    things = [*vars(module).values()]
    things += [each for thing in things if isinstance(thing, type) for each in vars(thing).values()]
    for thing in things:
        for function in (thing, *(getattr(thing, name, None) for name in ("fget", "__func__"))):
            code = getattr(unwrap(function) if callable(function) else function, "__code__", None)
            if code is not None and code.co_filename in files:
                yield from _with_inner(code)


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


@cache
def never_interrupted(code: CodeType) -> frozenset[int]:
    """Return the instructions before which CPython runs no signal handler, and nobody could cope.

    A trace function may raise there all the same. These are the instructions from the end of a
    ``with`` block to the call of ``__exit__``, and those that note and forget an exception.
    """
    every = list(dis.get_instructions(code))
    instructions = [each for each in every if each.opname not in {"PRECALL", "CACHE"}]
    ends = {each.offset for each in every if each.opname in _NOTE_EXCEPTIONS}
    for number, call in enumerate(instructions):
        nones = instructions[max(number - 3, 0) : number]
        gives_none = [each.opname for each in nones] in _NONES and nones[0].argval is None
        if (call.opname, call.arg) in _CALLS_OF_EXIT and gives_none:
            begin = number - 3
            while instructions[begin - 1].opname in _BEFORE_NONES:
                begin -= 1
            first = instructions[begin].offset
            ends |= {each.offset for each in every if first <= each.offset <= call.offset}
    return frozenset(ends)


def may_be_left_out(moment: Moment, following: Moment) -> bool:
    """Whether an exception at this moment has the effects of one at the moment after it.

    So it is where the instruction in between only reads, and one handler catches both exceptions.
    """
    code, _, offset = moment
    return following[0] is code and following[2] in _after_reads(code).get(offset, ())


@cache
def _after_reads(code: CodeType) -> dict[int, set[int]]:
    """Return the offsets of what may come after each instruction that only reads."""
    found: dict[int, set[int]] = {}
    for each, following in pairwise(dis.get_instructions(code)):
        if each.opname.startswith(_READS):
            jumps = each.opcode in dis.hasjrel or each.opcode in dis.hasjabs
            after = {following.offset, each.argval} if jumps else {following.offset}
            handler = _handler(code, each.offset)
            found[each.offset] = {to for to in after if _handler(code, to) == handler}
    return found


def _handler(code: CodeType, offset: int) -> object:
    """Return what catches an exception of an instruction; before 3.11, no read changes that."""
    ranges = getattr(dis.Bytecode(code), "exception_entries", ())
    return next((each for each in ranges if each.start <= offset < each.end), None)


class Player:
    """A thread that does one piece of work after another, each when it is told to go on.

    Attributes:
        due: When its wait is over.
        wake: What ends its wait early.
        result: What its work has returned or raised.
    """

    due = 0.0
    wake: Event | None = None
    result: Any = None

    def __init__(self) -> None:
        """Wait for work."""
        self._work: Callable[[], object] | None = None
        self._interrupt: Interrupt | None = None
        self._go, self._back = Lock(), Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def begin(self, work: Callable[[], object], interrupt: Interrupt | None) -> None:
        """Work until the work waits or ends."""
        self._work, self._interrupt, self.result = work, interrupt, None
        self.go_on()

    def go_on(self) -> None:
        """Let it work until it waits or ends.

        Raises:
            AssertionError: It does neither.
        """
        self._go.release()
        if not self._back.acquire(timeout=PATIENCE):
            frame = sys._current_frames()[self._thread.ident or 0]  # noqa: SLF001 (its only name)
            where = "".join(traceback.format_stack(frame, 4))
            raise AssertionError(f"a call hangs, because a lock stayed held:\n{where}")

    def rest(self) -> None:
        """Hand over, and wait until it may go on."""
        self._back.release()
        self._go.acquire()

    def end(self) -> None:
        """End the thread."""
        self._work = None
        self._go.release()
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        _here.player = self
        self._go.acquire()
        while self._work is not None:
            self.result = self._done(self._work)
            self.rest()

    def _done(self, work: Callable[[], object]) -> object:
        before = sys.gettrace()
        try:
            if self._interrupt is not None:
                self._interrupt.watch()
            return work()
        except BaseException as error:  # noqa: BLE001 (handed on)
            # With its traceback it would keep all that the call knew.
            error.__context__ = error.__cause__ = None
            return error.with_traceback(None)
        finally:
            sys.settrace(before)
            _watched.pop(get_ident(), None)


_here = local()
"""The player whose thread asks."""


class Over(BaseException):
    """Ends the threads that wait when a stage is left."""


class Stage(FakeClock):
    """A clock whose threads run one at a time, in one order: each until it waits or ends.

    Args:
        idle: Players without work, and room for those that are done.

    Attributes:
        has_looks: Whether threads look into a store.
        pause: Is set while no player runs. Then threads that look into a store do their work.
    """

    def __init__(self, idle: list[Player]) -> None:
        super().__init__(random=lambda: 0.5)
        self.has_looks = False
        self.pause = Event()
        self._idle, self._players = idle, list[Player]()
        self._asleep: list[Player] = []
        self._is_over = False

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._asleep)

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Let others run until the time has come."""
        player: Player = _here.player
        self.sleeps.append(seconds)
        player.due, player.wake = self.monotonic() + seconds, wake
        self._asleep.append(player)
        player.rest()
        if self._is_over:
            raise Over

    def begin(self, work: Callable[[], object], interrupt: Interrupt | None = None) -> Player:
        """Run this in a thread of its own until it waits or ends."""
        player = self._idle.pop() if self._idle else Player()
        self._players.append(player)
        self._let(player.begin, work, interrupt)
        return player

    def run(self, until: float = inf) -> None:
        """Let time pass until nobody waits, or up to that time."""
        while self._asleep:
            woken = (each for each in self._asleep if each.wake is not None and each.wake.is_set())
            player = next(woken, None)
            if player is None:
                player = min(self._asleep, key=lambda each: each.due)
                if player.due > until:
                    break
                self.advance(max(player.due - self.monotonic(), 0.0))
            self._asleep.remove(player)
            self._let(player.go_on)
        if until < inf:
            self.advance(max(until - self.monotonic(), 0.0))

    def _let(self, go_on: Callable[..., None], *arguments: object) -> None:
        self.pause.clear()
        go_on(*arguments)
        self.pause.set()
        if self.has_looks:
            looks_end()

    def end(self) -> None:
        """End the threads that wait, and hand back the players."""
        self._is_over = True
        while self._asleep:
            self._asleep.pop().go_on()
        self._idle += self._players
        self._players.clear()
