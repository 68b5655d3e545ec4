"""A user's program that names all of the public API: type checkers read it, nothing runs it.

Each function shows one part. `test_types.py` has mypy and pyright check it in their strict modes,
and looks whether a public name is missing here.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.util import Retry

from requests_authretry import (
    Answer,
    Attempt,
    AttemptEnded,
    AuthRetryAdapter,
    AuthRetryError,
    AuthRetryWarning,
    Backoff,
    CallEnded,
    Challenge,
    Clock,
    ConfigurationError,
    Cookie,
    CoolingDown,
    Credentials,
    CredentialStatus,
    Dialect,
    Event,
    Explanation,
    FetchContext,
    FileStore,
    FirstOf,
    FunctionStore,
    GaveUp,
    Header,
    Installed,
    Jitter,
    KnownLimit,
    Limits,
    Listener,
    MemoryStore,
    Mounted,
    Observed,
    PerIdentity,
    Query,
    Rate,
    RateLimits,
    Reason,
    RefreshDeclined,
    RefreshFailed,
    RetryPolicy,
    RetryQuota,
    RetryScheduled,
    Settings,
    StepUp,
    Store,
    StoreFailed,
    Token,
    TokenRefreshed,
    TokenSource,
    Verdict,
    Wait,
    Waiting,
    acting_as,
    attempts,
    deadline,
    explain,
    install,
    mount,
    override,
)
from requests_authretry.keyring import KeyringStore
from requests_authretry.oauth2 import (
    Client,
    ClientCredentials,
    DeviceCode,
    JWTBearer,
    Key,
    Password,
    Prover,
    RefreshToken,
    SignIn,
    TokenExchange,
)
from requests_authretry.progress import Progress
from requests_authretry.redis import RedisStore
from requests_authretry.sources import Command, Prompt, from_credentials
from requests_authretry.testing import (
    DialectServer,
    FakeClock,
    ScriptedAdapter,
    SystemClock,
    forget_tokens,
    no_waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

ORIGINS = ["https://api.example.com"]


def fetch_token() -> str:
    """Return a token, as the first example of README does."""
    answer = requests.post("https://login.example.com/token", timeout=10)
    return str(answer.json()["access_token"])


def fetch_with_life() -> Token:
    """Return a token that says when it expires."""
    return Token("t", 2_000_000_000.0, scheme="Bearer", refresh_token="r", scopes=("read",))


class Vault:
    """A token source."""

    store_key = "vault"

    def fetch(self, context: FetchContext) -> Token | None:
        """Return a token, or None where nobody is signed in."""
        stale: Token | None = context.stale
        challenge: Challenge | None = context.challenge
        if context.refused and challenge is not None and challenge.error == "invalid_token":
            return None
        if context.early or context.blind or context.sibling() is not None:
            raise RefreshFailed("nobody is signed in")
        seconds: float = context.timeout + context.clock.time() + context.retry.max_attempts
        return stale or Token("t", seconds)


class Memory:
    """A store of the user's."""

    def read(self, key: str) -> str | None:
        """Return a record."""
        return key or None

    def write(self, key: str, record: str) -> None:
        """Keep a record."""

    def lock(self, key: str, timeout: float) -> AbstractContextManager[None]:
        """Exclude others."""
        return MemoryStore().lock(key, timeout)

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down."""
        return seconds if key else 0.0


def classify(answer: Answer) -> Verdict | None:
    """Say what an answer means, one verdict of each kind."""
    told: Any = answer.json()
    pace: str | None = answer.headers.get("X-Pace")
    body: bytes | None = answer.body
    if answer.method == "GET" and answer.status == 200 and "slow" in answer.text:
        return Verdict.throttled(retry_after=float(pace or 1), scope="search")
    if told == {"state": "running"}:
        return Verdict.pending(retry_after=2.0)
    if answer.url.endswith("/login") or body is None:
        return Verdict.token_expired()
    verdicts = {404: Verdict.ok(), 503: Verdict.final(), 418: Verdict.transient()}
    return verdicts.get(answer.status)


def listen(event: Event) -> None:
    """Print events, each of its own kind."""
    match event:
        case RetryScheduled():
            print(
                event.method,
                event.url,
                event.attempt,
                event.delay,
                event.reason.value,
                event.detail,
            )
        case GaveUp():
            print(event.method, event.url, event.attempts, event.reason.name)
        case RefreshDeclined():
            step_up: StepUp | None = event.step_up
            print(step_up and (step_up.acr_values, step_up.max_age))
        case TokenRefreshed() | StoreFailed() | CoolingDown():
            print(event)
        case Waiting():
            print(event.seconds, event.reason)
        case Observed():
            print(event.action, event.text, event.reason, event.seconds, event.retry_after)
        case AttemptEnded():
            print(event.attempt.number)
        case CallEnded():
            print(event.attempts, event.status, event.error, event.seconds, event.waited)


def make_settings() -> Settings:
    """Return settings with every field."""
    source: TokenSource = Vault()
    store: Store = Memory()
    clock: Clock = FakeClock(now=1.0, random=lambda: 0.0)
    listener: Listener = listen
    one = Settings(token="t", origins={"https://one.example.com"})
    settings = Settings(
        token=source,
        origins=ORIGINS,
        retry=make_policy(),
        limits=make_limits(),
        quota=RetryQuota(capacity=500, transient_cost=14, throttled_cost=5),
        store=store,
        auth=HTTPBasicAuth("user", "password"),
        timeout=(3.05, 27),
        max_idle=2.5,
        listeners=[listener, print, Progress()],
        classify=classify,
        dialects="auto",
        allow_http=False,
        adopt=["retries"],
        sites=[one],
        clock=clock,
    )
    others = [
        Settings(),
        Settings(token=fetch_token, origins=ORIGINS, timeout=10, max_idle=None),
        Settings(token=fetch_with_life, origins=tuple(ORIGINS), adopt=True, clock=SystemClock()),
        Settings.from_file("settings.toml"),
        Settings.from_file(Path("settings.toml")),
        Settings.from_env(),
        Settings.from_env(os.environ),
    ]
    return replace(settings, timeout=None, sites=others)


def make_policy() -> RetryPolicy:
    """Return a policy with every field."""
    inherited: RetryPolicy = RetryPolicy.from_urllib3(Retry(3), deadline=30.0)
    return RetryPolicy(
        max_attempts=inherited.max_attempts,
        deadline=30,
        statuses=[429, 503],
        methods={"GET", "POST"},
        backoff=Backoff(
            initial=0.1,
            throttled_initial=1,
            unreachable_initial=0.5,
            multiplier=2.0,
            max_delay=20.0,
            jitter=Jitter.EQUAL,
        ),
        max_retry_after=60.0,
        any_method_on_429=True,
        not_processed={503},
        idempotency_key=True,
        buffer_bodies=1_000_000,
    )


def make_limits() -> RateLimits:
    """Return rate limits with every field."""

    def user_of(request: Any) -> str | None:
        return str(request.headers.get("X-User"))

    def cost_of(request: Any) -> float:
        return float(len(request.body or b""))

    return RateLimits(
        cool_down=True,
        pacing=True,
        headers=["X-RateLimit-Remaining", "X-RateLimit-Reset"],
        identity=user_of,
        rates=[Rate(10, per=1.0), Rate(100, 60, burst=5, path="/search", cost=cost_of)],
        concurrency=8,
    )


def mount_and_install() -> int:
    """Mount on a session, install for the process, and look at what holds back calls."""
    session = requests.Session()
    with mount(session, make_settings(), prefix="https://api.example.com/") as mounted:
        known: Mounted = mounted
        limits: Limits = known.limits
        for limit in limits:
            one: KnownLimit = limit
            print(one.kind, one.origin, one.ends_in, one.value, one.rate, one)
        limits.forget()
        session.get("https://api.example.com/items", timeout=5)
    mount(session).unmount()
    session.mount("https://", AuthRetryAdapter(Settings(), inner=HTTPAdapter()))
    session.mount("http://", AuthRetryAdapter(pool_maxsize=20))
    with install(Settings(timeout=10)) as installed:
        everywhere: Installed = installed
        print(everywhere.settings, everywhere.limits)
    install().uninstall()
    return session.get("https://api.example.com/items", timeout=5).status_code


def hold_the_token(mounted: Mounted, installed: Installed) -> None:
    """Get the token for something else than a call, look at it, and sign out."""
    both: list[Credentials] = [mounted.credentials, installed.credentials]
    credentials: Credentials = Settings().credentials.at("https://api.example.com")
    signed_in: CredentialStatus = credentials.sign_in(deadline=600)
    token: Token = credentials.token(deadline=10)
    renewed: Token = credentials.renew(token, deadline=10)
    print(both, renewed.authorization, credentials.renew().value, signed_in == credentials.status())
    print(signed_in.source, signed_in.key, signed_in.kept_in, signed_in.origins, signed_in.scopes)
    print(signed_in.has_token, signed_in.scheme, signed_in.expires_at, signed_in.expires_in)
    print(signed_in.is_renewable)
    credentials.revoke(deadline=30)
    credentials.forget(deadline=30)


def change_some_calls(session: requests.Session) -> None:
    """Override settings for the calls of a block."""
    with override(timeout=5, retry=RetryPolicy(max_attempts=1), priority=1):
        session.get("https://api.example.com/health")
    with override(token=fetch_token, origins=ORIGINS, store=MemoryStore(), listeners=[listen]):
        session.get("https://api.example.com/health")
    places = Header("Authorization", "Token {token}"), Query("api_key"), Cookie("session"), None
    with override(token_in=places[0], origins=ORIGINS):
        session.get("https://api.example.com/health")
    with override(limits=RateLimits(), quota=RetryQuota(), auth=None, allow_http=True):
        session.get("https://api.example.com/health")
    with override(classify=None, dialects=["github"]):
        session.get("https://api.example.com/health")
    with override(adopt=False, clock=SystemClock(), observe=False, challenge="any"), deadline(30):
        session.get("https://api.example.com/health")
    with override(interactive=None):
        session.get("https://api.example.com/health")


def source_of(identity: str) -> RefreshToken:
    """Return the source of a user."""
    return RefreshToken(Client("my-app", token_url="https://login.example.com/token"), identity)


def act_for_users(session: requests.Session) -> None:
    """Send the token of each user."""
    one = PerIdentity(source_of, max_identities=10)
    mount(session, Settings(token=one, origins=ORIGINS))
    with acting_as("alice"):
        session.get("https://api.example.com/items")
    with override(token=PerIdentity(Token), origins=ORIGINS):
        act_as_job(session)
    print(one.make_source("alice"), one.max_identities)


@acting_as("nightly-job")
def act_as_job(session: requests.Session) -> int:
    """Act as one user in all calls of a function."""
    return session.get("https://api.example.com/items").status_code


@deadline(30)
def export(session: requests.Session) -> list[str]:
    """Bound all calls of a function together, which are only observed."""
    mount(session, Settings(observe=True, listeners=[listen]))
    return [session.get(f"https://api.example.com/items?page={page}").text for page in range(3)]


def tell(session: requests.Session) -> Iterator[str]:
    """Tell what happened in a call that succeeded, and in one that failed."""
    try:
        response = session.get("https://api.example.com/items")
    except (AuthRetryError, RefreshFailed, ConfigurationError) as error:
        if isinstance(error, ConfigurationError):
            yield from error.faults
        yield str(explain(error))
        return
    explanation: Explanation = explain(response)
    for step in explanation.steps:
        if isinstance(step, Wait):
            yield f"{step.seconds} {step.reason.value}"
        else:
            yield f"{step.number} {step.status} {step.elapsed}"
    made: tuple[Attempt, ...] = attempts(response)
    reasons: list[Reason] = [attempt.reason for attempt in made]
    yield f"{reasons} {AuthRetryWarning.__name__}"


def show(sign_in: SignIn) -> None:
    """Show a user where to sign in."""
    print(sign_in.url, sign_in.code, sign_in.complete_url, sign_in.expires_in)


def make_sources(credentials: object) -> list[TokenSource]:
    """Return one source of each kind."""
    revocation_url = "https://login.example.com/revoke"
    client = Client(
        "my-app",
        "secret",
        issuer="https://login.example.com",
        revocation_url=revocation_url,
        dpop=True,
    )
    signing = Client("my-app", token_url="https://login.example.com/token", key=Key("PEM"))
    named = {"access_token": "data.token"}
    odd = Client("my-app", "s", issuer="https://i", basic="raw", fields=named, strict=True)
    print(odd.basic, odd.fields["access_token"], odd.strict)
    prover: Prover | None = client.prover
    print(prover)
    return [
        ClientCredentials(client, scopes=["read"], extra={"audience": "api"}),
        RefreshToken(client, "refresh", store_key="ada"),
        Password(client, "ada", "password", ["read"]),
        Password(client, Prompt("ada", title="Jira"), scopes=["read"]),
        Prompt(store_key="jira"),
        JWTBearer(signing, Key("PEM", algorithm="RS256"), subject="ada", claims={"a": 1}),
        TokenExchange(client, fetch_token, actor_token="t"),
        DeviceCode(client, ["offline_access"], prompt=show),
        Command(["vault", "print", "token"], env={"VAULT_ADDR": "https://vault"}),
        from_credentials(credentials, ["https://management.azure.com/.default"]),
    ]


def ask_person(session: requests.Session) -> None:
    """Ask for a user name and a password."""
    mount(session, Settings(token=Prompt(), origins=ORIGINS, interactive=True))
    username, password = Prompt().ask()
    session.auth = (username, password)


def make_stores() -> list[Store]:
    """Return one store of each kind."""
    kept: dict[str, str] = {}
    return [
        MemoryStore(),
        MemoryStore(FakeClock()),
        FileStore("~/.my-app/tokens.json"),
        FileStore(Path("tokens.json"), clock=SystemClock()),
        FirstOf(MemoryStore(), FileStore("~/.my-app/tokens.json")),
        FunctionStore(load=kept.get, save=kept.__setitem__),
        FunctionStore(
            load=kept.get,
            save=kept.__setitem__,
            lock=MemoryStore().lock,
            push=MemoryStore().push,
            take=MemoryStore().take,
        ),
        RedisStore("redis://localhost", prefix="app:", ttl=86_400.0, lock_ttl=10.0),
        KeyringStore("my-app"),
    ]


def write_tests() -> None:
    """Test one's own code without a network, and without waiting."""
    clock = FakeClock()
    script = ScriptedAdapter(
        503, (429, {"Retry-After": "1"}), (200, {}, b"body"), requests.ConnectionError()
    )
    session = requests.Session()
    session.mount("https://", script)
    mount(session, Settings(clock=clock))
    with no_waiting() as waits:
        session.get("https://api.example.com/items")
    clock.advance(1.0)
    forget_tokens()
    print(sum(waits), clock.sleeps, [request.url for request in script.sent], script.closed)


def test_an_api(path: str) -> None:
    """Test a client against a dialect, and read one from a file."""
    dialect: Dialect = Dialect.from_file(path)
    faults: tuple[str, ...] = dialect.check_samples()
    session = requests.Session()
    mount(session, Settings(dialects=[dialect, "github"]))
    with DialectServer("github", "throttled", 200) as server:
        server.play(*[sample.what for sample in server.dialect.samples])
        session.get(f"{server.url}/user")
    print(faults, dialect.name, dialect.title, dialect.checked, dialect.sources, dialect.origins)
    print([(request.method, request.path, request.body) for request in server.received])
