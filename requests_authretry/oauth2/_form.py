"""The form of one attempt: its fields, and the secrets in it that no message may repeat."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from oauthlib.common import add_params_to_qs
from oauthlib.oauth2.rfc6749.parameters import prepare_token_request
from requests.auth import AuthBase

from .._core.token import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

    from .._protocols import Clock
    from ._client import Client

Fields = dict[str, Any]

_SECRET = re.compile(r"secret|token$|assertion$|password|code$")
"""The names of fields that hold secrets."""

_ASSERTIONS = {"assertion", "client_assertion"}


@dataclass(frozen=True)
class Moment:
    """The time and the audience of one attempt, for its fields.

    Attributes:
        now: POSIX time in seconds, by the clock of the server where it is known.
        audience: The audience of a signed field: the issuer, or the token endpoint without one.
    """

    now: float
    audience: str


class Signer(AuthBase):
    """Fills in a form for each attempt, as assertions and proofs are good for one use.

    Attributes:
        now: When the last attempt began, in POSIX seconds of our clock.
        ahead: How far ahead of our clock its signed times were, in seconds.
        is_dated: Whether it had signed times: an assertion or a proof.
        secrets: The secrets in the last attempt, the longest first: no message may quote them.
    """

    def __init__(
        self, client: Client, url: str, form: Callable[[Moment], Fields], clock: Clock
    ) -> None:
        self._client, self._url = client, url
        self._form, self._clock = form, clock
        self.now = self.ahead = 0.0
        self.is_dated = False
        self.secrets: list[Secret] = []

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Write the form into the body and the client's proof into form and headers."""
        self.now = self._clock.time()
        self.ahead = self._client.clocks.ahead(self._url, self._clock)
        moment = Moment(self.now + self.ahead, self._client.issuer or self._url)
        proof, headers = self._client.proof(self._url, moment.audience, moment.now)
        fields = {**self._form(moment), **proof}
        self.is_dated = "DPoP" in headers or not _ASSERTIONS.isdisjoint(fields)
        request.headers.update(headers)
        request.headers["Content-Type"] = "application/x-www-form-urlencoded"
        if "grant_type" in fields:
            request.body = str(prepare_token_request(**fields))
        else:  # oauthlib knows token requests only
            request.body = str(add_params_to_qs("", fields))
        sent = [str(value) for name, value in fields.items() if value and _SECRET.search(name)]
        sent += [self._client.secret or ""]
        for value in headers.values():
            sent += [value, value.rpartition(" ")[2]]  # without its scheme too
        # A server may repeat a secret as it is, or as it is encoded in a form.
        texts = {form for text in sent for form in (text, quote_plus(text))}
        self.secrets = [Secret(text) for text in sorted(texts - {""}, key=len, reverse=True)]
        return request
