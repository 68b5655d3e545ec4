"""The programs of docs/stores.md: a user's own database as a store, on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests
from keyring.backends import fail

from requests_authretry.cli.demo_server import serve
from requests_authretry.testing import forget_tokens
from tests.cassettes_support import Loopback
from tests.support.pages import TOP, Servers, blocks
from tests.support.stores import is_free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from requests_authretry import FunctionStore
    from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.slow

PAGE: Final = TOP / "docs" / "stores.md"
DATABASE: Final = "postgresql+psycopg://app@db.example.com/app"
FILE: Final = "file: "

SETTINGS: Final = """
SECRET_KEY = "for tests"
INSTALLED_APPS = ["tokens"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres", "USER": "tester", "HOST": HOST,
    }
}
"""

WORKER: Final = """
import os, sys, threading, warnings
os.environ["DJANGO_SETTINGS_MODULE"] = "project"
import django
django.setup()
from django.db import connection
from tokens.store import store

def count():
    for _ in range(5):
        with store.lock("count", 60.0):
            store.write("count", str(int(store.read("count") or 0) + 1))
    assert connection.connection is None, "a connection is left open"

threads = [threading.Thread(target=count) for _ in range(2)]
for each in threads:
    each.start()
for each in threads:
    each.join()
"""

REPORT: Final = """
def late():
    try:
        with store.lock("count", 0.0):
            pass
    except TimeoutError:
        print("held")

with store.lock("count", 60.0):
    thread = threading.Thread(target=late)
    thread.start()
    thread.join()
print(store.read("count"))
"""


@pytest.fixture
def names(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, Any]]:
    """What the programs of the page leave behind, on a machine without a keyring."""
    app = Servers()
    for variable in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr("keyring.core._keyring_backend", fail.Keyring())  # type: ignore[no-untyped-call]
    known: dict[str, Any] = {"fetch_token": app.guarded.issue, "app": app}
    with serve(app) as url, ExitStack() as ends:
        monkeypatch.setattr(requests.sessions, "HTTPAdapter", lambda: Loopback(url))
        for block in blocks(PAGE):
            if block.language == "python" and not block.marker:
                program = block.program.replace(DATABASE, postgres_server.url)
                exec(compile(program, str(PAGE), "exec"), known)  # noqa: S102 (of this project)
                if "engine" in known:
                    ends.callback(known["engine"].dispose)
                assert known.get("response", requests.Response()).status_code in {None, 200}
        ends.callback(known["session"].close)
        yield known
        with known["engine"].begin() as db:
            db.execute(known["text"]("DROP TABLE tokens"))
    forget_tokens()


def test_a_token_goes_to_the_database(names: dict[str, Any], tmp_path: Path) -> None:
    """Each program of the page gets a 200: the first one has its token in the file, no keyring."""
    origin = "https://api.example.com"
    assert '"value"' in names["load"](origin)
    assert (tmp_path / ".cache" / "my-app" / "token.json").exists()
    assert names["load"]("another") is None


def test_the_lock_in_the_database_excludes(names: dict[str, Any]) -> None:
    """Another connection waits for the lock, and gets it when it is given back."""
    store: FunctionStore = names["store"]
    with store.lock("key", 1.0):
        assert not is_free(store)
        assert is_free(store, "another")
    assert is_free(store)


def test_a_database_that_is_away_is_an_oserror(names: dict[str, Any]) -> None:
    """Whatever the driver raises is an `OSError` that shows neither the record nor the address."""
    store: FunctionStore = names["store"]
    with names["engine"].begin() as db:
        db.execute(names["text"]("ALTER TABLE tokens RENAME TO away"))
    try:
        with pytest.raises(
            OSError, match=r"save of the FunctionStore failed with ProgrammingError"
        ):
            store.write("key", "s3cret")
    finally:
        with names["engine"].begin() as db:
            db.execute(names["text"]("ALTER TABLE away RENAME TO tokens"))


@pytest.fixture
def project(postgres_server: PostgresServer, tmp_path: Path) -> Callable[..., str]:
    """A Django project with the files of the page; the function runs a program in it."""
    (tmp_path / "project.py").write_text(f"HOST = {str(postgres_server.folder)!r}\n{SETTINGS}")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "__init__.py").touch()
    for block in blocks(PAGE):
        if block.marker.startswith(FILE):
            (tmp_path / block.marker.removeprefix(FILE)).write_text(block.text)
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }

    def run(*arguments: str) -> str:
        ended = subprocess.run(  # noqa: S603 (our own words)
            [sys.executable, "-W", "error::ResourceWarning", *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    return run


def test_a_django_project_counts_with_two_processes(project: Callable[..., str]) -> None:
    """Threads of two processes count under the lock, lose no step, and leave no connection."""
    project("-m", "django", "makemigrations", "tokens")
    project("-m", "django", "migrate")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: project("-c", WORKER), range(2)))
    assert project("-c", WORKER.replace("range(5)", "()") + REPORT).split() == ["held", "20"]
