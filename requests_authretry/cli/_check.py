"""The command ``check``: what settings from outside say."""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from .._config import load_content
from .._core.token import Token
from .._core.validation import ConfigurationError, refuse
from .._settings import Settings
from ..dialects import named_alone
from ._screen import write, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core.placement import Placement

STANDARD_INPUT = "-"
"""In place of a file."""

_SPELT_OUT = 3
"""Codes in a row that are told one by one, at most."""


class Policy(NamedTuple):
    """What settings do for some origins, without secrets.

    Attributes:
        origins: The origins; empty for all that are not named elsewhere.
        max_attempts: The most attempts of a call.
        deadline: Seconds for a whole call.
        statuses: The statuses that are retried.
        methods: The methods that are retried even if the request was processed.
        not_processed: The statuses of requests that were not processed, as the settings say.
        declared_limits: The declared rates and the concurrency, in words.
        token: Where the token comes from, in words.
        token_in: Where in a request the token goes, in words.
        dialect: The name of the dialect that is named alone, if the origins or the place of the
            token are those that it supplies; None if not.
        store: Where it is kept, in words.
        timeout: Seconds, or seconds to connect and to read; None if there is none.
        observe: Whether nothing is changed, and only told.
    """

    origins: list[str]
    max_attempts: int
    deadline: float
    statuses: list[int]
    methods: list[str]
    not_processed: list[int]
    declared_limits: list[str]
    token: str
    token_in: str
    dialect: str | None
    store: str
    timeout: float | tuple[float | None, float | None] | None
    observe: bool


def check(file: str | None, *, as_json: bool = False) -> int:
    """Write what settings would do, or on standard error every fault they have.

    Args:
        file: The TOML file, ``-`` for standard input; None: the environment.
        as_json: Whether to write facts, and the faults with them, as JSON.

    Returns:
        The exit status.
    """
    try:
        settings = _settings_in(file)
    except ConfigurationError as error:
        if as_json:
            write_json({"faults": list(error.faults)})
        else:
            sys.stderr.writelines(f"{fault}\n" for fault in error.faults)
        return 1
    policies = [policy_of(each) for each in (*settings.sites, settings)]
    if as_json:
        write_json({"faults": [], "policies": [policy._asdict() for policy in policies]})
    else:
        write(described(policies))
    return 0


def policy_of(settings: Settings) -> Policy:
    """Return what settings do, their sites aside."""
    retry, limits = settings.retry, settings.limits
    declared = [str(rate) for rate in limits.rates]
    if limits.concurrency is not None:
        declared.append(f"{limits.concurrency} at a time")
    return Policy(
        origins=list(settings.origins),
        max_attempts=retry.max_attempts,
        deadline=float(retry.deadline),
        statuses=sorted({*retry.statuses, *retry.not_processed}),
        methods=sorted(retry.methods),
        not_processed=sorted(retry.not_processed),
        declared_limits=declared,
        token=source_name(settings.token),
        token_in=_place_name(settings.token_in),
        dialect=_supplier(settings),
        store=str(settings.store or "memory"),
        timeout=settings.timeout,
        observe=settings.observe,
    )


def described(policies: list[Policy]) -> Iterator[str]:
    """Describe policies in lines: those of the sites, then that of the settings above them."""
    *sites, top = policies
    for site in sites:
        yield f"{_origins(site)}:"
        yield from _rules(site)
    if top.origins:
        yield f"{_origins(top)} (and all other origins, without credentials):"
    else:
        yield "all other origins:" if sites else "all origins:"
    yield from _rules(top)


def source_name(token: Any) -> str:
    """Say where a token comes from, without a secret."""
    if token is None:
        return "none"
    return "given, never renewed" if isinstance(token, Token) else repr(token)


def _place_name(place: Placement | None) -> str:
    """Say where in a request a token goes."""
    if place is None:
        return "Authorization"
    return f"{type(place).__name__.lower()} {place.name}"


def _supplier(settings: Settings) -> str | None:
    """Return the name of the dialect that has these origins, or this place of the token."""
    dialect = named_alone(settings.dialects)
    if dialect is None or settings.token is None:
        return None
    is_there = settings.token_in is not None and settings.token_in == dialect.placement
    return dialect.name if is_there or settings.origins == dialect.origins else None


def _origins(policy: Policy) -> str:
    """Return the origins of a policy as text."""
    return ", ".join(policy.origins)


def _settings_in(file: str | None) -> Settings:
    if file is None:
        return Settings.from_env()
    if file == STANDARD_INPUT:
        if sys.stdin is None:  # closed by the shell: <&-
            refuse("check", ["<stdin>: is closed"])
        return load_content(sys.stdin.buffer.read(), "<stdin>")
    return Settings.from_file(file)


def _rules(policy: Policy) -> Iterator[str]:
    if policy.observe:
        yield "  nothing is changed, only told (observe); without that:"
    most = "1 attempt" if policy.max_attempts == 1 else f"at most {policy.max_attempts} attempts"
    yield f"  {most} within {policy.deadline:g} s"
    yield f"  retried statuses: {_listed(policy.statuses) or 'none'}"
    yield f"  retried even if processed: {', '.join(policy.methods) or 'no method'}"
    if policy.not_processed:
        yield f"  retried with any method, as not processed: {_listed(policy.not_processed)}"
    if policy.declared_limits:
        yield f"  declared limits: {'; '.join(policy.declared_limits)}"
    yield f"  token: {policy.token}; store: {policy.store}"
    if policy.dialect is not None:
        place = f"{policy.token_in} at {_origins(policy)}"
        yield f"  token goes to: {place}, as dialect {policy.dialect} says"
    if isinstance(policy.timeout, tuple):
        connect, read = policy.timeout
        yield f"  timeout: {connect:g} s to connect, {read:g} s to read where the caller gave none"
    elif policy.timeout is not None:
        yield f"  timeout: {policy.timeout:g} s where the caller gave none"


def _listed(codes: list[int]) -> str:
    """Return codes in order as text; a run of more than three as ``520 to 524``."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and runs[-1][-1] == code - 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    texts = ([f"{run[0]} to {run[-1]}"] if len(run) > _SPELT_OUT else map(str, run) for run in runs)
    return ", ".join(chain.from_iterable(texts))
