"""Declared limits: what a rate may be, what it covers, and when it lets a request pass."""

from __future__ import annotations

import pickle
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import ConfigurationError, Rate, RateLimits, Reason, Settings
from requests_authretry._core.declared import (
    RateUse,
    ask,
    ask_concurrency,
    free_at,
    is_unused,
    with_sent,
)
from requests_authretry._core.rate_limit import OVERDUE, AskAgain, Slot, TooLate

TEN = Rate(10, per=1.0)
COSTLY = Rate(10, per=1.0, cost=lambda _: 1.0)
GAPS = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0.1, 1)) | st.tuples(st.just(0.0), st.just(1.0)),
    max_size=80,
)
"""Pauses between requests, in parts of ``per``, and what the requests cost, in parts of the most
that may be sent at once."""


def sent(rate: Rate, requests: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Send requests one after another, each as soon as the rate allows: times and units."""
    use, now, found = RateUse(), 1000.0, []
    for gap, share in requests:
        units = share * rate.most
        now = max(now + gap * rate.per, free_at(use, rate, units, now + gap * rate.per))
        use = with_sent(use, rate, units, now)
        found.append((now, units))
    return found


def used(rate: Rate, *times: float) -> RateUse:
    """Return the state after requests of one unit at these times."""
    use = RateUse()
    for time in times:
        use = with_sent(use, rate, 1.0, time)
    return use


def seconds(answer: object) -> float:
    """Return when a call is to ask again."""
    assert isinstance(answer, AskAgain)
    return answer.seconds


@given(GAPS, st.sampled_from([1, 3, 10, 1000]), st.sampled_from([0.1, 1.0, 3600.0]))
def test_no_window_sees_more_than_the_limit(
    requests: list[tuple[float, float]], limit: int, per: float
) -> None:
    """Of ``Rate(10, per=1.0)``, any second sees at most 10 units, wherever it begins."""
    found = sent(Rate(limit, per), requests)
    for end, _ in found:
        inside = [units for time, units in found if end - per * (1 - 1e-9) < time <= end]
        assert sum(inside) <= limit * (1 + 1e-6)


@given(GAPS, st.sampled_from([1, 3, 10, 1000]), st.sampled_from([1, 2, 25]))
def test_a_bucket_lets_no_more_than_its_burst_and_its_refill_through(
    requests: list[tuple[float, float]], limit: int, burst: int
) -> None:
    """Of ``Rate(10, 1.0, burst=2)``, any ``w`` seconds see at most 2 + 10 w units."""
    found = sent(Rate(limit, 1.0, burst), requests)
    for begin, _ in found:
        for end, _ in found:
            inside = [units for time, units in found if begin <= time <= end]
            assert sum(inside) <= (burst + (end - begin) * limit) * (1 + 1e-6) or end < begin


@given(st.lists(st.floats(0, 0.1), min_size=100, max_size=300))
def test_a_window_has_few_entries(gaps: list[float]) -> None:
    """However many requests a window sees, a hundred and two entries remember them."""
    rate, use, now = Rate(100_000, per=1.0), RateUse(), 0.0
    for gap in gaps:
        now += gap / 10
        use = with_sent(use, rate, 1.0, now)
    assert len(use.spent) <= 102
    assert sum(each.units for each in use.spent) <= len(gaps)


def test_a_window_lets_all_of_its_limit_through_at_once() -> None:
    """Ten go at once, and the eleventh when the first is a second old."""
    use = used(TEN, *[5.0] * 9)
    assert free_at(use, TEN, 1.0, 5.0) == 5.0
    use = with_sent(use, TEN, 1.0, 5.5)
    assert free_at(use, TEN, 1.0, 5.5) == 6.0
    assert free_at(use, TEN, 9.0, 5.5) == 6.0
    assert free_at(use, TEN, 10.0, 5.5) == 6.5


def test_units_sent_within_a_hundredth_of_the_window_leave_it_together() -> None:
    """Sent at 5.000, 5.004 and 5.012 s: the first two leave at 6.004 s, and the last at 6.012 s."""
    rate = Rate(4, per=1.0)
    use = used(rate, 4.5, 5.0, 5.004, 5.012)
    assert free_at(use, rate, 1.0, 5.02) == 5.5
    rate = Rate(3, per=1.0)
    assert [free_at(use, rate, units, 5.02) for units in (1.0, 2.0, 3.0)] == [6.004, 6.004, 6.012]


def test_a_bucket_is_refilled_evenly() -> None:
    """Ten in two seconds with a burst of 2: two go at once, then one in each fifth of a second."""
    rate = Rate(10, per=2.0, burst=2)
    use = used(rate, 5.0, 5.0)
    assert free_at(use, rate, 1.0, 5.0) == pytest.approx(5.2)
    assert free_at(use, rate, 2.0, 5.0) == pytest.approx(5.4)
    use = with_sent(use, rate, 1.0, 5.2)
    assert free_at(use, rate, 1.0, 5.2) == pytest.approx(5.4)


def test_more_units_than_go_at_once_stand_for_several_requests() -> None:
    """Ten of two seconds are used up: 10 more are free after 2 s, 11 after 4 s, 25 after 6 s."""
    rate = Rate(10, per=2.0)
    use = used(rate, *[5.0] * 10)
    assert [free_at(use, rate, units, 5.0) for units in (10.0, 11.0, 25.0)] == [7.0, 9.0, 11.0]
    assert free_at(RateUse(), rate, 15.0, 5.0) == 7.0
    assert free_at(used(rate, *[5.0] * 5, *[6.0] * 5), rate, 11.0, 6.0) == 9.0
    assert seconds(ask(use, rate, 2.0, 8.0, 5.0, inf)) == pytest.approx(2.05)
    assert seconds(ask(use, rate, 2.0, 10.0, 5.0, inf)) == pytest.approx(4.05)


@pytest.mark.parametrize("rate", [TEN, Rate(10, 1.0, burst=1)])
def test_a_rate_is_unused_once_all_is_over(rate: Rate) -> None:
    """After a second, or a tenth with a burst of 1, nothing is known any more."""
    use = used(rate, 5.0)
    end = 6.0 if rate.burst is None else 5.1
    assert is_unused(RateUse(), 0.0, rate)
    assert not is_unused(use, end - 0.01, rate)
    assert is_unused(use, end, rate)


def test_a_call_may_send_while_there_is_room() -> None:
    """The call that is first gets the last unit; the next one asks again when it is free."""
    use = used(TEN, *[5.0] * 9)
    assert ask(use, TEN, 1.0, 0, 5.5, inf) == Slot(-1)
    use = with_sent(use, TEN, 1.0, 5.0)
    assert ask(use, TEN, 1.0, 0, 5.5, inf) == AskAgain(0.5, Reason.PACING)


def test_a_call_waits_for_those_before_it() -> None:
    """The third call waits as if the two before it cost what it costs, and a little more."""
    assert ask(RateUse(), TEN, 1.0, 2, 0.0, inf) == AskAgain(OVERDUE, Reason.PACING)
    use = used(TEN, *[5.0] * 10)
    waits = [seconds(ask(use, TEN, 1.0, place, 5.0, inf)) for place in (0, 9, 10, 19, 20)]
    assert waits == pytest.approx([1.0, 1.05, 2.05, 2.05, 3.05])


def test_a_wait_beyond_the_deadline_is_too_late_at_once() -> None:
    """A unit that is free less than 0.1 s before the deadline comes too late, at any place."""
    use = used(TEN, *[5.0] * 10)
    assert ask(use, TEN, 1.0, 0, 5.0, 6.05) == TooLate(1.0)
    assert ask(use, TEN, 1.0, 0, 5.0, 6.1) == AskAgain(1.0, Reason.PACING)
    assert ask(use, TEN, 1.0, 10, 5.0, 6.5) == TooLate(2.0)
    assert ask(RateUse(), TEN, 1.0, 0, 5.0, 5.0) == TooLate(0.0)
    assert ask(RateUse(), TEN, 1.0, 0, 5.0, 5.05) == Slot(-1)


def test_what_others_cost_is_unknown_where_a_function_says() -> None:
    """A call at place 10 waits until its deadline, as those before it may cost nearly nothing."""
    use = used(COSTLY, *[5.0] * 10)
    assert ask(use, COSTLY, 1.0, 10, 5.0, 6.5) == AskAgain(1.5, Reason.PACING)
    assert ask(use, COSTLY, 1.0, 10, 5.0, 6.0) == TooLate(1.0)


def test_attempts_under_way_leave_room_or_not() -> None:
    """Of two, one more may begin while one is under way and nobody waits before it."""
    assert ask_concurrency(1, 2, 0, 5.0, inf) == Slot(-1)
    assert ask_concurrency(1, 2, 1, 5.0, inf) == AskAgain(2.0, Reason.PACING, is_known=False)
    assert ask_concurrency(2, 2, 0, 5.0, inf) == AskAgain(1.0, Reason.PACING, is_known=False)
    assert ask_concurrency(2, 2, 0, 0.0, 0.5) == AskAgain(0.4, Reason.PACING, is_known=False)
    assert seconds(ask_concurrency(2, 2, 0, 5.0, 5.75)) == pytest.approx(0.65)
    assert ask_concurrency(2, 2, 0, 5.0, 5.1) == TooLate(0.0)
    assert ask_concurrency(0, 2, 0, 5.0, 5.05) == Slot(-1)
    assert ask_concurrency(0, 2, 0, 5.0, 5.0) == TooLate(0.0)


@pytest.mark.parametrize(
    ("path", "covered", "others"),
    [
        (None, ["", "/", "/search", "/x"], []),
        ("/", ["", "/", "/search", "/x/y"], []),
        ("/search", ["/search", "/search/", "/search/x"], ["/", "/searches", "/x/search"]),
        ("/search/", ["/search", "/search/x"], ["/searches"]),
        ("/X", ["/X", "/X/y"], ["/", "/x", ""]),
    ],
)
def test_a_path_covers_whole_segments(
    path: str | None, covered: list[str], others: list[str]
) -> None:
    """``/search`` covers ``/search/x``, and not ``/searches``."""
    rate = Rate(1, 1.0, path=path)
    assert all(map(rate.covers, covered))
    assert not any(map(rate.covers, others))


NO_LIMIT = "limit must be a number from 1 to 1e9, not {}"
SMALL = "; for one request in 2 s write Rate(1, per=2.0)"
NO_BURST = "burst must be a number from 1 to 1e9, not {}"
PATH = "path must begin with a slash, percent-encoded as in the URL and without a query, not {!r}"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"limit": 0.5}, NO_LIMIT.format(0.5) + SMALL),
    ({"limit": None}, NO_LIMIT.format(None)),
    ({"limit": inf}, NO_LIMIT.format(inf)),
    ({"limit": True}, NO_LIMIT.format(*[True])),
    ({"limit": 1.1e9}, NO_LIMIT.format("1100000000.0")),
    ({"limit": 10**5000}, NO_LIMIT.format("this int")),
    ({"per": 0}, "per must be above zero, not 0"),
    ({"per": "1"}, "per must be a finite number of seconds, not '1'"),
    ({"per": 10**5000}, "per must be a finite number of seconds, not this int"),
    ({"per": 1e308}, "per must be a year at most, 31622400 seconds, not 1e+308"),
    ({"burst": 0}, NO_BURST.format(0)),
    ({"burst": 1e308}, NO_BURST.format("1e+308")),
    ({"cost": 3}, "cost must be a function of a request, not int"),
    *(({"path": path}, PATH.format(path)) for path in ("search", "", 3, "/ä", "/a?b", "/a#b")),
]


@pytest.mark.parametrize(("fields", "fault"), WRONG)
def test_a_rate_that_cannot_work_is_refused(fields: dict[str, Any], fault: str) -> None:
    """Each fault names its field and what it may be."""
    with pytest.raises(ConfigurationError) as caught:
        Rate(**{"limit": 1, "per": 1.0, **fields})
    assert caught.value.faults == (fault,)


def test_the_largest_rate_lets_its_burst_through_and_then_refills() -> None:
    """With the most of everything, all is sent at once, and one unit more in a 30th of a second."""
    rate = Rate(1e9, per=366 * 86_400, burst=1e9)
    use = with_sent(RateUse(), rate, 1e9, 5.0)
    assert free_at(use, rate, 1.0, 5.0) == pytest.approx(5.0316, abs=1e-4)


def test_all_faults_of_a_rate_are_named_together() -> None:
    """A wrong limit, a wrong time and a wrong path are three faults."""
    with pytest.raises(ConfigurationError, match=r"^Rate: limit") as caught:
        Rate(0, -1, path="x")
    assert [fault.split()[0] for fault in caught.value.faults] == ["limit", "per", "path"]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"rates": TEN}, "rates takes a collection, not Rate: write rates=[...]"),
        ({"rates": [TEN, 3]}, "rates takes objects like Rate(10, per=1.0), not 3"),
        ({"concurrency": 0}, "concurrency must be a whole number of at least 1, not 0"),
        ({"concurrency": 1.5}, "concurrency must be a whole number of at least 1, not 1.5"),
    ],
)
def test_limits_that_cannot_work_are_refused(fields: dict[str, Any], fault: str) -> None:
    """A rate without its brackets, and a share of an attempt, are faults."""
    with pytest.raises(ConfigurationError) as caught:
        RateLimits(**fields)
    assert caught.value.faults == (fault,)


def test_a_rate_that_is_given_twice_counts_once() -> None:
    """The same rate twice, as of two lists that were joined, is one rate."""
    assert RateLimits(rates=[TEN, Rate(10, per=1.0), COSTLY]).rates == (TEN, COSTLY)


def test_a_cost_function_that_is_async_is_refused() -> None:
    """It would return no number."""

    async def cost(_: object) -> float:
        return 1.0

    with pytest.raises(ConfigurationError, match=r"limits\.rates: a cost is an async function"):
        Settings(limits=RateLimits(rates=[Rate(1, 1.0, cost=cost)]))  # type: ignore[arg-type]


def test_a_rate_survives_a_pickle() -> None:
    """Settings may be pickled, and a worker process then keeps the same rate."""
    rate = Rate(10, per=1.0, burst=2, path="/a", cost=len)
    copy = pickle.loads(pickle.dumps(rate))  # noqa: S301 (its own)
    assert (copy, hash(copy)) == (rate, hash(rate))


def test_the_text_of_a_rate_is_for_people() -> None:
    """It names the limit, the time, the burst and the path."""
    assert str(TEN) == "10 in 1 s"
    assert str(Rate(2.5, 3600, burst=2, path="/a")) == "2.5 in 3600 s, 2 at once, under /a"
