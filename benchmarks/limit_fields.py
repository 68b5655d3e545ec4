"""What it costs to read rate limits from every answer, counted as `healthy_path.py` counts.

An adapter below the library gives canned answers, so that nothing but the library differs between
the modes. In some of them the fields stay the same, in the others they change with every answer.

    python benchmarks/limit_fields.py [--check]
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import os
import shutil
import sys
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import requests
from callgrind import counted
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from requests_authretry import RetryPolicy, Settings, mount

if TYPE_CHECKING:
    from collections.abc import Callable

MOST: Final = 40_000
"""Instructions that the fields of an answer may cost which are those of the last one."""

ELSEWHERE: Final = 4_000
"""Instructions that a rate limit may cost a call to another origin."""

FEW, MANY = 30, 130
API, OTHER = "https://api.example.com", "https://other.example.com"


def ietf(left: int) -> dict[str, str]:
    """The fields of the IETF draft, 100 to a window of a minute."""
    return {
        "RateLimit-Policy": '"default";q=1000;w=3600',
        "RateLimit": f'"default";r={left};t={3000 - left % 7}',
    }


def github(left: int) -> dict[str, str]:
    """The fields that most servers send, with an epoch as the reset."""
    return {
        "X-RateLimit-Limit": "1000",
        "X-RateLimit-Remaining": f"{left}",
        "X-RateLimit-Reset": "4102444800",
        "X-RateLimit-Resource": "core",
    }


MODES: Final[dict[str, tuple[Callable[[int], dict[str, str]], str]]] = {
    "no fields": (lambda _: {}, ""),
    "the same RateLimit": (lambda _: ietf(999), ""),
    "the same, below half": (lambda _: ietf(450), ""),
    "the same X-RateLimit": (lambda _: github(999), ""),
    "the same X-, below half": (lambda _: github(450), ""),
    "at another origin": (lambda _: {}, OTHER),
    "other RateLimit": (lambda number: ietf(999 - number % 400), ""),
    "other, below half": (lambda number: ietf(450 - number % 400), ""),
    "other X-RateLimit": (lambda number: github(999 - number % 400), ""),
    "other X-, below half": (lambda number: github(450 - number % 400), ""),
}


class Canned(BaseAdapter):
    """Answers with fields that change."""

    def __init__(self, fields: Callable[[int], dict[str, str]]) -> None:
        super().__init__()
        self._fields, self._number = fields, 0

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer at once."""
        self._number += 1
        response = requests.Response()
        is_other = (request.url or "").startswith(OTHER)
        response.status_code = 429 if is_other else 200
        told = {"Retry-After": "3000"} if is_other else self._fields(self._number)
        response.headers = CaseInsensitiveDict({"Content-Type": "text/plain", **told})
        response.raw, response.url, response.request = BytesIO(b""), request.url or "", request
        return response

    def close(self) -> None:
        """Hold nothing."""


def client(mode: str, count: int) -> None:
    """Make the requests."""
    fields, troubled = MODES[mode]
    with requests.Session() as session:
        session.mount("https://", Canned(fields))
        mount(session, Settings(retry=RetryPolicy(max_attempts=1)))
        if troubled:
            session.get(troubled)
        for number in range(count):
            session.get(f"{API}/get?number={1000 + number}").raise_for_status()


def main() -> int:
    """Count, print, and with ``--check`` hold the limits."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="fail above the limits")
    check = parser.parse_args().check
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("valgrind is not installed: nothing was counted, and nothing is claimed.")
        return 0
    runs = [(mode, count) for mode in MODES for count in (FEW, MANY)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda run: counted(valgrind, __file__, *run), runs)
        counts = dict(zip(runs, found, strict=True))
    costs = {mode: (counts[mode, MANY] - counts[mode, FEW]) / (MANY - FEW) for mode in MODES}
    print("instructions per call, and more than without fields")
    failed = False
    for mode, cost in costs.items():
        more = cost - costs["no fields"]
        most = ELSEWHERE if MODES[mode][1] else MOST
        failed = failed or (more > most and not mode.startswith("other"))
        print(f"  {mode:24} {cost:>10,.0f} {more:>+10,.0f}")
    return int(check and failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        client(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main())
