"""The clients of `drain.py`: a process that makes its calls over threads, and ends.

Each is what people write: one session for all threads, with a pool as large as they are many. It
says when it is ready, and begins when a line comes to its standard input.

    python benchmarks/clients.py ours http://127.0.0.1:8000/0 --calls 0 100 --threads 10
"""
# ruff: noqa: INP001, T201 (a script, and its output is its result)

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from requests_authretry import FileStore, Settings, mount

if TYPE_CHECKING:
    from requests_authretry import Store

Call = Callable[[str], object]

TIMEOUT: Final = 60.0


def ours(session: requests.Session, threads: int, name: str | None) -> Call:
    """Mount the one line, with the settings as they come."""
    session.mount("http://", HTTPAdapter(pool_maxsize=threads))
    mount(session, Settings(store=name and store(name)))
    return session.get


def store(name: str) -> Store:
    """Return the store at a path, or at the URL of a Redis."""
    if "://" not in name:
        return FileStore(name)
    from requests_authretry.redis import RedisStore

    return RedisStore(name)


def urllib3(session: requests.Session, threads: int, _: str | None) -> Call:
    """Mount what tutorials mount; `Retry-After` is heard in both forms."""
    retry = Retry(
        total=5, backoff_factor=1, status_forcelist=[429, 503], respect_retry_after_header=True
    )
    session.mount("http://", HTTPAdapter(pool_maxsize=threads, max_retries=retry))
    return session.get


def stamina(session: requests.Session, threads: int, _: str | None) -> Call:
    """Retry as stamina's own example does, with its defaults: 10 attempts, 45 s."""
    import stamina

    stamina.instrumentation.set_on_retry_hooks([])  # no line for each retry
    session.mount("http://", HTTPAdapter(pool_maxsize=threads))

    @stamina.retry(on=requests.HTTPError)
    def call(url: str) -> None:
        session.get(url, timeout=TIMEOUT).raise_for_status()

    return call


CLIENTS: Final[dict[str, Callable[[requests.Session, int, str | None], Call]]] = {
    "ours": ours,
    "urllib3": urllib3,
    "stamina": stamina,
}


def main() -> None:
    """Make the calls; what became of them, the server knows."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("url")
    parser.add_argument("--calls", type=int, nargs=2, metavar=("FIRST", "END"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--store", help="the path of a file, or the URL of a Redis, that is shared")
    given = parser.parse_args()
    numbers, go = iter(range(*given.calls)), Event()
    with requests.Session() as session:
        call = CLIENTS[given.client](session, given.threads, given.store)

        def work() -> None:
            go.wait()
            for number in numbers:
                with suppress(requests.RequestException):
                    call(f"{given.url}/{number}")

        threads = [Thread(target=work) for _ in range(given.threads)]
        for thread in threads:
            thread.start()
        print("ready", flush=True)
        sys.stdin.readline()
        go.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
