"""What stands where a session or settings belong, and where it belongs instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from types import ModuleType
from typing import Any

from requests import Session
from requests.adapters import BaseAdapter
from requests.auth import AuthBase

from ._core.validation import instance
from ._per_identity import PerIdentity
from ._protocols import Store, TokenSource
from ._settings import PARTS, Settings

_IN_SETTINGS: dict[Any, str] = {
    **{kind: f"write Settings({name}=...)" for name, kind in PARTS.items()},
    Store: "write Settings(store=...)",
    Session: "the session comes first: write mount(session, Settings())",
    BaseAdapter: "write AuthRetryAdapter(Settings(), inner=...) for an adapter",
    AuthBase: "write Settings(auth=..., origins=['https://api.example.com'])",
    PathLike: "write Settings.from_file(...)",
    Mapping: "write Settings(**...)",
    type: "write Settings(), an object",
    str: "write Settings(token=..., origins=['https://api.example.com']) for a token, "
    "Settings.from_file(...) for a file, prefix=... for the beginning of URLs",
    (int, float): "write Settings(retry=RetryPolicy(max_attempts=3)), or Settings(timeout=10)",
    (
        TokenSource,
        PerIdentity,
        Callable,
    ): "write Settings(token=..., origins=['https://api.example.com'])",
}
_IN_SESSION: dict[Any, str] = {
    Settings: "the session comes first: write mount(session, Settings())",
    ModuleType: "write install(Settings()), which covers requests.get too",
    type: "write requests.Session(), an object",
    BaseAdapter: "write session.mount(prefix, AuthRetryAdapter(Settings(), inner=...))",
    str: "the session comes first, the prefix last: mount(session, Settings(), 'https://')",
}
_URLLIB3_RETRY = "write Settings(retry=RetryPolicy.from_urllib3(...))"


def settings_fault(given: object) -> str | None:
    """Return the fault of what stands in the place of settings; None for `Settings`."""
    is_retry = hasattr(given, "status_forcelist") and not isinstance(given, type)
    way = _URLLIB3_RETRY if is_retry else _way(given, _IN_SETTINGS, "write Settings()")
    return instance("settings", given, Settings, way)


def session_fault(given: object) -> str | None:
    """Return the fault of what stands in the place of a session; None for a session."""
    way = _way(given, _IN_SESSION, "write mount(requests.Session(), Settings())")
    return instance("session", given, Session, way)


def _way(given: object, ways: Mapping[Any, str], otherwise: str) -> str:
    return next((way for kind, way in ways.items() if isinstance(given, kind)), otherwise)
