"""A 401 or 407 to a request without our credential reaches hooks as in bare requests, unread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.auth import AuthBase

from requests_authretry import (
    Reason,
    RefreshDeclined,
    RetryPolicy,
    Settings,
    attempts,
    install,
    mount,
)
from requests_authretry._call import unauthorized
from requests_authretry._call.translate import challenges_of
from tests.support.sessions import AT_ONCE
from tests.support.wire import Wire, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

BODY = b"x" * 3000
STRANGER = "https://stranger.example.com"
ASKS = ("WWW-Authenticate", "NTLM")


class Looks:
    """A hook that records the state of a body and its connection."""

    def __init__(self) -> None:
        self.seen: list[tuple[bool, bool]] = []

    def __call__(self, response: requests.Response, **_: Any) -> None:
        """Record whether the body has been read, and whether the connection is there."""
        wire: Any = response.raw
        self.seen.append((bool(response._content_consumed), wire._original_response.fp is not None))  # noqa: SLF001


UNREAD, READ = (False, True), (True, False)

TOKENS: dict[str, dict[str, Any]] = {
    "no token": {},
    "a token for another origin": {"token": "secret", "origins": [STRANGER]},
}


@pytest.mark.parametrize("ways", ["mount", "install"])
@pytest.mark.parametrize("given", TOKENS)
@pytest.mark.parametrize("status", [401, 407])
def test_a_hook_sees_it_unread(status: int, given: str, ways: str) -> None:
    """A hook sees the body unread, and the caller gets the whole body all the same."""
    looks, settings = Looks(), Settings(**TOKENS[given])
    with Wire(*[answer(status, BODY, ASKS)] * 2) as wire, requests.Session() as session:
        usual = requests.get(wire.url, timeout=30, hooks={"response": looks})
        way: Any = install(settings) if ways == "install" else mount(session, settings)
        with way:
            response = session.get(wire.url, hooks={"response": looks})
        assert wire.connections == 2
    assert looks.seen == [UNREAD, UNREAD]
    assert usual.content == response.content == BODY
    assert [attempt.status for attempt in attempts(response)] == [status]


def test_a_header_of_the_users() -> None:
    """A 401 to an Authorization header of the caller is left unread for the caller."""
    looks = Looks()
    with Wire(answer(401, BODY)) as wire, requests.Session() as session:
        mount(session, Settings(token="secret", origins=[wire.url[:-1]]))
        mine = {"Authorization": "NTLM one"}
        response = session.get(wire.url, headers=mine, hooks={"response": looks})
    assert looks.seen == [UNREAD]
    assert response.content == BODY


class Signature(AuthBase):
    """A signature for each attempt."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the signature."""
        request.headers["X-Signature"] = "signed"
        return request


OURS: dict[str, dict[str, Any]] = {
    "token": {"token": "secret"},
    "auth": {"auth": Signature()},
}


@pytest.mark.parametrize("given", OURS)
def test_ours_is_read(given: str) -> None:
    """A final 401 to our credential is read within the deadline, before hooks."""
    looks = Looks()
    with Wire(answer(401, BODY)) as wire, requests.Session() as session:
        mount(session, Settings(origins=[wire.url[:-1]], **OURS[given]))
        assert session.get(wire.url, hooks={"response": looks}).content == BODY
    assert looks.seen == [READ]


@pytest.mark.parametrize("status", [401, 407])
def test_ours_went_to_the_site_before(status: int) -> None:
    """A redirect to a site without a credential gives hooks an unread answer."""
    looks = Looks()
    with Wire() as first, Wire(answer(status, BODY, ASKS)) as other, requests.Session() as session:
        first.then(answer(302, b"", ("Location", other.url)))
        site = Settings(auth=Signature(), origins=[first.url[:-1]])
        mount(session, Settings(sites=[site]))
        assert session.get(first.url, hooks={"response": looks}).content == BODY
    assert looks.seen[-1] == UNREAD


@pytest.mark.parametrize("status", [400, 403, 404, 200])
def test_other_answers_are_read(status: int) -> None:
    """Answers with other statuses have been read when hooks see them."""
    looks = Looks()
    with Wire(answer(status, BODY)) as wire, requests.Session() as session:
        mount(session)
        session.get(wire.url, hooks={"response": looks})
    assert looks.seen == [READ]


@pytest.mark.parametrize("status", [401, 407])
def test_one_that_is_retried(status: int) -> None:
    """A 401 or 407 that the settings retry is drained, and the hook sees only the last answer."""
    looks = Looks()
    retry = RetryPolicy(statuses={status}, backoff=AT_ONCE)
    with Wire(answer(status, BODY), answer()) as wire, requests.Session() as session:
        mount(session, Settings(retry=retry))
        assert session.get(wire.url, hooks={"response": looks}).status_code == 200
        assert wire.connections == 1
    assert looks.seen == [READ]


def test_it_is_said_and_its_challenge_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listeners learn that no token was sent; the challenge of another server is not parsed."""
    told: list[Any] = []
    read: list[Any] = []
    reads: Callable[..., Any] = challenges_of

    def counted(response: requests.Response) -> Any:
        read.append(response)
        return reads(response)

    monkeypatch.setattr(unauthorized, "challenges_of", counted)
    with Wire(*[answer(401, BODY, ASKS)] * 2) as wire, requests.Session() as session:
        mount(session, Settings(token="secret", origins=[STRANGER], listeners=[told.append]))
        session.get(wire.url)
        assert read == []
        with mount(session, Settings(token="secret", origins=[wire.url[:-1]])):
            session.get(wire.url)
        assert len(read) == 1
    assert [event.reason for event in told if isinstance(event, RefreshDeclined)] == [
        Reason.OTHER_ORIGIN
    ]
