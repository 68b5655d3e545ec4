"""Facts of HTTP, each stated once: status codes, methods, schemes that sign each request."""

from __future__ import annotations

STATUS_CODES = range(100, 600)
OK = 200
ACCEPTED = 202
FIRST_REDIRECT = 300
FIRST_ERROR = 400
BAD_REQUEST = 400
ABOUT_THE_RESOURCE = frozenset({404, 409, 410, 412, 415, 422})
"""Errors that a server tells after its rate limit let the request pass."""
BAD_REQUEST = 400
UNAUTHORIZED = 401
FORBIDDEN = 403
PROXY_AUTHENTICATION_REQUIRED = 407
UNREAD = frozenset({UNAUTHORIZED, PROXY_AUTHENTICATION_REQUIRED})
"""Answers that stay unread where the request has no credential of ours: a handshake goes on."""
REQUEST_TIMEOUT = 408
CONFLICT = 409
UNPROCESSABLE_CONTENT = 422
TOO_EARLY = 425
TOO_MANY_REQUESTS = 429
FIRST_SERVER_ERROR = 500
SERVICE_UNAVAILABLE = 503

SERVER_FAULTS = frozenset({500, 502, 503, 504, *range(520, 525), 529, 530})
"""Statuses that report a server out of order, not only a request that it cannot serve.

Cloudflare sends 520 to 524 and 530 where it gets no answer of the server behind it. Anthropic and
others send 529 when they are overloaded. 525 and 526 report a certificate, which stays as it is.
"""

TELL_NOTHING_OF_SERVER = frozenset({REQUEST_TIMEOUT, TOO_EARLY})
"""Statuses of a request that did not come in time, or came too early: nobody looked at it."""

POLLING_METHODS = frozenset({"GET", "HEAD"})
"""The methods that may ask for a result again and again."""

IDEMPOTENT_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"})
"""The methods of RFC 9110 section 9.2.2."""

HANDSHAKES = frozenset({"kerberos", "negotiate", "ntlm"})
"""Schemes whose credentials change with each connection, and name nobody that could be read."""

_SIGNING_SCHEMES = HANDSHAKES | {
    "amx",
    "digest",
    "dpop",
    "hawk",
    "mac",
    "oauth",
    "oss",
    "signature",
}
_SIGNING_FAMILIES = ("aws", "goog", "sharedkey")


def signs_each_request(scheme: str) -> bool:
    """Whether credentials of this scheme change with each request or connection.

    Such credentials cannot be sent a second time. What tells callers apart is the key that they
    name. The scheme may be in upper or lower case.
    """
    scheme = scheme.lower()
    is_signature = scheme in _SIGNING_SCHEMES or scheme.startswith(_SIGNING_FAMILIES)
    return is_signature or "hmac" in scheme
