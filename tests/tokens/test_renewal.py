"""When a token is renewed, who waits for it and how long, and what its source may do."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from itertools import pairwise
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

import requests_authretry
from requests_authretry import (
    Challenge,
    FetchContext,
    Reason,
    RefreshDeclined,
    RefreshFailed,
    Settings,
    StoreFailed,
    Token,
    TokenRefreshed,
    mount,
)
from requests_authretry._core.token import TokenRecord
from requests_authretry._tokens import store_sync
from requests_authretry._tokens.renewal import EXIT_SECONDS, Renewal, hand_out, is_renewing
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.call.test_lifecycle import Child
from tests.support.renewals import (
    DOWN,
    HOUR,
    PATIENCE,
    SPENT,
    Desk,
    Drawn,
    Flaky,
    Issuer,
    Stepped,
    alone,
    ends,
    in_vain,
    no_thread,
)
from tests.support.scripted import EXPIRED, ORIGIN, URL, Source, carried, scripted, settings

if TYPE_CHECKING:
    from collections.abc import Callable

EARLY, LATE = HOUR - 900.0, HOUR - 60.0
"""When the windows of a token begin that is good for an hour, as long as no jitter is drawn."""

SECRET = "s3cret-of-the-user"


@pytest.fixture
def drawn() -> Drawn:
    """No jitter: windows at their longest, pauses at their shortest."""
    return Drawn()


@pytest.fixture
def clock(drawn: Drawn) -> FakeClock:
    """A clock that moves when it is told to, without jitter unless the test draws some."""
    return FakeClock(random=drawn)


@pytest.fixture
def issuer(clock: FakeClock) -> Issuer:
    """A source whose tokens are good for an hour."""
    return Issuer(clock)


@pytest.fixture
def desk(issuer: Issuer, clock: FakeClock) -> Desk:
    """A process that has its first token."""
    begun = Desk(issuer, clock)
    begun.token()
    assert issuer.has_begun()
    return begun


# Early


def test_before_its_windows_a_token_is_left_alone(
    desk: Desk, issuer: Issuer, clock: FakeClock
) -> None:
    """Up to fifteen minutes before its end a token is neither renewed nor looked up."""
    clock.advance(EARLY - 1)
    assert desk.value() == "access-1"
    assert desk.renewal is None
    assert issuer.calls == 1


def test_early_nobody_waits(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """In the early window one renewal runs beside the calls, which go on with the old token."""
    clock.advance(EARLY)
    with issuer.hanging():
        assert [(desk.value(), desk.waited()) for _ in range(20)] == [("access-1", 0.0)] * 20
        assert issuer.has_begun()
        worker = issuer.workers[-1]
    ends(worker)
    assert desk.value() == "access-2"
    assert issuer.calls == 2
    assert issuer.calls == 2


def test_an_early_source_is_told_so(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """The context of an early renewal says that it is early, and has all the rest."""
    old = desk.token()
    clock.advance(EARLY)
    desk.token()
    desk.settle()
    retry = desk.settings.retry
    assert issuer.contexts[1] == FetchContext(
        old, timeout=10.0, early=True, retry=retry, clock=clock
    )


def test_an_early_failure_keeps_the_old_token(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """While the token is good a failure costs no call; the pauses are 10, 20, 40 and 60 s."""
    issuer.given = DOWN
    clock.advance(EARLY)
    start = clock.monotonic()
    for _ in range(300):
        assert desk.value() == "access-1"
        desk.settle()
        clock.advance(1)
    asked = [moment - start for moment in issuer.asked[1:]]
    assert asked == [0.0, 10.0, 30.0, 70.0, 130.0, 190.0, 250.0]
    assert all(context.early for context in issuer.contexts[1:])


@pytest.mark.parametrize("given", [None, ValueError(), 7], ids=["None", "error", "nonsense"])
def test_whatever_an_early_source_does(
    desk: Desk, issuer: Issuer, clock: FakeClock, given: object
) -> None:
    """A source that declines, raises or gives nonsense early is as good as one that is down."""
    issuer.given = given
    clock.advance(EARLY)
    for _ in range(10):
        assert desk.value() == "access-1"
        desk.settle()
        clock.advance(0.9)
    assert issuer.calls == 2
    issuer.given = ()
    clock.advance(1)
    desk.token()
    desk.settle()
    assert desk.value() == "access-3"


def test_the_same_token_early(clock: FakeClock) -> None:
    """A source that repeats its token is not asked more often than one that fails.

    When its token is late it is asked once in earnest; then the token is taken as it is.
    """
    issuer = Issuer(clock)
    issuer.given = Token("same", clock.time() + HOUR)
    desk = Desk(issuer, clock)
    desk.token()
    clock.advance(EARLY)
    while clock.monotonic() < HOUR - 1:
        assert desk.value() == "same"
        desk.settle()
        clock.advance(1)
    asked = issuer.asked[1:]
    assert all(later - sooner >= 10 for sooner, later in pairwise(asked))
    assert [context.early for context in issuer.contexts[1:]] == [True] * (len(asked) - 1) + [False]
    assert asked[-1] >= LATE
    assert len(desk.told(TokenRefreshed)) == 1


def test_an_early_source_that_hangs(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """Until the token is late a source that hangs blocks nobody, and is not asked again."""
    clock.advance(EARLY)
    with issuer.hanging():
        while clock.monotonic() < LATE - 1:
            assert desk.waited() == 0.0
            clock.advance(1)
        assert issuer.has_begun()
        worker = issuer.workers[-1]
    ends(worker)
    assert desk.value() == "access-2"
    assert issuer.calls == 2


class Meanwhile(FakeClock):
    """A clock on which something happens while a caller looks at it."""

    happens: Callable[[], object] | None = None

    def time(self) -> float:
        """As ever, afterwards."""
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return super().time()


def test_early_once_for_each_token() -> None:
    """Who is slow to see that a token is early does not renew the one that has come meanwhile."""
    clock, store = Meanwhile(random=Drawn()), Flaky()
    issuer = Issuer(clock)
    desk = Desk(issuer, clock, store=store)
    desk.token()
    clock.advance(EARLY)

    def renews() -> None:
        desk.token()
        desk.settle()

    clock.happens = renews
    assert desk.value() == "access-1"
    desk.settle()
    assert desk.value() == "access-2"
    assert (issuer.calls, store.done.count("lock")) == (2, 2)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.99])
def test_an_outage_in_the_early_window(
    issuer: Issuer, clock: FakeClock, drawn: Drawn, fraction: float
) -> None:
    """A token endpoint that is down for a quarter of an hour costs no call and few questions.

    A call each second; when the token is over they fail, and go on soon after it is back.
    """
    drawn.fraction = fraction
    desk = Desk(issuer, clock)
    session, _ = scripted(desk.settings, *[200] * 1200)
    session.get(URL)
    issuer.given = DOWN
    clock.advance(EARLY)
    while clock.monotonic() < HOUR:
        assert session.get(URL).status_code == 200
        desk.settle()
        clock.advance(1)
    asked = issuer.asked[1:]
    assert 5 < len(asked) < 20
    assert all(later - sooner >= 10 for sooner, later in pairwise(asked))
    with pytest.raises(RefreshFailed, match="down"):
        session.get(URL)
    issuer.given = ()
    clock.advance(30)
    assert session.get(URL).status_code == 200


@pytest.mark.parametrize("constant", ["str", "Token"])
def test_a_constant_has_no_windows(clock: FakeClock, constant: str) -> None:
    """A token of the settings themselves is used to its end, and no store is asked for another."""
    store = Flaky()
    given = "fixed" if constant == "str" else Token("fixed", clock.time() + HOUR)
    desk = Desk(given, clock, store=store)
    for _ in range(60):
        assert desk.value() == "fixed"
        clock.advance(59.9)
    assert desk.renewal is None
    assert store.done == []


def test_a_token_without_an_end_has_no_windows(clock: FakeClock) -> None:
    """What has no end that we know of is used until it is refused."""
    issuer = Issuer(clock, None)
    desk = Desk(issuer, clock)
    for _ in range(5):
        assert desk.value() == "access-1"
        clock.advance(1e9)
    assert (issuer.calls, desk.renewal) == (1, None)


@pytest.mark.parametrize("life", [None, HOUR])
def test_a_token_without_windows_is_sent_without_a_look_at_the_clock(
    clock: FakeClock, life: float | None
) -> None:
    """Calls take the current token as it is where it has no end; else they ask for one in time."""
    desk = Desk(Issuer(clock, life), clock)
    token = desk.token()
    assert desk.manager.current == (token if life is None else None)


@pytest.mark.parametrize(("fraction", "early"), [(0.0, 900), (0.5, 675), (0.8, 540)])
def test_windows_are_jittered(
    issuer: Issuer, clock: FakeClock, drawn: Drawn, fraction: float, early: int
) -> None:
    """When a token is renewed is drawn anew for each process and token."""
    drawn.fraction = fraction
    desk = Desk(issuer, clock)
    desk.token()
    clock.advance(HOUR - early - 1)
    desk.token()
    assert desk.renewal is None
    clock.advance(1)
    desk.token()
    desk.settle()
    assert issuer.calls == 2


# Late


def test_late_the_call_gets_the_new_token(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """In the last minute a call waits for the renewal, and goes with what it brings."""
    clock.advance(LATE)
    assert desk.value() == "access-2"
    assert [context.early for context in issuer.contexts] == [False, False]


@pytest.mark.parametrize(
    ("patience", "moment", "waits"),
    [
        (120.0, LATE, 10.0),
        (20.0, LATE, 10.0),
        (8.0, LATE, 4.0),
        (0.5, LATE, 0.25),
        (0.0, LATE, 0.0),
        (120.0, HOUR - 11, 10.0),
    ],
)
def test_late_a_call_waits_a_little(
    desk: Desk, issuer: Issuer, patience: float, moment: float, waits: float
) -> None:
    """Half of what a call has, 10 s at most: then it goes on with the token, which is good."""
    desk.clock.advance(moment)
    with issuer.hanging():
        assert desk.waited(patience) == waits
        assert issuer.has_begun()
        worker = issuer.workers[-1]
    ends(worker)
    assert desk.value() == "access-2"
    assert issuer.calls == 2


def test_late_not_every_call_waits(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """Where one has waited in vain the others need not, for ten seconds."""
    clock.advance(LATE)
    with issuer.hanging():
        assert [desk.waited() for _ in range(9)] == [10.0] + [0.0] * 8
        clock.advance(9.9)
        assert desk.waited() == 0.0
        clock.advance(0.1)
        assert desk.waited() == 10.0
        assert issuer.has_begun()
        worker = issuer.workers[-1]
    ends(worker)
    assert issuer.calls == 2


def test_late_and_then_over(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """Who waits when the token's time ends waits on, for the new one, as long as it can."""
    clock.advance(HOUR - 3)
    start = clock.monotonic()
    with issuer.hanging():
        worker = in_vain(desk, issuer, 30.0)
        assert clock.monotonic() - start == 30.0
    ends(worker)
    assert desk.value() == "access-2"
    assert issuer.calls == 2


def test_a_late_failure_keeps_the_old_token(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """In the last minute, too, a failure costs no call, and is not repeated before ten seconds."""
    clock.advance(LATE)
    issuer.given = DOWN
    while clock.monotonic() < HOUR - 0.5:
        assert (desk.value(), desk.waited()) == ("access-1", 0.0)
        clock.advance(0.5)
    asked = [moment - LATE for moment in issuer.asked[1:]]
    assert asked == [0.0, 10.0, 30.0]
    assert not any(context.early for context in issuer.contexts)


@pytest.mark.parametrize("given", [None, KeyError(), ""], ids=["None", "error", "nonsense"])
def test_whatever_a_late_source_does(
    desk: Desk, issuer: Issuer, clock: FakeClock, given: object
) -> None:
    """A source that declines, raises or gives nonsense late costs no call."""
    clock.advance(LATE)
    issuer.given = given
    assert [desk.value() for _ in range(3)] == ["access-1"] * 3
    assert issuer.calls == 2


def test_late_without_a_thread(
    desk: Desk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread is to be had, a good token is used until the callers wait for another."""
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    given = []
    for moment in (EARLY, 1.0, LATE - EARLY):
        clock.advance(moment)
        given.append(desk.value())
    assert given == ["access-1", "access-1", "access-2"]


@pytest.mark.parametrize("which", [1, 2])
def test_a_renewal_is_not_half_begun(
    desk: Desk, issuer: Issuer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """Where the last thread to be had is not enough, the caller's does the work, once."""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def some(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == which:
            no_thread(thread)
        start(thread)

    clock.advance(HOUR)
    with monkeypatch.context() as limits:
        limits.setattr(threading.Thread, "start", some)
        assert desk.value() == "access-2"
    ends(*started[: which - 1])
    assert (issuer.calls, desk.renewal) == (2, None)
    assert issuer.workers[-1] is threading.current_thread()


# Early, late, over: who joins whom


@pytest.mark.parametrize("why", ["refused", "late", "over"])
def test_an_early_try_is_not_enough_in_need(why: str) -> None:
    """Who needs a token and has joined an early renewal that failed has one made in earnest."""
    clock = Stepped()
    issuer = Issuer(clock, 100.0)
    desk = Desk(issuer, clock)
    old = desk.token()
    clock.advance(94)
    issuer.given = DOWN
    with ThreadPoolExecutor(1) as caller:
        with issuer.hanging():
            assert desk.value() == "access-1"
            early = desk.renewal
            assert issuer.has_begun()
            assert issuer.has_begun()
            issuer.given = ()
            clock.advance({"refused": 0, "late": 2, "over": 6}[why])
            in_need: Callable[[], Any] = partial(desk.renewed, old)
            result = caller.submit(in_need if why == "refused" else desk.token)
            assert clock.somebody_waits()
            assert desk.renewal is early
        assert result.result(PATIENCE).value == "access-3"
    told = [(context.early, context.refused) for context in issuer.contexts[1:]]
    assert told == [(True, False), (False, why == "refused")]


def test_over_all_wait_for_one_renewal(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """A token whose time is over is sent by nobody: all get the new one, fetched once."""
    clock.advance(HOUR)
    with ThreadPoolExecutor(20) as callers:
        values = [call.result(120) for call in [callers.submit(desk.value) for _ in range(20)]]
    assert values == ["access-2"] * 20
    assert issuer.calls == 2


def test_what_is_given_again_when_it_is_over(clock: FakeClock) -> None:
    """A source that knows no other token: it is used on, without an end, until it is refused."""
    source = Source(Token("same", clock.time() + HOUR))
    desk = Desk(source, clock)
    desk.token()
    for _ in range(3):
        clock.advance(HOUR)
        assert desk.value() == "same"
    assert (source.calls, desk.renewal) == (2, None)


# Failures in need


def asked_while(desk: Desk, issuer: Issuer, clock: FakeClock, seconds: float) -> list[float]:
    """When the source is asked, by calls every quarter of a second that all fail."""
    start, before = clock.monotonic(), issuer.calls
    while clock.monotonic() < start + seconds:
        with pytest.raises(RefreshFailed):
            desk.token()
        clock.advance(0.25)
    return [moment - start for moment in issuer.asked[before:]]


def test_pauses_grow_and_a_new_version_clears_them(
    desk: Desk, issuer: Issuer, clock: FakeClock
) -> None:
    """In need the pauses are 1, 2, 4 s and so on up to 30 s, of which jitter leaves half."""
    issuer.given = DOWN
    clock.advance(HOUR)
    grown = [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 30.5, 45.5]
    assert asked_while(desk, issuer, clock, 50.0) == grown
    issuer.given = ()
    clock.advance(15)
    first = issuer.calls
    assert desk.value() == f"access-{first + 1}"
    clock.advance(HOUR)
    issuer.given = DOWN
    assert asked_while(desk, issuer, clock, 3.0) == grown[:3]


def test_a_failure_for_one_version_is_none_for_another(
    desk: Desk, issuer: Issuer, clock: FakeClock
) -> None:
    """A remembered failure says nothing of the token that came after it."""
    old = desk.token()
    issuer.given = KeyError()
    for _ in range(2):
        with pytest.raises(RefreshFailed, match="KeyError"):
            desk.renewed(old)
    issuer.given = ()
    clock.advance(0.5)
    new = desk.renewed(old)
    assert isinstance(new, Token)
    issuer.given = None
    assert desk.renewed(new) is Reason.SOURCE_DECLINED
    assert desk.renewed(old) == new
    assert issuer.calls == 4


def test_a_failure_is_remembered_after_a_late_401_for_an_old_token_too(
    desk: Desk, issuer: Issuer, clock: FakeClock
) -> None:
    """Late refusals of old tokens, when the current one is over, do not hammer the source."""
    old = desk.token()
    desk.renewed(old)
    clock.advance(HOUR)
    issuer.given = DOWN
    for _ in range(5):
        with pytest.raises(RefreshFailed, match="down"):
            desk.renewed(old)
    assert issuer.calls == 3


def test_a_late_401_says_nothing_of_a_newer_token(
    desk: Desk, issuer: Issuer, clock: FakeClock
) -> None:
    """The newest token has expired, and an older one is refused: the source hears of no refusal."""
    old = desk.token()
    new = desk.renewed(old)
    assert isinstance(new, Token)
    clock.advance(HOUR)
    refusal = FetchContext(old, refused=True, challenge=Challenge("Bearer", {"error": "revoked"}))
    desk.manager.renew(refusal, clock.monotonic() + 30.0, alone(clock))
    retry = desk.settings.retry
    assert issuer.contexts[2] == FetchContext(new, timeout=30.0, retry=retry, clock=clock)


@pytest.mark.parametrize(
    ("retry_after", "pause"), [(None, 10.0), (5.0, 10.0), (300.0, 300.0), (2000.0, 2000.0)]
)
def test_retry_after_of_an_early_renewal_is_kept(
    clock: FakeClock, retry_after: float, pause: float
) -> None:
    """A token endpoint is not asked before it wants to be, an hour at most; calls go on."""
    issuer = Issuer(clock)
    desk = Desk(issuer, clock)
    desk.token()
    clock.advance(EARLY)
    issuer.given = RefreshFailed("later", retry_after=retry_after)
    while clock.monotonic() < HOUR:
        assert desk.value() == "access-1"
        desk.settle()
        clock.advance(1)
    assert issuer.asked[1:2] == [EARLY]
    assert issuer.asked[2:3] == ([EARLY + pause] if pause < 900 else [])


@pytest.mark.parametrize(
    ("retry_after", "pause"), [(None, 0.5), (0.2, 0.5), (300.0, 300.0), (1e9, HOUR)]
)
def test_retry_after_of_a_due_renewal_is_kept(
    desk: Desk, issuer: Issuer, clock: FakeClock, retry_after: float, pause: float
) -> None:
    """Until then callers are told at once that there is none, and when there may be one."""
    issuer.given = RefreshFailed("later", retry_after=retry_after)
    clock.advance(HOUR)
    for step in (0.0, pause - 0.1):
        clock.advance(step)
        with pytest.raises(RefreshFailed, match="later") as caught:
            desk.token()
        assert caught.value.retry_after == retry_after
    assert issuer.calls == 2
    issuer.given = ()
    clock.advance(0.1)
    assert desk.value() == "access-3"


class ForeignError(Exception):
    """Another library's exception, whose retry_after is no number of seconds."""

    retry_after = "a pony"


@pytest.mark.parametrize("retry_after", ["5", -5.0, nan, "of another"])
def test_a_retry_after_that_is_no_number_is_ignored(
    desk: Desk, issuer: Issuer, clock: FakeClock, retry_after: Any
) -> None:
    """A retry_after that is no number of seconds is ignored: nobody waits for it."""
    issuer.given = (
        ForeignError()
        if retry_after == "of another"
        else RefreshFailed("no", retry_after=retry_after)
    )
    clock.advance(HOUR)
    with pytest.raises(RefreshFailed):
        desk.token()
    assert desk.renewal is None
    issuer.given = ()
    clock.advance(0.5)
    assert desk.value() == "access-3"


# Tokens that are refused as soon as they are renewed


def test_a_server_that_refuses_all_is_asked_five_times(clock: FakeClock, issuer: Issuer) -> None:
    """Five renewals in thirty seconds that did not help: the 401 is handed out, and no more."""
    desk = Desk(issuer, clock)
    session, below = scripted(desk.settings, *[EXPIRED] * 20)
    for _ in range(8):
        assert session.get(URL).status_code == 401
        clock.advance(2)
    assert [event.reason for event in desk.told(RefreshDeclined)] == (
        [Reason.ANSWERED] * 5 + [Reason.STORM] * 3
    )
    assert (issuer.calls, len(below.sent)) == (6, 13)
    clock.advance(30 - 16)
    assert session.get(URL).status_code == 401
    assert desk.told(RefreshDeclined)[-1].reason is Reason.ANSWERED
    assert issuer.calls == 7


@pytest.mark.parametrize(
    ("age", "last"), [(1.9, Reason.STORM), (2.0, Token)], ids=["young", "not so young"]
)
def test_old_tokens_that_are_refused_are_renewed(
    clock: FakeClock, age: float, last: object
) -> None:
    """Tokens that are refused later in life, as by a server whose clock is ahead, do not count."""
    issuer = Issuer(clock, 8.0)
    desk = Desk(issuer, clock)
    results: list[Any] = [desk.token()]
    for _ in range(8):
        clock.advance(age)
        if isinstance(results[-1], Token):
            results.append(desk.renewed(results[-1]))
    assert results[-1] is last or isinstance(results[-1], Token)
    assert len(results) == (7 if last is Reason.STORM else 9)


def test_a_token_that_is_over_is_renewed_whatever_was_refused(clock: FakeClock) -> None:
    """The guard is for refusals: a token whose time is over is renewed all the same."""
    issuer = Issuer(clock, 8.0)
    desk = Desk(issuer, clock)
    given: Any = desk.token()
    while isinstance(given, Token):
        given = desk.renewed(given)
    assert given is Reason.STORM
    calls = issuer.calls
    clock.advance(8)
    assert desk.value() == f"access-{calls + 1}"


# Late results


def test_a_late_401_gets_the_token_there_is(desk: Desk, issuer: Issuer) -> None:
    """A refusal of an older token asks no source."""
    old = desk.token()
    new = desk.renewed(old)
    assert desk.renewed(old) == new
    assert issuer.calls == 2


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a lock gives up soon, so that these tests need no minute."""
    monkeypatch.setattr(store_sync, "LOCK_SECONDS", 0.05)


@pytest.mark.usefixtures("hasty")
def test_a_source_that_hangs_does_not_end_renewal(
    desk: Desk, issuer: Issuer, clock: FakeClock
) -> None:
    """After a minute it is asked again; what it says at last replaces no newer token."""
    store_of = desk.manager._sync._kept.store  # noqa: SLF001 (it is the process' own)
    clock.advance(HOUR)
    with issuer.hanging():
        hung = in_vain(desk, issuer)
        with issuer.answering():
            assert desk.value() == "access-3"
    ends(hung)
    assert desk.value() == "access-3"
    stored = TokenRecord.load(store_of.read("token"))
    assert stored is not None
    assert stored.token is not None
    assert stored.token.value == "access-3"
    clock.advance(LATE)
    assert desk.value() == "access-4"
    assert issuer.spent == [None, "refresh-1", "refresh-1", "refresh-3"]


class Patient(Issuer):
    """A source that may take five minutes, as one that waits for a person does."""

    patience = 300.0


@pytest.mark.usefixtures("hasty")
def test_a_patient_source_is_asked_again_later(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A source with ``patience = 300.0`` is asked again after 300 s, with a warning."""
    warning = "a token source has not answered for long: it is asked again"
    issuer = Patient(clock)
    desk = Desk(issuer, clock)
    desk.token()
    assert issuer.has_begun()
    clock.advance(HOUR)
    with issuer.hanging():
        hung = in_vain(desk, issuer, 299.0)
        first = desk.renewal
        with pytest.raises(RefreshFailed, match="no token within"):
            desk.token(1.0)
        assert desk.renewal is first
        assert (issuer.calls, caplog.messages.count(warning)) == (2, 0)
        with issuer.answering():
            assert desk.value() == "access-3"
        assert (issuer.calls, caplog.messages.count(warning)) == (3, 1)
    ends(hung)


@pytest.mark.usefixtures("hasty")
def test_a_late_result_is_welcome_where_there_is_none(
    desk: Desk, issuer: Issuer, clock: FakeClock
) -> None:
    """What a renewal brings that was given up on is used, unless there is something newer."""
    clock.advance(HOUR)
    with issuer.hanging():
        hung = in_vain(desk, issuer)
        with issuer.answering():
            issuer.given = SPENT
            with pytest.raises(RefreshFailed, match="not good"):
                desk.token()
    ends(hung)
    late = desk.token()
    issuer.given = ()
    new = desk.renewed(late)
    assert isinstance(new, Token)
    assert (late.value, new.value) == ("access-2", "access-4")


@pytest.mark.usefixtures("hasty")
def test_a_late_failure_does_not_count(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """What a renewal says at last that was given up on is not the word of its successor."""
    clock.advance(HOUR)
    first_ends = issuer.hang()
    issuer.given = KeyError()
    first = in_vain(desk, issuer)
    second_ends = issuer.hang()
    issuer.given = ()
    second = in_vain(desk, issuer, 5.0)
    first_ends.set()
    ends(first)
    with pytest.raises(RefreshFailed, match="no token within"):
        desk.token(5.0)
    second_ends.set()
    ends(second)
    assert desk.value() == "access-3"
    assert issuer.calls == 3


@pytest.mark.usefixtures("hasty")
def test_a_failure_after_a_late_result(desk: Desk, issuer: Issuer, clock: FakeClock) -> None:
    """A failure to replace the token before says nothing of the one that has come meanwhile."""
    clock.advance(HOUR)
    first_ends = issuer.hang()
    first = in_vain(desk, issuer)
    second_ends = issuer.hang()
    issuer.given = KeyError()
    second = in_vain(desk, issuer, 5.0)
    first_ends.set()
    ends(first)
    late = desk.token()
    second_ends.set()
    ends(second)
    issuer.answer()
    issuer.given = ()
    new = desk.renewed(late)
    assert isinstance(new, Token)
    assert (late.value, new.value) == ("access-2", "access-4")


# Sources that use a mounted session


def in_a_task(work: Callable[[], object]) -> None:
    """In a task of asyncio."""

    async def run() -> None:
        work()

    async def task() -> None:
        await asyncio.create_task(run())

    asyncio.run(task())


def in_a_thread(work: Callable[[], object]) -> None:
    """In a thread that has our context, as frameworks make them."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(copy_context().run, work).result()


def in_a_thread_of_asyncio(work: Callable[[], object]) -> None:
    """In a thread of asyncio."""
    asyncio.run(asyncio.to_thread(work))


WAYS = {
    "itself": lambda work: work(),
    "task": in_a_task,
    "thread": in_a_thread,
    "to_thread": in_a_thread_of_asyncio,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_source_on_its_own_session(clock: FakeClock, way: Callable[..., None]) -> None:
    """Wherever a source waits for the token that it makes, it is told so at once."""
    inside: list[RefreshFailed] = []

    def ask() -> None:
        with pytest.raises(RefreshFailed, match="give it one of its own") as caught:
            session.get(URL)
        inside.append(caught.value)
        raise caught.value

    session, below = scripted(settings(lambda: way(ask), clock=clock))
    with pytest.raises(RefreshFailed, match="give it one of its own"):
        session.get(URL)
    assert len(inside) == 1
    assert (below.sent, clock.sleeps) == ([], [])


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_source_on_its_session_for_others(clock: FakeClock, way: Callable[..., None]) -> None:
    """Another origin may be asked over the mounted session, from wherever the source works."""
    answers: list[str] = []

    def ask() -> None:
        answers.append(session.get("https://login.example.com/token").text)

    def fetch() -> str:
        way(ask)
        return answers[-1]

    session, below = scripted(settings(fetch, clock=clock), (200, {}, b"issued"), 200)
    assert session.get(URL).status_code == 200
    assert carried(below) == [None, "Bearer issued"]


@pytest.mark.parametrize("length", [2, 3])
def test_sessions_that_wait_for_one_another(clock: FakeClock, length: int) -> None:
    """A circle of sources, each of which asks over the next one's session, is found."""
    urls = [f"https://api{number}.example.com" for number in range(length)]
    sessions = [requests.Session() for _ in urls]
    below = ScriptedAdapter()
    for number, session in enumerate(sessions):
        after = (number + 1) % length
        session.mount("https://", below)
        source = partial(text_of, sessions[after], urls[after])
        mount(session, Settings(token=source, origins=[urls[number]], clock=clock))
    for session, url in zip(sessions, urls, strict=True):
        with pytest.raises(RefreshFailed, match="give it one of its own"):
            session.get(url)
    assert (below.sent, clock.sleeps) == ([], [])


def text_of(session: requests.Session, url: str) -> str:
    """What is there."""
    return session.get(url).text


def test_an_early_source_may_use_the_old_token(clock: FakeClock) -> None:
    """An early renewal over the mounted session is no circle: the old token is good still."""

    def fetch() -> Token:
        old = not below.sent or session.get(URL).text
        return Token(f"after-{old}", clock.time() + HOUR)

    desk = Desk(fetch, clock)
    session, below = scripted(desk.settings, 200, *[(200, {}, b"it")] * 2)
    session.get(URL)
    clock.advance(EARLY)
    session.get(URL)
    desk.settle()
    assert carried(below) == ["Bearer after-True"] * 3
    assert desk.value() == "after-it"


def test_a_source_is_at_work_until_its_renewal_is_over(clock: FakeClock) -> None:
    """A thread that a source leaves behind has its context, and works for no token any more."""
    left = []

    def fetch() -> str:
        left.append((is_renewing(), copy_context()))
        return "given"

    desk = Desk(fetch, clock)
    desk.token()
    ((was_renewing, context),) = left
    assert was_renewing is True
    assert context.run(is_renewing) is False
    assert is_renewing() is False


# Those who wait


def test_each_is_back_by_its_own_deadline() -> None:
    """Fifty callers wait for one slow source, each as long as it can; the token is used after."""
    clock = Stepped()
    issuer = Issuer(clock)
    desk = Desk(issuer, clock)
    back: dict[int, float | str] = {}

    def call(patience: int) -> None:
        try:
            back[patience] = desk.value(patience)
        except RefreshFailed:
            back[patience] = clock.monotonic()

    callers = {
        patience: threading.Thread(target=call, args=[patience]) for patience in range(1, 51)
    }
    with issuer.hanging():
        for caller in callers.values():
            caller.start()
            assert clock.somebody_waits()
        for second in range(1, 41):
            clock.advance(1)
            ends(callers[second])
    ends(*callers.values())
    assert back == {
        patience: patience if patience <= 40 else "access-1" for patience in range(1, 51)
    }
    assert (desk.value(), issuer.calls) == ("access-1", 1)


def test_a_renewal_outlives_who_asked_first(issuer: Issuer, clock: FakeClock) -> None:
    """Nobody is left who waits: the renewal runs to its end, and its token is used."""
    desk = Desk(issuer, clock)
    with issuer.hanging():
        worker = in_vain(desk, issuer, 2.0)
    ends(worker)
    assert desk.value() == "access-1"
    assert issuer.calls == 1
    assert [event.adopted for event in desk.told(TokenRefreshed)] == [False]


def test_a_renewal_without_a_result_was_cut_off() -> None:
    """Who waited for a thread that ended without a result is told so."""
    renewal = Renewal(FetchContext(None), 60.0, is_second=False)
    with pytest.raises(RefreshFailed) as caught:
        hand_out(renewal.result)
    assert str(caught.value) == "no token from the token source: its renewal was cut off"


def test_a_renewal_that_has_not_begun_has_no_thread(clock: FakeClock) -> None:
    """The clock of tests waits for the time, where it has no thread to wait for."""
    clock.sleep(5.0, Renewal(FetchContext(None), 60.0, is_second=False))
    assert clock.sleeps == [5.0]


# The end of the program


class Noted(Renewal):
    """A renewal that notes how long it is waited for."""

    waits: list[float | None]

    def wait(self, timeout: float | None = None) -> bool:
        """As ever."""
        self.waits.append(timeout)
        return super().wait(timeout)


@pytest.mark.parametrize("daemon", [False, True])
def test_one_thread_works_and_one_keeps_the_program(
    monkeypatch: pytest.MonkeyPatch, *, daemon: bool
) -> None:
    """The worker is a daemon, the other thread is none, whichever kind of thread begins them.

    The other one waits for the renewal, 30 s at most.
    """
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def note(thread: threading.Thread) -> None:
        started.append(thread)
        start(thread)

    renewal = Noted(FetchContext(None), 60.0, is_second=False)
    renewal.waits = []
    caller = threading.Thread(target=renewal.begin, args=[Renewal.set], daemon=daemon)
    monkeypatch.setattr(threading.Thread, "start", note)
    caller.start()
    ends(caller)
    keeper, worker = started[1:]
    ends(keeper, worker)
    assert renewal.worker is worker
    assert (keeper.name, keeper.daemon) == ("requests_authretry renewal", False)
    assert (worker.name, worker.daemon) == ("requests_authretry renewal", True)
    assert renewal.waits == [EXIT_SECONDS]


PROGRAM = """
import multiprocessing, sys, threading, time
from pathlib import Path
import requests
from requests_authretry import RefreshFailed, RetryPolicy, Settings, Token, mount
from requests_authretry._core.token import TokenRecord
from requests_authretry.testing import FakeClock, ScriptedAdapter
from requests_authretry._tokens import renewal as _renewal

way, how, place = sys.argv[1:]
clock = FakeClock()
clock.patience = 0.0
asked = threading.Event()

def fetch():
    if way == "early" and not asked.is_set():
        asked.set()
        return Token("old", clock.time() + 100)
    if way == "hangs":
        threading.Event().wait()
    time.sleep(0.4)
    Path(place).write_text("kept")
    return "new"

def main():
    session = requests.Session()
    session.mount("https://", ScriptedAdapter(200, 200))
    chosen = Settings(token=fetch, origins=["https://api.example.com"], clock=clock)
    mount(session, chosen)
    if way == "hangs":
        _renewal.EXIT_SECONDS = 0.1
    if way == "early":
        clock.patience = 5.0
        session.get("https://api.example.com")
        clock.advance(90)
        session.get("https://api.example.com")
    else:
        try:
            session.get("https://api.example.com")
        except RefreshFailed:
            pass
    print("main is over", flush=True)

if __name__ == "__main__":
    if how == "itself":
        main()
    else:
        child = multiprocessing.get_context(how).Process(target=main)
        child.start()
        child.join()
        print("ended with", child.exitcode)
"""


def ended(tmp_path: Path, way: str, how: str) -> tuple[list[str], bool]:
    """What a program says that ends while a renewal is under way, and whether that was kept."""
    program, kept = tmp_path / "program.py", tmp_path / "kept"
    program.write_text(PROGRAM)
    home = str(Path(requests_authretry.__file__).parent.parent)
    done = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, str(program), way, how, str(kept)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": home},
    )
    assert done.stderr == ""
    return done.stdout.splitlines(), kept.exists()


@pytest.mark.parametrize(
    ("way", "how"),
    [
        ("given up", "itself"),
        ("early", "itself"),
        *(("given up", method) for method in multiprocessing.get_all_start_methods()),
    ],
)
def test_the_end_of_the_program_waits(tmp_path: Path, way: str, how: str) -> None:
    """A program that ends during a renewal, and a child of one, lets it come to its end."""
    said = ["main is over"] if how == "itself" else ["main is over", "ended with 0"]
    assert ended(tmp_path, way, how) == (said, True)


def test_a_source_that_hangs_does_not_keep_the_program(tmp_path: Path) -> None:
    """The end of the program does not wait for ever."""
    assert ended(tmp_path, "hangs", "itself") == (["main is over"], False)


# Forks


def test_a_child_forgets_the_renewal_of_its_parent(
    desk: Desk, issuer: Issuer, clock: FakeClock
) -> None:
    """What runs in a child after a fork leaves no renewal under way: its thread is not there."""
    clock.advance(EARLY)
    with issuer.hanging():
        desk.token()
        assert issuer.has_begun()
        worker = issuer.workers[-1]
        forget = desk.manager._lock.reset  # noqa: SLF001 (as the fork does)
        assert forget is not None
        forget()
        assert desk.renewal is None
    ends(worker)


if hasattr(os, "fork"):  # pragma: no branch

    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    @pytest.mark.parametrize("moment", [EARLY, LATE, HOUR])
    def test_a_child_renews_for_itself(
        desk: Desk, issuer: Issuer, clock: FakeClock, moment: float
    ) -> None:
        """A child made during an early renewal has one of its own; the parent's goes on."""

        def renewed() -> str:
            with issuer.answering():
                clock.advance(moment - EARLY)
                desk.token()
                desk.settle()
                return f"{desk.value()} {issuer.calls} {desk.renewal}"

        clock.advance(EARLY)
        with issuer.hanging():
            assert desk.value() == "access-1"
            assert issuer.has_begun()
            assert Child(renewed).answer() == "access-3 3 None"
            assert desk.value() == "access-1"
            worker = issuer.workers[-1]
        ends(worker)
        assert desk.value() == "access-2"
        assert issuer.calls == 2


# Secrets


def test_nothing_that_is_told_is_secret(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Neither events nor logs nor dumps have a token, or what a foreign store says of itself."""
    caplog.set_level(logging.DEBUG)
    error = requests.ConnectionError(f"https://kv.example.com/?token={SECRET}")
    store, end = Flaky(error=error), clock.time() + 99
    tokens = [Token(f"{n}-{SECRET}", end, refresh_token=f"r{n}-{SECRET}") for n in range(8)]
    source = Source(*tokens[:5], None, SPENT)
    desk = Desk(source, clock, store=store)
    for failing in ("lock", "read", "write", "release"):
        store.failing = {failing}
        session, _ = scripted(desk.settings, EXPIRED, EXPIRED)
        with suppress(RefreshFailed):
            session.get(f"{URL}?key={SECRET}")
        clock.advance(9)
    assert {(event.doing, event.error) for event in desk.told(StoreFailed)} == {
        (doing, "ConnectionError") for doing in ("lock", "read", "write")
    }
    assert {event.key for event in desk.told(StoreFailed)} <= {ORIGIN, "cool-down"}
    assert len(desk.told(RefreshDeclined)) > 0
    sync = desk.manager._sync  # noqa: SLF001 (a debugger shows it all)
    kept = sync._kept  # noqa: SLF001
    shown = [desk.events, vars(desk.manager), vars(sync), vars(kept), source.contexts]
    assert SECRET not in f"{shown} {caplog.text}"
    assert "ConnectionError" in caplog.text
