"""Count the steps that reading a text takes: the same number on every machine."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

if sys.version_info >= (3, 11):
    from re import _parser as parser
else:
    import sre_parse as parser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

RULES = "requests_authretry._core."

MOST_PER_CHARACTER = 500
"""Many times what any reading needs: nobody waits for one whose work grows exponentially."""


def assert_linear(read: Callable[[str], object], short: str, long: str) -> None:
    """Assert that a text eight times as long takes about eight times the work, not 64 times.

    Args:
        read: The function that reads a text.
        short: A text.
        long: A similar text that is eight times as long.
    """
    few = steps(lambda: read(short), MOST_PER_CHARACTER * len(short))
    steps(lambda: read(long), 12 * few + 1000)


def steps(work: Callable[[], object], most: int) -> int:
    """Count the lines of Python that run, and the steps of the patterns of all rules.

    Raises:
        AssertionError: The count exceeds ``most``.
    """
    counter = Counter(most)
    with pytest.MonkeyPatch.context() as patched:
        for module in [sys.modules[name] for name in sys.modules if name.startswith(RULES)]:
            for name, value in list(vars(module).items()):
                if isinstance(value, (re.Pattern, tuple)):
                    patched.setattr(module, name, counting(value, counter))
        with lines_counted(counter):
            work()
    return counter.steps


class Counter:
    """Counts steps up to a bound."""

    def __init__(self, most: int) -> None:
        self.steps = 0
        self._most = most

    def step(self) -> None:
        """Count one more step."""
        self.steps += 1
        assert self.steps <= self._most, f"it takes more than {self._most} steps"


@contextmanager
def lines_counted(counter: Counter) -> Iterator[None]:
    """Count each line that runs outside this file."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename == __file__:
            return None
        if event == "line":
            counter.step()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def counting(value: Any, counter: Counter) -> Any:
    """Return a pattern, or a tuple of patterns, as ones that count; other values unchanged."""
    if isinstance(value, re.Pattern):
        return CountingPattern(value, counter)
    if type(value) is tuple:
        return tuple(counting(each, counter) for each in value)
    return value


@cache
def program(pattern: re.Pattern[str]) -> list[tuple[Any, ...]]:
    """Compile a pattern for the machine, without counting the lines of the compilation."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        return [*compiled(parser.parse(pattern.pattern, pattern.flags)), ("end",)]
    finally:
        sys.settrace(trace)


class CountingPattern:
    """A pattern that counts the steps of a machine that backtracks as `re` does.

    The machine only counts. `re` makes the matches, and the machine has to agree with it.
    """

    def __init__(self, pattern: re.Pattern[str], counter: Counter) -> None:
        self._pattern = pattern
        self._counter = counter

    @property
    def _program(self) -> list[tuple[Any, ...]]:
        return program(self._pattern)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pattern, name)

    def match(self, text: str, start: int = 0) -> re.Match[str] | None:
        """Match as the pattern does, and count."""
        return self._agreed(self._pattern.match, text, start, to_the_end=False)

    def fullmatch(self, text: str, start: int = 0) -> re.Match[str] | None:
        """Match the whole text as the pattern does, and count."""
        return self._agreed(self._pattern.fullmatch, text, start, to_the_end=True)

    def finditer(self, text: str, start: int = 0) -> Iterator[re.Match[str]]:
        """Find as the pattern does, from each place in turn, and count."""
        while start <= len(text):
            found = self.match(text, start)
            if found is not None:
                yield found
            start = start + 1 if found is None else max(found.end(), start + 1)

    def search(self, text: str, start: int = 0) -> re.Match[str] | None:
        """Search as the pattern does, and count."""
        return next(self.finditer(text, start), None)

    def sub(self, replacement: Any, text: str) -> str:
        """Replace as the pattern does, and count."""
        list(self.finditer(text))
        return self._pattern.sub(replacement, text)

    def _agreed(
        self,
        match: Callable[[str, int], re.Match[str] | None],
        text: str,
        start: int,
        *,
        to_the_end: bool,
    ) -> re.Match[str] | None:
        machine = Machine(self._program, text, self._counter)
        end = machine.end(0, start, to_the_end=to_the_end)  # first: this one has a bound
        found = match(text, start)
        assert end == (None if found is None else found.end()), self._pattern
        return found


def compiled(items: Any, at: int = 0) -> list[tuple[Any, ...]]:
    """Return the instructions of a parsed pattern; the first one has this number."""
    program: list[tuple[Any, ...]] = []
    for code, value in items:
        program += instructions(str(code), value, at + len(program))
    return program


def instructions(code: str, value: Any, at: int) -> list[tuple[Any, ...]]:
    """Return the instructions of one item of a parsed pattern."""
    if code in {"LITERAL", "NOT_LITERAL", "ANY", "IN"}:
        return [("one", one(code, value))]
    if code == "SUBPATTERN":
        return compiled(value[-1], at)
    if code == "BRANCH":
        return branches(value[1], at)
    if code == "MAX_REPEAT":
        return repeated(value, at)
    if code in {"ASSERT", "ASSERT_NOT"} and value[0] == 1:
        inner = compiled(value[1], at + 1)
        return [("look", code == "ASSERT", at + len(inner) + 2), *inner, ("end",)]
    if (code, str(value)) == ("AT", "AT_END_STRING"):
        return [("last",)]
    raise NotImplementedError(f"count the steps of {code} too")


def one(code: str, value: Any) -> Callable[[str], bool]:
    """Whether the item matches a character; ANY also matches line feeds."""
    items = value if code == "IN" else [(code, value)]
    ranges = [item if str(kind) == "RANGE" else (item, item) for kind, item in items if item]
    others = str(items[0][0]) in {"NEGATE", "NOT_LITERAL", "ANY"}
    assert {str(kind) for kind, _ in items} <= {"NEGATE", "LITERAL", "NOT_LITERAL", "RANGE", "ANY"}
    return lambda character: others != any(low <= ord(character) <= high for low, high in ranges)


def branches(items: Any, at: int) -> list[tuple[Any, ...]]:
    """Try each item in turn, if the items before it do not lead to the end."""
    first = compiled(items[0], at + 1)
    if len(items) == 1:
        return compiled(items[0], at)
    after = at + 1 + len(first) + 1
    others = branches(items[1:], after)
    return [("split", at + 1, after), *first, ("jump", after + len(others)), *others]


def repeated(value: Any, at: int) -> list[tuple[Any, ...]]:
    """Repeat the items as often as possible, within the bounds."""
    least, most, items = value
    program: list[tuple[Any, ...]] = []
    for _ in range(least):
        program += compiled(items, at + len(program))
    start = at + len(program)
    body = compiled(items, start + 1)
    if most == parser.MAXREPEAT:
        assert items.getwidth()[0], "a repeat of nothing would never end"
        return [*program, ("split", start + 1, start + len(body) + 2), *body, ("jump", start)]
    end = start + (most - least) * (len(body) + 1)
    for _ in range(most - least):
        here = at + len(program)
        program += [("split", here + 1, end), *compiled(items, here + 1)]
    return program


class Machine:
    """Runs programs over a text, and counts each instruction."""

    def __init__(self, program: list[tuple[Any, ...]], text: str, counter: Counter) -> None:
        self._program = program
        self._text = text
        self._counter = counter

    def end(self, first: int, start: int, *, to_the_end: bool = False) -> int | None:
        """Return where a match from ``start`` ends, or None; ``first`` is an instruction."""
        untried = [(first, start)]
        while untried:
            number, place = untried.pop()
            while True:
                self._counter.step()
                name, *values = self._program[number]
                if name == "end" and (not to_the_end or place == len(self._text)):
                    return place
                if name == "split":
                    number, other = values
                    untried.append((other, place))
                elif (after := self._after(number, place)) is not None:
                    number, place = after
                else:
                    break
        return None

    def _after(self, number: int, place: int) -> tuple[int, int] | None:
        """Return the next instruction and place, or None if this way ends."""
        name, *values = self._program[number]
        is_over = place == len(self._text)
        if name == "jump":
            return values[0], place
        if name == "one":
            takes = not is_over and values[0](self._text[place])
            return (number + 1, place + 1) if takes else None
        if name == "last":
            return (number + 1, place) if is_over else None
        if name == "look":
            wanted, after = values
            return (after, place) if wanted == (self.end(number + 1, place) is not None) else None
        return None
