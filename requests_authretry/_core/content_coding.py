"""Taking the content codings off the start of a body (RFC 9110, 8.4), within a bound."""

from __future__ import annotations

import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Decoder = Callable[[bytes, int], bytes]
    """Takes a coding off a body, or off its start; returns so many bytes at most."""

MOST_CODINGS: Final = 5
"""Codings of one body; a body that names more counts as unreadable."""

_GZIP = zlib.MAX_WBITS | 16
_NO_OTHERS: Final[Mapping[str, Decoder]] = MappingProxyType({})


def decoded(
    body: bytes, codings: str, most: int, others: Mapping[str, Decoder] = _NO_OTHERS
) -> bytes | None:
    """Return the first bytes of what a body is without its codings.

    Args:
        body: The body, or its start, as it came.
        codings: The value of `Content-Encoding`; "" for none.
        most: How many bytes to return at most. No more are ever unpacked.
        others: What takes off the codings that the standard library does not know, by their names.

    Returns:
        None where a coding is unknown, or the body is not coded so.
    """
    names = [name.strip().lower() for name in codings.split(",", MOST_CODINGS)]
    if len(names) > MOST_CODINGS:
        return None
    try:
        for name in reversed(names):
            body = (_DECODERS.get(name) or others[name])(body, most)
    except Exception:  # noqa: BLE001 (decoders of other libraries raise what they like)
        return None
    return body[:most]


def _as_it_is(body: bytes, _: int) -> bytes:
    return body


def _unzipped(body: bytes, most: int) -> bytes:
    """Return what is in all members of a gzip file (RFC 1952, 2.2)."""
    found = b""
    while body and len(found) < most:
        member = zlib.decompressobj(_GZIP)
        try:
            found += member.decompress(body, most - len(found))
        except zlib.error:
            if not found:
                raise
            break  # bytes behind the last member
        body = member.unused_data
    return found


def _inflated(body: bytes, most: int) -> bytes:
    """Return what is in a zlib stream, or in the bare one that some servers send in its place."""
    try:
        return zlib.decompressobj().decompress(body, most)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, most)


_DECODERS: Final[Mapping[str, Decoder]] = {
    "": _as_it_is,
    "identity": _as_it_is,
    "gzip": _unzipped,
    "x-gzip": _unzipped,
    "deflate": _inflated,
}
