"""A process that keeps to a declared rate, and shares it in a store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from requests_authretry import FileStore, Rate, RateLimits, RetryPolicy, Settings, mount
from requests_authretry._admission import shared_limits
from requests_authretry._core import rate_supply
from requests_authretry.redis import RedisStore
from requests_authretry.stores import _file
from requests_authretry.testing import ScriptedAdapter
from tests.live.callers import PATIENCE
from tests.support.sessions import API

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_authretry import Store

LIMIT, CALLS = 100, 60
"""Requests of all processes in ten hours, and calls of each process."""


def work(store: Store) -> dict[str, int]:
    """Make calls that do not wait for the next window, and count what came of them."""
    # A machine under load may be slower than a store has to be.
    shared_limits.LATEST_SECONDS = rate_supply.LATEST_SECONDS = PATIENCE  # type: ignore[attr-defined]
    _file._TAKE_TIMEOUT = PATIENCE  # noqa: SLF001 (the same)
    inner, session = ScriptedAdapter(*[200] * CALLS), requests.Session()
    session.mount("https://", inner)
    limits = RateLimits(rates=[Rate(LIMIT, per=36_000.0)])
    mount(session, Settings(store=store, limits=limits, retry=RetryPolicy(deadline=PATIENCE)))
    stopped = sum(is_stopped(session) for _ in range(CALLS))
    return {"sent": len(inner.sent), "stopped": stopped}


def is_stopped(session: requests.Session) -> bool:
    """Make a call; return whether it came to no answer."""
    try:
        return session.get(API).status_code != 200
    except requests.RequestException:
        return True


def start(store: str) -> Callable[[], dict[str, int]]:
    """Let a process of its own do it; what is returned waits for its end and its report.

    Args:
        store: The path of a file, or the URL of a Redis.
    """
    command, root = [sys.executable, "-m", __name__, store], Path(__file__).parent.parent.parent
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)  # noqa: S603 (ourselves)

    def report() -> dict[str, int]:
        counts: dict[str, int] = json.loads(process.communicate(timeout=PATIENCE)[0])
        return counts

    return report


if __name__ == "__main__":
    name = sys.argv[1]
    print(json.dumps(work(RedisStore(name) if "://" in name else FileStore(name))))  # noqa: T201 (the report)
