"""Asks what an answer means: the classifier of the user, then what is known of an API."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ._core.classify import Verdict
from ._core.validation import ConfigurationError
from ._warnings import name_of, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._core.classify import Answer, Classifier

    Choose = Callable[[str, int], "Asked | None"]
    """Says who else is to be asked, given the URL of a request and the status of its answer; None:
    nobody, so that no body has to be read. It is called for each answer, and has to be cheap."""

YOURS = "your classifier"


class Asked(NamedTuple):
    """One that is asked what an answer means.

    Attributes:
        by: Its name for people, as "your classifier" or "dialect github".
        classify: The function to ask; it may fail.
    """

    by: str
    classify: Classifier

    def verdict(self, answer: Answer) -> Verdict | None:
        """Return the verdict with the name of its giver; None for none, or a failed function."""
        try:
            given: object = self.classify(answer)
        except Exception as error:  # noqa: BLE001 (a function of the user's)
            self._warn("raises", f"raised {_said_by(error)}")
            return None
        if given is None:
            return None
        if not isinstance(given, Verdict):
            self._warn("returns", f"returned {type(given).__name__}, which is no Verdict")
            return None
        return replace(given, by=self.by)

    def _warn(self, topic: str, what: str) -> None:
        """Warn once of a function that gives no verdict, so that its answer counts as usual."""
        warn_once(
            self.classify,
            topic,
            f"the classifier {name_of(self.classify)} {what}: the answer counts as without it. "
            "Return None, or a verdict such as Verdict.throttled(retry_after=30)",
        )


def _said_by(error: Exception) -> str:
    """Return the name of an exception, and the text if it is that of a verdict.

    The text of other exceptions may be anything, and may hold secrets.
    """
    is_of_verdict = isinstance(error, ConfigurationError) and error.where == Verdict.__name__
    return f"{type(error).__name__}: {error}" if is_of_verdict else type(error).__name__


class Judge:
    """All that are asked what an answer means, in order. Safe to use from many threads.

    Args:
        classify: The classifier of the user, None without one.
        choose: Says who else is to be asked; None: nobody ever.
    """

    def __init__(self, classify: Classifier | None, choose: Choose | None = None) -> None:
        self._yours = () if classify is None else (Asked(YOURS, classify),)
        self._choose = choose

    @classmethod
    def of(cls, classify: Classifier | None, choose: Choose | None = None) -> Judge | None:
        """Return the judge; None where there is nobody to ask."""
        return None if classify is None and choose is None else cls(classify, choose)

    def asked(self, url: str, status: int) -> tuple[Asked, ...]:
        """Return who is to be asked about an answer, before anything of its body is read.

        Args:
            url: The URL of the request.
            status: The status of the answer.
        """
        chosen = None if self._choose is None else self._choose(url, status)
        return self._yours if chosen is None else (*self._yours, chosen)


def verdict_of(asked: tuple[Asked, ...], answer: Answer) -> Verdict | None:
    """Return the first verdict that is given; None: the answer means what its status says."""
    return next(filter(None, (each.verdict(answer) for each in asked)), None)
