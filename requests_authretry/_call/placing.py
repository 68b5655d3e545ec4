"""Where the credential of a request stands, and how a copy of the request gets ours."""

from __future__ import annotations

from collections.abc import MutableMapping
from itertools import islice
from typing import TYPE_CHECKING

from requests.auth import _basic_auth_str
from requests.utils import get_netrc_auth

from .._core.placement import (
    Header,
    Query,
    parameter,
    with_cookie,
    with_parameter,
    without_parameter,
    without_values,
)
from .._core.token import Secret
from .._warnings import warn_once
from .outgoing import header_of, with_header, with_url

if TYPE_CHECKING:
    from http.cookiejar import Cookie as Kept

    from requests import PreparedRequest, Response

    from .._core.placement import Placement
    from .._core.token import Token


_AUTHORIZATION = "authorization"


def text_in(place: Placement | None, request: PreparedRequest) -> str | None:
    """Return the credential that stands in a place of the request already; None without one.

    A header that requests took from netrc is none, and a cookie that a server has set neither.
    """
    if place is None:  # first, as most tokens go there
        name = _AUTHORIZATION
    elif isinstance(place, Header):
        name = place.name.lower()
    elif isinstance(place, Query):
        return parameter(request.url or "", place.name)
    else:
        return dict(own_cookies(request)).get(place.name)
    given = header_of(request, name)
    if given is None:
        return None
    text: str = given.decode("latin-1") if isinstance(given, bytes) else given
    if name == _AUTHORIZATION:
        login = get_netrc_auth(request.url or "")
        if login is not None and text == _basic_auth_str(*login):
            return None
    return text


def with_token(request: PreparedRequest, place: Placement | None, token: Token) -> PreparedRequest:
    """Return a copy of the request that carries the token in this place, and nothing else there."""
    if place is None:
        return with_header(request, "Authorization", token.authorization)
    text = Secret(place.text_of(token))
    if isinstance(place, Header):
        return with_header(request, place.name, text)
    if isinstance(place, Query):
        return with_url(request, Secret(with_parameter(request.url or "", place.name, text)))
    line = header_of(request, "cookie") or ""
    line = line.decode("latin-1") if isinstance(line, bytes) else line
    return with_header(request, "Cookie", Secret(with_cookie(line, place.name, text)))


def own_cookies(request: PreparedRequest) -> list[tuple[str, str]]:
    """Return the cookies of a request, without those that answers have set."""
    line = header_of(request, "cookie")
    if line is None:
        return []
    text = line.decode("latin-1") if isinstance(line, bytes) else line
    own, others = set[tuple[str, str]](), set[tuple[str, str]]()
    for cookie in request._cookies or ():  # noqa: SLF001 (only the request keeps them)
        (others if _is_of_answer(cookie) else own).add((cookie.name, cookie.value or ""))
    pairs = (part.strip().partition("=")[::2] for part in text.split(";"))
    return [pair for pair in pairs if pair in own or pair not in others]


def _is_of_answer(cookie: Kept) -> bool:
    """Whether an answer set a cookie: it has the answer's host, or a domain that begins with a dot.

    A cookie of the caller's has no domain, or one that is written without a dot.
    """
    is_named = cookie.domain_specified and not cookie.domain.startswith(".")
    return bool(cookie.domain) and not is_named


def warn_of_shared_cookies(identities: object, request: PreparedRequest) -> None:
    """Warn once if a request of an identity carries a cookie that an answer has set.

    The session has one cookie jar: the answer may have been one to another identity, and a server
    may believe the cookie rather than the token.

    Args:
        identities: What keeps their tokens.
        request: The first request of a call.
    """
    jar = request._cookies if "Cookie" in request.headers else None  # noqa: SLF001 (as above)
    if jar and any(map(_is_of_answer, jar)):
        warn_once(
            identities,
            "cookies",
            "a request of one identity carries a cookie that an answer has set, perhaps an answer "
            "to another: the session has one cookie jar for all. Write session.cookies.set_policy("
            "DefaultCookiePolicy(allowed_domains=[])), from http.cookiejar, so that it keeps none; "
            "or give each identity a session of its own",
        )


_NAMING = ("Location", "Content-Location", "Link", "Refresh")
"""Header fields of an answer that have URLs."""

_CHAIN_LIMIT = 20


def hide_in_answer(place: Query, url: str, response: Response) -> None:
    """Take the token out of the URLs of an answer: of its own, and of a redirect or a link.

    A server may repeat the query of a request in a redirect, which may lead to another origin.

    Args:
        place: Where the token went.
        url: The URL of the caller's request.
        response: The answer.
    """
    response.url = url
    if isinstance(getattr(response.raw, "_request_url", None), str):
        # urllib3 has no other word for it.
        response.raw._request_url = without_parameter(response.raw._request_url, place.name)  # noqa: SLF001
    raw = getattr(response.raw, "headers", None)  # other adapters may keep something else there
    for headers in (response.headers, raw if isinstance(raw, MutableMapping) else {}):
        for name in _NAMING:
            given = headers.get(name)
            if given and (bare := without_parameter(given, place.name)) != given:
                headers[name] = bare


def without_token(error: BaseException, place: Placement | None) -> BaseException:
    """Return an exception; no message of it or of the ones it wraps has a token of the query."""
    if not isinstance(place, Query):
        return error
    pending = [error]
    for cause in islice(pending, _CHAIN_LIMIT):
        inner = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        pending += [each for each in inner if isinstance(each, BaseException)]
        cause.args = tuple(
            without_values(part, [place.name]) if isinstance(part, str) else part
            for part in cause.args
        )
        if isinstance(getattr(cause, "url", None), str):
            cause.url = without_values(cause.url, [place.name])  # type: ignore[attr-defined]
    return error
