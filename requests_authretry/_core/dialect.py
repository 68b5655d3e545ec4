"""The rules of a dialect: which answers of an API mean something else than their status says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from .bounds import DIGITS, FIELD, POLICY_NAME
from .classify import Meaning, Verdict
from .document import read_json
from .headers.time_formats import LONGEST, read_time
from .json_path import values_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .classify import Answer
    from .json_path import Path

Scalar = str | int | float | bool

NOT_PROCESSED: Final = frozenset({Meaning.THROTTLED, Meaning.TOKEN_EXPIRED})
"""What an answer means that was refused before the request was processed."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a value must be: one of some values, a text that contains some, or there at all.

    Attributes:
        values: One of them must be equal, in value and in type.
        contains: The value must be a text that contains one of them, in upper or lower case.
        exists: Whether a value must be there, or must not; None: one of the above says it.
    """

    values: tuple[Scalar, ...] = ()
    contains: tuple[str, ...] = ()
    exists: bool | None = None

    def holds(self, found: Iterable[Any]) -> bool:
        """Whether one of the values found is as it must be."""
        if self.exists is not None:
            return any(True for _ in found) is self.exists
        return any(self._fits(value) for value in found)

    def _fits(self, value: Any) -> bool:
        if any(type(value) is type(each) and value == each for each in self.values):
            return True
        return isinstance(value, str) and is_in_text(self.contains, value)


@dataclass(frozen=True, slots=True)
class When:
    """What an answer must be for a rule to say what it means; all of it must hold.

    Attributes:
        status: Status codes; one of them.
        method: Methods of the request; one of them. Empty: any.
        path: Patterns of the path of the URL, see `fits_pattern`; one of them. Empty: any.
        header: Header fields by name in lower case, each with its condition.
        body: Paths into the JSON of the body, each with its condition.
        text: Texts that the body contains, in upper or lower case; one of them. Empty: any body.
    """

    status: frozenset[int]
    method: frozenset[str] = frozenset()
    path: tuple[str, ...] = ()
    header: tuple[tuple[str, Condition], ...] = ()
    body: tuple[tuple[Path, Condition], ...] = ()
    text: tuple[str, ...] = ()

    def fits_path(self, path: str) -> bool:
        """Whether a path fits one of the patterns, if there are any."""
        return not self.path or any(fits_pattern(path, each) for each in self.path)

    def holds(self, seen: Seen) -> bool:
        """Whether an answer is like this. What costs least is asked first."""
        answer = seen.answer
        if answer.status not in self.status or (self.method and answer.method not in self.method):
            return False
        if not self.fits_path(seen.path):
            return False
        if not all(condition.holds(seen.header(name)) for name, condition in self.header):
            return False
        if self.text and not is_in_text(self.text, seen.text):
            return False
        return not self.body or (
            seen.document is not None
            and all(condition.holds(values_at(seen.document, to)) for to, condition in self.body)
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A place in an answer where a time, or the name of a limit, may stand.

    Attributes:
        header: The name of a header field, in lower case.
        body: A path into the JSON of the body.
        seconds: A time that holds always.
        points: Paths to three numbers: what a request costs, what is left, and what comes back each
            second.
        unit: The unit of the time, see `read_time`.
    """

    header: str = ""
    body: Path = ()
    seconds: float | None = None
    points: tuple[Path, Path, Path] | None = None
    unit: str | None = None

    def time(self, seen: Seen, now: float) -> float | None:
        """Return the longest time that stands here, in seconds from now; None without one."""
        if self.seconds is not None:
            return self.seconds
        if self.points is not None:
            return _until_enough(*(seen.number(path) for path in self.points))
        read = (read_time(value, self.unit, seen.date, now) for value in self.values(seen))
        return max((time for time in read if time is not None), default=None)

    def name(self, seen: Seen) -> str | None:
        """Return the name that stands here; None without one."""
        names = (str(value)[:POLICY_NAME] for value in self.values(seen) if _is_name(value))
        return next(filter(None, names), None)

    def values(self, seen: Seen) -> Iterator[Any]:
        """Give the values that stand here."""
        return values_at(seen.document, self.body) if self.body else iter(seen.header(self.header))


@dataclass(frozen=True, slots=True)
class Rule:
    """What some answers of an API mean.

    Attributes:
        when: Which answers.
        meaning: What they mean; None: what they mean as usual.
        retry_after: Where they say how long to wait; the first place with a time counts. Empty, or
            without a time in any of them: what the headers say, as usual.
        scope: The name of the limit that refused the request, or where it stands; None: what the
            headers say, as usual.
        not_processed: Whether the request was not processed, so that any method may be sent again.
        what: What they mean, in words.
    """

    when: When
    meaning: Meaning | None
    retry_after: tuple[Place, ...] = ()
    scope: str | Place | None = None
    not_processed: bool = False
    what: str = ""

    def verdict(self, seen: Seen, now: float) -> Verdict | None:
        """Return the verdict on an answer for which this rule holds."""
        if self.meaning is None:
            return None
        times = (place.time(seen, now) for place in self.retry_after)
        retry_after = next((time for time in times if time is not None), None)
        scope = self.scope.name(seen) if isinstance(self.scope, Place) else self.scope
        not_processed = self.not_processed or self.meaning in NOT_PROCESSED
        return Verdict(self.meaning, retry_after, scope, not_processed)


class Seen:
    """An answer, and what the rules of a dialect look at in it, each read once.

    Args:
        answer: The answer.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    @cached_property
    def path(self) -> str:
        """The path of the request's URL; "" if the URL cannot be read."""
        return path_of(self.answer.url)

    @cached_property
    def document(self) -> Any:
        """The JSON of the body; None without one."""
        return read_json(self.answer.body or b"", _whole_or_infinite)

    @cached_property
    def text(self) -> str:
        """The body as text; "" without one."""
        return self.answer.text

    @property
    def date(self) -> str:
        """The `Date` of the answer; "" without one."""
        return "".join(self.header("date"))

    def header(self, name: str) -> list[str]:
        """Return the value of a header field in a list, an empty one if it is absent or long."""
        value: object = self.answer.headers.get(name)  # an inner adapter may give anything
        return [value] if isinstance(value, str) and len(value) <= FIELD else []

    def number(self, path: Path) -> float | None:
        """Return the first number that a path leads to; None without one."""
        read = (read_time(value, "s", "", 0.0) for value in values_at(self.document, path))
        return next((number for number in read if number is not None), None)


def judge(rules: Iterable[Rule], answer: Answer, now: float) -> Verdict | None:
    """Return the verdict of the first rule that holds for an answer; None without one.

    Never raises on any answer, and takes no more than linear time for each rule.

    Args:
        rules: The rules, in order.
        answer: The answer.
        now: The client's time, in POSIX seconds.
    """
    rule, seen = matching(rules, answer)
    return None if rule is None else rule.verdict(seen, now)


def matching(rules: Iterable[Rule], answer: Answer) -> tuple[Rule | None, Seen]:
    """Return the first rule that holds for an answer, None without one; and what it saw."""
    seen = Seen(answer)
    return next((rule for rule in rules if rule.when.holds(seen)), None), seen


def path_of(url: str) -> str:
    """Return the path of a URL; "" if it cannot be read."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def fits_pattern(text: str, pattern: str) -> bool:
    """Whether a text fits a pattern, in which "*" stands for any characters, slashes included.

    Takes linear time, unlike a regular expression with several stars.
    """
    first, *parts = pattern.split("*")
    if not parts:
        return text == pattern
    *middle, last = parts
    if not text.startswith(first) or len(text) < len(first) + len(last):
        return False
    end = len(text) - len(last)
    at = len(first)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return text.endswith(last)


def is_in_text(parts: Iterable[str], text: str) -> bool:
    """Whether a text contains one of the parts, in upper or lower case."""
    lower = text.lower()
    return any(part.lower() in lower for part in parts)


def _whole_or_infinite(digits: str) -> float:
    """Convert the digits of a whole number; one that is absurd is not taken for a small one."""
    return int(digits) if len(digits) <= DIGITS else float(digits)


def _is_name(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _until_enough(
    needed: float | None, left: float | None, per_second: float | None
) -> float | None:
    """Return the seconds until enough of a limit has come back; None if a number is missing."""
    if needed is None or left is None or not per_second:
        return None
    return min(max(needed - left, 0.0) / per_second, LONGEST)
