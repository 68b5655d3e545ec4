"""Token endpoints that misbehave on the wire: too much, too slow, cut short, or no HTTP at all."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from requests_authretry import FetchContext, RefreshFailed
from requests_authretry.oauth2 import Client, RefreshToken
from requests_authretry.testing import FakeClock
from tests.oauth2.support import (
    ACCESS,
    AT_ONCE,
    CLIENT_SECRET,
    ONCE,
    REFRESH,
    failure,
    leaks,
    outcome_of,
    told_by,
)
from tests.support.wire import Wire, answer, chunked, cut, drip, fin, flood, head, keep, rst
from tests.support.wire import says as bytes_of

if TYPE_CHECKING:
    from tests.support.wire import Action

URLLIB3_2 = int(version("urllib3").partition(".")[0]) >= 2
GOOD = json.dumps({"access_token": ACCESS, "token_type": "Bearer", "expires_in": 60}).encode()
MEGABYTE = 1 << 20


class Hurried(FakeClock):
    """A clock on which a second passes with each look at it."""

    def monotonic(self) -> float:
        """A second later than at the last look."""
        self.advance(1.0)
        return super().monotonic()


def source(wire: Wire) -> RefreshToken:
    """A source that asks a server."""
    client = Client("my-app", CLIENT_SECRET, token_url=f"{wire.url}token")
    return RefreshToken(client, REFRESH)


def context(**changes: Any) -> FetchContext:
    """What the source is told: one attempt."""
    return FetchContext(**{"stale": None, "timeout": 600.0, "retry": ONCE, **changes})


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(answer(200, GOOD), id="sized"),
        pytest.param(chunked(200, *[bytes([byte]) for byte in GOOD]), id="byte by byte"),
        pytest.param(bytes_of(head(200) + GOOD, end=fin), id="up to the end of the connection"),
        pytest.param(answer(200, gzip.compress(GOOD), ("Content-Encoding", "gzip")), id="gzip"),
        pytest.param(answer(200, zlib.compress(GOOD), ("Content-Encoding", "deflate")), id="zlib"),
        pytest.param(
            bytes_of(head(100) + head(200, ("Content-Length", str(len(GOOD)))) + GOOD),
            id="continue",
        ),
    ],
)
def test_however_it_comes(action: Action) -> None:
    """A good answer is a token, in whatever way it is framed and encoded."""
    with Wire(action) as wire:
        assert source(wire).fetch(context()).value == ACCESS
    (asked,) = wire.arrived
    assert asked.method == "POST"


def bomb(size: int, *, layers: int = 1) -> Action:
    """So many zeros, compressed as often."""
    body = bytes(size)
    for _ in range(layers):
        body = gzip.compress(body, 1)
    return answer(200, body, ("Content-Encoding", ", ".join(["gzip"] * layers)))


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(answer(200, bytes(2 * MEGABYTE)), id="sized"),
        pytest.param(chunked(200, *[bytes(65_536)] * 32), id="chunked"),
        pytest.param(flood(head(200), 64 * MEGABYTE, []), id="flood"),
        pytest.param(bomb(32 * MEGABYTE), id="bomb"),
        pytest.param(bomb(256 * MEGABYTE, layers=2), id="bomb in a bomb"),
        pytest.param(bytes_of(head(400) + bytes(2 * MEGABYTE), end=fin), id="an error"),
    ],
)
def test_too_much(action: Action) -> None:
    """Of an answer no more is read than any token takes, and it is not asked for again."""
    with Wire(action, answer(200, GOOD)) as wire:
        error = failure(source(wire), context(retry=AT_ONCE))
    assert str(error).endswith(
        "token gave no answer that can be used: it is larger than 262144 bytes"
    )
    assert len(wire.arrived) == 1


def test_just_enough() -> None:
    """An answer of as many bytes as are read is read."""
    with Wire(answer(200, GOOD.ljust(262_144))) as wire:
        assert source(wire).fetch(context()).value == ACCESS


if URLLIB3_2:  # 1.26 cannot read what has come and look at the clock

    def test_a_body_that_drips() -> None:
        """An answer is listened for no longer than is sensible, though each read brings some."""
        start = head(200, ("Content-Length", "9999"))
        with Wire(drip(start, b" ", every=0.002)) as wire:
            error = failure(source(wire), context(clock=Hurried()))
        assert "ReadTimeout" in str(error)


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(bytes_of(end=fin), id="nothing"),
        pytest.param(bytes_of(end=rst), id="reset"),
        pytest.param(bytes_of(b"SPAM SPAM SPAM\r\n\r\n", end=fin), id="no HTTP"),
        pytest.param(bytes_of(b"HTTP/1.1 OK 200\r\n\r\n", end=fin), id="no status"),
        pytest.param(
            bytes_of(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500, end=keep), id="endless headers"
        ),
        pytest.param(
            bytes_of(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000, end=keep), id="an endless header"
        ),
        pytest.param(cut(200, 999, GOOD, end=rst), id="cut by a reset"),
        pytest.param(chunked(200, GOOD[:9], end=fin), id="cut chunks"),
        pytest.param(
            bytes_of(head(200, ("Transfer-Encoding", "chunked")) + b"zz\r\n", end=fin),
            id="no chunk",
        ),
        pytest.param(answer(200, b"spam", ("Content-Encoding", "gzip")), id="no gzip"),
    ],
)
def test_no_answer(action: Action, caplog: pytest.LogCaptureFixture) -> None:
    """What is no answer is told in a line, without what was sent."""
    caplog.set_level(logging.DEBUG)
    with Wire(action) as wire:
        error = failure(source(wire), context())
        told = f"{wire.url}token gave no answer that can be used: "
    assert str(error).startswith(told)
    assert not leaks(told_by(error) + caplog.text)
    assert len(wire.arrived) == 1


if URLLIB3_2:  # 1.26 takes a body that ends early for a whole one

    def test_half_an_answer() -> None:
        """A body that ends before its time is asked for again."""
        with Wire(cut(200, 999, GOOD, end=fin), answer(200, GOOD)) as wire:
            assert source(wire).fetch(context(retry=AT_ONCE)).value == ACCESS
        assert len(wire.arrived) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Neither credentials nor a refresh token go where a redirect says."""
    with Wire() as elsewhere, Wire(answer(status, b"", ("Location", elsewhere.url))) as wire:
        error = failure(source(wire), context(retry=AT_ONCE))
    assert f"answered {status}, a redirect, which is not followed: give the real address" in str(
        error
    )
    assert elsewhere.arrived == []


LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 400",
        b"Content-Length: 9",
        b"Content-Type: application/json",
        b"",
        b"Content-Encoding: gzip",
        b"Transfer-Encoding: chunked",
        b"DPoP-Nonce: a",
        b"Location: /",
        GOOD,
        b"0",
    ]
)
RAW = st.lists(LINES | st.binary(max_size=16), max_size=6).map(b"\r\n".join)


@given(raw=RAW)
@settings(max_examples=60)
def test_any_bytes_are_a_token_or_a_line(raw: bytes) -> None:
    """Whatever bytes the server sends, the outcome is a `Token` or a `RefreshFailed`."""
    with Wire(bytes_of(raw, end=fin)) as wire:
        outcome = outcome_of(source(wire), context())
    if isinstance(outcome, RefreshFailed):
        assert not [secret for secret in (CLIENT_SECRET, REFRESH) if secret in told_by(outcome)]
