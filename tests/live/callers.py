"""Callers that share a store and keep calling an API: here, or in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from requests_authretry import CoolingDown, FileStore, RetryPolicy, RetryQuota, Settings, mount
from requests_authretry.redis import RedisStore
from tests.servers.nginx import From

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from requests_authretry import Store

PATIENCE = 300.0
"""Seconds after which a test that waits has failed: many more than a slow machine needs."""

PATIENT = RetryPolicy(max_attempts=50, deadline=PATIENCE)
FREE = RetryQuota(transient_cost=0, throttled_cost=0)
"""Who retries so may be refused as often as a slow machine lets it happen."""


@dataclass(frozen=True)
class Orders:
    """What callers are to do.

    Attributes:
        url: What they call.
        address: Where their requests come from.
        threads: How many call at a time.
        pause: Seconds between two calls of a thread.
    """

    url: str
    address: str = "127.0.0.1"
    threads: int = 1
    pause: float = 0.0


@dataclass
class Report:
    """What came of the calls.

    Attributes:
        answers: How many calls ended with each status, or with each kind of exception.
    """

    answers: Counter[str] = field(default_factory=Counter)

    def call(self, session: requests.Session, url: str) -> None:
        """Make one call and write down what came of it."""
        try:
            answer = session.get(url)
        except requests.RequestException as error:
            self.answers[type(error).__name__] += 1
            return
        self.answers[str(answer.status_code)] += 1


def work(orders: Orders, store: Store, stop: Path) -> Report:
    """Call from the threads of one session, until there is a file at ``stop``.

    When a cool-down is heard of first, a file is made at its side.
    """
    report, heard = Report(), stop.with_suffix(f".{orders.address}")

    def listen(event: object) -> None:
        if isinstance(event, CoolingDown):
            with suppress(FileExistsError):
                heard.touch(exist_ok=False)

    def call_on(session: requests.Session) -> None:
        while not stop.exists():
            report.call(session, orders.url)
            time.sleep(orders.pause)

    with requests.Session() as session, ThreadPoolExecutor(orders.threads) as pool:
        session.mount("http://", From(orders.address))
        mount(session, Settings(retry=PATIENT, quota=FREE, store=store, listeners=[listen]))
        for ended in [pool.submit(call_on, session) for _ in range(orders.threads)]:
            ended.result()
    return report


class Callers:
    """Who calls with one store, until the block ends: a thread here, or a process, for each orders.

    Args:
        store: A store of this process's, the path of a file, or the URL of a Redis.
        stop: The path of a file that is not there.
    """

    def __init__(self, store: Store | str, stop: Path) -> None:
        self._store = store
        self._stop = stop
        self._reports: list[Callable[[], Report]] = []
        self._pool = ThreadPoolExecutor()

    def begin(self, orders: Orders) -> None:
        """Let somebody begin."""
        if isinstance(self._store, str):
            self._reports.append(start(orders, self._store, str(self._stop)))
        else:
            self._reports.append(self._pool.submit(work, orders, self._store, self._stop).result)

    def heard(self) -> list[float]:
        """When each of those heard of a cool-down first, who have."""
        files = self._stop.parent.glob(f"{self._stop.stem}.*")
        return [file.stat().st_mtime for file in files]

    def all_heard(self) -> bool:
        """Whether all of them have, or one of those who share a store in memory and so its news."""
        return len(self.heard()) >= (len(self._reports) if isinstance(self._store, str) else 1)

    def end(self) -> list[Report]:
        """Let all of them end; what came of their calls, in the order in which they began."""
        self._stop.touch()
        reports, self._reports = self._reports, []
        return [report() for report in reports]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._pool.shutdown()


def start(orders: Orders, store: str, stop: str) -> Callable[[], Report]:
    """Let a process of its own do it; what is returned waits for its end and its report."""
    command = [sys.executable, "-m", __name__, json.dumps(asdict(orders)), store, stop]
    root = Path(__file__).parent.parent.parent
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)  # noqa: S603 (ourselves)

    def report() -> Report:
        written = json.loads(process.communicate(timeout=PATIENCE)[0])
        return Report(Counter(written["answers"]))

    return report


def wait_for(until: Callable[[], bool]) -> None:
    """Wait until something is so, but not for ever."""
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


if __name__ == "__main__":
    given, name, end = sys.argv[1:]
    store = RedisStore(name) if "://" in name else FileStore(name)
    print(json.dumps(vars(work(Orders(**json.loads(given)), store, Path(end)))))  # noqa: T201 (the report)
