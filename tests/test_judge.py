"""Who is asked what an answer means, and what a classifier that fails costs."""

from __future__ import annotations

import warnings
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from requests_authretry import Answer, AuthRetryWarning, ConfigurationError, Verdict
from requests_authretry._core.classify import Meaning
from requests_authretry._judge import YOURS, Asked, Judge, verdict_of
from tests.support.sessions import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER = Answer("GET", "https://h/a", 200, MappingProxyType({}), b"")


def final(_: Answer) -> Verdict:
    """Say that every answer is final."""
    return Verdict.final()


def test_there_is_no_judge_where_nobody_is_asked() -> None:
    """The healthy path asks for nothing but this None."""
    assert Judge.of(None) is None
    assert Judge.of(final) is not None
    assert Judge.of(None, lambda _url, _status: ()) is not None


def test_your_classifier_is_asked_first() -> None:
    """What is chosen by URL and status is asked where yours gives None."""
    asked_about: list[tuple[str, int]] = []

    def choose(url: str, status: int) -> tuple[Asked, ...]:
        asked_about.append((url, status))
        return (Asked("dialect demo", final),) if status == 200 else ()

    judge = Judge(lambda answer: Verdict.ok() if "ok" in answer.url else None, choose)
    asked = judge.asked("https://h/a", 200)
    assert [each.by for each in asked] == [YOURS, "dialect demo"]
    assert verdict_of(asked, ANSWER) == Verdict(Meaning.FINAL, by="dialect demo")
    fine = Answer("GET", "https://h/ok", 200, {}, b"")
    assert verdict_of(asked, fine) == Verdict(Meaning.OK, by="your classifier")
    assert [each.by for each in judge.asked("https://h/a", 404)] == [YOURS]
    assert asked_about == [("https://h/a", 200), ("https://h/a", 404)]


def test_nobody_is_asked_for_whom_nothing_has_to_be_read() -> None:
    """A judge without a classifier asks nobody about an answer that no one is chosen for."""
    judge = Judge(None, lambda _url, _status: ())
    assert not judge.asked("https://h/a", 200)
    assert verdict_of((), ANSWER) is None


def raising(error: BaseException) -> Callable[[Answer], Verdict | None]:
    """Return a classifier that raises."""

    def classify(_: Answer) -> Verdict | None:
        raise error

    return classify


def giving(*, value: object) -> Callable[[Answer], Any]:
    """Return a classifier that gives the same to every answer."""
    return lambda _: value


FAILING = {
    "raises": (raising(ValueError(SECRET)), "raised ValueError: the answer"),
    "raises what is like a fault": (
        raising(ConfigurationError("Elsewhere", [SECRET])),
        "raised ConfigurationError: the answer",
    ),
    "a wrong verdict": (lambda _: Verdict.throttled(-1), "retry_after must be zero or more"),
    "a bool": (giving(value=True), "returned bool, which is no Verdict"),
    "a meaning": (giving(value=Meaning.OK), "returned Meaning, which is no Verdict"),
    "the class": (giving(value=Verdict), "returned type, which is no Verdict"),
    "too deep": (raising(RecursionError()), "raised RecursionError"),
    "a double": (giving(value=Mock(spec=Verdict)), "raised TypeError"),
}


@pytest.mark.parametrize(("classify", "said"), FAILING.values(), ids=FAILING)
def test_a_classifier_that_fails_is_warned_of_once(
    classify: Callable[[Answer], Any], said: str
) -> None:
    """It counts as None. The warning names the function, and quotes no text of an exception."""
    asked = Asked(YOURS, classify)
    with pytest.warns(AuthRetryWarning, match=said) as warned:
        assert asked.verdict(ANSWER) is None
    assert len(warned) == 1
    assert SECRET not in str(warned[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asked.verdict(ANSWER) is None


def test_what_is_no_exception_passes() -> None:
    """Ctrl-C in a classifier ends the call."""
    with pytest.raises(KeyboardInterrupt):
        Asked(YOURS, raising(KeyboardInterrupt())).verdict(ANSWER)
