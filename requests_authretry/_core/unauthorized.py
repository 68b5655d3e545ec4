"""What to do about a 401: each row of the rules is one guard, and the first match wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .records import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .challenge import Challenge
    from .token import Token

SCHEME: Final = "scheme"
ANY: Final = "any"
"""The words of the setting `challenge`: which schemes a 401 may name that refuses our token."""

_HOPELESS = {
    "insufficient_scope": Reason.INSUFFICIENT_SCOPE,  # RFC 6750 section 3.1
    "invalid_request": Reason.INVALID_REQUEST,  # RFC 6750 section 3.1
    "invalid_dpop_proof": Reason.PROOF_REFUSED,  # RFC 9449 section 7.1
    "insufficient_user_authentication": Reason.STEP_UP,  # RFC 9470 section 3
}
"""Errors that another token of the same kind cannot cure."""

NONCE_WANTED = "use_dpop_nonce"
"""The error that asks for a nonce in the proof (RFC 9449 sections 8 and 9)."""

_MOST_CHALLENGES = 3
"""How many challenges in a row are signed for: a server may give a nonce that is soon stale."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The facts when a 401 has arrived.

    Attributes:
        challenges: The challenges of the server.
        sent: The token of ours that the request carried; None if it carried none.
        current: The token that is current now.
        replays: How often this call was replayed after a 401.
        fetched: Whether one of these replays had a token that was fetched for it.
        replayable: Whether the body can be sent again.
        has_nonce: Whether the server gave a nonce that the proof did not have (RFC 9449 section 9).
        any_challenge: Whether a 401 refuses the token whatever schemes it names.
        has_clock: Whether the time of the proof was wrong by the server's clock.
        is_told: Whether a verdict says that the token is refused, so that the challenges need not.
    """

    challenges: Sequence[Challenge]
    sent: Token | None
    current: Token | None
    replays: int
    fetched: bool
    replayable: bool
    has_nonce: bool = False
    any_challenge: bool = False
    has_clock: bool = False
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Refresh:
    """The decision to renew the token.

    Attributes:
        resend: Whether to send the request again after that; False if its body cannot be.
        challenge: The challenge about the token; None if the server sent none.
    """

    resend: bool
    challenge: Challenge | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """The decision to send the request again with the token that is current now.

    Attributes:
        reason: Another caller has renewed the token, the server gave a nonce or a time for its
            proof, or a challenge to sign for.
    """

    reason: Reason = Reason.REPLAYED


@dataclass(frozen=True, slots=True)
class Decline:
    """The decision to hand out the 401.

    Attributes:
        reason: Why the 401 is not answered.
        challenge: The challenge that gives the reason; None if no challenge gives it.
    """

    reason: Reason
    challenge: Challenge | None = None


def decide_on_401(  # noqa: PLR0911 (one return a row)
    refused: Refused,
) -> Refresh | Replay | Decline:
    """Decide what to do about a 401 (RFC 9110 section 15.5.2: once)."""
    if refused.sent is None:
        return Decline(Reason.NO_TOKEN)
    ours = challenge_for(refused.challenges, refused.sent.scheme)
    if ours and ours.error == NONCE_WANTED:  # says nothing about the token: uses up no replay
        if not refused.replayable:
            return Decline(Reason.NOT_REPLAYABLE, ours)
        return Replay(Reason.NONCE) if refused.has_nonce else Decline(Reason.PROOF_REFUSED, ours)
    if has_replayed(refused.replays, fetched=refused.fetched):
        return Decline(Reason.ANSWERED)
    is_plain = refused.is_told or refused.any_challenge
    if ours is None and refused.challenges and not is_plain:
        return Decline(Reason.OTHER_SCHEME, refused.challenges[0])
    # A missing challenge, or one without an error, counts as an expired token.
    hopeless = _HOPELESS.get(ours.error or "") if ours and not refused.is_told else None
    if refused.has_clock and refused.replayable and hopeless in {None, Reason.PROOF_REFUSED}:
        return Replay(Reason.CLOCK)
    if hopeless is not None:
        return Decline(hopeless, ours)
    if not refused.replayable:
        return Refresh(resend=False, challenge=ours)
    if refused.current is not None and refused.current.value != refused.sent.value:
        return Replay()
    return Refresh(resend=True, challenge=ours)


def decide_on_challenge(
    challenge: Challenge | None, *, answered: int, replayable: bool
) -> Replay | Decline:
    """Decide what to do about a 401 to a request that the settings' Digest signs (RFC 7616).

    Args:
        challenge: The challenge that can be signed for; None if the answer has none.
        answered: How many challenges in a row were signed for already.
        replayable: Whether the body can be sent again.
    """
    if challenge is None:
        return Decline(Reason.OTHER_SCHEME)
    # A nonce that is stale says that name and password are right (section 3.3).
    is_stale = challenge.params.get("stale", "").lower() == "true"
    if answered >= (_MOST_CHALLENGES if is_stale else 1):
        return Decline(Reason.SIGNATURE_REFUSED, challenge)
    return Replay(Reason.CHALLENGED) if replayable else Decline(Reason.NOT_REPLAYABLE, challenge)


def has_replayed(replays: int, *, fetched: bool) -> bool:
    """Whether a call was replayed as often as it may be, so that its 401 is handed out.

    One replay with a token that was just fetched is enough. A token that another caller had renewed
    may be as old as the refused one, so one more replay follows it.
    """
    return replays > 1 or fetched


def lacks(challenges: Sequence[Challenge], scheme: str) -> Decline | None:
    """Decline a 403 whose challenge says what the token lacks; None if no challenge says so."""
    ours = challenge_for(challenges, scheme)
    reason = _HOPELESS.get(ours.error or "") if ours else None
    return None if reason is None else Decline(reason, ours)


def challenge_for(challenges: Sequence[Challenge], scheme: str) -> Challenge | None:
    """Return the challenge for our scheme, one with an error first; None if there is none."""
    ours = [challenge for challenge in challenges if challenge.is_for(scheme)]
    return next((challenge for challenge in ours if challenge.error), ours[0] if ours else None)
