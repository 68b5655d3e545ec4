"""Problem documents (RFC 9457): only the type that asks clients to stay away has an effect."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.bounds import PROBLEM
from requests_authretry._core.headers.retry_after import is_abuse

ABUSE = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"


@pytest.mark.parametrize(
    "problem",
    [
        {"type": ABUSE},
        {"type": ABUSE, "title": "Too much", "status": 429},
        {"type": "#abnormal-usage-detected"},
        {"type": "abnormal-usage-detected"},
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_abuse(problem: dict[str, object], encoding: str) -> None:
    """The fragment of the type counts, in whatever encoding of JSON."""
    assert is_abuse(json.dumps(problem).encode(encoding))


def test_a_long_problem_is_ignored() -> None:
    """A document of `PROBLEM` bytes is read; a longer one is not."""
    long = json.dumps({"type": ABUSE}).encode().ljust(PROBLEM)
    assert is_abuse(long)
    assert not is_abuse(long + b" ")


@pytest.mark.parametrize(
    "problem",
    [
        b"",
        b"abnormal-usage-detected",
        b'"abnormal-usage-detected"',
        b"{}",
        b"[]",
        b"null",
        b'{"title": "abnormal-usage-detected"}',
        b'{"type": null}',
        b'{"type": ["abnormal-usage-detected"]}',
        b'{"type": "about:blank"}',
        b'{"type": "https://x#quota-exceeded"}',
        b'{"type": "https://x#not-abnormal-usage-detected"}',
        b'{"type": "https://x#abnormal-usage-detected#x"}',
        b'{"type": "https://x#abnormal-usage-detected/x"}',
        b'{"type": "https://x#abnormal-usage-detected"',
        b'{"type": "\xff#abnormal-usage-detected"}',
        b"[" * 100_000,
        b"1" * 10_000,
    ],
    ids=lambda problem: repr(problem)[:60],
)
def test_no_abuse(problem: bytes) -> None:
    """A problem of another type, or a text that is not a problem document, has no effect."""
    assert not is_abuse(problem)


@given(problem=st.binary() | st.text().map(lambda text: json.dumps({"type": text}).encode()))
def test_anything_else_says_nothing(problem: bytes) -> None:
    """Any other text from a server is not a veto, and does not end the call."""
    assert not is_abuse(problem)
