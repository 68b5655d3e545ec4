"""Rate limits as scenarios: who calls when, what the server answers, and what happens.

Each test is a rule. Its first table says what the server answers to which path, its second one
which calls are made (seconds, name of the call, request), and its timeline what happens.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from contextvars import copy_context
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import Backoff, Jitter, RateLimits, RetryPolicy, override
from requests_authretry._admission import field_memory, policy_names, rate_limiter
from requests_authretry.dialects import _choice
from tests.support.limits import ONCE, UNPACED
from tests.support.scenario import Answer, World, closed_until, refused, timeline
from tests.support.sessions import API
from tests.support.virtual_time import BEGAN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from requests_authretry import Settings
    from tests.support.scenario import Replies, Reply, Request, Sends

    Call = tuple[float, str, str]

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


def resource(name: str, left: int, seconds: float) -> dict[str, str]:
    """Return GitHub's header fields, of an answer at the beginning."""
    return {
        "X-RateLimit-Limit": "5000",
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": f"{BEGAN + seconds:.0f}",
        "X-RateLimit-Resource": name,
    }


def bucket(name: str, left: int, seconds: float) -> dict[str, str]:
    """Return Discord's header fields."""
    return {
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset-After": f"{seconds:g}",
        "X-RateLimit-Bucket": name,
    }


def policy(name: str, left: int, seconds: float) -> dict[str, str]:
    """Return the header fields of the RateLimit draft."""
    return {
        "RateLimit-Policy": f'"{name}";q=100;w=60',
        "RateLimit": f'"{name}";r={left};t={seconds:g}',
    }


# 1. The scope of a rate limit is learned.


def test_a_refusal_closes_its_endpoint_and_no_other() -> None:
    """After a refusal of GET /orders, all calls of other paths and methods are sent at once."""
    assert happens(
        {"GET /orders": [refused(10), 200]},
        (0, "A", "GET /orders"),
        (2, "B", "GET /users"),
        (2, "C", "POST /orders"),
        (2, "D", "POST /orders"),
        (2, "E", "GET /orders/items"),
        (2, "F", "GET /orders/items"),
        (2, "G", "GET https://other.example.com/orders"),
        takes=1,
    ) == timeline("""
        0   A  GET /orders -> 429 after 1 s
        1   A  waits 10 s: retry_after
        2   B  GET /users -> 200 after 1 s
        2   C  POST /orders -> 200 after 1 s
        2   D  POST /orders -> 200 after 1 s
        2   E  GET /orders/items -> 200 after 1 s
        2   F  GET /orders/items -> 200 after 1 s
        2   G  GET https://other.example.com/orders -> 200 after 1 s
        11  A  GET /orders -> 200 after 1 s
    """)


def test_identifiers_in_a_path_make_no_endpoints_of_their_own() -> None:
    """/orders/17 and /orders/<21 letters> are one endpoint, /orders/latest is another."""
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


def test_each_cool_down_has_a_test_of_its_own() -> None:
    """B is the test of the first cool-down, C that of the second one, which A's retry begins."""
    assert happens(
        {"/orders": [refused(10), refused(9), refused(10), refused(9), 200]},
        (0, "A", "GET /orders"),
        (1, "B", "GET /orders"),
        (11, "C", "GET /orders"),
        (12, "D", "GET /orders"),
    ) == timeline("""
        0   A  GET /orders -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /orders -> 429
        1   B  waits 9 s: retry_after
        10  A  GET /orders -> 429
        10  A  waits 10 s: retry_after
        10  B  waits 10 s: cool-down
        11  C  GET /orders -> 429
        11  C  waits 9 s: retry_after
        12  D  waits 8 s: cool-down
        20  B  GET /orders -> 200
        20  A  GET /orders -> 200
        20  C  GET /orders -> 200
        20  D  GET /orders -> 200
    """)


def test_if_the_test_passes_only_the_refused_call_waits() -> None:
    """The server refuses /orders/1 alone: after the test of /orders/2 all others are sent."""
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


def test_an_origin_whose_test_passes_narrows_to_the_refused_endpoints() -> None:
    """/orders and /users are refused, and the test of /items passes: /stock is sent at once."""
    closed = closed_until(10)
    assert happens(
        {"/orders": closed, "/users": closed},
        (0, "A", "GET /orders"),
        (1, "B", "GET /users"),
        (2, "C", "GET /items"),
        (3, "D", "GET /stock"),
        (3, "E", "POST /items"),
    ) == timeline("""
        0   A  GET /orders -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /users -> 429
        1   B  waits 9 s: retry_after
        2   C  GET /items -> 200
        3   D  GET /stock -> 200
        3   E  POST /items -> 200
        10  A  GET /orders -> 200
        10  B  GET /users -> 200
    """)


def test_an_origin_is_closed_until_the_earliest_end_and_tested_elsewhere() -> None:
    """/users is closed for 10 s and /orders for an hour: the origin opens after 10 s.

    C goes to an endpoint that is closed itself, so that it is no test; D is the test.
    """
    closed = closed_until(10)
    assert happens(
        {"/users": closed, "/orders": [refused(3600)], "/items": closed},
        (0, "A", "GET /users"),
        (2, "B", "GET /orders"),
        (3, "C", "GET /users"),
        (4, "D", "GET /items"),
        (5, "E", "GET /stock"),
    ) == timeline("""
        0   A  GET /users -> 429
        0   A  waits 10 s: retry_after
        2   B  GET /orders -> 429
        2   B  ends with 429: no attempt fits before the deadline
        3   C  waits 7 s: cool-down
        4   D  GET /items -> 429
        4   D  waits 6 s: retry_after
        5   E  waits 5 s: cool-down
        10  A  GET /users -> 200
        10  D  GET /items -> 200
        10  C  GET /users -> 200
        10  E  GET /stock -> 200
    """)


def test_an_endpoint_that_answers_meanwhile_shows_that_the_origin_is_open() -> None:
    """/users answers after /orders was refused: the refusal of /items closes /items alone."""
    closed = closed_until(10)
    assert happens(
        {"/orders": closed, "/items": closed},
        (0, "A", "GET /orders"),
        (1, "B", "GET /users"),
        (2, "C", "GET /items"),
        (3, "D", "GET /items"),
        (4, "E", "GET /stock"),
    ) == timeline("""
        0   A  GET /orders -> 429
        0   A  waits 10 s: retry_after
        1   B  GET /users -> 200
        2   C  GET /items -> 429
        2   C  waits 8 s: retry_after
        3   D  GET /items -> 429
        3   D  waits 7 s: retry_after
        4   E  GET /stock -> 200
        10  A  GET /orders -> 200
        10  C  GET /items -> 200
        10  D  GET /items -> 200
    """)


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


def test_a_request_that_left_before_a_short_cool_down_is_no_test() -> None:
    """C leaves when the first cool-down is over, before B is refused: D closes the endpoint."""
    answers: list[Reply] = [
        refused(10),
        refused("0.4", takes=0.05),
        Answer(takes=0.1),
        refused(30),
        refused(30),
        200,
    ]
    assert happens(
        {"/orders": answers},
        (0, "A", "GET /orders"),
        (10, "B", "GET /orders"),
        (10.01, "C", "GET /orders"),
        (12, "D", "GET /orders"),
        (13, "T", "GET /orders"),
        (14, "E", "GET /orders"),
        retry=ONCE,
        limits=RateLimits(),
    )[-2:] == timeline("""
        14  E  waits 29 s: cool-down
        43  E  GET /orders -> 200
    """)


def test_a_refusal_of_a_request_that_left_before_the_first_one_arrived_is_no_test() -> None:
    """B was under way when A's refusal arrived, and was refused too: C is the test all the same."""
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


@pytest.mark.parametrize("refused_again", [5, 70])
def test_an_endpoint_that_is_open_again_widens_no_scope(refused_again: int) -> None:
    """A limit covers single orders, as the test T shows: with /users it does not cover /carts."""
    lines = happens(
        {"/orders": [refused(60), 200, refused(60)], "/users": [refused(60)]},
        (0, "A", "GET /orders"),
        (1, "T", "GET /orders"),
        (refused_again, "B", "GET /orders"),
        (refused_again + 5, "C", "GET /users"),
        (refused_again + 10, "D", "GET /health"),
        (refused_again + 10, "E", "GET /carts"),
        takes=1.0,
        retry=ONCE,
    )
    assert not [line for line in lines if "waits" in line]


def test_an_endpoint_is_open_again_after_an_hour_and_widens_no_scope() -> None:
    """A server wants no order for years, and refuses users much later: other requests go on."""
    lines = happens(
        {"/orders": [refused(100_000_000), refused(1)], "/users": [refused(60)]},
        (0, "A", "GET /orders"),
        (3500, "B", "GET /orders"),
        (7000, "C", "GET /users"),
        (7010, "D", "GET /health"),
        (7010, "E", "GET /carts"),
        takes=1.0,
        retry=ONCE,
    )
    assert not [line for line in lines if "waits" in line]


def test_a_refusal_that_ends_later_hides_no_evidence() -> None:
    """C left after A's refusal had arrived, and before B's had: two endpoints widen the scope."""
    assert happens(
        {
            "/orders": [refused(10, takes=1), 200],
            "/users": [refused(20, takes=2.5), 200],
            "/items": [refused(9, takes=2), 200],
        },
        (0, "A", "GET /orders"),
        (0.5, "B", "GET /users"),
        (2, "C", "GET /items"),
        (5, "D", "GET /stock"),
        (5, "E", "GET /prices"),
        takes=1,
    )[5:9] == timeline("""
        4  C  waits 9 s: retry_after
        5  D  GET /stock -> 200 after 1 s
        5  E  waits 1 s: cool-down
        6  E  GET /prices -> 200 after 1 s
    """)


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
    twice: list[Reply] = [refused(20), 200, refused(20), 200]
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


def test_each_process_may_send_one_test() -> None:
    """D and B are the tests of two processes that share a store: both are refused, E and F wait."""
    closed = closed_until(11.5)
    world = World({"/orders": lambda request: closed(request) if request.number else 200})
    here = world.session(world.settings(store=world.store, limits=UNPACED))
    there = world.session(world.settings(store=world.store, limits=UNPACED, clock=world.process()))
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
        11.5  B  GET /orders -> 200
        11.5  E  GET /orders -> 200
        11.5  F  GET /orders -> 200
    """)


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
    assert 2.25 < max(times) < 10.0


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


# 1, continued: what the server names is a scope, whatever the path looks like.


@pytest.mark.parametrize("base", ["", "/api/v3", "/api/v10"])
@pytest.mark.parametrize("named", [resource, bucket, policy])
@pytest.mark.parametrize("status", [403, 429])
def test_a_limit_that_the_server_names_is_a_scope_and_is_not_tested(
    status: int, named: Callable[[str, int, float], dict[str, str]], base: str
) -> None:
    """The limit "search" is used up for 30 s: D and E wait, C and F have other limits."""
    assert happens(
        {
            f"{base}/repos": [Answer(200, named("core", 90, 30))],
            f"{base}/search/code": [Answer(status, named("search", 0, 30)), 200],
        },
        (0, "A", f"GET {base}/repos"),
        (0, "B", f"GET {base}/search/code"),
        (1, "C", f"GET {base}/repos"),
        (2, "D", f"GET {base}/search/issues"),
        (3, "E", f"POST {base}/search/code"),
        (3, "F", f"GET {base}/users"),
    ) == timeline(f"""
        0   A  GET {base}/repos -> 200
        0   B  GET {base}/search/code -> {status}
        0   B  waits 30 s: retry_after
        1   C  GET {base}/repos -> 200
        2   D  waits 28 s: cool-down
        3   E  waits 27 s: cool-down
        3   F  GET {base}/users -> 200
        30  B  GET {base}/search/code -> 200
        30  D  GET {base}/search/issues -> 200
        30  E  POST {base}/search/code -> 200
    """)


def test_a_policy_is_that_of_its_caller_and_method() -> None:
    """Ann's writes have a limit of their own: Bob, who has another plan, and her reads go on."""

    def answer(request: Request) -> Reply:
        name = f"{request.headers['Authorization']} {request.name[:4]}"
        if request.caller in {"A", "E"} and request.time < 30:
            return Answer(429, {"Retry-After": "30", **policy(name, 0, 30)})
        return Answer(200, policy(name, 90, 30))

    world = World({"/orders": answer})
    settings = world.settings(limits=UNPACED, retry=ONCE)
    ann, bob = (world.session(settings, {"Authorization": name}) for name in ("ann", "bob"))
    world.call(0, "A", "POST /orders", ann)
    world.call(1, "B", "POST /orders", bob)
    world.call(2, "C", "GET /orders", bob)
    world.call(3, "D", "GET /orders", bob)
    world.call(4, "E", "POST /orders", ann)
    assert world.run() == timeline("""
        0   A  POST /orders -> 429
        0   A  ends with 429: all attempts are used up
        1   B  POST /orders -> 200
        2   C  GET /orders -> 200
        3   D  GET /orders -> 200
        4   E  waits 26 s: cool-down
        30  E  POST /orders -> 200
    """)


def test_other_methods_of_a_path_may_have_another_policy() -> None:
    """Writes are refused, and named so, after a read was let pass: other reads go on."""

    def answer(request: Request) -> Reply:
        if request.name.startswith("POST") and request.time < 30:
            return Answer(429, {"Retry-After": "30", **policy("write", 0, 30)})
        return Answer(200, policy("read", 90, 30))

    assert happens(
        {"/orders": answer},
        (0, "A", "GET /orders"),
        (1, "B", "POST /orders"),
        (2, "C", "GET /orders"),
        (3, "D", "POST /orders"),
        retry=ONCE,
    ) == timeline("""
        0   A  GET /orders -> 200
        1   B  POST /orders -> 429
        1   B  ends with 429: all attempts are used up
        2   C  GET /orders -> 200
        3   D  waits 28 s: cool-down
        31  D  POST /orders -> 200
    """)


@pytest.mark.parametrize("named", [3590, 7190, 7250])
def test_a_policy_is_expected_as_long_as_its_cool_down_lasts(named: int) -> None:
    """The server has named the policy for an hour or two, when it refuses for 60 s."""
    answers: list[Reply] = [
        Answer(200, policy("all", 90, 30)),
        Answer(429, policy("all", 0, 60)),
        200,
    ]
    lines = happens(
        {"/orders": answers},
        (0, "A", "GET /orders"),
        (named, "B", "GET /orders"),
        (named + 20, "C", "GET /orders"),
        retry=ONCE,
    )
    assert f"{named + 20} C waits 40 s: cool-down" in lines


SEARCH = policy("search", 0, 10)


def used_up(seconds: float) -> list[Reply]:
    """Return a refusal that names the limit "search", after 3 s; then 200."""
    return [Answer(429, {"Retry-After": f"{seconds:g}", **SEARCH}, takes=3), 200]


def test_what_a_refused_call_waits_after_its_own_time_is_a_cool_down() -> None:
    """B has to wait 10 s, and the endpoint is closed for 30 s, as A was told."""
    assert happens(
        {"/orders": [refused(30, takes=1), refused(10, takes=1), 200]},
        (0, "A", "GET /orders"),
        (0, "B", "GET /orders"),
    ) == timeline("""
        0   A  GET /orders -> 429 after 1 s
        0   B  GET /orders -> 429 after 1 s
        1   A  waits 30 s: retry_after
        1   B  waits 10 s: retry_after
        11  B  waits 20 s: cool-down
        31  A  GET /orders -> 200
        31  B  GET /orders -> 200
    """)


def test_refused_calls_go_before_new_ones_of_their_scope() -> None:
    """N waits for longer than C, and goes after all that were refused, who go in their order."""
    assert happens(
        {"/search/a": used_up(10), "/search/b": used_up(9), "/search/c": used_up(8)},
        (0, "A", "GET /search/a"),
        (1, "B", "GET /search/b"),
        (4.5, "N", "GET /search/n"),
        (2, "C", "GET /search/c"),
    ) == timeline("""
        0    A  GET /search/a -> 429 after 3 s
        1    B  GET /search/b -> 429 after 3 s
        2    C  GET /search/c -> 429 after 3 s
        3    A  waits 10 s: retry_after
        4    B  waits 9 s: retry_after
        4.5  N  waits 8.5 s: cool-down
        5    C  waits 8 s: retry_after
        13   A  GET /search/a -> 200
        13   B  GET /search/b -> 200
        13   C  GET /search/c -> 200
        13   N  GET /search/n -> 200
    """)


@pytest.mark.parametrize(
    ("fields", "other"),
    [
        pytest.param(SEARCH, "GET /core", id="another policy"),
        pytest.param({}, "GET /users", id="another endpoint"),
    ],
)
def test_refused_calls_never_delay_those_of_another_scope(
    fields: dict[str, str], other: str
) -> None:
    """Ten refused calls are sent at a pace from 11 s on. N, of another scope, is sent at once."""
    server = {"/core": [Answer(200, policy("core", 90, 10))]}
    refusals: list[Reply] = [Answer(429, {"Retry-After": "10", **fields}, takes=1), 200]
    ten = [(0.0, f"R{number}", f"GET /search/{number}") for number in range(10)]
    happened = happens(
        {**server, **{f"/search/{number}": refusals for number in range(10)}},
        (0, "A", "GET /core"),
        *ten,
        (11.1, "N", other),
        limits=RateLimits(),
    )
    assert [line for line in happened if " N " in line] == [f"11.1 N {other} -> 200"]
    last = happened[-1].split()
    assert (last[1], float(last[0]) > 11.1) == ("R9", True)


def test_a_first_attempt_that_would_come_too_late_is_not_sent() -> None:
    """The server named the limit, which is closed for 10 s: C has 5 s, is not tested nor sent."""
    assert happens(
        {"/search/a": used_up(10)},
        (0, "A", "GET /search/a"),
        (4, "C", "GET /search/c"),
        retry=RetryPolicy(max_attempts=1, deadline=5),
    ) == timeline("""
        0  A  GET /search/a -> 429 after 3 s
        3  A  ends with 429: all attempts are used up
        4  C  is not sent
    """)


@pytest.mark.parametrize(
    ("deadline", "expected"),
    [
        (10.2, ["0 B waits 10 s: cool-down", "10 B GET /search/b -> 200"]),
        (10.05, ["0 B is not sent"]),
        (9.9, ["0 B is not sent"]),
    ],
)
def test_a_cool_down_that_ends_less_than_a_tenth_before_the_deadline_is_too_long(
    deadline: float, expected: list[str]
) -> None:
    """The limit is closed for 10 s: a call that has 10.2 s waits, and one with 10.05 s does not."""
    refusal = Answer(429, {"Retry-After": "10", **SEARCH})
    happened = happens(
        {"/search/a": [refusal]},
        (0, "A", "GET /search/a"),
        (0, "B", "GET /search/b"),
        retry=RetryPolicy(max_attempts=1, deadline=deadline),
    )
    assert [line for line in happened if " B " in line] == expected


def test_a_cool_down_takes_an_hour_at_most() -> None:
    """A is told two hours, and waits for them. B, of the same limit, is sent after one hour."""
    refusal = Answer(429, {"Retry-After": "7200", **SEARCH})
    assert happens(
        {"/search/a": [refusal, 200]},
        (0, "A", "GET /search/a"),
        (1, "B", "GET /search/b"),
        retry=RetryPolicy(deadline=20_000),
    ) == timeline("""
        0     A  GET /search/a -> 429
        0     A  waits 7200 s: retry_after
        1     B  waits 3599 s: cool-down
        3600  B  GET /search/b -> 200
        7200  A  GET /search/a -> 200
    """)


@pytest.mark.parametrize(
    ("status", "fields", "waits"),
    [
        (429, {"Retry-After": "10"}, True),
        (503, {"Retry-After": "10"}, True),
        (403, {"Retry-After": "10"}, True),
        (429, policy("search", 0, 10), True),
        (403, policy("search", 0, 10), True),
        (503, {}, False),
        (403, {}, False),
        (500, {"Retry-After": "10"}, False),
        (502, {"Retry-After": "10"}, False),
    ],
)
def test_a_refusal_holds_back_its_scope_and_another_failure_does_not(
    status: int,
    fields: dict[str, str],
    waits: bool,  # noqa: FBT001
) -> None:
    """A 429, and a 503 or 403 with a time, hold back B, which has the same limit."""
    named = {**policy("search", 90, 10), **fields}
    happened = happens(
        {"/search/a": [Answer(status, named)]},
        (0, "A", "GET /search/a"),
        (2, "B", "GET /search/b"),
        retry=ONCE,
    )
    held = ["2 B waits 8 s: cool-down", "10 B GET /search/b -> 200"]
    assert happened[-2:] == held if waits else happened[-1] == "2 B GET /search/b -> 200"


# 2. Callers with other credentials never hold one another back.


class Overridden:
    """A session whose calls are made in one block with other settings."""

    def __init__(self, session: requests.Session, **changes: Any) -> None:
        self._session = session
        with override(**changes):
            self._block = copy_context()

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Send from the block."""
        return self._block.copy().run(self._session.request, *args, **options)


class Key(requests.auth.AuthBase):
    """Signs with a key in a header."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["X-API-Key"] = self._key
        return request


def by_header(name: str, form: str = "{}") -> Callable[[World, Settings, str], Sends]:
    """Return what makes a session whose requests have a header."""
    return lambda world, settings, who: world.session(settings, {name: form.format(who)})


def by_auth(world: World, settings: Settings, who: str) -> Sends:
    """Return a session with a name and a password."""
    session = world.session(settings)
    session.auth = (who, "password")
    return session


def by_cookie(world: World, settings: Settings, who: str) -> Sends:
    """Return a session with a cookie."""
    session = world.session(settings)
    session.cookies.set("sid", who)
    return session


WAYS: dict[str, Callable[[World, Settings, str], Sends]] = {
    "Authorization": by_header("Authorization", "Bearer {}"),
    "X-API-Key": by_header("X-API-Key"),
    "PRIVATE-TOKEN": by_header("PRIVATE-TOKEN"),
    "AWS4": by_header(
        "Authorization", "AWS4-HMAC-SHA256 Credential={}/x/aws4_request, Signature=1"
    ),
    "Basic": by_auth,
    "cookie": by_cookie,
    "override(token)": lambda world, settings, who: Overridden(
        world.session(settings), token=who, origins=[API]
    ),
    "override(auth)": lambda world, settings, who: Overridden(
        world.session(settings), auth=Key(who), origins=[API]
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_refusal_of_one_caller_holds_back_no_other(
    way: Callable[[World, Settings, str], Sends],
) -> None:
    """Alice's limit is used up for 30 s. Bob, with the same settings, goes on; Alice waits."""
    refusal = Answer(429, {"Retry-After": "30", **policy("search", 0, 30)})
    world = World({"/orders": [refusal, 200]})
    settings = world.settings(limits=UNPACED)
    alice, bob = way(world, settings, "alice"), way(world, settings, "bob")
    world.call(0, "Alice", "GET /orders", alice)
    world.call(1, "Bob", "GET /orders", bob)
    world.call(2, "Alice-again", "GET /orders", alice)
    world.call(2, "Bob-again", "GET /orders", bob)
    assert world.run() == timeline("""
        0   Alice        GET /orders -> 429
        0   Alice        waits 30 s: retry_after
        1   Bob          GET /orders -> 200
        2   Alice-again  waits 28 s: cool-down
        2   Bob-again    GET /orders -> 200
        30  Alice        GET /orders -> 200
        30  Alice-again  GET /orders -> 200
    """)


# 3. `retry_after`: what the server may say, and what a call does then.

IN_SEVEN_SECONDS = "Sun, 09 Sep 2001 01:46:47 GMT"
"""A date 7 s after the beginning of every world."""


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"Retry-After": "2"}, "2 s: retry_after", id="seconds"),
        pytest.param({"Retry-After": "1.5"}, "1.5 s: retry_after", id="a fraction"),
        pytest.param({"Retry-After": IN_SEVEN_SECONDS}, "7 s: retry_after", id="a date"),
        pytest.param({"Retry-After": "2001-09-09T01:46:47Z"}, "7 s: retry_after", id="ISO 8601"),
        pytest.param({"Retry-After": f"{BEGAN + 7:.0f}"}, "7 s: retry_after", id="epoch"),
        pytest.param({"Retry-After": f"{BEGAN + 7:.0f}000"}, "7 s: retry_after", id="epoch in ms"),
        pytest.param({"Retry-After": "1m30s"}, "90 s: retry_after", id="a duration"),
        pytest.param({"Retry-After-Ms": "2500"}, "2.5 s: retry_after", id="milliseconds"),
        pytest.param(
            {"Retry-After": "2", **policy("a", 0, 60)}, "2 s: retry_after", id="before a reset"
        ),
        pytest.param(
            {"Retry-After": "60", **policy("a", 0, 2)}, "60 s: retry_after", id="after a reset"
        ),
        pytest.param(
            {"Retry-After": "2", **resource("a", 0, 900)}, "2 s: retry_after", id="before an epoch"
        ),
        pytest.param(policy("a", 0, 7), "7 s: retry_after", id="a reset alone"),
        pytest.param({"Retry-After": "0"}, "0.5 s: backoff", id="zero"),
        pytest.param({"Retry-After": "0.2"}, "0.5 s: backoff", id="less than the backoff"),
        pytest.param({"Retry-After": "0.7"}, "0.7 s: retry_after", id="more than the backoff"),
        pytest.param(
            {"Retry-After": f"{BEGAN - 7:.0f}"}, "0.5 s: backoff", id="an epoch that passed"
        ),
        pytest.param(
            {"Retry-After": "Sun, 09 Sep 2001 01:46:33 GMT"},
            "0.5 s: backoff",
            id="a date that passed",
        ),
        pytest.param({"Retry-After": "-5"}, "0.5 s: backoff", id="negative"),
        pytest.param({"Retry-After": "soon"}, "0.5 s: backoff", id="malformed"),
        pytest.param({}, "0.5 s: backoff", id="nothing"),
    ],
)
def test_a_refused_call_waits_as_long_as_the_server_says(
    fields: dict[str, str], expected: str
) -> None:
    """`Retry-After: 2` beside a reset in 60 s is a wait of 2 s; 0 is a backoff of 0.5 s here."""
    seconds = expected.partition(" ")[0]
    server: list[Reply] = [Answer(429, fields), 200]
    happened = happens({"/orders": server}, (0, "A", "GET /orders"), limits=RateLimits())
    assert happened == timeline(f"""
        0          A  GET /orders -> 429
        0          A  waits {expected}
        {seconds}  A  GET /orders -> 200
    """)


@pytest.mark.parametrize(
    ("retry_after", "is_waited"),
    [("9.9", True), ("9.95", False), ("10", False), ("100000", False)],
)
def test_a_wait_that_ends_less_than_a_tenth_before_the_deadline_is_too_long(
    retry_after: str,
    is_waited: bool,  # noqa: FBT001
) -> None:
    """Of a deadline of 10 s, 9.9 s are waited; with 9.95 s and more the call ends at once."""
    expected = f"""
        0              A  GET /orders -> 429
        0              A  waits {retry_after} s: retry_after
        {retry_after}  A  GET /orders -> 200
    """
    too_long = """
        0  A  GET /orders -> 429
        0  A  ends with 429: no attempt fits before the deadline
    """
    assert happens(
        {"/orders": [refused(retry_after), 200]},
        (0, "A", "GET /orders"),
        retry=RetryPolicy(deadline=10),
    ) == timeline(expected if is_waited else too_long)


@pytest.mark.parametrize("seconds", ["4000", "10000000000", f"{BEGAN + 4000:.0f}", "9" * 400])
def test_a_number_of_seconds_however_large_is_never_waited_for_less(seconds: str) -> None:
    """A call that has a day is told to wait for an hour and more: it does, or it ends at once."""
    happened = happens(
        {"/orders": [refused(seconds), 200]},
        (0, "A", "GET /orders"),
        retry=RetryPolicy(deadline=86_400),
    )
    is_short = float(seconds) in {4000, BEGAN + 4000}
    waited = ["0 A waits 4000 s: retry_after", "4000 A GET /orders -> 200"]
    ended = ["0 A ends with 429: no attempt fits before the deadline"]
    assert happened[1:] == (waited if is_short else ended)


def test_a_200_with_retry_after_delays_the_next_request_of_that_scope() -> None:
    """A's answer is 200 and names 7 s: B waits for the rest of them."""
    assert happens(
        {"/orders": [Answer(200, {"Retry-After": "7"}), 200]},
        (0, "A", "GET /orders"),
        (1, "B", "GET /orders"),
    ) == timeline("""
        0  A  GET /orders -> 200
        1  B  waits 6 s: cool-down
        7  B  GET /orders -> 200
    """)


def test_a_200_with_retry_after_delays_no_request_of_another_scope() -> None:
    """A's answer is 200 and names 7 s: B goes to another endpoint, at once."""
    assert happens(
        {"/orders": [Answer(200, {"Retry-After": "7"}), 200]},
        (0, "A", "GET /orders"),
        (1, "B", "GET /users"),
    ) == timeline("""
        0  A  GET /orders -> 200
        1  B  GET /users -> 200
    """)


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (200, {"Retry-After": "0"}),
        (200, {"Retry-After": "7", "Age": "3"}),
        (201, {"Retry-After": "7"}),
        (202, {"Retry-After": "7"}),
        (304, {"Retry-After": "7"}),
        (404, {"Retry-After": "7"}),
    ],
)
def test_retry_after_of_other_answers_delays_no_request(
    status: int, fields: dict[str, str]
) -> None:
    """A 202 says when its result will be there, and a cache repeats an old time: B goes at once."""
    assert happens(
        {"/orders": [Answer(status, fields)]},
        (0, "A", "GET /orders"),
        (1, "B", "GET /orders"),
    ) == timeline(f"""
        0  A  GET /orders -> {status}
        1  B  GET /orders -> {status}
    """)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_retry_after_of_a_redirect_delays_neither_the_hop_nor_the_next_request(status: int) -> None:
    """A redirect says when to follow it: the hop goes at once, and so does B."""
    moved = Answer(status, {"Retry-After": "7", "Location": "/there"})
    assert happens(
        {"/orders": [moved]}, (0, "A", "GET /orders"), (1, "B", "GET /orders")
    ) == timeline(f"""
        0  A  GET /orders -> {status}
        0  A  GET /there -> 200
        1  B  GET /orders -> {status}
        1  B  GET /there -> 200
    """)


# 4. The windows of a limit.


def window(left: int, until: int, quota: int, length: int) -> Answer:
    """Return an answer that says what is left of a window, and when it ends."""
    return Answer(
        200,
        {
            "RateLimit-Policy": f'"all";q={quota};w={length}',
            "RateLimit": f'"all";r={left};t={until}',
        },
    )


@pytest.mark.parametrize(
    ("quota", "length"),
    [(100, 3600), (1000, 86_400), (5000, 86_400), (1_000_000, 31_536_000)],
)
def test_a_window_that_begins_again_is_full_as_soon_as_an_answer_says_so(
    quota: int, length: int
) -> None:
    """A third of the day's 1000 is left at 0 s, and the day ends at 5 s: C, D and E do not wait."""
    assert happens(
        {
            "/orders": [
                window(quota // 3, 5, quota, length),
                window(quota - 1, length - 1, quota, length),
                window(quota - 2, length - 2, quota, length),
            ]
        },
        (0, "A", "GET /orders"),
        (6, "B", "GET /orders"),
        (6.1, "C", "GET /orders"),
        (6.1, "D", "GET /orders"),
        (6.2, "E", "GET /orders"),
        limits=RateLimits(),
    ) == timeline("""
        0    A  GET /orders -> 200
        6    B  GET /orders -> 200
        6.1  C  GET /orders -> 200
        6.1  D  GET /orders -> 200
        6.2  E  GET /orders -> 200
    """)


def test_requests_of_a_window_that_is_over_slow_down_no_other_window() -> None:
    """A job sends 60 of 100 requests in each minute, at once: the tenth time as the first."""

    def answer(request: Request) -> Reply:
        fields = {
            "X-RateLimit-Limit": "100",
            "X-RateLimit-Remaining": f"{99 - request.number % 60}",
            "X-RateLimit-Reset": f"{60 - request.time % 60:.0f}",
        }
        return Answer(200, fields)

    world = World({"/orders": answer})
    session = world.session()

    def work() -> None:
        for minute in range(10):
            world.turns.sleep(60.0 * minute - world.turns.now)
            for _ in range(60):
                session.get(f"{API}/orders")
            assert world.turns.now == 60.0 * minute

    world.caller("A", work)
    world.run()


def test_a_window_that_begins_earlier_than_the_server_said_is_believed() -> None:
    """B hears at 4 s of the window that was due at 5 s: D and E do not wait for C's answer."""
    told = [window(4, 5, 10, 60), window(9, 60, 10, 60), window(8, 58, 10, 60)]
    slow = [Answer(each.status, each.fields, takes=1) for each in told]
    assert happens(
        {"/orders": slow},
        (0, "A", "GET /orders"),
        (3, "B", "GET /orders"),
        (6, "C", "GET /orders"),
        (6.25, "D", "GET /orders"),
        (6.5, "E", "GET /orders"),
        limits=RateLimits(),
    ) == timeline("""
        0     A  GET /orders -> 200 after 1 s
        3     B  GET /orders -> 200 after 1 s
        6     C  GET /orders -> 200 after 1 s
        6.25  D  GET /orders -> 200 after 1 s
        6.5   E  GET /orders -> 200 after 1 s
    """)


def test_nothing_is_sent_before_the_end_of_a_window_with_nothing_left() -> None:
    """The server says at 0 s that nothing is left for 30 s: B and C wait for the new window."""
    assert happens(
        {"/orders": [window(0, 30, 10, 600), window(9, 600, 10, 600)]},
        (0, "A", "GET /orders"),
        (10, "B", "GET /orders"),
        (20, "C", "GET /orders"),
        limits=RateLimits(),
    ) == timeline("""
        0   A  GET /orders -> 200
        10  B  waits 20 s: pacing
        20  C  waits 10 s: pacing
        30  B  GET /orders -> 200
        30  C  GET /orders -> 200
    """)


def test_a_spent_window_that_refills_is_used_as_fast_as_it_does() -> None:
    """A bucket of ten in 60 s is empty at 0 s. B tests it at 12 s, and one goes each 6 s then."""
    assert happens(
        {"/orders": [window(0, 60, 10, 60), window(0, 60, 10, 60)]},
        (0, "A", "GET /orders"),
        (10, "B", "GET /orders"),
        (11, "C", "GET /orders"),
        (20, "D", "GET /orders"),
        limits=RateLimits(),
    ) == timeline("""
        0   A  GET /orders -> 200
        10  B  waits 2 s: pacing
        11  C  waits 7 s: pacing
        12  B  GET /orders -> 200
        18  C  GET /orders -> 200
        20  D  waits 4 s: pacing
        24  D  GET /orders -> 200
    """)


def test_a_call_refused_by_fields_alone_goes_once_its_window_is_found_to_refill() -> None:
    """A is told to wait for 30 s. B's test passes at 6.5 s: A goes when the bucket has one more."""
    assert happens(
        {"/orders": [Answer(429, window(0, 30, 10, 30).fields), window(0, 30, 10, 30)]},
        (0, "A", "GET /orders"),
        (6.5, "B", "GET /orders"),
        limits=RateLimits(),
    ) == timeline("""
        0    A  GET /orders -> 429
        0    A  waits 6.5 s: retry_after
        6.5  B  GET /orders -> 200
        6.5  A  waits 3 s: pacing
        9.5  A  GET /orders -> 200
    """)


def test_a_refusal_by_fields_starts_no_cool_down_where_the_window_refills() -> None:
    """B's test passes, so the window refills. C is refused and told 30 s, but waits for its slot.

    The bucket gains one each 3 s, and more slowly after the refusal, as others may use it.
    """
    refusal = Answer(429, window(0, 30, 10, 30).fields)
    some = window(0, 30, 10, 30)
    assert happens(
        {"/orders": [some, some, refusal, some]},
        (0, "A", "GET /orders"),
        (6, "B", "GET /orders"),
        (12, "C", "GET /orders"),
        (14, "D", "GET /orders"),
        limits=RateLimits(),
    ) == timeline("""
        0       A  GET /orders -> 200
        6       B  GET /orders -> 200
        12      C  GET /orders -> 429
        12      C  waits 4.286 s: pacing
        14      D  waits 6.556 s: pacing
        16.286  C  GET /orders -> 200
        20.556  D  GET /orders -> 200
    """)


def test_a_retry_after_counts_where_the_window_refills() -> None:
    """As above, but C is told `Retry-After: 9`: it waits so long, and D as well."""
    refusal = Answer(429, {"Retry-After": "9", **window(0, 30, 10, 30).fields})
    some = window(0, 30, 10, 30)
    assert happens(
        {"/orders": [some, some, refusal, some]},
        (0, "A", "GET /orders"),
        (6, "B", "GET /orders"),
        (12, "C", "GET /orders"),
        (14, "D", "GET /orders"),
        limits=RateLimits(),
    ) == timeline("""
        0   A  GET /orders -> 200
        6   B  GET /orders -> 200
        12  C  GET /orders -> 429
        12  C  waits 9 s: retry_after
        14  D  waits 7 s: cool-down
        21  C  GET /orders -> 200
        21  D  waits 3 s: pacing
        24  D  GET /orders -> 200
    """)


def test_a_fixed_window_refuses_its_test_and_is_waited_for() -> None:
    """Nothing of ten in 60 s is left for 40 s. B tests it at 12 s, is refused, and C waits."""
    refusal = Answer(429, {"Retry-After": "28", **window(0, 28, 10, 60).fields})
    assert happens(
        {"/orders": [window(0, 40, 10, 60), refusal, window(9, 60, 10, 60)]},
        (0, "A", "GET /orders"),
        (10, "B", "GET /orders"),
        (20, "C", "GET /orders"),
        limits=RateLimits(),
    ) == timeline("""
        0   A  GET /orders -> 200
        10  B  waits 2 s: pacing
        12  B  GET /orders -> 429
        12  B  waits 28 s: retry_after
        20  C  waits 20 s: cool-down
        40  B  GET /orders -> 200
        40  C  waits 0.04 s: pacing
        40.04 C GET /orders -> 200
    """)


# 5. Processes that share a store.


@pytest.mark.parametrize(
    "ahead",
    [
        0.0,
        300.0,
        -300.0,
    ],
)
def test_another_process_waits_as_long_whatever_the_clocks_say(ahead: float) -> None:
    """A's machine has a clock that is 300 s fast, or slow. B, on another machine, waits too."""
    answer = Answer(200, policy("search", 90, 60))
    refusal = Answer(429, {"Retry-After": "10", **policy("search", 0, 10)})
    world = World({"/search": [answer, refusal, 200]})
    here = world.session(
        world.settings(store=world.store, limits=UNPACED, clock=world.process(ahead=ahead))
    )
    there = world.session(world.settings(store=world.store, limits=UNPACED))
    world.call(1, "X", "GET /search", there)
    world.call(1.5, "A", "GET /search", here)
    world.call(2.5, "Y", "GET /health", there)
    world.call(3, "B", "GET /search", there)
    assert world.run() == timeline("""
        1     X  GET /search -> 200
        1.5   A  GET /search -> 429
        1.5   A  waits 10 s: retry_after
        2.5   Y  GET /health -> 200
        3     B  waits 8.5 s: cool-down
        11.5  A  GET /search -> 200
        11.5  B  GET /search -> 200
    """)


# 6. Every table is bounded.

MOST, MORE = 1000, 100
"""Entries that each table has at most in these tests, and how many more are tried."""


def kept(session: requests.Session) -> int:
    """Return how many objects a session keeps alive, besides code."""
    seen: dict[int, object] = {}
    found: list[object] = [session]
    while found:
        each = found.pop()
        if id(each) not in seen and not isinstance(each, (type, ModuleType, FunctionType)):
            seen[id(each)] = each
            found += gc.get_referents(each)
    return len(seen)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "url", "field"),
    [
        pytest.param(refused(3600), f"{API}/{{}}", "", id="endpoints that refuse"),
        pytest.param(refused(3600), "https://{}.example.com/", "", id="origins that refuse"),
        pytest.param(refused(3600), f"{API}/", "X-API-Key", id="callers that are refused"),
        pytest.param(refused(3600, 200), f"{API}/", "X-API-Key", id="callers that are delayed"),
        pytest.param(Answer(500), f"{API}/{{}}", "", id="endpoints that fail"),
        pytest.param(Answer(500), "https://{}.example.com/", "", id="origins that fail"),
        pytest.param(None, "https://{}.example.com/", "X-Policy", id="origins that name policies"),
        pytest.param(None, f"{API}/{{}}", "X-Policy", id="endpoints that name policies"),
        pytest.param(None, f"{API}/{{}}", "X-Letter", id="endpoints that name a few policies"),
        pytest.param(None, f"{API}/orders", "X-Policy", id="policies of one endpoint"),
    ],
)
def test_what_is_known_of_limits_is_bounded(
    answer: Answer | None, url: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 1050 endpoints, origins, callers or policies, 100 more take hardly any room."""
    monkeypatch.setattr(rate_limiter, "_MOST_QUEUES", MOST)
    monkeypatch.setattr(policy_names, "MOST_NAMES", MOST)
    monkeypatch.setattr(field_memory, "_MOST_SCOPES", MOST)
    monkeypatch.setattr(field_memory, "_MOST_ORIGINS", MORE)
    monkeypatch.setattr(_choice, "_MOST_ORIGINS", MORE)

    def server(request: Request) -> Reply:
        name = request.headers.get("X-Policy", request.headers["X-Other"][-1])
        return answer or Answer(200, policy(name, 40, 3600))

    def meet(first: int, count: int) -> None:
        for number in range(first, first + count):
            name = "".join("abcdefghij"[int(digit)] for digit in str(number))
            request = requests.Request("GET", API).prepare()
            request.url = url.format(name)
            request.headers.update({"X-Other": name, field or "X-Other": name})
            with suppress(requests.RequestException):
                session.send(request)
        world.sent.clear()
        counts.append(kept(session))

    world, counts = World(server), list[int]()
    session = world.session(world.settings(retry=ONCE))
    world.caller("A", lambda: meet(1000, MOST + 50))
    world.caller("B", lambda: meet(5000, MORE))
    world.run()
    assert counts[1] - counts[0] < MORE / 2
