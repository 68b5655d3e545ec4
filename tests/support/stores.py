"""Other processes that have the same store, and threads that lock it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests_authretry import Store

BEGIN = """
import os, pickle, sys, threading, time
store = pickle.loads(bytes.fromhex(sys.argv[1]))
def say(*words):
    print(*words, flush=True)
"""


class Other:
    """Another process that runs a few lines with the same ``store``; they ``say()`` something."""

    def __init__(self, store: Store, code: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(  # noqa: S603 (our own script)
            [sys.executable, "-c", BEGIN + code, pickle.dumps(store).hex()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},  # all that we have
        )

    def says(self) -> str:
        """Its next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def rest(self) -> list[str]:
        """Let it read the end of its input, and what it says until its end."""
        return self._process.communicate(timeout=120)[0].splitlines()

    def kill(self) -> None:
        """End it as the system would: nothing is cleaned up."""
        self._process.kill()
        self._process.wait(120)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def is_free(store: Store, key: str = "key", timeout: float = 0.0) -> bool:
    """Whether another thread gets the lock within the timeout, and gives it back."""
    entered: list[bool] = []

    def enter() -> None:
        try:
            with store.lock(key, timeout):
                entered.append(True)
        except TimeoutError:
            entered.append(False)

    thread = Thread(target=enter, daemon=True)  # one that hangs does not keep the tests from ending
    thread.start()
    thread.join(120)
    assert entered, "it neither entered nor gave up"
    return entered[0]
