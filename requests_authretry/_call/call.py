"""The state of one call, over attempts, replays and redirects."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any

from requests.sessions import SessionRedirectMixin

from .._admission.notes import note, passed
from .._admission.outage_tracker import place_of
from .._core.origin import Origin, redacted
from .._core.records import Attempt, Outcome, Progress, Retry, Stop
from .._core.retry import FIRST_ERROR, CallFacts, decide
from .._core.unauthorized import is_answered
from .outgoing import (
    Cookies,
    authorization_of,
    carrying,
    has_key,
    has_own_authorization,
    keyed,
    lacks_key,
    new_key,
    refuse_proxy,
    replacing,
    signed,
)
from .request_body import Spool
from .response_body import rewound
from .translate import bounds_reads, clipped

if TYPE_CHECKING:
    from types import FrameType

    from requests import PreparedRequest, Response

    from .._admission.rate_limiter import Key
    from .._core.token import Token
    from .._protocols import Prover
    from .._shared import SharedState
    from .._tokens.manager import TokenKeeper
    from .outgoing import Proxies

FIRST_SERVER_ERROR = 500
UNAUTHORIZED = 401
UNREAD = {UNAUTHORIZED, 407}
NONCES_IN_A_ROW = 3
"""A server may change its nonce while a proof with the last one is under way, but not for ever."""

BOUND = "DPoP"
_FOLLOW = SessionRedirectMixin.resolve_redirects.__code__


class Call:
    """One call. Used by one thread.

    It travels with redirects in the dictionary of the request's hooks, which requests hands on
    to each hop. It stands there under the number of its thread, because threads may send one
    prepared request at the same time.

    Attributes:
        runtime: What this call shares with others.
        began: When the call began, in monotonic seconds.
        deadline: When it has to be over.
        retries: Retries so far; replays and redirects are none.
        retry: What is to be waited for before the next attempt, None before a first one.
        limit: The limit that the last attempt fell under, as far as its answer told.
        entered: The limit whose server it went through.
        previous: The answer that this one follows: a 401 or a redirect.
        held: The limit that is closed for as long as the server asked this call to wait.
        number: What number the last attempt had at its server, -1 where none held it.
        outcome: What the last attempt brought that was judged.
        answers: How often a 401 of this call was answered.
        fetched: Whether one of them with a token that was fetched for it.
        until: When a body is cut that is still coming, in monotonic seconds.
        sent: The token that the last attempt carried, None when it carried none of ours.
        is_signed: Whether the last attempt was signed by the ``auth`` of the settings.
        started: When the last attempt began.
        judged: When it was decided on.
        elapsed: Seconds until its headers had come, or its failure.
        url: Where it went.
        status: What came, until it is written down.
        error: The name of the exception's class, until it is written down.
        record: The attempts that are written down.
        cookies: What failed attempts have set.
        prover: What made the proof of the last attempt, None when it carried none.
        nonces: How many nonce challenges have come in a row.
        has_nonce: Whether the last answer brought one.
        is_replaying: Whether the request is about to be sent again after a 401.
        key: The Idempotency-Key that was made for this call.
        spool: What is kept of a body that cannot be wound back.
    """

    # Defaults on the class: most calls end well, and never set these.
    elapsed = judged = 0.0
    retries = 0
    number = -1
    retry: Retry | None = None
    limit: Key | None = None
    entered: Key | None = None
    held: Key | None = None
    previous: Response | None = None
    outcome = Outcome()
    answers = 0
    fetched = False
    until = inf
    sent: Token | None = None
    is_signed = False
    record: tuple[Attempt, ...] = ()
    cookies: Cookies | None = None
    prover: Prover | None = None
    nonces = 0
    has_nonce = False
    url: str | None = None
    status: int | None = None
    error: str | None = None
    _last_cost: int | None = None
    is_replaying = False
    key: str | None = None
    spool: Spool | None = None

    def __init__(self, runtime: SharedState) -> None:
        """Begin a call now."""
        self.runtime = runtime
        self.began = self.started = runtime.clock.monotonic()
        self.deadline = self.began + runtime.deadline_seconds

    @classmethod
    def of(cls, request: PreparedRequest, runtime: SharedState) -> Call:
        """The call that this request continues, else a new one."""
        hooks: Any = request.hooks
        going_on: Call | None = hooks.pop(get_ident(), None)
        if not going_on:
            return cls(runtime)
        if going_on.spool is not None:
            going_on.spool.followed()
        if not (going_on.is_replaying or _requests_follows()):
            another = cls(runtime)
            another.spool = going_on.spool  # of a redirect that is followed by hand
            return another
        going_on.is_replaying = False
        before, going_on.runtime = going_on.runtime, runtime
        if before.tokens is not runtime.tokens or before.auth is not runtime.auth:
            going_on.answers, going_on.fetched = 0, False
        going_on.begin()
        return going_on

    def goes_on(self, request: PreparedRequest, *, replay: bool = False) -> None:
        """Be found by the hop that follows this request, or by its replay."""
        self.is_replaying = replay
        if not replay:
            self.cookies = None  # requests makes the next hop's cookies anew
            if self.spool is not None:
                self.spool.leads_on(request)
        hooks: Any = request.hooks
        if hooks is not None:
            hooks[get_ident()] = self

    def outgoing(self, request: PreparedRequest, proxies: Proxies) -> PreparedRequest:  # noqa: C901 (flat: it is on the healthy path)
        """What the next attempt sends: the caller's request itself, or a copy with what we add.

        Raises:
            RefreshFailed: It needs a token, and there is none to be had.
            AuthRetryError: A proxy would see the credential in the clear.
        """
        runtime, outgoing = self.runtime, request
        self.sent = self.prover = None
        self.is_signed = False
        if self.cookies is not None:
            outgoing = self.cookies.put_on(request)
        if runtime.changes_requests or self.spool is not None:
            outgoing = self._with_key_and_spool(outgoing)
        if not runtime.has_credentials:
            return outgoing
        url = request.url or ""
        # What begins with an origin and a slash is of that origin by any parser's reading.
        if not url.startswith(runtime.prefixes) and Origin.of(url) not in runtime.origins:
            return outgoing
        if runtime.tokens is None:
            if has_own_authorization(request):
                return outgoing
        else:
            token = runtime.tokens.current or self._usable(runtime.tokens, request)
            if token is None:
                return outgoing
            carrier = carrying(outgoing, token.authorization)
            if carrier is None:
                if not runtime.tokens.has_adopted(authorization_of(request)):
                    return outgoing
                carrier = replacing(outgoing, token.authorization)
            self.sent, outgoing = token, carrier
            if runtime.tokens.prover is not None:
                self._prove(runtime.tokens.prover, outgoing, token)
        if runtime.is_on_loopback:
            refuse_proxy(url, proxies)
        self.is_signed = runtime.auth is not None
        return outgoing if runtime.auth is None else signed(outgoing, runtime.auth)

    def _with_key_and_spool(self, request: PreparedRequest) -> PreparedRequest:
        """Add what makes the request repeatable."""
        retry = self.runtime.settings.retry
        if retry.idempotency_key and lacks_key(request):
            self.key = self.key or new_key()
            request = keyed(request, self.key)
        if self.spool is None or not self.spool.serves(request):
            spool = Spool.of(request, retry.buffer_bodies)
            if spool is None:
                return request
            self.spool = spool
        return self.spool.put_on(request)

    def _usable(self, tokens: TokenKeeper, request: PreparedRequest) -> Token | None:
        """A token that may have to be fetched; None, and no fetch, where the caller has set one."""
        own = has_own_authorization(request)
        if own and not tokens.has_adopted(authorization_of(request)):
            return None
        token = tokens.usable(self.deadline)
        self.begin()
        return token

    def _prove(self, prover: Prover, request: PreparedRequest, token: Token) -> None:
        """Add the proof, if the token is bound to a key."""
        if token.scheme != BOUND:
            return
        method, url, now = request.method or "", request.url or "", self.runtime.clock.time()
        request.headers["DPoP"] = prover.proof(method, url, token, now)
        self.prover = prover

    def came(self, request: PreparedRequest, response: Response) -> None:
        """The headers of an answer are there."""
        self.elapsed = self.runtime.clock.monotonic() - self.started
        self.url, self.status = request.url, response.status_code
        if response.status_code < FIRST_ERROR:
            passed(self, request, response)
        if self.prover is not None:
            self._learn(self.prover, response)

    def _learn(self, prover: Prover, response: Response) -> None:
        """Keep the nonce an answer brings; any answer may bring one (RFC 9449 section 8.2)."""
        nonce = response.headers.get("DPoP-Nonce")
        if nonce:
            prover.learn(self.url or "", nonce)
        self.nonces = self.nonces + 1 if response.status_code == UNAUTHORIZED else 0
        self.has_nonce = bool(nonce) and self.nonces <= NONCES_IN_A_ROW

    def limited(self, timeout: object) -> object:
        """The time limit of the next attempt, clipped to what is left of the deadline."""
        # Who bounds no read waits for the network as long as it takes.
        self.until = self.deadline if bounds_reads(timeout) else inf
        return clipped(timeout, self.deadline - self.runtime.clock.monotonic())

    def begin(self) -> None:
        """An attempt begins now; what came before was waiting."""
        self.started = self.runtime.clock.monotonic()

    def failed(self, url: str | None, error: Exception) -> None:
        """The attempt ended in an exception; if headers had come, its time ended with them."""
        if self.status is None:
            self.elapsed = self.runtime.clock.monotonic() - self.started
        self.url, self.status, self.error = url, None, type(error).__name__

    def judge(self, request: PreparedRequest, outcome: Outcome) -> Retry | Stop:
        """Ask the rules, after what came has been noted for others."""
        self.judged = self.runtime.clock.monotonic()
        self.outcome = outcome
        note(self, request, outcome)
        return self.decide(request)

    def decide(self, request: PreparedRequest) -> Retry | Stop:
        """Ask the rules what the last outcome leads to."""
        runtime, settings = self.runtime, self.runtime.settings
        origin = Origin.of(request.url or "")
        # While nothing succeeds, retries wait for one another, and to wait costs nothing.
        free = runtime.limits.outages.is_down(place_of(request.url or ""))
        made_key = settings.retry.idempotency_key and lacks_key(request)
        return decide(
            CallFacts(
                method=(request.method or "").upper(),
                deadline=self.deadline,
                policy=settings.retry,
                quota=settings.quota,
                has_key=made_key or has_key(request),
                made_key=made_key,
            ),
            Progress(
                attempt=self.retries + 1,
                replayable=self.rewound(request),
                quota=settings.quota.capacity if free else runtime.quotas.level(origin),
            ),
            self.outcome,
            self.runtime.clock.monotonic(),
            random.random(),  # noqa: S311 (jitter)
        )

    def pay(self, request: PreparedRequest, cost: int) -> bool:
        """Pay for a retry that is about to leave; False where the quota cannot any more."""
        self._last_cost = cost
        return self.runtime.quotas.pay(Origin.of(request.url or ""), cost)

    def rewound(self, request: PreparedRequest) -> bool:
        """Whether the body can be sent again, wound back to where it stood or from the spool."""
        if self.spool is not None and self.spool.serves(request):
            return self.spool.rewound()
        return rewound(request)

    def take_cookies(self, request: PreparedRequest, response: Response) -> None:
        """Keep what a failed answer sets, for the next attempt and for the session."""
        if self.cookies is None:
            self.cookies = Cookies()
        self.cookies.take(request, response)

    @property
    def is_healthy(self) -> bool:
        """Whether the last answer speaks for the server's health."""
        return self.status is not None and self.status < FIRST_SERVER_ERROR

    def pay_back(self, request: PreparedRequest) -> None:
        """Put into the quota what the call earned."""
        self.runtime.quotas.pay_back(Origin.of(request.url or ""), self._last_cost)

    def write_down(self, decision: Retry | Stop) -> Attempt:
        """Add the last attempt to the record, or say anew what came of it."""
        if not self.is_open and self.record:
            *before, last = self.record
            waited = max(self.runtime.clock.monotonic() - self.judged, 0.0)
            last = replace(
                last, delay=waited, reason=decision.reason, retry_after=decision.retry_after
            )
            self.record = (*before, last)
            return last
        attempt = Attempt(
            number=len(self.record) + 1,
            url=redacted(self.url),
            status=self.status,
            error=self.error,
            started=self.started - self.began,
            elapsed=self.elapsed,
            delay=decision.delay if isinstance(decision, Retry) else 0.0,
            reason=decision.reason,
            retry_after=decision.retry_after,
        )
        self.record = (*self.record, attempt)
        self.status = self.error = None
        return attempt

    @property
    def is_for_hooks(self) -> bool:
        """Whether the last answer reaches hooks unread: ours may answer it, or one of the user's.

        A 401 or 407 to a request that carried no credential of ours is left on its live connection:
        handshakes as those of NTLM and Kerberos go on there, and read its certificate.
        """
        if self.status not in UNREAD:
            return False
        return self.may_answer or (self.sent is None and not self.is_signed)

    @property
    def may_answer(self) -> bool:
        """Whether the last answer is a 401 that the hook may answer."""
        if self.status != UNAUTHORIZED or self.sent is None:
            return False
        return self.has_nonce or not is_answered(self.answers, fetched=self.fetched)

    def close(self) -> None:
        """The call is over: nothing is kept for another attempt."""
        if self.spool is not None:
            self.spool.close()

    @property
    def is_open(self) -> bool:
        """Whether the last attempt is not in the record yet."""
        return self.status is not None or self.error is not None

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        """A request that is pickled on its way leaves this behind."""
        return bool, ()


def _requests_follows() -> bool:
    """Whether requests follows a redirect; who sends `Response.next` makes a call of their own."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 (public but for its name)
    while frame is not None:
        if frame.f_code is _FOLLOW:
            return True
        frame = frame.f_back
    return False
