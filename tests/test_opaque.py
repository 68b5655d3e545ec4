"""No object of ours shows a secret in its `repr` or `vars`, and no frame of ours in a traceback."""

from __future__ import annotations

import gc
import json
import traceback
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import requests
from rich.console import Console
from rich.traceback import Traceback

from requests_authretry import (
    FileStore,
    FirstOf,
    FunctionStore,
    MemoryStore,
    RetryPolicy,
    Settings,
    Token,
    explain,
    mount,
)
from requests_authretry._core.token import Secret, TokenRecord
from requests_authretry._tokens.families import families
from requests_authretry.keyring import KeyringStore
from requests_authretry.oauth2 import (
    Client,
    ClientCredentials,
    Password,
    RefreshToken,
    TokenExchange,
)
from requests_authretry.redis import RedisStore
from requests_authretry.testing import ScriptedAdapter
from tests.support.frames import frames_of
from tests.support.scripted import EXPIRED, ORIGIN, URL
from tests.support.wire import Wire, rst, says

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG = "x" * 200
"""Reporters cut long texts, and may show the beginning."""
SECRETS = ("access-7f3", "second-7f3", "refresh-7f3", "next-7f3", "client-7f3", "password-7f3")
ACCESS, SECOND, REFRESH, NEXT, CLIENT, PASSWORD = (f"{each}{LONG}" for each in SECRETS)
REDIS = f"redis://user:password-7f3{LONG}@127.0.0.1:1/0"


def leaks(text: str) -> list[str]:
    """The secrets in a text."""
    return [secret for secret in SECRETS if secret in text]


def state(thing: object) -> dict[str, object]:
    """What `vars` has, and what is in slots."""
    found = dict(getattr(thing, "__dict__", {}))
    for kind in type(thing).__mro__:
        slots = getattr(kind, "__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name):
                found[name] = getattr(thing, name)
    return found


def is_ours(thing: object) -> bool:
    """Whether the class of an object is one of the package."""
    return type(thing).__module__.partition(".")[0] == "requests_authretry"


def reached(*roots: object) -> Iterator[object]:
    """Every object of ours that leads from others of ours, through Python's own containers."""
    seen: dict[int, object] = {}
    pending: list[object] = list(roots)
    while pending:
        thing = pending.pop()
        if id(thing) in seen or isinstance(thing, (type, ModuleType, str, bytes)):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, FunctionType):
            is_known = str(thing.__module__).startswith("requests_authretry")
            pending += [cell.cell_contents for cell in thing.__closure__ or () if is_known]
        elif isinstance(thing, MethodType):  # pragma: no cover (where one happens to be)
            pending.append(thing.__self__)
        elif is_ours(thing) or type(thing).__module__ in {"builtins", "collections", "functools"}:
            pending += gc.get_referents(thing)
            if is_ours(thing):
                yield thing


def shown_by(error: BaseException) -> str:
    """What frames of ours show of their variables, and of what is in these."""
    values = [value for frame in frames_of(error) for value in list(frame.f_locals.values())]
    states = [repr(state(value)) for value in values if is_ours(value)]
    return "\n".join([*map(repr, values), *states, *traceback.format_exception(error)])


def issued(access: str) -> Any:
    """An answer of a token endpoint."""
    return 200, {}, json.dumps({"access_token": access, "refresh_token": NEXT}).encode()


REFUSED: Any = 400, {}, b'{"error": "invalid_grant"}'


def client(*script: Any, **others: Any) -> Client:
    """A client whose server answers so."""
    login = requests.Session()
    login.mount("https://", ScriptedAdapter(*script))
    url = "https://login.example.com/token"
    return Client("me", CLIENT, token_url=url, session=login, **others)


SOURCES: dict[str, Callable[..., Any]] = {
    "refresh token": lambda *script: RefreshToken(client(*script), REFRESH),
    "password": lambda *script: Password(
        client(*script, auth="client_secret_post"), "me", PASSWORD
    ),
    "client": lambda *script: ClientCredentials(client(*script)),
    "exchange": lambda *script: TokenExchange(client(*script), Token(REFRESH)),
    "text": lambda *_: ACCESS,
    "function": lambda *_: lambda: Token(ACCESS, refresh_token=NEXT),
    "function of a secret": lambda *_, access=ACCESS: lambda: access,
}


def stores(folder: Path) -> dict[str, Any]:
    """One store of each kind; the one in Redis is away."""
    kept: dict[str, str] = {}
    return {
        "none": None,
        "memory": MemoryStore(),
        "file": FileStore(folder / "token.json"),
        "redis": RedisStore(REDIS),
        "functions": FunctionStore(load=kept.get, save=kept.__setitem__),
        "first of": FirstOf(MemoryStore(), FileStore(folder / "other.json")),
    }


def outcome(session: requests.Session) -> Any:
    """The answer or the exception."""
    try:
        return session.get(URL)
    except requests.RequestException as error:
        return error


@pytest.mark.filterwarnings("ignore::requests_authretry.AuthRetryWarning")
@pytest.mark.parametrize("kind", ["none", "memory", "file", "redis", "functions", "first of"])
@pytest.mark.parametrize("source", SOURCES)
def test_no_object_shows_a_secret(source: str, kind: str, tmp_path: Path) -> None:
    """After a renewal and a failure: neither settings, sources, stores nor records show one."""
    script = (issued(ACCESS), issued(SECOND), REFUSED)
    chosen = Settings(
        token=SOURCES[source](*script), origins=[ORIGIN], store=stores(tmp_path)[kind]
    )
    with requests.Session() as session:
        session.mount("https://", ScriptedAdapter(200, EXPIRED, 200, EXPIRED, EXPIRED))
        mounted = mount(session, chosen)
        outcomes = [outcome(session) for _ in range(3)]
        things = list(reached(chosen, mounted, families, session.adapters, *map(explain, outcomes)))
    assert {type(thing).__name__ for thing in things} > {"Settings", "TokenManager", "StoreSync"}
    for thing in things:
        assert (type(thing), leaks(repr(thing)), leaks(repr(state(thing)))) == (type(thing), [], [])


def failed(call: Callable[[], object]) -> BaseException:
    """The exception."""
    with pytest.raises((OSError, requests.RequestException)) as caught:
        call()
    return caught.value


def get(token: Any, url: str = URL, *script: Any) -> object:
    """A call that makes one attempt."""
    policy = RetryPolicy(max_attempts=1)
    with requests.Session() as session:
        if script:
            session.mount("https://", ScriptedAdapter(*script))
        mount(session, Settings(token=token, origins=[url.removesuffix("/get")], retry=policy))
        return session.get(url)


@pytest.mark.parametrize("source", ["refresh token", "password", "client", "exchange"])
@pytest.mark.parametrize(
    "answer",
    [REFUSED, (500, {}, b""), (200, {}, b"{"), requests.ConnectionError("lost")],
    ids=["refused", "down", "torn", "lost"],
)
def test_no_frame_shows_a_secret_when_there_is_no_token(source: str, answer: Any) -> None:
    """Whatever the token endpoint does, a reporter with local variables shows no secret."""
    error = failed(partial(get, SOURCES[source](*[answer] * 9), URL, 200))
    assert leaks(shown_by(error)) == []


def test_no_frame_shows_a_secret_when_a_connection_is_refused() -> None:
    """Our own connection drops the bytes that it was to send; the frames of `http.client` do not.

    The test sends to a port where nobody listens.
    """
    error = failed(partial(get, Token(ACCESS), "http://127.0.0.1:1/get"))
    assert leaks(shown_by(error)) == []


def test_no_frame_shows_a_secret_when_a_connection_is_lost() -> None:
    """The server resets the connection in place of an answer."""
    with Wire(says(end=rst)) as wire:
        error = failed(partial(get, Token(ACCESS), f"{wire.url}/get"))
    assert leaks(shown_by(error)) == []


class Closed:
    """A keyring that raises, with what it was given in its frames."""

    def get_password(self, service: str, user: str, record: str = "") -> Any:
        """Raise."""
        raise ValueError(f"{service} {user} {record}")

    set_password = get_password


@pytest.mark.parametrize("kind", ["file", "torn", "redis", "keyring", "functions"])
def test_no_frame_of_a_store_that_fails_shows_a_secret(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that cannot be written, or read, is in no frame of ours, nor in a cause."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    closed: Any = Closed()
    record, path = TokenRecord(Token(ACCESS, refresh_token=NEXT)).dump(), tmp_path / "token.json"
    stores: dict[str, Callable[[], Any]] = {
        "redis": lambda: RedisStore(REDIS),
        "keyring": lambda: KeyringStore(backend=closed),
        "functions": lambda: FunctionStore(load=closed.get_password, save=closed.get_password),
    }
    store = stores.get(kind, partial(FileStore, path))()
    if kind in {"file", "torn"}:
        store.write("another", record)
        store.write("key", record)
    if kind == "torn":
        path.write_bytes(path.read_bytes()[:-3])
        assert leaks(shown_by(failed(partial(store.read, "key")))) == []
        return
    if kind == "file":
        monkeypatch.setattr("os.fsync", closed.get_password)
        with pytest.raises(TypeError) as caught:
            store.write("key", record)
        assert leaks(shown_by(caught.value)) == []
        return
    assert leaks(shown_by(failed(partial(store.write, "key", record)))) == []


def test_a_reporter_that_cuts_texts_shows_no_part(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich shows the first 80 characters of long texts: of a secret it shows none."""
    token = Secret(ACCESS)
    with pytest.raises(ZeroDivisionError) as caught:
        assert len(token) / 0
    error = caught.value
    report = Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, width=200
    )
    Console(width=200).print(report)
    text = capsys.readouterr().out
    assert "token = " in text
    assert leaks(text) == []
    assert (repr(token[:9]), repr(token[0]), token[:6] == "access") == ("'***'", "'***'", True)
