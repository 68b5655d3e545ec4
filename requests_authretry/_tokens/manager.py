"""The one place that renews: one renewal for each token version, however many ask for it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .._clock import random_of
from .._core import token_schedule as rules
from .._core.adopt import AUTHORIZATION, adopts, static_token
from .._core.records import Reason
from .._core.token import Secret, Token
from .._errors import RefreshFailed
from .._events import TokenRefreshed, logger, tell
from .._locks import ForkSafeLock
from .._protocols import FetchContext
from .renewal import Renewal, Result, handed_out
from .store_sync import LOCK_SECONDS, NoToken, Renewed, Rotation

if TYPE_CHECKING:
    from .._core.backoff import Backoff
    from .._protocols import Prover
    from .._settings import Settings

LEAST_SECONDS = 10.0
"""What a source is told at least that it may take."""


@dataclass(frozen=True, slots=True)
class _Held:
    """The current token, and what is to happen to it when."""

    token: Token | None
    schedule: rules.Schedule = field(default_factory=rules.Schedule)

    @property
    def version(self) -> str | None:
        return self.token.value if self.token else None


@dataclass(frozen=True, slots=True)
class _Latch:
    """A renewal of the current version that brought nothing; not repeated before its time."""

    result: Result
    until: float


class TokenKeeper:
    """The current token of one settings object, and its renewal. Safe to use from many threads.

    Attributes:
        current: The token to send without a look at the clock; None where one is due.
        fetched: The value of the last one that was fetched here, not found in the store.
        key: The name the store keeps it under.
        prover: What proves the possession of its key, None where the source has none.
    """

    def __init__(self, settings: Settings) -> None:
        """Begin with what the settings hold; nothing is fetched yet."""
        source = settings.token
        self.current: Token | None = None
        self.prover: Prover | None = getattr(source, "prover", None)
        self._clock, self._retry = settings.clock, settings.retry
        self._random = random_of(settings.clock)
        self._listeners = settings.listeners
        self._rotation = Rotation(settings)
        self.key = self._rotation.key
        self._patience = max(LOCK_SECONDS, getattr(source, "patience", 0.0))
        self._lock = ForkSafeLock(self._leave_to_parent)
        self._held = _Held(None)
        self._may_adopt = adopts(settings.adopt, AUTHORIZATION)
        self._adopted: Secret | None = None
        if isinstance(source, Token) and source.value and not self._may_adopt:
            self._set(source, rules.without_windows(source.expires_at, self._clock.time()))
        self._renewal: Renewal | None = None
        self._latch: _Latch | None = None
        self._failures = 0
        self._storm: deque[float] = deque(maxlen=rules.STORM_RENEWALS)
        self.fetched: str | None = None

    @property
    def token(self) -> Token | None:
        """The newest token there is here, whether it is good still or not."""
        return self._held.token

    def has_adopted(self, header: object) -> bool:
        """Whether a caller's header is the adopted one; the first before any token becomes it."""
        if not self._may_adopt:
            return False
        given = header.decode("latin-1") if isinstance(header, bytes) else header
        if self._adopted is None:
            self._adopt(given)
        return self._adopted == given

    def _adopt(self, header: object) -> None:
        first = static_token(header)
        with self._lock:
            begun = self._adopted or self._held.token or self._renewal
            if first is not None and not begun:
                self._adopted, self._latch = Secret(header), None
                self._rotation.first = first

    def usable(self, deadline: float) -> Token:
        """The token to send now, fetched first if there is none or its time is over.

        Raises:
            RefreshFailed: There is none to be had within the deadline (monotonic seconds).
        """
        held, now = self._held, self._clock.time()
        token, schedule = held.token, held.schedule
        if token is not None and now < schedule.end:
            if now < schedule.early:
                return token
            if now < schedule.late:
                if self._renewal is None:
                    self._renew_early(held)
                return token
            token = self._renewed_in_time(held, token, deadline)
            if not token.is_expired(self._clock.time()):
                return token
        result = self.renew(FetchContext(token), deadline)
        if isinstance(result, Reason):
            raise RefreshFailed(f"{result.value}, so the request was not sent")
        return result

    def _renewed_in_time(self, held: _Held, token: Token, deadline: float) -> Token:
        """The renewed token, or the old one, which is good still, if there is none to be had."""
        now = self._clock.monotonic()
        half = (deadline - now) / 2  # the other half is for the request
        try:
            result = self.renew(FetchContext(token), now + min(half, LEAST_SECONDS))
        except RefreshFailed:
            with self._lock:
                if self._held is held:  # it goes on still: let nobody else wait for it
                    self._hold_on()
            return token
        return result if isinstance(result, Token) else token

    def renew(self, context: FetchContext, deadline: float) -> Token | Reason:
        """The token that replaces ``context.stale``, from whoever renews it first.

        Args:
            context: The token that was refused or has expired, and what the server said of it.
            deadline: When the caller has to go on, in monotonic seconds.

        Returns:
            A token, or why the source gave none.

        Raises:
            RefreshFailed: The source failed, or did not answer within the deadline.
        """
        while True:
            left = max(deadline - self._clock.monotonic(), 0.0)
            joined = self._joined(self._told(context, left))
            if not isinstance(joined, Renewal):
                return handed_out(joined)
            self._clock.sleep(left, joined)
            if not joined.is_set():
                raise RefreshFailed(
                    f"no token within the {left:.3g} s that were left: the token source takes "
                    "longer, or waits for the very session that waits for it"
                )
            result = joined.result
            is_other = isinstance(result, Renewed) and result.token.value != _version(context.stale)
            if is_other or not joined.context.early:
                return handed_out(result)
            # It made one try only, as it was early; ours is in earnest.

    def _renew_early(self, held: _Held) -> None:
        """Begin a renewal that nobody waits for, unless there is one."""
        with self._lock:
            if self._renewal is None and self._held is held:
                self._begin(self._told(FetchContext(held.token, early=True), 0.0))

    def _told(self, context: FetchContext, left: float) -> FetchContext:
        """What the source is told; a renewal outlives who asked first: others have more time."""
        timeout = max(left, LEAST_SECONDS)
        return replace(context, timeout=timeout, retry=self._retry, clock=self._clock)

    def _joined(self, context: FetchContext) -> Renewal | Result:
        """What is known already, else the renewal under way, else a new one."""
        with self._lock:
            token, latch, now = self._held.token, self._latch, self._clock.monotonic()
            if token is not None and token.value != _version(context.stale):
                if not token.is_expired(self._clock.time()):
                    return Renewed(token, fetched=False)
                context = replace(context, stale=token, refused=False, challenge=None)
            if latch is not None and now < latch.until:
                return latch.result
            if self._renewal is not None and not self._gave_up_on(self._renewal):
                if self._renewal.is_of_this_thread:
                    return NoToken(
                        "it uses the session that waits for its token: give it one of its own"
                    )
                return self._renewal
            if context.refused and self._held.schedule.is_young(self._clock.time()):
                if rules.is_storm(self._storm, now):
                    return Reason.STORM
                self._storm.append(now)
            return self._begin(context)

    def _begin(self, context: FetchContext) -> Renewal | Exception:
        overdue = self._clock.monotonic() + max(context.timeout, self._patience)
        renewal = Renewal(context, overdue, is_second=self._renewal is not None)
        try:
            self._renewal = renewal.begin(self._work)
        except RuntimeError as error:
            self._renewal = None
            return error
        return self._renewal

    def _gave_up_on(self, renewal: Renewal) -> bool:
        """Whether it has taken so long that its source must hang; its result is still welcome."""
        if self._clock.monotonic() < renewal.overdue:
            return False
        renewal.is_given_up = True
        return True

    def _work(self, renewal: Renewal) -> None:
        try:
            if renewal.is_second:
                logger.warning("a token source has not answered for long: it is asked again")
            renewal.result = self._rotation.renewed(renewal.context)
        except BaseException as error:  # noqa: BLE001 (the waiting callers get it)
            renewal.result = (
                error if isinstance(error, Exception) else NoToken(type(error).__name__)
            )
        finally:
            try:
                with self._lock:
                    if self._renewal is renewal:
                        self._renewal = None
                    news = self._settled(renewal, renewal.result)
                if news is not None:
                    tell(self._listeners, news)
            finally:
                renewal.set()

    def _settled(self, renewal: Renewal, result: Result) -> TokenRefreshed | None:
        """Make the result the current state; what there is to tell of it."""
        context, version = renewal.context, self._held.version
        stale = _version(context.stale)
        if not isinstance(result, Renewed):
            if version == stale and not renewal.is_given_up:
                self._postpone(result, context)
            return None
        if renewal.is_given_up and version != stale:
            return None  # so late that a newer token is there
        self._hold(result, early=context.early)
        if result.token.value == version or result.token is self._rotation.first:
            return None
        return TokenRefreshed(self._rotation.key, not result.fetched, result.token.expires_at)

    def _hold(self, result: Renewed, *, early: bool) -> None:
        token, now = result.token, self._clock.time()
        schedule = rules.schedule(token.expires_at, now, self._random())
        if token.value == self._held.version and not early:
            schedule = rules.without_windows(token.expires_at, now)
        self._set(token, schedule)
        self._latch, self._failures = None, 0
        if result.fetched:
            self.fetched = token.value
        if not result.is_kept:  # the store gets it as soon as that can be
            self._hold_on()

    def _postpone(self, result: Result, context: FetchContext) -> None:
        """Let nobody try again too soon; while the token is good, it is used meanwhile."""
        self._failures += 1
        retry_after = rules.granted(getattr(result, "retry_after", None))
        if not context.early:
            pause = max(self._pause(rules.PAUSE), retry_after)
            self._latch = _Latch(result, self._clock.monotonic() + pause)
        if retry_after or not context.refused:
            self._hold_on(retry_after)

    def _hold_on(self, least: float = 0.0) -> None:
        """Go on with the current token for a while."""
        # What is only to be put into the store asks nothing of the token endpoint, and is urgent.
        backoff = rules.PAUSE_WHILE_GOOD if self._rotation.is_kept else rules.PAUSE
        until = self._clock.time() + max(self._pause(backoff), least)
        self._set(self._held.token, self._held.schedule.postponed(until))

    def _set(self, token: Token | None, schedule: rules.Schedule) -> None:
        self._held = _Held(token, schedule)
        self.current = token if schedule.is_endless else None

    def _pause(self, backoff: Backoff) -> float:
        return backoff.delay(max(self._failures, 1), throttled=False, fraction=self._random())

    def _leave_to_parent(self) -> None:
        """Forget the renewal whose thread, with the store's lock, is in the parent process."""
        self._renewal = None
        self._rotation.forget_holders()


def _version(token: Token | None) -> str | None:
    return token.value if token else None
