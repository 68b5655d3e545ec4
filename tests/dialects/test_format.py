"""The form of a dialect's file: every fault is named, with its key and the nearest known one."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from requests_authretry import ConfigurationError, Dialect, Header
from tests.dialects.test_data import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHOLE: dict[str, Any] = {
    "$schema": "dialect.schema.json",
    "name": "weather",
    "title": "The weather",
    "checked": "2026-01-31",
    "sources": {"docs": "https://weather.example.com/docs"},
    "origins": ["https://api.weather.example.com", "https://*.weather.example.com"],
    "paths": ["/v1/*"],
    "rules": [
        {
            "what": "too fast",
            "when": {
                "status": [400],
                "method": ["GET"],
                "path": ["/v1/*"],
                "header": {"X-Left": "0", "X-Mode": ["a", "b"]},
                "body": {"error.code": ["SLOW", 7, True], "error.text": {"contains": ["slow"]}},
                "text": ["slow"],
            },
            "verdict": "throttled",
            "retry_after": [
                {"header": "X-Wait", "unit": "ms"},
                {"body": "error.wait"},
                {"points": {"needed": "a", "left": "b", "per_second": "c"}},
                {"seconds": 60},
            ],
            "scope": {"header": "X-Limit"},
            "source": "docs",
        },
        {
            "what": "may pass",
            "when": {"status": [500], "body": {"error": {"exists": True}}},
            "verdict": "transient",
            "not_processed": True,
            "source": "docs",
        },
    ],
    "headers": [{"name": "X-Weather-Wait", "as": "Retry-After", "source": "docs"}],
    "placement": {"header": "X-Key", "format": "Key {token}", "source": "docs"},
    "repeat": [
        {"what": "searches", "path": ["/v1/search"], "source": "docs"},
        {"what": "with a key", "header": "X-Once", "method": ["POST", "PATCH"], "source": "docs"},
    ],
    "token_endpoint": {
        "url": "https://weather.example.com/token",
        "fields": {"access_token": "token"},
        "error_in_200": True,
        "single_use_refresh_token": True,
        "what": "no expires_in",
        "source": "docs",
    },
    "samples": [
        {
            "what": "one",
            "request": "GET /v1/x",
            "status": 400,
            "headers": {"X-Left": "0"},
            "body": {"error": 1},
            "expect": {"verdict": "throttled", "retry_after": 1, "scope": "a"},
        },
        {"what": "two", "request": "GET /v1/x", "status": 200, "expect": None},
    ],
}


def read(content: object, folder: Path) -> Dialect:
    """Read a dialect from a file with this content: bytes as they are, anything else as JSON."""
    path = folder / "weather.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return Dialect.from_file(path)


def changed(path: str, value: object) -> dict[str, Any]:
    """The whole file with another value at a path; ``...`` takes it away."""
    content = deepcopy(WHOLE)
    *way, last = [int(part) if part.isdecimal() else part for part in path.split("/")]
    table: Any = content
    for part in way:
        table = table[part]
    if value is ...:
        del table[last]
    else:
        table[last] = value
    return content


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Every key arrives, and the schema agrees."""
    jsonschema.validate(WHOLE, SCHEMA)
    dialect = read(WHOLE, tmp_path)
    assert (dialect.name, dialect.title, dialect.checked) == (
        "weather",
        "The weather",
        "2026-01-31",
    )
    assert dialect.statuses == {400, 500}
    assert dialect.headers == {"x-weather-wait": "retry-after"}
    assert dialect.placement == Header("X-Key", "Key {token}")
    assert dialect.token_endpoint is not None
    assert dialect.token_endpoint.fields == (("access_token", "token"),)
    assert [each.methods for each in dialect.repeat] == [{"POST"}, {"POST", "PATCH"}]
    assert dialect.samples[0].body == b'{"error": 1}'
    assert repr(dialect) == "<Dialect weather>"


SLOW: dict[str, Any] = {
    "name": "slow",
    "title": "Slow",
    "checked": "2026-01-31",
    "sources": {"docs": "https://example.com/docs"},
    "origins": ["https://api.example.com"],
    "rules": [
        {
            "what": "too fast",
            "when": {"status": [400]},
            "verdict": "throttled",
            "retry_after": [{"seconds": 1}],
            "source": "docs",
        }
    ],
    "samples": [
        {"what": "one", "request": "GET /x", "status": 400, "body": {}, "expect": None},
    ],
}
"""A dialect with one rule and one sample."""

FAULTS = {
    "nmae": ("x", "nmae is unknown; did you mean name?"),
    "xyzzy": ("x", "xyzzy is unknown"),
    "name": (..., "needs name"),
    "checked": ("today", 'checked must be a day such as 2026-01-31, not "today"'),
    "sources/docs": ("http://h", "sources must be a table of https URLs by name"),
    "sources/more": ("https://h", "sources.more is named by nothing in this file"),
    "origins": (["http://h"], "origins must be a list of origins"),
    "origins/0": ("https://*", "origins must be"),
    "origins/1": ("https://a.*.example.com", "origins must be"),
    "paths/0": ("v1", "paths must be a list of paths"),
    "rules": ({}, "rules must be a list of tables"),
    "rules/0/what": (..., "rules[0] needs what"),
    "rules/0/when": ([], "rules[0].when must be a table"),
    "rules/0/verdict": ("throtled", "rules[0].verdict must be one of ok, final"),
    "rules/0/source": ("dosc", "rules[0].source names no source of this file; did you mean docs?"),
    "rules/0/scope": ("x" * 101, "rules[0].scope must be the name of a limit"),
    "rules/0/scope/body": ("a", "rules[0].scope needs exactly one of header, body"),
    "rules/0/not_processed": (True, "rules[0].not_processed goes with transient"),
    "rules/1/retry_after": ([], "rules[1].retry_after must be a list of tables"),
    "rules/1/verdict": ("final", "rules[1].not_processed goes with transient"),
    "rules/1/scope": ("a", "rules[1].scope goes with throttled"),
    "rules/0/when/status": ([42], "rules[0].when.status must be a list of status codes"),
    "rules/0/when/stauts": ([400], "rules[0].when.stauts is unknown; did you mean status?"),
    "rules/0/when/body/a..b": (1, "rules[0].when.body.a..b must be a path"),
    "rules/0/when/body/error.code": ([], "rules[0].when.body.error.code must be a value"),
    "rules/0/when/header/X-Left": (0, "rules[0].when.header.X-Left is compared with the text"),
    "rules/1/when/body/error": ({"exist": True}, "rules[1].when.body.error.exist is unknown; did"),
    "rules/0/retry_after/0/unit": ("minutes", "rules[0].retry_after[0].unit must be one of s, ms"),
    "rules/0/retry_after/0/body": ("a", "rules[0].retry_after[0] needs exactly one of header"),
    "rules/0/retry_after/2/points/left": (..., "rules[0].retry_after[2].points needs left"),
    "rules/0/retry_after/2/unit": ("s", "rules[0].retry_after[2].unit goes with header or body"),
    "rules/0/retry_after/3/seconds": (-1, "rules[0].retry_after[3].seconds must be a number"),
    "headers/0/as": ("x-weather", "headers[0].as must be null, or the usual name of a header"),
    "headers/0/name": (..., "headers[0] needs name"),
    "placement/query": ("key", "placement needs exactly one of header, query, cookie"),
    "placement/format": ("Key", "placement.format must have {token} in it once"),
    "repeat/0/header": ("X-Once", "repeat[0] needs exactly one of path, header"),
    "token_endpoint/error_in_200": ("yes", "token_endpoint.error_in_200 must be true or false"),
    "samples": (..., "needs samples"),
    "samples/0/request": ("/v1/x", "samples[0].request must be a method and a path"),
    "samples/0/headers/X-Left": (0, "samples[0].headers must be a table of texts"),
    "samples/0/expect": ("throttled", "samples[0].expect must be null for no verdict, or a table"),
    "samples/0/expect/scope": ("x" * 101, "samples[0].expect.scope must be the name of a limit"),
    "samples/1/expect": ({"verdict": "usual"}, 'samples[1].expect of the verdict "usual" is null'),
}


@pytest.mark.parametrize(("path", "value", "fault"), [(k, *v) for k, v in FAULTS.items()])
def test_a_fault_names_its_key(path: str, value: object, fault: str, tmp_path: Path) -> None:
    """``rules[0].when.stauts is unknown; did you mean status?``, behind the name of the file."""
    with pytest.raises(ConfigurationError) as raised:
        read(changed(path, value), tmp_path)
    assert raised.value.where.endswith("weather.json")
    assert any(each.startswith(fault) for each in raised.value.faults), raised.value.faults


SAID_IN_CODE = {
    "sources/more",
    "rules/0/source",
    "rules/0/not_processed",
    "rules/1/verdict",
    "rules/1/scope",
    "rules/0/when/header/X-Left",
    "rules/0/retry_after/2/unit",
    "headers/0/as",
    "samples/1/expect",
}
"""The faults that a JSON schema cannot tell, or not without being hard to read."""


@pytest.mark.parametrize("path", [path for path in FAULTS if path not in SAID_IN_CODE])
def test_the_schema_refuses_what_the_reader_refuses(path: str) -> None:
    """An editor marks the fault while the file is written."""
    value, _ = FAULTS[path]
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(changed(path, value))


def places(value: object, at: str = "") -> Iterator[str]:
    """Each path that leads into a content, as `changed` takes it."""
    items = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    for key, inner in items:
        yield f"{at}{key}"
        if isinstance(inner, (dict, list)):
            yield from places(inner, f"{at}{key}/")


@pytest.mark.parametrize("path", list(places(WHOLE)))
def test_a_value_of_any_kind_is_read_or_a_fault(path: str, tmp_path: Path) -> None:
    """A list in the place of a verdict is a fault of the file, and no `TypeError`."""
    for value in ([], {}, ["x"], {"a": 1}, None, True, -1, 10**400, "x"):
        with suppress(ConfigurationError):
            read(changed(path, value), tmp_path).check_samples()


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    """One error says all that is wrong."""
    content = changed("name", "A name")
    content["rules"][0]["verdict"] = "maybe"
    with pytest.raises(ConfigurationError) as raised:
        read(content, tmp_path)
    assert len(raised.value.faults) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no JSON"),
        (b"{", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[]", "must be a table"),
        (b"null", "must be a table"),
        (b'{"name": 1}', "name must be a name"),
    ],
)
def test_what_is_no_dialect_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    """A file without JSON, or with another thing in it, is an error that names the file."""
    with pytest.raises(ConfigurationError, match=said) as raised:
        read(content, tmp_path)
    assert "weather.json: " in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error says which file could not be read, and why."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.json: cannot be read: No such file"):
        Dialect.from_file(tmp_path / "nowhere.json")


@pytest.mark.parametrize("path", ["~no-such-user/my-api.json", "my\0api.json"])
def test_a_text_that_is_no_path_is_a_fault(path: str) -> None:
    """The home of a user who does not exist, and a text with a NUL."""
    with pytest.raises(ConfigurationError, match="is no path here"):
        Dialect.from_file(path)


def test_a_mark_at_the_beginning_of_a_file_does_no_harm(tmp_path: Path) -> None:
    """Some editors begin a file with a byte order mark."""
    assert read(b"\xef\xbb\xbf" + json.dumps(WHOLE).encode(), tmp_path).name == "weather"


def test_samples_are_checked(tmp_path: Path) -> None:
    """A sample with another verdict than it expects is named, and so is a rule without a sample."""
    told = read(WHOLE, tmp_path).check_samples()
    assert len(told) == 3
    assert told == (
        "sample 'one' expects throttled after 1 s by the limit 'a'; the rules say no verdict",
        "rule 'too fast' decides about no sample",
        "rule 'may pass' decides about no sample",
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"verdict": "throttled", "retry_after": 2},
            "throttled after 2 s; the rules say throttled",
        ),
        ({"verdict": "final"}, "expects final; the rules say throttled"),
        ({"verdict": "transient", "not_processed": True}, "expects transient, not processed; the"),
        ({"verdict": "transient"}, "expects transient; the rules say"),
        (None, "sample 'one' expects no verdict; the rules say throttled after 1 s"),
    ],
)
def test_a_sample_that_differs_is_told_in_words(
    changes: dict[str, Any] | None, told: str, tmp_path: Path
) -> None:
    """Verdict, seconds, the limit, and whether a transient failure was not processed."""
    content = json.loads(json.dumps(SLOW))
    content["samples"][0]["expect"] = changes
    assert told in read(content, tmp_path).check_samples()[0]


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("rules/0/verdict", "slow_down", ', not "slow_down"'),
        ("rules/0/when/status", 403, ", not 403"),
        ("rules/0/when/status", ["403"], ', not "403"'),
        ("origins", ["https://a.example/v1"], ', not "https://a.example/v1"'),
    ],
)
def test_a_short_wrong_value_is_shown(path: str, value: object, shown: str, tmp_path: Path) -> None:
    """``verdict must be one of ok, ..., not "slow_down"``."""
    with pytest.raises(ConfigurationError) as raised:
        read(changed(path, value), tmp_path)
    assert any(fault.endswith(shown) for fault in raised.value.faults)


@pytest.mark.parametrize("value", ["x" * 60, [], {}, ["a", 1]])
def test_a_long_or_nested_wrong_value_is_not_shown(value: object, tmp_path: Path) -> None:
    """The fault is as short as without it."""
    with pytest.raises(ConfigurationError) as raised:
        read(changed("checked", value), tmp_path)
    assert "checked must be a day such as 2026-01-31" in raised.value.faults


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("origins", ["https://user:word@api.example.com"]),
        ("origins", ["https://api.example.com?key=word"]),
        ("samples/0/request", "/bot123:word/getMe"),
    ],
)
def test_a_wrong_value_that_may_hold_a_secret_is_not_shown(
    path: str, value: object, tmp_path: Path
) -> None:
    """The password and the query of a URL, and the token in a path of Telegram's."""
    with pytest.raises(ConfigurationError) as raised:
        read(changed(path, value), tmp_path)
    assert "word" not in str(raised.value)


def test_a_wait_goes_with_a_verdict_that_waits(tmp_path: Path) -> None:
    """``final`` with ``retry_after`` is a fault: nothing is sent again."""
    with pytest.raises(ConfigurationError) as raised:
        read(changed("rules/0/verdict", "final"), tmp_path)
    assert raised.value.faults == (
        "rules[0].retry_after goes with throttled or pending or transient",
        "rules[0].scope goes with throttled",
    )


def test_an_unknown_verdict_of_a_sample_has_one_fault(tmp_path: Path) -> None:
    """``throtled`` is not taken for ``usual``, which would be a second fault."""
    with pytest.raises(ConfigurationError) as raised:
        read(changed("samples/0/expect/verdict", "throtled"), tmp_path)
    assert len(raised.value.faults) == 1
    assert raised.value.faults[0].startswith("samples[0].expect.verdict must be one of ok, final")


def test_a_file_without_sources_has_one_fault(tmp_path: Path) -> None:
    """The rules cannot name sources that are not there: that needs no fault of its own."""
    with pytest.raises(ConfigurationError) as raised:
        read(changed("sources", ...), tmp_path)
    assert raised.value.faults == ("needs sources",)
