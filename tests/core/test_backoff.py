"""Backoff: how the delay grows, where it ends, and how the jitter spreads it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from requests_authretry import Backoff, Jitter

if TYPE_CHECKING:
    from collections.abc import Sequence

times = st.just(0.0) | st.floats(min_value=1e-9, max_value=1e9)
fractions = st.floats(min_value=0.0, max_value=1.0, exclude_max=True)
retries = st.integers(min_value=1, max_value=10_000)
multipliers = (
    st.integers(1, 10**300)
    | st.floats(min_value=1.0, max_value=2.0)
    | st.floats(min_value=1.0, allow_infinity=False)
)


def backoffs(*jitters: Jitter) -> st.SearchStrategy[Backoff]:
    """Make any backoff with one of the jitters."""
    return st.builds(
        Backoff,
        initial=times,
        throttled_initial=times,
        unreachable_initial=times,
        multiplier=multipliers,
        max_delay=times,
        jitter=st.sampled_from(jitters),
    )


def row(backoff: Backoff, count: int, *, throttled: bool, fraction: float = 0.5) -> list[float]:
    """Return the delays before the first retries."""
    return [
        backoff.delay(retry, throttled=throttled, fraction=fraction)
        for retry in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("backoff", "throttled", "delays"),
    [
        (Backoff(jitter=Jitter.NONE), False, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0]),
        (Backoff(jitter=Jitter.NONE), True, [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]),
        (Backoff(jitter=Jitter.NONE, initial=3, multiplier=1), False, [3.0, 3.0, 3.0]),
        (Backoff(jitter=Jitter.NONE, initial=1, multiplier=3), False, [1.0, 3.0, 9.0, 20.0]),
        (Backoff(jitter=Jitter.NONE, initial=0.0), False, [0.0, 0.0, 0.0]),
        (Backoff(jitter=Jitter.NONE, max_delay=0.0), True, [0.0, 0.0, 0.0]),
        (Backoff(jitter=Jitter.NONE, initial=99), False, [20.0, 20.0]),
        (Backoff(jitter=Jitter.FULL), True, [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]),
        (Backoff(jitter=Jitter.EQUAL), True, [0.75, 1.5, 3.0, 6.0, 12.0, 15.0, 15.0]),
    ],
)
def test_growth(backoff: Backoff, delays: Sequence[float], *, throttled: bool) -> None:
    """The delay doubles from its base up to the cap, which is applied before the jitter."""
    assert row(backoff, len(delays), throttled=throttled) == pytest.approx(delays)


def test_defaults() -> None:
    """The defaults are full jitter; 50 ms, or 1 s when throttled; doubling; at most 20 s."""
    backoff = Backoff()
    assert (backoff.initial, backoff.throttled_initial) == (0.05, 1.0)
    assert backoff.unreachable_initial == 0.3
    assert (backoff.multiplier, backoff.max_delay, backoff.jitter) == (2.0, 20.0, Jitter.FULL)


@pytest.mark.parametrize(
    ("backoff", "fraction", "delays"),
    [
        (Backoff(), 0.0, [0.3, 0.6, 1.2, 2.4]),
        (Backoff(), 0.5, [0.45, 0.9, 1.8, 3.6]),
        (Backoff(jitter=Jitter.EQUAL), 0.5, [0.45, 0.9, 1.8, 3.6]),
        (Backoff(jitter=Jitter.NONE), 0.5, [0.3, 0.6, 1.2, 2.4]),
        (Backoff(initial=1), 0.5, [1.5, 3.0, 6.0, 12.0]),
        (Backoff(initial=0), 0.5, [0.45, 0.9, 1.8, 3.6]),
        (Backoff(initial=0, unreachable_initial=0), 0.5, [0.0, 0.0, 0.0]),
        (Backoff(throttled_initial=9), 0.0, [0.3]),
        (Backoff(max_delay=1.0), 0.5, [0.45, 0.75, 0.75]),
        (Backoff(max_delay=0.1, jitter=Jitter.NONE), 0.5, [0.1, 0.1]),
    ],
)
def test_growth_where_nothing_was_sent(
    backoff: Backoff, fraction: float, delays: Sequence[float]
) -> None:
    """By default 0.3, 0.6 and 1.2 s, each plus up to as much again; a longer base is kept."""
    found = [
        backoff.delay(retry, throttled=False, unreachable=True, fraction=fraction)
        for retry in range(1, len(delays) + 1)
    ]
    assert found == pytest.approx(delays)


@pytest.mark.parametrize("fraction", [0.0, 0.5, math.nextafter(1.0, 0.0)])
def test_a_server_that_is_away_for_two_seconds_is_survived(fraction: float) -> None:
    """The three waits of a call take at least 2.1 s together, and at most twice that."""
    waits = [
        Backoff().delay(retry, throttled=False, unreachable=True, fraction=fraction)
        for retry in (1, 2, 3)
    ]
    assert 2.1 <= round(sum(waits), 9) <= 4.2


@pytest.mark.parametrize(
    ("jitter", "least", "most"),
    [(Jitter.FULL, 0.0, 8.0), (Jitter.EQUAL, 4.0, 8.0), (Jitter.NONE, 8.0, 8.0)],
)
def test_spread(jitter: Jitter, least: float, most: float) -> None:
    """Full jitter starts at zero and equal jitter at half; no jitter does not spread at all."""
    backoff = Backoff(jitter=jitter)
    assert backoff.delay(4, throttled=True, fraction=0.0) == least
    assert backoff.delay(4, throttled=True, fraction=math.nextafter(1.0, 0.0)) == pytest.approx(
        most
    )


@given(
    backoff=backoffs(*Jitter),
    retry=retries,
    throttled=st.booleans(),
    unreachable=st.booleans(),
    fraction=fractions,
)
def test_never_negative_never_above_the_cap(
    backoff: Backoff, retry: int, fraction: float, *, throttled: bool, unreachable: bool
) -> None:
    """A delay is in [0, max_delay], however many retries and however steep the growth."""
    delay = backoff.delay(retry, throttled=throttled, unreachable=unreachable, fraction=fraction)
    assert 0.0 <= delay <= backoff.max_delay


@given(backoff=backoffs(Jitter.EQUAL), retry=retries, throttled=st.booleans(), fraction=fractions)
def test_equal_jitter_never_below_half(
    backoff: Backoff, retry: int, fraction: float, *, throttled: bool
) -> None:
    """Equal jitter keeps at least half of the computed delay."""
    plain = replace(backoff, jitter=Jitter.NONE).delay(retry, throttled=throttled, fraction=0.0)
    assert plain / 2 <= backoff.delay(retry, throttled=throttled, fraction=fraction) <= plain


@given(backoff=backoffs(Jitter.NONE), retry=retries, throttled=st.booleans())
@example(backoff=Backoff(jitter=Jitter.NONE, initial=0, multiplier=1e10), retry=60, throttled=False)
@example(backoff=Backoff(jitter=Jitter.NONE, multiplier=1.01), retry=500, throttled=False)
@example(backoff=Backoff(jitter=Jitter.NONE), retry=10_000, throttled=True)
def test_the_documented_formula(backoff: Backoff, retry: int, *, throttled: bool) -> None:
    """The delay without jitter is ``min(max_delay, base * multiplier ** (n - 1))``, for any n."""
    delay = backoff.delay(retry, throttled=throttled, fraction=0.0)
    assert delay == pytest.approx(computed(backoff, retry, throttled=throttled), rel=1e-6)


@given(backoff=backoffs(Jitter.NONE), retry=retries, throttled=st.booleans())
def test_never_shrinks(backoff: Backoff, retry: int, *, throttled: bool) -> None:
    """The next delay is at least as long as the one before it."""
    now, later = (
        backoff.delay(count, throttled=throttled, fraction=0.0) for count in (retry, retry + 1)
    )
    assert later >= now


def computed(backoff: Backoff, retry: int, *, throttled: bool) -> float:
    """Compute the documented formula by logarithms, so that nothing overflows."""
    base = backoff.throttled_initial if throttled else backoff.initial
    if base == 0.0 or backoff.max_delay == 0.0:
        return 0.0
    exponent = math.log(base) + (retry - 1) * math.log(backoff.multiplier)
    if exponent >= math.log(backoff.max_delay):
        return backoff.max_delay
    return math.exp(exponent)


@pytest.mark.parametrize(
    ("backoff", "paces"),
    [
        (Backoff(), [1.0, 2.0, 4.0, 8.0, 16.0, 20.0]),
        (Backoff(max_delay=3.0, multiplier=3.0), [1.0, 3.0, 3.0]),
        (Backoff(max_delay=0.0, throttled_initial=0.0), [1.0, 1.0]),
        (Backoff(multiplier=1), [1.0, 1.0]),
    ],
    ids=["default", "low cap", "no delays", "constant"],
)
def test_the_pace_of_polls_grows_from_one_second(backoff: Backoff, paces: list[float]) -> None:
    """1, 2, 4 s up to the cap, without jitter, and never less than a second."""
    assert [backoff.pace(number) for number in range(1, len(paces) + 1)] == paces


def test_the_pace_of_very_many_polls_is_the_cap() -> None:
    """A number that no float can hold is no error."""
    assert Backoff(multiplier=1e300).pace(9) == 20.0
