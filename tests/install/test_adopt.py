"""What is taken over from legacy code: its static header, and the retries of its adapters."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util import Retry

from requests_authretry import (
    AttemptEnded,
    AuthRetryAdapter,
    CallEnded,
    ConfigurationError,
    FileStore,
    MemoryStore,
    RefreshDeclined,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Token,
    TokenRefreshed,
    Waiting,
    mount,
)
from requests_authretry._core.token import TokenRecord
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.limits import hint
from tests.support.renewals import Flaky, all_end
from tests.support.scripted import EXPIRED, ORIGIN, URL, Source, carried, scripted, settings

if TYPE_CHECKING:
    from pathlib import Path

    from requests import PreparedRequest

    from requests_authretry.cli.demo_server import DemoServer
    from requests_authretry.testing import Line

STALE = "Bearer legacy-5c1d09"
KEY = ORIGIN


def legacy(
    chosen: Settings, *script: Line, header: Any = STALE
) -> tuple[requests.Session, ScriptedAdapter]:
    """A session whose header was set once at start-up."""
    session, below = scripted(chosen, *script)
    session.headers.update({"Authorization": header})
    return session, below


def adopting(source: Any, **others: Any) -> Settings:
    """Settings that adopt everything."""
    return settings(source, adopt=True, **others)


# The header


def test_the_header_serves_until_it_is_refused() -> None:
    """It goes as it is, asks the source nothing, and gives way to a new token at its first 401."""
    source = Source("new")
    session, below = legacy(adopting(source), 200, 200, EXPIRED, 200, 200)
    for _ in range(4):
        assert session.get(URL).status_code == 200
    assert carried(below) == [STALE, STALE, STALE, "Bearer new", "Bearer new"]
    assert source.calls == 1
    assert source.contexts[0].refused
    assert source.contexts[0].stale == Token("legacy-5c1d09")


@pytest.mark.parametrize("adopt", [False, ["retries"], []])
def test_nothing_is_adopted_unasked(adopt: Any) -> None:
    """A header of the caller's is the caller's, whatever comes of it."""
    session, below = legacy(settings(Source("new"), adopt=adopt), 401, 401)
    assert [session.get(URL).status_code, session.get(URL).status_code] == [401, 401]
    assert carried(below) == [STALE, STALE]


def test_the_callers_request_keeps_its_header() -> None:
    """What the caller reads is what it wrote: in the answer's request and in the history."""
    session, _ = legacy(adopting(Source("new")), EXPIRED, 200)
    response = session.get(URL)
    assert response.request.headers["Authorization"] == STALE
    assert response.history[0].request.headers["Authorization"] == STALE


@pytest.mark.parametrize("header", ["Basic YWRhOmxvdmVsYWNl", "token abc", b"Bearer in-bytes"])
def test_any_static_header_is_adopted(header: str | bytes) -> None:
    """Basic credentials, schemes of one vendor and headers in bytes are static as well."""
    session, below = legacy(adopting(Source("new")), 401, 200, header=header)
    assert session.get(URL).status_code == 200
    assert carried(below)[1] == "Bearer new"


@pytest.mark.parametrize(
    "header",
    [
        'Digest username="ada", response="0f"',
        "AWS4-HMAC-SHA256 Credential=a/b, Signature=0f",
        "NTLM TlRMTVNTUAAB",
        "HMAC c2lnbmVk",
        "Signature c2lnbmVk",
        "no-scheme-at-all",
        "DPoP bound-token",
    ],
)
def test_signatures_stay_the_callers(header: str) -> None:
    """What signs one request or one connection is neither adopted nor replaced."""
    session, below = legacy(adopting(Source("new")), 401, header=header)
    assert session.get(URL).status_code == 401
    assert carried(below) == [header]


def test_another_users_token_is_left_alone() -> None:
    """Another value than the adopted one goes as it is, before and after; its 401 is its own."""
    session, below = legacy(adopting(Source("new")), 200, 200, EXPIRED, 200, 401)
    other = {"Authorization": "Bearer of-another-user"}
    session.get(URL)
    session.get(URL, headers=other)
    session.get(URL)
    assert session.get(URL, headers=other).status_code == 401
    other_value = other["Authorization"]
    assert carried(below) == [STALE, other_value, STALE, "Bearer new", other_value]


def test_a_header_after_a_token_is_left_alone() -> None:
    """Where requests go bare and ours is sent already, a header in one call is another user's."""
    session, below = scripted(adopting("ours"), 200, 401)
    session.get(URL)
    assert session.get(URL, headers={"Authorization": STALE}).status_code == 401
    assert carried(below) == ["Bearer ours", STALE]


def test_a_header_during_a_renewal_is_left_alone() -> None:
    """While the token of a bare request is being fetched, it is too late to adopt another."""
    other = {"Authorization": STALE}

    def fetch() -> str:
        session.get(URL, headers=other)
        return "ours"

    session, below = scripted(adopting(fetch), 200, 200, 200)
    session.get(URL)
    session.get(URL, headers=other)
    assert carried(below) == [STALE, "Bearer ours", STALE]


def test_a_header_renewed_by_hand_is_left_alone() -> None:
    """A value that legacy code sets later, as it renewed by itself, is the caller's."""
    session, below = legacy(adopting(Source("new")), EXPIRED, 200, 200, 401)
    session.get(URL)
    session.headers["Authorization"] = "Bearer by-hand"
    assert [session.get(URL).status_code, session.get(URL).status_code] == [200, 401]
    assert carried(below)[2:] == ["Bearer by-hand"] * 2


def test_a_constant_takes_its_place() -> None:
    """A token that is no function is sent where the header is refused, and not before."""
    session, below = legacy(adopting("constant"), 200, EXPIRED, 200)
    session.get(URL)
    assert session.get(URL).status_code == 200
    assert carried(below) == [STALE, STALE, "Bearer constant"]


def test_the_same_token_again_is_no_answer() -> None:
    """A source that gives what was adopted and refused ends the call with its 401, once."""
    events: list[object] = []
    source = Source("legacy-5c1d09")
    session, below = legacy(adopting(source, listeners=[events.append]), EXPIRED)
    assert session.get(URL).status_code == 401
    assert (len(below.sent), source.calls) == (1, 1)
    assert [type(event) for event in events if not isinstance(event, Waiting)] == [
        AttemptEnded,
        RefreshDeclined,
        CallEnded,
    ]


def test_adopting_is_no_renewal() -> None:
    """Listeners hear of the token that was fetched, and not of the one that was there."""
    events: list[object] = []
    session, _ = legacy(adopting(Source("new"), listeners=[events.append]), 200, EXPIRED, 200)
    session.get(URL)
    session.get(URL)
    renewed = [index for index, event in enumerate(events) if isinstance(event, TokenRefreshed)]
    ended = [index for index, event in enumerate(events) if isinstance(event, CallEnded)]
    assert (len(renewed), len(ended)) == (1, 2)
    assert ended[0] < renewed[0] < ended[1]


def test_the_token_of_a_store_comes_first() -> None:
    """A restarted process with the old header sends the token that somebody renewed since."""
    store = MemoryStore()
    store.write(KEY, TokenRecord(Token("renewed"), 5).dump())
    session, below = legacy(adopting(Source("new"), store=store), 200, EXPIRED, 200)
    session.get(URL)
    session.get(URL)
    assert carried(below) == ["Bearer renewed", "Bearer renewed", "Bearer new"]


def test_the_token_of_a_store_is_taken_without_the_lock() -> None:
    """A restarted process reads the store once: it renews nothing, and tells what it has found."""
    store, events = Flaky(), list[Any]()
    store.inner.write(KEY, TokenRecord(Token("renewed"), 5).dump())
    chosen = adopting(Source("new"), store=store, listeners=[events.append])
    session, _ = legacy(chosen, 200)
    session.get(URL)
    assert store.done == ["read"]
    found = TokenRefreshed(KEY, adopted=True, expires_at=None)
    assert [event for event in events if isinstance(event, TokenRefreshed)] == [found]


@pytest.mark.parametrize("failing", [set(), {"read"}], ids=["none", "read"])
def test_the_header_serves_whatever_the_store_does(failing: set[str]) -> None:
    """A store that is empty or out of reach changes nothing: the header is sent."""
    store = Flaky()
    store.failing = failing
    session, below = legacy(adopting(Source("new"), store=store), 200)
    session.get(URL)
    assert (carried(below), store.done) == ([STALE], ["read"])


def test_a_store_that_lost_its_token_is_not_written_without_the_lock() -> None:
    """Settings that adopt a header use the token of other settings, and leave the store alone."""
    store, source = Flaky(), Source("new")
    other, _ = scripted(settings(source, store=store), 200)
    other.get(URL)
    store.inner.write(KEY, "")
    store.done.clear()
    session, below = legacy(adopting(source, store=store), 200)
    session.get(URL)
    assert (carried(below), store.done) == (["Bearer new"], ["read"])


def test_a_header_that_could_not_be_renewed_is_renewed_in_the_background() -> None:
    """The token endpoint asked for 30 s: after that time it is asked, while the header serves."""
    clock = FakeClock()
    source = Source(RefreshFailed("busy", retry_after=30.0), "new")
    session, below = legacy(adopting(source, clock=clock, store=Flaky()), EXPIRED, 200, 200)
    with pytest.raises(RefreshFailed):
        session.get(URL)
    clock.advance(40)
    session.get(URL)
    all_end()
    session.get(URL)
    assert carried(below) == [STALE, STALE, "Bearer new"]


def test_a_refused_header_is_shown_to_the_source() -> None:
    """Where the record in the store is torn, the source learns which token was refused."""
    store, source = Flaky(), Source("new")
    store.inner.write(KEY, "{")
    session, below = legacy(adopting(source, store=store), EXPIRED, 200)
    session.get(URL)
    assert carried(below) == [STALE, "Bearer new"]
    [context] = source.contexts
    assert context.stale is not None
    assert (context.stale.authorization, context.blind) == (STALE, True)


def test_a_restart_goes_on_with_the_store(tmp_path: Path) -> None:
    """Two processes one after the other cost one renewal, though both begin with the old header."""
    source = Source("new", "not asked")
    for script in ([EXPIRED, 200], [200]):
        chosen = adopting(source, store=FileStore(tmp_path / "tokens"))
        session, below = legacy(chosen, *script)
        assert session.get(URL).status_code == 200
    assert carried(below) == ["Bearer new"]
    assert source.calls == 1


def test_an_expired_token_in_the_store_is_renewed() -> None:
    """The header is older than whatever the store has: that is renewed, not set aside."""
    store = MemoryStore()
    store.write(KEY, TokenRecord(Token("over", expires_at=1.0), 5).dump())
    session, below = legacy(adopting(Source("new"), store=store), 200)
    session.get(URL)
    assert carried(below) == ["Bearer new"]


def test_the_header_is_not_written_to_the_store() -> None:
    """Others have a header of their own; a store keeps what was fetched."""
    store = MemoryStore()
    session, _ = legacy(adopting(Source("new"), store=store), 200)
    session.get(URL)
    assert store.read(KEY) is None


def test_another_origin_gets_what_the_caller_wrote() -> None:
    """Outside the origins a header is neither adopted nor replaced."""
    session, below = legacy(adopting(Source("new")), 401, EXPIRED, 200, 401)
    elsewhere = "https://other.example.com/"
    session.get(elsewhere, headers={"Authorization": "Bearer of-the-other"})
    session.get(URL)
    session.get(elsewhere)
    assert carried(below) == ["Bearer of-the-other", STALE, "Bearer new", STALE]


def test_redirects_carry_the_new_token_home_only() -> None:
    """A hop within the origin carries the current token, one to another host none at all."""
    away = (302, {"Location": "https://other.example.com/"})
    home = (302, {"Location": "/there"})
    session, below = legacy(adopting(Source("new")), EXPIRED, home, away, 200)
    assert session.get(URL).status_code == 200
    assert carried(below) == [STALE, "Bearer new", "Bearer new", None]


def test_the_auth_of_a_session_is_adopted() -> None:
    """A user and password that the session puts into every request count as its header."""
    session, below = scripted(adopting(Source("new")), EXPIRED_BASIC, 200, 200)
    session.auth = ("ada", "lovelace")
    session.get(URL)
    session.get(URL)
    assert carried(below)[1:] == ["Bearer new", "Bearer new"]


EXPIRED_BASIC = (401, {"WWW-Authenticate": 'Basic realm="x"'})


def test_signers_sign_the_adopted_header() -> None:
    """`Settings.auth` is applied to what carries the adopted header, as to any token of ours."""

    class Signer(AuthBase):
        def __call__(self, request: PreparedRequest) -> PreparedRequest:
            request.headers["X-Signed"] = str(request.headers["Authorization"])
            return request

    session, below = legacy(adopting(Source("new"), auth=Signer()), EXPIRED, 200)
    session.get(URL)
    assert [sent.headers["X-Signed"] for sent in below.sent] == [STALE, "Bearer new"]


def test_two_first_requests_adopt_once() -> None:
    """Of many threads at once none waits for a source, and each is served by the header."""
    source, start = Source("new"), Barrier(8)
    session, below = legacy(adopting(source), *[200] * 8)

    def call(_: int) -> int:
        start.wait()
        return session.get(URL).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(call, range(8))) == {200}
    assert (carried(below), source.calls) == ([STALE] * 8, 0)


def test_a_failure_before_is_no_obstacle() -> None:
    """A bare request whose source failed leaves the header free to be adopted at once."""
    session, below = scripted(adopting(Source(OSError("away"))), 200)
    with pytest.raises(requests.RequestException):
        session.get(URL)
    assert session.get(URL, headers={"Authorization": STALE}).status_code == 200
    assert carried(below) == [STALE]


def test_the_limit_is_that_of_our_token() -> None:
    """Who is asked to wait with the header waits with the token that takes its place, too."""
    clock = FakeClock()
    chosen = adopting(Source("new"), clock=clock, retry=RetryPolicy(max_attempts=1))
    session, _ = legacy(chosen, hint(7), 200)
    session.get(URL)
    del session.headers["Authorization"]
    session.get(URL)
    assert sum(clock.sleeps) >= 7


def test_the_header_is_in_no_log_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the logs nor what hangs on the settings show the adopted value."""
    caplog.set_level(logging.DEBUG)
    chosen = adopting(Source("new"))
    session, _ = legacy(chosen, EXPIRED, 200)
    session.get(URL)
    shown = f"{chosen!r} {vars(SharedState.of(chosen).tokens)!r} {caplog.text}"
    assert "legacy-5c1d09" not in shown


def test_the_demo_server_lets_legacy_code_in_again(
    demo_server: DemoServer, httpbin_url: str
) -> None:
    """On real httpbin: a revoked header is replaced, and every request after it as well."""
    demo_server.guarded = True
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {demo_server.issue()}"
        origin = httpbin_url.rstrip("/")
        mount(session, Settings(token=demo_server.issue, origins=[origin], adopt=True))
        assert session.get(f"{httpbin_url}/bearer").status_code == 200
        demo_server.revoke()
        replayed = session.get(f"{httpbin_url}/bearer")
        assert (replayed.status_code, len(replayed.history)) == (200, 1)
        assert session.get(f"{httpbin_url}/bearer").history == []
        assert demo_server.issued == 2


# The setting


@pytest.mark.parametrize(
    ("adopt", "fault"),
    [
        ("retries", "write ['retries']"),
        (["header"], "adopt takes 'authorization' and 'retries', not 'header'"),
        (7, "adopt takes a collection"),
        (["authorization"], "give token="),
    ],
)
def test_what_cannot_be_adopted_is_refused(adopt: Any, fault: str) -> None:
    """Unknown names, a bare string and a header that nothing could replace are faults."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(adopt=adopt)
    assert fault in str(caught.value)


def test_true_without_a_token_means_retries() -> None:
    """Nothing could take the header's place, so it stays the caller's."""
    session, below = legacy(Settings(adopt=True), 401)
    assert session.get(URL).status_code == 401
    assert carried(below) == [STALE]


# The retries


def policy_of(session: requests.Session, url: str = URL) -> RetryPolicy:
    """The policy of what goes to a URL."""
    adapter = session.get_adapter(url)
    assert isinstance(adapter, AuthRetryAdapter)
    return adapter.settings.retry


def test_each_adapter_keeps_its_retries() -> None:
    """One with retries has a policy of its own; one without follows the settings."""
    session = requests.Session()
    session.mount(ORIGIN, HTTPAdapter(max_retries=Retry(7, status_forcelist=[418])))
    chosen = Settings(adopt=["retries"], retry=RetryPolicy(max_attempts=2))
    mount(session, chosen)
    assert policy_of(session).max_attempts == 8
    assert 418 in policy_of(session).statuses
    assert policy_of(session, "https://other.example.com") is chosen.retry


def test_retries_are_not_adopted_unasked() -> None:
    """By default an adapter's own retries are switched off, and that is all."""
    session = requests.Session()
    session.mount(ORIGIN, HTTPAdapter(max_retries=7))
    mount(session)
    assert policy_of(session) == RetryPolicy()


def test_mounting_again_keeps_them_too() -> None:
    """A second mount reads what the first one switched off; unmounting gives it back."""
    session, adapter = requests.Session(), HTTPAdapter(max_retries=7)
    before = adapter.max_retries
    session.mount(ORIGIN, adapter)
    first = mount(session)
    with mount(session, Settings(adopt=True)):
        assert policy_of(session).max_attempts == 8
        assert adapter.max_retries.total == 0
    first.unmount()
    assert adapter.max_retries is before


def test_the_living_parts_are_shared() -> None:
    """Adapters with retries of their own share token, quota and limits with all the others."""
    session = requests.Session()
    session.mount(ORIGIN, HTTPAdapter(max_retries=7))
    chosen = adopting(Source("new"))
    mount(session, chosen)
    adapter = session.get_adapter(URL)
    assert isinstance(adapter, AuthRetryAdapter)
    base, own = SharedState.of(chosen), SharedState.of(adapter.settings)
    assert own is not base
    assert (own.tokens, own.quotas, own.limiter) == (base.tokens, base.quotas, base.limiter)


def test_what_is_lost_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A subclass with rules of its own is not followed silently."""

    class Patient(Retry):
        def get_backoff_time(self) -> float:
            return 9.0

    session = requests.Session()
    session.mount(ORIGIN, HTTPAdapter(max_retries=Patient(3)))
    with caplog.at_level(logging.INFO):
        mount(session, Settings(adopt=True))
    assert "methods of its own (get_backoff_time)" in caplog.text


def test_a_401_is_answered_once_whichever_adapter_is_next() -> None:
    """A redirect between two adapters with retries of their own renews no second time."""
    source = Source("first", "second", "third")
    session = requests.Session()
    moved = (302, {"Location": f"{ORIGIN}/other"})
    for prefix, script in ((URL, (EXPIRED, moved)), ("https://", (EXPIRED, 200))):
        below = ScriptedAdapter(*script)
        vars(below)["max_retries"] = Retry(2)
        session.mount(prefix, below)
    with mount(session, settings(source, adopt=["retries"])):
        assert session.get(URL).status_code == 401
    assert source.calls == 2
