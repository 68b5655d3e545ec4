"""`answer`: what to do about a 401. One guard a row of the rules; the first that matches wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .outcome import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .challenge import Challenge
    from .token import Token

_HOPELESS = {
    "insufficient_scope": Reason.INSUFFICIENT_SCOPE,  # RFC 6750 section 3.1
    "invalid_request": Reason.INVALID_REQUEST,  # RFC 6750 section 3.1
    "insufficient_user_authentication": Reason.STEP_UP,  # RFC 9470 section 3
}
"""Errors that another token of the same kind cannot cure."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What is known when a 401 has come.

    Attributes:
        challenges: What the server asks for.
        sent: The token of ours that the request carried, None when it carried none.
        current: The token that is current now.
        answered: Whether a 401 of this call was answered already.
        replayable: Whether the body can be sent again.
    """

    challenges: Sequence[Challenge]
    sent: Token | None
    current: Token | None
    answered: bool
    replayable: bool


@dataclass(frozen=True, slots=True)
class Refresh:
    """Renew the token.

    Attributes:
        resend: Whether to send again then: only if the body can be.
        challenge: What the server said of the token, None when it said nothing.
    """

    resend: bool
    challenge: Challenge | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """Somebody renewed it meanwhile: send again with the token that is current now."""


@dataclass(frozen=True, slots=True)
class Decline:
    """Hand out the 401.

    Attributes:
        reason: Why.
        challenge: The challenge that says so, None when none does.
    """

    reason: Reason
    challenge: Challenge | None = None


def answer(refused: Refused) -> Refresh | Replay | Decline:  # noqa: PLR0911 (one return a row)
    """What to do about a 401 (RFC 9110 section 15.5.2: once)."""
    if refused.sent is None:
        return Decline(Reason.NO_TOKEN)
    if refused.answered:
        return Decline(Reason.ANSWERED)
    ours = challenge_for(refused.challenges, refused.sent.scheme)
    if ours is None and refused.challenges:
        return Decline(Reason.OTHER_SCHEME, refused.challenges[0])
    # No challenge at all, and a bare one, count as an expired token.
    hopeless = _HOPELESS.get(ours.error or "") if ours else None
    if hopeless is not None:
        return Decline(hopeless, ours)
    if not refused.replayable:
        return Refresh(resend=False, challenge=ours)
    if refused.current is not None and refused.current.value != refused.sent.value:
        return Replay()
    return Refresh(resend=True, challenge=ours)


def challenge_for(challenges: Sequence[Challenge], scheme: str) -> Challenge | None:
    """The challenge that speaks of our scheme; the one with an error before a bare one."""
    ours = [challenge for challenge in challenges if challenge.is_for(scheme)]
    return next((challenge for challenge in ours if challenge.error), ours[0] if ours else None)
