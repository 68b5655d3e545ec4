"""One call, with its attempts, replays and redirects."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any

from .._admission.admission import NO_FAILURE
from .._admission.waiting import Waiter
from .._clock import SystemClock
from .._core.classify import refuses_credential
from .._core.http import FIRST_ERROR, UNREAD
from .._core.records import FINAL, Outcome, Progress, Reason, Retry, Stop
from .._core.retry import CallFacts, decide
from .._errors import AuthRetryError
from .._override import current
from .attempt_log import AttemptLog
from .connections import WANTED, Freshness
from .credentials import Credentials, target_of
from .declared import demand_of
from .judging import body_observed, body_seen, verdict_on, with_body_wait
from .outgoing import Cookies
from .placing import without_token
from .request_body import Repeatable, has_key, is_rewound, lacks_key
from .response_body import drain, forbids_retry, hand_out, read_body
from .translate import (
    UNLIMITED,
    Unlimited,
    as_requests_error,
    failure_of,
    limited,
    outcome_of,
    read_limit,
    success_of,
    told_fields,
    was_cut,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import PreparedRequest, RequestException, Response

    from .._admission.admission import Failed, Permit
    from .._admission.declared_limits import Demand
    from .._admission.waiting import Waiters
    from .._core.classify import Verdict
    from .._core.target import Target
    from .._override import Block
    from .._shared import SharedState
    from .credentials import Proxies

    Result = Response | RequestException
    """What an attempt brought."""

_FOLLOWED_SECONDS = 1.0
"""The time that requests takes at most from a redirect to the hop that follows it."""

FOR_HOOK = Stop(Reason.FINAL)
"""The decision to let the response hook renew the token, and replay the request."""


class Call:
    """One call. Used by one thread.

    It travels with redirects in the dictionary of the request's hooks, which requests hands on
    to each hop. It stands there under the number of its thread, because threads may send one
    prepared request at the same time.

    Attributes:
        shared: What calls with these settings share.
        deadline: When the call has to be over, in monotonic seconds.
        log: Its attempts so far.
        credentials: What it sends to show who it is.
        certificate: The client certificate that the caller gave, as an adapter is given it.
        repeatable: What it adds so that a request can be sent again, None if nothing.
        cookies: What failed attempts have set.
        paid: What its last retry took out of the retry quota.
        previous: The answer that the last one follows: a 401 or a redirect.
        waiters: The calls of its session that wait, and whether the session was closed.
        until: When its reads and writes end, in monotonic seconds: the deadline if the user set
            one, else inf.
        block_seconds: How long the `deadline` block lasts whose end is the deadline of the call;
            None if the deadline is that of its settings.
        continues_until: Until when a hop or a replay that follows belongs to this call.
        is_cut: Whether the session was closed before the answer came that leads on.
        identity: Whose token it sends, None if no block named anybody when it began.
    """

    # Defaults on the class, as most calls never set them.
    certificate: Any = None
    repeatable: Repeatable | None = None
    cookies: Cookies | None = None
    paid: int | None = None
    previous: Response | None = None
    continues_until = inf
    is_cut = False
    block_seconds: float | None = None
    identity: str | None = None

    def __init__(self, shared: SharedState, waiters: Waiters) -> None:
        self.shared, self.waiters = shared, waiters
        self.log = AttemptLog(shared.settings)
        self.deadline = self.log.began + shared.deadline_seconds
        self.until = self.deadline if shared.ends_reads else inf
        self.credentials = Credentials()

    @classmethod
    def of(cls, request: PreparedRequest, shared: SharedState, waiters: Waiters) -> Call:
        """Return the call that this request continues, or a new one.

        A hop belongs to the call of its redirect if it starts before the deadline, whether requests
        follows the redirect or the caller does. It also does within a second of the redirect, so
        that a redirect after the deadline brings no new deadline. A request that was redirected and
        is sent again as it was begins a new call.

        Raises:
            AuthRetryError: The session was closed before the answer had come that leads on.
        """
        hooks: Any = request.hooks
        call: Call | None = hooks.pop(get_ident(), None)
        if not call:
            return cls(shared, waiters)
        if call.repeatable is not None:
            call.repeatable.followed()
        is_repeated = call.is_repeated_by(request)
        if is_repeated or shared.clock.monotonic() >= call.continues_until:
            another = cls(shared, waiters)
            another.repeatable = call.repeatable
            another.identity = None if is_repeated else call.identity
            return another
        if call.shared.tokens is shared.tokens and call.shared.auth is shared.auth:
            call.credentials.detach()
        else:
            call.credentials = Credentials()
        call.shared = shared
        call.log.go_on(shared.settings)
        if call.is_cut:
            call.close()
            error = AuthRetryError("not sent: the session was closed", request=request)
            call.log.end(request, error)
            raise error
        call.waiters = waiters
        return call

    @staticmethod
    def identity_of(request: PreparedRequest) -> str | None:
        """Return whose token the call sends that a request continues; None if it begins one."""
        hooks: Any = request.hooks
        call: Call | None = hooks.get(get_ident()) if hooks else None
        return call.identity if call and not call.is_repeated_by(request) else None

    def is_repeated_by(self, request: PreparedRequest) -> bool:
        """Whether a request that was redirected is sent again as it was."""
        is_hop = self.continues_until < inf
        return is_hop and self.previous is not None and self.previous.request is request

    def end_with(self, block: Block) -> None:
        """Let the call end with the block in which it is made, if that is earlier."""
        end, seconds = block.end(self.shared.clock)
        self.until = min(self.until, end)
        if end < self.deadline:
            self.deadline, self.block_seconds = end, seconds
            self.log.block_end = end

    @property
    def is_too_late(self) -> bool:
        """Whether the `deadline` block is over with which the call has to end."""
        return self.block_seconds is not None and self.shared.clock.monotonic() >= self.deadline

    def lead_on(self, response: Response, *, replay: bool = False) -> None:
        """Let the hop that follows this answer, or the replay, continue this call."""
        request, self.previous = response.request, response
        self.continues_until, self.is_cut = inf, self.waiters.is_closed
        if not replay:
            now = self.shared.clock.monotonic()
            self.continues_until = max(self.deadline, now + _FOLLOWED_SECONDS)
            self.cookies = None  # requests makes the next hop's cookies anew
            self.credentials.answered = 0
            if self.repeatable is not None:
                self.repeatable.leads_on(request)
        hooks: Any = request.hooks
        if hooks is not None:
            hooks[get_ident()] = self

    def outgoing(self, request: PreparedRequest, proxies: Proxies) -> PreparedRequest:
        """Return what the next attempt sends: the caller's request, or a copy with additions.

        Raises:
            RefreshFailed: The request needs a token, and none can be had.
            AuthRetryError: A proxy would see the credential in the clear.
        """
        shared, outgoing = self.shared, request
        if self.cookies is not None:
            outgoing = self.cookies.put_on(request)
        if shared.changes_requests or self.repeatable is not None:
            if self.repeatable is None:
                self.repeatable = Repeatable()
            outgoing = self.repeatable.prepare(outgoing, shared.settings.retry)
        if shared.has_credentials:
            outgoing = self.credentials.attach(
                shared, request, outgoing, proxies, self.deadline, self.waiting
            )
        return outgoing

    def attempt(
        self,
        request: PreparedRequest,
        transmit: Callable[..., Response],
        permit: Permit,
        options: dict[str, Any],
    ) -> tuple[Result, Retry | Stop, Failed]:
        """Send once, settle the permit, and decide what follows.

        Returns:
            The answer, or the exception that requests raises; the decision; and what failed,
            `NO_FAILURE` if nothing did.
        """
        clock, log = self.shared.clock, self.log
        decision: Retry | Stop = FINAL
        failed, outgoing = NO_FAILURE, None
        try:
            outgoing = self.outgoing(request, options["proxies"])
            response = transmit(outgoing, **options)
            status = response.status_code
            log.headers_received(request, status)
            response.request = request
            if self.credentials.on_answer is not None:
                self.credentials.on_answer(request.url or "", response)
            judge = self.shared.judge
            is_asked = judge is not None and judge.asked(request.url or "", status)
            if status < FIRST_ERROR and not is_asked:
                self.learn(request, response, permit)
            else:
                stream = options["stream"]
                failed, decision = self.weigh(request, response, permit, stream=stream)
                if isinstance(decision, Retry) or (decision is FOR_HOOK and not stream):
                    return response, decision, failed
            if options["stream"]:
                hand_out(response, read_limit(options["timeout"]))
            # The handshakes of NTLM and Kerberos continue on a live connection, and read its
            # certificate.
            elif status not in UNREAD or not self.credentials.is_foreign:
                read_body(response, clock, self.until)
        except BaseException as error:
            failure = as_requests_error(without_token(error, self.shared.token_in), request)
            if outgoing is None and (failure is None or isinstance(error, AuthRetryError)):
                raise  # nothing was sent
            log.failed(request, failure or error)
            if failure is None:
                log.write_down(Stop(Reason.FATAL))
                raise
            # If the status has ended the call, that decision stays.
            if decision.reason is Reason.FINAL:
                outcome, is_rewound = failure_of(failure), self.is_rewound(request)
                failed, decision = self.judge(request, permit, outcome, is_replayable=is_rewound)
            return failure, decision, failed
        return response, decision, failed

    def send_fresh(
        self, transmit: Callable[..., Response], request: PreparedRequest, **options: Any
    ) -> Response:
        """Send on no connection that was idle too long, if the request cannot be sent again.

        A server ends idle connections, and may do so just when the request is on its way to it.
        """

        def may_idle() -> bool:
            return self._facts(request).may_repeat

        freshness = Freshness(self.shared.settings.max_idle, may_idle)
        token = WANTED.set(freshness)
        try:
            return transmit(request, **options)
        except BaseException as error:
            self.log.idle = freshness.idle if was_cut(error) and not may_idle() else None
            raise
        finally:
            WANTED.reset(token)

    def weigh(
        self, request: PreparedRequest, response: Response, permit: Permit, *, stream: bool
    ) -> tuple[Failed, Retry | Stop]:
        """Ask what an answer means, settle its attempt, and decide what follows.

        Raises:
            requests.RequestException: The body of an answer below 400 cannot be read.
        """
        status, verdict = response.status_code, self.ask(request, response, stream=stream)
        if status < FIRST_ERROR and verdict is None:
            self.learn(request, response, permit)
            return NO_FAILURE, FINAL
        if self.refuses_credential(status) and self.credentials.may_replay:
            return NO_FAILURE, FOR_HOOK
        outcome = self.outcome_of(response, stream=stream)
        is_replayable = self.is_rewound(request)
        failed, decision = self.judge(request, permit, outcome, is_replayable=is_replayable)
        if isinstance(decision, Retry):
            decision = self._drain(response, decision, stream=stream)
        return failed, decision

    def ask(self, request: PreparedRequest, response: Response, *, stream: bool) -> Verdict | None:
        """Return the verdict on an answer, which is in the log then; None: its status counts.

        Raises:
            requests.RequestException: The body of an answer below 400 cannot be read.
        """
        judge, clock = self.shared.judge, self.shared.clock

        def body_of(response: Response) -> bytes | None:
            if stream:
                return None
            if self.shared.observes:
                return body_observed(response, clock)
            is_foreign = self.credentials.is_foreign
            return body_seen(response, clock, self.deadline, self.until, is_foreign=is_foreign)

        if judge is not None:
            try:
                self.log.verdict = verdict_on(judge, request, response, body_of)
            except BaseException:
                response.close()  # or a pool that blocks has one connection less for ever
                raise
        return self.log.verdict

    def outcome_of(self, response: Response, *, stream: bool) -> Outcome:
        """Return what the last answer says, which has an error or a verdict.

        The body of a stream is the caller's to read.
        """
        shared = self.shared
        clock, deadline = shared.clock, inf if shared.observes else self.deadline
        renamed = shared.choice.renamed(response.url or "") if shared.choice is not None else {}
        outcome = outcome_of(
            response, clock.time(), shared.limit_headers, self.log.verdict, renamed
        )
        return outcome if stream else with_body_wait(outcome, response, clock, deadline)

    def refuses_credential(self, status: int) -> bool:
        """Whether the last answer, which has this status, refuses the credential."""
        return refuses_credential(self.log.verdict, status)

    def _drain(self, response: Response, retry: Retry, *, stream: bool) -> Retry | Stop:
        """Drain a failed answer; return what its body and the time leave of the decision."""
        drain(response, self.shared.clock, self.deadline)
        if self.shared.clock.monotonic() >= self.deadline:
            return Stop(Reason.WAIT_TOO_LONG, retry.retry_after)
        # The body of a stream is the caller's to read.
        if not stream and forbids_retry(response):
            return Stop(Reason.VETOED, retry.retry_after)
        return retry

    def learn(self, request: PreparedRequest, response: Response, permit: Permit) -> None:
        """Learn from an answer below 400; nearly free while no rate limit or outage is known."""
        shared, limiter = self.shared, self.shared.limiter
        fields, outcome = told_fields(response, shared.limit_headers), None
        if not fields and not limiter.is_troubled:
            return
        url = request.url or ""
        if fields and not limiter.memory.is_old(url, fields, self.log.started):
            outcome = success_of(response, shared.clock.time(), shared.limit_headers)
        if outcome is not None or (limiter.is_troubled and limiter.concerns(url, self.log.started)):
            target = permit.target or self.target(request)
            told = outcome or Outcome(response.status_code)
            shared.admission.settle(permit, target, self.log.started, told)
            if outcome is not None and outcome.retry_after is None:
                limits = outcome.limits_to_keep if shared.settings.limits.pacing else ()
                limiter.remember(url, fields, target, limits)

    def target(self, request: PreparedRequest) -> Target:
        """Return where a request goes, and for which caller."""
        return target_of(self.shared, request, self.certificate)

    def demand(self, request: PreparedRequest) -> Demand:
        """Return what an attempt asks of the declared limits."""
        return demand_of(self.shared, request, self.target(request))

    @contextmanager
    def waiting(self, request: PreparedRequest) -> Iterator[Waiter]:
        """Let the calling thread wait inside the block: `Waiter.closed` says whether to give up."""
        clock, patience = self.shared.clock, self.shared.settings.retry.max_retry_after
        patient_until = inf if patience is None else clock.monotonic() + patience
        on_wait, override = partial(self.log.waiting, request), current.get()
        priority = 0 if override is None else override.priority
        waiter = Waiter(clock, self.deadline, patient_until, on_wait, priority)
        self.waiters.add(waiter)
        try:
            yield waiter
        finally:
            self.log.stop_waiting()

    def limited(self, timeout: object) -> object:
        """Return the timeout of the next attempt, which carries the deadline."""
        if timeout is None and self.until == inf:
            clock = self.shared.clock
            return UNLIMITED if type(clock) is SystemClock else Unlimited(clock)
        return limited(timeout, self.until, self.shared.clock)

    def judge(
        self,
        request: PreparedRequest,
        permit: Permit,
        outcome: Outcome,
        *,
        is_replayable: bool,
    ) -> tuple[Failed, Retry | Stop]:
        """Settle a failed attempt, and decide what follows.

        Args:
            request: The caller's request.
            permit: What the attempt was sent with.
            outcome: What it brought.
            is_replayable: Whether the body can be sent again.
        """
        shared = self.shared
        target = permit.target or self.target(request)
        failed = shared.admission.settle(permit, target, self.log.started, outcome)
        decision = decide(
            self._facts(request),
            Progress(
                attempt=self.log.retries + 1,
                replayable=is_replayable,
                quota=shared.quotas.level(target.origin),
                polls=self.log.polls,
            ),
            outcome,
            shared.clock.monotonic(),
            shared.random(),
        )
        if isinstance(decision, Retry) and self.waiters.is_closed:
            decision = Stop(Reason.CLOSED, decision.retry_after)
        return failed, decision

    def _facts(self, request: PreparedRequest) -> CallFacts:
        """Return what decides about a retry of this request, and is the same for each attempt."""
        settings, choice = self.shared.settings, self.shared.choice
        method, url = (request.method or "").upper(), request.url or ""
        made_key = settings.retry.idempotency_key and lacks_key(request)
        return CallFacts(
            method=method,
            deadline=self.deadline,
            policy=settings.retry,
            quota=settings.quota,
            has_key=made_key or has_key(request),
            made_key=made_key,
            is_repeatable=choice is not None and choice.lets_repeat(method, url, request.headers),
        )

    def is_rewound(self, request: PreparedRequest) -> bool:
        """Whether the body can be sent again; it stands at its start then."""
        if self.repeatable is not None:
            return self.repeatable.is_rewound(request)
        return is_rewound(request)

    def take_cookies(self, request: PreparedRequest, response: Response) -> None:
        """Keep the cookies of a failed answer, for the next attempt and for the session."""
        if self.cookies is None:
            self.cookies = Cookies()
        self.cookies.take(request, response)

    def close(self) -> None:
        """Drop the copy of the body: there is no other attempt."""
        if self.repeatable is not None:
            self.repeatable.close()

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        """Become False in a pickle: a request that is unpickled belongs to no call."""
        return bool, ()
