"""The start of a body is looked at, and then read as if nobody had looked."""

from __future__ import annotations

import gzip
from http.client import HTTPResponse
from math import inf
from threading import Event
from typing import TYPE_CHECKING

import pytest
import requests

from requests_authretry._call import body_start as body_start_module
from requests_authretry._call.body_start import Rewound, body_start
from requests_authretry._call.connections import Reader
from requests_authretry._core.classify import MOST_BODY_BYTES
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.sessions import API, with_adapter
from tests.support.wire import PATIENCE, Wire, answer, chunked, cut, drip, fin, head, rst, says

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.support.wire import Action

GZIP = ("Content-Encoding", "gzip")
LARGE = bytes(range(256)) * 1200
CHUNKED = head(429, ("Transfer-Encoding", "chunked"))

BODIES: dict[str, tuple[Action, bytes]] = {
    "sized": (answer(429, b"abc"), b"abc"),
    "empty": (answer(429), b""),
    "chunked": (chunked(429, b"ab", b"c"), b"abc"),
    "chunked and empty": (chunked(429), b""),
    "until the end": (says(head(429), b"abc", end=fin), b"abc"),
    "gzip": (answer(429, gzip.compress(b"abc"), GZIP), b"abc"),
    "gzip in chunks": (chunked(429, gzip.compress(b"abc"), headers=(GZIP,)), b"abc"),
    "as much as is looked at": (answer(429, LARGE[:MOST_BODY_BYTES]), LARGE[:MOST_BODY_BYTES]),
    "large": (answer(429, LARGE), LARGE[:MOST_BODY_BYTES]),
    "large in chunks": (chunked(429, LARGE[:70_000], LARGE[70_000:]), LARGE[:MOST_BODY_BYTES]),
    "a bomb": (answer(429, gzip.compress(bytes(9_999_999)), GZIP), bytes(MOST_BODY_BYTES)),
    "cut by FIN": (cut(429, 9, b"abc", end=fin), b"abc"),
}

UNREADABLE: dict[str, Action] = {
    "cut by RST": cut(429, 9, b"abc", end=rst),
    "RST in place of a body": cut(429, 9, b"", end=rst),
    "RST in place of a body without a length": says(head(429), end=rst),
    "cut in a chunk": says(CHUNKED, b"5\r\nab", end=fin),
    "RST in chunks": chunked(429, b"abc", end=rst),
    "bad chunk size": says(CHUNKED, b"zz\r\nabc\r\n", end=fin),
    "no gzip": answer(429, b"no gzip", GZIP),
    "an unknown coding": answer(429, b"abc", ("Content-Encoding", "zz")),
    "long chunk extensions": says(
        CHUNKED, *[b"1;" + b"x" * 60_000 + b"\r\na\r\n"] * 4, b"0\r\n\r\n"
    ),
}


def read(action: Action, look: Callable[[requests.Response], object]) -> tuple[object, ...]:
    """Look at an answer, read it, and send one more request over the same session."""
    with Wire(action, answer(200, b"after")) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=PATIENCE)
        look(response)
        try:
            found: object = response.content
        except requests.RequestException as error:
            found = (type(error), str(error))
        return found, session.get(wire.url).content, wire.connections


@pytest.mark.parametrize(("action", "start"), BODIES.values(), ids=BODIES)
def test_the_start_is_what_is_there(action: Action, start: bytes) -> None:
    """A look gives the first 64 KB, decoded, and gives the same if it is done again."""
    clock = FakeClock()
    seen: list[bytes | None] = []
    read(
        action,
        lambda response: seen.extend(body_start(response, clock, PATIENCE * 9) for _ in range(2)),
    )
    assert seen == [start, start]


@pytest.mark.parametrize("action", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_none(action: Action) -> None:
    """A body that is cut, malformed, or in an unknown coding, gives None and no exception."""
    clock = FakeClock()
    seen: list[bytes | None] = []
    read(action, lambda response: seen.append(body_start(response, clock, PATIENCE * 9)))
    assert seen == [None]


ALL = {name: action for name, (action, _) in BODIES.items()} | UNREADABLE


@pytest.mark.parametrize("looks", [1, 2])
@pytest.mark.parametrize("action", ALL.values(), ids=ALL)
def test_the_body_is_read_as_if_nobody_had_looked(action: Action, looks: int) -> None:
    """Bytes, exceptions with their words, and the use of the connection are the same."""
    clock = FakeClock()

    def look(response: requests.Response) -> None:
        for _ in range(looks):
            body_start(response, clock, PATIENCE * 9)

    assert read(action, look) == read(action, lambda _: None)


def test_a_look_ends_in_time_and_loses_nothing() -> None:
    """A body that drips is left at the end of the look; the rest is read afterwards."""
    clock = FakeClock()
    dripping = drip(head(429, ("Content-Length", "20")), tick=lambda: clock.advance(0.5))
    with Wire(dripping) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=PATIENCE)
        assert body_start(response, clock, clock.monotonic() + 2.0) is None
        assert len(response.content) == 20


@pytest.mark.parametrize("until", [inf, PATIENCE * 9])
def test_a_body_that_stalls_is_waited_for_once(until: float) -> None:
    """The caller's limit of 0.05 s ends the body during the look, although the rest comes then."""
    clock, is_over = FakeClock(), Event()

    def stalling(connection: socket.socket, _: Event) -> bool:
        connection.sendall(head(429, ("Content-Length", "6")) + b"abc")
        is_over.wait(PATIENCE)
        connection.sendall(b"def")
        return True

    with Wire(stalling) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=PATIENCE)
        reader = Reader.of(response.raw._original_response)  # noqa: SLF001 (where requests looks)
        assert reader is not None
        reader.limit = 0.05
        for _ in range(2):
            assert body_start(response, clock, until) is None
        is_over.set()
        with pytest.raises(requests.ConnectionError, match="Read timed out"):
            _ = response.content


def test_a_look_leaves_the_time_limits_as_they_were() -> None:
    """After a look the socket has the time limit of the caller, and the reader its deadline."""
    clock = FakeClock()
    with Wire(answer(429, LARGE)) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=30)
        reader = Reader.of(response.raw._original_response)  # noqa: SLF001 (where requests looks)
        assert reader is not None
        reader.end_at(clock.monotonic() + 77.0, clock)
        before = {**vars(reader)}
        assert body_start(response, clock, clock.monotonic() + 20.0) == LARGE[:MOST_BODY_BYTES]
        after = {name: vars(reader)[name] for name in before}
        assert (after, reader.limit, type(reader)) == (before, 30, Rewound)
        assert response.content == LARGE


def test_a_shorter_look_after_a_longer_one_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first look has read further than the second one is given again, too."""
    with Wire(answer(429, LARGE)) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=PATIENCE)
        body_start(response, FakeClock(), PATIENCE * 9)
        monkeypatch.setattr(body_start_module, "MOST_BODY_BYTES", 10)
        assert body_start(response, FakeClock(), PATIENCE * 9) == LARGE[:10]
        assert response.content == LARGE


def test_an_answer_of_another_kind_is_not_looked_at() -> None:
    """A stand-in for `http.client` may be read in ways of its own: its body stays as it is."""

    class Other(HTTPResponse):
        """An answer of somebody else."""

    with Wire(answer(429, b"abc")) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=PATIENCE)
        response.raw._original_response.__class__ = Other  # noqa: SLF001 (where requests looks)
        assert body_start(response, FakeClock(), PATIENCE * 9) is None
        assert response.content == b"abc"


def test_an_answer_whose_framing_is_in_doubt_is_not_looked_at() -> None:
    """http.client and urllib3 understand some headers differently."""
    with Wire(answer(429, b"abc")) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=PATIENCE)
        response.raw.chunked = True
        assert body_start(response, FakeClock(), PATIENCE * 9) is None


def test_a_deadline_still_ends_the_read_after_a_look() -> None:
    """A look that would go on until later ends at the earlier deadline of the call."""
    clock = FakeClock()
    dripping = drip(head(429, ("Content-Length", "9999")), tick=lambda: clock.advance(0.5))
    with Wire(dripping) as wire, requests.Session() as session:
        response = session.get(wire.url, stream=True, timeout=PATIENCE)
        reader = Reader.of(response.raw._original_response)  # noqa: SLF001 (as above)
        assert reader is not None
        reader.end_at(clock.monotonic() + 3.0, clock)
        assert body_start(response, clock, clock.monotonic() + 999.0) is None
        assert clock.monotonic() < 999.0
        with pytest.raises(requests.ConnectionError):
            response.content  # noqa: B018 (reading it is what raises)


def test_a_head_request_has_no_body_to_wait_for() -> None:
    """An answer to HEAD names the length of a body that does not come."""
    with Wire(says(head(429, ("Content-Length", "9")))) as wire, requests.Session() as session:
        response = session.head(wire.url, stream=True, timeout=PATIENCE)
        assert body_start(response, FakeClock(), PATIENCE * 9) == b""


def test_a_body_in_memory_is_looked_at_too() -> None:
    """A double such as `ScriptedAdapter` has no connection; what it holds is looked at."""
    session = with_adapter(ScriptedAdapter((429, {}, b"xabc")))
    response = session.get(API, stream=True)
    response.raw.read(1)
    assert body_start(response, FakeClock(), 1.0) == b"abc"
    assert response.content == b"abc"
    assert body_start(response, FakeClock(), 1.0) == b"abc"


def test_an_answer_without_a_body_gives_none() -> None:
    """An answer that somebody made by hand may have nothing to read at all."""
    assert body_start(requests.Response(), FakeClock(), 1.0) is None
