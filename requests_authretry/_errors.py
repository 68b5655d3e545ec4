"""The errors.

    ValueError
        ConfigurationError          a setting that cannot work, when the object is made
    requests.RequestException
        AuthRetryError              what this library itself has to say
            RefreshFailed           no new token: the request was not sent, or its 401 stands
            StepUpRequired          the server wants a stronger authentication (RFC 9470)

Everything else that reaches the caller is what bare requests raises.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import requests

from ._core.bounds import WORDS
from ._core.validation import ConfigurationError

if TYPE_CHECKING:
    from ._core.challenge import Challenge

_HEAVY = {"request", "response"}
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)

INVALID_GRANT = "invalid_grant"
"""RFC 6749 section 5.2: the refresh token is spent, or was never any good."""

__all__ = ["AuthRetryError", "ConfigurationError", "RefreshFailed", "StepUpRequired"]


class AuthRetryError(requests.RequestException):
    """The base of what this library itself raises while a request is under way.

    No message holds a secret. ``request`` and ``response`` are set where there are any.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle carries all but request and response, which hold more than is said here."""
        said = {name: value for name, value in vars(self).items() if name not in _HEAVY}
        return type(self), self.args, said


class RefreshFailed(AuthRetryError):  # noqa: N818 (the field's own word)
    """The token source raised, gave nonsense, or gave no answer within the deadline.

    ``__cause__`` is the source's own exception; ``response`` is the 401 where there was one.
    A source may raise it itself: then the caller gets its words, and no cause.

    Attributes:
        error: The error code of the authorization server (RFC 6749 section 5.2), None when it
            gave none. After ``invalid_grant`` the library looks into the store once more: another
            may have used the refresh token just before.
        retry_after: Seconds after which the authorization server wants to be asked again, None when it
            named no time.
    """

    def __init__(
        self, *args: Any, error: str | None = None, retry_after: float | None = None, **kwargs: Any
    ) -> None:
        """Keep what the authorization server said."""
        super().__init__(*args, **kwargs)
        self.error = error
        self.retry_after = retry_after


class StepUpRequired(AuthRetryError):  # noqa: N818 (the field's own word)
    """The server wants the user to authenticate anew, or more strongly (RFC 9470 section 3).

    It is not raised: the caller gets the 401, and `RefreshDeclined.step_up` carries this.

    Attributes:
        acr_values: The authentication contexts the server accepts, cut at a thousand characters;
            None when it named none.
        max_age: Seconds since the user's authentication that it accepts, None when not named.
    """

    def __init__(
        self, *args: Any, acr_values: str | None = None, max_age: str | None = None
    ) -> None:
        """Keep what the challenge asked for."""
        super().__init__(*args)
        self.acr_values = acr_values and acr_values[:WORDS]
        self.max_age = int(max_age) if max_age and _SECONDS.fullmatch(max_age) else None

    @classmethod
    def of(cls, challenge: Challenge) -> StepUpRequired:
        """What a challenge with ``insufficient_user_authentication`` asks for."""
        asked = challenge.params
        return cls(
            "the server wants a stronger or a fresh authentication of the user",
            acr_values=asked.get("acr_values"),
            max_age=asked.get("max_age"),
        )
