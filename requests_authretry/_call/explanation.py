"""`attempts` and `explain`: what really happened to a call, for programs and for people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from math import fsum
from typing import TYPE_CHECKING, Any, TypeVar

from requests import RequestException, Response
from requests.exceptions import InvalidHeader, InvalidSchema, InvalidURL, MissingSchema

from .._core.origin import redacted
from .._core.records import CALL, STORY, Attempt, Reason, Wait, seconds_text
from .translate import said_by

if TYPE_CHECKING:
    from .attempt_log import AttemptLog, Story
    from .call import Call

_QUERY = re.compile(r"[?#]\S.*", re.DOTALL)
"""A query to the end of the text: every character that could end it may be a part of it."""

_USER = re.compile(r"//[^/\s]*@")

_QUOTING = (InvalidHeader, InvalidSchema, InvalidURL, MissingSchema)
"""The exceptions that quote what the caller gave, which is no header and no URL."""

Kind = TypeVar("Kind")

_LEAST_REST = 0.0005
"""Seconds; less than this is not worth a line."""


@dataclass(frozen=True, repr=False)
class Explanation:
    """What happened to a call, from `explain`.

    Its text is for people, and a notebook shows it as a table. It holds no header, no query and no
    body.

    Attributes:
        steps: Every attempt and every wait of the call, in order; also the waits after which
            nothing was sent.
        method: The method of the last request, "" if it is not known.
        url: Its URL without user, query and fragment, "" if it is not known.
        status: The status code of the answer; None if there is none.
        error: The name of the exception's class; None if there is none.
        message: What the exception says, without queries and users of URLs; "" if there is none.
        seconds: How long the call took.
        is_known: Whether the call went through this library, so that its steps are known.
    """

    steps: tuple[Attempt | Wait, ...] = ()
    method: str = ""
    url: str = ""
    status: int | None = None
    error: str | None = None
    message: str = ""
    seconds: float = 0.0
    is_known: bool = True

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts in order."""
        return tuple(step for step in self.steps if isinstance(step, Attempt))

    @property
    def waited(self) -> float:
        """Seconds that the call waited in all."""
        return fsum(step.seconds for step in self.steps if isinstance(step, Wait))

    @property
    def rest(self) -> float:
        """Seconds that were neither a wait nor an attempt: in this library, requests and hooks."""
        return self.seconds - self.waited - sum(attempt.elapsed for attempt in self.attempts)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as a dictionary that can be written as JSON."""
        return {
            "method": self.method,
            "url": self.url,
            "status": self.status,
            "error": self.error,
            "message": self.message,
            "seconds": self.seconds,
            "waited": self.waited,
            "steps": [_as_dict(step) for step in self.steps],
        }

    def __str__(self) -> str:
        """Return a line for the whole, and one for each attempt and wait."""
        numbered = any(isinstance(step, Attempt) for step in self.steps)
        indent = "     " if numbered else "  "
        lines = [self._headline]
        if self.message:
            lines.append(f"  {self.message}")
        for step in self.steps:
            is_attempt = isinstance(step, Attempt)
            start = f"  {step.number}. " if isinstance(step, Attempt) else indent
            what, why = self._told(step)
            lines.append(f"{start}{what}: {why}" if is_attempt else f"{start}waited {what}: {why}")
        lines += [f"  {line}" for line in self._end]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        rows = []
        for step in self.steps:
            what, why = self._told(step)
            number = f"{step.number}." if isinstance(step, Attempt) else ""
            cells = (number, what if number else f"waited {what}", why)
            rows.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
        rows += [f"<td></td><td colspan=2>{escape(line)}</td>" for line in self._end]
        head = escape(self._headline) + (f"<br>{escape(self.message)}" if self.message else "")
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><caption>{head}</caption>{body}</table>"

    @property
    def _headline(self) -> str:
        came = str(self.status or self.error or "no response and no exception")
        line = f"{self.method} {self.url}: {came}".lstrip() if self.url else came
        if not self.is_known:
            return line
        count = len(self.attempts)
        if not count:
            return line if self.message.startswith("not sent") else f"{line}, nothing was sent"
        made = "1 attempt" if count == 1 else f"{count} attempts"
        return f"{line} after {made} in {seconds_text(self.seconds)}"

    @property
    def _end(self) -> list[str]:
        """The lines after the steps."""
        if not self.is_known:
            return ["this call did not go through requests_authretry"]
        parts = []
        if self.waited:
            parts.append(f"waited {seconds_text(self.waited)} in all")
        if self.rest >= _LEAST_REST:
            parts.append(f"in this library, requests and hooks: {seconds_text(self.rest)}")
        return ["; ".join(parts)] if parts else []

    def _told(self, step: Attempt | Wait) -> tuple[str, str]:
        """Return what a step was, with its length, and why it was made or why it led on."""
        asked, why = step.retry_after, step.why
        if asked is not None and step.reason is not Reason.RETRY_AFTER:
            why += f" (the server asked for {seconds_text(asked)})"
        if isinstance(step, Wait):
            return seconds_text(step.seconds), why
        came = f"{step.status or step.error} in {seconds_text(step.elapsed)}"
        is_elsewhere = len({(attempt.method, attempt.url) for attempt in self.attempts}) > 1
        return (f"{step.method} {step.url} {came}" if is_elsewhere else came), why


def attempts(result: Response | BaseException | None) -> tuple[Attempt, ...]:
    """Return each attempt of the call that ended in this answer or exception.

    Args:
        result: What the call returned or raised.

    Returns:
        The attempts in order, redirects and replays included; each has the waits before it. An
        answer that did not come through this library was one attempt; of an exception nothing is
        known but its ``response``.
    """
    return explain(result).attempts


def explain(result: Response | BaseException | None) -> Explanation:
    """Tell what happened to a call: every attempt and every wait, with the reasons.

    Args:
        result: What the call returned or raised: any response or exception. None, as the
            ``response`` of many exceptions is, gives an empty explanation.
    """
    if isinstance(result, Response):
        steps, seconds = _story_of(result)
        return Explanation(
            steps=steps,
            is_known=_call_of(result) is not None,
            method=_names_of(result)[0],
            url=_url_of(result),
            status=_value(result, "status_code", int),
            seconds=seconds,
        )
    if result is None:
        return Explanation(is_known=False)
    story: Story | None = (_value(result, "__dict__", dict) or {}).get(STORY)
    response, is_known = _value(result, "response", Response), story is not None
    if story is None and response is not None:
        # Session.send and raise_for_status raise about an answer that came through us.
        story = _story_of(response)
        is_known = _call_of(response) is not None
    steps, seconds = story or ((), 0.0)
    made = [step for step in steps if isinstance(step, Attempt)]
    method, url = _names_of(result)
    if made and not url:
        method, url = made[-1].method, made[-1].url
    return Explanation(
        steps=steps,
        method=method,
        url=url,
        is_known=is_known,
        error=type(result).__name__,
        message=_message(result),
        seconds=seconds,
    )


def _story_of(response: Response) -> Story:
    call = _call_of(response)
    if call is not None:
        log: AttemptLog = call.log
        return log.story()
    elapsed = (_value(response, "elapsed", timedelta) or timedelta()).total_seconds()
    attempt = Attempt(
        number=1,
        url=_url_of(response),
        status=_value(response, "status_code", int),
        error=None,
        started=0.0,
        elapsed=elapsed,
        delay=0.0,
        reason=Reason.FINAL,
        method=_names_of(response)[0],
    )
    return (attempt,), elapsed


def _call_of(response: Response) -> Call | None:
    """Return the call that ended in an answer; None if it did not go through this library."""
    return response.__dict__.get(CALL) or None


def _names_of(result: object) -> tuple[str, str]:
    """Return the method and the redacted URL of the request that a result is about."""
    request = _value(result, "request", object)
    return _value(request, "method", str) or "", _url_of(request)


def _url_of(thing: object) -> str:
    url = _value(thing, "url", str)
    return "" if url is None else redacted(url)


def _value(thing: object, name: str, kind: type[Kind]) -> Kind | None:
    """Return an attribute of any object; None if there is none, or one of another type."""
    try:
        value = getattr(thing, name)
    except Exception:  # noqa: BLE001 (a property of others)
        return None
    return value if isinstance(value, kind) else None


def _message(error: object) -> str:
    """Return what an exception of requests, or the one at its bottom, says about the network.

    The text of other exceptions, and of those that quote what the caller gave, may hold secrets.
    """
    if not isinstance(error, RequestException) or isinstance(error, _QUOTING):
        return ""
    return _USER.sub("//", _QUERY.sub("", said_by(error)))


def _as_dict(step: Attempt | Wait) -> dict[str, Any]:
    is_wait = isinstance(step, Wait)
    names = "started seconds" if is_wait else "number method url status error started elapsed delay"
    return {
        "kind": "wait" if is_wait else "attempt",
        **{name: getattr(step, name) for name in names.split()},
        "reason": step.reason.name,
        "why": step.why,
        "retry_after": step.retry_after,
    }
