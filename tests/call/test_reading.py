"""What a call makes of the times and limits that servers write, from the answer to the wait."""

from __future__ import annotations

import pytest

from requests_authretry import RateLimits, RetryPolicy
from requests_authretry._core.bounds import FIELD
from requests_authretry.testing import ScriptedAdapter
from tests.support.limits import UNPACED
from tests.support.sessions import AT_ONCE, Rig, raised

SPENT = 'RateLimit: "default";r=0;t=60'


def fields(*lines: str) -> dict[str, str]:
    """Return the header fields of these lines."""
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("status", [403, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    "lines",
    [
        [SPENT],
        ["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 60"],
        ["x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 1m0s"],
    ],
)
def test_retry_after_comes_before_a_reset_of_the_same_answer(status: int, lines: list[str]) -> None:
    """`Retry-After: 2` beside a limit that resets in 60 s: the next attempt goes after 2 s."""
    rig = Rig((status, fields("Retry-After: 2", *lines)), 200)
    assert rig.get().status_code == 200
    assert rig.waits == [2.0]


def test_retry_after_of_a_200_comes_before_its_reset() -> None:
    """The next request goes after the 2 s of a 200, although its limit resets in 60 s."""
    rig = Rig((200, fields("Retry-After: 2", SPENT)), 200)
    rig.get()
    rig.get()
    assert rig.waits == [2.0]


@pytest.mark.parametrize("status", [201, 202, 301, 307])
def test_a_reset_counts_where_retry_after_means_something_else(status: int) -> None:
    """On a 202 it says when to ask for the result; the limit says when to send other requests."""
    rig = Rig((status, fields("Retry-After: 2", SPENT)), (status, fields("Retry-After: 2")), 200)
    for _ in range(3):
        rig.get(allow_redirects=False)
    assert rig.waits == [60.0]


@pytest.mark.parametrize("digits", ["9" * 30, "9" * FIELD, "9" * 5000, f"{'9' * 5000}.5"])
def test_a_number_of_seconds_is_never_too_large_to_be_heeded(digits: str) -> None:
    """A number with 5000 digits ends the call at once, and closes nothing for more than an hour."""
    refused = fields(f"Retry-After: {digits}", 'RateLimit: "all";r=0;t=1')
    rig = Rig((429, refused), 200)
    assert rig.get().status_code == 429
    assert "is closed for" in str(raised(rig.session, "https://api.example.com/"))
    assert rig.waits == []
    rig.clock.advance(3600)
    assert rig.get().status_code == 200


@pytest.mark.parametrize(
    ("digits", "waits"),
    [("0" * 2000 + "30", [30.0]), ("0" * 2000, []), ("\u0663" * 2000, []), ("9" * 2000 + "s", [])],
)
def test_zeros_in_front_make_no_number_larger(digits: str, waits: list[float]) -> None:
    """Two thousand zeros and 30 are 30 seconds; what is no number counts as absent."""
    retry = RetryPolicy(backoff=AT_ONCE)
    rig = Rig((429, {"Retry-After": digits}), 200, retry=retry, limits=UNPACED)
    assert rig.get().status_code == 200
    assert rig.waits == waits


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("Retry-After", "Sun, 09 Sep 2001 03:47:10 +0200", 30.0),
        ("Retry-After", "20010909T014710Z", 30.0),
        ("Retry-After-Seconds", "30", 30.0),
        ("Retry-After-Milliseconds", "30000", 30.0),
        ("retry-after-ms", "1000000030000", 30.0),
        ("X-Rate-Limit-Retry-After-Seconds", "30", 30.0),
    ],
)
def test_forms_of_a_wait(name: str, value: str, seconds: float) -> None:
    """A date with an offset, a date without hyphens, and units in names are read by rule."""
    rig = Rig((429, {name: value}), 200)
    assert rig.get().status_code == 200
    assert rig.waits == [seconds]


@pytest.mark.parametrize(
    "lines",
    [
        ["x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 1m0s"],
        [
            "anthropic-ratelimit-requests-limit: 50",
            "anthropic-ratelimit-requests-remaining: 49",
            "anthropic-ratelimit-requests-reset: 2001-09-09T01:46:41Z",
            "anthropic-ratelimit-output-tokens-limit: 8000",
            "anthropic-ratelimit-output-tokens-remaining: 0",
            "anthropic-ratelimit-output-tokens-reset: 2001-09-09T01:47:40Z",
        ],
        [SPENT, 'RateLimit-Policy: "default";q=100000;qu="content-bytes"'],
    ],
)
@pytest.mark.parametrize("status", [200, 429])
def test_without_tokens_no_request_is_sent_before_the_reset(status: int, lines: list[str]) -> None:
    """OpenAI and Anthropic count tokens; when none is left, the next attempt waits for more."""
    rig = Rig((status, fields(*lines)), 200)
    for _ in range(2 if status == 200 else 1):
        assert rig.get().status_code == 200
    assert sum(rig.waits) == pytest.approx(60.0)


def test_tokens_that_are_left_pace_no_requests() -> None:
    """How many requests 40 of 150000 tokens are good for is unknown: they are sent at once."""
    few = fields(
        "x-ratelimit-limit-tokens: 150000",
        "x-ratelimit-remaining-tokens: 40",
        "x-ratelimit-reset-tokens: 6m0s",
    )
    rig = Rig(*[(200, few)] * 60)
    for _ in range(60):
        rig.get()
    assert rig.waits == []


def test_a_limit_on_requests_counts_beside_one_on_tokens() -> None:
    """The last request of the window waits for the next one, however many tokens are left."""
    last = fields(
        "x-ratelimit-remaining-requests: 0",
        "x-ratelimit-reset-requests: 20s",
        "x-ratelimit-limit-tokens: 150000",
        "x-ratelimit-remaining-tokens: 149984",
        "x-ratelimit-reset-tokens: 6ms",
    )
    rig = Rig((200, last), 200)
    rig.get()
    rig.get()
    assert rig.waits == [20.0]


def test_an_answer_with_tokens_ends_the_wait_for_them() -> None:
    """A test of the limit shows that tokens are left again: the next requests do not wait."""
    tokens = "x-ratelimit-limit-tokens: 1000", "x-ratelimit-reset-tokens: 10m"
    none = fields("x-ratelimit-remaining-tokens: 0", *tokens)
    some = fields("x-ratelimit-remaining-tokens: 300", *tokens)
    rig = Rig((200, none), *[(200, some)] * 5, retry=RetryPolicy(deadline=30))
    for _ in range(5):
        rig.get()
    assert rig.waits == []


def test_a_limit_on_requests_under_way_names_no_time() -> None:
    """`concurrent-requests` says nothing of when the next request may be sent."""
    lines = SPENT, 'RateLimit-Policy: "default";q=5;qu="concurrent-requests"'
    rig = Rig((200, fields(*lines)), 200)
    rig.get()
    rig.get()
    assert rig.waits == []


def test_tokens_are_read_by_other_names_too() -> None:
    """The form of a name tells that a vendor counts tokens."""
    names = ["acme-ratelimit-tokens-remaining", "acme-ratelimit-tokens-reset"]
    spent = {"acme-ratelimit-tokens-remaining": "0", "acme-ratelimit-tokens-reset": "30"}
    rig = Rig((200, spent), 200, limits=RateLimits(headers=names))
    rig.get()
    rig.get()
    assert rig.waits == [30.0]


def test_a_partition_that_is_used_up_closes_no_other() -> None:
    """The server counts each user apart: a call for one goes on while another waits."""
    key = "RateLimit"
    rig = Rig(
        (200, {key: '"user";r=9;t=60;pk=:YQ==:'}),
        (200, {key: '"user";r=9;t=60;pk=:Yg==:'}),
        (200, {key: '"user";r=0;t=60;pk=:YQ==:'}),
        (200, {key: '"user";r=8;t=60;pk=:Yg==:'}),
        200,
    )
    assert isinstance(rig.inner, ScriptedAdapter)
    for path in ("/a/x", "/b/x", "/a/x", "/b/x"):
        rig.get(path)
    assert rig.waits == []
    rig.get("/a/x")
    assert sum(rig.waits) == pytest.approx(60.0)
