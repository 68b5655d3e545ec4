"""Processes that share a real store keep to a declared rate together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.rates import CALLS, LIMIT, start

if TYPE_CHECKING:
    from pathlib import Path

PROCESSES = 4
HELD = 2
"""Units that a process may hold when it ends: a batch is a fortieth of the limit."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "redis"])
def test_processes_share_a_declared_rate(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Four processes make 60 calls each, and 100 are allowed in ten hours: no more are sent."""
    is_file = kind == "file"
    store = str(tmp_path / "store.json") if is_file else request.getfixturevalue("redis_server").url
    reports = [report() for report in [start(store) for _ in range(PROCESSES)]]
    assert LIMIT - PROCESSES * HELD <= sum(report["sent"] for report in reports) <= LIMIT
    assert [report["sent"] + report["stopped"] for report in reports] == [CALLS] * PROCESSES
