"""Asks what an answer means: the classifier of the user, what is known of an API, the statuses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ._core.classify import Verdict
from ._core.http import ACCEPTED, POLLING_METHODS
from ._core.validation import ConfigurationError
from ._warnings import name_of, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ._core.classify import Answer, Classifier

    Choose = Callable[[str, int], "tuple[Asked, ...]"]
    """Says who else is to be asked, given the URL of a request and the status of its answer; empty:
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
            if isinstance(given, Verdict):
                return replace(given, by=self.by)  # raises for a Mock(spec=Verdict)
        except Exception as error:  # noqa: BLE001 (a function of the user's)
            self._warn("raises", f"raised {_said_by(error)}")
            return None
        if given is not None:
            self._warn("returns", f"returned {type(given).__name__}, which is no Verdict")
        return None

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


def _pending(answer: Answer) -> Verdict | None:
    """Return the verdict on an answer whose status the settings name to be asked for again."""
    return Verdict.pending() if answer.method in POLLING_METHODS else None


_BY_STATUS = (Asked("your statuses", _pending),)


class Judge:
    """All that are asked what an answer means, in order. Safe to use from many threads.

    Args:
        classify: The classifier of the user, None without one.
        choose: Says who else is to be asked; None: nobody ever.
        statuses: The statuses of the policy. A 202 among them says that a result is not there yet.

    Attributes:
        asked: Says who is to be asked about an answer, before anything of its body is read; given
            the URL of the request, and the status of the answer.
    """

    def __init__(
        self,
        classify: Classifier | None,
        choose: Choose | None = None,
        statuses: Collection[int] = (),
    ) -> None:
        self.asked: Choose = _asking(classify, choose, polls=ACCEPTED in statuses)

    @classmethod
    def of(
        cls,
        classify: Classifier | None,
        choose: Choose | None = None,
        statuses: Collection[int] = (),
    ) -> Judge | None:
        """Return the judge; None where there is nobody to ask."""
        is_asked = classify is not None or choose is not None or ACCEPTED in statuses
        return cls(classify, choose, statuses) if is_asked else None


def _asking(classify: Classifier | None, choose: Choose | None, *, polls: bool) -> Choose:
    """Return the function that says who is asked: the user's classifier first, statuses last."""
    if classify is None and choose is not None and not polls:
        return choose  # as it is: each healthy answer comes here
    yours = () if classify is None else (Asked(YOURS, classify),)

    def asked(url: str, status: int) -> tuple[Asked, ...]:
        chosen = () if choose is None else choose(url, status)
        return (*yours, *chosen, *(_BY_STATUS if polls and status == ACCEPTED else ()))

    return asked


def verdict_of(asked: tuple[Asked, ...], answer: Answer) -> Verdict | None:
    """Return the first verdict that is given; None: the answer means what its status says."""
    return next(filter(None, (each.verdict(answer) for each in asked)), None)
