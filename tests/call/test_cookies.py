"""Cookies: cookies of failed and refused attempts are kept, and the caller's cookies stay."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from requests_authretry import AuthRetryAdapter, RetryPolicy, Settings, attempts
from requests_authretry._core.bounds import COOKIE_LINE, COOKIE_LINES, COOKIES
from tests.support.scripted import Source
from tests.support.sessions import AT_ONCE, real, with_adapter
from tests.support.wire import Wire, answer


def sets(*cookies: str) -> tuple[tuple[str, str], ...]:
    """Return header lines that set cookies."""
    return tuple(("Set-Cookie", cookie) for cookie in cookies)


def sent(wire: Wire) -> list[dict[str, str]]:
    """Return the cookies of each request."""
    lines = [seen.headers.get("Cookie", "") for seen in wire.arrived]
    pairs = [[pair.partition("=") for pair in line.split("; ") if pair] for line in lines]
    return [{name: value for name, _, value in each} for each in pairs]


def test_a_failed_attempt_hands_its_cookies_on() -> None:
    """The next attempt and the session get the cookies that a failed attempt has set."""
    with Wire(answer(503, b"", *sets("a=1", "b=2")), answer(), answer()) as wire, real() as session:
        session.get(wire.url)
        session.get(wire.url)
        assert sent(wire) == [{}, {"a": "1", "b": "2"}, {"a": "1", "b": "2"}]
        assert session.cookies.get_dict() == {"a": "1", "b": "2"}


def test_a_refused_token_hands_its_cookies_on() -> None:
    """A 401 that was answered gives its cookies to the replay and to the session."""
    with Wire(answer(401, b"", *sets("a=1")), answer(200, b"", *sets("b=2"))) as wire:
        with real(token=Source("old", "new"), origins=[wire.url]) as session:
            session.get(wire.url)
            assert session.cookies.get_dict() == {"a": "1", "b": "2"}
        assert sent(wire) == [{}, {"a": "1"}]


def test_later_cookies_win() -> None:
    """The later of two attempts that set one cookie counts, and the final answer most of all."""
    lines = [answer(503, b"", *sets(f"a={number}")) for number in (1, 2)]
    with Wire(*lines, answer(200, b"", *sets("a=3"))) as wire, real() as session:
        session.get(wire.url)
        assert sent(wire) == [{}, {"a": "1"}, {"a": "2"}]
        assert session.cookies.get_dict() == {"a": "3"}


def test_they_join_those_of_session_and_call() -> None:
    """Cookies of session and call are still sent, and those of the call stay with the call."""
    with Wire(answer(503, b"", *sets("c=3")), answer(), answer()) as wire, real() as session:
        session.cookies.set("a", "1")
        session.get(wire.url, cookies={"b": "2"})
        session.get(wire.url)
        both = {"a": "1", "b": "2"}
        assert sent(wire) == [both, both | {"c": "3"}, {"a": "1", "c": "3"}]


def test_a_cookie_may_be_taken_away() -> None:
    """A failed attempt can expire a cookie of the session."""
    gone = "a=; Max-Age=0; Path=/"
    with Wire(answer(200, b"", *sets("a=1; Path=/")), answer(503, b"", *sets(gone))) as wire:
        wire.then(answer(), answer())
        with real() as session:
            session.get(wire.url)
            session.get(wire.url)
            session.get(wire.url)
        assert sent(wire) == [{}, {"a": "1"}, {}, {}]


def test_a_cookie_of_another_path_stays_away() -> None:
    """The rules of cookies hold between attempts as they do between calls."""
    with Wire(answer(503, b"", *sets("a=1; Path=/elsewhere")), answer()) as wire, real() as session:
        session.get(wire.url)
        assert sent(wire) == [{}, {}]
        assert session.cookies.get_dict() == {"a": "1"}


def test_a_cookie_header_that_the_caller_wrote_stays() -> None:
    """A Cookie header that the caller wrote is sent unchanged, each time."""
    with Wire(answer(503, b"", *sets("a=1")), answer(401), answer()) as wire:
        with real(token=Source("old", "new"), origins=[wire.url]) as session:
            session.get(wire.url, headers={"Cookie": "mine=yes"})
            assert session.cookies.get_dict() == {"a": "1"}
        assert sent(wire) == [{"mine": "yes"}] * 3


def test_the_callers_request_keeps_its_own_cookies() -> None:
    """No request that the caller can see has cookies that attempts were given."""
    with Wire(answer(503, b"", *sets("a=1")), answer(), answer()) as wire, real() as session:
        prepared = session.prepare_request(requests.Request("GET", wire.url, cookies={"b": "2"}))
        session.send(prepared)
        assert prepared.headers["Cookie"] == "b=2"


def test_a_redirect_adds_its_cookies() -> None:
    """A hop after a failed attempt has the redirect's cookies, as with bare requests."""
    first, moved = (
        answer(503, b"", *sets("a=1")),
        answer(302, b"", ("Location", "/x"), *sets("b=2")),
    )
    with Wire(first, moved, answer()) as wire, real() as session:
        session.get(wire.url)
        assert sent(wire) == [{}, {"a": "1"}, {"a": "1", "b": "2"}]
        assert session.cookies.get_dict() == {"a": "1", "b": "2"}


def test_a_redirect_replaces_a_cookie() -> None:
    """A cookie of a redirect counts more than one of an attempt before it."""
    first, moved = (
        answer(503, b"", *sets("a=1")),
        answer(302, b"", ("Location", "/x"), *sets("a=2")),
    )
    with Wire(first, moved, answer(503), answer()) as wire, real() as session:
        session.get(wire.url)
        assert sent(wire) == [{}, {"a": "1"}, {"a": "2"}, {"a": "2"}]


def test_cookies_stay_with_their_host() -> None:
    """A cookie that a failed attempt has set is not sent to another host."""
    with Wire(answer(503, b"", *sets("a=1"))) as wire, real() as session:
        elsewhere = f"http://localhost:{wire.port}/"
        wire.then(answer(302, b"", ("Location", elsewhere)), answer(503), answer())
        session.get(wire.url)
        assert sent(wire) == [{}, {"a": "1"}, {}, {}]


def test_an_answer_has_its_own_cookies() -> None:
    """`response.cookies` has the cookies of that answer only, as in requests."""
    line = answer(200, b"", *sets("b=2"))
    with Wire(answer(503, b"", *sets("a=1")), line) as wire, real() as session:
        response = session.get(wire.url)
    assert response.cookies.get_dict() == {"b": "2"}
    assert response.headers["Set-Cookie"] == "b=2"


def test_a_failed_attempt_sets_only_so_many_cookies() -> None:
    """The first fifty of sixty cookies that failed attempts set are sent and kept."""
    names = [f"c{number}" for number in range(60)]
    first, second = ([f"{name}=1" for name in part] for part in (names[:40], names[40:]))
    with Wire(answer(503, b"", *sets(*first)), answer(503, b"", *sets(*second))) as wire:
        wire.then(answer())
        with real(retry=RetryPolicy(max_attempts=3, backoff=AT_ONCE)) as session:
            session.get(wire.url)
            # Before Python 3.11 a cookie jar sorts them by their names.
            assert sorted(sent(wire)[2]) == sorted(names[:COOKIE_LINES])
            assert sorted(session.cookies.get_dict()) == sorted(names[:COOKIE_LINES])


def test_a_long_cookie_of_a_failed_attempt_is_left_out() -> None:
    """A line up to its bound is kept; a line that is too long does not hide the next ones."""
    lines = ["a=1", "b=1".ljust(COOKIE_LINE + 1), "c=1".ljust(COOKIE_LINE)]
    with Wire(answer(503, b"", *sets(*[line.replace(" ", "x") for line in lines]))) as wire:
        wire.then(answer())
        with real() as session:
            session.get(wire.url)
            assert list(sent(wire)[1]) == list(session.cookies.get_dict()) == ["a", "c"]


def test_failed_attempts_set_only_so_long_cookies() -> None:
    """The failed attempts of a call together set as many characters as a server accepts."""
    length = COOKIES // 4
    script = [answer(503, b"", *sets(f"c{number}=".ljust(length, "x"))) for number in range(6)]
    retry = RetryPolicy(max_attempts=7, backoff=AT_ONCE)
    with Wire(*script, answer()) as wire, real(retry=retry) as session:
        session.get(wire.url)
        assert list(session.cookies.get_dict()) == ["c0", "c1", "c2", "c3"]


def test_a_final_answer_sets_as_many_cookies_as_without_us() -> None:
    """Cookies of failed attempts are bounded; those of the final answer are left to requests."""
    own = sets(*[f"c{number}=1" for number in range(60)], "long=".ljust(10_000, "x"))
    with Wire(answer(503, b"", *sets("a=1")), answer(200, b"", *own)) as wire, real() as session:
        session.get(wire.url)
        assert len(session.cookies) == 62


def test_set_cookie2_of_a_failed_attempt_is_not_read() -> None:
    """The `Set-Cookie2` of a failed attempt is not read, since that takes quadratic time."""
    with Wire(answer(503, b"", *sets("a=1"), ("Set-Cookie2", "b=2"))) as wire, real() as session:
        wire.then(answer())
        session.get(wire.url)
        assert session.cookies.get_dict() == {"a": "1"}


def test_cookies_are_sent_in_a_header_named_as_ever() -> None:
    """The header with the cookies of failed attempts is called `Cookie`, for old servers too."""
    with Wire(answer(503, b"", *sets("a=1")), answer()) as wire, real() as session:
        session.get(wire.url)
        assert [name for name in wire.arrived[1].headers if name.lower() == "cookie"] == ["Cookie"]


def test_the_final_answer_has_the_lines_of_all_attempts_once() -> None:
    """The session finds the cookies of failed attempts first, then each of the answer's own."""
    with Wire(answer(503, b"", *sets("a=1")), answer(200, b"", *sets("b=2", "c=3"))) as wire:
        with real() as session:
            response = session.get(wire.url)
        lines = response.raw._original_response.msg.items()  # noqa: SLF001 (where requests looks)
    own = [(name, value) for name, value in lines if name != "Content-Length"]
    assert own == [*sets("a=1", "b=2", "c=3")]


def test_a_request_that_was_made_by_hand_gets_cookies() -> None:
    """A request whose cookies nobody prepared is sent again with those of the failed attempt."""
    with Wire(answer(503, b"", *sets("a=1")), answer()) as wire, real() as session:
        request = requests.PreparedRequest()
        request.prepare_method("GET")
        request.prepare_url(wire.url, None)
        request.prepare_headers({})
        assert session.send(request).status_code == 200
        assert sent(wire) == [{}, {"a": "1"}]


class Body(BytesIO):
    """A body in memory, which may have attributes."""


class Standing(HTTPAdapter):
    """An adapter whose answers from the second one on are those of a stand-in.

    Args:
        wire: What a stand-in's answers have in place of those of `http.client`.
    """

    def __init__(self, wire: object) -> None:
        super().__init__()
        self._wire, self._sent = wire, 0

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send the request once; then answer 503, and 200 from the third on."""
        self._sent += 1
        if self._sent == 1:
            return super().send(request)
        answered = requests.Response()
        answered.status_code = 503 if self._sent == 2 else 200
        answered.raw = Body()
        answered.raw._original_response = self._wire  # noqa: SLF001 (where requests looks)
        return answered


@pytest.mark.parametrize("wire", [None, SimpleNamespace(msg={"Set-Cookie": "b=2"})])
def test_a_stand_in_without_header_lines_neither_gives_nor_gets_cookies(wire: object) -> None:
    """A call goes on where a cache, or a mock with headers of another kind, answers within it."""
    settings = Settings(retry=RetryPolicy(backoff=AT_ONCE))
    adapter = AuthRetryAdapter(settings, inner=Standing(wire))
    with Wire(answer(503, b"", *sets("a=1"))) as server, with_adapter(adapter) as session:
        response = adapter.send(session.prepare_request(requests.Request("GET", server.url)))
    assert [attempt.status for attempt in attempts(response)] == [503, 503, 200]
