"""No secret of ours in anything that is written down: logs, events, reprs, exceptions, frames."""

from __future__ import annotations

import logging
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    ConfigurationError,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Token,
    attempts,
    explain,
    install,
    mount,
    override,
)
from tests.support.frames import frames_of
from tests.support.scripted import EXPIRED
from tests.support.sessions import API, AT_ONCE, Rig, raised, real
from tests.support.wire import Wire, answer, cut, fin, rst, says

if TYPE_CHECKING:
    from types import FrameType

    from tests.support.wire import Action

OLD, NEW, GRANT = "old-3b1f77c0a9", "new-9e02d4c511", "grant-6c5d0b18ef"
PASSWORD, KEY = "lovelace-77d0", "sesame-8812"
SECRETS = (OLD, NEW, GRANT, PASSWORD, KEY)


class Renewing:
    """A source of two tokens, then an exception."""

    def __init__(self, words: str = "no more") -> None:
        """Nothing fetched yet; the exception will say this."""
        self.fetched = 0
        self._words = words

    def fetch(self, context: object) -> Token:  # noqa: ARG002 (of the protocol)
        """The next token."""
        self.fetched += 1
        if self.fetched > 2:
            raise OSError(self._words)
        return Token((OLD, NEW)[self.fetched - 1], refresh_token=GRANT)


def leaks(text: str) -> list[str]:
    """The secrets that a text shows."""
    return [secret for secret in SECRETS if secret in text]


def shown_by(error: BaseException) -> str:
    """All that a good reporter of exceptions shows: messages, chain, and the locals of our code."""
    lines = traceback.TracebackException.from_exception(error, capture_locals=False).format()
    variables = [f"{name} = {value!r}" for f in frames_of(error) for name, value in _locals(f)]
    return "\n".join([*lines, *variables, repr(error), repr(error.args)])


def _locals(frame: FrameType) -> list[tuple[str, Any]]:
    return list(frame.f_locals.items())


REFUSED = answer(401, b"no", ("WWW-Authenticate", 'Bearer error="invalid_token"'))
STORIES: dict[str, list[Action]] = {
    "all goes well": [answer(503), REFUSED, answer()],
    "renewal fails": [REFUSED, answer(), REFUSED],
    "lost": [REFUSED, *[says(end=rst)] * 4],
    "cut body": [REFUSED, *[cut(200, 99, b"abc", end=rst)] * 4],
    "garbled": [REFUSED, *[says(b"SPAM\r\n\r\n", end=fin)] * 4],
    "redirected": [REFUSED, answer(302, b"", ("Location", "//localhost:1/")), answer()],
}


def _outcome(session: requests.Session, url: str) -> Any:
    """The answer or the exception."""
    try:
        return session.get(url)
    except requests.RequestException as error:
        return error


@pytest.mark.parametrize("script", STORIES.values(), ids=STORIES)
def test_no_story_tells_a_secret(script: list[Action], caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a call goes through, neither logs at DEBUG nor events nor errors have a token."""
    caplog.set_level(logging.DEBUG)
    events: list[Any] = []
    with Wire(*script) as wire:
        policy = RetryPolicy(backoff=AT_ONCE, deadline=5)
        session = real(
            token=Renewing(), origins=[wire.url], listeners=[events.append], retry=policy
        )
        with session:
            outcomes = [_outcome(session, wire.url) for _ in range(2)]
        assert {f"Bearer {OLD}"} <= {seen.headers["Authorization"] for seen in wire.arrived}
    texts = [caplog.text, *map(repr, events), *map(repr, outcomes)]
    texts += [f"{told} {told.to_dict()} {told._repr_html_()}" for told in map(explain, outcomes)]
    texts += [shown_by(each) for each in outcomes if isinstance(each, Exception)]
    texts += [repr(attempts(each)) for each in outcomes] + [repr(session.adapters)]
    assert leaks("\n".join(texts)) == []
    assert "requests_authretry" in caplog.text


@pytest.mark.parametrize("script", STORIES.values(), ids=STORIES)
def test_no_request_or_answer_keeps_a_secret(script: list[Action]) -> None:
    """What a caller holds afterwards, and what it pickles to, has no token either."""
    with Wire(*script) as wire, real(token=Renewing(), origins=[wire.url]) as session:
        outcome = _outcome(session, wire.url)
    request, answers = outcome.request, getattr(outcome, "history", [])
    for each in (request, *answers, *(past.request for past in answers)):
        assert leaks(repr(vars(each))) == []
        assert not any(secret.encode() in pickle.dumps(each) for secret in SECRETS)
    assert not any(secret.encode() in pickle.dumps(outcome) for secret in SECRETS)


def test_what_goes_out_hides_it_too() -> None:
    """The request that carries the token, which adapters and traces may dump, does not show it."""
    rig = Rig(200, token=Token(OLD), origins=[API])
    rig.get()
    [sent] = rig.inner.sent
    assert sent.headers["Authorization"] == f"Bearer {OLD}"
    assert leaks(f"{sent.headers!r} {sent.headers} {vars(sent)}") == []


@pytest.mark.parametrize(
    "given",
    [f"{OLD}\n", f" {OLD}", f"é{OLD}", {"access_token": OLD}, OLD.encode(), [OLD], (OLD, 3600)],
    ids=["line break", "blank", "not ASCII", "dict", "bytes", "list", "tuple"],
)
def test_nonsense_from_a_source_is_not_quoted(given: Any) -> None:
    """A source that gives something else than a token is told so; no frame of ours shows it."""
    rig = Rig(200, token=lambda: given, origins=[API])
    with pytest.raises(RefreshFailed) as caught:
        rig.get()
    assert leaks(shown_by(caught.value)) == []
    assert rig.inner.sent == []


def test_a_source_that_quotes_its_grant() -> None:
    """The words of a failing source are its own: no message, chain or frame repeats them."""
    rig = Rig(EXPIRED, 200, EXPIRED, token=Renewing(f"no token for {GRANT}"), origins=[API])
    rig.get()
    with pytest.raises(RefreshFailed) as caught:
        rig.get()
    assert str(caught.value.__cause__).startswith("OSError\n")
    assert leaks(shown_by(caught.value)) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: Settings(token=f"{OLD}\n", origins=[API]),
        lambda: Settings(token=OLD),
        lambda: Settings(token=OLD, origins=[f"https://ada:{PASSWORD}@api.example.com"]),
        lambda: Settings(token=OLD, origins=[f"{API}/?key={KEY}"]),
        lambda: Token(f"{OLD}\r\nX: y"),
        lambda: Token(OLD, scheme="no scheme"),
        lambda: Settings(token=OLD, origins=[API], retry=3),  # type: ignore[arg-type]
        lambda: override(token=OLD, retry=3).__enter__(),  # type: ignore[arg-type]
        lambda: override(token=OLD, retri=3).__enter__(),  # type: ignore[call-arg]
        lambda: Settings(timeout=OLD),  # type: ignore[arg-type]
        lambda: Settings(observe=OLD),  # type: ignore[arg-type]
        lambda: RetryPolicy(max_attempts=OLD),  # type: ignore[arg-type]
        lambda: override(priority=OLD).__enter__(),  # type: ignore[arg-type]
        lambda: mount(OLD),  # type: ignore[arg-type]
        lambda: mount(requests.Session(), OLD),  # type: ignore[arg-type]
        lambda: install(OLD),  # type: ignore[arg-type]
    ],
)
def test_refused_settings_are_not_quoted(make: Any) -> None:
    """An error in the settings names the fault, and quotes neither token nor password."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert leaks(shown_by(caught.value)) == []


def test_secrets_of_the_url_stay_out_of_what_we_write(caplog: pytest.LogCaptureFixture) -> None:
    """User part, query and fragment are in no event, log line or explanation of ours."""
    caplog.set_level(logging.DEBUG, "requests_authretry")
    rig = Rig(503, requests.exceptions.SSLError())
    error = raised(rig.session, f"https://ada:{PASSWORD}@api.example.com/x?key={KEY}#{KEY}")
    assert leaks(f"{caplog.text} {rig.events} {explain(error)}") == []
    assert "https://api.example.com/x" in caplog.text
