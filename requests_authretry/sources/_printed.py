"""Read the output of programs: a token, or one of the JSON forms of well-known tools."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from .._core.token import Token
from .._core.validation import ConfigurationError, is_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Expiry = Callable[[Any], float]

_LIFETIME = "expires_in"
_YEAR_10000 = 253402300800.0
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII
)

_UNKNOWN = (None, "", "0001-01-01T00:00:00Z")
"""Values for an unknown expiry; the last is the zero time of programs written in Go."""


def token_in(printed: bytes, now: float) -> Token | str:
    """Return the token in a program's output, or the fault of the output, without quoting it.

    Args:
        printed: The standard output of the program.
        now: POSIX time in seconds, when the program had ended.
    """
    try:
        text = printed.decode("utf-8-sig").strip()
        answer = json.loads(text) if text.startswith(("{", '"')) else text
    except (ValueError, RecursionError):
        return "printed what is neither a token nor JSON"
    if isinstance(answer, str):
        return _token(answer) if text else "printed nothing"
    for holder, name, expiries in _FORMS:
        fields = answer.get(holder) if holder else answer
        if not isinstance(fields, dict) or not isinstance(fields.get(name), str):
            continue
        kind = fields.get("token_type", fields.get("tokenType", "Bearer"))
        if not isinstance(kind, str) or kind.lower() != "bearer":
            return "printed a token that is no bearer token"
        try:
            expires_at = _expires_at(fields, expiries, now)
        except (ValueError, TypeError, OverflowError, OSError):
            return "printed a token with an expiry that cannot be"
        return _token(fields[name], expires_at)
    return "printed JSON without a token"


def _token(value: str, expires_at: float | None = None) -> Token | str:
    if len(value.split()) == 1:
        with suppress(ConfigurationError):
            return Token(value, expires_at)
    return "printed what is no token: that is one word, in visible ASCII"


def _expires_at(
    fields: Mapping[str, Any], expiries: Mapping[str, Expiry], now: float
) -> float | None:
    for name, read in expiries.items():
        if fields.get(name) not in _UNKNOWN:
            expires_at = read(fields[name]) + (now if name == _LIFETIME else 0.0)
            if not 0 <= expires_at < _YEAR_10000:
                raise ValueError
            return expires_at
    return None


def _seconds(value: Any) -> float:
    number = float(value) if isinstance(value, str) else value
    if not is_finite(number) or number < 0:
        raise ValueError
    return number


def _rfc_3339(value: Any) -> float:
    read = _RFC_3339.fullmatch(value)
    if read is None:
        raise ValueError
    date, time, offset = read.groups()
    return _iso_8601(f"{date}T{time}{offset or '+00:00'}")


def _iso_8601(value: Any) -> float:
    """Return the POSIX time of a date and time; without an offset it is local time."""
    return datetime.fromisoformat(value).timestamp()


# Each form: the member that holds the rest, None for the whole; the name of the token; the names of
# its expiry, the best one first, each with the function that reads it as POSIX time or lifetime.
_FORMS: Final[tuple[tuple[str | None, str, Mapping[str, Expiry]], ...]] = (
    # kubectl's credential plugins: ExecCredential, client.authentication.k8s.io/v1
    ("status", "token", {"expirationTimestamp": _rfc_3339}),
    # gcloud config config-helper --format=json
    ("credential", "access_token", {"token_expiry": _rfc_3339}),
    # RFC 6749 section 5.1; golang.org/x/oauth2 prints expiry in place of expires_in
    (None, "access_token", {_LIFETIME: _seconds, "expiry": _rfc_3339}),
    # az account get-access-token; before version 2.54 there was expiresOn alone, in local time
    (None, "accessToken", {"expires_on": _seconds, "expiresOn": _iso_8601}),
    # gcloud auth print-access-token --format=json
    (None, "token", {}),
)
