"""The listener of ``run --verbose``: the story of each call in trouble, and a summary."""

from __future__ import annotations

import atexit
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from .._call.explanation import Explanation
from .._core.copying import CopiedAsItself
from .._core.http import FIRST_ERROR, FIRST_SERVER_ERROR, TOO_MANY_REQUESTS, UNAUTHORIZED
from .._core.records import Attempt, Reason, seconds_text
from .._events import CallEnded
from .._locks import ForkSafeLock
from ._given import with_listener

if TYPE_CHECKING:
    from .._events import Event
    from .._settings import Settings

_QUIET = {Reason.FINAL, Reason.REDIRECT}
_TROUBLE = {UNAUTHORIZED, TOO_MANY_REQUESTS}


class Summary(NamedTuple):
    """What the calls of a process came to.

    Attributes:
        calls: How many have ended.
        attempts: How many attempts they made.
        waited: Seconds that they waited, all together.
        troubled: How many of them were in trouble.
        failed: How many of those ended in an exception, or in a status from 400 on.
    """

    calls: int = 0
    attempts: int = 0
    waited: float = 0.0
    troubled: int = 0
    failed: int = 0

    def with_call(self, ended: CallEnded) -> Summary:
        """Return the summary with one more call."""
        troubled = is_troubled(ended)
        failed = troubled and (ended.status is None or ended.status >= FIRST_ERROR)
        return Summary(
            self.calls + 1,
            self.attempts + ended.attempts,
            self.waited + ended.waited,
            self.troubled + troubled,
            self.failed + failed,
        )

    def __str__(self) -> str:
        """Return a line for people."""
        if not self.calls:
            return "no call was made"
        line = f"{_counted(self.calls, 'call')}, {_counted(self.attempts, 'attempt')}"
        if self.waited:
            line += f", {seconds_text(self.waited)} waited"
        if not self.troubled:
            return f"{line}; no call was in trouble"
        ended_well = self.troubled - self.failed
        return f"{line}; in trouble: {self.troubled}, of which {ended_well} ended well"


class Storyteller(CopiedAsItself):
    """Tells the story of each call in trouble on standard error. Safe to use from many threads.

    Args:
        observes: Whether the settings observe, so that nothing is changed.
    """

    def __init__(self, *, observes: bool = False) -> None:
        self._summary = Summary()
        self._name = "requests_authretry, only observing" if observes else "requests_authretry"
        self._lock = ForkSafeLock(self._start_anew)

    def __call__(self, event: Event) -> None:
        """Count a call that has ended, and tell of it."""
        if not isinstance(event, CallEnded):
            return
        with self._lock:
            self._summary = self._summary.with_call(event)
        if is_troubled(event):
            _tell(story_of(event))

    def sum_up(self) -> None:
        """Tell what all calls of this process came to."""
        _tell(f"{self._name}: {self._summary}")

    def _start_anew(self) -> None:
        """Count the calls of a child process apart."""
        self._summary = Summary()


def told(settings: Settings) -> Settings:
    """Return settings whose calls are told, and summed up when the process ends."""
    teller = Storyteller(observes=settings.observe)
    atexit.register(teller.sum_up)
    return with_listener(settings, teller)


def is_troubled(ended: CallEnded) -> bool:
    """Whether a call waited, was sent again, or ended as nobody wants it to.

    A 404 alone is no trouble: it is what the caller asked for.
    """
    status = ended.status
    if status is None or status in _TROUBLE or status >= FIRST_SERVER_ERROR or ended.waited:
        return True
    return any(isinstance(s, Attempt) and s.reason not in _QUIET for s in ended.steps)


def story_of(ended: CallEnded) -> str:
    """Return the story of a call, as `explain` tells it."""
    told_of = Explanation(
        steps=ended.steps,
        method=ended.method,
        url=ended.url,
        status=ended.status,
        error=ended.error,
        seconds=ended.seconds,
    )
    return str(told_of)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _tell(text: str) -> None:
    """Write a text at once, so that the stories of two threads do not mix."""
    with suppress(OSError, ValueError, AttributeError):  # it may be closed, or gone
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
