"""What really happened to a call: `attempts` and `explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from requests import Response

from .._core.origin import redacted
from .._core.records import Attempt, Reason, Stop

if TYPE_CHECKING:
    from requests import RequestException

    from .call import Call

_CALL = "_authretry_call"
_ATTEMPTS = "_authretry_attempts"


def leave_on(result: Response | RequestException, call: Call) -> None:
    """Let `attempts` find what happened. An exception may be pickled, so it gets plain records."""
    if isinstance(result, Response):
        result.__dict__[_CALL] = call
    else:
        result.__dict__[_ATTEMPTS] = call.record


def call_of(response: Response) -> Call | None:
    """The call of an answer, None when it did not come through our adapter."""
    return response.__dict__.get(_CALL)


def attempts(result: Response | RequestException) -> tuple[Attempt, ...]:
    """Each attempt of the call that ended in this answer or exception.

    Args:
        result: What the call returned or raised.

    Returns:
        The attempts in order, redirects and replays included. An answer that did not come through
        this library was one attempt; of an exception nothing is known but its ``response``.
    """
    if not isinstance(result, Response):
        made: tuple[Attempt, ...] = result.__dict__.get(_ATTEMPTS, ())
        # Session.send and raise_for_status raise about an answer that came through us.
        return made or (() if result.response is None else attempts(result.response))
    call = call_of(result)
    if call is not None:
        if call.is_open:
            call.write_down(Stop(Reason.FINAL))
        return call.record
    elapsed = result.elapsed.total_seconds()
    url = redacted(result.url)
    return (Attempt(1, url, result.status_code, None, 0.0, elapsed, 0.0, Reason.FINAL),)


def explain(result: Response | RequestException) -> str:
    """What happened to a call, for people: one line for the whole, one for each attempt.

    Args:
        result: What the call returned or raised.
    """
    made = attempts(result)
    if not made:
        return f"{type(result).__name__}: no attempt was made"
    last = made[-1]
    count = "1 attempt" if len(made) == 1 else f"{len(made)} attempts"
    total = last.started + last.elapsed
    lines = [f"{last.url}: {_came(last)} after {count} in {total:.2f} s"]
    lines += [f"  {attempt.number}. {_came(attempt)}: {_why(attempt)}" for attempt in made]
    return "\n".join(lines)


def _came(attempt: Attempt) -> str:
    return str(attempt.status or attempt.error)


def _why(attempt: Attempt) -> str:
    asked = (
        "" if attempt.retry_after is None else f" (the server asked for {attempt.retry_after:g} s)"
    )
    waited = f", waited {attempt.delay:.3g} s" if attempt.reason in _RETRIES else ""
    return f"{attempt.reason.value}{waited}{asked}"


_RETRIES = {
    Reason.THROTTLED,
    Reason.SERVER_ERROR,
    Reason.UNREACHABLE,
    Reason.LOST,
    Reason.STILL_RUNNING,
}
