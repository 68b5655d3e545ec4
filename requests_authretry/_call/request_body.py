"""Bodies of requests: whether they can be sent again, and what is kept of them for that."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from io import UnsupportedOperation
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from requests.exceptions import UnrewindableBodyError
from requests.utils import rewind_body

from .outgoing import header_of, with_header, with_own_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import PreparedRequest

    from .._core.retry import RetryPolicy

IN_MEMORY = 1_048_576
"""Bytes that stay in memory; more go to disk."""

_HEAD = 8
"""Bytes before each piece that tell its length: a chunk goes again as the chunk it was."""

_READ = 65_536
_END: Any = object()
_PLAIN = (bytes, str, bytearray, memoryview)
"""Bodies that stay as they are when they are sent."""

_KEY = "Idempotency-Key"
_KEYED_METHODS = {"POST", "PATCH"}


def is_rewound(request: PreparedRequest) -> bool:
    """Whether the body can be sent again; a file is wound back to where it stood.

    A body that cannot be wound back would be sent empty or cut, and without an error.
    """
    body = request.body
    if body is None or isinstance(body, _PLAIN):
        return True
    if not isinstance(request._body_position, int):  # noqa: SLF001 (requests has no other word for it)
        return False
    try:
        rewind_body(request)
    except (UnrewindableBodyError, OSError, ValueError):
        return False
    return True


def is_rewindable(request: PreparedRequest, policy: RetryPolicy) -> bool:
    """Whether the body could be sent again, as far as that shows; the body is not touched."""
    if request.body is None or isinstance(request.body, _PLAIN) or policy.buffer_bodies:
        return True
    return isinstance(request._body_position, int)  # noqa: SLF001 (as above)


def has_key(request: PreparedRequest) -> bool:
    """Whether the request carries an Idempotency-Key."""
    return header_of(request, _KEY.lower()) is not None


def lacks_key(request: PreparedRequest) -> bool:
    """Whether a key would make the request repeatable, and the caller set none."""
    return (request.method or "").upper() in _KEYED_METHODS and not has_key(request)


class Repeatable:
    """What one call adds so that its request can be sent again: a key, a copy of the body.

    Used by one thread.
    """

    def __init__(self) -> None:
        self._key: str | None = None
        self._spool: Spool | None = None

    def prepare(self, request: PreparedRequest, policy: RetryPolicy) -> PreparedRequest:
        """Return the request, or a copy with the key of this call and with a body that is kept."""
        if policy.idempotency_key and lacks_key(request):
            # A structured field of type String, so in quotes.
            self._key = self._key or f'"{uuid4()}"'
            request = with_header(request, _KEY, self._key)
        if self._spool is None or not self._spool.serves(request):
            spool = Spool.of(request, policy.buffer_bodies)
            if spool is None:
                return request
            self._spool = spool
        return self._spool.put_on(request)

    def continued(self, request: PreparedRequest) -> PreparedRequest:
        """Return the request, or a copy with the body that an earlier hop has kept."""
        if self._spool is None or not self._spool.serves(request):
            return request
        return self._spool.put_on(request)

    def is_rewound(self, request: PreparedRequest) -> bool:
        """Whether the body can be sent again, wound back to where it stood or from the copy."""
        if self._spool is not None and self._spool.serves(request):
            return self._spool.rewound()
        return is_rewound(request)

    def leads_on(self, request: PreparedRequest) -> None:
        """Let requests follow a redirect: it refuses a body that it cannot wind back."""
        if self._spool is not None:
            self._spool.leads_on(request)

    def followed(self) -> None:
        """Leave the request that was redirected as it was."""
        if self._spool is not None:
            self._spool.followed()

    def close(self) -> None:
        """Keep nothing for another attempt."""
        if self._spool is not None:
            self._spool.close()


class Spool:
    """What was taken from a body so far, piece by piece. Used by one thread.

    Nothing is read ahead. What is beyond the bound, or fails on disk, closes the spool: then the
    body goes on to be sent, once, as without one.
    """

    def __init__(self, source: Any, most: int) -> None:
        """Keep ``most`` bytes of this body; nothing is taken from it yet."""
        self.source = source
        self._left = most
        self._kept: SpooledTemporaryFile[bytes] | None = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (`close` does)
        self._iterator: Iterator[Any] | None = None
        self._goes_again = False
        self._is_whole = False
        self._led: tuple[PreparedRequest, Any] | None = None

    @classmethod
    def of(cls, request: PreparedRequest, most: int) -> Spool | None:
        """Return a spool for the body of this request, None if it needs none."""
        body: Any = request.body
        if most == 0 or body is None or isinstance(body, _PLAIN):
            return None
        with suppress(AttributeError, OSError, ValueError):
            body.seek(body.tell())
            if isinstance(request._body_position, int):  # noqa: SLF001 (see `is_rewound`)
                return None
        return cls(body, most)

    def serves(self, request: PreparedRequest) -> bool:
        """Whether this is the body of this request, the caller's or that of a later hop."""
        return request.body is self.source

    def put_on(self, request: PreparedRequest) -> PreparedRequest:
        """Return a copy of the request whose body gives the kept pieces, then the rest.

        The new body has ``read`` and ``__iter__`` only where its source has them: requests and
        urllib3 frame a body by these.
        """
        self.rewound()
        other: Any = with_own_headers(request)
        if not hasattr(self.source, "read"):
            other.body = _Pieces(self)
        else:
            other.body = (_FilePieces if hasattr(self.source, "__iter__") else _File)(self)
        return other  # type: ignore[no-any-return]  # (a body is not of one type)

    def leads_on(self, request: PreparedRequest) -> None:
        """Let requests follow a redirect: what it cannot wind back, it would refuse."""
        if self.serves(request) and self.rewound():
            self._led = request, request._body_position  # noqa: SLF001
            request._body_position = None  # noqa: SLF001

    def followed(self) -> None:
        """Leave the request that was redirected as it was."""
        if self._led is not None:
            request, position = self._led
            request._body_position = position  # noqa: SLF001
            self._led = None

    def rewound(self) -> bool:
        """Whether the body can be sent again; it stands at its start then."""
        if self._kept is None:
            return False
        try:
            self._kept.seek(0)  # this writes what was still in a buffer
        except OSError:
            self.close()
            return False
        self._goes_again = True
        return True

    def pieces(self) -> Iterator[Any]:
        """Give the pieces from the first one on."""
        if not self.rewound():
            yield from self.source
            return
        if self._iterator is None:
            self._iterator = iter(self.source)
        take = partial(next, self._iterator, _END)
        while (piece := self.piece(take)) is not _END:
            yield piece

    def piece(self, take: Callable[[], Any]) -> Any:
        """Return the next kept piece; after the last one, take one from the source."""
        try:
            if self._goes_again:
                piece = self._again()
                if piece is not _END or self._is_whole:
                    return piece
                self._goes_again = False
            piece = take()
            if isinstance(piece, str):
                piece = piece.encode()
        except BaseException:
            self.close()  # what is missing from here on would be missing without an error
            raise
        if piece is _END:
            self._is_whole = True
        else:
            self._keep(piece)
        return piece

    def _again(self) -> Any:
        """Return the next kept piece, or ``_END``."""
        kept: Any = self._kept
        head = kept.read(_HEAD)
        if not head:
            return _END
        size = int.from_bytes(head, "big")
        piece = kept.read(size)
        if len(piece) != size:
            raise OSError("the temporary file with the body was cut")
        return piece

    def _keep(self, piece: Any) -> None:
        """Keep a piece; if that fails, close the spool: the piece is sent all the same."""
        if self._kept is None:
            return
        try:
            size = memoryview(piece).nbytes
            self._left -= size
            if self._left >= 0:
                if size:  # none is sent for an empty one
                    self._kept.write(size.to_bytes(_HEAD, "big"))
                    self._kept.write(piece)
                return
        except Exception:  # noqa: BLE001, S110 (a full disk, or a piece that is no bytes at all)
            pass
        self.close()

    def close(self) -> None:
        """Keep nothing any more, in memory or on disk."""
        kept, self._kept, self._goes_again = self._kept, None, False
        if kept is not None:
            with suppress(OSError):  # of a full disk
                kept.close()

    def __del__(self) -> None:
        """Close the file, which a redirect that was not followed may have left open."""
        self.close()


class _Pieces:
    """A body that is iterated."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def __iter__(self) -> Iterator[Any]:
        return self._spool.pieces()


class _File:
    """A body that is read."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._rest: Any = b""  # of a piece that was longer than what is read

    def read(self, size: int | None = -1) -> Any:
        if size is None or size < 0:
            return b"".join(iter(partial(self.read, _READ), b""))
        if size == 0:
            return b""
        piece = self._rest or self._spool.piece(lambda: self._spool.source.read(size) or _END)
        if piece is _END:
            return b""
        self._rest = piece[size:]
        return piece[:size]

    def tell(self) -> int:
        """Refuse: urllib3 would use it to send only the rest in a retry of its own."""
        raise UnsupportedOperation("tell")


class _FilePieces(_File, _Pieces):
    """A body that is read or iterated."""
