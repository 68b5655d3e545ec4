"""How an authorization server is reached: whose session goes out, time limits, size limits."""

from __future__ import annotations

from contextvars import copy_context
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import requests
from requests import Response
from requests.adapters import BaseAdapter

from .._call.credentials import refuse_proxy
from .._call.response_body import TooLarge, read_body
from .._call.translate import no_retries, would_retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

    from .._protocols import Clock

ANSWER_BYTES = 262_144
"""More than any token takes, and all that is read of an answer."""

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 45.0
"""How long an answer is listened for, whoever has stopped waiting: it may hold the next refresh
token, and there is no other copy."""


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


class Bounded(BaseAdapter):
    """Listens for an answer as long as is sensible, not as long as somebody waits for it."""

    def __init__(self, below: Any, clock: Clock, *, allow_http: bool, closes: bool) -> None:
        super().__init__()
        self._below, self._clock = _without_retries(below), clock
        self._allow_http, self._closes = allow_http, closes

    def send(self, request: PreparedRequest, *_: Any, **options: Any) -> Response:
        """Read the answer to its end, in a thread that can be left behind.

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


def session_like(theirs: requests.Session | None) -> requests.Session:
    """Make a session that goes out as theirs does, without its credentials."""
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
    """Name the kind of failure, and below it the kind that says more; quote no foreign words."""
    if isinstance(error, TooLarge):
        return str(error)
    kinds = [type(error).__name__]
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, Exception):
        kinds.append(type(reason).__name__)
    return ", ".join(kinds)
