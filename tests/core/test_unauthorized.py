"""`answer`: the decision about a 401, a row for each guard, and the order of the guards."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import Challenge, Reason, Token
from requests_authretry._core.challenge import parse_challenges
from requests_authretry._core.unauthorized import (
    Decline,
    Refresh,
    Refused,
    Replay,
    challenge_for,
    decide_on_401,
    decide_on_challenge,
)

OURS = Token("one")
RENEWED = Token("two")
FOREIGN = 'Digest realm="x", qop="auth"'
EXPIRED = 'Bearer realm="x", error="invalid_token"'
NARROW = 'Bearer error="insufficient_scope", scope="admin"'
INVALID = 'Bearer error="invalid_request"'
PROOF = 'DPoP error="invalid_token"'
STEP_UP = 'Bearer error="insufficient_user_authentication", max_age="5"'

NONCE = 'DPoP error="use_dpop_nonce"'
BAD_PROOF = 'DPoP error="invalid_dpop_proof"'
BOUND = Token("one", scheme="DPoP")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A first 401 to our current token, with a body that can be sent again; change any field."""

    challenge: str = EXPIRED
    sent: Token | None = OURS
    current: Token | None = OURS
    replays: int = 0
    fetched: bool = False
    replayable: bool = True
    has_nonce: bool = False
    any_challenge: bool = False
    has_clock: bool = False
    is_told: bool = False

    def verdict(self) -> Refresh | Replay | Decline:
        """Return the decision of `answer`."""
        challenges = parse_challenges([self.challenge])
        return decide_on_401(
            Refused(
                challenges,
                self.sent,
                self.current,
                self.replays,
                self.fetched,
                self.replayable,
                self.has_nonce,
                self.any_challenge,
                self.has_clock,
                self.is_told,
            )
        )


def told(challenge: str) -> Challenge | None:
    """Return the first challenge of a header, or None."""
    return next(iter(parse_challenges([challenge])), None)


VERDICTS: dict[str, tuple[Case, Refresh | Replay | Decline]] = {
    # request carried no token of ours
    "no token of ours": (Case(sent=None), Decline(Reason.NO_TOKEN)),
    "no token of ours, though there is one": (
        Case(sent=None, current=RENEWED),
        Decline(Reason.NO_TOKEN),
    ),
    # this call's 401 was answered once already
    "answered already": (Case(fetched=True), Decline(Reason.ANSWERED)),
    "answered twice with what others had": (Case(replays=2), Decline(Reason.ANSWERED)),
    "answered once with what another had": (
        Case(replays=1),
        Refresh(resend=True, challenge=told(EXPIRED)),
    ),
    # the server asks for a nonce in the proof: no word on the token
    "nonce": (Case(challenge=NONCE, sent=BOUND, has_nonce=True), Replay(Reason.NONCE)),
    "nonce after an answered 401": (
        Case(challenge=NONCE, sent=BOUND, has_nonce=True, fetched=True, replays=2),
        Replay(Reason.NONCE),
    ),
    "nonce that does not come": (
        Case(challenge=NONCE, sent=BOUND),
        Decline(Reason.PROOF_REFUSED, told(NONCE)),
    ),
    "nonce, and a body that is gone": (
        Case(challenge=NONCE, sent=BOUND, has_nonce=True, replayable=False),
        Decline(Reason.NOT_REPLAYABLE, told(NONCE)),
    ),
    "nonce for a token that is not bound": (
        Case(challenge=NONCE, has_nonce=True),
        Decline(Reason.OTHER_SCHEME, told(NONCE)),
    ),
    "proof": (
        Case(challenge='DPoP error="invalid_dpop_proof"', sent=BOUND),
        Decline(Reason.PROOF_REFUSED, told('DPoP error="invalid_dpop_proof"')),
    ),
    # the time of the proof was wrong
    "clock": (Case(challenge=BAD_PROOF, sent=BOUND, has_clock=True), Replay(Reason.CLOCK)),
    "clock, and no error": (
        Case(challenge="DPoP", sent=BOUND, has_clock=True),
        Replay(Reason.CLOCK),
    ),
    "clock, and a token that was renewed meanwhile": (
        Case(challenge=PROOF, sent=BOUND, current=RENEWED, has_clock=True),
        Replay(Reason.CLOCK),
    ),
    "clock, in an answered call": (
        Case(challenge=BAD_PROOF, sent=BOUND, has_clock=True, fetched=True),
        Decline(Reason.ANSWERED),
    ),
    "clock, and another scheme": (
        Case(challenge=FOREIGN, sent=BOUND, has_clock=True),
        Decline(Reason.OTHER_SCHEME, told(FOREIGN)),
    ),
    "clock, and a scope": (
        Case(challenge='DPoP error="insufficient_scope"', sent=BOUND, has_clock=True),
        Decline(Reason.INSUFFICIENT_SCOPE, told('DPoP error="insufficient_scope"')),
    ),
    "clock, and a body that is gone": (
        Case(challenge=BAD_PROOF, sent=BOUND, has_clock=True, replayable=False),
        Decline(Reason.PROOF_REFUSED, told(BAD_PROOF)),
    ),
    # challenge names only other schemes
    "other scheme": (Case(challenge=FOREIGN), Decline(Reason.OTHER_SCHEME, told(FOREIGN))),
    "other schemes": (
        Case(challenge=f"Basic, {FOREIGN}"),
        Decline(Reason.OTHER_SCHEME, told("Basic")),
    ),
    "an error of another scheme is not ours": (
        Case(challenge=PROOF),
        Decline(Reason.OTHER_SCHEME, told(PROOF)),
    ),
    "other schemes do not count": (
        Case(challenge=f"Basic, {FOREIGN}", any_challenge=True),
        Refresh(resend=True),
    ),
    "other schemes do not count, but an error for ours does": (
        Case(challenge=f"Basic, {NARROW}", any_challenge=True),
        Decline(Reason.INSUFFICIENT_SCOPE, told(NARROW)),
    ),
    "other schemes do not count, and once is enough": (
        Case(challenge=FOREIGN, fetched=True, any_challenge=True),
        Decline(Reason.ANSWERED),
    ),
    # a verdict says that the token is refused
    "a verdict needs no challenge for us": (
        Case(challenge=FOREIGN, is_told=True),
        Refresh(resend=True),
    ),
    "a verdict counts more than the error of a challenge": (
        Case(challenge=NARROW, is_told=True),
        Refresh(resend=True, challenge=told(NARROW)),
    ),
    "a verdict, and once is enough": (
        Case(fetched=True, is_told=True),
        Decline(Reason.ANSWERED),
    ),
    "a verdict, and the server wants a nonce": (
        Case(challenge=NONCE, sent=BOUND, has_nonce=True, is_told=True),
        Replay(Reason.NONCE),
    ),
    # insufficient_scope, invalid_request, step-up
    "scope": (Case(challenge=NARROW), Decline(Reason.INSUFFICIENT_SCOPE, told(NARROW))),
    "invalid request": (Case(challenge=INVALID), Decline(Reason.INVALID_REQUEST, told(INVALID))),
    "step-up": (Case(challenge=STEP_UP), Decline(Reason.STEP_UP, told(STEP_UP))),
    "the error speaks louder than a bare challenge": (
        Case(challenge=f"Bearer, {NARROW}"),
        Decline(Reason.INSUFFICIENT_SCOPE, told(NARROW)),
    ),
    "an error among other schemes": (
        Case(challenge=f"{FOREIGN}, {NARROW}"),
        Decline(Reason.INSUFFICIENT_SCOPE, told(NARROW)),
    ),
    # body cannot be sent again
    "one-shot body": (Case(replayable=False), Refresh(resend=False, challenge=told(EXPIRED))),
    # the store holds another token than the one sent
    "renewed meanwhile": (Case(current=RENEWED), Replay()),
    "renewed meanwhile, and no challenge": (Case(challenge="", current=RENEWED), Replay()),
    # otherwise
    "expired": (Case(), Refresh(resend=True, challenge=told(EXPIRED))),
    "no challenge": (Case(challenge=""), Refresh(resend=True)),
    "bare challenge": (Case(challenge="Bearer"), Refresh(resend=True, challenge=told("Bearer"))),
    "scheme in another case": (
        Case(challenge="bEARER realm=x"),
        Refresh(resend=True, challenge=told("bEARER realm=x")),
    ),
    "unknown error": (
        Case(challenge='Bearer error="odd"'),
        Refresh(resend=True, challenge=told('Bearer error="odd"')),
    ),
    "an error of another scheme beside a bare one": (
        Case(challenge='DPoP error="insufficient_scope", Bearer'),
        Refresh(resend=True, challenge=told("Bearer")),
    ),
    "the first of our errors counts": (
        Case(challenge=f"{EXPIRED}, {NARROW}"),
        Refresh(resend=True, challenge=told(EXPIRED)),
    ),
    "no token now": (Case(current=None), Refresh(resend=True, challenge=told(EXPIRED))),
    "the same token with another expiry": (
        Case(current=Token("one", expires_at=9.0)),
        Refresh(resend=True, challenge=told(EXPIRED)),
    ),
    "a token of another scheme": (
        Case(challenge=PROOF, sent=Token("one", scheme="DPoP")),
        Refresh(resend=True, challenge=told(PROOF)),
    ),
}

ORDER: dict[str, tuple[Case, Refresh | Replay | Decline]] = {
    "no token before answered": (Case(sent=None, fetched=True), Decline(Reason.NO_TOKEN)),
    "answered before the scheme": (
        Case(fetched=True, challenge=FOREIGN),
        Decline(Reason.ANSWERED),
    ),
    "answered before the error": (Case(fetched=True, challenge=NARROW), Decline(Reason.ANSWERED)),
    "the scheme before the body": (
        Case(challenge=FOREIGN, replayable=False),
        Decline(Reason.OTHER_SCHEME, told(FOREIGN)),
    ),
    "the error before the body": (
        Case(challenge=NARROW, replayable=False),
        Decline(Reason.INSUFFICIENT_SCOPE, told(NARROW)),
    ),
    "the error before the renewed token": (
        Case(challenge=NARROW, current=RENEWED),
        Decline(Reason.INSUFFICIENT_SCOPE, told(NARROW)),
    ),
    "the body before the renewed token": (
        Case(replayable=False, current=RENEWED),
        Refresh(resend=False, challenge=told(EXPIRED)),
    ),
    "the renewed token before renewing": (Case(current=RENEWED), Replay()),
}


@pytest.mark.parametrize(("case", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_verdicts(case: Case, verdict: Refresh | Replay | Decline) -> None:
    """A 401 that a new token cannot cure is handed out; any other counts as an expired token."""
    assert case.verdict() == verdict


@pytest.mark.parametrize(("case", "verdict"), ORDER.values(), ids=ORDER)
def test_the_first_guard_wins(case: Case, verdict: Refresh | Replay | Decline) -> None:
    """The upper one of two neighbouring guards decides."""
    assert case.verdict() == verdict


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        ([], None),
        ([FOREIGN], None),
        (["Bearer realm=a", "Bearer realm=b"], "Bearer realm=a"),
        (["Bearer realm=a", EXPIRED, NARROW], EXPIRED),
        (['DPoP error="invalid_token"', "Bearer"], "Bearer"),
    ],
)
def test_challenge_for(lines: list[str], chosen: str | None) -> None:
    """The first challenge with an error for our scheme counts, or without an error the first."""
    assert challenge_for(parse_challenges(lines), "bearer") == told(chosen or "")


challenges = st.builds(
    Challenge,
    st.sampled_from(["Bearer", "bearer", "DPoP", "Basic"]),
    st.dictionaries(
        st.sampled_from(["error", "realm"]),
        st.sampled_from(["", "invalid_token", "insufficient_scope", "use_dpop_nonce", "odd"]),
    ),
)
tokens = st.none() | st.builds(
    Token, st.sampled_from(["one", "two"]), scheme=st.sampled_from(["Bearer", "DPoP"])
)


@given(
    refused=st.builds(
        Refused,
        st.lists(challenges, max_size=4),
        tokens,
        tokens,
        st.integers(0, 3),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )
)
def test_a_request_goes_again_at_most_once_and_only_whole(refused: Refused) -> None:
    """No foreign request, answered call or lost body is sent again, except for a new nonce."""
    verdict = decide_on_401(refused)
    resends = isinstance(verdict, Replay) or (isinstance(verdict, Refresh) and verdict.resend)
    if resends:
        assert refused.sent is not None
        assert refused.replayable
        for_the_nonce = isinstance(verdict, Replay) and verdict.reason is Reason.NONCE
        assert refused.has_nonce if for_the_nonce else not refused.fetched
    if isinstance(verdict, Replay) and verdict.reason is Reason.REPLAYED:
        assert refused.current is not None
        assert refused.sent is not None
        assert refused.current.value != refused.sent.value


DIGEST = 'Digest realm="r", nonce="n"'
STALE = f"{DIGEST}, stale=TRUE"
CHALLENGES: dict[str, tuple[str, int, bool, Replay | Decline]] = {
    # the challenge that can be signed for, how many were, whether the body can be sent again
    "first": (DIGEST, 0, True, Replay(Reason.CHALLENGED)),
    "none": ("", 0, True, Decline(Reason.OTHER_SCHEME)),
    "signed for one": (DIGEST, 1, True, Decline(Reason.SIGNATURE_REFUSED, told(DIGEST))),
    "stale": (STALE, 1, True, Replay(Reason.CHALLENGED)),
    "stale again": (STALE, 2, True, Replay(Reason.CHALLENGED)),
    "stale for ever": (STALE, 3, True, Decline(Reason.SIGNATURE_REFUSED, told(STALE))),
    "not stale": (
        f"{DIGEST}, stale=false",
        1,
        True,
        Decline(Reason.SIGNATURE_REFUSED, told(f"{DIGEST}, stale=false")),
    ),
    "a body that is gone": (DIGEST, 0, False, Decline(Reason.NOT_REPLAYABLE, told(DIGEST))),
}


@pytest.mark.parametrize(
    ("challenge", "answered", "replayable", "verdict"), CHALLENGES.values(), ids=CHALLENGES
)
def test_what_a_401_to_digest_means(
    challenge: str, answered: int, *, replayable: bool, verdict: Replay | Decline
) -> None:
    """One challenge is signed for, and three in a row where the server calls its nonces stale."""
    found = decide_on_challenge(told(challenge), answered=answered, replayable=replayable)
    assert found == verdict
