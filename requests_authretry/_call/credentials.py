"""The credential of one call: where it is attached, and what was sent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from requests.auth import _basic_auth_str
from requests.utils import get_netrc_auth, select_proxy

from .._core.http import UNAUTHORIZED
from .._core.identity import identity_of, name_of
from .._core.origin import Origin, redacted
from .._core.records import Reason
from .._core.target import Target, origin_name, path_pattern
from .._core.unauthorized import has_replayed
from .._errors import AuthRetryError
from .outgoing import header_of, with_header, with_own_headers

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from requests import PreparedRequest, Response

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
        replays: How often this call was replayed after a 401.
        fetched: Whether one of the replays had a token that was fetched for it.
        not_sent: Why the last attempt carried none of ours, if it carried none.
        prover: What made the proof of the last attempt, None if it carried none.
        has_nonce: Whether the last answer brought a nonce for the next proof.
    """

    # Defaults on the class, as most calls never set them.
    sent: Token | None = None
    is_signed = False
    replays = 0
    fetched = False
    not_sent = Reason.NO_TOKEN
    prover: Prover | None = None
    has_nonce = False
    _nonces = 0

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
        self.sent = self.prover = None
        self.is_signed = False
        url, tokens = request.url or "", shared.tokens
        # The credential goes only to its origins. This is asked for each attempt and each redirect.
        # A URL that begins with an origin and a slash belongs to it, however it is parsed.
        if not url.startswith(shared.prefixes) and Origin.of(url) not in shared.origins:
            self.not_sent = Reason.OTHER_ORIGIN
            return outgoing
        if tokens is None:
            if has_own_authorization(request):
                self.not_sent = Reason.OWN_CREDENTIAL
                return outgoing
        else:
            is_set = header_of(outgoing, "authorization") is not None
            is_own = is_set and has_own_authorization(outgoing)
            if is_own and not tokens.has_adopted(header_of(request, "authorization")):
                self.not_sent = Reason.OWN_CREDENTIAL
                return outgoing
            token = tokens.current
            if token is None:
                token = tokens.usable(deadline, partial(waiting, request))
            self.sent = token
            outgoing = with_header(outgoing, "Authorization", token.authorization)
            if tokens.prover is not None and token.scheme == _BOUND:
                now = shared.clock.time()
                proof = tokens.prover.proof(outgoing.method or "", url, token, now)
                outgoing.headers["DPoP"] = proof
                self.prover = tokens.prover
        if proxies and shared.is_on_loopback:
            refuse_proxy(url, proxies)
        if shared.auth is not None:
            self.is_signed = True
            outgoing = with_own_headers(outgoing)
            outgoing.hooks = {"response": []}  # hooks that the signer sets are not kept
            outgoing.prepare_auth(shared.auth)
        return outgoing

    def detach(self) -> None:
        """Note that the next attempt carries no credential from the settings yet."""
        self.sent = self.prover = None
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

    @property
    def may_replay(self) -> bool:
        """Whether the hook may replay the request after a 401 to the last attempt."""
        if self.sent is None:
            return False
        return self.has_nonce or not has_replayed(self.replays, fetched=self.fetched)


def target_of(shared: SharedState, request: PreparedRequest) -> Target:
    """Return where a request goes, as far as rate limits and outages tell it apart.

    Its ``credential`` is a name that tells callers apart, and does not give the credential away.
    """
    url = request.url or ""
    credential = _identity(shared, request)
    return Target(origin_name(url), credential, request.method or "", path_pattern(url))


def _identity(shared: SharedState, request: PreparedRequest) -> str:
    """Return the name of the caller that a server counts a request for."""
    ask = shared.settings.limits.identity
    if ask is not None:
        said = ask(request)
        if said is not None:
            return name_of(said)
    given = header_of(request, "authorization")
    if shared.has_credentials and Origin.of(request.url or "") in shared.origins:
        tokens = shared.tokens
        if not has_own_authorization(request) or (tokens and tokens.has_adopted(given)):
            return shared.identity
    jar = request._cookies or ()  # noqa: SLF001 (only the request keeps them)
    # A cookie that the caller set for all hosts has no domain; one of an answer always has.
    cookies = [(cookie.name, cookie.value or "") for cookie in jar if not cookie.domain]
    if not jar and "Cookie" in request.headers:
        cookies = [("", str(request.headers["Cookie"]))]
    return identity_of(given, request.headers, cookies)


def has_own_authorization(request: PreparedRequest) -> bool:
    """Whether the caller set an Authorization header; one that requests took from netrc is none."""
    given = header_of(request, "authorization")
    if given is None:
        return False
    login = get_netrc_auth(request.url or "")
    return login is None or given != _basic_auth_str(*login)


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
