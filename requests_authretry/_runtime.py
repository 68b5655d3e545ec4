"""What all sessions that were mounted with one settings object have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ._core.origin import Origin
from ._quotas import Quotas
from ._sharing import Sharing
from ._tokens import TokenKeeper

if TYPE_CHECKING:
    from ._settings import Settings

_PLACE = "_runtime"


class Runtime:
    """The living part of a settings object. Safe to use from many threads.

    Attributes:
        settings: The settings it belongs to.
        clock: Their clock, nearer at hand.
        patience: Seconds for a whole call.
        carries: Whether there are credentials at all.
        adds: Whether there is something else to add: a key, or a body that is kept.
        origins: Where they may go.
        prefixes: The same, as most URLs that may carry them begin.
        tokens: The current token and its renewal, None when the settings have no token.
        quotas: What retries may still cost.
        hints: Names of the header fields that may hold hints, in lower case.
        sharing: Who holds back together with others.
        limits: The limits that were met.
    """

    def __init__(self, settings: Settings) -> None:
        """Begin afresh; use `of` for the one that is shared."""
        self.settings = settings
        self.clock = settings.clock
        self.carries = settings.token is not None or settings.auth is not None
        self.adds = settings.retry.idempotency_key or settings.retry.buffer_bodies > 0
        self.tokens = None if settings.token is None else TokenKeeper(settings)
        self.quotas = Quotas(settings.quota)
        self.hints = frozenset(settings.limits.hints)
        self.sharing = Sharing(settings.store, settings.clock, settings.listeners)
        self.limits = self.sharing.limits
        self.auth = settings.auth
        self.patience = settings.retry.deadline
        self.origins = {Origin.of(origin) for origin in settings.origins}
        self.prefixes = tuple(f"{origin}/" for origin in settings.origins)

    @classmethod
    def of(cls, settings: Settings) -> Runtime:
        """The one runtime of a settings object, in this process."""
        shared: Runtime | None = settings.__dict__.get(_PLACE)
        return shared or cast("Runtime", settings.__dict__.setdefault(_PLACE, cls(settings)))
