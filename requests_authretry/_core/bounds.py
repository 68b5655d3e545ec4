"""Bounds on how much of a server's answers is read and kept.

`http.client` accepts a hundred header lines of 64 KB in each answer. Honest servers stay far below
the bounds here. Text beyond a bound is ignored or cut, and is never an error.
"""

from __future__ import annotations

from typing import Final

FIELD: Final = 1000
"""Characters of a header field that holds a time, a number or a limit, all of its lines together. A
longer field counts as absent: cutting a number would make another number of it."""

VALUES: Final = 100
"""Texts of a field that are tried as its value: each proxy on the way may add a line, and each text
is tried in eight forms."""

CHALLENGE_FIELD: Final = 16_384
"""Characters of `WWW-Authenticate`, all of its lines together. This is more than nginx and Apache
send (8 KB a line), because the field may hold Kerberos tokens."""

CHALLENGES: Final = 50
"""Challenges of one answer. A server sends one for each scheme; IANA registers about fifteen."""

WORDS: Final = 1000
"""Characters of a server's text that an event, a record or a message quotes."""

ERROR_CODE: Final = 100
"""Characters of an error code; the longest registered code has 35."""

USER_CODE: Final = 100
"""Characters of a code that a person types in; RFC 8628, 6.1, has eight."""

POLICIES: Final = 20
"""Policies that are read from one answer, and policies that are remembered of one rate limit. The
examples in the drafts of RateLimit have two at most."""

POLICY_NAME: Final = 100
"""Characters of a policy's name, which becomes part of a key in the store."""

URL: Final = 65_536
"""Characters of a URL that may have an origin: as many as `http.server` accepts in a request line,
and eight times as many as nginx and Apache accept. A redirect may name a longer URL."""

URL_KEPT: Final = 1000
"""Characters of a URL that are kept when its call is over, to tell endpoints and origins apart."""

COOKIE_LINE: Final = 8192
"""Characters of a `Set-Cookie` line of a failed attempt: 4096 for name and value, and room for the
attributes (RFC 6265, 6.1)."""

COOKIE_LINES: Final = 50
"""`Set-Cookie` lines that are kept of all failed attempts of a call: as many as a client should
keep for one domain (RFC 6265, 6.1)."""

COOKIES: Final = 16_384
"""Characters of all these lines together: servers accept no more than 8 or 16 KB of cookies."""

PROBLEM: Final = 65_536
"""Bytes of a problem document (RFC 9457)."""

DIGITS: Final = 1000
"""Digits of a whole number in JSON: more than a float can hold. The time that `int` takes grows
with the square of their number. Python's own bound of 4300 is missing in Python 3.10.6 and can be
lifted."""

JWT: Final = 16_384
"""Characters of an access token whose end is read from its claims: more than servers accept in a
header."""

SCOPES: Final = 1000
"""Scopes of a token. Each of them becomes a separate string, in memory and in the store."""

MAX_COOL_DOWN_SECONDS: Final = 3600.0
"""Seconds that a cool-down holds back other calls, at most; then one of these calls is sent."""

LEAST_ATTEMPT: Final = 0.1
"""Seconds before the deadline in which no attempt begins after a wait."""
