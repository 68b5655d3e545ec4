"""What all sessions that were mounted with one settings object have in common."""

from __future__ import annotations

from dataclasses import replace
from secrets import token_hex
from threading import local
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ._admission.admission import Admission
from ._admission.retry_quota import RetryQuotas
from ._admission.shared_limits import SharedLimits
from ._clock import random_of
from ._core.identity import name_of
from ._core.origin import Origin
from ._core.placement import Query
from ._core.retry import DefaultDeadline
from ._core.unauthorized import ANY
from ._judge import Judge
from ._log import hide_parameter
from ._override import current
from ._per_identity import PerIdentity
from ._tokens.identities import Identities, NoManager
from ._tokens.manager import TokenManager
from ._tokens.server_clocks import ServerClocks
from .dialects._choice import choice_of

if TYPE_CHECKING:
    from ._override import Override
    from ._settings import Settings

    Keepers = tuple[TokenManager | None, Identities | None]
    """What keeps the token of all calls, or the token of each identity."""


class SharedState:
    """The living part of a settings object, see `of`. Safe to use from many threads.

    Args:
        settings: The settings it belongs to.
        base: Whose parts it goes on using where the settings do not differ, None for no one's.

    Attributes:
        settings: The settings it belongs to.
        observes: Whether calls are only observed.
        active: What of the settings is in force: if calls are only observed, no credential, no
            timeout and no store. They share nothing with other calls then.
        clock: Their clock, nearer at hand.
        deadline_seconds: Seconds for a whole call.
        ends_reads: Whether the user set that deadline, so that reads and writes end with it.
        has_credentials: Whether there are credentials at all.
        declares_limits: Whether there are declared limits, so that every attempt asks them.
        any_challenge: Whether a 401 refuses the token whatever schemes it names.
        is_plain: Whether calls are sent without asking these, and are not only observed.
        changes_requests: Whether requests get a key, or have their bodies kept.
        origins: Where they may go.
        prefixes: The same, as most URLs that may carry them begin.
        is_on_loopback: Whether one of them is plain http, and safe only as it is on this machine.
        token_in: Where in a request the token goes; None: into ``Authorization``.
        tokens: The current token and its renewal, None when the settings have no token. Where each
            identity has one, it is None here, and `acting_as` gives it.
        identities: What keeps the tokens of many identities, None where there are none.
        depends: Whether a call has to be told which state serves it, see `serving`, `acting_as`.
        clocks: The clocks of the servers that check proofs of a token's key.
        quotas: What retries may still cost.
        limit_headers: Names of the header fields that rate limits are read from, in lower case.
        sharing: The cool-downs that processes share.
        limiter: The rate limits that were met.
        random: Draws a number in [0, 1) for jitter.
        admission: Whether and when an attempt may be sent.
        choice: What is known of the API of each URL; None: nothing of any.
        judge: Who says what an answer means; None: its status does.
        sites: What sites of their own have in place of it, by their origins.
    """

    def __init__(self, settings: Settings, base: SharedState | None = None) -> None:
        self.settings, self.observes = settings, settings.observe
        if settings.observe:
            settings = _harmless(settings)
        if base is not None and base.observes != self.observes:
            base = None
        self.active = settings
        self.clock = settings.clock
        self.has_credentials = settings.token is not None or settings.auth is not None
        self.changes_requests = settings.retry.idempotency_key or settings.retry.buffer_bodies > 0
        keepers, quotas, sharing = _inherited(settings, base)
        self.tokens, self.identities = keepers or _keepers_of_tokens(settings, base)
        self.clocks: ServerClocks = ServerClocks() if base is None else base.clocks
        self.quotas = quotas or RetryQuotas(settings.quota, settings.clock)
        self.limit_headers = frozenset(settings.limits.headers)
        self.sharing = sharing or SharedLimits(settings.store, settings.clock, settings.listeners)
        self.limiter = self.sharing.limiter
        self.random = random_of(settings.clock)
        self.choice = choice_of(settings.dialects, settings.origins, settings.clock)
        choose = None if self.choice is None else self.choice.asked
        self.judge = Judge.of(settings.classify, choose, settings.retry.statuses)
        self.admission = Admission(settings, self.quotas, self.sharing)
        self.declares_limits = (
            bool(settings.limits.rates) or settings.limits.concurrency is not None
        )
        self.is_plain = not (self.declares_limits or self.observes)
        self.any_challenge = settings.challenge == ANY or settings.token_in is not None
        if isinstance(settings.token_in, Query):
            hide_parameter(settings.token_in.name)
        self.token_in = settings.token_in
        self.auth = settings.auth
        self._signer = _name_of_signer(settings.auth)
        self.deadline_seconds = settings.retry.deadline
        self.ends_reads = not isinstance(settings.retry.deadline, DefaultDeadline)
        self.origins = {Origin.of(origin) for origin in settings.origins}
        self.prefixes = tuple(f"{origin}/" for origin in settings.origins)
        is_http = any(origin.startswith("http://") for origin in settings.origins)
        self.is_on_loopback = is_http and not settings.allow_http
        sites = ((origin, site) for site in self.settings.sites for origin in site.origins)
        self.sites = {Origin.of(origin): SharedState.of(site) for origin, site in sites}
        self.depends = bool(self.sites) or self.identities is not None

    @property
    def identity(self) -> str:
        """The name of the caller whose credential the settings have, as rate limits know it.

        A credential that an override gives is another caller's, unless it is the same one.
        """
        holder = [self.tokens.holder] if self.tokens else []
        return name_of(*holder, self._signer)

    @classmethod
    def of(cls, settings: Settings, base: SharedState | None = None) -> SharedState:
        """Return what the sessions with a settings object share in this process.

        Args:
            settings: The settings object.
            base: Whose parts it goes on using, if there is nothing shared yet.
        """
        slot: dict[str, SharedState] = settings._shared  # noqa: SLF001 (it is there for this)
        # All of several threads get the first one: `setdefault` is atomic. No lock, so that a
        # fork finds none held.
        return slot.get("state") or slot.setdefault("state", cls(settings, base))

    def serving(self, url: str) -> SharedState:
        """Return that of the site where a request goes; without one, this."""
        return self.sites.get(Origin.of(url), self)

    def acting_as(self, identity: str | None, url: str) -> SharedState:
        """Return what serves a call of an identity: the same, with the token of that identity.

        A request to another origin needs no token, and so no identity.
        """
        if self.identities is None:
            return self
        is_for_us = url.startswith(self.prefixes) or Origin.of(url) in self.origins
        state = object.__new__(SharedState)
        state.__dict__.update(self.__dict__)
        state.tokens = self.identities.manager(identity, may_make=is_for_us)
        return state

    def acting_now(self) -> SharedState:
        """Return the same, with the token that calls of this thread or task would send now.

        Its ``tokens`` and its `active` settings are those of the identity, where each has a token.

        Raises:
            RefreshFailed: There is no source for the identity.
            AuthRetryError: There is no identity.
        """
        if self.identities is None:
            return self
        override = current.get()
        state = self.acting_as(None if override is None else override.identity, self.prefixes[0])
        if isinstance(state.tokens, NoManager):
            state.tokens.refuse()
        if state.tokens is not None:
            state.active = state.tokens.settings
        return state

    def overridden(self, override: Override) -> SharedState:
        """Return what serves a call for which some settings are others."""
        if not override.changes:  # but only a priority
            return self
        known = override.known
        settings = known.get(self.settings)
        if settings is None:
            settings = known.setdefault(self.settings, derived(self.settings, **override.changes))
        return SharedState.of(settings)


def derived(settings: Settings, **changes: Any) -> Settings:
    """Return the settings with changes; they share what no change concerns."""
    other = replace(settings, **changes)
    SharedState.of(other, SharedState.of(settings))
    return other


def _harmless(settings: Settings) -> Settings:
    """Return settings that learn from answers, and do nothing else."""
    none: dict[str, Any] = {"token": None, "auth": None, "store": None, "timeout": None}
    return replace(settings, **none, adopt=False, listeners=(), sites=())


def _keepers_of_tokens(settings: Settings, base: SharedState | None) -> Keepers:
    """Make what keeps the token, or those of many identities; neither where there is no token.

    A token of derived settings stays out of the store unless it has a name there: the name that
    the origins give is the base's.
    """
    if settings.token is None:
        return None, None
    old = None if base is None else base.settings
    is_apart = old is not None and (settings.token is not old.token or settings.store is old.store)
    if isinstance(settings.token, PerIdentity):
        return None, Identities(settings, is_apart=is_apart)
    if is_apart and not getattr(settings.token, "store_key", None):
        settings = replace(settings, store=None)
    return TokenManager(settings), None


_signers: WeakKeyDictionary[object, str] = WeakKeyDictionary()
"""The names of signers that their attributes do not tell apart."""


def _name_of_signer(auth: object) -> str:
    """Return what tells a signer from those of other callers.

    Processes that share a store know by its attributes that they mean the same caller, as those of
    ``HTTPBasicAuth``. Where an attribute is no plain value, only the object itself is known.
    """
    values = getattr(auth, "__dict__", {})
    # State of the thread, as ``HTTPDigestAuth`` keeps it, is no part of a credential.
    values = {name: value for name, value in values.items() if not isinstance(value, local)}
    if auth is None or (
        values and {str, bytes, int, bool, type(None)}.issuperset(map(type, values.values()))
    ):
        return name_of(type(auth).__qualname__, *map(repr, sorted(values.items())))
    try:
        return _signers.setdefault(auth, token_hex())
    except TypeError:  # it takes no weak reference, or is no key
        return token_hex()


def _inherited(
    settings: Settings, base: SharedState | None
) -> tuple[Keepers | None, RetryQuotas | None, SharedLimits | None]:
    """Return the parts of a base that serve these settings too, None for each other part."""
    if base is None:
        return None, None, None
    old = base.active
    is_together = settings.store is old.store and settings.clock is old.clock
    is_one_token = settings.token is old.token and settings.origins == old.origins
    return (
        (base.tokens, base.identities) if is_together and is_one_token else None,
        base.quotas if settings.quota is old.quota else None,
        base.sharing if is_together else None,
    )
