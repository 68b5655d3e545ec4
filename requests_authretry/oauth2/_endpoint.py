"""Ask an authorization server for a token or a device code."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from .._call.adapter import AuthRetryAdapter
from .._call.translate import seconds_ahead_of
from .._core.document import read_object
from .._core.headers.rate_limit_fields import RateLimits
from .._core.http import BAD_REQUEST, FIRST_REDIRECT, OK, UNAUTHORIZED
from .._core.origin import Origin, redacted
from .._core.token_answer import DPOP
from .._core.unauthorized import NONCE_WANTED
from .._errors import AuthRetryError, RefreshFailed
from .._settings import Settings
from ._answers import REDIRECTS, Answer, GrantRefused, metadata_in, read_answer, token_in
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
_LIMITS = RateLimits()
"""Those of all token requests, so that none has the names of header fields checked anew."""

_SIGNED_ATTEMPTS = 3
"""How often one request is sent to a server that demands another nonce or time."""

_CLOCK_AT_FAULT = {BAD_REQUEST, UNAUTHORIZED}
_WAITING = {"authorization_pending", "slow_down"}


class Endpoint:
    """Sends the requests of one renewal to a client's authorization server.

    Attributes:
        refresh_token: The refresh token in the last good answer, None if it brought none.
    """

    def __init__(self, client: Client, context: FetchContext) -> None:
        self.refresh_token: object = None
        self._client, self._context = client, context
        self._deadline = context.clock.monotonic() + context.timeout
        # Whether an answer is awaited past the deadline: it may hold the next refresh token.
        self._waits_on = True

    def address(self, endpoint: str = "token_url") -> str:
        """Return the URL of an endpoint, as `_metadata.address`."""
        return address(self._client, lambda url: metadata_in(url, self._send("GET", url)), endpoint)

    def token(self, form: Callable[[Moment], Fields], refresh_token: str | None = None) -> Token:
        """Ask for a token.

        Args:
            form: Makes the fields of one attempt, as a signed field is good for one use.
            refresh_token: The one to keep if the answer brings none (RFC 6749 section 6).

        Raises:
            RefreshFailed: The server gave no token that can be used. The message names the fault
                and holds no secret.
        """
        answer = self._ask("token_url", form)
        given = answer.fields.get("refresh_token")
        self.refresh_token = given if isinstance(given, str) and given else None
        token = token_in(answer, self._client, refresh_token)
        if token.scheme == DPOP and self._client.prover is None:
            fault = "its token is bound to a key, and the client has none: see dpop"
            raise RefreshFailed(f"{answer.where}, but {fault}")
        return token

    def refreshed(self, extra: Mapping[str, str]) -> Token | None:
        """Spend the refresh token of the stale token (RFC 6749 section 6); None if it has none.

        Args:
            extra: Further fields of the form.

        Raises:
            GrantRefused: The refresh token is no good any more.
            RefreshFailed: The server refused something else, or no answer came.
        """
        stale = self._context.stale
        spent = stale.refresh_token if stale else None
        if not spent:
            return None
        form = {"grant_type": "refresh_token", "refresh_token": spent, **extra}
        return self.token(lambda _: form, spent)

    def refreshed_if_possible(self, extra: Mapping[str, str]) -> Token | None:
        """Spend the refresh token, as `refreshed`; None also if it is no good any more.

        A token that another process got with the same refresh token is returned instead.
        """
        try:
            return self.refreshed(extra)
        except GrantRefused:
            return self._context.sibling()

    def device(self, fields: Fields) -> Fields:
        """Ask for a device code (RFC 8628 section 3.1).

        Raises:
            RefreshFailed: The server gave none.
        """
        return self._ask("device_url", lambda _: fields).fields

    def revoke(self, token: str, kind: str) -> None:
        """Have a token revoked (RFC 7009); one that the server does not know is none.

        Args:
            token: The refresh token, or the access token.
            kind: ``refresh_token`` or ``access_token``.

        Raises:
            RefreshFailed: The server refused, no answer came, or there is no such endpoint.
        """
        self._waits_on = False  # the answer holds no token: nothing is lost with it
        form = {"token": token, "token_type_hint": kind}
        url, response, signer = self._post("revocation_url", lambda _: form)
        is_done = OK <= response.status_code < FIRST_REDIRECT  # with whatever body, or none
        if not is_done or "error" in read_object(response.content):
            read_answer(url, response, signer, {}, strict=self._client.strict)

    def _ask(self, endpoint: str, form: Callable[[Moment], Fields]) -> Answer:
        """Send a form to an endpoint, and return its good answer."""
        url, response, signer = self._post(endpoint, form)
        paths = self._client.fields if endpoint == "token_url" else {}
        return read_answer(url, response, signer, paths, strict=self._client.strict)

    def _post(
        self, endpoint: str, form: Callable[[Moment], Fields]
    ) -> tuple[str, Response, Signer]:
        """Send a form to an endpoint; return its URL, the answer and what signed the form."""
        url = self.address(endpoint)
        signer = Signer(self._client, url, form, self._context.clock)
        for _ in range(_SIGNED_ATTEMPTS):
            response = self._send("POST", url, signer)
            if not self._asks_again(url, response, signer):
                break
        if response.status_code in _MOVED:
            self._client.metadata = {}  # the next renewal reads it again
        return url, response, signer

    def _asks_again(self, url: str, response: Response, signer: Signer) -> bool:
        """Learn nonce and time from an answer; return whether another signature may be accepted."""
        if not signer.is_dated:
            return False
        prover, clocks = self._client.prover, self._client.clocks
        nonce = response.headers.get("DPoP-Nonce")
        error = read_object(response.content).get("error")
        if nonce and prover is not None:
            prover.learn(url, nonce)
            # An answer may demand a proof with the nonce that it brings (RFC 9449 section 8).
            if error == NONCE_WANTED:
                return True
        clock = self._context.clock
        ahead = seconds_ahead_of(response, signer.now, clock.time())
        if response.status_code in _CLOCK_AT_FAULT and error not in _WAITING:
            return clocks.correct(url, ahead, signer.ahead, clock)
        clocks.follow(url, ahead, clock)
        return False

    def _send(self, method: str, url: str, signer: Signer | None = None) -> Response:
        """Send a request under the caller's retry policy; return the answer, whatever its status.

        Redirects are not followed.

        Raises:
            RefreshFailed: No answer came.
        """
        theirs, allow_http = self._client.session, self._client.allow_http
        with session_like(theirs) as ours:
            below: Any = (theirs or ours).get_adapter(url)
            while isinstance(below, AuthRetryAdapter):
                # Go around an adapter of ours: it may wait for the very token that we ask for.
                below = below.inner or HTTPAdapter()
            clock = self._context.clock
            inner = Bounded(
                below,
                clock,
                allow_http=allow_http,
                closes=theirs is None,
                seconds=inf if self._waits_on else self._left(),
            )
            adapter = AuthRetryAdapter(self._settings(method, url, signer), inner)
            ours.mount("https://", adapter)
            ours.mount("http://", adapter)
            try:
                # An auth of its own keeps requests from looking into netrc.
                return ours.request(method, url, auth=lambda same: same, allow_redirects=False)
            except RefreshFailed:
                raise
            except AuthRetryError as error:  # nothing was sent, and the message is this library's
                raise RefreshFailed(*error.args) from None
            except requests.RequestException as error:
                fault = f"{redacted(url)} gave no answer that can be used: {kind_of(error)}"
                raise RefreshFailed(fault) from error

    def _left(self) -> float:
        return max(self._deadline - self._context.clock.monotonic(), _LEAST_SECONDS)

    def _settings(self, method: str, url: str, signer: Signer | None) -> Settings:
        """Return the settings of one request: the caller's retry policy, fit for token requests."""
        context = self._context
        given = context.retry
        retry = replace(
            given,
            # After an early renewal that failed, another follows.
            max_attempts=1 if context.early else given.max_attempts,
            # Retry a token request even if it may have been processed: then its answer is lost
            # anyway, and otherwise the retry saves the session.
            methods={*given.methods, method},
            # Each attempt has a signature of its own, so that its body differs.
            idempotency_key=False,
            deadline=self._left(),
        )
        return Settings(
            auth=signer,
            origins=[str(Origin.of(url))],
            allow_http=True,  # the client and the adapter below have checked the URL
            retry=retry,
            limits=_LIMITS,
            clock=context.clock,
        )
