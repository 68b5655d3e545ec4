"""The events that `Settings(listeners=...)` gets, as frozen records.

No event holds a header, a token, a query string or the user part of a URL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from ._warnings import warn_of_async, warn_of_raising

if TYPE_CHECKING:
    from ._core.challenge import StepUp
    from ._core.observed import Action
    from ._core.records import Attempt, Reason, Wait

at_work: ContextVar[tuple[object, ...]] = ContextVar("listeners and log at work", default=())
"""What is told or logs something now, in this thread or task."""


def _is_at_work(who: object) -> bool:
    return any(each is who for each in at_work.get())


@contextmanager
def _working(who: object) -> Iterator[None]:
    reset = at_work.set((*at_work.get(), who))
    try:
        yield
    finally:
        at_work.reset(reset)


if TYPE_CHECKING:
    Adapter = logging.LoggerAdapter[logging.Logger]
else:
    Adapter = logging.LoggerAdapter  # which takes no type before Python 3.11


class _Log(Adapter):
    """The log. Its handlers are the program's: one that raises breaks no call.

    What a handler sends over the network by itself is not logged: that would have no end.
    """

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Leave ``extra`` as it is given."""
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Log a line, unless a handler of the log is at work further up."""
        if self.isEnabledFor(level) and not _is_at_work(self):
            with _working(self), suppress(Exception):
                # The line is of the function that called this one.
                self.logger.log(level, msg, *args, stacklevel=2, **options)


logging.getLogger("requests_authretry").addHandler(logging.NullHandler())
logger = _Log(logging.getLogger("requests_authretry"), {})


@dataclass(frozen=True)
class RetryScheduled:
    """A request will be sent again.

    Attributes:
        method: The request's method.
        url: Its URL without user, query and fragment.
        attempt: The attempt that was just made, counted from 1.
        reason: Why it is sent again.
        delay: Seconds until then.
        retry_after: Seconds the server asked for, None when it named no time.
        status: The status code of the answer, None when none came.
        error: The name of the exception's class, None when an answer came.
        detail: More about the reason, for people: who said what the answer means; "" if nobody did.
    """

    method: str
    url: str
    attempt: int
    reason: Reason
    delay: float
    retry_after: float | None
    status: int | None
    error: str | None
    detail: str = ""


@dataclass(frozen=True)
class GaveUp:
    """A failed request will not be sent again: the caller gets the last answer or exception.

    Attributes:
        method: The request's method.
        url: Its URL without user, query and fragment.
        attempts: How many were made.
        reason: Why no other follows.
        retry_after: Seconds the server asked for, None when it named no time.
        status: The status code of the answer, None when none came.
        error: The name of the exception's class, None when an answer came.
        detail: More about the reason, for people: who said what the answer means; "" if nobody did.
    """

    method: str
    url: str
    attempts: int
    reason: Reason
    retry_after: float | None
    status: int | None
    error: str | None
    detail: str = ""


@dataclass(frozen=True)
class TokenRefreshed:
    """There is a new token: fetched, or found in the store where another process had put it.

    Attributes:
        key: The name the store keeps it under.
        adopted: Whether it was found in the store.
        expires_at: POSIX time in seconds, None when unknown.
    """

    key: str
    adopted: bool
    expires_at: float | None


@dataclass(frozen=True)
class RefreshDeclined:
    """A 401 was handed to the caller, or a 403 that says what the token lacks.

    Attributes:
        method: The request's method.
        url: Its URL without user, query and fragment.
        reason: Why the request was not replayed.
        error: The error code of the challenge, None when it named none.
        step_up: The sign-in that the server demands, None unless ``reason`` is ``STEP_UP``.
        detail: As in `GaveUp`.
    """

    method: str
    url: str
    reason: Reason
    error: str | None = None
    step_up: StepUp | None = None
    detail: str = ""


@dataclass(frozen=True)
class StoreFailed:
    """The store failed: a token, a cool-down, an outage or a pace stays in this process alone.

    Attributes:
        key: The name the store keeps the token under, ``cool-down``, ``outage``, ``slots``,
            ``pace`` or ``declared rate``.
        doing: What failed: ``lock``, ``read``, ``write``, ``push``, ``take``, ``keep`` or
            ``reserve``. A cool-down or an outage is read by a push of 0.0 seconds: that is
            ``read``, too.
        error: The name of the exception's class; ``TimeoutError`` too where the store took more
            than 50 ms for slots or a declared rate.
    """

    key: str
    doing: str
    error: str


@dataclass(frozen=True)
class CoolingDown:
    """A server refused a request: for a while nothing is sent to the scope of its rate limit.

    Attributes:
        origin: The server's origin.
        policy: The server's name of the rate limit, "" where it has none.
        seconds: How long, from now.
        status: The status code of the refusal, None where another process got it, and the store
            passed it on.
        endpoint: The method and path pattern that it closes, as ``GET /users/*``; "" where it
            closes the policy, or the whole origin.
    """

    origin: str
    policy: str
    seconds: float
    status: int | None
    endpoint: str = ""


@dataclass(frozen=True)
class Waiting:
    """A call begins to wait. The next event with the same ``call`` says that the wait is over.

    Attributes:
        call: The number of the call in this process, the same in all its events.
        method: The request's method.
        url: Its URL without user, query and fragment.
        reason: What the call waits for.
        seconds: How long it will wait, as far as is known now; None where nobody knows, as for a
            renewal; 0.0 where its own thread asks the token source. An outage may end early, and a
            rate limit may be extended.
        retry_after: Seconds that a server asked for, and so caused the wait; None if none did.
    """

    call: int
    method: str
    url: str
    reason: Reason
    seconds: float | None
    retry_after: float | None


@dataclass(frozen=True)
class Observed:
    """`Settings(observe=True)`: something that would have been done, and was not.

    Attributes:
        call: The number of the call in this process, the same in all its events.
        method: The request's method.
        url: Its URL without user, query and fragment.
        action: ``"wait"`` before the request was sent; ``"refuse"`` to send it; ``"attach"`` a
            credential; ``"renew"`` the token after a 401, and replay; ``"retry"``; or
            ``"end"`` the call, as it ended.
        text: The same for people.
        reason: Why; None where there is no more to say.
        seconds: How long the call would have waited for it, as far as is known; None for no wait.
        retry_after: Seconds that a server asked for; None if it named no time.
        status: The status code of the answer; None before there was one, and if none came.
        error: The name of the exception's class; None as for ``status``.
    """

    call: int
    method: str
    url: str
    action: Action
    text: str
    reason: Reason | None
    seconds: float | None
    retry_after: float | None
    status: int | None
    error: str | None


@dataclass(frozen=True)
class AttemptEnded:
    """An attempt is over, and what follows is decided.

    Attributes:
        call: The number of the call in this process, the same in all its events.
        attempt: The attempt, as `attempts` reports it; its ``delay`` is not known yet.
    """

    call: int
    attempt: Attempt


@dataclass(frozen=True)
class CallEnded:
    """A call is over: its answer is handed out, or its exception raised.

    A redirect ends no call, as requests or the caller follows it, and neither does a 401 that is
    still to be answered.

    Attributes:
        call: The number of the call in this process, the same in all its events.
        method: The method of its last request.
        url: The URL of its last request, without user, query and fragment.
        attempts: How many were made.
        status: The status code of the answer, None if an exception was raised.
        error: The name of the exception's class, None if an answer was handed out.
        seconds: How long the call took.
        waited: How much of that it waited.
        steps: Every attempt and every wait of the call, in order, as in its `Explanation`.
    """

    call: int
    method: str
    url: str
    attempts: int
    status: int | None
    error: str | None
    seconds: float
    waited: float
    steps: tuple[Attempt | Wait, ...] = field(default=(), repr=False)


Event = (
    RetryScheduled
    | GaveUp
    | TokenRefreshed
    | RefreshDeclined
    | StoreFailed
    | CoolingDown
    | Waiting
    | Observed
    | AttemptEnded
    | CallEnded
)
"""Any event: `match` tells them apart."""

Listener = Callable[[Event], object]
"""A function for `Settings(listeners=...)`; what it returns is ignored."""


def say(line: str, event: Event) -> None:
    """Log a line for people at INFO; machines find the event's fields in ``extra``."""
    if logger.isEnabledFor(logging.INFO):
        fields = {
            f"authretry_{name}": value.name if isinstance(value, Enum) else value
            for name, value in vars(event).items()
        }
        logger.info("%s", line, extra=fields)


def tell(listeners: Iterable[Listener], event: Event) -> None:
    """Log the event and hand it to each listener.

    Of a listener that raises, or is async, the log and a Python warning tell. A listener is told
    nothing of the calls that it makes itself: that would have no end.
    """
    logger.debug("%r", event)
    for listener in listeners:
        if _is_at_work(listener):
            continue
        try:
            with _working(listener):
                returned = listener(event)
            if isinstance(returned, Coroutine):
                returned.close()  # else Python warns of it each time, with words of its own
                warn_of_async(listener)
        except Exception as error:
            name = type(event).__name__
            logger.exception("a listener failed on %s", name)
            warn_of_raising(listener, error, name)
