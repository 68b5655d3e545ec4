"""What stands behind `Credentials`: which credential is in force, and what is done with it."""

from __future__ import annotations

from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any

from ._admission.waiting import Waiter
from ._core.display import shown
from ._core.origin import Origin
from ._core.records import Reason
from ._core.token import Token
from ._core.validation import refuse
from ._credentials import CredentialStatus
from ._errors import AuthRetryError, ConfigurationError, RefreshFailed
from ._events import logger
from ._override import current
from ._protocols import FetchContext
from ._shared import SharedState
from ._threads import is_done_within
from ._tokens.renewal import NoToken, Renewal, SourceError
from ._warnings import name_of, pointing_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from ._settings import Settings
    from ._tokens.manager import TokenManager

_LOGGED_SECONDS = 1.0
"""A program that waits longer than this for a token says so in the log."""


def find(settings: Settings, url: str | None) -> HeldCredential:
    """Return the credential that calls of this thread or task would send now.

    Args:
        settings: The settings object.
        url: A URL of the site; None: of the only site that has a credential.

    Raises:
        ConfigurationError: There is none, or there are several.
        RefreshFailed: There is no source for the identity.
        AuthRetryError: There is no identity.
    """
    shared, override = SharedState.of(settings), current.get()
    states = list(dict.fromkeys([shared, *shared.sites.values()]))
    if url is not None:
        states = [shared.serving(url)]
    if override is not None:
        if shared.sites:
            override.refuse_for_sites()
        states = [state.overridden(override) for state in states]
    origin = None if url is None else Origin.of(url)
    found = [state for state in states if _has_token(state) and origin in {None, *state.origins}]
    state = found[0].acting_now() if len(found) == 1 else shared
    if len(found) != 1 or state.tokens is None:
        raise ConfigurationError("Credentials", [_fault(shared, states, url)])
    return HeldCredential(state, state.tokens)


def _has_token(state: SharedState) -> bool:
    return state.tokens is not None or state.identities is not None


def _fault(shared: SharedState, states: list[SharedState], url: str | None) -> str:
    """Return why there is no credential to be had, or more than one."""
    known = [*states, shared, *shared.sites.values()]
    origins = list(
        dict.fromkeys(str(o) for each in known if _has_token(each) for o in each.origins)
    )
    if any(state.observes for state in states):
        return "the settings only observe, and have no credential then: leave out observe=True"
    if not origins:
        if any(state.has_credentials for state in states):
            return "the settings sign each request with their auth: there is no token to hold"
        return "the settings have no token: give Settings(token=..., origins=[...])"
    named = ", ".join(origins)
    if url is not None:
        return f"the settings have no token for {Origin.of(url)}: they have one for {named}"
    return f"several sites have a token: choose with credentials.at({origins[0]!r}), of {named}"


class HeldCredential:
    """The credential of one site, see `Credentials`. Safe to use from many threads."""

    def __init__(self, state: SharedState, tokens: TokenManager) -> None:
        self._state, self._tokens = state, tokens

    def token(self, seconds: float | None) -> Token:
        """Return a token that is good now, as `Credentials.token`."""
        end = self._end(seconds, self._state.deadline_seconds)
        return self._tokens.usable(end, self._waiting(end))

    def renew(self, refused: Token | None, seconds: float | None) -> Token:
        """Replace the token, as `Credentials.renew`."""
        end = self._end(seconds, self._state.deadline_seconds)
        if refused is not None:
            return self._replaced(FetchContext(refused, refused=True), end)
        newest, held = self._newest(end), self._tokens.held.token
        token = self._replaced(FetchContext(held), end)
        if newest is not None and newest != held and token.value == newest.value:
            # What the store had already is no renewal.
            token = self._replaced(FetchContext(token), end)
        return token

    def sign_in(self, seconds: float | None) -> CredentialStatus:
        """Make sure that there is a token, as `Credentials.sign_in`."""
        patience = getattr(self._state.active.token, "patience", 0.0)
        end = self._end(seconds, max(patience, self._state.deadline_seconds))
        self._tokens.forget_failure()
        if self._newest(end) is None:
            self._replaced(FetchContext(self._tokens.held.token), end)
        else:
            self._tokens.usable(end, self._waiting(end))
        return self.status()

    def forget(self, seconds: float | None) -> None:
        """Forget the token, as `Credentials.forget`."""
        self._forget(self._end(seconds, self._state.deadline_seconds), lambda _: None)

    def revoke(self, seconds: float | None) -> None:
        """Have the server end the token, then forget it, as `Credentials.revoke`."""
        end, source = self._end(seconds, self._state.deadline_seconds), self._state.active.token
        self._refuse_constant()
        ask = getattr(source, "revoke", None)
        if ask is None:
            raise AuthRetryError(
                f"the token source {name_of(source)} cannot revoke its tokens: call forget(), "
                "which forgets them here; the server takes them until they expire"
            )
        self._forget(end, lambda token: self._revoke(ask, token, end))

    def status(self) -> CredentialStatus:
        """Return what is known of the token, as `Credentials.status`."""
        settings, tokens = self._state.active, self._tokens
        known: dict[str, Any] = {
            "source": shown(settings.token),
            "key": tokens.key,
            "kept_in": shown(settings.store) if tokens.is_kept_in_store() else "memory",
            "origins": tuple(settings.origins),
        }
        token = tokens.newest()
        if token is None:
            return CredentialStatus(**known)
        at = token.expires_at
        return CredentialStatus(
            **known,
            has_token=True,
            scheme=token.scheme,
            expires_at=at,
            expires_in=None if at is None else at - settings.clock.time(),
            scopes=token.scopes,
            is_renewable=bool(token.refresh_token),
        )

    def _newest(self, end: float) -> Token | None:
        """Return the newest token, also of the store.

        Another thread reads the store, as a store may hang.

        Raises:
            RefreshFailed: The store does not answer in time, or ends the thread that reads it.
            Exception: Whatever the store raises that is no `OSError`.
        """
        found: Token | Exception | None = RefreshFailed("the store ended the thread that read it")

        def read() -> None:
            nonlocal found
            try:
                found = self._tokens.newest()
            except Exception as error:  # noqa: BLE001 (raised again below)
                found = error

        left = max(end - self._state.clock.monotonic(), 0.0)
        if not is_done_within(left, pointing_here(read), name="requests_authretry store"):
            raise RefreshFailed("no token within the deadline: the store does not answer")
        if isinstance(found, Exception):
            raise found
        return found

    def _replaced(self, context: FetchContext, end: float) -> Token:
        """Return the token that replaces the stale one.

        Raises:
            RefreshFailed: There is none.
        """
        result = self._tokens.renew(context, end, self._waiting(end))
        if isinstance(result, Reason):
            raise RefreshFailed(f"the token was not renewed: {result.value}")
        return result

    def _end(self, seconds: float | None, default: float) -> float:
        """Return when all has to be over, in monotonic seconds."""
        clock, override = self._state.clock, current.get()
        end = clock.monotonic() + (default if seconds is None else seconds)
        block = None if override is None else override.block
        return end if block is None else min(end, block.end(clock)[0])

    def _waiting(self, end: float) -> Callable[[], AbstractContextManager[Waiter]]:
        """Return what lets this thread wait, as part of no call."""
        clock = self._state.clock
        began, is_told = clock.monotonic(), False

        def on_wait(reason: Reason, seconds: float | None, _: float | None) -> None:
            nonlocal is_told
            length = clock.monotonic() - began + (seconds or 0.0)
            if length >= _LOGGED_SECONDS and not is_told:
                is_told = True
                logger.info("a program waits for its token: %s", reason.value)

        @contextmanager
        def waiting() -> Iterator[Waiter]:
            yield Waiter(clock, end, inf, on_wait)

        return waiting

    def _forget(self, end: float, revoke: Callable[[Token | None], object]) -> None:
        self._refuse_constant()
        left = max(end - self._state.clock.monotonic(), 0.0)
        fault = None
        try:
            is_written = self._tokens.forget(left, revoke)
        except NoToken as error:
            fault = str(error)
        if fault is not None:
            raise AuthRetryError(f"nothing was forgotten: {fault}")
        logger.info("the token of %s was forgotten", self._tokens.key)
        if not is_written:
            raise AuthRetryError(
                "the token was forgotten in this process only: its store could not be written (the "
                "log says why), and other processes go on using it"
            )

    def _revoke(self, ask: Callable[[FetchContext], None], token: Token | None, end: float) -> None:
        """Have the source end a token at the server.

        Raises:
            AuthRetryError: It failed.
        """
        clock, retry = self._state.clock, self._state.active.retry
        left = max(end - clock.monotonic(), 0.0)
        context = FetchContext(token, timeout=left, retry=retry, clock=clock)
        # As in a renewal: what the source sends is no call of the program.
        work = Renewal(context, inf, is_second=False)
        fault, cause = None, None
        try:
            work.begin_here(lambda _: ask(context))
        except (RefreshFailed, NoToken) as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 (its text may hold a secret)
            fault = f"the token source failed with {type(error).__name__}"
            cause = SourceError.of(error)
        finally:
            work.set()
        if fault is not None:
            # Here, where no frame of the source is part of the exception.
            raise AuthRetryError(
                f"nothing was revoked or forgotten: {fault}. forget() forgets the token here"
            ) from cause

    def _refuse_constant(self) -> None:
        """Refuse to forget a token that stands in the settings.

        Raises:
            ConfigurationError: It does.
        """
        if isinstance(self._state.active.token, Token):
            fault = "the settings hold the token itself: leave it out of them to forget it"
            refuse("Credentials", [fault])
