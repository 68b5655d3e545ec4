"""`Settings.from_file` and `Settings.from_env`: what they take, and how they refuse the rest."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from requests_authretry import (
    Backoff,
    ConfigurationError,
    FileStore,
    Header,
    Jitter,
    MemoryStore,
    Rate,
    RateLimits,
    RetryPolicy,
    RetryQuota,
    Settings,
    Token,
)
from requests_authretry._config.fields import NOT_SETTABLE, SETTINGS, VARIABLES
from requests_authretry._config.findings import Found, Place
from requests_authretry._config.token_tables import GRANTS
from requests_authretry.keyring import KeyringStore
from requests_authretry.oauth2 import ClientCredentials
from requests_authretry.redis import RedisStore
from requests_authretry.sources import Command
from tests.oauth2.support import Authority, gives

if TYPE_CHECKING:
    from collections.abc import Callable

    Written = Callable[[str], Path]

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SECRET = "s3cret-9f2c41d7aa"
FIRST_COUNTS = "the first attempt counts, so that 1 switches retries off"
CLIENT = """
client_id = "app"
client_secret = "env:CLIENT_SECRET"
token_url = "https://login.example.com/token"
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """A function that writes a file of settings."""
    monkeypatch.setenv("CLIENT_SECRET", SECRET)

    def write(text: str) -> Path:
        path = tmp_path / "settings.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(path: Path | str) -> list[str]:
    """The faults of a file, its folder left out of them."""
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_file(path)
    return [fault.replace(f"{Path(path).parent}{os.sep}", "") for fault in raised.value.faults]


def refused_env(**variables: str) -> list[str]:
    """The faults of variables, the prefix left out of all names."""
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_env(prefixed(variables))
    return [fault.replace("REQUESTS_AUTHRETRY_", "") for fault in raised.value.faults]


def prefixed(variables: dict[str, str]) -> dict[str, str]:
    """Variables as they are in the environment; what has a colon before its name is left as is."""
    return {
        name[1:] if name.startswith("_") else f"REQUESTS_AUTHRETRY_{name}": value
        for name, value in variables.items()
    }


def test_a_file_sets_each_field(written: Written) -> None:
    """Keys and tables are the fields of the records, and become their values."""
    settings: Any = Settings.from_file(
        written("""
            timeout = [3.05, 27]
            origins = ["https://api.example.com/"]
            allow_http = true
            observe = true
            interactive = false
            store = "file:cache/tokens.json"
            token = "env:CLIENT_SECRET"
            [retry]
            max_attempts = 5
            statuses = [503]
            methods = ["get", "POST"]
            max_retry_after = 60
            [retry.backoff]
            initial = 0.1
            jitter = "equal"
            [limits]
            pacing = false
            headers = []
            [quota]
            capacity = 0
        """)
    )
    assert settings.timeout == (3.05, 27)
    assert settings.origins == ("https://api.example.com",)
    assert settings.allow_http
    assert settings.observe
    assert settings.interactive is False
    assert settings.retry == RetryPolicy(
        max_attempts=5,
        statuses=[503],
        methods=["GET", "POST"],
        max_retry_after=60,
        backoff=Backoff(initial=0.1, jitter=Jitter.EQUAL),
    )
    assert settings.limits == RateLimits(pacing=False, headers=[])
    assert settings.quota == RetryQuota(capacity=0)
    assert isinstance(settings.store, FileStore)
    assert settings.store.path == written("").parent / "cache" / "tokens.json"


def test_an_empty_file_and_an_empty_environment_are_the_defaults(written: Written) -> None:
    """Where nothing is set, nothing differs from `Settings()`."""
    for settings in (Settings.from_file(written("")), Settings.from_env({"PATH": "x"})):
        assert settings.retry == RetryPolicy()
        assert (settings.token, settings.store, settings.sites) == (None, None, ())


def test_sites_inherit_what_they_do_not_say(written: Written) -> None:
    """A site overrides key by key, also within tables; origins are its own."""
    settings = Settings.from_file(
        written("""
            timeout = 10
            [retry]
            max_attempts = 5
            [retry.backoff]
            initial = 0.2
            [[site]]
            origins = ["https://a.example.com"]
            timeout = 3
            retry.backoff.multiplier = 3
            [[site]]
            origins = ["https://b.example.com", "https://c.example.com"]
            [site.retry]
            max_attempts = 1
        """)
    )
    first, second = settings.sites
    assert (settings.timeout, first.timeout, second.timeout) == (10, 3, 10)
    assert settings.retry.backoff == Backoff(initial=0.2)
    assert first.retry == RetryPolicy(max_attempts=5, backoff=Backoff(initial=0.2, multiplier=3))
    assert second.retry == RetryPolicy(max_attempts=1, backoff=Backoff(initial=0.2))
    assert second.origins == ("https://b.example.com", "https://c.example.com")
    assert settings.origins == ()


def test_a_token_of_all_is_that_of_the_sites_alone_where_no_origins_are_named(
    written: Written,
) -> None:
    """A token beside sites goes to their origins, and to no other."""
    settings = Settings.from_file(
        written("""
            token = "env:CLIENT_SECRET"
            [[site]]
            origins = ["https://a.example.com"]
            [[site]]
            origins = ["https://b.example.com"]
            token = { command = ["print-token"] }
        """)
    )
    first, second = settings.sites
    assert settings.token is None
    assert repr(first.token) == "Reference('env:CLIENT_SECRET')"
    assert isinstance(second.token, Command)


def test_sites_that_inherit_a_token_share_its_renewal(written: Written) -> None:
    """They have one source, whose tokens are one family: a refresh token is spent once."""
    settings = Settings.from_file(
        written(f"""
            token = {{ grant = "client_credentials", {", ".join(CLIENT.strip().splitlines())} }}
            [[site]]
            origins = ["https://a.example.com"]
            [[site]]
            origins = ["https://b.example.com"]
        """)
    )
    first, second = settings.sites
    assert first.token is second.token is not None


def test_all_faults_are_told_together_with_their_lines(written: Written) -> None:
    """Unknown names with the nearest known one, wrong types and impossible values, in order."""
    assert refused(
        written("""\
timeout = "soon"
tokn = "env:X"
listeners = []
retries = 3
adopt = ["authorisation"]

[retry]
max_atempts = 3
statuses = [999]
deadline = 0
backoff = 3
[limits]
pacing = 1
[[site]]
origins = ["https://a.example.com", "ftp://x"]
max_attempts = 3
[site.retry]
backoff = { jitter = "half", initial = -1 }
[[site]]
retry.max_attempts = 0
[[sit]]
""")
    ) == [
        "settings.toml:1: timeout must be a number of seconds or an array of two, [connect, read]",
        "settings.toml:2: tokn is unknown; did you mean token?",
        "settings.toml:3: listeners cannot be set here, it takes functions",
        "settings.toml:4: retries is unknown; did you mean retry?",
        "settings.toml:5: adopt takes 'authorization' and 'retries', not 'authorisation'",
        "settings.toml:8: retry.max_atempts is unknown; did you mean max_attempts?",
        "settings.toml:9: retry.statuses takes the codes of failures, 400 to 599, and 202, not 999",
        "settings.toml:10: retry.deadline must be above zero, not 0",
        "settings.toml:11: retry.backoff must be a table",
        "settings.toml:13: limits.pacing must be true or false",
        (
            "settings.toml:15: site.origins: 'ftp://x' is no origin: "
            "write it like 'https://api.example.com'"
        ),
        "settings.toml:16: site.max_attempts is unknown; did you mean retry.max_attempts?",
        'settings.toml:18: site.retry.backoff.jitter must be "full" or "equal" or "none"',
        "settings.toml:18: site.retry.backoff.initial must be zero or more, not -1",
        "settings.toml:19: site needs origins = [...]: they say which requests follow it",
        "settings.toml:20: site.retry.max_attempts must be a whole number of at least 1, not 0; "
        + FIRST_COUNTS,
        "settings.toml:21: sit is unknown; did you mean site?",
    ]


def test_an_origin_belongs_to_one_site(written: Written) -> None:
    """The second site that names an origin is refused, and the first is pointed to."""
    (fault,) = refused(
        written("""\
[[site]]
origins = ["https://a.example.com"]
[[site]]
origins = ["https://b.example.com", "https://A.example.com:443"]
""")
    )
    assert fault == (
        "settings.toml:4: site.origins: https://a.example.com is in the site of settings.toml:2 too"
    )


def test_one_dialect_supplies_the_origins_in_a_file(written: Written) -> None:
    """``dialects = ["anthropic"]`` beside a token says where it goes, in a site too."""
    top = Settings.from_file(written('token = "env:CLIENT_SECRET"\ndialects = ["anthropic"]'))
    assert top.origins == ("https://api.anthropic.com",)
    assert top.token_in == Header("x-api-key")
    sites = '[[site]]\ndialects = ["github"]\n[[site]]\ndialects = ["slack"]'
    two = Settings.from_file(written(f'token = "env:CLIENT_SECRET"\n{sites}'))
    assert [site.origins for site in two.sites] == [
        ("https://api.github.com",),
        ("https://slack.com",),
    ]
    assert two.token is None


def test_one_dialect_supplies_the_origins_in_variables() -> None:
    """A token and the name of an API are enough."""
    given = {"REQUESTS_AUTHRETRY_TOKEN": "t", "REQUESTS_AUTHRETRY_DIALECTS": "github"}
    assert Settings.from_env(given).origins == ("https://api.github.com",)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            'dialects = ["jira"]\ntoken = "env:CLIENT_SECRET"\n',
            "1: origins are missing: dialect jira has no fixed host",
        ),
        ('dialects = ["github"]\n', "1: site needs origins"),
        ('dialects = ["github", "jira"]\ntoken = "env:CLIENT_SECRET"\n', "1: site needs origins"),
        ('token = "env:CLIENT_SECRET"\n', "1: site needs origins"),
    ],
)
def test_a_site_whose_dialect_supplies_no_origins_needs_them(
    content: str, fault: str, written: Written
) -> None:
    """Without a token, with several names or without a fixed host nothing is supplied."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_file(written(f"[[site]]\n{content}"))
    assert [fault in each for each in caught.value.faults] == [True]


def test_a_site_does_not_inherit_origins(written: Written) -> None:
    """Where the origins of all are named, a site needs its own still."""
    (fault,) = refused(written('origins = ["https://a.example.com"]\n[[site]]\ntimeout = 3'))
    assert fault.startswith("settings.toml:2: site needs origins")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("site = 3", "settings.toml:1: site must be tables: write [[site]]"),
        ("\n[site]\n", "settings.toml:2: site must be tables: write [[site]]"),
        ("site = [3]", "settings.toml:1: site must be tables: write [[site]]"),
        (
            "site = [{}]",
            "settings.toml:1: site needs origins = [...]: they say which requests follow it",
        ),
        (
            "[[site]]\norigins = []",
            "settings.toml:2: site needs origins = [...]: they say which requests follow it",
        ),
        ("[[site]]\norigins = 3", "settings.toml:2: site.origins must be an array of strings"),
        ("a b = 1", "settings.toml:1: is no TOML: "),
        ("\n\na = 1\na = 2", "settings.toml:4: is no TOML: "),
        ('"a\\nb" = 1', "settings.toml: 'a\\nb' is unknown"),
        ("a = " + "9" * 5000, "settings.toml: is no TOML"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused(
    written: Written, text: str, fault: str
) -> None:
    """What is no TOML, or no list of sites, is one fault with its line."""
    (said,) = refused(written(text))
    assert said == fault or (fault.endswith(": ") and said.startswith(fault))  # in its own words


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A file that is missing, a folder, not UTF-8 or no path at all is a fault, not an OSError."""
    odd = tmp_path / "odd.toml"
    odd.write_bytes(b"a = '\xff'")
    assert refused(tmp_path / "no.toml") == ["no.toml: cannot be read: No such file or directory"]
    assert refused(odd) == ["odd.toml: is not UTF-8, as TOML is"]
    assert refused(f"{tmp_path}{os.sep}a\0b") == ["a\0b: is no path here"]
    assert "cannot be read" in refused(tmp_path)[0]


def test_a_mark_at_the_beginning_is_no_fault(tmp_path: Path) -> None:
    """Editors of Windows begin a file with a byte order mark."""
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xef\xbb\xbftimeout = 3\r\n[retry]\r\nmax_attempts = 0\r\n")
    assert refused(path) == [
        "settings.toml:3: retry.max_attempts must be a whole number of at least 1, not 0; "
        + FIRST_COUNTS,
    ]


def test_a_parser_that_is_missing_is_told(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Python 3.11 an extra reads TOML; without it, its name is in the one line."""
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    assert refused(written("")) == [
        "settings.toml: needs tomli to be read: pip install 'requests-authretry[toml]'"
    ]


def test_variables_set_each_field() -> None:
    """A variable for each setting, its text read as the field needs it."""
    settings = Settings.from_env(
        prefixed(
            {
                "TIMEOUT": "3.05,27",
                "ORIGINS": "https://a.example.com, https://b.example.com",
                "TOKEN": SECRET,
                "STORE": "memory:",
                "RETRY_MAX_ATTEMPTS": "5",
                "RETRY_STATUSES": "429,503",
                "RETRY_BACKOFF_INITIAL": "0.1",
                "RETRY_BACKOFF_JITTER": "none",
                "LIMITS_COOL_DOWN": "off",
            }
        )
    )
    assert settings.timeout == (3.05, 27.0)
    assert settings.origins == ("https://a.example.com", "https://b.example.com")
    assert settings.token == Token(SECRET)
    assert isinstance(settings.store, MemoryStore)
    assert settings.retry == RetryPolicy(
        max_attempts=5, statuses=[429, 503], backoff=Backoff(initial=0.1, jitter=Jitter.NONE)
    )
    assert not settings.limits.cool_down


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the variables are those of the process; the bare switch is none."""
    monkeypatch.setenv("REQUESTS_AUTHRETRY", "1")
    monkeypatch.setenv("REQUESTS_AUTHRETRY_TIMEOUT", "7")
    assert Settings.from_env().timeout == 7


def test_variables_take_the_place_of_what_the_file_says(written: Written) -> None:
    """The file that a variable names is the base; what a site says for itself stays."""
    path = written("""
        timeout = 10
        retry.max_attempts = 2
        retry.deadline = 60
        [[site]]
        origins = ["https://a.example.com"]
        retry.max_attempts = 3
    """)
    settings = Settings.from_env(
        prefixed({"CONFIG": str(path), "RETRY_MAX_ATTEMPTS": "5", "TIMEOUT": "1"})
    )
    (site,) = settings.sites
    assert (settings.timeout, site.timeout) == (1.0, 1.0)
    assert (settings.retry.max_attempts, site.retry.max_attempts) == (5, 3)
    assert settings.retry.deadline == site.retry.deadline == 60


def test_all_faults_of_variables_are_told_together(written: Written) -> None:
    """Each with the variable's name, those of the file included."""
    path = written("timeout = 0")
    faults = refused_env(
        CONFIG=str(path),
        RETRY_MAX_ATEMPTS="3",
        RETRY_DEADLINE="soon",
        STORE="",
        QUOTA_CAPACITY="-1",
    )
    assert faults == [
        f"{path}:1: timeout must be above zero, not 0",
        "QUOTA_CAPACITY: quota.capacity must be a whole number of at least 0, not -1",
        "RETRY_DEADLINE: retry.deadline must be a finite number",
        "RETRY_MAX_ATEMPTS: this variable is unknown; did you mean RETRY_MAX_ATTEMPTS?",
        "STORE: is empty: give it a value, or take it away",
    ]


def test_an_empty_name_of_a_file_is_refused() -> None:
    """A variable that was meant to name a file is not passed over in silence."""
    assert refused_env(CONFIG="") == ["CONFIG: is empty: give it a value, or take it away"]


def test_a_variable_may_hold_the_token_and_a_reference(tmp_path: Path) -> None:
    """Plain text is the token itself; a path starts from the working directory."""
    (tmp_path / "token").write_text(SECRET)
    settings = Settings.from_env(
        prefixed({"TOKEN": f"file:{tmp_path}/token", "ORIGINS": "https://a.example.com"})
    )
    assert repr(settings.token) == f"Reference('file:{tmp_path}/token')"
    (fault,) = refused_env(TOKEN=f"{SECRET} \n", ORIGINS="https://a.example.com")
    assert fault.startswith("TOKEN: token: value must be visible ASCII")
    assert SECRET not in fault


def test_a_token_needs_origins(written: Written) -> None:
    """A token that could go anywhere is refused where it stands."""
    assert refused(written('\ntoken = "env:CLIENT_SECRET"'))[0].startswith(
        "settings.toml:2: origins are missing"
    )
    (fault,) = refused_env(TOKEN=SECRET)
    assert fault.startswith("TOKEN: origins are missing")
    assert fault.endswith(": ORIGINS=https://api.example.com")


def test_plain_http_is_refused_unless_it_is_allowed(written: Written) -> None:
    """What a site inherits decides over its origins too."""
    text = '[[site]]\norigins = ["http://a.example.com"]\n'
    assert "unencrypted" in refused(written(text))[0]
    (site,) = Settings.from_file(written(f"allow_http = true\n{text}")).sites
    assert site.allow_http


@pytest.mark.parametrize(
    ("store", "kind"),
    [
        ("memory:", MemoryStore),
        ("file:~/x.json", FileStore),
        ("redis://localhost/0", RedisStore),
        ("rediss://localhost/0", RedisStore),
        ("unix:///run/redis.sock", RedisStore),
        ("keyring:my-app", KeyringStore),
        ("env:A_STORE", MemoryStore),
    ],
)
def test_a_store_is_named_by_a_text(
    written: Written, monkeypatch: pytest.MonkeyPatch, store: str, kind: type
) -> None:
    """Each form makes the store of its kind; nothing is opened yet."""
    monkeypatch.setenv("A_STORE", "memory:")
    assert isinstance(Settings.from_file(written(f"store = '{store}'")).store, kind)


@pytest.mark.parametrize(
    ("store", "fault"),
    [
        ("tokens.json", " must be "),
        (f"redis://:{SECRET}@cache/0", " has a password in it: put it into a variable and write"),
        (f"redis://cache/0?password={SECRET}", " has a password in it"),
        (f"redis://[{SECRET}", " has a password in it"),
        ("redis://cache/zero?db=zero", ":"),
        ("env:CLIENT_SECRET", ": what is in env:CLIENT_SECRET must be "),
        ("env:A_STORE", ": what is in env:A_STORE must be "),
        ("env:NOPE", ": the variable NOPE is not set"),
        ("file:~nobody-at-all/x", " names no place there can be"),
    ],
)
def test_a_store_that_cannot_be_is_refused(
    written: Written, monkeypatch: pytest.MonkeyPatch, store: str, fault: str
) -> None:
    """The fault does not quote the text, which may hold a password."""
    monkeypatch.setenv("A_STORE", "env:CLIENT_SECRET")
    (told,) = refused(written(f"store = '{store}'"))
    assert told.startswith(f"settings.toml:1: store{fault}")
    assert SECRET not in told


@pytest.mark.parametrize(
    ("module", "line", "fault"),
    [
        ("redis", "store = 'redis://cache/0'", "store: requests_authretry.redis needs redis-py"),
        ("keyring", "store = 'keyring:x'", "store: requests_authretry.keyring needs keyring"),
        ("oauth2", "[token]\ngrant = 'password'", "token: requests_authretry.oauth2 needs"),
    ],
)
def test_an_extra_that_is_missing_is_told(
    written: Written, monkeypatch: pytest.MonkeyPatch, module: str, line: str, fault: str
) -> None:
    """What needs an extra says which, with the place that asks for it."""
    more = (
        f'username = "ada"\npassword = "env:CLIENT_SECRET"\n{CLIENT}' if "[token]" in line else ""
    )
    for name in [
        name for name in sys.modules if f"{name}.".startswith(f"requests_authretry.{module}.")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(f"requests_authretry.{module}")
    for name in ("redis", "keyring", "joserfc"):
        monkeypatch.setitem(sys.modules, name, None)
    assert fault in refused(written(f"origins = ['https://a.example.com']\n{line}\n{more}"))[0]


def test_each_grant_becomes_its_source(written: Written, tmp_path: Path) -> None:
    """A table names the grant, the client and what is asked for; secrets are references."""
    (tmp_path / "key.pem").write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    (tmp_path / "subject").write_text("subject-token")
    more = {
        "client_credentials": 'scopes = ["read"]\nextra = { resource = "urn:api" }',
        "refresh_token": 'refresh_token = "env:CLIENT_SECRET"',
        "password": 'username = "ada"\npassword = "env:CLIENT_SECRET"',
        "jwt_bearer": 'key = "file:key.pem"\nsubject = "ada"\nclaims = { aud = "urn:api" }',
        "token_exchange": 'subject_token = "file:subject"\nactor_token = "env:CLIENT_SECRET"',
        "device_code": 'device_url = "https://login.example.com/device"',
    }
    assert set(more) == set(GRANTS)
    for grant, lines in more.items():
        settings = Settings.from_file(
            written(
                f'origins = ["https://a.example.com"]\n[token]\ngrant = "{grant}"\n{CLIENT}{lines}'
            )
        )
        name = type(settings.token).__name__
        assert name.lower() == grant.replace("_", "")
        assert repr(settings.token).startswith(f"{name}(Client('app', 'https://login.example.com")


def test_a_subject_token_in_a_file_is_read_for_each_token_exchange(
    written: Written, tmp_path: Path
) -> None:
    """Projected tokens change; a variable does not."""
    (tmp_path / "subject").write_text("first")
    source: Any = Settings.from_file(
        written(
            'origins = ["https://a.example.com"]\n[token]\ngrant = "token_exchange"\n'
            f'{CLIENT}subject_token = "file:subject"\nactor_token = "env:CLIENT_SECRET"'
        )
    ).token
    (tmp_path / "subject").write_text("second")
    assert source._actor == SECRET  # noqa: SLF001 (its name in the store depends on it)
    authority = Authority(gives())
    source.client.session = authority.session
    source.fetch(authority.context())
    (form,) = authority.forms
    assert (form["subject_token"], form["actor_token"]) == ("second", SECRET)


@pytest.mark.parametrize(
    ("table", "faults"),
    [
        ("", ["2: token needs a command = [...] or a grant = 'client_credentials', "]),
        ('grant = "magic"', ["3: token.grant must be one of 'client_credentials', "]),
        ("grant = 3", ["3: token.grant must be one of 'client_credentials', "]),
        (
            'command = ["x"]\nargs = []\nstore_key = 3',
            ["4: token.args is unknown", "5: token.store_key must be a string"],
        ),
        ("command = []", ["2: token: args takes the name of a program"]),
        (
            f'grant = "client_credentials"\nclient_secret = "{SECRET}"\nclient_key = "env:NOPE"',
            [
                "2: token needs client_id",
                '4: token.client_secret must be "env:NAME", "file:PATH" or "keyring:',
                "5: token.client_key: the variable NOPE is not set",
            ],
        ),
        (
            'grant = "client_credentials"\nclient_id = "app"',
            ["2: token: give the issuer, or the token_url"],
        ),
        (f'grant = "refresh_token"{CLIENT}', ["2: token needs refresh_token"]),
        (
            f'grant = "client_credentials"{CLIENT}dpop = "env:CLIENT_SECRET"',
            ["2: token: "],
        ),
    ],
)
def test_a_table_of_a_token_that_cannot_work_is_refused(
    written: Written, table: str, faults: list[str]
) -> None:
    """Each fault has the line of its key, and none quotes what may be a secret."""
    told = refused(written(f'origins = ["https://a.example.com"]\n[token]\n{table}'))
    assert len(told) == len(faults)
    for line, fault in zip(told, faults, strict=True):
        assert line.startswith(f"settings.toml:{fault}")
        assert SECRET not in line


def test_a_program_is_named_by_its_words(written: Written) -> None:
    """A table with a command is a `Command`, under the name in the store that it says."""
    source: Any = Settings.from_file(
        written(
            'origins = ["https://a.example.com"]\n'
            'token = { command = ["vault", "print", "token"], store_key = "vault" }'
        )
    ).token
    assert repr(source) == "Command(['vault', ...])"
    assert source.store_key == "vault"


def test_dpop_may_be_asked_for_without_a_key(written: Written) -> None:
    """A flag makes a key for the life of the process."""
    source: Any = Settings.from_file(
        written(
            f'origins = ["https://a.example.com"]\n[token]\ngrant = "client_credentials"\n'
            f"{CLIENT}dpop = true"
        )
    ).token
    assert isinstance(source, ClientCredentials)
    assert source.prover is not None


def test_every_field_can_be_set_from_outside_or_says_why_not() -> None:
    """The table is made of the records: a new field is in it, or on the list of exceptions."""
    for owner in (RetryPolicy, Backoff, RetryQuota, RateLimits, Settings):
        settable = {setting.path[-1] for setting in SETTINGS.values() if setting.owner is owner}
        parts = {"retry", "limits", "quota", "backoff"}
        exceptions = set(NOT_SETTABLE) & {item.name for item in fields(owner)}
        assert {item.name for item in fields(owner)} - parts == settable | exceptions
    assert all(NOT_SETTABLE.values())


RATES = (Rate(10, per=1.0), Rate(1000, per=3600, burst=5, path="/search"))


@pytest.mark.parametrize(
    "text",
    [
        (
            "limits.rates = [{limit = 10, per = 1.0}, "
            '{limit = 1000, per = 3600, burst = 5, path = "/search"}]'
        ),
        (
            "[[limits.rates]]\nlimit = 10\nper = 1.0\n"
            '[[limits.rates]]\nlimit = 1000\nper = 3600\nburst = 5\npath = "/search"\n'
        ),
    ],
)
def test_rates_are_tables(written: Written, text: str) -> None:
    """Inline or not, they become `Rate` objects."""
    assert Settings.from_file(written(text)).limits.rates == RATES


def test_a_site_has_rates_of_its_own_or_inherits_them(written: Written) -> None:
    """The site with rates replaces all of those above it, and keeps the number of attempts."""
    path = written(
        "limits.concurrency = 8\nlimits.rates = [{limit = 10, per = 1.0}]\n"
        '[[site]]\norigins = ["https://a.example.com"]\n'
        "[[site.limits.rates]]\nlimit = 1\nper = 2\n"
        '[[site]]\norigins = ["https://b.example.com"]\n'
    )
    settings = Settings.from_file(path)
    assert [each.limits.rates for each in (settings, *settings.sites)] == [
        (RATES[0],),
        (Rate(1, per=2),),
        (RATES[0],),
    ]
    assert {each.limits.concurrency for each in (settings, *settings.sites)} == {8}


def test_each_fault_of_a_rate_has_its_line(written: Written) -> None:
    """An unknown key, one of another kind, one that is missing, and a value that cannot work."""
    text = """
[[limits.rates]]
limt = 10
per = "1"
cost = 1
[[limits.rates]]
limit = 0
per = 1
path = "search"
"""
    assert refused(written(text)) == [
        "settings.toml:2: limits.rates needs limit",
        "settings.toml:3: limits.rates.limt is unknown; did you mean limit?",
        "settings.toml:4: limits.rates.per must be a finite number",
        "settings.toml:5: limits.rates.cost cannot be set here, it takes a function",
        (
            "settings.toml:7: limits.rates.limit must be a number from 1 to 1e9, not 0; "
            "for one request in 2 s write Rate(1, per=2.0)"
        ),
        (
            "settings.toml:9: limits.rates.path must begin with a slash, percent-encoded as in the "
            "URL and without a query, not 'search'"
        ),
    ]
    assert refused(written("limits.rates = [10]\nlimits.concurrency = 0")) == [
        "settings.toml:1: limits.rates must be an array of tables: [{limit = 10, per = 1.0}]",
        "settings.toml:2: limits.concurrency must be a whole number of at least 1, not 0",
    ]
    site = '[[site]]\norigins = ["https://a.example.com"]\nlimits.rates = [{}]\n'
    assert refused(written(site)) == [
        "settings.toml:3: site.limits.rates needs limit",
        "settings.toml:3: site.limits.rates needs per",
    ]


def test_rates_may_stand_in_a_variable() -> None:
    """Each is a limit and its seconds, with a slash between them."""
    variables = prefixed({"LIMITS_RATES": "10/1, 1000/3600", "LIMITS_CONCURRENCY": "8"})
    limits = Settings.from_env(variables).limits
    assert limits == RateLimits(rates=[Rate(10, per=1), Rate(1000, per=3600)], concurrency=8)


@pytest.mark.parametrize("text", ["10", "10/1/1", "a/1", "10/1;5/2"])
def test_a_variable_with_other_rates_is_refused(text: str) -> None:
    """The message shows how they are written."""
    assert refused_env(LIMITS_RATES=text) == [
        "LIMITS_RATES: limits.rates must be LIMIT/SECONDS with commas between them: 10/1,1000/3600"
    ]


def test_a_rate_in_a_variable_that_cannot_work_is_refused() -> None:
    """The message names the field of the rate."""
    assert refused_env(LIMITS_RATES="10/0") == [
        "LIMITS_RATES: limits.rates.per must be above zero, not 0.0"
    ]


def test_the_page_names_every_setting() -> None:
    """Each setting is a row of its table, with its variable."""
    for setting in SETTINGS.values():
        variable = setting.variable.removeprefix("REQUESTS_AUTHRETRY_")
        assert f"| `{'.'.join(setting.path)}` | `{variable}` |" in PAGE
    for grant, form in GRANTS.items():
        assert f"| `{grant}` |" in PAGE
        assert all(f"`{name}`" in PAGE for name in form.keys)


@pytest.mark.parametrize(
    "text", re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)
def test_the_files_on_the_page_are_good(
    written: Written, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    """Each is taken as it stands there, its secrets being where it says."""
    monkeypatch.setenv("API_TOKEN", SECRET)
    monkeypatch.setenv("API_SECRET", SECRET)
    (tmp_path / "api").write_text(SECRET)
    path = written(text.replace("/var/run/secrets/tokens/", "").replace("~/.cache/", ""))
    assert isinstance(Settings.from_file(path), Settings)


def test_the_variables_on_the_page_are_good() -> None:
    """Each is taken as it stands there."""
    named = dict(re.findall(r"^export (\w+)=(.*)$", PAGE, re.MULTILINE))
    assert named.pop("REQUESTS_AUTHRETRY_CONFIG")
    assert Settings.from_env(named).timeout == (3.05, 27.0)


@pytest.mark.parametrize("level", ["info", "no level at all", ""])
def test_the_variable_of_the_log_is_no_setting(level: str) -> None:
    """The package reads it when it is imported, and no log can make settings unusable."""
    assert Settings.from_env({"REQUESTS_AUTHRETRY_LOG": level}).timeout is None


def test_a_misspelled_variable_of_the_log_is_named() -> None:
    """``REQUESTS_AUTHRETRY_LGO`` is unknown, and the error names the one that was meant."""
    with pytest.raises(ConfigurationError, match="mean REQUESTS_AUTHRETRY_LOG"):
        Settings.from_env({"REQUESTS_AUTHRETRY_LGO": "info"})


def test_each_setting_has_a_variable_of_its_own() -> None:
    """No two names become one when their dots become underscores."""
    assert len(VARIABLES) == len(SETTINGS)


NAMES = st.sampled_from(
    sorted({name for path in SETTINGS for name in path} | {"site", "grant", "command", "x"})
)
VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.sampled_from(["env:X", "memory:", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def toml(value: object) -> str:
    """A value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value) if isinstance(value, (bool, str)) else repr(value)


one_path_for_all = examples(
    suppress_health_check=[
        *examples.get_profile("quick").suppress_health_check,
        HealthCheck.function_scoped_fixture,
    ]
)


def attempted(make: Callable[[], object]) -> str:
    """All that a refusal shows, locals of the frames included; "" for none."""
    try:
        make()
    except ConfigurationError as error:
        seen = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join(seen.format())
    return ""


@one_path_for_all
@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_any_document_is_taken_or_refused(tmp_path: Path, document: dict[str, object]) -> None:
    """Whatever stands under known names, nothing but a ConfigurationError is raised."""
    path = tmp_path / "any.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in document.items()))
    attempted(lambda: Settings.from_file(path))


@one_path_for_all
@given(
    st.binary(max_size=60) | st.text(alphabet="ab=[]{}\"'#\\\n ,1.", max_size=60).map(str.encode)
)
@example(b"a = " + b"[" * 5000)
def test_any_bytes_are_taken_or_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever a file holds, nothing but a ConfigurationError is raised."""
    path = tmp_path / "any.toml"
    path.write_bytes(content)
    attempted(lambda: Settings.from_file(path))


@given(
    st.dictionaries(st.sampled_from([*VARIABLES, "REQUESTS_AUTHRETRY_X"]), st.text(), max_size=4)
)
def test_any_variables_are_taken_or_refused(variables: dict[str, str]) -> None:
    """Whatever text variables hold, nothing but a ConfigurationError is raised."""
    attempted(lambda: Settings.from_env(variables))


def test_a_value_that_was_found_shows_its_place_alone() -> None:
    """What an unexpected error shows of its frames holds no secret either."""
    assert repr(Found(SECRET, Place("settings.toml", 3))) == "Found(settings.toml:3)"


PLACES = [
    "token = {}",
    "token = {}\norigins = 3",
    "token = [{}]",
    "token = {{ command = [{}], x = 1 }}",
    "token = {{ command = {} }}",
    "store = {}",
    "[token]\ngrant = {}",
    "[[site]]\ntoken = {}",
    *(
        f'[token]\ngrant = "{grant}"\n{name} = {{}}'
        for grant, form in GRANTS.items()
        for name in sorted(form.keys)
        if name != "grant"
    ),
]


@one_path_for_all
@given(
    st.sampled_from(PLACES),
    st.sampled_from(
        ['"{}"', "{}", '"env:{}', "'{}", '"redis://:{}@h"', '["{}"]', '"{}\\n"', '"\\q{}"']
    ),
    st.sampled_from(["", "\ntimeout = 0", "\nx = ", "\n]"]),
)
def test_no_secret_is_ever_shown(tmp_path: Path, place: str, form: str, rest: str) -> None:
    """Plain text where a secret belongs is in no message, and in no local of a frame."""
    path = tmp_path / "any.toml"
    path.write_text(place.format(form.format(SECRET)) + rest)
    shown = attempted(lambda: Settings.from_file(path))
    assert SECRET not in shown.replace(f"env:{SECRET}", "")


@given(
    st.sampled_from(["TOKEN", "STORE"]),
    st.sampled_from(["{}", "{}\n", "redis://:{}@h/x", "redis://h?password={}&db=x", "unix://{}\0"]),
    st.sampled_from(["", "soon"]),
)
def test_no_secret_of_a_variable_is_ever_shown(name: str, form: str, timeout: str) -> None:
    """The same for variables."""
    variables = prefixed({name: form.format(SECRET), "TIMEOUT": timeout})
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_env(variables)
    assert SECRET not in str(raised.value)
    assert SECRET not in repr(raised.value)
