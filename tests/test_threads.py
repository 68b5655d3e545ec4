"""Work in threads of our own: with the caller's context, for a time, and where there is none."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

from requests_authretry._threads import is_done_within
from tests.support.renewals import PATIENCE, no_thread

if TYPE_CHECKING:
    import pytest

said: ContextVar[str] = ContextVar("said", default="nothing")


def test_the_work_has_the_context_of_its_caller() -> None:
    """A store that reads a context variable finds what the caller set, and sets nothing for it."""
    found: list[str] = []

    def work() -> None:
        found.append(said.get())
        said.set("by the work")

    outside = said.set("by the caller")
    try:
        assert is_done_within(PATIENCE, work, name="work")
        assert (found, said.get()) == (["by the caller"], "by the caller")
    finally:
        said.reset(outside)


def test_work_that_takes_too_long_is_left_behind() -> None:
    """After no second at all the caller goes on, while the work waits for what never comes."""
    go_on = threading.Event()
    try:
        assert not is_done_within(0.0, lambda: go_on.wait(PATIENCE), name="work")
    finally:
        go_on.set()


def test_without_a_thread_the_caller_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the program ends no thread can be started: the work is done all the same."""
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    done: list[threading.Thread] = []
    assert is_done_within(0.0, lambda: done.append(threading.current_thread()), name="work")
    assert done == [threading.current_thread()]
