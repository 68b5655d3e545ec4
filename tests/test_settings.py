"""Settings: refused when they are made, all faults together, and never showing a secret."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from functools import partial
from typing import Any

import pytest
import requests
from requests.auth import HTTPBasicAuth

from requests_authretry import (
    AuthRetryAdapter,
    ConfigurationError,
    FetchContext,
    FileStore,
    MemoryStore,
    RetryPolicy,
    Settings,
    Token,
    mount,
)
from requests_authretry.testing import FakeClock, SystemClock
from tests.support.scripted import ORIGIN, URL, carried, scripted, settings

SECRET = "s3cret-of-the-user"


class Source:
    """A token source."""

    def fetch(self, context: FetchContext) -> str:
        """A token."""
        return f"{SECRET} {context.refused}"


class KeyedSource(Source):
    """A token source with a name for its tokens that is none."""

    store_key = 7


class AsyncSource:
    """A token source of another world."""

    async def fetch(self, context: FetchContext) -> str:
        """A token, later."""
        return f"{SECRET} {context.refused}"


class AsyncCallable:
    """A function object of another world."""

    async def __call__(self) -> str:
        """A token, later."""
        return SECRET


async def later() -> str:
    """A token, later."""
    return SECRET


def test_all_faults_are_named_together() -> None:
    """One error names every field that cannot work."""
    wrong: dict[str, Any] = {
        "token": 7,
        "origins": ["ftp://x", "https://ok.example.com", "https://h/path"],
        "retry": 3,
        "limits": 3,
        "quota": 3,
        "store": "tokens.json",
        "auth": ("user", SECRET),
        "timeout": -1,
        "listeners": [print, "print"],
        "allow_http": 1,
        "observe": 1,
        "interactive": 1,
        "clock": None,
    }
    with pytest.raises(ConfigurationError) as caught:
        Settings(**wrong)
    for name in wrong:
        assert any(fault.startswith(name) for fault in caught.value.faults), name
    assert sum(fault.startswith("origins") for fault in caught.value.faults) == 2
    assert all(fault in str(caught.value) for fault in caught.value.faults)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("credentials", [{"token": SECRET}, {"auth": HTTPBasicAuth("me", SECRET)}])
def test_credentials_need_origins(credentials: dict[str, Any]) -> None:
    """Credentials without origins are refused, with the reason and the way out, not the secret."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(**credentials)
    assert "every host" in str(caught.value)
    assert "origins=['https://api.example.com']" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"origins": ORIGIN}, rf"origins takes a collection: write \['{ORIGIN}'\]"),
        ({"origins": b"x"}, "origins takes a collection"),
        ({"origins": None}, "origins takes a collection, not NoneType"),
        ({"origins": [b"x"]}, "origins"),
        ({"listeners": print}, "listeners takes a collection"),
        ({"listeners": ["print"]}, "listeners must all be callable"),
        ({"token": later}, "async function"),
        ({"token": partial(later)}, "async function"),
        ({"token": AsyncSource()}, "async function"),
        ({"token": AsyncCallable()}, "async function"),
        ({"token": Source}, "the class Source"),
        ({"token": Token}, "the class Token"),
        ({"token": KeyedSource()}, "store_key"),
        ({"token": b"bytes"}, "token must be .* not bytes"),
        ({"token": ""}, "token: .*empty"),
        ({"token": f"{SECRET}\r\nX-Evil: 1"}, "token: .*line break"),
        ({"token": f"Bearer {SECRET}"}, "token: .*scheme"),
        ({"store": FileStore}, "the class FileStore"),
        ({"store": {}}, "store must have read, write, lock and push"),
        ({"clock": FakeClock}, "the class FakeClock"),
        ({"clock": 7}, "clock must have"),
        ({"auth": HTTPBasicAuth}, "the class HTTPBasicAuth"),
        ({"auth": ("me", SECRET)}, "auth must be an AuthBase, not tuple"),
        ({"retry": RetryPolicy}, "retry must be a RetryPolicy"),
        ({"allow_http": "yes"}, "allow_http must be True or False"),
        ({"observe": "yes"}, "observe must be True or False"),
        ({"interactive": "yes"}, "interactive must be True, False or None"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_slips_are_named(wrong: dict[str, Any], said: str) -> None:
    """A slip is refused in words that name the field and the fault, and hold no secret."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        Settings(**{"origins": [ORIGIN], **wrong})
    assert len(caught.value.faults) == 1
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "timeout", [0, -1, math.nan, math.inf, True, "5", (1, 2, 3), (1, -1), (1, "2"), [1, 2], ()]
)
def test_timeouts_that_cannot_work(timeout: Any) -> None:
    """A time limit is a positive number of seconds, or a pair of which a part may be None."""
    with pytest.raises(ConfigurationError, match="timeout must be"):
        Settings(timeout=timeout)


@pytest.mark.parametrize("timeout", [None, 1, 0.5, (3.05, 27), (None, 5), (None, None)])
def test_timeouts_that_work(timeout: Any) -> None:
    """What requests takes, but for objects of urllib3."""
    assert Settings(timeout=timeout).timeout == timeout


@pytest.mark.parametrize(
    "origin",
    [
        "http://api.example.com",
        "http://10.0.0.1:8080",
        "http://localhost.example.com",
        "http://app.localhost",
        "http://127.0.0.1.example.com",
    ],
)
def test_plain_http_needs_a_plain_word(origin: str) -> None:
    """A token would go unencrypted to another machine only where the settings say so."""
    with pytest.raises(ConfigurationError, match="allow_http=True"):
        Settings(token=SECRET, origins=[origin])
    assert Settings(token=SECRET, origins=[origin], allow_http=True).origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    ["http://localhost", "http://127.0.0.1:8080", "http://[::1]:8080"],
)
def test_loopback_may_be_plain(origin: str) -> None:
    """What does not leave the machine needs no encryption."""
    assert Settings(token=SECRET, origins=[origin]).origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "api.example.com",
        "https://",
        "https://api.example.com/v1",
        "https://api.example.com?x=1",
        f"https://me:{SECRET}@api.example.com",
        "https://api.example.com:99999",
        "https://*.example.com",
        "",
    ],
)
def test_what_is_no_origin(origin: str) -> None:
    """Neither a host, a path, a pattern nor a URL with a password is an origin."""
    with pytest.raises(ConfigurationError, match="origin") as caught:
        Settings(token="t", origins=[origin])
    assert SECRET not in str(caught.value)


def test_origins_are_of_one_form() -> None:
    """Case, the default port, a slash and repetition make no difference; any iterable serves."""
    spellings = ("HTTPS://API.example.com/", ORIGIN, f"{ORIGIN}:443")
    assert Settings(token="t", origins=iter(spellings)).origins == (ORIGIN,)  # type: ignore[arg-type]


def test_an_unknown_name_is_refused() -> None:
    """A name that is misspelt does not pass in silence."""
    with pytest.raises(ConfigurationError, match="tokn is unknown; did you mean token"):
        Settings(tokn=SECRET)  # type: ignore[call-arg]


def test_no_repr_shows_a_secret() -> None:
    """Neither the settings nor what holds them show token, source, signature or listener."""
    secretive: list[Any] = [SECRET, Token(SECRET, refresh_token=SECRET), partial(str, SECRET)]
    for token in secretive:
        chosen = settings(
            token, auth=HTTPBasicAuth("me", SECRET), listeners=[partial(print, SECRET)]
        )
        session = requests.Session()
        held = [chosen, chosen.token, mount(session, chosen), session.adapters, FetchContext(None)]
        if isinstance(token, partial):
            held.remove(token)
        assert SECRET not in f"{held}"
        assert SECRET not in str(chosen)
    assert repr(settings("t")).startswith(f"Settings(token=<set>, origins=['{ORIGIN}']")


def test_reprs_say_how_it_was_made(tmp_path: Any) -> None:
    """What stands in the repr of settings reads as it was written."""
    assert repr(FileStore(tmp_path / "x")) == f"FileStore({str(tmp_path / 'x')!r})"
    assert repr(SystemClock()) == "SystemClock()"


def test_settings_are_immutable() -> None:
    """No field can be set, and what was handed in cannot be changed from outside."""
    mine = [ORIGIN]
    chosen = Settings(token="t", origins=mine)
    mine.append("https://evil.example.com")
    assert chosen.origins == (ORIGIN,)
    with pytest.raises(FrozenInstanceError):
        chosen.token = "other"  # type: ignore[misc]


def test_replace_makes_another() -> None:
    """`dataclasses.replace` keeps the rest, checks again, and shares nothing that lives."""
    chosen = settings("static", timeout=3.0)
    other = replace(chosen, timeout=5.0)
    assert (other.timeout, other.origins, chosen.timeout) == (5.0, chosen.origins, 3.0)
    session, below = scripted(other, 200)
    session.get(URL)
    assert carried(below) == ["Bearer static"]
    with pytest.raises(ConfigurationError, match="origins"):
        replace(chosen, origins=())


def test_equal_settings_are_not_the_same() -> None:
    """Two objects share nothing unless they name one store: they are told apart by identity."""
    assert Settings() != Settings()
    assert len({Settings(), Settings()}) == 2


@pytest.mark.parametrize("wrong", [{}, "https://api.example.com", RetryPolicy(), Settings])
def test_what_is_no_settings_object(wrong: Any) -> None:
    """Where a settings object belongs, another kind is refused by name."""
    for take in (partial(mount, requests.Session()), AuthRetryAdapter):
        with pytest.raises(ConfigurationError, match=f"Settings, not {type(wrong).__name__}"):
            take(wrong)


def test_a_store_is_anything_with_the_verbs() -> None:
    """The stores of the package fit, and so does a class of the user that only has the verbs."""

    class Mine:
        read, write = MemoryStore.read, MemoryStore.write
        lock, push = MemoryStore.lock, MemoryStore.push

    assert isinstance(Settings(store=MemoryStore()).store, MemoryStore)
    mine: Any = Mine()
    assert Settings(store=mine).store is mine
