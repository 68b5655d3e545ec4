"""How objects show themselves: one table of objects and reprs, and no secret in any of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from requests_authretry import (
    AuthRetryAdapter,
    Backoff,
    FileStore,
    FirstOf,
    Jitter,
    MemoryStore,
    Rate,
    RateLimits,
    RetryPolicy,
    RetryQuota,
    Settings,
    Token,
    install,
    mount,
)
from requests_authretry._core.display import shown
from requests_authretry._core.origin import redacted_prefix
from requests_authretry.keyring import KeyringStore
from requests_authretry.oauth2 import (
    Client,
    ClientCredentials,
    DeviceCode,
    JWTBearer,
    Key,
    Password,
    RefreshToken,
    TokenExchange,
)
from requests_authretry.redis import RedisStore
from requests_authretry.sources import Command, from_credentials
from requests_authretry.testing import FakeClock, ScriptedAdapter, SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests_authretry import FetchContext

ORIGIN: Final = "https://api.example.com"
SECRET: Final = "s3cret-of-the-user"
FILE: Final = str(Path("tokens.json").absolute())
"""A relative path is fixed when the store is made, and then shown."""
CLIENT: Final = Client("my-app", SECRET, issuer="https://login.example.com")


class Source:
    """A token source of the user's."""

    secret = SECRET

    def fetch(self, context: FetchContext) -> str:
        """Return a token."""
        return f"{SECRET}{context.refused}"

    def __repr__(self) -> str:
        return f"Source({SECRET})"


class Credential:
    """A credential object of azure-identity, as far as it is looked at."""

    def get_token(self, *_: str, **__: Any) -> Any:
        """Return a token."""

    def __repr__(self) -> str:
        return f"Credential({SECRET})"


def fetch_token() -> str:
    """Return a token."""
    return SECRET


def with_token(token: Any = SECRET, **others: Any) -> Settings:
    """Return settings with a token."""
    return Settings(token=token, origins=[ORIGIN], **others)


def waited() -> FakeClock:
    """Return a clock after some waits."""
    clock = FakeClock()
    for seconds in (1.5, 2.0):
        clock.sleep(seconds)
    return clock


def mounted() -> Any:
    """Mount on a session, as in the last line of a cell of a notebook."""
    return mount(requests.Session(), with_token())


def unmounted() -> Any:
    """Mount, and unmount again."""
    made = mounted()
    made.unmount()
    return made


def at_prefix() -> Any:
    """Mount for the URLs of one path, with what no repr shows."""
    prefix = f"https://me:{SECRET}@api.example.com/v1?key={SECRET}"
    return mount(requests.Session(), prefix=prefix)


TABLE: Final[list[tuple[Any, str]]] = [
    (Settings, "Settings(token=None)"),
    (with_token, f"Settings(token=<set>, origins=['{ORIGIN}'])"),
    (partial(with_token, Token(SECRET)), f"Settings(token=<set>, origins=['{ORIGIN}'])"),
    (partial(with_token, fetch_token), f"Settings(token=<fetch_token>, origins=['{ORIGIN}'])"),
    (partial(with_token, lambda: SECRET), f"Settings(token=<lambda>, origins=['{ORIGIN}'])"),
    (partial(with_token, Source()), f"Settings(token=<Source>, origins=['{ORIGIN}'])"),
    (
        partial(with_token, partial(str, SECRET)),
        f"Settings(token=<partial>, origins=['{ORIGIN}'])",
    ),
    (
        partial(with_token, retry=RetryPolicy(deadline=30), timeout=(3.05, 27)),
        (
            f"Settings(token=<set>, origins=['{ORIGIN}'], "
            "retry=RetryPolicy(deadline=30), timeout=[3.05, 27])"
        ),
    ),
    (
        lambda: Settings(
            auth=HTTPBasicAuth("me", SECRET),
            origins=[ORIGIN],
            listeners=[print, partial(print, SECRET)],
            store=MemoryStore(),
            clock=FakeClock(),
            allow_http=True,
        ),
        (
            f"Settings(token=None, origins=['{ORIGIN}'], store=MemoryStore(), "
            "auth=<HTTPBasicAuth>, listeners=[<print>, <partial>], allow_http=True, "
            "clock=<FakeClock: 0 s passed, 0 waits>)"
        ),
    ),
    (
        lambda: Settings(sites=[with_token()]),
        f"Settings(token=None, sites=[Settings(token=<set>, origins=['{ORIGIN}'])])",
    ),
    (RetryPolicy, "RetryPolicy()"),
    (lambda: RetryPolicy(max_attempts=4, deadline=120.0), "RetryPolicy(deadline=120.0)"),
    (
        lambda: RetryPolicy(statuses=[503, 429], methods=["put", "get"], backoff=Backoff()),
        "RetryPolicy(statuses=[429, 503], methods=['GET', 'PUT'])",
    ),
    (
        lambda: RetryPolicy(statuses=range(500, 600)),
        "RetryPolicy(statuses=[500, 501, 502, 503, 504, 505, 506, 507, ... 100 in all])",
    ),
    (lambda: Backoff(multiplier=2), "Backoff()"),
    (
        lambda: Backoff(initial=1, jitter=Jitter.EQUAL),
        "Backoff(initial=1, jitter=Jitter.EQUAL)",
    ),
    (lambda: RetryQuota(capacity=0), "RetryQuota(capacity=0)"),
    (RateLimits, "RateLimits()"),
    (
        lambda: RateLimits(rates=[Rate(10, per=1.0)], identity=str, pacing=False),
        "RateLimits(pacing=False, identity=<str>, rates=[Rate(10, per=1.0)])",
    ),
    (
        lambda: Rate(10, 1.0, burst=20, path="/x", cost=len),
        "Rate(10, per=1.0, burst=20, path='/x', cost=<len>)",
    ),
    (
        lambda: AuthRetryAdapter(with_token(), inner=HTTPAdapter()),
        f"AuthRetryAdapter(Settings(token=<set>, origins=['{ORIGIN}']), inner=<HTTPAdapter>)",
    ),
    (AuthRetryAdapter, "AuthRetryAdapter(Settings(token=None))"),
    (
        mounted,
        f"<Mounted on Session for https://, http://: Settings(token=<set>, origins=['{ORIGIN}'])>",
    ),
    (unmounted, f"<Mounted (unmounted): Settings(token=<set>, origins=['{ORIGIN}'])>"),
    (
        at_prefix,
        "<Mounted on Session for https://api.example.com/v1: Settings(token=None)>",
    ),
    (MemoryStore, "MemoryStore()"),
    (lambda: MemoryStore(waited()), "MemoryStore(clock=<FakeClock: 3.5 s passed, 2 waits>)"),
    (lambda: FileStore("tokens.json"), f"FileStore({FILE!r})"),
    (
        lambda: FileStore(FILE, FakeClock()),
        f"FileStore({FILE!r}, clock=<FakeClock: 0 s passed, 0 waits>)",
    ),
    (
        lambda: FirstOf(MemoryStore(), FileStore(FILE)),
        f"FirstOf(MemoryStore(), FileStore({FILE!r}))",
    ),
    (
        lambda: RedisStore(f"redis://me:{SECRET}@localhost:6379/0?x={SECRET}".partition("?")[0]),
        "RedisStore('redis://localhost:6379/0', prefix='requests_authretry:')",
    ),
    (lambda: KeyringStore("my-app"), "KeyringStore('my-app')"),
    (lambda: CLIENT, "Client('my-app', 'https://login.example.com')"),
    (
        lambda: ClientCredentials(CLIENT, ["read"]),
        "ClientCredentials(Client('my-app', 'https://login.example.com'), ('read',))",
    ),
    (
        lambda: RefreshToken(CLIENT, SECRET),
        "RefreshToken(Client('my-app', 'https://login.example.com'), ())",
    ),
    (
        lambda: Password(CLIENT, "ada", SECRET),
        "Password(Client('my-app', 'https://login.example.com'), ())",
    ),
    (
        lambda: JWTBearer(CLIENT, Key.generate()),
        "JWTBearer(Client('my-app', 'https://login.example.com'), ())",
    ),
    (
        lambda: TokenExchange(CLIENT, SECRET),
        "TokenExchange(Client('my-app', 'https://login.example.com'), ())",
    ),
    (
        lambda: DeviceCode(CLIENT),
        "DeviceCode(Client('my-app', 'https://login.example.com'), ())",
    ),
    (Key.generate, "Key('***', algorithm='ES256', key_id=None)"),
    (lambda: Command(["vault", "read", SECRET], env={"A": SECRET}), "Command(['vault', ...])"),
    (lambda: from_credentials(Credential(), ["read"]), "from_credentials(Credential)"),
    (lambda: Token(SECRET), "Token('***', expires_at=None, scheme='Bearer')"),
    (SystemClock, "SystemClock()"),
    (FakeClock, "<FakeClock: 0 s passed, 0 waits>"),
    (waited, "<FakeClock: 3.5 s passed, 2 waits>"),
    (
        lambda: ScriptedAdapter(503, (200, {"Set-Cookie": SECRET}, SECRET.encode())),
        "<ScriptedAdapter: 0 sent, 2 to come>",
    ),
]


@pytest.mark.parametrize(("make", "expected"), TABLE, ids=[said for _, said in TABLE])
def test_an_object_says_what_it_is_and_no_secret(make: Any, expected: str) -> None:
    """``Settings(token="...", origins=[...])`` says that there is a token, and not which."""
    made = make()
    assert repr(made) == expected
    assert SECRET not in str(made)


def test_an_installed_object_says_whether_it_is_in_force() -> None:
    """An `install` that a later one has replaced, or that was undone, says so."""
    with install(with_token()) as first:
        assert repr(first) == f"<Installed: {with_token()!r}>"
        with install() as second:
            assert repr(first) == f"<Installed (not in force): {with_token()!r}>"
            assert repr(second) == "<Installed: Settings(token=None)>"
    assert repr(first).startswith("<Installed (not in force)")


def holders() -> Iterator[Any]:
    """Give the objects that hold secrets only in what hides them."""
    for make, _ in TABLE:
        made = make()
        # Arguments and environment, answers, and the key under which the session has its adapter.
        if not isinstance(made, (Command, ScriptedAdapter)) and make is not at_prefix:
            yield made


def test_no_variables_of_an_object_show_a_secret() -> None:
    """A debugger that shows ``vars(settings)`` shows no token, nor what a Settings holds."""
    for made in holders():
        held = vars(made) if hasattr(made, "__dict__") else {}
        own = {name: value for name, value in held.items() if not _is_foreign(value)}
        assert SECRET not in repr(own), made


def _is_foreign(value: Any) -> bool:
    """Whether a value is an object, or holds objects, of the user's, whose repr is theirs."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    return any(isinstance(each, (Source, Credential, partial)) for each in values)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (1.5, "1.5"),
        ("a" * 100, f"'{'a' * 80}...'"),
        ({3, 1}, "[1, 3]"),
        (["a", None], "['a', None]"),
        (Settings, "<Settings>"),
        (Source().fetch, "<fetch>"),
        (object(), "<object>"),
        ({"key": SECRET}, "<dict>"),
        (SECRET.encode(), "<bytes>"),
    ],
)
def test_values_are_shown_plainly(value: Any, text: str) -> None:
    """Of what may hold a secret, the class alone."""
    assert shown(value) == text


def test_what_is_being_made_is_shown() -> None:
    """A reporter of exceptions shows the variables of a constructor, where fields are missing."""
    assert repr(object.__new__(Settings)) == "Settings(token=None)"


def test_a_token_that_is_still_a_text_is_not_shown() -> None:
    """As a reporter of exceptions may meet it, before the settings have made a `Token` of it."""
    being_made = object.__new__(Settings)
    object.__setattr__(being_made, "token", SECRET)
    assert repr(being_made) == "Settings(token=<set>)"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://", "https://"),
        ("https://me:pw@host:8080/v1?key=x#y", "https://host:8080/v1"),
        ("https://me:pw@host/bot1:x/getMe", "https://host/bot1:.../getMe"),
        ("api", "api"),
        ("https://[", "(unreadable URL)"),
    ],
)
def test_urls_lose_their_secrets(url: str, text: str) -> None:
    """The user, the query and the fragment are left out."""
    assert redacted_prefix(url) == text
