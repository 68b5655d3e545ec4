"""`Progress`: what a person sees while calls wait, on a terminal, in a notebook and in a file."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import re
import subprocess
import sys
import textwrap
import threading
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from requests_authretry import (
    Attempt,
    AttemptEnded,
    CallEnded,
    Reason,
    Settings,
    TokenRefreshed,
    Waiting,
)
from requests_authretry.progress import Progress
from requests_authretry.testing import FakeClock
from tests.support.renewals import PATIENCE
from tests.support.scripted import scripted

if TYPE_CHECKING:
    from requests_authretry._events import Event

ITEMS = "https://api.example.com/items"
CONTROL = re.compile(r"\x1b\[(\?25[hl]|\d*[A-Z])")


class Terminal(StringIO):
    """A terminal, which obeys the control codes that rich sends.

    Attributes:
        lines: What a person sees now.
        has_cursor: Whether the cursor is to be seen.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""]
        self.has_cursor = True
        self._row = 0
        self._changed = threading.Condition()

    def write(self, text: str) -> int:
        """Show a text."""
        with self._changed:
            for part in re.split(r"(\x1b\[\??\d*[A-Za-z]|\r|\n)", text):
                self._take(part)
            self._changed.notify_all()
        return len(text)

    def _take(self, part: str) -> None:
        match part:
            case "\n":
                self._row += 1
                self.lines += [""] * (self._row + 1 - len(self.lines))
            case "\x1b[1A":
                self._row -= 1
            case "\x1b[2K":
                self.lines[self._row] = ""
            case "\x1b[?25l" | "\x1b[?25h":
                self.has_cursor = part.endswith("h")
            case _ if part.startswith("\x1b"):
                raise AssertionError(part)
            case _:
                self.lines[self._row] += part.removeprefix("\r")

    @property
    def seen(self) -> list[str]:
        """The lines that are not empty."""
        return [line for line in self.lines if line]

    def shows(self, *lines: str) -> bool:
        """Wait until these lines are seen, and no others."""
        with self._changed:
            return self._changed.wait_for(lambda: self.seen == [*lines], PATIENCE)


class Rig:
    """A `Progress` on a terminal that is drawn when the test says so.

    Attributes:
        clock: Its clock.
        terminal: Where it draws.
        progress: The listener.
    """

    def __init__(self, *, is_terminal: bool = True, is_notebook: bool = False) -> None:
        self.clock = FakeClock()
        self.terminal = Terminal()
        console = Console(
            file=self.terminal, force_terminal=is_terminal, force_jupyter=is_notebook, width=80
        )
        self.progress = Progress(console, refresh_per_second=0, clock=self.clock)

    def wait(
        self,
        call: int,
        seconds: float | None,
        reason: Reason = Reason.RETRY_AFTER,
        url: str = ITEMS,
    ) -> None:
        """Tell that a call waits."""
        self.progress(Waiting(call, "GET", url, reason, seconds, seconds))

    def go_on(self, call: int) -> None:
        """Tell that a call has made an attempt after its wait."""
        self.progress(ended(call))

    def after(self, seconds: float) -> list[str]:
        """Return what is seen so many seconds later."""
        self.clock.advance(seconds)
        self.progress.refresh()
        return self.terminal.seen


def ended(call: int) -> AttemptEnded:
    """Return the event about an attempt of a call."""
    return AttemptEnded(call, Attempt(2, ITEMS, 200, None, 23.0, 0.1, 0.0, Reason.FINAL))


@pytest.fixture(autouse=True)
def _a_terminal_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR", "NO_COLOR", "JUPYTER_COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


# A terminal


def test_a_wait_is_a_line_that_counts_down() -> None:
    """A wait of 23 s: a line says so, then 22 s, and it is gone when the call has gone on."""
    rig = Rig()
    rig.wait(1, 23.0)
    assert rig.after(0) == [f"GET {ITEMS} waits 23 s: the server asked for it"]
    assert not rig.terminal.has_cursor
    assert rig.after(1) == [f"GET {ITEMS} waits 22 s: the server asked for it"]
    rig.go_on(1)
    assert rig.after(0) == []
    assert rig.terminal.has_cursor


def test_the_line_is_gone_when_the_time_is_over() -> None:
    """The attempt after the wait may take long: while it is under way no wait is drawn."""
    rig = Rig()
    rig.wait(1, 23.0)
    rig.after(0)
    assert rig.after(22.5) == [f"GET {ITEMS} waits 1 s: the server asked for it"]
    assert rig.after(0.5) == []
    assert rig.terminal.has_cursor


def test_short_waits_are_not_drawn() -> None:
    """A backoff of a second would only flicker; one that is longer is drawn."""
    rig = Rig()
    rig.wait(1, 1.0, Reason.BACKOFF)
    assert rig.after(0) == []
    rig.wait(1, 1.1, Reason.BACKOFF)
    assert rig.after(0) == [f"GET {ITEMS} waits 2 s: before it is sent again"]
    rig.wait(1, 0.5, Reason.PACING)
    assert rig.after(0) == []


def test_a_wait_of_unknown_length_counts_up() -> None:
    """A renewal is drawn from its first full second on, with the seconds so far."""
    rig = Rig()
    rig.wait(1, None, Reason.RENEWAL)
    assert rig.after(0.9) == []
    assert rig.after(0.1) == [f"GET {ITEMS} waits: renewal of the token (1 s so far)"]
    assert rig.after(500) == [f"GET {ITEMS} waits: renewal of the token (501 s so far)"]
    rig.go_on(1)
    assert rig.after(0) == []


def test_a_new_token_ends_the_waits_for_it() -> None:
    """`TokenRefreshed` names no call: the calls that waited for a token are not drawn any more."""
    rig = Rig()
    rig.wait(1, None, Reason.RENEWAL)
    rig.wait(2, None, Reason.SIGN_IN)
    rig.wait(3, 20.0, Reason.COOL_DOWN)
    assert len(rig.after(2)) == 3
    rig.progress(TokenRefreshed("key", adopted=False, expires_at=None))
    assert rig.after(0) == [f"GET {ITEMS} waits 18 s: the server refused another call"]


def test_the_next_wait_of_a_call_takes_the_place_of_the_last() -> None:
    """A cool-down that was extended is a new event of the same call: one line."""
    rig = Rig()
    rig.wait(1, 5.0, Reason.COOL_DOWN)
    rig.after(3)
    rig.wait(1, 30.0, Reason.OUTAGE)
    assert rig.after(1) == [f"GET {ITEMS} waits 29 s: until the server is back"]


def test_many_calls_share_the_display() -> None:
    """Of 17 calls that wait, five are drawn, and the display says that there are 12 more."""
    rig = Rig()
    for call in range(17):
        rig.wait(call, 10.0 + call)
    lines = [f"GET {ITEMS} waits {10 + call} s: the server asked for it" for call in range(17)]
    assert rig.after(0) == [*lines[:5], "and 12 more"]
    for call in range(1, 13):
        rig.go_on(call)
    assert rig.after(0) == [lines[0], *lines[13:]]


def test_a_long_url_stays_on_its_line() -> None:
    """A line that is longer than the terminal is cut, as its end would not be removed."""
    rig = Rig()
    rig.wait(1, 10.0, url=f"{ITEMS}/{'x' * 100}")
    assert rig.after(0) == [f"GET {ITEMS}/{'x' * 45}…"]
    assert rig.after(20) == []


def test_what_a_url_says_is_drawn_as_it_stands() -> None:
    """Square brackets are no markup of rich."""
    rig = Rig()
    rig.wait(1, 10.0, url=f"{ITEMS}/[bold]x[/bold]")
    assert rig.after(0)[0].startswith(f"GET {ITEMS}/[bold]x[/bold] waits 10 s")


def test_a_thread_draws_while_calls_wait() -> None:
    """The line comes and goes although nobody calls `refresh`; then no thread is left."""
    terminal = Terminal()
    console = Console(file=terminal, force_terminal=True, width=80)
    progress = Progress(console, refresh_per_second=1000, clock=FakeClock())
    for _ in range(3):
        progress(Waiting(1, "GET", ITEMS, Reason.RETRY_AFTER, 23.0, 23.0))
        assert terminal.shows(f"GET {ITEMS} waits 23 s: the server asked for it")
        progress(ended(1))
        assert terminal.shows()
    for thread in threading.enumerate():
        if thread.name == "requests_authretry progress":
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert terminal.has_cursor


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_that_fails_harms_no_call(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    """A terminal or pipe that is gone costs its lines alone; when it is back they are drawn."""
    terminal, clock = Terminal(), FakeClock()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(terminal, "isatty", lambda: is_terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", terminal)
    replaced: list[object] = []
    monkeypatch.setattr(os, "dup2", lambda *given: replaced.append(given))
    monkeypatch.setattr(terminal, "fileno", lambda: 1)
    progress = Progress(refresh_per_second=0, clock=clock)
    with monkeypatch.context() as patch:
        patch.setattr(terminal, "write", broken)
        progress(Waiting(1, "GET", ITEMS, Reason.RETRY_AFTER, 10.0, 10.0))
        progress.refresh()
    assert (terminal.seen, replaced) == ([], [])
    progress(Waiting(1, "GET", ITEMS, Reason.RETRY_AFTER, 9.0, 9.0))
    progress.refresh()
    assert terminal.seen == [f"GET {ITEMS} waits 9 s: the server asked for it"]
    monkeypatch.setattr(terminal, "write", broken)
    progress.refresh()
    assert sys.stdout is terminal


def test_a_console_that_ends_the_program_does_not_end_it() -> None:
    """The consoles of rich raise `SystemExit` where their pipe is gone: no call raises it."""

    class Ending(Console):
        def print(self, *_: Any, **__: Any) -> None:
            raise SystemExit

    console = Ending(file=Terminal(), force_terminal=True)
    progress = Progress(console, refresh_per_second=0, clock=FakeClock())
    progress(Waiting(1, "GET", ITEMS, Reason.RETRY_AFTER, 10.0, 10.0))
    progress.refresh()
    progress(ended(1))


def test_what_the_program_prints_stays_where_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a line is drawn, a print into a file goes there, and one to the terminal above it."""
    terminal, file = Terminal(), StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    progress = Progress(refresh_per_second=0, clock=FakeClock())
    progress(Waiting(1, "GET", ITEMS, Reason.RETRY_AFTER, 10.0, 10.0))
    progress.refresh()
    sys.stdout.write("a result\n")
    sys.stderr.write("an error\n")
    line = f"GET {ITEMS} waits 10 s: the server asked for it"
    assert (file.getvalue(), terminal.seen) == ("a result\n", ["an error", line])
    progress(ended(1))
    progress.refresh()
    assert (terminal.seen, sys.stdout, sys.stderr) == (["an error"], file, terminal)


def broken(_: str) -> int:
    """Fail as a terminal that was closed."""
    raise BrokenPipeError


def test_a_listener_that_is_gone_leaves_the_terminal_clean() -> None:
    """The line is removed, and the cursor is back, when nothing refers to the listener."""
    rig = Rig()
    rig.wait(1, 10.0)
    assert len(rig.after(0)) == 1
    del rig.progress
    gc.collect()
    assert (rig.terminal.seen, rig.terminal.has_cursor) == ([], True)


def test_the_page_shows_what_is_drawn() -> None:
    """The two lines of the example are those that a person sees."""
    page = (Path(__file__).parent.parent / "docs" / "waits.md").read_text(encoding="utf-8")
    [example] = re.findall(r"<!-- progress: terminal -->\n```text\n(.*?)```", page, re.DOTALL)
    rig = Rig()
    rig.wait(1, 46.0)
    rig.wait(2, None, Reason.RENEWAL, "https://api.example.com/users")
    assert rig.after(4) == example.splitlines()


def test_a_call_is_drawn_while_it_waits(capsys: pytest.CaptureFixture[str]) -> None:
    """A 429 that asks for 30 s: the line is there when the wait begins, and gone after the call."""
    rig, seen = Rig(), []

    def look(event: Event) -> None:
        seen.append((type(event), rig.after(0)))

    chosen = Settings(listeners=[rig.progress, look], clock=rig.clock)
    session, _ = scripted(chosen, (429, {"Retry-After": "30"}), 200)
    assert session.get(ITEMS).status_code == 200
    [lines] = [lines for kind, lines in seen if kind is Waiting]
    assert lines == [f"GET {ITEMS} waits 30 s: the server asked for it"]
    assert seen[-1] == (CallEnded, [])
    assert rig.clock.sleeps == [30.0]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("is_drawn", [True, False])
def test_a_repl_says_it_only_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, is_drawn: bool
) -> None:
    """A REPL notes a wait of 30 s on standard error, unless `Progress` draws it there."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    rig = Rig()
    chosen = Settings(listeners=[rig.progress] if is_drawn else [], clock=rig.clock)
    scripted(chosen, (429, {"Retry-After": "30"}), 200)[0].get(ITEMS)
    assert ("waits 30 s" in capsys.readouterr().err) is not is_drawn


def test_a_call_that_is_interrupted_is_not_drawn_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during a wait ends the call, and its line with it."""
    rig = Rig()
    chosen = Settings(listeners=[rig.progress], clock=rig.clock)
    session, _ = scripted(chosen, (429, {"Retry-After": "30"}))

    def interrupt(*_: object) -> None:
        assert len(rig.after(0)) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(rig.clock, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        session.get(ITEMS)
    assert rig.after(0) == []


# A notebook


class Display:
    """What a notebook shows below the cell.

    Attributes:
        shown: The HTML, one text for each display.
        plain: The same without HTML.
    """

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.plain: list[str] = []

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        """Add a display."""
        assert raw
        assert display_id
        self.shown.append("")
        self.plain.append("")
        handle = Handle(self, len(self.shown) - 1)
        handle.update(data, raw=True)
        return handle


class Handle:
    """Changes one display."""

    def __init__(self, display: Display, place: int) -> None:
        self._display = display
        self._place = place

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        """Show something else."""
        assert raw
        self._display.shown[self._place] = data["text/html"]
        self._display.plain[self._place] = data["text/plain"]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Display:
    """Stand in for the part of IPython that shows things."""
    found: Any = ModuleType("IPython.display")
    display = Display()
    found.display = display.display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", found)
    return display


def test_a_notebook_gets_a_bar(notebook: Display) -> None:
    """The bar grows with the wait, and is gone with it; the next wait has a display of its own."""
    rig = Rig(is_notebook=True)
    rig.wait(1, 20.0, url=f"{ITEMS}?<b>")
    rig.after(5)
    text = "GET https://api.example.com/items?{} waits 15 s: the server asked for it"
    assert notebook.shown == [
        f'<div><progress value="0.250"></progress> {text.format("&lt;b&gt;")}</div>'
    ]
    assert notebook.plain == [text.format("<b>")]
    rig.go_on(1)
    rig.after(0)
    assert notebook.shown == [""]
    rig.wait(2, None, Reason.RENEWAL)
    rig.after(3)
    text = f"GET {ITEMS} waits: renewal of the token (3 s so far)"
    assert notebook.shown == ["", f"<div><progress></progress> {text}</div>"]
    assert rig.terminal.seen == []


def test_many_calls_share_the_bars(notebook: Display) -> None:
    """Of seven calls that wait, five have a bar."""
    rig = Rig(is_notebook=True)
    for call in range(7):
        rig.wait(call, 10.0)
    rig.after(0)
    assert notebook.shown[0].count("<progress") == 5
    assert notebook.shown[0].endswith("<div>and 2 more</div>")
    assert notebook.plain[0].splitlines()[5:] == ["and 2 more"]


# A file or a pipe


def test_a_file_gets_a_line_for_each_long_wait() -> None:
    """A wait of 23 s is one line, however long it is; waits of 5 s and less are none."""
    rig = Rig(is_terminal=False)
    for call, seconds in enumerate([5.0, 23.0, 1.0]):
        rig.wait(call, seconds, url=f"{ITEMS}/{'x' * 60}")
        rig.after(1)
        rig.go_on(call)
    assert rig.terminal.lines == [
        f"GET {ITEMS}/{'x' * 60} waits 23 s: the server asked for it",
        "",
    ]


def test_a_file_gets_a_line_for_a_long_renewal_when_it_is_over() -> None:
    """Nobody knew that a renewal would take 7 s: the line comes after it. One of 5 s has none."""
    rig = Rig(is_terminal=False)
    rig.wait(1, None, Reason.RENEWAL)
    assert rig.after(5) == []
    rig.wait(1, None, Reason.SIGN_IN)
    assert rig.after(6.5) == []
    rig.go_on(1)
    assert rig.after(0) == [f"GET {ITEMS} waited 7 s: sign-in"]


def test_a_dumb_terminal_is_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """``TERM=dumb`` cannot remove a line: it gets one that stays."""
    monkeypatch.setenv("TERM", "dumb")
    rig = Rig()
    rig.wait(1, 23.0)
    assert rig.after(30) == [f"GET {ITEMS} waits 23 s: the server asked for it"]


# As a part of settings


def test_settings_with_it_can_be_copied_and_pickled() -> None:
    """A copy draws in the same place; a pickle draws on the standard error of its process."""
    rig = Rig()
    settings = Settings(listeners=[rig.progress])
    assert copy.deepcopy(settings).listeners == settings.listeners
    assert copy.copy(rig.progress) is rig.progress
    [loaded] = pickle.loads(pickle.dumps(settings)).listeners  # noqa: S301 (our own)
    assert isinstance(loaded, Progress)
    loaded(ended(1))


def test_without_rich_the_error_says_what_to_install() -> None:
    """An import without the extra fails, and names the command that installs it."""
    code = "import sys; sys.modules['rich.console'] = None; import requests_authretry.progress"
    ran = python("-c", code)
    assert "pip install 'requests-authretry[progress]'" in ran.stderr


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python of its own."""
    return subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_draws_its_own_waits(tmp_path: Path) -> None:
    """After a fork the child has a thread of its own, and no line for the waits of the parent."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys
            from requests_authretry.testing import FakeClock
            from tests.test_progress import ITEMS, Progress, Reason, Terminal, Waiting
            os.environ |= {"TERM": "xterm", "COLUMNS": "80"}
            terminal = sys.stdout = sys.stderr = Terminal()
            terminal.isatty = lambda: True
            progress = Progress(refresh_per_second=1000, clock=FakeClock())
            def wait(call, seconds):
                progress(Waiting(call, "GET", ITEMS, Reason.RETRY_AFTER, seconds, seconds))
                return f"GET {ITEMS} waits {seconds} s: the server asked for it"
            assert terminal.shows(wait(1, 23))
            assert sys.stdout is not terminal
            with terminal._changed:  # as no thread draws just then
                child = os.fork()
            if child:
                os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            terminal.__init__()
            print("printed")
            os._exit(sys.stdout is not terminal or not terminal.shows("printed", wait(2, 42)))
            """
        )
    )
    ran = python("-W", "ignore::DeprecationWarning", str(script))
    assert (ran.returncode, ran.stderr) == (0, "")
