"""The setting `adopt`: which parts of legacy code are taken over, such as a header as a token."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from .http import signs_each_request
from .token import Token
from .validation import collection, members

AUTHORIZATION = "authorization"
RETRIES = "retries"
_NAMES = frozenset({AUTHORIZATION, RETRIES})

_STATIC = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([A-Za-z0-9._~+/-]+=*)")
"""A scheme and a token68 (RFC 9110 section 11.2). Credentials with auth-params, such as Digest,
OAuth 1 and AWS4-HMAC-SHA256, sign one request."""


def static_token(header: object) -> Token | None:
    """Return the token in an ``Authorization`` header.

    None if the header is good for one request or connection only, and cannot be sent again.
    """
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    found = _STATIC.fullmatch(text) if isinstance(text, str) else None
    # `OAuth` with a token68 is not an OAuth 1 signature: some APIs use it in place of `Bearer`.
    if found is None or (signs_each_request(found[1]) and found[1].lower() != "oauth"):
        return None
    return Token(found[2], scheme=found[1])


def adopts(adopt: bool | Collection[str], name: str) -> bool:  # noqa: FBT001 (as users give it)
    """Whether the setting `adopt` takes over what `name` names."""
    return adopt if isinstance(adopt, bool) else name in adopt


def adopt_fault(adopt: object, *, has_token: bool) -> str | None:
    """Return the fault of the setting `adopt`; None if it has no fault."""
    if isinstance(adopt, bool):
        return None
    if not isinstance(adopt, Collection) or isinstance(adopt, (str, bytes, Mapping)):
        return collection("adopt", adopt) or "adopt takes a collection, or True or False"
    kinds = " and ".join(map(repr, sorted(_NAMES)))
    fault = members("adopt", adopt, lambda name: name in _NAMES, kinds)
    if fault is None and AUTHORIZATION in adopt and not has_token:
        return f"adopt names {AUTHORIZATION!r}, and no token could take its place: give token=..."
    return fault
