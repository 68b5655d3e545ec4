"""For tests of code that uses this library: time that passes at once, answers without a network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from random import random
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from requests import Response
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from ._clock import SystemClock
from ._core.arguments import checks_arguments
from ._core.http import STATUS_CODES
from ._core.validation import is_finite, refuse
from ._dialect_server import DialectServer
from ._tokens.families import families

if TYPE_CHECKING:
    from requests import PreparedRequest

__all__ = [
    "DialectServer",
    "FakeClock",
    "ScriptedAdapter",
    "SystemClock",
    "forget_tokens",
    "no_waiting",
]

_PATIENCE = 60.0
"""Real seconds that a fake clock gives a thread that works for the waiting one."""


@checks_arguments()
class FakeClock:
    """A clock that only moves when somebody waits. Safe to use from many threads.

    A wait for a renewal first gives the renewal's own thread real time to end.

    Args:
        now: POSIX time in seconds to begin with.
        random: Draws the numbers in [0, 1) that spread waits; ``lambda: 0.0`` takes jitter away.

    Raises:
        ConfigurationError: An argument cannot work.

    Attributes:
        sleeps: Each wait that was asked for, in seconds.
    """

    def __init__(
        self, now: float = 1_000_000_000.0, *, random: Callable[[], float] = random
    ) -> None:
        start: object = now  # as yet whatever the caller wrote
        draw: object = random
        faults = [
            None if is_finite(start) else f"now must be a finite POSIX time, not {now!r}",
            None if callable(draw) else "random must be a function: write random=lambda: 0.5",
        ]
        refuse("FakeClock", faults)
        self.random = random
        self._began = now
        self._passed = 0.0
        self._lock = Lock()
        self.patience = _PATIENCE
        self.sleeps: list[float] = []

    def __repr__(self) -> str:
        waits = f"{len(self.sleeps)} wait{'' if len(self.sleeps) == 1 else 's'}"
        return f"<{type(self).__name__}: {self._passed:g} s passed, {waits}>"

    def time(self) -> float:
        """Return the POSIX time in seconds."""
        return self._began + self._passed

    def monotonic(self) -> float:
        """Return the seconds since the clock was made."""
        return self._passed

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Move the clock on by so many seconds at once, unless ``wake`` is set."""
        worker = getattr(wake, "worker", None)
        if worker is not None:
            worker.join(self.patience)
        if wake is not None and wake.is_set():
            return
        with self._lock:
            self.sleeps.append(seconds)
            self._passed += seconds

    def advance(self, seconds: float) -> None:
        """Move the clock on although nobody waits."""
        with self._lock:
            self._passed += seconds


class ScriptedAdapter(BaseAdapter):
    """An inner adapter that answers from a list, without a network.

    Args:
        *script: One item for each attempt: a status code, a pair (status code, headers), a triple
            with a body in bytes, or an exception to raise.

    Raises:
        ConfigurationError: A line is none of these.

    Attributes:
        sent: The requests as they were sent, in order.
    """

    def __init__(self, *script: Line) -> None:
        """Begin at the first line."""
        super().__init__()
        refuse("ScriptedAdapter", map(_line_fault, script))
        self._script = deque(script)
        self.sent: list[PreparedRequest] = []
        self.closed: bool = False

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Answer as the next line of the script says.

        Raises:
            AssertionError: The script is over.
        """
        self.sent.append(request)
        if not self._script:
            raise AssertionError(f"{request.method} {request.url}: the script is over")
        line: Any = self._script.popleft()
        if isinstance(line, Exception):
            raise line
        status, headers, body = (line, {}, b"") if isinstance(line, int) else (*line, b"")[:3]
        response = Response()
        response.status_code = status
        response.headers = CaseInsensitiveDict(headers)
        response.raw = BytesIO(body)
        response.url = request.url or ""
        response.request = request
        return response

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.sent)} sent, {len(self._script)} to come>"

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


def _line_fault(line: object) -> str | None:
    status, *others = line if isinstance(line, tuple) and line else (line,)
    is_status = isinstance(status, int) and not isinstance(status, bool) and status in STATUS_CODES
    kinds = (Mapping, bytes)
    fits = is_status and len(others) <= len(kinds) and all(map(isinstance, others, kinds))
    if fits or isinstance(line, Exception):
        return None
    example = "503, (429, {'Retry-After': '1'}), (200, {}, b'body'), requests.ConnectionError()"
    return f"{line!r} is no line of a script: write ScriptedAdapter({example})"


Line = int | tuple[int, Mapping[str, str]] | tuple[int, Mapping[str, str], bytes] | Exception


def forget_tokens() -> None:
    """Forget the tokens that this process keeps where no store is named, as a new process would.

    Equal sources, such as two `RefreshToken` with one first refresh token, use the same tokens
    within a process: call this between tests that begin with the same one. Settings that exist go
    on with the tokens that they have.
    """
    families.forget()


@contextmanager
def no_waiting() -> Iterator[list[float]]:
    """Let every wait on the real clock end at once, in all threads.

    The clock's ``monotonic()`` moves on by the seconds of each wait, and does not go back
    afterwards. Blocks may be nested, and may overlap in several threads: waits take time again
    after the last block.

    Yields:
        The waits that were asked for while this block was active, in seconds.
    """
    waits: list[float] = []
    with _SKIPPED.lock:
        if not _SKIPPED.blocks:
            _SKIPPED.real_sleep = SystemClock.sleep
            SystemClock.sleep = _skip  # type: ignore[assignment, method-assign]
            SystemClock.monotonic = staticmethod(lambda: _REAL_MONOTONIC() + _SKIPPED.seconds)
        _SKIPPED.blocks.append(waits)
    try:
        yield waits
    finally:
        with _SKIPPED.lock:
            # Not remove(): two blocks with the same waits are equal.
            _SKIPPED.blocks = [block for block in _SKIPPED.blocks if block is not waits]
            if not _SKIPPED.blocks:
                SystemClock.sleep = _SKIPPED.real_sleep  # type: ignore[method-assign]
                if not _SKIPPED.seconds:
                    SystemClock.monotonic = staticmethod(_REAL_MONOTONIC)


class _SkippedWaits:
    """What all blocks of ``no_waiting()`` share.

    Attributes:
        blocks: For each active block, its waits.
        seconds: The sum of the waits of all blocks that ever were: no clock goes back.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.real_sleep = SystemClock.sleep
        self.blocks: list[list[float]] = []
        self.seconds = 0.0


_SKIPPED = _SkippedWaits()
_REAL_MONOTONIC = SystemClock.monotonic


def _skip(clock: SystemClock, seconds: float, wake: Event | None = None) -> None:
    """Note a wait instead of waiting, unless a renewal is waited for or ``wake`` is set."""
    if getattr(wake, "worker", None) is not None:
        _SKIPPED.real_sleep(clock, seconds, wake)
    elif wake is None or not wake.is_set():
        with _SKIPPED.lock:
            for waits in _SKIPPED.blocks:
                waits.append(seconds)
            _SKIPPED.seconds += seconds
