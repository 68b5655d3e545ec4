"""Reading servers' limits through requests and urllib3."""

from __future__ import annotations

import gc
import weakref
from io import BytesIO
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from requests import Response
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ContentDecodingError, SSLError
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse
from urllib3 import exceptions as wire
from urllib3._collections import HTTPHeaderDict
from urllib3.util import Retry, Timeout

from requests_authretry import RateLimits, Reason, RetryScheduled
from requests_authretry._call import translate
from requests_authretry._call.translate import (
    MORE_CODINGS,
    body_error,
    failure_of,
    header_line,
    header_lines,
    is_cut_encoded,
    leave_connections,
    limited,
    no_retries,
    outcome_of,
    read_limit,
    reread,
    success_of,
    told_fields,
    would_retry,
)
from requests_authretry._core.bounds import FIELD
from requests_authretry._core.content_coding import decoded
from requests_authretry._core.headers.names import KNOWN
from requests_authretry._core.records import Failure, Limit, Outcome
from requests_authretry.testing import FakeClock
from tests.support.sessions import API, Rig, real

ALL = frozenset(KNOWN)
NOW = 1_750_000_000.0
TWO_LINES = [("RateLimit", '"a";r=1;t=2'), ("RATELIMIT", '"b";r=3;t=4'), ("Date", "x")]


def answer(headers: Any, raw: Any = None) -> Response:
    """Return an answer with these headers, from any kind of adapter."""
    response = Response()
    response.status_code = 200
    response.headers, response.raw = headers, raw
    return response


def over_urllib3(*lines: tuple[str, str]) -> Response:
    """Return an answer with these header lines, as requests makes it from urllib3's."""
    headers = HTTPHeaderDict()
    for name, value in lines:
        headers.add(name, value)
    return answer(CaseInsensitiveDict(headers), SimpleNamespace(headers=headers))


def limits_of(response: Any, clock: Any, names: frozenset[str]) -> tuple[Limit, ...]:
    """The limits of an answer below 400."""
    outcome = success_of(response, clock(), names) if told_fields(response, names) else None
    return () if outcome is None else outcome.limits


def test_limits_of_an_answer_over_urllib3() -> None:
    """Header lines are read one by one, with names in upper or lower case."""
    limits = (Limit(1, 2, "a"), Limit(3, 4, "b"))
    assert limits_of(over_urllib3(*TWO_LINES), lambda: NOW, ALL) == limits
    assert outcome_of(over_urllib3(*TWO_LINES), NOW, ALL).limits == limits


@pytest.mark.parametrize("kind", [HTTPHeaderDict, CaseInsensitiveDict])
def test_limits_of_an_answer_by_another_adapter(kind: Any) -> None:
    """Headers may be any case-insensitive mapping, without a urllib3 answer below it."""
    limits = limits_of(answer(kind({"RateLimit": '"a";r=1;t=2'})), lambda: NOW, ALL)
    assert limits == (Limit(1, 2, "a"),)


@pytest.mark.parametrize("kind", [HTTPHeaderDict, CaseInsensitiveDict])
def test_an_answer_that_says_nothing_is_not_looked_into(kind: Any) -> None:
    """An answer without any of the names has no header read; the raw answer is not touched."""
    silent = answer(kind({"Date": "x", "Age": "1", "Content-Type": "text/html"}))
    del silent.raw
    assert limits_of(silent, lambda: NOW, ALL) == ()
    assert limits_of(answer(kind({"RateLimit": '"a";r=1;t=2'})), lambda: NOW, frozenset()) == ()


def test_a_cached_answer_says_nothing() -> None:
    """`Age` and `Date` are read although the settings do not name them."""
    assert limits_of(over_urllib3(*TWO_LINES, ("Age", "7")), lambda: NOW, ALL) == ()
    dated = over_urllib3(
        ("X-RateLimit-Remaining", "1"),
        ("X-RateLimit-Reset", "1750003610"),
        ("Date", "Sun, 15 Jun 2025 16:06:40 GMT"),
    )
    assert limits_of(dated, lambda: NOW, ALL) == (Limit(1, 10),)


LINES = [
    ("Retry-After", "5"),
    ("retry-after-ms", "5"),
    ("x-should-retry", "false"),
    ("RateLimit", '"a";r=0;t=5'),
]


@pytest.mark.parametrize(("name", "value"), LINES)
def test_only_the_names_are_read(name: str, value: str) -> None:
    """A field that the settings do not name is ignored."""
    response = over_urllib3((name, value))
    response.status_code = 429
    assert outcome_of(response, NOW, ALL) != outcome_of(response, NOW, ALL - {name.lower()})
    assert outcome_of(response, NOW, ALL - {name.lower()}) == Outcome(429, throttled=True)


def test_only_the_names_of_limits_are_read() -> None:
    """A field with a limit is read if the settings name it, and so is a policy."""
    response = over_urllib3(
        ("RateLimit", '"a";r=1;t=2'),
        ("RateLimit-Policy", '"a";q=5;w=6'),
        ("Acme-RateLimit-Requests-Remaining", "3"),
        ("Acme-RateLimit-Requests-Reset", "10"),
    )
    added = {"acme-ratelimit-requests-remaining", "acme-ratelimit-requests-reset"}
    for names, limits in (
        (ALL, (Limit(1, 2, "a", 5, 6),)),
        (ALL | added, (Limit(1, 2, "a", 5, 6),)),
        (ALL - {"ratelimit-policy"}, (Limit(1, 2, "a"),)),
        (ALL - {"ratelimit"}, ()),
        ((ALL - {"ratelimit"}) | added, (Limit(3, 10),)),
        (frozenset[str](), ()),
    ):
        assert limits_of(response, lambda: NOW, names) == limits
        assert outcome_of(response, NOW, names).limits == limits


@pytest.mark.parametrize(("name", "value"), [*LINES, ("X-RateLimit-Remaining", "0")])
def test_a_long_field_is_not_read(name: str, value: str) -> None:
    """A field longer than a thousand characters, in one line or in many, is not read."""
    reset = ("X-RateLimit-Reset", "2")
    long = value.ljust(FIELD)
    read = outcome_of(over_urllib3((name, value), reset), NOW, ALL)
    assert read != Outcome(200)
    assert outcome_of(over_urllib3((name, long), reset), NOW, ALL) == read
    for lines in ([(name, f"{long} ")], [(name, value), (name, long)], [(name, "," * 65_536)]):
        assert outcome_of(over_urllib3(*lines, reset), NOW, ALL) == Outcome(200)
        assert limits_of(over_urllib3(*lines, reset), lambda: NOW, ALL) == ()


def test_a_403_as_github_has_it_is_waited_out() -> None:
    """A 403 with an exhausted limit is retried when the limit is reset, a POST too."""
    refused = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}
    rig = Rig((403, refused), 200)
    assert rig.session.post("https://api.example.com/").status_code == 200
    assert rig.waits == [30.0]
    assert [event.reason for event in rig.told(RetryScheduled)] == [Reason.THROTTLED]


def test_a_403_that_names_no_time_is_handed_out() -> None:
    """A 403 is a final answer, unless the server says that requests come too fast."""
    allowed = {"X-RateLimit-Remaining": "10", "X-RateLimit-Reset": "30"}
    rig = Rig((403, allowed))
    assert rig.get().status_code == 403
    assert rig.waits == []


def test_structured_fields_are_waited_out() -> None:
    """A 429 without Retry-After waits for the exhausted limit."""
    rig = Rig((429, {"RateLimit": '"burst";r=0;t=7, "daily";r=50;t=3600'}), 200)
    assert rig.get().status_code == 200
    assert rig.waits == [7.0]


def test_the_settings_say_what_is_heard() -> None:
    """A name that the settings add is read, a name that they leave out is not."""
    refused = (429, {"X-Acme-Retry-After": "9", "Retry-After": "100"})
    rig = Rig(refused, 200, limits=RateLimits(headers=["X-Acme-Retry-After"]))
    assert rig.get().status_code == 200
    assert rig.waits == [9.0]


def test_a_reset_by_the_calendar_is_measured_from_now() -> None:
    """A `reset` or `Retry-After` as a date counts from the client's time in answers without one."""
    reset = ("X-RateLimit-Reset", str(int(NOW) + 10))
    response = over_urllib3(("X-RateLimit-Remaining", "1"), reset)
    assert limits_of(response, lambda: NOW, ALL) == (Limit(1, 10),)
    assert outcome_of(response, NOW, ALL) == Outcome(200, limits=(Limit(1, 10),))
    dated = over_urllib3(("Retry-After", "Sun, 15 Jun 2025 15:06:50 GMT"))
    dated.status_code = 503
    assert outcome_of(dated, NOW, ALL).retry_after == 10


def test_header_lines_stay_apart_where_urllib3_has_them_apart() -> None:
    """Two lines of one field are two; an adapter without urllib3 gives one; no field gives none."""
    apart = over_urllib3(("WWW-Authenticate", "Basic"), ("www-authenticate", 'Bearer realm="a"'))
    assert header_lines(apart, "WWW-Authenticate") == ["Basic", 'Bearer realm="a"']
    joined = answer(CaseInsensitiveDict({"WWW-Authenticate": "Basic, Bearer"}))
    assert header_lines(joined, "WWW-Authenticate") == ["Basic, Bearer"]
    assert header_lines(apart, "Retry-After") == header_lines(joined, "Retry-After") == []
    odd = answer(CaseInsensitiveDict({"Retry-After": b"5"}))
    assert header_lines(odd, "Retry-After") == []


def test_a_header_line_has_a_bound() -> None:
    """A field of `FIELD` characters is read; a longer one, and one that is no text, is not."""
    headers = {"Long": "x" * FIELD, "Longer": "x" * (FIELD + 1), "Odd": b"x"}
    response = answer(CaseInsensitiveDict(headers))
    assert header_line(response, "Long") == headers["Long"]
    assert [header_line(response, name) for name in ("Longer", "Odd", "Missing")] == [""] * 3


REFUSED = wire.NewConnectionError(None, "refused")  # type: ignore[arg-type]


def test_a_cause_is_found_beside_and_below_others() -> None:
    """A refused connection is found as a later argument, and below an earlier one."""
    deep = wire.MaxRetryError(None, "/", REFUSED)  # type: ignore[arg-type]
    for args in [(ValueError("first"), REFUSED), (deep, ValueError("last")), (REFUSED, "text")]:
        assert failure_of(requests.ConnectionError(*args)) == Outcome(failure=Failure.UNREACHABLE)
    without = requests.ConnectionError(ValueError("first"), "text")
    assert failure_of(without) == Outcome(failure=Failure.LOST)


@pytest.mark.parametrize("kind", [SSLError, requests.exceptions.ProxyError])
def test_a_handshake_that_took_too_long_is_a_lost_connection(kind: type[Exception]) -> None:
    """A TLS handshake or a proxy that timed out may do better; a refusal of either stays one."""
    error: Any = kind(TimeoutError("timed out"))
    assert failure_of(error) == Outcome(failure=Failure.LOST)
    error = kind("refused")
    assert failure_of(error) == Outcome(failure=Failure.FATAL)


BODY_ERRORS: list[tuple[Exception, type[Exception]]] = [
    (wire.ProtocolError("cut"), ChunkedEncodingError),
    (wire.DecodeError("no gzip"), ContentDecodingError),
    (wire.ReadTimeoutError(None, "/", "slow"), requests.ConnectionError),  # type: ignore[arg-type]
    (wire.SSLError("bad record"), SSLError),
]


@pytest.mark.parametrize(
    ("error", "kind"), BODY_ERRORS, ids=lambda each: getattr(each, "__name__", "")
)
def test_the_error_of_a_body_says_what_went_wrong(error: Exception, kind: type[Exception]) -> None:
    """The exception of requests wraps that of urllib3, as `iter_content` has it."""
    translated = body_error(error)
    assert type(translated) is kind
    assert translated.args == (error,)


def test_an_answer_that_is_reread_is_the_same_but_for_its_body() -> None:
    """Status, reason, version, headers and cookies stay; the body may be shorter than it says."""
    original: Any = SimpleNamespace(isclosed=lambda: False)
    headers = {"Content-Length": "100", "Content-Encoding": "identity"}
    raw = HTTPResponse(
        BytesIO(b"long"),
        headers,
        503,
        reason="Busy",
        version=11,
        preload_content=False,
        original_response=original,
    )
    again = reread(raw, b"kept")
    assert (again.status, again.reason, again.version) == (503, "Busy", 11)
    assert dict(again.headers) == headers
    assert again._original_response is original  # noqa: SLF001 (requests finds the cookies there)
    assert b"".join(again.stream(2)) == b"kept"


ANOTHER, DONE, CUT = (
    object(),
    SimpleNamespace(_obj=SimpleNamespace(is_finished=lambda: True)),
    SimpleNamespace(_obj=SimpleNamespace(is_finished=lambda: False)),
)


@pytest.mark.parametrize(("decoder", "is_cut"), [(ANOTHER, False), (DONE, False), (CUT, True)])
def test_a_decoder_that_knows_no_end_is_believed(decoder: object, *, is_cut: bool) -> None:
    """One for brotli says whether it has come to its end; one of somebody else may not."""
    raw = SimpleNamespace(_decoder=decoder)
    assert is_cut_encoded(raw, is_empty=False) is is_cut


def test_an_answer_without_a_decoder_is_whole() -> None:
    """An inner adapter without urllib3 may hand out a body that it has decoded itself."""
    assert Rig((200, {"Content-Encoding": "gzip"}, b"plain")).get().content == b"plain"


def test_a_timeout_of_an_adapters_own_kind_is_handed_on() -> None:
    """An inner adapter may understand what requests does not; of it no limit for reads is known."""
    with Rig((200, {}, b"body")).get(timeout="soon", stream=True) as response:
        assert response.raw.read() == b"body"


OWN: list[tuple[Any, float | None]] = [
    (1, 1),
    (50.0, 50),
    (None, None),
    ((1, 50), 50),
    ((None, 1), 1),
    ((1, None), None),
    (Timeout(total=5), 5),
    (Timeout(connect=1, read=5), 5),
    (Timeout(total=5, read=3), 3),
    (Timeout(total=5, read=None), 5),
    (Timeout(connect=1, read=None), None),
    (Timeout(connect=1), None),
    (Timeout(), None),
]


@pytest.mark.parametrize(("timeout", "own"), OWN)
@pytest.mark.parametrize("until", [3.0, inf])
def test_the_callers_own_limit_for_reads_is_known(
    timeout: Any, until: float, own: float | None
) -> None:
    """From the limit of an attempt, the part that the caller gave for reads can be told."""
    assert read_limit(limited(timeout, until, FakeClock())) == own


def test_an_attempt_has_what_is_left_of_the_deadline() -> None:
    """Two seconds after the start of a call that has five, three are left for each part."""
    clock = FakeClock()
    clock.advance(2.0)
    assert limited((None, 4), 5.0, clock) == (3.0, 3.0)


@pytest.mark.parametrize("timeout", [(), (5,), (1, 2, 3), ("soon", 5), (5, "soon")], ids=str)
def test_a_pair_that_is_none_is_refused_as_in_bare_requests(timeout: Any) -> None:
    """A tuple that is no pair of numbers raises what requests and urllib3 raise for it."""
    with pytest.raises(ValueError, match=r"(?i)timeout") as bare:
        requests.Session().get("http://127.0.0.1:9/", timeout=timeout)
    with pytest.raises(ValueError, match=r"(?i)timeout") as caught, real() as session:
        session.get("http://127.0.0.1:9/", timeout=timeout)
    assert str(caught.value) == str(bare.value)


RETRIES: list[tuple[Any, bool]] = [
    (None, False),
    (0, False),
    (3, True),
    (Retry(0), False),
    (Retry(total=False), False),
    (Retry(2), True),
    (Retry(0, connect=5), False),
    (Retry(None, connect=0, read=0, status=0, other=0), False),
    (Retry(None, connect=0, read=False, status=0, other=0), False),
    (Retry(None, connect=1, read=0, status=0, other=0), True),
    (Retry(None, connect=0, read=1, status=0, other=0), True),
    (Retry(None, connect=0, read=0, status=1, other=0), True),
    (Retry(None, connect=0, read=0, status=0, other=1), True),
    (Retry(None, connect=0, read=0, status=0), True),
    (Retry(None), True),
]


@pytest.mark.parametrize(("retries", "sends_twice"), RETRIES, ids=str)
def test_retries_of_urllib3_that_send_twice(retries: Any, *, sends_twice: bool) -> None:
    """A total decides; without a total each count that is not 0 sends again, None without end."""
    assert would_retry(retries) is sends_twice


def test_no_retries_are_what_requests_has_for_none() -> None:
    """An adapter whose retries were taken away has the `max_retries` of a new one."""
    assert vars(no_retries()) == vars(HTTPAdapter().max_retries)


def test_an_adapter_leaves_its_connections_to_the_parent_process() -> None:
    """The pools are new, as large as before, and the old ones never end, at proxies too."""
    adapter = HTTPAdapter(pool_connections=3)
    managers = [adapter.poolmanager, adapter.proxy_manager_for("http://proxy.test:3128")]
    pools = [manager.connection_from_url(API) for manager in managers]
    old = [weakref.ref(manager.pools) for manager in managers]
    leave_connections(adapter)
    gc.collect()
    for manager, pool, before in zip(managers, pools, old, strict=True):
        assert before() is not None
        assert manager.pools is not before()
        assert type(manager.pools) is type(before())
        assert manager.pools._maxsize == before()._maxsize  # type: ignore[union-attr]  # noqa: SLF001
        assert manager.connection_from_url(API) is not pool
        assert pool.pool is not None


class Plain(BaseAdapter):
    """An adapter that keeps no connections, or keeps them in its own way."""


def test_an_adapter_without_pools_has_nothing_to_leave() -> None:
    """Adapters of other kinds are left as they are after a fork."""
    plain = Plain()
    odd: Any = HTTPAdapter()
    odd.poolmanager = None
    before = dict(vars(plain))
    for adapter in (plain, odd, object()):
        leave_connections(adapter)
    assert (vars(plain), odd.poolmanager) == (before, None)


class Brotli:
    """A decoder as the package Brotli has it: it knows a bound."""

    def process(self, body: bytes, *, output_buffer_limit: int) -> bytes:
        """Return the body in reverse, within the bound."""
        return body[::-1][:output_buffer_limit]


class Brotlicffi:
    """A decoder as the package brotlicffi has it: the method has another name."""

    def decompress(self, body: bytes, *, output_buffer_limit: int) -> bytes:
        """Return the body in reverse, within the bound."""
        return body[::-1][:output_buffer_limit]


class Old:
    """A decoder of a version that knows no bound."""

    def decompress(self, body: bytes) -> bytes:
        """Return more than anybody has asked for."""
        return body * 1000


class Zstd:
    """A decoder as backports.zstd has it."""

    def decompress(self, body: bytes, *, max_length: int) -> bytes:
        """Return the body in reverse, within the bound."""
        return body[::-1][:max_length]


@pytest.mark.parametrize(
    ("coding", "packages", "found"),
    [
        ("br", {"brotli": SimpleNamespace(Decompressor=Brotli)}, b"cba"),
        ("br", {"brotli": SimpleNamespace(Decompressor=Brotlicffi)}, b"cba"),
        ("br", {"brotli": SimpleNamespace(Decompressor=Old)}, None),
        ("br", {"brotli": None}, None),
        ("br", {}, None),
        ("zstd", {"zstd": SimpleNamespace(ZstdDecompressor=Zstd)}, b"cba"),
        ("zstd", {"zstd": SimpleNamespace(ZstdDecompressor=Old)}, None),
        ("zstd", {}, None),
    ],
)
def test_what_urllib3_decodes_is_decoded_within_a_bound(
    monkeypatch: pytest.MonkeyPatch, coding: str, packages: dict[str, Any], found: bytes | None
) -> None:
    """A package that knows no bound on what comes out is not used: the body may be a bomb."""
    monkeypatch.setattr(translate, "_packages", SimpleNamespace(**packages))
    assert decoded(b"abc", coding, 3, MORE_CODINGS) == found
