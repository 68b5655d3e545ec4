"""Content codings: what is taken off the start of a body, and within which bound."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.content_coding import MOST_CODINGS, decoded

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = b'{"retry_after": 8}'
ZLIB = zlib.compress(PLAIN)
BARE = ZLIB[2:-4]
GZIP = gzip.compress(PLAIN)


def raising(body: bytes, most: int) -> bytes:
    """Fail as a decoder of another library may.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(body[:most])


OTHERS = {
    "told": lambda _, most: str(most).encode(),
    "mirrored": lambda body, _: body[::-1],
    "raising": raising,
}

CODED: dict[str, tuple[bytes, str]] = {
    "none": (PLAIN, ""),
    "identity": (PLAIN, "identity"),
    "gzip": (GZIP, "gzip"),
    "its old name, in any case": (GZIP, " X-GZip "),
    "zlib": (ZLIB, "deflate"),
    "bare deflate": (BARE, "deflate"),
    "two": (zlib.compress(GZIP), "gzip, deflate"),
    "as many as are read": (PLAIN, ",".join(["identity"] * MOST_CODINGS)),
    "two members": (gzip.compress(PLAIN[:5]) + gzip.compress(PLAIN[5:]), "gzip"),
    "bytes behind the member": (GZIP + b"\0\0", "gzip"),
}


@pytest.mark.parametrize(("body", "codings"), CODED.values(), ids=CODED)
def test_a_known_coding_is_taken_off(body: bytes, codings: str) -> None:
    """``Content-Encoding: gzip`` gives what was compressed, and so does each other known form."""
    assert decoded(body, codings, 999) == PLAIN


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "unknown": (PLAIN, "br"),
    "unknown below a known one": (GZIP, "br, gzip"),
    "no gzip": (PLAIN, "gzip"),
    "no deflate": (b"\xff\xff\xff", "deflate"),
    "raises whatever it likes": (PLAIN, "raising"),
    "too many": (PLAIN, ",".join(["identity"] * (MOST_CODINGS + 1))),
}


@pytest.mark.parametrize(("body", "codings"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_body_is_none(body: bytes, codings: str) -> None:
    """A body in an unknown coding, or in another one than is said, is None."""
    assert decoded(body, codings, 999, OTHERS) is None


def test_a_coding_of_another_library_is_taken_off() -> None:
    """A decoder that is given for ``mirrored`` is asked with the bound, and cut to it."""
    assert decoded(zlib.compress(PLAIN[::-1]), "mirrored, deflate", 99, OTHERS) == PLAIN
    assert decoded(PLAIN[::-1], "mirrored", 5, OTHERS) == PLAIN[:5]
    assert decoded(PLAIN, "told", 99, OTHERS) == b"99"


@pytest.mark.parametrize(
    ("body", "codings"),
    [(PLAIN, ""), (GZIP, "gzip"), (ZLIB, "deflate")],
    ids=["plain", "gzip", "deflate"],  # a GZIP has the time in it
)
def test_no_more_than_asked_for_is_returned(body: bytes, codings: str) -> None:
    """Of a body of 18 bytes the first five are returned if five are asked for."""
    assert decoded(body, codings, 5) == PLAIN[:5]


def test_the_start_of_a_coded_body_is_enough() -> None:
    """The first half of a gzip file gives the first part of what is in it."""
    packed = gzip.compress(bytes(range(256)) * 99)
    start = decoded(packed[: len(packed) // 2], "gzip", 999_999)
    assert start
    assert (bytes(range(256)) * 99).startswith(start)


@pytest.mark.parametrize("codings", ["gzip", "deflate", "deflate, gzip"])
def test_a_bomb_is_unpacked_to_the_bound_only(codings: str) -> None:
    """Of 50 MB in 50 KB, in one coding or in two, only the bound is ever in memory."""
    pack: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
    bomb = bytes(50_000_000)
    for name in codings.split(", "):
        bomb = pack[name](bomb)
    tracemalloc.start()
    try:
        found = decoded(bomb, codings, 65_536)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found is not None
    assert set(found) == {0}
    assert peak < 1_000_000


@given(body=st.binary(max_size=200), codings=st.text(max_size=30) | st.sampled_from(["gzip"]))
def test_decoding_never_raises(body: bytes, codings: str) -> None:
    """Whatever a server sends, the result is bytes within the bound, or None."""
    found = decoded(body, codings, 10)
    assert found is None or len(found) <= 10
