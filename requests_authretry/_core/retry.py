"""`decide`: retry or stop. Each row of the rules is one guard; the first that matches wins."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final

from .arguments import checks_arguments
from .backoff import LEAST_PACE, Backoff
from .bounds import LEAST_ATTEMPT
from .classify import Meaning
from .display import ShownByDifference
from .http import (
    ACCEPTED,
    CONFLICT,
    FIRST_ERROR,
    FIRST_SERVER_ERROR,
    IDEMPOTENT_METHODS,
    POLLING_METHODS,
    REQUEST_TIMEOUT,
    SERVER_FAULTS,
    STATUS_CODES,
    TOO_EARLY,
    TOO_MANY_REQUESTS,
    UNPROCESSABLE_CONTENT,
)
from .records import Failure, Outcome, Progress, Reason, Retry, Stop
from .urllib3_retry import inherited
from .validation import collection, flag, gathered, instance, members, refuse, seconds, whole

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .quota import RetryQuota

RETRIED = SERVER_FAULTS | {REQUEST_TIMEOUT, TOO_EARLY, TOO_MANY_REQUESTS}

_RETRIED_MEANINGS: Final = {Meaning.TRANSIENT, Meaning.THROTTLED}


class DefaultDeadline(float):
    """The deadline of a policy that sets none. A user's own is another value, even if it is equal.

    It bounds waits and the start of attempts, and ends no read that makes progress.
    """


LEAST_RETRY_AFTER: Final = 1.0
"""Seconds; below that, the delay is the larger one of ``retry_after`` and the backoff."""

_FAILURES: Final = "the codes of failures, 400 to 599"

_STATUSES: Final = f"{_FAILURES}, and 202"

_SUCCESSES: Final = range(200, FIRST_ERROR)

_BACKOFF_WAY: Final = "write Backoff(initial=0.5, max_delay=20.0)"

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token as RFC 9110 section 5.6.2 defines it."""


@checks_arguments(backoff=Backoff)
@dataclass(frozen=True, kw_only=True, repr=False)
class RetryPolicy(ShownByDifference):
    """When a request is sent again, and how long the whole call may take.

    Immutable and safe to share between threads.

    Attributes:
        max_attempts: Attempts of one call, the first included; 1 switches retries off.
        deadline: Seconds for the whole call: attempts, waits, renewal and redirects. One that is
            set ends each read and write, too, with ``stream=True`` until the response is handed
            out. The default ends waits, and begins no attempt, after 120 s; it ends a connection
            attempt or a read where the caller gave no timeout and 120 s have brought nothing.
        statuses: Status codes that are worth another attempt. By default 408 (idempotent methods
            only), 425, 429, 500, 502, 503, 504, 520 to 524, 529 and 530. A 425 was not processed
            (RFC 8470 section 5.2), so that any method may be sent again. Of the codes below 400
            there may be 202, by which some servers say that a result is not there yet: GET and HEAD
            ask again until the deadline, as after `Verdict.pending`, and other methods never do.
        methods: Methods that may be sent again although the server may have processed the request.
            POST and PATCH are not among them; name them only if the API makes them idempotent.
        backoff: How the delay grows when the server names no time.
        max_retry_after: Seconds; if the server asks for a longer wait, the call ends at once. None:
            the deadline alone decides.
        any_method_on_429: Whether any method may be sent again after a 429, which says that the
            request was refused before it was processed (RFC 6585 section 4).
        not_processed: Status codes by which this API refuses a request before it processes it, so
            that any method is sent again after them, whether or not ``statuses`` has them. A lost
            connection still ends a POST. 425 and 429 need no mention.
        idempotency_key: Whether POST and PATCH get an ``Idempotency-Key``, one for each call,
            unless the caller set one. With a key they may be sent again after any failure. Only for
            APIs that know the header (draft-ietf-httpapi-idempotency-key-header): elsewhere a
            request may be processed twice.
        buffer_bodies: Bytes of a body that are kept, in memory and then on disk, while it is sent,
            so that a body that cannot be wound back can be sent again; 0: no body is kept.

    Raises:
        ConfigurationError: A field cannot work; the error names all faults together.
    """

    max_attempts: int = 4
    deadline: float = DefaultDeadline(120.0)
    statuses: Collection[int] = RETRIED
    methods: Collection[str] = IDEMPOTENT_METHODS
    backoff: Backoff = field(default_factory=Backoff)
    max_retry_after: float | None = None
    any_method_on_429: bool = True
    not_processed: Collection[int] = frozenset()
    idempotency_key: bool = False
    buffer_bodies: int = 0

    def __post_init__(self) -> None:
        """Freeze the collections, refuse values that cannot work, and name all faults together."""
        object.__setattr__(self, "statuses", gathered(self.statuses))
        object.__setattr__(self, "methods", gathered(self.methods))
        object.__setattr__(self, "not_processed", gathered(self.not_processed))
        refuse("RetryPolicy", self._faults())
        object.__setattr__(self, "statuses", frozenset(self.statuses))
        object.__setattr__(self, "not_processed", frozenset(self.not_processed))
        object.__setattr__(self, "methods", frozenset(method.upper() for method in self.methods))

    @classmethod
    def from_urllib3(cls, retry: object, **changes: Any) -> RetryPolicy:
        """Return the policy nearest to an adapter's ``max_retries``.

        The policy keeps the retries, statuses, methods and waits. ``max_attempts`` comes from the
        highest counter that was set, within ``total``. If any method is allowed, ``methods`` has
        all methods with a registered name. The deadline has room for every wait. Some things have
        no counterpart:

        - One counter serves all kinds of failure, and all hops of a redirect.
        - The codes that urllib3 retries only with a ``Retry-After`` (413, 429, 503) are retried
          without one too. The call waits as the header says, even if the `Retry` does not respect
          it. A wait above ``retry_after_max`` ends the call: no request is sent before its time.
        - After the last attempt the answer is handed out (``raise_on_status``).
        - Statuses below 400, ``history``, ``other``, ``remove_headers_on_redirect``, and whatever
          a subclass overrides: its attributes are read, its methods are never called.

        Args:
            retry: An ``urllib3.util.Retry`` of 1.26 or 2, or an int, a bool or None.
            **changes: Fields of the policy that get other values.

        Raises:
            ConfigurationError: ``retry`` is none of these, or a change cannot work.
        """
        return cls(**{**inherited(retry), **changes})

    def _faults(self) -> Iterable[str | None]:
        fault = whole("max_attempts", self.max_attempts, 1)
        yield fault and f"{fault}; the first attempt counts, so that 1 switches retries off"
        deadline: object = self.deadline  # as yet whatever the caller wrote
        fault = seconds("deadline", deadline, positive=True)
        is_none = deadline is None or deadline == inf
        yield f"{fault}; write 86400.0 for a day" if is_none else fault
        yield collection("statuses", self.statuses) or self._statuses_fault()
        yield collection("methods", self.methods) or members(
            "methods", self.methods, _is_method, "method names"
        )
        yield instance("backoff", self.backoff, Backoff, _BACKOFF_WAY)
        yield (
            None
            if self.max_retry_after is None
            else seconds("max_retry_after", self.max_retry_after)
        )
        yield flag("any_method_on_429", self.any_method_on_429)
        yield collection("not_processed", self.not_processed) or members(
            "not_processed", self.not_processed, _is_failure, _FAILURES
        )
        yield flag("idempotency_key", self.idempotency_key)
        yield whole("buffer_bodies", self.buffer_bodies, 0)

    def _statuses_fault(self) -> str | None:
        """Return which of ``statuses`` are none that another attempt can change."""
        fault = members("statuses", self.statuses, _is_status, _STATUSES)
        if fault and any(type(each) is int and each in _SUCCESSES for each in self.statuses):
            fault += "; Settings(classify=...) says what other answers mean"
        return fault


def _is_status(value: object) -> bool:
    """Whether another attempt can do better than an answer with this status."""
    return _is_failure(value) or (value == ACCEPTED and type(value) is int)


def _is_failure(value: object) -> bool:
    """Whether a value is the status code of a failure."""
    if isinstance(value, bool) or not isinstance(value, int) or value not in STATUS_CODES:
        return False
    return value >= FIRST_ERROR


def _is_method(value: object) -> bool:
    return isinstance(value, str) and _METHOD.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class CallFacts:
    """The facts of a call that do not change while it lasts.

    Attributes:
        method: The method, in upper case.
        deadline: When the whole call has to be over, on the monotonic clock.
        policy: The rules of this call.
        quota: What the call's retries may cost.
        has_key: Whether the call carries an Idempotency-Key.
        made_key: Whether the library made that key, for this call.
        is_repeatable: Whether its API is known to let such a request be repeated.
    """

    method: str
    deadline: float
    policy: RetryPolicy
    quota: RetryQuota
    has_key: bool = False
    made_key: bool = False
    is_repeatable: bool = False

    @property
    def may_repeat(self) -> bool:
        """Whether the request may be sent again although the server may have processed it."""
        return self.has_key or self.is_repeatable or self.method in self.policy.methods


def decide(  # noqa: C901, PLR0911 (one guard and one return a row of the rules)
    call: CallFacts, progress: Progress, outcome: Outcome, now: float, fraction: float
) -> Retry | Stop:
    """Decide what to do after an attempt.

    Args:
        call: The facts that do not change while the call lasts.
        progress: Where the call stands.
        outcome: The result of the attempt.
        now: The monotonic clock, in seconds.
        fraction: A random number in [0, 1), for the jitter.

    Returns:
        Retry with its delay, or Stop; each with its reason.
    """
    policy, failure, retry_after = call.policy, outcome.failure, outcome.retry_after
    if outcome.verdict is not None and outcome.verdict.meaning is Meaning.PENDING:
        return _ask_again(call, progress, outcome, now)
    if failure is None and not _is_retried(call, progress, outcome):
        return Stop(Reason.FINAL, retry_after)
    if outcome.should_retry is False:
        return Stop(Reason.VETOED, retry_after)
    if failure is Failure.FATAL:
        return Stop(Reason.FATAL, retry_after)
    if not progress.replayable:
        return Stop(Reason.NOT_REPLAYABLE, retry_after)
    if progress.attempt >= policy.max_attempts:
        return Stop(Reason.ATTEMPTS_EXHAUSTED, retry_after)
    throttled = outcome.throttled
    if not (call.may_repeat or _is_unprocessed(policy, outcome)):
        return Stop(Reason.NOT_IDEMPOTENT, retry_after)
    cost = call.quota.cost(throttled=throttled)
    if cost > progress.quota:
        return Stop(Reason.QUOTA_EXHAUSTED, retry_after)
    delay = retry_after or 0.0
    # Less than a second, as in `Retry-After: 0`, is not worth an attempt each time.
    if delay < LEAST_RETRY_AFTER:
        own = policy.backoff.delay(
            progress.attempt,
            throttled=throttled,
            unreachable=failure is Failure.UNREACHABLE,
            fraction=fraction,
        )
        delay = max(delay, own)
    if _is_too_long(call, delay, retry_after, now):
        return Stop(Reason.WAIT_TOO_LONG, retry_after)
    return Retry(delay, _why(call, progress, outcome), cost, retry_after)


def _ask_again(call: CallFacts, progress: Progress, outcome: Outcome, now: float) -> Retry | Stop:
    """Decide when to ask again for a result that is not there yet.

    Nothing has failed, so that this uses up no attempt and no quota.
    """
    retry_after = outcome.retry_after
    if call.method not in POLLING_METHODS:
        return Stop(Reason.FINAL, retry_after)
    if not progress.replayable:
        return Stop(Reason.NOT_REPLAYABLE, retry_after)
    delay = call.policy.backoff.pace(progress.polls + 1)
    if retry_after:
        delay = max(retry_after, LEAST_PACE)
    if _is_too_long(call, delay, retry_after, now):
        return Stop(Reason.WAIT_TOO_LONG, retry_after)
    return Retry(delay, Reason.PENDING, 0, retry_after)


def _is_too_long(call: CallFacts, delay: float, retry_after: float | None, now: float) -> bool:
    """Whether a wait is longer than the policy allows, or leaves no time for an attempt."""
    patience = call.policy.max_retry_after
    is_impatient = patience is not None and (retry_after or 0.0) > patience
    return is_impatient or now + delay > call.deadline - LEAST_ATTEMPT


def _is_retried(call: CallFacts, progress: Progress, outcome: Outcome) -> bool:
    policy, status = call.policy, outcome.status or 0
    if outcome.verdict is not None:
        return outcome.verdict.meaning in _RETRIED_MEANINGS
    if status == UNPROCESSABLE_CONTENT and _speaks_of_key(call):
        return False
    if outcome.throttled and TOO_MANY_REQUESTS in policy.statuses:
        return True
    is_named = status in policy.statuses or status in policy.not_processed
    is_meant = is_named or outcome.should_retry is True
    return (is_meant and status >= FIRST_ERROR) or _is_running(call, progress, outcome)


def _is_unprocessed(policy: RetryPolicy, outcome: Outcome) -> bool:
    """Whether the server has not processed the request, so that any method may be sent again."""
    if outcome.failure is not None:
        return outcome.failure is Failure.UNREACHABLE
    if outcome.verdict is not None:
        return outcome.verdict.not_processed and (policy.any_method_on_429 or not outcome.throttled)
    # A server that answers 425 took no risk with the request (RFC 8470, 5.2).
    if outcome.status == TOO_EARLY or outcome.status in policy.not_processed:
        return True
    return outcome.throttled and policy.any_method_on_429


def _speaks_of_key(call: CallFacts) -> bool:
    """Whether a 409 or 422 refers to the Idempotency-Key (section 2.7 of its draft)."""
    return call.policy.idempotency_key and call.has_key


def _is_running(call: CallFacts, progress: Progress, outcome: Outcome) -> bool:
    """Whether the server still processes an earlier request with the same key.

    A key that was made for this call is unknown to the server before the first attempt.
    """
    known = progress.attempt > 1 or not call.made_key
    return outcome.status == CONFLICT and known and _speaks_of_key(call)


def _why(call: CallFacts, progress: Progress, outcome: Outcome) -> Reason:
    if outcome.failure is Failure.UNREACHABLE:
        return Reason.UNREACHABLE
    if outcome.failure is Failure.LOST:
        return Reason.LOST
    if _is_running(call, progress, outcome):
        return Reason.STILL_RUNNING
    if outcome.throttled:
        return Reason.THROTTLED
    is_server_error = (outcome.status or 0) >= FIRST_SERVER_ERROR
    return Reason.SERVER_ERROR if is_server_error else Reason.RETRYABLE
