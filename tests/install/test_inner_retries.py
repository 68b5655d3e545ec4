"""The same script through urllib3's own retries and through ours, made from the same `Retry`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from requests_authretry import Settings, mount
from requests_authretry.testing import FakeClock
from tests.support.wire import Wire, answer, refusing, rst, says

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.wire import Action

OK, BUSY, LOST = answer(), answer(503), says(end=rst)


def later(status: int, seconds: int) -> Action:
    """An answer that names a time."""
    return answer(status, b"", ("Retry-After", str(seconds)))


@dataclass(frozen=True)
class Run:
    """What came of a script.

    Attributes:
        sent: The requests that the server saw.
        waits: The waits between them, in seconds.
        end: The last status, or the name of the exception.
    """

    sent: int
    waits: tuple[float, ...] = ()
    end: int | str = 200


def ending(call: Callable[[], requests.Response]) -> int | str:
    """The last status, or the name of the exception."""
    try:
        return call().status_code
    except requests.RequestException as error:
        return type(error).__name__


def theirs(retry: Any, method: str, script: list[Action], patch: pytest.MonkeyPatch) -> Run:
    """By the adapter's own retries."""
    waits: list[float] = []
    slept = SimpleNamespace(sleep=waits.append, time=time.time)
    with Wire(*script) as wire, requests.Session() as session, patch.context() as patched:
        patched.setattr("urllib3.util.retry.time", slept)
        session.mount("http://", HTTPAdapter(max_retries=retry))
        end = ending(lambda: session.request(method, wire.url))
        return Run(len(wire.arrived), tuple(waits), end)


def ours(retry: Any, method: str, script: list[Action]) -> Run:
    """By a mounted session that adopts them."""
    clock = FakeClock()
    with Wire(*script) as wire, requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        mount(session, Settings(adopt=["retries"], clock=clock))
        end = ending(lambda: session.request(method, wire.url))
        return Run(len(wire.arrived), tuple(wait for wait in clock.sleeps if wait), end)


FORCED: dict[str, Any] = {"status_forcelist": [500, 503]}

SAME: dict[str, tuple[Any, str, list[Action], Run]] = {
    "an int and a 500": (3, "GET", [answer(500)], Run(1, (), 500)),
    "an int and lost connections": (3, "GET", [LOST, LOST, OK], Run(3)),
    "an int and a Retry-After": (3, "GET", [later(429, 7), OK], Run(2, (7,))),
    "a POST that was lost": (3, "POST", [LOST], Run(1, (), "ConnectionError")),
    "a POST and a 429": (3, "POST", [later(429, 7)], Run(1, (), 429)),
    "POST by name": (
        Retry(3, allowed_methods=["POST"], **FORCED),
        "POST",
        [BUSY, LOST, OK],
        Run(3),
    ),
    "GET not by name": (
        Retry(3, allowed_methods=["POST"], **FORCED),
        "GET",
        [BUSY],
        Run(1, (), 503),
    ),
    "any method": (Retry(3, allowed_methods=None, **FORCED), "PATCH", [BUSY, OK], Run(2)),
    "a backoff": (
        Retry(4, backoff_factor=1, **FORCED),
        "GET",
        [BUSY, BUSY, BUSY, BUSY, OK],
        Run(5, (2, 4, 8)),
    ),
    "the end of the retries": (
        Retry(2, raise_on_status=False, **FORCED),
        "GET",
        [BUSY, answer(500), BUSY],
        Run(3, (), 503),
    ),
    "a status that is not on the list": (
        Retry(3, **FORCED),
        "GET",
        [answer(502)],
        Run(1, (), 502),
    ),
}

OTHERWISE: dict[str, tuple[Any, list[Action], Run, Run]] = {
    "RetryError is the last answer instead": (
        Retry(1, **FORCED),
        [BUSY, BUSY],
        Run(2, (), "RetryError"),
        Run(2, (), 503),
    ),
    "a 503 without Retry-After is retried like one with it": (
        3,
        [BUSY, OK],
        Run(1, (), 503),
        Run(2),
    ),
    "Retry-After is kept though the Retry does not respect it": (
        Retry(3, respect_retry_after_header=False, **FORCED),
        [later(503, 7), OK],
        Run(2),
        Run(2, (7,)),
    ),
    "one counter serves all kinds": (
        Retry(5, connect=5, read=2, status=1, raise_on_status=False, **FORCED),
        [BUSY, BUSY, OK],
        Run(2, (), 503),
        Run(3),
    ),
    "a status below 400 is no failure": (
        Retry(3, status_forcelist=[202]),
        [answer(202), OK],
        Run(2),
        Run(1, (), 202),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_the_meaning_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many requests reach the server, after the same waits, and the call ends the same way."""
    retry, method, script, expected = SAME[name]
    assert theirs(retry, method, script, monkeypatch) == expected
    assert ours(retry, method, script) == expected


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_differs_differs_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no counterpart, as `RetryPolicy.from_urllib3` tells."""
    retry, script, with_theirs, with_ours = OTHERWISE[name]
    assert theirs(retry, "GET", script, monkeypatch) == with_theirs
    assert ours(retry, "GET", script) == with_ours


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is tried as often, for a POST too, after the same waits."""
    clock, waits = FakeClock(), list[float]()
    retry = Retry(3, backoff_factor=1)
    with refusing() as url, requests.Session() as session, monkeypatch.context() as patched:
        adapter = HTTPAdapter(max_retries=retry)
        session.mount("http://", adapter)
        patched.setattr(
            "urllib3.util.retry.time", SimpleNamespace(sleep=waits.append, time=time.time)
        )
        with pytest.raises(requests.ConnectionError):
            session.post(url)
        mount(session, Settings(adopt=["retries"], clock=clock))
        with pytest.raises(requests.ConnectionError):
            session.post(url)
    assert [wait for wait in clock.sleeps if wait] == waits == [2, 4]


def test_a_retry_after_above_the_bound_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """urllib3 comes back before the time that the server named; ours hands out the answer."""
    retry: Any = Retry(3, **FORCED)
    waited = 5 if hasattr(retry, "retry_after_max") else 7  # urllib3 1.26 knows no bound
    retry.retry_after_max = 5
    script = [later(503, 7), OK]
    assert theirs(retry, "GET", script, monkeypatch) == Run(2, (waited,))
    assert ours(retry, "GET", script) == Run(1, (), 503)
