"""The device grant: the user signs in on another device (RFC 8628)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from requests import RequestException

from .._core.arguments import checks_arguments
from .._core.bounds import USER_CODE, WORDS
from .._core.token import Secret, Token
from .._errors import RefreshFailed
from ._answers import UNAVAILABLE, number
from ._client import Client
from ._endpoint import Endpoint
from ._grant import Grant
from ._transport import ANSWER_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .._protocols import FetchContext
    from ._form import Fields

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL = 5.0
_LEAST_INTERVAL = 1.0
_SLOWER = 5.0
_LONGEST = 1800.0
"""The longest wait for the user in seconds, even if the server allows more."""


@dataclass(frozen=True)
class SignIn:
    """The address and the code to show to the user.

    Attributes:
        url: The page to open.
        code: The code to enter there.
        complete_url: The page with the code in its address, None if the server gives none.
        expires_in: Seconds until the code expires.
    """

    url: str
    code: str = field(repr=False)
    complete_url: str | None = field(repr=False)
    expires_in: float


def show(sign_in: SignIn) -> None:
    """Ask the user to sign in, on standard error."""
    print(f"To sign in, open {sign_in.url} and enter the code {sign_in.code}", file=sys.stderr)  # noqa: T201 (it is for the user)


@checks_arguments()
class DeviceCode(Grant):
    """A user's token, for programs without a browser (RFC 8628). Safe to use from many threads.

    The user is asked if there is no refresh token, or if the server refuses it. A request waits
    for the user no longer than its deadline; the sign-in goes on, and serves later requests.

    Args:
        client: The client that asks for tokens, with an ``issuer`` or a ``device_url``.
        scopes: As `Grant`; many servers give a refresh token for ``offline_access`` only.
        prompt: Called with a `SignIn` to show to the user; the default prints it on standard
            error.
        extra: As `Grant`.
        store_key: As `Grant`; give one if several users share a store.
    """

    patience = _LONGEST

    def __init__(
        self,
        client: Client,
        scopes: Iterable[str] = (),
        *,
        prompt: Callable[[SignIn], object] = show,
        extra: Mapping[str, str] | None = None,
        store_key: str | None = None,
    ) -> None:
        self._prompt = prompt
        super().__init__(client, scopes, extra=extra, store_key=store_key)

    def _faults(self) -> Iterable[str | None]:
        prompt: Any = self._prompt
        if not callable(prompt):
            yield "prompt must be a function"
        client: Any = self.client
        if isinstance(client, Client) and not (client.issuer or client.device_url):
            yield "the client needs a device_url, or an issuer that names one"

    def fetch(self, context: FetchContext) -> Token:
        """Refresh the token, or have the user sign in, as `Grant.fetch`."""
        refreshed = Endpoint(self.client, context).refreshed_if_possible(self.extra)
        if refreshed is not None:
            return refreshed
        if context.early:
            raise RefreshFailed("nobody is asked to sign in before it is needed")
        endpoint = Endpoint(self.client, context)
        asked = endpoint.device({"scope": " ".join(self.scopes), **self.extra})
        sign_in, code, interval = _read(asked)
        self._prompt(sign_in)
        return self._polled(context, code, interval, sign_in.expires_in)

    def _polled(self, context: FetchContext, code: str, interval: float, life: float) -> Token:
        """Ask for the token until the user has signed in or declined (section 3.5)."""
        clock = context.clock
        until = clock.monotonic() + life
        form: Fields = {"grant_type": _GRANT, "device_code": code}
        while clock.monotonic() + interval < until:
            clock.sleep(interval)
            try:
                return Endpoint(self.client, context).token(lambda _: form)
            except RefreshFailed as error:
                if error.error == "slow_down":
                    interval += _SLOWER
                elif error.error == UNAVAILABLE or isinstance(error.__cause__, RequestException):
                    interval *= 2
                elif error.error != "authorization_pending":
                    raise
        fault = "nobody signed in before the code was not good any more"
        raise RefreshFailed(fault, error="expired_token")


def _read(asked: Fields) -> tuple[SignIn, str, float]:
    """Return the sign-in for the user, the device code, and the seconds between two requests.

    Raises:
        RefreshFailed: The answer to the device request cannot be used.
    """
    url = asked.get("verification_uri") or asked.get("verification_url")
    code, complete = asked.get("user_code"), asked.get("verification_uri_complete")
    is_clear = _fits(url, WORDS) and _fits(code, USER_CODE)
    if not is_clear or not _fits(asked.get("device_code"), ANSWER_BYTES):
        raise RefreshFailed("the answer to the device request lacks a code, or where to enter it")
    life, interval = number(asked.get("expires_in")), number(asked.get("interval") or _INTERVAL)
    if life is None or life <= 0 or interval is None or interval < 0:
        raise RefreshFailed("the answer to the device request has absurd times")
    sign_in = SignIn(
        url=str(url),
        code=str(code),
        complete_url=str(complete) if _fits(complete, WORDS) else None,
        expires_in=min(life, _LONGEST),
    )
    return sign_in, Secret(asked["device_code"]), max(interval, _LEAST_INTERVAL)


def _fits(text: object, most: int) -> bool:
    """Whether a value is text that can be printed, and has at most this many characters."""
    return isinstance(text, str) and 0 < len(text) <= most and text.isprintable()
