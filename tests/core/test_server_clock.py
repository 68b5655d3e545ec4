"""How far a server's clock is from ours, and which of the two a signed time follows."""

from __future__ import annotations

from email.utils import formatdate
from math import inf

import pytest
from hypothesis import given

from requests_authretry._core.server_clock import (
    INTERVAL,
    UNKNOWN,
    ServerClock,
    on_answer,
    on_refusal,
    seconds_ahead,
)
from tests.core.moments import HOSTILE

NOW = 1_700_000_000.0
FAST, SLOW = -300.0, 300.0
LATER = INTERVAL + 1.0


AHEAD: dict[str, tuple[float, str, float, float | None]] = {
    # by how much the date is off, Age, how long the answer took, what is read
    "our clock is fast": (-300.0, "", 0.0, -300.0),
    "our clock is slow": (300.0, "", 0.0, 300.0),
    "equal": (0.0, "", 0.0, 0.0),
    "up to five seconds are equal": (5.0, "", 0.0, 0.0),
    "five seconds behind are equal too": (-5.0, "", 0.0, 0.0),
    "six are not": (6.0, "", 0.0, 6.0),
    "six behind are not": (-6.0, "", 0.0, -6.0),
    "a date from the beginning of a slow answer": (-40.0, "", 40.0, 0.0),
    "a date before a slow answer began": (-70.0, "", 40.0, -70.0),
    "an answer that a proxy kept": (-600.0, "600", 0.0, 0.0),
    "an answer that a proxy kept, and a fast clock": (-700.0, "400", 0.0, -300.0),
    "an age that is no number": (-300.0, "old", 0.0, None),
    "a day": (86_400.0, "", 0.0, 86_400.0),
    "more than a day": (86_401.0, "", 0.0, None),
    "more than a day behind": (-86_401.0, "", 0.0, None),
}


@pytest.mark.parametrize(("off", "age", "took", "ahead"), AHEAD.values(), ids=AHEAD)
def test_how_far_a_server_is_ahead(off: float, age: str, took: float, ahead: float | None) -> None:
    """A `Date` 300 s before our time says that our clock is 300 s fast, unless a cache kept it."""
    assert seconds_ahead(formatdate(NOW + off, usegmt=True), age, NOW - took, NOW) == ahead


ABSURD = [
    "",
    "yesterday",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Tue, 32 Nov 2023 22:13:20 GMT",
    "Tue, 14 Nov 2023 22:13:20 GMT, Tue, 14 Nov 2023 22:13:20 GMT",
    "1700000300",
]


@pytest.mark.parametrize("date", ABSURD)
def test_an_absurd_date_says_nothing(date: str) -> None:
    """A date from 1970, from the year 9999 or of no date at all corrects no clock."""
    assert seconds_ahead(date, "", NOW, NOW) is None


@given(HOSTILE, HOSTILE)
def test_no_text_is_an_error(date: str, age: str) -> None:
    """Whatever stands in `Date` and `Age`, a number within a day or None is read."""
    ahead = seconds_ahead(date, age, NOW, NOW)
    assert ahead is None or abs(ahead) <= 86_400.0


OURS = ServerClock(0.0, NOW, is_ours=True)
FOLLOWED = ServerClock(FAST, NOW)

ANSWERS: dict[str, tuple[ServerClock, float | None, float, ServerClock]] = {
    # what was known, what the answer says, seconds later, what is known then
    "the first date": (UNKNOWN, FAST, 0.0, ServerClock(FAST)),
    "a clock that was set right": (FOLLOWED, 0.0, 1.0, ServerClock(0.0, NOW)),
    "no date": (FOLLOWED, None, 1.0, FOLLOWED),
    "a date that was wrong within the hour": (OURS, FAST, INTERVAL - 1.0, OURS),
    "a date that was wrong an hour ago": (OURS, FAST, LATER, ServerClock(FAST, NOW)),
}


@pytest.mark.parametrize(("known", "ahead", "later", "then"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_followed(
    known: ServerClock, ahead: float | None, later: float, then: ServerClock
) -> None:
    """The next signature follows the date of any answer, unless it has just proved wrong."""
    assert on_answer(known, ahead, NOW + later) == then


AT = NOW + LATER
REFUSALS: dict[str, tuple[ServerClock, float | None, float, float, ServerClock, bool]] = {
    # what was known, what the refusal says, the time that was used, when; what is known, try again
    "our clock was used": (UNKNOWN, FAST, 0.0, NOW, FOLLOWED, True),
    "our clock is right": (UNKNOWN, 0.0, 0.0, NOW, UNKNOWN, False),
    "there is no date": (UNKNOWN, None, 0.0, NOW, UNKNOWN, False),
    "the server's time is refused": (FOLLOWED, FAST, FAST, NOW + 1.0, FOLLOWED, False),
    "another date within the hour": (FOLLOWED, SLOW, FAST, NOW + 1.0, FOLLOWED, False),
    "another date an hour later": (FOLLOWED, SLOW, FAST, AT, ServerClock(SLOW, AT), True),
    "another request has found out": (FOLLOWED, FAST, 0.0, NOW + 1.0, FOLLOWED, True),
    "the date may be wrong": (ServerClock(FAST), FAST, FAST, NOW, OURS, True),
    "the date may be wrong, and is missing": (ServerClock(FAST), None, FAST, NOW, OURS, True),
    "neither time is taken": (OURS, FAST, 0.0, NOW + 1.0, FOLLOWED, False),
    "neither time is taken, without a date": (OURS, None, 0.0, NOW + 1.0, OURS, False),
}


@pytest.mark.parametrize(
    ("known", "ahead", "used", "now", "then", "again"), REFUSALS.values(), ids=REFUSALS
)
def test_a_refusal_is_tried_once_more_at_most_once_an_hour(  # noqa: PLR0913 (a row)
    known: ServerClock,
    ahead: float | None,
    used: float,
    now: float,
    then: ServerClock,
    *,
    again: bool,
) -> None:
    """A refused request goes again with the server's time; with ours if the date was followed."""
    assert on_refusal(known, ahead, used, now) == (then, again)


def test_nothing_is_known_at_first() -> None:
    """A server whose clock is not known counts as one that agrees, and may be corrected at once."""
    assert ServerClock(0.0, -inf, is_ours=False) == UNKNOWN
