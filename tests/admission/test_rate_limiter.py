"""Cool-downs: which calls a refusal holds back, for how long, in which order, and to which end."""

from __future__ import annotations

import gzip
import logging
import os
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import (
    AuthRetryError,
    CoolingDown,
    GaveUp,
    MemoryStore,
    RateLimits,
    Reason,
    RetryPolicy,
    RetryQuota,
    RetryScheduled,
    Waiting,
    attempts,
    explain,
)
from requests_authretry._admission.outage_tracker import OutageTracker
from requests_authretry._admission.rate_limiter import RateLimiter
from requests_authretry._admission.waiting import Waiter, Wake
from requests_authretry._core.scope import Scope
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.call.test_lifecycle import Child
from tests.support.limits import (
    ONCE,
    POLICY,
    UNPACED,
    StandingClock,
    crowd,
    hint,
    looks_end,
    refused_for,
    target,
)
from tests.support.sessions import API, AT_ONCE, Rig, raised, real
from tests.support.wire import Wire, answer, chunked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from threading import Event

    from requests import PreparedRequest, Response

    from requests_authretry.testing import Line
    from tests.support.wire import Action

OTHER = "https://other.example.com"
OWN = {"Authorization": "Bearer opensesame-9d1f"}
SHORT = RetryPolicy(max_attempts=1, deadline=20.0)
PATIENT = RetryPolicy(max_attempts=2, deadline=20.0, backoff=AT_ONCE)


def closed(*script: Line, seconds: float = 30.0, **settings: Any) -> Rig:
    """Make a session whose first call was refused for that long; then the script continues."""
    settings.setdefault("retry", ONCE)
    settings.setdefault("limits", UNPACED)
    rig = Rig(hint(seconds), *script, **settings)
    refused_for(rig)
    return rig


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_holds_back_all_calls(status: int) -> None:
    """A refusal that names a time makes other calls wait for its end, with whatever method."""
    rig = Rig(hint(7, status), 200, 200, retry=ONCE, limits=UNPACED)
    refused_for(rig)
    rig.clock.advance(2)
    assert rig.session.post(API + "/elsewhere").status_code == 200
    assert rig.waits == [5.0]
    assert rig.get().status_code == 200
    assert rig.waits == [5.0]


@pytest.mark.parametrize(("shared", "waits"), [(True, [30.0]), (False, [])])
def test_other_settings_are_held_through_one_store(shared: bool, waits: list[float]) -> None:  # noqa: FBT001
    """A refusal of one settings object holds at once for all that name the same store object."""
    clock = FakeClock()
    store = MemoryStore(clock)
    closed(clock=clock, store=store)
    other = Rig(200, clock=clock, store=store if shared else MemoryStore(clock))
    assert other.get().status_code == 200
    assert clock.sleeps == waits


@pytest.mark.parametrize(
    ("url", "headers", "waits"),
    [
        (API, {}, [30.0]),
        ("HTTPS://API.example.com:443/x", {}, [30.0]),
        (OTHER, {}, []),
        ("http://api.example.com", {}, []),
        (API + ":8443", {}, []),
        (API, OWN, []),
    ],
)
def test_a_limit_is_of_an_origin_and_a_credential(
    url: str, headers: dict[str, str], waits: list[float]
) -> None:
    """A call with another scheme, host, port or credential is not held back."""
    rig = closed(200)
    assert rig.get(url, headers=headers).status_code == 200
    assert rig.waits == waits


@pytest.mark.parametrize(
    ("credential", "waits"),
    [(OWN, [30.0]), ({"Authorization": "Bearer another"}, []), ({}, [])],
    ids=["same", "another", "none"],
)
@pytest.mark.parametrize("encoded", [False, True], ids=["text", "bytes"])
def test_the_callers_own_credential_counts(
    credential: dict[str, str],
    waits: list[float],
    encoded: bool,  # noqa: FBT001
) -> None:
    """Calls with their own headers are held back if they carry the refused credential."""
    rig = Rig(hint(30), 200, retry=ONCE)
    own: Any = {name: value.encode() if encoded else value for name, value in OWN.items()}
    refused_for(rig, headers=own)
    assert rig.get(headers=credential).status_code == 200
    assert rig.waits == waits


@pytest.mark.parametrize("encoded", [False, True], ids=["text", "bytes"])
@pytest.mark.parametrize("scheme", ["Kerberos", "Negotiate", "NTLM"])
def test_callers_that_sign_each_request_share_a_cool_down(scheme: str, encoded: bool) -> None:  # noqa: FBT001
    """Callers with Kerberos share a cool-down, since each request has another ticket."""
    rig = Rig(hint(30), 200, retry=ONCE)
    first, second = (f"{scheme} {ticket}" for ticket in ("YIIabc==", "YIIxyz=="))
    own: Any = {"Authorization": first.encode() if encoded else first}
    refused_for(rig, headers=own)
    assert rig.get(headers={"Authorization": second}).status_code == 200
    assert rig.waits == [30.0]


@pytest.mark.parametrize("ours", [False, True], ids=["the caller's", "ours"])
def test_no_credential_is_given_away(ours: bool, caplog: pytest.LogCaptureFixture) -> None:  # noqa: FBT001
    """No event, log line, queue key or record of a cool-down contains the credential."""
    caplog.set_level(logging.DEBUG)
    secret, store = "opensesame-9d1f", MemoryStore()
    token: dict[str, Any] = {"token": secret, "origins": [API]} if ours else {}
    rig = Rig(hint(30), 200, retry=ONCE, store=store, **token)
    rig.get(headers={} if ours else OWN)
    looks_end()  # the record is forgotten once the cool-down is over
    rig.get(headers={} if ours else OWN)
    kept = {name: store.read(name) for name in store._records}  # noqa: SLF001 (all that is there)
    assert any(name.startswith(f"cool-down policy {API}") for name in kept)
    cooling = {name: record for name, record in kept.items() if name.startswith("cool-down")}
    queues = rig.adapter._shared.limiter._queues  # noqa: SLF001 (the keys)
    assert secret not in f"{cooling} {rig.events} {queues} {caplog.text}"


@pytest.mark.parametrize("line", [503, (500, {"Retry-After": "30"}), (502, {"Retry-After": "30"})])
def test_what_is_no_refusal_holds_nobody_back(line: Line) -> None:
    """A 503 without a time, or another error with a time, holds back its own call only."""
    rig = Rig(line, 200, retry=ONCE)
    rig.get()
    assert rig.get().status_code == 200
    assert (rig.waits, rig.told(CoolingDown)) == ([], [])


def test_a_first_attempt_that_would_come_too_late_is_not_sent() -> None:
    """A call with a deadline before the end of the cool-down fails at once, and says its length."""
    rig = closed(retry=SHORT)
    error = raised(rig.session, API + "/items?key=private")
    assert type(error) is AuthRetryError
    assert str(error) == (
        f"not sent: the limit 'all' of {API} is closed for 30 s, and this call has 20 s left of "
        "its deadline of 20 s; RetryPolicy(deadline=...) lets it take longer. The `limits` of what "
        "`mount` returned show what is closed"
    )
    assert error.request is not None
    assert error.request.url == f"{API}/items?key=private"
    assert error.response is None
    assert (len(rig.inner.sent), rig.waits, attempts(error)) == (1, [], ())
    assert str(explain(error)).splitlines() == [
        f"GET {API}/items: AuthRetryError",
        f"  {error}",
    ]
    [end] = rig.told(GaveUp)
    assert (end.attempts, end.reason, end.retry_after) == (0, Reason.WAIT_TOO_LONG, 30.0)
    assert (end.status, end.error, end.url) == (None, None, f"{API}/items")


def test_max_retry_after_bounds_a_wait_for_the_refusal_of_another_call() -> None:
    """A limit is closed for 30 s: a call that accepts waits of 5 s is not sent, and says why."""
    rig = closed(200, retry=RetryPolicy(max_attempts=1, max_retry_after=5.0))
    assert str(raised(rig.session, API)).startswith(
        f"not sent: the limit 'all' of {API} is closed for 30 s, and max_retry_after is 5 s. "
    )
    assert rig.waits == []
    rig.clock.advance(26)
    assert rig.get().status_code == 200
    assert rig.waits == [4.0]


def test_a_hop_that_would_come_too_late_is_not_sent() -> None:
    """The error of a call that ends on the way to a cool-down has the redirect as its response."""
    elsewhere = "https://other.example.com/"
    rig = closed((302, {"Location": f"{API}/items"}), retry=SHORT)
    error = raised(rig.session, elsewhere)
    assert error.request is not None
    assert error.request.url == f"{API}/items"
    assert error.response is not None
    assert (error.response.status_code, error.response.url) == (302, elsewhere)


def test_a_first_attempt_that_gets_no_slot_in_time_is_not_sent() -> None:
    """A call that pacing would hold back beyond its deadline ends there, and says so."""
    rig = Rig(429, 200, retry=RetryPolicy(max_attempts=1, deadline=0.03))
    rig.get()
    assert str(raised(rig.session, API)) == (
        f"not sent: GET / at {API} lets too few requests pass, and this call has 0 s left "
        "of its deadline of 0.03 s; RetryPolicy(deadline=...) lets it take longer. The `limits` of "
        "what `mount` returned show what is closed"
    )
    assert rig.waits == [0.03]


BODY, GZIP = b"busy just now", ("Content-Encoding", "gzip")
PACKED = gzip.compress(BODY)
BUSY: dict[str, Action] = {
    "plain": answer(503, BODY),
    "chunked": chunked(503, BODY),
    "gzip": answer(503, PACKED, GZIP),
    "chunked gzip": chunked(503, PACKED, headers=(GZIP,)),
}


@pytest.mark.parametrize("stream", [False, True], ids=["read", "stream"])
@pytest.mark.parametrize("busy", BUSY.values(), ids=BUSY)
def test_a_retry_that_would_come_too_late_hands_out_its_answer(busy: Action, stream: bool) -> None:  # noqa: FBT001
    """A refusal of another call during the backoff makes a late retry hand out its whole answer."""
    clock, told = FakeClock(), list[object]()

    def refuse(event: object) -> None:
        told.append(event)
        if isinstance(event, RetryScheduled):
            other.get(wire.url)

    shared: Any = {"clock": clock, "store": MemoryStore(clock)}
    refused = answer(429, b"", ("Retry-After", "30"))
    with (
        Wire(busy, refused) as wire,
        real(retry=PATIENT, listeners=[refuse], **shared) as session,
        real(retry=ONCE, **shared) as other,
    ):
        response = session.get(wire.url, stream=stream)
        assert (response.status_code, response.content, len(wire.arrived)) == (503, BODY, 2)
    assert sum(clock.sleeps) == 0
    [attempt] = attempts(response)
    assert (attempt.status, attempt.reason, attempt.retry_after) == (
        503,
        Reason.WAIT_TOO_LONG,
        30.0,
    )
    assert [event.attempts for event in told if isinstance(event, GaveUp)] == [1]


def test_who_waits_is_told_that_it_waits_in_vain() -> None:
    """A waiting call ends as soon as a new cool-down goes beyond its deadline."""
    with crowd(hint(10), hint(100), retry=SHORT, limits=UNPACED) as rig:
        late = rig.begin_held("/late")
        rig.begin("/refused").result()
        waiting = rig.begin_asleep("/waiting")
        rig.flight.let_go("/late")
        assert late.result(120).status_code == 429
        assert type(waiting.exception(120)) is AuthRetryError
        assert rig.flight.paths == ["/refused", "/late"]


def test_first_come_first_served() -> None:
    """The waiting calls are sent in the order in which they came when the cool-down ends."""
    with crowd(hint(10), *[200] * 5, retry=ONCE, limits=UNPACED) as rig:
        rig.begin("/refused").result()
        calls = [rig.begin_asleep(f"/{number}") for number in range(5)]
        rig.advance_in_turns(10)
        assert [call.result(120).status_code for call in calls] == [200] * 5
        assert rig.flight.paths == ["/refused", "/0", "/1", "/2", "/3", "/4"]


def test_the_refused_go_before_newcomers() -> None:
    """A refused call is sent before a call that came earlier but was not sent yet."""
    with crowd(hint(10), hint(10), *[200] * 3, limits=UNPACED) as rig:
        second = rig.begin_held("/second")
        calls = [rig.begin_asleep("/first"), rig.begin_asleep("/new")]
        rig.flight.let_go("/second")
        rig.fell_asleep()
        rig.advance_in_turns(10)
        assert [call.result(120).status_code for call in (*calls, second)] == [200] * 3
        assert rig.flight.paths[2:] == ["/first", "/second", "/new"]


def test_without_cool_down_a_refusal_is_its_calls_own() -> None:
    """The refused call alone waits with cool_down=False."""
    rig = Rig(hint(30), 200, limits=RateLimits(cool_down=False))
    assert rig.get().status_code == 200
    assert (rig.waits, rig.told(CoolingDown)) == ([30.0], [])
    rig = closed(200, limits=RateLimits(cool_down=False, pacing=False))
    assert rig.get().status_code == 200
    assert rig.waits == []


@pytest.mark.parametrize(("pacing", "least"), [(True, 0.2), (False, 0.0)])
def test_pacing_spreads_what_follows_a_refusal(pacing: bool, least: float) -> None:  # noqa: FBT001
    """Requests after a refusal are sent at a growing pace; with pacing=False all at once.

    The first one goes after 1/25 s. As answers take no time, each is a quarter faster.
    """
    rig = Rig(429, *[200] * 50, retry=ONCE, limits=RateLimits(pacing=pacing))
    for _ in range(51):
        rig.get()
    assert sum(rig.waits) >= least
    assert bool(rig.waits) is pacing


class Metered(ScriptedAdapter):
    """A server that allows ten requests in ten seconds, and says how many are left."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock, self.at = clock, list[float]()

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Count the request, and refuse it if it is beyond the limit."""
        now = self._clock.monotonic()
        window = now // 10
        self.at.append(now)
        left = 10 - sum(time // 10 == window for time in self.at)
        told = {
            "RateLimit-Policy": '"default";q=10;w=10',
            "RateLimit": f'"default";r={max(left, 0)};t={(window + 1) * 10 - now:.0f}',
        }
        self._script.append((200 if left >= 0 else 429, told))
        return super().send(request, *args, **options)


@pytest.mark.parametrize("pacing", [True, False])
def test_the_second_half_of_a_window_is_paced(pacing: bool) -> None:  # noqa: FBT001
    """Requests that are left and would not last are spread evenly over the rest of the window."""
    rig = Rig(retry=ONCE, limits=RateLimits(pacing=pacing, cool_down=False))
    rig.adapter.inner = metered = Metered(rig.clock)
    statuses = [rig.get().status_code for _ in range(10)]
    assert statuses == [200] * 10
    assert metered.at[:7] == [0.0] * 7
    gaps = [later - earlier for earlier, later in pairwise(metered.at[6:])]
    if pacing:
        assert all(1.0 < gap < 4.0 for gap in gaps)
        assert metered.at[-1] < 10
    else:
        assert gaps == [0.0] * 3


def test_of_several_policies_the_tightest_holds() -> None:
    """A policy with nothing left holds requests back, however much other policies have left."""
    told = {"RateLimit": '"second";r=50;t=1, "day";r=0;t=30'}
    rig = Rig((200, told), 200)
    rig.get()
    assert rig.get().status_code == 200
    assert rig.waits == [30.0]


def test_retry_after_counts_before_the_reset_of_its_answer() -> None:
    """A call that was told to wait for 2 s goes after 2 s, though the bucket is full in 300 s."""
    bucket = {"Retry-After": "2", "RateLimit": '"default";r=0;t=300'}
    rig = Rig((429, bucket), 200)
    assert rig.get().status_code == 200
    assert rig.waits == [2.0]


@pytest.mark.parametrize(("status", "waits"), [(200, [7.0]), (202, [])])
def test_a_200_may_delay_the_next_request(status: int, waits: list[float]) -> None:
    """`Retry-After` on a 200 begins a cool-down. A 202 says when its result will be there."""
    rig = Rig((status, {"Retry-After": "7"}), 200)
    assert (rig.get().status_code, rig.get().status_code) == (status, 200)
    assert rig.waits == waits


def test_a_window_that_begins_again_holds_nothing_back() -> None:
    """The answer says that the new window is full: what was guessed before it counts no more."""
    policy = {"RateLimit-Policy": '"day";q=1000;w=86400'}
    rig = Rig(
        (200, {**policy, "RateLimit": '"day";r=400;t=5'}),
        (200, {**policy, "RateLimit": '"day";r=999;t=86395'}),
        200,
    )
    rig.get()
    rig.clock.advance(6)
    rig.get()
    rig.get()
    assert rig.waits == []


def test_a_limit_that_the_server_does_not_enforce_is_not_kept() -> None:
    """Nothing is left for 30 s: a call that has 20 s is a probe. It passes, and so do others."""

    def left(count: int) -> Line:
        policy = '"default";q=10;w=600'
        return 200, {"RateLimit-Policy": policy, "RateLimit": f'"default";r={count};t=30'}

    rig = Rig(left(10), left(5), left(0), left(0), 200, retry=SHORT)
    for _ in range(5):
        assert rig.get().status_code == 200
        rig.clock.advance(1)
    assert rig.waits == []


def github(resource: str, left: int, seconds: float = 30) -> dict[str, str]:
    """Return GitHub's header fields."""
    return {
        "X-RateLimit-Limit": "5000",
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": f"{FakeClock().time() + seconds:.0f}",
        "X-RateLimit-Resource": resource,
    }


def test_githubs_resources_are_limits_of_their_own() -> None:
    """An exhausted search limit holds back search requests only."""
    rig = Rig((200, github("core", 4000)), (200, github("search", 0)), 200, 200)
    rig.get("/repos/x")
    rig.get("/search/code")
    rig.get("/repos/y")
    assert rig.waits == []
    rig.get("/search/code")
    assert rig.waits == [30.0]


@pytest.mark.parametrize("base", ["", "/api/v3", "/a/b/c"])
def test_the_names_of_limits_are_learned_wherever_an_api_begins(base: str) -> None:
    """GitHub Enterprise has all paths below /api/v3: a refused search holds back no other path."""
    rig = Rig((200, github("core", 4000)), (200, github("search", 0)), *[200] * 5)
    rig.get(f"{base}/repos/ada/one")
    rig.get(f"{base}/search/code")
    rig.get(f"{base}/repos/ada/two")
    rig.get(f"{base}/users")
    assert rig.waits == []
    rig.get(f"{base}/search/issues")
    assert rig.waits == [30.0]


def test_a_limit_of_the_whole_origin_is_expected_everywhere() -> None:
    """A server that names one limit for all that it has means a path that is new as well."""
    rig = Rig((200, github("core", 4000)), (403, github("core", 0)), 200, retry=ONCE)
    rig.get("/repos/ada/one")
    rig.get("/repos/ada/two")
    rig.get("/users")
    assert rig.waits == [30.0]


@pytest.mark.parametrize("headers", [{"Retry-After": "30", **POLICY}, github("core", 0)])
def test_a_403_may_be_a_refusal(headers: dict[str, str]) -> None:
    """A 403 that names a time, or an exhausted limit, makes this call and other calls wait."""
    rig = Rig((403, headers), 200)
    assert rig.get().status_code == 200
    assert rig.waits == [30.0]
    rig = Rig((403, headers), 200, retry=ONCE)
    refused_for(rig)
    rig.get()
    assert rig.waits == [30.0]


def test_a_retry_waits_although_its_limit_has_another_name_meanwhile() -> None:
    """A call waits its retry_after, even if other answers name another policy for the same path."""
    refused: Line = (429, {"Retry-After": "60", **github("code_search", 0, 60)})

    def let_go(event: object) -> None:
        if isinstance(event, RetryScheduled):
            rig.flight.let_go("/search/issues")
            other.result(120)

    script = (refused, (200, github("search", 4000)), 200)
    with crowd(*script, clock=FakeClock(), listeners=[let_go]) as rig:
        other = rig.begin_held("/search/issues")
        assert rig.get("/search/code").status_code == 200
        assert rig.waits == [60.0]


def test_a_cool_down_takes_an_hour_at_most() -> None:
    """A call told to wait two hours stops at once; another call is sent after one hour."""
    long = RetryPolicy(deadline=20_000.0, max_attempts=1)
    rig = closed(200, seconds=7200, retry=long)
    assert rig.get().status_code == 200
    assert rig.waits == [3600.0]
    rig = Rig(hint(7200), 200)
    assert rig.get().status_code == 429
    assert rig.waits == []
    assert [(event.reason, event.retry_after) for event in rig.told(GaveUp)] == [
        (Reason.WAIT_TOO_LONG, 7200.0)
    ]
    assert [event.seconds for event in rig.told(CoolingDown)] == [3600.0]


def test_a_call_waits_for_as_long_as_it_was_told() -> None:
    """A call that has the time waits its two hours, although the cool-down takes one hour."""
    rig = Rig(hint(7200), 200, retry=RetryPolicy(deadline=20_000.0))
    assert rig.get().status_code == 200
    assert sum(rig.waits) == 7200.0


@pytest.mark.parametrize(
    ("script", "before"),
    [([hint(60)], 0), ([503], 0), ([503] * 9, 8)],
    ids=["cool-down", "backoff", "outage"],
)
def test_closing_the_session_ends_each_wait(script: list[Line], before: int) -> None:
    """A call that waits for a cool-down, a backoff or an outage ends, and pays nothing."""
    with crowd(*script) as rig:
        quotas = rig.adapter._shared.quotas  # noqa: SLF001 (what is left)
        for _ in range(before):
            rig.session.post(API)
        waiting = rig.begin_asleep("/waiting")
        rig.session.close()
        error = waiting.exception(120)
        assert type(error) is AuthRetryError
        assert "closed" in str(error)
        assert len(attempts(error)) == 1
        assert quotas.level(API) == RetryQuota().capacity
        assert len(rig.flight.sent) == before + 1


def test_closing_the_session_ends_a_newcomers_wait() -> None:
    """A call that was not sent yet ends too, the queue behind it moves on, and others go on."""
    clock = StandingClock()
    shared: Any = {"clock": clock, "store": MemoryStore(clock), "limits": UNPACED}
    with crowd(hint(10), retry=ONCE, **shared) as rig:
        rig.begin("/refused").result()
        with crowd(200, **shared) as other:
            gone, stays = rig.begin_asleep("/gone"), other.begin_asleep("/stays")
            rig.session.close()
            assert type(gone.exception(120)) is AuthRetryError
            rig.clock.advance(10)
            assert stays.result(120).status_code == 200


class Interrupted(FakeClock):
    """A clock on which Ctrl-C interrupts the first wait."""

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Raise KeyboardInterrupt once."""
        super().sleep(seconds, wake)
        self._passed -= seconds
        self.sleep = super().sleep  # type: ignore[method-assign]
        raise KeyboardInterrupt


def test_who_is_interrupted_leaves_the_line() -> None:
    """A wait that ends in an exception leaves the queue: the next call is sent in time."""
    rig = closed(200, clock=Interrupted())
    clock: Any = rig.adapter.settings.clock
    with pytest.raises(KeyboardInterrupt):
        rig.get()
    assert rig.get().status_code == 200
    assert clock.sleeps == [30.0, 30.0]


class ClosedJustNow(Wake):
    """An event whose session is closed at the last moment before its waiter would sleep."""

    waiter: Waiter

    def clear(self) -> None:
        """Close the session first."""
        self.waiter.close()
        super().clear()


def test_a_close_just_before_the_wait_is_not_missed() -> None:
    """A call that is about to wait for a cool-down when its session is closed ends too."""
    clock, goal = FakeClock(), target(API)
    waiter = Waiter(clock, 100.0, 100.0, lambda *_: None)
    waiter.wake = wake = ClosedJustNow()
    wake.waiter = waiter
    limits = RateLimiter(clock, OutageTracker())
    limits.start_cool_down(Scope(API, ""), 30.0, 30.0, may_test=False)
    assert limits.wait_for_slot(goal, waiter, has_sent=False, own=None) == {}
    assert clock.sleeps == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_knows_of_its_parents_cool_down() -> None:
    """A forked child keeps the cool-down, but its queue has no call of the parent."""
    with crowd(hint(10), 200, 200, retry=ONCE, limits=UNPACED) as rig:
        rig.begin("/refused").result()
        ahead = rig.begin_asleep("/ahead")

        def send() -> str:
            slept: list[float] = []

            def sleep(seconds: float, wake: Event | None = None) -> None:  # noqa: ARG001
                slept.append(seconds)
                rig.clock._passed += seconds  # noqa: SLF001 (its threads are not here)

            rig.clock.sleep = sleep  # type: ignore[method-assign]
            return f"{rig.get().status_code} {slept}"

        runtime = rig.adapter._shared  # noqa: SLF001 (its locks)
        with ExitStack() as held:  # as by other threads
            for locked in (runtime.limiter, runtime.limiter.outages, runtime.quotas):
                held.enter_context(holding(locked.__dict__["_lock"]))
            child = Child(send)
        assert child.answer() == "200 [10.0]"
        rig.clock.advance(10)
        assert ahead.result(120).status_code == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_call_that_forks_while_it_waits_goes_on_in_both_processes() -> None:
    """A listener may fork: the child's copy of the call waits in the child's queue."""
    children: list[int] = []

    def fork(event: object) -> None:
        if isinstance(event, Waiting) and not children:
            children.append(os.fork())

    def call() -> str:
        status = Rig((429, {"Retry-After": "3"}), 200, listeners=[fork]).get().status_code
        if children == [0]:
            os._exit(status != 200)
        return f"{status} {os.waitpid(children[0], 0)[1]}"

    assert Child(call).answer() == "200 0"


@contextmanager
def holding(lock: AbstractContextManager[object]) -> Iterator[None]:
    """Hold a lock; an ExitStack does not accept a `ForkSafeLock` itself."""
    with lock:
        yield


class Untouchable:
    """A lock or a store that fails when it is used."""

    def __getattr__(self, name: str) -> Any:
        """Fail."""
        raise AssertionError(f"{name} was used")

    def __enter__(self) -> None:
        """Fail."""
        raise AssertionError("it was locked")

    def __exit__(self, *_: object) -> None:
        """Fail."""


class NoStore(MemoryStore):
    """A store that fails when it is used."""

    read = write = lock = push = Untouchable().__enter__  # type: ignore[assignment]


@pytest.mark.parametrize(
    "headers", [{}, {"RateLimit-Policy": '"a";q=9;w=9', "RateLimit": '"a";r=8;t=9'}]
)
def test_the_healthy_path_takes_no_lock_and_no_store(headers: dict[str, str]) -> None:
    """A call on the healthy path waits neither for another thread nor for a store."""
    rig = Rig((200, headers), (200, headers), (404, {}), 200, store=NoStore())
    rig.get()  # a name of a policy that is new has to be kept
    runtime, waits = rig.adapter._shared, rig.adapter._waits  # noqa: SLF001 (their locks)
    for locked in (runtime.limiter, runtime.limiter.outages, runtime.quotas, waits.waiters):
        locked.__dict__["_lock"] = Untouchable()
    assert [rig.get().status_code for _ in range(3)] == [200, 404, 200]


def test_a_cool_down_is_told_once() -> None:
    """Requests in flight with the same `retry_after` announce nothing new; a later end does."""
    script = (hint(10), hint(10), hint(10), hint(20))
    with crowd(*script, retry=ONCE) as rig:
        flying = [rig.begin_held(f"/{number}") for number in range(4)]
        for number, call in enumerate(flying):
            rig.flight.let_go(f"/{number}")
            call.result(120)
            rig.clock.advance(0.01)
        assert rig.told(CoolingDown) == [CoolingDown(API, "all", s, 429) for s in (10.0, 20.0)]


def test_each_cool_down_is_told() -> None:
    """A refusal after the end of a cool-down announces a new one."""
    rig = Rig(hint(10), hint(10), 200)
    rig.get()
    assert len(rig.told(CoolingDown)) == 2
