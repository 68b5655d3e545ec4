"""References: secrets that stand in a variable, a file or the keyring, and are read there."""

from __future__ import annotations

import copy
import pickle
import re
import sys
from typing import TYPE_CHECKING, Any

import keyring
import pytest
from keyrings.alt.file import PlaintextKeyring  # type: ignore[import-untyped]  # (it ships no types)

from requests_authretry import FetchContext, RefreshFailed, Settings, Token
from requests_authretry._config.secret_references import Reference
from tests.support.sessions import API, Rig

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cret-9f2c41d7aa"


@pytest.fixture
def _ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyring in a file, with one secret."""
    ring = PlaintextKeyring()
    ring.file_path = str(tmp_path / "keyring.cfg")
    ring.set_password("my/app", "token", SECRET)
    monkeypatch.setattr(keyring, "get_password", ring.get_password)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_file_is_read_without_its_last_line_break(tmp_path: Path, ending: str) -> None:
    """Editors end a file with one line break, which is no part of the secret."""
    (tmp_path / "token").write_bytes(f"{SECRET}{ending}".encode())
    assert Reference("file:token", tmp_path).read() == SECRET


def test_only_one_line_break_is_taken_off(tmp_path: Path) -> None:
    """A second one was meant, or is a fault to be seen."""
    (tmp_path / "token").write_bytes(b"a\n\n")
    assert Reference("file:token", tmp_path).read() == "a\n"


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` is the home directory, and an absolute path is taken as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text(SECRET)
    assert Reference("file:~/token").read() == SECRET
    assert Reference(f"file:{tmp_path}/token").read() == SECRET


@pytest.mark.usefixtures("_ring")
def test_the_keyring_is_asked_for_service_and_name() -> None:
    """What stands before the last slash is the service."""
    assert Reference("keyring:my/app/token").read() == SECRET


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("env:NOPE", "the variable NOPE is not set"),
        ("env:EMPTY", "env:EMPTY is empty"),
        ("file:nope", "file:nope cannot be read: No such file or directory"),
        ("file:odd", "file:odd is not UTF-8"),
        ("file:a\0b", "file:a\0b is no path here"),
        ("file:~nobody-at-all/x", "file:~nobody-at-all/x is no path here"),
        ("keyring:app/nope", "keyring:app/nope is not in the keyring"),
    ],
)
@pytest.mark.usefixtures("_ring")
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, fault: str) -> None:
    """The fault says which reference leads nowhere, and why."""
    (tmp_path / "odd").write_bytes(b"\xff")
    with pytest.raises(RefreshFailed, match=re.escape(fault)):
        Reference(text, tmp_path, {"EMPTY": ""}).read()


def test_a_keyring_that_fails_is_named_by_its_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a backend says may be anything, and is not quoted."""

    def fail(*_: str) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(keyring, "get_password", fail)
    assert Reference("keyring:a/b").found() == (
        "keyring:a/b cannot be read: the keyring failed with RuntimeError"
    )


def test_a_keyring_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert Reference("keyring:a/b").found() == (
        "keyring:a/b needs keyring: pip install 'requests-authretry[keyring]'"
    )


def test_a_variable_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless others are given, and whenever it is asked."""
    reference = Reference("env:A_SECRET")
    monkeypatch.setenv("A_SECRET", "first")
    assert reference.read() == "first"
    monkeypatch.setenv("A_SECRET", "second")
    assert reference.read() == "second"
    assert Reference("env:A_SECRET", environ={"A_SECRET": "given"}).read() == "given"


def test_nothing_of_the_secret_shows(tmp_path: Path) -> None:
    """Neither in a repr nor in a pickle, which reads where it is loaded."""
    (tmp_path / "token").write_text(SECRET)
    reference = Reference("file:token", tmp_path, {"TOKEN": SECRET})
    dumped = pickle.dumps(reference)
    assert SECRET not in repr(reference) + repr(reference.read())
    assert SECRET.encode() not in dumped
    loaded = pickle.loads(dumped)  # noqa: S301 (our own)
    assert loaded.read() == copy.deepcopy(reference).read() == SECRET


def test_a_token_is_declined_only_where_it_is_the_refused_one(tmp_path: Path) -> None:
    """What says the same after a refusal has nothing new; a token that ends may be asked again."""
    (tmp_path / "token").write_text("first")
    reference = Reference("file:token", tmp_path)
    stale = Token("first")
    assert reference.fetch(FetchContext(None)) == "first"
    assert reference.fetch(FetchContext(stale)) == "first"
    assert reference.fetch(FetchContext(stale, refused=True)) is None
    (tmp_path / "token").write_text("second")
    assert reference.fetch(FetchContext(stale, refused=True)) == "second"


def settings_from(tmp_path: Path) -> dict[str, Any]:
    """The token and the origins that a file of settings names, with a token beside it."""
    (tmp_path / "token").write_text("first\n")
    path = tmp_path / "settings.toml"
    path.write_text(f'token = "file:token"\norigins = ["{API}"]\n')
    settings = Settings.from_file(path)
    return {"token": settings.token, "origins": settings.origins}


def test_a_file_that_was_replaced_brings_the_next_token(tmp_path: Path) -> None:
    """A refused token is replaced by what the file says now, in the same call."""
    rig = Rig(200, 401, 200, **settings_from(tmp_path))
    assert rig.get().status_code == 200
    (tmp_path / "token").write_text("second\n")
    assert rig.get().status_code == 200
    assert rig.carried == ["Bearer first", "Bearer first", "Bearer second"]


def test_a_file_that_stayed_lets_the_refusal_stand(tmp_path: Path) -> None:
    """The 401 is the answer; there is no second try with the same token."""
    rig = Rig(401, 200, **settings_from(tmp_path))
    assert rig.get().status_code == 401
    assert rig.carried == ["Bearer first"]


def test_a_file_that_is_gone_sends_nothing_bare(tmp_path: Path) -> None:
    """Without a token the request is not sent, and the error names the file."""
    rig = Rig(200, **settings_from(tmp_path))
    (tmp_path / "token").unlink()
    with pytest.raises(RefreshFailed, match="file:token cannot be read"):
        rig.get()
    assert rig.carried == []
