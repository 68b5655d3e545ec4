"""The demonstration: what the one line does, on the real httpbin, with every claim checked."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

import requests

from .._call.explanation import attempts, explain
from .._clock import SystemClock
from .._install.mount import mount
from .._settings import Settings
from ._screen import columns, write
from .demo_server import DemoServer, httpbin, serve

if TYPE_CHECKING:
    from typing import TextIO

INTRODUCTION = """\
The real httpbin application serves at url = "{url}", behind a \
server that revokes tokens and fails on request. The second line is all you add:"""
CODE = """
  session = requests.Session()
  mount(session, Settings(token=fetch_token, origins=[url]))

  GET /bearer          calls of bare requests  one call with that line"""
EXPLANATION = "What happened in that last call, as explain(response) tells it:"
SUCCESS = "Everything worked."

LIMIT = 1
"""Seconds that the rate limit asks for, really waited."""

TIMEOUT = 10
"""Seconds for any answer of a server on this machine."""


class Fault(Exception):  # noqa: N818 (what is at fault is this library)
    """A claim that does not hold."""


@dataclass(frozen=True)
class Scene:
    """One kind of trouble.

    Attributes:
        name: What it is called on the screen.
        canned: The statuses that the server gives before it lets a request through.
        stale: Whether the session's token is revoked first.
    """

    name: str
    canned: tuple[int, ...] = ()
    stale: bool = False

    @property
    def refusals(self) -> list[int]:
        """The statuses that the server gives, request by request, before the real answer."""
        return [*self.canned, *[401] * self.stale]

    @property
    def least_wait(self) -> int:
        """Seconds that a client has to wait at least."""
        return LIMIT * self.canned.count(429)


SCENES = (
    Scene("a stale token", stale=True),
    Scene(f"a rate limit of {LIMIT} s", canned=(429,)),
    Scene("a failing server", canned=(503, 503)),
    Scene("all of it at once", canned=(429, 503, 503), stale=True),
)


def demonstrate() -> int:
    """Play every scene on standard output; write a fault to standard error, in one line.

    Returns:
        The exit status.
    """
    try:
        run(sys.stdout)
    except (Fault, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def run(out: TextIO) -> None:
    """Play every scene and show its outcome.

    Args:
        out: Where the lines go, one after another as they come true.

    Raises:
        Fault: Something did not go as claimed.
        ImportError: The ``demo`` extra is not installed; the message has the command that does it.
    """
    demo_server = DemoServer(httpbin())
    demo_server.guarded = True
    with serve(demo_server) as url, requests.Session() as session:
        # Proxies and passwords of this machine are none of the demonstration's business.
        session.trust_env = False
        fetch_token = demo_server.issue
        mount(session, Settings(token=fetch_token, origins=[url]))
        write(wrap(INTRODUCTION.format(url=url), columns(out)), out)
        write(CODE.splitlines(), out)
        try:
            _expect("with a fresh token", "the status", 200, _get(session, url).status_code)
            for scene in SCENES:
                refusals = " ".join(map(str, _bare(scene, demo_server, url)))
                response, told = _mounted(scene, demo_server, session, url)
                write([f"  {scene.name:20} {refusals:23} {told}"], out)
        except requests.RequestException as error:
            raise Fault(f"A call failed: {error!r}") from error
        explained = [f"  {line}" for line in str(explain(response)).splitlines()]
        write(["", EXPLANATION, "", *explained, "", SUCCESS], out)


def _bare(scene: Scene, demo_server: DemoServer, url: str) -> list[int]:
    """Return the statuses that bare requests gets, until the trouble is over."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {demo_server.issue()}"
        _make_trouble(scene, demo_server)
        came = [_get(session, url).status_code for _ in scene.refusals]
    _expect(scene.name, "what bare requests gets", scene.refusals, came)
    return came


def _mounted(
    scene: Scene, demo_server: DemoServer, session: requests.Session, url: str
) -> tuple[requests.Response, str]:
    """Make one call with the mounted session; return the answer, and words on how it came."""
    clock = SystemClock()
    _make_trouble(scene, demo_server)
    seen, issued, began = len(demo_server.seen), demo_server.issued, clock.time()
    response = _get(session, url)
    took, renewals = clock.time() - began, demo_server.issued - issued
    # A server counts from its refusal, and so before the answer was read.
    waited = sum(attempt.elapsed + attempt.delay for attempt in attempts(response))
    came = [request.status for request in demo_server.seen[seen:]]
    _expect(scene.name, "what the server said", [*scene.refusals, 200], came)
    _expect(scene.name, "the status", 200, response.status_code)
    answer = {key: value for key, value in response.json().items() if key != "token"}
    _expect(scene.name, "the answer", {"authenticated": True}, answer)
    _expect(scene.name, "the number of renewals", int(scene.stale), renewals)
    least = scene.least_wait
    _expect(scene.name, "the least wait in seconds", least, min(least, took, waited))
    told = [str(response.status_code)]
    told += [f"waited {waited:.2f} s"] * bool(scene.canned)
    told += ["token renewed"] * renewals
    return response, ", ".join(told)


def _make_trouble(scene: Scene, demo_server: DemoServer) -> None:
    if scene.stale:
        demo_server.revoke()
    for status in scene.canned:
        demo_server.answer(status, [("Retry-After", str(LIMIT))] if status == 429 else [])  # noqa: PLR2004


def _get(session: requests.Session, url: str) -> requests.Response:
    return session.get(f"{url}/bearer", timeout=TIMEOUT)


def _expect(where: str, what: str, expected: object, found: object) -> None:
    if found != expected:
        raise Fault(f"This did not work: {where}: {what} should be {expected}, but is {found}.")
