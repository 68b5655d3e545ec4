"""What an exception of the user's code says, and what may be shown of it."""

from __future__ import annotations

import errno
import socket
import sqlite3
import ssl
import urllib.error
from email.message import Message
from http.client import BadStatusLine, IncompleteRead
from typing import Any

import pytest
import requests
from requests.structures import CaseInsensitiveDict
from urllib3 import exceptions as wire

from requests_authretry._core.foreign_errors import (
    attempts_of,
    described,
    outcome_of,
    speaks_of_threads,
)
from requests_authretry._core.records import CALL, STORY, Attempt, Reason, Wait

NOW = 1_000_000_000.0
SECRET = "s3cret-of-the-user"
URL = f"https://ada:{SECRET}@login.example.com/token?api_key={SECRET}"
CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed")


def foreign(package: str, *names: str) -> BaseException:
    """An exception of a library that is not installed, of the last class, a subclass of others."""
    kind: type[BaseException] = Exception
    for name in names:
        kind = type(name, (kind,), {"__module__": f"{package}._exceptions"})
    return kind(f"trouble with {URL}")


def answered(status: Any, **headers: Any) -> requests.HTTPError:
    """What ``raise_for_status`` of requests raises."""
    response = requests.Response()
    response.status_code, response.url = status, URL
    response.headers = CaseInsensitiveDict(
        {name.replace("_", "-"): value for name, value in headers.items()}
    )
    return requests.HTTPError(f"{status} for url: {URL}", response=response)


def exhausted(reason: Exception) -> wire.MaxRetryError:
    """What urllib3 raises, with the URL in its text."""
    return wire.MaxRetryError(None, URL, reason)  # type: ignore[arg-type]


def raised_from(error: BaseException, cause: BaseException) -> BaseException:
    """The exception, as if raised ``from`` the cause."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        socket.gaierror(-3, "Temporary failure in name resolution"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        IncompleteRead(b""),
        BadStatusLine("x"),
        requests.ConnectionError(exhausted(wire.ProtocolError("cut"))),
        requests.ReadTimeout(),
        requests.exceptions.ChunkedEncodingError(),
        requests.exceptions.SSLError(exhausted(wire.SSLError(ssl.SSLEOFError()))),
        requests.exceptions.ProxyError(exhausted(wire.ProxyError("x", ConnectionResetError()))),
        exhausted(wire.ConnectTimeoutError()),
        urllib.error.URLError(ConnectionRefusedError()),
        foreign("httpx", "TransportError", "NetworkError", "ConnectError"),
        foreign("httpcore", "TimeoutException", "PoolTimeout"),
        foreign("aiohttp", "ClientConnectionError", "ServerDisconnectedError"),
        raised_from(ValueError(), raised_from(KeyError(), requests.ConnectionError())),
        RuntimeError("no answer", requests.ConnectionError()),
    ],
    ids=repr,
)
def test_a_lost_connection_passes(error: BaseException) -> None:
    """Whatever library lost it, and whatever the user's own exception says that was raised from it.

    So it is for ``raise LoginFailed() from error``.
    """
    outcome = outcome_of(error, NOW)
    assert outcome is not None
    assert outcome.failure is not None


@pytest.mark.parametrize(
    "error",
    [
        KeyError("access_token"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        PermissionError(errno.EACCES, "Permission denied"),
        sqlite3.OperationalError("database is locked"),
        requests.exceptions.InvalidURL(),
        requests.exceptions.JSONDecodeError("Expecting value", "", 0),
        requests.exceptions.SSLError(exhausted(wire.SSLError(CERTIFICATE))),
        requests.exceptions.SSLError(exhausted(wire.SSLError("alert"))),
        requests.exceptions.ProxyError(exhausted(wire.ProxyError("407", OSError()))),
        raised_from(foreign("httpx", "NetworkError", "ConnectError"), CERTIFICATE),
        foreign("httpx", "TransportError", "UnsupportedProtocol"),
        foreign("own", "ConnectionError"),
    ],
    ids=repr,
)
def test_other_trouble_lasts(error: BaseException) -> None:
    """Another attempt cannot help where a certificate, a file or the code is wrong."""
    assert outcome_of(error, NOW) is None


def test_a_failure_inside_of_a_handler_is_no_attempt() -> None:
    """What was handled when the user's code raised is its context, and not its cause."""
    error = KeyError("access_token")
    error.__context__ = requests.ConnectionError()
    assert outcome_of(error, NOW) is None


class Answered(Exception):  # noqa: N818 (as others name theirs)
    """An exception that carries the status itself, as those of aiohttp and urllib do."""

    def __init__(self, name: str, status: object) -> None:
        super().__init__()
        setattr(self, name, status)
        self.headers = {"Retry-After": "7", "X-Other": "1"}


class Hostile(Exception):  # noqa: N818 (what it is)
    """An exception whose attributes and text raise."""

    @property
    def response(self) -> object:
        """Raise."""
        raise RuntimeError(SECRET)

    def __str__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_the_status_of_an_answer_counts(status: int) -> None:
    """``raise_for_status`` hands on the answer, with its ``retry_after``."""
    outcome = outcome_of(answered(status, Retry_After="7"), NOW)
    assert outcome is not None
    assert (outcome.status, outcome.retry_after) == (status, 7.0)


@pytest.mark.parametrize("error", [Answered("code", 503), Answered("status", 503)], ids=repr)
def test_the_status_may_stand_on_the_exception(error: Exception) -> None:
    """Urllib calls it ``code``, aiohttp ``status``."""
    outcome = outcome_of(error, NOW)
    assert outcome is not None
    assert (outcome.status, outcome.retry_after) == (503, 7.0)


def test_the_error_of_urllib_has_its_answer() -> None:
    """``urlopen`` raises a HTTPError that is an OSError too, and no lost connection."""
    headers = Message()
    headers["Retry-After"] = "7"
    outcome = outcome_of(urllib.error.HTTPError(URL, 503, "busy", headers, None), NOW)
    assert outcome is not None
    assert (outcome.status, outcome.failure, outcome.retry_after) == (503, None, 7.0)


@pytest.mark.parametrize("status", [200, 302, 99, 1000, "503", None])
def test_a_status_that_is_no_failure_tells_nothing(status: Any) -> None:
    """An exception about an answer below 400 is about something else."""
    assert outcome_of(answered(status), NOW) is None


def test_a_number_that_is_no_status_tells_nothing() -> None:
    """An exit status or an error number of a library is called ``code`` too."""
    error = Answered("code", 500)
    del error.headers
    assert outcome_of(error, NOW) is None


@pytest.mark.parametrize("headers", [{"Retry-After": 7}, {"Retry-After": "soon"}, {7: "7"}])
def test_fields_that_make_no_sense_count_as_absent(headers: Any) -> None:
    """A double of a test, say, may have anything as headers."""
    error = Answered("status", 503)
    error.headers = headers
    outcome = outcome_of(error, NOW)
    assert outcome is not None
    assert outcome.retry_after is None


def test_a_wait_of_a_thousand_digits_is_not_a_short_one() -> None:
    """A number that is too long to read is longer than any deadline."""
    outcome = outcome_of(answered(503, Retry_After="9" * 5000), NOW)
    assert outcome is not None
    assert (outcome.retry_after or 0.0) > 1e9


def test_foreign_code_cannot_raise() -> None:
    """Properties and texts of exceptions are code of others."""
    assert outcome_of(Hostile(), NOW) is None
    assert speaks_of_threads(Hostile()) is False
    assert SECRET not in described(Hostile())


def test_a_chain_that_bites_its_tail_ends() -> None:
    """Nothing goes on for ever, or beyond a bound."""
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert outcome_of(first, NOW) is None
    assert described(first) == "ValueError\nfrom KeyError"
    long: BaseException = requests.ConnectionError()
    for _ in range(50):
        long = raised_from(ValueError(), long)
    assert outcome_of(long, NOW) is None
    assert described(long).count("ValueError") == 20


class Log:
    """The record of a call, as far as it is asked."""

    attempts = 3


class Call:
    """A call, as far as it is asked."""

    log = Log()


def test_attempts_of_our_own_sessions_count() -> None:
    """A session of ours in the function has retried: its attempts are not made once more each."""
    attempt = Attempt(1, "", None, "ConnectionError", 0.0, 0.0, 0.0, Reason.LOST)
    lost = requests.ConnectionError()
    lost.__dict__[STORY] = ((attempt, Wait(Reason.BACKOFF, 0.0, 1.0), attempt), 1.0)
    busy = answered(503)
    busy.response.__dict__[CALL] = Call()
    assert attempts_of(ValueError()) == attempts_of(answered(503)) == 1
    assert attempts_of(lost) == 2
    assert attempts_of(busy) == attempts_of(raised_from(ValueError(), busy)) == 3


def test_what_is_shown_of_an_exception() -> None:
    """Its class, its status, its address without user and query, its lines of code; no text."""

    def fetch() -> None:
        raise answered(403)

    try:
        fetch()
    except requests.HTTPError as error:
        told = described(error)
    first, outer, inner = told.splitlines()
    assert first == "requests.exceptions.HTTPError: 403 from https://login.example.com/token"
    assert outer.startswith(f'  File "{__file__}", line ')
    assert inner.endswith(", in fetch")


def test_causes_and_contexts_are_shown_as_python_does() -> None:
    """The cause, or else the context, unless it is hidden by ``from None``."""
    error = raised_from(ValueError(SECRET), KeyError(SECRET))
    assert described(error) == "ValueError\nfrom KeyError"
    error = ValueError(SECRET)
    error.__context__ = KeyError(SECRET)
    assert described(error) == "ValueError\nfrom KeyError"
    error.__suppress_context__ = True
    assert described(error) == "ValueError"


def test_an_answer_without_an_address_is_shown_by_its_status() -> None:
    """The error of aiohttp names no address as a str."""
    assert described(Answered("status", 503)).endswith("Answered: 503")


@pytest.mark.parametrize(
    ("text", "speaks"),
    [
        ("SQLite objects created in a thread can only be used in that same thread", True),
        ("There is no current event loop in thread 'x'", True),
        ("main thread is not in main loop", True),
        ("Calling Tcl from different apartment", True),
        ("CoInitialize has not been called", True),
        ("can't start new thread", False),
        ("threaded, threading", False),
        ("", False),
    ],
)
def test_an_error_about_threads_is_known_by_its_words(text: str, *, speaks: bool) -> None:
    """The libraries with objects that are bound to a thread have no class of errors in common."""
    assert speaks_of_threads(RuntimeError(text)) is speaks
    assert speaks_of_threads(raised_from(ValueError(), RuntimeError(text))) is speaks
