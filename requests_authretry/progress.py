"""The listener that shows people what calls wait for: a line on a terminal, a bar in a notebook.

Needs the extra: ``pip install 'requests-authretry[progress]'``.
"""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from html import escape
from threading import Event as Signal
from threading import Thread
from typing import TYPE_CHECKING, Any
from weakref import finalize

from ._clock import SystemClock
from ._core.copying import CopiedAsItself
from ._core.records import Reason, seconds_text
from ._events import TokenRefreshed, Waiting, logger
from ._locks import ForkSafeLock

try:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text
except ImportError:
    raise ImportError(
        "requests_authretry.progress needs rich: pip install 'requests-authretry[progress]'"
    ) from None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._events import Event
    from ._protocols import Clock

__all__ = ["Progress"]

_SHORT_SECONDS = 1.0
"""A wait that takes no longer is not drawn: it would only flicker."""

_LONG_SECONDS = 5.0
"""A wait that takes longer is worth a line in a file or pipe."""

_MOST_LINES = 5
"""The most waits that are drawn at one time."""

_WHY = {
    Reason.BACKOFF: "before it is sent again",
    Reason.RETRY_AFTER: "the server asked for it",
    Reason.COOL_DOWN: "the server refused another call",
    Reason.PACING: "to keep to the rate limit",
    Reason.OUTAGE: "until the server is back",
    Reason.RENEWAL: "renewal of the token",
    Reason.SIGN_IN: "sign-in",
}


class Progress(CopiedAsItself):
    """Draws the waits of calls, as long as they last: ``Settings(listeners=[Progress()])``.

    On a terminal it draws one line for each call that waits longer than a second, five at most, and
    removes it when the call goes on. In a notebook it draws bars in their place. Into a file or a
    pipe it writes one line for each wait that takes longer than 5 s. It writes to standard error,
    and nothing while no call waits.

    A thread of its own draws, so that no call waits for the terminal. Safe to use from many threads
    and in several settings objects: all their waits are drawn together. A copy in memory is the
    same object. A pickle draws on the standard error of the process that loads it, and a forked
    child on its own, or not at all where a ``console`` was given.

    Attributes:
        shows_waits: True: a REPL or notebook needs no other notice of a long wait.

    Args:
        console: Where to draw; None: standard error. If the program draws with rich too, give its
            console: two consoles on one terminal would draw over each other.
        refresh_per_second: How often the waits are drawn anew. 0: whenever `refresh` is called.
        clock: The clock that the waits are measured with; another one in tests.

    Raises:
        ImportError: When the module is imported: rich is missing.
    """

    shows_waits = True

    def __init__(
        self,
        console: Console | None = None,
        *,
        refresh_per_second: float = 4.0,
        clock: Clock | None = None,
    ) -> None:
        self._rate = refresh_per_second
        self._clock: Clock = SystemClock() if clock is None else clock
        self._waits: dict[int, _Wait] = {}
        self._screen = _Screen(console)
        self._changed = Signal()
        self._is_drawing = False
        self._lock = ForkSafeLock(self._leave_to_parent)
        # Also at the end of the program: the terminal gets its cursor back.
        finalize(self, self._screen.close)

    def __call__(self, event: Event) -> None:
        """Note that a wait begins or is over. The wait is drawn by another thread."""
        number: int | None = getattr(event, "call", None)
        if isinstance(event, Waiting):
            self._begin(_Wait(event, self._clock.monotonic()))
        elif number is not None and number in self._waits:
            self._end([number])
        elif isinstance(event, TokenRefreshed):
            # The calls that waited for it go on, and each tells so only after its next attempt.
            self._end([call for call, wait in list(self._waits.items()) if wait.planned is None])

    def refresh(self) -> None:
        """Draw the waits as they are now; into a file or a pipe nothing is drawn."""
        if self._screen.is_plain:
            return
        now = self._clock.monotonic()
        with self._lock:
            waits = list(self._waits.values())
        self._screen.draw([wait.line(now) for wait in waits if wait.is_worth_a_line(now)])

    def _begin(self, wait: _Wait) -> None:
        number, planned = wait.event.call, wait.planned
        self._end([number])
        if self._screen.is_plain and planned is not None:
            if planned > _LONG_SECONDS:
                self._screen.write(wait.text(f"waits {_rounded(planned)}"))
        elif planned is None or planned > _SHORT_SECONDS:
            with self._lock:
                self._waits[number] = wait
            self._draw_soon()

    def _end(self, calls: Sequence[int]) -> None:
        now = self._clock.monotonic()
        with self._lock:
            ended = [self._waits.pop(call) for call in calls if call in self._waits]
        if not ended:
            return
        if self._screen.is_plain:
            for wait in ended:
                if now - wait.began > _LONG_SECONDS:  # nobody knew before
                    self._screen.write(wait.text(f"waited {_rounded(now - wait.began)}"))
        self._draw_soon()

    def _draw_soon(self) -> None:
        """Have the waits drawn, by a thread that is there or begins now."""
        if self._screen.is_plain or not self._rate:
            return
        self._changed.set()
        with self._lock:
            if self._is_drawing:
                return
            self._is_drawing = True
        try:
            # In the context of the call: a notebook finds the cell of the output in it.
            work, name = copy_context().run, "requests_authretry progress"
            Thread(target=work, args=(self._run,), name=name, daemon=True).start()
        except RuntimeError:  # no more threads, as at the end of the program
            self._is_drawing = False

    def _run(self) -> None:
        """Draw until no call waits."""
        while True:
            self._changed.clear()
            self.refresh()
            now = self._clock.monotonic()
            with self._lock:
                lasting = [wait for wait in self._waits.values() if not wait.is_over(now)]
                # The last drawing was of an empty list only if nothing has changed since.
                if not lasting and not self._changed.is_set() and not self._screen.is_drawn:
                    self._is_drawing = False
                    return
            self._changed.wait(min([1 / self._rate, *(wait.left(now) for wait in lasting)]))

    def _leave_to_parent(self) -> None:
        """Forget the waits and the thread: they are in the parent process, which draws them."""
        self._waits.clear()
        self._is_drawing = False
        self._screen.leave_to_parent()

    def __reduce__(self) -> tuple[partial[Progress], tuple[()]]:
        return partial(type(self), refresh_per_second=self._rate), ()


@dataclass(frozen=True, slots=True)
class _Wait:
    """A wait under way.

    Attributes:
        event: What was told of it.
        began: When that was, in monotonic seconds.
    """

    event: Waiting
    began: float

    @property
    def planned(self) -> float | None:
        """Return how many seconds it will take, None if nobody knows."""
        return self.event.seconds

    def left(self, now: float) -> float:
        """Return how many seconds are left, infinity if nobody knows."""
        return math.inf if self.planned is None else self.began + self.planned - now

    def is_over(self, now: float) -> bool:
        """Whether its time is over: the call goes on, and tells so only after its next attempt."""
        return self.left(now) <= 0.0

    def is_worth_a_line(self, now: float) -> bool:
        """Whether it is drawn: it is known to be long enough, or has been."""
        is_long = self.planned is not None or now - self.began >= _SHORT_SECONDS
        return is_long and not self.is_over(now)

    def text(self, takes: str) -> str:
        """Return the line for it: the request, how long it waits, and why."""
        event = self.event
        return f"{event.method} {event.url} {takes}: {_WHY.get(event.reason, event.reason.value)}"

    def line(self, now: float) -> _Line:
        """Return the line for it as it stands now."""
        passed = now - self.began
        if self.planned is None:
            return _Line(f"{self.text('waits')} ({seconds_text(int(passed))} so far)", None)
        return _Line(self.text(f"waits {_rounded(self.left(now))}"), passed / self.planned)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of what is drawn.

    Attributes:
        text: What it says.
        done: Which part of the wait is over, from 0 to 1; None if nobody knows.
    """

    text: str
    done: float | None


class _Screen:
    """Where waits are drawn: a terminal or a notebook, or else lines in a file. Thread-safe.

    Args:
        console: The console of the program, None for one on standard error.
    """

    def __init__(self, console: Console | None) -> None:
        self._given = console
        self._painter: _Terminal | _Notebook | _Plain | None = None
        self._is_closed = False
        self._lock = ForkSafeLock(reentrant=True)

    @property
    def is_plain(self) -> bool:
        """Whether it is a file or a pipe, where nothing is drawn anew."""
        return isinstance(self._choose(), _Plain)

    @property
    def is_drawn(self) -> bool:
        """Whether anything is to be seen now."""
        return self._painter is not None and self._painter.is_drawn

    def draw(self, lines: Sequence[_Line]) -> None:
        """Draw these lines in place of those before, the first few if there are many."""
        with self._lock:
            if self._is_closed or (self._painter is None and not lines):
                return
            painter = self._choose()
            try:
                if lines:
                    painter.draw(lines[:_MOST_LINES], max(len(lines) - _MOST_LINES, 0))
                else:
                    painter.clear()
            except (Exception, SystemExit):  # noqa: BLE001 (rich exits where a pipe is gone)
                logger.debug("the waits cannot be drawn", exc_info=True)
                with suppress(Exception, SystemExit):
                    painter.clear()  # standard output and error become again what they were
                self._painter = None

    def write(self, text: str) -> None:
        """Write a line that stays."""
        self.draw([_Line(text, None)])

    def close(self) -> None:
        """Remove what is drawn, and draw nothing more."""
        with self._lock:
            self.draw([])
            self._is_closed = True

    def leave_to_parent(self) -> None:
        """Forget what is drawn, and the console, whose lock a thread of the parent may hold.

        A console of the program's own may be in that state for ever: nothing is drawn there.
        """
        if self.is_drawn:
            sys.stdout = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
            sys.stderr = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
        self._painter, self._is_closed = None, self._given is not None

    def _choose(self) -> _Terminal | _Notebook | _Plain:
        """Choose how to draw, once; a program may replace its standard error before that."""
        with self._lock:
            if self._painter is None:
                console = _Console(stderr=True) if self._given is None else self._given
                if console.is_jupyter:
                    self._painter = _Notebook()
                elif console.is_terminal and not console.is_dumb_terminal:
                    self._painter = _Terminal(console)
                else:
                    self._painter = _Plain(console)
            return self._painter


class _Console(Console):
    """A console that takes nothing from the program where its terminal is gone."""

    def on_broken_pipe(self) -> None:
        """Raise the error: rich would close the program's standard output, and end it."""
        raise BrokenPipeError


class _Plain:
    """Writes lines into a file or a pipe."""

    is_drawn = False

    def __init__(self, console: Console) -> None:
        self._console = console

    def draw(self, lines: Sequence[_Line], _: int) -> None:
        """Write the lines below those before."""
        for line in lines:
            print(line.text, file=self._console.file, flush=True)

    def clear(self) -> None:
        """Leave what is written."""


class _Terminal:
    """Draws lines at the bottom of a terminal.

    Attributes:
        is_drawn: Whether lines are to be seen now.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self.is_drawn = False

    def draw(self, lines: Sequence[_Line], more: int) -> None:
        """Draw the lines in place of those before, and say how many more there are."""
        if self._live is None:
            # What other threads print meanwhile goes above the lines, and never into another file.
            live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=_is_terminal(sys.stdout),
                redirect_stderr=_is_terminal(sys.stderr),
            )
            self._live, self.is_drawn = live, True
            live.start()
        texts = [line.text for line in lines] + [f"and {more} more"] * (more > 0)
        group = Group(*(Text(text, no_wrap=True, overflow="ellipsis") for text in texts))
        self._live.update(group, refresh=True)

    def clear(self) -> None:
        """Remove the lines."""
        live, self._live, self.is_drawn = self._live, None, False
        if live is not None:
            live.stop()


class _Notebook:
    """Draws bars below the cell of a notebook.

    Attributes:
        is_drawn: Whether bars are to be seen now.
    """

    def __init__(self) -> None:
        self._handle: Any = None
        self.is_drawn = False

    def draw(self, lines: Sequence[_Line], more: int) -> None:
        """Draw the bars in place of those before, and say how many more there are."""
        rest = [f"and {more} more"] * (more > 0)
        html = [*map(_bar, lines), *(f"<div>{text}</div>" for text in rest)]
        self._show("".join(html), "\n".join([*(line.text for line in lines), *rest]))
        self.is_drawn = True

    def clear(self) -> None:
        """Remove the bars; the next ones stand below the cell that waits then."""
        if self._handle is not None:
            self._show("", "")
        self._handle, self.is_drawn = None, False

    def _show(self, html: str, plain: str) -> None:
        from IPython.display import display

        shown = {"text/html": html, "text/plain": plain}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


def _bar(line: _Line) -> str:
    value = "" if line.done is None else f' value="{line.done:.3f}"'
    return f"<div><progress{value}></progress> {escape(line.text)}</div>"


def _rounded(seconds: float) -> str:
    """Return seconds as text for people, whole ones, as they count down to 1."""
    return seconds_text(math.ceil(seconds))


def _is_terminal(stream: Any) -> bool:
    """Whether a stream, which a program may have replaced by anything, is a terminal."""
    return bool(getattr(stream, "isatty", bool)())
