"""`FileStore`: what it lets others see, what it survives, and what processes share in it."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from requests_authretry import (
    AuthRetryWarning,
    ConfigurationError,
    FileStore,
    MemoryStore,
    RefreshFailed,
    Token,
)
from requests_authretry._core.token import TokenRecord
from requests_authretry._tokens import store_sync
from requests_authretry.stores import _file
from requests_authretry.stores._lockfile import lock_file
from requests_authretry.testing import FakeClock
from tests.support.scripted import EXPIRED, ORIGIN, URL, Source, carried, scripted, settings
from tests.support.systems import links, permissions, pipes_with_names, posix_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "s3cret-of-the-user"
RECORD = TokenRecord(Token(SECRET, 4_000_000_000.0)).dump()
NOW = 1_000_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet, in a folder that is."""
    return tmp_path / "tokens.json"


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Files and folders are everybody's, unless their maker says otherwise."""
    usual = os.umask(0)
    yield
    os.umask(usual)


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def descriptors() -> int:
    """How many are open in this process."""
    return len(list(Path("/dev/fd").iterdir()))


# What others see


@permissions
@pytest.mark.usefixtures("open_umask")
def test_a_file_is_never_readable_for_others(path: Path) -> None:
    """Whatever name a watcher sees in the folder at any time is 0600; no name is left over."""
    over, seen = Event(), set()

    def watch() -> None:
        while not over.is_set():
            for entry in os.scandir(path.parent):
                with suppress(FileNotFoundError):
                    seen.add(stat.S_IMODE(entry.stat().st_mode))

    with ThreadPoolExecutor(1) as watcher:
        watching = watcher.submit(watch)
        try:
            for number in range(50):
                FileStore(path).write("key", f"{number} {RECORD * 300}")
                FileStore(path).push("cool-down", 60.0 + number)
            with FileStore(path).lock("key", 1.0):
                over.set()
        finally:
            over.set()  # else the watcher, and with it the test, would never end
        watching.result()
    assert seen == {0o600}
    assert all(mode(left) == 0o600 for left in path.parent.iterdir())
    assert {left.suffix for left in path.parent.iterdir()} == {".json", ".lock"}


@permissions
@pytest.mark.usefixtures("open_umask")
def test_folders_are_made_for_the_owner_only(tmp_path: Path) -> None:
    """Every missing folder is made 0700: who may write in one could exchange what is in it."""
    deep = tmp_path / "outer" / "inner" / "tokens.json"
    FileStore(deep).write("key", RECORD)
    assert [mode(folder) for folder in (deep.parent, deep.parent.parent)] == [0o700, 0o700]


def test_a_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde is the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert FileStore("~/tokens.json").path == tmp_path / "tokens.json"


ANOTHER = 65534
"""The user id that no person has."""

AS_ANOTHER = """
import os, sys
from requests_authretry import FileStore
place, path, another = sys.argv[1:]
FileStore(f"{place}/warm").write("key", "what is imported late is imported")
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(int(another)), os.setuid(int(another))
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user of the machine can look into; those of pytest are ours alone."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_another(code: str, place: Path, path: Path) -> str:
    """What a process says that has another user's rights, or only ours where we are not root."""
    return subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, "-c", AS_ANOTHER + code, str(place), str(path), str(ANOTHER)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


@permissions
def test_another_user_cannot_read_it(public: Path, tmp_path: Path) -> None:
    """In a folder that all can read, only its owner can read the file, or lock it."""
    path, plain = public / "tokens.json", public / "plain"
    FileStore(path).write("key", RECORD)
    plain.write_text("plain")
    plain.chmod(0o644)
    looks = """
def fails(look):
    try:
        look()
    except PermissionError:
        return True
store = FileStore(path)
locks = lambda: store.lock("key", 0.0).__enter__()
print(open(f"{os.path.dirname(path)}/plain").read())
print(*map(fails, (lambda: open(path), lambda: store.read("key"), locks)))
"""
    said = as_another(looks, tmp_path, path).splitlines()
    assert said == ["plain", "True True True" if os.geteuid() == 0 else "None None None"]
    assert {mode(each) for each in public.glob("tokens*")} == {0o600}


@permissions
def test_a_folder_that_is_read_only(public: Path, tmp_path: Path) -> None:
    """Where no file can be made, what is there is read, and writing and locking are errors."""
    path = public / "tokens.json"
    FileStore(path).write("key", SECRET)
    path.chmod(0o444)
    for lock in public.glob("*.lock"):
        lock.unlink()
    public.chmod(0o555)
    tries = """
def failure(call):
    try:
        return call()
    except OSError as error:
        return type(error).__name__
store = FileStore(path)
print(store.read("key"))
print(failure(lambda: store.write("key", "x")), failure(store.lock("key", 0.1).__enter__))
print(failure(lambda: store.push("cool-down", 60.0)), store.push("cool-down", 0.0))
"""
    said = as_another(tries, tmp_path, path).splitlines()
    public.chmod(0o755)
    assert said == [SECRET, "PermissionError PermissionError", "PermissionError 0.0"]
    assert FileStore(path).read("key") == SECRET


def belongs_to_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the file to another user; who may not is another user from now on."""
    if os.geteuid() == 0:
        os.chown(path, ANOTHER, ANOTHER)
    else:
        ours = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: ours + 1)


@permissions
def test_another_users_file_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that another user planted is not used, and that user's file is not replaced."""
    FileStore(path).write("key", "planted")
    planted = path.read_bytes()
    belongs_to_another(path, monkeypatch)
    with pytest.raises(OSError, match="another user's: name another file"):
        FileStore(path).read("key")
    with pytest.raises(OSError, match="another user's: name another file"):
        FileStore(path).write("key", RECORD)
    with pytest.raises(OSError, match="another user's: name another file"):
        FileStore(path).push("cool-down", 60.0)
    with pytest.raises(OSError, match="another user's: name another file"):
        FileStore(path).push("cool-down", 0.0)
    assert path.read_bytes() == planted


def test_a_file_of_root_is_trusted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What root put there is read, whoever we are."""
    FileStore(path).write("key", RECORD)
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "geteuid", lambda: ANOTHER)
    assert FileStore(path).read("key") == RECORD


@permissions
@pytest.mark.parametrize("bits", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_warned_about(path: Path, bits: int) -> None:
    """Somebody has copied it, or changed its mode: once for a store, until the next record."""
    store = FileStore(path)
    store.write("key", RECORD)
    path.chmod(bits)
    with pytest.warns(AuthRetryWarning, match=f"mode {bits:04o}.: run chmod 600") as warned:
        assert [store.read("key") for _ in range(2)] == [RECORD] * 2
    assert len(warned) == 1
    assert SECRET not in str(warned[0].message)
    store.write("key", RECORD)
    assert mode(path) == 0o600
    assert FileStore(path).read("key") == RECORD


# How large it may be


def test_a_record_above_64_kb_is_refused(path: Path) -> None:
    """The error names the stores that take it, and what was there stays."""
    store = FileStore(path)
    most = "x" * (65_536 - len('""'))
    store.write("key", most)
    with pytest.raises(OSError, match=r"64 KB.*RedisStore.*FunctionStore"):
        store.write("key", most + "x")
    assert store.read("key") == most


def test_a_file_above_64_mb_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither read nor written, and what was there stays."""
    store = FileStore(path)
    store.write("key", RECORD)
    monkeypatch.setattr(_file, "_MOST_IN_FILE", path.stat().st_size)
    with pytest.raises(OSError, match=r"64 MB.*RedisStore.*FunctionStore"):
        store.write("another", RECORD)
    assert store.read("key") == RECORD
    assert not (path.parent / f".{path.name}.new").exists()
    monkeypatch.setattr(_file, "_MOST_IN_FILE", path.stat().st_size - 1)
    with pytest.raises(OSError, match="has more than 64 MB"):
        store.read("key")
    with pytest.raises(OSError, match="has more than 64 MB"):
        store.write("key", RECORD)


# What a killed writer leaves behind


def test_the_next_writer_removes_what_a_killed_one_left(path: Path) -> None:
    """A process was killed between the new content and the new name: a push ends it, too."""
    left = path.parent / f".{path.name}.new"
    left.write_text(SECRET)
    FileStore(path).write("key", RECORD)
    assert not left.exists()
    left.write_text(SECRET)
    FileStore(path).push("cool-down", 60.0)
    assert not left.exists()
    assert SECRET in path.read_text()


@posix_files
def test_a_killed_process_leaves_nothing_for_long(path: Path) -> None:
    """However often a writing process is killed, the next write leaves one file and its lock."""
    code = (
        "import sys\nfrom requests_authretry import FileStore\nstore = FileStore(sys.argv[1])\n"
        "print(flush=True)\nwhile True:\n    store.write('key', 'x' * 20_000)\n"
    )
    for _ in range(3):
        process = subprocess.Popen(  # noqa: S603 (our own script)
            [sys.executable, "-c", code, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
        FileStore(path).write("another", RECORD)
        assert {left.name for left in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}


@links
def test_a_planted_link_in_place_of_the_new_file_is_not_followed(path: Path) -> None:
    """What it points to stays as it was, and the link is gone."""
    target = path.parent / "of another"
    target.write_text("theirs")
    (path.parent / f".{path.name}.new").symlink_to(target)
    FileStore(path).write("key", RECORD)
    assert (target.read_text(), FileStore(path).read("key")) == ("theirs", RECORD)


# Where it is


def test_a_relative_path_is_fixed_when_the_store_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon goes to another directory: records, limits and locks stay where they were."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = FileStore("tokens.json")
    store.write("key", RECORD)
    place = store.place
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (store.read("key"), store.place) == (RECORD, place)
    store.take("key", 1.0, 1.0, 1)
    with store.lock("key", 1.0):
        assert list((tmp_path / "elsewhere").iterdir()) == []
    assert store.path == tmp_path / "tokens.json"
    assert FileStore("../tokens.json").place == place


@posix_files
def test_a_relative_path_in_a_directory_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no place: this is said when the store is made."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(ConfigurationError, match="relative, and the current directory is gone"):
        FileStore("tokens.json")


# What is kept


def test_a_reader_never_sees_half(path: Path) -> None:
    """While the record is written again and again, each read finds a whole one."""
    store = FileStore(path)
    store.write("key", RECORD)

    def write() -> None:
        for times in range(1, 60):
            store.write("key", RECORD * times)

    with ThreadPoolExecutor(1) as pool:
        writing, seen = pool.submit(write), {store.read("key")}
        while not writing.done():
            seen.add(store.read("key"))
    assert None not in seen
    assert all(record and record.startswith(RECORD) for record in seen)


@posix_files
def test_a_record_outlives_a_power_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is on the disk before the name changes, the new name before the write is over."""
    synced: list[tuple[bool, str | None]] = []
    store = FileStore(path)
    store.write("key", "old")

    def fsync(descriptor: int, real: Callable[[int], None] = os.fsync) -> None:
        real(descriptor)
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), store.read("key")))

    monkeypatch.setattr(os, "fsync", fsync)
    store.write("key", "new")
    assert synced == [(False, "old"), (True, "new")]


def test_cool_downs_are_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with nothing but cool-downs is not put on the disk at once; one with a token is."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    store = FileStore(path)
    store.push("cool-down", 60.0)
    assert synced == []
    store.write("key", RECORD)
    written = len(synced)
    store.push("cool-down", 600.0)
    assert len(synced) == 2 * written > 0


def test_a_cool_down_that_changes_nothing(path: Path) -> None:
    """A push that asks for no longer than what is left leaves the file as it is."""
    store = FileStore(path, FakeClock())
    store.push("cool-down", 60.0)
    before = path.stat()
    assert [store.push("cool-down", seconds) for seconds in (60.0, 59.0, 0.0)] == [60.0] * 3
    assert path.stat() == before


def test_a_look_at_no_file_makes_none(path: Path) -> None:
    """A push of zero makes neither the file, nor a lock file, nor the folder."""
    assert FileStore(path.parent / "folder" / path.name).push("cool-down", 0.0) == 0.0
    assert FileStore(path).push("cool-down", 0.0) == 0.0
    assert list(path.parent.iterdir()) == []


def test_a_look_waits_for_no_lock(path: Path) -> None:
    """A push of zero ends while another process writes, and so does one that finds nothing."""
    store = FileStore(path, FakeClock())
    store.push("cool-down", 60.0)
    with lock_file(f"{path}.lock", 1.0):
        assert [store.push(key, 0.0) for key in ("cool-down", "another")] == [60.0, 0.0]


def test_cool_downs_do_not_pile_up(path: Path) -> None:
    """A file that meets new hosts for ever holds only the cool-downs that last."""
    clock = FakeClock()
    for number in range(100):
        FileStore(path, clock).push(f"host {number}", 2.5)
        clock.advance(1.0)
    kept = json.loads(path.read_text())["requests_authretry"]
    assert list(kept) == ["host 97", "host 98", "host 99"]


@permissions
def test_slots_stand_in_a_file_of_their_own(path: Path) -> None:
    """A take leaves the file with the tokens as it is, and nobody else can read the other one."""
    store = FileStore(path)
    store.write("key", RECORD)
    before = path.stat()
    store.take("key", 1.0, 1, 1)
    assert path.stat() == before
    assert stat.S_IMODE(Path(f"{path}.limits").stat().st_mode) == 0o600


def limits_in(path: Path) -> dict[str, Any]:
    """Return the slots, and what is kept for a while, beside a file."""
    there: dict[str, Any] = json.loads(Path(f"{path}.limits").read_text())["requests_authretry"]
    return there


def test_slots_do_not_pile_up(path: Path) -> None:
    """Limits that are idle are forgotten, as soon as their slots of the past cannot be used."""
    clock = FakeClock()
    for number in range(100):
        FileStore(path, clock).take(f"host {number}", 1.0, 2.5, 2)
        clock.advance(1.0)
    # Two slots from 1.5 s ago take half a second from now, and may be used 1.5 s later.
    assert list(limits_in(path)) == ["slots host 98", "slots host 99"]


def test_slots_of_next_year_are_forgotten(path: Path) -> None:
    """After the clock was set back, limits that nobody uses are gone a while after the next."""
    clock = FakeClock()
    store = FileStore(path, clock)
    store.take("host", 1.0, 1, 3)
    clock.advance(-30_000_000.0)
    for _ in range(3):
        store.take("another", 1.0, 1, 1)
        clock.advance(2.0)
    assert list(limits_in(path)) == ["slots another"]


ODD_SLOTS: list[dict[str, object]] = [
    {"since": None},
    {"since": float("nan")},
    {"seconds": "7"},
    {"seconds": float("inf")},
    {"seconds": 1e9},
    {"seconds": -1e9},
]


@pytest.mark.parametrize("odd", ODD_SLOTS, ids=repr)
def test_odd_slots_are_idle(path: Path, odd: dict[str, object]) -> None:
    """A record of our format that says nothing useful counts for nothing, and is replaced."""
    clock = FakeClock()
    record = {"kind": "slots", "version": 1, "since": clock.time(), "seconds": 3.0, "idle": 0.0}
    content = {"slots key": {**record, **odd}, "slots other": {**record, "idle": odd}}
    Path(f"{path}.limits").write_text(json.dumps({"requests_authretry": content}))
    store = FileStore(path, clock)
    assert [store.take("key", 1.0, 1, 1) for _ in range(2)] == [0.0, 1.0]
    assert list(limits_in(path)) == ["slots key"]


@pytest.mark.parametrize("record", [{"kind": "slots", "version": 2}, {"version": 1}, {}, "text"])
def test_slots_of_another_release_stay(path: Path, record: object) -> None:
    """What this release cannot read it leaves there, and takes nothing."""
    content = {"requests_authretry": {"slots key": record}}
    Path(f"{path}.limits").write_text(json.dumps(content))
    store = FileStore(path, FakeClock())
    assert [store.take("key", 1.0, 1, 1) for _ in range(2)] == [0.0, 0.0]
    store.take("another", 1.0, 1, 1)
    assert limits_in(path)["slots key"] == record


def test_what_is_kept_for_a_while_does_not_pile_up(path: Path) -> None:
    """Texts that are over are dropped by the next one; a look keeps nothing and makes no file."""
    clock = FakeClock()
    store = FileStore(path, clock)
    assert store.keep("key", "", 0.0) is None
    assert list(path.parent.iterdir()) == []
    for number in range(100):
        store.keep(f"host {number}", "text", 2.5)
        clock.advance(1.0)
    assert list(limits_in(path)) == ["kept host 97", "kept host 98", "kept host 99"]


@pytest.mark.parametrize("record", [{"kind": "kept", "version": 2}, {"version": 1}, {}, "text"])
def test_what_another_release_keeps_stays(path: Path, record: object) -> None:
    """A record in another format is neither read nor replaced."""
    Path(f"{path}.limits").write_text(json.dumps({"requests_authretry": {"kept key": record}}))
    store = FileStore(path, FakeClock())
    assert store.keep("key", "mine", 60.0) is None
    assert store.keep("key", "", 0.0) is None
    assert limits_in(path)["kept key"] == record


@pytest.mark.parametrize("odd", [{"text": 7}, {"text": None}, {"since": "x"}, {"seconds": None}])
def test_what_is_kept_without_a_text(path: Path, odd: dict[str, object]) -> None:
    """A record of our format that says nothing useful counts for nothing, and is replaced."""
    clock = FakeClock()
    record = {"kind": "kept", "version": 1, "since": clock.time(), "seconds": 9.0, "text": "x"}
    content = {"requests_authretry": {"kept key": {**record, **odd}}}
    Path(f"{path}.limits").write_text(json.dumps(content))
    store = FileStore(path, clock)
    assert store.keep("key", "", 0.0) is None
    assert [store.keep("key", text, 9.0) for text in ("mine", "")] == ["mine", ""]


def test_a_torn_file_of_slots_is_empty(path: Path) -> None:
    """A power cut may leave half of it: the limits count as idle."""
    Path(f"{path}.limits").write_text('{"requests_authretry": {"slots key": {"kind": "slo')
    store = FileStore(path, FakeClock())
    assert store.keep("key", "", 0.0) is None
    assert [store.take("key", 1.0, 1, 1) for _ in range(2)] == [0.0, 1.0]


def test_a_file_of_slots_may_look_torn_while_it_is_written(path: Path) -> None:
    """It is written in place: who reads half of it waits for the writer, and reads it again."""
    Path(f"{path}.limits").write_text('{"requests_authretry": {"kept key": {"kind": "ke')
    store = FileStore(path)
    with lock_file(f"{path}.limits.lock", 1.0), pytest.raises(TimeoutError):
        store.keep("key", "", 0.0)


def test_a_file_of_slots_becomes_small_again(path: Path) -> None:
    """What was large a second ago is small now: the file is written in place, and cut if large."""
    clock = FakeClock()
    store = FileStore(path, clock)
    store.keep("key", "text" * 50_000, 1.0)
    clock.advance(2.0)
    store.take("key", 1.0, 1, 1)
    assert Path(f"{path}.limits").stat().st_size < 1000
    assert list(limits_in(path)) == ["slots key"]


def test_a_take_waits_50_ms_for_another_process(path: Path) -> None:
    """While another process holds the lock, a take fails after 50 ms: slots would come too late."""
    with lock_file(f"{path}.limits.lock", 1.0), pytest.raises(TimeoutError):
        FileStore(path).take("key", 1.0, 1, 1)


def test_a_clock_that_was_set_back_leaves_nothing_for_ever(path: Path) -> None:
    """Cool-downs of next year, at which nobody looks, are gone a while after the next push."""
    clock = FakeClock()
    store = FileStore(path, clock)
    store.push("host", 2.5)
    clock.advance(-30_000_000.0)
    for _ in range(2):
        store.push("another", 60.0)
        clock.advance(60.0)
    store.push("another", 60.0)
    assert list(json.loads(path.read_text())["requests_authretry"]) == ["another"]


def test_a_clock_that_is_fast_makes_no_cool_down_longer(path: Path) -> None:
    """Where two machines share a file after all, three seconds of a fast one are three for both."""
    fast, right = FakeClock(1e9 + 300.0), FakeClock(1e9)
    FileStore(path, fast).push("cool-down", 3.0)
    store = FileStore(path, right)
    assert store.push("cool-down", 0.0) == 3.0
    right.advance(2.0)
    assert store.push("cool-down", 0.0) == 1.0


def test_a_cool_down_is_no_reason_to_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another holds the file, a push ends within a second, and another one serves."""
    asked: list[float] = []

    def at_once(lock: str, timeout: float) -> AbstractContextManager[None]:
        asked.append(timeout)
        return lock_file(lock, 0.0)

    monkeypatch.setattr(_file, "lock_file", at_once)
    store = FileStore(path)
    with lock_file(f"{path}.lock", 1.0), pytest.raises(TimeoutError):
        store.push("cool-down", 60.0)
    assert store.push("cool-down", 60.0) == 60.0
    assert max(asked) <= 1.0


def test_a_file_that_cannot_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the system does not let us read is an error, and no reason to replace it."""
    FileStore(path).write("another", "precious")

    def full(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, "too many open files", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(OSError, match="too many"):
            FileStore(path).read("key")
        with pytest.raises(OSError, match="too many"):
            FileStore(path).write("key", RECORD)
    assert FileStore(path).read("another") == "precious"


def test_a_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be locked, older versions of filelock do not raise an `OSError`; we do."""

    def acquire(*_: object, **__: object) -> NoReturn:
        raise NotImplementedError

    monkeypatch.setattr("filelock.BaseFileLock.acquire", acquire)
    with pytest.raises(OSError, match="has no locks"):
        FileStore(path).lock("key", 1.0).__enter__()


def test_stores_of_one_path_are_one(path: Path) -> None:
    """Two objects for one file share records and locks."""
    with FileStore(path).lock("key", 1.0), pytest.raises(TimeoutError):
        FileStore(path).lock("key", 0.0).__enter__()
    FileStore(path).write("key", RECORD)
    assert FileStore(path).read("key") == RECORD


# What stands in the place


WHOLE = json.dumps({"requests_authretry": {"key": RECORD}}).encode()


@pytest.mark.parametrize("left", [b"", b"\n", b" \n"])
def test_an_empty_file_holds_nothing(path: Path, left: bytes) -> None:
    """A file that somebody has made for the store to use is an empty store."""
    path.write_bytes(left)
    store = FileStore(path)
    assert store.read("key") is None
    store.write("key", RECORD)
    assert store.read("key") == RECORD


INSIDE = ["[]", "7", "null", '"text"']


@pytest.mark.parametrize(
    "left",
    [
        *(b'{"req', WHOLE[:30], WHOLE[:-3], bytes(64)),
        *(f'{{"requests_authretry": {inside}}}'.encode() for inside in INSIDE),
    ],
    ids=lambda left: repr(left[-8:]),
)
def test_a_torn_file_is_not_empty(path: Path, left: bytes) -> None:
    """What a crash may leave (a beginning, zeros) had records: it is an error, until the next."""
    path.write_bytes(left)
    store = FileStore(path)
    with pytest.raises(OSError, match="torn: remove it"):
        store.read("key")
    store.write("key", RECORD)
    assert store.read("key") == RECORD


def test_a_torn_file_takes_a_cool_down(path: Path) -> None:
    """A cool-down is kept in place of a torn file, of which a look alone makes an error."""
    path.write_bytes(WHOLE[:-3])
    store = FileStore(path, FakeClock())
    with pytest.raises(OSError, match="torn: remove it"):
        store.push("cool-down", 0.0)
    assert [store.push("cool-down", seconds) for seconds in (60.0, 0.0)] == [60.0] * 2


@pytest.mark.parametrize(
    "foreign",
    [b'{"name": "precious"}', b"[1, 2]", b"precious notes", b"\x89PNG\r\n\xff\xfe", b"[" * 99_999],
    ids=["object", "list", "text", "binary", "deep"],
)
def test_a_foreign_file_is_left_alone(path: Path, foreign: bytes) -> None:
    """A file that something else wrote is neither read as nothing nor overwritten."""
    path.write_bytes(foreign)
    with pytest.raises(OSError, match="name another file"):
        FileStore(path).read("key")
    with pytest.raises(OSError, match="name another file"):
        FileStore(path).write("key", RECORD)
    with pytest.raises(OSError, match="name another file"):
        FileStore(path).push("cool-down", 60.0)
    with pytest.raises(OSError, match="name another file"):
        FileStore(path).push("cool-down", 0.0)
    assert path.read_bytes() == foreign


@pytest.mark.parametrize("odd", [7, ["x"], {"value": "x"}, False, 10**400])
def test_odd_records_are_shown(path: Path, odd: object) -> None:
    """A record that no store has written is not taken for none: its reader has to judge it."""
    path.write_text(json.dumps({"requests_authretry": {"key": odd}}))
    assert FileStore(path).read("key") == json.dumps(odd)
    FileStore(path).write("key", RECORD)
    assert FileStore(path).read("key") == RECORD


def raw(seconds: object, since: object = NOW) -> dict[str, object]:
    """Return a cool-down as a file has it."""
    return {"kind": "cool-down", "version": 1, "since": since, "seconds": seconds}


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "odd",
    [
        *(7, ["x"], False, 10**400, None, NAN, INF, -INF, NOW + 1800.0),
        *(raw("600"), raw(None), raw(NAN), raw(INF), raw(-1.0), raw(10**400), raw(600.0, NAN)),
        *(raw(600.0, "noon"), raw(600.0, INF), raw(600.0, -1e308), raw(600.0, NOW - 600.0)),
        {"kind": "cool-down", "version": 1},
    ],
    ids=repr,
)
def test_odd_cool_downs_are_replaced(path: Path, odd: object) -> None:
    """What is no cool-down, is over, or is a number as before, counts as none and gives way."""
    path.write_text(json.dumps({"requests_authretry": {"key": odd, "another": RECORD}}))
    store = FileStore(path, FakeClock(NOW))
    assert [store.push("key", seconds) for seconds in (0.0, 60.0, 0.0)] == [0.0, 60.0, 60.0]
    assert store.read("another") == RECORD


@pytest.mark.parametrize(
    "foreign", [raw(1e9), raw(7200.0), raw(1e300, NOW + 1e9), raw(60.0, 1e300)]
)
def test_a_foreign_cool_down_ends_within_an_hour(path: Path, foreign: object) -> None:
    """A record of seconds or times that no push has kept is over after an hour at most."""
    path.write_text(json.dumps({"requests_authretry": {"key": foreign}}))
    clock = FakeClock(NOW)
    store = FileStore(path, clock)
    assert 0.0 < store.push("key", 0.0) <= 3600.0
    clock.advance(3600.0)
    assert store.push("key", 0.0) == 0.0


def test_a_file_of_two_releases(path: Path) -> None:
    """Cool-downs of another release stay beside ours: numbers until they are over, others always.

    The release before this one keeps the end of a cool-down in POSIX seconds, an hour at most.
    """
    later = {"kind": "cool-down", "version": 2, "ends": "at noon"}
    numbers = {"over": NOW + 1.0, "never over": NOW + 3601.5, "inf": INF, "nan": NAN}
    kept = {"newer": later, "token": RECORD, "soon over": NOW + 1.5, "in an hour": NOW + 3601.0}
    path.write_text(json.dumps({"requests_authretry": {**kept, **numbers}}))
    clock = FakeClock(NOW)
    clock.advance(1.0)
    FileStore(path, clock).push("key", 60.0)
    after = json.loads(path.read_text())["requests_authretry"]
    assert after.pop("key")["seconds"] == 60.0
    assert after == kept


@pytest.mark.parametrize(
    "record", ["", "{", "[]", '{"value": ""}', '{"value": 7}', '{"wert": "x"}']
)
def test_a_record_that_is_no_token(path: Path, record: str) -> None:
    """What another version or another program left under the key is fetched anew."""
    FileStore(path).write(ORIGIN, record)
    session, below = scripted(settings(lambda: "fetched", store=FileStore(path)), 200)
    session.get(URL)
    assert carried(below) == ["Bearer fetched"]


@links
def test_a_link_is_not_followed(path: Path) -> None:
    """A symbolic link planted in the place is neither read nor written through."""
    target = path.with_name("target")
    FileStore(target).write("key", RECORD)
    before = target.read_bytes()
    path.symlink_to(target)
    assert FileStore(path).read("key") is None
    with suppress(OSError):
        FileStore(path).write("key", "other")
    assert target.read_bytes() == before


@links
def test_a_planted_lock_is_not_followed(path: Path) -> None:
    """A symbolic link in the place of a lock file harms nothing that it points to."""
    victim = path.with_name("victim")
    victim.write_text("precious")
    path.with_name("tokens.json.lock").symlink_to(victim)
    with suppress(OSError):
        FileStore(path).write("key", RECORD)
    assert victim.read_text() == "precious"


@contextmanager
def fifo(path: Path, *, held: bool) -> Iterator[None]:
    """A named pipe, that somebody holds open for writing or not."""
    os.mkfifo(path)
    holder = os.open(path, os.O_RDWR) if held else None
    yield
    if holder is not None:
        os.close(holder)


@pipes_with_names
@pytest.mark.parametrize("held", [True, False])
def test_a_pipe_in_the_place(path: Path, held: bool) -> None:  # noqa: FBT001 (a case)
    """A named pipe neither blocks nor is an error other than OSError."""
    with fifo(path, held=held):
        with pytest.raises(OSError, match="no file"):
            FileStore(path).read("key")
        with suppress(OSError):
            FileStore(path).write("key", RECORD)


@posix_files
def test_a_folder_in_the_place(path: Path) -> None:
    """A folder that came later is neither read nor overwritten, and costs no descriptor."""
    store = FileStore(path)
    path.mkdir()
    before = descriptors()
    for _ in range(5):
        with pytest.raises(OSError, match="no file"):
            store.read("key")
    with pytest.raises(OSError, match="no file"):
        store.write("key", RECORD)
    assert descriptors() == before
    assert {left.name for left in path.parent.iterdir()} == {"tokens.json", "tokens.json.lock"}


# A store that fails its session


def test_a_token_that_cannot_be_kept(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that cannot be written costs a warning; the token serves from memory."""
    source = Source(Token(SECRET, 4_000_000_000.0))
    session, below = scripted(settings(source, store=FileStore(path)), 200, 200)
    path.mkdir()
    assert [session.get(URL).status_code for _ in range(2)] == [200, 200]
    assert (source.calls, carried(below)) == (1, [f"Bearer {SECRET}"] * 2)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "memory" in caplog.text
    assert SECRET not in caplog.text


def test_a_folder_that_cannot_be_made(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where not even a lock file can be made, as on a read-only disk, the session still works."""
    path.write_text("a file, so no folder")
    source = Source(SECRET, f"new-{SECRET}")
    chosen = settings(source, store=FileStore(path / "tokens.json"), clock=FakeClock())
    session, below = scripted(chosen, 200, EXPIRED, 200)
    assert [session.get(URL).status_code for _ in range(2)] == [200, 200]
    assert carried(below)[-1] == f"Bearer new-{SECRET}"
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert SECRET not in caplog.text


def test_a_record_that_cannot_be_written(path: Path) -> None:
    """A write that fails half-way leaves what was there, and nothing beside it."""
    store = FileStore(path)
    store.write("key", RECORD)
    with pytest.raises(TypeError):
        store.write("key", b"no text")  # type: ignore[arg-type]
    assert store.read("key") == RECORD
    assert {left.suffix for left in path.parent.iterdir()} == {".json", ".lock"}


def test_a_store_locked_by_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits in vain for another's renewal fails by name, and asks no source in its stead."""
    monkeypatch.setattr(store_sync, "LOCK_SECONDS", 0.0)
    source = Source("never fetched")
    session, below = scripted(settings(source, store=FileStore(path)))
    with FileStore(path).lock(ORIGIN, 0.0), pytest.raises(RefreshFailed, match="locked"):
        session.get(URL)
    assert (source.calls, below.sent) == (0, [])


class Sized(dict[str, str]):
    """A store that is a dictionary: false as long as it is empty."""

    read = dict.get
    write = dict.__setitem__

    def push(self, key: str, seconds: float) -> float:
        """As a store in memory."""
        return MemoryStore().push(key, seconds)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """Exclude nobody: one thread uses it."""
        assert (key, timeout > 0) == (ORIGIN, True)
        yield


def test_an_empty_store_is_used() -> None:
    """A store that is empty, and false, is the store all the same."""
    store = Sized()
    scripted(settings(lambda: "fetched", store=store), 200)[0].get(URL)
    assert list(store) == [ORIGIN]


# Across processes

RUN = """
import sys, requests
from requests_authretry import FileStore, Settings, Token, mount
from requests_authretry.testing import ScriptedAdapter

class Told(FileStore):
    def lock(self, key, timeout):
        print("locking", flush=True)
        return super().lock(key, timeout)

def fetch():
    print("fetching", flush=True)
    return Token(sys.stdin.readline().strip(), expires_at=4e9)

session, below = requests.Session(), ScriptedAdapter(*map(int, sys.argv[2:]))
session.mount("https://", below)
store = Told(sys.argv[1])
mount(session, Settings(token=fetch, origins=["https://api.example.com"], store=store))
status = session.get("https://api.example.com/get").status_code
print(status, *(sent.headers["Authorization"] for sent in below.sent), flush=True)
"""


class Run:
    """Another process that does one request with a token of the shared file."""

    def __init__(self, path: Path, *script: int, before: str = "") -> None:
        self._process = subprocess.Popen(  # noqa: S603 (our own script)
            [sys.executable, "-c", before + RUN, str(path), *map(str, script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def says(self) -> str:
        """Its next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def gets(self, token: str) -> None:
        """Let its fetch come to an end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{token}\n")
        self._process.stdin.flush()

    def rest(self) -> list[str]:
        """What it says until its end."""
        return self._process.communicate(timeout=120)[0].splitlines()

    def kill(self) -> None:
        """End it as the system would: nothing is cleaned up."""
        self._process.kill()
        self._process.communicate(timeout=120)


@pytest.fixture
def run(path: Path) -> Iterator[Callable[..., Run]]:
    """Start a process on the shared file; none outlives its test."""
    with ExitStack() as ends:

        def start(*script: int, before: str = "") -> Run:
            started = Run(path, *script, before=before)
            ends.callback(started.kill)
            return started

        yield start


@pytest.mark.slow
def test_a_second_run_reuses_the_token(path: Path, run: Callable[..., Run]) -> None:
    """What one process fetched serves the next, with its time; once refused it is renewed."""
    first = run(200)
    first.gets("one")
    assert first.rest() == ["locking", "fetching", "200 Bearer one"]
    assert run(200).rest() == ["locking", "200 Bearer one"]
    stored = json.loads(FileStore(path).read(ORIGIN) or "")
    assert (stored["value"], stored["expires_at"]) == ("one", 4e9)
    refused = run(401, 200)
    refused.gets("two")
    assert refused.rest()[-2:] == ["fetching", "200 Bearer one Bearer two"]
    assert run(200).rest()[-1] == "200 Bearer two"


def test_two_processes_fetch_at_once(run: Callable[..., Run]) -> None:
    """The one that comes second waits for the first one's token instead of fetching its own."""
    first = run(200)
    assert [first.says() for _ in range(2)] == ["locking", "fetching"]
    second = run(200)
    assert second.says() == "locking"
    second.gets("never fetched")
    first.gets("shared")
    assert first.rest() == second.rest() == ["200 Bearer shared"]


def test_a_lock_ends_with_its_holder(run: Callable[..., Run]) -> None:
    """A process that is killed while it fetches does not keep the others from fetching."""
    holder = run(200)
    assert [holder.says() for _ in range(2)] == ["locking", "fetching"]
    waiting = run(200)
    assert waiting.says() == "locking"
    holder.kill()
    waiting.gets("mine")
    assert waiting.rest() == ["fetching", "200 Bearer mine"]


@posix_files
def test_a_full_disk(path: Path, run: Callable[..., Run]) -> None:
    """No room for the token: the process goes on, and what was in the file stays."""
    FileStore(path).write("another", "precious")
    full = run(200, before="import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (0, 0))\n")
    full.gets(SECRET)
    locking, fetching, *warned, last = full.rest()
    assert (locking, fetching, last) == ("locking", "fetching", f"200 Bearer {SECRET}")
    assert SECRET not in str(warned)
    assert FileStore(path).read("another") == "precious"
    assert {left.suffix for left in path.parent.iterdir()} == {".json", ".lock"}
