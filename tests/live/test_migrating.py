"""The programs of ``docs/migrating.md``, run on httpbin behind the demo server."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import google.oauth2.credentials
import pytest
import requests

from requests_authretry import attempts
from requests_authretry.cli.demo_server import serve
from requests_authretry.testing import no_waiting
from tests.live.test_lessons import BLOCK, KNOWN, STALE, Lesson, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).parents[2] / "docs" / "migrating.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
PROGRAMS: Final = {
    (found[1], found[2]): "\n" * TEXT.count("\n", 0, found.start(3)) + found[3]
    for found in re.finditer(BLOCK.replace("lesson", "migrating"), TEXT, re.MULTILINE | re.DOTALL)
}
both = pytest.mark.parametrize("part", ["before", "after"])


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither ours nor the others' waits take time."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    with no_waiting():
        yield


@contextmanager
def program(name: str, part: str, url: str, **names: Any) -> Iterator[dict[str, Any]]:
    """Run a program of the page; give the names that it leaves behind."""
    names |= {"base_url": url}
    for key in (("all", "setup"), (name, part)):
        exec(compile(PROGRAMS[key], str(PAGE), "exec"), names)  # noqa: S102 (of this project)
    try:
        yield names
    finally:
        for session in filter(None, (names.get("session"), names.get("oauth"))):
            session.close()


def test_every_program_has_both_parts() -> None:
    """There is something to run for each, before and after."""
    names = {name for name, _ in PROGRAMS} - {"all"}
    assert names == {"urllib3", "oauthlib", "google", "tenacity", "stamina"}
    assert len(PROGRAMS) == 1 + 2 * len(names)


@both
@pytest.mark.parametrize("name", ["urllib3", "tenacity", "stamina"])
def test_a_server_that_fails_for_a_moment(name: str, part: str) -> None:
    """Both come through a 503, with the same requests."""
    server = Server(Lesson(seen=[], guarded=False, canned=[(503, {}), (503, {})]))
    with serve(server) as url, program(name, part, url) as came:
        assert came["response"].status_code == 200
    assert server.seen == [503, 503, 200]


@both
@pytest.mark.parametrize("name", ["urllib3", "tenacity", "stamina"])
def test_a_server_that_stays_down(name: str, part: str) -> None:
    """Both give up after four attempts; urllib3 loses the answer, and ours hands it out."""
    server = Server(Lesson(seen=[], guarded=False, canned=[(503, {})] * 9))
    error = requests.exceptions.RetryError if name == "urllib3" else requests.HTTPError
    with serve(server) as url:
        if (name, part) == ("urllib3", "after"):
            with program(name, part, url) as came:
                assert came["response"].status_code == 503
        else:
            with pytest.raises(error) as failure, program(name, part, url):
                pytest.fail("it came through")
            assert (failure.value.response is None) == (name == "urllib3")
    assert server.seen == [503] * 4


@both
@pytest.mark.parametrize("name", ["tenacity", "stamina"])
def test_what_is_no_failure_of_the_server(name: str, part: str) -> None:
    """A 404 is retried by the decorators, and not by ours."""
    server = Server(Lesson(seen=[], guarded=False, canned=[(404, {})] * 9))
    with serve(server) as url, pytest.raises(requests.HTTPError), program(name, part, url):
        pytest.fail("it came through")
    assert server.seen == [404] * (4 if part == "before" else 1)


def refreshable(server: Server, *, expires_in: int) -> dict[str, Any]:
    """A token that the server has forgotten, with something to renew it by."""
    stale = server.demo_server.issue()
    server.demo_server.revoke()
    return {
        "access_token": stale,
        "refresh_token": "refresh-7d1c",
        "token_type": "Bearer",
        "expires_in": expires_in,
        "expires_at": time.time() + expires_in,
    }


@both
def test_an_expired_token(part: str, tmp_path: Path) -> None:
    """Both renew what has expired by the clock, and keep what came."""
    server = Server(Lesson(seen=[]))
    server.demo_server.guarded = True
    token = refreshable(server, expires_in=-10)
    with serve(server) as url, program("oauthlib", part, url, token=token, folder=tmp_path) as came:
        assert came["response"].json() == KNOWN | came["response"].json()
        kept = came["saved"] if part == "before" else [*tmp_path.glob("token.json")]
        assert len(kept) == 1
    assert server.logins == [200]


@both
def test_a_token_that_is_revoked_early(part: str, tmp_path: Path) -> None:
    """Before, the 401 is final; after, the token is renewed and the request goes again."""
    server = Server(Lesson(seen=[], logins=[STALE] if part == "after" else []))
    server.demo_server.guarded = True
    token = refreshable(server, expires_in=3600)
    with serve(server) as url, program("oauthlib", part, url, token=token, folder=tmp_path) as came:
        assert came["response"].status_code == (401 if part == "before" else 200)
    assert server.logins == ([] if part == "before" else [200, 200])


@both
@pytest.mark.parametrize("trouble", ["revoked", "down"])
def test_googles_session(part: str, trouble: str) -> None:
    """A 401 is answered by both; a 503 is retried by ours alone."""
    server = Server(Lesson(seen=[], canned=[(503, {})] if trouble == "down" else []))
    server.demo_server.guarded = True
    with serve(server) as url:
        held = server.demo_server.issue()
        if trouble == "revoked":
            server.demo_server.revoke()
        credentials = google.oauth2.credentials.Credentials(  # type: ignore[no-untyped-call]
            held,
            refresh_token="refresh-7d1c",
            token_uri=f"{url}/token",
            client_id="app",
            client_secret="app-secret",
        )
        with program("google", part, url, credentials=credentials) as came:
            expected = 503 if (trouble, part) == ("down", "before") else 200
            assert came["response"].status_code == expected
            if part == "after":
                assert len(attempts(came["response"])) == 2
    first = 401 if trouble == "revoked" else 503
    assert server.seen[0] == first
