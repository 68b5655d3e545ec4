"""`AuthRetryAdapter`: the loop of attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from requests import RequestException, Response
from requests.adapters import BaseAdapter, HTTPAdapter

from .._admission.admission import acquire, rest_before_failing
from .._admission.waiting import Waiter, Waiters, Waits
from .._core.origin import redacted
from .._core.records import Reason, Retry, Stop
from .._core.retry import FIRST_ERROR
from .._errors import AuthRetryError, ConfigurationError
from .._events import GaveUp, RetryScheduled, tell
from .._locks import survives_fork
from .._override import current
from .._settings import Settings
from .._shared import SharedState
from .attempt_log import leave_on
from .call import Call
from .response_body import drain, forbids_retry, read_body
from .translate import as_requests_error, failure_of, leave_connections, outcome_of
from .unauthorized import CREDENTIALS_AT_FAULT, put_first

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

_FINAL = Stop(Reason.FINAL)
FIRST_REDIRECT = 300
UNNOTICED = 0.001
"""Seconds by which `Response.elapsed` may be off before the hook has to set it right."""


class AuthRetryAdapter(HTTPAdapter):
    """The transport adapter that renews tokens, waits and retries.

    `mount` puts it around each adapter a session has; by itself it is used as any other::

        session.mount("https://", AuthRetryAdapter(Settings(timeout=10)))

    Around an inner adapter it owns no pool: each attempt goes through the inner one's ``send``,
    and what others read from an adapter (``poolmanager``, ``max_retries``, ...) is the inner
    one's. Around another `AuthRetryAdapter` it takes that one's place and does not stack.

    Safe to use from many threads, as far as the inner adapter is. It pickles as far as the
    settings do.

    Args:
        settings: What to do; the defaults retry and know no token.
        inner: The adapter that sends; None: this one does, with a pool of its own.
        **pool_options: ``pool_connections``, ``pool_maxsize`` and ``pool_block`` of that pool.

    Raises:
        ConfigurationError: The inner object is no adapter, or an option makes no sense here.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        inner: BaseAdapter | None = None,
        **pool_options: Any,
    ) -> None:
        """Make the adapter; nothing is opened yet."""
        _refuse(settings, inner, pool_options)
        if inner is None:
            super().__init__(**pool_options)
        self._take(Settings() if settings is None else settings, inner)

    def _take(self, settings: Settings, inner: BaseAdapter | None) -> None:
        self.settings = settings
        self.inner: Any = inner
        self._wraps = inner is not None and not isinstance(inner, AuthRetryAdapter)
        self._runtime = SharedState.of(settings)
        self._waits = Waits()
        survives_fork(self)

    def send(  # noqa: PLR0913, PLR0917 (the signature of every adapter)
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 (as above)
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002 (as above)
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """Send a request, as often as the settings allow and the rules find worth it.

        Args:
            request: The prepared request; it is left as it is.
            stream: Whether the caller reads the body; if not, a body that cannot be read to its
                end is a failed attempt like any other.
            timeout: Seconds, or a pair (connect, read), for each attempt; clipped to what is
                left of the deadline.
            verify: As in `requests`.
            cert: As in `requests`.
            proxies: As in `requests`.

        Returns:
            The last answer that came, whatever its status.

        Raises:
            requests.RequestException: The last failure, of the type bare requests raises, or an
                `AuthRetryError`.
        """
        runtime, hooks = self._runtime, request.hooks
        if runtime.sites:
            runtime = runtime.serving(request.url or "")
        override = current.get()
        if override is not None:
            if self._runtime.sites:
                override.refuse_for_sites()
            runtime = runtime.overridden(override)
        # Most hold nothing but the user's own.
        alone = not hooks or len(hooks) == 1
        call = Call(runtime) if alone else Call.of(request, runtime)
        if timeout is None:
            timeout = runtime.settings.timeout
        options = {"stream": stream, "verify": verify, "cert": cert, "proxies": proxies}
        try:
            return self._sent(call, request, timeout, options)
        except BaseException:
            call.close()
            raise

    def _sent(
        self,
        call: Call,
        request: PreparedRequest,
        timeout: Any,
        options: dict[str, Any],
    ) -> Response:
        """The loop: wait for the turn, attempt, decide."""
        limits, retry, result = call.runtime.limits, None, None
        waiters = self._waits.waiters
        while True:
            if retry is not None or call.started >= limits.attention:
                call.retry = retry
                stop = _waited(call, request, result, waiters)
                call.begin()
                if stop is not None:
                    return _held_back(call, request, result, stop)
            options["timeout"] = None if timeout is None else call.limited(timeout)
            result, decision = self._attempt(call, request, options)
            waiters = self._waits.waiters  # before the listeners, who may close the session
            if isinstance(decision, Stop):
                if decision.reason is Reason.QUOTA_EXHAUSTED:
                    _waited(call, request, result, waiters, rest_before_failing)
                return _ended(call, request, result, decision)
            retry = decision
            _report(call, request, retry)
            if isinstance(result, Response):
                call.take_cookies(request, result)
            call.retries += 1

    def _attempt(
        self, call: Call, request: PreparedRequest, options: dict[str, Any]
    ) -> tuple[Response | RequestException, Retry | Stop]:
        """Send once, and decide."""
        decision: Retry | Stop = _FINAL
        try:
            send = self.inner.send if self._wraps else self._transmit
            response = send(call.outgoing(request, options["proxies"]), **options)
            clock = call.runtime.clock
            call.came(request, response)
            response.request, response.connection = request, self
            if response.status_code >= FIRST_ERROR and not call.may_answer:
                decision = _weighed(call, request, response, stream=options["stream"])
            if options["stream"] or isinstance(decision, Retry):
                return response, decision
            if response.status_code < FIRST_ERROR or not call.is_for_hooks:
                read_body(response, clock, call.until)
        except AuthRetryError as error:  # nothing was sent
            error.request = request
            leave_on(error, call)
            raise
        except Exception as error:
            failure = as_requests_error(error, request)
            if failure is None:
                raise
            call.failed(request.url, failure)
            if decision.reason is Reason.FINAL:
                decision = call.judge(request, failure_of(failure))
            return failure, decision  # a stop by the status is not lifted by a torn body
        return response, decision

    def _transmit(self, request: PreparedRequest, **options: Any) -> Response:
        """Through the inner adapter; around one of ours, through the pool it owns."""
        inner = self.inner
        if isinstance(inner, AuthRetryAdapter):
            return inner._transmit(request, **options)  # noqa: SLF001 (of this class)
        if inner is None:
            return super().send(request, **options)
        response: Response = inner.send(request, **options)
        return response

    def close(self) -> None:
        """Close the pool, the inner adapter's if there is one, and end the waits."""
        self._waits.end()
        if self.inner is None:
            super().close()
        else:
            self.inner.close()

    def after_fork(self) -> None:
        """Drop the connections that parent and child would share: their answers would mix."""
        self._waits.waiters = Waiters()
        leave_connections(self if self.inner is None else self.inner)

    def __getattr__(self, name: str) -> Any:
        """What this adapter has not, the inner one may have."""
        inner = self.__dict__.get("inner")
        if inner is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(inner, name)

    def __getstate__(self) -> dict[str, Any]:
        """Settings and the inner adapter, or the options of the pool."""
        pool = super().__getstate__() if self.inner is None else None
        return {"settings": self.settings, "inner": self.inner, "pool": pool}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """With a new pool, as every adapter of requests."""
        if state["pool"] is not None:
            super().__setstate__(state["pool"])
        self._take(state["settings"], state["inner"])


def _refuse(settings: object, inner: object, pool_options: dict[str, Any]) -> None:
    faults = []
    if settings is not None and not isinstance(settings, Settings):
        faults.append(f"settings must be a Settings, not {type(settings).__name__}")
    if inner is not None and not hasattr(inner, "send"):
        faults.append(f"inner must be an adapter, not {type(inner).__name__}")
    if inner is not None and pool_options:
        faults.append(f"{', '.join(pool_options)}: the pool is the inner adapter's")
    if "max_retries" in pool_options:
        faults.append("max_retries would multiply: say RetryPolicy(max_attempts=...) instead")
    if faults:
        raise ConfigurationError("AuthRetryAdapter", faults)


def _weighed(
    call: Call, request: PreparedRequest, response: Response, *, stream: bool
) -> Retry | Stop:
    """Decide on an answer with an error; before another attempt it lets its connection go.

    Its body may take the retry back, unless the caller streams: then it is not ours to read.
    """
    clock = call.runtime.clock
    outcome = outcome_of(response, clock.time(), call.runtime.limit_headers)
    decision = call.judge(request, outcome)
    if isinstance(decision, Retry):
        drain(response, clock, call.deadline)
        if not stream and forbids_retry(response):
            return Stop(Reason.VETOED, decision.retry_after)
    return decision


def _waited(
    call: Call,
    request: PreparedRequest,
    result: Response | RequestException | None,
    waiters: Waiters,
    wait: Callable[[Call, PreparedRequest, Waiter], Stop | None] = acquire,
) -> Stop | None:
    """Wait for something; the wait ends at once when the session is closed."""
    waiter = Waiter()
    waiters.add(waiter)
    try:
        stop = wait(call, request, waiter)
    finally:
        waiters.discard(waiter)
    if waiter.closed:
        error = AuthRetryError("the session was closed during the wait", request=request)
        leave_on(error, call)
        raise error from (result if isinstance(result, RequestException) else None)
    return stop


def _held_back(
    call: Call,
    request: PreparedRequest,
    result: Response | RequestException | None,
    stop: Stop,
) -> Response:
    """Hand out the last answer, where there is one; else say why nothing was sent."""
    if result is not None:
        return _ended(call, request, result, stop)
    where = redacted(request.url)
    event = GaveUp(
        method=request.method or "",
        url=where,
        attempts=len(call.record),
        reason=stop.reason,
        retry_after=stop.retry_after,
        status=None,
        error=None,
    )
    tell(call.runtime.settings.listeners, event)
    retry_after = (
        f"wants no request for {stop.retry_after:.3g} s"
        if stop.retry_after
        else "lets too few requests pass"
    )
    error = AuthRetryError(
        f"not sent: the server of {where} {retry_after}, and this call's deadline ends before",
        request=request,
        response=call.previous,
    )
    leave_on(error, call)
    raise error


def _ended(  # noqa: C901 (flat: it is on the healthy path)
    call: Call,
    request: PreparedRequest,
    result: Response | RequestException,
    decision: Stop,
) -> Response:
    """Hand out the last answer, or raise the last failure."""
    if decision is not _FINAL and decision.reason is not Reason.FINAL:
        _report(call, request, decision)
    elif call.runtime.quotas.dented and call.is_healthy:
        call.pay_back(request)
    leave_on(result, call)
    if not isinstance(result, Response):
        if hasattr(result, "add_note"):  # Python 3.11
            result.add_note(f"attempts: {len(call.record)}; {decision.reason.value}")
        raise result
    not_its_own = call.runtime.clock.monotonic() - call.began - call.elapsed
    if not_its_own > UNNOTICED or result.status_code in CREDENTIALS_AT_FAULT:
        put_first(request)
    if call.cookies is not None:
        call.cookies.hand_on(result)
    if result.status_code >= FIRST_REDIRECT and result.is_redirect:
        call.write_down(decision)
        call.goes_on(request)
        call.previous = result
    elif call.spool is not None and not call.may_answer:
        call.close()
    return result


def _report(call: Call, request: PreparedRequest, decision: Retry | Stop) -> None:
    """Write the attempt down, and tell the listeners what comes of it."""
    attempt = call.write_down(decision)
    event: RetryScheduled | GaveUp
    said: dict[str, Any] = {
        "method": request.method or "",
        "url": redacted(request.url),
        "reason": decision.reason,
        "retry_after": decision.retry_after,
        "status": attempt.status,
        "error": attempt.error,
    }
    if isinstance(decision, Retry):
        event = RetryScheduled(attempt=attempt.number, delay=decision.delay, **said)
    else:
        event = GaveUp(attempts=attempt.number, **said)
    tell(call.runtime.settings.listeners, event)
