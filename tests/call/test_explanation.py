"""What `explain` shows of a call: as text, as a table in a notebook, and as JSON."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from requests_authretry import (
    Attempt,
    AttemptEnded,
    Explanation,
    Reason,
    RefreshFailed,
    RetryPolicy,
    Wait,
    attempts,
    explain,
)
from tests.support.limits import hint
from tests.support.scripted import Source
from tests.support.sessions import API, Rig, raised, real
from tests.support.wire import refusing

SLOW = (429, {"Retry-After": "3"})
FOREIGN = "this call did not go through requests_authretry"


def test_an_explanation_as_json() -> None:
    """It has what the whole call came to, and each attempt and wait with its reason."""
    error = raised(Rig(SLOW, requests.exceptions.SSLError("bad certificate")).session, API)
    common = {"method": "GET", "url": f"{API}/"}
    assert explain(error).to_dict() == {
        **common,
        "status": None,
        "error": "SSLError",
        "message": "bad certificate",
        "seconds": 3.0,
        "waited": 3.0,
        "steps": [
            {
                "kind": "attempt",
                "number": 1,
                **common,
                "status": 429,
                "error": None,
                "started": 0.0,
                "elapsed": 0.0,
                "delay": 3.0,
                "reason": "THROTTLED",
                "why": "throttled",
                "retry_after": 3.0,
            },
            {
                "kind": "wait",
                "started": 0.0,
                "seconds": 3.0,
                "reason": "RETRY_AFTER",
                "why": "retry_after, as the server asked",
                "retry_after": 3.0,
            },
            {
                "kind": "attempt",
                "number": 2,
                **common,
                "status": None,
                "error": "SSLError",
                "started": 3.0,
                "elapsed": 0.0,
                "delay": 0.0,
                "reason": "FATAL",
                "why": "sending again cannot help",
                "retry_after": None,
            },
        ],
    }


def test_a_notebook_shows_a_table() -> None:
    """It has the lines of the text, with what the exception says as text and not as HTML."""
    error = raised(Rig(SLOW, requests.exceptions.SSLError("<b>")).session, API)
    assert explain(error)._repr_html_() == (
        f"<table><caption>GET {API}/: SSLError after 2 attempts in 3 s<br>&lt;b&gt;</caption>"
        "<tr><td>1.</td><td>429 in 0 s</td><td>throttled (the server asked for 3 s)</td></tr>"
        "<tr><td></td><td>waited 3 s</td><td>retry_after, as the server asked</td></tr>"
        "<tr><td>2.</td><td>SSLError in 0 s</td><td>sending again cannot help</td></tr>"
        "<tr><td></td><td colspan=2>waited 3 s in all</td></tr></table>"
    )
    assert explain(None)._repr_html_() == (
        "<table><caption>no response and no exception</caption>"
        f"<tr><td></td><td colspan=2>{FOREIGN}</td></tr></table>"
    )


def test_the_time_of_listeners_has_a_line_of_its_own() -> None:
    """A listener that takes 0.25 s after a refusal takes part of the wait, and is named."""

    def slow(event: object) -> None:
        if isinstance(event, AttemptEnded) and event.attempt.number == 1:
            rig.clock.advance(0.25)

    rig = Rig(SLOW, 200, listeners=[slow])
    told = explain(rig.get())
    assert (told.seconds, told.waited, told.rest) == (3.0, 2.75, 0.25)
    last = "  waited 2.75 s in all; in this library, requests and hooks: 0.25 s"
    assert str(told).splitlines()[-1] == last


def test_half_a_millisecond_is_named_and_less_is_not() -> None:
    """0.5 ms beside waits and attempts have a line, 0.4 ms have none."""
    nothing = "no response and no exception, nothing was sent"
    named = "  in this library, requests and hooks: 0.0005 s"
    assert str(Explanation(seconds=0.0005)).splitlines() == [nothing, named]
    assert str(Explanation(seconds=0.0004)).splitlines() == [nothing]
    attempt = Attempt(1, API, 200, None, 0.0, 2.0, 0.0, Reason.FINAL)
    assert Explanation(steps=(attempt,), seconds=2.5).rest == 0.5


def test_a_call_that_only_waited_has_no_room_for_numbers() -> None:
    """Without attempts the waits stand as far left as the last line."""
    wait = Wait(Reason.COOL_DOWN, started=0.0, seconds=3.0, retry_after=None)
    told = Explanation(steps=(wait,), method="GET", url=API, error="AuthRetryError", seconds=3.0)
    assert str(told).splitlines() == [
        f"GET {API}: AuthRetryError, nothing was sent",
        "  waited 3 s: cool-down, as the server refused another call",
        "  waited 3 s in all",
    ]


def test_it_is_said_once_that_nothing_was_sent() -> None:
    """An exception that says it itself has no second word of it in the line above."""
    rig = Rig(hint(30), retry=RetryPolicy(deadline=20))
    rig.get()
    first, second = str(explain(raised(rig.session, API))).splitlines()[:2]
    assert first == f"GET {API}/: AuthRetryError"
    assert second.startswith("  not sent: ")


def test_the_origin_that_gets_no_token_is_named() -> None:
    """Who forgot an origin reads which one."""
    mine = [API, "https://login.example.com"]
    response = Rig(401, token=Source("mine"), origins=mine).get("https://other.example.com/x")
    told = str(explain(response)).splitlines()[1]
    said = (
        f"no token was sent: https://other.example.com is none of the origins {mine[0]}, {mine[1]}"
    )
    assert told == f"  1. 401 in 0 s: {said}"


def test_nothing_has_an_empty_explanation() -> None:
    """``error.response`` is None where no answer came: that explains nothing, and fails not."""
    assert explain(None) == Explanation(is_known=False)


def test_the_exception_of_a_bad_status_is_explained_as_its_answer() -> None:
    """`raise_for_status` raises about a call: its steps, its seconds and its request are told."""
    response = Rig(SLOW, 404).get("/a")
    with pytest.raises(requests.HTTPError) as caught:
        response.raise_for_status()
    told, expected = explain(caught.value), explain(response)
    assert told.is_known is True
    assert (told.steps, told.seconds) == (expected.steps, 3.0)
    assert (told.method, told.url) == ("GET", f"{API}/a")


def test_an_exception_before_anything_was_sent_names_the_request() -> None:
    """A call without a token has no attempts, and still a method and a URL."""
    error = raised(Rig(token=Source(RefreshFailed("no")), origins=[API]).session, f"{API}/a")
    told = explain(error)
    assert (told.method, told.url, told.attempts) == ("GET", f"{API}/a", ())


def test_an_exception_without_a_request_names_that_of_the_last_attempt() -> None:
    """An inner adapter that fails with a ValueError: the attempts before it say what was asked."""
    there, here = (307, {"Location": "/b"}), (303, {"Location": "/c"})
    rig = Rig(there, here, 503, ValueError("secret"))
    with pytest.raises(ValueError, match="secret") as caught:
        rig.session.post(API)
    told = explain(caught.value)
    assert (told.method, told.url, told.message) == ("GET", f"{API}/c", "")
    assert (told.error, told.is_known) == ("ValueError", True)


def test_a_foreign_exception_took_no_time() -> None:
    """Of an exception that did not come from here nothing is known but its name."""
    assert explain(ValueError("secret")) == Explanation(is_known=False, error="ValueError")


def test_a_foreign_answer_was_one_attempt() -> None:
    """It took as long as requests says, and nothing was waited for."""
    response = requests.Response()
    response.status_code, response.url, response.elapsed = 204, f"{API}/x?y", timedelta(seconds=2)
    response.request = requests.Request("PUT", response.url).prepare()
    only = Attempt(1, f"{API}/x", 204, None, 0.0, 2.0, 0.0, Reason.FINAL, method="PUT")
    assert attempts(response) == (only,)


def test_what_is_told_of_a_refused_connection_is_its_cause() -> None:
    """The exception at the bottom says it, and not the ones of requests and urllib3 around it."""
    with refusing() as url, real(retry=RetryPolicy(max_attempts=1)) as session:
        told = explain(raised(session, url)).message
    assert "Failed to establish a new connection" in told
    assert "Max retries exceeded" not in told


class Speechless(requests.ConnectionError):
    """An exception of somebody else that cannot be shown."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError("of the test")


def test_an_exception_that_cannot_be_shown_says_nothing() -> None:
    """Its name and its attempts are told all the same."""
    told = explain(Speechless("private"))
    assert (told.error, told.message) == ("Speechless", "")


def test_what_an_exception_says_has_neither_users_nor_queries() -> None:
    """They are cut out of URLs in its text, and nothing takes their place."""
    said = "no certificate of https://ada:lovelace@api.example.com/x?key=sesame"
    error = raised(Rig(requests.exceptions.SSLError(said)).session, API)
    assert explain(error).message == "no certificate of https://api.example.com/x"
