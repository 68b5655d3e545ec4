"""Starts what serves tests: a program, or a server in a thread of this process."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Event, Thread, Timer
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from socketserver import BaseServer
    from subprocess import Popen

T = TypeVar("T")

PATIENCE = 300.0
"""Seconds that a program may take to start, on a machine at work on much else."""

_STARTS = 2
"""How often it is started before its tests fail: the first time, memory may have run out."""


def started(
    name: str, launch: Callable[[], Popen[str]], come_up: Callable[[Popen[str]], T | None]
) -> tuple[Popen[str], T]:
    """Start a program, once more if it does not come up, and wait until it has.

    Args:
        name: What it is, for the message.
        launch: Starts its process.
        come_up: Waits until it serves, and returns what it says of itself; None if it has ended or
            will say no more.

    Returns:
        The process, and what it said.

    Raises:
        RuntimeError: It did not come up. The message says after how many seconds each process
            ended, with which exit code, and whether we killed it.
    """
    ends = []
    for _ in range(_STARTS):
        began, process = time.monotonic(), launch()
        with _killed_when_late(process) as is_late:
            said = come_up(process)
            if said is not None:
                return process, said
            with process:  # wait for its end, and close its pipes
                pass
        who = "we killed it" if is_late.is_set() else "it ended by itself"
        after = time.monotonic() - began
        ends.append(f"{who} after {after:.1f} s (exit code {process.returncode})")
    raise RuntimeError(f"{name} did not start; see stderr: {', then '.join(ends)}")


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """Serve in a thread to the end of the block, then close the server."""
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _killed_when_late(process: Popen[str]) -> Iterator[Event]:
    """Kill a process if the block takes too long, or fails; the event says that it was late."""
    is_late = Event()

    def kill() -> None:
        is_late.set()
        process.kill()

    watchdog = Timer(PATIENCE, kill)
    watchdog.start()
    try:
        yield is_late
    except BaseException:
        process.kill()
        raise
    finally:
        watchdog.cancel()
