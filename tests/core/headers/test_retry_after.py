"""Reading what an answer asks of a client: strictly, and without ever raising."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.headers import rate_limit_fields, retry_after, time_formats
from requests_authretry._core.headers.names import KNOWN
from requests_authretry._core.headers.rate_limit_fields import read_limits
from requests_authretry._core.headers.retry_after import read_outcome, read_success
from requests_authretry._core.headers.time_formats import (
    LONGEST,
    parse_delay,
    parse_number,
    parse_reset,
)
from requests_authretry._core.records import Limit, Outcome
from tests.core.moments import HOSTILE, IN_TWO_MINUTES, MOMENTS, NOW, NOWS, written
from tests.core.steps import assert_linear

if TYPE_CHECKING:
    from collections.abc import Sequence

DATE = "Sun, 15 Jun 2025 15:06:40 GMT"
EPOCH = 1_750_000_000
YEAR = 31_557_600
IN_TWO_MINUTES_RFC850 = "Sunday, 15-Jun-25 15:08:40 GMT"
IN_TWO_MINUTES_ASCTIME = "Sun Jun 15 15:08:40 2025"


def asked_wait(lines: Sequence[str], date: str, now: float) -> float | None:
    """Return the wait that these lines of `Retry-After` ask for, in an answer of this `Date`."""
    return read_outcome(503, {"retry-after": lines, "date": [date]}, now).retry_after


def asked_verdict(value: str) -> bool | None:
    """Whether an answer with this value of `x-should-retry` says to retry."""
    return read_outcome(503, {"x-should-retry": [value]}, NOW).should_retry


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("120", 120.0),
        ("0120", 120.0),
        ("1.5", 1.5),
        ("1.", 1.0),
        ("0.001", 0.001),
        (" \t7\t ", 7.0),
        ("3155760000", LONGEST),
        ("3155760000.01", LONGEST),
        ("9" * 11, LONGEST),
        ("9" * 400, LONGEST),
        ("9" * 5000, LONGEST),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST),
        ("Fri, 31 Dec 9999 23:59:60 GMT", LONGEST),
        ("5s", 5.0),
        ("1m0.5s", 60.5),
        ("2025-06-15T15:08:40Z", 120.0),
        ("2025-06-15T15:06:40Z", 0.0),
        ("20250615T170840+02", 120.0),
        ("Sun, 15 Jun 2025 17:08:40 +0200", 120.0),
        (f"{EPOCH + 120}", 120.0),
        (f"{EPOCH + 120.5}", 120.5),
        (f"{EPOCH - 5}", 0.0),
        (f"{EPOCH + 120}500", 120.5),
        (f"{EPOCH + YEAR}", YEAR),
        (f"{EPOCH + YEAR + 1}", EPOCH + YEAR + 1),
        (f"{EPOCH - YEAR}", 0.0),
        (f"{EPOCH - YEAR - 1}", EPOCH - YEAR - 1),
        (IN_TWO_MINUTES, 120.0),
        (IN_TWO_MINUTES_RFC850, 120.0),
        (IN_TWO_MINUTES_ASCTIME, 120.0),
        (f"\t{IN_TWO_MINUTES} ", 120.0),
        ("Sun, 15 Jun 2025 15:06:40 GMT", 0.0),
        ("Sun, 15 Jun 2025 15:06:39 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0.0),
    ],
)
def test_valid_values(value: str, seconds: float) -> None:
    """A number is the delay, or a moment within a year of now; a past moment is zero.

    A delay that is too long to be true is no reason to retry early.
    """
    assert asked_wait([value], "", NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        "-0",
        "+1",
        "1e3",
        "1E3",
        "1m 0s",
        "5 s",
        "0s5m",
        "0x10",
        "1_000",
        "1 000",
        ".5",
        "1..5",
        "1.5.2",
        "1.-5",
        ".",
        "inf",
        "Infinity",
        "nan",
        "soon",
        "null",
        "None",
        '"5"',
        "5;q=1",
        "5\n",
        "5\0",
        "\xa05",
        "\u20075",
        "\xb2",
        "\u0663",
        "1.\u0663",
        "\uff15",
        "\U0001d7d9",
        "\ud800",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Fri, 31 Dec 12345678901 23:59:59 GMT",
        "Fri Dec 31 23:59:59 12345678901",
        "1750000120 GMT",
        "2025-06-15T15:08:40+24:00",
    ],
)
def test_malformed_values_count_as_absent(value: str) -> None:
    """A value that has none of the known forms is ignored."""
    assert asked_wait([value], "", NOW) is None


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([], None),
        (["5", "10"], 10.0),
        (["10", "5"], 10.0),
        (["5, 10"], 10.0),
        (["10,5"], 10.0),
        (["5 ,\t10\t,7"], 10.0),
        (["5", "soon"], 5.0),
        (["soon, 5"], 5.0),
        (["-1, 5, 1e3, inf"], 5.0),
        ([f"5, {'9' * 5000}"], LONGEST),
        ([",, 5,,"], 5.0),
        ([",,", "", " "], None),
        (["-1, nan", "soon"], None),
        ([f"{IN_TWO_MINUTES}, 5"], 120.0),
        ([f"5, {IN_TWO_MINUTES}"], 120.0),
        ([f"{IN_TWO_MINUTES}, 600"], 600.0),
        ([f"600,{IN_TWO_MINUTES}"], 600.0),
        ([f"5, {IN_TWO_MINUTES_RFC850}, 6"], 120.0),
        ([f"5, {IN_TWO_MINUTES_ASCTIME}, 6"], 120.0),
        ([f"Sun, 15 Jun 2025 15:07:40 GMT, {IN_TWO_MINUTES}"], 120.0),
        ([f"{IN_TWO_MINUTES}, Sun, 15 Jun 2025 15:07:40 GMT"], 120.0),
        ([IN_TWO_MINUTES, "600"], 600.0),
        (["Sun, 15 Jun 2020 15:08:40 GMT, 5"], 5.0),
        (["Sun, 15 Jun 2020 15:08:40 GMT", "soon"], 0.0),
        (["Sun, 32 Jun 2025 15:08:40 GMT, 5"], 5.0),
        (["Fri, 31 Dec 9999 23:59:59 GMT, 5"], LONGEST),
        (["Sun, 5"], 5.0),
        (["Sun", "15 Jun 2025 15:08:40 GMT"], None),
    ],
)
def test_the_longest_valid_value_wins(lines: list[str], seconds: float | None) -> None:
    """The longest value counts, in separate lines or joined; commas in dates join no values."""
    assert asked_wait(lines, "", NOW) == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Sun, 15 Jun 2025 15:08:10 GMT", 30.0),
        ("Sunday, 15-Jun-25 15:08:10 GMT", 30.0),
        ("Sun Jun 15 15:08:10 2025", 30.0),
        (" Sun, 15 Jun 2025 15:08:10 GMT ", 30.0),
        ("Sun, 15 Jun 2025 14:08:40 GMT", 3600.0),
        ("Sun, 15 Jun 2025 16:08:40 GMT", 0.0),
        ("", 120.0),
        ("today", 120.0),
        ("Sun, 15 Jun 2025 25:08:10 GMT", 120.0),
        ("Sun, 15 Jun 2025 15:08:10 GMT, Sun, 15 Jun 2025 15:08:10 GMT", 120.0),
    ],
)
def test_clock_skew_is_cancelled(date: str, seconds: float) -> None:
    """A date is measured by the clock that wrote it, or by ours if that clock is not known."""
    assert asked_wait([IN_TWO_MINUTES], date, NOW) == seconds


def test_an_epoch_is_read_by_the_clock_of_its_server() -> None:
    """A number that is no moment near our wrong clock, but near `Date`, is one."""
    long_ago = NOW - 2 * YEAR
    assert asked_wait([f"{EPOCH + 30}"], DATE, long_ago) == 30.0


@pytest.mark.parametrize("seconds", [60, 120, 86_400, YEAR])
def test_delay_seconds_need_no_clock(seconds: int) -> None:
    """A number of seconds means the same on any clock, also on one that shows 1970."""
    assert asked_wait([f"{seconds}"], "Thu, 01 Jan 1970 00:01:00 GMT", NOW) == seconds
    assert asked_wait([f"{seconds}"], "", 60.0) == seconds
    assert asked_wait([f"{seconds}000"], "", 60.0) == min(seconds * 1000, LONGEST)
    fields = {"retry-after-ms": [f"{seconds}000"]}
    assert read_outcome(503, fields, 60.0).retry_after == seconds


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        ("true", True),
        ("True", True),
        ("TRUE", True),
        (" \ttrue ", True),
        ("false", False),
        ("FALSE", False),
        ("\tfalse", False),
        ("", None),
        ("1", None),
        ("yes", None),
        ("truthy", None),
        ("true, false", None),
        ("true\n", None),
        ("\xa0true", None),
        ("\uff34rue", None),
        ("fal\u017fe", None),
    ],
)
def test_should_retry(value: str, verdict: bool | None) -> None:  # noqa: FBT001
    """Only ``true`` and ``false`` are read, in upper or lower case."""
    assert asked_verdict(value) is verdict


@given(st.lists(HOSTILE), HOSTILE, NOWS)
def test_never_raises(lines: list[str], date: str, now: float) -> None:
    """Any text can be read, and a wait is never negative nor beyond a hundred years."""
    delay = asked_wait(lines, date, now)
    assert delay is None or 0.0 <= delay <= LONGEST
    for line in lines:
        asked_verdict(line)


@given(MOMENTS, st.just("") | MOMENTS.map(lambda moment: written(moment)[0]), NOWS)
def test_a_wait_is_in_range(moment: datetime, date: str, now: float) -> None:
    """A wait is never negative nor beyond a hundred years, whatever the two dates are."""
    delay = asked_wait(written(moment), date, now)
    assert delay is None or 0.0 <= delay <= LONGEST


@given(st.lists(st.integers(0, 10_000), min_size=1), st.data())
def test_joined_values_count_like_lines(seconds: list[int], data: st.DataObject) -> None:
    """The longest value is found, however values are written and spread over lines."""
    dates = [datetime.fromtimestamp(NOW + wait, tz=timezone.utc) for wait in seconds]
    values = [
        data.draw(st.sampled_from([str(wait), *written(date)]))
        for wait, date in zip(seconds, dates, strict=True)
    ]
    cut = data.draw(st.integers(0, len(values)))
    lines = [", ".join(values[:cut]), ",".join(values[cut:])]
    assert asked_wait(lines, "", NOW) == max(seconds)


@pytest.mark.parametrize("unit", [",", " ", "9", "1.", "1,", ".9", "Sun, ", "Sun, 15 Jun 2025 "])
def test_cost_is_linear(unit: str) -> None:
    """A text eight times as long takes about eight times the work (64 times if quadratic)."""
    short, long = (unit * (size // len(unit)) + "\0" for size in (128, 1024))
    assert_linear(lambda line: asked_wait([line], line, NOW), short, long)


@pytest.mark.parametrize(
    ("status", "value", "age", "seconds"),
    [
        (200, "7", "", 7.0),
        (200, IN_TWO_MINUTES, "", 120.0),
        (200, "0", "", None),
        (200, "soon", "", None),
        (200, "7", "0", 7.0),
        (200, "7", "1", None),
        (201, "7", "", None),
        (202, "7", "", None),
        (204, "7", "", None),
        (302, "7", "", None),
    ],
)
def test_a_200_may_ask_for_a_pause(
    status: int, value: str, age: str, seconds: float | None
) -> None:
    """`Retry-After` on another success or a redirect says when to go on with this one request."""
    outcome = read_success(status, {"retry-after": [value], "age": [age]}, NOW)
    assert (None if outcome is None else outcome.retry_after) == seconds


def test_a_success_keeps_its_limits_beside_a_pause() -> None:
    """An answer may say both; without either there is nothing to learn."""
    limits = (Limit(3, 10),)
    outcome = read_success(200, {"retry-after": ["7"]}, NOW, limits)
    assert outcome == Outcome(200, retry_after=7.0, limits=limits)
    assert outcome.limits_to_keep == limits
    spent = read_success(200, {"retry-after": ["7"]}, NOW, (Limit(0, 10), *limits))
    assert spent is not None
    assert spent.limits_to_keep == limits
    assert read_success(202, {"retry-after": ["7"]}, NOW, limits) == Outcome(202, limits=limits)
    assert read_success(200, {}, NOW) is None


def test_retry_after_overrules_the_limits_of_its_refusal() -> None:
    """A token bucket says when the next request may pass, and when it is full again."""
    bucket = 'RateLimit: "default";r=0;t=300'
    assert said(429, "Retry-After: 2", bucket).limits_to_keep == ()
    assert said(503, "Retry-After: 2", bucket).limits_to_keep == ()
    told = said(429, bucket)
    assert (told.retry_after, told.limits_to_keep) == (300.0, told.limits)
    more = f'{bucket}, "daily";r=1;t=300'
    assert said(429, "Retry-After: 2", more).limits_to_keep == ()
    other = said(500, "Retry-After: 2", more)
    assert [limit.name for limit in other.limits_to_keep] == ["daily"]


def test_tokens_that_are_left_say_nothing_of_requests() -> None:
    """Without any left none is sent until the reset; with some, an old reset is over."""
    tokens = partial(Limit, reset=60.0, quota=1000.0, unit="tokens")
    outcome = Outcome(200, limits=(tokens(0.0), tokens(0.9), tokens(1.0), tokens(400.0)))
    assert [limit.remaining for limit in outcome.limits_to_keep] == [0.0, 0.9, 1000.0, 1000.0]
    unknown = Outcome(200, limits=(tokens(0.0, quota=None), tokens(400.0, quota=None)))
    assert [limit.remaining for limit in unknown.limits_to_keep] == [0.0]


def said(status: int, *lines: str) -> Outcome:
    """Return what an answer with these header lines says."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields.setdefault(name.lower(), []).append(value)
    return read_outcome(status, fields, NOW, read_limits(fields, NOW))


VENDORS: dict[str, tuple[int, tuple[str, ...], Outcome]] = {
    "GitHub, primary limit": (
        403,
        (
            f"Date: {DATE}",
            "X-RateLimit-Limit: 60",
            "X-RateLimit-Remaining: 0",
            "X-RateLimit-Used: 60",
            f"X-RateLimit-Reset: {EPOCH + 1372}",
            "X-RateLimit-Resource: core",
        ),
        Outcome(
            403,
            retry_after=1372.0,
            throttled=True,
            limits=(Limit(0.0, 1372.0, "core", 60.0),),
            is_reset=True,
        ),
    ),
    "GitHub, secondary limit": (
        403,
        (
            f"Date: {DATE}",
            "Retry-After: 60",
            "X-RateLimit-Limit: 5000",
            "X-RateLimit-Remaining: 4990",
            f"X-RateLimit-Reset: {EPOCH + 3000}",
            "X-RateLimit-Resource: core",
        ),
        Outcome(
            403,
            retry_after=60.0,
            throttled=True,
            limits=(Limit(4990.0, 3000.0, "core", 5000.0),),
        ),
    ),
    "GitHub, not allowed": (
        403,
        (
            f"Date: {DATE}",
            "X-RateLimit-Limit: 5000",
            "X-RateLimit-Remaining: 4999",
            f"X-RateLimit-Reset: {EPOCH + 3000}",
        ),
        Outcome(403, limits=(Limit(4999.0, 3000.0, "", 5000.0),)),
    ),
    "Discord": (
        429,
        (
            "Retry-After: 65",
            "X-RateLimit-Limit: 10",
            "X-RateLimit-Remaining: 0",
            f"X-RateLimit-Reset: {EPOCH + 64}.57",
            "X-RateLimit-Reset-After: 64.57",
            "X-RateLimit-Bucket: abcd1234",
            "X-RateLimit-Scope: user",
        ),
        Outcome(
            429,
            retry_after=65.0,
            throttled=True,
            limits=(Limit(0.0, 64.57, "abcd1234", 10.0),),
        ),
    ),
    "Discord, without Retry-After": (
        429,
        ("X-RateLimit-Remaining: 0", "X-RateLimit-Reset-After: 1.337"),
        Outcome(429, retry_after=1.337, throttled=True, limits=(Limit(0.0, 1.337),), is_reset=True),
    ),
    "Reddit": (
        429,
        ("x-ratelimit-remaining: 0.0", "x-ratelimit-used: 600", "x-ratelimit-reset: 183"),
        Outcome(429, retry_after=183.0, throttled=True, limits=(Limit(0.0, 183.0),), is_reset=True),
    ),
    "Azure, in milliseconds": (
        429,
        ("retry-after-ms: 350", "x-ms-retry-after-ms: 350"),
        Outcome(429, retry_after=0.35, throttled=True),
    ),
    "Azure, in both": (
        429,
        ("Retry-After: 1", "retry-after-ms: 350", "x-ms-ratelimit-remaining-subscription-reads: 0"),
        Outcome(429, retry_after=1.0, throttled=True),
    ),
    "AWS": (503, ("x-amz-retry-after: 1500",), Outcome(503, retry_after=1.5)),
    "OpenAI": (
        429,
        (
            "retry-after-ms: 820",
            "x-ratelimit-limit-requests: 60",
            "x-ratelimit-limit-tokens: 150000",
            "x-ratelimit-remaining-requests: 59",
            "x-ratelimit-remaining-tokens: 0",
            "x-ratelimit-reset-requests: 1s",
            "x-ratelimit-reset-tokens: 6m0s",
            "x-should-retry: true",
        ),
        Outcome(
            429,
            retry_after=0.82,
            should_retry=True,
            throttled=True,
            limits=(
                Limit(59.0, 1.0, "", 60.0),
                Limit(0.0, 360.0, "", 150_000.0, None, "tokens"),
            ),
        ),
    ),
    "Azure OpenAI": (
        429,
        (
            "x-ratelimit-remaining-requests: 59",
            "x-ratelimit-remaining-tokens: 0",
            "x-ratelimit-reset-requests: 1",
            "x-ratelimit-reset-tokens: 26",
        ),
        Outcome(
            429,
            retry_after=26.0,
            throttled=True,
            limits=(Limit(59.0, 1.0), Limit(0.0, 26.0, unit="tokens")),
            is_reset=True,
        ),
    ),
    "Bucket4j": (
        429,
        ("X-Rate-Limit-Remaining: 0", "X-Rate-Limit-Retry-After-Seconds: 40"),
        Outcome(429, retry_after=40.0, throttled=True),
    ),
    "GitLab": (
        429,
        (
            f"Date: {DATE}",
            "RateLimit-Limit: 60",
            "RateLimit-Name: throttle_authenticated_web",
            "RateLimit-Observed: 67",
            "RateLimit-Remaining: 0",
            f"RateLimit-Reset: {EPOCH + 30}",
            "RateLimit-ResetTime: Sun, 15 Jun 2025 15:07:10 GMT",
        ),
        Outcome(
            429,
            retry_after=30.0,
            throttled=True,
            limits=(Limit(0.0, 30.0, "throttle_authenticated_web", 60.0),),
            is_reset=True,
        ),
    ),
    "Twitter": (
        429,
        (
            f"date: {DATE}",
            "x-rate-limit-limit: 900",
            "x-rate-limit-remaining: 0",
            f"x-rate-limit-reset: {EPOCH + 600}",
        ),
        Outcome(
            429,
            retry_after=600.0,
            throttled=True,
            limits=(Limit(0.0, 600.0, "", 900.0),),
            is_reset=True,
        ),
    ),
    "Shopify": (
        429,
        ("Retry-After: 2.0", "X-Shopify-Shop-Api-Call-Limit: 40/40"),
        Outcome(429, retry_after=2.0, throttled=True),
    ),
    "Jira": (
        429,
        (
            "X-RateLimit-Limit: 350",
            "X-RateLimit-Remaining: 0",
            "X-RateLimit-Reset: 2025-06-15T15:08Z",
        ),
        Outcome(
            429,
            retry_after=80.0,
            throttled=True,
            limits=(Limit(0.0, 80.0, "", 350.0),),
            is_reset=True,
        ),
    ),
    "Stripe": (409, ("Stripe-Should-Retry: true",), Outcome(409, should_retry=True)),
    "nginx, limit_req": (503, (f"Date: {DATE}", "Server: nginx"), Outcome(503)),
    "nginx, limit_req_status 429": (429, ("Server: nginx",), Outcome(429, throttled=True)),
    "the draft, quota exceeded": (
        429,
        ('RateLimit-Policy: "daily";q=1000;w=86400', 'RateLimit: "daily";r=0;t=36000'),
        Outcome(
            429,
            retry_after=36_000.0,
            throttled=True,
            limits=(Limit(0.0, 36_000.0, "daily", 1000.0, 86_400.0),),
            is_reset=True,
        ),
    ),
    "the draft, reduced capacity": (
        503,
        ('RateLimit: "hourly";r=0;t=90',),
        Outcome(503, retry_after=90.0, limits=(Limit(0.0, 90.0, "hourly"),), is_reset=True),
    ),
    "the draft, beside Retry-After": (
        503,
        ("Retry-After: 120", 'RateLimit: "hourly";r=0;t=90'),
        Outcome(503, retry_after=120.0, limits=(Limit(0.0, 90.0, "hourly"),)),
    ),
}


@pytest.mark.parametrize(("status", "lines", "outcome"), VENDORS.values(), ids=VENDORS)
def test_vendors(status: int, lines: tuple[str, ...], outcome: Outcome) -> None:
    """The answers of vendors to clients that are too fast are read as the vendors mean them."""
    assert said(status, *lines) == outcome


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (("Retry-After: 1", "retry-after-ms: 9000", "x-amz-retry-after: 9000"), 1.0),
        (("Retry-After: 0", "retry-after-ms: 9000"), 0.0),
        (("Retry-After: soon", "retry-after-ms: 9000"), 9.0),
        (("retry-after-ms: 9000", "x-ms-retry-after-ms: 8000"), 9.0),
        (("x-ms-retry-after-ms: 8000", "x-amz-retry-after: 9000"), 9.0),
        (("retry-after-ms: 20.5",), 0.0205),
        (("retry-after-ms: 20, 30",), 0.03),
        (("retry-after-ms: 0", 'RateLimit: "a";r=0;t=5'), 0.0),
        (("retry-after-ms: -20", 'RateLimit: "a";r=0;t=5'), 5.0),
        (("retry-after-ms: nan", "x-ms-retry-after-ms: inf", "x-amz-retry-after: -1"), None),
        (("retry-after-ms: 1.5s",), 1.5),
        ((f"retry-after-ms: {EPOCH + 9}500",), 9.5),
        (("Retry-After: 1", "x-ratelimit-retry-after: 9", "retry-after-seconds: 8"), 1.0),
        (("x-ratelimit-retry-after: 9", "retry-after-seconds: 8", "retry-after-ms: 10000"), 9.0),
        (("Retry-After: -1", "X-Rate-Limit-Retry-After-Seconds: 8"), 8.0),
        ((f"retry-after-ms: {'9' * 400}",), LONGEST),
        (("retry-after-ms: 3155760000000",), LONGEST),
        (("retry-after-ms: 3155760000001",), LONGEST),
        (("x-amz-retry-after: invalid",), None),
        (('RateLimit: "a";r=0;t=5, "b";r=1;t=50',), 5.0),
        (('RateLimit: "a";r=0;t=5, "b";r=0;t=50, "c";r=0;t=9',), 50.0),
        (('RateLimit: "a";r=1;t=5',), None),
        (('RateLimit: "a";r=0;t=0',), None),
        (("X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 0.5"), 0.5),
        (("X-RateLimit-Remaining: 0.9", "X-RateLimit-Reset: 5"), 5.0),
        (("X-RateLimit-Remaining: 1.0", "X-RateLimit-Reset: 5"), None),
        (("X-RateLimit-Remaining: 0", f"X-RateLimit-Reset: {EPOCH - 5}"), None),
        (("X-RateLimit-Reset: 5",), None),
        (('RateLimit: "a";r=0;t=5', "Age: 1"), None),
        (("Retry-After: 3", 'RateLimit: "a";r=0;t=5', "Age: 1"), 3.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_which_field_counts(status: int, lines: tuple[str, ...], seconds: float | None) -> None:
    """`Retry-After` counts first, then milliseconds, then the exhausted limits."""
    assert said(status, *lines).retry_after == seconds


@pytest.mark.parametrize("status", [400, 401, 404, 500, 502])
def test_an_exhausted_limit_delays_refusals_only(status: int) -> None:
    """An exhausted limit gives no wait on an error that is not a refusal."""
    assert said(status, 'RateLimit: "a";r=0;t=5').retry_after is None
    assert said(status, "Retry-After: 5").retry_after == 5.0


@pytest.mark.parametrize(
    ("status", "lines", "throttled"),
    [
        (429, (), True),
        (403, (), False),
        (403, ("Retry-After: 5",), True),
        (403, ("Retry-After: 0",), True),
        (403, ("retry-after-ms: 5",), True),
        (403, ("Retry-After: soon",), False),
        (403, ('RateLimit: "a";r=0;t=5',), True),
        (403, ('RateLimit: "a";r=0;t=0',), True),
        (403, ('RateLimit: "a";r=1;t=5',), False),
        (403, ("X-RateLimit-Remaining: 0",), False),
        (503, ("Retry-After: 5",), False),
        (503, ('RateLimit: "a";r=0;t=5',), False),
        (401, ("Retry-After: 5",), False),
        (404, ('RateLimit: "a";r=0;t=5',), False),
    ],
)
def test_who_is_throttled(status: int, lines: tuple[str, ...], throttled: bool) -> None:  # noqa: FBT001
    """A 429 is throttled, and so is a 403 that names a time or an exhausted limit."""
    assert said(status, *lines).throttled is throttled


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (("x-should-retry: true",), True),
        (("x-should-retry: false",), False),
        (("stripe-should-retry: FALSE",), False),
        (("x-should-retry: true", "stripe-should-retry: false"), False),
        (("x-should-retry: false", "stripe-should-retry: true"), False),
        (("x-should-retry: maybe", "stripe-should-retry: true"), True),
        (("x-should-retry: true", "x-should-retry: false"), False),
        (("x-should-retry: maybe",), None),
        ((), None),
    ],
)
def test_the_servers_own_word(lines: tuple[str, ...], verdict: bool | None) -> None:  # noqa: FBT001
    """A field that forbids a retry counts more than one that asks for a retry."""
    assert said(500, *lines).should_retry is verdict


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the functions that parse the values of header fields, in order."""
    used: list[Any] = []

    def read(lines: list[str], parse: Any) -> list[float]:
        used.append(getattr(parse, "func", parse))
        return time_formats.read_values(lines, parse)

    monkeypatch.setattr(retry_after, "read_values", read)
    monkeypatch.setattr(rate_limit_fields, "read_values", read)
    return used


@pytest.mark.parametrize(
    ("lines", "functions"),
    [
        ((), []),
        (("X-RateLimit-Limit: 5", "X-RateLimit-Reset: 7"), []),
        (("Retry-After: 5",), [parse_delay]),
        (("Retry-After: 5", "retry-after-ms: 7"), [parse_delay]),
        (("Retry-After: soon", "retry-after-ms: 7"), [parse_delay, parse_delay]),
        (("X-RateLimit-Remaining: 5", "X-RateLimit-Reset-After: 7"), [parse_number, parse_reset]),
    ],
)
def test_fields_that_decide_nothing_are_not_parsed(
    lines: tuple[str, ...], functions: list[Any], parsed: list[Any]
) -> None:
    """A field is not parsed if it is missing or another field takes precedence over it."""
    said(429, f"Date: {DATE}", *lines)
    assert parsed == functions


PLAUSIBLE = ["0", "1", "1750000060", "6m0s", '"a";r=0;t=5', '"a";q=5;w=6', "limit=1, reset=2"]


@given(
    st.sampled_from([200, 301, 403, 429, 503]),
    st.lists(
        st.tuples(
            st.sampled_from(sorted({*KNOWN, "date", "age"})), HOSTILE | st.sampled_from(PLAUSIBLE)
        ),
        max_size=8,
    ),
    NOWS,
)
def test_reading_never_raises(status: int, lines: list[tuple[str, str]], now: float) -> None:
    """Any text in any field can be read; no time is negative or beyond a hundred years."""
    fields: dict[str, list[str]] = {}
    for name, text in lines:
        fields.setdefault(name, []).append(text)
    outcome = read_outcome(status, fields, now, read_limits(fields, now))
    assert outcome.status == status
    assert outcome.retry_after is None or 0.0 <= outcome.retry_after <= LONGEST
    for limit in outcome.limits:
        assert 0.0 <= limit.remaining < 1e15
        assert 0.0 <= limit.reset <= LONGEST
        assert limit.window is None or 0.0 < limit.window <= LONGEST
        assert limit.quota is None or 0.0 <= limit.quota < 1e15
