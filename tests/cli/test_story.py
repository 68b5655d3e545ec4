"""The stories of ``run --verbose``: which calls are told, and how they are summed up."""

from __future__ import annotations

import atexit
import os
import re
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import CallEnded, Settings, explain, mount
from requests_authretry.cli._story import Storyteller, told
from requests_authretry.testing import no_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests_authretry.cli.demo_server import DemoServer


@pytest.fixture
def endings(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What was left to the end of the process."""
    weakref.finalize(monkeypatch, bool)  # the first one registers an end of its own
    left: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", left.append)
    return left


@pytest.fixture
def session(endings: list[Callable[[], object]]) -> Iterator[requests.Session]:
    """A session whose calls are told."""
    assert endings == []
    with requests.Session() as session, no_waiting():
        mount(session, told(Settings()))
        yield session


def summary(endings: list[Callable[[], object]], capsys: pytest.CaptureFixture[str]) -> str:
    """What is told at the end of the process."""
    (sum_up,) = endings
    capsys.readouterr()
    sum_up()
    return capsys.readouterr().err.removeprefix("requests_authretry: ").strip()


@pytest.mark.parametrize(
    ("canned", "path", "is_told"),
    [
        ([], "/get", False),
        ([], "/redirect/2", False),
        ([], "/status/404", False),
        ([503], "/get", True),
        ([], "/status/401", True),
        ([], "/status/501", True),
        ([429] * 4, "/get", True),
    ],
)
def test_only_trouble_is_told(  # noqa: PLR0913, PLR0917 (fixtures)
    demo_server: DemoServer,
    httpbin_url: str,
    session: requests.Session,
    capsys: pytest.CaptureFixture[str],
    canned: list[int],
    path: str,
    is_told: bool,  # noqa: FBT001 (a row)
) -> None:
    """A call that is sent again, waits, or ends in 401, 429 or 5xx; a 404 or a redirect is none."""
    for status in canned:
        demo_server.answer(status)
    response = session.get(httpbin_url + path)
    assert capsys.readouterr().err == (f"{explain(response)}\n" if is_told else "")


def test_a_call_that_only_waited_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """It was held back by a limit, and sent once."""
    for waited, told_lines in ((0.0, 0), (2.0, 1)):
        Storyteller()(CallEnded(1, "GET", "https://api.example.com/", 1, 200, None, 2.1, waited))
        assert len(re.findall("^GET ", capsys.readouterr().err)) == told_lines


def test_a_failed_call_is_told(
    session: requests.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its story has each attempt; the query is in none of it."""
    with pytest.raises(requests.ConnectionError):
        session.get("http://127.0.0.1:9/x?api_key=s3cret")
    err = capsys.readouterr().err
    assert err.startswith("GET http://127.0.0.1:9/x: ConnectionError after 4 attempts in ")
    assert "s3cret" not in err


def test_all_calls_are_summed_up(
    endings: list[Callable[[], object]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls, attempts and waits of all; how many were in trouble, and how these ended."""
    (teller,) = told(Settings()).listeners
    assert summary(endings, capsys) == "no call was made"
    names = ("GET", "https://api.example.com/")
    teller(CallEnded(1, *names, attempts=1, status=200, error=None, seconds=0.1, waited=0.0))
    assert summary(endings, capsys) == "1 call, 1 attempt; no call was in trouble"
    teller(CallEnded(2, *names, attempts=2, status=200, error=None, seconds=1.6, waited=1.5))
    teller(CallEnded(3, *names, attempts=1, status=503, error=None, seconds=0.1, waited=0.0))
    teller(CallEnded(4, *names, attempts=4, status=None, error="X", seconds=2.6, waited=2.5))
    said = "4 calls, 8 attempts, 4 s waited; in trouble: 3, of which 1 ended well"
    assert summary(endings, capsys) == said


def test_sites_are_told_and_observe_with_the_rest(endings: list[Callable[[], object]]) -> None:
    """``run --observe`` holds for sites too, whatever the file says of them; listeners stay."""
    heard: list[Any] = []
    sites = [Settings(origins=["https://a.example.com"], listeners=[heard.append])]
    settings = told(Settings(observe=True, sites=sites))
    (site,) = settings.sites
    assert site.observe
    assert next(iter(site.listeners)) == heard.append
    (teller,) = settings.listeners
    assert isinstance(teller, Storyteller)
    assert teller in site.listeners
    assert len(endings) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_process_counts_for_itself() -> None:
    """After a fork the calls of the parent are not summed up once more."""
    teller = Storyteller()
    teller(CallEnded(1, "GET", "https://api.example.com/", 1, 200, None, 0.1, 0.0))
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, 2)
        sys.stderr = open(writing, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (of the child)
        teller.sum_up()
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading, encoding="utf-8") as told_by_child:  # noqa: PTH123 (a descriptor)
        assert told_by_child.read() == "requests_authretry: no call was made\n"


def test_a_closed_standard_error_breaks_no_call(
    session: requests.Session, httpbin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program goes on, also where there is no standard error at all."""
    for stream in (None, open("/dev/null", encoding="utf-8")):  # noqa: PTH123, SIM115 (closed here)
        if stream is not None:
            stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        assert session.get(f"{httpbin_url}/status/501").status_code == 501
