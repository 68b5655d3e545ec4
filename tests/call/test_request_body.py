"""Request bodies: sent again byte for byte, or not at all."""

from __future__ import annotations

import os
from io import BytesIO, StringIO, UnsupportedOperation
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    AttemptEnded,
    CallEnded,
    GaveUp,
    Reason,
    RefreshDeclined,
    RetryPolicy,
    attempts,
)
from tests.support.scripted import Source
from tests.support.sessions import API, AT_ONCE, Rig, real
from tests.support.wire import Wire, answer, rst, says

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TWICE = RetryPolicy(max_attempts=2, backoff=AT_ONCE)
KEY = {"Idempotency-Key": "k-1"}


def from_the_middle() -> BytesIO:
    """Return a file that was read up to its fourth byte."""
    file = BytesIO(b"abcdefgh")
    file.seek(3)
    return file


class Encoder:
    """A body like requests-toolbelt's: it can be read and measured, but not wound back."""

    def __init__(self, data: bytes = b"abcdefgh") -> None:
        """Hold the data."""
        self._file = BytesIO(data)
        self.len = len(data)
        self.reads = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        self.reads += 1
        return self._file.read(size)


class OneWay(BytesIO):
    """A file that tells its position but cannot go back."""

    len = 8

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Fail."""
        raise UnsupportedOperation(f"seek {offset} {whence}")


class Lost(BytesIO):
    """A file that cannot tell its position."""

    def tell(self) -> int:
        """Fail."""
        raise OSError("tell")


class Closing(BytesIO):
    """A file that closes itself when it was read to the end."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes."""
        piece = super().read(size)
        if not piece:
            self.close()
        return piece


def generated() -> Iterator[bytes]:
    """Return a generator."""
    yield b"abc"
    yield b"def"


AGAIN: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing": lambda: {"data": None},
    "bytes": lambda: {"data": b"abcdefgh"},
    "empty bytes": lambda: {"data": b""},
    "str": lambda: {"data": "Zürich"},
    "bytearray": lambda: {"data": bytearray(b"abcdefgh")},
    "form": lambda: {"data": {"name": "value", "other": ["1", "2"]}},
    "json": lambda: {"json": {"name": [1, 2, 3]}},
    "multipart": lambda: {"files": {"file": ("name.txt", BytesIO(b"x" * 5000))}, "data": {"a": 1}},
    "file": lambda: {"data": BytesIO(b"abcdefgh")},
    "file from the middle": lambda: {"data": from_the_middle()},
    "empty file": lambda: {"data": BytesIO()},
    "text file": lambda: {"data": StringIO("abcdefgh")},
}
ONCE: dict[str, Callable[[], Any]] = {
    "generator": generated,
    "empty generator": lambda: iter(()),
    "iterator": lambda: iter([b"abc", b"def"]),
    "encoder without tell": Encoder,
    "file without seek": lambda: OneWay(b"abcdefgh"),
    "file without tell": lambda: Lost(b"abcdefgh"),
    "file that closes itself": lambda: Closing(b"abcdefgh"),
}


@pytest.mark.parametrize("options", AGAIN.values(), ids=AGAIN)
@pytest.mark.parametrize("failed", [answer(503, b"no"), says(end=rst)], ids=["503", "reset"])
def test_what_can_be_wound_back_is_sent_again_identically(
    failed: Any, options: Callable[[], dict[str, Any]]
) -> None:
    """The second attempt has the body, framing and header lines of the first."""
    with Wire(failed, answer()) as wire, real(retry=TWICE) as session:
        assert session.put(wire.url, timeout=60, **options()).status_code == 200
        first, second = wire.arrived
    assert (second.framed, second.headers.items()) == (first.framed, first.headers.items())
    assert (
        first.body
        or "Content-Length" not in first.headers
        or not int(first.headers["Content-Length"])
    )


@pytest.mark.parametrize("body", ONCE.values(), ids=ONCE)
@pytest.mark.parametrize("status", [503, 429])
def test_what_cannot_be_wound_back_is_sent_once(status: int, body: Callable[[], Any]) -> None:
    """The caller gets the failed answer, since the body would be sent empty or cut."""
    events: list[Any] = []
    with Wire(answer(status), answer()) as wire, real(listeners=[events.append]) as session:
        assert session.put(wire.url, data=body(), timeout=60).status_code == status
        assert len(wire.arrived) == 1
    assert [type(event) for event in events] == [AttemptEnded, GaveUp, CallEnded]
    assert events[1].reason is Reason.NOT_REPLAYABLE


@pytest.mark.parametrize("body", ONCE.values(), ids=ONCE)
def test_a_401_on_such_a_body_renews_for_the_next_call(body: Callable[[], Any]) -> None:
    """The caller gets this 401, nothing is sent empty, and the next call has the new token."""
    events: list[Any] = []
    with Wire(answer(401), answer()) as wire:
        source, listeners = Source("old", "new"), [events.append]
        with real(token=source, origins=[wire.url], listeners=listeners) as session:
            assert session.put(wire.url, data=body(), timeout=60).status_code == 401
            assert session.put(wire.url, data=b"abc").status_code == 200
        carried = [request.headers["Authorization"] for request in wire.arrived]
    assert carried == ["Bearer old", "Bearer new"]
    assert [e.reason for e in events if isinstance(e, RefreshDeclined)] == [Reason.NOT_REPLAYABLE]


def test_a_pipe_is_sent_once() -> None:
    """A pipe is sent once, since the bytes that were read are gone."""
    reading, writing = os.pipe()
    with open(writing, "wb") as end:  # noqa: PTH123 (a descriptor)
        end.write(b"abcdefgh")
    with Wire(answer(503), answer()) as wire, real() as session:
        with open(reading, "rb") as pipe:  # noqa: PTH123 (a descriptor)
            assert session.put(wire.url, data=pipe, timeout=60).status_code == 503
        assert [request.body for request in wire.arrived] == [b"abcdefgh"]


def test_a_refused_generator_is_not_sent_again() -> None:
    """A generator is not sent again, even if nothing of it was sent."""
    rig = Rig(requests.ConnectTimeout(), 200)
    with pytest.raises(requests.ConnectTimeout) as raised:
        rig.session.put(API, data=generated())
    assert [attempt.reason for attempt in attempts(raised.value)] == [Reason.NOT_REPLAYABLE]


def test_a_generator_that_goes_well_is_sent_as_ever() -> None:
    """A chunked upload that needs no second attempt is sent as in bare requests."""
    with Wire(answer(201)) as wire, real() as session:
        assert session.put(wire.url, data=generated()).status_code == 201
        assert wire.arrived[0].framed == b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"


def test_a_closed_file_is_not_sent_again() -> None:
    """A file that the caller closed before the retry ends the call with the real answer."""
    file = BytesIO(b"abcdefgh")
    rig = Rig(503, 200, listeners=[])
    prepared = rig.session.prepare_request(requests.Request("PUT", API, data=file))
    file.close()
    assert rig.session.send(prepared).status_code == 503
    assert len(rig.inner.sent) == 1


def test_a_real_file_is_resent_from_where_it_stood(tmp_path: Path) -> None:
    """A file on disk, opened and partly read, is sent alike each time and over redirects."""
    path = tmp_path / "upload"
    path.write_bytes(b"0123456789" * 20_000)
    moved = answer(307, b"", ("Location", "/there"))
    with Wire(answer(503), moved, answer(502), answer()) as wire, real() as session:
        with path.open("rb") as file:
            file.seek(7)
            assert session.put(wire.url, data=file, timeout=60).status_code == 200
        assert {request.body for request in wire.arrived} == {path.read_bytes()[7:]}
        assert len(wire.arrived) == 4


def test_a_body_that_an_auth_put_in_place_of_a_file_is_not_sent_again() -> None:
    """The position of a file says nothing about a body that an auth put in its place."""

    def swap(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.body = generated()
        return request

    rig = Rig(503, 200)
    assert rig.session.put(API, data=BytesIO(b"abc"), auth=swap).status_code == 503
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.NOT_REPLAYABLE]


def test_a_303_takes_the_body_away_for_good() -> None:
    """No retry or renewal brings the body back after a 303 made a GET of a POST."""
    seen = answer(303, b"", ("Location", "/done"))
    with Wire(seen, answer(503), answer(401), answer(200, b"done")) as wire:
        with real(token=Source("old", "new"), origins=[wire.url]) as session:
            assert session.post(wire.url, data=b"order").content == b"done"
        told = [(request.method, request.body) for request in wire.arrived]
    assert told == [("POST", b"order"), *[("GET", b"")] * 3]


def test_a_large_upload_goes_over_a_drained_connection() -> None:
    """A drained answer leaves no time limit on the connection."""
    body = bytes(8_000_000)
    chunk = says(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n")
    with Wire(chunk, answer(), answer()) as wire, real() as session:
        assert session.put(wire.url, data=body, headers=KEY).status_code == 200
        assert session.put(wire.url, data=iter([body])).status_code == 200
        assert [len(request.body) for request in wire.arrived] == [len(body)] * 3
        assert wire.connections == 1


def test_an_exception_of_the_callers_generator_is_the_callers() -> None:
    """An exception of the generator is raised unchanged, and nothing is sent again."""

    def broken() -> Iterator[bytes]:
        yield b"abc"
        raise TypeError("not a number")

    with Wire(answer(), answer()) as wire, real() as session:
        with pytest.raises(TypeError, match="not a number") as raised:
            session.put(wire.url, data=broken())
        assert len(wire.arrived) <= 1
    assert type(raised.value) is TypeError
