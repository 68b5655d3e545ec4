"""The parts that users may bring: a clock, a token source, a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ._clock import SystemClock
from ._core.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from threading import Event

    from ._core.challenge import Challenge
    from ._core.token import Token


@runtime_checkable
class Clock(Protocol):
    """All that the library knows of time. Every method is called from many threads.

    A clock may also have ``random() -> float``, a number in [0, 1) that spreads waits (jitter).
    Without it `random.random` is used.
    """

    def time(self) -> float:
        """POSIX time in seconds, for what comes from outside: token life, HTTP dates."""

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines and waits."""

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Wait, and return early as soon as ``wake`` is set."""


_DEFAULT_RETRY = RetryPolicy()
"""One for all contexts: it is frozen, and making one checks every field."""


def _nobody() -> None:
    """Return None: there is no store to look into."""


@dataclass(frozen=True)
class FetchContext:
    """What a token source is told.

    Attributes:
        stale: The token to replace, None the first time. Where the store holds a newer one, it is
            that: its refresh token is the one that is not spent yet.
        refused: Whether the server refused it.
        challenge: What the server said of it, None when it said nothing.
        timeout: Seconds it may take: what is left to the caller who asked first, and 10 at least,
            as others wait for the answer too.
        early: Whether the token is good still and nobody waits: one try is enough, another
            follows later.
        blind: Whether the store could not be read, or not locked: there may be a newer token than
            ``stale``, or somebody who is just getting one.
        retry: When to ask again, where the source asks over a network.
        clock: Where the source's time comes from.
        sibling: Looks into the store once more, for the token of another who spent the refresh
            token just before; None where there is none. It may take a second.
    """

    stale: Token | None
    refused: bool = False
    challenge: Challenge | None = None
    timeout: float = 0.0
    early: bool = False
    blind: bool = False
    retry: RetryPolicy = _DEFAULT_RETRY
    clock: Clock = field(default_factory=SystemClock)
    sibling: Callable[[], Token | None] = field(default=_nobody, compare=False, repr=False)


@runtime_checkable
class TokenSource(Protocol):
    """Where tokens come from.

    It is called from a thread of its own, once for each token version, never twice at a time for
    one store and key. It must not use the session that the library is mounted on for the origins
    it makes tokens for.

    A source may also have these attributes:

    * ``store_key`` (a str), the name under which a store keeps its tokens. Without it a store keeps
      them under the origins they are for, and a second source without it is kept out of the store
      within this process, as it may give the tokens of somebody else; it is not asked where it has
      `fetch`, as both may begin with one refresh token.
    * ``family`` (a str): sources with the same one use the same tokens within this process, where
      no store is named. Without it each object has tokens of its own, which all settings that name
      it use, as its tokens are of one identity. With None each settings object asks it for itself.
    * ``has_refresh_tokens`` (a bool): False where its tokens never bring a refresh token.
    * ``is_kept_elsewhere`` (a bool): True keeps its tokens out of every store.
    * ``patience`` (seconds), what one `fetch` may take before another is begun beside it, where
      that is more than a minute.
    * ``prover``, a `requests_authretry.oauth2.Prover` for tokens with the scheme ``DPoP``.
    """

    def fetch(self, context: FetchContext) -> Token | str | None:
        """A new token; None declines: the 401 stands, and without any token nothing is sent.

        Raises:
            RefreshFailed: There is none; the caller gets its words, so they hold no secret. What
                other exceptions say is kept from the caller's eyes.
        """


@runtime_checkable
class Prover(Protocol):
    """Proves, with each attempt anew, that we hold the key a token is bound to (RFC 9449).

    Called from many threads.
    """

    def proof(self, method: str, url: str, token: Token, now: float) -> str:
        """The value of the ``DPoP`` header.

        Args:
            method: The request's method.
            url: Where it goes; query and fragment are not part of the proof.
            token: The token it carries.
            now: POSIX time in seconds.
        """

    def learn(self, url: str, nonce: str) -> None:
        """Use this nonce from now on for the origin of the URL (section 8.2)."""


@runtime_checkable
class Store(Protocol):
    """Where tokens and cool-downs are kept and locked; shared by all who name the same one.

    Every method is called from many threads. A record is text that may hold secrets in the clear:
    the store guards it. Errors of the store are `OSError` or `TimeoutError`; any of them leaves
    the library with what it has in memory, and the store is tried again the next time.

    A store may also have ``place``, a hashable value that is equal for all stores of a process that
    hold the same records; without it each object counts as a place of its own.
    """

    def read(self, key: str) -> str | None:
        """The record under a key; None when there is none.

        Raises:
            OSError: It cannot be told whether there is one, or what it says: the store is out of
                reach or torn.
        """

    def write(self, key: str, record: str) -> None:
        """Keep a record: all of it or, when that fails, what was there before."""

    def lock(self, key: str, timeout: float) -> AbstractContextManager[object]:
        """Exclude everyone else who locks this key while the context is entered.

        Args:
            key: What to lock.
            timeout: Seconds to wait for it; none at or below 0.

        Raises:
            TimeoutError: Another held it all that time.
            OSError: It cannot be locked at all: the store is out of reach, or has no locks.
        """

    def push(self, key: str, until: float, now: float) -> float:
        """Move a time that nothing may happen before forward, never back.

        The order of pushes does not matter, and who pushes needs no lock: of two at once the later
        time stays, and so does what others write meanwhile. What stands under the key and is no
        number is replaced. `read` returns the time as its ``repr``, until it has passed; then the
        store may forget it.

        Args:
            key: What the record stands under.
            until: The time, in POSIX seconds, finite.
            now: The caller's time, in POSIX seconds, as stores read no clock.

        Returns:
            The later of ``until`` and the time that is there.

        Raises:
            OSError: It could not be kept; what was there stays.
        """
