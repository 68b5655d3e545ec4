"""Threads of our own, where the interpreter gives one."""

from __future__ import annotations

from contextvars import copy_context
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def started(
    work: Callable[..., object], *args: object, name: str, daemon: bool = True
) -> Thread | None:
    """Do some work in a thread of its own.

    Args:
        work: What to do there.
        args: Its arguments.
        name: The name of the thread, for people.
        daemon: Whether the program may end before the work.

    Returns:
        The thread; None where there is none to be had, and the caller has to do the work itself:
        the system has no more threads, or the program is ending. From Python 3.12 on no thread
        can be started any more when the functions of `atexit` run.
    """
    thread = Thread(target=work, args=args, name=name, daemon=daemon)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def is_done_within(seconds: float, work: Callable[[], object], *, name: str) -> bool:
    """Do some work in a thread of its own; return whether it ended in time.

    The thread has the context variables of the caller, and is left behind when its time is over.
    Where there is no thread to be had, the caller does the work itself, for as long as it takes.

    Args:
        seconds: How long to wait: real seconds, as the time limits of sockets are.
        work: What to do there.
        name: The name of the thread, for people.
    """
    ended = Event()

    def run() -> None:
        try:
            work()
        finally:
            ended.set()

    if started(copy_context().run, run, name=name) is None:
        run()
    return ended.wait(seconds)
