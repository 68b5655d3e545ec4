"""When a token is renewed: its windows, pauses after failures, a limit after refusals."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from requests_authretry import Reason, RetryPolicy, Token
from requests_authretry._core.challenge import parse_challenges
from requests_authretry._core.records import Failure, Outcome
from requests_authretry._core.token import TokenRecord, UnreadableRecordError
from requests_authretry._core.token_schedule import (
    PAUSE,
    PAUSE_WHILE_GOOD,
    Schedule,
    are_refused_at_once,
    delay_after,
    granted,
    schedule,
    without_windows,
)
from requests_authretry._core.unauthorized import Decline, has_replayed, lacks

HOUR, DAY = 3600.0, 86_400.0
NOW = 1_000_000_000.0
LIVED = Schedule(begin=0.0, early=75.0, late=95.0, end=100.0)

fractions = st.floats(min_value=0.0, max_value=1.0, exclude_max=True)
lives = st.floats(min_value=0.01, max_value=1e9)
moments = st.floats(min_value=0.0, max_value=4e9)


def before_the_end(chosen: Schedule) -> tuple[float, float]:
    """Return how long the two windows are, in seconds."""
    return chosen.end - chosen.early, chosen.end - chosen.late


@pytest.mark.parametrize(
    ("life", "fraction", "early", "late"),
    [
        (DAY, 0.0, 900.0, 60.0),
        (HOUR, 0.0, 900.0, 60.0),
        (HOUR, 0.5, 675.0, 45.0),
        (HOUR, 0.75, 562.5, 37.5),
        (1800.0, 0.0, 450.0, 60.0),
        (600.0, 0.0, 150.0, 30.0),
        (600.0, 0.5, 112.5, 22.5),
        (20.0, 0.0, 5.0, 1.0),
        (0.0, 0.0, 0.0, 0.0),
        (-9.0, 0.5, 0.0, 0.0),
    ],
)
def test_windows(life: float, fraction: float, early: float, late: float) -> None:
    """The windows are a quarter and a twentieth of the life, at most 900 s and 60 s.

    The jitter takes up to half of each.
    """
    chosen = schedule(NOW + life, NOW, fraction)
    assert before_the_end(chosen) == pytest.approx((early, late))
    assert (chosen.begin, chosen.end) == (NOW, NOW + life)


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_a_token_without_an_end_has_no_windows(fraction: float) -> None:
    """A token without a known end is never renewed before it is refused."""
    assert schedule(None, NOW, fraction) == Schedule(NOW, inf, inf, inf)


@given(now=moments, life=lives, fraction=fractions)
@example(now=0.0, life=0.01, fraction=0.999_999)
def test_windows_lie_within_the_life(now: float, life: float, fraction: float) -> None:
    """The times come in the order received, early, late, end, whatever the life and the jitter."""
    chosen = schedule(now + life, now, fraction)
    assert now < chosen.early < chosen.late < chosen.end == now + life
    early, late = before_the_end(chosen)
    assert early <= min(900.0, life / 4) + 1e-5
    assert late <= min(60.0, life / 20) + 1e-5
    assert early >= min(900.0, life / 4) / 2 - 1e-5
    assert late >= min(60.0, life / 20) / 2 - 1e-5


@given(life=lives, one=fractions, other=fractions)
def test_the_jitter_spreads_a_fleet(life: float, one: float, other: float) -> None:
    """A higher random number makes both windows begin later."""
    lower, higher = (schedule(life, 0.0, drawn) for drawn in sorted((one, other)))
    assert lower.early <= higher.early
    assert lower.late <= higher.late
    if abs(one - other) > 0.01:
        assert lower.early < higher.early


@pytest.mark.parametrize(
    ("expires_at", "end"), [(None, inf), (NOW + 9, NOW + 9), (NOW - 9, NOW - 9)]
)
def test_a_token_that_comes_again_has_no_windows(expires_at: float | None, end: float) -> None:
    """A source that gives the same token again is not asked before the token's end."""
    assert without_windows(expires_at, NOW) == Schedule(NOW, end, end, end)


@pytest.mark.parametrize(
    ("until", "early", "late"),
    [
        (70.0, 70.0, 95.0),
        (80.0, 80.0, 95.0),
        (95.0, 95.0, 95.0),
        (98.0, 98.0, 98.0),
        (100.0, 100.0, 100.0),
        (999.0, 100.0, 100.0),
    ],
)
def test_postponed(until: float, early: float, late: float) -> None:
    """The given time postpones both the next renewal and the wait for it; the end stays."""
    assert LIVED.postponed(until) == replace(LIVED, early=early, late=late)


def test_only_what_has_no_window_is_endless() -> None:
    """A token may be sent without looking at the clock only if it has no early window."""
    assert Schedule(NOW).is_endless
    assert not Schedule(NOW).postponed(NOW + 9).is_endless
    assert not schedule(NOW + 9, NOW, 0.0).is_endless


def test_postponed_without_an_end() -> None:
    """A token without an end can be made early, and never late."""
    assert Schedule(5.0).postponed(20.0) == Schedule(5.0, 20.0, inf, inf)


@given(
    life=lives,
    fraction=fractions,
    pauses=st.lists(st.floats(min_value=0.0, max_value=1e6), max_size=9),
)
def test_postponing_never_breaks_the_order(
    life: float, fraction: float, pauses: list[float]
) -> None:
    """No window begins before the pause is over or after the end, however often it is postponed."""
    chosen = schedule(life, 0.0, fraction)
    for until in pauses:
        late = chosen.late
        chosen = chosen.postponed(until)
        assert min(until, life) == chosen.early <= chosen.late <= chosen.end == life
        assert chosen.late >= late
        assert chosen.begin == 0.0


@pytest.mark.parametrize(
    ("chosen", "now", "young"),
    [
        (LIVED, 0.0, True),
        (LIVED, 24.9, True),
        (LIVED, 25.0, False),
        (LIVED, 100.0, False),
        (replace(LIVED, begin=60.0), 69.9, True),
        (replace(LIVED, begin=60.0), 70.0, False),
        (Schedule(NOW), NOW + 1e9, True),
        (schedule(NOW - 9, NOW, 0.0), NOW, False),
    ],
)
def test_is_young(chosen: Schedule, now: float, young: bool) -> None:  # noqa: FBT001 (a case)
    """A token is young in the first quarter of its life, and always if it has no end."""
    assert chosen.is_young(now) is young


@pytest.mark.parametrize(
    ("renewals", "now", "refused"),
    [
        ([], 0.0, False),
        ([0.0] * 4, 0.0, False),
        ([0.0] * 5, 0.0, True),
        ([0.0, 1.0, 2.0, 3.0, 4.0], 29.9, True),
        ([0.0, 1.0, 2.0, 3.0, 4.0], 30.0, False),
        ([-99.0, 0.0, 1.0, 2.0, 3.0, 4.0], 29.9, True),
        ([-99.0, 1.0, 2.0, 3.0, 4.0], 5.0, False),
    ],
)
def test_are_refused_at_once(renewals: list[float], now: float, *, refused: bool) -> None:
    """Five renewals in the last thirty seconds are too many; older ones do not count."""
    assert are_refused_at_once(renewals, now) is refused
    assert are_refused_at_once(deque(renewals, maxlen=5), now) is refused


@given(
    gaps=st.lists(st.floats(min_value=0.0, max_value=20.0), max_size=60),
)
def test_no_sixth_renewal_gets_past_the_limit(gaps: list[float]) -> None:
    """A caller that asks the rule first renews at most five times in any thirty seconds."""
    now, renewals = 0.0, list[float]()
    for gap in gaps:
        now += gap
        if not are_refused_at_once(renewals, now):
            renewals.append(now)
    for sixth in range(5, len(renewals)):
        assert renewals[sixth] - renewals[sixth - 5] >= 30.0


@pytest.mark.parametrize(
    ("fraction", "in_need", "while_good"),
    [
        (0.0, [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0], [10.0, 20.0, 40.0, 60.0, 60.0]),
        (0.5, [0.75, 1.5, 3.0, 6.0, 12.0, 22.5, 22.5], [15.0, 30.0, 60.0, 90.0, 90.0]),
    ],
)
def test_pauses(fraction: float, in_need: list[float], while_good: list[float]) -> None:
    """Pauses double up to a bound; while the token is valid, each is at least ten seconds."""
    for pause, delays in ((PAUSE, in_need), (PAUSE_WHILE_GOOD, while_good)):
        drawn = [
            pause.delay(failures, throttled=False, fraction=fraction)
            for failures in range(1, len(delays) + 1)
        ]
        assert drawn == delays


@given(failures=st.integers(1, 10_000), fraction=fractions)
def test_pauses_are_bounded(failures: int, fraction: float) -> None:
    """A pause has a bound, so that the renewal comes soon after the end of any outage."""
    assert 0.5 <= PAUSE.delay(failures, throttled=False, fraction=fraction) <= 30.0
    assert 10.0 <= PAUSE_WHILE_GOOD.delay(failures, throttled=False, fraction=fraction) <= 120.0


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, 0.0),
        (0.0, 0.0),
        (7, 7.0),
        (300.5, 300.5),
        (3600.0, 3600.0),
        (3600.1, 3600.0),
        (1e300, 3600.0),
        (-1.0, 0.0),
        (nan, 0.0),
        (inf, 0.0),
        (10**400, 0.0),
        (True, 0.0),
        ("7", 0.0),
        (object(), 0.0),
    ],
)
def test_granted(retry_after: object, seconds: float) -> None:
    """A number of seconds is granted up to an hour; any other value is ignored."""
    assert granted(retry_after) == seconds


# A call's replays, and what a 403 says


@pytest.mark.parametrize(
    ("replays", "fetched", "expected"),
    [
        (0, False, False),
        (1, False, False),
        (2, False, True),
        (3, False, True),
        (0, True, True),
        (1, True, True),
    ],
)
def test_has_replayed(replays: int, fetched: bool, expected: bool) -> None:  # noqa: FBT001 (a case)
    """A fetched token is the last answer; after a token that was found, one more answer follows."""
    assert has_replayed(replays, fetched=fetched) is expected


@pytest.mark.parametrize(
    ("challenge", "scheme", "reason"),
    [
        ("", "Bearer", None),
        ("Bearer", "Bearer", None),
        ('Bearer error="invalid_token"', "Bearer", None),
        ('Bearer error="insufficient_scope"', "Bearer", Reason.INSUFFICIENT_SCOPE),
        ('bearer error="insufficient_user_authentication"', "Bearer", Reason.STEP_UP),
        ('DPoP error="insufficient_scope"', "Bearer", None),
        ('DPoP error="invalid_dpop_proof"', "DPoP", Reason.PROOF_REFUSED),
        ('DPoP error="use_dpop_nonce"', "DPoP", None),
    ],
)
def test_lacks(challenge: str, scheme: str, reason: Reason | None) -> None:
    """A 403 is declined with a reason only if its challenge says what our token lacks."""
    challenges = parse_challenges([challenge])
    expected = None if reason is None else Decline(reason, challenges[0])
    assert lacks(challenges, scheme) == expected


# Generations in records


@pytest.mark.parametrize(
    ("generation", "read"),
    [("0", 0), ("7", 7), ("-1", -1), (str(10**30), 10**30), (None, 0)],
    ids=["first", "later", "negative", "huge", "before there were any"],
)
def test_generations_are_read(generation: str | None, read: int) -> None:
    """A record without a generation, from an earlier version, counts as the oldest."""
    fields = json.loads(TokenRecord(Token("x")).dump())
    del fields["generation"]
    if generation is not None:
        fields["generation"] = json.loads(generation)
    assert TokenRecord.load(json.dumps(fields)) == TokenRecord(Token("x"), read)


@pytest.mark.parametrize("generation", ['"7"', "1.0", "null", "[1]", "{}", "NaN", "1e999"])
def test_a_generation_that_is_no_number(generation: str) -> None:
    """A record whose generation is not a number is unreadable."""
    with pytest.raises(UnreadableRecordError):
        TokenRecord.load(f'{{"value": "x", "generation": {generation}}}')


BUSY = Outcome(503)


@pytest.mark.parametrize(
    ("outcome", "attempts", "left", "delay"),
    [
        (BUSY, 1, 60.0, 0.05),
        (BUSY, 3, 60.0, 0.2),
        (BUSY, 4, 60.0, None),
        (BUSY, 1, 0.1, None),
        (Outcome(503, retry_after=7.0), 1, 60.0, 7.0),
        (Outcome(503, retry_after=7.0), 1, 7.0, None),
        (Outcome(429, throttled=True), 1, 60.0, 1.0),
        (Outcome(failure=Failure.LOST), 1, 60.0, 0.05),
        (Outcome(failure=Failure.FATAL), 1, 60.0, None),
        (Outcome(403), 1, 60.0, None),
        (Outcome(409), 2, 60.0, None),
    ],
)
def test_when_a_source_that_failed_is_asked_again(
    outcome: Outcome, attempts: int, left: float, delay: float | None
) -> None:
    """As a token request is sent again, whatever the method: a 503 is, a 403 is not."""
    policy = RetryPolicy(methods=["GET"], idempotency_key=True)
    assert delay_after(outcome, policy, attempts, left, 1.0) == delay
