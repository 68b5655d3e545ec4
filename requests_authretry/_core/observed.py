"""What would have been done to a call that is only observed: `Settings(observe=True)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .classify import detail_of, refuses_credential
from .rate_limit import TooLate
from .records import Reason, Retry, seconds_text
from .unauthorized import Decline, Refused, decide_on_401

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .challenge import Challenge
    from .classify import Verdict
    from .rate_limit import AskAgain
    from .records import Stop
    from .token import Token

Action = Literal["wait", "refuse", "attach", "renew", "retry", "end"]

_NO_CREDENTIAL = {
    Reason.NO_TOKEN: "the settings have none",
    Reason.OTHER_ORIGIN: "the request goes to none of the origins",
    Reason.OWN_CREDENTIAL: "the request has one of its own",
}


@dataclass(frozen=True, slots=True)
class Would:
    """Something that would have been done.

    Attributes:
        action: ``"wait"`` before the request was sent; ``"refuse"`` to send it; ``"attach"`` a
            credential; ``"renew"`` the token after a 401, and replay; ``"retry"``; or
            ``"end"`` the call, as it ended.
        text: The same for people.
        reason: Why; None where there is no more to say.
        seconds: How long the call would have waited for it, as far as is known; None for no wait.
        retry_after: Seconds that a server asked for; None if it named no time.
    """

    action: Action
    text: str
    reason: Reason | None = None
    seconds: float | None = None
    retry_after: float | None = None


def before(answer: AskAgain | TooLate) -> Would:
    """Return what would have been done instead of sending an attempt at once."""
    if isinstance(answer, TooLate):
        closed = f"{answer.scope} is closed for {seconds_text(answer.opens_in)}"
        why = closed if answer.opens_in else f"{answer.scope} lets too few requests pass"
        text = f"would not have been sent: {why}"
        return Would("refuse", text, Reason.WAIT_TOO_LONG, retry_after=answer.opens_in or None)
    length = f" {seconds_text(answer.seconds)}" if answer.is_known else ""
    return Would(
        "wait",
        f"would have waited{length}: {answer.reason.value}",
        answer.reason,
        answer.seconds if answer.is_known else None,
        answer.retry_after,
    )


def refused(reason: Reason, why: str = "") -> Would:
    """Return that an attempt would not have been sent.

    Args:
        reason: The reason.
        why: The same for people, if there is more to say.
    """
    return Would("refuse", f"would not have been sent: {why or reason.value}", reason)


def ended(
    reason: Reason, retry_after: float | None = None, verdict: Verdict | None = None
) -> Would:
    """Return that an attempt would have been the last one."""
    text = f"would end the call: {_told(reason, verdict)}"
    return Would("end", text, reason, retry_after=retry_after)


def after(decision: Retry | Stop, *, is_down: bool, verdict: Verdict | None = None) -> Would | None:
    """Return what would have followed an attempt; None for a final answer.

    A final answer whose status said something else is told, unless it refuses the credential.

    Args:
        decision: What the rules say.
        is_down: Whether the endpoint has an outage, so that a retry would have been held.
        verdict: What the answer means where its status does not say it.
    """
    reason, retry_after = decision.reason, decision.retry_after
    if reason is Reason.FINAL and (verdict is None or refuses_credential(verdict, 0)):
        return None
    if not isinstance(decision, Retry):
        return ended(reason, retry_after, verdict)
    if is_down and retry_after is None:
        return Would("retry", "would retry when the outage is over", Reason.OUTAGE)
    text = f"would retry after {seconds_text(decision.delay)}: {_told(reason, verdict)}"
    return Would("retry", text, reason, decision.delay, retry_after)


def _told(reason: Reason, verdict: Verdict | None) -> str:
    """Return a reason, and who gave the verdict that led to it, for people."""
    told = reason.value
    return told if verdict is None else f"{told}: {detail_of(verdict, told)}"


def after_401(
    challenges: Sequence[Challenge],
    sent: Token | None,
    not_sent: Reason | None,
    *,
    any_challenge: bool = False,
    is_told: bool = False,
) -> Would:
    """Return what would have been done about a 401.

    Args:
        challenges: The challenges of the server.
        sent: The token that the request carried, and that the settings adopt; None if there is
            none.
        not_sent: Why the settings have no credential for the request; None if they have one.
        any_challenge: Whether a 401 refuses the token whatever schemes it names.
        is_told: Whether a verdict says that the credential is refused.
    """
    if not_sent is not None:
        return Would("end", f"would have sent no credential: {_NO_CREDENTIAL[not_sent]}", not_sent)
    if sent is None:
        return Would("attach", "would have sent it with the credential of the settings")
    facts = Refused(
        challenges,
        sent,
        sent,
        replays=0,
        fetched=False,
        replayable=True,
        any_challenge=any_challenge,
        is_told=is_told,
    )
    verdict = decide_on_401(facts)
    if isinstance(verdict, Decline):
        return ended(verdict.reason)
    return Would("renew", "would renew the token, and send the request again")
