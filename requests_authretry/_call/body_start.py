"""The start of a body, looked at before anybody reads it. The body stays as it was.

What the connection gives is kept, and given again to whoever reads the body afterwards, together
with the error that ended it. So the body is then read exactly as if nobody had looked.
"""

from __future__ import annotations

from io import BufferedReader, BytesIO, RawIOBase
from typing import TYPE_CHECKING, Any

from .._core.classify import MOST_BODY_BYTES
from .._core.content_coding import decoded
from .connections import UNDERSTOOD, Answer, Reader
from .translate import MORE_CODINGS, header_line

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from requests import Response

    from .._protocols import Clock

_MOST_KEPT = 2 * MOST_BODY_BYTES
"""Bytes of the connection that are kept at most: a server may send chunks of one byte, and up to
64 KB of text with each."""


def body_start(response: Response, clock: Clock, until: float) -> bytes | None:
    """Return the first `MOST_BODY_BYTES` of a body, decoded as its ``Content-Encoding`` says.

    Args:
        response: The answer. Its body can be read or drained afterwards as before.
        clock: What tells the time.
        until: When no more is waited for, in monotonic seconds.

    Returns:
        None where the body is not there in time, cannot be read or decoded, or comes from
        something else than a connection or a buffer in memory.
    """
    if response._content_consumed:  # noqa: SLF001 (requests has no other word for it)
        content = response._content  # noqa: SLF001 (decoded already)
        return content[:MOST_BODY_BYTES] if isinstance(content, bytes) else None
    try:
        body = _start(response, clock, until)
    except Exception:  # noqa: BLE001 (whoever reads the body meets the same error)
        return None
    coding = header_line(response, "Content-Encoding")
    return None if body is None else decoded(body, coding, MOST_BODY_BYTES, MORE_CODINGS)


def _start(response: Response, clock: Clock, until: float) -> bytes | None:
    """Return the start of the body as it came; None if it comes from something unknown."""
    raw: Any = response.raw
    buffer = getattr(raw, "_fp", raw)
    if isinstance(buffer, BytesIO):  # of a double in a test
        return bytes(buffer.getbuffer()[buffer.tell() :][:MOST_BODY_BYTES])
    answer: Any = getattr(raw, "_original_response", None)
    if type(answer) not in UNDERSTOOD or answer.chunked != raw.chunked:
        return None
    if answer.isclosed() or answer.length == 0:
        return b""
    reader = Reader.of(answer)
    if reader is None:
        return None
    with reader.ending_at(until, clock):
        return _looked_at(answer, reader)


def _looked_at(answer: Any, reader: Reader) -> bytes:
    """Read the start of the body, and put it back."""
    kept = _Kept(reader)
    # A copy of the answer reads the chunks, so that the answer itself stays at the start.
    copy = Answer.__new__(Answer)
    copy.__dict__.update(answer.__dict__)
    copy.fp = BufferedReader(kept)
    body = bytearray()
    try:
        kept.begin(answer.fp)
        while len(body) < MOST_BODY_BYTES and copy.length != 0:
            piece = copy.read1(MOST_BODY_BYTES - len(body))
            if not piece:
                break
            body += piece
    finally:
        copy.close()
        Rewound.rewind(reader, kept)
        answer.fp = BufferedReader(reader)
    return bytes(body)


class _Kept(RawIOBase):
    """What a connection gives, kept as it comes. Closing it closes nothing.

    Attributes:
        came: The bytes that came.
        error: What ended them, if that was not the end of the look: the other side, or the caller's
            own time limit.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader, self.came, self._read = reader, bytearray(), 0
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def begin(self, buffer: BufferedReader) -> None:
        """Keep what a buffer holds, and take its place. An empty one reads from the connection."""
        try:
            self.came += buffer.peek()
        except Exception as error:
            self._note(error)
            raise
        finally:
            buffer.detach()

    def _note(self, error: Exception) -> None:
        is_end_of_look = isinstance(error, TimeoutError) and self._reader.ends_with_call
        if not is_end_of_look:
            self.error = error

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        if self._read == len(self.came):
            if self._read >= _MOST_KEPT:
                raise OSError("there is more than is looked at")
            try:
                size = self._reader.readinto(view)
            except Exception as error:
                self._note(error)
                raise
            self.came += view[:size]
        size = min(len(view), len(self.came) - self._read)
        view[:size] = self.came[self._read : self._read + size]
        self._read += size
        return size


class Rewound(Reader):
    """A reader that gives again what was looked at, and then reads on.

    Attributes:
        again: The bytes to give again.
        error: What ended the bytes, see `_Kept`.
    """

    again = memoryview(b"")
    error: Exception | None = None

    @classmethod
    def rewind(cls, reader: Any, kept: _Kept) -> None:
        """Let a reader begin with what was kept of it."""
        reader.__class__ = cls
        again = bytes(kept.came) + bytes(reader.again)  # an earlier look has read further
        reader.again, reader.error = memoryview(again), kept.error

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        size = min(len(view), len(self.again))
        if size:
            view[:size], self.again = self.again[:size], self.again[size:]
            return size
        reader: Any = self
        error, self.error = self.error, None
        reader.__class__ = Reader
        if error is not None:
            raise error
        return Reader.readinto(reader, buffer)
