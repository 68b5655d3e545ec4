"""Calls to APIs with a dialect, end to end on loopback."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    AuthRetryError,
    ConfigurationError,
    Dialect,
    Header,
    Settings,
    Token,
    attempts,
    explain,
    mount,
    override,
)
from requests_authretry.dialects import NAMES, named
from requests_authretry.testing import DialectServer, FakeClock, ScriptedAdapter
from tests.dialects.test_format import WHOLE, changed, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A session that asks no proxy."""
    with requests.Session() as made:
        made.trust_env = False
        yield made


def verdicts_of(name: str) -> set[str]:
    """The verdicts that the samples of a dialect expect."""
    samples = (each.expected for each in named(name).samples)
    return {each.meaning.name.lower() for each in samples if each is not None}


@pytest.mark.parametrize("name", [each for each in NAMES if "throttled" in verdicts_of(each)])
def test_a_refusal_is_waited_for(name: str, session: requests.Session) -> None:
    """Throttled by its own means: the call waits as long as the sample says, a POST too."""
    sample = next(
        each
        for each in named(name).samples
        if each.expected is not None and each.expected.meaning.name == "THROTTLED"
    )
    clock = FakeClock(random=lambda: 0.5)
    mount(session, Settings(dialects=[name], clock=clock))
    with DialectServer(name, sample.what) as server:
        response = session.request(sample.method, f"{server.url}{sample.path}", data=b"a")
    assert response.status_code == 200
    assert [each.method for each in server.received] == [sample.method] * 2
    assert sample.expected is not None
    if sample.expected.retry_after:
        assert clock.sleeps == [max(sample.expected.retry_after, 1.0)]
    assert f"dialect {name}" in str(explain(response))


@pytest.mark.parametrize("name", [each for each in NAMES if "token_expired" in verdicts_of(each)])
def test_an_expired_token_is_renewed(name: str, session: requests.Session) -> None:
    """Expired by its own means: the token is renewed once, and the request replayed."""
    tokens = (f"token-{number}" for number in count(1))
    with DialectServer(name, "token_expired") as server:
        settings = Settings(
            dialects=[name], token=tokens.__next__, origins=[server.url], clock=FakeClock()
        )
        mount(session, settings)
        path = next(
            each.path
            for each in named(name).samples
            if each.expected is not None and each.expected.meaning.name == "TOKEN_EXPIRED"
        )
        response = session.get(f"{server.url}{path}")
    assert response.json() == {}
    sent = [each.headers["Authorization"] for each in server.received]
    assert sent == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("name", [each for each in NAMES if "final" in verdicts_of(each)])
def test_a_final_answer_is_handed_out_at_once(name: str, session: requests.Session) -> None:
    """Final by its own means: one request, no wait, whatever the status is."""
    clock = FakeClock()
    mount(session, Settings(dialects=[name], clock=clock))
    samples = (each for each in named(name).samples if each.expected is not None)
    sample = next(each for each in samples if each.expected.meaning.name == "FINAL")  # type: ignore[union-attr]
    with DialectServer(name, sample.what) as server:
        response = session.get(f"{server.url}{sample.path}")
    assert response.content == sample.body
    assert clock.sleeps == []
    assert len(server.received) == 1


def test_auto_knows_the_api_by_its_origin(session: requests.Session) -> None:
    """GitHub's 403 is a refusal at api.github.com, and a plain 403 elsewhere."""
    body = b'{"message": "You have exceeded a secondary rate limit."}'
    for url, waits in (
        ("https://api.github.com/user", [60.0]),
        ("https://git.example.com/user", []),
    ):
        clock = FakeClock()
        session.mount("https://", ScriptedAdapter((403, {}, body), 200))
        with mount(session, Settings(clock=clock)):
            session.get(url)
        assert clock.sleeps == waits


@pytest.mark.parametrize("off", [None, []])
def test_dialects_can_be_turned_off(off: Any, session: requests.Session) -> None:
    """With None the 403 is one."""
    body = b'{"message": "You have exceeded a secondary rate limit."}'
    session.mount("https://", ScriptedAdapter((403, {}, body)))
    mount(session, Settings(dialects=off))
    assert session.get("https://api.github.com/user").status_code == 403


def test_your_classifier_comes_first(session: requests.Session) -> None:
    """What it says of an answer counts, and the dialect is asked about the others."""
    from requests_authretry import Verdict

    clock = FakeClock()
    body = b'{"message": "You have exceeded a secondary rate limit."}'
    session.mount("https://", ScriptedAdapter((403, {"X": "1"}, body), (403, {}, body), 200))
    mount(
        session,
        Settings(
            clock=clock,
            classify=lambda it: Verdict.throttled(5) if "X" in it.headers else None,
        ),
    )
    assert session.get("https://api.github.com/user").status_code == 200
    assert clock.sleeps == [5.0, 60.0]


def test_a_healthy_answer_without_a_rule_is_not_looked_at(
    session: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub's dialect has rules for a 200 to ``/graphql``, and none for one to ``/user``."""
    looked: list[str] = []
    monkeypatch.setattr(Dialect, "judge", lambda _, answer, __: looked.append(answer.url))
    session.mount("https://", ScriptedAdapter(200, 404, 204, 200))
    mount(session)
    for path in ("user", "user", "graphql", "graphql"):
        session.get(f"https://api.github.com/{path}")
    assert looked == ["https://api.github.com/graphql"]


def test_a_stream_is_left_to_the_caller(session: requests.Session) -> None:
    """A body that the caller reads is not looked at; headers and status are."""
    with DialectServer("slack", "token_expired") as server:
        mount(session, Settings(dialects=["slack"], clock=FakeClock()))
        response = session.get(f"{server.url}/api/auth.test", stream=True)
        assert response.json() == {"ok": False, "error": "token_expired"}
    assert len(attempts(response)) == 1


def weather(folder: Path) -> Dialect:
    """A dialect with everything in it, whose samples are not right."""
    return read(changed("paths", ...), folder)


@pytest.mark.parametrize(
    ("path", "headers", "sent"),
    [
        ("/v1/search", {}, 2),
        ("/v1/other", {}, 1),
        ("/v1/other", {"X-Once": "a"}, 2),
        ("/v1/other", {"X-Once": ""}, 1),
    ],
)
def test_requests_that_an_api_lets_repeat_are_sent_again(
    path: str, headers: dict[str, str], sent: int, session: requests.Session, tmp_path: Path
) -> None:
    """A POST that only searches, or has the API's key, is sent again after a 503."""
    adapter = ScriptedAdapter(503, 200)
    session.mount("https://", adapter)
    mount(session, Settings(dialects=[weather(tmp_path)], clock=FakeClock()))
    session.post(f"https://api.weather.example.com{path}", data=b"a", headers=headers)
    assert len(adapter.sent) == sent


@pytest.mark.parametrize("failure", [503, requests.ConnectionError()])
@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://api.openai.com/v1/chat/completions", 2),
        ("https://api.anthropic.com/v1/messages", 2),
        ("https://api.openai.com/v1/files", 1),
    ],
)
def test_a_post_that_computes_an_answer_is_repeated_unless_its_dialect_is_taken_away(
    failure: int | requests.ConnectionError, url: str, sent: int, session: requests.Session
) -> None:
    """A chat at OpenAI is sent again after a 503, and only once without its dialect."""
    counts = []
    for settings, block in (("auto", "auto"), (None, None), ("auto", None)):
        adapter = ScriptedAdapter(failure, 200)
        session.mount("https://", adapter)
        with (
            mount(session, Settings(dialects=settings, clock=FakeClock())),
            override(dialects=block),
            suppress(requests.ConnectionError),
        ):
            session.post(url, data=b"a")
        counts.append(len(adapter.sent))
    assert counts == [sent, 1, 1]


@pytest.mark.parametrize(("origins", "sent"), [((), 1), (("https://weather.test",), 2)])
def test_a_post_to_an_unknown_host_is_not_sent_again(
    origins: tuple[str, ...], sent: int, session: requests.Session, tmp_path: Path
) -> None:
    """A POST to a host that neither the dialect nor the settings name may be another API's."""
    adapter = ScriptedAdapter(503, 200)
    session.mount("https://", adapter)
    dialects = [weather(tmp_path)]
    mount(session, Settings(dialects=dialects, origins=origins, clock=FakeClock()))
    session.post("https://weather.test/v1/search", data=b"a")
    assert len(adapter.sent) == sent


def test_a_misleading_header_is_read_as_the_usual_one(
    session: requests.Session, tmp_path: Path
) -> None:
    """``X-Weather-Wait`` is read as ``Retry-After`` at this API, and nowhere else."""
    for url, waits in (
        ("https://api.weather.example.com/v1/x", [30.0]),
        ("https://other.example.com/v1/x", [0.5]),
    ):
        clock = FakeClock(random=lambda: 0.5)
        session.mount("https://", ScriptedAdapter((429, {"X-Weather-Wait": "30"}), 200))
        origins = ["https://api.weather.example.com"]
        with mount(session, Settings(dialects=[weather(tmp_path)], origins=origins, clock=clock)):
            session.get(url)
        assert clock.sleeps == waits


def test_a_header_that_misleads_is_not_read(session: requests.Session, tmp_path: Path) -> None:
    """With ``"as": null`` a ``Retry-After`` counts as absent."""
    content = changed("paths", ...)
    content["headers"] = [{"name": "Retry-After", "as": None, "source": "docs"}]
    clock = FakeClock(random=lambda: 0.5)
    session.mount("https://", ScriptedAdapter((429, {"Retry-After": "30"}), 200))
    mount(session, Settings(dialects=[read(content, tmp_path)], clock=clock))
    session.get("https://api.weather.example.com/v1/x")
    assert clock.sleeps == [0.5]


def test_the_example_is_whole() -> None:
    """The tests above use every key that a file can have."""
    assert {"headers", "repeat", "rules", "samples"} <= WHOLE.keys()


def test_an_override_names_dialects_for_some_calls(session: requests.Session) -> None:
    """Inside the block the private host speaks as GitHub does; outside it is a plain server."""
    body = b'{"message": "You have exceeded a secondary rate limit."}'
    adapter = ScriptedAdapter((403, {}, body), (403, {}, body), 200, (403, {}, body))
    session.mount("https://", adapter)
    clock = FakeClock()
    mount(session, Settings(clock=clock))
    url = "https://git.example.com/api/v3/user"
    assert session.get(url).status_code == 403
    with override(dialects=["github"]):
        assert session.get(url).status_code == 200
    assert session.get(url).status_code == 403
    assert clock.sleeps == [60.0]


def test_a_settings_file_names_dialects(tmp_path: Path) -> None:
    """``"auto"``, a list of names, and ``"none"``; a site has dialects of its own."""
    path = tmp_path / "settings.toml"
    text = 'dialects = "none"\n[[site]]\norigins = ["https://git.example.com"]\n'
    path.write_text(f'{text}dialects = ["github"]\n[[site]]\norigins = ["https://b.example.com"]\n')
    settings = Settings.from_file(path)
    assert settings.dialects == ()
    assert [site.dialects for site in settings.sites] == [("github",), ()]
    path.write_text('dialects = ["githb"]\n')
    with pytest.raises(ConfigurationError, match=r"settings\.toml:1: dialects has 'githb', which"):
        Settings.from_file(path)
    env = {"REQUESTS_AUTHRETRY_DIALECTS": "github, slack"}
    assert Settings.from_env(env).dialects == ("github", "slack")
    assert Settings.from_env({"REQUESTS_AUTHRETRY_DIALECTS": "none"}).dialects == ()
    assert Settings.from_env({"REQUESTS_AUTHRETRY_DIALECTS": " auto "}).dialects == "auto"
    with pytest.raises(
        ConfigurationError, match="REQUESTS_AUTHRETRY_DIALECTS: dialects has 'gitub'"
    ):
        Settings.from_env({"REQUESTS_AUTHRETRY_DIALECTS": "gitub"})


def test_points_of_graphql_hold_back_no_other_resource(session: requests.Session) -> None:
    """GitHub names the resource: a query waits for ``graphql``, and ``core`` goes on."""
    spent = named("github").samples[4]
    assert spent.what == "GraphQL, no points left"
    core = {"X-RateLimit-Resource": "core", "X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "9"}
    lines = [(200, core, b"{}"), (200, dict(spent.headers), spent.body), (200, core, b"{}")]
    adapter = ScriptedAdapter(*lines)
    session.mount("https://", adapter)
    clock = FakeClock()
    mount(session, Settings(clock=clock))
    session.get("https://api.github.com/user")
    stopped = session.post("https://api.github.com/graphql", json={})
    assert attempts(stopped)[-1].reason.name == "WAIT_TOO_LONG"  # 300 s are more than its deadline
    assert session.get("https://api.github.com/user").status_code == 200
    with pytest.raises(AuthRetryError, match="limit 'graphql'"):
        session.post("https://api.github.com/graphql", json={})
    assert len(adapter.sent) == 3


def told(session: requests.Session, url: str, answer: Any, **settings: Any) -> str:
    """What is told of the last attempt of a call that always gets this answer."""
    session.mount("https://", ScriptedAdapter(*[answer] * 4))
    mount(session, Settings(clock=FakeClock(), **settings))
    return attempts(session.get(url))[-1].detail


KEYS = {
    "anthropic": ("https://api.anthropic.com", "Header('x-api-key')"),
    "discord": ("https://discord.com/api/v10", "Header('Authorization', 'Bot {token}')"),
    "shopify": ("https://a.myshopify.com/admin", "Header('X-Shopify-Access-Token')"),
}


def renewed(values: Iterator[int]) -> Any:
    """A function that returns another token each time."""
    return lambda: f"k{next(values)}"


@pytest.mark.parametrize("challenge", [{}, {"WWW-Authenticate": "Basic"}], ids=["plain", "basic"])
@pytest.mark.parametrize("is_renewed", [False, True])
@pytest.mark.parametrize("name", KEYS)
def test_a_401_tells_where_the_api_takes_keys(
    name: str, session: requests.Session, challenge: Any, *, is_renewed: bool
) -> None:
    """Anthropic has refused a Bearer token: a key goes to ``x-api-key``."""
    base, place = KEYS[name]
    token = renewed(count()) if is_renewed else "k7"
    origin = "/".join(base.split("/")[:3])
    detail = told(session, f"{base}/items", (401, challenge), token=token, origins=[origin])
    way = f"Settings(token_in={place}) sends a key where this API takes it"
    assert detail == f"{way}, as dialect {name} says"


@pytest.mark.parametrize(
    ("base", "settings"),
    [
        ("https://api.anthropic.com", {"token_in": Header("x-api-key")}),
        ("https://api.anthropic.com", {"dialects": None}),
        ("https://discord.com", {"token": Token("k7", scheme="Bot")}),
        ("https://api.github.com", {}),
        ("https://www.googleapis.com", {}),
        ("https://api.example.com", {}),
    ],
)
def test_a_401_tells_nothing_of_a_token_in_its_place(
    base: str, settings: dict[str, Any], session: requests.Session
) -> None:
    """Where the settings say the place, no dialect is asked, or it says no other place."""
    given = {"token": "k7", "origins": [base], **settings}
    assert told(session, f"{base}/api/v10/items", (401, {}), **given) == ""


def test_a_scope_that_does_not_suffice_tells_of_no_other_place(session: requests.Session) -> None:
    """The API has read the token, where it stood."""
    base = "https://api.anthropic.com"
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    assert told(session, base, (401, challenge), token="k7", origins=[base]) == ""


@pytest.mark.parametrize("status", [400, 403, 503])
def test_an_error_from_where_no_named_dialect_holds_says_so(
    status: int, session: requests.Session
) -> None:
    """``dialects=["github"]`` holds at the origins of the settings, and the call went elsewhere."""
    url, origins = "https://code.example.com/user", ["https://git.example.com"]
    detail = told(session, url, (status, {}), dialects=["github"], origins=origins)
    assert detail == "the named dialects do not cover https://code.example.com"


@pytest.mark.parametrize(
    ("url", "status", "settings"),
    [
        ("https://code.example.com/user", 200, {}),
        ("https://git.example.com/user", 403, {}),
        ("https://api.github.com/user", 404, {}),
        ("https://code.example.com/user", 403, {"origins": ()}),
        ("https://code.example.com/user", 403, {"dialects": "auto"}),
        ("https://code.example.com/user", 403, {"dialects": None}),
        ("https://code.example.com/user", 403, {"dialects": []}),
    ],
)
def test_where_a_dialect_may_hold_nothing_is_said(
    url: str, status: int, settings: dict[str, Any], session: requests.Session
) -> None:
    """No error, an origin that is covered, or no names: there is nothing to tell."""
    given = {"dialects": ["github"], "origins": ["https://git.example.com"], **settings}
    assert told(session, url, (status, {}), **given) == ""


def test_a_retry_does_not_tell_of_dialects(session: requests.Session) -> None:
    """Only the last attempt does: the ones before it were followed by another."""
    session.mount("https://", ScriptedAdapter(*[(503, {})] * 4))
    origins = ["https://git.example.com"]
    mount(session, Settings(clock=FakeClock(), dialects=["github"], origins=origins))
    made = attempts(session.get("https://code.example.com/user"))
    assert [bool(each.detail) for each in made] == [False, False, False, True]
