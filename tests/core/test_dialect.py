"""The rules of a dialect, on answers of all kinds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import Answer, Verdict
from requests_authretry._core.classify import Meaning
from requests_authretry._core.dialect import (
    Condition,
    Place,
    Rule,
    Seen,
    When,
    fits_pattern,
    judge,
)
from requests_authretry._core.headers.time_formats import LONGEST
from requests_authretry._core.json_path import parse_path

if TYPE_CHECKING:
    from requests_authretry._core.json_path import Path

NOW = 1_772_452_800.0
ALL = frozenset({200, 400, 429})


def to(text: str) -> Path:
    """The steps of a path."""
    steps = parse_path(text)
    assert steps is not None
    return steps


def answer(body: object = b"", **more: Any) -> Answer:
    """An answer with a body: bytes as they are, anything else as JSON."""
    given = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    fields = {"method": "GET", "url": "https://h/a/b?c=d", "status": 400, "headers": {}, **more}
    return Answer(body=given, **fields)


def holds(when: When, seen: Answer) -> bool:
    """Whether a condition holds for an answer."""
    return when.holds(Seen(seen))


@pytest.mark.parametrize(
    ("condition", "found", "is_so"),
    [
        (Condition(values=("a", "b")), ["b"], True),
        (Condition(values=("a",)), ["x", "a"], True),
        (Condition(values=("a",)), ["A"], False),
        (Condition(values=("a",)), [], False),
        (Condition(values=(88,)), ["88"], False),
        (Condition(values=(1,)), [True], False),
        (Condition(values=(False,)), [0], False),
        (Condition(values=(False,)), [False], True),
        (Condition(contains=("Rate Limit",)), ["a secondary rate limit"], True),
        (Condition(contains=("rate limit",)), [["rate limit"]], False),
        (Condition(contains=("rate limit",)), ["rates"], False),
        (Condition(exists=True), [0], True),
        (Condition(exists=True), [], False),
        (Condition(exists=False), [], True),
        (Condition(exists=False), [0], False),
    ],
)
def test_a_condition_compares_values_and_types(
    condition: Condition, found: list[Any], *, is_so: bool
) -> None:
    """88 is not "88", true is not 1; texts are searched in upper and lower case."""
    assert condition.holds(found) is is_so


@pytest.mark.parametrize(
    ("when", "is_so"),
    [
        ({}, True),
        ({"status": frozenset({429})}, False),
        ({"method": frozenset({"GET", "HEAD"})}, True),
        ({"method": frozenset({"POST"})}, False),
        ({"path": ("/x", "/a/*")}, True),
        ({"path": ("/b",)}, False),
        ({"header": (("x-left", Condition(values=("0",))),)}, True),
        ({"header": (("x-left", Condition(values=("1",))),)}, False),
        ({"header": (("x-none", Condition(exists=False)),)}, True),
        ({"body": ((to("error.code"), Condition(values=("SLOW",))),)}, True),
        ({"body": ((to("error.code"), Condition(values=("FAST",))),)}, False),
        ({"text": ("slow",)}, True),
        ({"text": ("fast",)}, False),
    ],
)
def test_all_that_a_rule_asks_for_must_hold(when: dict[str, Any], *, is_so: bool) -> None:
    """Status, method, path, headers, body and text: each can say no."""
    seen = answer({"error": {"code": "SLOW"}}, headers={"x-left": "0"})
    assert holds(When(**{"status": ALL, **when}), seen) is is_so


HOSTILE = {
    "no body": None,
    "empty": b"",
    "no JSON": b"<html>",
    "not UTF-8": b"\xff\xfe\x00",
    "cut off": b'{"error": {"code": "SLOW"',
    "deep": b"[" * 60_000,
    "deep objects": b'{"error":' * 7_000,
    "a number of 60 000 digits": b'{"error": {"code": %s}}' % (b"9" * 60_000),
    "NaN": b'{"error": {"code": NaN}}',
    "a text": b'"error"',
    "null": b"null",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_gives_no_verdict_and_no_exception(body: bytes | None) -> None:
    """Whatever is no JSON, or too deep, or absurd, is no reason for a verdict."""
    rules = [
        Rule(When(ALL, body=((to("error.code"), Condition(values=("SLOW",))),)), Meaning.THROTTLED),
        Rule(When(ALL, body=((to("[][][].x"), Condition(exists=True)),)), Meaning.THROTTLED),
    ]
    assert judge(rules, answer(body), NOW) is None


@pytest.mark.parametrize("body", [None, b"", b"<html>", b"[" * 60_000])
def test_without_json_nothing_counts_as_missing_in_it(body: bytes | None) -> None:
    """``exists: false`` holds for a document without the value, not for a page of a proxy."""
    when = When(ALL, body=((to("error"), Condition(exists=False)),))
    assert not holds(when, answer(body))
    assert holds(when, answer({"other": 1}))


@pytest.mark.parametrize("value", [b"0", 0, None, ["0"], "0" * 5000])
def test_a_header_that_is_no_text_counts_as_absent(value: object) -> None:
    """An inner adapter may put anything into the headers; a long field counts as absent."""
    rule = Rule(
        When(ALL, header=(("x-left", Condition(exists=True)),)),
        Meaning.THROTTLED,
        (Place(header="x-left", unit="epoch"),),
    )
    assert judge([rule], answer(headers={"x-left": value, "date": value}), NOW) is None


def test_the_first_rule_that_holds_counts() -> None:
    """A rule that leaves an answer to its status ends the search, too."""
    exact = When(ALL, body=((to("code"), Condition(values=(5,))),))
    rules = [Rule(exact, None), Rule(When(ALL), Meaning.FINAL)]
    assert judge(rules, answer({"code": 5}), NOW) is None
    assert judge(rules, answer({"code": 6}), NOW) == Verdict.final()
    assert judge([], answer({"code": 6}), NOW) is None


WAIT = Place(body=to("wait"), unit="s")


@pytest.mark.parametrize(
    ("places", "body", "seconds"),
    [
        ((WAIT,), {"wait": 8}, 8.0),
        ((WAIT,), {"wait": "8"}, 8.0),
        ((WAIT,), {"wait": -8}, None),
        ((WAIT,), {"wait": True}, None),
        ((WAIT,), b'{"wait": NaN}', None),
        ((WAIT,), b'{"wait": 1e999}', LONGEST),
        ((WAIT,), b'{"wait": %s}' % (b"9" * 5000), LONGEST),
        ((WAIT,), {}, None),
        ((WAIT, Place(seconds=60.0)), {}, 60.0),
        ((WAIT, Place(seconds=60.0)), {"wait": 1}, 1.0),
        ((Place(body=to("errors[].wait")),), {"errors": [{"wait": 3}, {"wait": 9}, {}]}, 9.0),
        ((Place(header="x-wait", unit="ms"), WAIT), {"wait": 8}, 2.5),
        ((Place(header="x-long", unit="s"), WAIT), {"wait": 8}, 8.0),
    ],
)
def test_the_first_place_with_a_time_counts(
    places: tuple[Place, ...], body: object, seconds: float | None
) -> None:
    """Of several values in one place the longest counts; nonsense counts as absent."""
    headers = {"x-wait": "2500", "x-long": "1" * 5000}
    verdict = judge(
        [Rule(When(ALL), Meaning.THROTTLED, places)], answer(body, headers=headers), NOW
    )
    assert verdict == Verdict.throttled(seconds)


POINTS = Place(points=(to("needed"), to("left"), to("rate")))


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"needed": 200, "left": 100, "rate": 50}, 2.0),
        ({"needed": 100, "left": 200, "rate": 50}, 0.0),
        ({"needed": 200, "left": 100, "rate": 0}, None),
        ({"needed": 200, "left": 100, "rate": -1}, None),
        ({"needed": 200, "left": None, "rate": 50}, None),
        ({"needed": True, "left": 0, "rate": 50}, None),
        ({"needed": 1e300, "left": 0, "rate": 1e-300}, LONGEST),
        ({}, None),
    ],
)
def test_points_come_back_at_their_rate(body: object, seconds: float | None) -> None:
    """A query of 200 points with 100 left and 50 a second may be sent after 2 s."""
    rule = Rule(When(ALL), Meaning.THROTTLED, (POINTS,))
    assert judge([rule], answer(body), NOW) == Verdict.throttled(seconds)


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("core", "core"),
        (None, None),
        (Place(header="x-bucket"), "abc"),
        (Place(header="x-none"), None),
        (Place(body=to("limit")), "search"),
        (Place(body=to("number")), "7"),
        (Place(body=to("flag")), None),
        (Place(body=to("list")), None),
        (Place(body=to("empty")), None),
        (Place(body=to("long")), "x" * 100),
    ],
)
def test_a_scope_is_a_name(scope: str | Place | None, name: str | None) -> None:
    """It stands in the rule, in a header field or in the body; a name is cut at 100 characters."""
    body = {
        "limit": "search",
        "number": 7,
        "flag": True,
        "list": [],
        "empty": "",
        "long": "x" * 999,
    }
    rule = Rule(When(ALL), Meaning.THROTTLED, scope=scope)
    seen = answer(body, headers={"x-bucket": "abc"})
    assert judge([rule], seen, NOW) == Verdict.throttled(scope=name)


@pytest.mark.parametrize(
    ("meaning", "said", "is_not_processed"),
    [
        (Meaning.THROTTLED, False, True),
        (Meaning.TOKEN_EXPIRED, False, True),
        (Meaning.TRANSIENT, False, False),
        (Meaning.TRANSIENT, True, True),
        (Meaning.FINAL, False, False),
    ],
)
def test_a_refusal_was_not_processed(
    meaning: Meaning, *, said: bool, is_not_processed: bool
) -> None:
    """A request that was throttled may be sent again whatever its method; others if a rule says."""
    verdict = judge([Rule(When(ALL), meaning, not_processed=said)], answer(), NOW)
    assert verdict is not None
    assert verdict.not_processed is is_not_processed


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("/a", "/a", True),
        ("/a", "/a/", False),
        ("/a/*", "/a/", True),
        ("/a/*", "/a/b/c", True),
        ("*/graphql", "/graphql", True),
        ("*/graphql", "/api/graphql", True),
        ("*/graphql", "/graphql/x", False),
        ("/a*b*c", "/axbxc", True),
        ("/a*b*c", "/axcxb", False),
        ("/ab*ba", "/aba", False),
        ("/a**b", "/ab", True),
        ("*", "", True),
    ],
)
def test_a_star_stands_for_any_characters(pattern: str, text: str, *, fits: bool) -> None:
    """``/a/*`` fits each path below ``/a/``; what overlaps does not count twice."""
    assert fits_pattern(text, pattern) is fits


def test_a_url_that_cannot_be_read_has_no_path() -> None:
    """It fits patterns of an empty path alone."""
    assert not holds(When(ALL, path=("/a/*",)), answer(url="https://[oops/a/b"))
