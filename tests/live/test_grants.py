"""The programs of ``docs/grants.md``, run as they stand there against real servers."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from requests_authretry import FetchContext
from requests_authretry.cli.demo_server import DemoServer, serve
from requests_authretry.oauth2 import Client, ClientCredentials
from requests_authretry.testing import FakeClock, SystemClock
from tests.servers.api import Api
from tests.servers.oidc import ec_key, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.oidc import OidcServer
    from tests.servers.redis import RedisServer

PAGE: Final = Path(__file__).parents[2] / "docs" / "grants.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
BLOCK: Final = r"^<!-- grant: (\S+) -->\n```python\n(.*?)^```$"
PROGRAMS: Final = {
    found[1]: "\n" * TEXT.count("\n", 0, found.start(2)) + found[2]
    for found in re.finditer(BLOCK, TEXT, re.MULTILINE | re.DOTALL)
}
"""The code under each name, as far down as it stands on the page, so that tracebacks are right."""

WALKS: Final = {
    "client-credentials": "cc",
    "extra": "cc",
    "refresh-token": "app",
    "device-code": "app",
    "jwt-bearer": "svc",
    "token-exchange": "token_exchange",
    "password": "legacy",
    "secret-in-the-form": "cc_post",
    "private-key": "cc_jwt",
    "public-client": "app_public",
    "token-url": "cc",
    "dpop": "cc",
    "dpop-shared": "cc",
    "redis": "app",
}
"""The client of the server that runs each program."""

LASTING: Final = ["refresh-token", "device-code", "public-client", "dpop-shared", "redis"]
"""The programs whose next run goes on where the last one ended."""

OTHERS: Final = {"setup", "web-view", "mutual-tls", "failure", "step-up"}


class Reader:
    """Somebody who runs the programs of the page, on a machine of their own.

    Attributes:
        printed: What the programs printed.
    """

    def __init__(self, oidc: OidcServer, api: str, client: str, **names: Any) -> None:
        """The names that the page says are there."""
        known = getattr(oidc, client)
        self.printed: list[str] = []
        self._oidc, self._client = oidc, known
        self._names: dict[str, Any] = {
            "issuer": oidc.issuer,
            "api": api,
            "client_id": known.id,
            "client_secret": known.secret,
            "refresh_token": oidc.seed(known) if client.startswith("app") else None,
            "username": oidc.username,
            "password": oidc.password,
            "current_user_token": self._token_of_a_user,
            "print": self._print,
            **names,
        }

    @contextmanager
    def running(self, name: str) -> Iterator[dict[str, Any]]:
        """Run a program; give the names that it leaves behind."""
        names = dict(self._names)
        for each in ("setup", name):
            exec(compile(PROGRAMS[each], str(PAGE), "exec"), names)  # noqa: S102 (of this project)
        with names["session"]:
            yield names

    def asked(self) -> list[dict[str, Any]]:
        """The token requests of the program."""
        return [entry for entry in self._oidc.log() if entry["client"] == self._client.id]

    def _print(self, *words: object) -> None:
        """Remember it; asked to sign in, do so."""
        text = " ".join(map(str, words))
        self.printed.append(text)
        asked = re.fullmatch(r"Please open (\S+) and enter (\S+)", text)
        if asked:
            self._oidc.approve(asked[2])

    def _token_of_a_user(self) -> str:
        """What somebody has called us with."""
        client = Client(*self._oidc.cc, issuer=self._oidc.issuer)
        source = ClientCredentials(client, scopes=["api:read"])
        return str(source.fetch(FetchContext(None, timeout=60)).value)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The machine's clock, which moves on by itself when somebody waits, and only then."""
    fake = FakeClock(now=time.time())
    for name in ("time", "monotonic", "sleep"):
        monkeypatch.setattr(SystemClock, name, getattr(fake, name))
    return fake


@pytest.fixture(autouse=True)
def _home(clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: ARG001 (time is to pass at once)
    """A home and a working directory of the reader's own, with the keys that the page names."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, key in (("client", rsa_key()), ("service", ec_key()), ("dpop", ec_key())):
        (tmp_path / f"{name}-key.pem").write_bytes(key.as_pem(private=True))


@pytest.fixture
def reader(oidc: OidcServer, api: str, redis_server: RedisServer) -> Callable[[str], Reader]:
    """A function from the name of a program to somebody who runs it."""
    return lambda name: Reader(oidc, api, WALKS[name], redis_url=redis_server.url)


def test_views_of_one_user(oidc: OidcServer, api: str) -> None:
    """Each view makes the user's source anew, and the first refresh token is spent once."""
    ada = Reader(oidc, api, "app")
    with ada.running("web-view") as left:
        views = [left["response"], *(left["view"](left["refresh_token"]) for _ in range(2))]
        assert [response.status_code for response in views] == [200] * 3
        oidc.expire_all()
        assert left["view"](left["refresh_token"]).status_code == 200
    assert [entry["status"] for entry in ada.asked()] == [200, 200]


@pytest.mark.parametrize("name", WALKS)
def test_a_walk(oidc: OidcServer, reader: Callable[[str], Reader], name: str) -> None:
    """The program gets in; when its token has expired it does so with one token request more."""
    ada = reader(name)
    with ada.running(name) as left:
        assert left["response"].status_code == 200
        before = len(ada.asked())
        assert before == 1
        oidc.expire_all()
        assert left["session"].get(f"{left['api']}/get").status_code == 200
    assert len(ada.asked()) == before + 1
    assert all(entry["status"] == 200 for entry in ada.asked())
    assert len(ada.printed) == (name == "device-code")


@pytest.mark.parametrize("name", LASTING)
def test_the_next_run(oidc: OidcServer, reader: Callable[[str], Reader], name: str) -> None:
    """With its store, the next run of the program takes the token there is, and renews that."""
    ada = reader(name)
    for _ in range(2):
        with ada.running(name) as left:
            assert left["response"].status_code == 200
    assert len(ada.asked()) == 1
    oidc.expire_all()
    with ada.running(name) as left:
        assert left["response"].status_code == 200
    assert [entry["status"] for entry in ada.asked()] == [200, 200]
    assert len(ada.printed) == (name == "device-code")


def test_mutual_tls(oidc_server: Callable[..., OidcServer], tmp_path: Path) -> None:
    """The certificate of the session is the client's, at its server and at no other place."""
    oidc = oidc_server(mtls=True)
    assert oidc.certificates is not None
    for name, path in (("client", oidc.certificates.client), ("private-ca", oidc.certificates.ca)):
        (tmp_path / f"{name}.pem").write_bytes(Path(path).read_bytes())
    with serve(Api(oidc)) as api:
        ada = Reader(oidc, api, "cc_mtls")
        with ada.running("mutual-tls") as left:
            assert left["response"].status_code == 200
            oidc.expire_all()
            assert left["session"].get(f"{api}/get").status_code == 200
    assert [entry["status"] for entry in ada.asked()] == [200, 200]


@pytest.mark.parametrize("name", ["dpop", "dpop-shared"])
def test_tokens_are_bound(oidc: OidcServer, name: str) -> None:
    """What the API gets from these programs is a token that is bound to a key."""
    demo_server = DemoServer(Api(oidc))
    with serve(demo_server) as api, Reader(oidc, api, "cc").running(name):
        assert [str(seen.authorization)[:5] for seen in demo_server.seen] == ["DPoP "]


def test_nonces(oidc_server: Callable[..., OidcServer]) -> None:
    """As the page says of DPoP: servers that want nonces are served the same program."""
    oidc = oidc_server(dpop_nonce=True)
    with serve(Api(oidc, nonce_every=1)) as api:
        ada = Reader(oidc, api, "cc")
        with ada.running("dpop") as left:
            assert left["response"].status_code == 200
            for _ in range(3):
                assert left["session"].get(f"{api}/get").status_code == 200
    assert [entry["error"] for entry in ada.asked()] == ["use_dpop_nonce", None]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({}, []),
        ({"refresh_token": "spent"}, ["Please sign in again."]),
        ({"client_secret": "wrong-5b1c"}, ["No token: ", "invalid_client"]),
    ],
)
def test_a_failure(oidc: OidcServer, api: str, names: dict[str, str], words: list[str]) -> None:
    """The program says what is to be done, and asks the server once."""
    ada = Reader(oidc, api, "app", **names)
    with ada.running("failure"):
        printed = " ".join(ada.printed)
    assert bool(printed) == bool(words)
    assert all(word in printed for word in words)
    assert "wrong-5b1c" not in printed
    assert len(ada.asked()) == 1


def test_step_up(oidc: OidcServer) -> None:
    """The program says what the API wants, and the answer is the API's own."""
    demo_server = DemoServer(Api(oidc))
    wanted = 'Bearer error="insufficient_user_authentication", acr_values="gold", max_age=60'
    demo_server.answer(401, [("WWW-Authenticate", wanted)])
    with serve(demo_server) as api:
        ada = Reader(oidc, api, "app")
        with ada.running("step-up") as left:
            assert left["response"].status_code == 401
            demo_server.answer(403, [("WWW-Authenticate", 'Bearer error="insufficient_scope"')])
            assert left["session"].get(f"{api}/get").status_code == 403
    assert ada.printed == [
        "the server wants a stronger authentication",
        "wanted: gold 60",
        "the token's scope does not suffice",
    ]
    assert len(ada.asked()) == 1


def test_every_program_is_run() -> None:
    """Each program on the page has a name, and is run under it."""
    assert len(PROGRAMS) == TEXT.count("```python")
    assert set(PROGRAMS) == {*WALKS, *OTHERS}


@pytest.mark.parametrize("name", sorted({*WALKS, *OTHERS}))
def test_a_program_is_short(name: str) -> None:
    """A program of this page fits on half a screen, and in a line of it."""
    lines = PROGRAMS[name].strip().splitlines()
    assert len(lines) <= 14
    assert max(map(len, lines)) <= 100
