"""The errors.

    ValueError
        ConfigurationError          a setting that cannot work, when the object is made
    requests.RequestException
        AuthRetryError              what this library itself has to say
            RefreshFailed           no new token: the request was not sent, or its 401 stands

All other errors that reach the caller are those of bare requests.
"""

from __future__ import annotations

from typing import Any

import requests

from ._core.validation import ConfigurationError

INVALID_GRANT = "invalid_grant"
"""RFC 6749 section 5.2: the refresh token is spent, or was never any good."""

__all__ = ["AuthRetryError", "ConfigurationError", "RefreshFailed"]


class AuthRetryError(requests.RequestException):
    """The base of what this library itself raises while a request is under way.

    No message holds a secret. ``request`` and ``response`` are set where there are any.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all but request and response, which may hold secrets."""
        left_out = {"request", "response"}
        state = {name: value for name, value in vars(self).items() if name not in left_out}
        return type(self), self.args, state


class RefreshFailed(AuthRetryError):  # noqa: N818 (the field's own word)
    """The token source raised, gave nonsense, or gave no answer within the deadline.

    The message names the class of the source's own exception. ``__cause__`` stands for it: it names
    the classes of its chain, the HTTP status, and the lines of code. It has neither their text nor
    their frames, which may hold secrets. ``response`` is the 401 where there was one. A source may
    raise a `RefreshFailed` itself: then the caller gets its words, and no cause.

    Attributes:
        error: The error code of the authorization server (RFC 6749 section 5.2), None when it
            gave none. After ``invalid_grant`` the library looks into the store once more: another
            may have used the refresh token just before.
        retry_after: Seconds that the authorization server asked to wait, None when it named none.
    """

    def __init__(
        self, *args: Any, error: str | None = None, retry_after: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.error = error
        self.retry_after = retry_after
