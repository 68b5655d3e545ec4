"""Asking an authorization server: for a token, or for a device code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from .._call.adapter import AuthRetryAdapter
from .._core.document import read_object
from .._core.origin import Origin, redacted
from .._core.unauthorized import NONCE_WANTED
from .._errors import INVALID_GRANT, AuthRetryError, RefreshFailed
from .._settings import Settings
from ._answers import DPOP, REDIRECTS, UnusableError, fields_in, token_in
from ._form import Signer
from ._metadata import address
from ._transport import Bounded, kind_of, session_like

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from requests import Response

    from .._core.token import Token
    from .._protocols import FetchContext
    from ._client import Client
    from ._form import Fields, Moment

_MOVED = {*REDIRECTS, 404, 405, 410}
_LEAST_SECONDS = 0.001

_NONCES = 2
"""So often a server may change its nonce under us (RFC 9449 section 8)."""


class Endpoint:
    """A client's authorization server, for the time of one renewal.

    Attributes:
        refresh_token: The one in the last good answer, None where it brought none.
    """

    def __init__(self, client: Client, context: FetchContext) -> None:
        self.refresh_token: object = None
        self._client, self._context = client, context
        self._deadline = context.clock.monotonic() + context.timeout

    def address(self, endpoint: str = "token_url") -> str:
        """Find an endpoint: where the client was told, else where its issuer says.

        Raises:
            RefreshFailed: It is not to be found.
        """
        return address(self._client, lambda url: self._send("GET", url), endpoint)

    def token(self, form: Callable[[Moment], Fields], refresh_token: str | None = None) -> Token:
        """Ask for a token.

        Args:
            form: Makes the fields of one attempt: what is signed is good for one use.
            refresh_token: What to keep where the answer brings no other (RFC 6749 section 6).

        Raises:
            RefreshFailed: There was none, in words that name the fault and hold no secret.
        """
        url, answer, asked = self._ask("token_url", form)
        given = answer.get("refresh_token")
        self.refresh_token = given if isinstance(given, str) and given else None
        try:
            token = token_in(answer, asked, refresh_token)
        except UnusableError as error:
            raise RefreshFailed(f"{redacted(url)} answered 200, but {error}") from None
        if token.scheme == DPOP and self._client.prover is None:
            fault = "its token is bound to a key, and the client has none: see dpop"
            raise RefreshFailed(f"{redacted(url)} answered 200, but {fault}")
        return token

    def refreshed(self, extra: Mapping[str, str]) -> Token | None:
        """Spend the refresh token there is (RFC 6749 section 6); None where there is none.

        Args:
            extra: Further fields of the form.

        Raises:
            RefreshFailed: It was not taken, ``error`` says why; or no answer came.
        """
        stale = self._context.stale
        spent = stale.refresh_token if stale else None
        if not spent:
            return None
        form = {"grant_type": "refresh_token", "refresh_token": spent, **extra}
        return self.token(lambda _: form, spent)

    def refreshed_if_possible(self, extra: Mapping[str, str]) -> Token | None:
        """The same, or what another got with it; None also where it is not good any more."""
        try:
            return self.refreshed(extra)
        except RefreshFailed as error:
            if error.error != INVALID_GRANT:
                raise
            return self._context.sibling()

    def device(self, fields: Fields) -> Fields:
        """Ask for a device code (RFC 8628 section 3.1).

        Raises:
            RefreshFailed: There was none.
        """
        return self._ask("device_url", lambda _: fields)[1]

    def _ask(self, endpoint: str, form: Callable[[Moment], Fields]) -> tuple[str, Fields, float]:
        """Ask an endpoint.

        Returns:
            Its URL, the fields of its answer, and when the attempt began that brought it.
        """
        url = self.address(endpoint)
        signer = Signer(self._client, url, form, self._context.clock)
        response = self._send("POST", url, signer)
        for _ in range(_NONCES):
            if not self._wants_other_nonce(url, response):
                break
            response = self._send("POST", url, signer)
        if response.status_code in _MOVED:
            self._client.metadata = {}  # the next renewal reads it again
        return url, fields_in(url, response, signer), signer.now

    def _wants_other_nonce(self, url: str, response: Response) -> bool:
        """Whether the answer demands a proof with the nonce that it brings (RFC 9449 section 8)."""
        nonce = response.headers.get("DPoP-Nonce")
        if not nonce or self._client.prover is None:
            return False
        self._client.prover.learn(url, nonce)
        return bool(read_object(response.content).get("error") == NONCE_WANTED)

    def _send(self, method: str, url: str, signer: Signer | None = None) -> Response:
        """Return the answer, whatever its status; redirects are not followed.

        Raises:
            RefreshFailed: There was none.
        """
        theirs, allow_http = self._client.session, self._client.allow_http
        with session_like(theirs) as ours:
            below: Any = (theirs or ours).get_adapter(url)
            while isinstance(below, AuthRetryAdapter):
                # Of an adapter of ours only what is below: its token may be the one we are to get.
                below = below.inner or HTTPAdapter()
            clock = self._context.clock
            inner = Bounded(below, clock, allow_http=allow_http, closes=theirs is None)
            adapter = AuthRetryAdapter(self._settings(method, url, signer), inner)
            ours.mount("https://", adapter)
            ours.mount("http://", adapter)
            try:
                # An auth of its own keeps requests from looking into netrc.
                return ours.request(method, url, auth=lambda same: same, allow_redirects=False)
            except RefreshFailed:
                raise
            except AuthRetryError as error:  # nothing was sent, and the words are ours
                raise RefreshFailed(*error.args) from None
            except requests.RequestException as error:
                fault = f"{redacted(url)} gave no answer that can be used: {kind_of(error)}"
                raise RefreshFailed(fault) from error

    def _settings(self, method: str, url: str, signer: Signer | None) -> Settings:
        """The caller's own policy; an early renewal makes one try, as another follows later."""
        context = self._context
        given = context.retry
        left = self._deadline - context.clock.monotonic()
        retry = replace(
            given,
            max_attempts=1 if context.early else given.max_attempts,
            # A token request goes again though it may have been processed: if it has, the answer
            # is lost anyway; if not, this is what saves the session.
            methods={*given.methods, method},
            # Each attempt is signed anew: to a server that knows the header, another payload.
            idempotency_key=False,
            deadline=max(left, _LEAST_SECONDS),
        )
        return Settings(
            auth=signer,
            origins=[str(Origin.of(url))],
            allow_http=True,  # the client and the adapter below have judged the URL
            retry=retry,
            clock=context.clock,
        )
