"""Reading the time to wait from a body: one JSON number, strictly, and without ever raising."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.headers.retry_after import read_body_wait
from requests_authretry._core.headers.time_formats import LONGEST

NOW = 1_750_000_000.0

TIMES: dict[str, tuple[bytes, float]] = {
    "at the top": (b'{"retry_after": 8}', 8.0),
    "a fraction": (b'{"retry_after": 226.6, "global": false}', 226.6),
    "with an exponent": (b'{"retry_after": 1e2}', 100.0),
    "one level below": (b'{"ok": false, "parameters": {"retry_after": 8}}', 8.0),
    "of several the longest": (b'{"a": {"retry_after": 8}, "retry_after": 3}', 8.0),
    "one of them is nonsense": (b'{"a": {"retry_after": "8"}, "retry_after": 3}', 3.0),
    "zero": (b'{"retry_after": 0}', 0.0),
    "minus zero": (b'{"retry_after": -0}', 0.0),
    "a moment in seconds": (b'{"retry_after": 1750000030}', 30.0),
    "a moment in milliseconds": (b'{"retry_after": 1750000030000}', 30.0),
    "a moment that has passed": (b'{"retry_after": 1749999990}', 0.0),
    "more than a hundred years": (b'{"retry_after": 1e300}', LONGEST),
    "more than a float holds": (b'{"retry_after": 1e999}', LONGEST),
    "a thousand digits and more": (b'{"retry_after": ' + b"9" * 60_000 + b"}", LONGEST),
    "infinity": (b'{"retry_after": Infinity}', LONGEST),
    "behind a mark of its encoding": (b'\xef\xbb\xbf{"retry_after": 8}', 8.0),
}

ABSENT: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"Too Many Requests: retry after 8",
    "JSON that is cut": b'{"retry_after": 8',
    "no object": b'[{"retry_after": 8}]',
    "a bare number": b"8",
    "two levels below": b'{"error": {"details": {"retry_after": 8}}}',
    "in a list": b'{"errors": [{"retry_after": 8}]}',
    "another name": b'{"Retry-After": 8, "retryAfter": 8}',
    "a text": b'{"retry_after": "8"}',
    "a bool": b'{"retry_after": true}',
    "null": b'{"retry_after": null}',
    "an object": b'{"retry_after": {"seconds": 8}}',
    "negative": b'{"retry_after": -8}',
    "minus infinity": b'{"retry_after": -Infinity}',
    "not a number": b'{"retry_after": NaN}',
    "deep": b'{"a":' * 10_000 + b'{"retry_after": 8}' + b"}" * 10_000,
    "deep lists": b'{"retry_after": 8, "a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "bytes of no text": b'{"retry_after": 8, "a": "\xff"}',
    "an object with a NUL": b'{"retry_after": 8}\0',
}


@pytest.mark.parametrize(("body", "seconds"), TIMES.values(), ids=TIMES)
def test_a_number_counts(body: bytes, seconds: float) -> None:
    """``{"parameters": {"retry_after": 8}}`` asks for 8 s; a number however large is kept."""
    assert read_body_wait(body, "", NOW) == seconds


@pytest.mark.parametrize("body", ABSENT.values(), ids=ABSENT)
def test_anything_else_counts_as_absent(body: bytes) -> None:
    """No number, a negative one, one in another place, or no JSON at all: None."""
    assert read_body_wait(body, "", NOW) is None


def test_a_moment_is_measured_from_the_date_of_the_answer() -> None:
    """A server whose clock is a minute late says so in `Date`."""
    body = b'{"retry_after": 1750000030}'
    assert read_body_wait(body, "Sun, 15 Jun 2025 15:05:40 GMT", NOW) == 90.0


documents = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.just("retry_after") | st.text(max_size=3), inner, max_size=3)
    ),
)


@given(body=st.binary(max_size=99) | documents.map(lambda it: json.dumps(it).encode()))
def test_a_time_is_never_negative_and_never_raises(body: bytes) -> None:
    """Whatever a server writes, the result is None or from 0 to a hundred years."""
    asked = read_body_wait(body, "", NOW)
    assert asked is None or 0 <= asked <= LONGEST
