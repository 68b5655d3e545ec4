"""What a verdict and an answer are, and how a verdict takes the place of a status."""

from __future__ import annotations

import json
from math import inf, nan
from types import MappingProxyType
from typing import Any

import pytest

from requests_authretry import Answer, ConfigurationError, Verdict
from requests_authretry._core.classify import (
    MOST_BODY_BYTES,
    Meaning,
    detail_of,
    refuses_credential,
    status_of,
)
from requests_authretry._core.headers.retry_after import read_judged
from requests_authretry._core.records import Limit, Outcome

NOTHING: MappingProxyType[str, str] = MappingProxyType({})


def answer(body: bytes | None, url: str = "https://h/a") -> Answer:
    """Return an answer with a body."""
    return Answer("GET", url, 200, NOTHING, body)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a": [1, 2.5]}', {"a": [1, 2.5]}),
        (b"[]", []),
        (b"null", None),
        (None, None),
        (b"", None),
        (b"<html>", None),
        (b'{"a": ', None),
        (b"\xff\xfe\xfd", None),
        (b"[" * MOST_BODY_BYTES, None),
        (b"1" * MOST_BODY_BYTES, None),
    ],
    ids=["object", "list", "null", "none", "empty", "html", "cut", "no text", "deep", "digits"],
)
def test_json_is_what_the_body_holds_or_none(body: bytes | None, found: object) -> None:
    """A body that is no JSON gives None: cut, not text, a thousand brackets, a thousand digits."""
    assert answer(body).json() == found


def test_text_is_utf_8_with_marks() -> None:
    """A byte that is no UTF-8 becomes U+FFFD; no body is an empty text."""
    assert answer("é".encode() + b"\xff").text == "é\ufffd"
    assert not answer(None).text


def test_an_answer_shows_no_query_header_or_body() -> None:
    """The repr of an answer may stand in a log: it has the method, the URL's path, the status."""
    shown = repr(Answer("GET", "https://u:p@h/a?key=s", 200, {"Set-Cookie": "s=1"}, b"secret"))
    assert shown == "Answer(GET https://h/a 200)"


WRONG: list[tuple[dict[str, Any], str]] = [
    *[({"retry_after": value}, "retry_after") for value in (-1, nan, inf, "5", True, 10**400)],
    *[({"scope": value}, "scope") for value in ("", 3, "x" * 101, b"x")],
    ({"not_processed": 1}, "not_processed"),
    ({"meaning": "throttled"}, "meaning"),
]


@pytest.mark.parametrize(("values", "name"), WRONG, ids=repr)
def test_a_verdict_refuses_what_cannot_be(values: dict[str, Any], name: str) -> None:
    """``Verdict.throttled(-1)`` is an error that names ``retry_after``."""
    with pytest.raises(ConfigurationError, match=f"Verdict: {name} must be"):
        Verdict(**{"meaning": Meaning.THROTTLED, **values})


def test_a_verdict_names_all_its_faults() -> None:
    """Two wrong values are two faults of one error."""
    with pytest.raises(ConfigurationError) as caught:
        Verdict.throttled(-1, "")
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    ("verdict", "status", "is_unprocessed"),
    [
        (Verdict.ok(), 200, False),
        (Verdict.final(), 400, False),
        (Verdict.transient(), 503, False),
        (Verdict.throttled(), 429, True),
        (Verdict.token_expired(), 401, True),
        (Verdict.pending(), 202, False),
    ],
    ids=lambda value: value.meaning.value if isinstance(value, Verdict) else str(value),
)
def test_each_verdict_has_a_status(verdict: Verdict, status: int, *, is_unprocessed: bool) -> None:
    """`throttled` says what a 429 says: the request was not processed."""
    assert status_of(verdict) == status
    assert verdict.not_processed is is_unprocessed
    assert refuses_credential(verdict, 401) is (status == 401)


def test_without_a_verdict_a_401_refuses_the_credential() -> None:
    """A 403 alone does not."""
    assert refuses_credential(None, 401)
    assert not refuses_credential(None, 403)


def test_a_detail_names_the_meaning_unless_the_reason_does() -> None:
    """The reason "throttled" needs no second "throttled"; "all attempts are used up" does."""
    verdict = Verdict(Meaning.THROTTLED, by="your classifier")
    assert detail_of(verdict, "throttled") == "your classifier"
    assert detail_of(verdict, "all attempts are used up") == "throttled, your classifier"


SPENT = Limit(remaining=0, reset=60.0, name="core")


@pytest.mark.parametrize(
    ("verdict", "fields", "limits", "retry_after", "is_reset"),
    [
        (Verdict.throttled(8), {"retry-after": ["3"]}, (), 8.0, False),
        (Verdict.throttled(0), {"retry-after": ["3"]}, (), 0.0, False),
        (Verdict.throttled(), {"retry-after": ["3"]}, (), 3.0, False),
        (Verdict.throttled(), {}, (), None, False),
        (Verdict.throttled(), {}, (SPENT,), 60.0, True),
        (Verdict.throttled(8), {}, (SPENT,), 8.0, False),
        (Verdict.pending(), {"retry-after": ["3"]}, (), 3.0, False),
        (Verdict.ok(), {}, (SPENT,), None, False),
    ],
)
def test_the_time_of_a_verdict_counts_before_that_of_the_headers(
    verdict: Verdict,
    fields: dict[str, list[str]],
    limits: tuple[Limit, ...],
    retry_after: float | None,
    *,
    is_reset: bool,
) -> None:
    """``throttled(8)`` with `Retry-After: 3` waits 8 s; without a time of its own 3 s."""
    outcome = read_judged(verdict, 200, fields, 0.0, limits)
    assert (outcome.retry_after, outcome.is_reset) == (retry_after, is_reset)
    assert (outcome.status, outcome.answered) == (status_of(verdict), 200)
    assert outcome.verdict == verdict


def test_a_scope_is_what_a_verdict_calls_the_limit() -> None:
    """``throttled(8, "uploads")`` names it; ``throttled(8)`` does not, and no verdict neither."""
    named = read_judged(Verdict.throttled(8, "uploads"), 429, {}, 0.0, (SPENT,))
    assert (named.told_name, named.limits) == ("uploads", (SPENT,))
    assert read_judged(Verdict.throttled(8), 429, {}, 0.0, (SPENT,)).told_name == ""
    assert Outcome(429, limits=(SPENT,)).told_name == ""


def test_a_refusal_by_a_verdict_is_about_the_limits_of_which_nothing_is_left() -> None:
    """``throttled(8)`` with 7 of ``search`` left is about ``core``; a plain 429 is about both."""
    left = Limit(remaining=7, reset=60.0, name="search")
    judged = read_judged(Verdict.throttled(8), 429, {}, 0.0, (SPENT, left))
    assert judged.refused_limits == (SPENT,)
    passed = read_judged(Verdict.ok(), 429, {}, 0.0, (SPENT, left))
    for outcome in (passed, Outcome(429, throttled=True, limits=(SPENT, left))):
        assert outcome.refused_limits == (SPENT, left)


def test_a_body_of_64_kb_is_still_json() -> None:
    """The longest body that a classifier sees whole is read as JSON."""
    text = json.dumps("x" * (MOST_BODY_BYTES - 2)).encode()
    assert len(text) == MOST_BODY_BYTES
    assert answer(text).json() == "x" * (MOST_BODY_BYTES - 2)


@pytest.mark.parametrize(
    ("answered", "age", "asked"),
    [(200, "0", 60.0), (200, "9", None), (201, "0", None), (202, "0", None), (503, "0", 60.0)],
)
def test_ok_asks_for_no_more_than_the_answer_does(
    answered: int, age: str, asked: float | None
) -> None:
    """The time of a 202 says when to ask for the result, and closes nothing, also after ``ok``."""
    fields = {"retry-after": ["60"], "age": [age]}
    outcome = read_judged(Verdict.ok(), answered, fields, 0.0, ())
    assert (outcome.retry_after, outcome.answered) == (asked, answered)
