"""The clients of `drain.py`: a process that makes its calls over threads, and ends.

Each is what people write: one session for all threads, with a pool as large as they are many.

    python benchmarks/clients.py ours http://127.0.0.1:8000 --calls 0 100 --threads 10
"""
# ruff: noqa: INP001 (a script)

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from requests_authretry import FileStore, Settings, mount

Call = Callable[[str], object]

TOO_MANY_REQUESTS: Final = 429
LONGEST: Final = 20.0


def ours(session: requests.Session, threads: int, store: str | None) -> Call:
    """The one line, with the settings as they come."""
    session.mount("http://", HTTPAdapter(pool_maxsize=threads))
    mount(session, Settings(store=None if store is None else FileStore(store)))
    return session.get


def urllib3(session: requests.Session, threads: int, _: str | None) -> Call:
    """As the tutorials mount it; `Retry-After` is heard in both forms."""
    retry = Retry(
        total=5, backoff_factor=1, status_forcelist=[429, 503], respect_retry_after_header=True
    )
    session.mount("http://", HTTPAdapter(pool_maxsize=threads, max_retries=retry))
    return session.get


def naive(session: requests.Session, threads: int, _: str | None) -> Call:
    """The loop that people write by hand: `Retry-After` in seconds, else 1, 2, 4 to 20."""
    session.mount("http://", HTTPAdapter(pool_maxsize=threads))

    def call(url: str) -> object:
        for retry in count():
            response = session.get(url)
            if response.status_code != TOO_MANY_REQUESTS:
                break
            retry_after = response.headers.get("Retry-After", "")
            time.sleep(float(retry_after) if retry_after.isdigit() else min(2**retry, LONGEST))
        return response

    return call


CLIENTS: Final[dict[str, Callable[[requests.Session, int, str | None], Call]]] = {
    "ours": ours,
    "urllib3": urllib3,
    "naive": naive,
}


def main() -> None:
    """Make the calls; what became of them, the server knows."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("url")
    parser.add_argument("--calls", type=int, nargs=2, metavar=("FIRST", "END"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--store", help="a file that several processes share")
    given = parser.parse_args()
    with requests.Session() as session, ThreadPoolExecutor(given.threads) as pool:
        call = CLIENTS[given.client](session, given.threads, given.store)

        def one(number: int) -> None:
            with suppress(requests.RequestException):
                call(f"{given.url}/calls/{number}")

        list(pool.map(one, range(*given.calls)))


if __name__ == "__main__":
    main()
