"""Ten situations of a client of HTTP APIs, and two questions about the log, for several libraries.

Each library is set up as its documentation recommends, with the same time limits, and meets a real
server on loopback. `worth` is the code that users of tenacity and stamina write themselves, as
these two know nothing of HTTP. What is not installed is left out.

    pip install --editable . --group compared
    python benchmarks/compared.py            # run all, and show: about two minutes, mostly waiting
    python benchmarks/compared.py --write    # and put the table into docs/compared.md
"""
# ruff: noqa: INP001, T201, PLR2004 (a script, its output is its result, with small numbers)

from __future__ import annotations

import inspect
import logging
import platform
import re
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from email.utils import formatdate, parsedate_to_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from requests_authretry import RetryPolicy, Settings, mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Send = Callable[[str, str], int]
    """Sends a method to a URL, and returns the status that came in the end."""

    Peer = Callable[[str, "Tokens | None"], Send]
    """Makes a function that sends, from the URL of a server and the tokens, if there are any."""

PAGE: Final = Path(__file__).parents[1] / "docs" / "compared.md"
BEGIN, END = "<!-- the table of benchmarks/compared.py -->", "<!-- end of the table -->"

DEADLINE: Final = 10.0
"""Seconds that a call may take, where a library can be told so."""

TIMEOUT: Final = 5.0
"""Seconds for each connect and read."""

PATIENCE: Final = 12.0
"""Seconds after which a call counts as still waiting."""

THREADS: Final = 8
SECRET: Final = "sesame-opens-it"  # noqa: S105 (it opens nothing)
IDEMPOTENT: Final = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"}

# The libraries.


@dataclass
class Tokens:
    """A token, and what makes new ones. It counts the renewals."""

    current: str = "expired"
    renewals: int = 0

    def renew(self) -> str:
        """Return a new token, after the time that a token endpoint takes."""
        self.renewals += 1
        number = self.renewals
        time.sleep(0.2)
        self.current = f"fresh-{number}"
        return self.current


def ours(url: str, tokens: Tokens | None) -> Send:
    """Our one line, with the time limits that all have here."""
    session = requests.Session()
    session.trust_env = False
    credential: dict[str, Any] = {}
    if tokens:  # the header that the program has set so far is the first token
        session.headers["Authorization"] = f"Bearer {tokens.current}"
        credential = {"token": tokens.renew, "origins": [url], "adopt": ["authorization"]}
    mount(session, Settings(timeout=TIMEOUT, retry=RetryPolicy(deadline=DEADLINE), **credential))
    return lambda method, address: session.request(method, address).status_code


def urllib3_retry(url: str, tokens: Tokens | None) -> Send:
    """An adapter of requests with urllib3's `Retry`; it has no token renewal and no deadline."""
    del url
    session = requests.Session()
    session.trust_env = False
    statuses = [429, 500, 502, 503, 504]
    retry = Retry(total=5, backoff_factor=0.5, status_forcelist=statuses)
    if "retry_after_max" in inspect.signature(Retry).parameters:
        retry = Retry(
            total=5, backoff_factor=0.5, status_forcelist=statuses, retry_after_max=int(DEADLINE)
        )
    session.mount("http://", HTTPAdapter(max_retries=retry))

    def send(method: str, address: str) -> int:
        headers = {"Authorization": f"Bearer {tokens.current}"} if tokens else {}
        return session.request(method, address, headers=headers, timeout=TIMEOUT).status_code

    return send


def worth(error: BaseException, *, is_safe: bool) -> bool | float:
    """Whether an attempt is worth another one, or the seconds that the server asks to wait."""
    response = getattr(error, "response", None)
    if response is None:
        kinds = (requests.ConnectionError, requests.Timeout)
        is_lost = isinstance(error, (*kinds, requests.exceptions.ChunkedEncodingError))
        return is_safe and is_lost
    if response.status_code == 401:
        return True
    if response.status_code != 429 and not (is_safe and response.status_code in range(500, 505)):
        return False
    asked = response.headers.get("Retry-After", "")
    if asked.isdigit():
        return float(asked)
    with suppress(ValueError):
        return max(parsedate_to_datetime(asked).timestamp() - time.time(), 0.0)
    return True


def checked(tokens: Tokens | None) -> Send:
    """Return a function that sends once and raises, which tenacity and stamina repeat."""
    session = requests.Session()
    session.trust_env = False

    def send(method: str, address: str) -> int:
        sent = tokens.current if tokens else ""
        headers = {"Authorization": f"Bearer {sent}"} if tokens else {}
        response = session.request(method, address, headers=headers, timeout=TIMEOUT)
        if response.status_code == 401 and tokens:
            tokens.renew()
        response.raise_for_status()
        return response.status_code

    return send


def by_method(safe: Send, other: Send) -> Send:
    """Return a function that sends through one of two."""
    return lambda method, address: (safe if method in IDEMPOTENT else other)(method, address)


def tenacity(url: str, tokens: Tokens | None) -> Send:
    """The decorator, with the log line of its documentation."""
    import tenacity as library

    del url
    backoff = library.wait_random_exponential(multiplier=0.5, max=5)

    def decorated(*, is_safe: bool) -> Send:
        def wait(state: Any) -> float:
            asked = worth(state.outcome.exception(), is_safe=is_safe)
            return backoff(state) if asked is True else float(asked)

        decorate = library.retry(
            retry=library.retry_if_exception(
                lambda error: worth(error, is_safe=is_safe) is not False
            ),
            wait=wait,
            stop=library.stop_after_attempt(6) | library.stop_before_delay(DEADLINE),
            before_sleep=library.before_sleep_log(logging.getLogger("tenacity"), logging.INFO),
            reraise=True,
        )
        result: Send = decorate(checked(tokens))
        return result

    return by_method(decorated(is_safe=True), decorated(is_safe=False))


def stamina(url: str, tokens: Tokens | None) -> Send:
    """The decorator, with a backoff hook."""
    import stamina as library

    del url

    def decorated(*, is_safe: bool) -> Send:
        on = partial(worth, is_safe=is_safe)
        decorate = library.retry(on=on, attempts=6, timeout=DEADLINE, wait_initial=0.5)
        result: Send = decorate(checked(tokens))
        return result

    return by_method(decorated(is_safe=True), decorated(is_safe=False))


def httpx_retries(url: str, tokens: Tokens | None) -> Send:
    """The transport, and the authentication flow that the documentation of httpx shows."""
    import httpx
    import httpx_retries as library

    del url

    class Renewing(httpx.Auth):
        def auth_flow(self, request: Any) -> Any:
            assert tokens is not None  # noqa: S101 (for the type checker)
            request.headers["Authorization"] = f"Bearer {tokens.current}"
            response = yield request
            if response.status_code == 401:
                request.headers["Authorization"] = f"Bearer {tokens.renew()}"
                yield request

    retry = library.Retry(
        total=5,
        backoff_factor=0.5,
        status_forcelist=[429, 500, 502, 503, 504],
        total_timeout=DEADLINE,
    )
    client = httpx.Client(
        transport=library.RetryTransport(retry=retry),
        timeout=TIMEOUT,
        trust_env=False,
        auth=Renewing() if tokens else None,
    )
    return lambda method, address: client.request(method, address).status_code


PEERS: Final[dict[str, Peer]] = {
    "requests-authretry": ours,
    "urllib3": urllib3_retry,
    "tenacity": tenacity,
    "stamina": stamina,
    "httpx-retries": httpx_retries,
}
"""The libraries, by the names of their packages."""


# The server.


@dataclass
class Request:
    """One request as the server saw it."""

    method: str
    at: float
    authorization: str


@dataclass
class Server:
    """A server on loopback that answers by a rule.

    Args:
        rule: Given the requests so far, the last one included, returns a status and headers; None
            for an answer that is cut.
    """

    rule: Callable[[list[Request]], tuple[int, dict[str, str]] | None]
    seen: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def serving(self, bound: socket.socket | None = None) -> Iterator[str]:
        """Serve, and give the URL; on a socket that has its port already, if there is one."""
        handler = self._handler()
        serving = ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
        if bound is None:
            serving.server_bind()
        else:
            serving.socket.close()
            serving.socket, serving.server_address = bound, bound.getsockname()
        serving.server_activate()
        serving.daemon_threads = True
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_address[1]}"
        finally:
            serving.shutdown()
            serving.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with server.lock:
                    told = self.headers.get("Authorization", "")
                    server.seen.append(Request(self.command, time.monotonic(), told))
                    answer = server.rule(server.seen)
                status, headers = answer or (200, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2" if answer else "1000")
                self.end_headers()
                self.wfile.write(b"ok")
                if answer is None:
                    self.close_connection = True

            do_GET = do_POST = do  # noqa: N815 (the names that http.server calls)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def after(count: int, status: int, **headers: str) -> Callable[[list[Request]], Any]:
    """Return a rule: so many answers with this status, then 200."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda seen: (status, named) if len(seen) <= count else (200, {})


# The situations.


@dataclass(frozen=True)
class Ended:
    """How a call ended."""

    what: str
    seconds: float

    @property
    def is_ok(self) -> bool:
        """Whether it brought what it was made for."""
        return self.what == "200"


@dataclass(frozen=True)
class Outcome:
    """What a library made of a situation."""

    is_good: bool
    text: str

    def __str__(self) -> str:
        return f"{'yes' if self.is_good else 'no'}: {self.text}"


def ended(send: Send, method: str, url: str) -> Ended:
    """Make one call, and say how it ended; give up on it after `PATIENCE`."""
    result: list[str] = []

    def work() -> None:
        try:
            result.append(str(send(method, url)))
        except Exception as error:  # noqa: BLE001 (whatever a library raises)
            status = getattr(getattr(error, "response", None), "status_code", None)
            result.append(f"{type(error).__name__}{f' {status}' if status else ''}")

    thread = threading.Thread(target=work, daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(PATIENCE)
    return Ended(result[0] if result else "still waiting", time.monotonic() - began)


def one(peer: Peer, rule: Any, method: str = "GET") -> tuple[Ended, list[Request]]:
    """Make one call to a server with this rule."""
    server = Server(rule)
    with server.serving() as url:
        return ended(peer(url, None), method, url + "/"), server.seen


def gap(seen: list[Request]) -> float:
    """Return the seconds between the first two requests."""
    return seen[1].at - seen[0].at if len(seen) > 1 else 0.0


def told(call: Ended, seen: list[Request]) -> str:
    """Say how a call ended, in how many requests, and after how many seconds."""
    count = "1 request" if len(seen) == 1 else f"{len(seen)} requests"
    return f"{call.what}, {count}, {call.seconds:.1f} s"


def retry_after_seconds(peer: Peer) -> Outcome:
    """A 429 with `Retry-After: 1`: is the next request sent after a second?"""
    call, seen = one(peer, after(1, 429, Retry_After="1"))
    return Outcome(call.is_ok and 1.0 <= gap(seen) < 2.0, told(call, seen))


def retry_after_date(peer: Peer) -> Outcome:
    """A 503 with a date in `Retry-After`: is the next request sent then, and not before?"""
    until = int(time.time()) + 3
    call, seen = one(peer, after(1, 503, Retry_After=formatdate(until, usegmt=True)))
    late = time.time() - time.monotonic() + seen[-1].at - until
    return Outcome(call.is_ok and -0.01 <= late < 1.0, told(call, seen))


def once_503(peer: Peer) -> Outcome:
    """A GET that is answered 503 once: does the call succeed?"""
    call, seen = one(peer, after(1, 503))
    return Outcome(call.is_ok, told(call, seen))


def post_503(peer: Peer) -> Outcome:
    """A POST that is answered 503: is it sent only once?"""
    call, seen = one(peer, after(1, 503), "POST")
    return Outcome(len(seen) == 1, told(call, seen))


def post_429(peer: Peer) -> Outcome:
    """A POST that is answered 429, so was not processed: is it sent again when the server says?"""
    call, seen = one(peer, after(1, 429, Retry_After="1"), "POST")
    return Outcome(call.is_ok and gap(seen) >= 1.0, told(call, seen))


def lost(peer: Peer) -> Outcome:
    """A GET whose answer is cut in its body: does the call succeed?"""
    call, seen = one(peer, lambda seen: None if len(seen) == 1 else (200, {}))
    return Outcome(call.is_ok, told(call, seen))


def restart(peer: Peer) -> Outcome:
    """A server that refuses connections for 1.5 s: does a GET outlast it?"""
    server = Server(after(0, 200))
    with ExitStack() as stack:
        bound = socket.socket()  # which refuses connections until it listens
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        send = peer(url, None)
        starting = threading.Timer(1.5, lambda: stack.enter_context(server.serving(bound)))
        starting.start()
        call = ended(send, "GET", url + "/")
        starting.join()
    return Outcome(call.is_ok, told(call, server.seen) if server.seen else f"{call.what}, not sent")


def expired(peer: Peer) -> Outcome:
    """An expired token, and eight threads that get a 401: is it renewed once, do all succeed?"""
    tokens = Tokens()

    def rule(seen: list[Request]) -> tuple[int, dict[str, str]]:
        is_fresh = seen[-1].authorization.startswith("Bearer fresh")
        return (200, {}) if is_fresh else (401, {"WWW-Authenticate": "Bearer"})

    with Server(rule).serving() as url, ThreadPoolExecutor(THREADS) as pool:
        send = peer(url, tokens)
        calls = list(pool.map(lambda _: ended(send, "GET", url + "/"), range(THREADS)))
    good, renewals = sum(call.is_ok for call in calls), tokens.renewals
    text = f"{renewals} renewal{'' if renewals == 1 else 's'}, {good} of {THREADS} succeed"
    return Outcome(renewals == 1 and good == THREADS, text)


def too_long(peer: Peer) -> Outcome:
    """A 429 that asks for an hour, and a call that may take 10 s: does it end without waiting?"""
    call, seen = one(peer, after(99, 429, Retry_After="3600"))
    return Outcome(call.seconds < 1.0 and len(seen) == 1, told(call, seen))


def rate_limit(peer: Peer) -> Outcome:
    """Eight threads, 40 calls, a limit of 5 a second: do all succeed? How many are refused?"""
    refused = [0]

    def rule(seen: list[Request]) -> tuple[int, dict[str, str]]:
        now = seen[-1].at
        if len([at for at in passed if now - at < 1.0]) < 5:
            passed.append(now)
            return 200, {}
        refused[0] += 1
        return 429, {"Retry-After": "1"}

    passed: list[float] = []
    with Server(rule).serving() as url, ThreadPoolExecutor(THREADS) as pool:
        send = peer(url, None)
        began = time.monotonic()
        calls = list(pool.map(lambda _: ended(send, "GET", url + "/"), range(40)))
        seconds = time.monotonic() - began
    good = sum(call.is_ok for call in calls)
    text = f"{refused[0]} refusals, {good} of 40 succeed, {seconds:.0f} s"
    return Outcome(good == 40, text)


SITUATIONS: Final[tuple[Callable[[Peer], Outcome], ...]] = (
    retry_after_seconds,
    retry_after_date,
    once_503,
    post_503,
    post_429,
    lost,
    restart,
    expired,
    too_long,
    rate_limit,
)


# What the log says, one library after the other: they share the log of the process.


_USUAL: Final = vars(logging.makeLogRecord({}))
"""What each record of the log has."""


class _Lines(logging.Handler):
    """Keeps the lines of the log, and what a log in JSON shows besides."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        extra = {name: value for name, value in vars(record).items() if name not in _USUAL}
        self.lines.append((record.getMessage(), str(extra)))


@contextmanager
def logged() -> Iterator[list[tuple[str, str]]]:
    """Give the lines that a program with an INFO log has."""
    handler, root = _Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def secret(peer: Peer) -> Outcome:
    """A key in the query, and a server that answers 503: is it absent from the log (INFO)?"""
    server = Server(after(1, 503, Retry_After="1"))
    with server.serving() as url, logged() as lines:
        ended(peer(url, None), "GET", f"{url}/?api_key={SECRET}")
    if any(SECRET in line for line, _ in lines):
        return Outcome(is_good=False, text="it is in the line")
    if any(SECRET in extra for _, extra in lines):
        return Outcome(is_good=False, text="it is in the extra fields of the line")
    return Outcome(is_good=True, text="it logs without" if lines else "it logs nothing")


def visible(peer: Peer) -> Outcome:
    """A wait of 2 s: does a program with an INFO log show it while it lasts?"""
    with logged() as lines:
        one(peer, after(1, 429, Retry_After="2"))
    telling = [line for line, _ in lines if not line.startswith("HTTP Request:")]
    return Outcome(bool(telling), "a log line" if telling else "nothing is logged")


IN_TURN: Final[tuple[Callable[[Peer], Outcome], ...]] = (secret, visible)


# Run all, and show.


def installed() -> dict[str, str]:
    """Return the versions of the libraries that are there, by their names."""
    found = {}
    for name in PEERS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def run(names: list[str]) -> dict[str, list[str]]:
    """Return the cells of each row, by its question: all situations of one library at a time."""
    rows: dict[str, list[str]] = {str(each.__doc__): [] for each in (*SITUATIONS, *IN_TURN)}
    for name in names:
        peer = PEERS[name]
        with ThreadPoolExecutor(len(SITUATIONS)) as pool:
            cells = list(pool.map(lambda each, peer=peer: str(each(peer)), SITUATIONS))
        cells += [str(each(peer)) for each in IN_TURN]
        for row, cell in zip(rows.values(), cells, strict=True):
            row.append(cell)
    return rows


def table(found: dict[str, str], rows: dict[str, list[str]]) -> str:
    """Return the table for the page, with the date and the versions."""
    used = [*found, "requests", *(["httpx"] if "httpx-retries" in found else [])]
    versions = ", ".join(f"{name} {version(name)}" for name in used)
    today = date.today().isoformat()  # noqa: DTZ011 (for people)
    lines = [
        f"Run on {today} with {versions}, on Python {platform.python_version()}:",
        "",
        f"| situation | {' | '.join(found)} |",
        f"|---|{'---|' * len(found)}",
    ]
    lines += [f"| {question} | {' | '.join(cells)} |" for question, cells in rows.items()]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Run, show, and with ``--write`` put the table into the page."""
    found = installed()
    text = table(found, run(list(found)))
    print(text)
    if "--write" in arguments:
        page = PAGE.read_text(encoding="utf-8")
        between = f"{BEGIN}\n{text}\n{END}"
        pattern = re.escape(BEGIN) + ".*" + re.escape(END)
        PAGE.write_text(re.sub(pattern, lambda _: between, page, flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
