"""The records of one call: the result of each attempt, the decision about it, and the reason."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from .http import SERVER_FAULTS, SERVICE_UNAVAILABLE, TELL_NOTHING_OF_SERVER

if TYPE_CHECKING:
    from .classify import Verdict

CALL: Final = "_authretry_call"
"""Where an answer carries its call, which has its `AttemptLog` as ``log``."""

STORY: Final = "_authretry_story"
"""Where an exception carries its `Story`: it may be pickled, and a call may not."""


def seconds_text(seconds: float) -> str:
    """Return seconds as text for people: three digits, and whole seconds from 1000 on."""
    return f"{seconds:.0f} s" if seconds >= 999.5 else f"{seconds:.3g} s"  # noqa: PLR2004


class Failure(enum.Enum):
    """Why an attempt brought no whole answer."""

    UNREACHABLE = "unreachable"
    """Nothing was sent: the connection was refused or took too long, or there is no such host."""

    LOST = "lost"
    """The request was sent and no whole answer came: the server may have processed it."""

    FATAL = "fatal"
    """Another attempt cannot help: certificate, bad URL, invalid header, or an unknown failure."""


class Reason(enum.Enum):
    """Why the library acted as it did; there is one reason for each row of the rules."""

    # Why an attempt was the last.
    FINAL = "final answer"
    VETOED = "the server said not to retry"
    FATAL = "sending again cannot help"
    NOT_REPLAYABLE = "the body cannot be sent again"
    ATTEMPTS_EXHAUSTED = "all attempts are used up"
    NOT_IDEMPOTENT = "it may have been processed, and the method is not idempotent"
    QUOTA_EXHAUSTED = "the retry quota cannot pay"
    WAIT_TOO_LONG = "no attempt fits before the deadline, or within max_retry_after"
    BLOCK_OVER = "the deadline of the block has passed"
    OUTAGE = "outage: no attempt at its endpoint succeeds, as other calls have shown"
    CLOSED = "the session was closed"
    REDIRECT = "redirect"
    OBSERVED = "only observed"
    # Why there is another attempt.
    THROTTLED = "throttled"
    SERVER_ERROR = "server error"
    RETRYABLE = "retryable status"
    UNREACHABLE = "unreachable"
    LOST = "no whole answer came"
    STILL_RUNNING = "an earlier attempt is still being processed"
    PENDING = "pending"
    # What a call waits for before an attempt.
    BACKOFF = "backoff"
    RETRY_AFTER = "retry_after, as the server asked"
    POLL = "poll, as the result is not there yet"
    COOL_DOWN = "cool-down, as the server refused another call"
    PACING = "pacing, to keep to the rate limit"
    RENEWAL = "renewal of the token"
    SIGN_IN = "sign-in"
    # Why a 401 was answered.
    REFRESHED = "token renewed"
    REPLAYED = "token had been renewed meanwhile"
    NONCE = "the server gave a nonce for the proof"
    CLOCK = "the proof was made again by the server's clock"
    CHALLENGED = "signed for the server's challenge"
    # Why a 401 was handed out.
    REFRESH_FAILED = "the token could not be renewed"
    NO_TOKEN = "the settings have no token"  # noqa: S105 (a sentence)
    OTHER_ORIGIN = "no token was sent"
    OWN_CREDENTIAL = "no token was sent: the request has a credential of its own"
    ANSWERED = "the token was renewed for this call, and refused again"
    OTHER_SCHEME = "the challenge names other schemes"
    INSUFFICIENT_SCOPE = "the token's scope does not suffice"
    INVALID_REQUEST = "the server calls the request invalid"
    STEP_UP = "the server wants a stronger authentication"
    SIGNATURE_REFUSED = "signed for the server's challenge, and refused again"
    PROOF_REFUSED = "the server does not take the proof of the token's key"
    STORM = "tokens are refused as soon as they are renewed"
    UNCHANGED = "there is no other token: the source gave the refused one again"
    SOURCE_DECLINED = "the token source gave no token"


REQUESTS: Final = "requests"
"""The unit of a rate limit unless the server names another one."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a server says is left of one rate limit.

    Attributes:
        remaining: How much may still be used, in the unit of the limit.
        reset: Seconds from now until the server allows more.
        name: The server's name for the policy, with a hash that names its partition if the server
            divides the quota; "" if it gives no name.
        quota: How much the policy allows in a window; None if the server does not say.
        window: Seconds that a window lasts; None if the server does not say.
        unit: What the limit counts: ``requests``, or for instance ``tokens``.
    """

    remaining: float
    reset: float
    name: str = ""
    quota: float | None = None
    window: float | None = None
    unit: str = REQUESTS


def _for_requests(limit: Limit) -> Limit | None:
    """Return what a limit means for requests; None if it says nothing of them.

    How many requests some tokens are good for is unknown, but without any left none may be sent. A
    limit that has some left counts as unused: what was known of an exhausted one is over then.
    """
    if limit.unit == REQUESTS or limit.remaining < 1:
        return limit
    return None if limit.quota is None else replace(limit, remaining=limit.quota)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt.

    Attributes:
        status: The status code, or the one whose place a verdict takes; None if no whole answer
            came.
        failure: Why no whole answer came; None if one came.
        retry_after: Seconds that the server asked us to wait; None if it named no time.
        should_retry: Whether the server says to retry; None if it says nothing about that.
        throttled: Whether the server says that requests come too fast: a 429, or a 403 as GitHub
            sends it.
        limits: What the server says is left of its rate limits.
        is_reset: Whether ``retry_after`` is the reset of such a limit, as no other field named a
            time.
        verdict: What the answer means where its status does not say it; None: the status counts.
        answered: The status code of the answer where a verdict takes its place; None elsewhere.
    """

    status: int | None = None
    failure: Failure | None = None
    retry_after: float | None = None
    should_retry: bool | None = None
    throttled: bool = False
    limits: tuple[Limit, ...] = ()
    is_reset: bool = False
    verdict: Verdict | None = None
    answered: int | None = None

    @property
    def told_name(self) -> str:
        """What a verdict calls the limit; "" where none names one."""
        return (self.verdict.scope or "") if self.verdict is not None else ""

    @property
    def refused_limits(self) -> tuple[Limit, ...]:
        """The limits in the headers that the answer is about.

        Where a verdict says that requests come too fast, only those of which nothing is left: the
        others are not those that were exceeded.
        """
        if self.verdict is None or not self.refuses:
            return self.limits
        return tuple(limit for limit in self.limits if limit.remaining < 1)

    @property
    def limits_to_keep(self) -> tuple[Limit, ...]:
        """The limits that say when to send.

        `Retry-After` takes precedence over the rate limits of the same answer (RateLimit header
        fields draft -11, section 7): a token bucket lets the next request pass long before it is
        full again. Limits that are not exhausted still count, unless the answer refuses its
        request: they are not those that were exceeded then.
        """
        limits = self.limits
        if self.retry_after is not None and not self.is_reset:
            limits = () if self.refuses else tuple(each for each in limits if each.remaining >= 1)
        return tuple(each for each in map(_for_requests, limits) if each is not None)

    @property
    def says_nothing_is_left(self) -> bool:
        """Whether a limit that says when to send is used up."""
        return any(limit.remaining < 1 for limit in self.limits_to_keep)

    @property
    def refuses(self) -> bool:
        """Whether the server wants fewer requests from all callers, not only to refuse this one."""
        return self.throttled or (
            self.status == SERVICE_UNAVAILABLE and self.retry_after is not None
        )

    @property
    def speaks_of_outage(self) -> bool | None:
        """Whether the server is out of order; None if the attempt says nothing about the server."""
        if self.failure is not None:
            return None if self.failure is Failure.FATAL else True
        if self.status in TELL_NOTHING_OF_SERVER:
            return None
        return self.status in SERVER_FAULTS


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a call stands when an attempt is over.

    Attributes:
        attempt: How many attempts of the call count so far, the first one included.
        replayable: Whether the body can be sent again.
        quota: Units that the retry quota of this origin has left.
        polls: How often the call has asked for a result again that was not there yet.
    """

    attempt: int
    replayable: bool
    quota: int
    polls: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """The decision to make another attempt.

    Attributes:
        delay: Seconds to wait first.
        reason: Why there is another attempt.
        cost: Units that this retry takes from the retry quota.
        retry_after: Seconds that the server asked for; None if it named no time.
    """

    delay: float
    reason: Reason
    cost: int
    retry_after: float | None = None

    @property
    def is_as_asked(self) -> bool:
        """Whether the delay is the server's ``retry_after``, and not a longer backoff."""
        return self.delay == self.retry_after


@dataclass(frozen=True, slots=True)
class Stop:
    """The decision to hand out the answer or the failure.

    Attributes:
        reason: Why the call ends.
        retry_after: Seconds that the server asked for; None if it named no time.
        scope: What a rate limit has closed, for people; "" where nothing was asked of one.
    """

    reason: Reason
    retry_after: float | None = None
    scope: str = ""


FINAL = Stop(Reason.FINAL)
"""The decision on an answer that no other rule concerns."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One wait of a call, as `explain` and `Attempt.waits` report it.

    Attributes:
        reason: What the call waited for: ``BACKOFF``, ``RETRY_AFTER``, ``COOL_DOWN``, ``PACING``,
            ``OUTAGE``, ``POLL``, ``RENEWAL`` or ``SIGN_IN``.
        started: Seconds from the start of the call to the start of the wait.
        seconds: How long it really took.
        retry_after: Seconds that a server asked for, and so caused the wait; None if none did.
    """

    reason: Reason
    started: float
    seconds: float
    retry_after: float | None = None

    @property
    def why(self) -> str:
        """The reason, for people."""
        return self.reason.value


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a call, as `attempts` reports it.

    Attributes:
        number: The number of the attempt in its call, from 1; redirects and replays count here.
        url: The URL that the request was sent to, without user, query and fragment.
        status: The status code; None if no whole answer came.
        error: The name of the exception's class; None if an answer came.
        started: Seconds from the start of the call to the start of this attempt.
        elapsed: Seconds from its start until its answer was read or dropped, or until it failed;
            with ``stream=True`` until the answer was handed out. The waits for a renewal after a
            401 are not in it.
        delay: Seconds waited after the attempt: all waits until the next one, or until the end.
        reason: Why there was another attempt, or why this one was the last.
        retry_after: Seconds that the server asked for; None if it named no time.
        method: The request's method.
        waits: The waits before the attempt, after the attempt before it.
        detail: More about the reason, for people; "" if there is no more.
    """

    number: int
    url: str
    status: int | None
    error: str | None
    started: float
    elapsed: float
    delay: float
    reason: Reason
    retry_after: float | None = None
    method: str = ""
    waits: tuple[Wait, ...] = ()
    detail: str = ""

    @property
    def why(self) -> str:
        """The reason with its detail, for people."""
        return f"{self.reason.value}: {self.detail}" if self.detail else self.reason.value
