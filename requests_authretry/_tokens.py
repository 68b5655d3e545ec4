"""The one place that renews: one renewal for each token version, however many ask for it."""

from __future__ import annotations

import contextvars
import random
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ._core.backoff import Backoff, Jitter
from ._core.outcome import Reason
from ._core.token import Token, dump_token, load_token
from ._errors import ConfigurationError, RefreshFailed
from ._events import TokenRefreshed, logger, tell
from ._fork import survives_fork
from ._protocols import FetchContext
from .stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._settings import Settings

LEAST_SECONDS = 10.0
"""What a source is told at least that it may take."""

LOCK_SECONDS = 60.0
"""How long a renewal waits for another process that renews the same token."""

_PAUSE = Backoff(initial=1.0, max_delay=30.0, jitter=Jitter.EQUAL)
"""Between renewals of one token version that failed."""

Result = Token | Reason | Exception
"""A token, why the source declined, or how it failed."""


class _NoToken(Exception):  # noqa: N818 (not an error of its own: a reason within one)
    """What a token source did wrong, in our words."""


class Renewal(threading.Event):
    """One renewal under way, in a thread of its own; set when it is over.

    The thread is what lets a caller keep its deadline while the renewal goes on: a refresh token
    that was sent is spent, and its answer must not be lost.
    """

    def __init__(self, context: FetchContext, now: float) -> None:
        """Not begun yet."""
        super().__init__()
        self.context = context
        self.overdue = now + max(context.timeout, LOCK_SECONDS)
        self.news: TokenRefreshed | None = None
        self.worker: threading.Thread | None = None
        self.result: Result = _NoToken("its renewal was cut off")


@dataclass(frozen=True)
class _Latch:
    """A renewal that brought nothing; not repeated for this version before its time."""

    version: str | None
    result: Result
    failures: int
    until: float


class TokenKeeper:
    """The current token of one settings object, and its renewal. Safe to use from many threads.

    Attributes:
        current: The token to send; reading it takes no lock.
        fetched: The value of the last one that was fetched here, not found in the store.
    """

    def __init__(self, settings: Settings) -> None:
        """Begin with what the settings hold; nothing is fetched yet."""
        source = settings.token
        self.current = source if isinstance(source, Token) and source.value else None
        self._fetch = _fetcher(source)
        self._store = MemoryStore() if settings.store is None else settings.store
        self._key = getattr(source, "store_key", None) or " ".join(sorted(settings.origins))
        self._clock, self._retry = settings.clock, settings.retry
        self._listeners = settings.listeners
        self._lock = threading.Lock()
        self._renewal: Renewal | None = None
        self._latch: _Latch | None = None
        self._hanging = 0
        self.fetched: str | None = None
        survives_fork(self)

    def usable(self, deadline: float) -> Token:
        """The token to send now, fetched first if there is none or its time is over.

        Raises:
            RefreshFailed: There is none to be had within the deadline (monotonic seconds).
        """
        token = self.current
        if token is not None and not token.is_expired(self._clock.time()):
            return token
        result = self.renew(FetchContext(token), deadline)
        if isinstance(result, Reason):
            raise RefreshFailed(f"{result.value}, so the request was not sent")
        return result

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
        left = max(deadline - self._clock.monotonic(), 0.0)
        # The renewal outlives who asked first: others may have more time.
        renewal = self._joined(
            replace(context, timeout=max(left, LEAST_SECONDS), retry=self._retry, clock=self._clock)
        )
        if isinstance(renewal, Renewal):
            self._clock.sleep(left, renewal)
            if not renewal.is_set():
                raise RefreshFailed(
                    f"no token within the {left:.3g} s that were left: the token source takes "
                    "longer, or waits for the very session that waits for it"
                )
            renewal = renewal.result
        if isinstance(renewal, (_NoToken, ConfigurationError)):
            # Their own frames hold what the source gave.
            raise RefreshFailed(f"no token from the token source: {renewal}")
        if isinstance(renewal, Exception):
            # What foreign exceptions say may hold secrets.
            name = type(renewal).__name__
            raise RefreshFailed(f"the token source failed with {name}") from renewal
        return renewal

    def _joined(self, context: FetchContext) -> Renewal | Result:
        """What is known already, else the renewal under way, else a new one."""
        with self._lock:
            current, stale = self.current, _version(context.stale)
            if current and current.value != stale and not current.is_expired(self._clock.time()):
                return current
            latch = self._latch
            if latch and latch.version == stale and self._clock.monotonic() < latch.until:
                return latch.result
            if self._renewal is None or self._gave_up_on(self._renewal):
                try:
                    self._renewal = _begun(Renewal(context, self._clock.monotonic()), self._work)
                except RuntimeError as error:  # no more threads, or the program is ending
                    return error
            elif self._renewal.worker is threading.current_thread():
                return _NoToken(
                    "it uses the session that waits for its token: give it one of its own"
                )
            return self._renewal

    def _gave_up_on(self, renewal: Renewal) -> bool:
        """Whether it has taken so long that its source must hang; its result is still welcome."""
        if self._clock.monotonic() < renewal.overdue:
            return False
        logger.warning("a token source has not answered for long: it is asked again")
        self._hanging += 1
        return True

    def _work(self, renewal: Renewal) -> None:
        try:
            renewal.result = self._renewed(renewal)
        except BaseException as error:  # noqa: BLE001 (the waiting callers get it)
            renewal.result = (
                error if isinstance(error, Exception) else _NoToken(type(error).__name__)
            )
        finally:
            with self._lock:
                self._settle(_version(renewal.context.stale), renewal.result)
                if self._renewal is renewal:
                    self._renewal = None
            if renewal.news is not None:
                tell(self._listeners, renewal.news)
            renewal.set()

    def _settle(self, version: str | None, result: Result) -> None:
        if isinstance(result, Token):
            self.current, self._latch = result, None
            return
        known = self._latch.failures if self._latch and self._latch.version == version else 0
        pause = _PAUSE.delay(known + 1, throttled=False, fraction=random.random())  # noqa: S311 (jitter)
        self._latch = _Latch(version, result, known + 1, self._clock.monotonic() + pause)

    def _renewed(self, renewal: Renewal) -> Token | Reason:
        """Under the store's lock: adopt what another put there, else fetch and keep."""
        context = renewal.context
        with self._alone():
            stored, stale = load_token(self._store.read(self._key)), _version(context.stale)
            if stored and stored.value != stale and not stored.is_expired(self._clock.time()):
                renewal.news = TokenRefreshed(self._key, True, stored.expires_at)  # noqa: FBT003
                return stored
            fetched = _checked(self._fetch(context))
            if fetched is None:
                return Reason.SOURCE_DECLINED
            if context.refused and fetched.value == stale:
                return Reason.UNCHANGED
            if fetched.is_expired(self._clock.time()):
                # By this machine's clock only: its source has just called it good.
                fetched = replace(fetched, expires_at=None)
            self._keep(fetched)
        self.fetched = fetched.value
        renewal.news = TokenRefreshed(self._key, False, fetched.expires_at)  # noqa: FBT003
        return fetched

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Under the store's lock; a store that cannot lock cannot keep either: go on in memory."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._store.lock(self._key, LOCK_SECONDS))
            except TimeoutError as error:
                if not self._hanging:  # else it may be our own that holds it
                    raise _NoToken("its store stayed locked by another") from error
            except OSError as error:
                logger.warning("the token store cannot be locked: %s", error)
            yield

    def _keep(self, token: Token) -> None:
        try:
            self._store.write(self._key, dump_token(token))
        except OSError as error:
            logger.warning("the new token is kept in memory only: %s", error)

    def after_fork(self) -> None:
        """The thread that renewed, and the one that held the lock, are not in the child."""
        self._lock = threading.Lock()
        self._renewal = None


def _begun(renewal: Renewal, work: Callable[[Renewal], None]) -> Renewal:
    run = contextvars.copy_context().run
    renewal.worker = threading.Thread(
        target=run, args=(work, renewal), name="requests_authretry renewal", daemon=True
    )
    renewal.worker.start()
    return renewal


def _version(token: Token | None) -> str | None:
    return token.value if token else None


def _fetcher(source: object) -> Callable[[FetchContext], object]:
    """One way to call a constant, a function and a `TokenSource`."""
    if isinstance(source, Token) or source is None:
        return lambda _: source
    fetch = getattr(source, "fetch", None)
    if fetch is not None:
        return fetch  # type: ignore[no-any-return]
    return lambda _: source()  # type: ignore[operator]


def _checked(fetched: object) -> Token | None:
    """What the source gave, if it is a token at all; no message quotes it."""
    if isinstance(fetched, str):
        return Token(fetched)
    if fetched is not None and not isinstance(fetched, Token):
        raise _NoToken(f"it gave a {type(fetched).__name__}, not a str or a Token")
    if fetched is not None and not fetched.value:
        raise _NoToken("a token from a pickle has lost its secret: give a function that fetches it")
    return fetched
