"""The command ``status``: what a store holds, without secrets and without changing it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._clock import SystemClock
from .._core import shared_pace
from .._core.records import seconds_text
from .._core.token import TokenRecord, UnreadableRecordError
from .._errors import ConfigurationError
from ..stores import FileStore
from ..stores._cool_downs import seconds_left
from ..stores._lockfile import file_name
from ..stores._slots import lead_of, text_of
from ._credentials import statuses
from ._exits import FAILED, USAGE_ERROR
from ._given import settings_given
from ._locks import holder_of
from ._screen import write, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..redis import RedisStore

_MOST_KEYS = 10_000
"""The most keys of a Redis that are read."""

_SAID = {
    "forgotten": "signed out: the next call asks for a token again",
    "unreadable": "the record cannot be read",
}
"""What is said of rows that have no figures."""

_STORE = "REQUESTS_AUTHRETRY_STORE"
_SETTINGS = ".toml"
_KINDS = ("file:", "env:", "redis://", "rediss://", "unix://", "keyring:", "memory:")


class _NothingListedError(OSError):
    """The store has no file yet, or cannot list what it holds; nothing is wrong with it."""


class Row(NamedTuple):
    """One thing that a store holds.

    Attributes:
        kind: ``token``, ``cool-down``, ``outage``, ``slots``, ``pace`` or ``lock``; ``forgotten``
            for a token that was signed out, ``unreadable`` for one that cannot be read.
        key: Its name in the store.
        facts: What is known of it, without secrets.
    """

    kind: str
    key: str
    facts: Mapping[str, Any]


def status(store: str | None, config: str | None, *, as_json: bool = False) -> int:
    """Write what a store holds.

    Args:
        store: A file, or what a settings file may say of a store; a file of settings, if its name
            ends in ``.toml``; None: the settings and their store.
        config: A file of settings, None for those of the environment alone.
        as_json: Whether to write facts as JSON.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: The settings cannot work, or the store cannot be used.
    """
    if store is not None and store.endswith(_SETTINGS):
        store, config = None, store
    known = [] if store is not None else statuses(settings_given(config))
    found = _store_of(store, config)
    if found is None and not known:
        sys.stderr.write("name a store: a file, redis://..., or settings with a store\n")
        return USAGE_ERROR
    rows: list[Row] = []
    exit_status = 0
    try:
        rows = [] if found is None else rows_of(found, SystemClock().time())
    except OSError as error:
        # What is known of the token is an answer, too: it is written after the reason.
        if not (known and isinstance(error, _NothingListedError)):
            sys.stderr.write(f"{error}\n")
            exit_status = FAILED
        if not known:
            return exit_status
        found = None
    if as_json:
        facts: dict[str, Any] = {"credentials": [asdict(each) for each in known]} if known else {}
        shown = [{"kind": row.kind, "key": row.key, **row.facts} for row in rows]
        write_json({**facts, "store": found and repr(found), "holds": shown})
    else:
        write([*map(str, known), *(described(found, rows) if found is not None else ())])
    return exit_status


def rows_of(store: Any, now: float) -> list[Row]:
    """Return what a store holds.

    Args:
        store: A `FileStore` or `RedisStore`.
        now: POSIX time in seconds.

    Raises:
        OSError: It is not there, it cannot be read, or its records cannot be listed.
    """
    if isinstance(store, FileStore):
        return sorted(_rows_of_file(store, now), key=_place)
    if _is_in_redis(store):
        return sorted(_rows_of_redis(store, now), key=_place)
    raise _NothingListedError(f"{store!r} cannot list what it holds")


def described(store: object, rows: list[Row]) -> Iterator[str]:
    """Describe what a store holds, in lines."""
    yield f"{store!r}:"
    for row in rows:
        key = row.key if len(row.key) <= 200 else f"{row.key[:200]}..."  # noqa: PLR2004 (a line)
        yield f"  {row.kind} {key}: {_words(row)}"
    if not rows:
        yield "  nothing"


def token_row(key: str, text: str, now: float) -> Row | None:
    """Return what is known of a token; None if the record holds none."""
    try:
        record = TokenRecord.load(text)
    except UnreadableRecordError:
        return Row("unreadable", key, {})
    if record is None:
        return None
    token = record.token
    if token is None:
        return Row("forgotten", key, {"generation": record.generation})
    expires_at = token.expires_at
    facts = {
        "scheme": token.scheme,
        "expires_in": None if expires_at is None else expires_at - now,
        "is_renewable": token.refresh_token is not None,
        "scopes": list(token.scopes),
        "generation": record.generation,
    }
    return Row("token", key, facts)


def _store_of(store: str | None, config: str | None) -> object:
    if store is None:
        settings = settings_given(config)
        return settings.store or next(filter(None, (each.store for each in settings.sites)), None)
    if not store.startswith(_KINDS):
        store = f"file:{Path(store).absolute()}"
    try:
        return settings_given(config, **{_STORE: store}).store
    except ConfigurationError as error:  # the user gave an argument, and no variable
        faults = [fault.removeprefix(f"{_STORE}: store: ") for fault in error.faults]
        raise ConfigurationError("status", faults) from None


def _is_in_redis(store: object) -> bool:
    try:
        from ..redis import RedisStore
    except ImportError:  # then nobody can have made one
        return False
    return isinstance(store, RedisStore)


def _rows_of_file(store: FileStore, now: float) -> Iterator[Row]:
    if not os.path.lexists(store.path):
        raise _NothingListedError(f"{store.path} does not exist: nothing was kept there yet")
    keys = []
    for key, record in store._records().items():  # noqa: SLF001 (`read` gives one record)
        keys.append(key)
        if isinstance(record, str):
            row = token_row(key, record, now)
        else:
            row = _cool_down_row(key, seconds_left(record, now))
        if row is not None:
            yield row
    limits = FileStore(f"{store.path}.limits")
    for key, record in limits._records().items():  # noqa: SLF001 (as above)
        row = _limit_row(key, record, now)
        if row is not None:
            yield row
    names = {file_name(key): key for key in keys}
    for path in store.path.parent.glob(f"{store.path.name}*.lock"):
        part = path.name.removeprefix(store.path.name).removesuffix(".lock").lstrip(".")
        holder = holder_of(path)
        if holder is not None:
            yield Row("lock", names.get(part, part or "writing"), holder)


def _rows_of_redis(store: RedisStore, now: float) -> Iterator[Row]:
    found = store._records(_MOST_KEYS)  # noqa: SLF001 (`read` gives one record)
    names = {file_name(key): key for key in found}
    for key, (text, life) in found.items():
        kind, _, part = key.partition(":")
        row: Row | None = None
        if kind == "lock" and part:
            row = Row("lock", names.get(part, part), {"process": None, "ends_in": life})
        elif kind == "slots" and part:
            lead = lead_of(_parsed(text), now)
            row = Row("slots", part, {"taken_ahead": max(lead, 0.0)})
        elif kind == "kept" and part:
            row = _pace_row(part, text)
        elif isinstance(_parsed(text), dict) and "kind" in _parsed(text):
            row = _cool_down_row(key, life or 0.0)
        else:
            row = token_row(key, text, now)
        if row is not None:
            yield row


def _cool_down_row(key: str, seconds: float) -> Row | None:
    kind, _, what = key.partition(" ")
    name = what if kind in {"cool-down", "outage"} else key
    kind = "outage" if kind == "outage" else "cool-down"
    return Row(kind, name, {"ends_in": seconds}) if seconds > 0 else None


def _limit_row(key: str, record: object, now: float) -> Row | None:
    kind, _, scope = key.partition(" ")
    name = scope.partition(" ")[2] or scope
    if kind == "slots":
        lead = lead_of(record, now)
        return Row("slots", name, {"taken_ahead": lead}) if lead > 0 else None
    return _pace_row(name, text_of(record, now))


def _pace_row(key: str, text: str | None) -> Row | None:
    told = shared_pace.told(text)
    return None if told is None else Row("pace", key, {"rate": told.rate})


def _place(row: Row) -> tuple[str, str]:
    return row.kind, row.key


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _words(row: Row) -> str:
    """Say in words what is known of a row."""
    facts = row.facts
    if row.kind == "token":
        return ", ".join(_token_words(facts))
    if row.kind == "pace":
        return f"{facts['rate']:.3g} requests a second"
    if row.kind == "slots":
        return f"taken for the next {seconds_text(facts['taken_ahead'])}"
    if row.kind == "lock":
        return _lock_words(facts)
    if row.kind in _SAID:
        return _SAID[row.kind]
    return f"for {seconds_text(facts['ends_in'])}"


def _token_words(facts: Mapping[str, Any]) -> Iterator[str]:
    yield facts["scheme"]
    left = facts["expires_in"]
    if left is None:
        yield "expiry unknown"
    elif left > 0:
        yield f"expires in {seconds_text(left)}"
    else:
        yield f"expired {seconds_text(-left)} ago"
    yield "renewable" if facts["is_renewable"] else "no refresh token"
    if facts["scopes"]:
        yield f"scopes {' '.join(facts['scopes'])}"
    yield f"generation {facts['generation']}"


def _lock_words(facts: Mapping[str, Any]) -> str:
    if facts.get("process") is None:
        end = facts.get("ends_in")
        return "held" if end is None else f"held; without a sign of life it ends in {end:.3g} s"
    return f"held by process {facts['process']} ({facts['program'] or 'unknown'})"
