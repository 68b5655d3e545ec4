"""What a dialect that is named alone supplies: the origins, and the place of the token."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from requests.auth import HTTPBasicAuth

from requests_authretry import (
    ConfigurationError,
    Cookie,
    Dialect,
    Header,
    Query,
    Settings,
    Token,
    override,
)
from requests_authretry.dialects import NAMES, named, named_alone
from tests.support.sessions import SECRET, Rig

if TYPE_CHECKING:
    from pathlib import Path

GITHUB = ("https://api.github.com",)
HTTPS = "https://api.example.com"


def dialect(tmp_path: Path, **changes: Any) -> Dialect:
    """A dialect of one's own."""
    content = {
        "name": "weather",
        "title": "The weather",
        "checked": "2026-01-31",
        "sources": {"docs": "https://weather.example.com/docs"},
        "origins": ["https://api.weather.example.com"],
        "placement": {"query": "key", "source": "docs"},
        "samples": [{"what": "fine", "request": "GET /", "status": 200, "expect": None}],
    }
    path = tmp_path / "weather.json"
    path.write_text(json.dumps({**content, **changes}))
    return Dialect.from_file(path)


def test_a_dialect_that_is_named_alone_supplies_its_origins() -> None:
    """A token for GitHub goes to https://api.github.com, although no origins are given."""
    assert Settings(token=SECRET, dialects=["github"]).origins == GITHUB
    assert Settings(auth=HTTPBasicAuth("a", "b"), dialects=["github"]).origins == GITHUB


def test_a_dialect_object_supplies_them_too(tmp_path: Path) -> None:
    """A dialect of one's own says that its API takes the token as ``?key=...``."""
    made = Settings(token=SECRET, dialects=[dialect(tmp_path)])
    assert made.origins == ("https://api.weather.example.com",)
    assert made.token_in == Query("key")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("anthropic", Header("x-api-key")),
        ("discord", Header("Authorization", "Bot {token}")),
        ("shopify", Header("X-Shopify-Access-Token")),
        ("github", None),
        ("telegram", None),
    ],
)
def test_it_supplies_the_place_of_the_token(name: str, place: Header | None) -> None:
    """Anthropic takes it as x-api-key; `Authorization` and Bearer need no setting."""
    assert Settings(token=SECRET, dialects=[name], origins=[HTTPS]).token_in == place


def test_what_is_given_stays() -> None:
    """A private server has its own origin, and a bot of Discord may have an OAuth token."""
    place = Header("Authorization", "Bearer {token}")
    made = Settings(token=SECRET, dialects=["discord"], origins=[HTTPS], token_in=place)
    assert (made.origins, made.token_in) == ((HTTPS,), place)


def test_without_a_credential_nothing_is_supplied() -> None:
    """Then the dialect goes on holding at every origin, as at a private server."""
    made = Settings(dialects=["anthropic"])
    assert (made.origins, made.token_in) == ((), None)


def test_a_signer_needs_no_place() -> None:
    """A place would hide that the caller has signed the request already."""
    assert Settings(auth=HTTPBasicAuth("a", "b"), dialects=["anthropic"]).token_in is None


def test_a_token_with_a_proof_goes_to_authorization() -> None:
    """DPoP has its place by RFC 9449, whatever the dialect says."""

    class Proving:
        prover = object()

        def fetch(self, _: object) -> Token:
            return Token(SECRET)

    assert Settings(token=Proving(), dialects=["anthropic"]).token_in is None


@pytest.mark.parametrize(
    ("dialects", "why"),
    [
        (["jira"], "dialect jira has no fixed host (https://*.atlassian.net, "),
        (["google"], "dialect google has no fixed host (https://*.googleapis.com); name yours"),
        (["github", "slack"], "only a dialect that is named alone supplies its own"),
        ("auto", "without them the credentials would go to every host"),
        (None, "without them the credentials would go to every host"),
        ([], "without them the credentials would go to every host"),
    ],
)
def test_elsewhere_a_token_needs_origins(dialects: Any, why: str) -> None:
    """Jira has a host for each customer, and of two dialects none is preferred."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(token=SECRET, dialects=dialects)
    [fault] = caught.value.faults
    assert why in fault
    assert fault.startswith("origins are missing: ")
    assert ("named alone" in fault) == (dialects == ["github", "slack"])


def test_a_dialect_with_variable_hosts_supplies_the_place_all_the_same() -> None:
    """A shop of Shopify has a host of its own, and takes its token as all shops do."""
    shop = "https://shop.myshopify.com"
    made = Settings(token=SECRET, dialects=["shopify"], origins=[shop])
    assert made.token_in == Header("X-Shopify-Access-Token")


def test_faulty_dialects_supply_nothing() -> None:
    """The fault that is named is that of the dialect."""
    for given in (["githb"], [7], 7, [Dialect]):
        with pytest.raises(ConfigurationError, match="dialects") as caught:
            Settings(token=SECRET, dialects=given)  # type: ignore[arg-type]
        assert "named alone" not in str(caught.value)


def test_no_name_is_found_where_none_or_several_are_given() -> None:
    """`named_alone` takes whatever the settings were given."""
    assert named_alone(("github",)) is named("github")
    assert [named_alone(each) for each in ("auto", None, (), ("a",), ("jira", "slack"))] == [
        None
    ] * 5


def test_what_was_supplied_stays_with_the_credential() -> None:
    """Other dialects for some calls move no token to another API's servers."""
    made = Settings(token=SECRET, dialects=["anthropic"])
    for others in (["github"], "auto", None):
        changed = replace(made, dialects=others)
        assert (changed.origins, changed.token_in) == (made.origins, made.token_in)
    assert pickle.loads(pickle.dumps(made)).origins == made.origins  # noqa: S301 (ours)


def test_an_override_may_name_the_dialect_of_its_token() -> None:
    """``override(token=..., dialects=["anthropic"])`` needs no origins."""
    ours = Rig(200, 200)
    with override(token=SECRET, dialects=["anthropic"]):
        ours.session.get("https://api.anthropic.com/v1/models")
        ours.session.get("https://api.example.com/")
    to_api, elsewhere = (sent.headers for sent in ours.inner.sent)
    assert to_api["x-api-key"] == SECRET
    assert "Authorization" not in to_api
    assert SECRET not in str(elsewhere)


def test_a_site_may_be_that_of_a_dialect() -> None:
    """Each site has the origins of its API."""
    sites = [Settings(token=SECRET, dialects=[name]) for name in ("github", "anthropic")]
    assert [site.origins for site in Settings(sites=sites).sites] == [
        GITHUB,
        ("https://api.anthropic.com",),
    ]


def test_the_repr_has_what_was_supplied() -> None:
    """It reads as if the settings had said it themselves."""
    shown = repr(Settings(token=SECRET, dialects=["anthropic"]))
    assert "origins=['https://api.anthropic.com']" in shown
    assert "token_in=Header(name='x-api-key', value='{token}')" in shown
    assert "dialects=['anthropic']" in shown


def test_no_dialect_supplies_an_origin_that_is_no_origin() -> None:
    """What each dialect supplies is what `Settings` would accept."""
    for name in NAMES:
        if all("*" not in each for each in named(name).origins):
            given = Settings(token=SECRET, dialects=[name])
            assert replace(given, dialects=None).origins == named(name).origins


def test_a_file_is_read_only_where_a_credential_needs_it() -> None:
    """Neither the import nor settings without a credential read a dialect."""
    program = (
        "import sys; from requests_authretry import Settings; "
        "Settings(dialects=['github']); Settings(token='t', origins=['https://a.example.com']); "
        "from requests_authretry.dialects import named; print(named.cache_info().currsize, "
        "'requests_authretry._core.dialect_format' in sys.modules); "
        "Settings(token='t', dialects=['github']); print(named.cache_info().currsize)"
    )
    done = subprocess.run(  # noqa: S603 (ours)
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "False", "1"]


@pytest.mark.parametrize(
    ("placement", "place"),
    [
        ({"header": "X-Key", "source": "docs"}, Header("X-Key")),
        ({"query": "key", "source": "docs"}, Query("key")),
        ({"cookie": "key", "source": "docs"}, Cookie("key")),
    ],
)
def test_a_file_names_any_place(placement: Any, place: object, tmp_path: Path) -> None:
    """A header, a parameter of the query, or a cookie."""
    assert dialect(tmp_path, placement=placement).placement == place


@pytest.mark.parametrize(
    ("placement", "fault"),
    [
        (
            {"header": "Content-Length", "source": "docs"},
            "placement.header cannot carry a token: name: Content-Length says how",
        ),
        (
            {"query": "key", "format": "a {token}", "source": "docs"},
            "placement.format is for a header: elsewhere the token stands alone",
        ),
        ({"source": "docs"}, "placement needs exactly one of header, query, cookie"),
    ],
)
def test_a_place_that_cannot_carry_a_token_is_a_fault(
    placement: Any, fault: str, tmp_path: Path
) -> None:
    """The file, and not the settings that use it, has the fault."""
    with pytest.raises(ConfigurationError) as caught:
        dialect(tmp_path, placement=placement)
    assert any(each.startswith(fault) for each in caught.value.faults)
