"""Retries of inner adapters, adopted or not, and switched off while mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._call.translate import no_retries, would_retry
from .._core.adopt import RETRIES, adopts
from .._core.retry import RetryPolicy
from .._core.urllib3_retry import unheeded
from .._events import logger
from .._locks import ForkSafeLock
from .._shared import derived

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter, HTTPAdapter

    from .._settings import Settings

_SWITCHED_OFF = "_authretry_switched_off"


def _times_and_retries(adapter: BaseAdapter) -> tuple[int, Any]:
    """Return how often it was switched off, and what it has or had before."""
    found: tuple[int, Any] | None = getattr(adapter, "__dict__", {}).get(_SWITCHED_OFF)
    return found or (0, getattr(adapter, "max_retries", 0))


def settings_for(adapter: BaseAdapter, settings: Settings) -> Settings:
    """Return the settings for an adapter: with its own retries, if they are adopted.

    The answer is the same before and after the retries are switched off.
    """
    _, retries = _times_and_retries(adapter)
    if not adopts(settings.adopt, RETRIES) or not would_retry(retries):
        return settings
    name, lost = type(adapter).__name__, unheeded(retries)
    logger.info("max_retries of %s is adopted; not kept: %s", name, "; ".join(lost) or "nothing")
    return derived(settings, retry=RetryPolicy.from_urllib3(retries))


class _InnerRetries:
    """Retries of inner adapters, switched off while mounted: they would multiply with ours."""

    def __init__(self) -> None:
        self.lock = ForkSafeLock()

    def switch_off(self, adapter: HTTPAdapter, settings: Settings) -> bool:
        """Switch off the retries of an adapter, which may be mounted several times.

        Settings that only observe leave them as they are.

        Returns:
            Whether it had any. If so, `give_back` has to follow.
        """
        if settings.observe and all(site.observe for site in settings.sites):
            return False
        times, retries = _times_and_retries(adapter)
        if not times and not would_retry(retries):
            return False
        if not times:
            logger.info("max_retries of %s is switched off while mounted", type(adapter).__name__)
            adapter.max_retries = no_retries()
        adapter.__dict__[_SWITCHED_OFF] = times + 1, retries
        return True

    def give_back(self, adapter: HTTPAdapter) -> None:
        """Undo one `switch_off`."""
        times, retries = adapter.__dict__.pop(_SWITCHED_OFF)
        if times > 1:
            adapter.__dict__[_SWITCHED_OFF] = times - 1, retries
        else:
            adapter.max_retries = retries
            logger.info("max_retries of %s is given back", type(adapter).__name__)


inner_retries = _InnerRetries()
