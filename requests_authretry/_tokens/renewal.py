"""A renewal under way: the work that callers wait for, each as long as it can; and its result."""

from __future__ import annotations

import threading
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from .._core.foreign_errors import described
from .._core.records import Reason
from .._core.token import Token
from .._errors import ConfigurationError, RefreshFailed
from .._events import at_work
from .._override import current
from .._terminal import is_at_terminal
from .._threads import started
from .._warnings import pointing_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from .._admission.waiting import Life, Waiter
    from .._protocols import FetchContext

EXIT_SECONDS = 30.0
"""The end of the program waits so long for a renewal at most, so that its answer is not lost."""

_underway: ContextVar[tuple[Renewal, ...]] = ContextVar("renewals under way", default=())
"""The renewals that this very thread or task works for; a source may use several threads."""


def is_renewing() -> bool:
    """Whether this thread or task works for a token source now; contexts outlive renewals."""
    renewals = _underway.get()
    return bool(renewals) and not all(each.is_set() for each in renewals)


class NoToken(Exception):  # noqa: N818 (not an error of its own: a reason within one)
    """What a token source or a store did wrong, in our words."""


class CutOff(NoToken):
    """Why a renewal in the thread of a call came to no end: that call ended. It is no failure."""


class SourceError(Exception):
    """Stands for an exception of a token source, whose text may hold secrets, in chains of causes.

    Its own text has the classes, the HTTP status and the lines of code, see `described`. It holds
    no frames, whose locals a reporter of exceptions would show.

    Attributes:
        summary: What callers are told.
        retry_after: Seconds that the server of the source asked to wait, None if it named none.
    """

    def __init__(self, text: str, summary: str = "", retry_after: float | None = None) -> None:
        super().__init__(text)
        self.summary, self.retry_after = summary, retry_after

    @classmethod
    def of(
        cls, error: Exception, summary: str = "", retry_after: float | None = None
    ) -> SourceError:
        """Return what stands for an exception."""
        text = f"{described(error)}\nIts own text is not shown, as it may hold a secret."
        return cls(text, summary, retry_after)


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a renewal brought.

    Attributes:
        token: The token to use from now on.
        fetched: Whether the source gave it; else it was found in the store.
        is_kept: Whether the store has it.
    """

    token: Token
    fetched: bool = False
    is_kept: bool = True


Failure = NoToken | RefreshFailed | ConfigurationError | SourceError
"""How a source failed; none of these has words of a foreign exception."""

Result = Renewed | Reason | Failure
"""A token, why the source declined, or how it failed."""


def asks_here(source: object, *, interactive: bool | None) -> bool:
    """Whether the thread of a call itself asks the source, and no thread of its own.

    A source may ask a person. In the main thread Ctrl-C ends its question at once, as Python tells
    no other thread of it, and a terminal gets its echo back.

    Args:
        source: A function may ask a person; a source with a ``fetch`` says so: ``may_prompt``.
        interactive: As in the settings.
    """
    is_function = not isinstance(source, Token) and not hasattr(source, "fetch")
    may_prompt = True if is_function else getattr(source, "may_prompt", None)
    if interactive is False or may_prompt is False or isinstance(source, Token):
        return False
    if interactive:
        return True
    is_main = threading.current_thread() is threading.main_thread()
    return may_prompt is True and is_main and is_at_terminal()


class Renewal(threading.Event):
    """One renewal under way, in a thread of its own or in that of a call; set when it is over.

    A thread of its own lets a caller keep its deadline while the renewal goes on: a refresh token
    that was sent is spent, and its answer must not be lost.

    Args:
        context: What the source is told.
        overdue: When the source counts as hanging, in monotonic seconds, in a thread of its own.
        is_second: Whether it begins beside one that hangs.

    Attributes:
        worker: The thread of its own, None without one.
        life: Of the call in whose thread it is done; None in a thread of its own.
        result: What it brought.
        trouble: What the source has done instead of giving a token, for callers that cannot wait
            any longer.
    """

    trouble = "takes longer, or waits for the very session that waits for it"

    def __init__(self, context: FetchContext, overdue: float, *, is_second: bool) -> None:
        super().__init__()
        self.context = context
        self._overdue = overdue
        self.is_second = is_second
        self.life: Life | None = None
        self.worker: threading.Thread | None = None
        self.result: Result = NoToken("its renewal was cut off")
        self._waiting: list[Waiter] = []

    @property
    def is_of_this_thread(self) -> bool:
        """Whether this thread works for it, and would wait for itself."""
        return self in _underway.get()

    def is_overdue(self, now: float) -> bool:
        """Whether it is to be begun once more: its source hangs.

        In the thread of a call it may take as long as a person takes to answer. There it is overdue
        if the call has left it behind: an exception of a signal handler came between two steps.
        """
        return now >= self._overdue if self.life is None else not self.life.is_led()

    def set(self) -> None:
        """Wake all that wait for it."""
        super().set()
        for waiter in tuple(self._waiting):
            waiter.wake.set()

    def let_wait(self, waiter: Waiter, seconds: float, reason: Reason) -> None:
        """Let a call wait until the renewal is over, but no longer than so many seconds."""
        self._waiting.append(waiter)
        if self.is_set():  # it ended before it could see this waiter
            waiter.wake.set()
        waiter.wake.worker = self.worker
        try:
            waiter.sleep_at_most(seconds, reason)
        finally:
            self._waiting.remove(waiter)

    def begin(self, work: Callable[[Renewal], None]) -> bool:
        """Start the thread, with the context variables of the caller.

        Returns:
            Whether there is one; else the caller has to do the work, if it is urgent.
        """
        # A thread that hangs does not keep the program from ending, one that is at work does.
        begin = partial(started, name="requests_authretry renewal")
        if begin(self.wait, EXIT_SECONDS, daemon=False) is not None:
            run = self._context().run
            self.worker = begin(run, pointing_here(work), self)
        return self.worker is not None

    def begin_here(self, work: Callable[[Renewal], None]) -> None:
        """Do the work in this thread; what ends the thread ends the work, and is raised."""
        self._context().run(work, self)

    def _context(self) -> Context:
        context = copy_context()
        context.run(_underway.set, (*_underway.get(), self))
        context.run(current.set, None)
        context.run(at_work.set, ())
        return context


def hand_out(result: Result) -> Token | Reason:
    """Return what a caller gets.

    Raises:
        RefreshFailed: The renewal failed. Each caller gets an exception of its own, as its request
            and its traceback are its own.
    """
    if isinstance(result, Reason):
        return result
    if not isinstance(result, Renewed):
        raise_failure(result)
    return result.token


def raise_failure(result: Failure) -> NoReturn:
    """Raise how a renewal failed, for one caller.

    Raises:
        RefreshFailed: In any case.
    """
    if isinstance(result, RefreshFailed):
        # Without `from`: the frames that the exception went through hold what was sent.
        raise RefreshFailed(*result.args, error=result.error, retry_after=result.retry_after)
    if isinstance(result, SourceError):
        raise RefreshFailed(result.summary, retry_after=result.retry_after) from result
    # Without `from`: their frames hold what the source gave.
    raise RefreshFailed(f"no token from the token source: {result}")
