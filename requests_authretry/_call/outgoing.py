"""What one attempt sends: the caller's request; beside it token, signature, cookies and key."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from requests.auth import _basic_auth_str
from requests.cookies import MockRequest, MockResponse, RequestsCookieJar, get_cookie_header
from requests.structures import CaseInsensitiveDict
from requests.utils import get_netrc_auth, select_proxy

from .._core.bounds import COOKIE_LINE, COOKIE_LINES, COOKIES
from .._core.origin import redacted
from .._errors import AuthRetryError

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

    from requests import PreparedRequest, Response
    from requests.auth import AuthBase

Proxies = Any
"""What requests hands to an adapter: a proxy's URL by scheme or by scheme and host, or None."""

_KEY = "Idempotency-Key"
_KEYED = {"POST", "PATCH"}


def with_own_headers(request: PreparedRequest) -> PreparedRequest:
    """The request again, with headers of its own: what is added leaves the caller's as it is."""
    return _with_headers(request, _store(request).copy())


def carrying(request: PreparedRequest, authorization: str) -> PreparedRequest | None:
    """A copy with our credentials; None where the caller has set some."""
    headers: Any = request.headers
    store = headers._store if type(headers) is CaseInsensitiveDict else _store(request)  # noqa: SLF001 (see there)
    if "authorization" in store and has_own_authorization(request):
        return None
    return replacing(request, authorization)


def replacing(request: PreparedRequest, authorization: str) -> PreparedRequest:
    """A copy with our credentials, whatever the caller has set."""
    store = _store(request).copy()
    store["authorization"] = ("Authorization", authorization)
    return _with_headers(request, store)


def _with_headers(request: PreparedRequest, store: Any) -> PreparedRequest:
    """`PreparedRequest.copy` would copy the cookies too, at ten times the price."""
    other = object.__new__(type(request))
    other.__dict__ = request.__dict__.copy()
    other.headers = headers = object.__new__(CaseInsensitiveDict)
    headers._store = store
    return other


def _store(request: PreparedRequest) -> Any:
    """The dictionary inside the headers, whose own methods take eight times as long."""
    headers: Any = request.headers
    if type(headers) is not CaseInsensitiveDict:  # the caller has put something else there
        headers = CaseInsensitiveDict(headers)
    return headers._store  # noqa: SLF001 (there is no other way in)


def signed(request: PreparedRequest, auth: AuthBase) -> PreparedRequest:
    """The request with a fresh signature; hooks that the signer sets are not kept."""
    other = with_own_headers(request)
    other.hooks = {"response": []}
    other.prepare_auth(auth, other.url or "")
    return other


def refuse_proxy(url: str, proxies: Proxies, owner: str = "Settings") -> None:
    """Let no credential leave this machine in the clear, as it would through a proxy.

    Plain http is safe on loopback only, and a proxy that serves such a request carries it to
    another machine (RFC 6750 section 5.3). Through a proxy https is encrypted from end to end.

    Args:
        url: Where the request goes.
        proxies: As an adapter is given them.
        owner: The object whose ``allow_http`` would allow it.

    Raises:
        AuthRetryError: The URL is plain http, and a proxy serves it.
    """
    if url[:6].lower() != "https:" and select_proxy(url, proxies):
        raise AuthRetryError(
            f"not sent: {redacted(url)} is plain http, and a proxy that serves it would see the "
            "credential in the clear: name the host in the variable NO_PROXY, or take the proxy "
            f"out of session.proxies; {owner}(allow_http=True) allows it"
        )


def has_own_authorization(request: PreparedRequest) -> bool:
    """Whether the caller set an Authorization header; one that requests took from netrc is none."""
    given = _store(request).get("authorization")
    if given is None:
        return False
    login = get_netrc_auth(request.url or "")
    return login is None or given[1] != _basic_auth_str(*login)


def authorization_of(request: PreparedRequest) -> object:
    """The Authorization header as it stands there, None where there is none."""
    given = _store(request).get("authorization")
    return given and given[1]


def has_key(request: PreparedRequest) -> bool:
    """Whether the caller set an Idempotency-Key."""
    return _KEY.lower() in _store(request)


def lacks_key(request: PreparedRequest) -> bool:
    """Whether a key would make it repeatable, and the caller set none."""
    return (request.method or "").upper() in _KEYED and not has_key(request)


def new_key() -> str:
    """A key nobody else has: a structured field of type String, so in quotes."""
    return f'"{uuid4()}"'


def keyed(request: PreparedRequest, key: str) -> PreparedRequest:
    """A copy with our key."""
    other = with_own_headers(request)
    other.headers[_KEY] = key
    return other


class Cookies:
    """The cookies that failed attempts of one call set, within a bound."""

    def __init__(self) -> None:
        """None yet."""
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
        """The request with these cookies too; a Cookie header the caller wrote is the caller's."""
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
    """The cookies that requests made the header from; it keeps them nowhere else."""
    jar = request._cookies  # noqa: SLF001
    return RequestsCookieJar() if jar is None else jar


def _set_cookies(message: Message | None) -> list[str]:
    return [] if message is None else message.get_all("Set-Cookie") or []


def _message(response: Response) -> Message | None:
    """The headers that requests reads cookies from."""
    message = getattr(getattr(response.raw, "_original_response", None), "msg", None)
    return message if isinstance(message, Message) else None
