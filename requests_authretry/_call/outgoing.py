"""What one attempt sends: copies of the caller's request, and the cookies of failed attempts."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING, Any

from requests.cookies import MockRequest, MockResponse, RequestsCookieJar, get_cookie_header
from requests.structures import CaseInsensitiveDict

from .._core.bounds import COOKIE_LINE, COOKIE_LINES, COOKIES

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

    from requests import PreparedRequest, Response


def with_own_headers(request: PreparedRequest) -> PreparedRequest:
    """Return a copy with headers of its own, so that the caller's request stays as it is."""
    return _copy(request, _stored(request).copy())


def with_header(request: PreparedRequest, name: str, value: str) -> PreparedRequest:
    """Return a copy with this header, whatever the caller has set there."""
    headers = _stored(request).copy()
    headers[name.lower()] = (name, value)
    return _copy(request, headers)


def with_url(request: PreparedRequest, url: str) -> PreparedRequest:
    """Return a copy that goes to this URL."""
    other = _copy(request, _stored(request))
    other.url = url
    return other


def header_of(request: PreparedRequest, name: str) -> Any:
    """Return a header by its name in lower case, None if there is none."""
    given = _stored(request).get(name)
    return None if given is None else given[1]


def headers_of(request: PreparedRequest) -> dict[str, Any]:
    """Return the headers by their names in lower case."""
    return {name: given[1] for name, given in _stored(request).items()}


def _copy(request: PreparedRequest, stored: Any) -> PreparedRequest:
    # PreparedRequest.copy copies the cookies too, and takes ten times as long.
    other = object.__new__(type(request))
    other.__dict__ = request.__dict__.copy()
    other.headers = headers = object.__new__(CaseInsensitiveDict)
    headers._store = stored
    return other


def _stored(request: PreparedRequest) -> Any:
    """Return the dictionary inside the headers, whose own methods take eight times as long."""
    headers: Any = request.headers
    if type(headers) is not CaseInsensitiveDict:  # the caller has put something else there
        headers = CaseInsensitiveDict(headers)
    return headers._store  # noqa: SLF001 (there is no other way in)


class Cookies:
    """The cookies that failed attempts of one call set, within a bound."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._jar: Any = None
        self._left = COOKIES

    def take(self, request: PreparedRequest, response: Response) -> None:
        """Remember what a failed answer sets."""
        taken = Message()
        for line in _set_cookies(_message(response)):
            if len(line) <= min(COOKIE_LINE, self._left) and len(self._lines) < COOKIE_LINES:
                self._left -= len(line)
                self._lines.append(line)
                taken["Set-Cookie"] = line
        if not taken:
            return
        if self._jar is None:
            self._jar = RequestsCookieJar()
            self._jar.update(_cookies(request))
        self._jar.extract_cookies(MockResponse(taken), MockRequest(request))

    def put_on(self, request: PreparedRequest) -> PreparedRequest:
        """Return the request with these cookies; leave a Cookie header of the caller alone."""
        if self._jar is None:
            return request
        bare = with_own_headers(request)
        written = bare.headers.pop("Cookie", None)
        if written != get_cookie_header(_cookies(request), bare):
            return request
        now = get_cookie_header(self._jar, bare)
        if now is not None:
            bare.headers["Cookie"] = now
        return bare

    def hand_on(self, response: Response) -> None:
        """Let the session find them in the final answer, before the answer's own."""
        message = _message(response)
        if not self._lines or message is None:
            return
        own = _set_cookies(message)
        del message["Set-Cookie"]
        for line in [*self._lines, *own]:
            message["Set-Cookie"] = line
        self._lines = []


def _cookies(request: PreparedRequest) -> CookieJar:
    """Return the cookies that requests made the header from; only the request keeps them."""
    jar = request._cookies  # noqa: SLF001
    return RequestsCookieJar() if jar is None else jar


def _set_cookies(message: Message | None) -> list[str]:
    return [] if message is None else message.get_all("Set-Cookie") or []


def _message(response: Response) -> Message | None:
    """Return the headers that requests reads cookies from."""
    message = getattr(getattr(response.raw, "_original_response", None), "msg", None)
    return message if isinstance(message, Message) else None
