"""The committed JSON schema of a settings file: it says what the reader of the file takes."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from requests_authretry import _config
from requests_authretry._config.fields import NOT_SETTABLE, SETTINGS, SITE
from requests_authretry._config.token_tables import COMMAND, GRANTS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from requests_authretry._config.fields import Names, Setting
    from requests_authretry._config.token_tables import Form

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SCHEMA: dict[str, Any] = json.loads(
    (files(_config) / "settings.schema.json").read_text(encoding="utf-8")
)
FORMS: Mapping[str, Form] = {"": COMMAND, **GRANTS}

VALUES: list[Any] = [
    *(True, False, -1, 0, 0.5, 1, 1.5, 3, 101, 600),
    *(
        "",
        "x",
        "full",
        "equal",
        "none",
        "half",
        "authorization",
        "auto",
        "env:X",
        "file:x",
        "keyring:a/b",
        "keyring:a",
    ),
    *("memory:", "redis://h", "unix://s", "https://a.example.com"),
    *([], [""], ["retry-after"], [True], [1], [99], [429], [600], [0, 1], [1, 2.5], [1, 2, 3]),
    *({}, {"x": "y"}, {"x": ""}, {"x": 1}),
    *([{}], [{"limit": 1}], [{"limit": 10, "per": 1.0}], [{"limit": 0.5, "per": 1}]),
    *([{"limit": 1, "per": 0}], [{"limit": 1, "per": 1, "burst": 0}], [{"limit": "1", "per": 1}]),
    *([{"limit": 1, "per": 1, "path": path}] for path in ("/a", "a", "/a?b", "/\u00e4", "/a#")),
    *(
        [{"limit": 1, "per": 1, "cost": 1}],
        [{"limit": 1, "per": 1}, {}],
        [{"limit": 1, "per": 1}, 1],
    ),
]
"""Values of each type, and some on both sides of each bound; no array of words but good names."""


def valid(document: object) -> bool:
    """Whether a document validates by the schema."""
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(document))


def described(table: Mapping[str, Any], path: Names = ()) -> Iterator[tuple[Names, dict[str, Any]]]:
    """Each setting that the schema of a table names, and what it says of it."""
    for name, said in table["properties"].items():
        if said.get("type") == "object":
            assert said["additionalProperties"] is False
            yield from described(said, (*path, name))
        elif name != SITE:
            yield (*path, name), said


DESCRIBED: Mapping[Names, dict[str, Any]] = dict(described(SCHEMA))


def document_with(path: Names, value: object) -> dict[str, object]:
    """A document with one setting."""
    for name in reversed(path):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def test_the_schema_is_a_schema() -> None:
    """It is JSON Schema, draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_names_exactly_the_settings() -> None:
    """A new field has to be written into the schema, and a field that is gone has to go there."""
    assert set(DESCRIBED) == set(SETTINGS)
    assert SCHEMA["additionalProperties"] is False


def test_a_site_takes_what_stands_above_it() -> None:
    """Its settings are those of the file, by reference, but for further sites.

    It needs origins, or the name of a dialect that supplies them.
    """
    site, top = SCHEMA["properties"][SITE]["items"], set(SCHEMA["properties"]) - {SITE}
    assert site["properties"] == {name: {"$ref": f"#/properties/{name}"} for name in top}
    assert site["anyOf"] == [{"required": ["origins"]}, {"required": ["dialects"]}]
    assert site["additionalProperties"] is False


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda it: ".".join(it.path))
def test_the_schema_takes_what_the_reader_takes(setting: Setting) -> None:
    """For each setting and value both agree: type, bounds and choices are the same."""
    for value in VALUES:
        fits = setting.kind.fits(value) and setting.fault(setting.kind.made(value)) is None
        if setting.path == ("token",) and isinstance(value, dict):
            continue  # see the forms of a token
        assert valid(document_with(setting.path, value)) == fits, value


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda it: ".".join(it.path))
def test_the_schema_tells_each_default(setting: Setting) -> None:
    """The default is the one of the record; where that is none or empty, nothing is told."""
    (default,) = (item.default for item in fields(setting.owner) if item.name == setting.path[-1])
    default = getattr(default, "value", default)  # of an enumeration
    told = DESCRIBED[setting.path].get("default")
    if default in (None, ()):
        assert told is None
    elif isinstance(default, (frozenset, tuple)):
        assert told == sorted(default)
    else:
        assert told == default
        assert isinstance(default, type(told))


def test_the_schema_describes_each_setting() -> None:
    """An editor has a sentence for each, tables included."""
    assert all(said["description"].endswith(".") for said in DESCRIBED.values())
    assert all(said.get("description", "").endswith(".") for said in SCHEMA["properties"].values())


def form_schema(grant: str) -> dict[str, Any]:
    """What the schema says of one form of a ``[token]`` table; "" for that of a command."""
    forms = (form for form in SCHEMA["$defs"]["token"]["oneOf"] if "properties" in form)
    return next(
        form for form in forms if form["properties"].get("grant", {}).get("const", "") == grant
    )


def test_the_schema_has_exactly_the_forms_of_a_token() -> None:
    """A reference, a command, and each grant."""
    assert len(SCHEMA["$defs"]["token"]["oneOf"]) == 1 + len(FORMS)


@pytest.mark.parametrize("grant", FORMS)
def test_the_schema_takes_the_keys_that_the_reader_takes(grant: str) -> None:
    """Each form of a ``[token]`` table has its keys, those it needs, and what they may be."""
    form, said = FORMS[grant], form_schema(grant)
    assert set(said["properties"]) == set(form.keys)
    assert set(said["required"]) == set(form.required)
    assert said["additionalProperties"] is False
    good: dict[str, Any] = {"command": ["x"]}
    if grant:
        good = {**dict.fromkeys(form.required, "env:X"), "grant": grant}
    for key, kind in form.keys.items():
        if key != "grant":
            for value in VALUES:
                table = {**good, key: value}
                assert valid({"token": table}) == kind.fits(value), (key, value)


def test_what_only_code_can_give_is_not_in_the_schema() -> None:
    """An editor does not offer what the reader refuses."""
    assert not set(NOT_SETTABLE) & set(SCHEMA["properties"])


@pytest.mark.parametrize(
    "text", re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)
def test_the_files_on_the_page_validate(text: str) -> None:
    """What the page shows, an editor finds right."""
    assert valid(tomllib.loads(text))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"timeout": 3, "retry": {"backoff": {"jitter": "none"}, "statuses": [429]}},
        {"timeout": [1, 2.5], "store": "memory:", "token": "env:X", "origins": ["https://a"]},
        {"site": [{"origins": ["https://a"], "token": {"command": ["x"]}}]},
        {"token": {"grant": "client_credentials", "client_id": "x", "client_secret": "env:X"}},
        {"token": {"grant": "client_credentials", "client_id": "x", "dpop": True}},
        {"retry": {"max_attempts": 1, "deadline": 0.1, "backoff": {"multiplier": 1}}},
    ],
)
def test_good_documents_validate(document: object) -> None:
    """What an editor is told is right is right."""
    assert valid(document)


@pytest.mark.parametrize(
    "document",
    [
        {"tokn": "env:X"},
        {"token": "plain"},
        {"token": {"command": ["x"], "grant": "password"}},
        {"token": {"grant": "magic", "client_id": "x"}},
        {"token": {"grant": "client_credentials"}},
        {"token": {"grant": "password", "client_id": "x", "username": "y", "password": "z"}},
        {"store": "tokens.json"},
        {"timeout": 0},
        {"timeout": [1]},
        {"retry": {"max_attempts": 0}},
        {"retry": {"deadline": 0}},
        {"retry": {"statuses": [99]}},
        {"retry": {"backoff": {"multiplier": 0.5}}},
        {"retry": {"backoff": {"jitter": "half"}}},
        {"quota": {"capacity": -1}},
        {"limits": {"pacing": 1}},
        {"site": [{}]},
        {"site": [{"origins": [], "site": []}]},
        {"site": {}},
        {"clock": 1},
    ],
)
def test_bad_documents_do_not_validate(document: object) -> None:
    """What an editor is told is wrong is wrong."""
    assert not valid(document)
