"""`Credentials`: what a program may do with the credential of its settings, besides its calls.

What it does stands in `_holding`, above `Settings`, which hands out this class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ._core.origin import Origin
from ._core.records import seconds_text
from ._core.token import Token
from ._core.validation import is_text, refuse, seconds

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class CredentialStatus:
    """What is known of a credential, from `Credentials.status`. It holds no secret.

    Attributes:
        source: Where its tokens come from.
        key: The name under which the token is kept; it tells identities apart.
        kept_in: The store that keeps it; ``"memory"``: only this process has it.
        origins: Where it may be sent.
        has_token: Whether there is a token, still good or not.
        scheme: The word before the token in ``Authorization``; "" without a token.
        expires_at: POSIX time in seconds at which the token ends; None if that is unknown.
        expires_in: Seconds until then, below zero if it is over; None if that is unknown.
        scopes: The scopes that the token is good for, as far as the server said.
        is_renewable: Whether there is a refresh token, so that no person has to sign in again.
    """

    source: str
    key: str
    kept_in: str
    origins: tuple[str, ...]
    has_token: bool = False
    scheme: str = ""
    expires_at: float | None = None
    expires_in: float | None = None
    scopes: tuple[str, ...] = ()
    is_renewable: bool = False

    def __str__(self) -> str:
        """Return a line for people."""
        said = [f"{self.scheme} token"] if self.has_token else ["no token"]
        if self.has_token:
            left = self.expires_in
            over = left is not None and left <= 0
            end = "expiry unknown" if left is None else f"expires in {seconds_text(left)}"
            said.append(f"expired {seconds_text(-left)} ago" if left is not None and over else end)
            said.append("renewable" if self.is_renewable else "no refresh token")
            said += [f"scopes {' '.join(self.scopes)}"] if self.scopes else []
        where = " ".join(self.origins)
        kept = f"kept in {self.kept_in} as {self.key!r}"
        return f"{where}: {', '.join(said)}; from {self.source}, {kept}"


class Held(Protocol):
    """The credential of one site, see `Credentials`."""

    def token(self, seconds: float | None) -> Token:
        """Return a token that is good now."""

    def renew(self, refused: Token | None, seconds: float | None) -> Token:
        """Return another token than the present one."""

    def sign_in(self, seconds: float | None) -> CredentialStatus:
        """Make sure that there is a token."""

    def forget(self, seconds: float | None) -> None:
        """Forget the token."""

    def revoke(self, seconds: float | None) -> None:
        """Have the server end the token, and forget it."""

    def status(self) -> CredentialStatus:
        """Return what is known of the token."""


class Credentials:
    """The credential of a settings object, for a program to hold: for a websocket, gRPC, a program.

    From `Mounted.credentials`, `Installed.credentials` and `Settings.credentials`. It is the
    credential that the calls send, so that both renew it once, and it lives as long as the
    settings: also after `unmount`, and after the session was closed. Where several sites have a
    credential, choose one with `at`. What an `override` block or a `deadline` block says holds here
    too, and with `PerIdentity` it is the credential of the identity that `acting_as` names. Safe to
    use from many threads, and after a fork.

    All methods but `at` and `status` take a ``deadline``, the seconds that they may take. Each
    raises `ConfigurationError` where the settings have no token, only observe, or have several
    sites and none was chosen; the message names the sites. With `PerIdentity` and no identity, it
    raises `AuthRetryError`.
    """

    # Made by `Settings.credentials`. `find` returns the credential that is in force at the moment,
    # of the site with an origin.
    def __init__(self, find: Callable[[str | None], Held], origin: str | None = None) -> None:
        self._find, self._origin = find, origin

    def at(self, url: str) -> Credentials:
        """Choose the credential of one site.

        Args:
            url: Any URL of the site, or its origin.

        Raises:
            ConfigurationError: It is no URL.
        """
        origin = Origin.of(url) if is_text(url) else None
        fault = "url must be a URL such as 'https://api.example.com'"
        refuse("Credentials.at", [fault if origin is None else None])
        return type(self)(self._find, str(origin))  # the rest of the URL may hold a secret

    def token(self, *, deadline: float | None = None) -> Token:
        """Return a token that is good now, renewed first if it has to be.

        Ask for each connection or message anew: nothing is sent while the token is good.

        Args:
            deadline: Seconds to wait for a renewal at most; None: the deadline of the settings.

        Raises:
            RefreshFailed: There is none to be had within the deadline.
        """
        return self._held(deadline).token(deadline)

    def renew(self, refused: Token | None = None, *, deadline: float | None = None) -> Token:
        """Replace the token, although it may still be good: after a change of roles, say.

        Callers at the same time share one renewal. A function or a credential object of another
        library may keep its token, and give it again.

        Args:
            refused: The token that a server has just refused: if it was replaced meanwhile, nothing
                is renewed, and the newer token returned. None: the token of the moment is replaced.
            deadline: As `token`.

        Raises:
            RefreshFailed: As `token`.
        """
        if not isinstance(refused, Token | None):
            raise TypeError("renew takes the Token that was refused, or nothing")
        return self._held(deadline).renew(refused, deadline)

    def sign_in(self, *, deadline: float | None = None) -> CredentialStatus:
        """Get a token before the first call, if there is none: a person may be asked now.

        Args:
            deadline: Seconds to wait at most; None: as long as the source says that a person may
                take, and at least the deadline of the settings.

        Returns:
            What is known of the token then.

        Raises:
            RefreshFailed: As `token`.
        """
        return self._held(deadline).sign_in(deadline)

    def forget(self, *, deadline: float | None = None) -> None:
        """Forget the token and its refresh token, in memory and in the store.

        The next call asks the source again. The server is not told: see `revoke`. Other processes,
        and other settings objects of this one with the same source, find out when they renew, and
        then ask again too; until then they send the token that they have. Where a renewal is under
        way, this waits for it.

        Args:
            deadline: Seconds to wait for another process that renews the token; None: the deadline
                of the settings.

        Raises:
            AuthRetryError: Another process renewed the token all that time, and nothing was
                forgotten; or the store could not be written, and only this process has forgotten.
            ConfigurationError: The settings hold the token itself.
        """
        self._held(deadline).forget(deadline)

    def revoke(self, *, deadline: float | None = None) -> None:
        """Have the server end the refresh token (RFC 7009), then forget as `forget`.

        The sources of `requests_authretry.oauth2` can, if their server has a revocation endpoint;
        so can a source with a method ``revoke``. Where there is no refresh token, the access token
        is revoked. Many servers take access tokens until they expire, also after that.

        Args:
            deadline: Seconds that it may take; None: the deadline of the settings.

        Raises:
            AuthRetryError: The source cannot revoke, or the server did not do it: then nothing was
                forgotten. Or as `forget`.
            ConfigurationError: As `forget`.
        """
        self._held(deadline).revoke(deadline)

    def status(self) -> CredentialStatus:
        """Return what is known of the credential, and change nothing. The store is read."""
        return self._held(None).status()

    def _held(self, deadline: float | None) -> Held:
        fault = None if deadline is None else seconds("deadline", deadline)
        refuse("Credentials", [fault])
        return self._find(self._origin)

    def __repr__(self) -> str:
        """Show the site that was chosen."""
        chosen = "" if self._origin is None else f" at {self._origin!r}"
        return f"<{type(self).__name__}{chosen}>"
