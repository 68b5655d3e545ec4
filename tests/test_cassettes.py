"""No cassette holds a secret, and the search that says so finds one wherever it may hide."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import secrets
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from betamax.exceptions import BetamaxError

from tests import cassettes_support
from tests.cassettes_support import HIDDEN, HOME, ORIGIN, SECRETS, blank, hide, leaks, on_cassette

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import requests
    from requests import Response

    from requests_authretry.cli.demo_server import DemoServer

PASSWORD = SECRETS["<PASSWORD>"]
TOKEN = f"issued-1-{secrets.token_hex(16)}"


def cassette(path: Path, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Path:
    """A cassette of one exchange whose answer has this body and these headers."""
    answer = {
        "body": {"base64_string": base64.b64encode(body).decode(), "encoding": "utf-8"},
        "headers": {name: [value] for name, value in (headers or {}).items()},
    }
    request = {"headers": {"Authorization": [f"Bearer {HIDDEN}"]}}
    path.write_text(json.dumps({"http_interactions": [{"request": request, "response": answer}]}))
    return path


@pytest.mark.parametrize("path", sorted(HOME.rglob("*.json")), ids=lambda path: path.stem)
def test_no_cassette_has_a_secret(path: Path) -> None:
    """What is committed tells no secret of the tests and no credentials."""
    assert leaks(path) == []


def test_a_clean_cassette_is_clean(tmp_path: Path) -> None:
    """Placeholders, hidden headers and ordinary bodies are no leak."""
    clean = cassette(
        tmp_path / "clean.json",
        gzip.compress(b"<PASSWORD> issued-1-" + b"x" * 32),
        {"Set-Cookie": f"flavour={HIDDEN}; Path=/", "Content-Encoding": "gzip"},
    )
    assert leaks(clean) == []


@pytest.mark.parametrize("secret", [PASSWORD, TOKEN], ids=["password", "token"])
@pytest.mark.parametrize(
    "wrap",
    [
        bytes,
        gzip.compress,
        zlib.compress,
        base64.b64encode,
        lambda data: b"Basic " + base64.b64encode(b"ada:" + data),
        lambda data: gzip.compress(b"Basic " + base64.b64encode(b"ada:" + data)),
        lambda data: quote(data, safe="").replace("-", "%2D").encode(),
    ],
    ids=["plain", "gzip", "zlib", "base64", "basic", "basic in gzip", "percent"],
)
def test_a_planted_secret_is_found(tmp_path: Path, wrap: type[bytes], secret: str) -> None:
    """A secret in a body is found however it is wrapped, and is not in the report."""
    found = leaks(cassette(tmp_path / "planted.json", wrap(secret.encode())))
    assert len(found) == 1
    assert secret not in found[0]


@pytest.mark.parametrize(
    "header",
    [
        {"Authorization": "Basic YWRhOmxvdmVsYWNl"},
        {"authorization": "raw-key"},
        {"Proxy-Authorization": f"Bearer {TOKEN}"},
        {"Cookie": f"a={HIDDEN}; b=2"},
        {"Set-Cookie": "flavour=oat; Path=/"},
        {"X-Echo": TOKEN},
        {"Content-Encoding": "br"},
    ],
    ids=lambda header: next(iter(header)),
)
def test_planted_credentials_are_found(tmp_path: Path, header: dict[str, str]) -> None:
    """Credentials in a header are found, known as a secret or not."""
    assert leaks(cassette(tmp_path / "planted.json", headers=header))


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("authorization", f"Bearer {TOKEN}", "Bearer issued-1-" + "x" * 32),
        ("Authorization", "Bearer other", f"Bearer {HIDDEN}"),
        ("Authorization", "Digest username=ada, response=1", f"Digest {HIDDEN}"),
        ("Authorization", "raw-key", HIDDEN),
        ("Cookie", "a=1; b=2", f"a={HIDDEN}; b={HIDDEN}"),
        ("Set-Cookie", "a=1; Path=/", f"a={HIDDEN}; Path=/"),
        ("Set-Cookie", "a=; Max-Age=0", "a=; Max-Age=0"),
        ("Location", f"/x?t={TOKEN}", "/x?t=issued-1-" + "x" * 32),
        ("Retry-After", "1", "1"),
    ],
    ids=itertools.count(),  # not the values: a token is made anew in each process
)
def test_hidden_headers_stay_hidden(name: str, value: str, hidden: str) -> None:
    """A header keeps its shape without its secret, and hiding it again changes nothing."""
    assert hide(name, value) == hidden
    assert hide(name, hidden) == hidden


def test_blanking_keeps_the_length() -> None:
    """A body without its secrets is as long as before, so that its Content-Length stays true."""
    body = f'{{"token": "{TOKEN}", "password": "{PASSWORD}", "auth": "Basic YWRhOng="}}'.encode()
    blanked = blank(body)
    assert len(blanked) == len(body)
    assert not any(secret.encode() in blanked for secret in (TOKEN, PASSWORD, "YWRhOng="))
    assert blank(blanked) == blanked


def test_a_recording_replays_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_server: DemoServer, httpbin_url: str
) -> None:
    """A recording tells no secret, names no port, and replays to the answers that it gave."""
    monkeypatch.setattr(cassettes_support, "HOME", tmp_path)

    def ask(session: requests.Session, token: str) -> list[Response]:
        bearer = session.get(f"{ORIGIN}/bearer", headers={"Authorization": f"Bearer {token}"})
        basic = session.get(f"{ORIGIN}/headers", auth=("ada", PASSWORD))
        form = session.post(f"{ORIGIN}/post", data={"password": PASSWORD})
        return [bearer, basic, form, session.get(f"{ORIGIN}/cookies/set/flavour/{PASSWORD}")]

    token = demo_server.issue()
    with on_cassette("some", httpbin_url) as session:
        recorded = ask(session, token)
    with on_cassette("some", None) as session:
        replayed = ask(session, token)
    assert [answer.content for answer in replayed] == [answer.content for answer in recorded]
    assert recorded[2].json()["url"] == f"{ORIGIN}/post"
    assert recorded[3].history[0].headers["Set-Cookie"] == f"flavour={HIDDEN}; Path=/"
    written = (tmp_path / "some.json").read_text()
    assert f"{ORIGIN}/cookies/set/flavour/<PASSWORD>" in written
    assert "127.0.0.1:" not in written


def test_a_recording_that_leaks_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, httpbin_url: str
) -> None:
    """Recording fails, and leaves nothing behind, where the scrubber missed a secret."""
    monkeypatch.setattr(cassettes_support, "HOME", tmp_path)
    with (
        pytest.raises(pytest.fail.Exception, match="an issued token") as caught,
        on_cassette("leaking", httpbin_url) as session,
    ):
        session.get(f"{ORIGIN}/anything/{TOKEN}")
    assert TOKEN not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_cassette_is_played_to_its_end() -> None:
    """A test that asks for less than was recorded fails."""
    with (
        pytest.raises(AssertionError, match="not asked for"),
        on_cassette("rig_canned_answers", None) as session,
    ):
        session.get(f"{ORIGIN}/get")


def test_a_cassette_plays_no_more_than_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_server: DemoServer, httpbin_url: str
) -> None:
    """A test that asks for more than was recorded fails, and so does one without a cassette."""
    monkeypatch.setattr(cassettes_support, "HOME", tmp_path)
    with pytest.raises(pytest.fail.Exception, match="--record"), on_cassette("some", None):
        pass
    with on_cassette("some", httpbin_url) as session:
        session.get(f"{ORIGIN}/get")
    with on_cassette("some", None) as session:
        session.get(f"{ORIGIN}/get")
        with pytest.raises(BetamaxError):
            session.get(f"{ORIGIN}/get")
    assert len(demo_server.seen) == 1
