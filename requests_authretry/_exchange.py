"""The state of one call, over attempts, replays and redirects."""

from __future__ import annotations

import random
from threading import get_ident
from typing import TYPE_CHECKING, Any, cast

from ._bodies import rewound
from ._core.origin import Origin, redacted
from ._core.outcome import Attempt, Outcome, Progress, Reason, Retry, Stop
from ._core.policy import Call, decide
from ._outgoing import Cookies, has_own_authorization, signed, with_token

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from ._core.token import Token
    from ._runtime import Runtime


class Exchange:
    """One call. Used by one thread.

    It travels with redirects in the dictionary of the request's hooks, which requests hands on
    to each hop. It stands there under the number of its thread, because threads may send one
    prepared request at the same time.

    Attributes:
        runtime: What this call shares with others.
        began: When the call began, in monotonic seconds.
        deadline: When it has to be over.
        retries: Retries so far; replays and redirects are none.
        answered: Whether a 401 of this call was answered.
        sent: The token that the last attempt carried, None when it carried none of ours.
        started: When the last attempt began.
        elapsed: Seconds until its headers had come, or its failure.
        url: Where it went.
        status: What came, until it is written down.
        error: The name of the exception's class, until it is written down.
        record: The attempts that are written down.
        cookies: What failed attempts have set.
        hops_from: The identity of the request that a redirect came for.
    """

    # Defaults on the class: most calls end well, and never set these.
    elapsed = 0.0
    retries = 0
    answered = False
    sent: Token | None = None
    record: tuple[Attempt, ...] = ()
    cookies: Cookies | None = None
    url: str | None = None
    status: int | None = None
    error: str | None = None
    _last_cost: int | None = None
    hops_from: int | None = None

    def __init__(self, runtime: Runtime) -> None:
        """Begin a call now."""
        self.runtime = runtime
        self.began = self.started = runtime.clock.monotonic()
        self.deadline = self.began + runtime.settings.retry.deadline

    @classmethod
    def of(cls, request: PreparedRequest, runtime: Runtime) -> Exchange:
        """The exchange that this request continues, else a new one."""
        going_on: Exchange | None = _hooks(request).pop(get_ident(), None)
        # Once more the same request object is another call; a redirect makes a new object.
        if not going_on or going_on.hops_from == id(request):
            return cls(runtime)
        going_on.runtime = runtime
        going_on.begin()
        return going_on

    def goes_on(self, request: PreparedRequest, *, replay: bool = False) -> None:
        """Be found by the hop that follows this request, or by its replay."""
        self.hops_from = None if replay else id(request)
        _hooks(request)[get_ident()] = self

    def outgoing(self, request: PreparedRequest) -> PreparedRequest:
        """What the next attempt sends: the caller's request itself, or a twin with what we add.

        Raises:
            RefreshFailed: It needs a token, and there is none to be had.
        """
        runtime, outgoing = self.runtime, request
        if self.cookies is not None:
            outgoing = self.cookies.put_on(request)
        if (
            runtime.carries
            and runtime.may_carry(request.url or "")
            and not has_own_authorization(request)
        ):
            return self._with_credentials(outgoing)
        self.sent = None
        return outgoing

    def _with_credentials(self, outgoing: PreparedRequest) -> PreparedRequest:
        tokens, auth = self.runtime.tokens, self.runtime.settings.auth
        self.sent = None
        if tokens is not None:
            self.sent = tokens.current
            if self.sent is None or self.sent.expires_at is not None:
                self.sent = tokens.usable(self.deadline)
                self.begin()
            outgoing = with_token(outgoing, self.sent)
        return outgoing if auth is None else signed(outgoing, auth)

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - self.runtime.clock.monotonic()

    def begin(self) -> None:
        """An attempt begins now; what came before was waiting."""
        self.started = self.runtime.clock.monotonic()

    def failed(self, url: str | None, error: Exception) -> None:
        """The attempt ended in an exception; if headers had come, its time ended with them."""
        if self.status is None:
            self.elapsed = self.runtime.clock.monotonic() - self.started
        self.url, self.status, self.error = url, None, type(error).__name__

    def judge(self, request: PreparedRequest, outcome: Outcome) -> Retry | Stop:
        """Ask the rules, and pay for the retry they allow."""
        settings, quotas = self.runtime.settings, self.runtime.quotas
        origin = Origin.of(request.url or "")
        decision = decide(
            Call(
                method=(request.method or "").upper(),
                deadline=self.deadline,
                policy=settings.retry,
                quota=settings.quota,
                has_key="Idempotency-Key" in request.headers,
            ),
            Progress(self.retries + 1, rewound(request), quotas.level(origin)),
            outcome,
            self.runtime.clock.monotonic(),
            random.random(),  # noqa: S311 (jitter)
        )
        if isinstance(decision, Retry):
            if not quotas.pay(origin, decision.cost):
                return Stop(Reason.QUOTA_EXHAUSTED, decision.wish)
            self._last_cost = decision.cost
        return decision

    def take_cookies(self, request: PreparedRequest, response: Response) -> None:
        """Keep what a failed answer sets, for the next attempt and for the session."""
        if self.cookies is None:
            self.cookies = Cookies()
        self.cookies.take(request, response)

    def succeeded(self, request: PreparedRequest) -> None:
        """Pay back into the quota what the call earned."""
        if self.runtime.quotas.dented:
            self.runtime.quotas.pay_back(Origin.of(request.url or ""), self._last_cost)

    def write_down(self, decision: Retry | Stop) -> Attempt:
        """Add the last attempt to the record."""
        attempt = Attempt(
            number=len(self.record) + 1,
            url=redacted(self.url),
            status=self.status,
            error=self.error,
            started=self.started - self.began,
            elapsed=self.elapsed,
            delay=decision.delay if isinstance(decision, Retry) else 0.0,
            reason=decision.reason,
            wish=decision.wish,
        )
        self.record = (*self.record, attempt)
        self.status = self.error = None
        return attempt

    @property
    def is_open(self) -> bool:
        """Whether the last attempt is not in the record yet."""
        return self.status is not None or self.error is not None

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        """A request that is pickled on its way leaves this behind."""
        return bool, ()


def _hooks(request: PreparedRequest) -> dict[object, Any]:
    hooks: Any = request.hooks
    if hooks is None:  # the caller emptied it
        hooks = request.hooks = {"response": []}
    return cast("dict[object, Any]", hooks)
