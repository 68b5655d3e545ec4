"""The programs of README and of the pages in ``docs/``, run in order as a reader would."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests
from joserfc.jwk import ECKey

from requests_authretry import AuthRetryError, Installed, PerIdentity, oauth2, override, sources
from requests_authretry.cli.demo_server import serve
from requests_authretry.testing import forget_tokens, no_waiting
from tests.cassettes_support import Loopback
from tests.support.pages import DOCS, OUTPUT, README, Servers, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN_ELSEWHERE: Final = {
    "deadlines.md": "tests/live/test_deadlines.py",
    "grants.md": "tests/live/test_grants.py",
    "lessons.md": "tests/live/test_lessons.py",
    "migrating.md": "tests/live/test_migrating.py",
    "sdks.md": "tests/sdks/test_page.py",
    "stores.md": "tests/live/test_stores_page.py",
}
"""The pages whose programs need more than one run, each with the test that makes it."""

WITH_PROGRAMS: Final = [
    page
    for page in (README, *DOCS)
    if page.name not in RUN_ELSEWHERE and any(each.language == "python" for each in blocks(page))
]

SETTINGS_FILE: Final = """
[[site]]
origins = ["https://api.example.com"]
"""


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Servers]:
    """The hosts that the pages name, all on this machine; the home directory is a new one."""
    app = Servers()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.toml").write_text(SETTINGS_FILE, encoding="utf-8")
    with serve(app) as url, no_waiting():
        monkeypatch.setattr(requests.sessions, "HTTPAdapter", lambda: Loopback(url))
        yield app
    forget_tokens()


@contextmanager
def read(
    page: Path, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> Iterator[dict[str, Any]]:
    """Run the programs of a page; give the names that they leave behind.

    Each answer is a 200, and what a program prints is what the page says.
    """
    names: dict[str, Any] = {"fetch_token": servers.guarded.issue}
    printed = ""
    response: Any = None
    try:
        for block in blocks(page):
            if block.language == "python":
                exec(compile(block.program, str(page), "exec"), names)  # noqa: S102 (of this project)
                printed = capsys.readouterr().out
                known, response = response, names.get("response")
                assert response is known or response.status_code == 200
            elif block.marker == OUTPUT:
                assert printed == block.text
        yield names
    finally:
        for each in names.values():
            if isinstance(each, Installed):
                each.uninstall()
            elif isinstance(each, requests.Session):
                each.close()


@pytest.mark.parametrize("page", WITH_PROGRAMS, ids=lambda page: page.name)
def test_the_programs_of_a_page_run(
    page: Path, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every program runs, gets a 200, and prints what the page says."""
    with read(page, servers, capsys) as names:
        assert names


def test_readme_fetches_a_token_for_each_settings_object(
    servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    """One for `mount` and one for `install`: no call fetches a token in vain."""
    with read(README, servers, capsys):
        assert servers.guarded.issued == 2


@pytest.mark.parametrize("name", ["README.md", "tokens.md"])
def test_a_login_server_that_fails_once(
    servers: Servers, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """With the function that the page shows, one 503 of the login server fails no call."""
    [page] = [page for page in WITH_PROGRAMS if page.name == name]
    with read(page, servers, capsys) as names:
        servers.failures = 1
        with override(token=partial(names["fetch_token"]), origins=["https://api.example.com"]):
            assert names["session"].get("https://api.example.com/bearer").status_code == 200
    assert servers.failures == 0


def test_the_token_of_each_user_is_fetched_once(
    servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many-users.md says: later calls of a user send the first token, and each has their own."""
    [page] = [page for page in WITH_PROGRAMS if page.name == "many-users.md"]
    with read(page, servers, capsys) as names:
        issued = servers.guarded.issued
        for user in ("ada", "bob", "bob", "ada"):
            with names["acting_as"](user):
                assert names["session"].get("https://api.example.com/bearer").status_code == 200
        assert servers.guarded.issued == issued + 1


def test_the_middleware_names_the_user(
    servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many-users.md says: a view behind it calls as the user of its request, or as nobody."""
    [page] = [page for page in WITH_PROGRAMS if page.name == "many-users.md"]
    with read(page, servers, capsys) as names:
        session = names["session"]
        serving = names["acting_as_user"](lambda _: session.get("https://api.example.com/bearer"))
        ada = SimpleNamespace(is_authenticated=True, pk="ada")
        assert serving(SimpleNamespace(user=ada)).status_code == 200
        with pytest.raises(AuthRetryError, match="acting_as"):
            serving(SimpleNamespace(user=SimpleNamespace(is_authenticated=False)))


def test_a_function_is_asked_in_each_override(
    servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many-users.md says: nothing tells whose tokens a function returns, so none is kept."""
    [page] = [page for page in WITH_PROGRAMS if page.name == "many-users.md"]
    with read(page, servers, capsys) as names:
        issued = servers.guarded.issued
        for _ in range(3):
            with names["override"](token=servers.guarded.issue):
                assert names["session"].get("https://api.example.com/bearer").status_code == 200
        assert servers.guarded.issued == issued + 3


def test_each_line_of_the_decision_table_makes_settings(
    servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    """``token=Prompt()`` in which-source.md: each line works in the place of ``token="k7"``."""
    [page] = [page for page in WITH_PROGRAMS if page.name == "which-source.md"]
    table = page.read_text(encoding="utf-8").partition("## I do not know what I have")[0]
    lines = re.findall(r"^\|[^|]+\| `(\w+=[^`]+)` \|", table, re.MULTILINE)
    assert len(lines) == 17
    pem = ECKey.generate_key("P-256").as_pem(private=True).decode()
    with read(page, servers, capsys) as names:
        known = {**vars(oauth2), **vars(sources), **vars(requests.auth), **names}
        known |= {"user": "ada", "password": "lovelace", "current_user_token": lambda: "k7"}
        known |= {"Signer": type("Signer", (requests.auth.AuthBase,), {}), "pem": pem}
        known |= {"PerIdentity": PerIdentity, "make_source": lambda identity: identity}
        login = "https://login.example.com"
        client = partial(oauth2.Client, "my-app", "my-secret", token_url=f"{login}/token")
        known["client"] = client(device_url=f"{login}/device")
        for line in lines:
            made = eval(f"Settings({line}, origins=['https://api.example.com'])", known)  # noqa: S307
            assert made.token is not None or made.auth is not None


def test_the_other_pages_have_a_test_each() -> None:
    """A page that is not run here is run by the test that is named for it."""
    tops = {page.name: page.parents[1] for page in DOCS}
    for page, test in RUN_ELSEWHERE.items():
        assert (tops[page] / test).exists()


def test_a_401_in_the_table_is_told_in_these_words() -> None:
    """The first column of the table of 401s in tokens.md has the words of `Reason`."""
    from requests_authretry import Reason

    [page] = [page for page in DOCS if page.name == "tokens.md"]
    text = page.read_text(encoding="utf-8")
    table = text[text.index("## Why did I get a 401?") : text.index("## How do I get the current")]
    rows = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[2:]
    known = {reason.value for reason in Reason}
    assert {row.split(": ...")[0] for row in rows} <= known
