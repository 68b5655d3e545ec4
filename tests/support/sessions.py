"""Sessions to test with: over a scripted adapter on a fake clock, or over real sockets."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from requests.adapters import BaseAdapter

from requests_authretry import AuthRetryAdapter, Backoff, RetryPolicy, Settings
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.wire import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

    from requests_authretry._events import Event
    from requests_authretry.testing import Line

API = "https://api.example.com"
SECRET = "first-5f0ab3c9d1e24786"
"""The token that sessions of `Rig` begin with."""

AT_ONCE = Backoff(initial=0.0, throttled_initial=0.0, unreachable_initial=0.0)

Kind = TypeVar("Kind")
Result = TypeVar("Result")


class Rig:
    """A session whose every answer is scripted and whose time is fake.

    Attributes:
        clock: The fake clock; `waits` are the waits that were asked for.
        inner: The scripted adapter; ``inner.sent`` are the requests as they went out.
        events: What the listeners were told.
        session: The session, with our adapter at both schemes.
    """

    def __init__(self, *script: Line, **settings: Any) -> None:
        """Mount one adapter for everything."""
        self.clock = FakeClock()
        self.inner = ScriptedAdapter(*script)
        self.events: list[Event] = []
        settings.setdefault("clock", self.clock)
        settings.setdefault("listeners", [self.events.append])
        self.adapter = AuthRetryAdapter(Settings(**settings), inner=self.inner)
        self.session = with_adapter(self.adapter)

    def get(self, path: str = "/", **options: Any) -> requests.Response:
        """GET a path of the API, or a whole URL."""
        return self.session.get(path if "://" in path else API + path, **options)

    @property
    def waits(self) -> list[float]:
        """The waits that were asked for, in seconds."""
        return self.clock.sleeps

    @property
    def carried(self) -> list[str | None]:
        """The Authorization header of each request that went out."""
        return [authorization(request) for request in self.inner.sent]

    def told(self, kind: type[Kind]) -> list[Kind]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


class Recorder(BaseAdapter):
    """An inner adapter that answers 200 and keeps what it was given.

    Attributes:
        options: The keyword arguments of each ``send``.
    """

    def __init__(self, *script: Line) -> None:
        """Answer from this script first."""
        super().__init__()
        self.options: list[dict[str, Any]] = []
        self._inner = ScriptedAdapter(*script)

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Keep the options and answer."""
        self.options.append(options)
        return self._inner.send(request, *args, **options)

    def close(self) -> None:
        """Nothing to close."""


def with_adapter(adapter: BaseAdapter) -> requests.Session:
    """A session that sends everything through one adapter."""
    session = requests.Session()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def real(*, pool: dict[str, Any] | None = None, **settings: Any) -> requests.Session:
    """A session over real sockets, which retries without waiting unless told otherwise."""
    settings.setdefault("retry", RetryPolicy(backoff=AT_ONCE))
    return with_adapter(AuthRetryAdapter(Settings(**settings), **pool or {}))


def ended(work: Callable[[], Result]) -> Result:
    """Do work that may hang for ever, and fail if it does.

    Raises:
        TimeoutError: It has not ended after `PATIENCE`.
        Exception: Whatever the work raises.
    """
    result = Future[Result]()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 (handed on)
            result.set_exception(error)

    # one that hangs does not keep the tests from ending
    Thread(target=run, daemon=True).start()
    return result.result(PATIENCE)


def authorization(request: PreparedRequest) -> str | None:
    """The Authorization header a request carries, as text."""
    value = request.headers.get("Authorization")
    return value if value is None else str(value)


def raised(
    session: requests.Session, url: str, method: str = "GET", **options: Any
) -> requests.RequestException:
    """The exception of requests that a request raises."""
    try:
        session.request(method, url, **options)
    except requests.RequestException as error:
        return error
    raise AssertionError("nothing was raised")
