"""Authorization servers that answer from a script, and what can be seen of a source then."""

from __future__ import annotations

import json
import logging
import threading
import traceback
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
import requests
from joserfc import jws

import requests_authretry
from requests_authretry import (
    Backoff,
    FetchContext,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Token,
    mount,
)
from requests_authretry.oauth2 import Client
from requests_authretry.testing import FakeClock, ScriptedAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest

    from requests_authretry.testing import Line

ISSUER = "https://login.example.com"
TOKEN_URL = f"{ISSUER}/token"
API = "https://api.example.com"

CLIENT_SECRET = "client+secret/4be19c=="
REFRESH = "refresh-2c77ad01b5"
PASSWORD = "lovelace&77d0 52"
ACCESS = "access-90ab3e77f1"
SECRETS = (CLIENT_SECRET, REFRESH, PASSWORD, ACCESS)

JSON = {"Content-Type": "application/json"}
AT_ONCE = RetryPolicy(backoff=Backoff(initial=0.0, throttled_initial=0.0, unreachable_initial=0.0))
ONCE = RetryPolicy(max_attempts=1)

NO_BUNDLE = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""With one of these, requests looks past ``session.verify``."""

_OURS = str(Path(requests_authretry.__file__).parent)


def says(fields: object, status: int = 200, **headers: str) -> Line:
    """An answer in JSON, or in these bytes."""
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return (
        status,
        {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}},
        body,
    )


def gives(**fields: object) -> Line:
    """A good answer, with other fields."""
    return says({"access_token": ACCESS, "token_type": "Bearer", "expires_in": 60} | fields)


def refuses(error: str, status: int = 400, **fields: object) -> Line:
    """An error as RFC 6749 section 5.2 has it."""
    return says({"error": error} | fields, status)


class Authority:
    """An authorization server that answers from a script, on a clock that moves by itself.

    Attributes:
        clock: The clock.
        session: A session that leads to it, whatever the URL.
    """

    def __init__(self, *script: Line) -> None:
        """Begin at the first line."""
        self.clock = FakeClock()
        self.session = requests.Session()
        self._below = ScriptedAdapter(*script)
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, self._below)

    def client(self, secret: str | None = CLIENT_SECRET, **options: Any) -> Client:
        """A client of it, which knows the token endpoint unless an issuer is given."""
        where = {} if "issuer" in options else {"token_url": TOKEN_URL}
        return Client("my-app", secret, **{"session": self.session, **where, **options})

    def context(self, **changes: Any) -> FetchContext:
        """What a source is told, with this clock."""
        return FetchContext(**{"stale": None, "timeout": 60.0, "clock": self.clock, **changes})

    @property
    def sent(self) -> list[PreparedRequest]:
        """What it was asked, as it was sent."""
        return self._below.sent

    @property
    def forms(self) -> list[dict[str, str]]:
        """The forms among that."""
        return [form(request) for request in self.sent if request.method == "POST"]


def form(request: PreparedRequest) -> dict[str, str]:
    """The form that a request brings; each field once."""
    pairs = parse_qsl(str(request.body), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs), "a field comes twice (RFC 6749 section 3.2)"
    assert str(request.headers["Content-Type"]) == "application/x-www-form-urlencoded"
    assert int(request.headers["Content-Length"]) == len(str(request.body))
    return dict(pairs)


def header_of(jwt: str) -> dict[str, Any]:
    """What stands in the header of a JWT; nothing is verified."""
    return jws.extract_compact(jwt.encode()).headers()


def claims_of(jwt: str) -> dict[str, Any]:
    """What a JWT claims; nothing is verified."""
    claims: dict[str, Any] = json.loads(jws.extract_compact(jwt.encode()).payload)
    return claims


def failure(source: Any, context: FetchContext) -> RefreshFailed:
    """The error that a source fails with: a `RefreshFailed`, and no other."""
    with pytest.raises(RefreshFailed) as caught:
        source.fetch(context)
    return caught.value


def outcome_of(source: Any, context: FetchContext) -> Token | RefreshFailed:
    """What comes of asking a source; any other exception is a fault of the library."""
    try:
        token = source.fetch(context)
    except RefreshFailed as error:
        return error
    assert isinstance(token, Token)
    return token


@contextmanager
def logged() -> Iterator[StringIO]:
    """All that anybody logs, at whatever level."""
    root, text = logging.getLogger(), StringIO()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def told_by(error: BaseException) -> str:
    """All that an exception says of itself: message, repr, and the text of its traceback."""
    words = [text for each in _chain(error) for text in (str(each), repr(each), repr(each.args))]
    return "\n".join([*traceback.format_exception(error), *words])


def shown_by(error: BaseException) -> str:
    """What a reporter of exceptions shows besides: the locals of our code."""
    frames = [frame for each in _chain(error) for frame, _ in traceback.walk_tb(each.__traceback__)]
    ours = [frame for frame in frames if frame.f_code.co_filename.startswith(_OURS)]
    return "\n".join(_repr(value) for frame in ours for value in frame.f_locals.values())


def _repr(value: object) -> str:
    try:
        return repr(value)
    except (AttributeError, TypeError):  # half made
        return object.__repr__(value)


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is not None and each not in chain:
            chain.append(each)
            pending += [each.__cause__, each.__context__]
    return chain


def leaks(text: str) -> list[str]:
    """The secrets that a text shows."""
    return [secret for secret in SECRETS if secret in text]


def mounted(source: Any, url: str, **settings: Any) -> requests.Session:
    """A session whose calls to this URL carry the tokens of a source."""
    session = requests.Session()
    mount(session, Settings(token=source, origins=[url], **{"retry": AT_ONCE, **settings}))
    return session


def ended_renewals() -> None:
    """Wait for the renewals that are under way."""
    for thread in threading.enumerate():
        if thread.name == "requests_authretry renewal":
            thread.join(120)
            assert not thread.is_alive(), "a renewal goes on for ever"


@contextmanager
def held(session: requests.Session) -> Iterator[threading.Event]:
    """Let answers come, and keep them back until the event is set; it is, in the end."""
    release = threading.Event()
    for prefix, adapter in list(session.adapters.items()):
        session.mount(prefix, _Held(adapter, release))
    try:
        yield release
    finally:
        release.set()


class _Held(requests.adapters.BaseAdapter):
    """An adapter whose answers are late."""

    def __init__(self, below: requests.adapters.BaseAdapter, release: threading.Event) -> None:
        super().__init__()
        self._below, self._release = below, release

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        response = self._below.send(request, *args, **options)
        assert self._release.wait(120)
        return response

    def close(self) -> None:
        self._below.close()
