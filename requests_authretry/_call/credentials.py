"""The credential of one call: where it is attached, and what was sent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from requests.utils import select_proxy

from .._core.http import UNAUTHORIZED
from .._core.identity import identity_of, name_of, with_certificate
from .._core.origin import Origin, redacted
from .._core.placement import Query
from .._core.records import Reason
from .._core.target import Target, origin_name, path_pattern
from .._core.unauthorized import has_replayed
from .._core.validation import ConfigurationError
from .._errors import AuthRetryError
from .digest import digest_of, response_hooks
from .outgoing import headers_of, with_own_headers
from .placing import hide_in_answer, own_cookies, text_in, with_token
from .translate import seconds_ahead_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from requests import PreparedRequest, Response
    from requests.auth import HTTPDigestAuth

    from .._admission.waiting import Waiter
    from .._core.token import Token
    from .._protocols import Prover
    from .._shared import SharedState

Proxies = Any
"""What requests hands to an adapter: a proxy's URL by scheme or by scheme and host, or None."""

_NONCES_IN_A_ROW = 3
"""A server may change its nonce while a proof with the last one is under way, but not for ever."""

_BOUND = "DPoP"


class Credentials:
    """The credential that one call sends, and how often it was replayed. Used by one thread.

    Attributes:
        sent: The token that the last attempt carried, None if it carried none of ours.
        is_signed: Whether the last attempt was signed by the ``auth`` of the settings.
        hooks: The response hooks that this signer has set.
        answered: How many challenges in a row the signer has answered.
        replays: How often this call was replayed after a 401.
        fetched: Whether one of the replays had a token that was fetched for it.
        not_sent: Why the last attempt carried none of ours, if it carried none.
        on_answer: What looks at the answer, with the URL of the caller's request: it learns the
            nonce for the next proof, or hides the token; None if nothing has to.
        has_nonce: Whether the last answer brought a nonce for the next proof.
        has_clock: Whether the last answer was a 401, and the time of the proof was wrong.
    """

    # Defaults on the class, as most calls never set them.
    sent: Token | None = None
    is_signed = False
    hooks: Sequence[object] = ()
    answered = 0
    replays = 0
    fetched = False
    not_sent = Reason.NO_TOKEN
    on_answer: Callable[[str, Response], None] | None = None
    has_nonce = False
    has_clock = False
    _nonces = 0
    _proved = _ahead = 0.0

    def attach(  # noqa: PLR0913, PLR0917 (flat, as it is on the healthy path)
        self,
        shared: SharedState,
        request: PreparedRequest,
        outgoing: PreparedRequest,
        proxies: Proxies,
        deadline: float,
        waiting: Callable[[PreparedRequest], AbstractContextManager[Waiter]],
    ) -> PreparedRequest:
        """Return the request to send: the outgoing request, or a copy that carries the credential.

        Args:
            shared: The settings' shared state.
            request: The caller's request.
            outgoing: The same, or a copy with what we add besides the credential.
            proxies: As an adapter is given them.
            deadline: When the call has to be over, in monotonic seconds.
            waiting: Lets the calling thread wait for a token, to send the request.

        Raises:
            RefreshFailed: The request needs a token, and none can be had.
            AuthRetryError: A proxy would see the credential in the clear, or the session was closed
                while the call waited for a token.
        """
        self.sent = self.on_answer = None
        self.is_signed = False
        url, tokens = request.url or "", shared.tokens
        # The credential goes only to its origins. This is asked for each attempt and each redirect.
        # A URL that begins with an origin and a slash belongs to it, however it is parsed.
        if not url.startswith(shared.prefixes) and Origin.of(url) not in shared.origins:
            self.not_sent = Reason.OTHER_ORIGIN
            return outgoing
        place = shared.token_in
        given = text_in(place, request)  # a failed answer may have set a cookie of that name
        if given is not None and not (tokens and tokens.is_ours(given)):
            self.not_sent = Reason.OWN_CREDENTIAL
            return outgoing
        if tokens is not None:
            token = tokens.current
            if token is None:
                token = tokens.usable(deadline, partial(waiting, request))
            self.sent = token
            outgoing = with_token(outgoing, place, token)
            if tokens.prover is not None and token.scheme == _BOUND:
                self._proved = shared.clock.time()
                self._ahead = shared.clocks.ahead(url, shared.clock)
                now = self._proved + self._ahead
                proof = tokens.prover.proof(outgoing.method or "", url, token, now)
                outgoing.headers["DPoP"] = proof
                self.on_answer = partial(self._learn, tokens.prover, shared)
            if isinstance(place, Query):
                self.on_answer = partial(hide_in_answer, place)
        if proxies and shared.is_on_loopback:
            refuse_proxy(url, proxies)
        if shared.auth is not None:
            self.is_signed = True
            outgoing = with_own_headers(outgoing)
            outgoing.hooks = {"response": []}  # requests calls those of the caller's request only
            outgoing.prepare_auth(shared.auth)
            self.hooks = response_hooks(outgoing)
        return outgoing

    @property
    def is_foreign(self) -> bool:
        """Whether the last attempt carried no credential from the settings."""
        return self.sent is None and not self.is_signed

    def detach(self) -> None:
        """Note that the next attempt carries no credential from the settings yet."""
        self.sent = self.on_answer = None
        self.is_signed = False

    def count_replay(self, *, fetched: bool = False) -> None:
        """Count a replay after a 401, with a token that was fetched for it or with another."""
        self.replays += 1
        self.fetched = self.fetched or fetched

    def learn_nonce(self, prover: Prover, url: str, response: Response) -> None:
        """Keep the nonce an answer brings; any answer may bring one (RFC 9449 section 8.2)."""
        nonce = response.headers.get("DPoP-Nonce")
        if nonce:
            prover.learn(url, nonce)
        self._nonces = self._nonces + 1 if response.status_code == UNAUTHORIZED else 0
        self.has_nonce = bool(nonce) and self._nonces <= _NONCES_IN_A_ROW

    def _learn(self, prover: Prover, shared: SharedState, url: str, response: Response) -> None:
        """Keep the nonce and the time that the answer to a proof brings, for the next proofs."""
        self.learn_nonce(prover, url, response)
        clocks, clock = shared.clocks, shared.clock
        ahead = seconds_ahead_of(response, self._proved, clock.time())
        if response.status_code == UNAUTHORIZED:
            self.has_clock = clocks.correct(url, ahead, self._ahead, clock)
        else:
            clocks.follow(url, ahead, clock)

    @property
    def digest(self) -> HTTPDigestAuth | None:
        """The Digest that has signed the last attempt, or would have; None if there is none."""
        return digest_of(self.hooks) if self.is_signed else None

    @property
    def may_replay(self) -> bool:
        """Whether the hook may replay the request after a 401 to the last attempt."""
        if self.sent is None:
            return self.digest is not None
        return self.has_nonce or not has_replayed(self.replays, fetched=self.fetched)


def target_of(shared: SharedState, request: PreparedRequest, certificate: Any) -> Target:
    """Return where a request goes, as far as rate limits and outages tell it apart.

    Its ``credential`` is a name that tells callers apart, and does not give the credential away.

    Args:
        shared: What calls with the same settings share.
        request: The caller's request.
        certificate: The client certificate, as an adapter is given it; None without one.

    Raises:
        ConfigurationError: The function of the settings gives no text.
        Exception: Whatever that function raises.
    """
    url = request.url or ""
    credential = _identity(shared, request, certificate)
    return Target(origin_name(url), credential, request.method or "", path_pattern(url))


def _identity(shared: SharedState, request: PreparedRequest, certificate: Any) -> str:
    """Return the name of the caller that a server counts a request for."""
    ask = shared.settings.limits.identity
    if ask is not None:
        said: object = ask(request)
        if isinstance(said, (str, bytes)):
            return name_of(said)
        if said is not None:
            kind = type(said).__name__
            raise ConfigurationError(
                "RateLimits", [f"identity must return text or None, and returned {kind}"]
            )
    identity, tokens = None, shared.tokens
    if shared.has_credentials and Origin.of(request.url or "") in shared.origins:
        given = text_in(shared.token_in, request)
        if given is None or (tokens and tokens.is_ours(given)):
            identity = shared.identity
    if identity is None:
        identity = identity_of(headers_of(request), own_cookies(request), request.url or "")
    if not certificate:
        return identity
    file = certificate[0] if isinstance(certificate, (tuple, list)) else certificate
    return with_certificate(identity, str(file))


def refuse_proxy(url: str, proxies: Proxies, owner: str = "Settings") -> None:
    """Let no credential leave this machine in the clear, as it would through a proxy.

    Plain http is safe on loopback only, and a proxy that serves such a request carries it to
    another machine (RFC 6750 section 5.3). Through a proxy https is encrypted from end to end.

    Args:
        url: Where the request goes.
        proxies: As an adapter is given them.
        owner: The object whose ``allow_http`` would allow it.

    Raises:
        AuthRetryError: The URL is plain http, and a proxy serves it.
    """
    if url[:6].lower() != "https:" and select_proxy(url, proxies):
        raise AuthRetryError(
            f"not sent: {redacted(url)} is plain http, and a proxy that serves it would see the "
            "credential in the clear: name the host in the variable NO_PROXY, or take the proxy "
            f"out of session.proxies; {owner}(allow_http=True) allows it"
        )
