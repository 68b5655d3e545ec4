"""Redirects: one call, one deadline, and on each hop a new decision where the token may go."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import requests

from requests_authretry import (
    AuthRetryAdapter,
    GaveUp,
    Reason,
    RefreshDeclined,
    RetryPolicy,
    Settings,
    attempts,
)
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.scripted import Source
from tests.support.sessions import API, AT_ONCE, SECRET, Recorder, Rig, authorization, real
from tests.support.wire import Wire, answer, fin, says

EVIL = "https://evil.test/"
TOKEN = f"Bearer {SECRET}"
STATUSES = [301, 302, 303, 307, 308]

SAME = [
    "/there",
    "there?x=1",
    f"{API}/there",
    "https://api.example.com:443/there",
    "https://API.Example.COM/there",
    "//api.example.com/there",
    "https://ada:lovelace@api.example.com/there",
]
FOREIGN = [
    EVIL,
    "//evil.test/",
    "http://api.example.com/",
    "http://api.example.com:443/",
    "https://api.example.com:8443/",
    "https://api.example.com.evil.test/",
    "https://evilapi.example.com/",
    "https://v2.api.example.com/",
    "https://example.com/",
    "https://api.example.com@evil.test/",
    "https://api.example.com:443@evil.test/",
    "https://api.example.com%2F@evil.test/",
    "https://api.example.com%40evil.test/",
    "https://api.example.com\\@evil.test/",
    "https://evil.test/https://api.example.com/",
    "https://api.example.com.:443/",
    "https://[::ffff:5db8:d822]/",
]


def moved(to: str, status: int = 302) -> tuple[int, dict[str, str]]:
    """Return a redirect."""
    return status, {"Location": to}


def rig(*script: int | tuple[int, dict[str, str]], source: Source | None = None) -> Rig:
    """Make a session with a token for the API."""
    return Rig(*script, token=source or SECRET, origins=[API])


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("to", SAME)
def test_a_redirect_within_the_origin_carries_the_token(to: str, status: int) -> None:
    """The token is sent to the same scheme, host and port, however they are written."""
    there = rig(moved(to, status), 200)
    assert there.get().status_code == 200
    assert there.carried == [TOKEN, TOKEN]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("to", FOREIGN)
def test_a_redirect_to_another_origin_never_carries_the_token(to: str, status: int) -> None:
    """Another scheme, host or port, or a URL that can be read in two ways, gets no token."""
    away = rig(moved(to, status), 200, 200)
    away.session.post(API, data=b"order")
    assert away.carried == [TOKEN, None]


@pytest.mark.parametrize("url", [to for to in FOREIGN if to[:4] == "http" and "\\" not in to])
def test_a_first_request_to_another_origin_carries_no_token(url: str) -> None:
    """The first URL of a call follows the same rule as redirects."""
    away = rig(200)
    away.get(url)
    assert TOKEN not in away.carried


@pytest.mark.parametrize("status", STATUSES)
def test_on_the_wire_no_other_server_ever_sees_the_token(status: int) -> None:
    """The second of two real servers gets no token, however its URL imitates the first."""
    with Wire() as ours, Wire() as other, real(token=SECRET, origins=[ours.url]) as session:
        a, b = f"127.0.0.1:{ours.port}", f"127.0.0.1:{other.port}"
        ways = [f"//{b}/", f"http://{b}/", f"http://{a}@{b}/", f"http://{a}\\@{b}/"]
        ways += [f"http://localhost:{ours.port}/", f"http://{a}%2F@{b}/", f"http://{a}#@{b}/"]
        ways += [f"http://{b}\\@{a}/", f"http://{a}?@{b}/", f"\\\\{b}/", f"/\\{b}/"]
        for way in ways:
            before = len(ours.arrived)
            ours.then(answer(status, b"", ("Location", way)))
            with suppress(requests.RequestException):  # some URLs cannot be followed at all
                session.get(ours.url)
            assert ours.arrived[before].headers["Authorization"] == TOKEN
            landed = [seen for seen in ours.arrived[before + 1 :] if seen.headers["Host"] != a]
            assert [seen.headers["Authorization"] for seen in landed] == [None] * len(landed)
        assert {seen.headers["Authorization"] for seen in other.arrived} == {None}
        assert len(other.arrived) >= 4


def test_there_and_back() -> None:
    """The other origin in a > b > a sees no token, and the first origin gets it again."""
    tour = rig(moved(EVIL), 503, moved(f"{API}/back"), 503, 200)
    assert tour.get().status_code == 200
    assert tour.carried == [TOKEN, None, None, TOKEN, TOKEN]


def test_an_origin_on_the_way_gets_its_token() -> None:
    """A call that begins elsewhere carries the token from the hop to its origin on."""
    tour = rig(moved(API), 200)
    tour.get(EVIL)
    assert tour.carried == [None, TOKEN]


def test_a_401_from_elsewhere_renews_nothing() -> None:
    """A foreign server that asks for a bearer token gets none, and causes no renewal."""
    source = Source("first", "second")
    away = rig(
        moved(EVIL), (401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}), source=source
    )
    response = away.get()
    assert (response.status_code, response.url, source.calls) == (401, EVIL, 1)
    assert away.carried == ["Bearer first", None]
    assert [event.reason for event in away.told(RefreshDeclined)] == [Reason.OTHER_ORIGIN]


def test_a_renewed_token_is_carried_from_then_on() -> None:
    """The hop after an answered 401 sends the new token, so that no second 401 follows."""
    tour = rig(401, moved("/there"), 200, source=Source("old", "new"))
    assert tour.get().status_code == 200
    assert tour.carried == ["Bearer old", "Bearer new", "Bearer new"]


def test_one_401_is_answered_in_a_call() -> None:
    """A second 401 of the same call is handed out, on any hop."""
    tour = rig(401, moved("/there"), 401, source=Source("one", "two", "three"))
    response = tour.get()
    assert (response.status_code, tour.carried[-1]) == (401, "Bearer two")
    assert [event.reason for event in tour.told(RefreshDeclined)] == [Reason.ANSWERED]


def test_a_hop_to_another_token_has_a_401_of_its_own() -> None:
    """Where a site with another token refuses it, that is renewed: the first 401 was not its."""
    there = "https://there.example.com"
    sources = {API: Source("one", "two"), there: Source("uno", "due")}
    sites = [Settings(token=source, origins=[origin]) for origin, source in sources.items()]
    tour = Rig(401, moved(f"{there}/"), 401, 200, sites=sites)
    assert tour.get().status_code == 200
    assert tour.carried == ["Bearer one", "Bearer two", "Bearer uno", "Bearer due"]


def test_the_deadline_spans_all_hops() -> None:
    """The waits of several hops add up: a wait that would end too late is not begun."""
    slow = (429, {"Retry-After": "6"})
    tour = Rig(slow, moved("/there"), slow, 200, retry=RetryPolicy(deadline=10))
    assert tour.get().status_code == 429
    assert tour.waits == [6.0]
    assert [event.reason for event in tour.told(GaveUp)] == [Reason.WAIT_TOO_LONG]


def test_the_attempts_span_all_hops() -> None:
    """A redirect costs no attempt, and each retry counts on any hop."""
    tour = Rig(503, moved("/b"), 503, moved("/c"), 503, 200, retry=RetryPolicy(max_attempts=3))
    response = tour.get()
    assert response.status_code == 503
    assert [event.reason for event in tour.told(GaveUp)] == [Reason.ATTEMPTS_EXHAUSTED]
    assert [attempt.status for attempt in attempts(response)] == [503, 302, 503, 302, 503]


def test_timeouts_are_clipped_over_hops() -> None:
    """A hop gets no more time than the earlier hops have left."""
    clock = FakeClock()
    inner = Recorder((429, {"Retry-After": "7"}), moved("/there"), 200)
    session = requests.Session()
    settings = Settings(clock=clock, retry=RetryPolicy(deadline=10))
    session.mount("https://", AuthRetryAdapter(settings, inner=inner))
    session.get(API, timeout=5)
    assert [options["timeout"] for options in inner.options] == [5, 3, 3]


@pytest.mark.parametrize("seconds", [120, 3600])
def test_a_redirect_that_the_caller_follows_late_is_a_call_of_its_own(seconds: float) -> None:
    """A caller who sends `response.next` at the deadline or later begins a new deadline."""
    clock = FakeClock()
    inner = Recorder(moved("/there"), 503, 200)
    session = requests.Session()
    session.mount("https://", AuthRetryAdapter(Settings(clock=clock), inner=inner))
    response = session.get(API, allow_redirects=False, timeout=5)
    assert response.next is not None
    clock.advance(seconds)
    assert session.send(response.next, timeout=5).status_code == 200
    assert [options["timeout"] for options in inner.options] == [5, 5, 5]


def test_a_redirect_that_the_caller_follows_at_once_shares_the_deadline() -> None:
    """A caller who sends `response.next` before the deadline continues the call."""
    clock = FakeClock()
    inner = Recorder(moved("/there"), 503, 200)
    session = requests.Session()
    settings = Settings(clock=clock, retry=RetryPolicy(deadline=120, backoff=AT_ONCE))
    session.mount("https://", AuthRetryAdapter(settings, inner=inner))
    response = session.get(API, allow_redirects=False, timeout=5)
    assert response.next is not None
    clock.advance(117)
    answer = session.send(response.next, timeout=5)
    assert [options["timeout"] for options in inner.options] == [5, 3, 3]
    assert [attempt.status for attempt in attempts(answer)] == [302, 503, 200]


class Late(Recorder):
    """An adapter whose answers come eleven seconds late."""

    clock = FakeClock()

    def send(self, *args: Any, **options: Any) -> requests.Response:
        """Let the time pass first."""
        self.clock.advance(11)
        return super().send(*args, **options)


def test_a_redirect_that_comes_after_the_deadline_gets_no_second_one() -> None:
    """The hop that requests sends at once belongs to the call, which has no time for a retry."""
    inner = Late(moved("/there"), 503, 200)
    settings = Settings(clock=inner.clock, retry=RetryPolicy(deadline=10))
    session = requests.Session()
    session.mount("https://", AuthRetryAdapter(settings, inner=inner))
    response = session.get(API)
    assert response.status_code == 503
    assert [attempt.status for attempt in attempts(response)] == [302, 503]


def test_a_prefix_is_no_origin() -> None:
    """The prefix of a URL finds the adapter; the parsed origin decides about the token."""
    inner = ScriptedAdapter(200, 200, 200, 200)
    adapter = AuthRetryAdapter(Settings(token=SECRET, origins=[API]), inner=inner)
    session = requests.Session()
    session.mount(API, adapter)
    for end in (".evil.test/", "@evil.test/", ":8443/", "/"):
        session.get(API + end)
    assert [authorization(request) for request in inner.sent] == [None, None, None, TOKEN]


def test_redirects_of_a_connection_that_breaks() -> None:
    """A hop whose connection is lost is retried on that hop, not from the start."""
    with Wire() as wire, real(retry=RetryPolicy(backoff=AT_ONCE)) as session:
        wire.then(answer(302, b"", ("Location", "/there")), says(end=fin), answer(200, b"here"))
        assert session.get(wire.url).content == b"here"
        assert [seen.target for seen in wire.arrived] == ["/", "/there", "/there"]


def test_a_redirected_request_that_is_sent_again_begins_a_new_call() -> None:
    """A program that polls with one prepared request, and follows nothing, gets new deadlines."""
    tour = rig(*[moved("/login")] * 3, 200)
    prepared = requests.Request("GET", API).prepare()
    for _ in range(4):
        response = tour.session.send(prepared, allow_redirects=False)
        assert len(attempts(response)) == 1
