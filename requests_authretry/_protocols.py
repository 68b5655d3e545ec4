"""The parts that users may bring: a clock, a token source, a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ._clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from threading import Event

    from ._core.challenge import Challenge
    from ._core.retry import RetryPolicy
    from ._core.token import Token


@runtime_checkable
class Clock(Protocol):
    """All that the library knows of time. Every method is called from many threads.

    A clock may also have ``random() -> float``, a number in [0, 1) that spreads waits (jitter).
    Without it `random.random` is used.
    """

    def time(self) -> float:
        """Return the POSIX time in seconds, to compare with token life and HTTP dates."""

    def monotonic(self) -> float:
        """Return seconds that never go back, for deadlines and waits."""

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Wait, and return early as soon as ``wake`` is set."""


def clock_fault(given: object) -> str | None:
    """Return the fault of what stands in the place of a clock, otherwise None."""
    if isinstance(given, type):
        return f"clock is the class {given.__name__}: give an object of it"
    if isinstance(given, Clock):
        return None
    return "clock must have time(), monotonic() and sleep(seconds, wake=None): write FakeClock()"


# Sources read `context.retry.max_attempts` and the like: a context that is made without a policy,
# as in tests of a source, has the default one and not None. It is imported when such a context is
# made, as the modules that import this one need no rules of retrying.
@cache
def _default_retry() -> RetryPolicy:
    """Return the one policy of all contexts that are made without: it is frozen."""
    from ._core.retry import RetryPolicy

    return RetryPolicy()


def _nobody() -> None:
    """Return None: there is no store to look into."""


@dataclass(frozen=True)
class FetchContext:
    """What a token source is told.

    Attributes:
        stale: The token to replace; None where there is none yet. It is the newest token that the
            store or this process has, which another process may have put there after the token
            that the server refused. Send its refresh token: those of older tokens may be spent.
        refused: Whether the server refused the token.
        challenge: What the server said of the token, None when it said nothing.
        timeout: Seconds that the source may take: what is left to the caller who asked first, and
            10 at least, as other callers wait for the answer too.
        early: Whether the token is still good and nobody waits: one attempt is enough, as another
            renewal follows later.
        blind: Whether the store could not be read or not locked: it may hold a newer token than
            ``stale``, or another process may be getting one now.
        retry: When to ask again, where the source asks over a network.
        clock: Where the source's time comes from.
        sibling: Reads the store once more, for the token of another process that has just spent
            the same refresh token; it returns None where there is no such token, and may take a
            second.
    """

    stale: Token | None
    refused: bool = False
    challenge: Challenge | None = None
    timeout: float = 0.0
    early: bool = False
    blind: bool = False
    retry: RetryPolicy = field(default_factory=_default_retry)
    clock: Clock = field(default_factory=SystemClock)
    sibling: Callable[[], Token | None] = field(default=_nobody, compare=False, repr=False)


@runtime_checkable
class TokenSource(Protocol):
    """Where tokens come from.

    The library calls a source once for each token version, and never twice at a time for one store
    and key: in a thread of its own, so that no caller waits longer than it can, or in the thread of
    a call, where it may ask a person (see ``may_prompt``). A source must not use the session that
    the library is mounted on for the origins that the tokens are for.

    A source may also have these attributes:

    * ``store_key`` (a str), the name under which a store keeps the source's tokens. Without it the
      name is the origins that the tokens are for, and only the first source of this process has
      that name: the tokens of another source may be somebody else's, and stay out of the store.
      Another source with a `fetch` is not even asked, unless it has no refresh tokens: both
      sources may begin with the same refresh token.
    * ``family`` (a str), the name of the tokens that the source gives. Where no store is named,
      sources of this process with the same ``family`` share one token; give it to sources of one
      identity only. Without a ``family``, the settings that name the same source object share its
      token. Where ``family`` is None, each settings object asks the source for a token of its own.
    * ``has_refresh_tokens`` (a bool): False where the source's tokens never have a refresh token.
    * ``is_kept_elsewhere`` (a bool): True keeps the source's tokens out of every store.
    * ``may_prompt`` (a bool): True: it asks a person. So it runs in the thread of the call if that
      is the main thread, and standard input is a terminal or a notebook; there a call cannot end
      before it. False: never, also with ``Settings(interactive=True)``. A function counts as True.
    * ``patience`` (seconds): how long one `fetch` may take before another one is begun beside it,
      where that is more than a minute.
    * ``revoke(context)``, which has the server end the tokens of ``context.stale``, the newest one;
      None: there is none. It is called by `Credentials.revoke`, in the thread of the program, while
      no other thread or process renews the token. It raises `RefreshFailed`.
    * ``prover``, a `requests_authretry.oauth2.Prover` for tokens with the scheme ``DPoP``.
    """

    def fetch(self, context: FetchContext) -> Token | str | None:
        """Return a new token, or None to decline: then a 401 stands, or nothing is sent.

        After an exception that tells of a lost connection, of a 5xx or of a 429 the source is asked
        again, as ``context.retry`` and ``context.timeout`` allow: one of requests, urllib3, httpx,
        aiohttp, urllib or Python itself, or one that was raised ``from`` it.

        Raises:
            RefreshFailed: There is no token, and the source is not asked again at once. The caller
                reads the message: put no secret into it. The messages of other exceptions are not
                shown to the caller.
        """


@runtime_checkable
class Prover(Protocol):
    """Proves for each attempt that we hold the key that a token is bound to (RFC 9449).

    Called from many threads.
    """

    def proof(self, method: str, url: str, token: Token, now: float) -> str:
        """Return the value of the ``DPoP`` header.

        Args:
            method: The request's method.
            url: Where the request goes; query and fragment are not part of the proof.
            token: The token that the request carries.
            now: POSIX time in seconds, by the clock of the server where it is known.
        """

    def learn(self, url: str, nonce: str) -> None:
        """Use this nonce from now on for the origin of the URL (section 8.2)."""


@runtime_checkable
class Store(Protocol):
    """Where tokens and cool-downs are kept and locked; all settings that name one store share them.

    Every method is called from many threads. A record is text that may hold secrets in the clear:
    the store guards it. A store raises `OSError` or `TimeoutError`; the library then uses what it
    has in memory, and asks the store again the next time.

    A store may also have:

    * ``place``, a hashable value that is equal for all stores of a process that hold the same
      records; without it each object counts as a place of its own.
    * ``take(key: str, rate: float, burst: float, count: int) -> float``, which takes ``count``
      slots of a limit that allows ``rate`` requests a second, in one atomic step. It returns the
      seconds until the first slot may be used; the others follow at intervals of ``1 / rate``.
      Below zero, the first slot was due that long ago, and those that were due since may be used at
      once: ``burst`` slots at most, where nobody has taken any for long. Each take may come with
      another rate: the next one begins ``count / rate`` later. Slots that lie an hour ahead or more
      are not counted apart. The store counts by its own clock, as with `push`, and keeps slots
      apart from the records and cool-downs under the same key. Where ``rate`` is not above zero,
      ``count`` is below 1, or a number is not finite, or where a release with another format keeps
      slots under that key, nothing is taken and the result is 0.0. It raises `OSError`. Without
      ``take``, each process keeps a pace of its own.
    * ``keep(key: str, text: str, seconds: float) -> str | None``, which keeps a text for so many
      seconds in place of the one that is kept under that key, and returns it. If ``seconds`` is not
      above zero, nothing is changed and it returns what is kept; None for nothing. More than an
      hour counts as an hour. What is kept stands apart from records, cool-downs and slots. It
      raises `OSError`. Without it, each process finds the pace of the fleet by itself.
    * ``is_missing`` and ``is_unused`` (bools), for `requests_authretry.FirstOf`: whether the store
      is not there and never was, and whether nothing was ever kept in it.
    * ``reserve``, with which processes keep a declared rate together. `FileStore` and
      `requests_authretry.redis.RedisStore` have it. Its form is not public, and without it each
      process keeps its declared rates alone.
    """

    def read(self, key: str) -> str | None:
        """Return the record under a key; None when there is none.

        Raises:
            OSError: The store is out of reach or torn: there may be a record that it cannot show.
        """

    def write(self, key: str, record: str) -> None:
        """Keep the whole record or, when that fails, the record that was there before."""

    def lock(self, key: str, timeout: float) -> AbstractContextManager[object]:
        """Exclude everyone else who locks this key while the context is entered.

        Args:
            key: What to lock.
            timeout: Seconds to wait for the lock; none at or below 0.

        Raises:
            TimeoutError: Another process or thread held the lock all that time.
            OSError: The key cannot be locked: the store is out of reach, or has no locks.
        """

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down, so that it lasts at least ``seconds`` from now; return what is left.

        Seconds are handed over and no times, as the clocks of two machines need not agree: the
        store counts them by a clock of its own. ``push(key, 0.0)`` extends nothing, keeps nothing
        under a key that has no cool-down, and so reads what is left.

        The order of pushes does not matter, and the caller needs no lock: of two pushes at once the
        longer one stays, and no record that is written meanwhile is lost. A cool-down that is over
        is forgotten.

        The record has a format version, as two releases may share a store. A record with a version
        that this release does not know, and a token, stays as it is: it counts as no cool-down, and
        none is kept. A number, which is the form of the earlier release, and text that is no record
        (no JSON object) count as no cool-down, too; a push that extends one replaces them.

        Args:
            key: The key of the record.
            seconds: How long the cool-down lasts at least, from now. More than an hour, or
                infinity, counts as an hour; less than zero, or NaN, as 0.0.

        Returns:
            The longer of ``seconds`` and what was left, in seconds from 0.0, no cool-down, to 3600.

        Raises:
            OSError: The cool-down could not be kept or read; the record that was there stays.
        """
