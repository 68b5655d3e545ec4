"""Token renewal, rate limits and retries for any `requests.Session`, in one line.

import requests
from requests_authretry import Settings, mount

session = requests.Session()
mount(session, Settings(token=fetch_token, origins=["https://api.example.com"]))
"""

from __future__ import annotations

import typing as _typing
from os import environ as _environ

from ._call.adapter import AuthRetryAdapter
from ._call.explanation import Explanation, attempts, explain
from ._core.backoff import Backoff, Jitter
from ._core.challenge import Challenge, StepUp
from ._core.classify import Answer, Verdict
from ._core.declared import Rate
from ._core.headers.rate_limit_fields import RateLimits
from ._core.placement import Cookie, Header, Query
from ._core.quota import RetryQuota
from ._core.records import Attempt, Reason, Wait
from ._core.retry import RetryPolicy
from ._core.token import Token
from ._credentials import Credentials, CredentialStatus
from ._errors import AuthRetryError, ConfigurationError, RefreshFailed
from ._events import (
    AttemptEnded,
    CallEnded,
    CoolingDown,
    Event,
    GaveUp,
    Listener,
    Observed,
    RefreshDeclined,
    RetryScheduled,
    StoreFailed,
    TokenRefreshed,
    Waiting,
)
from ._holding import find as _find
from ._install.install import Installed, install
from ._install.limits import KnownLimit, Limits
from ._install.mount import Mounted, mount
from ._log import show_log as _show_log
from ._override import acting_as, deadline, override
from ._per_identity import PerIdentity
from ._protocols import Clock, FetchContext, Store, TokenSource
from ._settings import Reader as _Reader
from ._settings import Settings
from ._warnings import AuthRetryWarning
from .dialects import Dialect
from .stores import FileStore, FirstOf, FunctionStore, MemoryStore

__all__ = [
    "Answer",
    "Attempt",
    "AttemptEnded",
    "AuthRetryAdapter",
    "AuthRetryError",
    "AuthRetryWarning",
    "Backoff",
    "CallEnded",
    "Challenge",
    "Clock",
    "ConfigurationError",
    "Cookie",
    "CoolingDown",
    "CredentialStatus",
    "Credentials",
    "Dialect",
    "Event",
    "Explanation",
    "FetchContext",
    "FileStore",
    "FirstOf",
    "FunctionStore",
    "GaveUp",
    "Header",
    "Installed",
    "Jitter",
    "KnownLimit",
    "Limits",
    "Listener",
    "MemoryStore",
    "Mounted",
    "Observed",
    "PerIdentity",
    "Query",
    "Rate",
    "RateLimits",
    "Reason",
    "RefreshDeclined",
    "RefreshFailed",
    "RetryPolicy",
    "RetryQuota",
    "RetryScheduled",
    "Settings",
    "StepUp",
    "Store",
    "StoreFailed",
    "Token",
    "TokenRefreshed",
    "TokenSource",
    "Verdict",
    "Wait",
    "Waiting",
    "acting_as",
    "attempts",
    "deadline",
    "explain",
    "install",
    "mount",
    "override",
]

__version__: str

if not _typing.TYPE_CHECKING:  # with it, type checkers would accept any name

    def __getattr__(name: str) -> str:
        # At first use: importlib.metadata takes long to import.
        if name == "__version__":
            from importlib import metadata

            try:
                return metadata.version("requests-authretry")
            except metadata.PackageNotFoundError:
                return "0+unknown"  # this code was copied, not installed
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_show_log(_environ)


def _import_config() -> _Reader:
    # At first use: it brings all sources and stores, and most programs have no settings file.
    from . import _config

    return _config


Settings._import_reader = _import_config  # noqa: SLF001 (it is there for this)
Settings._find_credential = _find  # noqa: SLF001 (as above)
