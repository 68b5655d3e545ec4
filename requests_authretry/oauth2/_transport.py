"""Send requests to an authorization server: session, time limits, size limits."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import requests
from requests import Response
from requests.adapters import BaseAdapter

from .._call.credentials import refuse_proxy
from .._call.response_body import TooLarge, read_body
from .._call.translate import no_retries, would_retry
from .._threads import is_done_within

if TYPE_CHECKING:
    from requests import PreparedRequest

    from .._protocols import Clock

ANSWER_BYTES = 262_144
"""How much of an answer is read: more than any token takes."""

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 45.0
"""How long an answer is read, also after the caller's deadline: it may hold the next refresh
token, and there is no other copy."""


class Bounded(BaseAdapter):
    """Sends a request once, and reads its answer within limits that no caller's deadline shortens.

    Args:
        below: The adapter that sends.
        clock: The clock of the caller's settings.
        allow_http: Whether plain http may go through a proxy.
        closes: Whether `close` closes the adapter below, too.
        seconds: Seconds for the whole request, where its answer may be lost.
    """

    def __init__(
        self, below: Any, clock: Clock, *, allow_http: bool, closes: bool, seconds: float = inf
    ) -> None:
        super().__init__()
        self._below, self._clock = below, clock
        self._connect_seconds = min(CONNECT_SECONDS, seconds)
        self._answer_seconds = min(ANSWER_SECONDS, seconds)
        self._seconds = min(CONNECT_SECONDS + ANSWER_SECONDS, seconds)
        self._allow_http, self._closes = allow_http, closes
        if would_retry(getattr(below, "max_retries", None)):
            # Only the policy of the caller retries: use a copy, with the same pools, that does not.
            self._below = object.__new__(type(below))
            self._below.__dict__.update(below.__dict__, max_retries=no_retries())

    def send(self, request: PreparedRequest, *_: Any, **options: Any) -> Response:
        """Send the request in a thread of its own, and return the answer with its body read.

        The thread is left behind when its time is over: name resolution and headers that drip in
        have no time limit of their own.

        Raises:
            AuthRetryError: The request would go through a proxy in the clear. This holds for
                metadata, too: a proxy that changes it gets the next secret sent anywhere.
            requests.RequestException: No answer came, or not all of it.
        """
        if not self._allow_http:
            refuse_proxy(request.url or "", options.get("proxies"), "Client")
        options |= {"stream": True, "timeout": (self._connect_seconds, self._answer_seconds)}
        result: Response | Exception = requests.ConnectionError("the thread was cut off")

        def read_answer() -> None:
            nonlocal result
            try:
                response = self._below.send(request, **options)
                until = self._clock.monotonic() + self._answer_seconds
                read_body(response, self._clock, until, most=ANSWER_BYTES)
                response.headers.pop("Location", None)  # it is not followed, and may be no URL
                result = response
            except Exception as error:  # noqa: BLE001 (raised again below)
                result = error

        name = "requests_authretry token request"
        if not is_done_within(self._seconds, read_answer, name=name):
            raise requests.ReadTimeout("the answer did not come to its end")
        if isinstance(result, Response):
            return result
        raise result

    def close(self) -> None:
        if self._closes:
            self._below.close()


def session_like(theirs: requests.Session | None) -> requests.Session:
    """Copy certificates, proxies and headers to a new session, but no credentials."""
    ours = requests.Session()
    if theirs is not None:
        ours.headers.update(theirs.headers)
        for credentials in ("Authorization", "Cookie"):
            ours.headers.pop(credentials, None)
        ours.cert, ours.verify, ours.trust_env = theirs.cert, theirs.verify, theirs.trust_env
        ours.proxies = dict(theirs.proxies)
    ours.headers["Accept"] = "application/json"
    return ours


def kind_of(error: requests.RequestException) -> str:
    """Name the classes of a failure and of its reason, without the text that they bring."""
    if isinstance(error, TooLarge):
        return str(error)
    kinds = [type(error).__name__]
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, Exception):
        kinds.append(type(reason).__name__)
    return ", ".join(kinds)
