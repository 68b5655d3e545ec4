"""One worker of a fleet: a process with threads that call an API until they are told to stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import requests

from requests_authretry import FileStore, Settings, TokenRefreshed, attempts, mount
from requests_authretry.oauth2 import Client, RefreshToken
from requests_authretry.redis import RedisStore

PAUSE = 0.5
"""Seconds between two calls of a thread: enough to be there at each expiry."""

TOO_MANY = 100
"""Faults after which there is nothing more to learn."""


@dataclass(frozen=True)
class Orders:
    """What a worker is to do.

    Attributes:
        api: The base URL of the API.
        issuer: The authorization server.
        client: Id and secret of the client.
        refresh_token: The first one, which all workers are given.
        store: The path of a file, or the URL of a Redis.
        stop: The path of a file that ends the work when it is there.
        threads: How many call at a time.
    """

    api: str
    issuer: str
    client: tuple[str, str]
    refresh_token: str
    store: str
    stop: str
    threads: int = 8

    def settings(self, **others: Any) -> Settings:
        """What all workers mount."""
        client = Client(*self.client, issuer=self.issuer)
        is_redis = "://" in self.store
        store = RedisStore(self.store, lock_ttl=5.0) if is_redis else FileStore(self.store)
        token = RefreshToken(client, self.refresh_token)
        return Settings(token=token, origins=[self.api], store=store, **others)


def start(orders: Orders, job: str = "work") -> subprocess.Popen[str]:
    """A worker in a process of its own; its report is on its standard output."""
    command = [sys.executable, "-m", __name__, job, json.dumps(asdict(orders))]
    root = Path(__file__).parent.parent.parent
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)  # noqa: S603 (ourselves)


class Report:
    """What came of the calls of one worker. Safe to use from many threads."""

    def __init__(self, folder: Path) -> None:
        self.file = str(folder / f"renewals-{os.getpid()}")
        self.answers: Counter[int] = Counter()
        self.faults: list[str] = []
        self.renewals: Counter[str] = Counter()

    def listen(self, event: object) -> None:
        """Count the renewals, in a file too."""
        if isinstance(event, TokenRefreshed):
            self.renewals["adopted" if event.adopted else "fetched"] += 1
            Path(self.file).write_text(str(sum(self.renewals.values())))

    def call(self, session: requests.Session, url: str) -> None:
        """Make one call, and write down what is not as it should be."""
        try:
            response = session.get(url)
        except requests.RequestException as error:
            self.faults.append(f"{type(error).__name__}: {error}")
            return
        self.answers[response.status_code] += 1
        if response.status_code != requests.codes.ok:
            self.faults.append(str(attempts(response)))


def work(orders: Orders) -> Report:
    """Call the API from all threads, until told to stop or too much has failed."""
    report = Report(Path(orders.stop).parent)
    settings = orders.settings(listeners=[report.listen])

    def call_on() -> None:
        with requests.Session() as session, mount(session, settings):
            while len(report.faults) < TOO_MANY and not Path(orders.stop).exists():
                report.call(session, f"{orders.api}/get")
                time.sleep(PAUSE)

    threads = [threading.Thread(target=call_on) for _ in range(orders.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return report


def stall(orders: Orders) -> None:
    """Take the store's lock as a renewal does, and hang before anything is sent."""
    settings = orders.settings()

    def hang() -> str:
        Path(orders.stop).touch()
        threading.Event().wait()
        return "never"

    hang.store_key = settings.token.store_key  # type: ignore[attr-defined, union-attr]
    hanging = replace(settings, token=hang)
    with requests.Session() as session, mount(session, hanging):
        session.get(f"{orders.api}/get")


if __name__ == "__main__":
    job, given = sys.argv[1:]
    if job == "stall":
        stall(Orders(**json.loads(given)))
    else:
        print(json.dumps(vars(work(Orders(**json.loads(given))))))  # noqa: T201 (the report)
