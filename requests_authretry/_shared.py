"""What all sessions that were mounted with one settings object have in common."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

from ._admission.retry_quota import Quotas
from ._admission.shared_limits import Sharing
from ._clock import random_of
from ._core.origin import Origin
from ._tokens.manager import TokenManager

if TYPE_CHECKING:
    from ._override import Override
    from ._settings import Settings

_PLACE = "_runtime"


class Runtime:
    """The living part of a settings object. Safe to use from many threads.

    Attributes:
        settings: The settings it belongs to.
        clock: Their clock, nearer at hand.
        random: Draws the numbers for jitter, in [0, 1).
        patience: Seconds for a whole call.
        carries: Whether there are credentials at all.
        adds: Whether there is something else to add: a key, or a body that is kept.
        origins: Where they may go.
        prefixes: The same, as most URLs that may carry them begin.
        is_on_loopback: Whether one of them is plain http, and safe only as it is on this machine.
        tokens: The current token and its renewal, None when the settings have no token.
        quotas: What retries may still cost.
        limit_headers: Names of the header fields that may hold hints, in lower case.
        sharing: Who holds back together with others.
        limits: The limits that were met.
        sites: What sites of their own have in place of it, by their origins.
    """

    def __init__(self, settings: Settings, base: Runtime | None = None) -> None:
        """Begin afresh but for what ``base`` has; use `of` for the one that is shared."""
        self.settings = settings
        self.clock = settings.clock
        self.random = random_of(settings.clock)
        self.carries = settings.token is not None or settings.auth is not None
        self.adds = settings.retry.idempotency_key or settings.retry.buffer_bodies > 0
        tokens, quotas, sharing = _shared(settings, base)
        self.tokens = tokens or _keeper(settings, base)
        self.quotas = quotas or Quotas(settings.quota)
        self.limit_headers = frozenset(settings.limits.headers)
        self.sharing = sharing or Sharing(settings.store, settings.clock, settings.listeners)
        self.limits = self.sharing.limits
        self.auth = settings.auth
        self.patience = settings.retry.deadline
        self.origins = {Origin.of(origin) for origin in settings.origins}
        self.prefixes = tuple(f"{origin}/" for origin in settings.origins)
        is_http = any(origin.startswith("http://") for origin in settings.origins)
        self.is_on_loopback = is_http and not settings.allow_http
        sites = ((origin, site) for site in settings.sites for origin in site.origins)
        self.sites = {Origin.of(origin): Runtime.of(site) for origin, site in sites}

    @classmethod
    def of(cls, settings: Settings) -> Runtime:
        """The one runtime of a settings object, in this process."""
        shared: Runtime | None = settings.__dict__.get(_PLACE)
        return shared or cast("Runtime", settings.__dict__.setdefault(_PLACE, cls(settings)))

    def serving(self, url: str) -> Runtime:
        """That of the site where a request goes; without one, this."""
        return self.sites.get(Origin.of(url), self)

    def overridden(self, override: Override) -> Runtime:
        """What serves a call for which some settings are others."""
        known = override.known
        settings = known.get(self.settings)
        if settings is None:
            settings = known.setdefault(self.settings, derived(self.settings, **override.changes))
        return Runtime.of(settings)


def derived(settings: Settings, **changes: Any) -> Settings:
    """The settings with changes; what they have learned they share where no change concerns it."""
    other = replace(settings, **changes)
    other.__dict__[_PLACE] = Runtime(other, Runtime.of(settings))
    return other


def _keeper(settings: Settings, base: Runtime | None) -> TokenManager | None:
    """What keeps the token; one of a derived settings object has no store without a name there."""
    if settings.token is None:
        return None
    if base is not None and not getattr(settings.token, "store_key", None):
        old = base.settings
        if settings.token is not old.token or settings.store is old.store:
            settings = replace(settings, store=None)
    return TokenManager(settings)


def _shared(
    settings: Settings, base: Runtime | None
) -> tuple[TokenManager | None, Quotas | None, Sharing | None]:
    """What of a base serves these settings as well."""
    if base is None:
        return None, None, None
    old = base.settings
    names = (item.name for item in fields(old))
    changed = {name for name in names if getattr(settings, name) is not getattr(old, name)}
    is_together = changed.isdisjoint({"store", "clock"})
    is_one_token = is_together and "token" not in changed and settings.origins == old.origins
    return (
        base.tokens if is_one_token else None,
        base.quotas if "quota" not in changed else None,
        base.sharing if is_together else None,
    )
