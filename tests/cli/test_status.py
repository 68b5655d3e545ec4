"""The command ``status``: what a store holds, never a secret, and nothing is changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from requests_authretry import FileStore, Token
from requests_authretry._core.shared_pace import Told
from requests_authretry._core.token import TokenRecord
from requests_authretry.cli import _locks, main
from requests_authretry.cli._status import Row, described, rows_of
from requests_authretry.redis import RedisStore
from requests_authretry.testing import FakeClock

if TYPE_CHECKING:
    from requests_authretry import Store
    from tests.servers.redis import RedisServer

SECRET, REFRESH = "s3cret-9f2c41d7aa", "refresh-0c55e1"
KEY = "https://api.example.com"
SCOPE = f"endpoint {KEY} 9af3 GET /items"
NOW = 1_700_000_000.0
PACE = json.dumps({"kind": "pace", "version": 1, "rate": 12.5, "basis": 40.0, "mark": "m"})


def fill(store: Any, now: float = NOW) -> None:
    """Put one of each into a store."""
    token = Token(SECRET, now + 90, refresh_token=REFRESH, scopes=["read", "write"])
    store.write(KEY, TokenRecord(token, generation=3).dump())
    store.write("old", TokenRecord(Token(SECRET, now - 60, scheme="DPoP")).dump())
    store.write("plain", TokenRecord(Token(SECRET)).dump())
    store.write("torn", f'{{"value": "{SECRET}')
    store.write("empty", "")
    store.push(f"cool-down {SCOPE}", 600)
    store.push(f"outage {KEY} /items", 300)
    store.take(f"slots {SCOPE}", 1.0, 1, 500)
    store.keep(f"pace {SCOPE}", PACE, 600)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """A file with one of each."""
    filled = FileStore(tmp_path / "tokens.json", FakeClock(NOW))
    fill(filled)
    return filled


LINES = [
    f"  cool-down {SCOPE}: for 600 s",
    f"  outage {KEY} /items: for 300 s",
    f"  pace {SCOPE}: 12.5 requests a second",
    f"  slots {SCOPE}: taken for the next 500 s",
    f"  token {KEY}: Bearer, expires in 90 s, renewable, scopes read write, generation 3",
    "  token old: DPoP, expired 60 s ago, no refresh token, generation 0",
    "  token plain: Bearer, expiry unknown, no refresh token, generation 0",
    "  unreadable torn: the record cannot be read",
]


def test_a_file_is_told(store: FileStore) -> None:
    """Each token, cool-down, outage, pace and slot has a line, and no secret is in it."""
    assert list(described(store, rows_of(store, NOW))) == [f"{store!r}:", *LINES]


def test_what_is_over_is_not_told(store: FileStore) -> None:
    """An hour later only the tokens are left."""
    kinds = {row.kind for row in rows_of(store, NOW + 3600)}
    assert kinds == {"token", "unreadable"}


def test_an_empty_store_holds_nothing(tmp_path: Path) -> None:
    """It says so."""
    path = tmp_path / "tokens.json"
    path.touch()
    store = FileStore(path)
    assert list(described(store, rows_of(store, NOW))) == [f"{store!r}:", "  nothing"]


def test_the_holder_of_a_lock_is_told(store: FileStore) -> None:
    """Its process and its program, where the system knows them; a free lock is not told."""
    with store.lock(KEY, 1.0):
        (row,) = (row for row in rows_of(store, NOW) if row.kind == "lock")
        assert row.key == KEY
        (_, line) = described(store, [row])
    if Path("/proc/locks").exists():
        assert row.facts["process"] == os.getpid()
        assert line.startswith(f"  lock {KEY}: held by process {os.getpid()} (")
    assert not [row for row in rows_of(store, NOW) if row.kind == "lock"]


def test_a_held_lock_is_found_without_the_list_of_linux(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where no system says by whom, it is told that it is held."""
    monkeypatch.setattr(_locks, "_LOCKS", tmp_path / "none")
    with store.lock(KEY, 1.0):
        (row,) = (row for row in rows_of(store, NOW) if row.kind == "lock")
        assert list(described(store, [row]))[1] == f"  lock {KEY}: held"
    assert not [row for row in rows_of(store, NOW) if row.kind == "lock"]


@pytest.mark.parametrize(
    ("line", "process"),
    [
        ("1: FLOCK  ADVISORY  WRITE 77 {} 0 EOF", 77),
        ("1: -> FLOCK  ADVISORY  WRITE 77 {} 0 EOF", None),
        ("1: FLOCK  ADVISORY  WRITE what {} 0 EOF", None),
        ("1: FLOCK  ADVISORY  WRITE 77 00:00:1 0 EOF", None),
        ("", None),
    ],
)
def test_the_list_of_linux_is_read(tmp_path: Path, line: str, process: int | None) -> None:
    """The process stands before the device and the inode; one that waits holds nothing."""
    path = tmp_path / "lock"
    path.touch()
    status = path.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    assert _locks.process_in(line.format(device), path) == process
    assert _locks.process_in(line.format(device), tmp_path / "none") is None


def test_nothing_is_changed(store: FileStore, capsys: pytest.CaptureFixture[str]) -> None:
    """No file is made, written or touched."""
    folder = store.path.parent

    def seen() -> dict[str, tuple[bytes, int]]:
        return {
            path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()
        }

    before = seen()
    for options in ([], ["--json"]):
        assert main(["status", str(store.path), *options]) == 0
    assert seen() == before
    out = capsys.readouterr().out
    assert SECRET not in out
    assert REFRESH not in out


def test_facts_as_json(store: FileStore, capsys: pytest.CaptureFixture[str]) -> None:
    """The name of the store, and what it holds."""
    assert main(["status", "--json", str(store.path)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["store"] == repr(FileStore(store.path))
    token = next(each for each in facts["holds"] if each["key"] == KEY)
    assert token.pop("expires_in") < 0
    assert token == {
        "kind": "token",
        "key": KEY,
        "scheme": "Bearer",
        "is_renewable": True,
        "scopes": ["read", "write"],
        "generation": 3,
    }


def test_the_store_of_the_settings_is_told(
    store: FileStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without STORE it is that of the settings, or of their first site that has one."""
    path = tmp_path / "settings.toml"
    of_a_site = f'[[site]]\norigins = ["{KEY}"]\nstore = "file:{store.path}"\n'
    for text in (of_a_site, f'store = "file:{store.path}"\n'):
        path.write_text(text)
        assert main(["status", "--config", str(path)]) == 0
        assert capsys.readouterr().out.startswith(f"{FileStore(store.path)!r}:\n")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "name a store: "),
        (["none.json"], 1, "none.json does not exist: nothing was kept there yet"),
        (["foreign.json"], 1, "foreign.json holds something else"),
        (["memory:"], 1, "cannot list what it holds"),
        (["env:NO_SUCH_STORE"], 2, "the variable NO_SUCH_STORE is not set"),
        ([f"redis://:{SECRET}@127.0.0.1:1/0"], 1, "Redis is out of reach"),
    ],
)
def test_what_cannot_be_read_is_told(  # noqa: PLR0913, PLR0917 (fixtures)
    arguments: list[str],
    status: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In one line, without a secret, and no file is made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign.json").write_text("{}")
    assert main(["status", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert SECRET not in err
    assert "REQUESTS_AUTHRETRY_" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.json"]


def test_a_key_is_cut_and_cannot_steer_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever may write the store names the keys."""
    store = FileStore(tmp_path / "tokens.json")
    store.write("\x1b[31m" + "x" * 300, TokenRecord(Token(SECRET)).dump())
    assert main(["status", str(store.path)]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("  token ?[31mxxx")
    assert "x...: Bearer" in line
    assert len(line) < 300


def test_a_redis_is_told(redis_server: RedisServer) -> None:
    """The same as of a file, by the clock of the server; a lock ends without signs of life.

    The names of slots and paces are hashes there, and so are those of unknown locks.
    """
    store: Store = RedisStore(redis_server.url, prefix="odd*[x]:")
    fill(store)
    RedisStore(redis_server.url, prefix="odd").write("elsewhere", SECRET)
    with store.lock(KEY, 1.0):
        rows = rows_of(store, NOW)
    kinds = [row.kind for row in rows]
    assert kinds == ["cool-down", "lock", "outage", "pace", "slots", *["token"] * 3, "unreadable"]
    lines = list(described(store, rows))
    assert lines[6:] == LINES[4:]
    assert lines[1].startswith(f"  cool-down {SCOPE}: for ")
    assert lines[2].startswith(f"  lock {KEY}: held; without a sign of life it ends in ")
    assert lines[4].endswith(": 12.5 requests a second")
    assert SECRET not in "\n".join(lines)


def test_values_of_others_in_a_redis_are_passed_over(redis_server: RedisServer) -> None:
    """A list under the prefix is no text, and nothing of ours."""
    store = RedisStore(redis_server.url, prefix="mine:")
    store.write("plain", TokenRecord(Token(SECRET)).dump())
    with redis.Redis.from_url(redis_server.url) as client:
        client.rpush("mine:list", "a")
    assert [row.key for row in rows_of(store, NOW)] == ["plain"]


def test_a_row_says_no_more_than_its_facts() -> None:
    """A pace is told with three digits."""
    row = Row("pace", "x", {"rate": Told(1 / 3, 0.0).rate})
    assert list(described("store", [row])) == ["'store':", "  pace x: 0.333 requests a second"]
