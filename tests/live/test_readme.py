"""The README's snippets, run in order as a reader would, against httpbin behind the demo server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import Jitter, RetryPolicy, Settings, explain
from requests_authretry.cli.demo_server import DemoServer, httpbin, serve
from requests_authretry.testing import no_waiting
from tests.cassettes_support import Loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

README = Path(__file__).parent.parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


class Login:
    """A token endpoint at /token; all other paths are httpbin's, behind the demo server."""

    def __init__(self) -> None:
        self.demo_server = DemoServer(httpbin())

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        if environ["PATH_INFO"] != "/token":
            return self.demo_server(environ, start_response)
        body = json.dumps({"access_token": self.demo_server.issue()}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Login]:
    """The hosts of the README, all on this machine; the home directory is a new one."""
    app = Login()
    monkeypatch.setenv("HOME", str(tmp_path))
    with serve(app) as url:
        monkeypatch.setattr(requests.sessions, "HTTPAdapter", lambda: Loopback(url))
        yield app


def test_the_snippets_run_and_get_what_they_say(
    login: Login, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every snippet runs; the guarded ones get in, and each token is fetched once."""
    namespace: dict[str, Any] = {}
    statuses = []
    for snippet in blocks("python"):
        login.demo_server.guarded = "/bearer" in snippet
        exec(compile(snippet, str(README), "exec"), namespace)  # noqa: S102 (that is the point)
        if "/bearer" in snippet:
            statuses.append(namespace["response"].status_code)
    assert statuses == [200, 200, 200, 200, 200]
    assert login.demo_server.issued == 5
    assert blocks("text")[1] in capsys.readouterr().out


def test_the_timeline_in_the_readme_is_one_that_the_library_prints(login: Login) -> None:
    """The example of `explain` is what it really says, but for the time it took."""
    namespace: dict[str, Any] = {"requests": requests}
    for snippet in blocks("python")[:2]:
        exec(compile(snippet, str(README), "exec"), namespace)  # noqa: S102 (that is the point)
    login.demo_server.revoke()
    login.demo_server.guarded = True
    login.demo_server.answer(429, [("Retry-After", "1")])
    with no_waiting():
        said = explain(namespace["session"].get("https://api.example.com/get"))
    assert _untimed(str(said)) == _untimed(blocks("text")[0].rstrip())


def _untimed(timeline: str) -> str:
    return re.sub(r"(in|waited) \S+ s|; in this library.*", "", timeline)


def test_the_settings_tables_name_every_field_and_its_default() -> None:
    """Every field stands in a table, in order; the defaults that are numbers are the real ones."""
    text = README.read_text()
    for cls in (Settings, RetryPolicy):
        table = text[text.index(f"| `{cls.__name__}(...)`") :].split("\n\n", 1)[0]
        assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(cls.__dataclass_fields__)
    policy = RetryPolicy()
    assert f"| `max_attempts` | {policy.max_attempts} |" in text
    assert f"| `deadline` | {policy.deadline:g} |" in text
    assert f"| `statuses` | {' '.join(map(str, sorted(policy.statuses)))} |" in text
    assert f"| `methods` | {' '.join(sorted(policy.methods))} |" in text
    assert (policy.backoff.jitter, policy.max_retry_after, policy.any_method_on_429) == (
        Jitter.FULL,
        None,
        True,
    )
