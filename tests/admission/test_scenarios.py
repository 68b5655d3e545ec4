"""Rate limits as scenarios: who calls when, what the server answers, and what happens.

Each test is a rule. Its first table says what the server answers to which path, its second one which
calls are made (seconds, name of the call, request), and its timeline what happens.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import Backoff, Jitter, RateLimits, RetryPolicy, override
from tests.support.limits import ONCE, UNPACED
from tests.support.scenario import Answer, World, closed_until, refused, timeline
from tests.support.virtual_time import BEGAN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests

    from requests_authretry import Settings
    from tests.support.scenario import Replies, Reply, Request

    Call = tuple[float, str, str]

SCOPES = pytest.mark.xfail(
    reason="the scope of a rate limit is not learned yet", strict=True, raises=AssertionError
)
DURATIONS = pytest.mark.xfail(
    reason="stores keep the end of a cool-down, and not its length", strict=True, raises=AssertionError
)
TWO_SECONDS = Backoff(initial=2.0, throttled_initial=2.0, multiplier=1.0, jitter=Jitter.NONE)
NAMELESS = "abcdefghijklmnopqrstu"
"""A part of a path with 21 characters."""


def happens(
    answers: Mapping[str, Replies], *calls: Call, takes: float = 0.0, **settings: Any
) -> list[str]:
    """Return the timeline of calls of one session, without pacing unless the settings have it."""
    world = World(answers, takes=takes)
    session = world.session(world.settings(**{"limits": UNPACED, **settings}))
    for at, name, request in calls:
        world.call(at, name, request, session)
    return world.run()


def github(resource: str, left: int, end: float) -> dict[str, str]:
    """Return GitHub's header fields; the window ends so many seconds after the beginning."""
    return {
        "X-RateLimit-Limit": "5000",
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": f"{BEGAN + end:.0f}",
        "X-RateLimit-Resource": resource,
    }


def discord(bucket: str, left: int, seconds: float) -> dict[str, str]:
    """Return Discord's header fields."""
    return {
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset-After": f"{seconds:g}",
        "X-RateLimit-Bucket": bucket,
    }


def policy(name: str, left: int, seconds: float, quota: int = 100) -> dict[str, str]:
    """Return the header fields of the RateLimit draft."""
    return {
        "RateLimit-Policy": f'"{name}";q={quota};w=60',
        "RateLimit": f'"{name}";r={left};t={seconds:g}',
    }


# 1. The scope of a rate limit is learned.


@SCOPES
def test_a_refusal_closes_its_endpoint_and_no_other() -> None:
    """After a refusal of GET /orders, other paths and methods are sent at once."""
    assert happens(
        {"GET /orders": [refused(10), 200]},
        (0, "A", "GET /orders"),
        (1, "B", "GET /users"),
        (1, "C", "POST /orders"),
        (1, "D", "GET /orders/items"),
        (1, "E", "GET https://other.example.com/orders"),
    ) == timeline("""
        0   A  GET /orders -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /users -> 200
        1   C  POST /orders -> 200
        1   D  GET /orders/items -> 200
        1   E  GET https://other.example.com/orders -> 200
        10  A  GET /orders -> 200
    """)


@SCOPES
def test_identifiers_in_a_path_make_no_endpoints_of_their_own() -> None:
    """/orders/17, /orders/v2x and /orders/<21 letters> are one endpoint, /orders/latest is another."""
    closed = closed_until(10)
    assert happens(
        {"/orders/17": closed, "/orders/18": closed},
        (0, "A", "GET /orders/17"),
        (1, "B", "GET /orders/18"),
        (2, "C", "GET /orders/v2x"),
        (2, "D", f"GET /orders/{NAMELESS}"),
        (2, "E", "GET /orders/latest"),
        (2, "F", f"GET /orders/{NAMELESS[:20]}"),
    ) == timeline(f"""
        0   A  GET /orders/17 -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /orders/18 -> 429
        1   B  waits 9 s: retry_after
        2   C  waits 8 s: cool-down
        2   D  waits 8 s: cool-down
        2   E  GET /orders/latest -> 200
        2   F  GET /orders/{NAMELESS[:20]} -> 200
        10  A  GET /orders/17 -> 200
        10  B  GET /orders/18 -> 200
        10  C  GET /orders/v2x -> 200
        10  D  GET /orders/{NAMELESS} -> 200
    """)


@SCOPES
def test_one_other_call_is_sent_as_a_test_and_if_it_is_refused_no_more_until_the_end() -> None:
    """B is the test, and is refused: C and D wait for the end of the cool-down."""
    assert happens(
        {"/orders": closed_until(10)},
        (0, "A", "GET /orders"),
        (1, "B", "GET /orders"),
        (2, "C", "GET /orders"),
        (3, "D", "GET /orders"),
    ) == timeline("""
        0   A  GET /orders -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /orders -> 429
        1   B  waits 9 s: retry_after
        2   C  waits 8 s: cool-down
        3   D  waits 7 s: cool-down
        10  A  GET /orders -> 200
        10  B  GET /orders -> 200
        10  C  GET /orders -> 200
        10  D  GET /orders -> 200
    """)


@SCOPES
def test_the_latest_end_that_a_refusal_named_is_the_end() -> None:
    """The refused test is told 20 s: A and C wait until then, too."""
    assert happens(
        {"/orders": [refused(10), refused(20), 200]},
        (0, "A", "GET /orders"),
        (1, "B", "GET /orders"),
        (2, "C", "GET /orders"),
    ) == timeline("""
        0   A  GET /orders -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /orders -> 429
        1   B  waits 20 s: retry_after
        2   C  waits 19 s: cool-down
        10  A  waits 11 s: cool-down
        21  A  GET /orders -> 200
        21  B  GET /orders -> 200
        21  C  GET /orders -> 200
    """)


@SCOPES
def test_after_the_end_of_a_cool_down_a_new_one_has_a_test_of_its_own() -> None:
    """B is the test of the first cool-down, and D the test of the second one."""
    assert happens(
        {"/orders": [refused(10), refused(9), 200, 200, refused(10), refused(9), 200]},
        (0, "A", "GET /orders"),
        (1, "B", "GET /orders"),
        (20, "C", "GET /orders"),
        (21, "D", "GET /orders"),
        (22, "E", "GET /orders"),
    ) == timeline("""
        0   A  GET /orders -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /orders -> 429
        1   B  waits 9 s: retry_after
        10  A  GET /orders -> 200
        10  B  GET /orders -> 200
        20  C  GET /orders -> 429
        20  C  waits 10 s: retry_after
        21  D  GET /orders -> 429
        21  D  waits 9 s: retry_after
        22  E  waits 8 s: cool-down
        30  C  GET /orders -> 200
        30  D  GET /orders -> 200
        30  E  GET /orders -> 200
    """)


@SCOPES
def test_if_the_test_passes_only_the_refused_call_waits() -> None:
    """The server refuses /orders/1 alone: after the test of /orders/2, /orders/3 is sent at once."""
    assert happens(
        {"/orders/1": [refused(10), 200]},
        (0, "A", "GET /orders/1"),
        (1, "B", "GET /orders/2"),
        (2, "C", "GET /orders/3"),
        (2, "D", "GET /orders/4"),
    ) == timeline("""
        0   A  GET /orders/1 -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /orders/2 -> 200
        2   C  GET /orders/3 -> 200
        2   D  GET /orders/4 -> 200
        10  A  GET /orders/1 -> 200
    """)


@SCOPES
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            Answer(200, takes=3),
            """
            0   A  GET /orders/1 -> 429
            0   A  waits 10 s: retry_after
            1   B  GET /orders/2 -> 200 after 3 s
            2   C  waits 2 s: cool-down
            3   D  waits 1 s: cool-down
            4   C  GET /orders/3 -> 200
            4   D  GET /orders/4 -> 200
            10  A  GET /orders/1 -> 200
            """,
        ),
        (
            refused(6, takes=3),
            """
            0   A  GET /orders/1 -> 429
            0   A  waits 10 s: retry_after
            1   B  GET /orders/2 -> 429 after 3 s
            2   C  waits 8 s: cool-down
            3   D  waits 7 s: cool-down
            4   B  waits 6 s: retry_after
            10  A  GET /orders/1 -> 200
            10  B  GET /orders/2 -> 200
            10  C  GET /orders/3 -> 200
            10  D  GET /orders/4 -> 200
            """,
        ),
    ],
    ids=["passes", "refused"],
)
def test_others_wait_while_the_test_is_under_way(answer: Answer, expected: str) -> None:
    """B's answer takes 3 s: C and D wait for it. If it passes they go at once, else at the end."""
    assert happens(
        {"/orders/1": [refused(10), 200], "/orders/2": [answer, 200]},
        (0, "A", "GET /orders/1"),
        (1, "B", "GET /orders/2"),
        (2, "C", "GET /orders/3"),
        (3, "D", "GET /orders/4"),
    ) == timeline(expected)


@SCOPES
def test_a_retry_is_no_test() -> None:
    """B is a retry whose backoff ends during the cool-down. It waits, and C is the test."""
    assert happens(
        {"/orders/1": [refused(10), 200], "/orders/2": [503, 200]},
        (0, "B", "GET /orders/2"),
        (1, "A", "GET /orders/1"),
        (3, "C", "GET /orders/3"),
        retry=RetryPolicy(backoff=TWO_SECONDS),
    ) == timeline("""
        0   B  GET /orders/2 -> 503
        0   B  waits 2 s: backoff
        1   A  GET /orders/1 -> 429
        1   A  waits 10 s: retry_after
        2   B  waits 1 s: cool-down
        3   C  GET /orders/3 -> 200
        3   B  GET /orders/2 -> 200
        11  A  GET /orders/1 -> 200
    """)


@SCOPES
def test_the_scope_widens_to_the_origin_when_a_second_endpoint_is_refused() -> None:
    """/orders and /users are refused: /items is the test, and is refused, so that /stock waits."""
    closed = closed_until(10)
    assert happens(
        {"/orders": closed, "/users": closed, "/items": closed},
        (0, "A", "GET /orders"),
        (1, "B", "GET /users"),
        (2, "C", "GET /items"),
        (3, "D", "GET /stock"),
        (4, "E", "POST /orders"),
        (4, "F", "GET https://other.example.com/stock"),
    ) == timeline("""
        0   A  GET /orders -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /users -> 429
        1   B  waits 9 s: retry_after
        2   C  GET /items -> 429
        2   C  waits 8 s: retry_after
        3   D  waits 7 s: cool-down
        4   E  waits 6 s: cool-down
        4   F  GET https://other.example.com/stock -> 200
        10  A  GET /orders -> 200
        10  B  GET /users -> 200
        10  C  GET /items -> 200
        10  D  GET /stock -> 200
        10  E  POST /orders -> 200
    """)


@SCOPES
def test_an_origin_whose_test_passes_narrows_to_the_refused_endpoints() -> None:
    """/orders and /users are refused, and the test of /items passes: /stock is sent at once."""
    closed = closed_until(10)
    assert happens(
        {"/orders": closed, "/users": closed},
        (0, "A", "GET /orders"),
        (1, "B", "GET /users"),
        (2, "C", "GET /items"),
        (3, "D", "GET /stock"),
        (3, "E", "POST /orders"),
    ) == timeline("""
        0   A  GET /orders -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /users -> 429
        1   B  waits 9 s: retry_after
        2   C  GET /items -> 200
        3   D  GET /stock -> 200
        3   E  POST /orders -> 200
        10  A  GET /orders -> 200
        10  B  GET /users -> 200
    """)


@SCOPES
def test_a_success_of_a_request_that_left_before_the_refusal_arrived_is_no_test() -> None:
    """B was under way when A's refusal arrived: C is the test, and D waits for C's answer."""
    assert happens(
        {"/orders/1": [refused(10, takes=1), 200], "/orders/2": [Answer(200, takes=2.5)]},
        (0, "A", "GET /orders/1"),
        (0.5, "B", "GET /orders/2"),
        (4, "C", "GET /orders/3"),
        (5, "D", "GET /orders/4"),
        takes=2,
    ) == timeline("""
        0    A  GET /orders/1 -> 429 after 1 s
        0.5  B  GET /orders/2 -> 200 after 2.5 s
        1    A  waits 10 s: retry_after
        4    C  GET /orders/3 -> 200 after 2 s
        5    D  waits 1 s: cool-down
        6    D  GET /orders/4 -> 200 after 2 s
        11   A  GET /orders/1 -> 200 after 2 s
    """)


@SCOPES
def test_a_refusal_of_a_request_that_left_before_the_first_one_arrived_is_no_test() -> None:
    """B was under way when A's refusal arrived, and was refused too: C is still sent as the test."""
    assert happens(
        {"/orders/1": [refused(10, takes=1), 200], "/orders/2": [refused(8, takes=2.5), 200]},
        (0, "A", "GET /orders/1"),
        (0.5, "B", "GET /orders/2"),
        (4, "C", "GET /orders/3"),
        (5, "D", "GET /orders/4"),
        takes=2,
    ) == timeline("""
        0    A  GET /orders/1 -> 429 after 1 s
        0.5  B  GET /orders/2 -> 429 after 2.5 s
        1    A  waits 10 s: retry_after
        3    B  waits 8 s: retry_after
        4    C  GET /orders/3 -> 200 after 2 s
        5    D  waits 1 s: cool-down
        6    D  GET /orders/4 -> 200 after 2 s
        11   A  GET /orders/1 -> 200 after 2 s
        11   B  GET /orders/2 -> 200 after 2 s
    """)


@SCOPES
def test_two_endpoints_that_were_refused_together_do_not_widen_the_scope() -> None:
    """B left before A's refusal had arrived: /items and /stock are both sent at once."""
    assert happens(
        {"/orders": [refused(10, takes=1), 200], "/users": [refused(8, takes=2), 200]},
        (0, "A", "GET /orders"),
        (0.5, "B", "GET /users"),
        (4, "C", "GET /items"),
        (4, "D", "GET /stock"),
        takes=1,
    ) == timeline("""
        0     A  GET /orders -> 429 after 1 s
        0.5   B  GET /users -> 429 after 2 s
        1     A  waits 10 s: retry_after
        2.5   B  waits 8 s: retry_after
        4     C  GET /items -> 200 after 1 s
        4     D  GET /stock -> 200 after 1 s
        10.5  B  GET /users -> 200 after 1 s
        11    A  GET /orders -> 200 after 1 s
    """)


@SCOPES
@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (
            5,
            """
            302  D  GET /orders/3 -> 200 after 1 s
            302  E  GET /orders/4 -> 200 after 1 s
            """,
        ),
        (
            11,
            """
            662  D  GET /orders/3 -> 200 after 1 s
            662  E  waits 1 s: cool-down
            663  E  GET /orders/4 -> 200 after 1 s
            """,
        ),
    ],
)
def test_an_endpoint_stays_narrowed_to_single_calls_for_ten_minutes(
    minutes: int, expected: str
) -> None:
    """B's test has passed. At the next refusal of /orders/1 within ten minutes no other waits."""
    begun = minutes * 60.0
    happened = happens(
        {"/orders/1": [refused(10), 200, refused(10), 200]},
        (0, "A", "GET /orders/1"),
        (2, "B", "GET /orders/2"),
        (begun, "C", "GET /orders/1"),
        (begun + 2, "D", "GET /orders/3"),
        (begun + 2, "E", "GET /orders/4"),
        takes=1,
    )
    assert [line for line in happened if line.split()[1] in "DE"] == timeline(expected)


@SCOPES
@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (
            5,
            """
            304  F  GET /items -> 200 after 1 s
            304  G  GET /stock -> 200 after 1 s
            """,
        ),
        (
            11,
            """
            664  F  GET /items -> 200 after 1 s
            664  G  waits 1 s: cool-down
            665  G  GET /stock -> 200 after 1 s
            """,
        ),
    ],
)
def test_an_origin_stays_narrowed_to_endpoints_for_ten_minutes(minutes: int, expected: str) -> None:
    """C's test of the origin has passed: two refused endpoints do not close it in ten minutes."""
    begun = minutes * 60.0
    twice = [refused(20), 200, refused(20), 200]
    happened = happens(
        {"/orders": twice, "/users": twice},
        (0, "A", "GET /orders"),
        (2, "B", "GET /users"),
        (4, "C", "GET /items"),
        (begun, "D", "GET /orders"),
        (begun + 2, "E", "GET /users"),
        (begun + 4, "F", "GET /items"),
        (begun + 4, "G", "GET /stock"),
        takes=1,
    )
    assert [line for line in happened if line.split()[1] in "FG"] == timeline(expected)


@SCOPES
def test_each_process_may_send_one_test() -> None:
    """D and B are the tests of two processes that share a store: both are refused, E and F wait."""
    closed = closed_until(11.5)
    world = World({"/orders": lambda request: closed(request) if request.number else 200})
    here = world.session(world.settings(store=world.store, limits=UNPACED))
    there = world.session(
        world.settings(store=world.store, limits=UNPACED, clock=world.process())
    )
    world.call(1, "X", "GET /orders", there)
    world.call(1.5, "A", "GET /orders", here)
    world.call(2.5, "Y", "GET /health", there)
    world.call(3, "D", "GET /orders", here)
    world.call(3, "B", "GET /orders", there)
    world.call(4, "E", "GET /orders", here)
    world.call(4, "F", "GET /orders", there)
    assert world.run() == timeline("""
        1     X  GET /orders -> 200
        1.5   A  GET /orders -> 429
        1.5   A  waits 10 s: retry_after
        2.5   Y  GET /health -> 200
        3     D  GET /orders -> 429
        3     D  waits 8.5 s: retry_after
        3     B  GET /orders -> 429
        3     B  waits 8.5 s: retry_after
        4     E  waits 7.5 s: cool-down
        4     F  waits 7.5 s: cool-down
        11.5  A  GET /orders -> 200
        11.5  D  GET /orders -> 200
        11.5  E  GET /orders -> 200
        11.5  B  GET /orders -> 200
        11.5  F  GET /orders -> 200
    """)


@SCOPES
def test_a_narrower_scope_lifts_the_cool_down_and_not_the_pace() -> None:
    """After B's test has passed, twenty calls wait for no cool-down, and are spread by the pace."""
    happened = happens(
        {"/orders/1": [refused(10), 200]},
        (0, "A", "GET /orders/1"),
        (1, "B", "GET /orders/2"),
        *[(2, f"C{number}", f"GET /orders/{number + 3}") for number in range(20)],
        limits=RateLimits(),
    )
    of_others = [line for line in happened if line.split()[1][0] == "C"]
    waits = {line.rpartition(": ")[2] for line in of_others if "waits" in line}
    times = [float(line.split()[0]) for line in of_others if "->" in line]
    assert waits == {"pacing"}
    assert (len(times), min(times)) == (20, 2.0)
    assert 3.0 < max(times) < 10.0


@SCOPES
def test_an_endpoint_with_a_window_of_its_own_stops_no_other_one() -> None:
    """Search is closed for 880 s, as at Twitter: users go on, and one more search goes and asks."""
    assert happens(
        {"/2/tweets/search/recent": [refused(880)]},
        (0, "A", "GET /2/tweets/search/recent"),
        (1, "B", "GET /2/users/me"),
        (2, "C", "GET /2/tweets/search/recent"),
        (3, "D", "GET /2/tweets/search/recent"),
        (4, "E", "GET /2/users/17"),
    ) == timeline("""
        0  A  GET /2/tweets/search/recent -> 429
        0  A  ends with 429: no attempt fits before the deadline
        1  B  GET /2/users/me -> 200
        2  C  GET /2/tweets/search/recent -> 429
        2  C  ends with 429: no attempt fits before the deadline
        3  D  is not sent
        4  E  GET /2/users/17 -> 200
    """)
