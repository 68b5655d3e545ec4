"""Bodies that cannot be wound back, with ``buffer_bodies``: sent again whole, framed as before."""

from __future__ import annotations

import gc
import os
import socket
from contextlib import contextmanager
from errno import ENOSPC
from io import BufferedRandom, BytesIO, FileIO, UnsupportedOperation
from itertools import islice
from tempfile import SpooledTemporaryFile
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase

from requests_authretry import (
    AuthRetryAdapter,
    AuthRetryError,
    GaveUp,
    Reason,
    RefreshFailed,
    RetryPolicy,
    Settings,
    attempts,
    mount,
)
from requests_authretry._call import request_body as spool_module
from requests_authretry._call.request_body import Spool
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.scripted import Source
from tests.support.sessions import API, AT_ONCE, real, with_adapter
from tests.support.wire import Wire, answer, head, rst, says

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from threading import Event

    from requests import PreparedRequest, Response

    from requests_authretry.cli.demo_server import DemoServer

MEGABYTE = 1_000_000
SPOOLING = RetryPolicy(buffer_bodies=MEGABYTE, backoff=AT_ONCE)
MOVED = answer(307, b"", ("Location", "/there"))


# --- bodies -------------------------------------------------------------------------------


class Encoder:
    """A body like requests-toolbelt's: it can be read and measured, but not wound back."""

    def __init__(self, data: bytes = b"abcdefgh" * 5000) -> None:
        """Hold the data."""
        self._file = BytesIO(data)
        self.len = len(data)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        return self._file.read(size)


class Lines(Encoder):
    """The same without a length; it can also be iterated, line by line."""

    def __init__(self) -> None:
        """Hold a few lines."""
        super().__init__(b"abc\n\ndefgh\n")
        del self.len

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines."""
        return iter(self._file)


class OneWay(BytesIO):
    """A file that tells its position but cannot go back."""

    len = 8

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Fail."""
        raise UnsupportedOperation(f"seek {offset} {whence}")


class Stuck(OneWay):
    """A file that says in another way that it cannot go back."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Fail."""
        raise ValueError(f"seek {offset} {whence}")


class Lost(BytesIO):
    """A file that cannot tell its position."""

    def tell(self) -> int:
        """Fail."""
        raise OSError("tell")


class Fresh:
    """An iterable, not an iterator: each iteration begins again."""

    def __init__(self, pieces: list[bytes]) -> None:
        """Hold the pieces."""
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        """Yield each piece."""
        return iter(self._pieces)


def generated() -> Iterator[Any]:
    """Yield pieces of different kinds and sizes."""
    yield b"abc"
    yield bytearray(b"d" * 70_000)
    yield memoryview(b"efg")


def piped(data: bytes = b"abcdefgh" * 5000) -> Any:
    """Return the reading end of a pipe that holds these bytes."""
    reading, writing = os.pipe()
    with open(writing, "wb") as end:  # noqa: PTH123 (a descriptor)
        end.write(data)
    return open(reading, "rb")  # noqa: PTH123 (a descriptor, closed by the test)


BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "generator": lambda: {"data": generated()},
    "empty generator": lambda: {"data": iter(())},
    "iterator": lambda: {"data": iter([b"abc", b"def"])},
    "iterable": lambda: {"data": Fresh([b"abc", b"defgh"])},
    "generator with a length": lambda: {
        "data": generated(),
        "headers": {"Content-Length": "70006", "Transfer-Encoding": None},
    },
    "read alone": lambda: {"data": Encoder()},
    "read and lines": lambda: {"data": Lines()},
    "file without seek": lambda: {"data": OneWay(b"abcdefgh")},
    "file stuck": lambda: {"data": Stuck(b"abcdefgh")},
    "file without tell": lambda: {"data": Lost(b"abc\ndefgh")},
    "pipe": lambda: {"data": piped()},
    "pipe of lines": lambda: {"data": piped(b"abc\n\ndefgh\n")},
}


def put(
    session: requests.Session, url: str, options: dict[str, Any], *, follow: bool = True
) -> Response:
    """PUT a body, and close it if it is a file."""
    try:
        prepared = session.prepare_request(requests.Request("PUT", url, **options))
        if "Content-Length" in options.get("headers", {}):
            del prepared.headers["Transfer-Encoding"]  # requests sets it beside the caller's length
        response = session.send(prepared, timeout=5, allow_redirects=follow)
        if response.next is not None:
            return session.send(response.next, timeout=60)
        return response
    finally:
        if hasattr(options["data"], "close"):
            options["data"].close()


# --- temporary files ----------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the temporary files that are made; they go to disk from the second byte on."""
    files: list[Any] = []

    def make(_: int) -> Any:
        files.append(SpooledTemporaryFile(1))  # noqa: SIM115 (that is what is tested)
        return files[-1]

    monkeypatch.setattr(spool_module, "SpooledTemporaryFile", make)
    return files


@contextmanager
def all_gone(files: list[Any]) -> Iterator[None]:
    """Check that temporary files are made in this block, and that each is closed in the end."""
    yield
    assert files
    assert all(file.closed for file in files)


class Taking(BaseAdapter):
    """An inner adapter that takes a number of pieces of each body before its next line.

    Attributes:
        taken: The pieces of each request.
    """

    def __init__(self, *script: tuple[int | None, Any]) -> None:
        """Take pairs of a number of pieces, None for all, and a line of `ScriptedAdapter`."""
        super().__init__()
        self._counts = [count for count, _ in script]
        self._inner = ScriptedAdapter(*(line for _, line in script))
        self.taken: list[list[bytes]] = []

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Take the pieces, then answer."""
        pieces: list[bytes] = []
        self.taken.append(pieces)
        body: Any = request.body
        if body is not None:
            pieces.extend(islice(body, self._counts[len(self.taken) - 1]))
        return self._inner.send(request, *args, **options)

    def close(self) -> None:
        """Close nothing."""


def over(inner: BaseAdapter, **settings: Any) -> requests.Session:
    """Make a session that buffers bodies, over an inner adapter, with a fake clock."""
    settings.setdefault("retry", SPOOLING)
    settings.setdefault("clock", FakeClock())
    return with_adapter(AuthRetryAdapter(Settings(**settings), inner=inner))


LOST = requests.ConnectionError("lost")


# --- sent again ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("failed", [answer(503, b"no"), says(end=rst)], ids=["503", "reset"])
def test_a_retry_is_the_same_on_the_wire(
    failed: Any, options: Callable[[], dict[str, Any]], made: list[Any]
) -> None:
    """Each attempt has the body, chunks and header lines of bare requests."""
    with Wire(failed, answer(503), answer(), answer()) as wire, all_gone(made):
        with real(retry=SPOOLING) as session:
            assert put(session, wire.url, options()).status_code == 200
        with requests.Session() as bare:
            assert put(bare, wire.url, options()).status_code == 200
        told = [(seen.framed, seen.headers.items()) for seen in wire.arrived]
    assert told == [told[-1]] * 4


@pytest.mark.parametrize("options", BODIES.values(), ids=BODIES)
def test_a_replay_after_a_401_is_the_same(options: Callable[[], dict[str, Any]]) -> None:
    """The replay with a renewed token has the whole body."""
    with Wire(answer(401), answer()) as wire:
        source = Source("old", "new")
        with real(token=source, origins=[wire.url], retry=SPOOLING) as session:
            assert put(session, wire.url, options()).status_code == 200
        first, second = wire.arrived
    assert second.framed == first.framed
    assert [seen.headers["Authorization"] for seen in (first, second)] == [
        "Bearer old",
        "Bearer new",
    ]


@pytest.mark.parametrize("options", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_takes_the_body_along(
    status: int, options: Callable[[], dict[str, Any]], made: list[Any]
) -> None:
    """A body is sent whole over hops and attempts; bare requests would send it empty, or raise."""
    moved = answer(status, b"", ("Location", "/there"))
    with Wire(moved, answer(503), moved, answer()) as wire, all_gone(made):
        with real(retry=SPOOLING) as session:
            assert put(session, wire.url, options()).status_code == 200
        assert len(wire.arrived) == 4
        assert {seen.framed for seen in wire.arrived} == {wire.arrived[0].framed}
        assert len({seen.headers["Content-Length"] for seen in wire.arrived}) == 1


def test_everything_at_once(made: list[Any]) -> None:
    """An upload survives a lost connection, a refused token, two redirects and a busy server."""
    script = [says(end=rst), MOVED, answer(401), answer(429), MOVED, answer(503), answer(201)]
    with Wire(*script) as wire, all_gone(made):
        source = Source("old", "new")
        with real(token=source, origins=[wire.url], retry=SPOOLING) as session:
            response = session.put(wire.url, data=generated(), timeout=60)
        assert response.status_code == 201
        assert len({seen.framed for seen in wire.arrived}) == 1
        assert len(attempts(response)) == len(wire.arrived) == 7


def test_one_option_is_not_the_other(made: list[Any]) -> None:
    """A key buffers no body, and a buffered body makes no key."""
    for policy in (RetryPolicy(idempotency_key=True), SPOOLING):
        with Wire(answer(503), answer()) as wire, real(retry=policy) as session:
            assert session.post(wire.url, data=generated(), timeout=60).status_code == 503
            keyed = "Idempotency-Key" in wire.arrived[0].headers
            assert (keyed, len(made)) == (policy is not SPOOLING, int(policy is SPOOLING))


def test_a_file_that_was_put_there_by_hand(made: list[Any]) -> None:
    """A file without a known first position cannot be wound back, but it is buffered."""
    with Wire(answer(503), answer()) as wire, all_gone(made), real(retry=SPOOLING) as session:
        prepared = session.prepare_request(requests.Request("PUT", wire.url))
        body: Any = BytesIO(b"abcdefgh")
        body.seek(3)
        prepared.body, prepared.headers["Content-Length"] = body, "5"
        assert session.send(prepared, timeout=60).status_code == 200
        assert [seen.body for seen in wire.arrived] == [b"defgh"] * 2


def test_a_post_goes_again_with_a_key() -> None:
    """A POST with both options may be sent again, and can be."""
    policy = RetryPolicy(buffer_bodies=MEGABYTE, idempotency_key=True, backoff=AT_ONCE)
    with Wire(answer(503), answer(201)) as wire, real(retry=policy) as session:
        assert session.post(wire.url, data=generated()).status_code == 201
        assert len({(seen.framed, seen.headers["Idempotency-Key"]) for seen in wire.arrived}) == 1


def test_httpbin_gets_the_whole_of_it(demo_server: DemoServer, httpbin_url: str) -> None:
    """A real application that refuses, redirects and is busy gets the whole body."""
    demo_server.guarded = True
    session = requests.Session()
    mount(session, Settings(token=demo_server.issue, origins=[httpbin_url], retry=SPOOLING))
    session.get(f"{httpbin_url}/get")
    demo_server.revoke()
    demo_server.answer(307, [("Location", "/anything")])
    demo_server.answer(503)
    response = session.put(f"{httpbin_url}/get", data=iter([b"abc", b"def"]), timeout=60)
    assert response.json()["data"] == "abcdef"
    assert response.json()["url"].endswith("/anything")
    assert [seen.body_length for seen in demo_server.seen[1:]] == [6, 6, 6, 6]
    session.close()


@pytest.mark.parametrize("kind", [iter, Fresh])
def test_a_body_that_was_half_sent_goes_on_from_where_it_was(kind: Callable[[Any], Any]) -> None:
    """The pieces that were taken are sent again, then the rest of the caller's iterator."""
    given = [b"one", b"two", b"three", b"four"]
    inner = Taking((1, LOST), (3, LOST), (2, LOST), (None, 200))
    with over(inner) as session:
        assert session.put(API, data=kind(given)).status_code == 200
    assert inner.taken == [given[:1], given[:3], given[:2], given]


def test_nothing_is_read_ahead() -> None:
    """The caller's generator is asked for a piece only when the transport asks for it."""
    steps: list[str] = []

    def told() -> Iterator[bytes]:
        for number in range(3):
            steps.append(f"made {number}")
            yield b"abc"

    class Watching(Taking):
        def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
            body: Any = request.body
            steps.extend(f"sent {number}" for number, _ in enumerate(body))
            self.taken.append([])
            return self._inner.send(request, *args, **options)

    with over(Watching((0, 503), (0, 200))) as session:
        assert session.put(API, data=told()).status_code == 200
    alternating = [f"{what} {number}" for number in range(3) for what in ("made", "sent")]
    assert steps == [*alternating, "sent 0", "sent 1", "sent 2"]


def test_a_connection_that_breaks_in_the_middle() -> None:
    """A server that resets a real upload half-way gets the whole body the second time."""
    chunks = [bytes([number]) * 65_536 for number in range(100)]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        got: list[bytes] = []

        def serve() -> None:
            connection, _ = listening.accept()
            connection.recv(100_000)
            rst(connection)
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as reader:
                while reader.readline() != b"\r\n":
                    pass
                while size := int(reader.readline(), 16):
                    got.append(reader.read(size))
                    reader.readline()
                connection.sendall(head(200, ("Content-Length", "0")))

        server = Thread(target=serve)
        server.start()
        policy = RetryPolicy(buffer_bodies=10 * MEGABYTE, backoff=AT_ONCE)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with real(retry=policy) as session:
            assert session.put(url, data=iter(chunks), timeout=60).status_code == 200
        server.join()
    assert got == chunks


def test_a_length_is_kept_where_each_attempt_is_signed() -> None:
    """The length stays that of the whole body, although requests measures it again on signing."""

    class Sign(AuthBase):
        def __call__(self, request: PreparedRequest) -> PreparedRequest:
            request.headers["Signature"] = "s"
            return request

    with Wire(answer(503), answer()) as wire:
        with real(auth=Sign(), origins=[wire.url], retry=SPOOLING) as session:
            assert put(session, wire.url, {"data": OneWay(b"abcdefgh")}).status_code == 200
        assert [seen.body for seen in wire.arrived] == [b"abcdefgh"] * 2
        assert [seen.headers["Content-Length"] for seen in wire.arrived] == ["8", "8"]


def test_a_hop_without_the_setting_gets_the_body_too() -> None:
    """A buffered body is sent to a hop whose policy does not buffer."""
    with Wire() as first, Wire(answer(503), answer()) as second:
        first.then(answer(307, b"", ("Location", second.url)))
        with requests.Session() as session:
            mount(session, Settings(retry=SPOOLING))
            mount(session, Settings(retry=RetryPolicy(backoff=AT_ONCE)), prefix=second.url)
            assert session.put(first.url, data=iter([b"abc"]), timeout=60).status_code == 200
        assert [seen.body for seen in second.arrived] == [b"abc", b"abc"]


def test_a_hop_that_the_caller_follows_late_gets_the_body_too() -> None:
    """A buffered body is sent with a redirect that is followed after the deadline of its call."""
    clock = FakeClock()
    with Wire(MOVED, answer()) as wire, real(retry=SPOOLING, clock=clock) as session:
        response = session.put(wire.url, data=iter([b"abc", b"def"]), allow_redirects=False)
        assert response.next is not None
        clock.advance(3600)
        assert session.send(response.next).status_code == 200
        assert [seen.body for seen in wire.arrived] == [b"abcdef"] * 2


def test_a_body_is_kept_no_longer_than_it_may_be_needed(made: list[Any]) -> None:
    """When the answer is handed out, its temporary file is closed, with a token too."""
    with Wire(answer()) as wire, real(token="t", origins=[wire.url], retry=SPOOLING) as session:
        response = session.put(wire.url, data=generated())
        assert response.status_code == 200
        assert [file.closed for file in made] == [True]


def test_a_303_takes_it_away_for_good(made: list[Any]) -> None:
    """No attempt has a body again after a 303 made a GET of a POST."""
    seen = answer(303, b"", ("Location", "/done"))
    with Wire(seen, answer(503), answer()) as wire, all_gone(made):
        with real(retry=SPOOLING) as session:
            assert session.post(wire.url, data=generated(), timeout=60).status_code == 200
        assert [(s.method, bool(s.body)) for s in wire.arrived] == [
            ("POST", True),
            *[("GET", False)] * 2,
        ]


# --- not sent again -----------------------------------------------------------------------


@pytest.mark.parametrize("options", BODIES.values(), ids=BODIES)
def test_off_it_is_sent_once(
    options: Callable[[], dict[str, Any]], made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body is not buffered, nor even looked at, without the setting."""
    monkeypatch.setattr(Spool, "of", None)
    with Wire(answer(503), answer()) as wire, real() as session:
        assert put(session, wire.url, options()).status_code == 503
        assert len(wire.arrived) == 1
    assert made == []


def test_what_can_be_wound_back_is_not_kept(tmp_path: Path, made: list[Any]) -> None:
    """Bytes, text, forms and files on disk are sent again without a copy."""
    path = tmp_path / "upload"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        for data in (None, b"abc", "abc", bytearray(b"abc"), {"a": "b"}, BytesIO(b"abc"), file):
            with Wire(answer(503), answer()) as wire, real(retry=SPOOLING) as session:
                assert session.put(wire.url, data=data).status_code == 200
                assert len({seen.framed for seen in wire.arrived}) == 1
    assert made == []


@pytest.mark.parametrize("size", [6, 7])
def test_the_bound_is_in_bytes_of_the_body(size: int, made: list[Any]) -> None:
    """A body as long as the bound is buffered; with one more byte it is sent once and whole."""
    policy = RetryPolicy(buffer_bodies=6, backoff=AT_ONCE)
    events: list[Any] = []
    pieces = [b"abc", b"", b"defg"[: size - 3]]
    with Wire(answer(503, b"first"), answer(200)) as wire, all_gone(made):
        with real(retry=policy, listeners=[events.append]) as session:
            response = session.put(wire.url, data=(p for p in pieces if p), timeout=60)
        assert [seen.body for seen in wire.arrived] == [b"abcdefg"[:size]] * (8 - size)
    assert response.status_code == (200 if size == 6 else 503)
    gave_up = [event.reason for event in events if isinstance(event, GaveUp)]
    assert gave_up == ([] if size == 6 else [Reason.NOT_REPLAYABLE])


def test_beyond_the_bound_the_first_401_is_handed_out() -> None:
    """A 401 to a body beyond the bound renews the token for the next call; no body is sent cut."""
    policy = RetryPolicy(buffer_bodies=5, backoff=AT_ONCE)
    with Wire(answer(401), answer()) as wire:
        source = Source("old", "new")
        with real(token=source, origins=[wire.url], retry=policy) as session:
            assert session.put(wire.url, data=iter([b"abc", b"def"])).status_code == 401
        assert [seen.body for seen in wire.arrived] == [b"abcdef"]
    assert source.calls == 2


def test_beyond_the_bound_a_redirect_is_that_of_requests() -> None:
    """Requests says that it cannot wind a pipe back, as it does without the setting."""
    policy = RetryPolicy(buffer_bodies=5, backoff=AT_ONCE)
    with Wire(MOVED, answer()) as wire, real(retry=policy) as session:
        with pytest.raises(requests.exceptions.UnrewindableBodyError):
            put(session, wire.url, {"data": piped()})
        assert len(wire.arrived) == 1


def test_beyond_the_bound_a_redirect_iterates_again_what_can_be() -> None:
    """An iterable beyond the bound is iterated again for the next hop, as in bare requests."""
    policy = RetryPolicy(buffer_bodies=5, backoff=AT_ONCE)
    with Wire(MOVED, answer()) as wire, real(retry=policy) as session:
        fresh: Any = Fresh([b"abc", b"def"])
        assert session.put(wire.url, data=fresh, timeout=60).status_code == 200
        assert [seen.body for seen in wire.arrived] == [b"abcdef"] * 2


class FullDisk(FileIO):
    """A file on a full disk, which is noticed when a buffer is written."""

    def write(self, data: object, /) -> int:  # noqa: ARG002 (the signature of every file)
        """Fail."""
        raise OSError(ENOSPC, os.strerror(ENOSPC), self.name)


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize(
    ("failed", "after"),
    [(answer(503), (503, [])), (MOVED, (204, [b""]))],
    ids=["503", "307"],
)
def test_a_full_disk_does_not_stop_the_request(
    size: int,
    failed: Any,
    after: tuple[int, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The body is sent whole, once; the rest is as without the setting."""
    disk = FullDisk(tmp_path / "spool", "w+b")
    monkeypatch.setattr(spool_module, "SpooledTemporaryFile", lambda _: BufferedRandom(disk))
    with Wire(failed, answer(204)) as wire, real(retry=SPOOLING) as session:
        response = session.put(wire.url, data=iter([bytes(size)] * 3), timeout=60)
        first, *others = [seen.body for seen in wire.arrived]
    assert first == bytes(3 * size)
    assert (response.status_code, others) == after
    assert disk.closed


def test_no_place_for_temporary_files_does_not_stop_the_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A body that does not fit into memory is sent once without a directory for its file."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    monkeypatch.setattr(spool_module, "IN_MEMORY", 10)
    with Wire(answer(503), answer()) as wire, real(retry=SPOOLING) as session:
        assert session.put(wire.url, data=generated(), timeout=60).status_code == 503
        assert len(wire.arrived[0].body) == 70_006
        assert len(wire.arrived) == 1


def test_a_file_that_was_cut_is_not_sent_as_if_it_were_whole(made: list[Any]) -> None:
    """An attempt fails if another program emptied the temporary file, and nothing follows."""
    inner = Taking((None, 503), (None, 200))

    def cut(event: object) -> None:
        made[0].truncate(9)
        assert event

    session = over(inner, listeners=[cut])
    with (
        all_gone(made),
        pytest.raises(OSError, match=r"^the temporary file with the body was cut$"),
    ):
        session.put(API, data=iter([b"abc", b"def"]))
    assert inner.taken == [[b"abc", b"def"], []]


# --- exceptions ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TypeError, RuntimeError, ValueError])
def test_an_exception_of_the_callers_generator_is_the_callers(
    kind: type[Exception], made: list[Any]
) -> None:
    """The generator's exception is raised unchanged at once; a part is not sent as the whole."""

    def broken() -> Iterator[bytes]:
        yield b"abc"
        raise kind("mine")

    with Wire(answer(), answer()) as wire, real(retry=SPOOLING) as session, all_gone(made):
        with pytest.raises(kind, match="mine"):
            session.put(wire.url, data=broken(), timeout=60)
        assert len(wire.arrived) <= 1


@pytest.mark.parametrize("kind", [TypeError, KeyboardInterrupt])
def test_an_exception_in_the_second_attempt_is_the_callers_too(
    kind: type[BaseException], made: list[Any]
) -> None:
    """A generator that fails after a retry began fails the call."""

    def broken() -> Iterator[bytes]:
        yield b"abc"
        raise kind("mine")

    inner = Taking((1, LOST), (None, 200), (None, 200))
    with over(inner) as session, all_gone(made), pytest.raises(kind, match="mine"):
        session.put(API, data=broken())
    assert len(inner.taken) == 2


@pytest.mark.parametrize(
    "kind",
    [OSError, ConnectionResetError, BrokenPipeError, TimeoutError, requests.ConnectionError],
)
def test_an_os_error_of_the_callers_generator_is_no_lost_connection(
    kind: type[OSError],
) -> None:
    """A part of the body is never sent as the whole, although urllib3 claims the error."""

    def broken() -> Iterator[bytes]:
        yield b"abc"
        raise kind("mine")

    with Wire(answer(), answer()) as wire, real(retry=SPOOLING) as session:
        with pytest.raises(requests.RequestException) as raised:
            session.put(wire.url, data=broken(), timeout=(60, 0.3))
        assert [attempt.reason for attempt in attempts(raised.value)] == [Reason.NOT_REPLAYABLE]
        assert len(wire.arrived) <= 1


def test_a_piece_that_is_no_bytes_is_refused_as_ever() -> None:
    """The transport's own error is raised."""
    with Wire(answer(), answer()) as wire, real(retry=SPOOLING) as session:
        numbers: Any = iter([b"abc", 5])
        with pytest.raises(TypeError):
            session.put(wire.url, data=numbers, timeout=60)
        assert len(wire.arrived) <= 1


# --- the end of the call ------------------------------------------------------------------


def test_it_is_closed_when_the_call_gave_up(made: list[Any]) -> None:
    """No file is open after the last attempt, though answer and exception are held."""
    with all_gone(made):
        response = over(Taking(*[(None, 503)] * 4)).put(API, data=generated())
        assert response.status_code == 503
    with all_gone(made), pytest.raises(requests.ConnectionError):
        over(Taking(*[(None, LOST)] * 4)).put(API, data=generated())


def test_it_is_closed_when_an_upload_streams_its_answer(made: list[Any]) -> None:
    """The file is closed when the answer arrives, however long the answer is read."""
    with Wire(answer(200, b"abc")) as wire, real(retry=SPOOLING) as session, all_gone(made):
        response = session.put(wire.url, data=generated(), stream=True)
    assert response.status_code == 200


def test_it_is_closed_when_the_session_is(made: list[Any]) -> None:
    """A wait that the closing of the session ends leaves no file."""

    class Closing(FakeClock):
        def sleep(self, seconds: float, wake: Event | None = None) -> None:
            session.close()
            super().sleep(seconds, wake)

    policy = RetryPolicy(buffer_bodies=MEGABYTE)
    session = over(Taking((None, 503)), clock=Closing(), retry=policy)
    with all_gone(made), pytest.raises(AuthRetryError, match="closed"):
        session.put(API, data=generated())


@pytest.mark.parametrize("challenge", ["Basic", 'Bearer error="insufficient_scope"'])
def test_it_is_closed_when_a_401_is_handed_out(challenge: str, made: list[Any]) -> None:
    """A 401 that no renewal can cure ends the call and closes the file."""
    refused = (401, {"WWW-Authenticate": challenge})
    with all_gone(made):
        inner = Taking((None, refused))
        session = over(inner, token="t", origins=[API])
        assert session.put(API, data=generated()).status_code == 401


def test_it_is_closed_when_the_token_cannot_be_renewed(made: list[Any]) -> None:
    """A failed renewal raises and leaves no file, also before the first attempt."""
    session = over(Taking((None, 401)), token=Source("old", OSError("down")), origins=[API])
    with all_gone(made), pytest.raises(RefreshFailed):
        session.put(API, data=generated())
    made.clear()
    session = over(Taking(), token=Source(OSError("down")), origins=[API])
    with all_gone(made), pytest.raises(RefreshFailed):
        session.put(API, data=generated())


def test_a_redirect_that_nobody_follows_keeps_it_as_long_as_the_answer(made: list[Any]) -> None:
    """The body is kept while the answer is, to follow the redirect by hand, and then closed."""
    with Wire(MOVED) as wire, real(retry=SPOOLING) as session:
        response = session.put(wire.url, data=generated(), allow_redirects=False, timeout=60)
        assert response.status_code == 307
        assert not made[0].closed
        del response
        gc.collect()
        assert made[0].closed


@pytest.mark.parametrize("options", BODIES.values(), ids=BODIES)
def test_a_redirect_that_is_followed_by_hand_has_the_body(
    options: Callable[[], dict[str, Any]], made: list[Any]
) -> None:
    """A call with `Response.next` is a new call with the same body."""
    with Wire(MOVED, answer(503), answer()) as wire, real(retry=SPOOLING) as session:
        with all_gone(made):
            assert put(session, wire.url, options(), follow=False).status_code == 200
        assert [seen.framed for seen in wire.arrived] == [wire.arrived[0].framed] * 3


def test_too_many_redirects_leave_no_file(made: list[Any]) -> None:
    """The file is closed with the exception if requests itself ends the call."""
    with Wire(*[MOVED] * 3) as wire, real(retry=SPOOLING) as session:
        session.max_redirects = 2
        with pytest.raises(requests.TooManyRedirects):
            session.put(wire.url, data=generated(), timeout=60)
        gc.collect()
    assert [file.closed for file in made] == [True]


def test_the_callers_request_is_left_as_it_is() -> None:
    """The caller's request has its own body and position afterwards, after a redirect too."""
    with Wire(answer(503), MOVED, answer()) as wire, real(retry=SPOOLING) as session:
        with piped() as pipe:
            prepared = session.prepare_request(requests.Request("PUT", wire.url, data=pipe))
            before = dict(vars(prepared))
            assert session.send(prepared, timeout=60).status_code == 200
            after = dict(vars(prepared))
        assert len({seen.framed for seen in wire.arrived}) == 1
    before.pop("hooks"), after.pop("hooks")
    assert after == before


# --- the ways to take it ------------------------------------------------------------------


def spooled_file(source: Any) -> tuple[Spool, Any]:
    """Make a spool, and its body for one attempt."""
    request = requests.Request("PUT", API, data=source).prepare()
    spool = Spool.of(request, MEGABYTE)
    assert spool is not None
    return spool, spool.put_on(request).body


@pytest.mark.parametrize("sizes", [[3, 5, 100], [0, 100], [100, 3, 3], [-1], [None], [3, -1]])
def test_it_reads_as_any_file(sizes: list[int | None]) -> None:
    """Each attempt may read in its own steps; all get the same bytes, and then the end."""
    data = b"abcdefgh" * 10
    spool, _ = spooled_file(Encoder(data))
    request = requests.Request("PUT", API, data=spool.source).prepare()
    for steps in ([7, 7], sizes, [40], [-1], sizes):
        body: Any = spool.put_on(request).body
        read = [body.read(step) for step in steps]
        assert all(len(piece) <= s for piece, s in zip(read, steps, strict=True) if s and s > 0)
        assert b"".join(read) == data[: sum(map(len, read))]
    body = spool.put_on(request).body
    assert b"".join([*iter(lambda: body.read(9), b"")]) == data
    assert body.read() == body.read(5) == b""
    spool.close()


def test_a_source_is_read_in_the_steps_of_the_transport() -> None:
    """Of a file no more is read at a time than the transport asks for."""
    source = Encoder(b"abcdefgh")
    spool, body = spooled_file(source)
    assert [body.read(1), body.read(3), source.read()] == [b"a", b"bcd", b"efgh"]
    spool.close()


def test_to_read_nothing_is_not_the_end() -> None:
    """A transport that asks for no bytes gets none, and the rest later."""
    spool, body = spooled_file(Encoder(b"abc"))
    assert (body.read(0), body.read(5)) == (b"", b"abc")
    spool.close()


def test_nothing_is_kept_of_empty_pieces() -> None:
    """An empty piece of a generator takes no space."""
    spool, body = spooled_file(iter([b"", b"abc", b""]))
    request = requests.Request("PUT", API, data=spool.source).prepare()
    assert list(body) == [b"", b"abc", b""]
    again: Any = spool.put_on(request).body
    assert list(again) == [b"abc"]
    spool.close()


def test_the_end_is_asked_for_once() -> None:
    """A terminal that has reported its end is not asked again."""
    reads = 0

    class Terminal:
        def read(self, _: int = -1) -> bytes:
            nonlocal reads
            reads += 1
            return b"abc" if reads == 1 else b""

    spool, body = spooled_file(Terminal())
    request = requests.Request("PUT", API, data=spool.source).prepare()
    assert body.read() == b"abc"
    for _ in range(3):
        again: Any = spool.put_on(request).body
        assert again.read() == b"abc"
    assert reads == 2
    spool.close()


@pytest.mark.parametrize("source", [generated, Encoder, Lines])
def test_it_has_the_ways_of_its_source(source: Callable[[], Any]) -> None:
    """A body can be read or iterated like its source, since requests frames the two differently."""
    given = source()
    spool, body = spooled_file(given)
    for way in ("read", "__iter__"):
        assert hasattr(body, way) == hasattr(given, way)
    assert not hasattr(body, "__len__")
    assert not hasattr(body, "len")
    spool.close()


def test_a_transport_that_retries_by_itself_has_the_whole() -> None:
    """A transport that iterates again gets the whole body; one that would read on is refused."""
    spool, body = spooled_file(generated())
    assert [bytes(piece) for piece in islice(body, 1)] == [b"abc"]
    assert b"".join(body) == b"".join(generated())
    spool.close()
    spool, body = spooled_file(Encoder())
    with pytest.raises(UnsupportedOperation, match=r"^tell$"):
        body.tell()
    spool.close()


def test_text_goes_out_as_utf_8() -> None:
    """A generator of text is sent as urllib3 2 would send it, and alike the second time."""
    with Wire(answer(503), answer()) as wire, real(retry=SPOOLING) as session:
        text: Any = iter(["Zür", "ich"])
        assert session.put(wire.url, data=text, timeout=60).status_code == 200
        assert [seen.framed for seen in wire.arrived] == [
            "4\r\nZür\r\n3\r\nich\r\n0\r\n\r\n".encode()
        ] * 2
