"""Reading servers' limits through requests and urllib3."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from requests import Response
from requests.structures import CaseInsensitiveDict
from urllib3._collections import HTTPHeaderDict

from requests_authretry import RateLimits, Reason, RetryScheduled
from requests_authretry._call.translate import limits_of, outcome_of
from requests_authretry._core.bounds import FIELD
from requests_authretry._core.headers.names import KNOWN
from requests_authretry._core.records import Limit, Outcome
from tests.support.sessions import Rig

ALL = frozenset(KNOWN)
NOW = 1_750_000_000.0
TWO_LINES = [("RateLimit", '"a";r=1;t=2'), ("RATELIMIT", '"b";r=3;t=4'), ("Date", "x")]


def answer(headers: Any, raw: Any = None) -> Response:
    """Return an answer with these headers, from any kind of adapter."""
    response = Response()
    response.status_code = 200
    response.headers, response.raw = headers, raw
    return response


def over_urllib3(*lines: tuple[str, str]) -> Response:
    """Return an answer with these header lines, as requests makes it from urllib3's."""
    headers = HTTPHeaderDict()
    for name, value in lines:
        headers.add(name, value)
    return answer(CaseInsensitiveDict(headers), SimpleNamespace(headers=headers))


def test_limits_of_an_answer_over_urllib3() -> None:
    """Header lines are read one by one, with names in upper or lower case."""
    limits = (Limit(1, 2, "a"), Limit(3, 4, "b"))
    assert limits_of(over_urllib3(*TWO_LINES), lambda: NOW, ALL) == limits
    assert outcome_of(over_urllib3(*TWO_LINES), NOW, ALL).limits == limits


@pytest.mark.parametrize("kind", [HTTPHeaderDict, CaseInsensitiveDict])
def test_limits_of_an_answer_by_another_adapter(kind: Any) -> None:
    """Headers may be any case-insensitive mapping, without a urllib3 answer below it."""
    limits = limits_of(answer(kind({"RateLimit": '"a";r=1;t=2'})), lambda: NOW, ALL)
    assert limits == (Limit(1, 2, "a"),)


@pytest.mark.parametrize("kind", [HTTPHeaderDict, CaseInsensitiveDict])
def test_an_answer_that_says_nothing_is_not_looked_into(kind: Any) -> None:
    """An answer without any of the names has no header read; the raw answer is not touched."""
    silent = answer(kind({"Date": "x", "Age": "1", "Content-Type": "text/html"}))
    del silent.raw
    assert limits_of(silent, lambda: NOW, ALL) == ()
    assert limits_of(answer(kind({"RateLimit": '"a";r=1;t=2'})), lambda: NOW, frozenset()) == ()


def test_a_cached_answer_says_nothing() -> None:
    """`Age` and `Date` are read although the settings do not name them."""
    assert limits_of(over_urllib3(*TWO_LINES, ("Age", "7")), lambda: NOW, ALL) == ()
    dated = over_urllib3(
        ("X-RateLimit-Remaining", "1"),
        ("X-RateLimit-Reset", "1750003610"),
        ("Date", "Sun, 15 Jun 2025 16:06:40 GMT"),
    )
    assert limits_of(dated, lambda: NOW, ALL) == (Limit(1, 10),)


LINES = [
    ("Retry-After", "5"),
    ("retry-after-ms", "5"),
    ("x-should-retry", "false"),
    ("RateLimit", '"a";r=0;t=5'),
]


@pytest.mark.parametrize(("name", "value"), LINES)
def test_only_the_names_are_read(name: str, value: str) -> None:
    """A field that the settings do not name is ignored."""
    response = over_urllib3((name, value))
    response.status_code = 429
    assert outcome_of(response, NOW, ALL) != outcome_of(response, NOW, ALL - {name.lower()})
    assert outcome_of(response, NOW, ALL - {name.lower()}) == Outcome(429, throttled=True)


def test_only_the_names_of_limits_are_read() -> None:
    """A field with a limit is read if the settings name it, and so is a policy."""
    response = over_urllib3(
        ("RateLimit", '"a";r=1;t=2'),
        ("RateLimit-Policy", '"a";q=5;w=6'),
        ("Anthropic-RateLimit-Requests-Remaining", "3"),
        ("Anthropic-RateLimit-Requests-Reset", "10"),
    )
    added = {"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"}
    for names, limits in (
        (ALL, (Limit(1, 2, "a", 5, 6),)),
        (ALL | added, (Limit(1, 2, "a", 5, 6),)),
        (ALL - {"ratelimit-policy"}, (Limit(1, 2, "a"),)),
        (ALL - {"ratelimit"}, ()),
        ((ALL - {"ratelimit"}) | added, (Limit(3, 10),)),
        (frozenset[str](), ()),
    ):
        assert limits_of(response, lambda: NOW, names) == limits
        assert outcome_of(response, NOW, names).limits == limits


@pytest.mark.parametrize(("name", "value"), [*LINES, ("X-RateLimit-Remaining", "0")])
def test_a_long_field_is_not_read(name: str, value: str) -> None:
    """A field longer than a thousand characters, in one line or in many, is not read."""
    reset = ("X-RateLimit-Reset", "2")
    long = value.ljust(FIELD)
    read = outcome_of(over_urllib3((name, value), reset), NOW, ALL)
    assert read != Outcome(200)
    assert outcome_of(over_urllib3((name, long), reset), NOW, ALL) == read
    for lines in ([(name, f"{long} ")], [(name, value), (name, long)], [(name, "," * 65_536)]):
        assert outcome_of(over_urllib3(*lines, reset), NOW, ALL) == Outcome(200)
        assert limits_of(over_urllib3(*lines, reset), lambda: NOW, ALL) == ()


def test_a_403_as_github_has_it_is_waited_out() -> None:
    """A 403 with an exhausted limit is retried when the limit is reset, a POST too."""
    refused = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}
    rig = Rig((403, refused), 200)
    assert rig.session.post("https://api.example.com/").status_code == 200
    assert rig.waits == [30.0]
    assert [event.reason for event in rig.told(RetryScheduled)] == [Reason.THROTTLED]


def test_a_403_that_names_no_time_is_handed_out() -> None:
    """A 403 is a final answer, unless the server says that requests come too fast."""
    allowed = {"X-RateLimit-Remaining": "10", "X-RateLimit-Reset": "30"}
    rig = Rig((403, allowed))
    assert rig.get().status_code == 403
    assert rig.waits == []


def test_structured_fields_are_waited_out() -> None:
    """A 429 without Retry-After waits for the exhausted limit."""
    rig = Rig((429, {"RateLimit": '"burst";r=0;t=7, "daily";r=50;t=3600'}), 200)
    assert rig.get().status_code == 200
    assert rig.waits == [7.0]


def test_the_settings_say_what_is_heard() -> None:
    """A name that the settings add is read, a name that they leave out is not."""
    refused = (429, {"X-Acme-Retry-After": "9", "Retry-After": "100"})
    rig = Rig(refused, 200, limits=RateLimits(headers=["X-Acme-Retry-After"]))
    assert rig.get().status_code == 200
    assert rig.waits == [9.0]
