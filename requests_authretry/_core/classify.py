"""What an answer means, where its status alone does not say it: `Answer` and `Verdict`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .bounds import POLICY_NAME
from .display import ShownByDifference
from .document import read_json
from .http import (
    ACCEPTED,
    BAD_REQUEST,
    OK,
    SERVICE_UNAVAILABLE,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
)
from .origin import redacted
from .validation import flag, instance, quoted, refuse, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MOST_BODY_BYTES: Final = 65_536
"""The bytes of a body that a classifier sees at most."""


class Meaning(enum.Enum):
    """What an answer means for the call, whatever its status is."""

    OK = "ok"
    """A success: the answer is handed out, and counts as a success everywhere."""

    FINAL = "final"
    """A failure that another attempt cannot cure."""

    TRANSIENT = "transient"
    """A failure that may pass; the request may have been processed."""

    THROTTLED = "throttled"
    """A refusal: requests come too fast, and this one was not processed."""

    TOKEN_EXPIRED = "token expired"  # noqa: S105 (a word)
    """The credential is refused, as by a 401; the request was not processed."""

    PENDING = "pending"
    """The result is not there yet: ask again, at the server's pace."""


_STATUSES: Final = {
    Meaning.OK: OK,
    Meaning.FINAL: BAD_REQUEST,
    Meaning.TRANSIENT: SERVICE_UNAVAILABLE,
    Meaning.THROTTLED: TOO_MANY_REQUESTS,
    Meaning.TOKEN_EXPIRED: UNAUTHORIZED,
    Meaning.PENDING: ACCEPTED,
}
"""The statuses whose place the meanings take."""


@dataclass(frozen=True, slots=True, repr=False)
class Verdict(ShownByDifference):
    """What an answer means. Made by its class methods; immutable and safe to share.

    A verdict takes the place of the status, also of 200. The rules on bodies, methods and deadlines
    hold as always.

    Attributes:
        meaning: What the answer means for the call.
        retry_after: Seconds to wait before the next request; None: what the headers of the answer
            say, else the backoff.
        scope: The name of the limit that refused the request, as a server names its policies. It
            covers the endpoints that were refused under it. None: the policy that the headers name,
            if they say that nothing of it is left, else the endpoint.
        not_processed: Whether the request was not processed, so that any method may be sent again.
        by: Who gave the verdict, for people; "" until the library has written it down.

    Raises:
        ConfigurationError: A value cannot work; all faults are named together.
    """

    meaning: Meaning
    retry_after: float | None = None
    scope: str | None = None
    not_processed: bool = False
    by: str = ""

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        refuse("Verdict", self._faults())

    def _faults(self) -> Iterator[str | None]:
        yield instance("meaning", self.meaning, Meaning, "write Verdict.throttled() or another")
        yield None if self.retry_after is None else seconds("retry_after", self.retry_after)
        scope: object = self.scope  # as yet whatever the caller wrote
        if scope is not None and not (isinstance(scope, str) and 0 < len(scope) <= POLICY_NAME):
            yield f"scope must be a name of 1 to {POLICY_NAME} characters, not {quoted(scope)}"
        yield flag("not_processed", self.not_processed)

    @classmethod
    def ok(cls) -> Verdict:
        """Return the verdict of a success."""
        return cls(Meaning.OK)

    @classmethod
    def final(cls) -> Verdict:
        """Return the verdict of a failure that no other attempt can cure."""
        return cls(Meaning.FINAL)

    @classmethod
    def transient(cls) -> Verdict:
        """Return the verdict of a failure that may pass, as a 503 is."""
        return cls(Meaning.TRANSIENT)

    @classmethod
    def throttled(cls, retry_after: float | None = None, scope: str | None = None) -> Verdict:
        """Return the verdict of a refusal, as a 429 is; it starts a cool-down of its scope."""
        return cls(Meaning.THROTTLED, retry_after, scope, not_processed=True)

    @classmethod
    def token_expired(cls) -> Verdict:
        """Return the verdict of a refused credential, as a 401 is."""
        return cls(Meaning.TOKEN_EXPIRED, not_processed=True)

    @classmethod
    def pending(cls, retry_after: float | None = None) -> Verdict:
        """Return the verdict of a result that is not there yet: GET and HEAD ask again."""
        return cls(Meaning.PENDING, retry_after)


def status_of(verdict: Verdict) -> int:
    """Return the status that says the same of an answer as a verdict does."""
    return _STATUSES[verdict.meaning]


def refuses_credential(verdict: Verdict | None, status: int) -> bool:
    """Whether an answer refuses the credential: a verdict says so, or without one its status."""
    return (status if verdict is None else status_of(verdict)) == UNAUTHORIZED


def detail_of(verdict: Verdict, reason: str) -> str:
    """Return who gave a verdict, for people, and its meaning unless the reason tells it."""
    told = verdict.meaning.value
    return verdict.by if reason.startswith(told) else f"{told}, {verdict.by}"


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What a classifier sees of an answer. Immutable.

    Attributes:
        method: The method of the request, in upper case.
        url: The URL of the request as the caller gave it, without a credential of the settings.
        status: The status code.
        headers: The header fields; names are looked up in any case.
        body: The first 64 KB of the body, decoded as its ``Content-Encoding`` says; None where the
            caller streams, or where the body cannot be read or decoded.
    """

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def text(self) -> str:
        """The body as UTF-8, with a mark for each byte that is none; "" without a body."""
        return "" if self.body is None else self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body as JSON; None if it is no JSON, or was longer than 64 KB."""
        return None if self.body is None else read_json(self.body)

    def __repr__(self) -> str:
        """Show no query, header or body: they may hold secrets."""
        return f"{type(self).__name__}({self.method} {redacted(self.url)} {self.status})"


if TYPE_CHECKING:
    Classifier = Callable[[Answer], Verdict | None]
    """A function that says what an answer means; None: what its status says."""
