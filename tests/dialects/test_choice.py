"""Which dialects are asked about an answer."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest

from requests_authretry import ConfigurationError, Dialect, Settings
from requests_authretry._clock import SystemClock
from requests_authretry.dialects import NAMES, _choice, _index, named, of_origin
from requests_authretry.dialects._choice import Choice, choice_of
from tests.support.sessions import SECRET


def choice(given: Any = "auto", *origins: str) -> Choice:
    """A choice of the settings that are given these."""
    return Choice(given, origins, SystemClock())


def asked(chosen: Choice, url: str, status: int = 403) -> list[str]:
    """Who is asked about an answer."""
    return [each.by for each in chosen.asked(url, status)]


@pytest.mark.parametrize(
    ("url", "status", "by"),
    [
        ("https://api.github.com/user", 403, ["dialect github"]),
        ("https://api.github.com:443/user", 403, ["dialect github"]),
        ("https://API.github.com/user", 403, ["dialect github"]),
        ("https://api.github.com/user", 404, []),
        ("https://api.github.com/user", 200, []),
        ("https://api.github.com/graphql", 200, ["dialect github"]),
        ("http://api.github.com/user", 403, []),
        ("https://api.github.com:8443/user", 403, []),
        ("https://api.github.com.example.com/user", 403, []),
        ("https://notapi.github.com/user", 403, []),
        ("https://xapi.github.com/user", 403, []),
        ("https://api.github.com@example.com/user", 403, []),
        ("https://user:word@api.github.com/user", 403, ["dialect github"]),
        ("https://example.com/https://api.github.com/", 403, []),
        ("https://api.github.com", 403, ["dialect github"]),
        ("https://api.github.comx", 403, []),
        ("https://api.github.com?/", 403, ["dialect github"]),
        ("https://slack.com/api/auth.test", 200, ["dialect slack"]),
        ("https://slack.com/help", 200, []),
        ("https://slack.com/api/auth.test", 404, []),
        ("file:///x", 200, []),
        ("", 200, []),
        (f"https://{'a.' * 30_000}github.com/", 403, []),
    ],
)
def test_auto_chooses_by_the_origin(url: str, status: int, by: list[str]) -> None:
    """The host must be the very one; the path and the status must be ones of the dialect."""
    chosen = choice()
    assert asked(chosen, url, status) == by
    assert asked(chosen, url, status) == by  # also from memory


def test_a_host_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second request to a host, known or not, costs one look into a table."""
    looked_up: list[str] = []

    def look_up(url: str) -> str:
        looked_up.append(url)
        return ""

    monkeypatch.setattr(_choice, "origin_name", look_up)
    chosen = choice()
    for url in ("https://example.com/a", "http://127.0.0.1:8000/", "https://[::1]:8443/a?b=c"):
        for _ in range(3):
            assert asked(chosen, url) == []
        assert looked_up == [url]
        looked_up.clear()


def test_other_urls_do_not_change_what_is_remembered() -> None:
    """Looks alike in any order give what each of them gives alone."""
    chosen = choice()
    urls = ["https://api.github.com/user", "https://api.github.comx", "https://api.github.co/m"]
    assert [asked(chosen, url) for url in urls * 2] == [["dialect github"], [], []] * 2


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("a.weather.example", ("weather",)),
        ("b.a.weather.example", ("weather",)),
        ("weather.example", ()),
        ("xweather.example", ()),
        ("a.weather.example.com", ()),
        (".weather.example", ("weather",)),
    ],
)
def test_a_star_stands_for_labels(
    host: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``https://*.weather.example`` is each host below it, and no host that only ends alike."""
    from requests_authretry import dialects

    monkeypatch.setattr(dialects, "SUFFIXES", {"weather.example": ("weather",)})
    monkeypatch.setattr(dialects, "named", lambda name: name)
    found: tuple[object, ...] = of_origin(f"https://{host}")
    assert found == names
    assert of_origin(f"http://{host}") == ()


URL = "https://git.example.com/api/v3/user"
HTTPS = "https://other.example.com"


@pytest.mark.parametrize(
    ("given", "origins", "url", "by"),
    [
        ([], [], URL, []),
        (["github"], [], URL, ["dialect github"]),
        (["github"], [], "http://127.0.0.1:8000/user", ["dialect github"]),
        (["github"], ["https://git.example.com"], URL, ["dialect github"]),
        (["github"], ["https://other.example.com"], URL, []),
        (["github"], ["https://other.example.com"], "https://api.github.com/x", ["dialect github"]),
        (["slack"], [], "https://api.github.com/x", []),
        (["google"], [HTTPS], "https://www.googleapis.com/x", ["dialect google"]),
        (["google"], [HTTPS], "http://www.googleapis.com/x", []),
        (["github", "slack"], [], "https://api.github.com/x", ["dialect github"]),
        ([named("github")], [], URL, ["dialect github"]),
        (["github", named("github")], [], URL, ["dialect github", "dialect github"]),
    ],
)
def test_named_dialects_hold_at_origins_of_the_settings(
    given: list[str | Dialect], origins: list[str], url: str, by: list[str]
) -> None:
    """Without origins they hold at every host; at a dialect's own origin it holds alone."""
    assert asked(choice(given, *origins), url) == by


def test_several_named_dialects_are_asked_in_order() -> None:
    """At a private host each of them is asked that has a rule for the status."""
    chosen = choice(["slack", "github"])
    graphql = "https://git.example.com/api/graphql"
    assert asked(chosen, graphql, 200) == ["dialect slack", "dialect github"]
    assert asked(chosen, URL, 403) == ["dialect github"]


def test_a_private_host_may_have_the_api_at_any_path() -> None:
    """Slack is below ``/api/`` at its own host; behind a proxy of yours it may be elsewhere."""
    assert asked(choice(["slack"]), "https://proxy.example.com/slack/auth.test", 200)
    assert not asked(choice(["slack"]), "https://slack.com/slack/auth.test", 200)


def test_none_turns_them_off() -> None:
    """Neither None nor an empty list chooses anything."""
    assert choice_of(None, (), SystemClock()) is None
    assert choice_of((), (), SystemClock()) is None


def test_nothing_secret_is_remembered() -> None:
    """A password in a URL, and what is no host, is looked up each time."""
    chosen = choice()
    for url in ("https://user:word@api.github.com/x", "https://h?key=word/", "https://wo rd/x"):
        asked(chosen, url)
    assert chosen._known == {}  # noqa: SLF001 (what is kept shows nowhere else)


def test_a_choice_remembers_a_thousand_origins() -> None:
    """A program that meets hosts without end does not make it grow without end."""
    chosen = choice()
    for number in range(2500):
        asked(chosen, f"https://h{number}.example.com/")
    assert len(chosen._known) <= 1000  # noqa: SLF001 (the same)


def test_an_unknown_name_is_named_with_the_nearest() -> None:
    """``githb``: did you mean ``github``?"""
    with pytest.raises(
        ConfigurationError, match="'githb', which is unknown; did you mean 'github'"
    ):
        Settings(dialects=["githb"])
    with pytest.raises(
        ConfigurationError, match=r"'xyzzy', which is unknown; known are .*github, "
    ):
        Settings(dialects=["xyzzy"])
    with pytest.raises(ConfigurationError, match="'githb'"):
        named("githb")


def test_an_unknown_name_that_may_be_a_token_is_not_shown() -> None:
    """A token in the place of a name stands in no error."""
    with pytest.raises(ConfigurationError, match="dialects has this str, which is unknown; known"):
        Settings(dialects=[SECRET])


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("none", "None"),
        ("off", "None"),
        ("", "None"),
        (False, "None"),
        ("gitlabs", "['gitlab']"),
        ("my-api.json", "[Dialect.from_file('my-api.json')]"),
        (f"/{'a' * 60}/my-api.json", f"[Dialect.from_file('/{'a' * 60}/my-api.json')]"),
        (named("github"), "[dialect]"),
    ],
)
def test_what_is_no_list_is_told_how_to_write_it(given: Any, written: str) -> None:
    """``dialects="none"``, as in a settings file, is None in code."""
    with pytest.raises(ConfigurationError) as raised:
        Settings(dialects=given)
    assert str(raised.value).endswith(f"or None: write dialects={written}")


def test_settings_with_dialects_are_pickled() -> None:
    """A dialect of one's own travels to another process with them."""
    settings = pickle.loads(pickle.dumps(Settings(dialects=[named("github"), "slack"])))  # noqa: S301 (its own)
    assert [str(each) for each in settings.dialects] == ["<Dialect github>", "slack"]


def test_the_index_names_files_that_exist() -> None:
    """Each name of the index is that of a dialect with this origin."""
    for host, names in {**_index.EXACT, **_index.SUFFIXES}.items():
        for name in names:
            assert any(origin.endswith(host) for origin in named(name).origins)
    assert {each.name for each in map(named, NAMES)} == set(NAMES)


READS = """
import sys
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
import requests
from requests_authretry import Settings, mount
from requests_authretry.testing import ScriptedAdapter
session = requests.Session()
session.mount("https://", ScriptedAdapter(200, 404, 503, 200, 200))
mount(session, Settings(clock=__import__("requests_authretry.testing").testing.FakeClock()))
for _ in range(3):
    session.get("https://example.com/things")
data = lambda: [each for each in opened if "dialects" in each and each.endswith(".json")]
before = data()
session.get("https://api.github.com/user")
print(len(before), len(data()), "requests_authretry._core.dialect_format" in sys.modules)
"""


def test_no_file_is_read_before_a_host_needs_it() -> None:
    """Neither the import nor a request to another host, healthy or not, reads a dialect's file."""
    done = subprocess.run(  # noqa: S603 (this Python)
        [sys.executable, "-c", READS], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "1", "True"]
