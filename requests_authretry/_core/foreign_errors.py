"""What an exception of the user's code says: whether its trouble passes, and what may be shown.

Its classes are known by their names, so that no library is imported that the user's code may use.
"""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from .bounds import FIELD
from .headers.names import KNOWN
from .headers.rate_limit_fields import read_limits
from .headers.retry_after import read_outcome
from .http import FIRST_ERROR, STATUS_CODES
from .origin import redacted
from .records import CALL, STORY, Attempt, Failure, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHAIN_LIMIT = 20
"""Exceptions of one chain that are looked at."""

_MOST_LINES = 20
"""Lines of code that are named of one exception: the innermost ones."""

_OURS = __name__.partition(".")[0]

_CUT = {
    *("builtins.ConnectionError", "builtins.TimeoutError"),
    *("ssl.SSLEOFError", "ssl.SSLZeroReturnError"),
}
"""Python's own exceptions of a connection that was lost, refused or too slow."""

_PASSING = {
    *_CUT,
    "socket.gaierror",
    *("http.IncompleteRead", "http.BadStatusLine"),
    *("requests.ConnectionError", "requests.Timeout", "requests.ChunkedEncodingError"),
    *("urllib3.TimeoutError", "urllib3.ProtocolError", "urllib3.NewConnectionError"),
    *("httpx.TimeoutException", "httpx.NetworkError", "httpx.RemoteProtocolError"),
    *("httpcore.TimeoutException", "httpcore.NetworkError", "httpcore.RemoteProtocolError"),
    *("aiohttp.ClientConnectionError", "aiohttp.ClientPayloadError"),
}
"""Exceptions whose trouble may be over at the next attempt: top-level package and class.

Subclasses count, too.
"""

_LASTING = {
    *("requests.SSLError", "requests.ProxyError", "urllib3.SSLError", "urllib3.ProxyError"),
    "aiohttp.ClientSSLError",
}
"""Exceptions whose trouble lasts, as a TLS alert or a 407 does. They count before `_PASSING`,
unless one of `_CUT` is among the causes.
"""

_CERTIFICATE = {"ssl.SSLCertVerificationError"}

_UNREACHABLE = {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH}

_HEADERS = frozenset({*KNOWN, "age", "date"})

_SPEAKS_OF_THREADS = re.compile(r"\bthreads?\b|\bapartment\b|\bCoInitialize\b", re.IGNORECASE)
_LACKS_THREADS = re.compile(r"\bnew thread\b", re.IGNORECASE)


def outcome_of(error: BaseException, now: float) -> Outcome | None:
    """Return what an exception says of an attempt that failed; None if it is about no attempt.

    The status of an answer counts first, as ``raise_for_status`` of requests, httpx, aiohttp and
    urllib hand it on; then the classes of the exceptions that this one wraps or was raised from.

    Args:
        error: The exception; nothing of it is changed, and no text of it is read.
        now: The client's time, in POSIX seconds.
    """
    causes = list(_wrapped(error))
    for answer, status in filter(None, map(_answer, causes)):
        fields = _fields(answer)
        return read_outcome(status, fields, now, read_limits(fields, now))
    if _has_class(causes, _CERTIFICATE) or (
        _has_class(causes, _LASTING) and not _has_class(causes, _CUT)
    ):
        return None
    if _has_class(causes, _PASSING) or any(
        isinstance(cause, OSError) and cause.errno in _UNREACHABLE for cause in causes
    ):
        return Outcome(failure=Failure.LOST)
    return None


def attempts_of(error: BaseException) -> int:
    """Return how many attempts a session of ours has made before this exception; at least 1.

    They count as attempts of the caller, so that retries inside of retries do not multiply.
    """
    made = [1]
    for cause in _wrapped(error):
        steps, _ = _own(cause, STORY) or ((), 0.0)
        made.append(sum(isinstance(step, Attempt) for step in steps))
        call = _own(_get(cause, "response"), CALL)
        made.append(call.log.attempts if call else 0)
    return max(made)


def described(error: BaseException) -> str:
    """Return what may be shown of an exception and its causes: no text of theirs, which is foreign.

    It names their classes, the status and the address of an HTTP answer, and the lines of code.
    """
    return "\nfrom ".join(_told(each) for each in _chain(error))


def speaks_of_threads(error: BaseException) -> bool:
    """Whether an exception seems to say that an object is used in another thread than its own.

    The exceptions of sqlite3, Django's connections, tkinter, asyncio and Playwright do. They have
    no class in common.
    """
    for each in _chain(error):
        with suppress(Exception):  # `__str__` is foreign code
            said = str(each)
            if _SPEAKS_OF_THREADS.search(said) and not _LACKS_THREADS.search(said):
                return True
    return False


def _kind(error: BaseException) -> str:
    """Return the name of an exception's class with its module; Python's own have none."""
    kind = type(error)
    is_own = kind.__module__ == "builtins"
    return kind.__qualname__ if is_own else f"{kind.__module__}.{kind.__qualname__}"


def _told(error: BaseException) -> str:
    answer = _answer(error)
    url = _get(answer[0], "url") if answer else None
    came = f": {answer[1]}" if answer else ""
    came += f" from {redacted(url)}" if isinstance(url, str) else ""
    places = [
        f'\n  File "{code.co_filename}", line {line}, in {code.co_name}'
        for code, line, module in _lines(error)
        if module.partition(".")[0] != _OURS
    ]
    return "".join([_kind(error), came, *places[-_MOST_LINES:]])


def _lines(error: BaseException) -> Iterator[tuple[Any, int, str]]:
    """Yield the code, the line and the module of each frame that an exception went through."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        yield frame.f_code, trace.tb_lineno, str(frame.f_globals.get("__name__"))
        trace = trace.tb_next


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that Python shows with it, up to a bound."""
    return _followed(error, _shown_with)


def _shown_with(error: BaseException) -> list[BaseException | None]:
    is_hidden = error.__cause__ is not None or error.__suppress_context__
    return [error.__cause__ if is_hidden else error.__context__]


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it wraps or was raised from, up to a bound."""
    # requests and urllib3 wrap exceptions in `args` and in `reason`.
    return _followed(error, lambda each: [*each.args, _get(each, "reason"), each.__cause__])


def _followed(
    error: BaseException, following: Callable[[BaseException], list[Any]]
) -> Iterator[BaseException]:
    pending, seen = [error], {id(error)}
    for each in islice(pending, _CHAIN_LIMIT):
        yield each
        for other in following(each):
            if isinstance(other, BaseException) and id(other) not in seen:
                seen.add(id(other))
                pending.append(other)


def _has_class(causes: list[BaseException], names: set[str]) -> bool:
    kinds = {kind for cause in causes for kind in type(cause).__mro__}
    return not names.isdisjoint(
        f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}" for kind in kinds
    )


def _answer(error: BaseException) -> tuple[Any, int] | None:
    """Return the answer that an exception tells of, and its status; None if it tells of none."""
    response = _get(error, "response")
    found = [(response, _get(response, "status_code"))]
    found += [(error, _get(error, name)) for name in ("code", "status")]  # urllib, aiohttp
    for answer, status in found:
        is_status = isinstance(status, int) and status in STATUS_CODES and status >= FIRST_ERROR
        if is_status and hasattr(_get(answer, "headers"), "items"):
            return answer, int(status)
    return None


def _fields(answer: Any) -> dict[str, list[str]]:
    """Return the header fields of an answer that are read."""
    fields: dict[str, list[str]] = {}
    with suppress(Exception):  # a mapping of others
        for name, value in islice(answer.headers.items(), 2 * FIELD):
            key = str(name).lower()
            if key in _HEADERS and isinstance(value, str):
                # A number that is cut here still names a wait that is too long.
                fields.setdefault(key, []).append(value[:FIELD])
    return fields


def _get(thing: Any, name: str) -> Any:
    """Return an attribute of a foreign object; None without one, or where its code raises."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 (foreign code)
        return None


def _own(thing: Any, name: str) -> Any:
    """Return what stands in an object's own dictionary, where this library leaves its records."""
    return (_get(thing, "__dict__") or {}).get(name)
