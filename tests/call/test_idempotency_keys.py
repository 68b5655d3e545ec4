"""Idempotency keys: one for each call, the same in all attempts, never replacing the caller's."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.auth import AuthBase

from requests_authretry import (
    GaveUp,
    Reason,
    RetryPolicy,
    RetryScheduled,
    Settings,
    Token,
    attempts,
    explain,
    mount,
)
from tests.support.scripted import Source
from tests.support.sessions import API, AT_ONCE, Rig, real
from tests.support.wire import Wire, answer, chunked, fin, rst, says

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import PreparedRequest

    from tests.support.wire import Action, Arrived

KEY = "Idempotency-Key"
WITH_KEYS = RetryPolicy(idempotency_key=True, backoff=AT_ONCE)
QUOTED_UUID = re.compile(r'"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"')
"""A random UUID (RFC 9562 section 5.4), as a structured field of type String."""


def keys(rig: Rig) -> list[str | bytes | None]:
    """Return the key of each request that was sent."""
    return [request.headers.get(KEY) for request in rig.inner.sent]


def keys_on(wire: Wire) -> list[str | None]:
    """Return the key of each request that arrived."""
    return [request.headers[KEY] for request in wire.arrived]


@pytest.mark.parametrize("method", ["POST", "PATCH", "post"])
def test_all_attempts_of_a_call_carry_one_key(method: str) -> None:
    """The same key is sent again after an error, a lost connection and a cut answer."""
    cut = chunked(200, b"abc", end=fin)
    with Wire(answer(503), says(end=rst), cut, answer(201)) as wire:
        with real(retry=WITH_KEYS) as session:
            assert session.request(method, wire.url, data=b"order").status_code == 201
        first, *others = keys_on(wire)
        assert [request.body for request in wire.arrived] == [b"order"] * 4
    assert QUOTED_UUID.fullmatch(first or "")
    assert others == [first] * 3


def test_a_method_that_was_written_by_hand() -> None:
    """A method in lower case in a prepared request gets a key too."""
    rig = Rig(503, 200, retry=WITH_KEYS)
    prepared = rig.session.prepare_request(requests.Request("POST", API))
    prepared.method = "post"
    assert rig.session.send(prepared).status_code == 200
    assert None not in keys(rig)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_get_no_key(method: str) -> None:
    """An idempotent method gets no key."""
    rig = Rig(200, retry=WITH_KEYS)
    rig.session.request(method, API)
    assert keys(rig) == [None]


def test_it_is_off_unless_asked_for() -> None:
    """A default policy gives no request a key, and does not send a POST again."""
    rig = Rig(503, 200)
    assert rig.session.post(API, data=b"order").status_code == 503
    assert keys(rig) == [None]


def test_each_call_has_its_own() -> None:
    """Two calls have two keys, even with one prepared request."""
    rig = Rig(503, 200, 503, 200, 200, retry=WITH_KEYS)
    prepared = rig.session.prepare_request(requests.Request("POST", API, data=b"order"))
    rig.session.send(prepared)
    rig.session.send(prepared)
    rig.session.post(API)
    first, again, second, again_too, third = keys(rig)
    assert (first, second) == (again, again_too)
    assert len({first, second, third}) == 3


def test_threads_that_send_one_prepared_request_have_a_key_each() -> None:
    """The key of one thread's call is never seen on another thread's call."""
    crowd, known = 8, set()

    def refuse_once(seen: Arrived) -> Action:
        new = seen.headers[KEY] not in known
        known.add(seen.headers[KEY])
        return answer(503 if new else 200)

    with Wire(otherwise=refuse_once) as wire:
        with real(retry=WITH_KEYS, pool={"pool_maxsize": crowd}) as session:
            prepared = session.prepare_request(requests.Request("POST", wire.url, data=b"order"))
            start = Barrier(crowd)

            def send(_: int) -> int:
                start.wait()
                return session.send(prepared).status_code

            with ThreadPoolExecutor(crowd) as pool:
                assert list(pool.map(send, range(crowd))) == [200] * crowd
        told = Counter(keys_on(wire))
    assert len(told) == crowd
    assert set(told.values()) == {2}


@pytest.mark.parametrize("name", [KEY, "idempotency-key", "IDEMPOTENCY-KEY"])
@pytest.mark.parametrize("where", ["request", "session", "plain dict"])
def test_the_callers_own_key_stays(name: str, where: str) -> None:
    """A caller's key stays, in any spelling, on the request, the session, or a plain dictionary."""
    rig = Rig(503, 200, retry=WITH_KEYS)
    if where == "session":
        rig.session.headers[name] = "mine"
    headers = {name: "mine"} if where == "request" else None
    prepared = rig.session.prepare_request(requests.Request("POST", API, headers=headers))
    if where == "plain dict":
        plain: Any = {name: "mine"}
        prepared.headers = plain
    assert rig.session.send(prepared).status_code == 200
    sent: list[Mapping[str, Any]] = [request.headers for request in rig.inner.sent]
    told = [[v for k, v in given.items() if k.lower() == KEY.lower()] for given in sent]
    assert told == [["mine"], ["mine"]]


def test_it_does_not_stay_in_the_callers_request() -> None:
    """Neither the caller's request nor the answer's has the key afterwards."""
    rig = Rig(503, 200, retry=WITH_KEYS)
    prepared = rig.session.prepare_request(requests.Request("POST", API, data=b"order"))
    before = dict(prepared.headers)
    response = rig.session.send(prepared)
    assert prepared.headers == before
    assert response.request is prepared
    assert KEY not in rig.session.headers


def test_the_replay_after_a_401_carries_it() -> None:
    """The replay with a renewed token has the same key, and so has the hop after it."""
    with Wire() as wire:
        wire.then(answer(401), answer(308, b"", ("Location", "/there")), answer(503), answer())
        source = Source("old", "new")
        with real(token=source, origins=[wire.url], retry=WITH_KEYS) as session:
            assert session.post(wire.url, data=b"order").status_code == 200
        told = [request.headers["Authorization"] for request in wire.arrived]
        assert told == ["Bearer old", *["Bearer new"] * 3]
        assert len(set(keys_on(wire))) == 1
        assert QUOTED_UUID.fullmatch(keys_on(wire)[0] or "")


class Bound:
    """A source of tokens that are bound to a key; its proof is the nonce."""

    def __init__(self) -> None:
        self.nonce = "none"
        self.prover = self

    def fetch(self, _: Any) -> Token:
        """Return a bound token."""
        return Token("bound", scheme="DPoP")

    def proof(self, *_: object) -> str:
        """Return the nonce."""
        return self.nonce

    def learn(self, _: str, nonce: str) -> None:
        """Keep the nonce."""
        self.nonce = nonce


def test_the_replay_with_a_nonce_carries_it() -> None:
    """The replay that answers a nonce challenge has the same key."""
    wants = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "n-1"}
    rig = Rig((401, wants), 503, 200, token=Bound(), origins=[API], retry=WITH_KEYS)
    assert rig.session.post(API, data=b"order").status_code == 200
    assert [request.headers["DPoP"] for request in rig.inner.sent] == ["none", "n-1", "n-1"]
    assert keys(rig) == [keys(rig)[0]] * 3
    assert keys(rig)[0]


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_keeps_the_key(status: int) -> None:
    """A redirect that keeps the method keeps the key, over hops and attempts."""
    there = (status, {"Location": "/there"})
    rig = Rig(there, 503, there, 200, retry=WITH_KEYS)
    assert rig.session.post(API, data=b"order").status_code == 200
    assert keys(rig) == [keys(rig)[0]] * 4
    assert keys(rig)[0]


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_to_a_get_loses_the_key(status: int) -> None:
    """A GET that a redirect made of a POST has no key."""
    rig = Rig((status, {"Location": "/there"}), 503, 200, retry=WITH_KEYS)
    assert rig.session.post(API, data=b"order").status_code == 200
    assert [key is not None for key in keys(rig)] == [True, False, False]


def test_a_hop_under_other_settings_makes_no_use_of_it() -> None:
    """A hop without the setting sends no key, and repeats no POST because of it."""
    with Wire() as keyed, Wire(answer(503), answer()) as plain:
        keyed.then(answer(307, b"", ("Location", plain.url)))
        with requests.Session() as session:
            mount(session, Settings(retry=WITH_KEYS))
            mount(session, Settings(retry=RetryPolicy(backoff=AT_ONCE)), prefix=plain.url)
            assert session.post(keyed.url, data=b"order").status_code == 503
        assert keys_on(keyed) != [None]
        assert keys_on(plain) == [None]


def test_a_signature_covers_it() -> None:
    """An auth that signs each attempt sees the key."""
    seen: list[str | bytes | None] = []

    class Sign(AuthBase):
        def __call__(self, request: PreparedRequest) -> PreparedRequest:
            seen.append(request.headers.get(KEY))
            return request

    rig = Rig(503, 200, auth=Sign(), origins=[API], retry=WITH_KEYS)
    rig.session.post(API, data=b"order")
    assert seen == keys(rig)
    assert None not in seen


def test_409_before_anybody_can_know_the_key_is_a_conflict() -> None:
    """A 409 to the first attempt with our key is the server's final answer."""
    rig = Rig(409, 200, retry=WITH_KEYS)
    assert rig.session.post(API).status_code == 409
    assert rig.told(GaveUp) == []


def test_409_while_the_first_attempt_is_running_goes_again() -> None:
    """A later 409 backs off as a transient failure, keeps `retry_after`, and has its reason."""
    policy = RetryPolicy(idempotency_key=True, max_attempts=5)
    running = (409, {"Retry-After": "3"})
    rig = Rig(requests.ReadTimeout(), 409, running, 201, retry=policy)
    response = rig.session.post(API)
    assert response.status_code == 201
    events = rig.told(RetryScheduled)
    assert [event.reason for event in events] == [
        Reason.LOST,
        Reason.STILL_RUNNING,
        Reason.STILL_RUNNING,
    ]
    assert rig.waits[1] <= policy.backoff.initial * 2
    assert rig.waits[2] == 3.0
    assert "409 in 0 s: an earlier attempt is still being processed" in str(explain(response))


def test_409_to_the_callers_own_key_goes_again_from_the_first_on() -> None:
    """A 409 to a caller's key is retried at once with the setting, and final without it."""
    rig = Rig(409, 201, retry=WITH_KEYS)
    assert rig.session.post(API, headers={KEY: "mine"}).status_code == 201
    rig = Rig(409, 201)
    assert rig.session.post(API, headers={KEY: "mine"}).status_code == 409


def test_409_at_the_last_attempt_is_handed_out() -> None:
    """The caller gets the real 409 when attempts are used up."""
    rig = Rig(503, 409, 409, 409, 201, retry=WITH_KEYS)
    assert rig.session.post(API).status_code == 409
    assert [event.reason for event in rig.told(GaveUp)] == [Reason.ATTEMPTS_EXHAUSTED]


@pytest.mark.parametrize("status", [400, 422])
def test_400_and_422_are_final(status: int) -> None:
    """A 400 (key missing or malformed) and a 422 (key used before) are final."""
    rig = Rig(503, status, 201, retry=WITH_KEYS)
    response = rig.session.post(API)
    assert response.status_code == status
    assert [attempt.reason for attempt in attempts(response)] == [
        Reason.SERVER_ERROR,
        Reason.FINAL,
    ]


def test_a_key_is_gone_when_the_call_is() -> None:
    """A call that raised leaves no key behind for the next one."""
    rig = Rig(*[requests.ReadTimeout()] * 4, 200, retry=WITH_KEYS)
    prepared = rig.session.prepare_request(requests.Request("POST", API, data=b"order"))
    with pytest.raises(requests.ReadTimeout):
        rig.session.send(prepared)
    rig.session.send(prepared)
    assert len(set(keys(rig)[:4])) == 1
    assert keys(rig)[4] not in keys(rig)[:4]
