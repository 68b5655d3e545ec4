"""What would have been done, in words."""

from __future__ import annotations

import pytest

from requests_authretry import Challenge, Reason, Token, Verdict
from requests_authretry._core.classify import Meaning
from requests_authretry._core.observed import Would, after, after_401, before, refused
from requests_authretry._core.rate_limit import AskAgain, TooLate
from requests_authretry._core.records import FINAL, Retry, Stop

SENT = Token("tok")


@pytest.mark.parametrize(
    ("answer", "would"),
    [
        (
            AskAgain(3.0, Reason.COOL_DOWN, 60.0),
            Would(
                "wait",
                "would have waited 3 s: cool-down, as the server refused another call",
                Reason.COOL_DOWN,
                3.0,
                60.0,
            ),
        ),
        (
            AskAgain(5.0, Reason.PACING, is_known=False),
            Would("wait", "would have waited: pacing, to keep to the rate limit", Reason.PACING),
        ),
        (
            TooLate(600.0, "https://h"),
            Would(
                "refuse",
                "would not have been sent: https://h is closed for 600 s",
                Reason.WAIT_TOO_LONG,
                retry_after=600.0,
            ),
        ),
        (
            TooLate(0.0, "https://h"),
            Would(
                "refuse",
                "would not have been sent: https://h lets too few requests pass",
                Reason.WAIT_TOO_LONG,
            ),
        ),
    ],
    ids=["cool-down", "nobody knows how long", "closed", "crowded"],
)
def test_what_would_have_come_before(answer: AskAgain | TooLate, would: Would) -> None:
    """A wait with its length, or why nothing would have been sent."""
    assert before(answer) == would


def test_what_is_refused() -> None:
    """In the words of the reason, unless there are others."""
    reason = Reason.BLOCK_OVER
    text = "would not have been sent: the deadline of the block has passed"
    assert refused(reason) == Would("refuse", text, reason)
    assert refused(reason, "KeyError").text == "would not have been sent: KeyError"


def test_nothing_follows_a_final_answer() -> None:
    """A 200 or a 404."""
    assert after(FINAL, is_down=False) is None


def test_a_retry_would_follow() -> None:
    """After its delay; after the outage if there is one, and no server has named a time."""
    retry = Retry(0.5, Reason.SERVER_ERROR, 14)
    text = "would retry after 0.5 s: server error"
    assert after(retry, is_down=False) == Would("retry", text, Reason.SERVER_ERROR, 0.5)
    text = "would retry when the outage is over"
    assert after(retry, is_down=True) == Would("retry", text, Reason.OUTAGE)
    asked = Retry(2.0, Reason.THROTTLED, 5, 2.0)
    text = "would retry after 2 s: throttled"
    assert after(asked, is_down=True) == Would("retry", text, Reason.THROTTLED, 2.0, 2.0)


def test_the_call_would_end() -> None:
    """With the reason of the rule that ends it."""
    stop = Stop(Reason.VETOED, 7.0)
    text = "would end the call: the server said not to retry"
    assert after(stop, is_down=True) == Would("end", text, Reason.VETOED, retry_after=7.0)


@pytest.mark.parametrize(
    ("sent", "not_sent", "error", "action", "text"),
    [
        (None, None, None, "attach", "would have sent it with the credential of the settings"),
        (SENT, None, None, "renew", "would renew the token, and send the request again"),
        (
            SENT,
            None,
            "insufficient_scope",
            "end",
            "would end the call: the token's scope does not suffice",
        ),
        (
            None,
            Reason.NO_TOKEN,
            None,
            "end",
            "would have sent no credential: the settings have none",
        ),
        (
            None,
            Reason.OTHER_ORIGIN,
            None,
            "end",
            "would have sent no credential: the request goes to none of the origins",
        ),
        (
            None,
            Reason.OWN_CREDENTIAL,
            None,
            "end",
            "would have sent no credential: the request has one of its own",
        ),
    ],
)
def test_what_would_be_done_about_a_401(
    sent: Token | None, not_sent: Reason | None, error: str | None, action: str, text: str
) -> None:
    """Attach the credential, renew the token, or nothing, and why."""
    challenges = [Challenge("Bearer", {"error": error} if error else {})]
    would = after_401(challenges, sent, not_sent)
    assert (would.action, would.text) == (action, text)


@pytest.mark.parametrize(
    ("decision", "meaning", "text"),
    [
        (
            Retry(8.0, Reason.THROTTLED, 5, 8.0),
            Meaning.THROTTLED,
            "would retry after 8 s: throttled: your classifier",
        ),
        (
            Stop(Reason.NOT_IDEMPOTENT),
            Meaning.TRANSIENT,
            f"would end the call: {Reason.NOT_IDEMPOTENT.value}: transient, your classifier",
        ),
        (FINAL, Meaning.OK, "would end the call: final answer: ok, your classifier"),
        (FINAL, Meaning.TOKEN_EXPIRED, None),
    ],
)
def test_what_a_verdict_would_have_done(
    decision: Retry | Stop, meaning: Meaning, text: str | None
) -> None:
    """The words name who gave the verdict; a refused credential is told apart."""
    verdict = Verdict(meaning, by="your classifier")
    would = after(decision, is_down=False, verdict=verdict)
    assert (would and would.text) == text


def test_a_verdict_would_have_renewed_the_token() -> None:
    """No challenge for our scheme is needed then."""
    basic = [Challenge("Basic")]
    told = after_401(basic, SENT, None, is_told=True)
    assert told.action == "renew"
    assert after_401(basic, SENT, None).action == "end"
