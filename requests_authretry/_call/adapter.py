"""`AuthRetryAdapter`: the adapter that a session is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from requests import Session
from requests.adapters import BaseAdapter, HTTPAdapter

from .._admission.waiting import Waiters, Waits
from .._core.arguments import unknown_faults
from .._core.display import shown
from .._core.validation import refuse
from .._locks import survives_fork
from .._misplaced import settings_fault
from .._override import current, note_use
from .._settings import Settings
from .._shared import SharedState
from .call import Call
from .connections import prepare
from .loop import send_until_done, sender_of
from .placing import warn_of_shared_cookies
from .translate import Unlimited, leave_connections
from .unauthorized import CREDENTIALS_AT_FAULT, put_first

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from .._override import Override

_POOL_OPTIONS = ("pool_connections", "pool_maxsize", "pool_block")

_UNNOTICED = 0.001
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
        faults = [None if settings is None else settings_fault(settings)]
        given: Any = inner  # as yet whatever the caller wrote
        if inner is not None and (not hasattr(inner, "send") or isinstance(given, (type, Session))):
            kind = type(inner).__name__
            faults.append(f"inner must be an adapter, not {kind}: write inner=HTTPAdapter()")
        if inner is not None and pool_options:
            faults.append(f"{', '.join(pool_options)}: the pool is the inner adapter's")
        if "max_retries" in pool_options:
            faults.append("max_retries would multiply: say RetryPolicy(max_attempts=...) instead")
        if type(self) is AuthRetryAdapter:  # a subclass may take others
            unknown = [name for name in pool_options if name not in {*_POOL_OPTIONS, "max_retries"}]
            faults += unknown_faults(unknown, _POOL_OPTIONS, {"settings": Settings})
        refuse("AuthRetryAdapter", faults)
        if inner is None:
            super().__init__(**pool_options)
        self._take(Settings() if settings is None else settings, inner)

    def _take(self, settings: Settings, inner: BaseAdapter | None) -> None:
        self.settings = settings
        self.inner: Any = inner
        self._sends_as_usual = getattr(type(inner), "send", None) is HTTPAdapter.send
        self._shared = SharedState.of(settings)
        self._waits = Waits()
        note_use()
        prepare(self if inner is None else inner)
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
        """Send a request, and retry it as the settings and the rules say.

        Args:
            request: The prepared request; it is not changed.
            stream: Whether the caller reads the body. If not, the adapter reads it, and an attempt
                whose body cannot be read to its end has failed.
            timeout: Seconds, or a pair (connect, read), for each attempt; clipped to the
                time that is left before the deadline.
            verify: As in `requests`.
            cert: As in `requests`.
            proxies: As in `requests`.

        Returns:
            The last answer that came, whatever its status.

        Raises:
            requests.RequestException: The last failure, of the type bare requests raises, or an
                `AuthRetryError`.
        """
        shared, hooks = self._shared, request.hooks
        override = current.get()
        if override is not None or shared.depends:
            shared = self._in_force(request, override)
        # Most requests have nothing in their hooks but the user's own.
        waiters = self._waits.waiters
        is_new = not hooks or len(hooks) == 1
        call = Call(shared, waiters) if is_new else Call.of(request, shared, waiters)
        call.certificate = cert
        options = {
            "stream": stream,
            "timeout": shared.active.timeout if timeout is None else timeout,
            "verify": verify,
            "cert": cert,
            "proxies": proxies,
        }
        transmit = self.inner.send if self._sends_as_usual else self._transmit
        try:
            is_plain = override is None and shared.is_plain
            send = send_until_done if is_plain else sender_of(call, override)
            response = send(call, request, transmit, options)
        except BaseException as error:
            call.close()
            call.log.end(request, error)
            raise
        response.connection = self
        if shared.observes:
            return response
        log, is_over = call.log, response.status_code not in CREDENTIALS_AT_FAULT
        if log.verdict is not None and call.refuses_credential(response.status_code):
            is_over = False
        log.ended = shared.clock.monotonic()
        # Our hook answers a 401, and makes `elapsed` the time of the last attempt alone.
        if not is_over or log.ended - log.began - log.elapsed > _UNNOTICED:
            put_first(request)
        if log.listeners and is_over and not response.is_redirect:
            log.end(request, response)
        return response

    def _in_force(self, request: PreparedRequest, override: Override | None) -> SharedState:
        """Return what serves a request: its site, with what is overridden, for its identity."""
        shared, url = self._shared, request.url or ""
        if shared.sites:
            shared = shared.serving(url)
        identity = None
        if override is not None:
            if self._shared.sites:
                override.refuse_for_sites()
            shared, identity = shared.overridden(override), override.identity
        if shared.identities is None:
            return shared
        begun_as = Call.identity_of(request)
        if begun_as is None:
            warn_of_shared_cookies(shared.identities, request)
        return shared.acting_as(begun_as or identity, url)

    def _transmit(self, request: PreparedRequest, **options: Any) -> Response:
        """Send once through the inner adapter; through its pool if it is an `AuthRetryAdapter`."""
        inner = self.inner
        if isinstance(inner, AuthRetryAdapter):
            return inner._transmit(request, **options)  # noqa: SLF001 (of this class)
        if inner is None:
            return super().send(request, **options)
        # Many adapters with a ``send`` of their own put a limit there where the caller gave none.
        if not self._sends_as_usual and isinstance(options["timeout"], Unlimited):
            options["timeout"] = None
        response: Response = inner.send(request, **options)
        return response

    def close(self) -> None:
        """Close the pool, the inner adapter's if there is one, and end the waits."""
        self._waits.end()
        if self.inner is None:
            super().close()
        else:
            self.inner.close()

    def share_waits(self, other: AuthRetryAdapter) -> None:
        """Let `close` end the waits of the adapter whose place this one takes, too."""
        self._waits = other._waits

    def after_fork(self) -> None:
        """Drop the connections that parent and child would share: their answers would mix."""
        self._waits.waiters = Waiters()
        leave_connections(self if self.inner is None else self.inner)

    def __repr__(self) -> str:
        inner = "" if self.inner is None else f", inner={shown(self.inner)}"
        return f"{type(self).__name__}({self.settings!r}{inner})"

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the inner adapter."""
        inner = self.__dict__.get("inner")
        if inner is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(inner, name)

    def __getstate__(self) -> dict[str, Any]:
        """Settings and the inner adapter, or the options of the pool."""
        pool = super().__getstate__() if self.inner is None else None
        return {"settings": self.settings, "inner": self.inner, "pool": pool}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the adapter with a new pool, as every adapter of requests does."""
        if state["pool"] is not None:
            super().__setstate__(state["pool"])
        self._take(state["settings"], state["inner"])
