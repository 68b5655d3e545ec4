"""What a classifier sees of bodies on the wire, and that callers get them as without it."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    Answer,
    AuthRetryAdapter,
    Reason,
    RetryPolicy,
    Settings,
    Verdict,
    attempts,
)
from requests_authretry._core.classify import MOST_BODY_BYTES
from requests_authretry.testing import FakeClock
from tests.support.scripted import Source
from tests.support.sessions import AT_ONCE, raised, real, with_adapter
from tests.support.wire import Wire, answer, chunked, cut, drip, fin, flood, head, rst, says

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.wire import Action

GZIP, DEFLATE = ("Content-Encoding", "gzip"), ("Content-Encoding", "deflate")
LARGE = bytes(range(256)) * 1200
BOMB = gzip.compress(bytes(20_000_000))

BODIES: dict[str, tuple[Callable[[int], Action], bytes | None]] = {
    "small": (lambda status: answer(status, b"abc"), b"abc"),
    "empty": (answer, b""),
    "no text": (lambda status: answer(status, b"\xff\x00\xfe"), b"\xff\x00\xfe"),
    "chunked": (lambda status: chunked(status, b"ab", b"c"), b"abc"),
    "until the end": (lambda status: says(head(status), b"abc", end=fin), b"abc"),
    "gzip": (lambda status: answer(status, gzip.compress(b"abc"), GZIP), b"abc"),
    "deflate": (lambda status: answer(status, zlib.compress(b"abc"), DEFLATE), b"abc"),
    "large": (lambda status: answer(status, LARGE), LARGE[:MOST_BODY_BYTES]),
    "large and gzip": (
        lambda status: answer(status, gzip.compress(LARGE), GZIP),
        LARGE[:MOST_BODY_BYTES],
    ),
    "large and chunked": (
        lambda status: chunked(status, LARGE[:99_999], LARGE[99_999:]),
        LARGE[:MOST_BODY_BYTES],
    ),
    "a bomb": (lambda status: answer(status, BOMB, GZIP), bytes(MOST_BODY_BYTES)),
}

BROKEN: dict[str, Callable[[int], Action]] = {
    "no gzip": lambda status: answer(status, b"no gzip", GZIP),
    "gzip that is cut": lambda status: answer(status, gzip.compress(LARGE)[:99], GZIP),
    "cut by FIN": lambda status: cut(status, 9, b"abc", end=fin),
    "cut by RST": lambda status: cut(status, 9, b"abc", end=rst),
    "cut in a chunk": lambda status: says(
        head(status, ("Transfer-Encoding", "chunked")), b"5\r\nab", end=fin
    ),
    "an unknown coding": lambda status: answer(status, b"abc", ("Content-Encoding", "zz")),
}

AS_USUAL = RetryPolicy(backoff=AT_ONCE, max_attempts=2)


def known(
    action: Action, classify: Callable[[Answer], Verdict | None] | None
) -> tuple[object, ...]:
    """Return all that a call shows, and whether its connection served the next one."""
    with Wire(action, answer(200, b"after"), answer(200, b"later")) as wire:
        session = real(retry=AS_USUAL, classify=classify)
        try:
            response = session.get(wire.url)
            found: object = response.status_code, response.content
        except requests.RequestException as error:
            found, response = (type(error), str(error)), None
        made = [attempt.reason for attempt in attempts(response)] if response is not None else []
        return found, made, session.get(wire.url).content, wire.connections


ALL = {name: action for name, (action, _) in BODIES.items()} | BROKEN


@pytest.mark.parametrize("status", [200, 404, 500, 503])
@pytest.mark.parametrize("action", ALL.values(), ids=ALL)
def test_a_call_is_as_without_a_classifier(action: Callable[[int], Action], status: int) -> None:
    """Bytes, exceptions, attempts and the use of connections are the same where it gives None."""
    assert known(action(status), lambda answer: answer.json() and None) == known(
        action(status), None
    )


@pytest.mark.parametrize("status", [200, 404, 503])
@pytest.mark.parametrize(("action", "body"), BODIES.values(), ids=BODIES)
def test_a_classifier_sees_the_first_64_kb(
    action: Callable[[int], Action], body: bytes | None, status: int
) -> None:
    """Decoded, and no more; what is no JSON is None."""
    seen: list[Answer] = []
    known(action(status), lambda answer: seen.append(answer) if answer.status == status else None)
    assert seen[0].body == body
    assert seen[0].json() is None


@pytest.mark.parametrize("status", [404, 503])
@pytest.mark.parametrize("action", BROKEN.values(), ids=BROKEN)
def test_a_broken_body_gives_no_exception(action: Callable[[int], Action], status: int) -> None:
    """The classifier of an error is asked in any case, and gets no JSON."""
    seen: list[Answer] = []
    known(action(status), lambda answer: seen.append(answer) if answer.status == status else None)
    assert seen[0].json() is None


def by_status(answer: Answer) -> Verdict | None:
    """Say that each error is transient."""
    return Verdict.transient() if answer.status == 418 else None


def test_a_failed_answer_of_300_mb_is_dropped() -> None:
    """64 KB are looked at, and then the connection is closed: the next attempt gets another."""
    taken: list[int] = []
    size = 300_000_000
    large = flood(head(418, ("Content-Length", str(size))), size, taken)
    with Wire(large, answer(200, b"ok")) as wire:
        response = real(classify=by_status).get(wire.url)
        assert (response.content, wire.connections) == (b"ok", 2)
    assert taken[0] < size / 10


def test_the_start_of_a_large_body_is_handed_out_with_the_rest() -> None:
    """A 404 of 300 KB that a classifier has looked at is whole."""
    with Wire(answer(404, LARGE)) as wire:
        response = real(classify=lambda _: Verdict.final()).get(wire.url)
        assert response.content == LARGE


@pytest.mark.parametrize("status", [200, 404, 503])
def test_an_endless_body_ends_at_the_deadline(status: int) -> None:
    """A body that drips for ever is read until the deadline that the user set."""
    dripping = drip(head(status, ("Transfer-Encoding", "chunked")), b"1\r\n.\r\n")
    seen: list[Answer] = []
    policy = RetryPolicy(deadline=0.3, backoff=AT_ONCE)
    with Wire(dripping) as wire:
        session = real(retry=policy, classify=lambda answer: seen.append(answer))  # noqa: PLW0108
        if status == 503:
            response = session.get(wire.url)
            assert [each.reason for each in attempts(response)] == [Reason.WAIT_TOO_LONG]
        else:
            error = raised(session, wire.url)
            assert isinstance(error, requests.ReadTimeout)
        assert len(wire.arrived) == 1
    assert [each.body for each in seen] == ([] if status == 200 else [None])


@pytest.mark.parametrize("size", [3, 300_000])
def test_a_refused_token_is_replayed_whatever_the_body(size: int) -> None:
    """A small 403 leaves its connection for the replay, a large one does not."""
    body = b"expired".ljust(size, b".")
    with Wire(answer(403, body), answer(200, b"ok")) as wire:
        session = real(
            classify=lambda answer: Verdict.token_expired() if answer.status == 403 else None,
            token=Source("old", "new"),
            origins=[wire.url[:-1]],
        )
        response = session.get(wire.url)
        assert (response.content, wire.connections) == (b"ok", 1 if size == 3 else 2)
        sent = [request.headers["Authorization"] for request in wire.arrived]
    assert sent == ["Bearer old", "Bearer new"]


def test_an_observed_body_is_looked_at_and_whole() -> None:
    """The caller of an observed call reads it as if nobody had looked."""
    seen: list[Answer] = []
    with Wire(answer(200, gzip.compress(LARGE), GZIP), answer(200, b"after")) as wire:
        wire.then(answer(200, b"hooked"))
        session = real(observe=True, classify=lambda answer: seen.append(answer))  # noqa: PLW0108
        assert session.get(wire.url).content == LARGE
        assert session.get(wire.url).content == b"after"
        assert wire.connections == 1
        assert seen[0].body == LARGE[:MOST_BODY_BYTES]
        hooked: list[bool] = []
        session.get(wire.url, hooks={"response": lambda r, **_: hooked.append(r.raw.tell() > 0)})
    assert hooked == [False]


def test_an_observed_body_is_whole_after_the_deadline() -> None:
    """The deadline of the settings ends nothing of a call that is only observed."""
    clock = FakeClock()
    with Wire(answer(429, b"abc", ("Content-Encoding", "zz"))) as wire:
        session = real(observe=True, clock=clock, classify=lambda _: clock.advance(999.0))
        assert session.get(wire.url).content == b"abc"


def test_a_failed_answer_that_drips_is_looked_at_until_the_default_deadline() -> None:
    """No deadline is set: the classifier is asked after 120 s, without a body."""
    clock, seen = FakeClock(), list[Answer]()
    start = head(503, ("Content-Length", "999999"))
    dripping = drip(start, bytes(4096), 0.001, tick=lambda: clock.advance(30.0))
    with Wire(dripping) as wire:
        session = real(clock=clock, classify=lambda answer: seen.append(answer))  # noqa: PLW0108
        response = session.get(wire.url)
    assert [answer.body for answer in seen] == [None]
    assert [each.reason for each in attempts(response)] == [Reason.WAIT_TOO_LONG]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("observe", [False, True])
@pytest.mark.parametrize("status", [200, 404])
def test_a_classifier_that_ends_the_call_costs_the_pool_no_connection(
    status: int, *, observe: bool, stream: bool
) -> None:
    """After Ctrl-C in a classifier, a pool of one connection has room for one again."""

    def classify(_: Answer) -> Verdict | None:
        raise KeyboardInterrupt

    adapter = AuthRetryAdapter(Settings(classify=classify, observe=observe), pool_maxsize=1)
    with Wire(answer(status, LARGE)) as wire, with_adapter(adapter) as session:
        with pytest.raises(KeyboardInterrupt):
            session.get(wire.url, stream=stream)
        (key,) = adapter.poolmanager.pools.keys()
        room: Any = adapter.poolmanager.pools[key].pool
        assert room.qsize() == 1
