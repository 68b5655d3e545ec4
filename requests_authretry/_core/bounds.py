"""How much is read and kept of what a server says.

`http.client` takes a hundred header lines of 64 KB in each answer. No honest server comes near
these bounds; what goes beyond one is ignored or cut, and never an error.
"""

from __future__ import annotations

from typing import Final

FIELD: Final = 1000
"""Characters of a field with a time, a number or a limit, all of its lines together. A longer one
counts as absent: of a number that is cut nobody knows what it was."""

VALUES: Final = 100
"""Texts of a field that are read as its value: each proxy on the way may add a line of its own, and
each is looked at in eight forms."""

CHALLENGE_FIELD: Final = 16_384
"""Characters of `WWW-Authenticate`, all of its lines together. It is more than nginx and Apache
send (8 KB a line), and tokens of Kerberos may stand in it."""

CHALLENGES: Final = 50
"""Challenges of one answer. A server has one for each scheme, and IANA registers some fifteen."""

WORDS: Final = 1000
"""Characters that an event, a record or a message quotes of what a server chose."""

ERROR_CODE: Final = 100
"""Characters of an error code; the longest that is registered has 35."""

USER_CODE: Final = 100
"""Characters of a code that a human types in; RFC 8628, 6.1, has eight of them."""

POLICIES: Final = 20
"""Policies of one answer, and policies that are kept in mind of one limit. The drafts of RateLimit
have two at most in their examples."""

POLICY_SETS: Final = 20
"""Sets of policies that one origin may name; with more of them they tell nothing apart."""

POLICY_NAME: Final = 100
"""Characters of a policy's name: it becomes part of a key in the store."""

URL: Final = 65_536
"""Characters of a URL that may have an origin: what `http.server` takes of a request line, and
eight times what nginx and Apache take. A redirect may name a longer one."""

URL_KEPT: Final = 1000
"""Characters that are kept of a URL when its call is over, to tell endpoints and origins apart."""

COOKIE_LINE: Final = 8192
"""Characters of a `Set-Cookie` line of a failed attempt: 4096 of name and value and room for the
attributes (RFC 6265, 6.1)."""

COOKIE_LINES: Final = 50
"""`Set-Cookie` lines that are kept of all failed attempts of a call, as many as a client should
keep of a domain (RFC 6265, 6.1)."""

COOKIES: Final = 16_384
"""Characters of all those lines together: servers take no more than 8 or 16 KB of cookies."""

PROBLEM: Final = 65_536
"""Bytes of a problem document (RFC 9457)."""

DIGITS: Final = 1000
"""Digits of a whole number in JSON, more than a float holds. `int` takes time by their square, and
its own bound of 4300 is missing in Python 3.10.6 and can be lifted."""

SCOPES: Final = 1000
"""Scopes of a token. Each of them becomes a string of its own, in memory and in the store."""
