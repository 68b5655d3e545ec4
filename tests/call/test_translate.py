"""What servers say of their limits, as it comes through requests and urllib3."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from requests import Response
from requests.structures import CaseInsensitiveDict
from urllib3._collections import HTTPHeaderDict

from requests_authretry import RateLimits, Reason, RetryScheduled
from requests_authretry._call.translate import limits_of, outcome_of
from requests_authretry._core.headers.names import KNOWN
from requests_authretry._core.records import Limit
from tests.support.sessions import Rig

ALL = frozenset(KNOWN)
NOW = 1_750_000_000.0
TWO_LINES = [("RateLimit", '"a";r=1;t=2'), ("RATELIMIT", '"b";r=3;t=4'), ("Date", "x")]


def answer(headers: Any, raw: Any = None) -> Response:
    """An answer with these headers, over whatever carried them."""
    response = Response()
    response.status_code = 200
    response.headers, response.raw = headers, raw
    return response


def over_urllib3(*lines: tuple[str, str]) -> Response:
    """An answer with these header lines, as requests makes it of one by urllib3."""
    headers = HTTPHeaderDict()
    for name, value in lines:
        headers.add(name, value)
    return answer(CaseInsensitiveDict(headers), SimpleNamespace(headers=headers))


def test_limits_of_an_answer_over_urllib3() -> None:
    """Lines are read one by one, in whatever case their names are."""
    limits = (Limit(1, 2, "a"), Limit(3, 4, "b"))
    assert limits_of(over_urllib3(*TWO_LINES), lambda: NOW, ALL) == limits
    assert outcome_of(over_urllib3(*TWO_LINES), NOW, ALL).limits == limits


@pytest.mark.parametrize("kind", [HTTPHeaderDict, CaseInsensitiveDict])
def test_limits_of_an_answer_by_another_adapter(kind: Any) -> None:
    """Headers may be any mapping without regard to case, and there may be nothing below it."""
    limits = limits_of(answer(kind({"RateLimit": '"a";r=1;t=2'})), lambda: NOW, ALL)
    assert limits == (Limit(1, 2, "a"),)


@pytest.mark.parametrize("kind", [HTTPHeaderDict, CaseInsensitiveDict])
def test_an_answer_that_says_nothing_is_not_looked_into(kind: Any) -> None:
    """Without any of the names, no header is read: the raw answer is not even touched."""
    silent = answer(kind({"Date": "x", "Age": "1", "Content-Type": "text/html"}))
    del silent.raw
    assert limits_of(silent, lambda: NOW, ALL) == ()
    assert limits_of(answer(kind({"RateLimit": '"a";r=1;t=2'})), lambda: NOW, frozenset()) == ()


def test_a_cached_answer_says_nothing() -> None:
    """`Age` is read although it is no hint by itself, and so is `Date`."""
    assert limits_of(over_urllib3(*TWO_LINES, ("Age", "7")), lambda: NOW, ALL) == ()
    dated = over_urllib3(
        ("X-RateLimit-Remaining", "1"),
        ("X-RateLimit-Reset", "1750003610"),
        ("Date", "Sun, 15 Jun 2025 16:06:40 GMT"),
    )
    assert limits_of(dated, lambda: NOW, ALL) == (Limit(1, 10),)


def test_a_403_as_github_has_it_is_waited_out() -> None:
    """A 403 that names an exhausted limit goes again when that is reset, a POST too."""
    refused = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}
    rig = Rig((403, refused), 200)
    assert rig.session.post("https://api.example.com/").status_code == 200
    assert rig.waits == [30.0]
    assert [event.reason for event in rig.told(RetryScheduled)] == [Reason.THROTTLED]


def test_a_403_that_names_no_time_is_handed_out() -> None:
    """A 403 is an answer like any other, unless the server says that we are too fast."""
    allowed = {"X-RateLimit-Remaining": "10", "X-RateLimit-Reset": "30"}
    rig = Rig((403, allowed))
    assert rig.get().status_code == 403
    assert rig.waits == []


def test_structured_fields_are_waited_out() -> None:
    """A 429 without Retry-After waits for the limit that is exhausted."""
    rig = Rig((429, {"RateLimit": '"burst";r=0;t=7, "daily";r=50;t=3600'}), 200)
    assert rig.get().status_code == 200
    assert rig.waits == [7.0]


def test_the_settings_say_what_is_heard() -> None:
    """A name that the settings add is heard, one that they leave out is not."""
    refused = (429, {"X-Acme-Retry-After": "9", "Retry-After": "100"})
    rig = Rig(refused, 200, limits=RateLimits(headers=["X-Acme-Retry-After"]))
    assert rig.get().status_code == 200
    assert rig.waits == [9.0]
