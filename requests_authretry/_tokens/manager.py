"""The one place that renews: one renewal for each token version, however many calls need it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from .._admission.waiting import Life
from .._clock import random_of
from .._core import token_schedule as rules
from .._core.adopt import AUTHORIZATION, adopts, static_token
from .._core.foreign_errors import attempts_of, outcome_of, speaks_of_threads
from .._core.identity import name_of
from .._core.records import Reason, seconds_text
from .._core.token import Token
from .._errors import AuthRetryError, ConfigurationError, RefreshFailed
from .._events import TokenRefreshed, logger, tell
from .._locks import ForkSafeLock
from .._override import current
from .._protocols import FetchContext
from .._terminal import is_at_terminal
from .families import is_constant
from .renewal import (
    CutOff,
    Failure,
    NoToken,
    Renewal,
    Renewed,
    Result,
    SourceError,
    asks_here,
    hand_out,
)
from .store_sync import LOCK_SECONDS, StoreSync

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .._admission.waiting import Waiter
    from .._core.backoff import Backoff
    from .._protocols import Prover
    from .._settings import Settings

    Waiting = Callable[[], AbstractContextManager[Waiter]]
    """Lets the calling thread wait, inside the block, as part of its call."""

LEAST_SECONDS = 10.0
"""The least time that a source is told it may take."""


@dataclass(frozen=True, slots=True)
class HeldToken:
    """The newest token known here, whether it is still good or not, and when it is to be renewed.

    Attributes:
        token: The token; None before there is one.
        schedule: When it is renewed.
    """

    token: Token | None = None
    schedule: rules.Schedule = field(default_factory=rules.Schedule)


@dataclass(slots=True)
class FailedRenewals:
    """The renewals that did not help: what keeps a source from being asked in vain.

    Attributes:
        in_a_row: How many renewals have failed since the last one that brought a token.
        result: What every caller gets until ``until``; None: the source may be asked.
        until: When the source may be asked again after that result, in monotonic seconds.
        of_refused: When tokens that the server refused while they were young were renewed, the
            last ones.
    """

    in_a_row: int = 0
    result: Result | None = None
    until: float = 0.0
    of_refused: deque[float] = field(default_factory=lambda: deque(maxlen=rules.REFUSED_RENEWALS))


class TokenManager:
    """The current token of one settings object, and its renewal. Safe to use from many threads.

    Attributes:
        current: The token to send without a look at the clock; None where one is due.
        held: The newest token known here, and its schedule.
        fetched: The value of the last one that was fetched here, not found in the store.
        key: The name the store keeps it under.
        prover: What proves the possession of its key, None where the source has none.
    """

    def __init__(self, settings: Settings) -> None:
        self.current: Token | None = None
        self.held = HeldToken()
        self.fetched: str | None = None
        self._lock = ForkSafeLock(self._leave_to_parent)
        self._renewal: Renewal | None = None
        self._failed = FailedRenewals()
        self._before: Token | None = None
        self._begin_with(settings, StoreSync(settings))

    def _begin_with(self, settings: Settings, sync: StoreSync) -> None:
        """Take the tokens from a source."""
        source = settings.token
        self.prover: Prover | None = getattr(source, "prover", None)
        self._settings, self._sync, self.key = settings, sync, sync.key
        if isinstance(source, Token) and source.value and not adopts(settings.adopt, AUTHORIZATION):
            self._hold(source, rules.without_windows(source.expires_at, settings.clock.time()))

    @property
    def settings(self) -> Settings:
        """The settings with the source of the tokens."""
        return self._settings

    @property
    def is_to_begin_anew(self) -> bool:
        """Whether a token is needed, and the source may have become another one.

        There is none, or the last renewal failed, and the pause after a failure is over.
        """
        failed, now = self._failed, self._settings.clock.monotonic()
        needs_one = self.held.token is None or failed.result is not None
        return needs_one and self._renewal is None and now >= failed.until

    def begin_anew(self, settings: Settings) -> None:
        """Go on with another source of the same identity, unless a renewal is under way."""
        sync = StoreSync(settings)
        with self._lock:
            if self._renewal is None:
                self._begin_with(settings, sync)

    @property
    def holder(self) -> str:
        """Return what tells whose tokens these are: a hash of the token where it is a constant.

        A token that the source renews is another text each time, and still the same caller's.
        """
        token = self.held.token
        if token is None or not is_constant(self._settings.token):
            return self._sync.holder
        return name_of(token.authorization)

    def is_ours(self, given: str) -> bool:
        """Whether the credential that a request has already is the adopted one, or the token.

        The first static one seen before there is any token is adopted. A link in an answer may
        have the token in its query, or the one that was renewed since then.
        """
        place, newest = self._settings.token_in, (self.held.token, self._before)
        if place is not None and any(each and place.text_of(each) == given for each in newest):
            return True
        if not adopts(self._settings.adopt, AUTHORIZATION):
            return False
        token = None
        if self._sync.first is None:
            token = static_token(given) if place is None else place.token_of(given)
        if token is not None:
            with self._lock:
                if not (self._sync.first or self.held.token or self._renewal):
                    self._sync.first, self._failed.result = token, None
        first = self._sync.first
        if first is None:
            return False
        return given == (first.authorization if place is None else place.text_of(first))

    def usable(self, deadline: float, waiting: Waiting) -> Token:
        """Return the token to send now, renewed first if there is none or its time is over.

        Args:
            deadline: When the caller has to go on, in monotonic seconds.
            waiting: Lets the calling thread wait for a renewal.

        Raises:
            RefreshFailed: There is none to be had within the deadline.
            AuthRetryError: The caller's session was closed meanwhile.
        """
        held, now = self.held, self._settings.clock.time()
        token, schedule = held.token, held.schedule
        if token is not None and now < schedule.end:
            if now < schedule.early:
                return token
            if now < schedule.late:
                if self._renewal is None:
                    self._renew_early(held)
                return token
            token = self._renew_in_time(held, token, deadline, waiting)
            if not token.is_expired(self._settings.clock.time()):
                return token
        result = self.renew(FetchContext(token), deadline, waiting)
        if isinstance(result, Reason):
            raise RefreshFailed(f"{result.value}, so nothing was sent")
        return result

    def _renew_early(self, held: HeldToken) -> None:
        """Begin a renewal in the background, unless one is under way."""
        # A source is told that it is early; a function is not, and might ask a person.
        if not hasattr(self._settings.token, "fetch") and self._asks_here():
            return
        with self._lock:
            if self._renewal is None and self.held is held:
                self._begin(self._complete(FetchContext(held.token, early=True), 0.0))

    def _renew_in_time(
        self, held: HeldToken, token: Token, deadline: float, waiting: Waiting
    ) -> Token:
        """Return the renewed token, or the old one, which is still valid, if the renewal fails."""
        now = self._settings.clock.monotonic()
        half = (deadline - now) / 2  # the other half is for the request
        try:
            result = self.renew(FetchContext(token), now + min(half, LEAST_SECONDS), waiting)
        except RefreshFailed:
            with self._lock:
                if self.held is held:  # the renewal goes on: let no other call wait for it
                    self._postpone_windows()
            return token
        return result if isinstance(result, Token) else token

    def renew(self, context: FetchContext, deadline: float, waiting: Waiting) -> Token | Reason:
        """Return the token that replaces ``context.stale``, whichever call began its renewal.

        Args:
            context: The token that was refused or has expired, and what the server said of it.
            deadline: When the caller has to go on, in monotonic seconds.
            waiting: Lets the calling thread wait for the renewal.

        Returns:
            A token, or why the source gave none.

        Raises:
            RefreshFailed: The source failed, or did not answer within the deadline.
            AuthRetryError: The caller's session was closed meanwhile.
        """
        while True:
            left = max(deadline - self._settings.clock.monotonic(), 0.0)
            life = Life()
            with life:
                joined = self._join(self._complete(context, left), life)
                if not isinstance(joined, Renewal):
                    return hand_out(joined)
                reason = self._reason_to_wait(joined.context)
                with waiting() as waiter:
                    if joined.life is life:
                        joined.begin_here(partial(self._run, waiter=waiter, seconds=left))
                    else:
                        joined.let_wait(waiter, left, reason)
            if waiter.closed:
                raise AuthRetryError("the session was closed while the call waited for a token")
            if not joined.is_set():
                raise RefreshFailed(
                    f"no token within the {seconds_text(left)} that were left: the token source "
                    f"{joined.trouble}"
                )
            result = joined.result
            if not joined.context.early or (
                isinstance(result, Renewed) and result.token.value != _value(context.stale)
            ):
                return hand_out(result)
            # An early renewal makes one try only: this caller needs a real one.

    def newest(self) -> Token | None:
        """Return the newest token of the store or of this process, whether it is still good or not.

        Nothing is renewed or changed. None: there is none, or it was forgotten.
        """
        record = self._sync.newest()
        return self.held.token if record is None else record.token

    def is_kept_in_store(self) -> bool:
        """Whether the store of the settings keeps the token; else this process alone has it."""
        return not self._sync.is_in_memory

    def forget(self, seconds: float, revoke: Callable[[Token | None], object]) -> bool:
        """Forget the token here and in the store, as `StoreSync.forget`."""
        is_written = self._sync.forget(seconds, revoke)
        with self._lock:
            self._failed = FailedRenewals()
            self._hold(None, rules.Schedule())
            self.fetched = self._before = None
        return is_written

    def forget_failure(self) -> None:
        """Let the source be asked at once, although it has just failed: a person wants it."""
        with self._lock:
            self._failed.result = None

    def _reason_to_wait(self, context: FetchContext) -> Reason:
        """Return what the callers of a renewal wait for: a source with ``patience`` asks people."""
        source = self._settings.token
        is_patient = getattr(source, "patience", None) is not None
        has_refresh_token = context.stale is not None and context.stale.refresh_token is not None
        return Reason.SIGN_IN if is_patient and not has_refresh_token else Reason.RENEWAL

    def _complete(self, context: FetchContext, left: float) -> FetchContext:
        """Add what the settings say. Later callers wait too, so the source gets time for them."""
        timeout, settings = max(left, LEAST_SECONDS), self._settings
        return replace(context, timeout=timeout, retry=settings.retry, clock=settings.clock)

    def _asks_here(self) -> bool:
        """Whether the calling thread itself asks the source, see `asks_here`."""
        override, interactive = current.get(), self._settings.interactive
        if override is not None:
            interactive = override.changes.get("interactive", interactive)
        return asks_here(self._settings.token, interactive=interactive)

    def _join(self, context: FetchContext, life: Life) -> Renewal | Result:
        """Return the result that is known already, the renewal under way, or a new renewal.

        A new renewal that the caller has to do itself has this life.
        """
        clock, failed = self._settings.clock, self._failed
        with self._lock:
            token, now = self.held.token, clock.monotonic()
            if token is not None and token.value != _value(context.stale):
                if not token.is_expired(clock.time()):
                    return Renewed(token)
                context = replace(context, stale=token, refused=False, challenge=None)
            if failed.result is not None and now < failed.until:
                return failed.result
            renewal = self._renewal
            # A source that is overdue must hang: ask it again. Its late answer is still welcome.
            if renewal is not None and not renewal.is_overdue(now):
                if renewal.is_of_this_thread:
                    return NoToken(
                        "it uses the session that waits for its token: give it one of its own"
                    )
                return renewal
            if context.refused and self.held.schedule.is_young(clock.time()):
                if rules.are_refused_at_once(failed.of_refused, now):
                    return Reason.STORM
                failed.of_refused.append(now)
            return self._begin(context, life)

    def _begin(self, context: FetchContext, life: Life | None = None) -> Renewal:
        """Begin a renewal, in a thread of its own if that is possible and wanted.

        Args:
            context: What the source is told.
            life: Of the call that can do it itself; None if nobody waits for it.
        """
        patience = max(LOCK_SECONDS, getattr(self._settings.token, "patience", 0.0))
        overdue = self._settings.clock.monotonic() + max(context.timeout, patience)
        hanging = self._renewal is not None and self._renewal.life is None
        renewal = Renewal(context, overdue, is_second=hanging)
        # Before others can see it, so that no exception of a signal handler leaves it for ever.
        renewal.life = life
        self._renewal = renewal
        is_here = life is not None and self._asks_here()
        if not is_here and renewal.begin(self._run):
            renewal.life = None
        elif life is None:
            self._renewal = None
        return renewal

    def _run(
        self, renewal: Renewal, *, waiter: Waiter | None = None, seconds: float | None = None
    ) -> None:
        """Renew, and let the callers that wait have the result.

        Args:
            renewal: The renewal under way.
            waiter: The call in whose thread this runs; None in a thread of its own.
            seconds: How long the call can wait.

        Raises:
            BaseException: What ends the thread of the call, as Ctrl-C does.
        """
        try:
            if renewal.is_second:
                logger.warning("a token source has not answered for long: it is asked again")
            renewal.result = self._renew_patiently(renewal, waiter, seconds)
        except Exception as error:  # noqa: BLE001 (the waiting callers get it)
            renewal.result = self._as_result(error, waiter)
        except BaseException as error:
            name = type(error).__name__
            if waiter is not None:
                renewal.result = CutOff(f"{name} ended the call that asked it")
                raise
            renewal.result = NoToken(name)
        finally:
            try:
                with self._lock:
                    news = self._settle(renewal)
                if news is not None:
                    tell(self._settings.listeners, news)
            finally:
                renewal.set()

    def _renew_patiently(
        self, renewal: Renewal, waiter: Waiter | None, seconds: float | None
    ) -> Renewed | Reason:
        """Renew; ask the source again while its trouble is of a kind that passes.

        The store's lock is free between two attempts: another process may have more luck.
        """
        clock, context, attempts = self._settings.clock, renewal.context, 0
        until = clock.monotonic() + (context.timeout if seconds is None else seconds)
        while True:
            if waiter is not None:
                waiter.work(self._reason_to_wait(context))
            try:
                return self._sync.renew(context)
            except Exception as error:
                attempts += attempts_of(error)
                delay = self._delay_after(error, context, attempts, until)
                if delay is None:
                    raise
                name = type(error).__name__
            renewal.trouble = f"failed with {name}, and is asked again"
            said = name, seconds_text(delay)
            logger.info("a token source failed with %s: it is asked again in %s", *said)
            if waiter is None:
                clock.sleep(delay)
                continue
            waiter.sleep(delay, Reason.BACKOFF)
            if waiter.closed:
                raise CutOff("the session was closed whose call asked it")

    def _delay_after(
        self, error: Exception, context: FetchContext, attempts: int, until: float
    ) -> float | None:
        """Return the seconds after which a source that failed is asked again; None: it is not."""
        clock = self._settings.clock
        # After an early renewal another follows; and a source that gives up has words of its own.
        if context.early or isinstance(error, (NoToken, RefreshFailed, ConfigurationError)):
            return None
        outcome = outcome_of(error, clock.time())
        if outcome is None:
            return None
        fraction = random_of(clock)()
        return rules.delay_after(
            outcome, context.retry, attempts, until - clock.monotonic(), fraction
        )

    def _as_result(self, error: Exception, waiter: Waiter | None) -> Failure:
        """Return what callers may see of an exception of a renewal, and keep no frames of it."""
        if isinstance(error, (NoToken, RefreshFailed, ConfigurationError)):
            return error
        summary = f"the token source failed with {type(error).__name__}"
        if waiter is None and speaks_of_threads(error):
            summary += (
                f", in the thread {threading.current_thread().name!r}: an object that it uses may "
                "belong to another thread. Make the object (a database connection, say) in the "
                "function itself, or write Settings(interactive=True): then the function runs in "
                "the thread of the call"
            )
        if isinstance(error, EOFError) and not is_at_terminal():
            summary += (
                ": if it asks a person, nobody can answer, as standard input is no terminal. Read "
                "the secret from a variable, or name a store in the settings and sign in at a "
                "terminal once"
            )
        outcome = outcome_of(error, self._settings.clock.time())
        return SourceError.of(error, summary, outcome.retry_after if outcome else None)

    def _settle(self, renewal: Renewal) -> TokenRefreshed | None:
        """Make the result of a renewal the current state.

        Returns:
            The event for the listeners, None if the token has not changed.
        """
        context, result = renewal.context, renewal.result
        # Whether another renewal was begun meanwhile, as this one took too long.
        is_given_up = self._renewal is not renewal
        if not is_given_up:
            self._renewal = None
        current, stale = _value(self.held.token), _value(context.stale)
        is_forgotten = isinstance(result, Renewed) and self._sync.is_forgotten
        if isinstance(result, CutOff) or is_forgotten:
            return None
        if not isinstance(result, Renewed):
            if current == stale and not is_given_up:
                self._remember_failure(result, context)
            return None
        if is_given_up and current != stale:
            return None  # so late that a newer token is there
        token, now = result.token, self._settings.clock.time()
        if token.value == current and not context.early:
            schedule = rules.without_windows(token.expires_at, now)
        else:
            schedule = rules.schedule(token.expires_at, now, random_of(self._settings.clock)())
        self._hold(token, schedule)
        self._failed.in_a_row, self._failed.result = 0, None
        if result.fetched:
            self.fetched = token.value
        if not result.is_kept:  # the next early renewal writes it to the store
            self._postpone_windows()
        if token.value == current or token is self._sync.first:
            return None
        return TokenRefreshed(self.key, not result.fetched, token.expires_at)

    def _remember_failure(self, result: Result, context: FetchContext) -> None:
        """Ask the source later after a failure; a token that is still good is used until then."""
        self._failed.in_a_row += 1
        retry_after = rules.granted(getattr(result, "retry_after", None))
        if not context.early:
            pause = max(self._pause(rules.PAUSE), retry_after)
            self._failed.result = result
            self._failed.until = self._settings.clock.monotonic() + pause
        if retry_after or not context.refused:
            self._postpone_windows(retry_after)

    def _postpone_windows(self, least: float = 0.0) -> None:
        """Use the current token for a while before the next renewal, ``least`` seconds at least."""
        # A token that only needs to be written is urgent, and the token endpoint is not asked.
        backoff = rules.PAUSE_WHILE_GOOD if self._sync.is_kept else rules.PAUSE
        until = self._settings.clock.time() + max(self._pause(backoff), least)
        self._hold(self.held.token, self.held.schedule.postponed(until))

    def _pause(self, backoff: Backoff) -> float:
        failures, fraction = max(self._failed.in_a_row, 1), random_of(self._settings.clock)()
        return backoff.delay(failures, throttled=False, fraction=fraction)

    def _hold(self, token: Token | None, schedule: rules.Schedule) -> None:
        if _value(token) != _value(self.held.token):
            self._before = self.held.token
        self.held = HeldToken(token, schedule)
        self.current = token if schedule.is_endless else None

    def _leave_to_parent(self) -> None:
        """Forget the renewal whose thread, with the store's lock, is in the parent process."""
        self._renewal = None
        self._sync.forget_holders()


def _value(token: Token | None) -> str | None:
    return token.value if token else None
