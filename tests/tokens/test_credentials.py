"""A token that a program holds: got, renewed, forgotten and revoked, as the calls see it too."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.auth import HTTPBasicAuth

from requests_authretry import (
    AuthRetryError,
    AuthRetryWarning,
    ConfigurationError,
    Credentials,
    CredentialStatus,
    FetchContext,
    FileStore,
    MemoryStore,
    PerIdentity,
    RefreshFailed,
    RetryPolicy,
    Settings,
    Token,
    acting_as,
    deadline,
    install,
    mount,
    override,
)
from requests_authretry._shared import SharedState
from requests_authretry._tokens.renewal import is_renewing
from requests_authretry.testing import FakeClock
from tests.support.renewals import PATIENCE, Flaky, Issuer
from tests.support.scenario import World
from tests.support.scripted import EXPIRED, ORIGIN, URL, carried, scripted, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OTHER = "https://other.example.com"
SECRETS = ("access-1", "refresh-1", "s3cret")


class Slow:
    """A source whose tokens take ten seconds: slow-1, slow-2 and so on."""

    store_key = "slow"
    calls = 0

    def fetch(self, context: FetchContext) -> Token:
        """The next token."""
        context.clock.sleep(10.0)
        self.calls += 1
        return Token(f"slow-{self.calls}", refresh_token="r")


class Revoking(Issuer):
    """A source that can revoke its tokens.

    Attributes:
        revoked: The refresh tokens that it was told to end.
        fault: What it raises in place of that.
    """

    fault: Exception | None = None

    def __init__(self, clock: FakeClock) -> None:
        """Nothing was revoked yet."""
        super().__init__(clock)
        self.revoked: list[str | None] = []

    def revoke(self, context: FetchContext) -> None:
        """End a token."""
        if self.fault is not None:
            raise self.fault
        self.revoked.append(None if context.stale is None else context.stale.refresh_token)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when it is told to."""
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> Revoking:
    """A source that has given nothing yet."""
    return Revoking(clock)


def holding(issuer: Any, **others: Any) -> Credentials:
    """The credentials of settings with this source."""
    return settings(issuer, **{"clock": issuer.clock, **others}).credentials


def value(credentials: Credentials) -> str:
    """The token of the moment."""
    return str(credentials.token().value)


def test_the_token_is_that_of_the_calls(issuer: Revoking) -> None:
    """A websocket and `session.get` send one token, and it is fetched once."""
    session, below = scripted(chosen := settings(issuer, clock=issuer.clock), 200)
    token = mount(session, chosen).credentials.token()
    session.get(URL)
    assert carried(below) == [token.authorization] == ["Bearer access-1"]
    assert issuer.calls == 1


def test_a_token_that_is_over_is_renewed_first(issuer: Revoking, clock: FakeClock) -> None:
    """After an hour `token()` returns the next one, and does not ask before."""
    held = holding(issuer)
    assert [value(held), value(held)] == ["access-1", "access-1"]
    clock.advance(3600)
    assert value(held) == "access-2"


def test_settings_mounts_and_installs_have_one_credential(issuer: Revoking) -> None:
    """`Settings`, `Mounted` and `Installed` of one settings object renew once for all."""
    chosen = settings(issuer, clock=issuer.clock)
    with install(chosen) as installed, mount(requests.Session(), chosen) as mounted:
        held = (installed.credentials, mounted.credentials, chosen.credentials)
        assert {value(each) for each in held} == {"access-1"}


def test_the_credential_outlives_its_session(issuer: Revoking) -> None:
    """After `unmount` and `close` a program still gets the token: it belongs to the settings."""
    with requests.Session() as session:
        mounted = mount(session, settings(issuer, clock=issuer.clock))
        mounted.unmount()
    assert value(mounted.credentials) == "access-1"


def test_threads_that_ask_at_once_share_one_renewal() -> None:
    """Two threads want the token, and two force a renewal: each pair costs one fetch."""
    world, source = World({}), Slow()
    held = world.settings(token=source, origins=[ORIGIN]).credentials
    got: list[str] = []
    for name in "AB":
        world.caller(name, lambda: got.append(value(held)))
        world.caller(f"{name} again", lambda: got.append(str(held.renew().value)), 20.0)
    world.run()
    assert got == ["slow-1", "slow-1", "slow-2", "slow-2"]


def test_processes_with_one_store_share_a_renewal() -> None:
    """While a process renews, another one waits for the store and takes the new token."""
    world, sources = World({}), (Slow(), Slow())
    for source, name in zip(sources, "AB", strict=True):
        chosen = world.settings(token=source, origins=[ORIGIN], store=world.store)
        world.caller(name, chosen.credentials.token, 0.0 if name == "A" else 15.0)
    world.run()
    assert [source.calls for source in sources] == [1, 0]


def test_no_wait_is_longer_than_the_deadline() -> None:
    """`token(deadline=3)`, and a `deadline` block of 4 s, end although the source takes 10 s."""
    world = World({})
    held = world.settings(token=Slow(), origins=[ORIGIN]).credentials
    ended: dict[str, float] = {}

    def limited(name: str, seconds: float | None) -> None:
        with deadline(4.0), pytest.raises(RefreshFailed, match="no token within"):
            held.token(deadline=seconds)
        ended[name] = world.turns.now

    world.caller("A", lambda: limited("A", 3.0))
    world.caller("B", lambda: limited("B", None))
    world.run()
    assert ended == {"A": 3.0, "B": 4.0}


@pytest.mark.parametrize("method", ["renew", "sign_in"])
def test_a_store_that_hangs_holds_nobody_past_the_deadline(issuer: Revoking, method: str) -> None:
    """A database does not answer a program that has 0.1 s for its token."""
    go_on = threading.Event()

    class Hanging(MemoryStore):
        def read(self, key: str) -> str | None:
            assert go_on.wait(PATIENCE)
            return super().read(key)

    chosen = Settings(token=issuer, origins=[ORIGIN], store=Hanging())
    try:
        with pytest.raises(RefreshFailed, match="the store does not answer"):
            getattr(chosen.credentials, method)(deadline=0.1)
    finally:
        go_on.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_store_that_ends_its_thread_is_a_failure(issuer: Revoking) -> None:
    """A store that calls `sys.exit` while it is read is an error of the renewal, and no other."""

    class Ending(MemoryStore):
        def read(self, key: str) -> str | None:
            sys.exit(key)

    with pytest.raises(RefreshFailed, match="the store ended the thread that read it"):
        holding(issuer, store=Ending()).renew()
    for thread in threading.enumerate():  # so that pytest sees its end here, not in another test
        if thread.name == "requests_authretry store":
            thread.join(PATIENCE)


def test_a_long_wait_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A program that waits 10 s for its token says so once, at INFO."""
    caplog.set_level("INFO", "requests_authretry")
    world = World({})
    held = world.settings(token=Slow(), origins=[ORIGIN]).credentials
    world.caller("A", held.token)
    world.run()
    assert caplog.text.count("a program waits for its token") == 1


@pytest.mark.parametrize("given", [-1, "10", float("nan")])
def test_a_deadline_is_a_number_of_seconds(issuer: Revoking, given: Any) -> None:
    """`token(deadline="10")` is refused, and the source is not asked."""
    with pytest.raises(ConfigurationError, match="deadline"):
        holding(issuer).token(deadline=given)
    assert issuer.calls == 0


def test_a_renewal_is_newer_than_what_the_store_had(issuer: Revoking) -> None:
    """Another process has put access-2 there: `renew()` gives access-3."""
    store = Flaky()
    held = holding(issuer, store=store)
    assert value(held) == "access-1"
    store.put(issuer.token(2), 2**60)
    issuer.contexts.append(FetchContext(None))  # that other process has asked
    assert held.renew().value == "access-3"
    assert issuer.spent[-1] == "refresh-2"


def test_a_refused_token_is_replaced_once(issuer: Revoking) -> None:
    """Two websockets are told that access-1 is not good: the second one gets what the first got."""
    held = holding(issuer)
    refused = held.token()
    assert [held.renew(refused).value, held.renew(refused).value] == ["access-2", "access-2"]
    assert [context.refused for context in issuer.contexts] == [False, True]
    with pytest.raises(TypeError, match="the Token that was refused"):
        held.renew("access-2")  # type: ignore[arg-type]


def test_a_source_that_declines_gives_no_renewal(issuer: Revoking) -> None:
    """A source that returns None has no other token, and `renew()` says so."""
    held = holding(issuer)
    held.token()
    issuer.given = None
    with pytest.raises(RefreshFailed, match="not renewed: the token source gave no token"):
        held.renew()


def test_sign_in_asks_only_where_there_is_no_token(issuer: Revoking, clock: FakeClock) -> None:
    """The first `sign_in()` asks the source; while its token is good, the second does not."""
    held = holding(issuer)
    status = held.sign_in()
    assert held.sign_in() == status
    assert (status.has_token, status.expires_in, status.is_renewable) == (True, 3600.0, True)
    assert status.expires_at == clock.time() + 3600
    assert issuer.calls == 1


def test_sign_in_waits_as_long_as_a_person_takes(issuer: Revoking) -> None:
    """A source with a patience of half an hour is told that it has that time."""
    vars(issuer).update(patience=1800.0)
    holding(issuer).sign_in()
    assert issuer.contexts[0].timeout == 1800.0


def test_sign_in_asks_again_at_once_after_a_failure(issuer: Revoking) -> None:
    """A code has expired, and the person clicks again: that is no repetition to be slowed down."""
    held = holding(issuer)
    issuer.given = RefreshFailed("nobody signed in")
    with pytest.raises(RefreshFailed):
        held.token()
    issuer.given = ()
    assert held.sign_in().has_token
    assert issuer.calls == 2


def test_after_forget_the_source_is_asked_at_once(issuer: Revoking, clock: FakeClock) -> None:
    """A renewal has failed and would not be repeated yet; to forget the token begins anew."""
    held = holding(issuer)
    held.token()
    clock.advance(3600)
    issuer.given = RefreshFailed("the user was locked out")
    with pytest.raises(RefreshFailed):
        held.token()
    held.forget()
    issuer.given = ()
    assert value(held) == "access-3"


def test_a_forgotten_token_is_in_no_place(issuer: Revoking, tmp_path: Path) -> None:
    """After `forget()` neither memory nor the file has it, and the next call asks anew."""
    store = FileStore(tmp_path / "tokens.json")
    session, below = scripted(chosen := settings(issuer, clock=issuer.clock, store=store), 200, 200)
    session.get(URL)
    chosen.credentials.forget()
    assert not any(secret in store.path.read_text() for secret in SECRETS)
    assert not chosen.credentials.status().has_token
    session.get(URL)
    assert carried(below) == ["Bearer access-1", "Bearer access-2"]
    assert issuer.spent == [None, None]


def test_memory_keeps_no_token_that_was_forgotten(issuer: Revoking) -> None:
    """After `forget()` neither the token nor the one before it is in memory."""
    chosen = settings(issuer, clock=issuer.clock)
    held = chosen.credentials
    assert [held.token().value, held.renew().value] == ["access-1", "access-2"]
    held.forget()
    tokens = SharedState.of(chosen).tokens
    assert tokens is not None
    known = (tokens.current, tokens.held.token, tokens.fetched, tokens._before)  # noqa: SLF001
    assert known == (None, None, None, None)


def test_a_warning_of_the_store_points_to_the_program(issuer: Revoking) -> None:
    """A store fails while `renew()` reads it in another thread: the warning names our line."""

    class Broken(MemoryStore):
        def read(self, key: str) -> str | None:
            raise FileNotFoundError(key)

    with pytest.warns(AuthRetryWarning) as caught:
        holding(issuer, store=Broken()).renew()
    assert {each.filename for each in caught} == {__file__}


def test_a_process_does_not_bring_back_what_another_forgot(clock: FakeClock) -> None:
    """The other process holds access-1; when the server refuses it, it does not spend refresh-1."""
    store, issuers = MemoryStore(), [Issuer(clock), Issuer(clock)]
    for issuer in issuers:
        vars(issuer).update(store_key="one user")
    here, there = (settings(issuer, clock=clock, store=store) for issuer in issuers)
    session, below = scripted(there, 200, EXPIRED, 200)
    here.credentials.token()
    session.get(URL)
    here.credentials.forget()
    assert not there.credentials.status().has_token
    issuers[1].given = Token("access-9")
    session.get(URL)
    assert issuers[1].spent == [None]
    assert carried(below) == ["Bearer access-1", "Bearer access-1", "Bearer access-9"]
    assert here.credentials.status().has_token  # it signed in again, and both have that token


def test_sign_in_sees_that_another_process_forgot(clock: FakeClock) -> None:
    """A process that holds access-1 still does not take it for a sign-in."""
    store, issuers = MemoryStore(), [Issuer(clock), Issuer(clock)]
    for issuer in issuers:
        vars(issuer).update(store_key="one user")
    here, there = (holding(issuer, store=store) for issuer in issuers)
    here.token()
    there.token()
    here.forget()
    assert there.sign_in().has_token
    assert issuers[1].spent == [None]


def test_a_record_keeps_what_a_later_release_added(issuer: Revoking) -> None:
    """A field that this release does not know is in the record still, after `forget()`."""
    store = MemoryStore()
    store.write(ORIGIN, '{"value": "access-0", "later": 7, "generation": 4}')
    held = holding(issuer, store=store)
    held.forget()
    assert '"later": 7' in (store.read(ORIGIN) or "")


def test_a_renewal_under_way_brings_nothing_back() -> None:
    """`forget()` comes while the source works: its token is dropped, and the caller told."""
    world = World({})
    source, got = Slow(), []
    held = world.settings(token=source, origins=[ORIGIN], store=world.store).credentials

    def ask() -> None:
        with pytest.raises(RefreshFailed, match="forgotten while it was asked"):
            held.token()
        got.append("refused")

    world.caller("A", ask)
    world.caller("B", lambda: held.forget(deadline=0.0), 5.0)
    world.run()
    assert got == ["refused"]
    assert not held.status().has_token


def test_a_renewal_that_just_ended_brings_nothing_back(issuer: Revoking) -> None:
    """`forget()` comes when the store has the new token, and memory has it not yet."""

    class Between(MemoryStore):
        """A store that lets something happen whenever a lock is free again."""

        then: list[Callable[[], None]] = []  # noqa: RUF012 (of this one test)

        @contextmanager
        def lock(self, key: str, timeout: float) -> Iterator[None]:
            with super().lock(key, timeout):
                yield
            if self.then:
                self.then.pop()()

    store = Between()
    held = holding(issuer, store=store)
    store.then.append(held.forget)
    assert value(held) == "access-1"  # it was asked for before
    assert value(held) == "access-2"
    assert issuer.spent == [None, None]


def test_a_first_sign_in_may_be_kept_elsewhere_after_forget(issuer: Revoking) -> None:
    """A source whose token was forgotten in one store may begin in another one."""
    held = holding(issuer, store=MemoryStore())
    held.token()
    other = holding(issuer, store=MemoryStore())
    with pytest.raises(RefreshFailed, match="kept in another store"):
        other.token()
    held.forget()
    assert other.sign_in().has_token


def test_an_adopted_token_can_be_forgotten(issuer: Revoking) -> None:
    """The token that the header of old code brought is gone; the next call adopts or asks."""
    chosen = settings(issuer, clock=issuer.clock, adopt=True)
    session, _ = scripted(chosen, 200)
    session.get(URL, headers={"Authorization": "Bearer s3cret"})
    chosen.credentials.forget()
    assert value(chosen.credentials) == "access-1"


def test_a_store_that_fails_keeps_nobody_signed_in_silently(issuer: Revoking) -> None:
    """The token is gone here; that other processes may still use it, is an error."""
    store = Flaky()
    held = holding(issuer, store=store)
    held.token()
    store.failing = {"write"}
    with pytest.warns(match="write"), pytest.raises(AuthRetryError, match="in this process only"):
        held.forget()
    assert not held.status().has_token
    store.failing = set()
    assert value(held) == "access-2"
    assert store.kept() is not None


def test_the_status_tells_that_a_store_did_not_take_the_token(issuer: Revoking) -> None:
    """A disk is full, say: the token is in memory, until the store takes it."""
    store = Flaky()
    held = holding(issuer, store=store)
    assert held.status().kept_in != "memory"
    store.failing = {"write"}
    with pytest.warns(match="write"):
        held.token()
    assert held.status().kept_in == "memory"
    store.failing = set()
    held.renew()
    assert held.status().kept_in != "memory"


def test_a_store_that_others_lock_is_left_as_it_is(issuer: Revoking) -> None:
    """Another process renews for longer than we can wait: nothing was forgotten."""
    store = MemoryStore()
    held = holding(issuer, store=store)
    held.token()
    with store.lock(ORIGIN, 1.0), pytest.raises(AuthRetryError, match="nothing was forgotten"):
        held.forget(deadline=0.0)
    assert value(held) == "access-1"


@pytest.mark.parametrize("method", ["forget", "revoke"])
def test_a_token_in_the_settings_is_not_forgotten(method: str) -> None:
    """`Settings(token="...")` would give it again at the next call: that is refused."""
    held = Settings(token="s3cret", origins=[ORIGIN]).credentials
    with pytest.raises(ConfigurationError, match="hold the token itself"):
        getattr(held, method)()
    assert value(held) == "s3cret"


def test_revoke_ends_the_newest_refresh_token_and_forgets(issuer: Revoking) -> None:
    """The source is given the newest refresh token, of whatever process, once."""
    store = Flaky()
    held = holding(issuer, store=store)
    held.token()
    store.put(issuer.token(2), 2**60)
    held.revoke()
    assert issuer.revoked == ["refresh-2"]
    assert not held.status().has_token


def test_what_a_source_sends_to_revoke_is_no_call(issuer: Revoking) -> None:
    """Under `install`, its requests go out as those of a renewal do; afterwards nothing does."""
    contexts: list[Context] = []

    def revoke(_: FetchContext) -> None:
        assert is_renewing()
        contexts.append(copy_context())

    vars(issuer).update(revoke=revoke)
    holding(issuer).revoke()
    assert not contexts[0].run(is_renewing)


def test_a_revocation_that_fails_forgets_nothing(issuer: Revoking) -> None:
    """The text of a foreign exception is not shown; the error names `forget()`."""
    held = holding(issuer)
    held.token()
    issuer.fault = KeyError("s3cret")
    with pytest.raises(AuthRetryError, match=r"failed with KeyError\. forget\(\)") as caught:
        held.revoke()
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__}"
    assert caught.value.__context__ is None
    issuer.fault = RefreshFailed("the server is down")
    with pytest.raises(AuthRetryError, match="nothing was revoked or forgotten: the server is"):
        held.revoke()
    assert value(held) == "access-1"


def test_a_source_that_cannot_revoke_names_forget() -> None:
    """A function has no `revoke`, and its token stays."""
    held = Settings(token=lambda: "s3cret", origins=[ORIGIN]).credentials
    held.token()
    with pytest.raises(AuthRetryError, match=r"cannot revoke .* forget\(\)"):
        held.revoke()
    assert held.status().has_token


def test_the_status_has_all_but_the_secrets(clock: FakeClock, tmp_path: Path) -> None:
    """Source, end, scopes and place, for people and programs."""
    token = Token("s3cret", clock.time() + 90, refresh_token="refresh-1", scopes=["read", "write"])
    store = FileStore(tmp_path / "tokens.json")

    def fetch_token() -> Token:
        return token

    held = Settings(token=fetch_token, origins=[ORIGIN], store=store, clock=clock).credentials
    assert str(held.status()).startswith(f"{ORIGIN}: no token; from <fetch_token>, kept in ")
    status = held.sign_in()
    assert status.source == "<fetch_token>"
    assert status.kept_in == repr(store)
    said = "Bearer token, expires in 90 s, renewable, scopes read write"
    assert str(status) == f"{ORIGIN}: {said}; from <fetch_token>, kept in {store!r} as {ORIGIN!r}"
    assert not any(secret in f"{status!r}{status}{held!r}" for secret in SECRETS)
    assert pickle.loads(pickle.dumps(status)) == status  # noqa: S301 (our own bytes)
    clock.advance(100)
    assert "expired 10 s ago" in str(held.status())


def test_the_status_of_a_plain_token() -> None:
    """A token in the settings is in memory, and when it ends is unknown."""
    status = Settings(token="s3cret", origins=[ORIGIN]).credentials.status()
    assert "Bearer token, expiry unknown, no refresh token" in str(status)
    assert status.kept_in == "memory"
    assert "s3cret" not in repr(status)


def test_the_status_changes_nothing(issuer: Revoking) -> None:
    """It reads the store, asks no source and writes nothing."""
    store = Flaky()
    held = holding(issuer, store=store)
    assert isinstance(held.status(), CredentialStatus)
    assert store.done == ["read"]
    assert issuer.calls == 0


def test_a_store_that_cannot_be_read_leaves_what_is_known(issuer: Revoking) -> None:
    """The status then is that of the token in memory, with a warning."""
    store = Flaky()
    held = holding(issuer, store=store)
    held.token()
    store.failing = {"read"}
    with pytest.warns(match="read"):
        assert held.status().has_token


def two_sites() -> Settings:
    """Settings for two servers, each with a token of its own."""
    other = Settings(token="theirs", origins=[OTHER])
    return Settings(token="ours", origins=[ORIGIN], sites=[other])


def test_one_of_several_sites_is_chosen_by_a_url() -> None:
    """Any URL of the site will do."""
    held = two_sites().credentials
    assert value(held.at(f"{OTHER}/items?page=2")) == "theirs"
    assert value(held.at(ORIGIN)) == "ours"
    chosen = held.at(f"{OTHER}/items?key=s3cret")
    assert repr(chosen) == f"<Credentials at {OTHER!r}>"
    assert "s3cret" not in str(vars(chosen))


def test_a_site_without_a_token_needs_no_choice() -> None:
    """Only one of two sites has a token: that one is meant."""
    plain = Settings(origins=[OTHER])
    assert value(Settings(token="ours", origins=[ORIGIN], sites=[plain]).credentials) == "ours"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Settings().credentials, "the settings have no token"),
        (
            lambda: Settings(token="s3cret", origins=[ORIGIN], observe=True).credentials,
            "leave out observe=True",
        ),
        (
            lambda: Settings(auth=HTTPBasicAuth("ada", "s3cret"), origins=[ORIGIN]).credentials,
            "there is no token to hold",
        ),
        (lambda: two_sites().credentials, rf"credentials\.at\('{ORIGIN}'\), of .*{OTHER}"),
        (
            lambda: two_sites().credentials.at("https://third.example.com/x"),
            f"no token for https://third.example.com: they have one for {ORIGIN}, {OTHER}",
        ),
    ],
)
def test_where_there_is_no_credential_the_error_says_why(
    made: Callable[[], Credentials], said: str
) -> None:
    """Each method names the cause and the cure."""
    held = made()
    for method in (held.token, held.renew, held.sign_in, held.forget, held.revoke, held.status):
        with pytest.raises(ConfigurationError, match=said) as caught:
            method()
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["api.example.com", "", None, 7])
def test_a_site_is_chosen_by_a_url_alone(url: Any) -> None:
    """`at("api.example.com")` has no scheme, so that it names no site."""
    with pytest.raises(ConfigurationError, match="must be a URL"):
        two_sites().credentials.at(url)


def test_an_override_holds_for_the_token_too() -> None:
    """Inside `override(token=...)` a program gets that token, as its calls do."""
    held = Settings(token="ours", origins=[ORIGIN]).credentials
    mount(requests.Session())  # an override without any session warns
    with override(token="theirs"):
        assert value(held) == "theirs"
    assert value(held) == "ours"
    with override(token="theirs"), pytest.raises(ConfigurationError, match="needs origins"):
        two_sites().credentials.token()


def test_each_identity_has_a_credential_of_its_own(clock: FakeClock) -> None:
    """Inside `acting_as("alice")` it is Alice's token that is got, revoked and asked for anew."""
    asked: list[str] = []
    revoked: list[str | None] = []

    class Of:
        """The source of one user."""

        def __init__(self, user: str) -> None:
            self.user = user

        def fetch(self, _: FetchContext) -> Token:
            asked.append(self.user)
            return Token(f"{self.user}-{len(asked)}", refresh_token=f"refresh-{self.user}")

        def revoke(self, context: FetchContext) -> None:
            revoked.append(None if context.stale is None else context.stale.refresh_token)

    chosen = settings(PerIdentity(Of), clock=clock, store=MemoryStore())
    held = chosen.credentials
    mount(requests.Session(), chosen)
    with pytest.raises(AuthRetryError, match="acting_as"):
        held.token()
    keys = set()
    for user in ("alice", "bob"):
        with acting_as(user):
            held.sign_in()
            keys.add(held.status().key)
    with acting_as("alice"):
        held.revoke()
        assert not held.status().has_token
        assert value(held) == "alice-3"
    with acting_as("bob"):
        assert value(held.at(ORIGIN)) == "bob-2"
    assert revoked == ["refresh-alice"]
    assert len(keys) == 2


def test_a_source_may_not_wait_for_itself() -> None:
    """A source that asks for its own token gets an error and no deadlock."""

    def fetch_token() -> Token:
        return chosen.credentials.renew()

    chosen = Settings(token=fetch_token, origins=[ORIGIN], retry=RetryPolicy(deadline=30))
    with pytest.raises(RefreshFailed):
        chosen.credentials.token()


@pytest.mark.parametrize("method", ["forget", "revoke"])
def test_a_source_may_not_end_the_token_that_it_renews(method: str) -> None:
    """It has the lock that this would wait for: it gets an error at once, and its token counts."""

    class Ending(Revoking):
        def fetch(self, context: FetchContext) -> Token:
            with pytest.raises(AuthRetryError, match="asked by this very thread"):
                getattr(chosen.credentials, method)()
            token: Token = super().fetch(context)
            return token

    source = Ending(FakeClock())
    chosen = Settings(token=source, origins=[ORIGIN], retry=RetryPolicy(deadline=30))
    assert value(chosen.credentials) == "access-1"
    assert source.revoked == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_can_use_it() -> None:
    """A fork in the middle of a renewal leaves no lock held: the child gets a token of its own."""
    has_begun, go_on = threading.Event(), threading.Event()

    def fetch_token() -> str:
        has_begun.set()
        assert go_on.wait(PATIENCE)
        return "s3cret"

    held = Settings(token=fetch_token, origins=[ORIGIN], interactive=False).credentials
    asking = threading.Thread(target=held.token)
    asking.start()
    assert has_begun.wait(PATIENCE)
    child = os.fork()
    if child == 0:
        go_on.set()
        held.forget()
        os._exit(0 if value(held) == "s3cret" else 1)
    _, status = os.waitpid(child, 0)
    go_on.set()
    asking.join(PATIENCE)
    assert status == 0
