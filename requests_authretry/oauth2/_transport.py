"""How an authorization server is reached: retries, time limits, size limits."""

from __future__ import annotations

import re
from contextvars import copy_context
from dataclasses import dataclass, replace
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import requests
from oauthlib.common import add_params_to_qs
from oauthlib.oauth2.rfc6749.parameters import prepare_token_request
from requests import Response
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import AuthBase

from .._call.adapter import AuthRetryAdapter
from .._call.credentials import refuse_proxy
from .._call.response_body import TooLarge, read_body
from .._call.translate import no_retries, would_retry
from .._core.http import FIRST_SERVER_ERROR, REQUEST_TIMEOUT, TOO_MANY_REQUESTS
from .._core.origin import Origin, redacted
from .._core.token import Secret
from .._errors import AuthRetryError, RefreshFailed
from .._settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

    from .._protocols import Clock, FetchContext
    from ._client import Client

ANSWER_BYTES = 262_144
"""More than any token takes, and all that is read of an answer."""

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 45.0
"""How long an answer is listened for, whoever has stopped waiting: it may hold the next refresh
token, and there is no other copy."""

_LEAST_SECONDS = 0.001

UNAVAILABLE = "temporarily_unavailable"
"""What the error is called where a server is in trouble and does not say how (RFC 6749 4.1.2.1)."""

_LATER = {REQUEST_TIMEOUT, TOO_MANY_REQUESTS}

_SECRET = re.compile(r"secret|token$|assertion$|password|code$")
"""The names of fields that hold secrets."""

Fields = dict[str, Any]


@dataclass(frozen=True)
class Moment:
    """What the fields of one attempt may depend on.

    Attributes:
        now: POSIX time in seconds.
        audience: Who a signed field is for: the issuer, or else the token endpoint.
    """

    now: float
    audience: str


class Signer(AuthBase):
    """Fills in one form, anew for each attempt: assertions and proofs are good for one use.

    Attributes:
        now: When the last attempt began, in POSIX seconds.
        secrets: What it sent that no message may repeat after a server, the longest first.
    """

    def __init__(
        self, client: Client, url: str, form: Callable[[Moment], Fields], clock: Clock
    ) -> None:
        """Nothing is filled in yet."""
        self._client, self._url = client, url
        self._form, self._clock = form, clock
        self.now = 0.0
        self.secrets: list[Secret] = []

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Fill in body and headers."""
        self.now = self._clock.time()
        moment = Moment(self.now, self._client.issuer or self._url)
        proof, headers = self._client.proof(self._url, moment.audience, moment.now)
        fields = {**self._form(moment), **proof}
        request.headers.update(headers)
        request.headers["Content-Type"] = "application/x-www-form-urlencoded"
        request.body = _encoded(fields)
        sent = [str(value) for name, value in fields.items() if value and _SECRET.search(name)]
        sent += [self._client.secret or ""]
        for value in headers.values():
            sent += [value, value.rpartition(" ")[2]]  # without its scheme too
        self.secrets = _forms(sent)
        return request


def _forms(sent: list[str]) -> list[Secret]:
    """Secrets as they may come back: as they are, and as a form has them."""
    texts = {form for text in sent for form in (text, quote_plus(text))}
    return [Secret(text) for text in sorted(texts - {""}, key=len, reverse=True)]


def _encoded(fields: Fields) -> str:
    """The form; only a token request has a grant type."""
    body = prepare_token_request if "grant_type" in fields else add_params_to_qs
    given = fields if "grant_type" in fields else {"query": "", "params": fields}
    return str(body(**given))


class Transport:
    """The way to a client's authorization server, for the time of one renewal."""

    def __init__(self, client: Client, context: FetchContext) -> None:
        """Nothing is opened yet."""
        self._client, self._context = client, context
        self._deadline = context.clock.monotonic() + context.timeout

    def send(self, method: str, url: str, signer: Signer | None = None) -> Response:
        """The answer, whatever its status; redirects are not followed.

        Raises:
            RefreshFailed: There was none.
        """
        theirs = self._client.session
        with _session(theirs) as ours:
            clock, allow_http = self._context.clock, self._client.allow_http
            below = _Bounded(theirs or ours, url, clock, allow_http=allow_http, closes=not theirs)
            adapter = AuthRetryAdapter(self._settings(method, url, signer), below)
            ours.mount("https://", adapter)
            ours.mount("http://", adapter)
            try:
                # An auth of its own keeps requests from looking into netrc.
                return ours.request(method, url, auth=_unchanged, allow_redirects=False)
            except RefreshFailed:
                raise
            except AuthRetryError as error:  # nothing was sent, and the words are ours
                raise RefreshFailed(*error.args) from None
            except requests.RequestException as error:
                fault = f"{redacted(url)} gave no answer that can be used: {_told(error)}"
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


def unavailable(status: int) -> str | None:
    """The error code of an answer without one, where it may be another one later."""
    return UNAVAILABLE if status in _LATER or status >= FIRST_SERVER_ERROR else None


class _Answer(Event):
    """An answer that is listened for in a thread of its own; set when it is there."""

    def __init__(self, listen: Callable[[], Response]) -> None:
        super().__init__()
        self._listen = listen
        self.result: Response | Exception = requests.ConnectionError("the thread was cut off")
        name = "requests_authretry token request"
        Thread(target=copy_context().run, args=(self._run,), name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self.result = self._listen()
        except Exception as error:  # noqa: BLE001 (it is raised again for whoever waits)
            self.result = error
        finally:
            self.set()


class _Bounded(BaseAdapter):
    """Listens for an answer as long as is sensible, not as long as somebody waits for it."""

    def __init__(
        self, session: requests.Session, url: str, clock: Clock, *, allow_http: bool, closes: bool
    ) -> None:
        super().__init__()
        below: Any = session.get_adapter(url)
        while isinstance(below, AuthRetryAdapter):
            # Of an adapter of ours only what is below: its token may be the one we are to get.
            below = below.inner or HTTPAdapter()
        self._below, self._clock = _without_retries(below), clock
        self._allow_http, self._closes = allow_http, closes

    def send(self, request: PreparedRequest, *_: Any, **options: Any) -> Response:
        """The answer, read to its end, from a thread that can be left behind.

        Neither a name that is looked up nor headers that drip have a time limit of their own.

        Raises:
            AuthRetryError: The request would go through a proxy in the clear. Metadata too: whoever
                changes it has the next secret sent to any place.
        """
        if not self._allow_http:
            refuse_proxy(request.url or "", options.get("proxies"), "Client")
        answer = _Answer(lambda: self._answer(request, options))
        # In real seconds, as the time limits of sockets are.
        if not answer.wait(CONNECT_SECONDS + ANSWER_SECONDS):
            raise requests.ReadTimeout("the answer did not come to its end")
        if isinstance(answer.result, Response):
            return answer.result
        raise answer.result

    def _answer(self, request: PreparedRequest, options: dict[str, Any]) -> Response:
        options |= {"stream": True, "timeout": (CONNECT_SECONDS, ANSWER_SECONDS)}
        response: Response = self._below.send(request, **options)
        until = self._clock.monotonic() + ANSWER_SECONDS
        read_body(response, self._clock, until, most=ANSWER_BYTES)
        response.headers.pop("Location", None)  # nobody follows it, and it may be no URL
        return response

    def close(self) -> None:
        if self._closes:
            self._below.close()


def _without_retries(adapter: Any) -> Any:
    """The adapter itself, or a copy with the same pools that sends once: ours is the policy."""
    if not would_retry(getattr(adapter, "max_retries", None)):
        return adapter
    sends_once = object.__new__(type(adapter))
    sends_once.__dict__.update(adapter.__dict__, max_retries=no_retries())
    return sends_once


def _session(theirs: requests.Session | None) -> requests.Session:
    """A session of our own, that goes out as theirs does."""
    ours = requests.Session()
    if theirs is not None:
        ours.headers.update(theirs.headers)
        for credentials in ("Authorization", "Cookie"):
            ours.headers.pop(credentials, None)
        ours.cert, ours.verify, ours.trust_env = theirs.cert, theirs.verify, theirs.trust_env
        ours.proxies = dict(theirs.proxies)
    ours.headers["Accept"] = "application/json"
    return ours


def _unchanged(request: PreparedRequest) -> PreparedRequest:
    return request


def _told(error: requests.RequestException) -> str:
    """The kind of failure, and below it the kind that says more; no foreign words."""
    if isinstance(error, TooLarge):
        return str(error)
    kinds = [type(error).__name__]
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, Exception):
        kinds.append(type(reason).__name__)
    return ", ".join(kinds)
