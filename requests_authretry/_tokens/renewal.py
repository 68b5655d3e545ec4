"""A renewal under way: a thread that callers wait for, each as long as it can; and its result."""

from __future__ import annotations

import threading
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._core.records import Reason
from .._errors import ConfigurationError, RefreshFailed
from .._events import at_work
from .._override import current
from .._warnings import pointing_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._admission.waiting import Waiter
    from .._core.token import Token
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


Result = Renewed | Reason | Exception
"""A token, why the source declined, or how it failed."""


class Renewal(threading.Event):
    """One renewal under way, in a thread of its own; set when it is over.

    The thread is what lets a caller keep its deadline while the renewal goes on: a refresh token
    that was sent is spent, and its answer must not be lost.

    Args:
        context: What the source is told.
        overdue: When the source counts as hanging, in monotonic seconds.
        is_second: Whether it begins beside one that hangs.
    """

    def __init__(self, context: FetchContext, overdue: float, *, is_second: bool) -> None:
        super().__init__()
        self.context = context
        self.overdue = overdue
        self.is_second = is_second
        self.worker: threading.Thread | None = None
        self.result: Result = NoToken("its renewal was cut off")
        self._waiting: list[Waiter] = []

    @property
    def is_of_this_thread(self) -> bool:
        """Whether this thread works for it, and would wait for itself."""
        return self in _underway.get()

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

    def begin(self, work: Callable[[Renewal], None]) -> Renewal:
        """Start the thread, with the context variables of the caller.

        Raises:
            RuntimeError: There are no more threads, or the program is ending.
        """
        context = copy_context()
        context.run(_underway.set, (*_underway.get(), self))
        context.run(current.set, None)
        context.run(at_work.set, ())
        # A thread that hangs does not keep the program from ending, one that is at work does.
        _thread(self.wait, EXIT_SECONDS, daemon=False)
        try:
            self.worker = _thread(context.run, pointing_here(work), self, daemon=True)
        except RuntimeError:
            self.set()
            raise
        return self


def _thread(work: Callable[..., object], *args: object, daemon: bool) -> threading.Thread:
    name = "requests_authretry renewal"
    thread = threading.Thread(target=work, args=args, name=name, daemon=daemon)
    thread.start()
    return thread


def hand_out(result: Result) -> Token | Reason:
    """Return what a caller gets.

    Raises:
        RefreshFailed: The renewal failed. Each caller gets an exception of its own, as its request
            and its traceback are its own.
    """
    if isinstance(result, Renewed):
        return result.token
    if isinstance(result, Reason):
        return result
    if isinstance(result, RefreshFailed):
        # Without `from`: the frames that the exception went through hold what was sent.
        raise RefreshFailed(*result.args, error=result.error, retry_after=result.retry_after)
    if isinstance(result, (NoToken, ConfigurationError)):
        # Without `from`: their frames hold what the source gave.
        raise RefreshFailed(f"no token from the token source: {result}")
    # The text of foreign exceptions may hold secrets.
    raise RefreshFailed(f"the token source failed with {type(result).__name__}") from result
