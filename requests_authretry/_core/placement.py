"""Placements: where in a request a credential goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from .arguments import checks_arguments
from .token import Token
from .validation import ConfigurationError, is_text, quoted, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

TOKEN: Final = "{token}"  # noqa: S105 (the mark in whose place the token goes)
HIDDEN: Final = "***"
"""What stands in a URL that is shown, in place of a credential."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token as RFC 9110 section 5.6.2 defines it: names of header fields and of cookies."""

_HEADER_NAME_FAULT: Final = (
    "name must be the name of a header field alone, without a colon or a space: write "
    "Header('X-Auth-Token'), or Header('Authorization', 'Token {token}')"
)
_AROUND: Final = re.compile(r"[ -~]*")
_COOKIE_OCTETS: Final = "!#$%&'()*+-./:<=>?@[]^_`{|}~"
"""What may stand in a cookie (RFC 6265 section 4.1.1) beside letters and digits."""

_FRAMING: Final = frozenset(
    {"connection", "content-length", "content-type", "host", "te", "transfer-encoding", "upgrade"}
)
"""Header fields that say how a request is read: no credential can stand there."""


@checks_arguments()
@dataclass(frozen=True, slots=True)
class Header:
    """A header field that carries the credential. Immutable.

    Attributes:
        name: The name of the field, such as ``X-Auth-Token``.
        value: What the field says, with ``{token}`` in place of the token's value. The scheme of
            the token has no part in it: write ``Header("Authorization", "Token {token}")``.

    Raises:
        ConfigurationError: No credential can stand there.
    """

    name: str
    value: str = TOKEN

    def __post_init__(self) -> None:
        """Refuse a field that cannot carry a token."""
        refuse("Header", [self._name_fault(), self._value_fault()])

    def _name_fault(self) -> str | None:
        name: object = self.name  # as yet whatever the caller wrote
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return _HEADER_NAME_FAULT
        if name.lower() == "cookie":
            return "name: write Cookie('session') for a cookie"
        is_framing = name.lower() in _FRAMING
        return f"name: {name} says how the request is read, and is no credential" * is_framing

    def _value_fault(self) -> str | None:
        value: object = self.value
        if not isinstance(value, str) or value.count(TOKEN) != 1 or not _AROUND.fullmatch(value):
            return "value must have {token} in it once, as 'Token {token}'"
        return None

    def text_of(self, token: Token) -> str:
        """Return what the field says with this token."""
        return self.value.replace(TOKEN, token.value)

    def token_of(self, text: str) -> Token | None:
        """Return the token that a field with this text carries; None if it has another form."""
        before, _, behind = self.value.partition(TOKEN)
        has_form = text.startswith(before) and text.endswith(behind)
        return _made(text[len(before) : len(text) - len(behind)]) if has_form else None


@checks_arguments()
@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the query that carries the credential. Immutable.

    The library shows the parameter nowhere: neither `Response.url` nor a redirect, an exception, a
    log line of urllib3 or an event has it. Servers and proxies write URLs into their logs, so a
    header is safer wherever an API takes one (RFC 6750 section 5.3).

    Attributes:
        name: The name of the parameter, such as ``api_key``.

    Raises:
        ConfigurationError: The name is no text, or empty, or begins with ``?`` or ``&``, or ends in
            ``=``.
    """

    name: str

    def __post_init__(self) -> None:
        """Refuse what is no name."""
        given: object = self.name
        is_name = is_text(given) and given[0] not in "?&" and given[-1] != "="
        fault = "name must be the name of the parameter alone, as Query('api_key')"
        refuse("Query", [None if is_name else fault])

    def text_of(self, token: Token) -> str:
        """Return the value of the parameter."""
        return token.value

    def token_of(self, text: str) -> Token | None:
        """Return the token that a parameter with this value carries; None if it is none."""
        return _made(text)


@checks_arguments()
@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie that carries the credential. Immutable.

    It stands in the `Cookie` field of a request beside the cookies of the session, in place of one
    of the same name that a server has set. The session does not keep it. The value of a cookie that
    a server has set goes back as it is, percent signs included. Characters that no cookie may have
    are percent-encoded.

    Attributes:
        name: The name of the cookie, such as ``session``.

    Raises:
        ConfigurationError: The name is none that a cookie can have (RFC 6265 section 4.1.1).
    """

    name: str

    def __post_init__(self) -> None:
        """Refuse what is no name of a cookie."""
        given: object = self.name
        is_name = isinstance(given, str) and _NAME.fullmatch(given)
        fault = f"name must be the name of a cookie, as Cookie('session'): {quoted(given)}"
        refuse("Cookie", [None if is_name else fault])

    def text_of(self, token: Token) -> str:
        """Return the value of the cookie."""
        return quote(token.value, safe=_COOKIE_OCTETS)

    def token_of(self, text: str) -> Token | None:
        """Return the token that a cookie with this value carries; None if it is none."""
        return _made(text.strip('"'))


Placement = Header | Query | Cookie
"""Where a credential goes; None stands for ``Authorization``, with the scheme of the token."""


def written(place: Placement) -> str:
    """Return a placement as a program writes it: ``Header('X-Auth-Token')``."""
    form = getattr(place, "value", TOKEN)
    return f"{type(place).__name__}({place.name!r}{f', {form!r}' * (form != TOKEN)})"


def is_usual(place: Placement, scheme: str) -> bool:
    """Whether a token of this scheme is in the place without the setting `token_in`."""
    if not isinstance(place, Header) or place.name.lower() != "authorization":
        return False
    return place.value.lower() == f"{scheme} {TOKEN}".lower()


def _made(text: str) -> Token | None:
    try:
        return Token(text)
    except ConfigurationError:
        return None


def parameter(url: str, name: str) -> str | None:
    """Return the value of the first parameter of this name in the query; None without one."""
    query = url.partition("#")[0].partition("?")[2]
    pairs = (pair.partition("=") for pair in query.split("&"))
    found = (unquote_plus(value) for key, _, value in pairs if unquote_plus(key) == name)
    return next(found, None)


def with_parameter(url: str, name: str, value: str) -> str:
    """Return the URL with this parameter, the last one of its query, and no other of its name.

    Everything else stays as it was written.
    """
    bare, mark, fragment = url.partition("#")
    path, _, query = bare.partition("?")
    kept = [pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) != name]
    query, added = "&".join(kept), f"{quote_plus(name)}={quote_plus(value)}"
    return f"{path}?{query}{'&' if query else ''}{added}{mark}{fragment}"


def with_cookie(line: str, name: str, value: str) -> str:
    """Return the `Cookie` field with this cookie, and no other of its name.

    The others stay as they were written.
    """
    pairs = line.split(";")
    kept = [pair for pair in pairs if pair.partition("=")[0].strip() != name]
    others = ";".join(kept).strip("; \t")
    return f"{others}; {name}={value}" if others else f"{name}={value}"


_ENDS: Final = r"&\s#'\"<>"
"""Where the value of a parameter ends, in a URL and in a text with URLs."""

_PARAMETER: Final = re.compile(rf"(?<=[?&#])([^=?{_ENDS}]*)=([^{_ENDS}]*)(&?)")
_LEFT_OVER: Final = re.compile(rf"[?&](?=$|[{_ENDS}])")
_MOST_NESTED: Final = 4
"""How many times a URL is looked for inside the parameter of another one."""


@lru_cache(maxsize=32)
def _pattern(names: frozenset[str]) -> re.Pattern[str]:
    forms = {form for name in names for form in (name, quote_plus(name), quote(name, safe=""))}
    longest_first = sorted(map(re.escape, forms), key=len, reverse=True)
    return re.compile(rf"(?<=[?&])((?:{'|'.join(longest_first)})=)[^{_ENDS}]*")


def without_parameter(text: str, name: str, depth: int = _MOST_NESTED) -> str:
    """Return a URL, or a text with URLs, without the parameters of this name.

    A server may write the name in another case or form. And it may put the whole URL that was asked
    for into a parameter of another one, as the ``next`` of a page where people sign in.

    Args:
        text: What a server wrote.
        name: The name of the parameter.
        depth: How many times a URL is looked for inside the parameter of another one.
    """

    def kept(found: re.Match[str]) -> str:
        key, value, end = found.groups()
        if unquote_plus(key).casefold() == name.casefold():
            return ""
        # First as it stands: a token may have an encoded ampersand.
        for is_encoded, inner in enumerate((value, unquote(value))):
            bare = without_parameter(inner, name, depth - 1) if depth else inner
            if bare != inner:
                return f"{key}={quote(bare, safe='') if is_encoded else bare}{end}"
        return found[0]

    bare = _PARAMETER.sub(kept, text)
    return text if bare == text else _LEFT_OVER.sub("", bare)


def without_values(text: str, names: Iterable[str]) -> str:
    """Return a text with `HIDDEN` in place of the values of these parameters, in all its URLs."""
    return _pattern(frozenset(names)).sub(rf"\g<1>{HIDDEN}", text)
