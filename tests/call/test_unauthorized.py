"""A refused token: what the hook tells, hands out and sends again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    AuthRetryAdapter,
    Challenge,
    Reason,
    RefreshDeclined,
    RefreshFailed,
    RetryPolicy,
    Settings,
    attempts,
)
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.scripted import EXPIRED, Source
from tests.support.sessions import API, AT_ONCE, Recorder, Rig, ended, raised, real, with_adapter
from tests.support.wire import PATIENCE, Wire, answer, chunked, cut, drip, fin, head, rst

if TYPE_CHECKING:
    from requests import PreparedRequest

    from requests_authretry.testing import Line
    from tests.support.wire import Action

LACKING = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="admin"'}
BASIC = ("WWW-Authenticate", "Basic")

ANSWERS: dict[str, tuple[Line, str, list[Reason]]] = {
    "what the token lacks": ((403, LACKING), API, [Reason.INSUFFICIENT_SCOPE]),
    "nothing": (403, API, []),
    "of another scheme": ((403, {"WWW-Authenticate": 'DPoP error="invalid_request"'}), API, []),
    "to another origin": ((403, LACKING), "https://other.example.com", []),
    "with another error": ((404, LACKING), API, []),
    "with success": ((200, LACKING), API, []),
}


@pytest.mark.parametrize(("line", "origin", "reasons"), ANSWERS.values(), ids=ANSWERS)
def test_a_403_may_say_what_the_token_lacks(line: Line, origin: str, reasons: list[Reason]) -> None:
    """The listeners learn why no renewal cures a 403; it is handed out, and nothing is renewed."""
    source = Source("old", "new")
    rig = Rig(line, token=source, origins=[API])
    rig.get(f"{origin}/get")
    assert rig.told(RefreshDeclined) == [
        RefreshDeclined("GET", f"{API}/get", reason, "insufficient_scope") for reason in reasons
    ]
    assert source.calls <= 1


class Busy(Recorder):
    """An inner adapter during whose answers with a 401 another caller renews the token.

    Attributes:
        other: The session of the other caller.
    """

    other: requests.Session

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Answer, and let the other caller renew."""
        response = super().send(request, *args, **options)
        if response.status_code == 401:
            assert self.other.get(API).status_code == 200
        return response


def busy(*script: Line) -> tuple[requests.Session, Busy, list[Any]]:
    """Make a session whose token others renew; also return its inner adapter, and the events."""
    told = list[Any]()
    settings = Settings(
        token=Source(*"abcdefg"), origins=[API], clock=FakeClock(), listeners=[told.append]
    )
    renews: list[Line] = [EXPIRED, 200]
    inner, others = Busy(*script), ScriptedAdapter(*renews * len(script))
    inner.other = with_adapter(AuthRetryAdapter(settings, inner=others))
    return with_adapter(AuthRetryAdapter(settings, inner=inner)), inner, told


def test_a_token_that_another_caller_renewed_is_sent_without_a_renewal() -> None:
    """The replay has the new token, and the record says that nothing was fetched for it."""
    session, _, _ = busy(EXPIRED, 200)
    made = attempts(session.get(API))
    assert [(one.status, one.reason) for one in made] == [
        (401, Reason.REPLAYED),
        (200, Reason.FINAL),
    ]


def test_a_call_is_replayed_twice_with_the_tokens_of_others() -> None:
    """A second replay has the options of the first, and the answer has both 401s as history."""
    session, inner, _ = busy(EXPIRED, EXPIRED, 200)
    response = session.get(API, timeout=7, verify="bundle.pem")
    assert [one.status for one in attempts(response)] == [401, 401, 200]
    assert response.status_code == 200
    assert [one.status_code for one in response.history] == [401, 401]
    first, *others = inner.options
    assert (first["timeout"], first["verify"]) == (7, "bundle.pem")
    assert others == [first, first]


def test_a_call_is_not_replayed_a_third_time() -> None:
    """A call whose third token is refused gets the 401, whatever others renew."""
    session, inner, told = busy(EXPIRED, EXPIRED, EXPIRED, 200)
    response = session.get(API)
    assert (response.status_code, len(inner.options)) == (401, 3)
    declined = [event.reason for event in told if isinstance(event, RefreshDeclined)]
    assert declined == [Reason.ANSWERED]


def test_the_source_is_told_of_the_challenge() -> None:
    """The source learns which token was refused, and what the server said of it."""
    source = Source("old", "new")
    challenge = 'Bearer realm="api", error="invalid_token"'
    Rig((401, {"WWW-Authenticate": challenge}), 200, token=source, origins=[API]).get()
    context = source.contexts[1]
    assert context.stale is not None
    assert (context.stale.value, context.refused) == ("old", True)
    assert context.challenge == Challenge("Bearer", {"realm": "api", "error": "invalid_token"})


def test_a_renewal_that_fails_leaves_the_401_and_its_connection() -> None:
    """The error has the reason and the drained 401, whose connection is used again."""
    source = Source("old", OSError("no token today"), "new")
    with Wire(answer(401, b"who are you?"), answer()) as wire:
        with real(token=source, origins=[wire.url]) as session:
            error = raised(session, wire.url)
            assert session.get(wire.url).status_code == 200
        assert wire.connections == 1
    assert type(error) is RefreshFailed
    assert [(one.status, one.reason) for one in attempts(error)] == [(401, Reason.REFRESH_FAILED)]
    assert error.response is not None
    assert error.response.content == b"who are you?"


@pytest.mark.parametrize("stream", [False, True], ids=["read", "stream"])
def test_a_401_that_is_handed_out_is_read_unless_it_streams(stream: bool) -> None:  # noqa: FBT001
    """The body of a 401 that no renewal answers is there for hooks; that of a stream is not."""
    read = list[bool]()

    def look(response: requests.Response, **_: Any) -> None:
        read.append(bool(response._content_consumed))  # noqa: SLF001 (requests has no other word)

    with Wire(answer(401, b"no", BASIC)) as wire, _holding(wire) as session:
        response = session.get(wire.url, stream=stream, timeout=PATIENCE, hooks={"response": look})
        assert (read, response.content) == ([not stream], b"no")


BROKEN: dict[str, tuple[Action, str]] = {
    "FIN": (chunked(401, b"abc", headers=(BASIC,), end=fin), "ChunkedEncodingError"),
    "RST": (cut(401, 10, b"abc", BASIC, end=rst), "ChunkedEncodingError"),
    "gzip": (answer(401, b"abc", BASIC, ("Content-Encoding", "gzip")), "ContentDecodingError"),
}


@pytest.mark.parametrize(("line", "kind"), BROKEN.values(), ids=BROKEN)
def test_a_401_whose_body_breaks_is_in_the_record(line: Action, kind: str) -> None:
    """The exception of a body that cannot be read has its request, and why nothing was renewed."""
    with Wire(line) as wire, _holding(wire) as session:
        error, url = raised(session, wire.url), wire.url
    assert error.request is not None
    assert error.request.url == url
    assert [(one.status, one.error, one.reason, one.url) for one in attempts(error)] == [
        (None, kind, Reason.OTHER_SCHEME, url)
    ]
    assert type(error).__name__ == kind


def test_a_401_that_drips_ends_with_the_deadline() -> None:
    """The body of a 401 that is handed out is read no longer than the call may take."""
    clock, retry = FakeClock(), RetryPolicy(deadline=120, backoff=AT_ONCE)
    start = head(401, ("Content-Length", "100000"), BASIC)
    dripping = drip(start, tick=lambda: clock.advance(10))
    with Wire(dripping) as wire, _holding(wire, retry=retry, clock=clock) as session:
        error = ended(lambda: raised(session, wire.url, timeout=PATIENCE))
    assert type(error) is requests.ReadTimeout
    assert [one.error for one in attempts(error)] == ["ReadTimeout"]


def _holding(wire: Wire, **settings: Any) -> requests.Session:
    """Make a session with a token for this server."""
    return real(token=Source("secret"), origins=[wire.url], **settings)
